/* SPDX-License-Identifier: MIT */
/*
 * moves.c - open streams go from one worker to another. All commands of a move are made when it
 * begins: later on it must not fail for want of memory.
 */
#include "moves.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "client.h"
#include "clock.h"
#include "parcel.h"
#include "shared.h"

#define LEND_MAX_NS 1000000000ull /* for an application to lend: one that is stopped never does */

#define MADE_FIRST CMD_MOVE_FIND
#define MADE_NR    (CMD_MOVE_OVER - MADE_FIRST + 1)

enum move_step { STEP_FIND, STEP_LEND, STEP_BEGIN, STEP_ROOM, STEP_ANSWER, STEP_OUT, STEP_IN };

struct move {
	struct move *next;
	enum move_step step;
	bool asked;      /* by a peer */
	bool going;      /* BEGIN was well */
	bool placed;     /* there is a place: `place` names it */
	bool place_gone; /* there is not any more */
	struct client *client; /* NULL: not known yet */
	uint32_t from, to;     /* workers */
	uint32_t slot;         /* at `from` */
	uint64_t asked_ns;     /* when the application, or the peer, was asked */
	uint64_t cookie;       /* 0: it is not lent yet */
	uint32_t stream, place; /* indices there */
	uint64_t place_id, remote_id;
	struct move_at at;
	uint32_t tx_bytes, rx_bytes;
	struct parcel parcel;
	struct worker_cmd *made[MADE_NR];
};

/* ---- a move as such ---- */

static void made_destroy(struct move *m)
{
	for (uint32_t i = 0; i < MADE_NR; i++)
		command_destroy(m->made[i]);
}

static struct move *move_create(struct control *ctl, bool asked)
{
	struct moves *ms = &ctl->moves;
	struct move *m;

	if (ms->nr == MOVES_MAX || (!asked && ms->own == MOVES_MAX / 2))
		return NULL;
	m = calloc(1, sizeof(*m));
	for (uint32_t i = 0; m && i < MADE_NR; i++) {
		m->made[i] = command_create((enum worker_cmd_type)(MADE_FIRST + i));
		if (m->made[i] == NULL) {
			made_destroy(m);
			free(m);
			m = NULL;
		}
	}
	if (m == NULL)
		return NULL;
	m->asked = asked;
	ms->nr++;
	ms->own += !asked;
	m->next = ms->first;
	ms->first = m;
	return m;
}

static void move_client(struct move *m, struct client *c, uint32_t slot)
{
	m->client = c;
	m->slot = slot;
	c->commands++; /* it stays until we let it go */
}

static void move_free(struct moves *ms, struct move *m)
{
	struct move **at = &ms->first;

	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
	ms->nr--;
	ms->own -= !m->asked;
	made_destroy(m);
	free(m);
}

/* What has waited for the stream goes to where it is now. */
static void release_held(struct control *ctl, struct shared *s)
{
	struct worker_cmd *cmd = s->held, *next;
	uint64_t cookie = s->cookie;

	s->held = NULL;
	s->moving = false;
	for (; cmd; cmd = next) {
		struct client *c = port_client(cmd->port);

		next = cmd->next;
		c->commands--;
		moves_post(ctl, s, c, cmd);
	}
	s = shared_find(ctl->shared, cookie);
	if (s)
		shared_moved(ctl->shared, s);
}

/* Another one than the other host's. */
static uint32_t any_number(void)
{
	uint32_t number;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
		number = (uint32_t)clock_monotonic_ns();
	return number;
}

/* It is over; whether it @went is known. */
static void move_end(struct control *ctl, struct move *m, bool went)
{
	struct shared *s = m->cookie ? shared_find(ctl->shared, m->cookie) : NULL;
	struct client *c = m->client;

	if (s && went) {
		s->worker = m->to;
		s->stream = m->place;
	}
	if (s)
		release_held(ctl, s);
	if (m->cookie && !went)
		client_lend_over(ctl, m->cookie);
	if (!m->asked)
		moves_policy_told(&ctl->moves.policy, m->from, went, clock_monotonic_ns(),
				  any_number());
	move_free(&ctl->moves, m);
	if (c) {
		c->commands--;
		client_reap(c);
	}
}

static void post(struct control *ctl, struct move *m, enum worker_cmd_type type)
{
	struct worker_cmd *cmd = m->made[type - MADE_FIRST];
	bool place = type == CMD_MOVE_ROOM || type == CMD_MOVE_REFUSE || type == CMD_MOVE_IN;
	struct moved *left = cmd->move.left;

	m->made[type - MADE_FIRST] = NULL;
	cmd->move.asked = m->asked;
	cmd->move.cookie = m->cookie;
	cmd->move.stream = place ? m->place : m->stream;
	cmd->move.id = m->place_id;
	cmd->move.at = m->at;
	cmd->move.remote_id = m->remote_id;
	cmd->move.tx_bytes = m->tx_bytes;
	cmd->move.rx_bytes = m->rx_bytes;
	cmd->move.parcel = &m->parcel;
	cmd->move.left = left;
	/* The others are not waited for. */
	if (type != CMD_MOVE_KEEP && type != CMD_MOVE_REFUSE && type != CMD_MOVE_OVER)
		cmd->user = m;
	if (type == CMD_MOVE_ROOM)
		client_post(m->client, m->to, cmd);
	else
		workers_post(ctl->workers, place ? m->to : m->from, cmd);
}

