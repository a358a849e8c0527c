/* SPDX-License-Identifier: MIT */
/*
 * poll.c - poll and ppoll.
 *
 * Virtual sockets are looked at in memory first; only if nothing is ready, the kernel waits for
 * their pollable descriptors; or we do, at its slot, if it is one socket and nothing else. A
 * listener has two descriptors to wait for. An epoll that is waited for is left to the kernel.
 * Where nothing of the kind is polled these calls are the kernel's.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../listener.h"
#include "chk.h"
#include "epoll.h"
#include "ncclient.h"
#include "real.h"
#include "../share.h"

#define SMALL   64 /* entries for which the stack is good enough */
#define AWAY_NS 10000000 /* between two looks at a socket that another process has */

struct polls {
	struct pollfd *fds; /* the program's */
	struct pollfd *all; /* the kernel's: the same, then seconds, then one that ends the list */
	nfds_t nfds, seconds;
	nfds_t virtuals;
	bool away; /* one of them is looked for in memory: another process has it, or confine.c */
	uint64_t until_ns;
	const sigset_t *mask;
};

/* The second descriptor to wait for where @fd is waited for, or -1. */
static int second_of(int fd)
{
	struct file *f = fd < 0 ? NULL : file_of(fd);

	if (!f || file_kind(f) != FILE_LISTENER)
		return -1;
	listener_use(f, fd);
	/* Relaxed: a stale one costs a look. */
	return atomic_load_explicit(&f->pollfd, memory_order_relaxed);
}

/* The virtual socket that @fd names, or -1. A parent's, in a child: the kernel knows its end. */
static int virtual_of(int fd)
{
	struct file *f = fd < 0 ? NULL : file_virtual(fd);

	return f ? file_nc(f) : -1;
}

bool poll_is_ours(int fd)
{
	struct file *f = file_of(fd);

	return f && (second_of(fd) >= 0 || file_kind(f) == FILE_VIRTUAL || f->set);
}

/* The kernel is going to wait for @fd. */
static void leave_queue(int fd)
{
	struct set *set = fd < 0 ? NULL : set_of(fd);
	struct listeners used;

	if (set && set_enter(set)) {
		set_listeners(set, fd, &used);
		set_leave_queue(set, fd);
		set_leave(set);
	}
}

/* False: nothing of it is ours. */
static bool polls_count(struct polls *p)
{
	if (file_top() < 0)
		return false;
	for (nfds_t i = 0; i < p->nfds; i++) {
		int fd = p->fds[i].fd;

		p->seconds += second_of(fd) >= 0;
		if (virtual_of(fd) >= 0) {
			share_fetch(virtual_of(fd));
			p->virtuals++;
		}
		leave_queue(fd);
	}
	return p->seconds + p->virtuals > 0;
}

/* What is true of virtual ones, into the program's; counts those that are ready. */
static int look_virtual(struct polls *p)
{
	int ready = 0;

	if (p->virtuals == 0)
		return 0;
	for (nfds_t i = 0; i < p->nfds; i++) {
		struct pollfd one = { virtual_of(p->fds[i].fd), p->fds[i].events, 0 };

		if (one.fd < 0)
			continue;
		p->fds[i].revents = poll_look(&one);
		/* A refusal that has come just now is not the program's to see: pending.h. */
		if (p->fds[i].revents & (POLLERR | POLLHUP | POLLNVAL) &&
		    virtual_of(p->fds[i].fd) != one.fd)
			p->fds[i].revents = 0;
		ready += p->fds[i].revents != 0;
	}
	return ready;
}

