# SPDX-License-Identifier: BSD-2-Clause
"""The lab in containers, with the interface of the lab in namespaces: so the same tests and the demo run on either.

Nodes are containers of docker/compose.yaml, commands go in through `docker
exec`.  The image is built before (tests/docker/check); the engine is the one
that the environment names.  Must not know what the tests test.
"""
import concurrent.futures
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tests/lab"), str(ROOT / "lab")]
# Another directory's conftest, under another name: the tests there ask for `conftest` and find this one.
spec = importlib.util.spec_from_file_location("lab_conftest", ROOT / "tests/lab/conftest.py")
lab_conftest = importlib.util.module_from_spec(spec)
sys.modules["lab_conftest"] = lab_conftest
spec.loader.exec_module(lab_conftest)

from lab_conftest import healthy, pytest_runtest_makereport, until, within  # noqa: E402,F401  fixture and hook
from turnoutlab import LabError, topology  # noqa: E402

COMPOSE_FILE = ROOT / "docker/compose.yaml"
PROJECT = os.environ.get("TURNOUT_PROJECT", f"turnoutcheck{os.getpid()}")
UP_SECONDS = 180
READY_SECONDS = 60


def compose_command():
    """Compose v2 as the client's plugin, else docker-compose."""
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"]


# A client's files under this directory are the same inside and outside.
OVERRIDE = """\
services:
  client1: {{volumes: ["{directory}:{directory}"]}}
  client2: {{volumes: ["{directory}:{directory}"]}}
"""


class Lab(lab_conftest.Lab):
    """Topology `pair` in containers."""

    def __init__(self, scratch):
        # Not the namespaces' lab: nothing of this is on the host.
        self.name, self.directory = "turnout", "/run/turnout-lab/turnout"
        self.progress = lambda line: None
        self.shape = topology.topologies()["pair"]
        self.names = [n.name for n in self.shape.nodes.values() if not n.hidden]
        override = pathlib.Path(scratch, "override.yaml")
        override.write_text(OVERRIDE.format(directory=scratch))
        self.compose_argv = [*compose_command(), "-p", PROJECT, "-f", str(COMPOSE_FILE), "-f", str(override)]
        self.ids, self.inits, self.state = {}, {}, None

    def compose(self, *arguments, timeout=60, check=True):
        done = subprocess.run([*self.compose_argv, *arguments], capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise LabError(f"compose {' '.join(arguments)}: exit status {done.returncode}", (done.stdout + done.stderr)[-3000:])
        return done.stdout

    # ---- what turnoutlab.Lab does with namespaces ----

    def exec_argv(self, node, command):
        if node not in self.ids:
            raise LabError(f"no node '{node}'; there are: {' '.join(self.names)}")
        return ["docker", "exec", "-i", self.ids[node], *command], dict(os.environ)

    def _need(self):
        return self.state

    def node(self, name):
        return self.state["nodes"][name]

    def status(self):
        """As of the lab in namespaces; configurations have the path under which this host sees them."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            here = dict(zip(self.names, pool.map(self.node_status, self.names)))
        self.state = here["web1"]
        self.state["processes"] = {key: entry for name in self.names for key, entry in here[name]["processes"].items()}
        for name, entry in self.state["nodes"].items():
            if name in self.ids:
                entry["configs"] = {d: f"{self.root(name)}{path}" for d, path in entry["configs"].items()}
        return self.state

    def node_status(self, node):
        """What `turnout-node status` says; from the container's files where this host sees them, which is much quicker."""
        root = self.root(node)
        if not os.path.exists(root):
            return json.loads(self.run(node, "turnout-node", "status").stdout)
        found = json.loads(pathlib.Path(f"{root}{self.directory}/state.json").read_text())
        for entry in found["processes"].values():
            entry["alive"] = self.runs(root, entry)
        return found

    @staticmethod
    def runs(root, entry):
        try:
            if "pidfile" in entry:  # its watchdog may have started it anew
                pid = int(pathlib.Path(root + entry["pidfile"]).read_text())
                return os.path.exists(f"{root}/proc/{pid}")
            fields = pathlib.Path(f"{root}/proc/{entry['pid']}/stat").read_text().rpartition(")")[2].split()
            return fields[0] not in "ZX" and int(fields[19]) == entry["start"]
        except (OSError, ValueError):
            return False

    def root(self, node):
        return f"/proc/{self.init(node)}/root"

    def init(self, node):
        """Process 1 of a node, as this host numbers it."""
        if node not in self.inits or not os.path.exists(f"/proc/{self.inits[node]}"):
            done = subprocess.run(["docker", "inspect", "-f", "{{.State.Pid}}", self.ids[node]], capture_output=True,
                                  text=True)
            self.inits[node] = int(done.stdout)
        return self.inits[node]

    def netns(self, node):
        path = f"/proc/{self.init(node)}/ns/net"
        if not os.path.exists(path):
            pytest.skip("the engine's containers are not on this host")
        return path

    def pid(self, node, daemon):
        entry = self.node_status(node)["processes"].get(f"{node}/{daemon}")
        return entry["pid"] if entry and entry["alive"] else None

    def next_hops(self, node, prefix):
        text = self.run(node, "ip", "-j", "-6" if ":" in prefix else "-4", "route", "show", prefix).stdout
        found = []
        for route in json.loads(text or "[]"):
            found += [hop["gateway"] for hop in route.get("nexthops", [route]) if "gateway" in hop]
        return sorted(found)

    def stop(self, node, daemon, kill=False):
        self.run(node, "turnout-node", "stop", daemon, *(["--kill"] if kill else []))

    def start(self, node, daemon):
        self.run(node, "turnout-node", "start", daemon)

    def logs(self):
        parts = []
        for name in self.names:
            done = subprocess.run(["docker", "logs", "--tail", "15", self.ids[name]], text=True, errors="replace",
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            parts.append(f"--- {name}\n{done.stdout}")
        return "\n".join(parts)

    # ---- up and down ----

    def up(self):
        self.compose("up", "-d", "--no-build", timeout=UP_SECONDS)
        self.ids = {name: self.compose("ps", "-q", name).strip() for name in self.names}
        for name in self.names:
            if not until(lambda n=name: self.ready(n), READY_SECONDS, 0.3):
                raise LabError(f"{name} is not ready after {READY_SECONDS} s", self.logs())
        self.status()
        self._wait_for_routes(self.shape, True)

    def ready(self, name):
        return self.run(name, "test", "-e", "/run/turnout-node.ready", check=False).returncode == 0

    def down(self):
        self.compose("down", "-v", "-t", "5", timeout=120, check=False)


@pytest.fixture(scope="session")
def lab():
    if not os.environ.get("TURNOUT_IMAGE"):
        pytest.skip("run by tests/docker/check, which builds the image and names it in TURNOUT_IMAGE")
    with tempfile.TemporaryDirectory(prefix=f"{PROJECT}-") as scratch:
        here = Lab(scratch)
        tempfile.tempdir = scratch
        try:
            here.up()
            yield here
        except LabError as error:
            pytest.fail(f"{error}\n{error.log}", pytrace=False)
        finally:
            tempfile.tempdir = None
            here.down()
