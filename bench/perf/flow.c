/* SPDX-License-Identifier: MIT */
/* flow.c - moves the bytes of one flow, and checks them. */
#include "flow.h"

#include <errno.h>

#include "clock.h"
#include "loop.h"

/* How much a receiver asks for at once; the same for every transport. */
#define RX_WANT_MIN (64u << 10)
#define RX_WANT_MAX (1u << 20)

/*
 * A non-blocking send of more than any socket takes at once would only be filled for nothing, again
 * and again.
 */
#define TX_NONBLOCKING_MAX (1u << 20)

/* Returns bytes sent, 0 if it has to wait, or -errno. */
static ssize_t flow_send_some(struct loop *l, struct flow *f, size_t want)
{
	const struct via *via = f->conn.via;
	void *view;
	ssize_t n;

	if (!l->blocking && want > TX_NONBLOCKING_MAX)
		want = TX_NONBLOCKING_MAX;
	n = via->tx_view(&f->conn, want, &view);
	if (n > 0) {
		pattern_fill(&f->tx_pattern, f->tx_off, view, (size_t)n);
		n = via->tx_push(&f->conn, (size_t)n);
	}
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n < 0)
		return n;
	f->tx_off += (uint64_t)n;
	loop_count(&l->tally.tx_bytes, (uint64_t)n);
	return n;
}

/* Sends up to tx_target. Returns 0, also if it has to wait, or -errno. */
static int flow_send_due(struct loop *l, struct flow *f)
{
	while (f->tx_off < f->tx_target) {
		ssize_t n = flow_send_some(l, f, (size_t)(f->tx_target - f->tx_off));

		if (n <= 0)
			return (int)n;
	}
	return 0;
}

/* Returns bytes received, 0 if it has to wait, -ECONNRESET at the end of the stream, or -errno. */
static ssize_t flow_receive_some(struct loop *l, struct flow *f, size_t want)
{
	const struct via *via = f->conn.via;
	const void *view;
	ssize_t n;

	n = via->rx_view(&f->conn, want, &view);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return n == -EAGAIN || n == -EINTR ? 0 : n;
	if (!pattern_check(&f->rx_pattern, f->rx_off, view, (size_t)n))
		loop_count(&l->tally.errors, 1);
	f->rx_off += (uint64_t)n;
	loop_count(&l->tally.rx_bytes, (uint64_t)n);
	via->rx_done(&f->conn, (size_t)n);
	return n;
}

static size_t flow_rx_want(const struct loop *l)
{
	size_t want = (size_t)l->crew->shape.size * l->crew->shape.depth;

	if (want < RX_WANT_MIN)
		want = RX_WANT_MIN;
	return want < RX_WANT_MAX ? want : RX_WANT_MAX;
}

/* Receives until nothing is there, once if blocking. Returns 0, 1 if there may be more, -errno. */
static int flow_receive(struct loop *l, struct flow *f)
{
	size_t want = flow_rx_want(l);

	for (int i = 0; i < FLOW_TURN_VIEWS; i++) {
		ssize_t n = flow_receive_some(l, f, want);

		if (n <= 0)
			return (int)n;
		if (l->blocking)
			return 0;
		if (f->conn.via->short_is_drained && (size_t)n < want && !f->conn.hung_up)
			return 0;
	}
	return 1;
}

int flow_turn_stream_tx(struct loop *l, struct flow *f)
{
	uint32_t size = l->crew->shape.size;

	for (int i = 0; i < FLOW_TURN_VIEWS; i++) {
		ssize_t n;

		if (loop_ending(l))
			return FLOW_DONE;
		/* After a short write: the rest of that message, not a new one. */
		n = flow_send_some(l, f, size - f->tx_off % size);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return FLOW_WAIT;
	}
	return FLOW_MORE;
}

int flow_turn_stream_rx(struct loop *l, struct flow *f)
{
	int r = flow_receive(l, f);

	if (r == -ECONNRESET)
		return FLOW_DONE;
	return r < 0 ? r : r ? FLOW_MORE : FLOW_WAIT;
}

/*
 * Answers make room for as many new requests. The clock is that of the turn: it was read when the
 * thread learned that bytes are there, and it is both the end of the old round trip and the
 * beginning of the new one. So the mean latency times the rate is exactly flows * depth.
 */
static void flow_account(struct loop *l, struct flow *f)
{
	const struct shape *s = &l->crew->shape;
	uint64_t complete = f->rx_off / s->size;

	if (l->blocking && f->answered < complete)
		l->now_ns = clock_now_ns();
	for (; f->answered < complete; f->answered++) {
		uint64_t *asked = &f->asked_ns[f->answered % s->depth];

		loop_record(l, l->now_ns - *asked);
		*asked = l->now_ns;
		if (!loop_ending(l))
			f->tx_target += s->size;
	}
}

int flow_turn_rpc_client(struct loop *l, struct flow *f)
{
	const struct shape *s = &l->crew->shape;
	int r, more;

	if (f->tx_target == 0) {
		f->tx_target = (uint64_t)s->size * s->depth;
		for (uint32_t i = 0; i < s->depth; i++)
			f->asked_ns[i] = l->now_ns;
	}
	r = flow_send_due(l, f);
	if (r < 0)
		return r;
	more = flow_receive(l, f);
	if (more < 0)
		return more;
	flow_account(l, f);
	r = flow_send_due(l, f);
	if (r < 0)
		return r;
	if (loop_ending(l) && f->rx_off == f->tx_target)
		return FLOW_DONE;
	return more ? FLOW_MORE : FLOW_WAIT;
}

int flow_turn_rpc_server(struct loop *l, struct flow *f)
{
	uint32_t size = l->crew->shape.size;
	int r, more;

	r = flow_send_due(l, f);
	if (r < 0)
		return r;
	more = flow_receive(l, f);
	if (more < 0 && more != -ECONNRESET)
		return more;
	f->tx_target = f->rx_off / size * size;
	r = flow_send_due(l, f);
	if (r < 0)
		return r;
	if (more == -ECONNRESET)
		return FLOW_DONE;
	return more ? FLOW_MORE : FLOW_WAIT;
}
