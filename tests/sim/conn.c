/* SPDX-License-Identifier: MIT */
/*
 * conn.c - simulated connections: how they come up at each end, move bytes in pieces of any size,
 * and die without telling both ends at once.
 *
 * The transport works as io_uring does: memory given to it by engine_tx_iov and engine_rx_iov is
 * read and written later, and the engine hears of it later still.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "sim.h"

#define RX_AT_ONCE 64

static void end_at(struct sim *s, uint64_t after_ns, enum event_kind kind, uint32_t conn,
		   uint32_t end)
{
	sim_at(s, after_ns, kind, conn, end, s->conn[conn].generation);
}

static struct node *end_node(struct sim *s, const struct conn_end *end)
{
	return &s->node[end->node];
}

/* Who asked for the channel of @place hears what became of that. */
static void place_answer(struct sim *s, struct place *p, bool up)
{
	struct node *n = &s->node[p->node[p->by]], *other = &s->node[p->node[!p->by]];

	if (!p->asked)
		return;
	p->asked = false;
	if (n->engine)
		engine_peer_grown(n->engine, peer_index(n->host, other->host), up, node_now(s));
	node_touch(s, p->node[p->by]);
}

static void dial_soon(struct sim *s, uint32_t place, uint64_t most_ns)
{
	if (s->place[place].extra) {
		place_answer(s, &s->place[place], false);
		return;
	}
	if (s->place[place].dialling)
		return;
	s->place[place].dialling = true;
	sim_at(s, rng_below(&s->rng, most_ns), EV_DIAL, place, 0, 0);
}

static void free_if_over(struct sim *s, uint32_t conn)
{
	struct conn *c = &s->conn[conn];

	if (!c->used || !c->end[0].down || !c->end[1].down)
		return;
	pipe_fini(&c->pipe[0]);
	pipe_fini(&c->pipe[1]);
	c->used = false;
	c->generation++;
	if (s->place[c->place].conn == conn)
		s->place[c->place].conn = CONNS_MAX;
}

/* Both nodes hear that the other cannot be reached, if they have no channel at all. */
static void dial_failed(struct sim *s, const struct place *p)
{
	for (int i = 0; i < 2; i++) {
		struct node *n = &s->node[p->node[i]];
		uint32_t peer = peer_index(n->host, s->node[p->node[!i]].host);

		if (!n->engine || n->peer[peer].channels > 0)
			continue;
		n->peer[peer].told_unreachable = true;
		engine_peer_unreachable(n->engine, peer,
					rng_chance(&s->rng, 500) ? -EHOSTUNREACH : -ECONNREFUSED,
					node_now(s));
		node_touch(s, p->node[i]);
	}
}

void place_grow(struct sim *s, uint32_t node, uint32_t peer)
{
	uint32_t host = s->node[node].host, other = peer_host(host, peer);

	bool deny = rng_chance(&s->ring_rng, s->plan.deny_permille);

	for (uint32_t i = 0; i < s->places && !deny; i++) {
		struct place *p = &s->place[i];
		uint32_t by = p->node[1] == node;

		if (!p->extra || p->node[by] != node || s->node[p->node[!by]].host != other ||
		    p->dialling || p->asked || p->conn < CONNS_MAX)
			continue;
		p->dialling = p->asked = true;
		p->by = by;
		sim_log(s, "node %u grows: place %u", node, i);
		sim_at(s, rng_below(&s->ring_rng, MS), EV_DIAL, i, 0, 0);
		return;
	}
	engine_peer_grown(s->node[node].engine, peer, false, node_now(s));
}

