/* SPDX-License-Identifier: MIT */
/*
 * channel_tx.c - streams to frames: what a channel sends next (gather.h), of whom, in which order.
 */
#include "engine_state.h"
#include "gather.h"

#define LATENCY_GATHER (64u << 10)

static void put_header(struct channel *c, const struct frame *f)
{
	frame_encode(f, put_own(&c->tx, WIRE_HEADER_BYTES));
	c->counters.frames_sent++;
	c->counters.frames_urgent += frame_urgent(f->type);
}

/* Ack and window of @s go with @f: nothing more is due for now. */
static void put_credit(struct engine *e, struct stream *s, struct frame *f)
{
	uint64_t limit = s->rx_head + stream_rx_window(s);

	if (s->placing > 0)
		limit = channel_credit_cap(e, s, limit);
	/* Also when the application has closed: bytes that come are how the peer learns of it. */
	if (limit > s->rx_limit)
		s->rx_limit = limit;
	f->ack = stream_ack_out(s);
	f->window = s->rx_limit > f->ack ? (uint32_t)(s->rx_limit - f->ack) : 0;
	s->rx_told = f->ack;
	s->want &= (uint8_t)~WANT_CREDIT;
	stream_ack_disarm(e, s);
}

static void note_sent(struct channel *c, struct stream *s, uint32_t bytes)
{
	s->tx_next += bytes;
	if (s->tx_next > s->tx_sent)
		s->tx_sent = s->tx_next;
	s->used |= 1u << c->bit;
	if (bytes == 0)
		return;
	if (s->last != c && s->last != NULL && s->tx_next - bytes > s->tx_acked)
		stream_switched(s);
	s->last = c;
}

static void emit_open(struct channel *c, struct stream *s)
{
	uint64_t data = s->tx_tail < NCD_OPEN_DATA_MAX ? s->tx_tail : NCD_OPEN_DATA_MAX;
	struct frame f = { .type = FRAME_OPEN };
	struct open_info o = {
		.stream = s->id,
		.source = s->local_addr,
		.destination = s->remote_addr,
		.source_port = s->local_port,
		.destination_port = s->remote_port,
		.class = s->class_set,
	};

	f.length = WIRE_OPEN_BYTES + (uint32_t)data;
	if (s->shutdown && data == s->tx_tail) {
		f.flags = FRAME_F_FIN;
		s->fin_sent = s->fin_said = true;
	}
	/*
	 * Bytes may have come already, before an ACCEPT that was lost: then the acceptor only sees
	 * that this OPEN is a copy. They are acknowledged when it has been accepted.
	 */
	f.window = (uint32_t)s->rx_limit;
	put_header(c, &f);
	open_encode(&o, put_own(&c->tx, WIRE_OPEN_BYTES));
	if (data > 0)
		put_ring(&c->tx, &s->tx, s->tx_base, 0, (uint32_t)data);
	s->want &= (uint8_t)~WANT_OPEN;
	s->said = true;
	s->lane = (uint16_t)(c->lane + 1);
	s->tx_next = 0;
	note_sent(c, s, (uint32_t)data);
}

static void emit_accept(struct engine *e, struct channel *c, struct stream *s)
{
	struct frame f = { .type = FRAME_ACCEPT, .stream = s->remote_id, .length = 8 };

	put_credit(e, s, &f);
	/* The opener that has heard any ACCEPT has heard that the end riding with OPEN is here. */
	if (stream_rx_complete(s))
		s->rx_end_told = true;
	put_header(c, &f);
	wire_put64(put_own(&c->tx, 8), s->id);
	s->want &= (uint8_t)~WANT_ACCEPT;
	note_sent(c, s, 0);
}

static void emit_resume(struct channel *c, struct stream *s)
{
	struct frame f = {
		.type = FRAME_RESUME,
		.length = 8,
		.stream = s->old_id,
		.window = s->old_lane,
	};

	put_header(c, &f);
	wire_put64(put_own(&c->tx, 8), s->id);
	s->want &= (uint8_t)~WANT_OPEN;
	s->said = true;
	s->lane = (uint16_t)(c->lane + 1);
	note_sent(c, s, 0);
}

