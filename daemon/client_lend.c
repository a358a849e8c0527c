/* SPDX-License-Identifier: MIT */
/*
 * client_lend.c - a stream is to go to another worker: its application is asked to lend it, says
 * that it is lent, and has it back if it does not go after all. What becomes of it: moves.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ncd/descriptor_name.h"

#include "client.h"
#include "moves.h"
#include "shared.h"

/* What is known of it, or NULL. */
static struct client_lend *lend_of(struct client *c, uint32_t worker, uint32_t slot)
{
	uint32_t i;

	for (i = 0; i < c->lend_nr; i++)
		if (c->lend[i].worker == worker && c->lend[i].slot == slot)
			return &c->lend[i];
	return NULL;
}

static void lend_forget(struct client *c, struct client_lend *l)
{
	*l = c->lend[--c->lend_nr];
}

/* Unlike what client_send says, this is no harm to who does not hear it. */
static bool client_tell(struct client *c, enum ctl_type type, uint32_t worker, uint32_t slot)
{
	const struct ctl_pollfd msg = { .head.type = type, .worker = worker, .slot = slot };

	return c->state == CLIENT_ATTACHED &&
	       send(c->fd, &msg, sizeof(msg), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(msg);
}

bool client_lend_ask(struct client *c, uint32_t worker, uint32_t slot)
{
	if (c->version < CTL_VERSION_MOVE || c->lend_nr == CLIENT_LENDS_MAX ||
	    lend_of(c, worker, slot) || !client_tell(c, CTL_MOVE, worker, slot))
		return false;
	c->lend[c->lend_nr++] = (struct client_lend){ .worker = worker, .slot = slot };
	return true;
}

void client_lend_cancel(struct client *c, uint64_t cookie)
{
	uint32_t i;

	for (i = 0; i < c->lend_nr; i++)
		if (c->lend[i].cookie == cookie)
			c->lend[i].back = true;
}

/* The worker has it as one process's alone. Out of memory: as lent, which hurts nobody else. */
static void lent_end(struct control *ctl, uint32_t worker, uint64_t cookie, uint32_t stream)
{
	struct worker_cmd *cmd = command_create(CMD_LENT_END);

	if (cmd == NULL)
		return;
	cmd->share.cookie = cookie;
	cmd->share.stream = stream;
	cmd->share.back = true;
	workers_post(ctl->workers, worker, cmd);
}

void client_lend_over(struct control *ctl, uint64_t cookie)
{
	const struct shared *s = shared_find(ctl->shared, cookie);

	if (s == NULL || !s->lent || !s->lender || s->moving ||
	    ctl_taken_worker(s->from) != s->worker)
		return;
	lent_end(ctl, s->worker, cookie, s->stream);
	(void)client_tell(s->lender, CTL_KEEP, s->worker, ctl_taken_slot(s->from));
	shared_drop(ctl->shared, cookie);
}

/* It takes itself to have lent it, or not; the end of the matter either way. */
static bool lend_failed(struct client *c, const struct ctl_lend *msg, int result)
{
	if (msg->result == 0)
		(void)client_tell(c, CTL_KEEP, msg->worker, msg->slot);
	moves_lent(c->ctl, c, msg->worker, msg->slot, result, 0, 0);
	return c->state == CLIENT_ATTACHED;
}

bool client_lend(struct client *c, const struct ctl_lend *msg, int *fds, uint32_t fd_nr)
{
	uint32_t wanted = msg->result < 0 ? 0 : msg->flags & SHARE_END ? 2 : 1;
	struct client_lend *l = lend_of(c, msg->worker, msg->slot);
	struct worker_cmd *cmd;
	uint32_t i;
	int r;

	if (l == NULL || l->cookie)
		return client_violates(c, "a LEND that was not asked for");
	if (msg->result > 0 || fd_nr > wanted)
		return client_violates(c, "a LEND that makes no sense");
	for (i = 0; i < fd_nr; i++)
		if (!client_fd_is_stream_socket(fds[i]))
			return client_violates(c, "a LEND that is no stream socket");
	r = msg->result < 0 ? msg->result : fd_nr < wanted ? -EMFILE : 0;
	if (r == 0)
		r = client_share_command(msg->slot, msg->flags, fds, &cmd);
	if (r < 0) {
		lend_forget(c, l);
		return lend_failed(c, msg, r);
	}
	cmd->share.lent = true;
	l->cookie = cmd->share.cookie;
	client_post(c, msg->worker, cmd);
	return true;
}

/* Enters what the worker has found. 0 or -errno; share.end is taken. */
static int lend_enter(struct client *c, uint32_t worker, const struct worker_cmd *cmd)
{
	struct shared *s;
	int r = shared_lend(c->ctl->shared, c, cmd->share.cookie, worker, cmd->share.stream,
			    cmd->share.end, &s);

	if (r == 0)
		s->from = ctl_taken(worker, cmd->share.slot);
	return r;
}

void client_lend_back(struct client *c, uint32_t worker, const struct worker_cmd *cmd)
{
	struct client_lend *l = lend_of(c, worker, cmd->share.slot);
	bool back = l && l->back, leaving = c->state == CLIENT_LEAVING;
	int r = cmd->result;

	if (l)
		lend_forget(c, l);
	if (r == 0 && !back && !leaving) {
		r = lend_enter(c, worker, cmd);
	} else {
		if (cmd->share.end >= 0)
			(void)close(cmd->share.end); /* a copy */
		if (r == 0)
			r = back ? -ECANCELED : -ECONNRESET;
	}
	if (r < 0 && cmd->result == 0 && !leaving)
		lent_end(c->ctl, worker, cmd->share.cookie, cmd->share.stream);
	if (r < 0)
		(void)client_tell(c, CTL_KEEP, worker, cmd->share.slot);
	moves_lent(c->ctl, c, worker, cmd->share.slot, r, cmd->share.cookie, cmd->share.stream);
	client_reap(c);
}
