// SPDX-License-Identifier: MIT
/*
 * Placements of policies: where pages are after who touched them, and why. Each GPU
 * has a slot in the order in which they are opened.
 */
#include <stdio.h>
#include <string.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../lib/attr.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/policy.h"
#include "../lib/vram.h"

#define MIB	(1UL << 20)
#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")
#define SLOW	VRAM ATTR("copy_mbps=1")

static char *begin(const char *placement, size_t len)
{
	policy_restore();
	policy_restless();
	if (placement)
		policy_set("placement", placement);
	return anon_aligned(len, SZ_2M);
}

static void end(struct vsvm_set *set, char *p, size_t len)
{
	munmap(p, len);
	vram_expect_empty(set);
	policy_restore();
}

/* Do GPUs of this set reach each other's memory? */
static bool peers(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);
	bool reach;

	if (set->n == 1)
		return false;
	policy_set("placement", "first-touch");
	gpu_touch(set, 0, p);
	gpu_touch(set, 1, p);
	reach = vram_count(set, p, SZ_4K, where_gpu(set, 0));
	munmap(p, SZ_2M);
	return reach;
}

/* Whoever comes first has it; the others map it there, or nobody has it. */
static void first_touch(struct vsvm_set *set)
{
	size_t len = set->n * SZ_2M;
	char *p = begin(NULL, len);
	bool reach = peers(set);
	int gpu;

	policy_set("placement", "first-touch");
	for (gpu = 0; gpu < set->n; gpu++) {
		gpu_touch(set, gpu, p + gpu * SZ_2M);
		vram_expect(set, p + gpu * SZ_2M, SZ_2M, where_gpu(set, gpu));
	}
	for (gpu = 0; gpu < set->n; gpu++) {
		char *next = p + (gpu + 1) % set->n * SZ_2M;

		gpu_touch(set, gpu, next);
		vram_expect(set, next, SZ_2M, reach || set->n == 1 ?
			    where_gpu(set, (gpu + 1) % set->n) : WHERE_SYSTEM);
	}
	end(set, p, len);
}

/* Whoever comes last. */
static void follow_fault(struct vsvm_set *set)
{
	char *p = begin("follow-fault", SZ_2M);
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		gpu_touch(set, gpu, p);
		vram_expect(set, p, SZ_2M, where_gpu(set, gpu));
	}
	gpus_drop(set);
	gpu_touch(set, 0, p);
	vram_expect(set, p, SZ_2M, where_gpu(set, 0));
	end(set, p, SZ_2M);
}

/* As nvidia-uvm without hints: a fault brings it. */
static void uvm_compat(struct vsvm_set *set)
{
	char *p = begin("uvm-compat", SZ_2M);
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++) {
		gpu_touch(set, gpu, p);
		vram_expect(set, p, SZ_2M, where_gpu(set, gpu));
	}
	end(set, p, SZ_2M);
}

/* Nothing is moved by faults. */
static void stays(struct vsvm_set *set)
{
	char *p = begin("system", SZ_2M);
	uint64_t moves = policy_count(set, "moves");
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		gpu_touch(set, gpu, p);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	igt_assert_eq_u64(policy_count(set, "moves"), moves);
	end(set, p, SZ_2M);
}

/*
 * What faults brought to a GPU before comes back, and nobody took it away; what is moved
 * on request after that stays.
 */
static void to_system(struct vsvm_set *set)
{
	char *p = begin("first-touch", SZ_2M);
	int last = set->n - 1;
	uint64_t taken;

	gpu_touch(set, last, p);
	vram_expect(set, p, SZ_2M, where_gpu(set, last));
	policy_set("placement", "system");
	taken = policy_count(set, "taken");
	gpus_drop(set);
	gpu_touch(set, last, p + 8);
	vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	igt_assert_eq_u64(policy_count(set, "taken"), taken);
	igt_assert_eq_u64(*(uint64_t *)p, 1 + last);
	vram_migrate(set, p, SZ_2M, last);
	gpu_touch(set, last, p);
	vram_expect(set, p, SZ_2M, where_gpu(set, last));
	igt_assert_eq_u64(policy_count(set, "taken"), taken);
	end(set, p, SZ_2M);
}

