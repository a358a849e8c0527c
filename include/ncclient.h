/* SPDX-License-Identifier: MIT */
/*
 * ncclient.h - virtual sockets of ncd, for programs that link with -lncclient.
 *
 * The calls have the shape and the meaning of socket(2) and its family, with three differences:
 *   - they return a negative errno instead of setting errno;
 *   - the number of a virtual socket is not a file descriptor (it is NC_SOCKET_BASE or more, so the
 *     two never meet); nc_pollfd() gives a descriptor to wait for with epoll, poll or select;
 *   - the bytes travel over the channels of ncd: both ends must be hosts that run it and name each
 *     other in /etc/ncd.conf, or the same host.
 *
 * Threads: every function may be called from any thread. One thread sending and one receiving on
 *   the same virtual socket run side by side; two that send on the same one take turns.
 * Signals: a call that blocks returns -EINTR when a handler ran, as socket(7) (with SA_RESTART it
 *   goes on unless a timeout is set). SIGPIPE is never raised: -EPIPE is returned.
 * Fork: the child must not use its parent's virtual sockets (-EBADF); it may create its own.
 * Attachment: the first nc_socket() attaches the process to the daemon at $NCD_SOCKET, or
 *   /run/ncd/ncd.sock. If the daemon goes away every virtual socket fails with -ECONNRESET, and the
 *   next nc_socket() attaches anew. The errors of attaching: -ENOENT, -ECONNREFUSED (no daemon),
 *   -EACCES (not in [access]), -EPROTONOSUPPORT (versions differ), -EMFILE (its limit of clients).
 */
#ifndef NCCLIENT_H
#define NCCLIENT_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library hides whatever is not declared here. */
#pragma GCC visibility push(default)

#define NC_VERSION_MAJOR 0
#define NC_VERSION_MINOR 1
#define NC_SOCKET_BASE   0x40000000

/*
 * Creates a virtual socket. @domain AF_INET or AF_INET6, @type SOCK_STREAM, may be or-ed with
 * SOCK_NONBLOCK (SOCK_CLOEXEC is accepted; it has no meaning), @protocol 0 or IPPROTO_TCP.
 * Returns its number, or -EAFNOSUPPORT, -EPROTOTYPE, -EPROTONOSUPPORT, -EMFILE, -ENOMEM, or an
 * error of attaching. May block while attaching.
 */
int nc_socket(int domain, int type, int protocol);

/* bind(2). With port 0 the port is chosen by nc_connect or nc_listen, or by nc_getsockname, as
 * with IP_BIND_ADDRESS_NO_PORT of ip(7). Errors: -EADDRINUSE, -EADDRNOTAVAIL (no address of this
 * host), -EACCES (port < 1024 and not root), -EINVAL (bound already), -EAFNOSUPPORT, -EBADF. */
int nc_bind(int s, const struct sockaddr *addr, socklen_t addrlen);

/* listen(2); @backlog is cut to 4096, and is that if negative. Unbound: a free port. -EADDRINUSE,
 * -EINVAL, -EBADF. */
int nc_listen(int s, int backlog);

/* accept4(2), also from several threads at once. @flags SOCK_NONBLOCK, SOCK_CLOEXEC.
 * Errors: -EAGAIN, -EINTR, -EINVAL (not listening, *addrlen < 0), -EMFILE, -ECONNRESET (daemon
 * gone), -EBADF. */
int nc_accept4(int s, struct sockaddr *addr, socklen_t *addrlen, int flags);

/*
 * connect(2). Blocking: until the other application's host has answered. Errors: -ECONNREFUSED
 * (nobody listens there, or its backlog is full), -ETIMEDOUT (peer not reachable in time),
 * -EHOSTUNREACH (its channels cannot be built), -ENETUNREACH (no [peer] has the address),
 * -EINPROGRESS (non-blocking; SO_ERROR tells the outcome), -EALREADY, -EISCONN,
 * -ENOBUFS (region_max), -EADDRNOTAVAIL, -EINTR (goes on in the background), -EBADF.
 * With the option TCP_FASTOPEN_CONNECT it returns 0 at once, and the first bytes ride with the
 * request (tcp(7)).
 */
