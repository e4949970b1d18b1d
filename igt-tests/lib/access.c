// SPDX-License-Identifier: MIT
/*
 * Ways to access memory, see access.h. Every value depends on who wrote it and when,
 * and is checked by the CPU and by another GPU.
 */
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access.h"
#include "igt_compat.h"
#include "uffd.h"
#include "userptr.h"

#define WORKERS 4
/* VMs on each GPU for QUEUES, each with two engines. */
#define VMS 4

struct use use;
struct vsvm_set use_set;

static uint64_t value_of(int gpu, int engine, int round, int k)
{
	return 0x0101000000000000ULL * (gpu + 1) + (engine << 24) +
	       (round << 16) + k;
}

#define JOB_CMDS 4

/* Store, count on and read back at one place. Return: how many commands. */
static int job_cmds(struct drm_vsvm_cmd *cmds, int k, uint64_t value)
{
	char *at = use.at[k];

	use.value[k] = value + 1;
	cmds[0] = vsvm_store(at, 8, value);
	cmds[1] = vsvm_add(at, 8, 1, NULL);
	cmds[2] = vsvm_load(at, 8, (uint64_t *)at + 1);
	if (!use.bound)
		return 3;
	cmds[3] = vsvm_copy(use.bound + 2 * k, at, 16);
	return 4;
}

/* On a VM of a GPU of the set. Return: the job. */
uint64_t use_submit(int gpu, uint32_t vm, int engine, int k, int round)
{
	struct drm_vsvm_cmd cmds[JOB_CMDS];
	int n = job_cmds(cmds, k, value_of(gpu, engine, round, k));

	return vsvm_submit(use_set.fd[gpu], vm, engine, cmds, n);
}

void use_wait(int gpu, uint32_t vm, uint64_t job)
{
	igt_assert_eq(vsvm_wait(use_set.fd[gpu], vm, job).status, 0);
}

/* What the CPU finds of an access. */
static void check(int k)
{
	uint64_t *at = (uint64_t *)use.at[k];

	igt_assert_eq_u64(at[0], use.value[k]);
	igt_assert_eq_u64(at[1], use.value[k]);
	if (!use.bound)
		return;
	igt_assert_eq_u64(use.bound[2 * k], use.value[k]);
	igt_assert_eq_u64(use.bound[2 * k + 1], use.value[k]);
}

void use_check_all(int first, int end)
{
	int k;

	for (k = first; k < end; k++)
		check(k);
}

/* At once, unless the CPU is to look later only. */
static void check_now(int k)
{
	if (!(use.kind->flags & KIND_UNSEEN))
		check(k);
}

void use_access_one(int first, int end, int round)
{
	int k;

	for (k = first; k < end; k++) {
		int gpu = k % use_set.n;
		uint32_t vm = use_set.vm[gpu];

		use_wait(gpu, vm, use_submit(gpu, vm, 0, k, round));
		check_now(k);
		igt_assert_eq_u64(vsvm_gpu_load(&use_set, (gpu + 1) % use_set.n,
						use.at[k]), use.value[k]);
	}
}

/* All engines of so many VMs: all are under way before the first is waited for. */
static void access_all(const uint32_t *vms, int nr, int round)
{
	uint64_t jobs[USE_MAX];
	int k, n = use.pattern->accesses;

	for (k = 0; k < n; k++)
		jobs[k] = use_submit(k % use_set.n, vms[k % nr], k / nr % 2, k,
				     round);
	for (k = 0; k < n; k++) {
		use_wait(k % use_set.n, vms[k % nr], jobs[k]);
		check_now(k);
	}
}

/* Several VMs on each GPU: only for a round, but the first ones. */
static void access_queues(int round)
{
	uint32_t vms[USE_GPUS * VMS];
	int i, n = use_set.n;

	for (i = 0; i < n * VMS; i++)
		vms[i] = i < n ? use_set.vm[i] :
			 vsvm_vm_create(use_set.fd[i % n], use_set.layout);
	access_all(vms, n * VMS, round);
	for (i = n; i < n * VMS; i++)
		igt_assert_eq(vsvm_vm_destroy(use_set.fd[i % n], vms[i]), 0);
}

/* Threads may not assert: they tell. */
struct worker {
	pthread_t thread;
	int fd, id, round;
	uint32_t vm;
	int failed;
};

static void *worker_main(void *data)
{
	struct worker *w = data;
	int k;

	for (k = w->id; k < use.pattern->accesses; k += WORKERS) {
		struct drm_vsvm_cmd cmds[JOB_CMDS];
		struct drm_vsvm_exec exec = {
			.vm_id = w->vm, .cmds = to_u64(cmds),
			.num_cmds = job_cmds(cmds, k, value_of(w->id, 0,
							       w->round, k)),
		};
		struct drm_vsvm_wait wait = {
			.vm_id = w->vm, .timeout_ns = vsvm_deadline(30),
		};

		if (vsvm_ioctl(w->fd, DRM_IOCTL_VSVM_EXEC, &exec)) {
			w->failed++;
			continue;
		}
		wait.job_id = exec.job_id;
		w->failed += vsvm_ioctl(w->fd, DRM_IOCTL_VSVM_WAIT, &wait) ||
			     wait.status;
	}
	return NULL;
}

