# SPDX-License-Identifier: BSD-2-Clause
"""Real TCP through an agent that moves all its sequence numbers, and through tunnels to a server some hops away.

A manager made from the protocol's document tells the agent; the lab's own manager goes on beside it. The server of
the tunnels is client2, behind core, with the virtual addresses on its loopback and lab/decap.py for its kernel.
"""
import concurrent.futures
import contextlib
import hashlib
import signal
import socket
import subprocess
import threading

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.utils import rdpcap

import peer
from conftest import LAB_NAME, bring_up, until
from peer import Key, Manager, namespace

MANAGER = 0x779
VIPS = {4: "203.0.113.78", 6: "2001:db8:113::78"}
FILES, TUNNEL_PORT = 8080, 5555
SIZE = 8_000_000
RING = 2**32


@pytest.fixture(scope="module")
def far():
    """Topology `single`: one router, so that it sees both directions of each connection."""
    yield from bring_up("single", f"{LAB_NAME}-far"[:24])


@contextlib.contextmanager
def manager(lab, wildcards, decide=None):
    """A manager in front of the lab's own, whose wildcards the agent has and whose addresses core knows."""
    with Manager(lab.netns("sm2"), lab.address("sm2", "ctl"), MANAGER, lab.key(), group=peer.GROUP4,
                 wildcards=wildcards, decide=decide, challenging=True) as m:
        def known():
            m.poll()
            here = [row for row in lab.rows("r1", "fad", "wildcards") if row["manager"] == "far"]
            return len(here) == len(wildcards) and all(lab.next_hops("core", vip) for vip in VIPS.values())
        m.announce()
        try:
            assert until(known, 20), lab.rows("r1", "fad", "wildcards")
            yield m
        finally:
            m.withdraw()
            assert until(lambda: not any(lab.next_hops("core", vip) for vip in VIPS.values()), 10)


def common(lab):
    return [peer.precedence(10), peer.identity(lab.address("sm2", "ctl"), "far")]


def serve_while(m, work, *arguments):
    """The result of work(), done by another thread while the manager answers."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, *arguments)
        while not future.done():
            m.poll()
        return future.result()


@contextlib.contextmanager
def captured(lab, tmp_path, node, interface, expression):
    """A list that has the packets seen there when the block is over; only their heads."""
    packets, path = [], tmp_path / f"{node}.pcap"
    with lab.popen(node, "tcpdump", "-i", interface, "--immediate-mode", "-s", "160", "-B", "32768", "-w", str(path),
                   expression, stderr=subprocess.PIPE, text=True) as dump:
        assert "listening" in dump.stderr.readline()
        try:
            yield packets
        finally:
            dump.send_signal(signal.SIGINT)
            dump.communicate(timeout=10)
    packets.extend(rdpcap(str(path)))


@contextlib.contextmanager
def losing(lab, *nodes):
    """Some packets of the files' port get lost on their way in there, so that there is something to repeat and to SACK."""
    rule = "numgen inc mod 29 28 drop"
    for node in nodes:
        lab.run(node, "nft", f"add table inet losing; add chain inet losing in {{ type filter hook prerouting priority "
                             f"raw; }}; add rule inet losing in tcp sport {FILES} {rule}; "
                             f"add rule inet losing in tcp dport {FILES} {rule}")
    try:
        yield
    finally:
        for node in nodes:
            lab.run(node, "nft", "delete table inet losing")


# ---- sequence numbers ----

