// SPDX-License-Identifier: MIT
/*
 * What the stress does with GPUs that have memory: pages are moved, prefetched,
 * kept, evicted; GPUs are reset, pulled out and come back, and VMs end, with jobs
 * running; copies fail. None of it changes a byte of what the model holds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attr.h"
#include "gpus.h"
#include "igt_compat.h"
#include "mm.h"
#include "policy.h"
#include "stress.h"
#include "vram.h"

#define EVICT_TO "/sys/kernel/config/drm_msvm/default/evict_to"
/* Largest memory of a GPU, MiB. */
#define MAX_MIB 4

/* All memory of all GPUs is less than what the model has. */
void stress_vram_open(struct stress *s, int gpus)
{
	static const char * const modes[] = { "direct", "queue", "batch" };
	char mib[16], group[16], mode[24], depth[16];
	const char * const attrs[] = { mib, group, mode, depth, NULL };
	int i, fd;

	gpus_remove();
	igt_assert(vsvm_placement("first-touch"));
	vsvm_huge_moves(getenv("MSVM_HUGE"));
	s->set.n = 0;
	s->set.layout = DRM_VSVM_VM_LAYOUT_MSVM;
	for (i = 0; i < gpus; i++) {
		bool mixed = s->kind == STRESS_GPUS_MIXED;

		snprintf(mib, sizeof(mib), "vram_mib=%d",
			 mixed && i % 2 ? MAX_MIB : 2);
		snprintf(group, sizeof(group), "peer_group=%d", mixed ? i / 3 :
			 s->kind == STRESS_GPUS_PEERS);
		snprintf(mode, sizeof(mode), "fault_mode=%s",
			 modes[mixed ? i % 3 : 0]);
		/* Two engines that fault at a time are too many. */
		snprintf(depth, sizeof(depth), "fault_depth=%d", mixed ? 1 : 64);
		fd = gpu_make(attrs);
		igt_assert_f(fd >= 0, "%s\n", strerror(-fd));
		s->set.fd[i] = fd;
		s->set.n = i + 1;
		s->set.vm[i] = vsvm_vm_create(fd, s->set.layout);
	}
}

void stress_vram_close(struct stress *s)
{
	while (s->set.n) {
		s->set.n--;
		if (s->plugged[s->set.n])
			close(s->set.fd[s->set.n]);
	}
	gpus_remove();
	policy_restore();
	vsvm_placement("system");
	file_write(EVICT_TO, "system");
	vsvm_huge_moves(false);
	s->kind = STRESS_GPUS_PLAIN;
}

/* No GPU saw anything wrong so far, and each has what it should. */
void stress_vram_check(struct stress *s)
{
	const char *flaw;
	int gpu;

	for (gpu = 0; gpu < s->set.n; gpu++) {
		if (!s->plugged[gpu])
			continue;
		flaw = gpu_flaw(s->set.fd[gpu]);
		stress_check(s, !flaw, "GPU %d: %s\n", gpu, flaw);
		if (s->kind != STRESS_GPUS_PLAIN &&
		    vram_info(&s->set, gpu).evictions)
			stress_verb(STRESS_VERB_EVICTION);
	}
}

/* The process has no memory left that GPUs know of: neither have they. */
void stress_vram_end(struct stress *s)
{
	int64_t deadline = vsvm_deadline(30);
	uint64_t used;
	int gpu;

	for (gpu = 0; gpu < s->set.n; gpu++) {
		if (!s->plugged[gpu])
			continue;
		while ((used = vram_info(&s->set, gpu).used)) {
			stress_check(s, vsvm_now() < deadline,
				     "%llu bytes left in GPU %d\n",
				     (unsigned long long)used, gpu);
			usleep(1000);
		}
	}
	stress_vram_check(s);
}

/* Some GPU that there is. */
static int plugged_gpu(struct stress *s)
{
	int gpu = stress_below(s, s->set.n);

	while (!s->plugged[gpu])
		gpu = (gpu + 1) % s->set.n;
	return gpu;
}

