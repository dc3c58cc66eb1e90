# SPDX-License-Identifier: BSD-2-Clause
"""turnoutctl trace, server, watch and show flows over a running lab."""
import contextlib
import json
import re
import subprocess
import time

import peer
from conftest import until
from turnoutlab.topology import VIPS

VIP4 = VIPS[0]
DOWN_WITHIN = 15.0  # seconds: three failed checks of the lab's interval, and a lot for a busy machine


def steps(lab, router, *flow):
    return json.loads(lab.ctl(router, "--json", "trace", *flow).stdout)["trace"]


def outcome(lab, router, *flow):
    return steps(lab, router, *flow)[-1]


def test_trace_of_a_live_connection_agrees_with_the_manager_ARCH_7(healthy):
    lab = healthy
    with lab.popen("client1", "curl", "-s", "--local-port", "4100", "--limit-rate", "200k", "-o", "/dev/null",
                   f"http://{VIP4}:8080{lab.status()['big_file']['url_path']}", stdout=subprocess.DEVNULL) as download:
        try:
            source = "10.0.1.11:4100"
            flow = until(lambda: [f for f in lab.rows("sm1", "smd", "flows") if f["source"] == source])[0]
            said = {s["address"] for s in lab.rows("sm1", "smd", "servers") if s["name"] == flow["server"]}
            told = [r for r in ("r1", "r2") if r in flow["agents"].split()]
            assert told
            stories = [steps(lab, router, "tcp", source, f"{VIP4}:8080", "A") for router in told]
            # A router that only the replies cross was told of these alone, and would ask.
            known = [s for s in stories if s[-1]["verdict"] != "punt"]
            assert known, stories
            for story in known:
                result = [s for s in story if s["what"] == "result"][0]["match"]
                assert any(f"> {address}:8080" in result for address in said), story
                assert story[-1]["verdict"] == "forward" and story[-2]["interface"] == "lan"
        finally:
            download.kill()


def test_trace_says_what_is_dropped_protected_and_untouched_FA_8_ACT_3(lab):
    assert outcome(lab, "r1", "tcp", "10.0.1.11:4000", f"{VIP4}:81")["verdict"] == "drop"
    own = steps(lab, "r1", "tcp", "10.0.1.11:4000", "10.0.20.1:80")
    assert [s["what"] for s in own] == ["packet", "protected", "route", "outcome"]
    assert outcome(lab, "r1", "tcp", "10.0.1.11:4000", "10.0.20.11:81")["verdict"] == "untouched"
    asked = outcome(lab, "r1", "tcp", "10.0.1.11:4999", f"{VIP4}:80")
    assert (asked["verdict"], asked["manager"]) == ("punt", "sm1")


def test_trace_counts_nothing_ARCH_7(lab):
    before = lab.counters("r1", "fad")
    for port in range(5000, 5010):
        outcome(lab, "r1", "tcp", f"10.0.1.11:{port}", f"{VIP4}:80")
    after = lab.counters("r1", "fad")
    for key in (("packets", "punted"), ("messages", "matches"), ("affinities", "misses")):
        assert after[key] == before[key], key


def test_drained_server_gets_nothing_new_ARCH_7(lab):
    lab.ctl("sm1", "server", "drain", "web/web1")
    try:
        states = {s["state"] for s in lab.rows("sm1", "smd", "servers") if (s["service"], s["name"]) == ("web", "web1")}
        assert states == {"draining"}
        assert "web1" not in {lab.who("client1", VIP4)[0] for _ in range(20)}
    finally:
        lab.ctl("sm1", "server", "enable", "web/web1")
    refused = lab.ctl("sm1", "server", "drain", "web/web9", check=False)
    assert refused.returncode == 2 and "web/web1" in refused.stderr


def test_watch_shows_a_drain_at_once_ARCH_7(lab):
    with lab.popen("sm1", "turnoutctl", "watch", "--json", "--for", "20s", "--count", "1", stdout=subprocess.PIPE,
                   stderr=subprocess.PIPE) as watch:
        assert watch.stderr.readline().startswith(b"watching")
        begin = time.monotonic()
        lab.ctl("sm1", "server", "drain", "web/web2")
        lab.ctl("sm1", "server", "enable", "web/web2")
        row = json.loads(watch.stdout.readline())
        assert time.monotonic() - begin < DOWN_WITHIN
        assert (row["kind"], row["subject"]) == ("server", "web/web2")
        assert watch.wait(15) == 0


