# SPDX-License-Identifier: BSD-2-Clause
"""The agent among what else a router does: reverse-path filters, firewalls, proxied neighbours, policy routing, bridges.

Each case works, or turnoutctl doctor says in words that it does not; then the test does what doctor says, and it works.
Every test puts back what it changed.
"""
import contextlib
import json
import os
import pathlib
import signal
import subprocess

import pytest

from conftest import until
from test_basic import big, echo, sha256
from test_doctor import doctor, found, sysctl
from turnoutlab.topology import VIPS

VIP4, VIP6 = VIPS
ROUTERS = ("r1", "r2")


def host(address):
    return f"[{address}]" if ":" in address else address


def answers(lab, node, address, count=6, port=80, source=""):
    """How many of so many connections are answered; two seconds each."""
    answered = 0
    for attempt in range(count):
        options = ["--interface", source] if source else []
        done = lab.run(node, "curl", "-sg", "--max-time", "2", "-o", "/dev/null", *options,
                       f"http://{host(address)}:{port}/", check=False)
        answered += done.returncode == 0
        if answered == 0 and attempt >= 2:
            break  # nothing works: enough
    return answered


def works(lab, *vips):
    return all(answers(lab, "client1", vip) == 6 for vip in vips or VIPS)


@contextlib.contextmanager
def sysctls(lab, values, nodes=ROUTERS):
    with contextlib.ExitStack() as stack:
        for node in nodes:
            for name, value in values.items():
                stack.enter_context(sysctl(lab, node, name, value))
        yield


def repair(lab, node, finding):
    """What doctor says, as typed into a shell."""
    lab.run(node, "sh", "-c", finding["fix"])


# With plans in the kernel a packet meets the rules where it came in, and after its edit.
at_the_port = pytest.mark.skipif(os.environ.get("TURNOUT_DATAPATH", "ring") != "ring",
                                 reason="about packets that come in at the punt port; docs/fastpath.md has the rest")


# ---- reverse-path filters ----

@pytest.mark.parametrize("over_all, data, port, good, named", [
    (0, 0, 0, True, set()),
    (2, 2, 2, True, set()),
    (0, 0, 2, True, set()),
    pytest.param(0, 1, 0, True, {"core", "lan"}, marks=at_the_port),  # only of what no affinity matches
    (1, 2, 2, True, set()),
    (0, 0, 1, False, {"tn-punt0"}),
    (1, 0, 0, False, {"all"}),
    (1, 1, 1, False, {"all", "core", "lan", "tn-punt0"}),
])
def test_reverse_path_filters_work_or_are_named_FA_10(healthy, over_all, data, port, good, named):
    values = {"net.ipv4.conf.core.rp_filter": data, "net.ipv4.conf.lan.rp_filter": data,
              "net.ipv4.conf.tn-punt0.rp_filter": port, "net.ipv4.conf.all.rp_filter": over_all}
    with sysctls(healthy, values):
        findings = found(healthy, "r1", "rp-filter")
        assert {f["subject"] for f in findings} == named
        assert works(healthy, VIP4) == good
        for router in ROUTERS:
            for finding in found(healthy, router, "rp-filter"):
                repair(healthy, router, finding)
        assert not found(healthy, "r1", "rp-filter") and works(healthy, VIP4)


def test_loose_filter_at_a_port_without_address_is_named_FA_10(healthy):
    address = "169.254.75.10/32"
    with sysctls(healthy, {"net.ipv4.conf.tn-punt0.rp_filter": 2}):
        try:
            for router in ROUTERS:
                healthy.run(router, "ip", "address", "del", address, "dev", "tn-punt0")
            finding, = found(healthy, "r1", "rp-filter")
            assert finding["subject"] == "tn-punt0" and not works(healthy, VIP4)
            for router in ROUTERS:
                repair(healthy, router, found(healthy, router, "rp-filter")[0])
            assert works(healthy, VIP4)
        finally:
            for router in ROUTERS:
                healthy.run(router, "ip", "address", "add", address, "scope", "host", "dev", "tn-punt0", check=False)


# ---- the operator's firewall ----

@contextlib.contextmanager
def firewall(lab, *rules):
    try:
        for router in ROUTERS:
            lab.run(router, "nft", "; ".join(rules))
        yield
    finally:
        for router in ROUTERS:
            lab.run(router, "nft", "flush ruleset")


FORWARD = "add table inet fw", "add chain inet fw through { type filter hook forward priority 0; policy %s; }"


