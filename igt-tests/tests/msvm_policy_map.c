// SPDX-License-Identifier: MIT
/*
 * For whom a fault maps: one walk, and a mapping for one GPU or for all of them.
 * Counted in faults, walks and mappings; and members that come and go meanwhile.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/crowd.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/policy.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")

/* Where results go, mapped for all, so that they are no faults that count. */
static uint64_t *results;

static void begin(struct vsvm_set *set, const char *mode)
{
	int gpu;

	policy_restore();
	policy_restless();
	results = anon_aligned(SZ_4K, SZ_2M);
	*results = 0;
	policy_set("placement", "system");
	for (gpu = 0; gpu < set->n; gpu++)
		gpu_touch(set, gpu, results);
	policy_set("placement", "first-touch");
	policy_set("map_mode", mode);
}

static void end(struct vsvm_set *set)
{
	munmap(results, SZ_4K);
	policy_restore();
	vram_expect_empty(set);
}

/* The GPUs read, one after the other. Return: how many of them faulted. */
static int readers(struct vsvm_set *set, char *p, uint64_t expect)
{
	int gpu, n = 0;

	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_cmd cmd = vsvm_load(p, 8, results);
		uint64_t before = gpu_faults(set, gpu);

		vsvm_run(set, gpu, &cmd, 1);
		igt_assert_eq_u64(*results, expect);
		n += gpu_faults(set, gpu) != before;
	}
	return n;
}

/* Memory that is one piece, or 512. */
static char *memory(bool pieces)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	if (pieces)
		scatter(p, SZ_2M);
	memset(p, 1, SZ_2M);
	return p;
}

#define ONES 0x0101010101010101ULL

static void count(struct vsvm_set *set, const char *mode, bool pieces,
		  int faults)
{
	uint64_t eager, walks;
	char *p;

	begin(set, mode);
	p = memory(pieces);
	if (pieces)
		policy_set("placement", "system");
	eager = policy_count(set, "eager_maps");
	walks = policy_count(set, "hmm_walks");
	igt_assert_eq(readers(set, p, ONES), faults);
	igt_assert_eq_u64(policy_count(set, "hmm_walks") - walks, 1);
	igt_assert_eq_u64(policy_count(set, "eager_maps") - eager,
			  faults == 1 ? set->n - 1 : 0);
	munmap(p, SZ_2M);
	end(set);
}

static void lazy(struct vsvm_set *set)
{
	count(set, "lazy", false, set->n);
}

static void eager(struct vsvm_set *set)
{
	count(set, "eager", false, 1);
	count(set, "eager", true, 1);
}

/* One entry is cheap; 512 are not, unless for those that have faulted there before. */
static void automatic(struct vsvm_set *set)
{
	char *p;

	count(set, "auto", false, 1);
	begin(set, "auto");
	policy_set("placement", "system");
	policy_set("migrate_window_ms", "3600000");
	p = memory(true);
	/* That others have it mapped says nothing about who is next. */
	igt_assert_eq(readers(set, p, ONES), set->n);
	/* All mappings are dropped, but it is known who came. */
	igt_assert(!mprotect(p, SZ_2M, PROT_READ));
	igt_assert_eq(readers(set, p, ONES), 1);
	munmap(p, SZ_2M);
	end(set);
}

/* Where the memory is out of reach it is mapped for who has it only. */
static void out_of_reach(struct vsvm_set *set)
{
	char *p;

	begin(set, "eager");
	p = memory(false);
	gpu_touch(set, 0, p + 64);
	vram_expect(set, p, SZ_2M, where_gpu(set, 0));
	/* The second one brings it to system memory, for all. */
	igt_assert_eq(readers(set, p, ONES), set->n > 1 ? 1 : 0);
	munmap(p, SZ_2M);
	end(set);
}

/* Memory in a GPU that is mapped for all others, written by all and passed on. */
static void agree(struct vsvm_set *set)
{
	char *p;

	begin(set, "eager");
	p = anon_aligned(SZ_2M, SZ_2M);
	pattern_fill(p, SZ_2M, 3);
	mm_all_agree(set, p, SZ_2M, 3);
	igt_assert(set->n == 1 || policy_count(set, "eager_maps") > 0);
	munmap(p, SZ_2M);
	end(set);
}

/* What cannot be written is mapped so for all. */
static void read_only(struct vsvm_set *set)
{
	char *p;

	begin(set, "eager");
	policy_set("placement", "system");
	p = memory(false);
	igt_assert(!mprotect(p, SZ_2M, PROT_READ));
	igt_assert_eq(readers(set, p, ONES), 1);
	vsvm_expect_fault(set, set->n - 1, vsvm_store(p, 8, 1), -EACCES, p,
			  DRM_VSVM_ACCESS_WRITE);
	igt_assert(!mprotect(p, SZ_2M, PROT_READ | PROT_WRITE));
	gpu_touch(set, set->n - 1, p + 64);
	igt_assert_eq_u64(*(uint64_t *)(p + 64), set->n);
	munmap(p, SZ_2M);
	end(set);
}

