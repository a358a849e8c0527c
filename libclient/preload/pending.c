/* SPDX-License-Identifier: MIT */
/*
 * pending.c - non-blocking connects between EINPROGRESS and the answer.
 *
 * Ordering:
 *   BEGUN  who begins one: it is in the list; if the thread is idle, ++begun (release)
 *          -> the thread loads begun (acquire), looks at the list, sleeps if begun has not moved.
 */
#include "pending.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "../left.h"
#include "../memory.h"
#include "../sock_calls.h"
#include "epoll.h"
#include "kernel.h"
#include "real.h"
#include "way.h"

#define STACK_BYTES (256u << 10) /* as the watcher's */
#define ALONE_NS    20000000u

struct pending {
	struct pending *next; /* the list's lock */
	struct file *file;
	int nc, spare;
	uint64_t until_ns;
	socklen_t len;
	struct sockaddr_storage addr;
};

_Atomic(uint32_t) pending_nr;
/* Global: why: descriptors are the process's, and so is what they name. */
static struct {
	struct lock lock;       /* all but begun */
	struct pending *first;  /* the newest */
	bool running;           /* the thread */
	bool idle;              /* it sleeps until another is begun */
	_Atomic uint32_t begun; /* ++ for each; a private futex */
} list;

static void *thread_run(void *arg);

static bool thread_start(void)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int ret;

	if (pthread_attr_init(&attr) != 0)
		return false;
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES); /* else it is merely larger */
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED); /* cannot fail */
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old); /* cannot fail */
	ret = pthread_create(&thread, &attr, thread_run, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL); /* cannot fail */
	(void)pthread_attr_destroy(&attr);              /* cannot fail */
	return ret == 0;
}

bool pending_fits(const struct file *f, struct set *set, int epfd)
{
	bool fits;

	if (!set || !set_enter(set))
		return false;
	fits = (!f->watch || (!f->watch->next && f->watch->set == set)) &&
	       set_prepare(set, epfd) == 0;
	set_leave(set);
	return fits;
}

bool pending_possible(const struct file *f)
{
	const struct file_watch *w = f->watch;

	return !uring_in_use() && (!w || pending_fits(f, w->set, w->epfd));
}

static const struct sockaddr *address_of(const struct pending *p)
{
	return (const void *)&p->addr;
}

static void spare_close(struct pending *p)
{
	file_unmark_internal(p->spare);
	(void)real()->close(p->spare); /* a copy less */
	memory_give(p);
}

int pending_begin(struct file *f, int fd, int nc, const struct sockaddr *addr, socklen_t len)
{
	struct pending *p = len <= sizeof(p->addr) ? memory_take(1, sizeof(*p)) : NULL;
	bool idle;

	if (!p)
		return -ENOMEM;
	p->spare = real_keep_copy(fd);
	if (p->spare < 0) {
		memory_give(p);
		return -EMFILE;
	}
	p->file = f;
	p->nc = nc;
	p->until_ns = clock_now_ns() + PENDING_NS;
	p->len = len;
	memcpy(&p->addr, addr, len);
	lock_take(&list.lock);
	if (!list.running)
		list.running = thread_start();
	if (!list.running) {
		lock_release(&list.lock);
		spare_close(p);
		return -EAGAIN;
	}
	p->next = list.first;
	list.first = p;
	idle = list.idle;
	list.idle = false;
	lock_release(&list.lock);
	/* Relaxed, all: the file's kind orders it, or its lock. */
	atomic_fetch_add_explicit(&pending_nr, 1, memory_order_relaxed);
	atomic_store_explicit(&f->pending_until_ns, p->until_ns, memory_order_relaxed);
	atomic_store_explicit(&f->pending, p, memory_order_relaxed);
	if (idle) {
		/* BEGUN, beginning end. */
		atomic_fetch_add_explicit(&list.begun, 1, memory_order_release);
		futex_wake_private(&list.begun, 1);
	}
	return 0;
}

/* With the file's lock held. */
static struct pending *pending_of(struct file *f)
{
	/* Relaxed: the lock orders it. */
	return atomic_load_explicit(&f->pending, memory_order_relaxed);
}

