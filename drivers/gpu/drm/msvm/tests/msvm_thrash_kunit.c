// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * KUnit tests of thrashing: how moves are counted, and the life of a restless range:
 * throttled in turns, pinned, released, forgotten. msvm_thrash_hints_kunit.c has the
 * order. Built into a program in user space as well: tools/policy.
 */
#include <linux/minmax.h>

#include <kunit/test.h>

#include "msvm_policy_fixture.h"

#define SYS		MSVM_AT_SYSTEM
#define NOBODY		0xff

/* Moves are in a row within the window, or within 8 times what the last one took. */
static void thrash_counts(struct kunit *test)
{
	struct msvm_policy_params params = msvm_policy_default;
	struct msvm_heat heat = {};
	u64 now = NOW;

	msvm_heat_forget(&heat);
	msvm_heat_moved(&params, &heat, now, 10 * US, 0);
	KUNIT_EXPECT_EQ(test, heat.moves, 1);
	msvm_heat_moved(&params, &heat, now += 500 * US, 10 * US, SYS);
	KUNIT_EXPECT_EQ(test, heat.moves, 2);
	msvm_heat_moved(&params, &heat, now += 501 * US, 10 * US, 0);
	KUNIT_EXPECT_EQ(test, heat.moves, 1);
	msvm_heat_moved(&params, &heat, now += 8 * MS, 1 * MS, 1);
	KUNIT_EXPECT_EQ(test, heat.moves, 2);
	KUNIT_EXPECT_EQ(test, heat.last_party, 1);
	/* A cost that can't be one: ten seconds of sleep are not a window of 80. */
	msvm_heat_moved(&params, &heat, now += 100 * US, 10000 * MS, 0);
	msvm_heat_moved(&params, &heat, now += 8001 * MS, 10000 * MS, 1);
	KUNIT_EXPECT_EQ(test, heat.moves, 1);
	/* Clocks that differ, and time that is none. */
	msvm_heat_moved(&params, &heat, now - 700 * US, 0, 0);
	KUNIT_EXPECT_EQ(test, heat.moves, 2);
	heat.last_move = ~0ULL - 5;
	msvm_heat_moved(&params, &heat, now, 0, 1);
	KUNIT_EXPECT_EQ(test, heat.moves, 1);
	heat.moves = 255;
	msvm_heat_moved(&params, &heat, now, 0, 0);
	KUNIT_EXPECT_EQ(test, heat.moves, 255);
	/* To where it was moved already. */
	heat.moves = 2;
	msvm_heat_moved(&params, &heat, now += 100 * US, 10 * US, 0);
	KUNIT_EXPECT_EQ(test, heat.moves, 2);
	KUNIT_EXPECT_EQ(test, heat.last_move, now);
	msvm_heat_moved(&params, &heat, now += 501 * US, 10 * US, 0);
	KUNIT_EXPECT_EQ(test, heat.moves, 1);
	KUNIT_EXPECT_PTR_EQ(test, heat.thrash, (struct msvm_thrash *)NULL);
}

