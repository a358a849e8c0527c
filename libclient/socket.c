/* SPDX-License-Identifier: MIT */
/*
 * socket.c - the life of a virtual socket: nc_socket, nc_bind, nc_shutdown, nc_close, its names.
 */
#include <sched.h>
#include <string.h>

#include "cq.h"
#include "ncclient.h"
#include "process.h"
#include "share.h"
#include "sock_calls.h"

int nc_socket(int domain, int type, int protocol)
{
	int flags = type & (SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct attachment *att;
	struct nc_sock *s;
	int ret;

	if (domain != AF_INET && domain != AF_INET6)
		return -EAFNOSUPPORT;
	if ((type & ~flags) != SOCK_STREAM)
		return -EPROTOTYPE;
	if (protocol != 0 && protocol != IPPROTO_TCP)
		return -EPROTONOSUPPORT;
	ret = process_attach_new(&att);
	if (ret < 0)
		return ret;
	ret = sock_create(att, domain, &s);
	if (ret == 0) {
		ret = s->number;
		s->nonblock = (flags & SOCK_NONBLOCK) != 0;
	}
	attachment_put(att); /* the socket has its own reference */
	return ret;
}

int sock_hold_port(struct nc_sock *s)
{
	struct ctl_addr msg = { .head.type = CTL_BIND };
	uint32_t port;
	int ret;

	if (s->port_held)
		return 0;
	memcpy(msg.addr, s->local.addr, sizeof(msg.addr));
	msg.port = s->local.port;
	msg.flags = s->reuseport ? CTL_ADDR_REUSEPORT : 0;
	ret = control_ask(s->att, &msg, sizeof(msg), -1, &port);
	if (ret < 0)
		return ret;
	s->local.port = (uint16_t)port;
	s->port_held = true;
	return 0;
}

/* False also for an address that only the daemon can judge. */
static bool address_is_ours(const struct attachment *att, const struct endpoint *e)
{
	for (uint32_t i = 0; i < att->addr_nr; i++)
		if (memcmp(att->addr[i], e->addr, sizeof(e->addr)) == 0)
			return true;
	return endpoint_is_any(e);
}

/*
 * A port that the application does not choose is found when it is needed: by the worker at connect
 * (as IP_BIND_ADDRESS_NO_PORT of ip(7)), else by listen or getsockname. So binding an address
 * alone asks nobody.
 */
static int bind_phase(struct nc_sock *s, const struct endpoint *e)
{
	int ret = 0;

	if (s->bound || sock_phase(s) != PHASE_NEW)
		return -EINVAL;
	if (attachment_dead(s->att))
		return -ECONNRESET;
	s->local = *e;
	if (e->port != 0 || !address_is_ours(s->att, e))
		ret = sock_hold_port(s);
	if (ret < 0)
		s->local = (struct endpoint){ 0 };
	else
		s->bound = true;
	return ret;
}

int nc_bind(int number, const struct sockaddr *addr, socklen_t addrlen)
{
	struct nc_sock *s = sock_find_locked(number);
	struct endpoint e;
	int ret;

	if (!s)
		return -EBADF;
	ret = endpoint_from_sockaddr(s->domain, addr, addrlen, &e);
	if (ret == 0)
		ret = bind_phase(s, &e);
	lock_release(&s->lock);
	return ret;
}

/* The worker has served SQ_SHUTDOWN, or never will in this slot. */
static bool shutdown_served(struct nc_sock *s)
{
	/* Relaxed: a lone fact, said along with the FIN. */
	uint32_t flags = atomic_load_explicit(&sock_slot(s)->flags, memory_order_relaxed);

	return flags & (SLOT_F_SHUT | SLOT_F_RESET) || attachment_dead(s->att) ||
	       sock_elsewhere(s);
}

/* With tx.lock held. Of a shared stream one that has moved meanwhile has not heard it. */
static int shutdown_tx(struct nc_sock *s)
{
	for (;;) {
		int ret;

		port_submit(s->port, sq_word(SQ_SHUTDOWN, s->slot_nr, 0));
		if (!flag_get(&s->shared))
			return 0;
		while (!shutdown_served(s))
			(void)sched_yield(); /* the worker is awake, or rung */
		if (!sock_elsewhere(s) || attachment_dead(s->att))
			return 0;
		ret = sock_fetch(s, &s->tx.lock);
		if (ret < 0)
			return ret;
	}
}

int nc_shutdown(int number, int how)
{
	struct nc_sock *s = sock_find(number);
	int ret = 0;

	if (!s)
		return -EBADF;
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	if (sock_phase(s) == PHASE_LISTENING)
		return how == SHUT_WR ? 0 : acceptor_shutdown(s);
	lock_take(&s->tx.lock);
	if (!sock_open(s))
		ret = -EBADF;
	else if (sock_elsewhere(s))
		ret = sock_fetch(s, &s->tx.lock);
	if (ret == 0 && (sock_settle_unlocked(s) < 0 || sock_over(s)))
		ret = -ENOTCONN;
	if (ret < 0)
		goto out;
	if (how != SHUT_RD && !flag_get(&s->tx.shut)) {
		/* Relaxed: under tx.lock for senders; for poll a lone fact. */
		atomic_store_explicit(&s->tx.shut, true, memory_order_relaxed);
		ret = shutdown_tx(s);
		if (ret < 0)
			goto out;
		sock_rouse(s);
		if (sock_watched(s))
			pollfd_sync_out(s); /* "writable": a send would not block, but fail */
	}
	if (how != SHUT_WR) {
		/* Relaxed: as above. Sleepers look again because they are woken. */
		atomic_store_explicit(&s->rx.shut, true, memory_order_relaxed);
		sock_rouse(s);
	}
	/* Else the first watcher does it. */
	if (sock_watched(s) || flag_get(&s->shared))
		pollfd_show_shut(s);
out:
	lock_release(&s->tx.lock);
	if (ret == 0)
		cq_look_again(s);
	return ret;
}

static bool close_done(struct nc_sock *s)
{
	/* NOTIFY, application end. */
	uint32_t flags = atomic_load_explicit(&sock_slot(s)->flags, memory_order_seq_cst);

	return flags & (SLOT_F_TX_DONE | SLOT_F_RESET) || attachment_dead(s->att);
}

/*
 * SO_LINGER: until the peer has everything, or the time is over. No event is promised for "all is
 * acknowledged" beyond EV_OUT, so the sleeps are short. Returns 0 or -EWOULDBLOCK.
 */
static int close_linger(struct nc_sock *s)
{
	uint64_t end_ns = clock_now_ns() + (uint64_t)s->linger_s * 1000000000u;
	struct slot_shm *slot = sock_slot(s);

	if (!flag_get(&s->tx.shut))
		port_submit(s->port, sq_word(SQ_SHUTDOWN, s->slot_nr, 0));
	while (!close_done(s)) {
		/* NOTIFY, application end. */
		uint32_t value = atomic_load_explicit(&slot->seq, memory_order_seq_cst);
		uint64_t now_ns = clock_now_ns();

		if (now_ns >= end_ns)
			return -EWOULDBLOCK;
		sock_notify(s, NOTIFY_FUTEX(EV_OUT | EV_ERR));
		if (close_done(s))
			break;
		now_ns += 5000000;
		(void)futex_wait_shared(&slot->seq, value, now_ns < end_ns ? now_ns : end_ns);
	}
	return 0;
}

/* What the phase needs before the number is given back; with all locks held. */
static int close_phase(struct nc_sock *s)
{
	uint32_t arg = CLOSE_GRACEFUL;
	int ret = 0;

	/* It is closed where it is; or there by ncd, once nobody has the descriptor. */
	if (flag_get(&s->lent) && sock_fetch_locked(s) < 0)
		lend_share(s);
	if (sock_is_common(s))
		arg = CLOSE_LET_GO; /* the last to close ends it, as the daemon sees */
	else if (s->linger && s->linger_s == 0)
		arg = CLOSE_ABORT;
	else if (s->linger && sock_phase(s) == PHASE_CONNECTED)
		ret = close_linger(s);
	if (sock_phase(s) == PHASE_LISTENING)
		acceptor_close(s);
	sock_drop_slot(s, arg);
	if (s->port_held) {
		struct ctl_addr msg = { .head.type = CTL_UNBIND, .port = s->local.port };

		memcpy(msg.addr, s->local.addr, sizeof(msg.addr));
		(void)control_ask(s->att, &msg, sizeof(msg), -1, NULL); /* gone daemon: unbound */
	}
	return ret;
}

int nc_close(int number)
{
	struct nc_sock *s = sock_find_locked(number);
	int ret;

	if (!s)
		return -EBADF;
	/* CLOSING, closer's end: of two closers one gets here. */
	atomic_store_explicit(&s->closing, true, memory_order_seq_cst);
	lock_release(&s->lock);
	sock_wake_sleepers(s);
	cq_detach(s);
	lock_take(&s->tx.lock);
	lock_take(&s->rx.lock);
	lock_take(&s->lock);
	ret = close_phase(s);
	sock_destroy(s);
	lock_release(&s->lock);
	lock_release(&s->rx.lock);
	lock_release(&s->tx.lock);
	return ret;
}

/* Only what was never used here has no names yet. */
static void names_fetch(int number)
{
	struct nc_sock *s = sock_find(number);

	if (s && sock_phase(s) == PHASE_AWAY)
		share_fetch(number);
}

int nc_getsockname(int number, struct sockaddr *addr, socklen_t *addrlen)
{
	struct nc_sock *s;
	int ret = name_room_valid(addr, addrlen) ? 0 : -EINVAL;

	names_fetch(number);
	s = sock_find_locked(number);
	if (!s)
		return -EBADF;
	(void)sock_settle(s); /* a name is known once connected */
	if (s->bound && s->local.port == 0 && sock_phase(s) == PHASE_NEW)
		(void)sock_hold_port(s); /* gone daemon, no port left: calls will tell */
	if (ret == 0)
		endpoint_to_sockaddr(&s->local, s->domain, addr, addrlen);
	lock_release(&s->lock);
	return ret;
}

int nc_getpeername(int number, struct sockaddr *addr, socklen_t *addrlen)
{
	struct nc_sock *s;
	int ret;

	names_fetch(number);
	s = sock_find_locked(number);
	if (!s)
		return -EBADF;
	sock_bring(s, &s->lock);
	ret = sock_settle(s) == 0 && !sock_over(s) ? 0 : -ENOTCONN;
	if (ret == 0 && !name_room_valid(addr, addrlen))
		ret = -EINVAL;
	if (ret == 0)
		endpoint_to_sockaddr(&s->remote, s->domain, addr, addrlen);
	lock_release(&s->lock);
	return ret;
}

const char *nc_version(void)
{
	return NCD_RELEASE;
}
