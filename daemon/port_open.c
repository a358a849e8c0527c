/* SPDX-License-Identifier: MIT */
/*
 * port_open.c - streams come to be: an application connects, or a peer opens to a listener; both
 * get rings, or are parked (port_park.c).
 */
#include <errno.h>

#include "port_calls.h"

/* What an application wrote for SQ_OPEN: each word fetched once. */
struct open_request {
	struct address local, remote;
	uint16_t local_port, remote_port;
	uint32_t tx_bytes, rx_bytes;
	uint8_t class, flags;
};

static void fetch_address(const volatile uint8_t *from, struct address *to)
{
	for (size_t i = 0; i < sizeof(to->byte); i++)
		to->byte[i] = from[i];
}

static void fetch_request(const struct slot_shm *shm, struct open_request *r)
{
	/* volatile: one load each, however the compiler sees them used below. */
	const volatile struct slot_shm *v = shm;

	fetch_address(v->local_addr, &r->local);
	fetch_address(v->peer_addr, &r->remote);
	r->local_port = v->open_local_port;
	r->remote_port = v->open_peer_port;
	r->tx_bytes = v->open_tx_bytes;
	r->rx_bytes = v->open_rx_bytes;
	r->class = v->open_class;
	r->flags = v->open_flags;
}

/*
 * An application has at most as many streams as are still free: the table is all applications', and
 * one that takes what it can must not be noticed by another.
 */
static bool streams_left(const struct worker *w, const struct port *p)
{
	return p->flow_nr < engine_streams_free(w->engine);
}

static void flow_fill_slot(const struct flow *f, uint32_t listener)
{
	struct slot_shm *shm = f->shm;
	struct stream_info i;

	engine_stream_info(f->stream, &i);
	/* Relaxed, all: STATE orders them. */
	atomic_store_explicit(&shm->tx_head, f->tx_head, memory_order_relaxed);
	atomic_store_explicit(&shm->rx_tail, i.rx_contiguous, memory_order_relaxed);
	atomic_store_explicit(&shm->rx_base, f->rx_base, memory_order_relaxed);
	atomic_store_explicit(&shm->flags, f->shm_flags, memory_order_relaxed);
	atomic_store_explicit(&shm->srtt_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&shm->error, i.error, memory_order_relaxed);
	shm->tx_segment = f->tx.segment;
	shm->rx_segment = f->rx.segment;
	shm->tx_off = f->tx.off;
	shm->rx_off = f->rx.off;
	shm->tx_bytes = f->tx.bytes;
	shm->rx_bytes = f->rx.bytes;
	atomic_store_explicit(&shm->tx_given, 0, memory_order_relaxed);
	atomic_store_explicit(&shm->rx_given, 0, memory_order_relaxed);
	atomic_store_explicit(&shm->tx_idle, 0, memory_order_relaxed);
	atomic_store_explicit(&shm->tx_most, f->tx_most, memory_order_relaxed);
	atomic_store_explicit(&shm->rx_most, f->rx_most, memory_order_relaxed);
	shm->local_port = i.local_port;
	shm->peer_port = i.remote_port;
	shm->listener = listener;
	memcpy(shm->local_addr, i.local.byte, sizeof(shm->local_addr));
	memcpy(shm->peer_addr, i.remote.byte, sizeof(shm->peer_addr));
}

void flow_link(struct worker *w, struct port *p, struct flow *f)
{
	f->port = p;
	engine_stream_client(w->engine, f->stream, p->number);
	f->prev = NULL;
	f->next = p->flows;
	if (f->next)
		f->next->prev = f;
	p->flows = f;
	p->flow_nr++;
}

void flow_unlink(struct flow *f)
{
	struct port *p = f->port;

	if (f->prev)
		f->prev->next = f->next;
	else
		p->flows = f->next;
	if (f->next)
		f->next->prev = f->prev;
	p->flow_nr--;
}

/* @service: the port that its opener has asked for. */
static struct flow *flow_init(struct worker *w, struct port *p, struct stream *s, uint16_t service)
{
	struct flow *f = &w->flow[stream_index(s)];

	assert(!f->stream);
	/* Its predecessor may still be in the list of the touched. */
	*f = (struct flow){ .stream = s, .port = p, .slot = SLOT_NONE, .listener = UINT32_MAX,
			    .flags = f->flags & FLOW_TOUCHED, .touched_next = f->touched_next };
	flow_link(w, p, f);
	engine_stream_set_user(s, f);
	if (w->cfg.port_weight)
		engine_stream_weight(s, w->cfg.port_weight[service]);
	return f;
}

