// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Userptrs: intervals that drivers bind explicitly. A userptr is a range with a
 * notifier of its own, in no shard: so the walk, the mapping and the shoot-down are
 * those of ranges, and its pages array has one entry for each member that binds it.
 *
 * This file is responsible for the objects; msvm_userptr_bind.c binds.
 */
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "msvm_internal.h"
#include "msvm_trace.h"
#include "msvm_userptr.h"

static bool msvm_userptr_invalidate(struct mmu_interval_notifier *mni,
				    const struct mmu_notifier_range *mmu_range,
				    unsigned long seq)
{
	struct drm_gpusvm_notifier *notifier =
		container_of(mni, struct drm_gpusvm_notifier, notifier);
	struct drm_msvm_userptr *userptr =
		container_of(notifier, struct drm_msvm_userptr, notifier);
	struct drm_msvm_range *range = &userptr->range;
	struct drm_msvm *msvm = msvm_range_context(range);
	unsigned int slots;

	if (!mmu_notifier_range_blockable(mmu_range))
		return false;

	down_write(&range->base.gpusvm->notifier_lock);
	mmu_interval_set_seq(mni, seq);
	/* Also with nothing mapped: a walk may be under way. */
	WRITE_ONCE(range->seq, range->seq + 1);
	slots = bitmap_weight(range->bound, DRM_MSVM_MAX_MEMBERS);
	if (slots)
		msvm_stat_inc(msvm, MSVM_STAT_USERPTR_INVALIDATIONS);
	msvm_range_drop_all(range);
	trace_msvm_userptr_invalidate(msvm->id, userptr_start(userptr),
				      userptr_end(userptr), mmu_range->event,
				      slots);
	up_write(&range->base.gpusvm->notifier_lock);

	return true;
}

static const struct mmu_interval_notifier_ops msvm_userptr_notifier_ops = {
	.invalidate = msvm_userptr_invalidate,
};

/* The userptrs of an address space, made when the first one is. Return: or NULL. */
static struct msvm_userptrs *msvm_userptrs_get(struct drm_msvm *msvm)
{
	struct msvm_userptrs *userptrs;

	guard(mutex)(&msvm->lock);

	if (msvm->userptrs)
		return msvm->userptrs;
	userptrs = msvm_alloc(kzalloc_obj(*userptrs));
	if (!userptrs)
		return NULL;
	/* For pages only, which can't fail: it has no ranges to find by address. */
	drm_gpusvm_init(&userptrs->space.gpusvm, "drm_msvm userptr", NULL, 0, 0,
			0, NULL, NULL, 0);
	userptrs->space.msvm = msvm;
	userptrs->tree = RB_ROOT;
	mutex_init(&userptrs->lock);
	msvm_stat_bytes(msvm, sizeof(*userptrs));
	/* Pairs with smp_load_acquire() of those who only look. */
	smp_store_release(&msvm->userptrs, userptrs);

	return userptrs;
}

/* All members left, so there is no userptr any more. Cannot fail. */
void msvm_userptrs_destroy(struct drm_msvm *msvm)
{
	struct msvm_userptrs *userptrs = msvm->userptrs;

	if (!userptrs)
		return;
	WARN_ON(userptrs->nr);
	drm_gpusvm_fini(&userptrs->space.gpusvm);
	mutex_destroy(&userptrs->lock);
	msvm_stat_bytes(msvm, -(s64)sizeof(*userptrs));
	kfree(userptrs);
}

static int msvm_userptr_cmp(u64 start, u64 end,
			    const struct drm_msvm_userptr *userptr)
{
	if (start != userptr_start(userptr))
		return start < userptr_start(userptr) ? -1 : 1;
	if (end != userptr_end(userptr))
		return end < userptr_end(userptr) ? -1 : 1;
	return 0;
}

/*
 * Where the userptr of exactly this interval is, or belongs. Context: lock of the
 * userptrs. Return: the userptr, or NULL and the place.
 */
