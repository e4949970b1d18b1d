/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The policy engine's interface: what a policy says, what is known about a range
 * that a device faulted in, and what is to be done. Pure logic: no lock, no time
 * source, no allocation, no type of drm_gpusvm. The same files are built into the
 * module, into KUnit tests and into programs in user space.
 */
#ifndef __MSVM_POLICY_H__
#define __MSVM_POLICY_H__

#include <linux/bits.h>
#include <linux/types.h>

/* Slots of an address space: DRM_MSVM_MAX_MEMBERS, which msvm_place.c asserts. */
#define MSVM_POLICY_SLOTS	64

/* Devices that a policy may name, and the longest name. */
#define MSVM_POLICY_DEVICES	16
#define MSVM_POLICY_NAME	40

/**
 * enum msvm_placement - Where memory is to be.
 * @MSVM_PLACEMENT_ADAPTIVE: Chosen by cost, pressure and history; the default.
 * @MSVM_PLACEMENT_UVM_COMPAT: The order of nvidia-uvm (595.45.04,
 *	block_select_processor_residency()): the yardstick.
 * @MSVM_PLACEMENT_FIRST_TOUCH: At the device that touched it first.
 * @MSVM_PLACEMENT_FOLLOW_FAULT: At the device that faulted last.
 * @MSVM_PLACEMENT_PREFERRED: At the first of the policy's devices that is there and
 *	has room.
 * @MSVM_PLACEMENT_INTERLEAVE: By address over the devices, by their weights.
 * @MSVM_PLACEMENT_SYSTEM: In system memory.
 * @MSVM_PLACEMENT_ACCESS_COUNT: At the device that faulted migrate_threshold times
 *	within migrate_window_ms.
 * @MSVM_PLACEMENTS: How many there are.
 */
enum msvm_placement {
	MSVM_PLACEMENT_ADAPTIVE,
	MSVM_PLACEMENT_UVM_COMPAT,
	MSVM_PLACEMENT_FIRST_TOUCH,
	MSVM_PLACEMENT_FOLLOW_FAULT,
	MSVM_PLACEMENT_PREFERRED,
	MSVM_PLACEMENT_INTERLEAVE,
	MSVM_PLACEMENT_SYSTEM,
	MSVM_PLACEMENT_ACCESS_COUNT,
	MSVM_PLACEMENTS
};

/**
 * enum msvm_map_mode - For whom a fault maps.
 * @MSVM_MAP_LAZY: For the device that faulted.
 * @MSVM_MAP_EAGER: For all devices that reach the memory.
 * @MSVM_MAP_AUTO: For all where that is cheap (few entries), else for those that
 *	faulted there as well.
 * @MSVM_MAP_MODES: How many there are.
 */
enum msvm_map_mode {
	MSVM_MAP_LAZY,
	MSVM_MAP_EAGER,
	MSVM_MAP_AUTO,
	MSVM_MAP_MODES
};

/**
 * enum msvm_peer_access - May a device map another's memory?
 * @MSVM_PEER_AUTO: Where it is not farther than system memory.
 * @MSVM_PEER_ON: Wherever it reaches it.
 * @MSVM_PEER_OFF: Never, nor copy from it; memory goes to system memory first, and
 *	is not evicted to another device's.
 * @MSVM_PEER_ACCESSES: How many there are.
 */
enum msvm_peer_access {
	MSVM_PEER_AUTO,
	MSVM_PEER_ON,
	MSVM_PEER_OFF,
	MSVM_PEER_ACCESSES
};

/**
 * enum msvm_prefetch_mode - What is moved along with the range that faulted.
 * @MSVM_PREFETCH_NONE: Nothing.
 * @MSVM_PREFETCH_BLOCK: The rest of its 2 MiB block.
 * @MSVM_PREFETCH_TREE: The largest part of the block, by halves, that is there or
 *	faulted by more than prefetch_percent; and on where the stream goes on.
 * @MSVM_PREFETCH_MODES: How many there are.
 */
