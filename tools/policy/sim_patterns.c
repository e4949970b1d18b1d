// SPDX-License-Identifier: MIT
/*
 * Machines and access patterns of the simulator. Each constant of a machine says
 * where it comes from; Documentation/gpu/drm-msvm-policy.rst has the list.
 */
#include <stdlib.h>

#include <linux/prandom.h>

#include "sim.h"

#define MB		(1ULL << 20)

/*
 * A move of 2 MiB in Linux' xe takes 132 us, 106 of them the copy (THP for device
 * pages, dri-devel 2026-01): 2 MiB / 106 us = 19.8 GB/s, and 26 us beside it. A fault
 * takes 20 to 50 us in nvidia-uvm (HPCA'16, ASPLOS'20), binding 2 us in xe. PCIe gen4
 * x16 carries 25 GB/s, NVLink 3 300 GB/s each way of which 200 are reached, an A100's
 * own memory 1555 GB/s. Peers across a host bridge reach 10 GB/s.
 */
#define COMMON						\
	.vram = 512,					\
	.local_bw = 1555000, .host_bw = 25000, .copy_bw = 19800, \
	.latency_local = 500, .latency_peer = 1000, .latency_host = 1500, \
	.fault = 30000, .map = 2000, .move = 26000

const struct machine machines[] = {
	{ .name = "fast peers", COMMON, .range = 2 * MB, .groups = 1, .peer_bw = 200000 },
	{ .name = "slow peers", COMMON, .range = 2 * MB, .groups = 1,
	  .peer_bw = 10000, .peer_over_host = true },
	{ .name = "no peers", COMMON, .range = 2 * MB, .groups = 1 },
	{ .name = "two pairs", COMMON, .range = 2 * MB, .groups = 2, .peer_bw = 200000 },
	{ .name = "ranges of 64 KiB", COMMON, .range = 64 << 10, .groups = 1,
	  .peer_bw = 200000 },
};

unsigned int sim_length = 100;
unsigned int sim_extent, sim_passes;

const unsigned int nr_machines = ARRAY_SIZE(machines);

static void add(struct trace *t, unsigned int g, u32 range, u32 bytes)
{
	if (t->nr[g] == t->room[g]) {
		t->room[g] = t->room[g] ? 2 * t->room[g] : 1024;
		t->ops[g] = realloc(t->ops[g], t->room[g] * sizeof(struct op));
		if (!t->ops[g])
			abort();
	}
	t->ops[g][t->nr[g]++] = (struct op) { .range = range, .bytes = bytes };
	if (bytes && range >= t->ranges)
		t->ranges = range + 1;
}

/* So many times, for the length that is wanted; at least once. */
static unsigned int times(unsigned int n)
{
	n = n * sim_length / 100;
	return n ? n : 1;
}

static void barrier(struct trace *t)
{
	unsigned int g;

	for (g = 0; g < SIM_GPUS; g++)
		add(t, g, 0, 0);
}

/* So many ranges were allocated at once. */
static void area(struct trace *t, unsigned int from, unsigned int nr)
{
	unsigned int i;

	for (i = from; i < from + nr; i++)
		if (t->extent[i] < nr)
			t->extent[i] = nr;
}

/* Each GPU goes through memory of its own again and again. */
static void passes(struct trace *t, const struct machine *m, unsigned int g,
		   unsigned int from, unsigned int nr, unsigned int often)
{
	unsigned int pass, i;

	area(t, from, nr);
	for (pass = 0; pass < often; pass++)
		for (i = 0; i < nr; i++)
			add(t, g, from + i, m->range);
}

static void make_private(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g;

	(void)seed;
	for (g = 0; g < SIM_GPUS; g++)
		passes(t, m, g, g * 256, 256, times(16));
}

static void make_read_shared(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g, pass;

	(void)seed;
	for (pass = 0; pass < times(32); pass++) {
		for (g = 0; g < SIM_GPUS; g++)
			passes(t, m, g, 0, 128, 1);
		barrier(t);
	}
}

static void make_write_shared(struct trace *t, const struct machine *m, u64 seed)
{
	struct rnd_state rnd;
	unsigned int g, i;

	(void)m;
	for (g = 0; g < SIM_GPUS; g++) {
		area(t, 0, 32);
		prandom_seed_state(&rnd, seed * 100 + g);
		for (i = 0; i < times(50000); i++)
			add(t, g, prandom_u32_state(&rnd) % 32, 4096);
	}
}

/* Each GPU writes what its neighbour reads next. */
static void make_producer(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g, epoch;

	(void)seed;
	for (epoch = 0; epoch < times(64); epoch++) {
		for (g = 0; g < SIM_GPUS; g++)
			passes(t, m, g, g * 32, 32, 1);
		barrier(t);
		for (g = 0; g < SIM_GPUS; g++)
			passes(t, m, g, (g + 1) % SIM_GPUS * 32, 32, 1);
		barrier(t);
	}
}

static void make_stream(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g;

	(void)seed;
	for (g = 0; g < SIM_GPUS; g++)
		passes(t, m, g, g * m->vram * 3 / 2, m->vram * 3 / 2, times(32));
}

