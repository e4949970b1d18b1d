// SPDX-License-Identifier: MIT
/*
 * Memory that goes back and forth: who has to wait, when it stays where it is, and
 * when that is over. All of it shows in counters. Who waits holds nobody up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../lib/crowd.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/policy.h"
#include "../lib/vram.h"

#define MIB	(1UL << 20)
#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")

/* So that all moves are in a row, however slow the machine is. */
static void begin(const char *placement)
{
	policy_restore();
	policy_set("thrash_reset_ms", "3600000");
	policy_set("thrash_window_us", "60000000");
	policy_set("thrash_pin_ms", "3600000");
	policy_set("thrash_max_throttles", "2");
	policy_set("placement", placement);
}

static void end(struct vsvm_set *set)
{
	policy_restore();
	vram_expect_empty(set);
}

/* One after the other wants the memory; alone, a GPU plays against the CPU. */
static void take_turns(struct vsvm_set *set, char *p, int turns)
{
	int i;

	for (i = 0; i < turns; i++) {
		if (set->n > 1 || i % 2)
			gpu_touch(set, i / (set->n > 1 ? 1 : 2) % set->n, p);
		else
			memset(p, i, SZ_2M);
	}
}

static void turns_until(struct vsvm_set *set, char *p, const char *counter,
			uint64_t value)
{
	int64_t deadline = vsvm_deadline(20);

	while (policy_count(set, counter) < value) {
		igt_assert_f(vsvm_now() < deadline, "%s stays %llu\n", counter,
			     (unsigned long long)policy_count(set, counter));
		take_turns(set, p, 2 * set->n + 2);
		gpus_drop(set);
	}
}

/* Somebody is told to wait, then it stays in system memory, which all reach. */
static void pin(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M), at[16], ms[16];
	uint64_t moves;

	begin("follow-fault");
	gpu_touch(set, 0, p);
	policy_pinned(set, p, at, ms);
	igt_assert(!strcmp(at, "-") && !strcmp(ms, "-"));
	turns_until(set, p, "pins", 1);
	policy_pinned(set, p, at, ms);
	igt_assert_f(!strcmp(at, "system"), "pinned at %s\n", at);
	igt_assert(atoi(ms) > 0 && atoi(ms) <= 3600000);
	if (set->n > 1)
		igt_assert(policy_count(set, "throttles") > 0);
	take_turns(set, p, 2 * set->n);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	moves = policy_count(set, "moved_pages");
	take_turns(set, p, 4 * set->n);
	gpus_drop(set);
	take_turns(set, p, 4 * set->n);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	igt_assert_eq_u64(policy_count(set, "moved_pages"), moves);
	igt_assert_eq_u64(policy_count(set, "unpins"), 0);
	/* What goes is no longer pinned. */
	munmap(p, SZ_2M);
	policy_wait(set, "unpins", policy_count(set, "pins"));
	end(set);
}

/* With peers it stays in the memory of one of them. */
static void pin_peers(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	igt_require_f(set->n > 1, "two are needed\n");
	begin("follow-fault");
	turns_until(set, p, "pins", 1);
	take_turns(set, p, 4 * set->n);
	igt_assert_eq_u64(vram_count(set, p, SZ_2M, WHERE_SYSTEM), 0);
	igt_assert_eq_u64(policy_count(set, "pins"), 1);
	munmap(p, SZ_2M);
	end(set);
}

/* After a while it is free again. */
static void unpin(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	begin("follow-fault");
	policy_set("thrash_pin_ms", "1");
	turns_until(set, p, "pins", 1);
	turns_until(set, p, "unpins", 1);
	turns_until(set, p, "pins", 2);
	munmap(p, SZ_2M);
	end(set);
}

