/* SPDX-License-Identifier: MIT */
/*
 * moves_policy.h - whether a worker lets open streams go, and to which other one.
 *
 * One that has been overloaded for a second, while another had time. What could not go (its program
 * or its peer is of an older version, the other end's worker has no memory) is not asked again at
 * once: a worker none of whose streams went is left alone for 3 s, twice as long each time, up to a
 * minute; each time a little longer or shorter at random, since where both hosts let the same
 * stream go at once both refuse.
 *
 * Ownership: the struct is the caller's; zero is new. Threading: control.
 */
#ifndef NCD_MOVES_POLICY_H
#define NCD_MOVES_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "ncd/limits.h"

#include "placement.h"

struct moves_policy {
	struct {
		uint64_t until_ns; /* left alone */
		uint32_t wait_s;   /* for so long, the last time; 0: something went */
	} worker[NCD_WORKERS_MAX];
};

/*
 * Behind placement_look() of all workers: true if streams are to go, from *ret_from to *ret_to.
 * @busy_percent as [workers] move_busy.
 */
bool moves_policy_look(const struct moves_policy *m, const struct placement *p,
		       uint32_t busy_percent, uint64_t now_ns, uint32_t *ret_from,
		       uint32_t *ret_to);
/* A stream of @from, which was to go, @went, or did not; @random is any number. */
void moves_policy_told(struct moves_policy *m, uint32_t from, bool went, uint64_t now_ns,
		       uint32_t random);

#endif /* NCD_MOVES_POLICY_H */
