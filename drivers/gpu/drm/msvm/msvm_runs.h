/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Runs: where the memory of a range is, one word for each physically contiguous
 * power-of-two piece that can be written as a whole or not at all. Pure
 * arithmetic, tested alone.
 */
#ifndef __MSVM_RUNS_H__
#define __MSVM_RUNS_H__

#include <linux/bits.h>
#include <linux/log2.h>
#include <linux/sizes.h>
#include <linux/types.h>

#include <vdso/page.h>

#define MSVM_RUN_WRITE		BIT_ULL(63)
#define MSVM_RUN_ORDER_SHIFT	56
#define MSVM_RUN_ORDER_MASK	0x7f
#define MSVM_RUN_MAX_ORDER	(ilog2(SZ_2M) - PAGE_SHIFT)
#define MSVM_RUN_PFN_MASK	(BIT_ULL(MSVM_RUN_ORDER_SHIFT) - 1)

static inline u64 msvm_run_encode(unsigned long pfn, unsigned int order,
				  bool write)
{
	return pfn | (u64)order << MSVM_RUN_ORDER_SHIFT |
	       (write ? MSVM_RUN_WRITE : 0);
}

static inline unsigned long msvm_run_pfn(u64 run)
{
	return run & MSVM_RUN_PFN_MASK;
}

static inline unsigned int msvm_run_order(u64 run)
{
	return (run >> MSVM_RUN_ORDER_SHIFT) & MSVM_RUN_ORDER_MASK;
}

/* Could the CPU write it at the time of the walk? */
static inline bool msvm_run_writable(u64 run)
{
	return run & MSVM_RUN_WRITE;
}

unsigned long msvm_runs_compact(unsigned long *pfns, unsigned long npages,
				unsigned long device_pfn, bool *writable);
unsigned long msvm_runs_merge(u64 *runs, unsigned long nr, unsigned long i,
			      unsigned long end, unsigned long *out);

#endif /* __MSVM_RUNS_H__ */
