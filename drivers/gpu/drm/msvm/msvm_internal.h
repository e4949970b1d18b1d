/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Private objects and functions of drm_msvm, with the lock that protects each
 * field.  A noun's functions are in msvm_NOUN.c, a verb's in msvm_VERB.c.
 */
#ifndef __MSVM_INTERNAL_H__
#define __MSVM_INTERNAL_H__

#include <linux/bitmap.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_gpusvm.h>
#include <drm/drm_msvm.h>
#include <drm/drm_msvm_userptr.h>
#include <drm/drm_pagemap.h>

#include "msvm_claim.h"
#include "msvm_inject.h"
#include "msvm_place.h"
#include "msvm_policy.h"
#include "msvm_queue.h"
#include "msvm_runs.h"
#include "msvm_stats.h"

/**
 * DOC: Locking
 *
 * From the outside in; whoever holds one takes only those below it:
 *
 * 1. ``msvm_contexts_lock`` (mutex): which address spaces exist.
 * 2. context lock, &drm_msvm.lock (mutex): members and slots, creation of shards.
 * 3. shard lock, &msvm_shard.lock (mutex): drm_gpusvm's "driver lock". Ranges
 *    are inserted and removed under it. Never held across a walk. For userptrs
 *    the lock of &struct msvm_userptrs is in its place.
 * 4. range mutex, &drm_msvm_range.lock: one fault service per range at a time.
 *    A fault that sleeps for long (userfaultfd) sleeps with this lock only.
 *    Hence whoever holds a lock above it may only *try* it.
 * 5. mmap_lock of the address space.
 * 6. notifier lock, &drm_gpusvm.notifier_lock of the shard (rwsem): page
 *    validity. Held for writing by every invalidation, for reading by map and
 *    bind. Taken in reclaim: nothing below it allocates.
 * 7. the lock of what a member has kept mapped (msvm_keep.c), and inside it the
 *    driver's queues; and the driver's page-table lock.
 *
 * Beside these: the pool lock, &msvm_fault_pool.lock (spinlock), by which fault
 * workers share what was pushed. It may be taken with any of them held, and
 * none is taken with it. Interrupts take only a device's queue lock. Likewise the lock
 * of attributes, &msvm_attr_store.lock (rwlock), for looking them up.
 *
 * A fault maps for other members than its own within a read section of
 * &drm_msvm.srcu, in which it holds the range mutex, takes 6 and 7 and allocates, and
 * never waits for the process. Who waits for such sections, drm_msvm_leave(), holds
 * none of the locks.
 *
 * What configfs says about policies and rules is under ``msvm_control_lock``, about
 * devices under the lock of the devices; both are taken with configfs's locks held,
 * and never by a fault, which finds its policy under RCU (msvm_claim.c). Eviction
 * that a limit asks for runs with the lock of the devices held, so eviction takes
 * none of the locks above 5.
 *
 * An invalidation takes 6 and 7 and no other. It comes with mmap_lock or folio
 * locks held, which is why 3 and 4 must never be taken in it. The CPU side
 * changing during a fault is answered by trying again; when that happens too often,
 * by holding 5 for reading from the walk to the commit (msvm_hold.c). What is kept
 * mapped takes 5 for writing in that case and only tries 4 (msvm_keep_held.c).
 *
 * An address space is a set of shards over disjoint windows of
 * DRM_MSVM_NOTIFIER_SIZE bytes. Locks 3, 4 and 6 are a shard's or a range's, so
 * neither a fault nor an invalidation of one shard waits for another.
 *
 * Live ranges are looked up in the shard's xarray under RCU. drm_gpusvm's own
 * trees are read only under lock 3, or under lock 6 held for writing.
 */

