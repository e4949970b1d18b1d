/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the files of the policy engine share: who reaches what, and the steps of a
 * decision. Pure logic, see msvm_policy.h.
 */
#ifndef __MSVM_ENGINE_H__
#define __MSVM_ENGINE_H__

#include "msvm_policy.h"

#define MSVM_NS_PER_US		1000ULL
#define MSVM_NS_PER_MS		1000000ULL

/* No party, no place. */
#define MSVM_NOBODY		0xff

/**
 * struct msvm_wish - Where somebody wants the memory.
 * @stay: Where it is, even if that is in parts.
 * @to: The lowest slot of a device or %MSVM_AT_SYSTEM; with @stay, &msvm_view.at.
 * @reason: Why.
 */
struct msvm_wish {
	bool stay;
	u8 to;
	enum msvm_reason reason;
};

static inline void msvm_wish_stay(const struct msvm_view *view,
				  enum msvm_reason reason,
				  struct msvm_wish *wish)
{
	*wish = (struct msvm_wish) {
		.stay = true, .to = view->at, .reason = reason,
	};
}

static inline u64 msvm_view_size(const struct msvm_view *view)
{
	return view->end - view->start;
}

static inline bool msvm_is_uvm(const struct msvm_policy_params *params)
{
	return params->placement == MSVM_PLACEMENT_UVM_COMPAT;
}

/* The lowest slot of the faulting device. */
static inline u8 msvm_view_self(const struct msvm_view *view)
{
	return view->slots[view->slot].first;
}

/* Is all of it nowhere yet? */
static inline bool msvm_view_nowhere(const struct msvm_view *view)
{
	return view->at == MSVM_AT_SYSTEM && view->none && !view->system;
}

/* Is all of it in memory of this device, or in system memory? */
static inline bool msvm_view_all_at(const struct msvm_view *view, u8 place)
{
	if (view->at != place)
		return false;
	return place == MSVM_AT_SYSTEM || (!view->none && !view->system);
}

/* Ask for memory at @to; it may be there. */
static inline void msvm_wish_for(const struct msvm_view *view, u8 to,
				 enum msvm_reason reason,
				 struct msvm_wish *wish)
{
	*wish = (struct msvm_wish) { .to = to, .reason = reason };
	if (msvm_view_all_at(view, to) && to < MSVM_POLICY_SLOTS)
		wish->reason = MSVM_REASON_HERE;
}

/* msvm_decide.c */
bool msvm_can_hold(const struct msvm_view *view, u8 slot);
bool msvm_has_room(const struct msvm_view *view, u8 slot);
bool msvm_reaches(const struct msvm_policy_params *params,
		  const struct msvm_view *view, u8 slot, u8 place);
bool msvm_is_near(const struct msvm_policy_params *params,
		  const struct msvm_view *view, u8 slot, u8 place);
u8 msvm_attr_place(const struct msvm_view *view);

/* msvm_choose.c */
void msvm_choose(const struct msvm_policy_params *params,
		 const struct msvm_view *view, struct msvm_wish *wish);
void msvm_choose_adaptive(const struct msvm_policy_params *params,
			  const struct msvm_view *view, struct msvm_wish *wish);

/* msvm_thrash.c */
bool msvm_thrash_hint(const struct msvm_policy_params *params,
		      const struct msvm_view *view,
		      struct msvm_decision *decision);
u64 msvm_since(u64 now, u64 then);

/* msvm_tree.c */
void msvm_window(const struct msvm_policy_params *params,
		 const struct msvm_view *view, struct msvm_decision *decision);

#endif /* __MSVM_ENGINE_H__ */
