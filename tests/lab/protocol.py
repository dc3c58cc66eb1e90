# SPDX-License-Identifier: BSD-2-Clause
"""A second implementation of the service messages' format, for tests only.

Written from docs/protocol.md and nothing else: it shares no code with proto/,
so a test that uses it compares the document with the daemons.  decode() is as
strict as the document and names the fault as its section 7 does; encode() is
not strict at all, so that a test can say what nobody should.

Must not know sockets: see peer.py.
"""
import dataclasses
import hashlib
import hmac
import ipaddress
import struct

VERSION = 1
HEADER = struct.Struct("!BBHIQQQQ")
SEGMENT = struct.Struct("!BBH")
REQUIRED = 0x80
LARGEST = 65507
MAC_OFFSET = HEADER.size + SEGMENT.size + 8
MAC_LENGTHS = {1: 16, 2: 16, 3: 8}

WILDCARD_UPDATE, FIXED_UPDATE, DENY, MATCH_WILDCARD, MATCH_FIXED, PACKET = 1, 2, 3, 4, 5, 6
HELLO, CHALLENGE, CHALLENGE_RESPONSE, REFRESH, ASK, HELD = 128, 129, 130, 131, 132, 133

(SEG_WILDCARD, SEG_FIXED, SEG_IDENTIFIER, SEG_PRECEDENCE, SEG_BACKUP, SEG_SECURITY, SEG_SM_DATA, SEG_FA_DATA,
 SEG_IDENTITY, SEG_NAT, SEG_ADVERTISE, SEG_SEQ_ADJUST, SEG_INTEREST, SEG_ACTION_LIST, SEG_IP_PACKET) = range(1, 16)
SEG_RANGES, SEG_TUNNEL, SEG_NONCE, SEG_ERROR, SEG_LISTING, SEG_REJECT = range(128, 134)

DISPATCH, INFORMATION, PROTECTED, DROP_GONE, ROUTE_SILENT = 0x01, 0x02, 0x04, 0x08, 0x10
FIN, SYN, RST, PSH, ACK, URG, DATA, FIRST_DATA, FRAGMENT = (1 << bit for bit in range(9))
ALL = 0x8000
INTEREST_BITS = 0x01ff | ALL
ERROR_UNSUPPORTED, ERROR_NOT_COVERED, ERROR_NO_ROOM, ERROR_FORBIDDEN = 1, 2, 3, 4
REJECT_PROHIBITED, REJECT_UNREACHABLE = 1, 2
RANGE_SRC, RANGE_DST, RANGE_SPORT, RANGE_DPORT = 1, 2, 3, 4
TCP, UDP, ICMP = 6, 17, 1
# What `fad` can act upon, for hellos.
ACTIONS_OF_AGENT = (SEG_NAT, SEG_ADVERTISE, SEG_INTEREST, SEG_RANGES)

FAULTS = ("ok", "short", "long", "version", "type", "header", "truncated", "overlong", "duplicate", "missing",
          "not-allowed", "order", "value", "contradiction", "required")


class ProtocolError(Exception):
    """A message that the document does not allow; `fault` is the name in its section 7, or of a refusal in 8."""

    def __init__(self, fault, text=""):
        super().__init__(f"{fault}: {text}" if text else fault)
        self.fault = fault


@dataclasses.dataclass
class Segment:
    type: int
    body: bytes
    required: bool = True


@dataclasses.dataclass
class Message:
    type: int
    source: int
    incarnation: int
    destination: int
    sequence: int
    segments: list
    sender: tuple = ()

    def segment(self, kind):
        """The body of the first segment of a type, or None."""
        return next((s.body for s in self.segments if s.type == kind), None)


@dataclasses.dataclass(frozen=True)
class Key:
    """A flow key: protocol, source, source port, destination, destination port."""
    proto: int
    src: str
    sport: int
    dst: str
    dport: int

    @property
    def family(self):
        return ipaddress.ip_address(self.src).version

    def reverse(self):
        return Key(self.proto, self.dst, self.dport, self.src, self.sport)


# ---- writing ----