/* What moves take stretches all times, but for uvm-compat, which has constants. */
static void thrash_times(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_heat heat = {};
	struct msvm_decision d = { .action = MSVM_STAY };
	bool uvm;

	for (uvm = false;; uvm = true) {
		fixture_reset(f);
		f->params.placement = uvm ? MSVM_PLACEMENT_UVM_COMPAT :
					    MSVM_PLACEMENT_FOLLOW_FAULT;
		/* In a row within the window. */
		msvm_heat_forget(&heat);
		msvm_heat_moved(&f->params, &heat, NOW, 10 * MS, 1);
		msvm_heat_moved(&f->params, &heat, NOW + 500 * US, 10 * MS, 2);
		KUNIT_EXPECT_EQ(test, heat.moves, 2);
		msvm_heat_moved(&f->params, &heat, NOW + 1001 * US, 10 * MS, 1);
		KUNIT_EXPECT_EQ(test, heat.moves, uvm ? 1 : 3);

		/* A nap, and what begins one. */
		f->view.slot = 2;
		f->view.at = 1;
		f->view.none = false;
		f->heat.thrash = &f->thrash;
		f->heat.moves = 3;
		f->heat.last_move = NOW - 50 * US;
		f->heat.last_party = 1;
		f->heat.cost = 10 * MS;
		f->thrash.parties = 6;
		f->thrash.nap_party = 2;
		f->thrash.nap_until = NOW - 1;
		msvm_decide(&f->params, &f->view, &d);
		KUNIT_EXPECT_EQ(test, d.action, MSVM_THROTTLE);
		KUNIT_EXPECT_EQ(test, d.delay, uvm ? 500 * US : 10 * MS);
		f->thrash.nap_party = 1;
		msvm_decide(&f->params, &f->view, &d);
		KUNIT_EXPECT_EQ(test, d.action, MSVM_MOVE);
		msvm_heat_apply(&f->params, &f->heat, NOW, 2, &d);
		KUNIT_EXPECT_EQ(test, f->thrash.nap_until,
				NOW + (uvm ? 500 * US : 10 * MS));

		/* A pin. */
		f->thrash.throttles = 10;
		f->heat.moves = 3;
		f->heat.last_move = NOW - 50 * US;
		msvm_decide(&f->params, &f->view, &d);
		KUNIT_EXPECT_TRUE(test, d.pin);
		KUNIT_EXPECT_EQ(test, d.pin_until, NOW + (uvm ? 150 : 240) * MS);

		/* Quiet time. */
		f->heat.cost = 200 * MS;
		f->thrash.epoch = NOW;
		f->thrash.pin_until = 0;
		d = (struct msvm_decision) { .action = MSVM_STAY };
		msvm_heat_apply(&f->params, &f->heat, NOW + 1000 * MS, 1, &d);
		KUNIT_EXPECT_EQ(test, f->thrash.resets, uvm);
		if (uvm)
			break;
	}

	/* Where naps take no time nobody waits. */
	fixture_reset(f);
	f->params.placement = MSVM_PLACEMENT_UVM_COMPAT;
	f->params.thrash_throttle_us = 0;
	f->view.slot = 1;
	f->view.at = 2;
	f->view.none = false;
	f->heat.thrash = &f->thrash;
	f->heat.last_move = NOW - 50 * US;
	f->heat.moves = 3;
	f->thrash.parties = 6;
	f->thrash.nap_party = 1;
	f->thrash.nap_until = NOW - 1;
	f->thrash.pin_until = NOW + 10 * MS;
	f->thrash.pinned_at = 2;
	msvm_decide(&f->params, &f->view, &d);
	KUNIT_EXPECT_EQ(test, d.action, MSVM_MOVE);
	KUNIT_EXPECT_EQ(test, d.reason, MSVM_REASON_PINNED);
}

struct battle {
	unsigned int moves, throttles, pinned, longest;
	unsigned int moved[3];
	u64 pinned_at;
	u8 pinned_where;
};

/* Members @a and @b want the range in turns, every 20 us, until @end. */
static void battle_run(struct fixture *f, u8 a, u8 b, u64 end, struct battle *battle)
{
	struct msvm_decision d;
	unsigned int turn = 0, row = 0;

	*battle = (struct battle) { .pinned_where = NOBODY };
	for (; f->view.now < end; f->view.now += 20 * US, turn++) {
		f->view.slot = turn & 1 ? b : a;
		msvm_decide(&f->params, &f->view, &d);
		if (d.alloc_thrash)
			f->heat.thrash = &f->thrash;
		msvm_heat_apply(&f->params, &f->heat, f->view.now, f->view.slot, &d);
		row = d.action == MSVM_THROTTLE ? row + 1 : 0;
		battle->longest = max(battle->longest, row);
		battle->throttles += d.action == MSVM_THROTTLE;
		if (d.pin && battle->pinned_where == NOBODY) {
			battle->pinned_at = f->view.now;
			battle->pinned_where = d.to;
		}
		battle->pinned += d.reason == MSVM_REASON_PINNED;
		if (d.action != MSVM_MOVE)
			continue;
		battle->moves++;
		if (d.to < 3)
			battle->moved[d.to]++;
		f->view.now += 100 * US;
		f->view.at = d.to;
		f->view.none = false;
		f->view.system = d.to == SYS;
		msvm_heat_moved(&f->params, &f->heat, f->view.now, 100 * US, d.to);
	}
}

/* Two that do not reach each other: in turns, then in system memory for a while. */
static void thrash_life(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct battle battle;

	f->params.placement = MSVM_PLACEMENT_FOLLOW_FAULT;
	f->params.thrash_max_throttles = 50;
	battle_run(f, 1, 2, NOW + 100 * MS, &battle);
	KUNIT_EXPECT_EQ(test, battle.pinned_where, SYS);
	KUNIT_EXPECT_EQ(test, battle.throttles, 50);
	/* Both were let through while the other waited. */
	KUNIT_EXPECT_GE(test, battle.moved[1], 2);
	KUNIT_EXPECT_GE(test, battle.moved[2], 2);
	/* 3 moves to notice, one per nap of 500 us, one to system memory. */
	KUNIT_EXPECT_LE(test, battle.moves, 12);
	KUNIT_EXPECT_LE(test, battle.pinned_at - NOW, 10 * MS);
	KUNIT_EXPECT_GT(test, battle.pinned, 1000);
	KUNIT_EXPECT_NE(test, f->thrash.pin_until, 0ULL);

	/* The pin ends by itself, and all begins again. */
	f->view.now = f->thrash.pin_until + 1;
	f->view.slot = 1;
	battle_run(f, 1, 2, f->view.now + 100 * MS, &battle);
	KUNIT_EXPECT_GE(test, battle.moved[1], 2);
	KUNIT_EXPECT_EQ(test, battle.pinned_where, SYS);
}

