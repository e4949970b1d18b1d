// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * KUnit tests of decisions: each placement, each attribute, who has a say before
 * whom, and every reason at least once. Built into a program in user space as well: tools/policy.
 */
#include <kunit/test.h>

#include "msvm_policy_fixture.h"

/* Attributes of a row. */
#define PREF(device)	.attr = true, .preferred = (device)
#define NO_PREF		.attr = true, .preferred = MSVM_ATTR_NONE

/* What a row sets beside the fields of the view. */
enum {
	FULL = BIT(0),		/* slot 0's memory is full, others are evicted */
	FULL_1 = BIT(1),	/* the same of slot 1 */
	OFF = BIT(2),		/* slot 0 is disabled */
	ON_REQUEST = BIT(3),	/* slot 0 is filled on request */
	RANKS = BIT(4),		/* the policy prefers 1, then 0 */
	JUST_MOVED = BIT(5),	/* 1 ms ago */
	RESTLESS = BIT(6),	/* moved three times in a row, by 0 and 1 */
	RESTLESS_2 = BIT(7),	/* the same, by 0 and 2 */
	NAP_1 = BIT(8),		/* slot 1 is let through now */
	PINNED = BIT(9),	/* where it is */
	COUNT = BIT(10),	/* faulted often */
	FIXED = BIT(11),	/* memory of the kind that stays */
	SLICE = BIT(12),	/* the policy has a timeslice */
	LENT = BIT(13),		/* slot 1's memory has no room to lend */
	THROTTLED = BIT(14),	/* ... often enough */
	HOT = BIT(15),		/* displaced just now */
	NEW = BIT(16),		/* never displaced */
	CALM = BIT(17),		/* few are evicted */
	LARGE = BIT(18),	/* part of more than fits, ... */
	BURST = BIT(19),	/* ... of which as much as fits was just moved in */
	PAUSE = BIT(20),	/* ... before the device ran without faults for long */
};

struct row {
	const char *what;
	enum msvm_placement placement;
	bool peers_off;
	bool peers_auto;
	u8 slot;
	u8 at;			/* or ... */
	bool nowhere;		/* ... nowhere yet */
	bool some;		/* some is in system memory */
	u8 part;
	u64 mapped;
	bool write;
	bool atomic;
	bool attr;
	u32 preferred;
	u64 accessed_by;
	u64 no_access;
	bool read_mostly;
	u8 atomics;
	unsigned int set;
	/* Expected: */
	enum msvm_action action;
	u8 to;
	enum msvm_reason reason;
};

#define SYS		MSVM_AT_SYSTEM
#define ADAPTIVE	.placement = MSVM_PLACEMENT_ADAPTIVE
#define ADAPTIVE_OFF	.placement = MSVM_PLACEMENT_ADAPTIVE, .peers_off = true
#define UVM		.placement = MSVM_PLACEMENT_UVM_COMPAT
#define FIRST		.placement = MSVM_PLACEMENT_FIRST_TOUCH
#define FOLLOW		.placement = MSVM_PLACEMENT_FOLLOW_FAULT
#define PREFER		.placement = MSVM_PLACEMENT_PREFERRED
#define INTER		.placement = MSVM_PLACEMENT_INTERLEAVE
#define SYSTEM		.placement = MSVM_PLACEMENT_SYSTEM
#define COUNTS		.placement = MSVM_PLACEMENT_ACCESS_COUNT
#define MOVES(where, why) .action = MSVM_MOVE, .to = (where), .reason = MSVM_REASON_##why
#define STAYS(where, why) .action = MSVM_STAY, .to = (where), .reason = MSVM_REASON_##why
#define WAITS(where, why) .action = MSVM_THROTTLE, .to = (where), .reason = MSVM_REASON_##why
#define REFUSED(where, why) .action = MSVM_REFUSE, .to = (where), .reason = MSVM_REASON_##why

