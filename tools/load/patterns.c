// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * msvm-load: the patterns. Each round every byte that is read is compared with what
 * must be there: by sums that the GPUs make, so that the CPU touches nothing but them
 * unless the pattern says so.
 */
#include <string.h>

#include "load.h"

static struct drm_vsvm_cmd fill(void *p, uint64_t value, size_t len)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_FILL, .dst = (uintptr_t)p,
		.arg0 = value & 0xff, .len = len,
	};
}

static struct drm_vsvm_cmd sum(const struct load *load, int gpu, void *p,
			       size_t len)
{
	return (struct drm_vsvm_cmd) {
		.op = DRM_VSVM_OP_SUM, .src = (uintptr_t)p, .len = len,
		.dst = (uintptr_t)load->gpu[gpu].result,
	};
}

/* The sum of @len bytes at @p, by a GPU, is to be that of @value in each. */
static void expect(struct load *load, int gpu, uint64_t value, size_t len)
{
	uint64_t got;

	gpu_wait(load, gpu);
	got = *load->gpu[gpu].result;
	*load->gpu[gpu].result = 0;
	if (got != (value & 0xff) * len)
		die(1, "GPU %d: read bytes that add up to %llu, not %llu", gpu,
		    (unsigned long long)got,
		    (unsigned long long)(value & 0xff) * len);
}

static size_t size_each(const struct load *load)
{
	return load->bytes * load->gpus;
}

static size_t size_once(const struct load *load)
{
	return load->bytes;
}

/* The CPU fills all with one value, as if it were read from a file. */
static void begin_filled(struct load *load)
{
	memset(load->memory, 1, load->bytes);
}

/* Each GPU has memory of its own, writes it and reads it. */
static void private_round(struct load *load, uint64_t round)
{
	int gpu;

	for (gpu = 0; gpu < load->gpus; gpu++) {
		char *own = load->memory + gpu * load->bytes;
		struct drm_vsvm_cmd cmds[] = {
			fill(own, round + gpu, load->bytes),
			sum(load, gpu, own, load->bytes),
		};

		gpu_submit(load, gpu, 0, cmds, 2);
		load->touched += 2 * load->bytes;
	}
	for (gpu = 0; gpu < load->gpus; gpu++)
		expect(load, gpu, round + gpu, load->bytes);
}

/* All GPUs read the same, at the same time, as the weights of a model. */
static void read_shared_round(struct load *load, uint64_t round)
{
	int gpu;

	(void)round;
	for (gpu = 0; gpu < load->gpus; gpu++) {
		struct drm_vsvm_cmd cmd = sum(load, gpu, load->memory,
					      load->bytes);

		gpu_submit(load, gpu, 0, &cmd, 1);
		load->touched += load->bytes;
	}
	for (gpu = 0; gpu < load->gpus; gpu++)
		expect(load, gpu, 1, load->bytes);
}

/* All GPUs write to the same memory, in turn. */
static void write_shared_round(struct load *load, uint64_t round)
{
	int gpu;

	for (gpu = 0; gpu < load->gpus; gpu++) {
		struct drm_vsvm_cmd cmds[] = {
			fill(load->memory, round + gpu, load->bytes),
			sum(load, gpu, load->memory, load->bytes),
		};

		gpu_submit(load, gpu, 0, cmds, 2);
		expect(load, gpu, round + gpu, load->bytes);
		load->touched += 2 * load->bytes;
	}
}

/* One GPU writes, the next one reads it twice; then that one writes. */
static void producer_consumer_round(struct load *load, uint64_t round)
{
	int from = round % load->gpus, to = (round + 1) % load->gpus, i;
	struct drm_vsvm_cmd cmd = fill(load->memory, round, load->bytes);

	gpu_run(load, from, &cmd);
	for (i = 0; i < 2; i++) {
		cmd = sum(load, to, load->memory, load->bytes);
		gpu_submit(load, to, 0, &cmd, 1);
		expect(load, to, round, load->bytes);
	}
	load->touched += 3 * load->bytes;
}

/* Each GPU reads its share from one end to the other, once a round. */
static void stream_round(struct load *load, uint64_t round)
{
	size_t share = load->bytes / load->gpus, at;
	int gpu;

	(void)round;
	for (at = 0; at < share; at += PIECE) {
		size_t len = share - at < PIECE ? share - at : PIECE;

		for (gpu = 0; gpu < load->gpus; gpu++) {
			struct drm_vsvm_cmd cmd =
				sum(load, gpu, load->memory + gpu * share + at,
				    len);

			gpu_submit(load, gpu, 0, &cmd, 1);
			load->touched += len;
		}
		for (gpu = 0; gpu < load->gpus; gpu++)
			expect(load, gpu, 1, len);
	}
}

/* xorshift64*, so that a seed gives the same work on every machine. */
static uint64_t next(struct load *load)
{
	uint64_t x = load->seed;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	load->seed = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/* All GPUs read pages here and there. */
static void random_round(struct load *load, uint64_t round)
{
	size_t page = 4096, pages = load->bytes / page, n = 16, i;
	int gpu;

	(void)round;
	for (gpu = 0; gpu < load->gpus; gpu++) {
		struct drm_vsvm_cmd cmds[16];

		for (i = 0; i < n; i++)
			cmds[i] = sum(load, gpu, load->memory +
				      next(load) % pages * page, page);
		gpu_submit(load, gpu, 0, cmds, n);
		load->touched += n * page;
	}
	for (gpu = 0; gpu < load->gpus; gpu++)
		expect(load, gpu, 1, n * page);
}

const struct pattern patterns[] = {
	{ "private", "each GPU writes and reads memory of its own",
	  size_each, NULL, private_round },
	{ "read-shared", "all GPUs read the same",
	  size_once, begin_filled, read_shared_round },
	{ "write-shared", "all GPUs write and read the same, in turn",
	  size_once, NULL, write_shared_round },
	{ "producer-consumer", "one GPU writes, the next one reads twice",
	  size_once, NULL, producer_consumer_round },
	{ "stream", "each GPU reads its share from end to end",
	  size_once, begin_filled, stream_round },
	{ "random", "all GPUs read pages here and there",
	  size_once, begin_filled, random_round },
	{}
};