void place_dial(struct sim *s, uint32_t place)
{
	struct place *p = &s->place[place];
	uint64_t rate = s->plan.bytes_per_s;
	uint32_t host[2] = { s->node[p->node[0]].host, s->node[p->node[1]].host };
	uint32_t i;

	p->dialling = false;
	if (p->conn < CONNS_MAX && s->conn[p->conn].used && !s->conn[p->conn].cut)
		return;
	if (!s->host[host[0]].up || !s->host[host[1]].up || s->severed[host[0]][host[1]]) {
		dial_failed(s, p);
		dial_soon(s, place, 100 * MS);
		return;
	}
	for (i = 0; i < CONNS_MAX && s->conn[i].used; i++)
		;
	assert(i < CONNS_MAX);
	if (i >= s->conn_high)
		s->conn_high = i + 1;
	struct conn *c = &s->conn[i];

	*c = (struct conn){ .used = true, .generation = c->generation, .place = place };
	p->conn = i;
	for (uint32_t e = 0; e < 2; e++) {
		c->incarnation[e] = s->host[host[e]].incarnation;
		c->end[e].node = p->node[e];
		c->end[e].peer = peer_index(host[e], host[!e]);
		/* Channels differ: one may be much slower than the rest. */
		pipe_init(&c->pipe[e], s->plan.pipe_bytes,
			  s->plan.bulk ? rng_log(&s->rng, rate / 16, rate) : rate);
		end_at(s, rng_below(&s->rng, 2 * s->plan.delay_ns + MS), EV_END_UP, i, e);
	}
}

/* Another incarnation of the peer answers: what was with the last one is void. */
static void forget_incarnation(struct sim *s, uint32_t node, uint32_t peer)
{
	struct node *n = &s->node[node];

	sim_log(s, "node %u: host %u is another than before", node, peer_host(n->host, peer));
	for (uint32_t i = 0; i < s->conn_high; i++)
		for (uint32_t k = 0; k < 2; k++)
			if (s->conn[i].used && s->conn[i].end[k].node == node &&
			    s->conn[i].end[k].peer == peer && s->conn[i].end[k].up)
				end_down(s, i, k);
	engine_peer_reset(n->engine, peer, node_now(s));
	n->peer[peer].left = false;
}

/* As control does it: all lanes of a host hear of it at once. */
static void check_incarnation(struct sim *s, const struct conn *c, uint32_t end)
{
	uint32_t host = end_node(s, &c->end[end])->host, peer = c->end[end].peer;
	uint32_t before = end_node(s, &c->end[end])->peer[peer].incarnation;

	for (uint32_t i = 0; i < s->nodes; i++) {
		if (s->node[i].host != host)
			continue;
		if (before != 0 && before != c->incarnation[!end])
			forget_incarnation(s, i, peer);
		s->node[i].peer[peer].incarnation = c->incarnation[!end];
	}
}

/* Streams that were without a channel for so long may have been given up. */
static void note_unreachable(struct sim *s, const struct conn_end *e)
{
	struct node *n = end_node(s, e);
	uint32_t host = peer_host(n->host, e->peer);

	if (n->peer[e->peer].channels > 0 ||
	    s->now_ns - n->peer[e->peer].none_since_ns + MS < s->plan.engine.unreachable_ns)
		return;
	for (uint32_t f = 0; f < s->flows; f++)
		for (int i = 0; i < 2; i++)
			if (s->flow[f].side[i].node == e->node &&
			    s->node[s->flow[f].side[!i].node].host == host)
				s->flow[f].why |= WHY_UNREACHABLE;
}

static void post_rx(struct sim *s, struct conn_end *e)
{
	size_t total = 0;

	/* A worker says how much it wants at once as often as it likes. */
	if (rng_chance(&s->ring_rng, 20))
		engine_rx_limit(end_node(s, e)->engine,
				(uint32_t)rng_log(&s->ring_rng, 1024, NCD_FRAME_PAYLOAD_MAX));
	e->rx_nr = engine_rx_iov(end_node(s, e)->engine, e->channel, &e->rx_iov);
	for (int i = 0; i < e->rx_nr; i++) {
		total += e->rx_iov[i].iov_len;
		placement_check(s, e, e->rx_iov[i].iov_base, e->rx_iov[i].iov_len, false);
	}
	if (e->rx_nr < 1 || e->rx_nr > 4 || total == 0)
		sim_fail(s, "node %u: engine_rx_iov gives %d iovecs, %zu bytes", e->node, e->rx_nr,
			 total);
}

