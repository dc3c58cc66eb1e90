# SPDX-License-Identifier: BSD-2-Clause
"""Runs scenarios through the real engine (replay.c) and compares each step with what the model expects.

A scenario is a list of steps:

    ("new", limits)                      the first one
    ("at", time)                         in milliseconds
    ("packet", interface, offload, data)
    ("message", address, port, bytes, cookie)
    ("fail", "send" or "forward", 0 or 1)
    ("state",)                           the tables

each with a number of its own.  cookie is None or (number of a step, which of
the matches of that step) whose FA interest data the message brings back: a
scenario stays good when other steps are taken out of it.

Must not know how scenarios are made: see scenario.py.
"""
import dataclasses
import pathlib
import re
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests/lab"), str(ROOT / "tests/model")]
import packets  # noqa: E402
import protocol  # noqa: E402
from model import (ACTION_LIST, BEFORE_ALL, DENY, ERROR, FA_DATA, IP_PACKET, Model, Unclear)  # noqa: E402

COOKIE_BYTES = bytes(32)
# Outer destinations in scenarios with tunnels, in hex, in their place: nothing else has them.
REMOTES = re.compile(r"^(?:.{32}0a0907..|.{48}20010db8000900070000000000000000)")
AGENT = 0xfad
# Counters that the documents define by what is seen outside, so that the model can say them.
COUNTERS = frozenset(f"packets/{n}" for n in ("received", "received-bytes", "forwarded", "unmatched", "punted", "held",
                                              "copied", "returned", "errors-made", "resets-made", "silent-routed",
                                              "silent-probes")) | frozenset(
    f"drops/{n}" for n in ("affinity", "rejected", "rejected-untold", "fragment-orphaned", "malformed", "hold-full", "hold-orphaned", "hold-timeout", "denied-update",
                           "update-mismatch", "cookie", "advertised", "forward", "silent", "probe-answered")) | frozenset(
    f"messages/{n}" for n in ("matches", "refreshes", "denies", "wildcard-updates", "fixed-updates")) | frozenset(
    f"wildcards/{n}" for n in ("deleted", "expired", "no-room", "silent")) | frozenset(
    f"affinities/{n}" for n in ("added", "updated", "deleted", "expired", "ranks-ignored", "no-room")) | {
        "message-drops/unexpected", "message-drops/unknown-wildcard"}


@dataclasses.dataclass(frozen=True)
class Step:
    number: int
    what: tuple


class Player:
    """Gives the steps of one scenario to a model; .expected has (events, counts) of each."""

    def __init__(self, limits):
        self.model = Model(limits)
        self.steps, self.expected = [], []
        self.clear = []  # after each step: nothing is so near its end that it may be there or not
        self.made = {}  # number of a step: its first cookie, how many

    def do(self, step):
        model, what = self.model, step.what
        model.events, model.counts = [], {}
        first = len(model.cookies)
        if what[0] == "at":
            model.advance(what[1])
        elif what[0] == "packet":
            self.demand_clear()
            model.packet(what[3], what[2], what[1])
        elif what[0] == "message":
            self.demand_clear()
            model.message(decoded(what[3]), what[1], what[2], self.cookie(what[4]))
        elif what[0] == "state":
            model.state()
        elif what[0] == "fail":
            setattr(model, f"fail_{what[1]}", bool(what[2]))
        self.made[step.number] = (first, len(model.cookies) - first)
        self.steps.append(step)
        self.expected.append((model.events, model.counts))
        self.clear.append(model.clear())

    def demand_clear(self):
        if not self.model.clear():
            raise Unclear("close to the end of a TTL")

    def cookie(self, reference):
        """Number of the cookie that a step refers to."""
        if reference is None:
            return None
        first, count = self.made.get(reference[0], (0, 0))
        if reference[1] >= count:
            raise Unclear("answers a match that was not sent")
        return first + reference[1]


def decoded(data):
    """Without protocol.py's strict checks: the real codec makes them."""
    _, kind, _, _, source, incarnation, destination, sequence = protocol.HEADER.unpack_from(data)
    return protocol.Message(kind, source, incarnation, destination, sequence, [s for _, s in protocol.split(data)])


# ---- the real engine ----


