# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Responsible for: one guest from start to end. Its channels, its time limit,
# its kernel log, and what its end means for our own exit status.

# Quote for the guest's sh, whatever the bytes are.
sh_quote() {
	printf "'%s'" "${1//\'/\'\\\'\'}"
}

kernel_image() {
	case $1 in
	stock) stock_image ;;
	debug) printf '%s\n' "$(debug_dir)/vmlinuz" ;;
	esac
}

parse_run_options() {
	KERNEL=stock GPUS=1 MEM='' SMP=2 SHARE='' TIMEOUT='' MODULES=1 KMEMLEAK=1 APPEND='' ACCEL_WANTED=auto
	DEBUG_MODULES='' PCI='' PLAIN=0 EDU=0
	COMMAND=()
	while [ $# -gt 0 ]; do
		case $1 in
		--kernel | --gpus | --plain | --edu | --mem | --smp | --share | --timeout | --append | --accel)
			[ $# -ge 2 ] || die_usage "$1 needs a value"
			;;
		esac
		case $1 in
		--kernel) KERNEL=$2; shift ;;
		--gpus) GPUS=$2; shift ;;
		--mem) MEM=$2; shift ;;
		--smp) SMP=$2; shift ;;
		--share) SHARE=$2; shift ;;
		--timeout) TIMEOUT=$2; shift ;;
		--accel) ACCEL_WANTED=$2; shift ;;
		--append) APPEND=$2; shift ;;
		--debug-modules) DEBUG_MODULES=1 ;;
		--no-modules) MODULES=0 ;;
		--no-kmemleak) KMEMLEAK=0 ;;
		--plain) PLAIN=$2; shift ;;
		--edu) EDU=$2; shift ;;
		--pci) PCI=switch ;;
		--pci=*) PCI=${1#--pci=} ;;
		--) shift; COMMAND=("$@"); break ;;
		-*) die_usage "unknown option '$1'" ;;
		*) COMMAND=("$@"); break ;;
		esac
		shift
	done
	parse_kernel "$KERNEL"
	case $ACCEL_WANTED in
	auto | kvm | tcg | tcg1) ;;
	*) die_usage "--accel is auto, kvm, tcg or tcg1, not '$ACCEL_WANTED'" ;;
	esac
	case $PCI in
	'' | switch | ports | lazy | passthrough | noiommu) ;;
	*) die_usage "--pci is switch, ports, lazy, passthrough or noiommu, not '$PCI'" ;;
	esac
	[[ $GPUS =~ ^[0-9]+$ ]] || die_usage "--gpus is a number, not '$GPUS'"
	[ -z "$PCI" ] || [ "$GPUS" -le 16 ] || die_usage "--gpus is at most 16 with --pci, not '$GPUS'"
	[[ $PLAIN =~ ^[0-9]+$ ]] || die_usage "--plain is a number, not '$PLAIN'"
	[[ $EDU =~ ^[0-2]$ ]] || die_usage "--edu is at most 2, not '$EDU'"
	[ -n "$PCI" ] || [ "$PLAIN$EDU" = 00 ] || die_usage "--plain and --edu go with --pci"
	[[ $SMP =~ ^[1-9][0-9]*$ ]] || die_usage "--smp is a number, not '$SMP'"
	if [ "$KERNEL" = debug ]; then
		: "${MEM:=3G}" "${TIMEOUT:=900}"
	else
		: "${MEM:=2G}" "${TIMEOUT:=300}"
	fi
	[[ $MEM =~ ^[1-9][0-9]*[MG]?$ ]] || die_usage "--mem is a size such as 2G, not '$MEM'"
	[[ $TIMEOUT =~ ^[1-9][0-9]*$ ]] || die_usage "--timeout is a number of seconds, not '$TIMEOUT'"
	if [ -n "$SHARE" ]; then
		[ -d "$SHARE" ] || die_usage "--share: no folder '$SHARE'"
		SHARE=$(readlink -f -- "$SHARE")
	fi
}

# The last 100 logs stay.
prune_logs() {
	find "$LOGS" -maxdepth 1 -name 'kernel-*.log' -printf '%T@ %p\n' 2>/dev/null | sort -rn |
		tail -n +101 | cut -d ' ' -f 2- | xargs -r -d '\n' rm -f --
}

