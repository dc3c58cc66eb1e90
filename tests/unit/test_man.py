# SPDX-License-Identifier: BSD-2-Clause
"""The man pages say what the programs do: fields as in the tables of the code, options, verbs and statuses as in the programs."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / os.environ.get("TURNOUT_BUILD", "build/release")
MAN = ROOT / "docs/man"
DAEMONS = ("fad", "smd", "routed-glue")
PAGES = sorted(path.name.removesuffix(".scd") for path in MAN.glob("*.scd"))
UNITS = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000}
HEADERS = ("proto/wire.h", "proto/session.h", "routed-glue/wanted.h", "fad/config.h", "smd/config.h", "routed-glue/config.h")
# Of the system's headers.
NUMBERS = {"IFNAMSIZ": "16", "UINT32_MAX": str(2**32 - 1), "UINT64_MAX": str(2**64 - 1)}
UNLIMITED = (0, 2**32 - 1, 2**64 - 1)


# ---- pages ----

def page(name):
    """A page's source with what it includes."""
    return re.sub(r"^@include (\S+)\n", lambda m: (MAN / f"{m[1]}.inc").read_text(), (MAN / f"{name}.scd").read_text(),
                  flags=re.M)


def chapter(name, title):
    return page(name).split(f"\n# {title}\n")[1].split("\n# ")[0]


def plain(text):
    return re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)[*_]", "", text))


def entries(text):
    """What the lines that begin with a bold word have before the explanation."""
    return [line for line in text.splitlines() if line.startswith("*")]


def fields_of_page(name):
    """{path: (type, {properties})} of the FIELDS of a page; its subsections are the mappings."""
    found, where = {}, ""
    for line in chapter(name, "FIELDS").splitlines():
        if line.startswith("## "):
            where = line[3:] + "."
        elif line.startswith("*"):
            field, rest = plain(line).split(" ", 1)
            kind, *properties = rest.split(", ")
            assert where + field not in found, line
            found[where + field] = (kind, set(properties))
    return found


# ---- code ----

def number(text, defines):
    """The value of a constant expression such as `2 * SECOND`."""
    while names := re.findall(r"\b[A-Z][A-Z0-9_]+\b", text):
        for name in names:
            text = re.sub(rf"\b{name}\b", f"({defines[name]})", text)
    text = re.sub(r"\b(\d+)(u|ull|UL)\b", r"\1", text).replace("/", "//")
    assert re.fullmatch(r"[0-9()*/+ -]+", text), text
    return int(eval(text))


class Tables:
    """The conf_field tables of some sources, read as text."""

    def __init__(self, *paths):
        sources = [(ROOT / path).read_text() for path in paths]
        self.text = re.sub(r"/\*.*?\*/", "", "\n".join(sources), flags=re.S)
        self.defines = dict(NUMBERS)
        for source in (*sources, *((ROOT / header).read_text() for header in HEADERS)):
            self.defines.update(re.findall(r"^#define (\w+) +([^/\n]+?) *(?:/\*.*)?$", source, re.M))

    def block(self, what, name):
        return re.search(rf"const struct {what} {name}(?:\[\])? = \{{(.*?)\}};", self.text, re.S)[1]

    def fields(self, mapping):
        table = re.search(r"\.fields = (\w+)", self.block("conf_mapping", mapping))[1]
        for row in self.block("conf_field", table).split("{.name = ")[1:]:
            if row.startswith('"'):
                yield row.split('"')[1], row

    def value(self, row, attribute):
        found = re.search(rf"\.{attribute} = ([^,}}]+)", row)
        return number(found[1].strip(), self.defines) if found else 0

    def limits(self, row, unit=""):
        low, high = self.value(row, "min"), self.value(row, "max")
        return f"{low}{unit} or more" if high in UNLIMITED else f"{low}{unit} to {high}{unit}"

    def described(self, row):
        """(type, {properties}) as the pages write it; type None where they are free."""
        kind = re.search(r"\.kind = CONF_(\w+)", row)[1]
        properties = set(re.findall(r"\.required = true", row) and ["required"])
        properties |= {f"default {text}" for text in re.findall(r'\.fallback = "([^"]*)"', row)}
        if kind in ("U16", "U32", "U64"):
            return "NUMBER", properties | {self.limits(row)}
        if kind == "DURATION":
            return "DURATION", properties | {self.limits(row, "ms")}
        if kind == "ENUM":
            choices = self.block("conf_choice", re.search(r"\.choices = (\w+)", row)[1])
            return " | ".join(re.findall(r'\{"([^"]+)"', choices)), properties
        if kind == "LIST":
            return "LIST", properties | {f"up to {self.value(row, 'max')}"}
        return {"BOOL": "BOOLEAN", "MAP": "MAPPING", "ADDR": "ADDRESS"}.get(kind), properties

    def all(self, mapping="root_mapping", where=""):
        found = {}
        for name, row in self.fields(mapping):
            found[where + name] = self.described(row)
            below = re.search(r"\.sub = &(\w+)", row)
            if below:
                found |= self.all(below[1], f"{where}{name}.")
        return found


def in_milliseconds(properties):
    """Durations in ranges, so that 60s and 1m are the same."""
    return {p if p.startswith("default ") else re.sub(r"\b(\d+)(ms|s|m|h)\b", lambda m: f"{int(m[1]) * UNITS[m[2]]}ms", p)
            for p in properties}


