/* SPDX-License-Identifier: MIT */
/*
 * copy_workers.c - control's side of all copy workers: one descriptor to be woken by, the table of
 * clients.
 */
#include "copy_workers.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void copy_workers_wake(int fd, short what, void *ctx)
{
	struct copy_workers *ws = ctx;
	eventfd_t rung;

	(void)what;
	(void)eventfd_read(fd, &rung); /* only a bell: what it is about is looked for */
	ws->handler(ws->ctx);
}

int copy_workers_init(struct copy_workers *ws, struct event_base *base, void (*handler)(void *ctx),
		      void *ctx)
{
	ws->handler = handler;
	ws->ctx = ctx;
	ws->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ws->event_fd < 0)
		return -errno;
	ws->event = event_new(base, ws->event_fd, EV_READ | EV_PERSIST, copy_workers_wake, ws);
	if (ws->event == NULL || event_add(ws->event, NULL) < 0)
		return -ENOMEM;
	return 0;
}

int copy_workers_start(struct copy_workers *ws, int cpu, uint32_t spin_us,
		       struct stats_copy *stats)
{
	const struct copy_worker_config cfg = {
		.index = ws->nr,
		.cpu = cpu,
		.spin_us = spin_us,
		.table = &ws->table,
		.event_fd = ws->event_fd,
		.stats = stats,
	};
	int r;

	if (ws->nr == NCD_COPY_WORKERS_MAX)
		return -ENOSPC;
	r = copy_worker_start(&cfg, &ws->worker[ws->nr]);
	if (r == 0)
		ws->nr++;
	return r;
}

void copy_workers_stop(struct copy_workers *ws)
{
	while (ws->nr > 0)
		if (!copy_worker_stop(ws->worker[--ws->nr]))
			ws->stuck = true;
}

void copy_workers_fini(struct copy_workers *ws)
{
	if (ws->event)
		event_free(ws->event);
	if (ws->event && ws->event_fd >= 0)
		(void)close(ws->event_fd); /* a counter, nothing to flush */
	ws->event = NULL;
	ws->event_fd = -1;
}

int copy_workers_add(struct copy_workers *ws, struct copy_client *c)
{
	uint32_t index = 0, i;
	int r = 0;

	/* Relaxed: control alone writes it. */
	while (index < NCD_CLIENTS_MAX &&
	       atomic_load_explicit(&ws->table.client[index], memory_order_relaxed))
		index++;
	if (index == NCD_CLIENTS_MAX)
		return -ENFILE;
	c->index = index;
	/* HOLD, control's end: before the first doorbell. */
	atomic_store_explicit(&ws->table.client[index], c, memory_order_seq_cst);
	for (i = 0; i < ws->nr && r == 0; i++)
		r = copy_worker_hear(ws->worker[i], c);
	if (r < 0)
		copy_workers_remove(ws, c);
	return r;
}

void copy_workers_remove(struct copy_workers *ws, struct copy_client *c)
{
	_Atomic(struct copy_client *) *entry = &ws->table.client[c->index];

	/* Relaxed: control alone writes it. Another's, if @c could not be added. */
	if (atomic_load_explicit(entry, memory_order_relaxed) != c)
		return;
	/* HOLD, control's end. */
	atomic_store_explicit(entry, NULL, memory_order_seq_cst);
	for (uint32_t i = 0; i < ws->nr; i++)
		copy_worker_ignore(ws->worker[i], c);
}

bool copy_workers_hold(struct copy_workers *ws, const struct copy_client *c)
{
	/* Which one that is, nobody can tell any more. */
	if (ws->stuck)
		return true;
	for (uint32_t i = 0; i < ws->nr; i++)
		if (copy_worker_holds(ws->worker[i], c))
			return true;
	return false;
}
