// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * KUnit tests of decisions on many views: for whom a fault maps, how addresses are
 * spread over devices, and random views, whose decisions must be possible whatever
 * the policy. Built into a program in user space as well: tools/policy.
 */
#include <linux/prandom.h>

#include <kunit/test.h>

#include "msvm_policy_fixture.h"

#define ROUNDS 10000

struct map_row {
	const char *what;
	enum msvm_map_mode mode;
	bool peers_off;
	bool peers_auto;
	u8 at;
	u32 entries;
	u64 mapped;
	u64 faulted;
	u64 accessed_by;
	u64 no_access;
	u64 map_for;
};

#define LAZY	.mode = MSVM_MAP_LAZY
#define EAGER	.mode = MSVM_MAP_EAGER
#define AUTO	.mode = MSVM_MAP_AUTO

/* Slot 0 faults; 1 does not reach 2, 3 reaches 0 and system memory. */
static const struct map_row map_rows[] = {
	{ "lazy", LAZY, .at = MSVM_AT_SYSTEM, .map_for = 0 },
	{ "lazy, accessed by", LAZY, .at = 0, .accessed_by = 0xa, .map_for = 0xa },
	{ "lazy, accessed by, no member", LAZY, .at = 0, .accessed_by = ~0ULL,
	  .map_for = 0x1e },
	{ "lazy, out of reach", LAZY, .at = 2, .accessed_by = 0xa, .map_for = 0 },
	{ "eager", EAGER, .at = MSVM_AT_SYSTEM, .entries = 512, .map_for = 0x1e },
	{ "eager, at 1", EAGER, .at = 1, .entries = 1, .map_for = 0x12 },
	{ "eager, at 2", EAGER, .at = 2, .entries = 1, .map_for = 0x14 },
	{ "eager, peers off", EAGER, .peers_off = true, .at = 0,
	  .entries = 1, .map_for = 0x10 },
	{ "eager, no access", EAGER, .at = MSVM_AT_SYSTEM, .no_access = 4,
	  .map_for = 0x1a },
	{ "no access beats accessed by", LAZY, .at = MSVM_AT_SYSTEM,
	  .accessed_by = 6, .no_access = 4, .map_for = 2 },
	{ "auto, few", AUTO, .at = MSVM_AT_SYSTEM, .entries = 16, .map_for = 0x1e },
	{ "auto, many", AUTO, .at = MSVM_AT_SYSTEM, .entries = 17, .map_for = 0 },
	{ "auto, not known", AUTO, .at = MSVM_AT_SYSTEM, .map_for = 0 },
	{ "auto, mapped by others", AUTO, .at = MSVM_AT_SYSTEM, .entries = 512,
	  .mapped = 6, .map_for = 0 },
	{ "auto, own mapping", AUTO, .at = MSVM_AT_SYSTEM, .entries = 512,
	  .mapped = 1, .map_for = 0 },
	{ "auto, others faulted", AUTO, .at = MSVM_AT_SYSTEM, .entries = 512,
	  .faulted = 6, .map_for = 6 },
	{ "auto, others faulted, not known", AUTO, .at = MSVM_AT_SYSTEM,
	  .faulted = 8, .map_for = 8 },
	{ "auto, others faulted, out of reach", AUTO, .at = 1, .entries = 512,
	  .faulted = 0x1e, .map_for = 0x12 },
	{ "auto, others faulted, no access", AUTO, .at = MSVM_AT_SYSTEM,
	  .entries = 512, .faulted = 6, .no_access = 4, .map_for = 2 },
	{ "auto, others faulted, accessed by", AUTO, .at = MSVM_AT_SYSTEM,
	  .entries = 512, .faulted = 2, .accessed_by = 8, .map_for = 0xa },
	{ "auto, few, others faulted", AUTO, .at = MSVM_AT_SYSTEM, .entries = 1,
	  .faulted = 2, .map_for = 0x1e },
	{ "lazy, others faulted", LAZY, .at = MSVM_AT_SYSTEM, .entries = 512,
	  .faulted = 6, .map_for = 0 },
};

