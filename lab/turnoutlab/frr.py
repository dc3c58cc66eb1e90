# SPDX-License-Identifier: BSD-2-Clause
"""FRRouting in a node: its configuration and the script that runs its daemons.

Between core and the routers BGP, or OSPF and OSPFv3, as the topology says; with
BFD, both address families.  The routers announce the server LAN and whatever
kernel routes go out of vip0; nothing here names a VIP.  Must not know Turnout's
daemons beyond that interface.
"""

import os
import shutil

from turnoutlab.process import LabError, adopt

DAEMONS = {"bgp": ("zebra", "bgpd", "bfdd"), "ospf": ("zebra", "ospfd", "ospf6d", "bfdd")}
ALL_DAEMONS = ("zebra", "bgpd", "ospfd", "ospf6d", "bfdd")
LIBEXEC = "/usr/lib/frr"
CRASH_LOGS = "/var/tmp/frr"

# Started by turnout-lab, and by watchfrr when a daemon ends or hangs.
SCRIPT = """\
#!/bin/bash
# Runs FRRouting on {node}: start|stop|restart DAEMON|all.
# Inside the node's network namespace; watchfrr calls it as well.
dir={directory}
run=$dir/run
log=$dir/log

# watchfrr restarts all and one side by side; the second would find the first's daemon, and give up unconfigured.
# "restart all" calls itself, with the lock already held.
if [ -z "$FRR_SH_LOCKED" ]; then
	exec 9> "$dir/lock"
	flock 9
	export FRR_SH_LOCKED=1
fi

log_file() {{ echo "$log/$1.log"; }}

start() {{
	local extra=()
	case $1 in
	zebra) extra=(-s 90000000) ;;
	bfdd) extra=(--bfdctl "$run/bfdd.sock") ;;
	esac
	{libexec}/"$1" -d -f "$dir/empty.conf" -z "$run/zserv.api" --vty_socket "$run" -i "$run/$1.pid" \\
		-P 0 -A 127.0.0.1 --log "file:$(log_file "$1")" "${{extra[@]}}" 9>&- || return 1
	for ((i = 0; i < 100; i++)); do
		[ -S "$run/$1.vty" ] && return 0
		sleep 0.05
	done
	echo "$1: no vty socket after 5 s"
	return 1
}}

configure() {{
	HOME=$dir VTYSH_HISTFILE=/dev/null vtysh --vty_socket "$run" --config_dir "$dir" -b "$@"
}}

# Only a process in this network namespace is ours; a stale pid file names none.
stop() {{
	local pid
	pid=$(cat "$run/$1.pid" 2>/dev/null) || return 0
	[ "/proc/$pid/ns/net" -ef /proc/self/ns/net ] && kill "$pid" 2>/dev/null &&
		for ((i = 0; i < 60; i++)); do
			kill -0 "$pid" 2>/dev/null || break
			[ $i -eq 40 ] && kill -9 "$pid"
			sleep 0.05
		done
	rm -f "$run/$1.pid" "$run/$1.vty"
}}

case $1/$2 in
start/all) for d in {daemons}; do start "$d" || exit 1; done; configure ;;
stop/all) for d in {reverse}; do stop "$d"; done ;;
restart/all) "$0" stop all; "$0" start all ;;
start/*) start "$2" && configure -d "$2" ;;
stop/*) stop "$2" ;;
restart/*) stop "$2"; start "$2" && configure -d "$2" ;;
*) echo "usage: $0 start|stop|restart DAEMON|all"; exit 2 ;;
esac >> "$(log_file frr)" 2>&1
"""

HEAD = """\
frr defaults traditional
hostname {node}
bgp route-map delay-timer 1
service integrated-vtysh-config
"""

# A next hop that flaps must not stay in a kernel next-hop group.
CORE_ONLY = "no zebra nexthop kernel enable\n"

# Next hops people can read, instead of link-local ones.
ALL_MAPS = """\
route-map GLOBAL-HOP permit 10
 set ipv6 next-hop prefer-global
!
"""

ROUTER_MAPS = """\
route-map VIP-OUT permit 10
 match interface vip0
!
route-map LAN-OUT permit 10
 match interface lan
!
"""

BFD = """\
bfd
 profile lab
  detect-multiplier 3
  receive-interval 300
  transmit-interval 300
!
"""

NEIGHBOR = """\
 neighbor {address} remote-as {asn}
 neighbor {address} description {name}
 neighbor {address} update-source {own}
 neighbor {address} bfd profile lab
 neighbor {address} timers connect 1
"""


# Timers are FRRouting's own, but for finding neighbours and repeating what they missed.
OSPF_LINK = """\
interface {interface}
 ip ospf area 0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
 ip ospf retransmit-interval 1
 ip ospf bfd
 ipv6 ospf6 area 0
 ipv6 ospf6 network point-to-point
 ipv6 ospf6 hello-interval 1
 ipv6 ospf6 dead-interval 4
 ipv6 ospf6 retransmit-interval 1
 ipv6 ospf6 bfd
!
"""
OSPF_PASSIVE = """\
interface {interface}
 ip ospf area 0
 ip ospf passive
 ipv6 ospf6 area 0
 ipv6 ospf6 passive
!
"""


