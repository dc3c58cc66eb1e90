#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Write the packet vectors of this directory: packets, edits, and the packets that come out.

What comes out is never computed from what goes in: scapy builds both from their fields,
checksums included, so the vectors know nothing of checksum deltas.  The format is in
tests/vectors/README.md.  Usage: generate.py [DIRECTORY]
"""
import itertools
import pathlib
import struct
import sys

from scapy.all import (ICMP, IP, TCP, UDP, ICMPv6EchoRequest, IPOption, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, PadN, Raw, checksum, in4_chksum, in6_chksum, raw)

HERE = pathlib.Path(__file__).resolve().parent
ADDRESSES = {
    4: {"src": "198.51.100.7", "dst": "203.0.113.10", "new_src": "192.0.2.1", "new_dst": "10.0.20.11"},
    6: {"src": "2001:db8:7::1", "dst": "2001:db8:113::10", "new_src": "2001:db8:99::1",
        "new_dst": "2001:db8:20::11"},
}
PORTS = {"sport": 40001, "dport": 80, "new_sport": 1024, "new_dport": 8080}
# Which fields an edit sets.
EDITS = [("src",), ("dst",), ("sport",), ("dport",), ("dst", "dport"), ("src", "sport"), ("src", "dst"),
         ("src", "sport", "dst", "dport")]
# Each field alone, and all together in every way.
ALL_EDITS = EDITS + [e for n in range(2, 5) for e in itertools.combinations(("src", "sport", "dst", "dport"), n)
                     if e not in EDITS]
SIZES = (0, 1, 2, 37, 100)


def payload(size, seed=0):
    """Bytes that are the same each time and sum to something."""
    return bytes((i * 73 + seed * 31 + 5) & 0xff for i in range(size))


def values(family, edit, new):
    """The fields of a packet before or after the edit."""
    fields = {name: ADDRESSES[family][name] for name in ("src", "dst")}
    fields.update({name: PORTS[name] for name in ("sport", "dport")})
    if new:
        for name in edit:
            fields[name] = ADDRESSES[family].get("new_" + name) or PORTS["new_" + name]
    return fields


def header(family, v, proto=None, **more):
    if family == 4:
        if proto is not None:
            more["proto"] = proto
        return IP(src=v["src"], dst=v["dst"], ttl=61, id=0x1234, tos=0x10, **more)
    if proto is not None:
        more["nh"] = proto
    return IPv6(src=v["src"], dst=v["dst"], hlim=61, tc=0x10, fl=0xabcde, **more)


def ports(v):
    return {"sport": v["sport"], "dport": v["dport"]}


def tcp(v, **more):
    return TCP(**ports(v), seq=0x89abcdef, ack=0x01234567, flags="PA", window=502, **more)


class File:
    """One file of vectors under construction."""

    def __init__(self, name, words):
        self.name = name
        self.lines = ["# Written by generate.py: do not edit.", *("# " + line for line in words)]

    def add(self, name, family, edit, before, after, partial=None, more=()):
        """partial: where the transport header starts, if its checksum is a partial sum; more: lines as they are."""
        v = values(family, edit, True)
        self.lines += ["", f"packet {name}", f"in {before.hex()}"]
        if edit:
            self.lines.append("edit " + " ".join(f"{field}={v[field]}" for field in edit))
        self.lines += more
        if partial is not None:
            self.lines.append(f"partial {partial}")
        self.lines.append(f"out {after.hex()}")

    def add_built(self, name, family, edit, build):
        """build(values) makes the packet."""
        self.add(name, family, edit, *(raw(build(values(family, edit, new))) for new in (False, True)))

    def write(self, directory):
        (directory / self.name).write_text("\n".join(self.lines) + "\n")


def edit_name(edit):
    return "+".join(edit)


def plain(family):
    """TCP and UDP, every edit, several sizes."""
    f = File(f"nat{family}.txt", [f"IPv{family}: TCP and UDP."])
    for edit in ALL_EDITS:
        for size in SIZES:
            body = Raw(payload(size, size))
            f.add_built(f"tcp{family}-{edit_name(edit)}-{size}", family, edit,
                        lambda v: header(family, v) / tcp(v) / body)
            f.add_built(f"udp{family}-{edit_name(edit)}-{size}", family, edit,
                        lambda v: header(family, v) / UDP(**ports(v)) / body)
    return f


def udp_zero(family):
    """UDP without a checksum, and UDP whose checksum comes out as zero."""
    f = File(f"udp-zero{family}.txt", [f"IPv{family} UDP: no checksum stays none; a computed zero is sent as ffff."])
    for edit in ALL_EDITS:
        f.add_built(f"none{family}-{edit_name(edit)}", family, edit,
                    lambda v: header(family, v) / UDP(**ports(v), chksum=0) / Raw(payload(20)))
        # A word of payload that makes the sum of the packet that comes out all ones.
        v = values(family, edit, True)
        alone = raw(header(family, v) / UDP(**ports(v)) / Raw(b"\0\0" + payload(20)))
        at = 20 if family == 4 else 40
        word = alone[at + 6:at + 8]
        f.add_built(f"computed{family}-{edit_name(edit)}", family, edit,
                    lambda v: header(family, v) / UDP(**ports(v)) / Raw(word + payload(20)))
    return f


def icmp():
    """Echo: no ports, whatever an edit says; the checksum of ICMPv6 covers the addresses, that of ICMP does not."""
    f = File("icmp.txt", ["ICMP and ICMPv6 echo, which has no ports to edit."])
    for edit in ALL_EDITS:
        for size in SIZES:
            f.add_built(f"icmp4-{edit_name(edit)}-{size}", 4, edit,
                        lambda v: header(4, v) / ICMP(type=8, id=77, seq=3) / Raw(payload(size)))
            f.add_built(f"icmp6-{edit_name(edit)}-{size}", 6, edit,
                        lambda v: header(6, v) / ICMPv6EchoRequest(id=77, seq=3, data=payload(size)))
    return f


def other():
    """Protocols whose checksums do not concern us."""
    f = File("other.txt", ["Protocols without ports: only addresses are edited, whatever the payload looks like."])
    for family in (4, 6):
        for proto in (47, 50, 4, 132, 89, 253):  # GRE, ESP, IP in IP, SCTP, OSPF, none
            for edit in ALL_EDITS:
                f.add_built(f"proto{proto}-{family}-{edit_name(edit)}", family, edit,
                            lambda v: header(family, v, proto) / Raw(payload(40, proto)))
                f.add_built(f"proto{proto}-{family}-{edit_name(edit)}-empty", family, edit,
                            lambda v: header(family, v, proto))
    return f


def echo6(v, chain):
    """An echo request behind extension headers; its checksum not by scapy, which would count those."""
    message = struct.pack("!BBHHH", 128, 0, 0, 77, 3) + payload(12)
    plain_header = header(6, v) / chain()
    over = IPv6(raw(header(6, v, 58) / Raw(message)))
    check = in6_chksum(58, over, message)
    last = plain_header.lastlayer()
    last.nh = 58
    return raw(plain_header / Raw(message[:2] + struct.pack("!H", check) + message[4:]))


def options():
    """IPv4 options, TCP options, IPv6 extension headers."""
    f = File("options.txt", ["Options and extension headers between the addresses and the ports."])
    ip_options = [IPOption(b"\x07\x0b\x04" + bytes(8)), IPOption(b"\x01")]
    # Router alert; a timestamp that a router wrote into; both, as long as a header may be.
    more_options = {
        "alert": [IPOption(b"\x94\x04\0\0")],
        "time": [IPOption(b"\x44\x0c\x09\x00\x01\x23\x45\x67" + bytes(4))],
        "full": [IPOption(b"\x94\x04\0\0"), IPOption(b"\x44\x24\x05\x00" + bytes(32))],
    }
    tcp_options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (123456, 0)), ("NOP", None), ("WScale", 7)]
    chains = {
        "hop": lambda: IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0\0")]),
        "dest": lambda: IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 10)]),
        "hop-dest": lambda: IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]),
        "atomic": lambda: IPv6ExtHdrFragment(offset=0, m=0, id=5),
    }
    for edit in ALL_EDITS:
        for name, chosen in more_options.items():
            f.add_built(f"udp4-{name}-{edit_name(edit)}", 4, edit,
                        lambda v: header(4, v, options=chosen) / UDP(**ports(v)) / Raw(payload(12)))
            f.add_built(f"icmp4-{name}-{edit_name(edit)}", 4, edit,
                        lambda v: header(4, v, options=chosen) / ICMP(type=8, id=77, seq=3) / Raw(payload(12)))
        f.add_built(f"ip4-options-{edit_name(edit)}", 4, edit,
                    lambda v: header(4, v, options=ip_options) / tcp(v) / Raw(payload(11)))
        f.add_built(f"tcp4-options-{edit_name(edit)}", 4, edit,
                    lambda v: header(4, v) / tcp(v, options=tcp_options) / Raw(payload(11)))
        for name, chain in chains.items():
            f.add_built(f"ip6-{name}-{edit_name(edit)}", 6, edit,
                        lambda v: header(6, v) / chain() / tcp(v, options=tcp_options) / Raw(payload(11)))
            f.add_built(f"udp6-{name}-{edit_name(edit)}", 6, edit,
                        lambda v: header(6, v) / chain() / UDP(**ports(v)) / Raw(payload(12)))
            f.add(f"icmp6-{name}-{edit_name(edit)}", 6, edit, *(echo6(values(6, edit, new), chain)
                                                                for new in (False, True)))
    return f


def fragment(family, whole, proto, start, end, **more_fields):
    """Bytes start to end of the transport part of a whole packet, as a fragment."""
    more, part = end < len(whole), Raw(whole[start:end])
    if family == 4:
        return lambda v: header(4, v, proto, flags="MF" if more else 0, frag=start // 8, **more_fields) / part
    return lambda v: header(6, v, 44) / IPv6ExtHdrFragment(nh=proto, offset=start // 8, m=int(more), id=99) / part


def fragments():
    """First fragments carry ports and the checksum of the whole; later ones only addresses."""
    f = File("fragments.txt", ["Fragments of datagrams: the checksum in the first one is that of the whole.",
                               "An edit of ports does not reach the later ones."])
    for family in (4, 6):
        for edit in EDITS:
            for proto, layer in ((6, tcp), (17, lambda v: UDP(**ports(v)))):
                both = [values(family, edit, new) for new in (False, True)]
                start = 20 if family == 4 else 40
                wholes = [raw(header(family, v) / layer(v) / Raw(payload(100)))[start:] for v in both]
                end = len(wholes[0])
                for first, last in ((0, 48), (48, 96), (96, end)):
                    f.add(f"proto{proto}-{family}-{edit_name(edit)}-at-{first}", family, edit,
                          *(raw(fragment(family, whole, proto, first, last)(v)) for whole, v in zip(wholes, both)))
    for edit in (("dst", "dport"), ("src", "sport")):
        add_odd_fragments(f, edit)
    return f


def add_odd_fragments(f, edit):
    """No checksum, or IPv4 options; behind IPv6 extension headers, of which later ones show only the number."""
    both = [values(4, edit, new) for new in (False, True)]
    none = [raw(UDP(**ports(v), chksum=0) / Raw(payload(100))) for v in both]
    options = [IPOption(b"\x07\x0b\x04" + bytes(8)), IPOption(b"\x01")]
    both6 = [values(6, edit, new) for new in (False, True)]
    extended = [raw(header(6, v) / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]) / UDP(**ports(v)) /
                    Raw(payload(100)))[40:] for v in both6]
    for first, last in ((0, 48), (48, len(none[0]))):
        f.add(f"no-checksum-{edit_name(edit)}-at-{first}", 4, edit,
              *(raw(fragment(4, whole, 17, first, last)(v)) for whole, v in zip(none, both)))
        f.add(f"options-{edit_name(edit)}-at-{first}", 4, edit,
              *(raw(fragment(4, whole, 17, first, last, options=options)(v)) for whole, v in zip(none, both)))
    for first, last in ((0, 48), (48, len(extended[0]))):
        f.add(f"extended-{edit_name(edit)}-at-{first}", 6, edit,
              *(raw(fragment(6, whole, 60, first, last)(v)) for whole, v in zip(extended, both6)))


def partial_packet(family, v, proto, layer, size):
    """A packet as a sender leaves it for hardware: only the pseudo-header is summed, and not complemented."""
    packet = bytearray(raw(header(family, v) / layer(v) / Raw(payload(size))))
    at, field = (20 if family == 4 else 40), (16 if proto == 6 else 6)
    length = len(packet) - at
    complete = (in4_chksum(proto, IP(raw(packet)), b"\0" * length) if family == 4 else
                in6_chksum(proto, IPv6(raw(packet)), b"\0" * length))
    packet[at + field:at + field + 2] = struct.pack("!H", complete ^ 0xffff)
    return bytes(packet)


def partial():
    f = File("partial.txt", ["Partial checksums: the field holds the sum of the pseudo-header.",
                             "The number after `partial` is where the transport header starts."])
    for family in (4, 6):
        for edit in ALL_EDITS:
            for proto, layer in ((6, tcp), (17, lambda v: UDP(**ports(v)))):
                for size in (0, 33, 100):
                    f.add(f"proto{proto}-{family}-{edit_name(edit)}-{size}", family, edit,
                          *(partial_packet(family, values(family, edit, new), proto, layer, size)
                            for new in (False, True)), partial=20 if family == 4 else 40)
    return f


# Sequence delta, initial sequence, ACK delta, initial ACK; and what they make of the numbers of tcp(), 0x89abcdef
# and 0x01234567, and of SACK edges.
ADJUSTS = {
    "add": [(1000, 0x89abcdef, 0xfffffc18, 0x01234567)],
    "not-yet": [(1000, 0x89abcdf0, 1000, 0x01234568)],
    "wrap": [(0xf0000000, 0x80000000, 0xff000000, 0xf0000000)],
    "zero": [(0, 0, 0, 0)],
    "half-before": [(5, 0x09abcdf0, 7, 0x81234568)],
    "half-after": [(5, 0x09abcdee, 7, 0x81234566)],
    "four": [(1, 0x89abcd00, 1, 0x01234000), (2, 0x89abcdef, 2, 0x01234567), (4, 0x89abcdf0, 4, 0x01234568),
             (0xfffffff0, 0x80000000, 0xfffffff0, 0x01000000)],
}
SACK = [(0x01234567 + n * 3000, 0x01234567 + n * 3000 + 1460) for n in range(1, 4)]
# What precedes the blocks: their edges at even and at odd offsets; the last two are malformed, and left alone.
TCP_OPTIONS = {
    "none": lambda sack: b"",
    "even": lambda sack: b"\x01\x01" + sack,
    "odd": lambda sack: b"\x01" + sack + b"\x01",
    "time": lambda sack: b"\x01\x01\x08\x0a" + b"12345678" + sack + b"\x01\x01",
    "end": lambda sack: b"\x00\x01" + sack,
    "short": lambda sack: b"\x01\x05\x01" + sack + b"\x01",
    "runs-over": lambda sack: b"\x01" * 2 + sack[:1] + b"\xfe" + sack[2:],
    "no-block": lambda sack: b"\x01\x01\x05\x09" + sack[2:],
}


def adjusted(adjusts, number, ack):
    """By the rule of docs/engine.md, in numbers without an end."""
    delta, initial = (2, 3) if ack else (0, 1)
    behind = [(number - a[initial]) % 2**32 for a in adjusts]
    return (number + sum(a[delta] for a, d in zip(adjusts, behind) if d < 2**31)) % 2**32


def sequence():
    """Sequence adjust: all numbers of a header, SACK blocks in any place."""
    f = File("sequence.txt", ["Sequence adjust: the lines `adjust` add up."])
    blocks = {"none": 0, "time": 2}
    for family in (4, 6):
        for name, adjusts in ADJUSTS.items():
            for options, layout in TCP_OPTIONS.items():
                def build(v, done, flags="PA", edge=lambda n: n):
                    seq, ack = (adjusted(adjusts, n, a) if done and (not a or "A" in flags) else n
                                for n, a in ((0x89abcdef, False), (0x01234567, True)))
                    edges = [edge(n) for block in SACK[:blocks.get(options, 3)] for n in block]
                    data = layout(struct.pack("!BB", 5, 2 + 4 * len(edges)) + struct.pack(f"!{len(edges)}I", *edges))
                    data += bytes(-len(data) % 4)
                    plain_header = raw(TCP(**ports(v), seq=seq, ack=ack, flags=flags, window=502,
                                           dataofs=5 + len(data) // 4))
                    segment = plain_header[:20] + data + payload(13)
                    # Not by scapy's layer, which would write options its own way.
                    whole = raw(header(family, v, 6) / Raw(segment))
                    over = (IP if family == 4 else IPv6)(whole)
                    check = (in4_chksum(6, over, segment) if family == 4 else in6_chksum(6, over, segment))
                    segment = segment[:16] + struct.pack("!H", check) + segment[18:]
                    return raw(header(family, v, 6) / Raw(segment))
                lines = [f"adjust {a} {b} {c} {d}" for a, b, c, d in adjusts]
                for edit in ((), ("src", "dport")):
                    moved = options in ("even", "odd", "time")
                    f.add(f"{name}-{options}-{family}{'-nat' if edit else ''}", family, edit,
                          build(values(family, edit, False), False),
                          build(values(family, edit, True), True,
                                edge=(lambda n: adjusted(adjusts, n, True)) if moved else (lambda n: n)), more=lines)
                f.add(f"{name}-{options}-{family}-without-ack", family, (), build(values(family, (), False), False, "P"),
                      build(values(family, (), True), True, "P"), more=lines)
    return f


def sequence_partial():
    """A partial checksum does not cover the header."""
    f = File("sequence-partial.txt", ["Sequence adjust of packets with a partial checksum."])
    adjusts = ADJUSTS["wrap"]
    for family in (4, 6):
        def layer(done):
            return lambda v: TCP(**ports(v), flags="PA", window=502,
                                 seq=adjusted(adjusts, 0x89abcdef, False) if done else 0x89abcdef,
                                 ack=adjusted(adjusts, 0x01234567, True) if done else 0x01234567)
        for edit in ((), ("dst", "dport")):
            before, after = (partial_packet(family, values(family, edit, done), 6, layer(done), 50)
                             for done in (False, True))
            f.add(f"partial-{family}-{edit_name(edit)}", family, edit, before, after, 20 if family == 4 else 40,
                  ["adjust {} {} {} {}".format(*adjusts[0])])
    return f


FLOW = 0x123456789abc


def outer(kind, family, inner, whole):
    """The packet inside a tunnel; whole: it must not be fragmented."""
    traffic_class = inner[1] if inner[0] >> 4 == 4 else int.from_bytes(inner[:2], "big") >> 4 & 0xff
    proto = 17 if kind == "udp" else 4 if inner[0] >> 4 == 4 else 41
    body = Raw(inner)
    if kind == "udp":
        body = UDP(sport=49152 + FLOW % 16384, dport=5555, **({"chksum": 0} if family == 4 else {})) / Raw(inner)
    if family == 4:
        return raw(IP(src="192.0.2.9", dst="10.1.0.11", ttl=9, id=77, tos=traffic_class, proto=proto,
                      flags="DF" if whole else 0) / body)
    return raw(IPv6(src="2001:db8:9::9", dst="2001:db8:21::11", hlim=9, tc=traffic_class, nh=proto,
                    fl=FLOW >> 16 & 0xfffff) / body)


def tunnels():
    """IP in IP and IP in UDP over and around both families: a hop less inside, everything else outside."""
    f = File("tunnels.txt", ["Packets that go into tunnels, after edits."])
    for family in (4, 6):
        for over in (4, 6):
            for kind in ("ip", "udp"):
                for what, more, size in (("plain", {}, 37), ("whole", {"flags": "DF"}, 38), ("ecn", {"tos": 0xb9}, 0),
                                         ("large", {}, 1400)):
                    for edit in ((), ("dport",)):
                        def build(v, hops):
                            fields = dict(more)
                            if family == 6:
                                fields = {"tc": more["tos"]} if "tos" in more else {}
                            layer = header(family, v)
                            for field, value in fields.items():
                                setattr(layer, field, value)
                            layer.setfieldval("ttl" if family == 4 else "hlim", hops)
                            return raw(layer / tcp(v) / Raw(payload(size)))
                        inner = build(values(family, edit, True), 60)
                        # Small IPv6 packets get through narrow ways, if need be in pieces.
                        whole = "flags" in more if family == 4 else len(inner) > 1280
                        ends = "192.0.2.9 10.1.0.11" if over == 4 else "2001:db8:9::9 2001:db8:21::11"
                        f.add(f"{kind}-{family}in{over}-{what}{'-nat' if edit else ''}", family, edit,
                              build(values(family, edit, False), 61), outer(kind, over, inner, whole),
                              more=[f"wrap {kind} {ends} {5555 if kind == 'udp' else 0} 9 77 {FLOW}"])
    return f


# Type and code, and what the header's second half says.
ERRORS = {
    4: {"host-unreachable": (3, 1, 0), "port-unreachable": (3, 3, 0), "too-big": (3, 4, 1300), "filtered": (3, 13, 0),
        "time-exceeded": (11, 0, 0), "reassembly": (11, 1, 0), "parameter": (12, 0, 0x14000000)},
    6: {"no-route": (1, 0, 0), "port-unreachable": (1, 4, 0), "too-big": (2, 0, 1300), "time-exceeded": (3, 0, 0),
        "reassembly": (3, 1, 0), "parameter": (4, 1, 40)},
}
ROUTER = {4: "192.0.2.77", 6: "2001:db8:77::1"}


def error(family, kind, source, v, embedded):
    """An ICMP error from `source` about a packet that came from the destination of the flow it travels with."""
    icmp_type, code, rest = ERRORS[family][kind]
    layer = header(family, {"src": source, "dst": v["dst"]}, 1 if family == 4 else 58)
    message = struct.pack("!BBHI", icmp_type, code, 0, rest) + embedded
    over = (IP if family == 4 else IPv6)(raw(layer / Raw(message)))
    check = checksum(message) if family == 4 else in6_chksum(58, over, message)
    return raw(layer / Raw(message[:2] + struct.pack("!H", check) + message[4:]))


def mirrored(v):
    """The fields of what came the other way."""
    return {"src": v["dst"], "dst": v["src"], "sport": v["dport"], "dport": v["sport"]}


def embedded_layers(family):
    """What an error may be about: name and a builder from fields."""
    echo = (lambda v: ICMP(type=8, id=77, seq=3) / Raw(payload(20))) if family == 4 else (
        lambda v: ICMPv6EchoRequest(id=77, seq=3, data=payload(20)))
    found = {
        "tcp": lambda v: header(family, v) / tcp(v) / Raw(payload(30)),
        "udp": lambda v: header(family, v) / UDP(**ports(v)) / Raw(payload(31)),
        "udp-zero": lambda v: header(family, v) / UDP(**ports(v), chksum=0) / Raw(payload(31)),
        "echo": lambda v: header(family, v) / echo(v),
        "gre": lambda v: header(family, v, 47) / Raw(payload(40)),
    }
    if family == 4:
        found["options"] = lambda v: header(4, v, options=[IPOption(b"\x07\x0b\x04" + bytes(8)), IPOption(b"\x01")]) / tcp(v)
    else:
        found["extensions"] = lambda v: (header(6, v) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(
            options=[PadN(optdata=b"\0" * 4)]) / tcp(v))
    return found


def errors(family):
    """ICMP errors: the outer addresses, what is embedded, and all checksums that are there."""
    f = File(f"errors{family}.txt", [f"IPv{family}: ICMP errors.  The edit is that of the flow which they travel with, the",
                                     "reverse of what is embedded, which is edited with source and destination exchanged."])
    layers, at = embedded_layers(family), 20 if family == 4 else 40

    def add(name, edit, kind, build, cut=None, own=False):
        both = [values(family, edit, new) for new in (False, True)]
        f.add(name, family, edit, *(error(family, kind, v["src"] if own else ROUTER[family], v,
                                          raw(build(mirrored(v)))[:cut]) for v in both))
    for edit in EDITS:
        for kind in ERRORS[family] if len(edit) % 2 == 0 else ():
            add(f"{kind}-{edit_name(edit)}", edit, kind, layers["tcp"])
        for what, build in layers.items():
            if what not in ("echo", "gre") or set(edit) <= {"src", "dst"}:
                add(f"about-{what}-{edit_name(edit)}", edit, "host-unreachable" if family == 4 else "no-route", build)
            add(f"own-{what}-{edit_name(edit)}", edit, "port-unreachable", layers["udp-zero"], own=True)
        for cut in (4, 5, 8, 16, 18, 19):  # half a checksum cannot be mended
            add(f"tcp-cut-{cut}-{edit_name(edit)}", edit, "too-big", layers["tcp"], at + cut)
        for cut in (4, 6, 8, 9):
            add(f"udp-cut-{cut}-{edit_name(edit)}", edit, "time-exceeded", layers["udp"], at + cut)
    add("echo-cut", ("src", "dst"), "too-big", layers["echo"], at + 2)
    add("gre-cut", ("src", "dst"), "too-big", layers["gre"], at)
    return f


def errors_sequence():
    """What is embedded acknowledges, and is acknowledged, the other way round."""
    f = File("errors-sequence.txt", ["ICMP errors about a flow with adjusted sequence numbers."])
    for family in (4, 6):
        at = 20 if family == 4 else 40
        for name, adjusts in ADJUSTS.items():
            for cut in (8, 13, 18, None):
                def build(v, done):
                    seq, ack = (adjusted(adjusts, n, a) if done else n
                                for n, a in ((0x89abcdef, True), (0x01234567, False)))
                    if cut in (8, 13):
                        ack = 0x01234567  # without the flags nobody knows whether it is one
                    m = mirrored(v)
                    segment = TCP(**ports(m), seq=seq, ack=ack, flags="PA", window=502) / Raw(payload(30))
                    return error(family, "too-big", ROUTER[family], v, raw(header(family, m) / segment)[:cut and at + cut])
                for edit in ((), ("dst", "dport")):
                    f.add(f"{name}-{family}-{cut}{'-nat' if edit else ''}", family, edit,
                          build(values(family, edit, False), False), build(values(family, edit, True), True),
                          more=["adjust {} {} {} {}".format(*a) for a in adjusts])
    return f


def main():
    directory = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for f in (plain(4), plain(6), udp_zero(4), udp_zero(6), icmp(), other(), options(), fragments(), partial(),
              sequence(), sequence_partial(), tunnels(), errors(4), errors(6), errors_sequence()):
        f.write(directory)


if __name__ == "__main__":
    main()