class Shifter:
    """Answers for one server: its addresses as NAT, and both streams moved so that they wrap in mid-transfer.

    shifts: {client's key: [delta of the client's stream, of the server's stream or None while it is not known]}.
    """

    def __init__(self, lab):
        self.lab = lab
        self.servers = {f: lab.address("web1", "lan", f) for f in VIPS}
        self.shifts, self.starts = {}, {}
        self.manager = None

    def wildcards(self):
        found = []
        for family, vip in VIPS.items():
            everything = "0.0.0.0" if family == 4 else "::"
            found.append([peer.wildcard(vip, dport=FILES), peer.advertise(), peer.interest(peer.ALL, peer.ALL),
                          peer.action_list(peer.SEG_NAT, peer.SEG_SEQ_ADJUST, peer.SEG_INTEREST), *common(self.lab)])
            found.append([peer.wildcard(everything, everything, self.servers[family], sport=FILES),
                          peer.interest(peer.ALL, peer.ALL), *common(self.lab)])
        return found

    @staticmethod
    def first(message):
        """The sequence number of the packet in a match."""
        data = message.segment(peer.SEG_IP_PACKET)
        return (IPv6 if data[0] >> 4 == 6 else IP)(data)[TCP].seq

    def forward(self, key):
        """The client's direction: its own stream, and, when that is known, what it says about the server's."""
        to_client, to_server = self.shifts[key][::-1]
        start, answer = self.starts[key]
        adjust = peer.seq_adjust(to_server, start, (-to_client) % RING if to_client is not None else 0,
                                 (answer + to_client) % RING if to_client is not None else 0)
        return [peer.fixed(key, ttl=60), peer.precedence(10), peer.nat(dst=self.servers[key.family]), adjust]

    def decide(self, message):
        key = peer.key_of(message)
        if message.type == peer.REFRESH:
            return None
        if key.dst in VIPS.values():
            if key not in self.shifts:
                start = self.first(message)
                self.starts[key] = start, 0
                self.shifts[key] = [(RING - SIZE // 4 - start) % RING, None]
            return self.forward(key)
        client = Key(key.proto, key.dst, key.dport, VIPS[key.family], FILES)
        if client not in self.shifts:
            return [peer.fixed(key, ttl=5), peer.precedence(10)]
        if self.shifts[client][1] is None:
            start = self.first(message)
            self.starts[client] = self.starts[client][0], start
            self.shifts[client][1] = (RING - SIZE // 2 - start) % RING
            # First, so that the agent knows it when the client acknowledges.
            self.manager.reply(message, peer.FIXED_UPDATE, self.forward(client))
        to_server, to_client = self.shifts[client]
        start, answer = self.starts[client]
        return [peer.fixed(key, ttl=60), peer.precedence(10), peer.nat(src=VIPS[key.family], sport=FILES),
                peer.seq_adjust(to_client, answer, -to_server % RING, (start + to_server) % RING)]


def transfers(lab, vip):
    """Up and down; what the server and the client got."""
    host = f"[{vip}]" if ":" in vip else vip
    up = lab.run("client1", "sh", "-c",
                 f"head -c {SIZE} {lab.status()['big_file']['path']} | "
                 f"curl -sS -g --max-time 60 -D - -o /dev/null -T - http://{host}:{FILES}/upload", timeout=70).stdout
    down = lab.run("client1", "sh", "-c", f"curl -sS -g --max-time 60 -r 0-{SIZE - 1} http://{host}:{FILES}/100MB | "
                                          "sha256sum", timeout=70).stdout
    return up.lower(), down.split()[0]


def starts_of(packets):
    """{client's port: [client's first number, server's first number]}."""
    found = {}
    for p in packets:
        if TCP in p and p[TCP].flags & 0x02:
            answer = bool(p[TCP].flags & 0x10)
            port = p[TCP].dport if answer else p[TCP].sport
            found.setdefault(port, [None, None])[answer] = p[TCP].seq
    return found


@pytest.mark.parametrize("family", VIPS)
def test_shifted_streams_wrap_and_are_repaired_ACT_2(far, tmp_path, family):
    """Megabytes each way with losses: what arrives is right, and both ends see numbers of their own, in SACKs too."""
    shifter = Shifter(far)
    with open(far.status()["big_file"]["path"], "rb") as f:
        digest = hashlib.sha256(f.read(SIZE)).hexdigest()
    with manager(far, shifter.wildcards(), shifter.decide) as m:
        shifter.manager = m
        with captured(far, tmp_path, "client1", "core", f"tcp port {FILES}") as at_client, \
                captured(far, tmp_path, "web1", "lan", f"tcp port {FILES}") as at_server:
            with losing(far, "client1", "web1"):
                up, down = serve_while(m, transfers, far, VIPS[family])
    assert digest in up and down == digest
    clients, servers = starts_of(at_client), starts_of(at_server)
    assert len(shifter.shifts) == 2
    for key, (to_server, to_client) in shifter.shifts.items():
        start, answer = shifter.starts[key]
        assert servers[key.sport][0] == (start + to_server) % RING == RING - SIZE // 4
        assert clients[key.sport] == [start, RING - SIZE // 2]
        assert servers[key.sport][1] == answer
    # Every edge that one end hears of lies in what it has sent, in its own numbers: the file and the words around it.
    # The upload is in chunks, which may be as small as a page, of eight bytes more each.
    sent = SIZE + SIZE // 4096 * 8 + 2000
    for packets, field, own, name in ((at_server, "dport", 1, "server"), (at_client, "sport", 0, "client")):
        starts = starts_of(packets)
        edges = [(p, edge) for p in packets if TCP in p and getattr(p[TCP], field) == FILES
                 for option, value in p[TCP].options if option == "SAck" for edge in value]
        assert edges, f"the {name} heard of no SACK: nothing was lost"
        for p, edge in edges:
            port = p[TCP].sport if field == "dport" else p[TCP].dport
            assert (edge - starts[port][own]) % RING <= sent, (name, edge, starts[port])


# ---- to a server on link ----

def test_server_on_link_answers_directly_FIX_2_WILD_5(far, tmp_path):
    """Dispatch without a tunnel: the server has the virtual addresses on its loopback and is the next hop."""
    wildcards = [[peer.wildcard(vip, dport=FILES, flags=1, forward=far.address("web1", "lan", family)),
                  peer.advertise(), *common(far)] for family, vip in VIPS.items()]
    added = [("web1", "ip", "address", word, f"{vip}/{32 if family == 4 else 128}", "dev", "lo")
             for word in ("add", "delete") for family, vip in VIPS.items()]
    far.run("web1", "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
    try:
        for command in added[:2]:
            far.run(*command)
        with manager(far, wildcards), captured(far, tmp_path, "web1", "lan", f"tcp port {FILES}") as seen:
            for family, vip in VIPS.items():
                assert far.who("client1", vip, FILES) == ("web1", far.address("client1", "core", family))
                up, down = transfers(far, vip)
                assert down in up
    finally:
        for command in added[2:]:
            far.run(*command)
    assert {(p[IP] if IP in p else p[IPv6]).dst for p in seen if p[TCP].dport == FILES} == set(VIPS.values())


# ---- tunnels ----

@contextlib.contextmanager
def server(lab):
    """client2 serves the virtual addresses, and decapsulates."""
    for family, vip in VIPS.items():
        lab.run("client2", "ip", "address", "add", f"{vip}/{32 if family == 4 else 128}", "dev", "lo", "nodad")
    tos = [word for vip in VIPS.values() for word in ("--to", vip)]
    with lab.popen("client2", "decap", *tos, "--port", str(TUNNEL_PORT), "--from", "10.0.0.0/8", "--from", "fd00::/16",
                   stdout=subprocess.PIPE, text=True) as end:
        stop, threads, counts = threading.Event(), [], {}
        try:
            assert until(lambda: "decap0" in lab.run("client2", "ip", "link", "show", "up").stdout, 10)
            for vip in VIPS.values():
                threads.append(threading.Thread(target=listen, args=(lab.netns("client2"), vip, stop)))
                threads[-1].start()
            yield counts
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            end.send_signal(signal.SIGTERM)
            counts.update((k, int(v)) for k, v in (word.split("=") for word in end.communicate(timeout=10)[0].split()))
            for family, vip in VIPS.items():
                lab.run("client2", "ip", "address", "delete", f"{vip}/{32 if family == 4 else 128}", "dev", "lo")


def listen(netns, vip, stop):
    """Connections, one after the other: what comes up to its end, then its digest and all of it back."""
    with namespace(netns):
        s = socket.create_server((vip, FILES), family=socket.AF_INET6 if ":" in vip else socket.AF_INET)
    with s:
        s.settimeout(0.1)
        while not stop.is_set():
            try:
                connection, _ = s.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(20)
                try:
                    data = read_all(connection)
                    connection.sendall(hashlib.sha256(data).digest() + data)
                except OSError:
                    pass  # the client says what is wrong


def read_all(s):
    parts = []
    while part := s.recv(65536):
        parts.append(part)
    return b"".join(parts)


def echoed(lab, vip, data):
    with namespace(lab.netns("client1")):
        s = socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET)
    with s:
        s.settimeout(20)
        s.connect((vip, FILES))
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        answer = read_all(s)
    return answer[:32] == hashlib.sha256(data).digest() and answer[32:] == data


def tunnelled(lab, family, over, kind):
    """A wildcard that needs no asking."""
    remote = lab.address("client2", "core", over)
    return [peer.wildcard(VIPS[family], dport=FILES, flags=1, forward=lab.address("client2", "core", family)),
            peer.action_list(peer.SEG_TUNNEL), peer.advertise(),
            peer.tunnel(kind, remote, TUNNEL_PORT if kind == 2 else 0), *common(lab)]


@pytest.mark.parametrize("kind, over", [(1, 4), (1, 6), (2, 4), (2, 6)], ids=["ip4", "ip6", "udp4", "udp6"])
def test_tunnel_to_a_server_behind_routers_SVC_10_WILD_5(far, tmp_path, kind, over):
    """IP in IP and IP in UDP over both families around both: megabytes up through the tunnel, and back directly."""
    before = far.counters("r1", "fad")
    data = hashlib.shake_128(b"tunnel").digest(SIZE // 4)
    with server(far) as counts, manager(far, [tunnelled(far, family, over, kind) for family in VIPS]):
        with captured(far, tmp_path, "client2", "core", "ip proto 4 or ip proto 41 or ip6 proto 4 or ip6 proto 41 or "
                                                        f"udp port {TUNNEL_PORT}") as wrapped:
            for vip in VIPS.values():
                assert echoed(far, vip, data), vip
        story = far.ctl("r1", "trace", "tcp", f"{far.address('client1', 'core')}:4000", f"{VIPS[4]}:{FILES}").stdout
    assert f"IP in {'UDP' if kind == 2 else 'IP'} to " in story and far.address("client2", "core", over) in story
    after = far.counters("r1", "fad")
    assert after["packets", "wrapped"] - before["packets", "wrapped"] >= 2 * len(data) // 1480
    assert after["drops", "tunnel"] == before["drops", "tunnel"]
    # Each by itself: no super-packet, nothing larger than the link.
    assert wrapped and max(p.wirelen for p in wrapped) <= 1514
    assert {p.wirelen for p in wrapped if p.wirelen > 1000}
    assert set(counts) == {"delivered"} and counts["delivered"] >= 2 * len(data) // 1480


def test_fixed_affinity_with_a_tunnel_is_listed_SVC_10_ARCH_7(far):
    """Asked, the manager answers with a tunnel for this flow; listings say so."""
    def decide(message):
        key = peer.key_of(message)
        return [peer.fixed(key, ttl=60, flags=1, forward=far.address("client2", "core")), peer.precedence(10),
                peer.tunnel(2, far.address("client2", "core"), TUNNEL_PORT, hop_limit=9)]
    wild = [peer.wildcard(VIPS[4], dport=FILES), peer.advertise(), peer.interest(peer.ALL, peer.ALL), *common(far)]
    other = [peer.wildcard(VIPS[6], dport=FILES), peer.advertise(), *common(far)]
    with server(far), manager(far, [wild, other], decide) as m:
        assert serve_while(m, echoed, far, VIPS[4], b"x" * 5000)
        rows = {row["next_hop"]: row for row in far.rows("r1", "fad", "flows")
                if row["destination"] == f"{VIPS[4]}:{FILES}"}
    there = far.address("client2", "core")
    assert rows[there]["actions"] == f"dispatch to {there} by IP in UDP to {there}:{TUNNEL_PORT} hop limit 9"
