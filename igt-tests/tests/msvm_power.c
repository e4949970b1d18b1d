// SPDX-License-Identifier: MIT
/*
 * GPUs whose memory forgets: they sleep when nobody uses them and with the system,
 * and are reset. All pages must have been brought back before. And memory that is
 * given back for less: a lowered limit, eviction to another GPU.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/vram.h"

#define LEN	SZ_2M
#define VRAM	ATTR("vram_mib=8")
#define SLOW	VRAM ATTR("fault_us=50000")
#define TRACING	"/sys/kernel/tracing/"
#define PEERS	VRAM ATTR("peer_group=1")
#define EVICT_TO "/sys/kernel/config/drm_msvm/default/evict_to"

/* A counter of a GPU becomes at least this, soon. */
static void counter_reaches(int fd, const char *name, uint64_t value)
{
	int64_t deadline = vsvm_deadline(20);

	while (gpu_counter(fd, name) < value) {
		igt_assert_f(vsvm_now() < deadline, "%s stays %llu\n", name,
			     (unsigned long long)gpu_counter(fd, name));
		usleep(2000);
	}
}

/* GPUs without hardware have no power to lose, but are emptied all the same. */
static void gpu_sleeps(struct vsvm_set *set, int gpu, uint64_t before)
{
	if (gpu_counter(set->fd[gpu], "has_pm"))
		counter_reaches(set->fd[gpu], "suspends", before + 1);
	else
		vram_expect_empty(set);
}

/* The last VM goes: what it left in the GPU comes back, and the GPU sleeps. */
static void idle(struct vsvm_set *set)
{
	uint64_t before[VSVM_MAX_SET];
	char *p = anon_aligned(LEN, SZ_2M);
	int gpu;

	pattern_fill(p, LEN, 1);
	vsvm_gpu_write(set, 0, p, LEN, 2);
	vram_expect(set, p, LEN, where_gpu(set, 0));
	for (gpu = 0; gpu < set->n; gpu++) {
		before[gpu] = gpu_counter(set->fd[gpu], "suspends");
		igt_assert(!vsvm_vm_destroy(set->fd[gpu], set->vm[gpu]));
	}
	for (gpu = 0; gpu < set->n; gpu++)
		gpu_sleeps(set, gpu, before[gpu]);
	igt_assert_eq_u64(vram_info(set, 0).used, 0);
	pattern_check(p, LEN, 2);

	/* And it wakes up again. */
	for (gpu = 0; gpu < set->n; gpu++) {
		before[gpu] = gpu_counter(set->fd[gpu], "resumes");
		set->vm[gpu] = vsvm_vm_create(set->fd[gpu],
					      DRM_VSVM_VM_LAYOUT_MSVM);
		if (gpu_counter(set->fd[gpu], "has_pm"))
			counter_reaches(set->fd[gpu], "resumes",
					before[gpu] + 1);
	}
	mm_all_agree(set, p, LEN, 2);
	munmap(p, LEN);
}

