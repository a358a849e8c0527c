/* SPDX-License-Identifier: MIT */
/*
 * move.c - open streams leave an engine and arrive in another one: move.h.
 *
 * What the two ends know of each other when they go on: B's end left with all that it has of A's
 * bytes, and ACCEPT says how many those are. B waits for A's first frame, which says the same of
 * B's bytes: A's end may go on receiving in the old lane until it leaves. What was under way is
 * dropped by whoever has left, and sent again from there.
 */
#include <assert.h>
#include <errno.h>

#include "engine_state.h"
#include "move.h"

/* ---- may it go? ---- */

static bool peer_moves(const struct engine_peer *p)
{
	uint32_t bits = p->up;

	for (; bits != 0; bits &= bits - 1)
		if (p->channel[__builtin_ctz(bits)]->moves)
			return true;
	return false;
}

int engine_stream_goes(const struct engine *e, const struct stream *s)
{
	const struct engine_peer *p = &e->peer[s->peer];

	if (s->local || (p->up != 0 && !peer_moves(p)))
		return -EOPNOTSUPP;
	/* Of one that is ending the last ack must not be lost with the place that it names. */
	if (s->state != STREAM_ESTABLISHED || !s->confirmed || s->shutdown ||
	    s->closed || s->rx_final != NO_OFFSET)
		return -EBUSY;
	return 0;
}

struct stream *engine_stream_known(const struct engine *e, uint32_t peer, uint16_t lane,
				   uint64_t id)
{
	struct stream *s = stream_by_id(e, peer, id);

	return s != NULL && s->lane == lane + 1 && s->state == STREAM_ESTABLISHED ? s : NULL;
}

void engine_channel_moves(struct channel *c)
{
	c->moves = true;
}

/* ---- asking, and being asked ---- */

int engine_resume(struct engine *e, uint32_t peer, uint16_t old_lane, uint64_t remote_id,
		  void *user, uint64_t now_ns, struct stream **ret)
{
	const struct engine_peer *p = &e->peer[peer];
	struct stream *s;

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	if (e->leaving || p->leaving || !peer_moves(p))
		return -EHOSTUNREACH;
	s = stream_alloc(e, peer);
	if (s == NULL)
		return -ENOBUFS;
	s->state = STREAM_RESUMING;
	s->opener = true;
	s->old_id = remote_id;
	s->old_lane = old_lane;
	s->user = user;
	s->want = WANT_OPEN;
	sched_activate(e, s);
	*ret = s;
	return 0;
}

int move_resume(struct engine *e, struct channel *c, const struct frame *f, const uint8_t *payload)
{
	uint64_t id = wire_get64(payload);
	struct stream *s;

	/* Nobody has a reason to move a stream to where it is. */
	if (!c->moves || id == 0 || f->stream == 0 || f->window >= NCD_WORKERS_MAX ||
	    f->window == c->lane)
		return -EPROTO;
	s = id_table_find(&e->ids, c->peer, c->lane, id);
	if (s != NULL)
		return stream_open_again(e, c, s);
	/* A copy that comes late. If the stream has gone and ended, A finds that out by itself:
	 * engine_stream_stays(). */
	if (!opened_first(&e->opened, c->peer, c->lane, e->peer[c->peer].epoch, id))
		return reply_refuse(c, id, WIRE_E_REFUSED);
	s = e->leaving ? NULL : stream_alloc(e, c->peer);
	if (s == NULL)
		return reply_refuse(c, id, e->leaving ? WIRE_E_LEAVING : WIRE_E_NOBUFS);
	s->state = STREAM_INCOMING;
	s->lane = (uint16_t)(c->lane + 1);
	s->remote_id = id;
	s->used = 1u << c->bit; /* where a refusal goes */
	id_table_insert(&e->ids, s);
	e->ops->resume(e->ctx, s, (uint16_t)f->window, f->stream);
	return 0;
}

int move_accepted(struct engine *e, struct stream *s, const struct frame *f, uint64_t id)
{
	if (f->ack + f->window < f->ack)
		return -EPROTO;
	if (s->remote_id != 0) /* a copy */
		return 0;
	s->remote_id = id;
	id_table_insert(&e->ids, s);
	s->want = 0;
	/* Judged when it is known what there was to acknowledge. */
	s->tx_acked = f->ack;
	s->tx_limit = f->ack + f->window;
	stream_event(e, s, STREAM_EV_CONNECTED);
	return 0;
}

void engine_stream_stays(struct engine *e, struct stream *s)
{
	if (s->state != STREAM_ESTABLISHED)
		return;
	s->want |= WANT_CREDIT;
	sched_activate(e, s);
}

/* ---- leaving ---- */

