// SPDX-License-Identifier: MIT
/*
 * Eviction: who goes first, what happens if a page can't be copied out, and memory
 * that is evicted while its owner does something else with it. Whatever happens,
 * no byte is lost or seen by somebody else.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/crowd.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define MIB	(1UL << 20)
#define SIZE	(8 * MIB)
#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")

#define EVICT_TO "/sys/kernel/config/drm_msvm/default/evict_to"

static void fill(struct vsvm_set *set, int gpu, char *p, int value, size_t len)
{
	struct drm_vsvm_cmd cmd = vsvm_fill(p, value, len);

	vsvm_run(set, gpu, &cmd, 1);
}

static bool all_bytes(const char *p, size_t len, int value)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != (char)value)
			return false;
	return true;
}

static void expect_bytes(const char *p, size_t len, int value)
{
	igt_assert_f(all_bytes(p, len, value), "not all bytes are %#x\n", value);
}

/* The oldest goes first, unless it was used again: then the next one. */
static void order(struct vsvm_set *set)
{
	int last = set->n - 1, i;
	char *p = anon_aligned(6 * SZ_2M, SZ_2M);
	uint32_t here = where_gpu(set, last);
	uint64_t evictions;

	for (i = 0; i < 4; i++)
		fill(set, last, p + i * SZ_2M, 1 + i, SZ_2M);
	vram_expect(set, p, SIZE, here);
	evictions = vram_info(set, last).evictions;
	fill(set, last, p + 4 * SZ_2M, 5, SZ_2M);
	igt_assert_eq_u64(vram_info(set, last).evictions, evictions + 1);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	vram_expect(set, p + SZ_2M, SIZE, here);

	/* Number 1 is next, and is used again: number 2 goes. */
	gpu_debugfs_write(set->fd[last], "drop_mappings", 1);
	fill(set, last, p + SZ_2M, 12, SZ_4K);
	fill(set, last, p + 5 * SZ_2M, 6, SZ_2M);
	vram_expect(set, p + SZ_2M, SZ_2M, here);
	vram_expect(set, p + 2 * SZ_2M, SZ_2M, WHERE_SYSTEM);
	vram_expect(set, p + 3 * SZ_2M, 3 * SZ_2M, here);

	expect_bytes(p + SZ_2M, SZ_4K, 12);
	expect_bytes(p + SZ_2M + SZ_4K, SZ_2M - SZ_4K, 2);
	for (i = 0; i < 6; i++)
		if (i != 1)
			expect_bytes(p + i * SZ_2M, SZ_2M, 1 + i);
	munmap(p, 6 * SZ_2M);
	vram_expect_empty(set);
}

/* Small pieces make room for a large one, and a large one for small ones. */
static void pieces(struct vsvm_set *set)
{
	char *small = anon_aligned(SIZE, SZ_2M), *large = anon_aligned(SIZE, SZ_2M);
	size_t i;

	for (i = 0; i < SIZE; i += 2 * SZ_64K)
		pattern_fill(small + i, SZ_64K, i);
	for (i = 0; i < SIZE; i += 2 * SZ_64K)
		vram_migrate(set, small + i, SZ_64K, 0);
	for (i = 0; i < SIZE; i += SZ_2M)
		fill(set, 0, large + i, 7, SZ_2M);
	igt_assert(vram_count(set, large, SIZE, where_gpu(set, 0)) >= 1024);
	for (i = 0; i < SIZE; i += 2 * SZ_64K)
		vsvm_gpu_check(set, 0, small + i, SZ_64K, i);
	for (i = 0; i < SIZE; i += 2 * SZ_64K)
		pattern_check(small + i, SZ_64K, i);
	expect_bytes(large, SIZE, 7);
	munmap(small, SIZE);
	munmap(large, SIZE);
	vram_expect_empty(set);
}

/* The n-th copy fails while one GPU's memory is too small for all of it. */
static void copy_fails(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * SIZE, SZ_2M);
	int n;
	size_t i;

	for (n = 1; n <= 6; n++) {
		for (i = 0; i < 2 * SIZE; i += SZ_2M)
			fill(set, 0, p + i, n + i / SZ_2M, SZ_2M);
		gpu_debugfs_write(set->fd[0], "fail_copy", n);
		for (i = 0; i < 2 * SIZE; i += SZ_2M)
			fill(set, 0, p + i, 2 * n + i / SZ_2M, SZ_2M - SZ_4K);
		gpu_debugfs_write(set->fd[0], "fail_copy", 0);
		for (i = 0; i < 2 * SIZE; i += SZ_2M) {
			uint64_t sum = 0;
			struct drm_vsvm_cmd cmd = vsvm_sum(&sum, p + i, SZ_2M);

			vsvm_run(set, set->n - 1, &cmd, 1);
			igt_assert_eq_u64(sum, (SZ_2M - SZ_4K) *
					  (2 * n + i / SZ_2M) +
					  SZ_4K * (n + i / SZ_2M));
		}
	}
	munmap(p, 2 * SIZE);
	vram_expect_empty(set);
}