static void emit_code(struct channel *c, struct stream *s, uint8_t type)
{
	struct frame f = { .type = type, .stream = s->remote_id, .length = 4 };

	if (type == FRAME_RESET)
		f.offset = s->id;
	put_header(c, &f);
	wire_put32(put_own(&c->tx, 4), s->wire_error);
	s->want &= (uint8_t) ~(WANT_RESET | WANT_REFUSE);
	note_sent(c, s, 0);
}

/* This host's own channels copy from ring to ring: they have no use for files. */
static bool goes_by_file(const struct engine *e, const struct channel *c,
			 const struct ring_mem *ring, uint64_t bytes)
{
	return ring->file && e->cfg.file_min && bytes >= e->cfg.file_min &&
	       c->file_sizes >> (31 - __builtin_clz((uint32_t)bytes)) & 1 && c->peer != 0;
}

/*
 * The ring fills, and more has come since the last question. As long as half of it is free there is
 * no hurry: an answer by the application, or the delay of acknowledgements, brings it for nothing.
 */
static bool ack_is_wanted(const struct stream *s, uint64_t end)
{
	return end - s->tx_asked >= s->tx.bytes / 4 && end - s->tx_acked > s->tx.bytes / 2;
}

/* DATA with as much as deficit and frame allow, its FIN if the end is reached; or a FIN alone. */
static void emit_data(struct engine *e, struct channel *c, struct stream *s)
{
	uint64_t bytes = stream_sendable(s);
	struct frame f;

	if (bytes > s->deficit)
		bytes = s->deficit;
	if (bytes > carry_frame_bytes(e, s))
		bytes = carry_frame_bytes(e, s);
	/* Each member: else gcc zeroes all by a string instruction, longer than the rest takes. */
	f = (struct frame){ .type = FRAME_DATA,
			    .flags = 0,
			    .length = (uint32_t)bytes,
			    .stream = s->remote_id,
			    .offset = s->tx_next,
			    .ack = 0,
			    .window = 0 };
	if (s->shutdown && s->tx_next + bytes == s->tx_tail && s->carriers == 0) {
		f.type = bytes > 0 ? FRAME_DATA : FRAME_FIN;
		f.flags = bytes > 0 ? FRAME_F_FIN : 0;
		s->fin_sent = s->fin_said = true;
	}
	/* A FIN that waits for what others carry waits for the ack. */
	if (s->shutdown && s->carriers != 0 && s->tx_next + bytes == s->tx_tail)
		f.flags = FRAME_F_ACK;
	if (bytes > 0 && ack_is_wanted(s, s->tx_next + bytes)) {
		f.flags |= FRAME_F_ACK;
		s->tx_asked = s->tx_next + bytes;
	}
	put_credit(e, s, &f);
	put_header(c, &f);
	if (bytes > 0 && goes_by_file(e, c, &s->tx, bytes)) {
		put_ring_file(&c->tx, &s->tx, s->tx_base, s->tx_next, (uint32_t)bytes);
		if (s->tx_exposed < s->tx_next + bytes)
			s->tx_exposed = s->tx_next + bytes;
	} else if (bytes > 0) {
		put_ring(&c->tx, &s->tx, s->tx_base, s->tx_next, (uint32_t)bytes);
	}
	note_sent(c, s, (uint32_t)bytes);
	c->counters.bytes_sent += bytes;
	e->counters.bytes_sent += bytes;
	if (c->class == CLASS_THROUGHPUT && bytes > 0)
		e->carry.bulk_ns = e->now_ns;
	if (e->cfg.carry)
		carry_offer(e, s);
}

