# SPDX-License-Identifier: BSD-2-Clause
"""Many agents at one manager: tests/load/agents.c, and what smd answers it.

Each simulated agent speaks the whole protocol and compares every answer with its question; see there.
"""
import os
import subprocess
import sys

import pytest

from conftest import BUILD, LAB_NAME, ROOT

sys.path.insert(0, str(ROOT / "tests/load"))
import swarm  # noqa: E402

AGENTS, SERVICES, FLOWS = 50, 3, 3000


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("the lab makes network namespaces, which needs root")
    if not (BUILD.parent / "tests/load/agents").exists():
        subprocess.run(["make", "-s", f"BUILD={BUILD.parent}", str(BUILD.parent / "tests/load/agents")], cwd=ROOT, check=True)
    with swarm.Swarm(LAB_NAME, BUILD.parent, tmp_path_factory.mktemp("load")) as crowd:
        crowd.start(SERVICES)
        yield crowd


def test_fifty_agents_get_their_wildcards_and_right_answers_SM_1_SM_3_FIX_9_SEC_4(crowd):
    """All are shown each wildcard, each question is answered rightly once, and refreshed flows keep their server."""
    with crowd.ready(SERVICES, agents=AGENTS, open=100, flows=FLOWS, seconds=60, refresh=10) as go:
        result = go()
    assert result["wrong"] == 0 and result["services"] == SERVICES, result
    assert result["answered"] + result["unanswered"] >= FLOWS and result["unanswered"] < FLOWS / 10, result
    assert result["refreshed"] > FLOWS / 20, result
    counters = crowd.counters()
    assert counters["messages", "matches"] >= result["answered"], counters
    assert counters["messages", "hellos"] >= AGENTS, counters