/* All goes to the last GPU, which the first one reaches; or stays. */
static void preferred(struct vsvm_set *set)
{
	int last = set->n - 1;
	char *p = begin(NULL, 2 * SZ_2M), node[32], nodes[64];
	bool reach = peers(set);

	gpu_node(set, last, node, sizeof(node));
	policy_set("preferred_devices", node);
	policy_set("placement", "preferred");
	gpu_touch(set, 0, p);
	if (reach || !last)
		vram_expect(set, p, SZ_2M, where_gpu(set, last));
	else
		vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
	/* A name of nobody is passed over. */
	snprintf(nodes, sizeof(nodes), "nobody-99 %s renderD99", node);
	policy_set("preferred_devices", nodes);
	gpu_touch(set, last, p + SZ_2M);
	vram_expect(set, p + SZ_2M, SZ_2M, where_gpu(set, last));
	end(set, p, 2 * SZ_2M);
}

/* The first of two is full, and would have to evict: the second takes the rest. */
static void preferred_full(struct vsvm_set *set)
{
	int last = set->n - 1;
	size_t len = 14 * MIB, i;
	char *p = begin(NULL, len), first[32], nodes[80];

	igt_require_f(peers(set), "no GPU reaches another's memory\n");
	gpu_node(set, last, nodes, sizeof(nodes));
	gpu_node(set, 0, first, sizeof(first));
	strcat(strcat(nodes, " "), first);
	policy_set("preferred_devices", nodes);
	policy_set("placement", "preferred");
	for (i = 0; i < len; i += SZ_2M)
		gpu_touch(set, 0, p + i);
	vram_expect(set, p + len - SZ_2M, SZ_2M, where_gpu(set, 0));
	igt_assert_eq_u64(vram_count(set, p, len, where_gpu(set, last)),
			  8 * 256);
	/* One had to go before it was known to be full. */
	igt_assert_eq_u64(vram_count(set, p, len, WHERE_SYSTEM), 512);
	end(set, p, len);
}

/* Pieces go round the GPUs by address. */
static void interleave(struct vsvm_set *set)
{
	size_t len = 2 * set->n * SZ_2M, i;
	char *p = begin(NULL, len);
	bool reach = peers(set);

	policy_set("interleave_kib", "2048");
	policy_set("placement", "interleave");
	for (i = 0; i < len; i += SZ_2M) {
		int turn = (to_u64(p + i) / SZ_2M) % set->n;

		gpu_touch(set, 0, p + i);
		vram_expect(set, p + i, SZ_2M, reach || !turn ?
			    where_gpu(set, turn) : WHERE_SYSTEM);
	}
	end(set, p, len);
}

/* Pieces that are smaller than ranges are otherwise. */
static void interleave_small(struct vsvm_set *set)
{
	char *p = begin(NULL, 2 * SZ_2M);
	bool reach = peers(set);
	struct drm_vsvm_cmd cmd;
	size_t i;

	policy_set("interleave_kib", "64");
	policy_set("placement", "interleave");
	cmd = vsvm_fill(p, 7, 2 * SZ_2M);
	vsvm_run(set, 0, &cmd, 1);
	for (i = 0; i < 2 * SZ_2M; i += SZ_64K) {
		int turn = (to_u64(p + i) / SZ_64K) % set->n;

		vram_expect(set, p + i, SZ_64K, reach || !turn ?
			    where_gpu(set, turn) : WHERE_SYSTEM);
		igt_assert_eq(p[i], 7);
	}
	end(set, p, 2 * SZ_2M);
}

/* Only who comes often has it. */
static void access_count(struct vsvm_set *set)
{
	char *p = begin("access-count", SZ_2M);
	int last = set->n - 1, i;

	policy_number("migrate_threshold", 3);
	policy_number("migrate_window_ms", 600000);
	memset(p, 0, SZ_2M);
	for (i = 0; i < 2; i++) {
		gpu_touch(set, last, p);
		vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
		gpus_drop(set);
	}
	/* Others do not count for it. */
	if (last) {
		gpu_touch(set, 0, p);
		vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
		gpus_drop(set);
	}
	gpu_touch(set, last, p);
	vram_expect(set, p, SZ_2M, where_gpu(set, last));
	end(set, p, SZ_2M);
}

