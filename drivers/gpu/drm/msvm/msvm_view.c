// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The view: what is known when the policy engine decides on a fault. Where the pages
 * are takes a walk of the CPU page table, unless the last walk is still valid or the
 * decision can't depend on it.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <drm/drm_device.h>
#include <drm/drm_file.h>

#include "msvm_attr.h"
#include "msvm_control.h"
#include "msvm_engine.h"
#include "msvm_internal.h"
#include "msvm_memory.h"

/* msvm_view.distance. Context: read section of &drm_msvm.srcu. */
static unsigned int msvm_view_distance(const struct msvm_view *view,
				       unsigned int from, unsigned int to)
{
	struct drm_msvm *msvm = view->data;
	struct drm_msvm_member *member, *target;

	if (from >= view->nr_slots)
		return MSVM_UNREACHABLE;
	if (to == MSVM_AT_SYSTEM)
		return MSVM_NEAR_SYSTEM;
	if (to >= view->nr_slots)
		return MSVM_UNREACHABLE;
	/* Either may have gone since it was looked at. */
	member = msvm_member_of(msvm, from);
	target = msvm_member_of(msvm, to);
	if (!member || !target)
		return MSVM_UNREACHABLE;
	if (member->dev == target->dev)
		return 0;
	if (!target->dev->memory)
		return MSVM_UNREACHABLE;
	return msvm_memory_distance(target->dev->memory, member->dev->drm->dev);
}

/* Place of a device among those that a policy prefers. */
static u8 msvm_view_rank(const struct msvm_policy_params *params,
			 struct drm_msvm_device *dev)
{
	char node[24] = "";
	unsigned int i;

	if (params->placement != MSVM_PLACEMENT_PREFERRED)
		return 0xff;
	if (dev->drm->render)
		snprintf(node, sizeof(node), "renderD%d", dev->drm->render->index);
	for (i = 0; i < params->nr_preferred; i++)
		if (!strcmp(params->preferred[i], dev_name(dev->drm->dev)) ||
		    !strcmp(params->preferred[i], node))
			return i;
	return 0xff;
}

/* What is known about a member. Context: read section of &drm_msvm.srcu. */
static void msvm_view_slot(struct msvm_fault *fault, struct msvm_known *known,
			   unsigned int slot)
{
	struct drm_msvm_member *member = msvm_member_of(known->msvm, slot);
	struct msvm_view_slot *vs = &known->slots[slot];
	struct drm_msvm_device *dev;
	unsigned int i;
	u64 used;

	*vs = (struct msvm_view_slot) { .first = slot, .rank = 0xff };
	if (!member)
		return;
	dev = member->dev;
	vs->joined = true;
	vs->enabled = READ_ONCE(dev->enabled);
	vs->device = dev->id;
	vs->weight = READ_ONCE(dev->weight);
	vs->rank = msvm_view_rank(&fault->policy->params, dev);
	for (i = 0; i < slot; i++)
		if (known->slots[i].joined && known->slots[i].device == dev->id) {
			vs->first = i;
			break;
		}
	if (!dev->memory)
		return;
	vs->has_memory = true;
	vs->on_request = dev->flags & DRM_MSVM_DEVICE_EXPLICIT;
	/* Hints: whoever allocates looks under the lock. */
	vs->size = READ_ONCE(dev->memory->limit);
	used = READ_ONCE(dev->memory->used);
	known->occupied |= used;
	vs->free = vs->size > used ? vs->size - used : 0;
	vs->evictions = msvm_memory_pressure(dev->memory);
}

/* Count this fault in the history of its slot, once. Range mutex held. */
static void msvm_view_count(struct msvm_fault *fault,
			    struct drm_msvm_range *range)
{
	int idx = msvm_range_find_slot(range, fault->member->slot);
	unsigned long window =
		msecs_to_jiffies(fault->policy->params.migrate_window_ms);
	struct msvm_slot_entry *entry;

	if (fault->counted)
		return;
	fault->counted = true;
	fault->faults = 1;
	/* None yet: msvm_range_add_slot() makes one that has counted this. */
	if (idx < 0)
		return;
	entry = &range->entries[idx];
	if ((u32)jiffies - entry->since > window) {
		entry->since = jiffies;
		entry->faults = 0;
	}
	if (entry->faults < U16_MAX)
		entry->faults++;
	fault->faults = entry->faults;
}

/* Faults of the other slots. Range mutex held. */
static void msvm_view_faults(struct msvm_fault *fault,
			     struct drm_msvm_range *range,
			     struct msvm_known *known)
{
	unsigned long window =
		msecs_to_jiffies(fault->policy->params.migrate_window_ms);
	int i;

