#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs a command with a Docker engine: the one the environment names (DOCKER_HOST, or the default socket) if it answers,
# else a private one, which is stopped and removed afterwards together with everything in it.  Knows nothing of Turnout.
#
#   engine.sh COMMAND...
#
# Where no engine can be had, COMMAND is run all the same, with the reason in ENGINE_UNAVAILABLE: what that means is its affair.
#
# A private engine needs root and Debian's packages docker.io, docker-compose and mmdebstrap (installed when missing).
# It makes no default bridge and no firewall rules, so that it changes nothing on the host; image builds need the host's
# network then, which TURNOUT_BUILD_NETWORK=host tells them.  When debian:bookworm-slim cannot be pulled, it is made
# from Debian's packages by whatever archive this host's apt uses.
#
# ENGINE_DIR=DIR keeps a private engine's images in DIR for the next time.
set -euo pipefail

BASE=debian:bookworm-slim
READY_SECONDS=60
PULL_SECONDS=30
BASE_SECONDS=240

say() { printf 'engine: %s\n' "$*" >&2; }

engine_answers() { command -v docker >/dev/null && timeout 10 docker version >/dev/null 2>&1; }

install_engine() {
	local here
	here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
	"$here/tools/install-deps" docker.io docker-compose mmdebstrap
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
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT) $(CODENAME)' 'Created-By: Packages' |
		awk '$1 == "Debian" && $5 ~ /^bookworm/ { print $2, $3, $4 }' | sort -u
}

# Slim: without documentation and started services, now and when packages are installed in it.  (Not by dpkg's options for
# the first packages too: mmdebstrap would filter each archive, which takes longer than everything else.)
# shellcheck disable=SC2016
BASE_OPTIONS=(--quiet --mode=root --variant=minbase "--include=ca-certificates,usr-is-merged"
	--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --skip=output/dev
	--dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"'
	--essential-hook='printf "path-exclude=/usr/share/%s/*\n" doc man locale info > "$1/etc/dpkg/dpkg.cfg.d/slim"'
	--customize-hook='cd "$1/usr/share" && rm -rf doc/* man/* locale/* info/*'
	--customize-hook='printf "#!/bin/sh\nexit 101\n" > "$1/usr/sbin/policy-rc.d" && chmod 755 "$1/usr/sbin/policy-rc.d"')

make_base() {
	[ -n "$(debian_sources)" ] || apt-get update -qq || true
	debian_sources | sed 's/^/deb /' > "$dir/base.list"
	if [ ! -s "$dir/base.list" ]; then
		say "this host's apt knows no Debian 12 archive to make $BASE from"
		return 1
	fi
	timeout "$BASE_SECONDS" mmdebstrap "${BASE_OPTIONS[@]}" bookworm - "$dir/base.list" 2> "$dir/base.log" |
		docker import --change 'CMD ["bash"]' - "$BASE" > /dev/null && return 0
	say "$BASE cannot be made:"
	tail -n 5 "$dir/base.log" >&2
	return 1
}

have_base() {
	docker image inspect "$BASE" > /dev/null 2>&1 && return 0
	timeout "$PULL_SECONDS" docker pull -q "$BASE" > /dev/null 2>&1 && return 0
	say "$BASE cannot be pulled; making it from Debian's packages"
	local started=$SECONDS
	make_base || return 1
	say "made in $((SECONDS - started)) s"
}

# The engine may answer and yet be refused mounts, namespaces or control groups.
runs_containers() { timeout 60 docker run --rm --network=none "$BASE" true > /dev/null 2> "$dir/probe"; }

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

last_words() { grep -v level=info "$1" | tail -n 1 | grep . || echo "it says nothing"; }

# The command has to decide what comes of it.
unavailable() {
	say "no engine: $1"
	export ENGINE_UNAVAILABLE=$1
	interruptible "${argv[@]}" || exit $?
	exit 0
}

main() {
	if [ $# -eq 0 ]; then
		sed -n '2,/^set/{/^set/d;s/^# \?//p}' "${BASH_SOURCE[0]}" >&2
		exit 2
	fi
	if engine_answers; then
		exec "$@"
	fi
	argv=("$@") engine='' command='' made_etc='' made_opt='' dir=''
	[ -z "${DOCKER_HOST:-}" ] || say "no engine answers at $DOCKER_HOST; starting a private one"
	[ "$(id -u)" -eq 0 ] || unavailable "none answers, and a private one needs root"
	install_engine || unavailable "Debian's packages docker.io, docker-compose and mmdebstrap cannot be installed"
	dir=${ENGINE_DIR:-$(mktemp -d /var/tmp/turnout-engine.XXXXXX)}
	group=turnout-engine-$$
	private_environment
	trap stop_engine EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	start_engine || unavailable "a private one does not start: $(last_words "$dir/log")"
	interruptible have_base || unavailable "$BASE can neither be pulled nor made from packages"
	runs_containers || unavailable "a private one cannot run a container: $(last_words "$dir/probe")"
	interruptible "$@"
}

# In the background and a process group of its own, so that a signal to this script ends it at once.
interruptible() {
	local status=0
	set -m
	"$@" < /dev/null &
	command=$!
	set +m
	wait "$command" || status=$?
	command=''
	return $status
}

main "$@"
