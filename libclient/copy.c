/* SPDX-License-Identifier: MIT */
/*
 * copy.c - a large copy in pieces, by copy workers and the calling thread side by side.
 *
 * All pieces but the first are posted; then the caller works from the front, and takes back each
 * piece that nobody has begun when it comes to it. So copy workers that are busy, asleep or hung
 * cost nothing but the posting, and the caller waits only for pieces that are being copied, which
 * its own memory alone can hold up. Whatever is complete from the front on is published at once.
 */
#include "copy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include "iov.h"
#include "sock_calls.h"

#define PIECE_BYTES (128u << 10)
#define PARTS_MAX   (COPY_RUN_MAX / PIECE_BYTES + 1) /* one more: cut at the end of the ring */
#define SPINS       2000u /* looks at a piece before sleeping on it: a few us */
#define NO_PIECE    UINT32_MAX
_Static_assert(PIECE_BYTES <= NCD_COPY_PIECE_MAX, "the daemon takes it");

/* A part of a run; in the ring it does not wrap. */
struct part {
	uint8_t *user, *ring;
	uint32_t bytes;
	uint32_t copied;
	uint32_t piece; /* NO_PIECE: this thread's, to copy or copied */
	bool done;      /* copied: all, or up to where the memory ends */
};

/* ---- by this thread ---- */

/*
 * The kernel copies within this process: what would be SIGSEGV is a short count. The ring is the
 * remote side, so that the caller's memory may be of any kind: the local one is touched as by any
 * system call, the remote one has to have pages that can be pinned.
 */
static ssize_t copy_checked(enum copy_way way, uint8_t *ring, uint8_t *user, size_t bytes)
{
	struct iovec local = { user, bytes }, remote = { ring, bytes };

	return way == COPY_IN ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
			      : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

static size_t copy_here(enum copy_way way, uint8_t *ring, uint8_t *user, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = copy_checked(way, ring + done, user + done, bytes - done);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n == 0 || errno == EFAULT)
			break;
		/* A sandbox has no such call: as any other copy then. */
		if (way == COPY_IN)
			memcpy(ring + done, user + done, bytes - done);
		else
			memcpy(user + done, ring + done, bytes - done);
		return bytes;
	}
	return done;
}

/* ---- pieces ---- */

/* A piece that nobody uses, under the copier's lock; NO_PIECE: there is none. */
static uint32_t piece_take(struct copier *cp)
{
	uint32_t nr;

	if (cp->used == UINT64_MAX)
		return NO_PIECE;
	nr = (uint32_t)__builtin_ctzll(~cp->used);
	cp->used |= 1ull << nr;
	return nr;
}

static void piece_give(struct copier *cp, uint32_t nr)
{
	lock_take(&cp->lock);
	cp->used &= ~(1ull << nr);
	lock_release(&cp->lock);
}

static void piece_fill(struct copy_piece_shm *p, const struct copy_run *run,
		       const struct part *part)
{
	const struct segment *seg = &run->s->att->segment[run->segment];

	/* Relaxed, all: PIECE orders them. */
	atomic_store_explicit(&p->way, run->way, memory_order_relaxed);
	atomic_store_explicit(&p->segment, run->segment, memory_order_relaxed);
	atomic_store_explicit(&p->bytes, part->bytes, memory_order_relaxed);
	atomic_store_explicit(&p->off, (uint64_t)(part->ring - seg->base), memory_order_relaxed);
	atomic_store_explicit(&p->address, (uint64_t)(uintptr_t)part->user, memory_order_relaxed);
	/* PIECE, application end. */
	atomic_store_explicit(&p->state, COPY_POSTED, memory_order_release);
}

/* Posts parts 1 and on, as far as there are pieces and room, to the copy workers in turn. */
static void parts_post(struct copier *cp, const struct copy_run *run, struct part *part,
		       uint32_t nr)
{
	uint32_t rung = 0;

	lock_take(&cp->lock);
	for (uint32_t i = 1; i < nr; i++) {
		uint32_t worker = cp->turn++ % cp->nr;
		uint32_t piece = piece_take(cp);

		if (piece == NO_PIECE)
			break;
		piece_fill(&cp->piece[piece], run, &part[i]);
		part[i].piece = piece;
		/* Full, of pieces that were taken back: it is hung. This one is taken back, too. */
		if (ring_push(&cp->queue[worker].ring, piece) == 0)
			rung |= 1u << worker;
	}
	for (; rung; rung &= rung - 1) {
		uint32_t worker = (uint32_t)__builtin_ctz(rung);

		ring_publish(&cp->queue[worker].ring);
		if (doorbell_due(cp->queue[worker].need_wakeup))
			/* Fails only when the counter is full: it is awake. */
			(void)eventfd_write(cp->queue[worker].doorbell_fd, 1);
	}
	lock_release(&cp->lock);
}