int nc_connect(int s, const struct sockaddr *addr, socklen_t addrlen);

/*
 * send(2), recv(2), sendmsg(2), recvmsg(2). Flags: MSG_DONTWAIT, MSG_NOSIGNAL (implied), MSG_MORE
 * (accepted), MSG_PEEK, MSG_WAITALL, MSG_TRUNC (recv: discards). No ancillary data: it is ignored
 * on receive and -EOPNOTSUPP on send. Errors: -EAGAIN (also at SO_RCVTIMEO/SO_SNDTIMEO), -EINTR,
 * -EPIPE, -ECONNRESET, -ETIMEDOUT, -ENOTCONN, -EFAULT is not detected, -EBADF.
 */
ssize_t nc_send(int s, const void *buf, size_t len, int flags);
ssize_t nc_recv(int s, void *buf, size_t len, int flags);
ssize_t nc_sendmsg(int s, const struct msghdr *msg, int flags);
ssize_t nc_recvmsg(int s, struct msghdr *msg, int flags);

/* shutdown(2). Errors: -ENOTCONN, -EINVAL, -EBADF. */
int nc_shutdown(int s, int how);

/* close(2). What was sent still arrives, also if the process ends right after. SO_LINGER as in
 * socket(7). Unread bytes make it a reset, as in tcp(7). Errors: -EBADF; -EWOULDBLOCK if
 * SO_LINGER's time ran out. */
int nc_close(int s);

/* getsockname(2), getpeername(2). Errors: -ENOTCONN (getpeername), -EINVAL (*addrlen < 0),
 * -EBADF. */
int nc_getsockname(int s, struct sockaddr *addr, socklen_t *addrlen);
int nc_getpeername(int s, struct sockaddr *addr, socklen_t *addrlen);

/*
 * setsockopt(2), getsockopt(2). SOL_SOCKET: SO_ERROR, SO_TYPE, SO_DOMAIN, SO_PROTOCOL,
 * SO_ACCEPTCONN, SO_RCVBUF, SO_SNDBUF (before connect or listen; rounded up to a power of two;
 * what the rings may grow to),
 * SO_RCVTIMEO, SO_SNDTIMEO, SO_LINGER, SO_PRIORITY (not 0: class latency; above 6 -EPERM, as in
 * socket(7)), SO_REUSEPORT, SO_REUSEADDR, SO_KEEPALIVE (both accepted: there is no TIME-WAIT, and
 * channels are always probed). IPPROTO_TCP: TCP_NODELAY,
 * TCP_QUICKACK, TCP_CORK (accepted), TCP_FASTOPEN_CONNECT, TCP_MAXSEG, TCP_INFO (state and RTT).
 * SOL_NC: below. Anything else: -ENOPROTOOPT.
 */
int nc_setsockopt(int s, int level, int name, const void *val, socklen_t len);
int nc_getsockopt(int s, int level, int name, void *val, socklen_t *len);

#define SOL_NC   0x6e63
#define NC_CLASS 1 /* int, read and write: one of */
#define NC_CLASS_AUTO       0
#define NC_CLASS_LATENCY    1
#define NC_CLASS_THROUGHPUT 2

/* ioctl(2) for FIONREAD, FIONBIO, SIOCOUTQ (bytes not yet acknowledged), SIOCOUTQNSD. */
int nc_ioctl(int s, unsigned long request, int *arg);
/* F_GETFL and F_SETFL (O_NONBLOCK) of fcntl(2). */
int nc_fcntl(int s, int cmd, int arg);

