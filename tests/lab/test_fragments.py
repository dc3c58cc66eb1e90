# SPDX-License-Identifier: BSD-2-Clause
"""Fragmented datagrams through the agents: real ones, and made ones in every wrong order; both families (ACT-10)."""
import contextlib
import random
import socket
import time

import pytest
from scapy.compat import raw
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.packet import Raw

from conftest import LAB_NAME, bring_up, until
from peer import namespace

VIP = {4: "203.0.113.10", 6: "2001:db8:113::10"}
FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["v4", "v6"])
ROUTERS = {"pair": ("r1", "r2"), "single": ("r1",)}
ECHO = 7


@pytest.fixture(scope="module")
def one():
    """Topology `single`."""
    yield from bring_up("single", f"{LAB_NAME}-one"[:24])


@pytest.fixture(params=["pair", "single"])
def net(request):
    """Each topology, with everything running."""
    lab = request.getfixturevalue("healthy" if request.param == "pair" else "one")
    lab.routers = ROUTERS[request.param]
    if request.param == "single":
        assert until(lambda: {row["state"] for row in lab.rows("sm1", "smd", "servers")} == {"up"}, 10)
        assert until(lambda: len(lab.next_hops("core", VIP[4])) == 1 and len(lab.next_hops("core", VIP[6])) == 1, 10)
    return lab


def counted(lab, *names):
    """Sum of these counters over the routers."""
    found = {name: 0 for name in names}
    for router in lab.routers:
        for (_, name), value in lab.counters(router, "fad").items():
            if name in found:
                found[name] += value
    return tuple(found[name] for name in names)


def payload(size, seed=1):
    return random.Random(seed).randbytes(size)