static struct drm_msvm_userptr *
msvm_userptr_find(struct msvm_userptrs *userptrs, u64 start, u64 end,
		  struct rb_node **parent, struct rb_node ***link)
{
	struct rb_node **p = &userptrs->tree.rb_node;

	lockdep_assert_held(&userptrs->lock);

	*parent = NULL;
	while (*p) {
		struct drm_msvm_userptr *userptr = to_userptr_node(*p);
		int cmp = msvm_userptr_cmp(start, end, userptr);

		if (!cmp)
			return userptr;
		*parent = *p;
		p = cmp < 0 ? &(*p)->rb_left : &(*p)->rb_right;
	}
	*link = p;
	return NULL;
}

/* A new one, not in the tree. Context: sleeps; the caller has an mm user. */
static struct drm_msvm_userptr *
msvm_userptr_create(struct msvm_userptrs *userptrs, u64 start, u64 end)
{
	struct drm_msvm *msvm = userptrs->space.msvm;
	struct drm_msvm_userptr *userptr;
	struct drm_gpusvm_range *base;
	int err;

	userptr = msvm_alloc(kzalloc_obj(*userptr));
	if (!userptr)
		return ERR_PTR(-ENOMEM);
	msvm_range_init(&userptr->range);
	userptr->range.is_userptr = true;
	base = &userptr->range.base;
	base->gpusvm = &userptrs->space.gpusvm;
	base->notifier = &userptr->notifier;
	base->itree.start = start;
	base->itree.last = end - 1;
	userptr->notifier.gpusvm = base->gpusvm;

	err = msvm_fail_alloc() ? -ENOMEM :
	      mmu_interval_notifier_insert(&userptr->notifier.notifier,
					   msvm->mm, start, end - start,
					   &msvm_userptr_notifier_ops);
	if (err) {
		msvm_range_fini(&userptr->range);
		kfree(userptr);
		return ERR_PTR(err);
	}
	atomic_long_inc(&msvm->nr_notifiers);
	msvm_stat_bytes(msvm, sizeof(*userptr));
	return userptr;
}

/* The last member let go of it, and it is in no tree. Cannot fail. */
static void msvm_userptr_free(struct drm_msvm_userptr *userptr)
{
	struct drm_msvm_range *range = &userptr->range;
	struct drm_msvm *msvm = msvm_range_context(range);

	/* What devices wrote is marked so before nobody knows any more. */
	down_write(&range->base.gpusvm->notifier_lock);
	msvm_range_drop_all(range);
	up_write(&range->base.gpusvm->notifier_lock);
	mmu_interval_notifier_remove(&userptr->notifier.notifier);
	atomic_long_dec(&msvm->nr_notifiers);
	msvm_range_fini(range);
	msvm_stat_bytes(msvm, -(s64)sizeof(*userptr));
	kfree(userptr);
}

/* Let a member take part in the userptr of an interval, which is made if need be. */
static int msvm_userptr_join(struct msvm_userptrs *userptrs,
			     struct drm_msvm_userptr_binding *binding)
{
	unsigned int slot = binding->member->slot;
	struct rb_node *parent, **link;
	struct drm_msvm_userptr *userptr;

	guard(mutex)(&userptrs->lock);

	userptr = msvm_userptr_find(userptrs, binding->start, binding->end,
				    &parent, &link);
	if (!userptr) {
		userptr = msvm_userptr_create(userptrs, binding->start,
					      binding->end);
		if (IS_ERR(userptr))
			return PTR_ERR(userptr);
		rb_link_node(&userptr->node, parent, link);
		rb_insert_color(&userptr->node, &userptrs->tree);
		userptrs->nr++;
	} else if (userptr->bindings[slot]) {
		return -EEXIST;
	}
	userptr->users++;
	atomic_inc(&binding->member->userptrs);
	binding->userptr = userptr;
	down_write(&userptrs->space.gpusvm.notifier_lock);
	userptr->bindings[slot] = binding;
	up_write(&userptrs->space.gpusvm.notifier_lock);

