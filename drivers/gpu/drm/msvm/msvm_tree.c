// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What to move along with a range: a part of its block, by how much of that is there
 * already, and further blocks where a device goes through memory in order. Pure
 * logic, see msvm_policy.h.
 */
#include <linux/bitops.h>
#include <linux/export.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include <kunit/visibility.h>

#include "msvm_engine.h"

/* Blocks in a row that make a stream, and the most that are moved ahead of it. */
#define MSVM_STREAM_RUN		2
#define MSVM_STREAM_AHEAD	4

/* An attribute may ask for larger pieces than this, but does not get them. */
#define MSVM_MAX_GRANULARITY	30U

/*
 * The leaves to take with @leaf, a bit of @present each that is there or faulted:
 * the largest part of the binary tree over the leaves that has @leaf, and more than
 * @percent of it present.
 */
void msvm_tree_window(u32 present, unsigned int leaf, u32 percent,
		      unsigned int *first, unsigned int *count)
{
	unsigned int size;

	leaf &= MSVM_TREE_LEAVES - 1;
	present |= BIT(leaf);
	*first = leaf;
	*count = 1;
	for (size = 2; size <= MSVM_TREE_LEAVES; size *= 2) {
		unsigned int from = leaf & ~(size - 1);
		u32 mask = (u32)((BIT_ULL(size) - 1) << from);

		if (hweight32(present & mask) * 100 <= size * percent)
			continue;
		*first = from;
		*count = size;
	}
}
EXPORT_SYMBOL_IF_KUNIT(msvm_tree_window);

static u64 msvm_block_of(u64 addr)
{
	return addr / MSVM_TREE_BLOCK;
}

/* Does a range begin in what was moved last, or right behind it, and end behind it? */
static bool msvm_stream_up(const struct msvm_stream *stream, u64 start, u64 end)
{
	return stream->end && start >= stream->start && start <= stream->end &&
	       end > stream->end;
}

/* The other way round. */
static bool msvm_stream_down(const struct msvm_stream *stream, u64 start,
			     u64 end)
{
	return stream->end && end >= stream->start && end <= stream->end &&
	       start < stream->start;
}

/*
 * A member faulted in [@start, @end) and had [@from, @to) moved, what was moved along
 * included. That is more than the range on either side, as a tree goes back to where
 * its part begins; and a device that is faster than what is moved along faults in there,
 * which says nothing of where it goes.
 */
void msvm_stream_moved(struct msvm_stream *stream, u64 start, u64 end, u64 from,
		       u64 to)
{
	s8 run = stream->run;

	if (msvm_stream_up(stream, start, end)) {
		if (msvm_block_of(to - 1) > msvm_block_of(stream->end - 1))
			run = run < 0 ? 1 : min(run + 1, 100);
		else
			run = max(run, 0);
	} else if (msvm_stream_down(stream, start, end)) {
		if (msvm_block_of(from) < msvm_block_of(stream->start))
			run = run > 0 ? -1 : max(run - 1, -100);
		else
			run = min(run, 0);
	} else if (start >= stream->start && end <= stream->end) {
		from = run < 0 ? min(from, stream->start) : stream->start;
		to = run < 0 ? stream->end : max(to, stream->end);
	} else {
		run = 0;
	}
	stream->start = from;
	stream->end = to;
	stream->run = run;
}
EXPORT_SYMBOL_IF_KUNIT(msvm_stream_moved);

/* Does the stream go on with this range, and how far to go ahead of it? */
static int msvm_stream_ahead(const struct msvm_view *view)
{
	const struct msvm_stream *stream = view->stream;

	if (!stream)
		return 0;
	if (stream->run >= MSVM_STREAM_RUN &&
	    msvm_stream_up(stream, view->start, view->end))
		return min(stream->run - MSVM_STREAM_RUN + 1, MSVM_STREAM_AHEAD);
	if (stream->run <= -MSVM_STREAM_RUN &&
	    msvm_stream_down(stream, view->start, view->end))
		return max(stream->run + MSVM_STREAM_RUN - 1,
			   -MSVM_STREAM_AHEAD);
	return 0;
}

