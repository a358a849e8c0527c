/* SPDX-License-Identifier: MIT */
/*
 * workers.c - control's side of all workers: one descriptor to be woken by, commands, events.
 */
#include "workers.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_A_TURN 1024

static void workers_wake(int fd, short what, void *ctx)
{
	struct workers *ws = ctx;
	struct worker_event ev;
	eventfd_t rung;
	uint32_t i, n;

	(void)what;
	/* It is only a bell: whether it had rung, or how often, is told by the queues. */
	(void)eventfd_read(fd, &rung);
	for (i = 0; i < ws->nr; i++) {
		for (n = 0; n < EVENTS_A_TURN && worker_event(ws->worker[i], &ev); n++) {
			ws->handler(ws->ctx, i, &ev);
			if (ev.type == EVT_DONE)
				free(ev.cmd);
		}
		/* The rest after whatever else waits for control. */
		if (n == EVENTS_A_TURN)
			event_active(ws->event, EV_READ, 1);
	}
}

int workers_init(struct workers *ws, struct event_base *base,
		 void (*handler)(void *ctx, uint32_t worker, const struct worker_event *ev),
		 void *ctx)
{
	*ws = (struct workers){ .event_fd = -1, .handler = handler, .ctx = ctx };
	ws->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ws->event_fd < 0)
		return -errno;
	ws->event = event_new(base, ws->event_fd, EV_READ | EV_PERSIST, workers_wake, ws);
	if (ws->event == NULL || event_add(ws->event, NULL) < 0)
		return -ENOMEM;
	return 0;
}

int workers_add(struct workers *ws, const struct worker_config *cfg)
{
	int r;

	if (ws->nr == NCD_WORKERS_MAX)
		return -ENOSPC;
	r = worker_start(cfg, ws->event_fd, &ws->worker[ws->nr]);
	if (r == 0)
		ws->nr++;
	return r;
}

void workers_fini(struct workers *ws)
{
	struct worker_event ev;
	uint32_t i;

	/* What has come back already is freed here, what has not by worker_stop(). */
	for (i = 0; i < ws->nr; i++)
		while (worker_event(ws->worker[i], &ev))
			if (ev.type == EVT_DONE)
				free(ev.cmd);
	while (ws->nr > 0)
		worker_stop(ws->worker[--ws->nr]);
	if (ws->event)
		event_free(ws->event);
	if (ws->event_fd >= 0)
		(void)close(ws->event_fd); /* a counter, nothing to flush */
	ws->event = NULL;
	ws->event_fd = -1;
}

struct worker_cmd *command_create(enum worker_cmd_type type)
{
	struct worker_cmd *cmd = calloc(1, sizeof(*cmd));

	if (cmd)
		cmd->type = type;
	return cmd;
}

void workers_post(struct workers *ws, uint32_t worker, struct worker_cmd *cmd)
{
	worker_post(ws->worker[worker], cmd);
}

int workers_post_all(struct workers *ws, const struct worker_cmd *cmd)
{
	struct worker_cmd *copy[NCD_WORKERS_MAX];
	uint32_t i;

	for (i = 0; i < ws->nr; i++) {
		copy[i] = command_create(cmd->type);
		if (copy[i] == NULL) {
			while (i > 0)
				free(copy[--i]);
			return -ENOMEM;
		}
		*copy[i] = *cmd;
	}
	for (i = 0; i < ws->nr; i++)
		worker_post(ws->worker[i], copy[i]);
	return 0;
}
