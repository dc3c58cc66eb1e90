# SPDX-License-Identifier: BSD-2-Clause
"""What happens when a part dies: daemons killed with -9, servers gone, a manager silent, paths moved under live flows.

Every test leaves the lab as it found it; the fixture `healthy` starts what a failed one left dead.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.compat import raw

import peer
from conftest import until, within
from peer import Manager, namespace
from turnoutlab.topology import VIPS

VIP4, VIP6 = VIPS
SERVERS = {"web1", "web2", "web3"}
ROUTERS = ("r1", "r2")
OTHER = {"r1": "r2", "r2": "r1"}
RING = os.environ.get("TURNOUT_DATAPATH", "ring") == "ring"
RATE = "15M"  # 100 MB take six to seven seconds
PORTS = iter(range(21000, 25000))  # below those that the kernel chooses from


def host(address):
    return f"[{address}]" if ":" in address else address


def requests(lab, client="client1", vip=VIP4, count=20, timeout=3):
    """Servers that answered so many connections, in order; None for one that was not answered."""
    urls = [f"http://{host(vip)}/"] * count
    done = lab.run(client, "curl", "-sg", "-w", ";\n", "--connect-timeout", str(timeout), "-H", "Connection: close",
                   *urls, check=False, timeout=count * timeout + 10)
    return [part.split()[0] if part.split() else None for part in done.stdout.split(";\n")[:count]]


class Download:
    """A slow download of the big file in the background, from a client port of its own."""

    def __init__(self, lab, client="client1", vip=VIP4, rate=RATE):
        self.lab, self.port = lab, next(PORTS)
        self.big = lab.status()["big_file"]
        self.client = f"{host(lab.address(client, 'core', 6 if ':' in vip else 4))}:{self.port}"
        self.vip = f"{host(vip)}:8080"
        url = f"http://{self.vip}{self.big['url_path']}"
        curl = f"curl -sSg --max-time 60 --local-port {self.port} --limit-rate {rate} '{url}' | sha256sum"
        self.process = lab.popen(client, "bash", "-o", "pipefail", "-c", curl, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, start_new_session=True)

    def __enter__(self):
        assert until(self.paths, 5, 0.05), f"the download does not start: {self.process.poll()}"
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def paths(self):
        """(routers that hold the flow to the VIP, routers that hold its replies) once both are known, else None."""
        to_vip, back = [], []
        for router in ROUTERS:
            if not self.lab.alive(router, "fad"):
                continue
            for row in self.lab.rows(router, "fad", "affinities"):
                if (row["source"], row["destination"]) == (self.client, self.vip):
                    to_vip.append(router)
                elif row["destination"] == self.client:
                    back.append(router)
        return (to_vip, back) if to_vip and back else None

    def server(self):
        """The server that the manager has for this flow; None when it knows no such flow."""
        found = {row["server"] for row in self.lab.rows("sm1", "smd", "affinities")
                 if self.client in (row["source"], row["destination"])}
        assert len(found) <= 1, found
        return found.pop() if found else None

    def going(self):
        return self.process.poll() is None

    def finish(self):
        """Wait for the end and demand that every byte is right."""
        output, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0 and self.big["sha256"] in output, output


def restart(lab, node, daemon):
    """kill -9 and at once start again, without cleaning up anything."""
    lab.stop(node, daemon, kill=True)
    lab.start(node, daemon)


def both_announce(lab):
    return until(lambda: all(len(lab.next_hops("core", vip)) == 2 for vip in VIPS), 10)


def servers_up(lab):
    return until(lambda: {row["state"] for row in lab.rows("sm1", "smd", "servers")} == {"up"}, 10)


class Gateway:
    """The servers' default route over one router only, as a first-hop redundancy protocol would have it."""

    def __init__(self, lab, router):
        self.lab, self.router = lab, router

    def set(self, routers):
        for server in sorted(SERVERS):
            for family in (4, 6):
                hops = [w for r in routers for w in ("nexthop", "via", self.lab.address(r, "lan", family))]
                self.lab.run(server, "ip", f"-{family}", "route", "replace", "default", *hops)
                if family == 6 and len(routers) == 1:  # replace changes one next hop, and leaves the other
                    gone = self.lab.address(OTHER[routers[0]], "lan", 6)
                    self.lab.run(server, "ip", "-6", "route", "del", "default", "via", gone, check=False)

    def __enter__(self):
        self.set([self.router])
        return self

    def __exit__(self, *_):
        self.set(list(ROUTERS))


# ---- daemons killed ----


