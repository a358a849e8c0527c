/* SPDX-License-Identifier: MIT */
/*
 * listen.c - nc_listen and nc_accept4: streams arrive as slot numbers in a queue from each worker.
 * A queue of a group (ncd/ctl_proto.h) is shared with the daemon, which may take one back.
 */
#include <string.h>

#include "cq.h"
#include "listener.h"
#include "memory.h"
#include "ncclient.h"
#include "sock_calls.h"

static uint8_t *accept_queue(struct attachment *att, uint32_t worker, uint32_t listener)
{
	const struct region_shm *l = &att->layout;

	return att->segment[0].base + l->port_off + worker * l->port_bytes + l->accept_off +
	       listener * l->accept_bytes;
}

static int acceptor_create(struct attachment *att, uint32_t number, struct acceptor **ret_acceptor)
{
	uint32_t nr = att->layout.workers;
	struct acceptor *a;

	if (number >= att->layout.listeners)
		return -EPROTO;
	a = memory_take(1, sizeof(*a) + nr * sizeof(a->ring[0]));
	if (!a)
		return -ENOMEM;
	a->number = number;
	a->shm = &att->listener[number];
	/* Relaxed: nobody of ours waits; a worker that thinks otherwise finds that out. */
	atomic_store_explicit(&a->shm->waiting, 0, memory_order_relaxed);
	/* Relaxed: of the listener that had the number before. */
	atomic_store_explicit(&a->shm->accepted, 0, memory_order_relaxed);
	for (uint32_t i = 0; i < nr; i++) {
		struct ring *r = &a->ring[i];

		ring_init(r, accept_queue(att, i, number), NCD_BACKLOG_MAX);
		/* Relaxed: this side wrote it last, for the listener that had the number before. */
		r->own = atomic_load_explicit(&r->shm->head, memory_order_relaxed);
		r->foreign = r->own;
	}
	*ret_acceptor = a;
	return 0;
}

static void listen_end(struct attachment *att, uint32_t listener)
{
	struct ctl_number msg = { .head.type = CTL_UNLISTEN, .number = listener };

	(void)control_ask(att, &msg, sizeof(msg), -1, NULL); /* gone daemon: nobody listens */
}

/* With `lock` held, phase NEW. With a @title (not -1) the port is asked for with it. */
static int listen_start(struct nc_sock *s, uint32_t backlog, int title)
{
	struct ctl_addr msg = {
		.head.type = CTL_LISTEN,
		.flags = (uint16_t)((title >= 0 ? CTL_ADDR_TITLE : CTL_ADDR_BOUND) |
				    (s->reuseport ? CTL_ADDR_REUSEPORT : 0)),
		.backlog = backlog,
		.tx_bytes = s->tx_want,
		.rx_bytes = s->rx_want,
		.class = s->class,
	};
	struct acceptor *a;
	uint32_t number;
	int ret;

	ret = pollfd_renew(s);
	if (ret == 0 && title < 0)
		ret = sock_hold_port(s);
	if (ret < 0)
		return ret;
	memcpy(msg.addr, s->local.addr, sizeof(msg.addr));
	msg.port = s->local.port;
	/* Relaxed: for who finds the daemon dead; before it can be, where it has answered. */
	atomic_store_explicit(&s->beside, title >= 0, memory_order_relaxed);
	ret = control_ask(s->att, &msg, sizeof(msg), title, &number);
	if (ret < 0)
		goto err_beside;
	ret = acceptor_create(s->att, number, &a);
	if (ret < 0)
		goto err_listen;
	s->acceptor = a;
	s->rx.armed = false; /* as another listener */
	s->rx.due = 0;
	/* DEAD, looking end: named before anybody sleeps on it. */
	atomic_store_explicit(&s->seq, &a->shm->seq, memory_order_seq_cst);
	sock_set_phase(s, PHASE_LISTENING);
	(void)pollfd_join(s); /* it fails only with the daemon, which is told otherwise */
	return 0;

err_listen:
	listen_end(s->att, number);
err_beside:
	/* Relaxed: as above. */
	atomic_store_explicit(&s->beside, false, memory_order_relaxed);
	return ret;
}

/* As listen(2) in Linux, a negative one is the largest: PHP asks for -1. */
static uint32_t backlog_of(int backlog)
{
	if (backlog == 0)
		return 1;
	return backlog < 0 || backlog > NCD_BACKLOG_MAX ? NCD_BACKLOG_MAX : (uint32_t)backlog;
}

