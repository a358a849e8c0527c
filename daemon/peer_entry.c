/* SPDX-License-Identifier: MIT */
/*
 * peer_entry.c - one peer: from its [peer] section to its last connection, what befalls its
 * connections meanwhile, and what the workers and the log hear of that.
 */
#include "peer_entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "endpoint.h"
#include "peer_conn.h"

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

int entry_create(struct peers *ps, const struct config_peer *config)
{
	const struct config *cfg = ps->config;
	struct peer_config core = {
		.host_id = ps->host_id,
		.incarnation = ps->incarnation,
		.workers = (uint16_t)ps->workers->nr,
		.carry = ps->config->carry,
		.move = ps->config->move_busy > 0,
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

void entry_remove(struct peer_entry *entry)
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

/* ---- its connections ---- */

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

void entry_answer(struct peer_entry *entry, struct place *pl, int error)
{
	struct peers *ps = entry->peers;

	if (!pl->asked)
		return;
	pl->asked = false;
	peers_answer(ps, pl->lane % ps->workers->nr, entry->index, error);
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