static void flow_put_in_slot(struct port *p, struct flow *f, uint32_t slot)
{
	struct slot *sl = &p->slot[slot];

	sl->flow = f;
	sl->use = SLOT_USE_LIVE;
	f->slot = slot;
	f->shm = &p->slot_shm[slot];
	f->tx_bytes = f->tx.bytes;
	f->rx_bytes = f->rx.bytes;
	flow_tx_new(f);
	flow_rx_new(f);
}

void port_open_failed(struct worker *w, struct port *p, uint32_t slot, int error)
{
	struct slot_shm *shm = &p->slot_shm[slot];
	struct address to;
	uint32_t flags;

	memcpy(to.byte, shm->peer_addr, sizeof(to.byte));
	flags = engine_peer_down(w->engine, &to) ? SLOT_F_PEER_DOWN : 0;
	p->slot[slot].use = SLOT_USE_FAILED;
	/* Relaxed, both: STATE orders them. */
	atomic_store_explicit(&shm->flags, flags, memory_order_relaxed);
	atomic_store_explicit(&shm->error, error, memory_order_relaxed);
	/* STATE, daemon end; seq_cst for NOTIFY. */
	atomic_store_explicit(&shm->state, SLOT_FAILED, memory_order_seq_cst);
	slot_notify(w, p, slot, shm, EV_ERR | EV_OUT | EV_IN);
}

static enum stream_class class_by_port(const struct worker *w, uint8_t class, uint16_t port)
{
	if (class == CLASS_AUTO && w->cfg.port_class)
		class = w->cfg.port_class[port];
	return (enum stream_class)class;
}

int port_open_slot(struct worker *w, struct port *p, uint32_t slot, bool least)
{
	struct slot_shm *shm = &p->slot_shm[slot];
	struct engine_connect args;
	struct arena_block tx, rx;
	struct ring_wish wish;
	struct open_request r;
	struct stream *s;
	struct flow *f;
	int ret;

	fetch_request(shm, &r);
	if (r.class > CLASS_THROUGHPUT || r.flags & ~OPEN_F_DEFER)
		return -EINVAL;
	if (r.local_port && r.local_port < 1024 && !p->cfg.root)
		return -EACCES;
	if (!streams_left(w, p))
		return -ENOBUFS;
	wish = ring_wish(w, r.tx_bytes, r.rx_bytes);
	ret = rings_take(w, p, &wish, least, &tx, &rx);
	if (ret < 0)
		return ret;
	args = (struct engine_connect){
		.local = r.local,
		.local_port = r.local_port,
		.remote = r.remote,
		.remote_port = r.remote_port,
		.tx = ring_of(&tx),
		.rx = ring_of(&rx),
		.class = class_by_port(w, r.class, r.remote_port),
		.defer = r.flags & OPEN_F_DEFER,
	};
	ret = engine_connect(w->engine, &args, w->now_ns, &s);
	if (ret < 0) {
		arena_give(p->arena, &tx);
		arena_give(p->arena, &rx);
		return ret;
	}
	f = flow_init(w, p, s, r.remote_port);
	f->tx = tx;
	f->rx = rx;
	f->tx_most = wish.tx_most;
	f->rx_most = wish.rx_most;
	flow_put_in_slot(p, f, slot);
	flow_fill_slot(f, UINT32_MAX);
	flow_stats_open(w, f);
	/* STATE, daemon end; seq_cst for NOTIFY. */
	atomic_store_explicit(&shm->state, SLOT_OPENING, memory_order_seq_cst);
	slot_wake(shm);
	return 0;
}

void port_open(struct worker *w, struct port *p, uint32_t slot)
{
	int ret;

	if (slot >= p->layout.slots / 2 || p->slot[slot].use != SLOT_USE_FREE) {
		port_bad(w, p, "SQ_OPEN of a slot that is not free");
		return;
	}
	if (slot >= p->lower_high)
		p->lower_high = slot + 1;
	ret = port_open_slot(w, p, slot, false);
	if (ret == -EAGAIN)
		port_park_slot(p, slot);
	else if (ret < 0)
		port_open_failed(w, p, slot, ret);
}

