/* SPDX-License-Identifier: MIT */
/*
 * side.c - an application at its end of a flow: writes its bytes straight into the ring, reads and
 * checks the other's, finishes, or misbehaves at the moment its plan says.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "sim.h"

#define POISON 0xa5 /* what the application leaves in ring memory that it got back */

static struct engine *side_engine(struct sim *s, const struct side *sd)
{
	return s->node[sd->node].engine;
}

void side_act_soon(struct sim *s, uint32_t flow, uint32_t side, uint64_t after_ns)
{
	struct side *sd = &s->flow[flow].side[side];

	if (sd->act_queued || sd->gone || sd->closed)
		return;
	sd->act_queued = true;
	sim_at(s, after_ns + rng_below(&s->rng, sd->think_ns + 1), EV_SIDE, flow, side, 0);
}

void side_release(struct sim *s, struct side *sd)
{
	ring_release(s, sd->node, &sd->tx);
	ring_release(s, sd->node, &sd->rx);
	sd->gone = true;
	sd->pending = false;
	s->running--;
}

/* Is there a reason for this error? */
static void check_error(struct sim *s, uint32_t flow, uint32_t side, int error)
{
	struct flow *f = &s->flow[flow];
	const struct side *sd = &f->side[side], *other = &f->side[!side];
	const struct node *n = &s->node[sd->node];
	const struct peer_view *view =
		&n->peer[peer_index(n->host, s->node[other->node].host)];
	bool ok = false;

	/* The engine's clock may lag by what node_now() takes off. */
	if (view->channels == 0 &&
	    s->now_ns - view->none_since_ns + CLOCK_LAG_NS >= s->plan.engine.unreachable_ns)
		f->why |= WHY_UNREACHABLE;
	if (other->closed &&
	    s->now_ns - other->closed_ns + CLOCK_LAG_NS >= s->plan.engine.orphan_ns)
		f->why |= WHY_ORPHAN;
	switch (error) {
	case -ECONNREFUSED:
		/* Accepted and given up before the opener heard of it: refused when it asks. */
		ok = (f->why & (sd->connected ? WHY_REFUSED | WHY_LEAVING : UINT32_MAX)) ||
		     (!sd->connected && view->told_unreachable) ||
		     (!sd->connected && s->node[other->node].full_ns >= f->begun_ns);
		break;
	case -EHOSTUNREACH:
		ok = !sd->connected && view->told_unreachable;
		break;
	case -ETIMEDOUT:
		ok = f->why & (WHY_UNREACHABLE | WHY_ORPHAN);
		break;
	case -ECONNRESET:
		ok = f->why & ~WHY_REFUSED;
		break;
	default:
		break;
	}
	/* Who gave up connecting may have been accepted meanwhile. */
	if (!sd->connected && view->told_unreachable)
		f->why |= WHY_UNREACHABLE;
	if (!ok)
		sim_fail(s, "flow %u side %u ends with error %d without a reason (why %x)", flow,
			 side, error, f->why);
}

static void side_free(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side];

	sim_log(s, "flow %u side %u is over", flow, side);
	if (!sd->error && sd->eof)
		s->totals.completed++;
	sd->tx.kept = engine_stream_tx_exposed(sd->stream);
	engine_stream_free(side_engine(s, sd), sd->stream);
	sd->stream = NULL;
	side_release(s, sd);
	moves_stream_freed(s, flow, side);
}

static void side_reset(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side];

	sim_log(s, "flow %u side %u is lost", flow, side);
	if (sd->closed)
		return;
	s->totals.errors++;
	sd->error = -ECONNRESET;
	check_error(s, flow, side, sd->error);
	sd->closed = true;
	sd->closed_ns = s->now_ns;
}

void side_lost(struct sim *s, uint32_t flow, uint32_t side)
{
	side_reset(s, flow, side);
	side_release(s, &s->flow[flow].side[side]);
}

void side_end(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side];

	side_reset(s, flow, side);
	engine_stream_abort(side_engine(s, sd), sd->stream, WIRE_E_RESET, node_now(s));
}

