# SPDX-License-Identifier: BSD-2-Clause
"""The packet vectors under tests/vectors/packets are what their generator writes, and say what they claim."""
import pathlib
import subprocess

from scapy.all import ICMP, IP, TCP, UDP, IPv6, raw

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PACKETS = ROOT / "tests/vectors/packets"


def test_ACT_1_vectors_are_those_of_the_generator(tmp_path):
    subprocess.run(["/usr/bin/python3", PACKETS / "generate.py", tmp_path], check=True)
    written = {p.name: p.read_text() for p in tmp_path.iterdir()}
    committed = {p.name: p.read_text() for p in PACKETS.glob("*.txt")}
    assert written == committed


def outputs(name):
    """(packet name, bytes that come out) of one file."""
    packet = None
    for line in (PACKETS / name).read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "packet":
            packet = rest
        elif word == "out":
            yield packet, bytes.fromhex(rest)


def rebuilt(data):
    """The packet as scapy builds it with every checksum left to scapy."""
    packet = (IP if data[0] >> 4 == 4 else IPv6)(data)
    for layer in (IP, TCP, UDP, ICMP):
        if layer in packet:
            del packet[layer].chksum
    return raw(packet)


def test_ACT_1_checksums_of_whole_packets_hold():
    count = 0
    for name in ("nat4.txt", "nat6.txt", "options.txt"):
        for packet, data in outputs(name):
            assert rebuilt(data) == data, packet
            count += 1
    assert count > 100
