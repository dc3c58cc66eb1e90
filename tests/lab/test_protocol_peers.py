# SPDX-License-Identifier: BSD-2-Clause
"""A stranger's agent and manager, written from docs/protocol.md alone, work with `smd` and `fad`.

They sit on the control network, in the namespace of the idle manager's node.
"""
import concurrent.futures

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

import peer
from conftest import until
from peer import Agent, Key, Manager

AGENT, MANAGER, PORT = 0x777, 0x778, 7510
LAB_MANAGER, LAB_AGENT = 0x201, 0x101  # sm1, r1
OWN_VIP = "203.0.113.77"
SERVERS4, SERVERS6 = {f"10.0.20.{n}" for n in (11, 12, 13)}, {f"fd00:20::{n}" for n in (11, 12, 13)}


@pytest.fixture
def agent(healthy):
    with Agent(healthy.netns("sm2"), healthy.address("sm2", "ctl"), AGENT, healthy.key(), group=peer.GROUP4,
               name="stranger", challenging=True) as agent:
        yield agent


def wildcards(agent, source):
    """The wildcards that one manager has shown this agent."""
    return [peer.read_wildcard(m) | {"message": m} for m in agent.wildcards.get(source, {}).values()]


def learn(agent, source):
    """Wait for the forward wildcards of both VIPs at port 80 and a reverse one for each server."""
    def complete():
        agent.poll()
        found = wildcards(agent, source)
        return (sum(w["dport"] == 80 for w in found) >= 2 and
                sum(w["sport"] == 80 for w in found) >= len(SERVERS4 | SERVERS6))
    assert until(complete, 15, 0.02), [{k: v for k, v in w.items() if k != "message"}
                                       for w in wildcards(agent, source)]
    return wildcards(agent, source)


def syn(key, flags="S"):
    layer = IPv6(src=key.src, dst=key.dst, hlim=60) if key.family == 6 else IP(src=key.src, dst=key.dst, ttl=60)
    return bytes(layer / TCP(sport=key.sport, dport=key.dport, flags=flags, seq=1000))


def ask(agent, wild, key, data, cookie):
    agent.match(wild, key, peer.ALL, data, cookie)
    answer = agent.fixed_for(key)
    assert answer is not None, "no answer to a match"
    assert answer.segment(peer.SEG_FA_DATA) == cookie and answer.segment(peer.SEG_IP_PACKET) == data
    return answer


@pytest.mark.parametrize("vip, client, servers", [
    ("203.0.113.10", "198.51.100.7", SERVERS4), ("2001:db8:113::10", "2001:db8:99::7", SERVERS6)], ids=["v4", "v6"])
def test_strange_agent_is_served_MSG_12_SM_2_SM_3_MSG_10(healthy, agent, vip, client, servers):
    """Hello, challenges both ways, wildcards, a first packet, the same again, the reverse flow, a refresh."""
    shown = learn(agent, LAB_MANAGER)
    assert agent.challenges_answered >= 1
    forward = next(w for w in shown if w["dst"] == vip and w["dport"] == 80)
    key = Key(peer.TCP, client, 40123, vip, 80)
    answer = ask(agent, forward["message"], key, syn(key), b"cookie one")
    translated = peer.read_nat(answer)
    assert translated["dst"] in servers and set(translated) == {"dst", "dport"}
    assert peer.read_fixed(answer)[1] > 0

    again = ask(agent, forward["message"], key, syn(key), b"cookie two")
    assert peer.read_nat(again) == translated

    back = Key(peer.TCP, translated["dst"], translated["dport"], client, 40123)
    reverse = next(w for w in shown if w["src"] == translated["dst"] and w["sport"] == translated["dport"])
    answer = ask(agent, reverse["message"], back, syn(back, "SA"), b"cookie three")
    assert peer.read_nat(answer) == {"src": vip, "sport": 80}

    agent.refresh(forward["message"], key)
    answer = agent.fixed_for(key)
    assert answer is not None and answer.segment(peer.SEG_IP_PACKET) is None and peer.read_nat(answer) == translated


def test_strange_agent_is_listed_by_its_name_FA_4_MSG_12(healthy, agent):
    def listed():
        agent.poll()
        return any(row["name"] == "stranger" and int(row["identity"], 16) == AGENT
                   for row in healthy.rows("sm1", "smd", "agents"))
    assert until(listed, 15)


