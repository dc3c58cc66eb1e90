# SPDX-License-Identifier: BSD-2-Clause
""".ci/run with programs of our own for `make`, and tests/docker/check where no engine can be had: what they say and return."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GOOD, BAD = "10 passed, 0 failed, 0 skipped", "9 passed, 1 failed, 0 skipped"
SKIP = "skipped: docker engine: mounts are refused\\n0 passed, 0 failed, 1 skipped"


@pytest.mark.parametrize("check, docker, status, last", [
    ((0, GOOD), (0, "5 passed, 0 failed, 0 skipped"), 0, "15 passed, 0 failed, 0 skipped"),
    ((2, BAD), (0, "5 passed, 0 failed, 0 skipped"), 1, "14 passed, 1 failed, 0 skipped"),
    ((0, GOOD), (2, BAD), 1, "19 passed, 1 failed, 0 skipped"),
    ((0, GOOD), (0, SKIP), 0, "10 passed, 0 failed, 1 skipped"),
    ((2, "it does not compile"), (0, SKIP), 1, "0 passed, 1 failed, 1 skipped"),
    ((2, GOOD), (0, SKIP), 1, "10 passed, 1 failed, 1 skipped"),
    ((0, ""), (0, SKIP), 1, "0 passed, 1 failed, 1 skipped"),
])
def test_last_line_and_status_of_continuous_integration(tmp_path, check, docker, status, last):
    fake = tmp_path / "make"
    fake.write_text("#!/bin/sh\nif [ $1 = check ]; then " + "; else ".join(
        f"printf '{text}\\n'; exit {code}" for code, text in (check, docker)) + "; fi\n")
    fake.chmod(0o755)
    done = subprocess.run([ROOT / ".ci/run"], env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, text=True,
                          stdout=subprocess.PIPE, timeout=30)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (status, last), done.stdout
    assert check[1] in done.stdout and ("mounts are refused" in done.stdout) == (docker[1] == SKIP)


@pytest.mark.parametrize("required, status, last", [("0", 0, "0 passed, 0 failed, 1 skipped"),
                                                    ("1", 1, "0 passed, 1 failed, 0 skipped")])
def test_no_engine_is_a_failure_unless_allowed(tmp_path, required, status, last):
    done = subprocess.run([ROOT / "tests/docker/check", "--build", tmp_path], text=True, stdout=subprocess.PIPE, timeout=30,
                          env={**os.environ, "CI": "1", "REQUIRE_DOCKER": required, "ENGINE_UNAVAILABLE": "no mounts here"})
    assert (done.returncode, done.stdout.splitlines()[-1]) == (status, last)
    assert "no mounts here" in done.stdout
