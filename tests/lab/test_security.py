# SPDX-License-Identifier: BSD-2-Clause
"""Whom the daemons believe: keys that roll while they run, senders that are not heard, secrets that are not told.

In the small network of test_discovery.py: one agent, one manager, whoever speaks from one of their machines beside them,
and a third host at the switch that hears and repeats all.
"""
import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest
from scapy.all import IP, UDP, Ether, raw

import peer
from conftest import BUILD, until
from test_discovery import ADDRESS, AGENT, DATA, FAR, IDENTITY, MANAGER, PROGRAM, SWITCH, net, network  # noqa: F401: fixtures
from turnoutlab import process


def mac_of(where, side, interface):
    return json.loads(where.run(side, "ip", "-j", "link", "show", "dev", interface).stdout)[0]["address"]


def drops(where, side):
    return {row["name"]: int(row["value"]) for row in where.rows(side, "counters") if row["group"] == "message-drops"}


def loaded(where, side):
    return next(int(row["value"]) for row in where.rows(side, "counters") if row["name"] == "security-loaded")


def secure(where, side, security):
    """Another `security:` in the configuration of a daemon that runs; True once it was taken."""
    config = where.directory / side / "conf.yaml"
    lines = [f"security: {json.dumps(security)}" if line.startswith("security:") else line
             for line in config.read_text().splitlines()]
    before = loaded(where, side)
    config.write_text("\n".join(lines) + "\n")
    os.kill(where.running[side]["pid"], signal.SIGHUP)
    return until(lambda: loaded(where, side) > before, 3)


def keys(where, *ids, sign):
    return {"keys": [{"id": n, "file": str(where.directory / f"rolling{n}")} for n in ids], "sign-with": sign}


def test_keys_roll_without_an_outage_SEC_3(net):  # noqa: F811
    """Both everywhere, then signed with the new one, then without the old one: nobody is refused or greeted anew."""
    for number in (1, 2):
        net.write_key(net.directory / f"rolling{number}")
    first = net.directory / "rolling1"
    net.start(MANAGER, key=first)
    net.start(AGENT, key=first)
    assert until(lambda: net.rows(AGENT, "wildcards"), 10)
    known = {side: next(r["value"] for r in net.rows(side, "counters") if r["name"] == "peers-known") for side in PROGRAM}
    refused = {side: drops(net, side)["authentication-unknown-key"] for side in PROGRAM}
    for stage in (keys(net, 1, 2, sign=1), keys(net, 1, 2, sign=2), keys(net, 2, sign=2)):
        for side in (MANAGER, AGENT):
            assert secure(net, side, stage), (side, stage)
        heard = {side: next(int(r["value"]) for r in net.rows(side, "counters") if r["name"] == "accepted") for side in PROGRAM}
        assert until(lambda h=heard: next(int(r["value"]) for r in net.rows(AGENT, "counters")
                                          if r["name"] == "accepted") > h[AGENT], 10)
        assert net.rows(AGENT, "wildcards")
    for side in PROGRAM:
        assert drops(net, side)["authentication-unknown-key"] == refused[side]
        assert next(r["value"] for r in net.rows(side, "counters") if r["name"] == "peers-known") == known[side]
    # A key file that is not there, or that others read, changes nothing.
    (net.directory / "rolling2").chmod(0o644)
    assert not secure(net, AGENT, keys(net, 1, 2, sign=1))
    log = (net.directory / AGENT / "log").read_text()
    assert "rolling2 can be read or changed by others (mode 0644)" in log
    done = net.run(AGENT, str(BUILD / "fad"), "--check", "--config", str(net.directory / AGENT / "conf.yaml"), check=False)
    assert done.returncode == 3 and "mode 0644" in done.stderr


