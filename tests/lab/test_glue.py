# SPDX-License-Identifier: BSD-2-Clause
"""Announcing: VIPs come and go in the routers' routing as agents, glue and device come and go."""
import contextlib
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import until

VIP4, VIP6 = "203.0.113.10", "2001:db8:113::10"
VIPS = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["v4", "v6"])
# One VIP, until the core's kernel has it or not: bgpd's own share of it is 100 ms.
BGP_SECONDS = 1.0
LEASE_SECONDS = 1.0


def hops(lab, vip):
    return len(lab.next_hops("core", vip))


def settled(lab, count, timeout=10):
    """Do both VIPs have that many next hops at the core within the time?"""
    return until(lambda: all(hops(lab, vip) == count for vip in (VIP4, VIP6)), timeout, 0.02)


def states(lab, router):
    """{prefix: state} as the router's glue has it."""
    return {row["prefix"]: row["state"] for row in lab.rows(router, "routed-glue", "routes")}


def vip_routes(lab, router, family):
    return lab.run(router, "ip", f"-{family}", "route", "show", "dev", "vip0", check=False).stdout


class Traffic:
    """One small request after another from a client, as long as the context lasts."""

    def __init__(self, lab, vip):
        host = f"[{vip}]" if ":" in vip else vip
        script = (f"while :; do curl -sS -g --max-time 2 -o /dev/null -w '%{{http_code}}\\n' http://{host}/ 2>&1; "
                  "sleep 0.02; done")
        self.process = lab.popen("client1", "bash", "-c", script, stdout=subprocess.PIPE, text=True,
                                 start_new_session=True)
        self.lines = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.lines = self.process.communicate()[0].splitlines()


@VIPS
def test_both_routers_announce_from_a_device_that_answers_nothing_ACT_3(healthy, vip):
    assert hops(healthy, vip) == 2
    for router in ("r1", "r2"):
        assert states(healthy, router)[f"{vip}/{128 if ':' in vip else 32}"] == "installed"
        assert vip in vip_routes(healthy, router, 6 if ":" in vip else 4)
        device = healthy.run(router, "ip", "addr", "show", "vip0").stdout
        assert "inet 169.254.77.1/32" in device and "inet6" not in device
        # No address of the router's, or it would answer pings and resets.
        assert vip not in healthy.run(router, "ip", "addr").stdout


@VIPS
def test_killed_glue_is_withdrawn_at_once_and_traffic_goes_on_ACT_3(healthy, vip):
    with Traffic(healthy, vip) as traffic:
        time.sleep(0.5)
        healthy.stop("r1", "routed-glue", kill=True)
        assert settled(healthy, 1, BGP_SECONDS)
        assert healthy.run("r1", "ip", "link", "show", "vip0", check=False).returncode != 0
        time.sleep(1.0)
    # Packets under way to r1 in that tenth of a second are lost; what follows is not.
    assert traffic.lines[-10:] == ["200"] * 10, traffic.lines
    assert sum(line != "200" for line in traffic.lines) <= 2, traffic.lines
    healthy.start("r1", "routed-glue")
    assert settled(healthy, 2, 3)


def test_stopped_glue_withdraws_and_comes_back_ACT_3(healthy):
    healthy.stop("r2", "routed-glue")
    assert settled(healthy, 1, BGP_SECONDS)
    healthy.start("r2", "routed-glue")
    assert settled(healthy, 2, 3)
    assert set(states(healthy, "r2").values()) == {"installed"}


def test_killed_agent_is_withdrawn_after_the_lease_ACT_3(healthy):
    began = time.monotonic()  # before: on a busy machine it is later that we hear of its end
    healthy.stop("r1", "fad", kill=True)
    assert settled(healthy, 1, LEASE_SECONDS + BGP_SECONDS)
    assert time.monotonic() - began > LEASE_SECONDS / 2, "not the lease, then"
    assert states(healthy, "r1") == {}
    healthy.start("r1", "fad")
    assert settled(healthy, 2, 15)


def test_hung_agent_is_withdrawn_after_the_lease_ACT_3(healthy):
    os.kill(healthy.pid("r1", "fad"), signal.SIGSTOP)
    try:
        assert settled(healthy, 1, LEASE_SECONDS + BGP_SECONDS)
    finally:
        os.kill(healthy.pid("r1", "fad"), signal.SIGCONT)
    assert settled(healthy, 2, 15)


def test_device_taken_down_is_put_right_ACT_3(healthy):
    """The kernel flushes the routes of a device that goes down."""
    before = healthy.counters("r1", "routed-glue")
    healthy.run("r1", "ip", "link", "set", "vip0", "down")
    assert until(lambda: VIP4 in vip_routes(healthy, "r1", 4) and VIP6 in vip_routes(healthy, "r1", 6), 1, 0.02)
    after = healthy.counters("r1", "routed-glue")
    assert after["audit", "repairs"] > before.get(("audit", "repairs"), 0)
    assert settled(healthy, 2, 3)


