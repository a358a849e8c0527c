/* SPDX-License-Identifier: MIT */
/*
 * bytes.c - the calls that carry bytes: read and write, recv and send, and their relatives.
 */
#include <limits.h>
#include <linux/net_tstamp.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "chk.h"
#include "file.h"
#include "ncclient.h"
#include "real.h"
#include "rights.h"

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

	/* read(2) of nothing waits for nothing, unlike recv(2). */
	if (f && len == 0)
		return 0;
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

	ssize_t n;

	if (f)
		return file_result(f, nc_recvmsg(file_nc(f), msg, flags));
	n = real()->recvmsg(fd, msg, flags);
	if (n >= 0)
		rights_received(msg);
	return n;
}

static ssize_t virtual_readv(struct file *f, const struct iovec *iov, int nr)
{
	union {
		const struct iovec *in;
		struct iovec *out; /* struct msghdr has no const; it is only read */
	} u = { .in = iov };
	struct msghdr msg = { .msg_iov = u.out, .msg_iovlen = (size_t)nr };
	bool room = false;

	if (nr < 0 || nr > IOV_MAX)
		return file_result(f, -EINVAL);
	for (int i = 0; i < nr && !room; i++)
		room = iov[i].iov_len > 0;
	return room ? file_result(f, nc_recvmsg(file_nc(f), &msg, 0)) : 0; /* as read */
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int nr)
{
	struct file *f = file_virtual(fd);

	return f ? virtual_readv(f, iov, nr) : real()->readv(fd, iov, nr);
}

/* With an offset of -1, readv with flags; none of those has a meaning for a socket. */
EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int nr, off_t offset, int flags)
{
	struct file *f = file_virtual(fd);

	if (f && offset == -1 && flags == 0)
		return virtual_readv(f, iov, nr);
	return real()->preadv2(fd, iov, nr, offset, flags);
}

EXPORT ssize_t preadv64v2(int fd, const struct iovec *iov, int nr, off64_t offset, int flags)
{
	return preadv2(fd, iov, nr, offset, flags);
}

/* As the kernel's. */
static bool time_wrong(const struct timespec *limit)
{
	return limit && (limit->tv_sec < 0 || limit->tv_nsec < 0 || limit->tv_nsec >= 1000000000);
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

	if (!f) {
		int n = real()->recvmmsg(fd, msgs, nr, flags, limit);

		for (int i = 0; i < n; i++)
			rights_received(&msgs[i].msg_hdr);
		return n;
	}
	if (time_wrong(limit))
		return (int)file_result(f, -EINVAL);
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

/* What the kernel's sock_cmsg_send accepts for a stream. */
static bool control_known(int level, int type)
{
	return level != SOL_SOCKET || type == SCM_RIGHTS || type == SCM_CREDENTIALS ||
	       type == SO_TIMESTAMPING || type == SO_MARK || type == SCM_TXTIME;
}

/* Walks as the kernel does: CMSG_NXTHDR stops at what the kernel refuses. */
static bool control_good(const struct msghdr *msg)
{
	const unsigned char *at = msg->msg_control;
	size_t left = msg->msg_controllen;

	while (left >= sizeof(struct cmsghdr)) {
		struct cmsghdr c;

		memcpy(&c, at, sizeof(c));
		if (c.cmsg_len < sizeof(c) || c.cmsg_len > left ||
		    !control_known(c.cmsg_level, c.cmsg_type))
			return false;
		if (CMSG_ALIGN(c.cmsg_len) >= left)
			break;
		at += CMSG_ALIGN(c.cmsg_len);
		left -= CMSG_ALIGN(c.cmsg_len);
	}
	return true;
}

/* What goes along with the bytes (timestamps, marks) has no meaning here. */
static ssize_t virtual_sendmsg(struct file *f, const struct msghdr *msg, int flags)
{
	struct msghdr bare = *msg;

	if (msg->msg_control && !control_good(msg))
		return -EINVAL;
	bare.msg_control = NULL;
	bare.msg_controllen = 0;
	return nc_sendmsg(file_nc(f), &bare, flags);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct file *f = file_virtual(fd);

	if (f)
		return send_result(f, virtual_sendmsg(f, msg, flags), flags);
	rights_sent(msg);
	return real()->sendmsg(fd, msg, flags);
}

static ssize_t virtual_writev(struct file *f, const struct iovec *iov, int nr)
{
	union {
		const struct iovec *in;
		struct iovec *out; /* as in readv */
	} u = { .in = iov };
	struct msghdr msg = { .msg_iov = u.out, .msg_iovlen = (size_t)nr };

	if (nr < 0 || nr > IOV_MAX)
		return file_result(f, -EINVAL);
	return send_result(f, nc_sendmsg(file_nc(f), &msg, 0), 0);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int nr)
{
	struct file *f = file_virtual(fd);

	return f ? virtual_writev(f, iov, nr) : real()->writev(fd, iov, nr);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int nr, off_t offset, int flags)
{
	struct file *f = file_virtual(fd);

	if (f && offset == -1 && flags == 0)
		return virtual_writev(f, iov, nr);
	return real()->pwritev2(fd, iov, nr, offset, flags);
}

EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int nr, off64_t offset, int flags)
{
	return pwritev2(fd, iov, nr, offset, flags);
}

EXPORT int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int nr, int flags)
{
	struct file *f = file_virtual(fd);
	unsigned int done;

	if (!f) {
		for (done = 0; done < nr; done++)
			rights_sent(&msgs[done].msg_hdr);
		return real()->sendmmsg(fd, msgs, nr, flags);
	}
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
	struct file *f = file_of(fd);
	int ret;

	if (f && file_kind(f) == FILE_VIRTUAL)
		return (int)file_result(f, nc_shutdown(file_nc(f), how));
	ret = real()->shutdown(fd, how);
	/* A listener ends so for both kinds of client; who waits in accept is woken by the above.
	 */
	if (ret == 0 && how != SHUT_WR && f && file_kind(f) == FILE_LISTENER && file_own_process())
		listener_end(f);
	return ret;
}
