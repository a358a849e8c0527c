/* SPDX-License-Identifier: MIT */
/*
 * client_listen.c - the addresses that an application has, and where it listens: each worker
 * listens for it, or none does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "title.h"

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

bool client_bind(struct client *c, const struct ctl_addr *msg)
{
	uint16_t port = 0;
	int r = client_claim(c, msg, NULL, &port);

	return client_reply(c, msg->head.tag, r, port);
}

bool client_unbind(struct client *c, const struct ctl_addr *msg)
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

bool client_listen(struct client *c, const struct ctl_addr *msg, const int *fds, uint32_t fd_nr)
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
	r = client_request_post_all(request, &cmd);
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

bool client_unlisten(struct client *c, const struct ctl_number *msg)
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
	if (client_request_post_all(request, &cmd) < 0) {
		free(request);
		return client_reply(c, msg->head.tag, -ENOMEM, 0);
	}
	c->listener[msg->number].up = false;
	return true;
}

static void listener_away(struct client *c, uint32_t number)
{
	for (uint32_t i = 0; i < c->ctl->workers->nr; i++) {
		struct worker_cmd *cmd = command_create(CMD_LISTENER_AWAY);

		if (cmd == NULL)
			return; /* its clients wait, as if nothing had been said */
		cmd->listen.listener = number;
		client_post(c, i, cmd);
	}
}

void control_listener_away(struct control *ctl, int socket)
{
	uint64_t title = title_number(socket);
	struct client *c;
	uint32_t i;

	if (title == 0)
		return;
	for (c = ctl->clients; c; c = c->next)
		/* Most have none, and need not be looked through. */
		for (i = 0; c->claims > 0 && i < NCD_LISTENERS_MAX; i++)
			if (c->listener[i].up && c->listener[i].title == title)
				listener_away(c, i);
}

/* Some worker could not listen: those that can must not. */
static bool listen_failed(struct client *c, struct client_request *request)
{
	struct worker_cmd cmd = { .type = CMD_UNLISTEN };

	cmd.listen.listener = request->listener;
	request->type = CTL_UNLISTEN;
	if (client_request_post_all(request, &cmd) == 0)
		return true;
	client_end(c, "out of memory");
	return false;
}

void client_listen_back(struct client *c, struct client_request *request)
{
	uint32_t value = 0;

	if (request->type == CTL_LISTEN && request->result < 0) {
		if (!listen_failed(c, request))
			free(request);
		return;
	}
	if (request->type == CTL_LISTEN) {
		c->listener[request->listener].up = true;
		value = request->listener;
	} else {
		listener_forget(c, request->listener);
	}
	client_request_answer(request, value);
}
