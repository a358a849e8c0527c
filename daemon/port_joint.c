/* SPDX-License-Identifier: MIT */
/*
 * port_joint.c - joined rings: a stream of bulk whose two ends are at this worker gets one ring for
 * both (ncd/shm_abi.h), and the engine then finds each byte where it belongs already.
 *
 *   writer (its tx)                                       reader (its rx)
 *   wants to grow --- JOINT_WANTED, CMD_JOINT --->        exchanged: what is unread is copied,
 *   still in its old ring  ==== copied as ever ====>      and its credit leaves room for that ring
 *   is given the same  <-----------------------------     has followed: looks into it
 *   takes it when it lacks room: room is behind
 *   what the reader has read (tx_read)                    all of the ring is credit now
 *
 * Either may leave: it ends, goes to another process, or must see more at once than the ring holds.
 * As long as the reader may look into the ring its rx_head bounds the writer, also in an old ring
 * that it has not left; who leaves as writer may still be putting bytes where it saw room, so the
 * reader leaves first. It can, at once, since the writer was not let in before it had followed.
 */
#include <errno.h>

#include "port_calls.h"

#define JOINT_BYTES (4u << 20)   /* where both rings may become so large */
#define JOINT_FROM  (256u << 10) /* it moves bulk: the larger of the two rings has this, and is */
#define JOINT_MOVED (4u << 20)   /* too small; or it has moved so much, and a lot just now */

static struct flow *flow_twin(const struct worker *w, const struct flow *f)
{
	struct stream *s = engine_stream_twin(w->engine, f->stream);

	return s ? engine_stream_user(s) : NULL;
}

static bool end_is_ready(const struct flow *f)
{
	return f->shm && f->flags & FLOW_OPEN && f->cookie == 0 && f->port->cfg.joins &&
	       !f->port->bad && !f->port->removed &&
	       !(f->flags & (FLOW_ENDED | FLOW_DONE | FLOW_RELEASED | FLOW_PARKED | FLOW_PASS |
			     FLOW_MOVING));
}

static bool may_join(const struct flow *f, const struct flow *g, uint32_t bytes)
{
	return end_is_ready(f) && end_is_ready(g) && !f->tx_joint && !f->tx.joint &&
	       !g->rx_joint && !g->rx.joint && !(f->flags & FLOW_SHUTDOWN) &&
	       f->tx_most >= JOINT_BYTES && g->rx_most >= JOINT_BYTES &&
	       bytes >= f->tx_bytes + g->rx_bytes;
}

/* Twice as large, where they have grown so far by themselves. */
static uint32_t joint_bytes(const struct flow *f, const struct flow *g)
{
	return f->tx_bytes + g->rx_bytes <= JOINT_BYTES ? JOINT_BYTES : 2 * JOINT_BYTES;
}

/*
 * But not yet: another exchange is under way, or an application is only about to accept. It looks
 * for its first rings without a word of ours in between: what it has read or written tells that it
 * knows them.
 */
static bool is_busy(const struct flow *f, const struct flow *g)
{
	return f->tx_next.base || f->tx_old.base || g->rx_prev.base || g->rx_old.base ||
	       f->tx_tail == 0 || g->rx_head == 0;
}

/* True if the tx ring of @f and its twin's rx ring do not grow by themselves: they are, or are
 * about to be, one. */
static bool join(struct worker *w, struct flow *f, struct flow *g)
{
	struct worker_event ev = { .type = EVT_JOINT_WANTED, .port = f->port, .reader = g->port,
				   .stream = stream_id(f->stream), .bytes = joint_bytes(f, g) };

	if (f->flags & FLOW_JOIN_ASKED)
		return true;
	if (f->flags & FLOW_JOIN_NOT || !may_join(f, g, (uint32_t)ev.bytes) || is_busy(f, g) ||
	    (f->tx_bytes < JOINT_FROM && g->rx_bytes < JOINT_FROM && f->tx_tail < JOINT_MOVED) ||
	    bulk_ring_most(w, f) < JOINT_BYTES / 4 || !door_has_room(&w->door))
		return false;
	f->flags |= FLOW_JOIN_ASKED;
	door_event(&w->door, &ev);
	return true;
}

