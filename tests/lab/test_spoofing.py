# SPDX-License-Identifier: BSD-2-Clause
"""A client, or a third host, that gives another's address as its own: what that victim gets to hear from the daemons.

In the small network of test_discovery.py, where the victim is the router between the two machines. Packets come in at the agent's
`lan`, where clients are; everything that arrives at the victim's address is counted there.
"""
import contextlib
import socket
import time

import peer
from conftest import until
from scapy.all import ICMP, IP, TCP, UDP, Ether, raw
from test_discovery import ADDRESS, AGENT, FAR, GROUP, IDENTITY, MANAGER, SWITCH, net, network  # noqa: F401: fixtures
from test_security import Wire, drops, mac_of

VICTIM = "10.78.1.1"
VIP, NARROW = "203.0.113.91", "10.78.9.9"
REJECTED, LARGE, ASKED = 80, 82, 83
COUNT = 500
SENDER = 0x777


class Victim:
    """What comes to an address, as IP packets without link-layer padding; ARP is none."""

    def __init__(self, where):
        with peer.namespace(where.netns(SWITCH)):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def heard(self, patience=0.5):
        """All since the last call, until it was silent so long."""
        found, deadline = [], time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                data, address = self.socket.recvfrom(65535)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            if data[16:20] == socket.inet_aton(VICTIM) and address[2] == socket.PACKET_HOST:
                found.append(IP(data[:int.from_bytes(data[2:4], "big")]))
                deadline = time.monotonic() + patience
        return found


class Client:
    """Frames into the agent's `lan`, from whom they like."""

    def __init__(self, where):
        self.out = Wire.open(where.netns(AGENT), "lan1")
        self.out.setblocking(True)
        self.head = Ether(dst=mac_of(where, AGENT, "lan"), src="02:00:00:00:00:66", type=0x0800)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.out.close()

    def send(self, packets):
        """Seconds it took."""
        frames, started = [raw(self.head / packet) for packet in packets], time.monotonic()
        for frame in frames:
            self.out.send(frame)
        return time.monotonic() - started


def from_victim(layer, to=VIP, count=COUNT):
    """Flows of the victim, each packet another one."""
    for number in range(count):
        layer.sport = 10000 + number
        yield IP(src=VICTIM, dst=to, flags="DF") / layer


def size(packets):
    return sum(len(packet) for packet in packets)


@contextlib.contextmanager
def serving(where):
    """A manager of the test's own, with a wildcard for each thing the agent may have to say to a sender."""
    wildcards = [[peer.wildcard(VIP, proto=proto, dport=REJECTED, flags=peer.DISPATCH), peer.reject()]
                 for proto in (peer.TCP, peer.UDP)]
    wildcards += [[peer.wildcard(VIP, dport=LARGE), peer.nat(dst=NARROW)],
                  [peer.wildcard(VIP, dport=ASKED), peer.interest(peer.ALL, peer.ALL)]]
    where.ip(AGENT, f"route replace {NARROW}/32 via {VICTIM} mtu 600")
    with peer.Manager(where.netns(MANAGER), ADDRESS[MANAGER], SENDER, where.key.read_bytes(), wildcards=wildcards) as manager:
        try:
            assert until(lambda: manager.announce((ADDRESS[AGENT], 7510), IDENTITY[AGENT]) or manager.poll()
                         or len(where.rows(AGENT, "wildcards")) == len(wildcards), 10, 0.5)
            yield manager
        finally:
            where.ip(AGENT, f"route del {NARROW}/32")


def test_a_clients_forged_source_draws_one_small_answer_a_packet_FIX_3_FA_7(net):  # noqa: F811
    """Resets, unreachable and too big: never more than was sent, nor larger but for an ICMP header, and up to the limits."""
    big = TCP(dport=LARGE, flags="A") / bytes(1200)
    # what is sent; what answers it; the limit a second to one address
    cases = ((TCP(dport=REJECTED, flags="S"), TCP, 100), (UDP(dport=REJECTED) / b"x", ICMP, 10), (big, ICMP, 10))
    net.start(AGENT)
    with serving(net), Victim(net) as victim, Client(net) as client:
        for layer, answer, limit in cases:
            time.sleep(1.1)  # the limits of errors are shared
            victim.heard(0.1)
            sent = list(from_victim(layer))
            took = client.send(sent)
            heard = victim.heard()
            assert 0 < len(heard) <= min(COUNT, limit * (2 + took)), (layer.summary(), took, len(heard))
            assert all(answer in packet for packet in heard), {packet.summary() for packet in heard}
            assert size(heard) <= size(sent[:len(heard)]) + 28 * len(heard) * (answer is ICMP)


