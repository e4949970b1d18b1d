// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What can be seen below /sys/kernel/debug/drm_msvm/. Nothing here changes
 * anything, and nothing depends on it.
 */
#include <linux/debugfs.h>
#include <linux/math64.h>
#include <linux/seq_file.h>
#include <linux/timekeeping.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>

#include "msvm_internal.h"
#include "msvm_memory.h"

static struct dentry *msvm_debugfs_root;

/* The name users know a GPU by is that of its render node. */
static const char *msvm_device_node(struct drm_msvm_device *dev, char *buf,
				    size_t size)
{
	if (dev->drm->render)
		snprintf(buf, size, "renderD%d", dev->drm->render->index);
	else
		strscpy(buf, "-", size);
	return buf;
}

static void msvm_contexts_show_one(struct drm_msvm *msvm, void *data)
{
	seq_printf(data, "%-6u %-8d %-16s %7u %8ld\n", msvm->id, msvm->tgid,
		   msvm->comm, READ_ONCE(msvm->nr_members),
		   atomic_long_read(&msvm->nr_ranges));
}

static int msvm_contexts_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%-6s %-8s %-16s %7s %8s\n", "id", "pid", "comm",
		   "members", "ranges");
	msvm_context_for_each(msvm_contexts_show_one, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(msvm_contexts);

static void msvm_devices_show_one(struct drm_msvm_device *dev, void *data)
{
	struct drm_msvm_memory_info info = {};
	char node[24];

	drm_msvm_device_memory_info(dev, &info);
	seq_printf(data, "%-6u %-16s %-12s %-16s %-8s %7d %8llu %8llu %8llu %9llu\n",
		   dev->id,
		   dev_name(dev->drm->dev),
		   msvm_device_node(dev, node, sizeof(node)),
		   dev->drm->driver->name,
		   dev->flags & DRM_MSVM_DEVICE_NO_DMA ? "none" : "dma",
		   atomic_read(&dev->members), info.size >> 10,
		   info.limit >> 10, info.used >> 10, info.evictions);
}

static int msvm_devices_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%-6s %-16s %-12s %-16s %-8s %7s %8s %8s %8s %9s\n", "id",
		   "device", "node", "driver", "mapping", "members", "KiB",
		   "limit", "used", "evictions");
	msvm_device_for_each(msvm_devices_show_one, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(msvm_devices);

static void msvm_queues_show_one(struct drm_msvm_device *dev, void *data)
{
	/* Pairs with smp_store_release() in drm_msvm_fault_queue_init(). */
	struct drm_msvm_fault_queue *queue = smp_load_acquire(&dev->queue);
	char node[24];

	if (!queue)
		return;
	guard(spinlock_irq)(&queue->lock);
	seq_printf(data, "%-6u %-16s %-12s %6u %6u %8u %9llu\n", dev->id,
		   dev_name(dev->drm->dev),
		   msvm_device_node(dev, node, sizeof(node)), queue->depth,
		   queue->fill, queue->highest, queue->overflows);
}

static int msvm_queues_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%-6s %-16s %-12s %6s %6s %8s %9s\n", "id", "device",
		   "node", "depth", "fill", "highest", "overflows");
	msvm_device_for_each(msvm_queues_show_one, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(msvm_queues);

static int msvm_global_stats_show(struct seq_file *m, void *unused)
{
	msvm_stats_show(m, msvm_stats_global());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(msvm_global_stats);

static int msvm_info_show(struct seq_file *m, void *unused)
{
	struct drm_msvm *msvm = m->private;
	struct msvm_shard *shard;
	unsigned long index;
	unsigned int shards = 0;

	xa_for_each(&msvm->shards, index, shard)
		shards++;

	seq_printf(m, "id: %u\n", msvm->id);
	seq_printf(m, "pid: %d\n", msvm->tgid);
	seq_printf(m, "comm: %s\n", msvm->comm);
	seq_printf(m, "mm: %s\n",
		   atomic_read(&msvm->mm->mm_users) ? "alive" : "dead");
	seq_printf(m, "members: %u\n", READ_ONCE(msvm->nr_members));
	seq_printf(m, "ranges: %ld\n", atomic_long_read(&msvm->nr_ranges));
	seq_printf(m, "notifiers: %ld\n",
		   atomic_long_read(&msvm->nr_notifiers));
	seq_printf(m, "userptrs: %u\n", msvm_userptrs_count(msvm));
	seq_printf(m, "shards: %u\n", shards);
	seq_printf(m, "shard_bytes: %lu\n",
		   (unsigned long)DRM_MSVM_NOTIFIER_SIZE);
	seq_printf(m, "bytes: %lld\n", msvm_stat_read_bytes(msvm->stats));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(msvm_info);

static int msvm_members_show(struct seq_file *m, void *unused)
{
	struct drm_msvm *msvm = m->private;
	unsigned int slot;
	char node[24];

	seq_printf(m, "%-4s %-16s %-12s %-31s %10s %s\n", "slot", "device",
		   "node", "window", "faults", "state");

	guard(mutex)(&msvm->lock);
	for_each_set_bit(slot, msvm->slots, DRM_MSVM_MAX_MEMBERS) {
		struct drm_msvm_member *member = msvm->members[slot];
		const char *state = "joined";

		if (READ_ONCE(member->wedged))
			state = "wedged";
		else if (READ_ONCE(member->leaving))
			state = "leaving";
		seq_printf(m, "%-4u %-16s %-12s %015llx-%015llx %10llu %s\n",
			   slot, dev_name(member->dev->drm->dev),
			   msvm_device_node(member->dev, node, sizeof(node)),
			   member->va_start, member->va_end,
			   drm_msvm_member_faults(member), state);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(msvm_members);

static int msvm_stats_file_show(struct seq_file *m, void *unused)
{
	struct drm_msvm *msvm = m->private;

	msvm_stats_show(m, msvm->stats);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(msvm_stats_file);

/*
 * The position in "ranges" is one more than the page number to go on from, so
 * that a million ranges need neither a buffer nor a count, and a range that
 * goes away between two reads is no problem. Position 0 is the header.
 */
static struct drm_msvm_range *msvm_ranges_find(struct drm_msvm *msvm,
					       loff_t *pos)
{
	unsigned long per_shard = DRM_MSVM_NOTIFIER_SIZE >> PAGE_SHIFT;
	unsigned long page = *pos - 1, index = page / per_shard;
	struct drm_msvm_range *range;
	struct msvm_shard *shard;

	for (shard = xa_find(&msvm->shards, &index, ULONG_MAX, XA_PRESENT);
	     shard;
	     shard = xa_find_after(&msvm->shards, &index, ULONG_MAX,
				   XA_PRESENT)) {
		unsigned long first = shard->start >> PAGE_SHIFT;
		unsigned long offset = page > first ? page - first : 0;

		rcu_read_lock();
		xa_for_each_start(&shard->index, offset, range, offset) {
			if (!kref_get_unless_zero(&range->base.refcount))
				continue;
			rcu_read_unlock();
			*pos = (drm_gpusvm_range_start(&range->base) >>
				PAGE_SHIFT) + 1;
			return range;
		}
		rcu_read_unlock();
	}
	return NULL;
}

static void *msvm_ranges_start(struct seq_file *m, loff_t *pos)
{
	return *pos ? (void *)msvm_ranges_find(m->private, pos) :
		      SEQ_START_TOKEN;
}

static void msvm_ranges_put(void *v)
{
	if (v && v != SEQ_START_TOKEN)
		msvm_range_put(v);
}

static void *msvm_ranges_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct drm_msvm_range *range = v;

	if (v == SEQ_START_TOKEN)
		*pos = 1;
	else
		*pos = (drm_gpusvm_range_end(&range->base) >> PAGE_SHIFT) + 1;
	msvm_ranges_put(v);

	return msvm_ranges_find(m->private, pos);
}

static void msvm_ranges_stop(struct seq_file *m, void *v)
{
	msvm_ranges_put(v);
}

/* Where a range is pinned and how many ms yet, for people to read. */
static void msvm_ranges_pinned(struct drm_msvm_range *range, char *where,
			       char *left, size_t size)
{
	u64 until, now = ktime_get_ns();
	u8 at;

	strscpy(where, "-", size);
	strscpy(left, "-", size);
	until = msvm_place_pinned_until(range, &at);
	if (!until)
		return;
	if (at < DRM_MSVM_MAX_MEMBERS)
		snprintf(where, size, "%u", at);
	else
		strscpy(where, "system", size);
	if (until == ~0ULL)
		strscpy(left, "ever", size);
	else
		snprintf(left, size, "%llu",
			 div_u64(until - min(now, until), NSEC_PER_MSEC));
}

static int msvm_ranges_show(struct seq_file *m, void *v)
{
	struct drm_msvm_range *range = v;
	char where[12] = "-", pinned[24], left[24];
	struct drm_gpusvm *gpusvm;

	if (v == SEQ_START_TOKEN) {
		seq_printf(m, "%-12s-%-12s %8s %-5s %-16s %-16s %6s %-6s %-6s %6s %s\n",
			   "start", "end", "KiB", "walk", "mapped", "writable",
			   "runs", "device", "pinned", "pin_ms", "state");
		return 0;
	}
	msvm_ranges_pinned(range, pinned, left, sizeof(pinned));

	gpusvm = range->base.gpusvm;
	drm_gpusvm_notifier_lock(gpusvm);
	if (range->runs_valid && range->dpagemap)
		snprintf(where, sizeof(where), "%u",
			 to_msvm_pagemap(range->dpagemap)->memory->dev_id);
	seq_printf(m, "%012lx-%012lx %8lu %-5s %*pb %*pb %6u %-6s %-6s %6s %s\n",
		   drm_gpusvm_range_start(&range->base),
		   drm_gpusvm_range_end(&range->base),
		   drm_gpusvm_range_size(&range->base) >> 10,
		   range->runs_valid ? "valid" : "none",
		   DRM_MSVM_MAX_MEMBERS, range->mapped,
		   DRM_MSVM_MAX_MEMBERS, range->writable,
		   range->runs_valid ? range->nr_runs : 0, where, pinned, left,
		   msvm_range_unmapped(range) ? "unmapped" : "live");
	drm_gpusvm_notifier_unlock(gpusvm);
	return 0;
}

static const struct seq_operations msvm_ranges_sops = {
	.start = msvm_ranges_start,
	.next = msvm_ranges_next,
	.stop = msvm_ranges_stop,
	.show = msvm_ranges_show,
};
DEFINE_SEQ_ATTRIBUTE(msvm_ranges);

static int msvm_userptrs_file_show(struct seq_file *m, void *unused)
{
	msvm_userptrs_show(m->private, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(msvm_userptrs_file);

static int msvm_policy_file_show(struct seq_file *m, void *unused)
{
	msvm_claim_show(m->private, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(msvm_policy_file);

static int msvm_where_file_show(struct seq_file *m, void *unused)
{
	return msvm_where_show(m->private, m);
}
DEFINE_SHOW_ATTRIBUTE(msvm_where_file);

/* Make the directory of an address space. Errors leave it invisible, no more. */
void msvm_debugfs_add(struct drm_msvm *msvm)
{
	struct dentry *dir;
	char name[12];

	snprintf(name, sizeof(name), "%u", msvm->id);
	dir = debugfs_create_dir(name, msvm_debugfs_root);
	msvm->debugfs = dir;
	debugfs_create_file("info", 0400, dir, msvm, &msvm_info_fops);
	debugfs_create_file("members", 0400, dir, msvm, &msvm_members_fops);
	debugfs_create_file("ranges", 0400, dir, msvm, &msvm_ranges_fops);
	debugfs_create_file("userptrs", 0400, dir, msvm,
			    &msvm_userptrs_file_fops);
	debugfs_create_file("stats", 0400, dir, msvm, &msvm_stats_file_fops);
	debugfs_create_file("policy", 0400, dir, msvm, &msvm_policy_file_fops);
	debugfs_create_file("where", 0400, dir, msvm, &msvm_where_file_fops);
	msvm_attr_debugfs_add(msvm);
}

/* Remove it, after waiting for whoever reads in it. Context: sleeps. */
void msvm_debugfs_remove(struct drm_msvm *msvm)
{
	debugfs_remove(msvm->debugfs);
}

void msvm_debugfs_init(void)
{
	struct dentry *dir = debugfs_create_dir("drm_msvm", NULL);

	msvm_debugfs_root = dir;
	debugfs_create_file("contexts", 0400, dir, NULL, &msvm_contexts_fops);
	debugfs_create_file("devices", 0400, dir, NULL, &msvm_devices_fops);
	debugfs_create_file("queues", 0400, dir, NULL, &msvm_queues_fops);
	debugfs_create_file("stats", 0400, dir, NULL, &msvm_global_stats_fops);
	msvm_inject_init(dir);
}

void msvm_debugfs_exit(void)
{
	debugfs_remove(msvm_debugfs_root);
}
