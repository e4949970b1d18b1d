/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Per-CPU counters: what is counted, and how to count it.
 */
#ifndef __MSVM_STATS_H__
#define __MSVM_STATS_H__

#include <linux/percpu.h>
#include <linux/types.h>

#include "msvm_policy.h"

struct drm_msvm;
struct seq_file;

/* A counter; its name is in msvm_stat_names[], in the same order. */
enum msvm_stat {
	/* Calls of drm_msvm_handle_fault(). */
	MSVM_STAT_FAULTS,
	/* Faults that found their range being served for another. */
	MSVM_STAT_FAULTS_MERGED,
	/* Faults that found their access already allowed. */
	MSVM_STAT_SPURIOUS,
	/* Successful walks of the CPU page table. */
	MSVM_STAT_HMM_WALKS,
	/* Pages those walks covered. */
	MSVM_STAT_WALK_PAGES,
	/* Mappings made from an earlier walk's result. */
	MSVM_STAT_WALKS_SAVED,
	/* DMA mappings of one range for one device. */
	MSVM_STAT_MAPS,
	/* Pages those mappings covered. */
	MSVM_STAT_MAP_PAGES,
	/* Those taken over from another device. */
	MSVM_STAT_MAPS_LENT,
	/* Those in an address space of an IOMMU, linked piece by piece. */
	MSVM_STAT_MAPS_IOVA,
	/* Successful calls of the bind operation. */
	MSVM_STAT_BINDS,
	/* Read-only mappings replaced by writable ones. */
	MSVM_STAT_UPGRADES,
	/* Notifier callbacks that hit at least one range. */
	MSVM_STAT_INVALIDATIONS,
	/* Calls of the zap operation. */
	MSVM_STAT_ZAPS,
	/* Members cut off because a shoot-down was not answered. */
	MSVM_STAT_WEDGED,
	/* Ranges inserted. */
	MSVM_STAT_RANGES_CREATED,
	/* Ranges removed after their memory was unmapped. */
	MSVM_STAT_RANGES_COLLECTED,
	/* Ranges dropped to serve the fault by a smaller one. */
	MSVM_STAT_SPLITS,
	/* Times that pages were to be moved to a device. */
	MSVM_STAT_MOVES,
	/* Pages that were there afterwards. */
	MSVM_STAT_MOVED_PAGES,
	/* Pages that were not. */
	MSVM_STAT_UNMOVED_PAGES,
	/* Times that a range or interval was brought to system memory. */
	MSVM_STAT_MOVES_TO_SYSTEM,
	/* Times that queues were stopped because kept memory was taken away. */
	MSVM_STAT_QUIESCES,
	/* Times that they were started again. */
	MSVM_STAT_RESUMES,
	/* Faults told to wait since the range is moved back and forth. */
	MSVM_STAT_THROTTLES,
	/* Ranges left alone for a while since they were moved too often. */
	MSVM_STAT_PINS,
	/* Ranges found no longer to be left alone. */
	MSVM_STAT_UNPINS,
	/* Mappings made for others than the member that faulted. */
	MSVM_STAT_EAGER_MAPS,
	/* Pages moved along with what faulted. */
	MSVM_STAT_PREFETCHED_PAGES,
	/* Those of them in blocks that some device mapped. */
	MSVM_STAT_PREFETCH_USED,
	/* Evicted or taken by a CPU, found at a fault: moves nobody decided. */
	MSVM_STAT_TAKEN,
	/* Times a fault started over because the CPU side changed. */
	MSVM_STAT_RETRIES,
	/* Faults served with mmap_lock held, for it changed too often. */
	MSVM_STAT_HELD,
	/* Unmapped ranges that became ranges of what was mapped there next. */
	MSVM_STAT_RANGES_REVIVED,
	/* Faults that failed, by errno. */
	MSVM_STAT_ERRORS_EFAULT,
	MSVM_STAT_ERRORS_EACCES,
	MSVM_STAT_ERRORS_ENOMEM,
	MSVM_STAT_ERRORS_EBUSY,
	MSVM_STAT_ERRORS_EIO,
	MSVM_STAT_ERRORS_OTHER,
	/* Faults pushed to a fault queue. */
	MSVM_STAT_QUEUE_FAULTS,
	/* Pushes refused because the device's queue was full. */
	MSVM_STAT_QUEUE_OVERFLOWS,
	/* Times that a worker took the faults of one range together. */
	MSVM_STAT_QUEUE_BATCHES,
	/* Faults answered with the result of another, of the same page. */
	MSVM_STAT_QUEUE_MERGED,
	/* Faults cancelled, for they left or were told to. */
	MSVM_STAT_QUEUE_CANCELLED,
	/* Userptrs bound for one member. */
	MSVM_STAT_USERPTR_BINDS,
	/* Notifier callbacks that took bound userptrs away. */
	MSVM_STAT_USERPTR_INVALIDATIONS,
	/* Userptrs bound again by the worker. */
	MSVM_STAT_USERPTR_REVALIDATIONS,
	MSVM_STAT_COUNT
};

/**
 * struct msvm_stats - One CPU's share of the counters.
 * @count: Event counters, indexed by enum msvm_stat.
 * @decided: Decisions on faults by their reason.
 * @bytes: Bytes of bookkeeping allocated less those freed on this CPU; only
 *	the sum over all CPUs means something.
 */
struct msvm_stats {
	u64 count[MSVM_STAT_COUNT];
	u64 decided[MSVM_NR_REASONS];
	s64 bytes;
};

void msvm_stat_add(struct drm_msvm *msvm, enum msvm_stat stat, u64 n);
void msvm_stat_bytes(struct drm_msvm *msvm, s64 bytes);
u64 msvm_stat_read(const struct msvm_stats __percpu *stats, enum msvm_stat stat);
s64 msvm_stat_read_bytes(const struct msvm_stats __percpu *stats);
void msvm_stat_error(struct drm_msvm *msvm, int err);
void msvm_stat_decided(struct drm_msvm *msvm, enum msvm_reason reason);
void msvm_stats_show(struct seq_file *m, const struct msvm_stats __percpu *stats);

int msvm_stats_init(void);
void msvm_stats_exit(void);
const struct msvm_stats __percpu *msvm_stats_global(void);

static inline void msvm_stat_inc(struct drm_msvm *msvm, enum msvm_stat stat)
{
	msvm_stat_add(msvm, stat, 1);
}

#endif /* __MSVM_STATS_H__ */
