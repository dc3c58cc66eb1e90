# SPDX-License-Identifier: BSD-2-Clause
"""Several managers at one flow: a filter before the balancer, a backup behind it; and servers that take packets as they
are, directly or through tunnels, or that are clients of their own service.

Every test leaves the lab with the configuration it found.
"""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest

import routes
from conftest import until, within
from peer import namespace
from test_adjust_tunnel import FILES, SIZE, TUNNEL_PORT, VIPS as FAR_VIPS, echoed, server as far_server
from test_failures import SERVERS, Download, host, requests
from test_icmp import NARROW, routes as narrow_routes
from test_smd import config_path, configured, connections, service
from turnoutlab.topology import VIPS

VIP4, VIP6 = VIPS
ROUTERS = ("r1", "r2")
ECHO = 7


# ---- a second manager ----

class Second:
    """Another smd, beside the lab's own, on sm2."""

    def __init__(self, lab, name, text):
        node = lab.node("sm2")
        self.lab, self.name = lab, name
        self.path = pathlib.Path(node["directory"]) / "conf" / f"{name}.yaml"
        self.log = pathlib.Path(node["log_dir"]) / f"{name}.log"
        self.run_dir = node["run_dir"]
        self.path.write_text(text)
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = self.lab.popen("sm2", "smd", "--config", str(self.path), "--run-dir", self.run_dir, "--name",
                                          self.name, stdout=log, stderr=log)
        assert until(lambda: self.process.poll() is not None or
                     not self.lab.ctl("sm2", "--from", self.name, "version", check=False).returncode, 10)
        assert self.process.poll() is None, self.log.read_text()[-2000:]

    def end(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(10)

    def counter(self, group, name):
        return self.lab.counters("sm2", self.name)[group, name]

    def reload(self, text):
        """Another configuration; returns when it was taken."""
        before = self.counter("reloads", "done")
        self.path.write_text(text)
        self.process.send_signal(signal.SIGHUP)
        assert until(lambda: self.counter("reloads", "done") > before, 5, 0.02), self.log.read_text()[-2000:]


@contextlib.contextmanager
def second(lab, name, text):
    s = Second(lab, name, text)
    try:
        s.start()
        yield s
    finally:
        s.end()


def on_sm2(lab, name):
    """The lab's manager's configuration as one of sm2's, without services; and its services."""
    text = config_path(lab).read_text()
    begin = text.index("services:\n")
    head = text[:begin].replace("name: sm1", f"name: {name}").replace("identity: 0x201", "identity: 0x202")
    changed = head.replace(f"address: {lab.address('sm1', 'ctl')}\n", f"address: {lab.address('sm2', 'ctl')}\n")
    assert changed != head
    return changed, text[begin:]


def at_agents(lab, manager, identity="0x202"):
    """How many wildcards of it the agents have."""
    return [len([row for row in lab.rows(r, "fad", "wildcards") if row["manager"] in (manager, identity)])
            for r in ROUTERS]


def questions(lab):
    return lab.counters("sm1", "smd")["messages", "matches"]


# ---- filters ----

HARMLESS = 'filters: [{name: border, precedence: 10, rules: [{action: deny, destination: 192.0.2.1/32}]}]\n'
# The second client may have files over IPv4, and nothing else.
STRICT = f"""\
filters:
  - name: border
    precedence: 10
    rules:
      - {{action: permit, protocol: tcp, source: 10.0.2.0/24, destination: {VIP4}/32, ports: [443, 8000-8999]}}
      - {{action: deny, source: 10.0.2.0/24}}
      - {{action: deny, source: "fd00:2::/64", destination: "{VIP6}/128"}}
      - {{action: permit}}
"""


def test_filter_before_the_balancer_PREC_5_SVC_5_WILD_5(healthy):
    """Permitted clients are served, denied ones dropped, and the balancer is not even asked; live downloads stop."""
    head, _ = on_sm2(healthy, "border")
    with Download(healthy, client="client2", vip=VIP6) as stopped:
        with Download(healthy, client="client2") as going, second(healthy, "border", head + STRICT):
            assert until(lambda: at_agents(healthy, "border") == [3, 3], 10), at_agents(healthy, "border")
            listed = {row["name"]: row for row in healthy.rows("sm2", "border", "wildcards")}
            assert set(listed) == {"border rule 1", "border rule 2", "border rule 3"}
            assert listed["border rule 1"]["actions"] == "go on of ports 443-443,8000-8999"
            assert (listed["border rule 2"]["actions"], listed["border rule 2"]["source"]) == ("drop", "10.0.2.0/24")
            assert [row["name"] for row in healthy.rows("sm2", "border", "services")] == ["border"]
            asked = questions(healthy)
            for vip in VIPS:
                assert not healthy.curl("client2", f"http://{host(vip)}/", timeout=1, check=False)
            assert not healthy.curl("client2", f"http://{host(VIP6)}:8080/whoami", timeout=1, check=False)
            assert questions(healthy) == asked
            assert healthy.who("client2", VIP4, 8080)[0] in SERVERS
            for vip in VIPS:
                assert set(requests(healthy, vip=vip)) == SERVERS
            assert sum(healthy.counters(r, "fad")["drops", "affinity"] for r in ROUTERS) > 0
            going.finish()
            assert stopped.going()
            story = healthy.ctl("r1", "trace", "tcp", f"{healthy.address('client2', 'core')}:4000", f"{VIP4}:80").stdout
            assert "drop" in story
            # The control channel and routing do not pass the filter (FA-8).
            assert all(row["state"] != "silent" for row in healthy.rows("sm2", "border", "agents"))
            assert len(healthy.next_hops("core", VIP4)) == 2
        # Its rules go with it, and what it stopped goes on.
        assert until(lambda: at_agents(healthy, "border") == [0, 0], 5)
        stopped.finish()


class Flows:
    """UDP flows of real sockets."""

    def __init__(self, lab, client, vip, count):
        self.sockets = []
        with namespace(lab.netns(client)):
            for _ in range(count):
                s = socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET, socket.SOCK_DGRAM)
                s.connect((vip, ECHO))
                s.setblocking(False)
                self.sockets.append(s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.sockets:
            s.close()

    def answered(self, wait=0.3):
        """How many get their datagram back."""
        for s in self.sockets:
            with contextlib.suppress(OSError):
                while s.recv(100):
                    pass
        for s in self.sockets:
            with contextlib.suppress(OSError):
                s.send(b"ping")
        time.sleep(wait)
        count = 0
        for s in self.sockets:
            with contextlib.suppress(OSError):
                count += bool(s.recv(100))
        return count


def test_rule_takes_effect_on_a_thousand_live_flows_within_a_second_PREC_10_SVC_5(healthy):
    head, _ = on_sm2(healthy, "border")
    with Flows(healthy, "client2", VIP4, 1000) as flows, second(healthy, "border", head + HARMLESS) as s:
        assert until(lambda: flows.answered() == 1000, 10, 0), flows.answered()
        asked = questions(healthy)
        s.reload(head + STRICT)
        # Within a second; to ask a thousand takes as long again, and on a busy machine more.
        assert within(lambda: flows.answered() == 0, 4, 0), flows.answered()
        s.reload(head + HARMLESS)
        assert until(lambda: flows.answered() == 1000, 2, 0), flows.answered()
        assert questions(healthy) == asked
        assert until(lambda: at_agents(healthy, "border") == [1, 1], 5)


# ---- a backup ----

SHORT = "wildcard-ttl: 3s\n"


def test_backup_takes_over_and_the_primary_returns_PREC_4_FA_11_SM_10_SM_11(healthy):
    """Killed, its wildcards expire: the backup's act at once; downloads go on, and routing hears nothing of it."""
    original = config_path(healthy).read_text()
    head, services = on_sm2(healthy, "standby")
    try:
        with configured(healthy, lambda text: text + SHORT), \
                second(healthy, "standby", head + services + SHORT + "backup: 1\n") as standby:
            assert until(lambda: {row["state"] for row in healthy.rows("sm2", "standby", "servers")} == {"up"}, 10)
            assert until(lambda: min(at_agents(healthy, "standby")) >= 12, 10), at_agents(healthy, "standby")
            before = [requests(healthy, vip=vip) for vip in VIPS]
            assert all(set(found) == SERVERS for found in before)
            assert standby.counter("messages", "matches") == 0
            with routes.Fib(healthy.netns("core")) as fib, Download(healthy) as old:
                healthy.stop("sm1", "smd", kill=True)
                # New ones wait until the primary's wildcards have expired.
                assert until(lambda: healthy.curl("client2", f"http://{VIP4}/", timeout=1, check=False), 8, 0)
                assert standby.counter("messages", "matches") > 0
                assert until(lambda: "this one has taken over" in standby.log.read_text(), 5)
                assert until(lambda: at_agents(healthy, "sm1", "0x201") == [0, 0], 5)
                with Download(healthy, client="client2", vip=VIP6) as new:
                    for vip in VIPS:
                        assert set(requests(healthy, vip=vip)) == SERVERS
                    healthy.start("sm1", "smd")
                    assert until(lambda: {row["state"] for row in healthy.rows("sm1", "smd", "servers")} == {"up"}, 10)
                    time.sleep(1)
                    taken = standby.counter("decisions", "new")
                    for vip in VIPS:
                        assert set(requests(healthy, vip=vip)) == SERVERS
                    assert standby.counter("decisions", "new") == taken
                    old.finish()
                    new.finish()
                assert not [entry for entry in fib.log if entry[2].split("/")[0] in VIPS]
            assert standby.log.read_text().count("this one stands by") == 2
    finally:
        config_path(healthy).write_text(original)
    assert until(lambda: {row["state"] for row in healthy.rows("sm1", "smd", "servers")} == {"up"}, 10)
    assert set(requests(healthy)) == SERVERS


# ---- direct server return ----

@contextlib.contextmanager
def vips_at_servers(lab):
    """Each server has the virtual addresses, and says so to nobody."""
    try:
        for server in SERVERS:
            lab.run(server, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
            for vip in VIPS:
                lab.run(server, "ip", "address", "add", vip, "dev", "lo", "nodad")
        yield
    finally:
        for server in SERVERS:
            for vip in VIPS:
                lab.run(server, "ip", "address", "delete", f"{vip}/{128 if ':' in vip else 32}", "dev", "lo",
                        check=False)
            lab.run(server, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.all.arp_announce=0")


def with_mode(*lines):
    def change(text):
        for name in ("web", "files", "echo"):
            text = service(text, name, "    method: maglev\n", "    method: maglev\n" + "".join(
                f"    {line}\n" for line in lines))
        return text
    return change


def held(lab):
    """{(source, destination): actions} of the manager's affinities about packets to the VIPs."""
    return {(row["source"], row["destination"]): row["actions"] for r in ROUTERS
            for row in lab.rows(r, "fad", "affinities")
            if row["manager"] in ("sm1", "0x201") and any(host(vip) + ":" in row["destination"] for vip in VIPS)}


def check_unchanged(lab, actions):
    """Requests, a big download and datagrams of both families; packets reach the servers as they were sent."""
    before = held(lab)  # of a manager that was killed: left until their TTL
    for vip in VIPS:
        client = lab.address("client1", "core", 6 if ":" in vip else 4)
        assert set(requests(lab, vip=vip)) == SERVERS
        assert lab.who("client1", vip)[1] == client
        assert lab.run("client1", "udp-echo", "--ask", vip, "--port", str(ECHO)).stdout.strip() in SERVERS
        url = f"http://{host(vip)}:8080{lab.status()['big_file']['url_path']}"
        done = lab.run("client1", "bash", "-o", "pipefail", "-c", f"curl -sSg --max-time 30 '{url}' | sha256sum")
        assert lab.status()["big_file"]["sha256"] in done.stdout
    new = {flow: said for flow, said in held(lab).items() if flow not in before}
    assert new and all(actions in said for said in new.values()), new
    assert {row["actions"] for row in lab.rows("sm1", "smd", "affinities")} >= {
        f"dispatch to {lab.address(s, 'lan')}" for s in SERVERS}


class OneWay(Download):
    """The replies pass no agent that would hold anything of them."""

    def paths(self):
        return [row for r in ROUTERS for row in self.lab.rows(r, "fad", "affinities") if row["source"] == self.client]


def test_direct_server_return_SVC_1_FIX_2(healthy):
    with vips_at_servers(healthy), configured(healthy, with_mode("mode: direct")):
        assert {row["mode"] for row in healthy.rows("sm1", "smd", "services")} == {"direct"}
        # No agent is asked about the servers' own packets.
        assert all(row["advertise"] for row in healthy.rows("sm1", "smd", "wildcards"))
        check_unchanged(healthy, "dispatch to ")
        # The client's FIN ends a connection.
        assert until(lambda: not any(connections(healthy).values()), 10), connections(healthy)
        with OneWay(healthy) as download:  # a restarted manager knows it again
            server = download.server()
            healthy.stop("sm1", "smd", kill=True)
            healthy.start("sm1", "smd")
            assert set(requests(healthy)) == SERVERS
            assert download.going() and download.server() in (None, server)
            download.finish()


def test_a_narrow_way_to_a_server_as_next_hop_FA_7_FIX_2(healthy):
    """What may be cut is, by the agent, since no kernel does it there; the server puts it together again."""
    narrow = [(router, healthy.address(server, "lan"), "dev", "lan", "mtu", str(NARROW))
              for router in ROUTERS for server in sorted(SERVERS)]

    def made():
        return sum(healthy.counters(router, "fad")["packets", "fragments-made"] for router in ROUTERS)
    with vips_at_servers(healthy), configured(healthy, with_mode("mode: direct")), narrow_routes(healthy, 4, *narrow):
        with namespace(healthy.netns("client1")):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with s:
            s.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT: without DF
            s.settimeout(1)
            s.connect((VIP4, ECHO))
            before, said = made(), bytes(range(256)) * 5 + bytes(100)

            def comes_back():
                with contextlib.suppress(OSError):
                    s.send(said)
                    return s.recv(2000) == said
            assert len(said) > NARROW and until(comes_back, 15)
        assert made() >= before + 2


@pytest.mark.parametrize("tunnel", ["{kind: ip}", f"{{kind: udp, port: {TUNNEL_PORT}}}"], ids=["ip", "udp"])
def test_tunnels_to_the_servers_SVC_10(healthy, tunnel):
    tos = [word for vip in VIPS for word in ("--to", vip)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(vips_at_servers(healthy))
        for server in sorted(SERVERS):
            end = healthy.popen(server, "decap", *tos, "--port", str(TUNNEL_PORT), "--from", "10.0.20.0/24", "--from",
                                "fd00:20::/64", stdout=subprocess.DEVNULL)
            stack.callback(end.wait, 10)
            stack.callback(end.send_signal, signal.SIGTERM)
            assert until(lambda s=server: "decap0" in healthy.run(s, "ip", "link", "show", "up").stdout, 10)
        with configured(healthy, with_mode("mode: tunnel", f"tunnel: {tunnel}")):
            check_unchanged(healthy, "by IP in IP" if tunnel == "{kind: ip}" else "by IP in UDP")


FAR_SERVICE = f"""\
  - name: far
    vip: ["{FAR_VIPS[4]}", "{FAR_VIPS[6]}"]
    port: {FILES}
    mode: tunnel
    tunnel: {{kind: udp, port: {TUNNEL_PORT}}}
    servers: [{{name: client2, address: [ADDRESSES]}}]
    check: {{type: none}}
"""


def test_tunnel_to_a_server_behind_routers_SVC_10(healthy):
    """client2 serves, behind core."""
    there = ", ".join(f'"{healthy.address("client2", "core", family)}"' for family in (4, 6))
    extra = FAR_SERVICE.replace("ADDRESSES", there)
    with far_server(healthy), configured(healthy, lambda text: text.replace("services:\n", "services:\n" + extra)):
        for vip in FAR_VIPS.values():
            assert until(lambda v=vip: len(healthy.next_hops("core", v)) == 2, 10)
            assert echoed(healthy, vip, os.urandom(SIZE // 8))
    assert until(lambda: not any(healthy.next_hops("core", vip) for vip in FAR_VIPS.values()), 10)


# ---- hairpins ----

@pytest.mark.parametrize("vip", VIPS, ids=["v4", "v6"])
def test_server_is_a_client_of_its_own_service_FA_10(healthy, vip):
    """Also of itself, where the hash leads there; the servers see the virtual address."""
    seen = {}
    for _ in range(30):
        name, client = healthy.who("web1", vip)
        seen[name] = client
    assert set(seen) == SERVERS and set(seen.values()) == {vip}
    big = healthy.status()["big_file"]
    done = healthy.run("web1", "bash", "-o", "pipefail", "-c",
                       f"curl -sSg --max-time 30 'http://{host(vip)}:8080{big['url_path']}' | sha256sum")
    assert big["sha256"] in done.stdout
    assert healthy.run("web1", "udp-echo", "--ask", vip, "--port", str(ECHO)).stdout.strip() in SERVERS
    # The rest of the world is seen as it is.
    assert healthy.who("client1", vip)[1] == healthy.address("client1", "core", 6 if ":" in vip else 4)


NEAR = """\
  - name: near
    vip: 203.0.113.77
    port: 8888
    servers: [{name: web1, address: 10.0.20.11, port: 80}]
    check: {type: none}
"""


def test_masqueraded_neighbours_of_a_server_FA_10(healthy):
    """web2 is no server of the service, but web1 would answer it directly, past the agents."""
    def add(text):
        return text.replace("services:\n", "services:\n" + NEAR)
    url = "http://203.0.113.77:8888/"
    with configured(healthy, add):
        assert until(lambda: healthy.curl("client1", url, timeout=1, check=False), 10)
        assert not healthy.curl("web2", url, timeout=1, check=False)
        with configured(healthy, lambda text: text + "masquerade: [10.0.20.0/24]\n"):
            assert healthy.curl("web2", url).split() == ["web1", "203.0.113.77"]
            assert healthy.curl("client1", url).split() == ["web1", healthy.address("client1", "core")]
