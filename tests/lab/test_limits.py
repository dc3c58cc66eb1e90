# SPDX-License-Identifier: BSD-2-Clause
"""Bounds of running daemons, reached in the lab.

A flood of new flows to one service leaves the others their share of questions (FA-5): from one host, as fast as it can for a
moment; what other services notice is compared, not timed.  Then what is told in logs and on the bus, and who may listen (ARCH-10).
"""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import select
import socket
import subprocess
import sys
import threading
import time

import peer
import routes
from conftest import BUILD, until
from test_discovery import ADDRESS, AGENT, MANAGER, net, network  # noqa: F401: fixtures
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


# ---- what the daemons themselves hand out: descriptors, lines, notices ----

def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_bus_clients_up_to_the_last_descriptor_ARCH_10(net):  # noqa: F811
    """More of them than the daemon may have open: a quarter is left for its own work, and it serves again when they are gone."""
    def greeted(clients):
        """How many were let in: ZeroMQ speaks first."""
        return sum(bool(select.select([c], [], [], 0)[0]) and bool(peeked(c)) for c in clients)

    def peeked(client):
        with contextlib.suppress(OSError):
            return client.recv(1, socket.MSG_PEEK)
        return b""

    def asked():
        return subprocess.run(net.ctl(MANAGER, "--timeout", "1000", "show", "counters"), capture_output=True, timeout=30).returncode
    net.start(MANAGER)
    log, pid = net.directory / MANAGER / "log", net.running[MANAGER]["pid"]
    path, own = str(net.directory / MANAGER / "run" / "smd.sock"), descriptors(pid)
    for limit, most in ((2 * own, 2 * own - 2 * own // 4), (own, own)):  # with none to spare its own checks fail, too
        subprocess.run(["prlimit", f"--nofile={limit}:", "--pid", str(pid)], check=True)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3 * own)]
            for client in clients:
                client.connect(path)
            if limit > own:
                assert until(lambda c=clients: greeted(c) >= most - own - 3, 10), (greeted(clients), most, own)
                net.start(AGENT)
            else:
                assert asked() != 0
            assert until(lambda: net.ports() == {80}, 15)
            assert greeted(clients) <= most - own + 1 and descriptors(pid) <= most + 3, (greeted(clients), descriptors(pid))
            assert limit == own or "Too many open files" not in log.read_text()
        assert until(lambda: descriptors(pid) <= own + 1, 10)
        subprocess.run(["prlimit", f"--nofile={2 * own}:", "--pid", str(pid)], check=True)
        assert until(lambda: asked() == 0, 10)


