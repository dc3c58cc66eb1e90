# SPDX-License-Identifier: BSD-2-Clause
"""The installed units, started by a real systemd: one machine that is router, manager and everything.

It is set up by the very commands of docs/operations.md, with docs/examples as they are, beside Debian's frr.service.
"""
import json
import os
import pathlib
import re
import subprocess

import pytest

from machine import Machine, until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = os.environ.get("TURNOUT_BUILD", "build/release")
DAEMONS = ("fad", "smd", "routed-glue")
# Numbers of linux/capability.h.
CAPABILITIES = {"fad": (12, 13, 39), "smd": (), "routed-glue": (12,)}
VIP4, VIP6 = "203.0.113.10", "2001:db8:113::10"
# Client and servers in namespaces of their own; the addresses are those of the examples.
NETWORK = f"""
set -e
sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0
ip link set lo up
ip netns add client
ip netns add servers
ip link add eth0 type veth peer name eth0 netns client
ip link add eth1 type veth peer name eth0 netns servers
ip link add ctl0 type bridge
ip address add 192.0.2.1/24 dev ctl0
ip address add 192.0.2.21/24 dev ctl0
ip address add 10.9.0.1/24 dev eth0
ip address add 2001:db8:9::1/64 dev eth0 nodad
ip address add 198.51.100.1/24 dev eth1
ip address add 2001:db8:20::1/64 dev eth1 nodad
for i in eth0 eth1 ctl0; do ip link set $i up; done
ip -n client address add 10.9.0.2/24 dev eth0
ip -n client address add 2001:db8:9::2/64 dev eth0 nodad
for n in 11 12 13; do
    ip -n servers address add 198.51.100.$n/24 dev eth0
    ip -n servers address add 2001:db8:20::$n/64 dev eth0 nodad
done
for n in client servers; do ip -n $n link set lo up; ip -n $n link set eth0 up; done
ip -n client route add default via 10.9.0.1
ip -n client route add default via 2001:db8:9::1
ip -n servers route add default via 198.51.100.1
ip -n servers route add default via 2001:db8:20::1
mkdir /srv/page
echo served > /srv/page/index.html
systemd-run -q --unit=web ip netns exec servers /usr/bin/python3 -m http.server 80 -b :: -d /srv/page
cp /usr/local/share/doc/turnout/examples/frr.conf /etc/frr/frr.conf
chown frr:frr /etc/frr/frr.conf
sed -i 's/^\\(bgpd\\|bfdd\\)=no/\\1=yes/' /etc/frr/daemons
systemctl start frr
"""