def encode(message, key=b"", key_id=1, scheme=2):
    """Bytes of a message; with a key, the security segment goes first and is filled in."""
    segments = list(message.segments)
    if key:
        segments.insert(0, Segment(SEG_SECURITY, struct.pack("!BxxxI", scheme, key_id) + bytes(MAC_LENGTHS[scheme]),
                                   required=False))
    body = b"".join(SEGMENT.pack(s.type, REQUIRED if s.required else 0, len(s.body)) + s.body for s in segments)
    out = HEADER.pack(VERSION, message.type, HEADER.size + len(body), 0, message.source, message.incarnation,
                      message.destination, message.sequence) + body
    if key:
        mac = authenticate(out, key, scheme)
        out = out[:MAC_OFFSET] + mac + out[MAC_OFFSET + len(mac):]
    return out


def authenticate(message, key, scheme=2):
    """The MAC of a message whose MAC bytes are zero."""
    if scheme == 1:
        return hashlib.md5(key + message + key).digest()
    return hmac.new(key, message, hashlib.sha256).digest()[:MAC_LENGTHS[scheme]]


# ---- reading ----


class Reader:
    """Takes fields from the front of a segment's body."""

    def __init__(self, body):
        self.body, self.at = body, 0

    def take(self, size):
        if len(self.body) - self.at < size:
            raise ProtocolError("truncated", self.body.hex())
        self.at += size
        return self.body[self.at - size:self.at]

    def integer(self, size):
        return int.from_bytes(self.take(size), "big")

    def zero(self, size):
        if any(self.take(size)):
            raise ProtocolError("value", "reserved bytes")

    def flags(self, allowed, size=1):
        value = self.integer(size)
        if value & ~allowed:
            raise ProtocolError("value", f"bits {value:#x}")
        return value

    def address(self, family):
        return ipaddress.ip_address(self.take(4 if family == 4 else 16))

    def family(self):
        value = self.integer(1)
        if value not in (4, 6):
            raise ProtocolError("value", f"family {value}")
        return value

    def addr(self):
        """An `addr` field: the address, or None."""
        if self.at < len(self.body) and self.body[self.at] == 0:
            self.at += 1
            return None
        return self.address(self.family())

    def text(self, longest):
        size = self.integer(1)
        if size > longest:
            raise ProtocolError("value", f"text of {size} bytes")
        value = self.take(size)
        if any(not 0x20 <= byte <= 0x7e for byte in value):
            raise ProtocolError("value", "text that is not printable")
        return value.decode("ascii")

    def rest(self):
        return self.take(len(self.body) - self.at)


def contradiction(condition, text):
    if condition:
        raise ProtocolError("contradiction", text)


def out_of_range(condition, text):
    if condition:
        raise ProtocolError("value", text)


def has_ports(proto):
    return proto in (TCP, UDP)


def read_ports(r, proto):
    ports = r.integer(2), r.integer(2)
    return ports, any(ports) and not has_ports(proto)


def check_forward(r, family):
    forward = r.addr()
    contradiction(forward and forward.version != family, "family of the forward address")
    return forward


# One function a segment type: (reader, what earlier segments said) -> its fields.  Rules that need later segments, or
# the message's type, are in check_whole().


def check_wildcard(r, _):
    family, proto, flags = r.family(), r.integer(1), r.flags(0x1f)
    r.zero(1)
    ttl = r.integer(4)
    (sport, dport), bad_ports = read_ports(r, proto)
    src, src_mask, dst, dst_mask = (r.address(family) for _ in range(4))
    forward = check_forward(r, family)
    contradiction(bad_ports, "ports")
    return {"family": family, "proto": proto, "flags": flags, "ttl": ttl, "sport": sport, "dport": dport, "src": src,
            "src_mask": src_mask, "dst": dst, "dst_mask": dst_mask, "forward": forward}


def check_fixed(r, _):
    family, proto, flags = r.family(), r.integer(1), r.flags(0x03)
    r.zero(1)
    ttl = r.integer(4)
    (sport, dport), bad_ports = read_ports(r, proto)
    src, dst = r.address(family), r.address(family)
    forward = check_forward(r, family)
    contradiction(bad_ports, "ports")
    return {"family": family, "proto": proto, "flags": flags, "ttl": ttl, "forward": forward,
            "key": Key(proto, str(src), sport, str(dst), dport)}


def check_identifier(r, _):
    family, proto, flags = r.family(), r.integer(1), r.flags(0x1f)
    r.zero(1)
    reasons = r.flags(INTEREST_BITS, 2)
    r.zero(2)
    (sport, dport), bad_ports = read_ports(r, proto)
    key = Key(proto, str(r.address(family)), sport, str(r.address(family)), dport)
    contradiction(bad_ports, "ports")
    return {"family": family, "flags": flags, "reasons": reasons, "key": key}