/* True if the part is this thread's to copy: it was, or nobody has begun. */
static bool part_take_back(struct copier *cp, struct part *part)
{
	uint32_t state = COPY_POSTED;

	if (part->piece == NO_PIECE)
		return true;
	/* Relaxed: nothing was done by another, and nothing is to be seen by one. */
	if (!atomic_compare_exchange_strong_explicit(&cp->piece[part->piece].state, &state,
						     COPY_FREE, memory_order_relaxed,
						     memory_order_relaxed))
		return false;
	piece_give(cp, part->piece);
	part->piece = NO_PIECE;
	return true;
}

/* Sleeps until the state of @p may have changed, or the daemon is dead. */
static void piece_sleep(struct attachment *att, struct copy_piece_shm *p)
{
	uint32_t state = COPY_TAKEN;

	/* PIECE_WAIT, application end. */
	if (!atomic_compare_exchange_strong_explicit(&p->state, &state, COPY_WAITED,
						     memory_order_seq_cst, memory_order_seq_cst) &&
	    state != COPY_WAITED)
		return;
	/* PIECE_WAIT; DEAD, looking end. Behind it copier_dead moves the word. */
	if (!attachment_dead(att))
		(void)futex_wait_shared(&p->state, COPY_WAITED, NC_FOREVER); /* looks again */
}

/* Waits for a piece that was begun. Its last state: DONE, or LOST. */
static uint32_t piece_await(struct attachment *att, struct copy_piece_shm *p)
{
	for (uint32_t spins = 0;; spins++) {
		/* COPIED, application end. */
		uint32_t state = atomic_load_explicit(&p->state, memory_order_acquire);

		if (state != COPY_TAKEN && state != COPY_WAITED)
			return state;
		/* Without yielding: beside a program that computes that costs a time slice. */
		if (spins < SPINS)
			continue;
		if (attachment_dead(att))
			return COPY_LOST;
		piece_sleep(att, p);
	}
}

/* What is left of it, by this thread. */
static void part_copy(const struct copy_run *run, struct part *part)
{
	uint32_t from = part->copied;

	part->copied += (uint32_t)copy_here(run->way, part->ring + from, part->user + from,
					    part->bytes - from);
	part->done = true;
}

/* Waits for a part that a copy worker has begun, and does what it did not. */
static void part_await(struct copier *cp, const struct copy_run *run, struct part *part)
{
	struct copy_piece_shm *p = &cp->piece[part->piece];
	uint32_t state = piece_await(run->s->att, p);
	/* Relaxed, both: COPIED ordered them. */
	uint32_t copied = atomic_load_explicit(&p->copied, memory_order_relaxed);
	int error = atomic_load_explicit(&p->error, memory_order_relaxed);

	piece_give(cp, part->piece);
	part->piece = NO_PIECE;
	if (state == COPY_DONE) {
		part->copied = copied < part->bytes ? copied : part->bytes;
		if (error < 0 && error != -EFAULT)
			/* Relaxed: a lone fact. */
			atomic_store_explicit(&cp->off, true, memory_order_relaxed);
	}
	/* The rest: a copy worker faults, too, where memory is of a kind that it cannot reach. */
	part_copy(run, part);
}

/* ---- the run ---- */

static uint32_t parts_cut(const struct copy_run *run, struct part part[PARTS_MAX])
{
	uint32_t nr = 0, at = run->at;
	size_t done = 0;

	while (done < run->bytes) {
		size_t n = run->bytes - done;

		if (n > PIECE_BYTES)
			n = PIECE_BYTES;
		if (n > run->ring_bytes - at)
			n = run->ring_bytes - at;
		part[nr++] = (struct part){ .user = run->user + done,
					    .ring = run->ring + at,
					    .bytes = (uint32_t)n,
					    .piece = NO_PIECE };
		done += n;
		at = (at + (uint32_t)n) & (run->ring_bytes - 1);
	}
	return nr;
}

/* They count: the socket is not shared, and who shares it needs the lock that the call holds. */
static void run_publish(const struct copy_run *run, uint64_t bytes)
{
	(void)run->publish(run->s, bytes);
}

