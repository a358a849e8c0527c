/* SPDX-License-Identifier: MIT */
/*
 * port_submit.c - submission queues: what applications ask for, into the engine.
 *
 * Words are taken in batches: the slots of a whole batch are prefetched before the first is looked
 * at, since each of them is in the cache of the core that has just written it.
 */
#include <errno.h>

#include "port_calls.h"

#define BATCH        32u
#define WORDS_A_TURN 256u /* of one port: the first of them should leave before the last is read */
#define LIFE_WORDS   4u   /* opening and closing take as long as so many others */
#define GIVE_WAY_NS  20000000u /* round trips are not over because one of them takes so long */
/* Bytes between two offers. A worker with a short slice has the core soon without them. */
#define GIVE_WAY_OFTEN  (64u << 10)
#define GIVE_WAY_SELDOM (128u << 10)
#define SELDOM       16u   /* turns between two looks at a queue that was never used */

int flow_pull(struct worker *w, struct flow *f, const char **ret_why)
{
	/* TXBYTES, RXSPACE, daemon ends. Fetched once. */
	uint64_t tail = atomic_load_explicit(&f->shm->tx_tail, memory_order_acquire);
	uint64_t head = atomic_load_explicit(&f->shm->rx_head, memory_order_acquire);
	uint64_t base;

	if (f->flags & (FLOW_ENDED | FLOW_DONE | FLOW_PARKED))
		return 0;
	if (f->flags & FLOW_EXCHANGE && flow_exchange(w, f, ret_why) < 0)
		return -EPROTO;
	if (tail != f->tx_tail && !(f->flags & FLOW_SHUTDOWN)) {
		/* Relaxed: written before the tail, and before TAKEN. Never for a later one: it is
		 * not moved before these bytes are acknowledged. */
		base = f->tx.joint ? 0 : atomic_load_explicit(&f->shm->tx_base,
							      memory_order_relaxed);
		if (base != f->tx_base && engine_tx_rebase(w->engine, f->stream, base) < 0) {
			*ret_why = "tx_base moved while bytes were in the ring";
			return -EPROTO;
		}
		f->tx_base = base;
		if (engine_tx_published(w->engine, f->stream, tail, w->now_ns) < 0) {
			*ret_why = "tx_tail is impossible";
			return -EPROTO;
		}
		f->tx_tail = tail;
	}
	if (head != f->rx_head) {
		if (engine_rx_consumed(w->engine, f->stream, head, w->now_ns) < 0) {
			*ret_why = "rx_head is impossible";
			return -EPROTO;
		}
		f->rx_head = head;
		if (f->rx_joint)
			joint_reader_moved(w, f);
	}
	if ((f->tx_bytes < f->tx_most || f->rx_bytes < f->rx_most) && !(f->flags & FLOW_MOVING))
		flow_grow(w, f);
	flow_touch(w, f);
	return 0;
}

static void kick(struct worker *w, struct port *p, uint32_t slot)
{
	struct flow *f = p->slot[slot].flow;
	const char *why;

	/* A kick that another thread posted may be overtaken by its slot's close. */
	if (!f)
		return;
	/* KICK, daemon end. */
	atomic_exchange_explicit(&f->shm->kick, 0, memory_order_acq_rel);
	if (flow_pull(w, f, &why) < 0)
		port_bad(w, p, why);
	/* What its reader has left is for who waits elsewhere. */
	else if (f->moved && f->shm)
		flow_call(w, f, flow_events(f) & (EV_IN | EV_HUP));
}

static void shutdown_slot(struct worker *w, struct port *p, uint32_t slot)
{
	struct flow *f = p->slot[slot].flow;
	const char *why;

	if (!f)
		return;
	if (flow_pull(w, f, &why) < 0) {
		port_bad(w, p, why);
		return;
	}
	f->shm_flags |= SLOT_F_SHUT;
	/* Relaxed: for who waits for it, and a process that takes the stream. */
	atomic_store_explicit(&f->shm->flags, f->shm_flags, memory_order_relaxed);
	if (f->flags & (FLOW_SHUTDOWN | FLOW_ENDED | FLOW_DONE | FLOW_PARKED))
		return;
	f->flags |= FLOW_SHUTDOWN;
	engine_stream_shutdown(w->engine, f->stream, w->now_ns);
}

static void class_slot(struct worker *w, struct port *p, uint32_t slot, uint32_t class)
{
	struct flow *f = p->slot[slot].flow;

	if (class > CLASS_THROUGHPUT)
		port_bad(w, p, "SQ_CLASS with an unknown class");
	else if (f && !(f->flags & (FLOW_ENDED | FLOW_DONE)))
		engine_stream_class(w->engine, f->stream, (enum stream_class)class);
}

static void share_listener(struct worker *w, struct port *p, uint32_t number)
{
	if (number >= NCD_LISTENERS_MAX)
		port_bad(w, p, "listener out of range");
	else if (p->listener[number].used) /* else closed, by another way */
		group_share(w, &p->listener[number]);
}