/**
 * DOC: Lifetime
 *
 * - &struct drm_msvm: one reference a member; found by mm while it has any. It
 *   holds a reference to the mm_struct (not to its memory) through drm_gpusvm.
 * - &struct msvm_shard: created at the first fault in its window, freed with
 *   the address space.
 * - &struct drm_msvm_range: drm_gpusvm's reference while it is in the tree, one
 *   for each fault that serves it and one while it waits for the collector. The
 *   memory is freed after an RCU grace period, for lookups under RCU.
 * - &struct drm_msvm_member: the driver's. drm_msvm_leave() returns when the
 *   library holds no pointer to it. A fault of another member may be mapping for it:
 *   it looks it up in &drm_msvm.others and binds within one read section of
 *   &drm_msvm.srcu; drm_msvm_leave() takes the member out of there, waits for those
 *   sections, and only then takes its mappings down.
 * - &struct msvm_policy: a reference by each fault that is decided by it.
 * - windows to be moved along (&struct msvm_prefetch) name slots and hold nothing.
 *   The address space stops their worker before it goes.
 * - &struct drm_msvm_userptr: made by the first member that attaches to its
 *   interval, freed with the last that detaches, after its notifier was removed.
 *   Bindings are the driver's, and are detached before their member leaves.
 * - &struct msvm_fault_pool: created when the first member joins whose device has
 *   a fault queue, freed with the address space. Each fault in it is counted in
 *   its member, and drm_msvm_leave() waits for that count.
 * - &struct msvm_attr_store: created when the first attributes are set, freed with
 *   the address space after its notifier was unregistered.
 * - a range never leaves the tree while a device can reach its pages.
 */

/* One more than what fits a slot number: the entry of a pages array is free. */
#define MSVM_SLOT_NONE		0xff

/*
 * Slot entries a range has room for without a heap array: one, since most
 * ranges are private to a device and a million ranges must stay small.
 */
#define MSVM_INLINE_SLOTS	1

/**
 * struct drm_msvm - The address space of one mm, shared by its members.
 */
struct drm_msvm {
	/** @ref: One a member. */
	struct kref ref;
	/** @id: Number, the name of the directory in debugfs. */
	u32 id;
	/** @mm: The address space; never current->mm of a later caller. */
	struct mm_struct *mm;
	/** @tgid: Process that created it, for people to read. */
	pid_t tgid;
	/** @comm: Its name then, for people to read. */
	char comm[TASK_COMM_LEN];
	/** @hash: Entry in the table of address spaces; msvm_contexts_lock. */
	struct hlist_node hash;
	/** @lock: The context lock. */
	struct mutex lock;
	/** @slots: Slots in use; @lock. */
	DECLARE_BITMAP(slots, DRM_MSVM_MAX_MEMBERS);
	/**
	 * @members: Member of each slot. Written under @lock; read without it
	 * by whoever knows that the slot is mapped in a range, since a member
	 * leaves only after it unmapped all.
	 */
	struct drm_msvm_member *members[DRM_MSVM_MAX_MEMBERS];
	/**
	 * @others: The same for whoever else looks, within a read section of
	 * @srcu: a member that leaves goes from here first. Written under @lock.
	 */
	struct drm_msvm_member __rcu *others[DRM_MSVM_MAX_MEMBERS];
	/** @nr_members: Bits set in @slots; @lock. */
	unsigned int nr_members;
	/**
	 * @shards: Shards by window number. Stored under @lock, loaded under
	 * RCU; entries live as long as the address space.
	 */
	struct xarray shards;
	/** @nr_ranges: Live ranges. */
	atomic_long_t nr_ranges;
	/** @nr_notifiers: Live MMU interval notifiers. */
	atomic_long_t nr_notifiers;
	/** @stats: Counters. */
	struct msvm_stats __percpu *stats;
	/** @debugfs: Directory of this address space. */
	struct dentry *debugfs;
	/**
	 * @pool: Fault workers. Set once under @lock, when the first device that
	 * has a fault queue joins.
	 */
	struct msvm_fault_pool *pool;
	/**
	 * @keep_wq: Maps again what is kept mapped. Set once under @lock, when the
	 * first member has something kept.
	 */
	struct workqueue_struct *keep_wq;
	/** @userptrs: Set once under @lock, with the first userptr. */
	struct msvm_userptrs *userptrs;
	/** @claim: Which rule said what policy it has. */
	struct msvm_claim claim;
	/**
	 * @srcu: Read sections in which faults look at other members than their
	 * own and map for them; a leaving member waits for them.
	 */
	struct srcu_struct srcu;
	/** @requested: The process asked for memory to be moved to a device; a hint. */
	bool requested;
	/** @prefetch: What is to be moved along with what faulted. */
	struct msvm_prefetch prefetch;
	/** @attr_store: Attributes. Set once under @lock, with the first ones. */
	struct msvm_attr_store *attr_store;
};

/**
 * struct msvm_shard - A window of the address space with locks of its own.
 */