/* That a mapping for another fails is nothing to who faulted. */
static void fails_for_one(struct vsvm_set *set)
{
	char *p;
	int i;

	begin(set, "eager");
	policy_set("placement", "system");
	for (i = 0; i < 3; i++) {
		p = memory(true);
		if (set->n > 1)
			gpu_debugfs_write(set->fd[1], "fail_dma_map", 1 + 100 * i);
		igt_assert_eq(readers(set, p, ONES), set->n > 1 ? 2 : 1);
		munmap(p, SZ_2M);
	}
	if (set->n > 1)
		gpu_debugfs_write(set->fd[1], "fail_dma_map", 0);
	end(set);
}

/* A GPU's share of the memory is faulted in anew, for all. */
static int fault_round(struct party *party)
{
	char *p = (char *)party->data + party->k * SZ_2M;
	struct drm_vsvm_cmd cmd = vsvm_fill(p, party->rounds % 200, SZ_64K);
	int err = crowd_job(party, &cmd, 1);

	if (!err && p[5] != (char)(party->rounds % 200))
		return -EILSEQ;
	madvise(p, SZ_2M, MADV_DONTNEED);
	return err;
}

/*
 * The last GPU's VM ends and another one takes its place, which is there for at least
 * a round of the first GPU.
 */
static int leave_round(struct party *party)
{
	struct drm_vsvm_vm_create args = { .layout = party->set->layout };
	struct party *first = party->data;
	uint64_t rounds = first->rounds;
	int gpu = party->set->n - 1, err;

	while (first->rounds < rounds + 2 && !first->status && !crowd_stopping())
		usleep(100);
	err = vsvm_vm_destroy(party->set->fd[gpu], party->set->vm[gpu]);
	if (!err)
		err = vsvm_ioctl(party->set->fd[gpu], DRM_IOCTL_VSVM_VM_CREATE,
				 &args);
	party->set->vm[gpu] = args.vm_id;
	return err;
}

static void leave(struct vsvm_set *set, const char *placement)
{
	size_t len = set->n * SZ_2M;
	char *p = anon_aligned(len, SZ_2M);
	struct party *first, *leaver;
	int gpu;

	igt_require_f(set->n > 1, "one to leave and one to stay are needed\n");
	begin(set, "eager");
	policy_set("placement", placement);
	crowd_begin();
	first = crowd_add(set, 0, fault_round, p);
	for (gpu = 1; gpu < set->n - 1; gpu++)
		crowd_add(set, gpu, fault_round, p);
	leaver = crowd_add(set, -1, leave_round, first);
	crowd_start();
	crowd_wait(vsvm_scale(20, 5));
	crowd_stop();
	igt_assert(leaver->rounds > 0);
	igt_assert(policy_count(set, "eager_maps") > 0);
	munmap(p, len);
	end(set);
}

static void leave_system(struct vsvm_set *set)
{
	leave(set, "system");
}

static void leave_follow(struct vsvm_set *set)
{
	leave(set, "follow-fault");
}

igt_main
{
	each_made("lazy", "for who faults", MSVM_ONLY, NO_ATTRS, lazy);
	each_made("eager", "for all", MSVM_ONLY, NO_ATTRS, eager);
	each_made("eager-none", "for all, without DMA addresses", MSVM_ONLY,
		  ATTR("dma=none"), eager);
	each_made("auto", "for all where it is cheap", MSVM_ONLY, NO_ATTRS,
		  automatic);
	each_made("out-of-reach", "not for who does not reach it", MSVM_ONLY,
		  VRAM, out_of_reach);
	each_made("agree", "one sees what another writes", MSVM_ONLY, VRAM,
		  agree);
	each_made("agree-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  agree);
	each_made("read-only", "what cannot be written", MSVM_ONLY, NO_ATTRS,
		  read_only);
	each_made("fails-for-one", "a mapping for another fails", MSVM_ONLY,
		  ATTR("dma=iommu"), fails_for_one);
	each_made("leave", "a GPU leaves and joins meanwhile", MSVM_ONLY,
		  NO_ATTRS, leave_system);
	each_made("leave-queue", "likewise, with fault queues", MSVM_ONLY,
		  ATTR("fault_mode=queue"), leave_system);
	each_made("leave-peers", "likewise, with memory of their own", MSVM_ONLY,
		  PEERS ATTR("fault_mode=batch"), leave_follow);

	igt_fixture {
		policy_restore();
	}
}