/* What the kernel is to wait for; virtual ones if it sleeps. */
static void kernel_fill(struct polls *p, bool sleeps)
{
	nfds_t at = p->nfds;

	p->away = false;
	memcpy(p->all, p->fds, p->nfds * sizeof(*p->fds));
	for (nfds_t i = 0; i < p->nfds; i++) {
		int nc = virtual_of(p->fds[i].fd), second = second_of(p->fds[i].fd);
		short in = p->fds[i].events & (POLLIN | POLLRDNORM);

		if (nc >= 0 && sleeps && (confined() || share_away(nc))) {
			p->all[i].fd = -1;
			p->away = true;
		} else if (nc >= 0) {
			p->all[i].fd = sleeps ? pollfd_watch(nc) : -1;
			if (sleeps && p->all[i].fd < 0)
				/* It is the kernel's, since just now. */
				p->all[i].fd = p->fds[i].fd;
		}
		if (second >= 0 && at < p->nfds + p->seconds)
			p->all[at++] = (struct pollfd){ .fd = second, .events = in };
	}
	p->seconds = at - p->nfds;
	p->all[at] = (struct pollfd){ .fd = -1 };
}

/* All that kernel_fill watched; a descriptor may have been closed or replaced meanwhile. */
static void kernel_done(struct polls *p)
{
	for (nfds_t i = 0; i < p->nfds; i++) {
		int nc = virtual_of(p->fds[i].fd);

		if (nc >= 0 && p->all[i].fd >= 0 && p->all[i].fd != p->fds[i].fd)
			pollfd_unwatch(nc);
	}
}

/* What the kernel said, but for virtual ones. What is readable at a second is readable at its
 * first. Counts those that are ready. */
static int kernel_merge(struct polls *p)
{
	const struct pollfd *second = &p->all[p->nfds];
	int ready = 0;

	for (nfds_t i = 0; i < p->nfds; i++) {
		short in = p->fds[i].events & (POLLIN | POLLRDNORM);

		if (virtual_of(p->fds[i].fd) >= 0)
			continue;
		/* What was virtual when it was waited for is looked at the next time. */
		p->fds[i].revents = p->all[i].fd == p->fds[i].fd ? p->all[i].revents : 0;
		if (second->fd >= 0 && second_of(p->fds[i].fd) == second->fd) {
			if (second->revents)
				p->fds[i].revents = (short)(p->fds[i].revents | in);
			second++;
		}
		ready += p->fds[i].revents != 0;
	}
	return ready;
}

/* The daemon is told of those listeners that the caller sleeps for, and that it does no more. */
static void listeners_tell(const struct polls *p, void (*tell)(int nc))
{
	/* Relaxed: whether any is polled. */
	if (p->seconds == 0 || atomic_load_explicit(&file_listeners, memory_order_relaxed) == 0)
		return;
	for (nfds_t i = 0; i < p->nfds; i++)
		if (p->fds[i].fd >= 0 && second_of(p->fds[i].fd) >= 0)
			tell(file_nc(file_of(p->fds[i].fd)));
}

/* What is left of the time; NULL: for ever. */
static const struct timespec *left(const struct polls *p, bool sleeps, struct timespec *ts)
{
	uint64_t now_ns, left_ns;

	if (!sleeps || p->until_ns == 0)
		return ts;
	if (p->until_ns == NC_FOREVER && !p->away)
		return NULL;
	now_ns = clock_now_ns();
	left_ns = p->until_ns > now_ns ? p->until_ns - now_ns : 0;
	if (p->away && left_ns > AWAY_NS)
		left_ns = AWAY_NS;
	ts->tv_sec = (time_t)(left_ns / 1000000000u);
	ts->tv_nsec = (long)(left_ns % 1000000000u);
	return ts;
}

/* As ppoll(2), of everything. -1 with errno. */
static int kernel_wait(struct polls *p, bool sleeps)
{
	struct timespec ts = { 0 };
	int ret;

	kernel_fill(p, sleeps);
	listeners_tell(p, sleeps ? listener_wait_begin : listener_ask);
	ret = real()->ppoll(p->all, p->nfds + p->seconds, left(p, sleeps, &ts), p->mask);
	if (sleeps) {
		int err = errno;

		listeners_tell(p, listener_wait_end);
		kernel_done(p);
		errno = err;
	}
	return ret;
}

