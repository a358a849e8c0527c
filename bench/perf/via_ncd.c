/* SPDX-License-Identifier: MIT */
/*
 * via_ncd.c - virtual sockets of ncd. `ncd` sends and receives with private buffers, as a program
 * written for sockets does; `ncd-zc` works in the rings (reserve/commit, peek/consume).
 */
#include <errno.h>
#include <poll.h>
#include <sys/time.h>

#include "ncclient.h"
#include "via.h"

static int hub_open(struct hub *hub)
{
	return hub->conn_nr ? nc_cq_create(&hub->cq) : 0;
}

static void hub_close(struct hub *hub)
{
	nc_cq_destroy(hub->cq);
	hub->cq = NULL;
}

static int hub_wait(struct hub *hub, struct conn **ret_ready, int max, int timeout_ms)
{
	struct nc_event ev[VIA_READY_MAX];
	int nr = 0, n;

	n = nc_cq_wait(hub->cq, ev, max < VIA_READY_MAX ? max : VIA_READY_MAX, timeout_ms);
	if (n < 0)
		return n == -EINTR ? 0 : n;
	hub->turn++;
	for (int i = 0; i < n; i++) {
		/* The API carries a number, not a pointer. */
		struct conn *c = (struct conn *)(uintptr_t)ev[i].data;

		/* Several events of one socket are one report, which may end the connection. */
		if (c->fd != ev[i].socket || c->turn == hub->turn)
			continue;
		c->turn = hub->turn;
		/* A short read would hide an end that arrived together with the last bytes. */
		if (ev[i].events & (POLLRDHUP | POLLHUP | POLLERR))
			c->hung_up = true;
		ret_ready[nr++] = c;
	}
	return nr;
}

static int conn_listen(struct conn *c, const struct endpoint *ep, uint16_t *ret_port)
{
	struct endpoint own = { .len = sizeof(own.addr) };
	int r, s = nc_socket(ep->addr.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (s < 0)
		return s;
	r = nc_bind(s, &ep->addr.any, ep->len);
	if (r == 0)
		r = nc_listen(s, VIA_BACKLOG);
	if (r == 0)
		r = nc_getsockname(s, &own.addr.any, &own.len);
	if (r < 0) {
		(void)nc_close(s); /* never connected: nothing to lose */
		return r;
	}
	c->fd = s;
	*ret_port = ntohs(own.addr.any.sa_family == AF_INET6 ? own.addr.in6.sin6_port
							     : own.addr.in.sin_port);
	return 0;
}

static int conn_accept(struct conn *listener, struct conn *c)
{
	int s = nc_accept4(listener->fd, NULL, NULL, 0);

	if (s < 0)
		return s == -EINTR ? -EAGAIN : s;
	c->fd = s;
	return 0;
}

static int conn_connect(struct conn *c, const struct endpoint *ep, const struct endpoint *from)
{
	int r, s;

	s = nc_socket(ep->addr.any.sa_family, SOCK_STREAM | (c->blocking ? 0 : SOCK_NONBLOCK), 0);
	if (s < 0)
		return s;
	r = from ? nc_bind(s, &from->addr.any, from->len) : 0;
	if (r == 0)
		r = nc_connect(s, &ep->addr.any, ep->len);
	if (r < 0 && r != -EINPROGRESS) {
		(void)nc_close(s); /* not connected: nothing to lose */
		return r;
	}
	c->fd = s;
	return r;
}

static int conn_connected(struct conn *c)
{
	socklen_t len = sizeof(int);
	int err = 0, r = nc_getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);

	return r < 0 ? r : -err;
}

static int conn_bound(struct conn *c)
{
	struct timeval tv = { .tv_usec = VIA_BLOCK_MS * 1000 };
	int r = nc_setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));

	return r < 0 ? r : nc_setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int conn_attach(struct conn *c)
{
	uint32_t events = c->kind == CONN_LISTENER ? POLLIN : POLLIN | POLLOUT | POLLRDHUP;
	int r;

	if (c->blocking)
		return 0;
	r = nc_cq_add(c->hub->cq, c->fd, events, (uint64_t)(uintptr_t)c);
	c->attached = r == 0;
	return r;
}

