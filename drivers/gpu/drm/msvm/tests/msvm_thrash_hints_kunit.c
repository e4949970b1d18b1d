// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * KUnit tests of thrashing: each row of the order in which a hint is given, and what
 * becomes of one that is not followed. Built into a program in user space as well:
 * tools/policy.
 */
#include <kunit/test.h>

#include "msvm_policy_fixture.h"

#define SYS		MSVM_AT_SYSTEM
#define NOBODY		0xff

struct hint_row {
	const char *what;
	bool uvm;		/* the placement; else follow-fault */
	u8 slot;
	u8 at;
	u8 moves;		/* in a row, the last one 50 us ago */
	u64 parties;
	bool no_thrash;		/* the second level could not be made */
	bool system;
	bool old;		/* nothing for 2 s */
	bool quiet;		/* the last move is 10 ms ago */
	bool off;
	u8 resets;
	u32 nap;		/* us left */
	u8 nap_party;		/* of it, or with no nap left of the last one */
	u64 waiting;		/* told to wait */
	u32 pin;		/* ms left */
	u8 pinned_at;
	u8 throttles;
	u32 preferred;		/* device by attribute */
	u64 accessed_by;	/* slots by attribute */
	/* Expected: */
	enum msvm_action action;
	u8 to;
	enum msvm_reason reason;
};

#define MOVES(where, why) .action = MSVM_MOVE, .to = (where), .reason = MSVM_REASON_##why
#define STAYS(where, why) .action = MSVM_STAY, .to = (where), .reason = MSVM_REASON_##why
#define WAITS(where) .action = MSVM_THROTTLE, .to = (where), .reason = MSVM_REASON_THROTTLED