static int fill_round(struct party *party)
{
	char *p = party->data;
	uint64_t value = 1 + party->k + party->rounds % 50;
	struct drm_vsvm_cmd cmds[2] = {
		vsvm_fill(p, value, SIZE - SZ_4K),
		vsvm_sum((uint64_t *)(p + SIZE - SZ_4K), p, SIZE - SZ_4K),
	};
	uint64_t *sum = (uint64_t *)(p + SIZE - SZ_4K), before = *sum;
	int err = crowd_job(party, cmds, 2);

	if (err)
		return err;
	return *sum - before == value * (SIZE - SZ_4K) ? 0 : -EILSEQ;
}

/* Every GPU fills twice what it has room for; @round does something meanwhile. */
static void evict_against(struct vsvm_set *set, int (*round)(struct party *party),
			  uint64_t rounds)
{
	size_t len = 2 * set->n * SIZE;
	char *p = anon_aligned(len, SZ_2M);
	struct party *other;
	int gpu;

	crowd_begin();
	for (gpu = 0; gpu < set->n; gpu++)
		crowd_add(set, gpu, fill_round, p + 2 * gpu * SIZE);
	other = crowd_add(set, -1, round, NULL);
	/* The second half is only there to be evicted. */
	for (gpu = 0; gpu < set->n; gpu++)
		fill(set, gpu, p + (2 * gpu + 1) * SIZE, 0x40 + gpu, SIZE);
	crowd_start();
	crowd_wait(2);
	/* On the debug kernel a round takes seconds. */
	rounds = vsvm_scale(rounds, (rounds + 2) / 3);
	while (other->rounds < rounds && !other->status)
		usleep(1000);
	crowd_stop();
	for (gpu = 0; gpu < set->n; gpu++)
		expect_bytes(p + (2 * gpu + 1) * SIZE, SIZE, 0x40 + gpu);
	munmap(p, len);
	vram_expect_empty(set);
}

/* A mapping of two blocks in the first GPU, or a negative errno. */
static char *in_gpu(struct party *party)
{
	char *p = mmap(NULL, 3 * SZ_2M, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	memset(p, 0x21, 3 * SZ_2M);
	vram_try_migrate(party->set, 0, p, 3 * SZ_2M, 0);
	return p;
}

static int munmap_round(struct party *party)
{
	char *p = in_gpu(party);

	if (!p)
		return -ENOMEM;
	munmap(p + SZ_64K, SZ_2M);
	if (!all_bytes(p, SZ_64K, 0x21) ||
	    !all_bytes(p + SZ_64K + SZ_2M, SZ_64K, 0x21))
		return -EILSEQ;
	return munmap(p, 3 * SZ_2M);
}

static int fork_round(struct party *party)
{
	char *p = in_gpu(party);
	int status;
	pid_t pid;

	if (!p)
		return -ENOMEM;
	pid = fork();
	if (!pid) {
		if (!all_bytes(p, 3 * SZ_2M, 0x21))
			_exit(1);
		memset(p, 0x22, SZ_2M);
		_exit(!all_bytes(p, SZ_2M, 0x22));
	}
	memset(p + SZ_2M, 0x23, SZ_2M);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status ||
	    !all_bytes(p, SZ_2M, 0x21) || !all_bytes(p + SZ_2M, SZ_2M, 0x23))
		return -EILSEQ;
	return munmap(p, 3 * SZ_2M);
}

static int mremap_round(struct party *party)
{
	char *p = in_gpu(party), *q;
	int err;

	if (!p)
		return -ENOMEM;
	q = mremap(p + SZ_2M, SZ_2M, 2 * SZ_2M, MREMAP_MAYMOVE);
	if (q == MAP_FAILED)
		return -ENOMEM;
	err = all_bytes(q, SZ_2M, 0x21) && all_bytes(q + SZ_2M, SZ_2M, 0) &&
	      all_bytes(p, SZ_2M, 0x21) ? 0 : -EILSEQ;
	munmap(q, 2 * SZ_2M);
	munmap(p, 3 * SZ_2M);
	return err;
}

