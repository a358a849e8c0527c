/* SPDX-License-Identifier: MIT */
/*
 * poll_queue.h - what a thread sleeps on that polls several virtual sockets: a completion queue of
 * its own, made with its first such poll and given back when the thread ends.
 *
 * The queue is weak: a set of epoll takes its members away, and so does another thread's poll while
 * this one is awake. What is not to be had is waited for by its pollable descriptor.
 *
 * Ownership: the thread's. Threading: any thread; a signal handler that polls within a poll of its
 * thread goes without.
 */
#ifndef NC_POLL_QUEUE_H
#define NC_POLL_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "ncclient.h"

/* Before the others, to be followed by poll_queue_end. False: there is none to be had, or the poll
 * that this one interrupts has it. */
bool poll_queue_begin(void);
void poll_queue_end(void);
/* One of @events (POLL*) of virtual socket @number shall end the next sleep. False: it is not to be
 * waited for so. */
bool poll_queue_want(int number, short events);
/* Sleeps until it may be worth to look: 0, -EINTR, -ETIMEDOUT (@until_ns). A cancellation point. */
int poll_queue_sleep(uint64_t until_ns);
/* For who sleeps in poll(2): the descriptor that is readable then; -errno. */
int poll_queue_fd(void);
/* False: it may be worth to look now. Else to be followed by the second, and whether the descriptor
 * was readable. */
bool poll_queue_enter(void);
void poll_queue_leave(bool rung);

/* Child of a fork, its only thread: the queue was its parent's. */
void poll_queue_forget(void);

#endif /* NC_POLL_QUEUE_H */
