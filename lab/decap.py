#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The far end of Turnout's tunnels on a host whose kernel has no devices for them, see docs/dispatch.md.

Takes IP in IP (protocols 4 and 41) and, with --port, IP in UDP, over IPv4 and IPv6, and hands what is inside to the
kernel by a TUN device, if it is addressed to one of the --to addresses, which the host has on its loopback. Reassembly
of the outer packets is the kernel's work, as for any raw or UDP socket. On SIGTERM, SIGINT or when it is killed the
device goes with it.

Needs CAP_NET_ADMIN and CAP_NET_RAW. Counts what it drops, and prints that at its end.
"""

import argparse
import collections
import fcntl
import ipaddress
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
IP_RECVTOS, IPV6_RECVTCLASS = 13, 66
PROTOCOLS = {4: 4, 6: 41}  # of the inner packet's version
LARGEST = 65535
CE, NOT_ECT = 3, 0


def ready():
    """Tell whoever started us that we serve (sd_notify)."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"READY=1\n", path)


def open_device(name):
    """A TUN device that is up, has no address, and takes packets whatever the way back to their sender is."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    with open(f"/proc/sys/net/ipv4/conf/{name}/rp_filter", "w", encoding="ascii") as f:
        f.write("0")
    subprocess.run(["ip", "link", "set", name, "addrgenmode", "none", "mtu", str(LARGEST), "up"], check=True)
    return tun


def open_sockets(port):
    """[(socket, does it show the outer header, protocol or None)], all that tunnels come in by."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        kinds = [(socket.SOCK_RAW, protocol) for protocol in PROTOCOLS.values()] + [(socket.SOCK_DGRAM, 0)] * bool(port)
        for kind, protocol in kinds:
            s = socket.socket(family, kind, protocol)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
            else:
                s.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            if kind == socket.SOCK_DGRAM:
                if family == socket.AF_INET6:
                    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                s.bind(("", port))
            s.setblocking(False)
            found.append((s, family == socket.AF_INET and kind == socket.SOCK_RAW, protocol or None))
    return found


def ecn_of(ancillary):
    """The ECN bits of the outer packet."""
    for _, _, data in ancillary:
        if data:
            return data[0] & 3
    return NOT_ECT


def mark(inner, ecn):
    """The inner packet with what routers on the way said of congestion (RFC 6040); None: it must be dropped."""
    if ecn != CE:
        return inner
    version = inner[0] >> 4
    before = inner[1] & 3 if version == 4 else inner[1] >> 4 & 3
    if before == NOT_ECT:
        return None
    inner = bytearray(inner)
    if version == 6:
        inner[1] |= CE << 4
        return bytes(inner)
    inner[1] |= CE
    # The header's checksum grows by less than the change, in ones' complement.
    total = struct.unpack_from("!H", inner, 10)[0] - (CE - before)
    struct.pack_into("!H", inner, 10, total if total > 0 else total + 0xffff)
    return bytes(inner)


class End:
    """Packets from sockets to the device."""

    def __init__(self, tun, to, senders):
        self.tun, self.to, self.senders = tun, to, senders
        self.counts = collections.Counter()

    def verdict(self, inner, sender, protocol):
        """None: it is for us; else the name of a reason."""
        version = inner[0] >> 4 if inner else 0
        if version not in PROTOCOLS or (protocol and PROTOCOLS[version] != protocol) or \
                len(inner) < (20 if version == 4 else 40):
            return "malformed"
        if self.senders and not any(sender in network for network in self.senders):
            return "sender"
        destination = inner[16:20] if version == 4 else inner[24:40]
        return None if destination in self.to else "destination"

    def take(self, s, has_header, protocol):
        """One packet; False: there was none."""
        try:
            data, ancillary, _, address = s.recvmsg(LARGEST, 64)
        except BlockingIOError:
            return False
        inner = data[(data[0] & 15) * 4:] if has_header else data
        reason = self.verdict(inner, ipaddress.ip_address(address[0].partition("%")[0]), protocol)
        inner = None if reason else mark(inner, ecn_of(ancillary))
        if inner is None:
            self.counts[reason or "congestion"] += 1
            return True
        try:
            os.write(self.tun, inner)
            self.counts["delivered"] += 1
        except OSError:  # what the kernel takes for no IP packet, or has no room for
            self.counts["refused"] += 1
        return True


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", action="append", required=True, type=ipaddress.ip_address, metavar="ADDRESS",
                        help="deliver what is addressed to this; may be given again")
    parser.add_argument("--from", action="append", default=[], type=ipaddress.ip_network, dest="senders",
                        metavar="PREFIX", help="take it from these routers only; may be given again")
    parser.add_argument("--port", type=int, default=0, help="take IP in UDP at this port, too")
    parser.add_argument("--device", default="decap0", help="name of the TUN device (default %(default)s)")
    return parser.parse_args()


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    end = End(open_device(options.device), {a.packed for a in options.to}, options.senders)
    selector = selectors.DefaultSelector()
    for entry in open_sockets(options.port):
        selector.register(entry[0], selectors.EVENT_READ, entry)
    ready()
    try:
        while True:
            for key, _ in selector.select():
                for _ in range(256):
                    if not end.take(*key.data):
                        break
    except (SystemExit, KeyboardInterrupt):
        print(" ".join(f"{name}={count}" for name, count in sorted(end.counts.items())), flush=True)


if __name__ == "__main__":
    main()
