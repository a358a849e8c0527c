/* SPDX-License-Identifier: MIT */
/*
 * poll.c - nc_poll: virtual sockets and ordinary descriptors in one poll(2).
 *
 * Virtual sockets are looked at in the rings. Only if nothing is ready, the kernel waits for their
 * pollable descriptors, which are kept true meanwhile. One that is alone is slept for at its slot,
 * as a blocking call would, and several at a queue of the thread's, if there is nothing else: that
 * takes one syscall, and not four for each.
 */
#include <poll.h>

#include "memory.h"
#include "ncclient.h"
#include "poll_queue.h"
#include "pollfd.h"
#include "sock_calls.h"

#define SMALL 32 /* entries for which the stack is good enough */

static bool is_virtual(int fd)
{
	return fd >= NC_SOCKET_BASE;
}

static uint32_t events_of(short events)
{
	return (events & (POLLIN | POLLRDNORM) ? EV_IN : 0) |
	       (events & (POLLOUT | POLLWRNORM) ? EV_OUT : 0);
}

short poll_look(const struct pollfd *p)
{
	uint32_t all = (uint32_t)(uint16_t)p->events | POLLERR | POLLHUP;
	struct nc_sock *s = sock_find(p->fd);
	short ready;
	int ret;

	if (!s)
		return POLLNVAL;
	lock_take(&s->tx.lock);
	do {
		ret = 0;
		if (sock_elsewhere(s) && sock_called(s, events_of(p->events)))
			ret = sock_fetch(s, &s->tx.lock); /* else it is not ready yet */
		if (!sock_open(s))
			ready = POLLNVAL;
		else
			ready = (short)((uint32_t)(uint16_t)sock_poll(s, all) & all);
	} while (ready && ret == 0 && sock_lent_away(s));
	lock_release(&s->tx.lock);
	return ready;
}

static bool look_both(struct nc_sock *s)
{
	return rx_look(s) || tx_look(s);
}

/* One that is alone, at its slot. */
static int lone_sleep(const struct pollfd *p, uint64_t until_ns)
{
	struct nc_sock *s = sock_find(p->fd);
	uint32_t events = events_of(p->events);
	int ret = -ENOTSUP;

	/* What else may be asked for comes with what is read. */
	if (!s || events == 0 || (events == EV_OUT && p->events & POLLRDHUP))
		return ret;
	/* A handler interrupts it, even one that was installed with SA_RESTART: futex.h. */
	if (until_ns == NC_FOREVER)
		until_ns--;
	lock_take(&s->rx.lock);
	if (sock_open(s) && sock_phase(s) == PHASE_CONNECTED && !flag_get(&s->shared))
		ret = sock_sleep_point(s, &s->rx.lock, events | EV_ERR | EV_HUP,
				       events == EV_IN    ? rx_look
				       : events == EV_OUT ? tx_look
							  : look_both,
				       until_ns);
	lock_release(&s->rx.lock);
	return ret;
}

/* Several, at the thread's queue. */
static int queue_sleep(const struct pollfd *p, nfds_t nr, uint64_t until_ns)
{
	bool all = true;
	int ret;

	if (!poll_queue_begin())
		return -ENOTSUP;
	for (nfds_t i = 0; i < nr && all; i++)
		all = poll_queue_want(p[i].fd, p[i].events);
	ret = all ? poll_queue_sleep(until_ns) : -ENOTSUP;
	poll_queue_end();
	return ret == -ETIMEDOUT ? -EAGAIN : ret;
}

int poll_sleep(const struct pollfd *p, nfds_t nr, uint64_t until_ns)
{
	return nr == 1 ? lone_sleep(p, until_ns) : queue_sleep(p, nr, until_ns);
}

/* Fills in revents of the virtual ones; returns how many are ready. */
static int look_virtual(struct pollfd *fds, nfds_t nfds)
{
	int n = 0;

	for (nfds_t i = 0; i < nfds; i++) {
		if (!is_virtual(fds[i].fd))
			continue;
		fds[i].revents = poll_look(&fds[i]);
		n += fds[i].revents != 0;
	}
	return n;
}

