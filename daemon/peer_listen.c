/* SPDX-License-Identifier: MIT */
/*
 * peer_listen.c - the channel port, on each address of this host.
 */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "endpoint.h"
#include "peer_conn.h"

#define LISTEN_BACKLOG 128
#define ACCEPTS_A_TURN 64
#define RESUME_SECONDS 1

static void peers_resume(int fd, short what, void *ctx)
{
	struct peers *ps = ctx;
	uint32_t i;

	(void)fd;
	(void)what;
	for (i = 0; i < ps->listener_nr; i++)
		(void)event_add(ps->listener[i].event, NULL); /* known to the loop already */
}

static void peers_acceptable(int listen_fd, short what, void *ctx)
{
	const struct timeval later = { .tv_sec = RESUME_SECONDS };
	struct peers *ps = ctx;
	struct sockaddr_storage sa;
	struct address addr;
	uint16_t port;
	uint32_t i, n;

	(void)what;
	for (n = 0; n < ACCEPTS_A_TURN; n++) {
		socklen_t bytes = sizeof(sa);
		int fd = accept4(listen_fd, (struct sockaddr *)&sa, &bytes,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			if (endpoint_from_sockaddr((const struct sockaddr *)&sa, &addr, &port) == 0)
				conn_accept(ps, fd, &addr, port);
			else
				(void)close(fd); /* cannot be: the listener is of those families */
			continue;
		}
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* Without descriptors the connection stays in the queue: looking on would spin. */
		log_limited(ps->log, &ps->limit_accept, LOG_LEVEL_WARNING,
			    "channel port: cannot accept: %s; trying again", strerror(errno));
		for (i = 0; i < ps->listener_nr; i++)
			(void)event_del(ps->listener[i].event); /* cannot fail for ours */
		(void)event_add(ps->resume_event, &later); /* has been added before: has room */
		return;
	}
}

static int listener_open(const struct config *cfg, const struct address *addr)
{
	struct sockaddr_storage sa;
	socklen_t bytes = endpoint_to_sockaddr(addr, (uint16_t)cfg->port, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;
	int r;

	if (fd < 0)
		return -errno;
	/* Without: a restart would wait for the kernel's TIME_WAIT; IPv4 has its own listener. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (sa.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	/* Of which class a connection is, its hello says; bulk is who suffers from pacing. */
	conn_congestion(cfg, fd, CLASS_THROUGHPUT);
	if (bind(fd, (const struct sockaddr *)&sa, bytes) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	r = -errno;
	(void)close(fd); /* never listened */
	return r;
}

int peers_listen(struct peers *ps, char error[CONFIG_ERROR_BYTES])
{
	const struct config *cfg = ps->config;
	char where[ENDPOINT_TEXT_BYTES];
	uint32_t i;

	ps->resume_event = event_new(ps->base, -1, 0, peers_resume, ps);
	for (i = 0; i < cfg->addresses.nr; i++) {
		const struct address *addr = &cfg->addresses.address[i];
		int fd = listener_open(cfg, addr);

		endpoint_format(addr, (uint16_t)cfg->port, where);
		if (fd == -EADDRINUSE) {
			(void)config_key_fail(
				cfg, "channels", "port", error,
				"%" PRIu32 ": %s is in use; stop who has it ('ss -ltnp'), or give "
				"another port here and in the peers' files",
				cfg->port, where);
			return fd;
		}
		if (fd < 0) {
			(void)config_key_fail(cfg, "channels", "port", error,
					      "%" PRIu32 ": cannot listen on %s: %s; %s", cfg->port,
					      where, strerror(-fd),
					      fd == -EACCES
						      ? "give a port above 1023, or start as root"
						      : "see [host] address");
			return fd;
		}
		ps->listener[i].fd = fd;
		ps->listener[i].event =
			event_new(ps->base, fd, EV_READ | EV_PERSIST, peers_acceptable, ps);
		ps->listener_nr = i + 1;
		if (ps->resume_event == NULL || ps->listener[i].event == NULL ||
		    event_add(ps->listener[i].event, NULL) < 0) {
			(void)snprintf(error, CONFIG_ERROR_BYTES, "out of memory");
			return -ENOMEM;
		}
	}
	return 0;
}