def test_watch_shows_a_server_that_goes_down_ARCH_7(lab):
    with lab.popen("sm1", "turnoutctl", "watch", "--json", "--for", "20s", stdout=subprocess.PIPE,
                   stderr=subprocess.PIPE) as watch:
        assert watch.stderr.readline().startswith(b"watching")
        begin = time.monotonic()
        lab.stop("web3", "nginx", kill=True)
        try:
            for line in watch.stdout:
                row = json.loads(line)
                if (row["kind"], row["subject"]) == ("server", "web/web3"):
                    break
            assert "down" in row["text"] and time.monotonic() - begin < DOWN_WITHIN
        finally:
            watch.terminate()
            lab.start("web3", "nginx")
    until(lambda: {s["state"] for s in lab.rows("sm1", "smd", "servers")} == {"up"})


@contextlib.contextmanager
def watching(lab, node, path, *arguments):
    """The rows that turnoutctl watch says there, as a function that reads them anew."""
    with path.open("w") as out, lab.popen(node, "turnoutctl", "watch", "--json", *arguments, stdout=out,
                                          stderr=subprocess.PIPE) as watch:
        try:
            assert watch.stderr.readline().startswith(b"watching")
            yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
        finally:
            watch.terminate()


def test_watch_shows_what_an_agent_hears_of_its_managers_FA_9(healthy, tmp_path):
    """A stranger's manager: its wildcard is added, an update denied, it falls silent, is heard again, withdraws."""
    vip, address = "203.0.113.78", healthy.address("sm2", "ctl")
    wild = [peer.wildcard(vip, dport=80, ttl=3), peer.precedence(10), peer.interest(peer.ALL, peer.ALL),
            peer.identity(address, "stranger")]
    uncovered = peer.Key(peer.TCP, "10.0.1.11", 4444, "203.0.113.79", 80)
    with watching(healthy, "r1", tmp_path / "watch", "--from", "fad") as rows, \
            peer.Manager(healthy.netns("sm2"), address, 0x779, healthy.key(), group=peer.GROUP4, wildcards=[wild],
                         challenging=True) as manager:
        def said(kind, text, subject):
            """The manager answers challenges while this waits; it says nothing of its own."""
            def found():
                manager.poll()
                return [r for r in rows() if (r["kind"], r["subject"]) == (kind, subject) and text in r["text"]]
            return until(found, 10, 0.02)

        manager.announce()
        about = f"tcp any > {vip}:80"
        assert said("wildcard", "added; of manager stranger", about), rows()
        sender = until(lambda: manager.poll() or manager.agents.get(0x101), 10, 0.02)[1]
        manager.send(sender, peer.FIXED_UPDATE, [peer.fixed(uncovered, ttl=5), peer.precedence(10)], 0x101)
        assert said("denied", "denied: ", "stranger"), rows()
        silent = said("manager", "silent", "stranger")
        assert silent and silent[0]["severity"] == "warning", rows()
        expired = said("wildcard", "expired", about)
        assert expired and expired[0]["severity"] == "warning", rows()
        time.sleep(0.5)
        assert not [r for r in rows() if "heard again" in r["text"]], rows()
        manager.announce()
        assert said("manager", "heard again", "stranger"), rows()
        manager.withdraw()
        assert said("wildcard", "deleted; of manager stranger", about), rows()
        told = [re.split("[,:;]", r["text"])[0] for r in rows()
                if "stranger" in r["subject"] + r["text"] and not r["text"].startswith("at ")]
        assert told == ["added", "denied", "silent", "expired", "added", "heard again", "deleted"], rows()


def test_a_download_goes_on_while_its_server_is_drained_ARCH_7(lab):
    url = f"http://{VIP4}:8080{lab.status()['big_file']['url_path']}"
    with lab.popen("client1", "curl", "-s", "--local-port", "4200", "--limit-rate", "200k", "--max-time", "4", "-o",
                   "/dev/null", "-w", "%{size_download}", url, stdout=subprocess.PIPE) as download:
        flow = until(lambda: [f for f in lab.rows("sm1", "smd", "flows") if f["source"].endswith(":4200")])[0]
        lab.ctl("sm1", "server", "drain", f"files/{flow['server']}")
        try:
            # It reads on until curl's own time is up.
            assert int(download.communicate(timeout=10)[0]) > 500_000
        finally:
            lab.ctl("sm1", "server", "enable", f"files/{flow['server']}")
