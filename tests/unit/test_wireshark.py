# SPDX-License-Identifier: BSD-2-Clause
"""The Wireshark dissector, run by tshark over the golden messages, conversations and damaged messages.

Each line of hex in tests/vectors must be a field of the dissector at that place, with the words that
stand beside it.  Must not know proto/: the vectors and tests/lab/protocol.py are what it is compared with.
"""
import ipaddress
import pathlib
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/lab"))
sys.path.insert(0, str(ROOT / "tests/fuzz"))
import protocol  # noqa: E402
from seeds import bytes_of  # noqa: E402

VECTORS = ROOT / "tests/vectors"
SCRIPT = ROOT / "proto/wireshark/turnout.lua"
MANAGER, AGENT = 0x201, 0x101
DAMAGED = 1200
SEGMENT_NAMES = {"reject"}  # in action lists that give the name alone


def paths(*directories):
    return [path for directory in directories for path in sorted((VECTORS / directory).glob("*.txt"))]


GOOD, BAD = paths("messages", "messages-other"), [p for p in paths("messages-bad") if bytes_of(p)]


def tshark(directory, messages, *arguments, layer=IP(src="10.9.0.1", dst="10.9.0.2"), port=7510):
    """What tshark prints of a capture of these messages, one a frame, 10 ms apart."""
    frames = [Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / layer / UDP(sport=port, dport=port) / Raw(data)
              for data in messages]
    for number, frame in enumerate(frames):
        frame.time = 1700000000 + number / 100
    wrpcap(str(directory / "messages.pcap"), frames)
    done = subprocess.run(["tshark", "-n", "-2", "-X", f"lua_script:{SCRIPT}", "-r", directory / "messages.pcap",
                           *arguments], text=True, errors="replace", capture_output=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", "HOME": str(directory)})
    assert done.returncode == 0 and "Lua" not in done.stderr, done.stderr
    return done.stdout


def dissect(directory, messages, **named):
    """A list for each message: its fields as ElementTree elements, flat."""
    root = ElementTree.fromstring(tshark(directory, messages, "-T", "pdml", **named))
    found = []
    for frame in root.findall("packet"):
        proto = [p for p in frame.findall("proto") if p.get("name") == "turnout"]
        assert len(proto) == 1, [p.get("name") for p in frame.findall("proto")]
        found.append([proto[0], *proto[0].iter("field")])
    assert len(found) == len(messages)
    return found


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """{path: fields} of every vector that is not empty."""
    directory = tmp_path_factory.mktemp("wireshark")
    every = GOOD + BAD
    return dict(zip(every, dissect(directory, [bytes_of(path) for path in every])))


def faults(fields):
    return {f.get("name").removeprefix("turnout.fault.").replace("_", "-") for f in fields
            if f.get("name").startswith("turnout.fault.")}


def lines_of(path):
    """(offset, bytes, words) of each field of a vector; lines without words go on with the field before."""
    at, found = 0, []
    for line in path.read_text().partition("\n---\n")[0].splitlines():
        text, _, words = line.partition("  ")
        if line.startswith("#") or not text.strip():
            continue
        data = bytes.fromhex(text)
        if words.strip():
            found.append([at, data, words.strip()])
        else:
            found[-1][1] += data
        at += len(data)
    return found


def shown(field):
    """Name and value in a field's words: `TTL: 30 s` or `.... ...1 = dispatch: True`."""
    label, _, value = field.get("showname", "").split(" = ")[-1].rpartition(": ")
    return label, value


def same_value(field, value, within):
    """Does the field show what the vector says?  within: all fields at the same place."""
    text = shown(field)[1]
    if value in ("", text):
        return True
    if value in ("any", "unset", "anybody", "delete", "the sender's", "default"):
        return int(field.get("value"), 16) == 0
    if value in ("lower values first", "higher values first"):
        return (text == "0x01") == (value[0] == "l")
    bits = {shown(f)[0] for f in within if shown(f)[1] == "True"}
    if value == "none" and " family" not in shown(field)[0]:
        return not bits
    if bits:
        return bits == set(re.split(r"[,+] ?", value))
    name = text.rpartition(" (")[0] or text
    return value.lower() in (name.lower(), name.lower().replace(" short", ", short")) or text.endswith(f" ({value})")


def check_line(fields, base, at, data, words):
    place = [f for f in fields if f.get("pos") == str(base + at) and f.get("size") == str(len(data))
             and f.get("showname")]
    assert place, f"no field of {len(data)} bytes at {at}: {words}"
    assert all(bytes.fromhex(f.get("value")) == data for f in place if f.get("value") and not f.get("unmaskedvalue"))
    label, _, value = words.partition(": ")
    if label.startswith("segment type"):
        label, value = "segment type", label.split()[-1]
        assert any(shown(f)[0] == label and int(f.get("value"), 16) == int(value) for f in place), words
        return
    if label.startswith("type ") and label[5:].isdigit():
        label, value = "type", words.partition(": ")[2]
    if value.startswith("family"):
        label, value = f"{label} family", value.partition(", ")[2]
    elif value == "absent":
        label, value = f"{label} family", "none"
    elif value == "length":
        label, value = words, ""
    named = [f for f in place if shown(f)[0] == label or label in SEGMENT_NAMES and shown(f)[1].startswith(f"{label} (")]
    assert named, f"{words} is not among {[f.get('showname') for f in place]}"
    assert any(same_value(f, value, place) for f in named), f"{words} is shown as {[shown(f) for f in named]}"


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_every_field_of_a_golden_message_is_shown_MSG_12_MSG_1_MSG_2(vectors, path):
    fields = vectors[path]
    assert not faults(fields)
    base = int(fields[0].get("pos"))
    for at, data, words in lines_of(path):
        check_line(fields, base, at, data, words)


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_a_malformed_message_is_warned_of_MSG_12_MSG_4(vectors, path):
    """The fault that the vector names is among the expert warnings."""
    fault = path.read_text().partition("\n---\n")[2].split(" ")[0]
    assert fault in faults(vectors[path])


def test_every_fault_of_the_document_has_a_warning_MSG_12_MSG_4(vectors):
    rows = re.findall(r"^\| \d+ \| ([a-z-]+) \|", (ROOT / "docs/protocol.md").read_text().split("## 7.")[1], re.M)
    named = set().union(*(faults(vectors[path]) for path in BAD))
    assert named == set(protocol.FAULTS) - {"ok"} <= set(rows)


def test_tables_are_those_of_the_document_MSG_12():
    """Types, names and which segments a message may have, against the second implementation."""
    script = SCRIPT.read_text()
    rows = re.findall(r"^\t\[(\d+)\] = \{(?: anybody = (true),)? must = \{([^}]*)\}, may = \{([^}]*)\} \},$", script, re.M)
    found = {int(kind): (bool(anybody), *({int(n) for n in part.split(",") if n.strip()} for part in (must, may)))
             for kind, anybody, must, may in rows}
    assert found == protocol.MESSAGES


def test_the_enclosed_packet_is_dissected_and_the_frame_stays_its_own_MSG_12(tmp_path):
    """Wireshark's IP sees what is inside; addresses and words of the frame are the message's."""
    every = [bytes_of(VECTORS / f"messages/{name}.txt") for name in ("packet-4", "packet-6")]
    fields = ["frame.protocols", "ip.src", "ipv6.src", "_ws.col.Protocol", "_ws.col.Source", "_ws.col.Info"]
    rows = tshark(tmp_path, every, "-T", "fields", *(word for f in fields for word in ("-e", f))).splitlines()
    first, second = (dict(zip(fields, row.split("\t"))) for row in rows)
    for row in (first, second):
        assert row["_ws.col.Protocol"] == "Turnout" and row["_ws.col.Source"] == "10.9.0.1"
        assert row["_ws.col.Info"].startswith("IP packet only")
    inner = protocol.decode(every[0]).segment(protocol.SEG_IP_PACKET)
    assert first["ip.src"].split(",") == ["10.9.0.1", str(ipaddress.ip_address(inner[12:16]))]
    inner = protocol.decode(every[1]).segment(protocol.SEG_IP_PACKET)
    assert second["ipv6.src"] == str(ipaddress.ip_address(inner[8:24]))
    assert "turnout:ip:" in first["frame.protocols"] and "turnout:ipv6:" in second["frame.protocols"]


def talk():
    """A conversation: (message, number of the frame that it answers or None)."""
    key = protocol.Key(protocol.TCP, "198.51.100.7", 40000, "203.0.113.10", 80)
    syn = bytes(IP(src=key.src, dst=key.dst) / TCP(sport=key.sport, dport=key.dport))
    wild, numbers = protocol.wildcard(key.dst, dport=80), {}

    def message(kind, *segments, group=False):
        source, target = (AGENT, MANAGER) if kind in agents else (MANAGER, AGENT)
        numbers[source] = numbers.get(source, 0) + 1
        return protocol.encode(protocol.Message(kind, source, 7, 0 if group else target, numbers[source], list(segments)))
    agents = {protocol.HELLO, protocol.DENY, protocol.MATCH_WILDCARD, protocol.MATCH_FIXED, protocol.REFRESH,
              protocol.CHALLENGE_RESPONSE, protocol.HELD}
    cookie, other = protocol.fa_data(b"cookie one"), protocol.fa_data(b"cookie two")
    nonce, token = protocol.nonce(b"n" * 16), protocol.listing(0, 77)
    return [
        (message(protocol.CHALLENGE, nonce), None),
        (message(protocol.CHALLENGE_RESPONSE, nonce), 1),
        (message(protocol.WILDCARD_UPDATE, wild, group=True), None),
        (message(protocol.DENY, wild, protocol.action_list(12), protocol.error(1)), 3),
        (message(protocol.MATCH_WILDCARD, protocol.identifier(key, protocol.ALL), cookie, protocol.packet(syn)), None),
        (message(protocol.MATCH_WILDCARD, protocol.identifier(key, protocol.ALL), other, protocol.packet(syn)), None),
        (message(protocol.FIXED_UPDATE, protocol.fixed(key), other, protocol.packet(syn)), 6),
        (message(protocol.PACKET, cookie, protocol.packet(syn)), 5),
        (message(protocol.REFRESH, protocol.identifier(key, 0)), None),
        (message(protocol.FIXED_UPDATE, protocol.fixed(key, ttl=90)), 9),
        (message(protocol.DENY, protocol.fixed(key, ttl=90), protocol.action_list(), protocol.error(2)), 10),
        (message(protocol.ASK, token), None),
        (message(protocol.HELD, token, wild), 12),
        (message(protocol.HELD, protocol.listing(1, 77, True)), 12),
        (message(protocol.HELD, protocol.listing(1, 78, True)), None),
        (message(protocol.HELLO, protocol.identity(None, "a"), protocol.action_list(), group=True), None),
    ]


def test_request_and_answer_are_linked_MSG_12(tmp_path):
    expected = {number: asked for number, (_, asked) in enumerate(talk(), 1)}
    first_answer = {}
    for number, asked in expected.items():
        first_answer.setdefault(asked, number)
    layer = IPv6(src="fd00::1", dst="ff15::7510")
    for number, fields in enumerate(dissect(tmp_path, [data for data, _ in talk()], layer=layer, port=7511), 1):
        values = {f.get("name"): f.get("show") for f in fields}
        assert not faults(fields)
        assert values.get("turnout.request_in") == (str(expected[number]) if expected[number] else None), number
        assert values.get("turnout.answer_in") == (str(first_answer[number]) if number in first_answer else None), number
        if expected[number]:
            assert float(values["turnout.time"]) == pytest.approx((number - expected[number]) / 100, abs=1e-4)


def test_other_ports_by_preference_and_decode_as_MSG_12(tmp_path):
    """A site with other ports tells Wireshark so; port 7510 is then left alone."""
    data = [bytes_of(VECTORS / "messages/hello-4.txt")]

    def protocols(port, *options):
        return tshark(tmp_path, data, "-T", "fields", "-e", "frame.protocols", *options, port=port)
    assert "turnout" in protocols(9510, "-o", "turnout.ports:9510-9511")
    assert "turnout" not in protocols(7510, "-o", "turnout.ports:9510-9511")
    assert "turnout" in protocols(9510, "-d", "udp.port==9510,turnout")
    assert "turnout" not in protocols(9510)


def damage(chance, data):
    """A message with bytes changed, cut short, with another length, or a piece repeated."""
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(data))
        data[at] = chance.choice((0, 1, 4, 6, 128, 255, data[at] ^ 1 << chance.randrange(8)))
    if chance.random() < 0.2:
        del data[chance.randrange(1, len(data) + 1):]
    if chance.random() < 0.2:
        data += data[chance.randrange(len(data)):]
    if chance.random() < 0.4 and len(data) > 4:
        data[2:4] = len(data).to_bytes(2, "big")
    return bytes(data) or b"\1"


def fault_of(data):
    try:
        protocol.decode(data)
    except protocol.ProtocolError as bad:
        return bad.fault
    return None


def test_damaged_messages_never_stop_the_dissector_MSG_12_MSG_4(tmp_path):
    """No error of the script, a warning exactly where the second implementation refuses, and its fault among them."""
    chance = random.Random(12)
    seeds = [bytes_of(path) for path in GOOD + BAD]
    messages = [damage(chance, chance.choice(seeds)) for _ in range(DAMAGED)]
    text = tshark(tmp_path, messages, "-T", "pdml")
    errors = re.findall(r"Lua Error[^\n\"]*", text)
    assert not errors, errors[:3]
    refused = [fault_of(data) for data in messages]
    assert refused.count(None) > DAMAGED / 50
    for data, fault, frame in zip(messages, refused, ElementTree.fromstring(text).findall("packet")):
        found = faults([f for p in frame.findall("proto") if p.get("name") == "turnout" for f in p.iter("field")])
        # Of another version nothing else is looked at.
        assert (found & {fault, "version"}) if fault else not found, (fault, found, data.hex())
