/* SPDX-License-Identifier: MIT */
/*
 * epoll.c - epoll_create, and the life of a set.
 */
#include "epoll.h"

#include <string.h>

#include "../memory.h"
#include "limit.h"
#include "ncclient.h"
#include "real.h"
#include "way.h"

#define RETIRED_MAX (sizeof(((struct set *)0)->retired) / sizeof(struct nc_cq *))

/* Global: why: descriptors are the process's, and so is what they name. */
static struct {
	struct lock lock;
	struct set *free;
} pool;

void set_before_fork(void)
{
	lock_take(&pool.lock);
}

void set_behind_fork(void)
{
	lock_release(&pool.lock);
}

static struct set *set_take(void)
{
	struct set *set;

	lock_take(&pool.lock);
	set = pool.free;
	if (set)
		pool.free = set->next_free;
	lock_release(&pool.lock);
	if (!set)
		set = memory_take(1, sizeof(*set));
	if (!set)
		return NULL;
	set->kernel = false;
	/* Relaxed, all: nobody else knows it yet. */
	atomic_store_explicit(&set->looked_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&set->found, false, memory_order_relaxed);
	atomic_store_explicit(&set->kernel_next, false, memory_order_relaxed);
	atomic_store_explicit(&set->listener_nr, 0, memory_order_relaxed);
	atomic_store_explicit(&set->inherited, false, memory_order_relaxed);
	atomic_fetch_add_explicit(&set->serial, 1, memory_order_relaxed);
	atomic_store_explicit(&set->users, 1, memory_order_relaxed);
	return set;
}

bool set_enter(struct set *set)
{
	/* Relaxed: the exchange decides. */
	uint32_t users = atomic_load_explicit(&set->users, memory_order_relaxed);

	while (users > 0)
		/* QUEUE, waiting end. */
		if (atomic_compare_exchange_weak_explicit(&set->users, &users, users + 1,
							  memory_order_seq_cst,
							  memory_order_relaxed))
			return true;
	return false;
}

void set_leave(struct set *set)
{
	/* QUEUE, waiting end: the last one sees what the others did. */
	if (atomic_fetch_sub_explicit(&set->users, 1, memory_order_seq_cst) != 1)
		return;
	nc_cq_destroy(set_queue(set));
	/* QUEUE, taking end: nobody is there. */
	atomic_store_explicit(&set->cq, NULL, memory_order_seq_cst);
	for (size_t i = 0; i < RETIRED_MAX; i++) {
		nc_cq_destroy(set->retired[i]);
		set->retired[i] = NULL;
	}
	lock_take(&pool.lock);
	set->next_free = pool.free;
	pool.free = set;
	lock_release(&pool.lock);
}

void set_close(struct set *set)
{
	/* Relaxed: registrations remember another number. */
	atomic_fetch_add_explicit(&set->serial, 1, memory_order_relaxed);
	set_leave(set);
}

void set_forget(struct set *set)
{
	struct lock none = { 0 };

	pool.lock = none;
	set->lock = none;
	memset(set->retired, 0, sizeof(set->retired));
	/* Relaxed, all: this is the only thread, and it does not wait. */
	atomic_store_explicit(&set->cq, NULL, memory_order_relaxed);
	atomic_store_explicit(&set->bare, 0, memory_order_relaxed);
	atomic_store_explicit(&set->users, 1, memory_order_relaxed);
	atomic_store_explicit(&set->inherited, true, memory_order_relaxed);
}

void set_inherit(struct set *set, int epfd)
{
	/* Relaxed, both: of several threads one does it, and the others find its sockets a moment
	 * later. */
	if (atomic_load_explicit(&set->inherited, memory_order_relaxed) &&
	    atomic_exchange_explicit(&set->inherited, false, memory_order_relaxed))
		watch_take_over(set, epfd);
}

/* With `lock` held: no queue any more. False: it cannot be given away, too many are in use. */
static bool queue_drop(struct set *set, int epfd)
{
	struct nc_cq *cq = set_queue(set);
	size_t i = 0;

	while (i < RETIRED_MAX && set->retired[i])
		i++;
	if (i == RETIRED_MAX)
		return false;
	(void)real()->epoll_ctl(epfd, EPOLL_CTL_DEL, nc_cq_fd(cq), NULL); /* it is there */
	/* QUEUE, taking end. */
	atomic_store_explicit(&set->cq, NULL, memory_order_seq_cst);
	/* QUEUE, taking end: beside the descriptor and the caller. */
	if (atomic_load_explicit(&set->users, memory_order_seq_cst) > 2)
		set->retired[i] = cq;
	else
		nc_cq_destroy(cq);
	return true;
}