/* All of it is in the trace: who has to wait, what is pinned and where, and the end. */
static void traced(struct vsvm_set *set)
{
	static const char * const names[] = {
		"msvm_throttle", "msvm_pin", "msvm_unpin", NULL
	};
	static char text[EVENTS_MOST][128];
	char *p = anon_aligned(SZ_2M, SZ_2M);
	unsigned long long start, end_at, until, delay;
	unsigned int ctx, at, slot, n, i;

	begin("follow-fault");
	policy_set("thrash_pin_ms", "1");
	events_start(names);
	turns_until(set, p, "unpins", 1);
	munmap(p, SZ_2M);
	policy_wait(set, "unpins", policy_count(set, "pins"));

	n = events_stop(names, "msvm_throttle", text);
	igt_assert_eq_u64(n, policy_count(set, "throttles"));
	for (i = 0; i < n; i++) {
		igt_assert(sscanf(text[i], "ctx=%u slot=%u addr=%llx delay=%llu",
				  &ctx, &slot, &start, &delay) == 4);
		igt_assert(slot < (unsigned int)set->n && delay);
		igt_assert_eq_u64(start, to_u64(p));
	}
	n = events_stop(names, "msvm_pin", text);
	igt_assert_eq_u64(n, policy_count(set, "pins"));
	for (i = 0; i < n; i++) {
		igt_assert(sscanf(text[i],
				  "ctx=%u start=%llx end=%llx at=%u until=%llu",
				  &ctx, &start, &end_at, &at, &until) == 5);
		igt_assert_eq_u64(start, to_u64(p));
		igt_assert_eq_u64(end_at, to_u64(p) + SZ_2M);
		igt_assert(at == 64 && until);
	}
	n = events_stop(names, "msvm_unpin", text);
	igt_assert_eq_u64(n, policy_count(set, "unpins"));
	for (i = 0; i < n; i++) {
		igt_assert(sscanf(text[i], "ctx=%u start=%llx end=%llx", &ctx,
				  &start, &end_at) == 3);
		igt_assert_eq_u64(start, to_u64(p));
	}
	end(set);
}

/* Memory that comes into being and is given up, in one GPU: it does not move at all. */
static void refilled(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int last = set->n - 1, i;

	begin("follow-fault");
	for (i = 0; i < 20; i++) {
		gpu_touch(set, last, p);
		vram_expect(set, p, SZ_2M, where_gpu(set, last));
		igt_assert(!madvise(p, SZ_2M, MADV_DONTNEED));
	}
	/* Nor do others move what is not theirs. */
	for (i = 0; i < 4 * set->n; i++) {
		gpu_touch(set, i % set->n, p);
		vram_expect(set, p, SZ_2M, where_gpu(set, i % set->n));
		igt_assert(!madvise(p, SZ_2M, MADV_DONTNEED));
	}
	igt_assert_eq_u64(policy_count(set, "taken"), 0);
	igt_assert_eq_u64(policy_count(set, "throttles"), 0);
	igt_assert_eq_u64(policy_count(set, "pins"), 0);
	munmap(p, SZ_2M);
	end(set);
}

/* A page that can't be moved is tried again at each fault, which moves nothing. */
static void straggler(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	struct iovec iov = { p + 100 * SZ_4K, SZ_4K };
	int64_t deadline = vsvm_deadline(20);
	int last = set->n - 1, pipes[2], i;

	begin("follow-fault");
	madvise(p, SZ_2M, MADV_NOHUGEPAGE);
	memset(p, 1, SZ_2M);
	igt_assert(!pipe(pipes));
	igt_assert_eq(vmsplice(pipes[1], &iov, 1, 0), (ssize_t)SZ_4K);
	for (i = 0; i < 10; i++) {
		gpu_touch(set, last, p);
		gpus_drop(set);
	}
	/* Its neighbours may stay with it, far from where it was touched. */
	igt_assert(vram_count(set, p, SZ_2M, WHERE_SYSTEM) > 0);
	igt_assert(vram_count(set, p, SZ_2M, where_gpu(set, last)) > 256);
	igt_assert_eq_u64(policy_count(set, "throttles"), 0);
	igt_assert_eq_u64(policy_count(set, "pins"), 0);
	close(pipes[0]);
	close(pipes[1]);
	/* It goes as soon as it can. */
	while (vram_count(set, p, SZ_2M, WHERE_SYSTEM)) {
		igt_assert(vsvm_now() < deadline);
		gpus_drop(set);
		gpu_touch(set, last, p);
	}
	munmap(p, SZ_2M);
	end(set);
}

