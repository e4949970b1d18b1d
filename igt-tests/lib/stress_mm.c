// SPDX-License-Identifier: MIT
/*
 * What the process does with its memory during the stress: each operation is
 * made on memory that no job under way uses, and repeated in the model.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "igt_compat.h"
#include "stress.h"

static void note_span(struct stress *s, const char *what,
		      const struct stress_span *span)
{
	stress_note(s, "%s %s pages %u+%u (%p)", what, span->view->name,
		    span->first, span->n,
		    (void *)stress_addr(span->view, span->first));
}

/* Shorten a span to its first pages that are there. Return: are there any? */
static bool present(struct stress_span *span)
{
	struct stress_view *v = span->view;
	unsigned int n = 0;

	while (n < span->n && v->prot[span->first + n] != STRESS_UNMAPPED)
		n++;
	span->n = n;
	return n;
}

static void op_munmap(struct stress *s)
{
	struct stress_span span = stress_span(s, 1024);

	if (!stress_span_idle(&span, false))
		return;
	stress_verb(STRESS_VERB_MUNMAP);
	note_span(s, "munmap", &span);
	stress_check(s, !munmap(stress_addr(span.view, span.first),
				span.n * SZ_4K),
		     "munmap: %s\n", strerror(errno));
	memset(span.view->prot + span.first, STRESS_UNMAPPED, span.n);
}

/* Where in its file a span gets its bytes from now on. */
static unsigned int map_from(struct stress *s, const struct stress_span *span)
{
	struct stress_backing *b = span->view->back;

	if (b->kind == STRESS_SHARED && span->view->unit == 1 &&
	    !stress_below(s, 4))
		return stress_below(s, b->pages - span->n + 1);
	return span->first;
}

static void op_mmap(struct stress *s)
{
	struct stress_span span = stress_span(s, 2048);

	if (!stress_span_idle(&span, true))
		return;
	stress_verb(STRESS_VERB_MMAP);
	note_span(s, "mmap", &span);
	stress_map(s, &span, map_from(s, &span), PROT_READ | PROT_WRITE);
}

static void op_mprotect(struct stress *s, bool up)
{
	static const int less[] = { PROT_READ, PROT_READ, PROT_NONE };
	int prot = up ? PROT_READ | PROT_WRITE : less[stress_below(s, 3)];
	struct stress_span span = stress_span(s, up ? 2048 : 64);

	if (!present(&span) || !stress_span_idle(&span, false))
		return;
	stress_verb(up ? STRESS_VERB_UNPROTECT : STRESS_VERB_PROTECT);
	note_span(s, up ? "mprotect up" : "mprotect down", &span);
	stress_check(s, !mprotect(stress_addr(span.view, span.first),
				  span.n * SZ_4K, prot),
		     "mprotect %d: %s\n", prot, strerror(errno));
	memset(span.view->prot + span.first, prot, span.n);
}

/* Everything that is missing in a view comes back. */
static void op_heal(struct stress *s)
{
	struct stress_view *v = &s->views[stress_below(s, s->nr_views)];
	struct stress_span span = { .view = v };
	unsigned int i;

	for (i = 0; i < v->pages; i += v->unit) {
		if (v->island[i] || v->prot[i] != STRESS_UNMAPPED)
			continue;
		span.first = i;
		for (span.n = v->unit; i + v->unit < v->pages &&
		     !v->island[i + v->unit] &&
		     v->prot[i + v->unit] == STRESS_UNMAPPED;
		     span.n += v->unit)
			i += v->unit;
		if (!stress_span_idle(&span, false))
			continue;
		stress_verb(STRESS_VERB_HEAL);
		note_span(s, "mmap again", &span);
		stress_map(s, &span, span.first, PROT_READ | PROT_WRITE);
	}
}