bool joint_instead_of_tx(struct worker *w, struct flow *f)
{
	struct flow *g;

	if (f->tx_joint && f->tx_joint->reader)
		return true;
	g = flow_twin(w, f);
	return g && join(w, f, g);
}

bool joint_instead_of_rx(struct worker *w, struct flow *g)
{
	struct flow *f;

	if (g->rx_joint)
		return true;
	f = flow_twin(w, g);
	return f && join(w, f, g);
}

void joint_of_bulk(struct worker *w, struct flow *f)
{
	if (f->shm && !f->tx_joint && f->tx_tail >= JOINT_MOVED)
		(void)joint_instead_of_tx(w, f); /* if not, it grows when it must */
}

bool joint_half(const struct flow *g)
{
	return g->rx_joint && g->rx_joint->writer && !g->rx_joint->writer->tx.joint;
}

/* ---- room ---- */

uint64_t joint_tx_free(const struct flow *f, uint64_t acked)
{
	const struct flow *g = f->tx_joint ? f->tx_joint->reader : NULL;

	return g && g->rx_head < acked ? g->rx_head : acked;
}

void joint_show_read(struct flow *f, uint64_t acked)
{
	uint64_t at = joint_tx_free(f, acked);

	if (at <= f->tx_read)
		return;
	f->tx_read = at;
	/* TXSPACE, daemon end. */
	atomic_store_explicit(&f->shm->tx_read, at, memory_order_release);
}

void joint_reader_moved(struct worker *w, struct flow *g)
{
	struct flow *f = g->rx_joint->writer;

	if (!f || !f->shm || f->port->bad)
		return;
	joint_show_read(f, f->tx_head);
	if (flow_enough_room(f))
		slot_notify(w, f->port, f->slot, f->shm, EV_OUT);
}

void joint_reader_look(struct worker *w, struct flow *f)
{
	struct flow *g = f->tx_joint ? f->tx_joint->reader : NULL;
	const char *why;

	if (g && g->shm && !g->port->bad && flow_pull(w, g, &why) < 0)
		port_bad(w, g->port, why);
}

/* ---- joining ---- */

static struct arena_block joint_block(struct joint *j, enum joint_side side)
{
	j->blocks++;
	return (struct arena_block){ .base = j->map.base, .bytes = (uint32_t)j->map.bytes,
				     .segment = j->number[side], .joint = j };
}

static bool join_both(struct worker *w, struct flow *f, struct flow *g, struct joint *j)
{
	struct arena_block block = joint_block(j, JOINT_READER);
	struct ring_mem ring = ring_of(&block);

	if (engine_rx_join(w->engine, g->stream, &ring, f->tx_bytes, w->now_ns) < 0) {
		j->blocks = 0;
		return false;
	}
	j->writer = f;
	j->reader = g;
	f->tx_joint = g->rx_joint = j;
	/* It may be asleep, and the next byte comes to the new ring: it follows then. */
	flow_rx_give(w, g, &block);
	return true;
}

void joint_followed(struct worker *w, struct flow *g)
{
	struct joint *j = g->rx_joint;
	struct flow *f = j && j == g->rx.joint ? j->writer : NULL;

	if (!f || f->tx.joint || f->tx_next.base)
		return;
	/* It was shared, or finished, meanwhile: it stays in its ring, and room for that is not
	 * kept any more. */
	if (f->tx_old.base || !end_is_ready(f) || f->flags & FLOW_SHUTDOWN) {
		joint_writer_leaves(w, f);
		return;
	}
	/* Before GIVEN. */
	f->tx_read = 0;
	joint_show_read(f, f->tx_head);
	f->tx_next = joint_block(j, JOINT_WRITER);
	flow_tx_give(w, f);
}

