/* SPDX-License-Identifier: MIT */
/*
 * port.c - a port's life, and its doorbell: which ports are polled, and which ring when they want
 * the worker.
 */
#include "port.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ncd/doorbell.h"

#include "port_calls.h"

#define REST_NS       50000000ull /* a port without words for this long is no longer polled */
#define TRIM_KEEP     (8u << 20)  /* free ring memory that a busy port keeps for what comes next */
#define TRIM_PER_TURN (1u << 20)  /* bytes: some 0.2 ms; a larger block goes alone */
#define TRIM_AFTER_NS 1000000000ull /* memory idle for this long is given back */
#define TRIM_PACE_NS  1000000ull    /* between two turns of it */

static void port_map(struct port *p)
{
	const struct region_shm *l = &p->layout;
	uint8_t *base = p->cfg.segment0 + l->port_off + p->cfg.worker * l->port_bytes;

	p->shm = (void *)base;
	p->qp_shm = (void *)(p->cfg.segment0 + l->qp_off);
	p->listener_shm = (void *)(p->cfg.segment0 + l->listener_off);
	p->slot_shm = (void *)(base + l->slot_off);
	for (uint32_t i = 0; i < NCD_QP_NR; i++) {
		ring_init(&p->sq[i], base + l->sq_off + i * l->sq_bytes, NCD_SQ_ENTRIES);
		ring_init(&p->cq[i], base + l->cq_off + i * l->cq_bytes, NCD_CQ_ENTRIES);
	}
}

struct port *port_create(const struct port_config *cfg)
{
	struct port *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->cfg = *cfg;
	p->layout = *cfg->layout;
	p->cfg.layout = &p->layout;
	/* Both large and mostly untouched: they take memory as sockets are used. */
	p->slot = calloc(p->layout.slots, sizeof(*p->slot));
	p->listener = calloc(NCD_LISTENERS_MAX, sizeof(*p->listener));
	p->arena = arena_create(cfg->region_max);
	if (!p->slot || !p->listener || !p->arena) {
		arena_destroy(p->arena);
		free(p->listener);
		free(p->slot);
		free(p);
		return NULL;
	}
	port_map(p);
	p->upper_free = SLOT_NONE;
	p->upper_high = p->layout.slots / 2;
	p->pending_head = p->pending_tail = SLOT_NONE;
	p->parked_head = p->parked_tail = SLOT_NONE;
	p->doorbell = (struct io_watch){ .fd = cfg->doorbell_fd, .user = p };
	/* Nobody polls it yet: what is posted from now on rings. */
	doorbell_arm(&p->shm->need_wakeup);
	return p;
}

void port_destroy(struct port *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < NCD_QP_NR; i++)
		pollfd_close(&p->cqfd[i]);
	/* Of slots that failed, or were in use when the worker was stopped. */
	for (uint32_t i = 0; i < p->lower_high; i++)
		pollfd_close(&p->slot[i].pollfd);
	for (uint32_t i = p->layout.slots / 2; i < p->upper_high; i++)
		pollfd_close(&p->slot[i].pollfd);
	for (uint32_t i = 0; i < NCD_LISTENERS_MAX; i++)
		pollfd_close(&p->listener[i].pollfd);
	if (p->cfg.doorbell_fd >= 0)
		close(p->cfg.doorbell_fd);
	arena_destroy(p->arena);
	free(p->listener);
	free(p->slot);
	free(p);
}

struct client *port_client(const struct port *p)
{
	return p->cfg.client;
}

/* One that nobody has. Those of programs that are gone may be many: then two share one. */
static uint32_t number_take(struct worker *w, const struct port *p)
{
	uint32_t n = 0;

	while (n < NCD_CLIENTS_MAX && w->numbers[n] > 0)
		n++;
	if (n == NCD_CLIENTS_MAX)
		n = p->cfg.pid % NCD_CLIENTS_MAX;
	w->numbers[n]++;
	return n;
}

