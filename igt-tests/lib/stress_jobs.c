// SPDX-License-Identifier: MIT
/*
 * Jobs of the stress: random commands on memory that no other job under way
 * changes, and the comparison of how they ended with what the model says.
 */
#include <errno.h>
#include <string.h>

#include "hang.h"
#include "igt_compat.h"
#include "stress.h"
#include "vram.h"

/* Not what a job would write. */
#define STRESS_UNTOUCHED 0xdeadbeefcafef00dULL

static bool span_free(const struct stress_span *span)
{
	struct stress_view *v = span->view;
	unsigned int p;

	for (p = span->first; p < span->first + span->n; p++) {
		if (v->prot[p] == STRESS_UNMAPPED)
			continue;
		if (v->back->writers[v->map[p]] ||
		    (span->write && v->back->readers[v->map[p]]))
			return false;
	}
	return true;
}

static void span_count(const struct stress_span *span, int by)
{
	struct stress_view *v = span->view;
	unsigned int p;

	for (p = span->first; p < span->first + span->n; p++) {
		v->users[p] += by;
		if (v->prot[p] == STRESS_UNMAPPED)
			continue;
		if (span->write)
			v->back->writers[v->map[p]] += by;
		else
			v->back->readers[v->map[p]] += by;
	}
}

/* Two spans of which one is the other's bytes, be it at another address. */
static bool spans_meet(const struct stress_span *a, const struct stress_span *b)
{
	unsigned int i, k;

	if (a->view->back != b->view->back)
		return false;
	for (i = a->first; i < a->first + a->n; i++)
		for (k = b->first; k < b->first + b->n; k++)
			if ((a->view == b->view && i == k) ||
			    (a->view->prot[i] != STRESS_UNMAPPED &&
			     b->view->prot[k] != STRESS_UNMAPPED &&
			     a->view->map[i] == b->view->map[k]))
				return true;
	return false;
}

/* Memory for a command: often what an earlier one of the job uses. */
static bool job_span(struct stress *s, struct stress_job *job, bool write,
		     unsigned int max, struct stress_span **out)
{
	struct stress_span span;
	int i;

	for (i = 0; i < 4; i++) {
		if (job->nr_spans && !stress_below(s, 3))
			span = job->spans[stress_below(s, job->nr_spans)];
		else
			span = stress_span(s, max);
		span.write = write;
		if (!span_free(&span))
			continue;
		job->spans[job->nr_spans] = span;
		*out = &job->spans[job->nr_spans++];
		return true;
	}
	return false;
}

/* An address in a span, with room for @size bytes. */
static uint64_t job_addr(struct stress *s, const struct stress_span *span,
			 size_t size, size_t align)
{
	size_t bytes = span->n * SZ_4K - size;
	uint64_t offset = stress_below(s, bytes + 1);

	/* The borders of pages are where things go wrong. */
	switch (stress_below(s, 4)) {
	case 0:
		offset -= offset % SZ_4K;
		break;
	case 1:
		offset = bytes;
		break;
	}
	return to_u64(stress_addr(span->view, span->first)) + offset -
	       offset % align;
}

/* Bytes from @addr to the end of a span, sometimes less, rarely more. */
static uint64_t job_len(struct stress *s, const struct stress_span *span,
			uint64_t addr)
{
	uint64_t end = to_u64(stress_addr(span->view, span->first + span->n));

	if (span->first + span->n == span->view->pages && !stress_below(s, 8))
		return end - addr + 1 + stress_below(s, 100);
	return stress_below(s, 2) ? end - addr :
				    1 + stress_below(s, end - addr);
}

static bool job_copy(struct stress *s, struct stress_job *job,
		     struct drm_vsvm_cmd *c)
{
	struct stress_span *src, *dst;
	uint64_t len;

	if (!job_span(s, job, false, 512, &src) ||
	    !job_span(s, job, true, 512, &dst) || spans_meet(src, dst))
		return false;
	c->src = job_addr(s, src, 1, 1);
	c->dst = job_addr(s, dst, 1, 1);
	c->len = job_len(s, src, c->src);
	len = job_len(s, dst, c->dst);
	if (len < c->len)
		c->len = len;
	return true;
}

