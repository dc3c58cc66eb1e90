# SPDX-License-Identifier: BSD-2-Clause
"""One smd and many simulated agents, each side in a namespace of its own, joined by a veth pair.

For bench-smd and for the lab test of tests/load/agents.c.  turnoutlab must be importable.
"""
import contextlib
import ipaddress
import json
import os
import pathlib
import secrets
import subprocess

from turnoutlab import process

SMD, AGENTS, FIRST = "10.99.0.1", "10.99.0.2", "10.98.0.1"
IDENTITY = 0x1
SERVERS = 4  # of each service
TICKS = os.sysconf("SC_CLK_TCK")
HEAD = """\
name: load
identity: {identity:#x}
control: {{address: {address}, multicast: false}}
security: {{keys: [{{id: 1, file: {key}}}]}}
wildcard-ttl: 1h
limits: {{flows: {flows}}}
services:
"""


def service(number):
    """In flow style, with servers and a VIP of its own; nobody has those addresses, and nobody checks them."""
    vip = ipaddress.ip_address("203.0.0.0") + 256 + number
    first = ipaddress.ip_address("10.20.0.0") + 16 * (number + 1)
    servers = ", ".join(f"{{name: s{number}-{i}, address: {first + i}}}" for i in range(SERVERS))
    return (f"  - {{name: s{number}, vip: {vip}, protocol: tcp, port: 80, affinity-ttl: 1h, check: {{type: none}}, "
            f"servers: [{servers}]}}\n")


class Swarm:
    """The two namespaces.  A context manager: all of it is gone at the end."""

    def __init__(self, name, build, directory):
        self.build, self.directory = pathlib.Path(build).resolve(), pathlib.Path(directory)
        self.spaces = {SMD: f"{name}-load-smd", AGENTS: f"{name}-load-agents"}
        self.smd = None

    def __enter__(self):
        self._remove()
        smd, agents = self.spaces.values()
        try:
            for space in self.spaces.values():
                process.run(["ip", "netns", "add", space])
            process.run(["ip", "-n", smd, "link", "add", "ctl", "type", "veth", "peer", "name", "ctl", "netns", agents])
            for address, space in self.spaces.items():
                process.run(["ip", "-n", space, "-batch", "-"], stdin="link set lo up\nlink set ctl up\n"
                            f"addr add {address}/24 dev ctl\n")
            process.run(["ip", "-n", smd, "route", "add", "10.98.0.0/16", "via", AGENTS])
            process.run(["ip", "-n", agents, "route", "add", "local", "10.98.0.0/16", "dev", "lo"])
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        self._remove()

    def _remove(self):
        for space in self.spaces.values():
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)

    # ---- the manager ----

    def start(self, services, flows=4000000, before=()):
        """smd with so many services; `before` is put in front of its command line."""
        key, config, log = (self.directory / name for name in ("key", "smd.yaml", "log"))
        if not key.exists():
            key.write_text(secrets.token_hex(16))
            key.chmod(0o600)
        config.write_text(HEAD.format(identity=IDENTITY, address=SMD, key=key, flows=flows) + "".join(map(service, range(services))))
        readiness = process.Readiness(str(self.directory / "ready"))
        argv = [*map(str, before), str(self.build / "bin/smd"), "--config", str(config), "--run-dir", str(self.directory / "run")]
        try:
            self.smd = process.spawn(self.spaces[SMD], argv, log, self.directory, readiness.path)
            why = readiness.wait(self.smd, 60)
        finally:
            readiness.close()
        if why:
            raise process.LabError(why, process.tail(log))

    def stop(self):
        record, self.smd = self.smd, None
        if record:
            process.terminate([record], 30)

    def memory_mb(self):
        status = pathlib.Path(f"/proc/{self.smd['pid']}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.smd['pid']}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def counters(self):
        argv = [str(self.build / "bin/turnoutctl"), "--run-dir", str(self.directory / "run"), "--json", "show", "counters"]
        rows = json.loads(process.run(process.in_netns(self.spaces[SMD], argv)))["counters"]
        return {(row["group"], row["name"]): int(row["value"]) for row in rows}

    # ---- the agents ----

    @contextlib.contextmanager
    def ready(self, services, **options):
        """Agents that have all their wildcards, in a context; calling what it gives sends the load: the result."""
        options = {"manager": SMD, "first": FIRST, "key": self.directory / "key", "identity": IDENTITY,
                   "wildcards": services * (1 + SERVERS), **options}
        argv = [str(self.build / "tests/load/agents"), *(f"--{name}={value}" for name, value in options.items())]
        with subprocess.Popen(process.in_netns(self.spaces[AGENTS], argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as agents:
            def go():
                timeout = float(options.get("seconds", 2)) + 60
                out, err = agents.communicate("\n", timeout=timeout)
                if not out.startswith("{"):
                    raise process.LabError("the agents gave no result", err)
                return json.loads(out)
            try:
                if agents.stdout.readline() != "ready\n":
                    raise process.LabError("the agents have not got their wildcards", agents.stderr.read())
                yield go
            finally:
                agents.kill()