uint32_t port_upper_take(struct port *p)
{
	uint32_t slot = p->upper_free;

	if (slot != SLOT_NONE) {
		p->upper_free = p->slot[slot].next;
		return slot;
	}
	return p->upper_high < p->layout.slots ? p->upper_high++ : SLOT_NONE;
}

/* What the application writes: of a slot that the daemon gives it. */
static void slot_clear(const struct flow *f)
{
	struct slot_shm *shm = f->shm;

	/* They still hold what the slot's last stream left; relaxed: STATE. */
	atomic_store_explicit(&shm->tx_tail, f->tx_tail, memory_order_relaxed);
	atomic_store_explicit(&shm->tx_base, f->tx_base, memory_order_relaxed);
	atomic_store_explicit(&shm->rx_head, f->rx_head, memory_order_relaxed);
	atomic_store_explicit(&shm->kick, 0, memory_order_relaxed);
	atomic_store_explicit(&shm->notify, 0, memory_order_relaxed);
	atomic_store_explicit(&shm->qp, 0, memory_order_relaxed);
	atomic_store_explicit(&shm->tx_taken, 0, memory_order_relaxed);
	atomic_store_explicit(&shm->rx_taken, 0, memory_order_relaxed);
	atomic_store_explicit(&shm->rx_want, 0, memory_order_relaxed);
}

void flow_show(struct worker *w, struct flow *f, uint32_t slot, uint32_t listener)
{
	flow_put_in_slot(f->port, f, slot);
	slot_clear(f);
	flow_fill_slot(f, listener);
	flow_stats_open(w, f);
	/* STATE, daemon end. */
	atomic_store_explicit(&f->shm->state, SLOT_OPEN, memory_order_release);
}

void flow_present(struct worker *w, struct flow *f, struct listener *l, uint32_t slot)
{
	struct ring_wish wish = ring_wish(w, l->tx_bytes, l->rx_bytes);

	/* One that comes from another queue may have larger ones. */
	f->tx_most = wish.tx_most > f->tx.bytes ? wish.tx_most : f->tx.bytes;
	f->rx_most = wish.rx_most > f->rx.bytes ? wish.rx_most : f->rx.bytes;
	f->flags |= FLOW_OPEN;
	f->rx_base = stream_rx_base(f->stream); /* as of the bytes that are shown with it */
	flow_show(w, f, slot, l->number);
	listener_push(w, l, f);
}

int flow_admit(struct worker *w, struct flow *f, bool least)
{
	struct port *p = f->port;
	struct listener *l = &p->listener[f->listener];
	struct ring_wish wish = ring_wish(w, l->tx_bytes, l->rx_bytes);
	struct ring_mem tx, rx;
	uint32_t slot;
	int ret;

	if (!listener_has_room(w, l))
		return -ENOBUFS;
	ret = rings_take(w, p, &wish, least, &f->tx, &f->rx);
	if (ret < 0)
		return ret;
	slot = port_upper_take(p);
	if (slot == SLOT_NONE) {
		arena_give(p->arena, &f->tx);
		arena_give(p->arena, &f->rx);
		return -ENOBUFS;
	}
	tx = ring_of(&f->tx);
	rx = ring_of(&f->rx);
	engine_stream_rings(f->stream, &tx, &rx, f);
	if (l->class != CLASS_AUTO)
		engine_stream_class(w->engine, f->stream, l->class);
	flow_present(w, f, l, slot);
	return 0;
}

void flow_forget(struct port *p, struct flow *f)
{
	assert(f->port == p);
	flow_unlink(f);
	f->stream = NULL;
}

int port_incoming(void *ctx, struct stream *s, void *listener_user)
{
	struct worker *w = ctx;
	struct listener *l = group_pick(w, listener_user);
	struct port *p = l->port;
	struct flow *f;
	int ret;

	if (p->bad || p->removed || listener_stalls(w, l))
		return -ECONNREFUSED;
	if (!streams_left(w, p))
		return -ENOBUFS;
	f = flow_init(w, p, s, l->port_nr);
	f->listener = l->number;
	ret = flow_admit(w, f, false);
	if (ret == -EAGAIN) {
		port_park_flow(p, f);
	} else if (ret < 0) {
		flow_forget(p, f);
		engine_stream_set_user(s, NULL);
	}
	return ret;
}
