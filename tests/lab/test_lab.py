# SPDX-License-Identifier: BSD-2-Clause
"""The lab itself: what it promises to its users, and that it leaves nothing behind."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BUILD, LAB_NAME, ROOT, bring_up, until
import turnoutlab
from turnoutlab.topology import VIPS

VIP4, VIP6 = VIPS
COMMAND = ROOT / "lab" / "turnout-lab"
OTHER = f"{LAB_NAME[:16]}-2"


def command(*arguments, timeout=60):
    return subprocess.run([COMMAND, *arguments], text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def leftovers(name):
    """Whatever there still is of a lab: namespaces, files, processes."""
    found = [n for n in (os.listdir("/run/netns") if os.path.isdir("/run/netns") else []) if n.startswith(f"{name}-")]
    found += [str(p) for p in pathlib.Path("/run").glob("turnout-lab*") if name in p.name]
    found += [str(p) for p in pathlib.Path("/run").glob(f"turnout-lab/{name}")]
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"/run/turnout-lab/{name}/".encode() in entry.read_bytes():
                found.append(entry.read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.fixture
def other():
    """The name of a second lab; whatever the test leaves of it is removed."""
    yield OTHER
    command("down", "--name", OTHER)


@pytest.fixture
def failing_build(tmp_path):
    """A directory of programs that end at once, saying something."""
    for program in ("fad", "smd", "routed-glue"):
        (tmp_path / program).write_text("#!/bin/sh\necho 'this is broken' >&2\nexit 1\n")
        (tmp_path / program).chmod(0o755)
    return tmp_path


def test_status_tells_all(healthy):
    found = json.loads(command("status", "--name", healthy.name, "--json").stdout)
    assert found["topology"] == "pair" and found["vips"] == [VIP4, VIP6]
    assert set(found["nodes"]) >= {"client1", "client2", "core", "r1", "r2", "web1", "web2", "web3", "sm1", "sm2"}
    assert all(entry["alive"] for entry in found["processes"].values())
    for node, daemon in (("r1", "fad"), ("r2", "fad"), ("r1", "routed-glue"), ("r2", "routed-glue"), ("sm1", "smd")):
        assert f"{node}/{daemon}" in found["processes"]
    text = command("status", "--name", healthy.name).stdout
    assert "10.0.20.11" in text and "NOT RUNNING" not in text


def test_exec_finds_the_nodes_own_daemons(healthy):
    """turnoutctl and vtysh in a node mean that node's, without options."""
    name = ("--name", healthy.name)
    assert "fad" in command("exec", *name, "r2", "--", "turnoutctl", "version").stdout
    for node, number in (("r1", 65001), ("r2", 65002), ("core", 65000)):
        text = command("exec", *name, node, "--", "vtysh", "-c", "show running-config").stdout
        assert f"router bgp {number}" in text
    done = command("exec", *name, "client1", "--", "sh", "-c", "exit 7")
    assert done.returncode == 7


def test_managers_reach_servers_and_agents_by_the_control_network(healthy):
    for manager in ("sm1", "sm2"):
        for server in ("web1", "web2", "web3"):
            assert healthy.who(manager, healthy.address(server, "ctl"))[0] == server
        healthy.run(manager, "ping", "-c", "1", "-W", "2", healthy.address("r1", "ctl"))


@pytest.mark.parametrize("arguments, words", [
    (("up", "nonesuch"), "no topology 'nonesuch'; there are: pair pair-ospf single"),
    (("up", "--name", "Bad Name"), "lab name 'Bad Name'"),
    (("up", "--build", "/nonexistent"), "/nonexistent: no fad, routed-glue, smd"),
    (("exec", "--name", "nolab", "r1"), "lab 'nolab' is not up"),
    (("status", "--name", "nolab"), "lab 'nolab' is not up")])
def test_mistakes_get_one_clear_line(arguments, words):
    done = command(*arguments)
    assert done.returncode == 1
    assert words in done.stderr and len(done.stderr.splitlines()) == 1


