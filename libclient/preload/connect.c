/* SPDX-License-Identifier: MIT */
/*
 * connect.c - a socket from its making until its way is known: socket, bind, connect, its names.
 */
#include <string.h>
#include <sys/time.h>

#include "file.h"
#include "../left.h"
#include "kernel.h"
#include "limit.h"
#include "ncclient.h"
#include "pending.h"
#include "real.h"
#include "way.h"

#define IPPROTO_VIRTUAL_SOCK 19 /* as in the paper's kernel: a virtual socket or an error */
#define ANSWER_LIMIT_MS      200

/* A descriptor for the virtual socket @nc (-1: not yet) with @pollfd. Or -errno. */
static int copy_open(int pollfd, int nc, int domain, int flags)
{
	int fd = limit_give(
		real()->fcntl(pollfd, flags & SOCK_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0));
	struct file *f;

	if (fd < 0)
		return -errno;
	kernel_closed(fd); /* the number: what it named was closed past us */
	f = file_open(fd, FILE_VIRTUAL, domain, nc);
	if (!f) {
		(void)real()->close(fd); /* not used yet */
		return -ENOMEM;
	}
	/* Relaxed: nobody else knows it yet. */
	atomic_store_explicit(&f->nonblock, (flags & SOCK_NONBLOCK) != 0, memory_order_relaxed);
	return fd;
}

/* A descriptor for virtual socket @nc, which is closed if there can be none. */
static int virtual_open(int nc, int domain, int flags)
{
	int pollfd = pollfd_of(nc);
	int fd = pollfd < 0 ? pollfd : copy_open(pollfd, nc, domain, flags);

	if (fd >= 0)
		return fd;
	(void)nc_close(nc); /* not used yet */
	errno = -fd;
	return -1;
}

static int virtual_socket(int domain, int type)
{
	int nc = nc_socket(domain, type, 0);

	if (nc < 0) {
		errno = -nc;
		return -1;
	}
	way_apply_class(nc);
	return virtual_open(nc, domain, type);
}