@pytest.mark.parametrize("vip", VIPS, ids=["v4", "v6"])
def test_agent_restarted_under_a_live_download_ARCH_3_SM_2(healthy, vip):
    """The agents begin with empty tables: every packet they see is one of a flow in its middle, both directions."""
    # With plans in the kernel it goes on without an agent, and must last until both are back.
    with Download(healthy, vip=vip, rate=RATE if RING else "6M") as download:
        server, decided = download.server(), decisions(healthy)
        for router in ROUTERS:
            restart(healthy, router, "fad")
        assert until(download.paths, 5), "no agent has learnt the flow again"
        assert download.server() == server in SERVERS
        assert download.going()
        download.finish()
    assert decisions(healthy) == decided
    assert both_announce(healthy)


def decisions(lab):
    return sum(int(row["decisions"]) for row in lab.rows("sm1", "smd", "services") if int(row["port"]) == 8080)


def test_killed_agent_is_withdrawn_and_its_peer_serves_all_ARCH_3_ACT_3(healthy):
    """Its VIPs go after the glue's lease.  With the servers' gateway moved, the other router has it all, live flows too."""
    with Download(healthy, rate="9M") as download:
        server = download.server()
        healthy.stop("r1", "fad", kill=True)
        with Gateway(healthy, "r2"):
            left = [healthy.address("r2", "core")]
            assert until(lambda: healthy.next_hops("core", VIP4) == left, 5), healthy.next_hops("core", VIP4)
            assert until(lambda: healthy.next_hops("core", VIP6) == [healthy.address("r2", "core", 6)], 5)
            answers = requests(healthy, count=20) + requests(healthy, "client2", VIP6, count=10)
            assert None not in answers and set(answers) <= SERVERS
            healthy.start("r1", "fad")
            assert both_announce(healthy)
            assert until(lambda: healthy.rows("r1", "fad", "wildcards"), 5)
        answers = requests(healthy, count=20)
        assert None not in answers
        assert until(lambda: healthy.rows("r1", "fad", "affinities"), 2)
        assert download.server() == server
        download.finish()


def test_router_without_its_agent_routes_everything_ARCH_1(healthy):
    """What is left in the kernel takes nothing any more, though a server's replies match a wildcard there."""
    healthy.stop("r1", "fad", kill=True)
    with Gateway(healthy, "r1"):
        for family in (4, 6):
            server = healthy.address("web1", "lan", family)
            assert until(lambda a=server: reachable(healthy, "client1", a), 4), "not even by a server's own address"
            assert healthy.who("client1", server) == ("web1", healthy.address("client1", "core", family))
    healthy.start("r1", "fad")
    assert both_announce(healthy)


def test_manager_killed_during_downloads_decides_the_same_again_SM_2_ARCH_3(healthy):
    """Downloads go on without a manager.  Its successor has no memory, and sends a flow that moves to its old server."""
    with Download(healthy, vip=VIP4, rate="9M") as one, Download(healthy, "client2", VIP6, rate="9M") as two:
        servers = one.server(), two.server()
        healthy.stop("sm1", "smd", kill=True)
        time.sleep(1.5)
        assert one.going() and two.going()
        healthy.start("sm1", "smd")
        assert servers_up(healthy)
        # Both agents forget, and have to ask the one that remembers nothing.
        for router in ROUTERS:
            restart(healthy, router, "fad")
        assert until(lambda: one.server() and two.server(), 5)
        assert (one.server(), two.server()) == servers
        one.finish()
        two.finish()
    assert both_announce(healthy)
    assert None not in requests(healthy)


def test_manager_killed_new_flows_wait_for_its_successor_ARCH_10(healthy):
    """A connection tried while no manager lives is answered by the next one: the client just tries again."""
    healthy.stop("sm1", "smd", kill=True)
    attempt = healthy.popen("client1", "curl", "-s", "--max-time", "15", f"http://{VIP4}/", stdout=subprocess.PIPE,
                            text=True)
    time.sleep(0.7)
    healthy.start("sm1", "smd")
    output, _ = attempt.communicate(timeout=20)
    assert attempt.returncode == 0 and output.split()[0] in SERVERS


def test_killed_glue_withdraws_at_once_and_comes_back_ACT_3(healthy):
    with Download(healthy) as download:
        healthy.stop("r2", "routed-glue", kill=True)
        left = [healthy.address("r1", "core")]
        assert until(lambda: healthy.next_hops("core", VIP4) == left, 3), healthy.next_hops("core", VIP4)
        assert healthy.run("r2", "ip", "link", "show", "vip0", check=False).returncode != 0
        assert None not in requests(healthy)
        healthy.start("r2", "routed-glue")
        assert both_announce(healthy)
        assert None not in requests(healthy)
        download.finish()


