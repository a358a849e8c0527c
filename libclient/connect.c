/* SPDX-License-Identifier: MIT */
/*
 * connect.c - nc_connect: a slot is filled in and handed to a worker, which answers in its state.
 */
#include <string.h>

#include "cq.h"
#include "left.h"
#include "ncclient.h"
#include "sock_calls.h"

/* A lower slot, at the worker that suits this application best if it has one. */
static int slot_find(struct nc_sock *s)
{
	uint32_t nr = s->att->layout.workers;
	/* Relaxed: advice. */
	uint32_t first = atomic_load_explicit(&s->att->default_worker, memory_order_relaxed);

	for (uint32_t i = 0; i < nr; i++) {
		struct app_port *p = &s->att->port[(first + i) % nr];

		if (port_slot_take(p, &s->slot_nr) == 0) {
			s->port = p;
			return 0;
		}
	}
	return -ENOBUFS;
}

static void slot_fill(struct nc_sock *s, struct slot_shm *slot)
{
	/* Relaxed: the push of SQ_OPEN publishes all of it. */
	atomic_store_explicit(&slot->tx_tail, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->tx_base, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->rx_head, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->kick, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->notify, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->qp, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->tx_taken, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->rx_taken, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->rx_want, 0, memory_order_relaxed);
	memcpy(slot->local_addr, s->local.addr, sizeof(slot->local_addr));
	memcpy(slot->peer_addr, s->remote.addr, sizeof(slot->peer_addr));
	slot->open_local_port = s->local.port;
	slot->open_peer_port = s->remote.port;
	slot->open_tx_bytes = s->tx_want;
	slot->open_rx_bytes = s->rx_want;
	slot->open_class = s->class;
	slot->open_flags = s->deferred ? OPEN_F_DEFER : 0;
}

/* With all locks held. */
static int connect_start(struct nc_sock *s, const struct endpoint *remote)
{
	struct slot_shm *slot;
	int ret;

	if (attachment_dead(s->att))
		return -ECONNRESET;
	ret = pollfd_renew(s);
	if (ret < 0)
		return -ENOBUFS;
	ret = slot_find(s);
	if (ret < 0)
		return ret;
	slot = &s->port->slot[s->slot_nr];
	s->remote = *remote;
	/* As in TCP: "any" is this host. */
	if (endpoint_is_any(remote) && s->att->addr_nr > 0)
		memcpy(s->remote.addr, s->att->addr[0], sizeof(s->remote.addr));
	s->deferred = s->fastopen;
	s->error_taken = false;
	s->connect_told = false;
	s->tx.head_seen = s->tx.origin = s->tx.reserved = 0;
	s->rx.tail_seen = s->rx.origin = s->rx.told = 0;
	s->rx.armed = false; /* in another slot */
	s->rx.due = 0;
	s->rx.end_shown = false;
	s->pollfd_joined = false;
	slot_fill(s, slot);
	/* Relaxed: the acquire of phase orders it for who reads it. */
	atomic_store_explicit(&s->slot, slot, memory_order_relaxed);
	/* DEAD: named before anybody sleeps on it. */
	/* DEAD, looking end. */
	atomic_store_explicit(&s->seq, &slot->seq, memory_order_seq_cst);
	sock_set_phase(s, PHASE_CONNECTING);
	port_submit(s->port, sq_word(SQ_OPEN, s->slot_nr, 0));
	(void)pollfd_join(s); /* it fails only with the daemon, which is told otherwise */
	return -EINPROGRESS;
}

/* With all locks held. -EINPROGRESS: an answer is to be waited for, or not. */
static int connect_phase(struct nc_sock *s, const struct endpoint *remote)
{
	int ret = sock_settle(s);
	bool told = s->connect_told;

	switch (sock_phase(s)) {
	case PHASE_NEW:
		return connect_start(s, remote);
	case PHASE_CONNECTING:
		return flag_get(&s->nonblock) && !s->deferred ? -EALREADY : -EINPROGRESS;
	case PHASE_CONNECTED:
		if (s->connect_told)
			return -EISCONN;
		s->connect_told = true; /* it was begun without waiting; this is its end */
		return 0;
	case PHASE_FAILED:
		ret = sock_take_error(s);
		sock_drop_slot(s, CLOSE_ABORT);
		sock_set_phase(s, PHASE_NEW);
		if (told)
			return connect_start(s, remote); /* the call that failed has said so */
		return ret < 0 ? ret : -ECONNABORTED;
	case PHASE_LISTENING:
		return -EISCONN;
	default:
		return ret;
	}
}

