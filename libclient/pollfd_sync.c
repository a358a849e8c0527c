/* SPDX-License-Identifier: MIT */
/*
 * pollfd_sync.c - a pollable descriptor (pollfd.c) is kept true to its virtual socket.
 *
 * Neither direction may be wrong for good:
 *   in   Tokens present are counted, the wish is armed, the ring is looked at. Still empty: just
 *        those tokens are taken. One that is written behind the arming stays. So the descriptor has
 *        a token, or one is on its way, or the wish is armed and the ring was empty behind it. One
 *        that is on its way comes too late if its bytes have been read meanwhile: a wish that is
 *        found served has a token that is due. A blocking call waits for it, since who polls and
 *        then reads (or accepts) must not block; another takes it the next time.
 *   out  It is filled, the wish is armed, the ring is looked at. Full: room makes the daemon empty
 *        it. Room already: nobody may ever empty it, so instead its buffer limit is raised, which
 *        makes it writable (and wakes epoll) with the filling inside. The limit is lowered to fill
 *        again.
 *   The first watcher finds it as the last one left it: what has become true meanwhile, and was
 *   told to nobody, we do to the other end ourselves.
 */
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "pair.h"
#include "sock_calls.h"

#define LIMIT_HIGH (1 << 20) /* the kernel cuts it to net.core.wmem_max, above what filling takes */
#define FILL_NR    64        /* bytes, one by one, are more than the lowest limit takes */
#define SHOWN_S    1         /* for a daemon that hangs */

static void limit_set(struct nc_sock *s, int bytes, bool raised)
{
	(void)setsockopt(s->pollfd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)); /* cannot fail */
	s->tx.raised = raised;
}

/*
 * Not writable from now on, until it is emptied or raised. A kernel buffer for each byte, so that
 * the byte that the daemon leaves does not weigh as much as many.
 */
static void fill(struct nc_sock *s)
{
	if (s->tx.raised)
		limit_set(s, PAIR_LIMIT_LOW, false);
	for (int i = 0; i < FILL_NR; i++)
		if (send(s->pollfd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
}

void pollfd_sync_out(struct nc_sock *s)
{
	uint32_t phase = sock_phase(s);

	if (phase == PHASE_LISTENING) {
		fill(s);
		return;
	}
	if ((phase == PHASE_CONNECTED || phase == PHASE_CONNECTING) && !tx_look(s)) {
		fill(s);
		sock_notify(s, NOTIFY_FD(EV_OUT | EV_ERR));
		if (!tx_look(s))
			return;
	}
	if (!s->tx.raised)
		limit_set(s, LIMIT_HIGH, true);
}

static bool in_look(struct nc_sock *s)
{
	return sock_phase(s) == PHASE_LISTENING ? acceptor_look(s) : rx_look(s);
}

/* Asks for a token when there is something to read; counts the tokens of wishes served before. */
static void in_arm(struct nc_sock *s)
{
	uint32_t before;

	if (sock_phase(s) == PHASE_LISTENING)
		/* NOTIFY, application end. */
		before = atomic_fetch_or_explicit(&s->acceptor->shm->notify, NOTIFY_FD(EV_IN),
						  memory_order_seq_cst);
	else if (sock_slot(s))
		/* NOTIFY, application end. */
		before = atomic_fetch_or_explicit(&sock_slot(s)->notify,
						  NOTIFY_FD(EV_IN | EV_ERR | EV_HUP),
						  memory_order_seq_cst);
	else
		return;
	if (s->rx.armed && !(before & NOTIFY_FD(EV_IN)))
		s->rx.due++;
	s->rx.armed = true;
}

/* Up to @nr tokens; waits for the first if @wait. 0: there is none, or never will be. */
static int in_take(struct nc_sock *s, int nr, bool wait)
{
	char tokens[64];
	size_t want = (size_t)nr < sizeof(tokens) ? (size_t)nr : sizeof(tokens);
	struct pollfd p = { .fd = s->pollfd, .events = POLLIN };
	ssize_t n = recv(s->pollfd, tokens, want, MSG_DONTWAIT);

	while (n < 0 && errno == EAGAIN && wait) {
		(void)ppoll(&p, 1, NULL, NULL); /* interrupted: looks again */
		n = recv(s->pollfd, tokens, want, MSG_DONTWAIT);
	}
	return n > 0 ? (int)n : 0;
}

/* Of a shared one another process may have taken what was due. */
static bool in_waits(struct nc_sock *s)
{
	return s->rx.due > 0 && (s->rx.blocks || !flag_get(&s->nonblock)) && !flag_get(&s->shared);
}

void pollfd_sync_in(struct nc_sock *s)
{
	int nr = 0;

	if (ioctl(s->pollfd, FIONREAD, &nr) < 0)
		return;
	in_arm(s);
	if (nr < s->rx.due)
		nr = s->rx.due;
	while (nr > 0 && !in_look(s)) {
		int n = in_take(s, nr, in_waits(s));

		if (n == 0)
			return;
		nr -= n;
		s->rx.due -= n < s->rx.due ? n : s->rx.due;
	}
}

/* Until the descriptor says what the slot says already: the daemon is about to tell it. */
static void await_shown(struct nc_sock *s, short events)
{
	struct pollfd p = { .fd = s->pollfd, .events = events };
	const struct timespec limit = { .tv_sec = SHOWN_S };
	uint64_t end_ns = clock_now_ns() + SHOWN_S * 1000000000ull;

	while (ppoll(&p, 1, &limit, NULL) < 0 && clock_now_ns() < end_ns)
		;
}

void pollfd_show_end(struct nc_sock *s)
{
	if (s->rx.end_shown)
		return;
	s->rx.end_shown = true;
	await_shown(s, POLLRDHUP);
}

void pollfd_take_error(struct nc_sock *s)
{
	socklen_t len = sizeof(int);
	int error;

	await_shown(s, 0); /* POLLHUP */
	(void)getsockopt(s->pollfd, SOL_SOCKET, SO_ERROR, &error, &len); /* cannot fail */
}

void pollfd_used(struct nc_sock *s)
{
	/* Relaxed: who closes it has all locks. */
	atomic_store_explicit(&s->pollfd_plain, false, memory_order_relaxed);
}

/*
 * Not the sending direction of a shared one: with the end of what the peer sends it would look as
 * if nobody had the descriptor any more.
 */
void pollfd_show_shut(struct nc_sock *s)
{
	if (s->pollfd < 0)
		return;
	if (flag_get(&s->tx.shut) && !flag_get(&s->shared)) {
		pollfd_used(s);
		(void)shutdown(s->pollfd, SHUT_WR); /* with the peer's end: POLLHUP */
	}
	if (flag_get(&s->rx.shut)) {
		pollfd_used(s);
		(void)shutdown(s->pollfd, SHUT_RD); /* readable from now on */
	}
}

void pollfd_show(struct nc_sock *s)
{
	if (sock_phase(s) == PHASE_LISTENING)
		return;
	pollfd_show_shut(s);
	if (sock_broken(s) < 0)
		(void)shutdown(s->pollfd_peer, SHUT_RDWR); /* once is as good as twice */
	else if (sock_phase(s) == PHASE_CONNECTED && sock_poll(s, POLLIN) & POLLRDHUP &&
		 !flag_get(&s->rx.shut))
		(void)shutdown(s->pollfd_peer, SHUT_WR); /* as above */
}

void pollfd_catch_up(struct nc_sock *s)
{
	pollfd_sync_in(s);
	if (in_look(s))
		(void)send(s->pollfd_peer, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* full: readable */
	pollfd_show(s);
	pollfd_sync_out(s);
}
