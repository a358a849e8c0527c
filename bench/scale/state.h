/* SPDX-License-Identifier: MIT */
/*
 * state.h - the model's own structs, for the files that make it up.
 *
 * Times: ns is virtual time; while a thread acts, its clock runs ahead of the events in ps, since
 * many costs are a few ns.
 *
 *   core.c: which thread has which core    turn.c, app.c: what a thread does in one step
 */
#ifndef SCALE_STATE_H
#define SCALE_STATE_H

#include "../../tests/sim/pipe.h"
#include "../../tests/sim/random.h"
#include "../../tests/sim/timeline.h"
#include "../perf/hist.h"
#include "core/engine.h"
#include "idle.h"
#include "model.h"
#include "rate.h"

#define START_NS 1000000000u /* virtual time begins there: 0 means never to many */

struct model;
struct end;

enum event_kind {
	EV_STEP,  /* a: core: its thread acts */
	EV_DONE,  /* a: core: and has acted */
	EV_READY, /* a: thread, that was woken */
	EV_TIMER, /* a: thread: its spin is over, or it slept long enough */
	EV_IN,    /* a: thread of a worker: bytes, or room for bytes */
};

enum thread_state {
	TH_SLEEPS,
	TH_WAKES,
	TH_READY,
	TH_RUNS,
	TH_SPINS
};
/* What a thread does after a step. */
enum then {
	THEN_GO_ON,
	THEN_YIELD,
	THEN_SPIN,
	THEN_SLEEP
};

struct thread {
	struct end *end;
	bool is_app;
	enum thread_state state;
	enum then then;
	uint32_t core, generation; /* of its timer */
	uint64_t yielded_ns;       /* since when it has given its core to others; 0: it has not */
	uint64_t sleep_most_ns;    /* 0: until it is woken */
	uint64_t busy_ns;
	int64_t had_ns;      /* of its core's time, and what it gave up */
	int64_t owed_ns;     /* when it fell asleep: how much less than the average that was */
	struct thread *next; /* of those that are ready */
};

struct core {
	struct thread *now;
	struct thread *ready;
	int64_t average_ns; /* the last, of what its threads have had */
	uint64_t since_ns;
	bool preempted; /* by who was woken: after the step */
};

struct socket {
	struct stream *stream;
	/* The slot, as application and worker share it. */
	uint64_t tx_tail, tx_head, rx_tail, rx_head;
	bool kicked, armed, pending;
	/* The application's. */
	uint64_t rx_told, asked_ns;
	/* The worker's. */
	uint64_t pulled_tail, pulled_head;
};

/* A queue in shared memory: numbers of sockets. */
struct words {
	uint32_t *at;
	uint32_t mask, head, tail;
};

/* One end of one channel. */
struct chan {
	struct channel *channel;
	struct pipe out;
	bool blocked;
	struct chan *other;
	uint8_t *buf;
	uint64_t frames, payload; /* counted before the last send */
};

/* One host's end of a lane: a worker, and the application beside it. */
struct end {
	struct model *m;
	struct end *other;
	uint32_t host;
	struct engine *engine;
	void *mem;
	struct chan *chan; /* the latency class first */
	struct thread worker, app;
	struct idle idle;
	struct words sq, cq, full; /* full: those for which cq had no room */
	struct socket *sock;
	uint32_t sock_nr;
	uint32_t begun;    /* sockets that have asked once */
	uint32_t reported; /* words of cq that the application has been told, and has not served */
	uint64_t turn_ns;  /* when it was */
	uint64_t sent, received; /* bytes, by the application */
};

struct model {
	struct scale_params p;
	uint64_t cost_ps[COST_NR]; /* with the sockets of one core */
	struct timeline timeline;
	struct rng rng;
	uint64_t now_ns, ps; /* ps: the clock of the thread that acts */
	struct core *core;
	struct end *end; /* [lane * 2 + host] */
	struct rate link[2], memory[2];
	uint8_t *ring; /* of all sockets: bytes are counted here; tests/sim looks at them */
	uint32_t ring_bytes, lane_channels; /* the latter of one class */
	struct hist hist;
	uint64_t answered, sends, frames;
	uint64_t begin_ns, end_ns; /* of what is measured; 0: not yet */
};

static inline uint64_t model_ns(const struct model *m)
{
	return m->ps / 1000;
}

/* The thread that acts has done @nr operations. */
static inline void model_pay(struct model *m, enum cost cost, uint64_t nr)
{
	m->ps += nr * m->cost_ps[cost];
}

/* It has copied @bytes, which cost @byte each; on the way through the memory of @host. */
void model_copy(struct model *m, uint32_t host, enum cost byte, uint64_t bytes);
void model_at(struct model *m, uint64_t at_ns, enum event_kind kind, uint32_t a,
	      uint32_t generation);

static inline uint32_t words_nr(const struct words *q)
{
	return q->tail - q->head;
}
static inline void words_push(struct words *q, uint32_t word)
{
	q->at[q->tail++ & q->mask] = word;
}
static inline uint32_t words_pop(struct words *q)
{
	return q->at[q->head++ & q->mask];
}

/* ---- core.c ---- */
/* Threads are numbered: see thread_of(). */
struct thread *thread_of(struct model *m, uint32_t number);
void cores_event(struct model *m, const struct event *ev);
/* @t is woken by the thread that acts, if it sleeps: true, and that has to pay. */
bool thread_wake(struct model *m, struct thread *t);
/* There is something for @t, which may spin, or sleep. */
void thread_signal(struct model *m, struct thread *t);

/* ---- turn.c ---- */
enum then worker_step(struct model *m, struct end *e);
bool worker_has_work(const struct model *m, const struct end *e);

/* ---- app.c ---- */
enum then app_step(struct model *m, struct end *e);

/* ---- set_up.c ---- */
int set_up(struct model *m);
void tear_down(struct model *m);

#endif /* SCALE_STATE_H */
