/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Userptr: memory of a process that is bound explicitly, for devices and drivers
 * that do without page faults. One MMU notifier and one walk of the CPU page table
 * serve all devices that bind the same interval.
 */
#ifndef __DRM_MSVM_USERPTR_H__
#define __DRM_MSVM_USERPTR_H__

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/types.h>

struct drm_msvm_mapping;
struct drm_msvm_member;
struct drm_msvm_userptr;
struct drm_msvm_userptr_binding;

/**
 * struct drm_msvm_userptr_ops - What a driver with userptrs provides.
 *
 * They are beside &struct drm_msvm_ops, since a driver may map a userptr elsewhere
 * in its device's address space, or only when it submits work.
 */
struct drm_msvm_userptr_ops {
	/**
	 * @prepare: Allocate what @bind needs (optional).
	 *
	 * Context: As for &drm_msvm_ops.prepare.
	 *
	 * Return: 0, or a negative errno that fails the bind as it is.
	 */
	int (*prepare)(struct drm_msvm_userptr_binding *binding);

	/**
	 * @bind: Take over the device addresses (required).
	 *
	 * The mapping covers the whole interval.
	 *
	 * Context: As for &drm_msvm_ops.bind.
	 *
	 * Return: 0; or a negative errno that fails the bind as it is, then the
	 * device must not be able to reach any of the pages.
	 */
	int (*bind)(struct drm_msvm_userptr_binding *binding,
		    const struct drm_msvm_mapping *mapping);

	/**
	 * @zap: What @bind took over is about to be taken away (required).
	 *
	 * Clears it and starts the shoot-down, and must not wait for it: that is
	 * what &drm_msvm_ops.zap_wait is for, and between the two the library
	 * starts the other devices'. A device that does not answer is cut off by
	 * &drm_msvm_ops.cut_off.
	 *
	 * Context: As for &drm_msvm_ops.zap. Cannot fail.
	 *
	 * Return: A ticket for &drm_msvm_ops.zap_wait, of the same sequence as
	 * those of &drm_msvm_ops.zap.
	 */
	u64 (*zap)(struct drm_msvm_userptr_binding *binding);
};

/**
 * DRM_MSVM_USERPTR_READ_ONLY - The device only reads, and can't write.
 */
#define DRM_MSVM_USERPTR_READ_ONLY	BIT(0)

/**
 * DRM_MSVM_USERPTR_KEEP - Keep it bound while the member's queues run.
 *
 * For devices without page faults: an invalidation calls &drm_msvm_ops.quiesce
 * before anything is taken away, and a worker binds again and calls
 * &drm_msvm_ops.resume, as for drm_msvm_keep().
 */
#define DRM_MSVM_USERPTR_KEEP		BIT(1)

/**
 * struct drm_msvm_userptr_binding - One member's part in a userptr, embedded in the
 * driver's binding.
 *
 * Filled in by drm_msvm_userptr_attach(); drivers read @member, @start and @end.
 */
struct drm_msvm_userptr_binding {
	/** @member: The member. */
	struct drm_msvm_member *member;
	/** @start: First address. */
	u64 start;
	/** @end: End, exclusive. */
	u64 end;
	/* private: */
	struct drm_msvm_userptr *userptr;
	const struct drm_msvm_userptr_ops *ops;
	u32 flags;
	bool detaching;
	struct list_head keep_link;
	u64 keep_pass;
};

int drm_msvm_userptr_attach(struct drm_msvm_userptr_binding *binding,
			    struct drm_msvm_member *member, u64 start, u64 end,
			    const struct drm_msvm_userptr_ops *ops, u32 flags);
void drm_msvm_userptr_detach(struct drm_msvm_userptr_binding *binding);

int drm_msvm_userptr_bind(struct drm_msvm_userptr_binding **bindings,
			  unsigned int nr);

void drm_msvm_userptr_lock(struct drm_msvm_member *member);
void drm_msvm_userptr_unlock(struct drm_msvm_member *member);
bool drm_msvm_userptr_valid(struct drm_msvm_userptr_binding *binding);
void drm_msvm_userptr_recheck(struct drm_msvm_member *member);

#endif /* __DRM_MSVM_USERPTR_H__ */