void side_event(struct sim *s, uint32_t flow, uint32_t side, uint32_t events)
{
	struct side *sd = &s->flow[flow].side[side];

	sim_log(s, "flow %u side %u hears %x", flow, side, events);
	if (!sd->stream)
		sim_fail(s, "flow %u side %u: event %x after its end", flow, side, events);
	if (events & (STREAM_EV_CONNECTED | STREAM_EV_ERROR | STREAM_EV_DONE))
		moves_settled(s, sd);
	if (events & STREAM_EV_CONNECTED)
		sd->connected = true;
	if (events & STREAM_EV_TX_DONE) {
		if (!sd->shut)
			sim_fail(s, "flow %u side %u: TX_DONE before FIN", flow, side);
		sd->tx_done = true;
	}
	if (events & STREAM_EV_ERROR) {
		sd->error = stream_error(sd->stream);
		s->totals.errors++;
		sim_log(s, "flow %u side %u: error %d", flow, side, sd->error);
		if (sd->error == 0)
			sim_fail(s, "flow %u side %u: EV_ERROR and no error", flow, side);
		check_error(s, flow, side, sd->error);
	}
	if ((events & STREAM_EV_DONE) && (sd->closed || sd->pending)) {
		if (sd->pending)
			engine_stream_close(side_engine(s, sd), sd->stream, true, node_now(s));
		side_free(s, flow, side);
		return;
	}
	side_act_soon(s, flow, side, 0);
}

/* The application lets go; what that means for the other end is noted first. */
static void side_close(struct sim *s, uint32_t flow, uint32_t side, enum side_plan how)
{
	struct flow *f = &s->flow[flow];
	struct side *sd = &f->side[side];
	struct engine *e = side_engine(s, sd);

	sim_log(s, "flow %u side %u closes, plan %d, written %" PRIu64 ", read %" PRIu64 ", eof %d",
		flow, side, (int)how, sd->written, sd->read, sd->eof);
	sd->closed = true;
	sd->closed_ns = s->now_ns;
	if (!sd->eof)
		f->why |= WHY_CLOSED;
	if (how == PLAN_ABORT) {
		f->why |= WHY_ABORT;
		engine_stream_abort(e, sd->stream, WIRE_E_RESET, node_now(s));
	} else if (how == PLAN_KILL) {
		if (!sd->shut)
			f->why |= WHY_KILL;
		engine_stream_close(e, sd->stream, !sd->shut, node_now(s));
	} else {
		sd->shut = true;
		engine_stream_close(e, sd->stream, false, node_now(s));
	}
	node_touch(s, sd->node);
}

static uint64_t side_readable(const struct side *sd)
{
	return stream_rx_contiguous(sd->stream) - sd->read;
}

/* Reads one piece. Returns true if there is more. */
static bool side_read(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side], *other = &s->flow[flow].side[!side];
	uint64_t contiguous = stream_rx_contiguous(sd->stream);
	uint64_t n = contiguous - sd->read;

	if (contiguous < sd->seen || contiguous > other->written || n > sd->rx.mem.bytes)
		sim_fail(s, "flow %u side %u: contiguous %" PRIu64 ", seen %" PRIu64
			 ", written %" PRIu64 ", read %" PRIu64, flow, side, contiguous, sd->seen,
			 other->written, sd->read);
	sd->seen = contiguous;
	if (sd->read >= sd->stop_at) {
		sd->stop_at = UINT64_MAX;
		sd->stopped_until_ns = s->now_ns + sd->stop_ns;
		side_act_soon(s, flow, side, sd->stop_ns);
		if (s->plan.bulk) { /* in bursts: the ring is full, then read out */
			sd->stop_at = sd->read + rng_below(&s->rng, 3 * sd->rx.mem.bytes);
			sd->stop_ns = rng_log(&s->rng, 100000, 20 * MS);
		}
	}
	if (s->now_ns < sd->stopped_until_ns && !s->quiet)
		return false;
	if (n > sd->piece)
		n = rng_range(&s->rng, 1, sd->piece);
	if (n > 0) {
		side_check_unread(s, flow, side, sd->read, sd->read + n);
		sd->read += n;
		s->totals.bytes += n;
		sim_trace(s, n, flow);
		if (engine_rx_consumed(side_engine(s, sd), sd->stream, sd->read, node_now(s)) < 0)
			sim_fail(s, "flow %u side %u: engine_rx_consumed fails", flow, side);
		node_touch(s, sd->node);
	}
	if (!sd->error && !sd->eof && stream_rx_ended(sd->stream) &&
	    sd->read == stream_rx_contiguous(sd->stream)) {
		sd->eof = true;
		sim_log(s, "flow %u side %u: end at %" PRIu64, flow, side, sd->read);
		if (!other->shut || sd->read != other->written)
			sim_fail(s, "flow %u side %u: end at %" PRIu64 " of %" PRIu64
				 ", the other has finished: %d", flow, side, sd->read,
				 other->written, other->shut);
	}
	return side_readable(sd) > 0;
}

