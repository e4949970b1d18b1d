// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Layout "msvm": the VM is a member of the process's shared address space. This
 * is all that a driver needs to say to drm_msvm.
 */
#include "vsvm_drv.h"

static struct vsvm_vm *to_vsvm_vm(struct drm_msvm_member *member)
{
	return container_of(member, struct vsvm_vm, member);
}

static int vsvm_member_prepare(struct drm_msvm_member *member, u64 start,
			       u64 end)
{
	return vsvm_pt_prepare(to_vsvm_vm(member), start, end);
}

static int vsvm_member_bind(struct drm_msvm_member *member,
			    const struct drm_msvm_mapping *mapping)
{
	vsvm_pt_map(to_vsvm_vm(member), mapping->start, mapping->addrs,
		    mapping->end, mapping->writable, !mapping->no_atomics);
	return 0;
}

static u64 vsvm_member_zap(struct drm_msvm_member *member, u64 start, u64 end)
{
	return vsvm_pt_zap(to_vsvm_vm(member), start, end);
}

static int vsvm_member_zap_wait(struct drm_msvm_member *member, u64 ticket)
{
	return vsvm_tlb_wait(to_vsvm_vm(member), ticket);
}

static void vsvm_member_cut_off(struct drm_msvm_member *member)
{
	vsvm_mmu_cut_off(to_vsvm_vm(member));
}

static void vsvm_member_quiesce(struct drm_msvm_member *member)
{
	vsvm_mmu_quiesce(to_vsvm_vm(member));
}

static void vsvm_member_resume(struct drm_msvm_member *member)
{
	vsvm_mmu_resume(to_vsvm_vm(member));
}

const struct drm_msvm_ops vsvm_member_ops = {
	.prepare = vsvm_member_prepare,
	.bind = vsvm_member_bind,
	.zap = vsvm_member_zap,
	.zap_wait = vsvm_member_zap_wait,
	.cut_off = vsvm_member_cut_off,
	.quiesce = vsvm_member_quiesce,
	.resume = vsvm_member_resume,
};

static int vsvm_msvm_init(struct vsvm_vm *vm)
{
	return drm_msvm_join(&vm->member, &vm->gpu->msvm, 0,
			     vsvm_gpu_va_end(vm->gpu));
}

static void vsvm_msvm_fini(struct vsvm_vm *vm)
{
	vsvm_binds_fini(vm);
	drm_msvm_leave(&vm->member);
}

static int vsvm_msvm_stats(struct vsvm_vm *vm, struct drm_vsvm_vm_stats *stats)
{
	struct drm_msvm_info info;

	drm_msvm_member_info(&vm->member, &info);
	stats->context_id = info.id;
	stats->faults = drm_msvm_member_faults(&vm->member);
	stats->walks = info.walks;
	stats->invalidations = info.invalidations;
	stats->ranges = info.ranges;
	stats->notifiers = info.notifiers;
	stats->bytes = info.bytes;

	return 0;
}

const struct vsvm_layout_ops vsvm_msvm_ops = {
	.init = vsvm_msvm_init,
	.fini = vsvm_msvm_fini,
	.fault = vsvm_fault_serve,
	.stats = vsvm_msvm_stats,
};