/* While another process has pages there, a GPU without VMs must not sleep yet. */
static void pages_keep_awake(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t before;
	int64_t until;

	pattern_fill(p, LEN, 1);
	vsvm_gpu_write(set, 0, p, LEN, 2);
	before = gpu_counter(set->fd[0], "suspends");
	/* Copies fail, so the pages can't be brought back. */
	gpu_debugfs_write(set->fd[0], "fail_copy", 1);
	igt_assert(!vsvm_vm_destroy(set->fd[0], set->vm[0]));
	until = vsvm_deadline(1);
	while (vsvm_now() < until && vram_info(set, 0).used) {
		igt_assert_eq_u64(gpu_counter(set->fd[0], "suspends"), before);
		usleep(1000);
	}
	gpu_sleeps(set, 0, before);
	pattern_check(p, LEN, 2);
	set->vm[0] = vsvm_vm_create(set->fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
	munmap(p, LEN);
}

/* The system sleeps, as far as its devices, and comes back. */
static void system_sleep(struct vsvm_set *set)
{
	uint64_t moved = vram_info(set, 0).moved_out;
	char *p = anon_aligned(LEN, SZ_2M);
	int gpu;

	/* Not further than needed: with its devices the guest's console sleeps. */
	igt_require_f(file_write("/sys/power/pm_test", "freezer"),
		      "no test mode of system sleep\n");
	pattern_fill(p, LEN, 1);
	for (gpu = 0; gpu < set->n; gpu++) {
		size_t part = LEN / set->n;

		vsvm_gpu_write(set, gpu, p + gpu * part, part, 10 + gpu);
	}
	igt_assert(file_write("/sys/power/state", "freeze"));
	file_write("/sys/power/pm_test", "none");
	for (gpu = 0; gpu < set->n; gpu++) {
		size_t part = LEN / set->n;

		igt_assert_eq_u64(vram_info(set, gpu).used, 0);
		vram_expect(set, p + gpu * part, part, WHERE_SYSTEM);
		pattern_check(p + gpu * part, part, 10 + gpu);
	}
	igt_assert(vram_info(set, 0).moved_out > moved);
	pattern_fill(p, LEN, 3);
	mm_all_agree(set, p, LEN, 3);
	munmap(p, LEN);
}

/* Memory of all GPUs in which what is evicted may go to another one. */
static char *fill_all_for_peers(struct vsvm_set *set)
{
	char *p = anon_aligned(set->n * LEN, SZ_2M);
	int gpu;

	igt_require_f(set->n > 1 && gpus_can_peer(),
		      "no GPU reaches another's memory\n");
	igt_assert(file_write(EVICT_TO, "peer"));
	for (gpu = 0; gpu < set->n; gpu++) {
		vsvm_gpu_write(set, gpu, p + gpu * LEN, LEN, 10 + gpu);
		vram_expect(set, p + gpu * LEN, LEN, where_gpu(set, gpu));
	}
	return p;
}

static uint64_t all_moved_peer(struct vsvm_set *set)
{
	uint64_t moved = 0;
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		moved += vram_info(set, gpu).moved_peer;
	return moved;
}

/* When all are emptied, none's pages go to another. */
static void system_sleep_peers(struct vsvm_set *set)
{
	uint64_t moved;
	char *p;
	int gpu;

	igt_require_f(file_write("/sys/power/pm_test", "freezer"),
		      "no test mode of system sleep\n");
	p = fill_all_for_peers(set);
	moved = all_moved_peer(set);
	igt_assert(file_write("/sys/power/state", "freeze"));
	file_write("/sys/power/pm_test", "none");
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq_u64(vram_info(set, gpu).used, 0);
	igt_assert_eq_u64(all_moved_peer(set), moved);
	vram_expect(set, p, set->n * LEN, WHERE_SYSTEM);
	for (gpu = 0; gpu < set->n; gpu++)
		pattern_check(p + gpu * LEN, LEN, 10 + gpu);
	file_write(EVICT_TO, "system");
	munmap(p, set->n * LEN);
}

/* GPUs that nobody uses do not pass what was left in them back and forth. */
static void idle_peers(struct vsvm_set *set)
{
	char *p = fill_all_for_peers(set);
	uint64_t moved = all_moved_peer(set);
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert(!vsvm_vm_destroy(set->fd[gpu], set->vm[gpu]));
	vram_expect_empty(set);
	igt_assert_eq_u64(all_moved_peer(set), moved);
	for (gpu = 0; gpu < set->n; gpu++) {
		pattern_check(p + gpu * LEN, LEN, 10 + gpu);
		set->vm[gpu] = vsvm_vm_create(set->fd[gpu],
					      DRM_VSVM_VM_LAYOUT_MSVM);
	}
	file_write(EVICT_TO, "system");
	munmap(p, set->n * LEN);
}

static const char * const sleep_events[] = {
	TRACING "events/power/suspend_resume/enable",
	TRACING "events/drm_msvm/msvm_move/enable",
	TRACING "events/drm_msvm/msvm_fault_end/enable",
};

static void sleep_trace(const char *enable)
{
	unsigned int i;

	for (i = 0; i < sizeof(sleep_events) / sizeof(sleep_events[0]); i++)
		igt_require_f(file_write(sleep_events[i], enable),
			      "no trace events\n");
}

static void trace_clear(void)
{
	int fd = open(TRACING "trace", O_WRONLY | O_TRUNC);

	igt_assert(fd >= 0);
	close(fd);
}

/*
 * What happened from the time on that tasks were being frozen until they went on.
 * Return: faults that were served.
 */
static unsigned int sleep_faults(void)
{
	unsigned int faults = 0, froze = 0;
	bool asleep = false;
	char line[512];
	FILE *f;

	f = fopen(TRACING "trace", "r");
	igt_assert(f);
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "freeze_processes[0] begin")) {
			asleep = true;
			froze++;
		} else if (strstr(line, "thaw_processes[0] begin")) {
			asleep = false;
		}
		if (!asleep)
			continue;
		igt_assert_f(!strstr(line, "msvm_move: ") ||
			     strstr(line, "device=0 ") ||
			     !strstr(line, "ret=0"),
			     "moved to a GPU that is to sleep: %s\n", line);
		if (strstr(line, "msvm_fault_end: "))
			faults++;
	}
	fclose(f);
	igt_assert_eq(froze, 1);
	return faults;
}