enum msvm_prefetch_mode {
	MSVM_PREFETCH_NONE,
	MSVM_PREFETCH_BLOCK,
	MSVM_PREFETCH_TREE,
	MSVM_PREFETCH_MODES
};

/**
 * enum msvm_evict_to - Where evicted memory goes.
 * @MSVM_EVICT_TO_SYSTEM: To system memory.
 * @MSVM_EVICT_TO_PEER: To a device in reach that has room, else to system memory.
 * @MSVM_EVICT_TOS: How many there are.
 */
enum msvm_evict_to {
	MSVM_EVICT_TO_SYSTEM,
	MSVM_EVICT_TO_PEER,
	MSVM_EVICT_TOS
};

/* Sizes of ranges that a policy allows; 4K always. */
#define MSVM_CHUNK_4K	BIT(0)
#define MSVM_CHUNK_64K	BIT(1)
#define MSVM_CHUNK_2M	BIT(2)

/**
 * struct msvm_policy_params - What a policy says; one field a file in configfs.
 * @placement: Where memory is to be.
 * @map_mode: For whom a fault maps.
 * @peer_access: May a device map another's memory?
 * @prefetch: What is moved along.
 * @evict_to: Where evicted memory goes.
 * @chunk_sizes: Sizes of ranges, MSVM_CHUNK_*.
 * @prefetch_percent: Density from which %MSVM_PREFETCH_TREE takes a half, 1 to 100.
 * @migrate_threshold: Faults of one device that move memory to it.
 * @migrate_window_ms: Within so long.
 * @thrash_threshold: Moves in a row that make a range restless; 0: never.
 * @thrash_window_us: They are in a row if each follows within so long.
 * @thrash_throttle_us: How long a device that would make it worse is told to wait.
 * @thrash_max_throttles: After so many of these the range is pinned.
 * @thrash_pin_ms: For so long; 0: until its history is forgotten.
 * @thrash_reset_ms: Quiet time after which the history is forgotten.
 * @thrash_max_resets: So many times; 0: as often as you like.
 * @timeslice_ms: Least time that moved memory stays; 0: none.
 * @interleave_kib: Size of a piece for %MSVM_PLACEMENT_INTERLEAVE; a power of two.
 * @nr_preferred: Names in @preferred.
 * @preferred: Devices for %MSVM_PLACEMENT_PREFERRED, the first one first.
 */
struct msvm_policy_params {
	enum msvm_placement placement;
	enum msvm_map_mode map_mode;
	enum msvm_peer_access peer_access;
	enum msvm_prefetch_mode prefetch;
	enum msvm_evict_to evict_to;
	u32 chunk_sizes;
	u32 prefetch_percent;
	u32 migrate_threshold;
	u32 migrate_window_ms;
	u32 thrash_threshold;
	u32 thrash_window_us;
	u32 thrash_throttle_us;
	u32 thrash_max_throttles;
	u32 thrash_pin_ms;
	u32 thrash_reset_ms;
	u32 thrash_max_resets;
	u32 timeslice_ms;
	u32 interleave_kib;
	u32 nr_preferred;
	char preferred[MSVM_POLICY_DEVICES][MSVM_POLICY_NAME];
};

/* Is memory evicted to other devices' if there is room? One copies from the other then. */
static inline bool msvm_evicts_to_peer(const struct msvm_policy_params *params)
{
	return params->evict_to == MSVM_EVICT_TO_PEER &&
	       params->peer_access != MSVM_PEER_OFF;
}

extern const struct msvm_policy_params msvm_policy_default;
extern const char * const msvm_placement_names[MSVM_PLACEMENTS + 1];
extern const char * const msvm_map_mode_names[MSVM_MAP_MODES + 1];
extern const char * const msvm_peer_access_names[MSVM_PEER_ACCESSES + 1];
extern const char * const msvm_prefetch_names[MSVM_PREFETCH_MODES + 1];
extern const char * const msvm_evict_to_names[MSVM_EVICT_TOS + 1];