/* Nothing has changed yet, and nothing will. */
static void fail(struct control *ctl, struct move *m)
{
	if (m->placed && !m->place_gone)
		post(ctl, m, CMD_MOVE_REFUSE);
	if (m->going)
		post(ctl, m, CMD_MOVE_KEEP);
	move_end(ctl, m, false);
}

/* ---- step by step ---- */

static void lend(struct control *ctl, struct move *m)
{
	m->step = STEP_LEND;
	m->asked_ns = clock_monotonic_ns();
	if (!client_lend_ask(m->client, m->from, m->slot))
		fail(ctl, m);
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
		fail(ctl, m);
		return;
	}
	m->cookie = cookie;
	m->stream = stream;
	s->moving = true;
	m->step = STEP_BEGIN;
	post(ctl, m, CMD_MOVE_BEGIN);
}

void moves_client_ends(struct control *ctl, struct client *c)
{
	struct move *m, *next;

	for (m = ctl->moves.first; m; m = next) {
		next = m->next;
		if (m->step == STEP_LEND && m->client == c)
			fail(ctl, m);
	}
}

static void found(struct control *ctl, struct move *m, const struct worker_cmd *cmd)
{
	struct client *c = cmd->result == 0 ? port_client(cmd->move.port) : NULL;

	if (c == NULL || c->state != CLIENT_ATTACHED || m->place_gone) {
		fail(ctl, m);
		return;
	}
	move_client(m, c, cmd->move.slot);
	lend(ctl, m);
}

static void begun(struct control *ctl, struct move *m, const struct worker_cmd *cmd)
{
	m->going = cmd->result == 0;
	if (!m->going || m->place_gone || m->client->state != CLIENT_ATTACHED) {
		fail(ctl, m);
		return;
	}
	m->at = cmd->move.at;
	m->remote_id = cmd->move.remote_id;
	m->tx_bytes = cmd->move.tx_bytes;
	m->rx_bytes = cmd->move.rx_bytes;
	m->step = STEP_ROOM;
	post(ctl, m, CMD_MOVE_ROOM);
}

static void roomed(struct control *ctl, struct move *m, const struct worker_cmd *cmd)
{
	if (cmd->result < 0 || m->place_gone) {
		fail(ctl, m);
		return;
	}
	m->placed = true;
	m->place = cmd->move.stream;
	m->place_id = cmd->move.id;
	m->step = m->asked ? STEP_OUT : STEP_ANSWER;
	m->asked_ns = clock_monotonic_ns();
	if (m->asked)
		post(ctl, m, CMD_MOVE_OUT);
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
	post(ctl, m, CMD_MOVE_OVER);
	move_end(ctl, m, false);
}

static void is_out(struct control *ctl, struct move *m, const struct worker_cmd *cmd)
{
	if (cmd->result < 0) {
		fail(ctl, m);
		return;
	}
	m->made[CMD_MOVE_OVER - MADE_FIRST]->move.left = cmd->move.left;
	if (m->place_gone) {
		lost(ctl, m);
		return;
	}
	m->step = STEP_IN;
	post(ctl, m, CMD_MOVE_IN);
}

static void is_in(struct control *ctl, struct move *m, const struct worker_cmd *cmd)
{
	if (cmd->result < 0) {
		lost(ctl, m);
		return;
	}
	post(ctl, m, CMD_MOVE_OVER);
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
		post(ctl, m, CMD_MOVE_FIND);
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
		fail(ctl, m);
		return;
	}
	/* If not well, the peer's end has gone: ours must go, too, to nowhere. */
	m->step = STEP_OUT;
	post(ctl, m, CMD_MOVE_OUT);
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
	post(ctl, m, CMD_MOVE_REFUSE);
	m->place_gone = true;
	m->step = STEP_OUT;
	post(ctl, m, CMD_MOVE_OUT);
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
			fail(ctl, m);
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

void moves_post(struct control *ctl, struct shared *s, struct client *c, struct worker_cmd *cmd)
{
	struct worker_cmd **at = &s->held;

	(void)ctl;
	cmd->share.cookie = s->cookie;
	cmd->share.stream = s->stream;
	if (!s->moving) {
		client_post(c, s->worker, cmd);
		return;
	}
	cmd->port = c->port[s->worker];
	c->commands++;
	cmd->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = cmd;
}

/* Those that have waited find no worker any more. */
static void held_destroy(struct shared *s)
{
	while (s->held) {
		struct worker_cmd *cmd = s->held;

		s->held = cmd->next;
		port_client(cmd->port)->commands--;
		free(cmd->user);
		command_destroy(cmd);
	}
}

void moves_fini(struct control *ctl)
{
	while (ctl->moves.first) {
		struct move *m = ctl->moves.first;
		struct shared *s = m->cookie ? shared_find(ctl->shared, m->cookie) : NULL;

		if (s)
			held_destroy(s);
		if (m->client)
			m->client->commands--;
		move_free(&ctl->moves, m);
	}
}
