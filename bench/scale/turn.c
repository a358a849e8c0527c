/* SPDX-License-Identifier: MIT */
/*
 * turn.c - a turn of a worker, as worker_turn() of the daemon takes it, with its bounds: what is
 * submitted goes to the engine, the engine's frames to the link, what has come to the engine, and
 * its news to the application.
 */
#include <assert.h>

#include "state.h"

#define WORDS_A_TURN    256u /* as the daemon's port_submit.c */
#define EVENTS_A_TURN   1024u
#define RETRIES_A_TURN  256u
#define SENDS_A_TURN    2u
#define RECEIVES_A_TURN 4u
#define PENDING_WAIT_NS 1000000u
#define COPIED_MAX      2048u /* a payload up to this is copied beside its header */
#define IN_FRAME_BYTES  64u   /* are in the costs of a frame */

static uint32_t chans_nr(const struct model *m)
{
	return 2 * m->lane_channels;
}

bool worker_has_work(const struct model *m, const struct end *e)
{
	if (words_nr(&e->sq) > 0)
		return true;
	for (uint32_t i = 0; i < chans_nr(m); i++)
		if (pipe_ready(&e->chan[i].other->out, m->now_ns) > 0)
			return true;
	return false;
}

/* Of a frame's payload what is copied in user space beyond what a frame's cost has in it. */
static uint64_t copied(const struct model *m, uint64_t payload, uint64_t frames, bool tx)
{
	uint64_t in = frames * IN_FRAME_BYTES;

	return (tx && m->p.size > COPIED_MAX) || payload < in ? 0 : payload - in;
}

static uint32_t submit(struct model *m, struct end *e)
{
	uint32_t nr = 0;

	for (; nr < WORDS_A_TURN && words_nr(&e->sq) > 0; nr++) {
		struct socket *s = &e->sock[words_pop(&e->sq)];
		int ret = 0;

		model_pay(m, COST_SUBMIT, 1);
		s->kicked = false;
		if (s->tx_tail != s->pulled_tail)
			ret = engine_tx_published(e->engine, s->stream, s->tx_tail, model_ns(m));
		if (s->rx_head != s->pulled_head)
			ret |= engine_rx_consumed(e->engine, s->stream, s->rx_head, model_ns(m));
		assert(ret == 0);
		s->pulled_tail = s->tx_tail;
		s->pulled_head = s->rx_head;
	}
	return nr;
}

/* Pays for what the engine has gathered. */
static void pay_frames(struct model *m, struct end *e, struct chan *c)
{
	const struct channel_counters *n = engine_channel_counters(c->channel);
	uint64_t frames = n->frames_sent - c->frames, payload = n->bytes_sent - c->payload;

	model_pay(m, COST_FRAME_TX, frames);
	model_copy(m, e->host, COST_COPY_BYTE, copied(m, payload, frames, true));
	m->frames += frames;
	c->frames = n->frames_sent;
	c->payload = n->bytes_sent;
}

/* One sendmsg. False if the connection took less than there was. */
static bool send_some(struct model *m, struct end *e, struct chan *c, const struct iovec *iov,
		      int nr)
{
	size_t total = 0, room = pipe_room(&c->out), n;
	uint64_t arrive_ns;

	for (int i = 0; i < nr; i++)
		total += iov[i].iov_len;
	n = total < room ? total : room;
	model_pay(m, COST_SEND_CALL, 1);
	m->sends++;
	c->blocked = n < total;
	if (n == 0)
		return false;
	model_copy(m, e->host, COST_SEND_BYTE, n);
	/* On its way up, the first packet wakes who sleeps. */
	if (e->other->worker.state == TH_SLEEPS)
		model_pay(m, COST_SEND_WAKES, 1);
	arrive_ns = rate_take(&m->link[e->host], model_ns(m), n) + m->p.delay_ns;
	(void)pipe_write(&c->out, iov, nr, n, model_ns(m), arrive_ns - model_ns(m), &arrive_ns);
	engine_sent(e->engine, c->channel, n, model_ns(m));
	model_at(m, arrive_ns, EV_IN, (uint32_t)(e->other - m->end) * 2, 0);
	return !c->blocked;
}

static uint32_t send_channel(struct model *m, struct end *e, struct chan *c)
{
	uint32_t did = 0;

	while (did < SENDS_A_TURN && engine_channel_wants_tx(c->channel)) {
		const struct iovec *iov;
		int nr = engine_tx_iov(e->engine, c->channel, model_ns(m), &iov);

		pay_frames(m, e, c);
		if (nr == 0)
			break;
		did++;
		if (!send_some(m, e, c, iov, nr))
			break;
	}
	return did;
}