def check_precedence(r, _):
    lower = r.flags(0x01)
    r.zero(3)
    return {"lower_first": bool(lower), "value": r.integer(4)}


def check_security(r, _):
    scheme = r.integer(1)
    r.zero(3)
    key_id = r.integer(4)
    out_of_range(scheme == 0, "scheme 0")
    if scheme in MAC_LENGTHS:
        mac = r.take(MAC_LENGTHS[scheme])
    else:
        mac = r.take(max(1, min(32, len(r.body) - r.at)))
    return {"scheme": scheme, "key_id": key_id, "mac": mac}


def check_opaque(r, _):
    return {"data": r.take(min(128, len(r.body)))}


def check_identity(r, _):
    return {"address": r.addr(), "name": r.text(63)}


def check_nat(r, _):
    bits = r.flags(0x0f)
    out_of_range(bits == 0, "NAT of nothing")
    r.zero(1)
    sport, dport = r.integer(2), r.integer(2)
    r.zero(2)
    src, dst = r.addr(), r.addr()
    for bit, value in ((0x01, src), (0x02, sport), (0x04, dst), (0x08, dport)):
        there = value is not None if bit in (0x01, 0x04) else value != 0
        out_of_range(bit in (0x02, 0x08) and bits & bit and not there, "port 0")
        contradiction(bool(bits & bit) != there, f"NAT field {bit}")
        out_of_range(there and int(value) == 0, "NAT to address 0")
    return {"bits": bits, "src": src, "dst": dst}


def check_advertise(r, _):
    plen = r.integer(1)
    r.zero(1)
    address = r.addr()
    out_of_range(plen > (address.max_prefixlen if address else 0), f"prefix length {plen}")
    out_of_range(address and int(address) & (1 << address.max_prefixlen - plen) - 1, "bits beyond the prefix")
    return {"plen": plen, "address": address}


def check_seq_adjust(r, _):
    return {"values": [r.integer(4) for _ in range(4)]}


def check_interest(r, _):
    masks = [r.flags(INTEREST_BITS, 2) for _ in range(4)]
    port = r.integer(2)
    r.zero(2)
    address = r.addr()
    contradiction((address is None) != (port == 0), "address without port, or the reverse")
    out_of_range(address and int(address) == 0, "address 0")
    return {"masks": masks, "port": port, "address": address}


def check_action_list(r, _):
    types = r.take(min(32, len(r.body)))
    out_of_range(0 in types, "type 0")
    return {"types": list(types)}


def check_packet(r, _):
    data = r.rest()
    if not data:
        raise ProtocolError("truncated", "empty IP packet")
    out_of_range(data[0] >> 4 not in (4, 6), "IP version")
    if len(data) < (20 if data[0] >> 4 == 4 else 40):
        raise ProtocolError("truncated", "IP header")
    return {"version": data[0] >> 4, "data": data}


def check_ranges(r, seen):
    if SEG_WILDCARD not in seen:
        raise ProtocolError("order", "ranges before the wildcard")
    wild, items = seen[SEG_WILDCARD], []
    while r.at < len(r.body) and len(items) < 16:
        field = r.integer(1)
        out_of_range(field not in (1, 2, 3, 4), f"range field {field}")
        r.zero(1)
        if field in (RANGE_SPORT, RANGE_DPORT):
            low, high = r.integer(2), r.integer(2)
        else:
            low, high = int(r.address(wild["family"])), int(r.address(wild["family"]))
        items.append((field, low, high))
    out_of_range(not items, "no ranges")
    return {"items": items}


def check_tunnel(r, _):
    kind = r.integer(1)
    out_of_range(kind not in (1, 2), f"tunnel kind {kind}")
    r.integer(1)
    port, remote, local = r.integer(2), r.addr(), r.addr()
    out_of_range(remote is None or int(remote) == 0, "no remote address")
    contradiction((kind == 2) != (port != 0), "tunnel port")
    contradiction(local and local.version != remote.version, "family of the local address")
    return {"kind": kind, "port": port, "remote": remote, "local": local}


def check_reject(r, _):
    kind = r.integer(1)
    out_of_range(kind not in (REJECT_PROHIBITED, REJECT_UNREACHABLE), f"reject kind {kind}")
    r.zero(3)
    return {"kind": kind}


