// SPDX-License-Identifier: MIT
/*
 * Randomised stress: GPUs compute in memory that the process maps, protects,
 * moves, swaps out, truncates and copies; a model knows what every job must end
 * with and what every byte must be. A run is repeated by its seed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/each.h"
#include "../lib/stress.h"

static struct stress stress;
static uint64_t seed;
static bool seed_given;
static unsigned int ops, minutes;

static const struct config {
	const char *name;
	int gpus;
	uint32_t layout;
	enum stress_gpus kind;
} configs[] = {
	{ "stress-vram-4gpu", 4, DRM_VSVM_VM_LAYOUT_MSVM, STRESS_GPUS_VRAM },
	{ "stress-1gpu", 1, DRM_VSVM_VM_LAYOUT_MSVM, STRESS_GPUS_PLAIN },
	{ "stress-mixed-8gpu", 8, DRM_VSVM_VM_LAYOUT_MSVM, STRESS_GPUS_MIXED },
	{ "stress-4gpu", 4, DRM_VSVM_VM_LAYOUT_MSVM, STRESS_GPUS_PLAIN },
	{ "stress-peers-4gpu", 4, DRM_VSVM_VM_LAYOUT_MSVM, STRESS_GPUS_PEERS },
	{ "stress-8gpu", 8, DRM_VSVM_VM_LAYOUT_MSVM, STRESS_GPUS_PLAIN },
	{ "stress-vram-1gpu", 1, DRM_VSVM_VM_LAYOUT_MSVM, STRESS_GPUS_VRAM },
	{ "stress-1to1-2gpu", 2, DRM_VSVM_VM_LAYOUT_1TO1, STRESS_GPUS_PLAIN },
};

#define NUM_CONFIGS (sizeof(configs) / sizeof(configs[0]))

/* Where memory moves a step takes some times longer. */
static unsigned int steps(const struct config *c)
{
	unsigned int n;

	if (ops)
		return ops;
	n = minutes ? vsvm_scale(1000, 300) : vsvm_scale(700, 150);
	return c->kind == STRESS_GPUS_PLAIN ? n : n / 4;
}

/* One seed after the other, each with all numbers of GPUs. */
static void soak(void)
{
	int64_t end = vsvm_now() + minutes * 60 * 1000000000LL;
	const struct config *c;
	unsigned int i;

	for (i = 0; vsvm_now() < end; i++) {
		c = &configs[i % NUM_CONFIGS];
		stress_run(&stress, c->name, c->gpus, c->layout, c->kind,
			   seed + i / NUM_CONFIGS, steps(c));
	}
	igt_info("%u runs, seeds from %llu to %llu\n", i,
		 (unsigned long long)seed,
		 (unsigned long long)(seed + (i - 1) / NUM_CONFIGS));
	/* What is rare is done in two rounds of all kinds of GPUs. */
	stress_verbs_print(i >= 2 * NUM_CONFIGS);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end) {
		fprintf(stderr, "not a number: %s\n", text);
		exit(2);
	}
	return value;
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? number(text) : otherwise;
}

static int option(int opt, int index, void *data)
{
	(void)index;
	(void)data;
	if (opt != 's')
		return IGT_OPT_HANDLER_ERROR;
	seed = number(optarg);
	seed_given = true;
	return IGT_OPT_HANDLER_SUCCESS;
}

static const struct option options[] = {
	{ "seed", required_argument, NULL, 's' },
	{ }
};

static void read_environment(void)
{
	if (!seed_given)
		seed = env_number("MSVM_SEED", 1);
	ops = env_number("MSVM_OPS", 0);
	minutes = env_number("MSVM_MINUTES", 0);
}

static const char help[] =
	"  --seed N\tfirst seed (1); also MSVM_SEED\n"
	"  MSVM_OPS=N\tsteps of a run\n"
	"  MSVM_MINUTES=N\tonly subtest soak: successive seeds for so long\n"
	"  MSVM_HUGE=1\tGPUs' memory takes huge pages as one (Linux 7.3 has a bug there)\n"
	"  MSVM_TRACE=1\tprint each operation before it is made\n";

igt_main_args("", options, help, option, NULL)
{
	/* Survives the jump out of a failed subtest. */
	static unsigned int i;

	read_environment();
	igt_fixture {
		stress_system_prepare();
	}

	for (i = 0; !minutes && i < NUM_CONFIGS; i++) {
		igt_describe("random operations of GPUs and of the process");
		igt_subtest(configs[i].name)
			stress_run(&stress, configs[i].name, configs[i].gpus,
				   configs[i].layout, configs[i].kind, seed,
				   steps(&configs[i]));
	}
	if (minutes) {
		igt_describe("the same with one seed after the other");
		igt_subtest("soak")
			soak();
	}

	igt_fixture {
		stress_clean(&stress);
		stress_system_restore();
	}
}
