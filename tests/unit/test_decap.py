# SPDX-License-Identifier: BSD-2-Clause
"""The far end of tunnels in user space: what it lets in, and what routers said of congestion."""
import importlib.util
import ipaddress
import pathlib

import pytest
from scapy.all import IP, UDP, IPv6, Raw, raw

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
spec = importlib.util.spec_from_file_location("decap", ROOT / "lab/decap.py")
decap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(decap)

VIPS = {4: "203.0.113.10", 6: "2001:db8:113::10"}
ROUTER = ipaddress.ip_address("10.0.20.1")


def packet(family, dst=None, **more):
    dst = dst or VIPS[family]
    layer = IP(src="198.51.100.7", dst=dst, **more) if family == 4 else IPv6(src="2001:db8::7", dst=dst, **more)
    return raw(layer / UDP(sport=1, dport=2) / Raw(b"data"))


@pytest.fixture
def end():
    return decap.End(None, {ipaddress.ip_address(v).packed for v in VIPS.values()},
                     [ipaddress.ip_network("10.0.0.0/8")])


@pytest.mark.parametrize("family, protocol", [(4, 4), (6, 41)])
def test_only_what_is_for_us_gets_in_SVC_10(end, family, protocol):
    good = packet(family)
    assert end.verdict(good, ROUTER, protocol) is None and end.verdict(good, ROUTER, None) is None
    assert end.verdict(packet(family, "192.0.2.1" if family == 4 else "2001:db8::1"), ROUTER, None) == "destination"
    assert end.verdict(good, ipaddress.ip_address("192.0.2.1"), None) == "sender"
    assert end.verdict(good, ipaddress.ip_address("2001:db8::1"), None) == "sender"
    assert end.verdict(good, ROUTER, 45 - protocol) == "malformed"
    for bad in (b"", b"\0", good[:19], b"\x50" + good[1:]):
        assert end.verdict(bad, ROUTER, None) == "malformed"


@pytest.mark.parametrize("family, field", [(4, "tos"), (6, "tc")])
def test_congestion_experienced_reaches_the_inner_packet_SVC_10(family, field):
    for bits in range(0, 256, 0x11):
        before, ecn = packet(family, **{field: bits}), bits & 3
        for outer in range(3):
            assert decap.mark(before, outer) == before
        expected = None if ecn == 0 else packet(family, **{field: bits | 3})
        assert decap.mark(before, 3) == expected
