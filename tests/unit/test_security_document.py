# SPDX-License-Identifier: BSD-2-Clause
"""docs/security.md names tests that exist, and counters and every SEC requirement.  Must not know what the tests do."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs/security.md").read_text()
NAMED = sorted(set(re.findall(r"`(test_\w+)`", TEXT)))


def test_each_test_named_is_in_the_tree_SEC_1():
    sources = [p.read_text() for p in (*ROOT.glob("tests/*/test_*.py"), *ROOT.glob("*/*_test.c"))]
    there = {name for text in sources for name in re.findall(r"^(?:def |START_TEST\()(test_\w+)", text, re.M)}
    assert NAMED and not [name for name in NAMED if name not in there]


def test_each_row_has_a_test_SEC_1():
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| threat")]
    assert len(rows) > 10 and not [row for row in rows if "`test_" not in row]


def test_every_requirement_is_there_SEC_1():
    wanted = re.findall(r"^\| (SEC-\d+|MSG-1[234]) ", (ROOT / "docs/requirements.md").read_text(), re.M)
    assert len(wanted) >= 7 and not [name for name in wanted if not re.search(rf"\b{name}\b", TEXT)]