/* With the file's lock held. */
static void pending_end(struct file *f, struct pending *p)
{
	struct pending **at = &list.first;

	lock_take(&list.lock);
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	lock_release(&list.lock);
	/* Relaxed, both: as in pending_begin. */
	atomic_store_explicit(&f->pending, NULL, memory_order_relaxed);
	atomic_fetch_sub_explicit(&pending_nr, 1, memory_order_relaxed);
	spare_close(p);
}

void pending_drop(struct file *f)
{
	struct pending *p;

	lock_take(&f->lock);
	p = pending_of(f);
	if (p) {
		/* Who gave up before us has learnt it as well. */
		if (connect_outcome(p->nc, 0) == -EINPROGRESS && clock_now_ns() >= p->until_ns)
			way_learn(address_of(p), p->len, -ETIMEDOUT, LEFT_PEER_DOWN);
		pending_end(f, p);
	}
	lock_release(&f->lock);
}

/* All descriptors of @f, which are the spare's now, are shown as the kernel's. */
static void show_all(struct file *f, const struct pending *p, enum left_why why)
{
	int first = -1;

	for (int fd = 0; fd <= file_top(); fd++) {
		if (file_of(fd) != f)
			continue;
		if (first < 0)
			kernel_connected(fd, why, address_of(p), p->len);
		else
			kernel_copied(first, fd);
		first = first < 0 ? fd : first;
	}
}

/*
 * ncd has said no. True: the file is the kernel's, and no file any more. False: the kernel cannot
 * even begin, and so ncd's answer stands. With the file's lock held.
 */
static bool pending_refused(struct file *f, struct pending *p, int error)
{
	enum left_why why = connect_peer_down(p->nc) ? LEFT_PEER_DOWN : way_why(error);
	bool ours = false;

	way_say("connect", address_of(p), p->len, way_why_text(why));
	way_learn(address_of(p), p->len, error, why);
	if (real()->connect(p->spare, (__CONST_SOCKADDR_ARG){ address_of(p) }, p->len) == 0 ||
	    errno == EINPROGRESS)
		ours = true;
	if (ours) {
		watch_leave(f);
		ours = file_become_kernel(f, p->spare) == 0;
		watch_add(f);
	}
	if (ours) {
		show_all(f, p, why);
		file_leave(f);
	}
	pending_end(f, p);
	return ours;
}

/* With the file's lock held, and the file. @ret_nc: virtual socket to be closed, or -1. */
static bool settle_locked(struct file *f, bool late, int *ret_nc)
{
	struct pending *p = pending_of(f);
	int outcome;

	*ret_nc = -1;
	if (!p)
		return file_kind(f) != FILE_VIRTUAL;
	if (file_kind(f) != FILE_VIRTUAL)
		return false; /* it is just being begun */
	outcome = connect_outcome(p->nc, 0);
	if (outcome == -ENOTCONN)
		outcome = -ECONNREFUSED; /* another connect(2) has taken it */
	if (outcome == -EINPROGRESS && !late && clock_now_ns() < p->until_ns)
		return false;
	if (outcome == 0) {
		way_say("connect", address_of(p), p->len, NULL);
		pending_end(f, p);
		return false;
	}
	*ret_nc = p->nc;
	if (pending_refused(f, p, outcome == -EINPROGRESS ? -ETIMEDOUT : outcome))
		return true;
	*ret_nc = -1;
	return false;
}

static bool settle(struct file *f, bool late)
{
	int err = errno, nc;
	bool gone;

	if (!file_hold(f)) /* it has just been closed */
		return true;
	lock_take(&f->lock);
	gone = settle_locked(f, late, &nc);
	lock_release(&f->lock);
	if (nc >= 0)
		(void)nc_close(nc); /* it never was anything */
	file_let_go(f);
	errno = err;
	return gone;
}

bool pending_settle(struct file *f)
{
	/* Most looks find no answer: those cost no syscall. Relaxed: behind the load that has found
	 * it pending; of an earlier or a later one it is as good, who settles looks again. */
	if (file_kind(f) == FILE_VIRTUAL && connect_waits(file_nc(f)) &&
	    clock_now_ns() < atomic_load_explicit(&f->pending_until_ns, memory_order_relaxed))
		return false;
	return settle(f, false);
}