void end_up(struct sim *s, uint32_t conn, uint32_t end)
{
	struct conn *c = &s->conn[conn];
	struct conn_end *e = &c->end[end];
	const struct place *p = &s->place[c->place];
	struct node *n = end_node(s, e);

	if (c->cut || !n->engine) {
		e->down = true;
		dial_soon(s, c->place, 50 * MS);
		free_if_over(s, conn);
		return;
	}
	/* The newer connection of a place wins: the old one is dead on the other side. */
	for (uint32_t i = 0; i < s->conn_high; i++)
		if (i != conn && s->conn[i].used && s->conn[i].place == c->place &&
		    s->conn[i].end[end].up && !s->conn[i].end[end].down)
			end_down(s, i, end);
	check_incarnation(s, c, end);
	note_unreachable(s, e);
	n->peer[e->peer].told_unreachable = false;
	engine_peer_unreachable(n->engine, e->peer, 0, node_now(s));
	guarded_init(&e->rx_buf, (uint32_t)rng_log(&s->rng, 16u << 10, 64u << 10));
	guarded_init(&e->tx_buf, (uint32_t)rng_log(&s->rng, 16u << 10, 64u << 10));
	e->up = true;
	e->heard_ns = s->now_ns;
	n->peer[e->peer].channels++;
	e->channel = engine_channel_up(n->engine, e->peer, p->class, (uint16_t)n->lane, p->index,
				       &e->rx_buf.mem, &e->tx_buf.mem, e, node_now(s));
	if (!e->channel)
		sim_fail(s, "node %u: no place for a channel", e->node);
	sim_log(s, "conn %u end %u up: node %u, host %u, class %u, index %u", conn, end, e->node,
		peer_host(n->host, e->peer), p->class, p->index);
	if (s->plan.give_max > 0)
		engine_channel_carries(e->channel);
	if (s->plan.move_ns > 0)
		engine_channel_moves(e->channel);
	engine_channel_files(e->channel, conn % 2 ? UINT32_MAX : 0x55555555);
	if (p->extra && p->by == end) {
		s->totals.grown++;
		engine_channel_extra(n->engine, e->channel, node_now(s));
		place_answer(s, &s->place[c->place], true);
	}
	if (s->plan.posted)
		post_rx(s, e);
	node_touch(s, e->node);
	end_at(s, 0, EV_RX, conn, end);
}

void end_down(struct sim *s, uint32_t conn, uint32_t end)
{
	struct conn *c = &s->conn[conn];
	struct conn_end *e = &c->end[end];
	struct node *n = end_node(s, e);

	if (e->down)
		return;
	e->down = true;
	if (!c->cut)
		conn_cut(s, conn, 50 * MS);
	if (e->up && n->engine) {
		bool clean = engine_channel_clean(e->channel);

		sim_log(s, "conn %u end %u down%s", conn, end, clean ? ", drained" : "");
		s->totals.drained += clean;
		engine_channel_down(n->engine, e->channel, node_now(s));
		if (--n->peer[e->peer].channels == 0)
			n->peer[e->peer].none_since_ns = s->now_ns;
		node_touch(s, e->node);
	}
	e->channel = NULL;
	guarded_fini(s, &e->rx_buf, "a channel's staging memory");
	guarded_fini(s, &e->tx_buf, "a channel's header memory");
	dial_soon(s, c->place, 100 * MS);
	free_if_over(s, conn);
}