/* Who came often before something was said about the memory has to come anew. */
static void access_count_forgotten(struct vsvm_set *set)
{
	char *p = begin("access-count", SZ_2M);
	int last = set->n - 1, i;

	policy_number("migrate_threshold", 3);
	policy_number("migrate_window_ms", 600000);
	memset(p, 0, SZ_2M);
	for (i = 0; i < 2; i++) {
		gpu_touch(set, last, p);
		gpus_drop(set);
	}
	attr_set(set, p, SZ_2M, attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 1));
	attr_set(set, p, SZ_2M, attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 0));
	for (i = 0; i < 2; i++) {
		gpu_touch(set, last, p);
		vram_expect(set, p, SZ_2M, WHERE_SYSTEM);
		gpus_drop(set);
	}
	gpu_touch(set, last, p);
	vram_expect(set, p, SZ_2M, where_gpu(set, last));
	end(set, p, SZ_2M);
}

/* Private memory where it is used; shared memory where all reach it. */
static void adaptive(struct vsvm_set *set)
{
	size_t len = set->n * SZ_2M;
	char *p = begin(NULL, len), *q = anon_aligned(SZ_2M, SZ_2M);
	bool reach = peers(set);
	int gpu;

	policy_set("placement", "adaptive");
	for (gpu = 0; gpu < set->n; gpu++) {
		gpu_touch(set, gpu, p + gpu * SZ_2M);
		vram_expect(set, p + gpu * SZ_2M, SZ_2M, where_gpu(set, gpu));
	}
	gpu_touch(set, 0, q);
	for (gpu = 0; reach && gpu < set->n; gpu++) {
		gpu_touch(set, gpu, q);
		vram_expect(set, q, SZ_2M, where_gpu(set, 0));
	}
	munmap(q, SZ_2M);
	end(set, p, len);
}

/*
 * What is part of more than a GPU has fills its memory once, and the rest is used where
 * it is; what would fit displaces what is there. A GPU that was kept waiting for long
 * may displace as well, so not each round has to show it.
 */
static void adaptive_large(struct vsvm_set *set)
{
	size_t len = 24 * MIB;
	char *p = begin("adaptive", len);
	struct drm_vsvm_cmd cmd;
	uint64_t evictions;
	int round;

	for (round = 0; round < 50; round++) {
		evictions = vram_info(set, 0).evictions;
		cmd = vsvm_fill(p, 1 + round, len);
		vsvm_run(set, 0, &cmd, 1);
		if (vram_info(set, 0).evictions == evictions)
			break;
		munmap(p, len);
		p = anon_aligned(len, SZ_2M);
	}
	igt_assert_f(round < 50, "it displaces itself\n");
	vram_expect(set, p, 8 * MIB, where_gpu(set, 0));
	vram_expect(set, p + 8 * MIB, 16 * MIB, WHERE_SYSTEM);
	munmap(p, len);

	/* Two that fit, with nothing beside them. */
	p = anon_aligned(len, SZ_2M);
	munmap(p, 2 * MIB);
	munmap(p + 10 * MIB, 2 * MIB);
	munmap(p + 20 * MIB, 4 * MIB);
	cmd = vsvm_fill(p + 2 * MIB, 0x51, 8 * MIB);
	vsvm_run(set, 0, &cmd, 1);
	vram_expect(set, p + 2 * MIB, 8 * MIB, where_gpu(set, 0));
	cmd = vsvm_fill(p + 12 * MIB, 0x52, 8 * MIB);
	vsvm_run(set, 0, &cmd, 1);
	vram_expect(set, p + 2 * MIB, 8 * MIB, WHERE_SYSTEM);
	vram_expect(set, p + 12 * MIB, 8 * MIB, where_gpu(set, 0));
	munmap(p + 2 * MIB, 8 * MIB);
	end(set, p + 12 * MIB, 8 * MIB);
}

/* A device's memory is out of bounds for the others, or is not. */
static void peer_access(struct vsvm_set *set)
{
	static const char * const modes[] = { "auto", "on", "off" };
	char *p = begin(NULL, 3 * SZ_2M);
	bool reach = peers(set);
	int last = set->n - 1, i;

	for (i = 0; i < 3; i++) {
		char *q = p + i * SZ_2M;

		policy_set("peer_access", modes[i]);
		gpu_touch(set, 0, q);
		gpu_touch(set, last, q);
		vram_expect(set, q, SZ_2M, !last || (reach && i < 2) ?
			    where_gpu(set, 0) : WHERE_SYSTEM);
		igt_assert_eq_u64(*(uint64_t *)q, 1 + last);
	}
	end(set, p, 3 * SZ_2M);
}

static uint64_t peer_maps(struct vsvm_set *set)
{
	uint64_t sum = 0;
	int gpu;

	for (gpu = 0; gpu < set->n; gpu++)
		sum += gpu_counter(set->fd[gpu], "peer_maps");
	return sum;
}