/* Pages move to other addresses, and take their bytes along. */
static void op_mremap(struct stress *s)
{
	struct stress_span from = stress_span(s, 700), to;
	struct stress_view *v = from.view, *d;
	unsigned int i;
	char *p;

	if (v->unit > 1 || v->back->kind == STRESS_PRIVATE ||
	    !present(&from) || !stress_span_idle(&from, true))
		return;
	for (i = 1; i < from.n; i++)
		if (v->prot[from.first + i] != v->prot[from.first] ||
		    v->map[from.first + i] != v->map[from.first] + i)
			break;
	from.n = i;
	to = stress_span(s, 1);
	d = to.view;
	if (d->unit > 1 || d->back->kind != v->back->kind)
		return;
	/* Room for all of it, and none of it the same. */
	for (i = 0; i < from.n; i++)
		if (to.first + i >= d->pages || d->island[to.first + i])
			break;
	from.n = i;
	to.n = i;
	if (d == v && to.first < from.first + from.n &&
	    from.first < to.first + to.n)
		return;
	if (!stress_span_idle(&to, true))
		return;
	stress_verb(STRESS_VERB_MREMAP);
	note_span(s, "mremap from", &from);
	note_span(s, "mremap to", &to);
	p = mremap(stress_addr(v, from.first), from.n * SZ_4K, from.n * SZ_4K,
		   MREMAP_MAYMOVE | MREMAP_FIXED, stress_addr(d, to.first));
	stress_check(s, p == stress_addr(d, to.first), "mremap: %s\n",
		     strerror(errno));
	memcpy(d->prot + to.first, v->prot + from.first, from.n);
	memset(v->prot + from.first, STRESS_UNMAPPED, from.n);
	if (v->back->kind == STRESS_SHARED)
		memcpy(d->map + to.first, v->map + from.first,
		       from.n * sizeof(*v->map));
	else
		memcpy(d->back->shadow + to.first * SZ_4K,
		       v->back->shadow + from.first * SZ_4K, from.n * SZ_4K);
	for (i = 0; v->back->kind != STRESS_SHARED && i < from.n; i++)
		d->map[to.first + i] = to.first + i;
}

static void op_dontneed(struct stress *s)
{
	struct stress_span span = stress_span(s, 1024);
	struct stress_backing *b = span.view->back;
	char *addr = stress_addr(span.view, span.first);

	if (!present(&span) || !stress_span_idle(&span, true))
		return;
	stress_verb(STRESS_VERB_DONTNEED);
	note_span(s, "MADV_DONTNEED", &span);
	stress_check(s, !madvise(addr, span.n * SZ_4K, MADV_DONTNEED),
		     "MADV_DONTNEED: %s\n", strerror(errno));
	if (b->kind == STRESS_ANON)
		memset(b->shadow + span.first * SZ_4K, 0, span.n * SZ_4K);
	else if (b->kind == STRESS_PRIVATE)
		memcpy(b->shadow + span.first * SZ_4K,
		       b->file + span.first * SZ_4K, span.n * SZ_4K);
}

/* Changes where pages are and not what they hold: jobs may be at them. */
static void op_advise(struct stress *s)
{
	static const struct {
		int advice;
		const char *name;
	} kinds[] = {
		{ MADV_PAGEOUT, "MADV_PAGEOUT" }, { MADV_COLD, "MADV_COLD" },
		{ MADV_COLLAPSE, "MADV_COLLAPSE" },
		{ MADV_HUGEPAGE, "MADV_HUGEPAGE" },
		{ MADV_NOHUGEPAGE, "MADV_NOHUGEPAGE" },
		{ MADV_WILLNEED, "MADV_WILLNEED" },
		{ MADV_COLLAPSE, "MADV_COLLAPSE" },
	};
	int i = stress_below(s, sizeof(kinds) / sizeof(kinds[0]));
	struct stress_span span = stress_span(s, 2048);

	stress_verb(STRESS_VERB_ADVISE);
	note_span(s, kinds[i].name, &span);
	/* May well be impossible there. */
	madvise(stress_addr(span.view, span.first), span.n * SZ_4K,
		kinds[i].advice);
}

