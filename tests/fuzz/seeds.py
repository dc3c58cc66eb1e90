#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Seeds for the fuzzers out of the test vectors and the model's scenarios: seeds.py DIRECTORY.

DIRECTORY/proto-wire gets the bytes of every message, good or bad; fad-packet
the packets inside them, ICMP errors and fragments, behind the eight bytes that
say what is done to it; fad-engine scenarios of the reference model as steps;
proto-session and smd-manager the messages as steps; the configurations what the
examples say; the others, one of each thing that they read.
Knows the text format of tests/vectors, and of messages only how to find a segment.
"""
import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
VECTORS = ROOT / "tests/vectors"
HEADER, IP_PACKET = 40, 15
CHOICES = (bytes(8), bytes.fromhex("0f50010201000a01"), bytes.fromhex("8f00ffff00000002"))
SCENARIOS, STEPS = 4, 40  # of each group, and steps in each
# Operations as in fad/engine_fuzz.c and smd/manager_fuzz.c.
ENGINE = {"packet": 0, "message": 1, "at": 2, "fail": 3, "admin": 4}
MANAGER = {"message": 0, "time": 1}
ADMIN_KINDS = (*range(10, 21), 30, 40, 51)  # fields of Request without anything in them
# Configurations: which fuzzer reads which files.
DOCTOR = {"ruleset": 0, "frr": 1, "listing": 2}
RULESET = (b'{"nftables": [{"metainfo": {}}, {"table": {"family": "inet", "name": "f"}}, {"chain": {"family": "inet", '
           b'"table": "f", "name": "fwd", "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}, {"rule": '
           b'{"family": "inet", "table": "f", "chain": "fwd", "expr": [{"match": {"op": "==", "left": {"ct": {"key": '
           b'"state"}}, "right": ["established"]}}, {"accept": null}]}}, {"rule": {"family": "ip", "table": "f", "chain": '
           b'"fwd", "expr": [{"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "tn-punt0"}}, '
           b'{"fib": {"result": "oif"}}, {"masquerade": null}, {"drop": null}]}}]}')
FRR_CONFIG = (b"router bgp 65001\n address-family ipv4 unicast\n  redistribute kernel route-map VIP-OUT\n exit-address-family\n"
              b"exit\nrouter ospf\n redistribute kernel\nexit\n!\nroute-map VIP-OUT permit 10\n match interface vip0\nexit\n")
FRR_TABLE = (b'{"203.0.113.10/32":[{"prefix":"203.0.113.10/32","protocol":"kernel","vrfId":0,"selected":true,"table":254,'
             b'"nexthops":[{"fib":true,"interfaceName":"vip0","active":true}]}],"198.51.100.0/24":[{"protocol":"kernel",'
             b'"selected":true,"vrfId":0,"nexthops":[{"interfaceName":"eth0"},{"interfaceName":"vip0"}]}]}\0\0\0\0')
EXAMPLES = {"smd-config": "smd/*.yaml", "fad-config": "fad/*.yaml", "routed-glue-config": "routed-glue/*.yaml"}


def bytes_of(path):
    """The message in a vector file: hex up to two spaces, up to the line of dashes."""
    head = path.read_text().partition("\n---\n")[0]
    return bytes.fromhex("".join(line.split("  ")[0] for line in head.splitlines() if not line.startswith("#")))


def packet_of(message):
    """The IP packet segment's contents, or None."""
    at = HEADER
    while at + 4 <= len(message):
        kind, _, size = struct.unpack_from("!BBH", message, at)
        if kind == IP_PACKET:
            return message[at + 4:at + 4 + size]
        at += 4 + size
    return None


def step(operation, data):
    return struct.pack("!BH", operation, len(data)) + data


def admin_request(number, limit=2):
    """Request with an id, a page limit, and the empty message of this number."""
    return bytes((8, 1, 24, limit)) + bytes((number << 3 & 0x7f | 0x82, number >> 4, 0))


