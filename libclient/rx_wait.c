/* SPDX-License-Identifier: MIT */
/*
 * rx_wait.c - what there is to receive, what an empty ring means, and the wait for more.
 */
#include "sock_calls.h"

bool rx_look(struct nc_sock *s)
{
	struct slot_shm *slot = sock_slot(s);

	if (sock_phase(s) != PHASE_CONNECTED)
		return sock_phase(s) != PHASE_CONNECTING || connect_look(s);
	/* RXBYTES and NOTIFY, application end. */
	return atomic_load_explicit(&slot->rx_tail, memory_order_seq_cst) != rx_head(slot) ||
	       /* NOTIFY, application end. */
	       atomic_load_explicit(&slot->flags, memory_order_seq_cst) & SLOT_F_EOF ||
	       sock_elsewhere(s) || sock_broken(s) < 0 || flag_get(&s->rx.shut);
}

/* As rx_look, for who wants more than the tail_seen he has. */
static bool rx_look_more(struct nc_sock *s)
{
	if (sock_phase(s) != PHASE_CONNECTED)
		return rx_look(s);
	/* RXBYTES and NOTIFY, application end. */
	return atomic_load_explicit(&sock_slot(s)->rx_tail, memory_order_seq_cst) !=
		       s->rx.tail_seen ||
	       /* NOTIFY, application end: another ring, or none although one was asked for. */
	       atomic_load_explicit(&sock_slot(s)->rx_given, memory_order_seq_cst) !=
		       s->rx.given ||
	       (s->rx.tail_seen - rx_head(sock_slot(s)) == s->rx.bytes &&
		/* NOTIFY, application end. */
		atomic_load_explicit(&sock_slot(s)->rx_most, memory_order_seq_cst) <=
			s->rx.bytes) ||
	       /* NOTIFY, application end. */
	       atomic_load_explicit(&sock_slot(s)->flags, memory_order_seq_cst) & SLOT_F_EOF ||
	       sock_elsewhere(s) || sock_broken(s) < 0 || flag_get(&s->rx.shut);
}

/* Of rx_refresh: the daemon has come to @tail, or gives another ring. */
static void rx_catch_up(struct nc_sock *s, uint64_t tail)
{
	struct slot_shm *slot = sock_slot(s);
	uint64_t seen = s->rx.tail_seen;

	s->rx.tail_seen = tail;
	/* It fails only with the daemon, which is told otherwise: then there is nothing to read. */
	if (rx_ring_follow(s, seen) < 0)
		s->rx.tail_seen = rx_head(slot);
	/* Relaxed: ordered by RXBYTES. */
	s->rx.origin = s->rx.joined ? 0 : atomic_load_explicit(&slot->rx_base,
							       memory_order_relaxed);
}

/*
 * Takes over how far the daemon has come, and to which ring. Its base is not moved while there are
 * bytes in it, and only with bytes that come.
 */
static inline void rx_refresh(struct nc_sock *s)
{
	struct slot_shm *slot = sock_slot(s);
	/* RXBYTES and NOTIFY, application end: who armed a wish before sees what is not told. */
	uint64_t tail = atomic_load_explicit(&slot->rx_tail, memory_order_seq_cst);

	/* GIVEN, application end. */
	if (tail != s->rx.tail_seen ||
	    atomic_load_explicit(&slot->rx_given, memory_order_acquire) != s->rx.given)
		rx_catch_up(s, tail);
}

uint64_t rx_available(struct nc_sock *s, size_t want)
{
	uint64_t head = rx_head(sock_slot(s));

	if (s->rx.tail_seen - head < want)
		rx_refresh(s);
	return s->rx.tail_seen - head;
}

uint64_t rx_available_at_once(struct nc_sock *s, size_t want)
{
	uint64_t bytes = rx_available(s, want);

	if (bytes < want && bytes == s->rx.bytes)
		(void)rx_ring_ask(s, want); /* for the next call: this one has something */
	return bytes;
}