def test_removed_device_route_address_and_name_come_back_ACT_3(healthy):
    healthy.run("r1", "ip", "link", "del", "vip0")
    assert until(lambda: VIP4 in vip_routes(healthy, "r1", 4), 2, 0.05)
    healthy.run("r1", "ip", "route", "del", f"{VIP4}/32", "dev", "vip0")
    assert until(lambda: VIP4 in vip_routes(healthy, "r1", 4), 1, 0.05)
    healthy.run("r1", "ip", "addr", "del", "169.254.77.1/32", "dev", "vip0")
    assert until(lambda: "169.254.77.1/32" in healthy.run("r1", "ip", "addr", "show", "vip0").stdout and
                 VIP4 in vip_routes(healthy, "r1", 4), 1, 0.05)
    healthy.run("r1", "bash", "-c", "ip link set vip0 down; ip link set vip0 name vip0-gone")
    assert until(lambda: VIP4 in vip_routes(healthy, "r1", 4), 2, 0.05), "renamed"
    assert healthy.run("r1", "ip", "link", "show", "vip0-gone", check=False).returncode != 0
    assert settled(healthy, 2, 3)


@contextlib.contextmanager
def foreign_route(lab, router, vip):
    """Somebody else's route on the VIP's prefix and metric, there before the glue."""
    family, metric = ("-6", "1024") if ":" in vip else ("-4", "0")
    route = [vip, "dev", "lan", "metric", metric]
    lab.stop(router, "routed-glue")
    lab.run(router, "ip", family, "route", "add", *route, "proto", "static")
    try:
        lab.start(router, "routed-glue")
        yield lambda: lab.run(router, "ip", family, "route", "show", vip).stdout
    finally:
        lab.run(router, "ip", family, "route", "del", *route)


@VIPS
def test_foreign_route_is_a_conflict_and_left_alone_ACT_3(healthy, vip):
    prefix = f"{vip}/{128 if ':' in vip else 32}"
    other = VIP4 if vip == VIP6 else VIP6
    with foreign_route(healthy, "r1", vip) as route:
        assert until(lambda: states(healthy, "r1").get(prefix) == "conflict", 5)
        assert "dev lan" in route() and "vip0" not in route()
        assert until(lambda: hops(healthy, other) == 2, 3)  # the others are announced all the same
        assert until(lambda: hops(healthy, vip) == 1, 3)  # BGP takes its time
    assert until(lambda: states(healthy, "r1")[prefix] == "installed", 2)
    assert settled(healthy, 2, 3)


def test_manager_restart_is_no_route_change_FA_11(healthy):
    """The set advertised outlives a manager that comes back within its TTLs."""
    before = {r: healthy.counters(r, "routed-glue") for r in ("r1", "r2")}
    healthy.stop("sm1", "smd", kill=True)
    healthy.start("sm1", "smd")
    assert until(lambda: {row["state"] for row in healthy.rows("sm1", "smd", "servers")} == {"up"}, 10)
    time.sleep(1)
    for router, old in before.items():
        new = healthy.counters(router, "routed-glue")
        for name in ("added", "deleted"):
            assert new.get(("routes", name), 0) == old.get(("routes", name), 0), (router, name)
    assert settled(healthy, 2, 1)


def test_restarted_routing_daemons_announce_again_ACT_3(healthy):
    """FRRouting reads the kernel's routes when it starts; the glue has nothing to do."""
    healthy.stop("r1", "frr")
    assert settled(healthy, 1, 5)
    assert healthy.alive("r1", "routed-glue")
    healthy.start("r1", "frr")
    assert settled(healthy, 2, 15)


def test_missing_frr_is_one_clear_line(healthy, command, tmp_path):
    config = tmp_path / "glue.yaml"
    config.write_text(f"agents: [fad]\ninterface: vip9\nfrr: {tmp_path}/no-frr\n")
    done = command("routed-glue", "--config", config, "--run-dir", tmp_path / "run",
                   wrap=["nsenter", f"--net={healthy.netns('r1')}"])
    assert done.returncode == 7
    assert len(done.stderr.splitlines()) == 1 and f"{tmp_path}/no-frr/zserv.api" in done.stderr


def test_second_instance_is_refused(healthy, command, tmp_path):
    config = tmp_path / "glue.yaml"
    config.write_text("agents: [fad]\nfrr: none\n")
    inside = ["nsenter", f"--net={healthy.netns('r1')}"]
    same_run_dir = command("routed-glue", "--config", config, "--run-dir", healthy.node("r1")["run_dir"], wrap=inside)
    same_device = command("routed-glue", "--config", config, "--run-dir", tmp_path / "run", wrap=inside)
    assert same_run_dir.returncode == 8 and len(same_run_dir.stderr.splitlines()) == 1
    assert same_device.returncode == 8 and re.search(r"vip0 exists already", same_device.stderr)
    assert settled(healthy, 2, 1)


def test_keeps_one_capability(healthy):
    status = open(f"/proc/{healthy.pid('r1', 'routed-glue')}/status", encoding="ascii").read()
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        assert int(re.search(rf"^{kind}:\s*([0-9a-f]+)", status, re.MULTILINE)[1], 16) == 1 << 12, kind  # NET_ADMIN
    assert re.search(r"^NoNewPrivs:\s*1", status, re.MULTILINE)
