/* SPDX-License-Identifier: MIT */
/*
 * via_kernel.c - kernel sockets: tcp, mptcp and unix, with edge-triggered epoll. One epoll_ctl for
 * the life of a connection, no read that is known to return EAGAIN (see epoll(7) on short reads),
 * and cubic whatever the system's default is: kernel TCP shall do its best. tcp-uring borrows the
 * socket functions.
 */
#include "via_kernel.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

static const char cubic[] = "cubic";

bool kernel_needs_cubic(void)
{
	char name[16] = "";
	socklen_t len = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	(void)getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len); /* "" if it has none */
	(void)close(fd);
	return strncmp(name, cubic, sizeof(name)) != 0;
}

static int hub_open(struct hub *hub)
{
	hub->set_cubic = !hub->via->is_unix && kernel_needs_cubic();
	if (hub->conn_nr == 0)
		return 0;
	hub->epfd = epoll_create1(EPOLL_CLOEXEC);
	return hub->epfd < 0 ? -errno : 0;
}

static void hub_close(struct hub *hub)
{
	if (hub->epfd >= 0)
		(void)close(hub->epfd);
	hub->epfd = -1;
}

static int hub_wait(struct hub *hub, struct conn **ret_ready, int max, int timeout_ms)
{
	struct epoll_event ev[VIA_READY_MAX];
	int n = epoll_wait(hub->epfd, ev, max < VIA_READY_MAX ? max : VIA_READY_MAX, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		ret_ready[i] = ev[i].data.ptr;
		/* A short read would hide an end that arrived together with the last bytes. */
		if (ev[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			ret_ready[i]->hung_up = true;
	}
	return n;
}

static int socket_create(const struct via *via, const struct endpoint *ep, int flags)
{
	int family = ep->addr.any.sa_family, one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, via->protocol);

	if (fd < 0)
		return -errno;
	if (family != AF_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	return fd;
}

/* Returns 0, or -ENOENT where the kernel has no cubic. */
static int socket_set_cubic(int fd)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cubic, sizeof(cubic) - 1) ? -errno : 0;
}

static uint16_t socket_port(int fd)
{
	struct endpoint ep = { .len = sizeof(ep.addr) };

	if (getsockname(fd, &ep.addr.any, &ep.len))
		return 0;
	return ntohs(ep.addr.any.sa_family == AF_INET6 ? ep.addr.in6.sin6_port
						       : ep.addr.in.sin_port);
}

/* Names of unix sockets have no "any free port": tries some. */
static int unix_bind(int fd, const struct endpoint *ep, uint16_t *port)
{
	struct endpoint try = *ep;
	uint32_t first = (uint32_t)getpid() * 61u;

	for (uint32_t i = 0; i < 1000 && *port == 0; i++) {
		uint16_t p = (uint16_t)(20000 + (first + i) % 40000);

		endpoint_set_port(&try, p);
		if (!bind(fd, &try.addr.any, try.len))
			*port = p;
		else if (errno != EADDRINUSE)
			return -errno;
	}
	return *port ? 0 : -EADDRINUSE;
}

int kernel_listen(struct conn *c, const struct endpoint *ep, uint16_t *ret_port)
{
	int one = 1, r = 0, fd = socket_create(c->via, ep, SOCK_NONBLOCK);
	bool is_unix = ep->addr.any.sa_family == AF_UNIX;
	uint16_t port = ep->port;

	if (fd < 0)
		return fd;
	/* Accepted sockets inherit TCP_NODELAY and the congestion control. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		r = -errno;
	else if (!is_unix && socket_set_cubic(fd) < 0)
		r = -ENOENT;
	else if (is_unix && port == 0)
		r = unix_bind(fd, ep, &port);
	else if (bind(fd, &ep->addr.any, ep->len))
		r = -errno;
	if (r == 0 && listen(fd, VIA_BACKLOG))
		r = -errno;
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	c->fd = fd;
	*ret_port = is_unix ? port : socket_port(fd);
	return 0;
}

int kernel_accept(struct conn *listener, struct conn *c)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return errno == EINTR || errno == ECONNABORTED ? -EAGAIN : -errno;
	c->fd = fd;
	return 0;
}

static int socket_bind_from(int fd, const struct endpoint *from)
{
	int one = 1;

	if (!from || from->addr.any.sa_family == AF_UNIX)
		return 0;
	/* The port is chosen by connect(), when the whole 4-tuple is known. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind(fd, &from->addr.any, from->len) ? -errno : 0;
}

int kernel_connect(struct conn *c, const struct endpoint *ep, const struct endpoint *from)
{
	/* A unix connect is over at once, or waits for room in the backlog: let it. */
	bool wait = c->blocking || ep->addr.any.sa_family == AF_UNIX;
	int r, fd = socket_create(c->via, ep, wait ? 0 : SOCK_NONBLOCK);

	if (fd < 0)
		return fd;
	r = c->hub->set_cubic ? socket_set_cubic(fd) : 0;
	if (r == 0)
		r = socket_bind_from(fd, from);
	if (r == 0 && connect(fd, &ep->addr.any, ep->len))
		r = -errno;
	if (r < 0 && r != -EINPROGRESS) {
		(void)close(fd);
		return r;
	}
	c->fd = fd;
	return r;
}

