/* SPDX-License-Identifier: MIT */
/*
 * The simulator of placements: a machine, what its GPUs do, and what that costs
 * when the policy engine, or somebody who knows the future, says where memory goes.
 */
#ifndef __POLICY_SIM_H__
#define __POLICY_SIM_H__

#include <linux/types.h>

#include "msvm_policy.h"

#define SIM_GPUS	4
#define SIM_RANGES	8192

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/**
 * struct machine - What a machine can do. Bandwidths in MB/s, times in ns.
 * @name: For people.
 * @range: Bytes of a range.
 * @vram: Ranges that a GPU's memory holds.
 * @local_bw: Of a GPU to its own memory.
 * @host_bw: To system memory, for accesses.
 * @copy_bw: The same for copies of moved memory.
 * @peer_bw: To another GPU's memory; 0: it does not reach it.
 * @peer_over_host: Such traffic takes the way to system memory.
 * @groups: GPUs of one group reach each other: their number is divided by this.
 * @latency_local: Of one access, a batch of loads or stores that do not wait for each
 *	other, ...
 * @latency_peer: ... to another GPU's memory, ...
 * @latency_host: ... and to system memory.
 * @fault: Round trip of a fault: GPU, interrupt, worker, resume.
 * @map: Walk and page table entries.
 * @move: Of a move, all but the copy.
 */
struct machine {
	const char *name;
	u64 range;
	unsigned int vram;
	u64 local_bw, host_bw, copy_bw, peer_bw;
	bool peer_over_host;
	unsigned int groups;
	u64 latency_local, latency_peer, latency_host;
	u64 fault, map, move;
};

/* One access, or with no bytes a barrier: all GPUs wait for each other. */
struct op {
	u32 range;
	u32 bytes;
};

/**
 * struct trace - What the GPUs do.
 * @ops: Of each GPU.
 * @nr: How many.
 * @room: Allocated.
 * @ranges: How many ranges there are.
 * @extent: Ranges of the allocation that a range is part of; 0: of the range alone.
 */
struct trace {
	struct op *ops[SIM_GPUS];
	unsigned int nr[SIM_GPUS];
	unsigned int room[SIM_GPUS];
	unsigned int ranges;
	u16 extent[SIM_RANGES];
};

/**
 * struct pattern - A way to use memory.
 * @name: For people.
 * @what: In words.
 * @limit: Faults can't tell what would be best; reported, not judged.
 * @lengths: Judged at every length, not only at its own.
 * @seeded: It differs from seed to seed.
 * @make: Fill in a trace.
 */
struct pattern {
	const char *name;
	const char *what;
	bool limit;
	bool lengths;
	bool seeded;
	void (*make)(struct trace *trace, const struct machine *m, u64 seed);
};

/**
 * struct result - What came out.
 * @ns: Until the last GPU was done.
 * @moved: Bytes moved, evictions included.
 * @faults: Faults.
 * @evictions: Ranges evicted.
 */
struct result {
	u64 ns, moved;
	unsigned int faults, evictions, throttles, pins;
};

/* How long patterns last, in percent of what they say. */
extern unsigned int sim_length;

/* What streams go through, in percent of a GPU's memory, and how often. */
extern unsigned int sim_extent;
extern unsigned int sim_passes;

extern const struct machine machines[];
extern const unsigned int nr_machines;
extern const struct pattern few_passes;
extern const struct pattern patterns[];
extern const unsigned int nr_patterns;

bool machine_reaches(const struct machine *m, unsigned int from, unsigned int to);

/* With @fixed, the place of each range (a GPU or MSVM_AT_SYSTEM), no policy is asked. */
struct result sim_run(const struct machine *m, const struct trace *trace,
		      const struct msvm_policy_params *params, const u8 *fixed);

#endif