def broken_until_repaired(lab, check, word):
    finding, = found(lab, "r1", check, "warning")
    assert word in finding["fix"]
    assert not works(lab)
    for router in ROUTERS:
        repair(lab, router, found(lab, router, check, "warning")[0])
    assert works(lab)
    assert not found(lab, "r1", check, "warning")


def test_firewall_by_pairs_of_interfaces_is_named_FA_10(healthy):
    pairs = [f'add rule inet fw through iifname "{a}" oifname "{b}" accept' for a, b in (("core", "lan"), ("lan", "core"))]
    with firewall(healthy, FORWARD[0], FORWARD[1] % "drop", *pairs):
        broken_until_repaired(healthy, "firewall", 'iifname "tn-punt0" accept')


def test_firewall_by_connection_state_is_named_FA_10(healthy):
    with firewall(healthy, FORWARD[0], FORWARD[1] % "accept", "add rule inet fw through ct state invalid drop",
                  "add rule inet fw through ct state established,related accept"):
        broken_until_repaired(healthy, "conntrack", 'iifname "tn-punt0" notrack')


@at_the_port
def test_firewall_that_asks_for_the_way_back_is_named_FA_10(healthy):
    with firewall(healthy, "add table inet fw", "add chain inet fw pre { type filter hook prerouting priority raw; }",
                  "add rule inet fw pre fib saddr . iif oif missing drop"):
        broken_until_repaired(healthy, "firewall", 'iifname "tn-punt0" accept')


@at_the_port
def test_masquerading_towards_servers_is_named_FA_10(healthy):
    with firewall(healthy, "add table inet nat", "add chain inet nat post { type nat hook postrouting priority 100; }",
                  'add rule inet nat post oifname "lan" masquerade'):
        broken_until_repaired(healthy, "nat", 'iifname "tn-punt0" notrack')
        client = healthy.address("client1", "core")
        assert healthy.who("client1", VIP4)[1] == client


# ---- who else sends to a VIP ----

def test_traffic_of_the_router_itself_is_named_FA_10(healthy):
    assert answers(healthy, "r1", VIP4, 4) == 0 and answers(healthy, "r1", VIP6, 4) == 0
    server = healthy.address("web1", "lan")
    assert answers(healthy, "r1", server, 3) == 3
    done = healthy.run("r1", "ping", "-c", "12", "-i", "0.1", "-W", "0.1", VIP4, check=False)
    assert done.returncode != 0
    finding, = [f for f in doctor(healthy, "r1")[1] if f["check"] == "own-traffic"]
    assert finding["subject"] == "vip0" and "servers' addresses" in finding["fix"]


# ---- VIPs on a connected network ----

NEAR4, NEAR6 = "10.0.30.50", "fd00:30::50"


@contextlib.contextmanager
def configured(lab, node, daemon, change):
    """Another configuration; fad is started anew, smd reads it again."""
    path = pathlib.Path(lab.node(node)["configs"][daemon])
    before = path.read_text()

    def apply(text):
        path.write_text(text)
        if daemon == "smd":
            os.kill(lab.pid(node, daemon), signal.SIGHUP)
            return
        lab.stop(node, daemon)
        lab.start(node, daemon)

    apply(change(before))
    try:
        yield
    finally:
        apply(before)


