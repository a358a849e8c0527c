/* SPDX-License-Identifier: MIT */
/*
 * fake_worker.h - workers and ports without threads, for tests of control: each command is
 * remembered and answered at once, or when the test says so. Included once in a program, whose
 * linker then leaves the real ones in their archive.
 */
#ifndef NCD_FAKE_WORKER_H
#define NCD_FAKE_WORKER_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "port.h"
#include "worker.h"
#include "worker_cmd.h"

#define FAKE_QUEUE 4096u

struct worker {
	int event_fd;
	bool hold; /* commands wait until fake_answer() */
	int listen_result, share_result;
	uint64_t idle_ns; /* of the second before it is looked at */
	uint32_t posted[CMD_MOVE_PORT + 1]; /* by type */
	enum worker_cmd_type hold_type;     /* one of it waits, and what follows */
	/* CMD_MOVE_*: what they say; NULL: nothing. */
	void (*move)(struct worker_cmd *cmd);
	struct worker_cmd last;         /* a copy of the newest command */
	struct worker_cmd *held[FAKE_QUEUE];
	uint32_t held_nr;
	struct worker_event event[FAKE_QUEUE];
	uint32_t head, tail;
};

struct port {
	struct port_config cfg;
	uint32_t idle_told;
};

static void fake_event(struct worker *w, const struct worker_event *ev)
{
	if (w->tail - w->head == FAKE_QUEUE)
		abort();
	w->event[w->tail++ % FAKE_QUEUE] = *ev;
	(void)eventfd_write(w->event_fd, 1);
}

static void fake_carry_out(struct worker *w, struct worker_cmd *cmd)
{
	struct worker_event done = { .type = EVT_DONE, .cmd = cmd };
	struct worker_event gone = { .type = EVT_CLIENT_GONE, .port = cmd->port };

	if (cmd->type == CMD_LISTEN)
		cmd->result = w->listen_result;
	if (cmd->type == CMD_POLLFD || cmd->type == CMD_CQFD)
		close(cmd->pollfd.fd);
	if (cmd->type == CMD_SHARE || cmd->type == CMD_TAKE) {
		cmd->result = w->share_result;
		if (cmd->share.fd >= 0)
			close(cmd->share.fd);
		if (cmd->type == CMD_SHARE)
			cmd->share.stream = cmd->share.slot + 100;
		else
			cmd->share.slot = 5;
	}
	if (w->move && cmd->type >= CMD_MOVE_PICK)
		w->move(cmd);
	fake_event(w, &done);
	if (cmd->type == CMD_CLIENT_REMOVE)
		fake_event(w, &gone);
}

static inline void fake_answer(struct worker *w)
{
	uint32_t i, nr = w->held_nr;

	w->held_nr = 0;
	for (i = 0; i < nr; i++)
		fake_carry_out(w, w->held[i]);
}

int worker_start(const struct worker_config *cfg, int event_fd, struct worker **ret_worker)
{
	struct worker *w = calloc(1, sizeof(*w));

	(void)cfg;
	if (w == NULL)
		return -ENOMEM;
	w->event_fd = event_fd;
	*ret_worker = w;
	return 0;
}

void worker_stop(struct worker *w)
{
	free(w);
}

const char *worker_backend(const struct worker *w, const char **ret_why)
{
	(void)w;
	*ret_why = "";
	return "fake";
}

uint64_t worker_turns(const struct worker *w, bool *ret_sleeping)
{
	(void)w;
	*ret_sleeping = true;
	return 0;
}

uint64_t worker_idle_ns(const struct worker *w, uint64_t now_ns)
{
	(void)now_ns;
	return w->idle_ns;
}

void worker_post(struct worker *w, struct worker_cmd *cmd)
{
	w->posted[cmd->type]++;
	w->last = *cmd;
	if ((w->hold || (w->hold_type && (w->held_nr || cmd->type == w->hold_type))) &&
	    w->held_nr < FAKE_QUEUE)
		w->held[w->held_nr++] = cmd;
	else
		fake_carry_out(w, cmd);
}

bool worker_event(struct worker *w, struct worker_event *ret_event)
{
	if (w->head == w->tail)
		return false;
	*ret_event = w->event[w->head++ % FAKE_QUEUE];
	return true;
}

struct port *port_create(const struct port_config *cfg)
{
	struct port *p = calloc(1, sizeof(*p));

	if (p)
		p->cfg = *cfg;
	return p;
}

void port_destroy(struct port *p)
{
	if (p)
		close(p->cfg.doorbell_fd);
	free(p);
}

struct client *port_client(const struct port *p)
{
	return p->cfg.client;
}

uint32_t port_idle_told(const struct port *p)
{
	return p->idle_told;
}

#endif /* NCD_FAKE_WORKER_H */