static const struct row rows[] = {
	/* What comes before any placement. */
	{ "no access", ADAPTIVE, .at = SYS, NO_PREF, .no_access = 1,
	  REFUSED(SYS, ATTR_NO_ACCESS) },
	{ "no access for another", ADAPTIVE, .at = SYS, NO_PREF, .no_access = 2,
	  MOVES(0, FIRST_TOUCH) },
	{ "no access beats atomics", ADAPTIVE, .at = 1, NO_PREF, .no_access = 1,
	  .atomic = true, .atomics = MSVM_ATOMICS_DEVICE, REFUSED(1, ATTR_NO_ACCESS) },
	{ "atomics none", ADAPTIVE, .at = SYS, NO_PREF, .atomic = true,
	  .atomics = MSVM_ATOMICS_NONE, REFUSED(SYS, ATTR_ATOMICS) },
	{ "atomics none, no atomic", ADAPTIVE, .at = SYS, NO_PREF, .atomics = MSVM_ATOMICS_NONE,
	  MOVES(0, FIRST_TOUCH) },
	{ "file", ADAPTIVE, .at = SYS, .set = FIXED, STAYS(SYS, KIND) },
	{ "file, preferred", ADAPTIVE, .at = SYS, .set = FIXED, PREF(101), STAYS(SYS, KIND) },
	{ "no memory", ADAPTIVE, .slot = 3, .at = SYS, STAYS(SYS, NO_MEMORY) },
	{ "no memory, peer", ADAPTIVE, .slot = 3, .at = 0, STAYS(0, NO_MEMORY) },
	{ "no memory, far", ADAPTIVE, .slot = 3, .at = 1, MOVES(SYS, OUT_OF_REACH) },
	{ "no memory, follow-fault", FOLLOW, .slot = 3, .at = SYS, STAYS(SYS, NO_MEMORY) },
	{ "no memory, several", ADAPTIVE, .slot = 3, .at = MSVM_AT_SEVERAL,
	  MOVES(SYS, SEVERAL) },
	{ "disabled", ADAPTIVE, .at = SYS, .set = OFF, STAYS(SYS, DISABLED) },
	{ "disabled, far", ADAPTIVE_OFF, .at = 1, .set = OFF, MOVES(SYS, OUT_OF_REACH) },
	{ "on request", ADAPTIVE, .at = SYS, .set = ON_REQUEST, STAYS(SYS, EXPLICIT) },
	/* Attributes. */
	{ "atomics device", ADAPTIVE, .at = 1, NO_PREF, .atomic = true,
	  .atomics = MSVM_ATOMICS_DEVICE, MOVES(0, ATTR_ATOMICS) },
	{ "atomics device, there", ADAPTIVE, .at = 0, NO_PREF, .atomic = true,
	  .atomics = MSVM_ATOMICS_DEVICE, STAYS(0, HERE) },
	{ "atomics device, no memory", ADAPTIVE, .slot = 3, .at = 0, NO_PREF,
	  .atomic = true, .atomics = MSVM_ATOMICS_DEVICE, STAYS(0, NO_MEMORY) },
	{ "atomics system", ADAPTIVE, .at = 0, NO_PREF, .atomics = MSVM_ATOMICS_SYSTEM,
	  MOVES(SYS, ATTR_ATOMICS) },
	{ "atomics system, there", ADAPTIVE, .at = SYS, NO_PREF, .atomics = MSVM_ATOMICS_SYSTEM,
	  STAYS(SYS, ATTR_ATOMICS) },
	{ "atomics system beats preferred", ADAPTIVE, .at = SYS, PREF(100),
	  .atomics = MSVM_ATOMICS_SYSTEM, STAYS(SYS, ATTR_ATOMICS) },
	{ "read mostly", ADAPTIVE, .at = SYS, NO_PREF, .read_mostly = true,
	  STAYS(SYS, ATTR_READ_MOSTLY) },
	{ "read mostly, elsewhere", ADAPTIVE, .at = 1, NO_PREF, .read_mostly = true,
	  MOVES(SYS, ATTR_READ_MOSTLY) },
	{ "read mostly beats preferred", UVM, .at = SYS, PREF(100), .read_mostly = true,
	  STAYS(SYS, ATTR_READ_MOSTLY) },
	{ "preferred elsewhere", ADAPTIVE, .at = SYS, PREF(101), MOVES(1, ATTR_PREFERRED) },
	{ "preferred, there", ADAPTIVE, .at = 1, PREF(101), STAYS(1, HERE) },
	{ "preferred, own", ADAPTIVE, .at = 1, PREF(100), MOVES(0, ATTR_PREFERRED) },
	{ "preferred, by second member", ADAPTIVE, .slot = 4, .at = SYS, PREF(100),
	  MOVES(0, ATTR_PREFERRED) },
	{ "preferred, some in system", ADAPTIVE, .at = 1, .some = true, PREF(101),
	  MOVES(1, ATTR_PREFERRED) },
	{ "preferred out of reach", ADAPTIVE, .slot = 1, .at = 2, PREF(102),
	  MOVES(SYS, ATTR_PREFERRED) },
	{ "preferred out of reach, in system", ADAPTIVE, .slot = 1, .at = SYS, PREF(102),
	  STAYS(SYS, ATTR_PREFERRED) },
	{ "preferred is disabled", ADAPTIVE, .slot = 1, .at = SYS, PREF(100), .set = OFF,
	  MOVES(1, FIRST_TOUCH) },
	{ "preferred is not there", ADAPTIVE, .at = SYS, PREF(200), MOVES(0, FIRST_TOUCH) },
	{ "preferred has no memory", ADAPTIVE, .at = SYS, PREF(103), MOVES(0, FIRST_TOUCH) },
	{ "preferred system", ADAPTIVE, .at = 1, PREF(MSVM_ATTR_SYSTEM),
	  MOVES(SYS, ATTR_PREFERRED) },
	{ "preferred system, there", FOLLOW, .at = SYS, PREF(MSVM_ATTR_SYSTEM),
	  STAYS(SYS, ATTR_PREFERRED) },
	{ "preferred beats policy", SYSTEM, .at = SYS, PREF(100), MOVES(0, ATTR_PREFERRED) },
	{ "preferred beats pin", ADAPTIVE, .at = SYS, PREF(100), .set = RESTLESS | PINNED,
	  MOVES(0, ATTR_PREFERRED) },
	{ "accessed by, peer", FOLLOW, .at = 1, NO_PREF, .accessed_by = 1,
	  STAYS(1, ATTR_ACCESSED_BY) },
	{ "accessed by, system", FOLLOW, .at = SYS, NO_PREF, .accessed_by = 1,
	  STAYS(SYS, ATTR_ACCESSED_BY) },
	{ "accessed by another", FOLLOW, .at = 1, NO_PREF, .accessed_by = 2, MOVES(0, FOLLOW) },
	{ "accessed by, nowhere", FOLLOW, .nowhere = true, NO_PREF, .accessed_by = 1,
	  MOVES(0, FOLLOW) },
	{ "accessed by, out of reach", FOLLOW, .slot = 1, .at = 2, NO_PREF, .accessed_by = 2,
	  MOVES(1, FOLLOW) },
	{ "preferred beats accessed by", ADAPTIVE, .at = SYS, PREF(101), .accessed_by = 1,
	  MOVES(1, ATTR_PREFERRED) },
	{ "accessed by beats timeslice", FOLLOW, .at = 1, NO_PREF, .accessed_by = 1,
	  .set = SLICE | JUST_MOVED, STAYS(1, ATTR_ACCESSED_BY) },
	/* Timeslice. */
	{ "timeslice", FOLLOW, .at = 1, .set = SLICE | JUST_MOVED, STAYS(1, TIMESLICE) },
	{ "timeslice, none", FOLLOW, .at = 1, .set = JUST_MOVED, MOVES(0, FOLLOW) },
	{ "timeslice, out of reach", FOLLOW, .slot = 2, .at = 1, .set = SLICE | JUST_MOVED,
	  WAITS(1, TIMESLICE) },
	{ "timeslice, several", FOLLOW, .at = MSVM_AT_SEVERAL, .set = SLICE | JUST_MOVED,
	  MOVES(0, FOLLOW) },
	{ "timeslice beats pin", FOLLOW, .at = 1, .set = SLICE | JUST_MOVED | RESTLESS | PINNED,
	  STAYS(1, TIMESLICE) },
	/* First touch. */
	{ "first touch, nowhere", FIRST, .nowhere = true, MOVES(0, FIRST_TOUCH) },
	{ "first touch, system", FIRST, .at = SYS, MOVES(0, FIRST_TOUCH) },
	{ "first touch, mapped", FIRST, .at = SYS, .mapped = 2, STAYS(SYS, SHARED) },
	{ "first touch, upgrade", FIRST, .at = SYS, .mapped = 1, MOVES(0, FIRST_TOUCH) },
	{ "first touch, here", FIRST, .at = 0, STAYS(0, HERE) },
	{ "first touch, peer", FIRST, .at = 1, STAYS(1, PEER) },
	{ "first touch, far peer", FIRST, .at = 2, STAYS(2, PEER) },
	{ "first touch, out of reach", FIRST, .slot = 1, .at = 2, MOVES(SYS, OUT_OF_REACH) },
	{ "first touch, mapped out of reach", FIRST, .slot = 1, .at = 2, .mapped = 4,
	  MOVES(SYS, OUT_OF_REACH) },
	{ "first touch, several", FIRST, .at = MSVM_AT_SEVERAL, MOVES(0, SEVERAL) },
	{ "first touch, several, mapped", FIRST, .at = MSVM_AT_SEVERAL, .mapped = 2,
	  MOVES(SYS, SEVERAL) },
	{ "first touch, own and system", FIRST, .at = MSVM_AT_MIXED, .part = 0, .some = true,
	  MOVES(0, FIRST_TOUCH) },
	{ "first touch, peer and system", FIRST, .at = MSVM_AT_MIXED, .part = 1, .some = true,
	  STAYS(MSVM_AT_MIXED, PEER) },
	{ "first touch, far and system", FIRST, .slot = 1, .at = MSVM_AT_MIXED,
	  .part = 2, .some = true, MOVES(SYS, OUT_OF_REACH) },
	{ "first touch, no member's", FIRST, .at = MSVM_AT_OTHER, MOVES(SYS, OUT_OF_REACH) },
	{ "first touch, peers off", FIRST, .peers_off = true, .at = 1,
	  MOVES(SYS, OUT_OF_REACH) },
	{ "first touch, peers auto", FIRST, .peers_auto = true, .at = 1, STAYS(1, PEER) },
	{ "first touch, peers auto, far", FIRST, .peers_auto = true, .at = 2,
	  MOVES(SYS, OUT_OF_REACH) },
	/* Follow fault, system, count. */
	{ "follow, nowhere", FOLLOW, .nowhere = true, MOVES(0, FOLLOW) },
	{ "follow, peer", FOLLOW, .at = 1, .mapped = 2, MOVES(0, FOLLOW) },
	{ "follow, here", FOLLOW, .at = 0, STAYS(0, HERE) },
	{ "follow, full", FOLLOW, .at = SYS, .set = FULL, MOVES(0, FOLLOW) },
	{ "system", SYSTEM, .at = SYS, STAYS(SYS, POLICY) },
	{ "system, nowhere", SYSTEM, .nowhere = true, STAYS(SYS, POLICY) },
	{ "system, elsewhere", SYSTEM, .at = 0, MOVES(SYS, POLICY) },
	{ "counting", COUNTS, .at = SYS, STAYS(SYS, COUNTING) },
	{ "counting, out of reach", COUNTS, .slot = 1, .at = 2, MOVES(SYS, OUT_OF_REACH) },
	{ "counted", COUNTS, .at = 1, .set = COUNT, MOVES(0, COUNTED) },
	{ "counted, here", COUNTS, .at = 0, .set = COUNT, STAYS(0, HERE) },
	/* Preferred. */
	{ "preferred devices", PREFER, .at = SYS, .set = RANKS, MOVES(1, PREFERRED) },
	{ "preferred devices, there", PREFER, .at = 1, .set = RANKS, STAYS(1, HERE) },
	{ "preferred devices, next", PREFER, .at = SYS, .set = RANKS | FULL_1,
	  MOVES(0, PREFERRED) },
	{ "preferred devices, full but there", PREFER, .at = 1, .set = RANKS | FULL_1,
	  STAYS(1, HERE) },
	{ "preferred devices, all full", PREFER, .at = SYS, .set = RANKS | FULL | FULL_1,
	  STAYS(SYS, FULL) },
	{ "preferred devices, out of reach", PREFER, .slot = 2, .at = SYS, .set = RANKS | OFF,
	  STAYS(SYS, OUT_OF_REACH) },
	{ "preferred devices, first out of reach", PREFER, .slot = 2, .at = SYS, .set = RANKS,
	  MOVES(0, PREFERRED) },
	{ "preferred devices, none", PREFER, .at = SYS, STAYS(SYS, POLICY) },
	/* Interleave: the range at BASE is the third device's. */
	{ "interleave", INTER, .at = SYS, MOVES(2, INTERLEAVED) },
	{ "interleave, there", INTER, .at = 2, STAYS(2, HERE) },
	{ "interleave, out of reach", INTER, .slot = 1, .at = SYS, STAYS(SYS, OUT_OF_REACH) },
	{ "interleave, peers off", INTER, .peers_off = true, .at = SYS,
	  STAYS(SYS, OUT_OF_REACH) },
	/* uvm-compat: the rows of the order, one by one. */
	{ "uvm: requester is preferred", UVM, .at = 1, PREF(100), MOVES(0, ATTR_PREFERRED) },
	{ "uvm: requester is preferred, accessed by", UVM, .at = 1, PREF(100), .accessed_by = 1,
	  MOVES(0, ATTR_PREFERRED) },
	{ "uvm: pinned", UVM, .at = 1, .set = RESTLESS | PINNED, STAYS(1, PINNED) },
	{ "uvm: nowhere, preferred", UVM, .nowhere = true, PREF(101),
	  MOVES(1, ATTR_PREFERRED) },
	{ "uvm: nowhere, preferred out of reach", UVM, .slot = 1, .nowhere = true, PREF(102),
	  MOVES(1, FIRST_TOUCH) },
	{ "uvm: nowhere", UVM, .nowhere = true, MOVES(0, FIRST_TOUCH) },
	{ "uvm: nowhere, accessed by", UVM, .nowhere = true, NO_PREF, .accessed_by = 1,
	  MOVES(0, FIRST_TOUCH) },
	{ "uvm: accessed by", UVM, .at = 1, NO_PREF, .accessed_by = 1,
	  STAYS(1, ATTR_ACCESSED_BY) },
	{ "uvm: accessed by beats preferred", UVM, .at = SYS, PREF(101), .accessed_by = 1,
	  STAYS(SYS, ATTR_ACCESSED_BY) },
	{ "uvm: accessed by, out of reach", UVM, .slot = 1, .at = 2, NO_PREF, .accessed_by = 2,
	  MOVES(1, FOLLOW) },
	{ "uvm: preferred", UVM, .at = SYS, PREF(101), MOVES(1, ATTR_PREFERRED) },
	{ "uvm: preferred system", UVM, .at = 1, PREF(MSVM_ATTR_SYSTEM),
	  MOVES(SYS, ATTR_PREFERRED) },
	{ "uvm: preferred, local", UVM, .at = 0, PREF(101), STAYS(0, HERE) },
	{ "uvm: preferred out of reach", UVM, .slot = 1, .at = SYS, PREF(102),
	  MOVES(1, FOLLOW) },
	{ "uvm: last toucher", UVM, .at = 1, .mapped = 2, MOVES(0, FOLLOW) },
	{ "uvm: no memory", UVM, .slot = 3, .at = SYS, STAYS(SYS, NO_MEMORY) },
	{ "uvm: no memory, nowhere", UVM, .slot = 3, .nowhere = true,
	  STAYS(SYS, NO_MEMORY) },
	{ "uvm: no memory, peer", UVM, .slot = 3, .at = 0, MOVES(SYS, NO_MEMORY) },
	{ "uvm: no memory, preferred", UVM, .slot = 3, .at = SYS, PREF(100),
	  MOVES(0, ATTR_PREFERRED) },
	{ "uvm: no memory, preferred out of reach", UVM, .slot = 3, .at = 0, PREF(101),
	  MOVES(SYS, NO_MEMORY) },
	{ "uvm: no memory, accessed by", UVM, .slot = 3, .at = 0, NO_PREF, .accessed_by = 8,
	  STAYS(0, ATTR_ACCESSED_BY) },
	{ "uvm: no memory, pinned", UVM, .slot = 3, .at = 0, .set = RESTLESS | PINNED,
	  STAYS(0, PINNED) },
	{ "uvm: disabled", UVM, .at = 1, .set = OFF, STAYS(1, DISABLED) },
	{ "uvm: on request", UVM, .at = 1, .set = ON_REQUEST, STAYS(1, EXPLICIT) },
	{ "uvm: timeslice beats pin", UVM, .at = 1, PREF(100),
	  .set = SLICE | JUST_MOVED | RESTLESS | PINNED, STAYS(1, TIMESLICE) },
	{ "uvm: not to be moved", UVM, .at = SYS, .set = FIXED, STAYS(SYS, KIND) },
	/* Adaptive: as first touch in simple cases. */
	{ "adaptive, nowhere", ADAPTIVE, .nowhere = true, MOVES(0, FIRST_TOUCH) },
	{ "adaptive, system", ADAPTIVE, .at = SYS, MOVES(0, FIRST_TOUCH) },
	{ "adaptive, mapped", ADAPTIVE, .at = SYS, .mapped = 2, STAYS(SYS, SHARED) },
	{ "adaptive, here", ADAPTIVE, .at = 0, STAYS(0, HERE) },
	{ "adaptive, peer", ADAPTIVE, .at = 1, STAYS(1, PEER) },
	{ "adaptive, peer, mapped", ADAPTIVE, .at = 1, .mapped = 2, STAYS(1, SHARED) },
	{ "adaptive, several", ADAPTIVE, .at = MSVM_AT_SEVERAL, MOVES(0, SEVERAL) },
	{ "adaptive, full, lent", ADAPTIVE, .at = SYS, .set = FULL, MOVES(1, PRESSURE) },
	{ "adaptive, full, not lent", ADAPTIVE, .at = SYS, .set = FULL | LENT,
	  STAYS(SYS, PRESSURE) },
	{ "adaptive, full, new", ADAPTIVE, .at = SYS, .set = FULL | NEW, MOVES(0, FIRST_TOUCH) },
	{ "adaptive, full, new, filled", ADAPTIVE, .at = SYS, .set = FULL | NEW | BURST,
	  MOVES(0, FIRST_TOUCH) },
	{ "adaptive, full, new, large", ADAPTIVE, .at = SYS, .set = FULL | NEW | LARGE,
	  MOVES(0, FIRST_TOUCH) },
	{ "adaptive, full, new, large, filled", ADAPTIVE, .at = SYS,
	  .set = FULL | NEW | LARGE | BURST, MOVES(1, PRESSURE) },
	{ "adaptive, full, new, large, filled, not lent", ADAPTIVE, .nowhere = true,
	  .set = FULL | NEW | LARGE | BURST | LENT, STAYS(SYS, PRESSURE) },
	{ "adaptive, full, new, large, filled, paused", ADAPTIVE, .at = SYS,
	  .set = FULL | NEW | LARGE | BURST | PAUSE, MOVES(0, FIRST_TOUCH) },
	{ "adaptive, new, large, filled, not full", ADAPTIVE, .at = SYS,
	  .set = LARGE | BURST, MOVES(0, FIRST_TOUCH) },
	{ "adaptive, full, hot", ADAPTIVE, .at = SYS, .set = FULL | LENT | HOT,
	  STAYS(SYS, PRESSURE) },
	{ "adaptive, full, hot, calm", ADAPTIVE, .at = SYS, .set = FULL | LENT | HOT | CALM,
	  MOVES(0, FIRST_TOUCH) },
	{ "adaptive, full, cold, calm", ADAPTIVE, .at = SYS, .set = FULL | LENT | CALM,
	  STAYS(SYS, PRESSURE) },
	/* Thrashing; msvm_thrash_kunit.c has more. */
	{ "throttled", FOLLOW, .slot = 2, .at = 1, .set = RESTLESS | NAP_1,
	  WAITS(1, THROTTLED) },
	{ "pinned", FOLLOW, .at = SYS, .set = RESTLESS | PINNED, STAYS(SYS, PINNED) },
	{ "pinned, out of reach", FOLLOW, .slot = 1, .at = 2, .set = RESTLESS | PINNED,
	  MOVES(SYS, PINNED) },
};