/* A frame for a stream of another worker. */
static void emit_carried(struct engine *e, struct channel *c)
{
	struct carry_order *o = c->tx.orders;
	const struct carry_msg *m = &o->msg;
	struct frame f = {
		.type = FRAME_CARRIED,
		.length = m->bytes,
		.stream = m->stream,
		.offset = m->offset,
		.window = m->lane,
	};

	c->tx.orders = o->next;
	c->tx.carrying = o;
	c->carried_for |= UINT64_C(1) << m->from;
	put_header(c, &f);
	if (goes_by_file(e, c, &m->ring, m->bytes))
		put_ring_file(&c->tx, &m->ring, m->base, m->offset, m->bytes);
	else
		put_ring(&c->tx, &m->ring, m->base, m->offset, m->bytes);
	c->counters.bytes_sent += m->bytes;
	c->counters.carried_sent += m->bytes;
	e->counters.bytes_sent += m->bytes;
	e->counters.frames_sent++;
}

/* One at a time, in turn with our own streams. */
static void gather_carried(struct engine *e, struct channel *c)
{
	bool due = c->tx.orders != NULL && tx_room(c) &&
		   (!c->tx.carried_last || c->tx.queue.head == NULL);

	c->tx.carried_last = due;
	if (due)
		emit_carried(e, c);
}

static void emit_credit(struct engine *e, struct channel *c, struct stream *s)
{
	struct frame f = { .type = FRAME_CREDIT, .stream = s->remote_id };

	put_credit(e, s, &f);
	put_header(c, &f);
	note_sent(c, s, 0);
}

/* One frame of @s, if it has one for this channel. */
static bool emit(struct engine *e, struct channel *c, struct stream *s)
{
	switch ((enum stream_state)s->state) {
	case STREAM_OPENING:
		if (!(s->want & WANT_OPEN))
			return false;
		emit_open(c, s);
		return true;
	case STREAM_RESUMING:
		if (!(s->want & WANT_OPEN))
			return false;
		emit_resume(c, s);
		return true;
	case STREAM_ARRIVED:
		if (!(s->want & WANT_ACCEPT))
			return false;
		emit_accept(e, c, s);
		return true;
	case STREAM_RESETTING:
		if (!(s->want & WANT_RESET) || s->remote_id == 0)
			return false;
		emit_code(c, s, FRAME_RESET);
		return true;
	case STREAM_REFUSING:
		emit_code(c, s, FRAME_REFUSE);
		stream_die(e, s, 0);
		return true;
	case STREAM_ESTABLISHED:
		break;
	case STREAM_FREE:
	case STREAM_INCOMING:
	case STREAM_DEAD:
	case STREAM_TOMBSTONE:
		return false;
	}
	if (s->want & WANT_ACCEPT)
		emit_accept(e, c, s);
	else if ((stream_sendable(s) > 0 && sched_data_fits(e, c, s)) || stream_fin_due(s))
		emit_data(e, c, s);
	else if (s->want & WANT_CREDIT)
		emit_credit(e, c, s);
	else
		return false;
	stream_finish_if_done(e, s);
	return true;
}

static void put_reply(struct channel *c, const struct reply *r)
{
	struct frame f = { .type = r->type, .flags = r->flags, .stream = r->stream };

	if (r->type == FRAME_CREDIT)
		f.ack = r->offset;
	else
		f.offset = r->offset;
	f.length = r->type == FRAME_RESET || r->type == FRAME_REFUSE ? 4 : 0;
	put_header(c, &f);
	if (f.length > 0)
		wire_put32(put_own(&c->tx, 4), r->code);
}

static void gather_replies(struct engine *e, struct channel *c)
{
	struct channel_tx *tx = &c->tx;

	while (tx->reply_head != tx->reply_tail && tx_room(c))
		put_reply(c, &tx->reply[tx->reply_head++ % REPLIES_MAX]);
	if (tx->goaway_due && tx_room(c)) {
		put_reply(c, &(struct reply){ .type = FRAME_GOAWAY });
		tx->goaway_due = false;
	}
	if (tx->ping_due && tx_room(c)) {
		put_reply(c, &(struct reply){ .type = FRAME_PING, .offset = e->now_ns });
		tx->ping_due = false;
	}
	if (tx->drain_due != 0 && tx->reply_head == tx->reply_tail && tx_room(c) &&
	    channel_drain_ready(e, c)) {
		put_reply(c, &(struct reply){ .type = FRAME_DRAIN, .offset = tx->drain_due });
		tx->drain_due = 0;
	}
}

