// SPDX-License-Identifier: MIT
/*
 * What is moved along with what faulted: nothing, the rest of the block, or what the
 * tree says. It comes after the fault, so tests wait for it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../lib/crowd.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/policy.h"
#include "../lib/vram.h"

#define MIB	(1UL << 20)
#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")
#define MORE	ATTR("vram_mib=16")

static void begin(const char *prefetch)
{
	policy_restore();
	policy_restless();
	policy_set("placement", "first-touch");
	policy_set("chunk_sizes", "64K 4K");
	policy_set("prefetch", prefetch);
}

static char *memory(size_t len)
{
	char *p = anon_aligned(len, SZ_2M);

	pattern_fill(p, len, 9);
	/* What is in a batch of another CPU could not be moved. */
	mm_drain();
	return p;
}

/* Wait until so many pages of the memory are there. */
static void expect_at(struct vsvm_set *set, uint32_t where, const char *p,
		      size_t len, size_t pages)
{
	int64_t deadline = vsvm_deadline(20);
	size_t n, at;

	while ((n = vram_count(set, p, len, where)) < pages &&
	       vsvm_now() < deadline)
		usleep(1000);
	/* Which ones, for whoever has to find out why. */
	for (at = 0; n < pages && at < len; at += SZ_64K)
		igt_info("%2zu: %zu of 16 pages\n", at / SZ_64K,
			 vram_count(set, p + at, SZ_64K, where));
	igt_assert_eq_u64(n, pages);
}

/* As above, in a GPU. */
static void expect_pages(struct vsvm_set *set, int gpu, const char *p,
			 size_t len, size_t pages)
{
	expect_at(set, where_gpu(set, gpu), p, len, pages);
}

static void end(struct vsvm_set *set, char *p, size_t len)
{
	munmap(p, len);
	vram_expect_empty(set);
	policy_restore();
}

/*
 * The contents are as they were, for who has it and for the CPU. What is read to must
 * not bring along the process's own data, which stays.
 */
static void check(struct vsvm_set *set, int gpu, char *p, size_t len)
{
	policy_restore();
	policy_set("placement", "system");
	vsvm_gpu_check(set, gpu, p, len, 9);
	pattern_check(p, len, 9);
}

/* The result has holes on either side, so that nothing comes along with it. */
static void load(struct vsvm_set *set, int gpu, const char *p)
{
	uint64_t *result = anon_aligned(SZ_4K, SZ_2M);
	struct drm_vsvm_cmd cmd = vsvm_load(p, 8, result);

	vsvm_run(set, gpu, &cmd, 1);
	munmap(result, SZ_4K);
}

static void none(struct vsvm_set *set)
{
	char *p = memory(SZ_2M);
	uint64_t before;

	begin("none");
	before = policy_count(set, "prefetched_pages");
	load(set, set->n - 1, p + 3 * SZ_64K);
	expect_pages(set, set->n - 1, p, SZ_2M, 16);
	igt_assert_eq_u64(policy_count(set, "prefetched_pages"), before);
	check(set, set->n - 1, p, SZ_2M);
	end(set, p, SZ_2M);
}

static void block(struct vsvm_set *set)
{
	char *p = memory(2 * SZ_2M);
	int last = set->n - 1;
	uint64_t pages, used;

	begin("block");
	pages = policy_count(set, "prefetched_pages");
	used = policy_count(set, "prefetch_used");
	load(set, last, p + 3 * SZ_64K);
	expect_pages(set, last, p, SZ_2M, 512);
	policy_wait(set, "prefetched_pages", pages + 512 - 16);
	/* It was moved, and nobody has used it yet. */
	igt_assert_eq_u64(policy_count(set, "prefetch_used"), used);
	igt_assert_eq_u64(vram_count(set, p + SZ_2M, SZ_2M, WHERE_SYSTEM), 512);
	load(set, last, p + 7 * SZ_64K);
	igt_assert(policy_count(set, "prefetch_used") > used);
	munmap(p + SZ_2M, SZ_2M);
	check(set, last, p, SZ_2M);
	end(set, p, SZ_2M);
}

