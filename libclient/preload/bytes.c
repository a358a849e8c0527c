/* SPDX-License-Identifier: MIT */
/*
 * bytes.c - the calls that carry bytes: read and write, recv and send, and their relatives.
 */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "chk.h"
#include "file.h"
#include "ncclient.h"
#include "real.h"

/* As file_result, of a call that sends: EPIPE comes with a signal unless @flags decline it. */
static ssize_t send_result(const struct file *f, ssize_t ret, int flags)
{
	if (ret == -EPIPE && !(flags & MSG_NOSIGNAL))
		(void)raise(SIGPIPE); /* ignored or handled: errno follows */
	return file_result(f, ret);
}

/* ---- in ---- */

EXPORT ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	struct file *f = file_virtual(fd);

	return f ? file_result(f, nc_recv(file_nc(f), buf, len, flags))
		 : real()->recv(fd, buf, len, flags);
}

EXPORT ssize_t read(int fd, void *buf, size_t len)
{
	struct file *f = file_virtual(fd);

	return f ? file_result(f, nc_recv(file_nc(f), buf, len, 0)) : real()->read(fd, buf, len);
}

EXPORT ssize_t recvfrom(int fd, void *__restrict buf, size_t len, int flags, __SOCKADDR_ARG addr,
			socklen_t *__restrict addr_len)
{
	struct file *f = file_virtual(fd);
	ssize_t n;

	if (!f)
		return real()->recvfrom(fd, buf, len, flags, addr, addr_len);
	n = file_result(f, nc_recv(file_nc(f), buf, len, flags));
	if (n >= 0 && addr.__sockaddr__ && addr_len)
		*addr_len = 0; /* a stream does not say */
	return n;
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct file *f = file_virtual(fd);

	return f ? file_result(f, nc_recvmsg(file_nc(f), msg, flags))
		 : real()->recvmsg(fd, msg, flags);
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int nr)
{
	struct file *f = file_virtual(fd);
	union {
		const struct iovec *in;
		struct iovec *out; /* struct msghdr has no const; it is only read */
	} u = { .in = iov };
	struct msghdr msg = { .msg_iov = u.out, .msg_iovlen = (size_t)nr };

	if (!f)
		return real()->readv(fd, iov, nr);
	return file_result(f, nr < 0 ? -EINVAL : nc_recvmsg(file_nc(f), &msg, 0));
}

/* Time is looked at between messages, as the kernel does. */
static bool time_over(const struct timespec *limit, uint64_t begin_ns)
{
	return limit && clock_now_ns() - begin_ns >=
				(uint64_t)limit->tv_sec * 1000000000u + (uint64_t)limit->tv_nsec;
}

EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int nr, int flags,
		    struct timespec *limit)
{
	struct file *f = file_virtual(fd);
	uint64_t begin_ns;
	unsigned int done;

	if (!f)
		return real()->recvmmsg(fd, msgs, nr, flags, limit);
	begin_ns = clock_now_ns();
	for (done = 0; done < nr; done++) {
		ssize_t n = nc_recvmsg(file_nc(f), &msgs[done].msg_hdr, flags & ~MSG_WAITFORONE);

		if (n < 0)
			return done > 0 ? (int)done : (int)file_result(f, n);
		msgs[done].msg_len = (unsigned int)n;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (time_over(limit, begin_ns))
			return (int)done + 1;
	}
	return (int)done;
}

EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t size)
{
	if (len > size)
		__chk_fail();
	return read(fd, buf, len);
}

EXPORT ssize_t __recv_chk(int fd, void *buf, size_t len, size_t size, int flags)
{
	if (len > size)
		__chk_fail();
	return recv(fd, buf, len, flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *__restrict buf, size_t len, size_t size, int flags,
			      __SOCKADDR_ARG addr, socklen_t *__restrict addr_len)
{
	if (len > size)
		__chk_fail();
	return recvfrom(fd, buf, len, flags, addr, addr_len);
}

/* ---- out ---- */

EXPORT ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	struct file *f = file_virtual(fd);

	return f ? send_result(f, nc_send(file_nc(f), buf, len, flags), flags)
		 : real()->send(fd, buf, len, flags);
}

EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
	struct file *f = file_virtual(fd);

	return f ? send_result(f, nc_send(file_nc(f), buf, len, 0), 0)
		 : real()->write(fd, buf, len);
}

/* A stream that is connected does not look at the address (tcp(7)). */
EXPORT ssize_t sendto(int fd, const void *buf, size_t len, int flags, __CONST_SOCKADDR_ARG addr,
		      socklen_t addr_len)
{
	struct file *f = file_virtual(fd);

	return f ? send_result(f, nc_send(file_nc(f), buf, len, flags), flags)
		 : real()->sendto(fd, buf, len, flags, addr, addr_len);
}

/* What goes along with the bytes (timestamps, marks) has no meaning here. */
static ssize_t virtual_sendmsg(struct file *f, const struct msghdr *msg, int flags)
{
	struct msghdr bare = *msg;

	bare.msg_control = NULL;
	bare.msg_controllen = 0;
	return nc_sendmsg(file_nc(f), &bare, flags);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct file *f = file_virtual(fd);

	return f ? send_result(f, virtual_sendmsg(f, msg, flags), flags)
		 : real()->sendmsg(fd, msg, flags);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int nr)
{
	struct file *f = file_virtual(fd);
	union {
		const struct iovec *in;
		struct iovec *out; /* as in readv */
	} u = { .in = iov };
	struct msghdr msg = { .msg_iov = u.out, .msg_iovlen = (size_t)nr };

	if (!f)
		return real()->writev(fd, iov, nr);
	return send_result(f, nr < 0 ? -EINVAL : nc_sendmsg(file_nc(f), &msg, 0), 0);
}

EXPORT int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int nr, int flags)
{
	struct file *f = file_virtual(fd);
	unsigned int done;

	if (!f)
		return real()->sendmmsg(fd, msgs, nr, flags);
	for (done = 0; done < nr; done++) {
		ssize_t n = virtual_sendmsg(f, &msgs[done].msg_hdr, flags);

		if (n < 0)
			return done > 0 ? (int)done : (int)send_result(f, n, flags);
		msgs[done].msg_len = (unsigned int)n;
	}
	return (int)done;
}

EXPORT int shutdown(int fd, int how)
{
	struct file *f = file_virtual(fd);

	return f ? (int)file_result(f, nc_shutdown(file_nc(f), how)) : real()->shutdown(fd, how);
}
