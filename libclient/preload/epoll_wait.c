/* SPDX-License-Identifier: MIT */
/*
 * epoll_wait.c - waiting at a set: ready virtual sockets from memory, the rest from the kernel.
 */
#include <sys/syscall.h>

#include "../listener.h"
#include "epoll.h"
#include "ncclient.h"
#include "pending.h"
#include "real.h"

#define TAKE_MAX 128     /* virtual sockets of one call: fewer than there are is allowed */

/* How a call wants to sleep. */
struct sleep {
	int epfd;
	int timeout_ms;            /* as epoll_wait(2) */
	const struct timespec *ts; /* as epoll_pwait2(2), if that was called */
	bool exact;                /* it was */
	const sigset_t *mask;
	uint64_t until_ns; /* 0: not known yet */
};

/*
 * Where events are going to be written there must be memory, or EFAULT: the kernel is asked, once
 * for each page that a thread gives.
 */
static bool events_probe(struct epoll_event *events)
{
	/* Global: why: a program's loop passes the same place every time, and what we write begins
	 * there or, behind what the kernel has written, a little later. */
	static _Thread_local uintptr_t good = UINTPTR_MAX; /* no page */
	uintptr_t page = (uintptr_t)events / NCD_PAGE;

	if (page == good)
		return true;
	if (syscall(SYS_getcpu, events, NULL, NULL) < 0)
		return false;
	good = page;
	return true;
}

/* What the kernel gave, less what it said of the queue's descriptor. */
static int kernel_strip(struct set *set, struct epoll_event *events, int n)
{
	int kept = 0;

	for (int i = 0; i < n; i++)
		if (events[i].data.ptr != set)
			events[kept++] = events[i];
	return n < 0 ? n : kept;
}

static void looked(struct set *set, bool found)
{
	/* Relaxed, both: bounds of how stale it may be. */
	atomic_store_explicit(&set->looked_ns, clock_now_ns(), memory_order_relaxed);
	atomic_store_explicit(&set->found, found, memory_order_relaxed);
}

static bool look_due(struct set *set)
{
	/* Relaxed, both: as above. */
	return atomic_load_explicit(&set->found, memory_order_relaxed) ||
	       clock_now_ns() - atomic_load_explicit(&set->looked_ns, memory_order_relaxed) >=
		       LOOK_NS;
}

/* The kernel's part, without waiting. -1 with errno. */
static int kernel_look(struct set *set, int epfd, struct epoll_event *events, int max)
{
	int n = real()->epoll_wait(epfd, events, max, 0);

	n = kernel_strip(set, events, n);
	looked(set, n > 0);
	return n;
}

/* Our part, without waiting. -1 with errno. */
static int queue_take(struct nc_cq *cq, struct epoll_event *events, int max)
{
	struct nc_event got[TAKE_MAX];
	int n;

	if (max <= 0)
		return 0;
	n = cq_poll(cq, got, max < TAKE_MAX ? max : TAKE_MAX);
	n = pending_strip(cq, got, n);
	if (n > 0 && !events_probe(events)) {
		errno = EFAULT;
		return -1;
	}
	for (int i = 0; i < n; i++)
		events[i] = (struct epoll_event){ .events = got[i].events,
						  .data.u64 = got[i].data };
	return n;
}

/* Both parts without waiting, the kernel's if it is due or @must_look. Neither may fill all the
 * room for ever. */
static int take(struct set *set, struct nc_cq *cq, int epfd, struct epoll_event *events, int max,
		bool must_look)
{
	bool due = look_due(set);
	int room = max, k = 0, n;

	if (due && max == 1) {
		/* Relaxed: fairness only. */
		due = atomic_load_explicit(&set->kernel_next, memory_order_relaxed);
		/* Relaxed: as above. */
		atomic_store_explicit(&set->kernel_next, !due, memory_order_relaxed);
	} else if (due) {
		room = max / 2;
	}
	if (due)
		k = kernel_look(set, epfd, events, room);
	if (k < 0)
		return k;
	n = queue_take(cq, events + k, max - k);
	if (n < 0 || n + k > 0 || due || !must_look)
		return n < 0 ? n : n + k;
	return kernel_look(set, epfd, events, max);
}

static void sleep_begin(struct sleep *s)
{
	uint64_t limit_ns;

	if (s->until_ns != 0)
		return;
	s->until_ns = NC_FOREVER;
	if (s->exact ? !s->ts : s->timeout_ms < 0)
		return;
	limit_ns = s->exact ? (uint64_t)s->ts->tv_sec * 1000000000u + (uint64_t)s->ts->tv_nsec
			    : (uint64_t)s->timeout_ms * 1000000u;
	s->until_ns = clock_now_ns() + limit_ns;
}

/* The first sleep is as long as the caller said; one after a wake for nothing is what is left. */
static int kernel_sleep(struct sleep *s, bool again, struct epoll_event *events, int max)
{
	uint64_t now_ns, left_ns = 0;
	struct timespec left;

	if (!again || s->until_ns == NC_FOREVER)
		return s->exact ? real()->epoll_pwait2(s->epfd, events, max, s->ts, s->mask)
				: real()->epoll_pwait(s->epfd, events, max, s->timeout_ms, s->mask);
	now_ns = clock_now_ns();
	if (s->until_ns > now_ns)
		left_ns = s->until_ns - now_ns;
	if (!s->exact)
		return real()->epoll_pwait(s->epfd, events, max,
					   (int)((left_ns + 999999) / 1000000), s->mask);
	left.tv_sec = (time_t)(left_ns / 1000000000u);
	left.tv_nsec = (long)(left_ns % 1000000000u);
	return real()->epoll_pwait2(s->epfd, events, max, &left, s->mask);
}

