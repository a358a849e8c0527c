/* SPDX-License-Identifier: MIT */
/*
 * poll.c - poll and select, where a listener has two descriptors to wait for.
 *
 * Virtual sockets need nothing: their descriptors are polled by the kernel. As long as no listener
 * is of both kinds these calls are the kernel's.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chk.h"
#include "file.h"
#include "real.h"

#define SMALL 64 /* entries for which the stack is good enough */

static bool listeners(void)
{
	/* Relaxed: one that comes just now is waited for by the next call. */
	return atomic_load_explicit(&file_listeners, memory_order_relaxed) > 0;
}

/* The second descriptor to wait for where @fd is waited for, or -1. */
static int second_of(int fd)
{
	struct file *f = file_of(fd);

	if (!f || file_kind(f) != FILE_LISTENER)
		return -1;
	/* Relaxed: a stale one costs a look. */
	return atomic_load_explicit(&f->pollfd, memory_order_relaxed);
}

static nfds_t seconds_nr(const struct pollfd *fds, nfds_t nfds)
{
	nfds_t nr = 0;

	for (nfds_t i = 0; i < nfds; i++)
		nr += fds[i].fd >= 0 && second_of(fds[i].fd) >= 0;
	return nr;
}

/* What is readable at a second is readable at its first; counts those that have become ready. */
static int seconds_merge(struct pollfd *fds, nfds_t nfds, const struct pollfd *second)
{
	int ready = 0;

	for (nfds_t i = 0; i < nfds; i++) {
		if (fds[i].fd >= 0 && second->fd >= 0 && second_of(fds[i].fd) == second->fd) {
			short in = fds[i].events & (POLLIN | POLLRDNORM);

			if (second->revents)
				fds[i].revents = (short)(fds[i].revents | in);
			second++;
		}
		ready += fds[i].revents != 0;
	}
	return ready;
}

static int poll_both(struct pollfd *fds, nfds_t nfds, nfds_t nr, const struct timespec *limit,
		     const sigset_t *mask)
{
	struct pollfd small[SMALL], *all = small;
	nfds_t at = nfds;
	int ret;

	if (nfds + nr + 1 > SMALL) {
		all = calloc(nfds + nr + 1, sizeof(*all));
		if (!all) {
			errno = ENOMEM;
			return -1;
		}
	}
	memcpy(all, fds, nfds * sizeof(*fds));
	for (nfds_t i = 0; i < nfds && at < nfds + nr; i++) {
		int second = fds[i].fd >= 0 ? second_of(fds[i].fd) : -1;

		if (second >= 0)
			all[at++] =
				(struct pollfd){ .fd = second,
						 .events = fds[i].events & (POLLIN | POLLRDNORM) };
	}
	all[at] = (struct pollfd){ .fd = -1 }; /* ends the list for seconds_merge */
	ret = real()->ppoll(all, at, limit, mask);
	if (ret >= 0) {
		for (nfds_t i = 0; i < nfds; i++)
			fds[i].revents = all[i].revents;
		ret = seconds_merge(fds, nfds, &all[nfds]);
	}
	if (all != small)
		free(all);
	return ret;
}

EXPORT int ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
		 const sigset_t *mask)
{
	nfds_t nr = listeners() ? seconds_nr(fds, nfds) : 0;

	return nr == 0 ? real()->ppoll(fds, nfds, timeout, mask)
		       : poll_both(fds, nfds, nr, timeout, mask);
}

EXPORT int poll(struct pollfd *fds, nfds_t nfds, int timeout_ms)
{
	nfds_t nr = listeners() ? seconds_nr(fds, nfds) : 0;
	struct timespec ts = { .tv_sec = timeout_ms / 1000,
			       .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };

	if (nr == 0)
		return real()->poll(fds, nfds, timeout_ms);
	return poll_both(fds, nfds, nr, timeout_ms < 0 ? NULL : &ts, NULL);
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
	return ppoll(fds, nfds, timeout, mask);
}

/* ---- select: as a poll ---- */

/*
 * Bit @fd of a set that may be longer than fd_set: programs with more descriptors than FD_SETSIZE
 * give the kernel larger ones.
 */
static bool set_has(const fd_set *set, int fd)
{
	const unsigned long *word = (const void *)set;

	return set && word[fd / (int)(8 * sizeof(long))] >> (fd % (int)(8 * sizeof(long))) & 1;
}

