// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Turns what hmm_range_fault() reports, one word a page, into runs: one word
 * for each physically contiguous power-of-two piece with the same rights. One
 * pass, whatever the memory looks like; a huge page is one run, and so are small
 * pages that happen to follow each other.
 */
#include <linux/hmm.h>
#include <linux/log2.h>
#include <linux/minmax.h>

#include <kunit/visibility.h>

#include "msvm_runs.h"

/* Pages that one CPU page-table entry maps, from that of @hmm_pfn on. */
static unsigned long msvm_pfn_span(unsigned long hmm_pfn)
{
	unsigned long size = 1UL << hmm_pfn_to_map_order(hmm_pfn);

	return size - ((hmm_pfn & ~HMM_PFN_FLAGS) & (size - 1));
}

/*
 * Append @n contiguous pages to @runs in powers of two, largest first. What is
 * larger than a huge page is not asked of the DMA API in one piece.
 */
static unsigned long msvm_runs_emit(u64 *runs, unsigned long nr,
				    unsigned long pfn, unsigned long n,
				    bool write)
{
	while (n) {
		unsigned int order = min(ilog2(n), MSVM_RUN_MAX_ORDER);

		runs[nr++] = msvm_run_encode(pfn, order, write);
		pfn += 1UL << order;
		n -= 1UL << order;
	}
	return nr;
}

/*
 * Turn @npages (at least one) HMM pfns, all valid, into runs, in place: a run
 * takes one word and stands for one page or more, so the output never overtakes
 * the input. @writable tells whether every page may be written. From frame number
 * @device_pfn on comes device memory, whose folios are kept apart: it is mapped by
 * its pagemap, folio by folio.
 *
 * Return: the number of runs; their orders add up to exactly @npages.
 */
unsigned long msvm_runs_compact(unsigned long *pfns, unsigned long npages,
				unsigned long device_pfn, bool *writable)
{
	unsigned long first = pfns[0] & ~HMM_PFN_FLAGS;
	unsigned long count = 0, nr = 0, i, span;
	bool write = pfns[0] & HMM_PFN_WRITE, all = write;

	for (i = 0; i < npages; i += span) {
		unsigned long pfn = pfns[i] & ~HMM_PFN_FLAGS;
		bool w = pfns[i] & HMM_PFN_WRITE;

		span = min(msvm_pfn_span(pfns[i]), npages - i);
		if (pfn != first + count || w != write ||
		    (i && pfn >= device_pfn)) {
			nr = msvm_runs_emit((u64 *)pfns, nr, first, count,
					    write);
			first = pfn;
			count = 0;
			write = w;
			all &= w;
		}
		count += span;
	}
	*writable = all;
	return msvm_runs_emit((u64 *)pfns, nr, first, count, write);
}
EXPORT_SYMBOL_IF_KUNIT(msvm_runs_compact);

/*
 * Merge runs[@i] and those among @nr that go on where it ends, with the same rights
 * and not beyond frame number @end, into as few as possible; they are put at
 * runs[*@out], at or before @i, and @out is moved behind them.
 *
 * Return: the index of the first run that was not merged.
 */
unsigned long msvm_runs_merge(u64 *runs, unsigned long nr, unsigned long i,
			      unsigned long end, unsigned long *out)
{
	unsigned long first = msvm_run_pfn(runs[i]);
	unsigned long count = BIT(msvm_run_order(runs[i]));
	bool write = msvm_run_writable(runs[i]);

	for (i++; i < nr; i++) {
		unsigned long n = BIT(msvm_run_order(runs[i]));

		if (msvm_run_pfn(runs[i]) != first + count ||
		    msvm_run_writable(runs[i]) != write ||
		    first + count + n > end)
			break;
		count += n;
	}
	*out = msvm_runs_emit(runs, *out, first, count, write);
	return i;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_runs_merge);