@contextlib.contextmanager
def near_network(lab):
    """A host `near` behind a bridge `br0` of r1, its servers' way back by r1; the host's namespace."""
    namespace = f"{lab.name}-near"

    def ip(*arguments, **options):
        lab.run("r1", "ip", *arguments, **options)

    subprocess.run(["ip", "netns", "add", namespace], check=True)  # not inside a node: its mounts are its own
    try:
        ip("link", "add", "br0", "type", "bridge")
        ip("link", "add", "near", "type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("link", "set", "near", "up", "master", "br0")
        ip("link", "set", "br0", "up")
        ip("address", "add", "10.0.30.1/24", "dev", "br0")
        ip("address", "add", "fd00:30::1/64", "dev", "br0", "nodad")
        ip("-n", namespace, "link", "set", "eth0", "up")
        ip("-n", namespace, "address", "add", "10.0.30.11/24", "dev", "eth0")
        ip("-n", namespace, "address", "add", "fd00:30::11/64", "dev", "eth0", "nodad")
        ip("-n", namespace, "route", "add", "default", "via", "10.0.30.1")
        for web in ("web1", "web2", "web3"):
            lab.run(web, "ip", "route", "add", "10.0.30.0/24", "via", lab.address("r1", "lan"))
            lab.run(web, "ip", "route", "add", "fd00:30::/64", "via", lab.address("r1", "lan", 6))
        yield namespace
    finally:
        for web in ("web1", "web2", "web3"):
            lab.run(web, "ip", "route", "del", "10.0.30.0/24", check=False)
            lab.run(web, "ip", "-6", "route", "del", "fd00:30::/64", check=False)
        ip("link", "del", "near", check=False)
        ip("link", "del", "br0", check=False)
        subprocess.run(["ip", "netns", "del", namespace], check=True)


def near_answers(lab, namespace, vip):
    done = lab.run("r1", "ip", "netns", "exec", namespace, "curl", "-sg", "--max-time", "3", f"http://{host(vip)}/",
                   check=False)
    return done.stdout.split()


def test_vip_on_a_connected_network_FA_10(healthy):
    """Also: a bridge as data interface works, a port of one does not."""
    vips = 'vip: ["203.0.113.10", "2001:db8:113::10"]'
    with near_network(healthy) as namespace, \
            configured(healthy, "r1", "fad", lambda t: t.replace("[core, lan]", "[core, lan, br0]")), \
            configured(healthy, "sm1", "smd", lambda t: t.replace(vips, f'vip: ["{NEAR4}", "{NEAR6}", {vips[6:]}')):
        findings = until(lambda: len(f := found(healthy, "r1", "on-link", "warning")) == 2 and f, 10)
        assert findings and {f["subject"] for f in findings} == {NEAR4, NEAR6}
        assert not near_answers(healthy, namespace, NEAR4) and not near_answers(healthy, namespace, NEAR6)
        for finding in findings:
            repair(healthy, "r1", finding)
        assert not found(healthy, "r1", "on-link", "warning")
        assert until(lambda: near_answers(healthy, namespace, NEAR4), 10)[1] == "10.0.30.11"
        assert until(lambda: near_answers(healthy, namespace, NEAR6), 10)[1] == "fd00:30::11"
        # And with the other way of IPv4.
        healthy.run("r1", "ip", "neigh", "del", "proxy", NEAR4, "dev", "br0")
        assert found(healthy, "r1", "on-link", "warning")
        with sysctl(healthy, "r1", "net.ipv4.conf.br0.proxy_arp", 1):
            assert not found(healthy, "r1", "on-link", "warning")
            healthy.run("r1", "ip", "-n", namespace, "neigh", "flush", "dev", "eth0")
            assert until(lambda: near_answers(healthy, namespace, NEAR4), 10)
    assert until(lambda: healthy.rows("r1", "fad", "wildcards"), 15)


# ---- policy routing, bridges ----

@at_the_port
@pytest.mark.parametrize("family", ["-4", "-6"])
def test_rules_by_ingress_interface_are_named_FA_10(healthy, family):
    vip = VIP6 if family == "-6" else VIP4
    rule = [family, "rule", "add", "priority", "77", "iif"]
    for router in ROUTERS:  # what comes in at the punt port is not theirs: it is routed all the same
        healthy.run(router, "ip", *rule, "core", "blackhole")
    try:
        finding, = found(healthy, "r1", "ip-rule", "warning")
        assert "core" in finding["text"] and "tn-punt0" in finding["fix"]
        server = healthy.address("web1", "lan", 6 if family == "-6" else 4)
        assert answers(healthy, "client1", server, 3) == 0 and works(healthy, vip)
        for router in ROUTERS:
            healthy.run(router, "ip", *rule, "tn-punt0", "blackhole")
        assert not found(healthy, "r1", "ip-rule", "warning") and not works(healthy, vip)
    finally:
        for router in ROUTERS:
            for _ in range(2):
                healthy.run(router, "ip", family, "rule", "del", "priority", "77", check=False)
    assert works(healthy, vip)


def test_data_interface_in_a_bridge_is_named_FA_10(healthy):
    healthy.run("r1", "ip", "link", "add", "br9", "type", "bridge")
    try:
        healthy.run("r1", "ip", "link", "set", "lan", "master", "br9")
        finding, = found(healthy, "r1", "interface-kind")
        assert finding["subject"] == "lan" and "br9" in finding["fix"]
    finally:
        healthy.run("r1", "ip", "link", "del", "br9")
    assert not found(healthy, "r1", "interface-kind")


# ---- settings changed at run time ----

@pytest.mark.parametrize("name, vip", [("net.ipv4.conf.tn-punt0.forwarding", VIP4),
                                       ("net.ipv6.conf.tn-punt0.disable_ipv6", VIP6)])
def test_settings_changed_while_the_agent_runs_are_named_FA_10(healthy, name, vip):
    with sysctls(healthy, {name: 1 if "disable" in name else 0}):
        finding, = found(healthy, "r1", "punt-port")
        assert finding["subject"] == "tn-punt0" and name in finding["fix"]
        assert not works(healthy, vip)
        for router in ROUTERS:
            repair(healthy, router, found(healthy, router, "punt-port")[0])
        assert works(healthy, vip) and not found(healthy, "r1", "punt-port")


def test_forwarding_switched_off_and_on_again_FA_10(healthy):
    names = {"net.ipv4.ip_forward": 0, "net.ipv6.conf.all.forwarding": 0}
    with sysctls(healthy, names):
        assert {f["subject"] for f in found(healthy, "r1", "forwarding")} == set(names)
        assert not works(healthy, VIP4) and not works(healthy, VIP6)
        for router in ROUTERS:
            for finding in found(healthy, router, "forwarding"):
                repair(healthy, router, finding)
        assert works(healthy) and not found(healthy, "r1", "forwarding")


def test_port_down_and_filters_removed_are_named_FA_10(healthy):
    healthy.run("r1", "ip", "link", "set", "tn-punt0", "down")
    try:
        finding, = found(healthy, "r1", "punt-port")
        repair(healthy, "r1", finding)
        assert not found(healthy, "r1", "punt-port") and works(healthy)
    finally:
        healthy.run("r1", "ip", "link", "set", "tn-punt0", "up")
    try:
        for interface in ("lan", "tn-punt0"):
            healthy.run("r1", "tc", "qdisc", "del", "dev", interface, "clsact")
        finding, = found(healthy, "r1", "interface")
        assert finding["subject"] == "lan" and "restart fad" in finding["fix"]
        finding, = found(healthy, "r1", "punt-port")
        assert finding["subject"] == "tn-punt0"
    finally:
        healthy.stop("r1", "fad")
        healthy.start("r1", "fad")
    assert not found(healthy, "r1", "interface") and not found(healthy, "r1", "punt-port")
    assert until(lambda: healthy.rows("r1", "fad", "wildcards"), 15)


# ---- agents in series ----

@contextlib.contextmanager
def agent_on_core(lab, directory):
    """Another agent, on the router before r1 and r2, that knows the same manager."""
    mgmt = lab.node("mgmt")["namespace"]
    bridge = json.loads(lab.run("mgmt", "ip", "-j", "link", "show", "type", "bridge").stdout)[0]["ifname"]
    text = pathlib.Path(lab.node("r1")["configs"]["fad"]).read_text().split("fallback:")[0]
    text = text.replace("name: r1", "name: core").replace("0x101", "0x1f1")
    text = text.replace(lab.address("r1", "ctl"), "10.77.0.99").replace("[core, lan]", "[client1, client2, r1, r2]")
    config, run_dir = directory / "fad.yaml", directory / "run"
    config.write_text(text)
    lab.run("core", "ip", "link", "add", "ctl", "type", "veth", "peer", "name", "ctl-core", "netns", mgmt)
    process = None
    try:
        lab.run("core", "ip", "address", "add", "10.77.0.99/24", "dev", "ctl")
        lab.run("core", "ip", "link", "set", "ctl", "up")
        lab.run("mgmt", "ip", "link", "set", "ctl-core", "up", "master", bridge)
        with open(directory / "log", "w", encoding="ascii") as log:
            process = lab.popen("core", "fad", "--config", config, "--run-dir", run_dir, "--name", "fad", stdout=log,
                                stderr=log)

        def show(what):
            done = lab.run("core", "turnoutctl", "--run-dir", str(run_dir), "--json", "show", what, check=False)
            return json.loads(done.stdout)[what] if done.returncode == 0 else []

        assert until(lambda: show("wildcards"), 40), (directory / "log").read_text()
        yield show
    finally:
        if process:
            process.terminate()
            process.wait(10)
        lab.run("core", "ip", "link", "del", "ctl")


def test_two_agents_in_series_FA_10(healthy, tmp_path):
    with agent_on_core(healthy, tmp_path) as show:
        assert works(healthy)
        for vip in VIPS:
            assert sha256(healthy, "client1", big(healthy, vip)) == healthy.status()["big_file"]["sha256"]
            replies = [echo(healthy, "client1", vip, b"x" * 200, port) for port in range(46000, 46012)]
            assert all(replies), replies
        # One way is translated at core; the way back where it comes by first, and left alone by the other.
        rows = show("affinities")
        to_vip = [row for row in rows if any(vip in json.dumps(row) for vip in VIPS)]
        assert to_vip
        drops = [row for row in show("counters") if "drop" in row["group"] and int(row["value"])]
        assert not [row for row in drops if row["name"] in ("hop-limit", "martian", "malformed")], drops
    assert works(healthy)
