# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# shellcheck disable=SC2034,SC2153,SC2154 # globals shared between the parts
#
# Responsible for: our modules, tools and tests, built in a copy of the source
# tree (no object file ever lands in the user's), and packed into an initramfs.

# tree_paths FLAVOUR: where the copy and the results for this tree live. Two
# trees, or two kernels, never share a copy.
tree_paths() {
	TREE_ID=$(basename -- "$MSVM_TREE")-$(printf '%s' "$MSVM_TREE" | sha256sum | cut -c1-8)
	BUILD=$CACHE/build/$TREE_ID/$1
	mkdir -p -- "$BUILD/src" "$BUILD/out" "$BUILD/pack"
}

# The files of the tree, NUL-separated: git's view where there is one, as it
# leaves out what is ignored; all but the usual build products elsewhere.
tree_files() {
	cd -- "$MSVM_TREE" || die "no source tree at $MSVM_TREE"
	# A user's tree may belong to somebody else than who runs us.
	if git -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
		git -c safe.directory='*' ls-files -z --cached --others --exclude-standard
	else
		find . -name .git -prune -o -type f ! -name '*.o' ! -name '*.ko' ! -name '*.mod' \
			! -name '*.mod.c' ! -name '.*.cmd' ! -name Module.symvers ! -name modules.order \
			-printf '%P\0'
	fi
}

# One "HASH  MODE PATH" line a file. A file deleted or replaced meanwhile is
# simply not there.
tree_manifest() {
	local list=$1

	(
		tree_files >"$list.names"
		cd -- "$MSVM_TREE" || exit 1
		# Deleted but still known to git: skip. Symbolic links count as their target.
		# shellcheck disable=SC2016 # expanded by the inner shell
		xargs -0 -r sh -c 'for f; do [ ! -f "$f" ] || printf "%s\0" "$f"; done' sh \
			<"$list.names" | sort -zu >"$list.sorted"
		paste -d ' ' <(xargs -0 -r stat -L -c %a -- <"$list.sorted") \
			<(xargs -0 -r sha256sum -- <"$list.sorted") >"$list"
	)
	rm -f -- "$list.names" "$list.sorted"
	[ -s "$list" ] || die "no source files in $MSVM_TREE (set MSVM_TREE?)"
}

# Copy what changed, with the time of the copy: make then rebuilds just that.
sync_tree() {
	local new=$BUILD/manifest.new old=$BUILD/manifest

	tree_manifest "$new"
	[ -e "$old" ] || : >"$old"
	cmp -s -- "$old" "$new" && return 0
	# Gone, or changed: line format is MODE HASH  PATH.
	comm -23 <(sed -E 's/^[0-7]+ [0-9a-f]+  //' "$old" | sort) \
		<(sed -E 's/^[0-7]+ [0-9a-f]+  //' "$new" | sort) |
		(cd -- "$BUILD/src" && xargs -r -d '\n' rm -f --)
	comm -13 <(sort "$old") <(sort "$new") | sed -E 's/^[0-7]+ [0-9a-f]+  //' |
		tar -C "$MSVM_TREE" --dereference -cf - --verbatim-files-from -T - |
		tar -C "$BUILD/src" --no-same-owner -xmf - ||
		die "cannot copy $MSVM_TREE to $BUILD/src"
	mv -- "$new" "$old"
}

