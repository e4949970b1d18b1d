// SPDX-License-Identifier: MIT
/*
 * More memory than GPUs have, and memory that several want at once: working sets
 * larger than all GPUs' memory, and pages that are passed back and forth. Data is right
 * and everybody gets on.
 */
#include <pthread.h>
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

#define VRAM	ATTR("vram_mib=4")
#define PEERS	VRAM ATTR("peer_group=1")
#define MIB	(1UL << 20)

/* Each GPU fills its share of a working set, then adds up another one's. */
static void oversubscribe(struct vsvm_set *set, int factor)
{
	size_t share = factor * 4 * MIB, len = set->n * share;
	char *p = anon_aligned(len, SZ_2M);
	struct drm_vsvm_cmd cmd;
	uint64_t jobs[VSVM_MAX_SET];
	static uint64_t sums[VSVM_MAX_SET];
	int round, gpu;

	for (round = 0; round < 2; round++) {
		for (gpu = 0; gpu < set->n; gpu++) {
			cmd = vsvm_fill(p + gpu * share, 1 + round + gpu, share);
			jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0,
						&cmd, 1);
		}
		for (gpu = 0; gpu < set->n; gpu++)
			igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
						jobs[gpu]).status, 0);
		for (gpu = 0; gpu < set->n; gpu++) {
			int from = (gpu + 1) % set->n;

			sums[gpu] = 0;
			cmd = vsvm_sum(&sums[gpu], p + from * share, share);
			jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0,
						&cmd, 1);
		}
		for (gpu = 0; gpu < set->n; gpu++) {
			int from = (gpu + 1) % set->n;

			igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
						jobs[gpu]).status, 0);
			igt_assert_eq_u64(sums[gpu], share * (1 + round + from));
		}
	}
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert(vram_info(set, gpu).used <= 4 * MIB);
	igt_assert(vram_info(set, 0).evictions > 0);
	munmap(p, len);
	vram_expect_empty(set);
}

static void twice(struct vsvm_set *set)
{
	oversubscribe(set, 2);
}

static void four_times(struct vsvm_set *set)
{
	oversubscribe(set, 4);
}

/* What is used again and again outlives what is used once. */
static void second_chance(struct vsvm_set *set)
{
	char *hot = anon_aligned(SZ_2M, SZ_2M), *cold = anon_aligned(8 * MIB, SZ_2M);
	struct drm_vsvm_cmd cmd = vsvm_fill(hot, 1, SZ_2M);
	uint64_t chances = vram_info(set, 0).second_chances;
	int i;

	vsvm_run(set, 0, &cmd, 1);
	for (i = 0; i < 4; i++) {
		/* Each use maps it anew, which is what shows that it is used. */
		gpu_debugfs_write(set->fd[0], "drop_mappings", 1);
		cmd = vsvm_store(hot, 8, i);
		vsvm_run(set, 0, &cmd, 1);
		cmd = vsvm_fill(cold + i * SZ_2M, 2, SZ_2M);
		vsvm_run(set, 0, &cmd, 1);
	}
	vram_expect(set, hot, SZ_2M, where_gpu(set, 0));
	vram_expect(set, cold, SZ_2M, WHERE_SYSTEM);
	igt_assert(vram_info(set, 0).second_chances > chances);
	munmap(hot, SZ_2M);
	munmap(cold, 8 * MIB);
}

/* So it does if it stays mapped all the while and no fault tells that it is used. */
static void second_chance_mapped(struct vsvm_set *set)
{
	enum { STREAM = 8 };
	char *hot = anon_aligned(SZ_2M, SZ_2M);
	char *cold = anon_aligned(STREAM * SZ_2M, SZ_2M);
	struct drm_vsvm_cmd cmds[2] = { vsvm_fill(hot, 1, SZ_2M) };
	uint64_t moved;
	int i;

	vsvm_run(set, 0, cmds, 1);
	moved = vram_info(set, 0).moved_in;
	for (i = 0; i < STREAM; i++) {
		cmds[0] = vsvm_add(hot, 8, 1, NULL);
		cmds[1] = vsvm_fill(cold + i * SZ_2M, 2, SZ_2M);
		vsvm_run(set, 0, cmds, 2);
		vram_expect(set, hot, SZ_2M, where_gpu(set, 0));
	}
	igt_assert_eq_u64(vram_info(set, 0).moved_in - moved, STREAM * SZ_2M);
	igt_assert_eq_u64(*(uint64_t *)hot, 0x0101010101010101 + STREAM);
	munmap(hot, SZ_2M);
	munmap(cold, STREAM * SZ_2M);
}