static void views_map_for(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_decision decision;
	unsigned int i, slot;

	for (i = 0; i < ARRAY_SIZE(map_rows); i++) {
		const struct map_row *row = &map_rows[i];

		fixture_reset(f);
		f->params.placement = MSVM_PLACEMENT_ACCESS_COUNT;
		f->params.map_mode = row->mode;
		f->params.peer_access = row->peers_off ? MSVM_PEER_OFF :
				row->peers_auto ? MSVM_PEER_AUTO : MSVM_PEER_ON;
		f->view.at = row->at;
		f->view.none = false;
		f->view.system = row->at == MSVM_AT_SYSTEM;
		f->view.entries = row->entries;
		f->view.mapped = row->mapped;
		for (slot = 0; slot < f->view.nr_slots; slot++)
			f->slots[slot].faults = slot == f->view.slot ||
						row->faulted & BIT_ULL(slot);
		f->attrs.accessed_by = row->accessed_by;
		f->attrs.no_access = row->no_access;
		f->view.attrs = &f->attrs;
		msvm_decide(&f->params, &f->view, &decision);
		KUNIT_EXPECT_EQ_MSG(test, decision.action, MSVM_STAY, "%s",
				    row->what);
		KUNIT_EXPECT_EQ_MSG(test, decision.map_for, row->map_for, "%s",
				    row->what);
	}
}

/* What is moved is mapped for those that reach where it goes, not where it was. */
static void views_map_after_move(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_decision decision;

	f->params.map_mode = MSVM_MAP_EAGER;
	f->view.slot = 1;
	msvm_decide(&f->params, &f->view, &decision);
	KUNIT_EXPECT_EQ(test, decision.action, MSVM_MOVE);
	KUNIT_EXPECT_EQ(test, decision.to, 1);
	KUNIT_EXPECT_EQ(test, decision.map_for, 0x11ULL);
	/* A range of 16 pages has so many entries at most. */
	f->params.map_mode = MSVM_MAP_AUTO;
	f->view.end = f->view.start + (64 << 10);
	msvm_decide(&f->params, &f->view, &decision);
	KUNIT_EXPECT_EQ(test, decision.map_for, 0x11ULL);
}

static u8 interleave_at(struct kunit *test, struct fixture *f, u64 chunk)
{
	struct msvm_decision decision;

	f->view.start = chunk * (u64)f->params.interleave_kib * 1024;
	f->view.end = f->view.start + 2 * MB;
	msvm_decide(&f->params, &f->view, &decision);
	KUNIT_EXPECT_EQ(test, decision.action, MSVM_MOVE);
	return decision.to;
}

static void views_interleave(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	unsigned int chunk, count[3] = {};

	f->params.placement = MSVM_PLACEMENT_INTERLEAVE;
	/* Two members of one device count once, who has no memory does not. */
	for (chunk = 0; chunk < 30; chunk++)
		count[interleave_at(test, f, chunk)]++;
	KUNIT_EXPECT_EQ(test, count[0], 10);
	KUNIT_EXPECT_EQ(test, count[1], 10);
	KUNIT_EXPECT_EQ(test, count[2], 10);
	KUNIT_EXPECT_NE(test, interleave_at(test, f, 0), interleave_at(test, f, 1));

	f->slots[0].weight = 50;
	f->slots[1].weight = 150;
	f->slots[2].enabled = false;
	f->params.interleave_kib = 65536;
	for (chunk = 0; chunk < 8; chunk++)
		KUNIT_EXPECT_EQ(test, interleave_at(test, f, chunk), chunk % 4 ? 1 : 0);
	/* Who faults does not matter. */
	f->view.slot = 1;
	for (chunk = 0; chunk < 8; chunk++)
		KUNIT_EXPECT_EQ(test, interleave_at(test, f, chunk), chunk % 4 ? 1 : 0);
	f->slots[0].weight = 0;
	KUNIT_EXPECT_EQ(test, interleave_at(test, f, 0), 1);
}

static u32 dice(struct rnd_state *rnd, u32 sides)
{
	return prandom_u32_state(rnd) % sides;
}