# What a build's result depends on, beside the tree.
tool_hash() {
	hash_files "$VM_DIR"/inside/* "$VM_DIR"/guest/* "$ROOT/.msvm-stamp" "$ROOT/.msvm-kernel"
}

# Kernel version and folder with lib/modules of a flavour, as the root sees it.
kernel_version() {
	case $1 in
	stock) stock_version ;;
	debug) cat -- "$(debug_dir)/version" ;;
	esac
}

# The part of the initramfs that only depends on the kernel.
do_base() {
	local flavour=$1 kver=$2 base=$3 extra=()

	[ ! -e "$base/stamp" ] || [ "$(<"$base/stamp")" != "$(tool_hash)" ] || return 0
	step "$flavour 1/3" "initramfs base: busybox, kernel modules, libraries (about 5 s)"
	mkdir -p -- "$base"
	rm -f -- "$base/stamp"
	[ "$flavour" = stock ] || extra=("$(debug_dir)/modules:/msvm/kmodules:ro")
	BINDS=("$VM_DIR:/msvm/vm:ro" "$base:/msvm/pack" "${extra[@]}")
	in_root_logged "$LOGS/build-$flavour.log" "packing the initramfs base" \
		/msvm/vm/inside/pack-base "$kver" "$flavour"
	tool_hash >"$base/stamp"
	# Three of a flavour stay; what is in use is among them.
	find "$CACHE/base" -mindepth 1 -maxdepth 1 -name "$flavour-*" -printf '%T@ %p\n' | sort -rn |
		tail -n +4 | cut -d ' ' -f 2- | xargs -r -d '\n' rm -rf --
}

do_build() {
	local flavour=$1 verbose=$2 kver base kdir want log=$LOGS/build-$1.log binds=()

	kver=$(kernel_version "$flavour")
	# With what it is packed by: another tree may have another idea of it.
	base=$CACHE/base/$flavour-$kver-$(tool_hash)
	[ "$flavour" = stock ] || base=$base-$(debug_key)
	sync_tree
	want=$(hash_files "$BUILD/manifest")-$(tool_hash)-$kver
	[ "$flavour" = stock ] || want=$want-$(debug_key)
	# The initramfs is checked too: somebody may have cleaned up by hand.
	if [ -e "$BUILD/stamp" ] && [ "$(<"$BUILD/stamp")" = "$want" ] && [ -s "$BUILD/pack/initrd" ]; then
		[ "$verbose" -eq 0 ] || say "$flavour: up to date"
		return 0
	fi
	need_root "building in the build root"
	: >"$log"
	with_lock "base-$flavour" exclusive do_base "$flavour" "$kver" "$base"
	kdir=/lib/modules/$kver/build
	if [ "$flavour" = debug ]; then
		kdir=/msvm/linux
		binds=("$(debug_dir)/linux:/msvm/linux:ro")
	fi
	binds+=("$VM_DIR:/msvm/vm:ro" "$BUILD/src:/msvm/src" "$BUILD/out:/msvm/out"
		"$BUILD/pack:/msvm/pack" "$base:/msvm/base:ro")
	step "$flavour 2/3" "modules, tools and tests for $kver"
	rm -f -- "$BUILD/stamp"
	BINDS=("${binds[@]}")
	local rc=0 ENTER
	enter_command "$ROOT" /msvm/vm/inside/build-tree "$kver" "$kdir" "${DEBUG_MODULES:-}"
	if [ "$verbose" -eq 1 ]; then
		run_job "${ENTER[@]}" > >(tee -a -- "$log" >&2) 2>&1 || rc=$?
	else
		run_job "${ENTER[@]}" >>"$log" 2>&1 || rc=$?
		[ "$rc" -eq 0 ] || tail -n 40 -- "$log" >&2
		[ "$rc" -ne 0 ] || grep -aE '(^|[ :])warning: ' -- "$log" >&2 || true
	fi
	[ "$rc" -eq 0 ] || die "building $MSVM_TREE for $kver failed; whole log: $log"
	step "$flavour 3/3" "initramfs"
	BINDS=("${binds[@]}")
	[ "$flavour" = stock ] || BINDS+=("$(debug_dir)/modules:/msvm/kmodules:ro")
	in_root_logged "$log" "packing the initramfs" /msvm/vm/inside/pack-tree "$kver" "$flavour"
	printf '%s\n' "$want" >"$BUILD/stamp"
	[ "$verbose" -eq 0 ] || say "$flavour: built for $kver [$SECONDS s]"
}

# ensure_build FLAVOUR [VERBOSE]: sets BUILD and TREE_ID. With DEBUG_MODULES set
# the modules are those for tests of tests, in a folder of their own.
ensure_build() {
	local flavour=$1 verbose=${2:-0}

	[ -d "$MSVM_TREE" ] || die "no source tree at '${MSVM_TREE}' (MSVM_TREE)"
	ensure_setup
	[ "$flavour" = stock ] || ensure_debug_kernel
	tree_paths "$flavour${DEBUG_MODULES:+-flaws}"
	with_lock "tree-$TREE_ID-$flavour${DEBUG_MODULES:+-flaws}" exclusive do_build "$flavour" "$verbose"
}

cmd_build() {
	local kernel=stock flavour

	while [ $# -gt 0 ]; do
		case $1 in
		--kernel)
			[ $# -ge 2 ] || die_usage "build: --kernel needs a value"
			kernel=$2
			parse_kernel "$kernel" all
			shift
			;;
		*) die_usage "build: unknown option '$1'" ;;
		esac
		shift
	done
	[ "$kernel" != all ] || kernel="stock debug"
	for flavour in $kernel; do
		ensure_build "$flavour" 1
	done
}
