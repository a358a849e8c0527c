/* SPDX-License-Identifier: MIT */
/*
 * state.c - a socket's phase, its error and its readiness, read from its slot.
 */
#include <string.h>

#include "sock_calls.h"

int sock_establish(struct nc_sock *s)
{
	struct slot_shm *slot = sock_slot(s);
	int ret = rings_establish(s);

	if (ret < 0)
		return ret;
	memcpy(s->local.addr, slot->local_addr, sizeof(s->local.addr));
	memcpy(s->remote.addr, slot->peer_addr, sizeof(s->remote.addr));
	s->local.port = slot->local_port;
	s->remote.port = slot->peer_port;
	sock_set_phase(s, PHASE_CONNECTED);
	return 0;
}

/* slot.error, which is set if the daemon says that there is one. */
static int slot_error(struct slot_shm *slot)
{
	/* STATE, application end: read behind a state or flag that was loaded in order. */
	int error = atomic_load_explicit(&slot->error, memory_order_acquire);

	return error < 0 ? error : -ECONNRESET;
}

/* As tcp(7): a reset behind the end of what the peer sends is EPIPE while we could still send. */
static int stream_error(struct nc_sock *s, struct slot_shm *slot, uint32_t flags)
{
	int error = slot_error(slot);

	return error == -ECONNRESET && flags & SLOT_F_EOF && !flag_get(&s->tx.shut) ? -EPIPE
										    : error;
}

bool connect_look(struct nc_sock *s)
{
	/* STATE, application end; NOTIFY, application end. */
	uint32_t state = atomic_load_explicit(&sock_slot(s)->state, memory_order_seq_cst);

	return state > SLOT_OPENING || (state == SLOT_OPENING && s->deferred) ||
	       attachment_dead(s->att);
}

int sock_settle(struct nc_sock *s)
{
	struct slot_shm *slot = sock_slot(s);
	uint32_t state;
	int ret;

	switch (sock_phase(s)) {
	case PHASE_CONNECTED:
		return 0;
	case PHASE_FAILED:
		return sock_broken(s);
	case PHASE_CONNECTING:
		break;
	default:
		return -ENOTCONN;
	}
	if (!connect_look(s))
		return -EINPROGRESS;
	/* STATE, application end. */
	state = atomic_load_explicit(&slot->state, memory_order_acquire);
	ret = state == SLOT_FAILED || attachment_dead(s->att) ? -ECONNREFUSED : sock_establish(s);
	if (ret == 0)
		return 0;
	sock_set_phase(s, PHASE_FAILED);
	return sock_broken(s);
}

int sock_settle_unlocked(struct nc_sock *s)
{
	int ret;

	lock_take(&s->lock);
	ret = sock_settle(s);
	lock_release(&s->lock);
	return ret;
}

int sock_broken(struct nc_sock *s)
{
	struct slot_shm *slot = sock_slot(s);
	uint32_t phase = sock_phase(s), flags;

	if (slot && phase == PHASE_CONNECTED) {
		/* STATE, application end: error is written before the flag. */
		flags = atomic_load_explicit(&slot->flags, memory_order_acquire);
		if (flags & SLOT_F_RESET)
			return stream_error(s, slot, flags);
		/* STATE, application end. */
		if (s->deferred &&
		    atomic_load_explicit(&slot->state, memory_order_acquire) == SLOT_FAILED)
			return slot_error(slot);
	}
	if (attachment_dead(s->att))
		return -ECONNRESET;
	if (phase != PHASE_FAILED)
		return 0;
	return slot ? slot_error(slot) : -ECONNRESET; /* it was another process's last */
}

int sock_take_error(struct nc_sock *s)
{
	int error = sock_broken(s);

	/* Relaxed: of several threads one gets it; nothing else is ordered by it. */
	if (error == 0 || atomic_exchange_explicit(&s->error_taken, true, memory_order_relaxed))
		return 0;
	if (sock_watched(s))
		pollfd_take_error(s);
	return error;
}

bool sock_over(struct nc_sock *s)
{
	uint32_t flags;

	if (sock_broken(s) < 0)
		return true;
	if (sock_phase(s) != PHASE_CONNECTED || !flag_get(&s->tx.shut))
		return false;
	/* Relaxed: a lone fact. */
	flags = atomic_load_explicit(&sock_slot(s)->flags, memory_order_relaxed);
	return flags & SLOT_F_EOF && flags & SLOT_F_TX_DONE;
}

