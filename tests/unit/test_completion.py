# SPDX-License-Identifier: BSD-2-Clause
"""turnoutctl's completion, asked in a real bash, knows what turnoutctl itself knows."""
import os
import pathlib
import re
import shlex
import socket
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TURNOUTCTL = ROOT / os.environ.get("TURNOUT_BUILD", "build/release") / "bin/turnoutctl"


def complete(*words, cwd=ROOT):
    """What bash offers for the last of these words; the others precede it."""
    script = (f"source {shlex.quote(str(ROOT / 'ctl/turnoutctl.bash'))}\n"
              f"COMP_WORDS=({' '.join(shlex.quote(w) for w in ('turnoutctl', *words))})\nCOMP_CWORD={len(words)}\n"
              "spec=$(complete -p turnoutctl); f=${spec#*-F }; f=${f%% *}\n"
              "$f turnoutctl \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"\n"
              "for word in \"${COMPREPLY[@]}\"; do printf '%s\\n' \"$word\"; done\n")
    done = subprocess.run(["bash", "--norc", "-u", "-c", script], text=True, capture_output=True, cwd=cwd)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout.splitlines()


def section_text(text, title):
    return text.split(f"\n{title}:\n")[1].split("\n\n")[0]


def section(text, title):
    """First words of the indented lines below a title of turnoutctl's help."""
    return re.findall(r"^  (\S+)", section_text(text, title), re.M)


def told(*arguments):
    return subprocess.run([TURNOUTCTL, *arguments], text=True, capture_output=True, check=True).stdout


def test_listings_are_those_of_the_program_ARCH_7():
    listings = section(told("help", "show"), "Listings")
    assert len(listings) >= 9 and complete("show", "") == listings
    assert complete("--json", "show", "se") == ["services", "servers"]


def test_verbs_are_those_of_the_program_ARCH_7():
    verbs = section(told("help"), "Verbs")
    assert {"show", "version", "help"} <= set(verbs)
    assert complete("") == complete("help", "") == verbs


def test_options_are_those_of_the_program_ARCH_7():
    options = section(told("help"), "Options")
    assert complete("--") == complete("show", "agents", "-") == options
    assert complete("show", "--j") == ["--json"]


def test_options_of_capture_ARCH_7():
    """Those that only capture has are offered after it, and their values are no verbs."""
    offered = set(re.findall(r"^  (--?[a-z]+)", section_text(told("help", "capture"), "Of capture"), re.M))
    assert offered and offered <= set(complete("capture", "-"))
    assert not offered & set(complete("show", "-"))
    assert complete("capture", "--count", "") == [] and complete("capture", "--count", "3", "--dr") == ["--drops"]


def test_nothing_where_nothing_can_follow():
    assert complete("show", "agents", "") == []
    assert complete("version", "") == []
    assert complete("--timeout", "") == []
    assert complete("nonsense", "") == []


@pytest.mark.parametrize("option", [["--run-dir"], ["--run-dir", "="]])
def test_run_directories(tmp_path, option):
    (tmp_path / "a lab").mkdir()
    (tmp_path / "r1").mkdir()
    (tmp_path / "file").touch()
    assert sorted(complete(*option, "", cwd=tmp_path)) == ["a lab", "r1"]
    assert complete("show", *option, "r", cwd=tmp_path) == ["r1"]


def test_values_of_options_are_not_verbs():
    assert complete("--from", "show", "") == section(told("help"), "Verbs")
    assert complete("--timeout", "=", "5", "sh") == ["show"]


@pytest.fixture
def run_directories(tmp_path):
    """Two, with sockets such as daemons bind, and files that are none."""
    sockets = []
    for name in ("one/fad", "one/routed-glue", "two/smd", "two/fad"):
        path = tmp_path / f"{name}.sock"
        path.parent.mkdir(exist_ok=True)
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[-1].bind(str(path))
    (tmp_path / "one/fad.pid").touch()
    (tmp_path / "one/odd.sock").touch()
    yield tmp_path
    for s in sockets:
        s.close()


@pytest.mark.parametrize("equals", [[], ["="]])
def test_daemons_of_the_run_directories(run_directories, equals):
    one, two = str(run_directories / "one"), str(run_directories / "two")
    assert complete("--run-dir", *equals, one, "--from", "") == ["fad", "routed-glue"]
    assert complete("--run-dir", *equals, one, "--run-dir", two, "--from", *equals, "") == ["fad", "routed-glue", "smd"]
    assert complete("--run-dir", *equals, one, "show", "--from", *equals, "r") == ["routed-glue"]
