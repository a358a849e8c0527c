/* SPDX-License-Identifier: MIT */
/*
 * placement.h - the worker that an application's new streams go to: one that has time for them.
 *
 * New applications begin at the worker that was busy for the least of the last second, and while
 * one is overloaded its applications are sent on, one a second, with what they open from then on.
 * For streams that are open see moves_policy.h.
 *
 * Ownership: the struct is the caller's. Threading: control.
 */
#ifndef NCD_PLACEMENT_H
#define NCD_PLACEMENT_H

#include <stdint.h>

#include "ncd/limits.h"

struct placement {
	struct {
		uint64_t idle_ns; /* when it was looked at last */
		uint32_t busy;    /* permille of the time between the last two looks */
		uint32_t clients; /* that begin there */
	} worker[NCD_WORKERS_MAX];
	uint32_t nr; /* of workers */
};

/* @worker has been idle for @idle_ns since it started, and was looked at @passed_ns ago. */
void placement_look(struct placement *p, uint32_t worker, uint64_t idle_ns, uint64_t passed_ns);
/* Where a new application begins: of those that are about as busy, the one with the fewest. */
uint32_t placement_add(struct placement *p);
void placement_remove(struct placement *p, uint32_t worker);
/* Where one of the applications of @worker goes on; @worker: it stays. */
uint32_t placement_move(struct placement *p, uint32_t worker);

#endif /* NCD_PLACEMENT_H */