def line_of(player, step):
    what = step.what
    if what[0] == "new":
        names = ("fixed", "wildcards", "flows", "packets", "uncovered", "protected", "authenticated")
        return "new " + " ".join(f"{n}={int(getattr(what[1], n))}" for n in names)
    if what[0] == "at":
        return f"at {what[1]}"
    if what[0] == "packet":
        return f"pkt {what[1]} {what[2]} {what[3].hex()}"
    if what[0] == "message":
        cookie = player.cookie(what[4])
        return f"msg {what[1]} {what[2]} {'-' if cookie is None else cookie} {what[3].hex()}"
    if what[0] == "state":
        return "state"
    return "fail %s %d" % what[1:]


class Crashed(Exception):
    """The replay program ended before its input did."""


def replay(program, players):
    """For each player, for each step, the lines the engine printed."""
    text = "".join(line_of(p, s) + "\n" for p in players for s in p.steps)
    done = subprocess.run([str(program)], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=600)
    answers, lines = [], []
    for line in done.stdout.splitlines():
        if line == ".":
            answers.append(lines)
            lines = []
        else:
            lines.append(line)
    total = sum(len(p.steps) for p in players)
    if done.returncode != 0 or len(answers) != total:
        raise Crashed(f"status {done.returncode} at step {len(answers)} of {total}\n{done.stderr[-4000:]}")
    at = 0
    for player in players:
        yield answers[at:at + len(player.steps)]
        at += len(player.steps)


# ---- comparison ----


def split(data):
    """(type, destination, [(segment type, body)]) of a message, without looking into it."""
    segments, at = [], 40
    while at < len(data):
        kind, _, size = struct.unpack_from("!BBH", data, at)
        segments.append((kind, data[at + 4:at + 4 + size]))
        at += 4 + size
    return data[1], int.from_bytes(data[24:32], "big"), segments


class Reader:
    """Turns the engine's lines into the model's events; remembers its cookies."""

    def __init__(self):
        self.cookies = []
        self.shapes = set()

    def events(self, lines):
        events, counts = [], {}
        for line in lines:
            kind, _, rest = line.partition(" ")
            if kind == "c":
                name, _, value = rest.partition(" ")
                if name in COUNTERS:
                    counts[name] = int(value)
            elif kind == "f":
                events.append(self.forwarded(*rest.split(" ")))
            elif kind == "s":
                events.append(self.sent(*rest.split(" ")))
            elif kind == "a":
                events.append(("a", *rest.split(" ")))
            elif kind != "k":
                events.append((kind, *rest.split(" ")))
        return events, counts

    @staticmethod
    def forwarded(next_hop, offload, text):
        if REMOTES.search(text[:80]):
            text = packets.without_hashes(bytes.fromhex(text)).hex()
        return ("f", next_hop, offload, text)

    def sent(self, identity, addr, port, text):
        data = bytes.fromhex(text)
        kind, destination, segments = split(data)
        shape = (kind, tuple(s[0] for s in segments))
        if shape not in self.shapes:  # strictly, once for each kind
            protocol.decode(data)
            self.shapes.add(shape)
        found = []
        for segment, body in segments:
            if segment == ERROR:
                body = int.from_bytes(body[:2], "big")
            elif segment == ACTION_LIST:
                body = bytes(sorted(body))
            elif segment == FA_DATA and kind != DENY:
                self.cookies.append(body)
                body = len(self.cookies) - 1
            elif segment == FA_DATA:
                body = self.cookies.index(body) if body in self.cookies else body
            found.append((segment, body))
        if destination != int(identity):
            found.append(("destination", destination))
        return ("s", int(identity), addr, int(port), kind, tuple(sorted(found)))


def expected_events(events):
    """The model's, with prefixes in words."""
    for event in events:
        if event[0] == "a":
            family, value, plen = event[2]
            yield ("a", event[1], f"{packets.text(family, value)}/{plen}")
        else:
            yield event


class Seen:
    """What one of the two did, up to a moment at which they can be compared."""

    def __init__(self):
        self.adverts, self.expired = [], {}

    def add(self, events, counts):
        """(what happens at once, counts of it); the rest may come a little sooner or later."""
        self.adverts += [e for e in events if e[0] == "a"]
        for name in ("wildcards/expired", "affinities/expired"):
            if name in counts:
                self.expired[name] = self.expired.get(name, 0) + counts[name]
        if events and events[0][0] in "wxvh":
            events = sorted(events)  # tables have no order of their own
        return ([e for e in events if e[0] != "a"],
                {k: v for k, v in counts.items() if k in COUNTERS and k not in ("wildcards/expired", "affinities/expired")})

    def take(self):
        """Announcements have no order among each other."""
        taken = sorted(self.adverts), self.expired
        self.adverts, self.expired = [], {}
        return taken


