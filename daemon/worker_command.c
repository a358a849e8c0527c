/* SPDX-License-Identifier: MIT */
/*
 * worker_command.c - carries out what control asks for (worker_cmd.h).
 */
#include <errno.h>
#include <unistd.h>

#include "channel_io.h"
#include "port_calls.h"
#include "worker_state.h"

#define COMMANDS_A_TURN 32

static int add_segment(struct worker *w, const struct worker_cmd *cmd)
{
	struct port *p = cmd->port;
	int ret = arena_add(p->arena, cmd->segment.number, cmd->segment.base, cmd->segment.bytes,
			    cmd->segment.fd + 1);

	p->segment_wanted = false;
	port_unpark(w, p, ret < 0);
	port_grow(w, p, ret < 0);
	return ret;
}

static int deny_segment(struct worker *w, struct port *p)
{
	p->segment_wanted = false;
	w->no_memory++;
	port_unpark(w, p, true);
	port_grow(w, p, true);
	return 0;
}

static int add_link(struct worker *w, struct link *link)
{
	int ret = channel_io_add(w, link);
	struct worker_event ev = { .type = EVT_CHANNEL_DEAD, .link = link };

	/* Control hears of the end of a link in one way only. */
	if (ret < 0)
		door_event(&w->door, &ev);
	return ret;
}

static int take_pollfd(const struct worker_cmd *cmd)
{
	int ret = port_pollfd(cmd->port, cmd->pollfd.slot, cmd->pollfd.fd);

	if (ret < 0)
		close(cmd->pollfd.fd);
	return ret;
}

static int take_cqfd(const struct worker_cmd *cmd)
{
	int ret = port_cqfd(cmd->port, cmd->pollfd.slot, cmd->pollfd.fd);

	if (ret < 0)
		close(cmd->pollfd.fd);
	return ret;
}

/* -EINPROGRESS: it is not done, and the worker's until it is. */
static int command(struct worker *w, struct worker_cmd *cmd)
{
	struct engine *e = w->engine;

	assert_on_worker(w);
	switch (cmd->type) {
	case CMD_PEER_SET:
		if (cmd->peer.index >= w->peer_high)
			w->peer_high = cmd->peer.index + 1;
		engine_peer_set(e, cmd->peer.index, cmd->peer.addr, cmd->peer.addr_nr);
		return 0;
	case CMD_PEER_REMOVE:
		engine_peer_remove(e, cmd->peer.index, w->now_ns);
		return 0;
	case CMD_PEER_RESET:
		engine_peer_reset(e, cmd->peer.index, w->now_ns);
		return 0;
	case CMD_PEER_UNREACHABLE:
		engine_peer_unreachable(e, cmd->peer.index, cmd->peer.error, w->now_ns);
		return 0;
	case CMD_PEER_GROWN:
		engine_peer_grown(e, cmd->peer.index, cmd->peer.error == 0, w->now_ns);
		return 0;
	case CMD_CHANNEL_ADD:
		return add_link(w, cmd->link);
	case CMD_CHANNEL_DROP:
		channel_io_drop(w, cmd->link);
		return 0;
	case CMD_CLIENT_ADD:
		return port_attach(w, cmd->port);
	case CMD_CLIENT_REMOVE:
		port_remove(w, cmd->port);
		return 0;
	case CMD_SEGMENT:
		return add_segment(w, cmd);
	case CMD_SEGMENT_DENIED:
		return deny_segment(w, cmd->port);
	case CMD_JOINT:
		return port_joint(w, cmd);
	case CMD_LISTEN:
		return port_listen(w, cmd->port, cmd);
	case CMD_UNLISTEN:
		return port_unlisten(w, cmd->port, cmd->listen.listener);
	case CMD_LISTENER_AWAY:
		return port_listener_away(w, cmd->port, cmd->listen.listener);
	case CMD_POLLFD:
		return take_pollfd(cmd);
	case CMD_CQFD:
		return take_cqfd(cmd);
	case CMD_SHARE:
		return port_share(w, cmd->port, cmd);
	case CMD_TAKE:
		return port_take(w, cmd);
	case CMD_SHARE_END:
		flow_share_end(w, cmd);
		return 0;
	case CMD_LENT_END:
		flow_lent_end(w, cmd);
		return 0;
	case CMD_LEAVE:
		engine_leave(e, w->now_ns);
		return 0;
	default:
		return -EINVAL;
	}
}

void worker_peers_news(struct worker *w)
{
	for (uint32_t i = 1; i < w->peer_high; i++) {
		struct worker_event left = { .type = EVT_PEER_LEFT, .peer = i };
		struct worker_event grows = { .type = EVT_PEER_GROWS, .peer = i };

		if (engine_peer_left(w->engine, i))
			door_event(&w->door, &left);
		if (engine_peer_grows(w->engine, i))
			door_event(&w->door, &grows);
	}
}

uint32_t worker_commands(struct worker *w)
{
	struct worker_cmd *cmd;
	struct io_watch *watch;
	uint32_t did = 0;

	while ((watch = io_next_watch(w->io))) {
		w->wakes_got++;
		if (watch != &w->cmd_watch && watch != &w->carry_watch)
			port_activate(w, watch->user);
	}
	while (did < COMMANDS_A_TURN && (cmd = door_take(&w->door))) {
		struct worker_event done = { .type = EVT_DONE, .cmd = cmd };

		int ret = command(w, cmd);

		did++;
		if (ret == -EINPROGRESS)
			continue;
		cmd->result = ret;
		door_event(&w->door, &done);
	}
	return did;
}
