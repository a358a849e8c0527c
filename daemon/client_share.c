/* SPDX-License-Identifier: MIT */
/*
 * client_share.c - an application says which of its streams other processes may get, or asks for
 * one whose descriptor it has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "ncd/descriptor_name.h"

#include "client.h"
#include "moves.h"
#include "shared.h"

/* The descriptors of one entry: how many. */
static uint32_t entry_fds(const struct ctl_share_entry *e)
{
	return e->flags & SHARE_END ? 2 : 1;
}

/* 0, -EINVAL, or -EPROTO: it breaks ctl_proto.h. */
static int entry_check(const struct client *c, const struct ctl_share_entry *e, const int *fds)
{
	if (!client_fd_is_stream_socket(fds[0]) ||
	    (e->flags & SHARE_END && !client_fd_is_stream_socket(fds[1])))
		return -EPROTO;
	return e->worker >= c->ctl->workers->nr || e->slot >= c->ctl->slots ? -EINVAL : 0;
}

int client_share_command(uint32_t slot, uint32_t flags, int *fds, struct worker_cmd **ret_cmd)
{
	struct worker_cmd *cmd = command_create(CMD_SHARE);

	if (cmd == NULL)
		return -ENOMEM;
	cmd->share.slot = slot;
	cmd->share.cookie = descriptor_cookie(fds[0]);
	cmd->share.family = flags & SHARE_INET6 ? AF_INET6 : AF_INET;
	cmd->share.fd = cmd->share.end = -1;
	if (flags & SHARE_END) {
		cmd->share.end = fcntl(fds[1], F_DUPFD_CLOEXEC, 0);
		if (cmd->share.end < 0) {
			command_destroy(cmd);
			return -EMFILE;
		}
		cmd->share.fd = fds[1];
		fds[1] = -1;
	}
	*ret_cmd = cmd;
	return 0;
}

/* What @c has lent is for others, too, from now on. 0 or -errno. */
static int lent_share(struct client *c, struct shared *s, uint32_t flags)
{
	struct worker_cmd *cmd = command_create(CMD_LENT_END);
	int r = cmd ? shared_name(s->end, flags & SHARE_INET6 ? AF_INET6 : AF_INET, s->cookie)
		    : -ENOMEM;

	if (r == 0)
		r = shared_keep(c->ctl->shared, s);
	if (r < 0)
		command_destroy(cmd);
	else
		moves_post(s, c, cmd);
	return r;
}

/* @fds: the application's end, then the daemon's with SHARE_END. 0 or -errno; what is taken
 * becomes -1. */
static int entry_share(struct client_request *request, const struct ctl_share_entry *e, int *fds)
{
	struct client *c = request->client;
	struct shared *s = shared_find(c->ctl->shared, descriptor_cookie(fds[0]));
	struct worker_cmd *cmd;
	int r;

	if (s && s->lent && s->lender == c)
		return lent_share(c, s, e->flags);
	r = client_share_command(e->slot, e->flags, fds, &cmd);
	if (r == 0)
		client_request_post(request, e->worker, cmd);
	return r;
}

bool client_share(struct client *c, const struct ctl_share *msg, int *fds, uint32_t fd_nr)
{
	struct client_request *request;
	uint32_t i, wanted = 0;
	int *at, r = 0;

	if (msg->nr < 1 || msg->nr > CTL_SHARE_MAX)
		return client_violates(c, "a SHARE of an impossible number");
	for (i = 0; i < msg->nr; i++)
		wanted += entry_fds(&msg->entry[i]);
	if (fd_nr > wanted)
		return client_violates(c, "a SHARE with descriptors too many");
	if (fd_nr < wanted)
		return client_reply(c, msg->head.tag, -EMFILE, 0);
	for (i = 0, at = fds; i < msg->nr && r == 0; at += entry_fds(&msg->entry[i++]))
		r = entry_check(c, &msg->entry[i], at);
	if (r == -EPROTO)
		return client_violates(c, "a SHARE that is no stream socket");
	request = r == 0 ? client_request_create(c, CTL_SHARE, msg->head.tag) : NULL;
	if (request == NULL)
		return client_reply(c, msg->head.tag, r < 0 ? r : -ENOMEM, 0);
	for (i = 0, at = fds; i < msg->nr && r == 0; at += entry_fds(&msg->entry[i++]))
		r = entry_share(request, &msg->entry[i], at);
	/* The first that could not be asked for is the last. */
	request->result = r;
	if (request->pending > 0)
		return true;
	free(request);
	return client_reply(c, msg->head.tag, r, 0);
}