/* More than half of each half: so many faults bring the whole block. */
static void tree(struct vsvm_set *set)
{
	static const struct {
		int leaf, there;
	} steps[] = {
		{ 0, 1 }, { 1, 2 }, { 2, 4 }, { 4, 8 }, { 8, 16 }, { 16, 32 },
	};
	char *p = memory(SZ_2M);
	int last = set->n - 1;
	unsigned int i;

	begin("tree");
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		load(set, last, p + steps[i].leaf * SZ_64K);
		expect_pages(set, last, p, SZ_2M, 16 * steps[i].there);
	}
	check(set, last, p, SZ_2M);
	end(set, p, SZ_2M);
}

/* Where results go that are no faults. */
static uint64_t *results(struct vsvm_set *set, int gpu)
{
	uint64_t *p = anon_aligned(SZ_4K, SZ_2M);

	*p = 0;
	policy_set("placement", "system");
	gpu_touch(set, gpu, p);
	policy_set("placement", "first-touch");
	return p;
}

/*
 * A GPU that goes through block after block is noticed in the third one: the rest of that
 * and the next one come along.
 */
static void tree_stream(struct vsvm_set *set)
{
	static const int steps[] = { 0, 1, 2, 4, 8, 16 };
	char *p = memory(5 * SZ_2M);
	int last = set->n - 1, i, k;
	struct drm_vsvm_cmd cmd;
	uint64_t *result;

	begin("tree");
	result = results(set, last);
	for (k = 0; k < 2; k++)
		for (i = 0; i < 6; i++) {
			cmd = vsvm_load(p + k * SZ_2M + steps[i] * SZ_64K, 8,
					result);
			vsvm_run(set, last, &cmd, 1);
			expect_pages(set, last, p, 5 * SZ_2M,
				     512 * k + 16 * (i < 5 ? steps[i + 1] : 32));
		}
	for (i = 0; i < 2; i++) {
		cmd = vsvm_load(p + 2 * SZ_2M + i * SZ_64K, 8, result);
		vsvm_run(set, last, &cmd, 1);
		expect_pages(set, last, p, 5 * SZ_2M, i ? 4 * 512 : 1024 + 16);
	}
	munmap(result, SZ_4K);
	check(set, last, p, 5 * SZ_2M);
	end(set, p, 5 * SZ_2M);
}

/* The tree counts what is where the memory goes, whoever faults. */
static void tree_preferred(struct vsvm_set *set)
{
	static const struct {
		int leaf, there;
	} steps[] = {
		{ 0, 1 }, { 1, 2 }, { 2, 4 }, { 4, 8 },
	};
	char *p = memory(SZ_2M), node[32];
	int last = set->n - 1;
	unsigned int i;

	begin("tree");
	gpu_node(set, last, node, sizeof(node));
	policy_set("preferred_devices", node);
	policy_set("placement", "preferred");
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		load(set, 0, p + steps[i].leaf * SZ_64K);
		expect_pages(set, last, p, SZ_2M, 16 * steps[i].there);
	}
	check(set, last, p, SZ_2M);
	end(set, p, SZ_2M);
}

/* A mapping that begins within a leaf: leaves are counted from where the block begins. */
static void tree_shifted(struct vsvm_set *set)
{
	char *p = memory(SZ_2M);
	int last = set->n - 1;
	uint64_t before;

	munmap(p, SZ_64K / 2);
	begin("tree");
	before = policy_count(set, "prefetched_pages");
	load(set, last, p + SZ_64K);
	/* Two of four are not enough, three are. */
	load(set, last, p + 2 * SZ_64K);
	load(set, last, p + 3 * SZ_64K);
	expect_pages(set, last, p + SZ_64K / 2, SZ_2M - SZ_64K / 2, 64 - 8);
	igt_assert_eq_u64(policy_count(set, "prefetched_pages"), before + 8);
	munmap(p + SZ_64K / 2, SZ_2M - SZ_64K / 2);
	vram_expect_empty(set);
	policy_restore();
}

static const char * const moves[] = { "msvm_move", NULL };
static char moved[EVENTS_MOST][128];

