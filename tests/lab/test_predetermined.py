# SPDX-License-Identifier: BSD-2-Clause
"""Wildcards that decide everything: both directions translated at the agents, and their manager is never asked.

A manager made from the protocol's document installs them, beside and in front of the lab's own; the two routers share the
traffic. The servers are small ones of the test's own at ports that no other service has, so that nobody else is asked either.
"""
import contextlib
import ipaddress
import socket
import subprocess
import sys

import pytest

import peer
from conftest import until
from peer import Manager

MANAGER = 0x77A
VIPS = {4: "203.0.113.79", 6: "2001:db8:113::79"}
ANY = {4: "0.0.0.0", 6: "::"}
LOWEST_BIT = {4: ("0.0.0.0", "0.0.0.1"), 6: ("::", "::1")}  # even and odd; the mask is the latter
ROUTERS = ("r1", "r2")
PORTS = (9010, 9011, 9015, 9019)
# Answers with its name and the client's address, at all ports given.
SERVER = """
import http.server, socket, socketserver, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{sys.argv[1]} {self.client_address[0]} {self.server.server_port}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server4(http.server.ThreadingHTTPServer):
    def server_bind(self):  # not http.server's, which asks for its own name where no name server answers
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
class Server6(Server4):
    address_family = socket.AF_INET6
for address in sys.argv[2].split(","):
    for port in sys.argv[3:]:
        server = (Server6 if ":" in address else Server4)((address, int(port)), Answer)
        threading.Thread(target=server.serve_forever).start()
print("ready", flush=True)
"""


@pytest.fixture(scope="module")
def servers(lab):
    """web1 to web3 answer at PORTS."""
    processes = []
    try:
        for name in ("web1", "web2", "web3"):
            addresses = ",".join(lab.address(name, "lan", family) for family in VIPS)
            process = lab.popen(name, sys.executable, "-c", SERVER, name, addresses, *map(str, PORTS),
                                stdout=subprocess.PIPE, text=True)
            processes.append(process)
            assert process.stdout.readline() == "ready\n"
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@contextlib.contextmanager
def clients(lab, count):
    """So many addresses, one after the other, at client1: {family: [address]}."""
    found = {4: [f"10.0.1.{n}" for n in range(32, 32 + count)], 6: [f"fd00:1::{n:x}" for n in range(32, 32 + count)]}
    for family, addresses in found.items():
        for address in addresses:
            lab.run("client1", "ip", "address", "add", f"{address}/{24 if family == 4 else 64}", "dev", "core", "nodad")
    try:
        yield found
    finally:
        for family, addresses in found.items():
            for address in addresses:
                lab.run("client1", "ip", "address", "delete", f"{address}/{24 if family == 4 else 64}", "dev", "core")


def is_odd(address):
    return int(address.rsplit(".", 1)[1]) % 2 if "." in address else int(address.rsplit(":", 1)[1], 16) % 2


def punts(lab):
    return [lab.counters(router, "fad")["packets", "punted"] for router in ROUTERS]


@contextlib.contextmanager
def decided(lab, wildcards, families=tuple(VIPS)):
    """While a manager has these at both agents, whoever uses them; at the end nobody was asked anything."""
    common = [peer.precedence(10), peer.identity(lab.address("sm2", "ctl"), "decided")]
    before = punts(lab)
    with Manager(lab.netns("sm2"), lab.address("sm2", "ctl"), MANAGER, lab.key(), group=peer.GROUP4,
                 wildcards=[[*segments, *common] for segments in wildcards], challenging=True) as m:
        def known():
            m.poll()
            held = [sum(row["manager"] == "decided" for row in lab.rows(router, "fad", "wildcards")) for router in ROUTERS]
            return held == [len(wildcards)] * 2 and all(len(lab.next_hops("core", VIPS[f])) == 2 for f in families)
        m.announce()
        try:
            assert until(known, 20), [lab.rows(router, "fad", "wildcards") for router in ROUTERS]
            yield m
            m.poll()
            asked = [message for message in m.inbox if message.type in (peer.MATCH_WILDCARD, peer.MATCH_FIXED, peer.PACKET)]
            assert not asked and punts(lab) == before
            rows = [row for router in ROUTERS for row in lab.rows(router, "fad", "managers") if row["name"] == "decided"]
            assert len(rows) == 2 and not any(row["matches"] or row["timeouts"] or row["denies"] for row in rows)
        finally:
            m.withdraw()
            assert until(lambda: not any(lab.next_hops("core", vip) for vip in VIPS.values()), 10)


def answer(lab, client, family, port):
    vip = f"[{VIPS[family]}]" if family == 6 else VIPS[family]
    return lab.curl("client1", f"http://{vip}:{port}/", "--interface", client).split()


def of(lab, name, family):
    return lab.address(name, "lan", family)


