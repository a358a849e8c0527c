/* SPDX-License-Identifier: MIT */
/*
 * io.h - what a worker asks of the kernel: receive, send, hear an eventfd, sleep. Two back ends,
 * io_uring.c and io_epoll.c, behave alike:
 *
 *                 io_recv / io_send
 *   IO_IDLE ---------------------------> IO_LENT -----------> IO_DONE ---> io_next() returns the
 *      ^   \__ the call did it at once      ^  kernel is done    |         link; the caller takes
 *      |       (result > 0), still IDLE     |                    |         the result
 *      +------------------------------------+---- io_take_*() <--+
 *
 * One receive and one send of a link are under way at a time.
 *
 * Ownership: links and watches are the caller's memory. While a direction is IO_LENT the kernel may
 *   use its iovecs and the memory they name: io_link_drop() asks for them back, and the link is the
 *   caller's again when io_link_quiet().
 * Threading: everything on the worker's thread, io_create included.
 */
#ifndef NCD_IO_H
#define NCD_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "worker.h"

enum io_state { IO_IDLE = 0, IO_LENT, IO_DONE };

/* Links of rank 0 (class latency) are served before those of rank 1. */
#define IO_RANKS 2

struct io_link {
	int fd;
	uint8_t rank;
	uint8_t rx, tx; /* enum io_state */
	bool queued;    /* in the list that io_next() takes from */
	bool dropped;
	bool readable, writable; /* io_epoll.c: no EAGAIN since the last edge */
	bool drained;            /* io_uring.c: the last receive left nothing behind */
	bool filled;             /* io_uring.c: it took as much as it was given room for */
	int rx_result, tx_result;
	struct io_link *next;
	struct msghdr rx_msg, tx_msg;
	const struct tx_file *tx_file; /* sent behind tx_msg */
	int tx_file_nr;
	bool tx_now;    /* caller's: io_send() makes the call itself, as with files */
	bool tx_polled; /* io_uring.c: such a send waits for room */
	void *user;
};

struct io_watch {
	int fd; /* an eventfd; never read: each write is an edge */
	bool lent;
	bool queued;
	bool removed;
	struct io_watch *next;
	void *user;
};

struct io;

/*
 * Makes a back end for @links_max links, as @choice says. IO_AUTO falls back to epoll where
 * io_uring is refused; *ret_why then says why ("" otherwise). Returns 0 or -errno.
 */
int io_create(enum io_choice choice, uint32_t links_max, struct io **ret_io, const char **ret_why);
/* All links must be quiet, or their memory outlive the process of closing. NULL is allowed. */
void io_destroy(struct io *io);
const char *io_name(const struct io *io);
/* Syscalls made so far. */
uint64_t io_calls(const struct io *io);

/* fd, rank and user are set, the rest zero. Returns 0 or -errno. */
int io_link_add(struct io *io, struct io_link *l);
/* Asks the kernel to let go; later io_next() may return it once more. No new io_recv or io_send. */
void io_link_drop(struct io *io, struct io_link *l);
static inline bool io_link_quiet(const struct io_link *l)
{
	return l->rx != IO_LENT && l->tx != IO_LENT;
}
/* Leaves the lists; only when quiet. */
void io_link_remove(struct io *io, struct io_link *l);

/*
 * Receive into, send from @iov and then @file, all of which stay valid and unchanged until the
 * result is taken. Returns > 0: done at once; 0: lent; -errno: failed (-EPIPE: the other side has
 * closed). With a @file the descriptor has O_NONBLOCK, and the process ignores SIGPIPE. A send with
 * a @file, or with tx_now, makes the call itself, and is lent only if there is no room.
 */
int io_recv(struct io *io, struct io_link *l, const struct iovec *iov, int iov_nr);
int io_send(struct io *io, struct io_link *l, const struct iovec *iov, int iov_nr,
	    const struct tx_file *file, int file_nr);
/* The result of a direction that is IO_DONE, as above; 0 if it is not. It is IO_IDLE afterwards. */
int io_take_recv(struct io_link *l);
int io_take_send(struct io_link *l);

int io_watch_add(struct io *io, struct io_watch *w);
/* @w may be freed once !w->lent, which a later io_poll or io_wait makes true. */
void io_watch_remove(struct io *io, struct io_watch *w);

/* Submits what is queued and collects what is done. Never sleeps; makes no syscall if there is
 * nothing to do (epoll: seldom). */
void io_poll(struct io *io);
/* The same, and sleeps until something is done or @timeout_ns has passed (UINT64_MAX: for ever). */
void io_wait(struct io *io, uint64_t timeout_ns);
/* True if io_next or io_next_watch would return something, or io_poll would collect something. */
bool io_ready(struct io *io);

/* Next link of @rank with a result, or that io_again() put there; NULL if none. */
struct io_link *io_next(struct io *io, uint32_t rank);
/* Next watch that was written to. */
struct io_watch *io_next_watch(struct io *io);
/* Makes io_next() return @l again, behind the others. */
void io_again(struct io *io, struct io_link *l);

#endif /* NCD_IO_H */
