/* SPDX-License-Identifier: MIT */
/*
 * syscall.c - syscall(2): what a program asks of the kernel past the functions of the C library.
 *
 * libuv closes descriptors so, vsftpd makes its processes so. What changes which descriptor is what
 * goes the way of the function of that name, and what makes a process has the hooks of fork around
 * it. Every other call is the kernel's.
 */
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "file.h"
#include "real.h"
#include "../process.h"

static long pass(long nr, const long a[6])
{
	return real()->syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* A call that may return in a second process. */
static long fork_by(long nr, const long a[6], uint64_t flags)
{
	long ret;

	/* A thread; or a child as vfork's, which knows that it is none of us. */
	if (flags & CLONE_VM || !file_own_process())
		return pass(nr, a);
	process_before_fork();
	file_before_fork();
	ret = pass(nr, a);
	if (ret == 0) {
		file_fork_child();
		process_fork_child();
	} else {
		int err = errno;

		file_fork_parent();
		errno = err;
	}
	return ret;
}

EXPORT long syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long); /* fewer: what is there is passed on */
	va_end(ap);
	switch (nr) {
	case SYS_close:
		return file_close((int)a[0]);
	case SYS_close_range:
		return close_range((unsigned int)a[0], (unsigned int)a[1], (int)a[2]);
	case SYS_dup:
		return dup((int)a[0]);
#ifdef SYS_dup2
	case SYS_dup2:
		return dup2((int)a[0], (int)a[1]);
#endif
	case SYS_dup3:
		return dup3((int)a[0], (int)a[1], (int)a[2]);
#ifdef SYS_fork
	case SYS_fork:
		return fork_by(nr, a, 0);
#endif
	case SYS_clone:
		return fork_by(nr, a, (uint64_t)a[0]);
	case SYS_clone3: {
		const uint64_t *args = (const uint64_t *)a[0]; /* flags are the first */

		return fork_by(nr, a, args ? *args : CLONE_VM);
	}
	case SYS_seccomp:
		/* Other operations, and a filter that is none, only ask what there is. */
		if (a[0] == SECCOMP_SET_MODE_STRICT || (a[0] == SECCOMP_SET_MODE_FILTER && a[2]))
			confine();
		return pass(nr, a);
	case SYS_io_uring_setup:
		uring_note();
		return pass(nr, a);
	default:
		return pass(nr, a);
	}
}