const char *msvm_policy_check(const struct msvm_policy_params *params,
			      const char **field);

/* What attributes say about an interval; see msvm_attr.h for where they come from. */

/* &msvm_attrs.preferred: nothing is said; system memory; or a device's number. */
#define MSVM_ATTR_NONE		0xffffffffU
#define MSVM_ATTR_SYSTEM	0xfffffffeU

/**
 * struct msvm_attrs - Attributes of an interval.
 * @preferred: Preferred location: a device's number or MSVM_ATTR_*.
 * @accessed_by: Slots for which it is kept mapped wherever it is.
 * @no_access: Slots that may not access it.
 * @read_mostly: Stays in system memory, mapped by all that read it.
 * @prefetch: &enum msvm_prefetch_mode for it plus one, 0: as the policy says.
 * @granularity: log2 of the size of pieces that are moved, 0: as the policy says.
 * @atomics: &enum msvm_atomics.
 */
struct msvm_attrs {
	u64 accessed_by;
	u64 no_access;
	u32 preferred;
	bool read_mostly;
	u8 prefetch;
	u8 granularity;
	u8 atomics;
};

/**
 * enum msvm_atomics - What atomics of devices are to be atomic with.
 * @MSVM_ATOMICS_DEFAULT: Nothing is said.
 * @MSVM_ATOMICS_NONE: Nothing; devices' atomics fail there.
 * @MSVM_ATOMICS_DEVICE: Other work of the same device: memory is moved to it.
 * @MSVM_ATOMICS_SYSTEM: CPUs and all devices: memory stays in system memory unless
 *	the device's atomics reach further.
 */
enum msvm_atomics {
	MSVM_ATOMICS_DEFAULT,
	MSVM_ATOMICS_NONE,
	MSVM_ATOMICS_DEVICE,
	MSVM_ATOMICS_SYSTEM,
};

/* Places beside those of slots. */
#define MSVM_AT_SYSTEM	64	/* system memory, or nowhere yet: see none */
#define MSVM_AT_MIXED	65	/* some in system memory, some in one device's */
#define MSVM_AT_SEVERAL	66	/* in several devices' memory */
#define MSVM_AT_OTHER	67	/* in the memory of a device that is no member */

/* Distances: 0 is next to it; of system memory unless known better; no way. */
#define MSVM_NEAR_SYSTEM	10
#define MSVM_UNREACHABLE	0xffff

/**
 * struct msvm_view_slot - What is known about a member.
 * @joined: There is one.
 * @has_memory: Pages can live in its device's memory (enabled, not explicit).
 * @enabled: An administrator lets its device take memory.
 * @on_request: Its device's memory is filled by requests only.
 * @rank: Place among the policy's preferred devices, 0xff: none.
 * @first: Lowest slot of the same device.
 * @device: The device's number.
 * @weight: For %MSVM_PLACEMENT_INTERLEAVE.
 * @free: Bytes of its memory that are free within the limit.
 * @size: Bytes within the limit.
 * @evictions: Bytes evicted from it in about the last second.
 * @faults: Faults in this range within migrate_window_ms, this one included.
 */
struct msvm_view_slot {
	bool joined;
	bool has_memory;
	bool enabled;
	bool on_request;
	u8 rank;
	u8 first;
	u32 device;
	u32 weight;
	u64 free;
	u64 size;
	u64 evictions;
	u32 faults;
};

/**
 * enum msvm_kind - Kind of memory.
 * @MSVM_KIND_ANON: Anonymous: can be moved.
 * @MSVM_KIND_FIXED: Files, shared memory, hugetlbfs: stays in system memory.
 */
enum msvm_kind {
	MSVM_KIND_ANON,
	MSVM_KIND_FIXED,
};