def test_only_configured_senders_are_heard_SEC_1(net):  # noqa: F811
    """The right key is not enough where accept-from does not have the address."""
    net.start(MANAGER)
    security = {"keys": [{"id": 1, "file": str(net.key)}], "accept-from": ["192.0.2.0/24"]}
    assert secure(net, MANAGER, security)
    with peer.Peer(net.netns(AGENT), ADDRESS[AGENT], 0x777, net.key.read_bytes()) as stranger:
        to = (ADDRESS[MANAGER], 7510)
        stranger.send(to, peer.HELLO, [peer.identity(ADDRESS[AGENT], "x"), peer.action_list(10)])
        assert until(lambda: drops(net, MANAGER)["sender"], 5)
        assert not stranger.receive(lambda m: True, 0.5)
        security["accept-from"] = [f"{ADDRESS[AGENT]}/32"]
        assert secure(net, MANAGER, security)
        stranger.send(to, peer.HELLO, [peer.identity(ADDRESS[AGENT], "x"), peer.action_list(10)])
        assert stranger.receive(lambda m: m.type == peer.CHALLENGE, 5)


def test_secrets_are_nowhere_to_be_read_SEC_3(net, monkeypatch):  # noqa: F811
    """Neither in logs at --debug, nor in listings, checks or the process's arguments and environment; no core files."""
    secret = net.key.read_bytes()
    shapes = (secret, secret.hex().encode(), base64.b64encode(secret))
    spawn = process.spawn
    # As in a host that keeps core files, or else there is nothing to be limited.
    monkeypatch.setattr(process, "spawn", lambda where, argv, *more: spawn(
        where, ["prlimit", "--core=unlimited", *argv, "--debug"], *more))
    net.start(MANAGER)
    net.start(AGENT)
    assert until(lambda: net.rows(AGENT, "wildcards"), 10)
    said = []
    for side, program in PROGRAM.items():
        listings = ("agents", "managers", "services", "servers", "wildcards", "affinities", "flows", "forwards", "counters",
                    "routes", "interfaces")
        for words in (*(("show", what) for what in listings), ("version",), ("doctor",)):
            done = subprocess.run(net.ctl(side, *words), capture_output=True, timeout=60)
            assert b"unknown" not in done.stderr, done.stderr
            said.append(done.stdout + done.stderr)
        config = str(net.directory / side / "conf.yaml")
        done = net.run(side, str(BUILD / program), "--debug", "--check", "--config", config)
        said += [done.stdout.encode(), done.stderr.encode(), (net.directory / side / "log").read_bytes()]
        inside = pathlib.Path(f"/proc/{net.running[side]['pid']}")
        said += [(inside / "cmdline").read_bytes(), (inside / "environ").read_bytes()]
        limits = (inside / "limits").read_text().splitlines()
        assert int(next(x for x in limits if x.startswith("Max core file size")).split()[4]) <= 1
    assert not [text for text in said for shape in shapes if shape in text]
    for side, program in PROGRAM.items():
        for suffix in ("sock", "events"):
            mode = (net.directory / side / "run" / f"{program}.{suffix}").stat().st_mode & 0o777
            assert mode & 0o007 == 0, oct(mode)
        assert (net.directory / side / "run").stat().st_mode & 0o777 == 0o750


# ---- who hears and says everything on the control network, without a key ----

ATTACKER, VICTIM = "attacker", "10.78.0.66"


class Wire:
    """A third host at the switch: hears both daemons' cables, and says frames from a cable of its own."""

    def __init__(self, where):
        self.where = where

    def __enter__(self):
        where = self.where
        self.namespace = where.namespace(ATTACKER)
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, capture_output=True)
        process.run(["ip", "netns", "add", self.namespace])
        where.ip(SWITCH, f"link add name third type veth peer name ctl netns {self.namespace}", "link set dev third master br up")
        where.ip(ATTACKER, "link set ctl up", f"addr add {VICTIM}/24 dev ctl")
        self.ears = self.open(where.netns(SWITCH), AGENT)
        self.mouth = self.open(where.netns(ATTACKER), "ctl")
        self.mac = self.mouth.getsockname()[4]
        return self

    def __exit__(self, *_):
        self.ears.close()
        self.mouth.close()
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, capture_output=True)

    @staticmethod
    def open(netns, interface):
        with peer.namespace(netns):
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        opened.bind((interface, 0x0003))
        opened.setblocking(False)
        return opened

    def heard(self, *senders):
        """Frames of control messages of these daemons since the last call, but for challenges, which may be answered."""
        found = []
        while True:
            try:
                frame = self.ears.recv(65535)
            except BlockingIOError:
                return found
            if (frame[12:14], frame[23]) == (b"\x08\x00", 17) and frame[43] != peer.CHALLENGE and \
                    frame[26:30] in [socket.inet_aton(ADDRESS[sender]) for sender in senders]:
                found.append(frame)

    def repeat(self, frames):
        """As they were, source address too; without UDP's checksum, which the sender's kernel leaves open on a veth."""
        for frame in frames:
            self.mouth.send(frame[:6] + self.mac + frame[12:40] + bytes(2) + frame[42:])
            time.sleep(0.001)