/* Publishes what is complete behind *front. False: it ends there, by a fault. */
static bool parts_publish(const struct copy_run *run, const struct part *part, uint32_t nr,
			  uint32_t *front, size_t *done)
{
	while (*front < nr && part[*front].done) {
		const struct part *p = &part[*front];

		if (p->copied > 0)
			run_publish(run, p->copied);
		*done += p->copied;
		if (p->copied < p->bytes)
			return false;
		(*front)++;
	}
	return true;
}

/* Copies the bytes of @run with the help of copy workers, and publishes them in order, bit by bit.
 * Returns how many: less than asked if the next byte of the caller's memory is not to be had. */
static size_t run_parts(const struct copy_run *run)
{
	struct copier *cp = run->s->att->copier;
	struct part part[PARTS_MAX];
	uint32_t nr = parts_cut(run, part), front = 0;
	bool good = true;
	size_t done = 0;

	parts_post(cp, run, part, nr);
	for (uint32_t i = 0; i < nr && good; i++) {
		if (part_take_back(cp, &part[i]))
			part_copy(run, &part[i]);
		else if (atomic_load_explicit(&cp->piece[part[i].piece].state,
					      /* Relaxed: part_await looks again. */
					      memory_order_relaxed) == COPY_DONE)
			part_await(cp, run, &part[i]);
		good = parts_publish(run, part, nr, &front, &done);
	}
	/* What is left is being copied, or, behind a fault, not wanted any more. */
	for (uint32_t i = 0; i < nr; i++) {
		if (part[i].done || (!good && part_take_back(cp, &part[i])))
			continue;
		part_await(cp, run, &part[i]);
		if (good)
			good = parts_publish(run, part, nr, &front, &done);
	}
	return done;
}

/* The same by this thread alone: up to the end of the ring. */
static size_t run_alone(const struct copy_run *run)
{
	size_t done = copy_here(run->way, run->ring + run->at, run->user, run->bytes);

	if (done > 0)
		run_publish(run, done);
	return done;
}

int copy_large(struct copy_run *run, struct iov_cursor *iov, size_t bytes, size_t *ret_done)
{
	size_t done;

	run->bytes = iov_contiguous(iov, &run->user);
	if (run->bytes > bytes)
		run->bytes = bytes;
	if (run->bytes > COPY_RUN_MAX)
		run->bytes = COPY_RUN_MAX;
	if (copy_wanted(run->s->att, run->bytes)) {
		done = run_parts(run);
	} else {
		if (run->bytes > run->alone)
			run->bytes = run->alone;
		if (run->bytes > run->ring_bytes - run->at)
			run->bytes = run->ring_bytes - run->at;
		done = run_alone(run);
	}
	iov_skip(iov, done);
	*ret_done = done;
	return done < run->bytes ? -EFAULT : 0;
}

/* ---- the copier ---- */

struct copier *copier_create(uint8_t *area, uint32_t nr, const int *doorbell_fd)
{
	struct copier *cp = aligned_alloc(alignof(struct copier), sizeof(*cp));

	if (!cp)
		return NULL;
	memset(cp, 0, sizeof(*cp));
	cp->piece = copy_area_pieces(area);
	cp->nr = nr;
	for (uint32_t i = 0; i < nr; i++) {
		struct copy_queue_shm *shm = copy_area_queue(area, i);

		cp->queue[i].need_wakeup = &shm->need_wakeup;
		cp->queue[i].doorbell_fd = doorbell_fd[i];
		ring_init(&cp->queue[i].ring, shm->ring, NCD_COPY_PIECES);
	}
	return cp;
}

void copier_close_fds(struct copier *cp)
{
	for (uint32_t i = 0; cp && i < cp->nr; i++)
		close(cp->queue[i].doorbell_fd);
}

void copier_destroy(struct copier *cp)
{
	copier_close_fds(cp);
	free(cp);
}

void copier_dead(struct copier *cp)
{
	for (uint32_t i = 0; cp && i < NCD_COPY_PIECES; i++) {
		_Atomic uint32_t *state = &cp->piece[i].state;
		uint32_t was = COPY_WAITED;

		/* DEAD, setting end: moved, so that who is about to sleep does not. */
		atomic_compare_exchange_strong_explicit(state, &was, COPY_LOST,
							memory_order_seq_cst, memory_order_seq_cst);
		/* Any: the copy worker may have died between DONE and its wake. */
		futex_wake_shared(state);
	}
}