/* 0 and 1 are near each other, 0 and 2 reach each other, 1 and 2 do not. */
static const struct hint_row hint_rows[] = {
	{ "off", .at = 2, .moves = 9, .off = true, MOVES(0, FOLLOW) },
	{ "no history", .at = 2, .moves = 0, MOVES(0, FOLLOW) },
	{ "expired", .at = 2, .moves = 3, .old = true, .throttles = 10, MOVES(0, FOLLOW) },
	{ "expired too often", .at = 2, .moves = 3, .old = true, .resets = 4,
	  .throttles = 10, MOVES(0, FOLLOW) },
	{ "few events", .at = 2, .moves = 2, .parties = 5, MOVES(0, FOLLOW) },
	{ "another's nap", .at = 2, .moves = 3, .parties = 5, .nap = 100, .nap_party = 2,
	  WAITS(2) },
	{ "own nap", .at = 2, .moves = 3, .parties = 5, .nap = 100, .nap_party = 0,
	  MOVES(0, FOLLOW) },
	{ "nobody's nap", .at = 2, .moves = 3, .parties = 5, .nap = 100,
	  .nap_party = NOBODY, WAITS(2) },
	{ "quiet", .at = 2, .moves = 3, .parties = 5, .quiet = true, MOVES(0, FOLLOW) },
	{ "all reach preferred", .uvm = true, .slot = 1, .at = SYS, .moves = 3,
	  .parties = 3, .preferred = 100, MOVES(0, PINNED) },
	{ "all reach preferred, there", .uvm = true, .slot = 1, .at = SYS, .moves = 3,
	  .parties = 7, .preferred = 100, MOVES(0, PINNED) },
	{ "CPUs do not reach preferred", .uvm = true, .slot = 1, .at = SYS, .moves = 3,
	  .parties = 3, .system = true, .preferred = 100, MOVES(0, ATTR_PREFERRED) },
	{ "all are near", .at = 1, .moves = 3, .parties = 3, STAYS(1, PINNED) },
	{ "all are near, uvm", .uvm = true, .at = 1, .moves = 3, .parties = 3,
	  STAYS(1, PINNED) },
	{ "all are near but CPUs", .at = 1, .moves = 3, .parties = 3, .system = true,
	  .nap_party = NOBODY, MOVES(0, FOLLOW) },
	{ "one is far", .at = 1, .moves = 3, .parties = 7, .nap_party = NOBODY,
	  MOVES(0, FOLLOW) },
	{ "requester preferred, pinned there", .uvm = true, .slot = 2, .at = 1, .moves = 3,
	  .parties = 6, .pin = 10, .pinned_at = 2, .preferred = 102, MOVES(2, PINNED) },
	{ "requester preferred, chosen", .uvm = true, .slot = 2, .at = 1, .moves = 3,
	  .parties = 6, .nap_party = 1, .preferred = 102, MOVES(2, ATTR_PREFERRED) },
	{ "requester preferred, chosen, pinned elsewhere", .uvm = true, .slot = 2, .at = 1,
	  .moves = 3, .parties = 6, .nap_party = 1, .pin = 10, .pinned_at = 1,
	  .preferred = 102, MOVES(2, PINNED) },
	{ "requester preferred, not chosen, pinned elsewhere", .uvm = true, .slot = 2,
	  .at = 1, .moves = 3, .parties = 6, .nap_party = 2, .pin = 10, .pinned_at = 1,
	  .preferred = 102, WAITS(1) },
	{ "requester preferred, enough", .uvm = true, .slot = 2, .at = 1, .moves = 3,
	  .parties = 6, .nap_party = 1, .throttles = 10, .preferred = 102, MOVES(2, PINNED) },
	{ "requester preferred, enough, not chosen", .uvm = true, .slot = 2, .at = 1,
	  .moves = 3, .parties = 6, .nap_party = 2, .throttles = 10, .preferred = 102,
	  WAITS(1) },
	{ "requester preferred, not chosen", .uvm = true, .slot = 2, .at = 1, .moves = 3,
	  .parties = 6, .nap_party = 2, .preferred = 102, WAITS(1) },
	{ "pinned, reached", .slot = 0, .at = 2, .moves = 3, .parties = 7, .pin = 10,
	  .pinned_at = 2, .nap_party = 0, STAYS(2, PINNED) },
	{ "pinned, brought back", .slot = 0, .at = 1, .moves = 3, .parties = 7, .pin = 10,
	  .pinned_at = 2, .nap_party = 0, STAYS(1, PINNED) },
	{ "pinned, not reached", .slot = 1, .at = 2, .moves = 3, .parties = 6, .pin = 10,
	  .pinned_at = 2, .nap_party = 1, MOVES(SYS, PINNED) },
	{ "pinned, in system", .slot = 1, .at = SYS, .moves = 3, .parties = 6, .pin = 10,
	  .pinned_at = SYS, STAYS(SYS, PINNED) },
	{ "pinned, not reached, uvm", .uvm = true, .slot = 1, .at = 2, .moves = 3,
	  .parties = 6, .pin = 10, .pinned_at = 2, .nap_party = 1, .nap = 0, WAITS(2) },
	{ "pinned, chosen, uvm", .uvm = true, .slot = 1, .at = 2, .moves = 3,
	  .parties = 6, .pin = 10, .pinned_at = 2, .nap_party = 2, MOVES(0, PINNED) },
	{ "pinned, chosen, CPUs, uvm", .uvm = true, .slot = 1, .at = 2, .moves = 3,
	  .parties = 6, .system = true, .pin = 10, .pinned_at = 2, .nap_party = 2,
	  MOVES(SYS, PINNED) },
	{ "pinned, elsewhere, uvm", .uvm = true, .at = 2, .moves = 3, .parties = 7,
	  .pin = 10, .pinned_at = 1, .nap_party = 0, MOVES(1, PINNED) },
	{ "pinned, evicted, uvm", .uvm = true, .at = SYS, .moves = 3, .parties = 7,
	  .pin = 10, .pinned_at = 1, .nap_party = 0, MOVES(1, PINNED) },
	{ "pinned, evicted", .at = SYS, .moves = 3, .parties = 7, .pin = 10, .pinned_at = 1,
	  .nap_party = 0, STAYS(SYS, PINNED) },
	{ "pinned beats accessed by, uvm", .uvm = true, .at = 2, .moves = 3, .parties = 7,
	  .pin = 10, .pinned_at = 1, .nap_party = 0, .accessed_by = 1, MOVES(1, PINNED) },
	{ "pinned, another's nap, uvm", .uvm = true, .at = 1, .moves = 3, .parties = 7,
	  .pin = 10, .pinned_at = 1, .nap = 100, .nap_party = 2, STAYS(1, PINNED) },
	{ "pinned, another's nap, told to wait, uvm", .uvm = true, .at = 1, .moves = 3,
	  .parties = 7, .pin = 10, .pinned_at = 1, .nap = 100, .nap_party = 2, .waiting = 1,
	  WAITS(1) },
	{ "nobody's nap, uvm", .uvm = true, .at = 2, .moves = 3, .parties = 5, .nap = 100,
	  .nap_party = NOBODY, MOVES(0, FOLLOW) },
	{ "nobody's nap, told to wait, uvm", .uvm = true, .at = 2, .moves = 3, .parties = 5,
	  .nap = 100, .nap_party = NOBODY, .waiting = 1, WAITS(2) },
	{ "another's nap, accessed by, uvm", .uvm = true, .at = 2, .moves = 3, .parties = 5,
	  .nap = 100, .nap_party = 2, .accessed_by = 1, WAITS(2) },
	{ "quiet, accessed by, uvm", .uvm = true, .at = 2, .moves = 3, .parties = 5,
	  .quiet = true, .accessed_by = 1, STAYS(2, ATTR_ACCESSED_BY) },
	{ "pinned, chosen, all reach, uvm", .uvm = true, .slot = 0, .at = 2, .moves = 3,
	  .parties = 6, .pin = 10, .pinned_at = 2, .nap_party = 2, MOVES(0, PINNED) },
	{ "pinned, quiet", .slot = 1, .at = SYS, .moves = 3, .quiet = true, .pin = 10,
	  .pinned_at = SYS, STAYS(SYS, PINNED) },
	{ "last let through", .at = 2, .moves = 3, .parties = 5, .nap_party = 0, WAITS(2) },
	{ "turn of another", .at = 2, .moves = 3, .parties = 5, .nap_party = 2,
	  MOVES(0, FOLLOW) },
	{ "enough, reached by all", .at = 2, .moves = 3, .parties = 7, .throttles = 10,
	  MOVES(0, PINNED) },
	{ "enough, not reached by all", .slot = 1, .at = 2, .moves = 3, .parties = 6,
	  .throttles = 10, MOVES(SYS, PINNED) },
	{ "enough, not reached by all, uvm", .uvm = true, .slot = 1, .at = 2, .moves = 3,
	  .parties = 6, .throttles = 10, MOVES(1, PINNED) },
	{ "enough, not chosen, uvm", .uvm = true, .at = 2, .moves = 3, .parties = 7,
	  .nap_party = 0, .throttles = 10, WAITS(2) },
	{ "enough, evicted", .at = SYS, .moves = 3, .system = true, .throttles = 10,
	  STAYS(SYS, PINNED) },
	{ "first level only", .at = 1, .moves = 3, .no_thrash = true, STAYS(1, PINNED) },
	{ "first level only, uvm", .uvm = true, .at = 1, .moves = 3, .no_thrash = true,
	  MOVES(0, FOLLOW) },
	{ "first level only, far", .slot = 1, .at = 2, .moves = 3, .no_thrash = true,
	  MOVES(SYS, PINNED) },
	{ "first level only, few", .at = 1, .moves = 2, .no_thrash = true, MOVES(0, FOLLOW) },
};

