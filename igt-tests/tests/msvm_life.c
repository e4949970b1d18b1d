// SPDX-License-Identifier: MIT
/*
 * Life and death with pages in GPUs' memory: GPUs are pulled out, processes fork,
 * exit and are killed, memory is taken away by all means. Data comes back, and in
 * the end no GPU has a byte of it left.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
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

/* The GPU that has the memory is pulled out: data is there, others go on. */
static void pull_out(struct vsvm_set *set)
{
	int last = set->n - 1;
	char *p = anon_aligned(SZ_2M, SZ_2M);
	uint64_t flag = 0;
	struct drm_vsvm_cmd cmd = vsvm_wait_value(&flag, 8, 1);

	pattern_fill(p, SZ_2M, 1);
	vsvm_gpu_write(set, last, p, SZ_2M, 2);
	vram_expect(set, p, SZ_2M, where_gpu(set, last));
	if (last)
		vsvm_gpu_check(set, 0, p, SZ_2M, 2);
	/* A job that would never end by itself. */
	vsvm_submit(set->fd[last], set->vm[last], 1, &cmd, 1);
	igt_assert(!gpu_pull(last));
	set->n--;
	pattern_check(p, SZ_2M, 2);
	if (set->n)
		mm_all_agree(set, p, SZ_2M, 2);
	set->n++;
	munmap(p, SZ_2M);
	close(set->fd[last]);
	set->n--;
}

/* Pulled out while jobs of all GPUs run in its memory. */
static void pull_out_busy(struct vsvm_set *set)
{
	int last = set->n - 1, gpu, i;
	char *p = anon_aligned(SZ_2M, SZ_2M);
	static struct drm_vsvm_cmd cmds[200];
	uint64_t jobs[VSVM_MAX_SET], sum = 0;

	memset(p, 0, SZ_2M);
	vram_migrate(set, p, SZ_2M, last);
	for (i = 0; i < 200; i++)
		cmds[i] = vsvm_add(p + i * SZ_4K, 8, 1, NULL);
	for (gpu = 0; gpu < set->n; gpu++)
		jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0, cmds, 200);
	igt_assert(!gpu_pull(last));
	for (gpu = 0; gpu < last; gpu++)
		igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
					jobs[gpu]).status, 0);
	for (i = 0; i < 200; i++)
		sum += *(uint64_t *)(p + i * SZ_4K);
	igt_assert(sum >= 200ULL * last && sum <= 200ULL * set->n);
	munmap(p, SZ_2M);
	close(set->fd[last]);
	set->n--;
}

/* A child has a copy of device pages; the parent writes; each sees its own. */
static void fork_copies(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int go[2], status;
	char byte;
	pid_t pid;

	pattern_fill(p, SZ_2M, 1);
	vsvm_gpu_write(set, 0, p, SZ_2M, 2);
	igt_assert(!pipe(go));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		child_asserts_exit();
		if (read(go[0], &byte, 1) != 1)
			_exit(2);
		pattern_check(p, SZ_2M, 2);
		_exit(0);
	}
	vsvm_gpu_write(set, set->n - 1, p, SZ_2M, 3);
	mm_all_check(set, p, SZ_2M, 3);
	igt_assert(write(go[1], "g", 1) == 1);
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	mm_all_agree(set, p, SZ_2M, 3);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/*
 * Only a forked child still has the pages, the process whose they were is gone, and
 * the GPU is pulled out.
 */
