# SPDX-License-Identifier: BSD-2-Clause
"""The golden messages, read by the second implementation (tests/lab/protocol.py): the same words for the same bytes.

proto/vectors_test.c compares proto/ with the same files.  What the two say of a message must be
equal to the letter, so neither can be wrong alone.  Must not know proto/.
"""
import hashlib
import hmac
import ipaddress
import pathlib
import struct
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/lab"))
sys.path.insert(0, str(ROOT / "tests/fuzz"))
import protocol  # noqa: E402
from seeds import bytes_of  # noqa: E402

VECTORS = ROOT / "tests/vectors"
KEYS = {1: b"turnout vectors, key one", 2: b"turnout vectors, key two"}
TYPES = {1: "wildcard update", 2: "fixed update", 3: "deny", 4: "interest match, wildcard", 5: "interest match, fixed",
         6: "IP packet only", 128: "hello", 129: "challenge", 130: "challenge response", 131: "refresh", 132: "ask",
         133: "held"}
SEGMENTS = {1: "wildcard", 2: "fixed", 3: "identifier", 4: "service precedence", 5: "backup precedence", 6: "security",
            7: "SM interest data", 8: "FA interest data", 9: "identity", 10: "NAT", 11: "advertise",
            12: "sequence adjust", 13: "interest criteria", 14: "action list", 15: "IP packet", 128: "ranges",
            129: "tunnel", 130: "nonce", 131: "error", 132: "listing", 133: "reject"}
ORDER = [6, 132, 130, 1, 128, 2, 3, 14, 131, 4, 5, 10, 11, 12, 13, 129, 133, 9, 7, 8, 15]
FLAGS = [(1, "dispatch"), (2, "information"), (4, "protected"), (8, "drop-without-agent"),
         (16, "route-on-silence")]
BITS = [(1 << i, name) for i, name in enumerate("fin syn rst psh ack urg data first-data fragment".split())]
BITS += [(0x8000, "all")]


def vectors(directory):
    paths = sorted((VECTORS / directory).glob("*.txt"))
    assert paths, directory
    return [pytest.param(path, id=path.stem) for path in paths]


def expected(path):
    return path.read_text().partition("\n---\n")[2]


# ---- words for each segment, from its bytes ----


def read_addr(body, at):
    size = {0: 0, 4: 4, 6: 16}[body[at]]
    raw = body[at + 1:at + 1 + size]
    return (str(ipaddress.ip_address(raw)) if size else None), at + 1 + size


def names(value, table):
    return "+".join(name for bit, name in table if value & bit) or "none"