def difference(player, answers):
    """(index of the first step that differs, events, counts of the engine), or None."""
    reader, model, engine = Reader(), Seen(), Seen()
    for index, (lines, (events, counts)) in enumerate(zip(answers, player.expected)):
        got, got_counts = reader.events(lines)
        same = engine.add(got, got_counts) == model.add(list(expected_events(events)), counts)
        if not same or player.clear[index] and engine.take() != model.take():
            return index, got, got_counts
    return None


# ---- making a scenario short ----


def rerun(program, limits, steps):
    """(player, answers), or None when the documents leave it open or the engine crashes."""
    player = Player(limits)
    try:
        for step in steps:
            player.do(step)
    except Unclear:
        return None
    return player, next(replay(program, [player]))


def differs(program, limits, steps):
    try:
        ran = rerun(program, limits, steps)
    except Crashed:
        return True
    return bool(ran and difference(*ran))


def shrink(program, limits, steps):
    """Steps taken out, in ever smaller pieces, while the two still differ."""
    size = max(1, len(steps) // 2)
    while True:
        at, removed = 1, False
        while at < len(steps):
            shorter = steps[:at] + steps[at + size:]
            if differs(program, limits, shorter):
                steps, removed = shorter, True
            else:
                at += size
        if size == 1 and not removed:
            return steps
        size = max(1, size // 2)


# ---- in words ----


def words_of_packet(data):
    try:
        p = packets.parse(data)
    except (IndexError, struct.error, KeyError):
        return data.hex()
    k = p.key
    name = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp6"}.get(k.proto, str(k.proto))
    flags = "".join(f for bit, f in enumerate("FSRPAU") if p.flags & 1 << bit)
    where = "" if not p.fragment else " first fragment" if p.l4 is not None else " later fragment"
    return (f"{name} {packets.text(k.family, k.src)}:{k.sport} > {packets.text(k.family, k.dst)}:{k.dport} {flags}"
            f"{where} {len(data) - p.payload} bytes")


def words_of_segment(kind, body):
    names = {v: n[4:].lower() for n, v in vars(protocol).items() if n.startswith("SEG_")}
    if kind == IP_PACKET:
        return f"packet[{words_of_packet(body)}]"
    if not isinstance(body, bytes):
        return f"{names.get(kind, kind)}={body}"
    try:
        fields = protocol.SEGMENTS[kind](protocol.Reader(body), {})
    except (protocol.ProtocolError, KeyError):
        fields = body.hex()
    if isinstance(fields, dict):
        fields = " ".join(f"{k}={v}" for k, v in fields.items() if v or k == "ttl")
    return f"{names.get(kind, kind)}[{fields}]"


def words_of_step(step):
    what = step.what
    if what[0] == "packet":
        return f"packet {words_of_packet(what[3])} offload {what[2]}"
    if what[0] == "message":
        m = decoded(what[3])
        cookie = "" if what[4] is None else f" cookie of step {what[4][0]}"
        return (f"message {m.type} of {m.source} from {what[1]}:{what[2]}{cookie}: " +
                " ".join(words_of_segment(s.type, s.body) for s in m.segments))
    return " ".join(map(str, what))


def words_of_event(event):
    if event[0] == "f":
        return f"forwards to {event[1]} ({event[2]}): {words_of_packet(bytes.fromhex(event[3]))} {event[3]}"
    if event[0] == "s":
        return (f"sends type {event[4]} to {event[1]} at {event[2]}:{event[3]}: " +
                " ".join(words_of_segment(*s) for s in event[5]))
    return " ".join(map(str, event))


def trace(player, answers):
    """What both did, step by step up to the first difference."""
    found = difference(player, answers)
    reader, lines = Reader(), []
    for index, (step, answer, (events, counts)) in enumerate(zip(player.steps, answers, player.expected)):
        got, got_counts = reader.events(answer)
        lines.append(f"step {step.number}: {words_of_step(step)}")
        here = found and index == found[0]
        lines += [f"    {'model ' if here else ''}{words_of_event(e)}" for e in expected_events(events)]
        if here:
            want = {k: v for k, v in counts.items() if k in COUNTERS}
            lines += [f"    engine {words_of_event(e)}" for e in got]
            lines += [f"    {who} counts {dict(sorted(set(a.items()) - set(b.items()))) or 'nothing else'}"
                      for who, a, b in (("model", want, got_counts), ("engine", got_counts, want))]
            break
    return "\n".join(lines)


assert BEFORE_ALL < 0
