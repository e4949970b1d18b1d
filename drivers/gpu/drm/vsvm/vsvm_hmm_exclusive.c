// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Exclusive access for hmm_dmirror: pages that the CPU can't access until it faults.
 *
 * The library has no such thing: an atomic access of a device maps memory for it
 * that the CPU and others have mapped as well, and a walk would end exclusiveness.
 * So the kernel's make_device_exclusive() is called here, and the device's mapping of
 * these pages is a table of our own. The library takes part as the one that is told:
 * it shoots down all devices' mappings of a page that becomes exclusive. A READ or
 * WRITE goes through the library and so ends it, as a CPU's access does.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/rmap.h>

#include "vsvm_drv.h"
#include "vsvm_hmm.h"

static bool vsvm_hmm_invalidate(struct mmu_interval_notifier *notifier,
				const struct mmu_notifier_range *range,
				unsigned long seq)
{
	struct vsvm_hmm *hmm = container_of(notifier, struct vsvm_hmm, notifier);
	unsigned long index;
	void *page;

	if (mmu_notifier_range_blockable(range))
		mutex_lock(&hmm->lock);
	else if (!mutex_trylock(&hmm->lock))
		return false;
	mmu_interval_set_seq(notifier, seq);
	xa_for_each_range(&hmm->exclusive, index, page,
			  range->start >> PAGE_SHIFT,
			  (range->end - 1) >> PAGE_SHIFT)
		xa_erase(&hmm->exclusive, index);
	mutex_unlock(&hmm->lock);

	return true;
}

const struct mmu_interval_notifier_ops vsvm_hmm_notifier_ops = {
	.invalidate = vsvm_hmm_invalidate,
};

/* Take one page. mmap_lock held. */
static int vsvm_hmm_take_page(struct vsvm_hmm *hmm, unsigned long addr)
{
	struct folio *folio;
	struct page *page;
	int err;

	page = make_device_exclusive(vsvm_hmm_mm(hmm), addr, NULL, &folio);
	if (IS_ERR(page))
		return PTR_ERR(page);
	/* The lock of the folio keeps it ours until it is in the table. */
	mutex_lock(&hmm->lock);
	err = xa_err(xa_store(&hmm->exclusive, addr >> PAGE_SHIFT, page,
			      GFP_ATOMIC));
	mutex_unlock(&hmm->lock);
	folio_unlock(folio);
	folio_put(folio);

	return err;
}

/*
 * Take an interval from the CPU. Context: sleeps. Return: 0; -EOPNOTSUPP: not
 * anonymous memory; -EFAULT, -EINTR, -ENOMEM.
 */
int vsvm_hmm_exclusive(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd)
{
	struct mm_struct *mm = vsvm_hmm_mm(hmm);
	unsigned long addr = cmd->addr;
	u64 i;
	int err;

	err = mmap_read_lock_killable(mm);
	if (err)
		return err;
	for (i = 0; !err && i < cmd->npages; i++, addr += PAGE_SIZE)
		err = vsvm_hmm_take_page(hmm, addr);
	mmap_read_unlock(mm);

	return err;
}

/*
 * The device reads what it has for itself. Return: 0; -ENOENT: the CPU has some of
 * it again.
 */
int vsvm_hmm_read_exclusive(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd,
			    void *buf)
{
	unsigned long first = cmd->addr >> PAGE_SHIFT;
	struct page *page;
	int err = 0;

	mutex_lock(&hmm->lock);
	for (; cmd->cpages < cmd->npages; cmd->cpages++, buf += PAGE_SIZE) {
		page = xa_load(&hmm->exclusive, first + cmd->cpages);
		if (!page) {
			err = -ENOENT;
			break;
		}
		memcpy_from_page(buf, page, 0, PAGE_SIZE);
	}
	mutex_unlock(&hmm->lock);

	return err;
}

/* Has the CPU all of an interval? Return: 0; -EPERM: not all of it. */
int vsvm_hmm_check_exclusive(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd)
{
	unsigned long index = cmd->addr >> PAGE_SHIFT;

	return xa_find(&hmm->exclusive, &index, index + cmd->npages - 1,
		       XA_PRESENT) ? -EPERM : 0;
}
