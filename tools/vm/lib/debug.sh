# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# shellcheck disable=SC2034,SC2153,SC2154 # globals shared between the parts
#
# Responsible for: the debug kernel's build tree in the cache. It depends on the
# kernel source, the fragment and our Kconfig files, not on our C files: those
# are built against it as external modules, like on the stock kernel.

# What decides over a kernel build; the name of its folder.
debug_key() {
	local file

	[ -z "${DEBUG_KEY:-}" ] || { printf '%s' "$DEBUG_KEY"; return 0; }
	{
		cat -- "$ROOT/.msvm-picked" "$VM_DIR/config/debug.config" "$VM_DIR/inside/build-debug"
		# Our Kconfig files wherever they are in the tree, names and contents.
		(cd -- "$MSVM_TREE" && find . -name .git -prune -o -name Kconfig -type f -print | sort) |
			while IFS= read -r file; do
				printf '%s\n' "$file"
				cat -- "$MSVM_TREE/$file"
			done
	} | sha256sum | cut -c1-16
}

debug_dir() {
	printf '%s/debug/%s\n' "$CACHE" "$(debug_key)"
}

# The newest finished build tree: most of its objects will be right.
debug_seed() {
	local stamp

	for stamp in "$CACHE"/debug/*/stamp; do
		[ ! -e "$stamp" ] || printf '%s %s\n' "$(stat -c %Y -- "$stamp")" "${stamp%/stamp}"
	done | sort -rn | sed -n '1s/^[0-9]* //p'
}

# Two finished trees stay, unfinished ones (but the one being made) go: switching between two branches costs nothing.
prune_debug() {
	local stamp

	# Only under the lock of debug kernels: nobody else makes one now.
	for stamp in "$CACHE"/debug/*/copied; do
		[ -e "${stamp%/copied}/stamp" ] ||
			"${SUDO[@]}" rm -rf --one-file-system -- "${stamp%/copied}"
	done
	for stamp in "$CACHE"/debug/*/stamp; do
		[ ! -e "$stamp" ] || printf '%s %s\n' "$(stat -c %Y -- "$stamp")" "${stamp%/stamp}"
	done | sort -rn | sed -e 1,2d -e 's/^[0-9]* //' | while IFS= read -r dir; do
		# Another run may be building against it right now.
		(
			exec 9>>"$dir/lock"
			flock -n 9 || exit 0
			"${SUDO[@]}" rm -rf --one-file-system -- "$dir"
		)
	done
}

do_debug_kernel() {
	local dir=$1 seed log=$LOGS/build-debug-kernel.log

	[ ! -e "$dir/stamp" ] || return 0
	need_root "building the debug kernel"
	need_space "$CACHE" 8 "the debug kernel"
	: >"$log"
	tree_paths overlay
	with_lock "tree-$TREE_ID-overlay" exclusive sync_tree
	mkdir -p -- "$dir/linux" "$dir/modules"
	if [ ! -e "$dir/copied" ]; then
		step "debug kernel 1/3" "copying the source (about 30 s)"
		seed=$(debug_seed)
		if [ -n "$seed" ] && cmp -s -- "$seed/picked" "$ROOT/.msvm-picked"; then
			seed=$seed/linux
		else
			seed=$ROOT$(ksrc_path)
		fi
		rm -rf -- "$dir/linux"
		run_logged "$log" "copying the kernel source" \
			cp -a --no-preserve=ownership --reflink=auto -- "$seed" "$dir/linux"
		cp -- "$ROOT/.msvm-picked" "$dir/picked"
		: >"$dir/copied"
	fi
	step "debug kernel 2/3" "configuring and building (6 to 15 minutes; log: $log)"
	BINDS=("$VM_DIR:/msvm/vm:ro" "$BUILD/src:/msvm/src:ro" "$dir/linux:/msvm/linux"
		"$dir/modules:/msvm/kmodules")
	in_root_logged "$log" "building the debug kernel" /msvm/vm/inside/build-debug "$(ksrc_path)"
	step "debug kernel 3/3" "taking the image"
	cp -- "$dir/linux/arch/x86/boot/bzImage" "$dir/vmlinuz"
	cp -- "$dir/linux/include/config/kernel.release" "$dir/version"
	date >"$dir/stamp"
	say "debug kernel $(<"$dir/version") is ready [$SECONDS s]"
	prune_debug
}

ensure_debug_kernel() {
	local dir

	ensure_ksrc
	# Computed once a run: files may change meanwhile.
	DEBUG_KEY=
	DEBUG_KEY=$(debug_key)
	dir=$(debug_dir)
	[ -e "$dir/stamp" ] || with_lock debug-kernel exclusive do_debug_kernel "$dir"
	# Held until we exit: nobody prunes what we use.
	exec {DEBUG_LOCK}>>"$dir/lock"
	flock -s "$DEBUG_LOCK"
	touch -- "$dir/stamp"
}

# vm overlay-check: build our modules as a part of the debug kernel's tree.
cmd_overlay_check() {
	local dir

	[ $# -eq 0 ] || die_usage "overlay-check takes no options"
	ensure_setup
	need_root "building in the kernel tree"
	ensure_debug_kernel
	dir=$(debug_dir)
	tree_paths overlay
	with_lock "tree-$TREE_ID-overlay" exclusive sync_tree
	BINDS=("$VM_DIR:/msvm/vm:ro" "$BUILD/src:/msvm/src:ro" "$dir/linux:/msvm/linux:ro")
	# shellcheck disable=SC2034 # read by enter_command
	AS_ROOT=1
	in_root /msvm/vm/inside/check-overlay
}
