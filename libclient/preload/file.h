/* SPDX-License-Identifier: MIT */
/*
 * file.h - an open file of the program, as far as it is ours; and which descriptors name it.
 *
 *              connect, the peer has ncd
 *   KERNEL  ----------------------------->  VIRTUAL      (accepted ones begin here)
 *     |  \   connect, otherwise
 *     |   `-------------------------------> not ours any more: a plain kernel socket
 *     | listen, and ncd is there
 *     `-----------------------------------> LISTENER     (both: the kernel's and ncd's)
 *
 * KERNEL    a TCP socket of the kernel with which nothing has happened that decides. Its options
 *           and its registrations with epoll are remembered.
 * LISTENER  the descriptor is the kernel's listening socket; beside it the virtual one, whose
 *           pollable descriptor is watched wherever the program watches its own. In a forked child
 *           the virtual one is made, in a group with its parent's, when the child first waits.
 * VIRTUAL   the descriptor is a copy of the virtual socket's pollable one: a socket, which the
 *           kernel can wait for. Nothing else may be done with it but through libncclient.
 * EPOLL     the descriptor is the kernel's epoll; beside it a completion queue, where virtual
 *           sockets are waited for (epoll.c).
 * RING      the descriptor is an io_uring that the program maps itself; beside it our own view of
 *           its queue (uring_ring.c).
 * INTERNAL  a descriptor of libncclient: hidden from the program.
 *
 * Ownership: the memory comes from a pool and is never freed, so that a call that races with close
 *   finds a stale number and not a hole. The descriptors that name a file hold it (refs).
 * Threading: kind, nc, nonblock, pollfd, refs and the table's entries: atomic, without a lock.
 *   Lists under `lock`. Open files are replaced under the table lock.
 *
 * Ordering:
 *   KIND   fields set, then kind stored (release) -> kind loaded (acquire): they are seen.
 *   ENTRY  the file set, then its entry stored (release) -> loaded (acquire): it is seen.
 *   REF    one reference is put (release) -> the last is put (acquire): it sees what others did.
 *   REPLACE  who replaces what descriptors name: stores the file to `replaced` (seq_cst), loads
 *          entries (seq_cst); who is to close one: takes the entry away (seq_cst), then loads
 *          `replaced` (seq_cst), and waits while it is that file. Either it is not found any more,
 *          or it is not closed before it is replaced: a number is never another's by then.
 */
#ifndef PRELOAD_FILE_H
#define PRELOAD_FILE_H

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../pollfd.h"
#include "../lock.h"

/* Of any family. */
union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage storage;
};

#define FILE_TABLE  (1 << 20) /* descriptors beyond it are never ours */
#define OPTION_MAX  64        /* bytes of a value that is remembered */
#define OPTIONS_MAX 64        /* of one socket; more are applied, but not remembered */

enum file_kind {
	FILE_FREE = 0,
	FILE_KERNEL,
	FILE_LISTENER,
	FILE_VIRTUAL,
	FILE_EPOLL,
	FILE_RING,
	FILE_INTERNAL
};

struct file_option {
	struct file_option *next;
	int level, name;
	socklen_t len;
	unsigned char val[OPTION_MAX];
};

struct set;     /* epoll.h */
struct ring;    /* uring.h */
struct pending; /* pending.h */

struct file_watch { /* a registration with epoll */
	struct file_watch *next;
	struct set *set; /* NULL: of an epoll that we have not seen being made */
	uint64_t serial; /* of the set; another one: it is gone */
	int epfd, fd;
	bool queued;  /* in the set's completion queue, not the kernel's epoll */
	bool watched; /* there, by a pollable descriptor that is kept true for it */
	bool inherited; /* of a forked child: still its parent's */
	struct epoll_event event;
};

struct file {
	_Atomic uint32_t kind;     /* enum file_kind */
	_Atomic int nc;            /* the virtual socket; -1: none, or its parent's */
	_Atomic int pollfd;        /* LISTENER: of the virtual one */
	_Atomic bool nonblock;     /* LISTENER, VIRTUAL: what the program thinks */
	_Atomic uint32_t turn;     /* LISTENER: who is asked first */
	_Atomic uint64_t retry_ns; /* LISTENER without ncd: when it is tried again */
	_Atomic(struct pending *) pending; /* VIRTUAL: it may have to be the kernel's after all */
	_Atomic uint64_t pending_until_ns; /* when it is at the latest */
	_Atomic bool fresh;        /* LISTENER: this process has not waited at it yet */
	struct set *set;           /* EPOLL */
	struct ring *ring;         /* RING */
	uint64_t cookie; /* VIRTUAL, shared: of what its descriptors name; 0: not asked */
	int domain;
	int backlog;
	_Atomic uint32_t refs;

	struct lock lock;
	struct file_option *option; /* oldest first */
	struct file_watch *watch;
	struct file *next_free; /* pool.c */
	struct lock_later later; /* its end, put off */
};

