/* SPDX-License-Identifier: MIT */
/*
 * peer_conn.c - connects or is connected to, exchanges hellos, and hands the connection to a
 * worker.
 */
#include "peer_conn.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
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

static const struct timeval conn_timeout = { .tv_sec = CONN_TIMEOUT_SECONDS };

static struct peer_conn *conn_create(struct peers *ps, struct peer_entry *entry, int fd)
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

static void greeting_ends(const struct peer_conn *conn)
{
	conn->peers->greeting--;
	if (conn->entry == NULL)
		conn->peers->strangers--;
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
	const char *congestion =
		class == CLASS_LATENCY ? cfg->latency_congestion : cfg->throughput_congestion;
	size_t i;

	if (congestion[0] == '\0')
		congestion = cfg->congestion;
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		(void)setsockopt(conn->fd, options[i].level, options[i].name, options[i].value,
				 sizeof(int));
	if (class == CLASS_LATENCY)
		channel_receive_bound(conn->fd);
	if (congestion[0])
		(void)setsockopt(conn->fd, IPPROTO_TCP, TCP_CONGESTION, congestion,
				 (socklen_t)strlen(congestion));
}

/* ---- up and down ---- */

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

/* The connection fails before it is up. */
static void conn_fail(struct peer_conn *conn, int error)
{
	struct peer_entry *entry = conn->entry;
	struct place *pl = conn->place;

	conn_free(conn);
	if (pl)
		entry_dial_failed(entry, pl, error);
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

/* Both hellos are said, conn->place is UP: the worker takes over. */
static void conn_up(struct peer_conn *conn, enum peer_verdict verdict)
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

/* ---- hellos ---- */

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

/* ---- dial and accept ---- */

/* Replaces the connection's event by one that waits for bytes. False: out of memory. */
static bool conn_await_hello(struct peer_conn *conn)
{
	if (conn->event)
		event_free(conn->event);
	conn->event =
		event_new(conn->peers->base, conn->fd, EV_READ | EV_PERSIST, conn_readable, conn);
	return conn->event && event_add(conn->event, &conn_timeout) == 0;
}

static void conn_connected(int fd, short what, void *ctx)
{
	struct peer_conn *conn = ctx;
	socklen_t bytes = sizeof(int);
	struct hello h;
	int error = 0;

	if (what & EV_TIMEOUT)
		error = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0)
		error = errno;
	if (error) {
		conn_fail(conn, -error);
		return;
	}
	peer_connected(&conn->entry->core, conn->place, &h);
	conn->state = CONN_ASKED;
	if (!conn_say(conn, &h))
		conn_fail(conn, -ECONNRESET);
	else if (!conn_await_hello(conn))
		conn_fail(conn, -ENOMEM);
}

/*
 * Address of ours from which to dial @to: what routing would take, if it is in [host] address, else
 * the first of the family. -EADDRNOTAVAIL: there is none of that family.
 */
static int source_choose(const struct peers *ps, const struct address *to, uint16_t port,
			 struct address *ret_source)
{
	const struct config_addresses *ours = &ps->config->addresses;
	struct sockaddr_storage sa;
	socklen_t bytes = endpoint_to_sockaddr(to, port, &sa);
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct address routed = { 0 };
	uint32_t i, first = NCD_ADDRS_MAX;
	uint16_t ignored;

	if (fd < 0)
		return -errno;
	/* Nothing is sent: this only looks the route up. */
	if (connect(fd, (const struct sockaddr *)&sa, bytes) == 0) {
		bytes = sizeof(sa);
		if (getsockname(fd, (struct sockaddr *)&sa, &bytes) == 0)
			(void)endpoint_from_sockaddr((const struct sockaddr *)&sa, &routed,
						     &ignored);
	}
	(void)close(fd); /* nothing was written */
	for (i = 0; i < ours->nr; i++) {
		if (address_equal(&ours->address[i], &routed)) {
			*ret_source = routed;
			return 0;
		}
		if (address_is_v4(&ours->address[i]) == address_is_v4(to) && first == NCD_ADDRS_MAX)
			first = i;
	}
	if (first == NCD_ADDRS_MAX)
		return -EADDRNOTAVAIL;
	*ret_source = ours->address[first];
	return 0;
}

/* A socket that connects to @to from an address by which the peer knows us. fd or -errno. */
static int dial_socket(const struct peers *ps, const struct address *to, uint16_t port)
{
	struct sockaddr_storage sa;
	struct address source;
	const int on = 1;
	socklen_t bytes;
	int fd, r;

	r = source_choose(ps, to, port, &source);
	if (r < 0)
		return r;
	bytes = endpoint_to_sockaddr(&source, 0, &sa);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* So that the local port need only be free towards this peer; without it: less room. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&sa, bytes) < 0)
		goto err_close;
	bytes = endpoint_to_sockaddr(to, port, &sa);
	if (connect(fd, (const struct sockaddr *)&sa, bytes) < 0 && errno != EINPROGRESS)
		goto err_close;
	return fd;

err_close:
	r = -errno;
	(void)close(fd); /* never connected */
	return r;
}

void conn_dial(struct peer_entry *entry, struct place *pl)
{
	struct peers *ps = entry->peers;
	struct address to =
		entry->config.addresses.address[entry->cursor % entry->config.addresses.nr];
	uint16_t port = (uint16_t)entry->config.port;
	struct peer_conn *conn;
	int fd = dial_socket(ps, &to, port);

	stats_count(&ps->stats->head->dials);
	if (fd < 0) {
		entry_dial_failed(entry, pl, fd);
		return;
	}
	conn = conn_create(ps, entry, fd);
	if (conn == NULL) {
		(void)close(fd); /* nothing was said */
		entry_dial_failed(entry, pl, -ENOMEM);
		return;
	}
	conn->state = CONN_CONNECTING;
	conn->addr = to;
	conn->port = port;
	conn->place = pl;
	pl->user = conn;
	conn->event = event_new(ps->base, fd, EV_WRITE, conn_connected, conn);
	if (conn->event == NULL || event_add(conn->event, &conn_timeout) < 0)
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
