# SPDX-License-Identifier: BSD-2-Clause
"""Who is not served is told so at once: by a filter's rule that rejects, and by a service of which no server is up.

Every test leaves the lab with the configuration it found.
"""
import errno
import socket

from conftest import until
from peer import namespace
from test_cascade import ROUTERS, at_agents, on_sm2, second
from test_failures import Download, host
from test_smd import configured, service
from turnoutlab.topology import VIPS

VIP4, VIP6 = VIPS
ECHO = 7
RULES = """\
filters:
  - name: border
    precedence: 10
    rules:
      - {action: permit, source: 10.0.2.0/24, protocol: tcp, port: 8080}
      - {action: reject, source: 10.0.2.0/24}
      - {action: reject, source: "fd00:2::/64"}
"""


def refused(lab, client, vip, port=80):
    """Does a real client hear it, long before it would give up by itself?"""
    done = lab.run(client, "curl", "-sv", "-g", "--max-time", "20", f"http://{host(vip)}:{port}/", check=False, timeout=30)
    assert done.returncode in (0, 7), done.stderr  # 28 would be its patience
    if done.returncode == 7:
        assert "Connection refused" in done.stderr, done.stderr
    return done.returncode == 7


def udp_error(lab, client, vip):
    """The error a connected UDP socket gets to its datagram; 0: none in two seconds, or an answer."""
    with namespace(lab.netns(client)), socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET,
                                                     socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        s.connect((vip, ECHO))
        try:
            s.send(b"x")
            s.recv(10)
        except TimeoutError:
            return 0
        except OSError as error:
            return error.errno
    return 0


def sums(lab, group, name):
    return sum(lab.counters(r, "fad")[group, name] for r in ROUTERS)


def test_rule_that_rejects_is_heard_at_once_SVC_5_FIX_3(healthy):
    head, _ = on_sm2(healthy, "border")
    before = sums(healthy, "packets", "resets-made")
    with Download(healthy, client="client2", vip=VIP6) as cut, second(healthy, "border", head + RULES):
        assert until(lambda: at_agents(healthy, "border") == [3, 3], 10), at_agents(healthy, "border")
        actions = [row["actions"] for row in healthy.rows("sm2", "border", "wildcards")]
        assert actions == ["go on", "reject", "reject"]
        told = [row["actions"] for row in healthy.rows("r1", "fad", "wildcards") if row["manager"] == "border"]
        assert sorted(told) == ["none", "reject as prohibited", "reject as prohibited"]
        # What stands ends, too, and without waiting for it.
        assert until(lambda: not cut.going(), 20)
        for vip in VIPS:
            assert refused(healthy, "client2", vip)
            assert healthy.who("client1", vip)[0]
        assert not refused(healthy, "client2", VIP4, 8080)
        assert udp_error(healthy, "client2", VIP4) == errno.EHOSTUNREACH
        assert udp_error(healthy, "client2", VIP6) == errno.EACCES
        # Its own servers' addresses, too: not only what is a service's.
        assert refused(healthy, "client2", healthy.address("web1", "lan"))
        assert sums(healthy, "packets", "resets-made") >= before + 3
        assert sums(healthy, "drops", "rejected") >= 5
        story = healthy.ctl("r1", "trace", "tcp", f"{healthy.address('client2', 'core')}:4000", f"{VIP4}:80").stdout
        assert "reject as prohibited" in story and "its sender is told" in story, story


def test_service_without_servers_refuses_at_once_SVC_2_FIX_3(healthy):
    """Checks find nobody at a wrong port; the VIPs stay announced."""
    def change(text):
        for name in ("web", "echo"):
            text = service(text, name, "    method: maglev\n", "    method: maglev\n    when-empty: reject\n")
            text = service(text, name, "      port: 80\n      interval", "      port: 81\n      interval")
        return text

    with configured(healthy, change):
        for vip in VIPS:
            assert until(lambda v=vip: refused(healthy, "client1", v), 10)
            assert until(lambda v=vip: udp_error(healthy, "client1", v) == errno.ECONNREFUSED, 10)
        assert [len(healthy.next_hops("core", vip)) for vip in VIPS] == [2, 2]
        rows = {(row["name"], row["vip"]): row for row in healthy.rows("sm1", "smd", "services")}
        assert (rows["web", VIP4]["state"], int(rows["web", VIP4]["servers"])) == ("announced", 0)
        assert not refused(healthy, "client1", VIP4, 8080)
    assert until(lambda: not refused(healthy, "client1", VIP4), 10)