int kernel_connected(struct conn *c)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		return -errno;
	return -err;
}

int kernel_bound(struct conn *c)
{
	struct timeval tv = { .tv_usec = VIA_BLOCK_MS * 1000 };

	if (setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ||
	    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)))
		return -errno;
	return 0;
}

int kernel_option(struct conn *c, int level, int name, const void *value, socklen_t len)
{
	return setsockopt(c->fd, level, name, value, len) ? -errno : 0;
}

static int conn_attach(struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				  .data.ptr = c };

	if (c->blocking)
		return 0;
	if (c->kind == CONN_LISTENER)
		ev.events = EPOLLIN; /* level: the accept loop may leave some for later */
	if (epoll_ctl(c->hub->epfd, EPOLL_CTL_ADD, c->fd, &ev))
		return -errno;
	c->attached = true;
	return 0;
}

static void conn_detach(struct conn *c)
{
	if (c->attached)
		(void)epoll_ctl(c->hub->epfd, EPOLL_CTL_DEL, c->fd, NULL); /* is there */
	c->attached = false;
}

static ssize_t conn_tx_view(struct conn *c, size_t want, void **ret_buf)
{
	*ret_buf = c->hub->tx_buf;
	return (ssize_t)(want < c->hub->buf_len ? want : c->hub->buf_len);
}

static ssize_t conn_tx_push(struct conn *c, size_t len)
{
	ssize_t n =
		send(c->fd, c->hub->tx_buf, len, MSG_NOSIGNAL | (c->blocking ? 0 : MSG_DONTWAIT));

	return n < 0 ? -errno : n;
}

static ssize_t conn_rx_view(struct conn *c, size_t want, const void **ret_buf)
{
	size_t len = want < c->hub->buf_len ? want : c->hub->buf_len;
	ssize_t n = recv(c->fd, c->hub->rx_buf, len, c->blocking ? 0 : MSG_DONTWAIT);

	*ret_buf = c->hub->rx_buf;
	return n < 0 ? -errno : n;
}

static int conn_rx_done(struct conn *c, size_t len)
{
	(void)c;
	(void)len; /* recv() has taken it already */
	return 0;
}

int kernel_finish(struct conn *c)
{
	return shutdown(c->fd, SHUT_WR) ? -errno : 0;
}

void kernel_close(struct conn *c)
{
	if (c->fd >= 0)
		(void)close(c->fd); /* leaves the epoll set by itself */
	c->fd = -1;
	c->attached = false;
}

/* Without it socket() fails, with one of three errors: none of them would say so. */
static size_t mptcp_why(char *buf, size_t len)
{
	int n = 0, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);

	if (fd >= 0) {
		(void)close(fd); /* never connected */
		return 0;
	}
	if (errno == ENOPROTOOPT)
		n = snprintf(buf, len, "MPTCP is switched off: sysctl net.mptcp.enabled=1");
	else if (errno == EPROTONOSUPPORT || errno == EINVAL)
		n = snprintf(buf, len, "this kernel has no MPTCP (CONFIG_MPTCP, Linux 5.6)");
	return n > 0 ? (size_t)n : 0;
}

#define KERNEL_OPERATIONS                                                                         \
	.short_is_drained = true, .hub_open = hub_open, .hub_close = hub_close, .wait = hub_wait, \
	.listen = kernel_listen, .accept = kernel_accept, .connect = kernel_connect,              \
	.connected = kernel_connected, .bound = kernel_bound, .attach = conn_attach,              \
	.detach = conn_detach, .option = kernel_option, .tx_view = conn_tx_view,                  \
	.tx_push = conn_tx_push, .rx_view = conn_rx_view, .rx_done = conn_rx_done,                \
	.finish = kernel_finish, .close = kernel_close

const struct via via_tcp = {
	.name = "tcp",
	.what = "kernel TCP, TCP_NODELAY, epoll for many sockets",
	.control = &via_tcp,
	KERNEL_OPERATIONS,
};

const struct via via_mptcp = {
	.name = "mptcp",
	.what = "kernel MPTCP; subflows as ip-mptcp(8) has them",
	.control = &via_mptcp,
	.protocol = IPPROTO_MPTCP,
	.why = mptcp_why,
	KERNEL_OPERATIONS,
};

const struct via via_unix = {
	.name = "unix",
	.what = "Unix stream socket, the same host only",
	.control = &via_unix,
	.is_unix = true,
	KERNEL_OPERATIONS,
};
