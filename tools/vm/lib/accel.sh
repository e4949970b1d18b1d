# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Responsible for: QEMU, with KVM or software emulation. A machine may have /dev/kvm
# and still be unable to run a kernel in it (no nested virtualisation): only a
# probe boot proves it. The verdict holds for this boot of the host.

# The build root's QEMU, with its own libraries, as a process of this host's like any
# other. The host's may be one before 8.1, which runs stale translations of code that
# another CPU patches (static keys, ftrace): kernels then die of "Oops: int3".
QEMU_PROGRAM=("$ROOT/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --inhibit-cache
	--library-path "$ROOT/usr/lib/x86_64-linux-gnu" --argv0 qemu-system-x86_64
	"$ROOT/usr/bin/qemu-system-x86_64"
	-L "$ROOT/usr/share/qemu" -L "$ROOT/usr/share/seabios")

qemu_version() {
	"${QEMU_PROGRAM[@]}" --version 2>/dev/null | head -n 1
}

kvm_verdict_file() {
	local boot qemu

	boot=$(cat /proc/sys/kernel/random/boot_id)
	qemu=$(qemu_version)
	printf '%s/kvm/%s\n' "$CACHE" "$(printf '%s\n' "$boot" "$qemu" "$1" "$EUID" | sha256sum | cut -c1-16)"
}

do_probe_kvm() {
	local kernel=$1 initrd=$2 file=$3 log

	[ ! -e "$file" ] || return 0
	mkdir -p -- "$CACHE/kvm"
	log=$(mktemp -- "$CACHE/kvm/probe.XXXXXX")
	say "trying KVM once (at most 10 s)"
	run_job setpriv --pdeathsig KILL timeout -k 1 10 "${QEMU_PROGRAM[@]}" -M q35 -accel kvm \
		-cpu max -nodefaults -no-user-config -display none -no-reboot -m 1G -smp 2 \
		-kernel "$kernel" -initrd "$initrd" -serial "file:$log" \
		-append "console=ttyS0 msvm.probe panic=-1" >/dev/null 2>&1 || true
	if grep -aq 'msvm-vm: probe ok' "$log"; then
		echo yes >"$file.tmp"
	else
		echo no >"$file.tmp"
	fi
	mv -- "$file.tmp" "$file"
	rm -f -- "$log"
}

# choose_accel VERSION KERNEL INITRD: fills ACCEL[].
choose_accel() {
	local file verdict=no why threads=multi

	# shellcheck disable=SC2153 # an option of run and shell
	[ "$ACCEL_WANTED" != tcg1 ] || threads=single
	if [ "$ACCEL_WANTED" != auto ]; then
		why="as asked for"
		[ "$ACCEL_WANTED" != kvm ] || verdict=yes
	elif [ ! -e /dev/kvm ]; then
		why="no /dev/kvm"
	elif [ ! -w /dev/kvm ]; then
		why="/dev/kvm is not writable for you: join group kvm"
	else
		file=$(kvm_verdict_file "$1")
		[ -e "$file" ] || with_lock kvm exclusive do_probe_kvm "$2" "$3" "$file"
		verdict=$(<"$file")
		why="a guest did not boot with KVM here"
	fi
	# shellcheck disable=SC2034 # read by lib/run.sh
	if [ "$verdict" = yes ]; then
		ACCEL=(-accel kvm -cpu max)
	else
		say "software emulation ($why)"
		# An interrupt while the boot CPU is identified finds no features: KASAN
		# then takes the direct map of five-level paging for wild memory. And
		# "rep stosb" is one store a byte here: fast strings are slow ones.
		ACCEL=(-accel "tcg,thread=$threads" -cpu "max,la57=off,erms=off,fsrm=off")
	fi
}
