/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Attributes by interval: what an application says about parts of its address
 * space, for drivers that let it say so. Documentation/gpu/drm-msvm-attributes.rst
 * tells what each of them does and which beats which.
 */
#ifndef __DRM_MSVM_ATTR_H__
#define __DRM_MSVM_ATTR_H__

#include <linux/bits.h>
#include <linux/types.h>

#include <drm/drm_msvm.h>

/**
 * enum drm_msvm_attr_type - What a change is about.
 * @DRM_MSVM_ATTR_PREFERRED_LOCATION: Where the memory is best:
 *	%DRM_MSVM_PREFERRED_NONE, %DRM_MSVM_PREFERRED_SYSTEM, or
 *	%DRM_MSVM_PREFERRED_DEVICE and &drm_msvm_attr.device.
 * @DRM_MSVM_ATTR_ACCESSED_BY: &drm_msvm_attr.member is to have it mapped wherever
 *	it is (1), or no longer (0); one whose device takes no page faults has it kept
 *	mapped, see drm_msvm_keep().
 * @DRM_MSVM_ATTR_NO_ACCESS: &drm_msvm_attr.member may not access it (1), or may
 *	again (0).
 * @DRM_MSVM_ATTR_READ_MOSTLY: It is mostly read (1), or not (0).
 * @DRM_MSVM_ATTR_GRANULARITY: log2 of the size of the pieces that are moved and
 *	mapped: 12, 16 or 21; 0: as the policy says.
 * @DRM_MSVM_ATTR_ATOMICS: &enum drm_msvm_atomics.
 * @DRM_MSVM_ATTR_PREFETCH: &enum drm_msvm_prefetch.
 * @DRM_MSVM_ATTR_TYPES: How many there are.
 */
enum drm_msvm_attr_type {
	DRM_MSVM_ATTR_PREFERRED_LOCATION,
	DRM_MSVM_ATTR_ACCESSED_BY,
	DRM_MSVM_ATTR_NO_ACCESS,
	DRM_MSVM_ATTR_READ_MOSTLY,
	DRM_MSVM_ATTR_GRANULARITY,
	DRM_MSVM_ATTR_ATOMICS,
	DRM_MSVM_ATTR_PREFETCH,
	DRM_MSVM_ATTR_TYPES
};

/**
 * DRM_MSVM_PREFERRED_NONE - Preferred location: nothing is said.
 */
#define DRM_MSVM_PREFERRED_NONE		0xffffffffU
/**
 * DRM_MSVM_PREFERRED_SYSTEM - Preferred location: system memory.
 */
#define DRM_MSVM_PREFERRED_SYSTEM	0xfffffffeU
/**
 * DRM_MSVM_PREFERRED_DEVICE - Preferred location: the memory of the device in
 * &drm_msvm_attr.device.
 */
#define DRM_MSVM_PREFERRED_DEVICE	0U

/**
 * enum drm_msvm_atomics - What atomics of devices are to be atomic with.
 * @DRM_MSVM_ATOMICS_DEFAULT: Nothing is said.
 * @DRM_MSVM_ATOMICS_NONE: Nothing: devices' atomics fail there.
 * @DRM_MSVM_ATOMICS_DEVICE: Other work of the same device.
 * @DRM_MSVM_ATOMICS_SYSTEM: CPUs and all devices.
 */
enum drm_msvm_atomics {
	DRM_MSVM_ATOMICS_DEFAULT,
	DRM_MSVM_ATOMICS_NONE,
	DRM_MSVM_ATOMICS_DEVICE,
	DRM_MSVM_ATOMICS_SYSTEM,
};

/**
 * enum drm_msvm_prefetch - What is moved along with memory that a device faulted in.
 * @DRM_MSVM_PREFETCH_DEFAULT: As the policy says.
 * @DRM_MSVM_PREFETCH_NONE: Nothing.
 * @DRM_MSVM_PREFETCH_BLOCK: The rest of its block of 2 MiB.
 * @DRM_MSVM_PREFETCH_TREE: As much of the block as is dense.
 */
enum drm_msvm_prefetch {
	DRM_MSVM_PREFETCH_DEFAULT,
	DRM_MSVM_PREFETCH_NONE,
	DRM_MSVM_PREFETCH_BLOCK,
	DRM_MSVM_PREFETCH_TREE,
};

/**
 * DRM_MSVM_ATTR_MAX - Most changes of one drm_msvm_set_attr().
 */
#define DRM_MSVM_ATTR_MAX	64

/**
 * struct drm_msvm_attr - One change.
 * @type: What it is about.
 * @value: The value, see &enum drm_msvm_attr_type.
 * @device: With %DRM_MSVM_PREFERRED_DEVICE: the device, which must not go meanwhile;
 *	otherwise NULL.
 * @member: With %DRM_MSVM_ATTR_ACCESSED_BY and %DRM_MSVM_ATTR_NO_ACCESS: a member of
 *	the same address space, which must not leave meanwhile; otherwise NULL.
 */
struct drm_msvm_attr {
	enum drm_msvm_attr_type type;
	u32 value;
	struct drm_msvm_device *device;
	struct drm_msvm_member *member;
};

/**
 * struct drm_msvm_attr_interval - Attributes of an interval.
 * @start: First address.
 * @end: End, exclusive.
 * @accessed_by: Members that are to have it mapped, see
 *	drm_msvm_attr_member_bit().
 * @no_access: Members that may not access it.
 * @preferred: %DRM_MSVM_PREFERRED_NONE, %DRM_MSVM_PREFERRED_SYSTEM, or the number of
 *	a device, see drm_msvm_device_id().
 * @granularity: log2 of a size, or 0.
 * @read_mostly: It is mostly read.
 * @atomics: What atomics are to be atomic with.
 * @prefetch: What is moved along.
 */
struct drm_msvm_attr_interval {
	u64 start;
	u64 end;
	u64 accessed_by;
	u64 no_access;
	u32 preferred;
	u32 granularity;
	bool read_mostly;
	enum drm_msvm_atomics atomics;
	enum drm_msvm_prefetch prefetch;
};

/**
 * drm_msvm_attr_member_bit() - A member's bit in &drm_msvm_attr_interval.
 * @member: The member.
 *
 * Context: Any; the member has not left.
 *
 * Return: The bit.
 */
static inline u64 drm_msvm_attr_member_bit(const struct drm_msvm_member *member)
{
	return BIT_ULL(member->slot);
}

int drm_msvm_set_attr(struct drm_msvm_member *member, u64 start, u64 end,
		      const struct drm_msvm_attr *attrs, unsigned int n);
u64 drm_msvm_map_accessed(struct drm_msvm_member *member, u64 start, u64 end);
int drm_msvm_get_attr(struct drm_msvm_member *member, u64 start, u64 end,
		      struct drm_msvm_attr_interval *intervals, unsigned int n);

#endif /* __DRM_MSVM_ATTR_H__ */
