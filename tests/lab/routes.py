# SPDX-License-Identifier: BSD-2-Clause
"""What a kernel's forwarding tables say, as it happens, and a manager with very many VIPs.

For tests and tests/bench-routes.  Must not know how routes get there.
"""
import ipaddress
import socket
import struct
import threading
import time

import peer

NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
_GROUPS = 0x40 | 0x400  # IPv4 and IPv6 routes
_DONE, _REQUEST, _DUMP, _CLONED = 3, 0x1, 0x300, 0x200
_DST, _GATEWAY, _MULTIPATH, _TABLE, _VIA = 1, 5, 9, 15, 18
_MAIN, _UNICAST = 254, 1
_RCVBUFFORCE = 33


def _attributes(data):
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind, data[4:length]
        data = data[length + 3 & ~3:]


def _gateways(attributes):
    """(gateway or "" for a hop without one) of each next hop."""
    found = dict(attributes)
    if _MULTIPATH not in found:
        hop = found.get(_GATEWAY) or found.get(_VIA, b"")[2:]
        return [str(ipaddress.ip_address(hop)) if hop else ""]
    hops, data = [], found[_MULTIPATH]
    while len(data) >= 8:
        length = struct.unpack_from("=H", data)[0]
        hops += _gateways(_attributes(data[8:length]))
        data = data[length + 3 & ~3:]
    return hops


def parse(kind, body):
    """(prefix, [gateways]) of a route message about the main table's unicast routes, else None."""
    family, plen, _, _, table, _, _, route_type, flags = struct.unpack_from("=BBBBBBBBI", body)
    attributes = list(_attributes(body[12:]))
    table = struct.unpack("=I", dict(attributes)[_TABLE])[0] if _TABLE in dict(attributes) else table
    if kind not in (NEWROUTE, DELROUTE) or table != _MAIN or route_type != _UNICAST or flags & _CLONED:
        return None
    size = 4 if family == socket.AF_INET else 16
    dst = ipaddress.ip_address(dict(attributes).get(_DST, bytes(size)))
    return f"{dst}/{plen}", _gateways(attributes)


class Fib:
    """The forwarding tables of a network namespace, kept up to date by the kernel's notifications.

    `log` has every change since the start: (monotonic time, kind, prefix, gateways).
    """

    def __init__(self, netns):
        self.table, self.log = {}, []
        self.watched, self.reached, self.changed = set(), 0, 0.0
        self.news = threading.Condition()
        with peer.namespace(netns):
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 64 << 20)
        self.socket.bind((0, _GROUPS))
        for family in (socket.AF_INET, socket.AF_INET6):
            header = struct.pack("=IHHII", 28, GETROUTE, _REQUEST | _DUMP, 1, 0)
            self.socket.send(header + struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0))
            while not self._take(self.socket.recv(1 << 20)):
                pass
        self.log.clear()
        self.ending = False
        self.socket.settimeout(0.2)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def close(self):
        self.ending = True
        self.thread.join()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self):
        while not self.ending:
            try:
                data = self.socket.recv(1 << 20)
            except TimeoutError:
                continue
            with self.news:
                self._take(data)
                self.news.notify_all()

    def _take(self, data):
        """Apply what one datagram says.  True: it ended a dump."""
        now = time.monotonic()
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind == _DONE:
                return True
            route = parse(kind, data[16:length]) if kind in (NEWROUTE, DELROUTE) else None
            if route:
                self._apply(now, kind, *route)
            data = data[length + 3 & ~3:]
        return False

    def _apply(self, now, kind, prefix, hops):
        before = self.table.get(prefix, ())
        if kind == NEWROUTE:
            after = tuple(hops)
        else:  # of IPv6 a hop may go alone
            after = tuple(h for h in before if h not in hops) if len(hops) < len(before) else ()
        if after:
            self.table[prefix] = after
        else:
            self.table.pop(prefix, None)
        self.log.append((now, kind, prefix, tuple(hops)))
        if prefix in self.watched and bool(before) != bool(after):
            self.reached += 1 if after else -1
            self.changed = now

    def watch(self, prefixes):
        """From now on `reached` counts how many of these have a route."""
        with self.news:
            self.watched = set(prefixes)
            self.reached = sum(p in self.table for p in self.watched)
            self.changed = 0.0

    def wait(self, count, timeout):
        """When (monotonic) the number of watched prefixes with a route became that; None: it did not in time."""
        with self.news:
            if self.news.wait_for(lambda: self.reached == count, timeout):
                return self.changed or time.monotonic()
        return None

    def hops(self, prefix):
        return sorted(self.table.get(prefix, ()))


def many_prefixes(count, first=0):
    """That many IPv4 host prefixes that nobody else in the lab has."""
    base = int(ipaddress.ip_address("198.18.0.0")) + first
    return [f"{ipaddress.ip_address(base + n)}/32" for n in range(count)]


class Crowd(peer.Manager):
    """A manager that has one agent advertise any prefixes, all at once.

    Wildcards are of one mask shape, four prefixes each.  ready() first: the agent has to believe us.
    """

    def __init__(self, lab, node, agent, ident):
        super().__init__(lab.netns(node), lab.address(node, "ctl"), ident, lab.key())
        self.agent = (lab.address(agent, "ctl"), peer.PORT)
        self.agent_ident = {"r1": 0x101, "r2": 0x102}[agent]

    def update(self, prefixes, ttl):
        """One wildcard that advertises up to four prefixes of one family."""
        networks = [ipaddress.ip_network(p) for p in prefixes]
        first = networks[0]
        segments = [peer.wildcard(str(first.network_address), str(first.netmask), proto=peer.TCP, dport=9, ttl=ttl),
                    peer.action_list(peer.SEG_ADVERTISE), peer.identity(self.address, "crowd")]
        segments += [peer.advertise(str(n.network_address), n.prefixlen) for n in networks]
        return self.bytes_of(peer.WILDCARD_UPDATE, segments, self.agent_ident)

    def ready(self):
        """Until the agent has challenged us and got its answer."""
        deadline = time.monotonic() + 5
        while self.challenges_answered == 0:
            assert time.monotonic() < deadline, "the agent does not talk to us"
            self.sockets[0].sendto(self.update(["198.51.100.200/32"], 0), self.agent)
            time.sleep(0.1)
            self.poll()

    def say(self, prefixes, ttl=120):
        """Advertise them, or with ttl 0 withdraw them.  When (monotonic) the first was said."""
        messages = [self.update(prefixes[n:n + 4], ttl) for n in range(0, len(prefixes), 4)]
        began = time.monotonic()
        for number, message in enumerate(messages):
            self.sockets[0].sendto(message, self.agent)
            if number % 200 == 199:
                self.poll()
                time.sleep(0.005)  # its socket's buffer has an end
        return began