/* Process-wide, as descriptors are. */
extern _Atomic(struct file *) file_table[FILE_TABLE];
extern _Atomic(uint32_t) file_listeners; /* how many there are: polls look for them if any */
extern _Atomic(uint32_t) file_listening; /* ++ when a set's listeners may have changed */

/* The file that @fd names, or NULL: not ours. */
static inline struct file *file_of(int fd)
{
	if ((unsigned int)fd >= FILE_TABLE)
		return NULL;
	/* ENTRY, reading end. */
	return atomic_load_explicit(&file_table[fd], memory_order_acquire);
}

static inline uint32_t file_kind(const struct file *f)
{
	/* KIND, reading end. */
	return atomic_load_explicit(&f->kind, memory_order_acquire);
}

/* ---- pending.c ---- */

/* Looks for the answer to the pending connect of @f. True: it is no file any more. */
bool pending_settle(struct file *f);

/* The file if @fd is VIRTUAL, else NULL: the one question of most calls. */
static inline struct file *file_virtual(int fd)
{
	struct file *f = file_of(fd);

	if (!f || file_kind(f) != FILE_VIRTUAL)
		return NULL;
	/* Relaxed: only whether there is one. */
	if (atomic_load_explicit(&f->pending, memory_order_relaxed) && pending_settle(f))
		return NULL;
	return f;
}

static inline int file_nc(const struct file *f)
{
	/* Relaxed: KIND ordered it; a stale number is refused by libncclient. */
	return atomic_load_explicit(&f->nc, memory_order_relaxed);
}

static inline bool file_nonblock(const struct file *f)
{
	/* Relaxed: a lone fact. */
	return atomic_load_explicit(&f->nonblock, memory_order_relaxed);
}

/* A result of libncclient as the C library gives it: errno and -1. */
static inline ssize_t file_result(const struct file *f, ssize_t ret)
{
	if (ret >= 0)
		return ret;
	/* The answer has come just now, and is not the program's to hear. */
	if (atomic_load_explicit(&f->pending, memory_order_relaxed) && /* relaxed: as above */
	    (ret == -ECONNREFUSED || ret == -ECONNRESET || ret == -EHOSTUNREACH ||
	     ret == -ETIMEDOUT || ret == -EPIPE)) {
		errno = EAGAIN;
		return -1;
	}
	if (ret == -EBADF && file_kind(f) != FILE_VIRTUAL) {
		/* Closed meanwhile; or as above: it is the kernel's now. */
		errno = file_kind(f) == FILE_FREE ? EBADF : EAGAIN;
		return -1;
	}
	/* A connection of the parent, in a forked child. */
	errno = ret == -EBADF && file_nc(f) < 0 ? ECONNRESET : (int)-ret;
	return -1;
}

/* False in a child of vfork, which shares this memory but not the descriptors. */
bool file_own_process(void);
/* Around what makes a process: in the parent before it, in the parent behind it, in the child. */
void file_before_fork(void);
void file_fork_parent(void);
void file_fork_child(void);

/* ---- clone.c ---- */

/* Around a call with @flags of clone(2) that pthread_atfork does not see; fork_end in both
 * processes with its result. False: it needs nothing, and no fork_end. */
bool fork_begin(uint64_t flags);
void fork_end(long ret);

/* ---- file.c ---- */

/* A new file, with a descriptor, of @kind KERNEL or VIRTUAL. NULL: not to be ours (no memory). */
struct file *file_open(int fd, enum file_kind kind, int domain, int nc);
/* Another descriptor for @f. */
void file_share(struct file *f, int fd);
/* @fd is about to be closed or replaced: it names @f no more. True if it was the last, and
 * file_end is to be called behind the close. */
bool file_release(struct file *f, int fd);
/* Ends what the last descriptor named. May block for SO_LINGER. */
void file_end(struct file *f);
/* @f, named by @fd, is a plain kernel socket from now on: none of its descriptors is ours. */
void file_forget(struct file *f, int fd);
/* A KERNEL file becomes @nc: its descriptors copies of @pollfd. 0 or -errno; @nc is not closed. */
int file_become_virtual(struct file *f, int nc, int pollfd, bool nonblock);
/* Back: its descriptors become copies of @kernel. 0 or -errno. With `lock` held. */
int file_become_kernel(struct file *f, int kernel);
/* None of its descriptors names it any more. */
void file_leave(struct file *f);
/* The caller names it, too; false: nobody does any more. */
bool file_hold(struct file *f);
void file_let_go(struct file *f);
/* Highest descriptor that was ever ours; and with INTERNAL ones. */
int file_top(void);
int file_top_hidden(void);

/* ---- pool.c ---- */

/* Of no kind, to be filled in; NULL: no memory. */
struct file *pool_take(void);
void pool_put(struct file *f);
/* Around what makes a process; the second in both. */
void pool_before_fork(void);
void pool_behind_fork(void);

/* ---- poll.c ---- */

