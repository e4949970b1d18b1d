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

/* @fixed: the best of the static assignments; @best: of all. */
struct row {
	struct result result[MSVM_PLACEMENTS];
	u64 fixed;
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
	row->fixed = ~0ULL;
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
		row->fixed = result.ns < row->fixed ? result.ns : row->fixed;
		if (result.ns < row->best) {
			row->best = result.ns;
			row->best_name = fixed_names[kind];
		}
	}
	for (g = 0; g < SIM_GPUS; g++)
		free(t.ops[g]);
}

/* In hundredths, rounded up. */
static unsigned int ratio_to(const struct row *row, u64 to)
{
	return (row->result[MSVM_PLACEMENT_ADAPTIVE].ns * 100 + to - 1) / to;
}

static unsigned int ratio(const struct row *row)
{
	return ratio_to(row, row->best);
}

/* Simple tables of reStructuredText: columns are as wide as their rules. */
static void print_rule(unsigned int columns, bool best)
{
	printf("==================");
	while (columns--)
		printf(" ============");
	printf(best ? " ======= ===== ===== ====== ========================\n" : "\n");
}

static void print_head(const char *first, bool best)
{
	int kind;

	print_rule(MSVM_PLACEMENTS, best);
	printf("%-18s", first);
	for (kind = 0; kind < MSVM_PLACEMENTS; kind++)
		printf(" %-12s", msvm_placement_names[kind]);
	if (best)
		printf(" best    ratio worst static by");
	printf("\n");
	print_rule(MSVM_PLACEMENTS, best);
}

/* Two tables: times, and what was moved. */
static void print_machine(const struct machine *m)
{
	static struct row rows[16];
	unsigned int p, worst, seed, r, fixed;
	struct row other;
	int kind;

	printf("On a machine with %s, simulated time in ms:\n\n", m->name);
	print_head("pattern", true);
	for (p = 0; p < nr_patterns; p++) {
		run_row(m, &patterns[p], 1, &rows[p]);
		worst = ratio(&rows[p]);
		for (seed = 2; patterns[p].seeded && seed <= SEEDS; seed++) {
			run_row(m, &patterns[p], seed, &other);
			worst = ratio(&other) > worst ? ratio(&other) : worst;
		}
		printf("%-18s", patterns[p].name);
		for (kind = 0; kind < MSVM_PLACEMENTS; kind++)
			printf(" %10llu.%llu", rows[p].result[kind].ns / 1000000,
			       rows[p].result[kind].ns / 100000 % 10);
		r = ratio(&rows[p]);
		fixed = ratio_to(&rows[p], rows[p].fixed);
		printf(" %5llu.%llu %2u.%02u %2u.%02u %3u.%02u %s\n", rows[p].best / 1000000,
		       rows[p].best / 100000 % 10, r / 100, r % 100, worst / 100,
		       worst % 100, fixed / 100, fixed % 100, rows[p].best_name);
	}
	print_rule(MSVM_PLACEMENTS, true);
	printf("\nMoved, in MiB:\n\n");
	print_head("pattern", false);
	for (p = 0; p < nr_patterns; p++) {
		printf("%-18s", patterns[p].name);
		for (kind = 0; kind < MSVM_PLACEMENTS; kind++)
			printf(" %12llu", rows[p].result[kind].moved >> 20);
		printf("\n");
	}
	print_rule(MSVM_PLACEMENTS, false);
	printf("\n");
}

/* How the ratio depends on how long a program runs: first moves have to pay off. */
static const unsigned int lengths[] = { 25, 50, 100, 200 };

static void print_lengths(void)
{
	unsigned int m, p, i;
	struct row row;

	for (m = 0; m < nr_machines; m++) {
		printf("Ratio of adaptive to the best with %s, for runs of other lengths:\n\n",
		       machines[m].name);
		print_rule(4, false);
		printf("pattern            25 %%         50 %%         100 %%        200 %%\n");
		print_rule(4, false);
		for (p = 0; p < nr_patterns; p++) {
			printf("%-18s", patterns[p].name);
			for (i = 0; i < ARRAY_SIZE(lengths); i++) {
				sim_length = lengths[i];
				run_row(&machines[m], &patterns[p], 1, &row);
				printf(" %9u.%02u", ratio(&row) / 100, ratio(&row) % 100);
			}
			printf("\n");
			sim_length = 100;
		}
		print_rule(4, false);
		printf("\n");
	}
}

/* Streams through so much, in percent of a GPU's memory, so many times. */
static const unsigned int extents[] = { 110, 120, 150, 200, 400 };
static const unsigned int passes[] = { 1, 2, 4, 8 };

