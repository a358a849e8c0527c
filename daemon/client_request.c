/* SPDX-License-Identifier: MIT */
/*
 * client_request.c - what an attached application asks: addresses, listeners, descriptors.
 *
 * A request that breaks ctl_proto.h ends the attachment; one that cannot be granted is answered.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "title.h"

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

/* Posts a copy of @proto to each worker, or to none: -ENOMEM. */
static int request_post_all(struct client_request *request, const struct worker_cmd *proto)
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

/* ---- addresses ---- */

static bool address_is_ours(const struct config *config, const struct address *a)
{
	uint32_t i;

	if (address_is_any(a))
		return true;
	for (i = 0; i < config->addresses.nr; i++)
		if (address_equal(&config->addresses.address[i], a))
			return true;
	return false;
}

/* Claims what @msg asks for, by @title or NULL. 0 and *ret_port, or what bind(2) would say. */
static int client_claim(struct client *c, const struct ctl_addr *msg, const struct title *title,
			uint16_t *ret_port)
{
	struct port_claim_args args = {
		.owner = c,
		.uid = title ? title->uid : c->uid,
		.port = msg->port,
		.reuseport = title ? title->reuseport : msg->flags & CTL_ADDR_REUSEPORT,
		.title = title ? title->number : 0,
		.network = title ? title->network : 0,
		.entitled = c->uid == 0 || (title && title->here),
	};
	int r;

	memcpy(args.addr.byte, msg->addr, sizeof(args.addr.byte));
	if (!address_is_ours(c->ctl->config, &args.addr))
		return -EADDRNOTAVAIL;
	if (c->claims >= c->ctl->config->sockets)
		return -ENOBUFS;
	r = port_table_claim(c->ctl->ports, &args, ret_port);
	if (r == 0)
		c->claims++;
	return r;
}

static void client_unclaim(struct client *c, const struct address *addr, uint16_t port,
			   uint64_t title, bool listening)
{
	if (port_table_release(c->ctl->ports, c, addr, port, title, listening) == 0)
		c->claims--;
}

static bool client_bind(struct client *c, const struct ctl_addr *msg)
{
	uint16_t port = 0;
	int r = client_claim(c, msg, NULL, &port);

	return client_reply(c, msg->head.tag, r, port);
}

static bool client_unbind(struct client *c, const struct ctl_addr *msg)
{
	struct address addr;

	memcpy(addr.byte, msg->addr, sizeof(addr.byte));
	/* A listener took the claim over, and gives it back itself: not finding it is no error. */
	client_unclaim(c, &addr, msg->port, 0, false);
	return client_reply(c, msg->head.tag, 0, 0);
}

/* ---- listeners ---- */

static uint32_t ring_size(uint32_t bytes)
{
	uint32_t size = NCD_RING_MIN;

	if (bytes == 0)
		return 0;
	while (size < bytes && size < NCD_RING_MAX)
		size *= 2;
	return size;
}

static void listener_stats(struct client *c, struct client_listener *l, uint32_t backlog,
			   uint8_t class)
{
	struct stats_socket *s = stats_listener_take(c->ctl->stats);

	l->stats = s;
	if (s == NULL)
		return;
	s->client_pid = (uint32_t)c->pid;
	s->state = STATS_S_LISTEN;
	s->class_ = class;
	s->local_port = l->port;
	memcpy(s->local_addr, l->addr.byte, sizeof(s->local_addr));
	/* Relaxed: stats_show() orders it. */
	atomic_store_explicit(&s->send_q, backlog, memory_order_relaxed);
	stats_show(&s->use);
}

/* Forgets listener @number, and the claim it holds. */
static void listener_forget(struct client *c, uint32_t number)
{
	struct client_listener *l = &c->listener[number];

	if (l->stats)
		stats_hide(&l->stats->use);
	client_unclaim(c, &l->addr, l->port, l->title, true);
	*l = (struct client_listener){ .used = false };
}

/* Takes a free listener with its claim made. 0 and *ret_number, or negative errno. */
static int listener_take(struct client *c, const struct ctl_addr *msg, const struct title *title,
			 uint32_t *ret_number)
{
	struct client_listener *l;
	uint32_t number = 0;
	int r;

	while (number < NCD_LISTENERS_MAX && c->listener[number].used)
		number++;
	if (number == NCD_LISTENERS_MAX)
		return -ENOBUFS;
	l = &c->listener[number];
	memcpy(l->addr.byte, msg->addr, sizeof(l->addr.byte));
	l->port = msg->port;
	l->title = title ? title->number : 0;
	if (!(msg->flags & CTL_ADDR_BOUND)) {
		r = client_claim(c, msg, title, &l->port);
		if (r < 0)
			return r;
	}
	r = port_table_listen(c->ctl->ports, c, &l->addr, l->port, l->title);
	if (r < 0)
		return r;
	l->used = true;
	*ret_number = number;
	return 0;
}

/* What is shown with @msg. 0, and *ret_title NULL if it is nothing; -errno. */
static int listen_title(const struct ctl_addr *msg, const int *fds, uint32_t fd_nr,
			struct title *room, const struct title **ret_title)
{
	struct address addr;

	*ret_title = NULL;
	if (!(msg->flags & CTL_ADDR_TITLE))
		return 0;
	if (fd_nr == 0)
		return -EMFILE; /* it was lost on the way: we have no descriptor left */
	if (msg->flags & CTL_ADDR_BOUND)
		return -EINVAL;
	memcpy(addr.byte, msg->addr, sizeof(addr.byte));
	*ret_title = room;
	return title_read(fds[0], &addr, msg->port, room);
}