/* Without a threshold nobody waits, and nothing stays. */
static void off(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	uint64_t moves;
	int last = set->n - 1;

	begin("follow-fault");
	policy_set("thrash_threshold", "0");
	moves = policy_count(set, "moves");
	take_turns(set, p, 8 * set->n);
	igt_assert(policy_count(set, "moves") >= moves + (last ? 8 : 4));
	igt_assert_eq_u64(policy_count(set, "throttles"), 0);
	igt_assert_eq_u64(policy_count(set, "pins"), 0);
	vram_expect(set, p, SZ_2M, where_gpu(set, last));
	munmap(p, SZ_2M);
	end(set);
}

/* What is evicted again and again goes back and forth as well. */
static void evictions(struct vsvm_set *set)
{
	size_t len = 12 * MIB, i;
	char *p = anon_aligned(len, SZ_2M);
	int64_t deadline = vsvm_deadline(20);

	begin("follow-fault");
	while (!policy_count(set, "pins")) {
		igt_assert_f(vsvm_now() < deadline, "taken %llu, never pinned\n",
			     (unsigned long long)policy_count(set, "taken"));
		for (i = 0; i < len; i += SZ_2M)
			gpu_touch(set, 0, p + i);
	}
	igt_assert(policy_count(set, "taken") > 0);
	igt_assert(vram_info(set, 0).evictions > 0);
	/* A pin in system memory leaves room: it comes to rest. */
	for (i = 0; i < len; i += SZ_2M)
		igt_assert_eq_u64(*(uint64_t *)(p + i), 1);
	munmap(p, len);
	end(set);
}

/* Is a job over? Not to be asked again once it is: it is forgotten then. */
static bool job_over(struct vsvm_set *set, int gpu, uint64_t job)
{
	struct drm_vsvm_wait args = {
		.vm_id = set->vm[gpu], .job_id = job, .timeout_ns = 0,
	};

	if (vsvm_ioctl(set->fd[gpu], DRM_IOCTL_VSVM_WAIT, &args))
		return false;
	igt_assert_eq(args.status, 0);
	return true;
}

/*
 * The last GPU has to wait for the first one's time slice, which is longer than it has
 * patience for. Meanwhile the process maps, touches and unmaps memory: what was done
 * while the job still waits was not held up by it.
 */
static void throttled(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M), *q;
	int last = set->n - 1, rounds = 0;
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 77);
	uint64_t job, naps;
	bool over = false;

	igt_require_f(last, "two are needed\n");
	begin("follow-fault");
	policy_set("timeslice_ms", "60000");
	naps = policy_count(set, "throttles");
	gpu_touch(set, 0, p);
	job = vsvm_submit(set->fd[last], set->vm[last], 0, &cmd, 1);
	policy_wait(set, "throttles", naps + 1);
	/* In the end it is served all the same. */
	while (!over) {
		q = anon(SZ_2M);
		memset(q, 1, SZ_2M);
		gpu_touch(set, 0, q);
		munmap(q, SZ_2M);
		madvise(p + SZ_64K, SZ_64K, MADV_DONTNEED);
		over = job_over(set, last, job);
		rounds += !over;
	}
	igt_assert(rounds > 0);
	igt_assert_eq_u64(*(uint64_t *)p, 77);
	munmap(p, SZ_2M);
	end(set);
}

/* The memory goes while somebody waits for it. */
static void throttled_munmap(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int last = set->n - 1;
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 77);
	uint64_t job, naps;

	igt_require_f(last, "two are needed\n");
	begin("follow-fault");
	policy_set("timeslice_ms", "60000");
	naps = policy_count(set, "throttles");
	gpu_touch(set, 0, p);
	job = vsvm_submit(set->fd[last], set->vm[last], 0, &cmd, 1);
	policy_wait(set, "throttles", naps + 1);
	munmap(p, SZ_2M);
	igt_assert_eq(vsvm_wait(set->fd[last], set->vm[last], job).status,
		      -EFAULT);
	end(set);
}

