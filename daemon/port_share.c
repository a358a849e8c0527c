/* SPDX-License-Identifier: MIT */
/*
 * port_share.c - streams whose descriptor other processes have too: a stream goes to the process
 * that uses it (port_move.c), and lives until nobody has the descriptor any more.
 *
 *   SHARE        cookie set: death and CLOSE_LET_GO leave the stream alive, without a slot
 *   TAKE         to a slot and rings of another port
 *   SHARE_END    nobody has the descriptor: closed, as soon as no slot has it
 *
 * A lent one (FLOW_LENT) is shared as far as its slots go, so that it may go to another worker; it
 * ends with its process all the same.
 *
 *   LENT_END     shared for good; or `back`: not at all, as after a TAKE that says so
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "port_calls.h"

#define TAKE_WAIT_NS 1000000000ull /* for memory, for a transport: then EAGAIN */

int port_share(struct worker *w, struct port *p, struct worker_cmd *cmd)
{
	uint32_t slot = cmd->share.slot;
	int ret = -EBADF;
	struct slot *sl;

	if (p->removed || slot >= p->layout.slots || p->slot[slot].use != SLOT_USE_LIVE)
		goto out;
	sl = &p->slot[slot];
	/* One that is shared already is so under its first name. */
	ret = sl->flow->cookie && sl->flow->cookie != cmd->share.cookie ? -EEXIST : 0;
	if (cmd->share.lent && sl->flow->cookie && !(sl->flow->flags & FLOW_LENT))
		ret = -EEXIST;
	if (ret == 0 && cmd->share.end < 0) {
		cmd->share.end = sl->pollfd ? fcntl(sl->pollfd - 1, F_DUPFD_CLOEXEC, 0) : -1;
		ret = cmd->share.end < 0 ? -EMFILE : 0;
	}
	if (ret < 0)
		goto out;
	sl->flow->cookie = cmd->share.cookie;
	if (cmd->share.lent)
		sl->flow->flags |= FLOW_LENT;
	else
		sl->flow->flags &= ~FLOW_LENT;
	cmd->share.stream = stream_index(sl->flow->stream);
	if (!sl->pollfd && cmd->share.fd >= 0) {
		/* LEND is not answered: who waits at it by now hears what is true. */
		if (cmd->share.lent)
			return port_pollfd(p, slot, cmd->share.fd);
		sl->pollfd = cmd->share.fd + 1;
		return 0;
	}
out:
	(void)w;
	if (cmd->share.fd >= 0)
		close(cmd->share.fd);
	return ret;
}

/* The stream that @cmd names, or NULL: it is over. */
static struct flow *flow_named(struct worker *w, const struct worker_cmd *cmd)
{
	struct flow *f;

	if (cmd->share.stream >= w->cfg.engine.streams)
		return NULL;
	f = &w->flow[cmd->share.stream];
	return f->stream && f->cookie == cmd->share.cookie && !(f->flags & FLOW_RELEASED) ? f
											   : NULL;
}

void flow_share_end(struct worker *w, const struct worker_cmd *cmd)
{
	struct flow *f = flow_named(w, cmd);

	if (!f)
		return;
	f->flags |= FLOW_HUNG;
	/* Else its holder is about to close it, or dies. */
	if (!f->shm)
		flow_release(w, f, false, false);
}

/* @f is not shared any more. */
static void flow_unshare(struct flow *f)
{
	f->cookie = 0;
	f->flags &= ~FLOW_LENT;
}

void flow_lent_end(struct worker *w, const struct worker_cmd *cmd)
{
	struct flow *f = flow_named(w, cmd);

	if (!f || !(f->flags & FLOW_LENT))
		return; /* shared, or not, since */
	if (cmd->share.back)
		f->cookie = 0;
	f->flags &= ~FLOW_LENT;
}

/* A slot of @p for @f, which may have to go there for it. 0, why not, or -EAGAIN: not yet. */
static int take_slot(struct worker *w, struct flow *f, struct port *p, uint32_t *ret_slot)
{
	/* From another worker of the same process: all is here but the slot. */
	if (f->flags & FLOW_LENT && f->port == p && !f->shm) {
		*ret_slot = flow_kept_take(f);
		f->rx_base = stream_rx_base(f->stream); /* as of the bytes that are shown with it */
		return *ret_slot == SLOT_NONE ? -ENOBUFS : 0;
	}
	return flow_move(w, f, p, ret_slot);
}

/* 0, why not, or -EAGAIN: not yet. */
static int take_try(struct worker *w, struct worker_cmd *cmd)
{
	struct flow *f = flow_named(w, cmd);
	struct port *p = cmd->port;
	uint32_t slot;
	int ret;

	if (p->removed || p->bad)
		return -ECONNRESET;
	if (!f)
		return -ENOENT;
	/* It has not gone. */
	if (cmd->share.back && f->port == p && f->shm) {
		flow_unshare(f);
		cmd->share.slot = f->slot;
		return 0;
	}
	/* It connects. */
	if (!(f->flags & (FLOW_OPEN | FLOW_ENDED | FLOW_DONE)))
		return -EAGAIN;
	ret = take_slot(w, f, p, &slot);
	if (ret < 0)
		return ret;
	if (cmd->share.back)
		flow_unshare(f);
	flow_show(w, f, slot, UINT32_MAX);
	flow_touch(w, f);
	p->slot[slot].pollfd = cmd->share.fd + 1;
	cmd->share.fd = -1;
	cmd->share.slot = slot;
	return 0;
}

static void take_end(struct worker_cmd *cmd)
{
	if (cmd->type != CMD_TAKE)
		return;
	if (cmd->share.fd >= 0)
		close(cmd->share.fd);
	cmd->share.fd = -1;
}

static int wanted_try(struct worker *w, struct worker_cmd *cmd)
{
	return cmd->type == CMD_TAKE ? take_try(w, cmd) : place_room(w, cmd);
}

int port_take(struct worker *w, struct worker_cmd *cmd)
{
	int ret = wanted_try(w, cmd);

	if (ret == -EAGAIN && w->takes_nr < TAKES_MAX) {
		cmd->until_ns = w->now_ns + TAKE_WAIT_NS;
		cmd->next = NULL;
		*w->takes_end = cmd;
		w->takes_end = &cmd->next;
		w->takes_nr++;
		return -EINPROGRESS;
	}
	take_end(cmd);
	return ret;
}

/* Answers the command at *@at, and takes it out of the list. */
static void take_answer(struct worker *w, struct worker_cmd **at, int result)
{
	struct worker_cmd *cmd = *at;
	struct worker_event done = { .type = EVT_DONE, .cmd = cmd };

	*at = cmd->next;
	if (w->takes_end == &cmd->next)
		w->takes_end = at;
	w->takes_nr--;
	take_end(cmd);
	cmd->result = result;
	door_event(&w->door, &done);
}

uint32_t ports_take(struct worker *w)
{
	struct worker_cmd **at = &w->takes;
	uint32_t did = 0;

	while (*at) {
		int ret = wanted_try(w, *at);

		if (ret == -EAGAIN && w->now_ns < (*at)->until_ns) {
			at = &(*at)->next;
			continue;
		}
		take_answer(w, at, ret);
		did++;
	}
	return did;
}

void port_take_cancel(struct worker *w, struct port *p)
{
	struct worker_cmd **at = &w->takes;

	while (*at) {
		if ((*at)->port == p)
			take_answer(w, at, -ECONNRESET);
		else
			at = &(*at)->next;
	}
}
