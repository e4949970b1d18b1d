/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Attributes by interval: what applications say about parts of an address space.
 */
#ifndef __MSVM_ATTR_H__
#define __MSVM_ATTR_H__

#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <drm/drm_msvm.h>

#include "msvm_attr_tree.h"
#include "msvm_policy.h"

/**
 * struct msvm_attr_store - The attributes of an address space, made when the first
 * ones are set.
 */
struct msvm_attr_store {
	/** @msvm: The address space. */
	struct drm_msvm *msvm;
	/** @notifier: Tells what is unmapped. */
	struct mmu_notifier notifier;
	/**
	 * @lock: Protects what follows up to @nr_spares; innermost, for a few
	 * instructions. Also taken in the notifier, so nothing is allocated
	 * under it.
	 */
	rwlock_t lock;
	/** @tree: The intervals; its number is read without the lock as a hint. */
	struct msvm_attr_tree tree;
	/** @spares: Nodes for the notifier, which can't allocate any. */
	struct list_head spares;
	/** @nr_spares: How many; also read without the lock by who waits. */
	unsigned int nr_spares;
	/** @refill_work: Makes more of them. */
	struct delayed_work refill_work;
	/** @wq: The notifier waits here if there is none. */
	wait_queue_head_t wq;
};

/**
 * struct msvm_attr_effect - What a change of attributes is to do beside being kept.
 * @changed: Something was changed: what is remembered of the memory is forgotten.
 * @drop: All are to fault anew, so that what is said now is done.
 * @drop_slots: Slots that lose access.
 */
struct msvm_attr_effect {
	bool changed;
	bool drop;
	u64 drop_slots;
};

/* msvm_attr_store.c */
bool msvm_attr_lookup(struct drm_msvm *msvm, unsigned long addr,
		      unsigned long *start, unsigned long *end,
		      struct msvm_attrs *attrs);
bool msvm_attr_next(struct drm_msvm *msvm, unsigned long *start,
		    unsigned long *end, struct msvm_attrs *attrs);
struct msvm_attr_store *msvm_attr_store_get(struct drm_msvm *msvm);
int msvm_attr_nodes_alloc(struct drm_msvm *msvm, struct list_head *nodes,
			  unsigned long n, gfp_t gfp);
void msvm_attr_nodes_free(struct drm_msvm *msvm, struct list_head *nodes);

/* msvm_attr_apply.c */
void msvm_attr_apply(struct drm_msvm *msvm, unsigned long start,
		     unsigned long end, const struct msvm_attr_effect *effect);

#endif /* __MSVM_ATTR_H__ */
