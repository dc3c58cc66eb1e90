# SPDX-License-Identifier: BSD-2-Clause
"""An agent dies and stays dead: what of live flows still reaches its router is sent on to the other router's agent.

Each download is measured at the client, by the time between bytes.  Every test leaves the lab as it found it.
"""
import hashlib
import json
import os
import pathlib
import re
import socket
import threading
import time

import pytest

from conftest import until
from peer import namespace
from test_failures import OTHER, ROUTERS, SERVERS, both_announce, host, reachable, requests, servers_up
from turnoutlab.topology import VIPS

VIP4, VIP6 = VIPS
TC = os.environ.get("TURNOUT_DATAPATH", "ring") != "ring"
RATE = 15_000_000  # bytes a second: 100 MB take six to seven seconds
SAMPLE = 0.05
# The classifier's second, and TCP's attempts at 0.2, 0.6 and 1.4 s after the first loss.
LONGEST_STALL = 6.0
STALE = 1.3
# Nothing has to be noticed first; TCP may repeat what was in the agent's ring.
PLANNED_STALL = 1.2
PORTS = iter(range(26000, 28000))  # below those that the kernel chooses from


class Download(threading.Thread):
    """The big file over one connection, read at a steady rate; what came when, in samples of 50 ms."""

    def __init__(self, lab, vip, port=None):
        super().__init__(daemon=True)
        self.lab, self.vip = lab, vip
        self.big = lab.status()["big_file"]
        self.source = lab.address("client1", "core", 6 if ":" in vip else 4)
        self.port = port or next(PORTS)
        self.client = f"{host(self.source)}:{self.port}"
        self.digest, self.size, self.error = "", 0, ""
        self.samples = []  # (time, bytes so far)
        with namespace(lab.netns("client1")):
            self.socket = socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET, socket.SOCK_STREAM)

    def run(self):
        try:
            with self.socket as s:
                s.settimeout(30)
                s.bind((self.source, self.port))
                s.connect((self.vip, 8080))
                s.sendall(f"GET {self.big['url_path']} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
                self.read(s)
        except OSError as error:
            self.error = str(error)

    def read(self, s):
        stream = s.makefile("rb", buffering=0)
        while stream.readline().strip():
            pass
        sha, began, due = hashlib.sha256(), time.monotonic(), 0.0
        self.samples.append((began, 0))
        while True:
            part = stream.read(65536)
            if not part:
                break
            sha.update(part)
            self.size += len(part)
            now = time.monotonic()
            if now - self.samples[-1][0] >= SAMPLE:
                self.samples.append((now, self.size))
            due = self.size / RATE - (now - began)
            if due > SAMPLE:
                began += max(0.0, -due)
                time.sleep(SAMPLE)
        self.samples.append((time.monotonic(), self.size))
        self.digest = sha.hexdigest()

    def going(self):
        return self.is_alive()

    def stall(self):
        """The longest time without a byte, in seconds."""
        return max(b[0] - a[0] for a, b in zip(self.samples, self.samples[1:]))

    def paths(self):
        """(routers that hold the flow to the VIP, routers that hold its replies), of those whose agent lives."""
        to_vip, back = [], []
        for router in ROUTERS:
            if not self.lab.alive(router, "fad"):
                continue
            for row in self.lab.rows(router, "fad", "affinities"):
                if (row["source"], row["destination"]) == (self.client, f"{host(self.vip)}:8080"):
                    to_vip.append(router)
                elif row["destination"] == self.client:
                    back.append(router)
        return (to_vip, back) if to_vip and back else None

    def server(self):
        found = {row["server"] for row in self.lab.rows("sm1", "smd", "affinities")
                 if self.client in (row["source"], row["destination"])}
        assert len(found) == 1, found
        return found.pop()

    def finish(self):
        self.join(60)
        assert not self.error and self.digest == self.big["sha256"], (self.error, self.size)


def crossing(lab, vip, direction, router):
    """A download of which this direction (0: to the VIP, 1: replies) crosses this router, found by trying ports."""
    for _ in range(40):
        download = Download(lab, vip)
        download.start()
        paths = until(download.paths, 5, 0.05)
        assert paths, download.error
        if paths[direction] == [router]:
            return download
        download.socket.shutdown(socket.SHUT_RDWR)
        download.join(10)
    raise AssertionError(f"no port in 40 leads over {router}")


def kernel_counters(lab, router):
    """The counters of the classifier that a dead agent left, by its number in fad/classifier.h."""
    text = pathlib.Path(__file__).resolve().parent.parent.parent.joinpath("fad/classifier.h").read_text()
    names = re.findall(r"^\tCLASSIFIER_(\w+),", text[text.index("enum classifier_counter"):], re.M)
    filters = json.loads(lab.run(router, "tc", "-j", "filter", "show", "dev", "core", "ingress").stdout)
    number = next(f["options"]["prog"]["id"] for f in filters if "prog" in f.get("options", {}))
    maps = json.loads(lab.run(router, "bpftool", "-j", "prog", "show", "id", str(number)).stdout)["map_ids"]
    for one in maps:
        about = json.loads(lab.run(router, "bpftool", "-j", "map", "show", "id", str(one)).stdout)
        if about["name"] == "counters":
            rows = json.loads(lab.run(router, "bpftool", "-j", "map", "dump", "id", str(one)).stdout)
            return {names[i]: sum(int.from_bytes(bytes(int(b, 16) for b in cpu["value"]), "little") for cpu in row["values"])
                    for i, row in enumerate(rows)}
    raise AssertionError("the program there has no map of counters")


@pytest.fixture
def dead(healthy):
    """dead(router): its agent killed, or stopped as planned, to be started again at the end."""
    killed = []

    def kill(router, planned=False):
        healthy.stop(router, "fad", kill=not planned)
        killed.append(router)

    yield kill
    for router in killed:
        if not healthy.alive(router, "fad"):
            healthy.start(router, "fad")
    assert both_announce(healthy) and servers_up(healthy)


def served_past_the_dead(lab, download):
    """The other agent has both directions, or the dead one's plan in the kernel goes on with what still comes to it."""
    if download.paths() == (["r2"], ["r2"]) or not TC:
        return download.paths() == (["r2"], ["r2"])
    to_vip = [row for row in lab.rows("r2", "fad", "affinities") if row["source"] == download.client]
    size, carried = download.size, kernel_counters(lab, "r1")["PLAN"]
    time.sleep(SAMPLE)
    return len(to_vip) == 1 and download.size > size and kernel_counters(lab, "r1")["PLAN"] > carried


@pytest.mark.parametrize("direction", [0, 1], ids=["forward", "return"])
@pytest.mark.parametrize("vip", VIPS, ids=["v4", "v6"])
def test_download_through_a_killed_agent_completes_ARCH_3_SM_2(healthy, dead, vip, direction, record_property):
    """kill -9 of the agent that this direction crosses, for good."""
    download = crossing(healthy, vip, direction, "r1")
    server = download.server()
    dead("r1")
    assert until(lambda: healthy.next_hops("core", vip) == [healthy.address("r2", "core", 6 if ":" in vip else 4)], 5)
    assert until(lambda: served_past_the_dead(healthy, download), 5), download.paths()
    assert download.going() and download.server() == server in SERVERS
    download.finish()
    record_property("longest stall, ms", round(1000 * download.stall()))
    print(f"longest stall {1000 * download.stall():.0f} ms")
    assert download.stall() < LONGEST_STALL
    # What reached the dead agent's router went to the other one.
    counters = kernel_counters(healthy, "r1")
    if direction == 1:
        assert counters["PLAN" if TC else "FALLBACK"] > 100, counters
    assert counters["DROPPED_LOOP"] == 0


@pytest.mark.parametrize("direction", [0, 1], ids=["forward", "return"])
@pytest.mark.parametrize("vip", VIPS, ids=["v4", "v6"])
def test_download_through_a_stopped_agent_completes_FA_6_SM_2(healthy, dead, vip, direction, record_property):
    """A planned stop leaves the filters: servers that go on to send this way lose nothing."""
    download = crossing(healthy, vip, direction, "r1")
    server = download.server()
    dead("r1", planned=True)
    counters = kernel_counters(healthy, "r1")
    assert until(lambda: healthy.next_hops("core", vip) == [healthy.address("r2", "core", 6 if ":" in vip else 4)], 5)
    assert until(lambda: served_past_the_dead(healthy, download), 5), download.paths()
    assert download.going() and download.server() == server in SERVERS
    download.finish()
    record_property("longest stall, ms", round(1000 * download.stall()))
    print(f"longest stall {1000 * download.stall():.0f} ms")
    assert download.stall() < PLANNED_STALL
    after = kernel_counters(healthy, "r1")
    if direction == 1:
        by = "PLAN" if TC else "FALLBACK"
        assert after[by] - counters[by] > 100, (counters, after)
    assert after["DROPPED_LOOP"] == 0


def test_next_agent_takes_over_from_a_stopped_one_FA_6(healthy, dead):
    """Its filters are replaced: nothing goes to the fallback any more, and the router serves again."""
    dead("r1", planned=True)
    assert None not in requests(healthy, count=10)
    healthy.start("r1", "fad")
    assert both_announce(healthy)
    assert None not in requests(healthy, count=30)
    assert kernel_counters(healthy, "r1")["FALLBACK"] == 0
    assert kernel_counters(healthy, "r1")["PUNTED_WILDCARD"] > 0


def test_new_connections_past_a_killed_agent_ARCH_3(healthy, dead):
    """Servers go on to send half of their replies to the router without an agent."""
    dead("r1")
    assert until(lambda: healthy.next_hops("core", VIP4) == [healthy.address("r2", "core")], 5)
    time.sleep(STALE)
    assert None not in requests(healthy, count=30) + requests(healthy, "client2", VIP6, count=30)


def test_both_agents_dead_no_packet_goes_in_circles_ARCH_3(healthy, dead):
    """Each is the other's fallback: what comes back from there is dropped, and counted."""
    for router in ROUTERS:
        dead(router)
    time.sleep(STALE)
    for family in (4, 6):  # so that both have each other's MAC address
        healthy.run("r1", "ping", "-c1", "-W2", healthy.address("r2", "lan", family))
    for server in sorted(SERVERS):
        for family in (4, 6):
            assert not reachable(healthy, "client1", healthy.address(server, "lan", family))
    sent = {}

    def balanced():
        """Servers still repeat their answers, so the two readings may miss each other."""
        sent.update({router: kernel_counters(healthy, router) for router in ROUTERS})
        return all(0 < sent[r]["FALLBACK"] == sent[OTHER[r]]["DROPPED_LOOP"] < 200 for r in ROUTERS)
    assert until(balanced, 10), sent


def test_fallback_ends_at_its_time_ARCH_10(healthy, dead):
    """After fallback-for nothing that the dead agent left means anything any more."""
    path = pathlib.Path(healthy.node("r1")["configs"]["fad"])
    original = path.read_text()
    try:
        path.write_text(original + "fallback-for: 6s\n")
        healthy.stop("r1", "fad")
        healthy.start("r1", "fad")
        assert until(lambda: healthy.rows("r1", "fad", "wildcards"), 5)
        dead("r1")
        time.sleep(STALE)
        during = kernel_counters(healthy, "r1")
        for _ in range(8):
            assert reachable(healthy, "client1", healthy.address("web1", "lan"))
        some = kernel_counters(healthy, "r1")
        assert some["FALLBACK"] > during["FALLBACK"], (during, some)
        time.sleep(6)
        before = kernel_counters(healthy, "r1")
        for _ in range(8):
            assert reachable(healthy, "client1", healthy.address("web1", "lan"))
        after = kernel_counters(healthy, "r1")
        assert after["FALLBACK"] == before["FALLBACK"] and after["STALE"] > before["STALE"], (before, after)
    finally:
        path.write_text(original)


def test_fallback_is_checked(command, tmp_path):
    base = "control: {address: 10.0.0.1}\nidentity: 1\ninterfaces: [eth0]\n"
    for bad, why in (("[10.0.0.2, 10.0.0.3]", "one next hop is allowed of each family"),
                     ("[fe80::1]", "cannot be a next hop"), ("[224.0.0.1]", "cannot be a next hop"),
                     ("[10.0.0.2, 'fd00::2', 10.0.0.3]", "fallback"), ("[r2]", "fallback")):
        (tmp_path / "fad.yaml").write_text(f"{base}fallback: {bad}\n")
        done = command("fad", "--check", "--config", tmp_path / "fad.yaml")
        assert done.returncode == 3 and why in done.stderr and ":4:" in done.stderr, done.stderr
    (tmp_path / "fad.yaml").write_text(f"{base}fallback: [10.0.0.2, 'fd00::2']\nfallback-for: 10s\n")
    assert command("fad", "--check", "--config", tmp_path / "fad.yaml").returncode == 0
