/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * drm_msvm: several GPUs, one address space.  This file is responsible for the
 * whole interface between the library and a GPU driver: the operations a
 * driver provides, the objects it embeds, the verbs it calls.
 */
#ifndef __DRM_MSVM_H__
#define __DRM_MSVM_H__

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct drm_device;
struct drm_msvm;
struct drm_msvm_device;
struct drm_msvm_fault_queue;
struct drm_msvm_member;
struct drm_pagemap;
struct drm_pagemap_addr;
struct msvm_keep;
struct msvm_memory;
struct msvm_fault_entry;

/**
 * DRM_MSVM_MAX_MEMBERS - Most members of one address space.
 *
 * Slot masks are one 64-bit word, so that a range costs no more than that for
 * all its devices together.
 */
#define DRM_MSVM_MAX_MEMBERS	64

/**
 * DRM_MSVM_NOTIFIER_SIZE - Bytes of address space behind one MMU interval
 * notifier, and so behind one pair of locks (one shard).
 *
 * The default of xe's svm_notifier_size, so that figures can be compared.
 */
#define DRM_MSVM_NOTIFIER_SIZE	SZ_512M

/**
 * DRM_MSVM_CHUNK_SIZES - Initialiser of the range sizes tried on a fault, in
 * descending order; the same as xe's.
 */
#define DRM_MSVM_CHUNK_SIZES	{ SZ_2M, SZ_64K, SZ_4K }

/**
 * enum drm_msvm_access - What a GPU wanted to do when it faulted.
 * @DRM_MSVM_ACCESS_READ: Load.
 * @DRM_MSVM_ACCESS_WRITE: Store.
 * @DRM_MSVM_ACCESS_ATOMIC: Read-modify-write; needs a writable mapping.
 */
enum drm_msvm_access {
	DRM_MSVM_ACCESS_READ,
	DRM_MSVM_ACCESS_WRITE,
	DRM_MSVM_ACCESS_ATOMIC,
};

/**
 * struct drm_msvm_mapping - What a driver is asked to write to its page table.
 * @start: First address, page aligned.
 * @end: End address, exclusive.
 * @addrs: Device addresses in packed form, of the kind that their proto says
 *	(DRM_INTERCONNECT_SYSTEM or DRM_MSVM_PROTO_*): entry i covers
 *	PAGE_SIZE << addrs[i].order bytes, the entries follow each other from
 *	@start and add up to @end.  An entry's order promises contiguous device
 *	addresses and nothing on their alignment or on CPU folios.
 * @nents: Number of entries in @addrs.
 * @writable: The device may write; otherwise PTEs must forbid it.
 * @no_atomics: Atomic operations of the device must fault, on devices that can tell
 *	them from other accesses: by %DRM_MSVM_ATOMICS_NONE, or as the memory is not in
 *	the device's own for %DRM_MSVM_ATOMICS_DEVICE, which the fault changes.
 *
 * Valid only during the call it is passed to: a driver copies addresses into
 * PTEs and keeps neither the structure nor a pointer into it.
 */
struct drm_msvm_mapping {
	u64 start;
	u64 end;
	const struct drm_pagemap_addr *addrs;
	unsigned long nents;
	bool writable;
	bool no_atomics;
};

/**
 * struct drm_msvm_ops - What a GPU driver provides.
 *
 * All of them get the member, that is, the driver's VM.  Calls for different
 * intervals of one member can come at the same time from several CPUs.
 */
struct drm_msvm_ops {
	/**
	 * @prepare: Allocate page-table memory for an interval (optional).
	 *
	 * Called before @bind, which can't allocate.  What it allocated stays
	 * with the driver; a @bind need not follow.
	 *
	 * Both are called for faults of the member, and at any other time
	 * between drm_msvm_join() and drm_msvm_leave(), when another member's
	 * fault maps for this one as well.  The device may be asleep then.
	 *
	 * Context: Sleeps, may allocate with GFP_KERNEL.  The range mutex is
	 * held; neither mmap_lock nor the notifier lock is.
	 *
	 * Return: 0, or a negative errno that fails the fault as it is
	 * (-ENOMEM, or -EIO for a device that is gone).
	 */
	int (*prepare)(struct drm_msvm_member *member, u64 start, u64 end);