static void conn_detach(struct conn *c)
{
	if (c->attached)
		(void)nc_cq_remove(c->hub->cq, c->fd); /* is there */
	c->attached = false;
}

static int conn_option(struct conn *c, int level, int name, const void *value, socklen_t len)
{
	return nc_setsockopt(c->fd, level, name, value, len);
}

static ssize_t conn_tx_view(struct conn *c, size_t want, void **ret_buf)
{
	*ret_buf = c->hub->tx_buf;
	return (ssize_t)(want < c->hub->buf_len ? want : c->hub->buf_len);
}

static ssize_t conn_tx_push(struct conn *c, size_t len)
{
	return nc_send(c->fd, c->hub->tx_buf, len, c->blocking ? 0 : MSG_DONTWAIT);
}

static ssize_t conn_rx_view(struct conn *c, size_t want, const void **ret_buf)
{
	size_t len = want < c->hub->buf_len ? want : c->hub->buf_len;

	*ret_buf = c->hub->rx_buf;
	return nc_recv(c->fd, c->hub->rx_buf, len, c->blocking ? 0 : MSG_DONTWAIT);
}

static int conn_rx_done(struct conn *c, size_t len)
{
	(void)c;
	(void)len; /* nc_recv() has taken it already */
	return 0;
}

static ssize_t ring_tx_view(struct conn *c, size_t want, void **ret_buf)
{
	return nc_reserve(c->fd, want, ret_buf, c->blocking ? 0 : MSG_DONTWAIT);
}

static ssize_t ring_tx_push(struct conn *c, size_t len)
{
	int r = nc_commit(c->fd, len);

	return r < 0 ? r : (ssize_t)len;
}

static ssize_t ring_rx_view(struct conn *c, size_t want, const void **ret_buf)
{
	return nc_peek(c->fd, want, ret_buf, c->blocking ? 0 : MSG_DONTWAIT);
}

static int ring_rx_done(struct conn *c, size_t len)
{
	return nc_consume(c->fd, len);
}

static int conn_finish(struct conn *c)
{
	return nc_shutdown(c->fd, SHUT_WR);
}

static void conn_close(struct conn *c)
{
	if (c->fd >= 0)
		(void)nc_close(c->fd); /* what was sent still arrives; leaves its queue by itself */
	c->fd = -1;
	c->attached = false;
}

#define NCD_OPERATIONS                                                                             \
	.uses_daemon = true, .hub_open = hub_open, .hub_close = hub_close, .wait = hub_wait,       \
	.listen = conn_listen, .accept = conn_accept, .connect = conn_connect,                     \
	.connected = conn_connected, .bound = conn_bound, .attach = conn_attach,                   \
	.detach = conn_detach, .option = conn_option, .why = nc_attach_why, .finish = conn_finish, \
	.close = conn_close

const struct via via_ncd = {
	.name = "ncd",
	.what = "virtual sockets, private buffers; nc_cq for many sockets",
	.short_is_drained = true,
	.control = &via_ncd,
	NCD_OPERATIONS,
	.tx_view = conn_tx_view,
	.tx_push = conn_tx_push,
	.rx_view = conn_rx_view,
	.rx_done = conn_rx_done,
};

const struct via via_ncd_zc = {
	.name = "ncd-zc",
	.what = "virtual sockets, nc_reserve/nc_commit and nc_peek/nc_consume",
	.control = &via_ncd,
	.latency = &via_ncd,
	NCD_OPERATIONS,
	.tx_view = ring_tx_view,
	.tx_push = ring_tx_push,
	.rx_view = ring_rx_view,
	.rx_done = ring_rx_done,
};