static bool joined_others(struct stress *s, int gpu)
{
	int i;

	for (i = 0; i < s->set.n; i++)
		if (s->joined[i] && i != gpu)
			return true;
	return false;
}

/* Pages of a GPU's, or of none, go where told. Jobs may be at them. */
static int migrate(struct stress *s, const struct stress_span *span, int to)
{
	int gpu = stress_gpu(s);

	stress_note(s, "GPU %d moves %s pages %u+%u (%p) to %d", gpu,
		    span->view->name, span->first, span->n,
		    (void *)stress_addr(span->view, span->first), to);
	return vram_try_migrate(&s->set, gpu,
				stress_addr(span->view, span->first),
				span->n * SZ_4K, to);
}

/* What is not there, and what is not moved, is known. What is busy is not. */
static void expect_migrated(struct stress *s, const struct stress_span *span,
			    int to, int ret)
{
	struct stress_view *v = span->view;
	unsigned int p;
	int expect = 0;

	if (to != TO_SYSTEM && v->back->kind != STRESS_ANON)
		expect = -EOPNOTSUPP;
	for (p = span->first; p < span->first + span->n; p++)
		if (v->prot[p] == STRESS_UNMAPPED)
			expect = -EFAULT;
	stress_check(s, ret == expect || (!expect && (ret == -EBUSY ||
						      ret == -ENOSPC)),
		     "moving %s pages %u+%u to %d: %s, expected %s\n", v->name,
		     span->first, span->n, to, strerror(-ret),
		     strerror(-expect));
}

static void op_migrate(struct stress *s, int to)
{
	struct stress_span span = stress_span(s, 1024);

	stress_verb(to == TO_SYSTEM ? STRESS_VERB_TO_SYSTEM :
				      STRESS_VERB_TO_GPU);
	expect_migrated(s, &span, to, migrate(s, &span, to));
}

/* What jobs write their results to, and what they wait for. */
static void op_move_results(struct stress *s)
{
	void *p = stress_below(s, 2) ? s->results : s->flags;
	int to = plugged_gpu(s), gpu = stress_gpu(s), ret;

	stress_note(s, "results or flags go to GPU %d", to);
	stress_verb(STRESS_VERB_MOVE_RESULTS);
	ret = vram_try_migrate(&s->set, gpu, p, SZ_4K, to);
	stress_check(s, !ret || ret == -EBUSY || ret == -ENOSPC,
		     "moving results: %s\n", strerror(-ret));
}

/*
 * A copy fails. Nobody may need the memory meanwhile: what can't be copied out
 * kills who touches it.
 */
static void op_fail_copy(struct stress *s)
{
	struct stress_span span = stress_span(s, 1024);
	int to = stress_below(s, 3) ? plugged_gpu(s) : TO_SYSTEM, gpu, ret;
	int nth = 1 + stress_below(s, 3);

	stress_job_wait_gpu(s, -1);
	stress_chaos_pause();
	stress_note(s, "copy %d of each GPU will fail", nth);
	for (gpu = 0; gpu < s->set.n; gpu++)
		if (s->plugged[gpu])
			gpu_debugfs_try(s->set.fd[gpu], "fail_copy", nth);
	ret = migrate(s, &span, to);
	for (gpu = 0; gpu < s->set.n; gpu++)
		if (s->plugged[gpu])
			gpu_debugfs_try(s->set.fd[gpu], "fail_copy", 0);
	stress_chaos_resume();
	stress_verb(STRESS_VERB_FAIL_COPY);
	expect_migrated(s, &span, to, ret);
}

