# SPDX-License-Identifier: BSD-2-Clause
"""The installed units: systemd finds nothing wrong in them, they expose little, and give each daemon what it asks for.

tests/lab/test_units.py starts them.
"""
import configparser
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = os.environ.get("TURNOUT_BUILD", "build/release")
DAEMONS = ("fad", "smd", "routed-glue")
MOST_EXPOSED = 4.0

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """Installed there, so that ExecStart= names programs that exist."""
    where = tmp_path_factory.mktemp("units") / "turnout"
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    subprocess.run(["make", "-s", "--no-print-directory", f"BUILD={BUILD}", f"PREFIX={where}", "DESTDIR=", "install"],
                   cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    return where


def unit(prefix, daemon):
    return prefix / "lib/systemd/system" / f"{daemon}.service"


def settings(prefix, daemon):
    """Of the [Service] section, the last of each name."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(unit(prefix, daemon))
    return parser["Service"]


def analyze(*arguments):
    env = {**os.environ, "SYSTEMD_PAGER": "", "LC_ALL": "C.UTF-8"}
    return subprocess.run(["systemd-analyze", *map(str, arguments)], text=True, capture_output=True, env=env)


def test_verify_is_clean(prefix):
    done = analyze("verify", "--man=no", *(unit(prefix, daemon) for daemon in DAEMONS))
    ours = [line for line in done.stderr.splitlines() if str(prefix) in line or any(d in line for d in DAEMONS)]
    assert (done.returncode, done.stdout, ours) == (0, "", [])


@pytest.mark.parametrize("daemon", DAEMONS)
def test_exposure(prefix, daemon):
    done = analyze("security", "--offline=true", "--no-pager", unit(prefix, daemon))
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level and float(level[1]) <= MOST_EXPOSED, done


@pytest.mark.parametrize("daemon", DAEMONS)
def test_pages_it_names_are_installed(prefix, daemon):
    documentation = re.search(r"^Documentation=(.*)$", unit(prefix, daemon).read_text(), re.M)[1]
    pages = re.findall(r"man:(\S+)\((\d)\)", documentation)
    assert len(pages) == 2
    for name, section in pages:
        assert (prefix / f"share/man/man{section}/{name}.{section}").is_file()


@pytest.mark.parametrize("daemon", DAEMONS)
def test_states_it_must_not_leave_without_a_human_are_those_of_exitcode_h(prefix, daemon):
    codes = dict(re.findall(r"(EXITCODE_\w+) = (\d+)", (ROOT / "lib/exitcode.h").read_text()))
    final = {codes[f"EXITCODE_{name}"] for name in ("USAGE", "CONFIG", "PRIVILEGE", "KERNEL")}
    assert set(settings(prefix, daemon)["RestartPreventExitStatus"].split()) == final


def configuration(tmp_path, daemon):
    """One that reaches the point where capabilities are dropped, and little more."""
    text = {"fad": "control: {address: 127.0.0.1, multicast: false}\nidentity: 1\ninterfaces: [none0]\n",
            "smd": "control: {address: 127.0.0.1, multicast: false}\nidentity: 1\nservices: [{name: s, vip: 203.0.113.1, "
                   "port: 80, servers: [{name: a, address: 10.0.0.1}]}]\n",
            "routed-glue": "agents: [fad]\nfrr: none\n"}[daemon]
    path = tmp_path / f"{daemon}.yaml"
    path.write_text(text)
    return path


def start_with(tmp_path, daemon, capabilities):
    """Exit status and words of a daemon that has just these, in a network namespace of its own without interfaces."""
    if os.geteuid() != 0:
        pytest.skip("giving a process capabilities needs root")
    given = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities)])
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o777)
    run_dir.chmod(0o777)
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    program = ROOT / BUILD / "bin" / daemon
    # The daemon may be good enough to run on: then it is ended after a while, with status 124.
    done = subprocess.run(
        ["unshare", "--net", "timeout", "--preserve-status", "2", "setpriv", "--reuid=65534", "--regid=65534",
         "--clear-groups", f"--bounding-set={given}", f"--inh-caps={given}", f"--ambient-caps={given}", program, "--config",
         configuration(tmp_path, daemon), "--run-dir", run_dir], text=True, capture_output=True)
    return done.returncode, done.stderr


def capabilities(prefix, daemon):
    return settings(prefix, daemon)["AmbientCapabilities"].split()


@pytest.mark.parametrize("daemon", DAEMONS)
def test_bounding_set_is_what_is_given(prefix, daemon):
    assert capabilities(prefix, daemon) == settings(prefix, daemon)["CapabilityBoundingSet"].split()


@pytest.mark.parametrize("daemon", DAEMONS)
def test_capabilities_of_the_unit_are_enough_for_the_daemon(prefix, tmp_path, daemon):
    status, text = start_with(tmp_path, daemon, capabilities(prefix, daemon))
    assert "missing privilege" not in text, (status, text)


@pytest.mark.parametrize("daemon, capability", [
    ("fad", "CAP_NET_ADMIN"), ("fad", "CAP_NET_RAW"), ("fad", "CAP_BPF"), ("fad", "CAP_PERFMON"),
    ("routed-glue", "CAP_NET_ADMIN")])
def test_without_one_capability_the_daemon_names_it(prefix, tmp_path, daemon, capability):
    """So that the unit has none too many.  The list here is complete: the next test compares it."""
    rest = [name for name in capabilities(prefix, daemon) if name != capability]
    status, text = start_with(tmp_path, daemon, rest)
    assert status == 4 and capability.lower() in text, (status, text)


def test_no_capability_was_left_out_above(prefix):
    assert {daemon: set(capabilities(prefix, daemon)) for daemon in DAEMONS} == {
        "fad": {"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_PERFMON"}, "smd": set(), "routed-glue": {"CAP_NET_ADMIN"}}


def test_users_and_directories(prefix, tmp_path):
    """systemd's own tools make them from the installed files."""
    root = tmp_path / "root"
    for path in ("etc", "run"):
        (root / path).mkdir(parents=True)
    for tool, directory in (("systemd-sysusers", "sysusers.d"), ("systemd-tmpfiles", "tmpfiles.d")):
        if shutil.which(tool) is None or os.geteuid() != 0:
            pytest.skip(f"{tool} is not installed, or this is not root")
        arguments = ["--create"] if tool == "systemd-tmpfiles" else []
        done = subprocess.run([tool, f"--root={root}", *arguments, prefix / "lib" / directory / "turnout.conf"], text=True,
                              capture_output=True)
        assert done.returncode == 0, done
    user, group = (re.search(r"^turnout:.*$", (root / "etc" / name).read_text(), re.M)[0].split(":") for name in (
        "passwd", "group"))
    assert user[6].endswith("nologin") and user[3] == group[2]
    etc, run = ((root / path / "turnout").stat() for path in ("etc", "run"))
    assert (etc.st_mode & 0o7777, etc.st_uid, etc.st_gid) == (0o750, 0, int(group[2]))
    assert (run.st_mode & 0o7777, run.st_uid, run.st_gid) == (0o750, int(user[2]), int(group[2]))