def tables(daemon):
    more = [p.relative_to(ROOT) for p in sorted((ROOT / daemon).glob("config_*.c")) if not p.stem.endswith("_test")]
    return Tables(f"{daemon}/config.c", *more, "lib/endpoint_conf.c")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_fields_are_those_of_the_code_ARCH_7(daemon):
    source = f"turnout-{daemon}.yaml.5"
    written, coded = fields_of_page(source), tables(daemon).all()
    assert set(coded) - set(written) == set(), f"missing in docs/man/{source}.scd"
    assert set(written) - set(coded) == set(), f"in docs/man/{source}.scd, but not in the code"
    for name, (kind, properties) in coded.items():
        written_kind, written_properties = written[name]
        assert in_milliseconds(written_properties) == properties, name
        if kind is not None:
            assert written_kind.split(" of ")[0] == kind, name


@pytest.mark.parametrize("daemon", DAEMONS)
def test_fields_are_in_the_configuration_document_too(daemon):
    text = (ROOT / "docs/configuration.md").read_text()
    assert not [name for name in tables(daemon).all() if not re.search(rf"\b{name.split('.')[-1]}:", text)]


@pytest.mark.parametrize("daemon", DAEMONS)
def test_example_is_a_good_configuration(daemon, tmp_path):
    text = chapter(f"turnout-{daemon}.yaml.5", "EXAMPLES").split("```\n")[1]
    config = tmp_path / "config.yaml"
    key = tmp_path / "key1"
    key.write_text("a secret for this test")
    key.chmod(0o600)
    config.write_text(text.replace("/etc/turnout/key1", str(key)))
    done = subprocess.run([BUILD / "bin" / daemon, "--check", "--config", config], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


# ---- programs ----

def told(program, *arguments):
    return subprocess.run([BUILD / "bin" / program, *arguments], text=True, capture_output=True, check=True).stdout


def options_of_page(name):
    return sorted(re.findall(r"--[a-z-]+", "\n".join(entries(chapter(name, "OPTIONS")))))


@pytest.mark.parametrize("daemon", DAEMONS)
def test_options_of_daemons_ARCH_7(daemon):
    assert options_of_page(f"{daemon}.8") == sorted(re.findall(r"^  (--[a-z-]+)", told(daemon, "--help"), re.M))


def below(text, title):
    """First words of the indented lines below a title of turnoutctl's help."""
    return re.findall(r"^  (\S+)", text.split(f"\n{title}:\n")[1].split("\n\n")[0], re.M)


def test_options_of_turnoutctl_ARCH_7():
    assert options_of_page("turnoutctl.1") == sorted(below(told("turnoutctl", "help"), "Options"))


def test_verbs_of_turnoutctl_ARCH_7():
    verbs = {plain(line).split()[0] for line in entries(chapter("turnoutctl.1", "VERBS"))}
    assert verbs == set(below(told("turnoutctl", "help"), "Verbs"))


def test_options_of_verbs_ARCH_7():
    """Those that only one verb has are in its entry."""
    general = set(below(told("turnoutctl", "help"), "Options"))
    for verb in below(told("turnoutctl", "help"), "Verbs"):
        entry = re.search(rf"^\*{verb}\*.*?(?=\n\n\*[a-z]|\Z)", chapter("turnoutctl.1", "VERBS"), re.M | re.S)
        offered = set(re.findall(r"^  (--?[a-z][a-z-]*)\b", told("turnoutctl", "help", verb), re.M)) - general
        assert entry, f"docs/man/turnoutctl.1.scd has no {verb}"
        assert offered <= set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", plain(entry[0]))), verb


def test_listings_of_turnoutctl_ARCH_7():
    listings = re.findall(r"[a-z]+", plain(" ".join(entries(chapter("turnoutctl.1", "LISTINGS")))))
    assert sorted(listings) == sorted(below(told("turnoutctl", "help", "show"), "Listings"))


def statuses(name):
    return {int(plain(line)) for line in entries(chapter(name, "EXIT STATUS"))}


def test_exit_statuses():
    codes = dict(re.findall(r"EXITCODE_(\w+) = (\d+)", (ROOT / "lib/exitcode.h").read_text()))
    unreachable = int(codes.pop("UNREACHABLE"))
    for daemon in DAEMONS:
        assert statuses(f"{daemon}.8") == set(map(int, codes.values()))
    documented = (ROOT / "docs/ctl.md").read_text().split("\n## Exit status\n")[1]
    assert statuses("turnoutctl.1") == set(map(int, re.findall(r"^\| (\d+) \|", documented, re.M)))
    assert unreachable in statuses("turnoutctl.1")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_sighup(daemon):
    """A daemon without a reload function only logs it, and the page says so."""
    source = re.sub(r"\s+", " ", "".join(path.read_text() for path in (ROOT / daemon).glob("*.c")))
    ignored = re.search(r"daemon_signals(_end)?\(\w+->loop, NULL,", source) is not None
    page_says = "Only logged" in chapter(f"{daemon}.8", "SIGNALS").split("*SIGHUP*")[1]
    assert ignored == page_says


# ---- the set of pages ----

def test_every_program_and_file_has_a_page():
    assert PAGES == sorted([*(f"{d}.8" for d in DAEMONS), *(f"turnout-{d}.yaml.5" for d in DAEMONS), "turnoutctl.1"])


@pytest.mark.parametrize("name", PAGES)
def test_page_can_be_found_and_leads_on(name):
    done = subprocess.run(["lexgrog", BUILD / "man" / name], text=True, capture_output=True)
    assert done.returncode == 0 and f'"{name.rsplit(".", 1)[0]} - ' in done.stdout, done
    ours = {f"{match[1]}.{match[2]}" for match in re.finditer(r"\*((?:fad|smd|routed-glue|turnout)[a-z.-]*)\*\((\d)\)", page(name))}
    assert ours and ours <= set(PAGES)
