/* SPDX-License-Identifier: MIT */
/*
 * worker_command.c - carries out what control asks for (worker_cmd.h).
 */
#include <errno.h>
#include <unistd.h>

#include "core/move.h"

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

static int move_over(struct worker *w, struct worker_cmd *cmd)
{
	(void)w;
	flow_over(cmd);
	return 0;
}

static int move_forget(struct worker *w, struct worker_cmd *cmd)
{
	engine_stream_forget(w->engine, cmd->move.id);
	return 0;
}

static int move_port(struct worker *w, struct worker_cmd *cmd)
{
	engine_port_release(w->engine, cmd->move.number);
	return 0;
}

static int (*const move_commands[])(struct worker *w, struct worker_cmd *cmd) = {
	[CMD_MOVE_PICK - CMD_MOVE_PICK] = port_pick,
	[CMD_MOVE_FIND - CMD_MOVE_PICK] = port_find,
	[CMD_MOVE_BEGIN - CMD_MOVE_PICK] = flow_begin_to_go,
	[CMD_MOVE_KEEP - CMD_MOVE_PICK] = flow_keep,
	[CMD_MOVE_ROOM - CMD_MOVE_PICK] = port_take,
	[CMD_MOVE_REFUSE - CMD_MOVE_PICK] = place_refuse,
	[CMD_MOVE_OUT - CMD_MOVE_PICK] = flow_out,
	[CMD_MOVE_IN - CMD_MOVE_PICK] = flow_in,
	[CMD_MOVE_OVER - CMD_MOVE_PICK] = move_over,
	[CMD_MOVE_FORGET - CMD_MOVE_PICK] = move_forget,
	[CMD_MOVE_PORT - CMD_MOVE_PICK] = move_port,
};

static int peer_command(struct worker *w, const struct worker_cmd *cmd)
{
	uint32_t index = cmd->peer.index;
	struct engine *e = w->engine;

	if (cmd->type == CMD_PEER_REMOVE) {
		engine_peer_remove(e, index, w->now_ns);
	} else if (cmd->type == CMD_PEER_RESET) {
		engine_peer_reset(e, index, w->now_ns);
	} else if (cmd->type == CMD_PEER_UNREACHABLE) {
		engine_peer_unreachable(e, index, cmd->peer.error, w->now_ns);
	} else if (cmd->type == CMD_PEER_GROWN) {
		engine_peer_grown(e, index, cmd->peer.error == 0, w->now_ns);
	} else {
		if (index >= w->peer_high)
			w->peer_high = index + 1;
		engine_peer_set(e, index, cmd->peer.addr, cmd->peer.addr_nr);
	}
	return 0;
}

/* -EINPROGRESS: it is not done, and the worker's until it is. */
static int command(struct worker *w, struct worker_cmd *cmd)
{
	assert_on_worker(w);
	switch (cmd->type) {
	case CMD_PEER_SET:
	case CMD_PEER_REMOVE:
	case CMD_PEER_RESET:
	case CMD_PEER_UNREACHABLE:
	case CMD_PEER_GROWN:
		return peer_command(w, cmd);
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
		engine_leave(w->engine, w->now_ns);
		return 0;
	case CMD_MOVE_PICK:
	case CMD_MOVE_FIND:
	case CMD_MOVE_BEGIN:
	case CMD_MOVE_KEEP:
	case CMD_MOVE_ROOM:
	case CMD_MOVE_REFUSE:
	case CMD_MOVE_OUT:
	case CMD_MOVE_IN:
	case CMD_MOVE_OVER:
	case CMD_MOVE_FORGET:
	case CMD_MOVE_PORT:
		return move_commands[cmd->type - CMD_MOVE_PICK](w, cmd);
	default:
		return -EINVAL;
	}
}

/* Later ones wait until control has read earlier ones: there may be one for each stream. */
void worker_say(struct worker *w, const struct worker_event *ev)
{
	if (w->later_head == w->later_tail && door_has_room(&w->door))
		door_event(&w->door, ev);
	else
		w->later[w->later_tail++ & (w->later_max - 1)] = *ev;
}

static void say_later(struct worker *w)
{
	while (w->later_head != w->later_tail && door_has_room(&w->door))
		door_event(&w->door, &w->later[w->later_head++ & (w->later_max - 1)]);
}

void worker_peers_news(struct worker *w)
{
	say_later(w);
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
