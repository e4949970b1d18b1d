# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# shellcheck disable=SC2034,SC2153,SC2154 # globals shared between the parts
#
# Responsible for: the host's packages and the build root, a small Debian with
# compilers, the stock kernel and its headers, and the kernel source.

SUITE=trixie
MIN_KERNEL=7.3

# Packages of the build root. One line a purpose.
ROOT_PACKAGES=(
	ca-certificates
	gcc make libc6-dev pkg-config                             # modules and tests
	flex bison bc libelf-dev libssl-dev perl python3          # a kernel from source
	xz-utils zstd lz4 bzip2 cpio rsync                        # archives
	qemu-system-x86                                           # the guest's machine
	kmod busybox-static strace procps                         # the guest's user space
	intel-gpu-tools libdrm-dev libtracefs-dev libtraceevent-dev libjson-c-dev # tests and tools
	libncurses-dev libcairo2-dev
	sparse codespell shellcheck python3-docutils              # static checks
)

setup_hash() {
	printf '%s\n' "$SUITE" "$MIN_KERNEL" "${ROOT_PACKAGES[@]}" | sha256sum | cut -c1-16
}

is_set_up() {
	[ -r "$ROOT/.msvm-stamp" ] && [ "$(<"$ROOT/.msvm-stamp")" = "$(setup_hash)" ]
}

stock_version() {
	cat -- "$ROOT/.msvm-kernel" 2>/dev/null || die "no build root yet: run 'vm setup'"
}

stock_image() {
	printf '%s\n' "$CACHE/stock/$(stock_version)/vmlinuz"
}

# What the host itself must have: QEMU is the build root's own.
install_host_tools() {
	command -v mmdebstrap >/dev/null && return 0
	command -v apt-get >/dev/null ||
		die "please install mmdebstrap: this host has no apt-get"
	need_root "installing mmdebstrap"
	: >"$LOGS/setup.log"
	# Lists that are there may do; fetching new ones fails when one source of many is broken.
	run_job "${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y \
		--no-install-recommends mmdebstrap >>"$LOGS/setup.log" 2>&1 && return 0
	run_job "${SUDO[@]}" apt-get update >>"$LOGS/setup.log" 2>&1 ||
		say "apt-get update failed, trying on (log: $LOGS/setup.log)"
	run_logged "$LOGS/setup.log" "installing mmdebstrap on this host" \
		"${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y \
		--no-install-recommends mmdebstrap
}

# The newest kernel the archive has in all the parts that are needed.
pick_kernel() {
	local names version image source

	names=$(AS_ROOT=1 in_root apt-cache pkgnames linux-) || die "apt-cache failed in the build root"
	while read -r version; do
		dpkg_ge "$version" "$MIN_KERNEL" || break
		source=linux-source-$(cut -d. -f1,2 <<<"$version")
		for image in linux-binary-unsigned-"$version" linux-image-"$version"-unsigned \
			linux-binary-"$version" linux-image-"$version"; do
			if has_names "$names" "$image" "linux-headers-$version" "$source"; then
				printf '%s %s %s\n' "$version" "$image" "$source"
				return 0
			fi
		done
	done < <(sed -nE 's/^linux-headers-([0-9.]+(\+deb[0-9]+|-[0-9]+)?-amd64)$/\1/p' <<<"$names" | sort -rV)
	die "the archive has no kernel >= $MIN_KERNEL for $SUITE (looked at linux-headers-*-amd64)"
}

has_names() {
	local names=$1 name

	shift
	for name in "$@"; do
		grep -qxF -- "$name" <<<"$names" || return 1
	done
}

dpkg_ge() {
	[ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

root_apt() {
	AS_ROOT=1
	in_root_logged "$LOGS/setup.log" "apt-get $1 in the build root (no network? set-up needs it once)" \
		apt-get -y -q -o APT::Install-Recommends=false -o Dpkg::Options::=--force-unsafe-io \
		-o Dpkg::Use-Pty=0 "$@"
}

make_root() {
	local mirror url tmp=$CACHE/root.tmp

	mirror=$(find_mirror)
	# No mount can be below it: they all live in namespaces of their own, which
	# also end mmdebstrap's children when we are interrupted.
	"${SUDO[@]}" rm -rf --one-file-system -- "$tmp" "$ROOT"
	run_logged "$LOGS/setup.log" "mmdebstrap (no network, or no answer from ${mirror:-its default mirror}? set-up needs it once)" \
		"${SUDO[@]}" setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child \
		--mount-proc mmdebstrap --mode=root --variant=minbase --include=ca-certificates \
		"$SUITE" "$tmp" ${mirror:+"$mirror"}
	url=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^http/) { print $i; exit } }' \
		"$tmp/etc/apt/sources.list")
	[ -n "$url" ] || die "cannot tell the mirror from $tmp/etc/apt/sources.list"
	printf 'deb %s %s main\ndeb %s %s-backports main\n' "$url" "$SUITE" "$url" "$SUITE" |
		"${SUDO[@]}" tee "$tmp/etc/apt/sources.list" >/dev/null
	apt_proxy_conf | "${SUDO[@]}" tee "$tmp/etc/apt/apt.conf.d/90msvm" >/dev/null
	# Packages must not start anything in a chroot.
	printf '#!/bin/sh\nexit 101\n' | "${SUDO[@]}" tee "$tmp/usr/sbin/policy-rc.d" >/dev/null
	"${SUDO[@]}" chmod 755 "$tmp/usr/sbin/policy-rc.d"
	"${SUDO[@]}" mv -- "$tmp" "$ROOT"
}

