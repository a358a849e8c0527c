/* SPDX-License-Identifier: MIT */
/*
 * peer_conn.c - the life of a connection to or from a peer: made, a worker's, let go.
 */
#include "peer_conn.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel_budget.h"
#include "clock.h"
#include "endpoint.h"

#define LATENCY_PRIORITY       6          /* as interactive traffic has it: tc-prio(8) */
#define LATENCY_LOWAT_BYTES    (16 << 10) /* unsent bytes in the kernel: what decides late */
#define THROUGHPUT_LOWAT_BYTES (512 << 10)
#define KEEPALIVE_PROBES       3
#define BULK_CONGESTION        "cubic" /* queues are what the budget sees to, without timers */

struct peer_conn *conn_create(struct peers *ps, struct peer_entry *entry, int fd)
{
	struct peer_conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL)
		return NULL;
	conn->peers = ps;
	conn->entry = entry;
	conn->fd = fd;
	conn->next = ps->conns;
	conn->at = &ps->conns;
	if (conn->next)
		conn->next->at = &conn->next;
	ps->conns = conn;
	return conn;
}

void conn_free(struct peer_conn *conn)
{
	if (conn->state == CONN_HEARING)
		greeting_ends(conn);
	if (conn->event)
		event_free(conn->event);
	if (conn->fd >= 0)
		(void)close(conn->fd); /* what was under way is sent again on another */
	if (conn->link.stats)
		stats_hide(&conn->link.stats->use);
	command_destroy(conn->drop);
	*conn->at = conn->next;
	if (conn->next)
		conn->next->at = conn->at;
	free(conn);
}

bool conn_await(struct peer_conn *conn, short what, event_callback_fn heard)
{
	const struct timeval limit = { .tv_sec = CONN_TIMEOUT_SECONDS };

	if (conn->event)
		event_free(conn->event);
	conn->event = event_new(conn->peers->base, conn->fd, what, heard, conn);
	return conn->event && event_add(conn->event, &limit) == 0;
}

void conn_fail(struct peer_conn *conn, int error)
{
	struct peer_entry *entry = conn->entry;
	struct place *pl = conn->place;

	conn_free(conn);
	if (pl)
		entry_dial_failed(entry, pl, error);
}

void conn_congestion(const struct config *cfg, int fd, enum stream_class class)
{
	const char *name =
		class == CLASS_LATENCY ? cfg->latency_congestion : cfg->throughput_congestion;

	if (name[0] == '\0')
		name = cfg->congestion;
	if (name[0] == '\0')
		name = class == CLASS_THROUGHPUT ? BULK_CONGESTION : cfg->system_congestion;
	if (name[0] != '\0')
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name));
}

/* Options of a channel; none of them is worth failing for. */
static void conn_options(const struct peer_conn *conn, enum stream_class class)
{
	const struct config *cfg = conn->peers->config;
	const int on = 1, probes = KEEPALIVE_PROBES;
	const int ping_seconds = (int)cfg->ping_seconds;
	const int timeout_ms = (int)cfg->ping_seconds * KEEPALIVE_PROBES * 1000;
	const int priority = class == CLASS_LATENCY ? LATENCY_PRIORITY : 0;
	const int lowat = class == CLASS_LATENCY ? LATENCY_LOWAT_BYTES : THROUGHPUT_LOWAT_BYTES;
	const struct {
		int level, name;
		const int *value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, &on },
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms },
		{ IPPROTO_TCP, TCP_KEEPIDLE, &ping_seconds },
		{ IPPROTO_TCP, TCP_KEEPINTVL, &ping_seconds },
		{ IPPROTO_TCP, TCP_KEEPCNT, &probes },
		{ SOL_SOCKET, SO_KEEPALIVE, &on },
		{ SOL_SOCKET, SO_PRIORITY, &priority },
	};
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		(void)setsockopt(conn->fd, options[i].level, options[i].name, options[i].value,
				 sizeof(int));
	if (class == CLASS_LATENCY)
		channel_receive_bound(conn->fd);
	else
		channel_receive_room(conn->fd);
	conn_congestion(cfg, conn->fd, class);
}

static struct stats_channel *conn_stats(const struct peer_conn *conn)
{
	const struct place *pl = conn->place;
	struct stats_channel *s = stats_channel_take(conn->peers->stats);