/* @at: where, if it is not bound; with @title. All locks are held. */
static int listen_locked(struct nc_sock *s, int backlog, const struct endpoint *at, int title)
{
	int ret;

	if (!sock_open(s))
		return -EBADF;
	if (sock_phase(s) == PHASE_LISTENING)
		return 0; /* the backlog stays as it was */
	if (sock_phase(s) != PHASE_NEW || (at && s->bound))
		return -EINVAL;
	if (at)
		s->local = *at;
	ret = listen_start(s, backlog_of(backlog), title);
	if (at && ret < 0)
		s->local = (struct endpoint){ 0 };
	else if (at)
		s->bound = true;
	return ret;
}

static int listen_any(struct nc_sock *s, int backlog, const struct endpoint *at, int title)
{
	int ret;

	lock_take(&s->tx.lock);
	lock_take(&s->rx.lock);
	lock_take(&s->lock);
	ret = listen_locked(s, backlog, at, title);
	lock_release(&s->lock);
	lock_release(&s->rx.lock);
	lock_release(&s->tx.lock);
	if (ret == 0)
		cq_refresh(s);
	return ret;
}

int nc_listen(int number, int backlog)
{
	struct nc_sock *s = sock_find(number);

	return s ? listen_any(s, backlog, NULL, -1) : -EBADF;
}

int listener_open(int number, const struct sockaddr *addr, socklen_t len, int backlog, int title)
{
	struct nc_sock *s = sock_find(number);
	struct endpoint at;
	int ret;

	if (!s)
		return -EBADF;
	ret = endpoint_from_sockaddr(s->domain, addr, len, &at);
	return ret < 0 ? ret : listen_any(s, backlog, &at, title);
}

bool acceptor_look(struct nc_sock *s)
{
	struct acceptor *a = s->acceptor;

	for (uint32_t i = 0; i < s->att->layout.workers; i++)
		if (!ring_empty_claim(&a->ring[i]))
			return true;
	return attachment_dead(s->att);
}

/* Takes a stream from the workers in turn; false if none waits. Under rx.lock. */
static bool acceptor_pop(struct nc_sock *s, struct app_port **ret_port, uint32_t *ret_slot)
{
	struct acceptor *a = s->acceptor;
	uint32_t nr = s->att->layout.workers;
	uint64_t word;

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t worker = (a->turn + i) % nr;

		if (ring_pop_claim(&a->ring[worker], &word) < 0 || word >= s->att->layout.slots)
			continue;
		a->turn = (worker + 1) % nr;
		/* Relaxed, both: written once. */
		if (!atomic_load_explicit(&a->shm->accepted, memory_order_relaxed))
			atomic_store_explicit(&a->shm->accepted, 1, memory_order_relaxed);
		*ret_port = &s->att->port[worker];
		*ret_slot = (uint32_t)word;
		return true;
	}
	return false;
}

void acceptor_close(struct nc_sock *s)
{
	/* Relaxed: sleepers have been woken. */
	atomic_store_explicit(&s->seq, NULL, memory_order_relaxed);
	listen_end(s->att, s->acceptor->number);
	memory_give(s->acceptor);
	s->acceptor = NULL;
}

/* With all locks held, and its queue. */
static void acceptor_end(struct nc_sock *s)
{
	struct listener_shm *l = s->acceptor->shm;

	/* Relaxed: the lock of the queue, where there is one, orders it. */
	atomic_store_explicit(&s->att->listener_owner[s->acceptor->number], NULL,
			      memory_order_relaxed);
	sock_set_phase(s, PHASE_NEW);
	/* NOTIFY, as the daemon's end: moved, so that who is about to sleep does not. */
	atomic_fetch_add_explicit(&l->seq, 1, memory_order_release);
	futex_wake_shared(&l->seq);
	if (s->pollfd >= 0) {
		pollfd_used(s);
		(void)shutdown(s->pollfd, SHUT_RDWR); /* hung up until it listens anew */
		s->pollfd_joined = true;
	}
}

int acceptor_shutdown(struct nc_sock *s)
{
	struct attachment *att;
	int ret = -ENOTCONN;

	lock_take(&s->lock);
	att = sock_open(s) ? s->att : NULL;
	if (att)
		attachment_get(att);
	lock_release(&s->lock);
	if (!att)
		return -EBADF;
	cq_hold(att, s);
	lock_take(&s->tx.lock);
	lock_take(&s->rx.lock);
	lock_take(&s->lock);
	if (sock_open(s) && sock_phase(s) == PHASE_LISTENING) {
		acceptor_end(s);
		ret = 0;
	}
	cq_let_go(att, s);
	if (ret == 0) {
		acceptor_close(s);
		/* The port went with the listener. Taken by another: the next nc_listen tells. */
		s->port_held = false;
		(void)sock_hold_port(s);
	}
	lock_release(&s->lock);
	lock_release(&s->rx.lock);
	lock_release(&s->tx.lock);
	if (ret == 0)
		cq_look_again(s);
	attachment_put(att);
	return ret;
}

