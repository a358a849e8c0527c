/* SPDX-License-Identifier: MIT */
/*
 * copy_worker.h - a thread that copies the pieces of large calls between applications' private
 * memory and their rings (ncd/copy_abi.h).
 *
 * It takes a piece from each application that has some, in turn. Without work it spins for a while,
 * as a worker does, then sleeps until a doorbell rings. A page fault of the application's own
 * making (a file system in user space, userfaultfd) may hold it up for as long as that likes: the
 * others then copy by themselves, and only that application waits.
 *
 * Ownership: control creates and destroys it. The table of clients is control's; an entry that the
 *   copy worker holds is not destroyed.
 * Threading: control calls the functions below; everything else is its own thread's.
 *
 * Ordering:
 *   HOLD  copy worker stores holds = client (seq_cst), looks whether it is in the table still
 *         (seq_cst). Control takes it out of the table (seq_cst), looks whether it is held
 *         (seq_cst). One of the two looks comes last and sees the other side. Who lets go of a
 *         client that is not in the table any more tells control, by its eventfd.
 */
#ifndef NCD_COPY_WORKER_H
#define NCD_COPY_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ncd/stats_abi.h"

#include "copy_client.h"

struct copy_table {
	_Atomic(struct copy_client *) client[NCD_CLIENTS_MAX]; /* HOLD; control writes */
};

struct copy_worker_config {
	uint32_t index;
	int cpu;
	uint32_t spin_us; /* longest spin before sleeping; 0: never */
	struct copy_table *table;
	int event_fd; /* eventfd: it has let go of a client, or found it bad; control's own */
	struct stats_copy *stats;
};

struct copy_worker;

/* Starts the thread. 0, -ENOMEM, -EMFILE, or -EINVAL: it may not run on that core. */
int copy_worker_start(const struct copy_worker_config *cfg, struct copy_worker **ret_worker);
/*
 * Ends the thread and frees it. False: it is held up inside an application's memory, and goes on
 * using what it holds until the process ends. NULL is allowed.
 */
bool copy_worker_stop(struct copy_worker *w);

/* The doorbell of @c at this copy worker is heard from now on; no more. 0 or -errno. */
int copy_worker_hear(struct copy_worker *w, const struct copy_client *c);
void copy_worker_ignore(struct copy_worker *w, const struct copy_client *c);
/* True while the copy worker uses @c, which has been taken out of the table. */
bool copy_worker_holds(struct copy_worker *w, const struct copy_client *c);
/* False if it does not run on its core alone any more: the core is offline, or was taken away. */
bool copy_worker_placed(const struct copy_worker *w);

#endif /* NCD_COPY_WORKER_H */