REFUSED = ("replay", "unknown-incarnation", "challenge-pending", "challenge-limited", "stale-response")


def refused(where, side):
    return sum(drops(where, side).get(name, 0) for name in REFUSED)


def test_a_third_host_repeats_messages_with_their_addresses_SEC_4(net):  # noqa: F811
    """At once, after a restart of the manager, and of either alone: refused by name, and nothing takes effect."""
    def repeated(side, frames):
        before = refused(net, side)
        wire.repeat(frames)
        assert until(lambda: refused(net, side) - before >= len(frames), 5), (drops(net, side), len(frames))

    with Wire(net) as wire:
        net.start(MANAGER)
        net.start(AGENT)
        assert until(lambda: net.ports() == {80}, 10)
        time.sleep(1)  # for the wildcards to be said once more, to the group
        of_manager = wire.heard(MANAGER)
        net.stop(AGENT, kill=True)
        net.start(AGENT)
        assert until(lambda: net.ports() == {80}, 10)
        of_agent = wire.heard(AGENT)
        assert of_manager and of_agent
        before = drops(net, AGENT)["replay"]
        repeated(AGENT, of_manager)  # said to the agent before its restart
        assert drops(net, AGENT)["replay"] > before
        before = drops(net, MANAGER)["replay"]
        repeated(MANAGER, of_agent)
        assert drops(net, MANAGER)["replay"] > before
        net.stop(MANAGER, kill=True)
        net.start(MANAGER, port=81)
        assert until(lambda: net.ports() == {81}, 15)
        repeated(AGENT, of_manager)
        assert net.ports() == {81}
        # Nobody is there who could answer a challenge.
        net.stop(MANAGER, AGENT, kill=True)
        net.start(AGENT)
        repeated(AGENT, of_manager)
        assert not net.rows(AGENT, "wildcards")
        net.stop(AGENT, kill=True)
        net.start(MANAGER)
        repeated(MANAGER, of_agent)
        assert not [row for row in net.rows(MANAGER, "agents") if row["state"] == "known"]


SHORT = """\
flow-ttl: 1s
services:
  - {{name: web, vip: 203.0.113.90, protocol: udp, port: 80, affinity-ttl: 2s, sticky: 0s, check: {{type: none}},
     servers: [{{name: w, address: 10.78.1.1, port: 80}}]}}
"""
OF_FLOWS = {MANAGER: (peer.FIXED_UPDATE, peer.PACKET), AGENT: (peer.MATCH_WILDCARD, peer.MATCH_FIXED, peer.REFRESH, peer.ASK)}


def test_a_flow_that_ended_is_not_brought_back_SEC_4(net, monkeypatch):  # noqa: F811
    """Its matches and updates, said once more by a third host: at once, and when who heard them was restarted."""
    def held():
        return [len([row for row in net.rows(side, listing) if row["source"] == "192.0.2.7:4000"])
                for side, listing in ((AGENT, "affinities"), (MANAGER, "flows"))]

    def repeated(side, frames):
        before = refused(net, side)
        wire.repeat(frames)
        assert until(lambda: refused(net, side) - before >= len(frames), 5), (side, drops(net, side), len(frames))
        time.sleep(0.3)
        assert held() == [0, 0], side
    monkeypatch.setitem(DATA, MANAGER, SHORT)
    with Wire(net) as wire, contextlib.closing(wire.open(net.netns(AGENT), "lan1")) as client:
        net.start(MANAGER)
        net.start(AGENT)
        assert until(lambda: net.rows(AGENT, "wildcards"), 10)
        client.send(raw(Ether(dst=mac_of(net, AGENT, "lan"), src="02:00:00:00:00:07", type=0x0800) /
                        IP(src="192.0.2.7", dst="203.0.113.90") / UDP(sport=4000, dport=80) / b"x"))
        assert until(lambda: all(held()), 5), held()
        assert until(lambda: held() == [0, 0], 20), held()
        said = {MANAGER: [], AGENT: []}
        for frame in wire.heard(*said):
            side = next(side for side in said if frame[26:30] == socket.inet_aton(ADDRESS[side]))
            said[side] += [frame] if frame[43] in OF_FLOWS[side] else []
        assert [frame[43] for frame in said[MANAGER]].count(peer.FIXED_UPDATE) > 0 and said[AGENT]
        repeated(AGENT, said[MANAGER])
        repeated(MANAGER, said[AGENT])
        for side, of_other in ((AGENT, said[MANAGER]), (MANAGER, said[AGENT])):
            net.stop(side, kill=True)
            net.start(side)
            assert until(lambda: net.rows(AGENT, "wildcards") and
                         [row for row in net.rows(MANAGER, "agents") if row["state"] == "known"], 15)
            repeated(side, of_other)