static void hint_apply(struct fixture *f, const struct hint_row *row)
{
	fixture_reset(f);
	f->params.placement = row->uvm ? MSVM_PLACEMENT_UVM_COMPAT :
					 MSVM_PLACEMENT_FOLLOW_FAULT;
	if (row->off)
		f->params.thrash_threshold = 0;
	f->view.slot = row->slot;
	f->view.at = row->at;
	f->view.none = false;
	f->view.system = row->at == SYS;
	if (row->preferred)
		f->attrs.preferred = row->preferred;
	f->attrs.accessed_by = row->accessed_by;
	if (row->preferred || row->accessed_by)
		f->view.attrs = &f->attrs;
	f->heat.moves = row->moves;
	f->heat.cost = 100 * US;
	f->heat.last_move = NOW - (row->quiet ? 10 * MS : 50 * US);
	if (row->no_thrash)
		return;
	f->heat.thrash = &f->thrash;
	f->thrash.parties = row->parties;
	f->thrash.system = row->system;
	f->thrash.nap_party = row->nap_party;
	f->thrash.waiting = row->waiting;
	if (row->nap)
		f->thrash.nap_until = NOW + row->nap * US;
	else if (row->nap_party || row->slot == 0)
		f->thrash.nap_until = row->parties ? NOW - 1 : 0;
	if (row->nap_party == 0 && !row->nap && row->slot != 0)
		f->thrash.nap_until = 0;
	f->thrash.pin_until = row->pin ? NOW + row->pin * MS : 0;
	f->thrash.pinned_at = row->pinned_at;
	f->thrash.throttles = row->throttles;
	f->thrash.resets = row->resets;
	f->thrash.epoch = NOW - (row->old ? 2000 * MS : 50 * US);
	if (row->old)
		f->heat.last_move = f->thrash.epoch;
}