	for (i = 0; i < range->nr_slots; i++) {
		struct msvm_slot_entry *entry = &range->entries[i];
		/* A leaving member frees its entry without the range mutex. */
		unsigned int slot = READ_ONCE(entry->slot);

		if (slot < known->view.nr_slots &&
		    (u32)jiffies - entry->since <= window)
			known->slots[slot].faults = entry->faults;
	}
	if (fault->member->slot < known->view.nr_slots)
		known->slots[fault->member->slot].faults = fault->faults;
}

/*
 * Does a placement that moves nothing to a device leave the memory where it is? If there
 * is nothing in any device's memory; or if the process moves memory itself, and no fault
 * moved this one there before the policy was changed.
 */
static bool msvm_view_left_alone(struct msvm_fault *fault,
				 const struct msvm_known *known)
{
	const struct msvm_policy_params *params = &fault->policy->params;
	const struct msvm_view *view = &known->view;
	const struct msvm_attrs *attrs = view->attrs;

	if (params->placement != MSVM_PLACEMENT_SYSTEM ||
	    params->peer_access == MSVM_PEER_OFF)
		return false;
	if (attrs && (attrs->preferred != MSVM_ATTR_NONE ||
		      attrs->read_mostly ||
		      attrs->atomics != MSVM_ATOMICS_DEFAULT))
		return false;
	return !known->occupied ||
	       (READ_ONCE(known->msvm->requested) &&
		view->heat->last_party >= view->nr_slots);
}

/* Can it matter where the pages are? */
static bool msvm_view_needs_census(struct msvm_fault *fault,
				   struct msvm_known *known)
{
	unsigned int i;

	if (known->view.kind != MSVM_KIND_ANON ||
	    msvm_view_left_alone(fault, known))
		return false;
	for (i = 0; i < known->view.nr_slots; i++)
		if (known->slots[i].has_memory)
			return true;
	return false;
}

/* The first slot of the device that a memory is of, or %MSVM_AT_OTHER. */
static u8 msvm_view_slot_of(struct msvm_known *known, struct msvm_memory *memory)
{
	struct drm_msvm_member *member;
	unsigned int i;

	for (i = 0; i < known->view.nr_slots; i++) {
		member = msvm_member_of(known->msvm, i);
		/* Only compared: it may be gone. */
		if (member && member->dev->memory == memory)
			return i;
	}
	return MSVM_AT_OTHER;
}

static void msvm_view_set_place(struct msvm_known *known,
				const struct msvm_census *census)
{
	struct msvm_view *view = &known->view;

	view->none = census->none;
	view->system = census->system;
	if (!census->device)
		view->at = MSVM_AT_SYSTEM;
	else if (census->several)
		view->at = MSVM_AT_SEVERAL;
	else
		view->at = msvm_view_slot_of(known, census->memory);
	if (census->system && view->at < MSVM_AT_SYSTEM) {
		view->part = view->at;
		view->at = MSVM_AT_MIXED;
	}
}

/*
 * Was the memory taken from where it was last moved to, behind our back? By eviction,
 * which takes no lock of an address space and can't look for ranges; by a CPU's
 * access; or by a request. All of them invalidate, which leaves the time in the range,
 * and the next fault finds the memory elsewhere. That is when it matters first.
 */
static void msvm_view_taken(struct msvm_fault *fault,
			    struct drm_msvm_range *range, struct msvm_view *view)
{
	struct msvm_heat *heat = &range->heat;
	u64 taken = READ_ONCE(range->taken);
	u8 party = view->at;

	if (!heat->last_move || heat->last_party >= view->nr_slots ||
	    view->at == heat->last_party)
		return;
	/* Given up by the process, or in swap space: that is no place. */
	if (msvm_view_nowhere(view))
		return;
	/* Some pages could not be moved, or were they taken? */
	if (view->at == MSVM_AT_MIXED && !taken)
		return;
	if (party >= MSVM_AT_SYSTEM)
		party = MSVM_AT_SYSTEM;
	msvm_heat_moved(&fault->policy->params, heat,
			taken > heat->last_move ? taken : view->now, heat->cost,
			party);
	WRITE_ONCE(range->taken, 0);
	msvm_stat_inc(fault->member->msvm, MSVM_STAT_TAKEN);
}

/* Where the pages are. Return: false: system memory is assumed, nobody looked. */
static bool msvm_view_locate(struct msvm_fault *fault,
			     struct drm_msvm_range *range,
			     struct msvm_known *known)
{
	struct msvm_census census = {};
	int idx;

	known->view.at = MSVM_AT_SYSTEM;
	known->view.system = true;
	if (!msvm_view_needs_census(fault, known))
		return false;
	/* What is wrong the walk will find out. */
	if (!msvm_census_of_runs(range, &census) &&
	    msvm_take_census(range, &census))
		return false;
	idx = srcu_read_lock(&known->msvm->srcu);
	msvm_view_set_place(known, &census);
	srcu_read_unlock(&known->msvm->srcu, idx);
	return true;
}

