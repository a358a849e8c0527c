/* SPDX-License-Identifier: MIT */
/*
 * pair.h - pairs of sockets for pollable descriptors (pollfd.c), some kept to be used again.
 *
 * Making a pair and closing it is most of what accept and close cost. Most sockets are never
 * watched, so that nobody but this process ever had their pairs: those are as good as new.
 *
 * Ownership: a pair is the caller's from pair_take to pair_give or close.
 * Threading: any thread, and signal handlers: no lock.
 */
#ifndef NC_PAIR_H
#define NC_PAIR_H

#include <stdint.h>

#define PAIR_LIMIT_LOW 1 /* of the first end's send buffer; the kernel makes its minimum of it */

/* The first end has a limit of PAIR_LIMIT_LOW, and has sent a byte; else nothing is in them. 0,
 * -EMFILE or -ENOMEM. */
int pair_take(int ret_pair[2]);
/* To be taken again, or closed: it is as pair_take gave it, and nobody else has a copy of either
 * end. @forks: pair_forks() when it was taken. */
void pair_give(const int pair[2], uint32_t forks);
/* How often other processes may have got copies of all descriptors. */
uint32_t pair_forks(void);
/* They are about to. */
void pair_before_fork(void);
/* In a forked child: closes what is kept. */
void pair_forget(void);

#endif /* NC_PAIR_H */