/* Another process's memory makes room, and its data is right all the same. */
static void other_process(struct vsvm_set *set)
{
	char *p = anon_aligned(4 * MIB, SZ_2M);
	struct drm_vsvm_cmd cmd;
	int ready[2], go[2], status;
	char byte;
	pid_t pid;

	igt_assert(!pipe(ready) && !pipe(go));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		struct vsvm_set own = {};
		char *q = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		size_t i;

		own.n = 1;
		own.fd[0] = set->fd[0];
		own.vm[0] = vsvm_vm_create(own.fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
		cmd = vsvm_fill(q, 0x33, 4 * MIB);
		vsvm_run(&own, 0, &cmd, 1);
		if (write(ready[1], "r", 1) != 1 || read(go[0], &byte, 1) != 1)
			_exit(2);
		for (i = 0; i < 4 * MIB; i++)
			if (q[i] != 0x33)
				_exit(1);
		_exit(0);
	}
	igt_assert(read(ready[0], &byte, 1) == 1);
	cmd = vsvm_fill(p, 0x44, 4 * MIB);
	vsvm_run(set, 0, &cmd, 1);
	igt_assert(vram_count(set, p, 4 * MIB, where_gpu(set, 0)) >= 512);
	igt_assert(write(go[1], "g", 1) == 1);
	igt_assert(waitpid(pid, &status, 0) == pid);
	igt_assert_eq(status, 0);
	munmap(p, 4 * MIB);
}

/* A process that does nothing but displace its own memory from the first GPU. */
static pid_t storm_pid;

static void storm_start(struct vsvm_set *set, volatile uint64_t *rounds)
{
	struct vsvm_set own = { .n = 1, .fd = { set->fd[0] } };
	struct drm_vsvm_cmd cmd;
	char *p;

	storm_pid = fork();
	igt_assert(storm_pid >= 0);
	if (storm_pid)
		return;
	child_asserts_exit();
	own.vm[0] = vsvm_vm_create(own.fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
	p = anon_aligned(8 * MIB, SZ_2M);
	for (;;) {
		cmd = vsvm_fill(p, 1 + *rounds % 50, 8 * MIB);
		vsvm_run(&own, 0, &cmd, 1);
		++*rounds;
	}
}

static void storm_stop(void)
{
	if (storm_pid > 0) {
		kill(storm_pid, SIGKILL);
		waitpid(storm_pid, NULL, 0);
	}
	storm_pid = 0;
}

static void storm_gets_on(volatile uint64_t *rounds, uint64_t by)
{
	uint64_t until = *rounds + by;
	int64_t deadline = vsvm_deadline(60);

	while (*rounds < until) {
		igt_assert_f(vsvm_now() < deadline, "%llu rounds\n",
			     (unsigned long long)*rounds);
		usleep(1000);
	}
}

/*
 * While one process's eviction does not get on, as a GPU does not answer, another's
 * faults on that GPU do, and so do its moves to another one.
 */
static void storm_beside(struct vsvm_set *set)
{
	enum { FAULTS = 8 };
	volatile uint64_t *rounds = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *shared = mmap(NULL, FAULTS * SZ_2M, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *own = anon_aligned(SZ_2M, SZ_2M);
	uint64_t faults = vsvm_stats(set->fd[0], set->vm[0]).faults;
	int64_t deadline = vsvm_deadline(60);
	struct drm_vsvm_cmd cmd;
	int i;

	igt_assert(rounds != MAP_FAILED && shared != MAP_FAILED);
	storm_start(set, rounds);
	storm_gets_on(rounds, 1);
	gpu_debugfs_write(set->fd[0], "hold_flush", 1);
	while (!gpu_counter(set->fd[0], "held"))
		igt_assert_f(vsvm_now() < deadline, "no eviction is held\n");
	for (i = 0; i < FAULTS; i++) {
		uint64_t job;

		/* The first engine has the other's job. */
		cmd = vsvm_store(shared + i * SZ_2M, 8, 1 + i);
		job = vsvm_submit(set->fd[0], set->vm[0], 1, &cmd, 1);
		igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], job).status, 0);
	}
	if (set->n > 1) {
		cmd = vsvm_fill(own, 7, SZ_2M);
		vsvm_run(set, 1, &cmd, 1);
	}
	igt_assert(gpu_counter(set->fd[0], "held") > 0);
	gpu_debugfs_write(set->fd[0], "hold_flush", 0);
	igt_assert(vsvm_stats(set->fd[0], set->vm[0]).faults - faults >= FAULTS);
	for (i = 0; i < FAULTS; i++)
		igt_assert_eq_u64(*(uint64_t *)(shared + i * SZ_2M), 1 + i);
	if (set->n > 1)
		vram_expect(set, own, SZ_2M, where_gpu(set, 1));
	/* It was not cut off. */
	storm_gets_on(rounds, 2);
	storm_stop();
	munmap(own, SZ_2M);
	munmap(shared, FAULTS * SZ_2M);
	munmap((void *)rounds, SZ_4K);
	vram_expect_empty(set);
}

