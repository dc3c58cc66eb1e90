#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""One node of the lab in a container: process 1 there, and the commands that work on it.

Addresses, routes, configuration files and daemons are the lab's own, from
turnoutlab; here is only what a container makes different.  The engine gave it
interfaces: they are found by subnet, never by name.  /shared is a volume that
all nodes have: the key and the big file are made once.
"""

import argparse
import dataclasses
import fcntl
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, "/usr/local/lib/turnout")
from turnoutlab import Lab, LabError, daemons, netns, servers, state, topology  # noqa: E402
from turnoutlab.process import run  # noqa: E402

SHARED = "/shared"
BUILD = "/usr/local/bin"
TOPOLOGY = "pair"
READY = "/run/turnout-node.ready"
INTERFACE_SECONDS = 20


class Node(Lab):
    """The lab as this container sees it: one node in the namespace it is in anyway."""

    def __init__(self, progress=None):
        super().__init__("turnout", progress)
        self.own = os.environ.get("NODE", "")
        self.shape = topology.topologies()[TOPOLOGY]
        if self.own not in self.shape.nodes:
            raise LabError(f"the variable NODE is {self.own!r}; it must name a node of the topology {TOPOLOGY}: "
                           + " ".join(n.name for n in self.shape.nodes.values() if not n.hidden))

    def _node_entry(self, node):
        return {**super()._node_entry(node), "namespace": ""}

    def _write_node(self, shape, node):
        if node.name == self.own:
            super()._write_node(shape, node)

    def boot(self, debug):
        node = self.shape.nodes[self.own]
        state.remove(self.name)
        self.progress("network: " + ", ".join(node.interfaces))
        check_settings(node)
        name_interfaces(node)
        netns.configure(node, "")
        self._make_state(self.shape, BUILD, True, debug)
        share_key(self.state["key"])
        os.symlink(f"{self.state['nodes'][self.own]['directory']}/bin", f"{self.directory}/bin")
        os.rmdir(f"{self.directory}/shared")
        os.symlink(SHARED, f"{self.directory}/shared")
        if node.runs_frr:
            self.progress("routing: FRRouting")
            self._start_frr(node)
        if node.role == "server":
            self.progress("servers: web and UDP echo")
            self.state["big_file"]["sha256"] = share_big_file(self.state["big_file"]["path"])
            self._start_servers(dataclasses.replace(self.shape, nodes={self.own: node}))
        self._start_all([self._turnout_entry(node, daemon) for daemon in daemons.runs_on(node)])
        self.state["phase"] = "up"
        self._save()

    def end(self):
        """On SIGTERM: every daemon."""
        self.state = state.load(self.name)
        if self.state:
            self._end_processes()


def links():
    """(name, IPv4 addresses) of the container's interfaces."""
    return [(link["ifname"], [a["local"] for a in link["addr_info"] if a["family"] == "inet"])
            for link in json.loads(run(["ip", "-j", "address", "show"]))]


def find_interface(subnet):
    return next((name for name, addresses in links()
                 if any(ipaddress.ip_address(a) in subnet for a in addresses)), None)


def name_interfaces(node):
    """Give each interface the topology's name for it.  Its addresses go: the topology's are set afterwards."""
    for wanted, network in node.networks.items():
        subnet = ipaddress.ip_network(f"{network.v4}.0/24")
        deadline = time.monotonic() + INTERFACE_SECONDS
        while not (found := find_interface(subnet)):
            if time.monotonic() > deadline:
                raise LabError(f"no interface in {subnet}: is the container in the network '{network.name}'?")
            time.sleep(0.1)
        run(["ip", "link", "set", "dev", found, "down"])
        if found != wanted:
            run(["ip", "link", "set", "dev", found, "name", wanted])
        run(["ip", "address", "flush", "dev", wanted])
    for family in ("-4", "-6"):
        subprocess.run(["ip", family, "route", "flush", "default"], stderr=subprocess.DEVNULL, check=False)


def check_settings(node):
    """A container may read the kernel's settings, not write them: the compose file has to have set them."""
    for key, value in netns.settings(node).items():
        path = "/proc/sys/" + key.replace(".", "/")
        if os.path.exists(path):
            with open(path, encoding="ascii") as f:
                found = f.read().split()
            if found != str(value).split():
                raise LabError(f"{key} is {' '.join(found)}, and must be {value}: put it under `sysctls` of this container")


def share_key(path):
    """The first node that comes makes the key of all."""
    common = f"{SHARED}/key1"
    shutil.copy(path, f"{common}.{os.environ['NODE']}")
    try:
        os.link(f"{common}.{os.environ['NODE']}", common)
    except FileExistsError:
        pass
    os.unlink(f"{common}.{os.environ['NODE']}")
    shutil.copy(common, path)


def share_big_file(path):
    """Likewise the big file; its digest."""
    with open(f"{SHARED}/lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path + ".sha256"):
            digest = servers.write_big_file(path)
            with open(path + ".sha256", "w", encoding="ascii") as f:
                f.write(digest)
        with open(path + ".sha256", encoding="ascii") as f:
            return f.read()


def follow_logs(node):
    """What the daemons log is what the container logs."""
    here = node.state["nodes"][node.own]
    logs = [entry["log"] for entry in node.state["processes"].values() if entry["log"].startswith(here["log_dir"])]
    return subprocess.Popen(["tail", "-q", "-n", "+1", "-F", *logs], stderr=subprocess.DEVNULL) if logs else None


def serve(debug):
    """Process 1: boot, collect whatever ends, end all on SIGTERM."""
    if os.path.exists(READY):
        os.unlink(READY)
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    node = Node(progress=lambda line: print(line, flush=True))
    node.boot(debug)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    tail = follow_logs(node)
    with open(READY, "w", encoding="ascii"):
        print("ready", flush=True)
    while True:
        caught = signal.sigtimedwait(signals, 5)
        if caught and caught.si_signo != signal.SIGCHLD:
            break
        collect()
    os.unlink(READY)
    node.end()
    if tail:
        tail.terminate()


def collect():
    """End of children, and of what they left behind."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def parse():
    parser = argparse.ArgumentParser(prog="turnout-node", description=__doc__.split("\n\n", maxsplit=1)[0])
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("run", help="set the node up and run its daemons").add_argument("--debug", action="store_true")
    verbs.add_parser("status", help="what is where and runs, as JSON")
    for verb in ("start", "stop"):
        sub = verbs.add_parser(verb, help=f"{verb} a daemon of this node")
        sub.add_argument("daemon", help="fad, routed-glue, smd, nginx, udp-echo, upload-sink, or frr for all of FRRouting")
        if verb == "stop":
            sub.add_argument("--kill", action="store_true", help="SIGKILL instead of SIGTERM")
    return parser.parse_args()


def main():
    arguments = parse()
    try:
        if arguments.verb == "run":
            serve(arguments.debug)
        elif arguments.verb == "status":
            json.dump(Node().status(), sys.stdout)
        elif arguments.verb == "start":
            node = Node()
            node.start(node.own, arguments.daemon)
        else:
            node = Node()
            node.stop(node.own, arguments.daemon, arguments.kill)
    except LabError as error:
        print(f"turnout-node: {error}", file=sys.stderr)
        for line in error.log.splitlines():
            print(f"  | {line}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