	/**
	 * @bind: Write the PTEs of one mapping (required).
	 *
	 * The pages are known valid, and stay so until the call returns.
	 *
	 * Context: Notifier lock held for reading, at times within mmap_lock.
	 * It is taken in reclaim: no allocation that may reclaim, no dma_resv,
	 * no mmap_lock.  May sleep on locks that obey this.
	 *
	 * Return: 0; or a negative errno that fails the fault as it is, then
	 * the device must not be able to reach any of the pages.
	 */
	int (*bind)(struct drm_msvm_member *member,
		    const struct drm_msvm_mapping *mapping);

	/**
	 * @zap: Clear the PTEs of an interval and start the TLB shoot-down
	 * (required).
	 *
	 * Must not wait for the shoot-down: that is what @zap_wait is for, and
	 * between the two the library starts the other devices'.
	 *
	 * Context: Notifier lock held for writing, from an MMU notifier: same
	 * rules as for @bind.  Cannot fail.
	 *
	 * Return: A ticket for @zap_wait, larger than every ticket of this
	 * member before it.
	 */
	u64 (*zap)(struct drm_msvm_member *member, u64 start, u64 end);

	/**
	 * @zap_wait: Wait until the device can no longer use what a @zap
	 * cleared (required).
	 *
	 * Covers @ticket and all smaller ones.  After it returned 0, no access
	 * through a zapped PTE is under way or can start.  It must wait for
	 * the shoot-down, never for jobs to complete (a job may wait for the
	 * very memory operation that called the notifier), and must end in
	 * bounded time.
	 *
	 * Context: As for @zap.
	 *
	 * Return: 0, or -ETIMEDOUT when the device does not answer; the
	 * library then calls @cut_off and fails all later faults of the member
	 * with -EIO.
	 */
	int (*zap_wait)(struct drm_msvm_member *member, u64 ticket);

	/**
	 * @cut_off: Take a device that does not answer off memory (required
	 * if @zap_wait can fail).
	 *
	 * After it returned the device reaches none of the member's memory,
	 * now or later.  The driver reports the device as wedged.
	 *
	 * Invalidations that start later call neither @zap, @zap_wait nor
	 * @quiesce of the member.
	 *
	 * Context: As for @zap.  Can be called more than once.
	 */
	void (*cut_off)(struct drm_msvm_member *member);

	/**
	 * @quiesce: Stop the member's queues (for devices without page faults,
	 * with @resume).
	 *
	 * When it returns no work of the member accesses memory, until @resume.
	 * Work that runs is preempted; it must never be waited for to complete,
	 * since it may wait for what this very call holds up. Work that is
	 * queued meanwhile waits. Called once before each @resume.
	 *
	 * Context: As for @zap. Cannot fail: hardware that does not answer is
	 * to be reset, or cut off.
	 */
	void (*quiesce)(struct drm_msvm_member *member);

	/**
	 * @resume: Start the member's queues again.
	 *
	 * Context: Sleeps; a lock is held that is also held around @quiesce, so
	 * no allocation that may reclaim.
	 */
	void (*resume)(struct drm_msvm_member *member);
};

/**
 * DRM_MSVM_DEVICE_NO_DMA - The device takes CPU physical addresses.
 *
 * For devices that are not behind the DMA API, such as a model in software:
 * they get the physical address of a page as its device address.
 */
#define DRM_MSVM_DEVICE_NO_DMA	BIT(0)

/**
 * DRM_MSVM_DEVICE_PEERS - The driver can bind %DRM_MSVM_PROTO_PEER addresses.
 *
 * The device then maps other devices' memory where these say that it can be
 * reached, see &drm_msvm_memory_ops.peer_distance.
 */
