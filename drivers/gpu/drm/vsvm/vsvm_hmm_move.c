// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Moving memory for hmm_dmirror, by drm_msvm_migrate(): to the device what is in
 * system memory, back what is in this device's. Another device's pages stay, which
 * the library would move, too: they are found and passed over.
 */
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "vsvm_drv.h"
#include "vsvm_hmm.h"

/*
 * How long an ioctl tries to move pages that somebody holds: compaction and the
 * kernel's own batches do, for a moment.
 */
#define VSVM_HMM_MOVE_TIME	(HZ / 2)

static u32 vsvm_hmm_own_number(struct vsvm_hmm *hmm)
{
	return DRM_MSVM_WHERE_DEVICE + drm_msvm_device_id(&hmm->dev->gpu->msvm);
}

/* Is a page, by where it is, to be moved? */
static bool vsvm_hmm_moves(u32 where, u32 own, bool to_device)
{
	return to_device ? where == own || where < DRM_MSVM_WHERE_DEVICE :
			   where == own;
}

/* What is left where it is will be noticed by who asked; this is worse. */
static int vsvm_hmm_move_error(int err)
{
	switch (err) {
	case -EBUSY:
	case -ENOSPC:
	case -EFAULT:
	case -EOPNOTSUPP:
		return 0;
	default:
		return err;
	}
}

static int vsvm_hmm_move_run(struct vsvm_hmm *hmm, unsigned long start,
			     unsigned long end, struct drm_msvm_device *to,
			     unsigned long deadline)
{
	int err;

	for (;;) {
		err = drm_msvm_migrate(&hmm->vm->member, start, end, to);
		if (err != -EBUSY || time_after(jiffies, deadline))
			break;
		schedule_timeout_killable(1);
	}
	return vsvm_hmm_move_error(err);
}

/* Move what is to be moved of a few pages, run by run. */
static int vsvm_hmm_move_runs(struct vsvm_hmm *hmm, unsigned long addr,
			      const u32 *where, unsigned int n, bool to_device,
			      unsigned long deadline)
{
	struct drm_msvm_device *to = to_device ? &hmm->dev->gpu->msvm : NULL;
	u32 own = vsvm_hmm_own_number(hmm);
	unsigned int i, first;
	int err = 0;

	for (i = 0; !err && i < n;) {
		first = i;
		while (i < n && vsvm_hmm_moves(where[i], own, to_device))
			i++;
		if (first < i)
			err = vsvm_hmm_move_run(hmm, addr + first * PAGE_SIZE,
						addr + i * PAGE_SIZE, to,
						deadline);
		else
			i++;
	}
	return err;
}

static unsigned int vsvm_hmm_count_own(struct vsvm_hmm *hmm, const u32 *where,
				       unsigned int n)
{
	u32 own = vsvm_hmm_own_number(hmm);
	unsigned int i, count = 0;

	for (i = 0; i < n; i++)
		count += where[i] == own;
	return count;
}

/*
 * Move anonymous memory, a huge page at a time. Context: sleeps. Return: 0, also if
 * some stays where it is, and the pages moved back in @moved; -EINTR, -ENOMEM, ...
 */
static int vsvm_hmm_move_anon(struct vsvm_hmm *hmm, unsigned long start,
			      unsigned long end, bool to_device, u64 *moved,
			      unsigned long deadline)
{
	struct drm_msvm_member *member = &hmm->vm->member;
	unsigned int n, before;
	unsigned long stop;
	u32 *where;
	int err = 0;

	where = kmalloc_array(VSVM_HMM_BATCH, sizeof(*where), GFP_KERNEL);
	if (!where)
		return -ENOMEM;
	for (; !err && start < end; start = stop) {
		stop = min(ALIGN(start + 1, SZ_2M), end);
		n = (stop - start) >> PAGE_SHIFT;
		err = drm_msvm_residency(member, start, n, where);
		if (err)
			break;
		before = vsvm_hmm_count_own(hmm, where, n);
		err = vsvm_hmm_move_runs(hmm, start, where, n, to_device,
					 deadline);
		if (err || to_device || !before)
			continue;
		err = drm_msvm_residency(member, start, n, where);
		if (!err)
			*moved += before - min(before,
					       vsvm_hmm_count_own(hmm, where, n));
	}
	kfree(where);

	return err;
}

/* Move an interval, part by part; those before one that can't be moved are moved. */
static int vsvm_hmm_move(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd,
			 bool to_device)
{
	unsigned long end = cmd->addr + (cmd->npages << PAGE_SHIFT);
	unsigned long deadline = jiffies + VSVM_HMM_MOVE_TIME;
	unsigned long addr = cmd->addr;
	struct vsvm_hmm_part part;
	int err = 0;

	for (; !err && addr < end; addr = part.end) {
		err = vsvm_hmm_next_part(hmm, addr, end, &part);
		if (err)
			break;
		if (!part.readable || part.kind == VSVM_HMM_SPECIAL)
			return -EINVAL;
		if (part.kind == VSVM_HMM_ANON)
			err = vsvm_hmm_move_anon(hmm, addr, part.end, to_device,
						 &cmd->cpages, deadline);
		else if (part.kind == VSVM_HMM_FILE && to_device)
			err = vsvm_hmm_file_to_device(hmm, addr, part.end);
		else if (part.kind == VSVM_HMM_FILE)
			err = vsvm_hmm_file_to_system(hmm, addr, part.end,
						      &cmd->cpages);
	}
	return err;
}

/*
 * MIGRATE_TO_DEV, without reading back. Context: sleeps. Return: 0, also if some of
 * it stays where it is; -EINVAL: memory that is missing, not readable, or never
 * moved; -EINTR, -ENOMEM, ...
 */
int vsvm_hmm_to_device(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd)
{
	struct vsvm_gpu *gpu = hmm->dev->gpu;
	int err;

	/* Others' moves to this device are not told from ours. */
	if (hmm->fail_alloc)
		atomic_set(&gpu->fail_alloc, 1);
	err = vsvm_hmm_move(hmm, cmd, true);
	atomic_set(&gpu->fail_alloc, 0);
	hmm->fail_alloc = false;

	return err;
}

/*
 * MIGRATE_TO_SYS. System memory is allocated by the kernel, which has no way to make
 * that fail for us: FAIL_ALLOC is used up and has no effect. Context, return: as
 * vsvm_hmm_to_device().
 */
int vsvm_hmm_to_system(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd)
{
	hmm->fail_alloc = false;
	return vsvm_hmm_move(hmm, cmd, false);
}
