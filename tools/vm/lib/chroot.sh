# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# shellcheck disable=SC2034,SC2153,SC2154 # globals shared between the parts
#
# Responsible for: running commands inside the build root, in namespaces of
# their own: the mounts and all processes end with the command.

# Settings of the next in_root call; reset by each call.
BINDS=()
AS_ROOT=0

# Fill ENTER[] with the command line that runs "$@" inside $1.
# setpriv ties the lot to this shell's life even when it is killed hard: sudo
# in between would not pass SIGKILL on.
enter_command() {
	local root=$1 user
	shift

	user=$(id -u):$(id -g)
	[ "$AS_ROOT" -eq 0 ] || user=0:0
	ENTER=("${SUDO[@]}" setpriv --pdeathsig KILL
		unshare --mount --pid --fork --kill-child --
		"$VM_DIR/lib/enter-root" "$root" "$user" "${#BINDS[@]}" "${BINDS[@]}" "$@")
	BINDS=()
	AS_ROOT=0
}

in_root() {
	local ENTER

	enter_command "$ROOT" "$@"
	run_job "${ENTER[@]}"
}

in_root_logged() {
	local log=$1 what=$2 ENTER

	shift 2
	enter_command "$ROOT" "$@"
	run_logged "$log" "$what" "${ENTER[@]}"
}

# vm chroot: the sources' copy is the working directory.
cmd_chroot() {
	local as_root=0 kver rc=0 ENTER

	while [ $# -gt 0 ]; do
		case $1 in
		--root) as_root=1 ;;
		--) shift; break ;;
		-*) die_usage "chroot: unknown option '$1'" ;;
		*) break ;;
		esac
		shift
	done
	[ $# -gt 0 ] || die_usage "chroot: which command?"
	ensure_setup
	need_root "entering the build root"
	kver=$(stock_version)
	tree_paths chroot
	with_lock "tree-$TREE_ID-chroot" exclusive sync_tree
	BINDS=("$BUILD/src:/msvm/src" "$VM_DIR:/msvm/vm:ro")
	# shellcheck disable=SC2034 # read by enter_command
	AS_ROOT=$as_root
	enter_command "$ROOT" env --chdir=/msvm/src "MSVM_KERNEL_VERSION=$kver" \
		"KDIR=/lib/modules/$kver/build" "KSRC=$(ksrc_path)" "$@"
	# In the foreground: it may want the terminal.
	"${ENTER[@]}" || rc=$?
	exit "$rc"
}
