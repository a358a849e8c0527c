/* SPDX-License-Identifier: MIT */
/*
 * client_left.c - what an application says of its sockets that were left to kernel TCP, shown in
 * the counter page. Once a second, and only if it has changed something: connections cost control
 * nothing.
 *
 * All of it is the application's word (LEFT in ncd/shm_abi.h): a row is copied, its two
 * enumerations are judged, and nothing else depends on what it says.
 */
#include <string.h>

#include "client.h"

/* What row @from of the table says; false: nothing. */
static bool row_read(const struct left_shm *from, struct left_shm *ret_row)
{
	/* Relaxed: LEFT ordered it, or the next look will. */
	uint32_t kind = atomic_load_explicit(&from->kind, memory_order_relaxed);

	if (kind <= LEFT_FREE || kind >= LEFT_KIND_END)
		return false;
	memcpy(ret_row, from, sizeof(*ret_row));
	/* Relaxed: a private copy. */
	atomic_store_explicit(&ret_row->kind, kind, memory_order_relaxed);
	if (ret_row->why >= LEFT_WHY_END)
		ret_row->why = LEFT_OTHER;
	return true;
}

static void row_show(const struct client *c, struct stats_socket *s, const struct left_shm *row)
{
	/* Relaxed, both: control alone writes it; odd: being rewritten. */
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_relaxed) | 1;

	atomic_store_explicit(&s->seq, seq, memory_order_relaxed);
	s->client_pid = (uint32_t)c->pid;
	/* Relaxed: a private copy. */
	s->state = atomic_load_explicit(&row->kind, memory_order_relaxed) == LEFT_LISTEN
			   ? STATS_S_LISTEN
			   : STATS_S_KERNEL;
	s->path = 3;
	s->why = (uint8_t)row->why;
	memcpy(s->local_addr, row->local_addr, sizeof(s->local_addr));
	memcpy(s->peer_addr, row->peer_addr, sizeof(s->peer_addr));
	s->local_port = row->local_port;
	s->peer_port = row->peer_port;
	/* SEQ, writer end: what is above is complete. */
	atomic_store_explicit(&s->seq, seq + 1, memory_order_release);
	stats_show(&s->use);
}

static void row_hide(struct client *c, uint32_t nr)
{
	if (!c->left[nr])
		return;
	stats_left_give(c->ctl->stats, c->left[nr]);
	c->left[nr] = NULL;
	c->left_shown--;
}

static void row_update(struct client *c, uint32_t nr, const struct left_shm *from)
{
	struct left_shm row;

	if (!row_read(from, &row)) {
		row_hide(c, nr);
		return;
	}
	if (!c->left[nr]) {
		c->left[nr] = stats_left_take(c->ctl->stats);
		if (!c->left[nr])
			return; /* the table is full: not shown */
		c->left_shown++;
	}
	row_show(c, c->left[nr], &row);
}

static void client_left_count(struct client *c)
{
	if (c->stats)
		/* Relaxed: a counter. */
		atomic_store_explicit(&c->stats->left, c->left_shown, memory_order_relaxed);
}

void client_left_look(struct client *c)
{
	const struct left_table_shm *table;
	const struct left_shm *row;
	uint32_t changes, top;

	if (c->state != CLIENT_ATTACHED)
		return; /* perhaps without a region */
	table = (void *)(c->segment0.base + c->layout.left_off);
	row = (const void *)(table + 1);
	/* LEFT, looking end. */
	changes = atomic_load_explicit(&table->changes, memory_order_acquire);
	if (changes == c->left_seen)
		return;
	c->left_seen = changes;
	/* Relaxed: LEFT ordered it. A lie shows too little. */
	top = atomic_load_explicit(&table->top, memory_order_relaxed);
	if (top > NCD_LEFT_MAX)
		top = NCD_LEFT_MAX;
	for (uint32_t i = 0; i < top; i++)
		row_update(c, i, &row[i]);
	for (uint32_t i = top; i < c->left_top; i++)
		row_hide(c, i);
	c->left_top = top;
	client_left_count(c);
}

void client_left_hide(struct client *c)
{
	for (uint32_t i = 0; i < c->left_top; i++)
		row_hide(c, i);
	c->left_top = 0;
	client_left_count(c);
}