@pytest.mark.parametrize("node, daemon", [("r1", "fad"), ("sm1", "smd"), ("r1", "routed-glue")])
def test_killed_three_times_needs_no_clean_up_ARCH_7(healthy, node, daemon):
    for _ in range(3):
        restart(healthy, node, daemon)
    assert servers_up(healthy) and both_announce(healthy)
    assert until(lambda: healthy.rows("r1", "fad", "wildcards"), 5)
    assert until(lambda: None not in requests(healthy, count=10, timeout=1), 5)


@pytest.mark.parametrize("node, daemon", [("r1", "fad"), ("sm1", "smd"), ("r1", "routed-glue")])
def test_terminated_ends_with_status_0_and_starts_again_ARCH_7(healthy, node, daemon):
    entry = healthy.status()["processes"][f"{node}/{daemon}"]
    pathlib.Path(entry["log"]).write_text("")
    healthy.stop(node, daemon)
    assert "error" not in pathlib.Path(entry["log"]).read_text()
    if daemon == "smd":  # SM-1: it withdraws on shutdown, not by the wildcards' expiry
        assert until(lambda: not healthy.next_hops("core", VIP4), 4)
        assert not healthy.rows("r1", "fad", "wildcards")
    healthy.start(node, daemon)
    assert servers_up(healthy) and both_announce(healthy)


# ---- servers ----


def states(lab, server):
    return {row["state"] for row in lab.rows("sm1", "smd", "servers") if row["name"] == server}


def test_dead_server_is_taken_out_and_comes_back_SVC_2(healthy):
    healthy.stop("web2", "nginx", kill=True)
    assert until(lambda: states(healthy, "web2") == {"down"}, 3), states(healthy, "web2")
    assert set(requests(healthy, count=30)) == SERVERS - {"web2"}
    assert set(requests(healthy, "client2", VIP6, count=30)) == SERVERS - {"web2"}
    healthy.start("web2", "nginx")
    assert until(lambda: states(healthy, "web2") == {"up"}, 3)
    assert set(requests(healthy, count=40)) == SERVERS


def test_dead_server_disturbs_no_flow_of_others_SVC_2(healthy):
    with Download(healthy, rate="20M") as download:
        victim = sorted(SERVERS - {download.server()})[0]
        healthy.stop(victim, "nginx", kill=True)
        assert until(lambda: states(healthy, victim) == {"down"}, 3)
        healthy.start(victim, "nginx")
        download.finish()
    assert servers_up(healthy)


def test_all_servers_dead_then_one_is_back_SVC_2(healthy):
    for server in sorted(SERVERS):
        healthy.stop(server, "nginx", kill=True)
    assert until(lambda: {row["state"] for row in healthy.rows("sm1", "smd", "servers")} == {"down"}, 4)
    assert requests(healthy, count=1, timeout=1) == [None]
    healthy.start("web3", "nginx")
    assert until(lambda: states(healthy, "web3") == {"up"}, 3)
    assert until(lambda: set(requests(healthy, count=6, timeout=1)) == {"web3"}, 5)
    for server in ("web1", "web2"):
        healthy.start(server, "nginx")
    assert servers_up(healthy)


# ---- paths moved, questions repeated ----


def test_second_agent_gets_the_same_answer_mid_flow_SM_2_ARCH_3(healthy):
    """The path to the VIP moves to the other router in the middle of a download."""
    with Download(healthy) as download:
        server, decided = download.server(), decisions(healthy)
        before, _ = download.paths()
        assert len(before) == 1, before
        healthy.stop(before[0], "routed-glue")
        after = OTHER[before[0]]
        assert until(lambda: after in (download.paths() or [[]])[0], 5), f"{after} never saw the flow"
        assert download.server() == server and decisions(healthy) == decided
        assert download.going()
        download.finish()
    healthy.start(before[0], "routed-glue")
    assert both_announce(healthy)


@pytest.fixture
def changed(healthy):
    """changed(old, new, ...): the manager with another configuration, until the end of the test."""
    path = pathlib.Path(healthy.node("sm1")["configs"]["smd"])
    original = path.read_text()

    def change(*pairs, append=""):
        text = original
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text + append)
        restart(healthy, "sm1", "smd")
        assert servers_up(healthy)
        assert until(lambda: healthy.rows("r1", "fad", "wildcards") and healthy.rows("r2", "fad", "wildcards"), 5)
        return healthy

    yield change
    path.write_text(original)
    restart(healthy, "sm1", "smd")
    assert servers_up(healthy) and both_announce(healthy)


