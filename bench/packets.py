# SPDX-License-Identifier: BSD-2-Clause
"""Rows of single packets: pps.*, prog.*, memory.flow, classifier.*, wildcards.*; docs/performance.md says how."""
import json
import time

import network
from daemons import cpu
from flood import Flood
from results import interleave, say
from turnoutlab.process import LabError

LOAD_RATE = 40000  # messages a second; more than that an agent may lose
LOAD_TRIES = 4
COST_TRIES = 3
PLACE_WINDOW = 512  # packets on their way, of flows that have no plan yet
PLACE_SECONDS = 120
PLACED = 0.999  # a few keys find no place; those flows are served from the ring
WARM = 0.3
WILD_RATE = 4000
SHAPES = 40
UNMATCHED_FLOWS = 10_000
PRIORITY = "0x746e"  # of the agent's filters
NAMES = {1: "1", 10_000: "10k", 1_000_000: "1m"}


class Packets:
    """plan: what run() decided; see bench/run."""

    def __init__(self, daemons, plan, results):
        self.daemons, self.plan, self.results = daemons, plan, results

    # ---- many flows at agents ----

    def fill(self, routers, count):
        """Fixed affinities of flows 0 to count - 1; lost messages are made up for by another go."""
        for _ in range(LOAD_TRIES):
            short = [router for router in routers if self.held(router) < count]
            if not short:
                return
            loaders = [(router, self.daemons.load(router, LOAD_RATE, "fixed", count, network.vip(router), network.server(router)))
                       for router in short]
            for router, loader in loaders:
                self.daemons.loaded(router, loader, count / LOAD_RATE * 4 + 30)
        raise LabError(f"not all of {count} affinities arrived: {[self.held(r) for r in routers]}")

    def held(self, router):
        return self.daemons.counters(router)["affinities", "stored"]

    def place(self, flood, router, count):
        """Send each flow's packet, few at once, until its plan is in the kernel."""
        deadline = time.monotonic() + PLACE_SECONDS
        while time.monotonic() < deadline:
            flood.send(router, count, min(2, count / 100_000 + 0.1), order="sequence", window=PLACE_WINDOW)
            placed = self.daemons.counters(router)["fastpath", "placed"]
            if placed >= count * PLACED:
                return
        raise LabError(f"{router}: of {count} flows {placed} have a plan in the kernel")

    def pps(self, flood):
        for count in self.plan.flows:
            name = NAMES[count]
            subjects = {}
            for router in ("kernel", "nft", "ring", "tc"):
                row = f"pps.{router}.nat.{name}"
                why = self.unfit(router, count)
                if why:
                    self.results.lack(row, why)
                else:
                    subjects[row] = lambda r=router, n=count: self.rate(flood, r, n)
            values = interleave(self.plan.rounds, subjects, self.results)
            against = {"vs_kernel": values.get(f"pps.kernel.nat.{name}"), "vs_nft": values.get(f"pps.nft.nat.{name}")}
            for row, found in values.items():
                others = {k: v for k, v in against.items() if v and v is not found}
                self.results.add(row, "packets/s", found, others)

    def unfit(self, router, count):
        if router == "nft" and network.conntrack_limit() < count * 1.05:
            return f"net.netfilter.nf_conntrack_max is {network.conntrack_limit()}, and not for a benchmark to change"
        return ""

    def rate(self, flood, router, count):
        """One measurement, with a look at whether the packets went the way they are said to go."""
        turnout = router in ("ring", "tc")
        order = "sequence" if router == "nft" and count > 100000 else "random"
        flood.send(router, count, WARM * (4 if order == "sequence" else 1), order=order, translated=router != "kernel")
        before = self.daemons.counters(router) if turnout else {}
        got = flood.rate(router, count, self.plan.seconds, translated=router != "kernel")
        if turnout:
            after = self.daemons.counters(router)
            moved = {key: value - before.get(key, 0) for key, value in after.items()}
            self.check_way(router, got * self.plan.seconds, moved)
        return got

    @staticmethod
    def check_way(router, packets, moved):
        plans, up = moved.get(("fastpath", "done"), 0), moved.get(("punt-port", "received"), 0)
        wrong = up if router == "tc" else plans
        if wrong > packets * 0.05:
            raise LabError(f"{router}: of {packets:.0f} packets {plans} went by plans in the kernel, {up} came up")

    def check_order(self, flood):
        """That flows come in random order, and all of them."""
        for count in self.plan.flows:
            flood.trace()
            flood.send("kernel", count, 0.2, translated=False)
            seen = flood.trace()
            rising = sum(a < b for a, b in zip(seen, seen[1:]))
            spread = len(set(seen)) / min(count, len(seen))
            if count > 1 and not (0.4 < rising / len(seen) < 0.6 and spread > 0.3 and max(seen) > count * 0.9):
                raise LabError(f"{count} flows are not in random order: {rising} of {len(seen)} rise, {spread:.2f} spread")

    def program_costs(self):
        for count in self.plan.flows:
            row = f"prog.tc.nat.{NAMES[count]}"
            try:
                rounds = self.sure_cost("tc", count)
            except LabError as failure:
                self.results.lack(row, f"{failure} {failure.log}")
                continue
            net = [r["turnout"] - r["harness"] for r in rounds]
            plain = [r["bpf_hash"] - r["harness"] for r in rounds]
            self.results.add(row, "ns/packet", net, {"vs_bpf_hash": plain})
            self.results.add(f"prog.bpf_hash.nat.{NAMES[count]}", "ns/packet", plain)

    def sure_cost(self, router, count):
        """Once more where plans were not carried out, as while the agent does not know the MTUs."""
        for _ in range(COST_TRIES):
            before = self.daemons.counters(router)
            rounds = self.cost(router, "nat", count)
            moved = {key: value - before.get(key, 0) for key, value in self.daemons.counters(router).items()}
            if moved["fastpath", "done"] >= 0.99 * self.plan.repeat * self.plan.rounds:
                return rounds
        why = {name: value for (group, name), value in moved.items() if group == "fastpath" and value}
        raise LabError(f"{router}: of {self.plan.repeat * self.plan.rounds} packets, {why}")

    def cost(self, router, kind, count):
        out = self.daemons.net.run(router, "taskset", "-c", cpu(0), self.daemons.tools / "cost", "tc", "client", PRIORITY, kind,
                                   network.vip(router), network.server(router), count, self.plan.repeat, self.plan.rounds,
                                   timeout=120)
        return [json.loads(line) for line in out.splitlines()]

    def memory(self, empty, full, count):
        """What grew with the flows, and the arrays, which have their size from the start."""
        agent, hashes, arrays = full["own"] - empty["own"], full["hashes"] - empty["hashes"], full["arrays"]
        each = (agent + hashes + arrays) / count
        self.results.add("memory.flow", "bytes", [each], bytes=round(each), agent_bytes=round(agent / count),
                         hash_bytes=round(hashes / count), array_bytes=round(arrays / count), flows=count)

    def nat(self):
        """pps, program cost and memory, with as many flows at the agents as will be sent."""
        most = max(self.plan.flows)
        say(f"packets: loading {most} flows into the agents")
        self.daemons.net.translate_with_nft()
        self.daemons.agent("ring", "ring", fixed=most + 1000)
        self.daemons.agent("tc", "tc", fixed=most + 1000, fast=most)
        empty = self.daemons.memory("tc")
        self.fill(["tc", "ring"], most)
        say("packets: placing plans")
        with Flood(self.daemons, network.ROUTERS) as flood:
            self.place(flood, "tc", most)
            self.memory(empty, self.daemons.memory("tc"), most)
            self.check_order(flood)
            self.pps(flood)
        say("program cost")
        self.program_costs()
        self.daemons.stop("fad-ring", "fad-tc")

    # ---- what nothing matches, and many wildcards ----

    def wild(self, router, count, shapes):
        """An agent with wildcards that none of the packets to the server's own address matches."""
        self.daemons.agent(router, "tc")
        loader = self.daemons.load(router, WILD_RATE, "wildcards", count, shapes)
        self.daemons.loaded(router, loader, count / WILD_RATE * 4 + 30)
        have = len(self.daemons.show(router, "wildcards"))
        if have != count:
            raise LabError(f"{router}: {have} of {count} wildcards arrived")

    def unmatched(self, flood, router):
        flood.send(router, UNMATCHED_FLOWS, WARM, translated=False)
        before = self.daemons.counters(router) if router != "kernel" else {}
        rate = flood.rate(router, UNMATCHED_FLOWS, self.plan.seconds, translated=False)
        if before:
            passed = self.daemons.counters(router)["classifier", "passed"] - before["classifier", "passed"]
            if passed < rate * self.plan.seconds * 0.95:
                raise LabError(f"{router}: the classifier passed {passed} packets only")
        return rate

    def classifier(self):
        """The routers tc, auto and ring only lend their names: each agent has its data path at tc."""
        for router, count, shapes in (("tc", 1, 1), ("auto", 10_000, SHAPES), ("ring", SHAPES, SHAPES)):
            self.wild(router, count, shapes)
        rows = {"kernel": "classifier.detached", "tc": "classifier.no_match", "auto": "classifier.no_match.10k"}
        with Flood(self.daemons, rows) as flood:
            subjects = {row: lambda r=router: self.unmatched(flood, r) for router, row in rows.items()}
            values = interleave(self.plan.rounds, subjects, self.results)
        for row, found in values.items():
            others = {} if row == rows["kernel"] else {"vs_detached": values.get(rows["kernel"])}
            self.results.add(row, "packets/s", found, others)
        few, many = ([r["turnout"] - r["harness"] for r in self.cost(router, "wild", count)]
                     for router, count in (("ring", SHAPES), ("auto", 10_000)))
        self.results.add("wildcards.40", "ns/packet", few)
        self.results.add("wildcards.10k", "ns/packet", many, {"vs_40": few})
