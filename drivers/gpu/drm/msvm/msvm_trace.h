/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Trace events, TRACE_SYSTEM drm_msvm. "ctx" is the number of the address space
 * in debugfs, "slot" that of the member in it; addresses are hexadecimal, end
 * addresses exclusive. Verbs that take time have a start and an end event.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM drm_msvm

#if !defined(__MSVM_TRACE_H__) || defined(TRACE_HEADER_MULTI_READ)
#define __MSVM_TRACE_H__

#include <linux/tracepoint.h>

#include <drm/drm_msvm.h>

#include "msvm_control.h"
#include "msvm_memory.h"

TRACE_DEFINE_ENUM(DRM_MSVM_ACCESS_READ);
TRACE_DEFINE_ENUM(DRM_MSVM_ACCESS_WRITE);
TRACE_DEFINE_ENUM(DRM_MSVM_ACCESS_ATOMIC);

TRACE_DEFINE_ENUM(MSVM_STAY);
TRACE_DEFINE_ENUM(MSVM_MOVE);
TRACE_DEFINE_ENUM(MSVM_THROTTLE);
TRACE_DEFINE_ENUM(MSVM_REFUSE);

#define show_msvm_action(action) __print_symbolic(action, \
	{ MSVM_STAY, "stay" }, \
	{ MSVM_MOVE, "move" }, \
	{ MSVM_THROTTLE, "throttle" }, \
	{ MSVM_REFUSE, "refuse" })

#define show_msvm_access(access) \
	__print_symbolic(access, \
			 { DRM_MSVM_ACCESS_READ, "read" }, \
			 { DRM_MSVM_ACCESS_WRITE, "write" }, \
			 { DRM_MSVM_ACCESS_ATOMIC, "atomic" })

DECLARE_EVENT_CLASS(msvm_member,
	TP_PROTO(u32 ctx, u32 slot),
	TP_ARGS(ctx, slot),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u32, slot)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->slot = slot;
	),
	TP_printk("ctx=%u slot=%u", __entry->ctx, __entry->slot)
);

DEFINE_EVENT(msvm_member, msvm_join,
	TP_PROTO(u32 ctx, u32 slot),
	TP_ARGS(ctx, slot));

DEFINE_EVENT(msvm_member, msvm_leave,
	TP_PROTO(u32 ctx, u32 slot),
	TP_ARGS(ctx, slot));

TRACE_EVENT(msvm_fault_start,
	TP_PROTO(u32 ctx, u32 slot, u64 addr, u32 access),
	TP_ARGS(ctx, slot, addr, access),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u32, slot)
		__field(u64, addr)
		__field(u32, access)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->slot = slot;
		__entry->addr = addr;
		__entry->access = access;
	),
	TP_printk("ctx=%u slot=%u addr=%#llx access=%s", __entry->ctx,
		  __entry->slot, __entry->addr,
		  show_msvm_access(__entry->access))
);

TRACE_EVENT(msvm_fault_end,
	TP_PROTO(u32 ctx, u32 slot, u64 addr, u32 access, int ret),
	TP_ARGS(ctx, slot, addr, access, ret),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u32, slot)
		__field(u64, addr)
		__field(u32, access)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->slot = slot;
		__entry->addr = addr;
		__entry->access = access;
		__entry->ret = ret;
	),
	TP_printk("ctx=%u slot=%u addr=%#llx access=%s ret=%d", __entry->ctx,
		  __entry->slot, __entry->addr,
		  show_msvm_access(__entry->access), __entry->ret)
);

TRACE_EVENT(msvm_walk_start,
	TP_PROTO(u32 ctx, u64 start, u64 end, bool write),
	TP_ARGS(ctx, start, end, write),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u64, start)
		__field(u64, end)
		__field(bool, write)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->start = start;
		__entry->end = end;
		__entry->write = write;
	),
	TP_printk("ctx=%u start=%#llx end=%#llx write=%d", __entry->ctx,
		  __entry->start, __entry->end, __entry->write)
);

TRACE_EVENT(msvm_walk_end,
	TP_PROTO(u32 ctx, u64 start, u64 end, unsigned long runs, int ret),
	TP_ARGS(ctx, start, end, runs, ret),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u64, start)
		__field(u64, end)
		__field(unsigned long, runs)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->start = start;
		__entry->end = end;
		__entry->runs = runs;
		__entry->ret = ret;
	),
	TP_printk("ctx=%u start=%#llx end=%#llx runs=%lu ret=%d",
		  __entry->ctx, __entry->start, __entry->end, __entry->runs,
		  __entry->ret)
);

