# SPDX-License-Identifier: BSD-2-Clause
"""A flood of new flows to one service leaves the others their share of questions (FA-5).

From one host, in the lab, as fast as it can for a moment; what other services notice is compared, not timed.
"""
import contextlib
import pathlib
import sys
import time

from conftest import until
from turnoutlab.daemons import ECHO_PORT

RATE = 200
VIP = "203.0.113.10"
FLOOD = """
import select, socket, sys, time
end, sent = time.monotonic() + 60, 0
while time.monotonic() < end and (sent % 64 or not select.select([sys.stdin], [], [], 0)[0]):  # it is closed to end this
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:  # a new port, and so a new flow, each
        s.sendto(b"flood", (sys.argv[1], int(sys.argv[2])))
        sent += 1
print(sent)
"""


@contextlib.contextmanager
def limited(lab):
    """Both agents ask at most RATE times a second under one wildcard."""
    paths = {router: pathlib.Path(lab.node(router)["configs"]["fad"]) for router in ("r1", "r2")}
    before = {router: path.read_text() for router, path in paths.items()}

    def apply(texts):
        for router, text in texts.items():
            paths[router].write_text(text)
            lab.stop(router, "fad")
            lab.start(router, "fad")
        assert until(lambda: all(lab.rows(router, "fad", "wildcards") for router in paths), 15)
    assert all("limits:" not in text for text in before.values())
    apply({router: text + f"limits: {{punt-rate: {RATE}}}\n" for router, text in before.items()})
    try:
        yield
    finally:
        apply(before)


def questions(lab):
    return lab.counters("sm1", "smd")["messages", "matches"]


def served(lab):
    return lab.curl("client1", f"http://{VIP}/", check=False).startswith("web")


def test_flood_of_one_service_leaves_connections_to_another_FA_5(healthy):
    """Thousands of new flows a second to the echo service: each web request is answered meanwhile, none of it at its limit."""
    with limited(healthy):
        assert until(lambda: served(healthy), 10)
        before = questions(healthy)
        began = time.monotonic()
        flood = healthy.popen("client2", sys.executable, "-c", FLOOD, VIP, str(ECHO_PORT), stdin=-1, stdout=-1, text=True)
        try:
            answers = 0
            while answers < 3 or time.monotonic() < began + 3:
                assert served(healthy) and flood.poll() is None
                answers += 1
        finally:
            sent = int(flood.communicate(timeout=30)[0])
        seconds = time.monotonic() - began
        # Both agents together, and the burst of each; twice, since what was sent last is still asked.
        asked = questions(healthy) - before
        drops = [healthy.drops(router, "fad") for router in ("r1", "r2")]
        dropped = sum(d[name] for d in drops for name in ("punt-limit", "punt-open", "shed"))
        assert dropped > sent / 4 and any(d["shed"] for d in drops), (sent, drops)
        assert asked <= 2 * 2 * (seconds + 1) * RATE, (sent, dropped, asked, seconds)
        for router in ("r1", "r2"):
            for row in healthy.rows(router, "fad", "wildcards"):
                if row["dport"] != ECHO_PORT:
                    assert int(row["drops"]) == 0, row
    assert until(lambda: served(healthy), 10)