/* Parties of a race for one piece of memory. */
static struct {
	volatile uint64_t *counter;
	uint64_t rounds;
	volatile uint64_t done[2];
} cpu;

static void *cpu_party(void *data)
{
	unsigned long me = (unsigned long)data;
	uint64_t i;

	for (i = 0; i < cpu.rounds; i++) {
		__atomic_fetch_add(cpu.counter, 1, __ATOMIC_SEQ_CST);
		cpu.done[me] = i + 1;
	}
	return NULL;
}

/* All GPUs and two CPU threads add to one counter; each must get its rounds done. */
static void ping_pong(struct vsvm_set *set, size_t len, const char *placement)
{
	uint64_t jobs[VSVM_MAX_SET], rounds = vsvm_scale(200, 60);
	char *p = anon_aligned(len < SZ_2M ? SZ_2M : len, SZ_2M);
	static struct drm_vsvm_cmd cmds[256];
	pthread_t threads[2];
	unsigned long t;
	uint64_t i;
	int gpu;

	igt_assert(vsvm_placement(placement));
	if (len < SZ_2M)
		madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	memset(p, 0, len);
	cpu.counter = (volatile uint64_t *)p;
	cpu.rounds = rounds;
	for (gpu = 0; gpu < set->n; gpu++) {
		for (i = 0; i < rounds; i++)
			cmds[i] = vsvm_add(p, 8, 1, NULL);
		jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0, cmds,
					rounds);
	}
	for (t = 0; t < 2; t++)
		igt_assert(!pthread_create(&threads[t], NULL, cpu_party,
					   (void *)t));
	for (t = 0; t < 2; t++)
		join_thread(threads[t]);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
					jobs[gpu]).status, 0);
	igt_assert_eq_u64(*cpu.counter, (set->n + 2) * rounds);
	vsvm_placement("first-touch");
	munmap(p, len < SZ_2M ? SZ_2M : len);
}

static void ping_pong_page(struct vsvm_set *set)
{
	ping_pong(set, SZ_4K, "first-touch");
}

static void ping_pong_2m(struct vsvm_set *set)
{
	ping_pong(set, SZ_2M, "first-touch");
}

static void ping_pong_page_follow(struct vsvm_set *set)
{
	ping_pong(set, SZ_4K, "follow-fault");
}

static void ping_pong_2m_follow(struct vsvm_set *set)
{
	ping_pong(set, SZ_2M, "follow-fault");
}

static void ping_pong_system(struct vsvm_set *set)
{
	ping_pong(set, SZ_2M, "system");
}

igt_main
{
	each_made("twice", "a working set twice as large as all memory",
		  MSVM_ONLY, VRAM, twice);
	each_made("four-times", "four times", MSVM_ONLY, VRAM, four_times);
	each_made("twice-peers", "likewise, with peers", MSVM_ONLY, PEERS, twice);
	each_made("second-chance", "what is used stays", MSVM_ONLY, VRAM,
		  second_chance);
	each_made("second-chance-mapped", "likewise, without new mappings",
		  MSVM_ONLY, VRAM, second_chance_mapped);
	each_made("other-process", "another process's memory makes room",
		  MSVM_ONLY, VRAM, other_process);
	each_made("storm-beside", "one process's eviction, another's faults",
		  MSVM_ONLY, VRAM, storm_beside);
	each_made("ping-pong-page", "all want one page", MSVM_ONLY, VRAM,
		  ping_pong_page);
	each_made("ping-pong-2m", "all want 2 MiB", MSVM_ONLY, VRAM,
		  ping_pong_2m);
	each_made("ping-pong-page-follow", "memory follows the faults", MSVM_ONLY,
		  VRAM, ping_pong_page_follow);
	each_made("ping-pong-2m-follow", "2 MiB follow the faults", MSVM_ONLY,
		  VRAM, ping_pong_2m_follow);
	each_made("ping-pong-2m-peers", "with peers", MSVM_ONLY, PEERS,
		  ping_pong_2m_follow);
	each_made("ping-pong-system", "in system memory", MSVM_ONLY, VRAM,
		  ping_pong_system);

	igt_fixture {
		storm_stop();
	}
}
