// SPDX-License-Identifier: MIT
/*
 * What goes on beside jobs, see beside.h. Both use one word in each page, which the
 * jobs leave alone, and check that nobody else's writes were lost with it.
 */
#include <pthread.h>
#include <string.h>

#include "beside.h"
#include "igt_compat.h"
#include "kinds.h"
#include "uffd.h"

/**
 * struct race - CPU threads that touch what the jobs touch.
 * @p: The memory.
 * @npages: Pieces of 4 KiB in it.
 * @threads: One writes, one reads, from the other end.
 * @started: Number of @threads that are there.
 * @stop: They are to end.
 * @bad: Piece whose word was not what the thread had just written, or -1.
 */
static struct race {
	char *p;
	long npages;
	pthread_t threads[2];
	int started;
	bool stop;
	long bad;
} race;

static volatile uint64_t *word_of(char *p, long page)
{
	return (uint64_t *)(p + page * SZ_4K + BESIDE_AT);
}

static uint64_t race_value(long page, uint64_t pass)
{
	return 0xace0000000000000ULL + (pass << 32) + page;
}

/* All of it once at least: most of the time it is the first to touch it. */
static void *race_writes(void *data)
{
	uint64_t pass = 0;
	long i;

	(void)data;
	do {
		for (i = 0; i < race.npages; i++) {
			*word_of(race.p, i) = race_value(i, pass);
			if (*word_of(race.p, i) != race_value(i, pass))
				race.bad = i;
		}
		for (i = 0; i < race.npages; i++)
			if (*word_of(race.p, i) != race_value(i, pass))
				race.bad = i;
		/* The last thing that is written is known. */
		pass = !pass;
	} while (!__atomic_load_n(&race.stop, __ATOMIC_ACQUIRE) || pass);
	return NULL;
}

static void *race_reads(void *data)
{
	long i;

	(void)data;
	do {
		for (i = race.npages - 1; i >= 0; i--)
			(void)*word_of(race.p, i);
	} while (!__atomic_load_n(&race.stop, __ATOMIC_ACQUIRE));
	return NULL;
}

static void race_join(void)
{
	__atomic_store_n(&race.stop, true, __ATOMIC_RELEASE);
	while (race.started)
		join_thread(race.threads[--race.started]);
}

/* What a subtest that failed left behind is ended first. */
void race_start(struct vsvm_set *set, char *p, size_t len, uint64_t was)
{
	(void)set;
	(void)was;
	race_join();
	race = (struct race) {
		.p = p, .npages = len / SZ_4K, .bad = -1,
	};
	igt_assert(!pthread_create(&race.threads[0], NULL, race_writes, NULL));
	race.started++;
	igt_assert(!pthread_create(&race.threads[1], NULL, race_reads, NULL));
	race.started++;
}

void race_end(struct vsvm_set *set)
{
	long i;

	(void)set;
	race_join();
	igt_assert_f(race.bad < 0, "the CPU lost its word in page %ld\n",
		     race.bad);
	for (i = 0; i < race.npages; i++)
		igt_assert_eq_u64(*word_of(race.p, i), race_value(i, 1));
}

/* Pages that each job faults in. */
#define FAULT_PAGES	64

/**
 * struct faults - Jobs of the second engine of each GPU, which fault all at once.
 * @words: What they add to.
 * @n: Number of @words.
 * @was: What these were before.
 * @jobs: One of each GPU.
 */
static struct faults {
	uint64_t *words[FAULT_PAGES];
	int n;
	uint64_t was;
	uint64_t jobs[VSVM_MAX_SET];
} faults;

void faults_start(struct vsvm_set *set, char *p, size_t len, uint64_t was)
{
	struct drm_vsvm_cmd cmds[FAULT_PAGES];
	long npages = len / SZ_4K;
	int i, gpu;

	faults.n = npages < FAULT_PAGES ? npages : FAULT_PAGES;
	faults.was = was;
	for (i = 0; i < faults.n; i++) {
		faults.words[i] = (uint64_t *)word_of(p, i * npages / faults.n);
		cmds[i] = vsvm_add(faults.words[i], 8, 1, NULL);
	}
	for (gpu = 0; gpu < set->n; gpu++)
		faults.jobs[gpu] = vsvm_submit(set->fd[gpu], set->vm[gpu], 1,
					       cmds, faults.n);
}

void faults_end(struct vsvm_set *set)
{
	int i, gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert_eq(vsvm_wait(set->fd[gpu], set->vm[gpu],
					faults.jobs[gpu]).status, 0);
	for (i = 0; i < faults.n; i++)
		igt_assert_eq_u64(*faults.words[i], faults.was + set->n);
}
