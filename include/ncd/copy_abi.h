/* SPDX-License-Identifier: MIT */
/*
 * copy_abi.h - how an application has bytes copied between its private memory and its rings: the
 * pieces of its large calls, and the queues that name them to copy workers. A part of segment 0,
 * there only if region_shm.copy_workers is not 0.
 *
 * Ownership: as shm_abi.h. A piece that is not FREE or DONE is lent to the daemon, and with it the
 *   application's memory and the part of the ring that it names.
 * Threading: who moves a piece's state from POSTED has the piece: a copy worker (TAKEN), or the
 *   application, which takes it back (FREE) if no copy worker has begun. So nobody ever waits for
 *   a copy worker that is busy, or hangs, with what is another's.
 * Trust: a copy worker fetches each word once, checks the copy, uses the copy. A piece names ring
 *   memory of the application's own segments and nothing else, so a lying one costs only the liar:
 *   it can write there anyway. Which streams the bytes belong to, a copy worker does not know.
 *
 *   copy_off    copy_piece_shm[NCD_COPY_PIECES]
 *               copy_queue_shm of copy worker 0    numbers of pieces it may take, oldest first;
 *               copy_queue_shm of copy worker 1    one that is not POSTED any more is skipped
 *               ...
 *
 *            app posts              copy worker takes           copies
 *   FREE -----------------> POSTED ---------------> TAKEN -----------------> DONE
 *    ^                        |                       | app sleeps           ^ |
 *    +---- app takes it back -+                       +--------> WAITED -----+ |
 *    +------------------------ app has read what came of it -------------------+
 *
 * Ordering:
 *   PIECE   app stores POSTED (release) -> copy worker swaps it to TAKEN (acquire): the piece is
 *           filled, and bytes to be sent are in the application's memory.
 *   COPIED  copy worker swaps to DONE (acq_rel) -> app loads DONE (acquire): copied and error are
 *           set, and the bytes are where they were to go.
 *   PIECE_WAIT  app swaps TAKEN to WAITED (seq_cst), looks whether the daemon is dead, sleeps on
 *           the state; copy worker swaps to DONE, and wakes if it was WAITED.
 *   DOORBELL    see doorbell.h: of each queue.
 */
#ifndef NCD_COPY_ABI_H
#define NCD_COPY_ABI_H

#include "ncd/ring.h"

enum copy_state {
	COPY_FREE = 0,
	COPY_POSTED,
	COPY_TAKEN,
	COPY_WAITED, /* as TAKEN; the application sleeps on the word */
	COPY_DONE,
	COPY_LOST, /* library only: the daemon died while it had the piece */
};

enum copy_way {
	COPY_IN = 1, /* from the application's memory to a ring */
	COPY_OUT,    /* from a ring to the application's memory */
};

struct copy_piece_shm {
	alignas(NCD_CACHE_LINE) _Atomic uint32_t state; /* both */
	/* App only. */
	_Atomic uint32_t way;     /* enum copy_way */
	_Atomic uint32_t segment; /* 1.. */
	_Atomic uint32_t bytes;   /* 1..NCD_COPY_PIECE_MAX */
	_Atomic uint64_t off;     /* in the segment */
	_Atomic uint64_t address; /* in the application */
	/* Daemon only. */
	_Atomic uint32_t copied; /* bytes from the start that are copied */
	_Atomic int32_t error;   /* why not all: -EFAULT, or the daemon may not (the app copies) */
};
_Static_assert(sizeof(struct copy_piece_shm) == 64, "shm ABI");
_Static_assert(offsetof(struct copy_piece_shm, off) == 16, "shm ABI");
_Static_assert(offsetof(struct copy_piece_shm, error) == 36, "shm ABI");

struct copy_queue_shm {
	alignas(NCD_CACHE_LINE) _Atomic uint32_t need_wakeup; /* both; DOORBELL */
	alignas(NCD_CACHE_LINE) uint8_t ring[960]; /* ring.h with NCD_COPY_PIECES words */
};
_Static_assert(sizeof(struct copy_queue_shm) == 1024, "shm ABI");
_Static_assert(sizeof(struct ring_shm) + NCD_COPY_PIECES * sizeof(uint64_t) <= 960, "shm ABI");

/* Bytes of all that, for @copy_workers. */
static inline uint64_t copy_area_bytes(uint32_t copy_workers)
{
	return copy_workers ? NCD_COPY_PIECES * sizeof(struct copy_piece_shm) +
				      copy_workers * sizeof(struct copy_queue_shm)
			    : 0;
}

static inline struct copy_piece_shm *copy_area_pieces(uint8_t *area)
{
	return (struct copy_piece_shm *)(void *)area;
}

static inline struct copy_queue_shm *copy_area_queue(uint8_t *area, uint32_t copy_worker)
{
	void *queues = area + NCD_COPY_PIECES * sizeof(struct copy_piece_shm);

	return (struct copy_queue_shm *)queues + copy_worker;
}

#endif /* NCD_COPY_ABI_H */