# Files and FIFOs that QEMU talks to us through.
make_channels() {
	RUN_DIR=$(mktemp -d -- "${TMPDIR:-/tmp}/drm-msvm.XXXXXX")
	LOG=$LOGS/kernel-$KERNEL-$(date +%Y%m%d-%H%M%S)-$$.log
	: >"$LOG"
	: >"$RUN_DIR/ctl"
	mkfifo "$RUN_DIR/out" "$RUN_DIR/err" "$RUN_DIR"/con.{in,out} "$RUN_DIR"/mon.{in,out}
	{
		printf 'MSVM_%s=%s\n' GPUS "$GPUS" KERNEL "$KERNEL" MODULES "$MODULES" \
			PCI "$PCI" PLAIN "$PLAIN" EDU "$EDU" KMEMLEAK "$KMEMLEAK" SHARE "${SHARE:+1}" SHELL "$1" MERGE "$MERGE"
	} >"$RUN_DIR/settings"
	{
		printf 'set --'
		local word
		for word in "${COMMAND[@]}"; do
			printf ' '
			sh_quote "$word"
		done
		printf '\n'
	} >"$RUN_DIR/command"
}

# Readers and writers of the FIFOs. Held open by us until QEMU is gone, so that
# nobody blocks whoever comes first, and all see the end.
start_readers() {
	exec {HOLD_OUT}<>"$RUN_DIR/out" {HOLD_ERR}<>"$RUN_DIR/err" {HOLD_CON}<>"$RUN_DIR/con.out" \
		{HOLD_MON}<>"$RUN_DIR/mon.out" {CON}<>"$RUN_DIR/con.in" {MON}<>"$RUN_DIR/mon.in"
	READERS=()
	start_reader "$RUN_DIR/out" stdout
	start_reader "$RUN_DIR/err" stderr
	start_reader "$RUN_DIR/con.out" "$LOG"
	start_reader "$RUN_DIR/mon.out" /dev/null
}

start_reader() {
	# exec: the PID must be that of cat, or killing it would leave cat behind.
	(
		exec {HOLD_OUT}>&- {HOLD_ERR}>&- {HOLD_CON}>&- {HOLD_MON}>&- {CON}>&- {MON}>&-
		case $2 in
		stdout) exec cat <"$1" ;;
		stderr) exec cat <"$1" >&2 ;;
		*) exec cat <"$1" >>"$2" ;;
		esac
	) &
	READERS+=($!)
	JOBS+=($!)
}

close_channels() {
	exec {HOLD_OUT}>&- {HOLD_ERR}>&- {HOLD_CON}>&- {HOLD_MON}>&- {CON}>&- {MON}>&-
	local pid
	for pid in "${READERS[@]}"; do
		wait "$pid" 2>/dev/null || true
	done
	# The serial line's carriage returns.
	sed -i 's/\r*$//' -- "$LOG"
}

# Each GPU is an ivshmem function, whose memory BAR is the GPU's. Without ACS what is
# below one switch may talk to each other; two root ports of this machine may not.
pci_devices() {
	local i bus

	# shellcheck disable=SC2054 # QEMU's own commas
	case $PCI in
	switch | ports) QEMU+=(-device intel-iommu,intremap=off,caching-mode=on) ;;
	lazy | passthrough) QEMU+=(-device intel-iommu,intremap=off) ;;
	esac
	# shellcheck disable=SC2054
	[ "$PCI" = ports ] || QEMU+=(-device pcie-root-port,id=gpus,chassis=1,slot=1
		-device x3130-upstream,id=switch,bus=gpus)
	for ((i = 0; i < GPUS; i++)); do
		bus=gpu$i
		# shellcheck disable=SC2054
		if [ "$PCI" = ports ]; then
			QEMU+=(-device "pcie-root-port,id=$bus,chassis=$((i + 1)),slot=$((i + 1))")
		else
			QEMU+=(-device "xio3130-downstream,id=$bus,bus=switch,chassis=$((i + 2)),slot=$((i + 2))")
		fi
		QEMU+=(-object "memory-backend-ram,id=vram$i,size=64M,share=on"
			-device "ivshmem-plain,memdev=vram$i,bus=$bus")
	done
	# QEMU's teaching device moves at most 4 KiB at a time, and reaches all addresses
	# that its mask, a property, lets it.
	for ((i = 0; i < EDU; i++)); do
		bus=edu$i
		# shellcheck disable=SC2054
		if [ "$PCI" = ports ]; then
			QEMU+=(-device "pcie-root-port,id=$bus,chassis=$((i + 101)),slot=$((i + 101))")
		else
			QEMU+=(-device "xio3130-downstream,id=$bus,bus=switch,chassis=$((i + 102)),slot=$((i + 102))")
		fi
		QEMU+=(-device "edu,dma_mask=0xffffffffffffffff,bus=$bus")
	done
}

