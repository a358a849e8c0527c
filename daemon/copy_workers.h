/* SPDX-License-Identifier: MIT */
/*
 * copy_workers.h - all copy workers together, as control sees them: which applications they serve.
 *
 * Ownership: struct copy_workers is the caller's; it outlives all that it serves. A copy_client is
 *   its client's, from copy_workers_add to copy_workers_remove these threads' too, and until
 *   copy_workers_hold says no.
 * Threading: control.
 */
#ifndef NCD_COPY_WORKERS_H
#define NCD_COPY_WORKERS_H

#include "copy_worker.h"

struct event;
struct event_base;

struct copy_workers {
	struct copy_worker *worker[NCD_COPY_WORKERS_MAX];
	uint32_t nr;
	bool stuck; /* stopped, but one is held up inside an application's memory */
	struct copy_table table;
	int event_fd;
	struct event *event;
	/* A client was let go of, or is bad: all are looked at. */
	void (*handler)(void *ctx);
	void *ctx;
};

/* Makes the descriptor by which copy workers wake control. 0 or -errno. */
int copy_workers_init(struct copy_workers *ws, struct event_base *base, void (*handler)(void *ctx),
		      void *ctx);
/* Starts one more on @cpu. 0, or the error of copy_worker_start. */
int copy_workers_start(struct copy_workers *ws, int cpu, uint32_t spin_us,
		       struct stats_copy *stats);
/* Ends all that can be ended: with `stuck`, what copy workers may hold must not be freed. */
void copy_workers_stop(struct copy_workers *ws);
void copy_workers_fini(struct copy_workers *ws);

/* They serve @c from now on. -ENFILE: the table is full; -errno. */
int copy_workers_add(struct copy_workers *ws, struct copy_client *c);
/* They take no more of its pieces. */
void copy_workers_remove(struct copy_workers *ws, struct copy_client *c);
/* After copy_workers_remove: true while one is copying for it. The handler is called when not. */
bool copy_workers_hold(struct copy_workers *ws, const struct copy_client *c);

#endif /* NCD_COPY_WORKERS_H */
