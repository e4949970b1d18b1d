// SPDX-License-Identifier: MIT
/*
 * The simulator's core: GPUs access memory one operation after the other, the one
 * that is behind goes next. What is not mapped faults, and the policy engine is asked
 * just as the kernel module asks it. Whole numbers only: every run gives the same.
 */
#include <stdlib.h>
#include <string.h>

#include <linux/minmax.h>

#include "sim.h"

/* Evictions are remembered in pieces of 100 ms, for a second. */
#define BUCKETS		10
#define BUCKET_NS	100000000ULL

struct range {
	u8 at;
	u64 mapped;
	bool referenced;
	bool was_mapped;
	unsigned int prev, next;	/* in the clock's list; 0: the list's head */
	struct msvm_heat heat;
	struct msvm_thrash thrash;
	u64 first_fault[SIM_GPUS];
	u32 faults[SIM_GPUS];
};

struct gpu {
	u64 now;
	u64 host_free;			/* when this link is free again, */
	u64 in_free, out_free;		/* and those to peers, each way */
	unsigned int next;		/* operation */
	unsigned int used;		/* ranges in its memory */
	unsigned int first, last;	/* of the clock's list, range + 1 */
	unsigned int evicted[BUCKETS];
	u64 bucket[BUCKETS];
	struct msvm_burst burst;
	bool waiting;			/* at a barrier */
};

struct sim {
	const struct machine *m;
	const struct trace *trace;
	const struct msvm_policy_params *params;
	const u8 *fixed;
	struct range *ranges;
	struct gpu gpus[SIM_GPUS];
	struct result result;
};

bool machine_reaches(const struct machine *m, unsigned int from, unsigned int to)
{
	unsigned int size = SIM_GPUS / m->groups;

	return from == to || (m->peer_bw && from / size == to / size);
}

static unsigned int sim_distance(const struct msvm_view *view, unsigned int from,
				 unsigned int to)
{
	const struct sim *sim = view->data;
	const struct machine *m = sim->m;

	if (to == MSVM_AT_SYSTEM)
		return MSVM_NEAR_SYSTEM;
	if (!machine_reaches(m, from, to))
		return MSVM_UNREACHABLE;
	if (from == to)
		return 0;
	return max(MSVM_NEAR_SYSTEM * m->host_bw / m->peer_bw, 1ULL);
}

/* A transfer at @bw over up to two links, once these are free. */
static u64 transfer(u64 now, u64 bytes, u64 bw, u64 *one, u64 *two)
{
	u64 start = now, end;

	if (one)
		start = max(start, *one);
	if (two)
		start = max(start, *two);
	end = start + bytes * 1000 / bw;
	if (one)
		*one = end;
	if (two)
		*two = end;
	return end;
}

static u64 peer_transfer(struct sim *sim, u64 now, u64 bytes, unsigned int a,
			 unsigned int b)
{
	struct gpu *from = &sim->gpus[a], *to = &sim->gpus[b];

	if (sim->m->peer_over_host)
		return transfer(now, bytes, sim->m->peer_bw, &from->host_free,
				&to->host_free);
	return transfer(now, bytes, sim->m->peer_bw, &from->out_free,
			&to->in_free);
}

/* Copy a range from where it is to another place. */
static u64 copy(struct sim *sim, u64 now, unsigned int from, unsigned int to)
{
	const struct machine *m = sim->m;

	if (from != MSVM_AT_SYSTEM && to != MSVM_AT_SYSTEM) {
		if (machine_reaches(m, to, from))
			return peer_transfer(sim, now, m->range, from, to);
		now = transfer(now, m->range, m->copy_bw,
			       &sim->gpus[from].host_free, NULL);
		from = MSVM_AT_SYSTEM;
	}
	return transfer(now, m->range, m->copy_bw,
			&sim->gpus[from == MSVM_AT_SYSTEM ? to : from].host_free,
			NULL);
}

static void clock_del(struct sim *sim, struct gpu *gpu, unsigned int i)
{
	struct range *r = &sim->ranges[i];

	if (r->prev)
		sim->ranges[r->prev - 1].next = r->next;
	else
		gpu->first = r->next;
	if (r->next)
		sim->ranges[r->next - 1].prev = r->prev;
	else
		gpu->last = r->prev;
	r->prev = 0;
	r->next = 0;
}

