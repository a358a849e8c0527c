/* SPDX-License-Identifier: MIT */
/*
 * accept.c - accept at a listener (listener.c): from the kernel's socket and the virtual one in
 * turn, waiting for both.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "../listener.h"
#include "file.h"
#include "kernel.h"
#include "limit.h"
#include "ncclient.h"
#include "real.h"
#include "way.h"

/* What an accept has made before there is a connection for it. */
struct prepared {
	struct file *from;
	int flags, fd;
};

static int prepare(int nc, void *arg)
{
	struct prepared *p = arg;

	p->fd = file_prepare(nc, p->from, p->flags);
	return p->fd < 0 ? p->fd : 0;
}

static int accept_virtual(struct file *f, struct sockaddr *addr, socklen_t *len, int flags)
{
	struct prepared p = { f, flags, -1 };
	socklen_t room = addr && len ? *len : 0;
	int nc = file_nc(f);
	union address from;
	socklen_t from_len = (int)room < 0 ? room : sizeof(from); /* to be refused */

	if (nc < 0) {
		errno = EAGAIN;
		return -1;
	}
	nc = listener_accept(nc, &from.sa, &from_len, flags & SOCK_NONBLOCK, !file_nonblock(f),
			     prepare, &p);
	if (nc < 0 && p.fd >= 0)
		(void)file_close(p.fd); /* another was faster */
	if (nc == -ECONNRESET || nc == -EBADF) {
		listener_detach(f);
		nc = -EAGAIN;
	}
	if (nc < 0) {
		errno = -nc;
		return -1;
	}
	if (addr && len) {
		memcpy(addr, &from.sa, room < from_len ? room : from_len);
		*len = from_len;
	}
	way_say("accept", &from.sa, from_len, NULL);
	file_prepared(p.fd, nc, f);
	return p.fd;
}

/* One look at both, in turn. */
static int accept_try(struct file *f, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	/* Relaxed: fairness only. */
	uint32_t turn = atomic_fetch_add_explicit(&f->turn, 1, memory_order_relaxed);
	int got;

	for (uint32_t i = 0; i < 2; i++) {
		got = (turn + i) % 2 ? accept_virtual(f, addr, len, flags)
				     : kernel_accept(fd, addr, len, flags);
		if (got >= 0 || errno != EAGAIN)
			return got;
	}
	return got;
}

/* True if what interrupts here is followed by a restart: no handler is without SA_RESTART. */
static bool signals_restart(void)
{
	for (int nr = 1; nr < NSIG; nr++) {
		struct sigaction sa;

		if (sigaction(nr, NULL, &sa) == 0 && sa.sa_handler != SIG_DFL &&
		    sa.sa_handler != SIG_IGN && !(sa.sa_flags & SA_RESTART))
			return false;
	}
	return true;
}

/* When a blocking accept ends with EAGAIN: SO_RCVTIMEO. */
static uint64_t accept_until(int fd)
{
	struct timeval tv = { 0 };
	socklen_t len = sizeof(tv);

	if (real()->getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len) < 0 ||
	    (tv.tv_sec == 0 && tv.tv_usec == 0))
		return NC_FOREVER;
	return clock_now_ns() + (uint64_t)tv.tv_sec * 1000000000u + (uint64_t)tv.tv_usec * 1000u;
}

/* The caller has looked. True: meanwhile the virtual one has been lost, or there is a new one. */
static bool accept_find(struct file *f, int fd)
{
	int err = errno, nc = file_nc(f);

	if (nc >= 0 && listener_dead(nc))
		listener_lost(f, nc);
	listener_retry(f, fd);
	errno = err;
	return file_nc(f) != nc;
}

/* 0: look again. -1 with errno. */
static int accept_wait(struct file *f, int fd, uint64_t until_ns)
{
	/* Relaxed: a stale descriptor costs a look. */
	struct pollfd fds[2] = { { fd, POLLIN, 0 },
				 { atomic_load_explicit(&f->pollfd, memory_order_relaxed), POLLIN,
				   0 } };
	uint64_t now_ns = clock_now_ns();
	struct timespec ts = { 0 };
	int nc = file_nc(f), n, err;

	if (until_ns != NC_FOREVER && now_ns < until_ns) {
		ts.tv_sec = (time_t)((until_ns - now_ns) / 1000000000u);
		ts.tv_nsec = (long)((until_ns - now_ns) % 1000000000u);
	}
	listener_wait_begin(nc);
	n = real()->ppoll(fds, 2, until_ns == NC_FOREVER ? NULL : &ts, NULL);
	err = errno;
	listener_wait_end(nc);
	errno = err;
	if (n == 0)
		errno = EAGAIN;
	if (n > 0 || (n < 0 && errno == EINTR && until_ns == NC_FOREVER && signals_restart()))
		return 0;
	return -1;
}

/* The program has a client now, to be busy with. */
static void accept_done(struct file *f, int fd)
{
	int err = errno;

	listener_busy(file_nc(f));
	errno = err;
	(void)accept_find(f, fd);
}

static void accept_none(struct file *f, int fd)
{
	(void)accept_find(f, fd);
	listener_ask(file_nc(f));
	errno = EAGAIN;
}

static int accept_listener(struct file *f, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	uint64_t until_ns = 0;

	if (addr && len && (int)*len < 0) {
		errno = EINVAL;
		return -1;
	}
	if (!uring_in_use())
		listener_use(f, fd);
	for (;;) {
		int got = accept_try(f, fd, addr, len, flags);

		if (got >= 0)
			accept_done(f, fd);
		else if (errno == EAGAIN && file_nonblock(f))
			accept_none(f, fd);
		if (got >= 0 || errno != EAGAIN || file_nonblock(f))
			return got;
		if (accept_find(f, fd))
			continue;
		if (until_ns == 0)
			until_ns = accept_until(fd);
		if (accept_wait(f, fd, until_ns) < 0)
			return -1;
	}
}

EXPORT int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *__restrict len, int flags)
{
	struct file *f = file_of(fd);
	int nc;

	if (!f || (file_kind(f) != FILE_LISTENER && file_kind(f) != FILE_VIRTUAL))
		return limit_reached() ? -1 : limit_give(real()->accept4(fd, addr, len, flags));
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) {
		errno = EINVAL;
		return -1;
	}
	if (file_kind(f) == FILE_LISTENER)
		return accept_listener(f, fd, addr.__sockaddr__, len, flags);
	nc = nc_accept4(file_nc(f), addr.__sockaddr__, len, flags & SOCK_NONBLOCK);
	return nc < 0 ? (int)file_result(f, nc) : file_open_accepted(nc, f, flags);
}

EXPORT int accept(int fd, __SOCKADDR_ARG addr, socklen_t *__restrict len)
{
	return accept4(fd, addr, len, 0);
}
