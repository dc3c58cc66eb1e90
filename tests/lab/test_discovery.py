# SPDX-License-Identifier: BSD-2-Clause
"""Agents and managers find each other, also late; and when they do not, turnoutctl doctor says why.

A small network of its own: an agent's and a manager's machine, joined by a switch (interface `ctl`) and by a router
(interface `far`).  Each test starts the two daemons as it wants them; doctor is asked on both machines.
"""
import contextlib
import json
import os
import secrets
import socket
import struct
import subprocess
import threading
import time

import pytest

import peer
from conftest import BUILD, LAB_NAME, until, within
from turnoutlab import process

AGENT, SWITCH, MANAGER = "agent", "switch", "manager"
PROGRAM = {AGENT: "fad", MANAGER: "smd"}
IDENTITY = {AGENT: 0x901, MANAGER: 0x902}
ADDRESS = {AGENT: "10.78.0.1", MANAGER: "10.78.0.11"}
ADDRESS6 = {AGENT: "fd00:78::1", MANAGER: "fd00:78::11"}
FAR = {AGENT: "10.78.1.2", MANAGER: "10.78.2.2"}
GROUP = "239.255.75.10"
NFT = "add table inet t; add chain inet t c {{ type filter hook {hook} priority 0; }}; add rule inet t c {rule}"

COMMON = """\
name: {name}
identity: {identity:#x}
control: {control}
security: {security}
"""
DATA = {AGENT: "interfaces: [lan]\n", MANAGER: """\
wildcard-ttl: {ttl}
services:
  - {{name: web, vip: 203.0.113.90, protocol: tcp, port: {port}, servers: [{{name: w, address: 10.78.0.99, port: {port}}}]}}
"""}


