/* SPDX-License-Identifier: MIT */
/*
 * epoll.h - a set: an epoll of the program, of which the kernel has one part and we the other.
 *
 *   epoll_ctl of a virtual socket ---> completion queue <--- workers   epoll_wait looks here first,
 *                                          | its descriptor            without a syscall,
 *   epoll_ctl of anything else ------> the kernel's epoll              and sleeps here
 *
 * The kernel's part is looked at whenever a call has nothing else, and at least every LOOK_NS. What
 * the kernel must be able to wait for by itself (an epoll inside another, or in a poll), has no
 * queue: virtual sockets are in it by their pollable descriptors. So is a socket's second set.
 *
 * Ownership: sets come from a pool and are never freed. The open descriptor and each thread in a
 *   wait is a user; the last one gives the queue back.
 * Threading: any thread. Fields are atomic, or under `lock`.
 *
 * Ordering:
 *   QUEUE  one who waits: ++users (seq_cst), then loads cq (seq_cst); one who takes it away: stores
 *          cq (seq_cst), then looks at users (seq_cst). Nobody has it, or he is seen.
 *   BARE   who is to sleep without a queue: ++bare (seq_cst), then loads cq (seq_cst), sleeps if
 *          there is none; who makes one: stores cq (seq_cst), then looks at bare (seq_cst), rings.
 *          One sleeper hears it: who has looked at the kernel's part rings on, while any is left.
 */
#ifndef PRELOAD_EPOLL_H
#define PRELOAD_EPOLL_H

#include "../cq.h"
#include "file.h"

#define LOOK_NS       100000u
#define SET_LISTENERS 8 /* of more than so many the daemon is not told that somebody waits */

struct set {
	_Atomic(struct nc_cq *) cq;  /* NULL: no virtual socket was in it, or the kernel waits */
	_Atomic uint32_t users;
	_Atomic uint32_t bare;       /* of them: asleep, and not woken by the queue */
	_Atomic uint64_t serial;     /* ++ for each epoll */
	_Atomic uint64_t looked_ns;  /* at the kernel's part */
	_Atomic bool found;          /* something, then: so there may be more */
	_Atomic bool kernel_next;    /* of calls that want one event, every other is the kernel's */
	_Atomic uint32_t listening;  /* file_listening when the next two were looked up */
	_Atomic uint32_t listener_nr;
	_Atomic int listener[SET_LISTENERS]; /* virtual sockets that listen */

	_Atomic bool inherited; /* of a forked child: it has not waited here yet */
	struct lock lock;
	bool kernel; /* it waits for this set: no queue */
	struct nc_cq *retired[4]; /* were in use when they were taken away */
	struct set *next_free; /* pool lock */
};

struct listeners {
	int nc[SET_LISTENERS];
	uint32_t nr;
};

/* Its queue, for a user, or NULL. */
static inline struct nc_cq *set_queue(struct set *set)
{
	/* QUEUE, waiting end; BARE, sleeping end. */
	return atomic_load_explicit(&set->cq, memory_order_seq_cst);
}

/* The set that @epfd names, or NULL. */
static inline struct set *set_of(int epfd)
{
	struct file *f = file_of(epfd);

	return f && file_kind(f) == FILE_EPOLL ? f->set : NULL;
}

static inline uint64_t set_serial(struct set *set)
{
	/* Relaxed: a number to compare. */
	return atomic_load_explicit(&set->serial, memory_order_relaxed);
}

/* The caller uses it: false if it has been closed. */
bool set_enter(struct set *set);
void set_leave(struct set *set);
/* The next four are for users.
 * Puts virtual socket @nc into the queue of @set, which is made if there is none. 0, or -errno: it
 * must go to the kernel's epoll @epfd. */
int set_add(struct set *set, int epfd, int nc, const struct epoll_event *event);
/* Makes the queue if there is none: set_add will find it. 0, or -errno: there can be none. */
int set_prepare(struct set *set, int epfd);
int set_modify(struct set *set, int nc, const struct epoll_event *event);
int set_remove(struct set *set, int nc);
/* Wakes one who sleeps without a queue, if there is any: he is to see @cq. */
void set_ring_bare(struct set *set, struct nc_cq *cq);
/* @epfd is going to be waited for in the kernel. */
void set_leave_queue(struct set *set, int epfd);
/* The listeners registered at it, which this process waits at from now on. */
void set_listeners(struct set *set, int epfd, struct listeners *l);
/* Its last descriptor is closed. */
void set_close(struct set *set);
/* In a forked child: its queue is the parent's. */
void set_forget(struct set *set);
/* Around a fork, behind it in both processes: the pool of sets is whole. */
void set_before_fork(void);
void set_behind_fork(void);
/* The child waits at @epfd: what its parent had registered there is its own from now on. */
void set_inherit(struct set *set, int epfd);

#endif /* PRELOAD_EPOLL_H */
