#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs a command with a Docker engine: the one the environment names (DOCKER_HOST, or the default socket) if it answers,
# else a private one, which is stopped and removed afterwards together with everything in it.  Knows nothing of Turnout.
#
#   engine.sh COMMAND...
#
# A private engine needs root and Debian's packages docker.io, docker-compose and debootstrap (installed when missing).
# It makes no default bridge and no firewall rules, so that it changes nothing on the host; image builds need the host's
# network then, which TURNOUT_BUILD_NETWORK=host tells them.  When debian:bookworm-slim cannot be pulled, it is made
# from Debian's packages by whatever archive this host's apt uses.
#
# ENGINE_DIR=DIR keeps a private engine's images in DIR for the next time.
set -euo pipefail

BASE=debian:bookworm-slim
READY_SECONDS=60
PULL_SECONDS=45

say() { printf 'engine: %s\n' "$*" >&2; }

engine_answers() { command -v docker >/dev/null && timeout 10 docker version >/dev/null 2>&1; }

install_engine() {
	local here
	here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
	"$here/tools/install-deps" docker.io docker-compose debootstrap
}

# Debian's client goes with Debian's engine; another may be first in PATH.
private_environment() {
	export DOCKER_HOST=unix://$dir/socket DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0 TURNOUT_BUILD_NETWORK=host
	export DOCKER_CONFIG=$dir/client
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
	unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
}

start_engine() {
	if [ -s "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
		say "$dir is in use by another engine"
		return 1
	fi
	mkdir -p "$dir/client"
	echo '{}' > "$dir/daemon.json"
	[ -e /etc/docker ] || made_etc=yes
	[ -e /opt/containerd ] || made_opt=yes
	setsid dockerd --config-file "$dir/daemon.json" --host "$DOCKER_HOST" --data-root "$dir/data" --exec-root "$dir/exec" \
		--pidfile "$dir/pid" --cgroup-parent "/$group" --exec-opt native.cgroupdriver=cgroupfs --bridge none \
		--iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --userland-proxy=false \
		> "$dir/log" 2>&1 < /dev/null &
	engine=$!
	local deadline=$((SECONDS + READY_SECONDS))
	until engine_answers; do
		if ! kill -0 "$engine" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
			say "the private engine does not start:"
			tail -n 15 "$dir/log" >&2
			return 1
		fi
		sleep 0.2
	done
}

# A line for each part of Debian that this host's apt knows: archive, suite, component.
debian_sources() {
	apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT) $(CODENAME)' 'Created-By: Packages' |
		awk '$1 == "Debian" && $5 ~ /^bookworm/ { print $2, $3, $4 }' | sort -u
}

make_base() {
	local root=$dir/root
	rm -rf "$root"
	if [ -z "$(debian_sources)" ]; then
		apt-get update -qq
	fi
	debian_sources > "$dir/sources"
	local archive
	archive=$(awk '$2 == "bookworm" || $2 == "stable" { print $1; exit }' "$dir/sources")
	if [ -z "$archive" ]; then
		say "this host's apt knows no Debian 12 archive to make $BASE from"
		return 1
	fi
	debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$archive" > "$dir/debootstrap.log" ||
		{ tail -n 5 "$dir/debootstrap.log" >&2; return 1; }
	sed 's/^/deb /' "$dir/sources" > "$root/etc/apt/sources.list"
	printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	# What a slim image leaves out, now and when packages are installed in it.
	printf 'path-exclude=/usr/share/%s/*\n' doc man locale info > "$root/etc/dpkg/dpkg.cfg.d/slim"
	tar -C "$root" --numeric-owner --one-file-system -c --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' \
		--exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./usr/share/doc/*' \
		--exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' . |
		docker import --change 'CMD ["bash"]' - "$BASE" > /dev/null
	rm -rf "$root"
}

have_base() {
	docker image inspect "$BASE" > /dev/null 2>&1 && return 0
	timeout "$PULL_SECONDS" docker pull -q "$BASE" > /dev/null 2>&1 && return 0
	say "$BASE cannot be pulled; making it from Debian's packages"
	make_base
}

stop_engine() {
	trap '' INT TERM HUP
	if [ -n "$command" ] && kill -TERM -- "-$command" 2>/dev/null; then
		wait "$command" || true
	fi
	if [ -z "$engine" ]; then
		remove_directory
		return
	fi
	local containers
	containers=$(timeout 20 docker ps -aq 2>/dev/null || true)
	# shellcheck disable=SC2086
	[ -z "$containers" ] || timeout 60 docker rm -f -v $containers > /dev/null 2>&1 || true
	timeout 30 docker network prune -f > /dev/null 2>&1 || true
	kill -TERM "$engine" 2>/dev/null || true
	for ((i = 0; i < 300; i++)); do
		kill -0 "$engine" 2>/dev/null || break
		[ $i -ne 250 ] || kill -KILL "$engine" 2>/dev/null
		sleep 0.1
	done
	awk -v under="$dir/" 'index($2, under) == 1 { print $2 }' /proc/self/mounts | sort -r |
		while read -r mount; do umount -l "$mount" || true; done
	find /sys/fs/cgroup -depth -type d -path "*/$group*" -exec rmdir {} + 2>/dev/null || true
	[ -z "$made_etc" ] || { rm -f /etc/docker/key.json; rmdir /etc/docker 2>/dev/null || true; }
	[ -z "$made_opt" ] || rmdir /opt/containerd/bin /opt/containerd/lib /opt/containerd 2>/dev/null || true
	remove_directory
}

remove_directory() {
	[ -n "${ENGINE_DIR:-}" ] || rm -rf "$dir"
}

main() {
	if [ $# -eq 0 ]; then
		sed -n '2,/^set/{/^set/d;s/^# \?//p}' "${BASH_SOURCE[0]}" >&2
		exit 2
	fi
	if engine_answers; then
		exec "$@"
	fi
	if [ "$(id -u)" -ne 0 ]; then
		say "no Docker engine answers, and a private one needs root"
		exit 1
	fi
	[ -z "${DOCKER_HOST:-}" ] || say "no engine answers at $DOCKER_HOST; starting a private one"
	install_engine
	engine='' command='' made_etc='' made_opt=''
	dir=${ENGINE_DIR:-$(mktemp -d /var/tmp/turnout-engine.XXXXXX)}
	group=turnout-engine-$$
	private_environment
	trap stop_engine EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	start_engine
	interruptible have_base
	interruptible "$@"
}

# In the background and a process group of its own, so that a signal to this script ends it at once.
interruptible() {
	set -m
	"$@" < /dev/null &
	command=$!
	set +m
	wait "$command"
	command=''
}

main "$@"
