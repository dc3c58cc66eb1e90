# SPDX-License-Identifier: BSD-2-Clause
"""The main job: clients reach balanced servers at a virtual address, over two routers, both families."""
import collections
import hashlib
import re
import socket
import time

import pytest

from conftest import until
from peer import namespace

VIP4, VIP6 = "203.0.113.10", "2001:db8:113::10"
VIPS = pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["v4", "v6"])
SERVERS = {"web1", "web2", "web3"}


def host(address):
    return f"[{address}]" if ":" in address else address


def many(lab, client, vip, count):
    """(server, client address seen) of that many connections, one request each."""
    urls = [f"http://{host(vip)}/"] * count
    text = lab.run(client, "curl", "-sS", "-g", "--max-time", "20", "-H", "Connection: close", *urls, timeout=40).stdout
    return [tuple(line.split()) for line in text.splitlines()]


@VIPS
def test_spread_over_servers_SVC_1_KEY_1_KEY_3(healthy, vip):
    answers = collections.Counter(server for server, _ in many(healthy, "client1", vip, 45))
    assert sum(answers.values()) == 45
    assert set(answers) == SERVERS
    assert min(answers.values()) >= 3, answers


@VIPS
@pytest.mark.parametrize("client", ["client1", "client2"])
def test_client_address_preserved_SVC_1(healthy, client, vip):
    own = healthy.address(client, "core", 6 if ":" in vip else 4)
    assert {seen for _, seen in many(healthy, client, vip, 5)} == {own}


@VIPS
def test_both_routers_announce_the_vip_ACT_3(healthy, vip):
    family = 6 if ":" in vip else 4
    expected = sorted(healthy.address(router, "core", family) for router in ("r1", "r2"))
    assert until(lambda: healthy.next_hops("core", vip) == expected), healthy.next_hops("core", vip)


@VIPS
def test_port_nobody_serves_is_dropped_ACT_3(healthy, vip):
    """Neither an answer nor a reset: the address belongs to no host."""
    before = sum(healthy.drops(r, "fad")[n] for r in ("r1", "r2") for n in healthy.drops(r, "fad") if "advertised" in n)
    done = healthy.run("client1", "curl", "-sS", "-g", "--max-time", "2", f"http://{host(vip)}:81/", check=False)
    assert done.returncode == 28, done
    after = sum(healthy.drops(r, "fad")[n] for r in ("r1", "r2") for n in healthy.drops(r, "fad") if "advertised" in n)
    assert after > before


def echo(lab, client, address, payload, port=0, timeout=2.0):
    """The reply to one datagram to the echo service, None if it is lost."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespace(lab.netns(client)):
        s = socket.socket(family, socket.SOCK_DGRAM)
    with s:
        s.settimeout(timeout)
        s.bind(("", port))
        s.connect((address, 7))
        s.send(payload)
        try:
            return s.recv(65535)
        except socket.timeout:
            return None


@VIPS
def test_udp_echo_SVC_1_KEY_1(healthy, vip):
    names = {echo(healthy, "client1", vip, b"whoami").decode() for _ in range(24)}
    assert names == SERVERS
    for size in (1, 2, 31, 512, 1400):
        payload = hashlib.shake_128(b"%d" % size).digest(size)
        assert echo(healthy, "client2", vip, payload) == payload


def big(lab, vip):
    return f"http://{host(vip)}:8080{lab.status()['big_file']['url_path']}"


def sha256(lab, client, url, *arguments, timeout=40):
    """Digest of what curl fetches, in the client."""
    quoted = " ".join([*arguments, f"'{url}'"])
    done = lab.run(client, "bash", "-o", "pipefail", "-c", f"curl -sS -g --max-time {timeout} {quoted} | sha256sum",
                   timeout=timeout + 10)
    return done.stdout.split()[0]


@VIPS
def test_download_of_100_MB_is_intact_ACT_1_KEY_3(healthy, vip):
    """At the devices' default offloads: super-packets and unfinished checksums all the way."""
    features = healthy.run("r1", "ethtool", "-k", "lan").stdout
    assert re.search(r"^tcp-segmentation-offload: on", features, re.MULTILINE)
    assert sha256(healthy, "client1", big(healthy, vip)) == healthy.status()["big_file"]["sha256"]


@VIPS
def test_large_upload_is_intact_ACT_1_KEY_3(healthy, vip):
    path = healthy.status()["big_file"]["path"]
    text = healthy.curl("client2", f"http://{host(vip)}:8080/upload", "-D", "-", "-T", path, "-H", "Expect:", timeout=60)
    assert healthy.status()["big_file"]["sha256"] in text.lower()
    assert text.split()[-1] == str(healthy.status()["big_file"]["size"])


def keys_at(lab, router):
    """(source, destination) of the fixed affinities a router's agent holds."""
    return {(row["source"], row["destination"]) for row in lab.rows(router, "fad", "affinities")}


@VIPS
def test_directions_cross_different_routers_ARCH_3(healthy, vip):
    """Of many connections some have their two directions at different agents only, and all are answered."""
    before = {router: keys_at(healthy, router) for router in ("r1", "r2")}
    assert len(many(healthy, "client1", vip, 40)) == 40
    new = {router: keys_at(healthy, router) - before[router] for router in ("r1", "r2")}
    to_vip = {router: {k for k in new[router] if k[1] == f"{host(vip)}:80"} for router in new}
    back = {router: {k[1] for k in new[router] if k[0].endswith(":80")} for router in new}
    assert to_vip["r1"] and to_vip["r2"] and back["r1"] and back["r2"]
    crossed = [(here, k) for here, there in (("r1", "r2"), ("r2", "r1")) for k in to_vip[here]
               if k[0] in back[there] and k[0] not in back[here]]
    assert crossed, new