struct msvm_shard {
	/** @gpusvm: The kernel's ranges and notifier of this window. */
	struct drm_gpusvm gpusvm;
	/** @msvm: The address space. */
	struct drm_msvm *msvm;
	/** @start: First address of the window. */
	unsigned long start;
	/** @lock: The shard lock. */
	struct mutex lock;
	/**
	 * @index: Live ranges by page number within the window, as multi-index
	 * entries. Changed under @lock, loaded under RCU.
	 */
	struct xarray index;
	/** @nr_ranges: Ranges in @index; @lock. */
	unsigned long nr_ranges;
	/** @collect_lock: Protects @collect; innermost, taken in notifiers. */
	spinlock_t collect_lock;
	/** @collect: Ranges whose memory was unmapped, each with a reference. */
	struct list_head collect;
	/** @collect_work: Removes the ranges in @collect. */
	struct work_struct collect_work;
};

/**
 * struct msvm_space - What the gpusvm of ranges and of userptrs alike leads to: a
 * shard begins with the same.
 */
struct msvm_space {
	/** @gpusvm: The kernel's, with the notifier lock. */
	struct drm_gpusvm gpusvm;
	/** @msvm: The address space. */
	struct drm_msvm *msvm;
};

static_assert(offsetof(struct msvm_shard, gpusvm) ==
	      offsetof(struct msvm_space, gpusvm));
static_assert(offsetof(struct msvm_shard, msvm) ==
	      offsetof(struct msvm_space, msvm));

/**
 * struct msvm_slot_entry - Which slot an entry of the pages array is for.
 */
struct msvm_slot_entry {
	/** @slot: Slot number or MSVM_SLOT_NONE; notifier lock. */
	u8 slot;
	/** @read_only: Never map it writable; range mutex. */
	bool read_only : 1;
	/** @no_atomics: How it was mapped last; range mutex. */
	bool no_atomics : 1;
	/** @faults: Faults of the slot in the current window; range mutex. */
	u16 faults;
	/** @cap: Entries that dma_addr of the pages has room for; range mutex. */
	u32 cap;
	/** @since: When that window began, jiffies; range mutex. */
	u32 since;
};

/**
 * struct drm_msvm_range - Part of a shard that is walked and mapped as a whole.
 */
struct drm_msvm_range {
	/** @base: The kernel's range. */
	struct drm_gpusvm_range base;
	/** @lock: The range mutex. */
	struct mutex lock;
	/**
	 * @removed: No fault is served in it any more, and it leaves the tree. Set
	 * with the range mutex held; who sees it set need not have the mutex. Never
	 * cleared: what is only unmapped can be revived, see msvm_hold.c.
	 */
	bool removed;
	/** @too_large: It could not be served as a whole; range mutex. */
	bool too_large;
	/** @indexed: Is in the shard's index and in its tree; shard lock. */
	bool indexed;
	/**
	 * @runs_valid: @runs describes the memory as it is. Set under the
	 * notifier lock for reading and the range mutex, cleared by every
	 * overlapping invalidation. A mapped slot implies it.
	 */
	bool runs_valid;
	/** @runs_writable: All of @runs may be written; as @runs_valid. */
	bool runs_writable;
	/**
	 * @written: Some device could write since @runs became valid, so the
	 * pages must be marked dirty before it is cleared. Set under the
	 * notifier lock for reading, cleared for writing.
	 */
	bool written;
	/** @nr_slots: Entries of @pages and @entries in use; as @pages. */
	u8 nr_slots;
	/** @cap_slots: Entries they have room for; as @pages. */
	u8 cap_slots;
	/** @is_userptr: Part of a &struct drm_msvm_userptr, in no shard; constant. */
	bool is_userptr;
	/**
	 * @seq: Overlapping invalidations so far; notifier lock. A walk is
	 * good if this did not change since before it. mmu_interval_read_retry()
	 * would do as well but fails also for the rest of the notifier's window.
	 */
	unsigned long seq;
	/**
	 * @pages: One entry a slot that mapped the range, contiguous.
	 * Moved under the range mutex and the notifier lock for writing.
	 */
	struct drm_gpusvm_pages *pages;
	/** @entries: What each of @pages is for; as @pages. */
	struct msvm_slot_entry *entries;
	/** @inline_pages: Storage of @pages while one slot is enough. */
	struct drm_gpusvm_pages inline_pages[MSVM_INLINE_SLOTS];
	/** @inline_entries: Storage of @entries, likewise. */
	struct msvm_slot_entry inline_entries[MSVM_INLINE_SLOTS];
	/**
	 * @mapped: Slots whose pages are DMA-mapped. Bits are set under the
	 * notifier lock for reading and cleared for writing, atomically.
	 */
	DECLARE_BITMAP(mapped, DRM_MSVM_MAX_MEMBERS);
	/** @bound: Slots whose device may have PTEs; as @mapped. */
	DECLARE_BITMAP(bound, DRM_MSVM_MAX_MEMBERS);
	/** @writable: Slots whose mapping can be written; as @mapped. */
	DECLARE_BITMAP(writable, DRM_MSVM_MAX_MEMBERS);
	/**
	 * @runs: Result of the last walk, one word for each physically
	 * contiguous power-of-two run of the same rights, see msvm_run_*().
	 * Range mutex, or the notifier lock and @runs_valid.
	 */
	u64 *runs;
	/**
	 * @dpagemap: The one that pages of @runs in device memory belong to, or
	 * NULL; as @runs. The pages hold a reference while @runs_valid.
	 */
	struct drm_pagemap *dpagemap;
	/** @heat: History, for the policy engine; range mutex. */
	struct msvm_heat heat;
	/** @pinned: It was said that it is pinned; range mutex. */
	bool pinned;
	/**
	 * @taken: When an invalidation took device memory away that was in @runs,
	 * ns; 0: none did since it was last moved. Set under the notifier lock for
	 * writing, a hint for others.
	 */
	u64 taken;
	/**
	 * @forget: What is remembered of its moves and faults no longer counts. Set
	 * by who changes attributes, without a lock.
	 */
	bool forget;
	/** @nr_runs: Number of @runs; as @runs. */
	u32 nr_runs;
	/** @cap_runs: Room in @runs; range mutex. */
	u32 cap_runs;
	/** @collect_link: Entry in &msvm_shard.collect. */
	struct list_head collect_link;
	/** @rcu: Delays freeing for lookups under RCU. */
	struct rcu_head rcu;
};

