// SPDX-License-Identifier: MIT
/*
 * Bindings in the stress: memory that is bound explicitly for one or two GPUs, used by
 * that, and let go of, while the background takes it away as it does with all memory.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "igt_compat.h"
#include "stress.h"
#include "userptr.h"

/* It is all of the interval that counts: its mappings come before its pages. */
static int expected(const struct stress_span *span, bool write)
{
	const struct stress_view *v = span->view;
	unsigned int p, end = span->first + span->n;

	for (p = span->first; p < end; p++) {
		if (v->prot[p] == STRESS_UNMAPPED)
			return -EFAULT;
		if (!(v->prot[p] & (write ? PROT_WRITE : PROT_READ)))
			return -EACCES;
	}
	for (p = span->first; p < end; p++)
		if (stress_access(v, p, write))
			return -EFAULT;
	return 0;
}

/* A GPU writes a part of it. */
static void fill(struct stress *s, int gpu, const struct stress_span *span)
{
	unsigned int page = span->first + stress_below(s, span->n);
	unsigned int from = stress_below(s, SZ_4K);
	unsigned int len = 1 + stress_below(s, SZ_4K - from);
	unsigned char value = stress_below(s, 256);
	struct drm_vsvm_cmd cmd = vsvm_fill(stress_addr(span->view, page) + from,
					    value, len);
	int err;

	memset(stress_shadow(span->view, page) + from, value, len);
	err = stress_job_sync(s, gpu, cmd).status;
	stress_check(s, !err, "writing what is bound: %s\n", strerror(-err));
}

void stress_bind(struct stress *s)
{
	struct stress_span span = stress_span(s, 64);
	char *p = stress_addr(span.view, span.first);
	int gpus[] = { stress_gpu(s), stress_gpu(s) }, i, n, ret;
	bool write = stress_below(s, 2);
	int expect = expected(&span, write);

	if (!stress_span_idle(&span, true))
		return;
	n = gpus[0] == gpus[1] ? 1 : 2;
	stress_note(s, "GPUs %d and %d bind %s pages %u+%u, write %d", gpus[0],
		    gpus[1], span.view->name, span.first, span.n, write);
	stress_verb(expect ? STRESS_VERB_BIND_FAILS : STRESS_VERB_BIND);
	for (i = 0; i < n; i++) {
		ret = userptr_try_bind(&s->set, gpus[i], p, span.n * SZ_4K,
				       write ? 0 : READ_ONLY);
		stress_check(s, ret == expect, "bind: %s, expected %s\n",
			     strerror(-ret), strerror(-expect));
	}
	if (expect)
		return;
	if (write)
		fill(s, gpus[n - 1], &span);
	stress_check_gpu(s, gpus[0], &span);
	/* Swapped out where it can be: the binding has to come back. */
	if (stress_below(s, 2))
		madvise(p, span.n * SZ_4K, MADV_PAGEOUT);
	stress_check_gpu(s, gpus[n - 1], &span);
	stress_check_cpu(s, &span);
	for (i = 0; i < n; i++) {
		ret = userptr_try_unbind(&s->set, gpus[i], p, span.n * SZ_4K);
		stress_check(s, !ret, "unbind: %s\n", strerror(-ret));
	}
}