def syn(lab, router, port, count=1):
    """The same SYN from client1, handed to a router of our choice by core."""
    text = lab.run(router, "ip", "-j", "link", "show", "core").stdout
    segment = TCP(sport=port, dport=80, flags="S", seq=12345)
    frame = raw(Ether(dst=re.search(r'"address":"([0-9a-f:]+)"', text)[1], src="02:00:00:00:00:01")
                / IP(src=lab.address("client1", "core"), dst=VIP4) / segment)
    with namespace(lab.netns("core")):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with s:
        s.bind((router, 0))
        for _ in range(count):
            s.send(frame)


def answer(lab, router, port):
    """What the router's agent does with client1's flow from that port; None when it holds nothing."""
    client = f"{lab.address('client1', 'core')}:{port}"
    return next((row["actions"] for row in lab.rows(router, "fad", "affinities") if row["source"] == client), None)


def test_repeated_syn_gets_the_same_answer_everywhere_SM_2(changed):
    """With round robin a second decision would be another one, so this shows that there is none."""
    lab = changed(("method: maglev", "method: round-robin"))
    answers = set()
    for port in (next(PORTS) for _ in range(6)):
        syn(lab, "r1", port, count=3)
        first = until(lambda p=port: answer(lab, "r1", p), 3, 0.05)
        syn(lab, "r2", port)
        second = until(lambda p=port: answer(lab, "r2", p), 3, 0.05)
        syn(lab, "r1", port)
        assert first and first == second == answer(lab, "r1", port)
        answers.add(first)
    assert len(answers) == 3, answers


def test_flow_expired_at_the_agents_gets_the_same_answer_SM_2_FIX_5(changed):
    lab = changed(("method: maglev", "method: round-robin\n    affinity-ttl: 2s"))
    port, sequence = next(PORTS), []
    syn(lab, "r1", port)
    sequence.append(until(lambda: answer(lab, "r1", port), 3, 0.05))
    assert within(lambda: answer(lab, "r1", port) is None, 2 + 2 + 2), "the affinity does not expire"
    requests(lab, count=4)  # the round goes on meanwhile
    syn(lab, "r1", port)
    sequence.append(until(lambda: answer(lab, "r1", port), 3, 0.05))
    assert sequence[0] and sequence[0] == sequence[1]


def test_download_outlives_its_affinities_many_times_FIX_9_SM_2(changed):
    """Two seconds of life at the agents, a download of eight."""
    lab = changed(("method: maglev", "method: round-robin\n    affinity-ttl: 2s"))
    with Download(lab) as download:
        download.finish()


# ---- a silent manager ----


def test_silent_manager_leaves_nothing_ARCH_10_WILD_3(changed):
    """Killed, not stopped: it says no goodbye."""
    lab = changed(("method: maglev", "method: maglev\n    affinity-ttl: 4s"), append="wildcard-ttl: 4s\n")
    for router in ROUTERS:  # without what they were given for longer before
        restart(lab, router, "fad")
    assert both_announce(lab)
    assert None not in requests(lab, count=10)
    time.sleep(5)  # as long as it lives it refreshes
    assert None not in requests(lab, count=10)
    assert all(lab.rows(router, "fad", "affinities") for router in ROUTERS)
    lab.stop("sm1", "smd", kill=True)
    try:  # its TTL, what an agent may be late, and the time it takes to ask
        assert within(lambda: not any(lab.rows(r, "fad", "wildcards") for r in ROUTERS), 4 + 2 + 2)
        assert until(lambda: not any(lab.rows(r, "fad", "affinities") for r in ROUTERS), 4)
        for router in ROUTERS:
            routes = lab.run(router, "ip", "route").stdout + lab.run(router, "ip", "-6", "route").stdout
            assert VIP4 not in routes and VIP6 not in routes
            assert "10.0.1.0/24" in routes and "fd00:1::/64" in routes
        assert until(lambda: not any(lab.next_hops("core", vip) for vip in VIPS), 5)
        for family in (4, 6):
            server = lab.address("web2", "lan", family)
            assert lab.who("client1", server) == ("web2", lab.address("client1", "core", family))
    finally:
        lab.start("sm1", "smd")
    assert both_announce(lab) and servers_up(lab)
    assert None not in requests(lab, count=10)


# ---- a manager that takes everything, and dies ----


