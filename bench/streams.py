# SPDX-License-Identifier: BSD-2-Clause
"""Rows of flows that a manager decides: tcp.*, latency.*, flows.new; docs/performance.md says how."""
import json
import re
import subprocess

import network
from flood import Flood
from results import interleave
from turnoutlab.process import LabError

AGENTS = {"ring": "ring", "tc": "tc", "auto": "auto"}
CONNECTIONS = 32  # at once
NEW_FLOWS = 12_000_000  # different ones, one after the other
NEW_ROUNDS, NEW_SECONDS = 3, 1.0  # what a manager decided it remembers: there is a limit
WINDOW = 2048  # SYNs on their way
ECHO_PORT = 7777
FIXED = 4_000_000


class Streams:
    """plan: what run() decided; see bench/run."""

    def __init__(self, daemons, plan, results):
        self.daemons, self.net, self.plan, self.results = daemons, daemons.net, plan, results

    @staticmethod
    def address(router):
        return network.server(router) if router == "kernel" else network.vip(router)

    def throughput(self, router):
        seconds = max(1, round(self.plan.seconds))
        out = self.net.run("client", "iperf3", "-c", self.address(router), "-p", network.IPERF, "-t", seconds, "-J",
                           timeout=seconds + 20)
        return json.loads(out)["end"]["sum_received"]["bits_per_second"] / 1e9

    def connections(self, router):
        seconds = max(1, round(self.plan.seconds))
        out = self.net.run("client", "wrk", "-t", 1, "-c", CONNECTIONS, "-d", f"{seconds}s", "-H", "Connection: close",
                           f"http://{self.address(router)}:{network.HTTP}/", timeout=seconds + 20)
        done, rate = re.search(r"(\d+) requests in", out), re.search(r"Requests/sec:\s+([\d.]+)", out)
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
        failed = sum(map(int, errors.groups())) if errors else 0
        if not rate or "Non-2xx" in out or failed * 100 > int(done.group(1)):
            raise LabError(f"{router}: {failed} of {done.group(1) if done else 0} requests failed", out)
        return float(rate.group(1))

    def latency(self, router):
        out = self.net.run("client", self.daemons.tools / "echo", "tcp-ask", self.address(router), network.ECHO,
                           self.plan.seconds, timeout=self.plan.seconds + 20)
        return json.loads(out)["p50_us"]

    def rows(self, prefix, unit, function, subjects, others):
        """subjects: routers; the first is the direct way.  others: which of them are compared with."""
        names = {router: f"{prefix}.{'direct' if router == 'kernel' else router}" for router in subjects}
        values = interleave(self.plan.rounds, {names[r]: lambda router=r: function(router) for r in subjects}, self.results)
        for router in subjects:
            found = values.get(names[router])
            if found:
                against = {f"vs_{'direct' if o == 'kernel' else o}": values.get(names[o]) for o in others if o != router}
                self.results.add(names[router], unit, found, {k: v for k, v in against.items() if v})

    def check_way(self, before):
        """That the connections went through the agents, and bulk of `tc` not through the ring."""
        for router in AGENTS:
            after = self.daemons.counters(router)
            forwarded, up, plans = (after[key] - before[router].get(key, 0) for key in
                                    (("packets", "forwarded"), ("punt-port", "received"), ("fastpath", "done")))
            if not forwarded or (router == "ring" and plans) or (router == "tc" and plans < up):
                raise LabError(f"{router}: {forwarded} packets forwarded, {up} by the ring, {plans} by plans")

    def tcp(self):
        self.net.translate_with_nft()
        self.daemons.servers()
        self.daemons.proxy()
        for router, datapath in AGENTS.items():
            self.daemons.agent(router, datapath, pinned=False, fixed=FIXED, fast=500_000)
        self.daemons.manager(AGENTS)
        before = {router: self.daemons.counters(router) for router in AGENTS}
        self.until_served()
        others = ("kernel", "nft", "haproxy")
        self.rows("tcp.throughput", "Gbit/s", self.throughput, ("kernel", "nft", "haproxy", "ring", "tc"), others)
        self.check_way(before)
        self.rows("tcp.connections", "connections/s", self.connections, ("kernel", "nft", "haproxy", "ring", "auto"), others)
        self.rows("latency.established", "us", self.latency, ("kernel", "nft", "haproxy", "ring", "tc"), ("kernel",))

    def until_served(self):
        for router in ("kernel", "nft", "haproxy", *AGENTS):
            def answers(to=self.address(router)):
                try:
                    return self.net.run("client", "curl", "-s", "--max-time", "1", f"http://{to}/", timeout=5) == "turnout\n"
                except LabError:
                    return False
            self.daemons.until(answers, 20, f"no answer from the server by way of {router}")

    # ---- new flows ----

    def new_flows(self, flood):
        """SYNs a second of which each was one of a new flow, asked about, decided, and translated when it arrived."""
        before = self.daemons.counters("auto")
        got = flood.send("auto", NEW_FLOWS, NEW_SECONDS, kind="syn", order="sequence", window=WINDOW)
        added = self.daemons.counters("auto")["affinities", "added"] - before["affinities", "added"]
        if not got["good"] or got["other"] or got["good"] < got["sent"] * 0.95 - WINDOW or added < got["good"]:
            raise LabError(f"of {got['sent']} SYNs {got['good']} arrived, {got['other']} untranslated; {added} affinities")
        return got["good"] / got["seconds"]

    def ceiling(self):
        """Datagrams back and forth between an agent's place and a manager's."""
        echo = self.daemons.tools / "echo"
        serve = self.net.popen("manager", echo, "udp-serve", network.MANAGER, str(ECHO_PORT), stdout=subprocess.PIPE)
        try:
            serve.stdout.readline()
            out = self.net.run("auto", echo, "udp-ask", network.MANAGER, ECHO_PORT, NEW_SECONDS, timeout=20)
        finally:
            serve.kill()
            serve.communicate()
        return json.loads(out)["per_s"]

    def flows(self):
        self.daemons.agent("auto", "auto", pinned=False, fixed=FIXED, fast=500_000)
        self.daemons.manager(["auto"])
        with Flood(self.daemons, ["auto"]) as flood:
            values = interleave(min(NEW_ROUNDS, self.plan.rounds), {
                "control.udp_echo": self.ceiling, "flows.new": lambda: self.new_flows(flood)}, self.results)
        echo, new = values.get("control.udp_echo"), values.get("flows.new")
        if echo:
            self.results.add("control.udp_echo", "round trips/s", echo)
        if new:
            self.results.add("flows.new", "flows/s", new, {"vs_udp_echo": echo})