/* What an empty ring means: 0 at the end of the stream, an error, or -EAGAIN if more may come. */
static int rx_end(struct nc_sock *s)
{
	/* NOTIFY, application end. */
	uint32_t flags = atomic_load_explicit(&sock_slot(s)->flags, memory_order_seq_cst);
	int error;

	/* What the peer finished stays so: a reset behind it is for who sends. */
	if (flags & SLOT_F_EOF)
		return 0;
	error = sock_broken(s);
	if (error < 0)
		return error;
	return flag_get(&s->rx.shut) ? 0 : -EAGAIN;
}

/* Not CONNECTED: 0 if it is by now, -EAGAIN while it connects, or an error. */
static int rx_check(struct nc_sock *s)
{
	switch (sock_settle_unlocked(s)) {
	case 0:
		return 0;
	case -EINPROGRESS:
		return -EAGAIN;
	default:
		break;
	}
	if (sock_phase(s) != PHASE_FAILED)
		return attachment_dead(s->att) ? -ECONNRESET : -ENOTCONN;
	return sock_broken(s);
}

ssize_t rx_result(struct nc_sock *s, ssize_t ret)
{
	int error;

	if (ret >= 0 || ret == -EAGAIN || ret == -EINTR || ret == -EBADF || sock_broken(s) == 0)
		return ret;
	error = sock_take_error(s);
	if (error < 0)
		return error;
	return sock_phase(s) == PHASE_CONNECTED ? 0 : -ENOTCONN;
}

/* -EAGAIN, 0 at the end, bytes, or an error; never waits. */
static ssize_t rx_try(struct nc_sock *s, size_t want)
{
	uint64_t bytes;
	int end;

	if (sock_phase(s) != PHASE_CONNECTED) {
		int ret = rx_check(s);

		if (ret < 0)
			return ret;
	}
	bytes = rx_available(s, want);
	if (bytes >= want)
		return (ssize_t)bytes;
	/* The end first, then rx_tail again: with an end that was seen, that tail is the last. */
	end = rx_end(s);
	rx_refresh(s);
	bytes = s->rx.tail_seen - rx_head(sock_slot(s));
	if (bytes >= want || (bytes > 0 && end != -EAGAIN))
		return (ssize_t)bytes;
	/* A full ring that will not become larger is as much as there can be. */
	if (bytes == s->rx.bytes && !rx_ring_ask(s, want))
		return (ssize_t)bytes;
	return bytes > 0 ? -EAGAIN : end;
}

/* The stream is here, or has been brought. */
static int rx_have(struct nc_sock *s, bool wait, uint32_t *fetched, uint64_t *until_ns)
{
	if (!flag_get(&s->shared) || !sock_elsewhere(s))
		return 0;
	if (wait && *until_ns == 0)
		*until_ns = wait_until(s->recv_timeout_ns);
	return sock_have(s, &s->rx.lock, EV_IN | EV_ERR | EV_HUP, wait, fetched, *until_ns);
}

ssize_t rx_wait_bytes(struct nc_sock *s, size_t want, bool wait, uint64_t *until_ns)
{
	uint32_t fetched = 0;

	for (;;) {
		int ret = rx_have(s, wait, &fetched, until_ns);
		ssize_t bytes;

		if (ret < 0)
			return ret;
		bytes = rx_try(s, want);

		if (bytes != -EAGAIN)
			return bytes;
		if (!wait) {
			if (sock_watched(s))
				pollfd_sync_in(s);
			return -EAGAIN;
		}
		if (*until_ns == 0)
			*until_ns = wait_until(s->recv_timeout_ns);
		ret = sock_sleep_point(s, &s->rx.lock, EV_IN | EV_ERR | EV_HUP, rx_look_more,
				       *until_ns);
		/* Closed meanwhile, but shut down before: as the kernel's, whose sleeper keeps the
		 * socket until it has seen that. */
		if (ret == -EBADF && flag_get(&s->rx.shut))
			return 0;
		if (ret < 0)
			return ret;
	}
}
