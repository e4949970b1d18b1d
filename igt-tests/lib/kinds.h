/* SPDX-License-Identifier: MIT */
/*
 * Ways to have memory, for tests that go through all of them: where it comes from,
 * what is asked of the kernel before GPUs use it, what goes on beside their jobs,
 * and what becomes of it between two rounds.
 */
#ifndef LIB_KINDS_H
#define LIB_KINDS_H

#include <stddef.h>
#include <stdint.h>

#include "vsvm.h"

/* GPUs with memory of their own are needed. */
#define KIND_VRAM	(1 << 0)
/* It can be in GPUs' memory, and so be evicted. */
#define KIND_EVICTED	(1 << 1)
/* Each job has memory of its own, made for it. */
#define KIND_EACH_JOB	(1 << 2)
/* The CPU does not look before the next round has begun. */
#define KIND_UNSEEN	(1 << 3)
/* Jobs use memory that is bound explicitly as well. */
#define KIND_BOUND	(1 << 4)

/* GPUs for what has KIND_VRAM. */
extern const char * const kind_gpus[];

/**
 * struct kind - A way to have memory.
 * @name: Part of a subtest's name.
 * @get: New memory.
 * @next: What happens to it between two rounds; may move it.
 * @put: Give it back.
 * @ready: Asked for before the jobs of a round; or NULL.
 * @beside: Starts what goes on beside the jobs of a round; each u64 of the memory
 *	is @was, unless something of this kind wrote it. Or NULL.
 * @beside_end: Ends it, and sees that it did what it was to do.
 * @flags: KIND_*.
 */
struct kind {
	const char *name;
	void *(*get)(size_t len);
	char *(*next)(struct vsvm_set *set, char *p, size_t len);
	void (*put)(char *p, size_t len);
	void (*ready)(struct vsvm_set *set, char *p, size_t len);
	void (*beside)(struct vsvm_set *set, char *p, size_t len, uint64_t was);
	void (*beside_end)(struct vsvm_set *set);
	unsigned int flags;
};

/*
 * The u64 that is used beside the jobs is so far from the start of each piece of
 * 4 KiB, counted from the start of the memory.
 */
#define BESIDE_AT	2040

extern const struct kind kinds[];
extern const unsigned int nr_kinds;

#endif /* LIB_KINDS_H */
