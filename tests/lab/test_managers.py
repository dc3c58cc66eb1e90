# SPDX-License-Identifier: BSD-2-Clause
"""Three managers that know nothing of each other act on the same connections: a filter, statistics, and the lab's balancer.

The first two are made from the protocol's document. And no manager at all: then there is nothing but routing.
"""
import concurrent.futures
import contextlib

import pytest

import peer
from conftest import until
from peer import Manager
from turnoutlab.topology import VIPS

FILTER, STATISTICS, AGENTS = 0x77B, 0x77C, ("r1", "r2")
DROP, INFORMATION = 1, 2
DENIED = {4: "10.0.1.40", 6: "fd00:1::40"}


def family_of(address):
    return 6 if ":" in address else 4


class Filter(Manager):
    """Asked about each connection to the VIPs' port 80; says yes, or drops it."""

    def __init__(self, lab, *arguments, **named):
        super().__init__(*arguments, **named)
        self.decide, self.asked_about = self.rule, []
        self.wildcards = [[peer.wildcard(vip, dport=80), peer.interest(peer.ALL, peer.ALL), peer.precedence(5),
                           peer.identity(lab.address("sm2", "ctl"), "filter")] for vip in VIPS]

    def rule(self, message):
        key = peer.key_of(message)
        if message.type != peer.REFRESH:
            self.asked_about.append((key, message.segment(peer.SEG_IP_PACKET)))
        return [peer.fixed(key, ttl=30, flags=DROP if key.src in DENIED.values() else 0), peer.precedence(5)]


@contextlib.contextmanager
def three(lab):
    """(filter, statistics), known to both agents; the latter prefers the other search order, and comes out as rank 6."""
    statistics = [[peer.wildcard(vip, dport=80, flags=INFORMATION), peer.interest(peer.SYN),
                   peer.precedence(0xffffffff - 6, lower_first=False),
                   peer.identity(lab.address("sm2", "ctl"), "statistics")] for vip in VIPS]
    netns, address, key = lab.netns("sm2"), lab.address("sm2", "ctl"), lab.key()
    with Filter(lab, netns, address, FILTER, key, group=peer.GROUP4, challenging=True) as first, \
            Manager(netns, address, STATISTICS, key, port=7520, group=peer.GROUP4, wildcards=statistics,
                    challenging=True) as second:
        def known():
            first.poll()
            second.poll()
            return all({row["manager"]: row["precedence"] for row in lab.rows(r, "fad", "wildcards")
                        if row["manager"] in ("filter", "statistics")} == {"filter": 5, "statistics": 6} for r in AGENTS)
        for m in (first, second):
            m.announce()
        try:
            assert until(known, 20), [lab.rows(r, "fad", "wildcards") for r in AGENTS]
            first.inbox.clear()
            second.inbox.clear()
            yield first, second
        finally:
            for m in (first, second):
                m.withdraw()
            assert until(lambda: not any(row["manager"] in ("filter", "statistics") for r in AGENTS
                                         for row in lab.rows(r, "fad", "wildcards")), 10)