static void thrash_hints(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_decision d;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(hint_rows); i++) {
		const struct hint_row *row = &hint_rows[i];

		hint_apply(f, row);
		msvm_decide(&f->params, &f->view, &d);
		KUNIT_EXPECT_EQ_MSG(test, d.action, row->action, "%s", row->what);
		KUNIT_EXPECT_EQ_MSG(test, d.to, row->to, "%s", row->what);
		KUNIT_EXPECT_EQ_MSG(test, d.reason, row->reason, "%s: %s", row->what,
				    msvm_reason_names[d.reason]);
		if (row->action == MSVM_THROTTLE)
			KUNIT_EXPECT_EQ_MSG(test, d.delay, row->nap ? row->nap * US : 500 * US,
					    "%s", row->what);
	}
}

/* nvidia-uvm: who faulted is the preferred location, wherever the others get on. */
static void thrash_preferred_uvm(struct kunit *test)
{
	static const struct hint_row row = {
		.uvm = true, .at = 1, .moves = 3, .parties = 7, .nap_party = 1,
		.preferred = 100,
	};
	struct fixture *f = fixture_new(test);
	struct msvm_decision d;

	/* 0 is preferred, which 2 does not reach; all are near to 1. */
	hint_apply(f, &row);
	fixture_link(f, 1, 2, 5);
	fixture_link(f, 0, 2, MSVM_UNREACHABLE);
	msvm_decide(&f->params, &f->view, &d);
	KUNIT_EXPECT_EQ(test, d.action, MSVM_MOVE);
	KUNIT_EXPECT_EQ(test, d.to, 0);
	/* Pinned there by then, it is for others as well. */
	f->thrash.pin_until = NOW + 10 * MS;
	f->thrash.pinned_at = 1;
	msvm_decide(&f->params, &f->view, &d);
	KUNIT_EXPECT_EQ(test, d.action, MSVM_MOVE);
	KUNIT_EXPECT_EQ(test, d.to, 0);
	KUNIT_EXPECT_EQ(test, d.reason, MSVM_REASON_PINNED);
	/* Nobody moved it there, so it is not in the way. */
	f->view.slot = 1;
	f->view.at = 0;
	f->thrash.parties = 6;
	f->thrash.pin_until = 0;
	f->attrs.preferred = 102;
	f->view.slot = 2;
	msvm_decide(&f->params, &f->view, &d);
	KUNIT_EXPECT_EQ(test, d.action, MSVM_MOVE);
	KUNIT_EXPECT_EQ(test, d.to, 2);
}

