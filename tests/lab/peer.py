# SPDX-License-Identifier: BSD-2-Clause
"""Parties that speak the service protocol, for tests only: the second implementation's sockets and sessions.

Written from docs/protocol.md and nothing else, as protocol.py is, whose names
are all to be had from here.  Peer is either side and does nothing but answer
challenges (and, if told so, issue them); Manager and Agent behave as the
document's section 11 says.  All can also say what nobody should: forged,
replayed, truncated or contradictory messages.

Must not know the lab: a Peer is given the path of a network namespace.
"""
import contextlib
import ctypes
import os
import socket
import struct
import time

from protocol import *  # noqa: F401,F403: tests find all names of the format here, too
from protocol import _raw

PORT, GROUP_PORT = 7510, 7511
GROUP4, GROUP6 = "239.255.75.10", "ff15::7510"
HELLO_EVERY = 10.0
WINDOW = 1024


@contextlib.contextmanager
def namespace(path):
    """This thread inside a network namespace: a socket made here stays there.  None: where we are."""
    if path is None:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newnet = 0x40000000

    def enter(fd):
        if libc.setns(fd, clone_newnet) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")

    home, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(path, os.O_RDONLY)
    try:
        enter(there)
        yield
    finally:
        enter(home)
        os.close(home)
        os.close(there)


class Session:
    """What a receiver knows of one other identity (section 9)."""

    def __init__(self):
        self.incarnation = None
        self.windows = {}  # destination is the group: (newest, set of those seen)
        self.nonce = None

    def start(self, message):
        """A valid response: all up to its sequences counts as seen."""
        self.incarnation = message.incarnation
        group_sequence, = struct.unpack_from("!Q", message.segment(SEG_NONCE), 16)
        self.windows = {False: [message.sequence, None], True: [group_sequence, None]}
        for window in self.windows.values():
            window[1] = set(range(max(0, window[0] - WINDOW), window[0] + 1))

    def take(self, message):
        """Is it new?  If so it is not from now on."""
        newest, seen = window = self.windows[message.destination == 0]
        if message.sequence in seen or message.sequence < newest - WINDOW:
            return False
        window[0] = max(newest, message.sequence)
        seen.add(message.sequence)
        seen -= {n for n in seen if n < window[0] - WINDOW}
        return True