static void print_streams(void)
{
	unsigned int m, e, i;
	struct row row;

	printf("The same for streams of few passes, by how much each GPU goes through:\n\n");
	print_rule(5, false);
	printf("%-18s %-12s %-12s %-12s %-12s %s\n", "passes", "110 %", "120 %",
	       "150 %", "200 %", "400 %");
	print_rule(5, false);
	for (m = 0; m < nr_machines; m++) {
		/* Nobody uses another GPU's memory: those with ranges of 2 MiB are alike. */
		if (m && machines[m].range == machines[0].range)
			continue;
		for (i = 0; i < ARRAY_SIZE(passes); i++) {
			sim_passes = passes[i];
			printf("%u, %-15s", passes[i], m ? "64 KiB" : "2 MiB");
			for (e = 0; e < ARRAY_SIZE(extents); e++) {
				sim_extent = extents[e];
				run_row(&machines[m], &few_passes, 1, &row);
				printf(" %9u.%02u", ratio(&row) / 100, ratio(&row) % 100);
			}
			printf("\n");
		}
	}
	print_rule(5, false);
	printf("\n");
}

/* Beyond the limit, and why is in the document: up to that length or so many passes. */
static const struct {
	const char *pattern;
	unsigned int machine, length;
} known[] = {
	{ "random-sparse", 1, 50 }, { "random-sparse", 2, 50 }, { "random-sparse", 3, 50 },
	{ "private", 4, 25 }, { "once", 4, 200 },
};

static bool is_known(const struct pattern *p, unsigned int machine)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(known[i].pattern, p->name) && known[i].machine == machine &&
		    sim_length <= known[i].length)
			return true;
	return p->limit;
}

/* One line each if asked for or if it is beyond the limit. Return: whether it fails. */
static bool check_one(const struct pattern *p, unsigned int machine, u64 seed, bool beyond,
		      bool brief)
{
	const struct result *r;
	struct row row;
	bool bad;

	run_row(&machines[machine], p, seed, &row);
	r = &row.result[MSVM_PLACEMENT_ADAPTIVE];
	bad = ratio(&row) > LIMIT;
	if (bad || brief) {
		printf("%s %s, %s, length %u, seed %llu: %u.%02u of %s (%llu us); ",
		       bad && !beyond ? "not ok" : bad ? "limit" : "ok",
		       machines[machine].name, p->name, sim_length, seed,
		       ratio(&row) / 100, ratio(&row) % 100, row.best_name, row.best / 1000);
		printf("%llu MiB, %u faults, %u evictions, %u throttles, %u pins\n",
		       r->moved >> 20, r->faults, r->evictions, r->throttles, r->pins);
	}
	return bad && !beyond;
}

/* Streams of few passes through 1.5 times and twice what there is. */
static int check_streams(void)
{
	unsigned int m, i;
	int failed = 0;

	for (m = 0; m < nr_machines; m++) {
		for (i = 0; i < ARRAY_SIZE(passes); i++) {
			sim_passes = passes[i];
			for (sim_extent = 150; sim_extent <= 200; sim_extent += 50)
				failed += check_one(&few_passes, m, 1, passes[i] <= 2 &&
						    machines[m].range != machines[0].range,
						    false);
		}
	}
	return failed;
}

/* Whether all are within the limit that should be. */
static int check(bool brief)
{
	unsigned int m, p, i, seed;
	int failed = 0;

	for (m = 0; m < nr_machines; m++) {
		for (p = 0; p < nr_patterns; p++) {
			const struct pattern *pattern = &patterns[p];

			for (seed = 1; seed <= (brief || !pattern->seeded ? 1 : SEEDS); seed++)
				failed += check_one(pattern, m, seed, is_known(pattern, m), brief);
			/* Longer runs are nearer. */
			for (i = 0; pattern->lengths && !brief && lengths[i] < 100; i++) {
				sim_length = lengths[i];
				failed += check_one(pattern, m, 1, is_known(pattern, m), false);
			}
			sim_length = 100;
		}
	}
	if (!brief)
		failed += check_streams();
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
	printf("Patterns (that with a * is reported, not judged):\n\n");
	for (p = 0; p < nr_patterns; p++)
		printf("``%s``%s\n    %s.\n\n", patterns[p].name,
		       patterns[p].limit ? " \\*" : "", patterns[p].what);
	for (m = 0; m < nr_machines; m++)
		print_machine(&machines[m]);
	print_lengths();
	print_streams();
	return 0;
}
