# SPDX-License-Identifier: BSD-2-Clause
"""IP packets for the reference model: made, read, edited, and their checksums, the slow and plain way.

Shares no code with fad/.  A packet is bytes; addresses are integers with the
family beside them.  Must not know of affinities.
"""
import dataclasses
import ipaddress
import struct

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
FRAGMENT_HEADER = 44
OPTION_HEADERS = (0, 43, 60)
MASKS = {4: (1 << 32) - 1, 6: (1 << 128) - 1}
SIZES = {4: 4, 6: 16}
# Types of ICMP errors about a flow.
ERRORS = {ICMP: (3, 11, 12), ICMP6: (1, 2, 3, 4)}
# Where the checksum is in the transport header.
SUMS = {TCP: 16, UDP: 6, ICMP: 2, ICMP6: 2}


def raw(family, address):
    return address.to_bytes(SIZES[family], "big")


def text(family, address):
    return str((ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address)(address))


def number(words):
    return int(ipaddress.ip_address(words))


@dataclasses.dataclass(frozen=True)
class Key:
    family: int
    proto: int
    src: int
    sport: int
    dst: int
    dport: int

    def reverse(self):
        return Key(self.family, self.proto, self.dst, self.dport, self.src, self.sport)


@dataclasses.dataclass
class Packet:
    """What is known of one packet, from its IP header on."""
    data: bytes
    key: Key
    l4: int  # where the transport header begins; None in a later fragment
    payload: int  # where the payload begins
    fragment: bool  # part of a fragmented datagram
    first: bool  # and its first one, or whole
    ident: int  # of the datagram, if fragmented
    flags: int  # TCP's
    end: int  # of the network part: where the transport header would be
    interface: int = 0  # where it first came in, if that is known
    hops: int = 64
    embedded: "Packet" = None  # of an ICMP error about a flow
    follows: bool = False  # it travels with that flow, and has its key

    def has_data(self):
        return (self.key.proto in (TCP, UDP) and not self.follows and self.l4 is not None and
                len(self.data) > self.payload)

    def bits(self, first_data):
        """Its interest bits (ACT-5)."""
        if self.key.proto not in (TCP, UDP) or self.follows:
            return 0x8000
        value = 0x8000
        if self.fragment:
            value |= 0x0100
        if self.l4 is None:
            return value
        if self.key.proto == TCP:
            value |= self.flags & 0x3f
        if self.has_data():
            value |= 0x0040 | (0x0080 if first_data else 0)
        return value


def _network(data):
    """(family, src, dst, proto, end of the network part, fragment, offset, ident)."""
    if data[0] >> 4 == 4:
        end = (data[0] & 15) * 4
        ident, where = struct.unpack_from("!HH", data, 4)
        src, dst = struct.unpack_from("!II", data, 12)
        return 4, src, dst, data[9], end, bool(where & 0x3fff), where & 0x1fff, ident
    proto, end, fragment, offset, ident = data[6], 40, False, 0, 0
    while proto in OPTION_HEADERS or proto == FRAGMENT_HEADER:
        if proto == FRAGMENT_HEADER:
            where, ident = struct.unpack_from("!HI", data, end + 2)
            offset, fragment = where >> 3, bool(where & 0xfff9)
            proto, end = data[end], end + 8
            if offset:
                break
        else:
            proto, end = data[end], end + 8 + data[end + 1] * 8
    return (6, int.from_bytes(data[8:24], "big"), int.from_bytes(data[24:40], "big"), proto, end, fragment, offset,
            ident)


def parse(data):
    """A well-formed packet."""
    packet = parse_start(data)
    at = ERRORS.get(packet.key.proto)
    if at and packet.l4 is not None and not packet.fragment and data[packet.l4] in at:
        inner = parse_start(data[packet.l4 + 8:])
        if inner and inner.l4 is not None and inner.key.src == packet.key.dst:
            packet.embedded = inner
    return packet