@pytest.mark.parametrize("side", PROGRAM)
def test_own_messages_sent_back_are_dropped_by_name_MSG_13_SEC_4(net, side):  # noqa: F811
    """From another's address, from the daemon's own, and after its restart: authentic, but nobody else's."""
    def counted():
        return {row["name"]: int(row["value"]) for row in net.rows(side, "counters") if row["group"].startswith("message")}

    def returned(source):
        """The same a hundred times to its control port; how many are counted as its own, and as another's with its identity."""
        before = counted()
        wire.repeat([raw(Ether(dst=mac_of(net, side, "ctl"), type=0x0800) / IP(src=source, dst=ADDRESS[side]) /
                         UDP(sport=7510, dport=7510) / data)] * 100)
        until(lambda: counted()["received"] >= before["received"] + 100, 1)
        after = counted()
        assert [after[name] for name in ("accepted", "challenges-sent", "responses-sent")] == [0, 0, 0]
        return [after[name] - before[name] for name in ("own-heard", "same-identity")]
    setting = "net.ipv4.conf.ctl.accept_local={}"
    with Wire(net) as wire:
        net.start(side)
        data = until(lambda: wire.heard(side), 10)[0][42:]
        try:
            assert returned(VICTIM)[0] >= 100
            assert returned(ADDRESS[side])[0] < 100  # the kernel drops them: nobody else can have our address
            net.run(side, "sysctl", "-qw", setting.format(1))
            assert returned(ADDRESS[side])[0] >= 100
            net.stop(side, kill=True)
            net.start(side)
            for source in (VICTIM, ADDRESS[side]):
                own, twin = returned(source)
                assert own < 100 <= twin
            assert "it has the identity of this daemon" in (net.directory / side / "log").read_text()
        finally:
            net.run(side, "sysctl", "-qw", setting.format(0))


def believed(where):
    """A manager of the test's own whom the agent has challenged and believes, with where to send to the agent."""
    other = peer.Manager(where.netns(MANAGER), ADDRESS[MANAGER], 0x777, where.key.read_bytes())
    to = (ADDRESS[AGENT], 7510)
    assert other.receive(lambda m: m.type == peer.CHALLENGE, 5, every=lambda: other.send(
        to, peer.WILDCARD_UPDATE, [peer.wildcard("203.0.113.91", dport=1, ttl=0)], IDENTITY[AGENT]))
    return other, to


def test_reordered_and_late_messages_SEC_4(net):  # noqa: F811
    """Within 1024 sequence numbers each counts once, in whatever order; what is later does not."""
    net.start(AGENT)
    other, to = believed(net)
    with other:
        base = other.sequences[IDENTITY[AGENT]]

        def say(ahead):
            """The destination port tells which message it was."""
            other.sockets[0].sendto(other.bytes_of(peer.WILDCARD_UPDATE, [peer.wildcard("203.0.113.91", dport=ahead)],
                                                   IDENTITY[AGENT], base + ahead), to)

        def held():
            return {row["dport"] for row in net.rows(AGENT, "wildcards")}
        before = drops(net, AGENT)["replay"]
        for ahead in (5, 3, 4, 1500, 1500 - 1024):
            say(ahead)
        assert until(lambda: held() == {5, 3, 4, 1500, 476}, 5), held()
        assert drops(net, AGENT)["replay"] == before
        for ahead in (6, 475):
            say(ahead)
        assert until(lambda: drops(net, AGENT)["replay"] == before + 2, 5)
        assert held() == {5, 3, 4, 1500, 476}


