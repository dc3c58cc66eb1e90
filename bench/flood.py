# SPDX-License-Identifier: BSD-2-Clause
"""The packet generator and sink (bench/flood.c), as a Python object.  Must not know what is measured."""
import json
import select
import subprocess

import network
from daemons import cpu
from turnoutlab.process import LabError

ANY_RATE, NO_WINDOW = 0, 0


class Flood:
    """Use as a context: sinks are attached, and the routers' GRO is on, only within."""

    def __init__(self, daemons, routers):
        self.daemons, self.net, self.routers = daemons, daemons.net, routers
        self.process = None

    def __enter__(self):
        argv = ["taskset", "-c", cpu(0), str(self.daemons.tools / "flood"), self.net.path("client"), self.net.path("server")]
        self.net.receive_offload(True)
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            for router in self.routers:
                self.ask(f"sink {router}", 10)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        self.net.receive_offload(False)

    def ask(self, line, timeout):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            raise LabError(f"flood: no answer after {timeout} s to: {line}")
        answer = self.process.stdout.readline()
        if not answer:
            raise LabError("flood ended", self.process.stderr.read()[-400:])
        return json.loads(answer)

    def send(self, router, flows, seconds, kind="udp", order="random", rate=ANY_RATE, window=NO_WINDOW, translated=True):
        """What arrived.  translated: to the VIP; else to the server's own address and port."""
        to, port = (network.vip(router), network.FLOWS_PORT) if translated else (network.server(router), network.REAL_PORT)
        mac = self.net.mac(router, "client")
        return self.ask(f"send {kind} {router} {mac} {to} {port} {flows} {order} {seconds} {rate} {window}", seconds + 30)

    def rate(self, router, flows, seconds, translated=True):
        """Packets a second that arrived as they should; an error if others did."""
        got = self.send(router, flows, seconds, translated=translated)
        if not got["good"] or got["other"] * 100 > got["good"]:
            raise LabError(f"{router}: of {got['sent']} packets {got['good']} arrived translated, {got['other']} otherwise")
        return got["good"] / got["seconds"]

    def trace(self):
        return self.ask("trace", 10)