def parse_start(data):
    """A packet of which the end may be missing; None if even that makes no sense."""
    family, src, dst, proto, end, fragment, offset, ident = _network(data)
    hops = data[8] if family == 4 else data[7]
    if offset:
        return Packet(data, Key(family, proto, src, 0, dst, 0), None, end, True, False, ident, 0, end, hops=hops)
    sport = dport = flags = 0
    payload = end
    if proto == TCP:
        sport, dport = struct.unpack_from("!HH", data, end)
        if len(data) > end + 13:
            flags, payload = data[end + 13], end + (data[end + 12] >> 4) * 4
    elif proto == UDP:
        sport, dport = struct.unpack_from("!HH", data, end)
        payload = end + 8
    return Packet(data, Key(family, proto, src, sport, dst, dport), end, payload, fragment, True, ident, flags, end,
                  hops=hops)


# ---- checksums ----


def words(data):
    """The sum of 16-bit words, as a plain integer."""
    if len(data) % 2:
        data += b"\0"
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def finish(total):
    """The checksum of a sum: its ones' complement, never 0xffff."""
    total %= 0xffff
    return 0xffff - (total or 0xffff)


def mended(checksum, old, new):
    """The checksum after the summed words `old` became `new`."""
    return finish((0xffff ^ checksum) - words(old) + words(new))


def pseudo(family, src, dst, proto, length):
    return words(raw(family, src) + raw(family, dst)) + proto + length


def transport_sum(packet):
    """What the checksum of a whole packet must be."""
    body = bytearray(packet.data[packet.l4:])
    at = SUMS[packet.key.proto]
    body[at:at + 2] = b"\0\0"
    total = words(bytes(body))
    if packet.key.proto != ICMP:
        total += pseudo(packet.key.family, packet.key.src, packet.key.dst, packet.key.proto, len(body))
    value = finish(total)
    return 0xffff if packet.key.proto == UDP and value == 0 else value


def completed(packet):
    """A packet whose transport checksum was left to the hardware, with that checksum."""
    at = packet.l4 + SUMS[packet.key.proto]
    return packet.data[:at] + transport_sum(packet).to_bytes(2, "big") + packet.data[at + 2:]


def segment_size(offload):
    """Payload bytes a segment; 0: not a super-packet."""
    return 0 if offload == "-" else int(offload.split(",")[3])


def segments(packet, offload):
    """The packets that a super-packet stands for, whole (MSG-11)."""
    size = segment_size(offload)
    if not size:
        return [completed(packet) if offload != "-" else packet.data]
    parts = [packet.data[at:at + size] for at in range(packet.payload, len(packet.data), size)] or [b""]
    return [segment(packet, i, size, part, i == len(parts) - 1) for i, part in enumerate(parts)]


def segment(packet, index, size, part, last):
    data = bytearray(packet.data[:packet.payload] + part)
    if packet.key.family == 4:
        put(data, 2, len(data).to_bytes(2, "big"))
        put(data, 4, ((int.from_bytes(data[4:6], "big") + index) & 0xffff).to_bytes(2, "big"))
        put(data, 10, b"\0\0")
        put(data, 10, finish(words(bytes(data[:packet.end]))).to_bytes(2, "big"))
    else:
        put(data, 4, (len(data) - 40).to_bytes(2, "big"))
    if packet.key.proto == TCP:
        seq = (int.from_bytes(data[packet.l4 + 4:packet.l4 + 8], "big") + index * size) & 0xffffffff
        put(data, packet.l4 + 4, seq.to_bytes(4, "big"))
        data[packet.l4 + 13] &= 0xff if last else 0xff & ~0x09  # FIN and PSH are the last one's
    else:
        put(data, packet.l4 + 4, (8 + len(part)).to_bytes(2, "big"))
    return completed(parse_start(bytes(data)))


def sums_hold(data):
    """Are the checksums of a packet right, as far as one packet can tell?"""
    packet = parse(data)
    if packet.key.family == 4 and finish(words(data[:packet.end])) != 0:
        return False
    if packet.fragment or packet.l4 is None or packet.key.proto not in SUMS:
        return True
    at = packet.l4 + SUMS[packet.key.proto]
    value = int.from_bytes(data[at:at + 2], "big")
    return value == transport_sum(packet) or (packet.key.proto == UDP and value == 0)


