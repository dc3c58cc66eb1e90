# SPDX-License-Identifier: BSD-2-Clause
"""Garbage at every socket, bad configuration, and what is missing at the start: nothing crashes, everything is named.

Traffic runs on meanwhile; drops are counted under the names of docs/protocol.md; a start that fails says why in
one line and ends with the status that docs/operations.md gives.
"""
import collections
import os
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import tempfile
import time

import pytest

import peer
from conftest import BUILD, until
from peer import Peer, namespace
from turnoutlab.topology import VIPS

VIP4 = VIPS[0]
GROUP, PORT, GROUP_PORT = "239.255.75.10", 7510, 7511
PARTIES = (("r1", "fad"), ("sm1", "smd"))
BOTH = pytest.mark.parametrize("node, daemon", PARTIES, ids=[d for _, d in PARTIES])
IDENTITIES = {"r1": 0x101, "sm1": 0x201}
STRANGER = 0x777


# ---- the control sockets ----


class Sender:
    """Raw datagrams from sm2, which no daemon runs on."""

    def __init__(self, lab):
        self.lab = lab
        with namespace(lab.netns("sm2")):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                               socket.inet_aton(lab.address("sm2", "ctl")))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, node, port, datagrams):
        """To a node's unicast endpoint, or to the group, slowly enough for nothing to be lost."""
        to = (GROUP if port == GROUP_PORT else self.lab.address(node, "ctl"), port)
        for number, data in enumerate(datagrams):
            self.socket.sendto(data, to)
            if number % 16 == 15:
                time.sleep(0.002)
        time.sleep(0.1)
        return len(datagrams)


def message_drops(lab, node, daemon):
    return collections.Counter({name: value for (group, name), value in lab.counters(node, daemon).items()
                                if group == "message-drops"})


def grown(lab, node, daemon, before, total):
    """Counters of dropped messages that grew, once they have grown by so much in all (other traffic may add)."""
    until(lambda: sum((message_drops(lab, node, daemon) - before).values()) >= total, 3)
    return message_drops(lab, node, daemon) - before


def tables(lab):
    """What messages could have changed: keys of wildcards, managers and agents."""
    wildcards = sorted((r["manager"], r["protocol"], r["source"], r["destination"], r["sport"], r["dport"])
                       for r in lab.rows("r1", "fad", "wildcards"))
    managers = sorted(r["identity"] for r in lab.rows("r1", "fad", "managers"))
    agents = sorted(r["identity"] for r in lab.rows("sm1", "smd", "agents") if r["state"] == "known")
    return wildcards, managers, agents


class Unharmed:
    """Around an attack: the same processes live, the tables hold the same, requests are answered before, during, after."""

    def __init__(self, lab):
        self.lab = lab

    def pids(self):
        return {name: self.lab.pid(*name.split("/")) for name in ("r1/fad", "r2/fad", "sm1/smd", "r1/routed-glue")}

    def __enter__(self):
        self.before = self.pids(), tables(self.lab)
        self.traffic = self.lab.popen(
            "client1", "bash", "-c",
            f"while [ ! -e {self.stop} ]; do curl -sf --max-time 3 http://{VIP4}/ || echo lost; sleep 0.05; done",
            stdout=subprocess.PIPE, text=True)
        return self

    @property
    def stop(self):
        return f"{self.lab.directory}/stop-traffic"

    def __exit__(self, kind, *_):
        pathlib.Path(self.stop).touch()
        lines = self.traffic.communicate(timeout=20)[0].splitlines()
        os.unlink(self.stop)
        if kind is None:
            assert lines and "lost" not in lines, lines[-5:]
            assert (self.pids(), tables(self.lab)) == self.before
            assert self.lab.who("client2", VIP4)


def sample(lab, node, key=None):
    """Well-formed messages of a stranger, of several types, for a node, signed with the lab's key or another."""
    flow = peer.Key(peer.TCP, "10.0.1.11", 999, VIP4, 80)
    contents = [
        (peer.WILDCARD_UPDATE, [peer.wildcard(VIP4, dport=80), peer.interest(peer.ALL, data=peer.ALL)]),
        (peer.FIXED_UPDATE, [peer.fixed(flow), peer.nat(dst="10.0.20.11", dport=80), peer.packet(bytes(20))]),
        (peer.MATCH_WILDCARD, [peer.identifier(flow, peer.SYN)]),
        (peer.DENY, [peer.action_list(10)]),
    ]
    out = []
    for number, (kind, segments) in enumerate(contents, 1):
        message = peer.Message(kind, STRANGER, 1, IDENTITIES[node], number, segments)
        out.append(peer.encode(message, lab.key() if key is None else key))
    return out


