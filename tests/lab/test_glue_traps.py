# SPDX-License-Identifier: BSD-2-Clause
"""Announcing, where it is known to go wrong: planned stops, hung processes, lost notifications, saved configurations, OSPF.

test_glue.py has the plain cases.
"""
import contextlib
import os
import pathlib
import signal
import subprocess
import time

import pytest

import routes
from conftest import LAB_NAME, PATIENCE, bring_up, until
from test_glue import BGP_SECONDS, LEASE_SECONDS, VIP4, VIP6, VIPS, hops, settled, states

CROWD = 0x778
EXCUSE_SECONDS = 0.5  # for what was said while the glue did not run
MASKED = pytest.mark.parametrize("prefix", ["203.0.113.64/27", "2001:db8:113:64::/64"], ids=["v4", "v6"])
SUFFIX = {4: "/32", 6: "/128"}


@contextlib.contextmanager
def configured(lab, node, daemon, text):
    """More lines in a daemon's configuration, for as long as the context lasts."""
    path = pathlib.Path(lab.node(node)["configs"][daemon])
    before = path.read_text()
    path.write_text(before + text)
    try:
        restart(lab, node, daemon)
        complete(lab, node)
        yield
    finally:
        path.write_text(before)
        restart(lab, node, daemon)
        complete(lab, node)


def complete(lab, router):
    """The router's agent has been told everything, and its glue has it from the agent."""
    assert until(lambda: lab.rows(router, "fad", "wildcards"), 10)
    assert until(lambda: set(states(lab, router).values()) == {"installed"}, 5, 0.05), states(lab, router)
    assert settled(lab, 2, 10)


def restart(lab, node, daemon):
    if lab.alive(node, daemon):
        lab.stop(node, daemon)
    lab.start(node, daemon)


@contextlib.contextmanager
def hung(lab, node, daemon):
    """The daemon stopped by SIGSTOP."""
    pid = lab.pid(node, daemon)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # ended meanwhile
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def readers_last(pid):
    """Of a daemon's threads, those that only read sockets come after its main one, as on a busy processor."""
    threads = [int(task) for task in os.listdir(f"/proc/{pid}/task")]
    allowed = os.sched_getaffinity(pid)
    for thread in threads:
        os.sched_setaffinity(thread, {min(allowed)})
        os.setpriority(os.PRIO_PROCESS, thread, 0 if thread == pid else 19)
    try:
        yield
        time.sleep(0.2)  # for what it does first when it goes on
    finally:
        for thread in threads:
            os.setpriority(os.PRIO_PROCESS, thread, 0)
            os.sched_setaffinity(thread, allowed)


@contextlib.contextmanager
def announcer(lab, agent="r1"):
    """A manager beside the lab's own that has one agent advertise prefixes."""
    with routes.Crowd(lab, "sm2", agent, CROWD) as crowd:
        crowd.ready()
        yield crowd


def log(lab, node, daemon):
    return pathlib.Path(f"{lab.node(node)['log_dir']}/{daemon}.log").read_text(errors="replace")


def frr_says(lab, router):
    """What there is to know of a router's FRRouting, for a reader of a failed test."""
    directory = f"{lab.node(router)['directory']}"
    parts = [lab.run(router, "vtysh", "-c", c, check=False).stdout for c in ("show ip route kernel", "show bgp summary")]
    for path in (f"{directory}/frr/log/frr.log", f"{directory}/log/watchfrr.log", f"{directory}/frr/log/zebra.log"):
        parts.append("\n".join(pathlib.Path(path).read_text(errors="replace").splitlines()[-15:]))
    return "\n---\n".join(parts)


def changes(fib, *vips):
    """What the kernel said about these in the meantime."""
    wanted = {vip + SUFFIX[6 if ":" in vip else 4] for vip in vips}
    return [entry for entry in fib.log if entry[2] in wanted]


# ---- prefixes ----

@MASKED
def test_prefix_with_mask_is_announced_and_withdrawn_ACT_3(healthy, prefix):
    with routes.Fib(healthy.netns("core")) as fib, announcer(healthy) as crowd:
        fib.watch([prefix])
        crowd.say([prefix])
        assert fib.wait(1, PATIENCE * BGP_SECONDS), "not announced"
        assert len(fib.hops(prefix)) == 1  # only r1 was told
        assert states(healthy, "r1")[prefix] == "installed"
        crowd.say([prefix], ttl=0)
        assert fib.wait(0, 1 + PATIENCE * BGP_SECONDS), "not withdrawn"


# ---- planned stops ----