int port_joint(struct worker *w, const struct worker_cmd *cmd)
{
	struct stream *s = engine_stream_local(w->engine, cmd->joint.stream);
	struct flow *f = s ? engine_stream_user(s) : NULL, *g = NULL;
	struct joint *j = cmd->joint.joint;
	bool joined = false;

	if (f && f->port == cmd->port) {
		f->flags &= ~FLOW_JOIN_ASKED;
		g = flow_twin(w, f);
	}
	if (j) {
		j->over = &w->joints_over;
		joined = g && g->port == cmd->joint.reader &&
			 may_join(f, g, (uint32_t)j->map.bytes) && !is_busy(f, g) &&
			 join_both(w, f, g, j);
	}
	if (joined)
		return 0;
	if (j) {
		j->blocks = 1;
		joint_give(j);
	}
	if (g) {
		f->flags |= FLOW_JOIN_NOT;
		if (end_is_ready(f))
			flow_grow(w, f);
		if (end_is_ready(g))
			flow_grow(w, g);
	}
	return 0;
}

void joint_taken(struct worker *w, struct flow *f)
{
	struct flow *g = f->tx_joint ? f->tx_joint->reader : NULL;

	f->tx_base = 0;
	if (g && g->rx.joint == f->tx.joint)
		engine_rx_open(w->engine, g->stream, w->now_ns);
	/* It may have asked for more than this. */
	if (g && end_is_ready(g))
		flow_grow(w, g);
}

/* ---- leaving ---- */

void joint_writer_leaves(struct worker *w, struct flow *f)
{
	struct joint *j = f->tx_joint;

	if (!j)
		return;
	f->tx_joint = NULL;
	j->writer = NULL;
	if (j->reader) /* perhaps it never came in */
		engine_rx_open(w->engine, j->reader->stream, w->now_ns);
}

void joint_reader_leaves(struct worker *w, struct flow *g)
{
	struct joint *j = g->rx_joint;

	if (!j)
		return;
	g->rx_joint = NULL;
	j->reader = NULL;
	if (j->writer && j->writer->shm && !j->writer->port->bad) {
		joint_show_read(j->writer, j->writer->tx_head);
		slot_notify(w, j->writer->port, j->writer->slot, j->writer->shm, EV_OUT);
	}
}

int joint_part(struct worker *w, struct flow *f)
{
	struct flow *g = f->tx_joint ? f->tx_joint->reader : NULL;
	struct arena_block block;
	struct ring_mem ring;

	if (!g || !g->rx.joint || (!f->tx.joint && !f->tx_next.joint))
		return 0;
	if (g->rx_prev.base || g->rx_old.base || engine_rx_busy(w->engine, g->stream))
		return -EAGAIN;
	if (arena_take(g->port->arena, g->rx_bytes, &block) < 0) {
		if (w->now_ns < g->port->grow_ns)
			return -ENOBUFS;
		memory_ask(w, g->port, g->rx_bytes);
		return -EAGAIN;
	}
	ring = ring_of(&block);
	if (engine_rx_exchange(w->engine, g->stream, &ring, w->now_ns) < 0) {
		arena_give(g->port->arena, &block);
		return -EAGAIN;
	}
	flow_rx_give(w, g, &block);
	return 0;
}

uint32_t joints_over(struct worker *w)
{
	uint32_t did = 0;
	struct joint *j;

	while ((j = w->joints_over) && door_has_room(&w->door)) {
		struct worker_event ev = { .type = EVT_JOINT_OVER, .joint = j };

		w->joints_over = j->over_next;
		/* One that was never let in, or had left its slot before it came. */
		if (j->writer)
			j->writer->tx_joint = NULL;
		j->writer = NULL;
		door_event(&w->door, &ev);
		did++;
	}
	return did + (j != NULL); /* without room: at the next turn */
}