def engine_scenario(player):
    """A scenario of tests/model as fad/engine_fuzz.c reads it."""
    limits, now = player.steps[0].what[1], 1000000
    out = bytearray((limits.uncovered << 2 | limits.protected << 3 | (not limits.authenticated) << 4,
                     1 if min(limits.fixed, limits.wildcards, limits.flows, limits.packets) < 5 else 0))
    for what in (s.what for s in player.steps[1:]):
        if what[0] == "packet":
            how = 0
            if what[2] != "-":
                partial, _, _, size, _ = map(int, what[2].split(","))
                how = (4 if partial else 0) | (8 | min(size // 100, 15) << 4 if size else 0)
            out += step(ENGINE["packet"], bytes((how,)) + what[3])
        elif what[0] == "message":
            cookie = player.cookie(what[4])
            out += step(ENGINE["message"], bytes((int(what[1].rpartition(".")[2]),
                                                  0 if cookie is None else min(cookie + 1, 255))) + what[3])
        elif what[0] == "at":
            ms, now = what[1] - now, what[1]
            out += step(ENGINE["at"], struct.pack("!H", ms if ms < 0x8000 else min(0xffff, 0x8000 + ms // 50)))
        elif what[0] == "fail":
            out += step(ENGINE["fail"], bytes((2 if what[2] else 0,)))
        elif what[0] == "state":
            for number in ADMIN_KINDS:
                out += step(ENGINE["admin"], admin_request(number))
    return bytes(out)


def write_scenarios(directory):
    sys.path.insert(0, str(ROOT / "tests/model"))
    import scenario  # noqa: E402
    for group, profile in scenario.GROUPS.items():
        for seed in range(SCENARIOS):
            player = scenario.Maker(seed, profile).make(STEPS)
            (directory / f"{group}-{seed}").write_bytes(engine_scenario(player))


def write_packets(directory):
    # ICMP errors and fragments: some of each kind.
    for path in sorted([*VECTORS.glob("packets/errors*.txt"), VECTORS / "packets/fragments.txt"]):
        packets = [bytes.fromhex(line[3:]) for line in path.read_text().splitlines() if line.startswith("in ")]
        for number, packet in enumerate(packets[::5]):
            (directory / f"{path.stem}-{number}").write_bytes(CHOICES[1 + number % 2] + packet)


def varint(value):
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number, value):
    """A protobuf field: of bytes, or a number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def schema():
    """{message: [(field's name, its type, its number)]} of proto/admin.proto."""
    messages, name = {}, None
    for line in (ROOT / "proto/admin.proto").read_text().splitlines():
        begins = re.match(r"message (\w+)", line)
        has = re.match(r"\s+(repeated )?(\w+) (\w+) = (\d+);", line)
        if begins:
            name = begins[1]
            messages[name] = []
        elif has and name:
            messages[name].append((has[3], has[2], int(has[4])))
    return messages


def example(messages, name):
    """A message with each field set once."""
    out = b""
    for word, kind, number in messages[name]:
        if kind in messages:
            out += field(number, example(messages, kind))
        elif kind in ("string", "bytes"):
            out += field(number, b"203.0.113.10/32" if word in ("add", "remove", "prefixes", "prefix") else word.encode())
        elif kind == "fixed64":
            out += varint(number << 3 | 1) + bytes(8)
        else:
            out += field(number, 1)
    return out


def netlink(kind, fixed, *attributes):
    """One message, with attributes (type, bytes)."""
    body = fixed
    for number, value in attributes:
        body += struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def write_glue(frr, kernel, glue, messages):
    (frr / "table").write_bytes(b"\xff" + FRR_TABLE)
    route = struct.pack("BBBBBBBBI", 2, 32, 0, 0, 254, 186, 253, 1, 0)
    (kernel / "all").write_bytes(
        netlink(24, route, (1, bytes((203, 0, 113, 10))), (4, struct.pack("=I", 7)), (6, struct.pack("=I", 20))) +
        netlink(25, struct.pack("BBBBBBBBI", 10, 128, 0, 0, 254, 3, 0, 1, 0), (1, bytes(16)), (4, struct.pack("=I", 2))) +
        netlink(16, struct.pack("=BxHiII", 0, 1, 7, 1, 0), (3, b"vip0\0"), (23, bytes(200))) +
        netlink(20, struct.pack("=BBBBI", 2, 32, 0, 0, 7), (2, bytes((192, 0, 0, 8)))))
    heartbeat = field(2, 1) + field(11, field(1, 1))
    steps = [step(0, b"\0" + field(2, n) + field(number, example(messages, kind)))
             for n, (_, kind, number) in enumerate(messages["Event"]) if kind in messages]
    page = field(1, 1) + b"".join(field(number, example(messages, kind)) for _, kind, number in messages["Reply"]
                                  if kind == "Advertised")
    whole = step(0, b"\0" + heartbeat) + step(1, b"\0" + page) + step(2, b"\0\x32") + step(3, b"")
    for number, some in enumerate(steps):
        (glue / f"event-{number}").write_bytes(whole + some + step(3, b"\0\3") + step(2, b"\x0f\xff") + step(3, b""))
    (glue / "admin").write_bytes(whole + b"".join(step(5, admin_request(n)) for n in ADMIN_KINDS))


def write_ctl(doctor, show, messages):
    listings = [(kind, number) for _, kind, number in messages["Reply"] if kind in messages]
    pages = b"".join(step(DOCTOR["listing"], bytes((n % 3, n)) + field(number, example(messages, kind)))
                     for n, (kind, number) in enumerate(listings))
    (doctor / "all").write_bytes(step(DOCTOR["ruleset"], RULESET) + step(DOCTOR["frr"], FRR_CONFIG) + pages)
    (doctor / "ruleset").write_bytes(step(DOCTOR["ruleset"], RULESET))
    (doctor / "frr").write_bytes(step(DOCTOR["frr"], FRR_CONFIG))
    for kind, number in listings:
        (show / f"reply-{number}").write_bytes(b"\0" + field(number, example(messages, kind)))
    for _, kind, number in messages["Event"]:
        if kind in messages:
            (show / f"event-{number}").write_bytes(b"\1" + field(2, 1) + field(number, example(messages, kind)))


def main(target):
    def directory(name):
        (target / name).mkdir(parents=True, exist_ok=True)
        return target / name

    write_packets(directory("fad-packet"))
    write_scenarios(directory("fad-engine"))
    good = []
    for path in sorted(VECTORS.glob("messages*/*.txt")):
        message = bytes_of(path)
        (directory("proto-wire") / path.stem).write_bytes(message)
        if path.parent.name == "messages":
            good.append(message)
        packet = packet_of(message)
        for number, choice in enumerate(CHOICES if packet else ()):
            (directory("fad-packet") / f"{path.stem}-{number}").write_bytes(choice + packet)
    for number in range(0, len(good), 4):
        some = good[number:number + 4]
        (directory("proto-session") / f"messages-{number}").write_bytes(
            b"".join(step(0, b"\0\0" + message) for message in some))
        (directory("smd-manager") / f"messages-{number}").write_bytes(
            b"\0" + b"".join(step(MANAGER["message"], message) for message in some) + step(MANAGER["time"], b"\1\0"))
    messages = schema()
    write_glue(directory("routed-glue-frr"), directory("routed-glue-kernel"), directory("routed-glue-glue"), messages)
    write_ctl(directory("ctl-doctor"), directory("ctl-show"), messages)
    for name, pattern in EXAMPLES.items():
        for path in sorted(ROOT.glob(pattern)):
            (directory(name) / path.name).write_bytes(path.read_bytes())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