/*
 * poll(2) over virtual sockets and ordinary descriptors together; @timeout_ms -1 waits for ever.
 * Returns how many are ready, 0 at the timeout, -EINTR, -EINVAL, -ENOMEM.
 */
int nc_poll(struct pollfd *fds, nfds_t nfds, int timeout_ms);

/*
 * A descriptor that is readable, writable and hung up exactly when @s is, for epoll (level or
 * edge triggered), poll and select; never read, write or close it: it lives as long as @s. A
 * connect behind one that failed makes it anew under its number: epoll must be told of it again.
 * Returns it, or -EMFILE, -EBADF. May block for a moment at the first call.
 */
int nc_pollfd(int s);

/*
 * Zero copy. A view lies in the ring itself and is contiguous.
 * nc_reserve: room for 1 to @len bytes; *ret_buf is its place. Returns its length.
 *   nc_commit sends the first @len bytes of it (0 to what was reserved). Between the two, no other
 *   thread may send on @s.
 * nc_peek: the bytes that are there, at most @len; nc_consume gives the first @len back. A view is
 *   valid until its bytes are consumed; another nc_peek may give another place of the same bytes.
 *   Of a sender on this host the view may be its own memory: a malicious one can still change the
 *   bytes while they are looked at. Who does not trust it checks a copy; nc_recv makes one.
 * Flags: MSG_DONTWAIT. Errors as nc_send and nc_recv; -EINVAL if more is committed than reserved.
 */
ssize_t nc_reserve(int s, size_t len, void **ret_buf, int flags);
int nc_commit(int s, size_t len);
ssize_t nc_peek(int s, size_t len, const void **ret_buf, int flags);
int nc_consume(int s, size_t len);

/*
 * Completion queue: for thousands of sockets in one thread. Edge triggered: an event is reported
 * when something new happens after the last report; read or write until -EAGAIN, or until a call
 * does less than it was asked to, as in epoll(7): then an event will come. The end of the stream
 * may have come together with the last bytes: POLLRDHUP tells. At most 15 queues a process, less
 * those of threads in nc_poll (4 at most). Only one thread at a time may wait on a queue.
 */
struct nc_cq;
struct nc_event {
	uint64_t data;   /* given to nc_cq_add */
	int socket;
	uint32_t events; /* POLLIN, POLLOUT, POLLRDHUP, POLLERR, POLLHUP */
};

/* Returns a queue through @ret_cq, or -EMFILE, -ENOMEM, or an error of attaching. */
int nc_cq_create(struct nc_cq **ret_cq);
/* Removes all its sockets (which stay open), frees it. NULL is allowed. */
void nc_cq_destroy(struct nc_cq *cq);
/* @events POLLIN, POLLOUT, POLLRDHUP; what is already true is reported at once. A socket has one
 * queue. Errors: -EBADF, -EEXIST. Works on connecting, connected and listening sockets. */
int nc_cq_add(struct nc_cq *cq, int s, uint32_t events, uint64_t data);
int nc_cq_modify(struct nc_cq *cq, int s, uint32_t events, uint64_t data);
int nc_cq_remove(struct nc_cq *cq, int s);
/* Up to @max events. Makes no syscall while there are some. @timeout_ms -1 waits for ever, 0 never.
 * Returns how many, 0 at the timeout, -EINTR, -ECONNRESET: the daemon is gone and no event left. */
int nc_cq_wait(struct nc_cq *cq, struct nc_event *events, int max, int timeout_ms);
/* A descriptor that becomes readable when nc_cq_wait(timeout 0) should be called; armed by an
 * nc_cq_wait that returned 0. */
int nc_cq_fd(struct nc_cq *cq);

/*
 * Why the last attempt to attach failed, in one line for the user ("" if it did not), cut to @len
 * with its NUL. Returns the length of the whole line, as snprintf.
 */
size_t nc_attach_why(char *buf, size_t len);

/* "0.1.0" */
const char *nc_version(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* NCCLIENT_H */