static bool job_small(struct stress *s, struct stress_job *job,
		      struct drm_vsvm_cmd *c, uint64_t *result)
{
	bool atomic = c->op == DRM_VSVM_OP_ADD || c->op == DRM_VSVM_OP_CAS ||
		      c->op == DRM_VSVM_OP_XCHG;
	struct stress_span *span;
	uint64_t addr;

	c->width = atomic ? 4 << stress_below(s, 2) : 1 << stress_below(s, 4);
	if (!job_span(s, job, c->op != DRM_VSVM_OP_LOAD, 512, &span))
		return false;
	addr = job_addr(s, span, c->width, atomic ? c->width : 1);
	if (c->op == DRM_VSVM_OP_LOAD)
		c->src = addr;
	else
		c->dst = addr;
	if (c->op != DRM_VSVM_OP_LOAD)
		c->arg0 = stress_random(s);
	if (c->op == DRM_VSVM_OP_CAS) {
		c->arg1 = stress_random(s);
		/* Half of them find what they expect, unless it changed. */
		if (stress_below(s, 2)) {
			unsigned int page = (addr - to_u64(span->view->base)) /
					    SZ_4K;

			if (!stress_access(span->view, page, true)) {
				c->arg0 = 0;
				memcpy(&c->arg0,
				       stress_shadow(span->view, page) +
				       addr % SZ_4K, c->width);
			}
		}
	}
	if (c->op == DRM_VSVM_OP_LOAD || (atomic && stress_below(s, 2)))
		c->result = to_u64(result);
	return true;
}

static bool job_reduce(struct stress *s, struct stress_job *job,
		       struct drm_vsvm_cmd *c)
{
	struct stress_span *src, *dst;

	if (!job_span(s, job, false, 256, &src) ||
	    !job_span(s, job, true, 4, &dst))
		return false;
	c->src = job_addr(s, src, 1, 1);
	c->len = job_len(s, src, c->src);
	c->dst = job_addr(s, dst, c->op == DRM_VSVM_OP_SUM ? 8 : 2048, 8);
	return true;
}

/* A chain of pointers, laid by the CPU, followed by the GPU. */
static bool job_chase(struct stress *s, struct stress_job *job,
		      struct drm_vsvm_cmd *c, uint64_t *result)
{
	struct stress_span *span;
	unsigned int hops = 1 + stress_below(s, 20), i, page;
	uint64_t addr, next;

	if (!job_span(s, job, false, 64, &span))
		return false;
	for (i = 0; i < span->n; i++)
		if (stress_access(span->view, span->first + i, true) ||
		    span->view->back->readers[span->view->map[span->first + i]])
			return false;
	c->src = job_addr(s, span, 8, 8);
	for (addr = c->src, i = 0; i < hops; i++, addr = next) {
		next = job_addr(s, span, 8, 8);
		page = (addr - to_u64(span->view->base)) / SZ_4K;
		memcpy(stress_shadow(span->view, page) + addr % SZ_4K, &next,
		       8);
		*(volatile uint64_t *)(uintptr_t)addr = next;
	}
	c->arg0 = hops;
	c->result = to_u64(result);
	return true;
}

/*
 * A hint, so its memory need not be there, and may be anybody's: it counts as no
 * use of it.
 */
static bool job_prefetch(struct stress *s, struct drm_vsvm_cmd *c)
{
	struct stress_span span = stress_span(s, 1024);
	int to = stress_below(s, s->set.n + 1) - 1;

	if (to >= 0 && !s->plugged[to])
		return false;
	*c = vram_prefetch(&s->set, stress_addr(span.view, span.first),
			   span.n * SZ_4K, to);
	stress_verb(STRESS_VERB_PREFETCH);
	return true;
}

