/* SPDX-License-Identifier: MIT */
/*
 * stats.c - the counter page: creation, and the tables of which control gives out entries.
 */
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ncd/limits.h"

#include "clock.h"
#include "stats_guard.h"

void stats_path(const char *socket, char out[STATS_PATH_BYTES])
{
	size_t bytes = strlen(socket);

	if (bytes > 5 && strcmp(socket + bytes - 5, ".sock") == 0)
		bytes -= 5;
	(void)snprintf(out, STATS_PATH_BYTES, "%.*s.stats", (int)bytes, socket);
}

/* Next table of @nr entries, on its own cache line; *end moves behind it. */
static uint64_t table_place(uint64_t *end, uint64_t nr, uint64_t entry_bytes)
{
	uint64_t off = (*end + NCD_CACHE_LINE - 1) & ~(uint64_t)(NCD_CACHE_LINE - 1);

	*end = off + nr * entry_bytes;
	return off;
}

static struct stats_head stats_layout(const struct stats_shape *shape)
{
	uint64_t sockets = (uint64_t)shape->workers * shape->streams + shape->listeners +
			   shape->left;
	uint64_t end = sizeof(struct stats_head);
	struct stats_head h = {
		.magic = STATS_MAGIC,
		.version = STATS_VERSION,
		.pid = (uint32_t)getpid(),
		.start_realtime_ns = clock_realtime_ns(),
		.worker_nr = shape->workers,
		.copy_nr = shape->copy_workers,
		.channel_nr = shape->channels,
		.client_nr = shape->clients,
		.socket_nr = (uint32_t)sockets,
		.release = NCD_RELEASE,
	};

	h.worker_off = table_place(&end, h.worker_nr, sizeof(struct stats_worker));
	h.copy_off = table_place(&end, h.copy_nr, sizeof(struct stats_copy));
	h.channel_off = table_place(&end, h.channel_nr, sizeof(struct stats_channel));
	h.client_off = table_place(&end, h.client_nr, sizeof(struct stats_client));
	h.socket_off = table_place(&end, sockets, sizeof(struct stats_socket));
	h.bytes = (end + NCD_PAGE - 1) & ~(uint64_t)(NCD_PAGE - 1);
	return h;
}

/* All of @nr entries are free. -ENOMEM. */
static int left_init(struct stats *s, uint32_t nr)
{
	s->left_free = calloc(nr + 1, sizeof(*s->left_free));
	if (!s->left_free)
		return -ENOMEM;
	while (s->left_free_nr < nr) {
		s->left_free[s->left_free_nr] = nr - 1 - s->left_free_nr;
		s->left_free_nr++;
	}
	return 0;
}

int stats_init(struct stats *s, const char *socket, const struct stats_shape *shape)
{
	struct stats_head head = stats_layout(shape);
	char fresh[STATS_PATH_BYTES + 8];
	void *base;
	int fd, r;

	stats_path(socket, s->path);
	/* A new file under the old name: who maps the old one keeps what it had. */
	(void)snprintf(fresh, sizeof(fresh), "%s.new", s->path);
	if (unlink(fresh) < 0 && errno != ENOENT)
		return -errno;
	fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0644) < 0 || ftruncate(fd, (off_t)head.bytes) < 0) {
		r = -errno;
		goto err_unlink;
	}
	/* All but the sockets now, so that a full file system shows here; they are guarded. */
	r = -posix_fallocate(fd, 0, (off_t)head.socket_off);
	if (r < 0)
		goto err_unlink;
	base = mmap(NULL, head.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		r = -errno;
		goto err_unlink;
	}
	/* Without it readers go by the pid. */
	(void)fcntl(fd, F_OFD_SETLK, &(struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET });
	memcpy(base, &head, sizeof(head));
	r = left_init(s, shape->left);
	if (r == 0 && rename(fresh, s->path) < 0)
		r = -errno;
	if (r < 0) {
		(void)munmap(base, head.bytes);
		goto err_unlink;
	}
	(void)close(fd); /* the mapping stays, and the lock with it */
	stats_guard_set(base, head.bytes);
	s->head = base;
	s->layout = head;
	s->shape = *shape;
	stats_state(s, "running");
	return 0;