qemu_command() {
	local args="console=ttyS0,115200 earlyprintk=serial,ttyS0,115200 loglevel=8 printk.devkmsg=on"

	# panic=-1 with -no-reboot: a panic ends QEMU at once. The others turn an
	# NMI, the last way to wake a dead guest, into a panic of the CPUs it hits. No
	# panic_print of all tasks: it was seen to hang on a stopped CPU's lock.
	args+=" panic=-1 unknown_nmi_panic sysrq_always_enabled"
	args+=" tsc=reliable random.trust_cpu=on no_timer_check"
	# Two nodes and a piece of persistent memory are kinds of memory to test with.
	# Balancing takes pages away at any time: who counts must ask for it.
	args+=" numa=fake=2 numa_balancing=disable"
	case $MEM in
	1G | *M) ;;
	*) args+=" memmap=64M!1G" ;;
	esac
	[ "$KERNEL" = debug ] || args+=" kfence.sample_interval=100"
	case $PCI in
	switch | ports) args+=" intel_iommu=on iommu.strict=1" ;;
	lazy) args+=" intel_iommu=on iommu.strict=0" ;;
	passthrough) args+=" intel_iommu=on iommu=pt" ;;
	esac
	args+=${APPEND:+" $APPEND"}

	# shellcheck disable=SC2054 # QEMU's own commas
	QEMU=("${QEMU_PROGRAM[@]}" -name drm-msvm,process=qemu-system-x86
		-M q35 "${ACCEL[@]}" -smp "$SMP" -m "$MEM"
		-nodefaults -no-user-config -display none -no-reboot
		-kernel "$(kernel_image "$KERNEL")" -initrd "$BUILD/pack/initrd" -append "$args"
		-chardev "pipe,id=con,path=$RUN_DIR/con" -serial chardev:con
		-chardev "pipe,id=mon,path=$RUN_DIR/mon" -mon chardev=mon,mode=readline
		-device virtio-rng-pci
		-device "virtio-serial-pci,max_ports=8"
		-chardev "file,id=ctl,path=$RUN_DIR/ctl" -device virtserialport,chardev=ctl,name=msvm.ctl
		-chardev "file,id=out,path=$RUN_DIR/out" -device virtserialport,chardev=out,name=msvm.out
		-chardev "file,id=err,path=$RUN_DIR/err" -device virtserialport,chardev=err,name=msvm.err
		-fw_cfg "name=opt/drm-msvm/settings,file=$RUN_DIR/settings"
		-fw_cfg "name=opt/drm-msvm/command,file=$RUN_DIR/command")
	[ -z "$PCI" ] || pci_devices
	# In the guest all is done as root; here files just belong to who runs us.
	[ -z "$SHARE" ] || QEMU+=(-virtfs
		"local,path=${SHARE//,/,,},mount_tag=msvm.share,security_model=none,multidevs=remap")
}

log_size() {
	stat -c %s -- "$LOG"
}

# Wait until QEMU is gone, or S seconds have passed (then it fails).
wait_qemu() {
	local tenths=$(($1 * 10))

	while [ -d "/proc/$QEMU_PID" ] && ! is_zombie; do
		[ "$tenths" -gt 0 ] || return 1
		tenths=$((tenths - 1))
		sleep 0.1
	done
}

