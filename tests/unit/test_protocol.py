# SPDX-License-Identifier: BSD-2-Clause
"""docs/protocol.md, the implementation written from it alone (tests/lab/protocol.py) and proto/wire.c say the same."""
import collections
import os
import pathlib
import random
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/lab"))
import protocol  # noqa: E402
from protocol import (ALL, Key, Message, ProtocolError, Segment, action_list, advertise, backup, error,  # noqa: E402
                      fa_data, fixed, identifier, identity, interest, listing, nat, nonce, packet, precedence, ranges,
                      reject, seq_adjust, sm_data, tunnel, wildcard)

DOCUMENT = (ROOT / "docs/protocol.md").read_text()
KEYS = {1: b"turnout example key"}
EXAMPLE = re.compile(r"\*\*([^*\n]+)\*\*, (\d+) bytes\.[^\n]*\n\n```hex\n(.*?)```", re.S)
EXAMPLES = {name: (int(size), bytes.fromhex(re.sub(r"\s", "", text))) for name, size, text in
            EXAMPLE.findall(DOCUMENT)}
CASES = 6000

V4, V6 = Key(6, "192.0.2.4", 5, "203.0.113.9", 80), Key(17, "2001:db8::1", 5, "2001:db8::2", 53)
IP4 = bytes.fromhex("4500001400000000400600000102030406070809")
IP6 = b"\x60" + bytes(5) + b"\x3b\x40" + bytes(32)
# Good and bad segments of every type, to be put together at random.
PARTS = [
    wildcard("192.0.2.4", dport=80), wildcard("2001:db8::1", proto=0), wildcard("192.0.2.4", proto=1, dport=7),
    wildcard("2001:db8::1", proto=17, dst_mask="ffff::", forward="2001:db8::9", flags=1), fixed(V4), fixed(V6),
    fixed(V6, forward="192.0.2.1", flags=1), fixed(V4, flags=4), identifier(V4, ALL), identifier(V6, 0),
    identifier(V4, 0x400), precedence(1), backup(3), sm_data(b"x" * 129), sm_data(b""), fa_data(b"abc"),
    identity("192.0.2.4", "a name"), identity(None, ""), identity(None, "x" * 64), nat(dst="192.0.2.1", dport=3),
    nat(src="2001:db8::7"), nat(sport=0), nat(dst="0.0.0.0"), advertise(), advertise("192.0.2.0", 24),
    advertise("192.0.2.1", 24), advertise("2001:db8::", 32), seq_adjust(1, 2, 3, 4), interest(ALL, ALL),
    interest(1, address="192.0.2.4", port=3), interest(1, port=3), interest(0x200), action_list(), action_list(10, 12),
    action_list(*range(1, 40)), packet(IP4), packet(IP6), packet(b"E"), packet(b""), ranges((3, 1, 2)), ranges(),
    ranges((4, 9, 2)), ranges((1, "192.0.2.4", "192.0.2.5")), ranges((2, "2001:db8::1", "2001:db8::3"), (3, 1, 3)),
    ranges(*[(3, 1, 2)] * 17), tunnel(1, "192.0.2.4"), tunnel(2, "192.0.2.4", port=4), tunnel(1, "192.0.2.4", port=4),
    tunnel(2, "2001:db8::4", port=1, local="192.0.2.1"), tunnel(1, None), nonce(b"n" * 16), nonce(b"n" * 16, 4),
    error(1, "x"), error(2, ""), error(0, ""), listing(), listing(end=True),
    reject(), reject(2), reject(3), Segment(protocol.SEG_REJECT, b"\1\0\1\0"),
    wildcard("192.0.2.4", flags=1), fixed(V4, forward="0.0.0.0", flags=1), Segment(200, b"zz"),
    Segment(200, b"zz", False), Segment(protocol.SEG_SECURITY, bytes([2, 0, 0, 0, 0, 0, 0, 1]) + bytes(16)),
    Segment(protocol.SEG_SECURITY, bytes([9, 0, 0, 0, 0, 0, 0, 1]) + bytes(3)), Segment(0, b""),
]


def cut_up(chance):
    """An example with a few bytes changed, cut, or with its length mended."""
    data = bytearray(chance.choice(list(EXAMPLES.values()))[1])
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(data))
        data[at] = chance.choice((0, 1, 4, 6, 255, chance.randrange(256), data[at] ^ 1 << chance.randrange(8)))
    if chance.random() < 0.2:
        del data[chance.randrange(len(data) + 1):]
    if chance.random() < 0.3 and len(data) > 4:
        data[2:4] = len(data).to_bytes(2, "big")
    return bytes(data)


