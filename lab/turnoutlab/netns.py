# SPDX-License-Identifier: BSD-2-Clause
"""Building a topology out of network namespaces, veth pairs and bridges.

Namespaces are named <lab>-<node>.  Must not know daemons.
"""

import os

from turnoutlab.process import NETNS_DIR, LabError, in_netns, run

# Set before any interface exists, so that every interface inherits them.
SYSCTLS = {
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.default.send_redirects": 0,
    "net.ipv4.fib_multipath_hash_policy": 1,
    "net.ipv4.fib_multipath_use_neigh": 1,
    "net.ipv6.fib_multipath_hash_policy": 1,
    "net.ipv6.conf.all.accept_ra": 0,
    "net.ipv6.conf.default.accept_ra": 0,
    # Addresses are usable at once, without duplicate address detection.
    "net.ipv6.conf.all.accept_dad": 0,
    "net.ipv6.conf.default.accept_dad": 0,
    "net.ipv4.ping_group_range": "0 2147483647",
}
FORWARDING = {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1, "net.ipv6.conf.default.forwarding": 1}
BRIDGE = {
    "net.ipv6.conf.all.disable_ipv6": 1,
    "net.ipv6.conf.default.disable_ipv6": 1,
    # Bridged frames are nobody's business but the bridge's.
    "net.bridge.bridge-nf-call-iptables": 0,
    "net.bridge.bridge-nf-call-ip6tables": 0,
}


def name(lab, node):
    return f"{lab}-{node}"


def existing():
    try:
        return set(os.listdir(NETNS_DIR))
    except FileNotFoundError:
        return set()


def _batch(lines, what, namespace=None):
    argv = ["ip"] + (["-n", namespace] if namespace else []) + ["-batch", "-"]
    run(argv, stdin="\n".join(lines) + "\n", what=what)


def settings(node):
    """Kernel settings of a node's namespace."""
    found = dict(SYSCTLS)
    if node.forwards:
        found.update(FORWARDING)
    if node.role == "bridge":
        found.update(BRIDGE)
    return found


def _sysctls(lab, node):
    arguments = [f"{key}={value}" for key, value in settings(node).items()]
    # -e: br_netfilter's keys are there only when it is loaded.
    run(in_netns(name(lab, node.name), ["sysctl", "-q", "-e", "-w", *arguments]), what=f"{node.name}: sysctl")


def _veths(lab, topology):
    lines = []
    for network in topology.networks:
        if network.bridge:
            for node, interface, _ in network.members:
                lines.append(f"link add name {interface} netns {name(lab, node)} type veth "
                             f"peer name {node} netns {name(lab, network.bridge)}")
        else:
            (a, a_name, _), (b, b_name, _) = network.members
            lines.append(f"link add name {a_name} netns {name(lab, a)} type veth peer name {b_name} netns {name(lab, b)}")
    return lines


def _bridge_setup(topology, node):
    lines = ["link set lo up", "link add name br type bridge mcast_snooping 0 stp_state 0", "link set dev br up"]
    for network in topology.networks:
        if network.bridge == node.name:
            lines += [f"link set dev {member} master br up" for member, _, _ in network.members]
    return lines


def _node_setup(node):
    lines = ["link set lo up"]
    for interface, (v4, v6) in node.interfaces.items():
        lines += [f"link set dev {interface} up", f"addr add {v4}/24 dev {interface}",
                  f"addr add {v6}/64 dev {interface} nodad"]
    for family, index in (("-4", 0), ("-6", 1)):
        if node.gateways:
            hops = " ".join(f"nexthop via {gateway[index]}" for gateway in node.gateways)
            lines.append(f"{'-6 ' if family == '-6' else ''}route add default {hops}")
    return lines


def _configure(node, lines, namespace):
    # "route" lines with -6 need their own call: the family is not per line in a batch.
    _batch([line for line in lines if not line.startswith("-6 ")], f"{node.name}: addresses", namespace)
    prefix = ["ip"] + (["-n", namespace] if namespace else [])
    for line in lines:
        if line.startswith("-6 "):
            run([*prefix, *line.split()], what=f"{node.name}: default route")


def configure(node, namespace):
    """Give a node's interfaces their addresses, and set its static routes; "" is the namespace we are in."""
    _configure(node, _node_setup(node), namespace)


def build(lab, topology):
    """Make the namespaces, links, addresses and static routes."""
    namespaces = [name(lab, n) for n in topology.nodes]
    clash = existing() & set(namespaces)
    if clash:
        raise LabError(f"namespace {sorted(clash)[0]} is there already, left by something else; "
                       f"`turnout-lab down --name {lab}` removes it")
    _batch([f"netns add {n}" for n in namespaces], "namespaces")
    for node in topology.nodes.values():
        _sysctls(lab, node)
    _batch(_veths(lab, topology), "links")
    for node in topology.nodes.values():
        if node.role == "bridge":
            _configure(node, _bridge_setup(topology, node), name(lab, node.name))
        else:
            configure(node, name(lab, node.name))


def remove(namespaces):
    """Delete those of the namespaces that exist; veth pairs and bridges go with them."""
    for namespace in sorted(existing() & set(namespaces)):
        run(["ip", "netns", "del", namespace], what=f"delete namespace {namespace}")
