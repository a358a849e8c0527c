/* SPDX-License-Identifier: MIT */
/*
 * port_leave.c - an open stream leaves this worker for another one (moves.h). Its slot says MOVED,
 * as when another process takes it (port_move.c), and its library, which has lent it, fetches it.
 *
 *   PICK     which are busy, and might go
 *   FIND     a peer resumes it: whose is it?
 *   BEGIN    going: rings are not exchanged any more
 *   OUT      out of the slot and the engine; the rings are kept until OVER    or KEEP: it stays
 */
#include <errno.h>

#include "parcel.h"
#include "port_calls.h"

#define STAYS_NS 10000000000ull /* one that has come is not sent on sooner */
#define PICK_LOOKS 512u         /* at streams, a command */

#define FLOW_GOES_ALONG (FLOW_OPEN | FLOW_RELEASED | FLOW_SHUTDOWN | FLOW_LENT)
#define FLOW_STAYS                                                                           \
	(FLOW_ENDED | FLOW_DONE | FLOW_RELEASED | FLOW_SHUTDOWN | FLOW_PARKED | FLOW_EXCHANGE | \
	 FLOW_PASS | FLOW_MOVING | FLOW_HUNG | FLOW_JOIN_ASKED | FLOW_PLACE | FLOW_SETTLES)

/* True if @f may begin to move, or be lent for that. */
static bool may_go(const struct worker *w, const struct flow *f)
{
	return f->shm && f->flags & FLOW_OPEN && !(f->flags & FLOW_STAYS) && !f->going &&
	       !f->tx_joint && !f->rx_joint && !f->tx_next.base && !f->rx_prev.base &&
	       !f->port->bad && !f->port->removed &&
	       engine_stream_goes(w->engine, f->stream) == 0;
}

static bool may_be_picked(const struct worker *w, const struct flow *f)
{
	struct stream_info i;

	if (!f->stream || f->cookie || !may_go(w, f) ||
	    (f->came_ns != 0 && w->now_ns - f->came_ns < STAYS_NS))
		return false;
	engine_stream_info(f->stream, &i);
	return i.class == CLASS_LATENCY;
}

int port_pick(struct worker *w, struct worker_cmd *cmd)
{
	uint32_t nr = 0, busy = 0, looks = 0;

	/* Half of them: so it has less to do, and the other not too much. */
	for (struct flow *f = w->touched; f && looks < PICK_LOOKS; f = f->touched_next, looks++) {
		if (!may_be_picked(w, f) || busy++ % 2 != 0 || nr == cmd->pick.nr)
			continue;
		cmd->pick.pick[nr++] = (struct move_pick){ .port = f->port, .slot = f->slot };
	}
	cmd->pick.nr = nr;
	return 0;
}

int port_find(struct worker *w, struct worker_cmd *cmd)
{
	struct stream *s = engine_stream_known(w->engine, cmd->move.at.peer, cmd->move.at.lane,
					       cmd->move.at.id);
	struct flow *f = s ? engine_stream_user(s) : NULL;

	if (!f || f->cookie || !may_go(w, f))
		return -EBUSY;
	cmd->move.port = f->port;
	cmd->move.slot = f->slot;
	return 0;
}

/* The stream that @cmd names, NULL: it is over. */
static struct flow *named(struct worker *w, const struct worker_cmd *cmd)
{
	struct flow *f;

	if (cmd->move.stream >= w->cfg.engine.streams)
		return NULL;
	f = &w->flow[cmd->move.stream];
	return f->stream && f->cookie == cmd->move.cookie ? f : NULL;
}

/* True while another process waits to take it here: it is asked for. */
static bool is_taken(const struct worker *w, uint64_t cookie)
{
	for (const struct worker_cmd *c = w->takes; c; c = c->next)
		if (c->type == CMD_TAKE && c->share.cookie == cookie)
			return true;
	return false;
}

int flow_begin_to_go(struct worker *w, struct worker_cmd *cmd)
{
	struct flow *f = named(w, cmd);
	struct stream_info i;

	if (!f || !may_go(w, f) || is_taken(w, f->cookie))
		return -EBUSY;
	engine_stream_info(f->stream, &i);
	/* Its slot may be another stream's by the time that it is lent; the peer has named one. */
	if (cmd->move.asked && (i.peer != cmd->move.at.peer || i.lane != cmd->move.at.lane ||
				stream_id(f->stream) != cmd->move.at.id))
		return -EBUSY;
	cmd->move.remote_id = i.remote_id;
	cmd->move.at = (struct move_at){ .peer = i.peer, .lane = i.lane,
					 .id = stream_id(f->stream) };
	cmd->move.tx_bytes = f->tx.bytes;
	cmd->move.rx_bytes = f->rx.bytes;
	f->going = moved_take(w);
	return f->going ? 0 : -ENOBUFS;
}

void flow_going_end(struct worker *w, struct flow *f)
{
	if (f->going)
		moved_give(w, f->going);
	f->going = NULL;
}

int flow_keep(struct worker *w, struct worker_cmd *cmd)
{
	struct flow *f = named(w, cmd);

	if (!f || !f->going)
		return -ENOENT;
	w->moves_refused++;
	flow_going_end(w, f);
	if (!cmd->move.asked)
		engine_stream_stays(w->engine, f->stream);
	flow_touch(w, f);
	return 0;
}

static void pack(const struct flow *f, struct parcel *p)
{
	p->cookie = f->cookie;
	p->flags = f->flags & FLOW_GOES_ALONG;
	p->shm_flags = f->shm_flags;
	p->tx_most = f->tx_most;
	p->rx_most = f->rx_most;
	p->tx_tail = f->tx_tail;
	p->tx_head = f->tx_head;
}

/* Nothing of @f is here any more, but what its slot has left. */
static void flow_gone(struct worker *w, struct flow *f)
{
	flow_stats_close(w, f);
	flow_warm_end(w, f);
	flow_moved_end(w, f);
	f->stream = NULL;
	f->flags &= FLOW_TOUCHED;
	w->streams_went++;
}

int flow_out(struct worker *w, struct worker_cmd *cmd)
{
	struct flow *f = named(w, cmd);
	struct parcel *p = cmd->move.parcel;
	struct moved *left;
	int ret;

	if (!f || !f->going)
		return -ENOENT;
	flow_last_words(w, f);
	pack(f, p);
	ret = engine_stream_leave(w->engine, f->stream, cmd->move.asked, &p->stream, w->now_ns);
	if (ret < 0) {
		flow_stays_after_all(f);
		flow_going_end(w, f);
		flow_touch(w, f);
		return ret;
	}
	left = f->going;
	f->going = NULL;
	flow_leave(w, f, left, p->stream.exposed);
	left->held = true;
	moved_alone(w, f, left);
	flow_gone(w, f);
	cmd->move.left = left;
	return 0;
}

void flow_over(const struct worker_cmd *cmd)
{
	cmd->move.left->held = false;
}
