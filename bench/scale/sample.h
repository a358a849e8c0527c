/* SPDX-License-Identifier: MIT */
/*
 * sample.h - times of one operation, and their median: what others do on the machine meanwhile
 * lengthens some of them, and not the median.
 *
 * Ownership: the caller's memory; all zero is empty.
 */
#ifndef SCALE_SAMPLE_H
#define SCALE_SAMPLE_H

#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define SAMPLES_MAX 4096u

struct sample {
	uint32_t nr;
	double at[SAMPLES_MAX];
};

static inline uint64_t sample_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What is more than SAMPLES_MAX is not kept. */
static inline void sample_add(struct sample *s, double ns)
{
	if (s->nr < SAMPLES_MAX)
		s->at[s->nr++] = ns;
}

static inline int sample_order(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* 0 if it is empty. It is sorted afterwards. */
static inline double sample_median(struct sample *s)
{
	qsort(s->at, s->nr, sizeof(s->at[0]), sample_order);
	return s->nr ? s->at[s->nr / 2] : 0;
}

/* What it takes to read the clock: part of every time that is taken around one call. */
static inline double sample_clock_ns(void)
{
	uint64_t begin_ns = sample_now_ns();

	for (int i = 0; i < 1000; i++)
		(void)sample_now_ns(); /* only the time counts */
	return (double)(sample_now_ns() - begin_ns) / 1001;
}

static inline int sample_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

#endif /* SCALE_SAMPLE_H */
