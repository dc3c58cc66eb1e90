#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Where the lab's web servers send uploads: reads the whole body, keeps none of it.

Answers the number of bytes received, one line; their SHA-256 is in the header
X-Content-SHA256 and the server's name in X-Server.  Listens on a Unix socket.
"""

import argparse
import hashlib
import os
import socket
import socketserver
import sys
from http.server import BaseHTTPRequestHandler


class Handler(BaseHTTPRequestHandler):
    def address_string(self):
        return "upload"

    def receive(self):
        left = int(self.headers.get("Content-Length") or 0)
        digest, count = hashlib.sha256(), 0
        while left > 0:
            block = self.rfile.read(min(left, 1 << 18))
            if not block:
                break
            digest.update(block)
            count += len(block)
            left -= len(block)
        body = b"%d\n" % count
        self.send_response(200 if left == 0 else 400)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-SHA256", digest.hexdigest())
        self.send_header("X-Server", self.headers.get("X-Server", ""))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST = receive


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--socket", required=True, metavar="PATH")
    path = parser.parse_args().socket
    if os.path.exists(path):
        os.unlink(path)
    with Server(path, Handler) as server:
        notify = os.environ.get("NOTIFY_SOCKET")
        if notify:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.sendto(b"READY=1\n", notify)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