/**
 * struct msvm_heat - History of a range, kept by whoever has the range.
 * @last_move: When it was last moved, ns.
 * @cost: How long that took, ns.
 * @last_party: Where to: slot or %MSVM_AT_SYSTEM.
 * @moves: Moves in a row, each to another party; evictions included.
 * @first_touch: Slot that touched it first, 0xff: none yet.
 * @thrash: Second level, made when two parties moved it in a row; or NULL.
 *
 * Parties are the lowest slots of devices, &msvm_view_slot.first, or
 * %MSVM_AT_SYSTEM for whatever takes memory away from devices.
 */
struct msvm_heat {
	u64 last_move;
	u64 cost;
	u8 last_party;
	u8 moves;
	u8 first_touch;
	struct msvm_thrash *thrash;
};

/**
 * struct msvm_thrash - What is remembered of a restless range.
 * @nap_until: The others are told to wait until then, ns; 0: no nap.
 * @pin_until: It is pinned until then, ns; 0: it is not; ~0: for good.
 * @epoch: When something last happened, ns.
 * @nap_party: Who is not told to wait.
 * @parties: Devices it was moved to or that were told to wait, by lowest slot.
 * @waiting: Those that were told to wait, for %MSVM_PLACEMENT_UVM_COMPAT.
 * @system: It was moved to system memory as well.
 * @pinned_at: Where it is pinned: slot or %MSVM_AT_SYSTEM.
 * @throttles: Times somebody was told to wait, in this epoch.
 * @resets: Times that it was forgotten.
 */
struct msvm_thrash {
	u64 parties;
	u64 waiting;
	bool system;
	u64 nap_until;
	u64 pin_until;
	u64 epoch;
	u8 nap_party;
	u8 pinned_at;
	u8 throttles;
	u8 resets;
};

/**
 * struct msvm_stream - Where a member went last: does it go through memory in order?
 * @start: What was moved on its last fault that moved something, and along with it.
 * @end: Its end; 0: nothing yet.
 * @run: So many blocks it went on since, upwards; negative: downwards.
 */
struct msvm_stream {
	u64 start;
	u64 end;
	s8 run;
};

/**
 * struct msvm_burst - What a member moved to devices' memory without a pause.
 * @last: When its last fault was over, ns; 0: it has had none.
 * @bytes: What it moved since it last ran without faults for long.
 * @pace: What the last move took, ns per KiB; 0: not known.
 */
struct msvm_burst {
	u64 last;
	u64 bytes;
	u32 pace;
};

/**
 * struct msvm_view - All that a decision may depend on.
 * @now: Time in ns.
 * @start: First address of the range.
 * @end: Its end.
 * @addr: Faulting address.
 * @slot: Who faulted.
 * @write: To write.
 * @atomic: By an atomic.
 * @kind: Kind of memory.
 * @at: Where it is: a slot's device (the lowest slot of it) or MSVM_AT_*.
 * @part: For %MSVM_AT_MIXED: the device that has some of it, as @at.
 * @none: Some of it is nowhere yet, all if @at is %MSVM_AT_SYSTEM and @system isn't.
 * @system: Some of it is in system memory.
 * @mapped: Slots that have it mapped.
 * @entries: Entries of a mapping of it, as far as known; 0: not known.
 * @limit_start: What may be moved along with it: its VMA as far as attributes are
 *	the same. Both 0: not known, nothing is moved along.
 * @limit_end: Its end.
 * @extent: Bytes of the VMA as far as attributes are the same; 0: not known.
 * @present: Leaves of the block (&MSVM_TREE_BLOCK) of @start that are where the
 *	range would go, or faulted lately; bit 0 is the first %MSVM_TREE_LEAF.
 * @stream: Where this member went last, or NULL.
 * @burst: What this member moved in lately, or NULL.
 * @attrs: What attributes say, or NULL.
 * @heat: Its history.
 * @slots: The members, %MSVM_POLICY_SLOTS at most.
 * @nr_slots: How many.
 * @distance: Distance of slot @from's device to the memory of slot @to's, or of
 *	%MSVM_AT_SYSTEM; %MSVM_UNREACHABLE: it does not reach it. Unit: 10 is that of
 *	system memory unless the driver says otherwise.
 * @data: For @distance.
 */
