// SPDX-License-Identifier: MIT
/*
 * The model of the stress: which memory there is, what it holds, and how a job
 * must end that is given to a GPU now.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "igt_compat.h"
#include "stress.h"

/* Far below where the kernel puts other mappings, so that holes stay holes. */
#define STRESS_BASE	0x100000000000UL
#define STRESS_DISTANCE	(1UL << 30)

/* The background's pages: 4 in every 64 of a view that has them. */
#define STRESS_ISLAND(page) ((page) % 64 >= 60)

static struct stress_backing *add_back(struct stress *s, enum stress_kind kind,
				       int fd, unsigned int pages)
{
	struct stress_backing *b = &s->backs[s->nr_backs++];

	*b = (struct stress_backing) {
		.kind = kind, .fd = fd, .pages = pages, .file_pages = pages,
		.shadow = calloc(pages, SZ_4K),
		.file = calloc(pages, SZ_4K),
		.readers = calloc(pages, 1), .writers = calloc(pages, 1),
	};
	igt_assert(b->shadow && b->file && b->readers && b->writers);
	return b;
}

/* @offset: Where in its gigabyte, so as to lie across borders or not. */
static void add_view(struct stress *s, const char *name,
		     struct stress_backing *back, unsigned long offset,
		     unsigned int unit, int advice, bool islands)
{
	struct stress_view *v = &s->views[s->nr_views];
	unsigned int i;
	struct stress_span all;

	*v = (struct stress_view) {
		.name = name, .back = back, .pages = back->pages, .unit = unit,
		.advice = advice,
		.base = (char *)(STRESS_BASE + s->nr_views * STRESS_DISTANCE +
				 offset),
		.map = calloc(back->pages, sizeof(*v->map)),
		.prot = malloc(back->pages),
		.users = calloc(back->pages, 1),
		.island = calloc(back->pages, 1),
	};
	igt_assert(v->map && v->prot && v->users && v->island);
	memset(v->prot, STRESS_UNMAPPED, v->pages);
	s->nr_views++;
	all = (struct stress_span) { .view = v, .n = v->pages };
	stress_map(s, &all, 0, PROT_READ | PROT_WRITE);
	for (i = 0; i < v->pages; i++) {
		if (!islands || !STRESS_ISLAND(i))
			continue;
		v->island[i] = 1;
		v->prot[i] = STRESS_UNMAPPED;
	}
}

