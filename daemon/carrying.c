/* SPDX-License-Identifier: MIT */
/*
 * carrying.c - a worker and the others of its host: what their engines say to each other is carried
 * across, and bytes are given to whoever has time.
 */
#include "carrying.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "ncd/doorbell.h"

#include "channel_io.h"

#define GIVEN_MAX 2u         /* orders that one worker has not answered */
#define IDLE_NS   1000000u   /* who has had nothing to do so lately has time */
#define BULK_NS   100000000u /* but not who has sent bulk of its own so lately */

static struct carry_board *own_board(const struct worker *w)
{
	return &w->cfg.carriers->board[w->cfg.index];
}

static bool alone(const struct worker *w)
{
	return w->cfg.carriers == NULL || w->cfg.carriers->nr < 2;
}

static struct carry_box *box_of(const struct worker *w, uint32_t from, uint32_t to)
{
	return &w->cfg.carriers->box[from * w->cfg.carriers->nr + to];
}

int carrying_start(struct worker *w)
{
	uint32_t self = w->cfg.index;

	if (alone(w))
		return 0;
	for (uint32_t i = 0; i < w->cfg.carriers->nr; i++) {
		ring_init(&w->carry_out[i], box_of(w, self, i)->shm, CARRY_BOX);
		ring_init(&w->carry_in[i], box_of(w, i, self)->shm, CARRY_BOX);
	}
	w->carry_watch = (struct io_watch){ .fd = own_board(w)->fd };
	return io_watch_add(w->io, &w->carry_watch);
}

static void take(struct worker *w, const struct carry_msg *m)
{
	struct channel *c;
	int ret;

	ret = engine_carry_take(w->engine, m, w->now_ns, &c);
	if (c)
		channel_io_resume(w, c, ret);
}

uint32_t carrying_take(struct worker *w)
{
	uint32_t did = 0;

	if (alone(w))
		return 0;
	for (uint32_t i = 0; i < w->cfg.carriers->nr; i++) {
		struct ring *in = &w->carry_in[i];
		const struct carry_box *box = box_of(w, i, w->cfg.index);
		uint64_t word;

		for (uint32_t nr = 0; nr < CARRY_BOX && i != w->cfg.index; nr++) {
			uint32_t at = in->own & (CARRY_BOX - 1);
			struct carry_msg m;

			/* PUBLISH, consumer end: before the message is read. */
			if (in->own == in->foreign && ring_empty(in))
				break;
			m = box->msg[at];
			if (ring_pop(in, &word) < 0)
				break;
			take(w, &m);
			did++;
		}
	}
	return did;
}

/* False: its box is full. */
static bool post(struct worker *w, const struct carry_msg *m)
{
	struct ring *out = &w->carry_out[m->to];
	struct carry_box *box = box_of(w, w->cfg.index, m->to);

	if (out->own - out->foreign == CARRY_BOX) {
		/* RECYCLE, producer end. */
		out->foreign = atomic_load_explicit(&out->shm->head, memory_order_acquire);
		if (out->own - out->foreign == CARRY_BOX)
			return false;
	}
	box->msg[out->own & (CARRY_BOX - 1)] = *m;
	(void)ring_push(out, 0); /* there is room */
	w->carry_rings |= UINT64_C(1) << m->to;
	return true;
}

static void wake(struct worker *w)
{
	for (; w->carry_rings != 0; w->carry_rings &= w->carry_rings - 1) {
		uint32_t to = (uint32_t)__builtin_ctzll(w->carry_rings);
		struct carry_board *board = &w->cfg.carriers->board[to];

		ring_publish(&w->carry_out[to]);
		if (doorbell_due(&board->need_wakeup))
			(void)eventfd_write(board->fd, 1); /* fails at 2^64 unread wakes */
	}
}

uint32_t carrying_post(struct worker *w)
{
	struct carry_msg m;
	uint32_t did = 0;

	while (engine_carry_peek(w->engine, &m)) {
		if (m.to == w->cfg.index) {
			engine_carry_pop(w->engine);
			take(w, &m);
		} else if (post(w, &m)) {
			engine_carry_pop(w->engine);
		} else {
			break;
		}
		did++;
	}
	wake(w);
	return did;
}

static bool has_time(const struct worker *w, uint32_t to, uint32_t peer)
{
	struct carry_board *board = &w->cfg.carriers->board[to];
	/* Relaxed, all three: hints. */
	uint64_t idle_ns = atomic_load_explicit(&board->idle_ns, memory_order_relaxed);
	uint64_t bulk_ns = atomic_load_explicit(&board->bulk_ns, memory_order_relaxed);

	return atomic_load_explicit(&board->up[peer], memory_order_relaxed) > 0 &&
	       bulk_ns + BULK_NS < w->now_ns &&
	       (idle_ns >= w->now_ns || w->now_ns - idle_ns < IDLE_NS) &&
	       engine_carry_given(w->engine, to) < GIVEN_MAX;
}

uint32_t carrying_give(struct worker *w)
{
	uint32_t peer = engine_carry_surplus(w->engine), did = 0;

	if (peer == 0 || alone(w))
		return 0;
	for (uint32_t i = 1; i < w->cfg.carriers->nr && peer != 0; i++) {
		w->carry_next = (w->carry_next + 1) % w->cfg.carriers->nr;
		if (w->carry_next == w->cfg.index || !has_time(w, w->carry_next, peer))
			continue;
		if (engine_carry_give(w->engine, w->carry_next) == 0)
			did++;
		peer = engine_carry_surplus(w->engine);
	}
	return did;
}

void carrying_show(struct worker *w, uint32_t peer)
{
	uint32_t nr;

	if (alone(w))
		return;
	nr = engine_carry_channels(w->engine, peer);
	/* Relaxed: a hint. */
	atomic_store_explicit(&own_board(w)->up[peer], (uint8_t)(nr < UINT8_MAX ? nr : UINT8_MAX),
			      memory_order_relaxed);
}

void carrying_idle(struct worker *w)
{
	if (alone(w))
		return;
	/* Relaxed, both: hints. */
	atomic_store_explicit(&own_board(w)->bulk_ns, engine_bulk_ns(w->engine),
			      memory_order_relaxed);
	atomic_store_explicit(&own_board(w)->idle_ns, w->now_ns, memory_order_relaxed);
}

void carrying_arm(struct worker *w)
{
	if (alone(w))
		return;
	/* Relaxed: a hint. Asleep is idle, for as long as it lasts. */
	atomic_store_explicit(&own_board(w)->idle_ns, UINT64_MAX, memory_order_relaxed);
	doorbell_arm(&own_board(w)->need_wakeup);
}

bool carrying_quiet(const struct worker *w)
{
	struct carry_msg m;

	if (engine_carry_peek(w->engine, &m))
		return false;
	for (uint32_t i = 0; !alone(w) && i < w->cfg.carriers->nr; i++)
		if (i != w->cfg.index && !ring_empty(&w->carry_in[i]))
			return false;
	return true;
}

void carrying_disarm(struct worker *w)
{
	if (alone(w))
		return;
	doorbell_disarm(&own_board(w)->need_wakeup);
	/* Relaxed: a hint. */
	atomic_store_explicit(&own_board(w)->idle_ns, w->now_ns, memory_order_relaxed);
}