EXPORT int socket(int domain, int type, int protocol)
{
	bool stream = (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM;
	bool inet = domain == AF_INET || domain == AF_INET6;
	int fd;

	if (inet && stream && protocol == IPPROTO_VIRTUAL_SOCK)
		return virtual_socket(domain, type);
	fd = limit_give(real()->socket(domain, type, protocol));
	if (fd >= 0)
		kernel_closed(fd); /* as in copy_open */
	if (fd >= 0 && inet && stream && (protocol == 0 || protocol == IPPROTO_TCP) && !way_off())
		(void)file_open(fd, FILE_KERNEL, domain, -1); /* none: a kernel socket */
	return fd;
}

EXPORT int bind(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	struct file *f = file_virtual(fd);

	if (f)
		return (int)file_result(f, nc_bind(file_nc(f), addr.__sockaddr__, len));
	return real()->bind(fd, addr, len);
}

/* True if @addr says nothing: neither address nor port. */
static bool is_any(const union address *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return addr->in.sin_port == 0 && addr->in.sin_addr.s_addr == INADDR_ANY;
	return addr->in6.sin6_port == 0 && IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

/* Gives @nc the local address that the kernel's socket was bound to, if it was; with
 * IP_BIND_ADDRESS_NO_PORT that has no port yet. */
static int bind_as(int fd, int nc)
{
	union address local;
	socklen_t len = sizeof(local);

	if (real()->getsockname(fd, &local.sa, &len) < 0)
		return -errno;
	return is_any(&local) ? 0 : nc_bind(nc, &local.sa, len);
}

/* One round trip to a host that is up: whoever is not there so soon is reached by the kernel. */
static int connect_briefly(int nc, const struct sockaddr *addr, socklen_t len)
{
	struct timeval limit = { .tv_usec = ANSWER_LIMIT_MS * 1000 }, before;
	socklen_t size = sizeof(before);
	int ret;

	(void)nc_getsockopt(nc, SOL_SOCKET, SO_SNDTIMEO, &before, &size);        /* known to it */
	(void)nc_setsockopt(nc, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* as above */
	do
		ret = nc_connect(nc, addr, len);
	while (ret == -EINTR);
	(void)nc_setsockopt(nc, SOL_SOCKET, SO_SNDTIMEO, &before, sizeof(before)); /* as above */
	return ret == -EINPROGRESS ? -ETIMEDOUT : ret;
}

/*
 * What our own ncd says without asking anybody is known as soon as a worker has looked, which takes
 * a sleep. Of a host that was a peer a moment ago it says nothing: then nobody waits.
 */
static int outcome_soon(int nc, const struct sockaddr *addr, socklen_t len)
{
	int ret;

	if (way_peer(addr, len))
		return connect_outcome(nc, 0);
	ret = connect_outcome_here(nc);
	if (ret == 0 || ret == -EINPROGRESS)
		way_learn_peer(addr, len);
	return ret;
}

/* Begun, without waiting for the peer: -EINPROGRESS. Another -errno: ncd cannot, or must not. */
static int connect_begin(struct file *f, int fd, int nc, const struct sockaddr *addr, socklen_t len)
{
	int ret, pollfd;

	(void)nc_fcntl(nc, F_SETFL, O_NONBLOCK); /* known to it */
	ret = nc_connect(nc, addr, len);
	if (ret == 0 || ret == -EINPROGRESS)
		ret = outcome_soon(nc, addr, len); /* the program has not been told */
	if (ret < 0 && ret != -EINPROGRESS)
		return ret;
	pollfd = pollfd_of(nc);
	if (pollfd < 0)
		return pollfd;
	if (ret == -EINPROGRESS && !way_required()) {
		ret = pending_begin(f, fd, nc, addr, len);
		if (ret < 0)
			return ret;
	} else {
		way_say("connect", addr, len, NULL);
	}
	ret = file_become_virtual(f, nc, pollfd, true);
	if (ret < 0)
		pending_drop(f);
	return ret < 0 ? ret : -EINPROGRESS;
}

/* Begun and ended; a program that does not wait hears of that as if it had gone on meanwhile. */
static int connect_whole(struct file *f, int nc, const struct sockaddr *addr, socklen_t len,
			 bool nonblock)
{
	/* With --require nobody else is asked, and only the program's SO_SNDTIMEO limits it. */
	int ret = way_required() && !nonblock ? nc_connect(nc, addr, len)
					      : connect_briefly(nc, addr, len);
	bool begun = nonblock || ret == -EINPROGRESS;
	int pollfd;

	if (ret == 0 && nonblock)
		(void)connect_outcome(nc, 0); /* not told yet */
	if (ret < 0 && ret != -EINPROGRESS)
		return ret;
	pollfd = pollfd_of(nc);
	if (pollfd < 0)
		return pollfd;
	(void)nc_fcntl(nc, F_SETFL, nonblock ? O_NONBLOCK : 0); /* known to it */
	ret = file_become_virtual(f, nc, pollfd, nonblock);
	if (ret < 0)
		return ret;
	way_say("connect", addr, len, NULL);
	return begun ? -EINPROGRESS : 0;
}

static int connect_new(struct file *f, int fd, const struct sockaddr *addr, socklen_t len,
		       enum left_why *ret_why)
{
	int nc = nc_socket(f->domain, SOCK_STREAM, 0);
	int ret, flags = real()->fcntl(fd, F_GETFL);

	if (nc < 0) {
		/* Of the control socket: nobody listens there, or answers. */
		*ret_why = nc == -ECONNREFUSED || nc == -ETIMEDOUT ? LEFT_NO_NCD : way_why(nc);
		return nc;
	}
	way_apply_class(nc);
	option_replay(f, nc);
	ret = bind_as(fd, nc);
	if (ret == 0 && flags & O_NONBLOCK && pending_possible(f))
		ret = connect_begin(f, fd, nc, addr, len);
	else if (ret == 0)
		ret = connect_whole(f, nc, addr, len, flags & O_NONBLOCK);
	if (ret == 0 || ret == -EINPROGRESS)
		return ret;
	*ret_why = connect_peer_down(nc) ? LEFT_PEER_DOWN : way_why(ret);
	(void)nc_close(nc); /* not the program's yet */
	return ret;
}

/* An IPv4 address for a socket that is for IPv6 alone: the kernel knows what to say. */
static bool not_for_it(int fd, const struct sockaddr *addr, socklen_t len)
{
	int only = 0;
	socklen_t size = sizeof(only);
	struct sockaddr_in6 in6;

	if (addr->sa_family != AF_INET6 || len < sizeof(in6))
		return false;
	memcpy(&in6, addr, sizeof(in6));
	return IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) &&
	       real()->getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &size) == 0 && only;
}

/* Connected through ncd, or an error of --require: true, with *ret_ret as connect(2)'s. Else
 * *ret_why says why the kernel has to. */
static bool connect_by_ncd(struct file *f, int fd, const struct sockaddr *addr, socklen_t len,
			   int *ret_ret, enum left_why *ret_why)
{
	int ret;

	if (!way_try(addr, len, ret_why)) {
		way_say("connect", addr, len, way_why_text(*ret_why));
		return false;
	}
	*ret_why = LEFT_FAMILY;
	if (addr->sa_family != f->domain || not_for_it(fd, addr, len)) {
		way_say("connect", addr, len, way_why_text(*ret_why));
		return false;
	}
	ret = connect_new(f, fd, addr, len, ret_why);
	if (ret < 0 && ret != -EINPROGRESS)
		way_say("connect", addr, len,
			*ret_why == LEFT_OTHER ? strerrordesc_np(-ret) : way_why_text(*ret_why));
	*ret_ret = ret == 0 ? 0 : -1;
	errno = -ret;
	if (ret == 0 || ret == -EINPROGRESS || (way_required() && ret != -ENETUNREACH))
		return true;
	way_learn(addr, len, ret, *ret_why);
	return false;
}

EXPORT int connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	const struct sockaddr *to = addr.__sockaddr__;
	struct file *f = file_of(fd);
	enum left_why why;
	int ret;

	if (!f || (file_kind(f) != FILE_KERNEL && file_kind(f) != FILE_VIRTUAL))
		return real()->connect(fd, addr, len);
	if (file_kind(f) == FILE_VIRTUAL) {
		if (!file_virtual(fd)) /* no more */
			return real()->connect(fd, addr, len);
		ret = nc_connect(file_nc(f), to, len);
		if (ret < 0 && !file_virtual(fd)) /* since just now */
			return real()->connect(fd, addr, len);
		return (int)file_result(f, ret);
	}
	if (!to || len < sizeof(sa_family_t) || to->sa_family == AF_UNSPEC || !file_own_process())
		return real()->connect(fd, addr, len);
	if (connect_by_ncd(f, fd, to, len, &ret, &why))
		return ret;
	ret = real()->connect(fd, addr, len);
	if (ret == 0 || errno == EINPROGRESS) {
		int err = errno;

		file_forget(f, fd);
		kernel_connected(fd, why, to, len);
		errno = err;
	}
	return ret;
}

