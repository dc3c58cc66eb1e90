# SPDX-License-Identifier: BSD-2-Clause
"""ICMP errors about flows through the agents: path-MTU discovery, refusals, time exceeded; both families.

The error often reaches the agent that does not know the flow: tests pin the ways at the core router.
"""
import contextlib
import itertools
import socket
import struct

import pytest

from conftest import until
from peer import namespace
from test_basic import VIPS, big, host, keys_at, sha256

NARROW = 1300
NUMBERS = itertools.count(101)  # host parts of addresses
ROUTERS = pytest.mark.parametrize("error_at", ["r1", "r2"])
SERVERS = {"web1", "web2", "web3"}
ERRQUEUE = 0x2000  # MSG_ERRQUEUE


def family_of(address):
    return 6 if ":" in address else 4


def ip(lab, node, family, *arguments, check=True):
    return lab.run(node, "ip", f"-{family}", *arguments, check=check).stdout


@contextlib.contextmanager
def routes(lab, family, *wanted):
    """(node, route...) for the time of a test."""
    made = []
    try:
        for node, *route in wanted:
            ip(lab, node, family, "route", "add", *route)
            made.append((node, route))
        yield
    finally:
        for node, route in made:
            ip(lab, node, family, "route", "del", *route, check=False)


@contextlib.contextmanager
def ways(lab, vip, error_at):
    """At the core: what clients send to the VIP goes to r1, what the core itself sends there, errors, to error_at."""
    family, rules = family_of(vip), []
    try:
        for table, origin, router in (("771", "client1", "r1"), ("772", "lo", error_at)):
            hop = lab.address(router, "core", family)
            ip(lab, "core", family, "route", "add", vip, "via", hop, "table", table)
            rule = ("iif", origin, "to", vip, "lookup", table)
            ip(lab, "core", family, "rule", "add", *rule)
            rules.append((rule, table))
        yield
    finally:
        for rule, table in rules:
            ip(lab, "core", family, "rule", "del", *rule, check=False)
            ip(lab, "core", family, "route", "flush", "table", table, check=False)


@contextlib.contextmanager
def new_client(lab, family):
    """An address of client1 of which no server knows how narrow the way to it is.

    What is learnt about a path is remembered for minutes, and a server that knows a narrow one offers small segments.
    """
    number = next(NUMBERS)
    address, plen = (f"fd00:1::{number}", 128) if family == 6 else (f"10.0.1.{number}", 32)
    ip(lab, "client1", family, "address", "add", f"{address}/{plen}", "dev", "core", *(["nodad"] if family == 6 else []))
    try:
        yield address
    finally:
        ip(lab, "client1", family, "address", "del", f"{address}/{plen}", "dev", "core", check=False)


def too_big(lab, node, family):
    """How many errors of that kind a node has been told of."""
    if family == 6:
        text = lab.run(node, "cat", "/proc/net/snmp6").stdout
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Icmp6InPktTooBigs"))
    names, values = (line.split() for line in lab.run(node, "cat", "/proc/net/snmp").stdout.splitlines()
                     if line.startswith("Icmp:"))
    return int(values[names.index("InDestUnreachs")])


@VIPS
@ROUTERS
def test_a_narrow_way_to_the_client_KEY_4_ARCH_3(healthy, vip, error_at):
    """The core's "too big" goes to the VIP, and must reach the very server, whichever agent gets to see it."""
    family = family_of(vip)
    with new_client(healthy, family) as client, ways(healthy, vip, error_at), routes(
            healthy, family, ("core", client, "dev", "client1", "mtu", str(NARROW))):
        before = {server: too_big(healthy, server, family) for server in SERVERS}
        assert sha256(healthy, "client1", big(healthy, vip), "--interface", client) == healthy.status()["big_file"]["sha256"]
        assert any(too_big(healthy, server, family) > before[server] for server in SERVERS)
        # The agent that saw the errors has been told of the flow, whether its packets cross it or not.
        assert [k for k in keys_at(healthy, error_at) if k[0].startswith(f"{host(client)}:") and k[1] == f"{host(vip)}:8080"]


