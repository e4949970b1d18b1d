// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Failures and flaws on request, set below /sys/kernel/debug/drm_msvm/:
 *
 * inject/alloc      n: the n-th allocation of the library from now on fails; 0: none
 * inject/fresh      n: the next one at a place that failed less than n times fails
 * inject/allocs     allocations so far, written to start over
 * inject/sites      where in the library it allocates: how often, and failed how often
 * inject/walk       n: the next n walks count as overtaken by a change
 * inject/map        n: the n-th DMA mapping of a piece from now on fails
 * mutate/FLAW       1: the library has this flaw from now on
 *
 * The kernel's own fault injection is the better tool where it is built in; this
 * works on distribution kernels too, and fails nobody else's allocations.
 */
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/debugfs.h>
#include <linux/instruction_pointer.h>
#include <linux/printk.h>
#include <linux/seq_file.h>

#include "msvm_inject.h"

static const char * const msvm_mutation_names[] = {
	[MSVM_MUTATE_SKIP_ZAP] = "skip_zap",
	[MSVM_MUTATE_SKIP_WAIT] = "skip_wait",
	[MSVM_MUTATE_WAIT_EARLY] = "wait_early",
	[MSVM_MUTATE_UNMAP_BEFORE_WAIT] = "unmap_before_wait",
	[MSVM_MUTATE_FORGET_SLOT] = "forget_slot",
	[MSVM_MUTATE_REUSE_RUNS] = "reuse_runs",
	[MSVM_MUTATE_FORGET_WRITE_BIT] = "forget_write_bit",
	[MSVM_MUTATE_FORGET_DIRTY] = "forget_dirty",
	[MSVM_MUTATE_SWALLOW_ERROR] = "swallow_error",
	[MSVM_MUTATE_LEAK_PARTIAL_MAP] = "leak_partial_map",
	[MSVM_MUTATE_WRONG_DIRECTION] = "wrong_direction",
	[MSVM_MUTATE_FAIL_ALL_SLOTS] = "fail_all_slots",
	[MSVM_MUTATE_REMOVE_MAPPED] = "remove_mapped",
	[MSVM_MUTATE_COLLECT_WAITS] = "collect_waits",
	[MSVM_MUTATE_ALWAYS_WALK] = "always_walk",
	[MSVM_MUTATE_FORGET_REFUSED] = "forget_refused",
	[MSVM_MUTATE_SKIP_CLAIM] = "skip_claim",
	[MSVM_MUTATE_SKIP_QUIESCE] = "skip_quiesce",
	[MSVM_MUTATE_SKIP_CLEAR] = "skip_clear",
	[MSVM_MUTATE_NO_SECOND_CHANCE] = "no_second_chance",
	[MSVM_MUTATE_IGNORE_REACH] = "ignore_reach",
	[MSVM_MUTATE_NEVER_HOLD] = "never_hold",
	[MSVM_MUTATE_HOLD_ANY] = "hold_any",
	[MSVM_MUTATE_REVIVE_ANY] = "revive_any",
	[MSVM_MUTATE_LEND_TO_ANY] = "lend_to_any",
	[MSVM_MUTATE_KEEP_NO_ATTR] = "keep_no_attr",
	[MSVM_MUTATE_ATOMICS_ANYWHERE] = "atomics_anywhere",
	[MSVM_MUTATE_COPY_FROM_ANY] = "copy_from_any",
	[MSVM_MUTATE_MAP_BY_POLICY] = "map_by_policy",
};

static_assert(ARRAY_SIZE(msvm_mutation_names) == MSVM_MUTATIONS);

/* One flag each, not a mask: debugfs has files for booleans. */
static bool msvm_mutations[MSVM_MUTATIONS];
static atomic_t msvm_inject_alloc;
static atomic_t msvm_inject_fresh;
static atomic_t msvm_inject_allocs;
static atomic_t msvm_inject_walk;
static atomic_t msvm_inject_map;

/* Does the library have this flaw? Any context. */
bool msvm_mutated(enum msvm_mutation mutation)
{
	/* Pairs with the write through debugfs; no order is needed. */
	return READ_ONCE(msvm_mutations[mutation]);
}

/* More than there are. */
#define MSVM_SITES	128

/* Places that allocate, in the order in which they first did. */
static struct msvm_site {
	atomic_long_t ip;
	atomic_t allocs;
	atomic_t failed;
} msvm_sites[MSVM_SITES];

/* The entry of a place, taken if it has none yet; NULL: there are too many. */
static struct msvm_site *msvm_site_of(unsigned long ip)
{
	struct msvm_site *site;
	long old;

	for (site = msvm_sites; site < msvm_sites + MSVM_SITES; site++) {
		old = atomic_long_read(&site->ip);
		if (!old)
			old = atomic_long_cmpxchg(&site->ip, 0, ip) ?: ip;
		if (old == ip)
			return site;
	}
	return NULL;
}

static int msvm_sites_show(struct seq_file *m, void *unused)
{
	struct msvm_site *site;
	long ip;

	for (site = msvm_sites; site < msvm_sites + MSVM_SITES; site++) {
		ip = atomic_long_read(&site->ip);
		if (!ip)
			break;
		seq_printf(m, "%pS %d %d\n", (void *)ip,
			   atomic_read(&site->allocs),
			   atomic_read(&site->failed));
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(msvm_sites);

/* Must this allocation fail? Any context. */
bool msvm_fail_alloc(void)
{
	struct msvm_site *site = msvm_site_of(_RET_IP_);
	bool fail;

	atomic_inc(&msvm_inject_allocs);
	fail = atomic_add_unless(&msvm_inject_alloc, -1, 0) &&
	       !atomic_read(&msvm_inject_alloc);
	if (site) {
		int fresh = atomic_read(&msvm_inject_fresh);

		/* Only one of those that come at the same time. */
		if (!fail && fresh && atomic_read(&site->failed) < fresh)
			fail = atomic_cmpxchg(&msvm_inject_fresh, fresh,
					      0) == fresh;
		atomic_inc(&site->allocs);
		atomic_add(fail, &site->failed);
	}
	return fail;
}

/* Must this walk be thrown away? Any context. */
bool msvm_fail_walk(void)
{
	return atomic_add_unless(&msvm_inject_walk, -1, 0);
}

/* Must this mapping of a piece of system memory fail? Any context. */
bool msvm_fail_map(void)
{
	return atomic_add_unless(&msvm_inject_map, -1, 0) &&
	       !atomic_read(&msvm_inject_map);
}

/* Make the files, below the library's folder. */
void msvm_inject_init(struct dentry *parent)
{
	struct dentry *dir = debugfs_create_dir("inject", parent);
	int i;

	debugfs_create_atomic_t("alloc", 0600, dir, &msvm_inject_alloc);
	debugfs_create_atomic_t("allocs", 0600, dir, &msvm_inject_allocs);
	debugfs_create_atomic_t("fresh", 0600, dir, &msvm_inject_fresh);
	debugfs_create_file("sites", 0400, dir, NULL, &msvm_sites_fops);
	debugfs_create_atomic_t("walk", 0600, dir, &msvm_inject_walk);
	debugfs_create_atomic_t("map", 0600, dir, &msvm_inject_map);

	dir = debugfs_create_dir("mutate", parent);
	for (i = 0; i < MSVM_MUTATIONS; i++)
		debugfs_create_bool(msvm_mutation_names[i], 0600, dir,
				    &msvm_mutations[i]);
	pr_info("drm_msvm: built for tests, with flaws on request\n");
}
