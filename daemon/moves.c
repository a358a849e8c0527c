/* SPDX-License-Identifier: MIT */
/*
 * moves.c - open streams go from one worker to another, step by step.
 */
#include "moves.h"

#include <errno.h>

#include "client.h"
#include "clock.h"
#include "moves_state.h"
#include "shared.h"

#define LEND_MAX_NS 1000000000ull /* for an application to lend: one that is stopped never does */

/* ---- step by step ---- */

static void lend(struct control *ctl, struct move *m)
{
	m->step = STEP_LEND;
	m->asked_ns = clock_monotonic_ns();
	if (!client_lend_ask(m->client, m->from, m->slot))
		move_fail(ctl, m);
}

static struct move *lending(const struct moves *ms, const struct client *c, uint32_t worker,
			    uint32_t slot)
{
	struct move *m = ms->first;

	while (m && (m->step != STEP_LEND || m->client != c || m->from != worker ||
		     m->slot != slot))
		m = m->next;
	return m;
}

void moves_lent(struct control *ctl, struct client *c, uint32_t worker, uint32_t slot, int result,
		uint64_t cookie, uint32_t stream)
{
	struct move *m = lending(&ctl->moves, c, worker, slot);
	struct shared *s = result == 0 ? shared_find(ctl->shared, cookie) : NULL;

	if (m == NULL) {
		if (result == 0)
			client_lend_over(ctl, cookie);
		return;
	}
	if (s == NULL || m->place_gone) {
		m->cookie = s ? cookie : 0;
		move_fail(ctl, m);
		return;
	}
	m->cookie = cookie;
	m->stream = stream;
	s->moving = true;
	m->step = STEP_BEGIN;
	move_post(ctl, m, CMD_MOVE_BEGIN);
}

void moves_client_ends(struct control *ctl, struct client *c)
{
	struct move *m, *next;

	for (m = ctl->moves.first; m; m = next) {
		next = m->next;
		if (m->step == STEP_LEND && m->client == c)
			move_fail(ctl, m);
	}
}

static void found(struct control *ctl, struct move *m, const struct worker_cmd *cmd)
{
	struct client *c = cmd->result == 0 ? port_client(cmd->move.port) : NULL;

	if (c == NULL || c->state != CLIENT_ATTACHED || m->place_gone) {
		move_fail(ctl, m);
		return;
	}
	move_client(m, c, cmd->move.slot);
	lend(ctl, m);
}

static void begun(struct control *ctl, struct move *m, const struct worker_cmd *cmd)
{
	m->going = cmd->result == 0;
	if (!m->going || m->place_gone || m->client->state != CLIENT_ATTACHED) {
		move_fail(ctl, m);
		return;
	}
	m->at = cmd->move.at;
	m->remote_id = cmd->move.remote_id;
	m->tx_bytes = cmd->move.tx_bytes;
	m->rx_bytes = cmd->move.rx_bytes;
	m->step = STEP_ROOM;
	move_post(ctl, m, CMD_MOVE_ROOM);
}

static void roomed(struct control *ctl, struct move *m, const struct worker_cmd *cmd)
{
	if (cmd->result < 0 || m->place_gone) {
		move_fail(ctl, m);
		return;
	}
	m->placed = true;
	m->place = cmd->move.stream;
	m->place_id = cmd->move.id;
	m->step = m->asked ? STEP_OUT : STEP_ANSWER;
	m->asked_ns = clock_monotonic_ns();
	if (m->asked)
		move_post(ctl, m, CMD_MOVE_OUT);
}

/* Of @type, with @id or @number: for what is left of a stream elsewhere. No memory: it stays. */
static void tell(struct control *ctl, uint32_t worker, enum worker_cmd_type type, uint64_t id,
		 uint16_t number)
{
	struct worker_cmd *cmd = command_create(type);

	if (cmd == NULL)
		return;
	cmd->move.id = id;
	cmd->move.number = number;
	workers_post(ctl->workers, worker, cmd);
}

/* It is out, and nowhere else: who has it hears ECONNRESET when it fetches it. */
static void lost(struct control *ctl, struct move *m)
{
	const struct stream_parcel *p = &m->parcel.stream;

	if (p->port_home != 0)
		tell(ctl, p->port_home - 1u, CMD_MOVE_PORT, 0, p->local_port);
	if (m->asked)
		tell(ctl, m->from, CMD_MOVE_FORGET, p->id, 0);
	move_post(ctl, m, CMD_MOVE_OVER);
	move_end(ctl, m, false);
}

static void is_out(struct control *ctl, struct move *m, const struct worker_cmd *cmd)
{
	if (cmd->result < 0) {
		move_fail(ctl, m);
		return;
	}
	move_left(m, cmd->move.left);
	if (m->place_gone) {
		lost(ctl, m);
		return;
	}
	m->step = STEP_IN;
	move_post(ctl, m, CMD_MOVE_IN);
}

static void is_in(struct control *ctl, struct move *m, const struct worker_cmd *cmd)
{
	if (cmd->result < 0) {
		lost(ctl, m);
		return;
	}
	move_post(ctl, m, CMD_MOVE_OVER);
	move_end(ctl, m, true);
}

/* ---- what workers say ---- */

static void picked(struct control *ctl, uint32_t from, const struct worker_cmd *cmd)
{
	uint32_t to = (uint32_t)(uintptr_t)cmd->user, i;

	ctl->moves.picking = false;
	for (i = 0; i < cmd->pick.nr && cmd->result == 0; i++) {
		struct client *c = port_client(cmd->pick.pick[i].port);
		struct move *m = c->state == CLIENT_ATTACHED ? move_create(ctl, false) : NULL;

		if (m == NULL)
			continue;
		m->from = from;
		m->to = to;
		move_client(m, c, cmd->pick.pick[i].slot);
		lend(ctl, m);
	}
}

