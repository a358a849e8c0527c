/* SPDX-License-Identifier: MIT */
/*
 * cq.h - completion queues, as the rest of the library sees them.
 *
 * Ownership: a queue is part of its attachment.
 * Threading: any thread; the locks are said at each.
 */
#ifndef NC_CQ_H
#define NC_CQ_H

#include "sock.h"

/* @s has got its slot or listener: if it is in a queue, that is told to the daemon. No lock of @s
 * is held. */
void cq_refresh(struct nc_sock *s);
/* Takes @s out of its queue, if it is in one. No lock of @s is held. */
void cq_detach(struct nc_sock *s);
/* Watcher: the attachment is dead; wakes who waits. */
void cq_wake_all(struct attachment *att);

#endif /* NC_CQ_H */
