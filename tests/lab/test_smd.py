# SPDX-License-Identifier: BSD-2-Clause
"""The manager at work: another configuration while it runs, least connections, HTTP checks, drained servers.

Every test leaves the lab with the configuration it found.
"""
import contextlib
import os
import pathlib
import re
import signal
import time

import pytest

from conftest import until
from test_failures import Download, requests
from turnoutlab.topology import VIPS

VIP4, VIP6 = VIPS
SERVERS = {"web1", "web2", "web3"}


def config_path(lab):
    return pathlib.Path(lab.node("sm1")["configs"]["smd"])


def log(lab):
    return pathlib.Path(lab.status()["processes"]["sm1/smd"]["log"]).read_text(errors="replace")


def reloads(lab, how):
    return lab.counters("sm1", "smd")["reloads", how]


def reload(lab, text, how="done"):
    """Give the running manager another configuration, and wait for what it makes of it."""
    before = reloads(lab, how)
    config_path(lab).write_text(text)
    os.kill(lab.pid("sm1", "smd"), signal.SIGHUP)
    assert until(lambda: reloads(lab, how) == before + 1, 5), log(lab)[-2000:]


@contextlib.contextmanager
def configured(lab, change):
    """With a changed configuration; change: from text to text."""
    original = config_path(lab).read_text()
    changed = change(original)
    assert changed != original
    reload(lab, changed)
    try:
        yield
    finally:
        if lab.alive("sm1", "smd"):
            reload(lab, original)
        else:  # a test that failed between killing it and starting it
            config_path(lab).write_text(original)
            lab.start("sm1", "smd")


def service(text, name, old, new):
    """The configuration with old replaced by new in one service."""
    begin = text.index(f"  - name: {name}\n")
    end = text.find("\n  - name: ", begin + 1)
    end = end + 1 if end > 0 else len(text)
    assert old in text[begin:end]
    return text[:begin] + text[begin:end].replace(old, new) + text[end:]


def servers(lab, of):
    """{name: row} of one service's IPv4 servers."""
    return {row["name"]: row for row in lab.rows("sm1", "smd", "servers")
            if row["service"] == of and ":" not in row["address"]}


EXTRA = """\
  - name: extra
    vip: ["203.0.113.10", "203.0.113.77"]
    protocol: tcp
    port: 8888
    method: round-robin
    servers:
      - {name: web1, address: 10.0.20.11, port: 80}
      - {name: web2, address: 10.0.20.12, port: 80}
    check: {type: none}
"""


def test_service_added_and_removed_under_a_running_download_SM_1_SVC_1(healthy):
    """On a VIP that has a service already, and on one of its own; the other services do not notice."""
    decided = healthy.counters("sm1", "smd")["decisions", "new"]
    with Download(healthy) as download:
        server = download.server()
        with configured(healthy, lambda text: text.replace("services:\n", "services:\n" + EXTRA)):
            for vip in ("203.0.113.10", "203.0.113.77"):
                assert until(lambda v=vip: healthy.curl("client1", f"http://{v}:8888/", timeout=1, check=False), 10)
            assert until(lambda: len(healthy.next_hops("core", "203.0.113.77")) == 2, 5)
            names = [healthy.curl("client1", "http://203.0.113.77:8888/").split()[0] for _ in range(6)]
            assert set(names) == {"web1", "web2"}
            assert download.going() and download.server() == server
        assert until(lambda: not healthy.next_hops("core", "203.0.113.77"), 5)
        assert not healthy.curl("client1", "http://203.0.113.10:8888/", timeout=1, check=False)
        assert len(healthy.next_hops("core", VIP4)) == 2
        assert download.going() and download.server() == server
        download.finish()
    assert set(requests(healthy, count=20)) == SERVERS
    assert healthy.counters("sm1", "smd")["decisions", "new"] > decided


def test_bad_file_changes_nothing_SM_1(healthy):
    original = config_path(healthy).read_text()
    wildcards = len(healthy.rows("r1", "fad", "wildcards"))
    try:
        reload(healthy, original.replace("method: maglev", "method: random", 1), how="refused")
        line = original[:original.index("method: maglev")].count("\n") + 1
        assert re.search(rf"smd\.yaml:{line}:\d+: services\[0\]\.method: 'random' is not allowed", log(healthy))
        reload(healthy, "services: [", how="refused")
        reload(healthy, re.sub(r"identity: 0x\w+", "identity: 0x7777", original), how="refused")
        assert "a change of 'identity' takes effect only by a restart" in log(healthy)
        config_path(healthy).unlink()
        os.kill(healthy.pid("sm1", "smd"), signal.SIGHUP)
        assert until(lambda: "cannot be read" in log(healthy), 5)
    finally:
        config_path(healthy).write_text(original)
    assert set(requests(healthy, count=20)) == SERVERS
    assert len(healthy.rows("r1", "fad", "wildcards")) == wildcards


