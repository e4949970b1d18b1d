/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What a GPU on QEMU's "edu" function does in place of an engine in software: see
 * vsvm_edu.c.
 */
#ifndef __VSVM_EDU_H__
#define __VSVM_EDU_H__

#include <linux/types.h>

struct dentry;
struct vsvm_edu;
struct vsvm_gpu;

/* Most that is moved at a time: QEMU 7.2 refuses all of the buffer of 4 KiB. */
#define VSVM_EDU_MAX		2048
#ifdef CONFIG_PCI
int vsvm_edu_init(void);
void vsvm_edu_exit(void);
void vsvm_edu_claim(struct vsvm_edu *edu);
void vsvm_edu_start(struct vsvm_edu *edu, u64 addr, size_t len, bool write);
int vsvm_edu_release(struct vsvm_edu *edu);
void vsvm_edu_drain(struct vsvm_edu *edu);
void vsvm_edu_debugfs_init(struct vsvm_gpu *gpu, struct dentry *dir);
#else
static inline int vsvm_edu_init(void)
{
	return 0;
}

static inline void vsvm_edu_exit(void)
{
}

static inline void vsvm_edu_claim(struct vsvm_edu *edu)
{
}

static inline void vsvm_edu_start(struct vsvm_edu *edu, u64 addr, size_t len,
				  bool write)
{
}

static inline int vsvm_edu_release(struct vsvm_edu *edu)
{
	return -EIO;
}

static inline void vsvm_edu_drain(struct vsvm_edu *edu)
{
}

static inline void vsvm_edu_debugfs_init(struct vsvm_gpu *gpu,
					 struct dentry *dir)
{
}
#endif

#endif /* __VSVM_EDU_H__ */