# ---- editing ----


def put(data, at, value):
    data[at:at + len(value)] = value


def edited(packet, edits, partial=False):
    """The bytes after edits, a dictionary of src, sport, dst, dport, seq, ack and sacks (see sack_edges).

    partial: the transport checksum holds the pseudo-header's sum only.
    """
    data, family = bytearray(packet.data), packet.key.family
    old_addresses = raw(family, packet.key.src) + raw(family, packet.key.dst)
    new_addresses = raw(family, edits.get("src", packet.key.src)) + raw(family, edits.get("dst", packet.key.dst))
    put(data, 12 if family == 4 else 8, new_addresses)
    if family == 4:
        sum_at = int.from_bytes(data[10:12], "big")
        put(data, 10, mended(sum_at, old_addresses, new_addresses).to_bytes(2, "big"))
    if packet.l4 is None or packet.key.proto not in SUMS:
        return bytes(data)
    body = packet.l4 - packet.l4 % 2
    old_body = bytes(data[body:packet.payload + packet.payload % 2])
    edit_transport(packet, data, edits)
    new_body = bytes(data[body:packet.payload + packet.payload % 2])
    mend_transport(packet, data, old_addresses, new_addresses, old_body, new_body, partial)
    return bytes(data)


def edit_transport(packet, data, edits):
    if packet.key.proto in (TCP, UDP):
        for at, name in ((0, "sport"), (2, "dport")):
            if name in edits:
                put(data, packet.l4 + at, edits[name].to_bytes(2, "big"))
    for at, name in ((4, "seq"), (8, "ack")):
        if name in edits:
            put(data, packet.l4 + at, edits[name].to_bytes(4, "big"))
    for at, value in edits.get("sacks", {}).items():
        put(data, at, value.to_bytes(4, "big"))


def mend_transport(packet, data, old_addresses, new_addresses, old_body, new_body, partial):
    proto, at = packet.key.proto, packet.l4 + SUMS[packet.key.proto]
    value = int.from_bytes(data[at:at + 2], "big")
    if proto == ICMP or (proto == UDP and value == 0 and not partial):
        return
    if partial:
        total = (value - words(old_addresses) + words(new_addresses)) % 0xffff
        put(data, at, (total or 0xffff).to_bytes(2, "big"))
        return
    value = mended(value, old_addresses + old_body, new_addresses + new_body)
    if proto == UDP and value == 0:
        value = 0xffff
    put(data, at, value.to_bytes(2, "big"))


def edited_error(packet, edits, own_source):
    """An ICMP error after the edits of the flow it travels with; own_source: it comes from the flow's own source."""
    data, family, inner = bytearray(packet.data), packet.key.family, packet.embedded
    outer = parse_start(packet.data).key
    at = packet.l4 + 8
    old = bytes(data[at:])
    reverse = {"src": "dst", "sport": "dport", "dst": "src", "dport": "sport"}
    put(data, at, embedded_edited(inner, {reverse.get(name, name): value for name, value in edits.items()}))
    new_addresses = raw(family, edits.get("src", outer.src) if own_source else outer.src) + raw(
        family, edits.get("dst", outer.dst))
    old_addresses = raw(family, outer.src) + raw(family, outer.dst)
    put(data, 12 if family == 4 else 8, new_addresses)
    if family == 4:
        put(data, 10, mended(int.from_bytes(data[10:12], "big"), old_addresses, new_addresses).to_bytes(2, "big"))
        old_addresses = new_addresses = b""
    value = int.from_bytes(data[packet.l4 + 2:packet.l4 + 4], "big")
    put(data, packet.l4 + 2, mended(value, old_addresses + old, new_addresses + bytes(data[at:])).to_bytes(2, "big"))
    return bytes(data)


def embedded_edited(inner, edits):
    """What an error embeds, of which the end may be missing, edited; its checksum too where that is there."""
    size = len(inner.data)
    whole = Packet(inner.data + bytes(80), inner.key, inner.l4, min(inner.payload, size), inner.fragment, True, 0, inner.flags,
                   inner.end)
    if whole.payload == inner.end and inner.key.proto in (TCP, UDP):
        whole.payload = inner.end + 20 if inner.key.proto == TCP else 8
    return edited(whole, edits)[:size]


