/* SPDX-License-Identifier: MIT */
/*
 * channel_budget.h - keeps what lies below a throughput channel within its budget, and what lies
 * unread in the kernel below a latency channel within bounds.
 *
 * Threading: channel_budget_take: the channel's worker; the others: whoever has the connection.
 *   None blocks.
 */
#ifndef NCD_CHANNEL_BUDGET_H
#define NCD_CHANNEL_BUDGET_H

#include "core/budget.h"

/* Asks the kernel about @fd, and has it take as much as the budget allows and not more. */
void channel_budget_take(struct budget *b, int fd, uint64_t now_ns);

/* The shortest round trip of @fd so far, from the kernel; 0: not known. */
uint64_t channel_round_trip_ns(int fd);

/*
 * Bounds the window of @fd, a latency channel, to what 10 Gbit/s take at its round trip, at least
 * 256 KiB: nothing overtakes what the peer has sent, and the window that the kernel would grow
 * holds what a worker reads in many milliseconds.
 */
void channel_receive_bound(int fd);

/*
 * The window of @fd, a throughput channel, begins at 4 MiB and may grow. The kernel begins at 128
 * KiB and grows with what is read in a round trip, which is little if it is read at once: sender
 * and receiver would wait for each other.
 */
void channel_receive_room(int fd);

#endif /* NCD_CHANNEL_BUDGET_H */