static void job_command(struct stress *s, struct stress_job *job)
{
	static const unsigned char ops[] = {
		DRM_VSVM_OP_COPY, DRM_VSVM_OP_COPY, DRM_VSVM_OP_COPY,
		DRM_VSVM_OP_FILL, DRM_VSVM_OP_FILL, DRM_VSVM_OP_LOAD,
		DRM_VSVM_OP_LOAD, DRM_VSVM_OP_STORE, DRM_VSVM_OP_STORE,
		DRM_VSVM_OP_ADD, DRM_VSVM_OP_CAS, DRM_VSVM_OP_XCHG,
		DRM_VSVM_OP_SUM, DRM_VSVM_OP_HISTOGRAM, DRM_VSVM_OP_CHASE,
	};
	struct drm_vsvm_cmd *c = &job->cmds[job->n];
	uint64_t *result = job->results + job->n;
	int spans = job->nr_spans;
	struct stress_span *span;
	bool ok = false;

	memset(c, 0, sizeof(*c));
	c->op = ops[stress_below(s, sizeof(ops))];
	if (s->kind != STRESS_GPUS_PLAIN && !stress_below(s, 8))
		c->op = DRM_VSVM_OP_PREFETCH;
	switch (c->op) {
	case DRM_VSVM_OP_PREFETCH:
		ok = job_prefetch(s, c);
		break;
	case DRM_VSVM_OP_COPY:
		ok = job_copy(s, job, c);
		break;
	case DRM_VSVM_OP_FILL:
		ok = job_span(s, job, true, 512, &span);
		if (ok) {
			c->dst = job_addr(s, span, 1, 1);
			c->len = job_len(s, span, c->dst);
			c->arg0 = stress_below(s, 256);
		}
		break;
	case DRM_VSVM_OP_SUM:
	case DRM_VSVM_OP_HISTOGRAM:
		ok = job_reduce(s, job, c);
		break;
	case DRM_VSVM_OP_CHASE:
		/* What the CPU writes must be there before the job starts. */
		ok = !job->n && job_chase(s, job, c, result);
		break;
	default:
		ok = job_small(s, job, c, result);
	}
	if (ok) {
		stress_note(s,
			    "  op %u gpu %d cmd %d dst %#llx src %#llx len %#llx arg %#llx width %u",
			    c->op, job->gpu, job->n,
			    (unsigned long long)c->dst,
			    (unsigned long long)c->src,
			    (unsigned long long)c->len,
			    (unsigned long long)c->arg0, c->width);
		job->n++;
	} else {
		job->nr_spans = spans;
	}
}

int stress_jobs_active(struct stress *s)
{
	int i, n = 0;

	for (i = 0; i < STRESS_MAX_JOBS; i++)
		n += s->jobs[i].active;
	return n;
}

/* Give a random job to a random engine, unless there are enough. */
void stress_job_new(struct stress *s)
{
	int slot = 0, want = 1 + stress_below(s, STRESS_MAX_CMDS), i;
	struct drm_vsvm_exec exec = {};
	struct stress_job *job;
	volatile uint64_t *results;

	while (slot < STRESS_MAX_JOBS && s->jobs[slot].active)
		slot++;
	if (slot == STRESS_MAX_JOBS) {
		stress_job_wait_any(s);
		return;
	}
	job = &s->jobs[slot];
	job->results = s->results + slot * (STRESS_MAX_CMDS + 1);
	job->gpu = stress_gpu(s);
	job->step = s->step;
	job->n = 0;
	job->nr_spans = 0;
	job->waits = s->kind != STRESS_GPUS_PLAIN && !stress_below(s, 6);
	if (job->waits) {
		s->flags[slot] = 0;
		job->cmds[job->n] = vsvm_wait_value(&s->flags[slot], 8, s->step);
		/* It is given what it waits for some steps later. */
		job->cmds[job->n++].timeout_ns = 0;
		want = want < STRESS_MAX_CMDS ? want : STRESS_MAX_CMDS - 1;
	}
	for (i = 0; i < want; i++)
		job_command(s, job);
	if (!job->n)
		return;

	results = job->results;
	for (i = 0; i <= STRESS_MAX_CMDS; i++) {
		results[i] = STRESS_UNTOUCHED;
		job->expect[i] = STRESS_UNTOUCHED;
	}
	stress_predict(s, job);
	for (i = 0; i < job->n; i++)
		if (!job->cmds[i].result)
			job->expect[i] = STRESS_UNTOUCHED;

	exec.vm_id = s->set.vm[job->gpu];
	/* What releases those that wait goes to engine 1. */
	exec.engine = job->waits ? 0 : stress_below(s, s->engines);
	exec.num_cmds = job->n;
	exec.cmds = to_u64(job->cmds);
	if (stress_below(s, 2)) {
		exec.fence_addr = to_u64(job->results + STRESS_MAX_CMDS);
		exec.fence_value = s->step;
		if (!job->status)
			job->expect[STRESS_MAX_CMDS] = s->step;
	}
	stress_note(s, "job slot %d gpu %d engine %u cmds %d predicted %d",
		    slot, job->gpu, exec.engine, job->n, job->status);
	i = vsvm_ioctl(s->set.fd[job->gpu], DRM_IOCTL_VSVM_EXEC, &exec);
	stress_check(s, !i, "exec: %s\n", strerror(-i));
	job->id = exec.job_id;
	job->active = true;
	for (i = 0; i < job->nr_spans; i++)
		span_count(&job->spans[i], 1);
	stress_verb(STRESS_VERB_JOB);
	s->nr_jobs++;
	s->nr_failed += !!job->status;
}