@BOTH
@pytest.mark.parametrize("port", [PORT, GROUP_PORT])
def test_random_bytes_are_dropped_and_counted_MSG_4_SEC_2(healthy, node, daemon, port):
    rng = random.Random(f"{daemon}{port}")
    datagrams = [rng.randbytes(rng.choice((0, 1, 7, 39, 40, 41, 100, 600, 1400))) for _ in range(400)]
    with Unharmed(healthy), Sender(healthy) as sender:
        before = message_drops(healthy, node, daemon)
        count = sender.send(node, port, datagrams)
        names = grown(healthy, node, daemon, before, count)
        assert sum(names.values()) >= count, names
        assert names["short"] >= 100 and names["version"] >= 100, names


@BOTH
@pytest.mark.parametrize("port", [PORT, GROUP_PORT])
def test_truncated_messages_are_dropped_whole_MSG_4(healthy, node, daemon, port):
    """Every possible end of four messages."""
    with Unharmed(healthy), Sender(healthy) as sender:
        before = message_drops(healthy, node, daemon)
        datagrams = [data[:end] for data in sample(healthy, node) for end in range(len(data))]
        count = sender.send(node, port, datagrams)
        names = grown(healthy, node, daemon, before, count)
        assert names["short"] >= count, names


@BOTH
def test_mutated_messages_are_dropped_SEC_2_MSG_4(healthy, node, daemon):
    """One byte of a signed message changed, anywhere: authentication, or the codec before it, refuses it."""
    rng = random.Random(daemon)
    datagrams = []
    for data in sample(healthy, node) * 4:
        for at in range(0, len(data), 3):
            datagrams.append(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:])
    with Unharmed(healthy), Sender(healthy) as sender:
        before = message_drops(healthy, node, daemon)
        count = sender.send(node, PORT, datagrams)
        names = grown(healthy, node, daemon, before, count)
        assert sum(names.values()) >= count and names["authentication-wrong"] >= count // 2, names


def introduce(lab, node):
    """A stranger with the lab's key whom the node's daemon knows: he has answered its challenge."""
    stranger = Peer(lab.netns("sm2"), lab.address("sm2", "ctl"), STRANGER, lab.key())
    to = lab.address(node, "ctl"), PORT
    ended = [peer.wildcard(VIP4, dport=4242, ttl=0)]
    assert stranger.receive(lambda m: m.type == peer.CHALLENGE, 15,
                            every=lambda: stranger.send(to, peer.WILDCARD_UPDATE, ended, IDENTITIES[node]))
    time.sleep(0.1)
    return stranger, to


@BOTH
def test_structure_of_authentic_messages_is_checked_MSG_4(healthy, node, daemon):
    """Rightly signed by one who is known, and wrong inside: each fault under its own name (the codec's tests have more)."""
    flow = peer.Key(peer.TCP, "10.0.1.11", 999, VIP4, 80)
    wild, fix = peer.wildcard(VIP4, dport=80), peer.fixed(flow)
    faults = {
        "missing": (peer.WILDCARD_UPDATE, [peer.interest(peer.SYN)]),
        "duplicate": (peer.WILDCARD_UPDATE, [wild, wild]),
        "not-allowed": (peer.WILDCARD_UPDATE, [wild, fix]),
        "overlong": (peer.FIXED_UPDATE, [peer.Segment(fix.type, fix.body + b"\0")]),
        "truncated": (peer.FIXED_UPDATE, [peer.Segment(fix.type, fix.body[:-1])]),
        "value": (peer.WILDCARD_UPDATE, [peer.Segment(wild.type, b"\7" + wild.body[1:])]),
        "required": (peer.WILDCARD_UPDATE, [wild, peer.Segment(250, b"?")]),
        "type": (99, [wild]),
    }
    stranger, to = introduce(healthy, node)
    with stranger, Unharmed(healthy):
        for name, (kind, segments) in faults.items():
            before = message_drops(healthy, node, daemon)
            stranger.send(to, kind, segments, IDENTITIES[node])
            assert until(lambda n=name, b=before: (message_drops(healthy, node, daemon) - b)[n], 2), name