static inline struct msvm_shard *to_msvm_shard(struct drm_gpusvm *gpusvm)
{
	return container_of(gpusvm, struct msvm_shard, gpusvm);
}

static inline struct drm_msvm_range *
to_msvm_range(struct drm_gpusvm_range *range)
{
	return container_of(range, struct drm_msvm_range, base);
}

static inline struct msvm_shard *msvm_range_shard(struct drm_msvm_range *range)
{
	return to_msvm_shard(range->base.gpusvm);
}

static inline struct drm_msvm *msvm_range_context(struct drm_msvm_range *range)
{
	return container_of(range->base.gpusvm, struct msvm_space, gpusvm)->msvm;
}

static inline unsigned long msvm_range_npages(struct drm_msvm_range *range)
{
	return drm_gpusvm_range_size(&range->base) >> PAGE_SHIFT;
}

/* Set under the notifier lock with WRITE_ONCE(); a hint without it. */
static inline bool msvm_range_unmapped(struct drm_msvm_range *range)
{
	struct drm_gpusvm_range_flags flags = {
		.__flags = READ_ONCE(range->base.flags.__flags),
	};

	return flags.unmapped;
}

/* msvm_context.c */
extern struct mutex msvm_contexts_lock;
struct drm_msvm *msvm_context_get(struct mm_struct *mm);
void msvm_context_put(struct drm_msvm *msvm);
void msvm_context_for_each(void (*fn)(struct drm_msvm *msvm, void *data),
			   void *data);

/* msvm_device.c */
void msvm_device_for_each(void (*fn)(struct drm_msvm_device *dev, void *data),
			  void *data);
struct drm_pagemap *msvm_device_next_pagemap(unsigned long *index);
int msvm_device_introduce(struct drm_msvm_device *dev,
			  struct msvm_memory *memory);

/**
 * struct msvm_device_config - What an administrator says about a device, which may
 * come later, or go and come back. All under the lock of the devices.
 * @link: Entry in the list of all.
 * @name: dev_name() of the device.
 * @limit: Most bytes of its memory that pages may take, U64_MAX: all.
 * @weight: Its share where memory is spread over devices.
 * @enabled: Pages may live in its memory.
 */
struct msvm_device_config {
	struct list_head link;
	const char *name;
	u64 limit;
	u32 weight;
	bool enabled;
};

