/* SPDX-License-Identifier: MIT */
/*
 * peers.c - the peers: who they are, when to dial them, and what the workers must know of them.
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

/* Out of memory for a command: the workers know less than they could, said once in a while. */
static void peers_no_memory(struct peers *ps)
{
	log_limited(ps->log, &ps->limit_accept, LOG_LEVEL_ERROR, "out of memory");
}

void entry_tell(struct peer_entry *entry, enum worker_cmd_type type, int error)
{
	struct worker_cmd cmd = { .type = type };

	cmd.peer.index = entry->index;
	cmd.peer.error = error;
	cmd.peer.addr_nr = entry->config.addresses.nr;
	memcpy(cmd.peer.addr, entry->config.addresses.address, sizeof(cmd.peer.addr));
	if (workers_post_all(entry->peers->workers, &cmd) < 0)
		peers_no_memory(entry->peers);
}

static void entry_tell_error(struct peer_entry *entry, int error)
{
	if (entry->told == error)
		return;
	entry->told = error;
	entry_tell(entry, CMD_PEER_UNREACHABLE, error);
}

void entry_reap(struct peer_entry *entry)
{
	const struct peer_conn *conn;

	if (!entry->removed)
		return;
	for (conn = entry->peers->conns; conn; conn = conn->next)
		if (conn->entry == entry)
			return;
	entry->peers->entry[entry->index] = NULL;
	free(entry);
}

static void peers_dial_soon(struct peers *ps)
{
	const struct timeval now = { 0 };

	if (ps->dial_event && !ps->leaving)
		(void)event_add(ps->dial_event, &now); /* fails only for lack of memory at start */
}

/*
 * What a dial's failure means to nc_connect(). A host that hangs up during the hello lives, and its
 * ncd was just ending. ENETUNREACH is kept for a host that is no peer at all.
 */
static int error_of_connect(int error)
{
	if (error == -ECONNRESET || error == -EPIPE)
		return -ECONNREFUSED;
	return error == -ECONNREFUSED || error == -ETIMEDOUT ? error : -EHOSTUNREACH;
}

static void worker_answer(struct peers *ps, uint32_t worker, uint32_t index, int error)
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

void entry_answer(struct peer_entry *entry, struct place *pl, int error)
{
	struct peers *ps = entry->peers;

	if (!pl->asked)
		return;
	pl->asked = false;
	worker_answer(ps, pl->lane % ps->workers->nr, entry->index, error);
}

void entry_dial_failed(struct peer_entry *entry, struct place *pl, int error)
{
	struct peers *ps = entry->peers;
	char where[ENDPOINT_TEXT_BYTES];
	const struct address *a;

	entry_answer(entry, pl, error ? error : -EAGAIN);
	peer_failed(&entry->core, pl, clock_monotonic_ns());
	if (error == 0 || entry->removed) {
		peers_dial_soon(ps);
		return;
	}
	stats_count(&ps->stats->head->dial_failures);
	a = &entry->config.addresses.address[entry->cursor % entry->config.addresses.nr];
	if (entry->links == 0) {
		if (entry->logged != error && entry->logged > -1000)
			log_limited(ps->log, &entry->limit, LOG_LEVEL_NOTICE,
				    "peer %s: cannot reach %s: %s; trying again",
				    entry->config.name,
				    endpoint_format(a, (uint16_t)entry->config.port, where),
				    strerror(-error));
		if (entry->logged > -1000)
			entry->logged = error;
		entry_tell_error(entry, error_of_connect(error));
	}
	entry->cursor++;
	peers_dial_soon(ps);
}

void entry_full(struct peer_entry *entry, struct place *pl)
{
	stats_count(&entry->peers->stats->head->channels_refused);
	entry_answer(entry, pl, -ENOSPC);
	peer_full(&entry->core, pl, clock_monotonic_ns());
	peers_dial_soon(entry->peers);
}

void entry_up(struct peer_entry *entry, const struct peer_conn *conn)
{
	char where[ENDPOINT_TEXT_BYTES];

	entry_tell_error(entry, 0);
	entry->logged = 0;
	entry->left = false;
	if (!entry->up)
		log_limited(entry->peers->log, &entry->limit, LOG_LEVEL_INFO,
			    "peer %s is up (%s %s)", entry->config.name,
			    conn->place->dialled ? "dialled" : "accepted from",
			    endpoint_format(&conn->addr, conn->port, where));
	entry->up = true;
	peers_dial_soon(entry->peers);
}

void entry_lost(struct peer_entry *entry, struct place *pl, const struct worker_event *ev)
{
	struct peers *ps = entry->peers;

	entry->links--;
	if (pl && ev->drained) {
		if (pl->elastic && pl->dialled)
			stats_count(&ps->stats->head->channels_shrunk);
		peer_drained(pl);
	} else if (pl) {
		peer_failed(&entry->core, pl, clock_monotonic_ns());
	}
	if (entry->links == 0 && entry->up) {
		entry->up = false;
		if (!entry->removed && !ps->leaving)
			log_limited(ps->log, &entry->limit, LOG_LEVEL_NOTICE, "peer %s is down: %s",
				    entry->config.name,
				    entry->left ? "it has shut down"
				    : ev->reason ? ev->reason
						 : "its last channel ended");
	}
	/* That process will not come back: its streams must not wait for it. */
	if (entry->links == 0 && entry->left && !entry->removed) {
		entry->left = false;
		entry_tell(entry, CMD_PEER_RESET, 0);
		entry_tell_error(entry, -ECONNREFUSED);
	}
	if (entry->removed)
		entry_reap(entry);
	else
		peers_dial_soon(ps);
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

static int entry_create(struct peers *ps, const struct config_peer *config)
{
	const struct config *cfg = ps->config;
	struct peer_config core = {
		.host_id = ps->host_id,
		.incarnation = ps->incarnation,
		.workers = (uint16_t)ps->workers->nr,
		.latency = (uint16_t)cfg->latency,
		.throughput = (uint16_t)cfg->throughput,
		.max = (uint16_t)cfg->channels_max,
		.backoff_min_ms = cfg->backoff_min_ms,
		.backoff_max_ms = cfg->backoff_max_ms,
	};
	struct peer_entry *entry;
	uint32_t index = 1;

	/* The indices of peers that are being removed stay taken until all is over. */
	while (index < NCD_PEERS_MAX && ps->entry[index])
		index++;
	if (index == NCD_PEERS_MAX)
		return -ENOSPC;
	entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		return -ENOMEM;
	entry->peers = ps;
	entry->config = *config;
	entry->index = index;
	core.seed = ps->incarnation ^ ps->host_id ^ index * 0x9e3779b97f4a7c15ull;
	peer_init(&entry->core, &core);
	ps->entry[index] = entry;
	entry_tell(entry, CMD_PEER_SET, 0);
	return 0;
}

static void entry_remove(struct peer_entry *entry)
{
	struct peer_conn *conn, *next;

	entry->removed = true;
	log_line(entry->peers->log, LOG_LEVEL_INFO, "peer %s is no longer configured",
		 entry->config.name);
	for (conn = entry->peers->conns; conn; conn = next) {
		next = conn->next;
		if (conn->entry != entry)
			continue;
		if (conn->place)
			conn->place->user = NULL;
		conn->place = NULL;
		conn_drop(conn);
	}
	entry_tell(entry, CMD_PEER_REMOVE, 0);
	entry_reap(entry);
}

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
		worker_answer(ps, worker, index, -ENOSPC);
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
