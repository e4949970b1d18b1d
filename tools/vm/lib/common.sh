# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# shellcheck disable=SC2034 # globals for the other parts
#
# Responsible for: messages, cache paths, locks, and for leaving nothing behind.

# Statuses of our own; a command's status passes unchanged.
ST_USAGE=2
ST_LOG=120
ST_DIED=121
ST_TIMEOUT=124
ST_TOOL=125

MSVM_TREE=$(readlink -f -- "${MSVM_TREE:-$VM_DIR/../..}") || true
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/drm-msvm
ROOT=$CACHE/root
LOGS=$CACHE/logs
RUN_DIR=
JOBS=()
# Build the modules with CONFIG_DRM_MSVM_DEBUG.
DEBUG_MODULES=

# Commands that need root are prefixed with this.
SUDO=()
[ "$EUID" -eq 0 ] || SUDO=(sudo)

say() {
	printf 'vm: %s\n' "$*" >&2
}

die() {
	printf 'vm: error: %s\n' "$*" >&2
	exit "$ST_TOOL"
}

die_usage() {
	printf 'vm: %s\n' "$*" >&2
	exit "$ST_USAGE"
}

# step N/M TEXT: one line for a long step, with the time since the start.
step() {
	printf '[%s] %s [%d s]\n' "$1" "$2" "$SECONDS" >&2
}

need_root() {
	[ "$EUID" -ne 0 ] || return 0
	command -v sudo >/dev/null ||
		die "$1 needs root: run as root or install sudo"
	sudo -v || die "$1 needs root, and sudo refused"
}

need_space() {
	local dir=$1 gib=$2 what=$3 free

	free=$(df -Pk -- "$dir" | awk 'NR == 2 { print int($4 / 1048576) }')
	[ "$free" -ge "$gib" ] ||
		die "$what needs $gib GiB in $dir, only $free are free: make room or set XDG_CACHE_HOME"
}

make_cache() {
	mkdir -p -- "$CACHE" "$LOGS" "$CACHE/locks" || die "cannot write to $CACHE"
}

# Run an external command so that a signal to us is acted on at once: bash
# defers traps while a foreground child runs, but not during wait.
run_job() {
	local pid rc=0

	"$@" &
	pid=$!
	JOBS+=("$pid")
	wait "$pid" || rc=$?
	forget_job "$pid"
	return "$rc"
}

forget_job() {
	local job left=()

	for job in "${JOBS[@]}"; do
		[ "$job" = "$1" ] || left+=("$job")
	done
	JOBS=("${left[@]}")
}

# The same, output to a log file that is shown when the command fails.
run_logged() {
	local log=$1 what=$2 rc=0

	shift 2
	run_job "$@" >>"$log" 2>&1 || rc=$?
	[ "$rc" -ne 0 ] || return 0
	# What a compiler said is wanted; what apt said is for whoever looks closer.
	[ "$log" = "$LOGS/setup.log" ] || tail -n 30 -- "$log" >&2
	die "$what failed (status $rc); whole log: $log"
}

# with_lock NAME exclusive|shared FUNCTION [ARG...]
# The lock file is held open by what FUNCTION starts as well: an orphan that
# still writes to the cache keeps others away from it.
with_lock() {
	local name=$1 mode=-x fd

	[ "$2" != shared ] || mode=-s
	shift 2
	exec {fd}>>"$CACHE/locks/$name"
	if ! flock -n "$mode" "$fd"; then
		say "waiting for another vm run to finish setting up ($name)"
		run_job flock "$mode" "$fd" || die "cannot lock $CACHE/locks/$name"
	fi
	# Not in a condition: errexit stays on inside FUNCTION.
	"$@"
	exec {fd}>&-
}

kill_job() {
	local pid=$1

	# A child run through sudo belongs to root.
	kill -KILL "$pid" 2>/dev/null ||
		{ [ -d "/proc/$pid" ] && "${SUDO[@]}" kill -KILL "$pid"; } 2>/dev/null || true
}

cleanup() {
	local pid

	trap '' INT TERM HUP
	for pid in "${JOBS[@]}"; do
		kill_job "$pid"
	done
	# Without this bash would announce each of them as "Killed".
	wait 2>/dev/null || true
	[ -z "$RUN_DIR" ] || rm -rf -- "$RUN_DIR"
}

trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

hash_files() {
	cat -- "$@" | sha256sum | cut -c1-16
}

parse_kernel() {
	case $1 in
	stock | debug) ;;
	all) [ "${2:-}" = all ] || die_usage "--kernel is stock or debug" ;;
	*) die_usage "--kernel is stock or debug${2:+ or $2}, not '$1'" ;;
	esac
}
