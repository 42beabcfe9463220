#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# dockerd.sh start   prints the address of a container engine for the tests, and
#                    starts one if none answers: SAGEBRUSH_TEST_DOCKER=$(test/dockerd.sh start)
# dockerd.sh stop    stops the one that it has started, and removes what it had but
#                    for the bridge docker0 and the rules of iptables
#
# It prints nothing, and why on stderr, where there can be none: that needs root,
# and Debian's docker.io, which it installs, or a dockerd that is there. Its
# containers, images and networks are its own, below $dir.
set -eu

dir=${SAGEBRUSH_DOCKERD_DIR:-/var/tmp/sagebrush-dockerd}
address=unix://$dir/docker.sock

answers() { # address: does an engine answer there?
	[ -S "${1#unix://}" ] || return 1
	if command -v curl >/dev/null 2>&1; then
		curl -fsS --max-time 5 --unix-socket "${1#unix://}" http://engine/_ping >/dev/null 2>&1
	else
		docker --host "$1" version >/dev/null 2>&1
	fi
}

skip() {
	echo "dockerd: tests with a container engine are skipped: $*" >&2
	exit 0
}

start() {
	for a in "$address" "${DOCKER_HOST:-}" unix:///var/run/docker.sock; do
		case $a in unix://*) if answers "$a"; then echo "$a"; return; fi ;; esac
	done
	[ "$(uname -s)" = Linux ] || skip "this is no Linux, and no engine runs"
	[ "$(id -u)" = 0 ] || skip "no engine runs, and to start one takes root"
	if ! command -v dockerd >/dev/null 2>&1 || ! command -v iptables >/dev/null 2>&1; then
		command -v apt-get >/dev/null 2>&1 || skip "there is no dockerd with iptables, and no apt-get to install them"
		echo "dockerd: installing docker.io" >&2
		# policy-rc.d or not: the service of the package is not what we start
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends docker.io iptables; } >&2 </dev/null ||
			skip "docker.io cannot be installed"
	fi
	end || skip "an engine in $dir does not answer"
	mkdir -p "$dir"
	chmod 711 "$dir"
	setsid dockerd --host "$address" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" \
		>"$dir/log" 2>&1 </dev/null &
	for _ in $(seq 120); do
		if answers "$address"; then
			echo "$address"
			return
		fi
		kill -0 $! 2>/dev/null || break
		sleep 0.25
	done
	tail -n 3 "$dir/log" >&2
	kill $! 2>/dev/null || true
	skip "dockerd does not start, see $dir/log"
}

# end waits until the engine that an earlier start has begun is no more.
end() {
	[ -s "$dir/pid" ] || return 0
	pid=$(cat "$dir/pid")
	# The file outlives an engine that was killed, and its number may be another's.
	if grep -qs dockerd "/proc/$pid/comm"; then
		kill "$pid"
		for _ in $(seq 120); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.25
		done
		kill -0 "$pid" 2>/dev/null && { echo "dockerd: process $pid does not end" >&2; return 1; }
	fi
	rm -f "$dir/pid"
}

stop() {
	end
	# An engine that was killed leaves its folder mounted upon itself.
	while umount -R "$dir/data" 2>/dev/null; do :; done
	rm -rf "$dir"
}

case ${1:-} in
start) start ;;
stop) stop ;;
*)
	echo "usage: $0 start|stop" >&2
	exit 2
	;;
esac
