// SPDX-License-Identifier: MIT
/*
 * The fault queue: faults of several engines and GPUs are kept together while one
 * of them is stuck in userfaultfd, so that what happens to them is known: which are
 * merged, that one walk serves them, where errors go, what is refused and not lost,
 * and that whoever leaves is not waited for.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/room.h"
#include "../lib/uffd.h"

/* Of one address space, see MSVM_FAULT_WORKERS. */
#define WORKERS 16

/*
 * All engines of all GPUs fault in one page while the first is stuck in it: one
 * walk, one batch, each GPU's are one fault.
 */
static void test_merge(struct vsvm_set *set)
{
	uint64_t faults, batches, merged, walks, jobs[MAX_JOBS];
	int gpu, engine, k = 0;

	room_make(set, SZ_64K, SZ_2M, PROT_READ | PROT_WRITE);
	faults = stat_of("queue_faults");
	batches = stat_of("queue_batches");
	merged = stat_of("queue_merged");
	walks = stat_of("hmm_walks");
	for (gpu = 0; gpu < set->n; gpu++) {
		for (engine = 0; engine < ENGINES; engine++, k++) {
			jobs[k] = submit(set, gpu, set->vm[gpu], engine,
					 load(8 * k, k));
			if (!k)
				uffd_wait_fault(room.uffd);
		}
	}
	wait_stat("queue_faults", faults + k);
	room_serve(0, room.len);
	for (k = 0, gpu = 0; gpu < set->n; gpu++) {
		for (engine = 0; engine < ENGINES; engine++, k++) {
			igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
						jobs[k]).status, 0);
			expect_loaded(8 * k, k);
		}
	}
	igt_assert_eq_u64(stat_of("queue_faults"), faults + k);
	igt_assert_eq_u64(stat_of("queue_batches"), batches + 1);
	igt_assert_eq_u64(stat_of("hmm_walks"), walks + 1);
	/* The one that was being served already is not among them. */
	igt_assert_eq_u64(stat_of("queue_merged"),
			  merged + set->n * (ENGINES - 1) - 1);
	room_free();
}

/* Every fault comes by an interrupt, and its result comes back. */
static void test_interrupt(struct vsvm_set *set)
{
	uint64_t sum = 0, id = vsvm_stats(set->fd[0], set->vm[0]).context_id;
	char *p = mm_mapped(set, SZ_64K, 1);
	int i;

	for (i = 0; i < set->n; i++) {
		igt_assert(gpu_counter(set->fd[i], "irq_faults") > 0);
		sum += gpu_counter(set->fd[i], "irq_faults");
	}
	igt_assert_eq_u64(sum, context_value(id, "stats", "queue_faults"));
	igt_assert_eq_u64(sum, context_value(id, "stats", "faults"));
	igt_assert_eq_u64(context_value(id, "stats", "queue_overflows"), 0);
	munmap(p, SZ_64K);
}

/*
 * As many faults are stuck, each in its own range of one window, as there are
 * workers but one: all of them are being served at the same time, and what
 * comes then as well.
 */
static void test_parallel(struct vsvm_set *set)
{
	int n = set->n * ENGINES - 1 < WORKERS - 1 ? set->n * ENGINES - 1 :
						     WORKERS - 1;
	uint64_t jobs[WORKERS];
	char *other;
	int k;

	room_make(set, WORKERS * SZ_2M, SZ_2M, PROT_READ | PROT_WRITE);
	for (k = 0; k < n; k++)
		jobs[k] = submit(set, k / ENGINES, set->vm[k / ENGINES],
				 k % ENGINES, load(k * SZ_2M, k));
	for (k = 0; k < n; k++)
		uffd_wait_fault(room.uffd);
	/* The last engine of the last GPU has nothing to do. */
	for (k = 0; k < 20; k++) {
		other = anon(SZ_4K);
		igt_assert_eq(vsvm_wait(set->fd[set->n - 1],
					set->vm[set->n - 1],
					submit(set, set->n - 1,
					       set->vm[set->n - 1], ENGINES - 1,
					       vsvm_store(other, 8, k + 1))).status,
			      0);
		igt_assert_eq_u64(*(uint64_t *)other, k + 1);
		munmap(other, SZ_4K);
	}
	for (k = n - 1; k >= 0; k--) {
		expect_pending(set, k / ENGINES, set->vm[k / ENGINES], jobs[k]);
		room_serve(k * SZ_2M, SZ_2M);
		igt_assert_eq(vsvm_wait(set->fd[k / ENGINES],
					set->vm[k / ENGINES], jobs[k]).status,
			      0);
		expect_loaded(k * SZ_2M, k);
	}
	room_free();
}