	return 0;
}

/* Undo it: zap, wait, unmap, forget. Cannot fail. */
static void msvm_userptr_leave(struct msvm_userptrs *userptrs,
			       struct drm_msvm_userptr_binding *binding)
{
	struct drm_msvm_userptr *userptr = binding->userptr;
	struct drm_msvm_range *range = &userptr->range;
	bool last;

	msvm_leave_ranges(&range, 1, binding->member);

	mutex_lock(&userptrs->lock);
	down_write(&userptrs->space.gpusvm.notifier_lock);
	userptr->bindings[binding->member->slot] = NULL;
	up_write(&userptrs->space.gpusvm.notifier_lock);
	last = !--userptr->users;
	if (last) {
		rb_erase(&userptr->node, &userptrs->tree);
		userptrs->nr--;
	}
	mutex_unlock(&userptrs->lock);
	atomic_dec(&binding->member->userptrs);
	if (last)
		msvm_userptr_free(userptr);
}

/**
 * drm_msvm_userptr_attach() - Take part in the userptr of an interval.
 * @binding: The binding, embedded in the driver's; contents are overwritten.
 * @member: The member.
 * @start: First address in the process, page aligned.
 * @end: End, exclusive, page aligned.
 * @ops: What the driver does for the binding.
 * @flags: DRM_MSVM_USERPTR_*.
 *
 * Whoever attaches to exactly the same interval shares one MMU notifier, one walk
 * and one array of page descriptions. Nothing is bound yet, see
 * drm_msvm_userptr_bind(), and there need not even be memory. Userptrs may overlap
 * each other, and memory that the same or other members fault in: an interval that
 * is bound is not looked at when a fault is served.
 *
 * Context: Sleeps; takes mmap_lock for writing. The caller holds no lock that an
 * MMU notifier takes.
 *
 * Return: 0; -EINVAL: the interval is empty, not page aligned or not within the
 * member's window, or unknown flags; -EEXIST: the member is attached to it already;
 * -EOPNOTSUPP: %DRM_MSVM_USERPTR_KEEP, and the device lacks the operations; -ESRCH:
 * the process's memory is gone; -ENOMEM.
 */
int drm_msvm_userptr_attach(struct drm_msvm_userptr_binding *binding,
			    struct drm_msvm_member *member, u64 start, u64 end,
			    const struct drm_msvm_userptr_ops *ops, u32 flags)
{
	const struct drm_msvm_ops *member_ops = member->dev->ops;
	struct drm_msvm *msvm = member->msvm;
	struct msvm_userptrs *userptrs;
	int err;

	might_sleep();
	if (start >= end || !PAGE_ALIGNED(start) || !PAGE_ALIGNED(end) ||
	    start < member->va_start || end > member->va_end ||
	    flags & ~(DRM_MSVM_USERPTR_READ_ONLY | DRM_MSVM_USERPTR_KEEP))
		return -EINVAL;
	if (flags & DRM_MSVM_USERPTR_KEEP &&
	    (!member_ops->quiesce || !member_ops->resume))
		return -EOPNOTSUPP;

	*binding = (struct drm_msvm_userptr_binding) {
		.member = member,
		.start = start,
		.end = end,
		.ops = ops,
		.flags = flags,
	};
	if (!mmget_not_zero(msvm->mm))
		return -ESRCH;
	userptrs = msvm_userptrs_get(msvm);
	err = userptrs ? msvm_userptr_join(userptrs, binding) : -ENOMEM;
	if (!err && flags & DRM_MSVM_USERPTR_KEEP) {
		err = msvm_keep_add(member, binding);
		if (err)
			msvm_userptr_leave(userptrs, binding);
	}
	mmput_async(msvm->mm);

	return err;
}
EXPORT_SYMBOL_GPL(drm_msvm_userptr_attach);

