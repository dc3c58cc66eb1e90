# SPDX-License-Identifier: BSD-2-Clause
"""A machine of its own: systemd as process 1 in namespaces, over an overlay of this host's files.

So units are started by the real thing.  Nothing it writes outlives it, and its network is its own; other
namespaces that it makes with `ip netns` live in its mount namespace only.  Must not know what is installed in it.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

SYSTEMD = "/lib/systemd/systemd"
# What would reach beyond the namespaces, or is of no use in them.
MASKED = ("systemd-sysctl.service", "systemd-modules-load.service", "systemd-udevd.service", "systemd-udev-trigger.service",
          "systemd-remount-fs.service", "systemd-logind.service", "systemd-timesyncd.service", "systemd-networkd.service",
          "systemd-update-utmp.service", "systemd-journald-audit.socket", "systemd-binfmt.service",
          "systemd-pstore.service", "systemd-random-seed.service", "dev-hugepages.mount", "dev-mqueue.mount",
          "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount", "sys-fs-fuse-connections.mount",
          "proc-sys-fs-binfmt_misc.automount", "getty.target", "remote-fs.target", "apt-daily.timer",
          "systemd-tmpfiles-clean.timer", "cron.service", "ssh.service", "nginx.service")

# Run in the new namespaces: the file systems, and then systemd.  $1: scratch, $2: tree copied into it.
BOOT = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
root=$1/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for directory in dev run tmp; do mount -t tmpfs tmpfs "$root/$directory"; done
mkdir "$root/dev/net" "$root/dev/pts" "$root/dev/shm"
for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 net/tun:10:200; do
	IFS=: read -r name major minor <<< "$device"
	mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
cp -RP "$2/." "$root"
rm -rf "$root"/etc/systemd/system/*.wants "$root"/var/log/journal
for unit in $3; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
mkdir "$root/run/host-root"
cd "$root"
pivot_root . run/host-root
umount -l /run/host-root
exec env -i container=turnout-test PATH=/usr/sbin:/usr/bin:/sbin:/bin "$4" --unit=multi-user.target --log-target=journal
"""


def cgroup_root():
    """Where the unified hierarchy is, writable; None if it is nowhere."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return pathlib.Path(where)
    return None


def until(condition, timeout=20.0, interval=0.1):
    """The first true value of condition(), or its last false one when the time is up: three times that, on a busy machine."""
    deadline = time.monotonic() + 3 * timeout
    while True:
        value = condition()
        if value or time.monotonic() >= deadline:
            return value
        time.sleep(interval)


class Machine:
    """Call stop() whatever happens."""

    def __init__(self, tree):
        if os.geteuid() != 0:
            pytest.skip("systemd in namespaces needs root")
        if not os.path.exists(SYSTEMD):
            pytest.skip(f"there is no {SYSTEMD}")
        groups = cgroup_root()
        if groups is None:
            pytest.skip("systemd needs a writable cgroup v2 hierarchy, and there is none")
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="turnout-machine-"))
        self.cgroup = groups / self.scratch.name
        self.process = self.pid = None
        try:
            self.start(tree)
        except BaseException:
            self.stop()
            raise

    def start(self, tree):
        self.cgroup.mkdir()
        enter = f"echo $$ > '{self.cgroup}/cgroup.procs' && exec \"$@\""
        self.process = subprocess.Popen(
            ["bash", "-c", enter, "enter", "unshare", "--pid", "--mount", "--net", "--uts", "--ipc", "--cgroup", "--fork",
             "--kill-child", "bash", "-c", BOOT, "boot", str(self.scratch), str(tree), " ".join(MASKED), SYSTEMD],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = until(self.find_init, 10)
        if not self.pid:
            self.process.kill()
            pytest.skip(f"no namespaces to boot in: {self.process.communicate()[0].decode(errors='replace')[-500:]}")
        # Degraded: something of the host's that does not work here; what a test needs it will look at itself.
        assert until(lambda: self.state() in ("running", "degraded"), 30), self.run("systemctl", "list-jobs", check=False)

    def find_init(self):
        """Process 1 of the machine, once it is systemd."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            for pid in children.read_text().split():
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                    return int(pid)
        except OSError:
            pass
        return None

    def stop(self):
        """Everything in it ends with process 1; then what it left on the host."""
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        for directory in sorted(self.cgroup.rglob("*"), reverse=True) + [self.cgroup]:
            if directory.is_dir():
                until(lambda directory=directory: self.remove(directory), 5)
        shutil.rmtree(self.scratch, ignore_errors=True)

    @staticmethod
    def remove(cgroup):
        try:
            cgroup.rmdir()
        except OSError:
            return False
        return True

    # ---- inside ----

    def inside(self, *arguments):
        return ["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-u", "-i", "-C", "--", *map(str, arguments)]

    def run(self, *arguments, check=True, stdin=None, timeout=60):
        """Output and exit status of a command in the machine."""
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(self.inside(*arguments), text=True, capture_output=True, input=stdin, timeout=timeout, env=env)
        assert not check or done.returncode == 0, (arguments, done)
        return done

    def state(self):
        return self.run("systemctl", "is-system-running", check=False).stdout.strip()

    def write(self, path, text, mode="644"):
        self.run("tee", path, stdin=text)
        self.run("chmod", mode, path)

    def property(self, unit, name):
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def journal(self, unit):
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout
