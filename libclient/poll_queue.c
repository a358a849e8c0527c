/* SPDX-License-Identifier: MIT */
/*
 * poll_queue.c - what a thread sleeps on that polls several virtual sockets.
 *
 * A member is reported once and then has to be wanted again: of those that a poll names again,
 * only what was reported meanwhile, or is wanted otherwise, is said to the daemon. One that is not
 * polled any more ends one sleep for nothing.
 */
#include "poll_queue.h"

#include <pthread.h>

#include "cq.h"
#include "process.h"

#define TAKE_MAX 32

/* Global: why: a thread has one. */
static _Thread_local struct nc_cq *own __attribute__((tls_model("initial-exec")));
/* A poll has it: not for one in a handler that interrupts it. */
static _Thread_local _Atomic bool busy __attribute__((tls_model("initial-exec")));

static pthread_key_t at_end; /* Global: why: the thread's end is found by it */
static bool have_key;        /* Global: why: as at_end */

static void queue_end(void *cq)
{
	own = NULL;
	nc_cq_destroy(cq);
}

static void key_create(void)
{
	have_key = pthread_key_create(&at_end, queue_end) == 0;
}

static void queue_drop(void)
{
	(void)pthread_setspecific(at_end, NULL); /* there was a place for it */
	queue_end(own);
}

/* The thread's queue, of a daemon that lives; NULL: there is none to be had. */
static struct nc_cq *queue_have(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (own && cq_dead(own))
		queue_drop();
	if (own)
		return own;
	(void)pthread_once(&once, key_create); /* cannot fail */
	if (!have_key || cq_create_weak(&own) < 0)
		return NULL;
	if (pthread_setspecific(at_end, own) != 0)
		queue_end(own);
	return own;
}

bool poll_queue_begin(void)
{
	/* Relaxed, here and below: of this thread. */
	if (atomic_exchange_explicit(&busy, true, memory_order_relaxed))
		return false;
	if (queue_have())
		return true;
	poll_queue_end();
	return false;
}

void poll_queue_end(void)
{
	atomic_store_explicit(&busy, false, memory_order_relaxed);
}

bool poll_queue_want(int number, short events)
{
	struct nc_sock *s = sock_find(number);

	/* A stream that may go to another process is called where it is: pollfd.c. */
	return s && sock_phase(s) == PHASE_CONNECTED && !flag_get(&s->shared) &&
	       cq_want(own, number, (uint32_t)(uint16_t)events) == 0;
}

/* What was reported has to be looked at. */
static bool queue_reports(void)
{
	struct nc_event events[TAKE_MAX];

	return cq_poll(own, events, TAKE_MAX) > 0;
}

int poll_queue_sleep(uint64_t until_ns)
{
	/* A handler interrupts it, even one that was installed with SA_RESTART: futex.h. */
	if (until_ns == NC_FOREVER)
		until_ns--;
	return queue_reports() ? 0 : cq_sleep_weak(own, until_ns);
}

int poll_queue_fd(void)
{
	return nc_cq_fd(own);
}

bool poll_queue_enter(void)
{
	return !queue_reports() && cq_sleep_weak_enter(own);
}

void poll_queue_leave(bool rung)
{
	cq_sleep_weak_leave(own, rung);
}

void poll_queue_forget(void)
{
	own = NULL;
	poll_queue_end();
}