static u64 some_time(struct rnd_state *rnd)
{
	switch (dice(rnd, 6)) {
	case 0: return 0;
	case 1: return ~0ULL;
	case 2: return (u64)prandom_u32_state(rnd) << 32;
	case 3: return NOW + dice(rnd, 1000000000);
	default: return NOW - dice(rnd, 200000000);
	}
}

static void random_slots(struct fixture *f, struct rnd_state *rnd)
{
	unsigned int nr = 1 + dice(rnd, dice(rnd, 8) ? 8 : 64), slot, to;

	for (slot = 0; slot < nr; slot++) {
		struct msvm_view_slot *s = &f->slots[slot];

		fixture_slot(f, slot, dice(rnd, 4) ? slot : dice(rnd, nr));
		s->joined = dice(rnd, 8);
		s->has_memory = dice(rnd, 5);
		s->enabled = dice(rnd, 6);
		s->on_request = !dice(rnd, 12);
		s->rank = dice(rnd, 2) ? 0xff : dice(rnd, 16);
		s->weight = dice(rnd, 300);
		s->free = dice(rnd, 3) ? (u64)dice(rnd, 16) * GB : 0;
		s->evictions = dice(rnd, 2) ? 0 : (u64)dice(rnd, 4096) * MB;
		s->faults = dice(rnd, 6);
		for (to = 0; to < slot; to++)
			if (f->slots[to].device == s->device)
				break;
		s->first = to;
		for (to = 0; to < nr; to++)
			f->distance[slot][to] = dice(rnd, 3) ? dice(rnd, 30) :
					       MSVM_UNREACHABLE;
	}
	/* Members of one device are at one place. */
	for (slot = 0; slot < nr; slot++)
		for (to = 0; to < nr; to++)
			f->distance[slot][to] =
				f->distance[f->slots[slot].first][f->slots[to].first];
	f->view.nr_slots = nr;
	f->view.slot = dice(rnd, nr);
	f->slots[f->view.slot].joined = true;
	f->slots[f->slots[f->view.slot].first].joined = true;
}