TRACE_EVENT(msvm_map,
	TP_PROTO(u32 ctx, u32 slot, u64 start, u64 end, u32 entries,
		 bool writable, int ret),
	TP_ARGS(ctx, slot, start, end, entries, writable, ret),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u32, slot)
		__field(u64, start)
		__field(u64, end)
		__field(u32, entries)
		__field(bool, writable)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->slot = slot;
		__entry->start = start;
		__entry->end = end;
		__entry->entries = entries;
		__entry->writable = writable;
		__entry->ret = ret;
	),
	TP_printk("ctx=%u slot=%u start=%#llx end=%#llx entries=%u writable=%d ret=%d",
		  __entry->ctx, __entry->slot, __entry->start, __entry->end,
		  __entry->entries, __entry->writable, __entry->ret)
);

/* A worker took the faults of one range together; more may join them. */
TRACE_EVENT(msvm_fault_batch,
	TP_PROTO(u32 ctx, u64 start, u64 end, u32 faults, u64 slots),
	TP_ARGS(ctx, start, end, faults, slots),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u64, start)
		__field(u64, end)
		__field(u32, faults)
		__field(u64, slots)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->start = start;
		__entry->end = end;
		__entry->faults = faults;
		__entry->slots = slots;
	),
	TP_printk("ctx=%u start=%#llx end=%#llx faults=%u slots=%#llx",
		  __entry->ctx, __entry->start, __entry->end,
		  __entry->faults, __entry->slots)
);

TRACE_EVENT(msvm_invalidate_start,
	TP_PROTO(u32 ctx, u64 start, u64 end, u32 event),
	TP_ARGS(ctx, start, end, event),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u64, start)
		__field(u64, end)
		__field(u32, event)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->start = start;
		__entry->end = end;
		__entry->event = event;
	),
	TP_printk("ctx=%u start=%#llx end=%#llx event=%u", __entry->ctx,
		  __entry->start, __entry->end, __entry->event)
);

TRACE_EVENT(msvm_invalidate_end,
	TP_PROTO(u32 ctx, u64 start, u64 end, u32 ranges, u32 slots),
	TP_ARGS(ctx, start, end, ranges, slots),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u64, start)
		__field(u64, end)
		__field(u32, ranges)
		__field(u32, slots)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->start = start;
		__entry->end = end;
		__entry->ranges = ranges;
		__entry->slots = slots;
	),
	TP_printk("ctx=%u start=%#llx end=%#llx ranges=%u slots=%u",
		  __entry->ctx, __entry->start, __entry->end,
		  __entry->ranges, __entry->slots)
);

TRACE_EVENT(msvm_move,
	TP_PROTO(u32 ctx, u64 start, u64 end, u32 device, int ret),
	TP_ARGS(ctx, start, end, device, ret),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u64, start)
		__field(u64, end)
		__field(u32, device)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->start = start;
		__entry->end = end;
		__entry->device = device;
		__entry->ret = ret;
	),
	/* Device 0 is system memory. */
	TP_printk("ctx=%u start=%#llx end=%#llx device=%u ret=%d",
		  __entry->ctx, __entry->start, __entry->end,
		  __entry->device, __entry->ret)
);

TRACE_EVENT(msvm_evict,
	TP_PROTO(u32 device, u64 offset, u64 size, int ret),
	TP_ARGS(device, offset, size, ret),
	TP_STRUCT__entry(
		__field(u32, device)
		__field(u64, offset)
		__field(u64, size)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->device = device;
		__entry->offset = offset;
		__entry->size = size;
		__entry->ret = ret;
	),
	TP_printk("device=%u offset=%#llx size=%llu ret=%d", __entry->device,
		  __entry->offset, __entry->size, __entry->ret)
);

/*
 * Names and not numbers of placement and reason: they come from the engine, and are all
 * of the policy that the event names. "to" is where it goes or stays: a slot, 64 for
 * system memory, or more for several places.
 */