/* The same as nvidia-uvm has it: also in turns, and what is pinned goes on moving. */
static void thrash_life_uvm(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct battle battle;

	f->params.placement = MSVM_PLACEMENT_UVM_COMPAT;
	battle_run(f, 1, 2, NOW + 20 * MS, &battle);
	KUNIT_EXPECT_EQ(test, battle.pinned_where, 1);
	/* Both were let through, for a nap each. */
	KUNIT_EXPECT_GE(test, battle.moved[1], 5);
	KUNIT_EXPECT_GE(test, battle.moved[2], 5);
	KUNIT_EXPECT_LE(test, battle.longest, 30);
	/* The one that does not reach it there waits, and has it brought to where both do. */
	KUNIT_EXPECT_EQ(test, battle.moved[0], 1);
	KUNIT_EXPECT_EQ(test, f->view.at, 0);
	KUNIT_EXPECT_EQ(test, f->thrash.pinned_at, 0);
	KUNIT_EXPECT_GT(test, battle.pinned, 100);
	/* And is forgotten after 150 ms, however often it was pinned elsewhere. */
	KUNIT_EXPECT_EQ(test, f->thrash.pin_until, battle.pinned_at + 150 * MS);
}

/* Where all are near, memory is pinned without anybody having to wait. */
static void thrash_near(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct battle battle;

	f->params.placement = MSVM_PLACEMENT_FOLLOW_FAULT;
	battle_run(f, 0, 1, NOW + 100 * MS, &battle);
	KUNIT_EXPECT_LT(test, battle.pinned_where, 2);
	KUNIT_EXPECT_EQ(test, battle.throttles, 0);
	KUNIT_EXPECT_EQ(test, battle.moves, 3);
}

static void thrash_no_throttles(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct battle battle;

	f->params.placement = MSVM_PLACEMENT_FOLLOW_FAULT;
	f->params.thrash_max_throttles = 0;
	battle_run(f, 1, 2, NOW + 100 * MS, &battle);
	KUNIT_EXPECT_EQ(test, battle.throttles, 0);
	KUNIT_EXPECT_EQ(test, battle.moves, 4);
	KUNIT_EXPECT_EQ(test, battle.pinned_where, SYS);

	/* For good: until somebody says otherwise, or the history is forgotten. */
	fixture_reset(f);
	f->params.placement = MSVM_PLACEMENT_FOLLOW_FAULT;
	f->params.thrash_pin_ms = 0;
	battle_run(f, 1, 2, NOW + 5000 * MS, &battle);
	KUNIT_EXPECT_EQ(test, f->thrash.pin_until, ~0ULL);
	battle_run(f, 1, 2, f->view.now + 5000 * MS, &battle);
	KUNIT_EXPECT_EQ(test, battle.moves, 0);
	msvm_heat_forget(&f->heat);
	KUNIT_EXPECT_PTR_EQ(test, f->heat.thrash, &f->thrash);
	KUNIT_EXPECT_EQ(test, f->heat.first_touch, NOBODY);
	battle_run(f, 1, 2, f->view.now + 1 * MS, &battle);
	KUNIT_EXPECT_GT(test, battle.moves, 0);
}

/* Quiet time makes it forget, but not for ever. */
static void thrash_resets(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_decision d = { .action = MSVM_STAY };
	unsigned int i;
	u64 now = NOW;

	f->heat.thrash = &f->thrash;
	f->thrash.throttles = 5;
	f->thrash.epoch = now;
	for (i = 0; i < 10; i++) {
		now += 1000 * MS;
		msvm_heat_apply(&f->params, &f->heat, now, 0, &d);
		KUNIT_EXPECT_EQ(test, f->thrash.resets, min(i + 1, 4U));
		KUNIT_EXPECT_EQ(test, f->thrash.throttles, i < 4 ? 0 : 5);
		f->thrash.throttles = 5;
		f->thrash.epoch = now;
	}
	/* 0: as often as you like, and it does not overflow. */
	f->params.thrash_max_resets = 0;
	for (i = 0; i < 300; i++) {
		now += 1000 * MS;
		f->thrash.throttles = 5;
		msvm_heat_apply(&f->params, &f->heat, now, 0, &d);
		KUNIT_EXPECT_EQ(test, f->thrash.throttles, 0);
		f->thrash.epoch = now;
	}
	/* Not while it is pinned. */
	f->thrash.pin_until = now + 1500 * MS;
	f->params.thrash_pin_ms = 2000;
	f->thrash.throttles = 5;
	msvm_heat_apply(&f->params, &f->heat, now + 1200 * MS, 0, &d);
	KUNIT_EXPECT_EQ(test, f->thrash.throttles, 5);
}

