// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What policies may say: names, values to start with, and what does not go
 * together. Pure logic, see msvm_policy.h.
 */
#include <linux/export.h>
#include <linux/types.h>

#include <kunit/visibility.h>

#include "msvm_policy.h"

/* NULL at the end, for match_string() and its like. */
const char * const msvm_placement_names[MSVM_PLACEMENTS + 1] = {
	[MSVM_PLACEMENT_ADAPTIVE] = "adaptive",
	[MSVM_PLACEMENT_UVM_COMPAT] = "uvm-compat",
	[MSVM_PLACEMENT_FIRST_TOUCH] = "first-touch",
	[MSVM_PLACEMENT_FOLLOW_FAULT] = "follow-fault",
	[MSVM_PLACEMENT_PREFERRED] = "preferred",
	[MSVM_PLACEMENT_INTERLEAVE] = "interleave",
	[MSVM_PLACEMENT_SYSTEM] = "system",
	[MSVM_PLACEMENT_ACCESS_COUNT] = "access-count",
};

const char * const msvm_map_mode_names[MSVM_MAP_MODES + 1] = {
	[MSVM_MAP_LAZY] = "lazy",
	[MSVM_MAP_EAGER] = "eager",
	[MSVM_MAP_AUTO] = "auto",
};

const char * const msvm_peer_access_names[MSVM_PEER_ACCESSES + 1] = {
	[MSVM_PEER_AUTO] = "auto",
	[MSVM_PEER_ON] = "on",
	[MSVM_PEER_OFF] = "off",
};

const char * const msvm_prefetch_names[MSVM_PREFETCH_MODES + 1] = {
	[MSVM_PREFETCH_NONE] = "none",
	[MSVM_PREFETCH_BLOCK] = "block",
	[MSVM_PREFETCH_TREE] = "tree",
};

const char * const msvm_evict_to_names[MSVM_EVICT_TOS + 1] = {
	[MSVM_EVICT_TO_SYSTEM] = "system",
	[MSVM_EVICT_TO_PEER] = "peer",
};

const char * const msvm_reason_names[MSVM_NR_REASONS] = {
	[MSVM_REASON_NO_MEMORY] = "no-memory",
	[MSVM_REASON_DISABLED] = "disabled",
	[MSVM_REASON_KIND] = "kind",
	[MSVM_REASON_POLICY] = "policy",
	[MSVM_REASON_EXPLICIT] = "explicit",
	[MSVM_REASON_HERE] = "here",
	[MSVM_REASON_FIRST_TOUCH] = "first-touch",
	[MSVM_REASON_FOLLOW] = "follow",
	[MSVM_REASON_PREFERRED] = "preferred",
	[MSVM_REASON_INTERLEAVED] = "interleaved",
	[MSVM_REASON_COUNTED] = "counted",
	[MSVM_REASON_COUNTING] = "counting",
	[MSVM_REASON_PEER] = "peer",
	[MSVM_REASON_SHARED] = "shared",
	[MSVM_REASON_SEVERAL] = "several",
	[MSVM_REASON_OUT_OF_REACH] = "out-of-reach",
	[MSVM_REASON_FULL] = "full",
	[MSVM_REASON_PRESSURE] = "pressure",
	[MSVM_REASON_COST] = "cost",
	[MSVM_REASON_TIMESLICE] = "timeslice",
	[MSVM_REASON_THROTTLED] = "throttled",
	[MSVM_REASON_PINNED] = "pinned",
	[MSVM_REASON_ATTR_PREFERRED] = "attr-preferred",
	[MSVM_REASON_ATTR_ACCESSED_BY] = "attr-accessed-by",
	[MSVM_REASON_ATTR_READ_MOSTLY] = "attr-read-mostly",
	[MSVM_REASON_ATTR_NO_ACCESS] = "attr-no-access",
	[MSVM_REASON_ATTR_ATOMICS] = "attr-atomics",
};
EXPORT_SYMBOL_IF_KUNIT(msvm_reason_names);

/*
 * Thrashing and prefetch start with the values of nvidia-uvm 595.45.04:
 * uvm_perf_thrashing_{threshold,lapse_usec,nap,pin_threshold,pin,epoch,max_resets}
 * and uvm_perf_prefetch_threshold.
 */
const struct msvm_policy_params msvm_policy_default = {
	.placement = MSVM_PLACEMENT_ADAPTIVE,
	.map_mode = MSVM_MAP_LAZY,
	.peer_access = MSVM_PEER_ON,
	.prefetch = MSVM_PREFETCH_NONE,
	.evict_to = MSVM_EVICT_TO_SYSTEM,
	.chunk_sizes = MSVM_CHUNK_4K | MSVM_CHUNK_64K | MSVM_CHUNK_2M,
	.prefetch_percent = 51,
	.migrate_threshold = 3,
	.migrate_window_ms = 100,
	.thrash_threshold = 3,
	.thrash_window_us = 500,
	.thrash_throttle_us = 500,
	.thrash_max_throttles = 10,
	.thrash_pin_ms = 150,
	.thrash_reset_ms = 1000,
	.thrash_max_resets = 4,
	.timeslice_ms = 0,
	.interleave_kib = 2048,
};
EXPORT_SYMBOL_IF_KUNIT(msvm_policy_default);

/*
 * Does a policy make sense as a whole? Single values were checked when they came.
 * Return: NULL, or what is wrong, for people, and the file in @field.
 */
const char *msvm_policy_check(const struct msvm_policy_params *params,
			      const char **field)
{
	if (params->placement == MSVM_PLACEMENT_PREFERRED &&
	    !params->nr_preferred) {
		*field = "preferred_devices";
		return "placement preferred needs at least one device";
	}
	if (params->thrash_threshold &&
	    (u64)params->thrash_window_us > 1000ULL * params->thrash_reset_ms) {
		*field = "thrash_reset_ms";
		return "must not be shorter than thrash_window_us";
	}
	if (!(params->chunk_sizes & MSVM_CHUNK_4K)) {
		*field = "chunk_sizes";
		return "must have 4K, or single pages could not be served";
	}
	return NULL;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_policy_check);