class Net:
    """The network, and the daemons that run in it."""

    def __init__(self, directory):
        self.directory, self.running = directory, {}
        for side in PROGRAM:
            (directory / side).mkdir()
        self.key = directory / "key"
        self.write_key(self.key)

    @staticmethod
    def write_key(path):
        path.write_text(secrets.token_hex(16))
        path.chmod(0o600)

    @staticmethod
    def namespace(node):
        return f"{LAB_NAME}-disc-{node}"

    def netns(self, node):
        return f"/run/netns/{self.namespace(node)}"

    def run(self, node, *command, check=True, timeout=30):
        return subprocess.run(process.in_netns(self.namespace(node), command), check=check, text=True,
                              capture_output=True, timeout=timeout)

    def ip(self, node, *lines):
        process.run(["ip", "-n", self.namespace(node), "-batch", "-"], stdin="\n".join(lines) + "\n")

    def up(self):
        for node in (AGENT, SWITCH, MANAGER):
            process.run(["ip", "netns", "add", self.namespace(node)])
            self.run(node, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
                     "net.ipv4.ip_forward=1")
            self.ip(node, "link set lo up")
        self.ip(SWITCH, "link add name br type bridge stp_state 0 mcast_snooping 0", "link set dev br up")
        for number, side in enumerate(PROGRAM, 1):
            namespace = self.namespace(side)
            self.ip(SWITCH, f"link add name {side} type veth peer name ctl netns {namespace}", f"link set dev {side} master br up",
                    f"link add name far{number} type veth peer name far netns {namespace}", f"link set far{number} up",
                    f"addr add 10.78.{number}.1/24 dev far{number}")
            self.ip(side, "link set ctl up", "link set far up", f"addr add {ADDRESS[side]}/24 dev ctl",
                    f"addr add {ADDRESS6[side]}/64 dev ctl nodad", f"addr add {FAR[side]}/24 dev far",
                    f"route add 10.78.{3 - number}.0/24 via 10.78.{number}.1")
        self.ip(AGENT, "link add name lan type veth peer name lan1", "link set lan up", "link set lan1 up")

    def down(self):
        self.stop(*PROGRAM)
        for node in (AGENT, SWITCH, MANAGER):
            subprocess.run(["ip", "netns", "del", self.namespace(node)], check=False, capture_output=True)

    # ---- daemons ----

    def configure(self, side, key=None, key_id=1, ttl="3s", port=80, **control):
        control = {"address": ADDRESS[side], **control}
        keys = {"keys": [{"id": key_id, "file": str(key or self.key)}]}
        text = COMMON.format(name=side, identity=IDENTITY[side], control=json.dumps(control), security=json.dumps(keys))
        config = self.directory / side / "conf.yaml"
        config.write_text(text + DATA[side].format(ttl=ttl, port=port))
        return config

    def start(self, side, **settings):
        """Start a daemon, and wait until it says that it is ready."""
        config, directory = self.configure(side, **settings), self.directory / side
        argv = [str(BUILD / PROGRAM[side]), "--config", str(config), "--run-dir", str(directory / "run")]
        readiness = process.Readiness(str(directory / "ready"))
        try:
            self.running[side] = process.spawn(self.namespace(side), argv, directory / "log", directory, readiness.path)
            why = readiness.wait(self.running[side], 20)
        finally:
            readiness.close()
        assert not why, f"{why}\n{process.tail(directory / 'log')}"

    def stop(self, *sides, kill=False):
        for side in sides:
            record = self.running.pop(side, None)
            if record and kill:
                process.signal_record(record, 9)
                process.wait_gone([record], 5)
            elif record:
                process.terminate([record], 5)

    def ctl(self, side, *arguments):
        return process.in_netns(self.namespace(side), [str(BUILD / "turnoutctl"), "--run-dir",
                                                       str(self.directory / side / "run"), "--json", *arguments])

    def rows(self, side, what):
        return json.loads(subprocess.run(self.ctl(side, "show", what), check=True, capture_output=True).stdout)[what]

    def ports(self):
        """The servers' ports in the wildcards that the agent has; of a service without a server that is up there are those only."""
        return {row["sport"] for row in self.rows(AGENT, "wildcards")}

    # ---- doctor ----

    def ask_doctor(self, side, seconds=10):
        """Start doctor; it is returned when it listens."""
        asked = subprocess.Popen(self.ctl(side, "doctor", "--for", f"{seconds}s"), text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        asked.first = asked.stderr.readline()
        return asked

    @staticmethod
    def said(asked):
        """(text, fix) of its one finding about peers."""
        out, err = asked.communicate(timeout=60)
        assert "listening for control messages" in asked.first, (asked.first, out, err)
        findings = json.loads(out)["findings"]
        found = [f for f in findings if f["check"] == "peer"]
        assert len(found) == 1 and found[0]["severity"] == "error", findings
        return found[0]["text"], found[0]["fix"]

    def doctor(self, side, seconds=10):
        return self.said(self.ask_doctor(side, seconds))

    def both(self, agent=None, manager=None, seconds=10):
        """What doctor says on either side, when the agent starts while the manager's doctor listens."""
        self.start(MANAGER, **(manager or {}))
        asked = self.ask_doctor(MANAGER, seconds)
        self.start(AGENT, **(agent or {}))
        return self.doctor(AGENT, seconds), self.said(asked)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("the lab makes network namespaces, which needs root")
    network = Net(tmp_path_factory.mktemp("discovery"))
    network.down()
    try:
        network.up()
        yield network
    finally:
        network.down()


@pytest.fixture
def net(network):
    """Nothing runs before or after; firewalls and the switch are as at first."""
    yield network
    network.stop(*PROGRAM)
    for side in PROGRAM:
        network.run(side, "nft", "flush", "ruleset")
    network.ip(SWITCH, "link set dev br type bridge mcast_snooping 0 mcast_querier 0")


def has(text, *words):
    for word in words:
        assert word in text, f"'{word}' is not in: {text}"


# ---- they find each other ----

V6 = {side: {"address": ADDRESS6[side]} for side in PROGRAM}
ALONE = {"multicast": False}
WAYS = {
    "group": ({}, {}),
    "other-group": ({"group": ["239.1.2.3", "239.1.2.4"], "group-port": 7599},
                    {"group": ["239.1.2.4"], "group-port": 7599}),
    "ipv6": (V6[AGENT], V6[MANAGER]),
    "named-by-agent": ({**ALONE, "peers": [ADDRESS[MANAGER]]}, ALONE),
    "named-by-manager": (ALONE, {**ALONE, "peers": [f"{ADDRESS[AGENT]}:7510"]}),
    "both": ({"peers": [ADDRESS[MANAGER]]}, {"peers": [ADDRESS[AGENT]]}),
}


HELLO = 9  # seconds; with an agent's next hello, after ten, it would all come by itself


@pytest.mark.parametrize("way", WAYS)
def test_late_and_restarted_get_wildcards_at_once_ARCH_4_MSG_13(net, way):
    """A manager that repeats its wildcards every twenty minutes: what comes sooner comes because it was asked for."""
    agent, manager = WAYS[way]
    net.start(MANAGER, ttl="1h", **manager)
    net.start(AGENT, **agent)
    assert within(lambda: net.ports() == {80}, HELLO), "a late agent"
    net.stop(AGENT, kill=True)
    time.sleep(1)  # until the manager has said what it says by itself, that its server is down
    net.start(AGENT, **agent)
    assert within(lambda: net.ports() == {80}, HELLO), "a restarted agent"
    if way == "named-by-agent":
        return  # the manager does not know where to ask, and is told with the next hello only, after ten seconds
    net.stop(MANAGER, kill=True)
    net.start(MANAGER, ttl="1h", port=81, **manager)
    assert within(lambda: 81 in net.ports(), HELLO), "a restarted manager"


@pytest.mark.parametrize("settings, words", [
    ({"group": "10.1.2.3"}, "10.1.2.3 is not a multicast address"),
    ({"group": "ff15::1"}, "an IPv6 address, but control.address is IPv4"),
    ({"group": [GROUP, GROUP]}, "is there already"),
    ({"peers": [ADDRESS[AGENT]]}, "this is the own address and port"),
    ({"multicast-ttl": 0}, "multicast-ttl"),
], ids=["group", "family", "twice", "self", "ttl"])
def test_settings_of_discovery_are_checked_ARCH_4(net, settings, words):
    config = net.configure(AGENT, **settings)
    done = net.run(AGENT, str(BUILD / "fad"), "--check", "--config", str(config), check=False)
    assert done.returncode == 3
    has(done.stderr, words)


# ---- doctor: what comes in tells ----

OTHER = {"group": "239.255.75.11"}


@pytest.mark.parametrize("agent, group, port", [(OTHER, OTHER["group"], 7511), ({"group-port": 7512}, GROUP, 7512)],
                         ids=["group", "port"])
def test_another_group_is_named_on_both_sides_ARCH_4(net, agent, group, port):
    (here, fix), (there, _) = net.both(agent)
    has(here, "knows no manager", f"10.78.0.11:7510 sends to group {GROUP} port 7511",
        f"this one listens to {group} port {port}")
    has(fix, "the same control.group and control.group-port")
    has(there, "knows no agent", f"10.78.0.1:7510 sends to group {group} port {port}")


def test_listening_at_another_interface_is_named_ARCH_5(net):
    net.start(MANAGER)
    net.start(AGENT, interface="far")
    text, fix = net.doctor(AGENT)
    has(text, "messages of its group come in from 10.78.0.11:7510 at ctl, and it listens at far")
    has(fix, "control.interface: ctl")


@pytest.mark.parametrize("which", ["secret", "id"])
def test_another_key_is_named_on_both_sides_SEC_2(net, which):
    other = net.directory / "other"
    net.write_key(other)
    texts = net.both({"key": other} if which == "secret" else {"key_id": 2})
    for (text, fix), sender in zip(texts, (MANAGER, AGENT)):
        has(text, "another secret" if which == "secret" else "a key that is not configured here",
            f"now from {ADDRESS[sender]}:7510")
        has(fix, "sha256sum" if which == "secret" else "the same security.keys")


@contextlib.contextmanager
def repeating(send):
    """Say something every 0.3 s meanwhile."""
    ended = threading.Event()

    def work():
        while not ended.wait(0.3):
            send()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_another_version_is_named_MSG_4_ARCH_4(net):
    net.start(AGENT)
    with peer.Manager(net.netns(MANAGER), ADDRESS[MANAGER], 0x77, net.key.read_bytes(), group=GROUP) as other:
        def send():
            data = other.bytes_of(peer.WILDCARD_UPDATE, [peer.wildcard("203.0.113.90", dport=80)])
            other.sockets[0].sendto(b"\x02" + data[1:], (GROUP, 7511))
        with repeating(send):
            text, fix = net.doctor(AGENT)
    has(text, "10.78.0.11:7510 sends messages of another protocol version, 2 instead of 1")
    has(fix, "same version")
    assert any(row["name"] == "version" and row["value"] > 0 for row in net.rows(AGENT, "counters"))


def test_an_identity_used_twice_is_named_MSG_13(net):
    net.start(AGENT)
    with peer.Agent(net.netns(MANAGER), ADDRESS[MANAGER], IDENTITY[AGENT], net.key.read_bytes(), group=GROUP) as twin:
        with repeating(twin.hello):
            text, fix = net.doctor(AGENT, 2)
    has(text, "messages of another daemon that has its own identity", "now from 10.78.0.11:7510")
    has(fix, "`identity` of its own")


# ---- doctor: filters ----

@pytest.mark.parametrize("rule, words", [
    ("udp dport 7510-7511 drop", "in inet t c drops UDP port 7511 to the group"),
    # What cannot be told from the rules shows at the interface.
    ("udp length > 20 drop", "come in at ctl, but do not reach it"),
], ids=["by-port", "not-told"])
def test_a_filter_before_the_agent_is_named_ARCH_4(net, rule, words):
    net.run(AGENT, "nft", NFT.format(hook="input", rule=rule))
    net.start(MANAGER)
    net.start(AGENT)
    text, fix = net.doctor(AGENT)
    has(text, "knows no manager", words)
    has(fix, "nft")


def test_a_filter_of_the_group_alone_is_named_before_it_hurts_ARCH_4(net):
    """The manager hears the agent and tells it all directly, once."""
    net.run(AGENT, "nft", NFT.format(hook="input", rule="udp dport 7511 drop"))
    net.start(MANAGER, ttl="1h")
    net.start(AGENT)
    assert until(net.ports, 5)
    done = subprocess.run(net.ctl(AGENT, "doctor"), check=False, capture_output=True, timeout=60)
    finding, = [f for f in json.loads(done.stdout)["findings"] if f["check"] == "firewall"]
    assert finding["severity"] == "warning"
    has(finding["text"], "in inet t c drops UDP port 7511 to the group")


def test_a_filter_before_the_manager_shows_at_both_ARCH_4(net):
    """Messages to its address: it hears the agent by the group, and no answer; the agent gets none either."""
    net.run(MANAGER, "nft", NFT.format(hook="input", rule="udp dport 7510 drop"))
    (here, fix), (there, _) = net.both()
    has(here, "messages come in from 10.78.0.11:7510, but none of", "challenges was answered", "one way only")
    has(fix, "UDP port 7510", "turnoutctl doctor there")
    has(there, "in inet t c drops UDP port 7510 to its control address")


def test_a_filter_on_the_way_out_is_named_ARCH_4(net):
    net.run(MANAGER, "nft", NFT.format(hook="output", rule="udp dport { 7510, 7511 } reject"))
    (here, fix), (there, _) = net.both(seconds=2)
    has(here, "no message of others came in at all at ctl", "doctor listened")
    has(fix, "what does doctor say there", "tcpdump -ni ctl udp port 7511")
    has(there, "drops UDP port 7511 out to the group")


# ---- doctor: interfaces, routes, switches and routers ----

def test_an_interface_that_is_down_is_named_ARCH_5(net):
    net.start(AGENT)
    net.ip(AGENT, "link set ctl down")
    try:
        text, _ = net.doctor(AGENT, 1)
    finally:
        net.ip(AGENT, "link set ctl up", f"addr add {ADDRESS6[AGENT]}/64 dev ctl nodad")
    has(text, "the interface of its control address 10.78.0.1 is down")


def test_a_missing_route_for_multicast_is_named_ARCH_4(net):
    """Of IPv6; for IPv4 none is needed, as the interface is named: nothing here has a route for it."""
    net.run(AGENT, "ip", "-6", "route", "del", "multicast", "ff00::/8", "dev", "ctl", "table", "local")
    try:
        net.start(AGENT, **V6[AGENT])
        text, fix = net.doctor(AGENT, 1)
    finally:
        net.run(AGENT, "ip", "-6", "route", "add", "multicast", "ff00::/8", "dev", "ctl", "table", "local")
    has(text, "there was no route for")
    has(fix, "ip -6 route show table all type multicast")


def test_no_way_back_is_named_ARCH_4(net):
    """A manager whose messages come in, and which the agent has no route to."""
    net.ip(MANAGER, "addr add 10.99.0.11/24 dev ctl")
    try:
        net.start(MANAGER, address="10.99.0.11")
        net.start(AGENT)
        text, fix = net.doctor(AGENT)
    finally:
        net.ip(MANAGER, "addr del 10.99.0.11/24 dev ctl")
    has(text, "there was no route for")
    has(fix, "its log says for which address")


def forgetful(net):
    """Snooping as with a querier that asks too seldom: memberships end at once."""
    net.ip(SWITCH, "link set dev br type bridge mcast_query_response_interval 1 mcast_membership_interval 1 "
                   "mcast_query_interval 100000 mcast_startup_query_count 1",
           "link set dev br type bridge mcast_snooping 1 mcast_querier 1")
    time.sleep(1)


def test_a_switch_that_forgets_members_is_narrowed_down_ARCH_4(net):
    forgetful(net)
    (here, fix), (there, _) = net.both(seconds=2)
    for text in (here, there):
        has(text, "no message of others came in at all at ctl")
    has(fix, "a switch with snooping and no querier", "control.peers")


def test_multicast_lost_one_way_is_told_from_silence_ARCH_4(net):
    """The manager's port is a member for good, the agent's is not: the agent is given wildcards, and they run out."""
    forgetful(net)
    net.run(SWITCH, "bridge", "mdb", "add", "dev", "br", "port", MANAGER, "grp", GROUP, "permanent")
    try:
        net.start(MANAGER)
        net.start(AGENT)
        assert until(net.ports, 10)
        assert until(lambda: not net.ports(), 15)
        text, fix = net.doctor(AGENT, 2)
    finally:
        net.run(SWITCH, "bridge", "mdb", "del", "dev", "br", "port", MANAGER, "grp", GROUP, "permanent")
    has(text, "manager manager (10.78.0.11:7510) has been silent", "messages to its address come in", "none by the group 239.255.75.10")
    has(fix, "a querier on that network")


@contextlib.contextmanager
def multicast_routing(net):
    """The router passes the group on between its two networks, as a routing daemon would tell the kernel."""
    init, add_vif, add_route, use_ifindex = 200, 202, 204, 8
    sources = ((FAR[AGENT], 0), (FAR[MANAGER], 1))
    with peer.namespace(net.netns(SWITCH)):
        kernel = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
        kernel.setsockopt(socket.IPPROTO_IP, init, 1)
        for number in (0, 1):
            index = socket.if_nametoindex(f"far{number + 1}")
            vif = struct.pack("=HBBIi4s", number, use_ifindex, 1, 0, index, bytes(4))
            kernel.setsockopt(socket.IPPROTO_IP, add_vif, vif)
        for source, number in sources:
            thresholds = bytes([1, 0] if number else [0, 1]) + bytes(30)
            route = socket.inet_aton(source) + socket.inet_aton(GROUP) + struct.pack("=H", number) + thresholds
            kernel.setsockopt(socket.IPPROTO_IP, add_route, route + bytes(18))
    try:
        yield
    finally:
        kernel.close()


def test_across_a_router_by_multicast_and_by_peers_ARCH_4(net):
    """The default TTL passes a router, 1 does not; a router that routes no multicast is passed by naming the other side."""
    def far(side, **more):
        return {"address": FAR[side], **more}

    with multicast_routing(net):
        net.start(MANAGER, **far(MANAGER))
        net.start(AGENT, **far(AGENT))
        assert until(net.ports, 5)
        net.stop(*PROGRAM)
        one = {"multicast-ttl": 1}
        (here, _), (there, _) = net.both(far(AGENT, **one), far(MANAGER, **one), seconds=2)
        for text in (here, there):
            has(text, "no message of others came in at all at far", "control.multicast-ttl is 1 here")
        net.stop(*PROGRAM)
    (here, fix), _ = net.both(far(AGENT), far(MANAGER), seconds=2)
    has(here, "no message of others came in at all at far")
    has(fix, "a router without multicast routing")
    net.stop(AGENT)
    net.start(AGENT, **far(AGENT, peers=[FAR[MANAGER]]))
    assert until(net.ports, 5)
