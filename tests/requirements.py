#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Which requirement has tests, by the results of the last `make check`.

Reads the identifiers from docs/requirements.md and the outcomes from
results.json, never a test's source: a test that did not run proves nothing.
Prints one line an identifier: `FIX-3 passed 2`, `FIX-9 untested 0`,
`ACT-1 failed 1`.  Exit status 1 when there are no results, or when a test
names an identifier that the list does not have.
"""
import argparse
import collections
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
GROUPS = "ARCH|KEY|FIX|WILD|MSG|SEC|ACT|PREC|FA|SM|SVC"
LISTED = re.compile(rf"^\|\s*((?:{GROUPS})-\d+)\s*\|", re.MULTILINE)
NAMED = re.compile(rf"(?<![A-Za-z0-9])({GROUPS})_(\d+)(?![0-9])")


def identifiers_in_name(name):
    """FIX-3 and MSG-4 of test_FIX_3_MSG_4_something, in order, each once."""
    return list(dict.fromkeys(f"{group}-{number}" for group, number in NAMED.findall(name)))


def listed_identifiers(text):
    """The identifiers of the tables in docs/requirements.md, in their order."""
    return list(dict.fromkeys(LISTED.findall(text)))


def coverage(identifiers, tests):
    """(identifier, state, number) rows; any failing test makes it failed."""
    outcomes = collections.defaultdict(collections.Counter)
    for test in tests:
        for identifier in test["requirements"]:
            outcomes[identifier][test["outcome"]] += 1
    for identifier in identifiers:
        count = outcomes[identifier]
        if count["failed"]:
            yield identifier, "failed", count["failed"]
        elif count["passed"]:
            yield identifier, "passed", count["passed"]
        else:
            yield identifier, "untested", 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "build/results/results.json")
    parser.add_argument("--list", type=pathlib.Path, default=ROOT / "docs/requirements.md")
    args = parser.parse_args()
    try:
        tests = json.loads(args.results.read_text())["tests"]
    except FileNotFoundError:
        print(f"no results at {args.results}: run `make check` first", file=sys.stderr)
        return 1
    identifiers = listed_identifiers(args.list.read_text())
    for identifier, state, number in coverage(identifiers, tests):
        print(identifier, state, number)
    strangers = [(test["name"], i) for test in tests for i in test["requirements"] if i not in identifiers]
    for name, identifier in strangers:
        print(f"{name}: {identifier} is not in {args.list.name}", file=sys.stderr)
    return 1 if strangers else 0


if __name__ == "__main__":
    sys.exit(main())