static void op_cpu_write(struct stress *s)
{
	struct stress_span span = stress_span(s, 256);
	struct stress_view *v = span.view;
	uint64_t value = stress_random(s);
	unsigned int p, from, len, i;

	if (!stress_span_idle(&span, true))
		return;
	stress_verb(STRESS_VERB_CPU_WRITE);
	note_span(s, "CPU write", &span);
	for (p = span.first; p < span.first + span.n; p++) {
		if (stress_access(v, p, true))
			continue;
		from = stress_below(s, SZ_4K);
		len = 1 + stress_below(s, SZ_4K - from);
		for (i = from; i < from + len; i++) {
			value = value * 6364136223846793005ULL + 1;
			stress_shadow(v, p)[i] = value >> 56;
		}
		memcpy(stress_addr(v, p) + from, stress_shadow(v, p) + from,
		       len);
	}
}

static void op_cpu_read(struct stress *s)
{
	struct stress_span span = stress_span(s, 512);

	stress_verb(STRESS_VERB_CPU_READ);
	stress_check_cpu(s, &span);
}

static void op_mlock(struct stress *s)
{
	struct stress_span span = stress_span(s, 128);
	unsigned int i;

	for (i = 0; i < span.n; i++)
		if (stress_access(span.view, span.first + i, true))
			break;
	span.n = i;
	/* Locking takes pages in; no job sees that. */
	if (!span.n)
		return;
	stress_verb(STRESS_VERB_MLOCK);
	note_span(s, "mlock", &span);
	stress_check(s, !mlock(stress_addr(span.view, span.first),
			       span.n * SZ_4K), "mlock: %s\n", strerror(errno));
	stress_job_new(s);
	stress_check(s, !munlock(stress_addr(span.view, span.first),
				 span.n * SZ_4K), "munlock: %s\n",
		     strerror(errno));
}

/* No job at any page of a file, from one on. */
static bool file_idle(struct stress_backing *b, unsigned int first,
		      unsigned int n)
{
	while (n--)
		if (b->readers[first + n] || b->writers[first + n])
			return false;
	return true;
}

static void op_truncate(struct stress *s)
{
	struct stress_view *v = &s->views[stress_below(s, s->nr_views)];
	struct stress_backing *b = v->back;
	unsigned int pages, low;

	if (b->kind == STRESS_ANON)
		return;
	pages = b->pages;
	if (b->file_pages == b->pages)
		pages -= v->unit * (1 + stress_below(s, b->pages / v->unit / 4 +
						     1));
	low = pages < b->file_pages ? pages : b->file_pages;
	if (!file_idle(b, low, b->pages - low))
		return;
	stress_verb(STRESS_VERB_TRUNCATE);
	stress_note(s, "truncate %s from %u to %u pages", v->name,
		    b->file_pages, pages);
	stress_check(s, !ftruncate(b->fd, pages * SZ_4K), "ftruncate: %s\n",
		     strerror(errno));
	b->file_pages = pages;
	/* Copies of a private mapping go as well. */
	memset(b->shadow + low * SZ_4K, 0, (b->pages - low) * SZ_4K);
	memset(b->file + low * SZ_4K, 0, (b->pages - low) * SZ_4K);
}

static void op_punch(struct stress *s)
{
	struct stress_span span = stress_span(s, 256);
	struct stress_backing *b = span.view->back;

	if (b->kind != STRESS_SHARED || !file_idle(b, span.first, span.n))
		return;
	stress_verb(STRESS_VERB_PUNCH);
	note_span(s, "punch", &span);
	stress_check(s, !fallocate(b->fd, FALLOC_FL_PUNCH_HOLE |
				   FALLOC_FL_KEEP_SIZE, span.first * SZ_4K,
				   span.n * SZ_4K),
		     "fallocate: %s\n", strerror(errno));
	memset(b->shadow + span.first * SZ_4K, 0, span.n * SZ_4K);
}

static void op_fork_exit(struct stress *s)
{
	pid_t pid;
	int status;

	stress_verb(STRESS_VERB_FORK_EXIT);
	stress_note(s, "fork, and exit");
	pid = fork();
	stress_check(s, pid >= 0, "fork: %s\n", strerror(errno));
	if (!pid)
		_exit(0);
	stress_check(s, waitpid(pid, &status, 0) == pid && !status,
		     "a child ended with %#x\n", status);
}

/*
 * The child's copy: what it was at the fork, whatever the parent and its GPUs
 * did since; then the child writes to it.
 */
