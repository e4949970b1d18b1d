// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The smallest driver on top of drm_msvm. The "GPU" has a page table (an
 * xarray), no engines, and a fault each time user space asks for one: all that
 * is left is what a driver has to say to the library. The driver guide quotes
 * the parts between the marks.
 */
#include <linux/device/faux.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_msvm.h>
#include <drm/drm_pagemap.h>

/* [objects] */
struct skel_device {
	struct drm_device drm;
	struct drm_msvm_device msvm;
};

struct skel_vm {
	struct drm_msvm_member member;
	/* The GPU's page table: frame number << 1, bit 0 = writable. */
	struct xarray ptes;
	atomic64_t ticket;
};

static struct skel_vm *to_skel_vm(struct drm_msvm_member *member)
{
	return container_of(member, struct skel_vm, member);
}

/* [objects end] */

/* [ops] */
/* The one place where memory may be allocated: a page table for the interval. */
static int skel_prepare(struct drm_msvm_member *member, u64 start, u64 end)
{
	struct skel_vm *vm = to_skel_vm(member);
	u64 va;
	int err;

	for (va = start; va < end; va += PAGE_SIZE) {
		err = xa_reserve(&vm->ptes, va >> PAGE_SHIFT, GFP_KERNEL);
		if (err)
			return err;
	}
	return 0;
}

/* Write PTEs: an entry may cover many pages. */
static int skel_bind(struct drm_msvm_member *member,
		     const struct drm_msvm_mapping *mapping)
{
	struct skel_vm *vm = to_skel_vm(member);
	unsigned long index = mapping->start >> PAGE_SHIFT;
	unsigned long i, page;

	for (i = 0; i < mapping->nents; i++) {
		const struct drm_pagemap_addr *addr = &mapping->addrs[i];

		for (page = 0; page < 1UL << addr->order; page++) {
			u64 frame = (addr->addr >> PAGE_SHIFT) + page;

			/* Reserved in skel_prepare(): does not allocate. */
			xa_store(&vm->ptes, index++,
				 xa_mk_value(frame << 1 | mapping->writable),
				 GFP_NOWAIT);
		}
	}
	return 0;
}

/* Clear PTEs and start the shoot-down; keep the slots reserved. */
static u64 skel_zap(struct drm_msvm_member *member, u64 start, u64 end)
{
	struct skel_vm *vm = to_skel_vm(member);
	unsigned long index;
	void *pte;

	xa_for_each_range(&vm->ptes, index, pte, start >> PAGE_SHIFT,
			  (end >> PAGE_SHIFT) - 1)
		xa_cmpxchg(&vm->ptes, index, pte, XA_ZERO_ENTRY, GFP_NOWAIT);
	return atomic64_inc_return(&vm->ticket);
}

/* No TLB and no engine: what is cleared can't be used any more. */
static int skel_zap_wait(struct drm_msvm_member *member, u64 ticket)
{
	return 0;
}

static void skel_cut_off(struct drm_msvm_member *member)
{
}

static const struct drm_msvm_ops skel_msvm_ops = {
	.prepare = skel_prepare,
	.bind = skel_bind,
	.zap = skel_zap,
	.zap_wait = skel_zap_wait,
	.cut_off = skel_cut_off,
};

/* [ops end] */

/* A page fault of the GPU, asked for by user space. */
struct skel_fault {
	__u64 addr;
	__u32 write;
	__u32 pad;
};

#define SKEL_IOCTL_FAULT DRM_IOW(DRM_COMMAND_BASE, struct skel_fault)

/* [fault] */
static int skel_fault_ioctl(struct drm_device *drm, void *data,
			    struct drm_file *file)
{
	struct skel_vm *vm = file->driver_priv;
	struct skel_fault *args = data;

	if (args->write > 1 || args->pad)
		return -EINVAL;

	return drm_msvm_handle_fault(&vm->member, args->addr,
				     args->write ? DRM_MSVM_ACCESS_WRITE :
						   DRM_MSVM_ACCESS_READ);
}

/* [fault end] */

/* [vm] */
static int skel_open(struct drm_device *drm, struct drm_file *file)
{
	struct skel_device *skel = container_of(drm, struct skel_device, drm);
	struct skel_vm *vm;
	int err;

	vm = kzalloc_obj(*vm);
	if (!vm)
		return -ENOMEM;
	xa_init(&vm->ptes);

	err = drm_msvm_join(&vm->member, &skel->msvm, 0, BIT_ULL(47));
	if (err) {
		kfree(vm);
		return err;
	}
	file->driver_priv = vm;
	return 0;
}

/* Ioctls of the file are over, so no fault is under way. */
static void skel_postclose(struct drm_device *drm, struct drm_file *file)
{
	struct skel_vm *vm = file->driver_priv;

	drm_msvm_leave(&vm->member);
	xa_destroy(&vm->ptes);
	kfree(vm);
}

/* [vm end] */

static const struct drm_ioctl_desc skel_ioctls[] = {
	[0] = {
		.cmd = SKEL_IOCTL_FAULT,
		.func = skel_fault_ioctl,
		.flags = DRM_RENDER_ALLOW,
		.name = "SKEL_FAULT",
	},
};

static const struct file_operations skel_fops = {
	.owner = THIS_MODULE,
	.open = drm_open,
	.release = drm_release,
	.unlocked_ioctl = drm_ioctl,
	.compat_ioctl = drm_compat_ioctl,
	.fop_flags = FOP_UNSIGNED_OFFSET,
};

static const struct drm_driver skel_driver = {
	.driver_features = DRIVER_RENDER,
	.open = skel_open,
	.postclose = skel_postclose,
	.ioctls = skel_ioctls,
	.num_ioctls = ARRAY_SIZE(skel_ioctls),
	.fops = &skel_fops,
	.name = "msvm_skeleton",
	.desc = "Smallest drm_msvm driver",
	.major = 1,
};

static struct faux_device *skel_faux;
static struct skel_device *skel_dev;

/* [device] */
static int __init skel_init(void)
{
	int err;

	skel_faux = faux_device_create("msvm_skeleton", NULL, NULL);
	if (!skel_faux)
		return -ENODEV;

	skel_dev = devm_drm_dev_alloc(&skel_faux->dev, &skel_driver,
				      struct skel_device, drm);
	if (IS_ERR(skel_dev)) {
		err = PTR_ERR(skel_dev);
		goto err_faux;
	}
	/* A device that reaches all memory; others are refused below. */
	err = dma_coerce_mask_and_coherent(&skel_faux->dev, DMA_BIT_MASK(64));
	if (err)
		goto err_faux;
	err = drm_msvm_device_register(&skel_dev->msvm, &skel_dev->drm,
				       &skel_msvm_ops, 0);
	if (err)
		goto err_faux;
	err = drm_dev_register(&skel_dev->drm, 0);
	if (err)
		goto err_msvm;
	return 0;

err_msvm:
	drm_msvm_device_unregister(&skel_dev->msvm);
err_faux:
	faux_device_destroy(skel_faux);
	return err;
}

/* Open files hold the module, so there are no members. */
static void __exit skel_exit(void)
{
	drm_dev_unregister(&skel_dev->drm);
	drm_msvm_device_unregister(&skel_dev->msvm);
	faux_device_destroy(skel_faux);
}

/* [device end] */

module_init(skel_init);
module_exit(skel_exit);

MODULE_DESCRIPTION("Smallest drm_msvm driver");
MODULE_LICENSE("Dual MIT/GPL");