@VIPS
def test_a_narrow_way_to_the_servers_FA_7_KEY_4(healthy, vip):
    """The agents' "too big" shows the client's packet as he sent it: only so he believes it."""
    family = family_of(vip)
    path = healthy.status()["big_file"]["path"]
    narrow = [(router, healthy.address(server, "lan", family), "dev", "lan", "mtu", str(NARROW))
              for router in ("r1", "r2") for server in sorted(SERVERS)]

    def errors():
        return sum(healthy.counters(router, "fad")["packets", "errors-made"] for router in ("r1", "r2"))
    with new_client(healthy, family) as client, routes(healthy, family, *narrow):
        made, told = errors(), too_big(healthy, "client1", family)
        text = healthy.curl("client1", f"http://{host(vip)}:8080/upload", "-T", path, "-H", "Expect:", "-D", "-",
                            "--interface", client, timeout=60)
        assert healthy.status()["big_file"]["sha256"] in text.lower()
        assert too_big(healthy, "client1", family) > told
        assert errors() > made
        assert healthy.drops("r1", "fad")["too-big"] + healthy.drops("r2", "fad")["too-big"] > 0


def udp(lab, client, address, port=7):
    """A connected socket that keeps the errors it gets."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespace(lab.netns(client)):
        s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(2.0)
    if family == socket.AF_INET:
        s.setsockopt(socket.SOL_IP, 11, 1)  # IP_RECVERR
    else:
        s.setsockopt(socket.IPPROTO_IPV6, 25, 1)  # IPV6_RECVERR
    s.connect((address, port))
    return s


def error_of(s):
    """(type, code, who said it, address and port of the packet it is about) of the next error, or None."""
    try:
        _, ancillary, _, about = s.recvmsg(2048, 512, ERRQUEUE)
    except OSError:
        return None
    for _, _, data in ancillary:
        # struct sock_extended_err, then the address of who said it.
        if len(data) < 24:
            continue
        kind, code = struct.unpack_from("BB", data, 5)
        who = data[16 + 4:16 + 8] if s.family == socket.AF_INET else data[16 + 8:16 + 24]
        return kind, code, socket.inet_ntop(s.family, who), about[:2]
    return None


@VIPS
def test_a_refusal_comes_from_the_VIP_KEY_4(healthy, vip):
    """A closed port of the server: the client learns at once, and sees neither the server nor its port."""
    for server in SERVERS:
        healthy.stop(server, "udp-echo")
    try:
        for _ in range(6):
            with udp(healthy, "client1", vip) as s:
                s.send(b"whoami")
                with pytest.raises(ConnectionRefusedError):
                    s.recv(64)
                expected = (1, 4) if ":" in vip else (3, 3)
                assert error_of(s) == (*expected, vip, (vip, 7))
    finally:
        for server in SERVERS:
            healthy.start(server, "udp-echo")


def flow_to(lab, vip, server):
    """A socket whose datagrams go to that server."""
    for _ in range(64):
        s = udp(lab, "client1", vip)
        s.send(b"whoami")
        if s.recv(64).decode() == server:
            return s
        s.close()
    raise AssertionError(f"no flow goes to {server}")


@VIPS
def test_time_exceeded_beyond_the_agents_KEY_4(healthy, vip):
    """As a traceroute: who sits between the agents and the server tells the client, about a packet to the VIP."""
    family = family_of(vip)
    web1, web2 = (healthy.address(server, "lan", family) for server in ("web1", "web2"))
    detour = [(router, web1, "via", web2, "dev", "lan") for router in ("r1", "r2")]
    settings = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
    with flow_to(healthy, vip, "web1") as s, routes(healthy, family, *detour):
        for setting in settings:
            healthy.run("web2", "sysctl", "-q", f"{setting}=1")
        try:
            level, option = (socket.IPPROTO_IPV6, 16) if family == 6 else (socket.SOL_IP, socket.IP_TTL)
            s.setsockopt(level, option, 3)  # core, a router, web2
            s.send(b"whoami")
            assert until(lambda: error_of(s), 2) == (3 if family == 6 else 11, 0, web2, (vip, 7))
        finally:
            for setting in settings:
                healthy.run("web2", "sysctl", "-q", f"{setting}=0")
