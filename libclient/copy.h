/* SPDX-License-Identifier: MIT */
/*
 * copy.h - the copies of large calls: cut into pieces that copy workers of the daemon take beside
 * the calling thread (ncd/copy_abi.h), and made so that a wrong address is an error and no signal.
 *
 * Ownership: a struct copier belongs to its attachment; NULL where the daemon offers no copy
 *   workers. A piece is a call's from piece_take to piece_give.
 * Threading: any thread; a call holds tx.lock or rx.lock of its socket, so the ring stays.
 * Trust: the daemon, as attach.h says. What came of a piece is checked against what was asked.
 */
#ifndef NC_COPY_H
#define NC_COPY_H

#include "ncd/copy_abi.h"

#include "attach.h"

struct iov_cursor;
struct nc_sock;

/* Calls that move less do not gain by it: a wake-up costs as much as half of this copied. */
#define COPY_MIN_BYTES (256u << 10)
/* Most that copy_large takes at once. */
#define COPY_RUN_MAX   (4u << 20)

struct copier {
	/* Set when attaching, then constant. */
	struct copy_piece_shm *piece;
	uint32_t nr; /* copy workers */
	struct {
		_Atomic uint32_t *need_wakeup;
		int doorbell_fd;
		struct ring ring; /* under lock */
	} queue[NCD_COPY_WORKERS_MAX];
	_Atomic bool off; /* the daemon may not reach our memory (any more) */

	alignas(NCD_CACHE_LINE) struct lock lock;
	uint64_t used; /* bits: pieces that a call has */
	uint32_t turn; /* copy worker that is posted to next */
};
_Static_assert(NCD_COPY_PIECES == 64, "a bit for each");

/* Memory at which a call's bytes are, and the ring that they go into or come out of. */
struct copy_run {
	struct nc_sock *s;
	enum copy_way way;
	uint8_t *user;
	size_t bytes;
	uint8_t *ring;   /* its first byte */
	uint32_t ring_bytes;
	uint32_t at;     /* place of the first byte in it */
	uint32_t segment;
	uint32_t alone;  /* most that this thread copies before it publishes */
	bool (*publish)(struct nc_sock *s, uint64_t bytes);
};

/* Of @area, the part of segment 0; @doorbell_fd: one for each of @nr copy workers, the copier's on
 * success. NULL: out of memory. */
struct copier *copier_create(uint8_t *area, uint32_t nr, const int *doorbell_fd);
/* NULL is allowed. */
void copier_destroy(struct copier *cp);
/* In a forked child: the parent goes on with it. */
void copier_close_fds(struct copier *cp);
/* Watcher, behind DEAD: no copy worker is at work any more; who waits for one goes on. */
void copier_dead(struct copier *cp);

/*
 * Of a large call, of a socket that is not shared: moves up to @bytes, for which there is room or
 * which are there, between the next memory of @iov and the ring, and publishes them; by copy
 * workers too where that pays; all of it so that a wrong address is told. @run: all but user and
 * bytes. 0, or -EFAULT; *ret_done bytes are published, and @iov stands behind them.
 */
int copy_large(struct copy_run *run, struct iov_cursor *iov, size_t bytes, size_t *ret_done);

static inline bool copy_wanted(const struct attachment *att, size_t bytes)
{
	/* Relaxed: a lone fact. */
	return bytes >= COPY_MIN_BYTES && att->copier &&
	       !atomic_load_explicit(&att->copier->off, memory_order_relaxed);
}

#endif /* NC_COPY_H */
