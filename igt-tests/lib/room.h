/* SPDX-License-Identifier: MIT */
/*
 * A room: memory that nobody serves until told (userfaultfd), and jobs of several
 * engines in it, whose faults can be counted while they wait.
 */
#ifndef LIB_ROOM_H
#define LIB_ROOM_H

#include "vsvm.h"

/* Engines of each GPU. */
#define ENGINES 4
#define MAX_JOBS (VSVM_MAX_SET * ENGINES)

/**
 * struct room - Memory that nobody serves until told, and jobs in it.
 * @uffd: Serves @p.
 * @p: The memory.
 * @len: Its length.
 * @served: What it is served with.
 * @results: A u64 for each job; every GPU has it mapped.
 * @id: Number of the address space.
 */
struct room {
	int uffd;
	char *p;
	size_t len;
	char *served;
	uint64_t *results;
	uint32_t id;
};

extern struct room room;

void room_make(struct vsvm_set *set, size_t len, size_t align, int prot);
void room_free(void);
void room_serve(size_t offset, size_t len);

uint64_t stat_of(const char *name);
void wait_stat(const char *name, uint64_t value);

uint64_t submit(struct vsvm_set *set, int gpu, uint32_t vm, int engine,
		struct drm_vsvm_cmd cmd);
struct drm_vsvm_cmd load(size_t offset, int k);
void expect_loaded(size_t offset, int k);
void go_while_faulting(struct vsvm_set *set);
void expect_pending(struct vsvm_set *set, int gpu, uint32_t vm, uint64_t job);

#endif /* LIB_ROOM_H */
