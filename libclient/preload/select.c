/* SPDX-License-Identifier: MIT */
/*
 * select.c - select and pselect, as a poll of the descriptors in the sets. Where none of them is
 * ours these calls are the kernel's.
 */
#include <poll.h>
#include <sys/select.h>

#include "../memory.h"
#include "file.h"
#include "real.h"

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

static bool set_wants(int nfds, const fd_set *set)
{
	for (int fd = 0; set && fd < nfds; fd++)
		if (set_has(set, fd) && poll_is_ours(fd))
			return true;
	return false;
}

static bool select_wants(int nfds, const fd_set *in, const fd_set *out, const fd_set *except)
{
	int top = file_top();

	if (nfds > top + 1)
		nfds = top + 1;
	return set_wants(nfds, in) || set_wants(nfds, out) || set_wants(nfds, except);
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
	struct pollfd *fds = memory_take((size_t)nfds, sizeof(*fds));
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
	ret = poll_program(fds, nr, limit, mask);
	if (ret >= 0)
		ret = select_sets(fds, nr, in, out, except);
	memory_give(fds);
	return ret;
}

EXPORT int pselect(int nfds, fd_set *__restrict in, fd_set *__restrict out,
		   fd_set *__restrict except, const struct timespec *__restrict limit,
		   const sigset_t *__restrict mask)
{
	if (!select_wants(nfds, in, out, except))
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

	if (!select_wants(nfds, in, out, except))
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