static void unkeep(struct stress *s, int gpu, int k)
{
	struct stress_span *span = &s->kept[gpu][k];
	struct drm_vsvm_keep args = {
		.vm_id = s->set.vm[gpu], .flags = DRM_VSVM_KEEP_REMOVE,
		.start = to_u64(stress_addr(span->view, span->first)),
		.len = span->n * SZ_4K,
	};
	int ret;

	stress_note(s, "GPU %d no longer keeps %s pages %u+%u", gpu,
		    span->view->name, span->first, span->n);
	ret = vsvm_ioctl(s->set.fd[gpu], DRM_IOCTL_VSVM_KEEP, &args);
	stress_check(s, !ret, "unkeep: %s\n", strerror(-ret));
	*span = s->kept[gpu][--s->nr_kept[gpu]];
	stress_verb(STRESS_VERB_UNKEEP);
}

/*
 * Little is kept and not for long: the background takes memory away all the time,
 * and a process that takes away what is kept stops its own jobs.
 */
static void op_keep(struct stress *s)
{
	int gpu = stress_gpu(s), expect = 0, ret;
	struct stress_span span = stress_span(s, 32);
	bool write = stress_below(s, 2);
	struct drm_vsvm_keep args = {
		.vm_id = s->set.vm[gpu],
		.start = to_u64(stress_addr(span.view, span.first)),
		.len = span.n * SZ_4K,
		.access = write ? DRM_VSVM_ACCESS_WRITE : DRM_VSVM_ACCESS_READ,
	};
	unsigned int p;

	if (s->nr_kept[gpu] == STRESS_MAX_KEPT) {
		unkeep(s, gpu, stress_below(s, STRESS_MAX_KEPT));
		return;
	}
	for (p = span.first; !expect && p < span.first + span.n; p++)
		expect = stress_access(span.view, p, write);
	stress_note(s, "GPU %d keeps %s pages %u+%u, write %d", gpu,
		    span.view->name, span.first, span.n, write);
	ret = vsvm_ioctl(s->set.fd[gpu], DRM_IOCTL_VSVM_KEEP, &args);
	stress_check(s, ret == expect, "keep: %s, expected %s\n", strerror(-ret),
		     strerror(-expect));
	stress_verb(expect ? STRESS_VERB_KEEP_FAILS : STRESS_VERB_KEEP);
	if (!ret)
		s->kept[gpu][s->nr_kept[gpu]++] = span;
}

/* By a file in debugfs. Pages that somebody holds may stay. */
static void op_debugfs(struct stress *s, const char *file, int value,
		       enum stress_verb verb)
{
	int gpu = plugged_gpu(s), ret;

	stress_note(s, "GPU %d: %s %d", gpu, file, value);
	ret = gpu_debugfs_try(s->set.fd[gpu], file, value);
	stress_check(s, !ret || ret == -EBUSY, "%s: %s\n", file, strerror(-ret));
	stress_verb(verb);
}

static void op_unkeep(struct stress *s)
{
	int gpu = stress_gpu(s);

	if (s->nr_kept[gpu])
		unkeep(s, gpu, stress_below(s, s->nr_kept[gpu]));
}

/* A GPU that was pulled out comes back, with a VM or without. */
static void plug(struct stress *s, int gpu, bool join)
{
	int fd;

	stress_note(s, "GPU %d is plugged in", gpu);
	fd = gpu_plug(gpu);
	stress_check(s, fd >= 0, "plugging in GPU %d: %s\n", gpu, strerror(-fd));
	s->set.fd[gpu] = fd;
	s->plugged[gpu] = true;
	stress_verb(STRESS_VERB_PLUG);
	if (!join)
		return;
	s->set.vm[gpu] = vsvm_vm_create(fd, s->set.layout);
	s->joined[gpu] = true;
}

static void op_plug(struct stress *s)
{
	int gpu = stress_below(s, s->set.n), i;

	for (i = 0; i < s->set.n && s->plugged[gpu]; i++)
		gpu = (gpu + 1) % s->set.n;
	if (!s->plugged[gpu])
		plug(s, gpu, stress_below(s, 3));
}

