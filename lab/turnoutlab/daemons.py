# SPDX-License-Identifier: BSD-2-Clause
"""Turnout's daemons in the lab: which run where, and their configuration files.

Text only; the format is docs/configuration.md.  Must not know processes.
"""

import os

from turnoutlab.topology import ECHO_PORT, FILES_PORT, HTTP_PORT, VIPS

KEY_ID = 1
# Second manager: a node, but no manager runs on it.
IDLE_MANAGERS = ("sm2",)

COMMON = """\
name: {name}
identity: {identity:#x}
control:
  address: {address}
  interface: ctl
security:
  keys:
    - id: {key_id}
      scheme: hmac-sha256
      file: {key}
"""

FAD = "interfaces: [core, lan]\ndatapath: {datapath}\n"
FALLBACK = "fallback: [{v4}, {v6}]\n"

SERVICE = """\
  - name: {name}
    vip: [{vips}]
    protocol: {protocol}
    port: {port}
    method: maglev
    servers:
"""

SERVER = """\
      - name: {name}
        address: ["{v4}", "{v6}"]
        check-address: "{control}"
"""

# Detection within about a second: the lab has no time to lose.
CHECK = """\
    check:
      type: tcp
      port: {port}
      interval: 250ms
      timeout: 250ms
      rise: 2
      fall: 2
"""


def runs_on(node):
    """Names of Turnout's daemons on a node, in starting order."""
    if node.role == "router":
        return ["fad", "routed-glue"]
    if node.role == "manager" and node.name not in IDLE_MANAGERS:
        return ["smd"]
    return []


def _common(node, key):
    return COMMON.format(name=node.name, identity=node.identity, address=node.interfaces["ctl"][0], key_id=KEY_ID,
                         key=key)


def _services(topology):
    text = "services:\n"
    vips = ", ".join(f'"{vip}"' for vip in VIPS)
    # UDP has no handshake to check, so the echo service is checked at the web port.
    for name, protocol, port, check_port in (("web", "tcp", HTTP_PORT, HTTP_PORT),
                                             ("files", "tcp", FILES_PORT, FILES_PORT),
                                             ("echo", "udp", ECHO_PORT, HTTP_PORT)):
        text += SERVICE.format(name=name, vips=vips, protocol=protocol, port=port)
        for server in topology.by_role("server"):
            v4, v6 = server.interfaces["lan"]
            text += SERVER.format(name=server.name, v4=v4, v6=v6, control=server.interfaces["ctl"][0])
        text += CHECK.format(port=check_port)
    return text


def _fallback(topology, node):
    """The next router on the server LAN, if there is one."""
    routers = topology.by_role("router")
    if len(routers) == 1:
        return ""
    v4, v6 = routers[(routers.index(node) + 1) % len(routers)].interfaces["lan"]
    return FALLBACK.format(v4=v4, v6=f'"{v6}"')


def configuration(daemon, topology, node, key, frr_run):
    """The configuration file of a daemon on a node; key: path of the shared key, frr_run: FRRouting's run directory."""
    if daemon == "fad":
        return _common(node, key) + FAD.format(datapath=os.environ.get("TURNOUT_DATAPATH", "ring")) + _fallback(topology, node)
    if daemon == "routed-glue":
        return f"agents: [fad]\ninterface: vip0\nfrr: {frr_run}\n"
    return _common(node, key) + _services(topology)


def argv(daemon, build, config, run_dir, debug):
    command = [f"{build}/{daemon}", "--config", config, "--run-dir", run_dir, "--name", daemon]
    return command + (["--debug"] if debug else [])
