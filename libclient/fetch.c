/* SPDX-License-Identifier: MIT */
/*
 * fetch.c - a shared stream that another process has, or had: it is asked for with the descriptor,
 * and goes on in a slot and rings of this process.
 *
 * A call that does not wait fetches what it needs. One that waits does so once; if the stream is
 * taken away again, it waits until it is called: something has come, and nobody else waits for it.
 * So two processes that wait for the same do not pull it to and fro.
 *
 * One that was only lent (lend.c) nobody else pulls at: it is fetched whenever it has moved.
 */
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "cq.h"
#include "process.h"
#include "sock_calls.h"

/* Global: why: sockets without an attachment have one all the same; nobody asks it anything. */
static struct attachment nowhere = { .refs = 1, .ctl_fd = -1 };

struct attachment *attachment_nowhere(void)
{
	return &nowhere;
}

static bool slot_moved(struct slot_shm *slot)
{
	/* MOVE, application end. */
	return atomic_load_explicit(&slot->state, memory_order_seq_cst) >= SLOT_MOVING;
}

bool sock_elsewhere(struct nc_sock *s)
{
	uint32_t phase = sock_phase(s);

	if (!flag_get(&s->shared))
		return false;
	return phase == PHASE_AWAY || (phase == PHASE_CONNECTED && slot_moved(sock_slot(s)));
}

bool sock_called(struct nc_sock *s, uint32_t events)
{
	uint32_t flags = (events & EV_IN ? SLOT_F_CALLED_IN : 0) |
			 (events & EV_OUT ? SLOT_F_CALLED_OUT : 0);

	if (flag_get(&s->lent))
		return true; /* nobody is to come before us */
	/* NOTIFY, application end. */
	return sock_phase(s) == PHASE_CONNECTED &&
	       atomic_load_explicit(&sock_slot(s)->flags, memory_order_seq_cst) & flags;
}

bool sock_lent_away(struct nc_sock *s)
{
	return flag_get(&s->lent) && sock_elsewhere(s);
}

/* Waits for MOVED, which follows at once. False: it has not moved. */
static bool await_moved(struct nc_sock *s, struct slot_shm *slot)
{
	for (;;) {
		/* MOVE, application end. */
		uint32_t state = atomic_load_explicit(&slot->state, memory_order_seq_cst);

		if (state < SLOT_MOVING || attachment_dead(s->att))
			return false;
		if (state == SLOT_MOVED)
			return true;
		(void)sched_yield(); /* the worker is about to say it */
	}
}

bool tx_counted(struct nc_sock *s, uint64_t tail)
{
	struct slot_shm *slot = sock_slot(s);

	/* Relaxed: MOVED was loaded in order. */
	return !await_moved(s, slot) ||
	       atomic_load_explicit(&slot->moved_tail, memory_order_relaxed) >= tail;
}

bool rx_counted(struct nc_sock *s, uint64_t head)
{
	struct slot_shm *slot = sock_slot(s);

	/* Relaxed: as above. */
	return !await_moved(s, slot) ||
	       atomic_load_explicit(&slot->moved_head, memory_order_relaxed) >= head;
}

/* ---- with all locks held ---- */

/* What the stream left here is of no use any more. */
static void slot_leave(struct nc_sock *s)
{
	rings_drop(s);
	if (!sock_slot(s))
		return;
	sock_rouse(s); /* who waits there to be called looks elsewhere from now on */
	/* Relaxed: as in sock_drop_slot. */
	if (atomic_load_explicit(&s->port->owner[s->slot_nr], memory_order_relaxed) == s)
		atomic_store_explicit(&s->port->owner[s->slot_nr], NULL, memory_order_relaxed);
	port_submit(s->port, sq_word(SQ_CLOSE, s->slot_nr, CLOSE_LET_GO));
	if (s->slot_nr < s->att->layout.slots / 2)
		port_slot_give(s->port, s->slot_nr);
}

/* Goes on at slot @value of @att, whose reference becomes the socket's. */
static int slot_enter(struct nc_sock *s, struct attachment *att, uint32_t value)
{
	struct app_port *p = &att->port[ctl_taken_worker(value)];
	struct slot_shm *slot = &p->slot[ctl_taken_slot(value)];
	struct attachment *before = s->att;
	uint32_t flags;
	int ret;

	if (s->att != att) /* a lent one's never is; cq_refresh reads it */
		s->att = att;
	s->port = p;
	s->slot_nr = ctl_taken_slot(value);
	/* Relaxed: the acquire of phase orders it for who reads it. */
	atomic_store_explicit(&s->slot, slot, memory_order_relaxed);
	/* DEAD, looking end: named before anybody sleeps on it. */
	atomic_store_explicit(&s->seq, &slot->seq, memory_order_seq_cst);
	/* TXSPACE, application end: the daemon goes on while the reply is on its way. */
	s->tx.head_seen = atomic_load_explicit(&slot->tx_head, memory_order_acquire);
	/* Relaxed, all: the reply came behind them. */
	s->tx.origin = atomic_load_explicit(&slot->tx_base, memory_order_relaxed);
	s->rx.tail_seen = s->rx.told = atomic_load_explicit(&slot->rx_head, memory_order_relaxed);
	s->rx.origin = atomic_load_explicit(&slot->rx_base, memory_order_relaxed);
	flags = atomic_load_explicit(&slot->flags, memory_order_relaxed);
	s->tx.reserved = 0;
	s->rx.old_end = 0;
	s->rx.armed = false; /* in another slot */
	s->rx.peeked = false;
	s->rx.due = 0;
	if (flags & SLOT_F_SHUT)
		/* Relaxed: as in nc_shutdown. */
		atomic_store_explicit(&s->tx.shut, true, memory_order_relaxed);
	ret = sock_establish(s);
	attachment_put(before);
	return ret;
}

