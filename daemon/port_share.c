/* SPDX-License-Identifier: MIT */
/*
 * port_share.c - streams whose descriptor other processes have too: a stream goes to the process
 * that uses it, and lives until nobody has the descriptor any more.
 *
 *   SHARE        cookie set: death and CLOSE_LET_GO leave the stream alive, without a slot
 *   TAKE         to a slot and rings of another port; the old slot says MOVED, and keeps the old
 *                rings until its library has closed it
 *   SHARE_END    nobody has the descriptor: closed, as soon as no slot has it
 *
 * A process that waits at a slot that its stream has left is called (SLOT_F_CALLED_*) when
 * something comes that nobody waits for where the stream is now: it takes it back if it wants to.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "port_state.h"

#define MOVED_BLOCKS (sizeof(((struct moved *)0)->block) / sizeof(struct arena_block))
#define TAKE_WAIT_NS 1000000000ull /* for memory, for a transport: then EAGAIN */

int port_share(struct worker *w, struct port *p, struct worker_cmd *cmd)
{
	uint32_t slot = cmd->share.slot;
	int ret = -EBADF;
	struct slot *sl;

	if (p->removed || slot >= p->layout.slots || p->slot[slot].use != SLOT_USE_LIVE)
		goto out;
	sl = &p->slot[slot];
	if (sl->flow->flags & FLOW_MOVE) /* nobody has accepted it yet: this application lies */
		goto out;
	/* One that is shared already is so under its first name. */
	ret = sl->flow->cookie && sl->flow->cookie != cmd->share.cookie ? -EEXIST : 0;
	if (ret == 0 && cmd->share.end < 0) {
		cmd->share.end = sl->pollfd ? fcntl(sl->pollfd - 1, F_DUPFD_CLOEXEC, 0) : -1;
		ret = cmd->share.end < 0 ? -EMFILE : 0;
	}
	if (ret < 0)
		goto out;
	sl->flow->cookie = cmd->share.cookie;
	cmd->share.stream = stream_index(sl->flow->stream);
	if (!sl->pollfd && cmd->share.fd >= 0) {
		sl->pollfd = cmd->share.fd + 1;
		return 0;
	}
out:
	(void)w;
	if (cmd->share.fd >= 0)
		close(cmd->share.fd);
	return ret;
}

/* The stream that @cmd names, or NULL: it is over. */
static struct flow *flow_named(struct worker *w, const struct worker_cmd *cmd)
{
	struct flow *f;

	if (cmd->share.stream >= w->cfg.engine.streams)
		return NULL;
	f = &w->flow[cmd->share.stream];
	return f->stream && f->cookie == cmd->share.cookie && !(f->flags & FLOW_RELEASED) ? f
											   : NULL;
}

void flow_share_end(struct worker *w, const struct worker_cmd *cmd)
{
	struct flow *f = flow_named(w, cmd);

	if (!f)
		return;
	f->flags |= FLOW_HUNG;
	/* Else its holder is about to close it, or dies. */
	if (!f->shm)
		flow_release(w, f, false, false);
}

/* ---- slots that streams have left ---- */

static struct moved *moved_take(struct worker *w)
{
	struct moved *m = w->moved_free;

	if (m)
		w->moved_free = m->next;
	else if (w->moved_high < w->cfg.engine.streams)
		m = &w->moved[w->moved_high++];
	if (m)
		*m = (struct moved){ .slot = SLOT_NONE };
	return m;
}

static void moved_give(struct worker *w, struct moved *m)
{
	m->next = w->moved_free;
	w->moved_free = m;
}

/* Its rings are nobody's any more, but channels may still name them. */
static void moved_left(struct worker *w, struct moved *m)
{
	m->flow = NULL;
	m->slot = SLOT_NONE;
	m->port->left_nr++;
	m->next = w->left;
	w->left = m;
}

static void moved_leave(struct worker *w, struct moved *m)
{
	struct port *p = m->port;

	if (m->flow) {
		struct moved **at = &m->flow->moved;

		while (*at != m)
			at = &(*at)->flow_next;
		*at = m->flow_next;
	}
	if (m->prev)
		m->prev->next = m->next;
	else
		p->moved = m->next;
	if (m->next)
		m->next->prev = m->prev;
	port_slot_free(p, m->slot);
	moved_left(w, m);
}

