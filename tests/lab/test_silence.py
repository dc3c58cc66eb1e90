# SPDX-License-Identifier: BSD-2-Clause
"""A manager that does not answer: what its wildcards say for that is done at once, and ends when it answers again.

A filter made from the protocol's document, and the lab's balancer, stopped by SIGSTOP or killed.  Each test leaves the lab
with the configuration that it found.
"""
import contextlib
import os
import pathlib
import signal
import socket
import time

import peer
from conftest import until
from test_failures import ROUTERS, SERVERS, both_announce, host
from test_fallback import kernel_counters
from test_managers import FILTER, Filter, family_of
from test_predetermined import clients
from test_smd import configured, service
from turnoutlab.topology import VIPS

# Connections are asked about by a question that is lost; some must be, before a manager is silent.
SOON = 15


@contextlib.contextmanager
def stopped(lab):
    """The balancer stopped, so that it is there and does not answer."""
    pid = lab.pid("sm1", "smd")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def connects(lab, vip, source=None):
    """The server that answered one connection attempt of a second; empty: none did."""
    more = ["--interface", source] if source else []
    return lab.run("client1", "curl", "-sg", "--connect-timeout", "1", *more, f"http://{host(vip)}/", check=False).stdout.split()


def hammer(lab, vip, count=40):
    """As many connection attempts at once, of a little more than a question's time: both routers ask in vain."""
    family = family_of(vip)
    with peer.namespace(lab.netns("client1")):
        attempts = [socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET) for _ in range(count)]
    for s in attempts:
        s.setblocking(False)
        s.connect_ex((vip, 80))
    time.sleep(0.4)
    for s in attempts:
        s.close()


def total(lab, group, name):
    return sum(lab.counters(r, "fad")[group, name] for r in ROUTERS)


def silent(lab, manager, vip=None):
    """Rows of wildcards under which this manager is silent at an agent."""
    return [row for r in ROUTERS for row in lab.rows(r, "fad", "wildcards")
            if row["manager"] == manager and row["silent_s"] and vip in (None, row["destination"].partition("/")[0])]


class Slow(Filter):
    """The filter of test_managers with flags, and moods: it answers, or only hears."""

    def __init__(self, lab, flags, *arguments, **named):
        super().__init__(lab, *arguments, **named)
        self.answers = False
        self.say(lab, flags)

    def say(self, lab, flags):
        self.wildcards = [[peer.wildcard(vip, dport=80, flags=flags), peer.interest(peer.ALL, peer.ALL), peer.precedence(5),
                           peer.identity(lab.address("sm2", "ctl"), "filter")] for vip in VIPS]

    def answer(self, message):
        if self.answers:
            super().answer(message)
        else:
            self.asked_about.append((peer.key_of(message), None))


@contextlib.contextmanager
def slow_filter(lab, flags):
    with Slow(lab, flags, lab.netns("sm2"), lab.address("sm2", "ctl"), FILTER, lab.key(), group=peer.GROUP4) as m:
        def known():
            m.poll()
            return all(any(row["manager"] == "filter" for row in lab.rows(r, "fad", "wildcards")) for r in ROUTERS)
        m.announce()
        try:
            assert until(known, 20)
            yield m
        finally:
            m.withdraw()
            assert until(lambda: not any(row["manager"] == "filter" for r in ROUTERS
                                         for row in lab.rows(r, "fad", "wildcards")), 10)


def test_filter_that_does_not_answer_FA_5_PREC_5_WILD_4(healthy):
    """With drop nobody gets through, by name; with route everybody does, past it, to the balancer; then it answers."""
    with slow_filter(healthy, 0) as m:
        before = total(healthy, "drops", "silent")
        for vip in VIPS:
            def shut(address=vip):
                hammer(healthy, address)
                return len(silent(healthy, "filter", address)) == len(ROUTERS)
            assert until(shut, SOON, 0), silent(healthy, "filter")
            assert not connects(healthy, vip)
        assert total(healthy, "drops", "silent") > before
        asked = len(m.asked_about)

        m.say(healthy, peer.ROUTE_SILENT)
        m.announce()  # another word about them counts at once, also in the silence
        for vip in VIPS:
            assert until(lambda address=vip: connects(healthy, address), 5, 0), silent(healthy, "filter")
            found = [connects(healthy, vip) for _ in range(4)]
            assert all(answer and answer[0] in SERVERS for answer in found), found
        assert total(healthy, "packets", "silent-routed") > 0
        told = [healthy.ctl(r, "--json", "--from", "fad", "trace", "tcp", f"{healthy.address('client1', 'core')}:4000",
                            f"{VIPS[0]}:80").stdout for r in ROUTERS]
        assert any("on-silence is route" in text for text in told), told

        def probed():
            connects(healthy, VIPS[0])
            m.poll()
            return len(m.asked_about) > asked
        assert until(probed, 10), "it is asked no more"
        m.answers = True

        def heard():
            for vip in VIPS:
                connects(healthy, vip)
                m.poll()
            return not silent(healthy, "filter")
        assert until(heard, 10), silent(healthy, "filter")


