# SPDX-License-Identifier: BSD-2-Clause
"""What the lab's networks look like: nodes, links, addresses, routes.

Data only.  Must not know namespaces, processes or files.
"""

from dataclasses import dataclass, field

VIPS = ("203.0.113.10", "2001:db8:113::10")
HTTP_PORT = 80
FILES_PORT = 8080
ECHO_PORT = 7


@dataclass(frozen=True)
class Network:
    """One subnet.  Members are (node, interface name there, host part of the address).

    Two members are joined by a veth pair; with `bridge`, by a bridge in a node of that name.
    """

    name: str
    v4: str
    v6: str
    members: tuple
    bridge: str = ""

    def addresses(self, host):
        """The two addresses of a host on this network, without prefix length."""
        return f"{self.v4}.{host}", f"{self.v6}::{host}"


@dataclass
class Node:
    """role: client | core | router | server | manager | bridge"""

    name: str
    role: str
    asn: int = 0
    identity: int = 0
    interfaces: dict = field(default_factory=dict)  # name: (IPv4, IPv6), prefix lengths 24 and 64
    networks: dict = field(default_factory=dict)  # name: Network
    gateways: list = field(default_factory=list)  # (IPv4, IPv6) of default routers, equal cost

    @property
    def hidden(self):
        return self.role == "bridge"

    @property
    def forwards(self):
        return self.role in ("core", "router")

    @property
    def runs_frr(self):
        return self.role in ("core", "router")


@dataclass
class Topology:
    name: str
    summary: str
    nodes: dict
    networks: list
    routing: str = "bgp"  # what core and the routers speak: bgp | ospf (both address families)

    def by_role(self, role):
        return [n for n in self.nodes.values() if n.role == role]

    def adjacencies(self, node):
        """(neighbour node, its IPv4, its IPv6) for every link of `node` to another FRR node."""
        found = []
        for network in self.networks:
            names = [m[0] for m in network.members]
            if network.bridge or node.name not in names:
                continue
            for other, _, host in network.members:
                if other != node.name and self.nodes[other].runs_frr:
                    found.append((self.nodes[other], *network.addresses(host)))
        return found


ROUTERS = (("r1", 65001, 0x101), ("r2", 65002, 0x102))
MANAGERS = (("sm1", 0x201), ("sm2", 0x202))
SERVERS = ("web1", "web2", "web3")
CLIENTS = ("client1", "client2")


def _networks(routers):
    found = []
    for number, client in enumerate(CLIENTS, 1):
        members = (("core", client, 1), (client, "core", 11))
        found.append(Network(f"{client}-core", f"10.0.{number}", f"fd00:{number}", members))
    for number, router in enumerate(routers, 11):
        members = (("core", router, 1), (router, "core", 2))
        found.append(Network(f"core-{router}", f"10.0.{number}", f"fd00:{number}", members))
    on_lan = [(r, "lan", n) for n, r in enumerate(routers, 1)]
    on_lan += [(s, "lan", n) for n, s in enumerate(SERVERS, 11)]
    found.append(Network("server LAN", "10.0.20", "fd00:20", tuple(on_lan), bridge="lan"))
    on_control = [(r, "ctl", n) for n, r in enumerate(routers, 1)]
    on_control += [(m, "ctl", n) for n, (m, _) in enumerate(MANAGERS, 11)]
    on_control += [(s, "ctl", n) for n, s in enumerate(SERVERS, 21)]
    found.append(Network("control", "10.77.0", "fd00:77", tuple(on_control), bridge="mgmt"))
    return found


def _build(name, summary, router_count, routing="bgp"):
    routers = ROUTERS[:router_count]
    nodes = [Node(c, "client") for c in CLIENTS]
    nodes += [Node("core", "core", asn=65000)]
    nodes += [Node(r, "router", asn=asn, identity=identity) for r, asn, identity in routers]
    nodes += [Node(s, "server") for s in SERVERS]
    nodes += [Node(m, "manager", identity=identity) for m, identity in MANAGERS]
    nodes += [Node("lan", "bridge"), Node("mgmt", "bridge")]
    topology = Topology(name, summary, {n.name: n for n in nodes}, _networks([r[0] for r in routers]), routing)
    for network in topology.networks:
        for member, interface, host in network.members:
            topology.nodes[member].interfaces[interface] = network.addresses(host)
            topology.nodes[member].networks[interface] = network
    for number, client in enumerate(CLIENTS, 1):
        topology.nodes[client].gateways = [(f"10.0.{number}.1", f"fd00:{number}::1")]
    for server in SERVERS:
        topology.nodes[server].gateways = [topology.nodes[r[0]].interfaces["lan"] for r in routers]
    return topology


def topologies():
    """All topologies by name, the default one first."""
    return {
        "pair": _build("pair", "two routers side by side between core and three servers (default)", 2),
        "pair-ospf": _build("pair-ospf", "the same with OSPF and OSPFv3 instead of BGP", 2, "ospf"),
        "single": _build("single", "the same with one router, r1", 1),
    }


DEFAULT = "pair"
