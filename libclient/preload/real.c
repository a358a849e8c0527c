/* SPDX-License-Identifier: MIT */
/*
 * real.c - finds the functions of the C library, and gives them to libncclient in this object.
 *
 * The library is linked with --wrap for each of the calls at the end of this file, so what it does
 * with its own descriptors (the control socket, doorbells, pairs) never meets our stand-ins. The
 * descriptors that it keeps are moved to high numbers, where a program does not look for its own,
 * and are marked, so that a program that closes everything closes none of them.
 */
#include "real.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/resource.h>

#include "file.h"
#include "limit.h"

#define ASK_AGAIN 64 /* copies */
#define HIGH_MAX  (1 << 15) /* the table of descriptors in the kernel grows up to the highest */

_Atomic(const struct real *) real_found;

static void find(const char *name, void *at, size_t bytes)
{
	void *found = dlsym(RTLD_NEXT, name);

	/* The way of dlsym(3) around "no conversion between object and function pointers". */
	memcpy(at, &found, bytes);
}

const struct real *real_fill(void)
{
	/* Global: why: as real_found; it is never changed once that points to it. */
	static struct real table;

#define REAL_FIND(name) find(#name, &table.name, sizeof(table.name));
	REAL_FUNCTIONS(REAL_FIND)
	/* READY, writing end. */
	atomic_store_explicit(&real_found, &table, memory_order_release);
	return &table;
}

/* Above the program's, or half-way to the limit of numbers. */
static int high_number(void)
{
	struct rlimit limit;

	if (limit_first() > 0)
		return limit_first();
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < 64)
		return 32;
	return limit.rlim_cur / 2 > HIGH_MAX ? HIGH_MAX : (int)(limit.rlim_cur / 2);
}

/* A copy of @fd at a high number; -1 with errno: there is no room. */
static int copy_high(int fd)
{
	/* Global: why: the limit is the process's. It is asked for now and then: it may rise. */
	static _Atomic uint32_t asked;
	static _Atomic int number;
	/* Relaxed, all: a place to begin. */
	int from = atomic_load_explicit(&number, memory_order_relaxed), copy = -1;

	if (limit_first() > 0)
		return real()->fcntl(fd, F_DUPFD_CLOEXEC, limit_first());
	if (from > 0 && atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed) % ASK_AGAIN)
		copy = real()->fcntl(fd, F_DUPFD_CLOEXEC, from);
	if (copy >= 0)
		return copy;
	from = high_number();
	/* Relaxed: as above. */
	atomic_store_explicit(&number, from, memory_order_relaxed);
	return real()->fcntl(fd, F_DUPFD_CLOEXEC, from);
}

/* @fd, or the same at a high number if there is room. */
static int keep(int fd)
{
	int high = copy_high(fd);

	if (high >= 0) {
		(void)real()->close(fd); /* a copy less */
		fd = high;
	}
	file_mark_internal(fd);
	return fd;
}

int real_keep_copy(int fd)
{
	int copy = copy_high(fd);

	if (copy < 0)
		copy = real()->fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy >= 0)
		file_mark_internal(copy);
	return copy;
}

/* ---- what libncclient calls ---- */

#define WRAP(ret, name, ...)            \
	ret __wrap_##name(__VA_ARGS__); \
	ret __wrap_##name(__VA_ARGS__)

WRAP(int, close, int fd)
{
	file_unmark_internal(fd);
	return real()->close(fd);
}

WRAP(int, socket, int domain, int type, int protocol)
{
	int fd = real()->socket(domain, type, protocol);

	return fd < 0 ? fd : keep(fd);
}

WRAP(int, socketpair, int domain, int type, int protocol, int pair[2])
{
	int ret = real()->socketpair(domain, type, protocol, pair);

	if (ret == 0) {
		pair[0] = keep(pair[0]);
		pair[1] = keep(pair[1]);
	}
	return ret;
}

/* A copy of a descriptor: nothing else is asked for. */
WRAP(int, fcntl, int fd, int cmd, ...)
{
	int copy = copy_high(fd);

	(void)cmd;
	if (copy < 0)
		copy = real()->fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy >= 0)
		file_mark_internal(copy);
	return copy;
}

WRAP(ssize_t, recvmsg, int fd, struct msghdr *msg, int flags)
{
	ssize_t n = real()->recvmsg(fd, msg, flags);
	struct cmsghdr *c;

	for (c = n < 0 ? NULL : CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int got;

			memcpy(&got, CMSG_DATA(c) + at, sizeof(got));
			got = keep(got);
			memcpy(CMSG_DATA(c) + at, &got, sizeof(got));
		}
	}
	return n;
}

WRAP(int, connect, int fd, const struct sockaddr *addr, socklen_t len)
{
	return real()->connect(fd, addr, len);
}

WRAP(ssize_t, send, int fd, const void *buf, size_t len, int flags)
{
	return real()->send(fd, buf, len, flags);
}

WRAP(ssize_t, sendmsg, int fd, const struct msghdr *msg, int flags)
{
	return real()->sendmsg(fd, msg, flags);
}

WRAP(ssize_t, recv, int fd, void *buf, size_t len, int flags)
{
	return real()->recv(fd, buf, len, flags);
}

WRAP(int, setsockopt, int fd, int level, int name, const void *val, socklen_t len)
{
	return real()->setsockopt(fd, level, name, val, len);
}

WRAP(int, shutdown, int fd, int how)
{
	return real()->shutdown(fd, how);
}

WRAP(int, ppoll, struct pollfd *fds, nfds_t nr, const struct timespec *limit, const sigset_t *mask)
{
	return real()->ppoll(fds, nr, limit, mask);
}

WRAP(int, ioctl, int fd, unsigned long request, void *arg)
{
	return real()->ioctl(fd, request, arg);
}

/* The futex, with six arguments. */
WRAP(long, syscall, long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return real()->syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