/* Who waits for @fd may not leave that to the kernel. */
bool poll_is_ours(int fd);
/* ppoll(2) of the program's; in here `ppoll` is the C library's. */
int poll_program(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
		 const sigset_t *mask);

/* ---- confine.c ---- */

/* A filter of system calls is on: polls must do without. */
bool confined(void);
/* It is about to be. */
void confine(void);

/* ---- away.c ---- */

/* This process, also one of vfork, is about to start a program with @envp. */
void away_before_exec(char *const envp[]);

/* ---- inherit.c: descriptors that came from elsewhere, and that go there ---- */

/* If @fd, which is new to this process, is of a virtual socket, it names a file of ours now. */
void file_adopt(int fd);
/* @f is about to be sent to another process. */
void file_send(struct file *f, int fd);

void file_mark_internal(int fd);
void file_unmark_internal(int fd);

/* ---- descriptor.c ---- */

/* close(2) of the program's; in here `close` is the C library's. */
int file_close(int fd);

/* ---- stdio.c ---- */

/* Descriptor @fd names something else: if it is one of stdin, stdout, stderr, they follow. */
void stdio_follow(int fd);
/* Around a fork, behind it in both processes. */
void stdio_before_fork(void);
void stdio_behind_fork(void);

/* ---- option.c ---- */

/* Remembers what the program has set. */
void option_remember(struct file *f, int level, int name, const void *val, socklen_t len);
/* Gives all that is remembered to virtual socket @nc. */
void option_replay(struct file *f, int nc);
/* An accepted socket has its listener's. */
void option_inherit(struct file *f, struct file *from);
void option_free(struct file *f);

/* ---- watch.c ---- */

void watch_free(struct file *f);
/* In a forked child: registrations stay its parent's until it waits at the epoll. */
void watch_inherit(struct file *f);
/* Now it does. */
void watch_take_over(struct set *set, int epfd);
/* What is in the queue of @set, whose descriptor is @epfd, goes to the kernel's epoll. */
void watch_leave_queue(struct set *set, int epfd);
/* All registrations of @f that are still there are removed, or (added) for its descriptors as they
 * are now. */
void watch_remove(struct file *f);
/* The same of a VIRTUAL file. */
void watch_leave(struct file *f);
void watch_add(struct file *f);
/* Registers @pollfd of a LISTENER wherever its descriptors are. */
void watch_add_pollfd(struct file *f, int pollfd);

/* The listeners registered at @set: this process waits at them from now on. How many of their
 * virtual sockets are in @nc, @max at most. */
uint32_t watch_listeners(struct set *set, int epfd, int *nc, uint32_t max);

/* ---- uring.c ---- */

/* The pollable descriptor of a new virtual socket, watched if it must be. -errno. */
int pollfd_of(int nc);
/* The program has io_uring: the kernel may wait for any descriptor. */
bool uring_in_use(void);
void uring_note(void);

/* ---- connect.c ---- */

/* A descriptor for @nc, accepted from @from; -1 with errno, and @nc is closed. */
int file_open_accepted(int nc, struct file *from, int flags);
/* The same in two steps, around what brings the connection: a descriptor (or -errno), which is
 * @nc's by the second, or is closed instead. */
int file_prepare(int nc, struct file *from, int flags);
void file_prepared(int fd, int nc, struct file *from);

/* ---- listener.c ---- */

/* This process is about to wait at LISTENER @f, named by @fd. */
void listener_use(struct file *f, int fd);
/* What the program thinks of O_NONBLOCK at @fd, a listener's, for all who have it. */
void listener_show(int fd, bool nonblock);
/* In a forked child: its virtual one is its parent's. */
void listener_forget(struct file *f);
/* A KERNEL file, which listens already, becomes a LISTENER that nobody has waited at. */
void listener_adopt(struct file *f, int fd);
/* The virtual one is of no use any more: the daemon has gone. */
void listener_detach(struct file *f);
/* The same of @nc; there may be another daemon by now. */
void listener_lost(struct file *f, int nc);
/* It has gone, and may be back: after a while another is tried. */
void listener_retry(struct file *f, int fd);
/* There is another: if its own has gone, and it is waited for in an epoll, it listens through that.
 * False: not now. */
bool listener_again(struct file *f, int fd);
/* It was made, and not waited for: then it is the kernel's alone until it is. */
void listener_leave_fresh(struct file *f, int fd);
/* It is the kernel's alone from now on: the program uses it by io_uring. */
void listener_leave(struct file *f, int fd);
/* It was shut down: as listener_detach, and ncd is not tried again. */
void listener_end(struct file *f);

/* ---- adopt.c ---- */

/* Of @fd, of which nothing is known: its file if it is a TCP socket that listens, and ncd may be
 * used; else NULL. */
struct file *adopt_listening(int fd);
/* Is @fd one, it is a LISTENER from now on. */
void adopt_listener(int fd);
/* The listening sockets that the program was started with. Once, before it runs. */
void adopt_listeners(void);

#endif /* PRELOAD_FILE_H */
