/* SPDX-License-Identifier: MIT */
/*
 * client_request.c - what an attached application asks, and the answers of the workers.
 *
 * A request that breaks ctl_proto.h ends the attachment; one that cannot be granted is answered.
 */
#include <errno.h>
#include <stdlib.h>

#include "client.h"

bool client_violates(struct client *c, const char *what)
{
	stats_count(&c->ctl->stats->head->ctl_garbage);
	log_limited(c->ctl->log, &c->ctl->limit_garbage, LOG_LEVEL_WARNING,
		    "control socket: client %d (%s) sent %s; disconnected", (int)c->pid, c->program,
		    what);
	client_end(c, what);
	return false;
}

struct client_request *client_request_create(struct client *c, enum ctl_type type, uint32_t tag)
{
	struct client_request *request = calloc(1, sizeof(*request));

	if (request)
		*request = (struct client_request){ .client = c, .type = type, .tag = tag };
	return request;
}

void client_request_post(struct client_request *request, uint32_t worker, struct worker_cmd *cmd)
{
	cmd->user = request;
	request->pending++;
	client_post(request->client, worker, cmd);
}

int client_request_post_all(struct client_request *request, const struct worker_cmd *proto)
{
	struct workers *ws = request->client->ctl->workers;
	struct worker_cmd *cmd[NCD_WORKERS_MAX];
	uint32_t i;

	for (i = 0; i < ws->nr; i++) {
		cmd[i] = command_create(proto->type);
		if (cmd[i] == NULL) {
			while (i > 0)
				command_destroy(cmd[--i]);
			return -ENOMEM;
		}
		*cmd[i] = *proto;
	}
	for (i = 0; i < ws->nr; i++)
		client_request_post(request, i, cmd[i]);
	return 0;
}

void client_request_answer(struct client_request *request, uint32_t value)
{
	/* Either way it is done. */
	(void)client_reply(request->client, request->tag, request->result, value);
	free(request);
}

void client_request_back(struct client *c, struct client_request *request, int result)
{
	if (result < 0 && request->result == 0 && request->type != CTL_UNLISTEN)
		request->result = result;
	if (--request->pending > 0)
		return;
	if (c->state == CLIENT_LEAVING) {
		free(request);
		client_reap(c);
		return;
	}
	if (request->type == CTL_LISTEN || request->type == CTL_UNLISTEN)
		client_listen_back(c, request);
	else
		client_request_answer(request, 0);
}

static size_t message_bytes(uint32_t type)
{
	switch (type) {
	case CTL_BIND:
	case CTL_UNBIND:
	case CTL_LISTEN:
		return sizeof(struct ctl_addr);
	case CTL_UNLISTEN:
	case CTL_CQFD:
		return sizeof(struct ctl_number);
	case CTL_POLLFD:
		return sizeof(struct ctl_pollfd);
	case CTL_SHARE:
		return sizeof(struct ctl_share);
	case CTL_LEND:
		return sizeof(struct ctl_lend);
	case CTL_TAKE:
	case CTL_TAKE_BACK:
		return sizeof(struct ctl_head);
	case CTL_JOINED:
		return sizeof(struct ctl_reply);
	default:
		return 0;
	}
}

/* How many descriptors may come with @msg. */
static uint32_t message_fds(const union ctl_message *msg)
{
	switch (msg->head.type) {
	case CTL_SHARE:
		return CLIENT_FDS_MAX;
	case CTL_POLLFD:
	case CTL_CQFD:
	case CTL_TAKE:
	case CTL_TAKE_BACK:
		return 1;
	case CTL_LEND:
		return 2;
	case CTL_LISTEN:
		return msg->addr.flags & CTL_ADDR_TITLE ? 1 : 0;
	default:
		return 0;
	}
}

bool client_message(struct client *c, const union ctl_message *msg, size_t bytes, int *fds,
		    uint32_t fd_nr)
{
	if (bytes != message_bytes(msg->head.type))
		return client_violates(c, "a message of unknown type or wrong length");
	if (fd_nr > message_fds(msg))
		return client_violates(c, "descriptors where none belong");
	switch (msg->head.type) {
	case CTL_BIND:
		return client_bind(c, &msg->addr);
	case CTL_UNBIND:
		return client_unbind(c, &msg->addr);
	case CTL_LISTEN:
		return client_listen(c, &msg->addr, fds, fd_nr);
	case CTL_UNLISTEN:
		return client_unlisten(c, &msg->number);
	case CTL_POLLFD:
		return client_pollfd(c, &msg->pollfd, fds, fd_nr);
	case CTL_SHARE:
		return client_share(c, &msg->share, fds, fd_nr);
	case CTL_LEND:
		return client_lend(c, &msg->lend, fds, fd_nr);
	case CTL_TAKE:
	case CTL_TAKE_BACK:
		return client_take(c, &msg->head, fds, fd_nr);
	case CTL_JOINED:
		return client_joined(c, &msg->reply);
	default:
		return client_cqfd(c, &msg->number, fds, fd_nr);
	}
}