class Peer:
    """One party: an identity with an incarnation, its sockets, its sequences.

    Answers challenges by itself while it receives.  With `challenging` it believes no
    incarnation that has not answered a challenge of its own, and drops replays; else it
    believes all.  `inbox` holds what was received and not yet taken by receive().
    """

    def __init__(self, netns, address, ident, key=b"", key_id=1, port=PORT, group=None, group_port=GROUP_PORT,
                 incarnation=None, challenging=False, scheme=2):
        self.address, self.ident, self.port = address, ident, port
        self.key, self.key_id, self.scheme = key, key_id, scheme
        self.group, self.group_port = group, group_port
        self.incarnation = incarnation or time.time_ns()
        self.challenging = challenging
        self.sequences = {}
        self.sessions = {}
        self.inbox = []
        self.said, self.heard = set(), set()  # types of messages sent, and of those received, of which nothing was refused
        self.challenges_answered = 0
        self.replays = 0
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with namespace(netns):
            self.sockets = [socket.socket(family, socket.SOCK_DGRAM)]
            self.sockets[0].bind((address, port))
            if group:
                self.sockets.append(self._join(family, group, group_port, address))
        for s in self.sockets:
            s.setblocking(False)

    def _join(self, family, group, group_port, address):
        """A socket that hears the group; what we send leaves by the interface that has our address."""
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((group, group_port))
        if family == socket.AF_INET:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _raw(group) + _raw(address))
            self.sockets[0].setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _raw(address))
            self.sockets[0].setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
        else:
            index = struct.pack("@I", interface_of(address))
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, _raw(group) + index)
            self.sockets[0].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            self.sockets[0].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 8)
        return s

    def close(self):
        for s in self.sockets:
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- sending ----

    def bytes_of(self, kind, segments, destination=0, sequence=None):
        """A signed message with the next sequence number for its destination."""
        if sequence is None:
            sequence = self.sequences[destination] = self.sequences.get(destination, 0) + 1
        message = Message(kind, self.ident, self.incarnation, destination, sequence, list(segments))
        self.said.add(kind)
        return encode(message, self.key, self.key_id, self.scheme)

    def send(self, to, kind, segments, destination=0):
        """Send to (address, port); the bytes, so that a test can replay them."""
        data = self.bytes_of(kind, segments, destination)
        self.sockets[0].sendto(data, to)
        return data

    def send_group(self, kind, segments):
        return self.send((self.group, self.group_port), kind, segments)

    def reply(self, message, kind, segments):
        """Send to where a message came from."""
        return self.send(message.sender, kind, segments, message.source)

    def challenge(self, to, destination, data):
        return self.send(to, CHALLENGE, [nonce(data)], destination)

    # ---- receiving ----

    def _answer(self, message):
        """Our response to a challenge: its nonce, and how far our group sequence has come."""
        data = message.segment(SEG_NONCE)[:16]
        self.reply(message, CHALLENGE_RESPONSE, [nonce(data, self.sequences.get(0, 0))])
        self.challenges_answered += 1
        self.asked(message)

    def asked(self, message):
        """The challenger has none of our state; Manager and Agent say it again."""

    def _judge(self, message):
        """Section 9, for what is neither a challenge nor ours: may it be processed?"""
        session = self.sessions.setdefault(message.source, Session())
        if message.type == CHALLENGE_RESPONSE:
            if session.nonce is None or message.segment(SEG_NONCE)[:16] != session.nonce:
                return False
            session.nonce = None
            session.start(message)
            return True
        if session.incarnation == message.incarnation:
            new = session.take(message)
            self.replays += not new
            return new
        if session.nonce is None:
            session.nonce = os.urandom(16)
        self.challenge(message.sender, message.source, session.nonce)
        return False

    def _take(self, data, sender):
        message = decode(data, {self.key_id: self.key} if self.key else None)
        message.sender = sender[:2]
        if self.key and message.segment(SEG_SECURITY)[0] != self.scheme and message.type != PACKET:
            raise ProtocolError("scheme", "not the key's")
        if message.source == self.ident or message.destination not in (0, self.ident):
            return
        self.heard.add(message.type)
        if message.type == CHALLENGE:
            self._answer(message)
        elif self.challenging and not self._judge(message):
            return
        self.inbox.append(message)
        self.handle(message)

    def handle(self, message):
        """Called for each message accepted; the inbox has it too."""

    def poll(self):
        """Move what lies in the sockets to the inbox, decoded and verified; challenges are answered."""
        for s in self.sockets:
            while True:
                try:
                    data, sender = s.recvfrom(65535)
                except BlockingIOError:
                    break
                if sender[:2] != (self.address, self.port):
                    self._take(data, sender)

    def receive(self, wanted, timeout=5.0, every=None):
        """Take the first message for which wanted(message) holds; None after the timeout.

        every: called about each 0.5 s meanwhile, to say something again.
        """
        deadline, again = time.monotonic() + timeout, 0.0
        while time.monotonic() < deadline:
            if every and time.monotonic() >= again:
                every()
                again = time.monotonic() + 0.5
            self.poll()
            for number, message in enumerate(self.inbox):
                if wanted(message):
                    return self.inbox.pop(number)
            time.sleep(0.005)
        return None


def interface_of(address):
    """Index of the interface that has an IPv6 address, in this thread's namespace."""
    wanted = _raw(address).hex()
    with open("/proc/thread-self/net/if_inet6", encoding="ascii") as f:
        for line in f:
            raw, index, *_ = line.split()
            if raw == wanted:
                return int(index, 16)
    raise OSError(f"no interface has {address}")