static void gather_streams(struct engine *e, struct channel *c)
{
	uint32_t budget = c->class == CLASS_LATENCY ? LATENCY_GATHER : e->cfg.frame_bytes;
	uint32_t frames = 0;
	struct stream *s;

	while ((s = sched_next(c)) != NULL && tx_room(c) && c->tx.payload < budget &&
	       frames < TX_FRAMES_MAX) {
		uint32_t before = c->tx.payload;

		if (emit(e, c, s)) {
			frames++;
			/* One of bulk goes on in a moment, and keeps its place until then. */
			if (c->class == CLASS_LATENCY && s->channel == c && !stream_has_more(s))
				sched_remove(e, s);
			sched_sent(e, c, s, c->tx.payload - before);
			continue;
		}
		/* Nothing more for this channel; data of another class goes to its own. */
		sched_remove(e, s);
		if (s->state == STREAM_ESTABLISHED && stream_sendable(s) > 0)
			sched_activate(e, s);
	}
	e->counters.frames_sent += frames;
}

int engine_tx_iov(struct engine *e, struct channel *c, uint64_t now_ns,
		  const struct iovec **ret_iov)
{
	struct channel_tx *tx = &c->tx;

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	if (channel_tx_taken(c)) {
		tx->iov_first = tx->iov_nr = 0;
		tx->file_first = tx->file_nr = 0;
		tx->buf_used = 0;
		tx->payload = tx->largest = 0;
		gather_replies(e, c);
		gather_carried(e, c);
		gather_streams(e, c);
	}
	*ret_iov = &tx->iov[tx->iov_first];
	return tx->iov_nr - tx->iov_first;
}

int engine_tx_files(const struct channel *c, const struct tx_file **ret_file)
{
	*ret_file = &c->tx.file[c->tx.file_first];
	return c->tx.file_nr - c->tx.file_first;
}

uint32_t engine_tx_largest(const struct channel *c)
{
	return c->tx.largest;
}

bool engine_tx_more(const struct channel *c)
{
	const struct stream *s = sched_next(c);

	return s != NULL && stream_has_more(s);
}

void engine_sent(struct engine *e, struct channel *c, size_t bytes, uint64_t now_ns)
{
	struct channel_tx *tx = &c->tx;

	if (now_ns > e->now_ns)
		e->now_ns = now_ns;
	peer_channel_moved(e, c, bytes);
	while (bytes > 0 && tx->iov_first < tx->iov_nr) {
		struct iovec *v = &tx->iov[tx->iov_first];
		size_t n = bytes < v->iov_len ? bytes : v->iov_len;

		v->iov_base = (uint8_t *)v->iov_base + n;
		v->iov_len -= n;
		bytes -= n;
		if (v->iov_len == 0)
			tx->iov_first++;
	}
	while (bytes > 0 && tx->file_first < tx->file_nr) {
		struct tx_file *f = &tx->file[tx->file_first];
		uint32_t n = bytes < f->bytes ? (uint32_t)bytes : f->bytes;

		f->base += n;
		f->file_off += n;
		f->bytes -= n;
		bytes -= n;
		if (f->bytes == 0)
			tx->file_first++;
	}
	if (!channel_tx_taken(c))
		return;
	peer_channel_taken(c);
	if (tx->carrying != NULL)
		carry_order_sent(e, c);
}

bool engine_channel_wants_tx(const struct channel *c)
{
	return !channel_tx_taken(c) || c->tx.queue.head != NULL || c->tx.orders != NULL ||
	       c->tx.reply_head != c->tx.reply_tail || c->tx.ping_due || c->tx.goaway_due ||
	       c->tx.drain_due != 0;
}

int channel_reply(struct channel *c, const struct reply *r)
{
	if (c->tx.reply_tail - c->tx.reply_head == REPLIES_MAX) {
		c->error = "peer makes answers and does not read them";
		return -1;
	}
	c->tx.reply[c->tx.reply_tail++ % REPLIES_MAX] = *r;
	return 0;
}
