# SPDX-License-Identifier: BSD-2-Clause
"""The reference model of an agent's engine: what it must do with each packet and message.

Written from docs/requirements.md, docs/protocol.md and docs/engine.md alone;
it shares no code with fad/.  Slow and plain on purpose: no table, no cache and
no plan is kept, every packet looks at every affinity.  The comparison with the
real engine is compare.py's.

What the documents leave open raises Unclear; whoever makes scenarios avoids it.
"""
import dataclasses
import functools
import struct

import packets
from packets import Key, MASKS, SIZES

MATCH_WILDCARD, MATCH_FIXED, PACKET_ONLY, DENY, REFRESH = 4, 5, 6, 3, 131
WILDCARD_UPDATE, FIXED_UPDATE = 1, 2
(WILDCARD, FIXED, IDENTIFIER, PRECEDENCE, BACKUP, _, SM_DATA, FA_DATA, IDENTITY, NAT, ADVERTISE, SEQ_ADJUST, INTEREST,
 ACTION_LIST, IP_PACKET) = range(1, 16)
RANGES, TUNNEL, _, ERROR, _, REJECT = range(128, 134)
KNOWN = frozenset([*range(1, 16), *range(128, 134)])
DISPATCH, INFORMATION, PROTECTED, ROUTE_SILENT = 1, 2, 4, 16
UNSUPPORTED, NOT_COVERED, NO_ROOM, FORBIDDEN = 1, 2, 3, 4
WORST_RANK = 0x100000000
BEFORE_ALL = -1
MOST_STEPS = 8
MOST_ADJUSTS = 4
FOLLOW_BEHIND, FOLLOW_STEP, FOLLOW_AFTER = 1 << 30, 1 << 20, 64
ACK, SYN_OR_RST, FIRST_DATA = 0x0010, 0x0006, 0x0080
# What the kernel would send from, towards either family (see replay.c).
OWN_ADDRESS = {4: packets.number("10.9.0.254"), 6: packets.number("2001:db8:9::fe")}
# Resets, and ICMP errors: in a second, in all and to one address.
ANSWERS = {"resets": (1000, 100), "errors": (1000, 10)}
PUNT_MS, PUNTS = 250, 3
SILENT_AFTER, SILENT_MS, PROBE_MS = 3, 750, 1000
COOKIE_MS = 10000
FORGOTTEN_MS = 60000
TICK_MS = 50
KNOWN_MS, ORPHANED_MS = 30000, 1000  # a datagram's ports are known; a fragment waits for its first
TTL_TOLERANCE_MS = 2100


class Unclear(Exception):
    """The documents allow more than one outcome here."""


# ---- messages, read ----


@functools.lru_cache(maxsize=4096)
def address(body, at):
    """(address or 0, where the next field begins) of an `addr` field."""
    size = SIZES.get(body[at], 0)
    return int.from_bytes(body[at + 1:at + 1 + size], "big"), at + 1 + size


@functools.lru_cache(maxsize=4096)
def read_wildcard(body):
    family, proto, flags, ttl, sport, dport = struct.unpack_from("!BBBxIHH", body)
    size = SIZES[family]
    values = [int.from_bytes(body[12 + i * size:12 + (i + 1) * size], "big") for i in range(4)]
    return {"family": family, "proto": proto, "flags": flags, "ttl": ttl, "sport": sport, "dport": dport,
            "src": values[0] & values[1], "src_mask": values[1], "dst": values[2] & values[3], "dst_mask": values[3],
            "forward": address(body, 12 + 4 * size)[0]}


@functools.lru_cache(maxsize=4096)
def read_key(body, at):
    """A key as fixed and identifier segments have it; ports at `at`."""
    size = SIZES[body[0]]
    sport, dport = struct.unpack_from("!HH", body, at)
    src, dst = (int.from_bytes(body[at + 4 + i * size:at + 4 + (i + 1) * size], "big") for i in range(2))
    return Key(body[0], body[1], src, sport, dst, dport)


@functools.lru_cache(maxsize=4096)
def read_fixed(body):
    return {"key": read_key(body, 8), "flags": body[2], "ttl": int.from_bytes(body[4:8], "big"),
            "forward": address(body, 12 + 2 * SIZES[body[0]])[0]}


@functools.lru_cache(maxsize=4096)
def read_nat(body):
    bits, sport, dport = struct.unpack_from("!BxHH", body)
    src, after = address(body, 8)
    values = ("src", src), ("sport", sport), ("dst", address(body, after)[0]), ("dport", dport)
    return {name: value for bit, (name, value) in enumerate(values) if bits & 1 << bit}


@functools.lru_cache(maxsize=4096)
def read_interest(body):
    masks = struct.unpack_from("!HHHHH", body)
    return masks[:4], masks[4], (body[12], address(body, 12)[0])


@functools.lru_cache(maxsize=4096)
def read_ranges(body, family):
    """[(field, low, high)]"""
    items, at = [], 0
    while at < len(body):
        size = 2 if body[at] > 2 else SIZES[family]
        low, high = (int.from_bytes(body[at + 2 + i * size:at + 2 + (i + 1) * size], "big") for i in range(2))
        items.append((body[at], low, high))
        at += 2 + 2 * size
    return items


def read_rank(message):
    body = message.segment(PRECEDENCE)
    if body is None:
        return WORST_RANK
    value = int.from_bytes(body[4:8], "big")
    return value if body[0] & 1 else 0xffffffff - value


def bodies(message, kind):
    return [s.body for s in message.segments if s.type == kind]


def read_tunnel(body):
    kind, hop_limit, port = struct.unpack_from("!BBH", body)
    remote, after = address(body, 4)
    return {"kind": kind, "hop_limit": hop_limit, "port": port, "remote": (body[4], remote),
            "local": (body[after], address(body, after)[0])}


# ---- what is stored ----


@dataclasses.dataclass
class Row:
    """Questions in a row that were not answered in time."""
    unanswered: int = 0
    asked: int = 0  # the first of these

    def miss(self, asked):
        self.asked = self.asked if self.unanswered else asked
        self.unanswered += 1

    def is_long(self, now):
        return self.unanswered >= SILENT_AFTER and now - self.asked >= SILENT_MS