/* A page that somebody has a reference to stays, and is tried more than once. */
static void busy(struct vsvm_set *set)
{
	unsigned int tries = 0, i, n;
	char *p = anon_aligned(SZ_2M, SZ_2M), at[64];
	char *leaf = p + 5 * SZ_64K;
	int last = set->n - 1;
	struct iovec iov = { leaf + 3 * SZ_4K, SZ_4K };
	int64_t deadline = vsvm_deadline(20);
	int pipes[2];

	/* A huge page would stay as a whole. */
	madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	pattern_fill(p, SZ_2M, 9);
	mm_drain();
	igt_assert(!pipe(pipes));
	igt_assert_eq(vmsplice(pipes[1], &iov, 1, 0), (ssize_t)SZ_4K);
	begin("block");
	snprintf(at, sizeof(at), "start=%#lx end=%#lx ", to_u64(leaf),
		 to_u64(leaf) + SZ_64K);
	events_start(moves);
	load(set, last, p);
	expect_pages(set, last, p, SZ_2M, 31 * 16);
	/* The last attempts come after the other pages. */
	while (tries < 2 && vsvm_now() < deadline) {
		tries = 0;
		n = events_read("msvm_move", moved);
		igt_assert_f(n < EVENTS_MOST, "too many moves\n");
		for (i = 0; i < n; i++)
			tries += strstr(moved[i], at) &&
				 strstr(moved[i], "ret=-16");
		usleep(1000);
	}
	events_stop(moves, "msvm_move", moved);
	igt_assert_f(tries >= 2, "%u attempts at %s\n", tries, at);
	/* During another attempt pages are nowhere for a moment. */
	expect_at(set, WHERE_SYSTEM, leaf, SZ_64K, 16);
	close(pipes[0]);
	close(pipes[1]);
	load(set, last, leaf);
	expect_pages(set, last, p, SZ_2M, 512);
	check(set, last, p, SZ_2M);
	end(set, p, SZ_2M);
}

/* What another GPU has mapped stays where it is, and what is pinned there. */
static void held(struct vsvm_set *set)
{
	int64_t deadline = vsvm_deadline(20);
	char *p = memory(SZ_2M);
	int last = set->n - 1, i;

	igt_require_f(last, "two are needed\n");
	begin("none");
	/*
	 * Back and forth until it is pinned, out of reach of the other one. Whose turn
	 * it is not has to wait, and enough have to.
	 */
	policy_set("placement", "follow-fault");
	policy_set("thrash_threshold", "3");
	policy_set("thrash_reset_ms", "3600000");
	policy_set("thrash_window_us", "60000000");
	policy_set("thrash_pin_ms", "3600000");
	policy_set("thrash_max_throttles", "2");
	for (i = 0; !policy_count(set, "pins"); i++) {
		igt_assert_f(vsvm_now() < deadline, "never pinned\n");
		gpu_touch(set, i % 3 ? 0 : last, p + 7 * SZ_64K + SZ_64K / 2);
		gpus_drop(set);
	}
	vram_expect(set, p + 7 * SZ_64K, SZ_64K, WHERE_SYSTEM);
	/* It is mapped by nobody, or that would be why. */
	gpus_drop(set);
	policy_set("placement", "system");
	gpu_touch(set, 0, p + 3 * SZ_64K + SZ_64K / 2);
	/* Splitting a huge page and moving pages leaves some in batches. */
	mm_drain();
	policy_set("placement", "first-touch");
	policy_set("prefetch", "block");
	load(set, last, p);
	expect_pages(set, last, p, SZ_2M, 30 * 16);
	vram_expect(set, p + 3 * SZ_64K, SZ_64K, WHERE_SYSTEM);
	vram_expect(set, p + 7 * SZ_64K, SZ_64K, WHERE_SYSTEM);
	end(set, p, SZ_2M);
}

/* Nor what belongs to another one by its address. */
static void interleaved(struct vsvm_set *set)
{
	char *p = memory(SZ_2M);
	int turn = (to_u64(p) / SZ_64K / 8) % set->n;

	begin("block");
	policy_set("interleave_kib", "512");
	policy_set("placement", "interleave");
	load(set, turn, p + 3 * SZ_64K);
	expect_pages(set, turn, p, SZ_2M, 8 * 16);
	load(set, (turn + 1) % set->n, p + 15 * SZ_64K);
	expect_pages(set, (turn + 1) % set->n, p + 8 * SZ_64K, SZ_2M / 2,
		     8 * 16);
	igt_assert_eq_u64(vram_count(set, p + SZ_2M / 2, SZ_2M / 2,
				     WHERE_SYSTEM), 256);
	check(set, turn, p, SZ_2M);
	end(set, p, SZ_2M);
}