/* As many come as go. */
static void op_unplug(struct stress *s, bool busy)
{
	int gpu = plugged_gpu(s), ret;
	const char *flaw;

	if (!busy)
		stress_job_wait_gpu(s, gpu);
	flaw = gpu_flaw(s->set.fd[gpu]);
	stress_check(s, !flaw, "GPU %d: %s\n", gpu, flaw);
	stress_note(s, "GPU %d is pulled out%s", gpu, busy ? ", busy" : "");
	ret = gpu_pull(gpu);
	stress_check(s, !ret, "pulling out GPU %d: %s\n", gpu, strerror(-ret));
	close(s->set.fd[gpu]);
	s->plugged[gpu] = false;
	s->joined[gpu] = false;
	s->nr_kept[gpu] = 0;
	stress_job_abandon_gpu(s, gpu);
	stress_verb(busy ? STRESS_VERB_UNPLUG_BUSY : STRESS_VERB_UNPLUG);
	if (!joined_others(s, gpu))
		plug(s, gpu, true);
}

/* A VM ends, whatever its jobs are doing, and a new one takes its place. */
static void op_destroy_busy(struct stress *s)
{
	int gpu = stress_gpu(s), ret;

	stress_note(s, "GPU %d leaves, busy, and joins", gpu);
	ret = vsvm_vm_destroy(s->set.fd[gpu], s->set.vm[gpu]);
	stress_check(s, !ret, "destroy: %s\n", strerror(-ret));
	s->nr_kept[gpu] = 0;
	stress_job_abandon_gpu(s, gpu);
	s->set.vm[gpu] = vsvm_vm_create(s->set.fd[gpu], s->set.layout);
	stress_verb(STRESS_VERB_DESTROY_BUSY);
}

/* Where memory goes, for whom it is mapped, and what is moved along. */
static void op_placement(struct stress *s)
{
	static const char * const placements[] = {
		"adaptive", "uvm-compat", "first-touch", "follow-fault",
		"preferred", "interleave", "access-count", "system",
	};
	static const char * const maps[] = { "lazy", "eager", "auto" };
	static const char * const peers[] = { "on", "auto", "off" };
	static const char * const along[] = { "none", "block", "tree" };
	const char *placement = placements[stress_below(s, 8)];
	const char *map = maps[stress_below(s, 3)];
	const char *peer = peers[stress_below(s, 3)];
	const char *prefetch = along[stress_below(s, 3)];
	char node[32];

	gpu_node(&s->set, plugged_gpu(s), node, sizeof(node));
	stress_note(s, "placement %s, map %s, peers %s, prefetch %s, prefer %s",
		    placement, map, peer, prefetch, node);
	stress_check(s, policy_try("preferred_devices", node) &&
		     policy_try("placement", placement) &&
		     policy_try("map_mode", map) &&
		     policy_try("peer_access", peer) &&
		     policy_try("prefetch", prefetch), "placement\n");
	stress_verb(STRESS_VERB_PLACEMENT);
}

/* Some attribute that no job fails by. */
static struct drm_vsvm_attr some_attr(struct stress *s)
{
	static const unsigned char sizes[] = { 0, 12, 16, 21 };
	static const unsigned char atomics[] = {
		DRM_VSVM_ATOMICS_DEFAULT, DRM_VSVM_ATOMICS_DEVICE,
		DRM_VSVM_ATOMICS_SYSTEM,
	};
	int gpu = stress_gpu(s);

	switch (stress_below(s, 8)) {
	case 0:
		return attr_preferred(&s->set, plugged_gpu(s));
	case 1:
		return attr_preferred(&s->set, stress_below(s, 2) ?
				      PREFER_NONE : PREFER_SYSTEM);
	case 2:
	case 3:
		return attr_accessed_by(&s->set, gpu, stress_below(s, 3));
	case 4:
		return attr_of(DRM_VSVM_ATTR_READ_MOSTLY, stress_below(s, 2));
	case 5:
		return attr_of(DRM_VSVM_ATTR_GRANULARITY,
			       sizes[stress_below(s, 4)]);
	case 6:
		return attr_of(DRM_VSVM_ATTR_ATOMICS,
			       atomics[stress_below(s, 3)]);
	default:
		return attr_of(DRM_VSVM_ATTR_PREFETCH, stress_below(s, 4));
	}
}