#define DRM_MSVM_DEVICE_PEERS	BIT(1)

/**
 * DRM_MSVM_DEVICE_EXPLICIT - Faults move no memory to the device's.
 *
 * The device maps memory where it is; only drm_msvm_migrate() moves some to it.
 */
#define DRM_MSVM_DEVICE_EXPLICIT	BIT(2)

/**
 * DRM_MSVM_DEVICE_NO_SYSTEM_ATOMICS - The device's atomic operations are not atomic
 * with those of CPUs and of other devices.
 */
#define DRM_MSVM_DEVICE_NO_SYSTEM_ATOMICS	BIT(3)

/**
 * DRM_MSVM_DEVICE_NO_FAULTS - The device takes no page faults.
 *
 * What attributes say it accesses is kept mapped for it, as by drm_msvm_keep(), which
 * takes &drm_msvm_ops.quiesce and &drm_msvm_ops.resume.
 */
#define DRM_MSVM_DEVICE_NO_FAULTS	BIT(4)

/**
 * struct drm_msvm_device - A registered GPU, embedded in the driver's device.
 *
 * Filled in by drm_msvm_device_register(); drivers read and write nothing in it.
 */
struct drm_msvm_device {
	/* private: */
	struct drm_device *drm;
	const struct drm_msvm_ops *ops;
	u32 flags;
	u32 id;
	atomic_t members;
	struct msvm_memory *memory;
	struct drm_msvm_fault_queue *queue;
	/* Set by administrators, see struct msvm_device_config. */
	u64 svm_limit;
	u32 weight;
	bool enabled;
};

/**
 * struct drm_msvm_member - One GPU's VM inside one address space, embedded in
 * the driver's VM.
 *
 * Filled in by drm_msvm_join(); drivers read it through the accessors.
 */
struct drm_msvm_member {
	/* private: */
	struct drm_msvm *msvm;
	struct drm_msvm_device *dev;
	struct drm_pagemap *dpagemap;
	struct msvm_keep *keep;
	u64 va_start;
	u64 va_end;
	atomic64_t faults;
	atomic_t queued;
	atomic_t userptrs;
	/* Where it went last, see struct msvm_stream in msvm_policy.h. */
	u64 stream_start;
	u64 stream_end;
	/* What it moved in lately, see struct msvm_burst there. */
	u64 burst_last;
	u64 burst_bytes;
	u32 burst_pace;
	s8 stream_run;
	u8 slot;
	bool leaving;
	/* It did not answer; and &drm_msvm_ops.cut_off returned. */
	bool wedged;
	bool cut_off;
};

/**
 * struct drm_msvm_info - Size and counters of one address space.
 * @id: Number of the address space, the directory in debugfs.
 * @members: Members now.
 * @faults: Faults served for all members, failed ones included.
 * @walks: CPU page-table walks for faults.
 * @walks_saved: Faults that were mapped from an earlier walk.
 * @invalidations: Notifier callbacks that hit at least one range.
 * @ranges: Live ranges.
 * @notifiers: Live MMU interval notifiers.
 * @bytes: Bytes of bookkeeping now held: shards, notifiers, ranges, page
 *	descriptions, walk results and DMA address arrays.
 */
struct drm_msvm_info {
	u32 id;
	u32 members;
	u64 faults;
	u64 walks;
	u64 walks_saved;
	u64 invalidations;
	u64 ranges;
	u64 notifiers;
	u64 bytes;
};

/**
 * struct drm_msvm_fault - A page fault that a driver hands over.
 * @member: The member whose GPU faulted.
 * @addr: Faulting address.
 * @access: What the GPU wanted to do.
 * @err: Result: 0, or a negative errno as drm_msvm_handle_fault() returns it.
 * @data: The driver's.
 */
struct drm_msvm_fault {
	struct drm_msvm_member *member;
	u64 addr;
	enum drm_msvm_access access;
	int err;
	void *data;
	/* private: */
	struct list_head link;
};