void conn_cut(struct sim *s, uint32_t conn, uint64_t notice_ns)
{
	struct conn *c = &s->conn[conn];

	if (!c->used || c->cut)
		return;
	c->cut = true;
	s->totals.cuts++;
	for (uint32_t e = 0; e < 2; e++) {
		pipe_cut(&c->pipe[e], rng_below(&s->rng, c->pipe[e].used + 1));
		/* Whoever waits for room finds that the bytes vanish. */
		if (c->tx_blocked[e])
			end_at(s, 0, EV_TX, conn, e);
		c->tx_blocked[e] = false;
		if (notice_ns > 0)
			end_at(s, rng_below(&s->rng, notice_ns), EV_END_DOWN, conn, e);
	}
}

void conn_cut_late(struct sim *s, uint32_t conn, uint64_t late_ns)
{
	struct conn *c = &s->conn[conn];
	uint32_t first = (uint32_t)rng_below(&s->rng, 2);

	c->cut = true;
	s->totals.cuts++;
	for (uint32_t e = 0; e < 2; e++) {
		pipe_delay(&c->pipe[e], rng_below(&s->rng, c->pipe[e].used + 1), late_ns);
		pipe_cut(&c->pipe[e], c->pipe[e].used);
		if (c->tx_blocked[e])
			end_at(s, 0, EV_TX, conn, e);
		c->tx_blocked[e] = false;
	}
	end_at(s, rng_below(&s->rng, 5 * MS), EV_END_DOWN, conn, first);
	end_at(s, late_ns + rng_below(&s->rng, 50 * MS), EV_END_DOWN, conn, !first);
}

void conn_free_all(struct sim *s)
{
	for (uint32_t i = 0; i < s->conn_high; i++) {
		struct conn *c = &s->conn[i];

		if (!c->used)
			continue;
		for (int e = 0; e < 2; e++) {
			guarded_fini(s, &c->end[e].rx_buf, "a channel's staging memory");
			guarded_fini(s, &c->end[e].tx_buf, "a channel's header memory");
			pipe_fini(&c->pipe[e]);
		}
		c->used = false;
	}
}

void conn_settle(struct sim *s, const struct guarded *g)
{
	if (!g->mem.file)
		return;
	for (uint32_t i = 0; i < s->conn_high; i++)
		for (int e = 0; e < 2 && s->conn[i].used; e++)
			pipe_settle(&s->conn[i].pipe[e], g->mem.base, g->mem.bytes, g->kept);
}

/* All that the engine wants to send, pieces of files behind the rest. */
static void tx_gather(struct sim *s, struct conn_end *e)
{
	const struct tx_file *file;
	const struct iovec *iov;
	int nr = engine_tx_iov(end_node(s, e)->engine, e->channel, node_now(s), &iov);

	e->tx_files = engine_tx_files(e->channel, &file);
	if (nr < 0 || nr + e->tx_files > SIM_TX_MAX)
		sim_fail(s, "node %u: engine_tx_iov gives %d iovecs", e->node, nr);
	memcpy(e->tx_iov, iov, (size_t)nr * sizeof(iov[0]));
	for (int i = 0; i < e->tx_files; i++)
		e->tx_iov[nr++] = (struct iovec){ (void *)(uintptr_t)file[i].base, file[i].bytes };
	e->tx_nr = nr;
}

/* Of the last @taken bytes written, those that lie in files are referred to. */
static void tx_refer(struct conn_end *e, struct pipe *p, size_t taken)
{
	size_t at = 0;

	for (int i = 0; i < e->tx_nr && at < taken; at += e->tx_iov[i++].iov_len) {
		const struct iovec *v = &e->tx_iov[i];

		if (i >= e->tx_nr - e->tx_files)
			pipe_refer(p, v->iov_base, taken - at, v->iov_len);
	}
}