static void random_view(struct fixture *f, struct rnd_state *rnd)
{
	u8 place[] = { MSVM_AT_SYSTEM, MSVM_AT_MIXED, MSVM_AT_SEVERAL, MSVM_AT_OTHER };
	struct msvm_view *view = &f->view;

	fixture_reset(f);
	random_slots(f, rnd);
	f->params.placement = dice(rnd, MSVM_PLACEMENTS);
	f->params.map_mode = dice(rnd, MSVM_MAP_MODES);
	f->params.peer_access = dice(rnd, MSVM_PEER_ACCESSES);
	f->params.prefetch = dice(rnd, MSVM_PREFETCH_MODES);
	f->params.prefetch_percent = 1 + dice(rnd, 100);
	f->params.timeslice_ms = dice(rnd, 3) ? 0 : dice(rnd, 20);
	f->params.thrash_threshold = dice(rnd, 5);
	f->params.thrash_pin_ms = dice(rnd, 4) * 50;
	f->params.interleave_kib = 1 << dice(rnd, 20);
	view->start = dice(rnd, 9) ? BASE + dice(rnd, 4096) * 0x10000ULL :
				     dice(rnd, 2) * -0x200000ULL;
	view->end = view->start + (0x1000ULL << dice(rnd, 10));
	view->limit_start = view->start - min(view->start, (u64)dice(rnd, 16) * MB);
	view->limit_end = view->end + dice(rnd, 16) * MB;
	if (!dice(rnd, 8) || view->limit_end < view->end) {
		view->limit_start = 0;
		view->limit_end = 0;
	}
	view->present = prandom_u32_state(rnd);
	view->at = dice(rnd, 2) ? place[dice(rnd, 4)] :
		   f->slots[dice(rnd, view->nr_slots)].first;
	view->part = f->slots[dice(rnd, view->nr_slots)].first;
	view->none = dice(rnd, 2);
	view->system = dice(rnd, 2);
	view->mapped = dice(rnd, 2) ? 0 : prandom_u32_state(rnd);
	view->entries = dice(rnd, 64);
	view->write = dice(rnd, 2);
	view->atomic = !dice(rnd, 4);
	view->kind = !dice(rnd, 8);
	if (dice(rnd, 2)) {
		view->attrs = &f->attrs;
		f->attrs.preferred = dice(rnd, 2) ? MSVM_ATTR_NONE :
			dice(rnd, 4) ? dice(rnd, 8) : MSVM_ATTR_SYSTEM;
		f->attrs.accessed_by = dice(rnd, 2) ? 0 : prandom_u32_state(rnd);
		f->attrs.no_access = dice(rnd, 4) ? 0 : prandom_u32_state(rnd);
		f->attrs.read_mostly = !dice(rnd, 5);
		f->attrs.atomics = dice(rnd, 4);
		f->attrs.prefetch = dice(rnd, 6);
		f->attrs.granularity = dice(rnd, 3) ? 0 : dice(rnd, 64);
	}
	f->heat = (struct msvm_heat) {
		.last_move = some_time(rnd),
		.cost = dice(rnd, 2) ? dice(rnd, 1000000) : some_time(rnd),
		.last_party = dice(rnd, 256),
		.moves = dice(rnd, 6),
	};
	if (dice(rnd, 2))
		f->heat.thrash = &f->thrash;
	f->thrash = (struct msvm_thrash) {
		.parties = prandom_u32_state(rnd),
		.system = dice(rnd, 2),
		.nap_until = some_time(rnd),
		.pin_until = some_time(rnd),
		.epoch = some_time(rnd),
		.nap_party = dice(rnd, 256),
		.pinned_at = dice(rnd, 2) ? MSVM_AT_SYSTEM : dice(rnd, 256),
		.throttles = dice(rnd, 20),
		.resets = dice(rnd, 6),
	};
	f->stream = (struct msvm_stream) {
		.start = view->start - dice(rnd, 3) * 2 * MB,
		.end = view->start + dice(rnd, 2) * MB,
		.run = (int)dice(rnd, 200) - 100,
	};
	if (dice(rnd, 2))
		view->stream = &f->stream;
}

/* Said again here, in other words than the engine's. */
static bool reaches(const struct fixture *f, unsigned int slot, u8 place)
{
	const struct msvm_view_slot *s = f->slots;
	unsigned int distance;

	if (place == MSVM_AT_MIXED)
		place = f->view.part;
	if (place == MSVM_AT_SYSTEM)
		return true;
	if (place >= f->view.nr_slots || !s[place].joined)
		return false;
	if (s[slot].first == place)
		return true;
	distance = f->distance[slot][place];
	return f->params.peer_access != MSVM_PEER_OFF &&
	       distance < MSVM_UNREACHABLE &&
	       (f->params.peer_access == MSVM_PEER_ON ||
		distance <= MSVM_NEAR_SYSTEM);
}

