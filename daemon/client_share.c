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

/* The descriptors of one entry: how many, and where. */
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

/* @fds: the application's end, then the daemon's with SHARE_END. 0 or -errno; what is taken
 * becomes -1. */
static int entry_share(struct client_request *request, const struct ctl_share_entry *e, int *fds)
{
	struct worker_cmd *cmd = command_create(CMD_SHARE);

	if (cmd == NULL)
		return -ENOMEM;
	cmd->share.slot = e->slot;
	cmd->share.cookie = descriptor_cookie(fds[0]);
	cmd->share.family = e->flags & SHARE_INET6 ? AF_INET6 : AF_INET;
	cmd->share.fd = cmd->share.end = -1;
	if (e->flags & SHARE_END) {
		cmd->share.end = fcntl(fds[1], F_DUPFD_CLOEXEC, 0);
		if (cmd->share.end < 0) {
			command_destroy(cmd);
			return -EMFILE;
		}
		cmd->share.fd = fds[1];
		fds[1] = -1;
	}
	client_request_post(request, e->worker, cmd);
	return 0;
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
	int end = cmd->share.end;

	if (end < 0)
		return;
	/* Shared before, or without a name: it is for who has the descriptor, or for nobody. */
	if (cmd->result < 0 || t == NULL || shared_find(t, cmd->share.cookie) ||
	    shared_name(end, cmd->share.family, cmd->share.cookie) < 0)
		(void)close(end); /* a copy */
	else
		(void)shared_add(t, cmd->share.cookie, worker, cmd->share.stream,
				 end); /* as without a name */
}

bool client_take(struct client *c, const struct ctl_head *msg, const int *fds, uint32_t fd_nr)
{
	struct client_request *request;
	struct worker_cmd *cmd;
	struct shared *s;

	if (fd_nr == 0)
		return client_reply(c, msg->tag, -EMFILE, 0);
	if (!client_fd_is_stream_socket(fds[0]))
		return client_violates(c, "a TAKE that is no stream socket");
	s = shared_find(c->ctl->shared, descriptor_cookie(fds[0]));
	if (s == NULL)
		return client_reply(c, msg->tag, -ENOENT, 0);
	request = client_request_create(c, CTL_TAKE, msg->tag);
	cmd = command_create(CMD_TAKE);
	if (request == NULL || cmd == NULL)
		goto err_free;
	request->cookie = s->cookie;
	cmd->share.fd = fcntl(s->end, F_DUPFD_CLOEXEC, 0);
	if (cmd->share.fd < 0)
		goto err_free;
	cmd->user = request;
	request->pending++;
	moves_post(c->ctl, s, c, cmd);
	return true;

err_free:
	command_destroy(cmd);
	free(request);
	return client_reply(c, msg->tag, -ENOMEM, 0);
}

void client_take_back(struct client *c, uint32_t worker, const struct worker_cmd *cmd)
{
	struct client_request *request = cmd->user;
	struct ctl_reply reply = { .head = { .type = CTL_REPLY, .tag = request->tag },
				   .result = cmd->result };
	const struct shared *s;

	if (c->state == CLIENT_LEAVING) {
		free(request);
		client_reap(c);
		return;
	}
	s = shared_find(c->ctl->shared, request->cookie);
	free(request);
	if (cmd->result == 0)
		reply.value = ctl_taken(worker, cmd->share.slot);
	/* Either way it is done. */
	(void)client_send(c, &reply, sizeof(reply), s ? &s->end : NULL, s && cmd->result == 0);
}