def documented_commands():
    """The shell commands of "Under systemd" in docs/operations.md, without the installation itself."""
    chapter = (ROOT / "docs/operations.md").read_text().split("\n## Under systemd\n")[1].split("\n## ")[0]
    lines = re.search(r"```sh\n(.*?)```", chapter, re.S)[1].splitlines()
    assert lines[0].startswith("make install")
    return "set -e\n" + "\n".join(lines[1:])


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Installed as documented, and serving."""
    tree = tmp_path_factory.mktemp("installed")
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    subprocess.run(["make", "-s", "--no-print-directory", f"BUILD={BUILD}", f"DESTDIR={tree}", "PREFIX=/usr/local", "install"],
                   cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    m = Machine(tree)
    try:
        m.run("bash", "-c", NETWORK)
        m.run("bash", "-c", documented_commands())
        yield m
    finally:
        m.stop()


def active(machine, daemon):
    return machine.property(f"{daemon}.service", "ActiveState") == "active"


def main_pid(machine, daemon):
    return int(machine.property(f"{daemon}.service", "MainPID"))


def restarts(machine, daemon):
    return int(machine.property(f"{daemon}.service", "NRestarts"))


def fetch(machine, vip):
    host = f"[{vip}]" if ":" in vip else vip
    return machine.run("ip", "netns", "exec", "client", "curl", "-sS", "-g", "--max-time", "3", f"http://{host}/",
                       check=False).stdout


def serves(machine, seconds=20):
    """Both VIPs, which takes all three daemons and the restored announcement."""
    return until(lambda: fetch(machine, VIP4) == fetch(machine, VIP6) == "served\n", seconds)


def announced(machine):
    tables = [machine.run("vtysh", "-c", f"show bgp ipv{family} unicast", check=False).stdout for family in (4, 6)]
    return VIP4 in tables[0] and VIP6 in tables[1]


def warnings(machine, daemon):
    return machine.run("journalctl", "--no-pager", "-o", "cat", "-p", "warning", f"_SYSTEMD_UNIT={daemon}.service").stdout


def rows(machine, daemon, listing):
    return json.loads(machine.run("turnoutctl", "--json", "--from", daemon, "show", listing).stdout)[listing]


def counter(machine, daemon, name):
    return next(int(row["value"]) for row in rows(machine, daemon, "counters") if row["name"] == name)


def configure(machine, daemon, old, new):
    """Change a line of its file; the file as it was."""
    path = f"/etc/turnout/{daemon}.yaml"
    text = machine.run("cat", path).stdout
    assert old in text
    machine.write(path, text.replace(old, new))
    return lambda: machine.write(path, text)


def test_documented_commands_serve_the_example_ARCH_1(machine):
    for daemon in DAEMONS:
        assert until(lambda daemon=daemon: active(machine, daemon)), machine.journal(daemon)
        assert machine.property(f"{daemon}.service", "StatusText") == "serving"
        assert restarts(machine, daemon) == 0, machine.journal(daemon)
    assert serves(machine), machine.journal("fad")
    assert until(lambda: announced(machine)), machine.journal("routed-glue")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_runs_with_the_rights_it_needs_and_no_other(machine, daemon):
    status = machine.run("cat", f"/proc/{main_pid(machine, daemon)}/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    wanted = sum(1 << number for number in CAPABILITIES[daemon])
    user = machine.run("id", "-u", "turnout").stdout.strip()
    assert int(user) != 0 and set(fields["Uid"].split()) == {user}
    assert [int(fields[name], 16) for name in ("CapPrm", "CapEff")] == [wanted, wanted]
    assert int(fields["CapInh"], 16) == int(fields["CapAmb"], 16) == 0
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"


def test_hardening_leaves_the_punt_port_its_settings(machine):
    conf = "/proc/sys/net/ipv6/conf"
    values = [machine.run("cat", f"{conf}/{name}").stdout.strip() for name in (
        "tn-punt0/forwarding", "tn-punt0/accept_ra", "tn-punt0/autoconf", "tn-punt1/disable_ipv6")]
    assert values == ["1", "0", "0", "1"]
    assert warnings(machine, "fad") == ""


def test_only_the_group_may_ask_ARCH_7(machine):
    asked = ("turnoutctl", "show", "counters")
    member = machine.run("setpriv", "--reuid=nobody", "--regid=turnout", "--clear-groups", *asked)
    assert {line.split()[0] for line in member.stdout.splitlines()[1:]} == set(DAEMONS)
    assert machine.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *asked, check=False).returncode == 4


# Connects to each, and says for each how it went.
CONNECT = """import errno, socket, sys
for path in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print("connected")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def test_sockets_are_closed_to_other_users_by_directory_and_by_mode_ARCH_7_SEC_3(machine):
    """Either alone is enough; the group gets in, through what the units and systemd-sysusers made."""
    paths = [f"/run/turnout/{daemon}.{suffix}" for daemon in DAEMONS for suffix in ("sock", "events")]

    def connect(user, group):
        return set(machine.run("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "/usr/bin/python3", "-c",
                               CONNECT, *paths).stdout.split())
    shown = machine.run("stat", "-c", "%a %U %G", "/run/turnout", *paths).stdout.splitlines()
    assert shown == ["750 turnout turnout"] + ["660 turnout turnout"] * len(paths)
    assert connect("nobody", "turnout") == {"connected"}
    assert connect("nobody", "nogroup") == {"EACCES"}
    machine.run("chmod", "755", "/run/turnout")
    try:
        assert connect("nobody", "nogroup") == {"EACCES"}
        machine.run("chmod", "o+rw", *paths)
        assert connect("nobody", "nogroup") == {"connected"}  # so it was the modes
        machine.run("chmod", "750", "/run/turnout")
        assert connect("nobody", "nogroup") == {"EACCES"}
    finally:
        machine.run("chmod", "750", "/run/turnout")
        machine.run("chmod", "660", *paths)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_killed_is_started_again(machine, daemon):
    before, count = main_pid(machine, daemon), restarts(machine, daemon)
    machine.run("kill", "-KILL", before)
    assert until(lambda: restarts(machine, daemon) > count and active(machine, daemon), 10), machine.journal(daemon)
    assert main_pid(machine, daemon) not in (0, before)
    assert serves(machine), machine.journal(daemon)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_hung_is_ended_by_the_watchdog_and_started_again(machine, daemon):
    before, count = main_pid(machine, daemon), restarts(machine, daemon)
    machine.run("kill", "-STOP", before)
    assert until(lambda: restarts(machine, daemon) > count and active(machine, daemon), 25), machine.journal(daemon)
    assert "Watchdog timeout" in machine.journal(daemon)
    assert serves(machine), machine.journal(daemon)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_bad_configuration_is_said_and_not_tried_again(machine, daemon):
    field = "agents:" if daemon == "routed-glue" else "control:"
    restore = configure(machine, daemon, field, f"no-such-{field}")
    try:
        assert machine.run("systemctl", "restart", daemon, check=False).returncode != 0
        unit = f"{daemon}.service"
        assert [machine.property(unit, name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")] == ["failed", "3", "0"]
        assert f"/etc/turnout/{daemon}.yaml:" in machine.journal(daemon)
    finally:
        restore()
    machine.run("systemctl", "restart", daemon)
    assert serves(machine), machine.journal(daemon)


def test_bad_configuration_refuses_a_reload_and_the_manager_goes_on(machine):
    before = main_pid(machine, "smd")
    restore = configure(machine, "smd", "method: maglev", "method: magic")
    try:
        assert machine.run("systemctl", "reload", "smd", check=False).returncode != 0
    finally:
        restore()
    assert active(machine, "smd") and main_pid(machine, "smd") == before
    machine.run("systemctl", "reload", "smd")
    assert main_pid(machine, "smd") == before and serves(machine)


def test_reload_takes_a_good_configuration_over(machine):
    """Also: HTTP checks can do their work under the unit."""
    before = main_pid(machine, "smd")
    restore = configure(machine, "smd", "type: tcp", "type: http")
    try:
        machine.run("systemctl", "reload", "smd")
        assert until(lambda: all(re.search("HTTP|http", row["check"]) for row in rows(machine, "smd", "servers"))), (
            rows(machine, "smd", "servers"))
        assert main_pid(machine, "smd") == before and serves(machine)
        assert {row["state"] for row in rows(machine, "smd", "servers")} == {"up"}
    finally:
        restore()
    machine.run("systemctl", "reload", "smd")


def test_documented_additions_for_a_low_port(machine):
    """What docs/operations.md says to put into a drop-in for a `control.port` below 1024."""
    drop_in = "/run/systemd/system/smd.service.d/low-port.conf"
    restore = configure(machine, "smd", "address: 192.0.2.21", "address: 192.0.2.21\n  port: 751")
    try:
        assert machine.run("systemctl", "restart", "smd", check=False).returncode != 0
        assert machine.property("smd.service", "ExecMainStatus") == "4", machine.journal("smd")
        machine.run("mkdir", "-p", drop_in.rsplit("/", 1)[0])
        machine.write(drop_in, "[Service]\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"
                      "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nPrivateUsers=no\n")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "smd")
        assert serves(machine), machine.journal("smd")
    finally:
        restore()
        machine.run("rm", "-f", drop_in)
        machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "smd")
    assert serves(machine)