void set_ring_bare(struct set *set, struct nc_cq *cq)
{
	/* BARE, making end. */
	if (atomic_load_explicit(&set->bare, memory_order_seq_cst) > 0)
		cq_ring(cq);
}

/* With `lock` held. */
static int queue_create(struct set *set, int epfd)
{
	/* A lone pointer is as good as any number that no program gives. */
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.ptr = set };
	struct nc_cq *cq;
	int ret = nc_cq_create(&cq);

	if (ret < 0)
		return ret;
	ret = nc_cq_fd(cq);
	if (ret >= 0)
		ret = real()->epoll_ctl(epfd, EPOLL_CTL_ADD, ret, &e) < 0 ? -errno : 0;
	if (ret < 0) {
		nc_cq_destroy(cq);
		return ret;
	}
	/* QUEUE: there was none. BARE, making end. */
	atomic_store_explicit(&set->cq, cq, memory_order_seq_cst);
	set_ring_bare(set, cq);
	return 0;
}

static uint32_t flags_of(const struct epoll_event *event)
{
	return (event->events & EPOLLET ? 0 : CQ_LEVEL) |
	       (event->events & EPOLLONESHOT ? CQ_ONESHOT : 0);
}

/* What poll(2) has a name for. */
static uint32_t events_of(const struct epoll_event *event)
{
	return event->events & 0xffffu;
}

/* With `lock` held. */
static int queue_have(struct set *set, int epfd)
{
	struct nc_cq *cq = set_queue(set);

	if (set->kernel)
		return -ENOTSUP;
	if (cq && cq_dead(cq) && !cq_in_use(cq)) {
		if (!queue_drop(set, epfd))
			return -EMFILE;
		cq = NULL;
	}
	return cq ? 0 : queue_create(set, epfd);
}

int set_prepare(struct set *set, int epfd)
{
	int ret;

	lock_take(&set->lock);
	ret = queue_have(set, epfd);
	lock_release(&set->lock);
	return ret;
}

int set_add(struct set *set, int epfd, int nc, const struct epoll_event *event)
{
	int ret;

	lock_take(&set->lock);
	ret = queue_have(set, epfd);
	if (ret == 0)
		ret = cq_add(set_queue(set), nc, events_of(event), flags_of(event),
			     event->data.u64);
	lock_release(&set->lock);
	return ret;
}

int set_modify(struct set *set, int nc, const struct epoll_event *event)
{
	struct nc_cq *cq = set_queue(set);

	return cq ? cq_modify(cq, nc, events_of(event), flags_of(event), event->data.u64) : -ENOENT;
}

int set_remove(struct set *set, int nc)
{
	struct nc_cq *cq = set_queue(set);

	return cq ? nc_cq_remove(cq, nc) : -ENOENT;
}

void set_leave_queue(struct set *set, int epfd)
{
	lock_take(&set->lock);
	set->kernel = true;
	lock_release(&set->lock);
	if (!set_queue(set))
		return;
	watch_leave_queue(set, epfd);
	lock_take(&set->lock);
	if (set_queue(set))
		(void)queue_drop(set, epfd); /* else it stays, empty */
	lock_release(&set->lock);
}

/* ---- making one ---- */

static int set_open(int epfd)
{
	int err = errno;
	struct set *set;
	struct file *f;

	if (epfd < 0 || way_off())
		return epfd;
	set = set_take();
	f = set ? file_open(epfd, FILE_KERNEL, AF_UNSPEC, -1) : NULL;
	if (f) {
		f->set = set;
		/* KIND, writing end. */
		atomic_store_explicit(&f->kind, FILE_EPOLL, memory_order_release);
	} else if (set) {
		set_close(set);
	}
	errno = err;
	return epfd;
}

EXPORT int epoll_create1(int flags)
{
	return set_open(limit_give(real()->epoll_create1(flags)));
}

EXPORT int epoll_create(int size)
{
	return set_open(limit_give(real()->epoll_create(size)));
}