static void clock_add(struct sim *sim, struct gpu *gpu, unsigned int i)
{
	struct range *r = &sim->ranges[i];

	r->prev = gpu->last;
	r->next = 0;
	if (gpu->last)
		sim->ranges[gpu->last - 1].next = i + 1;
	else
		gpu->first = i + 1;
	gpu->last = i + 1;
}

static void leave(struct sim *sim, unsigned int i)
{
	struct range *r = &sim->ranges[i];

	if (r->at == MSVM_AT_SYSTEM)
		return;
	clock_del(sim, &sim->gpus[r->at], i);
	sim->gpus[r->at].used--;
}

/* Move a range; all mappings of it are gone. Return: when that is done. */
static u64 move(struct sim *sim, u64 now, unsigned int i, unsigned int to)
{
	struct range *r = &sim->ranges[i];
	u64 end = copy(sim, now + sim->m->move, r->at, to);

	leave(sim, i);
	r->mapped = 0;
	r->referenced = false;
	r->was_mapped = false;
	r->at = to;
	if (to != MSVM_AT_SYSTEM) {
		clock_add(sim, &sim->gpus[to], i);
		sim->gpus[to].used++;
	}
	sim->result.moved += sim->m->range;
	if (sim->params)
		msvm_heat_moved(sim->params, &r->heat, end, end - now, to);
	return end;
}

static u64 evictions(const struct gpu *gpu, u64 now, u64 range)
{
	u64 sum = 0;
	unsigned int i;

	for (i = 0; i < BUCKETS; i++)
		if (gpu->bucket[i] + BUCKETS > now / BUCKET_NS)
			sum += gpu->evicted[i];
	return sum * range;
}

/* Make room in a GPU's memory: the clock algorithm, as msvm_evict.c has it. */
static u64 evict(struct sim *sim, u64 now, unsigned int g)
{
	struct gpu *gpu = &sim->gpus[g];
	unsigned int i, bucket;

	while (gpu->used >= sim->m->vram) {
		i = gpu->first - 1;
		if (sim->ranges[i].referenced) {
			sim->ranges[i].referenced = false;
			clock_del(sim, gpu, i);
			clock_add(sim, gpu, i);
			continue;
		}
		now = move(sim, now, i, MSVM_AT_SYSTEM);
		bucket = now / BUCKET_NS % BUCKETS;
		if (gpu->bucket[bucket] != now / BUCKET_NS)
			gpu->evicted[bucket] = 0;
		gpu->bucket[bucket] = now / BUCKET_NS;
		gpu->evicted[bucket]++;
		sim->result.evictions++;
	}
	return now;
}

static void map(struct range *r, unsigned int g)
{
	r->mapped |= 1ULL << g;
	r->referenced |= r->was_mapped;
	r->was_mapped = true;
}

static void ask(struct sim *sim, unsigned int g, unsigned int i, u64 now,
		struct msvm_decision *d)
{
	struct msvm_view_slot slots[SIM_GPUS] = {};
	struct range *r = &sim->ranges[i];
	struct msvm_view view = {
		.now = now,
		.start = i * sim->m->range,
		.end = (i + 1) * sim->m->range,
		.addr = i * sim->m->range,
		.slot = g,
		.write = true,
		.at = r->at,
		.system = r->at == MSVM_AT_SYSTEM,
		.mapped = r->mapped,
		.entries = sim->m->range >= 2 << 20 ? 1 : 16,
		.extent = sim->trace->extent[i] * sim->m->range,
		.burst = &sim->gpus[g].burst,
		.heat = &r->heat,
		.slots = slots,
		.nr_slots = SIM_GPUS,
		.distance = sim_distance,
		.data = sim,
	};
	unsigned int s;

	for (s = 0; s < SIM_GPUS; s++) {
		slots[s] = (struct msvm_view_slot) {
			.joined = true,
			.has_memory = true,
			.enabled = true,
			.rank = s,
			.first = s,
			.device = s,
			.weight = 100,
			.free = (sim->m->vram - sim->gpus[s].used) * sim->m->range,
			.size = sim->m->vram * sim->m->range,
			.evictions = evictions(&sim->gpus[s], now, sim->m->range),
			.faults = r->faults[s],
		};
	}
	msvm_decide(sim->params, &view, d);
	if (d->alloc_thrash)
		r->heat.thrash = &r->thrash;
	msvm_burst_faulted(&sim->gpus[g].burst, &view);
	msvm_heat_apply(sim->params, &r->heat, now, g, d);
}

