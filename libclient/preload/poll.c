/* SPDX-License-Identifier: MIT */
/*
 * poll.c - poll and ppoll.
 *
 * Virtual sockets are looked at in memory first; only if nothing is ready, the thread sleeps at its
 * queue, or at the slot of one that is alone. Beside others the kernel waits for the queue's
 * descriptor, and for a pollable descriptor of each that cannot be in the queue. A listener has two
 * descriptors to wait for. An epoll that is waited for is left to the kernel.
 * Where nothing of the kind is polled these calls are the kernel's.
 */
#include <poll.h>
#include <string.h>
#include <time.h>

#include "../listener.h"
#include "../poll_queue.h"
#include "chk.h"
#include "epoll.h"
#include "ncclient.h"
#include "real.h"
#include "../memory.h"
#include "../share.h"

#define SMALL   64 /* entries for which the stack is good enough */
#define AWAY_NS 10000000 /* between two looks at a socket that another process has */

struct polls {
	struct pollfd *fds; /* the program's */
	struct pollfd *all; /* the kernel's: the same, then seconds, then one that ends the list */
	nfds_t nfds, seconds;
	nfds_t virtuals, ignored;
	bool queue;  /* the thread's may be used */
	bool queued; /* virtual ones are in it: its descriptor is the last of all */
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

		p->ignored += fd < 0;
		p->seconds += second_of(fd) >= 0;
		if (virtual_of(fd) >= 0) {
			share_fetch(virtual_of(fd));
			p->virtuals++;
		}
		leave_queue(fd);
	}
	return p->seconds + p->virtuals > 0;
}

/* What is true of virtual ones, into the program's, and nothing of others; counts those that are
 * ready. */
static int look_virtual(struct polls *p)
{
	int ready = 0;

	if (p->virtuals == 0)
		return 0;
	for (nfds_t i = 0; i < p->nfds; i++) {
		struct pollfd one = { virtual_of(p->fds[i].fd), p->fds[i].events, 0 };

		p->fds[i].revents = 0;
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

/* Virtual socket @nc is waited for by the thread's queue. */
static bool kernel_queue(struct polls *p, int nc, short events)
{
	if (!p->queue || poll_queue_fd() < 0 || !poll_queue_want(nc, events))
		return false;
	p->queued = true;
	return true;
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
		} else if (nc >= 0 && (!sleeps || kernel_queue(p, nc, p->fds[i].events))) {
			p->all[i].fd = -1;
		} else if (nc >= 0) {
			p->all[i].fd = pollfd_watch(nc);
			if (p->all[i].fd < 0)
				/* It is the kernel's, since just now. */
				p->all[i].fd = p->fds[i].fd;
		}
		if (second >= 0 && at < p->nfds + p->seconds)
			p->all[at++] = (struct pollfd){ .fd = second, .events = in };
	}
	p->seconds = at - p->nfds;
	/* Ends the list for kernel_merge. */
	p->all[at] = (struct pollfd){ .fd = p->queued ? poll_queue_fd() : -1, .events = POLLIN };
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
	bool waits;
	int ret, err;

	kernel_fill(p, sleeps);
	listeners_tell(p, sleeps ? listener_wait_begin : listener_ask);
	waits = sleeps && (!p->queued || poll_queue_enter());
	ret = real()->ppoll(p->all, p->nfds + p->seconds + p->queued, left(p, waits, &ts), p->mask);
	if (!sleeps)
		return ret;
	err = errno;
	if (waits && p->queued)
		poll_queue_leave(ret > 0 && p->all[p->nfds + p->seconds].revents);
	listeners_tell(p, listener_wait_end);
	kernel_done(p);
	errno = err;
	return ret;
}

/* The same, with the thread's queue if there is one to be had. */
static int kernel_wait_queued(struct polls *p)
{
	int ret;

	p->queue = p->virtuals > 0 && !confined() && poll_queue_begin();
	p->queued = false;
	ret = kernel_wait(p, true);
	if (p->queue)
		poll_queue_end();
	return ret;
}

/* Waits without the kernel's poll for virtual ones, if there is nothing else. False: the kernel
 * must. *ret: 0, or -1 with errno. */
static bool virtual_wait(const struct polls *p, int *ret)
{
	nfds_t nr = 0;

	if (p->virtuals + p->ignored < p->nfds || p->mask || confined())
		return false;
	for (nfds_t i = 0; i < p->nfds; i++) {
		struct pollfd one = { virtual_of(p->fds[i].fd), p->fds[i].events, 0 };

		if (one.fd >= 0)
			p->all[nr++] = one;
	}
	if (nr < p->virtuals)
		return false; /* one has become the kernel's just now */
	*ret = poll_sleep(p->all, nr, p->until_ns);
	if (*ret == -ENOTSUP)
		return false;
	if (*ret == -EINTR)
		errno = EINTR;
	*ret = *ret == -EINTR ? -1 : 0;
	return true;
}

/*
 * Listeners are looked at as often as the kernel's part of a set (epoll.h) while there is something
 * else: who comes, comes at any time.
 */
static bool listeners_due(void)
{
	/* Global: why: a thread's polls in a row. */
	static _Thread_local uint64_t looked_ns;
	uint64_t now_ns = clock_now_ns();

	if (now_ns - looked_ns < LOOK_NS)
		return false;
	looked_ns = now_ns;
	return true;
}

/* What is ready is enough, and is not to be waited for. */
static bool looked_enough(const struct polls *p, int ready)
{
	if (ready == 0 && p->until_ns != 0)
		return false;
	if (p->virtuals + p->ignored == p->nfds)
		return true;
	return ready > 0 && p->until_ns != 0 &&
	       p->virtuals + p->ignored + p->seconds == p->nfds && !listeners_due();
}

/* Until something is ready, or it is time. -1 with errno. */
static int polls_wait(struct polls *p)
{
	for (;;) {
		int ready = look_virtual(p);
		bool sleeps = ready == 0 && p->until_ns != 0;
		bool ours;
		int ret;

		if (looked_enough(p, ready))
			return ready;
		ours = sleeps && virtual_wait(p, &ret);
		if (!ours)
			ret = sleeps ? kernel_wait_queued(p) : kernel_wait(p, false);
		if (ret < 0)
			return ret;
		if (sleeps)
			ready = look_virtual(p);
		if (!ours)
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
		p->all = memory_take(p->nfds + p->seconds + 1, sizeof(*p->all));
		if (!p->all) {
			errno = ENOMEM;
			return -1;
		}
	}
	ret = polls_wait(p);
	if (p->all != small)
		memory_give(p->all);
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
