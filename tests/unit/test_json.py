# SPDX-License-Identifier: BSD-2-Clause
"""docs/json.md documents exactly the keys that proto/admin.proto defines, and a running turnoutctl prints them."""
import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TURNOUTCTL = ROOT / os.environ.get("TURNOUT_BUILD", "build/release") / "bin/turnoutctl"
ROWS = {"agents": "AgentRow", "managers": "ManagerRow", "services": "ServiceRow", "servers": "ServerRow",
        "wildcards": "WildcardRow", "affinities": "AffinityRow", "flows": "FlowRow", "forwards": "ForwardRow", "counters": "CounterRow",
        "routes": "RouteRow", "interfaces": "InterfaceRow", "version": "VersionRow", "trace": "TraceRow",
        "server_set": "ServerSetRow", "watch": "WatchRow"}


def schema(message):
    text = (ROOT / "proto/admin.proto").read_text()
    body = re.search(rf"^message {message} {{[^\n]*$(.*?)^}}$", text, re.M | re.S).group(1)
    return {name: "integer" if kind.startswith("uint") else kind
            for kind, name in re.findall(r"^  (\w+) (\w+) = \d+;", body, re.M)}


def documented(section):
    text = (ROOT / "docs/json.md").read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.M))


@pytest.mark.parametrize("section", ROWS)
def test_documented_keys_are_the_schemas_ARCH_7(section):
    assert documented(section) == schema(ROWS[section])


def test_listings_are_documented_ARCH_7():
    told = subprocess.run([TURNOUTCTL, "help", "show"], text=True, capture_output=True, check=True).stdout
    listings = re.findall(r"^  (\w+) ", told.split("\nListings:\n")[1].split("\n\n")[0], re.M)
    assert set(listings) <= set(ROWS)


def test_version_prints_what_is_documented_ARCH_7(tmp_path):
    told = subprocess.run([TURNOUTCTL, "version", "--json", "--run-dir", tmp_path], text=True, capture_output=True)
    (row,) = json.loads(told.stdout)["version"]
    assert set(row) == set(documented("version")) | {"daemon"}
