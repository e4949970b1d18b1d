/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The binary interface of /dev/hmm_dmirrorN, described in our own words: that of
 * lib/test_hmm_uapi.h in Linux 7.3, which is installed nowhere. Numbers and layout
 * are what the kernel's hmm-tests are compiled with and must not change.
 */
#ifndef __VSVM_HMM_UAPI_H__
#define __VSVM_HMM_UAPI_H__

#include <linux/bits.h>
#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct hmm_dmirror_cmd - Argument of all ioctls.
 * @addr: First address of the interval, page aligned.
 * @ptr: User memory that data (or a byte a page) is copied to or from.
 * @npages: Length of the interval; for FLAGS: the flags.
 * @cpages: Result: pages that were copied, moved or looked at.
 * @faults: Result: times that the device faulted.
 */
struct hmm_dmirror_cmd {
	__u64 addr;
	__u64 ptr;
	__u64 npages;
	__u64 cpages;
	__u64 faults;
};

#define HMM_DMIRROR_IOC(nr)		_IOWR('H', nr, struct hmm_dmirror_cmd)

/* The device reads memory, or writes it. */
#define HMM_DMIRROR_READ		HMM_DMIRROR_IOC(0)
#define HMM_DMIRROR_WRITE		HMM_DMIRROR_IOC(1)
/* Memory is moved to the device's, or back. */
#define HMM_DMIRROR_MIGRATE_TO_DEV	HMM_DMIRROR_IOC(2)
#define HMM_DMIRROR_MIGRATE_TO_SYS	HMM_DMIRROR_IOC(3)
/* What the CPU's page table says, a byte of HMM_DMIRROR_PROT_* a page. */
#define HMM_DMIRROR_SNAPSHOT		HMM_DMIRROR_IOC(4)
/* Take memory away from the CPU; ask whether it came back for all of it. */
#define HMM_DMIRROR_EXCLUSIVE		HMM_DMIRROR_IOC(5)
#define HMM_DMIRROR_CHECK_EXCLUSIVE	HMM_DMIRROR_IOC(6)
/* Empty the device's memory. */
#define HMM_DMIRROR_RELEASE		HMM_DMIRROR_IOC(7)
#define HMM_DMIRROR_FLAGS		HMM_DMIRROR_IOC(8)
/* As READ, and mmap_lock is not held meanwhile. */
#define HMM_DMIRROR_READ_UNLOCKED	HMM_DMIRROR_IOC(9)

/* The next allocation for a move fails. */
#define HMM_DMIRROR_FLAG_FAIL_ALLOC	BIT_ULL(0)

/* Rights, the size of the entry, and the kind of page. */
#define HMM_DMIRROR_PROT_NONE			0x00
#define HMM_DMIRROR_PROT_READ			0x01
#define HMM_DMIRROR_PROT_WRITE			0x02
#define HMM_DMIRROR_PROT_PMD			0x04
#define HMM_DMIRROR_PROT_PUD			0x08
#define HMM_DMIRROR_PROT_ZERO			0x10
#define HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL	0x20
#define HMM_DMIRROR_PROT_ERROR			0xff

#endif /* __VSVM_HMM_UAPI_H__ */
