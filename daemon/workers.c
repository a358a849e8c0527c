/* SPDX-License-Identifier: MIT */
/*
 * workers.c - control's side of all workers: one descriptor to be woken by, commands, events.
 */
#include "workers.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "carriers.h"

#define EVENTS_A_TURN 1024

struct command {
	struct worker_cmd cmd;      /* first: the one is the other */
	struct command *next, **at; /* in workers.out */
};
_Static_assert(offsetof(struct command, cmd) == 0, "cast between the two");

static struct command *command_of(struct worker_cmd *cmd)
{
	void *command = cmd;

	return command;
}

/* It is back: the handler has it once more, then it is freed. */
static void command_back(struct workers *ws, uint32_t worker, const struct worker_event *ev)
{
	struct command *command = command_of(ev->cmd);

	*command->at = command->next;
	if (command->next)
		command->next->at = command->at;
	ws->handler(ws->ctx, worker, ev);
	free(command);
}

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
			if (ev.type == EVT_DONE)
				command_back(ws, i, &ev);
			else
				ws->handler(ws->ctx, i, &ev);
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

int workers_carry(struct workers *ws, uint32_t nr)
{
	ws->carriers = carriers_create(nr);
	return ws->carriers ? 0 : -ENOMEM;
}

int workers_add(struct workers *ws, const struct worker_config *cfg)
{
	int r;

	struct worker_config own = *cfg;

	if (ws->nr == NCD_WORKERS_MAX)
		return -ENOSPC;
	own.carriers = ws->carriers;
	r = worker_start(&own, ws->event_fd, &ws->worker[ws->nr]);
	if (r == 0)
		ws->nr++;
	return r;
}

void workers_stop(struct workers *ws)
{
	while (ws->nr > 0)
		worker_stop(ws->worker[--ws->nr]);
}

void workers_cancel(struct workers *ws)
{
	struct worker_event ev = { .type = EVT_DONE };

	while (ws->out) {
		ev.cmd = &ws->out->cmd;
		ev.cmd->result = -ECANCELED;
		command_back(ws, 0, &ev);
	}
}

void workers_fini(struct workers *ws)
{
	if (ws->event)
		event_free(ws->event);
	if (ws->event_fd >= 0)
		(void)close(ws->event_fd); /* a counter, nothing to flush */
	carriers_destroy(ws->carriers);
	ws->carriers = NULL;
	ws->event = NULL;
	ws->event_fd = -1;
}

struct worker_cmd *command_create(enum worker_cmd_type type)
{
	struct command *command = calloc(1, sizeof(*command));

	if (command == NULL)
		return NULL;
	command->cmd.type = type;
	return &command->cmd;
}

void command_destroy(struct worker_cmd *cmd)
{
	free(cmd);
}

void workers_post(struct workers *ws, uint32_t worker, struct worker_cmd *cmd)
{
	struct command *command = command_of(cmd);

	command->next = ws->out;
	command->at = &ws->out;
	if (command->next)
		command->next->at = &command->next;
	ws->out = command;
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
				command_destroy(copy[--i]);
			return -ENOMEM;
		}
		*copy[i] = *cmd;
	}
	for (i = 0; i < ws->nr; i++)
		workers_post(ws, i, copy[i]);
	return 0;
}
