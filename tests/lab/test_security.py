# SPDX-License-Identifier: BSD-2-Clause
"""Whom the daemons believe: keys that roll while they run, senders that are not heard, secrets that are not told.

In the small network of test_discovery.py: one agent, one manager, and whoever speaks from the agent's machine beside it.
"""
import base64
import json
import os
import pathlib
import signal
import subprocess

import peer
from conftest import BUILD, until
from test_discovery import ADDRESS, AGENT, MANAGER, PROGRAM, net, network  # noqa: F401: fixtures


def drops(where, side):
    return {row["name"]: int(row["value"]) for row in where.rows(side, "counters") if row["group"] == "message-drops"}


def loaded(where, side):
    return next(int(row["value"]) for row in where.rows(side, "counters") if row["name"] == "security-loaded")


def secure(where, side, security):
    """Another `security:` in the configuration of a daemon that runs; True once it was taken."""
    config = where.directory / side / "conf.yaml"
    lines = [f"security: {json.dumps(security)}" if line.startswith("security:") else line
             for line in config.read_text().splitlines()]
    before = loaded(where, side)
    config.write_text("\n".join(lines) + "\n")
    os.kill(where.running[side]["pid"], signal.SIGHUP)
    return until(lambda: loaded(where, side) > before, 3)


def keys(where, *ids, sign):
    return {"keys": [{"id": n, "file": str(where.directory / f"rolling{n}")} for n in ids], "sign-with": sign}


def test_keys_roll_without_an_outage_SEC_3(net):  # noqa: F811
    """Both everywhere, then signed with the new one, then without the old one: nobody is refused or greeted anew."""
    for number in (1, 2):
        net.write_key(net.directory / f"rolling{number}")
    first = net.directory / "rolling1"
    net.start(MANAGER, key=first)
    net.start(AGENT, key=first)
    assert until(lambda: net.rows(AGENT, "wildcards"), 10)
    known = {side: next(r["value"] for r in net.rows(side, "counters") if r["name"] == "peers-known") for side in PROGRAM}
    refused = {side: drops(net, side)["authentication-unknown-key"] for side in PROGRAM}
    for stage in (keys(net, 1, 2, sign=1), keys(net, 1, 2, sign=2), keys(net, 2, sign=2)):
        for side in (MANAGER, AGENT):
            assert secure(net, side, stage), (side, stage)
        heard = {side: next(int(r["value"]) for r in net.rows(side, "counters") if r["name"] == "accepted") for side in PROGRAM}
        assert until(lambda h=heard: next(int(r["value"]) for r in net.rows(AGENT, "counters")
                                          if r["name"] == "accepted") > h[AGENT], 10)
        assert net.rows(AGENT, "wildcards")
    for side in PROGRAM:
        assert drops(net, side)["authentication-unknown-key"] == refused[side]
        assert next(r["value"] for r in net.rows(side, "counters") if r["name"] == "peers-known") == known[side]
    # A key file that is not there, or that others read, changes nothing.
    (net.directory / "rolling2").chmod(0o644)
    assert not secure(net, AGENT, keys(net, 1, 2, sign=1))
    log = (net.directory / AGENT / "log").read_text()
    assert "rolling2 can be read or changed by others (mode 0644)" in log
    done = net.run(AGENT, str(BUILD / "fad"), "--check", "--config", str(net.directory / AGENT / "conf.yaml"), check=False)
    assert done.returncode == 3 and "mode 0644" in done.stderr


def test_only_configured_senders_are_heard_SEC_1(net):  # noqa: F811
    """The right key is not enough where accept-from does not have the address."""
    net.start(MANAGER)
    security = {"keys": [{"id": 1, "file": str(net.key)}], "accept-from": ["192.0.2.0/24"]}
    assert secure(net, MANAGER, security)
    with peer.Peer(net.netns(AGENT), ADDRESS[AGENT], 0x777, net.key.read_bytes()) as stranger:
        to = (ADDRESS[MANAGER], 7510)
        stranger.send(to, peer.HELLO, [peer.identity(ADDRESS[AGENT], "x"), peer.action_list(10)])
        assert until(lambda: drops(net, MANAGER)["sender"], 5)
        assert not stranger.receive(lambda m: True, 0.5)
        security["accept-from"] = [f"{ADDRESS[AGENT]}/32"]
        assert secure(net, MANAGER, security)
        stranger.send(to, peer.HELLO, [peer.identity(ADDRESS[AGENT], "x"), peer.action_list(10)])
        assert stranger.receive(lambda m: m.type == peer.CHALLENGE, 5)


def test_secrets_are_nowhere_to_be_read_SEC_3(net):  # noqa: F811
    """Neither in logs at --debug, nor in listings, checks or the process's arguments and environment; no core files."""
    secret = net.key.read_bytes()
    shapes = (secret, secret.hex().encode(), base64.b64encode(secret))
    net.start(MANAGER)
    net.start(AGENT)
    assert until(lambda: net.rows(AGENT, "wildcards"), 10)
    said = []
    for side, program in PROGRAM.items():
        for what in ("settings", "counters", "agents", "managers", "wildcards", "services", "version"):
            done = subprocess.run(net.ctl(side, "show", what), capture_output=True)
            said.append(done.stdout + done.stderr)
        config = str(net.directory / side / "conf.yaml")
        done = net.run(side, str(BUILD / program), "--debug", "--check", "--config", config)
        said += [done.stdout.encode(), done.stderr.encode(), (net.directory / side / "log").read_bytes()]
        process = pathlib.Path(f"/proc/{net.running[side]['pid']}")
        said += [(process / "cmdline").read_bytes(), (process / "environ").read_bytes()]
        limits = (process / "limits").read_text().splitlines()
        assert int(next(x for x in limits if x.startswith("Max core file size")).split()[4]) <= 1
    assert not [text for text in said for shape in shapes if shape in text]
    for side, program in PROGRAM.items():
        for suffix in ("sock", "events"):
            mode = (net.directory / side / "run" / f"{program}.{suffix}").stat().st_mode & 0o777
            assert mode & 0o007 == 0, oct(mode)
