/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What is kept mapped (msvm_keep.c), and how it is mapped: by faults, with the process
 * free to change it (msvm_keep_map.c), or with the process kept out (msvm_keep_held.c).
 */
#ifndef __MSVM_KEEP_H__
#define __MSVM_KEEP_H__

#include <drm/drm_msvm.h>

struct mm_struct;

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

#endif /* __MSVM_KEEP_H__ */
