/* SPDX-License-Identifier: MIT */
/*
 * moves_life.c - a move as such: it is made with all that it needs, posts, and ends.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "client.h"
#include "clock.h"
#include "moves_state.h"
#include "shared.h"

static void made_destroy(struct move *m)
{
	for (uint32_t i = 0; i < MADE_NR; i++)
		command_destroy(m->made[i]);
}

struct move *move_create(struct control *ctl, bool asked)
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

void move_client(struct move *m, struct client *c, uint32_t slot)
{
	m->client = c;
	m->slot = slot;
	c->commands++; /* it stays until we let it go */
}

void move_free(struct moves *ms, struct move *m)
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

/* Another one than the other host's. */
static uint32_t any_number(void)
{
	uint32_t number;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
		number = (uint32_t)clock_monotonic_ns();
	return number;
}

void move_end(struct control *ctl, struct move *m, bool went)
{
	struct shared *s = m->cookie ? shared_find(ctl->shared, m->cookie) : NULL;
	struct client *c = m->client;

	if (s && went) {
		s->worker = m->to;
		s->stream = m->place;
	}
	if (s)
		moves_release(ctl, s);
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

void move_post(struct control *ctl, struct move *m, enum worker_cmd_type type)
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

void move_fail(struct control *ctl, struct move *m)
{
	if (m->placed && !m->place_gone)
		move_post(ctl, m, CMD_MOVE_REFUSE);
	if (m->going)
		move_post(ctl, m, CMD_MOVE_KEEP);
	move_end(ctl, m, false);
}

void move_left(struct move *m, struct moved *left)
{
	m->made[CMD_MOVE_OVER - MADE_FIRST]->move.left = left;
}
