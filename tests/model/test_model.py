# SPDX-License-Identifier: BSD-2-Clause
"""The real engine does what the reference model does, on random scenarios of each group.

Seeds are fixed, so that a failure is the same next time; `make fuzz-model`
takes others, by the million.
"""
import concurrent.futures
import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/model"))
import fuzz  # noqa: E402
import packets  # noqa: E402
import scenario  # noqa: E402

PROGRAM = pathlib.Path(os.environ.get("TURNOUT_REPLAY", ROOT / "build/asan/tests/model/replay"))
SEED = 1
# More than 100,000 packets and messages in all.
SCENARIOS = int(os.environ.get("TURNOUT_SCENARIOS", "240"))


@pytest.fixture(scope="module")
def pool():
    assert PROGRAM.exists(), f"{PROGRAM} is not there: make SAN=1 tests"
    with concurrent.futures.ProcessPoolExecutor(fuzz.WORKERS) as workers:
        yield workers


@pytest.mark.parametrize("group", scenario.GROUPS, ids=[f"{g}-{'_'.join(p['serves'].split())}" for g, p in
                                                         scenario.GROUPS.items()])
def test_engine_does_what_the_model_does(group, pool):
    played, reports = fuzz.run(PROGRAM, group, SEED, SCENARIOS, pool)
    print(f"{group}: {played} packets and messages")
    assert not reports, "\n" + "\n\n".join(reports[:fuzz.SHOWN])


def test_ACT_1_the_models_own_checksums_hold():
    """Edited packets have the checksums that whole packets must have, computed from nothing."""
    maker = scenario.Maker(5, scenario.GROUPS["ACT"])
    for _ in range(300):
        packet = packets.parse(maker.make_packet(maker.make_key()))
        edits = {"src": packet.key.dst, "dst": packet.key.src + 1}
        if packet.key.proto in (packets.TCP, packets.UDP):
            edits.update(sport=9, dport=65535)
        if packet.key.proto == packets.TCP:
            edits.update(seq=1 << 31, ack=7, sacks={at: 99 for at in packets.sack_edges(packet)})
        after = packets.edited(packet, edits)
        assert after != packet.data and packets.sums_hold(after), packet