TRACE_EVENT(msvm_place,
	TP_PROTO(u32 ctx, u32 slot, u64 addr, const struct msvm_policy *policy,
		 const struct msvm_decision *decision),
	TP_ARGS(ctx, slot, addr, policy, decision),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u32, slot)
		__field(u64, addr)
		__field(u64, serial)
		__string(policy, policy->name)
		__string(placement,
			 msvm_placement_names[policy->params.placement])
		__field(u32, action)
		__field(u32, to)
		__string(reason, msvm_reason_names[decision->reason])
		__field(u64, map_for)
		__field(u64, window_start)
		__field(u64, window_end)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->slot = slot;
		__entry->addr = addr;
		__entry->serial = policy->serial;
		__assign_str(policy);
		__assign_str(placement);
		__entry->action = decision->action;
		__entry->to = decision->to;
		__assign_str(reason);
		__entry->map_for = decision->map_for;
		__entry->window_start = decision->window_start;
		__entry->window_end = decision->window_end;
	),
	TP_printk("ctx=%u slot=%u addr=%#llx serial=%llu policy=%s placement=%s action=%s to=%u reason=%s map_for=%#llx window=%#llx-%#llx",
		  __entry->ctx, __entry->slot, __entry->addr, __entry->serial,
		  __get_str(policy), __get_str(placement),
		  show_msvm_action(__entry->action), __entry->to,
		  __get_str(reason), __entry->map_for, __entry->window_start,
		  __entry->window_end)
);

TRACE_EVENT(msvm_throttle,
	TP_PROTO(u32 ctx, u32 slot, u64 addr, u64 delay),
	TP_ARGS(ctx, slot, addr, delay),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u32, slot)
		__field(u64, addr)
		__field(u64, delay)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->slot = slot;
		__entry->addr = addr;
		__entry->delay = delay;
	),
	TP_printk("ctx=%u slot=%u addr=%#llx delay=%llu", __entry->ctx,
		  __entry->slot, __entry->addr, __entry->delay)
);

/* "at" is a slot, or 64 for system memory; "until" is in ns, ~0: for good. */
TRACE_EVENT(msvm_pin,
	TP_PROTO(u32 ctx, u64 start, u64 end, u32 at, u64 until),
	TP_ARGS(ctx, start, end, at, until),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u64, start)
		__field(u64, end)
		__field(u32, at)
		__field(u64, until)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->start = start;
		__entry->end = end;
		__entry->at = at;
		__entry->until = until;
	),
	TP_printk("ctx=%u start=%#llx end=%#llx at=%u until=%llu", __entry->ctx,
		  __entry->start, __entry->end, __entry->at, __entry->until)
);

/* Noticed by the first fault after the time was over, or when the range goes. */
TRACE_EVENT(msvm_unpin,
	TP_PROTO(u32 ctx, u64 start, u64 end),
	TP_ARGS(ctx, start, end),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u64, start)
		__field(u64, end)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->start = start;
		__entry->end = end;
	),
	TP_printk("ctx=%u start=%#llx end=%#llx", __entry->ctx, __entry->start,
		  __entry->end)
);

DECLARE_EVENT_CLASS(msvm_userptr,
	TP_PROTO(u32 ctx, u32 slot, u64 start, u64 end, bool writable, int ret),
	TP_ARGS(ctx, slot, start, end, writable, ret),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u32, slot)
		__field(u64, start)
		__field(u64, end)
		__field(bool, writable)
		__field(int, ret)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->slot = slot;
		__entry->start = start;
		__entry->end = end;
		__entry->writable = writable;
		__entry->ret = ret;
	),
	TP_printk("ctx=%u slot=%u start=%#llx end=%#llx writable=%d ret=%d",
		  __entry->ctx, __entry->slot, __entry->start, __entry->end,
		  __entry->writable, __entry->ret)
);

DEFINE_EVENT(msvm_userptr, msvm_userptr_bind,
	TP_PROTO(u32 ctx, u32 slot, u64 start, u64 end, bool writable, int ret),
	TP_ARGS(ctx, slot, start, end, writable, ret));

/* By the worker; each is a bind as well. */
DEFINE_EVENT(msvm_userptr, msvm_userptr_revalidate,
	TP_PROTO(u32 ctx, u32 slot, u64 start, u64 end, bool writable, int ret),
	TP_ARGS(ctx, slot, start, end, writable, ret));

TRACE_EVENT(msvm_userptr_invalidate,
	TP_PROTO(u32 ctx, u64 start, u64 end, u32 event, u32 slots),
	TP_ARGS(ctx, start, end, event, slots),
	TP_STRUCT__entry(
		__field(u32, ctx)
		__field(u64, start)
		__field(u64, end)
		__field(u32, event)
		__field(u32, slots)
	),
	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->start = start;
		__entry->end = end;
		__entry->event = event;
		__entry->slots = slots;
	),
	TP_printk("ctx=%u start=%#llx end=%#llx event=%u slots=%u",
		  __entry->ctx, __entry->start, __entry->end, __entry->event,
		  __entry->slots)
);

#endif /* __MSVM_TRACE_H__ */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE msvm_trace
#include <trace/define_trace.h>
