# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Responsible for: saying what is there and what is missing, and cleaning up.

report() {
	local what=$1 state=$2 detail=${3:-} fix=${4:-}

	printf '%-22s %-8s %s%s\n' "$what" "$state" "$detail" "${fix:+ -> $fix}"
	[ "$state" != missing ] || DOCTOR_MISSING=$((DOCTOR_MISSING + 1))
}

report_tool() {
	local tool=$1 package=$2

	if command -v "$tool" >/dev/null; then
		report "$tool" ok "$("$tool" --version 2>/dev/null | head -n 1)"
	else
		report "$tool" missing "" "vm setup installs it (package $package)"
	fi
}

size_of() {
	local size

	size=$("${SUDO[@]}" du -sh -- "$1" 2>/dev/null | cut -f 1) || true
	printf '%s' "${size:-0}"
}

doctor_kvm() {
	local file

	if [ ! -e /dev/kvm ]; then
		report KVM none "no /dev/kvm: software emulation"
	elif [ ! -w /dev/kvm ]; then
		report KVM none "/dev/kvm is not writable for you: software emulation" "join group kvm"
	elif ! is_set_up; then
		report KVM unknown "not probed yet"
	else
		file=$(kvm_verdict_file "$(stock_version)")
		case $(cat -- "$file" 2>/dev/null) in
		yes) report KVM ok "a guest booted with it" ;;
		no) report KVM none "/dev/kvm is there, but a guest did not boot: software emulation" ;;
		*) report KVM unknown "not probed yet: the next vm run does" ;;
		esac
	fi
}

cmd_doctor() {
	local tool free mirror dir

	[ $# -eq 0 ] || die_usage "doctor takes no options"
	DOCTOR_MISSING=0
	if [ "$EUID" -eq 0 ]; then
		report root ok "running as root"
	elif command -v sudo >/dev/null; then
		report root ok "through sudo, for set-up and builds"
	else
		report root missing "neither root nor sudo" "install sudo"
	fi
	report_tool mmdebstrap mmdebstrap
	for tool in flock unshare setpriv; do
		report_tool "$tool" util-linux
	done
	mirror=$(find_mirror)
	report mirror ok "${mirror:-none found in apt\'s sources: the default of mmdebstrap}"
	doctor_kvm
	dir=$CACHE
	while [ ! -d "$dir" ]; do
		dir=$(dirname -- "$dir")
	done
	free=$(df -Pk -- "$dir" | awk 'NR == 2 { print int($4 / 1048576) }')
	if [ "$free" -ge 16 ]; then
		report "free disk" ok "$free GiB in $dir"
	else
		report "free disk" low "$free GiB in $dir" "16 GiB are needed for both kernels: make room or set XDG_CACHE_HOME"
	fi
	if is_set_up; then
		report "build root" ok "kernel $(stock_version), $(qemu_version), $(size_of "$ROOT")"
	elif [ -e "$ROOT/.msvm-kernel" ]; then
		report "build root" missing "incomplete or of an older version of this tool" "vm setup"
	else
		report "build root" missing "" "vm setup"
	fi
	if is_set_up && [ -e "$ROOT$(ksrc_path)/.msvm-unpacked" ]; then
		report "kernel source" ok "$ROOT$(ksrc_path)"
	else
		report "kernel source" absent "not unpacked" "vm ksrc (needed for the debug kernel and static checks)"
	fi
	if [ -d "$MSVM_TREE" ] && is_set_up && [ -e "$(debug_dir)/stamp" ]; then
		report "debug kernel" ok "$(<"$(debug_dir)/version"), $(size_of "$CACHE/debug")"
	else
		report "debug kernel" absent "not built for this tree" "vm build --kernel debug (6 to 15 minutes)"
	fi
	if [ -f "$MSVM_TREE/Makefile" ]; then
		report "source tree" ok "$MSVM_TREE"
	else
		report "source tree" missing "no Makefile in '$MSVM_TREE'" "set MSVM_TREE"
	fi
	report "cache" ok "$CACHE: builds $(size_of "$CACHE/build"), initramfs $(size_of "$CACHE/base"), logs $(size_of "$LOGS")"
	[ "$DOCTOR_MISSING" -eq 0 ] || exit 1
}

# Everything under the locks that a build or a set-up would take; a guest that
# runs has its files open and does not mind.
do_clean() {
	local all=$1

	"${SUDO[@]}" rm -rf --one-file-system -- "$CACHE/build" "$CACHE/base" "$CACHE/debug" "$CACHE/kvm"
	if [ "$all" -eq 1 ]; then
		# Not the locks: somebody may be waiting for one.
		"${SUDO[@]}" rm -rf --one-file-system -- "$ROOT" "$CACHE/root.tmp" "$CACHE/stock" "$LOGS"
	fi
}

cmd_clean() {
	local all=0

	case ${1:-} in
	--all) all=1 ;;
	'') ;;
	*) die_usage "clean: unknown option '$1'" ;;
	esac
	[ -d "$CACHE" ] || return 0
	need_root "removing the cache"
	make_cache
	with_lock setup exclusive do_clean "$all"
	say "removed $([ "$all" -eq 1 ] && echo everything || echo "cached builds") in $CACHE"
}