@dataclasses.dataclass
class Manager:
    identity: int
    addr: str
    port: int
    words: bytes = None  # its identity segment, the latest
    heard: int = 0
    row: Row = dataclasses.field(default_factory=Row)  # of all questions to it


@dataclasses.dataclass
class Silence:
    """How the questions under a wildcard are answered."""
    row: Row = dataclasses.field(default_factory=Row)
    silent: bool = False
    probe: int = 0  # then: when it may be asked again


@dataclasses.dataclass
class Affinity:
    manager: Manager
    family: int
    rank: int
    backup: int
    flags: int
    forward: int
    ttl: int
    updated: int
    nat: dict
    adjusts: list  # at most one: (seq delta, seq initial, ack delta, ack initial)
    tunnel: dict
    reject: int  # 0: without a word; 1 as prohibited, 2 as unreachable
    interest: list
    sm_data: bytes
    match: dict = None  # a wildcard's
    ranges: list = None
    lineage: int = 0  # the same for a wildcard however often it was sent
    prefixes: list = None
    key: Key = None  # a fixed one's
    refreshed: bool = False
    packets: int = 0
    bytes: int = 0
    data_seen: set = dataclasses.field(default_factory=set)
    silence: Silence = dataclasses.field(default_factory=Silence)
    moved: dict = dataclasses.field(default_factory=dict)

    @property
    def expires(self):
        return self.updated + self.ttl * 1000

    @functools.cached_property
    def mask_bits(self):
        """How much it looks at: a port counts 16 bits, the protocol 8."""
        m = self.match
        return (bin(m["src_mask"]).count("1") + bin(m["dst_mask"]).count("1") + 8 * bool(m["proto"]) +
                16 * bool(m["sport"]) + 16 * bool(m["dport"]))

    @functools.cached_property
    def by_value(self):
        """Of one manager, rank and mask bits: by value, so that every agent decides alike (PREC-9)."""
        m = self.match
        if not m:
            return ()
        return tuple(m[f] for f in ("src", "src_mask", "dst", "dst_mask")) + tuple(-m[f] for f in ("dport", "sport", "proto"))

    def adjusts_of(self, key):
        """Its sequence adjust, [seq delta, seq initial, ack delta, ack initial], and numbers far ahead in a row of both;
        a wildcard's is many flows'."""
        fresh = [*self.adjusts[0], 0, 0]
        return fresh if self.match else self.moved.setdefault(key, fresh)

    def covers(self, key):
        m = self.match
        return (key.family == m["family"] and m["proto"] in (0, key.proto) and m["sport"] in (0, key.sport) and
                m["dport"] in (0, key.dport) and key.src & m["src_mask"] == m["src"] and
                key.dst & m["dst_mask"] == m["dst"] and self.in_ranges(key))

    @property
    def absent(self):
        """As if it were not there."""
        return self.match is not None and self.silence.silent and bool(self.flags & ROUTE_SILENT)

    def takes_or_holds(self):
        return any(data & ~copy or copy & hold for (_, data, copy, hold), _, _ in self.interest)

    def in_ranges(self, key):
        values = {1: key.src, 2: key.dst, 3: key.sport, 4: key.dport}
        return all(any(low <= values[field] <= high for f, low, high in self.ranges if f == field)
                   for field in {f for f, _, _ in self.ranges})

    def equal_to(self, other):
        """WILD-4."""
        fields = ("family", "proto", "sport", "dport", "src", "src_mask", "dst", "dst_mask")
        return (self.manager is other.manager and self.rank == other.rank and
                all(self.match[f] == other.match[f] for f in fields) and sorted(self.ranges) == sorted(other.ranges))


@dataclasses.dataclass
class Hold:
    """A flow whose punt is outstanding."""
    key: Key
    since: int
    tries: int = 1
    manager: int = 0  # who was asked, at which rank; and whether by sending the packet itself
    rank: int = 0
    under: int = 0  # the wildcard's lineage; 0: none
    punted: bool = False
    waiting: list = dataclasses.field(default_factory=list)  # of (packet, resume, told) oldest first


@dataclasses.dataclass
class Limits:
    fixed: int = 1000
    wildcards: int = 1000
    flows: int = 1000
    packets: int = 64
    uncovered: bool = False
    protected: bool = False
    authenticated: bool = True


