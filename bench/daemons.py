# SPDX-License-Identifier: BSD-2-Clause
"""What runs in the network of the benchmarks: agents, the manager, and what they are compared with.

Everything started here is ended by `Daemons.stop()`.  Must not know what is measured.
"""
import json
import os
import pathlib
import subprocess
import time

import network
from turnoutlab import process
from turnoutlab.process import LabError

FAD = """\
name: {name}
identity: {identity:#x}
control:
  address: {address}
  multicast: false
  peers: [{manager}, "{loader}:7519"]
security:
  keys: [{{id: 1, file: {key}}}]
interfaces: [client, server]
datapath: {datapath}
accept-uncovered: true
limits: {{fixed: {fixed}, wildcards: 32768, fast-flows: {fast}, punt-rate: 0}}
"""

SMD = """\
name: bench
identity: 0x1
control:
  address: {address}
  multicast: false
  peers: [{peers}]
security:
  keys: [{{id: 1, file: {key}}}]
limits: {{flows: 4000000}}
services:
"""

SERVICE = """\
  - name: {name}
    vip: {vip}
    protocol: tcp
    port: {port}
    affinity-ttl: 60s
    sticky: 0s
    servers: [{{name: only, address: {server}, port: {real}}}]
    check: {{type: none}}
"""

HAPROXY = """\
global
  maxconn 2000
defaults
  mode tcp
  maxconn 1000
  option splice-auto
  timeout connect 5s
  timeout client 60s
  timeout server 60s
"""

NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {directory}/t1;
  proxy_temp_path {directory}/t2;
  fastcgi_temp_path {directory}/t3;
  uwsgi_temp_path {directory}/t4;
  scgi_temp_path {directory}/t5;
  server {{ listen {port} backlog=1024; location / {{ return 200 "turnout\\n"; }} }}
}}
"""


class Daemons:
    """net: the network; programs: directory of Turnout's; tools: of the benchmarks' own."""

    def __init__(self, net, programs, tools, directory):
        self.net, self.programs, self.tools = net, pathlib.Path(programs), pathlib.Path(tools)
        self.directory = pathlib.Path(directory)
        self.records = {}
        self.key = self.directory / "key"
        self.key.write_bytes(os.urandom(32).hex().encode())
        self.key.chmod(0o600)

    def log(self, name):
        return str(self.directory / f"{name}.log")

    def spawn(self, name, node, argv, wait=True):
        notify = str(self.directory / f"{name}.notify")
        readiness = process.Readiness(notify) if wait else None
        record = process.spawn(self.net.namespace(node), [str(a) for a in argv], self.log(name), str(self.directory),
                               notify if wait else "")
        self.records[name] = record
        if readiness:
            problem = readiness.wait(record, 30)
            readiness.close()
            if problem:
                raise LabError(f"{name}: {problem}", process.tail(self.log(name)))
        return record

    def stop(self, *names):
        gone = [self.records.pop(name) for name in names or list(self.records) if name in self.records]
        process.terminate(gone, 20)

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    # ---- Turnout ----

    def agent(self, router, datapath, fixed=100000, fast=65536, pinned=True):
        config = self.write(f"{router}.yaml", FAD.format(
            name=router, identity=0x100 + network.number(router), address=network.control(router), manager=network.MANAGER,
            loader=network.loader(router), key=self.key, datapath=datapath, fixed=fixed, fast=fast))
        run_dir = self.directory / f"run-{router}"
        run_dir.mkdir(exist_ok=True)
        pin = ["taskset", "-c", cpu(1)] if pinned else []
        self.spawn(f"fad-{router}", router, [*pin, self.programs / "fad", "--config", config, "--run-dir", run_dir, "--name", "fad"])

    def manager(self, routers):
        text = SMD.format(address=network.MANAGER, key=self.key, peers=", ".join(network.control(r) for r in routers))
        ports = {"web": (network.HTTP,) * 2, "iperf": (network.IPERF,) * 2, "echo": (network.ECHO,) * 2,
                 "flows": (network.FLOWS_PORT, network.REAL_PORT)}
        for router in routers:
            for name, (port, real) in ports.items():
                text += SERVICE.format(name=f"{router}-{name}", vip=network.vip(router), port=port, server=network.server(router),
                                       real=real)
        run_dir = self.directory / "run-manager"
        run_dir.mkdir(exist_ok=True)
        self.spawn("smd", "manager", ["taskset", "-c", cpu(1), self.programs / "smd", "--config",
                                      self.write("smd.yaml", text), "--run-dir", run_dir, "--name", "smd"])
        for router in routers:
            self.until(lambda r=router: len(self.show(r, "wildcards")) >= len(ports), 30, f"{router} does not know the services")

    def show(self, router, what):
        done = self.net.run(router, self.programs / "turnoutctl", "--json", "--run-dir", self.directory / f"run-{router}",
                            "--from", "fad", "show", what)
        return json.loads(done)[what]

    def counters(self, router):
        """{(group, name): value}"""
        return {(row["group"], row["name"]): int(row["value"]) for row in self.show(router, "counters")}

    def load(self, router, rate, *what):
        """Start the loader; see bench/load.c."""
        return self.net.popen("manager", self.tools / "load", network.loader(router), network.control(router), self.key, rate, *what,
                              stderr=subprocess.PIPE)

    def loaded(self, router, loader, timeout):
        try:
            errors = loader.communicate(timeout=timeout)[1]
        except subprocess.TimeoutExpired:
            loader.kill()
            loader.communicate()
            raise LabError(f"loading {router} took longer than {timeout} s") from None
        if loader.returncode or errors:
            raise LabError(f"loading {router}: status {loader.returncode}", errors[-400:])

    @staticmethod
    def until(condition, seconds, message):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise LabError(message)
            time.sleep(0.1)

    # ---- the others ----

    def proxy(self):
        text = HAPROXY
        for port in (network.HTTP, network.IPERF, network.ECHO):
            text += f"listen p{port}\n  bind {network.vip('haproxy')}:{port}\n  server s {network.server('haproxy')}:{port}\n"
        self.net.ip("haproxy", f"address replace {network.vip('haproxy')}/32 dev lo")
        self.spawn("haproxy", "haproxy", ["haproxy", "-db", "-f", self.write("haproxy.cfg", text)], wait=False)

    def servers(self):
        config = self.write("nginx.conf", NGINX.format(directory=self.directory, port=network.HTTP))
        self.spawn("nginx", "server", ["nginx", "-p", self.directory, "-c", config], wait=False)
        self.spawn("iperf3", "server", ["iperf3", "-s", "-p", network.IPERF], wait=False)
        self.spawn("echo", "server", [self.tools / "echo", "tcp-serve", "0.0.0.0", network.ECHO], wait=False)

    # ---- memory ----

    def memory(self, router):
        """Bytes of an agent: its own, and those of the BPF maps that it holds (pages that both share are the maps')."""
        pid = self.records[f"fad-{router}"]["pid"]
        own = int(fields(f"/proc/{pid}/status")["RssAnon"].split()[0]) * 1024
        return {"own": own, **self.maps(pid)}

    @staticmethod
    def maps(pid):
        """Bytes of the BPF maps of a process, as the kernel counts them; arrays are of the size they were made with."""
        hashes, arrays = {}, {}
        for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
            found = fields(path)
            if "map_id" in found:
                (arrays if found["map_type"].strip() == "2" else hashes)[found["map_id"]] = int(found["memlock"])
        return {"hashes": sum(hashes.values()), "arrays": sum(arrays.values())}


def fields(path):
    """A file of lines `name: value`."""
    lines = pathlib.Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines if ":" in line)}


def cpu(wanted):
    """A processor of those there are: the generator has the first, daemons the second."""
    allowed = sorted(os.sched_getaffinity(0))
    return str(allowed[min(wanted, len(allowed) - 1)])