static void orphans(struct vsvm_set *set)
{
	int ready[2], go[2], done[2], status;
	char byte;
	pid_t pid;

	igt_assert(!pipe(ready) && !pipe(go) && !pipe(done));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		char *p = anon_aligned(SZ_2M, SZ_2M);
		struct vsvm_set own = { .n = 1 };
		struct drm_vsvm_cmd cmd = vsvm_fill(p, 0x66, SZ_2M);

		child_asserts_exit();
		own.fd[0] = set->fd[0];
		own.vm[0] = vsvm_vm_create(own.fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
		vsvm_run(&own, 0, &cmd, 1);
		vram_expect(&own, p, SZ_2M, where_gpu(&own, 0));
		if (!fork()) {
			size_t i;

			if (write(ready[1], "r", 1) != 1 ||
			    read(go[0], &byte, 1) != 1)
				_exit(2);
			byte = 'y';
			for (i = 0; i < SZ_2M; i++)
				if (p[i] != 0x66)
					byte = 'n';
			if (write(done[1], &byte, 1) != 1)
				_exit(2);
			_exit(0);
		}
		igt_assert(!vsvm_vm_destroy(own.fd[0], own.vm[0]));
		_exit(0);
	}
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	igt_assert(read(ready[0], &byte, 1) == 1);
	igt_assert(!gpu_pull(0));
	igt_assert(write(go[1], "g", 1) == 1);
	igt_assert(read(done[0], &byte, 1) == 1);
	igt_assert_eq(byte, 'y');
	while (set->n)
		close(set->fd[--set->n]);
}

/* Killed in the middle of whatever it does. */
static void killed(struct vsvm_set *set)
{
	int rounds = vsvm_scale(12, 4), i, status;

	for (i = 0; i < rounds; i++) {
		int ready[2];
		char byte;
		pid_t pid;

		igt_assert(!pipe(ready));
		pid = fork();
		igt_assert(pid >= 0);
		if (!pid) {
			char *p = anon_aligned(6 * SZ_2M, SZ_2M);
			struct drm_vsvm_cmd cmd;
			int gpu;

			child_asserts_exit();
			for (gpu = 0; gpu < set->n; gpu++)
				set->vm[gpu] = vsvm_vm_create
					(set->fd[gpu], DRM_VSVM_VM_LAYOUT_MSVM);
			if (write(ready[1], "r", 1) != 1)
				_exit(2);
			for (;;) {
				for (gpu = 0; gpu < set->n; gpu++) {
					cmd = vsvm_fill(p, gpu, 6 * SZ_2M);
					vsvm_run(set, gpu, &cmd, 1);
				}
				memset(p, 1, 6 * SZ_2M);
			}
		}
		igt_assert(read(ready[0], &byte, 1) == 1);
		/* Somewhere, a little later each time. */
		usleep(3000 * i);
		igt_assert(!kill(pid, SIGKILL));
		igt_assert(waitpid(pid, &status, 0) == pid);
		igt_assert(WIFSIGNALED(status));
		close(ready[0]);
		close(ready[1]);
	}
	vram_expect_empty(set);
}

/* Memory in a GPU is taken away, piece by piece and by each means. */
static void taken_away(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * SZ_2M, SZ_2M), *q;

	/* Part of a block goes, the rest is right. */
	pattern_fill(p, SZ_2M, 1);
	vram_migrate(set, p, SZ_2M, 0);
	igt_assert(!munmap(p + SZ_64K, SZ_64K));
	pattern_check(p, SZ_64K, 1);
	mm_all_fault(set, p + SZ_64K, -EFAULT);
	igt_assert(mmap(p + SZ_64K, SZ_64K, PROT_READ | PROT_WRITE, MAP_FIXED |
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == p + SZ_64K);
	mm_all_zero(set, p + SZ_64K, SZ_64K);

	/* It is dropped, and comes again as zeroes. */
	vram_migrate(set, p, SZ_2M, set->n - 1);
	igt_assert(!madvise(p, SZ_2M, MADV_DONTNEED));
	mm_all_zero(set, p, SZ_2M);

	/* It moves to another address. */
	pattern_fill(p, SZ_2M, 4);
	vram_migrate(set, p, SZ_2M, 0);
	q = mremap(p, SZ_2M, SZ_2M, MREMAP_MAYMOVE | MREMAP_FIXED, p + SZ_2M);
	igt_assert(q == p + SZ_2M);
	mm_all_check(set, q, SZ_2M, 4);
	pattern_check(q, SZ_2M, 4);

	/* It may be read only, then nothing. */
	vram_migrate(set, q, SZ_2M, 0);
	igt_assert(!mprotect(q, SZ_2M, PROT_READ));
	mm_all_check(set, q, SZ_2M, 4);
	vsvm_expect_fault(set, 0, vsvm_store(q, 8, 1), -EACCES, q,
			  DRM_VSVM_ACCESS_WRITE);
	igt_assert(!mprotect(q, SZ_2M, PROT_NONE));
	mm_all_fault(set, q, -EACCES);
	igt_assert(!mprotect(q, SZ_2M, PROT_READ | PROT_WRITE));
	mm_all_agree(set, q, SZ_2M, 4);
	munmap(q, SZ_2M);
	vram_expect_empty(set);
}