# The kernel image moved between packages and names over time.
take_stock_image() {
	local kver=$1 candidate

	for candidate in "usr/lib/modules/$kver/vmlinuz.unsigned" "usr/lib/modules/$kver/vmlinuz" \
		"boot/vmlinuz-$kver"; do
		[ -e "$ROOT/$candidate" ] || continue
		mkdir -p -- "$CACHE/stock/$kver"
		"${SUDO[@]}" cat -- "$ROOT/$candidate" >"$CACHE/stock/$kver/vmlinuz.tmp"
		mv -- "$CACHE/stock/$kver/vmlinuz.tmp" "$CACHE/stock/$kver/vmlinuz"
		return 0
	done
	die "no kernel image of $kver in the build root"
}

do_setup() {
	local picked kver image source modules=()

	# Somebody else may have done it while we waited for the lock.
	! is_set_up || return 0
	need_root "making the build root"
	need_space "$CACHE" 6 "the build root"
	if [ ! -r "$ROOT/.msvm-kernel" ]; then
		step "setup 1/6" "mmdebstrap on this host (about 10 s when it is missing)"
		install_host_tools
		step "setup 2/6" "minimal $SUITE (about 15 s)"
		: >"$LOGS/setup.log"
		make_root
	fi
	step "setup 3/6" "package lists (about 5 s)"
	"${SUDO[@]}" cp -L -- /etc/resolv.conf "$ROOT/etc/resolv.conf" 2>/dev/null || true
	root_apt update
	if [ -r "$ROOT/.msvm-kernel" ]; then
		# The packages asked for changed: add them, keep the kernel.
		picked="$(<"$ROOT/.msvm-picked")"
	else
		picked=$(pick_kernel)
	fi
	read -r kver image source <<<"$picked"
	[ -n "$source" ] || exit "$ST_TOOL"
	step "setup 4/6" "compilers, libraries, test tools, QEMU (about 50 s)"
	root_apt install "${ROOT_PACKAGES[@]}"
	step "setup 5/6" "kernel $kver with headers and source (about 30 s)"
	# Older packagings have the modules inside the image package.
	if AS_ROOT=1 in_root apt-cache show "linux-modules-$kver" >/dev/null 2>&1; then
		modules=("linux-modules-$kver")
	fi
	root_apt install "$image" "${modules[@]}" "linux-headers-$kver" "$source"
	root_apt clean
	step "setup 6/6" "kernel image and module index (about 5 s)"
	take_stock_image "$kver"
	AS_ROOT=1
	in_root_logged "$LOGS/setup.log" "depmod in the build root" depmod "$kver"
	printf '%s\n' "$picked" | "${SUDO[@]}" tee "$ROOT/.msvm-picked" >/dev/null
	printf '%s\n' "$kver" | "${SUDO[@]}" tee "$ROOT/.msvm-kernel" >/dev/null
	# Last: its presence says that all the rest is complete.
	setup_hash | "${SUDO[@]}" tee "$ROOT/.msvm-stamp" >/dev/null
	say "build root with kernel $kver is ready [$SECONDS s]"
}

ensure_setup() {
	make_cache
	is_set_up || with_lock setup exclusive do_setup
}

cmd_setup() {
	local kernel=stock

	while [ $# -gt 0 ]; do
		case $1 in
		--kernel)
			[ $# -ge 2 ] || die_usage "setup: --kernel needs a value"
			kernel=$2
			parse_kernel "$kernel" all
			shift
			;;
		*) die_usage "setup: unknown option '$1'" ;;
		esac
		shift
	done
	ensure_setup
	[ "$kernel" = stock ] || ensure_debug_kernel
	say "set up: kernel $(stock_version) in $ROOT"
}