def test_a_flood_of_bad_messages_writes_few_lines_MSG_4_ARCH_10(net):  # noqa: F811
    """Five a second, and the next one says how many were left out."""
    net.start(AGENT)
    log, started = net.directory / AGENT / "log", time.monotonic()
    with peer.namespace(net.netns(MANAGER)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bad:
        for _ in range(2000):
            bad.sendto(b"no message", (ADDRESS[AGENT], 7510))
            time.sleep(0.0005)
        took = time.monotonic() - started
        time.sleep(1.1)
        bad.sendto(b"no message", (ADDRESS[AGENT], 7510))
        lines = until(lambda: [line for line in log.read_text().splitlines() if "dropped a message" in line]
                      if " more)" in log.read_text().splitlines()[-1] else None, 5)
    heard = sum(row["value"] and int(row["value"]) for row in net.rows(AGENT, "counters") if row["name"] == "received")
    told = len(lines) + sum(int(m[1]) for m in map(re.compile(r"\(and (\d+) more\)").search, lines) if m)
    assert 5 < len(lines) <= 5 * (took + 2), (len(lines), took)
    assert heard - 20 <= told <= heard, (heard, told)


def test_notices_of_a_glue_beyond_a_hundred_a_second_are_not_published_ACT_3_ARCH_10(healthy):
    """Thousands of routes at once: they all go in, and those who watch are told of a part of them."""
    prefixes = routes.many_prefixes(4000)
    with healthy.popen("r1", "turnoutctl", "watch", "--json", "--from", "routed-glue", "--for", "60s",
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watch, routes.Crowd(healthy, "sm2", "r1", 0x778) as crowd:
        try:
            assert watch.stderr.readline().startswith(b"watching")
            crowd.ready()
            began = crowd.say(prefixes)
            assert until(lambda: len(healthy.rows("r1", "routed-glue", "routes")) >= len(prefixes), 30)
            took = time.monotonic() - began
        finally:
            crowd.say(prefixes, ttl=0)
            assert until(lambda: len(healthy.rows("r1", "routed-glue", "routes")) < 10, 30)
            watch.terminate()
        rows = [json.loads(line) for line in watch.stdout.read().splitlines()]
    told = [row for row in rows if row["kind"] == "route" and row["text"] == "installed"]
    assert 90 < len(told) <= 100 * (took + 2) and len(told) < len(prefixes) / 2, (len(told), took)


# ---- what turnoutctl takes in ----

# In place of a program: writes for ever, and then into a file how much was taken.
ENDLESS = """#!/usr/bin/python3
import sys
taken = 0
try:
    while True:
        taken += sys.stdout.buffer.raw.write(b'{"nftables": [' + b" " * 65000)
except OSError:
    open("{taken}", "w").write(str(taken))
"""
MIB = 1 << 20


def findings(lab, node, *wrap):
    done = lab.run(node, *wrap, "turnoutctl", "--json", "--timeout", "2000", "doctor", check=False, timeout=60)
    assert done.returncode in (0, 1), done
    return json.loads(done.stdout)["findings"]


def test_doctor_gives_up_a_ruleset_without_an_end_ARCH_7_ARCH_10(healthy, tmp_path):
    """Of more than 32 MiB it takes no more, and says that it did not look."""
    endless = tmp_path / "endless"
    endless.write_text(ENDLESS.replace("{taken}", str(tmp_path / "taken")))
    endless.chmod(0o755)
    told = findings(healthy, "r1", "unshare", "-m", "sh", "-c", f"mount --bind {endless} /usr/sbin/nft && exec \"$@\"", "sh")
    assert [f["severity"] for f in told if f["check"] == "firewall"] == ["unchecked"], told
    taken = int((tmp_path / "taken").read_text())
    assert 32 * MIB <= taken <= 33 * MIB, taken


def test_doctor_gives_up_a_configuration_of_frr_without_an_end_ARCH_7_ARCH_10(healthy):
    """In place of bgpd's own socket, one that never ends its answer: 64 MiB are taken, then it counts as one that does not answer."""
    path = next(pathlib.Path(healthy.node("r1")["directory"]).rglob("bgpd.vty"))
    away, taken, chunk = path.with_suffix(".away"), [], b"x" * 65536
    path.rename(away)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            server.listen(5)
            server.settimeout(0.2)
            over = threading.Event()

            def answer():
                while not over.is_set():
                    with contextlib.suppress(OSError):
                        client = server.accept()[0]
                        with client:
                            client.recv(1000)
                            client.sendall(b"\0\0\0\0")
                            client.recv(1000)
                            taken.append(0)
                            while True:
                                taken[-1] += client.send(chunk)
            thread = threading.Thread(target=answer, daemon=True)
            thread.start()
            told = findings(healthy, "r1")
            over.set()
            thread.join(10)
    finally:
        path.unlink(missing_ok=True)
        away.rename(path)
    assert taken and 64 * MIB <= max(taken) <= 66 * MIB, taken
    assert [f for f in told if f["check"] == "frr"] and not [f for f in findings(healthy, "r1") if f["check"] == "frr"], told


def test_watch_follows_256_daemons_ARCH_7_ARCH_10(tmp_path):
    """Locks and names as those of daemons that have come to stay, more than it follows."""
    held = []

    def come(number):
        held.append(open(tmp_path / f"d{number}.pid", "w"))  # noqa: SIM115: held until the end
        fcntl.lockf(held[-1], fcntl.LOCK_EX)
        (tmp_path / f"d{number}.sock").touch()
    come(0)
    with subprocess.Popen([BUILD / "turnoutctl", "--run-dir", tmp_path, "--json", "watch", "--for", "5s"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as watch:
        assert watch.stderr.readline()
        time.sleep(1)  # those it finds at first are no news
        for number in range(1, 300):
            come(number)
        rows = [json.loads(line) for line in watch.stdout.read().splitlines()]
    for file in held:
        file.close()
    assert len([row for row in rows if row["text"] == "runs now"]) == 255, rows


def test_doctor_hears_more_senders_than_it_tells_apart_ARCH_4_ARCH_10(net):  # noqa: F811
    """What forty managers say while it waits for an agent: it ends in time, and says one thing."""
    net.start(MANAGER)
    asked = net.ask_doctor(MANAGER, 4)
    update = peer.encode(peer.Message(peer.WILDCARD_UPDATE, 0x777, 1, 0, 1, [peer.wildcard("203.0.113.9", dport=80)]))
    with peer.namespace(net.netns(AGENT)):
        for port in range(20000, 20040):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind((ADDRESS[AGENT], port))
                stranger.sendto(update, (ADDRESS[MANAGER], 7510))
    text, fix = net.said(asked)
    assert text and fix