static void make_random(struct trace *t, u64 seed, unsigned int ranges,
			unsigned int bytes, unsigned int ops)
{
	struct rnd_state rnd;
	unsigned int g, i;

	area(t, 0, ranges);
	for (g = 0; g < SIM_GPUS; g++) {
		prandom_seed_state(&rnd, seed * 100 + g);
		for (i = 0; i < times(ops); i++)
			add(t, g, prandom_u32_state(&rnd) % ranges, bytes);
	}
}

static void make_random_sparse(struct trace *t, const struct machine *m, u64 seed)
{
	(void)m;
	make_random(t, seed, 1024, 8192, 200000);
}

static void make_random_dense(struct trace *t, const struct machine *m, u64 seed)
{
	make_random(t, seed, 256, m->range, 8000);
}

/* More than fits, but most accesses are to a fifth of it. */
static void make_hot_cold(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g, i, nr = m->vram * 3 / 2, at;
	struct rnd_state rnd;

	for (g = 0; g < SIM_GPUS; g++) {
		area(t, g * nr, nr);
		prandom_seed_state(&rnd, seed * 100 + g);
		for (i = 0; i < times(60000); i++) {
			at = prandom_u32_state(&rnd) % (nr / 5);
			if (prandom_u32_state(&rnd) % 10 == 0)
				at = prandom_u32_state(&rnd) % nr;
			add(t, g, g * nr + at * 7 % nr, m->range);
		}
	}
}

/* A working set that fits, then another one. */
static void make_phases(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g, nr = m->vram * 3 / 4;

	(void)seed;
	for (g = 0; g < SIM_GPUS; g++) {
		passes(t, m, g, g * 2 * nr, nr, times(64));
		passes(t, m, g, (g * 2 + 1) * nr, nr, times(64));
	}
}

/* Parts of a grid: each GPU's own, and the edges of its neighbours'. */
static void make_halo(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g, step;

	(void)seed;
	for (step = 0; step < times(32); step++) {
		for (g = 0; g < SIM_GPUS; g++) {
			passes(t, m, g, g * 200, 200, 1);
			passes(t, m, g, (g + 1) % SIM_GPUS * 200, 4, 1);
		}
		barrier(t);
	}
}

/* One GPU needs more than it has, the others have room. */
static void make_unequal(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g;

	(void)seed;
	passes(t, m, 0, 0, m->vram * 3 / 2, times(32));
	for (g = 1; g < SIM_GPUS; g++)
		passes(t, m, g, m->vram * 3 / 2 + g * 64, 64, times(32));
}

/* Everything is used once: nothing that is moved pays off. */
static void make_once(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g;

	(void)seed;
	for (g = 0; g < SIM_GPUS; g++)
		passes(t, m, g, g * m->vram * 2, m->vram * 2, 1);
}

/* A buffer is one GPU's for long, then the next one's. */
static void make_hand_off(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g, epoch;

	(void)seed;
	for (epoch = 0; epoch < 8; epoch++) {
		for (g = 0; g < SIM_GPUS; g++)
			passes(t, m, g, (g + epoch) % SIM_GPUS * 64, 64, times(64));
		barrier(t);
	}
}

/* A working set that is used once, then one that is used for long. */
static void make_start_up(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g, nr = m->vram * 3 / 4;

	(void)seed;
	for (g = 0; g < SIM_GPUS; g++) {
		passes(t, m, g, g * 2 * nr, nr, 1);
		passes(t, m, g, (g * 2 + 1) * nr, nr, times(256));
	}
}

static void make_few_passes(struct trace *t, const struct machine *m, u64 seed)
{
	unsigned int g, nr = m->vram * sim_extent / 100;

	(void)seed;
	for (g = 0; g < SIM_GPUS; g++)
		passes(t, m, g, g * nr, nr, sim_passes);
}

const struct pattern few_passes = {
	.name = "few passes", .make = make_few_passes,
};

const struct pattern patterns[] = {
	{ "private", "each GPU uses memory of its own, 16 times", false, true, false,
	  make_private },
	{ "read-shared", "all GPUs read the same, 32 times", false, true, false,
	  make_read_shared },
	{ "write-shared", "all GPUs write 4 KiB here and there in the same 64 MiB", false, true,
	  true, make_write_shared },
	{ "producer-consumer", "each GPU writes what its neighbour reads once", false, true, false,
	  make_producer },
	{ "stream", "each GPU goes through 1.5 times its memory, 32 times", false, true, false,
	  make_stream },
	{ "random-sparse", "all GPUs access 8 KiB anywhere in 2 GiB", false, true, true,
	  make_random_sparse },
	{ "random-dense", "all GPUs access 2 MiB anywhere in 512 MiB", false, true, true,
	  make_random_dense },
	{ "hot-cold", "1.5 times a GPU's memory, 9 of 10 accesses to a fifth of it", false, false,
	  true, make_hot_cold },
	{ "phases", "a working set of 3/4 of a GPU's memory, then another", false, false, false,
	  make_phases },
	{ "start-up", "a working set of 3/4 of a GPU's memory, once, then another 256 times",
	  false, false, false, make_start_up },
	{ "halo", "each GPU its own, and 2 % of its neighbour's", false, false, false, make_halo },
	{ "unequal", "one GPU needs 1.5 times its memory, others little", false, false, false,
	  make_unequal },
	{ "once", "each GPU uses twice its memory, once", false, false, false, make_once },
	{ "hand-off", "buffers are used 64 times by one GPU, then by the next", true, false, false,
	  make_hand_off },
};

const unsigned int nr_patterns = ARRAY_SIZE(patterns);
