/* SPDX-License-Identifier: MIT */
/*
 * peer_hello.c - what the two ends of a fresh connection say: who they are, which channel it is to
 * be, and yes or no. A stranger, or who talks something else, is told no and closed.
 */
#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <unistd.h>

#include "endpoint.h"
#include "peer_conn.h"

static bool conn_say(const struct peer_conn *conn, const struct hello *h)
{
	uint8_t out[HELLO_FRAME_BYTES];

	hello_encode(h, out);
	/* A fresh connection has room for it: less is a failure. */
	return send(conn->fd, out, sizeof(out), MSG_DONTWAIT | MSG_NOSIGNAL) ==
	       (ssize_t)sizeof(out);
}

static const char *reason_text(uint16_t reason)
{
	static const char *const text[WIRE_R_END] = {
		[WIRE_R_NONE] = "no reason given",
		[WIRE_R_VERSION] = "no common version",
		[WIRE_R_NOT_PEER] = "this address is in no [peer] of its ncd.conf",
		[WIRE_R_COLLISION] = "both dialled at once",
		[WIRE_R_STALE] = "an older dial",
		[WIRE_R_SLOT] = "no such place",
		[WIRE_R_SELF] = "it is this host itself",
		[WIRE_R_LEAVING] = "it is shutting down",
		[WIRE_R_FULL] = "its [channels] max is reached",
	};

	return reason < WIRE_R_END ? text[reason] : "an unknown reason";
}

/* ---- our dial ---- */

/* The peer is well, and has as many channels as it wants. */
static void conn_full(struct peer_conn *conn)
{
	struct peer_entry *entry = conn->entry;
	struct place *pl = conn->place;

	log_limited(conn->peers->log, &entry->limit, LOG_LEVEL_INFO,
		    "peer %s takes no more channels: %s", entry->config.name,
		    reason_text(WIRE_R_FULL));
	conn_free(conn);
	entry_full(entry, pl);
}

/* Our dial got an answer that is no yes. */
static void conn_denied(struct peer_conn *conn, const struct hello *h)
{
	struct peer_entry *entry = conn->entry;
	struct log *log = conn->peers->log;
	uint16_t reason = h->reply == WIRE_REFUSED ? h->reason : WIRE_R_SLOT;
	char where[ENDPOINT_TEXT_BYTES];

	if (h->version_min > WIRE_VERSION || h->version_max < WIRE_VERSION)
		reason = WIRE_R_VERSION;
	endpoint_format(&conn->addr, conn->port, where);
	/* Part of two hosts finding each other: no news. */
	if (reason == WIRE_R_COLLISION || reason == WIRE_R_STALE) {
		conn_fail(conn, 0);
		return;
	}
	if (reason == WIRE_R_FULL) {
		conn_full(conn);
		return;
	}
	if (entry->logged != -1000 - reason) {
		entry->logged = -1000 - reason;
		if (reason == WIRE_R_VERSION)
			log_limited(log, &entry->limit, LOG_LEVEL_WARNING,
				    "peer %s at %s speaks versions %u to %u, this ncd %u",
				    entry->config.name, where, h->version_min, h->version_max,
				    WIRE_VERSION);
		else
			log_limited(log, &entry->limit, LOG_LEVEL_WARNING,
				    "peer %s at %s refuses: %s", entry->config.name, where,
				    reason_text(reason));
	}
	conn_fail(conn, reason == WIRE_R_LEAVING ? -ECONNREFUSED : -EHOSTUNREACH);
}

/* The answer to our hello is here. */
static void conn_answered(struct peer_conn *conn, const struct hello *h)
{
	enum peer_verdict verdict = peer_answered(&conn->entry->core, conn->place, h);

	if (verdict == PEER_REFUSE)
		conn_denied(conn, h);
	else
		conn_up(conn, verdict);
}

/* ---- who dials us ---- */

/* True if one more may say hello; a refusal is counted. */
static bool greeting_room(struct peers *ps, bool stranger)
{
	if (stranger && ps->strangers == CONN_STRANGERS_MAX) {
		stats_count(&ps->stats->head->hello_strangers);
		return false;
	}
	if (ps->greeting == CONN_GREETING_MAX) {
		stats_count(&ps->stats->head->hello_garbage);
		return false;
	}
	return true;
}

static void greeting_begins(struct peer_conn *conn)
{
	conn->state = CONN_HEARING;
	conn->peers->greeting++;
	if (conn->entry == NULL)
		conn->peers->strangers++;
}

void greeting_ends(const struct peer_conn *conn)
{
	conn->peers->greeting--;
	if (conn->entry == NULL)
		conn->peers->strangers--;
}

/* Says no to a hello that came in, closes. */
static void conn_refuse(struct peer_conn *conn, const struct hello *h, const struct hello *reply)
{
	struct peers *ps = conn->peers;
	char where[ENDPOINT_TEXT_BYTES];

	/* The first two are part of two hosts finding each other: neither counted nor logged. */
	if (reply->reason == WIRE_R_FULL)
		stats_count(&ps->stats->head->channels_refused);
	else if (reply->reason != WIRE_R_COLLISION && reply->reason != WIRE_R_STALE)
		stats_count(&ps->stats->head->hello_refused);
	endpoint_format(&conn->addr, conn->port, where);
	if (reply->reason == WIRE_R_VERSION)
		log_limited(ps->log, &ps->limit_refused, LOG_LEVEL_WARNING,
			    "%s speaks versions %u to %u, this ncd %u: refused", where,
			    h->version_min, h->version_max, WIRE_VERSION);
	else if (reply->reason == WIRE_R_NOT_PEER)
		log_limited(ps->log, &ps->limit_refused, LOG_LEVEL_WARNING,
			    "%s is in no [peer] of %s: refused", where, ps->config->file);
	else if (reply->reason == WIRE_R_FULL)
		log_limited(ps->log, &ps->limit_refused, LOG_LEVEL_INFO,
			    "%s: channel refused: [channels] max is reached", where);
	else if (reply->reason != WIRE_R_COLLISION && reply->reason != WIRE_R_STALE)
		log_limited(ps->log, &ps->limit_refused, LOG_LEVEL_NOTICE, "%s: refused: %s", where,
			    reason_text(reply->reason));
	(void)conn_say(conn, reply); /* politeness; it will see the end in any case */
	conn_free(conn);
}