def wrapped(inner, kind, hop_limit, port, remote, local):
    """A packet in a tunnel; remote, local: (family, address).  What hashes decide is zero: see without_hashes."""
    family = inner[0] >> 4
    traffic = inner[1] if family == 4 else (inner[0] << 4 | inner[1] >> 4) & 0xff
    dont_fragment = inner[6] & 0x40 if family == 4 else len(inner) > 1280
    body = inner if kind == 1 else struct.pack("!HHHH", 0, port, 8 + len(inner), 0) + inner
    proto = UDP if kind == 2 else 4 if family == 4 else 41
    if remote[0] == 6:
        return struct.pack("!IHBB", 6 << 28 | traffic << 20, len(body), proto, hop_limit) + raw(6, local[1]) + raw(
            6, remote[1]) + body
    return struct.pack("!BBHHHBBHII", 0x45, traffic, 20 + len(body), 0, 0x4000 if dont_fragment else 0, hop_limit, proto, 0,
                       local[1], remote[1]) + body


def without_hashes(data):
    """A wrapped packet with those fields zero whose value is the agent's choice, and outer checksums, if they are right."""
    out = bytearray(data)
    if data[0] >> 4 == 4:
        if finish(words(data[:20])) == 0:
            put(out, 4, b"\0\0")
            put(out, 10, b"\0\0")
        proto, at = data[9], 20
    else:
        out[1], out[2], out[3] = out[1] & 0xf0, 0, 0
        proto, at = data[6], 40
    if proto == UDP and int.from_bytes(data[at:at + 2], "big") >= 49152:
        packet = parse_start(data)
        if at == 20 or int.from_bytes(data[at + 6:at + 8], "big") == transport_sum(packet):
            put(out, at, b"\0\0")
            if at == 40:
                put(out, at + 6, b"\0\0")
    return bytes(out)


def with_hops(data, hops):
    """The packet with another TTL or hop limit."""
    out = bytearray(data)
    if data[0] >> 4 == 6:
        out[7] = hops
        return bytes(out)
    out[8] = hops
    put(out, 10, mended(int.from_bytes(data[10:12], "big"), data[8:10], bytes(out[8:10])).to_bytes(2, "big"))
    return bytes(out)


