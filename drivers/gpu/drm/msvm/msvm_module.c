// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * drm_msvm: several GPUs, one address space. This file is responsible for
 * loading and unloading; the overview of the library is below.
 */
#include <linux/init.h>
#include <linux/module.h>

#include "msvm_internal.h"

/**
 * DOC: Overview
 *
 * drm_msvm is a layer above drm_gpusvm by which several GPUs, of any vendor,
 * share the address space of one process. What each GPU driver would otherwise
 * have for itself exists once:
 *
 * - an address space (&struct drm_msvm) is found by mm, so two drivers that
 *   never heard of each other share it;
 * - a GPU's VM is a member (&struct drm_msvm_member) with a slot in it. It joins
 *   and leaves at any time;
 * - a range holds one struct drm_gpusvm_pages for each slot that mapped it,
 *   behind one MMU notifier;
 * - one walk of the CPU page table serves all devices that come until the next
 *   invalidation, whichever comes first;
 * - an invalidation starts the shoot-downs of all devices, then waits for them,
 *   then unmaps.
 *
 * A driver registers its device once (drm_msvm_device_register()), joins with
 * each VM (drm_msvm_join()), and calls drm_msvm_handle_fault() for each page
 * fault of its GPU. In return the library calls the few operations of &struct
 * drm_msvm_ops, each of which says what locks it runs under.
 */

static int __init msvm_init(void)
{
	int err;

	err = msvm_stats_init();
	if (err)
		return err;
	err = msvm_range_cache_init();
	if (err)
		goto err_stats;
	msvm_debugfs_init();

	return 0;

err_stats:
	msvm_stats_exit();
	return err;
}

/* Drivers link to us, so none is left, and with it no member and no work. */
static void __exit msvm_exit(void)
{
	msvm_debugfs_exit();
	msvm_range_cache_exit();
	msvm_stats_exit();
}

module_init(msvm_init);
module_exit(msvm_exit);

MODULE_DESCRIPTION("Shared virtual memory for several GPUs");
MODULE_LICENSE("Dual MIT/GPL");
