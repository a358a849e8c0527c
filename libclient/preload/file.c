/* SPDX-License-Identifier: MIT */
/*
 * file.c - the table from descriptors to files, and the life of a file.
 */
#include "file.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "epoll.h"
#include "handler.h"
#include "limit.h"
#include "ncclient.h"
#include "pending.h"
#include "real.h"
#include "uring.h"
#include "../memory.h"
#include "../share.h"

struct files {
	struct lock lock;       /* "the table lock" */
	_Atomic(struct file *) replaced; /* REPLACE */
	_Atomic int top;        /* highest entry of a file ever set */
	_Atomic int top_hidden; /* the same of all entries */
	_Atomic pid_t owner;    /* the process whose descriptors these are */
	struct file internal;
};

_Atomic(struct file *) file_table[FILE_TABLE];
_Atomic(uint32_t) file_listeners;
_Atomic(uint32_t) file_listening;
/* Global: why: descriptors are the process's, and so is what they name. */
static struct files self = { .top = -1,
			     .top_hidden = -1,
			     .internal = { .kind = FILE_INTERNAL, .nc = -1 } };

bool file_own_process(void)
{
	/* Relaxed: set at load and in the only thread of a forked child. */
	return atomic_load_explicit(&self.owner, memory_order_relaxed) == getpid();
}

int file_top(void)
{
	/* Relaxed: a bound for loops; who adds beyond it races with them in any case. */
	return atomic_load_explicit(&self.top, memory_order_relaxed);
}

int file_top_hidden(void)
{
	/* Relaxed: as file_top. */
	return atomic_load_explicit(&self.top_hidden, memory_order_relaxed);
}

static void raise_to(_Atomic int *top, int fd)
{
	/* Relaxed, both: as file_top. */
	int now = atomic_load_explicit(top, memory_order_relaxed);

	while (now < fd && !atomic_compare_exchange_weak_explicit(
				   top, &now, fd, memory_order_relaxed, memory_order_relaxed))
		;
}

static void entry_set(int fd, struct file *f)
{
	raise_to(&self.top_hidden, fd);
	if (f != &self.internal)
		raise_to(&self.top, fd);
	/* ENTRY, writing end. */
	atomic_store_explicit(&file_table[fd], f, memory_order_release);
}

/* False: @fd does not name @f, or not any more. */
static bool entry_take(int fd, struct file *f)
{
	/* REPLACE, closing end; relaxed on failure: nothing was taken. */
	return atomic_compare_exchange_strong_explicit(&file_table[fd], &f, NULL,
						       memory_order_seq_cst, memory_order_relaxed);
}

/* True: it was the last one. */
static bool ref_put(struct file *f)
{
	/* REF, both ends. */
	return atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1;
}

void file_mark_internal(int fd)
{
	if (fd < FILE_TABLE)
		entry_set(fd, &self.internal);
}

void file_unmark_internal(int fd)
{
	if (file_of(fd) == &self.internal)
		(void)entry_take(fd, &self.internal); /* of two one does it */
}

struct file *file_open(int fd, enum file_kind kind, int domain, int nc)
{
	struct file *f = fd < FILE_TABLE ? pool_take() : NULL;

	if (!f)
		return NULL;
	f->refs = 1;
	f->domain = domain;
	f->nc = nc;
	f->pollfd = -1;
	f->nonblock = false;
	f->turn = 0;
	f->retry_ns = 0;
	f->fresh = false;
	f->backlog = 0;
	f->option = NULL;
	f->watch = NULL;
	f->set = NULL;
	f->ring = NULL;
	f->pending = NULL;
	f->cookie = 0;
	/* KIND, writing end. */
	atomic_store_explicit(&f->kind, kind, memory_order_release);
	entry_set(fd, f);
	return f;
}

void file_share(struct file *f, int fd)
{
	if (fd >= FILE_TABLE)
		return;
	/* Relaxed: the descriptor that it was copied from holds it. */
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	entry_set(fd, f);
}

bool file_release(struct file *f, int fd)
{
	bool last;

	if (!entry_take(fd, f)) /* of two that close it one gets on */
		return false;
	last = ref_put(f);
	/* REPLACE, closing end. */
	while (atomic_load_explicit(&self.replaced, memory_order_seq_cst) == f)
		(void)sched_yield(); /* cannot fail */
	return last;
}

/* Nobody names it: to the pool, with what it remembers freed. */
static void file_put(struct file *f)
{
	option_free(f);
	watch_free(f);
	/* KIND, writing end. */
	atomic_store_explicit(&f->kind, FILE_FREE, memory_order_release);
	f->nc = -1;
	pool_put(f);
}

static void file_end_later(struct lock_later *l)
{
	file_end((struct file *)(void *)((char *)l - offsetof(struct file, later)));
}

void file_end(struct file *f)
{
	int nc;

	f->later.run = file_end_later;
	if (lock_put_off(&f->later))
		return; /* we are in a handler that did not wait: handler.c */
	if (file_pending(f))
		pending_drop(f);
	nc = file_nc(f);
	if (file_kind(f) == FILE_LISTENER)
		/* Relaxed: a hint for polls. */
		atomic_fetch_sub_explicit(&file_listeners, 1, memory_order_relaxed);
	/* Relaxed: nobody but calls that race with this close looks, and they get EBADF. */
	atomic_store_explicit(&f->pollfd, -1, memory_order_relaxed);
	if (nc >= 0)
		(void)nc_close(nc); /* SO_LINGER's time is over: close(2) says nothing of it */
	if (f->set)
		set_close(f->set);
	if (f->ring)
		ring_close(f->ring);
	file_put(f);
}

