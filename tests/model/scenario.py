# SPDX-License-Identifier: BSD-2-Clause
"""Random scenarios in a small universe, so that affinities overlap, tie and chase each other.

A scenario is made while a model plays it: answers answer what the model says
the agent sent, and nothing is asked that the documents leave open.  The same
seed makes the same scenario.

Must not know what is right.
"""
import ipaddress
import random

import packets
from compare import COOKIE_BYTES, Player, Step
from model import DENY, IDENTIFIER, IP_PACKET, REFRESH, Limits, Unclear, read_key
from packets import ICMP, ICMP6, TCP, UDP, Key
import protocol as wire

CLIENTS = {4: ("198.51.100.4", "198.51.100.5", "198.51.100.7"), 6: ("2001:db8:c::4", "2001:db8:c::5")}
SERVICES = {4: ("203.0.113.10", "203.0.113.11"), 6: ("2001:db8:113::10",)}
SERVERS = {4: ("10.0.20.11", "10.0.20.12"), 6: ("2001:db8:20::11", "2001:db8:20::12")}
CLIENT_PORTS, SERVICE_PORTS = (1024, 40001), (80, 443)
MASKS = {4: ("255.255.255.255", "0.0.0.0", "255.255.255.0", "0.0.0.1", "255.255.255.254", "255.0.0.3"),
         6: ("ffff:" * 7 + "ffff", "::", "ffff:ffff:ffff::", "::1", "ffff::3")}
TTLS = (4, 5, 10, 30, 60, 60, 120)
MANAGERS = (1, 2, 3)
NAMES = ("", "sm", "other")
# How often each kind of step is taken, by profile; answers are taken when there is something to answer.
# Kinds of scenarios: what each looks at most, and which requirements a difference in it would be about.
GROUPS = {
    "FIX": {"serves": "FIX_1 FIX_2 FIX_3 FIX_4 FIX_5 FIX_6 FIX_7 FIX_8 FIX_9 KEY_1 KEY_2 KEY_3",
            "weights": {"fixed": 15, "answer": 30}, "dispatch": 0.4},
    "FRAGMENT": {"serves": "ACT_10", "fragments": 0.5, "interest": 0.5},
    "ERROR": {"serves": "KEY_4", "errors": 0.5, "nat": 0.9, "interest": 0.4, "dispatch": 0.15},
    "TUNNEL": {"serves": "SVC_10", "dispatch": 0.8, "tunnel": 0.8, "interest": 0.3},
    "REJECT": {"serves": "FIX_3 SVC_5", "dispatch": 0.7, "drop": 0.7, "reject": 0.8, "interest": 0.3, "errors": 0.1,
               "fragments": 0.1, "super": 0.1},
    "WILD": {"serves": "WILD_1 WILD_2 WILD_3 WILD_4 WILD_5 WILD_6", "weights": {"wildcard": 16, "delete": 8},
             "ranges": 0.4, "interest": 0.4},
    "ACT": {"serves": "ACT_1 ACT_2 ACT_3", "nat": 0.8, "adjust": 0.5, "interest": 0.4},
    "INTEREST": {"serves": "ACT_4 ACT_5 ACT_6 ACT_7 ACT_8", "interest": 0.95, "first": 0.3, "nat": 0.2},
    "PREC": {"serves": "PREC_1 PREC_2 PREC_3 PREC_4 PREC_5 PREC_6 PREC_7 PREC_8 PREC_9 PREC_10", "keys": 1, "ranks": 12,
             "weights": {"wildcard": 10, "fixed": 10, "answer": 30}},
    "FA": {"serves": "FA_1 FA_2 FA_3 FA_9 FA_11", "keys": 1, "tight": True, "weights": {"time": 20}},
    "SILENT": {"serves": "FA_5 PREC_4", "interest": 0.95, "silence": 0.6, "keys": 2, "dispatch": 0.1,
               "weights": {"answer": 4, "time": 25, "fixed": 2}, "super": 0.1},
    "SUPER": {"serves": "MSG_11", "super": 0.6, "adjust": 0.4, "dispatch": 0.4, "tunnel": 0.3},
    "MSG": {"serves": "MSG_3 MSG_8 MSG_9 MSG_10 MSG_13", "weights": {"answer": 40, "odd": 6}, "packet_only": 0.4, "unknown": 0.1},
}
WEIGHTS = {"packet": 50, "answer": 22, "fixed": 5, "wildcard": 6, "delete": 3, "time": 12, "odd": 2}


