# SPDX-License-Identifier: BSD-2-Clause
"""The test runner's and the requirement list's own arithmetic: a runner that lies makes every other test worthless."""
import importlib.machinery
import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def module_of(path):
    loader = importlib.machinery.SourceFileLoader(path.name.replace(".py", "_module"), str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runner():
    return module_of(ROOT / "tests/run")


@pytest.fixture(scope="module")
def requirements():
    return module_of(ROOT / "tests/requirements.py")


@pytest.mark.parametrize("name, found", [
    ("test_FIX_3_zero_forward_drops", ["FIX-3"]),
    ("wire_test:test_MSG_4_SEC_2_both", ["MSG-4", "SEC-2"]),
    ("lab.test_x.test_asymmetric_ARCH_3[v6]", ["ARCH-3"]),
    ("test_PREFIX_3_is_none", []),
    ("test_FIX_12_and_FIX_12_once", ["FIX-12"]),
    ("test_plain", []),
], ids=range(6))  # the names are not this test's own
def test_identifiers_in_names(requirements, name, found):
    assert requirements.identifiers_in_name(name) == found


def test_failing_wins_over_passing(requirements):
    tests = [{"requirements": ["FIX-1"], "outcome": o} for o in ("passed", "failed", "passed")]
    tests += [{"requirements": ["FIX-2"], "outcome": o} for o in ("passed", "passed", "skipped")]
    tests += [{"requirements": ["FIX-3"], "outcome": "skipped"}]
    rows = list(requirements.coverage(["FIX-1", "FIX-2", "FIX-3", "FIX-4"], tests))
    assert rows == [("FIX-1", "failed", 1), ("FIX-2", "passed", 2), ("FIX-3", "untested", 0), ("FIX-4", "untested", 0)]


def requirements_command(*arguments):
    return subprocess.run([sys.executable, ROOT / "tests/requirements.py", *arguments], text=True, capture_output=True)


def test_without_results_it_says_so(tmp_path):
    done = requirements_command("--results", tmp_path / "none.json")
    assert done.returncode == 1 and done.stdout == "" and "make check" in done.stderr


def test_an_unknown_identifier_is_an_error(tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"tests": [{"name": "test_FIX_99", "requirements": ["FIX-99"],
                                              "outcome": "passed"}]}))
    done = requirements_command("--results", results)
    assert done.returncode == 1 and "FIX-99" in done.stderr and "FIX-1 untested 0" in done.stdout


def outcomes(run):
    return [(test["name"], test["outcome"]) for test in run.tests]


def test_tap_of_check_is_understood(runner, tmp_path):
    tap = tmp_path / "x.tap"
    tap.write_text("1..2\nok 1 - a_test.c:core:test_FIX_1_good: Passed\n"
                   "not ok 2 - a_test.c:core:test_FIX_2_bad: Assertion '1 == 2' failed: 1 == 1\n")
    run = runner.Run(tmp_path, False)
    runner.read_tap(run, "a_test", tap)
    assert outcomes(run) == [("a_test:test_FIX_1_good", "passed"), ("a_test:test_FIX_2_bad", "failed")]
    assert run.tests[0]["requirements"] == ["FIX-1"]


@pytest.mark.parametrize("text", ["", "1..2\nok 1 - a_test.c:core:test_one: Passed\n"])
def test_a_program_that_stops_early_has_failed(runner, tmp_path, text):
    tap = tmp_path / "x.tap"
    tap.write_text(text)
    run = runner.Run(tmp_path, False)
    runner.read_tap(run, "a_test", tap)
    assert run.count("failed") == 1


@pytest.mark.parametrize("ci, reason, outcome", [
    (False, "no such device", "skipped"), (True, "no such device", "failed"), (False, " ", "failed")])
def test_skips(runner, tmp_path, ci, reason, outcome):
    run = runner.Run(tmp_path, ci)
    run.add("test_x", "skipped", reason)
    assert outcomes(run) == [("test_x", outcome)]


def test_junit_of_pytest_is_understood(runner, tmp_path):
    report = tmp_path / "x.xml"
    report.write_text('<testsuites><testsuite><testcase classname="t" name="test_ok_KEY_3"/>'
                      '<testcase classname="t" name="test_bad"><failure message="no">x</failure></testcase>'
                      '<testcase classname="t" name="test_err"><error message="no">x</error></testcase>'
                      '<testcase classname="t" name="test_skip"><skipped message="why">x</skipped></testcase>'
                      '</testsuite></testsuites>')
    run = runner.Run(tmp_path, False)
    runner.read_junit(run, "lab", report)
    assert outcomes(run) == [("t.test_ok_KEY_3", "passed"), ("t.test_bad", "failed"), ("t.test_err", "failed"),
                             ("t.test_skip", "skipped")]


@pytest.mark.parametrize("kinds, status, line", [
    (["passed", "passed"], 0, "2 passed, 0 failed, 0 skipped"),
    (["passed", "failed", "skipped"], 1, "1 passed, 1 failed, 1 skipped"),
    ([], 1, "0 passed, 0 failed, 0 skipped"),
])
def test_last_line_and_status(runner, tmp_path, capsys, kinds, status, line):
    run = runner.Run(tmp_path, False)
    for number, kind in enumerate(kinds):
        run.add(f"test_{number}", kind, "because")
    assert runner.finish(run, False) == status
    assert capsys.readouterr().out.splitlines()[-1] == line