def test_restart_with_stop_hold_is_no_route_change_FA_6(healthy):
    with configured(healthy, "r1", "fad", "stop-hold: 10s\n"):
        before = len(log(healthy, "r1", "routed-glue"))
        with routes.Fib(healthy.netns("core")) as fib:
            healthy.stop("r1", "fad")
            time.sleep(1.5 * LEASE_SECONDS)
            assert set(states(healthy, "r1").values()) == {"kept"}
            healthy.start("r1", "fad")
            assert until(lambda: set(states(healthy, "r1").values()) == {"installed"} and
                         "is back with all that was held for it" in log(healthy, "r1", "routed-glue")[before:], 8)
            time.sleep(1.5 * LEASE_SECONDS)
            assert changes(fib, VIP4, VIP6) == []


def test_agent_that_does_not_come_back_is_withdrawn_after_its_hold_FA_6(healthy):
    with configured(healthy, "r1", "fad", "stop-hold: 3s\n"):
        began = time.monotonic()
        healthy.stop("r1", "fad")
        assert settled(healthy, 1, 3 + BGP_SECONDS)
        assert time.monotonic() - began > 2.5
        assert "was not back in time" in log(healthy, "r1", "routed-glue")


class Requests:
    """Many short connections side by side, as long as the context lasts: `lines` is [(seconds, status code or error)]."""

    def __init__(self, lab, vip, loops=4):
        script = (f"while :; do curl -sS -g --max-time 3 -o /dev/null -w '%{{time_total}} %{{http_code}}\\n' "
                  f"http://{vip}/ 2>&1; done")
        self.processes = [lab.popen("client1", "bash", "-c", script, stdout=subprocess.PIPE, text=True,
                                    start_new_session=True) for _ in range(loops)]
        self.lines = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
            self.lines += process.communicate()[0].splitlines()


@contextlib.contextmanager
def gateway_moved(lab, away, to):
    """The servers' replies leave by one router only, as with a gateway protocol that was told."""
    servers = [name for name, node in lab.status()["nodes"].items() if node["role"] == "server"]
    for server in servers:
        lab.run(server, "ip", "route", "replace", "default", "via", lab.address(to, "lan"))
    try:
        yield
    finally:
        for server in servers:
            lab.run(server, "ip", "route", "replace", "default", "nexthop", "via", lab.address(away, "lan"),
                    "nexthop", "via", lab.address(to, "lan"))


def test_stopped_agent_withdraws_first_and_serves_a_little_longer_FA_6(healthy):
    """No request fails, neither one under way nor a new one, where replies do not need the router that stops."""
    with gateway_moved(healthy, "r1", "r2"):
        with configured(healthy, "r1", "fad", "linger: 2s\n"), Requests(healthy, VIP4) as requests, \
                routes.Fib(healthy.netns("core")) as fib:
            time.sleep(0.7)
            healthy.stop("r1", "fad")
            ended = time.monotonic()
            time.sleep(0.7)
            gone = [when for when, _, prefix, hops_left in fib.log if prefix == VIP4 + "/32" and len(hops_left) == 1]
        # At once, not after a lease: that begins when it is gone.
        assert gone and gone[0] < ended, "packets were served until upstream had moved"
        bad = [line for line in requests.lines if not line.endswith(" 200")]
        assert not bad and len(requests.lines) > 20, (len(requests.lines), bad[:5])
        assert max(float(line.split()[0]) for line in requests.lines) < 1, "a packet was lost and sent again"
        assert settled(healthy, 2, 10)


# ---- hung and dying processes ----

def test_hung_glue_changes_nothing_until_it_is_ended_ACT_3(healthy):
    """The kernel keeps the device while the process is there.  Under systemd the watchdog ends it: test_units.py."""
    with hung(healthy, "r1", "routed-glue"):
        healthy.stop("r1", "fad", kill=True)
        time.sleep(1.5 * LEASE_SECONDS)
        assert hops(healthy, VIP4) == 2 and hops(healthy, VIP6) == 2, "nobody there to see the lease run out"
        healthy.stop("r1", "routed-glue", kill=True)  # what the watchdog does
        assert settled(healthy, 1, BGP_SECONDS)
        healthy.start("r1", "routed-glue")
        healthy.start("r1", "fad")
        assert settled(healthy, 2, 10)


def test_glue_that_goes_on_withdraws_what_has_run_out_meanwhile_ACT_3(healthy):
    with hung(healthy, "r1", "routed-glue"):
        healthy.stop("r1", "fad", kill=True)
        time.sleep(1.2 * LEASE_SECONDS)
    assert settled(healthy, 1, EXCUSE_SECONDS + BGP_SECONDS)
    healthy.start("r1", "fad")
    assert settled(healthy, 2, 10)