def test_removed_server_keeps_its_download_SVC_2(healthy):
    before = connections(healthy)  # other tests have left some half open
    with Download(healthy) as download:
        server = download.server()

        def without(text):
            return service(text, "files", re.search(rf"      - name: {server}\n(        .*\n)+", text)[0], "")
        with configured(healthy, without):
            assert servers(healthy, "files")[server]["state"] == "removed"
            assert server not in {healthy.who("client2", VIP4, 8080)[0] for _ in range(12)}
            download.finish()
            # FIN in both directions: nothing stands there any more, though the flow is remembered a while.
            assert until(lambda: connections(healthy).get(server, 0) <= before[server], 5)
    assert until(lambda: servers(healthy, "files")[server]["state"] == "up", 5)


def connections(lab, of="files"):
    return {name: int(row["connections"]) for name, row in servers(lab, of).items()}


def test_least_connections_balances_long_downloads_SVC_1_SM_7(healthy):
    """Six long downloads: two at each server, however the short requests between them fell."""
    with configured(healthy, lambda text: service(text, "files", "method: maglev", "method: least-connections")):
        assert until(lambda: set(connections(healthy).values()) == {0}, 70), connections(healthy)
        with contextlib.ExitStack() as stack:
            downloads = []
            for _ in range(6):
                assert len({healthy.who("client2", VIP4, 8080)[0] for _ in range(2)}) >= 1
                assert until(lambda: sum(connections(healthy).values()) == len(downloads), 5), connections(healthy)
                downloads.append(stack.enter_context(Download(healthy, rate="4M")))
            assert until(lambda: connections(healthy) == {"web1": 2, "web2": 2, "web3": 2}, 5), connections(healthy)
            per_server = [d.server() for d in downloads]
            assert all(per_server.count(name) == 2 for name in SERVERS)
            for download in downloads[:2]:  # a client that is killed
                os.killpg(download.process.pid, signal.SIGKILL)
            assert until(lambda: sum(connections(healthy).values()) == 4, 5), connections(healthy)
        assert until(lambda: sum(connections(healthy).values()) == 0, 5), connections(healthy)


def test_http_check_takes_out_a_server_that_answers_500_SVC_2(healthy):
    sick = pathlib.Path(healthy.node("web2")["directory"]) / "web" / "sick"
    check = "type: http\n      path: /health\n      expect-status: 200\n      expect-body: is well"
    with configured(healthy, lambda text: service(text, "web", "type: tcp", check)):
        assert until(lambda: all(row["check"].startswith("HTTP status 200 in ")
                                 for row in servers(healthy, "web").values()), 5), servers(healthy, "web")
        try:
            sick.touch()
            assert until(lambda: servers(healthy, "web")["web2"]["state"] == "down", 5)
            assert servers(healthy, "web")["web2"]["check"] == "HTTP status 500"
            assert set(requests(healthy, count=20)) == {"web1", "web3"}
            assert servers(healthy, "files")["web2"]["state"] == "up"  # checked by itself
        finally:
            sick.unlink()
        assert until(lambda: servers(healthy, "web")["web2"]["state"] == "up", 5)
    assert set(requests(healthy, count=20)) == SERVERS


@pytest.mark.parametrize("action", ["drain", "disable"])
def test_server_taken_out_by_the_operator_SVC_2_ARCH_7(healthy, action):
    state = {"drain": "draining", "disable": "disabled"}[action]
    with Download(healthy) as download:
        server = download.server()
        try:
            healthy.ctl("sm1", "server", action, server)
            assert {servers(healthy, s)[server]["state"] for s in ("web", "files", "echo")} == {state}
            assert set(requests(healthy, count=20)) == SERVERS - {server}
            assert download.going() and download.server() == server
            reload(healthy, config_path(healthy).read_text())
            assert servers(healthy, "web")[server]["state"] == state
            download.finish()  # what stands may end by itself
            flow = [r for r in healthy.rows("sm1", "smd", "flows") if r["source"] == download.client]
            assert [row["state"] for row in flow] == ["closing"]
        finally:
            healthy.ctl("sm1", "server", "enable", server)
    assert until(lambda: server in requests(healthy, count=20), 5)
    assert servers(healthy, "web")[server]["state"] == "up"


def test_short_connections_leave_no_count_behind_SM_7(healthy):
    def connections():
        return sum(int(r["connections"]) for r in healthy.rows("sm1", "smd", "servers") if r["service"] == "web")
    before = connections()  # other tests have left some half open
    requests(healthy, count=30)
    requests(healthy, vip=VIP6, count=30)
    assert until(lambda: connections() <= before, 5)

    def counted():
        counters = healthy.counters("sm1", "smd")
        return counters["messages", "notices"] >= 120 and counters["flows", "closed"] >= 60
    assert until(counted, 5), healthy.counters("sm1", "smd")