err_unlink:
	(void)unlink(fresh);
	(void)close(fd);
	return r;
}

void stats_fini(struct stats *s)
{
	if (s->head) {
		stats_guard_set(NULL, 0);
		(void)munmap(s->head, s->layout.bytes);
	}
	s->head = NULL;
	free(s->left_free);
	s->left_free = NULL;
}

void stats_state(struct stats *s, const char *state)
{
	char text[sizeof(s->head->state)] = "";

	(void)snprintf(text, sizeof(text), "%s", state);
	memcpy(s->head->state, text, sizeof(text));
}

void stats_count(counter64 *counter)
{
	/* Relaxed: a counter, written by control alone. */
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static uint8_t *stats_at(struct stats *s, uint64_t off)
{
	return (uint8_t *)s->head + off;
}

struct stats_worker *stats_worker_entry(struct stats *s, uint32_t worker)
{
	void *table = stats_at(s, s->layout.worker_off);

	return (struct stats_worker *)table + worker;
}

struct stats_copy *stats_copy_entry(struct stats *s, uint32_t copy_worker)
{
	void *table = stats_at(s, s->layout.copy_off);

	return (struct stats_copy *)table + copy_worker;
}

struct stats_socket *stats_worker_sockets(struct stats *s, uint32_t worker)
{
	void *table = stats_at(s, s->layout.socket_off);

	return (struct stats_socket *)table + (uint64_t)worker * s->shape.streams;
}

/* True if an entry may be taken; makes readers of its former life notice. */
static bool entry_take(_Atomic uint32_t *use, _Atomic uint32_t *seq, void *entry, size_t bytes)
{
	uint32_t before;

	/* Relaxed: only control gives entries out and takes them back. */
	if (atomic_load_explicit(use, memory_order_relaxed) != STATS_FREE)
		return false;
	before = atomic_load_explicit(seq, memory_order_relaxed);
	memset(entry, 0, bytes);
	atomic_store_explicit(seq, before + 2, memory_order_relaxed);
	return true;
}

struct stats_channel *stats_channel_take(struct stats *s)
{
	void *table = stats_at(s, s->layout.channel_off);
	struct stats_channel *e = table;
	uint32_t i;

	for (i = 0; i < s->shape.channels; i++, e++)
		if (entry_take(&e->use, &e->seq, e, sizeof(*e)))
			return e;
	return NULL;
}

struct stats_client *stats_client_take(struct stats *s)
{
	void *table = stats_at(s, s->layout.client_off);
	struct stats_client *e = table;
	uint32_t i;

	for (i = 0; i < s->shape.clients; i++, e++)
		if (entry_take(&e->use, &e->seq, e, sizeof(*e)))
			return e;
	return NULL;
}

struct stats_socket *stats_listener_take(struct stats *s)
{
	struct stats_socket *e = stats_worker_sockets(s, s->shape.workers);
	uint32_t i;

	for (i = 0; i < s->shape.listeners; i++, e++)
		if (entry_take(&e->use, &e->seq, e, sizeof(*e)))
			return e;
	return NULL;
}

struct stats_socket *stats_left_take(struct stats *s)
{
	struct stats_socket *first = stats_worker_sockets(s, s->shape.workers) + s->shape.listeners;

	return s->left_free_nr ? &first[s->left_free[--s->left_free_nr]] : NULL;
}

void stats_left_give(struct stats *s, struct stats_socket *entry)
{
	struct stats_socket *first = stats_worker_sockets(s, s->shape.workers) + s->shape.listeners;

	stats_hide(&entry->use);
	s->left_free[s->left_free_nr++] = (uint32_t)(entry - first);
}

void stats_show(_Atomic uint32_t *use)
{
	/* USE, writer end: the reader finds the entry filled. */
	atomic_store_explicit(use, STATS_USED, memory_order_release);
}

void stats_hide(_Atomic uint32_t *use)
{
	/* USE, writer end. */
	atomic_store_explicit(use, STATS_FREE, memory_order_release);
}