/* Of a stream that another process has. */
static short elsewhere_poll(struct nc_sock *s)
{
	return (short)((sock_called(s, EV_IN) ? POLLIN | POLLRDNORM : 0) |
		       (sock_called(s, EV_OUT) ? POLLOUT | POLLWRNORM : 0));
}

static short connected_poll(struct nc_sock *s, uint32_t wanted)
{
	struct slot_shm *slot = sock_slot(s);
	bool tx_shut = flag_get(&s->tx.shut);
	uint32_t flags;
	short ev = 0;

	if (sock_broken(s) < 0) {
		ev = POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP | POLLHUP;
		return (short)(flag_get(&s->error_taken) ? ev : ev | POLLERR);
	}
	if (sock_elsewhere(s))
		return elsewhere_poll(s);
	/* NOTIFY, application end: flags before rx_tail, which is final once EOF is set. */
	flags = atomic_load_explicit(&slot->flags, memory_order_seq_cst);
	if (rx_look(s))
		ev |= POLLIN | POLLRDNORM;
	if (flags & SLOT_F_EOF || flag_get(&s->rx.shut))
		ev |= POLLIN | POLLRDNORM | POLLRDHUP;
	if (wanted & (POLLOUT | POLLWRNORM) && (tx_shut || tx_look(s)))
		ev |= POLLOUT | POLLWRNORM;
	if (tx_shut && ev & POLLRDHUP)
		ev |= POLLHUP;
	return ev;
}

static short listening_poll(struct nc_sock *s)
{
	bool ready;

	lock_take(&s->rx.lock); /* another thread may accept, or end it */
	ready = sock_phase(s) == PHASE_LISTENING && acceptor_look(s);
	lock_release(&s->rx.lock);
	return ready ? POLLIN | POLLRDNORM : 0;
}

short sock_poll(struct nc_sock *s, uint32_t wanted)
{
	if (sock_phase(s) == PHASE_CONNECTING && sock_settle_unlocked(s) == -EINPROGRESS)
		return 0;
	switch (sock_phase(s)) {
	case PHASE_NEW:
		if (attachment_dead(s->att))
			return POLLERR | POLLHUP | POLLOUT | POLLWRNORM;
		return POLLOUT | POLLWRNORM | POLLHUP;
	case PHASE_LISTENING:
		if (attachment_dead(s->att))
			return POLLERR | POLLHUP | POLLIN | POLLRDNORM;
		return listening_poll(s);
	case PHASE_CONNECTED:
		return connected_poll(s, wanted);
	case PHASE_FAILED:
		return (short)(POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP | POLLHUP |
			       (flag_get(&s->error_taken) ? 0 : POLLERR));
	case PHASE_AWAY:
		return 0;
	default:
		return POLLNVAL;
	}
}

/*
 * Until the daemon has taken the OPEN: SLOT_FREE must not mean "not opened yet" to who takes the
 * slot next. The worker is awake or rung, so this is short; no event is promised, hence the short
 * sleeps.
 */
void slot_await_taken(struct nc_sock *s)
{
	struct slot_shm *slot = sock_slot(s);

	/* STATE, application end. */
	while (atomic_load_explicit(&slot->state, memory_order_acquire) == SLOT_FREE &&
	       !attachment_dead(s->att)) {
		/* NOTIFY, application end. */
		uint32_t value = atomic_load_explicit(&slot->seq, memory_order_seq_cst);

		sock_notify(s, NOTIFY_FUTEX(EV_OUT | EV_ERR));
		/* Looks again, even if a worker says nothing. */
		if (!connect_look(s))
			(void)futex_wait_shared(&slot->seq, value, clock_now_ns() + 1000000);
	}
}

void sock_drop_slot(struct nc_sock *s, uint32_t close_arg)
{
	rings_drop(s);
	if (!sock_slot(s))
		return;
	if (sock_phase(s) == PHASE_CONNECTING)
		slot_await_taken(s);
	/* Relaxed: a completion of a slot without owner is dropped; cq->lock orders the rest. */
	if (atomic_load_explicit(&s->port->owner[s->slot_nr], memory_order_relaxed) == s)
		atomic_store_explicit(&s->port->owner[s->slot_nr], NULL, memory_order_relaxed);
	/* Relaxed: sleepers have been woken, and the watcher may bump a word of no use. */
	atomic_store_explicit(&s->seq, NULL, memory_order_relaxed);
	atomic_store_explicit(&s->slot, NULL, memory_order_relaxed);
	port_submit(s->port, sq_word(SQ_CLOSE, s->slot_nr, close_arg));
	if (s->slot_nr < s->att->layout.slots / 2)
		port_slot_give(s->port, s->slot_nr);
}