static void set_put(fd_set *set, int fd, bool on)
{
	unsigned long *word = (void *)set, bit = 1ul << (fd % (int)(8 * sizeof(long)));

	if (!set)
		return;
	word += fd / (int)(8 * sizeof(long));
	*word = on ? *word | bit : *word & ~bit;
}

static bool select_wants(int nfds, const fd_set *in)
{
	for (int fd = 0; in && fd < nfds; fd++)
		if (set_has(in, fd) && second_of(fd) >= 0)
			return true;
	return false;
}

static short select_events(int fd, const fd_set *in, const fd_set *out, const fd_set *except)
{
	return (short)((set_has(in, fd) ? POLLIN : 0) | (set_has(out, fd) ? POLLOUT : 0) |
		       (set_has(except, fd) ? POLLPRI : 0));
}

/* The three sets from what poll found, as the kernel's select reads it. -1 with EBADF. */
static int select_sets(struct pollfd *fds, nfds_t nr, fd_set *in, fd_set *out, fd_set *except)
{
	int ready = 0;

	for (nfds_t i = 0; i < nr; i++)
		if (fds[i].revents & POLLNVAL) {
			errno = EBADF;
			return -1;
		}
	for (nfds_t i = 0; i < nr; i++) {
		short got = fds[i].revents, want = fds[i].events;
		bool r = want & POLLIN && got & (POLLIN | POLLHUP | POLLERR);
		bool w = want & POLLOUT && got & (POLLOUT | POLLERR);
		bool e = want & POLLPRI && got & POLLPRI;

		set_put(in, fds[i].fd, r);
		set_put(out, fds[i].fd, w);
		set_put(except, fds[i].fd, e);
		ready += r + w + e;
	}
	return ready;
}

static int select_both(int nfds, fd_set *in, fd_set *out, fd_set *except,
		       const struct timespec *limit, const sigset_t *mask)
{
	struct pollfd *fds = calloc((size_t)nfds, sizeof(*fds));
	nfds_t nr = 0;
	int ret;

	if (!fds) {
		errno = ENOMEM;
		return -1;
	}
	for (int fd = 0; fd < nfds; fd++) {
		short events = select_events(fd, in, out, except);

		if (events)
			fds[nr++] = (struct pollfd){ .fd = fd, .events = events };
	}
	ret = ppoll(fds, nr, limit, mask);
	if (ret >= 0)
		ret = select_sets(fds, nr, in, out, except);
	free(fds);
	return ret;
}

EXPORT int pselect(int nfds, fd_set *__restrict in, fd_set *__restrict out,
		   fd_set *__restrict except, const struct timespec *__restrict limit,
		   const sigset_t *__restrict mask)
{
	if (!listeners() || !select_wants(nfds, in))
		return real()->pselect(nfds, in, out, except, limit, mask);
	return select_both(nfds, in, out, except, limit, mask);
}

/* As the kernel's, it leaves in @limit what remains of it. */
EXPORT int select(int nfds, fd_set *__restrict in, fd_set *__restrict out,
		  fd_set *__restrict except, struct timeval *__restrict limit)
{
	uint64_t begin_ns, used_ns, left_ns;
	struct timespec ts;
	int ret;

	if (!listeners() || !select_wants(nfds, in))
		return real()->select(nfds, in, out, except, limit);
	if (!limit)
		return select_both(nfds, in, out, except, NULL, NULL);
	if (limit->tv_sec < 0 || limit->tv_usec < 0) {
		errno = EINVAL;
		return -1;
	}
	begin_ns = clock_now_ns();
	left_ns = (uint64_t)limit->tv_sec * 1000000000u + (uint64_t)limit->tv_usec * 1000u;
	ts.tv_sec = (time_t)(left_ns / 1000000000u);
	ts.tv_nsec = (long)(left_ns % 1000000000u);
	ret = select_both(nfds, in, out, except, &ts, NULL);
	used_ns = clock_now_ns() - begin_ns;
	left_ns = used_ns < left_ns ? left_ns - used_ns : 0;
	limit->tv_sec = (time_t)(left_ns / 1000000000u);
	limit->tv_usec = (suseconds_t)(left_ns % 1000000000u / 1000);
	return ret;
}
