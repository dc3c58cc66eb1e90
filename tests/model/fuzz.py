#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The engine against the reference model, on random scenarios: by the hundred thousand, or one seed again.

    tests/model/fuzz.py --replay build/asan/tests/model/replay --steps 1000000
    tests/model/fuzz.py --replay ... --group PREC --seed 4711

Prints the seeds it begins with, and for a scenario that differs the shortest
one that still does, step by step, with what both did.  Exit status 1 then.
"""
import argparse
import concurrent.futures
import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import compare  # noqa: E402
import scenario  # noqa: E402

WORKERS = min(os.cpu_count() or 1, 8)
BATCH = 50  # scenarios in one run of the replay program
LENGTH = 50  # steps in a scenario
ROUND = 4 * BATCH  # scenarios of one group before the next
SHOWN = 2  # differences of one batch that are made short and shown


def explain(program, group, seed, player):
    limits = player.steps[0].what[1]
    try:
        steps = compare.shrink(program, limits, player.steps)
        story = compare.trace(*compare.rerun(program, limits, steps))
    except compare.Crashed as crash:
        story = "\n".join(compare.words_of_step(s) for s in steps) + f"\nthe engine ended: {crash}"
    return f"again: tests/model/fuzz.py --replay {program} --group {group} --seed {seed}\n{story}"


def batch(program, group, seeds, shorten=True):
    """(packets and messages played, [what differs, in words])"""
    players = [scenario.Maker(seed, scenario.GROUPS[group]).make(LENGTH) for seed in seeds]
    reports = []
    try:
        for seed, player, answers in zip(seeds, players, compare.replay(program, players)):
            if compare.difference(player, answers) and len(reports) < SHOWN:
                reports.append(explain(program, group, seed, player) if shorten else f"{group} {seed}")
    except compare.Crashed as crash:
        if not shorten:
            return 0, [str(crash)]
        # One of them: each by itself.
        for seed, player in zip(seeds, players):
            if compare.differs(program, player.steps[0].what[1], player.steps):
                reports.append(explain(program, group, seed, player))
                break
    return sum(1 for p in players for s in p.steps if s.what[0] in ("packet", "message")), reports


def run(program, group, first, count, pool, shorten=True):
    """(packets and messages played, reports) of `count` scenarios from seed `first` on."""
    batches = [range(at, min(at + BATCH, first + count)) for at in range(first, first + count, BATCH)]
    total, reports = 0, []
    for steps, found in pool.map(batch, *zip(*[(program, group, seeds, shorten) for seeds in batches])):
        total += steps
        reports += found
    return total, reports


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replay", required=True, type=pathlib.Path, help="the program around the real engine")
    parser.add_argument("--steps", type=int, default=1000000, help="packets and messages to play, at least")
    parser.add_argument("--group", choices=scenario.GROUPS, help="only this kind of scenario")
    parser.add_argument("--seed", type=int, help="only this scenario; all of it is printed")
    args = parser.parse_args()
    groups = [args.group] if args.group else list(scenario.GROUPS)
    program = args.replay.resolve()
    if args.seed is not None:
        player = scenario.Maker(args.seed, scenario.GROUPS[groups[0]]).make(LENGTH)
        answers = next(compare.replay(program, [player]))
        print(compare.trace(player, answers))
        return 1 if compare.difference(player, answers) else 0
    seed, played, started = random.SystemRandom().randrange(1 << 48), 0, time.monotonic()
    print(f"seeds from {seed}", flush=True)
    with concurrent.futures.ProcessPoolExecutor(WORKERS) as pool:
        while played < args.steps:
            for group in groups:
                steps, reports = run(program, group, seed, ROUND, pool)
                played += steps
                if reports:
                    print("\n\n".join(reports[:SHOWN]))
                    return 1
            seed += ROUND
            print(f"{played} packets and messages, {time.monotonic() - started:.0f} s, no difference", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
