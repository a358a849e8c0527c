/* SPDX-License-Identifier: MIT */
/* crew.c - all threads of one side of a measurement: made, started, waited for, summed up. */
#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "loop.h"

#define JOIN_NS (3 * NS_PER_S)

static void flow_init(struct crew *c, uint32_t index)
{
	const struct shape *s = &c->shape;
	struct flow *f = &c->flow[index];
	bool whole = s->verify && (s->mode == MODE_STREAM || s->size <= PATTERN_STRIDE);
	struct pattern up = pattern_make(c->session, index, PATTERN_TO_SERVER, whole);
	struct pattern down = pattern_make(c->session, index, PATTERN_TO_CLIENT, whole);

	f->conn.fd = -1;
	f->tx_pattern = c->is_client ? up : down;
	f->rx_pattern = c->is_client ? down : up;
	if (c->asked_ns)
		f->asked_ns = c->asked_ns + (size_t)index * s->depth;
}

static int crew_allocate(struct crew *c)
{
	uint32_t flows = shape_joining(&c->shape);
	uint32_t nr = c->shape.threads, first = 0;

	c->loop = aligned_alloc(64, nr * sizeof(*c->loop));
	c->flow = calloc(flows + 1, sizeof(*c->flow));
	if (!c->loop || !c->flow)
		return -ENOMEM;
	if (c->is_client && c->shape.mode == MODE_RPC) {
		c->asked_ns = calloc((size_t)flows * c->shape.depth, sizeof(*c->asked_ns));
		if (!c->asked_ns)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < flows; i++)
		flow_init(c, i);
	for (uint32_t i = 0; i < nr; i++) {
		struct loop *l = &c->loop[i];

		*l = (struct loop){ .crew = c, .index = i };
		l->flow = c->flow + first;
		l->flow_nr = flows / nr + (i < flows % nr);
		first += l->flow_nr;
		TAILQ_INIT(&l->hot);
		loop_choose(l);
	}
	c->loop_nr = nr;
	return 0;
}

int crew_create(const struct via *via, const struct shape *shape, bool is_client, int cpu,
		uint64_t session, struct crew **ret_crew)
{
	struct crew *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;
	int r;

	if (!c)
		return -ENOMEM;
	c->via = via;
	c->shape = *shape;
	c->is_client = is_client;
	c->cpu = cpu;
	c->session = session;
	atomic_init(&c->end_ns, UINT64_MAX);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attr);
	pthread_condattr_destroy(&attr);
	r = crew_allocate(c);
	if (r < 0) {
		crew_destroy(c);
		return r;
	}
	*ret_crew = c;
	return 0;
}

int crew_start(struct crew *c)
{
	int r = 0;

	for (; c->started < c->loop_nr && r == 0; c->started += r == 0)
		r = -pthread_create(&c->loop[c->started].thread, NULL, loop_main,
				    &c->loop[c->started]);
	if (r < 0)
		return r;
	pthread_mutex_lock(&c->lock);
	while (c->up_nr < c->started)
		pthread_cond_wait(&c->changed, &c->lock);
	r = c->error;
	pthread_mutex_unlock(&c->lock);
	return r;
}

void crew_go(struct crew *c, uint64_t warm_ns, uint64_t end_ns)
{
	pthread_mutex_lock(&c->lock);
	c->warm_ns = warm_ns;
	atomic_store_explicit(&c->end_ns, end_ns, memory_order_relaxed);
	c->go = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void crew_end(struct crew *c)
{
	uint64_t now_ns = clock_now_ns();

	if (now_ns < crew_end_ns(c))
		atomic_store_explicit(&c->end_ns, now_ns, memory_order_relaxed);
}

int crew_wait(struct crew *c, uint64_t time_ns)
{
	struct timespec until = clock_timespec(time_ns);
	int r = 0;

	pthread_mutex_lock(&c->lock);
	while (c->error == 0 && c->done_nr < c->started && r == 0)
		r = pthread_cond_timedwait(&c->changed, &c->lock, &until);
	r = c->error ? c->error : c->done_nr == c->started;
	pthread_mutex_unlock(&c->lock);
	return r;
}

void crew_abort(struct crew *c)
{
	/* Relaxed: a hint to hurry. */
	atomic_store_explicit(&c->abort, true, memory_order_relaxed);
}

void crew_sum(struct crew *c, struct crew_sum *ret_sum)
{
	struct crew_sum s = { .time_ns = clock_now_ns() };

	for (uint32_t i = 0; i < c->started; i++) {
		struct tally *t = &c->loop[i].tally;

		/* Relaxed: each is one number. */
		s.tx_bytes += atomic_load_explicit(&t->tx_bytes, memory_order_relaxed);
		s.rx_bytes += atomic_load_explicit(&t->rx_bytes, memory_order_relaxed);
		s.messages += atomic_load_explicit(&t->messages, memory_order_relaxed);
		s.errors += atomic_load_explicit(&t->errors, memory_order_relaxed);
		s.cpu_ns += loop_cpu_ns(&c->loop[i]);
	}
	*ret_sum = s;
}

const char *crew_error_what(struct crew *c)
{
	const char *what;

	pthread_mutex_lock(&c->lock);
	what = c->error_what;
	pthread_mutex_unlock(&c->lock);
	return what ? what : "";
}

/* Returns whether every thread has ended. */
static bool crew_join(struct crew *c)
{
	uint64_t deadline_ns = clock_read_ns(CLOCK_REALTIME) + JOIN_NS;
	struct timespec until = clock_timespec(deadline_ns);
	bool all = true;

	for (uint32_t i = 0; i < c->started; i++)
		all &= pthread_timedjoin_np(c->loop[i].thread, NULL, &until) == 0;
	return all;
}

void crew_destroy(struct crew *c)
{
	uint32_t flows;

	if (!c)
		return;
	crew_abort(c);
	pthread_mutex_lock(&c->lock);
	c->go = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	/* A thread stuck in connect() keeps the memory; the process is about to end. */
	if (!crew_join(c))
		return;
	/* Threads have closed theirs: these never got a thread. */
	flows = c->flow ? shape_joining(&c->shape) : 0;
	for (uint32_t i = 0; i < flows; i++)
		if (c->flow[i].conn.fd >= 0 && c->flow[i].conn.via)
			c->flow[i].conn.via->close(&c->flow[i].conn);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c->asked_ns);
	free(c->flow);
	free(c->loop);
	free(c);
}
