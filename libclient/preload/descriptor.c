/* SPDX-License-Identifier: MIT */
/*
 * descriptor.c - close, dup and their relatives, fcntl and ioctl.
 *
 * A child of vfork shares our memory but not our descriptors: there, only the kernel is told.
 */
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sockios.h>
#include <sched.h>

#include "file.h"
#include "kernel.h"
#include "limit.h"
#include "ncclient.h"
#include "pending.h"
#include "real.h"

int file_close(int fd)
{
	struct file *f = file_of(fd);
	bool last;
	int ret;

	if (!f || file_kind(f) == FILE_LISTENER) /* one that has left: uring.c */
		kernel_closed(fd);
	if (!f || !file_own_process())
		return real()->close(fd);
	if (file_kind(f) == FILE_INTERNAL) {
		errno = EBADF; /* it is not the program's */
		return -1;
	}
	last = file_release(f, fd);
	ret = real()->close(fd);
	if (last) {
		int err = errno;

		file_end(f);
		errno = err;
	}
	return ret;
}

EXPORT int close(int fd)
{
	return file_close(fd);
}

/* @fd was made a copy of what @f names, in place of what it named before. */
static void replaced(int fd, struct file *f)
{
	struct file *before = file_of(fd);
	int err = errno;

	if (before && file_release(before, fd))
		file_end(before);
	if (f)
		file_share(f, fd);
	stdio_follow(fd);
	errno = err;
}

/* What takes part in the table: not what is hidden, nor what another process does. */
static struct file *shared_of(int fd)
{
	struct file *f = file_of(fd);

	return f && file_kind(f) != FILE_INTERNAL && file_own_process() ? f : NULL;
}

EXPORT int dup(int fd)
{
	struct file *f = shared_of(fd);
	int copy = limit_give(real()->dup(fd));

	if (copy >= 0 && f)
		file_share(f, copy);
	else if (copy >= 0)
		kernel_copied(fd, copy);
	return copy;
}

/* True: @fd is one that the library needs. */
static bool hidden(int fd)
{
	struct file *f = file_of(fd);

	return f && file_kind(f) == FILE_INTERNAL && file_own_process();
}

/* @to was made a copy of @fd, of whatever kind. */
static void kernel_replaced(int fd, int to)
{
	kernel_closed(to);
	kernel_copied(fd, to);
}

EXPORT int dup2(int fd, int to)
{
	int ret;

	if (hidden(to) || !limit_allows(to)) {
		errno = limit_allows(to) ? EBUSY : EBADF;
		return -1;
	}
	ret = real()->dup2(fd, to);
	if (ret >= 0 && fd != to && (shared_of(fd) || shared_of(to)))
		replaced(to, shared_of(fd));
	if (ret >= 0 && fd != to)
		kernel_replaced(fd, to);
	return ret;
}

EXPORT int dup3(int fd, int to, int flags)
{
	int ret;

	if (hidden(to) || !limit_allows(to)) {
		errno = limit_allows(to) ? EBUSY : EBADF;
		return -1;
	}
	ret = real()->dup3(fd, to, flags);
	if (ret >= 0 && (shared_of(fd) || shared_of(to)))
		replaced(to, shared_of(fd));
	if (ret >= 0)
		kernel_replaced(fd, to);
	return ret;
}

/* The kernel closes what lies between those that are ours; we close ours, and keep the hidden. */
static int range_close(unsigned int first, unsigned int last, unsigned int flags)
{
	unsigned int from = first, end;
	int top = file_top_hidden() > kernel_top() ? file_top_hidden() : kernel_top();
	int ret = 0;

	end = (unsigned int)(top + 1);
	for (unsigned int fd = first; fd <= last && fd < end; fd++) {
		if (!file_of((int)fd) && !kernel_shown((int)fd))
			continue;
		if (fd > from && real()->close_range(from, fd - 1, (int)flags) < 0)
			ret = -1;
		(void)close((int)fd); /* ours: it is open */
		from = fd + 1;
	}
	if (from <= last && real()->close_range(from, last, (int)flags) < 0)
		ret = -1;
	return ret;
}

EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	bool unshare_first = flags == CLOSE_RANGE_UNSHARE;

	if ((flags != 0 && !unshare_first) || first > last || !file_own_process())
		return real()->close_range(first, last, flags);
	if (unshare_first && unshare(CLONE_FILES) < 0)
		return -1;
	return range_close(first, last, 0);
}

EXPORT void closefrom(int first)
{
	(void)close_range(first < 0 ? 0 : (unsigned int)first, UINT_MAX, 0); /* as closefrom(3) */
}

/* ---- fcntl ---- */

/* F_GETFL and F_SETFL where O_NONBLOCK is what the program thinks, not what the kernel has. */
static int flags_get(struct file *f, int fd)
{
	int flags = real()->fcntl(fd, F_GETFL);

	if (flags < 0)
		return flags;
	return (flags & ~O_NONBLOCK) | (file_nonblock(f) ? O_NONBLOCK : 0);
}

static void nonblock_set(struct file *f, int fd, bool nonblock)
{
	if (file_kind(f) == FILE_LISTENER)
		listener_show(fd, nonblock);
	/* Relaxed: a lone fact. */
	atomic_store_explicit(&f->nonblock, nonblock, memory_order_relaxed);
	if (file_kind(f) == FILE_VIRTUAL && file_nc(f) >= 0)
		(void)nc_fcntl(file_nc(f), F_SETFL, nonblock ? O_NONBLOCK : 0); /* known to it */
}