/* Nor does one copy from another, whoever wants the memory moved or evicted. */
static void peer_access_off(struct vsvm_set *set)
{
	char *p = begin("follow-fault", 6 * SZ_2M), *moved = p + 5 * SZ_2M;
	int last = set->n - 1, i;
	uint64_t before;

	igt_require_f(peers(set), "no GPU reaches another's memory\n");
	policy_set("placement", "follow-fault");
	policy_set("peer_access", "off");
	policy_set("evict_to", "peer");
	before = peer_maps(set);
	for (i = 0; i < 6; i++)
		pattern_fill(p + i * SZ_2M, SZ_2M, i);
	vsvm_gpu_check(set, 0, p, SZ_2M, 0);
	vsvm_gpu_check(set, last, p, SZ_2M, 0);
	vram_expect(set, p, SZ_2M, where_gpu(set, last));
	vram_migrate(set, p, SZ_2M, 0);
	for (i = 0; i < 6; i++)
		vsvm_gpu_check(set, 0, p + i * SZ_2M, SZ_2M, i);
	vram_expect(set, moved, SZ_2M, where_gpu(set, 0));
	for (i = 1; i < set->n; i++)
		igt_assert_eq_u64(vram_count(set, p, 6 * SZ_2M,
					     where_gpu(set, i)), 0);
	igt_assert(vram_count(set, p, 6 * SZ_2M, WHERE_SYSTEM));
	igt_assert_eq_u64(peer_maps(set), before);
	/* It would have been seen. */
	policy_set("peer_access", "on");
	vram_migrate(set, moved, SZ_2M, last);
	igt_assert(peer_maps(set) > before);
	for (i = 0; i < 6; i++)
		pattern_check(p + i * SZ_2M, SZ_2M, i);
	end(set, p, 6 * SZ_2M);
}

/* Ranges are no larger than the policy says. */
static void chunk_sizes(struct vsvm_set *set)
{
	static const struct {
		const char *sizes;
		unsigned int ranges;
	} of[] = {
		{ "2M 64K 4K", 1 }, { "64K 4K", 32 }, { "4K", 512 },
		{ "2M 4K", 1 },
	};
	char *p = begin("first-touch", 4 * SZ_2M);
	struct drm_vsvm_cmd cmd;
	uint64_t before;
	int i;

	for (i = 0; i < 4; i++) {
		before = policy_count(set, "ranges_created");
		policy_set("chunk_sizes", of[i].sizes);
		cmd = vsvm_fill(p + i * SZ_2M, 1, SZ_2M);
		vsvm_run(set, set->n - 1, &cmd, 1);
		igt_assert_eq_u64(policy_count(set, "ranges_created") - before,
				  of[i].ranges);
		vram_expect(set, p + i * SZ_2M, SZ_2M,
			    where_gpu(set, set->n - 1));
	}
	end(set, p, 4 * SZ_2M);
}

/* Each decision is counted by its reason. */
static void reasons(struct vsvm_set *set)
{
	char *p = begin("first-touch", 2 * SZ_2M);
	uint64_t first = policy_count(set, "decided_first-touch");
	uint64_t system = policy_count(set, "decided_policy");

	gpu_touch(set, 0, p);
	igt_assert_eq_u64(policy_count(set, "decided_first-touch"), first + 1);
	igt_assert_eq_u64(policy_count(set, "decided_policy"), system);
	policy_set("placement", "system");
	gpu_touch(set, 0, p + SZ_2M);
	igt_assert_eq_u64(policy_count(set, "decided_first-touch"), first + 1);
	igt_assert_eq_u64(policy_count(set, "decided_policy"), system + 1);
	end(set, p, 2 * SZ_2M);
}

/* Pages on a node. */
static uint64_t on_node(struct vsvm_set *set, unsigned int node)
{
	char name[32];

	snprintf(name, sizeof(name), "node%u", node);
	return context_value(vsvm_stats(set->fd[0], set->vm[0]).context_id,
			     "where", name);
}

/* Pages in the memory of devices. */
static uint64_t on_devices(struct vsvm_set *set)
{
	unsigned int id = vsvm_stats(set->fd[0], set->vm[0]).context_id, device;
	unsigned long long pages, sum = 0;
	char path[64], line[64];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/debug/drm_msvm/%u/where", id);
	file = fopen(path, "r");
	igt_assert(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "device%u: %llu", &device, &pages) == 2)
			sum += pages;
	fclose(file);
	return sum;
}