def sack_edges(packet):
    """Offsets in the packet of the 32-bit edges of its SACK option."""
    at, end = packet.l4 + 20, min(packet.payload, len(packet.data))
    while at < end:
        kind = packet.data[at]
        if kind == 0:
            return
        if kind == 1:
            at += 1
            continue
        if at + 1 >= end or packet.data[at + 1] < 2 or at + packet.data[at + 1] > end:
            return
        if kind == 5:
            yield from range(at + 2, at + 2 + (packet.data[at + 1] - 2) // 4 * 4, 4)
        at += packet.data[at + 1]


# ---- answering (FIX-3) ----

QUERIES = {ICMP: {0, 8, *range(13, 19)}, ICMP6: set(range(128, 256)) - {137}}


def one_host(family, address):
    a = ipaddress.ip_address(raw(family, address))
    return not (a.is_multicast or a.is_unspecified or a.is_loopback or a.is_link_local or
                (family == 4 and (address >> 24 == 0 or address >> 28 == 15)))


def answerable(packet):
    """May it be answered at all?"""
    key = packet.key
    return (packet.l4 is not None and not packet.follows and one_host(key.family, key.src) and
            one_host(key.family, key.dst) and
            (key.proto not in QUERIES or packet.data[packet.l4] in QUERIES[key.proto]))


def reset(packet):
    """What whoever does not know the connection answers a segment with: RFC 9293, 3.10.7.1."""
    key, seq, ack, flags = packet.key, 0, 0, 0x04
    if packet.flags & 0x10:
        seq = int.from_bytes(packet.data[packet.l4 + 8:packet.l4 + 12], "big")
    else:
        ack = int.from_bytes(packet.data[packet.l4 + 4:packet.l4 + 8], "big") + len(packet.data) - packet.payload
        ack = (ack + bool(packet.flags & 0x02) + bool(packet.flags & 0x01)) & 0xffffffff
        flags = 0x14
    body = struct.pack("!HHIIBBHHH", key.dport, key.sport, seq, ack, 0x50, flags, 0, 0, 0)
    return completed(parse_start(ip(key.family, key.dst, key.src, TCP, body, where=0x4000)))


def unreachable(about, source, prohibited):
    """The error that says so, about a packet, from this address."""
    key = parse_start(about).key
    kind, code = (3, 13 if prohibited else 3) if key.family == 4 else (1, 1 if prohibited else 4)
    body = struct.pack("!BBHI", kind, code, 0, 0) + about[:548 if key.family == 4 else 1232]
    made = bytearray(ip(key.family, source, key.src, ICMP if key.family == 4 else ICMP6, body))
    if key.family == 4:
        made[1] = 0xc0
        made[10:12] = b"\0\0"
        made[10:12] = finish(words(bytes(made[:20]))).to_bytes(2, "big")
    return completed(parse_start(bytes(made)))


# ---- making ----


def ip(family, src, dst, proto, body, ident=0, where=0, options=b""):
    """A packet of either family.  where: IPv4's flags and fragment offset; options: of IPv4."""
    if family == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), proto, 64) + raw(6, src) + raw(6, dst) + body
    head = struct.pack("!BBHHHBBHII", 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), ident, where, 64,
                       proto, 0, src, dst) + options
    return head[:10] + finish(words(head)).to_bytes(2, "big") + head[12:] + body


def transport(key, body):
    """The same with its checksum right."""
    at, total = SUMS[key.proto], words(body)
    if key.proto != ICMP:
        total += pseudo(key.family, key.src, key.dst, key.proto, len(body))
    value = finish(total) or (0xffff if key.proto == UDP else 0)
    return body[:at] + value.to_bytes(2, "big") + body[at + 2:]


def tcp(key, flags, data=b"", seq=1, ack=0, options=b"", ip_options=b""):
    body = struct.pack("!HHIIBBHHH", key.sport, key.dport, seq, ack, (20 + len(options)) // 4 << 4, flags, 1000, 0,
                       0) + options + data
    return ip(key.family, key.src, key.dst, TCP, transport(key, body), options=ip_options)


def udp(key, data=b"", checksum=True):
    body = struct.pack("!HHHH", key.sport, key.dport, 8 + len(data), 0) + data
    return ip(key.family, key.src, key.dst, UDP, transport(key, body) if checksum else body)


def echo(key, data=b"", reply=False):
    kinds = {ICMP: (8, 0), ICMP6: (128, 129)}[key.proto]
    body = struct.pack("!BBHHH", kinds[reply], 0, 0, 7, 1) + data
    return ip(key.family, key.src, key.dst, key.proto, transport(key, body))


def error(about, source, kind, code=0, rest=b"\0\0\0\0", size=28):
    """An ICMP error from `source` to the sender of a packet, with that packet's first bytes."""
    key = parse(about).key
    proto = ICMP if key.family == 4 else ICMP6
    body = struct.pack("!BBH", kind, code, 0) + rest + about[:size]
    return ip(key.family, source, key.src, proto, transport(Key(key.family, proto, source, 0, key.src, 0), body))


def fragments(data, size, ident):
    """A packet cut into fragments of at most size payload bytes, a multiple of 8."""
    packet = parse(data)
    body = data[packet.end:]
    key = packet.key
    for at in range(0, len(body), size):
        more = at + size < len(body)
        part = body[at:at + size]
        if key.family == 4:
            yield ip(4, key.src, key.dst, key.proto, part, ident, at // 8 | (0x2000 if more else 0))
        else:
            head = struct.pack("!BBHI", key.proto, 0, at | more, ident)
            yield ip(6, key.src, key.dst, FRAGMENT_HEADER, head + part)
