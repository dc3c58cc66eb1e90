# SPDX-License-Identifier: BSD-2-Clause
"""Running things: short commands, and daemons that outlive this process.

A daemon is remembered by process id and start time, so that a recycled id is
never signalled.  Each is the leader of its own session, so its children can be
signalled with it.  Must not know what the daemons are.
"""

import os
import select
import signal
import socket
import subprocess
import time

NETNS_DIR = "/run/netns"


class LabError(Exception):
    """Something a user can read: one line, and perhaps the last lines of a log."""

    def __init__(self, message, log=""):
        super().__init__(message)
        self.log = log


def tail(path, lines=10):
    """The last lines of a log, or "" when there is none."""
    try:
        with open(path, "rb") as f:
            f.seek(0, os.SEEK_END)
            f.seek(max(0, f.tell() - 8192))
            return "\n".join(f.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def run(argv, stdin=None, timeout=20, what=None):
    """Run a short command; its standard output, or a LabError with what it said."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError:
        raise LabError(f"{argv[0]}: not installed; `make deps` installs what the lab needs") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{what or ' '.join(argv)}: no end after {timeout} s") from None
    if done.returncode != 0:
        raise LabError(f"{what or ' '.join(argv)}: exit status {done.returncode}", (done.stderr or done.stdout).strip())
    return done.stdout


def in_netns(namespace, argv):
    """argv to run in a namespace; "" is the one we are in.  Not `ip netns exec`, which hides /sys/fs/bpf."""
    if not namespace:
        return list(argv)
    return ["nsenter", f"--net={NETNS_DIR}/{namespace}", "--", *argv]


def _stat_fields(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None


def start_time(pid):
    """Kernel ticks since boot at which pid started; None when it is gone, with all its threads, or a zombie."""
    fields = _stat_fields(pid)
    if not fields or (fields[0] in "ZX" and int(fields[17]) <= 1):
        return None
    return int(fields[19])


def alive(record):
    """Does the process of a record {"pid", "start"} still run?"""
    return bool(record.get("pid")) and bool(record["start"]) and start_time(record["pid"]) == record["start"]


def in_this_netns(pid, namespace):
    """Is pid in the network namespace of that name?  "" is the one we are in."""
    try:
        mine = os.stat(f"/proc/{pid}/ns/net")
        named = os.stat(f"{NETNS_DIR}/{namespace}" if namespace else "/proc/self/ns/net")
    except OSError:
        return False
    return (mine.st_ino, mine.st_dev) == (named.st_ino, named.st_dev)


def adopt(pidfile, namespace):
    """A record of the process a pid file names, if it runs in our namespace; else None.

    That it is in our namespace is what makes a stale pid file harmless.
    """
    try:
        with open(pidfile, encoding="ascii") as f:
            pid = int(f.read().strip() or "0")
    except (OSError, ValueError):
        return None
    start = start_time(pid) if pid > 0 else None
    if start is None or not in_this_netns(pid, namespace):
        return None
    return {"pid": pid, "start": start}


def processes_in(namespace):
    """(pid, command name) of everything that runs in a namespace."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and start_time(int(entry)) is not None and in_this_netns(int(entry), namespace):
            try:
                with open(f"/proc/{entry}/comm", encoding="ascii", errors="replace") as f:
                    found.append((int(entry), f.read().strip()))
            except OSError:
                continue
    return found


def works_in(pid, directory):
    """Is pid about that directory: is it named on its command line, or its working directory?"""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            named = f.read().decode(errors="replace")
        return f"{directory}/" in named or f"{os.readlink(f'/proc/{pid}/cwd')}/".startswith(f"{directory}/")
    except OSError:
        return False


def _reap(pid):
    """Collect a child of ours that ended; others are collected by init.  How it ended, in words, if we know."""
    try:
        gone, status = os.waitpid(pid, os.WNOHANG)
    except OSError:
        return ""
    code = os.waitstatus_to_exitcode(status) if gone else 0
    return f", killed by signal {-code}" if code < 0 else f", exit status {code}" if gone else ""


def ended(record):
    """Why a daemon that should run does not."""
    return f"it ended{_reap(record['pid'])}"


def wait_gone(records, seconds):
    """Wait for processes to end; those that still run afterwards."""
    deadline = time.monotonic() + seconds
    while True:
        for record in records:
            _reap(record["pid"])
        left = [r for r in records if alive(r)]
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(0.02)


def signal_record(record, number):
    """Signal the session a daemon leads; SIGTERM goes to the leader alone, which ends its children."""
    if not alive(record):
        return
    try:
        if number == signal.SIGKILL and os.getpgid(record["pid"]) == record["pid"]:
            os.killpg(record["pid"], number)
        else:
            os.kill(record["pid"], number)
    except ProcessLookupError:
        pass


def terminate(records, grace=3.0):
    """SIGTERM, and SIGKILL for what is left after the grace.  Returns those that needed it."""
    for record in records:
        signal_record(record, signal.SIGTERM)
    stubborn = wait_gone(records, grace)
    for record in stubborn:
        signal_record(record, signal.SIGKILL)
    wait_gone(stubborn, 2)
    return stubborn


class Readiness:
    """A notification socket: the daemon says READY=1 on it (sd_notify)."""

    def __init__(self, path):
        self.path = path
        if os.path.exists(path):
            os.unlink(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)

    def wait(self, record, seconds):
        """"" once the daemon is ready, else why not."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self.socket], [], [], 0.05)[0]:
                if b"READY=1" in self.socket.recv(4096).split(b"\n"):
                    return ""
            elif not alive(record):
                return ended(record)
        return f"not ready after {seconds:.0f} s"

    def close(self):
        self.socket.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass


def spawn(namespace, argv, log, cwd, notify=""):
    """Start a daemon in a namespace, output appended to its log; its record."""
    environment = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")}
    if notify:
        environment["NOTIFY_SOCKET"] = notify
    with open(log, "ab") as out:
        process = subprocess.Popen(in_netns(namespace, argv), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   cwd=cwd, env=environment, start_new_session=True)
    # The record is the whole handle: silence the warning about a child still running.
    process.returncode = 0
    # It may have ended already; nobody but us collects it, so its entry is still there.
    return {"pid": process.pid, "start": int(_stat_fields(process.pid)[19])}
