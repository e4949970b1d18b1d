// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Per-CPU counters of each address space, and their totals since the module
 * was loaded.  Counting takes no lock and touches no shared cache line.
 */
#include <linux/seq_file.h>

#include "msvm_internal.h"

static struct msvm_stats __percpu *msvm_global_stats;

static const char * const msvm_stat_names[] = {
	[MSVM_STAT_FAULTS] = "faults",
	[MSVM_STAT_FAULTS_MERGED] = "faults_merged",
	[MSVM_STAT_SPURIOUS] = "spurious",
	[MSVM_STAT_HMM_WALKS] = "hmm_walks",
	[MSVM_STAT_WALK_PAGES] = "walk_pages",
	[MSVM_STAT_WALKS_SAVED] = "walks_saved",
	[MSVM_STAT_MAPS] = "maps",
	[MSVM_STAT_MAP_PAGES] = "map_pages",
	[MSVM_STAT_MAPS_LENT] = "maps_lent",
	[MSVM_STAT_MAPS_IOVA] = "maps_iova",
	[MSVM_STAT_BINDS] = "binds",
	[MSVM_STAT_UPGRADES] = "upgrades",
	[MSVM_STAT_INVALIDATIONS] = "invalidations",
	[MSVM_STAT_ZAPS] = "zaps",
	[MSVM_STAT_WEDGED] = "wedged",
	[MSVM_STAT_RANGES_CREATED] = "ranges_created",
	[MSVM_STAT_RANGES_COLLECTED] = "ranges_collected",
	[MSVM_STAT_SPLITS] = "splits",
	[MSVM_STAT_MOVES] = "moves",
	[MSVM_STAT_MOVED_PAGES] = "moved_pages",
	[MSVM_STAT_UNMOVED_PAGES] = "unmoved_pages",
	[MSVM_STAT_MOVES_TO_SYSTEM] = "moves_to_system",
	[MSVM_STAT_QUIESCES] = "quiesces",
	[MSVM_STAT_RESUMES] = "resumes",
	[MSVM_STAT_THROTTLES] = "throttles",
	[MSVM_STAT_PINS] = "pins",
	[MSVM_STAT_UNPINS] = "unpins",
	[MSVM_STAT_EAGER_MAPS] = "eager_maps",
	[MSVM_STAT_PREFETCHED_PAGES] = "prefetched_pages",
	[MSVM_STAT_PREFETCH_USED] = "prefetch_used",
	[MSVM_STAT_TAKEN] = "taken",
	[MSVM_STAT_RETRIES] = "retries",
	[MSVM_STAT_HELD] = "held",
	[MSVM_STAT_RANGES_REVIVED] = "ranges_revived",
	[MSVM_STAT_ERRORS_EFAULT] = "errors_efault",
	[MSVM_STAT_ERRORS_EACCES] = "errors_eacces",
	[MSVM_STAT_ERRORS_ENOMEM] = "errors_enomem",
	[MSVM_STAT_ERRORS_EBUSY] = "errors_ebusy",
	[MSVM_STAT_ERRORS_EIO] = "errors_eio",
	[MSVM_STAT_ERRORS_OTHER] = "errors_other",
	[MSVM_STAT_QUEUE_FAULTS] = "queue_faults",
	[MSVM_STAT_QUEUE_OVERFLOWS] = "queue_overflows",
	[MSVM_STAT_QUEUE_BATCHES] = "queue_batches",
	[MSVM_STAT_QUEUE_MERGED] = "queue_merged",
	[MSVM_STAT_QUEUE_CANCELLED] = "queue_cancelled",
	[MSVM_STAT_USERPTR_BINDS] = "userptr_binds",
	[MSVM_STAT_USERPTR_INVALIDATIONS] = "userptr_invalidations",
	[MSVM_STAT_USERPTR_REVALIDATIONS] = "userptr_revalidations",
};

static_assert(ARRAY_SIZE(msvm_stat_names) == MSVM_STAT_COUNT);

/* Count @n events of an address space. Any context. */
void msvm_stat_add(struct drm_msvm *msvm, enum msvm_stat stat, u64 n)
{
	this_cpu_add(msvm->stats->count[stat], n);
	this_cpu_add(msvm_global_stats->count[stat], n);
}

/* Account for bookkeeping memory, negative when it is freed. Any context. */
void msvm_stat_bytes(struct drm_msvm *msvm, s64 bytes)
{
	this_cpu_add(msvm->stats->bytes, bytes);
	this_cpu_add(msvm_global_stats->bytes, bytes);
}

/* Count a fault that failed with @err. Any context. */
void msvm_stat_error(struct drm_msvm *msvm, int err)
{
	enum msvm_stat stat;

	switch (err) {
	case -EFAULT:
		stat = MSVM_STAT_ERRORS_EFAULT;
		break;
	case -EACCES:
		stat = MSVM_STAT_ERRORS_EACCES;
		break;
	case -ENOMEM:
		stat = MSVM_STAT_ERRORS_ENOMEM;
		break;
	case -EBUSY:
		stat = MSVM_STAT_ERRORS_EBUSY;
		break;
	case -EIO:
		stat = MSVM_STAT_ERRORS_EIO;
		break;
	default:
		stat = MSVM_STAT_ERRORS_OTHER;
	}
	msvm_stat_inc(msvm, stat);
}

/* Count a decision on a fault. Any context. */
void msvm_stat_decided(struct drm_msvm *msvm, enum msvm_reason reason)
{
	this_cpu_inc(msvm->stats->decided[reason]);
	this_cpu_inc(msvm_global_stats->decided[reason]);
}

/* Sum one counter over all CPUs. */
u64 msvm_stat_read(const struct msvm_stats __percpu *stats, enum msvm_stat stat)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(stats, cpu)->count[stat]);
	return sum;
}

/* Sum the bytes of bookkeeping over all CPUs. */
s64 msvm_stat_read_bytes(const struct msvm_stats __percpu *stats)
{
	s64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(stats, cpu)->bytes);
	return sum;
}

static u64 msvm_stat_read_decided(const struct msvm_stats __percpu *stats,
				  enum msvm_reason reason)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(stats, cpu)->decided[reason]);
	return sum;
}

/* Print all counters, one "name: value" a line. */
void msvm_stats_show(struct seq_file *m, const struct msvm_stats __percpu *stats)
{
	int i;

	for (i = 0; i < MSVM_STAT_COUNT; i++)
		seq_printf(m, "%s: %llu\n", msvm_stat_names[i],
			   msvm_stat_read(stats, i));
	for (i = 0; i < MSVM_NR_REASONS; i++)
		seq_printf(m, "decided_%s: %llu\n", msvm_reason_names[i],
			   msvm_stat_read_decided(stats, i));
	seq_printf(m, "bytes: %lld\n", msvm_stat_read_bytes(stats));
}

/* The totals over all address spaces. */
const struct msvm_stats __percpu *msvm_stats_global(void)
{
	return msvm_global_stats;
}

int msvm_stats_init(void)
{
	msvm_global_stats = alloc_percpu(struct msvm_stats);
	return msvm_global_stats ? 0 : -ENOMEM;
}

void msvm_stats_exit(void)
{
	s64 bytes = msvm_stat_read_bytes(msvm_global_stats);

	/* All memory is accounted for, so what is left here is a leak. */
	if (bytes)
		pr_warn("drm_msvm: WARNING: %lld bytes of bookkeeping leaked\n",
			bytes);
	free_percpu(msvm_global_stats);
}
