/* SPDX-License-Identifier: MIT */
/*
 * io_epoll.c - the epoll back end, for where io_uring is refused.
 *
 * Edge triggered: what a syscall could not do is tried again at the next edge. The link that
 * received last is also tried without asking epoll, since during a ping-pong it is the next one
 * again.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "io_backend.h"

#define EVENTS_MAX  64
#define EPOLL_EVERY 4u /* polls between two looks at epoll while a link is hot */

struct epoll {
	struct io io;
	int fd;
	struct io_link *hot; /* received last; tried directly */
	uint32_t polls;
	uint32_t hot_misses;
};

static struct epoll *epoll_of(struct io *io)
{
	return (struct epoll *)(void *)io;
}

static int epoll_link_add(struct io *io, struct io_link *l)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };

	ev.data.u64 = (uint64_t)(uintptr_t)l;
	l->readable = l->writable = true;
	return epoll_ctl(epoll_of(io)->fd, EPOLL_CTL_ADD, l->fd, &ev) < 0 ? -errno : 0;
}

static void epoll_link_drop(struct io *io, struct io_link *l)
{
	struct epoll *e = epoll_of(io);

	/* Nothing is ever lent to the kernel beyond a syscall. */
	(void)epoll_ctl(e->fd, EPOLL_CTL_DEL, l->fd, NULL);
	if (l->rx == IO_LENT)
		io_recv_done(io, l, -ECANCELED);
	if (l->tx == IO_LENT)
		io_send_done(io, l, -ECANCELED);
	if (e->hot == l)
		e->hot = NULL;
}

static void epoll_link_remove(struct io *io, struct io_link *l)
{
	(void)io;
	(void)l;
}

/* Returns > 0, -EAGAIN, or another -errno. */
static int try_recv(struct epoll *e, struct io_link *l)
{
	ssize_t n;

	e->io.calls++;
	do
		n = recvmsg(l->fd, &l->rx_msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		e->hot = l;
		e->hot_misses = 0;
		return (int)n;
	}
	if (n == 0)
		return -EPIPE;
	if (errno == EAGAIN)
		l->readable = false;
	return -errno;
}

static int try_send(struct epoll *e, struct io_link *l)
{
	int n = io_send_now(&e->io, l);

	if (n == -EAGAIN)
		l->writable = false;
	return n;
}

static int epoll_recv(struct io *io, struct io_link *l)
{
	int n = l->readable ? try_recv(epoll_of(io), l) : -EAGAIN;

	if (n != -EAGAIN)
		return n;
	l->rx = IO_LENT;
	return 0;
}

static int epoll_send(struct io *io, struct io_link *l)
{
	int n = l->writable ? try_send(epoll_of(io), l) : -EAGAIN;

	if (n != -EAGAIN)
		return n;
	l->tx = IO_LENT;
	return 0;
}

/* Watches are told from links by the low bit of the address. */
static int epoll_watch_add(struct io *io, struct io_watch *w)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };

	ev.data.u64 = (uint64_t)(uintptr_t)w | 1;
	return epoll_ctl(epoll_of(io)->fd, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? -errno : 0;
}

static void epoll_watch_remove(struct io *io, struct io_watch *w)
{
	(void)epoll_ctl(epoll_of(io)->fd, EPOLL_CTL_DEL, w->fd, NULL);
}

static void link_event(struct epoll *e, struct io_link *l, uint32_t events)
{
	int n;

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		l->readable = true;
		if (l->rx == IO_LENT) {
			n = try_recv(e, l);
			if (n != -EAGAIN)
				io_recv_done(&e->io, l, n);
		}
	}
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		l->writable = true;
		if (l->tx == IO_LENT) {
			n = try_send(e, l);
			if (n != -EAGAIN)
				io_send_done(&e->io, l, n);
		}
	}
}

static int timeout_ms(uint64_t timeout_ns)
{
	if (timeout_ns == UINT64_MAX)
		return -1;
	if (timeout_ns > (uint64_t)INT32_MAX * 1000000)
		return INT32_MAX;
	return (int)((timeout_ns + 999999) / 1000000);
}

static void epoll_look(struct epoll *e, uint64_t timeout_ns)
{
	struct epoll_event ev[EVENTS_MAX];
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / 1000000000u),
		.tv_nsec = (long)(timeout_ns % 1000000000u),
	};
	int n;

	e->io.calls++;
	if (timeout_ns == 0)
		n = epoll_wait(e->fd, ev, EVENTS_MAX, 0);
	else
		n = epoll_pwait2(e->fd, ev, EVENTS_MAX, timeout_ns == UINT64_MAX ? NULL : &ts,
				 NULL);
	/* Where a sandbox knows no pwait2: milliseconds, rounded up. */
	if (n < 0 && errno == ENOSYS)
		n = epoll_wait(e->fd, ev, EVENTS_MAX, timeout_ms(timeout_ns));
	for (int i = 0; i < n; i++) {
		void *of = (void *)(uintptr_t)(ev[i].data.u64 & ~UINT64_C(1));

		if (ev[i].data.u64 & 1)
			io_watch_rung(&e->io, of);
		else
			link_event(e, of, ev[i].events);
	}
}

static void epoll_poll(struct io *io)
{
	struct epoll *e = epoll_of(io);
	struct io_link *l = e->hot;
	int n;

	if (l && l->rx == IO_LENT) {
		n = try_recv(e, l);
		if (n != -EAGAIN)
			io_recv_done(io, l, n);
		else if (++e->hot_misses > 256)
			e->hot = NULL;
		if (++e->polls % EPOLL_EVERY)
			return;
	}
	epoll_look(e, 0);
}

static void epoll_sleep(struct io *io, uint64_t timeout_ns)
{
	epoll_look(epoll_of(io), timeout_ns);
}

static bool epoll_pending(struct io *io)
{
	(void)io;
	return false; /* the wait itself tells at once */
}

static void epoll_destroy(struct io *io)
{
	struct epoll *e = epoll_of(io);

	close(e->fd);
	free(e);
}

static const struct io_ops epoll_ops = {
	.name = "epoll",
	.destroy = epoll_destroy,
	.link_add = epoll_link_add,
	.link_drop = epoll_link_drop,
	.link_remove = epoll_link_remove,
	.recv = epoll_recv,
	.send = epoll_send,
	.watch_add = epoll_watch_add,
	.watch_remove = epoll_watch_remove,
	.poll = epoll_poll,
	.wait = epoll_sleep,
	.pending = epoll_pending,
};

int io_epoll_create(struct io **ret_io)
{
	struct epoll *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return -ENOMEM;
	e->io.ops = &epoll_ops;
	e->fd = epoll_create1(EPOLL_CLOEXEC);
	if (e->fd < 0) {
		ret = -errno;
		free(e);
		return ret;
	}
	*ret_io = &e->io;
	return 0;
}
