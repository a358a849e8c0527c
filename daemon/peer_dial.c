/* SPDX-License-Identifier: MIT */
/*
 * peer_dial.c - a connection that this host makes: the address it comes from, the connect, the
 * limit. What is said on it is peer_hello.c's.
 */
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <unistd.h>

#include "endpoint.h"
#include "peer_conn.h"

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

/*
 * A socket for a channel of @class that connects to @to from an address by which the peer knows us.
 * fd or -errno.
 */
static int dial_socket(const struct peers *ps, const struct address *to, uint16_t port,
		       enum stream_class class)
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
	conn_congestion(ps->config, fd, class);
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

static void conn_connected(int fd, short what, void *ctx)
{
	struct peer_conn *conn = ctx;
	socklen_t bytes = sizeof(int);
	int error = 0;

	if (what & EV_TIMEOUT)
		error = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0)
		error = errno;
	if (error)
		conn_fail(conn, -error);
	else
		conn_ask(conn);
}

void conn_dial(struct peer_entry *entry, struct place *pl)
{
	struct peers *ps = entry->peers;
	struct address to =
		entry->config.addresses.address[entry->cursor % entry->config.addresses.nr];
	uint16_t port = (uint16_t)entry->config.port;
	struct peer_conn *conn;
	int fd = dial_socket(ps, &to, port, pl->class);

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
	if (!conn_await(conn, EV_WRITE, conn_connected))
		conn_fail(conn, -ENOMEM);
}