class Counter:
    """Bytes of service messages that reach a node, by a rule of its own in its namespace."""

    def __init__(self, lab, node):
        self.lab, self.node = lab, node

    def __enter__(self):
        rules = ("table inet turnout_test { counter c {} ; chain i { type filter hook input priority 0; "
                 "udp dport { 7510, 7511 } counter name c; }; }")
        self.lab.run(self.node, "nft", rules)
        return self

    def bytes(self):
        text = self.lab.run(self.node, "nft", "list", "counter", "inet", "turnout_test", "c").stdout
        return int(re.search(r"bytes (\d+)", text)[1])

    def __exit__(self, *_):
        self.lab.run(self.node, "nft", "delete", "table", "inet", "turnout_test")


def test_no_bulk_traffic_crosses_the_manager_ARCH_2(healthy):
    """Of 100 MB through the agents a few packets and less than a thousandth get to the manager, hellos included."""
    def punts():
        return sum(int(row["punts"]) for row in healthy.rows("sm1", "smd", "agents"))
    with Counter(healthy, "sm1") as counter:
        before = punts()
        assert sha256(healthy, "client1", big(healthy, VIP4)) == healthy.status()["big_file"]["sha256"]
        # Two agents, two directions; asked again where the answer takes its time.
        assert 1 <= punts() - before <= 24
        assert counter.bytes() <= 60_000


def test_unmatched_traffic_is_the_kernels_ARCH_1(healthy):
    """A server by its own address: the agents do not see a packet of it."""
    def received():
        return sum(healthy.counters(r, "fad")["packets", "received"] for r in ("r1", "r2"))
    server = healthy.address("web1", "lan")
    before = received()
    done = healthy.run("client1", "ping", "-c", "5", "-i", "0.05", server)
    assert " 0% packet loss" in done.stdout
    assert healthy.who("client1", server, 8080) == ("web1", healthy.address("client1", "core"))
    # The web server's replies match the services' reverse wildcards on 8080 only: ping alone is silent.
    quiet = received()
    assert healthy.run("client1", "ping", "-c", "5", "-i", "0.05", server).returncode == 0
    assert received() == quiet and quiet >= before


def test_directly_addressed_server_is_left_alone_SM_12(healthy):
    """Replies of a server to who addressed it directly match a reverse wildcard; they must not be translated."""
    for family in (4, 6):
        server = healthy.address("web2", "lan", family)
        assert healthy.who("client2", server) == ("web2", healthy.address("client2", "core", family))


def test_hop_limit_is_decremented_FA_7(healthy):
    """Like any router: a TTL that ends at the router yields an ICMP error, not a forwarded packet."""
    with namespace(healthy.netns("client1")):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with s:
        s.settimeout(1.0)
        s.setsockopt(socket.SOL_IP, 11, 1)  # IP_RECVERR
        s.bind(("", 0))
        s.connect((VIP4, 7))
        s.send(b"whoami")
        assert s.recv(64).decode() in SERVERS
        s.setsockopt(socket.SOL_IP, socket.IP_TTL, 2)  # core, then the router
        s.send(b"whoami")
        with pytest.raises(OSError):
            s.recv(64)
        assert any_unreachable(s)


def any_unreachable(s):
    """Did an ICMP time exceeded come back for what s sent?"""
    for _ in range(20):
        try:
            _, ancillary, _, _ = s.recvmsg(512, 512, 0x2000)  # MSG_ERRQUEUE
        except OSError:
            time.sleep(0.05)
            continue
        # struct sock_extended_err: errno u32, origin u8 (2: ICMP), type u8 (11: time exceeded)
        return any(data[4] == 2 and data[5] == 11 for _, _, data in ancillary)
    return False


@pytest.mark.parametrize("node, daemon, what", [
    ("sm1", "smd", "agents"), ("sm1", "smd", "services"), ("sm1", "smd", "servers"), ("sm1", "smd", "affinities"),
    ("sm1", "smd", "counters"), ("r1", "fad", "wildcards"), ("r1", "fad", "affinities"), ("r1", "fad", "counters"),
    ("r2", "fad", "interfaces"), ("r2", "fad", "managers"), ("r1", "routed-glue", "routes")])
def test_listings_are_json_and_tables_ARCH_7(healthy, node, daemon, what):
    many(healthy, "client1", VIP4, 6)
    rows = healthy.rows(node, daemon, what)
    assert rows and all(isinstance(row, dict) for row in rows)
    table = healthy.ctl(node, "--from", daemon, "show", what).stdout.splitlines()
    assert len(table) >= 2


def test_manager_is_named_in_the_agents_listing_FA_4(healthy):
    assert {row["manager"] for row in healthy.rows("r1", "fad", "wildcards")} == {"sm1"}
    assert "sm1" in {row["name"] for row in healthy.rows("r1", "fad", "managers")}


def test_agents_are_found_by_multicast_ARCH_4(healthy):
    """Nothing in the lab's configuration names an agent to a manager or the reverse."""
    configs = [entry["configs"] for entry in healthy.status()["nodes"].values()]
    for path in (path for config in configs for path in config.values()):
        assert "peers" not in open(path, encoding="ascii").read()
    assert {row["name"] for row in healthy.rows("sm1", "smd", "agents")} >= {"r1", "r2"}


def test_both_directions_have_wildcards_SM_1(healthy):
    rows = healthy.rows("r1", "fad", "wildcards")
    to_vip = [r for r in rows if r["destination"].startswith(VIP4) and int(r["dport"]) == 80]
    from_servers = [r for r in rows if int(r["sport"]) == 80 and r["source"].startswith("10.0.20.")]
    assert to_vip and len(from_servers) == 3
    assert all(0 < int(r["left_s"]) <= int(r["ttl_s"]) for r in rows)