static void access_threads(int round)
{
	bool shared = use.pattern->how == THREADS_SHARED;
	struct worker workers[WORKERS];
	int i, k;

	for (i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker) {
			.fd = use_set.fd[shared ? 0 : i % use_set.n],
			.vm = use_set.vm[shared ? 0 : i % use_set.n], .id = i,
			.round = round,
		};
		igt_assert(!pthread_create(&workers[i].thread, NULL, worker_main,
					   &workers[i]));
	}
	for (i = 0; i < WORKERS; i++)
		igt_assert(!pthread_join(workers[i].thread, NULL));
	for (i = 0; i < WORKERS; i++)
		igt_assert_eq(workers[i].failed, 0);
	for (k = 0; k < use.pattern->accesses; k++)
		check_now(k);
}

/* A child's VMs, of GPUs that were made for the test, or of any. */
void use_child_set(bool made)
{
	int i;

	if (!made) {
		use_set = (struct vsvm_set) {};
		vsvm_set_open(&use_set, 2, DRM_VSVM_VM_LAYOUT_MSVM);
	} else {
		use_set.n = 2;
		for (i = 0; i < use_set.n; i++)
			use_set.vm[i] = vsvm_vm_create(use_set.fd[i],
						       use_set.layout);
	}
	if (use.bound)
		userptr_bind(&use_set, use.bound, SZ_4K, 0);
}

/* In a child, with VMs of its own for what it inherited. */
static void access_as_child(int id)
{
	int n = use.pattern->accesses / WORKERS;

	child_asserts_exit();
	use_child_set(use.kind->flags & KIND_VRAM);
	/* A part of its own: with some kinds all have the same pages. */
	use_access_one(id * n, (id + 1) * n, id);
	use_check_all(id * n, (id + 1) * n);
	_exit(0);
}

/* Run @fn in children, and see that they end well. */
void use_in_children(int n, void (*fn)(int id))
{
	pid_t pids[WORKERS];
	int i, status;

	for (i = 0; i < n; i++) {
		pids[i] = fork();
		igt_assert(pids[i] >= 0);
		if (!pids[i])
			fn(i);
	}
	for (i = 0; i < n; i++) {
		igt_assert(waitpid(pids[i], &status, 0) == pids[i]);
		igt_assert_eq(status, 0);
	}
}

void use_access(int round)
{
	int n = use.pattern->accesses;

	switch (use.pattern->how) {
	case ONE:
		use_access_one(0, n, round);
		break;
	case ENGINES:
		access_all(use_set.vm, use_set.n, round);
		break;
	case QUEUES:
		access_queues(round);
		break;
	case PARTIAL:
		use_access_one(0, n / 2, round);
		use_access_one(0, n, round + 1);
		break;
	case THREADS:
	case THREADS_SHARED:
		access_threads(round);
		break;
	case PROCESSES:
		use_in_children(WORKERS, access_as_child);
		break;
	}
}

bool use_each_job(void)
{
	return use.kind->flags & KIND_EACH_JOB;
}

/* Pieces that the memory is had in, and how large they are. */
int use_nr_pieces(void)
{
	return use_each_job() ? use.pattern->accesses : 1;
}

size_t use_piece_len(void)
{
	return !use_each_job() ? use.pattern->len :
	       use.pattern->stride < SZ_4K ? SZ_4K :
	       (use.pattern->stride + SZ_4K - 1) & ~(SZ_4K - 1);
}

char *use_piece(int i)
{
	return use_each_job() ? use.at[i] : use.p;
}

static void places(void)
{
	int k;

	for (k = 0; k < use.pattern->accesses && !use_each_job(); k++)
		use.at[k] = use.p + k * use.pattern->stride;
}

void use_get(void)
{
	int i;

	for (i = 0; i < use_nr_pieces(); i++) {
		char *p = use.kind->get(use_piece_len());

		if (use_each_job())
			use.at[i] = p;
		else
			use.p = p;
	}
	places();
}

void use_put(void)
{
	int i;

	for (i = 0; i < use_nr_pieces(); i++)
		use.kind->put(use_piece(i), use_piece_len());
}

void use_next(void)
{
	if (use_each_job()) {
		use_put();
		use_get();
		return;
	}
	use.p = use.kind->next(&use_set, use.p, use.pattern->len);
	places();
}

/* No job uses what is used beside them. */
static void check_beside(void)
{
	int k;

	for (k = 0; k < use.pattern->accesses; k++) {
		size_t off = use.at[k] + SZ_4K - BESIDE_AT - use.p;

		off %= SZ_4K;
		igt_assert(off >= 8 && off <= SZ_4K - 16);
	}
}

/* What comes before the jobs of a round. */
void use_prepare(bool touch)
{
	const struct kind *kind = use.kind;
	int i;

	for (i = 0; i < use_nr_pieces(); i++) {
		if (touch)
			memset(use_piece(i), 0x5a, use_piece_len());
		if (kind->ready)
			kind->ready(&use_set, use_piece(i), use_piece_len());
	}
	if (!kind->beside)
		return;
	check_beside();
	kind->beside(&use_set, use.p, use.pattern->len,
		     touch ? 0x5a5a5a5a5a5a5a5aULL : 0);
}

void use_finish(void)
{
	if (use.kind->beside_end)
		use.kind->beside_end(&use_set);
}