struct msvm_view {
	u64 now;
	u64 start;
	u64 end;
	u64 addr;
	u8 slot;
	bool write;
	bool atomic;
	enum msvm_kind kind;
	u8 at;
	u8 part;
	bool none;
	bool system;
	u64 mapped;
	u32 entries;
	u64 limit_start;
	u64 limit_end;
	u64 extent;
	u32 present;
	const struct msvm_stream *stream;
	const struct msvm_burst *burst;
	const struct msvm_attrs *attrs;
	const struct msvm_heat *heat;
	const struct msvm_view_slot *slots;
	unsigned int nr_slots;
	unsigned int (*distance)(const struct msvm_view *view, unsigned int from,
				 unsigned int to);
	void *data;
};

/**
 * enum msvm_action - What to do first.
 * @MSVM_STAY: Map it where it is.
 * @MSVM_MOVE: Move it to &msvm_decision.to first.
 * @MSVM_THROTTLE: Nothing: the access is to be repeated later.
 * @MSVM_REFUSE: Nothing: the access is refused.
 */
enum msvm_action {
	MSVM_STAY,
	MSVM_MOVE,
	MSVM_THROTTLE,
	MSVM_REFUSE,
};

/**
 * enum msvm_reason - Why.
 * @MSVM_REASON_NO_MEMORY: The device has no memory for pages.
 * @MSVM_REASON_DISABLED: An administrator took the device's memory out of use.
 * @MSVM_REASON_KIND: Memory of this kind can't be moved.
 * @MSVM_REASON_POLICY: The policy leaves it in system memory.
 * @MSVM_REASON_EXPLICIT: The device's memory is filled by requests only.
 * @MSVM_REASON_HERE: It is there already.
 * @MSVM_REASON_FIRST_TOUCH: No device has it yet.
 * @MSVM_REASON_FOLLOW: It follows the faults.
 * @MSVM_REASON_PREFERRED: The policy prefers that device.
 * @MSVM_REASON_INTERLEAVED: Its address belongs to that device.
 * @MSVM_REASON_COUNTED: The device faulted often enough.
 * @MSVM_REASON_COUNTING: Nobody has faulted often enough yet.
 * @MSVM_REASON_PEER: It is in another device's memory, within reach.
 * @MSVM_REASON_SHARED: Other devices have it mapped.
 * @MSVM_REASON_SEVERAL: It is in several devices' memory.
 * @MSVM_REASON_OUT_OF_REACH: The device does not reach where it is.
 * @MSVM_REASON_FULL: There is no room where it should be.
 * @MSVM_REASON_PRESSURE: There, others are being evicted.
 * @MSVM_REASON_COST: Moving costs more than it is expected to save.
 * @MSVM_REASON_TIMESLICE: It was moved just now.
 * @MSVM_REASON_THROTTLED: It moves back and forth: this device waits.
 * @MSVM_REASON_PINNED: It moved back and forth and stays for a while.
 * @MSVM_REASON_ATTR_PREFERRED: The preferred location of an attribute.
 * @MSVM_REASON_ATTR_ACCESSED_BY: An attribute keeps it mapped for the device.
 * @MSVM_REASON_ATTR_READ_MOSTLY: An attribute says that it is mostly read.
 * @MSVM_REASON_ATTR_NO_ACCESS: An attribute forbids the access.
 * @MSVM_REASON_ATTR_ATOMICS: An attribute on atomics.
 * @MSVM_NR_REASONS: How many there are.
 */