/**
 * drm_msvm_userptr_detach() - End a member's part in a userptr.
 * @binding: The binding.
 *
 * When it returns the device can't reach the memory through the binding, none of
 * the binding's operations is being called or will be, and the driver may free it.
 * The other members of the userptr notice nothing; with the last it goes.
 *
 * Context: Sleeps. The caller holds no lock that an MMU notifier, or any of the
 * binding's or the member's operations, takes. No drm_msvm_userptr_bind() of this
 * binding is under way or starts. It must come before drm_msvm_leave().
 */
void drm_msvm_userptr_detach(struct drm_msvm_userptr_binding *binding)
{
	struct msvm_userptrs *userptrs = binding->member->msvm->userptrs;

	might_sleep();
	if (binding->flags & DRM_MSVM_USERPTR_KEEP)
		msvm_keep_remove(binding->member, binding);
	/* Nobody is to map again what goes for good. */
	down_write(&userptrs->space.gpusvm.notifier_lock);
	binding->detaching = true;
	up_write(&userptrs->space.gpusvm.notifier_lock);
	msvm_userptr_leave(userptrs, binding);
	binding->userptr = NULL;
}
EXPORT_SYMBOL_GPL(drm_msvm_userptr_detach);

/* For drm_msvm_reset(): the member's device lost its page tables. Sleeps. */
void msvm_userptr_reset(struct drm_msvm_member *member)
{
	struct msvm_userptrs *userptrs;
	struct rb_node *node;

	/* Pairs with smp_store_release() when the first one is made. */
	userptrs = smp_load_acquire(&member->msvm->userptrs);
	if (!userptrs)
		return;

	guard(mutex)(&userptrs->lock);

	for (node = rb_first(&userptrs->tree); node; node = rb_next(node)) {
		struct drm_msvm_range *range = &to_userptr_node(node)->range;

		msvm_ranges_drop_slot(&range, 1, member->slot);
	}
}

/* How many there are, for people to read. */
unsigned int msvm_userptrs_count(struct drm_msvm *msvm)
{
	/* Pairs with smp_store_release() when the first one is made. */
	struct msvm_userptrs *userptrs = smp_load_acquire(&msvm->userptrs);

	return userptrs ? READ_ONCE(userptrs->nr) : 0;
}

/* One line each. Context: sleeps. */
void msvm_userptrs_show(struct drm_msvm *msvm, struct seq_file *m)
{
	/* Pairs with smp_store_release() when the first one is made. */
	struct msvm_userptrs *userptrs = smp_load_acquire(&msvm->userptrs);
	struct rb_node *node;

	seq_printf(m, "%-12s-%-12s %8s %-5s %7s %-16s %-16s %6s\n", "start",
		   "end", "KiB", "walk", "members", "mapped", "writable",
		   "runs");
	if (!userptrs)
		return;

	guard(mutex)(&userptrs->lock);

	for (node = rb_first(&userptrs->tree); node; node = rb_next(node)) {
		struct drm_msvm_userptr *userptr = to_userptr_node(node);
		struct drm_msvm_range *range = &userptr->range;

		drm_gpusvm_notifier_lock(&userptrs->space.gpusvm);
		seq_printf(m, "%012lx-%012lx %8lu %-5s %7u %*pb %*pb %6u\n",
			   userptr_start(userptr), userptr_end(userptr),
			   drm_gpusvm_range_size(&range->base) >> 10,
			   range->runs_valid ? "valid" : "none", userptr->users,
			   DRM_MSVM_MAX_MEMBERS, range->mapped,
			   DRM_MSVM_MAX_MEMBERS, range->writable,
			   range->runs_valid ? range->nr_runs : 0);
		drm_gpusvm_notifier_unlock(&userptrs->space.gpusvm);
	}
}
