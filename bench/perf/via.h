/* SPDX-License-Identifier: MIT */
/*
 * via.h - the transports that are measured. Client and server are written once, against
 * struct via; what differs between kernel TCP, ncd and the others is in the via_*.c files and
 * nowhere else.
 *
 * Bytes move through views, so that zero copy fits: a sender asks for room (tx_view), fills it, and
 * pushes it; a receiver looks at what is there (rx_view) and gives it back (rx_done). For tcp, unix
 * and ncd the room is an ordinary private buffer of the thread, and tx_push and rx_view are one
 * send() and one recv(); for ncd-zc a view lies in the ring; for tcp-uring it is the connection's
 * own buffer, which is lent to the kernel.
 *
 * Ownership: a hub belongs to one thread; a connection belongs to one hub at a time.
 * Threading: the functions of a hub and of its connections are called by its thread.
 * Errors: negative errno.
 */
#ifndef PERF_VIA_H
#define PERF_VIA_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#define VIA_READY_MAX  64  /* connections that one wait reports */
#define VIA_BLOCK_MS   200 /* a blocking call comes back with -EAGAIN after that */
#define VIA_CONNECT_MS 5000
#define VIA_BACKLOG    4096

struct nc_cq;
struct uring_hub;
struct uring_conn;
struct via;

struct endpoint {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage space;
	} addr;
	socklen_t len;
	uint16_t port;                    /* 0: any free one */
	char text[INET6_ADDRSTRLEN + 16]; /* for messages: 127.0.0.1:4799 */
};

/* What one thread waits with. */
struct hub {
	const struct via *via;
	size_t conn_nr; /* connections expected; 0: only blocking ones, wait is not called */
	unsigned char *tx_buf;
	unsigned char *rx_buf;
	size_t buf_len;   /* of each */
	int epfd;         /* tcp, unix */
	bool set_cubic;   /* tcp, tcp-uring: the system's default is another one */
	struct nc_cq *cq; /* ncd, ncd-zc */
	uint64_t turn;    /* ncd: counts waits */
	struct uring_hub *uring;
};

enum conn_kind {
	CONN_FLOW,
	CONN_CONNECTING, /* until via->connected() says 0 */
	CONN_LISTENER,
};

struct conn {
	const struct via *via;
	struct hub *hub;
	void *owner; /* for whoever waits */
	struct uring_conn *uring;
	uint64_t turn; /* ncd: last one that reported it */
	int fd;        /* descriptor, or number of a virtual socket */
	bool blocking;
	bool attached;
	bool hung_up; /* the end is known to be near: read up to it, even if drained by short */
	enum conn_kind kind;
};

struct via {
	const char *name;
	const char *what; /* for --help */
	const struct via
		*control; /* carries accept, hello and control flow; these are not measured */
	int protocol;     /* of kernel sockets: 0, or one beside TCP */
	const struct via *latency; /* isolate: of the flow that is to keep its latency; NULL: it */
	bool is_unix;
	bool uses_daemon;
	bool short_is_drained; /* a short read or write means: wait now, an event will come */
	bool attach_first;     /* views only of attached connections */

	int (*hub_open)(struct hub *hub);
	void (*hub_close)(struct hub *hub);
	/* Connections where something happened since the last report, each once. 0: timeout. */
	int (*wait)(struct hub *hub, struct conn **ret_ready, int max, int timeout_ms);

	/* Sets c->fd. A listener does not block. @ret_port is the port it got. */
	int (*listen)(struct conn *c, const struct endpoint *ep, uint16_t *ret_port);
	int (*accept)(struct conn *listener, struct conn *c);
	/* c->blocking decides; -EINPROGRESS: attach, wait, ask connected(). @from may be NULL. */
	int (*connect)(struct conn *c, const struct endpoint *ep, const struct endpoint *from);
	int (*connected)(struct conn *c);
	/* Bounds each blocking call by VIA_BLOCK_MS. */
	int (*bound)(struct conn *c);
	/* c->hub waits for @c from now on; for a blocking one: only gets its buffers ready. */
	int (*attach)(struct conn *c);
	void (*detach)(struct conn *c);
	/* As setsockopt(2). */
	int (*option)(struct conn *c, int level, int name, const void *value, socklen_t len);

	/* Room for 1 to @want bytes, or -EAGAIN. */
	ssize_t (*tx_view)(struct conn *c, size_t want, void **ret_buf);
	/* Sends the first @len bytes of the view. Returns how many were taken, or -EAGAIN. */
	ssize_t (*tx_push)(struct conn *c, size_t len);
	/* Up to @want bytes that arrived, 0 at the end of the stream, or -EAGAIN. */
	ssize_t (*rx_view)(struct conn *c, size_t want, const void **ret_buf);
	/* The whole view has been read. */
	int (*rx_done)(struct conn *c, size_t len);

	/* One line on why the transport itself is not there, "" if it is; may be NULL. */
	size_t (*why)(char *buf, size_t len);
	int (*finish)(struct conn *c); /* shutdown(SHUT_WR) */
	void (*close)(struct conn *c);
};

extern const struct via via_tcp, via_mptcp, via_unix, via_tcp_uring, via_ncd, via_ncd_zc;

/* The via called @name (@len characters of it), or NULL. */
const struct via *via_find(const char *name, size_t len);
/* All of them; NULL at the end of the list. */
const struct via *via_at(size_t index);

/* What via->why says, or @otherwise. @buf of @len bytes (not 0) may be used for it. */
const char *via_why(const struct via *via, char *buf, size_t len, const char *otherwise);

/*
 * @addr is a numeric address or a name; for unix it is ignored: the socket has an abstract name
 * made from @port. NULL: any local address. Returns 0, or -EADDRNOTAVAIL if @addr does not resolve.
 */
int endpoint_parse(const struct via *via, const char *addr, uint16_t port, struct endpoint *ret_ep);
void endpoint_set_port(struct endpoint *ep, uint16_t port);

/* @buf_len of the thread's private buffers; @conn_nr as in struct hub. */
int hub_init(struct hub *hub, const struct via *via, size_t conn_nr, size_t buf_len);
/* After its connections were closed. All zero is allowed. */
void hub_fini(struct hub *hub);

/* Sends or receives exactly @len bytes on a blocking, bounded connection before @deadline_ns.
 * Returns 0, -ETIMEDOUT, -ECONNRESET if the other side closed, or the transport's error. */
int conn_send_all(struct conn *c, const void *buf, size_t len, uint64_t deadline_ns);
int conn_recv_all(struct conn *c, void *buf, size_t len, uint64_t deadline_ns);

#endif /* PERF_VIA_H */
