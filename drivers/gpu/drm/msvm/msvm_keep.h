/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What is kept mapped (msvm_keep.c), and how it is mapped: by faults, with the process
 * free to change it (msvm_keep_map.c), or with the process kept out (msvm_keep_held.c);
 * userptrs that are kept bound (msvm_keep_userptr.c).
 */
#ifndef __MSVM_KEEP_H__
#define __MSVM_KEEP_H__

#include <linux/list.h>
#include <linux/maple_tree.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include <drm/drm_msvm.h>

struct drm_msvm_userptr_binding;
struct mm_struct;
struct task_struct;

/**
 * struct msvm_keep - What a member has kept mapped.
 */
struct msvm_keep {
	/** @member: The member. */
	struct drm_msvm_member *member;
	/** @change_lock: One change of the intervals at a time. */
	struct mutex change_lock;
	/** @intervals: Intervals, with the access asked for; read under RCU. */
	struct maple_tree intervals;
	/**
	 * @lock: Orders stops and starts of the queues, protects what follows up
	 * to @resumed. Taken in notifiers, inside the notifier lock: nothing is
	 * allocated under it.
	 */
	struct mutex lock;
	/** @seq: Invalidations of what is kept. */
	u64 seq;
	/** @quiesced: The queues are stopped. */
	bool quiesced;
	/** @rounds: Rounds in vain since it was calm. */
	unsigned int rounds;
	/** @delay: Before the next try, jiffies. */
	unsigned long delay;
	/** @resumed: When they were last started, jiffies. */
	unsigned long resumed;
	/** @work: Maps again. */
	struct delayed_work work;
	/** @task_lock: Protects what follows. */
	spinlock_t task_lock;
	/** @task: Who does, to interrupt it. */
	struct task_struct *task;
	/** @closing: The member leaves. */
	bool closing;
	/** @bindings: Userptrs that are kept bound. */
	struct list_head bindings;
	/** @binding: The one that is being bound: it must not go. */
	struct drm_msvm_userptr_binding *binding;
	/** @pass: Passes over @bindings. */
	u64 pass;
};

/**
 * struct msvm_keep_part - Part of a kept interval in one VMA.
 * @start: First address.
 * @end: End.
 * @access: What the device may do there, of what it is to do.
 */
struct msvm_keep_part {
	unsigned long start;
	unsigned long end;
	enum drm_msvm_access access;
};

/* What is done for each kept interval. */
typedef int (*msvm_keep_fn)(struct drm_msvm_member *member, unsigned long start,
			    unsigned long end, enum drm_msvm_access access);

/* msvm_keep_attr.c */
bool msvm_keep_by_attr(struct drm_msvm_member *member);
bool msvm_keep_attr_overlaps(struct drm_msvm_member *member,
			     unsigned long start, unsigned long end);
int msvm_keep_attr_each(struct drm_msvm_member *member, msvm_keep_fn fn);

/* msvm_keep_map.c */
bool msvm_keep_find_part(struct mm_struct *mm, unsigned long start,
			 unsigned long end, enum drm_msvm_access access,
			 struct msvm_keep_part *part);
int msvm_keep_map(struct drm_msvm_member *member, unsigned long start,
		  unsigned long end, enum drm_msvm_access access);
int msvm_keep_remap(struct drm_msvm_member *member, unsigned long start,
		    unsigned long end, enum drm_msvm_access access);
int msvm_keep_remap_hastily(struct drm_msvm_member *member, unsigned long start,
			    unsigned long end, enum drm_msvm_access access);

/* msvm_keep_held.c */
int msvm_keep_lock_vmas(struct mm_struct *mm, unsigned long start,
			unsigned long end);
int msvm_keep_lock(struct drm_msvm_member *member, unsigned long start,
		   unsigned long end, enum drm_msvm_access access);
int msvm_keep_held(struct drm_msvm_member *member, unsigned long start,
		   unsigned long end, enum drm_msvm_access access);

/* msvm_keep.c */
struct msvm_keep *msvm_keep_get(struct drm_msvm_member *member);

/* msvm_keep_userptr.c */
int msvm_keep_bind_all(struct msvm_keep *keep,
		       int (*fn)(struct drm_msvm_userptr_binding *binding));

#endif /* __MSVM_KEEP_H__ */