def check_nonce(r, _):
    return {"nonce": r.take(16), "group_sequence": r.integer(8)}


def check_error(r, _):
    code = r.integer(2)
    out_of_range(code == 0, "error 0")
    return {"code": code, "text": r.text(127)}


def check_listing(r, _):
    end = r.flags(0x01)
    r.zero(3)
    return {"end": bool(end), "cursor": r.integer(4), "token": r.integer(4)}


SEGMENTS = {
    SEG_WILDCARD: check_wildcard, SEG_FIXED: check_fixed, SEG_IDENTIFIER: check_identifier,
    SEG_PRECEDENCE: check_precedence, SEG_BACKUP: lambda r, _: {"value": r.integer(4)}, SEG_SECURITY: check_security,
    SEG_SM_DATA: check_opaque, SEG_FA_DATA: check_opaque, SEG_IDENTITY: check_identity, SEG_NAT: check_nat,
    SEG_ADVERTISE: check_advertise, SEG_SEQ_ADJUST: check_seq_adjust, SEG_INTEREST: check_interest,
    SEG_ACTION_LIST: check_action_list, SEG_IP_PACKET: check_packet, SEG_RANGES: check_ranges,
    SEG_TUNNEL: check_tunnel, SEG_NONCE: check_nonce, SEG_ERROR: check_error, SEG_LISTING: check_listing,
    SEG_REJECT: check_reject,
}
REPEATABLE = {SEG_NAT: 4, SEG_ADVERTISE: 4, SEG_INTEREST: 4}

_PRECEDENCES = {SEG_PRECEDENCE, SEG_BACKUP}
_ACTIONS = {SEG_NAT, SEG_SEQ_ADJUST, SEG_INTEREST, SEG_TUNNEL, SEG_REJECT}
_OPAQUE = {SEG_IDENTITY, SEG_SM_DATA, SEG_FA_DATA}
_FROM_MANAGER = {SEG_IDENTITY, SEG_SM_DATA}

# type: (destination 0 allowed, segments that must be there, that may)
MESSAGES = {
    WILDCARD_UPDATE: (True, {SEG_WILDCARD}, _PRECEDENCES | _ACTIONS | _FROM_MANAGER | {SEG_RANGES, SEG_ACTION_LIST,
                                                                                       SEG_ADVERTISE}),
    FIXED_UPDATE: (False, {SEG_FIXED}, _PRECEDENCES | _ACTIONS | _OPAQUE | {SEG_IP_PACKET}),
    DENY: (False, {SEG_ACTION_LIST}, _OPAQUE | _PRECEDENCES | {SEG_WILDCARD, SEG_RANGES, SEG_FIXED, SEG_ERROR}),
    MATCH_WILDCARD: (False, {SEG_IDENTIFIER}, _OPAQUE | {SEG_IP_PACKET}),
    MATCH_FIXED: (False, {SEG_IDENTIFIER}, _OPAQUE | {SEG_IP_PACKET}),
    PACKET: (False, {SEG_IP_PACKET}, {SEG_FA_DATA}),
    HELLO: (True, {SEG_IDENTITY, SEG_ACTION_LIST}, set()),
    CHALLENGE: (True, {SEG_NONCE}, {SEG_IDENTITY}),
    CHALLENGE_RESPONSE: (False, {SEG_NONCE}, {SEG_IDENTITY}),
    REFRESH: (False, {SEG_IDENTIFIER}, _OPAQUE),
    ASK: (False, {SEG_LISTING}, {SEG_IDENTITY}),
    HELD: (False, {SEG_LISTING}, _PRECEDENCES | _ACTIONS | _FROM_MANAGER | {SEG_WILDCARD, SEG_RANGES, SEG_FIXED,
                                                                           SEG_ADVERTISE}),
}


def check_range_items(items, wild):
    hosts = {RANGE_SRC: wild["src_mask"], RANGE_DST: wild["dst_mask"]}
    given = {RANGE_SPORT: wild["sport"], RANGE_DPORT: wild["dport"]}
    for field, low, high in items:
        if field in hosts:
            contradiction(int(hosts[field]) == (1 << hosts[field].max_prefixlen) - 1, "range of one address")
        else:
            contradiction(given[field] or not has_ports(wild["proto"]), "range of a port that is given, or not there")
        contradiction(low > high, "range upside down")


