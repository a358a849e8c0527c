/* SPDX-License-Identifier: MIT */
/* via.c - the table of transports, their addresses, and what all of them share. */
#include "via.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"

static const struct via *const via_table[] = {
	&via_tcp, &via_tcp_uring, &via_mptcp, &via_unix, &via_ncd, &via_ncd_zc,
};

const struct via *via_at(size_t index)
{
	return index < sizeof(via_table) / sizeof(via_table[0]) ? via_table[index] : NULL;
}

const struct via *via_find(const char *name, size_t len)
{
	const struct via *via;

	for (size_t i = 0; (via = via_at(i)); i++)
		if (strlen(via->name) == len && !memcmp(via->name, name, len))
			return via;
	return NULL;
}

const char *via_why(const struct via *via, char *buf, size_t len, const char *otherwise)
{
	buf[0] = '\0';
	if (via->why)
		(void)via->why(buf, len); /* cut is as well */
	return buf[0] ? buf : otherwise;
}

static void endpoint_describe(struct endpoint *ep)
{
	char host[INET6_ADDRSTRLEN] = "?";

	switch (ep->addr.any.sa_family) {
	case AF_INET:
		(void)inet_ntop(AF_INET, &ep->addr.in.sin_addr, host, sizeof(host));
		snprintf(ep->text, sizeof(ep->text), "%s:%u", host, ntohs(ep->addr.in.sin_port));
		break;
	case AF_INET6:
		(void)inet_ntop(AF_INET6, &ep->addr.in6.sin6_addr, host, sizeof(host));
		snprintf(ep->text, sizeof(ep->text), "[%s]:%u", host,
			 ntohs(ep->addr.in6.sin6_port));
		break;
	default:
		snprintf(ep->text, sizeof(ep->text), "@%s", ep->addr.un.sun_path + 1);
	}
}

void endpoint_set_port(struct endpoint *ep, uint16_t port)
{
	int n;

	ep->port = port;
	switch (ep->addr.any.sa_family) {
	case AF_INET:
		ep->addr.in.sin_port = htons(port);
		break;
	case AF_INET6:
		ep->addr.in6.sin6_port = htons(port);
		break;
	default:
		memset(&ep->addr.un, 0, sizeof(ep->addr.un));
		ep->addr.un.sun_family = AF_UNIX;
		n = snprintf(ep->addr.un.sun_path + 1, sizeof(ep->addr.un.sun_path) - 1,
			     "ncd-perf.%u", port);
		ep->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	}
	endpoint_describe(ep);
}

int endpoint_parse(const struct via *via, const char *addr, uint16_t port, struct endpoint *ret_ep)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	struct endpoint ep = { .len = 0 };

	if (via->is_unix) {
		ep.addr.any.sa_family = AF_UNIX;
	} else if (!addr) {
		ep.addr.in = (struct sockaddr_in){ .sin_family = AF_INET };
		ep.len = sizeof(ep.addr.in);
	} else {
		if (getaddrinfo(addr, NULL, &hints, &list))
			return -EADDRNOTAVAIL;
		memcpy(&ep.addr, list->ai_addr, list->ai_addrlen);
		ep.len = list->ai_addrlen;
		freeaddrinfo(list);
	}
	endpoint_set_port(&ep, port);
	*ret_ep = ep;
	return 0;
}

/* Pages are touched now: the measurement must not pay for them. */
static unsigned char *buf_map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int hub_init(struct hub *hub, const struct via *via, size_t conn_nr, size_t buf_len)
{
	int r;

	*hub = (struct hub){ .via = via, .conn_nr = conn_nr, .buf_len = buf_len, .epfd = -1 };
	hub->tx_buf = buf_map(buf_len);
	hub->rx_buf = buf_map(buf_len);
	r = hub->tx_buf && hub->rx_buf ? via->hub_open(hub) : -ENOMEM;
	if (r < 0)
		hub_fini(hub);
	return r;
}

void hub_fini(struct hub *hub)
{
	if (!hub->via)
		return;
	hub->via->hub_close(hub);
	if (hub->tx_buf)
		munmap(hub->tx_buf, hub->buf_len);
	if (hub->rx_buf)
		munmap(hub->rx_buf, hub->buf_len);
	*hub = (struct hub){ .epfd = -1 };
}

int conn_send_all(struct conn *c, const void *buf, size_t len, uint64_t deadline_ns)
{
	const unsigned char *bytes = buf;
	ssize_t n;
	void *view;

	while (len > 0) {
		n = c->via->tx_view(c, len, &view);
		if (n > 0) {
			memcpy(view, bytes, (size_t)n);
			n = c->via->tx_push(c, (size_t)n);
		}
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (n != -EAGAIN && n != -EINTR) {
			return n < 0 ? (int)n : -EPIPE;
		} else if (clock_now_ns() > deadline_ns) {
			return -ETIMEDOUT;
		}
	}
	return 0;
}

int conn_recv_all(struct conn *c, void *buf, size_t len, uint64_t deadline_ns)
{
	unsigned char *bytes = buf;
	const void *view;
	ssize_t n;

	while (len > 0) {
		n = c->via->rx_view(c, len, &view);
		if (n > 0) {
			memcpy(bytes, view, (size_t)n);
			(void)c->via->rx_done(c,
					      (size_t)n); /* fails only as the next rx_view will */
			bytes += n;
			len -= (size_t)n;
		} else if (n == 0) {
			return -ECONNRESET;
		} else if (n != -EAGAIN && n != -EINTR) {
			return (int)n;
		} else if (clock_now_ns() > deadline_ns) {
			return -ETIMEDOUT;
		}
	}
	return 0;
}