bool moves_own(const struct worker_cmd *cmd)
{
	return cmd->type >= CMD_MOVE_PICK && cmd->type <= CMD_MOVE_PORT;
}

void moves_back(struct control *ctl, uint32_t worker, const struct worker_cmd *cmd)
{
	struct move *m = cmd->user;

	if (cmd->port) /* as client_command_back */
		port_client(cmd->port)->commands--;
	/* No worker is there any more. */
	if (ctl->workers->nr == 0)
		return;
	if (cmd->type == CMD_MOVE_PICK)
		picked(ctl, worker, cmd);
	else if (m == NULL)
		return;
	else if (cmd->type == CMD_MOVE_FIND)
		found(ctl, m, cmd);
	else if (cmd->type == CMD_MOVE_BEGIN)
		begun(ctl, m, cmd);
	else if (cmd->type == CMD_MOVE_ROOM)
		roomed(ctl, m, cmd);
	else if (cmd->type == CMD_MOVE_OUT)
		is_out(ctl, m, cmd);
	else
		is_in(ctl, m, cmd);
}

static void asked(struct control *ctl, uint32_t worker, const struct worker_event *ev)
{
	struct move *m = move_create(ctl, true);
	struct worker_cmd *cmd;

	if (m) {
		m->at = ev->at;
		m->from = ev->at.lane % ctl->workers->nr;
		m->to = worker;
		m->placed = true;
		m->place = ev->place;
		m->place_id = ev->stream;
		move_post(ctl, m, CMD_MOVE_FIND);
		return;
	}
	/* Out of memory for this, too, the peer waits until the channel dies. */
	cmd = command_create(CMD_MOVE_REFUSE);
	if (cmd == NULL)
		return;
	cmd->move.asked = true;
	cmd->move.stream = ev->place;
	cmd->move.id = ev->stream;
	workers_post(ctl->workers, worker, cmd);
}

static void answered(struct control *ctl, uint32_t worker, const struct worker_event *ev)
{
	struct move *m = ctl->moves.first;

	while (m && (!m->placed || m->to != worker || m->place != ev->place ||
		     m->place_id != ev->stream))
		m = m->next;
	if (m == NULL)
		return;
	m->place_gone |= ev->error < 0;
	if (m->step != STEP_ANSWER)
		return; /* what is under way comes back, and looks */
	if (ev->error == -ECONNREFUSED) {
		move_fail(ctl, m);
		return;
	}
	/* If not well, the peer's end has gone: ours must go, too, to nowhere. */
	m->step = STEP_OUT;
	move_post(ctl, m, CMD_MOVE_OUT);
}

void moves_event(struct control *ctl, uint32_t worker, const struct worker_event *ev)
{
	if (ev->type == EVT_MOVE_ASKED)
		asked(ctl, worker, ev);
	else if (ev->type == EVT_MOVE_ANSWERED)
		answered(ctl, worker, ev);
	else if (ev->type == EVT_MOVE_SETTLED)
		tell(ctl, ev->at.lane % ctl->workers->nr, CMD_MOVE_FORGET, ev->at.id, 0);
	else if (ev->type == EVT_MOVE_PORT)
		tell(ctl, ev->worker, CMD_MOVE_PORT, 0, ev->number);
}

/* ---- from outside ---- */

/* Its end may have gone, and nobody says so: ours goes to nowhere, as without any channel. */
static void answer_give_up(struct control *ctl, struct move *m)
{
	move_post(ctl, m, CMD_MOVE_REFUSE);
	m->place_gone = true;
	m->step = STEP_OUT;
	move_post(ctl, m, CMD_MOVE_OUT);
}

/* Others wait for each of these: a peer, an application that closes what it has lent. A LEND that
 * comes later hears KEEP. */
static void moves_give_up(struct control *ctl, uint64_t now_ns)
{
	uint64_t answer_max_ns = ctl->config->timeout_seconds * 1000000000ull;
	struct move *m, *next;

	for (m = ctl->moves.first; m; m = next) {
		uint64_t waited = now_ns > m->asked_ns ? now_ns - m->asked_ns : 0;

		next = m->next;
		if (m->step == STEP_LEND && waited >= LEND_MAX_NS)
			move_fail(ctl, m);
		else if (m->step == STEP_ANSWER && waited >= answer_max_ns)
			answer_give_up(ctl, m);
	}
}

void moves_look(struct control *ctl, uint64_t now_ns)
{
	struct moves *ms = &ctl->moves;
	uint32_t room, from, to;
	struct worker_cmd *cmd;

	moves_give_up(ctl, now_ns);
	room = MOVES_MAX / 2 - ms->own;
	if (ctl->leaving || ms->picking || room == 0 ||
	    !moves_policy_look(&ms->policy, &ctl->placement, ctl->config->move_busy, now_ns, &from,
			       &to))
		return;
	cmd = command_create(CMD_MOVE_PICK);
	if (cmd == NULL)
		return;
	cmd->pick.nr = room < MOVE_PICK_MAX ? room : MOVE_PICK_MAX;
	cmd->user = (void *)(uintptr_t)to;
	ms->picking = true;
	workers_post(ctl->workers, from, cmd);
}

void moves_fini(struct control *ctl)
{
	while (ctl->moves.first) {
		struct move *m = ctl->moves.first;
		struct shared *s = m->cookie ? shared_find(ctl->shared, m->cookie) : NULL;

		if (s)
			moves_held_destroy(s);
		if (m->client)
			m->client->commands--;
		move_free(&ctl->moves, m);
	}
}
