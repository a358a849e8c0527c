/* SPDX-License-Identifier: MIT */
/*
 * share.h - virtual sockets whose descriptor other processes get: by fork, exec or SCM_RIGHTS. For
 * libncpreload; a program of libncclient's own has its sockets alone.
 *
 * A socket that is shared may be elsewhere: its slot says MOVED, or it has none (PHASE_AWAY), since
 * this process got only the descriptor. It is fetched when it is used.
 *
 * Ownership, Threading: as sock.h.
 */
#ifndef NC_SHARE_H
#define NC_SHARE_H

#include <stdbool.h>

/* This process forks, or starts a program: whatever sockets have a pollable descriptor are shared
 * from now on. Waits for the daemon; what cannot be shared is not. */
void share_all(void);
/* From now on before each fork of this process. */
void share_at_fork(void);
/* The same of one socket, which is about to be sent to another process. */
void share_one(int number);
/* In a forked child, before and behind the library's own handler: @number is of use here too. */
bool share_kept(int number);
/*
 * A socket for @fd, an end of a pair that this process has got, if ncd knows it by its name: a
 * number, and AF_INET or AF_INET6 through @ret_domain. -ENOENT: it is none of ours. -EMFILE,
 * -ENOMEM. @fd stays the caller's.
 */
int share_adopt(int fd, int *ret_domain);
/* Fetches @number if it is elsewhere: for who will wait for it, or asks about it. */
void share_fetch(int number);
/* True if another process has it now. */
bool share_away(int number);

#endif /* NC_SHARE_H */