/* What the kernel is to wait for. 0, or why a virtual socket cannot be waited for. */
static int real_fill(struct pollfd *real, const struct pollfd *fds, nfds_t nfds, bool virtual_too)
{
	int ret = 0;

	for (nfds_t i = 0; i < nfds; i++) {
		real[i] = fds[i];
		if (!is_virtual(fds[i].fd))
			continue;
		real[i].fd = -1; /* poll(2) leaves it out */
		if (!virtual_too || ret < 0)
			continue;
		real[i].fd = pollfd_watch(fds[i].fd);
		if (real[i].fd < -1 && real[i].fd != -EBADF) /* else the next look says so */
			ret = real[i].fd == -EMFILE ? -ENOMEM : real[i].fd;
	}
	return ret;
}

static void real_empty(const struct pollfd *real, const struct pollfd *fds, nfds_t nfds)
{
	for (nfds_t i = 0; i < nfds; i++)
		if (is_virtual(fds[i].fd) && real[i].fd >= 0)
			pollfd_unwatch(fds[i].fd);
}

/* poll(2) until @until_ns (0: does not wait). Ordinary revents go to @fds. */
static int real_poll(struct pollfd *real, struct pollfd *fds, nfds_t nfds, uint64_t until_ns)
{
	struct timespec ts = { 0 };
	int n = 0;

	if (until_ns != 0 && until_ns != NC_FOREVER) {
		uint64_t now_ns = clock_now_ns();
		uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;

		ts.tv_sec = (time_t)(left_ns / 1000000000u);
		ts.tv_nsec = (long)(left_ns % 1000000000u);
	}
	if (ppoll(real, nfds, until_ns == NC_FOREVER ? NULL : &ts, NULL) < 0)
		return -errno;
	for (nfds_t i = 0; i < nfds; i++) {
		if (is_virtual(fds[i].fd))
			continue;
		fds[i].revents = real[i].revents;
		n += fds[i].revents != 0;
	}
	return n;
}

/* As real_poll, of all; of ordinary ones alone, and without waiting, if not @wait. */
static int real_wait(struct pollfd *real, struct pollfd *fds, nfds_t nfds, bool wait,
		     uint64_t until_ns)
{
	int ret = real_fill(real, fds, nfds, wait);

	if (ret == 0)
		ret = real_poll(real, fds, nfds, wait ? until_ns : 0);
	real_empty(real, fds, nfds);
	return ret;
}

static bool all_virtual(const struct pollfd *fds, nfds_t nfds)
{
	for (nfds_t i = 0; i < nfds; i++)
		if (!is_virtual(fds[i].fd))
			return false;
	return nfds > 0;
}

static int poll_loop(struct pollfd *real, struct pollfd *fds, nfds_t nfds, int timeout_ms)
{
	uint64_t until_ns = timeout_ms < 0    ? NC_FOREVER
			    : timeout_ms == 0 ? 0
					      : wait_until((uint64_t)timeout_ms * 1000000u);

	for (;;) {
		int ready = look_virtual(fds, nfds);
		bool wait = ready == 0 && until_ns != 0;
		int n = wait && all_virtual(fds, nfds) ? poll_sleep(fds, nfds, until_ns) : -ENOTSUP;

		if (n == -ENOTSUP)
			n = real_wait(real, fds, nfds, wait, until_ns);
		else if (n != -EINTR)
			n = 0; /* which the next look explains */
		if (n < 0)
			return n;
		if (wait)
			ready = look_virtual(fds, nfds);
		if (n + ready > 0 || !wait)
			return n + ready;
		/* A token may come late, for bytes that were read meanwhile: wait on. */
		if (until_ns != NC_FOREVER && clock_now_ns() >= until_ns)
			return 0;
	}
}

int nc_poll(struct pollfd *fds, nfds_t nfds, int timeout_ms)
{
	struct pollfd small[SMALL], *real = small;
	int ret;

	if (nfds > SMALL) {
		real = memory_take(nfds, sizeof(*real));
		if (!real)
			return -ENOMEM;
	}
	ret = poll_loop(real, fds, nfds, timeout_ms);
	if (real != small)
		memory_give(real);
	return ret;
}