/* Every reason, over all rows and tests of this file. */
static u64 reasons_seen;

static void decide(struct fixture *f, struct msvm_decision *decision)
{
	msvm_decide(&f->params, &f->view, decision);
	reasons_seen |= BIT_ULL(decision->reason);
}

static void row_restless(struct fixture *f, unsigned int set)
{
	if (!(set & (RESTLESS | RESTLESS_2)))
		return;
	f->heat.moves = 3;
	f->heat.last_move = NOW - 50 * US;
	f->heat.last_party = 1;
	f->heat.cost = 100 * US;
	f->heat.thrash = &f->thrash;
	f->thrash.parties = set & RESTLESS ? 3 : 5;
	f->thrash.nap_party = 0xff;
	f->thrash.epoch = NOW - 50 * US;
	if (set & NAP_1) {
		f->thrash.nap_party = 1;
		f->thrash.nap_until = NOW + 200 * US;
	}
	if (set & PINNED) {
		f->thrash.pin_until = NOW + 10 * MS;
		f->thrash.pinned_at = f->view.at;
	}
	if (set & THROTTLED)
		f->thrash.throttles = 10;
}

static void row_apply(struct fixture *f, const struct row *row)
{
	unsigned int slot;

	fixture_reset(f);
	f->params.placement = row->placement;
	f->params.peer_access = row->peers_off ? MSVM_PEER_OFF :
				row->peers_auto ? MSVM_PEER_AUTO : MSVM_PEER_ON;
	f->view.slot = row->slot;
	f->view.at = row->nowhere ? MSVM_AT_SYSTEM : row->at;
	f->view.none = row->nowhere;
	f->view.system = !row->nowhere && (row->at == MSVM_AT_SYSTEM || row->some);
	f->view.part = row->part;
	f->view.mapped = row->mapped;
	f->view.write = row->write;
	f->view.atomic = row->atomic;
	f->view.kind = row->set & FIXED ? MSVM_KIND_FIXED : MSVM_KIND_ANON;
	if (row->attr) {
		f->attrs.preferred = row->preferred;
		f->attrs.accessed_by = row->accessed_by;
		f->attrs.no_access = row->no_access;
		f->attrs.read_mostly = row->read_mostly;
		f->attrs.atomics = row->atomics;
		f->view.attrs = &f->attrs;
	}
	for (slot = 0; slot < 2; slot++) {
		if (!(row->set & (slot ? FULL_1 : FULL)))
			continue;
		f->slots[slot].free = 0;
		f->slots[slot].evictions = 2 * GB;
	}
	/* Displaced a while ago, but not long ago. */
	if (row->set & FULL) {
		f->heat.last_party = SYS;
		f->heat.last_move = NOW - 700 * MS;
		f->heat.cost = 132 * US;
	}
	if (row->set & HOT)
		f->heat.last_move = NOW - 10 * MS;
	if (row->set & NEW)
		f->heat.last_party = 0xff;
	if (row->set & CALM)
		f->slots[0].evictions = 64 * MB;
	if (row->set & LARGE)
		f->view.extent = 17 * GB;
	if (row->set & BURST) {
		/* It takes about 1 s to fill the memory. */
		f->burst.last = NOW - (row->set & PAUSE ? 200 * MS : 50 * US);
		f->burst.bytes = 16 * GB;
		f->burst.pace = 64;
		f->view.burst = &f->burst;
	}
	if (row->set & LENT)
		f->slots[1].free = 1 * GB;
	if (row->set & OFF) {
		f->slots[0].enabled = false;
		f->slots[4].enabled = false;
	}
	f->slots[0].on_request = row->set & ON_REQUEST;
	if (row->set & RANKS) {
		f->slots[1].rank = 0;
		f->slots[0].rank = 1;
	}
	if (row->set & SLICE)
		f->params.timeslice_ms = 5;
	if (row->set & COUNT)
		f->slots[row->slot].faults = f->params.migrate_threshold;
	row_restless(f, row->set);
	if (row->set & JUST_MOVED)
		f->heat.last_move = NOW - 1 * MS;
}