/* A hello has come in. */
static void conn_heard(struct peer_conn *conn, const struct hello *h)
{
	struct peers *ps = conn->peers;
	struct place *pl = NULL;
	struct peer_conn *old_conn;
	enum peer_verdict verdict;
	struct hello reply;
	void *old = NULL;

	if (conn->entry == NULL || ps->leaving) {
		reply = (struct hello){
			.host_id = ps->host_id,
			.incarnation = ps->incarnation,
			.version_min = WIRE_VERSION,
			.version_max = WIRE_VERSION,
			.class = h->class,
			.reply = WIRE_REFUSED,
			.reason = conn->entry ? WIRE_R_LEAVING : WIRE_R_NOT_PEER,
			.lane = h->lane,
			.index = h->index,
			.workers = (uint16_t)ps->workers->nr,
		};
		conn_refuse(conn, h, &reply);
		return;
	}
	verdict = peer_hello(&conn->entry->core, h, &pl, &old, &reply);
	if (verdict == PEER_REFUSE) {
		conn_refuse(conn, h, &reply);
		return;
	}
	old_conn = old;
	if (old_conn) {
		old_conn->place = NULL;
		conn_drop(old_conn);
	}
	conn->place = pl;
	pl->user = conn;
	if (!conn_say(conn, &reply))
		conn_fail(conn, -ECONNRESET);
	else
		conn_up(conn, verdict);
}

/* ---- both ---- */

/* Not a hello: somebody else's protocol, or none. */
static void conn_garbage(struct peer_conn *conn, const char *what)
{
	struct peers *ps = conn->peers;
	char where[ENDPOINT_TEXT_BYTES];

	stats_count(&ps->stats->head->hello_garbage);
	log_limited(ps->log, &ps->limit_garbage, LOG_LEVEL_WARNING,
		    "channel port: %s from %s; closed", what,
		    endpoint_format(&conn->addr, conn->port, where));
	conn_fail(conn, -EPROTO);
}

static void conn_readable(int fd, short what, void *ctx)
{
	struct peer_conn *conn = ctx;
	struct hello h;
	ssize_t n;

	if (what & EV_TIMEOUT) {
		if (conn->state == CONN_ASKED)
			conn_fail(conn, -ETIMEDOUT);
		else
			conn_garbage(conn, "no hello in time");
		return;
	}
	/* Not a byte more: what follows is the worker's. */
	n = recv(fd, conn->hello + conn->hello_bytes, sizeof(conn->hello) - conn->hello_bytes,
		 MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (conn->state == CONN_HEARING && conn->hello_bytes > 0)
			stats_count(&conn->peers->stats->head->hello_garbage);
		/* Also how a dial ends that the other side has dropped in favour of its own. */
		conn_fail(conn, n < 0 ? -errno : -ECONNRESET);
		return;
	}
	conn->hello_bytes += (size_t)n;
	if (conn->hello_bytes < sizeof(conn->hello))
		return;
	if (hello_decode(conn->hello, &h) < 0)
		conn_garbage(conn, "no hello of ncd");
	else if (conn->state == CONN_ASKED)
		conn_answered(conn, &h);
	else
		conn_heard(conn, &h);
}

static bool conn_await_hello(struct peer_conn *conn)
{
	return conn_await(conn, EV_READ | EV_PERSIST, conn_readable);
}

void conn_ask(struct peer_conn *conn)
{
	struct hello h;

	peer_connected(&conn->entry->core, conn->place, &h);
	conn->state = CONN_ASKED;
	if (!conn_say(conn, &h))
		conn_fail(conn, -ECONNRESET);
	else if (!conn_await_hello(conn))
		conn_fail(conn, -ENOMEM);
}

/* The peer that has @addr, or NULL. */
static struct peer_entry *entry_find(const struct peers *ps, const struct address *addr)
{
	uint32_t i, j;

	for (i = 1; i < NCD_PEERS_MAX; i++) {
		struct peer_entry *entry = ps->entry[i];

		if (entry == NULL || entry->removed)
			continue;
		for (j = 0; j < entry->config.addresses.nr; j++)
			if (address_equal(&entry->config.addresses.address[j], addr))
				return entry;
	}
	return NULL;
}

void conn_accept(struct peers *ps, int fd, const struct address *addr, uint16_t port)
{
	struct peer_entry *entry = entry_find(ps, addr);
	struct peer_conn *conn = NULL;

	if (greeting_room(ps, entry == NULL))
		conn = conn_create(ps, entry, fd);
	if (conn == NULL) {
		(void)close(fd); /* nothing was said */
		return;
	}
	greeting_begins(conn);
	conn->addr = *addr;
	conn->port = port;
	if (!conn_await_hello(conn))
		conn_free(conn);
}