def check_actions(found):
    """NAT, advertise, sequence adjust, tunnel and reject against the affinity."""
    affinity = (found.get(SEG_FIXED) or found.get(SEG_WILDCARD) or [None])[0]
    for item in found.get(SEG_NAT, []):
        for address in (item["src"], item["dst"]):
            contradiction(address and address.version != affinity["family"], "family of a NAT address")
        contradiction(item["bits"] & 0x0a and not has_ports(affinity["proto"]), "NAT of ports")
    for item in found.get(SEG_ADVERTISE, []):
        address, mask = item["address"], affinity["dst_mask"]
        contradiction(address and address.version != affinity["family"], "family of an advertised address")
        gaps = "01" in f"{int(mask):0{mask.max_prefixlen}b}"
        contradiction(not address and gaps, "advertised mask is no prefix")
    contradiction(SEG_SEQ_ADJUST in found and affinity["proto"] != TCP, "sequence adjust without TCP")
    contradiction(SEG_TUNNEL in found and not affinity["flags"] & 1, "tunnel without dispatch")
    contradiction(SEG_REJECT in found and not (affinity["flags"] & 1 and not (affinity["forward"] and int(affinity["forward"]))),
                  "reject of what is not dropped")


def check_whole(kind, found):
    """What segments say of each other; found: {type: [fields]}."""
    missing = MESSAGES[kind][1] - set(found)
    if missing:
        raise ProtocolError("missing", f"segments {sorted(missing)}")
    if kind == HELD and not found[SEG_LISTING][0]["end"] and not {SEG_FIXED, SEG_WILDCARD} & set(found):
        raise ProtocolError("missing", "fixed or wildcard")
    contradiction(kind == HELD and found[SEG_LISTING][0]["end"] and
                  set(found) - {SEG_SECURITY, SEG_LISTING, SEG_IDENTITY}, "end of listing with an affinity")
    contradiction(kind == ASK and found[SEG_LISTING][0]["end"], "ask for the end")
    contradiction(SEG_WILDCARD in found and SEG_FIXED in found, "two affinities")
    contradiction(SEG_ADVERTISE in found and SEG_WILDCARD not in found, "advertise without a wildcard")
    contradiction(kind == CHALLENGE and found[SEG_NONCE][0]["group_sequence"], "group sequence in a challenge")
    if SEG_RANGES in found:
        check_range_items(found[SEG_RANGES][0]["items"], found[SEG_WILDCARD][0])
    check_actions(found)
    if kind == DENY and not found[SEG_ACTION_LIST][0]["types"]:
        contradiction(SEG_ERROR not in found or found[SEG_ERROR][0]["code"] == ERROR_UNSUPPORTED, "deny of nothing")
    for segment in (SEG_FIXED, SEG_IDENTIFIER):
        if segment in found and SEG_IP_PACKET in found:
            contradiction(found[segment][0]["family"] != found[SEG_IP_PACKET][0]["version"], "family of the packet")


def decode_header(data):
    """(type, source, incarnation, destination, sequence)."""
    if len(data) < HEADER.size:
        raise ProtocolError("short", "no header")
    version, kind, length, zero, source, incarnation, destination, sequence = HEADER.unpack_from(data)
    if version != VERSION:
        raise ProtocolError("version", str(version))
    if length < HEADER.size or length > len(data):
        raise ProtocolError("short", f"length {length} of {len(data)}")
    if length < len(data) or length > LARGEST:
        raise ProtocolError("long", f"length {length} of {len(data)}")
    if kind not in MESSAGES:
        raise ProtocolError("type", str(kind))
    if zero or not (source and incarnation and sequence) or not (destination or MESSAGES[kind][0]):
        raise ProtocolError("header", data[:HEADER.size].hex())
    return kind, source, incarnation, destination, sequence


def split(data):
    """Segments of a message: (offset, Segment)."""
    at = HEADER.size
    while at < len(data):
        if len(data) - at < SEGMENT.size:
            raise ProtocolError("truncated", "segment header")
        kind, flags, size = SEGMENT.unpack_from(data, at)
        if len(data) - at - SEGMENT.size < size:
            raise ProtocolError("truncated", f"segment {kind}")
        out_of_range(kind == 0 or flags & ~REQUIRED, f"segment {kind}, flags {flags:#x}")
        body = data[at + SEGMENT.size:at + SEGMENT.size + size]
        yield at, Segment(kind, body, bool(flags & REQUIRED))
        at += SEGMENT.size + size


