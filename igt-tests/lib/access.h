/* SPDX-License-Identifier: MIT */
/*
 * Ways to access memory: one job after the other, many at once, from threads and
 * processes; on memory of any kind (kinds.h).
 */
#ifndef LIB_ACCESS_H
#define LIB_ACCESS_H

#include "kinds.h"

/* GPUs that it takes. */
#define USE_GPUS 4
#define USE_MAX 64

/**
 * struct pattern - A way to access memory.
 * @name: Part of the subtest's name.
 * @len: Memory it needs.
 * @stride: Bytes between two accesses.
 * @accesses: Accesses of a round.
 * @rounds: Rounds, between which @kind.next comes.
 * @how: Who does it.
 */
struct pattern {
	const char *name;
	size_t len;
	size_t stride;
	int accesses;
	int rounds;
	enum {
		ONE,		/* one job after the other, GPUs in turn */
		ENGINES,	/* all engines of all GPUs at once */
		QUEUES,		/* likewise, of several VMs on each GPU */
		PARTIAL,	/* half of it first, then all */
		THREADS,	/* threads, a VM each */
		THREADS_SHARED,	/* threads, one VM */
		PROCESSES,	/* children, GPUs and VMs each */
	} how;
};

/**
 * struct use - Memory of a kind, in use by a pattern.
 * @kind: As it is had.
 * @pattern: As it is accessed.
 * @p: All of it, unless each job has its own.
 * @bound: Memory that is bound explicitly on all GPUs, or NULL.
 * @at: Where each access goes.
 * @value: What it leaves there.
 */
extern struct use {
	const struct kind *kind;
	const struct pattern *pattern;
	char *p;
	uint64_t *bound;
	char *at[USE_MAX];
	uint64_t value[USE_MAX];
} use;

/* Its GPUs. */
extern struct vsvm_set use_set;

bool use_each_job(void);
int use_nr_pieces(void);
size_t use_piece_len(void);
char *use_piece(int i);
void use_get(void);
void use_put(void);
void use_next(void);

void use_prepare(bool touch);
void use_access(int round);
void use_finish(void);

uint64_t use_submit(int gpu, uint32_t vm, int engine, int k, int round);
void use_wait(int gpu, uint32_t vm, uint64_t job);
void use_access_one(int first, int end, int round);
void use_check_all(int first, int end);

void use_child_set(bool made);
void use_in_children(int n, void (*fn)(int id));

#endif /* LIB_ACCESS_H */
