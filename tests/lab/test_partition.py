# SPDX-License-Identifier: BSD-2-Clause
"""All managers gone: partitions keep new flows served, and a manager that returns decides again.

The test leaves the lab with the configuration it found.
"""
import os
import signal

from conftest import until
from test_discovery import AGENT, DATA, MANAGER, net, network  # noqa: F401: fixtures
from test_failures import SERVERS, requests
from test_predetermined import clients
from test_smd import config_path, configured, service
from turnoutlab.topology import VIPS

HOSTS = {4: VIPS[0], 6: VIPS[1]}


def partitioned(text):
    return service(text, "web", "    method: maglev\n", "    method: maglev\n    partition-ttl: 60s\n") + "wildcard-ttl: 3s\n"


def served(lab, client, family, address):
    """The server that answers a new connection from this address, and the client that it saw; empty if none does."""
    url = f"http://{f'[{address}]' if family == 6 else address}/"
    return lab.run("client1", "curl", "-sg", "--connect-timeout", "3", "--interface", client, url, check=False).stdout.split()


def test_new_flows_are_served_without_a_manager_SM_13(healthy):
    """Killed: after its usual wildcards expired each client has a server, and keeps it; asked is nobody."""
    original = config_path(healthy).read_text()
    try:
        with configured(healthy, partitioned), clients(healthy, 8) as addresses:
            def partitions(router):
                return [row for row in healthy.rows(router, "fad", "wildcards") if int(row["backup"]) > 1000]
            assert until(lambda: all(len(partitions(r)) == 28 for r in ("r1", "r2")), 10), partitions("r1")
            listed = [row for row in healthy.rows("sm1", "smd", "wildcards") if int(row["backup"]) > 1000]
            assert {row["source"] for row in listed} >= {f"0.0.0.{n}/0.0.0.7" for n in range(8)}, listed
            healthy.stop("sm1", "smd", kill=True)
            for family, vip in HOSTS.items():
                assert until(lambda f=family, v=vip: served(healthy, addresses[f][0], f, v), 10, 0)
                found = [served(healthy, client, family, vip) for client in addresses[family]]
                assert {answer[0] for answer in found if answer} == SERVERS, found
                assert [answer[1] for answer in found] == addresses[family]
                assert [served(healthy, client, family, vip) for client in addresses[family]] == found
            healthy.start("sm1", "smd")
            assert until(lambda: {row["state"] for row in healthy.rows("sm1", "smd", "servers")} == {"up"}, 10)

            def decides():
                before = healthy.counters("sm1", "smd")["decisions", "new"]
                return set(requests(healthy, count=12)) == SERVERS and \
                    healthy.counters("sm1", "smd")["decisions", "new"] >= before + 12
            assert until(decides, 10)
    finally:
        config_path(healthy).write_text(original)
        if not healthy.alive("sm1", "smd"):
            healthy.start("sm1", "smd")
    assert until(lambda: {row["state"] for row in healthy.rows("sm1", "smd", "servers")} == {"up"}, 10)


SERVED = """\
wildcard-ttl: 3s
services:
  - {{name: {name}, vip: 203.0.113.90, port: 80, check: {{type: none}}, {more}
     servers: [{{name: w, address: 10.78.1.1}}, {{name: x, address: 10.78.1.2}}]}}
"""


def test_a_manager_that_returns_knows_nothing_of_its_old_partitions_SM_13(net, monkeypatch):  # noqa: F811
    """Killed, and back without: they stand beside what it says now.  Gone by a reload: withdrawn."""
    def configured(more):
        monkeypatch.setitem(DATA, MANAGER, SERVED.format(name="web", more=more).replace("{", "{{").replace("}", "}}"))

    def counts():
        rows = net.rows(AGENT, "wildcards")
        old = sum(int(row["backup"]) > 1000 for row in rows)
        return old, len(rows) - old
    partitions = 4 + 2 * 2
    configured("partition-ttl: 60s,")
    net.start(MANAGER)
    net.start(AGENT)
    assert until(lambda: counts() == (partitions, 3), 15), counts()
    net.stop(MANAGER, kill=True)
    assert until(lambda: counts() == (partitions, 0), 15), counts()
    configured("")
    net.start(MANAGER)
    assert until(lambda: counts() == (partitions, 3), 15), counts()
    configured("partition-ttl: 60s,")
    net.stop(MANAGER, kill=True)
    net.start(MANAGER)
    assert until(lambda: sum(int(row["backup"]) > 1000 for row in net.rows(MANAGER, "wildcards")) == partitions, 10)
    configured("")
    net.configure(MANAGER)
    os.kill(net.running[MANAGER]["pid"], signal.SIGHUP)
    assert until(lambda: counts() == (0, 3), 10), counts()
