// SPDX-License-Identifier: MIT
/*
 * Attributes are kept as they were set: split, merged, removed, for as long as the
 * memory is there and no longer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/attr.h"
#include "../lib/each.h"
#include "../lib/gpus.h"
#include "../lib/mm.h"
#include "../lib/uffd.h"
#include "../lib/vram.h"

#define VRAM	ATTR("vram_mib=16")

#define PAGES	160
#define LEN	(PAGES * SZ_4K)

static uint64_t random_state;

static unsigned int below(unsigned int n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 33) % n;
}

/* What each page must say; memory is there or not. */
static struct drm_vsvm_attr_interval model[PAGES];
static bool there[PAGES];

static void model_reset(unsigned int first, unsigned int n, bool memory)
{
	for (; n--; first++) {
		model[first] = (struct drm_vsvm_attr_interval) {};
		there[first] = memory;
	}
}

static void model_set(struct drm_vsvm_attr_interval *page,
		      const struct drm_vsvm_attr *attr, int gpu)
{
	uint64_t bit = 1ULL << gpu;
	__u64 *mask = attr->type == DRM_VSVM_ATTR_NO_ACCESS ?
			 &page->no_access : &page->accessed_by;

	switch (attr->type) {
	case DRM_VSVM_ATTR_PREFERRED_LOCATION:
		page->preferred_location = attr->value;
		break;
	case DRM_VSVM_ATTR_ACCESSED_BY:
	case DRM_VSVM_ATTR_NO_ACCESS:
		*mask = attr->value ? *mask | bit : *mask & ~bit;
		break;
	case DRM_VSVM_ATTR_READ_MOSTLY:
		page->read_mostly = attr->value;
		break;
	case DRM_VSVM_ATTR_GRANULARITY:
		page->granularity = attr->value;
		break;
	case DRM_VSVM_ATTR_ATOMICS:
		page->atomics = attr->value;
		break;
	case DRM_VSVM_ATTR_PREFETCH:
		page->prefetch = attr->value;
		break;
	}
}

/* What a page that says this is refused with. */
static int model_error(const struct drm_vsvm_attr_interval *page)
{
	if (page->accessed_by & page->no_access)
		return -EINVAL;
	if (page->atomics == DRM_VSVM_ATOMICS_SYSTEM &&
	    page->preferred_location >= DRM_VSVM_WHERE_GPU)
		return -EOPNOTSUPP;
	if (page->read_mostly &&
	    (page->preferred_location >= DRM_VSVM_WHERE_GPU ||
	     page->atomics == DRM_VSVM_ATOMICS_DEVICE))
		return -EOPNOTSUPP;
	return 0;
}

static struct drm_vsvm_attr random_attr(struct vsvm_set *set, int gpu)
{
	static const uint32_t sizes[] = { 0, 12, 16, 21 };

	switch (below(7)) {
	case 0:
		return attr_preferred(set, (int)below(set->n + 2) - 2);
	case 1:
		return attr_accessed_by(set, gpu, below(2));
	case 2:
		return attr_no_access(set, gpu, below(2));
	case 3:
		return attr_of(DRM_VSVM_ATTR_READ_MOSTLY, below(2));
	case 4:
		return attr_of(DRM_VSVM_ATTR_GRANULARITY, sizes[below(4)]);
	case 5:
		return attr_of(DRM_VSVM_ATTR_ATOMICS, below(4));
	default:
		return attr_of(DRM_VSVM_ATTR_PREFETCH, below(4));
	}
}