	if (s == NULL)
		return NULL;
	memcpy(s->peer, conn->entry->config.name, sizeof(s->peer));
	address_format(&conn->addr, s->peer_addr);
	s->class_ = pl->class;
	s->dialled = pl->dialled;
	s->lane = pl->lane;
	s->index = pl->index;
	s->worker = (uint16_t)(pl->lane % conn->peers->workers->nr);
	(void)snprintf(s->state, sizeof(s->state), "up");
	/* Relaxed: stats_show() orders it. */
	atomic_store_explicit(&s->up_since_ns, clock_monotonic_ns(), memory_order_relaxed);
	return s;
}

/* All of the peer's connections that are up belong to a process that is gone. */
static void conn_drop_others(const struct peer_conn *conn)
{
	struct peer_conn *other, *next;

	for (other = conn->peers->conns; other; other = next) {
		next = other->next;
		if (other == conn || other->entry != conn->entry || other->state != CONN_UP)
			continue;
		other->place = NULL;
		conn_drop(other);
	}
}

void conn_up(struct peer_conn *conn, enum peer_verdict verdict)
{
	struct peers *ps = conn->peers;
	struct peer_entry *entry = conn->entry;
	struct place *pl = conn->place;
	struct worker_cmd *add = command_create(CMD_CHANNEL_ADD);

	pl->user = conn;
	conn->drop = command_create(CMD_CHANNEL_DROP);
	conn->link.stats = conn_stats(conn);
	if (add == NULL || conn->drop == NULL || conn->link.stats == NULL) {
		command_destroy(add);
		conn_fail(conn, -ENOBUFS);
		return;
	}
	if (conn->state == CONN_HEARING)
		greeting_ends(conn);
	conn->state = CONN_UP;
	event_free(conn->event);
	conn->event = NULL;
	conn_options(conn, pl->class);
	if (verdict == PEER_RESTART) {
		conn_drop_others(conn);
		entry_tell(entry, CMD_PEER_RESET, 0);
	}
	conn->link.fd = conn->fd;
	conn->link.peer = entry->index;
	conn->link.class = pl->class;
	conn->link.lane = pl->lane;
	conn->link.index = pl->index;
	conn->link.place = pl;
	/* The peer may be another one than when it was asked for. */
	conn->link.extra = pl->elastic && pl->dialled &&
			   (entry->core.features & WIRE_FEATURE_DRAIN);
	conn->link.carries = ps->config->carry && (entry->core.features & WIRE_FEATURE_CARRY);
	conn->link.moves = ps->config->move_busy > 0 &&
			   (entry->core.features & WIRE_FEATURE_MOVE);
	add->link = &conn->link;
	add->user = conn;
	conn->commands++;
	entry->links++;
	stats_show(&conn->link.stats->use);
	workers_post(ps->workers, pl->lane % ps->workers->nr, add);
	if (conn->link.extra)
		stats_count(&ps->stats->head->channels_grown);
	entry_answer(entry, pl, 0);
	entry_up(entry, conn);
}

void conn_drop(struct peer_conn *conn)
{
	struct worker_cmd *cmd = conn->drop;

	if (conn->state != CONN_UP) {
		if (conn->state != CONN_DEAD)
			conn_free(conn);
		return;
	}
	if (cmd == NULL)
		return;
	conn->drop = NULL;
	cmd->link = &conn->link;
	cmd->user = conn;
	conn->commands++;
	workers_post(conn->peers->workers, conn->link.lane % conn->peers->workers->nr, cmd);
}

void conn_dead(struct peer_conn *conn, const struct worker_event *ev)
{
	struct peer_entry *entry = conn->entry;
	struct place *pl = conn->place;

	assert(conn->state == CONN_UP);
	conn->state = CONN_DEAD;
	conn->place = NULL;
	if (conn->commands == 0)
		conn_free(conn);
	entry_lost(entry, pl, ev);
}

void conn_command_back(struct peer_conn *conn)
{
	struct peer_entry *entry = conn->entry;

	conn->commands--;
	if (conn->commands > 0 || conn->state != CONN_DEAD)
		return;
	conn_free(conn);
	entry_reap(entry);
}