/* More ranges are stuck than there are workers: the rest waits, none is lost. */
static void test_workers(struct vsvm_set *set)
{
	int n = set->n * ENGINES, served = 0, k;
	uint64_t jobs[MAX_JOBS], faults;

	room_make(set, MAX_JOBS * SZ_64K, SZ_64K, PROT_READ | PROT_WRITE);
	/* A VMA each, so a range each. */
	for (k = 0; k < n; k += 2)
		igt_assert(!mprotect(room.p + k * SZ_64K, SZ_64K, PROT_READ));
	faults = stat_of("queue_faults");
	for (k = 0; k < n; k++)
		jobs[k] = submit(set, k / ENGINES, set->vm[k / ENGINES],
				 k % ENGINES, load(k * SZ_64K, k));
	wait_stat("queue_faults", faults + n);
	for (k = 0; k < n && k < WORKERS; k++)
		uffd_wait_fault(room.uffd);
	/* Those that were not begun are so when others end. */
	for (k = 0; k < n; k++, served++)
		room_serve(k * SZ_64K, SZ_64K);
	for (k = 0; k < n; k++) {
		igt_assert_eq(vsvm_wait(set->fd[k / ENGINES],
					set->vm[k / ENGINES], jobs[k]).status,
			      0);
		expect_loaded(k * SZ_64K, k);
	}
	igt_assert_eq(served, n);
	room_free();
}

/*
 * One range, one batch, and each fault has its own result: memory that can only
 * be read, and memory that is not there.
 */
static void test_errors(struct vsvm_set *set)
{
	uint64_t reads[VSVM_MAX_SET], writes[VSVM_MAX_SET], gone[VSVM_MAX_SET];
	struct drm_vsvm_wait w;
	uint64_t faults;
	int i;

	room_make(set, SZ_64K, SZ_2M, PROT_READ);
	faults = stat_of("queue_faults");
	for (i = 0; i < set->n; i++) {
		reads[i] = submit(set, i, set->vm[i], 0, load(8 * i, i));
		if (!i)
			uffd_wait_fault(room.uffd);
		writes[i] = submit(set, i, set->vm[i], 1,
				   vsvm_store(room.p + 8 * i, 8, 99));
		gone[i] = submit(set, i, set->vm[i], 2,
				 vsvm_load(room.p + SZ_64K + 8 * i, 8,
					   room.results));
	}
	for (i = 0; i < set->n; i++) {
		/* Not in the range, so not behind the one that is stuck. */
		w = vsvm_wait(set->fd[i], set->vm[i], gone[i]);
		igt_assert_eq(w.status, -EFAULT);
		igt_assert_eq_u64(w.fault_addr, to_u64(room.p) + SZ_64K + 8 * i);
		expect_pending(set, i, set->vm[i], reads[i]);
	}
	wait_stat("queue_faults", faults + 3 * set->n);
	room_serve(0, room.len);
	for (i = 0; i < set->n; i++) {
		igt_assert_eq(vsvm_wait(set->fd[i], set->vm[i], reads[i]).status,
			      0);
		expect_loaded(8 * i, i);
		w = vsvm_wait(set->fd[i], set->vm[i], writes[i]);
		igt_assert_eq(w.status, -EACCES);
		igt_assert_eq_u64(w.fault_addr, to_u64(room.p) + 8 * i);
		igt_assert_eq(w.fault_access, DRM_VSVM_ACCESS_WRITE);
	}
	igt_assert(!memcmp(room.p, room.served, SZ_64K));
	room_free();
}