class Sshd:
    """An ssh server in a router, and a client's way in."""

    PORT = 2222

    def __init__(self, lab, router, directory):
        self.lab, self.router, self.directory = lab, router, directory
        self.made = not os.path.exists("/run/sshd")

    def __enter__(self):
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / name], check=True)
        shutil.copy(self.directory / "user.pub", self.directory / "authorized")
        options = {"HostKey": self.directory / "host", "AuthorizedKeysFile": self.directory / "authorized",
                   "StrictModes": "no", "UsePAM": "no", "PermitRootLogin": "yes", "PidFile": "none"}
        arguments = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        self.process = self.lab.popen(self.router, "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", str(self.PORT),
                                      *arguments, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        if self.made:
            shutil.rmtree("/run/sshd", ignore_errors=True)

    def works(self, client, address):
        done = self.lab.run(client, "ssh", "-p", str(self.PORT), "-i", str(self.directory / "user"), "-F", "none",
                            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
                            "ConnectTimeout=3", f"root@{address}", "echo", "in", check=False)
        return done.stdout.strip() == "in"


def everything(family):
    """A wildcard of all packets of a family, of best precedence: all of them are to go to the manager."""
    zero = "0.0.0.0" if family == 4 else "::"
    return [peer.wildcard(zero, dst_mask=zero, src=zero, src_mask=zero, proto=0, ttl=20), peer.precedence(0),
            peer.interest(peer.ALL, data=peer.ALL)]


@pytest.fixture
def greedy(healthy):
    """A manager with a key of the lab that took everything at both agents, and does nothing from then on."""
    manager = Manager(healthy.netns("sm2"), healthy.address("sm2", "ctl"), 0x666, healthy.key(), group="239.255.75.10",
                      wildcards=[everything(4), everything(6)])

    def held():
        return all(sum(int(row["precedence"]) == 0 for row in healthy.rows(r, "fad", "wildcards")) == 2
                   for r in ROUTERS)

    with manager:
        manager.receive(lambda _: held(), 20, every=manager.announce)
        assert until(held, 3), "the wildcards were not taken"
        yield healthy
        manager.withdraw()
        # ARCH-10: not a trace of it.
        assert until(lambda: not any(int(row["precedence"]) == 0 for r in ROUTERS
                                     for row in healthy.rows(r, "fad", "wildcards")), 25)
        assert reachable(healthy, "client1", healthy.address("web1", "lan"))
        assert None not in requests(healthy, count=10)


def established(lab, node):
    text = lab.run(node, "vtysh", "-c", "show bgp summary json").stdout
    return text.count('"state":"Established"'), re.findall(r'"peerUptimeMsec":(\d+)', text)


def reachable(lab, client, address, port=80):
    with namespace(lab.netns(client)):
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    with s:
        s.settimeout(1.5)
        try:
            s.connect((address, port))
            return True
        except OSError:
            return False


def test_wildcard_of_everything_spares_the_router_itself_FA_8(greedy, tmp_path):
    """BGP and BFD stay up, ssh and ping reach the routers, managers and agents go on talking."""
    lab = greedy
    for family in (4, 6):  # it does take what a wildcard may take
        assert not reachable(lab, "client1", lab.address("web1", "lan", family))
    count, uptimes = established(lab, "core")
    assert count == 4
    heard = {r: managers(lab, r)["sm1"] for r in ROUTERS}
    with Sshd(lab, "r1", tmp_path) as sshd:
        for address in (lab.address("r1", "core"), lab.address("r1", "lan"), lab.address("r1", "core", 6)):
            assert until(lambda a=address: sshd.works("client1", a), 6), address
    for router in ROUTERS:
        for family in (4, 6):
            lab.run("client1", "ping", "-c", "2", "-i", "0.2", "-W", "1", lab.address(router, "core", family))
    time.sleep(5)  # longer than BGP's hold time of 3 s, and BFD's of 0.9 s
    count, later = established(lab, "core")
    uptimes, later = sorted(map(int, uptimes)), sorted(map(int, later))
    assert count == 4 and all(b > a for a, b in zip(uptimes, later)), (uptimes, later)
    for router in ROUTERS:
        assert managers(lab, router)["sm1"]["state"] == "known" == heard[router]["state"]
    assert {row["name"] for row in lab.rows("sm1", "smd", "agents") if row["state"] == "known"} >= set(ROUTERS)
    neighbours = lab.run("r1", "ip", "neigh", "flush", "all")
    assert neighbours.returncode == 0  # found anew by ARP and neighbour discovery, which nobody may take
    lab.run("r1", "ping", "-c", "1", "-W", "2", lab.address("web1", "lan"))
    lab.run("r1", "ping", "-6", "-c", "1", "-W", "2", lab.address("web1", "lan", 6))


def managers(lab, router):
    return {row["name"]: row for row in lab.rows(router, "fad", "managers")}