/* The VM goes, and with it the job that waits. */
static void throttled_leave(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	int last = set->n - 1;
	struct drm_vsvm_cmd cmd = vsvm_store(p, 8, 77);
	uint64_t naps;

	igt_require_f(last, "two are needed\n");
	begin("follow-fault");
	policy_set("timeslice_ms", "60000");
	naps = policy_count(set, "throttles");
	gpu_touch(set, 0, p);
	vsvm_submit(set->fd[last], set->vm[last], 0, &cmd, 1);
	policy_wait(set, "throttles", naps + 1);
	igt_assert_eq(vsvm_vm_destroy(set->fd[last], set->vm[last]), 0);
	set->vm[last] = vsvm_vm_create(set->fd[last], set->layout);
	igt_assert_eq_u64(*(uint64_t *)p, 1);
	munmap(p, SZ_2M);
	end(set);
}

/* All want one page, by each placement; nobody starves. */
static int add_round(struct party *party)
{
	struct drm_vsvm_cmd cmd = vsvm_add(party->data, 8, 1, NULL);

	if (party->gpu >= 0)
		return crowd_job(party, &cmd, 1);
	__atomic_fetch_add((uint64_t *)party->data, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void all_want(struct vsvm_set *set)
{
	static const char * const placements[] = {
		"adaptive", "uvm-compat", "follow-fault", "access-count",
		"interleave",
	};
	char *p = anon_aligned(SZ_2M, SZ_2M);
	struct party *party[VSVM_MAX_SET + 1];
	uint64_t sum;
	unsigned int i;
	int k, n;

	for (i = 0; i < sizeof(placements) / sizeof(placements[0]); i++) {
		policy_restore();
		policy_set("placement", placements[i]);
		memset(p, 0, SZ_2M);
		crowd_begin();
		for (n = 0; n < set->n; n++)
			party[n] = crowd_add(set, n, add_round, p);
		party[n++] = crowd_add(set, -1, add_round, p);
		crowd_start();
		crowd_wait(vsvm_scale(10, 4));
		crowd_stop();
		for (sum = 0, k = 0; k < n; k++)
			sum += party[k]->rounds;
		igt_assert_eq_u64(*(uint64_t *)p, sum);
	}
	munmap(p, SZ_2M);
	end(set);
}

igt_main
{
	each_made("pin", "it stays in system memory", MSVM_ONLY, VRAM, pin);
	each_made("pin-queue", "likewise, with fault queues", MSVM_ONLY,
		  VRAM ATTR("fault_mode=queue"), pin);
	each_made("pin-peers", "it stays where all reach it", MSVM_ONLY, PEERS,
		  pin_peers);
	each_made("unpin", "not for ever", MSVM_ONLY, VRAM, unpin);
	each_made("traced", "as the trace tells", MSVM_ONLY, VRAM, traced);
	each_made("refilled", "what comes into being is no move", MSVM_ONLY,
		  VRAM, refilled);
	each_made("straggler", "nor what stays", MSVM_ONLY, VRAM, straggler);
	each_made("off", "unless nobody cares", MSVM_ONLY, VRAM, off);
	each_made("evictions", "evictions count", MSVM_ONLY, VRAM, evictions);
	each_made("throttled", "the process goes on meanwhile", MSVM_ONLY, VRAM,
		  throttled);
	each_made("throttled-queue", "likewise, with fault queues", MSVM_ONLY,
		  VRAM ATTR("fault_mode=queue"), throttled);
	each_made("throttled-munmap", "the memory goes", MSVM_ONLY, VRAM,
		  throttled_munmap);
	each_made("throttled-leave", "the VM goes", MSVM_ONLY, VRAM,
		  throttled_leave);
	each_made("throttled-leave-queue", "likewise, with fault queues",
		  MSVM_ONLY, VRAM ATTR("fault_mode=queue"), throttled_leave);
	each_made("all-want", "nobody starves", MSVM_ONLY, VRAM, all_want);

	igt_fixture {
		policy_restore();
	}
}
