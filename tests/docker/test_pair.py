# SPDX-License-Identifier: BSD-2-Clause
"""The tests of the lab in namespaces that make sense in containers, as they are; and what only containers have."""
import subprocess

import pytest
import yaml

pytest.register_assert_rewrite("test_basic", "test_failures")
from conftest import COMPOSE_FILE, until  # noqa: E402
from test_basic import *  # noqa: E402,F401,F403  all of them
from test_failures import (  # noqa: E402,F401
    test_dead_server_is_taken_out_and_comes_back_SVC_2, test_killed_agent_is_withdrawn_and_its_peer_serves_all_ARCH_3_ACT_3,
    test_killed_glue_withdraws_at_once_and_comes_back_ACT_3)
from turnoutlab import topology  # noqa: E402

MAKE_COMPOSE = COMPOSE_FILE.parent / "make-compose"


def test_compose_file_is_the_topology():
    assert subprocess.run([MAKE_COMPOSE], stdout=subprocess.PIPE, text=True, check=True).stdout == COMPOSE_FILE.read_text()


def test_one_service_builds_the_image_and_none_pulls_it():
    """Compose v2 lets a build fail when another one makes the same name meanwhile, and asks a registry for what it cannot build."""
    services = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    builders = [name for name, service in services.items() if "build" in service]
    assert len(builders) == 1 and len({service["image"] for service in services.values()}) == 1
    for name, service in services.items():
        assert service["pull_policy"] == "never"
        assert name in builders or service["depends_on"] == builders


@pytest.mark.parametrize("command", ["turnoutctl show affinities", "turnoutctl doctor", "vtysh -c 'show ip bgp'"])
def test_tools_are_in_the_path_of_a_router(healthy, command):
    done = healthy.run("r1", "sh", "-c", command, check=False)
    assert done.stdout and done.returncode in (0, 1), done


def test_nothing_of_the_engines_network_is_left(healthy):
    """Addresses are the topology's; the only default routes are its."""
    for node in healthy.shape.nodes.values():
        if not node.hidden:
            text = healthy.run(node.name, "ip", "-br", "address").stdout
            for addresses in node.interfaces.values():
                assert all(address in text for address in addresses), text
            found = healthy.run(node.name, "ip", "route", "show", "default").stdout
            assert ".254" not in found and bool(found) == bool(node.gateways), found


def neighbours(lab):
    """What core's and r2's BGP say, for a test that misses a route."""
    return "".join(lab.run(node, "vtysh", "-c", "show bgp summary", "-c", "show bgp ipv6", check=False).stdout
                   for node in ("core", "r2"))


def test_a_container_restarted_comes_back(healthy):
    subprocess.run(["docker", "restart", "-t", "5", healthy.ids["r2"]], check=True, stdout=subprocess.PIPE, timeout=60)
    assert until(lambda: healthy.ready("r2"), 30)
    for vip in topology.VIPS:
        assert until(lambda v=vip: len(healthy.next_hops("core", v)) == 2, 30), neighbours(healthy) + healthy.logs()
        assert until(lambda v=vip: healthy.who("client1", v)[0].startswith("web"), 10)


def test_container_stops_by_itself(healthy):
    """SIGTERM is heeded: nothing waits for the engine's SIGKILL."""
    name = healthy.ids["sm2"]
    subprocess.run(["docker", "stop", "-t", "20", name], check=True, stdout=subprocess.PIPE, timeout=60)
    code = subprocess.run(["docker", "inspect", "-f", "{{.State.ExitCode}}", name], stdout=subprocess.PIPE, text=True).stdout
    subprocess.run(["docker", "start", name], check=True, stdout=subprocess.PIPE, timeout=60)
    assert code.strip() == "0"
    assert until(lambda: healthy.ready("sm2"), 30)


def test_image_has_no_compiler_and_is_small(healthy):
    assert healthy.run("r1", "sh", "-c", "command -v gcc clang make", check=False).stdout == ""
    size = subprocess.run(["docker", "inspect", "-f", "{{.Image}}", healthy.ids["r1"]], stdout=subprocess.PIPE, text=True)
    size = subprocess.run(["docker", "image", "inspect", "-f", "{{.Size}}", size.stdout.strip()], stdout=subprocess.PIPE,
                          text=True)
    assert int(size.stdout) < 300_000_000, size.stdout