def check_segment(kind, segment, offset, found):
    allowed = MESSAGES[kind][1] | MESSAGES[kind][2] | {SEG_SECURITY}
    if segment.type not in allowed:
        raise ProtocolError("not-allowed", f"segment {segment.type} in message {kind}")
    if len(found.get(segment.type, [])) >= REPEATABLE.get(segment.type, 1):
        raise ProtocolError("duplicate", f"segment {segment.type}")
    if segment.type == SEG_SECURITY and offset != HEADER.size:
        raise ProtocolError("order", "security is not first")
    reader = Reader(segment.body)
    fields = SEGMENTS[segment.type](reader, {t: v[0] for t, v in found.items()})
    if reader.at < len(segment.body):
        raise ProtocolError("overlong", f"segment {segment.type}")
    found.setdefault(segment.type, []).append(fields)


def decode(data, keys=None):
    """The message in a datagram; with keys ({id: secret}), its MAC is demanded and verified."""
    kind, source, incarnation, destination, sequence = decode_header(data)
    if keys is not None:
        verify(data, kind, keys)
    segments, found, unknown = [], {}, []
    for offset, segment in split(data):
        others = (MESSAGES[kind][1] | MESSAGES[kind][2]) - {SEG_IP_PACKET, *found}
        if SEG_IP_PACKET in found and (segment.type not in SEGMENTS or segment.type in others):
            raise ProtocolError("order", "IP packet is not last")
        if segment.type in SEGMENTS:
            check_segment(kind, segment, offset, found)
        elif segment.required:
            unknown.append(segment.type)
        segments.append(segment)
    if unknown:
        raise ProtocolError("required", f"segments {unknown}")
    check_whole(kind, found)
    return Message(kind, source, incarnation, destination, sequence, segments)


def verify(data, kind, keys):
    first = next(split(data), (0, None))[1]
    if first is None or first.type != SEG_SECURITY:
        raise ProtocolError("absent", "no security segment in front")
    fields = check_security(Reader(first.body), {})
    scheme, key_id = fields["scheme"], fields["key_id"]
    if key_id not in keys:
        raise ProtocolError("unknown-key", str(key_id))
    if scheme not in MAC_LENGTHS or (scheme == 3 and kind != PACKET):
        raise ProtocolError("scheme", str(scheme))
    size = MAC_LENGTHS[scheme]
    blank = data[:MAC_OFFSET] + bytes(size) + data[MAC_OFFSET + size:]
    if not hmac.compare_digest(authenticate(blank, keys[key_id], scheme), data[MAC_OFFSET:MAC_OFFSET + size]):
        raise ProtocolError("wrong", "MAC")


# ---- segment bodies, written ----


def _raw(address):
    return ipaddress.ip_address(address).packed


def _addr(address):
    """An `addr` field: family, then the bytes."""
    if address is None:
        return b"\0"
    ip = ipaddress.ip_address(address)
    return bytes([ip.version]) + ip.packed


def wildcard(dst, dst_mask=None, src=None, src_mask=None, proto=TCP, sport=0, dport=0, ttl=30, flags=0, forward=None):
    """A wildcard segment; masks are addresses, by default all ones for dst and zero for src."""
    size = len(_raw(dst))
    dst_mask = _raw(dst_mask) if dst_mask is not None else b"\xff" * size
    src_mask = _raw(src_mask) if src_mask is not None else (b"\xff" if src else b"\0") * size
    body = struct.pack("!BBBxIHH", 4 if size == 4 else 6, proto, flags, ttl, sport, dport)
    body += (_raw(src) if src else bytes(size)) + src_mask + _raw(dst) + dst_mask + _addr(forward)
    return Segment(SEG_WILDCARD, body)


def ranges(*items):
    """A ranges segment of (field, low, high); bounds are ports or addresses."""
    body = b""
    for field, low, high in items:
        body += bytes([field, 0])
        if field in (RANGE_SPORT, RANGE_DPORT):
            body += struct.pack("!HH", low, high)
        else:
            body += _raw(low) + _raw(high)
    return Segment(SEG_RANGES, body)


def fixed(key, ttl=60, flags=0, forward=None):
    body = struct.pack("!BBBxIHH", key.family, key.proto, flags, ttl, key.sport, key.dport)
    return Segment(SEG_FIXED, body + _raw(key.src) + _raw(key.dst) + _addr(forward))