def serving(managers, work):
    """The result of work(), done by another thread while the managers answer."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while not future.done():
            for m in managers:
                m.poll()
        return future.result()


def matches(m):
    return [message for message in m.inbox if message.type in (peer.MATCH_WILDCARD, peer.MATCH_FIXED)]


def decisions(lab):
    return sum(row["decisions"] for row in lab.rows("sm1", "smd", "services") if row["port"] == 80)


def forwarded(lab):
    """Packets by forward address, of both agents."""
    found = {}
    for agent in AGENTS:
        for row in lab.rows(agent, "fad", "forwards"):
            found[row["address"]] = found.get(row["address"], 0) + row["packets"]
    return found


@pytest.mark.parametrize("vip", VIPS)
def test_filter_and_statistics_before_a_balancer_PREC_1_PREC_2_PREC_3_PREC_5_PREC_7_FIX_4_FIX_8(healthy, vip):
    """What the filter lets pass the statistics see and the balancer decides, once each, in this order."""
    family = family_of(vip)
    client = healthy.address("client1", "core", family)
    with three(healthy) as managers:
        before, sent = decisions(healthy), forwarded(healthy)
        seen = [serving(managers, lambda: healthy.who("client1", vip)) for _ in range(4)]
        for m in managers:
            m.poll()
        assert {source for _, source in seen} == {client}
        assert decisions(healthy) == before + 4
        # The filter was asked once about each, with the packet; the statistics told once, without.
        asked, told = managers[0].asked_about, matches(managers[1])
        assert len(asked) == len({key for key, _ in asked}) == 4 and all(data for _, data in asked)
        assert [peer.key_of(m) for m in told] == [key for key, _ in asked]
        assert not any(m.segment(peer.SEG_IP_PACKET) for m in told)
        # Both see the packet as it came (PREC-8).
        assert all(key.dst == vip and key.src == client for key, _ in asked)
        # The statistics' flag counts where the balancer sends it.
        now = forwarded(healthy)
        servers = {healthy.address(name, "lan", family) for name, _ in seen}
        assert all(now.get(s, 0) > sent.get(s, 0) for s in servers)
        assert vip not in now


@pytest.mark.parametrize("vip", VIPS)
def test_what_the_filter_drops_nobody_else_hears_of_PREC_6_FIX_3_FIX_7(healthy, vip):
    """Counted at the filter's affinity, and gone; other clients are served meanwhile."""
    family = family_of(vip)
    length = 24 if family == 4 else 64
    healthy.run("client1", "ip", "address", "add", f"{DENIED[family]}/{length}", "dev", "core", "nodad")
    try:
        with three(healthy) as managers:
            before = decisions(healthy)
            done = serving(managers, lambda: healthy.run(
                "client1", "curl", "-sg", "--connect-timeout", "3", "--interface", DENIED[family],
                f"http://{f'[{vip}]' if family == 6 else vip}/", check=False))
            assert done.returncode == 28, done
            assert not matches(managers[1]) and decisions(healthy) == before
            rows = [row for agent in AGENTS for row in healthy.rows(agent, "fad", "affinities")
                    if row["manager"] == "filter" and DENIED[family] in row["source"]]
            # A repeated SYN may take the other router, whose agent asks for itself (ARCH-3).
            assert 1 <= len(rows) == len(managers[0].asked_about) <= 2
            assert {row["actions"] for row in rows} == {"drop"} and sum(row["packets"] for row in rows) >= 2
            other = healthy.address("client1", "core", family)
            assert serving(managers, lambda: healthy.curl("client1", f"http://{f'[{vip}]' if family == 6 else vip}/",
                                                          "--interface", other)).split()[1] == other
    finally:
        healthy.run("client1", "ip", "address", "delete", f"{DENIED[family]}/{length}", "dev", "core")


def test_agents_without_managers_only_route_ARCH_6_ARCH_1_FA_8(healthy):
    """Nobody told them anything: nothing comes up to them, nothing is advertised, and every direct connection works."""
    healthy.stop("sm1", "smd")
    try:
        for agent in AGENTS:
            healthy.stop(agent, "fad")
            healthy.start(agent, "fad")  # without what they were given before
        assert until(lambda: not any(healthy.next_hops("core", vip) for vip in VIPS), 10)
        before = [healthy.counters(agent, "fad") for agent in AGENTS]
        for family in (4, 6):
            for name in ("web1", "web2", "web3"):
                server = healthy.address(name, "lan", family)
                assert healthy.who("client1", server) == (name, healthy.address("client1", "core", family))
                healthy.run("client1", "ping", "-c", "1", "-W", "2", server)
        for agent, then in zip(AGENTS, before):
            now = healthy.counters(agent, "fad")
            changed = {name: now[name] - then[name] for name in now if now[name] != then[name]}
            assert not [name for name in changed if name[0] in ("packets", "drops", "affinities", "wildcards", "punt-port")], \
                changed
            assert not healthy.rows(agent, "fad", "wildcards") and not healthy.rows(agent, "fad", "affinities")
    finally:
        healthy.start("sm1", "smd")
    assert until(lambda: all(len(healthy.next_hops("core", vip)) == 2 for vip in VIPS), 15)