static void policy_rows(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		struct msvm_decision once, again;

		row_apply(f, row);
		decide(f, &once);
		KUNIT_EXPECT_EQ_MSG(test, once.action, row->action, "%s", row->what);
		KUNIT_EXPECT_EQ_MSG(test, once.to, row->to, "%s", row->what);
		KUNIT_EXPECT_EQ_MSG(test, once.reason, row->reason, "%s: %s", row->what,
				    msvm_reason_names[once.reason]);
		/* The same view, the same decision. */
		decide(f, &again);
		KUNIT_EXPECT_EQ_MSG(test, once.action, again.action, "%s", row->what);
		KUNIT_EXPECT_EQ_MSG(test, once.to, again.to, "%s", row->what);
		KUNIT_EXPECT_EQ_MSG(test, once.map_for, again.map_for, "%s", row->what);
	}
}

static void policy_all_reasons(struct kunit *test)
{
	struct fixture *f = fixture_new(test);
	struct msvm_decision decision;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		row_apply(f, &rows[i]);
		decide(f, &decision);
	}
	/* On a machine where peers are slow and memory is shared by three. */
	fixture_reset(f);
	f->view.at = 0;
	f->view.none = false;
	f->view.slot = 2;
	f->view.mapped = BIT_ULL(0) | BIT_ULL(1);
	fixture_link(f, 0, 1, 30);
	fixture_link(f, 0, 2, 30);
	decide(f, &decision);
	KUNIT_EXPECT_EQ(test, decision.action, MSVM_MOVE);
	KUNIT_EXPECT_EQ(test, decision.to, MSVM_AT_SYSTEM);
	KUNIT_EXPECT_EQ(test, decision.reason, MSVM_REASON_COST);

	for (i = 0; i < MSVM_NR_REASONS; i++) {
		KUNIT_EXPECT_TRUE_MSG(test, reasons_seen & BIT_ULL(i), "%s",
				      msvm_reason_names[i]);
		KUNIT_EXPECT_NOT_NULL(test, msvm_reason_names[i]);
	}
}

