/* SPDX-License-Identifier: MIT */
/*
 * peers.c - the peers: who they are, when to dial them, and what the workers say of them.
 */
#include "peers.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "endpoint.h"
#include "peer_conn.h"

#define DIALS_A_TURN     64 /* the rest in the next turn of the event loop */
#define DIAL_WAIT_MIN_NS 5000000ull

/* FNV-1a of the first address: both hosts order the two identities alike. */
static uint64_t host_identity(const struct address *a)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	uint32_t i;

	for (i = 0; i < sizeof(a->byte); i++)
		hash = (hash ^ a->byte[i]) * 0x100000001b3ull;
	return hash ? hash : 1;
}

void peers_no_memory(struct peers *ps)
{
	log_limited(ps->log, &ps->limit_accept, LOG_LEVEL_ERROR, "out of memory");
}

void peers_dial_soon(struct peers *ps)
{
	const struct timeval now = { 0 };

	if (ps->dial_event && !ps->leaving)
		(void)event_add(ps->dial_event, &now); /* fails only for lack of memory at start */
}

void peers_answer(struct peers *ps, uint32_t worker, uint32_t index, int error)
{
	struct worker_cmd *cmd = command_create(CMD_PEER_GROWN);

	if (cmd == NULL) {
		peers_no_memory(ps); /* it waits for ever, and goes on with what it has */
		return;
	}
	cmd->peer.index = index;
	cmd->peer.error = error;
	workers_post(ps->workers, worker, cmd);
}

void peers_dial(struct peers *ps)
{
	uint64_t now_ns = clock_monotonic_ns(), next_ns = UINT64_MAX, soonest_ns = UINT64_MAX;
	struct timeval wait;
	struct place *pl;
	uint32_t i, dials = 0;

	if (ps->leaving)
		return;
	for (i = 1; i < NCD_PEERS_MAX; i++) {
		struct peer_entry *entry = ps->entry[i];

		if (entry == NULL || entry->removed)
			continue;
		next_ns = now_ns;
		while (dials < DIALS_A_TURN) {
			pl = peer_next_dial(&entry->core, now_ns, &next_ns);
			if (pl == NULL)
				break;
			conn_dial(entry, pl);
			dials++;
		}
		if (next_ns < soonest_ns)
			soonest_ns = next_ns;
	}
	if (soonest_ns == UINT64_MAX)
		return;
	/* libevent's clock is coarse: without a least wait it would come back too early, and spin.
	 */
	soonest_ns = soonest_ns > now_ns ? soonest_ns - now_ns + DIAL_WAIT_MIN_NS : 0;
	wait.tv_sec = (time_t)(soonest_ns / 1000000000ull);
	wait.tv_usec = (suseconds_t)(soonest_ns % 1000000000ull / 1000);
	(void)event_add(ps->dial_event, &wait); /* fails only for lack of memory at start */
}

static void peers_dial_due(int fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	peers_dial(ctx);
}

/* ---- who the peers are ---- */

static const struct config_peer *config_peer_find(const struct config *cfg, const char *name)
{
	uint32_t i;

	for (i = 1; i < cfg->peer_nr; i++)
		if (strcmp(cfg->peer[i].name, name) == 0)
			return &cfg->peer[i];
	return NULL;
}

static bool entry_exists(const struct peers *ps, const char *name)
{
	uint32_t i;

	for (i = 1; i < NCD_PEERS_MAX; i++)
		if (ps->entry[i] && !ps->entry[i]->removed &&
		    strcmp(ps->entry[i]->config.name, name) == 0)
			return true;
	return false;
}

static int peers_add_new(struct peers *ps)
{
	uint32_t i;
	int r = 0;

	for (i = 1; i < ps->config->peer_nr && r == 0; i++)
		if (!entry_exists(ps, ps->config->peer[i].name))
			r = entry_create(ps, &ps->config->peer[i]);
	return r;
}

void peers_reload(struct peers *ps)
{
	uint32_t i;
	int r;

	for (i = 1; i < NCD_PEERS_MAX; i++) {
		struct peer_entry *entry = ps->entry[i];
		const struct config_peer *config;

		if (entry == NULL || entry->removed)
			continue;
		config = config_peer_find(ps->config, entry->config.name);
		if (config == NULL) {
			entry_remove(entry);
			continue;
		}
		if (memcmp(&config->addresses, &entry->config.addresses,
			   sizeof(config->addresses)) != 0) {
			entry->config = *config;
			entry->logged = 0;
			entry_tell(entry, CMD_PEER_SET, 0);
		}
		entry->config = *config;
	}
	r = peers_add_new(ps);
	if (r < 0)
		log_line(ps->log, LOG_LEVEL_ERROR, "not all peers of %s could be taken over: %s",
			 ps->config->file, strerror(-r));
	peers_dial(ps);
}