void port_moved_leave(struct worker *w, struct port *p, uint32_t slot)
{
	moved_leave(w, &w->moved[p->slot[slot].next]);
}

void port_moved_leave_all(struct worker *w, struct port *p)
{
	while (p->moved)
		moved_leave(w, p->moved);
}

static bool moved_lent(const struct worker *w, const struct moved *m)
{
	for (uint32_t i = 0; i < MOVED_BLOCKS; i++)
		if (ring_lent(w, &m->block[i]))
			return true;
	return false;
}

static void moved_rings_give(struct worker *w, struct moved *m)
{
	struct port *p = m->port;

	for (uint32_t i = 0; i < MOVED_BLOCKS; i++) {
		/* As in flow_free: what is on its way out of these pages stays what it was. */
		if (i < MOVED_BLOCKS / 2 && m->exposed && m->block[i].base)
			arena_discard(&m->block[i]);
		arena_give(p->arena, &m->block[i]);
	}
	port_trim_later(w, p);
}

uint32_t ports_left(struct worker *w)
{
	struct moved **at = &w->left;
	uint32_t did = 0;

	while (*at) {
		struct moved *m = *at;

		if (moved_lent(w, m)) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		m->port->left_nr--;
		moved_rings_give(w, m);
		moved_give(w, m);
		did++;
	}
	return did;
}

/* ---- who waits at them ---- */

static uint32_t wishes(struct slot_shm *shm)
{
	/* NOTIFY, daemon end. */
	uint32_t n = atomic_load_explicit(&shm->notify, memory_order_seq_cst);

	return (n | n >> 8 | n >> 16) & EV_ALL;
}

static uint32_t call_flags(uint32_t events)
{
	return (events & EV_IN ? SLOT_F_CALLED_IN : 0) | (events & EV_OUT ? SLOT_F_CALLED_OUT : 0);
}

static void moved_call(struct worker *w, struct moved *m, uint32_t events)
{
	struct slot_shm *shm = &m->port->slot_shm[m->slot];

	if (m->port->bad)
		return;
	/* NOTIFY, daemon end: before the look at who waits. */
	atomic_fetch_or_explicit(&shm->flags, call_flags(events), memory_order_seq_cst);
	slot_notify(w, m->port, m->slot, shm, events & (EV_IN | EV_OUT));
}

void flow_call(struct worker *w, struct flow *f, uint32_t events)
{
	/* An end is for all who wait, and stays. */
	if (f->shm && !(events & (EV_HUP | EV_ERR)))
		events &= ~wishes(f->shm);
	for (struct moved *m = f->moved; m && events; m = m->flow_next)
		moved_call(w, m, events);
}

void flow_moved_end(struct worker *w, struct flow *f)
{
	struct moved *next;

	for (struct moved *m = f->moved; m; m = next) {
		next = m->flow_next;
		m->flow = NULL;
		m->flow_next = NULL;
		moved_call(w, m, EV_IN | EV_OUT);
	}
	f->moved = NULL;
}

/* ---- taking ---- */

/* What a stream takes to its new port. */
struct luggage {
	struct moved *moved;
	struct arena_block tx, rx;
	uint32_t slot;
};

/* 0, -EAGAIN: more memory was asked for, -ENOBUFS. */
static int luggage_rings(struct worker *w, struct port *p, const struct flow *f, struct luggage *l)
{
	uint32_t tx = f->tx.bytes, rx = f->rx.bytes;

	/* The application may have taken it, and said so by the time that the stream moves. */
	if (f->tx_next.base && f->tx_next.bytes > tx)
		tx = f->tx_next.bytes;
	if (arena_take(p->arena, tx, &l->tx) == 0) {
		if (arena_take(p->arena, rx, &l->rx) == 0)
			return 0;
		arena_give(p->arena, &l->tx);
	}
	if (w->now_ns < p->grow_ns)
		return -ENOBUFS;
	memory_ask(w, p, (uint64_t)tx + rx);
	return -EAGAIN;
}

