/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Private to the front end for the kernel's hmm-tests (CONFIG_DRM_VSVM_HMM): its
 * devices, its open files, and what its parts have in common.
 */
#ifndef __VSVM_HMM_H__
#define __VSVM_HMM_H__

#ifdef VSVM_HMM

#include <linux/memremap.h>
#include <linux/miscdevice.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "vsvm_drv.h"
#include "vsvm_hmm_uapi.h"

/* Pages looked at, or moved, at a time: those of a huge page. */
#define VSVM_HMM_BATCH		512

/**
 * struct vsvm_hmm_store - Memory of a device for pages that drm_pagemap does not
 * move, see vsvm_hmm_file.c.
 */
struct vsvm_hmm_store {
	/** @pagemap: Its struct pages. */
	struct dev_pagemap pagemap;
	/** @region: Their physical addresses. */
	struct resource *region;
	/** @lock: Protects @used; taken in any context. */
	spinlock_t lock;
	/** @used: Pages that are somebody's. */
	unsigned long *used;
};

/**
 * struct vsvm_hmm_device - One of /dev/hmm_dmirrorN.
 */
struct vsvm_hmm_device {
	/** @misc: The character device. */
	struct miscdevice misc;
	/** @name: Its name. */
	char name[16];
	/** @gpu: The GPU that does the work. */
	struct vsvm_gpu *gpu;
	/** @store: More memory of it. */
	struct vsvm_hmm_store store;
};

/**
 * struct vsvm_hmm - An open file: a VM of the process that opened it.
 */
struct vsvm_hmm {
	/** @dev: The device. */
	struct vsvm_hmm_device *dev;
	/** @vm: The VM, layout msvm; its kill_lock serialises ioctls. */
	struct vsvm_vm *vm;
	/** @notifier: Tells of changes, for walks and @exclusive. */
	struct mmu_interval_notifier notifier;
	/** @lock: Protects @exclusive; taken in MMU notifiers. */
	struct mutex lock;
	/** @exclusive: Pages by number that the CPU does not have. */
	struct xarray exclusive;
	/** @fail_alloc: The next allocation for a move fails. */
	bool fail_alloc;
};

/* Kinds of memory, by what can be done with it. */
enum vsvm_hmm_kind {
	VSVM_HMM_HOLE,
	/* Moved by drm_msvm. */
	VSVM_HMM_ANON,
	/* Copies of a file's pages: moved by us. */
	VSVM_HMM_FILE,
	/* Not moved, but asking is no error. */
	VSVM_HMM_SHARED,
	VSVM_HMM_SPECIAL,
};

/**
 * struct vsvm_hmm_part - Part of an interval that is of one kind.
 * @end: Where it ends.
 * @kind: Its kind.
 * @readable: The process may read it.
 */
struct vsvm_hmm_part {
	unsigned long end;
	enum vsvm_hmm_kind kind;
	bool readable;
};

static inline struct mm_struct *vsvm_hmm_mm(struct vsvm_hmm *hmm)
{
	return hmm->notifier.mm;
}

/* vsvm_hmm.c */
int vsvm_hmm_init(void);
void vsvm_hmm_exit(void);
bool vsvm_hmm_access_page(struct vsvm_hmm *hmm, unsigned long addr, void *buf,
			  bool write);

/* vsvm_hmm_walk.c */
enum vsvm_hmm_kind vsvm_hmm_vma_kind(struct vm_area_struct *vma);
int vsvm_hmm_next_part(struct vsvm_hmm *hmm, unsigned long addr,
		       unsigned long end, struct vsvm_hmm_part *part);
int vsvm_hmm_snapshot(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd);
int vsvm_hmm_read_back(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd,
		       void *buf);

/* vsvm_hmm_move.c */
int vsvm_hmm_to_device(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd);
int vsvm_hmm_to_system(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd);

/* vsvm_hmm_exclusive.c */
extern const struct mmu_interval_notifier_ops vsvm_hmm_notifier_ops;
int vsvm_hmm_exclusive(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd);
int vsvm_hmm_read_exclusive(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd,
			    void *buf);
int vsvm_hmm_check_exclusive(struct vsvm_hmm *hmm, struct hmm_dmirror_cmd *cmd);

/* vsvm_hmm_file.c */
int vsvm_hmm_store_init(struct vsvm_hmm_store *store);
void vsvm_hmm_store_fini(struct vsvm_hmm_store *store);
void *vsvm_hmm_store_to_virt(struct vsvm_hmm_store *store, struct page *page);
void vsvm_hmm_file_evict(struct vsvm_hmm *hmm);
int vsvm_hmm_file_to_device(struct vsvm_hmm *hmm, unsigned long start,
			    unsigned long end);
int vsvm_hmm_file_to_system(struct vsvm_hmm *hmm, unsigned long start,
			    unsigned long end, u64 *moved);

#else

static inline int vsvm_hmm_init(void)
{
	return 0;
}

static inline void vsvm_hmm_exit(void)
{
}

#endif /* VSVM_HMM */

#endif /* __VSVM_HMM_H__ */
