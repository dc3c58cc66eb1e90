# SPDX-License-Identifier: BSD-2-Clause
"""`make install` puts everything where it says, complete, and nothing elsewhere."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = os.environ.get("TURNOUT_BUILD", "build/release")
PROGRAMS = ("sbin/fad", "sbin/smd", "sbin/routed-glue", "bin/turnoutctl")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The tree that `make install DESTDIR= PREFIX=/opt/turnout` leaves."""
    destination = tmp_path_factory.mktemp("install")
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    subprocess.run(["make", "-s", "--no-print-directory", f"BUILD={BUILD}", f"DESTDIR={destination}",
                    "PREFIX=/opt/turnout", "install"], cwd=ROOT, env=env, check=True)
    return destination


def test_everything_is_below_the_prefix(installed):
    assert [p.relative_to(installed).as_posix() for p in installed.iterdir()] == ["opt"]
    assert [p.name for p in (installed / "opt").iterdir()] == ["turnout"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_runs(installed, program):
    path = installed / "opt/turnout" / program
    done = subprocess.run([path, "--version"], text=True, capture_output=True)
    assert done.returncode == 0 and "0.1.0" in done.stdout, done


def test_completion_knows_the_verbs(installed):
    completion = installed / "opt/turnout/share/bash-completion/completions/turnoutctl"
    script = (f"source {completion}; COMP_WORDS=(turnoutctl show ''); COMP_CWORD=2; "
              "spec=$(complete -p turnoutctl); f=${spec#*-F }; f=${f%% *}; $f turnoutctl '' show; "
              "printf '%s\\n' \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "-c", script], text=True, capture_output=True)
    assert {"agents", "services", "servers", "wildcards", "affinities", "counters"} <= set(done.stdout.split()), done


def test_dissector_is_where_wireshark_looks_MSG_12(installed, tmp_path):
    """The directory is that of Wireshark itself, below another prefix; the script there is a good one."""
    folders = subprocess.run(["tshark", "-G", "folders"], text=True, capture_output=True, check=True).stdout
    plugins = next(line.split("\t")[-1] for line in folders.splitlines() if line.startswith("Global Lua Plugins"))
    script = installed / "opt/turnout" / pathlib.Path(plugins).relative_to("/usr") / "turnout.lua"
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    filtered = ["-r", empty, "-Y", "turnout.type == 1"]
    assert subprocess.run(["tshark", *filtered], capture_output=True).returncode != 0, "known without the script"
    done = subprocess.run(["tshark", "-X", f"lua_script:{script}", *filtered], text=True, capture_output=True)
    assert done.returncode == 0 and "Lua" not in done.stderr, done.stderr


@pytest.mark.parametrize("page", ["README.md", "LICENSE", "CHANGELOG.md", "operations.md", "configuration.md",
                                  "protocol.md", "ctl.md"])
def test_documentation(installed, page):
    assert (installed / "opt/turnout/share/doc/turnout" / page).stat().st_size > 0


def examples():
    """Names of the configuration files that are installed, from where they are in the tree."""
    return sorted({p.name for p in (*ROOT.glob("docs/examples/*.yaml"), *ROOT.glob("*/*.example.yaml"))})


@pytest.mark.parametrize("name", examples())
def test_example_is_a_good_configuration(installed, tmp_path, name):
    """The examples are complete but for the key file, which is the reader's."""
    example = installed / "opt/turnout/share/doc/turnout/examples" / name
    key = tmp_path / "key1"
    key.write_text("a secret for this test")
    key.chmod(0o600)
    config = tmp_path / "config.yaml"
    config.write_text(example.read_text().replace("/etc/turnout/key1", str(key)))
    daemon = installed / "opt/turnout/sbin" / name.split(".")[0]
    done = subprocess.run([daemon, "--check", "--config", config], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_each_daemon_has_an_example():
    assert {name.split(".")[0] for name in examples()} == {"fad", "smd", "routed-glue"}
