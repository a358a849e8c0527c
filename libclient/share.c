/* SPDX-License-Identifier: MIT */
/*
 * share.c - which sockets other processes may get, and what becomes of them in a forked child, or
 * in a program that was started with their descriptors.
 *
 * The daemon is told before another process can have the descriptor, many at a time. From then on
 * it closes a stream when the last copy of the descriptor is closed, and nc_close only lets go.
 */
#include "share.h"

#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ncd/descriptor_name.h"

#include "pair.h"
#include "process.h"
#include "sock_calls.h"

#define LOCK_TRIES 10000 /* the forking thread may have been interrupted within a call itself */

/* Global: why: set once, by the object that stands in front of fork. */
static _Atomic bool at_fork;

/* What is told to the daemon at once. */
struct share_batch {
	struct attachment *att;
	struct ctl_share msg;
	int fds[2 * CTL_SHARE_MAX];
	uint32_t fd_nr;
};

static void batch_send(struct share_batch *b)
{
	if (b->msg.nr > 0)
		/* What the daemon does not share ends with this process, as it always did. */
		(void)control_ask_fds(b->att, &b->msg, sizeof(b->msg), b->fds, b->fd_nr, NULL,
				      NULL);
	b->msg.nr = b->fd_nr = 0;
}

/* With all locks of @s held. */
static void batch_add(struct share_batch *b, struct nc_sock *s)
{
	struct ctl_share_entry *e;

	if (b->att != s->att || b->msg.nr == CTL_SHARE_MAX)
		batch_send(b);
	b->att = s->att;
	e = &b->msg.entry[b->msg.nr++];
	*e = (struct ctl_share_entry){ .slot = s->slot_nr, .worker = (uint16_t)s->port->worker };
	b->fds[b->fd_nr++] = s->pollfd;
	pollfd_used(s);
	pollfd_show_shut(s);
	if (s->domain == AF_INET6)
		e->flags |= SHARE_INET6;
	if (s->pollfd_peer < 0)
		return;
	e->flags |= SHARE_END;
	b->fds[b->fd_nr++] = s->pollfd_peer;
	s->pollfd_joined = true;
}

/* A signal handler may fork while its thread holds a lock. */
static bool lock_try_often(struct lock *l, uint32_t tries)
{
	for (uint32_t i = 0; i < tries; i++) {
		if (lock_try(l))
			return true;
		(void)sched_yield(); /* cannot fail */
	}
	return false;
}

bool sock_try_all(struct nc_sock *s, uint32_t tries)
{
	if (!lock_try_often(&s->tx.lock, tries))
		return false;
	if (lock_try_often(&s->rx.lock, tries)) {
		if (lock_try_often(&s->lock, tries))
			return true;
		lock_release(&s->rx.lock);
	}
	lock_release(&s->tx.lock);
	return false;
}

static void share_socket(struct nc_sock *s, void *arg)
{
	if (s->pollfd < 0 || sock_is_common(s) || !sock_try_all(s, LOCK_TRIES))
		return;
	if (sock_open(s) && s->pollfd >= 0 && sock_settle(s) == 0 && !attachment_dead(s->att) &&
	    !sock_is_common(s)) {
		/* Relaxed, both: with all locks held; who looks holds one. */
		atomic_store_explicit(&s->lent, false, memory_order_relaxed);
		atomic_store_explicit(&s->shared, true, memory_order_relaxed);
		batch_add(arg, s);
	}
	sock_release_all(s);
}

static void share_rest(void *arg)
{
	batch_send(arg);
}

void share_all(void)
{
	struct share_batch b = { .msg.head.type = CTL_SHARE };

	pair_before_fork();
	/* The table is locked, so no descriptor of the batch is closed before it is sent. */
	process_each_socket(share_socket, share_rest, &b);
}

struct share_choice {
	struct share_batch batch;
	int number;
};

static void share_chosen(struct nc_sock *s, void *arg)
{
	struct share_choice *c = arg;

	if (s->number == c->number)
		share_socket(s, &c->batch);
}

void share_one(int number)
{
	struct share_choice c = { .batch.msg.head.type = CTL_SHARE, .number = number };
	struct nc_sock *s = sock_find(number);

	if (s && !sock_is_common(s) && sock_phase(s) != PHASE_AWAY)
		process_each_socket(share_chosen, share_rest, &c);
}

void share_at_fork(void)
{
	/* Relaxed: by a constructor, before any fork. */
	atomic_store_explicit(&at_fork, true, memory_order_relaxed);
}

void share_before_fork(void)
{
	if (flag_get(&at_fork))
		share_all();
}

/* ---- in the child ---- */

bool share_keeps(struct nc_sock *s)
{
	uint32_t phase = sock_phase(s);

	return s->pollfd >= 0 && sock_is_common(s) &&
	       (phase == PHASE_CONNECTED || phase == PHASE_AWAY);
}

bool share_kept(int number)
{
	struct nc_sock *s = sock_find(number);

	return s && share_keeps(s);
}

void share_leave_parent(struct nc_sock *s)
{
	struct lock none = { 0 };

	s->tx.lock = s->rx.lock = s->lock = none;
	s->sleepers = 0;
	s->closing = false;
	s->att = attachment_nowhere();
	s->slot = NULL;
	s->seq = NULL;
	s->port = NULL;
	s->port_held = false;
	s->acceptor = NULL;
	s->watchers = 0;
	s->pollfd_given = false;
	s->pollfd_joined = true;
	s->cq_events = 0;
	s->cq = NULL;
	s->ready_queued = false;
	/* The mappings are the parent's alone. */
	s->tx.base = s->tx.view = s->rx.base = s->rx.view = s->rx.old_view = NULL;
	sock_set_phase(s, PHASE_AWAY);
}

/* ---- descriptors from elsewhere ---- */

/* The domain of the socket whose descriptor @fd is, or 0. */
static int domain_of(int fd)
{
	struct sockaddr_un sun;
	socklen_t bytes = sizeof(sun);

	if (getpeername(fd, (struct sockaddr *)&sun, &bytes) < 0 || bytes > sizeof(sun) ||
	    sun.sun_family != AF_UNIX)
		return 0;
	return descriptor_name_is(&sun, bytes, DESCRIPTOR_STREAM, descriptor_cookie(fd));
}

int share_adopt(int fd, int *ret_domain)
{
	int domain = domain_of(fd), copy, ret;
	struct nc_sock *s;

	if (domain == 0)
		return -ENOENT;
	copy = pollfd_copy(fd);
	if (copy < 0)
		return copy;
	process_hooks();
	ret = sock_create(attachment_nowhere(), domain, &s);
	if (ret < 0) {
		close(copy);
		return ret;
	}
	s->pollfd = copy;
	s->pollfd_joined = true;
	s->connect_told = true;
	s->shared = true;
	sock_set_phase(s, PHASE_AWAY);
	*ret_domain = domain;
	return s->number;
}

void share_fetch(int number)
{
	struct nc_sock *s = sock_find(number);

	if (!s || !flag_get(&s->shared))
		return;
	lock_take(&s->tx.lock);
	if (sock_open(s) && sock_elsewhere(s))
		(void)sock_fetch(s, &s->tx.lock); /* what asks for it hears why not */
	lock_release(&s->tx.lock);
}

bool share_away(int number)
{
	struct nc_sock *s = sock_find(number);
	bool away;

	if (!s || !flag_get(&s->shared))
		return false;
	lock_take(&s->tx.lock);
	away = sock_open(s) && sock_elsewhere(s);
	lock_release(&s->tx.lock);
	return away;
}
