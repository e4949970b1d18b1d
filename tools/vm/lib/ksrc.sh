# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# shellcheck disable=SC2034,SC2153,SC2154 # globals shared between the parts
#
# Responsible for: the pristine kernel source, unpacked once in the build root.
# Static checks use its scripts, the debug kernel starts as a copy of it.

# The path inside the build root. Debian names the folder after the tarball.
ksrc_path() {
	local word

	read -r _ _ word <"$ROOT/.msvm-picked"
	printf '/usr/src/%s\n' "$word"
}

do_unpack_ksrc() {
	local path

	path=$(ksrc_path)
	[ ! -e "$ROOT$path/.msvm-unpacked" ] || return 0
	need_root "unpacking the kernel source"
	need_space "$CACHE" 3 "the kernel source"
	step "kernel source 1/1" "unpacking $path (about 30 s)"
	: >"$LOGS/ksrc.log"
	AS_ROOT=1
	# The tarball's own name of the folder may differ: strip it.
	# shellcheck disable=SC2016 # expanded by the inner shell
	in_root_logged "$LOGS/ksrc.log" "unpacking the kernel source" bash -c '
		set -e
		rm -rf "$1"
		mkdir -p "$1"
		tar -C "$1" --strip-components=1 -xf "$(ls "$1".tar.*)"
		touch "$1/.msvm-unpacked"' - "$path"
}

ensure_ksrc() {
	local path

	ensure_setup
	path=$(ksrc_path)
	[ -e "$ROOT$path/.msvm-unpacked" ] || with_lock ksrc exclusive do_unpack_ksrc
}

cmd_ksrc() {
	local prefix=

	case ${1:-} in
	--host) prefix=$ROOT ;;
	'') ;;
	*) die_usage "ksrc: unknown option '$1'" ;;
	esac
	ensure_ksrc
	printf '%s%s\n' "$prefix" "$(ksrc_path)"
}
