/* SPDX-License-Identifier: MIT */
/*
 * wrong.c - a library to preload that makes one mistake, $SEM_WRONG, in TCP sockets of the kernel:
 * to see that the cases notice. wrong.sh lists the mistakes.
 */
/* The build hides what does not say otherwise; these names are what it is for. */
#pragma GCC visibility push(default)

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static bool mistake(const char *name)
{
	const char *wanted = getenv("SEM_WRONG");

	return wanted && strcmp(wanted, name) == 0;
}

static bool is_tcp(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);
	static int (*real)(int, int, int, void *, socklen_t *); /* Global: found once. */

	if (!real)
		real = dlsym(RTLD_NEXT, "getsockopt");
	return real(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_INET;
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) = dlsym(RTLD_NEXT, "send");

	if (mistake("no-sigpipe"))
		flags |= MSG_NOSIGNAL;
	if (mistake("short-send") && is_tcp(fd) && len > 1000) {
		/* Says that it has sent all of it. */
		return real(fd, buf, len - 1, flags) < 0 ? -1 : (ssize_t)len;
	}
	return real(fd, buf, len, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
	struct iovec v[3];
	struct msghdr swapped = *m;

	if (!mistake("swap-iovecs") || m->msg_iovlen != 3)
		return real(fd, m, flags);
	for (int i = 0; i < 3; i++)
		v[i] = m->msg_iov[2 - i];
	swapped.msg_iov = v;
	return real(fd, &swapped, flags);
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	ssize_t (*real)(int, void *, size_t, int) = dlsym(RTLD_NEXT, "recv");
	ssize_t n;

	if (!is_tcp(fd))
		return real(fd, buf, len, flags);
	if (mistake("peek-takes"))
		flags &= ~MSG_PEEK;
	if (mistake("waitall-short"))
		flags &= ~MSG_WAITALL;
	do
		n = real(fd, buf, len, flags);
	while (n < 0 && errno == EINTR && mistake("eintr-lost"));
	if (n == 0 && len > 0 && mistake("recv-after-end")) {
		errno = EAGAIN;
		return -1;
	}
	if (n < 0 && errno == EAGAIN && mistake("eagain-is-end"))
		return 0;
	if (n > 100 && mistake("flip-a-bit"))
		((char *)buf)[100] ^= 1;
	return n;
}

int poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
	int (*real)(struct pollfd *, nfds_t, int) = dlsym(RTLD_NEXT, "poll");
	int n = real(fds, nfds, timeout);

	for (nfds_t i = 0; i < nfds && n >= 0; i++) {
		if (!is_tcp(fds[i].fd))
			continue;
		if (mistake("poll-no-rdhup"))
			fds[i].revents &= ~POLLRDHUP;
		if (mistake("poll-no-hup") && fds[i].events != 0)
			fds[i].revents &= ~POLLHUP;
		if (mistake("poll-always-out"))
			fds[i].revents |= fds[i].events & POLLOUT;
	}
	return n;
}

int epoll_ctl(int ep, int op, int fd, struct epoll_event *e)
{
	int (*real)(int, int, int, struct epoll_event *) = dlsym(RTLD_NEXT, "epoll_ctl");
	struct epoll_event level = e ? *e : (struct epoll_event){ .events = 0 };

	if (mistake("epoll-edge-level"))
		level.events &= ~(uint32_t)EPOLLET;
	return real(ep, op, fd, e ? &level : NULL);
}

int shutdown(int fd, int how)
{
	int (*real)(int, int) = dlsym(RTLD_NEXT, "shutdown");

	return mistake("shutdown-nothing") ? 0 : real(fd, how);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int (*real)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");

	if (level == SOL_SOCKET && name == SO_LINGER && mistake("linger-ignored"))
		return 0;
	if (level == IPPROTO_TCP && name == TCP_NODELAY && mistake("option-forgotten"))
		return 0;
	if (level == SOL_SOCKET && name == SO_RCVTIMEO && mistake("timeout-at-once")) {
		struct timeval soon = { .tv_usec = 1000 };

		return real(fd, level, name, &soon, sizeof(soon));
	}
	return real(fd, level, name, value, len);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int (*real)(int, int, int, void *, socklen_t *) = dlsym(RTLD_NEXT, "getsockopt");
	static int last; /* Global: what the mistake repeats. */
	int r = real(fd, level, name, value, len);

	if (r == 0 && level == SOL_SOCKET && name == SO_ERROR && mistake("so-error-stays")) {
		if (*(int *)value)
			last = *(int *)value;
		*(int *)value = last;
	}
	return r;
}

int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	int (*real)(int, struct sockaddr *, socklen_t *) = dlsym(RTLD_NEXT, "accept");

	if (mistake("accept-no-address")) {
		if (len)
			*len = 0;
		return real(fd, NULL, NULL);
	}
	return real(fd, addr, len);
}

/* A new socket on each dup, as far as flags go: the flag of the other is not seen. */
int fcntl64(int fd, int cmd, ...);
int fcntl64(int fd, int cmd, ...)
{
	int (*real)(int, int, ...) = dlsym(RTLD_NEXT, "fcntl64");
	va_list args;
	void *arg;
	int r;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	r = real(fd, cmd, arg);
	return cmd == F_GETFL && r >= 0 && mistake("nonblock-hidden") ? r & ~O_NONBLOCK : r;
}

int fcntl(int fd, int cmd, ...)
{
	va_list args;
	void *arg;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	return fcntl64(fd, cmd, arg);
}