/*
 * What adaptive placement asks for when the member's memory is full: how much was
 * allocated at once, and what the member moved in lately. Context: sleeps; range
 * mutex held; takes mmap_lock.
 */
static void msvm_view_press(struct msvm_fault *fault, struct msvm_known *known)
{
	struct drm_msvm_member *member = fault->member;
	struct msvm_view *view = &known->view;
	unsigned long start = 0, end = ULONG_MAX;
	struct msvm_attrs attrs;

	spin_lock(&member->msvm->prefetch.lock);
	known->burst = (struct msvm_burst) {
		.last = member->burst_last,
		.bytes = member->burst_bytes,
		.pace = member->burst_pace,
	};
	spin_unlock(&member->msvm->prefetch.lock);
	view->burst = &known->burst;

	if (view->kind != MSVM_KIND_ANON || !member->dev->memory ||
	    fault->policy->params.placement != MSVM_PLACEMENT_ADAPTIVE ||
	    known->slots[view->slot].free >= view->end - view->start ||
	    !msvm_vma_limits(member->msvm->mm, view->start, &start, &end))
		return;
	msvm_attr_lookup(member->msvm, view->start, &start, &end, &attrs);
	view->extent = end - start;
}

/* All but where the memory is. */
static struct msvm_known *msvm_view_alloc(struct msvm_fault *fault,
					  struct drm_msvm_range *range)
{
	struct drm_gpusvm_range_flags flags = {
		.__flags = READ_ONCE(range->base.flags.__flags),
	};
	struct drm_msvm *msvm = fault->member->msvm;
	struct msvm_known *known;
	unsigned int slot, nr;
	struct msvm_view *view;
	int idx;

	lockdep_assert_held(&range->lock);

	/* Who joins meanwhile is not looked at. */
	nr = find_last_bit(msvm->slots, DRM_MSVM_MAX_MEMBERS) + 1;
	nr = clamp(nr, fault->member->slot + 1U, DRM_MSVM_MAX_MEMBERS);
	known = msvm_alloc(kzalloc_flex(*known, slots, nr));
	if (!known)
		return NULL;
	known->msvm = msvm;
	view = &known->view;
	*view = (struct msvm_view) {
		.now = ktime_get_ns(),
		.start = drm_gpusvm_range_start(&range->base),
		.end = drm_gpusvm_range_end(&range->base),
		.addr = fault->addr,
		.slot = fault->member->slot,
		.write = fault->write,
		.atomic = fault->atomic,
		.kind = flags.migrate_devmem ? MSVM_KIND_ANON : MSVM_KIND_FIXED,
		.entries = READ_ONCE(range->runs_valid) ?
			   READ_ONCE(range->nr_runs) : 0,
		.attrs = &fault->attrs,
		.heat = &range->heat,
		.slots = known->slots,
		.nr_slots = nr,
		.distance = msvm_view_distance,
		.data = msvm,
	};
	bitmap_to_arr64(&view->mapped, range->mapped, DRM_MSVM_MAX_MEMBERS);

	idx = srcu_read_lock(&msvm->srcu);
	for (slot = 0; slot < nr; slot++)
		msvm_view_slot(fault, known, slot);
	srcu_read_unlock(&msvm->srcu, idx);

	msvm_view_count(fault, range);
	msvm_view_faults(fault, range, known);
	return known;
}

/*
 * Gather what is known about a fault. Context: sleeps; range mutex held, neither
 * mmap_lock nor the notifier lock. Return: the view, to be freed by kfree(), or NULL:
 * no memory.
 */
struct msvm_known *msvm_view_take(struct msvm_fault *fault,
				  struct drm_msvm_range *range)
{
	struct msvm_known *known = msvm_view_alloc(fault, range);

	if (!known)
		return NULL;
	if (msvm_view_locate(fault, range, known))
		msvm_view_taken(fault, range, &known->view);
	msvm_view_press(fault, known);
	return known;
}

/*
 * The same after the memory was moved, walked and mapped, by that walk. Context: as
 * msvm_view_take(). Return: NULL also if that is no longer valid.
 */
struct msvm_known *msvm_view_after(struct msvm_fault *fault,
				   struct drm_msvm_range *range)
{
	struct msvm_census census = {};
	struct msvm_known *known;
	int idx;

	if (!msvm_census_of_runs(range, &census))
		return NULL;
	known = msvm_view_alloc(fault, range);
	if (!known)
		return NULL;
	idx = srcu_read_lock(&known->msvm->srcu);
	msvm_view_set_place(known, &census);
	srcu_read_unlock(&known->msvm->srcu, idx);
	/* Nor is it to be moved once more: for whom to map it where it is? */
	known->view.kind = MSVM_KIND_FIXED;
	return known;
}