def test_even_and_odd_clients_without_asking_WILD_5_WILD_2_KEY_3_ACT_1(healthy, servers):
    """Partitions by the lowest bit of the client's address, the reverse direction likewise; addresses and ports change."""
    wildcards = []
    for family, vip in VIPS.items():
        mask = LOWEST_BIT[family][1]
        for bit, name in zip(LOWEST_BIT[family], ("web1", "web2")):
            server = of(healthy, name, family)
            wildcards.append([peer.wildcard(vip, None, bit, mask, dport=81), peer.advertise(),
                              peer.nat(dst=server, dport=PORTS[0])])
            wildcards.append([peer.wildcard(ANY[family], ANY[family], server, sport=PORTS[0]), peer.nat(src=vip, sport=81)])
    with clients(healthy, 8) as addresses, decided(healthy, wildcards):
        for family, found in addresses.items():
            for client in found:
                for _ in range(3):
                    assert answer(healthy, client, family, 81) == [["web1", "web2"][is_odd(client)], client, str(PORTS[0])]
        # Each agent had some of it.
        for router in ROUTERS:
            rows = [row for row in healthy.rows(router, "fad", "wildcards") if row["manager"] == "decided"]
            assert sum(row["packets"] for row in rows) > 0 and not any(row["flows"] or row["drops"] for row in rows)


def test_ranges_of_ports_and_addresses_without_asking_WILD_6_WILD_5(healthy, servers):
    """One wildcard for ten ports of some clients; another for the rest of the clients; what is outside is refused."""
    wildcards = []
    for family, vip in VIPS.items():
        low, mid, high = (f"10.0.1.{n}" if family == 4 else f"fd00:1::{n:x}" for n in (32, 34, 37))
        split = [("web1", low, mid), ("web3", f"{mid[:-1]}{chr(ord(mid[-1]) + 1)}", high)]
        for name, first, last in split:
            wildcards.append([peer.wildcard(vip), peer.ranges((peer.RANGE_DPORT, PORTS[0], PORTS[-1]),
                                                              (peer.RANGE_SRC, first, last)), peer.advertise(),
                              peer.nat(dst=of(healthy, name, family))])
            wildcards.append([peer.wildcard(ANY[family], ANY[family], of(healthy, name, family)),
                              peer.ranges((peer.RANGE_SPORT, PORTS[0], PORTS[-1])), peer.nat(src=vip)])
    with clients(healthy, 8) as addresses, decided(healthy, wildcards):
        for family, found in addresses.items():
            for number, client in enumerate(found[:6]):
                for port in PORTS:
                    assert answer(healthy, client, family, port) == ["web1" if number < 3 else "web3", client, str(port)]
            # Advertised, and nothing matches: dropped (ACT-3).
            for client, port in ((found[0], PORTS[-1] + 1), (found[0], PORTS[0] - 1), (found[6], PORTS[0])):
                done = healthy.run("client1", "curl", "-sg", "--connect-timeout", "1", "--interface", client,
                                   f"http://{f'[{VIPS[6]}]' if family == 6 else VIPS[4]}:{port}/", check=False)
                assert done.returncode == 28, (client, port, done)


def test_several_single_ports_and_no_others_WILD_6(healthy, servers):
    """Three ports in one wildcard, one of them not next to the others."""
    wanted = (PORTS[0], PORTS[1], PORTS[3])
    wildcards = []
    for family, vip in VIPS.items():
        server = of(healthy, "web2", family)
        wildcards.append([peer.wildcard(vip), peer.ranges(*((peer.RANGE_DPORT, p, p) for p in wanted)), peer.advertise(),
                          peer.nat(dst=server)])
        wildcards.append([peer.wildcard(ANY[family], ANY[family], server),
                          peer.ranges(*((peer.RANGE_SPORT, p, p) for p in wanted)), peer.nat(src=vip)])
    with clients(healthy, 1) as addresses, decided(healthy, wildcards):
        for family, (client,) in addresses.items():
            for port in wanted:
                assert answer(healthy, client, family, port) == ["web2", client, str(port)]
            done = healthy.run("client1", "curl", "-sg", "--connect-timeout", "1", "--interface", client,
                               f"http://{f'[{VIPS[6]}]' if family == 6 else VIPS[4]}:{PORTS[2]}/", check=False)
            assert done.returncode == 28, done


# ---- every kind of packet ----

OPTION_PORT = 9100


def everything(lab, family):
    """Whatever client1 sends to the virtual address, and whatever web1 sends to client1: nothing but addresses changes."""
    vip, server, client = VIPS[family], of(lab, "web1", family), lab.address("client1", "core", family)
    return [[peer.wildcard(vip, proto=0), peer.advertise(), peer.nat(dst=server)],
            [peer.wildcard(client, None, server, proto=0), peer.nat(src=vip)]]


