/* SPDX-License-Identifier: MIT */
/* ratio.c - median, spread and winner of pairs of measurements. */
#include "ratio.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static int double_compare(const void *left, const void *right)
{
	double l = *(const double *)left, r = *(const double *)right;

	return (l > r) - (l < r);
}

double ratio_median(double *values, size_t nr)
{
	qsort(values, nr, sizeof(*values), double_compare);
	if (nr % 2)
		return values[nr / 2];
	return (values[nr / 2 - 1] + values[nr / 2]) / 2;
}

double ratio_of(const struct ratio_pair *pair)
{
	if (isnan(pair->a) || isnan(pair->b) || !(pair->a > 0))
		return NAN;
	return pair->b / pair->a;
}

int ratio_summarise(const struct ratio_pair *pairs, size_t nr, bool higher_is_better,
		    struct ratio_summary *ret_summary)
{
	struct ratio_summary s = { .median = NAN, .min = NAN, .max = NAN };
	double values[RATIO_PAIRS_MAX];
	size_t valid = 0;

	if (nr == 0 || nr > RATIO_PAIRS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < nr; i++) {
		double r = ratio_of(&pairs[i]);

		if (isnan(r))
			continue;
		values[valid++] = r;
		if (higher_is_better ? r > 1 : r < 1)
			s.b_better_nr++;
		else if (higher_is_better ? r < 1 : r > 1)
			s.a_better_nr++;
	}
	if (valid > 0) {
		s.median = ratio_median(values, valid);
		s.min = values[0];
		s.max = values[valid - 1];
	}
	if (s.b_better_nr == nr)
		s.winner = RATIO_B;
	else if (s.a_better_nr == nr)
		s.winner = RATIO_A;
	*ret_summary = s;
	return 0;
}
