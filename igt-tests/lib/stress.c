// SPDX-License-Identifier: MIT
/*
 * The loop of the stress: one step after the other, each drawn from the seed,
 * and what is printed when memory and model differ.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "igt_compat.h"
#include "stress.h"

/* splitmix64 */
uint64_t stress_random(struct stress *s)
{
	uint64_t z = s->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

unsigned int stress_below(struct stress *s, unsigned int n)
{
	return stress_random(s) % n;
}

/* One of the GPUs that have a VM now. */
int stress_gpu(struct stress *s)
{
	int gpu = stress_below(s, s->set.n);

	while (!s->joined[gpu])
		gpu = (gpu + 1) % s->set.n;
	return gpu;
}

void stress_note(struct stress *s, const char *fmt, ...)
{
	char *line = s->log[s->nr_log++ % STRESS_LOG];
	size_t size = sizeof(s->log[0]);
	va_list args;
	int n;

	n = snprintf(line, size, "step %u: ", s->step);
	va_start(args, fmt);
	vsnprintf(line + n, size - n, fmt, args);
	va_end(args);
	if (getenv("MSVM_TRACE"))
		fprintf(stderr, "%lld %s\n", (long long)vsvm_now() / 1000000,
			line);
}

void stress_fail(struct stress *s, const char *fmt, ...)
{
	static char text[512];
	unsigned int i = s->nr_log > STRESS_LOG ? s->nr_log - STRESS_LOG : 0;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	stress_chaos_stop();
	igt_info("the last operations:\n");
	for (; i < s->nr_log; i++)
		igt_info("  %s\n", s->log[i % STRESS_LOG]);
	igt_info("again: MSVM_OPS=%u msvm_stress --seed %llu --run-subtest %s\n",
		 s->steps, (unsigned long long)s->seed, s->subtest);
	igt_assert_f(false, "seed %llu, step %u: %s",
		     (unsigned long long)s->seed, s->step, text);
	__builtin_unreachable();
}

/* Of all runs. */
static unsigned int verbs[STRESS_VERBS];

void stress_verb(enum stress_verb verb)
{
	verbs[verb]++;
}

/* How often each was done; @all_needed: at least once. */
void stress_verbs_print(bool all_needed)
{
#define NAME(name) #name,
	static const char * const names[] = {
		FOR_STRESS_VERBS(NAME) FOR_STRESS_VRAM_VERBS(NAME)
	};
	int i;

	for (i = 0; i < STRESS_VERBS; i++)
		igt_info("%8u %s\n", verbs[i], names[i]);
	for (i = 0; all_needed && i < STRESS_VERBS; i++)
		igt_assert_f(verbs[i], "never done: %s\n", names[i]);
}

/*
 * Memory that has no neighbours: other memory of ours would be moved along with it, and
 * stay in a GPU's memory.
 */
static void *fenced(size_t len)
{
	char *p = mmap(NULL, len + 2 * SZ_4K, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	igt_assert(p != MAP_FAILED);
	igt_assert(!mprotect(p + SZ_4K, len, PROT_READ | PROT_WRITE));
	return p + SZ_4K;
}

static void unfence(void *p, size_t len)
{
	if (p)
		munmap(p - SZ_4K, len + 2 * SZ_4K);
}

static void forget_memory(struct stress *s)
{
	stress_model_fini(s);
	unfence(s->results, SZ_4K);
	unfence(s->flags, SZ_4K);
	unfence(s->out, STRESS_OUT_PAGES * SZ_4K);
	s->results = NULL;
	s->flags = NULL;
	s->out = NULL;
}

/* What this or a failed run left behind. */
void stress_clean(struct stress *s)
{
	int i;

	stress_chaos_stop();
	for (i = 0; i < STRESS_MAX_CHILDREN; i++) {
		if (s->children[i].pid <= 0)
			continue;
		kill(s->children[i].pid, SIGKILL);
		waitpid(s->children[i].pid, NULL, 0);
		close(s->children[i].go);
	}
	memset(s->children, 0, sizeof(s->children));
	memset(s->jobs, 0, sizeof(s->jobs));
	memset(s->nr_kept, 0, sizeof(s->nr_kept));
	if (s->kind != STRESS_GPUS_PLAIN)
		stress_vram_close(s);
	else
		vsvm_set_close(&s->set);
	forget_memory(s);
}

static void start(struct stress *s, const char *subtest, int gpus,
		  uint32_t layout, enum stress_gpus kind, uint64_t seed,
		  unsigned int steps)
{
	struct drm_vsvm_query q = { .param = DRM_VSVM_PARAM_NUM_ENGINES };
	int i;

	stress_clean(s);
	s->kind = kind;
	if (kind == STRESS_GPUS_PLAIN)
		vsvm_set_open(&s->set, gpus, layout);
	else
		stress_vram_open(s, gpus);
	igt_assert_eq(vsvm_ioctl(s->set.fd[0], DRM_IOCTL_VSVM_QUERY, &q), 0);
	s->engines = q.value;
	s->subtest = subtest;
	s->seed = seed;
	s->random = seed;
	s->step = 0;
	s->steps = steps;
	s->nr_log = 0;
	s->nr_pack = 0;
	s->nr_jobs = 0;
	s->nr_failed = 0;
	for (i = 0; i < gpus; i++) {
		s->joined[i] = true;
		s->plugged[i] = true;
	}
	s->results = fenced(SZ_4K);
	s->flags = fenced(SZ_4K);
	s->out = fenced(STRESS_OUT_PAGES * SZ_4K);
	stress_model_init(s);
}

/* Run @steps steps from @seed. */
void stress_run(struct stress *s, const char *subtest, int gpus,
		uint32_t layout, enum stress_gpus kind, uint64_t seed,
		unsigned int steps)
{
	int64_t begin = vsvm_now();

	igt_info("seed %llu, %u steps\n", (unsigned long long)seed, steps);
	start(s, subtest, gpus, layout, kind, seed, steps);
	stress_chaos_start(s);
	for (s->step = 1; s->step <= steps; s->step++) {
		if (!(s->step % 250))
			stress_check_all(s);
		else if (kind != STRESS_GPUS_PLAIN && stress_below(s, 100) < 25)
			stress_vram_op(s);
		else if (stress_below(s, 100) < 45)
			stress_job_new(s);
		else if (stress_below(s, 100) < 25)
			stress_job_wait_any(s);
		else
			stress_mm_op(s);
	}
	stress_check_all(s);
	stress_children_end(s);
	igt_info("%u steps, %u jobs, %u of them failed as they had to, %lld ms\n",
		 steps, s->nr_jobs, s->nr_failed,
		 (long long)(vsvm_now() - begin) / 1000000);
	if (kind != STRESS_GPUS_PLAIN) {
		stress_chaos_stop();
		forget_memory(s);
		stress_vram_end(s);
	}
	stress_clean(s);
}