/* Device pages and system pages in one range, then those of two devices. */
static void mixed(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int gpu;

	pattern_fill(p, SZ_2M, 1);
	for (gpu = 0; gpu < set->n; gpu++) {
		vram_migrate(set, p + gpu * SZ_64K, SZ_64K, gpu);
		mm_all_check(set, p, SZ_2M, 1);
		vsvm_gpu_write(set, gpu, p, SZ_2M, 2 + gpu);
		mm_all_check(set, p, SZ_2M, 2 + gpu);
		pattern_fill(p, SZ_2M, 1);
	}
	vsvm_placement("system");
	for (gpu = 0; gpu < set->n; gpu++) {
		vram_migrate(set, p + gpu * SZ_64K, SZ_64K, gpu);
		mm_all_agree(set, p, SZ_2M, 1);
	}
	vsvm_placement("first-touch");
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

/* All GPUs count in one GPU's memory; each count counts. */
static void peers_count(struct vsvm_set *set)
{
	uint64_t jobs[VSVM_MAX_SET], *p = anon_aligned(SZ_2M, SZ_2M);
	static struct drm_vsvm_cmd cmds[100];
	int gpu, i;

	igt_require_f(gpus_can_peer(), "no GPU reaches another's memory\n");
	memset(p, 0, SZ_2M);
	vram_migrate(set, p, SZ_2M, 0);
	for (i = 0; i < 100; i++)
		cmds[i] = vsvm_add(p, 8, 1, NULL);
	for (gpu = 0; gpu < set->n; gpu++)
		jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0, cmds, 100);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
					jobs[gpu]).status, 0);
	vram_expect(set, p, SZ_2M, where_gpu(set, 0));
	igt_assert_eq_u64(p[0], 100 * set->n);
	munmap(p, SZ_2M);
	vram_expect_empty(set);
}

igt_main
{
	each_made("pull-out", "the GPU with the memory is pulled out", MSVM_ONLY,
		  VRAM, pull_out);
	each_made("pull-out-peers", "others have it mapped", MSVM_ONLY, PEERS,
		  pull_out);
	each_made("pull-out-busy", "with jobs running", MSVM_ONLY, PEERS,
		  pull_out_busy);
	each_made("fork-copies", "a child has copies", MSVM_ONLY, VRAM,
		  fork_copies);
	each_made("fork-copies-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  fork_copies);
	each_made("orphans", "only a child has the pages", MSVM_ONLY, VRAM,
		  orphans);
	each_made("killed", "processes are killed", MSVM_ONLY, VRAM, killed);
	each_made("killed-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  killed);
	each_made("taken-away", "memory is taken away", MSVM_ONLY, VRAM,
		  taken_away);
	each_made("taken-away-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  taken_away);
	each_made("mixed", "several kinds of pages in one range", MSVM_ONLY, VRAM,
		  mixed);
	each_made("mixed-peers", "likewise, with peers", MSVM_ONLY, PEERS, mixed);
	each_made("peers-count", "atomics in another GPU's memory", MSVM_ONLY,
		  PEERS, peers_count);
}
