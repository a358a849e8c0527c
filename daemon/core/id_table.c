/* SPDX-License-Identifier: MIT */
/*
 * id_table.c - linear probing over (peer, lane, remote id).
 */
#include <stddef.h>

#include "id_table.h"
#include "stream.h"

static uint32_t home(const struct id_table *t, uint32_t peer, uint16_t lane, uint64_t remote_id)
{
	uint64_t h = (remote_id ^ (uint64_t)peer << 56 ^ (uint64_t)lane << 48) *
		     0x9e3779b97f4a7c15ull;

	return (uint32_t)(h >> 32) & t->mask;
}

struct stream *id_table_find(const struct id_table *t, uint32_t peer, uint16_t lane,
			     uint64_t remote_id)
{
	uint32_t i = home(t, peer, (uint16_t)(lane + 1), remote_id);

	for (; t->place[i] != NULL; i = (i + 1) & t->mask) {
		const struct stream *s = t->place[i];

		if (s->remote_id == remote_id && s->peer == peer && s->lane == lane + 1)
			return t->place[i];
	}
	return NULL;
}

void id_table_insert(struct id_table *t, struct stream *s)
{
	uint32_t i = home(t, s->peer, s->lane, s->remote_id);

	while (t->place[i] != NULL)
		i = (i + 1) & t->mask;
	t->place[i] = s;
}

void id_table_remove(struct id_table *t, const struct stream *s)
{
	uint32_t hole = home(t, s->peer, s->lane, s->remote_id);
	uint32_t i;

	while (t->place[hole] != s) {
		if (t->place[hole] == NULL)
			return;
		hole = (hole + 1) & t->mask;
	}
	/* What stands behind moves into the hole, unless its home lies between the two. */
	for (i = (hole + 1) & t->mask; t->place[i] != NULL; i = (i + 1) & t->mask) {
		const struct stream *o = t->place[i];
		uint32_t h = home(t, o->peer, o->lane, o->remote_id);

		if (((i - h) & t->mask) >= ((i - hole) & t->mask)) {
			t->place[hole] = t->place[i];
			hole = i;
		}
	}
	t->place[hole] = NULL;
}