def test_balancer_that_does_not_answer_drops_by_name_FA_5_ARCH_7(healthy):
    """As long as it is stopped, and no longer; who was served before goes on."""
    before = total(healthy, "drops", "silent")
    with stopped(healthy):
        def shut():
            hammer(healthy, VIPS[0])
            return silent(healthy, "sm1", VIPS[0]) and total(healthy, "drops", "silent") > before
        assert until(shut, SOON, 0), healthy.rows("r1", "fad", "wildcards")
        assert not connects(healthy, VIPS[0])
        deaf = next(r for r in ROUTERS if any(row["silent_s"] for row in healthy.rows(r, "fad", "wildcards")))
        text = healthy.ctl(deaf, "doctor", check=False).stdout
        assert "is heard, but does not answer under" in text, text
    assert until(lambda: connects(healthy, VIPS[0]), 5, 0)
    assert until(lambda: connects(healthy, VIPS[0]) and not silent(healthy, "sm1", VIPS[0]), 10, 0.2)


def test_partitions_take_over_from_a_silent_balancer_FA_5_SM_13_PREC_4(healthy):
    """Not only when its wildcards have expired; and it decides again as soon as it is back."""
    def change(text):
        return service(text, "web", "    method: maglev\n",
                       "    method: maglev\n    partition-ttl: 60s\n    on-silence: route\n")

    def spread():
        """Clients of both families are served, each by one server."""
        for vip in VIPS:
            hammer(healthy, vip)
        return all(served and served[0] in SERVERS for family, vip in ((family_of(v), v) for v in VIPS)
                   for served in [connects(healthy, vip, source) for source in addresses[family]])

    def decided():
        return healthy.counters("sm1", "smd")["decisions", "new"]
    with configured(healthy, change), clients(healthy, 2) as addresses:
        assert until(lambda: all(len([row for row in healthy.rows(r, "fad", "wildcards") if row["backup"] > 1000]) == 28
                                 for r in ROUTERS), 10)
        healthy.stop("sm1", "smd", kill=True)
        try:
            assert until(spread, SOON, 0), silent(healthy, "sm1")
            assert spread()
        finally:
            healthy.start("sm1", "smd")
        assert until(lambda: {row["state"] for row in healthy.rows("sm1", "smd", "servers")} == {"up"}, 10)
        before = decided()
        assert until(lambda: connects(healthy, VIPS[0]) and decided() > before, 10, 0.2)


@contextlib.contextmanager
def without_fallback(lab):
    """Both agents restarted, and so again at the end: what a dead one would see is sent to no other."""
    paths = {router: pathlib.Path(lab.node(router)["configs"]["fad"]) for router in ROUTERS}
    texts = {router: path.read_text() for router, path in paths.items()}

    def again(change):
        for router in ROUTERS:
            if lab.alive(router, "fad"):
                lab.stop(router, "fad", kill=True)
            paths[router].write_text(change(texts[router]))
            lab.start(router, "fad")
    try:
        again(lambda text: "".join(line for line in text.splitlines(True) if not line.startswith("fallback")))
        yield
    finally:
        again(lambda text: text)
        assert both_announce(lab)


def test_filter_without_its_agents_FA_6(healthy):
    """Both agents killed: what one filter denies stays denied, what another does goes through, in both families."""
    servers = [healthy.address("web2", "lan", family) for family in (4, 6)]

    def filters(text):
        def rules(port):
            return "".join(f'      - {{action: deny, protocol: tcp, destination: "{address}/{128 if ":" in address else 32}", '
                           f"port: {port}}}\n" for address in servers)
        return text + (f"filters:\n  - name: shut\n    precedence: 5\n    agent-gone: drop\n    rules:\n{rules(80)}"
                       f"  - name: open\n    precedence: 6\n    rules:\n{rules(8080)}")

    def reached(port):
        path = "/" if port == 80 else "/whoami"
        return [healthy.run("client1", "curl", "-sg", "--connect-timeout", "0.5", f"http://{host(address)}:{port}{path}",
                            check=False).stdout.split()[:1] == ["web2"] for address in servers]
    assert until(lambda: all(reached(80) + reached(8080)), 10)
    with without_fallback(healthy), configured(healthy, filters):
        assert until(lambda: all(len([row for row in healthy.rows(r, "fad", "wildcards") if row["precedence"] in (5, 6)]) == 4
                                 for r in ROUTERS), 10)
        assert {(row["precedence"], row["agent_gone"]) for row in healthy.rows("r1", "fad", "wildcards")} >= {
            (5, "drop"), (6, "route"), (100, "route")}
        assert not any(reached(80) + reached(8080))
        try:
            for router in ROUTERS:
                healthy.stop(router, "fad", kill=True)
            assert until(lambda: all(reached(8080)), 5, 0)
            assert not any(reached(80))
            assert sum(kernel_counters(healthy, router)["DROPPED_GONE"] for router in ROUTERS) > 0
        finally:
            for router in ROUTERS:
                healthy.start(router, "fad")
        assert until(lambda: not any(reached(80) + reached(8080)), 15)
    assert until(lambda: all(reached(80) + reached(8080)), 10)