def cut(whole, headers, ident, piece):
    """The fragments of an IP packet whose part behind the first `headers` bytes is cut into pieces."""
    family, part, found = whole[0] >> 4, whole[headers:], []
    for at in range(0, len(part), piece):
        more, body = int(at + piece < len(part)), Raw(part[at:at + piece])
        if family == 4:
            ip = IP(whole[:headers])
            found.append(raw(IP(src=ip.src, dst=ip.dst, id=ident, proto=ip.proto, flags=more, frag=at // 8) / body))
        else:
            ip = IPv6(whole[:headers])
            found.append(raw(IPv6(src=ip.src, dst=ip.dst) /
                             IPv6ExtHdrFragment(nh=whole[6], offset=at // 8, m=more, id=ident) / body))
    return found


class Client:
    """A UDP socket of a client, and a raw one beside it that sends fragments in its name."""

    def __init__(self, lab, family, node="client1"):
        self.family, self.vip, self.own = family, VIP[family], lab.address(node, "core", family)
        af = socket.AF_INET if family == 4 else socket.AF_INET6
        with namespace(lab.netns(node)):
            self.udp = socket.socket(af, socket.SOCK_DGRAM)
            self.raw = socket.socket(af, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self.tcp = socket.socket(af, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self.udp.settimeout(3)
        self.udp.bind((self.own, 0))
        self.udp.connect((self.vip, ECHO))
        self.port = self.udp.getsockname()[1]
        self.ident = random.randrange(1, 60000)

    def close(self):
        for s in (self.udp, self.raw, self.tcp):
            s.close()

    def whole(self, layer):
        """(packet, length of its IP header)"""
        return raw((IP if self.family == 4 else IPv6)(src=self.own, dst=self.vip) / layer), 20 if self.family == 4 else 40

    def fragments(self, data, piece=1000):
        self.ident += 1
        return cut(*self.whole(UDP(sport=self.port, dport=ECHO) / Raw(data)), self.ident, piece)

    def send(self, packets, pause=0.0):
        for packet in packets:
            self.raw.sendto(packet, (self.vip, 0))
            if pause:
                time.sleep(pause)

    def reply(self, timeout=3.0):
        self.udp.settimeout(timeout)
        try:
            return self.udp.recv(65535)
        except socket.timeout:
            return None

    def echo(self, data):
        self.udp.send(data)
        return self.reply()


@contextlib.contextmanager
def client(lab, family, node="client1"):
    c = Client(lab, family, node)
    try:
        yield c
    finally:
        c.close()


@FAMILIES
@pytest.mark.parametrize("size", [3000, 20000, 60000])
def test_large_datagrams_reach_the_server_and_come_back_ACT_10(net, family, size):
    """Each from a new port: the first fragment is asked about, the others wait; so do the server's replies."""
    text = net.run("client1", "udp-echo", "--ask", VIP[family], "--size", str(size), "--count", "12", timeout=60).stdout
    assert text == f"{size} bytes, unchanged\n" * 12


@FAMILIES
def test_all_of_a_flow_reaches_one_server_ACT_10(net, family):
    """The server's answer to a small question and its echo of a large one, on one socket."""
    with client(net, family) as c:
        name = c.echo(b"whoami").decode()
        for seed in range(5):
            assert c.echo(payload(20000, seed)) == payload(20000, seed)
        assert c.echo(b"whoami").decode() == name
    assert sum(counted(net, "fragments", "fragments-waited")) > 0


@FAMILIES
@pytest.mark.parametrize("order", ["reversed", "first-last", "shuffled"])
@pytest.mark.parametrize("known", [False, True], ids=["new-flow", "known-flow"])
def test_any_order_ACT_10(net, family, order, known):
    before = counted(net, "fragment-orphaned", "fragment-no-room")
    for seed in range(4):
        with client(net, family) as c:
            if known:
                assert c.echo(b"hello") == b"hello"
            data = payload(9000, seed)
            parts = c.fragments(data)
            first = parts[0]
            assert len(parts) == 10
            if order == "reversed":
                parts.reverse()
            elif order == "first-last":
                parts = parts[1:] + parts[:1]
            else:
                random.Random(seed).shuffle(parts)
            waited = counted(net, "fragments-waited")
            c.send(parts, pause=0.002)
            assert c.reply() == data
            assert parts[0] is first or counted(net, "fragments-waited") > waited
    assert counted(net, "fragment-orphaned", "fragment-no-room") == before


@FAMILIES
def test_orphans_are_dropped_by_name_ACT_10(net, family):
    with client(net, family) as c:
        assert c.echo(b"hello") == b"hello"
        orphaned, = counted(net, "fragment-orphaned")
        parts = c.fragments(payload(5000))
        began = time.monotonic()
        c.send(parts[1:])
        time.sleep(0.3)
        early = counted(net, "fragment-orphaned")
        assert early == (orphaned,) or time.monotonic() - began > 0.9  # a second is what they wait
        assert until(lambda: counted(net, "fragment-orphaned") == (orphaned + len(parts) - 1,), 3)
        c.send(parts[:1])  # too late for this datagram
        assert c.reply(0.5) is None
        assert c.echo(payload(5000, 2)) == payload(5000, 2)


@FAMILIES
def test_overlaps_are_the_receivers_business_ACT_10(net, family):
    """All of them get there, where the kernel drops the datagram; the agent neither judges nor suffers."""
    with client(net, family) as c:
        assert c.echo(b"hello") == b"hello"
        before = counted(net, "fragment-orphaned", "fragment-no-room", "malformed")
        fragments, = counted(net, "fragments")
        c.ident += 1
        data = payload(3000)
        packet, headers = c.whole(UDP(sport=c.port, dport=ECHO) / Raw(data))
        parts = cut(packet, headers, c.ident, 1000)
        shifted = cut(packet, headers, c.ident, 1200)
        c.send([parts[0], shifted[1], parts[1], parts[2]])
        assert c.reply(0.7) is None
        assert until(lambda: counted(net, "fragments") == (fragments + 3,), 3)
        assert c.echo(payload(3000, 2)) == payload(3000, 2)
        assert counted(net, "fragment-orphaned", "fragment-no-room", "malformed") == before


def syn(c, port):
    return c.whole(TCP(sport=port, dport=80, seq=1000, flags="S") / Raw(payload(60)))


def handshake(c, port, timeout=3.0):
    """Has the VIP answered the SYN from this port?"""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        c.tcp.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            packet, source = c.tcp.recvfrom(65535)
        except socket.timeout:
            return False
        header = TCP(packet[(packet[0] & 15) * 4:] if c.family == 4 else packet)
        if source[0] == c.vip and header.dport == port:
            assert (header.sport, int(header.flags), header.ack) == (80, 0x12, 1001)
            return True
    return False


@FAMILIES
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)], ids=["in-order", "mixed"])
def test_tcp_in_fragments_ACT_10(net, family, order):
    with client(net, family) as c:
        for port in range(41000, 41004):
            c.ident += 1
            parts = cut(*syn(c, port), c.ident, 24)
            assert len(parts) == 4
            c.send([parts[i] for i in order])
            assert handshake(c, port)


@FAMILIES
def test_tiny_first_fragment_is_malformed_ACT_10(net, family):
    """One that does not hold the TCP header: nobody can say what it is, so it and the rest are dropped."""
    with client(net, family) as c:
        malformed, orphaned = counted(net, "malformed", "fragment-orphaned")
        c.ident += 1
        parts = cut(*syn(c, 41100), c.ident, 8)
        c.send(parts)
        assert not handshake(c, 41100, 0.5)
        assert until(lambda: counted(net, "malformed", "fragment-orphaned") ==
                     (malformed + 1, orphaned + len(parts) - 1), 3)


@FAMILIES
def test_other_ports_of_a_server_are_left_alone_ACT_10_FA_7(net, family):
    """Large datagrams between a client and a server that are no service's: untranslated, both ways."""
    server = net.address("web1", "lan", family)
    af = socket.AF_INET if family == 4 else socket.AF_INET6
    with namespace(net.netns("web1")):
        there = socket.socket(af, socket.SOCK_DGRAM)
    with namespace(net.netns("client1")):
        here = socket.socket(af, socket.SOCK_DGRAM)
    with there, here:
        there.bind((server, 5300))
        for s in (there, here):
            s.settimeout(3)
        for seed in range(4):
            here.sendto(payload(8000, seed), (server, 5300))
            data, peer = there.recvfrom(65535)
            assert data == payload(8000, seed) and peer[0] == net.address("client1", "core", family)
            there.sendto(data, peer)
            data, peer = here.recvfrom(65535)
            assert data == payload(8000, seed) and peer[:2] == (server, 5300)


def resident(lab, router):
    """KiB of memory that the agent uses."""
    with open(f"/proc/{lab.pid(router, 'fad')}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


@FAMILIES
def test_a_flood_of_orphans_is_bounded_ACT_10_ARCH_10(net, family):
    """Thousands of later fragments without a first one: known flows go on, memory stays where it was."""
    count, step = 30000, 500
    with client(net, family) as c, client(net, family, "client2") as attacker:
        assert c.echo(b"hello") == b"hello"
        memory = {router: resident(net, router) for router in net.routers}
        drops = sum(counted(net, "fragment-orphaned", "fragment-no-room"))
        template = attacker.fragments(payload(600), 400)[1]
        at = 4 if family == 4 else 44
        for start in range(0, count, step):
            for ident in range(start, start + step):
                packet = bytearray(template)
                packet[at:at + 4 if family == 6 else at + 2] = ident.to_bytes(4 if family == 6 else 2, "big")
                attacker.raw.sendto(packet, (attacker.vip, 0))
            assert c.echo(payload(3000, start)) == payload(3000, start)
        for router in net.routers:
            assert resident(net, router) - memory[router] < 16 * 1024
        # Each has an end with a name; what the ring did not take is the punt port's.
        assert until(lambda: sum(counted(net, "fragment-orphaned", "fragment-no-room", "punt-port-ring")) >=
                     drops + count, 5)
        data = payload(9000, 9)
        c.send(reversed(c.fragments(data)))
        assert c.reply() == data