static void pack(const struct engine *e, const struct stream *s, struct stream_parcel *ret)
{
	*ret = (struct stream_parcel){
		.peer = s->peer,
		.lane = (uint16_t)(s->lane - 1),
		.id = s->id,
		.remote_id = s->remote_id,
		.local_addr = s->local_addr,
		.remote_addr = s->remote_addr,
		.local_port = s->local_port,
		.remote_port = s->remote_port,
		.class_set = s->class_set,
		.class = s->class,
		.weight = s->weight,
		.shutdown = s->shutdown,
		.closed = s->closed,
		.reset_after = s->reset_after,
		.exposed = engine_stream_tx_exposed(s),
		.tx_acked = s->tx_acked,
		.tx_tail = s->tx_tail,
		.tx_sent = s->tx_sent,
		.tx_base = s->tx_base,
		.rx_head = s->rx_head,
		.rx_next = s->rx_next,
		.rx_limit = s->rx_limit,
		.rx_base = s->rx_base,
		.tx = s->tx,
		.rx = s->rx,
	};
	if (s->dialled)
		ret->port_home = s->port_home ? s->port_home : (uint16_t)(e->cfg.worker + 1);
}

int engine_stream_leave(struct engine *e, struct stream *s, bool tombstone,
			struct stream_parcel *ret, uint64_t now_ns)
{
	int r = tombstone ? engine_stream_goes(e, s) : 0;

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	if (r != 0)
		return r;
	if (s->state != STREAM_ESTABLISHED)
		return -ENOENT;
	/* B has said that its end was gone, and yet it has ended one direction. */
	if (s->fin_acked || s->rx_final != NO_OFFSET) {
		stream_die(e, s, -ECONNRESET);
		return -ENOENT;
	}
	pack(e, s, ret);
	stream_bury(e, s);
	if (!tombstone)
		engine_stream_free(e, s);
	return 0;
}

void engine_stream_forget(struct engine *e, uint64_t id)
{
	uint32_t index = (uint32_t)id;

	if (index < e->stream_high && e->stream[index].id == id &&
	    e->stream[index].state == STREAM_TOMBSTONE)
		engine_stream_free(e, &e->stream[index]);
}

void engine_port_release(struct engine *e, uint16_t port)
{
	port_pool_release(&e->ports, port);
}

/* ---- arriving ---- */

void parcel_copy(const struct stream_parcel *p, const struct ring_mem *tx,
		 const struct ring_mem *rx)
{
	ring_copy(&p->tx, p->tx_base, tx, p->tx_base, p->tx_acked, p->tx_tail);
	ring_copy(&p->rx, p->rx_base, rx, p->rx_base, p->rx_head, p->rx_next);
}

static void unpack(struct stream *s, const struct stream_parcel *p)
{
	s->local_addr = p->local_addr;
	s->remote_addr = p->remote_addr;
	s->local_port = p->local_port;
	s->remote_port = p->remote_port;
	s->dialled = p->port_home != 0;
	s->port_home = p->port_home;
	s->class_set = p->class_set;
	s->class = p->class;
	s->weight = p->weight;
	s->shutdown = p->shutdown;
	s->closed = p->closed;
	s->reset_after = p->reset_after;
	/* A's end may know more, by ACCEPT; and its credit. B hears of that before it may send. */
	if (s->tx_acked < p->tx_acked)
		s->tx_acked = p->tx_acked;
	s->tx_next = s->switch_mark = s->tx_acked;
	s->tx_tail = p->tx_tail;
	s->tx_sent = p->tx_sent;
	s->tx_base = p->tx_base;
	s->rx_head = s->rx_since = p->rx_head;
	s->rx_next = p->rx_next;
	s->rx_limit = p->rx_limit;
	s->rx_base = p->rx_base;
}

int engine_stream_arrive(struct engine *e, struct stream *s, const struct stream_parcel *p,
			 const struct ring_mem *tx, const struct ring_mem *rx, void *user,
			 uint64_t now_ns)
{
	bool resumes = s->state == STREAM_RESUMING && s->remote_id != 0;

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	if (!resumes && s->state != STREAM_INCOMING)
		return -ENOENT;
	if (s->tx_acked > p->tx_sent) {
		stream_reset_begin(e, s, WIRE_E_PROTOCOL, now_ns);
		return -EPROTO;
	}
	/* Credit that was given is not taken back. */
	assert(tx->bytes >= p->tx.bytes && rx->bytes >= p->rx.bytes);
	unpack(s, p);
	s->tx = *tx;
	s->rx = *rx;
	s->user = user;
	s->state = resumes ? STREAM_ESTABLISHED : STREAM_ARRIVED;
	/* In any case, also for A's ack: B waits for it. */
	s->want = resumes ? WANT_CREDIT : WANT_ACCEPT;
	if (s->tx_acked > p->tx_acked)
		stream_event(e, s, STREAM_EV_TX);
	if (s->closed)
		stream_orphan_arm(e, s, e->now_ns);
	sched_activate(e, s);
	return 0;
}

void move_settle(struct engine *e, struct stream *s)
{
	s->state = STREAM_ESTABLISHED;
	/* Also of the room that was made meanwhile. And A hears that this end goes on. */
	s->want = WANT_CREDIT;
	stream_event(e, s, STREAM_EV_CONNECTED);
	sched_activate(e, s);
}