def test_a_forged_packet_is_not_emitted_SEC_2_MSG_9(net):  # noqa: F811
    """A message that carries a packet for the agent to send on: with the key it goes out, else never; no answer either."""
    inner = {word: bytes(IP(src=f"192.0.2.{len(word)}", dst=FAR[MANAGER]) / UDP(sport=9, dport=9) / word.encode())
             for word in ("forged", "bare", "cut", "genuine")}
    to = (ADDRESS[AGENT], 7510)
    net.start(AGENT)
    with Wire(net) as wire, contextlib.closing(wire.open(net.netns(MANAGER), "far")) as out:
        for word, key, name in (("forged", b"not the key of this test", "authentication-wrong"),
                                ("bare", b"", "authentication-absent")):
            before = drops(net, AGENT)[name]
            with peer.Peer(net.netns(ATTACKER), VICTIM, 0x777, key) as forger:
                forger.send(to, peer.PACKET, [peer.packet(inner[word])], IDENTITY[AGENT])
                assert until(lambda n=name, b=before: drops(net, AGENT)[n] > b, 5), name
                assert not forger.receive(lambda m: True, 0.3)
        other, _ = believed(net)
        with other:
            before = sum(drops(net, AGENT).values())
            other.send(to, peer.PACKET, [peer.packet(inner["cut"][:19])], IDENTITY[AGENT])
            assert until(lambda: sum(drops(net, AGENT).values()) > before, 5)
            other.send(to, peer.PACKET, [peer.packet(inner["genuine"])], IDENTITY[AGENT])
            emitted = []

            def came(word):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        emitted.append(out.recv(65535))
                return any(word in frame for frame in emitted)
            assert until(lambda: came(b"genuine"), 5)
            assert not came(b"forged") and not came(b"bare") and not came(inner["cut"][12:19])


# libfaketime shifts timers of the monotonic clock too, which no wrong wall clock does.
CLOCK = """\
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t which, struct timespec *now)
{
	int r = syscall(SYS_clock_gettime, which, now);
	if (which == CLOCK_REALTIME)
		now->tv_sec += YEARS * 31536000LL;
	return r;
}
"""


@pytest.mark.parametrize("side", PROGRAM)
@pytest.mark.parametrize("years", [-5, 5])
def test_a_clock_that_is_years_off_SEC_4(net, monkeypatch, side, years):  # noqa: F811
    """It joins, also after a restart with the clock set right, for which the time is earlier or later by years."""
    library = net.directory / f"clock{years}.so"
    subprocess.run(["cc", "-shared", "-fPIC", f"-DYEARS={years}", "-x", "c", "-o", library, "-"], input=CLOCK, text=True,
                   check=True)
    spawn = process.spawn

    def shifted(where, argv, *more):
        return spawn(where, ["env", f"LD_PRELOAD={library}", "ASAN_OPTIONS=verify_asan_link_order=0", *argv], *more)

    def years_off():
        shown = subprocess.run(net.ctl(side, "version"), check=True, capture_output=True, text=True).stdout
        incarnation = int(re.search(r'"incarnation": *"(0x\w+)"', shown)[1], 16)
        return round((incarnation - time.time_ns()) / (31536000 * 10**9))
    # A manager that repeats nothing: what the agent has was asked for by one whom the manager believes.
    net.start(MANAGER if side == AGENT else AGENT, **({"ttl": "1h"} if side == AGENT else {}))
    with monkeypatch.context() as patch:
        patch.setattr(process, "spawn", shifted)
        net.start(side)
    assert until(lambda: net.ports() == {80}, 10)
    assert years_off() == years
    net.stop(side, kill=True)
    port = 81 if side == MANAGER else 80
    net.start(side, port=port)
    assert years_off() == 0
    assert until(lambda: port in net.ports(), 10)
