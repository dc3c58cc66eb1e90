# SPDX-License-Identifier: BSD-2-Clause
"""Plans of decided flows are carried out in the kernel: bulk does not come up, and goes on without the agent.

Topology `single`, with `datapath: tc` whatever the other tests run with: one router sees both directions.
"""
import contextlib
import os
import signal
import socket
import sys

import pytest

import peer
from conftest import LAB_NAME, bring_up, until
from test_fallback import Download, host
from turnoutlab.topology import VIPS

TTL = 4
MANAGER = 0x77F
# Of a manager of the test's own: one that the server has itself.
DIRECT = {4: "203.0.113.88", 6: "2001:db8:113::88"}
PORT, SILENT = 9020, 9021
BYTES = 30_000_000
SERVER = """
import socket, sys
s = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    c, _ = s.accept()
    with c:
        n = 0
        while chunk := c.recv(1 << 20):
            n += len(chunk)
        c.sendall(str(n).encode())
"""


@pytest.fixture(scope="module")
def fast():
    before = os.environ.get("TURNOUT_DATAPATH")
    os.environ["TURNOUT_DATAPATH"] = "tc"
    try:
        yield from bring_up("single", f"{LAB_NAME}-tc"[:24])
    finally:
        if before is None:
            del os.environ["TURNOUT_DATAPATH"]
        else:
            os.environ["TURNOUT_DATAPATH"] = before


@pytest.fixture
def served(fast):
    if not fast.alive("r1", "fad"):
        fast.start("r1", "fad")
    assert until(lambda: {row["state"] for row in fast.rows("sm1", "smd", "servers")} == {"up"}, 15)
    assert until(lambda: fast.rows("r1", "fad", "wildcards"), 15)
    assert until(lambda: all(fast.next_hops("core", vip) for vip in VIPS), 20)
    return fast


def brought_up(lab):
    return lab.counters("r1", "fad")["punt-port", "received-bytes"]


@pytest.mark.parametrize("vip", VIPS)
def test_bulk_does_not_come_up_and_is_counted_FA_6_FIX_4(served, vip):
    rows = {row["name"]: row for row in served.rows("r1", "fad", "interfaces")}
    assert {row["datapath"] for row in rows.values()} == {"tc"}
    before = served.counters("r1", "fad")
    big = served.status()["big_file"]
    text = served.curl("client1", f"http://{host(vip)}:8080{big['url_path']}", "-o", "/dev/null", "-w",
                       "%{size_download} %{local_port}", timeout=30)
    size, port = map(int, text.split())
    after = served.counters("r1", "fad")
    assert size == big["size"]
    assert after["punt-port", "received-bytes"] - before["punt-port", "received-bytes"] < 2_000_000
    assert after["fastpath", "done"] > before["fastpath", "done"]
    assert after["packets", "forwarded-bytes"] - before["packets", "forwarded-bytes"] > size
    client = f"{host(served.address('client1', 'core', 6 if ':' in vip else 4))}:{port}"
    flows = [row for row in served.rows("r1", "fad", "flows") if row["destination"] == client]
    assert [int(row["bytes"]) > size for row in flows] == [True], flows


def test_refreshed_without_a_packet_FIX_9(served):
    """A life of four seconds at the agent, a download of six."""
    path = served.node("sm1")["configs"]["smd"]
    with open(path, encoding="utf-8") as f:
        original = f.read()

    def reload(text):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.kill(served.pid("sm1", "smd"), signal.SIGHUP)
    try:
        reload(original.replace("method: maglev", f"method: maglev\n    affinity-ttl: {TTL}s"))
        assert until(lambda: {row["state"] for row in served.rows("sm1", "smd", "servers")} == {"up"}, 10)
        before = served.counters("r1", "fad")
        downloads = [Download(served, vip) for vip in VIPS]
        for d in downloads:
            d.start()
        for d in downloads:
            d.finish()
        after = served.counters("r1", "fad")
        assert after["messages", "refreshes"] - before["messages", "refreshes"] >= 2
        # Neither did it come up instead, when its time was up.
        assert after["punt-port", "received-bytes"] - before["punt-port", "received-bytes"] < 4_000_000
        assert after["affinities", "expired"] == before["affinities", "expired"]
    finally:
        reload(original)
        assert until(lambda: {row["state"] for row in served.rows("sm1", "smd", "servers")} == {"up"}, 10)


