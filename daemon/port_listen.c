/* SPDX-License-Identifier: MIT */
/*
 * port_listen.c - listening virtual sockets, and the accept queue of each in this worker's port.
 *
 * A queue begins anew with each LISTEN: the worker zeroes it before control answers the
 * application. An application learns of its listener's number only with that answer.
 */
#include <errno.h>

#include "port_calls.h"

static void accept_queue_reset(struct port *p, struct listener *l)
{
	const struct region_shm *lay = &p->layout;
	uint8_t *mem = (uint8_t *)p->shm + lay->accept_off + l->number * lay->accept_bytes;

	ring_init(&l->accept, mem, NCD_BACKLOG_MAX);
	/* Relaxed, both: the answer by the control socket orders them. */
	atomic_store_explicit(&l->accept.shm->tail, 0, memory_order_relaxed);
	atomic_store_explicit(&l->accept.shm->head, 0, memory_order_relaxed);
	/* Relaxed: as above. The bits of other workers are theirs. */
	atomic_fetch_and_explicit(&p->listener_shm[l->number].elsewhere,
				  ~((uint64_t)1 << p->cfg.worker), memory_order_relaxed);
}

int port_listen(struct worker *w, struct port *p, const struct worker_cmd *cmd)
{
	struct listener *l;
	int ret;

	if (cmd->listen.listener >= NCD_LISTENERS_MAX)
		return -EINVAL;
	l = &p->listener[cmd->listen.listener];
	if (l->used || p->removed)
		return -EBUSY;
	*l = (struct listener){
		.port = p,
		.used = true,
		.dirty = l->dirty,
		.dirty_next = l->dirty_next,
		.pending = l->pending,
		.number = cmd->listen.listener,
		.backlog = cmd->listen.backlog < NCD_BACKLOG_MAX ? cmd->listen.backlog
								 : NCD_BACKLOG_MAX - 1,
		.tx_bytes = cmd->listen.tx_bytes,
		.rx_bytes = cmd->listen.rx_bytes,
		.class = cmd->listen.class,
		.addr = cmd->listen.addr,
		.port_nr = cmd->listen.port,
		.title = cmd->listen.title,
		.uid = cmd->listen.uid,
		.reuseport = cmd->listen.reuseport,
	};
	accept_queue_reset(p, l);
	ret = group_join(w, l);
	if (ret < 0)
		l->used = false;
	else if (l->title)
		listener_take_held(w, l);
	return ret;
}

/* Words in the queue; -EPROTO if the application's index is impossible. */
static int accept_words(const struct listener *l)
{
	/* RECYCLE, producer end. */
	uint32_t head = atomic_load_explicit(&l->accept.shm->head, memory_order_acquire);
	uint32_t nr = l->accept.own - head;

	return nr <= NCD_BACKLOG_MAX ? (int)nr : -EPROTO;
}

int listener_waiting(struct listener *l)
{
	int nr = accept_words(l);
	int taken = nr < 0 ? 0 : (int)(l->taken_end - (l->accept.own - (uint32_t)nr));

	if (taken <= 0) {
		l->taken_end = l->accept.own - (uint32_t)(nr < 0 ? 0 : nr);
		taken = 0;
	}
	return nr - taken;
}

bool listener_has_room(struct worker *w, struct listener *l)
{
	int words = accept_words(l);

	if (words < 0) {
		port_bad(w, l->port, "accept queue's head is impossible");
		return false;
	}
	/* As listen(2) in Linux: one more than the backlog. */
	return l->used && words < (int)NCD_BACKLOG_MAX &&
	       (uint32_t)listener_waiting(l) + l->parked <= l->backlog;
}

/*
 * Who listens by ncd and by the kernel may have given the kernel's socket to programs without ncd,
 * which accept there. It says so where it can (port_away.c); else the clients' time tells: it is
 * looked at when another comes.
 */
bool listener_stalls(struct worker *w, struct listener *l)
{
	/* Relaxed: whether it moves. */
	uint32_t head = atomic_load_explicit(&l->accept.shm->head, memory_order_relaxed);

	if (listener_away(w, l))
		return true;
	if (l->title == 0 || w->cfg.stall_ns == 0)
		return false;
	if (listener_waiting(l) <= 0) {
		l->stall_ns = 0;
		return false;
	}
	if (l->stall_ns == 0 || l->stall_head != head) {
		l->stall_ns = w->now_ns;
		l->stall_head = head;
	}
	return w->now_ns - l->stall_ns >= w->cfg.stall_ns;
}

void listener_push(struct worker *w, struct listener *l, struct flow *f)
{
	f->listener = l->number;
	f->flags |= FLOW_ACCEPT;
	f->accept_at = l->accept.own;
	if (!f->arrived)
		f->arrived = ++w->arrivals;
	if (ring_push(&l->accept, f->slot) < 0) {
		/* There was room a moment ago: the application has moved its index back. */
		port_bad(w, l->port, "accept queue's head is impossible");
		return;
	}
	listener_mark(w, l);
}

bool listener_holds(const struct listener *l, const struct flow *f)
{
	/* RECYCLE, producer end. */
	uint32_t head = atomic_load_explicit(&l->accept.shm->head, memory_order_acquire);

	return f->flags & FLOW_ACCEPT && (int32_t)(f->accept_at - head) >= 0;
}

/* What nobody will accept any more is reset, as the kernel does. */
static void drop_waiting(struct worker *w, struct port *p, const struct listener *l)
{
	struct flow *next;

	for (struct flow *f = p->flows; f; f = next) {
		next = f->next;
		if (f->listener != l->number || f->flags & FLOW_RELEASED)
			continue;
		if (f->flags & FLOW_PARKED || listener_holds(l, f))
			flow_release(w, f, true, false);
		else
			/* The number may soon be another listener's. */
			f->flags &= ~FLOW_ACCEPT;
	}
}

int port_unlisten(struct worker *w, struct port *p, uint32_t number)
{
	struct listener *l, *member;

	if (number >= NCD_LISTENERS_MAX || !p->listener[number].used)
		return -EINVAL;
	l = &p->listener[number];
	member = group_leave(w, l);
	l->used = false;
	if (member)
		listener_hand_over(w, l, member);
	else if (l->title)
		listener_hold(w, l);
	drop_waiting(w, p, l);
	pollfd_close(&l->pollfd);
	return 0;
}