/* A decision that is not followed leaves no trace of what would have been done. */
static void thrash_not_followed(struct kunit *test)
{
	static const struct hint_row waits = {
		.slot = 1, .at = 2, .moves = 3, .parties = 6, .nap = 100,
		.nap_party = 2, .throttles = 4,
	};
	static const struct hint_row pins = {
		.slot = 1, .at = 2, .moves = 3, .parties = 6, .throttles = 10,
	};
	struct fixture *f = fixture_new(test);
	struct msvm_thrash before;
	struct msvm_decision d;

	/* The fault has waited for long enough in all: it is served. */
	hint_apply(f, &waits);
	msvm_decide(&f->params, &f->view, &d);
	KUNIT_EXPECT_EQ(test, d.action, MSVM_THROTTLE);
	msvm_decision_stay(&f->view, &d);
	KUNIT_EXPECT_EQ(test, d.action, MSVM_STAY);
	KUNIT_EXPECT_EQ(test, d.reason, MSVM_REASON_THROTTLED);
	KUNIT_EXPECT_EQ(test, d.to, 2);
	KUNIT_EXPECT_EQ(test, d.delay, 0ULL);
	before = f->thrash;
	msvm_heat_apply(&f->params, &f->heat, NOW, 1, &d);
	KUNIT_EXPECT_EQ(test, memcmp(&f->thrash, &before, sizeof(before)), 0);
	KUNIT_EXPECT_EQ(test, f->heat.first_touch, 1);

	/* The memory can't be moved to where it is to be pinned. */
	hint_apply(f, &pins);
	msvm_decide(&f->params, &f->view, &d);
	KUNIT_EXPECT_EQ(test, d.action, MSVM_MOVE);
	KUNIT_EXPECT_TRUE(test, d.pin);
	msvm_decision_stay(&f->view, &d);
	KUNIT_EXPECT_EQ(test, d.action, MSVM_STAY);
	KUNIT_EXPECT_EQ(test, d.reason, MSVM_REASON_PINNED);
	KUNIT_EXPECT_EQ(test, d.to, 2);
	KUNIT_EXPECT_FALSE(test, d.pin);
	KUNIT_EXPECT_EQ(test, d.pin_until, 0ULL);
	KUNIT_EXPECT_EQ(test, d.map_for, 0ULL);
	before = f->thrash;
	msvm_heat_apply(&f->params, &f->heat, NOW, 1, &d);
	KUNIT_EXPECT_EQ(test, memcmp(&f->thrash, &before, sizeof(before)), 0);

	/* Nor does it when only the action is changed. */
	hint_apply(f, &waits);
	msvm_decide(&f->params, &f->view, &d);
	d.action = MSVM_STAY;
	msvm_heat_apply(&f->params, &f->heat, NOW, 1, &d);
	KUNIT_EXPECT_EQ(test, f->thrash.throttles, 4);
}

static struct kunit_case msvm_thrash_hints_cases[] = {
	KUNIT_CASE(thrash_hints),
	KUNIT_CASE(thrash_preferred_uvm),
	KUNIT_CASE(thrash_not_followed),
	{}
};

static struct kunit_suite msvm_thrash_hints_suite = {
	.name = "drm_msvm_thrash_hints",
	.test_cases = msvm_thrash_hints_cases,
};

kunit_test_suite(msvm_thrash_hints_suite);

MODULE_DESCRIPTION("KUnit tests of drm_msvm's hints on thrashing");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("Dual MIT/GPL");