def test_wrong_node_or_daemon_lists_those_there_are(healthy):
    done = command("exec", "--name", healthy.name, "r9", "--", "true")
    assert done.returncode == 1 and "there are: client1 client2 core r1 r2" in done.stderr
    done = command("stop", "--name", healthy.name, "r1", "smd")
    assert done.returncode == 1 and "fad routed-glue" in done.stderr


def test_second_up_is_refused_and_harmless(healthy):
    done = command("up", "--name", healthy.name, "--build", str(BUILD))
    assert done.returncode == 1 and "is up already" in done.stderr and "turnout-lab down" in done.stderr
    assert healthy.who("client1", VIP4)


def test_failed_up_leaves_nothing_and_says_why(other, failing_build):
    done = command("up", "--name", other, "--build", str(failing_build))
    assert done.returncode == 1
    assert "this is broken" in done.stderr and "fad" in done.stderr
    assert leftovers(other) == []


@pytest.mark.parametrize("after", [0, 0.2, 0.6])
def test_interrupted_up_leaves_nothing(other, after):
    with subprocess.Popen([COMMAND, "up", "--name", other, "--without-daemons", "--quiet"], stderr=subprocess.PIPE,
                          start_new_session=True, text=True) as process:
        assert until(lambda: leftovers(other), 10, 0.02)
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)
        assert "interrupted" in process.communicate(timeout=30)[1]
    assert leftovers(other) == []


def test_killed_up_is_cleaned_up_by_down(other):
    with subprocess.Popen([COMMAND, "up", "--name", other, "--without-daemons", "--quiet"],
                          start_new_session=True) as process:
        assert until(lambda: leftovers(other), 5, 0.02)
        time.sleep(0.4)
        process.kill()
    assert command("down", "--name", other).returncode == 0
    assert leftovers(other) == []


def pids(name):
    """Processes of a lab; other labs on this machine have theirs."""
    return {entry["pid"] for entry in json.loads(command("status", "--name", name, "--json").stdout)["processes"].values()}


def test_up_and_down_leave_nothing(other):
    """Also not in the home directory, nor where FRRouting keeps its crash logs."""
    home = set(os.listdir(os.path.expanduser("~")))
    began = time.monotonic()
    done = command("up", "--name", other, "--without-daemons", "single")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60
    command("exec", "--name", other, "r1", "--", "vtysh", "-c", "show ip bgp")
    command("exec", "--name", other, "client1", "--", "curl", "-s", "http://10.0.20.11/")
    ours = pids(other)
    assert command("stop", "--name", other, "r1", "bgpd", "--kill").returncode == 0
    assert leftovers(other)
    ours |= pids(other)
    assert command("down", "--name", other).returncode == 0
    assert leftovers(other) == []
    assert set(os.listdir(os.path.expanduser("~"))) == home
    assert not [p for p in pathlib.Path("/var/tmp/frr").glob("*") if p.suffix[1:] in map(str, ours)]


def test_one_router_serves_both_families_SVC_1():
    """Topology `single`, beside the other lab."""
    for lab in bring_up("single", OTHER):
        assert until(lambda: {r["state"] for r in lab.rows("sm1", "smd", "servers")} == {"up"}, 10)
        for vip in (VIP4, VIP6):
            assert until(lambda v=vip: len(lab.next_hops("core", v)) == 1, 10)
            servers = {lab.who("client1", vip)[0] for _ in range(16)}
            assert len(servers) > 1 and servers <= {"web1", "web2", "web3"}
    assert leftovers(OTHER) == []


def test_python_interface_says_what_failed(other):
    """The exception has one line, and the end of the log beside it."""
    lab = turnoutlab.Lab(other)
    with pytest.raises(turnoutlab.LabError, match="is not up"):
        lab.run("client1", "true")
    build = shutil.which("true")
    with pytest.raises(turnoutlab.LabError, match="no fad"):
        lab.up("pair", build=str(pathlib.Path(build).parent))
