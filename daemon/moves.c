/* SPDX-License-Identifier: MIT */
/*
 * moves.c - open streams go from one worker to another.
 */
#include "moves.h"

#include "client.h"
#include "shared.h"

void moves_post(struct control *ctl, struct shared *s, struct client *c, struct worker_cmd *cmd)
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
	(void)ctl;
}

void moves_lent(struct control *ctl, struct client *c, uint32_t worker, uint32_t slot, int result,
		uint64_t cookie, uint32_t stream)
{
	(void)ctl;
	(void)c;
	(void)worker;
	(void)slot;
	(void)result;
	(void)cookie;
	(void)stream;
}