@BOTH
@pytest.mark.parametrize("port", [PORT, GROUP_PORT])
def test_wrong_absent_or_unknown_keys_are_refused_SEC_2(healthy, node, daemon, port):
    other = {"authentication-wrong": sample(healthy, node, b"not the key of this lab"), "authentication-absent": [
        peer.encode(peer.Message(peer.WILDCARD_UPDATE, STRANGER, 1, 0, 1, [peer.wildcard(VIP4, dport=80)]))],
             "authentication-unknown-key": [
        peer.encode(peer.Message(peer.WILDCARD_UPDATE, STRANGER, 1, 0, 1, [peer.wildcard(VIP4, dport=80)]),
                    healthy.key(), key_id=9)]}
    with Unharmed(healthy), Sender(healthy) as sender:
        for name, datagrams in other.items():
            before = message_drops(healthy, node, daemon)
            count = sender.send(node, port, datagrams)
            assert until(lambda n=name, b=before, c=count: (message_drops(healthy, node, daemon) - b)[n] >= c, 2), name


@BOTH
def test_stranger_with_a_key_who_answers_no_challenge_changes_nothing_SEC_4(healthy, node, daemon):
    """A recorded conversation has a valid MAC, but nobody who could answer a nonce."""
    with Unharmed(healthy), Sender(healthy) as sender:
        before = message_drops(healthy, node, daemon)
        count = sender.send(node, PORT, sample(healthy, node) * 3)
        names = grown(healthy, node, daemon, before, count)
        assert names["unknown-incarnation"] + names["challenge-pending"] >= count, names


class Recorder:
    """What a node receives at its control port, off the wire."""

    def __init__(self, lab, node):
        self.name = node
        with namespace(lab.netns(node)):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
            self.socket.bind(("ctl", 0x0800))
        self.socket.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def datagrams(self, kinds):
        """Payloads of service messages of these types that arrived since the last call."""
        found = []
        while True:
            try:
                data, address = self.socket.recvfrom(65535)
            except BlockingIOError:
                return found
            header = (data[0] & 15) * 4
            if address[2] == socket.PACKET_OUTGOING or data[9] != 17 or struct.unpack_from("!H", data, 6)[0] & 0x3fff:
                continue
            payload = data[header + 8:]
            if struct.unpack_from("!H", data, header + 2)[0] in (PORT, GROUP_PORT) and payload[1] in kinds:
                found.append(payload)


@BOTH
def test_captured_messages_replayed_are_refused_SEC_4(healthy, node, daemon):
    """The lab's own messages, seconds later, from elsewhere: the window knows them."""
    kinds = {peer.FIXED_UPDATE, peer.WILDCARD_UPDATE, peer.MATCH_WILDCARD, peer.MATCH_FIXED, peer.PACKET}
    with Recorder(healthy, node) as recorder:
        for _ in range(12):
            healthy.who("client1", VIP4)
        captured = recorder.datagrams(kinds)
    assert len(captured) >= 6
    with Unharmed(healthy), Sender(healthy) as sender:
        before = message_drops(healthy, node, daemon)
        count = sender.send(node, PORT, captured)
        names = grown(healthy, node, daemon, before, count)
        assert names["replay"] >= count, names


def test_captured_updates_are_refused_by_a_restarted_agent_SEC_4(healthy):
    """The agent has a new incarnation and an empty window; what was said to the old one must not count."""
    with Recorder(healthy, "r1") as recorder:
        for _ in range(12):
            healthy.who("client1", VIP4)
        captured = recorder.datagrams({peer.FIXED_UPDATE})
    assert captured
    flows = {peer.read_fixed(peer.decode(data))[0] for data in captured}
    healthy.stop("r1", "fad", kill=True)
    healthy.start("r1", "fad")
    assert until(lambda: healthy.rows("r1", "fad", "wildcards"), 5)
    with Sender(healthy) as sender:
        before = message_drops(healthy, "r1", "fad")
        count = sender.send("r1", PORT, captured)
        names = grown(healthy, "r1", "fad", before, count)
    assert names["replay"] >= count, names
    held = {(row["source"], row["destination"]) for row in healthy.rows("r1", "fad", "affinities")}
    assert not held & {(f"{f.src}:{f.sport}", f"{f.dst}:{f.dport}") for f in flows}
    assert until(lambda: len(healthy.next_hops("core", VIP4)) == 2, 10)


def test_deny_goes_to_nobody_unauthenticated_MSG_14(healthy):
    """Nothing answers a forger, whatever is wrong with his message."""
    with Peer(healthy.netns("sm2"), healthy.address("sm2", "ctl"), STRANGER, b"not the key of this lab") as forger:
        forger.send((healthy.address("r1", "ctl"), PORT), peer.WILDCARD_UPDATE,
                    [peer.wildcard(VIP4, dport=80), peer.Segment(250, b"?")], 0x101)
        time.sleep(0.5)
        with pytest.raises(BlockingIOError):
            forger.sockets[0].recvfrom(65535)