/* Something is said about memory, with jobs at it. What is refused changes nothing. */
static void op_attr(struct stress *s)
{
	struct stress_span span = stress_span(s, 1024);
	struct drm_vsvm_attr attr = some_attr(s);
	bool hole = false;
	unsigned int p;
	int ret;

	for (p = span.first; p < span.first + span.n; p++)
		hole |= span.view->prot[p] == STRESS_UNMAPPED;
	stress_note(s, "attribute %u of %s pages %u+%u is %u", attr.type,
		    span.view->name, span.first, span.n, attr.value);
	ret = attr_try_set(&s->set, stress_gpu(s),
			   stress_addr(span.view, span.first), span.n * SZ_4K,
			   &attr, 1);
	/* Others that do not go with it, or memory that is not moved. */
	stress_check(s, hole ? ret < 0 : !ret || ret == -EOPNOTSUPP ||
		     ret == -EINVAL || ret == -ENXIO || ret == -ENOLINK,
		     "attribute: %s\n", strerror(-ret));
	stress_verb(ret ? STRESS_VERB_ATTR_REFUSED : STRESS_VERB_ATTR);
}

static void op_evict_to(struct stress *s)
{
	const char *to = stress_below(s, 2) ? "peer" : "system";

	stress_note(s, "evict to: %s", to);
	stress_check(s, file_write(EVICT_TO, to), "evict_to\n");
	stress_verb(STRESS_VERB_EVICT_TO);
}

/* Each page is all as it was, or all zero. */
static void check_freed(struct stress *s, const struct stress_span *span)
{
	static const char zero[SZ_4K];
	struct stress_view *v = span->view;
	unsigned int p;

	for (p = span->first; p < span->first + span->n; p++)
		stress_check(s, !memcmp(stress_addr(v, p), zero, SZ_4K) ||
			     !memcmp(stress_addr(v, p), stress_shadow(v, p),
				     SZ_4K),
			     "after MADV_FREE %s page %u is neither old nor zero\n",
			     v->name, p);
}

/*
 * Pages that may go at any time, until they are written again: by a GPU, of which
 * reclaim sees nothing but what the library tells.
 */
static void op_free(struct stress *s)
{
	int gpu = stress_gpu(s), value = stress_below(s, 256), err, tries = 0;
	struct stress_span span;
	struct drm_vsvm_cmd cmd;
	struct stress_view *v;
	unsigned int p;
	char *addr;

	do {
		if (tries++ == 10)
			return;
		span = stress_span(s, 512);
		v = span.view;
		for (p = 0; p < span.n &&
		     !stress_access(v, span.first + p, true); p++)
			;
		span.n = p;
	} while (!p || v->back->kind != STRESS_ANON ||
		 !stress_span_idle(&span, true));
	addr = stress_addr(v, span.first);
	stress_note(s, "MADV_FREE %s pages %u+%u (%p), GPU %d writes", v->name,
		    span.first, span.n, addr, gpu);
	stress_check(s, !madvise(addr, span.n * SZ_4K, MADV_FREE),
		     "MADV_FREE: %s\n", strerror(errno));
	if (stress_below(s, 2))
		check_freed(s, &span);
	cmd = vsvm_fill(addr, value, span.n * SZ_4K);
	err = stress_job_sync(s, gpu, cmd).status;
	stress_check(s, !err, "fill after MADV_FREE: %s\n", strerror(-err));
	for (p = span.first; p < span.first + span.n; p++)
		memset(stress_shadow(v, p), value, SZ_4K);
	if (stress_below(s, 2))
		madvise(addr, span.n * SZ_4K, MADV_PAGEOUT);
	stress_check_cpu(s, &span);
	stress_verb(STRESS_VERB_FREE);
}

