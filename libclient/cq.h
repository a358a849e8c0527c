/* SPDX-License-Identifier: MIT */
/*
 * cq.h - completion queues, as the rest of the library sees them.
 *
 * A member is in the ready list when something about it may have become true: a worker's word names
 * it, or it was added, modified, or reported and is of level. Collecting goes through that list,
 * looks at each, and arms before it looks, so what happens later makes a new word.
 *
 * Ownership: a queue is part of its attachment.
 * Threading: any thread; the locks are said at each.
 */
#ifndef NC_CQ_H
#define NC_CQ_H

#include "ncclient.h"
#include "sock_calls.h"

#define CQ_LEVEL   0x1u /* reported as long as it is true, not only when something is new */
#define CQ_ONESHOT 0x2u /* reported once, then not before it is modified */

/* @s has got its slot or listener: if it is in a queue, that is told to the daemon. No lock of @s
 * is held. */
void cq_refresh(struct nc_sock *s);
/* What this process did to @s may have made something true that no worker tells. As above. */
void cq_look_again(struct nc_sock *s);
/* Takes @s out of its queue, if it is in one. No lock of @s is held. */
void cq_detach(struct nc_sock *s);
/* Until cq_let_go no queue looks at @s, of @att, nor gets or loses it. No lock of @s is held when
 * it begins. */
void cq_hold(struct attachment *att, struct nc_sock *s);
void cq_let_go(struct attachment *att, struct nc_sock *s);
/* Watcher: the attachment is dead; wakes who waits. */
void cq_wake_all(struct attachment *att);

/* ---- for who sleeps elsewhere: an epoll with nc_cq_fd() in it, edge triggered ---- */

/* As nc_cq_add and nc_cq_modify; @events any POLL*, @flags CQ_*. */
int cq_add(struct nc_cq *cq, int number, uint32_t events, uint32_t flags, uint64_t data);
int cq_modify(struct nc_cq *cq, int number, uint32_t events, uint32_t flags, uint64_t data);
/* Up to @max events; never waits, makes no syscall. */
int cq_poll(struct nc_cq *cq, struct nc_event *events, int max);
/* This thread is going to sleep: false if there is something to collect. */
bool cq_sleep_enter(struct nc_cq *cq);
/* It has slept. To be followed by cq_poll and cq_pass_on. */
void cq_sleep_leave(struct nc_cq *cq);
/* Of several threads one was woken, and has taken what it had room for: another one is woken for
 * the rest, or for what comes. */
void cq_pass_on(struct nc_cq *cq);
/* Wakes one who sleeps in the kernel, whether he has said so or not. */
void cq_ring(struct nc_cq *cq);
/* It has members, or is of no more use: its daemon has gone. */
bool cq_in_use(struct nc_cq *cq);
/* Virtual socket @number is a member of it. */
bool cq_has(struct nc_cq *cq, int number);
bool cq_dead(struct nc_cq *cq);

/* ---- weak queues, for poll_queue.c ---- */

/* As nc_cq_create: a queue whose members go to another that wants them; to a weak one, unless its
 * thread sleeps. -EMFILE: there are enough. */
int cq_create_weak(struct nc_cq **ret_cq);
/* One of @events (any POLL*) of virtual socket @number is to be reported, once. Errors as of
 * nc_cq_add. */
int cq_want(struct nc_cq *cq, int number, uint32_t events);
/* Its thread sleeps until @until_ns, or there is something to collect: 0, -EINTR, -ETIMEDOUT. A
 * cancellation point. */
int cq_sleep_weak(struct nc_cq *cq, uint64_t until_ns);
/* The same for who sleeps in poll(2) with nc_cq_fd() there: false if he need not; else to be
 * followed by the second, and whether the descriptor was readable. */
bool cq_sleep_weak_enter(struct nc_cq *cq);
void cq_sleep_weak_leave(struct nc_cq *cq, bool rung);

/* ---- cq_member.c, for cq.c; with cq->lock held ---- */

/* To be looked at by the next collector; wakes him if he sleeps. */
void ready_push(struct nc_cq *cq, struct nc_sock *s);
/* The same, for the collector himself. */
void ready_append(struct nc_cq *cq, struct nc_sock *s);
void ready_remove(struct nc_cq *cq, struct nc_sock *s);
/* Arms what @s waits for and returns which of it is true now. */
uint32_t cq_arm_and_look(struct nc_sock *s, uint32_t wanted);
/* @s is a member no more; with attachment.cq_lock held too. */
void cq_unlink(struct nc_cq *cq, struct nc_sock *s);
/* Names @cq in the shared memory as where @s is waited for. */
void cq_name(struct nc_cq *cq, struct nc_sock *s);
/* Wakes as doorbell.h says the sleeper asked for. */
void cq_wake(struct nc_cq *cq, uint32_t how);

#endif /* NC_CQ_H */
