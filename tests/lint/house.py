#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""House rules that no compiler knows: each a function (sources, build) -> complaints.

A complaint is `file:line: what`.  Exceptions are not configured here: a rule
that needs one is wrong, or the code is.
"""
import ast
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LONGEST_FUNCTION = 80
OUR_OBJECTS = ("lib", "proto", "fad", "smd", "routed-glue", "ctl")
# Split so that this file passes its own rule.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|stu" r"b(bed|s)?|place" r"holders?|not imple" r"mented)\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SPDX = "SPDX-License-Identifier: "


class Sources:
    """The project's files by kind, relative to its top."""

    def __init__(self):
        self.all = [f for f in self.listed() if (ROOT / f).is_file()]
        self.c = [f for f in self.all if f.suffix == ".c"]
        self.h = [f for f in self.all if f.suffix == ".h"]
        self.markdown = [f for f in self.all if f.suffix == ".md"]
        self.python, self.shell = [], []
        for path in self.all:
            first = self.first_line(path)
            if path.suffix == ".py" or (first.startswith("#!") and "python" in first):
                self.python.append(path)
            elif path.suffix in (".sh", ".bash") or re.match(r"#!.*\b(ba)?sh\b", first):
                self.shell.append(path)

    @staticmethod
    def listed():
        """What git knows or would add; without git, all but what builds leave."""
        done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if done.returncode == 0 and done.stdout:
            return sorted({pathlib.Path(line) for line in done.stdout.splitlines()})
        found = (p.relative_to(ROOT) for p in ROOT.rglob("*") if p.is_file())
        return sorted(p for p in found if p.parts[0] not in ("build", ".git") and "__pycache__" not in p.parts)

    @staticmethod
    def first_line(path):
        with open(ROOT / path, "rb") as f:
            return f.readline(200).decode(errors="replace")


def text_of(path):
    return (ROOT / path).read_text(errors="replace")


def opening(sources, build):
    """Licence first, then a comment saying what the file is for."""
    del build
    complaints = []
    for path in sources.c + sources.h:
        lines = text_of(path).splitlines()[:12]
        if not lines or SPDX not in lines[0]:
            complaints.append(f"{path}:1: the first line is not the SPDX line")
        elif not re.match(r"\s*(/\*|//)", lines[1] if len(lines) > 1 else ""):
            complaints.append(f"{path}:2: no comment saying what the file is for")
    for path in sources.python + sources.shell:
        lines = text_of(path).splitlines()[:6]
        if lines and lines[0].startswith("#!"):
            lines = lines[1:]
        if not lines or SPDX not in lines[0]:
            complaints.append(f"{path}:1: no SPDX line at the top")
        elif not any(re.match(r'(#|r?""")\s*\S', line) for line in lines[1:3]):
            complaints.append(f"{path}:3: no comment or docstring saying what the file is for")
    for path in (f for f in sources.c if f.name.endswith(".bpf.c")):
        if "GPL-2.0" not in Sources.first_line(path) or "BSD-2-Clause" not in Sources.first_line(path):
            complaints.append(f"{path}:1: eBPF sources are `BSD-2-Clause OR GPL-2.0-only`")
    return complaints


def function_length(sources, build):
    """No function over 80 lines.  C by ctags when it is installed, Python by its own parser."""
    del build
    complaints = []
    ctags = shutil.which("ctags")
    if ctags and (sources.c or sources.h):
        done = subprocess.run([ctags, "-x", "--c-kinds=f", "--fields=+ne", "--_xformat=%{end} %{line} %F %N", "-L", "-"],
                              cwd=ROOT, input="\n".join(map(str, sources.c + sources.h)), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for row in done.stdout.splitlines():
            end, line, path, name = row.split(None, 3)
            if end.isdigit() and int(end) - int(line) + 1 > LONGEST_FUNCTION:
                complaints.append(f"{path}:{line}: {name} has {int(end) - int(line) + 1} lines")
    for path in sources.python:
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION:
                complaints.append(f"{path}:{node.lineno}: {node.name} has {node.end_lineno - node.lineno + 1} lines")
    return complaints


def writable(section):
    """A section whose bytes may change at run time (relocated constants may not)."""
    if section.startswith(".data.rel.ro"):
        return False
    return section == "*COM*" or section.startswith((".data", ".bss", ".tdata", ".tbss"))


def globals_(sources, build):
    """No writable globals or statics, by the symbol tables of the objects."""
    del sources
    complaints = []
    objects = sorted(o for d in OUR_OBJECTS for o in (ROOT / build / d).glob("*.o") if not o.name.endswith("_test.o"))
    if not objects:
        return [f"{build}: no objects to look at"]
    for path in objects:
        done = subprocess.run(["objdump", "-t", path], text=True, stdout=subprocess.PIPE, check=True)
        for row in done.stdout.splitlines():
            match = re.match(r"[0-9a-f]+ (.{7}) (\S+)\s+([0-9a-f]+) (?:\.hidden )?(\S+)$", row)
            if match and "d" not in match[1] and int(match[3], 16) and writable(match[2]):
                complaints.append(f"{path.relative_to(ROOT / build).with_suffix('.c')}:1: writable global {match[4]}")
    return complaints


def unfinished(sources, build):
    """No words that say work was left."""
    del build
    complaints = []
    for path in sources.all:
        data = (ROOT / path).read_bytes()
        if b"\0" in data[:4096]:
            continue
        for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
            match = UNFINISHED.search(line)
            if match:
                complaints.append(f"{path}:{number}: the word '{match[0]}'")
    return complaints


def links_of(path):
    """(line number, target without fragment) of relative links, code blocks left out."""
    fenced = False
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        for target in [] if fenced else LINK.findall(line):
            target = target.split("#")[0]
            if target and "://" not in target and not target.startswith("mailto:"):
                yield number, target


def links(sources, build):
    """Relative links lead somewhere; every page under docs/ can be reached from README.md."""
    del build
    complaints, reached, queue = [], set(), [pathlib.Path("README.md")]
    for path in sources.markdown:
        for number, target in links_of(path):
            if not (ROOT / path.parent / target).exists():
                complaints.append(f"{path}:{number}: the link {target} leads nowhere")
    while queue:
        path = queue.pop()
        if path in reached or not (ROOT / path).is_file():
            continue
        reached.add(path)
        for _, target in links_of(path):
            full = (ROOT / path.parent / target).resolve()
            if full.suffix == ".md" and full.is_relative_to(ROOT):
                queue.append(full.relative_to(ROOT))
    for path in sources.markdown:
        if path.parts[0] == "docs" and path not in reached:
            complaints.append(f"{path}:1: cannot be reached from README.md")
    return complaints


RULES = (
    ("opening comments", opening),
    ("function length", function_length),
    ("writable globals", globals_),
    ("unfinished work", unfinished),
    ("links", links),
)