def test_what_waits_for_a_manager_draws_nothing_FA_5(net):  # noqa: F811
    """Nobody answers the questions: the victim hears of none, and the manager one for each packet at most."""
    net.start(AGENT)
    with serving(net) as manager, Victim(net) as victim, Client(net) as client:
        manager.inbox.clear()
        client.send(from_victim(TCP(dport=ASKED, flags="S")))
        assert until(lambda: manager.poll() or len(manager.inbox) > 5, 5)
        assert not victim.heard(1.5)
        manager.poll()
        asked = [message for message in manager.inbox if message.type == peer.MATCH_WILDCARD]
        assert 0 < len(asked) <= COUNT and {message.sender for message in asked} == {(ADDRESS[AGENT], 7510)}


def test_control_traffic_from_a_clients_side_draws_less_than_from_a_router_SEC_2(net):  # noqa: F811
    """To the control port and to the group, with no key: a router without agent says "port unreachable" to the first."""
    forged = peer.encode(peer.Message(peer.HELLO, SENDER, 1, 0, 1, [peer.identity(VICTIM, "x"), peer.action_list(10)]))
    challenge = peer.encode(peer.Message(peer.CHALLENGE, SENDER, 1, IDENTITY[AGENT], 1, [peer.nonce(bytes(16))]))
    payloads = (forged, challenge, b"", bytes(1400))

    def say(client):
        for to, port in ((ADDRESS[AGENT], 7510), (GROUP, 7511)):
            for payload in payloads:
                client.send(from_victim(UDP(dport=port) / payload, to, 50))
    with Victim(net) as victim, Client(net) as client:
        say(client)
        plain = victim.heard()
        net.start(AGENT)
        before = drops(net, AGENT)
        say(client)
        # What came to the port was heard and dropped by name, what came to the group was not even heard there.
        assert until(lambda: drops(net, AGENT)["authentication-absent"] - before["authentication-absent"] >= 50, 5)
        assert sum(drops(net, AGENT).values()) - sum(before.values()) <= 50 * len(payloads)
        with_agent = victim.heard()
    assert plain and all(ICMP in packet for packet in plain)
    assert not with_agent, {packet.summary() for packet in with_agent}


def repeats(where, side, data):
    """The same message again and again, by a third host, as if the victim had sent it: what the victim gets."""
    frame = raw(Ether(dst=mac_of(where, side, "ctl"), src="02:00:00:00:00:66", type=0x0800) /
                IP(src=VICTIM, dst=ADDRESS[side]) / UDP(sport=7510, dport=7510, chksum=0) / data)
    with Victim(where) as victim, Wire(where) as wire:
        before = sum(drops(where, side)[name] for name in ("unknown-incarnation", "challenge-pending"))
        started = time.monotonic()
        for _ in range(COUNT):
            wire.mouth.send(frame)
            time.sleep(0.002)
        took = time.monotonic() - started
        assert until(lambda: sum(drops(where, side)[name] for name in ("unknown-incarnation", "challenge-pending"))
                     >= before + COUNT, 5), drops(where, side)
        return victim.heard(), took


def test_recorded_messages_in_a_victims_name_draw_few_challenges_SEC_4(net):  # noqa: F811
    """Of an incarnation that is gone: one challenge in 200 ms, far less than what is sent for it; either daemon."""
    for side, other in ((AGENT, MANAGER), (MANAGER, AGENT)):
        net.start(side)
        kind, segments = ((peer.WILDCARD_UPDATE, [peer.wildcard(VIP, dport=1)]) if side == AGENT else
                          (peer.HELLO, [peer.identity(FAR[AGENT], "x"), peer.action_list(10)]))
        with peer.Peer(net.netns(other), ADDRESS[other], SENDER, net.key.read_bytes()) as gone:
            data = gone.bytes_of(kind, segments, IDENTITY[side])
        heard, took = repeats(net, side, data)
        assert 0 < len(heard) <= took / 0.2 + 2, (side, len(heard), took)
        assert {peer.decode(bytes(packet[UDP].payload), {1: net.key.read_bytes()}).type for packet in heard} == {peer.CHALLENGE}
        assert size(heard) < COUNT * (28 + len(data)) / 2, (size(heard), len(data))
        net.stop(side)
