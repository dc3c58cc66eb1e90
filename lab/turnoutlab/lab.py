# SPDX-License-Identifier: BSD-2-Clause
"""A lab: brings a topology up, runs its daemons, takes everything down again.

Every process and namespace is written to the state file as it is made, so that
`down` works after an `up` that failed half way, and kills nothing else.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from turnoutlab import daemons, frr, netns, process, servers, state, topology
from turnoutlab.process import LabError

READY_SECONDS = 10
ROUTES_SECONDS = 15
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REPOSITORY = os.path.dirname(HERE)
DEFAULT_BUILD = f"{REPOSITORY}/build/release/bin"


@contextlib.contextmanager
def interrupted_once():
    """The first SIGINT or SIGTERM interrupts; further ones must not leave half a lab behind."""
    signals = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_):
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number in signals:
            signal.signal(number, previous[number])


class Lab:
    """Commands on one lab.  `progress` is called with lines for people to read."""

    def __init__(self, name="turnout", progress=None):
        state.check_name(name)
        self.name = name
        self.directory = state.directory(name)
        self.progress = progress or (lambda line: None)
        self.state = state.load(name)
        self._guard = threading.Lock()  # of state["processes"] and its file, while `up` starts things side by side

    # ---- reading -------------------------------------------------------

    def _need(self):
        self.state = state.load(self.name)
        if self.state is None:
            raise LabError(f"lab '{self.name}' is not up; bring it up with: {self._command('up')}")
        return self.state

    def _command(self, verb):
        return f"turnout-lab {verb}" + ("" if self.name == "turnout" else f" --name {self.name}")

    def node(self, name):
        """What the state says about a node."""
        nodes = self._need()["nodes"]
        if name not in nodes:
            visible = " ".join(n for n, entry in nodes.items() if not entry["hidden"])
            raise LabError(f"no node '{name}' in lab '{self.name}'; there are: {visible}")
        return nodes[name]

    def _current(self, entry):
        """The record of a process, refreshed: watchfrr may have restarted a daemon of FRR."""
        if "pidfile" in entry and not process.alive(entry):
            entry.update(process.adopt(entry["pidfile"], entry["namespace"]) or {})
        return entry

    def status(self):
        """Everything there is to know, as plain data; processes have `alive`."""
        found = self._need()
        for entry in found["processes"].values():
            entry["alive"] = process.alive(self._current(entry))
        return found

    def pid(self, node, daemon):
        """Process id of a running daemon; None when it does not run."""
        entry = self._process(node, daemon)
        return entry["pid"] if process.alive(self._current(entry)) else None

    def _process(self, node, daemon):
        self.node(node)
        entry = self.state["processes"].get(f"{node}/{daemon}")
        if entry is None:
            here = [p["daemon"] for p in self.state["processes"].values() if p["node"] == node]
            raise LabError(f"no '{daemon}' on {node}; there are: {' '.join(here) or 'no daemons'}")
        return entry

    # ---- commands in a node --------------------------------------------

    def exec_argv(self, node, command):
        """(argv, environment) that runs a command in a node, its tools first in PATH."""
        entry = self.node(node)
        environment = dict(os.environ)
        path = environment.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        environment["PATH"] = f"{entry['directory']}/bin:{self.state['build']}:{path}"
        environment["TURNOUT_LAB"] = self.name
        environment["TURNOUT_NODE"] = node
        return ["ip", "netns", "exec", entry["namespace"], *command], environment

    def run(self, node, *command, timeout=30, check=True, stdin=None):
        """Run a command in a node to its end; a CompletedProcess with text output."""
        argv, environment = self.exec_argv(node, command)
        done = subprocess.run(argv, env=environment, input=stdin, capture_output=True, text=True, timeout=timeout,
                              check=False)
        if check and done.returncode != 0:
            raise LabError(f"{node}: {' '.join(command)}: exit status {done.returncode}", done.stderr.strip())
        return done

    def popen(self, node, *command, **options):
        """Start a command in a node; the caller ends it."""
        argv, environment = self.exec_argv(node, command)
        return subprocess.Popen(argv, env=environment, **options)

    # ---- up ------------------------------------------------------------

    def up(self, name=topology.DEFAULT, build=DEFAULT_BUILD, with_daemons=True, debug=False, keep=False):
        """Bring a topology up and wait until it routes.  What fails is taken down again, unless `keep`."""
        shape = topology.topologies().get(name)
        if shape is None:
            raise LabError(f"no topology '{name}'; there are: {' '.join(topology.topologies())}")
        if os.geteuid() != 0:
            raise LabError("needs root: it makes network namespaces")
        build = os.path.abspath(build)
        self._need_binaries(shape, build, with_daemons)
        with state.locked(self.name):
            if state.load(self.name) is not None:
                raise LabError(f"lab '{self.name}' is up already; take it down first: {self._command('down')}")
            began = time.monotonic()
            with interrupted_once():
                try:
                    self._bring_up(shape, build, with_daemons, debug, began)
                except BaseException as error:
                    self._failed(error, keep)
                    raise
            self.progress(f"lab '{self.name}' is up after {time.monotonic() - began:.1f} s")

    def _failed(self, error, keep):
        """After a failed `up`: leave nothing, or on request everything."""
        if keep and isinstance(error, LabError):
            self.progress(f"kept for inspection; take it down with: {self._command('down')}")
        else:
            self.progress("failed; cleaning up")
            self._tear_down()

    @staticmethod
    def _need_binaries(shape, build, with_daemons):
        wanted = {d for n in shape.nodes.values() for d in daemons.runs_on(n)} if with_daemons else set()
        missing = sorted(d for d in wanted if not os.access(f"{build}/{d}", os.X_OK))
        if missing:
            raise LabError(f"{build}: no {', '.join(missing)}; build with `make`, or see --build and --without-daemons")

    def _bring_up(self, shape, build, with_daemons, debug, began):
        def step(text):
            self.progress(f"{time.monotonic() - began:5.1f} s  {text}")

        self._make_state(shape, build, with_daemons, debug)
        with ThreadPoolExecutor(max_workers=8) as pool:
            big_file = pool.submit(servers.write_big_file, self.state["big_file"]["path"])
            step(f"network: {len(shape.nodes)} namespaces, links, addresses")
            netns.build(self.name, shape)
            step("routing: FRRouting on " + ", ".join(n.name for n in shape.nodes.values() if n.runs_frr))
            self._each(pool, self._start_frr, [n for n in shape.nodes.values() if n.runs_frr])
            step("servers: web and UDP echo on " + ", ".join(n.name for n in shape.by_role("server")))
            self._start_servers(shape)
            self.state["big_file"]["sha256"] = big_file.result()
        if with_daemons:
            where = [(n, d) for n in shape.nodes.values() for d in daemons.runs_on(n)]
            step("Turnout: " + ", ".join(f"{d} on {n.name}" for n, d in where))
            self._start_all([self._turnout_entry(n, d) for n, d in where])
        step("waiting for routes")
        self._wait_for_routes(shape, with_daemons)
        self.state["phase"] = "up"
        self._save()

    @staticmethod
    def _each(pool, function, items):
        """Run function on all items at once; the first failure, after all have ended."""
        futures = [pool.submit(function, item) for item in items]
        errors = [f.exception() for f in futures if f.exception()]
        if errors:
            raise errors[0]

    def _save(self):
        with self._guard:
            state.save(self.name, self.state)

    def _record(self, entry):
        """Note a process in the state file, at once."""
        with self._guard:
            self.state["processes"][f"{entry['node']}/{entry['daemon']}"] = entry
            state.save(self.name, self.state)

    def _make_state(self, shape, build, with_daemons, debug):
        """Directories, configuration files, and the first state file; no namespace or process yet."""
        for sub in ("", "/shared"):
            os.makedirs(self.directory + sub, mode=0o755)
        self.state = {
            "name": self.name, "topology": shape.name, "routing": shape.routing, "phase": "starting", "build": build, "debug": debug,
            "with_daemons": with_daemons, "vips": list(topology.VIPS), "directory": self.directory,
            "key": f"{self.directory}/key1",
            "big_file": {"path": f"{self.directory}/shared/{servers.BIG_FILE}", "size": servers.BIG_FILE_SIZE,
                         "url_path": f"/{servers.BIG_FILE}", "sha256": ""},
            "nodes": {n.name: self._node_entry(n) for n in shape.nodes.values()},
            "processes": {},
        }
        self._save()
        descriptor = os.open(self.state["key"], os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as f:
            f.write(secrets.token_hex(32) + "\n")
        for node in shape.nodes.values():
            self._write_node(shape, node)

    def _node_entry(self, node):
        directory = f"{self.directory}/{node.name}"
        return {
            "namespace": netns.name(self.name, node.name), "role": node.role, "hidden": node.hidden,
            "directory": directory, "run_dir": f"{directory}/run", "log_dir": f"{directory}/log",
            "addresses": {i: {"ipv4": a[0], "ipv6": a[1]} for i, a in node.interfaces.items()},
            "configs": {d: f"{directory}/conf/{d}.yaml" for d in daemons.runs_on(node)},
        }

    def _write_node(self, shape, node):
        entry = self.state["nodes"][node.name]
        for sub in ("run", "log", "conf", "bin"):
            os.makedirs(f"{entry['directory']}/{sub}", mode=0o755)
        for daemon, path in entry["configs"].items():
            with open(path, "w", encoding="ascii") as f:
                f.write(daemons.configuration(daemon, shape, node, self.state["key"], f"{entry['directory']}/frr/run"))
        tools = {"udp-echo": f"#!/bin/sh\nexec {HERE}/udp-echo.py \"$@\"\n",
                 "decap": f"#!/bin/sh\nexec {HERE}/decap.py \"$@\"\n",
                 "turnoutctl": f"#!/bin/sh\nexec {self.state['build']}/turnoutctl --run-dir {entry['run_dir']} \"$@\"\n"}
        if node.runs_frr:
            frr.prepare(shape, node, f"{entry['directory']}/frr")
            tools["vtysh"] = frr.vtysh_wrapper(f"{entry['directory']}/frr")
        for tool, text in tools.items():
            with open(f"{entry['directory']}/bin/{tool}", "w", encoding="ascii") as f:
                f.write(text)
            os.chmod(f"{entry['directory']}/bin/{tool}", 0o755)
        if node.role == "server":
            directory = f"{entry['directory']}/web"
            os.makedirs(directory)
            with open(f"{directory}/nginx.conf", "w", encoding="ascii") as f:
                f.write(servers.nginx_configuration(node.name, directory, entry["log_dir"],
                                                    f"{self.directory}/shared"))

    # ---- processes -----------------------------------------------------

    def _entry(self, node, daemon, argv, **more):
        here = self.state["nodes"][node]
        return {"node": node, "daemon": daemon, "argv": argv, "log": f"{here['log_dir']}/{daemon}.log", **more,
                "namespace": here["namespace"], "pid": 0, "start": 0}

    def _turnout_entry(self, node, daemon):
        here = self.state["nodes"][node.name]
        argv = daemons.argv(daemon, self.state["build"], here["configs"][daemon], here["run_dir"], self.state["debug"])
        return self._entry(node.name, daemon, argv, ready="notify", config=here["configs"][daemon])

    def _start_servers(self, shape):
        entries = []
        for node in shape.by_role("server"):
            web = f"{self.state['nodes'][node.name]['directory']}/web"
            python = "/usr/bin/python3"
            entries += [
                self._entry(node.name, "upload-sink", [python, f"{HERE}/upload-sink.py", "--socket", f"{web}/sink.sock"],
                            ready="notify"),
                self._entry(node.name, "udp-echo", [python, f"{HERE}/udp-echo.py", "--name", node.name],
                            ready="notify"),
                self._entry(node.name, "nginx", ["nginx", "-e", "stderr", "-p", web, "-c", f"{web}/nginx.conf"],
                            ready=f"file:{web}/nginx.pid", config=f"{web}/nginx.conf"),
            ]
        self._start_all(entries)

    def _start_all(self, entries):
        """Start daemons side by side, then wait for each to be ready."""
        waiting = []
        try:
            for entry in entries:
                waiting.append((entry, self._launch(entry)))
            for entry, readiness in waiting:
                self._wait_ready(entry, readiness)
        finally:
            for _, readiness in waiting:
                if readiness:
                    readiness.close()

    def _launch(self, entry):
        """Start a daemon and record it at once; its readiness socket, if it has one."""
        node = self.state["nodes"][entry["node"]]
        readiness = None
        if entry["ready"] == "notify":
            readiness = process.Readiness(f"{node['directory']}/{entry['daemon']}.ready")
        elif entry["ready"].startswith("file:") and os.path.exists(entry["ready"][5:]):
            os.unlink(entry["ready"][5:])
        record = process.spawn(entry["namespace"], entry["argv"], entry["log"], node["directory"],
                               readiness.path if readiness else "")
        entry.update(record)
        self._record(entry)
        return readiness

    @staticmethod
    def _wait_ready(entry, readiness):
        if readiness:
            why = readiness.wait(entry, READY_SECONDS)
        else:
            path = entry["ready"].removeprefix("file:")
            why = f"not ready after {READY_SECONDS} s"
            for _ in range(READY_SECONDS * 50):
                if not path or os.path.exists(path):
                    why = ""
                elif not process.alive(entry):
                    why = process.ended(entry)
                if not why.startswith("not ready"):
                    break
                time.sleep(0.02)
        if why:
            raise LabError(f"{entry['node']}: {entry['daemon']}: {why}; log {entry['log']}", process.tail(entry["log"]))

    # ---- FRRouting -----------------------------------------------------

    def _start_frr(self, node):
        self._frr_script(node.name, "start", "all")
        self._record_frr(node.name)

    def _frr_script(self, name, verb, daemon):
        here = self.state["nodes"][name]
        directory = f"{here['directory']}/frr"
        try:
            process.run(process.in_netns(here["namespace"], [f"{directory}/frr.sh", verb, daemon]), timeout=30)
        except LabError:
            log = f"{directory}/log/frr.log"
            raise LabError(f"{name}: FRRouting does not {verb}; log {log}", process.tail(log)) from None

    def _record_frr(self, name):
        here = self.state["nodes"][name]
        directory = f"{here['directory']}/frr"
        for daemon, record in frr.running(directory, here["namespace"]).items():
            entry = self._entry(name, daemon, [], pidfile=f"{directory}/run/{daemon}.pid", ready="")
            entry.update(record, log=f"{directory}/log/{daemon}.log", config=f"{directory}/frr.conf")
            self._record(entry)
        self._launch(self._entry(name, "watchfrr", frr.watch_argv(directory, self.state["routing"]), ready=""))

    # ---- waiting until it works ----------------------------------------

    def next_hops(self, node, prefix):
        """Gateways of the kernel's route to a prefix in a node."""
        argv = ["ip", "-n", self.state["nodes"][node]["namespace"], "-j", "-6" if ":" in prefix else "-4",
                "route", "show", prefix]
        found = []
        for route in json.loads(process.run(argv) or "[]"):
            found += [hop["gateway"] for hop in route.get("nexthops", [route]) if "gateway" in hop]
        return sorted(found)

    def _wanted_routes(self, shape, with_daemons):
        """(node, prefix, number of next hops) of every route the lab cannot do without."""
        routers = shape.by_role("router")
        wanted = [("core", prefix, len(routers)) for prefix in ("10.0.20.0/24", "fd00:20::/64")]
        wanted += [(r.name, prefix, 1) for r in routers for prefix in ("10.0.1.0/24", "10.0.2.0/24", "fd00:1::/64",
                                                                      "fd00:2::/64")]
        if with_daemons:
            wanted += [("core", vip, len(routers)) for vip in topology.VIPS]
        return wanted

    def _wait_for_routes(self, shape, with_daemons):
        deadline = time.monotonic() + ROUTES_SECONDS
        wanted = self._wanted_routes(shape, with_daemons)
        while wanted:
            node, prefix, count = wanted[0]
            hops = self.next_hops(node, prefix)
            if len(hops) == count:
                wanted.pop(0)
                continue
            if time.monotonic() > deadline:
                raise LabError(f"{node}: route to {prefix}: {len(hops)} next hops after {ROUTES_SECONDS} s, "
                               f"not {count}", self._why_no_route())
            time.sleep(0.1)

    def _why_no_route(self):
        """The ends of the logs that may tell why."""
        text = ""
        for entry in self.state["processes"].values():
            if entry["daemon"] in ("fad", "routed-glue", "smd", "bgpd", "ospfd", "ospf6d"):
                last = process.tail(entry["log"], 3)
                text += f"{entry['node']}: {entry['daemon']}:\n{last}\n" if last else ""
        return text.rstrip()

    # ---- start and stop ------------------------------------------------

    def stop(self, node, daemon, kill=False):
        """Stop a daemon (SIGTERM, or SIGKILL with `kill`); `frr` is FRRouting with its watchdog."""
        with state.locked(self.name):
            self.node(node)
            names = ["watchfrr", *reversed(frr.DAEMONS[self.state["routing"]])] if daemon == "frr" else [daemon]
            records = [self._current(self._process(node, name)) for name in names]
            for record in records:
                # One after another: the watchdog first, or it restarts what ends.
                if kill:
                    process.signal_record(record, signal.SIGKILL)
                    left = process.wait_gone([record], 3)
                else:
                    left = [r for r in process.terminate([record], 5) if process.alive(r)]
                if left:
                    raise LabError(f"{node}: {record['daemon']}: process {record['pid']} does not end")
                frr.remove_leftovers({record["pid"]})
            self._save()

    def start(self, node, daemon):
        """Start a stopped daemon again, with the configuration its file has now."""
        with state.locked(self.name):
            self.node(node)
            if daemon == "frr":
                self._frr_script(node, "restart", "all")
                self._record_frr(node)
                self._save()
                return
            entry = self._process(node, daemon)
            if process.alive(self._current(entry)):
                raise LabError(f"{node}: {daemon} runs already, process {entry['pid']}")
            if daemon in frr.ALL_DAEMONS:
                self._frr_script(node, "start", daemon)
                entry.update(process.adopt(entry["pidfile"], entry["namespace"]) or {})
                self._save()
            else:
                self._start_all([entry])

    # ---- down ----------------------------------------------------------

    def down(self):
        """Take the lab down, however much of it there is.  Returns False when there was nothing."""
        if os.geteuid() != 0:
            raise LabError("needs root: it removes network namespaces")
        with state.locked(self.name):
            return self._tear_down()

    def _tear_down(self):
        self.state = state.load(self.name) or {"nodes": {}, "processes": {}}
        namespaces = {n["namespace"] for n in self.state["nodes"].values()}
        # Also what an `up` left that was cut off before it wrote anything down.
        for shape in topology.topologies().values():
            namespaces |= {netns.name(self.name, n) for n in shape.nodes}
        found = bool(self.state["nodes"]) or bool(netns.existing() & namespaces) or os.path.exists(self.directory)
        self._end_processes()
        for namespace in sorted(netns.existing() & namespaces):
            self._end_unrecorded(namespace)
            for pid, command in process.processes_in(namespace):
                self.progress(f"note: {command} (process {pid}) still runs in {namespace}; it was not started by the lab")
        netns.remove(namespaces)
        state.remove(self.name)
        self.state = None
        return found

    def _end_unrecorded(self, namespace):
        """What an `up` that was cut off had started and not yet written down."""
        for _ in range(5):  # what a dying script still starts is met the next time
            ours = [{"pid": pid, "start": process.start_time(pid)} for pid, _ in process.processes_in(namespace)
                    if process.works_in(pid, self.directory)]
            if not ours:
                return
            process.terminate(ours, 1.0)
            frr.remove_leftovers({r["pid"] for r in ours})

    def _end_processes(self):
        entries = list(self.state["processes"].values())
        for node in self.state["nodes"].values():
            # FRR's daemons may have been started, or restarted, since the state was written.
            if node["role"] in ("core", "router") and os.path.exists(f"{node['directory']}/frr"):
                entries += frr.running(f"{node['directory']}/frr", node["namespace"]).values()
        records = [e for e in entries if process.alive(e)]
        watchdogs = [r for r in records if r.get("daemon") == "watchfrr"]
        process.terminate(watchdogs)
        for stubborn in process.terminate([r for r in records if r not in watchdogs]):
            self.progress(f"note: {stubborn.get('node')}: {stubborn.get('daemon')} had to be killed")
        frr.remove_leftovers({e["pid"] for e in entries})
