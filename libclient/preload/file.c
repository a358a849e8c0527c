/* SPDX-License-Identifier: MIT */
/*
 * file.c - the table from descriptors to files, and the life of a file.
 */
#include "file.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "epoll.h"
#include "ncclient.h"
#include "pending.h"
#include "real.h"
#include "../share.h"

#define POOL_CHUNK 64

struct files {
	struct lock lock;       /* "the table lock" */
	struct file *pool;      /* table lock */
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

/* A handler that closes or dups must not find the lock held by its own thread. */
static void table_take(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, old); /* cannot fail */
	lock_take(&self.lock);
}

static void table_release(const sigset_t *old)
{
	lock_release(&self.lock);
	(void)pthread_sigmask(SIG_SETMASK, old, NULL); /* cannot fail */
}

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

/* With the table lock held. */
static void entry_set(int fd, struct file *f)
{
	if (fd > file_top_hidden())
		/* Relaxed: as file_top. */
		atomic_store_explicit(&self.top_hidden, fd, memory_order_relaxed);
	if (f != &self.internal && fd > file_top())
		/* Relaxed: as file_top. */
		atomic_store_explicit(&self.top, fd, memory_order_relaxed);
	/* ENTRY, writing end. */
	atomic_store_explicit(&file_table[fd], f, memory_order_release);
}

void file_mark_internal(int fd)
{
	sigset_t old;

	if (fd >= FILE_TABLE)
		return;
	table_take(&old);
	entry_set(fd, &self.internal);
	table_release(&old);
}

void file_unmark_internal(int fd)
{
	sigset_t old;

	if (file_of(fd) != &self.internal)
		return;
	table_take(&old);
	entry_set(fd, NULL);
	table_release(&old);
}

/* With the table lock held. */
static struct file *pool_take(void)
{
	struct file *f = self.pool;

	if (!f) {
		struct file *chunk = calloc(POOL_CHUNK, sizeof(*chunk));

		if (!chunk)
			return NULL;
		for (int i = 0; i < POOL_CHUNK; i++) {
			chunk[i].next_free = self.pool;
			self.pool = &chunk[i];
		}
		f = self.pool;
	}
	self.pool = f->next_free;
	return f;
}

struct file *file_open(int fd, enum file_kind kind, int domain, int nc)
{
	struct file *f;
	sigset_t old;

	if (fd >= FILE_TABLE)
		return NULL;
	table_take(&old);
	f = pool_take();
	if (f) {
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
		f->pending = NULL;
		f->cookie = 0;
		/* KIND, writing end. */
		atomic_store_explicit(&f->kind, kind, memory_order_release);
		entry_set(fd, f);
	}
	table_release(&old);
	return f;
}

void file_share(struct file *f, int fd)
{
	sigset_t old;

	if (fd >= FILE_TABLE)
		return;
	table_take(&old);
	f->refs++;
	entry_set(fd, f);
	table_release(&old);
}

bool file_release(struct file *f, int fd)
{
	bool last = false;
	sigset_t old;

	table_take(&old);
	if (file_of(fd) == f) { /* of two that close it one gets here */
		entry_set(fd, NULL);
		last = --f->refs == 0;
	}
	table_release(&old);
	return last;
}

/* Nobody names it: to the pool, with what it remembers freed. */
static void file_put(struct file *f)
{
	sigset_t old;

	option_free(f);
	watch_free(f);
	table_take(&old);
	/* KIND, writing end. */
	atomic_store_explicit(&f->kind, FILE_FREE, memory_order_release);
	f->nc = -1;
	f->next_free = self.pool;
	self.pool = f;
	table_release(&old);
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
		return; /* we are in a handler */
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
	file_put(f);
}

bool file_hold(struct file *f)
{
	bool named;
	sigset_t old;

	table_take(&old);
	named = f->refs > 0;
	f->refs += named;
	table_release(&old);
	return named;
}

void file_let_go(struct file *f)
{
	bool last;
	sigset_t old;

	table_take(&old);
	last = --f->refs == 0;
	table_release(&old);
	if (last)
		file_end(f);
}

void file_leave(struct file *f)
{
	sigset_t old;

	table_take(&old);
	for (int fd = 0; fd <= file_top(); fd++)
		if (file_of(fd) == f) {
			entry_set(fd, NULL);
			f->refs--;
		}
	table_release(&old);
}

void file_forget(struct file *f, int first)
{
	sigset_t old;

	table_take(&old);
	if (file_of(first) == f) {
		entry_set(first, NULL);
		f->refs--;
	}
	for (int fd = 0; f->refs > 0 && fd <= file_top(); fd++)
		if (file_of(fd) == f) {
			entry_set(fd, NULL);
			f->refs--;
		}
	table_release(&old);
	file_put(f);
}

/* With the table lock held. 0 or -errno. */
static int descriptors_replace(struct file *f, int pollfd)
{
	uint32_t left = f->refs;

	for (int fd = 0; left > 0 && fd <= file_top(); fd++) {
		int flags;

		if (file_of(fd) != f)
			continue;
		left--;
		flags = real()->fcntl(fd, F_GETFD);
		if (real()->dup3(pollfd, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
			return -errno;
	}
	return 0;
}

int file_become_virtual(struct file *f, int nc, int pollfd, bool nonblock)
{
	sigset_t old;
	int ret;

	lock_take(&f->lock);
	watch_remove(f);
	table_take(&old);
	ret = descriptors_replace(f, pollfd);
	if (ret == 0) {
		f->nonblock = nonblock;
		f->nc = nc;
		/* KIND, writing end. */
		atomic_store_explicit(&f->kind, FILE_VIRTUAL, memory_order_release);
	}
	table_release(&old);
	watch_add(f);
	lock_release(&f->lock);
	return ret;
}

int file_become_kernel(struct file *f, int kernel)
{
	sigset_t old;
	int ret;

	table_take(&old);
	ret = descriptors_replace(f, kernel);
	if (ret == 0) {
		f->nc = -1;
		/* KIND, writing end. */
		atomic_store_explicit(&f->kind, FILE_KERNEL, memory_order_release);
	}
	table_release(&old);
	return ret;
}

/*
 * The child has copies of its parent's descriptors, and those virtual sockets that are shared. The
 * descriptors of others must not keep the parent's open files alive, so each becomes one end of a
 * pair that has ended. Registrations are in the parent's epolls.
 */
void file_fork_child(void)
{
	struct lock none = { 0 };
	int dead[2];

	lock_forget_later();
	lock_release(&self.lock);
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
			watch_free(f);
			if (share_kept(file_nc(f)))
				continue;
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
}

void file_fork_parent(void)
{
	lock_release(&self.lock);
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
