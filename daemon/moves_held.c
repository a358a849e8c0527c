/* SPDX-License-Identifier: MIT */
/*
 * moves_held.c - commands that are about a stream on its way to another worker: they wait in its
 * entry of the shared table, and go where it is then.
 */
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "moves_state.h"
#include "shared.h"

void moves_post(struct shared *s, struct client *c, struct worker_cmd *cmd)
{
	struct worker_cmd **at = &s->held;

	cmd->share.cookie = s->cookie;
	cmd->share.stream = s->stream;
	if (!s->moving) {
		client_post(c, s->worker, cmd);
		return;
	}
	cmd->port = c->port[s->worker];
	c->commands++;
	cmd->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = cmd;
}

void moves_release(struct control *ctl, struct shared *s)
{
	struct worker_cmd *cmd = s->held, *next;
	uint64_t cookie = s->cookie;

	s->held = NULL;
	s->moving = false;
	for (; cmd; cmd = next) {
		struct client *c = port_client(cmd->port);

		next = cmd->next;
		c->commands--;
		moves_post(s, c, cmd);
	}
	s = shared_find(ctl->shared, cookie);
	if (s)
		shared_moved(ctl->shared, s);
}

void moves_held_destroy(struct shared *s)
{
	while (s->held) {
		struct worker_cmd *cmd = s->held;

		s->held = cmd->next;
		port_client(cmd->port)->commands--;
		if (cmd->type == CMD_TAKE && cmd->share.fd >= 0)
			(void)close(cmd->share.fd); /* a copy */
		free(cmd->user);
		command_destroy(cmd);
	}
}
