# SPDX-License-Identifier: BSD-2-Clause
"""What goes on beside a flood; run in a client's namespace, prints one line of JSON.

    load.py download ADDRESS PORT PATH SECONDS PACE
        one connection, established before, reads the file again and again; PACE: no faster than so many
        bytes a second, 0: as fast as it can
    load.py connect ADDRESS PORT SECONDS         connections one after the other, a hundredth of a second apart

Must not know of the flood.
"""
import json
import re
import socket
import sys
import time

CONNECT_TIMEOUT = 3
STALL = 10


def download(address, port, path, seconds, pace):
    """Bytes a second over one connection."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    buffer, size, left = bytearray(1 << 20), 0, 0
    with socket.create_connection((address, port), timeout=STALL) as s:
        print("established", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            if left == 0:
                s.sendall(request)
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += s.recv(1)
                left = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
            n = s.recv_into(buffer, min(left, len(buffer)))
            if n == 0:
                raise ConnectionError("closed")
            left -= n
            size += n
            if pace:
                time.sleep(max(0, began + size / pace - time.monotonic()))
        return {"bytes_per_s": size / (time.monotonic() - began)}


def connect(address, port, seconds):
    """Times of all connects in seconds; failed ones count."""
    times, failed, end = [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            socket.create_connection((address, port), timeout=CONNECT_TIMEOUT).close()
            times.append(time.monotonic() - began)
        except OSError:
            failed += 1
        time.sleep(0.01)
    return {"times": times, "failed": failed}


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "download":
        print(json.dumps(download(rest[0], int(rest[1]), rest[2], float(rest[3]), float(rest[4]))))
    else:
        print(json.dumps(connect(rest[0], int(rest[1]), float(rest[2]))))
