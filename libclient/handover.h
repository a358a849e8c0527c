/* SPDX-License-Identifier: MIT */
/*
 * handover.h - when a thread that goes on submitting lets its worker have the core first.
 *
 * Where both share a core, a program that answers many sockets in a row answers all of them before
 * the worker sends the first, and then the other host works while this one waits: only one of the
 * two ever computes. If the worker runs in mid-way, both do. So the core is offered after half of a
 * usual round, a round being the submissions from one of a socket to its next. More parts than two
 * cost more sends and gain nothing: with two there is always one on either host.
 *
 * What it brings is seen from how long the others had the core. Nobody ran: the worker has a core
 * of its own, or sleeps; then it is not offered for a while, each time for longer. A time slice
 * passed: somebody computes there (see daemon/idle.c), and the pauses are long.
 *
 * Ownership: the struct is the caller's; all zero is a good start.
 * Threading: one thread at a time; a port's is under its sq_lock.
 */
#ifndef NC_HANDOVER_H
#define NC_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#define HANDOVER_ROUND_LEAST 8u /* with fewer sockets the parts cost more than they bring */

struct handover {
	uint32_t mark;  /* the slot whose next submission ends the round */
	uint32_t since; /* submissions of this round */
	uint32_t round; /* of a usual one; 0: not known */
	uint32_t rest;  /* submissions until the core may be offered again */
	uint32_t pause; /* what rest was last */
};

/* Counts a submission for @slot. */
void handover_count(struct handover *h, uint32_t slot);

/* How many submissions not taken by the worker are worth offering it the core; UINT32_MAX: none. */
static inline uint32_t handover_due(const struct handover *h)
{
	if (h->rest || h->round < HANDOVER_ROUND_LEAST)
		return UINT32_MAX;
	return (h->round + 1) / 2;
}

/* It was offered: the others had it for @away_ns, and the worker has @taken submissions. */
void handover_done(struct handover *h, uint64_t away_ns, bool taken);

#endif /* NC_HANDOVER_H */
