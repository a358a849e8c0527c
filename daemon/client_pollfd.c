/* SPDX-License-Identifier: MIT */
/*
 * client_pollfd.c - descriptors by which workers wake an application: of a virtual socket, a
 * listener, a completion queue.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

/*
 * Workers write only to sockets, where MSG_DONTWAIT keeps them from blocking whatever the client
 * does to the description it shares with us: O_NONBLOCK is the client's to clear.
 */
bool client_fd_is_stream_socket(int fd)
{
	int domain = 0, type = 0;
	socklen_t bytes = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 && domain == AF_UNIX &&
	       type == SOCK_STREAM;
}

/*
 * Gives a duplicate of @fd to workers first..last with a command of @type. The answers reply.
 * False: @c has ended.
 */
static bool client_hand_fd(struct client *c, const struct worker_cmd *proto, enum ctl_type type,
			   uint32_t tag, uint32_t first, uint32_t last)
{
	struct client_request *request = client_request_create(c, type, tag);
	struct worker_cmd *cmd[NCD_WORKERS_MAX] = { NULL };
	uint32_t i, made;
	int r = -ENOMEM;

	if (request == NULL)
		return client_reply(c, tag, -ENOMEM, 0);
	for (made = first; made <= last; made++) {
		cmd[made] = command_create(proto->type);
		if (cmd[made] == NULL)
			goto err_undo;
		cmd[made]->pollfd = proto->pollfd;
		cmd[made]->pollfd.fd = fcntl(proto->pollfd.fd, F_DUPFD_CLOEXEC, 0);
		if (cmd[made]->pollfd.fd < 0) {
			r = -errno;
			command_destroy(cmd[made]);
			goto err_undo;
		}
	}
	for (i = first; i <= last; i++)
		client_request_post(request, i, cmd[i]);
	return true;

err_undo:
	while (made-- > first) {
		(void)close(cmd[made]->pollfd.fd); /* a duplicate nobody has seen */
		command_destroy(cmd[made]);
	}
	free(request);
	return client_reply(c, tag, r, 0);
}

bool client_pollfd(struct client *c, const struct ctl_pollfd *msg, const int *fds, uint32_t fd_nr)
{
	struct worker_cmd cmd = { .type = CMD_POLLFD };
	uint32_t last = c->ctl->workers->nr - 1;
	uint32_t listener = msg->slot & ~CQ_LISTENER;

	if (fd_nr == 0)
		return client_reply(c, msg->head.tag, -EMFILE, 0);
	if (!client_fd_is_stream_socket(fds[0]))
		return client_violates(c, "a POLLFD that is no stream socket");
	if (msg->worker > last)
		return client_reply(c, msg->head.tag, -EINVAL, 0);
	cmd.pollfd.slot = msg->slot;
	cmd.pollfd.fd = fds[0];
	/* Any worker may accept, so each tells. */
	if (msg->slot & CQ_LISTENER) {
		if (listener >= NCD_LISTENERS_MAX || !c->listener[listener].up)
			return client_reply(c, msg->head.tag, -EINVAL, 0);
		return client_hand_fd(c, &cmd, CTL_POLLFD, msg->head.tag, 0, last);
	}
	if (msg->slot >= c->ctl->slots)
		return client_reply(c, msg->head.tag, -EINVAL, 0);
	return client_hand_fd(c, &cmd, CTL_POLLFD, msg->head.tag, msg->worker, msg->worker);
}

bool client_cqfd(struct client *c, const struct ctl_number *msg, const int *fds, uint32_t fd_nr)
{
	struct worker_cmd cmd = { .type = CMD_CQFD };

	if (fd_nr == 0)
		return client_reply(c, msg->head.tag, -EMFILE, 0);
	if (!client_fd_is_stream_socket(fds[0]))
		return client_violates(c, "a CQFD that is no stream socket");
	if (msg->number >= NCD_QP_NR)
		return client_reply(c, msg->head.tag, -EINVAL, 0);
	cmd.pollfd.slot = msg->number;
	cmd.pollfd.fd = fds[0];
	return client_hand_fd(c, &cmd, CTL_CQFD, msg->head.tag, 0, c->ctl->workers->nr - 1);
}
