// SPDX-License-Identifier: MIT
/*
 * Ranges whose pages are here and there: some in system memory, some in several
 * GPUs' memory, read by one GPU and written by another, in every combination.
 * What a job sees is what it would see in plain system memory.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")

/* One owns the page, one reads it, one writes it. */
static void combinations(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int owner, reader, writer;

	madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	for (owner = 0; owner < set->n; owner++)
		for (writer = 0; writer < set->n; writer++) {
			char *page = p + (owner * set->n + writer) * SZ_4K;

			reader = (owner + writer + 1) % set->n;
			pattern_fill(page, SZ_4K, owner);
			vram_migrate(set, page, SZ_4K, owner);
			vsvm_gpu_check(set, reader, page, SZ_4K, owner);
			vsvm_gpu_write(set, writer, page, SZ_4K, 50 + writer);
			vsvm_gpu_check(set, reader, page, SZ_4K, 50 + writer);
			vsvm_gpu_check(set, owner, page, SZ_4K, 50 + writer);
			pattern_check(page, SZ_4K, 50 + writer);
		}
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* Every page is somewhere else than the one before. */
static void stripes_of(struct vsvm_set *set, size_t size, const char *placement)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	size_t i;

	vsvm_placement(placement);
	madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	pattern_fill(p, SZ_2M, 1);
	for (i = 0; i < SZ_2M / size; i++) {
		int to = i % (set->n + 1);

		if (to < set->n)
			vram_migrate(set, p + i * size, size, to);
	}
	igt_assert(vram_count(set, p, SZ_2M, where_gpu(set, 0)) > 0);
	mm_all_agree(set, p, SZ_2M, 1);
	vsvm_placement("first-touch");
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

static void stripes_64k(struct vsvm_set *set)
{
	stripes_of(set, SZ_64K, "first-touch");
}

static void stripes_stay(struct vsvm_set *set)
{
	stripes_of(set, SZ_64K, "system");
}

static void stripes_follow(struct vsvm_set *set)
{
	stripes_of(set, 4 * SZ_64K, "follow-fault");
}

/* Pages of a device, of the system, and none at all, in one range. */
static void sparse(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	uint64_t sum = 0;
	struct drm_vsvm_cmd cmd;
	int gpu;

	vsvm_placement("system");
	madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	memset(p, 1, SZ_64K);
	memset(p + 4 * SZ_64K, 2, SZ_64K);
	vram_migrate(set, p, SZ_64K, set->n - 1);
	for (gpu = 0; gpu < set->n; gpu++) {
		sum = 0;
		cmd = vsvm_sum(&sum, p, SZ_2M);
		vsvm_run(set, gpu, &cmd, 1);
		igt_assert_eq_u64(sum, 3 * SZ_64K);
	}
	igt_assert_eq_u64(vsvm_gpu_load(set, 0, p + 8 * SZ_64K), 0);
	vsvm_placement("first-touch");
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* Read by one, then by all, then written by each: mappings become writable. */
static void upgrade(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int owner, writer;

	for (owner = 0; owner < set->n; owner++) {
		pattern_fill(p, SZ_2M, owner);
		vram_migrate(set, p, SZ_2M, owner);
		igt_assert(!mprotect(p, SZ_2M, PROT_READ));
		mm_all_check(set, p, SZ_2M, owner);
		vsvm_expect_fault(set, owner, vsvm_store(p + 64, 8, 1), -EACCES,
				  p + 64, DRM_VSVM_ACCESS_WRITE);
		igt_assert(!mprotect(p, SZ_2M, PROT_READ | PROT_WRITE));
		writer = (owner + 1) % set->n;
		vsvm_gpu_write(set, writer, p, SZ_2M, 60 + owner);
		mm_all_check(set, p, SZ_2M, 60 + owner);
	}
	pattern_check(p, SZ_2M, 60 + owner - 1);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* Every GPU adds to a counter in every GPU's memory, with and without comparing. */
static void counters(struct vsvm_set *set)
{
	static struct drm_vsvm_cmd cmds[32 * VSVM_MAX_SET];
	char *p = anon_aligned(set->n * SZ_2M, SZ_2M);
	uint64_t jobs[VSVM_MAX_SET];
	int gpu, i, n = 0;

	memset(p, 0, set->n * SZ_2M);
	for (gpu = 0; gpu < set->n; gpu++)
		vram_migrate(set, p + gpu * SZ_2M, SZ_2M, gpu);
	for (i = 0; i < 32; i++)
		for (gpu = 0; gpu < set->n; gpu++)
			cmds[n++] = vsvm_add(p + gpu * SZ_2M, 4 << (i % 2), 1,
					     NULL);
	for (gpu = 0; gpu < set->n; gpu++)
		jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0, cmds, n);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
					jobs[gpu]).status, 0);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq_u64(*(uint64_t *)(p + gpu * SZ_2M), 32 * set->n);
	munmap(p, set->n * SZ_2M);
	vram_expect_empty(set);
}

