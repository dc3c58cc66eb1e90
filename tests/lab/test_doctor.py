# SPDX-License-Identifier: BSD-2-Clause
"""turnoutctl doctor in a running lab: a healthy one has no error, and each thing broken on purpose is named.

Every test puts back what it broke.
"""
import contextlib
import json
import os
import pathlib
import signal

import pytest

from conftest import until
from turnoutlab.topology import VIPS


def doctor(lab, node, timeout="2000"):
    """(exit status, findings) of a node."""
    done = lab.ctl(node, "--json", "--timeout", timeout, "doctor", check=False)
    assert done.returncode in (0, 1), done
    return done.returncode, json.loads(done.stdout)["findings"]


def found(lab, node, check, severity="error", timeout="2000"):
    """The findings of one check, demanding that the exit status tells of them."""
    status, findings = doctor(lab, node, timeout)
    wanted = [f for f in findings if (f["check"], f["severity"]) == (check, severity)]
    assert not wanted or status == 1
    return wanted


@contextlib.contextmanager
def sysctl(lab, node, name, value):
    before = lab.run(node, "sysctl", "-n", name).stdout.strip()
    lab.run(node, "sysctl", "-qw", f"{name}={value}")
    try:
        yield
    finally:
        lab.run(node, "sysctl", "-qw", f"{name}={before}")


def forget_strangers(lab, node):
    """Managers that earlier tests played are silent now, which is an error until the agent forgets them."""
    if node.startswith("r") and any(row["state"] == "silent" for row in lab.rows(node, "fad", "managers")):
        lab.stop(node, "fad")
        lab.start(node, "fad")
        assert until(lambda: lab.rows(node, "fad", "wildcards"), 15)
        for vip in VIPS:
            assert until(lambda v=vip: len(lab.next_hops("core", v)) == 2, 10), vip


@pytest.mark.parametrize("node", ["r1", "r2", "sm1"])
def test_healthy_lab_has_no_error_ARCH_7(healthy, node):
    forget_strangers(healthy, node)
    status, findings = doctor(healthy, node)
    # What earlier tests made happen, such as messages with a wrong key, stays counted.
    bad = [f for f in findings if f["severity"] in ("error", "warning") and f["check"] not in ("messages", "counter")]
    assert not bad and not [f for f in findings if f["severity"] == "unchecked"], findings
    assert status == (1 if [f for f in findings if f["severity"] == "warning"] else 0)
    words = healthy.ctl(node, "doctor", check=False).stdout
    assert "0 errors" in words and "checks found nothing wrong" in words


def test_kernel_settings_are_named_with_their_repair_FA_10(healthy):
    with sysctl(healthy, "r1", "net.ipv4.conf.all.rp_filter", 1):
        finding, = found(healthy, "r1", "rp-filter")
        assert finding["subject"] == "all" and finding["fix"] == "sysctl -w net.ipv4.conf.all.rp_filter=0"
        assert not found(healthy, "r2", "rp-filter")
    with sysctl(healthy, "r1", "net.ipv4.conf.lan.rp_filter", 1):
        finding, = found(healthy, "r1", "rp-filter")
        assert finding["subject"] == "lan"
    with sysctl(healthy, "r1", "net.ipv4.ip_forward", 0):
        finding, = found(healthy, "r1", "forwarding")
        assert "IPv4" in finding["text"]
        healthy.run("r1", *finding["fix"].split())  # the repair is a command that repairs
        assert not found(healthy, "r1", "forwarding")
    assert not found(healthy, "r1", "rp-filter")


