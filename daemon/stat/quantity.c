/* SPDX-License-Identifier: MIT */
/*
 * quantity.c - numbers as people read them.
 */
#include "quantity.h"

#include <stddef.h>
#include <stdio.h>

/* Three significant digits. */
static void three_digits(double v, const char *unit, char buf[QUANTITY_BYTES])
{
	(void)snprintf(buf, QUANTITY_BYTES, "%.*f%s", v < 9.995 ? 2 : v < 99.95 ? 1 : 0, v, unit);
}

static const char *scaled(uint64_t n, unsigned base, const char *const *unit, char *buf)
{
	double v = (double)n;
	size_t i = 0;

	if (n < base) {
		(void)snprintf(buf, QUANTITY_BYTES, "%u", (unsigned)n);
		return buf;
	}
	while (v >= base - 0.5 && unit[i + 1]) {
		v /= base;
		i++;
	}
	three_digits(v, unit[i], buf);
	return buf;
}

const char *quantity_count(uint64_t n, char buf[QUANTITY_BYTES])
{
	static const char *const unit[] = { "", "k", "M", "G", "T", "P", "E", NULL };

	return scaled(n, 1000, unit, buf);
}

const char *quantity_bytes(uint64_t n, char buf[QUANTITY_BYTES])
{
	static const char *const unit[] = { "", "K", "M", "G", "T", "P", "E", NULL };

	return scaled(n, 1024, unit, buf);
}

const char *quantity_ns(uint64_t ns, char buf[QUANTITY_BYTES])
{
	unsigned long s = (unsigned long)(ns / 1000000000u);

	if (ns < 1000)
		(void)snprintf(buf, QUANTITY_BYTES, "%uns", (unsigned)ns);
	else if (ns < 1000000)
		three_digits((double)ns / 1e3, "us", buf);
	else if (ns < 1000000000u)
		three_digits((double)ns / 1e6, "ms", buf);
	else if (s < 60)
		three_digits((double)ns / 1e9, "s", buf);
	else if (s < 3600)
		(void)snprintf(buf, QUANTITY_BYTES, "%lum%02lus", s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(buf, QUANTITY_BYTES, "%luh%02lum", s / 3600, s / 60 % 60);
	else
		(void)snprintf(buf, QUANTITY_BYTES, "%lud%02luh", s / 86400, s / 3600 % 24);
	return buf;
}
