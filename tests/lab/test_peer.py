# SPDX-License-Identifier: BSD-2-Clause
"""A stranger written from docs/protocol.md alone says and hears every message type, to `fad` and to `smd`.

What section 5 of the document lists must have gone by, in each direction, but for what section 15 says
that version 0.1.0 does not do.  Both signatures.  test_protocol_peers.py has what the messages do.
"""
import contextlib
import pathlib
import re
import subprocess
import time

import pytest
from scapy.layers.inet import IP, TCP

import peer
from conftest import BUILD, ROOT, until
from peer import Agent, Key, Manager

AGENT, MANAGER, PORT = 0x781, 0x782, 7510
LAB_MANAGER, LAB_AGENT = 0x201, 0x101  # sm1, r1
VIP, OWN_VIP, CLIENT = "203.0.113.10", "203.0.113.78", "198.51.100.7"
ASKED, TAKEN = 7, 9  # ports of OWN_VIP: reported and taken; taken without a report
DIRECTIONS = {"manager, agent": "ma", "agent, manager": "am", "agent, all": "am", "either": "both"}


def types_of_the_document():
    """({types an agent says}, {types a manager says}) by section 5."""
    text = (ROOT / "docs/protocol.md").read_text().split("## 5.")[1].split("## 6.")[0]
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|", text, re.M)
    assert {int(kind) for kind, _ in rows} == set(peer.MESSAGES)
    by_agent = {int(kind) for kind, who in rows if DIRECTIONS[who] in ("am", "both")}
    by_manager = {int(kind) for kind, who in rows if DIRECTIONS[who] in ("ma", "both")}
    return by_agent, by_manager


def reaches(who, wanted, every=None, timeout=20):
    """What this party receives next that is wanted; it must come."""
    message = who.receive(wanted, timeout, every)
    assert message is not None, f"nothing came; heard {sorted(who.heard)}"
    return message


def kind(number):
    return lambda message: message.type == number


def unexpected(lab, node, daemon):
    return lab.drops(node, daemon)["unexpected"]


def is_dropped_as_unexpected(lab, node, daemon, say):
    before = unexpected(lab, node, daemon)
    say()
    assert until(lambda: unexpected(lab, node, daemon) > before, 5)


@pytest.fixture
def manager(healthy):
    """Two wildcards for two ports of an address that is the stranger's alone; nothing of it is kept in the end."""
    def decide(message):
        if message.type == peer.MATCH_FIXED:
            return None
        return [peer.fixed(peer.key_of(message), ttl=2, flags=peer.DISPATCH), peer.precedence(9), peer.interest(peer.ALL)]

    def wild(port, reported):
        return [peer.wildcard(OWN_VIP, proto=peer.UDP, dport=port, ttl=30), peer.precedence(9), peer.advertise(),
                peer.interest(reported, peer.ALL), peer.identity(healthy.address("sm2", "ctl"), "stranger"),
                peer.sm_data(b"mine")]
    with Manager(healthy.netns("sm2"), healthy.address("sm2", "ctl"), MANAGER, healthy.key(), group=peer.GROUP4,
                 wildcards=[wild(ASKED, peer.ALL), wild(TAKEN, 0)], decide=decide, challenging=True) as manager:
        manager.announce()
        try:
            yield manager
        finally:
            manager.withdraw()