/* Serve a fault. Return: whether it was; it may be told to come again. */
static bool fault(struct sim *sim, unsigned int g, unsigned int i)
{
	struct gpu *gpu = &sim->gpus[g];
	struct range *r = &sim->ranges[i];
	struct msvm_decision d = {};
	unsigned int s;
	u64 now;

	sim->result.faults++;
	gpu->now += sim->m->fault;
	if (sim->params) {
		u64 window = sim->params->migrate_window_ms * 1000000ULL;

		if (!r->faults[g] || gpu->now - r->first_fault[g] > window) {
			r->faults[g] = 0;
			r->first_fault[g] = gpu->now;
		}
		r->faults[g]++;
		ask(sim, g, i, gpu->now, &d);
		if (d.action == MSVM_THROTTLE) {
			gpu->now += d.delay;
			sim->result.throttles++;
			return false;
		}
		sim->result.pins += d.pin;
	} else if (sim->fixed[i] != r->at) {
		d.action = MSVM_MOVE;
		d.to = sim->fixed[i];
	}
	if (d.action == MSVM_MOVE && d.to != r->at) {
		if (d.to != MSVM_AT_SYSTEM)
			gpu->now = evict(sim, gpu->now, d.to);
		now = gpu->now;
		gpu->now = move(sim, now, i, d.to);
		if (d.to == g)
			msvm_burst_moved(&gpu->burst, gpu->now, gpu->now - now,
					 sim->m->range, 0);
	}
	gpu->now += sim->m->map;
	map(r, g);
	for (s = 0; s < SIM_GPUS; s++)
		if (d.map_for & 1ULL << s)
			map(r, s);
	return true;
}

static void access(struct sim *sim, unsigned int g, const struct op *op)
{
	const struct machine *m = sim->m;
	struct gpu *gpu = &sim->gpus[g];
	struct range *r = &sim->ranges[op->range];

	if (!(r->mapped & 1ULL << g) && !fault(sim, g, op->range))
		return;
	if (r->at == MSVM_AT_SYSTEM)
		gpu->now = transfer(gpu->now + m->latency_host, op->bytes,
				    m->host_bw, &gpu->host_free, NULL);
	else if (r->at == g)
		gpu->now = transfer(gpu->now + m->latency_local, op->bytes,
				    m->local_bw, NULL, NULL);
	else
		gpu->now = peer_transfer(sim, gpu->now + m->latency_peer,
					 op->bytes, r->at, g);
	gpu->next++;
}

/* All are at the barrier: on they go, at the time the last one came. */
static void release(struct sim *sim)
{
	u64 now = 0;
	unsigned int g;

	for (g = 0; g < SIM_GPUS; g++)
		now = max(now, sim->gpus[g].now);
	for (g = 0; g < SIM_GPUS; g++) {
		sim->gpus[g].now = now;
		if (sim->gpus[g].waiting)
			sim->gpus[g].next++;
		sim->gpus[g].waiting = false;
	}
}

struct result sim_run(const struct machine *m, const struct trace *trace,
		      const struct msvm_policy_params *params, const u8 *fixed)
{
	struct sim sim = { .m = m, .trace = trace, .params = params, .fixed = fixed };
	unsigned int i, g, next;
	const struct op *op;

	sim.ranges = calloc(trace->ranges, sizeof(*sim.ranges));
	if (!sim.ranges)
		abort();
	for (i = 0; i < trace->ranges; i++) {
		sim.ranges[i].at = MSVM_AT_SYSTEM;
		msvm_heat_forget(&sim.ranges[i].heat);
	}
	for (g = 0; g < SIM_GPUS; g++)
		sim.gpus[g].now = 1000000;
	for (;;) {
		for (g = 0, next = SIM_GPUS; g < SIM_GPUS; g++) {
			if (sim.gpus[g].next == trace->nr[g] || sim.gpus[g].waiting)
				continue;
			if (next == SIM_GPUS || sim.gpus[g].now < sim.gpus[next].now)
				next = g;
		}
		if (next == SIM_GPUS) {
			for (g = 0; g < SIM_GPUS && !sim.gpus[g].waiting; g++)
				;
			if (g == SIM_GPUS)
				break;
			release(&sim);
			continue;
		}
		op = &trace->ops[next][sim.gpus[next].next];
		if (op->bytes)
			access(&sim, next, op);
		else
			sim.gpus[next].waiting = true;
	}
	for (g = 0; g < SIM_GPUS; g++)
		sim.result.ns = max(sim.result.ns, sim.gpus[g].now);
	sim.result.ns -= 1000000;
	free(sim.ranges);
	return sim.result;
}
