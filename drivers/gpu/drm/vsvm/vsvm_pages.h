/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What processes and jobs ask about memory by addresses: where it is, that it moves,
 * stays mapped, and its attributes.
 */
#ifndef __VSVM_PAGES_H__
#define __VSVM_PAGES_H__

#include <linux/types.h>

struct drm_device;
struct drm_file;
struct vsvm_vm;

/* vsvm_pages.c */
int vsvm_migrate_ioctl(struct drm_device *drm, void *data,
		       struct drm_file *file);
int vsvm_residency_ioctl(struct drm_device *drm, void *data,
			 struct drm_file *file);
int vsvm_memory_ioctl(struct drm_device *drm, void *data,
		      struct drm_file *file);
int vsvm_keep_ioctl(struct drm_device *drm, void *data, struct drm_file *file);
int vsvm_prefetch(struct vsvm_vm *vm, u64 start, u64 len, u32 target);
int vsvm_map_here(struct vsvm_vm *vm, u64 start, u64 len);

/* vsvm_attr.c */
int vsvm_set_attr_ioctl(struct drm_device *drm, void *data,
			struct drm_file *file);
int vsvm_get_attr_ioctl(struct drm_device *drm, void *data,
			struct drm_file *file);

#endif /* __VSVM_PAGES_H__ */
