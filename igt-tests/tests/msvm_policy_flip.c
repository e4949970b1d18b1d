// SPDX-License-Identifier: MIT
/*
 * The policy changes all the time while GPUs fault: each decision is all of one policy,
 * as the trace shows.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/crowd.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/policy.h"
#include "../lib/vram.h"

#define MIB	(1UL << 20)
#define VRAM	ATTR("vram_mib=8")
#define PEERS	VRAM ATTR("peer_group=1")

static const char * const placements[] = {
	"first-touch", "follow-fault", "interleave", "system", "access-count",
	"uvm-compat",
};

#define NR_PLACEMENTS	(sizeof(placements) / sizeof(placements[0]))

static int fault_round(struct party *party)
{
	char *p = (char *)party->data + party->k % 3 * SZ_2M;
	struct drm_vsvm_cmd cmd = vsvm_add(p + party->gpu * 64, 8, 1, NULL);
	int err = crowd_job(party, &cmd, 1);

	/* So that there are faults to decide on. */
	if (!err)
		gpu_debugfs_try(party->set->fd[party->gpu], "drop_mappings", 1);
	return err;
}

static int flip_round(struct party *party)
{
	return policy_try("placement",
			  placements[party->rounds % NR_PLACEMENTS]) ? 0 : -1;
}

/* Policies by serial number, as far as seen. */
static struct {
	unsigned long long serial;
	char placement[24];
} seen[8192];
static unsigned int nr_seen;

/* Reasons that only one placement has. */
static const struct {
	const char *reason, *placements;
} only[] = {
	{ "follow", "follow-fault uvm-compat" },
	{ "interleaved", "interleave" },
	{ "counted", "access-count" },
	{ "counting", "access-count" },
	{ "policy", "system interleave" },
	{ "shared", "first-touch" },
	{ "peer", "first-touch" },
};

static void check(const struct placed *placed)
{
	unsigned int i;

	for (i = 0; i < sizeof(only) / sizeof(only[0]); i++)
		igt_assert_f(strcmp(placed->reason, only[i].reason) ||
			     strstr(only[i].placements, placed->placement),
			     "placement %s decided for reason %s\n",
			     placed->placement, placed->reason);
	for (i = nr_seen; i-- && seen[i].serial != placed->serial;)
		;
	if (i < nr_seen) {
		igt_assert_f(!strcmp(seen[i].placement, placed->placement),
			     "policy %llu was %s and is %s\n", placed->serial,
			     seen[i].placement, placed->placement);
		return;
	}
	if (nr_seen == sizeof(seen) / sizeof(seen[0]))
		return;
	seen[nr_seen].serial = placed->serial;
	memcpy(seen[nr_seen++].placement, placed->placement,
	       sizeof(seen[0].placement));
}

static void flip(struct vsvm_set *set)
{
	uint64_t flips = vsvm_scale(1000, 200);
	char *p = anon_aligned(3 * SZ_2M, SZ_2M);
	struct party *flipper, *party[VSVM_MAX_SET];
	unsigned int decisions;
	uint64_t *sum;
	int gpu;

	policy_restore();
	policy_restless();
	policy_set("interleave_kib", "2048");
	memset(p, 0, 3 * SZ_2M);
	nr_seen = 0;
	placed_start();
	crowd_begin();
	for (gpu = 0; gpu < set->n; gpu++)
		party[gpu] = crowd_add(set, gpu, fault_round, p);
	flipper = crowd_add(set, -1, flip_round, NULL);
	crowd_start();
	crowd_wait(vsvm_scale(20, 6));
	while (flipper->rounds < flips && !flipper->status)
		usleep(1000);
	crowd_stop();
	decisions = placed_stop(check);
	igt_info("%llu flips, %u decisions by %u policies\n",
		 (unsigned long long)flipper->rounds, decisions, nr_seen);
	igt_assert(decisions > 0 && nr_seen > 1);
	for (gpu = 0; gpu < set->n; gpu++) {
		sum = (uint64_t *)(p + party[gpu]->k % 3 * SZ_2M + gpu * 64);
		igt_assert_eq_u64(*sum, party[gpu]->rounds);
	}
	munmap(p, 3 * SZ_2M);
	policy_restore();
	vram_expect_empty(set);
}

igt_main
{
	each_made("flip", "a thousand policies", MSVM_ONLY, VRAM, flip);
	each_made("flip-peers", "likewise, with peers", MSVM_ONLY, PEERS, flip);
	each_made("flip-queue", "likewise, with fault queues", MSVM_ONLY,
		  PEERS ATTR("fault_mode=queue"), flip);

	igt_fixture {
		policy_restore();
	}
}
