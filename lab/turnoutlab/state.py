# SPDX-License-Identifier: BSD-2-Clause
"""What is known about a lab between commands: one JSON file, and the directories.

    /run/turnout-lab/NAME/state.json      nodes, processes, paths
    /run/turnout-lab/NAME/key1            the shared HMAC key, mode 0600
    /run/turnout-lab/NAME/shared/         the 100 MB file
    /run/turnout-lab/NAME/NODE/conf/      configuration files of Turnout's daemons
    /run/turnout-lab/NAME/NODE/run/       their run directory
    /run/turnout-lab/NAME/NODE/log/       a log per daemon
    /run/turnout-lab/NAME/NODE/bin/       first in PATH of `turnout-lab exec NODE`
    /run/turnout-lab/NAME/NODE/frr/, web/ the same for FRRouting and the web server

Must not know how any of it is made.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil

from turnoutlab.process import LabError

BASE = "/run/turnout-lab"
# Sockets in these directories have paths of at most 107 characters.
NAME = re.compile(r"[a-z][a-z0-9-]{0,23}")


def directory(lab):
    return f"{BASE}/{lab}"


def check_name(lab):
    if not NAME.fullmatch(lab):
        raise LabError(f"lab name {lab!r}: a letter, then letters, digits and hyphens, 24 at most, lower case")


def load(lab):
    """The state, or None when there is none (or an `up` was cut off while writing its first)."""
    try:
        with open(f"{directory(lab)}/state.json", encoding="ascii") as f:
            return json.load(f)
    except FileNotFoundError:
        return None
    except ValueError:
        return None


def save(lab, state):
    path = f"{directory(lab)}/state.json"
    with open(path + ".new", "w", encoding="ascii") as f:
        json.dump(state, f, indent=1)
    os.replace(path + ".new", path)


def remove(lab):
    shutil.rmtree(directory(lab), ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(BASE)


def _lock(path):
    """A descriptor that holds the lock.  The file may have been removed while we waited: then once more."""
    while True:
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(fd).st_ino:
                return fd
        os.close(fd)


@contextlib.contextmanager
def locked(lab):
    """One command at a time works on a lab; the next one waits."""
    path = f"{BASE}.{lab}.lock"
    try:
        fd = _lock(path)
    except PermissionError:
        raise LabError("needs root: it makes network namespaces") from None
    try:
        yield
    finally:
        if not os.path.exists(directory(lab)):
            with contextlib.suppress(OSError):
                os.unlink(path)
        os.close(fd)


def known():
    """Names of the labs that have a directory."""
    try:
        return sorted(n for n in os.listdir(BASE) if os.path.isdir(directory(n)))
    except FileNotFoundError:
        return []
