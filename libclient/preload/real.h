/* SPDX-License-Identifier: MIT */
/*
 * real.h - the functions of the C library that ours stand in front of.
 *
 * Ownership: one static table, filled at load or at the first call that comes earlier.
 * Threading: any thread, signal handlers too; several that fill it write the same.
 *
 * Ordering:
 *   READY  table filled, then its pointer stored (release) -> loaded (acquire): it is seen.
 */
#ifndef PRELOAD_REAL_H
#define PRELOAD_REAL_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* What is put before a definition that the program is to find instead of the C library's. */
#define EXPORT __attribute__((visibility("default")))

/* Each is looked up by its name. */
#define REAL_FUNCTIONS(F)                                                                          \
	F(sigaction) F(signal) F(sysv_signal)                                                      \
	F(accept4)                                                                                 \
	F(chroot) F(execv) F(execve) F(execveat) F(execvp) F(execvpe) F(fexecve) F(popen)          \
	F(posix_spawn) F(posix_spawnp) F(prctl) F(sysconf) F(system) F(vfork)                      \
	F(_Fork) F(clone) \
	F(bind) F(close) F(close_range) F(connect) F(dup) F(dup2) F(dup3) F(epoll_create)          \
		F(epoll_create1) F(epoll_ctl) F(epoll_pwait) F(epoll_pwait2) F(epoll_wait)         \
		F(fcntl) \
		F(fdopen) F(fileno) F(freopen) F(getpeername) F(getsockname) F(getsockopt)         \
			F(ioctl) F(listen)                                                         \
			F(poll) F(ppoll) F(preadv2) F(pselect) F(pwritev2) F(read) F(readv)        \
				F(recv) F(recvfrom) F(recvmmsg) F(recvmsg) F(select) F(send)       \
					F(sendfile) F(sendmmsg) F(sendmsg) F(sendto) F(setsockopt) \
						F(shutdown) F(socket) F(socketpair) F(splice)      \
							F(syscall) F(write) F(writev)

#define REAL_MEMBER(name) __typeof__(&name) name;
struct real {
	REAL_FUNCTIONS(REAL_MEMBER)
};

/* Process-wide: calls come without a context. NULL until the table is filled. */
extern _Atomic(const struct real *) real_found;

const struct real *real_fill(void);

static inline const struct real *real(void)
{
	/* READY, reading end. */
	const struct real *r = atomic_load_explicit(&real_found, memory_order_acquire);

	return __builtin_expect(r != NULL, 1) ? r : real_fill();
}

/* A copy of @fd at a high number, hidden from the program. -1 with errno. */
int real_keep_copy(int fd);

#endif /* PRELOAD_REAL_H */