/* Options that an accepted socket takes from its listener, as in Linux. */
static void accepted_inherit(struct nc_sock *s, const struct nc_sock *from)
{
	s->recv_timeout_ns = from->recv_timeout_ns;
	s->send_timeout_ns = from->send_timeout_ns;
	s->linger = from->linger;
	s->linger_s = from->linger_s;
	s->class = from->class;
	s->priority = from->priority;
	s->nodelay = from->nodelay;
	s->keepalive = from->keepalive;
	s->tx_want = from->tx_want;
	s->rx_want = from->rx_want;
}

static int accepted_setup(struct nc_sock *s, struct app_port *p, uint32_t slot_nr)
{
	struct slot_shm *slot = &p->slot[slot_nr];
	int ret;

	lock_take(&s->lock);
	s->port = p;
	s->slot_nr = slot_nr;
	s->connect_told = true;
	/* Relaxed: as in connect_start. */
	atomic_store_explicit(&s->slot, slot, memory_order_relaxed);
	/* DEAD, looking end: named before anybody sleeps on it. */
	atomic_store_explicit(&s->seq, &slot->seq, memory_order_seq_cst);
	ret = sock_establish(s);
	lock_release(&s->lock);
	return ret;
}

/* What listener_accept is given; without a function nothing is to be done. */
struct preparation {
	int (*run)(int number, void *arg);
	void *arg;
};

/* One stream that waits; under rx.lock. Its number, -EAGAIN, or an error. */
static int accept_one(struct nc_sock *s, int flags, struct sockaddr *addr, socklen_t *addrlen,
		      const struct preparation *prepare)
{
	struct nc_sock *child;
	struct app_port *p;
	uint32_t slot;
	int ret;

	if (attachment_dead(s->att))
		return -ECONNRESET;
	if (!acceptor_look(s))
		return -EAGAIN;
	if (!name_room_valid(addr, addrlen))
		return -EINVAL; /* Linux says so too, but only when it has lost the connection */
	/* A number first: without one the stream stays in the queue, as in Linux. */
	ret = sock_create(s->att, s->domain, &child);
	if (ret < 0)
		return ret;
	ret = prepare && prepare->run ? prepare->run(child->number, prepare->arg) : 0;
	if (ret < 0 || !acceptor_pop(s, &p, &slot)) {
		sock_destroy(child);
		return ret < 0 ? ret : -EAGAIN;
	}
	accepted_inherit(child, s);
	child->nonblock = (flags & SOCK_NONBLOCK) != 0;
	if (accepted_setup(child, p, slot) < 0) {
		(void)nc_close(child->number); /* the stream is reset; nothing else can be done */
		return -ECONNABORTED;
	}
	endpoint_to_sockaddr(&child->remote, child->domain, addr, addrlen);
	return child->number;
}

/* Under rx.lock. */
static int accept_wait(struct nc_sock *s, int flags, struct sockaddr *addr, socklen_t *addrlen,
		       const struct preparation *prepare)
{
	uint64_t until_ns = 0;

	for (;;) {
		int ret;

		ret = sock_open(s) ? 0 : -EBADF;
		if (ret == 0 && sock_phase(s) != PHASE_LISTENING)
			ret = -EINVAL;
		if (ret == 0)
			ret = accept_one(s, flags, addr, addrlen, prepare);
		if (ret != -EAGAIN || flag_get(&s->nonblock))
			return ret;
		if (until_ns == 0)
			until_ns = wait_until(s->recv_timeout_ns);
		ret = sock_sleep_listener(s, &s->rx.lock, acceptor_look, until_ns);
		if (ret < 0)
			return ret;
	}
}

static int accept_any(int number, struct sockaddr *addr, socklen_t *addrlen, int flags, bool blocks,
		      const struct preparation *prepare)
{
	struct nc_sock *s = sock_find(number);
	int ret;

	if (!s)
		return -EBADF;
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	lock_take(&s->rx.lock);
	s->rx.blocks = blocks;
	ret = accept_wait(s, flags, addr, addrlen, prepare);
	if (sock_watched(s) && ret != -EBADF && sock_phase(s) == PHASE_LISTENING &&
	    !acceptor_look(s))
		pollfd_sync_in(s);
	lock_release(&s->rx.lock);
	return ret;
}

int nc_accept4(int number, struct sockaddr *addr, socklen_t *addrlen, int flags)
{
	return accept_any(number, addr, addrlen, flags, false, NULL);
}

int listener_accept(int number, struct sockaddr *addr, socklen_t *addrlen, int flags, bool blocks,
		    int (*prepare)(int number, void *arg), void *arg)
{
	const struct preparation p = { prepare, arg };

	return accept_any(number, addr, addrlen, flags, blocks, &p);
}