/* What the model has at an address, for messages. */
static void note_page(struct stress *s, uint64_t addr)
{
	int i;

	for (i = 0; i < s->nr_views; i++) {
		struct stress_view *v = &s->views[i];
		uint64_t page = (addr - to_u64(v->base)) / SZ_4K;

		if (page < v->pages)
			stress_note(s,
				    "the model at %#llx: %s page %u, prot %#x, page %u of %u in the file",
				    (unsigned long long)addr, v->name,
				    (unsigned int)page, v->prot[page],
				    v->map[page], v->back->file_pages);
	}
}

static void job_compare(struct stress *s, const struct stress_job *job,
			const struct drm_vsvm_wait *w)
{
	int i;

	if (w->fault_addr != job->fault_addr) {
		note_page(s, w->fault_addr);
		note_page(s, job->fault_addr);
	}
	stress_check(s, w->status == job->status,
		     "job of step %u on GPU %d ended with %d (%s) in command %u at %#llx, expected %d (%s) in command %u at %#llx\n",
		     job->step, job->gpu, w->status, strerror(-w->status),
		     w->cmd_index, (unsigned long long)w->fault_addr,
		     job->status, strerror(-job->status), job->cmd_index,
		     (unsigned long long)job->fault_addr);
	stress_check(s, w->fault_addr == job->fault_addr &&
		     w->fault_access == job->fault_access &&
		     (!job->status || w->cmd_index == job->cmd_index),
		     "job of step %u on GPU %d failed (%d) in command %u, access %u at %#llx, expected command %u, access %u at %#llx\n",
		     job->step, job->gpu, w->status, w->cmd_index,
		     w->fault_access, (unsigned long long)w->fault_addr,
		     job->cmd_index, job->fault_access,
		     (unsigned long long)job->fault_addr);
	for (i = 0; i <= STRESS_MAX_CMDS; i++)
		stress_check(s, job->results[i] == job->expect[i],
			     "job of step %u on GPU %d: result %d is %#llx, expected %#llx\n",
			     job->step, job->gpu, i,
			     (unsigned long long)job->results[i],
			     (unsigned long long)job->expect[i]);
}

/* Have a GPU do one thing now, besides its jobs. Return: how that ended. */
struct drm_vsvm_wait stress_job_sync(struct stress *s, int gpu,
				     struct drm_vsvm_cmd cmd)
{
	struct drm_vsvm_exec exec = {
		.vm_id = s->set.vm[gpu], .engine = 1, .num_cmds = 1,
		.cmds = to_u64(&cmd),
	};
	struct drm_vsvm_wait w = {
		.vm_id = s->set.vm[gpu], .timeout_ns = vsvm_deadline(60),
	};
	int ret;

