/* SPDX-License-Identifier: MIT */
/*
 * carriers.h - how the workers of a host reach each other: a box of messages (core/carry.h) for
 * each ordered pair, and for each worker a board on which it shows whether it has time.
 *
 * Ownership: control makes it before the first worker starts, and frees it when all have stopped.
 * Threading: a box has one producer and one consumer; a board is written by its worker. A worker
 *   that is not up has no channels on its board, and is sent nothing.
 *
 * Ordering: the boxes are rings of ncd/ring.h, with its PUBLISH and RECYCLE for the messages too; a
 *   worker that sleeps is woken by DOORBELL. What boards show may be old: it is a hint.
 */
#ifndef NCD_CARRIERS_H
#define NCD_CARRIERS_H

#include "ncd/ring.h"

#include "core/carry.h"

#define CARRY_BOX 64u /* messages; more wait in the engine that has them to say */

struct carry_box {
	struct ring_shm *shm; /* of CARRY_BOX words, which are not used */
	struct carry_msg msg[CARRY_BOX];
};

struct carry_board {
	/* its worker writes */
	alignas(NCD_CACHE_LINE) _Atomic uint64_t idle_ns; /* when it last had nothing to do */
	_Atomic uint64_t bulk_ns;          /* engine_bulk_ns() */
	_Atomic uint8_t up[NCD_PEERS_MAX]; /* engine_carry_channels(), 255 at most */
	/* all */
	alignas(NCD_CACHE_LINE) _Atomic uint32_t need_wakeup;
	int fd; /* eventfd; set at create */
};

struct carriers {
	uint32_t nr;
	struct carry_board *board; /* by worker */
	struct carry_box *box;     /* from * nr + to */
};

/* For @nr workers. NULL: out of memory, or of descriptors. */
struct carriers *carriers_create(uint32_t nr);
/* NULL is allowed. */
void carriers_destroy(struct carriers *cs);

#endif /* NCD_CARRIERS_H */
