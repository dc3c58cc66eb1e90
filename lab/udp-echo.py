#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""UDP echo for the lab: a server, and with --ask a client.

The server sends every datagram back unchanged, from the address it was sent to.
The payload `whoami` is answered with the server's name instead.
"""

import argparse
import os
import selectors
import socket
import sys

IP_PKTINFO = 8  # not named by Python's socket module


def ready():
    """Tell whoever started us that we serve (sd_notify)."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"READY=1\n", path)


def bound(family, port):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        s.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    s.bind(("", port))
    return s


def answer(s, name):
    payload, ancillary, _, client = s.recvmsg(65535, 256)
    reply = name if payload.strip() == b"whoami" else payload
    # Answer from the address asked.  The interface in the packet information is zeroed: routing chooses the way back.
    source = [(level, kind, bytes(4) + data[4:] if level == socket.IPPROTO_IP else data[:16] + bytes(4))
              for level, kind, data in ancillary]
    try:
        s.sendmsg([reply], source, 0, client)
    except OSError as error:
        print(f"{client[0]} port {client[1]}: {error}", file=sys.stderr)


def serve(port, name):
    selector = selectors.DefaultSelector()
    for family in (socket.AF_INET, socket.AF_INET6):
        selector.register(bound(family, port), selectors.EVENT_READ)
    ready()
    while True:
        for key, _ in selector.select():
            answer(key.fileobj, name.encode())


def sized(text, size):
    """So many bytes, no two parts of them alike; the text alone if there is no size."""
    if size is None:
        return text.encode()
    return b"".join(b"%s %d " % (text.encode(), at) for at in range(0, size, len(text) + 2))[:size]


def described(sent, reply, size):
    if size is None:
        return reply.decode(errors="replace")
    return f"{len(reply)} bytes, {'unchanged' if reply == sent else 'changed'}"


def ask(arguments):
    """One line a reply; exit status 1 when one did not come."""
    lost = 0
    family = socket.AF_INET6 if ":" in arguments.ask else socket.AF_INET
    payload = sized(arguments.payload, arguments.size)
    for _ in range(arguments.count):
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.settimeout(arguments.timeout)
            s.connect((arguments.ask, arguments.port))
            try:
                s.send(payload)
                print(described(payload, s.recv(65535), arguments.size))
            except OSError as error:
                print(f"no reply from {arguments.ask}: {error}", file=sys.stderr)
                lost += 1
    return 1 if lost else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=7, help="default: 7")
    parser.add_argument("--name", default=socket.gethostname(), help="answer to whoami; default: the host name")
    parser.add_argument("--ask", metavar="ADDRESS", help="be a client: send, print the reply")
    parser.add_argument("--count", type=int, default=1, help="ask so often, each time from another port")
    parser.add_argument("--timeout", type=float, default=2, metavar="SECONDS", help="wait for a reply; default: 2")
    parser.add_argument("--size", type=int, metavar="BYTES",
                        help="make the payload so large, and only say whether it came back")
    parser.add_argument("payload", nargs="?", default="whoami", help="what to send; default: whoami")
    arguments = parser.parse_args()
    if arguments.ask:
        return ask(arguments)
    try:
        serve(arguments.port, arguments.name)
    except OSError as error:
        print(f"udp-echo: port {arguments.port}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