uint32_t port_idle_told(const struct port *p)
{
	/* IDLE, control's end. */
	return atomic_load_explicit(&p->idle_told, memory_order_acquire);
}

int port_attach(struct worker *w, struct port *p)
{
	int ret = io_watch_add(w->io, &p->doorbell);

	if (ret < 0)
		return ret;
	p->number = number_take(w, p);
	p->next = w->ports;
	w->ports = p;
	port_activate(w, p);
	return 0;
}

void port_activate(struct worker *w, struct port *p)
{
	p->active_ns = w->now_ns;
	doorbell_disarm(&p->shm->need_wakeup);
	if (p->active || p->removed)
		return;
	p->active = true;
	p->active_next = w->active_ports;
	w->active_ports = p;
}

void port_bad(struct worker *w, struct port *p, const char *reason)
{
	struct worker_event ev = { .type = EVT_CLIENT_BAD, .port = p, .reason = reason };

	if (p->bad)
		return;
	p->bad = true;
	p->reason = reason;
	w->region_errors++;
	if (!p->removed)
		door_event(&w->door, &ev);
}

static bool port_quiet(const struct port *p)
{
	if (p->bad)
		return true;
	for (uint32_t i = 0; i < NCD_QP_NR; i++)
		if (!ring_empty(&p->sq[i]))
			return false;
	return true;
}

void ports_arm(struct worker *w, uint32_t how)
{
	for (struct port *p = w->active_ports; p; p = p->active_next)
		doorbell_arm_as(&p->shm->need_wakeup, how);
}

bool ports_quiet(struct worker *w)
{
	for (struct port *p = w->active_ports; p; p = p->active_next)
		if (!port_quiet(p)) {
			p->turn = 0; /* look at all queues at once */
			return false;
		}
	return true;
}

void ports_disarm(struct worker *w)
{
	for (struct port *p = w->active_ports; p; p = p->active_next)
		doorbell_disarm(&p->shm->need_wakeup);
}

void ports_rest(struct worker *w)
{
	struct port **at = &w->active_ports;

	w->ports_ns = w->now_ns;
	while (*at) {
		struct port *p = *at;

		if (!p->removed && w->now_ns - p->active_ns < REST_NS) {
			at = &p->active_next;
			continue;
		}
		doorbell_arm(&p->shm->need_wakeup);
		if (!p->removed && !port_quiet(p)) {
			port_activate(w, p);
			p->turn = 0;
			at = &p->active_next;
			continue;
		}
		p->active = false;
		*at = p->active_next;
	}
}

/* When what it keeps is given back too, if no words come any more. */
static uint64_t port_idle_ns(const struct worker *w, const struct port *p)
{
	return w->cfg.idle_ns ? p->active_ns + w->cfg.idle_ns : UINT64_MAX;
}

void port_trim_later(struct worker *w, const struct port *p)
{
	uint64_t idle = arena_idle(p->arena), at = UINT64_MAX;

	if (idle > TRIM_KEEP)
		at = w->now_ns + TRIM_AFTER_NS;
	else if (idle > 0)
		at = port_idle_ns(w, p);
	if (at < w->trim_ns)
		w->trim_ns = at;
}

void ports_trim(struct worker *w)
{
	uint64_t next = UINT64_MAX;

	for (struct port *p = w->ports; p; p = p->next) {
		uint64_t at = port_idle_ns(w, p);
		uint64_t keep = at <= w->now_ns ? 0 : TRIM_KEEP;

		if (arena_idle(p->arena) > keep && arena_trim(p->arena, keep, TRIM_PER_TURN)) {
			w->trim_ns = w->now_ns + TRIM_PACE_NS;
			return;
		}
		if (arena_idle(p->arena) > 0 && at < next)
			next = at;
	}
	w->trim_ns = next;
}

void flow_touch(struct worker *w, struct flow *f)
{
	if (f->flags & FLOW_TOUCHED)
		return;
	f->flags |= FLOW_TOUCHED;
	f->touched_next = w->touched;
	w->touched = f;
}
