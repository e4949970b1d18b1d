// SPDX-License-Identifier: MIT
/*
 * Runs every pattern on every machine under every placement, and under what somebody
 * would choose who knows the future: prints tables in reStructuredText, and says
 * whether the default placement is near enough to the best of all.
 *
 * policy-sim [--check] [--brief]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define SEEDS		5
/* The default may take so much longer than the best, in hundredths. */
#define LIMIT		130

enum { FIXED_SYSTEM, FIXED_FREQUENT, FIXED_SPREAD, FIXED_GPU, NR_FIXED = FIXED_GPU + SIM_GPUS };

static const char * const fixed_names[NR_FIXED] = {
	"all in system", "at its most frequent user", "spread",
	"all at GPU 0", "all at GPU 1", "all at GPU 2", "all at GPU 3",
};

/* Bytes that each GPU accesses in each range. */
static u64 use[SIM_RANGES][SIM_GPUS];

static void count_use(const struct trace *t)
{
	unsigned int g, i;

	memset(use, 0, sizeof(use));
	for (g = 0; g < SIM_GPUS; g++)
		for (i = 0; i < t->nr[g]; i++)
			use[t->ops[g][i].range][g] += t->ops[g][i].bytes;
}

static u64 total_use(unsigned int range)
{
	u64 sum = 0;
	unsigned int g;

	for (g = 0; g < SIM_GPUS; g++)
		sum += use[range][g];
	return sum;
}

static int by_use(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a, y = *(const unsigned int *)b;
	u64 ux = total_use(x), uy = total_use(y);

	return ux != uy ? (ux < uy ? 1 : -1) : (x > y) - (x < y);
}

static unsigned int favourite(int kind, unsigned int range)
{
	unsigned int g, best = 0;

	if (kind == FIXED_SPREAD)
		return range % SIM_GPUS;
	if (kind >= FIXED_GPU)
		return kind - FIXED_GPU;
	for (g = 1; g < SIM_GPUS; g++)
		if (use[range][g] > use[range][best])
			best = g;
	return best;
}

/* The places of all ranges: the most used first, as far as there is room. */
static void fix(const struct machine *m, const struct trace *t, int kind, u8 *fixed)
{
	unsigned int order[SIM_RANGES], room[SIM_GPUS], i, g, to;

	for (g = 0; g < SIM_GPUS; g++)
		room[g] = m->vram;
	for (i = 0; i < t->ranges; i++)
		order[i] = i;
	qsort(order, t->ranges, sizeof(*order), by_use);
	for (i = 0; i < t->ranges; i++) {
		fixed[order[i]] = MSVM_AT_SYSTEM;
		if (kind == FIXED_SYSTEM)
			continue;
		to = favourite(kind, order[i]);
		for (g = 0; g < SIM_GPUS; g++)
			if (use[order[i]][g] && !machine_reaches(m, g, to))
				break;
		if (g < SIM_GPUS || !room[to])
			continue;
		room[to]--;
		fixed[order[i]] = to;
	}
}

struct row {
	struct result result[MSVM_PLACEMENTS];
	u64 best;
	const char *best_name;
};

static struct msvm_policy_params policy(enum msvm_placement placement)
{
	struct msvm_policy_params params = msvm_policy_default;

	params.placement = placement;
	return params;
}

static void run_row(const struct machine *m, const struct pattern *p, u64 seed,
		    struct row *row)
{
	static u8 fixed[SIM_RANGES];
	struct trace t = {};
	struct result result;
	unsigned int g;
	int kind;

	p->make(&t, m, seed);
	if (t.ranges > SIM_RANGES)
		abort();
	count_use(&t);
	row->best = ~0ULL;
	for (kind = 0; kind < MSVM_PLACEMENTS; kind++) {
		struct msvm_policy_params params = policy(kind);

		row->result[kind] = sim_run(m, &t, &params, NULL);
		if (row->result[kind].ns < row->best) {
			row->best = row->result[kind].ns;
			row->best_name = msvm_placement_names[kind];
		}
	}
	for (kind = 0; kind < NR_FIXED; kind++) {
		fix(m, &t, kind, fixed);
		result = sim_run(m, &t, NULL, fixed);
		if (result.ns < row->best) {
			row->best = result.ns;
			row->best_name = fixed_names[kind];
		}
	}
	for (g = 0; g < SIM_GPUS; g++)
		free(t.ops[g]);
}