@contextlib.contextmanager
def decided(lab, *wildcards):
    """While a manager has these at the agent; nobody is asked anything under them."""
    common = [peer.precedence(10), peer.identity(lab.address("sm1", "ctl"), "decided")]
    with peer.Manager(lab.netns("sm1"), lab.address("sm1", "ctl"), MANAGER, lab.key(), port=7519, group=peer.GROUP4,
                      group_port=7511, wildcards=[[*segments, *common] for segments in wildcards], challenging=True) as m:
        def known():
            m.poll()
            return sum(row["manager"] == "decided" for row in lab.rows("r1", "fad", "wildcards")) == len(wildcards)
        m.announce()
        try:
            assert until(known, 20)
            yield m
            m.poll()
            assert not [x for x in m.inbox if x.type in (peer.MATCH_WILDCARD, peer.MATCH_FIXED, peer.PACKET)]
        finally:
            m.withdraw()


@contextlib.contextmanager
def direct_server(lab):
    """web1 takes connections to an address of its own that no link has."""
    addresses = [f"{DIRECT[4]}/32", f"{DIRECT[6]}/128"]
    for address in addresses:
        lab.run("web1", "ip", "address", "add", address, "dev", "lo", "nodad")
    server = lab.popen("web1", sys.executable, "-c", SERVER, str(PORT), stdout=-1, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        yield
    finally:
        server.kill()
        server.communicate()
        for address in addresses:
            lab.run("web1", "ip", "address", "delete", address, "dev", "lo")


def upload(lab, family):
    """Send, and hear how much has arrived."""
    with peer.namespace(lab.netns("client1")):
        s = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    with s:
        s.settimeout(20)
        s.connect((DIRECT[family], PORT))
        s.sendall(bytes(BYTES))
        s.shutdown(socket.SHUT_WR)
        return int(s.recv(100))


@pytest.mark.parametrize("family", DIRECT)
def test_wildcards_alone_dispatch_and_drop_in_the_kernel_WILD_5_FIX_2_FIX_3(served, family):
    vip = DIRECT[family]
    to_server = [peer.wildcard(vip, dport=PORT, flags=1, forward=served.address("web1", "lan", family)), peer.advertise()]
    to_nobody = [peer.wildcard(vip, proto=peer.UDP, dport=SILENT, flags=1)]
    with direct_server(served), decided(served, to_server, to_nobody):
        assert until(lambda: served.next_hops("core", vip), 10)
        before = served.counters("r1", "fad")
        assert upload(served, family) == BYTES
        after = served.counters("r1", "fad")
        assert after["punt-port", "received-bytes"] - before["punt-port", "received-bytes"] < 2_000_000
        assert after["packets", "forwarded-bytes"] - before["packets", "forwarded-bytes"] > BYTES
        with peer.namespace(served.netns("client1")):
            s = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        def dropped():
            return served.counters("r1", "fad")["drops", "affinity"] - after["drops", "affinity"]
        with s:
            s.sendto(b"to nobody", (vip, SILENT))
            assert until(lambda: dropped() == 1, 5)  # the agent has seen it, and placed the plan
            for _ in range(199):
                s.sendto(b"to nobody", (vip, SILENT))
        assert until(lambda: dropped() == 200, 5)
        last = served.counters("r1", "fad")
        assert last["packets", "received"] - after["packets", "received"] < 100
        rows = [row for row in served.rows("r1", "fad", "wildcards") if row["manager"] == "decided"]
        assert sum(row["drops"] for row in rows) == 200


@pytest.mark.parametrize("vip", VIPS)
def test_killed_agent_leaves_flows_running_and_the_next_goes_on_FA_6_SM_2(served, vip):
    """The route is withdrawn with the agent (FA-6); what still arrives is served, here by a worse one."""
    family = 6 if ":" in vip else 4
    route = ["ip", f"-{family}", "route"]
    rest = [vip, "via", served.address("r1", "core", family), "metric", "5000"]
    served.run("core", *route, "add", *rest)
    try:
        outlive(served, vip)
    finally:
        served.run("core", *route, "del", *rest)


def outlive(served, vip):
    download = Download(served, vip)
    download.start()
    assert until(lambda: download.size > 5_000_000, 10)
    served.stop("r1", "fad", kill=True)
    try:
        size = download.size
        # Longer than the second after which the dead agent's filter lets all else pass.
        assert until(lambda: download.size > size + 30_000_000, 10), (size, download.size, download.error)
        assert not served.alive("r1", "fad")
    finally:
        served.start("r1", "fad")
    download.finish()
    assert download.stall() < 3
    assert until(lambda: served.counters("r1", "fad")["fastpath", "done"] > 0, 5)