/**
 * struct drm_msvm_fault_queue_ops - What a driver with a fault queue provides.
 */
struct drm_msvm_fault_queue_ops {
	/**
	 * @done: A fault is over (required).
	 *
	 * Called once for each fault that drm_msvm_fault_push() took, with a
	 * copy of it that is valid during the call. &drm_msvm_fault.err is
	 * 0 if the GPU may repeat the access, -ECANCELED if the fault was
	 * cancelled, and otherwise why the access is not possible.
	 *
	 * Context: Sleeps. A worker of the library, or who cancels. No lock
	 * of the library is held; it may push, but not leave or cancel.
	 */
	void (*done)(struct drm_msvm_fault_queue *queue,
		     const struct drm_msvm_fault *fault);

	/**
	 * @room: After a push was refused, there is room again (required).
	 *
	 * The driver pushes what its hardware kept; if that is more than there
	 * is room for, the next push that is refused leads to the next call.
	 *
	 * Context: As for @done.
	 */
	void (*room)(struct drm_msvm_fault_queue *queue);
};

/**
 * struct drm_msvm_fault_queue - Faults of one device on their way, embedded in
 * the driver's device.
 *
 * Filled in by drm_msvm_fault_queue_init(); drivers read and write nothing in it.
 */
struct drm_msvm_fault_queue {
	/* private: */
	struct drm_msvm_device *dev;
	const struct drm_msvm_fault_queue_ops *ops;
	struct msvm_fault_entry *entries;
	/* Protects what follows; taken in interrupts. */
	spinlock_t lock;
	struct list_head free;
	unsigned int depth;
	unsigned int fill;
	unsigned int highest;
	u64 overflows;
	bool refused;
};

int drm_msvm_device_register(struct drm_msvm_device *dev,
			     struct drm_device *drm,
			     const struct drm_msvm_ops *ops, u32 flags);
void drm_msvm_device_unregister(struct drm_msvm_device *dev);

int drm_msvm_join(struct drm_msvm_member *member, struct drm_msvm_device *dev,
		  u64 va_start, u64 va_end);
void drm_msvm_leave(struct drm_msvm_member *member);
void drm_msvm_reset(struct drm_msvm_member *member);

int drm_msvm_keep(struct drm_msvm_member *member, u64 start, u64 end,
		  enum drm_msvm_access access);
int drm_msvm_unkeep(struct drm_msvm_member *member, u64 start, u64 end);

int drm_msvm_handle_fault(struct drm_msvm_member *member, u64 addr,
			  enum drm_msvm_access access);

void drm_msvm_handle_faults(struct drm_msvm_fault *faults, unsigned int n);

int drm_msvm_fault_queue_init(struct drm_msvm_fault_queue *queue,
			      struct drm_msvm_device *dev, unsigned int depth,
			      const struct drm_msvm_fault_queue_ops *ops);
void drm_msvm_fault_queue_fini(struct drm_msvm_fault_queue *queue);
int drm_msvm_fault_push(struct drm_msvm_fault_queue *queue,
			const struct drm_msvm_fault *fault);
void drm_msvm_fault_cancel(struct drm_msvm_member *member, void *data);

void drm_msvm_member_info(struct drm_msvm_member *member,
			  struct drm_msvm_info *info);

/**
 * drm_msvm_member_faults() - Faults that one member took.
 * @member: The member.
 *
 * Context: Any.
 *
 * Return: Number of calls of drm_msvm_handle_fault() for @member.
 */
static inline u64 drm_msvm_member_faults(struct drm_msvm_member *member)
{
	return atomic64_read(&member->faults);
}

/**
 * drm_msvm_member_wedged() - Was a member cut off?
 * @member: The member.
 *
 * Context: Any.
 *
 * Return: true once the member's device did not answer a shoot-down.
 */
static inline bool drm_msvm_member_wedged(struct drm_msvm_member *member)
{
	return READ_ONCE(member->wedged);
}

#endif /* __DRM_MSVM_H__ */
