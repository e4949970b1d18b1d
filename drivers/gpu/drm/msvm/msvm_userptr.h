/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Private objects of userptrs: one for each interval that is bound explicitly,
 * whoever binds it, and what those of an address space have in common.
 */
#ifndef __MSVM_USERPTR_H__
#define __MSVM_USERPTR_H__

#include <linux/rbtree.h>

#include "msvm_internal.h"

/**
 * struct msvm_userptrs - The userptrs of an address space.
 */
struct msvm_userptrs {
	/**
	 * @space: Their notifier lock, one for all, so that a driver can look at
	 * many in one go; used for pages only.
	 */
	struct msvm_space space;
	/** @lock: Protects what follows; in the order, as a shard lock. */
	struct mutex lock;
	/** @tree: By start, then end. */
	struct rb_root tree;
	/** @nr: Length of @tree. */
	unsigned int nr;
};

/**
 * struct drm_msvm_userptr - An interval that is bound explicitly.
 */
struct drm_msvm_userptr {
	/** @range: The interval, its walk, and its pages for each member. */
	struct drm_msvm_range range;
	/** @notifier: Of this interval; &drm_gpusvm_notifier.notifier is used. */
	struct drm_gpusvm_notifier notifier;
	/** @node: Entry in &msvm_userptrs.tree. */
	struct rb_node node;
	/** @users: Members attached; lock of the userptrs. */
	unsigned int users;
	/**
	 * @bindings: Binding of each slot, or NULL. Changed under the lock of the
	 * userptrs and the notifier lock for writing.
	 */
	struct drm_msvm_userptr_binding *bindings[DRM_MSVM_MAX_MEMBERS];
};

static inline struct drm_msvm_userptr *
to_msvm_userptr(struct drm_msvm_range *range)
{
	return container_of(range, struct drm_msvm_userptr, range);
}

static inline struct drm_msvm_userptr *to_userptr_node(struct rb_node *node)
{
	return rb_entry(node, struct drm_msvm_userptr, node);
}

static inline unsigned long
userptr_start(const struct drm_msvm_userptr *userptr)
{
	return userptr->range.base.itree.start;
}

static inline unsigned long userptr_end(const struct drm_msvm_userptr *userptr)
{
	return userptr->range.base.itree.last + 1;
}

#endif /* __MSVM_USERPTR_H__ */