/* It is over, and nobody knows how any more. */
static void sock_lost(struct nc_sock *s)
{
	slot_leave(s);
	/* Relaxed, both: as in sock_drop_slot. */
	atomic_store_explicit(&s->seq, NULL, memory_order_relaxed);
	atomic_store_explicit(&s->slot, NULL, memory_order_relaxed);
	sock_set_phase(s, PHASE_FAILED);
}

/* Asks for the stream. */
static int fetch_ask(struct nc_sock *s, struct attachment *att, uint32_t *ret_value, int *ret_end)
{
	struct ctl_head msg = { .type = flag_get(&s->lent) ? CTL_TAKE_BACK : CTL_TAKE };
	int fd = s->pollfd;
	int ret = control_ask_fds(att, &msg, sizeof(msg), &fd, 1, ret_value, ret_end);

	if (ret != -EPERM || msg.type == CTL_TAKE)
		return ret;
	/* Relaxed: with all locks held. */
	atomic_store_explicit(&s->lent, false, memory_order_relaxed);
	msg.type = CTL_TAKE;
	return control_ask_fds(att, &msg, sizeof(msg), &fd, 1, ret_value, ret_end);
}

/* True if the answer means that it is where it was. */
static bool is_here(struct nc_sock *s, int ret, uint32_t value)
{
	if (slot_moved(sock_slot(s)))
		return false;
	return ret == -ENOENT || (ret == 0 && value == ctl_taken(s->port->worker, s->slot_nr));
}

/* Whom to ask: who has lent it has it back. */
static int fetch_attach(struct nc_sock *s, struct attachment **ret_attachment)
{
	if (!flag_get(&s->lent))
		return process_attach(ret_attachment);
	attachment_get(s->att);
	*ret_attachment = s->att;
	return 0;
}

int sock_fetch_locked(struct nc_sock *s)
{
	struct attachment *att;
	uint32_t value = 0;
	int end = -1, ret = fetch_attach(s, &att);

	if (ret < 0)
		return ret;
	ret = fetch_ask(s, att, &value, &end);
	if (flag_get(&s->lent) && is_here(s, ret, value)) {
		if (end >= 0)
			close(end);
		attachment_put(att);
		lend_end(s);
		return 0;
	}
	if (ret == 0 && (ctl_taken_worker(value) >= att->port_nr ||
			 ctl_taken_slot(value) >= att->layout.slots))
		ret = -EPROTO;
	if (ret < 0) {
		attachment_put(att);
		if (ret == -ENOENT)
			sock_lost(s);
		if (ret == -ENOENT && flag_get(&s->lent))
			lend_end(s);
		return ret == -ENOENT ? -ECONNRESET : ret;
	}
	if (s->pollfd_peer < 0)
		s->pollfd_peer = end;
	else if (end >= 0)
		close(end);
	slot_leave(s);
	ret = slot_enter(s, att, value);
	if (flag_get(&s->lent))
		lend_end(s);
	if (ret == 0)
		pollfd_fetched(s);
	return ret;
}

/* ---- with one lock held, or none ---- */

/* @here: also if it is here, but lent. */
static int fetch(struct nc_sock *s, struct lock *held, bool here)
{
	int ret = 0;

	lock_held_begin(); /* a handler does not close it */
	/* CLOSING, sleeper's end: counted, the socket stays what it is while no lock is held. */
	atomic_fetch_add_explicit(&s->sleepers, 1, memory_order_seq_cst);
	lock_release(held);
	lock_take(&s->tx.lock);
	lock_take(&s->rx.lock);
	lock_take(&s->lock);
	if (!sock_open(s))
		ret = -EBADF;
	else if (sock_elsewhere(s) || (here && flag_get(&s->lent)))
		ret = sock_fetch_locked(s);
	lock_release(&s->lock);
	lock_release(&s->rx.lock);
	lock_release(&s->tx.lock);
	if (ret == 0)
		cq_refresh(s); /* takes locks that come before ours */
	lock_take(held);
	if (!sock_open(s))
		ret = -EBADF;
	/* CLOSING, sleeper's end. */
	atomic_fetch_sub_explicit(&s->sleepers, 1, memory_order_seq_cst);
	lock_held_end(); /* @held is */
	return ret;
}

int sock_fetch(struct nc_sock *s, struct lock *held)
{
	return fetch(s, held, false);
}

int sock_take_back(struct nc_sock *s, struct lock *held)
{
	return fetch(s, held, true);
}

void sock_bring(struct nc_sock *s, struct lock *held)
{
	if (sock_lent_away(s))
		(void)fetch(s, held, false); /* a call tells why not */
}

static bool moved_look_in(struct nc_sock *s)
{
	return !sock_elsewhere(s) || sock_called(s, EV_IN) || attachment_dead(s->att);
}

static bool moved_look_out(struct nc_sock *s)
{
	return !sock_elsewhere(s) || sock_called(s, EV_OUT) || attachment_dead(s->att);
}

int sock_have(struct nc_sock *s, struct lock *held, uint32_t events, bool wait, uint32_t *fetched,
	      uint64_t until_ns)
{
	while (sock_elsewhere(s)) {
		int ret;

		if (sock_phase(s) == PHASE_CONNECTED && attachment_dead(s->att))
			return 0; /* which the call will find out */
		if (!wait || *fetched == 0 || sock_called(s, events)) {
			(*fetched)++;
			ret = sock_fetch(s, held);
		} else {
			ret = sock_sleep(s, held, events,
					 events & EV_IN ? moved_look_in : moved_look_out,
					 until_ns);
		}
		if (ret < 0)
			return ret;
	}
	return 0;
}