/* A line of GPUs: each copies from the memory of the one before to its own. */
static void relay(struct vsvm_set *set)
{
	char *p = anon_aligned((set->n + 1) * SZ_2M, SZ_2M);
	int gpu;

	pattern_fill(p, SZ_2M, 5);
	vram_migrate(set, p, SZ_2M, set->n - 1);
	for (gpu = 0; gpu < set->n; gpu++) {
		struct drm_vsvm_cmd cmd = vsvm_copy(p + (gpu + 1) * SZ_2M,
						    p + gpu * SZ_2M, SZ_2M);

		vsvm_run(set, gpu, &cmd, 1);
		vram_expect(set, p + (gpu + 1) * SZ_2M, SZ_2M,
			    where_gpu(set, gpu));
	}
	mm_all_check(set, p + set->n * SZ_2M, SZ_2M, 5);
	pattern_check(p + set->n * SZ_2M, SZ_2M, 5);
	munmap(p, (set->n + 1) * SZ_2M);
	vram_expect_empty(set);
}

/* Memory in reach can't be mapped after all: it goes to system memory, and all work. */
static void peer_map_fails(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int gpu;

	igt_require_f(gpus_can_peer() && set->n > 1,
		      "no GPU reaches another's memory\n");
	for (gpu = 1; gpu < set->n; gpu++) {
		pattern_fill(p, SZ_2M, gpu);
		vram_migrate(set, p, SZ_2M, 0);
		gpu_debugfs_write(set->fd[0], "fail_peer_map", 1000);
		vsvm_gpu_check(set, gpu, p, SZ_2M, gpu);
		vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
		vsvm_gpu_write(set, gpu, p, SZ_2M, 20 + gpu);
		gpu_debugfs_write(set->fd[0], "fail_peer_map", 0);
		mm_all_agree(set, p, SZ_2M, 20 + gpu);
	}
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* What a child does with its copy; the parent's must not change. */
static void child_of(struct vsvm_set *set, char *p, uint64_t seed)
{
	int gpu;

	child_asserts_exit();
	pattern_check(p, SZ_64K, seed);
	for (gpu = 0; gpu < set->n; gpu++)
		set->vm[gpu] = vsvm_vm_create(set->fd[gpu],
					      DRM_VSVM_VM_LAYOUT_MSVM);
	mm_all_check(set, p, SZ_2M, seed);
	vsvm_gpu_write(set, 0, p, SZ_2M, 900);
	mm_all_agree(set, p, SZ_64K, 900);
	_exit(0);
}

/* Both have the same device pages, both write them by GPU: each has its own. */
static void fork_both(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int round;
	pid_t pid;

	for (round = 0; round < 3; round++) {
		pattern_fill(p, SZ_2M, 7);
		vram_migrate(set, p, SZ_2M, round % set->n);
		mm_all_check(set, p, SZ_2M, 7);
		pid = fork();
		igt_assert(pid >= 0);
		if (!pid)
			child_of(set, p, 7);
		/* Before, while, or after the child does. */
		if (round == 1)
			igt_assert_eq(wait_child(pid), 0);
		vsvm_gpu_check(set, set->n - 1, p, SZ_2M, 7);
		if (round == 2)
			vsvm_gpu_write(set, set->n - 1, p, SZ_64K, 7);
		if (round != 1)
			igt_assert_eq(wait_child(pid), 0);
		mm_all_check(set, p, SZ_64K, 7);
		mm_all_agree(set, p, SZ_64K, 7);
	}
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* The copy may not be moved on to a device as if it were the process's alone. */
static void fork_moves(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int go[2], status;
	char byte;
	pid_t pid;

	pattern_fill(p, SZ_2M, 8);
	igt_assert(!pipe(go));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		child_asserts_exit();
		if (read(go[0], &byte, 1) != 1)
			_exit(2);
		pattern_check(p, SZ_2M, 8);
		memset(p, 0, SZ_2M);
		_exit(0);
	}
	/* Pages that two processes have may move or stay. */
	vram_try_migrate(set, 0, p, SZ_2M, 0);
	mm_all_check(set, p, SZ_2M, 8);
	vsvm_gpu_write(set, 0, p, SZ_2M, 9);
	mm_all_check(set, p, SZ_2M, 9);
	igt_assert(write(go[1], "g", 1) == 1);
	status = wait_child(pid);
	igt_assert_eq(status, 0);
	mm_all_agree(set, p, SZ_2M, 9);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* vfork() and exec() while pages are in GPUs. */
static void exec(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int status;
	pid_t pid;

	pattern_fill(p, SZ_2M, 3);
	vram_migrate(set, p, SZ_2M, set->n - 1);
	pid = vfork();
	igt_assert(pid >= 0);
	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(99);
	}
	status = wait_child(pid);
	igt_assert_eq(status, 0);
	vram_expect(set, p, SZ_2M, where_gpu(set, set->n - 1));
	mm_all_agree(set, p, SZ_2M, 3);
	munmap(p, SZ_2M);
	vram_expect_empty(set);

	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		struct vsvm_set own = { .n = 1 };

		child_asserts_exit();
		p = anon_aligned(SZ_2M, SZ_2M);
		memset(p, 1, SZ_2M);
		/* exec() closes the file, and with it the VM. */
		own.fd[0] = set->fd[0];
		own.vm[0] = vsvm_vm_create(own.fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
		vram_migrate(&own, p, SZ_2M, 0);
		execl("/bin/true", "true", NULL);
		_exit(99);
	}
	status = wait_child(pid);
	igt_assert_eq(status, 0);
	vram_expect_empty(set);
}

igt_main
{
	each_made("combinations", "owner, reader and writer", MSVM_ONLY, VRAM,
		  combinations);
	each_made("combinations-peers", "likewise, with peers", MSVM_ONLY,
		  PEERS, combinations);
	each_made("combinations-iommu", "likewise, behind an IOMMU", MSVM_ONLY,
		  PEERS ATTR("dma=iommu"), combinations);
	each_made("combinations-none", "likewise, without DMA addresses",
		  MSVM_ONLY, PEERS ATTR("dma=none"), combinations);
	each_made("stripes", "pages of all GPUs and of the system in a range",
		  MSVM_ONLY, VRAM, stripes_64k);
	each_made("stripes-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  stripes_64k);
	each_made("stripes-stay", "likewise, nothing is moved here", MSVM_ONLY,
		  PEERS, stripes_stay);
	each_made("stripes-stay-iommu", "likewise, behind an IOMMU", MSVM_ONLY,
		  VRAM ATTR("dma=iommu"), stripes_stay);
	each_made("stripes-follow", "they follow the faults", MSVM_ONLY, VRAM,
		  stripes_follow);
	each_made("sparse", "pages that are not there as well", MSVM_ONLY, VRAM,
		  sparse);
	each_made("sparse-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  sparse);
	each_made("upgrade", "read by all, then written", MSVM_ONLY, VRAM,
		  upgrade);
	each_made("upgrade-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  upgrade);
	each_made("counters", "atomics in each GPU's memory", MSVM_ONLY, VRAM,
		  counters);
	each_made("counters-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  counters);
	each_made("relay", "from one GPU's memory to the next's", MSVM_ONLY,
		  VRAM, relay);
	each_made("relay-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  relay);
	each_made("peer-map-fails", "memory in reach can't be mapped",
		  MSVM_ONLY, PEERS, peer_map_fails);
	each_made("fork-both", "parent and child write by GPU", MSVM_ONLY, VRAM,
		  fork_both);
	each_made("fork-both-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  fork_both);
	each_made("fork-moves", "pages that a child has as well", MSVM_ONLY,
		  VRAM, fork_moves);
	each_made("exec", "vfork() and exec()", MSVM_ONLY, VRAM, exec);

	igt_fixture {
		vsvm_placement("first-touch");
	}
}