/* What this thread has taken out of the kernel's epoll, or left in the queue, may have been to wake
 * others. */
static void pass_on(struct set *set, struct nc_cq *cq)
{
	int err = errno;

	cq_pass_on(cq);
	/* Relaxed: who is just going to sleep looks at the queue himself. */
	if (atomic_load_explicit(&set->bare, memory_order_relaxed) > 0 && !cq_dead(cq))
		set_ring_bare(set, cq);
	errno = err;
}

/* Until something may be there. How many events; 0: to look again, or it is time; -1 with errno. */
static int sleep_once(struct set *set, struct nc_cq *cq, struct sleep *s, bool again,
		      struct epoll_event *events, int max, bool *ret_over)
{
	int k, n = 0, err;

	if (!cq_sleep_enter(cq))
		return 0;
	k = kernel_sleep(s, again, events, max);
	err = errno;
	*ret_over = k == 0;
	k = kernel_strip(set, events, k);
	cq_sleep_leave(cq);
	looked(set, k > 0);
	if (k >= 0)
		n = queue_take(cq, events + k, max - k);
	if (n >= 0)
		errno = err;
	pass_on(set, cq);
	return k < 0 || n < 0 ? -1 : k + n;
}

/* The same without a queue, or with one that wakes nobody any more. */
static int sleep_bare(struct set *set, struct nc_cq *cq, struct sleep *s, bool again,
		      struct epoll_event *events, int max, bool *ret_over)
{
	int n = 0;

	/* BARE, sleeping end. */
	atomic_fetch_add_explicit(&set->bare, 1, memory_order_seq_cst);
	if (set_queue(set) == cq) {
		n = kernel_sleep(s, again, events, max);
		*ret_over = n == 0;
		n = kernel_strip(set, events, n);
	}
	/* BARE, sleeping end: no more. */
	atomic_fetch_sub_explicit(&set->bare, 1, memory_order_seq_cst);
	return n;
}

static bool never_sleeps(const struct sleep *s)
{
	return s->exact ? s->ts && s->ts->tv_sec == 0 && s->ts->tv_nsec == 0 : s->timeout_ms == 0;
}

/* ---- listeners: the daemon is told that this process waits at them ---- */

void set_listeners(struct set *set, int epfd, struct listeners *l)
{
	/* Relaxed, all: of the numbers each is good for itself, and a stale one is refused. */
	uint32_t now = atomic_load_explicit(&file_listening, memory_order_relaxed);

	if (atomic_load_explicit(&set->listening, memory_order_relaxed) == now) {
		l->nr = atomic_load_explicit(&set->listener_nr, memory_order_relaxed);
		for (uint32_t i = 0; i < l->nr; i++)
			l->nc[i] = atomic_load_explicit(&set->listener[i], memory_order_relaxed);
		return;
	}
	l->nr = watch_listeners(set, epfd, l->nc, SET_LISTENERS);
	for (uint32_t i = 0; i < l->nr; i++)
		atomic_store_explicit(&set->listener[i], l->nc[i], memory_order_relaxed);
	atomic_store_explicit(&set->listener_nr, l->nr, memory_order_relaxed);
	atomic_store_explicit(&set->listening, now, memory_order_relaxed);
}

static void listeners_tell(const struct listeners *l, void (*tell)(int nc))
{
	int err = errno;

	for (uint32_t i = 0; i < l->nr; i++)
		tell(l->nc[i]);
	errno = err;
}

static int set_wait(struct set *set, struct sleep *s, struct epoll_event *events, int max)
{
	bool over = false, again = false;
	struct listeners l;

	set_listeners(set, s->epfd, &l);
	for (;;) {
		struct nc_cq *cq = set_queue(set);
		int n = 0;

		if (cq) {
			n = take(set, cq, s->epfd, events, max, never_sleeps(s));
			pass_on(set, cq);
		}
		if (n != 0 || over || (cq && never_sleeps(s))) {
			listeners_tell(&l, listener_ask);
			return n;
		}
		sleep_begin(s);
		listeners_tell(&l, listener_wait_begin);
		n = (cq && !cq_dead(cq) ? sleep_once : sleep_bare)(set, cq, s, again, events, max,
								   &over);
		listeners_tell(&l, listener_wait_end);
		if (n != 0)
			return n;
		again = true;
	}
}

static int epoll_sleep(struct sleep *s, struct epoll_event *events, int max)
{
	struct set *set = set_of(s->epfd);
	int ret;

	/* The kernel judges what is wrong. */
	if (max <= 0 || !set || !set_enter(set))
		return kernel_sleep(s, false, events, max);
	set_inherit(set, s->epfd);
	ret = set_wait(set, s, events, max);
	set_leave(set);
	return ret;
}

EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
	struct sleep s = { .epfd = epfd, .timeout_ms = timeout_ms };

	return epoll_sleep(&s, events, max);
}

EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout_ms,
		       const sigset_t *mask)
{
	struct sleep s = { .epfd = epfd, .timeout_ms = timeout_ms, .mask = mask };

	return epoll_sleep(&s, events, max);
}

EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *limit,
			const sigset_t *mask)
{
	struct sleep s = { .epfd = epfd, .ts = limit, .exact = true, .mask = mask };

	return epoll_sleep(&s, events, max);
}
