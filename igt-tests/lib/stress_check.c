// SPDX-License-Identifier: MIT
/*
 * Comparison of the stress's memory with the model, as the CPU sees it and as a
 * GPU sees it.
 */
#include <string.h>

#include "igt_compat.h"
#include "stress.h"

static void compare(struct stress *s, const char *who, struct stress_view *v,
		    unsigned int page, const char *seen)
{
	const unsigned char *expect = stress_shadow(v, page);
	unsigned int i;

	if (!memcmp(seen, expect, SZ_4K))
		return;
	for (i = 0; (unsigned char)seen[i] == expect[i]; i++)
		;
	stress_fail(s, "%s sees %#x at %p (%s page %u, byte %u), expected %#x\n",
		    who, (unsigned char)seen[i],
		    (void *)(stress_addr(v, page) + i), v->name, page, i,
		    expect[i]);
}

/* No job is writing there, and there is something to read. */
static bool readable(const struct stress_view *v, unsigned int page)
{
	return !v->island[page] && !stress_access(v, page, false) &&
	       !v->back->writers[v->map[page]];
}

void stress_check_cpu(struct stress *s, const struct stress_span *span)
{
	unsigned int p;

	for (p = span->first; p < span->first + span->n; p++)
		if (readable(span->view, p))
			compare(s, "the CPU", span->view, p,
				stress_addr(span->view, p));
}

void stress_check_gpu(struct stress *s, int gpu, const struct stress_span *span)
{
	unsigned int p = span->first, end = p + span->n, n, i;
	struct stress_view *v = span->view;
	struct drm_vsvm_wait w;
	struct drm_vsvm_cmd cmd;
	char who[16];

	snprintf(who, sizeof(who), "GPU %d", gpu);
	for (; p < end; p += n) {
		for (n = 0; n < STRESS_OUT_PAGES && p + n < end &&
		     readable(v, p + n); n++)
			;
		if (!n) {
			n = 1;
			continue;
		}
		cmd = vsvm_copy(s->out, stress_addr(v, p), n * SZ_4K);
		/* Jobs that wait for values may be under way. */
		w = stress_job_sync(s, gpu, cmd);
		stress_check(s, !w.status,
			     "GPU %d cannot read %#llx (%s page %u): %s\n", gpu,
			     (unsigned long long)w.fault_addr, v->name, p,
			     strerror(-w.status));
		for (i = 0; i < n; i++)
			compare(s, who, v, p + i, s->out + i * SZ_4K);
	}
}

/* Every byte, by the CPU and by one of the GPUs. */
void stress_check_all(struct stress *s)
{
	int i, gpu = stress_gpu(s);

	stress_note(s, "full check by GPU %d", gpu);
	stress_verb(STRESS_VERB_FULL_CHECK);
	stress_job_wait_gpu(s, -1);
	stress_vram_check(s);
	for (i = 0; i < s->nr_views; i++) {
		struct stress_span span = {
			.view = &s->views[i], .n = s->views[i].pages,
		};

		if (stress_below(s, 2)) {
			stress_check_cpu(s, &span);
			stress_check_gpu(s, gpu, &span);
		} else {
			stress_check_gpu(s, gpu, &span);
			stress_check_cpu(s, &span);
		}
	}
}