int peers_init(struct peers *ps)
{
	struct worker_cmd self = { .type = CMD_PEER_SET };
	const struct config_addresses *ours = &ps->config->addresses;
	int r;

	ps->host_id = host_identity(&ours->address[0]);
	self.peer.index = 0;
	self.peer.addr_nr = ours->nr;
	memcpy(self.peer.addr, ours->address, sizeof(self.peer.addr));
	r = workers_post_all(ps->workers, &self);
	if (r < 0)
		return r;
	ps->dial_event = event_new(ps->base, -1, 0, peers_dial_due, ps);
	if (ps->dial_event == NULL)
		return -ENOMEM;
	return peers_add_new(ps);
}

void peers_leave(struct peers *ps)
{
	struct peer_conn *conn, *next;

	ps->leaving = true;
	(void)event_del(ps->dial_event); /* cannot fail for an event of ours */
	for (conn = ps->conns; conn; conn = next) {
		next = conn->next;
		if (conn->state != CONN_CONNECTING && conn->state != CONN_ASKED)
			continue;
		peer_failed(&conn->entry->core, conn->place, clock_monotonic_ns());
		conn_free(conn);
	}
}

void peers_fini(struct peers *ps)
{
	uint32_t i;

	while (ps->conns)
		conn_free(ps->conns);
	for (i = 0; i < NCD_PEERS_MAX; i++) {
		free(ps->entry[i]);
		ps->entry[i] = NULL;
	}
	for (i = 0; i < ps->listener_nr; i++) {
		if (ps->listener[i].event)
			event_free(ps->listener[i].event);
		(void)close(ps->listener[i].fd); /* nothing to flush */
	}
	ps->listener_nr = 0;
	if (ps->dial_event)
		event_free(ps->dial_event);
	if (ps->resume_event)
		event_free(ps->resume_event);
	ps->dial_event = NULL;
	ps->resume_event = NULL;
}

/* ---- what the workers say ---- */

static struct peer_conn *conn_of(struct link *link)
{
	void *conn = (char *)link - offsetof(struct peer_conn, link);

	return conn;
}

static void peers_left(struct peers *ps, uint32_t index)
{
	struct peer_entry *entry = index < NCD_PEERS_MAX ? ps->entry[index] : NULL;

	/* Each worker tells; and one may tell late, of a process that another has followed. */
	if (entry == NULL || entry->left || entry->links == 0)
		return;
	entry->left = true;
	log_line(ps->log, LOG_LEVEL_DEBUG, "peer %s is shutting down", entry->config.name);
}

/* A worker's channels to a peer are too few for what it has. */
static void peers_grow(struct peers *ps, uint32_t worker, uint32_t index)
{
	struct peer_entry *entry = index < NCD_PEERS_MAX ? ps->entry[index] : NULL;
	struct place *pl = NULL;

	if (entry && !entry->removed && !ps->leaving)
		pl = peer_grow(&entry->core, worker, clock_monotonic_ns());
	if (pl == NULL) {
		peers_answer(ps, worker, index, -ENOSPC);
		return;
	}
	pl->asked = true;
	peers_dial_soon(ps);
}

void peers_event(struct peers *ps, uint32_t worker, const struct worker_event *ev)
{
	switch (ev->type) {
	case EVT_CHANNEL_DEAD:
		conn_dead(conn_of(ev->link), ev);
		break;
	case EVT_PEER_GROWS:
		peers_grow(ps, worker, ev->peer);
		break;
	case EVT_PEER_LEFT:
		peers_left(ps, ev->peer);
		break;
	case EVT_DONE:
		if (ev->cmd->link)
			conn_command_back(conn_of(ev->cmd->link));
		break;
	case EVT_CLIENT_BAD:
	case EVT_CLIENT_GONE:
	case EVT_SEGMENT_WANTED:
	case EVT_JOINT_WANTED:
	case EVT_JOINT_OVER:
	case EVT_MOVE_ASKED:
	case EVT_MOVE_ANSWERED:
	case EVT_MOVE_SETTLED:
	case EVT_MOVE_PORT:
		/* Not a peer's. */
		break;
	}
}

void peers_count(const struct peers *ps, uint32_t *ret_nr, uint32_t *ret_up)
{
	uint32_t i, nr = 0, up = 0;

	for (i = 1; i < NCD_PEERS_MAX; i++) {
		if (ps->entry[i] == NULL || ps->entry[i]->removed)
			continue;
		nr++;
		up += ps->entry[i]->links > 0;
	}
	*ret_nr = nr;
	*ret_up = up;
}

void peers_dump(const struct peers *ps)
{
	char text[ADDRESS_TEXT_BYTES];
	uint32_t i;

	for (i = 1; i < NCD_PEERS_MAX; i++) {
		const struct peer_entry *entry = ps->entry[i];

		if (entry == NULL)
			continue;
		log_line(ps->log, LOG_LEVEL_INFO,
			 "dump: peer %s at %s: %" PRIu32 " channels, %" PRIu64
			 " dials, identity %016" PRIx64 " incarnation %" PRIu64 "%s%s%s",
			 entry->config.name,
			 address_format(&entry->config.addresses.address[0], text), entry->links,
			 entry->core.attempts, entry->core.host_id, entry->core.incarnation,
			 entry->left ? ", left" : "", entry->removed ? ", removed" : "",
			 entry->told ? ", unreachable" : "");
	}
}