def put_together(chance):
    """A message of random segments: mostly those its type allows, mostly in a good order."""
    kind = chance.choice(list(protocol.MESSAGES))
    anybody, must, may = protocol.MESSAGES[kind]
    allowed = [part for part in PARTS if part.type in must | may | {protocol.SEG_SECURITY, 200}]
    if chance.random() < 0.7:
        segments = [chance.choice([part for part in allowed if part.type == t]) for t in sorted(must)]
        segments += chance.sample(allowed, chance.randrange(min(4, len(allowed))))
    else:
        segments = chance.sample(PARTS, chance.randrange(6))
    if chance.random() < 0.7:
        segments.sort(key=lambda s: (s.type != protocol.SEG_SECURITY, s.type == protocol.SEG_IP_PACKET, s.type >= 128))
    source = chance.choice((0, 1)) if chance.random() < 0.1 else 1
    return protocol.encode(Message(kind, source, 2, chance.choice((0, 3)) if anybody else 3, 4, segments))


def fault_of(data):
    try:
        protocol.decode(data)
    except ProtocolError as bad:
        return bad.fault
    return "ok"


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """Faults that proto/wire.c, built with sanitizers, finds in a list of messages."""
    program = tmp_path_factory.mktemp("wire") / "decode_lines"
    sources = ["tests/unit/decode_lines.c", "lib/addr.c", *sorted(p.relative_to(ROOT) for p in
                                                                  (ROOT / "proto").glob("wire*.c")
                                                                  if not p.name.endswith(("_test.c", "_fuzz.c")))]
    subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-I.",
                    "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", program, *sources], cwd=ROOT,
                   check=True)

    def run(messages):
        lines = "".join(m.hex() + "\n" for m in messages)
        done = subprocess.run([program], input=lines, text=True, capture_output=True, check=True)
        return done.stdout.split()
    return run


def test_the_document_has_an_example_of_most_types_MSG_12():
    assert len(EXAMPLES) >= 10
    kinds = {data[1] for _, data in EXAMPLES.values()}
    assert kinds >= set(protocol.MESSAGES) - {protocol.MATCH_FIXED, protocol.ASK, protocol.HELD}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_what_the_document_says_MSG_12_SEC_3(name):
    size, data = EXAMPLES[name]
    assert len(data) == size
    message = protocol.decode(data, KEYS)
    scheme = message.segment(protocol.SEG_SECURITY)[0]
    assert scheme == (3 if message.type == protocol.PACKET else 2)
    with pytest.raises(ProtocolError, match="wrong"):
        protocol.decode(data[:-1] + bytes([data[-1] ^ 1]), KEYS)
    # Encoded again from its segments alone it is the same message, MAC included.
    message.segments = [s for s in message.segments if s.type != protocol.SEG_SECURITY]
    assert protocol.encode(message, KEYS[1], 1, scheme) == data


def test_both_implementations_accept_the_examples_MSG_12(judge):
    assert judge([data for _, data in EXAMPLES.values()]) == ["ok"] * len(EXAMPLES)


def test_faults_are_numbered_as_in_the_document_MSG_4():
    rows = re.findall(r"^\| (\d+) \| ([a-z-]+) \|", DOCUMENT.split("## 7.")[1].split("## 8.")[0], re.M)
    header = (ROOT / "proto/wire.h").read_text().split("enum wire_fault {")[1].split("WIRE_FAULT_COUNT")[0]
    names = [n.lower().replace("_", "-") for n in re.findall(r"WIRE_(?:FAULT_)?([A-Z_]+)\b(?= = 0|,)", header)]
    assert [name for _, name in rows] == names == list(protocol.FAULTS)
    assert [int(number) for number, _ in rows] == list(range(len(names)))


@pytest.mark.parametrize("seed", [1, 2])
def test_both_implementations_refuse_the_same_messages_MSG_4_MSG_12(judge, seed):
    chance = random.Random(seed)
    messages = [chance.choice((cut_up, put_together))(chance) for _ in range(CASES)]
    ours, theirs = [fault_of(m) for m in messages], judge(messages)
    assert len(ours) == len(theirs)
    count = collections.Counter(ours)
    assert count["ok"] >= CASES / 20 and len(count) >= len(protocol.FAULTS) - 1, count

    def classes(fault):
        """Which of several faults is found first is free; whether a deny may answer it is not."""
        return fault if fault in ("ok", "required") else "refused"
    differ = [(a, b, m.hex()) for a, b, m in zip(ours, theirs, messages) if classes(a) != classes(b)]
    assert not differ, differ[:3]
