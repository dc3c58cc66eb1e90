#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Seeds for the fuzzers out of the test vectors: seeds.py DIRECTORY.

DIRECTORY/wire gets the bytes of every message, good or bad; DIRECTORY/packet
the packets inside them, ICMP errors and fragments, behind the eight bytes that say what is done to it.
Knows the text format of tests/vectors, and of messages only how to find a segment.
"""
import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
VECTORS = ROOT / "tests/vectors"
HEADER, IP_PACKET = 40, 15
CHOICES = (bytes(8), bytes.fromhex("0f50010201000a01"), bytes.fromhex("8f00ffff00000002"))


def bytes_of(path):
    """The message in a vector file: hex up to two spaces, up to the line of dashes."""
    head = path.read_text().partition("\n---\n")[0]
    return bytes.fromhex("".join(line.split("  ")[0] for line in head.splitlines() if not line.startswith("#")))


def packet_of(message):
    """The IP packet segment's contents, or None."""
    at = HEADER
    while at + 4 <= len(message):
        kind, _, size = struct.unpack_from("!BBH", message, at)
        if kind == IP_PACKET:
            return message[at + 4:at + 4 + size]
        at += 4 + size
    return None


def main(target):
    for name in ("wire", "packet"):
        (target / name).mkdir(parents=True, exist_ok=True)
    # ICMP errors and fragments: some of each kind.
    for path in sorted([*VECTORS.glob("packets/errors*.txt"), VECTORS / "packets/fragments.txt"]):
        packets = [bytes.fromhex(line[3:]) for line in path.read_text().splitlines() if line.startswith("in ")]
        for number, packet in enumerate(packets[::5]):
            (target / "packet" / f"{path.stem}-{number}").write_bytes(CHOICES[1 + number % 2] + packet)
    for path in sorted(VECTORS.glob("messages*/*.txt")):
        message = bytes_of(path)
        (target / "wire" / path.stem).write_bytes(message)
        packet = packet_of(message)
        for number, choice in enumerate(CHOICES if packet else ()):
            (target / "packet" / f"{path.stem}-{number}").write_bytes(choice + packet)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