static enum msvm_prefetch_mode
msvm_prefetch(const struct msvm_policy_params *params,
	      const struct msvm_view *view)
{
	if (view->attrs && view->attrs->prefetch &&
	    view->attrs->prefetch <= MSVM_PREFETCH_MODES)
		return view->attrs->prefetch - 1;
	return params->prefetch;
}

/* The part of the block that the tree takes, by the range's first and last leaf. */
static void msvm_tree_part(const struct msvm_policy_params *params,
			   const struct msvm_view *view, u64 block,
			   u64 *start, u64 *end)
{
	u64 offset = view->start - block, last = view->end - 1 - block;
	unsigned int leaf = offset / MSVM_TREE_LEAF, first, count;
	u32 present = view->present;

	last = min(last / MSVM_TREE_LEAF, MSVM_TREE_LEAVES - 1ULL);
	for (; leaf <= last; leaf++)
		present |= BIT(leaf);
	msvm_tree_window(present, offset / MSVM_TREE_LEAF,
			 params->prefetch_percent, &first, &count);
	*start = min(*start, block + first * MSVM_TREE_LEAF);
	*end = max(*end, block + (first + count) * MSVM_TREE_LEAF);
}

/* The rest of the block and whole blocks on, where the stream goes. */
static void msvm_stream_part(const struct msvm_view *view, u64 *start,
			     u64 *end)
{
	int ahead = msvm_stream_ahead(view);
	u64 more;

	if (ahead > 0) {
		more = msvm_block_of(*end - 1) + 1 + ahead;
		*end = more <= msvm_block_of(~0ULL) ? more * MSVM_TREE_BLOCK :
						      view->limit_end;
	} else if (ahead < 0) {
		more = msvm_block_of(*start);
		*start = more > -ahead ? (more + ahead) * MSVM_TREE_BLOCK : 0;
	}
}

/* Not beyond the piece that belongs to the same device by its address. */
static void msvm_piece_limits(const struct msvm_policy_params *params,
			      const struct msvm_view *view, u64 *start, u64 *end)
{
	u64 piece = max(params->interleave_kib, 1U) * 1024ULL, first;

	first = view->start - (view->start & (piece - 1));
	*start = max(*start, first);
	*end = min(*end, first + piece);
}

/* What to move along with the range, for a decision to move it. */
void msvm_window(const struct msvm_policy_params *params,
		 const struct msvm_view *view, struct msvm_decision *decision)
{
	enum msvm_prefetch_mode mode = msvm_prefetch(params, view);
	u64 block = view->start & ~(MSVM_TREE_BLOCK - 1);
	u64 start = view->start, end = view->end, piece;
	unsigned int granularity = view->attrs ? view->attrs->granularity : 0;

	if (view->limit_end <= view->limit_start ||
	    decision->to >= MSVM_POLICY_SLOTS)
		return;
	/* What goes back and forth, or displaces others, is not to be more. */
	if (view->heat && params->thrash_threshold &&
	    view->heat->moves >= params->thrash_threshold)
		return;

	if (granularity) {
		piece = 1ULL << min(granularity, MSVM_MAX_GRANULARITY);
		start &= ~(piece - 1);
		end = (end + piece - 1) & ~(piece - 1);
	}
	if (mode == MSVM_PREFETCH_BLOCK) {
		start = min(start, block);
		end = max(end, block + MSVM_TREE_BLOCK);
	} else if (mode == MSVM_PREFETCH_TREE) {
		msvm_tree_part(params, view, block, &start, &end);
	}
	if (mode != MSVM_PREFETCH_NONE)
		msvm_stream_part(view, &start, &end);
	if (decision->reason == MSVM_REASON_INTERLEAVED)
		msvm_piece_limits(params, view, &start, &end);

	/* Within the limits, which the range is in. */
	start = min(max(start, view->limit_start), view->start);
	end = max(min(end, view->limit_end), view->end);
	if (end - start <= msvm_view_size(view) ||
	    end - start > view->slots[decision->to].free)
		return;
	decision->window_start = start;
	decision->window_end = end;
}