class Maker:
    """One scenario."""

    def __init__(self, seed, profile):
        self.chance = random.Random(seed)
        self.profile = profile
        self.family = 6 if self.chance.random() < 0.2 else 4
        self.limits = self.make_limits()
        self.player = Player(self.limits)
        self.number, self.sequence = 0, 0
        self.asked = []  # (step number, which, event) not answered yet
        self.keys = [self.make_key() for _ in range(profile.get("keys", self.chance.randint(2, 4)))]
        self.keys += [k.reverse() for k in self.keys[:1]]

    # ---- parts ----

    def pick(self, some):
        return self.chance.choice(some)

    def often(self, share):
        return self.chance.random() < share

    def make_limits(self):
        limits = Limits()
        if self.often(0.1):
            limits.fixed = self.chance.randint(1, 3)
        if self.often(0.1):
            limits.wildcards = self.chance.randint(2, 4)
        if self.often(0.5 if self.profile.get("tight") else 0.1):
            limits.packets = self.chance.randint(1, 3)
        if self.often(0.3 if self.profile.get("tight") else 0.05):
            limits.flows = self.chance.randint(1, 2)
        limits.uncovered = self.often(0.15)
        limits.protected = self.often(0.2)
        limits.authenticated = self.often(0.8)
        return limits

    def make_key(self):
        src, dst = self.pick(CLIENTS[self.family]), self.pick(SERVICES[self.family] + SERVERS[self.family][:1])
        proto = self.pick((TCP, TCP, TCP, UDP, UDP, ICMP if self.family == 4 else ICMP6))
        ports = proto in (TCP, UDP)
        return Key(self.family, proto, packets.number(src), self.pick(CLIENT_PORTS) if ports else 0,
                   packets.number(dst), self.pick(SERVICE_PORTS) if ports else 0)

    def make_packet(self, key):
        data = bytes(self.pick((0, 0, 1, 5, 24)))
        if key.proto == TCP:
            flags = self.pick((2, 0x12, 0x10, 0x10, 0x18, 0x11, 0x14, 4, 0x30))
            options = self.pick((b"", b"", b"\1\1\5\12" + bytes(range(100, 108)), b"\1\5\22" + bytes(range(60, 76)) + b"\0"))
            if self.family == 4 and self.often(0.1):
                return packets.tcp(key, flags, data, self.number_32(), self.number_32(), options, b"\1\1\1\0")
            return packets.tcp(key, flags, data, self.number_32(), self.number_32(), options)
        if key.proto == UDP:
            return packets.udp(key, data, checksum=self.family == 6 or self.often(0.8))
        return packets.echo(key, data)

    def number_32(self):
        return self.pick((0, 1, 1000, 0xffffffff, 0x7fffffff, 0x80000000, self.chance.getrandbits(32)))

    def address(self, value):
        return packets.text(self.family, value)

    def interest(self):
        masks = [0, 0, 0, 0]
        some = (0x8000, 0x0001, 0x0002, 0x0004, 0x0008, 0x0010, 0x0020, 0x0040, 0x0080, 0x0100)
        for i in range(4):
            if self.often((0.8, 0.6, 0.25, 0.7)[i]):
                masks[i] = 0x8000 if self.often(0.45) else self.pick(some) | self.pick(some)
                masks[i] |= 0x0080 if self.often(self.profile.get("first", 0)) else 0
        if self.often(0.15):
            return wire.interest(*masks, address="10.9.1.1", port=9000)
        return wire.interest(*masks)

    def nat(self, proto):
        fields = {}
        for name, value in (("src", self.pick(SERVERS[self.family])), ("dst", self.pick(SERVERS[self.family])),
                            ("sport", self.pick((5000, 5001))), ("dport", self.pick((8080, 8081)))):
            if self.often(0.4) and (name in ("src", "dst") or proto in (TCP, UDP)):
                fields[name] = value
        return wire.nat(**(fields or {"dst": SERVERS[self.family][0]}))

    def actions(self, proto, wildcard):
        segments = []
        profile = self.profile
        for _ in range(self.pick((0, 1, 1, 2)) if self.often(profile.get("nat", 0.5)) else 0):
            segments.append(self.nat(proto))
        if self.often(profile.get("interest", 0.7) if wildcard else 0.35):
            segments += [self.interest() for _ in range(self.pick((1, 1, 1, 2)))]
        if proto == TCP and self.often(profile.get("adjust", 0.15)):
            segments.append(self.adjust())
        return segments

    def adjust(self):
        segment = wire.seq_adjust(*(self.number_32() for _ in range(4)))
        segment.required = self.often(0.5)
        return segment

    def places(self):
        """Precedence and backup segments."""
        segments = []
        value = self.pick((1, 2, 2, 3)) if self.often(0.5) else self.chance.randint(1, self.profile.get("ranks", 3))
        if self.often(0.8):
            segments.append(wire.precedence(value) if self.often(0.7) else
                            wire.precedence(0xffffffff - value, lower_first=False))
        if self.often(0.3):
            segments.append(wire.backup(self.pick((0, 1, 2))))
        return segments

    def words(self, manager):
        segments = []
        if self.often(0.5):
            segments.append(wire.identity(f"10.9.0.{manager}", NAMES[manager % 3]))
        if self.often(0.5):
            segments.append(wire.sm_data(self.pick((b"", b"x", b"service"))))
        return segments

    def flags(self):
        flags = wire.DISPATCH if self.often(self.profile.get("dispatch", 0.3)) else 0
        return flags | (wire.INFORMATION if self.often(0.3) else 0)

    def forward(self):
        if self.often(self.profile.get("drop", 0)):
            return None
        return self.pick((None, *SERVERS[self.family], *SERVERS[self.family]))

    # ---- steps ----

    def do(self, *what):
        step = Step(self.number, what)
        self.number += 1
        self.player.do(step)
        which = 0
        for event in self.player.model.events:
            if event[0] == "s" and event[4] != DENY:
                self.asked.append(((step.number, which), event))
                which += 1

    def say(self, manager, kind, segments, cookie=None):
        self.sequence += 1
        port = 7510 if self.often(0.95) else 7600
        if self.often(self.profile.get("unknown", 0.01)):
            # In front of what must be last.
            segments = [wire.Segment(self.pick((134, 200, 201)), b"zz", self.often(0.6))] + segments
        message = wire.Message(kind, manager, self.pick((5, 5, 5, 6)), wire_destination(kind), self.sequence, segments)
        self.do("message", f"10.9.0.{manager}", port, wire.encode(message), cookie)

    def step_packet(self):
        key = self.pick(self.keys) if self.often(0.95) else self.make_key()
        if self.often(self.profile.get("fragments", 0.02)):
            self.fragments(key)
            return
        if self.often(self.profile.get("errors", 0.02)):
            self.error(key)
            return
        data, offload = self.make_packet(key), "-"
        if key.proto in (TCP, UDP) and self.often(self.profile.get("super", 0.03)):
            data, offload = self.super_packet(key)
        elif key.proto in (TCP, UDP) and self.often(0.1):
            data, offload = partial(data)
        elif self.often(0.03):
            data = packets.with_hops(data, self.pick((0, 1, 2)))
        self.do("packet", 7, offload, data)

    def super_packet(self, key):
        data = bytes(self.chance.randrange(256) for _ in range(self.pick((30, 60, 100))))
        if key.proto == TCP:
            data, offload = partial(packets.tcp(key, self.pick((0x10, 0x18, 0x19)), data, self.number_32(), self.number_32()))
            kind = 1 if self.family == 4 else 2
        else:
            (data, offload), kind = partial(packets.udp(key, data)), 3
        return data, offload.removesuffix("0,0") + f"{self.pick((16, 30, 40))},{kind}"

    def fragments(self, key):
        """Those of one datagram, perhaps of one that was sent before, in any order, perhaps not all of them."""
        if key.proto not in (TCP, UDP):
            return
        data = packets.tcp(key, 0x18, bytes(range(60))) if key.proto == TCP else packets.udp(key, bytes(range(60)))
        parts = list(packets.fragments(data, 32, self.pick((1, 2, 3))))
        if self.often(0.6):
            self.chance.shuffle(parts)
        for part in parts:
            if self.often(0.15):
                self.step_time()
            if self.often(0.85):
                self.do("packet", 7, "-", part)

    def error(self, key):
        """About a packet that went the other way."""
        about = self.make_packet(key.reverse())
        kind, code, rest = self.pick(((3, 4, b"\0\0\5\0"), (11, 0, bytes(4)), (3, 3, bytes(4))) if self.family == 4 else
                                     ((2, 0, b"\0\0\5\0"), (3, 0, bytes(4)), (1, 4, bytes(4))))
        source = key.src if self.often(0.4) else packets.number("192.0.2.1" if self.family == 4 else "2001:db8:fe::1")
        at = packets.parse(about).end
        self.do("packet", 7, "-", packets.error(about, source, kind, code, rest, at + self.pick((8, 8, 20, 28, 1000))))

    def step_wildcard(self):
        key = self.pick(self.keys)
        proto = key.proto if self.often(0.7) else 0
        ports = proto in (TCP, UDP)
        masks = MASKS[self.family]
        dst_mask = self.pick(masks) if self.often(0.4) else masks[0]
        src_mask = self.pick(masks) if self.often(0.4) else masks[1]
        flags = self.flags() | (wire.PROTECTED if self.often(0.04) else 0) | (wire.DROP_GONE if self.often(0.05) else 0)
        flags |= wire.ROUTE_SILENT if self.often(self.profile.get("silence", 0.1)) else 0
        dport = key.dport if ports and self.often(0.6) else 0
        sport = key.sport if ports and self.often(0.1) else 0
        ttl = self.pick(TTLS)
        segments = [wire.wildcard(self.address(key.dst), dst_mask, self.address(key.src), src_mask, proto, sport, dport,
                                  ttl, flags, self.forward() if flags & 1 else None)]
        if self.often(self.profile.get("ranges", 0.1)):
            segments += self.ranges(key, proto, sport, dport, src_mask, dst_mask)
        if self.often(0.08):
            segments.append(wire.action_list(*self.chance.sample((10, 11, 13, 128, 12, 129, 133, 4, 99), self.pick((1, 2)))))
        manager = self.pick(MANAGERS)
        segments += self.places() + self.actions(proto, True) + self.tunnel(segments[0]) + self.adverts(dst_mask)
        segments += self.words(manager)
        self.say(manager, wire.WILDCARD_UPDATE, segments)

    def tunnel(self, affinity):
        """Of one that dispatches, sometimes; never tunnel and drop.  Of one that drops, sometimes, reject."""
        size = 12 + (4 if self.family == 4 else 16) * (4 if affinity.type == wire.SEG_WILDCARD else 2)
        if affinity.body[2] & wire.DISPATCH and not affinity.body[size]:
            segment = wire.reject(self.pick((1, 2)))
            segment.required = self.often(0.8)
            return [segment] if self.often(self.profile.get("reject", 0.2)) else []
        if not (affinity.body[2] & wire.DISPATCH and affinity.body[size]) or not self.often(self.profile.get("tunnel", 0.1)):
            return []
        outer = self.pick((4, 6))
        kind = self.pick((1, 2))
        local = self.pick((None, {4: "10.9.0.7", 6: "2001:db8:9::7"}[outer]))
        segment = wire.tunnel(kind, {4: "10.9.7.1", 6: "2001:db8:9:7::"}[outer], 6080 if kind == 2 else 0, local,
                              self.pick((0, 9)))
        segment.required = self.often(0.5)
        return [segment]

    def adverts(self, dst_mask):
        segments = []
        if self.often(0.4):
            bits = f"{int(ipaddress.ip_address(dst_mask)):b}"
            if "01" not in bits and (len(bits) == (32 if self.family == 4 else 128) or dst_mask in ("0.0.0.0", "::")):
                segments.append(wire.advertise())
        if self.often(0.1):
            segments.append(wire.advertise(*self.pick((("203.0.113.0", 24), ("203.0.113.10", 32)))) if self.family == 4
                            else wire.advertise("2001:db8:113::", 48))
        return segments

    def ranges(self, key, proto, sport, dport, src_mask, dst_mask):
        items = []
        whole = MASKS[self.family][0]
        for field, value, mask in ((1, key.src, src_mask), (2, key.dst, dst_mask)):
            if mask != whole and self.often(0.5):
                low, high = sorted((value + self.pick((-2, -1, 0, 1)), value + self.pick((0, 1, 2))))
                items.append((field, self.address(low), self.address(high)))
        for field, value, given in ((3, key.sport, sport), (4, key.dport, dport)):
            if proto in (TCP, UDP) and not given and self.often(0.6):
                for _ in range(self.pick((1, 2))):
                    low, high = sorted((max(0, value + self.pick((-1, 0, 1))), value + self.pick((0, 1, 400))))
                    items.append((field, low, high))
        return [wire.ranges(*items)] if items else []

    def step_delete(self):
        """A wildcard or fixed affinity that is there, deleted or refreshed as it is."""
        model = self.player.model
        some = model.wildcards + model.fixed
        if not some:
            return
        a = self.pick(some)
        rank = [] if a.rank == 0x100000000 else [wire.precedence(a.rank)]
        ttl = self.pick((0, 0, 30, 60))
        if a.match:
            m = a.match
            segment = wire.wildcard(self.address(m["dst"]), self.address(m["dst_mask"]), self.address(m["src"]),
                                    self.address(m["src_mask"]), m["proto"], m["sport"], m["dport"], ttl, a.flags,
                                    self.address(a.forward) if a.forward else None)
            items = [(f, *((low, high) if f > 2 else (self.address(low), self.address(high)))) for f, low, high in a.ranges]
            more = [wire.ranges(*items)] if items else []
            self.say(a.manager.identity, wire.WILDCARD_UPDATE,
                     [segment] + more + rank + self.actions(m["proto"], True) + self.words(a.manager.identity))
        else:
            segment = fixed_segment(a.key, ttl, a.flags, self.address(a.forward) if a.forward else None)
            self.say(a.manager.identity, wire.FIXED_UPDATE, [segment] + rank + self.words(a.manager.identity))

    def step_fixed(self, ):
        key, manager, flags = self.pick(self.keys), self.pick(MANAGERS), self.flags()
        ttl = self.pick((0,) + TTLS)
        segments = [fixed_segment(key, ttl, flags, self.forward() if flags & 1 else None)]
        segments += self.places() + self.actions(key.proto, False) + self.tunnel(segments[0]) + self.words(manager)
        if self.often(0.2):
            segments.append(wire.fa_data(self.pick((b"", b"abc", bytes(range(32))))))
        if self.often(0.25):
            other = self.pick(self.keys) if self.often(0.1) else key
            segments.append(wire.packet(self.make_packet(other)))
        self.say(manager, wire.FIXED_UPDATE, segments)

    def step_answer(self):
        """To something the agent asked."""
        if not self.asked:
            self.step_packet()
            return
        at = len(self.asked) - 1 if self.often(0.6) else self.chance.randrange(len(self.asked))
        reference, event = self.asked[at]
        if self.often(0.85):
            del self.asked[at]
        manager, segments = event[1], dict(event[5])
        data = segments.get(IP_PACKET)
        if data is None and event[4] != REFRESH and self.often(0.8):
            return  # a notice wants no answer
        key = read_key(segments[IDENTIFIER], 8) if IDENTIFIER in segments else packets.parse(data).key
        keep = [wire.packet(data)] if data and self.often(0.9) else []
        cookie = reference if self.often(0.92) else None
        proof = [wire.fa_data(COOKIE_BYTES)] if cookie else []
        if data and self.often(self.profile.get("packet_only", 0.15)):
            self.say(manager, wire.PACKET, proof + [wire.packet(data)], cookie)
            return
        flags = self.flags()
        ttl = 0 if self.often(0.15) else self.pick(TTLS)
        places = self.places() if self.often(0.25) else self.rank_of(event)
        affinity = fixed_segment(key, ttl, flags, self.forward() if flags & 1 else None)
        self.say(manager, wire.FIXED_UPDATE, [affinity] + places + self.actions(key.proto, False) + self.tunnel(affinity) +
                 self.words(manager) + proof + keep, cookie)

    def rank_of(self, event):
        """The place of the affinity that asked."""
        model = self.player.model
        ranks = [w.rank for w in model.wildcards if w.manager.identity == event[1]]
        rank = self.pick(ranks) if ranks else 0x100000000
        return [] if rank == 0x100000000 else [wire.precedence(rank)]

    def step_time(self):
        model = self.player.model
        now = model.now
        jump = self.pick((10, 40, 100, 200, 260, 260, 520, 800, 1000, 1970, 3010, 6000, 16000, 31000, 61000))
        self.do("at", now + jump)
        self.settle()

    def settle(self):
        """On, until nothing is about to expire."""
        while not self.player.model.clear():
            self.do("at", max(self.player.model.unclear_until(), self.player.model.now + 10))

    def step_odd(self):
        manager = self.pick(MANAGERS)
        if self.often(0.4):
            self.say(manager, wire.ASK, [wire.listing()])
        else:
            self.do("fail", self.pick(("forward",)), self.pick((0, 0, 1)))

    def make(self, steps):
        self.do("new", self.limits)
        weights = {**WEIGHTS, **self.profile.get("weights", {})}
        names, values = list(weights), list(weights.values())
        try:
            for _ in range(self.chance.randint(2, 5)):
                self.step_wildcard()
            while len(self.player.steps) < steps:
                self.settle()
                getattr(self, "step_" + self.chance.choices(names, values)[0])()
            self.settle()
            self.do("state")
        except Unclear:
            pass
        return self.player


def wire_destination(kind):
    return 0xfad if kind not in (wire.HELLO,) else 0


def fixed_segment(key, ttl, flags, forward):
    named = wire.Key(key.proto, packets.text(key.family, key.src), key.sport, packets.text(key.family, key.dst), key.dport)
    return wire.fixed(named, ttl, flags, forward)


def partial(data):
    """The packet as a sender leaves it whose card completes the checksum."""
    p = packets.parse(data)
    at = p.l4 + packets.SUMS[p.key.proto]
    total = packets.pseudo(p.key.family, p.key.src, p.key.dst, p.key.proto, len(data) - p.l4) % 0xffff
    return (data[:at] + (total or 0xffff).to_bytes(2, "big") + data[at + 2:],
            f"1,{p.l4},{packets.SUMS[p.key.proto]},0,0")