enum msvm_reason {
	MSVM_REASON_NO_MEMORY,
	MSVM_REASON_DISABLED,
	MSVM_REASON_KIND,
	MSVM_REASON_POLICY,
	MSVM_REASON_EXPLICIT,
	MSVM_REASON_HERE,
	MSVM_REASON_FIRST_TOUCH,
	MSVM_REASON_FOLLOW,
	MSVM_REASON_PREFERRED,
	MSVM_REASON_INTERLEAVED,
	MSVM_REASON_COUNTED,
	MSVM_REASON_COUNTING,
	MSVM_REASON_PEER,
	MSVM_REASON_SHARED,
	MSVM_REASON_SEVERAL,
	MSVM_REASON_OUT_OF_REACH,
	MSVM_REASON_FULL,
	MSVM_REASON_PRESSURE,
	MSVM_REASON_COST,
	MSVM_REASON_TIMESLICE,
	MSVM_REASON_THROTTLED,
	MSVM_REASON_PINNED,
	MSVM_REASON_ATTR_PREFERRED,
	MSVM_REASON_ATTR_ACCESSED_BY,
	MSVM_REASON_ATTR_READ_MOSTLY,
	MSVM_REASON_ATTR_NO_ACCESS,
	MSVM_REASON_ATTR_ATOMICS,
	MSVM_NR_REASONS
};

extern const char * const msvm_reason_names[MSVM_NR_REASONS];

/**
 * struct msvm_decision - What is to be done about a fault.
 * @action: What first.
 * @reason: Why.
 * @to: For %MSVM_MOVE: where to, the lowest slot of a device or %MSVM_AT_SYSTEM;
 *	otherwise where it is, as &msvm_view.at.
 * @pin: The range is to be pinned where it then is.
 * @alloc_thrash: A &struct msvm_thrash for the range would be of use.
 * @map_for: Slots to map it for beside the one that faulted.
 * @delay: For %MSVM_THROTTLE: ns to wait.
 * @pin_until: Until when, ns; see &msvm_thrash.pin_until.
 * @window_start: For %MSVM_MOVE: the interval to move along, or 0, ...
 * @window_end: ... and its end.
 */
struct msvm_decision {
	enum msvm_action action;
	enum msvm_reason reason;
	u8 to;
	bool pin;
	bool alloc_thrash;
	u64 map_for;
	u64 delay;
	u64 pin_until;
	u64 window_start;
	u64 window_end;
};

/* msvm_decide.c */
void msvm_decide(const struct msvm_policy_params *params,
		 const struct msvm_view *view, struct msvm_decision *decision);
void msvm_decision_stay(const struct msvm_view *view,
			struct msvm_decision *decision);

/* msvm_adaptive.c: changes of a member's burst; the caller sees to who may. */
void msvm_burst_faulted(struct msvm_burst *burst, const struct msvm_view *view);
void msvm_burst_moved(struct msvm_burst *burst, u64 now, u64 cost, u64 bytes,
		      u64 along);

/* msvm_thrash.c: changes of a range's history; the caller has its lock. */
void msvm_heat_moved(const struct msvm_policy_params *params,
		     struct msvm_heat *heat, u64 now, u64 cost, u8 party);
void msvm_heat_apply(const struct msvm_policy_params *params,
		     struct msvm_heat *heat, u64 now, u8 party,
		     const struct msvm_decision *decision);
void msvm_heat_forget(struct msvm_heat *heat);

/* msvm_tree.c: a block of 2 MiB with 64 KiB leaves. */
#define MSVM_TREE_BLOCK		(2ULL << 20)
#define MSVM_TREE_LEAF		(64ULL << 10)
#define MSVM_TREE_LEAVES	32

void msvm_stream_moved(struct msvm_stream *stream, u64 start, u64 end, u64 from,
		       u64 to);
void msvm_tree_window(u32 present, unsigned int leaf, u32 percent,
		      unsigned int *first, unsigned int *count);

#endif /* __MSVM_POLICY_H__ */