def test_glue_that_was_away_does_not_take_it_for_silence_of_its_agent_ACT_3(healthy):
    with routes.Fib(healthy.netns("core")) as fib:
        fib.watch([VIP4, VIP6])
        with readers_last(healthy.pid("r1", "routed-glue")), hung(healthy, "r1", "routed-glue"):
            time.sleep(1.5 * LEASE_SECONDS)
        before = healthy.counters("r1", "routed-glue")
        time.sleep(EXCUSE_SECONDS + LEASE_SECONDS)
        after = healthy.counters("r1", "routed-glue")
        assert changes(fib, VIP4, VIP6) == []
    assert after["agents", "leases-expired"] == before["agents", "leases-expired"]


def test_zebra_restarted_by_watchfrr_has_routes_and_no_ghosts_ACT_3(healthy):
    before = healthy.pid("r1", "zebra")
    ghost, withdrawn = "203.0.113.200/32", "203.0.113.201/32"
    with announcer(healthy) as crowd:
        crowd.say([withdrawn])
        assert until(lambda: len(healthy.next_hops("core", withdrawn)) == 1, BGP_SECONDS, 0.05)
        os.kill(before, signal.SIGKILL)
        crowd.say([withdrawn], ttl=0)  # while nobody is there to see it
        crowd.say([ghost])
        assert until(lambda: healthy.pid("r1", "zebra") not in (None, before), 20), "watchfrr does not restart it"
        assert settled(healthy, 2, 20), frr_says(healthy, "r1")
        assert until(lambda: len(healthy.next_hops("core", ghost)) == 1, 5)
        assert until(lambda: not healthy.next_hops("core", withdrawn), 1 + BGP_SECONDS, 0.05), "a ghost of before"
        crowd.say([ghost], ttl=0)
        assert until(lambda: not healthy.next_hops("core", ghost), 1 + BGP_SECONDS, 0.05), "a ghost"
    healthy.stop("r1", "routed-glue", kill=True)
    assert settled(healthy, 1, BGP_SECONDS)
    healthy.start("r1", "routed-glue")
    assert settled(healthy, 2, 5)


# ---- lost notifications ----

@contextlib.contextmanager
def small_netlink_buffer(lab, router):
    """zebra with a buffer that holds a few hundred notifications."""
    script = pathlib.Path(f"{lab.node(router)['directory']}/frr/frr.sh")
    before = script.read_text()
    assert "-s 90000000" in before
    script.write_text(before.replace("-s 90000000", "-s 65536"))
    try:
        lab.stop(router, "frr")
        lab.start(router, "frr")
        yield
    finally:
        script.write_text(before)
        lab.stop(router, "frr")
        lab.start(router, "frr")


def healed(lab):
    return lab.counters("r1", "routed-glue").get(("audit", "frr-healed"), 0)


@pytest.mark.alone  # the audit of a busy machine repairs what zebra is still at
def test_overflow_of_zebras_buffer_with_10000_vips_is_healed_ACT_3(healthy):
    """Once its buffer overflowed zebra misses routes, or keeps ghosts, for ever: the audit finds both."""
    prefixes = routes.many_prefixes(10000)
    ghosts, others = prefixes[:2000], prefixes[2000:]
    with small_netlink_buffer(healthy, "r1"), configured(healthy, "r1", "routed-glue", "frr-audit: 1s\n"):
        with routes.Fib(healthy.netns("core")) as fib, announcer(healthy) as crowd:
            fib.watch(prefixes)
            with hung(healthy, "r1", "zebra"):
                crowd.say(prefixes)
                assert until(lambda: len(states(healthy, "r1")) >= 10000, 5)
                time.sleep(0.5)
            assert fib.wait(10000, 80), (fib.reached, healed(healthy))
            first = healed(healthy)
            assert first > 1000, "nothing was lost: the test proves nothing"
            crowd.say(others, ttl=0)
            assert fib.wait(2000, 60), fib.reached
            with hung(healthy, "r1", "zebra"):
                crowd.say(ghosts, ttl=0)
                assert until(lambda: len(states(healthy, "r1")) < 10, 5)
                time.sleep(0.5)
            assert fib.wait(0, 80), (fib.reached, healed(healthy))
            assert healed(healthy) > first + 500, "nothing was lost: the test proves nothing"
    assert settled(healthy, 2, 15)