static int luggage_pack(struct worker *w, struct port *p, const struct flow *f, struct luggage *l)
{
	int ret = luggage_rings(w, p, f, l);

	if (ret < 0)
		return ret;
	l->moved = moved_take(w);
	if (!l->moved)
		goto err_rings;
	l->slot = port_upper_take(p);
	if (l->slot != SLOT_NONE)
		return 0;
	moved_give(w, l->moved);
err_rings:
	arena_give(p->arena, &l->tx);
	arena_give(p->arena, &l->rx);
	return -ENOBUFS;
}

/* The last words of the process that had it. Its slot says MOVING from now on. */
static void flow_pull_last(struct worker *w, struct flow *f)
{
	const char *why;

	/* MOVE, daemon end. */
	atomic_store_explicit(&f->shm->state, SLOT_MOVING, memory_order_seq_cst);
	/* MOVE, daemon end: what is loaded behind these is at least as new. */
	(void)atomic_load_explicit(&f->shm->tx_tail, memory_order_seq_cst);
	(void)atomic_load_explicit(&f->shm->rx_head, memory_order_seq_cst);
	if (!f->port->bad && flow_pull(w, f, &why) < 0)
		port_bad(w, f->port, why);
}

/* The slot and the rings that the stream leaves. */
static void flow_leave(struct worker *w, struct flow *f, struct moved *m)
{
	struct port *p = f->port;

	m->port = p;
	m->block[0] = f->tx;
	m->block[1] = f->tx_next;
	m->block[2] = f->tx_old;
	m->block[3] = f->rx;
	m->block[4] = f->rx_prev;
	m->block[5] = f->rx_old;
	m->exposed = engine_stream_tx_exposed(f->stream);
	f->tx_next = f->rx_prev = f->tx_old = f->rx_old = (struct arena_block){ 0 };
	flow_retire_end(w, f);
	flow_grow_end(f);
	flow_unlink(f);
	if (!f->shm) {
		moved_left(w, m);
		return;
	}
	m->slot = f->slot;
	m->flow = f;
	m->flow_next = f->moved;
	f->moved = m;
	m->next = p->moved;
	if (m->next)
		m->next->prev = m;
	p->moved = m;
	p->slot[f->slot].use = SLOT_USE_MOVED;
	p->slot[f->slot].flow = NULL;
	p->slot[f->slot].next = (uint32_t)(m - w->moved);
}

/* Tells the process that had it; @m is of its slot. */
static void moved_tell(struct worker *w, const struct flow *f, struct moved *m)
{
	struct slot_shm *shm = &m->port->slot_shm[m->slot];

	/* Relaxed, all: the state orders them. */
	atomic_fetch_or_explicit(&shm->flags, call_flags(flow_events(f)), memory_order_relaxed);
	atomic_store_explicit(&shm->moved_tail, f->tx_tail, memory_order_relaxed);
	atomic_store_explicit(&shm->moved_head, f->rx_head, memory_order_relaxed);
	/* MOVE, STATE, daemon ends; seq_cst for NOTIFY. */
	atomic_store_explicit(&shm->state, SLOT_MOVED, memory_order_seq_cst);
	slot_notify(w, m->port, m->slot, shm, EV_IN | EV_OUT);
}

static void flow_arrive(struct worker *w, struct port *p, struct flow *f, const struct luggage *l)
{
	struct slot_shm *shm = &p->slot_shm[l->slot];
	uint64_t acked = stream_tx_acked(f->stream);

	f->tx_head = acked < f->tx_tail ? acked : f->tx_tail; /* a FIN has an offset too */
	f->tx = l->tx;
	f->rx = l->rx;
	f->listener = UINT32_MAX;
	f->flags &= ~(FLOW_EXCHANGE | FLOW_ACCEPT | FLOW_MOVING);
	f->tx_taken = f->rx_given = f->rx_refused = 0;
	if (f->tx_most < f->tx.bytes)
		f->tx_most = f->tx.bytes;
	flow_link(w, p, f);
	flow_put_in_slot(p, f, l->slot);
	slot_clear(shm);
	/* Relaxed, all: STATE orders them. */
	atomic_store_explicit(&shm->tx_tail, f->tx_tail, memory_order_relaxed);
	atomic_store_explicit(&shm->tx_base, f->tx_base, memory_order_relaxed);
	atomic_store_explicit(&shm->rx_head, f->rx_head, memory_order_relaxed);
	flow_fill_slot(f, UINT32_MAX);
	/* STATE, daemon end. */
	atomic_store_explicit(&shm->state, SLOT_OPEN, memory_order_release);
	flow_stats_open(w, f);
	flow_touch(w, f);
}