/* A range that is evicted and brought back goes back and forth as well. */
static void thrash_evictions(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_decision d;
	unsigned int i, moves = 0;

	f->params.thrash_max_throttles = 2;
	for (i = 0; i < 20; i++) {
		msvm_decide(&f->params, &f->view, &d);
		if (d.alloc_thrash)
			f->heat.thrash = &f->thrash;
		msvm_heat_apply(&f->params, &f->heat, f->view.now, 0, &d);
		f->view.now += 100 * US + d.delay;
		if (d.action != MSVM_MOVE)
			continue;
		moves++;
		msvm_heat_moved(&f->params, &f->heat, f->view.now, 100 * US, d.to);
		f->view.now += 100 * US;
		msvm_heat_moved(&f->params, &f->heat, f->view.now, 100 * US, SYS);
	}
	KUNIT_EXPECT_LE(test, moves, 10);
	KUNIT_EXPECT_EQ(test, d.action, MSVM_STAY);
	KUNIT_EXPECT_EQ(test, d.reason, MSVM_REASON_PINNED);
}

/* One fills memory that is dropped, over and over: nobody is in its way. */
static void thrash_alone(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_decision d;
	unsigned int i;
	bool uvm;

	for (uvm = false;; uvm = true) {
		fixture_reset(f);
		f->params.placement = uvm ? MSVM_PLACEMENT_UVM_COMPAT :
					    MSVM_PLACEMENT_ADAPTIVE;
		for (i = 0; i < 100; i++) {
			/* From the second half on it was restless in older days. */
			f->heat.thrash = i < 50 ? NULL : &f->thrash;
			/* MADV_DONTNEED: it is nowhere again, or some of it. */
			f->view.at = i % 3 ? SYS : 0;
			f->view.none = true;
			f->view.system = false;
			msvm_decide(&f->params, &f->view, &d);
			KUNIT_EXPECT_EQ(test, d.action, MSVM_MOVE);
			KUNIT_EXPECT_EQ(test, d.to, 0);
			KUNIT_EXPECT_FALSE(test, d.pin);
			KUNIT_EXPECT_FALSE(test, d.alloc_thrash);
			msvm_heat_apply(&f->params, &f->heat, f->view.now, 0, &d);
			f->view.now += 50 * US;
			msvm_heat_moved(&f->params, &f->heat, f->view.now, 50 * US, 0);
			f->view.now += 10 * US;
		}
		KUNIT_EXPECT_EQ(test, f->heat.moves, 1);
		KUNIT_EXPECT_EQ(test, f->thrash.throttles, 0);
		if (uvm)
			break;
	}
}

/* The second level is asked for at the second move in a row, and only once. */
static void thrash_lazy(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_decision d;

	f->heat.last_move = NOW - 10 * US;
	f->heat.moves = 1;
	msvm_decide(&f->params, &f->view, &d);
	KUNIT_EXPECT_FALSE(test, d.alloc_thrash);
	f->heat.moves = 2;
	msvm_decide(&f->params, &f->view, &d);
	KUNIT_EXPECT_TRUE(test, d.alloc_thrash);
	f->heat.thrash = &f->thrash;
	msvm_decide(&f->params, &f->view, &d);
	KUNIT_EXPECT_FALSE(test, d.alloc_thrash);
	f->heat.thrash = NULL;
	f->params.thrash_threshold = 0;
	msvm_decide(&f->params, &f->view, &d);
	KUNIT_EXPECT_FALSE(test, d.alloc_thrash);
}

static struct kunit_case msvm_thrash_cases[] = {
	KUNIT_CASE(thrash_counts),
	KUNIT_CASE(thrash_times),
	KUNIT_CASE(thrash_life),
	KUNIT_CASE(thrash_life_uvm),
	KUNIT_CASE(thrash_near),
	KUNIT_CASE(thrash_no_throttles),
	KUNIT_CASE(thrash_resets),
	KUNIT_CASE(thrash_evictions),
	KUNIT_CASE(thrash_alone),
	KUNIT_CASE(thrash_lazy),
	{}
};

static struct kunit_suite msvm_thrash_suite = {
	.name = "drm_msvm_thrash",
	.test_cases = msvm_thrash_cases,
};

kunit_test_suite(msvm_thrash_suite);

MODULE_DESCRIPTION("KUnit tests of drm_msvm's handling of thrashing");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("Dual MIT/GPL");