/* How much of @most the transport moves at once. */
static size_t split(struct sim *s, size_t most)
{
	uint64_t dice = rng_below(&s->rng, 1000);

	if (dice < s->plan.tiny_permille)
		return rng_chance(&s->rng, 500) || most < 2
			       ? 1
			       : rng_range(&s->rng, 1, most < 60 ? most : 60);
	if (dice < s->plan.tiny_permille + s->plan.part_permille)
		return rng_range(&s->rng, 1, most);
	return most;
}

void end_tx_stuck(struct sim *s, uint32_t conn, uint32_t end)
{
	struct conn_end *e = &s->conn[conn].end[end];

	if (e->up && !e->down && e->tx_nr > 0)
		(void)engine_channel_stuck(end_node(s, e)->engine, e->channel, node_now(s));
}

void end_tx_start(struct sim *s, uint32_t conn, uint32_t end)
{
	struct conn_end *e = &s->conn[conn].end[end];
	struct node *n = end_node(s, e);

	if (!e->up || e->down || e->tx_nr > 0 || !engine_channel_wants_tx(e->channel))
		return;
	tx_gather(s, e);
	if (e->tx_nr == 0) {
		if (++n->idle_ticks > node_idle_max(s, n))
			sim_fail(s, "node %u: a channel wants to send and has nothing", e->node);
		if (!n->turn_queued) {
			n->turn_queued = true;
			sim_at(s, s->plan.turn_ns, EV_TURN, e->node, 0,
			       s->host[n->host].incarnation);
		}
		return;
	}
	if (s->plan.io_ns == 0)
		end_tx(s, conn, end);
	else
		end_at(s, rng_below(&s->rng, s->plan.io_ns), EV_TX, conn, end);
}

void end_tx(struct sim *s, uint32_t conn, uint32_t end)
{
	struct conn *c = &s->conn[conn];
	struct conn_end *e = &c->end[end];
	size_t total = 0, room = c->cut ? SIZE_MAX : pipe_room(&c->pipe[end]);
	uint64_t arrive_ns, delay_ns = s->plan.delay_ns + rng_below(&s->rng, s->plan.jitter_ns + 1);

	if (e->down || e->tx_nr == 0 || e->tx_executed)
		return;
	for (int i = 0; i < e->tx_nr; i++)
		total += e->tx_iov[i].iov_len;
	if (total == 0)
		sim_fail(s, "node %u: engine_tx_iov gives iovecs without bytes", e->node);
	if (room == 0) {
		c->tx_blocked[end] = true;
		/* The worker has done something: in its next turn it finds the channel stuck. */
		if (s->plan.extra > 0)
			node_touch(s, e->node);
		return;
	}
	if (c->cut)
		room = c->pipe[end].size;
	e->tx_taken = split(s, total < room ? total : room);
	e->tx_executed = true;
	if (!c->cut) {
		spy_sent(s, c, end, e->tx_iov, e->tx_nr, e->tx_taken);
		pipe_write(&c->pipe[end], e->tx_iov, e->tx_nr, e->tx_taken, s->now_ns, delay_ns,
			   &arrive_ns);
		tx_refer(e, &c->pipe[end], e->tx_taken);
		end_at(s, arrive_ns - s->now_ns, EV_RX, conn, !end);
	}
	sim_trace(s, e->tx_taken, conn);
	if (s->plan.io_ns == 0)
		end_tx_done(s, conn, end);
	else
		end_at(s, rng_below(&s->rng, s->plan.io_ns), EV_TX_DONE, conn, end);
}

void end_tx_done(struct sim *s, uint32_t conn, uint32_t end)
{
	struct conn_end *e = &s->conn[conn].end[end];

	if (e->down || !e->tx_executed)
		return;
	e->tx_executed = false;
	e->tx_nr = 0;
	engine_sent(end_node(s, e)->engine, e->channel, e->tx_taken, node_now(s));
	node_touch(s, e->node);
}

