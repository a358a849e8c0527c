/* SPDX-License-Identifier: MIT */
/*
 * app.c - the applications: what ncd-perf rpc does with one thread and many sockets, on completion
 * queues. The client (host 0) keeps one request of each socket under way; the server answers.
 */
#include <assert.h>

#include "state.h"

#define READY_MAX     64u /* sockets that one wait reports: VIA_READY_MAX */
#define IN_CALL_BYTES 64u /* are in the costs of a call */

static void kick(struct model *m, struct end *e, struct socket *s)
{
	if (s->kicked)
		return;
	s->kicked = true;
	words_push(&e->sq, (uint32_t)(s - e->sock));
	if (thread_wake(m, &e->worker))
		model_pay(m, COST_WAKE_WORKER, 1);
}

static void copy(struct model *m, const struct end *e, uint64_t bytes)
{
	model_copy(m, e->host, COST_COPY_BYTE, bytes > IN_CALL_BYTES ? bytes - IN_CALL_BYTES : 0);
}

static void send_bytes(struct model *m, struct end *e, struct socket *s, uint64_t bytes)
{
	if (bytes == 0)
		return;
	/* A ring holds several messages, and an answer acknowledges its request. */
	assert(s->tx_tail + bytes - s->tx_head <= m->ring_bytes);
	copy(m, e, bytes);
	s->tx_tail += bytes;
	e->sent += bytes;
	kick(m, e, s);
}

static void receive_bytes(struct model *m, struct end *e, struct socket *s)
{
	uint64_t bytes = s->rx_tail - s->rx_head;

	if (bytes > 0) {
		copy(m, e, bytes);
		s->rx_head = s->rx_tail;
		e->received += bytes;
	}
	/* Credit is worth a word only by the quarter: libclient/rx.c. */
	if (s->rx_head - s->rx_told >= m->ring_bytes / 4) {
		s->rx_told = s->rx_head;
		kick(m, e, s);
	}
}

static bool ending(const struct model *m)
{
	return m->end_ns > 0;
}

/* As ncd-perf: the clock of the turn ends a round trip and begins the next. */
static void account(struct model *m, struct socket *s, uint64_t turn_ns)
{
	m->answered++;
	if (m->begin_ns > 0 && !ending(m))
		hist_record(&m->hist, turn_ns - s->asked_ns);
	if (m->answered == m->p.sockets)
		m->begin_ns = turn_ns;
	if (m->answered == m->p.sockets + m->p.messages)
		m->end_ns = turn_ns;
	s->asked_ns = turn_ns;
}

static void client_turn(struct model *m, struct end *e, struct socket *s, uint64_t turn_ns)
{
	uint64_t before = s->rx_head / m->p.size;

	model_pay(m, COST_APP_TURN, 1);
	receive_bytes(m, e, s);
	if (s->rx_head / m->p.size == before)
		return;
	account(m, s, turn_ns);
	if (!ending(m))
		send_bytes(m, e, s, m->p.size);
}

static void server_turn(struct model *m, struct end *e, struct socket *s)
{
	model_pay(m, COST_APP_TURN, 1);
	receive_bytes(m, e, s);
	send_bytes(m, e, s, s->rx_head / m->p.size * m->p.size - s->tx_tail);
}

/* The client's first turn: every socket asks. */
static void begin(struct model *m, struct end *e)
{
	uint64_t turn_ns = model_ns(m);

	for (uint32_t i = 0; i < READY_MAX && e->begun < e->sock_nr; i++) {
		struct socket *s = &e->sock[e->begun++];

		s->asked_ns = turn_ns;
		model_pay(m, COST_APP_TURN, 1);
		send_bytes(m, e, s, m->p.size);
	}
}

/* A worker of this core that is woken may preempt the application: after the socket at hand. */
static bool worker_wakes(const struct end *e)
{
	return e->worker.state == TH_WAKES;
}

enum then app_step(struct model *m, struct end *e)
{
	uint32_t nr = words_nr(&e->cq);

	/* The library yields until there is room. */
	if (words_nr(&e->sq) + READY_MAX > NCD_SQ_ENTRIES) {
		model_pay(m, COST_YIELD, 1);
		return THEN_YIELD;
	}
	if (e->host == 0 && e->begun < e->sock_nr) {
		begin(m, e);
		return THEN_GO_ON;
	}
	if (nr == 0) {
		model_pay(m, COST_SLEEP, 1);
		return THEN_SLEEP;
	}
	if (e->reported == 0) {
		/* One call reports many; then each is served. */
		e->reported = nr < READY_MAX ? nr : READY_MAX;
		model_pay(m, COST_APP_EVENT, e->reported);
		e->turn_ns = model_ns(m);
	}
	do {
		struct socket *s = &e->sock[words_pop(&e->cq)];

		s->armed = true;
		if (e->host == 0)
			client_turn(m, e, s, e->turn_ns);
		else
			server_turn(m, e, s);
	} while (--e->reported > 0 && !worker_wakes(e));
	return THEN_GO_ON;
}