/* Jobs go on while tasks are frozen, but nothing goes to the GPUs' memory any more. */
static void system_sleep_busy(struct vsvm_set *set)
{
	/* By 50 ms a fault this ends in the 5 s that the kernel's test takes. */
	enum { PIECES = 60 };
	struct drm_vsvm_cmd cmds[PIECES];
	char *p = anon_aligned(PIECES * LEN, SZ_2M);
	uint64_t jobs[VSVM_MAX_SET];
	unsigned int faults;
	int gpu, i;

	igt_require_f(file_write("/sys/power/pm_test", "freezer"),
		      "no test mode of system sleep\n");
	sleep_trace("1");
	trace_clear();
	for (gpu = 0; gpu < set->n; gpu++) {
		for (i = 0; i < PIECES; i++)
			cmds[i] = vsvm_store(p + i * LEN + gpu * SZ_4K, 8,
					     1 + gpu * PIECES + i);
		jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0, cmds,
					PIECES);
	}
	igt_assert(file_write("/sys/power/state", "freeze"));
	file_write("/sys/power/pm_test", "none");
	sleep_trace("0");
	faults = sleep_faults();
	igt_info("%u faults while tasks were frozen\n", faults);
	for (gpu = 0; gpu < set->n; gpu++) {
		igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
					jobs[gpu]).status, 0);
		for (i = 0; i < PIECES; i++)
			igt_assert_eq_u64(*(uint64_t *)(p + i * LEN + gpu * SZ_4K),
					  1 + gpu * PIECES + i);
	}
	trace_clear();
	munmap(p, PIECES * LEN);
	/* And from now on the memory is used again. */
	p = anon_aligned(LEN, SZ_2M);
	vsvm_gpu_write(set, 0, p, LEN, 2);
	vram_expect(set, p, LEN, where_gpu(set, 0));
	munmap(p, LEN);
}

/* Reset: mappings and memory are gone, data is not, and jobs go on. */
static void reset(struct vsvm_set *set)
{
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t faults, flag = 0;
	struct drm_vsvm_cmd cmds[2];
	uint64_t job;

	pattern_fill(p, LEN, 1);
	vsvm_gpu_write(set, 0, p, LEN, 2);
	faults = vsvm_stats(set->fd[0], set->vm[0]).faults;

	/* A job is under way: it finds its flag, and then the data. */
	cmds[0] = vsvm_wait_value(&flag, 8, 1);
	cmds[1] = vsvm_store(p, 8, 42);
	job = vsvm_submit(set->fd[0], set->vm[0], 1, cmds, 2);
	gpu_debugfs_write(set->fd[0], "reset", 1);
	vram_expect(set, p, LEN, WHERE_SYSTEM);
	__atomic_store_n(&flag, 1, __ATOMIC_SEQ_CST);
	igt_assert_eq(vsvm_wait(set->fd[0], set->vm[0], job).status, 0);
	igt_assert_eq_u64(*(uint64_t *)p, 42);

	vsvm_gpu_write(set, 0, p, LEN, 3);
	igt_assert(vsvm_stats(set->fd[0], set->vm[0]).faults > faults);
	mm_all_check(set, p, LEN, 3);
	munmap(p, LEN);
}

/* As many resets as jobs: each byte still counts. */
static void reset_storm(struct vsvm_set *set)
{
	int rounds = vsvm_scale(40, 15), i, gpu;
	char *p = anon_aligned(LEN, SZ_2M);
	uint64_t *sum = (uint64_t *)p;
	uint64_t jobs[VSVM_MAX_SET];

	memset(p, 0, LEN);
	for (i = 0; i < rounds; i++) {
		for (gpu = 0; gpu < set->n; gpu++) {
			struct drm_vsvm_cmd cmd = vsvm_add(sum, 8, 1, NULL);

			jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 0,
						&cmd, 1);
		}
		for (gpu = 0; gpu < set->n; gpu++)
			gpu_debugfs_write(set->fd[gpu], "reset", 1);
		for (gpu = 0; gpu < set->n; gpu++)
			igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
						jobs[gpu]).status, 0);
	}
	igt_assert_eq_u64(*sum, rounds * set->n);
	munmap(p, LEN);
}

