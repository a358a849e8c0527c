/* SPDX-License-Identifier: MIT */
/*
 * rate.h - something that moves so many bytes a second for all who use it: a link, a memory.
 *
 * Who uses it comes in the order of events, whose times go to and fro by the length of a turn. So
 * the capacity is counted in short windows: what does not fit into one goes to the next.
 *
 * Ownership: init and fini by the owner.
 */
#ifndef SCALE_RATE_H
#define SCALE_RATE_H

#include <stdint.h>

struct rate {
	uint64_t window_bytes; /* 0: no bound */
	uint64_t *used;        /* RATE_WINDOWS, by number of the window */
	uint64_t *number;
	uint64_t total;
};

/* 0 or -ENOMEM. */
int rate_init(struct rate *r, uint64_t bytes_per_s);
void rate_fini(struct rate *r);
/* @bytes from @now_ns on: when the last of them is through. */
uint64_t rate_take(struct rate *r, uint64_t now_ns, uint64_t bytes);

#endif /* SCALE_RATE_H */