/* Waits without the kernel's poll for what is alone. False: the kernel must. *ret: 0, or -1 with
 * errno. */
static bool lone_wait(const struct polls *p, int *ret)
{
	struct pollfd one = { .fd = p->nfds == 1 ? virtual_of(p->fds->fd) : -1 };

	if (one.fd < 0 || p->mask || confined())
		return false;
	one.events = p->fds->events;
	*ret = poll_sleep(&one, p->until_ns);
	if (*ret == -ENOTSUP)
		return false;
	if (*ret == -EINTR)
		errno = EINTR;
	*ret = *ret == -EINTR ? -1 : 0;
	return true;
}

/* Until something is ready, or it is time. -1 with errno. */
static int polls_wait(struct polls *p)
{
	for (;;) {
		int ready = look_virtual(p);
		bool sleeps = ready == 0 && p->until_ns != 0;
		bool lone;
		int ret;

		if (!sleeps && p->virtuals == p->nfds)
			return ready;
		lone = sleeps && lone_wait(p, &ret);
		if (!lone)
			ret = kernel_wait(p, sleeps);
		if (ret < 0)
			return ret;
		if (sleeps)
			ready = look_virtual(p);
		if (!lone)
			ready += kernel_merge(p);
		if (ready > 0 || !sleeps)
			return ready;
		/* A token may come late, for bytes that were read meanwhile: wait on. */
		if (p->until_ns != NC_FOREVER && clock_now_ns() >= p->until_ns)
			return 0;
	}
}

static int polls_run(struct polls *p)
{
	struct pollfd small[SMALL];
	int ret;

	p->all = small;
	if (p->nfds + p->seconds + 1 > SMALL) {
		p->all = calloc(p->nfds + p->seconds + 1, sizeof(*p->all));
		if (!p->all) {
			errno = ENOMEM;
			return -1;
		}
	}
	ret = polls_wait(p);
	if (p->all != small)
		free(p->all);
	return ret;
}

static uint64_t until_timespec(const struct timespec *limit)
{
	uint64_t ns;

	if (!limit)
		return NC_FOREVER;
	ns = (uint64_t)limit->tv_sec * 1000000000u + (uint64_t)limit->tv_nsec;
	return ns == 0 ? 0 : clock_now_ns() + ns;
}

int poll_program(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
		 const sigset_t *mask)
{
	struct polls p = { .fds = fds, .nfds = nfds, .mask = mask };

	/* The kernel judges what is wrong. */
	if ((timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 ||
			 timeout->tv_nsec >= 1000000000)) || !polls_count(&p))
		return real()->ppoll(fds, nfds, timeout, mask);
	p.until_ns = until_timespec(timeout);
	return polls_run(&p);
}

EXPORT int ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
		 const sigset_t *mask)
{
	return poll_program(fds, nfds, timeout, mask);
}

EXPORT int poll(struct pollfd *fds, nfds_t nfds, int timeout_ms)
{
	struct polls p = { .fds = fds, .nfds = nfds };

	if (!polls_count(&p))
		return real()->poll(fds, nfds, timeout_ms);
	p.until_ns = timeout_ms < 0    ? NC_FOREVER
		     : timeout_ms == 0 ? 0
				       : clock_now_ns() + (uint64_t)timeout_ms * 1000000u;
	return polls_run(&p);
}

EXPORT int __poll_chk(struct pollfd *fds, nfds_t nfds, int timeout_ms, size_t size)
{
	if (size / sizeof(*fds) < nfds)
		__chk_fail();
	return poll(fds, nfds, timeout_ms);
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
		       const sigset_t *mask, size_t size)
{
	if (size / sizeof(*fds) < nfds)
		__chk_fail();
	return poll_program(fds, nfds, timeout, mask);
}