# ---- the admin bus ----


def zmtp(kind, frames):
    """Bytes of a ZeroMQ client: greeting, handshake, then these message frames."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x05READY\x0bSocket-Type" + struct.pack("!I", len(kind)) + kind
    body = b"".join(struct.pack("!BQ", 2 | (number + 1 < len(frames)), len(f)) + f for number, f in enumerate(frames))
    return greeting + struct.pack("!BB", 4, len(ready)) + ready + body


def throw(path, data, rest=0.05):
    """Bytes into a Unix socket; what comes back is ignored."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(1)
        s.connect(str(path))
        try:
            s.sendall(data)
            time.sleep(rest)
        except OSError:
            pass  # hung up on: as good an answer as any


@pytest.mark.parametrize("node, daemon", [*PARTIES, ("r1", "routed-glue")], ids=["fad", "smd", "routed-glue"])
def test_garbage_on_the_admin_bus_ARCH_7(healthy, node, daemon):
    """Bytes that are no ZeroMQ; ZeroMQ with messages that are no requests; half a handshake."""
    rng = random.Random(daemon)
    run_dir = pathlib.Path(healthy.node(node)["run_dir"])
    valid = b"\x08\x07\x5a\x00"  # id 7, show_affinities, cut as it comes
    with Unharmed(healthy):
        before = healthy.counters(node, daemon)["bus", "malformed"]
        for suffix in ("sock", "events"):
            for size in (1, 10, 64, 1000, 70000):
                throw(run_dir / f"{daemon}.{suffix}", rng.randbytes(size))
            for end in (3, 11, 64, 70):
                throw(run_dir / f"{daemon}.{suffix}", zmtp(b"DEALER", [b""])[:end])
        bad = 0
        for payload in [rng.randbytes(n) for n in (1, 5, 50, 5000)] + [b"\xff" * 20, valid[:3], b"\x5a\x7f\x00"]:
            throw(run_dir / f"{daemon}.sock", zmtp(b"DEALER", [payload]))
            bad += 1
        throw(run_dir / f"{daemon}.sock", zmtp(b"DEALER", [b"a", b"b", b"c"]))
        throw(run_dir / f"{daemon}.sock", zmtp(b"REQ", [b""]))
        assert until(lambda: healthy.counters(node, daemon)["bus", "malformed"] - before >= bad, 3)
        assert healthy.rows(node, daemon, "counters")


def test_many_idle_and_vanishing_clients_of_the_bus_ARCH_7(healthy):
    run_dir = pathlib.Path(healthy.node("r1")["run_dir"])
    with Unharmed(healthy):
        idle = []
        for _ in range(50):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.connect(str(run_dir / "fad.sock"))
            idle.append(s)
        for _ in range(50):  # asks for a listing and is gone
            throw(run_dir / "fad.sock", zmtp(b"DEALER", [b"\x08\x07\x7a\x00"]), rest=0)
        assert healthy.rows("r1", "fad", "counters")
        for s in idle:
            s.close()


# ---- configuration ----


# Only what must be in them.
FAD = "name: x\nidentity: 5\ncontrol:\n  address: {address}\ninterfaces: [{interface}]\n"
SMD = ("name: x\nidentity: 5\ncontrol:\n  address: {address}\nservices:\n  - name: web\n    vip: 192.0.2.1\n"
       "    port: 80\n    servers:\n      - name: a\n        address: 192.0.2.2\n")
GLUE = "agents: [fad]\nfrr: {frr}\n"