static int flags_set_ours(struct file *f, int fd, int flags)
{
	int ret = real()->fcntl(fd, F_SETFL, flags | O_NONBLOCK);

	if (flags & ~(O_ACCMODE | O_NONBLOCK))
		pollfd_use(file_nc(f));
	if (flags & O_ASYNC && file_kind(f) == FILE_VIRTUAL)
		(void)nc_pollfd(file_nc(f)); /* true from now on: the kernel sends the signals */
	if (ret == 0)
		nonblock_set(f, fd, (flags & O_NONBLOCK) != 0);
	return ret;
}

/* It is going to block: then it waits for the answer, here. True: @fd is the kernel's. */
static bool pending_decided(struct file *f, int fd, bool nonblock)
{
	if (!file_pending(f) || nonblock)
		return false;
	pending_await(f);
	return file_of(fd) != f;
}

static int flags_set(struct file *f, int fd, int flags)
{
	if (pending_decided(f, fd, flags & O_NONBLOCK))
		return real()->fcntl(fd, F_SETFL, flags);
	return flags_set_ours(f, fd, flags);
}

/* F_DUPFD and F_DUPFD_CLOEXEC. */
static int copy_above(int fd, int cmd, void *arg)
{
	if (limit_allows((int)(intptr_t)arg))
		return limit_give(real()->fcntl(fd, cmd, arg));
	errno = EINVAL;
	return -1;
}

static int fcntl_ours(struct file *f, int fd, int cmd, void *arg)
{
	bool thinks = file_kind(f) == FILE_VIRTUAL || file_kind(f) == FILE_LISTENER;
	int ret;

	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		ret = copy_above(fd, cmd, arg);
		if (ret >= 0 && shared_of(fd))
			file_share(f, ret);
		return ret;
	case F_GETFL:
		return thinks ? flags_get(f, fd) : real()->fcntl(fd, cmd, arg);
	case F_SETFL:
		return thinks ? flags_set(f, fd, (int)(intptr_t)arg) : real()->fcntl(fd, cmd, arg);
	case F_GETFD:
	case F_SETFD:
		return real()->fcntl(fd, cmd, arg);
	default: /* who is sent a signal, among others: it stays */
		if (file_kind(f) == FILE_VIRTUAL)
			pollfd_use(file_nc(f));
		return real()->fcntl(fd, cmd, arg);
	}
}

static int fcntl_any(int fd, int cmd, void *arg)
{
	struct file *f = file_of(fd);

	int ret;

	if (f)
		return fcntl_ours(f, fd, cmd, arg);
	if (cmd != F_DUPFD && cmd != F_DUPFD_CLOEXEC)
		return real()->fcntl(fd, cmd, arg);
	ret = copy_above(fd, cmd, arg);
	if (ret >= 0)
		kernel_copied(fd, ret);
	return ret;
}

EXPORT int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *); /* an int, a pointer or nothing: all are passed in one register */
	va_end(ap);
	return fcntl_any(fd, cmd, arg);
}

EXPORT int fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *); /* as above */
	va_end(ap);
	return fcntl_any(fd, cmd, arg);
}

/* ---- ioctl ---- */

/* What is not about this socket, but interfaces and addresses: of a kernel's socket of the same
 * family, which lives for the call. */
static int ioctl_of_family(struct file *f, unsigned long request, void *arg)
{
	int fd = real()->socket(f->domain, SOCK_STREAM | SOCK_CLOEXEC, 0), ret, err;

	if (fd < 0)
		return -1;
	ret = real()->ioctl(fd, request, arg);
	err = errno;
	(void)real()->close(fd); /* nothing is in it */
	errno = err;
	return ret;
}

static int ioctl_ours(struct file *f, int fd, unsigned long request, void *arg)
{
	uint32_t kind = file_kind(f);
	ssize_t ret;

	if (request == FIONBIO && pending_decided(f, fd, *(int *)arg != 0))
		return real()->ioctl(fd, request, arg);
	if (request == FIONBIO && (kind == FILE_VIRTUAL || kind == FILE_LISTENER)) {
		nonblock_set(f, fd, *(int *)arg != 0);
		return 0;
	}
	if (kind != FILE_VIRTUAL || !file_virtual(fd))
		return real()->ioctl(fd, request, arg);
	if (request == SIOCATMARK) {
		*(int *)arg = 0; /* there is no urgent data */
		return 0;
	}
	ret = nc_ioctl(file_nc(f), request, arg);
	if (ret != -ENOTTY)
		return (int)file_result(f, ret);
	if (request >= SIOCADDRT && request <= SIOCDEVPRIVATE + 15)
		return ioctl_of_family(f, request, arg);
	pollfd_use(file_nc(f)); /* it may stay, as FIOASYNC does */
	if (request == FIOASYNC)
		(void)nc_pollfd(file_nc(f)); /* as in flags_set_ours */
	return real()->ioctl(fd, request, arg);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct file *f = file_of(fd);
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *); /* as in fcntl */
	va_end(ap);
	return f ? ioctl_ours(f, fd, request, arg) : real()->ioctl(fd, request, arg);
}
