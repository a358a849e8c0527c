/* SPDX-License-Identifier: MIT */
/*
 * client.h - one measurement against a server that runs.
 *
 * Ownership: none kept. Threading: one at a time in a process.
 */
#ifndef PERF_CLIENT_H
#define PERF_CLIENT_H

#include "options.h"
#include "report.h"

/* For who runs several clients at once. */
struct client_hooks {
	void *ctx;
	/* All is connected. Returns 0 and when to begin, by clock_now_ns(); or -errno. */
	int (*ready)(void *ctx, uint64_t *ret_begin_ns);
	/* Each second, of the last one. */
	void (*progress)(void *ctx, double bits_per_s, double answers_per_s);
};

/*
 * Everything but progress lines (stderr, on a terminal) goes into @ret_report; failed is set there
 * if it could not be measured. @hooks NULL: begins when it is ready, and shows its own progress.
 */
void client_measure(const struct options *o, const struct via *via,
		    const struct client_hooks *hooks, struct report *ret_report);

/*
 * Mode isolate: has the server at o->to start processes, and says where they listen; they live as
 * long as the caller's process. failed is set in @ret_report if that could not be done.
 */
void client_reserve(const struct options *o, const struct via *via,
		    uint16_t ret_port[PERF_THREADS_MAX], struct report *ret_report);

#endif /* PERF_CLIENT_H */
