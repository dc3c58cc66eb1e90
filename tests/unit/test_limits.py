# SPDX-License-Identifier: BSD-2-Clause
"""docs/limits.md: each row names a test that is there, counters that are there, and keys of the configuration that are there."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SOURCES = ("ctl", "fad", "lib", "proto", "routed-glue", "smd")
LIMIT, COUNTER, TEST = 1, 3, 5
IN_CODE = re.compile(r"`([^`]+)`")


def rows():
    for line in (ROOT / "docs/limits.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 6 and cells[0] != "what" and set(cells[0]) != {"-"}:
            yield cells


ROWS = list(rows())


def texts(*patterns):
    return "\n".join(path.read_text() for pattern in patterns for path in sorted(ROOT.glob(pattern)))


CODE = texts(*(f"{d}/*.[ch]" for d in SOURCES))
TESTS = set(re.findall(r"START_TEST\((\w+)\)", CODE)) | set(
    re.findall(r"^ *def (test_\w+)\(", texts("tests/lab/test_*.py", "tests/unit/test_*.py"), re.M))


def test_all_rows_are_read_ARCH_10():
    assert len(ROWS) > 50


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_row_names_what_there_is_ARCH_10(row):
    names = IN_CODE.findall(row[TEST])
    assert names and set(names) <= TESTS, f"{row[0]}: {set(names) - TESTS or 'no test'}"
    for name in IN_CODE.findall(row[COUNTER]):
        for word in (name.split("/") if re.fullmatch(r"[a-z-]+/[a-z-]+", name) else []):
            assert f'"{word}"' in CODE, f"{row[0]}: counter {name}"
    for name in IN_CODE.findall(row[LIMIT]):
        assert f'.name = "{name.rpartition(".")[2]}"' in CODE or f'"{name.rpartition(".")[2]}"' in CODE, f"{row[0]}: {name}"
