/* SPDX-License-Identifier: MIT */
/*
 * pattern.h - what the bytes of a flow are, so that the receiver can tell loss, repetition,
 * reordering and a mix-up of flows or directions from what it reads.
 *
 * The byte stream of a direction is a sequence of 64-bit words; word i is seed + i * an odd
 * constant, and the seed comes from session, flow and direction. So a byte is wrong if it is not
 * at its own offset of its own flow, however the stream was cut into pieces.
 *
 *   whole   every byte is written and checked
 *   sparse  only the first word of every 4096 bytes is: what an application that hardly looks at
 *           its data does; still finds lost, repeated and swapped pages
 *
 * Ownership: none. Threading: none.
 */
#ifndef PERF_PATTERN_H
#define PERF_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_STRIDE 4096u

enum pattern_direction {
	PATTERN_TO_SERVER = 1,
	PATTERN_TO_CLIENT = 2,
};

struct pattern {
	uint64_t seed;
	bool whole;
};

struct pattern pattern_make(uint64_t session, uint32_t flow, enum pattern_direction dir,
			    bool whole);

/* Writes into @buf what belongs at @off of the stream; sparse: only the words that are checked. */
void pattern_fill(const struct pattern *p, uint64_t off, void *buf, size_t len);

/* Whether @buf is what belongs at @off. */
bool pattern_check(const struct pattern *p, uint64_t off, const void *buf, size_t len);

#endif /* PERF_PATTERN_H */
