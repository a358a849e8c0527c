/* SPDX-License-Identifier: MIT */
/*
 * progress.c - the line on a terminal that says how much has been moved, and how fast.
 */
#include <stdio.h>
#include <time.h>

#include "cat.h"

struct amount {
	char text[24];
};

static struct amount amount_of(double bytes)
{
	static const char *const unit[] = { "B", "kB", "MB", "GB", "TB" };
	struct amount a;
	size_t i = 0;

	while (bytes >= 999.5 && i + 1 < sizeof(unit) / sizeof(unit[0])) {
		bytes /= 1000;
		i++;
	}
	(void)snprintf(a.text, sizeof(a.text), i ? "%.1f %s" : "%.0f %s", bytes,
		       unit[i]); /* fits */
	return a;
}

static double seconds_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail with this clock */
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void progress_begin(struct progress *p)
{
	*p = (struct progress){ .start = seconds_now() };
	p->last = p->start;
}

void progress_show(struct progress *p, uint64_t sent, uint64_t received, bool end)
{
	double now = seconds_now();
	double span = end ? now - p->start : now - p->last;
	double bytes = (double)(sent + received - (end ? 0 : p->bytes));

	fprintf(stderr, "\rsent %s  received %s  %s %s/s  %.0f s   %s",
		amount_of((double)sent).text, amount_of((double)received).text,
		end ? "average" : "now", amount_of(span > 0 ? bytes / span : 0).text,
		now - p->start, end ? "\n" : "");
	p->last = now;
	p->bytes = sent + received;
}
