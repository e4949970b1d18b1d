/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Failures and flaws on request, for tests of the tests: allocations that fail,
 * and mutations, each of which puts one flaw into the library that a test must
 * notice. Only with CONFIG_DRM_MSVM_DEBUG; otherwise all of it compiles away.
 */
#ifndef __MSVM_INJECT_H__
#define __MSVM_INJECT_H__

#include <linux/types.h>

struct dentry;

/* A flaw; its file in debugfs is in msvm_mutation_names[], in the same order. */
enum msvm_mutation {
	/* The driver is not asked to clear its entries. */
	MSVM_MUTATE_SKIP_ZAP,
	/* Nobody waits for shoot-downs. */
	MSVM_MUTATE_SKIP_WAIT,
	/* Shoot-downs are awaited one by one, each before the next starts. */
	MSVM_MUTATE_WAIT_EARLY,
	/* Pages are unmapped before the shoot-downs are awaited. */
	MSVM_MUTATE_UNMAP_BEFORE_WAIT,
	/* One of several slots is left out of an invalidation. */
	MSVM_MUTATE_FORGET_SLOT,
	/* A walk's result survives invalidations. */
	MSVM_MUTATE_REUSE_RUNS,
	/* All that was walked counts as writable. */
	MSVM_MUTATE_FORGET_WRITE_BIT,
	/* Pages that devices wrote are not marked dirty. */
	MSVM_MUTATE_FORGET_DIRTY,
	/* A fault that failed is reported as served. */
	MSVM_MUTATE_SWALLOW_ERROR,
	/* A mapping that fails half-way stays half mapped. */
	MSVM_MUTATE_LEAK_PARTIAL_MAP,
	/* A mapping that fails half-way is undone with another direction. */
	MSVM_MUTATE_WRONG_DIRECTION,
	/* Failure of one slot takes the range from all. */
	MSVM_MUTATE_FAIL_ALL_SLOTS,
	/* A range leaves the tree while devices still have its pages. */
	MSVM_MUTATE_REMOVE_MAPPED,
	/* The collector waits for a range that is being served. */
	MSVM_MUTATE_COLLECT_WAITS,
	/* Every fault walks. */
	MSVM_MUTATE_ALWAYS_WALK,
	/* A driver is not told of room for the faults it had to keep. */
	MSVM_MUTATE_FORGET_REFUSED,
	/* Workers take no notice of each other. */
	MSVM_MUTATE_SKIP_CLAIM,
	/* The queues of devices without page faults are not stopped. */
	MSVM_MUTATE_SKIP_QUIESCE,
	/* Device memory keeps what was in it before. */
	MSVM_MUTATE_SKIP_CLEAR,
	/* Blocks are evicted in the order in which they were made. */
	MSVM_MUTATE_NO_SECOND_CHANCE,
	/* Device memory out of reach is mapped all the same. */
	MSVM_MUTATE_IGNORE_REACH,
	/* Faults never hold mmap_lock, however often they were overtaken. */
	MSVM_MUTATE_NEVER_HOLD,
	/* They hold it also where they may have to wait for a process. */
	MSVM_MUTATE_HOLD_ANY,
	/* An unmapped range comes back although part of it has no memory. */
	MSVM_MUTATE_REVIVE_ANY,
	/* Mappings are taken over whatever device they were made for. */
	MSVM_MUTATE_LEND_TO_ANY,
	/* What attributes name is not kept mapped. */
	MSVM_MUTATE_KEEP_NO_ATTR,
	/* A device's atomics do not fault where the memory is not its own. */
	MSVM_MUTATE_ATOMICS_ANYWHERE,
	/* Memory is copied from another device although the policy rules that out. */
	MSVM_MUTATE_COPY_FROM_ANY,
	/* What is to be mapped where it is goes where the policy wants it. */
	MSVM_MUTATE_MAP_BY_POLICY,
	MSVM_MUTATIONS
};

#ifdef MSVM_DEBUG

bool msvm_mutated(enum msvm_mutation mutation);
bool msvm_fail_alloc(void);
bool msvm_fail_walk(void);
bool msvm_fail_map(void);
void msvm_inject_init(struct dentry *parent);

#else

static inline bool msvm_mutated(enum msvm_mutation mutation)
{
	return false;
}

static inline bool msvm_fail_alloc(void)
{
	return false;
}

static inline bool msvm_fail_walk(void)
{
	return false;
}

static inline bool msvm_fail_map(void)
{
	return false;
}

static inline void msvm_inject_init(struct dentry *parent)
{
}

#endif

/* The value of an expression that allocates, or NULL if it is told to fail. */
#define msvm_alloc(expr)	(msvm_fail_alloc() ? NULL : (expr))

#endif /* __MSVM_INJECT_H__ */
