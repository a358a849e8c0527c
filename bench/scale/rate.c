/* SPDX-License-Identifier: MIT */
/*
 * rate.c - windows of capacity.
 */
#include "rate.h"

#include <errno.h>
#include <stdlib.h>

#define WINDOW_NS    20000u
#define RATE_WINDOWS 65536u /* remembered: more than a second */

int rate_init(struct rate *r, uint64_t bytes_per_s)
{
	*r = (struct rate){ .window_bytes = bytes_per_s / (1000000000u / WINDOW_NS) };
	if (bytes_per_s == 0)
		return 0;
	if (r->window_bytes == 0)
		r->window_bytes = 1;
	r->used = calloc(RATE_WINDOWS, sizeof(*r->used));
	r->number = calloc(RATE_WINDOWS, sizeof(*r->number));
	return r->used && r->number ? 0 : -ENOMEM;
}

void rate_fini(struct rate *r)
{
	free(r->used);
	free(r->number);
	*r = (struct rate){ .used = NULL };
}

/* What is used of window @n already. */
static uint64_t *window(struct rate *r, uint64_t n)
{
	uint64_t i = n % RATE_WINDOWS;

	if (r->number[i] != n) {
		r->number[i] = n;
		r->used[i] = 0;
	}
	return &r->used[i];
}

uint64_t rate_take(struct rate *r, uint64_t now_ns, uint64_t bytes)
{
	uint64_t n = now_ns / WINDOW_NS, left = bytes, end_ns, alone_ns;
	uint64_t *used;

	r->total += bytes;
	if (r->window_bytes == 0)
		return now_ns;
	for (;; n++) {
		uint64_t room;

		used = window(r, n);
		room = r->window_bytes - *used;
		if (left <= room)
			break;
		*used += room;
		left -= room;
	}
	*used += left;
	end_ns = n * WINDOW_NS + *used * WINDOW_NS / r->window_bytes;
	alone_ns = now_ns + bytes * WINDOW_NS / r->window_bytes;
	/* In a window that has room the order of those who use it is not known: each is alone. */
	return n == now_ns / WINDOW_NS || end_ns < alone_ns ? alone_ns : end_ns;
}