#define MSVM_DEVICE_WEIGHT	100

/**
 * struct msvm_device_state - What is known about the devices of a name.
 * @present: There is one.
 * @resident: Bytes of its memory that pages take.
 */
struct msvm_device_state {
	bool present;
	u64 resident;
};

void msvm_device_config_add(struct msvm_device_config *config);
void msvm_device_config_remove(struct msvm_device_config *config);
int msvm_device_config_set(struct msvm_device_config *config,
			   const struct msvm_device_config *values);
struct msvm_device_config
msvm_device_config_get(struct msvm_device_config *config,
		       struct msvm_device_state *state);

/* msvm_shard.c */
struct msvm_shard *msvm_shard_get(struct drm_msvm *msvm, unsigned long addr);
void msvm_shard_destroy(struct msvm_shard *shard);
void msvm_shard_collect(struct msvm_shard *shard);
void msvm_shard_queue_collect(struct msvm_shard *shard);
bool msvm_shard_try_remove(struct msvm_shard *shard,
			   struct drm_msvm_range *range);

/* msvm_range.c */
int msvm_range_cache_init(void);
void msvm_range_cache_exit(void);
void msvm_range_init(struct drm_msvm_range *range);
void msvm_range_fini(struct drm_msvm_range *range);
struct drm_gpusvm_range *msvm_range_alloc(struct drm_gpusvm *gpusvm);
void msvm_range_free(struct drm_gpusvm_range *base);
struct drm_msvm_range *msvm_range_lookup(struct msvm_shard *shard,
					 unsigned long addr);
struct drm_msvm_range *msvm_range_next(struct msvm_shard *shard,
				       unsigned long *index,
				       unsigned long last);
unsigned long msvm_range_end_at(struct drm_msvm *msvm, unsigned long addr);
struct drm_msvm_range *msvm_range_create(struct msvm_shard *shard,
					 struct drm_msvm_member *member,
					 unsigned long addr,
					 unsigned long chunk);
void msvm_range_unindex(struct msvm_shard *shard, struct drm_msvm_range *range);
int msvm_range_add_slot(struct drm_msvm_range *range,
			struct drm_msvm_member *member);
int msvm_range_find_slot(struct drm_msvm_range *range, u8 slot);
void msvm_range_put(struct drm_msvm_range *range);

/* msvm_member.c */
struct drm_msvm_member *msvm_member_of(struct drm_msvm *msvm, unsigned int slot);
void msvm_leave_ranges(struct drm_msvm_range **ranges, unsigned int nr,
		       struct drm_msvm_member *member);

/* msvm_fault.c */

/**
 * struct msvm_retry - How often something was tried.
 * @deadline: When to give up, jiffies.
 * @tries: Tries so far.
 */
struct msvm_retry {
	unsigned long deadline;
	unsigned int tries;
};

void msvm_retry_begin(struct msvm_retry *retry);
int msvm_retry(struct drm_msvm *msvm, struct msvm_retry *retry);
int msvm_range_commit(struct drm_msvm_range *range,
		      struct drm_msvm_member *member, int idx,
		      const struct msvm_attrs *attrs, bool atomic);
struct drm_msvm_range *msvm_fault_range(struct msvm_fault *fault,
					struct msvm_shard *shard);
int msvm_fault_serve_for(struct msvm_fault_worker *worker,
			 struct drm_msvm_member *member, u64 addr,
			 enum drm_msvm_access access);
int msvm_fault_hastily(struct drm_msvm_member *member, u64 addr,
		       enum drm_msvm_access access);
int msvm_fault_serve_at(struct msvm_fault *fault, u64 addr,
			enum drm_msvm_access access);
void msvm_fault_count(struct drm_msvm_member *member);

/* msvm_walk.c */
enum msvm_walk_how {
	/* As long as it takes, up to HMM's own limit. */
	MSVM_WALK,
	/* Others want the range as well, and there are other means. */
	MSVM_WALK_HASTY,
	/* mmap_lock is held, and is kept. */
	MSVM_WALK_HELD,
};

int msvm_walk(struct drm_msvm_range *range, bool write, enum msvm_walk_how how);
int msvm_walk_present(struct drm_msvm_range *range);

