/* SPDX-License-Identifier: MIT */
/*
 * wait.c - sleeping until a socket's slot or listener changes, and waking who sleeps so.
 *
 * Nothing is missed: the word is read first, then the wish is announced, then everything that could
 * have happened is looked at; whatever happens behind that look moves the word.
 */
#include <pthread.h>
#include <sched.h>

#include "sock_calls.h"

/* What this thread sleeps for. A handler that closes it leaves NULL, and has counted us out. */
static _Thread_local _Atomic(struct nc_sock *) asleep __attribute__((tls_model("initial-exec")));

static bool is_asleep(const struct nc_sock *s)
{
	/* Relaxed: of this thread. */
	return atomic_load_explicit(&asleep, memory_order_relaxed) == s;
}

/* Cancelled: this thread sleeps no more. */
static void uncount(void *outer)
{
	/* Relaxed: of this thread. */
	struct nc_sock *s = atomic_exchange_explicit(&asleep, outer, memory_order_relaxed);

	if (s)
		/* CLOSING, sleeper's end. */
		atomic_fetch_sub_explicit(&s->sleepers, 1, memory_order_seq_cst);
}

/* The futex, and a cancellation point. */
static int futex_wait_point(_Atomic uint32_t *seq, uint32_t value, uint64_t until_ns,
			    struct nc_sock *outer)
{
	int type, ret;

	pthread_cleanup_push(uncount, outer) /* opens a block */
	(void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type); /* cannot fail */
	ret = futex_wait_shared(seq, value, until_ns);
	(void)pthread_setcanceltype(type, NULL); /* as above */
	pthread_cleanup_pop(0);
	return ret;
}

/* Sleeps on *seq, which a closer leaves alone while we are counted. @held is free meanwhile. */
static int sleep_counted(struct nc_sock *s, struct lock *held, _Atomic uint32_t *seq,
			 uint32_t value, uint64_t until_ns, bool point)
{
	/* Relaxed, both: of this thread. A handler's sleep is within another. */
	struct nc_sock *outer = atomic_exchange_explicit(&asleep, s, memory_order_relaxed);
	struct attachment *att = s->att;
	int ret = 0;

	/* CLOSING, sleeper's end: before the lock is free, so that the closer counts us. */
	atomic_fetch_add_explicit(&s->sleepers, 1, memory_order_seq_cst);
	lock_release(held);
	batch_pay(att);
	/* CLOSING, sleeper's end; DEAD, looking end. */
	if (is_asleep(s) && !atomic_load_explicit(&s->closing, memory_order_seq_cst) &&
	    !attachment_dead(att))
		ret = point ? futex_wait_point(seq, value, until_ns, outer)
			    : futex_wait_shared(seq, value, until_ns);
	lock_take(held);
	if (!is_asleep(s)) /* no socket of ours any more: it has been closed */
		return -EBADF;
	/* Relaxed: as above. */
	atomic_store_explicit(&asleep, outer, memory_order_relaxed);
	/* CLOSING, sleeper's end. */
	if (atomic_load_explicit(&s->closing, memory_order_seq_cst))
		ret = -EBADF;
	/* CLOSING, sleeper's end: the lock keeps s ours until the caller releases it. */
	atomic_fetch_sub_explicit(&s->sleepers, 1, memory_order_seq_cst);
	return ret == -ETIMEDOUT ? -EAGAIN : ret;
}

static int sleep_at_slot(struct nc_sock *s, struct lock *held, uint32_t events,
			 bool (*look)(struct nc_sock *), uint64_t until_ns, bool point)
{
	struct slot_shm *slot = sock_slot(s);
	/* NOTIFY, application end: before the wish, so that its serving moves it. */
	uint32_t value = atomic_load_explicit(&slot->seq, memory_order_seq_cst);

	sock_notify(s, NOTIFY_FUTEX(events));
	if (look(s))
		return 0;
	return sleep_counted(s, held, &slot->seq, value, until_ns, point);
}

int sock_sleep(struct nc_sock *s, struct lock *held, uint32_t events,
	       bool (*look)(struct nc_sock *), uint64_t until_ns)
{
	return sleep_at_slot(s, held, events, look, until_ns, false);
}

int sock_sleep_point(struct nc_sock *s, struct lock *held, uint32_t events,
		     bool (*look)(struct nc_sock *), uint64_t until_ns)
{
	return sleep_at_slot(s, held, events, look, until_ns, true);
}

int sock_sleep_listener(struct nc_sock *s, struct lock *held, bool (*look)(struct nc_sock *),
			uint64_t until_ns)
{
	struct listener_shm *l = s->acceptor->shm;
	/* NOTIFY, application end. */
	uint32_t value = atomic_load_explicit(&l->seq, memory_order_seq_cst);

	/* NOTIFY, application end. */
	atomic_fetch_or_explicit(&l->notify, NOTIFY_FUTEX(EV_IN), memory_order_seq_cst);
	if (look(s))
		return 0;
	return sleep_counted(s, held, &l->seq, value, until_ns, false);
}

void sock_rouse(struct nc_sock *s)
{
	/* NOTIFY, as the daemon's end: moved, so that who is about to sleep does not. */
	atomic_fetch_add_explicit(&sock_slot(s)->seq, 1, memory_order_release);
	futex_wake_shared(&sock_slot(s)->seq);
}

void sock_wake_sleepers(struct nc_sock *s)
{
	/* Relaxed: set by a call that has returned before, or nobody sleeps yet. */
	_Atomic uint32_t *seq = atomic_load_explicit(&s->seq, memory_order_relaxed);

	if (is_asleep(s)) {
		/* Relaxed: of this thread. */
		atomic_store_explicit(&asleep, NULL, memory_order_relaxed);
		/* NOTIFY, as the daemon's end: moved, so that we do not go back to sleep. */
		atomic_fetch_add_explicit(seq, 1, memory_order_release);
		/* CLOSING, sleeper's end. */
		atomic_fetch_sub_explicit(&s->sleepers, 1, memory_order_seq_cst);
	}
	/*
	 * The word is the daemon's, so it is not moved: a thread that looked before we set
	 * `closing` and is not asleep yet is woken in a later round.
	 */
	/* CLOSING, closer's end. */
	while (atomic_load_explicit(&s->sleepers, memory_order_seq_cst) > 0) {
		if (seq)
			futex_wake_shared(seq);
		(void)sched_yield(); /* cannot fail */
	}
}
