/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Placement of the memory of a range that a device faulted in: what is known (view),
 * what is done about it (place), for whom else it is mapped (eager), and what is moved
 * along (prefetch). What to do is decided by the policy engine.
 */
#ifndef __MSVM_PLACE_H__
#define __MSVM_PLACE_H__

#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include <drm/drm_msvm.h>

#include "msvm_policy.h"

struct drm_msvm_range;
struct msvm_fault_worker;
struct msvm_policy;

/**
 * struct msvm_fault - One fault being served.
 * @member: Who faulted.
 * @worker: The fault worker that serves it, or NULL.
 * @policy: By which all is decided until the fault is over; with a reference.
 * @attrs: What attributes say about the faulting page.
 * @addr: Where, page aligned.
 * @write: A writable mapping is needed.
 * @atomic: For an atomic.
 * @chunk: Largest range to make; shrinks when a larger one can't be served.
 * @walk_failed: It was the walk that failed, so a smaller range may do.
 * @hold: This try holds mmap_lock from the walk to the commit.
 * @hasty: Give up after a few tries.
 * @stay: Memory was brought to where the fault can be served, or was asked to be mapped
 *	where it is: leave it there.
 * @nowhere: None of the memory existed when it was decided where to have it.
 * @counted: It is counted in the range's history.
 * @napping: It was told to wait, for the first time at @nap_began.
 * @nap_began: When that was, ns.
 * @faults: Faults of the member in the range lately, this one included.
 * @served_end: End of the range that was served.
 * @decision: What was decided last, if anything was.
 */
struct msvm_fault {
	struct drm_msvm_member *member;
	struct msvm_fault_worker *worker;
	struct msvm_policy *policy;
	struct msvm_attrs attrs;
	unsigned long addr;
	bool write;
	bool atomic;
	unsigned long chunk;
	bool walk_failed;
	bool hold;
	bool hasty;
	bool stay;
	bool nowhere;
	bool counted;
	bool napping;
	u64 nap_began;
	unsigned int faults;
	unsigned long served_end;
	struct msvm_decision decision;
};

/* Windows that wait for being moved along; more are dropped, they are hints. */
#define MSVM_PREFETCH_DEPTH	8

/**
 * struct msvm_window - An interval to be moved.
 * @start: First address.
 * @end: End.
 * @slot: To the memory of this slot's device.
 * @dev_id: Which device that is: the slot may be another's by then.
 * @own: Slots of that device.
 * @to_peer: See &msvm_block.to_peer.
 * @busy: Some of it could not be moved for now.
 */
struct msvm_window {
	unsigned long start;
	unsigned long end;
	u8 slot;
	u32 dev_id;
	u64 own;
	bool to_peer;
	bool busy;
};

/**
 * struct msvm_prefetch - What an address space has to move along.
 */
struct msvm_prefetch {
	/** @lock: Protects what follows, members' streams and bursts; innermost. */
	spinlock_t lock;
	/** @windows: The windows, a ring. */
	struct msvm_window windows[MSVM_PREFETCH_DEPTH];
	/** @first: The first one. */
	unsigned int first;
	/** @nr: How many there are. */
	unsigned int nr;
	/** @stop: The address space goes: no more. */
	bool stop;
	/** @work: Moves them. */
	struct work_struct work;
};

/**
 * struct msvm_known - A view and what it points to.
 * @msvm: The address space.
 * @view: The view.
 * @stream: Where the member went last.
 * @occupied: There is something in some member's device's memory.
 * @burst: What it moved in lately.
 * @slots: The members.
 */
struct msvm_known {
	struct drm_msvm *msvm;
	struct msvm_view view;
	struct msvm_stream stream;
	bool occupied;
	struct msvm_burst burst;
	struct msvm_view_slot slots[];
};

/* msvm_view.c */
struct msvm_known *msvm_view_take(struct msvm_fault *fault,
				  struct drm_msvm_range *range);
struct msvm_known *msvm_view_after(struct msvm_fault *fault,
				   struct drm_msvm_range *range);

/* msvm_fault.c */
int msvm_fault_bind(struct msvm_fault *fault, struct drm_msvm_range *range);

/* msvm_hold.c */
int msvm_fault_serve_held(struct msvm_fault *fault,
			  struct drm_msvm_range *range);

/* msvm_place.c */
int msvm_place(struct msvm_fault *fault, struct drm_msvm_range *range);
void msvm_place_moved(struct msvm_fault *fault, struct drm_msvm_range *range,
		      u64 began, u8 party);
int msvm_place_nap(struct msvm_fault *fault);
u64 msvm_place_pinned_until(struct drm_msvm_range *range, u8 *at);
bool msvm_place_out_of_reach(struct drm_msvm_range *range,
			     struct drm_msvm_member *member,
			     enum msvm_peer_access peers);

/* msvm_eager.c */
void msvm_map_eagerly(struct msvm_fault *fault, struct drm_msvm_range *range);

/* msvm_prefetch.c */
void msvm_prefetch_init(struct msvm_prefetch *prefetch);
void msvm_prefetch_stop(struct msvm_prefetch *prefetch);
void msvm_prefetch_window(struct msvm_fault *fault);
bool msvm_prefetch_held(struct drm_msvm *msvm, const struct msvm_window *window,
			unsigned long start, unsigned long end);
bool msvm_prefetch_along(struct msvm_fault *fault, struct drm_msvm_range *range,
			 struct msvm_known *known);
void msvm_prefetch_moved(struct msvm_fault *fault, struct drm_msvm_range *range);
void msvm_prefetch_forget(struct drm_msvm *msvm, u64 start, u64 end);

#endif /* __MSVM_PLACE_H__ */
