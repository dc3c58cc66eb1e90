# SPDX-License-Identifier: BSD-2-Clause
"""Rows of results: values of paired runs, their medians and ratios, and what is missing and why.

Writes no files.  Must not know how anything is measured.
"""
import os
import platform
import statistics
import sys
import time

from turnoutlab.process import LabError


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


class Results:
    """rows: {id: {"id", "unit", "median", "min", "max", "runs", and ratios}}; missing: {id: why}."""

    def __init__(self):
        self.rows, self.missing = {}, {}

    def lack(self, row, why):
        self.rows.pop(row, None)
        self.missing[row] = why
        say(f"  {row}: left out: {why}")

    def add(self, row, unit, values, against=None, **more):
        """against: {name of the ratio: values of the other, run by run}."""
        if not values:
            return
        found = {"id": row, "unit": unit, "median": rounded(statistics.median(values)), "min": rounded(min(values)),
                 "max": rounded(max(values)), "runs": len(values)}
        for name, others in (against or {}).items():
            ratios = [a / b for a, b in zip(values, others, strict=True) if b] if others else []
            if ratios:
                found[name] = round(statistics.median(ratios), 3)
                found[f"{name}_range"] = [round(min(ratios), 3), round(max(ratios), 3)]
        found.update(more)
        self.rows[row] = found

    def as_json(self, smoke):
        return {"machine": machine(), "smoke": smoke, "rows": list(self.rows.values()), "missing": self.missing}


def rounded(value):
    return round(value) if value >= 1000 else float(f"{value:.4g}")


def interleave(rounds, subjects, results):
    """Each of {row: function} in turn, so many rounds: {row: values}.  One that fails is left out from then on."""
    values = {row: [] for row in subjects}
    for number in range(rounds):
        for row in list(values):
            try:
                values[row].append(subjects[row]())
            except LabError as failure:
                del values[row]
                results.lack(row, " ".join(f"{failure} {failure.log}".split())[:300])
            else:
                say(f"  round {number + 1} of {rounds}: {row} {rounded(values[row][-1])}")
    return values


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        models = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    with open("/proc/meminfo", encoding="ascii") as f:
        memory = int(f.readline().split()[1]) // 1024
    return {"kernel": platform.release(), "processor": models[0] if models else platform.machine(),
            "processors": len(os.sched_getaffinity(0)), "memory_mb": memory,
            "load": round(os.getloadavg()[0], 2), "date": time.strftime("%Y-%m-%d")}


def table(results):
    """Lines of a table for people."""
    ratios = []
    for row in results.rows.values():
        ratios += [k for k in row if k.startswith("vs_") and not k.endswith("_range") and k not in ratios]
    lines = ["| row | median | range | unit | ratios (range) |", "|---|---|---|---|---|"]
    for row in results.rows.values():
        text = ", ".join(f"{k} {row[k]:.2f} ({row[k + '_range'][0]:.2f}-{row[k + '_range'][1]:.2f})" for k in ratios if k in row)
        lines.append(f"| {row['id']} | {row['median']:,} | {row['min']:,}-{row['max']:,} | {row['unit']} | {text} |")
    if results.missing:
        lines += ["", "Left out:"] + [f"  {row}: {why}" for row, why in results.missing.items()]
    return lines