BAD = {
    "fad-unknown-field": ("fad", FAD + "colour: red\n", "6:1: colour: unknown field"),
    "fad-no-interfaces": ("fad", "identity: 5\ncontrol:\n  address: 192.0.2.9\n", "1:1: interfaces: "),
    "fad-bad-address": ("fad", "control:\n  address: 192.0.2.999\ninterfaces: [a]\n", "2:12: control.address: "),
    "fad-bad-limit": ("fad", FAD + "limits:\n  fixed: many\n", "7:10: limits.fixed: 'many' is not allowed; takes a number"),
    "smd-unknown-method": ("smd", SMD.replace("port: 80", "port: 80\n    method: guess"),
                           "9:13: services[0].method: 'guess' is not allowed; takes "),
    "smd-port-range": ("smd", SMD.replace("port: 80", "port: 70000"), "8:11: services[0].port: '70000' is not allowed"),
    "smd-no-identity": ("smd", SMD.replace("identity: 5\n", ""), "1:1: identity: "),
    "smd-not-yaml": ("smd", SMD + "  - [\n", "13:1: syntax: flow sequence without a closing bracket"),
    "glue-empty": ("routed-glue", "{}\n", "1:1: agents: "),
    "glue-lease": ("routed-glue", "agents: [fad]\nlease: 5\n", "2:8: lease: '5' is not allowed; takes a duration"),
    "glue-twice": ("routed-glue", "agents: [fad]\nagents: [fad]\n", "2:1: "),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_configuration_names_the_place_and_what_is_allowed_ARCH_7(command, tmp_path, name):
    program, text, expected = BAD[name]
    path = tmp_path / "bad.yaml"
    path.write_text(text.replace("{address}", "192.0.2.9").replace("{interface}", "nope"))
    for extra in ((), ("--check",)):
        done = command(program, "--config", path, "--run-dir", tmp_path / "run", *extra)
        assert done.returncode == 3, done
        lines = done.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith(f"{path}:{expected}"), done.stderr
        assert lines[0][len(f"{path}:"):].split(":")[0].isdigit()
    assert not (tmp_path / "run").exists(), "a refused configuration must change nothing"


def test_every_error_of_a_configuration_is_reported_ARCH_7(command, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("agents: [fad]\nlease: 5\nmetric: low\ncolour: red\n")
    done = command("routed-glue", "--config", path)
    assert done.returncode == 3
    assert [line.split(":")[1] for line in done.stderr.splitlines()] == ["2", "3", "4"]


@pytest.mark.parametrize("program", ["fad", "smd", "routed-glue"])
def test_configuration_that_cannot_be_read_ARCH_7(command, tmp_path, program):
    done = command(program, "--config", tmp_path / "none.yaml")
    assert done.returncode == 3
    assert done.stderr == f"{tmp_path}/none.yaml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("program", ["fad", "smd", "routed-glue"])
@pytest.mark.parametrize("arguments", [(), ("--nonsense",), ("--config",), ("--config", "x", "extra"),
                                       ("--config", "x", "--name", "../x")], ids=lambda a: " ".join(a) or "none")
def test_bad_command_line_is_status_2_ARCH_7(command, program, arguments):
    done = command(program, *arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and program in done.stderr


@pytest.mark.parametrize("program", ["fad", "smd", "routed-glue"])
def test_good_configuration_is_said_to_be_good_ARCH_7(healthy, command, program):
    node = "sm1" if program == "smd" else "r1"
    done = command(program, "--check", "--config", healthy.node(node)["configs"][program])
    assert done.returncode == 0 and "good" in done.stderr + done.stdout


# ---- what is missing at the start ----


class Start:
    """Start a program on core, a router that has no part in Turnout, and see it fail."""

    def __init__(self, lab, directory):
        self.lab, self.directory = lab, directory
        directory.chmod(0o755)  # also for nobody
        self.key = directory / "key"
        self.key.write_text("a secret of this test\n")
        self.key.chmod(0o600)

    def write(self, program, **values):
        text = {"fad": FAD, "smd": SMD, "routed-glue": GLUE}[program]
        more = "" if program == "routed-glue" else f"security:\n  keys:\n    - {{id: 1, file: {self.key}}}\n"
        values = {"address": self.lab.address("core", "r1"), "interface": "r1", "frr": "none", **values}
        path = self.directory / f"{program}.yaml"
        path.write_text(text.format(**values) + more)
        path.chmod(0o644)
        return path

    def run(self, program, wrap=(), **values):
        arguments = ("--config", self.write(program, **values), "--run-dir", self.directory / "run")
        return self.lab.run("core", *map(str, (*wrap, BUILD / program, *arguments)), check=False, timeout=10)


@pytest.fixture
def start(healthy):
    directory = tempfile.mkdtemp(dir=healthy.directory)
    yield Start(healthy, pathlib.Path(directory))
    shutil.rmtree(directory)
    left = healthy.run("core", "ip", "-br", "link").stdout
    assert "tn-punt" not in left and "vip0" not in left, "a failed start left something behind"


def fails(done, status, *words):
    """With this status, and one line that has these words."""
    assert done.returncode == status, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


WITHOUT = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")


@pytest.mark.parametrize("program, capability", [("fad", "cap_net_admin"), ("routed-glue", "cap_net_admin")])
def test_missing_capability_is_status_4_and_named_ARCH_7(start, program, capability):
    fails(start.run(program, wrap=WITHOUT), 4, "missing privilege", capability)


@pytest.mark.parametrize("program", ["fad", "routed-glue", "smd"])
def test_run_directory_of_others_is_status_4_ARCH_7(start, program):
    (start.directory / "run").mkdir(mode=0o700)
    fails(start.run(program, wrap=NOBODY), 4, "run")


def test_key_file_with_a_short_secret_is_refused_SEC_3(start):
    start.key.write_text("7 bytes\n")
    for program in ("fad", "smd"):
        fails(start.run(program), 3, str(start.key), "8 to 128 bytes", "has 7")


def test_key_file_that_others_can_read_is_refused_SEC_1(start):
    start.key.chmod(0o644)
    for program in ("fad", "smd"):
        fails(start.run(program), 3, str(start.key), "chmod 600")


@pytest.mark.parametrize("program", ["fad", "smd"])
def test_missing_address_is_status_6_ARCH_5(start, program):
    fails(start.run(program, address="192.0.2.77"), 6, "192.0.2.77")


def test_missing_interface_is_status_6_ARCH_1(start):
    fails(start.run("fad", interface="nope"), 6, "nope")


def test_missing_control_interface_is_status_6_ARCH_5(start):
    address = start.lab.address("core", "r1") + "\n  interface: nope"
    fails(start.run("smd", address=address), 6, "control.interface nope")


@pytest.mark.parametrize("node, daemon", [*PARTIES, ("r1", "routed-glue")], ids=["fad", "smd", "routed-glue"])
def test_busy_run_directory_is_status_8_and_harms_nobody_ARCH_7(healthy, node, daemon):
    argv = healthy.status()["processes"][f"{node}/{daemon}"]["argv"]
    pid = healthy.pid(node, daemon)
    fails(healthy.run(node, *argv, check=False), 8, healthy.node(node)["run_dir"])
    assert healthy.pid(node, daemon) == pid
    assert healthy.rows(node, daemon, "counters")
    assert healthy.who("client1", VIP4)


@pytest.mark.parametrize("node, daemon", PARTIES, ids=["fad", "smd"])
def test_busy_port_is_status_8_and_harms_nobody_ARCH_5(healthy, tmp_path, node, daemon):
    """The same configuration under another run directory: the address and port are taken."""
    config_file = healthy.node(node)["configs"][daemon]
    done = healthy.run(node, str(BUILD / daemon), "--config", config_file, "--run-dir", str(tmp_path / "run"), check=False)
    fails(done, 8, "another fad" if daemon == "fad" else str(PORT))
    assert healthy.who("client1", VIP4)
    assert until(lambda: healthy.rows(node, daemon, "counters"), 3)


def test_frrouting_not_there_is_status_7_ACT_3(start):
    fails(start.run("routed-glue", frr="/nonexistent"), 7, "/nonexistent/zserv.api", "FRRouting")


def test_no_tun_driver_is_status_5_ACT_3(start):
    hide = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh")
    fails(start.run("routed-glue", wrap=hide), 5, "/dev/net/tun")


def test_no_bpf_is_status_4_or_5_ARCH_1(start):
    """A router whose administrator keeps BPF to himself."""
    done = start.run("fad", wrap=("setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin"))
    assert done.returncode in (4, 5), done
    fails(done, done.returncode, "bpf")


def test_manager_needs_no_privilege_ARCH_2(start):
    """As nobody, with no capability at all: it serves until it is told to end."""
    run = start.directory / "run"
    run.mkdir()
    os.chown(run, 65534, 65534)
    path = start.write("smd")
    os.chown(start.key, 65534, 65534)
    process = start.lab.popen("core", *NOBODY, str(BUILD / "smd"), "--config", str(path), "--run-dir",
                              str(run), stderr=subprocess.PIPE, text=True)
    try:
        asked = [str(BUILD / "turnoutctl"), "--run-dir", str(run), "show", "services"]
        assert until(lambda: start.lab.run("core", *asked, check=False).returncode == 0, 5)
    finally:
        process.terminate()
        error = process.communicate(timeout=10)[1]
    assert process.returncode == 0, error


def test_ctl_without_daemons_is_status_9_ARCH_7(command, tmp_path):
    done = command("turnoutctl", "--run-dir", tmp_path, "show", "agents")
    fails(done, 9, str(tmp_path))