bool file_hold(struct file *f)
{
	/* Relaxed, all: whoever holds it orders what follows. */
	uint32_t refs = atomic_load_explicit(&f->refs, memory_order_relaxed);

	while (refs > 0)
		if (atomic_compare_exchange_weak_explicit(&f->refs, &refs, refs + 1,
							  memory_order_relaxed,
							  memory_order_relaxed))
			return true;
	return false;
}

void file_let_go(struct file *f)
{
	if (ref_put(f))
		file_end(f);
}

/* True if nothing holds it any more: the caller ends it. */
static bool entries_take(struct file *f)
{
	bool last = false;

	for (int fd = 0; !last && fd <= file_top(); fd++)
		if (file_of(fd) == f && entry_take(fd, f))
			last = ref_put(f);
	return last;
}

void file_leave(struct file *f)
{
	(void)entries_take(f); /* the caller holds it */
}

void file_forget(struct file *f, int first)
{
	bool last = entry_take(first, f) && ref_put(f);

	if (last || entries_take(f))
		file_put(f);
}

static int descriptors_replace(struct file *f, int pollfd)
{
	/* REPLACE, replacing end. */
	uint32_t left = atomic_load_explicit(&f->refs, memory_order_seq_cst);

	for (int fd = 0; left > 0 && fd <= file_top(); fd++) {
		int flags;

		/* REPLACE, replacing end. */
		if (atomic_load_explicit(&file_table[fd], memory_order_seq_cst) != f)
			continue;
		left--;
		flags = real()->fcntl(fd, F_GETFD);
		if (real()->dup3(pollfd, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
			return -errno;
	}
	return 0;
}

/* The descriptors of @f become copies of @to, and it @kind with @nc. 0 or -errno. */
static int file_replace(struct file *f, int to, enum file_kind kind, int nc)
{
	int ret;

	lock_take(&self.lock);
	/* REPLACE, replacing end. */
	atomic_store_explicit(&self.replaced, f, memory_order_seq_cst);
	ret = descriptors_replace(f, to);
	if (ret == 0) {
		f->nc = nc;
		/* KIND, writing end. */
		atomic_store_explicit(&f->kind, kind, memory_order_release);
	}
	/* REPLACE, replacing end: who waits sees the above. */
	atomic_store_explicit(&self.replaced, NULL, memory_order_seq_cst);
	lock_release(&self.lock);
	return ret;
}

int file_become_virtual(struct file *f, int nc, int pollfd, bool nonblock)
{
	int ret;

	lock_take(&f->lock);
	watch_remove(f);
	/* Relaxed: KIND orders it; of a KERNEL file nobody looks at it. */
	atomic_store_explicit(&f->nonblock, nonblock, memory_order_relaxed);
	ret = file_replace(f, pollfd, FILE_VIRTUAL, nc);
	watch_add(f);
	lock_release(&f->lock);
	return ret;
}

int file_become_kernel(struct file *f, int kernel)
{
	return file_replace(f, kernel, FILE_KERNEL, -1);
}

static void locks_behind_fork(void)
{
	stdio_behind_fork();
	limit_behind_fork();
	set_behind_fork();
	pool_behind_fork();
	lock_release(&self.lock);
}

/*
 * The child has copies of its parent's descriptors, and those virtual sockets that are shared. The
 * descriptors of others must not keep the parent's open files alive, so each becomes one end of a
 * pair that has ended. Registrations are in the parent's epolls, until the child waits there.
 */
void file_fork_child(void)
{
	struct lock none = { 0 };
	int dead[2];

	lock_forget_later();
	handler_fork_child();
	memory_forget();
	locks_behind_fork();
	/* Relaxed: this is the only thread. */
	atomic_store_explicit(&self.owner, getpid(), memory_order_relaxed);
	if (real()->socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, dead) < 0)
		dead[0] = dead[1] = -1;
	else
		(void)real()->close(dead[1]); /* hung up */
	for (int fd = 0; fd <= file_top(); fd++) {
		struct file *f = file_of(fd);
		int flags;

		if (!f || f == &self.internal)
			continue;
		f->lock = none;
		if (file_kind(f) == FILE_LISTENER)
			listener_forget(f);
		if (f->set)
			set_forget(f->set);
		if (file_kind(f) == FILE_VIRTUAL) {
			if (share_kept(file_nc(f))) {
				watch_inherit(f);
				continue;
			}
			watch_free(f);
		}
		f->nc = -1;
		if (file_kind(f) != FILE_VIRTUAL || dead[0] < 0)
			continue;
		flags = real()->fcntl(fd, F_GETFD);
		(void)real()->dup3(dead[0], fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
	}
	if (dead[0] >= 0)
		(void)real()->close(dead[0]); /* the copies stay */
}

/* Locks that the forking thread would leave held in the child are free while it forks. */
void file_before_fork(void)
{
	lock_take(&self.lock);
	pool_before_fork();
	set_before_fork();
	limit_before_fork();
	stdio_before_fork();
}

void file_fork_parent(void)
{
	locks_behind_fork();
}

__attribute__((constructor)) static void file_init(void)
{
	(void)real();
	/* Relaxed: before any other thread. */
	atomic_store_explicit(&self.owner, getpid(), memory_order_relaxed);
	share_at_fork();
	/* Out of memory: forks share, as said. */
	(void)pthread_atfork(file_before_fork, file_fork_parent, file_fork_child);
}
