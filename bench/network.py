# SPDX-License-Identifier: BSD-2-Clause
"""The network of the benchmarks: one client, one server, and a router of its own for each way between them.

    client --(10.1.K.0/24)-- router K --(10.2.K.0/24)-- server
                               |
                         (10.3.K.0/24)-- manager (10.77.0.11)

All ways are there at once, so that measurements can take turns without anything being set up or taken down in
between.  Must not know what is measured.
"""
import json
import subprocess

from turnoutlab import netns
from turnoutlab.process import LabError, in_netns, run
from turnoutlab.topology import Network, Node, Topology

ROUTERS = ("kernel", "nft", "haproxy", "ring", "tc", "auto")
MANAGER = "10.77.0.11"
FLOWS_PORT, REAL_PORT = 7000, 7001
HTTP, IPERF, ECHO = 80, 5201, 5301

NFT = """\
table ip bench {{
  chain pre {{
    type nat hook prerouting priority dstnat
    ip daddr {vip} tcp dport {{ {ports} }} dnat to {server}
    ip daddr {vip} udp dport {flows} dnat to {server}:{real}
  }}
}}
"""


def number(router):
    return ROUTERS.index(router) + 1


def vip(router):
    """The address that the router translates to the server's; the router that only routes has none."""
    return f"203.0.113.{number(router) + 9}"


def server(router):
    return f"10.2.{number(router)}.11"


def control(router):
    return f"10.3.{number(router)}.1"


def loader(router):
    """Where the loader of that router's agent is, in the manager's namespace."""
    return f"10.77.0.{number(router) + 20}"


def _topology():
    nodes = {name: Node(name, "client") for name in ("client", "server", "manager")}
    nodes.update({name: Node(name, "router") for name in ROUTERS})
    networks = []
    for router in ROUTERS:
        k = number(router)
        for end, net, own in (("client", 1, "client"), ("server", 2, "server"), ("manager", 3, "ctl")):
            networks.append(Network(f"{router}-{end}", f"10.{net}.{k}", f"fd00:{net}:{k}", ((end, router, 11), (router, own, 1))))
    for network in networks:
        for node, interface, host in network.members:
            nodes[node].interfaces[interface] = network.addresses(host)
    return Topology("bench", "the benchmarks' network", nodes, networks)


class Net:
    """The namespaces, while they are there."""

    def __init__(self, name):
        self.name, self.topology = name, _topology()

    def namespace(self, node):
        return netns.name(self.name, node)

    def path(self, node):
        return f"/run/netns/{self.namespace(node)}"

    def down(self):
        netns.remove([self.namespace(node) for node in self.topology.nodes])

    def up(self):
        self.down()
        netns.build(self.name, self.topology)
        for router in ROUTERS:
            k = number(router)
            self.ip("client", f"route add 10.2.{k}.0/24 via 10.1.{k}.1")
            self.ip("client", f"route add {vip(router)}/32 via 10.1.{k}.1")
            self.ip("server", f"route add 10.1.{k}.0/24 via 10.2.{k}.1")
            self.ip(router, f"route add 10.77.0.0/24 via 10.3.{k}.11")
            # The sink answers no questions.
            self.ip(router, f"neigh replace {server(router)} lladdr {self.mac('server', router)} dev server nud permanent")
            self.ip("server", f"neigh replace 10.2.{k}.1 lladdr {self.mac(router, 'server')} dev {router} nud permanent")
        for address in (MANAGER, *map(loader, ROUTERS)):
            self.ip("manager", f"address add {address}/32 dev lo")
        # Closed connections do not stand in the way of new ones; docs/performance.md.
        for node in ("client", "server", "haproxy"):
            self.run(node, "sysctl", "-q", "-w", "net.ipv4.tcp_max_tw_buckets=64", "net.ipv4.ip_local_port_range=1024 65001",
                     "net.ipv4.tcp_tw_reuse=1")

    def ip(self, node, arguments):
        run(["ip", "-n", self.namespace(node), *arguments.split()])

    def mac(self, node, interface):
        return json.loads(run(["ip", "-j", "-n", self.namespace(node), "link", "show", "dev", interface]))[0]["address"]

    def argv(self, node, *command):
        return in_netns(self.namespace(node), [str(c) for c in command])

    def run(self, node, *command, timeout=30, stdin=None):
        return run(self.argv(node, *command), timeout=timeout, stdin=stdin)

    def popen(self, node, *command, **named):
        return subprocess.Popen(self.argv(node, *command), text=True, **named)

    def translate_with_nft(self):
        """The router `nft`: DNAT with conntrack, as its manual has it."""
        text = NFT.format(vip=vip("nft"), ports=f"{HTTP}, {IPERF}, {ECHO}", server=server("nft"), flows=FLOWS_PORT, real=REAL_PORT)
        self.run("nft", "nft", "-f", "-", stdin=text)

    def receive_offload(self, on):
        """GRO of the routers' interfaces towards the client: only with it do live frames of the generator arrive there."""
        for router in ROUTERS:
            self.run(router, "ethtool", "-K", "client", "gro", "on" if on else "off")


def conntrack_limit():
    try:
        with open("/proc/sys/net/netfilter/nf_conntrack_max", encoding="ascii") as f:
            return int(f.read())
    except FileNotFoundError:
        raise LabError("no connection tracking in this kernel") from None