/*
 * The queue has one place, and a fault that is stuck has it: the others stay in
 * the hardware, and come when there is room.
 */
static void test_overflow(struct vsvm_set *set)
{
	uint64_t jobs[MAX_JOBS], refused;
	int64_t deadline;
	int gpu, engine, k;

	room_make(set, SZ_2M, SZ_2M, PROT_READ | PROT_WRITE);
	for (gpu = 0; gpu < set->n; gpu++) {
		refused = gpu_counter(set->fd[gpu], "refused_faults");
		for (engine = 0; engine < ENGINES; engine++) {
			k = gpu * ENGINES + engine;
			jobs[k] = submit(set, gpu, set->vm[gpu], engine,
					 load(k * SZ_4K, k));
			if (!k)
				uffd_wait_fault(room.uffd);
		}
		deadline = vsvm_deadline(30);
		while (gpu_counter(set->fd[gpu], "refused_faults") <
		       refused + ENGINES - 1)
			igt_assert(vsvm_now() < deadline);
	}
	igt_assert(stat_of("queue_overflows") >= (uint64_t)set->n * (ENGINES - 1));
	for (k = 0; k < set->n * ENGINES; k++)
		expect_pending(set, k / ENGINES, set->vm[k / ENGINES], jobs[k]);
	room_serve(0, room.len);
	for (k = 0; k < set->n * ENGINES; k++) {
		igt_assert_eq(vsvm_wait(set->fd[k / ENGINES],
					set->vm[k / ENGINES], jobs[k]).status,
			      0);
		expect_loaded(k * SZ_4K, k);
	}
	room_free();
}

/* All engines fault all the time, in their own order, with few places. */
static void test_storm(struct vsvm_set *set)
{
	size_t len = 64 * SZ_64K, part = SZ_64K;
	char *from = anon_aligned(len, SZ_2M), *to = anon_aligned(len, SZ_2M);
	int rounds = vsvm_scale(4, 1), round, k, n = set->n * ENGINES;
	struct drm_vsvm_cmd cmds[64];
	uint64_t jobs[MAX_JOBS];

	for (round = 0; round < rounds; round++) {
		pattern_fill(from, len, round);
		/* A piece in 64K each; unmapped before, so that all faults. */
		madvise(to, len, MADV_DONTNEED);
		for (k = 0; k < n; k++) {
			size_t offset = k * (part / n), i;

			for (i = 0; i < 64; i++) {
				size_t at = (i * 29 + k) % 64 * part + offset;

				cmds[i] = vsvm_copy(to + at, from + at, part / n);
			}
			jobs[k] = vsvm_submit(set->fd[k / ENGINES],
					      set->vm[k / ENGINES], k % ENGINES,
					      cmds, 64);
			if (k == n / 2)
				madvise(to, len, MADV_COLD);
		}
		for (k = 0; k < n; k++)
			igt_assert_eq(vsvm_wait(set->fd[k / ENGINES],
						set->vm[k / ENGINES],
						jobs[k]).status, 0);
		pattern_check(to, len, round);
	}
	igt_info("%llu refused\n", (unsigned long long)
		 gpu_counter(set->fd[0], "refused_faults"));
	munmap(from, len);
	munmap(to, len);
}