/* A lowered limit evicts, and is kept; what does not fit is used where it is. */
static void limit(struct vsvm_set *set)
{
	char *p = anon_aligned(2 * LEN, SZ_2M);

	pattern_fill(p, 2 * LEN, 1);
	vsvm_gpu_write(set, 0, p, 2 * LEN, 2);
	vram_expect(set, p, 2 * LEN, where_gpu(set, 0));
	gpu_debugfs_write(set->fd[0], "vram_limit_mib", 2);
	igt_assert_eq_u64(vram_info(set, 0).limit, SZ_2M);
	igt_assert(vram_info(set, 0).used <= SZ_2M);
	mm_all_check(set, p, 2 * LEN, 2);
	vsvm_gpu_write(set, 0, p, 2 * LEN, 3);
	igt_assert(vram_info(set, 0).used <= SZ_2M);
	pattern_check(p, 2 * LEN, 3);
	gpu_debugfs_write(set->fd[0], "vram_limit_mib", 0);
	vsvm_gpu_write(set, 0, p, 2 * LEN, 4);
	mm_all_check(set, p, 2 * LEN, 4);
	munmap(p, 2 * LEN);
	vram_expect_empty(set);
}

/* What one GPU has no room for goes to another that has. */
static void to_peer(struct vsvm_set *set)
{
	const char *evict_to = "/sys/kernel/config/drm_msvm/default/evict_to";
	size_t len = 12 * (1UL << 20);
	char *p = anon_aligned(len, SZ_2M);
	struct drm_vsvm_cmd cmd = vsvm_fill(p, 0x5a, len);
	size_t i;

	igt_require_f(set->n > 1 && gpus_can_peer(),
		      "no GPU reaches another's memory\n");
	igt_assert(file_write(evict_to, "peer"));
	pattern_fill(p, len, 1);
	vsvm_run(set, 0, &cmd, 1);
	file_write(evict_to, "system");
	/* 8 MiB are still there, and the 4 evicted are in the others. */
	igt_assert_eq(vram_count(set, p, len, WHERE_SYSTEM), 0);
	igt_assert_eq(vram_count(set, p, len, where_gpu(set, 0)), 8 * 256);
	igt_assert(vram_info(set, 0).moved_peer >= 4 * (1UL << 20));
	for (i = 0; i < len; i++)
		igt_assert_f(p[i] == 0x5a, "byte %#zx is %#x\n", i, p[i]);
	munmap(p, len);
	vram_expect_empty(set);
}

igt_main
{
	each_made("idle", "a GPU that nobody uses sleeps", MSVM_ONLY, VRAM, idle);
	each_made("pages-keep-awake", "it does not while pages are in it",
		  MSVM_ONLY, VRAM, pages_keep_awake);
	each_made("system-sleep", "the system sleeps", MSVM_ONLY, VRAM,
		  system_sleep);
	each_made("system-sleep-peers", "likewise, with eviction to other GPUs",
		  MSVM_ONLY, PEERS, system_sleep_peers);
	each_made("idle-peers", "all sleep, with eviction to other GPUs",
		  MSVM_ONLY, PEERS, idle_peers);
	each_made("system-sleep-busy", "likewise, with jobs running", MSVM_ONLY,
		  SLOW, system_sleep_busy);
	each_made("reset", "a GPU is reset", MSVM_ONLY, VRAM, reset);
	each_made("reset-peers", "likewise, others have its memory mapped",
		  MSVM_ONLY, PEERS, reset);
	each_made("reset-storm", "resets against jobs", MSVM_ONLY, PEERS,
		  reset_storm);
	each_made("limit", "the share that pages may take is lowered", MSVM_ONLY,
		  VRAM, limit);
	each_made("to-peer", "eviction to another GPU", MSVM_ONLY, PEERS,
		  to_peer);

	igt_fixture {
		file_write(EVICT_TO, "system");
		file_write("/sys/power/pm_test", "none");
	}
}