static uint32_t send_all(struct model *m, struct end *e)
{
	uint32_t did = 0;

	for (uint32_t i = 0; i < chans_nr(m); i++) {
		struct chan *c = &e->chan[i];

		if (c->blocked)
			did += engine_channel_stuck(e->engine, c->channel, model_ns(m));
		else if (engine_channel_wants_tx(c->channel))
			did += send_channel(m, e, c);
	}
	return did;
}

/* One recvmsg of what is @ready. */
static void receive_some(struct model *m, struct end *e, struct chan *c, size_t ready)
{
	const struct channel_counters *n = engine_channel_counters(c->channel);
	uint64_t frames = n->frames_received, payload;
	const struct iovec *iov;
	int nr = engine_rx_iov(e->engine, c->channel, &iov), ret;
	size_t total = 0;

	for (int i = 0; i < nr; i++)
		total += iov[i].iov_len;
	if (ready > total)
		ready = total;
	model_pay(m, COST_RECV_CALL, 1);
	model_copy(m, e->host, COST_RECV_BYTE, ready);
	pipe_read(&c->other->out, iov, nr, ready);
	ret = engine_received(e->engine, c->channel, ready, model_ns(m));
	assert(ret == 0);
	frames = n->frames_received - frames;
	payload = frames * m->p.size;
	model_pay(m, COST_FRAME_RX, frames);
	model_copy(m, e->host, COST_COPY_BYTE, copied(m, payload, frames, false));
	if (c->other->blocked) {
		c->other->blocked = false;
		model_at(m, model_ns(m) + m->p.delay_ns, EV_IN, (uint32_t)(e->other - m->end) * 2,
			 0);
	}
}

static uint32_t receive_all(struct model *m, struct end *e)
{
	uint32_t did = 0;

	for (uint32_t i = 0; i < chans_nr(m); i++) {
		struct chan *c = &e->chan[i];
		uint32_t nr = 0;
		size_t ready;

		while (nr < RECEIVES_A_TURN &&
		       (ready = pipe_ready(&c->other->out, model_ns(m))) > 0) {
			receive_some(m, e, c, ready);
			nr++;
		}
		/* That there is no more is learned by asking. */
		if (nr > 0 && nr < RECEIVES_A_TURN)
			model_pay(m, COST_RECV_EMPTY, 1);
		did += nr;
	}
	return did;
}

/* A word for the application; true if there was room for it. */
static bool notify(struct end *e, struct socket *s)
{
	if (words_nr(&e->cq) == NCD_CQ_ENTRIES)
		return false;
	s->armed = false;
	words_push(&e->cq, (uint32_t)(s - e->sock));
	return true;
}

static uint32_t deliver(struct model *m, struct end *e)
{
	uint32_t nr = 0, events, told = 0;
	struct stream *st;

	for (; nr < EVENTS_A_TURN && (st = engine_next_event(e->engine, &events)); nr++) {
		struct socket *s = engine_stream_user(st);

		model_pay(m, COST_DELIVER, 1);
		s->rx_tail = stream_rx_contiguous(st);
		s->tx_head = stream_tx_acked(st);
		if (!(events & STREAM_EV_RX) || !s->armed)
			continue;
		if (notify(e, s)) {
			told++;
		} else if (!s->pending) {
			s->pending = true;
			words_push(&e->full, (uint32_t)(s - e->sock));
		}
	}
	for (uint32_t i = 0; i < RETRIES_A_TURN && words_nr(&e->full) > 0; i++) {
		struct socket *s = &e->sock[e->full.at[e->full.head & e->full.mask]];

		/* It may have been told since. */
		if (s->armed && !notify(e, s))
			break;
		model_pay(m, COST_DELIVER, 1);
		s->pending = false;
		(void)words_pop(&e->full);
		told++;
	}
	if (told > 0 && thread_wake(m, &e->app))
		model_pay(m, COST_WAKE_APP, 1);
	return nr + told;
}

enum then worker_step(struct model *m, struct end *e)
{
	struct channel *dead;
	uint64_t begin_ns = m->now_ns;
	uint32_t did;

	model_pay(m, COST_TURN, 1);
	did = submit(m, e);
	did += send_all(m, e);
	did += receive_all(m, e);
	did += deliver(m, e);
	if (engine_tick_due(e->engine, model_ns(m))) {
		engine_tick(e->engine, model_ns(m), &dead);
		assert(!dead);
		did++;
	}
	if (did > 0) {
		idle_ends(&e->idle, m->p.spin_ns, begin_ns);
		return THEN_GO_ON;
	}
	if (idle_spins(&e->idle, begin_ns)) {
		model_pay(m, COST_YIELD, 1);
		return THEN_SPIN;
	}
	model_pay(m, COST_SLEEP, 1);
	e->worker.sleep_most_ns = words_nr(&e->full) > 0 ? PENDING_WAIT_NS : 0;
	return THEN_SLEEP;
}