static unsigned int ratio(const struct row *row)
{
	return (row->result[MSVM_PLACEMENT_ADAPTIVE].ns * 100 + row->best - 1) / row->best;
}

static void print_time(u64 ns)
{
	printf("     - %llu.%llu", ns / 1000000, ns / 100000 % 10);
}

static void print_table(const struct machine *m, bool limit)
{
	unsigned int p, worst, seed;
	struct row row, other;
	int kind;

	printf(".. list-table:: %s: ms (MiB moved)%s\n   :header-rows: 1\n\n   * - pattern\n",
	       m->name, limit ? "; what faults can't tell" : "");
	for (kind = 0; kind < MSVM_PLACEMENTS; kind++)
		printf("     - %s\n", msvm_placement_names[kind]);
	printf("     - best\n     - ratio\n     - worst of %u seeds\n", SEEDS);
	for (p = 0; p < nr_patterns; p++) {
		if (patterns[p].limit != limit)
			continue;
		run_row(m, &patterns[p], 1, &row);
		worst = ratio(&row);
		for (seed = 2; seed <= SEEDS; seed++) {
			run_row(m, &patterns[p], seed, &other);
			worst = ratio(&other) > worst ? ratio(&other) : worst;
		}
		printf("   * - %s\n", patterns[p].name);
		for (kind = 0; kind < MSVM_PLACEMENTS; kind++) {
			print_time(row.result[kind].ns);
			printf(" (%llu)\n", row.result[kind].moved >> 20);
		}
		print_time(row.best);
		printf(": %s\n     - %u.%02u\n     - %u.%02u\n", row.best_name,
		       ratio(&row) / 100, ratio(&row) % 100, worst / 100, worst % 100);
	}
	printf("\n");
}

/* How the ratio depends on how long a program runs: first moves have to pay off. */
static void print_lengths(void)
{
	static const unsigned int lengths[] = { 25, 50, 100, 200, 400 };
	unsigned int m, p, i;
	struct row row;

	for (m = 0; m < nr_machines; m++) {
		printf(".. list-table:: %s: ratio by length\n   :header-rows: 1\n\n   * - pattern\n",
		       machines[m].name);
		for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
			printf("     - %u %%\n", lengths[i]);
		for (p = 0; p < nr_patterns; p++) {
			printf("   * - %s\n", patterns[p].name);
			for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
				sim_length = lengths[i];
				run_row(&machines[m], &patterns[p], 1, &row);
				printf("     - %u.%02u\n", ratio(&row) / 100,
				       ratio(&row) % 100);
			}
			sim_length = 100;
		}
		printf("\n");
	}
}

/* One line each, and whether all are within the limit. */
static int check(bool brief)
{
	unsigned int m, p, seed;
	struct row row;
	int failed = 0;

	for (m = 0; m < nr_machines; m++) {
		for (p = 0; p < nr_patterns; p++) {
			for (seed = 1; seed <= (brief ? 1 : SEEDS); seed++) {
				const struct result *r;
				bool bad;

				run_row(&machines[m], &patterns[p], seed, &row);
				r = &row.result[MSVM_PLACEMENT_ADAPTIVE];
				bad = !patterns[p].limit && ratio(&row) > LIMIT;
				failed += bad;
				if (!bad && !brief)
					continue;
				printf("%s %s, %s, seed %u: %u.%02u of %s (%llu us); %llu MiB, %u faults, %u evictions, %u throttles, %u pins\n",
				       bad ? "not ok" : patterns[p].limit ? "limit" : "ok",
				       machines[m].name, patterns[p].name, seed,
				       ratio(&row) / 100, ratio(&row) % 100,
				       row.best_name, row.best / 1000, r->moved >> 20,
				       r->faults, r->evictions, r->throttles, r->pins);
			}
		}
	}
	printf("%s adaptive is within %u.%02u of the best\n", failed ? "not ok" : "ok",
	       LIMIT / 100, LIMIT % 100);
	return failed;
}

int main(int argc, char **argv)
{
	unsigned int m, p;

	if (argc > 1 && !strcmp(argv[1], "--check"))
		return !!check(false);
	if (argc > 1 && !strcmp(argv[1], "--brief"))
		return !!check(true);
	printf("Patterns:\n\n");
	for (p = 0; p < nr_patterns; p++)
		printf("``%s``\n    %s.\n\n", patterns[p].name, patterns[p].what);
	for (m = 0; m < nr_machines; m++) {
		print_table(&machines[m], false);
		print_table(&machines[m], true);
	}
	print_lengths();
	return 0;
}