static int child_main(struct stress *s, int go)
{
	unsigned int p;
	char c;
	int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(go, &c, 1) != 1)
		return 2;
	for (i = 0; i < s->nr_views; i++) {
		struct stress_view *v = &s->views[i];

		if (v->back->kind != STRESS_ANON)
			continue;
		for (p = 0; p < v->pages; p++) {
			if (stress_access(v, p, false))
				continue;
			if (memcmp(stress_addr(v, p), stress_shadow(v, p),
				   SZ_4K))
				return 3;
			if (!stress_access(v, p, true) && p % 3)
				memset(stress_addr(v, p), 0xee, SZ_4K);
		}
	}
	return 0;
}

static void child_end(struct stress *s, struct stress_child *child)
{
	int status, ok;
	char c = 0;

	stress_note(s, "a child goes on");
	ok = write(child->go, &c, 1) == 1;
	close(child->go);
	ok = ok && waitpid(child->pid, &status, 0) == child->pid;
	child->pid = 0;
	stress_check(s, ok, "a child is gone\n");
	stress_check(s, !status, "a child ended with %#x (0x300: its copy changed)\n",
		     status);
}

void stress_children_end(struct stress *s)
{
	int i;

	for (i = 0; i < STRESS_MAX_CHILDREN; i++)
		if (s->children[i].pid)
			child_end(s, &s->children[i]);
}

static void op_fork_child(struct stress *s)
{
	struct stress_child *child = &s->children[stress_below(s, STRESS_MAX_CHILDREN)];
	int go[2];

	if (child->pid) {
		child_end(s, child);
		return;
	}
	/* The copy is known only if nobody writes right now. */
	stress_job_wait_gpu(s, -1);
	stress_verb(STRESS_VERB_FORK_CHILD);
	stress_note(s, "fork, a child stays");
	stress_check(s, !pipe2(go, O_CLOEXEC), "pipe: %s\n", strerror(errno));
	child->go = go[1];
	child->pid = fork();
	stress_check(s, child->pid >= 0, "fork: %s\n", strerror(errno));
	if (!child->pid)
		_exit(child_main(s, go[0]));
	close(go[0]);
}

/* A GPU leaves, or comes back; a single one does both. */
static void op_rejoin(struct stress *s)
{
	int gpu = stress_below(s, s->set.n), others = 0, i, err;

	if (!s->plugged[gpu])
		return;
	for (i = 0; i < s->set.n; i++)
		others += s->joined[i] && i != gpu;
	if (s->joined[gpu]) {
		stress_job_wait_gpu(s, gpu);
		stress_verb(STRESS_VERB_LEAVE);
		stress_note(s, "GPU %d leaves", gpu);
		err = vsvm_vm_destroy(s->set.fd[gpu], s->set.vm[gpu]);
		stress_check(s, !err, "destroy: %s\n", strerror(-err));
		s->joined[gpu] = false;
		s->nr_kept[gpu] = 0;
		if (others)
			return;
	}
	stress_verb(STRESS_VERB_JOIN);
	stress_note(s, "GPU %d joins", gpu);
	s->set.vm[gpu] = vsvm_vm_create(s->set.fd[gpu], s->set.layout);
	s->joined[gpu] = true;
}

void stress_mm_op(struct stress *s)
{
	switch (stress_below(s, 40)) {
	case 0 ... 1:
		return op_munmap(s);
	case 2 ... 5:
		return op_mmap(s);
	case 6 ... 7:
		return op_mprotect(s, false);
	case 8 ... 14:
		return op_mprotect(s, true);
	case 15 ... 17:
		return op_heal(s);
	case 18 ... 19:
		return op_mremap(s);
	case 20 ... 21:
		return op_dontneed(s);
	case 22 ... 25:
		return op_advise(s);
	case 26 ... 29:
		return op_cpu_write(s);
	case 30 ... 31:
		return op_cpu_read(s);
	case 32:
		return op_mlock(s);
	case 33 ... 34:
		return op_truncate(s);
	case 35:
		return op_punch(s);
	case 36:
		return op_fork_exit(s);
	case 37:
		return op_fork_child(s);
	default:
		return op_rejoin(s);
	}
}
