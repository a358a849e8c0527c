/* SPDX-License-Identifier: MIT */
/*
 * slice.h - a worker's time slice is short while round trips pass beside bulk.
 *
 * Where all cores are busy whoever is woken waits for the slice of whoever computes, milliseconds.
 * Since Linux 6.12 (EEVDF) a thread may ask for a shorter slice of its own (sched_setattr(2),
 * sched_runtime): it has no more of the core by it, but goes first when it is woken, and lets
 * others go first the sooner. So it is for a worker on whose core programs copy bulk while a
 * message comes; without bulk it only costs switches, without messages it only cuts bulk in pieces.
 *
 * Older kernels, a thread that the administrator has given another policy (SCHED_FIFO), and a
 * filter that forbids the call: nothing happens.
 *
 * Ownership: the caller's memory. Threading: that of the thread whose slice it is.
 */
#ifndef NCD_SLICE_H
#define NCD_SLICE_H

#include <stdbool.h>
#include <stdint.h>

#define SLICE_LEAST_NS 100000u /* the kernel has no shorter one */

struct slice {
	uint64_t short_ns; /* 0: never */
	uint64_t usual_ns; /* while it is short */
	uint64_t since_ns; /* both pass; 0: they do not */
	uint64_t until_ns; /* nothing changes before */
	bool is_short;
};

/*
 * Round trips passed last at @latency_ns, bulk at @bulk_ns; 0: never yet. It is short once both
 * have passed for a while, and stays so for a while.
 */
void slice_follow(struct slice *s, uint64_t latency_ns, uint64_t bulk_ns, uint64_t now_ns);

/* @ns for the calling thread; *ret_was is what it had. Returns 0 or -errno (-EOPNOTSUPP: an older
 * kernel, or another policy). */
int slice_set(uint64_t ns, uint64_t *ret_was);

#endif /* NCD_SLICE_H */