/* Waits for the answer, with `lock` held; 0, why not, or -EINTR, -EAGAIN (timeout). */
static int connect_wait(struct nc_sock *s, bool wait)
{
	uint64_t until_ns = wait_until(s->send_timeout_ns);

	for (;;) {
		int ret = sock_settle(s);

		if (ret == 0)
			s->connect_told = true;
		if (ret == -ECONNRESET || sock_phase(s) == PHASE_FAILED) {
			s->connect_told = true;
			ret = sock_take_error(s);
			return ret < 0 ? ret : -ECONNABORTED;
		}
		if (ret != -EINPROGRESS || !wait)
			return ret;
		ret = sock_sleep(s, &s->lock, EV_OUT | EV_ERR, connect_look, until_ns);
		if (ret < 0)
			return ret;
	}
}

int nc_connect(int number, const struct sockaddr *addr, socklen_t addrlen)
{
	struct nc_sock *s = sock_find(number);
	struct endpoint remote;
	int ret;

	if (!s)
		return -EBADF;
	lock_take(&s->tx.lock);
	lock_take(&s->rx.lock);
	lock_take(&s->lock);
	ret = sock_open(s) ? 0 : -EBADF;
	if (ret == 0)
		ret = endpoint_from_sockaddr(s->domain, addr, addrlen, &remote);
	if (ret == 0)
		ret = connect_phase(s, &remote);
	lock_release(&s->rx.lock);
	lock_release(&s->tx.lock);
	if (ret == -EINPROGRESS) {
		lock_release(&s->lock);
		cq_refresh(s); /* takes locks that come before ours */
		lock_take(&s->lock);
		/* Deferred: the worker only has to set up rings, so even a non-blocking one waits.
		 */
		ret = connect_wait(s, s->deferred || !flag_get(&s->nonblock));
		if (ret == -EAGAIN)
			ret = -EINPROGRESS; /* SO_SNDTIMEO, as socket(7) */
	}
	lock_release(&s->lock);
	return ret;
}

bool connect_peer_down(int number)
{
	struct nc_sock *s = sock_find_locked(number);
	bool down;

	if (!s)
		return false;
	/* STATE, application end: behind the look that found it failed. */
	down = sock_phase(s) == PHASE_FAILED && sock_slot(s) &&
	       atomic_load_explicit(&sock_slot(s)->flags, memory_order_acquire) & SLOT_F_PEER_DOWN;
	lock_release(&s->lock);
	return down;
}

bool connect_waits(int number)
{
	struct nc_sock *s = sock_find_locked(number);
	bool waits;

	if (!s)
		return false;
	waits = sock_phase(s) == PHASE_CONNECTING && !connect_look(s);
	lock_release(&s->lock);
	return waits;
}

int connect_outcome(int number, uint64_t until_ns)
{
	struct nc_sock *s = sock_find_locked(number);
	int ret;

	if (!s)
		return -EBADF;
	ret = sock_settle(s);
	while (ret == -EINPROGRESS && until_ns != 0) {
		ret = sock_sleep(s, &s->lock, EV_OUT | EV_ERR, connect_look, until_ns);
		if (ret == -EAGAIN)
			until_ns = 0;
		if (ret == 0 || ret == -EAGAIN || ret == -EINTR)
			ret = sock_settle(s);
	}
	if (ret == 0)
		s->connect_told = false; /* nobody but the caller knows */
	lock_release(&s->lock);
	return ret;
}

int connect_outcome_here(int number)
{
	struct nc_sock *s = sock_find_locked(number);

	if (s && sock_phase(s) == PHASE_CONNECTING)
		slot_await_taken(s);
	if (s)
		lock_release(&s->lock);
	return connect_outcome(number, 0);
}