static void check_decision(struct kunit *test, const struct fixture *f,
			   const struct msvm_decision *d)
{
	const struct msvm_view *view = &f->view;
	unsigned int slot;

	KUNIT_ASSERT_LT(test, d->reason, MSVM_NR_REASONS);
	KUNIT_EXPECT_EQ(test, d->delay != 0, d->action == MSVM_THROTTLE);
	KUNIT_EXPECT_FALSE(test, d->pin && d->action > MSVM_MOVE);
	if (d->action == MSVM_MOVE) {
		KUNIT_ASSERT_TRUE(test, d->to == MSVM_AT_SYSTEM || d->to < view->nr_slots);
		if (view->kind == MSVM_KIND_FIXED)
			KUNIT_EXPECT_EQ(test, d->to, MSVM_AT_SYSTEM);
	} else {
		KUNIT_EXPECT_EQ(test, d->to, view->at);
	}
	if (d->action == MSVM_MOVE && d->to != MSVM_AT_SYSTEM) {
		KUNIT_EXPECT_TRUE(test, f->slots[d->to].joined);
		KUNIT_EXPECT_TRUE(test, f->slots[d->to].has_memory);
		KUNIT_EXPECT_TRUE(test, f->slots[d->to].enabled);
		KUNIT_EXPECT_FALSE(test, f->slots[d->to].on_request);
		KUNIT_EXPECT_EQ(test, f->slots[d->to].first, d->to);
	}
	if (d->action <= MSVM_MOVE)
		KUNIT_EXPECT_TRUE(test, reaches(f, view->slot, d->to));
	else
		KUNIT_EXPECT_EQ(test, d->map_for, 0ULL);
	for (slot = 0; slot < MSVM_POLICY_SLOTS; slot++) {
		if (!(d->map_for & BIT_ULL(slot)))
			continue;
		KUNIT_ASSERT_LT(test, slot, view->nr_slots);
		KUNIT_EXPECT_NE(test, slot, view->slot);
		KUNIT_EXPECT_TRUE(test, f->slots[slot].joined);
		KUNIT_EXPECT_TRUE(test, reaches(f, slot, d->to));
		if (view->attrs)
			KUNIT_EXPECT_FALSE(test, view->attrs->no_access & BIT_ULL(slot));
	}
	if (d->window_end) {
		KUNIT_EXPECT_EQ(test, d->action, MSVM_MOVE);
		KUNIT_EXPECT_LE(test, d->window_start, view->start);
		KUNIT_EXPECT_GE(test, d->window_end, view->end);
		KUNIT_EXPECT_GE(test, d->window_start, view->limit_start);
		KUNIT_EXPECT_LE(test, d->window_end, view->limit_end);
	} else {
		KUNIT_EXPECT_EQ(test, d->window_start, 0ULL);
	}
}

static void random_burst(struct fixture *f, struct rnd_state *rnd)
{
	f->view.extent = dice(rnd, 2) ? (u64)dice(rnd, 64) * GB : 0;
	f->burst = (struct msvm_burst) {
		.last = dice(rnd, 2) ? f->view.now - dice(rnd, 100) * 10 * MS : 0,
		.bytes = dice(rnd, 2) ? (u64)dice(rnd, 32) * GB : ~0ULL,
		.pace = dice(rnd, 2) ? dice(rnd, 1000) : prandom_u32_state(rnd),
	};
	if (dice(rnd, 4))
		f->view.burst = &f->burst;
}

/* What a member moved in counts, pauses pay for it, and what comes back adds to it. */
static void views_burst(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_burst *burst = &f->burst;

	msvm_burst_faulted(burst, &f->view);
	KUNIT_EXPECT_EQ(test, burst->last, NOW);
	KUNIT_EXPECT_EQ(test, burst->bytes, 0ULL);
	/* 2 MiB in 131 us: 16 GiB take about 1 s. */
	msvm_burst_moved(burst, NOW, 64 * 2048, 2 * MB, 0);
	KUNIT_EXPECT_EQ(test, burst->pace, 64U);
	KUNIT_EXPECT_EQ(test, burst->bytes, 2 * MB);
	msvm_burst_moved(burst, NOW, 64 * 2048, 2 * MB, 12 * GB);
	KUNIT_EXPECT_EQ(test, burst->bytes, 12 * GB + 4 * MB);

	/* Not long enough. */
	f->view.burst = burst;
	f->view.now = NOW + 60 * MS;
	msvm_burst_faulted(burst, &f->view);
	KUNIT_EXPECT_EQ(test, burst->bytes, 12 * GB + 4 * MB);
	KUNIT_EXPECT_EQ(test, burst->last, NOW + 60 * MS);
	/* As much as could be moved in 8 times as long. */
	f->view.now += 70 * MS;
	msvm_burst_faulted(burst, &f->view);
	KUNIT_EXPECT_EQ(test, burst->bytes,
			12 * GB + 4 * MB - (8 * (70 * MS / 64) << 10));
	f->view.now += 500 * MS;
	msvm_burst_faulted(burst, &f->view);
	KUNIT_EXPECT_EQ(test, burst->bytes, 0ULL);

	/* It was displaced: that counts only while there is no room. */
	f->view.none = false;
	f->view.system = true;
	f->heat.last_move = f->view.now - 10 * MS;
	f->heat.last_party = MSVM_AT_SYSTEM;
	f->heat.cost = 64 * 2048;
	msvm_burst_faulted(burst, &f->view);
	KUNIT_EXPECT_EQ(test, burst->bytes, 0ULL);
	f->slots[0].free = 0;
	msvm_burst_faulted(burst, &f->view);
	KUNIT_EXPECT_EQ(test, burst->bytes, 16 * MB);
	/* Never more than there is. */
	msvm_burst_moved(burst, f->view.now, 64 * 2048, 2 * MB, 16 * GB);
	msvm_burst_faulted(burst, &f->view);
	KUNIT_EXPECT_EQ(test, burst->bytes, 16 * GB);
}

