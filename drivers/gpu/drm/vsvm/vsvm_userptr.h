/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Bindings of a VM: what it has of them, and what others ask about them.
 */
#ifndef __VSVM_USERPTR_H__
#define __VSVM_USERPTR_H__

#include <linux/bits.h>
#include <linux/rbtree_types.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include <drm/drm_msvm.h>

struct drm_device;
struct drm_file;
struct vsvm_vm;

/* Entries of bindings are so much further in the page table. */
#define VSVM_BIND_BASE		BIT_ULL(47)

/**
 * struct vsvm_binds - Bindings of a VM.
 */
struct vsvm_binds {
	/** @lock: Protects the rest; innermost. */
	spinlock_t lock;
	/** @tree: By address; changed under &vsvm_vm.kill_lock as well. */
	struct rb_root_cached tree;
	/** @nr: Number of them. */
	unsigned int nr;
};

int vsvm_bind_ioctl(struct drm_device *drm, void *data, struct drm_file *file);
int vsvm_unbind_ioctl(struct drm_device *drm, void *data,
		      struct drm_file *file);
u64 vsvm_bind_lookup(struct vsvm_vm *vm, u64 addr);
int vsvm_bind_fault(struct vsvm_vm *vm, u64 addr, enum drm_msvm_access access);
bool vsvm_binds_lock(struct vsvm_vm *vm);
void vsvm_binds_unlock(struct vsvm_vm *vm);
void vsvm_binds_init(struct vsvm_vm *vm);
void vsvm_binds_fini(struct vsvm_vm *vm);

/* vsvm_drv.c */
struct vsvm_vm *vsvm_vm_lookup_fd(int fd, u32 vm_id);

/* vsvm_pages.c */
bool vsvm_interval_ok(u64 start, u64 len);
int vsvm_with_vm(struct drm_file *file, u32 vm_id,
		 int (*fn)(struct vsvm_vm *vm, void *data), void *data);

#endif /* __VSVM_USERPTR_H__ */
