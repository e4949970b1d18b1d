// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Where the memory is that devices have mapped, for people: pages on each node of
 * system memory, which the policies of VMAs and tasks decide on, and in each device's
 * memory. By the last walks, so that nothing is walked, locked or moved for it.
 */
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "msvm_internal.h"
#include "msvm_memory.h"

/**
 * struct msvm_tally - Pages by where they are.
 * @nodes: On each node.
 * @device_pages: In the memory of each of @devices.
 * @devices: Numbers of devices, in the order in which they were met.
 * @nr_devices: How many.
 */
struct msvm_tally {
	unsigned long *nodes;
	unsigned long device_pages[DRM_MSVM_MAX_MEMBERS];
	u32 devices[DRM_MSVM_MAX_MEMBERS];
	unsigned int nr_devices;
};

static void msvm_tally_device(struct msvm_tally *tally, u32 dev_id,
			      unsigned long pages)
{
	unsigned int i;

	for (i = 0; i < tally->nr_devices; i++)
		if (tally->devices[i] == dev_id)
			break;
	/* More than can be members: some are about to be gone. */
	if (i == ARRAY_SIZE(tally->devices))
		return;
	if (i == tally->nr_devices) {
		tally->devices[i] = dev_id;
		tally->nr_devices++;
	}
	tally->device_pages[i] += pages;
}

/* Pages of a valid walk are mapped, so they stay while the notifier lock is held. */
static void msvm_tally_range(struct msvm_tally *tally,
			     struct drm_msvm_range *range)
{
	struct drm_gpusvm *gpusvm = range->base.gpusvm;
	struct msvm_pagemap *pagemap;
	unsigned long pfn, pages;
	u32 i;

	drm_gpusvm_notifier_lock(gpusvm);
	for (i = 0; range->runs_valid && i < range->nr_runs; i++) {
		pfn = msvm_run_pfn(range->runs[i]);
		pages = BIT(msvm_run_order(range->runs[i]));
		pagemap = range->dpagemap ? msvm_pagemap_of_pfn(pfn) : NULL;
		if (pagemap)
			msvm_tally_device(tally, pagemap->memory->dev_id, pages);
		else
			tally->nodes[page_to_nid(pfn_to_page(pfn))] += pages;
	}
	drm_gpusvm_notifier_unlock(gpusvm);
}

static void msvm_tally_all(struct msvm_tally *tally, struct drm_msvm *msvm)
{
	struct drm_msvm_range *range;
	unsigned long index, page;
	struct msvm_shard *shard;

	xa_for_each(&msvm->shards, index, shard) {
		page = 0;
		while ((range = msvm_range_next(shard, &page, ULONG_MAX))) {
			msvm_tally_range(tally, range);
			msvm_range_put(range);
			cond_resched();
		}
	}
}

/*
 * Show where an address space's memory is, as far as it was walked and has not changed
 * since. Context: sleeps. Return: 0 or -ENOMEM.
 */
int msvm_where_show(struct drm_msvm *msvm, struct seq_file *m)
{
	struct msvm_tally *tally;
	unsigned int i;

	tally = kzalloc_obj(*tally);
	if (!tally)
		return -ENOMEM;
	tally->nodes = kcalloc(nr_node_ids, sizeof(*tally->nodes), GFP_KERNEL);
	if (!tally->nodes) {
		kfree(tally);
		return -ENOMEM;
	}
	msvm_tally_all(tally, msvm);

	for_each_online_node(i)
		seq_printf(m, "node%u: %lu\n", i, tally->nodes[i]);
	for (i = 0; i < tally->nr_devices; i++)
		seq_printf(m, "device%u: %lu\n", tally->devices[i],
			   tally->device_pages[i]);
	kfree(tally->nodes);
	kfree(tally);
	return 0;
}