@pytest.fixture
def manager(healthy):
    """Serves a VIP of its own by the first web server, at a better precedence than the lab's manager."""
    server = healthy.address("web1", "lan")

    def decide(message):
        if message.type == peer.REFRESH and message.segment(peer.SEG_IP_PACKET):
            return None
        key = peer.key_of(message)
        if key.dst == OWN_VIP:
            change = peer.nat(dst=server, dport=8080)
        elif key.reverse() in seen:
            change = peer.nat(src=OWN_VIP, sport=80)
        else:
            return [peer.fixed(key, ttl=5), peer.precedence(10)]
        seen.add(Key(key.proto, key.src, key.sport, server, 8080))
        return [peer.fixed(key, ttl=30), peer.precedence(10), change]

    seen = set()
    forward = [peer.wildcard(OWN_VIP, dport=80, ttl=20), peer.action_list(peer.SEG_NAT, peer.SEG_INTEREST),
               peer.precedence(10), peer.advertise(), peer.interest(peer.ALL, peer.ALL),
               peer.identity(healthy.address("sm2", "ctl"), "strange-manager"), peer.sm_data(b"forward")]
    reverse = [peer.wildcard("0.0.0.0", "0.0.0.0", server, sport=8080, ttl=20), peer.precedence(10),
               peer.interest(peer.ALL, peer.ALL), peer.sm_data(b"reverse")]
    with Manager(healthy.netns("sm2"), healthy.address("sm2", "ctl"), MANAGER, healthy.key(), group=peer.GROUP4,
                 wildcards=[forward, reverse], decide=decide, challenging=True) as manager:
        manager.announce()
        yield manager
        manager.withdraw()


def serve_while(manager, work):
    """The result of work(), done by another thread while the manager answers."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while not future.done():
            manager.poll()
        return future.result()


def test_strange_manager_serves_a_vip_MSG_12_ARCH_4_PREC_5(healthy, manager):
    """Discovery by multicast, an announced VIP, flows decided by it, in front of those of the lab's own manager."""
    def known():
        manager.poll()
        return all(any(row["manager"] == "strange-manager" for row in healthy.rows(r, "fad", "wildcards"))
                   for r in ("r1", "r2")) and len(healthy.next_hops("core", OWN_VIP)) == 2
    assert until(known, 20)
    for _ in range(6):
        answer = serve_while(manager, lambda: healthy.curl("client1", f"http://{OWN_VIP}/whoami"))
        assert answer.split() == ["web1", healthy.address("client1", "core")]
    matches = [m for m in manager.inbox if m.type == peer.MATCH_WILDCARD]
    assert matches and {m.segment(peer.SEG_SM_DATA) for m in matches} <= {b"forward", b"reverse"}
    assert all(len(m.segment(peer.SEG_FA_DATA)) <= 128 and m.segment(peer.SEG_IP_PACKET) for m in matches)
    # The lab's own services go on meanwhile.
    assert serve_while(manager, lambda: healthy.who("client2", "203.0.113.10"))[0].startswith("web")


def test_strange_manager_is_denied_what_cannot_be_done_ACT_8_MSG_7(healthy, manager):
    agent = healthy.address("r1", "ctl"), PORT
    key = Key(peer.TCP, "198.51.100.9", 999, "198.51.100.10", 80)

    def deny(kind, segments, destination=LAB_AGENT):
        def again():
            manager.send(agent, kind, segments, destination)
        return manager.receive(lambda m: m.type == peer.DENY, 15, again)
    wild = peer.wildcard(OWN_VIP, dport=81)
    answer = deny(peer.WILDCARD_UPDATE, [wild, peer.action_list(peer.SEG_NAT, peer.SEG_SEQ_ADJUST, 140, peer.SEG_TUNNEL,
                                                                141), peer.sm_data(b"mine")])
    assert sorted(answer.segment(peer.SEG_ACTION_LIST)) == [140, 141]
    assert peer.read_error(answer)[0] == peer.ERROR_UNSUPPORTED
    assert answer.segment(peer.SEG_SM_DATA) == b"mine" and peer.read_wildcard(answer)["dport"] == 81
    manager.inbox.clear()
    answer = deny(peer.FIXED_UPDATE, [peer.fixed(key, ttl=5)])
    assert peer.read_error(answer)[0] == peer.ERROR_NOT_COVERED and peer.read_fixed(answer)[0] == key
    manager.inbox.clear()
    answer = deny(peer.WILDCARD_UPDATE, [wild, peer.Segment(201, b"what?")])
    assert answer.segment(peer.SEG_ACTION_LIST) == bytes([201])
