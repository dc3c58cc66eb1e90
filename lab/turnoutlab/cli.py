# SPDX-License-Identifier: BSD-2-Clause
"""The command line of the lab.  Must not know how anything is done."""

import argparse
import json
import os
import sys

from turnoutlab import state, topology
from turnoutlab.lab import DEFAULT_BUILD, Lab
from turnoutlab.process import LabError

EXAMPLES = {
    None: """\
examples:
  turnout-lab up                                       the whole lab: two routers, three servers, two clients
  turnout-lab exec client1 -- curl http://203.0.113.10/
  turnout-lab exec r1 -- turnoutctl show affinities
  turnout-lab exec core -- vtysh -c 'show ip bgp'
  turnout-lab status
  turnout-lab down

`turnout-lab VERB --help` has examples for each verb.  Needs root.  docs/lab.md has the picture.
""",
    "up": """\
examples:
  turnout-lab up                                       topology pair, Turnout from build/release/bin
  turnout-lab up single --name mylab                   another lab beside it
  turnout-lab up --build build/asan/bin --debug        another build, all daemons with --debug
  turnout-lab up --without-daemons                     network, FRRouting and servers only
""",
    "exec": """\
examples:
  turnout-lab exec client1 -- curl --max-time 3 http://203.0.113.10/
  turnout-lab exec client2 -- udp-echo --ask 2001:db8:113::10 whoami
  turnout-lab exec r2 -- turnoutctl show wildcards
  turnout-lab exec core -- vtysh -c 'show bgp ipv6 summary'
  turnout-lab exec r1 -- tcpdump -ni lan
  turnout-lab exec web1                                a shell there

The exit status is the command's.  turnoutctl finds the node's daemons, vtysh the node's FRRouting.
""",
    "status": """\
examples:
  turnout-lab status
  turnout-lab status --json | python3 -m json.tool     namespaces, paths, process ids
""",
    "down": """\
examples:
  turnout-lab down
  turnout-lab down --name mylab                        works after a failed or interrupted up, too
""",
    "start": """\
examples:
  turnout-lab start sm1 smd                            with what its configuration file says now
  turnout-lab start web2 nginx
  turnout-lab start r1 frr                             all of FRRouting
""",
    "stop": """\
examples:
  turnout-lab stop sm1 smd --kill                      kill -9
  turnout-lab stop web2 nginx                          a server fails its health check
  turnout-lab stop r1 frr                              all of FRRouting, its watchdog first
  turnout-lab stop r1 bgpd --kill                      one daemon; watchfrr restarts it
""",
    "topologies": """\
examples:
  turnout-lab topologies
""",
}


def make_parser():
    def verb(name, text, **arguments):
        sub = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EXAMPLES[name],
                               formatter_class=argparse.RawDescriptionHelpFormatter, **arguments)
        if name != "topologies":
            sub.add_argument("--name", default="turnout", help="name of the lab; several can be up (default: turnout)")
        return sub

    parser = argparse.ArgumentParser(prog="turnout-lab", epilog=EXAMPLES[None],
                                     description="Routers, servers and clients in network namespaces.",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    up = verb("up", "bring a lab up")
    up.add_argument("topology", nargs="?", default=topology.DEFAULT, help=f"default: {topology.DEFAULT}")
    up.add_argument("--build", default=DEFAULT_BUILD, metavar="DIR", help="where the programs are (default: build/release/bin)")
    up.add_argument("--without-daemons", action="store_true", help="no fad, routed-glue, smd")
    up.add_argument("--debug", action="store_true", help="start Turnout's daemons with --debug")
    up.add_argument("--keep-failed", action="store_true", help="leave a failed lab as it is, to look at")
    up.add_argument("--quiet", action="store_true", help="no progress lines")
    run = verb("exec", "run a command in a node", usage="turnout-lab exec [--name NAME] NODE [-- COMMAND...]")
    run.add_argument("node", metavar="NODE")
    run.add_argument("command", nargs="*", metavar="COMMAND", help="default: a shell")
    status = verb("status", "show nodes, addresses and daemons")
    status.add_argument("--json", action="store_true", help="everything, for programs")
    verb("down", "take a lab down")
    for name, text in (("start", "start a stopped daemon"), ("stop", "stop a daemon")):
        sub = verb(name, text)
        sub.add_argument("node", metavar="NODE")
        sub.add_argument("daemon", metavar="DAEMON", help="a name from `status`, or frr for all of FRRouting")
        if name == "stop":
            sub.add_argument("--kill", action="store_true", help="SIGKILL instead of SIGTERM")
    verb("topologies", "list the topologies")
    return parser


def print_status(found):
    print(f"lab {found['name']}: topology {found['topology']}, {found['phase']}, state in {found['directory']}")
    for name, node in found["nodes"].items():
        if node["hidden"]:
            continue
        print(f"\n{name} ({node['role']}, namespace {node['namespace']})")
        for interface, address in node["addresses"].items():
            print(f"  {interface:<8} {address['ipv4']:<12} {address['ipv6']}")
        for entry in found["processes"].values():
            if entry["node"] == name:
                condition = f"process {entry['pid']}" if entry["alive"] else "NOT RUNNING"
                print(f"    {entry['daemon']:<12} {condition:<16} {entry['log']}")


def run_verb(arguments):
    if arguments.verb == "topologies":
        for name, shape in topology.topologies().items():
            nodes = " ".join(n.name for n in shape.nodes.values() if not n.hidden)
            print(f"{name:<8} {shape.summary}\n         {nodes}")
        return 0
    quiet = getattr(arguments, "quiet", False)
    lab = Lab(arguments.name, progress=None if quiet else lambda line: print(line, file=sys.stderr, flush=True))
    if arguments.verb == "up":
        lab.up(arguments.topology, arguments.build, not arguments.without_daemons, arguments.debug,
               arguments.keep_failed)
    elif arguments.verb == "exec":
        argv, environment = lab.exec_argv(arguments.node, arguments.command or [os.environ.get("SHELL", "/bin/bash")])
        os.execvpe(argv[0], argv, environment)
    elif arguments.verb == "status":
        found = lab.status()
        if arguments.json:
            json.dump(found, sys.stdout, indent=1)
            print()
        else:
            print_status(found)
    elif arguments.verb == "down":
        if not lab.down():
            others = [n for n in state.known() if n != arguments.name]
            hint = f"; labs that are: {' '.join(others)}" if others else ""
            print(f"lab '{arguments.name}' was not up{hint}", file=sys.stderr)
    elif arguments.verb == "start":
        lab.start(arguments.node, arguments.daemon)
    elif arguments.verb == "stop":
        lab.stop(arguments.node, arguments.daemon, arguments.kill)
    return 0


def main(argv=None):
    arguments = make_parser().parse_args(argv)
    try:
        return run_verb(arguments)
    except LabError as error:
        print(f"turnout-lab: {error}", file=sys.stderr)
        for line in error.log.splitlines():
            print(f"  | {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("turnout-lab: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
