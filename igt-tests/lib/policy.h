/* SPDX-License-Identifier: MIT */
/*
 * Verbs of the tests of policies: the default policy in configfs, what the library
 * counts of its effects, decisions and other events in the trace, and what is pinned.
 */
#ifndef LIB_POLICY_H
#define LIB_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vsvm.h"

/* A trace event msvm_place. */
struct placed {
	unsigned long long serial;
	char placement[24];
	char action[16];
	char reason[24];
};

bool policy_try(const char *file, const char *value);
void policy_set(const char *file, const char *value);
void policy_number(const char *file, unsigned int value);
void policy_restore(void);

/* Numbers that no test has to wait for: what moves, moves at once. */
void policy_restless(void);

void gpu_touch(struct vsvm_set *set, int gpu, void *p);
uint64_t gpu_faults(struct vsvm_set *set, int gpu);
uint64_t policy_count(struct vsvm_set *set, const char *name);
void policy_wait(struct vsvm_set *set, const char *name, uint64_t value);
void gpus_drop(struct vsvm_set *set);
void gpu_node(struct vsvm_set *set, int gpu, char *name, size_t size);
void policy_pinned(struct vsvm_set *set, const void *p, char *at, char *ms);

void placed_start(void);
unsigned int placed_stop(void (*fn)(const struct placed *placed));

/* Other trace events of the library, by name; up to so many of one kind. */
#define EVENTS_MOST	256

void events_start(const char * const *names);
unsigned int events_read(const char *name, char (*text)[128]);
unsigned int events_stop(const char * const *names, const char *name,
			 char (*text)[128]);

#endif /* LIB_POLICY_H */
