/* SPDX-License-Identifier: MIT */
/*
 * pollfd.h - the pollable descriptor of a virtual socket, for who lets the kernel wait at times.
 *
 * Ownership: the descriptor is the socket's. Threading: any thread.
 */
#ifndef NC_POLLFD_H
#define NC_POLLFD_H

#include <poll.h>

/* The descriptor, made if there is none, which nobody watches: it tells nothing. -EBADF, -EMFILE,
 * -ENOMEM. */
int pollfd_unwatched(int number);
/* The same, true to the socket from now on until pollfd_unwatch. Asks the daemon the first time. */
int pollfd_watch(int number);
void pollfd_unwatch(int number);

/* Something of it changes that stays, or is asked for that no two have: it is not for another
 * socket later. */
void pollfd_use(int number);

/* ---- poll.c ---- */

/* What is true of @p->fd, a virtual socket, as poll(2) would say. Makes no syscall,
 * unless another process had it. */
short poll_look(const struct pollfd *p);
/* Sleeps until that may have changed for one of the @nr, without pollable descriptors. Returns 0
 * (look again), -EINTR, -EAGAIN (@until_ns), -EBADF, or -ENOTSUP: the kernel must wait for them. */
int poll_sleep(const struct pollfd *p, nfds_t nr, uint64_t until_ns);

#endif /* NC_POLLFD_H */
