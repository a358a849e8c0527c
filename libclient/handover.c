/* SPDX-License-Identifier: MIT */
/*
 * handover.c - the size of a round, and whether it pays to offer the core in the middle of it.
 */
#include "handover.h"

#define ROUND_MOST  1024u    /* with more sockets than that both hosts are busy in any case */
#define NOBODY_NS   1000u    /* a worker's turn takes longer */
#define SLICE_NS    700000u  /* shortest time slice of a kernel; a worker answers sooner */
#define PAUSE_LEAST 64u      /* submissions */
#define PAUSE_SLICE 4096u
#define PAUSE_MOST  (1u << 18)

void handover_count(struct handover *h, uint32_t slot)
{
	if (h->rest)
		h->rest--;
	h->since++;
	if (h->since == 1) {
		/* Another socket each round: one of them may be of another pace than most. */
		h->mark = slot;
	} else if (slot == h->mark) {
		uint32_t round = h->since - 1;

		h->round = h->round ? (3 * h->round + round + 2) / 4 : round;
		h->since = 0;
	} else if (h->since > ROUND_MOST) {
		h->round = h->since = 0;
	}
}

void handover_done(struct handover *h, uint64_t away_ns, bool taken)
{
	if (taken && away_ns >= NOBODY_NS && away_ns < SLICE_NS) {
		h->pause -= (h->pause + 7) / 8;
		return;
	}
	if (away_ns >= SLICE_NS)
		h->pause = h->pause < PAUSE_SLICE / 16 ? PAUSE_SLICE : 16 * h->pause;
	else
		h->pause = h->pause < PAUSE_LEAST / 2 ? PAUSE_LEAST : 2 * h->pause;
	if (h->pause > PAUSE_MOST)
		h->pause = PAUSE_MOST;
	h->rest = h->pause;
}
