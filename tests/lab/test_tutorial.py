# SPDX-License-Identifier: BSD-2-Clause
"""docs/tutorial.md, done: every file written, every command run, on machines with the addresses it uses.

The routers, the manager and the upstream router are machines with a systemd of their own, so that nothing of it is
left on this one; client and servers are namespaces in the upstream router's.  What builds and installs goes into
a directory that becomes part of the machines, what installs packages is only simulated, what copies from
another machine is done by this program.  Each heading is one test; they build on each other.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from machine import Machine, until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = os.environ.get("TURNOUT_BUILD", "build/release")
PAGE = (ROOT / "docs/tutorial.md").read_text()
MACHINES = ("core", "r1", "r2", "sm1")
INSIDE_CORE = ("client", "web1", "web2", "web3")  # namespaces there
# (machine, its interface, address): what the reader has before the first step.
LAN = {"r1": ("eth1", "10.1.20.1"), "r2": ("eth1", "10.1.20.2"), "sm1": ("eth0", "10.1.20.9"),
       "web1": ("eth0", "10.1.20.11"), "web2": ("eth0", "10.1.20.12"), "web3": ("eth0", "10.1.20.13")}
SEEN_WITHIN = 20  # seconds, for what a command is to show
IN_CORE = """
set -e
ip link set lo up
for n in client web1 web2 web3 lan; do ip netns add $n; ip -n $n link set lo up; done
ip -n lan link add name br0 type bridge
ip -n lan link set br0 up
ip link add client type veth peer name eth0 netns client
ip address add 10.1.3.1/24 dev client
ip link set client up
ip -n client address add 10.1.3.11/24 dev eth0
ip -n client link set eth0 up
ip -n client route add default via 10.1.3.1
for n in web1 web2 web3; do
    mkdir -p /srv/$n
    echo $n > /srv/$n/index.html
    ip link add lan-$n type veth peer name eth0 netns $n
    ip -n $n link set eth0 up
    systemd-run -q --unit=$n ip netns exec $n /usr/bin/python3 -m http.server 80 -d /srv/$n
done
for p in web1 web2 web3 r1 r2 sm1; do
    ip link set lan-$p netns lan
    ip -n lan link set lan-$p master br0 up
