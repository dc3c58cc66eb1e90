# SPDX-License-Identifier: BSD-2-Clause
"""The chart of the README, as SVG: bars of medians with their ranges, a panel a question.

Pure: rows in, text out.  A bar whose row is missing is not drawn.  Must not know how anything was measured.
"""
import html

WIDTH, LABEL, RIGHT = 760, 190, 120
BAR, GAP, HEAD, FOOT = 16, 6, 30, 16
COLOURS = {"turnout": "#1f6f8b", "other": "#a9b4bd"}
NAMES = {"kernel": "plain forwarding", "direct": "plain forwarding", "nft": "nft DNAT", "haproxy": "haproxy", "ring": "Turnout, ring",
         "tc": "Turnout, tc", "xdp": "Turnout, XDP", "auto": "Turnout, auto", "bpf_hash": "NAT with a BPF hash"}
PPS = ("kernel", "nft", "ring", "tc", "xdp")
# Title, and (subject, row) of each bar.
PANELS = [
    *((f"NAT of small packets, {text} (million packets a second, one processor)",
       [(s, f"pps.{s}.nat.{n}") for s in PPS]) for n, text in (("1", "1 flow"), ("10k", "10,000 flows"), ("1m", "1 million flows"))),
    ("TCP throughput (Gbit/s)", [(s, f"tcp.throughput.{s}") for s in ("direct", "nft", "haproxy", "ring", "tc", "xdp")]),
    ("New connection for each request (thousand a second)",
     [(s, f"tcp.connections.{s}") for s in ("direct", "nft", "haproxy", "ring", "auto")]),
    ("Answer on an open connection, median (us; less is better)",
     [(s, f"latency.established.{s}") for s in ("direct", "nft", "haproxy", "ring", "tc")]),
]
SCALE = {"packets/s": 1e-6, "connections/s": 1e-3}


def bar(y, subject, row, most):
    scale, room = SCALE.get(row["unit"], 1), WIDTH - LABEL - RIGHT
    median, low, high = (row[k] * scale for k in ("median", "min", "max"))
    kind = "turnout" if NAMES[subject].startswith("Turnout") else "other"
    middle = y + BAR / 2

    def x(value):
        return LABEL + room * value / most
    return [f'<text x="{LABEL - 8}" y="{middle + 4}" text-anchor="end">{html.escape(NAMES[subject])}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{x(median) - LABEL:.1f}" height="{BAR}" fill="{COLOURS[kind]}"/>',
            f'<path d="M{x(low):.1f} {middle}H{x(high):.1f}M{x(low):.1f} {y + 4}v{BAR - 8}M{x(high):.1f} {y + 4}v{BAR - 8}" '
            'stroke="#222" fill="none"/>',
            f'<text x="{x(high) + 6:.1f}" y="{middle + 4}">{median:.3g}</text>']


def panel(y, title, bars):
    most = max(row["max"] * SCALE.get(row["unit"], 1) for _, row in bars)
    lines = [f'<text x="12" y="{y + 18}" font-weight="bold">{html.escape(title)}</text>']
    y += HEAD
    for subject, row in bars:
        lines += bar(y, subject, row, most)
        y += BAR + GAP
    return lines, y + FOOT


def draw(results):
    """results: as in results.json.  "" when there is nothing to draw."""
    rows = {row["id"]: row for row in results["rows"]}
    lines, y = [], 8
    for title, wanted in PANELS:
        bars = [(subject, rows[name]) for subject, name in wanted if name in rows]
        if bars:
            more, y = panel(y, title, bars)
            lines += more
    if not lines:
        return ""
    machine = results["machine"]
    note = (f"{machine['processor']}, {machine['processors']} processors, Linux {machine['kernel']}, {machine['date']}; medians, "
            "ranges as lines")
    lines.append(f'<text x="12" y="{y + 6}" fill="#555">{html.escape(note)}</text>')
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 18}" viewBox="0 0 {WIDTH} {y + 18}" '
                      'font-family="sans-serif" font-size="12" fill="#222">',
                      '<rect width="100%" height="100%" fill="#fff"/>', *lines, "</svg>"]) + "\n"
