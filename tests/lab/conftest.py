# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the lab tests: topologies with real daemons, and where to find them.

Everything goes through the lab's package, which the demo and lab/turnout-lab
use too.  A topology is brought up once for all tests that ask for it, and
taken down at the end whatever happened.  After a failed test the ends of the
lab's logs are printed with it.  Must not know what the tests test.
"""
import collections
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "lab"))
import turnoutlab  # noqa: E402

BUILD = ROOT / os.environ.get("TURNOUT_BUILD", "build/release") / "bin"
# A second run of the tests on one machine sets another one; workers of one run (pytest -n) have one each.
LAB_NAME = "-".join(filter(None, (os.environ.get("TURNOUT_LAB_NAME", "turnout-test"),
                                  os.environ.get("PYTEST_XDIST_WORKER"))))
LOG_LINES = 15
PATIENCE = 3  # so much slower than the machine on which a test was written another one may be


def until(condition, timeout=10.0, interval=0.1):
    """The first true value of condition(), or its last false one when the time is up.

    timeout: seconds that are plenty where nothing else runs; a busy machine gets more.  Where the time is what is
    tested, because the same would come about later in another way, see within().
    """
    return within(condition, timeout * PATIENCE, interval)


def within(condition, seconds, interval=0.1):
    """The same, in this time on any machine."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= deadline:
            return value
        time.sleep(interval)


class Lab(turnoutlab.Lab):
    """A running topology, with what tests want to know of it."""

    def netns(self, node):
        return f"/run/netns/{self.node(node)['namespace']}"

    def address(self, node, interface, family=4):
        return self.node(node)["addresses"][interface][f"ipv{family}"]

    def key(self):
        """The secret that all daemons of the lab share."""
        return pathlib.Path(self.state["key"]).read_bytes().rstrip(b"\n")

    def alive(self, node, daemon):
        return self.pid(node, daemon) is not None

    # ---- what daemons say ----

    def ctl(self, node, *arguments, check=True):
        return self.run(node, "turnoutctl", *arguments, check=check)

    def rows(self, node, daemon, what):
        """The rows of `turnoutctl show WHAT --json` that one daemon answers."""
        found = json.loads(self.ctl(node, "--json", "--from", daemon, "show", what).stdout)
        return found[what]

    def counters(self, node, daemon):
        """{(group, name): value} of a daemon."""
        return {(row["group"], row["name"]): int(row["value"]) for row in self.rows(node, daemon, "counters")}

    def drops(self, node, daemon):
        """{name: value} of its counters of messages and packets dropped."""
        found = collections.Counter()
        for (group, name), value in self.counters(node, daemon).items():
            if "drop" in group:
                found[name] += value
        return found

    # ---- traffic ----

    def curl(self, client, url, *arguments, timeout=5, check=True):
        return self.run(client, "curl", "-sS", "-g", "--max-time", str(timeout), *arguments, url, check=check,
                        timeout=timeout + 10).stdout

    def who(self, client, address, port=80):
        """(server's name, client's address as the server saw it) of one request."""
        host = f"[{address}]" if ":" in address else address
        path = "/" if port == 80 else "/whoami"
        return tuple(self.curl(client, f"http://{host}:{port}{path}").split())

    def logs(self):
        """The ends of the logs of Turnout's daemons, for a reader who has to find out what went wrong."""
        parts = []
        for name, entry in sorted(self.status()["processes"].items()):
            if entry["daemon"] in ("fad", "smd", "routed-glue"):
                lines = pathlib.Path(entry["log"]).read_text(errors="replace").splitlines()[-LOG_LINES:]
                parts.append(f"--- {name}, {'alive' if entry['alive'] else 'DEAD'}\n" + "\n".join(lines))
        return "\n".join(parts)


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: measures time, and so runs while no other test does")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Attach the lab's logs to a failed test."""
    outcome = yield
    report = outcome.get_result()
    labs = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Lab)]
    if report.failed and labs:
        try:
            report.sections.append(("lab logs", labs[0].logs()))
        except Exception as error:  # the test's own failure is the news, not this one
            report.sections.append(("lab logs", f"not available: {error}"))


def bring_up(topology, name):
    """Generator of a fixture: the topology, taken down afterwards in any case."""
    if os.geteuid() != 0:
        pytest.skip("the lab makes network namespaces, which needs root")
    lab = Lab(name)
    lab.down()
    try:
        lab.up(topology, build=str(BUILD), debug=bool(os.environ.get("TURNOUT_DEBUG")))
        yield lab
    except turnoutlab.LabError as error:
        pytest.fail(f"{error}\n{error.log}", pytrace=False)
    finally:
        lab.down()


@pytest.fixture(scope="session")
def lab():
    """Topology `pair`: two routers, three servers, one manager at work."""
    yield from bring_up("pair", LAB_NAME)


@pytest.fixture
def healthy(lab):
    """The pair with every daemon running and every server in use, also after a test that broke something."""
    for name, entry in lab.status()["processes"].items():
        if not entry["alive"] and entry["daemon"] in ("fad", "smd", "routed-glue", "nginx", "udp-echo", "upload-sink"):
            lab.start(entry["node"], entry["daemon"])
    assert until(lambda: {row["state"] for row in lab.rows("sm1", "smd", "servers")} == {"up"}, 10)
    for router in ("r1", "r2"):
        assert until(lambda: lab.rows(router, "fad", "wildcards"), 15), f"no wildcards at {router}"
    for vip in lab.status()["vips"]:
        assert until(lambda: len(lab.next_hops("core", vip)) == 2, 10), f"{vip} is not announced by both routers"
    return lab


@pytest.fixture
def command(tmp_path):
    """Run one of the programs outside any lab; the finished process."""
    def run(program, *arguments, wrap=(), timeout=10):
        return subprocess.run([*wrap, BUILD / program, *arguments], text=True, errors="replace", cwd=tmp_path,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout)
    return run
