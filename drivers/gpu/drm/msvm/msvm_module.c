// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * drm_msvm: several GPUs, one address space. This file is responsible for
 * loading and unloading; the overview of the library is below.
 */
#include <linux/init.h>
#include <linux/module.h>

#include "msvm_internal.h"
#include "msvm_memory.h"

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

/**
 * DOC: Examples
 *
 * The fault worker of a GPU with recoverable page faults. It holds no lock that
 * an operation of the driver takes, and an error ends the job: the GPU must not
 * repeat the access, or it would fault for ever.
 *
 * .. code-block:: c
 *
 *	static void my_fault_work(struct work_struct *work)
 *	{
 *		struct my_fault *fault = container_of(work, struct my_fault, work);
 *		int err;
 *
 *		err = drm_msvm_handle_fault(&fault->vm->member, fault->addr,
 *					    fault->write ? DRM_MSVM_ACCESS_WRITE :
 *							   DRM_MSVM_ACCESS_READ);
 *		if (err)
 *			my_job_fail(fault->job, fault->addr, err);
 *		else
 *			my_gpu_repeat_access(fault);
 *	}
 *
 * The two halves of a shoot-down. The first only writes to the GPU, since others
 * are to be started before anybody waits; the second gives up on hardware that
 * does not answer.
 *
 * .. code-block:: c
 *
 *	static u64 my_zap(struct drm_msvm_member *member, u64 start, u64 end)
 *	{
 *		struct my_vm *vm = container_of(member, struct my_vm, member);
 *
 *		my_pt_clear(vm, start, end);
 *		return my_tlb_flush_send(vm, start, end);
 *	}
 *
 *	static int my_zap_wait(struct drm_msvm_member *member, u64 seqno)
 *	{
 *		struct my_vm *vm = container_of(member, struct my_vm, member);
 *
 *		return my_tlb_flush_done(vm, seqno, MY_TIMEOUT) ? 0 : -ETIMEDOUT;
 *	}
 *
 * A whole driver, which compiles, is samples/msvm_skeleton.c.
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
	err = msvm_memory_module_init();
	if (err)
		goto err_cache;
	err = msvm_control_init();
	if (err)
		goto err_memory;
	/* Last: from then on people can write to it. */
	err = msvm_configfs_init();
	if (err)
		goto err_control;
	msvm_debugfs_init();

	return 0;

err_control:
	msvm_control_exit();
err_memory:
	msvm_memory_module_exit();
err_cache:
	msvm_range_cache_exit();
err_stats:
	msvm_stats_exit();
	return err;
}

/*
 * Drivers link to us, so none is left, and with it no member and no work.
 * Directories in configfs that people made hold the module as well.
 */
static void __exit msvm_exit(void)
{
	msvm_debugfs_exit();
	msvm_configfs_exit();
	msvm_control_exit();
	msvm_memory_module_exit();
	msvm_range_cache_exit();
	msvm_stats_exit();
}

module_init(msvm_init);
module_exit(msvm_exit);

MODULE_DESCRIPTION("Shared virtual memory for several GPUs");
MODULE_LICENSE("Dual MIT/GPL");
