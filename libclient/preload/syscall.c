/* SPDX-License-Identifier: MIT */
/*
 * syscall.c - syscall(2): what a program asks of the kernel past the functions of the C library.
 *
 * libuv closes descriptors so, vsftpd makes its processes so. What works at sockets, or changes
 * which descriptor is what, goes the way of the function of that name, and what makes a process has
 * the hooks of fork around it. Every other call is the kernel's.
 */
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "file.h"
#include "real.h"
#include "uring.h"

static long pass(long nr, const long a[6])
{
	return real()->syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* A call that may return in a second process. */
static long fork_by(long nr, const long a[6], uint64_t flags)
{
	long ret;

	if (!fork_begin(flags))
		return pass(nr, a);
	ret = pass(nr, a);
	fork_end(ret);
	return ret;
}

/* Ours, for the linker: by their own names those that are in front of libncclient would be called
 * (real.c). */
int __real_socket(int domain, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __real_shutdown(int fd, int how);
int __real_setsockopt(int fd, int level, int name, const void *val, socklen_t len);
ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
int __real_fcntl(int fd, int cmd, ...);
int __real_ioctl(int fd, unsigned long request, ...);

/* Pointers and numbers of a raw call. */
#define P(i) ((void *)a[i])
#define N(i) ((int)a[i])
#define U(i) ((unsigned int)a[i])

/* What works at sockets: *ret_ret is as the function's. False: it is none of these. */
static bool at_socket(long nr, const long a[6], long *ret_ret)
{
	switch (nr) {
	case SYS_socket:
		*ret_ret = __real_socket(N(0), N(1), N(2));
		return true;
	case SYS_bind:
		*ret_ret = bind(N(0), P(1), U(2));
		return true;
	case SYS_connect:
		*ret_ret = __real_connect(N(0), P(1), U(2));
		return true;
	case SYS_listen:
		*ret_ret = listen(N(0), N(1));
		return true;
#ifdef SYS_accept
	case SYS_accept:
		*ret_ret = accept(N(0), P(1), P(2));
		return true;
#endif
	case SYS_accept4:
		*ret_ret = accept4(N(0), P(1), P(2), N(3));
		return true;
	case SYS_shutdown:
		*ret_ret = __real_shutdown(N(0), N(1));
		return true;
	case SYS_getsockname:
		*ret_ret = getsockname(N(0), P(1), P(2));
		return true;
	case SYS_getpeername:
		*ret_ret = getpeername(N(0), P(1), P(2));
		return true;
	case SYS_getsockopt:
		*ret_ret = getsockopt(N(0), N(1), N(2), P(3), P(4));
		return true;
	case SYS_setsockopt:
		*ret_ret = __real_setsockopt(N(0), N(1), N(2), P(3), U(4));
		return true;
	default:
		return false;
	}
}

static bool of_bytes(long nr, const long a[6], long *ret_ret)
{
	switch (nr) {
	case SYS_read:
		*ret_ret = read(N(0), P(1), (size_t)a[2]);
		return true;
	case SYS_write:
		*ret_ret = write(N(0), P(1), (size_t)a[2]);
		return true;
	case SYS_readv:
		*ret_ret = readv(N(0), P(1), N(2));
		return true;
	case SYS_writev:
		*ret_ret = writev(N(0), P(1), N(2));
		return true;
	case SYS_recvfrom:
		*ret_ret = recvfrom(N(0), P(1), (size_t)a[2], N(3), P(4), P(5));
		return true;
	case SYS_sendto:
		*ret_ret = sendto(N(0), P(1), (size_t)a[2], N(3), P(4), U(5));
		return true;
	case SYS_recvmsg:
		*ret_ret = __real_recvmsg(N(0), P(1), N(2));
		return true;
	case SYS_sendmsg:
		*ret_ret = __real_sendmsg(N(0), P(1), N(2));
		return true;
	case SYS_recvmmsg:
		*ret_ret = recvmmsg(N(0), P(1), U(2), N(3), P(4));
		return true;
	case SYS_sendmmsg:
		*ret_ret = sendmmsg(N(0), P(1), U(2), N(3));
		return true;
	case SYS_sendfile:
		*ret_ret = sendfile(N(0), N(1), P(2), (size_t)a[3]);
		return true;
	case SYS_splice:
		*ret_ret = splice(N(0), P(1), N(2), P(3), (size_t)a[4], U(5));
		return true;
	default:
		return false;
	}
}

static bool of_descriptors(long nr, const long a[6], long *ret_ret)
{
	switch (nr) {
	case SYS_close:
		*ret_ret = file_close(N(0));
		return true;
	case SYS_close_range:
		*ret_ret = close_range(U(0), U(1), N(2));
		return true;
	case SYS_dup:
		*ret_ret = dup(N(0));
		return true;
#ifdef SYS_dup2
	case SYS_dup2:
		*ret_ret = dup2(N(0), N(1));
		return true;
#endif
	case SYS_dup3:
		*ret_ret = dup3(N(0), N(1), N(2));
		return true;
	case SYS_fcntl:
		*ret_ret = __real_fcntl(N(0), N(1), a[2]);
		return true;
	case SYS_ioctl:
		*ret_ret = __real_ioctl(N(0), (unsigned long)a[1], P(2));
		return true;
#ifdef SYS_poll
	case SYS_poll:
		*ret_ret = poll(P(0), (nfds_t)a[1], N(2));
		return true;
#endif
	case SYS_epoll_create1:
		*ret_ret = epoll_create1(N(0));
		return true;
	case SYS_epoll_ctl:
		*ret_ret = epoll_ctl(N(0), N(1), N(2), P(3));
		return true;
#ifdef SYS_epoll_wait
	case SYS_epoll_wait:
		*ret_ret = epoll_wait(N(0), P(1), N(2), N(3));
		return true;
#endif
	default:
		return false;
	}
}

static long of_ring(long nr, const long a[6])
{
	long ret = 0;

	uring_note();
	if (nr == SYS_io_uring_enter)
		ring_look(N(0), U(1), U(3));
	if (nr == SYS_io_uring_register)
		ret = register_look(U(1), P(2), U(3));
	if (ret < 0) {
		errno = (int)-ret;
		return -1;
	}
	ret = pass(nr, a);
	if (nr == SYS_io_uring_setup && ret >= 0)
		ring_opened((int)ret, P(1));
	return ret;
}

EXPORT long syscall(long nr, ...)
{
	long a[6], ret;
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long); /* fewer: what is there is passed on */
	va_end(ap);
	if (of_bytes(nr, a, &ret) || at_socket(nr, a, &ret) || of_descriptors(nr, a, &ret))
		return ret;
	switch (nr) {
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
	case SYS_io_uring_enter:
	case SYS_io_uring_register:
		return of_ring(nr, a);
	default:
		return pass(nr, a);
	}
}
