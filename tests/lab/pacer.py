#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Both ends of a steady transfer, both ways at once, that knows how evenly it arrives.

Each end sends a few kilobytes every few milliseconds and notes the longest time in which nothing came, and the longest
in which it did not get round to sending.  TCP is a stream of known bytes; each UDP datagram begins with its number.
Prints one line of JSON when it is over.  Must not know what lies between.

	pacer.py serve tcp|udp ADDRESS PORT SECONDS         one client, then the end
	pacer.py connect tcp|udp ADDRESS PORT SECONDS
"""
import json
import selectors
import socket
import struct
import sys
import time

SO_RCVBUFFORCE = 33  # not named by Python's socket module
EVERY = 0.008
CHUNK = 4096  # of TCP
DATAGRAM, DATAGRAMS = 1000, 4  # of UDP
PATTERN = bytes(range(251)) * 400


class Seen:
    """Longest pause between two events, and when it ended, in seconds after the first."""

    def __init__(self):
        self.first, self.last, self.longest, self.where = None, None, 0.0, 0.0

    def now(self):
        t = time.monotonic()
        if self.last is None:
            self.first = t
        elif t - self.last > self.longest:
            self.longest, self.where = t - self.last, t - self.first
        self.last = t


class Stream:
    """TCP: the bytes of a pattern, in order or not at all."""

    def __init__(self, s):
        self.socket, self.sent, self.got, self.wrong, self.lost = s, 0, 0, 0, 0

    def send(self):
        start = self.sent % 251
        try:
            self.sent += self.socket.send(PATTERN[start:start + CHUNK])
        except BlockingIOError:
            pass

    def receive(self):
        data = self.socket.recv(65536)
        start = self.got % 251
        self.wrong += data != PATTERN[start:start + len(data)]
        self.got += len(data)
        return bool(data)


class Datagrams:
    """UDP: each has a number, and none comes after a later one; what is missing is lost."""

    def __init__(self, s):
        self.socket, self.sent, self.got, self.wrong, self.lost = s, 0, 0, 0, 0

    def send(self):
        for _ in range(DATAGRAMS):
            self.socket.send(struct.pack("!Q", self.sent) + bytes(DATAGRAM - 8))
            self.sent += 1

    def receive(self):
        number, = struct.unpack_from("!Q", self.socket.recv(65536))
        self.wrong += number < self.got
        self.lost += max(0, number - self.got)
        self.got = number + 1
        return True


def opened(role, kind, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    s.settimeout(20)
    if kind == "udp":  # a reader that gets no processor for a while loses nothing
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    if role == "connect":
        s.connect((address, port))
        if kind == "udp":
            s.send(b"hello")  # whom to answer
            s.recv(100)
        return s
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    if kind == "tcp":
        s.listen()
        print("ready", flush=True)
        return s.accept()[0]
    print("ready", flush=True)
    _, client = s.recvfrom(100)
    s.connect(client)
    s.send(b"hello")
    return s


def transfer(end, seconds):
    """Send for so long, receive a little longer, so that the other end's last words are heard."""
    end.socket.setblocking(False)
    came, went = Seen(), Seen()
    with selectors.DefaultSelector() as selector:
        selector.register(end.socket, selectors.EVENT_READ)
        begin = following = time.monotonic()
        while (now := time.monotonic()) < begin + seconds + 0.5:
            if now >= following and now < begin + seconds:
                went.now()
                end.send()
                following = max(following + EVERY, now)
            if not selector.select(max(0, min(following - time.monotonic(), EVERY))):
                continue
            if not end.receive():
                break
            came.now()
    return {"sent": end.sent, "got": end.got, "wrong": end.wrong, "lost": end.lost,
            "longest_gap_ms": round(came.longest * 1000, 1), "gap_at_s": round(came.where, 2), "longest_pause_ms": round(went.longest * 1000, 1)}


def main(role, kind, address, port, seconds):
    with opened(role, kind, address, int(port)) as s:
        if kind == "tcp":
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(json.dumps(transfer((Stream if kind == "tcp" else Datagrams)(s), float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