def test_firewall_and_filters_in_the_way_are_named_FA_10(healthy):
    rules = ("add table inet odd; add chain inet odd through { type filter hook forward priority 0; }; "
             "add rule inet odd through ct state invalid counter")
    healthy.run("r1", "nft", rules)
    try:
        finding, = found(healthy, "r1", "conntrack", "warning")
        assert finding["subject"] == "inet odd through" and "notrack" in finding["fix"]
    finally:
        healthy.run("r1", "nft", "delete table inet odd")
    assert not found(healthy, "r1", "conntrack", "warning")
    made = healthy.run("r1", "tc", "filter", "add", "dev", "lan", "ingress", "pref", "7", "protocol", "ip", "u32",
                       "match", "ip", "dst", "192.0.2.77/32", "flowid", "1:1", check=False)
    assert made.returncode == 0, made.stderr
    try:
        finding, = found(healthy, "r1", "tc-filter", "warning")
        assert finding["subject"] == "lan" and "u32" in finding["text"]
    finally:
        healthy.run("r1", "tc", "filter", "del", "dev", "lan", "ingress", "pref", "7", "protocol", "ip")
    assert not found(healthy, "r1", "tc-filter", "warning")


def test_dead_and_hung_daemons_are_told_apart_ARCH_7(healthy):
    healthy.stop("r2", "fad", kill=True)
    try:
        finding, = found(healthy, "r2", "daemon")
        assert finding["daemon"] == "fad" and "does not run" in finding["text"]
    finally:
        healthy.start("r2", "fad")
    pid = healthy.pid("sm1", "smd")
    os.kill(pid, signal.SIGSTOP)
    try:
        finding, = found(healthy, "sm1", "daemon", timeout="300")
        assert finding["daemon"] == "smd" and "does not answer" in finding["text"]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert not found(healthy, "sm1", "daemon")


def test_missing_routing_and_redistribution_are_named_ACT_3(healthy):
    change = ["vtysh", "-c", "configure terminal", "-c", "router bgp 65002", "-c", "address-family ipv4 unicast"]
    asn = healthy.run("r2", "vtysh", "-c", "show running-config").stdout.split("router bgp ")[1].split()[0]
    change[4] = f"router bgp {asn}"
    healthy.run("r2", *change, "-c", "no redistribute kernel")
    try:
        finding, = found(healthy, "r2", "redistribute")
        assert finding["subject"] == "IPv4"
    finally:
        healthy.run("r2", *change, "-c", "redistribute kernel route-map VIP-OUT")
    assert not found(healthy, "r2", "redistribute")
    healthy.stop("r2", "frr")
    try:
        finding, = found(healthy, "r2", "frr")
        assert "zebra does not answer" in finding["text"]
    finally:
        healthy.start("r2", "frr")
    assert until(lambda: not found(healthy, "r2", "frr"), 10)


def test_another_key_is_named_on_both_sides_SEC_1(healthy):
    config = pathlib.Path(healthy.node("r2")["configs"]["fad"])
    before = config.read_text()
    other = config.parent / "other-key"
    other.write_text("not the lab's secret\n")
    other.chmod(0o600)
    config.write_text(before.replace(str(healthy.state["key"]), str(other)))
    healthy.stop("r2", "fad")
    healthy.start("r2", "fad")
    try:
        finding, = until(lambda: [f for f in found(healthy, "r2", "peer") if "signature" in f["text"]], 15)
        assert "knows no manager" in finding["text"] and "key" in finding["fix"]

        def manager_says():
            return [f for f in doctor(healthy, "sm1")[1] if "signature" in f["text"]]

        finding, *_ = until(manager_says, 15)
        assert finding["severity"] in ("error", "warning")
    finally:
        config.write_text(before)
        healthy.stop("r2", "fad")
        healthy.start("r2", "fad")
        other.unlink()
    assert until(lambda: not found(healthy, "r2", "peer"), 15)


def test_servers_that_are_down_are_named_ARCH_7(healthy):
    healthy.stop("web1", "nginx")
    try:
        findings = until(lambda: found(healthy, "sm1", "server", "warning"), 5)
        assert {f["subject"] for f in findings} == {"web1"} and "refused" in findings[0]["text"]
    finally:
        healthy.start("web1", "nginx")
    assert until(lambda: not found(healthy, "sm1", "server", "warning"), 10)


def test_a_host_without_daemons_is_told_so_ARCH_7(healthy):
    status, findings = doctor(healthy, "core")
    assert status == 1 and findings[0]["check"] == "daemon" and "no daemon of Turnout runs here" in findings[0]["text"]
    # What the kernel can do was tried out, in a namespace that is gone.
    assert not [f for f in findings if f["check"] == "kernel"], findings
