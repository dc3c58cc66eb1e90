# SPDX-License-Identifier: BSD-2-Clause
"""turnoutctl capture in a running lab: what agents punt, get back and drop, as lines and as files others read."""
import contextlib
import io
import json
import os
import select
import signal
import subprocess
import time

from scapy.layers.inet import IP, TCP, UDP
from scapy.utils import PcapReader, rdpcap

from conftest import until
from turnoutlab.topology import ECHO_PORT, VIPS

VIP4, VIP6 = VIPS
SENDER = """
import socket, sys
for port in range(int(sys.argv[2]), int(sys.argv[2]) + 8):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", port))
    for _ in range(8):
        s.sendto(b"hello", (sys.argv[1], int(sys.argv[3])))
"""


class Capture:
    """turnoutctl capture in the background; entered when it sees everything."""

    def __init__(self, lab, node, *arguments):
        self.process = lab.popen(node, "turnoutctl", "capture", *arguments, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        self.output, self.errors = b"", b""

    def __enter__(self):
        assert select.select([self.process.stderr], [], [], 15)[0], "it does not begin"
        first = self.process.stderr.readline()
        assert first.startswith(b"capturing at fad"), first + self.process.stderr.read()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.output, self.errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, self.errors

    def lines(self):
        return self.output.decode().splitlines()


def connect(lab, count=8, vip=VIP4):
    """Some new connections: each router sees some of them, at least one direction."""
    host = f"[{vip}]" if ":" in vip else vip
    for _ in range(count):
        lab.curl("client1", f"http://{host}/")


def send_datagrams(lab, first_port):
    """Eight datagrams each of eight flows, at once: more than an unanswered flow is asked about."""
    lab.run("client1", "python3", "-c", SENDER, VIP4, str(first_port), str(ECHO_PORT))


def test_punts_of_new_connections_are_in_a_file_that_others_read_ARCH_7(healthy, tmp_path):
    path = tmp_path / "punts.pcap"
    path.parent.chmod(0o755)
    with Capture(healthy, "r1", "--punts", "-w", str(path), "tcp") as capture:
        connect(healthy)
    packets = rdpcap(str(path))
    assert packets and all(TCP in p for p in packets)
    # A punt is the first packet of a direction: to the VIP, or a server's answer.
    assert {str(p[TCP].flags) for p in packets} <= {"S", "SA"}
    assert all(VIP4 == p[IP].dst or p[TCP].sport == 80 for p in packets)
    assert len(capture.lines()) == len(packets)
    assert all(" fad punt punted " in line for line in capture.lines()), capture.output
    said = subprocess.run(["tcpdump", "-nr", str(path)], capture_output=True, text=True, check=True).stdout
    assert said.count("Flags [S") == len(packets), said
    assert f"{len(packets)} packets captured".encode() in capture.errors


def test_packets_come_back_and_json_says_it_ARCH_7(healthy):
    with Capture(healthy, "r1", "--json", "ip6") as capture:
        connect(healthy, vip=VIP6)
    rows = [json.loads(line) for line in capture.lines()]
    assert {"punt", "returned"} == {row["kind"] for row in rows}
    punted = {(row["source"], row["destination"]) for row in rows if row["kind"] == "punt"}
    returned = {(row["source"], row["destination"]) for row in rows if row["kind"] == "returned"}
    assert punted == returned and all(row["interface"] for row in rows if row["kind"] == "punt")


def test_drops_carry_the_name_of_their_counter_FA_9(healthy):
    """Without a manager packets wait, and are dropped when nobody answers."""
    healthy.stop("sm1", "smd", kill=True)
    try:
        before = healthy.drops("r1", "fad")["hold-timeout"]
        with Capture(healthy, "r1", "--drops", "udp") as capture:
            send_datagrams(healthy, 30100)
            assert until(lambda: healthy.drops("r1", "fad")["hold-timeout"] > before, 5)
            time.sleep(0.5)
        counted = healthy.drops("r1", "fad")["hold-timeout"] - before
        lines = capture.lines()
        assert len(lines) == counted and all(" fad drop hold-timeout core udp " in line for line in lines), lines
        with Capture(healthy, "r1", "--reason", "hold-full") as capture:
            send_datagrams(healthy, 30200)
            time.sleep(1.5)
        assert capture.lines() == []
    finally:
        healthy.start("sm1", "smd")


def test_drops_in_the_kernel_are_seen_with_their_reason_FA_9_ACT_3(healthy, tmp_path):
    """Ports of a VIP that no service has: the classifier drops what is sent there; whoever looks on sees it."""
    path = tmp_path / "unserved.pcap"
    path.parent.chmod(0o755)
    before = {r: healthy.drops(r, "fad")["advertised-unmatched"] for r in ("r1", "r2")}
    with Capture(healthy, "r1", "--reason", "advertised-unmatched", "-w", str(path), "udp") as one, \
            Capture(healthy, "r2", "--json", "--drops", "udp") as two:
        healthy.run("client1", "python3", "-c", SENDER, VIP4, "30400", "9999")
        time.sleep(0.5)
    counted = {r: healthy.drops(r, "fad")["advertised-unmatched"] - n for r, n in before.items()}
    assert sum(counted.values()) == 64, counted  # each once, though it was shown
    assert all(" fad drop advertised-unmatched core udp " in line for line in one.lines()), one.output
    packets = rdpcap(str(path))
    assert len(one.lines()) == len(packets) == counted["r1"]
    assert all((p[IP].dst, p[UDP].dport, bytes(p[UDP].payload)) == (VIP4, 9999, b"hello") for p in packets)
    rows = [json.loads(line) for line in two.lines()]
    assert len(rows) == counted["r2"]
    assert {(r["kind"], r["reason"], r["interface"]) for r in rows} <= {("drop", "advertised-unmatched", "core")}


def test_a_flood_of_drops_is_bounded_and_punts_go_on_FA_9(healthy):
    """More drops than are shown a second: the rest is counted, new connections are not hurt."""
    flood = SENDER.replace("range(8)", "range(4000)")
    before = {r: healthy.counters(r, "fad") for r in ("r1", "r2")}
    begin = time.monotonic()
    with Capture(healthy, "r1", "--drops", "udp") as one, Capture(healthy, "r2", "--drops", "udp") as two:
        with healthy.popen("client2", "python3", "-c", flood, VIP4, "30500", "9999") as sender:
            connect(healthy)
            assert sender.wait(20) == 0
    seconds = time.monotonic() - begin
    for router, capture in (("r1", one), ("r2", two)):
        after = healthy.counters(router, "fad")
        gone = {key: after[key] - before[router][key] for key in after}
        assert gone[("drops", "punt-port-ring")] == 0
        assert len(capture.lines()) <= 1000 * (seconds + 2)  # a second's is shown that began before, too
        # What was dropped is either shown or said not to have been.
        assert gone[("drops", "advertised-unmatched")] == \
            gone[("capture", "unshown")] + gone[("capture", "skipped")] + gone[("capture", "published")], gone
        if gone[("capture", "unshown")]:
            assert b"more were not shown" in capture.errors
    assert any(b"more were not shown" in c.errors for c in (one, two))


def test_stream_for_wireshark_and_an_end_by_count_ARCH_7(healthy):
    capture = Capture(healthy, "r1", "-w", "-", "--count", "3")
    with capture:
        connect(healthy)
        assert until(lambda: capture.process.poll() is not None, 5)
    packets = list(PcapReader(io.BytesIO(capture.output)))
    assert len(packets) == 3 and all(IP in p for p in packets)
    assert b"3 packets captured" in capture.errors


def test_several_at_once_see_each_its_own_ARCH_7(healthy):
    with Capture(healthy, "r1", "tcp") as tcp, Capture(healthy, "r1", "udp") as udp:
        connect(healthy)
        send_datagrams(healthy, 30300)
        time.sleep(1)
    assert tcp.lines() and all(" tcp " in line for line in tcp.lines())
    assert udp.lines() and all(" udp " in line for line in udp.lines())


def test_who_is_killed_leaves_nothing_on_ARCH_7(healthy):
    def published():
        return healthy.counters("r1", "fad")[("capture", "published")]

    capture = Capture(healthy, "r1")
    try:
        with contextlib.suppress(AssertionError), capture:
            connect(healthy)
            os.kill(capture.process.pid, signal.SIGKILL)
            capture.process.wait()
    finally:
        capture.process.kill()
    time.sleep(4)  # twice the lease
    before = published()
    assert before > 0
    connect(healthy)
    assert published() == before


def test_errors_say_what_to_do_ARCH_7(healthy):
    for arguments, status, text in ((("tcp", "prt", "80"), 2, "filter 'tcp prt 80'"),
                                    (("--reason", "hold"), 1, "show counters"),
                                    (("--from", "routed-glue"), 1, "knows of captures"),
                                    (("-w", "/no/such/file", "--for", "1s"), 1, "/no/such/file"),
                                    (("-w", "/dev/full", "--for", "1s"), 1, "/dev/full: No space left")):
        done = healthy.ctl("r1", "capture", *arguments, check=False)
        assert done.returncode == status and text in done.stderr, done
