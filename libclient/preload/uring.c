/* SPDX-License-Identifier: MIT */
/*
 * uring.c - programs that let io_uring wait for descriptors: no call of libc sees that.
 *
 * A pollable descriptor costs syscalls while it is kept true, so that is done only while a call
 * that we see waits for it. From the first io_uring on, it is done for every one, always. A program
 * that makes its io_uring without liburing's shared library and syscall(2) is not noticed.
 *
 * At a listener io_uring sees the kernel's socket alone. So from then on one is the kernel's alone
 * until it is waited for in a poll, select or epoll: others may only ever be waited for there.
 *
 * More than waiting cannot be done for io_uring at a virtual socket. A program that does more (at
 * any TCP socket: then virtual ones would be next) has new sockets with the kernel from then on,
 * and its listeners: uring_sqe.c sees it. Whoever only polls keeps ncd.
 */
#include "uring.h"

#include "file.h"
#include "ncclient.h"
#include "way.h"

/* Global: why: of the process, as its descriptors. */
static _Atomic bool uring_seen;
/* Global: why: as above. */
static _Atomic bool uring_does_more;

bool uring_in_use(void)
{
	/* Relaxed: a socket made meanwhile is in the table, or made behind the store. */
	return atomic_load_explicit(&uring_seen, memory_order_relaxed);
}

int pollfd_of(int nc)
{
	return uring_in_use() ? nc_pollfd(nc) : pollfd_unwatched(nc);
}

void uring_note(void)
{
	/* Relaxed, both: as above; a look first, which leaves the line with everybody. */
	if (uring_in_use() || atomic_exchange_explicit(&uring_seen, true, memory_order_relaxed))
		return;
	for (int fd = 0; fd <= file_top(); fd++) {
		struct file *f = file_virtual(fd);

		if (f && file_nc(f) >= 0)
			(void)nc_pollfd(file_nc(f)); /* closed meanwhile */
		f = file_of(fd);
		if (f && file_kind(f) == FILE_LISTENER)
			listener_leave_fresh(f, fd);
	}
}

bool uring_left(void)
{
	/* Relaxed: who connects or listens meanwhile does so before or behind it. */
	return atomic_load_explicit(&uring_does_more, memory_order_relaxed);
}

void uring_leave(const char *what, bool refused)
{
	/* Global: why: as uring_seen; one line of a process. */
	static _Atomic bool told;
	bool leaves = !way_required();

	if (way_off() || uring_left() || (!leaves && !refused))
		return;
	/* Relaxed, both: of several that say so one does it. */
	if (!atomic_exchange_explicit(&told, true, memory_order_relaxed))
		way_say_uring(what, refused, leaves);
	if (!leaves || atomic_exchange_explicit(&uring_does_more, true, memory_order_relaxed))
		return;
	for (int fd = 0; fd <= file_top(); fd++) {
		struct file *f = file_of(fd);

		if (f && file_kind(f) == FILE_LISTENER)
			listener_leave(f, fd);
	}
}