static void submit(struct worker *w, struct port *p, uint64_t word)
{
	uint32_t slot = (uint32_t)word, arg = (uint32_t)(word >> 40);

	if ((word >> 32 & 0xff) == SQ_SHARE) {
		share_listener(w, p, slot);
		return;
	}
	if (slot >= p->layout.slots) {
		port_bad(w, p, "slot out of range");
		return;
	}
	switch ((enum sq_op)(word >> 32 & 0xff)) {
	case SQ_KICK:
		kick(w, p, slot);
		break;
	case SQ_OPEN:
		port_open(w, p, slot);
		break;
	case SQ_SHUTDOWN:
		shutdown_slot(w, p, slot);
		break;
	case SQ_CLOSE:
		if (arg > CLOSE_LET_GO)
			port_bad(w, p, "SQ_CLOSE with an unknown argument");
		else
			port_close_slot(w, p, slot, arg);
		break;
	case SQ_CLASS:
		class_slot(w, p, slot, arg);
		break;
	case SQ_SHARE: /* as above */
	case SQ_OP_END:
	default:
		port_bad(w, p, "unknown operation");
		break;
	}
}

/* The app's line of the slot, to be written; our own record of it, to be read. */
static void prefetch(const struct port *p, uint64_t word)
{
	uint32_t slot = (uint32_t)word;

	if (slot >= p->layout.slots)
		return;
	__builtin_prefetch(&p->slot_shm[slot].tx_tail, 1);
	__builtin_prefetch(p->slot[slot].flow, 1);
}

/* What a word takes of the turn. */
static uint32_t word_cost(uint64_t word)
{
	uint32_t op = (uint32_t)(word >> 32) & 0xff;

	return op == SQ_OPEN || op == SQ_CLOSE ? LIFE_WORDS : 1;
}

/* Up to BATCH words of one queue; adds to @cost what they take. */
static uint32_t submit_batch(struct worker *w, struct port *p, struct ring *sq, uint32_t *cost)
{
	uint64_t word[BATCH];
	uint32_t nr = 0;
	int ret = 0;

	while (nr < BATCH && (ret = ring_pop(sq, &word[nr])) == 0)
		prefetch(p, word[nr++]);
	if (ret == -EPROTO)
		port_bad(w, p, "submission queue's tail is impossible");
	for (uint32_t i = 0; i < nr && !p->bad; i++) {
		*cost += word_cost(word[i]);
		submit(w, p, word[i]);
	}
	return nr;
}

/* Told to who has words for us; what others were told does not matter before they have. */
static void give_way_set(const struct worker *w, struct port *p)
{
	uint32_t each = 0;

	if (w->latency_ns && w->now_ns - w->latency_ns < GIVE_WAY_NS)
		each = w->slice.is_short ? GIVE_WAY_SELDOM : GIVE_WAY_OFTEN;
	if (p->give_way == each)
		return;
	p->give_way = each;
	/* Relaxed: advice. */
	atomic_store_explicit(&p->shm->give_way, each, memory_order_relaxed);
}

/* Those that may have words. */
static uint32_t queues_to_look_at(struct port *p)
{
	for (uint32_t i = 0; i < NCD_QP_NR && p->turn % SELDOM == 0; i++)
		if (!ring_empty(&p->sq[i]))
			p->sq_used |= 1u << i;
	p->turn++;
	return p->sq_used;
}

/* Round its queues, beginning behind the one where the last turn had to stop. */
static uint32_t port_submit(struct worker *w, struct port *p)
{
	uint32_t look = queues_to_look_at(p);
	uint32_t ahead = look & -(1u << p->sq_first);
	uint32_t did = 0, cost = 0, i = 0;

	while (look && cost < WORDS_A_TURN && !p->bad) {
		uint32_t nr;

		i = (uint32_t)__builtin_ctz(ahead ? ahead : look);
		ahead &= ~(1u << i);
		look &= ~(1u << i);
		do {
			nr = submit_batch(w, p, &p->sq[i], &cost);
			did += nr;
		} while (nr == BATCH && cost < WORDS_A_TURN && !p->bad);
	}
	if (cost >= WORDS_A_TURN)
		p->sq_first = (i + 1) % NCD_QP_NR;
	if (did) {
		p->active_ns = w->now_ns;
		give_way_set(w, p);
	}
	return did;
}

uint32_t ports_submit(struct worker *w)
{
	uint32_t did = 0;

	for (struct port *p = w->active_ports; p; p = p->active_next)
		if (!p->bad)
			did += port_submit(w, p);
	w->words += did;
	return did;
}

void port_drain(struct worker *w, struct port *p)
{
	uint32_t cost = 0; /* its last turn, however long */

	for (uint32_t i = 0; i < NCD_QP_NR; i++)
		/* Bounded: a queue holds so many, and its producer is dead or cut off. */
		for (uint32_t nr = 0; nr < NCD_SQ_ENTRIES && !p->bad; nr += BATCH)
			if (submit_batch(w, p, &p->sq[i], &cost) < BATCH)
				break;
}
