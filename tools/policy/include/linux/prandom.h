/* SPDX-License-Identifier: MIT */
/* Numbers that look random and are the same each time (xorshift64*). */
#ifndef __POLICY_LINUX_PRANDOM_H__
#define __POLICY_LINUX_PRANDOM_H__

#include <linux/types.h>

struct rnd_state {
	u64 state;
};

static inline void prandom_seed_state(struct rnd_state *rnd, u64 seed)
{
	rnd->state = seed * 0x9e3779b97f4a7c15ULL | 1;
}

static inline u32 prandom_u32_state(struct rnd_state *rnd)
{
	rnd->state ^= rnd->state >> 12;
	rnd->state ^= rnd->state << 25;
	rnd->state ^= rnd->state >> 27;
	return rnd->state * 0x2545f4914f6cdd1dULL >> 32;
}

#endif
