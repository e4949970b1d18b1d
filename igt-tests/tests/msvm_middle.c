// SPDX-License-Identifier: MIT
/*
 * The middle of what GPUs use goes, or moves to another address, with the names of
 * IGT's xe_exec_system_allocator: with a CPU's fault in it before or not, by writes
 * or by atomics. What GPUs wrote in their memory stays what it was, in the middle and
 * beside it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")

/* A word in each piece of 64 KiB, in the page that many pages after its start. */
#define WORDS	32
#define PAGE	3

/* The words of the middle. */
#define FIRST	8
#define END	24

#define REMAP	(1 << 0)
#define FAULT	(1 << 1)
#define ATOMIC	(1 << 2)

/**
 * struct model - The words, as they must be.
 * @at: Where each is, or NULL.
 * @value: What each is.
 */
struct model {
	uint64_t *at[WORDS];
	uint64_t value[WORDS];
};

/* Where the words of a piece of the memory are now. */
static void place(struct model *model, int first, int end, char *p)
{
	int i;

	for (i = first; i < end; i++)
		model->at[i] = !p ? NULL :
			(uint64_t *)(p + (i - first) * SZ_64K + PAGE * SZ_4K);
}

/* All GPUs add to each word at the same time; or each word is written by one. */
static void use(struct vsvm_set *set, struct model *model, bool atomic,
		uint64_t seed)
{
	uint64_t jobs[VSVM_MAX_SET];
	int gpu, i, n;

	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_cmd cmds[WORDS + 1] = {};

		/* Not each GPU has something to do. */
		for (i = 0, n = 1; i < WORDS; i++) {
			if (!model->at[i] || (!atomic && i % set->n != gpu))
				continue;
			cmds[n++] = atomic ?
				vsvm_add(model->at[i], 8, seed + gpu, NULL) :
				vsvm_store(model->at[i], 8, seed + i);
			model->value[i] = atomic ? model->value[i] + seed + gpu :
						   seed + i;
		}
		jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0, cmds, n);
	}
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
					jobs[gpu]).status, 0);
}

/* What each GPU sees, and last the CPU: it brings the memory back. */
static void check(struct vsvm_set *set, const struct model *model)
{
	int gpu, i;

	for (i = 0; i < WORDS; i++) {
		for (gpu = 0; gpu < set->n && model->at[i]; gpu++)
			igt_assert_eq_u64(vsvm_gpu_load(set, gpu, model->at[i]),
					  model->value[i]);
		if (model->at[i])
			igt_assert_eq_u64(*model->at[i], model->value[i]);
	}
}

/* As one GPU has all of it. */
static void middle_of(struct vsvm_set *set, int flags, int gpu)
{
	size_t len = (END - FIRST) * SZ_64K;
	char *p = anon_aligned(WORDS * SZ_64K, SZ_2M), *mid = p + FIRST * SZ_64K;
	char *to = NULL;
	struct model model = {};
	int i;

	place(&model, 0, WORDS, p);
	vram_fetch(set, gpu, p, WORDS * SZ_64K);
	use(set, &model, flags & ATOMIC, 1000);
	for (i = FIRST; i < END && flags & FAULT; i += 2)
		model.value[i] =
			__atomic_add_fetch(model.at[i], 7, __ATOMIC_SEQ_CST);
	if (flags & FAULT)
		check(set, &(struct model) {
			.at[FIRST] = model.at[FIRST],
			.value[FIRST] = model.value[FIRST],
		});

	if (flags & REMAP) {
		to = anon_aligned(len, SZ_2M);
		igt_assert(mremap(mid, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
				  to) == to);
	} else {
		igt_assert(!munmap(mid, len));
	}
	mm_all_fault(set, mid, -EFAULT);
	mm_all_fault(set, mid + len - SZ_4K, -EFAULT);
	place(&model, FIRST, END, to);
	use(set, &model, flags & ATOMIC, 2000);
	check(set, &model);

	/* What is in the middle next begins with nothing. */
	igt_assert(mmap(mid, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mid);
	if (flags & REMAP) {
		mm_all_zero(set, mid, SZ_64K);
	} else {
		place(&model, FIRST, END, mid);
		memset(model.value + FIRST, 0, (END - FIRST) * 8);
		check(set, &model);
	}
	use(set, &model, flags & ATOMIC, 3000);
	check(set, &model);
	munmap(p, WORDS * SZ_64K);
	if (to)
		munmap(to, len);
	vram_expect_empty(set);
}

static void middle(struct vsvm_set *set, int flags)
{
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		middle_of(set, flags, gpu);
}

static void munmaps(struct vsvm_set *set)
{
	middle(set, 0);
}

static void munmaps_fault(struct vsvm_set *set)
{
	middle(set, FAULT);
}

static void munmaps_atomic(struct vsvm_set *set)
{
	middle(set, ATOMIC);
}

static void munmaps_atomic_fault(struct vsvm_set *set)
{
	middle(set, ATOMIC | FAULT);
}

static void remaps(struct vsvm_set *set)
{
	middle(set, REMAP);
}

static void remaps_fault(struct vsvm_set *set)
{
	middle(set, REMAP | FAULT);
}

static void remaps_atomic(struct vsvm_set *set)
{
	middle(set, REMAP | ATOMIC);
}

static void remaps_atomic_fault(struct vsvm_set *set)
{
	middle(set, REMAP | ATOMIC | FAULT);
}

igt_main
{
	each_made("middle-munmap", "the middle goes", MSVM_ONLY, VRAM, munmaps);
	each_made("middle-munmap-cpu-fault", "after a CPU was there", MSVM_ONLY,
		  VRAM, munmaps_fault);
	each_made("middle-munmap-atomic", "the middle of what all count in goes",
		  MSVM_ONLY, PEERS, munmaps_atomic);
	each_made("middle-munmap-atomic-cpu-fault", "after a CPU counted, too",
		  MSVM_ONLY, PEERS, munmaps_atomic_fault);
	each_made("middle-remap", "the middle moves", MSVM_ONLY, VRAM, remaps);
	each_made("middle-remap-cpu-fault", "after a CPU was there", MSVM_ONLY,
		  VRAM, remaps_fault);
	each_made("middle-remap-atomic", "the middle of what all count in moves",
		  MSVM_ONLY, PEERS, remaps_atomic);
	each_made("middle-remap-atomic-cpu-fault", "after a CPU counted, too",
		  MSVM_ONLY, PEERS, remaps_atomic_fault);

	igt_fixture {
		gpus_remove();
	}
}