def test_agent_waits_for_an_interface_that_comes_late(machine):
    restore = configure(machine, "fad", "[eth0, eth1]", "[eth0, eth1, late0]")
    try:
        machine.run("systemctl", "restart", "fad", check=False)
        assert until(lambda: machine.property("fad.service", "ExecMainStatus") == "6" and restarts(machine, "fad") > 0)
        machine.run("ip", "link", "add", "late0", "type", "bridge")
        assert until(lambda: active(machine, "fad")), machine.journal("fad")
    finally:
        restore()
    machine.run("systemctl", "restart", "fad")
    assert serves(machine)


def test_glue_waits_for_frr(machine):
    machine.run("systemctl", "stop", "routed-glue", "frr")
    machine.run("rm", "-f", "/run/frr/zserv.api")  # zebra leaves it behind; at boot it is not there
    machine.run("systemctl", "start", "--no-block", "routed-glue")
    assert until(lambda: machine.property("routed-glue.service", "ExecMainStatus") == "7"
                 and restarts(machine, "routed-glue") > 0), machine.journal("routed-glue")
    machine.run("systemctl", "start", "frr")
    assert until(lambda: active(machine, "routed-glue") and announced(machine)), machine.journal("routed-glue")


def test_glue_can_read_frrs_table(machine):
    """FRRouting's terminal sockets are for the group frrvty, which the unit gives."""
    restore = configure(machine, "routed-glue", "\nlease:", "\nfrr-audit: 1s\nlease:")
    try:
        machine.run("systemctl", "restart", "routed-glue")
        assert until(lambda: counter(machine, "routed-glue", "frr-audits") > 0), machine.journal("routed-glue")
        assert counter(machine, "routed-glue", "frr-unreachable") == 0
    finally:
        restore()
    machine.run("systemctl", "restart", "routed-glue")


def test_stopping_one_leaves_the_run_directory_to_the_others(machine):
    machine.run("systemctl", "stop", "smd")
    names = machine.run("ls", "/run/turnout").stdout.split()
    assert {"fad.sock", "routed-glue.sock"} <= set(names) and "smd.sock" not in names
    machine.run("systemctl", "start", "smd")
    assert serves(machine)


def test_stopped_nothing_is_left_in_the_kernel_ARCH_1(machine):
    machine.run("systemctl", "stop", *DAEMONS)
    for daemon in DAEMONS:
        assert machine.property(f"{daemon}.service", "Result") == "success", machine.journal(daemon)
    assert machine.run("tc", "filter", "show", "dev", "eth0", "ingress").stdout == ""
    links = machine.run("ip", "-br", "link").stdout
    assert "tn-punt" not in links and "vip0" not in links
