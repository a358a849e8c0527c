/* SPDX-License-Identifier: MIT */
/*
 * ratio.h - pairs of measurements (A, B), taken one after the other, and what they say together.
 *
 * Ownership: the caller's memory.
 * Threading: none.
 */
#ifndef PERF_RATIO_H
#define PERF_RATIO_H

#include <stdbool.h>
#include <stddef.h>

#define RATIO_PAIRS_MAX 1000

struct ratio_pair {
	double a;
	double b;
};

enum ratio_winner {
	RATIO_UNDECIDED, /* the pairs disagree */
	RATIO_A,         /* better in every pair */
	RATIO_B,
};

struct ratio_summary {
	double median; /* of b / a of each pair; NAN if no pair has one */
	double min;
	double max;
	size_t b_better_nr; /* pairs */
	size_t a_better_nr;
	enum ratio_winner winner;
};

/* The middle value of @values, or the mean of the two middle ones; sorts them. @nr at least 1. */
double ratio_median(double *values, size_t nr);

/* b / a; NAN where a is 0 or either is NAN. */
double ratio_of(const struct ratio_pair *pair);

/* Returns 0, or -EINVAL if @nr is 0 or above RATIO_PAIRS_MAX. */
int ratio_summarise(const struct ratio_pair *pairs, size_t nr, bool higher_is_better,
		    struct ratio_summary *ret_summary);

#endif /* PERF_RATIO_H */
