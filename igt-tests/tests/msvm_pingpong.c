// SPDX-License-Identifier: MIT
/*
 * Nobody starves: all GPUs and CPU threads want the same memory all the time, and
 * each must get its rounds done while all others go on. Where memory goes is
 * decided by each of the placements; each count counts.
 */
#include <string.h>
#include <sys/mman.h>

#include "../lib/crowd.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")

/**
 * struct game - What they play for.
 * @sum: All add to it.
 * @own: Each party's own counter is at a multiple of @step from here.
 * @step: As said; with a small one all of them are in one page.
 */
static struct game {
	uint64_t *sum;
	char *own;
	size_t step;
} game;

static uint64_t *own_counter(const struct party *party)
{
	return (uint64_t *)(game.own + party->k * game.step);
}

static int gpu_round(struct party *party)
{
	struct drm_vsvm_cmd cmds[2];

	cmds[0] = vsvm_add(game.sum, 8, 1, NULL);
	cmds[1] = vsvm_add(own_counter(party), 8, 1, NULL);
	return crowd_job(party, cmds, 2);
}

static int cpu_round(struct party *party)
{
	volatile uint64_t *own = own_counter(party);

	__atomic_fetch_add(game.sum, 1, __ATOMIC_SEQ_CST);
	*own += 1;
	return 0;
}

static void play(struct vsvm_set *set, size_t step, int cpus,
		 const char *placement)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	struct party *party[VSVM_MAX_SET + 2];
	uint64_t sum = 0;
	int n = 0, i;

	igt_assert(vsvm_placement(placement));
	if (step < SZ_4K)
		madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	memset(p, 0, step < SZ_4K ? SZ_4K : SZ_2M);
	game = (struct game) {
		.sum = (uint64_t *)p, .own = p + step, .step = step,
	};
	crowd_begin();
	for (i = 0; i < set->n; i++)
		party[n++] = crowd_add(set, i, gpu_round, NULL);
	for (i = 0; i < cpus; i++)
		party[n++] = crowd_add(set, -1, cpu_round, NULL);
	crowd_start();
	crowd_wait(vsvm_scale(40, 15));
	crowd_stop();
	vsvm_placement("first-touch");
	for (i = 0; i < n; i++) {
		igt_assert_eq_u64(*own_counter(party[i]), party[i]->rounds);
		sum += party[i]->rounds;
	}
	igt_assert_eq_u64(*game.sum, sum);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* One page, or one piece of 2 MiB. */
#define PAGE_STEP	64
#define HUGE_STEP	SZ_64K

static void page_first(struct vsvm_set *set)
{
	play(set, PAGE_STEP, 2, "first-touch");
}

static void page_follow(struct vsvm_set *set)
{
	play(set, PAGE_STEP, 2, "follow-fault");
}

static void page_system(struct vsvm_set *set)
{
	play(set, PAGE_STEP, 2, "system");
}

static void huge_first(struct vsvm_set *set)
{
	play(set, HUGE_STEP, 2, "first-touch");
}

static void huge_follow(struct vsvm_set *set)
{
	play(set, HUGE_STEP, 2, "follow-fault");
}

static void huge_system(struct vsvm_set *set)
{
	play(set, HUGE_STEP, 2, "system");
}

static void page_gpus(struct vsvm_set *set)
{
	play(set, PAGE_STEP, 0, "follow-fault");
}

static void huge_gpus(struct vsvm_set *set)
{
	play(set, HUGE_STEP, 0, "follow-fault");
}

static void page_one_cpu(struct vsvm_set *set)
{
	play(set, PAGE_STEP, 1, "follow-fault");
}

/* Where it goes is changed all the time, and asked for by everybody. */
static int placer_round(struct party *party)
{
	static const char * const names[] = {
		"first-touch", "follow-fault", "system",
	};

	return vsvm_placement(names[party->rounds % 3]) ? 0 : -1;
}

static int mover_round(struct party *party)
{
	/* Errors are those of memory that somebody else moves just now. */
	vram_try_migrate(party->set, 0, (void *)party->data, SZ_2M,
			 party->rounds % (party->set->n + 1) - 1);
	return 0;
}

static void everywhere(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	struct party *party[VSVM_MAX_SET + 1];
	uint64_t sum = 0;
	int n = 0, i;

	memset(p, 0, SZ_2M);
	game = (struct game) {
		.sum = (uint64_t *)p, .own = p + SZ_64K, .step = SZ_64K,
	};
	crowd_begin();
	for (i = 0; i < set->n; i++)
		party[n++] = crowd_add(set, i, gpu_round, NULL);
	party[n++] = crowd_add(set, -1, cpu_round, NULL);
	crowd_add(set, -1, placer_round, NULL);
	crowd_add(set, -1, mover_round, p);
	crowd_start();
	crowd_wait(vsvm_scale(20, 8));
	crowd_stop();
	vsvm_placement("first-touch");
	for (i = 0; i < n; i++) {
		igt_assert_eq_u64(*own_counter(party[i]), party[i]->rounds);
		sum += party[i]->rounds;
	}
	igt_assert_eq_u64(*game.sum, sum);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

igt_main
{
	each_made("page-first", "one page, where it was touched first",
		  MSVM_ONLY, VRAM, page_first);
	each_made("page-first-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  page_first);
	each_made("page-follow", "one page that follows the faults", MSVM_ONLY,
		  VRAM, page_follow);
	each_made("page-follow-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  page_follow);
	each_made("page-follow-none", "likewise, without DMA addresses",
		  MSVM_ONLY, VRAM ATTR("dma=none"), page_follow);
	each_made("page-system", "one page in system memory", MSVM_ONLY, VRAM,
		  page_system);
	each_made("page-gpus", "one page, no CPU wants it", MSVM_ONLY, VRAM,
		  page_gpus);
	each_made("page-one-cpu", "one page, one CPU wants it", MSVM_ONLY, PEERS,
		  page_one_cpu);
	each_made("huge-first", "2 MiB, where they were touched first",
		  MSVM_ONLY, VRAM, huge_first);
	each_made("huge-first-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  huge_first);
	each_made("huge-follow", "2 MiB that follow the faults", MSVM_ONLY,
		  VRAM, huge_follow);
	each_made("huge-follow-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  huge_follow);
	each_made("huge-follow-iommu", "likewise, behind an IOMMU", MSVM_ONLY,
		  PEERS ATTR("dma=iommu"), huge_follow);
	each_made("huge-system", "2 MiB in system memory", MSVM_ONLY, VRAM,
		  huge_system);
	each_made("huge-gpus", "2 MiB, no CPU wants them", MSVM_ONLY, VRAM,
		  huge_gpus);
	each_made("everywhere", "the placement changes all the time", MSVM_ONLY,
		  VRAM, everywhere);
	each_made("everywhere-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  everywhere);

	igt_fixture {
		vsvm_placement("first-touch");
	}
}