void client_share_back(struct client *c, uint32_t worker, const struct worker_cmd *cmd)
{
	struct shared_table *t = c->ctl->shared;
	struct shared *s = t ? shared_find(t, cmd->share.cookie) : NULL;
	int end = cmd->share.end;

	if (end < 0)
		return;
	/* Shared before, or without a name: it is for who has the descriptor, or for nobody. */
	if (cmd->result < 0 || t == NULL || (s && !(s->lent && s->lender == c)) ||
	    shared_name(end, cmd->share.family, cmd->share.cookie) < 0) {
		(void)close(end); /* a copy */
	} else if (s) {
		/* LEND was just before it. */
		(void)shared_keep(t, s); /* else it is as if it had not been shared */
		(void)close(end);        /* a copy */
	} else {
		(void)shared_add(t, cmd->share.cookie, worker, cmd->share.stream,
				 end); /* as without a name */
	}
}

/* 0, or why @c may not take @s. */
static int take_check(const struct client *c, const struct shared *s, bool back)
{
	if (back && s && (!s->lent || s->lender != c))
		return -EPERM;
	/* Nobody else has what is lent. */
	return s == NULL || (s->lent && !back) ? -ENOENT : 0;
}

bool client_take(struct client *c, const struct ctl_head *msg, const int *fds, uint32_t fd_nr)
{
	bool back = msg->type == CTL_TAKE_BACK;
	struct client_request *request;
	struct worker_cmd *cmd;
	struct shared *s;
	int r;

	if (fd_nr == 0)
		return client_reply(c, msg->tag, -EMFILE, 0);
	if (!client_fd_is_stream_socket(fds[0]))
		return client_violates(c, "a TAKE that is no stream socket");
	s = shared_find(c->ctl->shared, descriptor_cookie(fds[0]));
	if (s == NULL && back)
		client_lend_cancel(c, descriptor_cookie(fds[0]));
	r = take_check(c, s, back);
	if (r < 0)
		return client_reply(c, msg->tag, r, 0);
	request = client_request_create(c, msg->type, msg->tag);
	cmd = command_create(CMD_TAKE);
	if (request == NULL || cmd == NULL)
		goto err_free;
	request->cookie = s->cookie;
	cmd->share.back = back;
	cmd->share.fd = fcntl(s->end, F_DUPFD_CLOEXEC, 0);
	if (cmd->share.fd < 0)
		goto err_free;
	cmd->user = request;
	request->pending++;
	moves_post(s, c, cmd);
	return true;

err_free:
	command_destroy(cmd);
	free(request);
	return client_reply(c, msg->tag, -ENOMEM, 0);
}

/* It is its application's alone, or over. */
static void lent_drop(struct shared_table *t, uint64_t cookie)
{
	struct shared *s = shared_find(t, cookie);

	if (s == NULL || !s->lent)
		return;
	s->lender = NULL; /* dropped when it no longer moves, if it does */
	shared_drop(t, cookie);
}

void client_take_back(struct client *c, uint32_t worker, const struct worker_cmd *cmd)
{
	struct client_request *request = cmd->user;
	struct ctl_reply reply = { .head = { .type = CTL_REPLY, .tag = request->tag },
				   .result = cmd->result };
	bool over = request->type == CTL_TAKE_BACK &&
		    (cmd->result == 0 || cmd->result == -ENOENT);
	uint64_t cookie = request->cookie;
	const struct shared *s;

	free(request);
	if (c->state == CLIENT_LEAVING) {
		client_reap(c);
		return;
	}
	s = shared_find(c->ctl->shared, cookie);
	if (cmd->result == 0)
		reply.value = ctl_taken(worker, cmd->share.slot);
	/* Either way it is done. */
	(void)client_send(c, &reply, sizeof(reply), s ? &s->end : NULL, s && cmd->result == 0);
	if (over)
		lent_drop(c->ctl->shared, cookie);
}
