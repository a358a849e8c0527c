/* SPDX-License-Identifier: MIT */
/*
 * confine.c - a process that is about to lock itself in: behind chroot the daemon's socket has no
 * path any more, and behind a filter of system calls (seccomp(2)) hardly anything can be asked.
 *
 * What it has of shared sockets is fetched before. Behind a filter the kernel waits for no virtual
 * socket any more, for keeping a descriptor true takes system calls: polls look in memory.
 */
#include <stdarg.h>
#include <sys/prctl.h>

#include "../share.h"
#include "file.h"
#include "real.h"

/* Global: why: of the process, as the filter is (or of a thread of it: see prctl). */
static _Atomic bool filtered;

bool confined(void)
{
	/* Relaxed: set by this thread, or it does not matter. */
	return atomic_load_explicit(&filtered, memory_order_relaxed);
}

static void fetch_all(void)
{
	int err = errno;

	for (int fd = 0; fd <= file_top(); fd++) {
		struct file *f = file_virtual(fd);

		if (f && file_nc(f) >= 0)
			share_fetch(file_nc(f));
	}
	errno = err;
}

void confine(void)
{
	if (!file_own_process())
		return;
	fetch_all();
	/* Relaxed: for this thread. Others look in memory too: slow, no more. */
	atomic_store_explicit(&filtered, true, memory_order_relaxed);
}

EXPORT int chroot(const char *path)
{
	if (file_own_process())
		fetch_all();
	return real()->chroot(path);
}

EXPORT int prctl(int option, ...)
{
	unsigned long arg[4];
	va_list ap;

	va_start(ap, option);
	for (int i = 0; i < 4; i++)
		arg[i] = va_arg(ap, unsigned long); /* fewer: the registers are passed on */
	va_end(ap);
	if (option == PR_SET_SECCOMP)
		confine();
	return real()->prctl(option, arg[0], arg[1], arg[2], arg[3]);
}