static bool client_listen(struct client *c, const struct ctl_addr *msg, const int *fds,
			  uint32_t fd_nr)
{
	struct worker_cmd cmd = { .type = CMD_LISTEN };
	const struct title *title;
	struct title room;
	struct client_request *request;
	uint32_t number = 0;
	int r;

	if (msg->class > CLASS_THROUGHPUT)
		return client_reply(c, msg->head.tag, -EINVAL, 0);
	request = client_request_create(c, CTL_LISTEN, msg->head.tag);
	if (request == NULL)
		return client_reply(c, msg->head.tag, -ENOMEM, 0);
	r = listen_title(msg, fds, fd_nr, &room, &title);
	if (r == 0)
		r = listener_take(c, msg, title, &number);
	if (r < 0)
		goto err_free;
	request->listener = number;
	cmd.listen.listener = number;
	cmd.listen.addr = c->listener[number].addr;
	cmd.listen.port = c->listener[number].port;
	cmd.listen.backlog = msg->backlog < 1                 ? 1
			     : msg->backlog > NCD_BACKLOG_MAX ? NCD_BACKLOG_MAX
							      : msg->backlog;
	cmd.listen.tx_bytes = ring_size(msg->tx_bytes);
	cmd.listen.rx_bytes = ring_size(msg->rx_bytes);
	cmd.listen.title = c->listener[number].title;
	cmd.listen.uid = title ? title->uid : c->uid;
	cmd.listen.reuseport = title ? title->reuseport : msg->flags & CTL_ADDR_REUSEPORT;
	cmd.listen.class = msg->class;
	if (msg->class == CLASS_AUTO && c->ctl->port_class)
		cmd.listen.class = c->ctl->port_class[cmd.listen.port];
	r = request_post_all(request, &cmd);
	if (r < 0)
		goto err_forget;
	listener_stats(c, &c->listener[number], cmd.listen.backlog, (uint8_t)cmd.listen.class);
	return true;

err_forget:
	listener_forget(c, number);
err_free:
	free(request);
	return client_reply(c, msg->head.tag, r, 0);
}

static bool client_unlisten(struct client *c, const struct ctl_number *msg)
{
	struct worker_cmd cmd = { .type = CMD_UNLISTEN };
	struct client_request *request;

	if (msg->number >= NCD_LISTENERS_MAX || !c->listener[msg->number].up)
		return client_reply(c, msg->head.tag, -EINVAL, 0);
	request = client_request_create(c, CTL_UNLISTEN, msg->head.tag);
	if (request == NULL)
		return client_reply(c, msg->head.tag, -ENOMEM, 0);
	request->listener = msg->number;
	cmd.listen.listener = msg->number;
	if (request_post_all(request, &cmd) < 0) {
		free(request);
		return client_reply(c, msg->head.tag, -ENOMEM, 0);
	}
	c->listener[msg->number].up = false;
	return true;
}

/* Some worker could not listen: those that can must not. */
static bool listen_failed(struct client *c, struct client_request *request)
{
	struct worker_cmd cmd = { .type = CMD_UNLISTEN };

	cmd.listen.listener = request->listener;
	request->type = CTL_UNLISTEN;
	if (request_post_all(request, &cmd) == 0)
		return true;
	client_end(c, "out of memory");
	return false;
}

void client_request_back(struct client *c, struct client_request *request, int result)
{
	uint32_t value = 0;

	if (result < 0 && request->result == 0 && request->type != CTL_UNLISTEN)
		request->result = result;
	if (--request->pending > 0) {
		return;
	} else if (c->state == CLIENT_LEAVING) {
		free(request);
		client_reap(c);
		return;
	}
	if (request->type == CTL_LISTEN && request->result < 0) {
		if (!listen_failed(c, request))
			free(request);
		return;
	}
	if (request->type == CTL_LISTEN) {
		c->listener[request->listener].up = true;
		value = request->listener;
	} else if (request->type == CTL_UNLISTEN) {
		listener_forget(c, request->listener);
	}
	(void)client_reply(c, request->tag, request->result, value); /* either way it is done */
	free(request);
}

/* ---- descriptors ---- */

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

static bool client_pollfd(struct client *c, const struct ctl_pollfd *msg, const int *fds,
			  uint32_t fd_nr)
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

static bool client_cqfd(struct client *c, const struct ctl_number *msg, const int *fds,
			uint32_t fd_nr)
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

/* ---- all of them ---- */

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
	case CTL_TAKE:
		return sizeof(struct ctl_head);
	default:
		return 0;
	}
}

bool client_message(struct client *c, const union ctl_message *msg, size_t bytes, int *fds,
		    uint32_t fd_nr)
{
	uint32_t fd_most = msg->head.type == CTL_SHARE ? CLIENT_FDS_MAX
			   : msg->head.type == CTL_POLLFD || msg->head.type == CTL_CQFD ||
					     msg->head.type == CTL_TAKE ||
					     (msg->head.type == CTL_LISTEN &&
					      msg->addr.flags & CTL_ADDR_TITLE)
				   ? 1
				   : 0;

	if (bytes != message_bytes(msg->head.type))
		return client_violates(c, "a message of unknown type or wrong length");
	if (fd_nr > fd_most)
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
	case CTL_TAKE:
		return client_take(c, &msg->head, fds, fd_nr);
	default:
		return client_cqfd(c, &msg->number, fds, fd_nr);
	}
}
