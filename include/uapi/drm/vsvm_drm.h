/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * User-space interface of vsvm, the driver for virtual GPUs that share a
 * process's address space.  This file is responsible for the layout of every
 * ioctl and command; the rules it follows are those of the kernel's
 * Documentation/process/botching-up-ioctls.rst: fixed sizes, explicit padding
 * that must be zero, unknown flags refused with EINVAL, absolute timeouts.
 */
#ifndef _UAPI_VSVM_DRM_H_
#define _UAPI_VSVM_DRM_H_

#include "drm.h"

#if defined(__cplusplus)
extern "C" {
#endif

#define DRM_VSVM_QUERY		0x00
#define DRM_VSVM_VM_CREATE	0x01
#define DRM_VSVM_VM_DESTROY	0x02
#define DRM_VSVM_VM_STATS	0x03
#define DRM_VSVM_EXEC		0x04
#define DRM_VSVM_WAIT		0x05
#define DRM_VSVM_MIGRATE	0x06
#define DRM_VSVM_KEEP		0x07
#define DRM_VSVM_BIND		0x08
#define DRM_VSVM_UNBIND		0x09
#define DRM_VSVM_RESIDENCY	0x0a
#define DRM_VSVM_MEMORY		0x0b
#define DRM_VSVM_SET_ATTR	0x0c
#define DRM_VSVM_GET_ATTR	0x0d

#define DRM_IOCTL_VSVM_QUERY \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_VSVM_QUERY, struct drm_vsvm_query)
#define DRM_IOCTL_VSVM_VM_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_VSVM_VM_CREATE, struct drm_vsvm_vm_create)
#define DRM_IOCTL_VSVM_VM_DESTROY \
	DRM_IOW(DRM_COMMAND_BASE + DRM_VSVM_VM_DESTROY, struct drm_vsvm_vm_destroy)
#define DRM_IOCTL_VSVM_VM_STATS \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_VSVM_VM_STATS, struct drm_vsvm_vm_stats)
#define DRM_IOCTL_VSVM_EXEC \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_VSVM_EXEC, struct drm_vsvm_exec)
#define DRM_IOCTL_VSVM_WAIT \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_VSVM_WAIT, struct drm_vsvm_wait)

#define DRM_IOCTL_VSVM_MIGRATE \
	DRM_IOW(DRM_COMMAND_BASE + DRM_VSVM_MIGRATE, struct drm_vsvm_migrate)
#define DRM_IOCTL_VSVM_KEEP \
	DRM_IOW(DRM_COMMAND_BASE + DRM_VSVM_KEEP, struct drm_vsvm_keep)
#define DRM_IOCTL_VSVM_BIND \
	DRM_IOW(DRM_COMMAND_BASE + DRM_VSVM_BIND, struct drm_vsvm_bind)
#define DRM_IOCTL_VSVM_UNBIND \
	DRM_IOW(DRM_COMMAND_BASE + DRM_VSVM_UNBIND, struct drm_vsvm_unbind)
#define DRM_IOCTL_VSVM_RESIDENCY \
	DRM_IOW(DRM_COMMAND_BASE + DRM_VSVM_RESIDENCY, struct drm_vsvm_residency)
#define DRM_IOCTL_VSVM_MEMORY \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_VSVM_MEMORY, struct drm_vsvm_memory)
#define DRM_IOCTL_VSVM_SET_ATTR \
	DRM_IOW(DRM_COMMAND_BASE + DRM_VSVM_SET_ATTR, struct drm_vsvm_set_attr)
#define DRM_IOCTL_VSVM_GET_ATTR \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_VSVM_GET_ATTR, struct drm_vsvm_get_attr)

/* Values of &drm_vsvm_query.param */
#define DRM_VSVM_PARAM_NUM_ENGINES	0 /* engines of this GPU, numbered from 0 */
#define DRM_VSVM_PARAM_VA_BITS		1 /* width of a GPU virtual address */
#define DRM_VSVM_PARAM_GPU_INDEX	2 /* number of this GPU, unique while it exists */
#define DRM_VSVM_PARAM_MAX_CMDS		3 /* most commands in one exec */
#define DRM_VSVM_PARAM_MAX_VMS		4 /* most VMs of one open file */

/**
 * struct drm_vsvm_query - Ask one property of a GPU.
 * @param: One of DRM_VSVM_PARAM_*.
 * @pad: Must be zero.
 * @value: Returned value.
 *
 * EINVAL: unknown @param, or @pad not zero.
 */
struct drm_vsvm_query {
	__u32 param;
	__u32 pad;
	__u64 value;
};

/* Values of &drm_vsvm_vm_create.layout */
#define DRM_VSVM_VM_LAYOUT_MSVM		0 /* through drm_msvm: one address space for all GPUs */
#define DRM_VSVM_VM_LAYOUT_1TO1		1 /* a drm_gpusvm of its own: the baseline */

/**
 * struct drm_vsvm_vm_create - Make a VM that mirrors the caller's memory.
 * @layout: One of DRM_VSVM_VM_LAYOUT_*.
 * @flags: Must be zero.
 * @vm_id: Returned handle, never 0, valid in the open file that made it.
 * @pad: Must be zero.
 *
 * The VM belongs to the address space (mm) of the caller for good.  A process
 * with another mm that holds the file (after fork, or by fd passing) can
 * query and destroy, but not exec.
 *
 * EINVAL: unknown layout, flags or pad not zero.  ENOSPC: too many VMs in this
 * file, or too many members in this address space.  ENOMEM.  ENODEV: the GPU
 * is gone.
 */
struct drm_vsvm_vm_create {
	__u32 layout;
	__u32 flags;
	__u32 vm_id;
	__u32 pad;
};

/**
 * struct drm_vsvm_vm_destroy - Destroy a VM.
 * @vm_id: Handle of the VM.
 * @pad: Must be zero.
 *
 * Jobs of the VM that did not complete end with -ECANCELED.
 *
 * EINVAL: pad not zero.  ENOENT: no such VM.
 */
struct drm_vsvm_vm_destroy {
	__u32 vm_id;
	__u32 pad;
};

/**
 * struct drm_vsvm_vm_stats - Counters and current size of a VM's SVM state.
 * @vm_id: Handle of the VM.
 * @layout: Returned layout of the VM.
 * @context_id: Returned: for DRM_VSVM_VM_LAYOUT_MSVM the number of the address
 *	space (the directory below debugfs/drm_msvm/), otherwise 0.
 * @pad: Must be zero.
 * @faults: Returned: GPU faults this VM took.
 * @walks: Returned: walks of the CPU page table (hmm_range_fault()).
 * @invalidations: Returned: notifier callbacks that hit a range.
 * @ranges: Returned: live ranges.
 * @notifiers: Returned: live MMU interval notifiers.
 * @bytes: Returned: bytes of SVM bookkeeping now held (ranges, notifiers,
 *	page descriptions and DMA address arrays; not the GPU page table).
 *
 * For DRM_VSVM_VM_LAYOUT_MSVM all but @faults describe the address space that
 * the VM shares with the other GPUs: do not add them up over VMs of one
 * @context_id.
 *
 * EINVAL: pad not zero.  ENOENT: no such VM.
 */
struct drm_vsvm_vm_stats {
	__u32 vm_id;
	__u32 layout;
	__u32 context_id;
	__u32 pad;
	__u64 faults;
	__u64 walks;
	__u64 invalidations;
	__u64 ranges;
	__u64 notifiers;
	__u64 bytes;
};

/*
 * Values of &drm_vsvm_cmd.op. All addresses are GPU virtual addresses, which are
 * those of the process. Fields named here are used, all others must be zero.
 */
#define DRM_VSVM_OP_NOP		0
/* @len bytes from @src to @dst; the intervals must not overlap. */
#define DRM_VSVM_OP_COPY	1
/* @len bytes at @dst with the low byte of @arg0. */
#define DRM_VSVM_OP_FILL	2
/* @width bytes from @src, zero-extended and stored as u64 at @result. */
#define DRM_VSVM_OP_LOAD	3
/* The low @width bytes of @arg0 to @dst. */
#define DRM_VSVM_OP_STORE	4
/* Atomic: *dst += arg0; the old value to @result if that is not 0. */
#define DRM_VSVM_OP_ADD		5
/* Atomic: if (*dst == arg0) *dst = arg1; the old value as for ADD. */
#define DRM_VSVM_OP_CAS		6
/* Atomic: *dst = arg0; the old value as for ADD. */
#define DRM_VSVM_OP_XCHG	7
/* Atomically add the sum of @len bytes at @src to the u64 at @dst. */
#define DRM_VSVM_OP_SUM		8
/* Atomically add the counts of each value in @len bytes at @src to u64 dst[256]. */
#define DRM_VSVM_OP_HISTOGRAM	9
/* p = src; @arg0 times: p = *(u64 *)p; the last p as u64 to @result. */
#define DRM_VSVM_OP_CHASE	10
/* Until (*src & arg1) == arg0; -ETIMEDOUT after @timeout_ns (0: no limit). */
#define DRM_VSVM_OP_WAIT_VALUE	11
/*
 * Move @len bytes at @dst to the memory of GPU number @arg0 - 1, 0: to system
 * memory, and map them if that is this GPU. A hint: what can't be moved stays.
 */
#define DRM_VSVM_OP_PREFETCH	12

/**
 * struct drm_vsvm_cmd - One command of a job.
 * @op: One of DRM_VSVM_OP_*.
 * @width: 4 or 8: operand size of STORE, LOAD, ADD, CAS, XCHG and WAIT_VALUE
 *	(LOAD and STORE take 1 and 2 as well); 0 for the others.  Operands of
 *	atomics and WAIT_VALUE must be aligned to @width, @dst of SUM and
 *	HISTOGRAM, the pointers of CHASE and @result to 8.
 * @dst: Destination address, 0 if not used.
 * @src: Source address, 0 if not used.
 * @len: Length in bytes, 0 if not used.
 * @arg0: First operand, 0 if not used.
 * @arg1: Second operand, 0 if not used.
 * @result: Address of a u64 that takes the result, 0 if not used.
 * @timeout_ns: WAIT_VALUE: relative limit in nanoseconds, 0 for none and for
 *	all other commands.
 */
struct drm_vsvm_cmd {
	__u32 op;
	__u32 width;
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 arg0;
	__u64 arg1;
	__u64 result;
	__u64 timeout_ns;
};

/**
 * struct drm_vsvm_exec - Queue a job.
 * @vm_id: Handle of the VM.
 * @engine: Engine, below DRM_VSVM_PARAM_NUM_ENGINES.  Jobs of one engine run
 *	in the order of their exec calls, jobs of different engines in any.
 * @num_cmds: Number of commands, 1 to DRM_VSVM_PARAM_MAX_CMDS.
 * @flags: Must be zero.
 * @cmds: User pointer to an array of struct drm_vsvm_cmd.
 * @fence_addr: User fence: 0, or the 8-byte aligned address of a u64 that
 *	takes @fence_value, through the GPU, after the last command succeeded.
 * @fence_value: Value of the user fence.
 * @job_id: Returned number of the job, never 0, unique in the VM.
 *
 * The job is long-running: it may take page faults and so never signals a
 * DMA fence.  All commands are checked before any runs.
 *
 * EINVAL: unknown op, flags, width; misaligned or unused field not zero; engine
 * or count out of range.  EFAULT: @cmds not readable.  ENOENT: no such VM.
 * EPERM: the caller's mm is not the VM's.  EIO: the GPU was cut off from this
 * VM.  EAGAIN: too many jobs of this VM wait.  ENOMEM.  ENODEV.
 */
struct drm_vsvm_exec {
	__u32 vm_id;
	__u32 engine;
	__u32 num_cmds;
	__u32 flags;
	__u64 cmds;
	__u64 fence_addr;
	__u64 fence_value;
	__u64 job_id;
};

/* Values of &drm_vsvm_wait.fault_access */
#define DRM_VSVM_ACCESS_NONE	0
#define DRM_VSVM_ACCESS_READ	1
#define DRM_VSVM_ACCESS_WRITE	2
#define DRM_VSVM_ACCESS_ATOMIC	3

/**
 * struct drm_vsvm_wait - Wait for a job and learn how it ended.
 * @vm_id: Handle of the VM.
 * @flags: Must be zero.
 * @job_id: Job, or 0 for all jobs queued in the VM so far (@status is then the
 *	first failure among those not asked about before, in order of ending).
 * @timeout_ns: Absolute CLOCK_MONOTONIC time; 0 or a time gone by polls.
 * @status: Returned: 0, or the negative errno with which the job ended.
 *	-EFAULT: no memory there.  -EACCES: not allowed there.  -ETIMEDOUT:
 *	WAIT_VALUE ran out of time.  -ECANCELED: the VM was destroyed or the GPU
 *	pulled out.  -EOPNOTSUPP: memory that can't be shared with devices.  -EIO:
 *	the GPU was cut off.  -ENOMEM.  -EBUSY: the fault could not be served
 *	in bounded time.
 * @cmd_index: Returned: which command failed, num_cmds for the user fence.
 * @fault_addr: Returned: the address whose access failed, else 0.
 * @fault_access: Returned: one of DRM_VSVM_ACCESS_*.
 * @pad: Must be zero.
 *
 * Results stay until asked for, at most as long as the VM and for the newest
 * 1024 ended jobs of it.
 *
 * EINVAL: flags or pad not zero.  ENOENT: no such VM or job.  ETIME: the time
 * ran out first.  EINTR/ERESTARTSYS: a signal; the call can be repeated as is.
 */
struct drm_vsvm_wait {
	__u32 vm_id;
	__u32 flags;
	__u64 job_id;
	__s64 timeout_ns;
	__s32 status;
	__u32 cmd_index;
	__u64 fault_addr;
	__u32 fault_access;
	__u32 pad;
};

/**
 * struct drm_vsvm_migrate - Move memory, and wait until that is done.
 * @vm_id: Handle of a VM of layout msvm.
 * @flags: Must be zero.
 * @start: First address, page aligned.
 * @len: Bytes, page aligned.
 * @target: 0: to system memory; otherwise to the memory of the GPU with the number
 *	(DRM_VSVM_PARAM_GPU_INDEX) @target - 1.
 * @pad: Must be zero.
 *
 * What can't be moved stays where it is, and the first of these errors that applies
 * is returned after the rest was moved: EFAULT: no memory in part of the interval.
 * EOPNOTSUPP: memory of a kind that is not moved, such as files; or, at once, a VM
 * of another layout. ENOSPC: no room. EBUSY: pages that could not be moved for now.
 *
 * EINVAL: bad interval, flags or pad not zero. ENOENT: no such VM. EPERM: the
 * caller's mm is not the VM's. ENXIO: no such GPU, or it has no memory. EIO: the
 * GPU was cut off. EINTR, ENODEV, ENOMEM.
 */
struct drm_vsvm_migrate {
	__u32 vm_id;
	__u32 flags;
	__u64 start;
	__u64 len;
	__u32 target;
	__u32 pad;
};

/* Flag of &drm_vsvm_keep.flags: no longer keep the interval */
#define DRM_VSVM_KEEP_REMOVE	(1 << 0)

/**
 * struct drm_vsvm_keep - Keep memory mapped, for GPUs that take no page faults.
 * @vm_id: Handle of a VM of layout msvm.
 * @flags: DRM_VSVM_KEEP_REMOVE or 0.
 * @start: First address, page aligned.
 * @len: Bytes, page aligned.
 * @access: DRM_VSVM_ACCESS_READ or DRM_VSVM_ACCESS_WRITE; with
 *	DRM_VSVM_KEEP_REMOVE it must be 0.
 * @pad: Must be zero.
 *
 * When the call returns the interval is mapped. If the memory operations of the
 * process take pages of it away, jobs of the VM stop and go on when it is mapped
 * again; what is no memory any more then fails them.
 *
 * EINVAL: bad interval, flags, access, pad, or beyond what the VM can map. EFAULT,
 * EACCES, EOPNOTSUPP: what a job would end with that touches the interval; nothing
 * new is kept. EOPNOTSUPP: a VM of another layout. ENOENT: no such VM. EPERM: the
 * caller's mm is not the VM's. EINTR, EIO, ENODEV, EBUSY, ENOMEM.
 */
struct drm_vsvm_keep {
	__u32 vm_id;
	__u32 flags;
	__u64 start;
	__u64 len;
	__u32 access;
	__u32 pad;
};

/* Flag of &drm_vsvm_bind.flags: jobs may only read */
#define DRM_VSVM_BIND_READ_ONLY	(1 << 0)

/**
 * struct drm_vsvm_bind_other - A VM of another GPU.
 * @fd: File it was made in.
 * @vm_id: Handle of the VM.
 */
struct drm_vsvm_bind_other {
	__s32 fd;
	__u32 vm_id;
};

/**
 * struct drm_vsvm_bind - Bind memory of the process explicitly ("userptr").
 * @vm_id: Handle of a VM of layout msvm.
 * @flags: DRM_VSVM_BIND_READ_ONLY or 0.
 * @addr: First address, page aligned; the GPU's is the same.
 * @length: Bytes, page aligned.
 * @others: User pointer to an array of struct drm_vsvm_bind_other: VMs that it is
 *	bound for as well; 0 if there are none.
 * @num_others: Number of @others, at most 7.
 * @pad: Must be zero.
 *
 * When the call returns all of the interval is mapped, for all of the VMs. Jobs that
 * touch it use this mapping and no other, until DRM_VSVM_UNBIND of each. VMs that bind
 * exactly the same interval, by one call or by several, share one notifier and one
 * walk.
 *
 * If the memory operations of the process take pages of it away, all of it is mapped
 * again: when a job touches it, or, on a GPU without page faults, by a worker, and
 * jobs of the VM stop meanwhile. While part of it is no memory, or may not be
 * accessed any more, jobs that touch it fail; after memory was mapped there again
 * the next job that is queued finds it bound.
 *
 * EINVAL: bad interval, flags, pad, number of VMs, one of them twice, or beyond what
 * a VM can map. EEXIST: overlaps another binding of a VM. EBADF: a file that is not
 * one of vsvm's. EFAULT: part of it is no memory, or @others not readable. EACCES: the process
 * may not write part of it (or read, with DRM_VSVM_BIND_READ_ONLY). EOPNOTSUPP:
 * memory that can't be shared with devices; or a VM of another layout. ENOENT: no
 * such VM. EPERM: the caller's mm is not the VM's. EINTR, EIO, ENODEV, EBUSY, ENOMEM:
 * nothing is bound for any.
 */
struct drm_vsvm_bind {
	__u32 vm_id;
	__u32 flags;
	__u64 addr;
	__u64 length;
	__u64 others;
	__u32 num_others;
	__u32 pad;
};

/**
 * struct drm_vsvm_unbind - Undo DRM_VSVM_BIND.
 * @vm_id: Handle of the VM.
 * @pad: Must be zero.
 * @addr: As it was bound.
 * @length: As it was bound.
 *
 * EINVAL: bad interval, or pad not zero. ENOENT: no such VM, or nothing was bound so.
 * EOPNOTSUPP: a VM of another layout. EPERM: the caller's mm is not the VM's. EINTR,
 * ENODEV.
 */
struct drm_vsvm_unbind {
	__u32 vm_id;
	__u32 pad;
	__u64 addr;
	__u64 length;
};

/* What &drm_vsvm_residency.where is filled with */
#define DRM_VSVM_WHERE_NONE	0 /* no page, or in swap */
#define DRM_VSVM_WHERE_SYSTEM	1
#define DRM_VSVM_WHERE_GPU	2 /* plus the number of the GPU */

/**
 * struct drm_vsvm_residency - Ask where pages are.
 * @vm_id: Handle of a VM of layout msvm.
 * @flags: Must be zero.
 * @start: First address, page aligned.
 * @len: Bytes, page aligned, at most 4 GiB.
 * @where: User pointer to an array of __u32, one for each page of 4 KiB, filled
 *	with DRM_VSVM_WHERE_*.
 *
 * EINVAL: bad interval, flags not zero. ENOENT: no such VM. EFAULT: no memory in
 * part of the interval, or @where not writable. EBUSY: the memory kept changing.
 * EOPNOTSUPP: a VM of another layout. EPERM: the caller's mm is not the VM's.
 * EINTR, ENODEV, ENOMEM.
 */
struct drm_vsvm_residency {
	__u32 vm_id;
	__u32 flags;
	__u64 start;
	__u64 len;
	__u64 where;
};

/**
 * struct drm_vsvm_memory - Ask about the GPU's own memory.
 * @flags: Must be zero.
 * @pad: Must be zero.
 * @size: Returned: bytes in all, 0 for a GPU without; must be zero.
 * @limit: Returned: most bytes that pages may take.
 * @used: Returned: bytes that they take; must be zero.
 * @moved_in: Returned: bytes copied in from system memory, or cleared.
 * @moved_out: Returned: bytes copied out to system memory.
 * @moved_peer: Returned: bytes copied to another GPU's memory.
 * @evictions: Returned: allocations evicted to make room.
 * @second_chances: Returned: allocations passed over since they were used.
 *
 * EINVAL: flags, pad, size or used not zero. ENODEV.
 */
struct drm_vsvm_memory {
	__u32 flags;
	__u32 pad;
	__u64 size;
	__u64 limit;
	__u64 used;
	__u64 moved_in;
	__u64 moved_out;
	__u64 moved_peer;
	__u64 evictions;
	__u64 second_chances;
};

/*
 * Values of &drm_vsvm_attr.type, with what &drm_vsvm_attr.value can be. What they
 * mean is told in Documentation/gpu/drm-msvm-attributes.rst.
 */
/* DRM_VSVM_WHERE_*: nothing is said, system memory, or a GPU's */
#define DRM_VSVM_ATTR_PREFERRED_LOCATION	0
/* 1: the VM is to have it mapped wherever it is; 0: no longer */
#define DRM_VSVM_ATTR_ACCESSED_BY		1
/* 1: the VM may not access it; 0: it may again */
#define DRM_VSVM_ATTR_NO_ACCESS			2
/* 1: it is mostly read; 0: it is not */
#define DRM_VSVM_ATTR_READ_MOSTLY		3
/* log2 of the size of pieces that are moved: 12, 16, 21; 0: as the policy says */
#define DRM_VSVM_ATTR_GRANULARITY		4
/* DRM_VSVM_ATOMICS_* */
#define DRM_VSVM_ATTR_ATOMICS			5
/* DRM_VSVM_PREFETCH_* */
#define DRM_VSVM_ATTR_PREFETCH			6

#define DRM_VSVM_ATOMICS_DEFAULT	0 /* nothing is said */
#define DRM_VSVM_ATOMICS_NONE		1 /* atomics of GPUs fail */
#define DRM_VSVM_ATOMICS_DEVICE		2 /* atomic with other work of the GPU */
#define DRM_VSVM_ATOMICS_SYSTEM		3 /* atomic with CPUs and all GPUs */

#define DRM_VSVM_PREFETCH_DEFAULT	0 /* as the policy says */
#define DRM_VSVM_PREFETCH_NONE		1
#define DRM_VSVM_PREFETCH_BLOCK		2 /* the block of 2 MiB */
#define DRM_VSVM_PREFETCH_TREE		3 /* what of it is dense */

/* &drm_vsvm_attr.fd: the file that the call is made on */
#define DRM_VSVM_ATTR_THIS_FILE		(-1)

/**
 * struct drm_vsvm_attr - A change of attributes.
 * @type: One of DRM_VSVM_ATTR_*.
 * @value: The value.
 * @fd: For ACCESSED_BY and NO_ACCESS: the file that the VM was made in, or
 *	DRM_VSVM_ATTR_THIS_FILE; otherwise 0.
 * @vm_id: For ACCESSED_BY and NO_ACCESS: handle of the VM; otherwise 0.
 */
struct drm_vsvm_attr {
	__u32 type;
	__u32 value;
	__s32 fd;
	__u32 vm_id;
};

/**
 * struct drm_vsvm_set_attr - Say something about memory.
 * @vm_id: Handle of a VM of layout msvm.
 * @flags: Must be zero.
 * @start: First address, page aligned.
 * @len: Bytes, page aligned.
 * @attrs: User pointer to an array of struct drm_vsvm_attr. They are set in this
 *	order, all or none; what is not named stays as it is. Each once, but those
 *	with a VM any number of times.
 * @num_attrs: Number of @attrs, 1 to 16.
 * @pad: Must be zero.
 *
 * Counts for all VMs of the process, of all GPUs, until it is set otherwise or the
 * memory is unmapped. When the call returns, what a VM may not access it can't any
 * more. Memory is moved by later faults only. What there is of memory for ACCESSED_BY
 * is mapped by the call; a signal ends that early, and is no error. For a GPU without
 * page faults it is kept mapped, as by DRM_IOCTL_VSVM_KEEP, as long as it is set: jobs
 * that are executed after the call find all that can be accessed.
 *
 * EINVAL: bad interval, flags, pad, type, value, unused field not zero, number of
 * attributes, one of them twice, more than 8 VMs; a VM both in ACCESSED_BY and in
 * NO_ACCESS. EFAULT: no memory in part of the interval, or @attrs not readable.
 * EOPNOTSUPP: what can't be done: READ_MOSTLY with a preferred GPU or with
 * DRM_VSVM_ATOMICS_DEVICE; DRM_VSVM_ATOMICS_SYSTEM with a preferred GPU, or by a VM of
 * a GPU without such atomics; a preferred GPU, DRM_VSVM_ATOMICS_DEVICE, a granularity
 * or a prefetch other than none for memory that is not moved, such as files; a GPU
 * whose faults move nothing; or a VM of another layout. ENXIO: no such GPU, or it has
 * no memory. ENOLINK: no VM of the process is of the preferred GPU. ERANGE: ACCESSED_BY
 * of a VM that can't address all of the interval. ENOENT: no such VM. EBADF: a file
 * that is not one of vsvm's. EPERM: the caller's mm is not that of a VM. EINTR, ENODEV,
 * ENOMEM. Nothing is changed then.
 */
struct drm_vsvm_set_attr {
	__u32 vm_id;
	__u32 flags;
	__u64 start;
	__u64 len;
	__u64 attrs;
	__u32 num_attrs;
	__u32 pad;
};

/**
 * struct drm_vsvm_attr_interval - Attributes of an interval.
 * @start: First address.
 * @len: Bytes.
 * @accessed_by: Bit i: ACCESSED_BY of the i-th VM that was asked about.
 * @no_access: Likewise, NO_ACCESS.
 * @preferred_location: DRM_VSVM_WHERE_*.
 * @read_mostly: 0 or 1.
 * @granularity: 0, 12, 16 or 21.
 * @atomics: DRM_VSVM_ATOMICS_*.
 * @prefetch: DRM_VSVM_PREFETCH_*.
 * @pad: Zero.
 */
struct drm_vsvm_attr_interval {
	__u64 start;
	__u64 len;
	__u64 accessed_by;
	__u64 no_access;
	__u32 preferred_location;
	__u32 read_mostly;
	__u32 granularity;
	__u32 atomics;
	__u32 prefetch;
	__u32 pad;
};

/**
 * struct drm_vsvm_get_attr - Ask what was said about memory.
 * @vm_id: Handle of a VM of layout msvm.
 * @flags: Must be zero.
 * @start: First address, page aligned.
 * @len: Bytes, page aligned.
 * @vms: User pointer to an array of struct drm_vsvm_bind_other: VMs to ask about,
 *	with DRM_VSVM_ATTR_THIS_FILE as a file if so wanted; 0 if there are none.
 * @intervals: User pointer to an array of struct drm_vsvm_attr_interval.
 * @num_vms: Number of @vms, at most 8.
 * @num_intervals: Room in @intervals, 1 or more; returned: how many were filled in, at
 *	most 256.
 *
 * They follow each other from @start on. If the last one ends before @start + @len,
 * the rest is to be asked for from there. No memory has no attributes.
 *
 * EINVAL: bad interval, flags, number of VMs, no room. EFAULT: @vms not readable or
 * @intervals not writable. EOPNOTSUPP: a VM of another layout. ENOENT, EBADF, EPERM,
 * EINTR, ENODEV, ENOMEM: as above.
 */
struct drm_vsvm_get_attr {
	__u32 vm_id;
	__u32 flags;
	__u64 start;
	__u64 len;
	__u64 vms;
	__u64 intervals;
	__u32 num_vms;
	__u32 num_intervals;
};

#if defined(__cplusplus)
}
#endif

#endif /* _UAPI_VSVM_DRM_H_ */