void pending_await(struct file *f)
{
	int err = errno, nc = -1;
	struct pending *p;

	lock_take(&f->lock);
	p = pending_of(f);
	if (p)
		nc = p->nc;
	lock_release(&f->lock);
	if (nc < 0)
		return;
	(void)connect_outcome(nc, clock_now_ns() + PENDING_NS); /* settle asks */
	(void)settle(f, true);                                  /* the caller looks */
	errno = err;
}

/* The file of virtual socket @nc; NULL: nothing of it is pending. */
static struct file *pending_find(int nc)
{
	struct file *found = NULL;

	lock_take(&list.lock);
	for (struct pending *p = list.first; p && !found; p = p->next)
		if (p->nc == nc)
			found = p->file;
	lock_release(&list.lock);
	return found;
}

/* The end of a pending alone, whoever settles it. */
static bool is_refusal(struct nc_cq *cq, const struct nc_event *event)
{
	struct file *f;

	if (!(event->events & (POLLERR | POLLHUP)))
		return false;
	f = pending_find(event->socket);
	if (f && pending_settle(f))
		return true;
	/* Settled by another thread, meanwhile, or closed: it has left the queue. */
	return !cq_has(cq, event->socket);
}

int pending_strip(struct nc_cq *cq, struct nc_event *events, int n)
{
	int kept = 0;

	for (int i = 0; i < n; i++)
		if (!is_refusal(cq, &events[i]))
			events[kept++] = events[i];
	return kept;
}

void pending_option(struct file *f, int level, int name, const void *val, socklen_t len)
{
	struct pending *p;

	lock_take(&f->lock);
	p = pending_of(f);
	if (p)
		(void)real()->setsockopt(p->spare, level, name, val,
					 len); /* the virtual one has judged it */
	lock_release(&f->lock);
}

/* ---- the thread ---- */

/* A copy of the oldest; false: there is none, and the thread is idle. */
static bool oldest(struct pending *ret_copy)
{
	struct pending *p;

	lock_take(&list.lock);
	p = list.first;
	while (p && p->next)
		p = p->next;
	if (p)
		*ret_copy = *p;
	else
		list.idle = true;
	lock_release(&list.lock);
	return p != NULL;
}

/*
 * Most are settled by whoever looks at them, so each is left alone for a while. Then one after the
 * other: none is settled later than its time is up.
 */
static void *thread_run(void *arg)
{
	struct pending p = { 0 };

	(void)arg;
	lock_own_nothing();
	for (;;) {
		/* BEGUN, waiting end: before the look. */
		uint32_t begun = atomic_load_explicit(&list.begun, memory_order_acquire);
		uint64_t alone_ns = NC_FOREVER;

		if (oldest(&p))
			alone_ns = p.until_ns - PENDING_NS + ALONE_NS;
		if (clock_now_ns() < alone_ns) {
			(void)futex_wait_private(&list.begun, begun, alone_ns); /* looks again */
			continue;
		}
		(void)connect_outcome(p.nc, p.until_ns); /* settle asks */
		if (!settle(p.file, false))
			(void)sched_yield(); /* just being closed, or interrupted; cannot fail */
	}
	return NULL;
}

/* The child has none of its parent's virtual sockets, and must not hold what they may become. */
static void fork_child(void)
{
	struct lock none = { 0 };

	list.lock = none;
	for (struct pending *p = list.first; p; p = p->next) {
		(void)real()->close(p->spare); /* its copy */
		/* Relaxed, all: this is the only thread; the table's lock is not to be had here. */
		atomic_store_explicit(&file_table[p->spare], NULL, memory_order_relaxed);
		atomic_store_explicit(&p->file->pending, NULL, memory_order_relaxed);
	}
	list.first = NULL;
	list.running = list.idle = false; /* threads are not inherited */
	atomic_store_explicit(&pending_nr, 0, memory_order_relaxed);
}

__attribute__((constructor)) static void pending_init(void)
{
	(void)pthread_atfork(NULL, NULL, fork_child); /* without memory: as file.c says */
}