/* msvm_lend.c */
u64 msvm_dma_proto(struct device *dev);
void msvm_dma_settle(struct drm_gpusvm_pages *pages, unsigned long nr, u64 proto);
bool msvm_lend_map(struct drm_msvm_range *range, int idx,
		   enum dma_data_direction dir);

/* msvm_map.c */
int msvm_map_reserve(struct drm_msvm_range *range, int idx);
int msvm_map(struct drm_msvm_range *range, int idx);
void msvm_unmap_unbound(struct drm_msvm_range *range, int idx);
void msvm_unmap(struct drm_msvm_range *range, int idx);
void msvm_mark_dirty(struct drm_msvm_range *range);

/* msvm_invalidate.c */
void msvm_invalidate(struct drm_gpusvm *gpusvm,
		     struct drm_gpusvm_notifier *notifier,
		     const struct mmu_notifier_range *mmu_range);
void msvm_zap_wait(struct drm_msvm_member *member, u64 ticket);
void msvm_ranges_drop_slots(struct drm_msvm_range **ranges, unsigned int nr,
			    u64 slots);
void msvm_ranges_drop_slot(struct drm_msvm_range **ranges, unsigned int nr,
			   unsigned int slot);
void msvm_range_drop_own(struct drm_msvm_range *range, unsigned int slot);
void msvm_range_drop_all(struct drm_msvm_range *range);

/* msvm_keep.c */
void msvm_keep_destroy(struct drm_msvm *msvm);
int msvm_keep_prepare(struct drm_msvm_member *member);
void msvm_keep_invalidate(struct drm_msvm_member *member, unsigned long start,
			  unsigned long end, bool own);
void msvm_keep_quiesce(struct drm_msvm_member *member, bool own);
void msvm_keep_recheck(struct drm_msvm_member *member);
int msvm_keep_add(struct drm_msvm_member *member,
		  struct drm_msvm_userptr_binding *binding);
void msvm_keep_remove(struct drm_msvm_member *member,
		      struct drm_msvm_userptr_binding *binding);
void msvm_keep_stop(struct drm_msvm_member *member);
void msvm_keep_free(struct drm_msvm_member *member);

/* msvm_userptr.c */
void msvm_userptrs_destroy(struct drm_msvm *msvm);
void msvm_userptr_reset(struct drm_msvm_member *member);
int msvm_userptr_revalidate(struct drm_msvm_userptr_binding *binding);
int msvm_userptr_revalidate_hastily(struct drm_msvm_userptr_binding *binding);
int msvm_userptr_revalidate_held(struct drm_msvm_userptr_binding *binding);
int msvm_userptr_lock_vmas(struct drm_msvm_userptr_binding *binding);
u64 msvm_userptr_zap(struct drm_msvm_range *range, unsigned int slot);
int msvm_userptr_bind_pages(struct drm_msvm_range *range, unsigned int slot,
			    const struct drm_msvm_mapping *mapping);
void msvm_userptr_quiesce(struct drm_msvm_range *range, unsigned int slot);
void msvm_userptrs_show(struct drm_msvm *msvm, struct seq_file *m);
unsigned int msvm_userptrs_count(struct drm_msvm *msvm);

/* msvm_attr_store.c */
void msvm_attr_forget_slot(struct drm_msvm *msvm, u8 slot);
void msvm_attr_forget_device(u32 dev_id);
void msvm_attr_store_destroy(struct drm_msvm *msvm);

/* msvm_attr_show.c */
void msvm_attr_debugfs_add(struct drm_msvm *msvm);

/* msvm_attr_fault.c */
int msvm_attr_admit(struct drm_msvm_range *range,
		    struct drm_msvm_member *member, bool atomic);
int msvm_attr_commit(struct drm_msvm_range *range,
		     struct drm_msvm_member *member,
		     const struct msvm_attrs *decided, bool atomic,
		     bool *no_atomics);

/* msvm_control.c */
int msvm_control_init(void);
void msvm_control_exit(void);

/* msvm_configfs.c */
int msvm_configfs_init(void);
void msvm_configfs_exit(void);

/* msvm_where.c */
int msvm_where_show(struct drm_msvm *msvm, struct seq_file *m);

/* msvm_debugfs.c */
void msvm_debugfs_init(void);
void msvm_debugfs_exit(void);
void msvm_debugfs_add(struct drm_msvm *msvm);
void msvm_debugfs_remove(struct drm_msvm *msvm);

#endif /* __MSVM_INTERNAL_H__ */