/* Set one or two at once, in the model first. */
static void random_set(struct vsvm_set *set, char *p, unsigned int first,
		       unsigned int n)
{
	struct drm_vsvm_attr_interval page;
	struct drm_vsvm_attr attrs[2];
	unsigned int nr = 1 + below(2), i, k;
	int gpus[2], ret = 0;

	for (k = 0; k < nr; k++) {
		gpus[k] = below(set->n);
		attrs[k] = random_attr(set, gpus[k]);
	}
	if (nr == 2 && attrs[0].type == attrs[1].type && !attrs[0].vm_id)
		nr = 1;
	for (i = first; i < first + n && !ret; i++) {
		page = model[i];
		for (k = 0; k < nr; k++)
			model_set(&page, &attrs[k], gpus[k]);
		ret = model_error(&page);
		/* Setting what is said already is no change to be refused. */
		if (attr_equal(&page, &model[i]))
			ret = 0;
	}
	for (i = first; i < first + n; i++)
		if (!there[i])
			ret = -EFAULT;
	igt_assert_eq(attr_try_set(set, below(set->n), p + first * SZ_4K,
				   n * SZ_4K, attrs, nr), ret);
	for (i = first; i < first + n && !ret; i++)
		for (k = 0; k < nr; k++)
			model_set(&model[i], &attrs[k], gpus[k]);
}

static void model_check(struct vsvm_set *set, char *p)
{
	struct drm_vsvm_attr_interval got[PAGES];
	unsigned int n = attr_get(set, p, LEN, got, PAGES), i, k, page = 0;

	for (i = 0; i < n; i++) {
		igt_assert(!i || !attr_equal(&got[i], &got[i - 1]));
		for (k = 0; k < got[i].len / SZ_4K; k++, page++)
			igt_assert_f(attr_equal(&got[i], &model[page]),
				     "page %u differs\n", page);
	}
	igt_assert_eq(page, PAGES);
}