/* VMs go whose faults wait, and one whose fault is stuck; those of others stay. */
static void test_leave(struct vsvm_set *set)
{
	uint64_t faults, cancelled, stay[VSVM_MAX_SET], stuck;
	uint32_t first, vm[VSVM_MAX_SET];
	int i;

	room_make(set, SZ_64K, SZ_2M, PROT_READ | PROT_WRITE);
	first = vsvm_vm_create(set->fd[0], set->layout);
	for (i = 0; i < set->n; i++)
		vm[i] = vsvm_vm_create(set->fd[i], set->layout);
	faults = stat_of("queue_faults");
	cancelled = stat_of("queue_cancelled");
	stuck = submit(set, 0, first, 0, load(0, 0));
	uffd_wait_fault(room.uffd);
	for (i = 0; i < set->n; i++) {
		submit(set, i, vm[i], 1, load(8, 32));
		submit(set, i, vm[i], 2, load(16, 33));
		stay[i] = submit(set, i, set->vm[i], 3, load(8 * i, i));
	}
	wait_stat("queue_faults", faults + 1 + 3 * set->n);
	for (i = 0; i < set->n; i++)
		igt_assert_eq(vsvm_vm_destroy(set->fd[i], vm[i]), 0);
	igt_assert_eq_u64(stat_of("queue_cancelled"), cancelled + 2 * set->n);
	expect_pending(set, 0, first, stuck);
	/* The one that sleeps; the next one of the range sleeps then. */
	igt_assert_eq(vsvm_vm_destroy(set->fd[0], first), 0);
	igt_assert_eq_u64(stat_of("queue_cancelled"),
			  cancelled + 2 * set->n + 1);
	uffd_wait_fault(room.uffd);
	for (i = 0; i < set->n; i++)
		expect_pending(set, i, set->vm[i], stay[i]);
	room_serve(0, room.len);
	for (i = 0; i < set->n; i++) {
		igt_assert_eq(vsvm_wait(set->fd[i], set->vm[i], stay[i]).status,
			      0);
		expect_loaded(8 * i, i);
	}
	igt_assert_eq_u64(room.results[32], 0);
	igt_assert_eq_u64(room.results[33], 0);
	room_free();
}

/* GPUs are pulled out with faults in their queues; the last one goes on. */
static void test_pull(struct vsvm_set *set)
{
	uint64_t faults, jobs[VSVM_MAX_SET];
	int i;

	room_make(set, SZ_64K, SZ_2M, PROT_READ | PROT_WRITE);
	faults = stat_of("queue_faults");
	for (i = 0; i < set->n; i++) {
		jobs[i] = submit(set, i, set->vm[i], i % ENGINES, load(8 * i, i));
		if (!i)
			uffd_wait_fault(room.uffd);
	}
	wait_stat("queue_faults", faults + set->n);
	for (i = 0; i < set->n - 1; i++)
		igt_assert_eq(gpu_pull(i), 0);
	expect_pending(set, i, set->vm[i], jobs[i]);
	room_serve(0, room.len);
	igt_assert_eq(vsvm_wait(set->fd[i], set->vm[i], jobs[i]).status, 0);
	expect_loaded(8 * i, i);
	room_free();
}