done
"""


# ---- the page ----


class Block:
    """A fenced block: a file (path, nodes), commands (nodes) or what the commands before it are to show."""

    def __init__(self, kind, text, nodes=(), path="", on_host=False):
        self.kind, self.text, self.nodes, self.path, self.on_host = kind, text, nodes, path, on_host
        self.expected = ""


def names(text):
    return tuple(re.findall(r"\w+", text))


def blocks(chapter):
    found = []
    pattern = r"(?:^`(/\S+)` on ([\w, ]+):\n\n)?^```(\w*)\n(.*?)^```$"
    for path, nodes, language, text in re.findall(pattern, chapter, re.M | re.S):
        if path:
            found.append(Block("file", text, names(nodes), path))
        elif language == "sh":
            head, body = text.split("\n", 1)
            marker = re.fullmatch(r"# on ([\w, ]+?)(: in the source tree)?", head)
            assert marker, f"no node named: {head}"
            found.append(Block("sh", body, names(marker[1]), on_host=bool(marker[2])))
        elif found and found[-1].kind == "sh":
            found[-1].expected = text
    return found


CHAPTERS = [(title, blocks(text)) for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)]


def missing(expected, output):
    """Lines that were to be shown and are not: one that has all the words must be there, whatever else it has."""
    def has(line, word):
        return re.search(rf"(?<![\w.]){re.escape(word)}(?![\w.])", line)
    return [wanted for wanted in expected.splitlines()
            if not any(all(has(line, word) for word in wanted.split()) for line in output.splitlines())]


# ---- the machines ----


class Network:
    """All machines, and the commands that are run in them."""

    def __init__(self, scratch):
        self.tree = scratch / "installed"
        self.tree.mkdir()
        (scratch / "bare").mkdir()
        self.machines = {}
        self.run_on_host(next(b for _, found in CHAPTERS for b in found if b.on_host).text)
        with concurrent.futures.ThreadPoolExecutor(len(MACHINES)) as pool:
            trees = {name: scratch / "bare" if name == "core" else self.tree for name in MACHINES}
            started = {name: pool.submit(Machine, trees[name]) for name in MACHINES}
            concurrent.futures.wait(started.values())
        for name, future in started.items():
            if future.exception() is None:
                self.machines[name] = future.result()
        try:
            for future in started.values():
                future.result()
            self.connect()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        for machine in self.machines.values():
            machine.stop()

    def run_on_host(self, text):
        """Installing: into the tree, packages only looked for."""
        functions = (f'make() {{ command make -s --no-print-directory BUILD="{BUILD}" DESTDIR="{self.tree}" "$@"; }}\n'
                     'apt-get() { command apt-get -s "$@"; }\n')
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        done = subprocess.run(["bash", "-ec", functions + text], cwd=ROOT, env=env, text=True, capture_output=True,
                              timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr

    def wire(self, one, one_name, two, two_name):
        pids = self.machines[one].pid, self.machines[two].pid
        subprocess.run(["ip", "link", "add", one_name, "netns", str(pids[0]), "type", "veth", "peer", "name", two_name,
                        "netns", str(pids[1])], check=True)

    def connect(self):
        for number, router in enumerate(("r1", "r2"), 1):
            self.wire("core", router, router, "eth0")
            self.machines["core"].run("ip", "address", "add", f"10.1.{number}.1/24", "dev", router)
            self.machines[router].run("ip", "address", "add", f"10.1.{number}.2/24", "dev", "eth0")
            self.machines["core"].run("ip", "link", "set", router, "up")
            self.machines[router].run("ip", "link", "set", "eth0", "up")
        for name in ("r1", "r2", "sm1"):
            self.wire("core", f"lan-{name}", name, LAN[name][0])
            self.machines[name].run("ip", "link", "set", LAN[name][0], "up")
        for name in MACHINES:
            self.machines[name].run("ip", "link", "set", "lo", "up")
        self.machines["core"].run("bash", "-c", IN_CORE)
        for name, (interface, address) in LAN.items():
            self.run(name, f"ip address add {address}/24 dev {interface}")

    def run(self, node, text, check=True):
        """Commands in a node: its output."""
        machine = self.machines.get(node, self.machines["core"])
        inside = ["ip", "netns", "exec", node] if node in INSIDE_CORE else []
        done = machine.run(*inside, "bash", "-ec", self.copied(node, text), check=False, timeout=120)
        assert not check or done.returncode == 0, f"on {node}:\n{text}\n{done.stdout}{done.stderr}\n{self.logs()}"
        return done.stdout

    def copied(self, node, text):
        """The lines that copy from another machine, done here."""
        def fetch(line):
            where, path, to = line[1], line[2], line[3]
            content = self.machines[where].run("cat", path).stdout
            self.machines[node].write(to, content, "600")
            return ":"
        return re.sub(r"^scp root@(\w+):(\S+) (\S+)$", fetch, text, flags=re.M)

    def write(self, node, path, text):
        self.machines[node].write(path, text)

    def logs(self):
        return "\n".join(self.machines[name].run("journalctl", "--no-pager", "-n", "15", "-o", "cat", "-u", unit,
                                                 check=False).stdout
                         for name, unit in (("sm1", "smd"), ("r1", "fad"), ("r1", "routed-glue"), ("r2", "fad")))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("tutorial")
    made = Network(scratch)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(scratch, ignore_errors=True)


# ---- doing it ----


def do(network, block):
    for node in block.nodes:
        if block.kind == "file":
            network.write(node, block.path, block.text)
        elif not block.expected:
            network.run(node, block.text)
        else:
            seen = {}

            def shown(node=node, seen=seen):
                seen["output"] = network.run(node, block.text, check=False)
                return not missing(block.expected, seen["output"])

            assert until(shown, SEEN_WITHIN, 0.5), (f"on {node}: {block.text}\nnot shown: "
                                                    f"{missing(block.expected, seen['output'])}\n{seen['output']}\n"
                                                    f"{network.logs()}")


@pytest.mark.parametrize("title", [title for title, _ in CHAPTERS])
def test_tutorial_ARCH_1(network, title):
    for block in dict(CHAPTERS)[title]:
        if not block.on_host:
            do(network, block)


def test_every_block_says_where_it_belongs():
    fences = PAGE.count("\n```") // 2
    found = [b for _, chapter in CHAPTERS for b in chapter]
    expected = sum(1 for b in found if b.expected)
    assert len(found) + expected == fences - 1  # the picture
    for block in found:
        assert block.nodes and set(block.nodes) <= set(MACHINES + INSIDE_CORE), block.text


def test_serves_after_all_of_it(network):
    """No stale key, no leftover: both routers serve, and what the doctor calls an error is none of the tutorial's doing."""
    answers = set(network.run("client", "for i in $(seq 30); do curl -s --max-time 3 http://203.0.113.80/; done").split())
    assert answers <= {"web1", "web2", "web3"} and len(answers) > 1
    for router in ("r1", "r2"):
        assert int(re.search(r"received +(\d+)", network.run(router, "turnoutctl show counters"))[1]) > 0
        report = network.run(router, "turnoutctl doctor || true")
        assert "0 errors, 0 warnings" in report, report