is_zombie() {
	local line

	read -r line 2>/dev/null <"/proc/$QEMU_PID/stat" || return 0
	line=${line##*) }
	[ "${line%% *}" = Z ]
}

# Wait until the log has been quiet for a second, at most S seconds.
wait_log() {
	local left=$1 before=-1

	while [ "$left" -gt 0 ] && [ "$(log_size)" -ne "$before" ]; do
		before=$(log_size)
		left=$((left - 1))
		sleep 1
		! is_zombie || return 0
	done
}

# A serial BREAK, then the key: works while the guest still takes interrupts.
sysrq() {
	printf 'chardev-send-break con\n' >&"$MON"
	sleep 0.2
	printf '%s' "$1" >&"$CON"
}

# The time is up: get all out of the guest that it can still tell, then end it.
dissect_guest() {
	local before lines

	lines=$(wc -l <"$LOG")
	before=$(log_size)
	sysrq l
	wait_log 10
	if [ "$(log_size)" -gt "$before" ]; then
		sysrq w
		wait_log 10
		sysrq t
		wait_log 30
		[ "$KERNEL" != debug ] || { sysrq d; wait_log 20; }
	else
		say "the guest does not take interrupts: sending an NMI"
		printf 'nmi\n' >&"$MON"
		wait_qemu 10 || true
	fi
	kill_job "$QEMU_PID"
	wait "$QEMU_PID" 2>/dev/null || true
	LOG_SPLIT=$lines
}

# wait -n would miss a QEMU that is gone already when it has a timer beside it:
# both are waited for by name.
watch_guest() {
	local timer rc=0

	sleep "$TIMEOUT" &
	timer=$!
	JOBS+=("$timer")
	wait -n "$QEMU_PID" "$timer" || true
	if [ -d "/proc/$QEMU_PID" ] && ! is_zombie && ! kill -0 "$timer" 2>/dev/null; then
		TIMED_OUT=1
		dissect_guest
	else
		wait "$QEMU_PID" || rc=$?
	fi
	QEMU_STATUS=$rc
	kill_job "$timer"
	wait "$timer" 2>/dev/null || true
}

run_guest() {
	local shell=$1

	ensure_build "$KERNEL"
	choose_accel "$(kernel_version "$KERNEL")" "$(kernel_image "$KERNEL")" "$BUILD/pack/initrd"
	# Where both end in the same place their order matters: one channel then.
	MERGE=0
	[ ! /proc/self/fd/1 -ef /proc/self/fd/2 ] || MERGE=1
	boot_guest "$shell"
	ln -sfn -- "${LOG##*/}" "$LOGS/latest-$KERNEL.log"
	prune_logs
}

boot_guest() {
	local shell=$1

	TIMED_OUT=0 QEMU_STATUS=0 LOG_SPLIT=0
	make_channels "$shell"
	qemu_command
	if [ "$shell" = 1 ]; then
		local stty_saved
		QEMU+=(-chardev "stdio,id=tty,signal=off" -device "virtconsole,chardev=tty")
		stty_saved=$(stty -g 2>/dev/null || true)
		start_readers
		"${QEMU[@]}" || QEMU_STATUS=$?
		[ -z "$stty_saved" ] || stty "$stty_saved" || true
	else
		start_readers
		setpriv --pdeathsig KILL "${QEMU[@]}" 2>"$RUN_DIR/qemu.err" \
			{HOLD_OUT}>&- {HOLD_ERR}>&- {HOLD_CON}>&- {HOLD_MON}>&- {CON}>&- {MON}>&- &
		QEMU_PID=$!
		JOBS+=("$QEMU_PID")
		watch_guest
	fi
	close_channels
}

# What the guest's end means. Prints the reasons, sets STATUS.
judge_guest() {
	local word value ended=0 up=0 fails=()

	STATUS=
	while read -r word value; do
		case $word in
		boot) up=1 ;;
		exit) STATUS=$value ;;
		fail) fails+=("$value") ;;
		end) ended=1 ;;
		esac
	done <"$RUN_DIR/ctl"

	if [ "$TIMED_OUT" -eq 1 ]; then
		printf -- '--- the guest after %d s: its last words, then the stacks of its tasks\n' "$TIMEOUT" >&2
		head -n "$LOG_SPLIT" -- "$LOG" | tail -n 30 >&2
		printf -- '--- stacks\n' >&2
		tail -n "+$((LOG_SPLIT + 1))" -- "$LOG" >&2
		say "timeout: the guest was ended after $TIMEOUT s"
		STATUS=$ST_TIMEOUT
		return 0
	fi
	local own=${STATUS:-none}
	if [ "$ended" -eq 0 ]; then
		STATUS=$ST_DIED
		if grep -aq 'Kernel panic - not syncing' "$LOG"; then
			gate_check "$LOG" || true
			say "the guest's kernel panicked: $(grep -am1 -o 'Kernel panic - not syncing.*' "$LOG")"
		elif [ "$QEMU_STATUS" -ne 0 ]; then
			cat -- "$RUN_DIR/qemu.err" >&2 2>/dev/null || true
			say "QEMU ended by itself (status $QEMU_STATUS)"
			[ "$up" -eq 1 ] || [ -s "$LOG" ] || STATUS=$ST_TOOL
		else
			tail -n 20 -- "$LOG" >&2
			say "the guest ended before the command did"
		fi
		return 0
	fi
	local bad=0
	gate_check "$LOG" || bad=1
	local text
	for text in "${fails[@]}"; do
		say "guest: $text"
	done
	if [ -z "$STATUS" ]; then
		STATUS=$ST_TOOL
	elif [ "$bad" -eq 1 ] || [ "${#fails[@]}" -gt 0 ]; then
		say "the command's own status was $own"
		STATUS=$ST_LOG
	fi
}

cmd_run() {
	parse_run_options "$@"
	[ "${#COMMAND[@]}" -gt 0 ] || die_usage "run: which command? (vm run [OPTIONS] -- COMMAND...)"
	run_guest 0
	judge_guest
	say "kernel log: $LOG"
	exit "$STATUS"
}

cmd_shell() {
	parse_run_options "$@"
	[ "${#COMMAND[@]}" -eq 0 ] || die_usage "shell takes no command (use run)"
	[ -t 0 ] || die_usage "shell needs a terminal"
	run_guest 1
	judge_guest
	say "kernel log: $LOG"
	exit "$STATUS"
}