def datagrams(lab, port):
    """The client's datagrams to the stranger's address, until the caller ends them."""
    return lab.popen("client1", "bash", "-c", f"exec 3> /dev/udp/{OWN_VIP}/{port}; "
                     "for i in {1..200}; do echo hello >&3; sleep 0.1; done", stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def sending(lab, port):
    process = datagrams(lab, port)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_manager_against_fad_every_type_MSG_1_MSG_2_MSG_12_MSG_6_MSG_9(healthy, manager):
    to = healthy.address("r1", "ctl"), PORT

    def announced():
        manager.poll()
        return healthy.next_hops("core", OWN_VIP) and LAB_AGENT in manager.agents
    assert until(announced, 20)
    assert manager.challenges_answered
    with sending(healthy, ASKED):
        match = reaches(manager, kind(peer.MATCH_WILDCARD))
        assert match.segment(peer.SEG_SM_DATA) == b"mine" and match.segment(peer.SEG_IP_PACKET)
        notice = reaches(manager, kind(peer.MATCH_FIXED))
        assert peer.key_of(notice).dport == ASKED and notice.segment(peer.SEG_IP_PACKET) is None
        refresh = reaches(manager, kind(peer.REFRESH))
        assert peer.read_identifier(refresh)[1] == 0 and peer.key_of(refresh) == peer.key_of(notice)
    with sending(healthy, TAKEN):
        taken = reaches(manager, kind(peer.PACKET))
        assert taken.segment(peer.SEG_FA_DATA)
        manager.give_back(taken)
    deny = reaches(manager, kind(peer.DENY), lambda: manager.send(
        to, peer.FIXED_UPDATE, [peer.fixed(Key(peer.UDP, CLIENT, 1, "198.51.100.10", 2))], LAB_AGENT))
    assert peer.read_error(deny)[0] == peer.ERROR_NOT_COVERED
    is_dropped_as_unexpected(healthy, "r1", "fad", lambda: manager.send(to, peer.ASK, [peer.listing()], LAB_AGENT))
    by_agent, by_manager = types_of_the_document()
    assert manager.said == by_manager
    assert manager.heard >= by_agent - {peer.HELD}  # section 15: `fad` knows no ask


def test_agent_against_smd_every_type_MSG_1_MSG_2_MSG_12_MSG_8_MSG_10(healthy):
    to, key = (healthy.address("sm1", "ctl"), PORT), Key(peer.TCP, CLIENT, 40771, VIP, 80)
    data = bytes(IP(src=CLIENT, dst=VIP, ttl=60) / TCP(sport=key.sport, dport=key.dport, flags="S", seq=1000))
    with Agent(healthy.netns("sm2"), healthy.address("sm2", "ctl"), AGENT, healthy.key(), group=peer.GROUP4,
               name="every-type", challenging=True) as agent:
        def shown():
            agent.poll()
            return next((m for m in agent.wildcards.get(LAB_MANAGER, {}).values()
                         if peer.read_wildcard(m)["dst"] == VIP and peer.read_wildcard(m)["dport"] == 80), None)
        wild = until(shown, 15, 0.02)
        assert wild and agent.challenges_answered
        for report in (peer.MATCH_WILDCARD, peer.MATCH_FIXED):
            agent.match(wild, key, peer.ALL, data, b"a cookie", report)
            answer = agent.fixed_for(key)
            assert answer.segment(peer.SEG_FA_DATA) == b"a cookie" and answer.segment(peer.SEG_IP_PACKET) == data
        agent.refresh(wild, key)
        assert agent.fixed_for(key).segment(peer.SEG_IP_PACKET) is None
        # A deny for want of a wildcard is answered by the wildcards, addressed to this agent.
        agent.inbox.clear()
        reaches(agent, lambda m: m.type == peer.WILDCARD_UPDATE and m.destination == AGENT, lambda: agent.send(
            to, peer.DENY, [peer.fixed(key), peer.action_list(), peer.error(peer.ERROR_NOT_COVERED)], LAB_MANAGER))
        for say in (lambda: agent.send(to, peer.PACKET, [peer.packet(data)], LAB_MANAGER),
                    lambda: agent.send(to, peer.HELD, [peer.listing(end=True)], LAB_MANAGER)):
            is_dropped_as_unexpected(healthy, "sm1", "smd", say)
        by_agent, by_manager = types_of_the_document()
        assert agent.said == by_agent
        # Section 15: `smd` does not ask; the packet alone is an answer that it may give, and does not.
        assert agent.heard >= by_manager - {peer.ASK, peer.PACKET}


# ---- the other signature ----

SIGNED = """\
name: {name}
identity: {identity}
control: {{address: {address}, port: {port}, group: 239.255.75.77, group-port: 7577}}
security: {{keys: [{{id: 9, scheme: md5, file: {key}}}]}}
{more}
"""


@contextlib.contextmanager
def private(lab, directory, daemon, port, more):
    """A daemon of the test's own on the idle manager's node, whose key is one of keyed MD5."""
    directory = pathlib.Path(directory)
    (directory / "key").write_text("a key for MD5")
    (directory / "key").chmod(0o600)
    (directory / "config.yaml").write_text(SIGNED.format(
        name="signed", identity=0x790, address=lab.address("sm2", "ctl"), port=port, key=directory / "key", more=more))
    with open(directory / "log", "w", encoding="utf-8") as log:
        process = lab.popen("sm2", BUILD / daemon, "--config", directory / "config.yaml", "--run-dir", directory,
                            stdout=log, stderr=log)
        try:
            assert until(lambda: list(directory.glob("*.sock")), 10) and process.poll() is None, \
                (directory / "log").read_text()
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            finally:
                process.kill()


@pytest.mark.parametrize("daemon, party, more", [
    ("fad", Manager, "interfaces: [ctl]"),
    ("smd", Agent, "services: [{name: s, vip: [203.0.113.79], protocol: tcp, port: 80, servers: "
                   "[{name: w, address: [10.0.20.11]}]}]")], ids=["fad", "smd"])
def test_keyed_md5_both_ways_SEC_1_SEC_3_MSG_12(healthy, tmp_path, daemon, party, more):
    """Challenged, answered and believed with scheme 1; with scheme 2 by the same key nothing is heard."""
    address = healthy.address("sm2", "ctl")

    def another(scheme, port, ident):
        return party(healthy.netns("sm2"), address, ident, b"a key for MD5", 9, port, scheme=scheme, challenging=True)

    def say(who):
        if party is Manager:
            who.send((address, 7520), peer.WILDCARD_UPDATE,
                     [peer.wildcard("203.0.113.99", dport=80), peer.Segment(201, b"?")], 0x790)
        else:
            who.hello((address, 7520), 0x790)
    with private(healthy, tmp_path, daemon, 7520, more), another(1, 7540, 0x791) as good, another(2, 7541, 0x792) as bad:
        answer = peer.DENY if party is Manager else peer.WILDCARD_UPDATE
        reaches(good, kind(answer), lambda: (say(good), say(bad)))
        assert {peer.CHALLENGE, peer.CHALLENGE_RESPONSE} <= good.heard & good.said
        time.sleep(0.2)
        bad.poll()
        assert not bad.heard
