/* SPDX-License-Identifier: MIT */
/*
 * sample.c - copies the used entries out of the counter page.
 */
#include "sample.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Control looks at its clock at least every second; this much later something is wrong. */
#define HANGING_NS (5ull * 1000000000ull)
/* An entry changes its names rarely: this many tries see it whole. */
#define ENTRY_TRIES 100

/* It is no process any more, or one that has ended and waits for its parent to hear of it. */
static bool ended(uint32_t pid)
{
	char path[32], state = 0;
	FILE *f;

	if (pid == 0 || (kill((pid_t)pid, 0) < 0 && errno == ESRCH))
		return true;
	(void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return false; /* it is there, as far as is known */
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	(void)fclose(f); /* only read */
	return state == 'Z' || state == 'X';
}

static enum health health_of(const struct page *pg, uint64_t now_ns)
{
	const struct stats_head *h = &pg->head;
	uint64_t beat = counter(&h->heartbeat_ns);

	if (strcmp(h->state, "stopped") == 0)
		return HEALTH_STOPPED;
	if (!page_locked(pg) && ended(h->pid))
		return HEALTH_DEAD;
	return now_ns > beat && now_ns - beat > HANGING_NS ? HEALTH_HANGING : HEALTH_RUNNING;
}

/*
 * Copies one entry of @bytes whose first two words are `use` and `seq`. False if it is free, or was
 * being rewritten each time.
 */
static bool copy_entry(const struct page *pg, uint64_t off, void *to, size_t bytes)
{
	uint32_t first[2], again[2];

	for (int i = 0; i < ENTRY_TRIES; i++) {
		page_copy(pg, off, to, bytes);
		page_copy(pg, off, again, sizeof(again));
		memcpy(first, to, sizeof(first));
		if (first[0] != STATS_USED)
			return false;
		if (first[1] == again[1] && first[1] % 2 == 0)
			return true;
	}
	return false;
}

/* A growing array of rows; each row is a place, padding, and an entry. */
struct rows {
	uint8_t *mem;
	uint32_t nr, room;
	size_t row_bytes, entry_at, entry_bytes;
};

static int rows_collect(const struct page *pg, uint64_t table, uint32_t table_nr, struct rows *r)
{
	uint64_t end = table + (uint64_t)table_nr * r->entry_bytes, off = table, data_end;
	uint32_t place = 0;

	while ((off = page_data(pg, off, end, &data_end)) < end) {
		uint32_t first = (uint32_t)((off - table) / r->entry_bytes);

		/* An entry may lie across the edge of the data before: not twice. */
		for (place = first > place ? first : place;
		     place < table_nr && table + place * r->entry_bytes < data_end; place++) {
			if (r->nr == r->room) {
				uint32_t room = r->room ? r->room * 2 : 64;
				uint8_t *mem = reallocarray(r->mem, room, r->row_bytes);

				if (!mem)
					return -ENOMEM;
				r->mem = mem;
				r->room = room;
			}
			if (!copy_entry(pg, table + place * r->entry_bytes,
					r->mem + r->nr * r->row_bytes + r->entry_at,
					r->entry_bytes))
				continue;
			memcpy(r->mem + r->nr * r->row_bytes, &place, sizeof(place));
			r->nr++;
		}
		off = data_end;
	}
	return 0;
}

#define ROWS(row)                                                                         \
	{                                                                                 \
		.row_bytes = sizeof(struct row), .entry_at = offsetof(struct row, entry), \
		.entry_bytes = sizeof(((struct row *)NULL)->entry)                        \
	}

static int take_tables(const struct page *pg, struct sample *s)
{
	const struct stats_head *h = &pg->head;
	struct rows channel = ROWS(channel_row), client = ROWS(client_row),
		    socket = ROWS(socket_row);
	int err;

	err = rows_collect(pg, h->channel_off, h->channel_nr, &channel);
	if (err == 0)
		err = rows_collect(pg, h->client_off, h->client_nr, &client);
	if (err == 0)
		err = rows_collect(pg, h->socket_off, h->socket_nr, &socket);
	s->channel = (void *)channel.mem;
	s->channels = channel.nr;
	s->client = (void *)client.mem;
	s->clients = client.nr;
	s->socket = (void *)socket.mem;
	s->sockets = socket.nr;
	for (uint32_t i = 0; i < s->channels; i++) {
		struct stats_channel *c = &s->channel[i].entry;

		c->peer[sizeof(c->peer) - 1] = '\0';
		c->peer_addr[sizeof(c->peer_addr) - 1] = '\0';
		c->state[sizeof(c->state) - 1] = '\0';
		if (counter(&c->draining))
			(void)snprintf(c->state, sizeof(c->state), "draining");
	}
	for (uint32_t i = 0; i < s->clients; i++)
		s->client[i].entry.program[sizeof(s->client[i].entry.program) - 1] = '\0';
	return err;
}

int sample_take(const char *path, struct sample *ret_sample, char ret_why[PAGE_WHY_BYTES])
{
	struct sample s = { .now_ns = 0 };
	struct timespec ts;
	struct page pg;
	int err;

	err = page_open(path, &pg, ret_why);
	if (err < 0)
		return err;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	s.now_ns = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	s.head = pg.head;
	s.health = health_of(&pg, s.now_ns);
	s.worker = calloc(s.head.worker_nr ? s.head.worker_nr : 1, sizeof(*s.worker));
	s.copy = calloc(s.head.copy_nr ? s.head.copy_nr : 1, sizeof(*s.copy));
	if (!s.worker || !s.copy) {
		err = -ENOMEM;
		goto out;
	}
	page_copy(&pg, s.head.worker_off, s.worker, s.head.worker_nr * sizeof(*s.worker));
	page_copy(&pg, s.head.copy_off, s.copy, s.head.copy_nr * sizeof(*s.copy));
	for (uint32_t i = 0; i < s.head.worker_nr; i++)
		s.worker[i].backend[sizeof(s.worker[i].backend) - 1] = '\0';
	err = take_tables(&pg, &s);
out:
	page_close(&pg);
	if (err < 0) {
		sample_free(&s);
		snprintf(ret_why, PAGE_WHY_BYTES, "out of memory");
		return err;
	}
	*ret_sample = s;
	return 0;
}

void sample_free(struct sample *s)
{
	free(s->worker);
	free(s->copy);
	free(s->channel);
	free(s->client);
	free(s->socket);
	*s = (struct sample){ .now_ns = 0 };
}

bool sample_comparable(const struct sample *before, const struct sample *now)
{
	return before->head.start_realtime_ns == now->head.start_realtime_ns &&
	       before->head.pid == now->head.pid && before->head.worker_nr == now->head.worker_nr &&
	       before->head.copy_nr == now->head.copy_nr;
}