class Manager(Peer):
    """A manager: announces its wildcards, and answers matches by `decide`.

    wildcards: lists of segments, each the content of one wildcard update.
    decide(message): the segments of a fixed update, fixed segment first; None: no answer.
    What was returned with the match, FA interest data and packet, is added.
    """

    def __init__(self, *arguments, wildcards=(), decide=None, **named):
        super().__init__(*arguments, **named)
        self.wildcards = list(wildcards)
        self.decide = decide or (lambda message: None)
        self.agents = {}  # identity: (incarnation, (address, port))

    def announce(self, to=None, destination=0):
        """All wildcards, to the group or to one agent."""
        for segments in self.wildcards:
            if to is None:
                self.send_group(WILDCARD_UPDATE, segments)
            else:
                self.send(to, WILDCARD_UPDATE, segments, destination)

    def withdraw(self):
        """TTL 0 for each wildcard: bytes 4 to 7 of its segment."""
        for segments in self.wildcards:
            ended = [Segment(s.type, s.body[:4] + bytes(4) + s.body[8:], s.required) if s.type == SEG_WILDCARD else s
                     for s in segments]
            self.send_group(WILDCARD_UPDATE, ended)

    def asked(self, message):
        self.announce(message.sender, message.source)

    def handle(self, message):
        if message.type == HELLO:
            known = self.agents.get(message.source, (None,))[0] == message.incarnation
            self.agents[message.source] = message.incarnation, message.sender
            if not known:
                self.announce(message.sender, message.source)
        elif message.type in (MATCH_WILDCARD, MATCH_FIXED, REFRESH):
            self.answer(message)

    def answer(self, message):
        segments = self.decide(message)
        if segments is not None:
            self.reply(message, FIXED_UPDATE, [*segments, *self.returned(message)])

    @staticmethod
    def returned(message):
        """FA interest data and packet of a match, for the answer."""
        return [Segment(s.type, s.body, s.type == SEG_IP_PACKET) for s in message.segments
                if s.type in (SEG_FA_DATA, SEG_IP_PACKET)]

    def give_back(self, message):
        """Answer a match by its packet alone, unchanged."""
        self.reply(message, PACKET, self.returned(message))


class Agent(Peer):
    """An agent without a data path: says hello, learns wildcards, reports what a test gives it.

    wildcards: {manager's identity: {wildcard segment's match fields: message}}.
    """

    def __init__(self, *arguments, name="test-agent", supports=ACTIONS_OF_AGENT, **named):
        super().__init__(*arguments, **named)
        self.name, self.supports = name, supports
        self.wildcards = {}
        self.next_hello = 0.0

    def hello(self, to=None, destination=0):
        segments = [identity(self.address, self.name), action_list(*self.supports)]
        if to is None:
            self.send_group(HELLO, segments)
        else:
            self.send(to, HELLO, segments, destination)

    def asked(self, message):
        self.hello(message.sender, message.source)

    def poll(self):
        if self.group and time.monotonic() >= self.next_hello:
            self.hello()
            self.next_hello = time.monotonic() + HELLO_EVERY
        super().poll()

    def handle(self, message):
        if message.type != WILDCARD_UPDATE:
            return
        fields = read_wildcard(message)
        match = tuple(v for k, v in fields.items() if k not in ("ttl", "flags", "forward"))
        held = self.wildcards.setdefault(message.source, {})
        if fields["ttl"]:
            held[match] = message
        else:
            held.pop(match, None)

    def match(self, wild, key, reasons, data=None, cookie=b"", kind=MATCH_WILDCARD):
        """Report a flow under a wildcard update received; data: the packet itself."""
        segments = [identifier(key, reasons)]
        opaque = wild.segment(SEG_SM_DATA)
        if opaque:
            segments.append(Segment(SEG_SM_DATA, opaque, False))
        if cookie:
            segments.append(Segment(SEG_FA_DATA, cookie, False))
        if data:
            segments.append(packet(data))
        return self.reply(wild, kind, segments)

    def refresh(self, wild, key):
        return self.match(wild, key, 0, kind=REFRESH)

    def fixed_for(self, key, timeout=5.0, every=None):
        """The fixed update for a key, or None."""
        return self.receive(lambda m: m.type == FIXED_UPDATE and key_of(m) == key, timeout, every)


def key_of(message):
    """The flow a message is about: its fixed affinity's or identifier's key."""
    return read_fixed(message)[0] if message.segment(SEG_FIXED) else read_identifier(message)[0]