/* Once through a shuffled pack does each thing at least once. */
static enum stress_verb next_verb(struct stress *s)
{
	static const unsigned char pack[] = {
		STRESS_VERB_TO_GPU, STRESS_VERB_TO_GPU, STRESS_VERB_TO_GPU,
		STRESS_VERB_TO_GPU, STRESS_VERB_TO_GPU, STRESS_VERB_TO_GPU,
		STRESS_VERB_TO_GPU, STRESS_VERB_TO_GPU, STRESS_VERB_TO_SYSTEM,
		STRESS_VERB_TO_SYSTEM, STRESS_VERB_TO_SYSTEM,
		STRESS_VERB_MOVE_RESULTS, STRESS_VERB_FAIL_COPY,
		STRESS_VERB_KEEP, STRESS_VERB_KEEP, STRESS_VERB_KEEP,
		STRESS_VERB_UNKEEP, STRESS_VERB_LIMIT, STRESS_VERB_LIMIT,
		STRESS_VERB_RESET, STRESS_VERB_DROP, STRESS_VERB_DROP,
		STRESS_VERB_UNPLUG, STRESS_VERB_UNPLUG_BUSY, STRESS_VERB_PLUG,
		STRESS_VERB_PLUG, STRESS_VERB_DESTROY_BUSY,
		STRESS_VERB_PLACEMENT, STRESS_VERB_PLACEMENT,
		STRESS_VERB_EVICT_TO, STRESS_VERB_FREE, STRESS_VERB_FREE,
		STRESS_VERB_ATTR, STRESS_VERB_ATTR, STRESS_VERB_ATTR,
		STRESS_VERB_ATTR, STRESS_VERB_BIND, STRESS_VERB_BIND,
		STRESS_VERB_BIND, STRESS_VERB_BIND,
	};
	unsigned int i, k;
	unsigned char verb;

	if (!s->nr_pack) {
		memcpy(s->pack, pack, sizeof(pack));
		s->nr_pack = sizeof(pack);
		for (i = sizeof(pack) - 1; i; i--) {
			k = stress_below(s, i + 1);
			verb = s->pack[i];
			s->pack[i] = s->pack[k];
			s->pack[k] = verb;
		}
	}
	return s->pack[--s->nr_pack];
}

void stress_vram_op(struct stress *s)
{
	enum stress_verb verb = next_verb(s);

	switch (verb) {
	case STRESS_VERB_TO_GPU:
		return op_migrate(s, plugged_gpu(s));
	case STRESS_VERB_TO_SYSTEM:
		return op_migrate(s, TO_SYSTEM);
	case STRESS_VERB_MOVE_RESULTS:
		return op_move_results(s);
	case STRESS_VERB_FAIL_COPY:
		return op_fail_copy(s);
	case STRESS_VERB_KEEP:
		return op_keep(s);
	case STRESS_VERB_UNKEEP:
		return op_unkeep(s);
	case STRESS_VERB_LIMIT:
		return op_debugfs(s, "vram_limit_mib",
				  stress_below(s, MAX_MIB), verb);
	case STRESS_VERB_RESET:
		return op_debugfs(s, "reset", 1, verb);
	case STRESS_VERB_DROP:
		return op_debugfs(s, "drop_mappings", 1, verb);
	case STRESS_VERB_UNPLUG:
	case STRESS_VERB_UNPLUG_BUSY:
		return op_unplug(s, verb == STRESS_VERB_UNPLUG_BUSY);
	case STRESS_VERB_PLUG:
		return op_plug(s);
	case STRESS_VERB_DESTROY_BUSY:
		return op_destroy_busy(s);
	case STRESS_VERB_PLACEMENT:
		return op_placement(s);
	case STRESS_VERB_EVICT_TO:
		return op_evict_to(s);
	case STRESS_VERB_ATTR:
		return op_attr(s);
	case STRESS_VERB_BIND:
		return stress_bind(s);
	default:
		return op_free(s);
	}
}
