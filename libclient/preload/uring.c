/* SPDX-License-Identifier: MIT */
/*
 * uring.c - programs that let io_uring wait for descriptors: no call of libc sees that.
 *
 * A pollable descriptor costs syscalls while it is kept true, so that is done only while a call
 * that we see waits for it. From the first io_uring on, it is done for every one, always. A program
 * that makes its io_uring without liburing's shared library is not noticed.
 *
 * At a listener io_uring sees the kernel's socket alone. So from then on one is the kernel's alone
 * until it is waited for in a poll, select or epoll: others may only ever be waited for there.
 */
#include <dlfcn.h>
#include <string.h>

#include "file.h"
#include "ncclient.h"
#include "real.h"

struct io_uring;
struct io_uring_params;

/* Global: why: of the process, as its descriptors. */
static _Atomic bool uring_seen;

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
	/* Relaxed: as above. */
	if (atomic_exchange_explicit(&uring_seen, true, memory_order_relaxed))
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

/* The function of liburing behind ours; NULL if the program does not have it. */
static void *next(const char *name)
{
	uring_note();
	return dlsym(RTLD_NEXT, name);
}

int io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags);
EXPORT int io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags)
{
	void *found = next(__func__);
	__typeof__(&io_uring_queue_init) real_init;

	memcpy(&real_init, &found, sizeof(found)); /* as real.c */
	return found ? real_init(entries, ring, flags) : -ENOSYS;
}

int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
			       struct io_uring_params *params);
EXPORT int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
				      struct io_uring_params *params)
{
	void *found = next(__func__);
	__typeof__(&io_uring_queue_init_params) real_init;

	memcpy(&real_init, &found, sizeof(found)); /* as real.c */
	return found ? real_init(entries, ring, params) : -ENOSYS;
}

int io_uring_queue_init_mem(unsigned int entries, struct io_uring *ring,
			    struct io_uring_params *params, void *buf, size_t size);
EXPORT int io_uring_queue_init_mem(unsigned int entries, struct io_uring *ring,
				   struct io_uring_params *params, void *buf, size_t size)
{
	void *found = next(__func__);
	__typeof__(&io_uring_queue_init_mem) real_init;

	memcpy(&real_init, &found, sizeof(found)); /* as real.c */
	return found ? real_init(entries, ring, params, buf, size) : -ENOSYS;
}

int io_uring_setup(unsigned int entries, struct io_uring_params *params);
EXPORT int io_uring_setup(unsigned int entries, struct io_uring_params *params)
{
	void *found = next(__func__);
	__typeof__(&io_uring_setup) real_setup;

	memcpy(&real_setup, &found, sizeof(found)); /* as real.c */
	return found ? real_setup(entries, params) : -ENOSYS;
}
