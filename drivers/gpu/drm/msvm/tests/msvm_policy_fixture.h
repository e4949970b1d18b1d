/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the tests of the policy engine start from: a range in system memory, and a
 * machine with five members:
 *
 *   slot 0, 1, 2: devices 100, 101, 102 with memory. 0 and 1 are near each other,
 *	0 and 2 reach each other but are farther than system memory, 1 and 2 do not;
 *   slot 3: device 103 without memory, reaches slot 0's;
 *   slot 4: a second member of device 100.
 */
#ifndef __MSVM_POLICY_FIXTURE_H__
#define __MSVM_POLICY_FIXTURE_H__

#include <kunit/test.h>

#include "../msvm_policy.h"

#define MB		BIT_ULL(20)
#define GB		BIT_ULL(30)
#define US		1000ULL
#define MS		1000000ULL
#define NOW		(1000 * MS)
#define BASE		(0x7f0000000000ULL)

struct fixture {
	struct msvm_policy_params params;
	struct msvm_view view;
	struct msvm_view_slot slots[MSVM_POLICY_SLOTS];
	struct msvm_heat heat;
	struct msvm_thrash thrash;
	struct msvm_attrs attrs;
	struct msvm_stream stream;
	struct msvm_burst burst;
	unsigned int distance[MSVM_POLICY_SLOTS][MSVM_POLICY_SLOTS + 1];
};

static inline unsigned int fixture_distance(const struct msvm_view *view,
					    unsigned int from, unsigned int to)
{
	const struct fixture *f = view->data;

	return f->distance[from][to];
}

static inline void fixture_link(struct fixture *f, unsigned int a,
				unsigned int b, unsigned int distance)
{
	f->distance[a][b] = distance;
	f->distance[b][a] = distance;
}

static inline void fixture_slot(struct fixture *f, unsigned int slot, u32 device)
{
	struct msvm_view_slot *s = &f->slots[slot];
	unsigned int to;

	*s = (struct msvm_view_slot) {
		.joined = true,
		.has_memory = true,
		.enabled = true,
		.rank = 0xff,
		.first = slot,
		.device = device,
		.weight = 100,
		.free = 8 * GB,
		.size = 16 * GB,
		.faults = 1,
	};
	for (to = 0; to < MSVM_POLICY_SLOTS; to++)
		f->distance[slot][to] = MSVM_UNREACHABLE;
	f->distance[slot][MSVM_AT_SYSTEM] = MSVM_NEAR_SYSTEM;
	f->distance[slot][slot] = 0;
}

static inline void fixture_reset(struct fixture *f)
{
	unsigned int slot;

	*f = (struct fixture) { .params = msvm_policy_default };
	for (slot = 0; slot < 5; slot++)
		fixture_slot(f, slot, 100 + slot);
	fixture_link(f, 0, 1, 5);
	fixture_link(f, 0, 2, 15);
	fixture_link(f, 3, 0, 5);
	f->slots[3].has_memory = false;
	f->slots[4].device = 100;
	f->slots[4].first = 0;
	fixture_link(f, 4, 0, 0);
	fixture_link(f, 4, 1, 5);
	fixture_link(f, 4, 2, 15);
	fixture_link(f, 4, 3, 5);

	f->attrs.preferred = MSVM_ATTR_NONE;
	f->heat.first_touch = 0xff;
	f->heat.last_party = 0xff;
	f->view = (struct msvm_view) {
		.now = NOW,
		.start = BASE,
		.end = BASE + 2 * MB,
		.addr = BASE,
		.at = MSVM_AT_SYSTEM,
		.none = true,
		.heat = &f->heat,
		.slots = f->slots,
		.nr_slots = 5,
		.distance = fixture_distance,
		.data = f,
	};
}

static inline struct fixture *fixture_new(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	fixture_reset(f);
	return f;
}

#endif /* __MSVM_POLICY_FIXTURE_H__ */