/* Of either name of @f. */
static int name_get(struct file *f, int (*get)(int, struct sockaddr *, socklen_t *),
		    struct sockaddr *addr, socklen_t *len)
{
	if (addr && len && (int)*len < 0)
		return (int)file_result(f, -EINVAL);
	return (int)file_result(f, get(file_nc(f), addr, len));
}

EXPORT int getsockname(int fd, __SOCKADDR_ARG addr, socklen_t *__restrict len)
{
	struct file *f = file_virtual(fd);

	int ret = f ? name_get(f, nc_getsockname, addr.__sockaddr__, len) : -1;

	/* It may be the kernel's since just now. */
	return f && (ret == 0 || file_of(fd) == f) ? ret : real()->getsockname(fd, addr, len);
}

EXPORT int getpeername(int fd, __SOCKADDR_ARG addr, socklen_t *__restrict len)
{
	struct file *f = file_virtual(fd);

	int ret = f ? name_get(f, nc_getpeername, addr.__sockaddr__, len) : -1;

	/* As above. */
	return f && (ret == 0 || file_of(fd) == f) ? ret : real()->getpeername(fd, addr, len);
}

int file_open_accepted(int nc, struct file *from, int flags)
{
	int fd = virtual_open(nc, from->domain, flags);
	struct file *f = fd < 0 ? NULL : file_of(fd);

	if (f)
		option_inherit(f, from);
	return fd;
}

/* Not @nc's yet: so whoever goes through the table leaves it alone. */
int file_prepare(int nc, struct file *from, int flags)
{
	int pollfd = pollfd_unwatched(nc);

	return pollfd < 0 ? pollfd : copy_open(pollfd, -1, from->domain, flags);
}

void file_prepared(int fd, int nc, struct file *from)
{
	struct file *f = file_of(fd);

	if (!f)
		return; /* the program has closed a number that it did not have */
	/* Relaxed: nobody else knows it yet. */
	atomic_store_explicit(&f->nc, nc, memory_order_relaxed);
	option_inherit(f, from);
	if (uring_in_use())
		(void)nc_pollfd(nc); /* it is there; watched from now on */
}