	ret = vsvm_ioctl(s->set.fd[gpu], DRM_IOCTL_VSVM_EXEC, &exec);
	stress_check(s, !ret, "exec: %s\n", strerror(-ret));
	w.job_id = exec.job_id;
	ret = vsvm_ioctl(s->set.fd[gpu], DRM_IOCTL_VSVM_WAIT, &w);
	if (ret == -ETIME)
		hang_report();
	stress_check(s, !ret, "waiting for GPU %d, command %u: %s\n", gpu,
		     cmd.op, strerror(-ret));
	return w;
}

/* Jobs of a GPU that wait for a value get it, from any GPU. */
static void release_gpu(struct stress *s, int gpu)
{
	int i, by, err;

	for (i = 0; i < STRESS_MAX_JOBS; i++) {
		struct stress_job *job = &s->jobs[i];
		struct drm_vsvm_cmd store;

		if (!job->active || !job->waits || job->gpu != gpu)
			continue;
		by = stress_gpu(s);
		stress_note(s, "GPU %d releases the job of step %u on GPU %d",
			    by, job->step, gpu);
		store = vsvm_store(&s->flags[i], 8, job->step);
		err = stress_job_sync(s, by, store).status;
		stress_check(s, !err, "a store to a flag: %s\n", strerror(-err));
		job->waits = false;
		stress_verb(STRESS_VERB_WAIT_VALUE);
	}
}

/*
 * The VM of a GPU is gone with all its jobs. How far they came nobody knows, so what
 * they may have written is written anew.
 */
void stress_job_abandon_gpu(struct stress *s, int gpu)
{
	uint64_t value = stress_random(s);
	unsigned int p;
	int i, k;

	for (i = 0; i < STRESS_MAX_JOBS; i++) {
		struct stress_job *job = &s->jobs[i];

		if (!job->active || job->gpu != gpu)
			continue;
		job->active = false;
		for (k = 0; k < job->nr_spans; k++) {
			struct stress_span *span = &job->spans[k];
			struct stress_view *v = span->view;

			span_count(span, -1);
			for (p = span->first; span->write &&
			     p < span->first + span->n; p++) {
				if (stress_access(v, p, true))
					continue;
				memset(stress_shadow(v, p), value + p, SZ_4K);
				memset(stress_addr(v, p), value + p, SZ_4K);
			}
		}
	}
}

void stress_job_wait(struct stress *s, struct stress_job *job)
{
	struct drm_vsvm_wait w = {
		.vm_id = s->set.vm[job->gpu], .job_id = job->id,
		.timeout_ns = vsvm_deadline(60),
	};
	int i;

	release_gpu(s, job->gpu);
	stress_note(s, "wait for the job of step %u", job->step);
	i = vsvm_ioctl(s->set.fd[job->gpu], DRM_IOCTL_VSVM_WAIT, &w);
	if (i == -ETIME)
		hang_report();
	stress_check(s, !i, "waiting for the job of step %u on GPU %d: %s\n",
		     job->step, job->gpu, strerror(-i));
	job_compare(s, job, &w);
	job->active = false;
	for (i = 0; i < job->nr_spans; i++)
		span_count(&job->spans[i], -1);
	/* What it wrote is looked at before it changes again. */
	for (i = 0; i < job->nr_spans; i++)
		if (job->spans[i].write && span_free(&job->spans[i]) &&
		    stress_below(s, 2))
			stress_check_cpu(s, &job->spans[i]);
}

void stress_job_wait_any(struct stress *s)
{
	int i, skip = stress_jobs_active(s);

	if (!skip)
		return;
	skip = stress_below(s, skip);
	for (i = 0; !s->jobs[i].active || skip--; i++)
		;
	stress_job_wait(s, &s->jobs[i]);
}

void stress_job_wait_gpu(struct stress *s, int gpu)
{
	int i;

	for (i = 0; i < STRESS_MAX_JOBS; i++)
		if (s->jobs[i].active && (gpu < 0 || s->jobs[i].gpu == gpu))
			stress_job_wait(s, &s->jobs[i]);
}