static void flow_move(struct worker *w, struct port *p, struct flow *f, const struct luggage *l)
{
	struct ring_mem tx = ring_of(&l->tx), rx = ring_of(&l->rx);
	bool had_slot = f->shm;
	int ret;

	f->flags |= FLOW_MOVING;
	if (had_slot)
		flow_pull_last(w, f);
	ret = engine_tx_move(w->engine, f->stream, &tx);
	assert(ret == 0); /* as large as the one before */
	f->rx_base = stream_rx_base(f->stream);
	ret = engine_rx_exchange(w->engine, f->stream, &rx, w->now_ns);
	assert(ret == 0); /* it was asked before */
	flow_leave(w, f, l->moved);
	flow_arrive(w, p, f, l);
	if (had_slot)
		moved_tell(w, f, l->moved);
}

/* 0, why not, or -EAGAIN: not yet. */
static int take_try(struct worker *w, struct worker_cmd *cmd)
{
	struct flow *f = flow_named(w, cmd);
	struct port *p = cmd->port;
	struct luggage l;
	int ret;

	if (p->removed || p->bad)
		return -ECONNRESET;
	if (!f)
		return -ENOENT;
	/* While it connects, or bytes are just being received into its ring, or it has just come
	 * from another port's accept queue, whose rings it still holds. */
	if (!(f->flags & (FLOW_OPEN | FLOW_ENDED | FLOW_DONE)) || f->old_port ||
	    engine_rx_busy(w->engine, f->stream))
		return -EAGAIN;
	ret = luggage_pack(w, p, f, &l);
	if (ret < 0)
		return ret;
	flow_move(w, p, f, &l);
	p->slot[l.slot].pollfd = cmd->share.fd + 1;
	cmd->share.fd = -1;
	cmd->share.slot = l.slot;
	return 0;
}

static void take_end(struct worker_cmd *cmd)
{
	if (cmd->share.fd >= 0)
		close(cmd->share.fd);
	cmd->share.fd = -1;
}

int port_take(struct worker *w, struct worker_cmd *cmd)
{
	int ret = take_try(w, cmd);

	if (ret == -EAGAIN && w->takes_nr < TAKES_MAX) {
		cmd->share.until_ns = w->now_ns + TAKE_WAIT_NS;
		cmd->next = NULL;
		*w->takes_end = cmd;
		w->takes_end = &cmd->next;
		w->takes_nr++;
		return -EINPROGRESS;
	}
	take_end(cmd);
	return ret;
}

/* Answers the command at *@at, and takes it out of the list. */
static void take_answer(struct worker *w, struct worker_cmd **at, int result)
{
	struct worker_cmd *cmd = *at;
	struct worker_event done = { .type = EVT_DONE, .cmd = cmd };

	*at = cmd->next;
	if (w->takes_end == &cmd->next)
		w->takes_end = at;
	w->takes_nr--;
	take_end(cmd);
	cmd->result = result;
	door_event(&w->door, &done);
}

uint32_t ports_take(struct worker *w)
{
	struct worker_cmd **at = &w->takes;
	uint32_t did = 0;

	while (*at) {
		int ret = take_try(w, *at);

		if (ret == -EAGAIN && w->now_ns < (*at)->share.until_ns) {
			at = &(*at)->next;
			continue;
		}
		take_answer(w, at, ret);
		did++;
	}
	return did;
}

void port_take_cancel(struct worker *w, struct port *p)
{
	struct worker_cmd **at = &w->takes;

	while (*at) {
		if ((*at)->port == p)
			take_answer(w, at, -ECONNRESET);
		else
			at = &(*at)->next;
	}
}