static void views_random(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct fixture *copy = fixture_new(test);
	struct msvm_decision once, again;
	struct rnd_state rnd;
	unsigned int round, i;

	prandom_seed_state(&rnd, 20261121);
	for (round = 0; round < ROUNDS; round++) {
		random_view(f, &rnd);
		random_burst(f, &rnd);
		*copy = *f;
		memset(&once, 0, sizeof(once));
		memset(&again, 0, sizeof(again));
		msvm_decide(&f->params, &f->view, &once);
		msvm_decide(&f->params, &f->view, &again);
		check_decision(test, f, &once);
		KUNIT_EXPECT_EQ(test, once.action, again.action);
		KUNIT_EXPECT_EQ(test, once.to, again.to);
		KUNIT_EXPECT_EQ(test, once.reason, again.reason);
		KUNIT_EXPECT_EQ(test, once.map_for, again.map_for);
		KUNIT_EXPECT_EQ(test, once.window_end, again.window_end);
		/* A decision changes nothing. */
		KUNIT_EXPECT_EQ(test, memcmp(f, copy, sizeof(*f)), 0);

		/* And what is done about it ends: nobody waits for ever. */
		for (i = 0; i < 4; i++) {
			msvm_burst_faulted(&f->burst, &f->view);
			KUNIT_EXPECT_LE(test, f->burst.bytes,
					f->slots[f->slots[f->view.slot].first].size);
			msvm_heat_apply(&f->params, &f->heat, f->view.now,
					f->slots[f->view.slot].first, &once);
			if (once.action == MSVM_MOVE)
				msvm_heat_moved(&f->params, &f->heat, f->view.now,
						dice(&rnd, 1000000), once.to);
			f->view.now += dice(&rnd, 1000000);
			msvm_decide(&f->params, &f->view, &once);
			check_decision(test, f, &once);
		}
	}
}

/* Whatever a range's history says, a device that is told to wait waits so often. */
static void views_progress(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_decision decision;
	struct rnd_state rnd;
	unsigned int round, tries;
	u64 waited;

	prandom_seed_state(&rnd, 7);
	for (round = 0; round < ROUNDS / 10; round++) {
		random_view(f, &rnd);
		waited = 0;
		for (tries = 0; tries < 100; tries++) {
			msvm_decide(&f->params, &f->view, &decision);
			msvm_heat_apply(&f->params, &f->heat, f->view.now,
					f->slots[f->view.slot].first, &decision);
			if (decision.action != MSVM_THROTTLE)
				break;
			waited += decision.delay;
			f->view.now += decision.delay;
		}
		KUNIT_EXPECT_NE(test, decision.action, MSVM_THROTTLE);
		KUNIT_EXPECT_LT(test, waited, 3000 * MS);
	}
}

static struct kunit_case msvm_views_cases[] = {
	KUNIT_CASE(views_map_for),
	KUNIT_CASE(views_map_after_move),
	KUNIT_CASE(views_interleave),
	KUNIT_CASE(views_burst),
	KUNIT_CASE(views_random),
	KUNIT_CASE(views_progress),
	{}
};

static struct kunit_suite msvm_views_suite = {
	.name = "drm_msvm_views",
	.test_cases = msvm_views_cases,
};

kunit_test_suite(msvm_views_suite);

MODULE_DESCRIPTION("KUnit tests of drm_msvm's decisions on many views");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("Dual MIT/GPL");