static int file_of(unsigned int pages, unsigned int flags)
{
	int fd = memfd_create("msvm_stress", MFD_CLOEXEC | flags);

	if (fd >= 0 && ftruncate(fd, pages * SZ_4K)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Huge pages, if the machine gave us some. */
static void add_hugetlb(struct stress *s)
{
	int fd = file_of(1024, MFD_HUGETLB);
	void *probe;

	if (fd < 0)
		goto out;
	probe = mmap(NULL, 2 * SZ_2M, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (probe == MAP_FAILED) {
		close(fd);
		goto out;
	}
	munmap(probe, 2 * SZ_2M);
	add_view(s, "hugetlb", add_back(s, STRESS_SHARED, fd, 1024), 0, 512, -1,
		 false);
	return;
out:
	igt_info("no hugetlb pages to be had: this seed runs differently\n");
}

void stress_model_init(struct stress *s)
{
	const unsigned long border = 512UL << 20;
	struct stress_backing *b;
	unsigned int i;
	int fd;

	s->nr_views = 0;
	s->nr_backs = 0;
	add_view(s, "base", add_back(s, STRESS_ANON, -1, 700),
		 border - 300 * SZ_4K, 1, MADV_NOHUGEPAGE, false);
	add_view(s, "thp", add_back(s, STRESS_ANON, -1, 1536), 0, 1,
		 MADV_HUGEPAGE, false);
	add_view(s, "islands", add_back(s, STRESS_ANON, -1, 1024),
		 border - SZ_2M, 1, -1, true);

	fd = file_of(640, 0);
	igt_assert(fd >= 0);
	b = add_back(s, STRESS_SHARED, fd, 640);
	add_view(s, "memfd-a", b, 0, 1, -1, false);
	add_view(s, "memfd-b", b, SZ_2M - 7 * SZ_4K, 1, -1, false);

	fd = file_of(520, 0);
	igt_assert(fd >= 0);
	b = add_back(s, STRESS_PRIVATE, fd, 520);
	for (i = 0; i < 520 * SZ_4K / 8; i++)
		((uint64_t *)b->file)[i] = stress_random(s);
	igt_assert(pwrite(fd, b->file, 520 * SZ_4K, 0) == 520 * SZ_4K);
	add_view(s, "private", b, SZ_64K, 1, -1, false);
	add_hugetlb(s);
}

void stress_model_fini(struct stress *s)
{
	while (s->nr_views) {
		struct stress_view *v = &s->views[--s->nr_views];

		munmap(v->base, v->pages * SZ_4K);
		free(v->map);
		free(v->prot);
		free(v->users);
		free(v->island);
	}
	while (s->nr_backs) {
		struct stress_backing *b = &s->backs[--s->nr_backs];

		if (b->fd >= 0)
			close(b->fd);
		free(b->shadow);
		free(b->file);
		free(b->readers);
		free(b->writers);
	}
}

char *stress_addr(const struct stress_view *view, unsigned int page)
{
	return view->base + page * SZ_4K;
}

/* What must an access end with? */
int stress_access(const struct stress_view *view, unsigned int page, bool write)
{
	unsigned char prot = view->prot[page];

	if (prot == STRESS_UNMAPPED)
		return -EFAULT;
	if (!(prot & (write ? PROT_WRITE : PROT_READ)))
		return -EACCES;
	if (view->back->kind != STRESS_ANON &&
	    view->map[page] >= view->back->file_pages)
		return -EFAULT;
	return 0;
}

unsigned char *stress_shadow(const struct stress_view *view, unsigned int page)
{
	return view->back->shadow + view->map[page] * SZ_4K;
}

/* Some pages of some view, at most @max. */
struct stress_span stress_span(struct stress *s, unsigned int max)
{
	struct stress_view *v = &s->views[stress_below(s, s->nr_views)];
	unsigned int first = stress_below(s, v->pages), n, i;

	switch (stress_below(s, 10)) {
	case 0 ... 4:
		n = 4;
		break;
	case 5 ... 7:
		n = 48;
		break;
	default:
		n = max;
	}
	n = 1 + stress_below(s, n < max ? n : max);
	if (v->unit > 1) {
		first -= first % v->unit;
		n = v->unit;
	}
	while (v->island[first])
		first--;
	for (i = 1; i < n && first + i < v->pages && !v->island[first + i]; i++)
		;
	return (struct stress_span) { .view = v, .first = first, .n = i };
}

/* No job is at these pages; if @content, nor at their bytes elsewhere. */
bool stress_span_idle(const struct stress_span *span, bool content)
{
	struct stress_view *v = span->view;
	unsigned int p;

	for (p = span->first; p < span->first + span->n; p++) {
		if (v->users[p])
			return false;
		if (content && v->prot[p] != STRESS_UNMAPPED &&
		    (v->back->readers[v->map[p]] ||
		     v->back->writers[v->map[p]]))
			return false;
	}
	return true;
}

/* Map memory anew, of a file from page @from on. */
void stress_map(struct stress *s, const struct stress_span *span,
		unsigned int from, int prot)
{
	struct stress_view *v = span->view;
	struct stress_backing *b = v->back;
	char *addr = stress_addr(v, span->first), *p;
	unsigned int i;

	if (b->kind == STRESS_ANON)
		p = mmap(addr, span->n * SZ_4K, prot,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	else
		p = mmap(addr, span->n * SZ_4K, prot, MAP_FIXED |
			 (b->kind == STRESS_SHARED ? MAP_SHARED : MAP_PRIVATE),
			 b->fd, from * SZ_4K);
	stress_check(s, p == addr, "mmap: %s\n", strerror(errno));
	if (v->advice >= 0)
		madvise(addr, span->n * SZ_4K, v->advice);
	/* A peculiarity of hugetlbfs: a writable mapping makes the file grow. */
	if (v->unit > 1 && prot & PROT_WRITE && from + span->n > b->file_pages)
		b->file_pages = from + span->n;
	for (i = 0; i < span->n; i++) {
		v->prot[span->first + i] = prot;
		v->map[span->first + i] = from + i;
		if (b->kind == STRESS_ANON)
			memset(b->shadow + (from + i) * SZ_4K, 0, SZ_4K);
		else if (b->kind == STRESS_PRIVATE)
			memcpy(b->shadow + (from + i) * SZ_4K,
			       b->file + (from + i) * SZ_4K, SZ_4K);
	}
}

/* One job being predicted. */
struct predict {
	struct stress *s;
	struct stress_job *job;
};

static int failed(struct predict *p, uint64_t addr, uint32_t access, int err)
{
	p->job->fault_addr = addr;
	p->job->fault_access = access;
	return err;
}

/* The model's byte for an address, with the rest of its page. */
static int byte_at(struct predict *p, uint64_t addr, uint32_t access,
		   unsigned char **byte)
{
	int i, err = -EFAULT;

	for (i = 0; i < p->s->nr_views; i++) {
		struct stress_view *v = &p->s->views[i];
		uint64_t offset = addr - to_u64(v->base);

		if (offset >= v->pages * SZ_4K)
			continue;
		err = stress_access(v, offset / SZ_4K,
				    access != DRM_VSVM_ACCESS_READ);
		if (!err)
			*byte = stress_shadow(v, offset / SZ_4K) +
				offset % SZ_4K;
		break;
	}
	return err ? failed(p, addr, access, err) : 0;
}

static size_t rest(uint64_t addr, size_t len)
{
	size_t page = SZ_4K - addr % SZ_4K;

	return len < page ? len : page;
}

static int transfer(struct predict *p, uint64_t addr, void *buf, size_t len,
		    bool write)
{
	unsigned char *byte;
	size_t n;
	int err;

	for (; len; len -= n, addr += n, buf = (char *)buf + n) {
		n = rest(addr, len);
		err = byte_at(p, addr, write ? DRM_VSVM_ACCESS_WRITE :
					       DRM_VSVM_ACCESS_READ, &byte);
		if (err)
			return err;
		if (write)
			memcpy(byte, buf, n);
		else
			memcpy(buf, byte, n);
	}
	return 0;
}

static int copy(struct predict *p, const struct drm_vsvm_cmd *c)
{
	static unsigned char buf[SZ_4K];
	uint64_t done;
	size_t n;
	int err;

	for (done = 0; done < c->len; done += n) {
		n = rest(c->src + done, rest(c->dst + done, c->len - done));
		err = transfer(p, c->src + done, buf, n, false);
		if (!err)
			err = transfer(p, c->dst + done, buf, n, true);
		if (err)
			return err;
	}
	return 0;
}

static int fill(struct predict *p, const struct drm_vsvm_cmd *c)
{
	static unsigned char buf[SZ_4K];
	uint64_t done;
	size_t n;
	int err;

	memset(buf, c->arg0, SZ_4K);
	for (done = 0; done < c->len; done += n) {
		n = rest(c->dst + done, c->len - done);
		err = transfer(p, c->dst + done, buf, n, true);
		if (err)
			return err;
	}
	return 0;
}

static int atomic(struct predict *p, const struct drm_vsvm_cmd *c, uint64_t addr,
		  uint64_t add, uint64_t *old)
{
	size_t width = c->width ? c->width : 8;
	unsigned char *byte;
	uint64_t value = 0;
	int err = byte_at(p, addr, DRM_VSVM_ACCESS_ATOMIC, &byte);

	if (err)
		return err;
	memcpy(&value, byte, width);
	*old = value;
	if (c->op == DRM_VSVM_OP_XCHG)
		value = add;
	else if (c->op != DRM_VSVM_OP_CAS)
		value += add;
	else if (value == (width == 4 ? (uint32_t)add : add))
		value = c->arg1;
	memcpy(byte, &value, width);
	return 0;
}

static int reduce(struct predict *p, const struct drm_vsvm_cmd *c)
{
	static uint64_t counts[256];
	uint64_t done, sum = 0, old;
	unsigned char *byte;
	int err = 0, k;
	size_t n, i;

	memset(counts, 0, sizeof(counts));
	for (done = 0; done < c->len; done += n) {
		n = rest(c->src + done, c->len - done);
		err = byte_at(p, c->src + done, DRM_VSVM_ACCESS_READ, &byte);
		if (err)
			return err;
		for (i = 0; i < n; i++) {
			sum += byte[i];
			counts[byte[i]]++;
		}
	}
	if (c->op == DRM_VSVM_OP_SUM)
		return atomic(p, c, c->dst, sum, &old);
	for (k = 0; !err && k < 256; k++)
		if (counts[k])
			err = atomic(p, c, c->dst + k * 8, counts[k], &old);
	return err;
}

static int command(struct predict *p, const struct drm_vsvm_cmd *c,
		   uint64_t *result)
{
	uint64_t value = 0, i;
	int err = 0;

	switch (c->op) {
	case DRM_VSVM_OP_COPY:
		return copy(p, c);
	case DRM_VSVM_OP_FILL:
		return fill(p, c);
	case DRM_VSVM_OP_LOAD:
		err = transfer(p, c->src, &value, c->width, false);
		break;
	case DRM_VSVM_OP_STORE:
		value = c->arg0;
		return transfer(p, c->dst, &value, c->width, true);
	case DRM_VSVM_OP_ADD:
	case DRM_VSVM_OP_CAS:
	case DRM_VSVM_OP_XCHG:
		err = atomic(p, c, c->dst, c->arg0, &value);
		break;
	case DRM_VSVM_OP_SUM:
	case DRM_VSVM_OP_HISTOGRAM:
		return reduce(p, c);
	case DRM_VSVM_OP_CHASE:
		value = c->src;
		for (i = 0; !err && i < c->arg0; i++)
			err = transfer(p, value, &value, 8, false);
		break;
	}
	if (!err)
		*result = value;
	return err;
}

/*
 * How must the job end? What it changes is changed in the model at once: until
 * it ended, nothing else touches these pages.
 */
void stress_predict(struct stress *s, struct stress_job *job)
{
	struct predict p = { .s = s, .job = job };

	job->status = 0;
	job->fault_addr = 0;
	job->fault_access = DRM_VSVM_ACCESS_NONE;
	for (job->cmd_index = 0; job->cmd_index < (unsigned int)job->n;
	     job->cmd_index++) {
		job->status = command(&p, &job->cmds[job->cmd_index],
				      &job->expect[job->cmd_index]);
		if (job->status)
			return;
	}
}