/* A process with a VM of its own comes and goes without a word. */
static int exit_round(struct party *party)
{
	struct drm_vsvm_vm_create vm = { .layout = DRM_VSVM_VM_LAYOUT_MSVM };
	struct vsvm_set *set = party->set;
	int status;
	pid_t pid = fork();

	if (!pid) {
		char *p = mmap(NULL, 3 * SZ_2M, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		struct drm_vsvm_migrate args = {
			.start = to_u64(p), .len = 3 * SZ_2M,
			.target = vram_index(set, 0) + 1,
		};

		memset(p, 0x31, 3 * SZ_2M);
		if (vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_VM_CREATE, &vm))
			_exit(1);
		args.vm_id = vm.vm_id;
		vsvm_ioctl(set->fd[0], DRM_IOCTL_VSVM_MIGRATE, &args);
		_exit(!all_bytes(p, SZ_2M, 0x31));
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid || status ? -EILSEQ : 0;
}

static int limit_round(struct party *party)
{
	static const int limits[] = { 2, 8, 1, 5, 0 };
	int gpu;

	for (gpu = 0; gpu < party->set->n; gpu++)
		gpu_debugfs_write(party->set->fd[gpu], "vram_limit_mib",
				  limits[party->rounds % 5]);
	return 0;
}

static int drop_round(struct party *party)
{
	int gpu;

	for (gpu = 0; gpu < party->set->n; gpu++)
		gpu_debugfs_write(party->set->fd[gpu], "drop_mappings", 1);
	return 0;
}

static void against_munmap(struct vsvm_set *set)
{
	evict_against(set, munmap_round, 10);
}

static void against_fork(struct vsvm_set *set)
{
	evict_against(set, fork_round, 5);
}

static void against_mremap(struct vsvm_set *set)
{
	evict_against(set, mremap_round, 10);
}

static void against_exit(struct vsvm_set *set)
{
	evict_against(set, exit_round, 5);
}

static void against_limit(struct vsvm_set *set)
{
	evict_against(set, limit_round, 10);
	limit_round(&(struct party) { .set = set, .rounds = 4 });
}

static void against_drop(struct vsvm_set *set)
{
	evict_against(set, drop_round, 20);
}

/* What does not fit goes to the others as long as they have room. */
static void to_peers(struct vsvm_set *set)
{
	igt_require_f(set->n > 1 && gpus_can_peer(),
		      "no GPU reaches another's memory\n");
	igt_assert(file_write(EVICT_TO, "peer"));
	evict_against(set, fork_round, 3);
	file_write(EVICT_TO, "system");
}

/*
 * What goes there is what is evicted, and not what is by now at the addresses that it
 * was at when it was moved to the GPU.
 */
static void to_peers_moved(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * SZ_2M, SZ_2M), *q = p + SZ_2M;
	char *other = anon_aligned(SIZE, SZ_2M);
	int i;

	igt_require_f(set->n > 1 && gpus_can_peer(),
		      "no GPU reaches another's memory\n");
	igt_assert(file_write(EVICT_TO, "peer"));
	fill(set, 0, p, 1, SZ_2M);
	vram_expect(set, p, SZ_2M, where_gpu(set, 0));
	igt_assert(mremap(p, SZ_2M, SZ_2M, MREMAP_MAYMOVE | MREMAP_FIXED,
			  q) == q);
	igt_assert(mmap(p, SZ_2M, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	memset(p, 2, SZ_2M);
	for (i = 0; i < 4; i++)
		fill(set, 0, other + i * SZ_2M, 3 + i, SZ_2M);
	file_write(EVICT_TO, "system");
	igt_assert_eq(vram_count(set, q, SZ_2M, where_gpu(set, 0)), 0);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	expect_bytes(p, SZ_2M, 2);
	expect_bytes(q, SZ_2M, 1);
	for (i = 0; i < 4; i++)
		expect_bytes(other + i * SZ_2M, SZ_2M, 3 + i);
	munmap(other, SIZE);
	munmap(p, 2 * SZ_2M);
	vram_expect_empty(set);
}

/* A process of its own that works in 3/2 of what all GPUs have. */
static void work(struct vsvm_set *set, int seed)
{
	size_t len = SIZE / 2 * 3;
	char *p = anon_aligned(set->n * len, SZ_2M);
	int gpu, round;

	for (gpu = 0; gpu < set->n; gpu++)
		set->vm[gpu] = vsvm_vm_create(set->fd[gpu],
					      DRM_VSVM_VM_LAYOUT_MSVM);
	for (round = 0; round < 2; round++) {
		for (gpu = 0; gpu < set->n; gpu++)
			fill(set, gpu, p + gpu * len, seed + round + gpu, len);
		for (gpu = 0; gpu < set->n; gpu++)
			expect_bytes(p + gpu * len, len, seed + round + gpu);
	}
}

static pid_t worker(struct vsvm_set *set, int seed)
{
	pid_t pid = fork();

	igt_assert(pid >= 0);
	if (!pid) {
		child_asserts_exit();
		work(set, seed);
		_exit(0);
	}
	return pid;
}

/* Several processes want all of it at once. */
static void processes(struct vsvm_set *set)
{
	pid_t pids[3];
	int i;

	for (i = 0; i < 3; i++)
		pids[i] = worker(set, 20 * i);
	for (i = 0; i < 3; i++)
		igt_assert_eq(wait_child(pids[i]), 0);
	vram_expect_empty(set);
}

/* In a memory cgroup: what devices have counts, and what does not fit is swapped. */
static void cgroup(struct vsvm_set *set, const char *max, bool survives)
{
	pid_t pid;
	int status;

	igt_require_f(memcg_make("igt-evict") && swap_start(),
		      "no memory cgroup, or no swap space\n");
	igt_assert(memcg_set("igt-evict", "memory.max", max));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		child_asserts_exit();
		igt_assert(memcg_enter("igt-evict"));
		set->n = 1;
		/* 12 MiB in the GPU and by it, and 48 for the CPU. */
		work(set, 7);
		memset(anon(48 * MIB), 1, 48 * MIB);
		work(set, 9);
		_exit(0);
	}
	status = wait_child(pid);
	memcg_remove("igt-evict");
	swap_stop();
	if (survives)
		igt_assert_eq(status, 0);
	vram_expect_empty(set);
}

static void cgroup_swaps(struct vsvm_set *set)
{
	cgroup(set, "50331648", true);
}

/* Less than a GPU's memory: whether it is killed or not, all goes on. */
static void cgroup_too_small(struct vsvm_set *set)
{
	cgroup(set, "6291456", false);
	fill(set, 0, anon(SZ_64K), 1, SZ_64K);
}

igt_main
{
	each_made("order", "the oldest goes first unless it is used", MSVM_ONLY,
		  VRAM, order);
	each_made("pieces", "small pieces for large ones and back", MSVM_ONLY,
		  VRAM, pieces);
	each_made("copy-fails", "copies fail", MSVM_ONLY, VRAM, copy_fails);
	each_made("copy-fails-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  copy_fails);
	each_made("munmap", "memory is unmapped meanwhile", MSVM_ONLY, VRAM,
		  against_munmap);
	each_made("mremap", "memory is moved to other addresses", MSVM_ONLY,
		  VRAM, against_mremap);
	each_made("fork", "children get copies meanwhile", MSVM_ONLY, VRAM,
		  against_fork);
	each_made("fork-iommu", "likewise, behind an IOMMU", MSVM_ONLY,
		  PEERS ATTR("dma=iommu"), against_fork);
	each_made("exit", "processes exit meanwhile", MSVM_ONLY, VRAM,
		  against_exit);
	each_made("limit", "the limit changes meanwhile", MSVM_ONLY, VRAM,
		  against_limit);
	each_made("drop", "mappings are dropped meanwhile", MSVM_ONLY, PEERS,
		  against_drop);
	each_made("to-peers", "to other GPUs that are full, too", MSVM_ONLY,
		  PEERS, to_peers);
	each_made("to-peers-moved", "to another GPU, after mremap()", MSVM_ONLY,
		  PEERS, to_peers_moved);
	each_made("processes", "several processes want it all", MSVM_ONLY, VRAM,
		  processes);
	each_made("processes-none", "likewise, without DMA addresses", MSVM_ONLY,
		  VRAM ATTR("dma=none"), processes);
	each_made("cgroup-swaps", "in a memory cgroup, with swap space",
		  MSVM_ONLY, VRAM, cgroup_swaps);
	each_made("cgroup-too-small", "smaller than the GPU's memory",
		  MSVM_ONLY, VRAM, cgroup_too_small);

	igt_fixture {
		file_write(EVICT_TO, "system");
	}
}
