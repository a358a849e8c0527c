/* SPDX-License-Identifier: MIT */
/*
 * left.h - what this process says of its sockets that were left to kernel TCP, for ncd-stat.
 *
 * The table is an array of this process; attaching puts the region's in its place, at the same
 * address, and says all of it again. So a row is written without a lock, whether ncd is there or
 * not.
 *
 * Ownership: a row is held by the descriptors that name its socket; the last one lets it go.
 * Threading: any thread, and signal handlers: nothing here waits. left_join: under attach_lock.
 *
 * Ordering:
 *   OWN   who holds a row exclusively (LEFT_BUSY) changes it, then lets go (release)
 *         -> the next who takes it (acquire).
 *   AGAIN a change is in the row's own copy, then serial moves (seq_cst), then it goes to the
 *         table; left_join: new table in place, serial (seq_cst), copies the row to it,
 *         serial again (seq_cst). One of the two is last, and has it right.
 *   LEFT  see ncd/shm_abi.h.
 */
#ifndef NC_LEFT_H
#define NC_LEFT_H

#include <stdbool.h>

#include "ncd/shm_abi.h"

struct attachment;
struct endpoint;

/* A row, held once; -1: there is none, and the socket is not shown. */
int left_take(enum left_kind kind, enum left_why why, const struct endpoint *local,
	      const struct endpoint *peer);
/* One more descriptor names the socket of @row; one fewer. */
void left_get(int row);
void left_put(int row);

/* connect.c: true if a connect of virtual socket @number has failed because no channel to the peer
 * is up: nobody there was asked. */
bool connect_peer_down(int number);

/* connect.c: how a connect of @number that was begun without waiting has ended: 0 (which
 * nc_connect will say once more), -errno, or not yet (-EINPROGRESS). Waits for the answer until
 * @until_ns, if that is not 0. */
int connect_outcome(int number, uint64_t until_ns);
/* True while there is no answer. */
bool connect_waits(int number);
/* As connect_outcome, for our own ncd to have taken it: what that says itself is known then. */
int connect_outcome_here(int number);

/* The region of @att is new: its table is ours from now on. */
void left_join(struct attachment *att);

#endif /* NC_LEFT_H */