/* Not across the end of the mapping, and not what another GPU has. */
static void limits(struct vsvm_set *set)
{
	char *p = memory(SZ_2M);
	int last = set->n - 1;

	begin("block");
	igt_assert(!mprotect(p + SZ_2M / 2, SZ_2M / 2, PROT_READ));
	if (last)
		vram_migrate(set, p + SZ_64K, SZ_64K, 0);
	load(set, last, p);
	expect_pages(set, last, p, SZ_2M, 256 - (last ? 16 : 0));
	if (last)
		vram_expect(set, p + SZ_64K, SZ_64K, where_gpu(set, 0));
	check(set, last, p, SZ_2M);
	end(set, p, SZ_2M);
}

/* Nothing is evicted for what nobody asked for. */
static void full(struct vsvm_set *set)
{
	char *p = memory(SZ_2M), *q = anon_aligned(7 * MIB, SZ_2M);
	uint64_t evictions;

	begin("block");
	memset(q, 1, 7 * MIB);
	vram_migrate(set, q, 7 * MIB, 0);
	evictions = vram_info(set, 0).evictions;
	load(set, 0, p);
	igt_assert(vram_count(set, p, SZ_2M, where_gpu(set, 0)) >= 16);
	load(set, 0, q);
	igt_assert_eq_u64(vram_info(set, 0).evictions, evictions);
	munmap(q, 7 * MIB);
	check(set, 0, p, SZ_2M);
	end(set, p, SZ_2M);
}

/* Memory comes and goes, and so do VMs, while it is being moved along. */
static int fill_round(struct party *party)
{
	size_t len = 2 * SZ_2M;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct drm_vsvm_cmd cmds[2] = {
		vsvm_fill(p, 7, SZ_4K), vsvm_fill(p + SZ_2M, 7, SZ_4K),
	};
	int err;

	if (p == MAP_FAILED)
		return -1;
	memset(p, 3, len);
	err = crowd_job(party, cmds, 2);
	if (!err && party->rounds % 2 && (p[5] != 7 || p[SZ_2M - 1] != 3))
		err = -1;
	munmap(p, len);
	return err;
}

static int leave_round(struct party *party)
{
	struct drm_vsvm_vm_create args = { .layout = party->set->layout };
	int gpu = party->set->n - 1;

	vsvm_vm_destroy(party->set->fd[gpu], party->set->vm[gpu]);
	vsvm_ioctl(party->set->fd[gpu], DRM_IOCTL_VSVM_VM_CREATE, &args);
	party->set->vm[gpu] = args.vm_id;
	return 0;
}

static void churn(struct vsvm_set *set)
{
	int gpu;

	begin("block");
	crowd_begin();
	for (gpu = 0; gpu < set->n - (set->n > 1); gpu++)
		crowd_add(set, gpu, fill_round, NULL);
	if (set->n > 1)
		crowd_add(set, -1, leave_round, NULL);
	crowd_start();
	crowd_wait(vsvm_scale(30, 6));
	crowd_stop();
	policy_restore();
	vram_expect_empty(set);
}

igt_main
{
	each_made("none", "nothing", MSVM_ONLY, VRAM, none);
	each_made("block", "the rest of the block", MSVM_ONLY, VRAM, block);
	each_made("tree", "by the tree", MSVM_ONLY, VRAM, tree);
	each_made("tree-stream", "across the borders of blocks", MSVM_ONLY, MORE,
		  tree_stream);
	each_made("tree-preferred", "by the tree where it goes", MSVM_ONLY,
		  PEERS, tree_preferred);
	each_made("tree-shifted", "where no leaf begins", MSVM_ONLY, VRAM,
		  tree_shifted);
	each_made("held", "not what stays elsewhere", MSVM_ONLY, VRAM, held);
	each_made("busy", "all but what can't move now", MSVM_ONLY, VRAM, busy);
	each_made("interleaved", "not what belongs elsewhere", MSVM_ONLY, VRAM,
		  interleaved);
	each_made("limits", "not what is another's", MSVM_ONLY, PEERS, limits);
	each_made("full", "only where there is room", MSVM_ONLY, VRAM, full);
	each_made("churn", "memory and VMs go meanwhile", MSVM_ONLY, VRAM,
		  churn);

	igt_fixture {
		policy_restore();
	}
}