/* A process is killed with its faults stuck and queued. */
static void test_kill(struct vsvm_set *set)
{
	struct vsvm_set own = { .n = 0 };
	int ready[2], i, k, status;
	char c;
	pid_t pid;

	igt_assert(!pipe(ready));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		child_asserts_exit();
		own.layout = set->layout;
		for (i = 0; i < set->n; i++) {
			own.fd[i] = set->fd[i];
			own.vm[i] = vsvm_vm_create(set->fd[i], set->layout);
			own.n = i + 1;
		}
		room_make(&own, 2 * SZ_2M, SZ_2M, PROT_READ | PROT_WRITE);
		for (i = 0; i < own.n; i++)
			for (k = 0; k < ENGINES; k++)
				submit(&own, i, own.vm[i], k,
				       load(k % 2 * SZ_2M, k));
		uffd_wait_fault(room.uffd);
		uffd_wait_fault(room.uffd);
		igt_assert(write(ready[1], "x", 1) == 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	igt_assert(read(ready[0], &c, 1) == 1);
	close(ready[0]);
	igt_assert(!kill(pid, SIGKILL));
	status = wait_child(pid);
	igt_assert(WIFSIGNALED(status));
	/* The VMs are the file's, which is ours as well: engines are free again. */
	for (i = 0; i < set->n; i++)
		vsvm_gpu_write(set, i, anon(SZ_4K), SZ_4K, i);
}

/* A process whose workers are all stuck, on the first GPU, until it is told to end. */
static void run_out_of_workers(struct vsvm_set *set, int ready, int stop)
{
	struct vsvm_set own = { .n = 1, .layout = set->layout };
	char c;
	int k;

	child_asserts_exit();
	own.fd[0] = set->fd[0];
	own.vm[0] = vsvm_vm_create(own.fd[0], own.layout);
	room_make(&own, WORKERS * SZ_2M, SZ_2M, PROT_READ | PROT_WRITE);
	for (k = 0; k < WORKERS; k++)
		submit(&own, 0, own.vm[0], k, load(k * SZ_2M, k));
	for (k = 0; k < WORKERS; k++)
		uffd_wait_fault(room.uffd);
	igt_assert(write(ready, "x", 1) == 1);
	igt_assert(!read(stop, &c, 1));
	_exit(0);
}

/* A process that runs out of workers has those of others wait for nothing. */
static void test_process(struct vsvm_set *set)
{
	int ready[2], stop[2], i, round;
	uint64_t *p;
	pid_t pid;
	char c;

	igt_require_f(set->n > 1, "two GPUs are needed\n");
	igt_assert(!pipe(ready) && !pipe(stop));
	pid = fork();
	igt_assert(pid >= 0);
	if (!pid) {
		close(stop[1]);
		run_out_of_workers(set, ready[1], stop[0]);
	}
	close(stop[0]);
	close(ready[1]);
	igt_assert(read(ready[0], &c, 1) == 1);
	for (round = 0; round < 3; round++) {
		for (i = 1; i < set->n; i++) {
			struct drm_vsvm_cmd cmd;

			p = anon(SZ_4K);
			cmd = vsvm_store(p, 8, i);
			vsvm_run(set, i, &cmd, 1);
			igt_assert_eq_u64(*p, i);
			munmap(p, SZ_4K);
		}
	}
	close(stop[1]);
	close(ready[0]);
	igt_assert_eq(wait_child(pid), 0);
	/* The VM is the file's, which is ours as well: its engines are free again. */
	vsvm_gpu_write(set, 0, anon(SZ_4K), SZ_4K, 1);
}

#define QUEUE ATTR("fault_mode=queue") ATTR("engines=4")
#define TINY QUEUE ATTR("fault_depth=1")
/* As many engines as there are workers. */
#define MANY ATTR("fault_mode=queue") ATTR("engines=16")

igt_main
{
	each_made("merge", "faults of all engines of all GPUs in one page",
		  MSVM_ONLY, QUEUE, test_merge);
	each_made("interrupt", "faults are pushed by interrupts", MSVM_ONLY,
		  QUEUE, test_interrupt);
	each_made("parallel", "different ranges are served at the same time",
		  MSVM_ONLY, QUEUE, test_parallel);
	each_made("workers", "more ranges than workers", MSVM_ONLY, QUEUE,
		  test_workers);
	each_made("process", "a process without workers keeps none of another's",
		  MSVM_ONLY, MANY, test_process);
	each_made("errors", "each fault of a batch has its own result", MSVM_ONLY,
		  QUEUE, test_errors);
	each_made("overflow", "a full queue loses nothing", MSVM_ONLY, TINY,
		  test_overflow);
	each_made("storm", "all engines fault all the time", MSVM_ONLY, QUEUE,
		  test_storm);
	each_made("storm-tiny", "all engines fault, one place a queue", MSVM_ONLY,
		  TINY, test_storm);
	each_made("leave", "VMs go with faults waiting and stuck", MSVM_ONLY, QUEUE,
		  test_leave);
	each_made("go", "VMs go at any time", MSVM_ONLY, QUEUE,
		  go_while_faulting);
	each_made("go-tiny", "VMs go at any time, one place a queue", MSVM_ONLY,
		  TINY, go_while_faulting);
	each_made("pull", "GPUs go with faults waiting and stuck",
		  MSVM_ONLY, QUEUE, test_pull);
	each_made("kill", "a process is killed with faults waiting and stuck",
		  MSVM_ONLY, QUEUE, test_kill);
}