def identifier(key, reasons, flags=0):
    body = struct.pack("!BBBxHxxHH", key.family, key.proto, flags, reasons, key.sport, key.dport)
    return Segment(SEG_IDENTIFIER, body + _raw(key.src) + _raw(key.dst))


def nat(src=None, sport=None, dst=None, dport=None):
    values = (src, sport, dst, dport)
    flags = sum(1 << bit for bit, value in enumerate(values) if value is not None)
    return Segment(SEG_NAT, struct.pack("!BxHHxx", flags, sport or 0, dport or 0) + _addr(src) + _addr(dst))


def seq_adjust(seq_delta, seq_initial, ack_delta, ack_initial):
    return Segment(SEG_SEQ_ADJUST, struct.pack("!IIII", seq_delta, seq_initial, ack_delta, ack_initial))


def interest(bits, data=0, copy=0, hold=0, address=None, port=0):
    return Segment(SEG_INTEREST, struct.pack("!HHHHHxx", bits, data, copy, hold, port) + _addr(address))


def precedence(value, lower_first=True):
    return Segment(SEG_PRECEDENCE, struct.pack("!BxxxI", 1 if lower_first else 0, value))


def backup(value):
    return Segment(SEG_BACKUP, struct.pack("!I", value))


def identity(address, name):
    return Segment(SEG_IDENTITY, _addr(address) + bytes([len(name)]) + name.encode("ascii"), required=False)


def advertise(address=None, plen=0):
    return Segment(SEG_ADVERTISE, struct.pack("!Bx", plen) + _addr(address))


def tunnel(kind, remote, port=0, local=None, hop_limit=0):
    return Segment(SEG_TUNNEL, struct.pack("!BBH", kind, hop_limit, port) + _addr(remote) + _addr(local))


def reject(kind=REJECT_PROHIBITED):
    return Segment(SEG_REJECT, struct.pack("!Bxxx", kind))


def action_list(*types):
    return Segment(SEG_ACTION_LIST, bytes(types))


def sm_data(data):
    return Segment(SEG_SM_DATA, data, required=False)


def fa_data(data):
    return Segment(SEG_FA_DATA, data, required=False)


def nonce(data, group_sequence=0):
    return Segment(SEG_NONCE, data + struct.pack("!Q", group_sequence))


def error(code, text=""):
    return Segment(SEG_ERROR, struct.pack("!HB", code, len(text)) + text.encode("ascii"), required=False)


def listing(cursor=0, token=0, end=False):
    return Segment(SEG_LISTING, struct.pack("!BxxxII", end, cursor, token))


def packet(data):
    return Segment(SEG_IP_PACKET, data)


# ---- segment bodies, read ----


def _text(address):
    return None if address is None else str(address)


def read_fixed(message):
    """(key, ttl, flags, forward address or None) of a message's fixed affinity."""
    f = check_fixed(Reader(message.segment(SEG_FIXED)), {})
    return f["key"], f["ttl"], f["flags"], _text(f["forward"])


def read_wildcard(message):
    """The fields of a message's wildcard as a dictionary."""
    fields = check_wildcard(Reader(message.segment(SEG_WILDCARD)), {})
    names = ("src", "src_mask", "dst", "dst_mask", "forward")
    return {**{n: fields[n] for n in ("proto", "flags", "ttl", "sport", "dport")},
            **{n: _text(fields[n]) for n in names}}


def read_identifier(message):
    """(key, reasons) of a match."""
    fields = check_identifier(Reader(message.segment(SEG_IDENTIFIER)), {})
    return fields["key"], fields["reasons"]


def read_nat(message):
    """{"src", "sport", "dst", "dport"} of those fields that a message's NAT sets."""
    body = message.segment(SEG_NAT)
    flags, sport, dport = struct.unpack_from("!BxHHxx", body)
    fields = check_nat(Reader(body), {})
    values = {"src": _text(fields["src"]), "sport": sport, "dst": _text(fields["dst"]), "dport": dport}
    return {name: value for bit, (name, value) in enumerate(values.items()) if flags & 1 << bit}


def read_interest(message):
    """The (interest, data, copy, hold) masks of a message's first interest criteria."""
    return tuple(check_interest(Reader(message.segment(SEG_INTEREST)), {})["masks"])


def read_error(message):
    """(code, text) of a deny, or None."""
    body = message.segment(SEG_ERROR)
    if body is None:
        return None
    fields = check_error(Reader(body), {})
    return fields["code"], fields["text"]