/* System memory is where the VMA's policy says, and debugfs tells where all is. */
static void nodes(struct vsvm_set *set)
{
	unsigned int node;
	char *p;

	igt_require_f(!access("/sys/devices/system/node/node1", F_OK),
		      "one node only\n");
	for (node = 0; node < 2; node++) {
		unsigned long mask = 1UL << node;

		p = begin("system", SZ_2M);
		igt_assert(!syscall(SYS_mbind, p, SZ_2M, MPOL_BIND, &mask,
				    8 * sizeof(mask), 0));
		gpu_touch(set, 0, p);
		igt_assert_eq_u64(on_node(set, node), SZ_2M / SZ_4K);
		igt_assert_eq_u64(on_node(set, !node), 0);
		/* To a device, and back to the same node. */
		vram_migrate(set, p, SZ_2M, 0);
		gpu_touch(set, 0, p);
		igt_assert_eq_u64(on_devices(set), SZ_2M / SZ_4K);
		igt_assert_eq_u64(on_node(set, node), 0);
		vram_migrate(set, p, SZ_2M, TO_SYSTEM);
		gpu_touch(set, 0, p);
		igt_assert_eq_u64(on_node(set, node), SZ_2M / SZ_4K);
		igt_assert_eq_u64(*(uint64_t *)p, 1);
		end(set, p, SZ_2M);
	}
}

/* A policy that makes no sense changes nothing. */
static void refused(struct vsvm_set *set)
{
	char *p = begin("first-touch", SZ_2M);

	igt_assert(!policy_try("placement", "preferred"));
	igt_assert(!policy_try("chunk_sizes", "64K"));
	gpu_touch(set, 0, p);
	vram_expect(set, p, SZ_2M, where_gpu(set, 0));
	end(set, p, SZ_2M);
}

igt_main
{
	each_made("first-touch", "at the first one", MSVM_ONLY, VRAM,
		  first_touch);
	each_made("first-touch-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  first_touch);
	each_made("follow-fault", "at the last one", MSVM_ONLY, VRAM,
		  follow_fault);
	each_made("follow-fault-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  follow_fault);
	each_made("uvm-compat", "as nvidia-uvm", MSVM_ONLY, VRAM, uvm_compat);
	each_made("system", "nowhere else", MSVM_ONLY, PEERS, stays);
	each_made("to-system", "from a GPU as well", MSVM_ONLY, VRAM, to_system);
	each_made("to-system-slow", "if that takes longer than HMM's second",
		  MSVM_ONLY, SLOW, to_system);
	each_made("preferred", "at one of a list", MSVM_ONLY, VRAM, preferred);
	each_made("preferred-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  preferred);
	each_made("preferred-full", "at the next one of the list", MSVM_ONLY,
		  PEERS, preferred_full);
	each_made("interleave", "round the GPUs", MSVM_ONLY, VRAM, interleave);
	each_made("interleave-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  interleave);
	each_made("interleave-small", "by pieces that are smaller than ranges",
		  MSVM_ONLY, VRAM, interleave_small);
	each_made("interleave-small-peers", "likewise, with peers", MSVM_ONLY,
		  PEERS, interleave_small);
	each_made("access-count", "at who comes often", MSVM_ONLY, PEERS,
		  access_count);
	each_made("access-count-forgotten", "but not at who came before", MSVM_ONLY,
		  PEERS, access_count_forgotten);
	each_made("adaptive", "the default", MSVM_ONLY, VRAM, adaptive);
	each_made("adaptive-large", "likewise, with more than fits", MSVM_ONLY, VRAM,
		  adaptive_large);
	each_made("adaptive-peers", "likewise, with peers", MSVM_ONLY, PEERS,
		  adaptive);
	each_made("peer-access", "others' memory", MSVM_ONLY, PEERS, peer_access);
	each_made("peer-access-off", "nor is it copied", MSVM_ONLY, PEERS,
		  peer_access_off);
	each_made("chunk-sizes", "sizes of ranges", MSVM_ONLY, VRAM,
		  chunk_sizes);
	each_made("reasons", "why, in numbers", MSVM_ONLY, VRAM, reasons);
	each_made("nodes", "nodes of system memory", MSVM_ONLY, VRAM, nodes);
	each_made("refused", "what makes no sense", MSVM_ONLY, VRAM, refused);

	igt_fixture {
		policy_restore();
	}
}
