# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Responsible for: what in a guest's kernel log makes a run fail.

# Extended regular expressions, one a line. They are deliberately broad: a line
# that must not fail a run is to be allowed below, with its reason.
GATE_PATTERNS=(
	'WARNING: '
	'------------\[ cut here \]'
	'BUG: '
	'kernel BUG at '
	'Oops: '
	'general protection fault'
	'Unable to handle kernel'
	'Kernel panic - not syncing'
	'KASAN: '
	'KFENCE: '
	'UBSAN: '
	'KCSAN: '
	'kmemleak: [1-9][0-9]* new suspected'
	'kmemleak-report: '
	'DMA-API: .*: (device driver|mapping|exceeded|cacheline|cpu touching)'
	'DMA-API: debugging out of memory'
	'DMAR: .*\[fault reason'
	'INFO: task .* blocked for more than'
	'INFO: trying to register non-static key'
	'INFO: lockdep is turned off'
	'INFO: rcu.* detected'
	'rcu: INFO: .*(stall|detected)'
	'rcu.*kthread starved'
	'possible (circular|recursive) locking'
	'DEBUG_LOCKS_WARN_ON'
	'Slab cache still has objects'
	'Objects remaining '
	'(Poison|Redzone|Padding|Freelist|Object) (overwritten|corrupt)'
	'Object already free'
	'ODEBUG: '
	'list_(add|del) corruption'
	'refcount_t: '
	'detected buffer overflow'
	'soft lockup'
	'hard LOCKUP'
	'workqueue lockup'
	'hogged CPU for'
	'page_table_check'
	'scheduling while atomic'
	'voluntary context switch within RCU'
	'trying to vfree|Trying to vfree'
	'sysfs: cannot create duplicate filename'
	'tried to .* uninitialized'
)

# Lines that match one of these are passed over. Each needs a reason.
GATE_ALLOW=(
	# Our own words about a run; what they report is counted by the tool itself.
	'msvm-vm: '
	# DEBUG_WORKQUEUE hints at long work items; emulated CPUs are just slow.
	'workqueue: .* hogged CPU for'
)

# gate_lines LOG: the offending lines, with their numbers.
gate_lines() {
	local log=$1 hits

	# -a: a dying guest may write anything.
	hits=$(grep -anE -f <(printf '%s\n' "${GATE_PATTERNS[@]}") -- "$log" || true)
	[ -n "$hits" ] || return 0
	if [ "${#GATE_ALLOW[@]}" -gt 0 ]; then
		hits=$(grep -avE -f <(printf '%s\n' "${GATE_ALLOW[@]}") <<<"$hits" || true)
	fi
	hits=$(gate_drop_expected "$log" <<<"$hits")
	[ -z "$hits" ] || printf '%s\n' "$hits"
}

# A test that makes the IOMMU refuse an address says before which report that gives:
# function, direction and address. One such report for each announcement passes.
gate_drop_expected() {
	awk -v log_file="$1" '
	BEGIN {
		while ((getline line < log_file) > 0) {
			number++
			at = index(line, "msvm-test: expected: ")
			if (!at)
				continue
			text = substr(line, at + length("msvm-test: expected: "))
			sub(/[ \r]+$/, "", text)
			count++
			texts[count] = text
			lines[count] = number
		}
	}
	{
		keep = 1
		split($0, parts, ":")
		for (i = 1; keep && i <= count; i++) {
			if (!used[i] && lines[i] < parts[1] + 0 && index($0, "DMAR: " texts[i] " ")) {
				used[i] = 1
				keep = 0
			}
		}
		if (keep && length($0))
			print
	}'
}

# gate_check LOG: prints the reports; fails when there is one.
gate_check() {
	local log=$1 hits count first next shown=0

	hits=$(gate_lines "$log")
	[ -n "$hits" ] || return 0
	count=$(wc -l <<<"$hits")
	printf 'vm: the kernel log holds %d offending line(s):\n' "$count" >&2
	next=0
	while IFS=: read -r first _; do
		# One report has many such lines: the text after the first shows them.
		[ "$first" -ge "$next" ] || continue
		[ "$shown" -lt 3 ] || break
		printf -- '--- line %d of %s\n' "$first" "$log" >&2
		tail -n "+$first" -- "$log" | head -n 60 >&2
		next=$((first + 60))
		shown=$((shown + 1))
	done <<<"$hits"
	printf -- '---\n' >&2
	return 1
}