static void ring_fill(struct side *sd, uint64_t from, uint64_t to, bool poison)
{
	while (from < to) {
		uint32_t at = (uint32_t)(from - sd->tx_base) & (sd->tx.mem.bytes - 1);
		uint64_t n = sd->tx.mem.bytes - at < to - from ? sd->tx.mem.bytes - at : to - from;

		if (poison)
			memset(sd->tx.mem.base + at, POISON, n);
		else
			pattern_fill(sd->key, from, sd->tx.mem.base + at, n);
		from += n;
	}
}

/* Bytes that are acknowledged are the application's again: it spoils them at once. */
static void side_take_back(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side], *other = &s->flow[flow].side[!side];
	uint64_t acked = stream_tx_acked(sd->stream);
	uint64_t there = other->stream && !other->pending && !other->closed ?
				 stream_rx_contiguous(other->stream) : sd->written;

	if (acked < sd->acked || acked > sd->written || acked > there)
		sim_fail(s, "flow %u side %u: acknowledged %" PRIu64 ", before %" PRIu64
			 ", written %" PRIu64 ", arrived %" PRIu64, flow, side, acked, sd->acked,
			 sd->written, there);
	sd->acked = acked;
	ring_fill(sd, sd->poisoned, acked, true);
	sd->poisoned = acked;
	if (!sd->rebases || acked != sd->written || !rng_chance(&s->rng, 500))
		return;
	/* The ring is empty: go on at another place of it. */
	sd->tx_base = acked - rng_below(&s->rng, sd->tx.mem.bytes);
	if (engine_tx_rebase(side_engine(s, sd), sd->stream, sd->tx_base) < 0)
		sim_fail(s, "flow %u side %u: engine_tx_rebase fails", flow, side);
}

/* Writes one piece. Returns true if there is room for more. */
static bool side_write(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side];
	uint64_t room, n;

	side_take_back(s, flow, side);
	room = sd->tx.mem.bytes - (sd->written - sd->acked);
	n = sd->length - sd->written;
	/* The library gives no less than an eighth; much data would never end, a byte at a time. */
	if (n > room)
		n = s->plan.bulk && room < sd->tx.mem.bytes / 8 ? 0 : room;
	if (n > sd->piece)
		n = rng_range(&s->rng, 1, sd->piece);
	if (n > 0) {
		ring_fill(sd, sd->written, sd->written + n, false);
		sd->written += n;
		sim_trace(s, n, flow + FLOWS_MAX);
		if (engine_tx_published(side_engine(s, sd), sd->stream, sd->written, node_now(s)) <
		    0)
			sim_fail(s, "flow %u side %u: engine_tx_published fails", flow, side);
		node_touch(s, sd->node);
	}
	return n > 0 && sd->written < sd->length && n < room;
}

static void side_finish(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side];

	if (sd->written < sd->length)
		return;
	/* Close without shutdown, sometimes: it implies the FIN. */
	if (sd->eof && (sd->shut ? !sd->linger || sd->tx_done : !sd->linger)) {
		side_close(s, flow, side, PLAN_NORMAL);
		return;
	}
	if (!sd->shut) {
		sd->shut = true;
		sim_log(s, "flow %u side %u: FIN at %" PRIu64, flow, side, sd->written);
		engine_stream_shutdown(side_engine(s, sd), sd->stream, node_now(s));
		node_touch(s, sd->node);
	}
}

void side_act(struct sim *s, uint32_t flow, uint32_t side)
{
	struct side *sd = &s->flow[flow].side[side];
	bool more;

	sd->act_queued = false;
	if (sd->gone || sd->closed || sd->pending || !sd->stream)
		return;
	guarded_check(s, &sd->tx, "tx ring");
	guarded_check(s, &sd->rx, "rx ring");
	if (sd->plan != PLAN_NORMAL && sd->written + sd->read >= sd->plan_at) {
		side_close(s, flow, side, sd->plan);
		return;
	}
	if (!sd->connected && !sd->eager && !sd->error)
		return;
	more = side_read(s, flow, side);
	if (sd->error) {
		/* What had arrived before the error may be read; an application may not care. */
		if (!more || rng_chance(&s->rng, 300))
			side_close(s, flow, side, PLAN_NORMAL);
		else
			side_act_soon(s, flow, side, 1);
		return;
	}
	more |= side_write(s, flow, side);
	if (rng_chance(&s->rng, 5))
		engine_stream_class(side_engine(s, sd), sd->stream,
				    (enum stream_class)rng_below(&s->rng, 3));
	/* As one that moves to another process. */
	if (rng_chance(&s->rng, 5))
		engine_stream_client(side_engine(s, sd), sd->stream,
				     (uint32_t)rng_below(&s->rng, CLIENTS));
	rings_exchange(s, flow, side);
	side_finish(s, flow, side);
	if (more)
		side_act_soon(s, flow, side, 1);
}