def test_overflow_of_the_glues_own_buffer_is_made_good_ACT_3_ARCH_10(healthy, tmp_path):
    """More routes go than its buffer holds notes of while it does not read: it looks at the whole table again."""
    def found_missing():
        return healthy.counters("r1", "routed-glue").get(("audit", "missing"), 0)

    # In a table of their own: nobody else's business.
    lines = [f"10.128.{n // 256}.{n % 256}/32 table 77" for n in range(24000)]
    for word in ("add", "del"):
        (tmp_path / word).write_text("".join(f"route {word} blackhole {line}\n" for line in lines))
    healthy.run("r1", "ip", "-batch", str(tmp_path / "add"))
    before = found_missing()
    with hung(healthy, "r1", "routed-glue"):
        healthy.run("r1", "ip", "-batch", str(tmp_path / "del"))
        healthy.run("r1", "ip", "route", "del", f"{VIP4}/32", "dev", "vip0")  # of this there is no room for a note
    assert until(lambda: f"{VIP4}" in healthy.run("r1", "ip", "route", "show", "dev", "vip0").stdout, 5)
    assert found_missing() > before
    assert settled(healthy, 2, 5)


# ---- FRRouting's configuration ----

def test_saved_and_reloaded_configuration_names_no_vip_ACT_3(healthy):
    directory = f"{healthy.node('r1')['directory']}/frr"
    before = pathlib.Path(f"{directory}/frr.conf").read_text()
    try:
        healthy.run("r1", "vtysh", "-c", "write memory")
        saved = pathlib.Path(f"{directory}/frr.conf").read_text()
        assert saved != before and "redistribute kernel route-map VIP-OUT" in saved
        assert "203.0.113" not in saved and "2001:db8:113" not in saved
        with routes.Fib(healthy.netns("core")) as fib:
            healthy.run("r1", "vtysh", "-b")  # the saved one over the running one
            time.sleep(0.5)
            assert changes(fib, VIP4, VIP6) == []
        # VIPs that went while FRRouting was down are not to come back with the saved file.
        healthy.stop("r1", "frr")
        healthy.stop("r1", "routed-glue")
        healthy.start("r1", "frr")
        assert until(lambda: len(healthy.next_hops("core", "10.0.20.0/24")) == 2, 15)
        time.sleep(0.5)
        assert hops(healthy, VIP4) == 1 and hops(healthy, VIP6) == 1
        healthy.start("r1", "routed-glue")
        assert settled(healthy, 2, 5)
    finally:
        pathlib.Path(f"{directory}/frr.conf").write_text(before)


# ---- the device ----

def test_reload_says_that_there_is_nothing_to_reload(healthy):
    os.kill(healthy.pid("r1", "routed-glue"), signal.SIGHUP)
    assert until(lambda: "SIGHUP: nothing to reload" in log(healthy, "r1", "routed-glue"), 2)
    assert settled(healthy, 2, 1)


# ---- flapping, and OSPF, which dislikes it ----

def flap(lab, fib, prefix):
    """Announce, and take back as soon as the core has it; how long it stayed there."""
    with announcer(lab) as crowd:
        fib.watch([prefix])
        crowd.say([prefix])
        came = fib.wait(1, 15)
        assert came, "not announced"
        crowd.say([prefix], ttl=0)
        gone = fib.wait(0, 30)
        assert gone, "not withdrawn"
    return gone - came


@MASKED
def test_withdrawal_at_once_is_held_for_a_second_ACT_3(healthy, prefix):
    with routes.Fib(healthy.netns("core")) as fib:
        assert 0.7 < flap(healthy, fib, prefix) < 1 + PATIENCE * BGP_SECONDS


@pytest.fixture(scope="module")
def ospf():
    """Topology `pair-ospf`: OSPF and OSPFv3 between core and routers."""
    yield from bring_up("pair-ospf", f"{LAB_NAME}-ospf"[:24])


@VIPS
def test_ospf_announces_with_equal_costs_and_forgets_a_killed_glue_ACT_3(ospf, vip):
    assert until(lambda: hops(ospf, vip) == 2, 5)
    assert ospf.who("client1", vip)[0].startswith("web")
    time.sleep(1)  # OSPF is not to be asked twice in a second
    ospf.stop("r1", "routed-glue", kill=True)
    assert settled(ospf, 1, BGP_SECONDS)
    assert ospf.who("client1", vip)[0].startswith("web")
    ospf.start("r1", "routed-glue")
    assert settled(ospf, 2, 10)


def test_ospf_killed_agent_is_withdrawn_after_the_lease_ACT_3(ospf):
    time.sleep(1)
    ospf.stop("r1", "fad", kill=True)
    assert settled(ospf, 1, LEASE_SECONDS + BGP_SECONDS)
    ospf.start("r1", "fad")
    assert settled(ospf, 2, 15)


@MASKED
def test_ospf_prefix_with_mask_and_withdrawal_after_a_second_ACT_3(ospf, prefix):
    """OSPF takes 9 to 10 s over a withdrawal that follows its announcement within a second; so none does."""
    with routes.Fib(ospf.netns("core")) as fib:
        assert 0.7 < flap(ospf, fib, prefix) < 6
