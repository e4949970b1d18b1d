/* SPDX-License-Identifier: MIT */
/*
 * What goes on beside jobs in the same pages, see kinds.h: CPU threads, or other
 * engines' jobs.
 */
#ifndef LIB_BESIDE_H
#define LIB_BESIDE_H

#include <stddef.h>
#include <stdint.h>

#include "vsvm.h"

void race_start(struct vsvm_set *set, char *p, size_t len, uint64_t was);
void race_end(struct vsvm_set *set);
void faults_start(struct vsvm_set *set, char *p, size_t len, uint64_t was);
void faults_end(struct vsvm_set *set);

#endif /* LIB_BESIDE_H */