@contextlib.contextmanager
def arrivals(lab, family):
    """A function that waits for a packet from client1 to web1 that satisfies a condition, as web1's link sees it."""
    client, server = (ipaddress.ip_address(a).packed for a in (lab.address("client1", "core", family), of(lab, "web1", family)))
    ends = slice(12, 20) if family == 4 else slice(8, 40)
    with peer.namespace(lab.netns("web1")):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800 if family == 4 else 0x86dd))
    with s:
        s.bind(("lan", 0x0800 if family == 4 else 0x86dd))
        s.settimeout(3)

        def wait(wanted):
            while True:
                try:
                    data = s.recv(65535)
                except TimeoutError:
                    return None
                if data[ends] == client + server and wanted(data):
                    return data
        yield wait


@pytest.mark.parametrize("family", VIPS)
def test_echo_and_protocols_without_ports_ACT_1_KEY_2_FA_7_WILD_5(healthy, family):
    """ICMP and ICMPv6 echo; GRE, ESP and SCTP as they are, two hops older."""
    payload = bytes(range(40))
    with decided(healthy, everything(healthy, family), (family,)), arrivals(healthy, family) as arrived:
        pinged = healthy.run("client1", "ping", "-c", "3", "-i", "0.2", "-s", "100", VIPS[family]).stdout
        assert "3 received" in pinged, pinged
        hops, start = (8, 20) if family == 4 else (7, 40)
        assert arrived(lambda p: p[9 if family == 4 else 6] == (1 if family == 4 else 58))[hops] == 62
        for proto in (47, 50, 132, 253):
            with peer.namespace(healthy.netns("client1")):
                s = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_RAW, proto)
            with s:
                s.sendto(payload, (VIPS[family], 0))
            p = arrived(lambda p, proto=proto: p[9 if family == 4 else 6] == proto)
            assert p and p[hops] == 62 and p[start:start + len(payload)] == payload, (proto, p)


IP_OPTIONS, IPV6_HOPOPTS, IPV6_DSTOPTS = 4, 54, 59
OPTIONS = {
    "router-alert": (4, IP_OPTIONS, bytes.fromhex("94040000")),
    "timestamp": (4, IP_OPTIONS, bytes.fromhex("440c0500") + bytes(8)),
    "both": (4, IP_OPTIONS, bytes.fromhex("94040000") + bytes.fromhex("440c0500") + bytes(8)),
    "destination": (6, IPV6_DSTOPTS, bytes.fromhex("00011e0c") + bytes(range(12))),
    "hop-by-hop": (6, IPV6_HOPOPTS, bytes.fromhex("0000010400000000")),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_datagrams_with_options_and_extension_headers_ACT_1_WILD_5(healthy, name):
    """To the server with a port translated behind them, and the answer back; the option is still there."""
    family, option, value = OPTIONS[name]
    level, kind = (socket.IPPROTO_IP, socket.AF_INET) if family == 4 else (socket.IPPROTO_IPV6, socket.AF_INET6)
    back = [peer.wildcard(healthy.address("client1", "core", family), None, of(healthy, "web1", family), proto=peer.UDP,
                          sport=OPTION_PORT), peer.nat(src=VIPS[family], sport=83)]
    forward = [peer.wildcard(VIPS[family], proto=peer.UDP, dport=83), peer.advertise(),
               peer.nat(dst=of(healthy, "web1", family), dport=OPTION_PORT)]
    with peer.namespace(healthy.netns("web1")):
        server = socket.socket(kind, socket.SOCK_DGRAM)
    with peer.namespace(healthy.netns("client1")):
        client = socket.socket(kind, socket.SOCK_DGRAM)
    with server, client, decided(healthy, [forward, back], (family,)), arrivals(healthy, family) as arrived:
        server.bind((of(healthy, "web1", family), OPTION_PORT))
        for s in (server, client):
            s.settimeout(3)
            s.setsockopt(level, option, value)
        client.connect((VIPS[family], 83))
        client.send(b"with an option")
        data, sender = server.recvfrom(100)  # by the kernel, which verified the checksums
        server.sendto(data, sender)
        assert client.recv(100) == b"with an option"
        assert sender[0] == healthy.address("client1", "core", family)
        p = arrived(lambda p: b"with an option" in p)
        if family == 4:
            assert p[0] == 0x45 + len(value) // 4 and p[20] == value[0] and p[8] == 62
        else:
            assert p[6] == (60 if option == IPV6_DSTOPTS else 0) and p[40] == 17 and p[42:40 + len(value)] == value[2:]
            assert p[7] == 62


def test_record_route_and_timestamps_of_ping_ACT_1(healthy):
    """Options that routers write into, there and back."""
    with decided(healthy, everything(healthy, 4), (4,)):
        for option, sign in (("-R", "RR:"), ("-Ttsonly", "TS:")):
            pinged = healthy.run("client1", "ping", "-c", "2", "-i", "0.2", option, VIPS[4]).stdout
            assert "2 received" in pinged and sign in pinged, pinged