/* What a policy may not say. */
static void policy_check(struct kunit *test)
{
	struct msvm_policy_params params = msvm_policy_default;
	const char *field = NULL;

	KUNIT_EXPECT_PTR_EQ(test, msvm_policy_check(&params, &field), (const char *)NULL);
	params.placement = MSVM_PLACEMENT_PREFERRED;
	KUNIT_EXPECT_NOT_NULL(test, msvm_policy_check(&params, &field));
	KUNIT_EXPECT_STREQ(test, field, "preferred_devices");
	params.nr_preferred = 1;
	KUNIT_EXPECT_PTR_EQ(test, msvm_policy_check(&params, &field), (const char *)NULL);
	params.thrash_window_us = 1001 * 1000;
	KUNIT_EXPECT_NOT_NULL(test, msvm_policy_check(&params, &field));
	KUNIT_EXPECT_STREQ(test, field, "thrash_reset_ms");
	params = msvm_policy_default;
	params.chunk_sizes = MSVM_CHUNK_2M;
	KUNIT_EXPECT_NOT_NULL(test, msvm_policy_check(&params, &field));
	KUNIT_EXPECT_STREQ(test, field, "chunk_sizes");
}

static struct kunit_case msvm_policy_cases[] = {
	KUNIT_CASE(policy_rows),
	KUNIT_CASE(policy_all_reasons),
	KUNIT_CASE(policy_check),
	{}
};

static struct kunit_suite msvm_policy_suite = {
	.name = "drm_msvm_policy",
	.test_cases = msvm_policy_cases,
};

kunit_test_suite(msvm_policy_suite);

MODULE_DESCRIPTION("KUnit tests of drm_msvm's decisions");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("Dual MIT/GPL");