def configuration(topology, node):
    """frr.conf of a node."""
    text = HEAD.format(node=node.name)
    text += (CORE_ONLY + "!\n") if node.role == "core" else ("!\n" + ROUTER_MAPS)
    return text + {"bgp": _bgp, "ospf": _ospf}[topology.routing](topology, node)


def _bgp(topology, node):
    sessions = topology.adjacencies(node)
    text = ALL_MAPS + BFD + f"router bgp {node.asn}\n bgp router-id {next(iter(node.interfaces.values()))[0]}\n"
    text += " no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n"
    text += " bgp bestpath as-path multipath-relax\n timers bgp 1 3\n"
    for other, *addresses in sessions:
        for address, own in zip(addresses, node.interfaces[other.name]):
            text += NEIGHBOR.format(address=address, asn=other.asn, name=other.name, own=own)
            # One side opens: two that open at once collide, and cost a retry each.
            text += f" neighbor {address} passive\n" if node.role == "core" else ""
    for family, index in (("ipv4", 1), ("ipv6", 2)):
        text += f" !\n address-family {family} unicast\n"
        if node.role == "core":
            text += "  redistribute connected\n  maximum-paths 16\n"
        else:
            text += "  redistribute connected route-map LAN-OUT\n  redistribute kernel route-map VIP-OUT\n"
        for session in sessions:
            text += f"  neighbor {session[index]} activate\n"
            if family == "ipv6":
                text += f"  neighbor {session[index]} route-map GLOBAL-HOP in\n"
        text += " exit-address-family\n"
    return text + "!\n"


def _ospf(topology, node):
    """Links to other FRR nodes, and what hangs on a node's other interfaces; the control network is nobody's business."""
    links = {node_interface(topology, node, other) for other, *_ in topology.adjacencies(node)}
    text = ""
    for interface in node.interfaces:
        if interface in links:
            text += OSPF_LINK.format(interface=interface)
        elif node.role == "core" or interface == "lan":
            text += OSPF_PASSIVE.format(interface=interface)
    for protocol in ("ospf", "ospf6"):
        text += f"router {protocol}\n {protocol} router-id {next(iter(node.interfaces.values()))[0]}\n"
        text += " maximum-paths 16\n" if node.role == "core" else " redistribute kernel route-map VIP-OUT\n"
        text += "!\n"
    return text


def node_interface(topology, node, other):
    """The interface of a node that leads to another."""
    for interface, network in node.networks.items():
        if other.name in (member[0] for member in network.members):
            return interface
    raise LabError(f"{node.name} has no link to {other.name}")


def prepare(topology, node, directory):
    """Write configuration and script into the node's frr directory; its parts belong to frr."""
    if not os.path.exists(f"{LIBEXEC}/watchfrr"):
        raise LabError(f"{node.name}: FRRouting is not installed; `make deps` installs what the lab needs")
    for sub in ("", "run", "log"):
        os.makedirs(f"{directory}/{sub}", exist_ok=True)
    script = SCRIPT.format(node=node.name, directory=directory, libexec=LIBEXEC, daemons=" ".join(DAEMONS[topology.routing]),
                           reverse=" ".join(reversed(DAEMONS[topology.routing])))
    files = {"frr.conf": configuration(topology, node), "vtysh.conf": "service integrated-vtysh-config\n",
             "empty.conf": "", "frr.sh": script}
    for name, text in files.items():
        with open(f"{directory}/{name}", "w", encoding="ascii") as f:
            f.write(text)
    os.chmod(f"{directory}/frr.sh", 0o755)
    for path in (directory, *(f"{directory}/{n}" for n in ("run", "log", "frr.conf", "vtysh.conf", "empty.conf"))):
        shutil.chown(path, "frr", "frr")


def vtysh_wrapper(directory):
    """A `vtysh` for the node that talks to the node's own FRRouting."""
    return (f"#!/bin/sh\nexport VTYSH_HISTFILE=/dev/null\n"
            f"exec /usr/bin/vtysh --vty_socket {directory}/run --config_dir {directory} \"$@\"\n")


def watch_argv(directory, routing):
    """watchfrr in the foreground.  Intervals are short: this is a lab."""
    script = f"{directory}/frr.sh"
    return [f"{LIBEXEC}/watchfrr", "-S", f"{directory}/run", "-p", f"{directory}/run/watchfrr.pid",
            "-i", "1", "-t", "10", "--min-restart-interval", "1", "--max-restart-interval", "10",
            "-r", f"{script} restart %s", "-s", f"{script} start %s", "-k", f"{script} stop %s", *DAEMONS[routing]]


def running(directory, namespace):
    """Records of the node's FRR daemons as their pid files have them, by name."""
    found = {}
    for daemon in ALL_DAEMONS:
        record = adopt(f"{directory}/run/{daemon}.pid", namespace)
        if record:
            found[daemon] = record
    return found


def remove_leftovers(pids):
    """FRR writes crash logs outside the directories it is given; remove those of our processes.

    A directory is named after the process that was started, which is not the one that stays; inside are
    files named after the threads.
    """
    try:
        found = os.listdir(CRASH_LOGS)
    except OSError:
        return
    for name in found:
        path = f"{CRASH_LOGS}/{name}"
        if any(os.path.exists(f"{path}/logbuf.{pid}") for pid in pids):
            shutil.rmtree(path, ignore_errors=True)
    try:
        os.rmdir(CRASH_LOGS)
    except OSError:
        pass
