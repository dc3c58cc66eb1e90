#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Write the packet vectors of this directory: packets, edits, and the packets that come out.

What comes out is never computed from what goes in: scapy builds both from their fields,
checksums included, so the vectors know nothing of checksum deltas.  The format is in
tests/vectors/README.md.  Usage: generate.py [DIRECTORY]
"""
import pathlib
import struct
import sys

from scapy.all import (ICMP, IP, TCP, UDP, ICMPv6EchoRequest, IPOption, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, PadN, Raw, in4_chksum, in6_chksum, raw)

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

    def add(self, name, family, edit, before, after, partial=None):
        """partial: where the transport header starts, if its checksum is a partial sum."""
        v = values(family, edit, True)
        self.lines += ["", f"packet {name}", f"in {before.hex()}",
                       "edit " + " ".join(f"{field}={v[field]}" for field in edit)]
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
    for edit in EDITS:
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
    for edit in EDITS:
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
    """Echo: no ports; the checksum of ICMPv6 covers the addresses, that of ICMP does not."""
    f = File("icmp.txt", ["ICMP and ICMPv6 echo."])
    for edit in (("src",), ("dst",), ("src", "dst")):
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
        for proto in (47, 50, 4, 132):
            f.add_built(f"proto{proto}-{family}", family, ("src", "dst"),
                        lambda v: header(family, v, proto) / Raw(payload(40, proto)))
    return f


def options():
    """IPv4 options, TCP options, IPv6 extension headers."""
    f = File("options.txt", ["Options and extension headers between the addresses and the ports."])
    ip_options = [IPOption(b"\x07\x0b\x04" + bytes(8)), IPOption(b"\x01")]
    tcp_options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (123456, 0)), ("NOP", None), ("WScale", 7)]
    chains = {
        "hop": lambda: IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0\0")]),
        "dest": lambda: IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 10)]),
        "hop-dest": lambda: IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]),
        "atomic": lambda: IPv6ExtHdrFragment(offset=0, m=0, id=5),
    }
    for edit in EDITS:
        f.add_built(f"ip4-options-{edit_name(edit)}", 4, edit,
                    lambda v: header(4, v, options=ip_options) / tcp(v) / Raw(payload(11)))
        f.add_built(f"tcp4-options-{edit_name(edit)}", 4, edit,
                    lambda v: header(4, v) / tcp(v, options=tcp_options) / Raw(payload(11)))
        for name, chain in chains.items():
            f.add_built(f"ip6-{name}-{edit_name(edit)}", 6, edit,
                        lambda v: header(6, v) / chain() / tcp(v, options=tcp_options) / Raw(payload(11)))
            f.add_built(f"udp6-{name}-{edit_name(edit)}", 6, edit,
                        lambda v: header(6, v) / chain() / UDP(**ports(v)) / Raw(payload(12)))
    return f


def fragment(family, whole, proto, start, end):
    """Bytes start to end of the transport part of a whole packet, as a fragment."""
    more, part = end < len(whole), Raw(whole[start:end])
    if family == 4:
        return lambda v: header(4, v, proto, flags="MF" if more else 0, frag=start // 8) / part
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
    return f


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
        for edit in EDITS:
            for proto, layer in ((6, tcp), (17, lambda v: UDP(**ports(v)))):
                for size in (0, 33, 100):
                    f.add(f"proto{proto}-{family}-{edit_name(edit)}-{size}", family, edit,
                          *(partial_packet(family, values(family, edit, new), proto, layer, size)
                            for new in (False, True)), partial=20 if family == 4 else 40)
    return f


def main():
    directory = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for f in (plain(4), plain(6), udp_zero(4), udp_zero(6), icmp(), other(), options(), fragments(), partial()):
        f.write(directory)


if __name__ == "__main__":
    main()
