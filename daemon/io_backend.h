/* SPDX-License-Identifier: MIT */
/*
 * io_backend.h - what io.c and the two back ends share; nobody else includes it.
 *
 * Ownership, threading: as io.h.
 */
#ifndef NCD_IO_BACKEND_H
#define NCD_IO_BACKEND_H

#include "io.h"

struct io_ops {
	const char *name;
	void (*destroy)(struct io *io);
	int (*link_add)(struct io *io, struct io_link *l);
	void (*link_drop)(struct io *io, struct io_link *l);
	void (*link_remove)(struct io *io, struct io_link *l);
	int (*recv)(struct io *io, struct io_link *l);
	int (*send)(struct io *io, struct io_link *l);
	int (*watch_add)(struct io *io, struct io_watch *w);
	void (*watch_remove)(struct io *io, struct io_watch *w);
	void (*poll)(struct io *io);
	void (*wait)(struct io *io, uint64_t timeout_ns);
	bool (*pending)(struct io *io);
};

struct io {
	const struct io_ops *ops;
	struct io_link *head[IO_RANKS], *tail[IO_RANKS];
	struct io_watch *watch_head;
	uint64_t calls;
};

/* Each returns 0 or why not: -EPERM, -ENOSYS, -ENOMEM, ... */
int io_uring_create(uint32_t links_max, struct io **ret_io);
int io_epoll_create(struct io **ret_io);

/* Sends what the kernel takes now: > 0, -EAGAIN or another -errno. */
int io_send_now(struct io *io, struct io_link *l);
/* A direction of @l is done with @result (0 from recv: the end). */
void io_recv_done(struct io *io, struct io_link *l, int result);
void io_send_done(struct io *io, struct io_link *l, int result);
void io_watch_rung(struct io *io, struct io_watch *w);

#endif /* NCD_IO_BACKEND_H */