def endpoint(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def protocol_name(number):
    return {0: "any", 1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}.get(number, str(number))


def key_words(key):
    if key.proto in (protocol.TCP, protocol.UDP):
        return f"{protocol_name(key.proto)} {endpoint(key.src, key.sport)} > {endpoint(key.dst, key.dport)}"
    return f"{protocol_name(key.proto)} {key.src} > {key.dst}"


def masked(address, mask):
    bits = f"{int(ipaddress.ip_address(mask)):0{ipaddress.ip_address(mask).max_prefixlen}b}"
    return f"{address}/{mask if '01' in bits else bits.count('1')}"


def instructions(flags, ttl, forward):
    return f", ttl {ttl}, flags {names(flags, FLAGS)}" + (f", forward {forward}" if forward else "")


def wildcard(message, body):
    w = protocol.read_wildcard(message)
    sides = [masked(w[side], w[f"{side}_mask"]) + (f" port {w[port]}" if w[port] else "")
             for side, port in (("src", "sport"), ("dst", "dport"))]
    end = instructions(w["flags"], w["ttl"], w["forward"])
    return f"{protocol_name(w['proto'])} from {sides[0]} to {sides[1]}{end}"


def fixed(message, body):
    key, ttl, flags, forward = protocol.read_fixed(message)
    return key_words(key) + instructions(flags, ttl, forward)


def identifier(message, body):
    key, reasons = protocol.read_identifier(message)
    return f"{key_words(key)}, flags {names(body[2], FLAGS)}, reasons {names(reasons, BITS)}"


def security(message, body):
    scheme, key = struct.unpack_from("!BxxxI", body)
    name = {1: "keyed MD5", 2: "HMAC-SHA-256", 3: "HMAC-SHA-256 short"}.get(scheme, f"scheme {scheme}")
    return f"{name}, key {key}"


def opaque(message, body):
    return f"{len(body)} bytes {body.hex()}".rstrip()


def identity(message, body):
    address, at = read_addr(body, 0)
    assert len(body) == at + 1 + body[at]
    return f'{address or "-"} "{body[at + 1:].decode("ascii")}"'


def nat(message, body):
    n = protocol.read_nat(protocol.Message(2, 1, 1, 1, 1, [protocol.Segment(protocol.SEG_NAT, body)]))
    sides = []
    for side, port, name in (("src", "sport", "source"), ("dst", "dport", "destination")):
        words = [name] + ([n[side]] if side in n else []) + ([f"port {n[port]}"] if port in n else [])
        sides += [" ".join(words)] if len(words) > 1 else []
    return ", ".join(sides)


def advertise(message, body):
    address, _ = read_addr(body, 2)
    return f"{address}/{body[0]}" if address else "the wildcard's destination"


def sequence_adjust(message, body):
    return "sequence +%d from %d, ack +%d from %d" % struct.unpack("!IIII", body)


def interest(message, body):
    *masks, port = struct.unpack_from("!HHHHHxx", body)
    words = [f"{name} {names(mask, BITS)}" for name, mask in zip(("interest", "data", "copy", "hold"), masks)]
    address, _ = read_addr(body, 12)
    return ", ".join(words) + f", to {endpoint(address, port) if port else 'sender'}"


def action_list(message, body):
    return ", ".join(f"{SEGMENTS.get(kind, 'unknown')} ({kind})" for kind in body) or "none"


def ranges(message, body):
    size = 4 if message.segment(protocol.SEG_WILDCARD)[0] == 4 else 16
    at, words = 0, []
    while at < len(body):
        field = body[at]
        width = 2 if field > 2 else size
        bounds = [body[at + 2 + i * width:at + 2 + (i + 1) * width] for i in (0, 1)]
        text = [str(int.from_bytes(b, "big") if field > 2 else ipaddress.ip_address(b)) for b in bounds]
        words.append(f"{('source', 'destination', 'source port', 'destination port')[field - 1]} {'-'.join(text)}")
        at += 2 + 2 * width
    return ", ".join(words)


def tunnel(message, body):
    kind, hop_limit, port = struct.unpack_from("!BBH", body)
    remote, at = read_addr(body, 4)
    local, _ = read_addr(body, at)
    to = f"IP in UDP to {endpoint(remote, port)}" if kind == 2 else f"IP in IP to {remote}"
    return f"{to} from {local or '-'}, hop limit {hop_limit}"


def error(message, body):
    code, text = protocol.read_error(message)
    return f'{code} {("unsupported", "not covered", "no room", "forbidden", "unknown")[min(code, 5) - 1]}, "{text}"'


def listing(message, body):
    flags, cursor, token = struct.unpack("!BxxxII", body)
    return f"cursor {cursor}, token 0x{token:08x}" + (", end" if flags else "")


WORDS = {
    1: wildcard, 2: fixed, 3: identifier, 6: security, 7: opaque, 8: opaque, 9: identity, 10: nat, 11: advertise,
    12: sequence_adjust, 13: interest, 14: action_list, 128: ranges, 129: tunnel, 131: error, 132: listing,
    133: lambda m, b: ("prohibited", "unreachable")[b[0] - 1],
    4: lambda m, b: "%d, %s first" % (struct.unpack("!xxxxI", b)[0], "lower" if b[0] else "higher"),
    5: lambda m, b: str(struct.unpack("!I", b)[0]),
    15: lambda m, b: f"IPv{b[0] >> 4}, {len(b)} bytes",
    130: lambda m, b: f"{b[:16].hex()}, group sequence {struct.unpack('!Q', b[16:])[0]}",
}


def words_of(message):
    to = f"0x{message.destination:x}" if message.destination else "anybody"
    lines = [f"{TYPES[message.type]} from 0x{message.source:x}, incarnation {message.incarnation}, to {to}, "
             f"sequence {message.sequence}"]
    known = [s for s in message.segments if s.type in SEGMENTS]
    required = {s.type for s in known if s.required}
    for segment in sorted(known, key=lambda s: ORDER.index(s.type)):
        mark = " (required)" if segment.type in required else ""
        lines.append(f"  {SEGMENTS[segment.type]}{mark}: {WORDS[segment.type](message, segment.body)}")
    return "\n".join(lines) + "\n"


# ---- tests ----


@pytest.mark.parametrize("path", vectors("messages") + vectors("messages-other"))
def test_MSG_12_same_words(path):
    assert words_of(protocol.decode(bytes_of(path))) == expected(path)


@pytest.mark.parametrize("path", vectors("messages"))
def test_MSG_12_same_bytes_and_SEC_1_same_mac(path):
    """Taken apart, signed and put together again by the second implementation: every byte."""
    data = bytes_of(path)
    message = protocol.decode(data)
    security = message.segment(protocol.SEG_SECURITY)
    if security is None:
        assert protocol.encode(message) == data
        return
    scheme, key_id = struct.unpack_from("!BxxxI", security)
    message.segments = message.segments[1:]
    assert protocol.encode(message, KEYS[key_id], key_id, scheme) == data
    protocol.decode(data, KEYS)


def test_MSG_12_builders_agree():
    """What the lab tests send is what the golden messages hold."""
    key = protocol.Key(protocol.TCP, "192.0.2.7", 40000, "203.0.113.10", 80)

    def segments(name, *kinds):
        found = protocol.decode(bytes_of(VECTORS / f"messages/{name}.txt")).segments
        return [segment for segment in found if not kinds or segment.type in kinds]

    assert segments("wildcard-update-4")[1:-1] == [
        protocol.wildcard("203.0.113.10", dport=80, flags=protocol.INFORMATION), protocol.action_list(10, 11, 13),
        protocol.precedence(10), protocol.backup(0), protocol.advertise(),
        protocol.interest(protocol.ALL, protocol.ALL), protocol.interest(protocol.FIN | protocol.RST),
        protocol.identity("10.9.0.2", "manager-1")]
    assert segments("fixed-update-4", protocol.SEG_FIXED, protocol.SEG_NAT) == [
        protocol.fixed(key, flags=protocol.INFORMATION), protocol.nat(dst="10.2.0.11", dport=8080)]
    ping = protocol.Key(protocol.ICMP, "192.0.2.7", 0, "203.0.113.10", 0)
    assert segments("fixed-update-drop-icmp", protocol.SEG_FIXED) == [
        protocol.fixed(ping, flags=protocol.DISPATCH, forward="0.0.0.0")]
    assert segments("match-fixed-4", protocol.SEG_IDENTIFIER) == [protocol.identifier(key, protocol.FIN | protocol.ACK)]
    packet = segments("packet-4", protocol.SEG_IP_PACKET)
    assert packet == [protocol.packet(packet[0].body)]


def test_SEC_3_golden_macs_by_hand():
    """Not even by protocol.py: the two schemes as the document words them."""
    data = bytes_of(VECTORS / "messages/ask.txt")
    blank = data[:52] + bytes(16) + data[68:]
    assert hmac.new(KEYS[1], blank, hashlib.sha256).digest()[:16] == data[52:68]
    data = bytes_of(VECTORS / "messages/match-fixed-6.txt")
    blank = data[:52] + bytes(16) + data[68:]
    assert hashlib.md5(KEYS[2] + blank + KEYS[2]).digest() == data[52:68]


@pytest.mark.parametrize("path", vectors("messages-bad"))
def test_MSG_4_same_fault(path):
    with pytest.raises(protocol.ProtocolError) as refusal:
        protocol.decode(bytes_of(path))
    assert refusal.value.fault == expected(path).split(" ")[0]
