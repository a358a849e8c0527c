/* SPDX-License-Identifier: MIT */
/*
 * loop.h - one thread of a client or server and the flows it serves; a crew is all threads of one
 * side of one measurement.
 *
 *   starting --(hub and flows ready)--> up --(crew_go)--> running --> done
 *
 * Ownership: the crew owns loops and flows; whoever creates it calls crew_destroy().
 * Threading: crew functions: the thread that created it. struct loop: its own thread, except the
 *   tally (relaxed: statistics, read at any time) and what crew.lock protects.
 */
#ifndef PERF_LOOP_H
#define PERF_LOOP_H

#include <pthread.h>
#include <stdatomic.h>

#include "clock.h"
#include "flow.h"
#include "hello.h"
#include "hist.h"

#define LOOP_LINGER_NS (10 * NS_PER_S) /* after the end, for what is outstanding */

struct crew;

/* Written by the loop's thread only, with loop_count(). */
struct tally {
	_Alignas(64) _Atomic uint64_t tx_bytes;
	_Atomic uint64_t rx_bytes;
	_Atomic uint64_t messages; /* rpc client: answers; connect: connections */
	_Atomic uint64_t errors;
};

struct loop {
	/* Set before the thread starts, then const. */
	struct crew *crew;
	uint32_t index;
	struct flow *flow;
	uint32_t flow_nr;
	bool blocking; /* the thread has one flow, and it cannot deadlock */
	int (*turn)(struct loop *l, struct flow *f);
	int (*run)(struct loop *l);
	void *run_arg;

	/* Its thread. */
	pthread_t thread;
	struct hub hub;
	uint64_t now_ns; /* read once a turn */
	uint64_t sink;   /* what reading the data came to, so that it is read */
	uint32_t done_nr;
	struct flow_list hot;
	struct hist hist;

	struct tally tally;
	_Atomic uint64_t cpu_final_ns; /* 0: still running */
};

struct crew {
	/* Set before the threads start, then const. */
	const struct via *via;
	struct shape shape;
	bool is_client;
	int cpu; /* to pin to, or -1 */
	uint64_t session;
	uint32_t loop_nr;
	struct loop *loop;
	struct flow *flow; /* shape.flows of them, except in mode connect */
	uint64_t *asked_ns;

	uint64_t warm_ns; /* latencies count from here; set before go, then const */
	/* To here; UINT64_MAX: the flows' end is the end. Relaxed: crew_end() brings it forward. */
	_Atomic uint64_t end_ns;

	_Atomic bool abort; /* relaxed: a hint to hurry */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t up_nr;         /* lock */
	uint32_t done_nr;       /* lock */
	uint32_t started;       /* crew's owner */
	bool go;                /* lock */
	int error;              /* lock; the first */
	const char *error_what; /* lock */
};

/* Sums over a crew at one moment. */
struct crew_sum {
	uint64_t time_ns;
	uint64_t tx_bytes;
	uint64_t rx_bytes;
	uint64_t messages;
	uint64_t errors;
	uint64_t cpu_ns;
};

/* ---- crew.c ---- */

/* Allocates loops and flows (fd -1) for @shape, which is valid. Returns 0 or -ENOMEM. */
int crew_create(const struct via *via, const struct shape *shape, bool is_client, int cpu,
		uint64_t session, struct crew **ret_crew);
/* Starts the threads; returns when all are up: 0, or the first error. The flows are connected. */
int crew_start(struct crew *crew);
void crew_go(struct crew *crew, uint64_t warm_ns, uint64_t end_ns);
/* The end is now, if it was not before. */
void crew_end(struct crew *crew);
/* Until @time_ns, the first error, or the end of all threads. Returns 0, 1 if all have ended, or
 * the error. */
int crew_wait(struct crew *crew, uint64_t time_ns);
void crew_abort(struct crew *crew);
void crew_sum(struct crew *crew, struct crew_sum *ret_sum);
const char *crew_error_what(struct crew *crew);
/* Aborts, joins, closes the flows' connections. NULL is allowed. */
void crew_destroy(struct crew *crew);

/* ---- loop.c, for the crew ---- */

/* What the thread of a loop does: @arg. */
void *loop_main(void *arg);
/* How it will serve its flows. */
void loop_choose(struct loop *l);
uint64_t loop_cpu_ns(struct loop *l);

/* ---- for the code that runs in a loop's thread ---- */

static inline void loop_count(_Atomic uint64_t *counter, uint64_t n)
{
	/* Relaxed: one writer; readers want a number, not an order. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline uint64_t crew_end_ns(const struct crew *crew)
{
	return atomic_load_explicit(&crew->end_ns, memory_order_relaxed);
}

/* The run is over: finish what is outstanding, begin nothing new. */
static inline bool loop_ending(const struct loop *l)
{
	return l->now_ns >= crew_end_ns(l->crew);
}

/* It is over for so long that what is outstanding will not come. */
static inline bool loop_overdue(const struct loop *l)
{
	return loop_ending(l) && l->now_ns - crew_end_ns(l->crew) > LOOP_LINGER_NS;
}

static inline bool loop_aborted(const struct loop *l)
{
	/* Relaxed: a hint to hurry. */
	return atomic_load_explicit(&l->crew->abort, memory_order_relaxed);
}

static inline void loop_record(struct loop *l, uint64_t latency_ns)
{
	if (l->now_ns >= l->crew->warm_ns && !loop_ending(l))
		hist_record(&l->hist, latency_ns);
	loop_count(&l->tally.messages, 1);
}

/* Remembers the crew's first error; returns @err. */
int loop_fail(struct loop *l, int err, const char *what);

#endif /* PERF_LOOP_H */