class Model:
    """One agent.  Each call appends to .events and .counts, which whoever calls clears."""

    def __init__(self, limits=None, supported=(NAT, ADVERTISE, SEQ_ADJUST, INTEREST, RANGES, TUNNEL, REJECT)):
        self.limits = limits or Limits()
        self.supported = frozenset(supported)
        self.now = 1000000
        self.lineages = 0
        self.last_end = 0  # when the latest that ran out did so
        self.managers, self.wildcards, self.fixed, self.holds = {}, [], [], {}
        self.forwards = {}  # packets and bytes, by where they went
        self.datagrams, self.early = {}, {}  # known by their first fragment; waiting for it
        self.cookies = []  # (key, rank, when, interface, is it a probe's) of each that was made
        self.events, self.counts = [], {}
        self.answers = {}  # of each sort: since when this second is, and to whom in it
        self.fail_send = self.fail_forward = False
        self.releasing = None  # the hold a packet on its way was in
        self.overdue = False  # and its answer did not come

    # ---- what it says ----

    def count(self, name, by=1):
        if by:
            self.counts[name] = self.counts.get(name, 0) + by

    def drop(self, name, by=1):
        self.count("drops/" + name, by)

    def forward(self, data, next_hop, offload, decided=True):
        if self.fail_forward:
            self.drop("forward")
            return
        if decided:
            self.count("packets/forwarded")
        self.events.append(("f", next_hop, offload, data.hex()))

    def send(self, manager, to, kind, segments):
        """to: (address, port)."""
        if self.fail_send:
            return False
        self.events.append(("s", manager.identity, to[0], to[1], kind, tuple(sorted(segments))))
        return True

    # ---- the world ----

    def advance(self, now):
        """Ticks every 50 ms up to this time, and one at it."""
        at = self.now - self.now % TICK_MS
        while True:
            due = [a.expires for a in self.wildcards + self.fixed] + [h.since + PUNT_MS for h in self.holds.values()]
            due += [m.heard + FORGOTTEN_MS for m in self.idle_managers()] + [e[0] + ORPHANED_MS for e in self.early.values()]
            if not due or min(due) > now:
                break
            at = min(max(at + TICK_MS, -(-min(due) // TICK_MS) * TICK_MS), now)
            self.now = at
            self.tick()
            if at == now:
                break
        self.now = now

    def tick(self):
        for group, name in ((self.wildcards, "wildcards"), (self.fixed, "affinities")):
            gone = [a for a in group if a.expires <= self.now]
            self.last_end = max([self.last_end] + [a.expires for a in gone])
            self.count(name + "/expired", len(gone))
            for affinity in gone:
                self.forget(affinity)
        for manager in self.idle_managers():
            if self.now - manager.heard >= FORGOTTEN_MS:
                self.last_end = max(self.last_end, manager.heard + FORGOTTEN_MS)
                del self.managers[manager.identity]
        for ident, (since, waiting) in list(self.early.items()):
            if self.now - since >= ORPHANED_MS:
                del self.early[ident]
                self.drop("fragment-orphaned", len(waiting))
        for hold in sorted(self.holds.values(), key=lambda h: h.since):
            if self.now - hold.since >= PUNT_MS and self.holds.get(hold.key) is hold:
                self.time_out(hold)

    def idle_managers(self):
        """Those without an affinity."""
        busy = {a.manager.identity for a in self.wildcards + self.fixed}
        return [m for m in self.managers.values() if m.identity not in busy]

    def ends(self):
        """When something will be forgotten."""
        return ([a.expires for a in self.wildcards + self.fixed] + [self.last_end] +
                [m.heard + FORGOTTEN_MS for m in self.idle_managers()])

    def clear(self, margin=TTL_TOLERANCE_MS):
        """Nothing is so close to its end that it may be there or not."""
        return all(abs(end - self.now) >= margin for end in self.ends())

    def unclear_until(self):
        """When the next moment comes at which nothing is near its end."""
        at = self.now
        for expires in sorted(self.ends()):
            if expires - at < TTL_TOLERANCE_MS:
                at = max(at, expires + TTL_TOLERANCE_MS)
        return at

    # ---- advertised prefixes (ACT-3, FA-11) ----

    def advertised(self):
        return {prefix for w in self.wildcards for prefix in w.prefixes}

    def changed_adverts(self, before):
        after = self.advertised()
        for sign, some in (("+", after - before), ("-", before - after)):
            for prefix in some:
                self.events.append(("a", sign, prefix))

    def to_advertised(self, key):
        return any(family == key.family and key.dst >> (SIZES[family] * 8 - plen) == value >> (SIZES[family] * 8 - plen)
                   for family, value, plen in self.advertised())

    def forget(self, affinity):
        before = self.advertised()
        (self.wildcards if affinity.match else self.fixed).remove(affinity)
        self.changed_adverts(before)

    # ---- what acts on a key (PREC) ----

    def matching(self, key, answer=None):
        """All that match, in the order in which they act."""
        found = [w for w in self.wildcards if w.covers(key)]
        found += [x for x in self.fixed if x.key == key and not (answer and answer.manager is x.manager and
                                                                 answer.rank == x.rank)]
        if answer:
            found.append(answer)

        def order(a):
            return (a.rank, a is not answer, a.match is not None, a.backup, -a.mask_bits if a.match else 0,
                    a.manager.identity, a.by_value)
        found.sort(key=order)
        for one, next_one in zip(found, found[1:]):
            if one.rank == next_one.rank and order(one) == order(next_one):
                raise Unclear("two wildcards of one manager that nothing tells apart")
        return found

    def steps(self, key, answer=None, spared=None):
        """Those that act up to the end of the cascade, whether one ends it, and whose silence left them out before.

        spared: a rank whose wildcard does not drop (the packet came back from its manager).
        """
        steps, absent = [], []
        for affinity in self.matching(key, answer):
            if steps and steps[-1].rank == affinity.rank:
                continue
            if affinity.absent:
                absent.append(affinity)
                continue
            if len(steps) == MOST_STEPS:
                self.count("affinities/ranks-ignored")
                return steps, False, absent
            steps.append(affinity)
            drops = affinity.forward == 0 and affinity.match is not None and affinity.rank == spared
            if affinity.flags & DISPATCH and not drops:
                return steps, True, absent
        return steps, False, absent

    # ---- a packet ----

    def packet(self, data, offload="-", interface=0):
        packet = packets.parse(data)
        packet.interface = interface
        self.count("packets/received")
        self.count("packets/received-bytes", len(data))
        if packet.fragment and not self.place(packet, offload):
            return
        if packet.embedded:
            self.follow(packet)
        self.arrive(packet, offload)
        if packet.fragment and packet.first:
            _, waiting = self.early.pop(datagram(packet), (0, []))
            for other, its_offload in waiting:
                self.learn(other)
                self.arrive(other, its_offload)

    def arrive(self, packet, offload):
        hold = self.holds.get(packet.key)
        if hold:
            self.keep(hold, packet, BEFORE_ALL, offload)
        else:
            self.process(packet, BEFORE_ALL, offload)

    # ---- fragments (ACT-10) and ICMP errors (KEY-4) ----

    def place(self, packet, offload):
        """A fragment gets its datagram's ports.  False: it waits for its first one."""
        if packet.first:
            self.datagrams[datagram(packet)] = (packet.key, self.now)
            return True
        if self.learn(packet) or not self.ports_matter(packet.key):
            return True
        self.early.setdefault(datagram(packet), (self.now, []))[1].append((packet, offload))
        return False

    def learn(self, packet):
        """Its key from what is remembered."""
        key, when = self.datagrams.get(datagram(packet), (None, 0))
        age = self.now - when
        if key and abs(age - KNOWN_MS) <= TTL_TOLERANCE_MS:
            raise Unclear("a datagram is about to be forgotten")
        if not key or age > KNOWN_MS:
            return False
        packet.key = key
        return True

    def ports_matter(self, key):
        hidden = key.proto in packets.OPTION_HEADERS  # behind an IPv6 header that only the first fragment has
        return any(w.family == key.family and (hidden or w.match["proto"] in (0, key.proto)) and
                   key.src & w.match["src_mask"] == w.match["src"] and key.dst & w.match["dst_mask"] == w.match["dst"] and
                   (w.match["sport"] or w.match["dport"] or any(f > 2 for f, _, _ in w.ranges) or w.takes_or_holds())
                   for w in self.wildcards)

    def follow(self, packet):
        """An error about a flow has the key of what travels with it, if anything knows that."""
        key = packet.embedded.key.reverse()
        if (self.matching(key) or key in self.holds) and not self.source_refused(packet.key):
            packet.key, packet.follows = key, True

    def source_refused(self, key):
        """What it embeds is its sender's word, and does not help who is refused by name (SVC-5)."""
        counts = dict(self.counts)
        steps, ends, _ = self.steps(key)
        self.counts = counts  # only asked
        last = steps[-1] if ends else None
        return bool(last) and last.forward == 0 and (last.match is None or last.match["src_mask"] != 0 or
                                                     any(field == 1 for field, _, _ in last.ranges))

    def keep(self, hold, packet, resume, offload, told=False):
        """Behind the others of its flow (FA-9)."""
        if not hold or len(hold.waiting) >= self.limits.packets:
            self.drop("hold-full")
            return False
        hold.waiting.append((packet, resume, offload, told))
        self.count("packets/held")
        return True

    def process(self, packet, resume, offload="-", answer=None, spared=None, told=False):
        """A packet on its way from `resume` on: report, then edit, then forward.

        answer: the affinity of the update that brought it.  spared: see steps().  told: True, the affinity of rank `resume`
        has reported it, but holds the original; or ("rest", lineage), it was punted by the first packet of those together.
        """
        returned = answer is not None or spared is not None
        steps, ends, absent = self.steps(packet.key, answer, spared)
        self.pass_absent([w for w in absent if w.rank > resume], packet, offload)
        if not steps:
            self.unmatched(packet, offload, returned)
            return
        for affinity in steps:
            bits = self.bits(affinity, packet)
            if told is True and affinity.rank == resume:
                if self.still_held(affinity, packet, offload, self.overdue):
                    return
            elif told and affinity.rank == resume:
                again = self.report_rest if affinity.match and affinity.lineage == told[1] else self.report
                if again(affinity, packet, offload, bits):
                    return
            elif affinity.rank > resume and affinity is not answer:
                if self.report(affinity, packet, offload, bits):
                    return
        if self.releasing and not ends and all(a.rank != self.releasing.rank for a in steps):
            self.drop("hold-orphaned")  # whoever was to translate it does not any more (FA-9)
            return
        last = steps[-1] if ends else None
        for affinity in steps:
            affinity.packets += len(packets.segments(packet, offload))
            affinity.bytes += len(packet.data)
            self.refresh(affinity, packet)
        self.tally(packet, steps, last, len(packets.segments(packet, offload)))
        if last and last.forward == 0:
            self.drop(self.reject(packet, offload, last.reject) if last.reject else "affinity")
            return
        if packet.hops <= 1:
            # The kernel's error shows it as its sender knows it.
            self.forward(packet.data, "-", offload)
            return
        tunnel = last.tunnel if last else None
        if tunnel or self.cuts(packet, steps, offload):
            # By segments, whole ones.
            for part in packets.segments(packet, offload):
                part = packets.parse(part)
                part.key, part.follows = packet.key, packet.follows
                self.send_on(part, steps, last, "-")
        else:
            self.send_on(packet, steps, last, offload)
        self.follow_numbers(packet, steps)

    def reject(self, packet, offload, kind):
        """Its sender is told, where he may be (FIX-3).  Returns what the drop is called."""
        tcp = packet.key.proto == packets.TCP
        if not packets.answerable(packet) or tcp and (packet.fragment or packet.flags & 0x04):
            return "rejected-untold"
        sort = "resets" if tcp else "errors"
        if not self.may_answer(sort, packet.key.src):
            return "rejected-untold"
        if tcp and offload == "-" and not packets.sums_hold(packet.data):
            return "rejected-untold"
        if tcp:
            said = packets.reset(packet)
        else:
            first = packets.segments(packet, offload)[0]
            said = packets.unreachable(first, OWN_ADDRESS[packet.key.family], kind == 1)
        if self.fail_forward:
            return "rejected-untold"
        self.forward(said, "-", "-", decided=False)
        self.count(f"packets/{sort}-made")
        return "rejected"

    def may_answer(self, sort, address):
        since, told = self.answers.get(sort, (0, []))
        if self.now - since >= 1000:
            since, told = self.now, []
            self.answers[sort] = since, told
        most, each = ANSWERS[sort]
        if len(told) >= most or told.count(address) >= each:
            return False
        told.append(address)
        return True

    def cuts(self, packet, steps, offload):
        """Does an initial sequence number lie within a super-packet?"""
        if len(packets.segments(packet, offload)) < 2 or packet.key.proto != packets.TCP:
            return False
        seq, size = int.from_bytes(packet.data[packet.l4 + 4:packet.l4 + 8], "big"), len(packet.data) - packet.payload
        return any(0 < (a.adjusts_of(packet.key)[1] - seq) & 0xffffffff < size for a in steps if a.adjusts)

    def send_on(self, packet, steps, last, offload):
        data = self.edit(packet, steps, last, offload)
        if last and last.tunnel:
            self.wrap(packet, data, last.tunnel)
            return
        self.forward(data, packets.text(last.family, last.forward) if last else "-", offload)

    def wrap(self, packet, data, tunnel):
        """SVC-10."""
        remote, local = tunnel["remote"], tunnel["local"]
        if not local[0]:
            local = (remote[0], OWN_ADDRESS[remote[0]])
        data = packets.with_hops(data, packet.hops - 1)
        self.forward(packets.wrapped(data, tunnel["kind"], tunnel["hop_limit"] or 64, tunnel["port"], remote, local), "-", "-")

    def tally(self, packet, steps, last, count):
        """FIX-4: by the forward address, or where it goes instead."""
        if not any(a.flags & INFORMATION for a in steps):
            return
        to = last.forward if last and last.forward else self.edits(steps, last).get("dst", packet.key.dst)
        before = self.forwards.get((packet.key.family, to), (0, 0))
        self.forwards[packet.key.family, to] = before[0] + count, before[1] + len(packet.data)

    def state(self):
        """What the tables hold."""
        for group, name in ((self.wildcards, "w"), (self.fixed, "x")):
            self.events += [(name, str(a.manager.identity), str(a.packets), str(a.bytes)) for a in group]
        self.events += [("v", packets.text(*address), *map(str, sums)) for address, sums in self.forwards.items()]
        self.events.append(("h", str(len(self.holds))))

    def unmatched(self, packet, offload, returned):
        if not returned and self.to_advertised(packet.key):
            self.drop("advertised")
        elif self.releasing:
            # Somebody was to translate it, and nobody knows how: never untranslated (FA-9).
            self.drop("hold-orphaned")
        else:
            self.count("packets/unmatched")
            self.forward(packet.data, "-", offload, decided=False)

    @staticmethod
    def edits(steps, last):
        """What becomes of addresses and ports: a later rank wins for its field (PREC-8)."""
        edits = {}
        for affinity in steps:
            # Dispatched without any change of the destination (FIX-2).
            edits.update({k: v for k, v in affinity.nat.items() if k != "dst" or affinity is not last})
        return edits

    def edit(self, packet, steps, last, offload):
        edits = self.edits(steps, last)
        if packet.key.proto not in (packets.TCP, packets.UDP):
            edits = {k: v for k, v in edits.items() if k in ("src", "dst")}
        if packet.follows:
            self.adjust_embedded(packet, steps, edits)
            own = packets.parse_start(packet.data).key.src == packet.key.src
            return packets.edited_error(packet, edits, own)
        self.adjust(packet, steps, edits)
        return packets.edited(packet, edits, partial=offload.startswith("1"))

    def adjusts(self, packet, steps):
        adjusts = [a.adjusts_of(packet.key) for a in steps if a.adjusts]
        if len(adjusts) > MOST_ADJUSTS:
            self.count("affinities/ranks-ignored")
        return adjusts[:MOST_ADJUSTS]

    def adjust_embedded(self, packet, steps, edits):
        """What the error embeds went the other way: its numbers are what the flow acknowledges."""
        adjusts, inner = self.adjusts(packet, steps), packet.embedded
        if inner.key.proto != packets.TCP or not adjusts:
            return
        edits["seq"] = adjusted(int.from_bytes(inner.data[inner.l4 + 4:inner.l4 + 8], "big"), [j[2:4] for j in adjusts])
        if inner.flags & ACK:
            acks = [j[:2] for j in adjusts]
            edits["ack"] = adjusted(int.from_bytes(inner.data[inner.l4 + 8:inner.l4 + 12], "big"), acks)
            edits["sacks"] = {at: adjusted(int.from_bytes(inner.data[at:at + 4], "big"), acks)
                              for at in packets.sack_edges(inner)}

    def adjust(self, packet, steps, edits):
        """Sequence numbers (ACT-2): each adjust compares with the number as it arrived."""
        adjusts = self.adjusts(packet, steps)
        if packet.key.proto != packets.TCP or packet.l4 is None or not adjusts:
            return
        seq, ack = struct.unpack_from("!II", packet.data, packet.l4 + 4)
        edits["seq"] = adjusted(seq, [j[:2] for j in adjusts])
        acks = [j[2:4] for j in adjusts]
        if packet.flags & ACK:
            edits["ack"] = adjusted(ack, acks)
            edits["sacks"] = {at: adjusted(int.from_bytes(packet.data[at:at + 4], "big"), acks)
                              for at in packets.sack_edges(packet)}

    @staticmethod
    def follow_numbers(packet, steps):
        """Initial numbers follow, but not SYN and RST, whose numbers may be anything."""
        if packet.key.proto != packets.TCP or packet.l4 is None or packet.follows or packet.flags & SYN_OR_RST:
            return
        seq, ack = struct.unpack_from("!II", packet.data, packet.l4 + 4)
        for affinity in steps:
            if affinity.adjusts:
                numbers = affinity.adjusts_of(packet.key)
                numbers[1], numbers[4] = moved(numbers[1], numbers[4], seq)
                if packet.flags & ACK:
                    numbers[3], numbers[5] = moved(numbers[3], numbers[5], ack)

    # ---- silent managers (FA-5) ----

    def unanswered(self, hold):
        """Nothing came in time: by who was asked, and what was asked under."""
        manager = self.managers.get(hold.manager)
        if manager:
            manager.row.miss(hold.since)
        for wildcard in self.wildcards:
            if wildcard.lineage == hold.under and wildcard.covers(hold.key) and not wildcard.silence.silent:
                silence = wildcard.silence
                silence.row.miss(hold.since)
                if silence.row.is_long(self.now) or wildcard.manager.row.is_long(self.now):
                    silence.silent, silence.probe = True, self.now + PROBE_MS
                    self.count("wildcards/silent")

    def heard(self, manager, key):
        """It has answered, under all its wildcards that cover the key."""
        manager.row.unanswered = 0
        for wildcard in self.wildcards:
            if wildcard.manager is manager and wildcard.covers(key):
                wildcard.silence.row.unanswered, wildcard.silence.silent = 0, False

    def in_vain(self, affinity):
        """It is not asked now, but the packet dropped; else it is asked, and not again for a second."""
        if affinity.match is None or not affinity.silence.silent:
            return False
        if self.now < affinity.silence.probe:
            self.drop("silent")
            return True
        affinity.silence.probe = self.now + PROBE_MS
        self.count("packets/silent-probes")
        return False

    def pass_absent(self, absent, packet, offload):
        """A packet goes on without these; a copy may ask whether they answer again.  Not one that was held (FA-9)."""
        if self.releasing or not absent:
            return
        self.count("packets/silent-routed")
        for wildcard in absent:
            bits = packet.bits(packet.key not in wildcard.data_seen)
            decides = [c for c in wildcard.interest
                       if bits & c[0][1] & ~c[0][2] or bits & c[0][2] & c[0][3]]
            if self.now >= wildcard.silence.probe and decides:
                wildcard.silence.probe = self.now + PROBE_MS
                self.count("packets/silent-probes")
                self.tell(wildcard, decides[0], packet, bits & decides[0][0][0], packets.segments(packet, offload)[0], True)

    def is_probe(self, key, cookie):
        return cookie is not None and self.cookies[cookie][0] == key and self.cookies[cookie][4]

    # ---- interest (ACT-4 to ACT-7) ----

    @staticmethod
    def bits(affinity, packet):
        """First data is kept a flow and affinity, if that asks for it."""
        asked = any(mask & FIRST_DATA for criterion in affinity.interest for mask in criterion[0])
        first = packet.key not in affinity.data_seen
        if asked and packet.has_data():
            affinity.data_seen.add(packet.key)
        return packet.bits(first)

    def report(self, affinity, packet, offload, bits):
        """Notices, copies, punts.  True: the packet goes no further now."""
        taken, holder = False, None
        for criterion in affinity.interest:
            interest, data, copy, hold = criterion[0]
            reasons, copied = bits & interest, bits & copy
            take = bits & data & ~copy
            if take and not taken:
                self.punt(affinity, criterion, packet, reasons, offload)
            elif take or copied:
                # Who takes it gets one; of several, the others get copies.
                for i, part in enumerate(packets.segments(packet, offload)):
                    self.tell(affinity, criterion, packet, 0 if i else reasons, part)
                    self.count("packets/copied")
            elif reasons:
                self.tell(affinity, criterion, packet, reasons, None)
            taken |= bool(take)
            if copied & hold and holder is None:
                holder = criterion
        if holder and not taken:
            self.hold_original(affinity, holder, packet, offload)
        return taken or holder is not None

    def punt(self, affinity, criterion, packet, reasons, offload):
        """Only if the packets behind it can wait (FA-9)."""
        if self.in_vain(affinity):
            return
        if self.outstanding(packet.key):
            # What it stands for was reported with it: see report_rest().
            self.send_first(affinity, criterion, packet, reasons, offload, affinity.rank, ("rest", affinity.lineage))
        else:
            self.drop("hold-full")

    def send_first(self, affinity, criterion, packet, reasons, offload, resume, told=False):
        """A super-packet goes by its first segment; the others wait."""
        parts = packets.segments(packet, offload)
        self.count("packets/punted")
        self.tell(affinity, criterion, packet, reasons, parts[0])
        self.asks(affinity, packet.key, True)
        for part in parts[1:]:
            other = packets.parse(part)
            other.key, other.interface = packet.key, packet.interface
            self.keep(self.holds.get(packet.key), other, resume, "-", told)

    def report_rest(self, affinity, packet, offload, bits):
        """It has copied and noticed it with the first of a super-packet; it takes it, or holds it, itself."""
        for criterion in affinity.interest:
            interest, data, copy, _ = criterion[0]
            if bits & data & ~copy:
                self.punt(affinity, criterion, packet, bits & interest, offload)
                return True
        return self.still_held(affinity, packet, offload, False)

    def still_held(self, affinity, packet, offload, overdue):
        """It was reported, and the original waits for a fixed affinity (ACT-7).  True: it goes no further now.

        One held by a fixed affinity goes on when another has come, but to the manager when none has in time.
        """
        for criterion in affinity.interest if affinity.match or overdue else []:
            _, data, copy, hold = criterion[0]
            # Whether it was the first data is not remembered.
            if any(bits & copy & hold and not bits & data & ~copy for bits in (packet.bits(True), packet.bits(False))):
                self.hold_original(affinity, criterion, packet, offload, overdue)
                return True
        return False

    def tell(self, affinity, criterion, packet, reasons, data, probe=False):
        """A match, or the packet alone when no interest bit asks for more.  data: what is enclosed, or None."""
        segments = [(FA_DATA, self.cookie(packet, affinity.rank, probe))]
        if data is not None:
            segments.append((IP_PACKET, data))
        kind = PACKET_ONLY
        if reasons:
            kind = MATCH_WILDCARD if affinity.match else MATCH_FIXED
            segments += self.about(affinity, packet.key, reasons)
            self.count("messages/matches")
        self.send(affinity.manager, self.where(affinity, criterion), kind, segments)

    def where(self, affinity, criterion):
        _, port, (family, value) = criterion
        if port:
            return packets.text(family, value), port
        return affinity.manager.addr, affinity.manager.port

    def cookie(self, packet, rank, probe=False):
        self.cookies.append((packet.key, rank, self.now, packet.interface, probe))
        return len(self.cookies) - 1

    def about(self, affinity, key, reasons):
        """Segments that say which flow and which affinity."""
        body = struct.pack("!BBBxHxxHH", key.family, key.proto, affinity.flags & 31, reasons, key.sport, key.dport)
        body += packets.raw(key.family, key.src) + packets.raw(key.family, key.dst)
        return [(IDENTIFIER, body)] + self.words_of(affinity)

    @staticmethod
    def words_of(affinity):
        segments = [(IDENTITY, affinity.manager.words)] if affinity.manager.words else []
        return segments + ([(SM_DATA, affinity.sm_data)] if affinity.sm_data else [])

    def refresh(self, affinity, packet):
        """FIX-9."""
        if affinity.match or affinity.refreshed or affinity.ttl == 0:
            return
        if packet.follows or not packet.first:
            return  # anybody can make these: they are no life
        age = (self.now - affinity.updated) * 2 - affinity.ttl * 1000
        if age == 0:
            raise Unclear("exactly half of the TTL")
        if age > 0:
            affinity.refreshed = True
            self.send(affinity.manager, (affinity.manager.addr, affinity.manager.port), REFRESH,
                      self.about(affinity, affinity.key, 0) + [(FA_DATA, self.cookie(packet, affinity.rank))])
            self.count("messages/refreshes")

    # ---- held packets (FA-9, ACT-7) ----

    def outstanding(self, key):
        """A punt of this key went out; None: its later packets cannot wait."""
        if key not in self.holds and len(self.holds) < self.limits.flows:
            self.holds[key] = Hold(key, self.now)
        return self.holds.get(key)

    def asks(self, affinity, key, punted):
        """Who is asked; while a punted packet is not back, that stays its manager."""
        hold = self.holds.get(key)
        if hold and not hold.punted:
            hold.manager, hold.rank, hold.punted = affinity.manager.identity, affinity.rank, punted
            hold.under = affinity.lineage if affinity.match else 0

    def answered(self, key, manager, cookie):
        """The hold that ends with this answer: not while a packet is out for another manager, or for a later answer."""
        hold = self.holds.get(key)
        if hold and hold.punted:
            if hold.manager != manager.identity:
                return None
            if cookie is not None and self.cookies[cookie][0] == key and self.cookies[cookie][2] < hold.since:
                hold.tries = 1  # slow is not silent
                return None
        return self.holds.pop(key, None)

    def hold_original(self, affinity, criterion, packet, offload, overdue=False):
        if not overdue and self.in_vain(affinity):
            return
        hold = None if overdue else self.outstanding(packet.key)
        if hold and len(hold.waiting) < self.limits.packets:
            self.keep(hold, packet, affinity.rank, offload, told=True)
            self.asks(affinity, packet.key, False)
            return
        if self.in_vain(affinity):
            return
        self.outstanding(packet.key)
        self.send_first(affinity, criterion, packet, 0, offload, affinity.rank, told=True)

    def time_out(self, hold):
        """Nothing came in 250 ms."""
        self.unanswered(hold)
        del self.holds[hold.key]
        if hold.tries >= PUNTS:
            self.drop("hold-timeout", len(hold.waiting))
        else:
            self.release(hold, hold.tries)

    def release(self, hold, tries=0):
        """What waits goes on, in order, until one of it is punted again.

        tries: how often the flow was punted without an answer; 0: there was one.
        """
        self.releasing, self.overdue = hold, tries > 0
        for packet, resume, offload, told in hold.waiting if hold else []:
            again = self.holds.get(hold.key)
            if again:
                self.keep(again, packet, resume, offload, told)
                continue
            self.process(packet, resume, offload, told=told)
            if self.overdue and hold.key in self.holds:
                self.holds[hold.key].tries += tries
            self.overdue = False
        self.releasing, self.overdue = None, False

    # ---- messages ----

    def message(self, message, addr, port, cookie=None):
        """cookie: number of the match whose FA interest data it brings back."""
        unknown = {s.type for s in message.segments if s.required and s.type not in KNOWN}
        if unknown:
            self.undecodable(message, addr, port, unknown, cookie)
            return
        if message.type not in (WILDCARD_UPDATE, FIXED_UPDATE, PACKET_ONLY):
            self.count("message-drops/unexpected")
            return
        manager = self.managers.get(message.source)
        if manager is None:
            manager = self.managers[message.source] = Manager(message.source, addr, port)
        manager.addr, manager.port, manager.heard = addr, port, self.now
        manager.words = message.segment(IDENTITY) or manager.words
        if message.type == WILDCARD_UPDATE:
            self.wildcard_update(manager, message)
        elif message.type == FIXED_UPDATE:
            self.fixed_update(manager, message, cookie)
        else:
            self.packet_only(manager, message, cookie)

    def deny(self, manager, message, code, types=(), cookie=None):
        segments = [(ACTION_LIST, bytes(sorted(types))), (ERROR, code)]
        for kind in (WILDCARD, RANGES, FIXED, PRECEDENCE, BACKUP, IDENTITY, SM_DATA, FA_DATA):
            body = message.segment(kind)
            if kind == FA_DATA and cookie is not None:
                body = self.cookies.index(self.cookies[cookie])
            if body is not None:
                segments.append((kind, body))
        self.count("messages/denies")
        self.send(manager, (manager.addr, manager.port), DENY, segments)

    def undecodable(self, message, addr, port, types, cookie):
        """A Required segment of unknown type (MSG-3): denied, whoever says it."""
        if message.segment(IP_PACKET) is not None:
            self.drop("denied-update")
        self.deny(Manager(message.source, addr, port), message, UNSUPPORTED, types, cookie)

    def affinity(self, manager, message, fields, family):
        action = [struct.unpack("!IIII", b) for b in bodies(message, SEQ_ADJUST)] if SEQ_ADJUST in self.supported else []
        tunnel = message.segment(TUNNEL) if TUNNEL in self.supported else None
        nat = {}
        for body in bodies(message, NAT):
            nat.update(read_nat(body))
        backup = message.segment(BACKUP)
        return Affinity(manager, family, read_rank(message), int.from_bytes(backup, "big") if backup else 0,
                        fields["flags"], fields["forward"], fields["ttl"], self.now, nat, action,
                        tunnel and read_tunnel(tunnel), self.read_reject(message), [read_interest(b) for b in bodies(message, INTEREST)],
                        message.segment(SM_DATA))

    def read_reject(self, message):
        body = message.segment(REJECT) if REJECT in self.supported else None
        return body[0] if body else 0

    def unable(self, message):
        """Types it must be able to act upon, and cannot (ACT-8, MSG-3)."""
        types = {s.type for s in message.segments if s.required and s.type in (SEQ_ADJUST, TUNNEL, REJECT)}
        types |= set(message.segment(ACTION_LIST) or b"")
        return types - self.supported

    def wildcard_update(self, manager, message):
        fields = read_wildcard(message.segment(WILDCARD))
        new = self.affinity(manager, message, fields, fields["family"])
        new.match = fields
        new.ranges = read_ranges(message.segment(RANGES) or b"", fields["family"])
        new.prefixes = [self.prefix(body, fields) for body in bodies(message, ADVERTISE)]
        old = next((w for w in self.wildcards if w.equal_to(new)), None)
        if new.ttl == 0:
            self.wildcard_delete(old)
            return
        if self.unable(message):
            self.deny(manager, message, UNSUPPORTED, self.unable(message))
        elif fields["flags"] & PROTECTED and not self.limits.protected:
            self.deny(manager, message, FORBIDDEN)
        elif not old and len(self.wildcards) >= self.limits.wildcards:
            self.count("wildcards/no-room")
            self.deny(manager, message, NO_ROOM)
        else:
            before = self.advertised()
            self.lineages += 1
            new.lineage = old.lineage if old else self.lineages
            if old:
                self.wildcards.remove(old)
                new.data_seen, new.packets, new.bytes = old.data_seen, old.packets, old.bytes
                new.silence = old.silence
            self.wildcards.append(new)
            self.changed_adverts(before)
            self.count("messages/wildcard-updates")

    def wildcard_delete(self, old):
        if not old:
            self.count("message-drops/unknown-wildcard")
            return
        self.forget(old)
        self.count("wildcards/deleted")

    @staticmethod
    def prefix(body, fields):
        value, _ = address(body, 2)
        if body[2]:
            return body[2], value, body[0]
        return fields["family"], fields["dst"], bin(fields["dst_mask"]).count("1")

    def fixed_update(self, manager, message, cookie):
        fields = read_fixed(message.segment(FIXED))
        key, enclosed = fields["key"], message.segment(IP_PACKET)
        new = self.affinity(manager, message, fields, key.family)
        new.key = key
        old = next((x for x in self.fixed if (x.manager, x.key, x.rank) == (manager, key, new.rank)), None)
        if new.ttl or enclosed is not None:
            self.heard(manager, key)
        covered = self.limits.uncovered or any(w.manager is manager and w.covers(key) for w in self.wildcards)
        code = None
        if self.unable(message) and (new.ttl or enclosed is not None):
            code = UNSUPPORTED
        elif not covered and (new.ttl or enclosed is not None):
            code = NOT_COVERED
        elif new.ttl and not old and len(self.fixed) >= self.limits.fixed:
            self.count("affinities/no-room")
            code = NO_ROOM
        if code:
            if enclosed is not None:
                self.drop("denied-update")
            self.deny(manager, message, code, self.unable(message) if code == UNSUPPORTED else (), cookie)
            return
        self.count("messages/fixed-updates")
        self.store(new, old)
        # An update that only deletes answers nothing.
        hold = self.answered(key, manager, cookie) if new.ttl or enclosed is not None else None
        if enclosed is not None:
            self.enclosed(new, packets.parse(enclosed), cookie)
        self.release(hold)

    def store(self, new, old):
        if old:
            self.fixed.remove(old)
            new.data_seen, new.packets, new.bytes = old.data_seen, old.packets, old.bytes
            new.moved = old.moved if new.adjusts == old.adjusts else {}
        if new.ttl:
            self.fixed.append(new)
            self.count("affinities/updated" if old else "affinities/added")
        elif old:
            self.count("affinities/deleted")

    def enclosed(self, answer, packet, cookie):
        self.count("packets/returned")
        if self.is_probe(answer.key, cookie):
            self.drop("probe-answered")  # it had gone on
            return
        if packet.embedded and packet.embedded.key.reverse() == answer.key:
            packet.key, packet.follows = answer.key, True
        if not packet.first and (packet.key.src, packet.key.dst, packet.key.family) == (
                answer.key.src, answer.key.dst, answer.key.family) and packet.key.proto == answer.key.proto:
            packet.key = answer.key
        if packet.key != answer.key:
            self.drop("update-mismatch")
            return
        resume = self.resume_by_cookie(packet, cookie)
        if resume is None:
            ranks = [a.rank for a in self.matching_of(answer.manager, packet.key)] + [answer.rank]
            resume = min(ranks)
        self.process(packet, resume, answer=answer)

    def matching_of(self, manager, key):
        return [a for a in self.wildcards if a.manager is manager and a.covers(key)] + [
            x for x in self.fixed if x.manager is manager and x.key == key]

    def resume_by_cookie(self, packet, cookie):
        """The rank at which it was punted, if this agent says so itself (PREC-7)."""
        if cookie is None or self.cookies[cookie][0] != packet.key:
            return None
        age = self.now - self.cookies[cookie][2]
        if age == COOKIE_MS:
            raise Unclear("exactly as old as FA interest data may be")
        if age > COOKIE_MS:
            return None
        packet.interface = self.cookies[cookie][3]
        return self.cookies[cookie][1]

    def follow_returned(self, packet, cookie):
        """An error has the key for which its FA interest data was made, else as if it had just come."""
        flow = packet.embedded.key.reverse()
        made_for = self.cookies[cookie][0] if cookie is not None and self.now - self.cookies[cookie][2] < COOKIE_MS else None
        if made_for == flow:
            packet.key, packet.follows = flow, True
        elif made_for != packet.key:
            self.follow(packet)

    def packet_only(self, manager, message, cookie):
        packet = packets.parse(message.segment(IP_PACKET))
        self.count("packets/returned")
        if not packet.first:
            self.learn(packet)
        if packet.embedded:
            self.follow_returned(packet, cookie)
        resume = self.resume_by_cookie(packet, cookie)
        if resume is None:
            if not self.limits.authenticated:
                self.drop("cookie")
                return
            # From a manager that nobody asked: like a packet that just arrived.
            resume = min([a.rank for a in self.matching_of(manager, packet.key)], default=BEFORE_ALL)
        self.heard(manager, packet.key)
        hold = self.answered(packet.key, manager, cookie)
        if self.is_probe(packet.key, cookie):
            self.drop("probe-answered")
        else:
            self.process(packet, resume, spared=resume)
        self.release(hold)


def datagram(packet):
    key = packets.parse_start(packet.data).key
    return key.family, key.src, key.dst, packet.ident, key.proto if key.family == 4 else 0


def moved(initial, far, number):
    """An initial number follows what is seen, 2^30 behind, before serial arithmetic forgets it: in small steps, when
    enough numbers in a row were farther ahead.  And how many were."""
    ahead = (number - initial) & 0xffffffff
    if not FOLLOW_BEHIND < ahead < 1 << 31:
        return initial, 0
    if far < FOLLOW_AFTER:
        return initial, far + 1
    return (initial + min(ahead - FOLLOW_BEHIND, FOLLOW_STEP)) & 0xffffffff, far


def adjusted(number, deltas):
    """number plus the deltas whose initial number is not after it (RFC 1982)."""
    total = sum(delta for delta, initial in deltas if (number - initial) & 0xffffffff < 0x80000000)
    return (number + total) & 0xffffffff