static char *map_again(char *p, unsigned int first, unsigned int n)
{
	char *at = p + first * SZ_4K;

	igt_assert(mmap(at, n * SZ_4K, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	model_reset(first, n, true);
	return at;
}

/* Memory operations of the process; some keep what was said. */
static void random_memory(char *p, unsigned int first, unsigned int n)
{
	char *at = p + first * SZ_4K, *to;

	switch (below(6)) {
	case 0:
		munmap(at, n * SZ_4K);
		model_reset(first, n, false);
		break;
	case 1:
		map_again(p, first, n);
		break;
	case 2:
		madvise(at, n * SZ_4K, MADV_DONTNEED);
		break;
	case 3:
		/* Fails where there is a hole; what came before it counts. */
		mprotect(at, n * SZ_4K, PROT_READ);
		mprotect(at, n * SZ_4K, PROT_READ | PROT_WRITE);
		break;
	default:
		/* One page of it to another place: no VMA is crossed. */
		if (!there[first])
			break;
		to = mmap(NULL, SZ_4K, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		igt_assert(mremap(at, SZ_4K, SZ_4K,
				  MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
		munmap(to, SZ_4K);
		model_reset(first, 1, false);
	}
}

static void random_run(struct vsvm_set *set)
{
	int steps = vsvm_scale(600, 150), i;
	char *p = anon_aligned(LEN, SZ_2M);

	random_state = 0x9e3779b97f4a7c15ULL + set->n;
	model_reset(0, PAGES, true);
	for (i = 0; i < steps; i++) {
		unsigned int first = below(PAGES);
		unsigned int n = 1 + below(PAGES - first);

		if (below(5)) {
			random_set(set, p, first, below(2) ? n : 1);
		} else {
			/* Small, so that something is left. */
			if (n > 12)
				n = 1 + below(12);
			if (below(2) && there[first])
				vsvm_try(set, below(set->n),
					 (struct drm_vsvm_cmd[]) {
						vsvm_store(p + first * SZ_4K, 8, i)
					 }, 1);
			random_memory(p, first, n);
		}
		if (!below(40))
			map_again(p, 0, PAGES);
		model_check(set, p);
	}
	munmap(p, LEN);
	attr_expect_none(set, p, LEN);
}

static const struct drm_vsvm_attr read_mostly = {
	.type = DRM_VSVM_ATTR_READ_MOSTLY, .value = 1,
};

/* More holes at once than there are spare nodes for. */
static void holes(struct vsvm_set *set)
{
	struct drm_vsvm_attr_interval got[513];
	size_t len = 1024 * SZ_4K;
	char *p = anon(len);
	unsigned int i;

	attr_set(set, p, len, read_mostly);
	for (i = 1; i < 1024; i += 4)
		munmap(p + i * SZ_4K, SZ_4K);
	igt_assert_eq(attr_get(set, p, len, got, 513), 512 + 1);
	for (i = 0; i < 513; i++)
		igt_assert_eq(got[i].read_mostly, !(i & 1));
	munmap(p, len);
	attr_expect_none(set, p, len);
}

static void unmapped(struct vsvm_set *set)
{
	char *p = anon(8 * SZ_4K);

	attr_set(set, p, 8 * SZ_4K, read_mostly);
	munmap(p + 2 * SZ_4K, 2 * SZ_4K);
	igt_assert_eq(attr_at(set, p, 2 * SZ_4K).read_mostly, 1);
	attr_expect_none(set, p + 2 * SZ_4K, 2 * SZ_4K);
	igt_assert_eq(attr_at(set, p + 4 * SZ_4K, 4 * SZ_4K).read_mostly, 1);
	/* New memory in the same place is new. */
	igt_assert(mmap(p, 8 * SZ_4K, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	attr_expect_none(set, p, 8 * SZ_4K);
	munmap(p, 8 * SZ_4K);
}

static void moved(struct vsvm_set *set)
{
	char *p = anon(8 * SZ_4K), *to = anon(8 * SZ_4K), *q;

	memset(p, 1, 8 * SZ_4K);
	attr_set(set, p, 8 * SZ_4K, read_mostly);
	attr_set(set, to, 8 * SZ_4K, attr_no_access(set, 0, true));
	q = mremap(p, 8 * SZ_4K, 8 * SZ_4K, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	igt_assert(q == to);
	/* Neither those of what moved nor those of what was there. */
	attr_expect_none(set, p, 8 * SZ_4K);
	attr_expect_none(set, to, 8 * SZ_4K);

	/* What is cut off goes, what grows says nothing. */
	attr_set(set, to, 8 * SZ_4K, read_mostly);
	igt_assert(mremap(to, 8 * SZ_4K, 4 * SZ_4K, 0) == to);
	igt_assert_eq(attr_at(set, to, 4 * SZ_4K).read_mostly, 1);
	if (mremap(to, 4 * SZ_4K, 6 * SZ_4K, 0) == to)
		attr_expect_none(set, to + 4 * SZ_4K, 2 * SZ_4K);
	munmap(to, 8 * SZ_4K);
}

/* The VMA stays in the old place, what was in it does not. */
static void moved_out(struct vsvm_set *set)
{
	char *p = anon(8 * SZ_4K), *q;

	memset(p, 1, 8 * SZ_4K);
	attr_set(set, p, 8 * SZ_4K, read_mostly);
	q = mremap(p, 4 * SZ_4K, 4 * SZ_4K, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
		   NULL);
	igt_assert(q != MAP_FAILED && q != p);
	attr_expect_none(set, p, 4 * SZ_4K);
	attr_expect_none(set, q, 4 * SZ_4K);
	igt_assert_eq(attr_at(set, p + 4 * SZ_4K, 4 * SZ_4K).read_mostly, 1);
	munmap(q, 4 * SZ_4K);
	munmap(p, 8 * SZ_4K);
}

#define HUGE_PAGES "/proc/sys/vm/nr_hugepages"

/* Huge pages are moved by other functions of the kernel. */
static void moved_huge(struct vsvm_set *set)
{
	long before = file_number(HUGE_PAGES);
	char text[32], *p, *to;

	snprintf(text, sizeof(text), "%ld", before + 2);
	igt_require_f(before >= 0 && file_write(HUGE_PAGES, text),
		      "no hugetlbfs\n");
	p = mmap(NULL, 2 * SZ_2M, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (p != MAP_FAILED) {
		memset(p, 1, 2 * SZ_2M);
		attr_set(set, p, 2 * SZ_2M, read_mostly);
		to = anon_aligned(SZ_2M, SZ_2M);
		igt_assert(mremap(p, SZ_2M, SZ_2M, MREMAP_MAYMOVE | MREMAP_FIXED,
				  to) == to);
		attr_expect_none(set, p, SZ_2M);
		attr_expect_none(set, to, SZ_2M);
		igt_assert_eq(attr_at(set, p + SZ_2M, SZ_2M).read_mostly, 1);
		munmap(to, SZ_2M);
		munmap(p + SZ_2M, SZ_2M);
	}
	snprintf(text, sizeof(text), "%ld", before);
	file_write(HUGE_PAGES, text);
	igt_require_f(p != MAP_FAILED, "no huge pages\n");
}

/* The heap is cut and grows again. */
static void heap(struct vsvm_set *set)
{
	char *old = sbrk(0);
	char *p = (char *)((to_u64(old) + SZ_4K - 1) & ~(SZ_4K - 1UL));

	igt_assert(!brk(p + 8 * SZ_4K));
	attr_set(set, p, 8 * SZ_4K, read_mostly);
	igt_assert(!brk(p + 4 * SZ_4K));
	igt_assert_eq(attr_at(set, p, 4 * SZ_4K).read_mostly, 1);
	attr_expect_none(set, p + 4 * SZ_4K, 4 * SZ_4K);
	igt_assert(!brk(p + 8 * SZ_4K));
	attr_expect_none(set, p + 4 * SZ_4K, 4 * SZ_4K);
	igt_assert(!brk(old));
	attr_expect_none(set, p, 8 * SZ_4K);
}

/* Said about one VM only, which goes: the memory it took is given back. */
static void given_back(struct vsvm_set *set)
{
	uint32_t vm = vsvm_vm_create(set->fd[0], DRM_VSVM_VM_LAYOUT_MSVM);
	struct drm_vsvm_attr attr = attr_accessed_by(set, 0, true);
	int64_t deadline = vsvm_deadline(60);
	size_t len = 400 * SZ_4K;
	uint64_t before, after;
	char *p = anon(len);
	unsigned int i;

	/* What there is for the first one stays. */
	attr_set(set, p, SZ_4K, read_mostly);
	before = vsvm_stats(set->fd[0], set->vm[0]).bytes;
	attr.vm_id = vm;
	for (i = 2; i < 400; i += 2)
		attr_set(set, p + i * SZ_4K, SZ_4K, attr);
	after = vsvm_stats(set->fd[0], set->vm[0]).bytes;
	igt_assert(after > before + 100 * 64);
	igt_assert(!vsvm_vm_destroy(set->fd[0], vm));
	attr_expect_none(set, p + SZ_4K, len - SZ_4K);
	while ((after = vsvm_stats(set->fd[0], set->vm[0]).bytes) >
	       before + 10 * 64)
		igt_assert_f(vsvm_now() < deadline, "%llu bytes of %llu\n",
			     (unsigned long long)after,
			     (unsigned long long)before);
	munmap(p, len);
}

/* With the last VM all goes that was said. */
static void last_member(struct vsvm_set *set)
{
	char *p = anon(SZ_4K);
	int gpu;

	attr_set(set, p, SZ_4K, read_mostly);
	for (gpu = 0; gpu < set->n; gpu++)
		igt_assert(!vsvm_vm_destroy(set->fd[gpu], set->vm[gpu]));
	for (gpu = 0; gpu < set->n; gpu++)
		set->vm[gpu] = vsvm_vm_create(set->fd[gpu],
					      DRM_VSVM_VM_LAYOUT_MSVM);
	attr_expect_none(set, p, SZ_4K);
	munmap(p, SZ_4K);
}

/* Contents go, the memory does not. */
static void emptied(struct vsvm_set *set)
{
	char *p = anon_aligned(SZ_2M, SZ_2M);

	memset(p, 1, SZ_2M);
	attr_set(set, p, SZ_2M, read_mostly);
	vsvm_gpu_load(set, 0, p);
	igt_assert(!madvise(p, SZ_2M, MADV_DONTNEED));
	igt_assert_eq(attr_at(set, p, SZ_2M).read_mostly, 1);
	memset(p, 1, SZ_2M);
	madvise(p, SZ_2M, MADV_FREE);
	madvise(p, SZ_2M, MADV_PAGEOUT);
	igt_assert(!mprotect(p, SZ_2M, PROT_NONE));
	igt_assert(!mprotect(p, SZ_2M, PROT_READ | PROT_WRITE));
	igt_assert_eq(attr_at(set, p, SZ_2M).read_mostly, 1);
	munmap(p, SZ_2M);
}

/* A child's memory is another's. */
static void forked(struct vsvm_set *set)
{
	char *p = anon(4 * SZ_4K);
	pid_t pid;

	attr_set(set, p, 4 * SZ_4K, read_mostly);
	attr_set(set, p, 4 * SZ_4K, attr_no_access(set, 0, true));
	pid = fork();
	if (!pid) {
		struct vsvm_set child = { .n = 1 };

		child_asserts_exit();
		child.fd[0] = dup(set->fd[0]);
		child.vm[0] = vsvm_vm_create(child.fd[0],
					     DRM_VSVM_VM_LAYOUT_MSVM);
		attr_expect_none(&child, p, 4 * SZ_4K);
		igt_assert_eq_u64(vsvm_gpu_load(&child, 0, p), 0);
		/* And by the parent's VM it can say nothing. */
		igt_assert_eq(attr_try(set, p, SZ_4K, read_mostly), -EPERM);
		attr_set(&child, p, SZ_4K, attr_of(DRM_VSVM_ATTR_PREFETCH, 1));
		munmap(p, 2 * SZ_4K);
		/* Ended with attributes set, its VM there and gone. */
		if (set->n > 1)
			execl("/bin/true", "true", NULL);
		_exit(0);
	}
	igt_assert(pid > 0);
	igt_assert_eq(wait_child(pid), 0);
	igt_assert_eq(attr_at(set, p, 4 * SZ_4K).read_mostly, 1);
	igt_assert_eq_u64(attr_at(set, p, 4 * SZ_4K).no_access, 1);
	munmap(p, 4 * SZ_4K);
}

/* An interval as debugfs shows it. */
struct line {
	uint64_t start, end, accessed_by, no_access;
	char preferred[16], read_mostly[16], granularity[16], prefetch[16],
	     atomics[16];
};

/* All of the process's. Return: how many. */
static unsigned int lines_read(uint32_t id, struct line *lines, unsigned int max)
{
	char path[64], *buf = malloc(SZ_2M), *row;
	unsigned int n = 0;

	snprintf(path, sizeof(path), "%u/attributes", id);
	igt_assert(debugfs_read(path, buf, SZ_2M));
	igt_assert(!strncmp(buf, "start", 5));
	for (row = strchr(buf, '\n') + 1; *row; row = strchr(row, '\n') + 1) {
		struct line *l = &lines[n++];

		igt_assert(n <= max);
		igt_assert_f(sscanf(row, "%lx-%lx %15s %lx %lx %15s %15s %15s %15s\n",
				    &l->start, &l->end, l->preferred,
				    &l->accessed_by, &l->no_access,
				    l->read_mostly, l->granularity, l->prefetch,
				    l->atomics) == 9, "%s\n", row);
	}
	free(buf);
	return n;
}

static void line_expect(const struct line *line, const char *p, size_t len,
			uint64_t accessed_by, uint64_t no_access,
			const char *rest)
{
	char is[128];

	snprintf(is, sizeof(is), "%s %s %s %s %s", line->preferred,
		 line->read_mostly, line->granularity, line->prefetch,
		 line->atomics);
	igt_assert_eq_u64(line->start, to_u64(p));
	igt_assert_eq_u64(line->end, to_u64(p) + len);
	igt_assert_eq_u64(line->accessed_by, accessed_by);
	igt_assert_eq_u64(line->no_access, no_access);
	igt_assert_f(!strcmp(is, rest), "'%s', not '%s'\n", is, rest);
}

/* debugfs shows all there are, in order, however many. */
static void shown(struct vsvm_set *set)
{
	uint32_t id = vsvm_stats(set->fd[0], set->vm[0]).context_id;
	struct line *lines = calloc(2048, sizeof(*lines));
	char *p = anon_aligned(SZ_2M * 16, SZ_2M);
	int n = vsvm_scale(2000, 300), i;

	igt_assert_eq(lines_read(id, lines, 2048), 0);
	attr_set(set, p, SZ_4K, attr_preferred(set, PREFER_SYSTEM));
	igt_assert_eq(lines_read(id, lines, 2048), 1);
	line_expect(&lines[0], p, SZ_4K, 0, 0, "system - - - -");
	attr_set(set, p, SZ_64K, attr_of(DRM_VSVM_ATTR_GRANULARITY, 16));
	attr_set(set, p + SZ_64K, SZ_64K, attr_of(DRM_VSVM_ATTR_READ_MOSTLY, 1));
	attr_set(set, p + SZ_64K, SZ_64K, attr_no_access(set, 0, true));
	attr_set(set, p + SZ_2M, SZ_4K,
		 attr_accessed_by(set, set->n - 1, true));
	attr_set(set, p + SZ_2M, SZ_4K,
		 attr_of(DRM_VSVM_ATTR_ATOMICS, DRM_VSVM_ATOMICS_DEVICE));
	attr_set(set, p + SZ_2M, SZ_4K,
		 attr_of(DRM_VSVM_ATTR_PREFETCH, DRM_VSVM_PREFETCH_TREE));
	igt_assert_eq(lines_read(id, lines, 2048), 4);
	line_expect(&lines[0], p, SZ_4K, 0, 0, "system - 64K - -");
	line_expect(&lines[1], p + SZ_4K, SZ_64K - SZ_4K, 0, 0, "- - 64K - -");
	line_expect(&lines[2], p + SZ_64K, SZ_64K, 0, 1, "- yes - - -");
	line_expect(&lines[3], p + SZ_2M, SZ_4K, 1ULL << (set->n - 1), 0,
		    "- - - tree device");
	munmap(p, 2 * SZ_2M);
	igt_assert_eq(lines_read(id, lines, 2048), 0);

	/* More than a read takes. */
	p += 2 * SZ_2M;
	for (i = 0; i < n; i++)
		attr_set(set, p + 2 * i * SZ_4K, SZ_4K,
			 attr_of(DRM_VSVM_ATTR_PREFETCH, 1 + i % 2));
	igt_assert_eq(lines_read(id, lines, 2048), n);
	for (i = 0; i < n; i++)
		line_expect(&lines[i], p + 2 * i * SZ_4K, SZ_4K, 0, 0,
			    i % 2 ? "- - - block -" : "- - - none -");
	munmap(p, 14 * SZ_2M);
	free(lines);
}

igt_main
{
	each_made("random", "Random changes and memory operations, against a model.",
		  MSVM_ONLY, VRAM, random_run);
	each("holes", "Many holes, one right after another.", MSVM_ONLY, holes);
	each("unmapped", "What is unmapped loses its attributes.", MSVM_ONLY,
	     unmapped);
	each("moved", "mremap() takes none along and leaves none.", MSVM_ONLY,
	     moved);
	each("moved-out", "Nor if the VMA stays.", MSVM_ONLY, moved_out);
	each("moved-huge", "Nor of huge pages.", MSVM_ONLY, moved_huge);
	each("heap", "brk() drops and gives none.", MSVM_ONLY, heap);
	each("given-back", "What was said about a VM that goes takes no memory.",
	     MSVM_ONLY, given_back);
	each("last-member", "All goes with the last VM.", MSVM_ONLY, last_member);
	each("emptied", "madvise(), mprotect() and reclaim keep them.", MSVM_ONLY,
	     emptied);
	each("shown", "debugfs shows them all.", MSVM_ONLY, shown);
	each("forked", "A child has none; exec ends it.", MSVM_ONLY, forked);

	igt_fixture {
		gpus_remove();
	}
}