/* Moves bytes that have arrived to where the engine wants them. */
static bool receive(struct sim *s, uint32_t conn, uint32_t end)
{
	struct conn *c = &s->conn[conn];
	struct conn_end *e = &c->end[end];
	struct pipe *p = &c->pipe[!end];
	size_t total = 0, left, ready = pipe_ready(p, s->now_ns);

	if (!engine_channel_wants_rx(e->channel))
		return false;
	if (ready == 0) {
		uint64_t next_ns = pipe_next_ns(p);

		/* Only if it was delayed: its event came too early. */
		if (next_ns != UINT64_MAX && next_ns != e->rx_again_ns) {
			e->rx_again_ns = next_ns;
			end_at(s, next_ns - s->now_ns, EV_RX, conn, end);
		}
		return false;
	}
	if (!s->plan.posted)
		post_rx(s, e);
	for (int i = 0; i < e->rx_nr; i++)
		total += e->rx_iov[i].iov_len;
	e->rx_got = left = split(s, total < ready ? total : ready);
	pipe_read(p, e->rx_iov, e->rx_nr, e->rx_got);
	for (int i = 0; i < e->rx_nr && left > 0; i++) {
		size_t n = e->rx_iov[i].iov_len < left ? e->rx_iov[i].iov_len : left;

		placement_check(s, e, e->rx_iov[i].iov_base, n, true);
		left -= n;
	}
	e->rx_pending = true;
	sim_trace(s, e->rx_got, conn + CONNS_MAX);
	/* As a kernel's socket: a byte of room is none, or each would travel alone. */
	if (c->tx_blocked[!end] && pipe_room(p) >= p->size / 4) {
		c->tx_blocked[!end] = false;
		end_at(s, 0, EV_TX, conn, !end);
	}
	return true;
}

static void received(struct sim *s, uint32_t conn, uint32_t end)
{
	struct conn *c = &s->conn[conn];
	struct conn_end *e = &c->end[end];
	int r;

	e->rx_pending = false;
	e->heard_ns = s->now_ns;
	r = engine_received(end_node(s, e)->engine, e->channel, e->rx_got, node_now(s));
	if (r < 0)
		sim_fail(s, "conn %u end %u: engine_received: %d, %s", conn, end, r,
			 engine_channel_error(e->channel));
	if (engine_channel_over(e->channel)) {
		end_down(s, conn, end);
		return;
	}
	if (s->plan.posted && engine_channel_wants_rx(e->channel))
		post_rx(s, e);
	node_touch(s, e->node);
}

void end_resume(struct sim *s, struct channel *channel)
{
	struct conn_end *e = engine_channel_user(channel);

	for (uint32_t c = 0; c < s->conn_high; c++)
		for (uint32_t i = 0; i < 2; i++) {
			if (&s->conn[c].end[i] != e)
				continue;
			if (engine_channel_over(channel)) {
				end_down(s, c, i);
				return;
			}
			if (s->plan.posted && engine_channel_wants_rx(channel))
				post_rx(s, e);
			end_at(s, 0, EV_RX, c, i);
			return;
		}
	sim_fail(s, "node %u: a channel that is not there receives again", e->node);
}

void end_rx(struct sim *s, uint32_t conn, uint32_t end)
{
	struct conn_end *e = &s->conn[conn].end[end];

	for (int i = 0; i < RX_AT_ONCE; i++) {
		if (!e->up || e->down || e->rx_pending || !receive(s, conn, end))
			return;
		if (s->plan.io_ns > 0) {
			end_at(s, rng_below(&s->rng, s->plan.io_ns), EV_RX_DONE, conn, end);
			return;
		}
		received(s, conn, end);
	}
	end_at(s, rng_below(&s->rng, 1000), EV_RX, conn, end);
}

void end_rx_done(struct sim *s, uint32_t conn, uint32_t end)
{
	struct conn_end *e = &s->conn[conn].end[end];

	if (e->down || !e->rx_pending)
		return;
	received(s, conn, end);
	end_at(s, 0, EV_RX, conn, end);
}
