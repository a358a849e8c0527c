/* SPDX-License-Identifier: MIT */
/*
 * pending.h - non-blocking connects that ncd has not answered yet.
 *
 * connect(2) has said EINPROGRESS, and the file is VIRTUAL: if the answer is yes it just stays
 * that. The kernel's socket is kept as a spare. If the peer's ncd refuses, or does not answer in
 * PENDING_NS, the spare connects, and takes the descriptors and the registrations back: to the
 * program it is still connecting. Nothing may tell it of the refusal before, so who is about to use
 * a VIRTUAL file settles it first (file_virtual), and who has found something ready looks again. A
 * thread of ours waits for the oldest one, in case that nobody looks.
 *
 * Where the kernel alone would tell (an epoll that we do not know, io_uring, a second epoll), there
 * is no pending: connect waits, for PENDING_NS at most.
 *
 * Ownership: a pending is its file's, and frees itself when it is settled.
 * Threading: any thread. Under the file's lock, but for the list, which has its own inside.
 */
#ifndef PRELOAD_PENDING_H
#define PRELOAD_PENDING_H

#include "file.h"
#include "ncclient.h"

#define PENDING_NS 200000000u

extern _Atomic(uint32_t) pending_nr;

/* True if anything is pending in this process. */
static inline bool pending_any(void)
{
	/* Relaxed: who finds something of it ready has that from who began it. */
	return atomic_load_explicit(&pending_nr, memory_order_relaxed) > 0;
}

static inline bool file_pending(const struct file *f)
{
	/* Relaxed: only whether there is one. */
	return atomic_load_explicit(&f->pending, memory_order_relaxed) != NULL;
}

/* A connect of @f, a KERNEL file named by @fd, could be pending: nobody but us would tell of it. */
bool pending_possible(const struct file *f);
/* @f could be watched by @set, named by @epfd, while it is pending: by its queue. */
bool pending_fits(const struct file *f, struct set *set, int epfd);
/* Begins one, before @f becomes virtual with @nc. -EMFILE, -ENOMEM, -EAGAIN (no thread). */
int pending_begin(struct file *f, int fd, int nc, const struct sockaddr *addr, socklen_t len);
/* It came to nothing: @f did not become virtual, or has lost its last descriptor. */
void pending_drop(struct file *f);
/* Waits for the answer, PENDING_NS at most, and settles. */
void pending_await(struct file *f);
/* Takes out of @events of @cq what is the end of a pending alone; how many are left. */
int pending_strip(struct nc_cq *cq, struct nc_event *events, int n);
/* What the program sets on a pending socket, its spare has too. */
void pending_option(struct file *f, int level, int name, const void *val, socklen_t len);

#endif /* PRELOAD_PENDING_H */
