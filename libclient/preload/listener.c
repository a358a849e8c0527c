/* SPDX-License-Identifier: MIT */
/*
 * listener.c - listen: one descriptor at which both kinds of client arrive.
 *
 * The descriptor is the kernel's listening socket, always non-blocking below; the virtual one is
 * beside it. Who accepts (accept.c) takes from the two in turn, and waits for both.
 *
 * A forked child has the kernel's socket and none of its parent's virtual ones. When it first waits
 * for clients (accepts, polls, sleeps in an epoll) it asks for one that shares what arrives with
 * its parent's: the kernel's socket is its title. Before, and in a parent that never waits, the
 * virtual one is there but nobody is told to wait at it, so that the daemon knows who does.
 *
 * That the daemon has ended is told to nobody who waits at a listener: a blocking accept(2) behind
 * it would find no client. The next client comes by kernel TCP; who then accepts, or finds that
 * another did, sees the virtual one dead and looks for the next daemon. For who waits in an epoll,
 * where another can be put, next.c does so when there is one.
 */
#include <signal.h>
#include <string.h>

#include "../listener.h"
#include "file.h"
#include "kernel.h"
#include "ncclient.h"
#include "real.h"
#include "uring.h"
#include "way.h"

#define BLOCKS   SIGRTMAX /* with F_SETSIG: see listener_show */
#define RETRY_NS 1000000000u /* a daemon that went away is looked for so often */

/* Held while a listener gets its virtual one. */
static struct lock use_lock; /* Global: why: descriptors are the process's */

/* A virtual socket that listens where @fd does. Its number or -errno. */
static int listen_virtual(struct file *f, int fd, const struct sockaddr *local, socklen_t len)
{
	int nc = nc_socket(f->domain, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int ret;

	if (nc < 0)
		return nc;
	way_apply_class(nc);
	option_replay(f, nc);
	ret = listener_open(nc, local, len, f->backlog, fd);
	if (ret == 0)
		ret = pollfd_unwatched(nc);
	if (ret < 0) {
		(void)nc_close(nc); /* of no use */
		return ret;
	}
	return nc;
}

/* [::] that takes no IPv4: ncd has no such, and would take what is meant for another listener. */
static bool any_but_ipv4(int fd, const union address *local)
{
	int only = 0;
	socklen_t len = sizeof(only);
	struct sockaddr_in6 in6;

	if (local->sa.sa_family != AF_INET6)
		return false;
	memcpy(&in6, &local->storage, sizeof(in6));
	return IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr) &&
	       real()->getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0 && only;
}

/*
 * The kernel's socket never blocks, for all processes that have it; what the programs think, so
 * that the next one learns it, is in the signal of SIGIO, which means nothing without O_ASYNC.
 * Before the flag itself is set.
 */
void listener_show(int fd, bool nonblock)
{
	(void)real()->fcntl(fd, F_SETSIG, nonblock ? 0 : BLOCKS);
}

/* Gives the LISTENER a virtual one. With `lock` held. */
static int listener_attach(struct file *f, int fd)
{
	union address local;
	socklen_t len = sizeof(local);
	int nc, pollfd;

	if (uring_left())
		return -EPERM;
	if (real()->getsockname(fd, &local.sa, &len) < 0)
		return -errno;
	if (!way_port(way_port_of(&local.sa, len)))
		return -EPERM;
	if (any_but_ipv4(fd, &local)) {
		way_say("listen", &local.sa, len, "IPV6_V6ONLY");
		return -EOPNOTSUPP;
	}
	lock_release(&f->lock);
	nc = listen_virtual(f, fd, &local.sa, len);
	lock_take(&f->lock);
	if (nc >= 0 && uring_left()) { /* meanwhile: listener_leave has not found it */
		(void)nc_close(nc);
		return -EPERM;
	}
	way_say("listen", &local.sa, len, nc < 0 ? strerrordesc_np(-nc) : NULL);
	if (nc < 0)
		return nc;
	listener_show(fd, file_nonblock(f));
	/* It has flags. */
	(void)real()->fcntl(fd, F_SETFL, real()->fcntl(fd, F_GETFL) | O_NONBLOCK);
	pollfd = pollfd_unwatched(nc);
	/* Relaxed, both: for who polls or accepts from now on. */
	atomic_store_explicit(&f->nc, nc, memory_order_relaxed);
	atomic_store_explicit(&f->pollfd, pollfd, memory_order_relaxed);
	watch_add_pollfd(f, pollfd);
	/* Relaxed: a number to compare. */
	atomic_fetch_add_explicit(&file_listening, 1, memory_order_relaxed);
	return 0;
}

/* The same for who is going to wait at it. With `lock` held. */
static int listener_attach_used(struct file *f, int fd)
{
	int ret = listener_attach(f, fd);

	if (ret == 0)
		(void)nc_pollfd(file_nc(f)); /* it is there; watched from now on */
	return ret;
}

static void use_first(struct file *f, int fd)
{
	lock_take(&f->lock);
	if (file_nc(f) >= 0)
		(void)nc_pollfd(file_nc(f)); /* as above */
	else if (listener_attach_used(f, fd) < 0)
		/* Relaxed: for who accepts later. */
		atomic_store_explicit(&f->retry_ns, clock_now_ns() + RETRY_NS,
				      memory_order_relaxed);
	lock_release(&f->lock);
}

void listener_use(struct file *f, int fd)
{
	/* Relaxed: who sees it set takes the lock. */
	if (!atomic_load_explicit(&f->fresh, memory_order_relaxed) || !file_own_process())
		return;
	lock_take(&use_lock);
	/* Relaxed, both: under the lock, and for who sees it cleared a lone fact. */
	if (atomic_load_explicit(&f->fresh, memory_order_relaxed))
		use_first(f, fd);
	atomic_store_explicit(&f->fresh, false, memory_order_relaxed);
	lock_release(&use_lock);
}

/* This process may wait at it, and has not yet. */
static void listener_fresh(struct file *f)
{
	/* Relaxed, both: whoever waits looks. */
	atomic_store_explicit(&f->fresh, true, memory_order_relaxed);
	atomic_fetch_add_explicit(&file_listening, 1, memory_order_relaxed);
}

void listener_forget(struct file *f)
{
	struct lock none = { 0 };

	use_lock = none;
	f->pollfd = -1;
	listener_fresh(f);
}

/* Without @nc, if that is its virtual one still; without any: -1. */
static void detach(struct file *f, int nc, uint64_t retry_ns)
{
	int now;

	lock_take(&f->lock);
	/* Relaxed, all: under the lock; stale numbers are refused. */
	now = atomic_load_explicit(&f->nc, memory_order_relaxed);
	if (nc < 0 || now == nc) {
		atomic_store_explicit(&f->nc, -1, memory_order_relaxed);
		atomic_store_explicit(&f->pollfd, -1, memory_order_relaxed);
		atomic_store_explicit(&f->retry_ns, retry_ns, memory_order_relaxed);
	}
	lock_release(&f->lock);
	if (now >= 0 && (nc < 0 || now == nc))
		(void)nc_close(now); /* takes its descriptor out of every epoll */
}

void listener_detach(struct file *f)
{
	detach(f, -1, clock_now_ns() + RETRY_NS);
}

void listener_lost(struct file *f, int nc)
{
	detach(f, nc, 1);
}

void listener_end(struct file *f)
{
	listener_detach(f);
	/* Relaxed: who retries just now does so once. */
	atomic_store_explicit(&f->retry_ns, 0, memory_order_relaxed);
}

/* The virtual one ends, and the kernel's blocks as the program thinks. */
static void leave(struct file *f, int fd)
{
	listener_end(f);
	if (!file_nonblock(f))
		/* It has flags. */
		(void)real()->fcntl(fd, F_SETFL, real()->fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

void listener_leave_fresh(struct file *f, int fd)
{
	/* Relaxed: of who begins to wait meanwhile either is right. */
	if (atomic_load_explicit(&f->fresh, memory_order_relaxed) && file_nc(f) >= 0)
		leave(f, fd);
}

void listener_leave(struct file *f, int fd)
{
	if (file_nc(f) < 0 && kernel_shown(fd))
		return; /* it has left */
	leave(f, fd);
	kernel_listens(fd, LEFT_URING);
}

void listener_retry(struct file *f, int fd)
{
	/* Relaxed: whoever changes it does the work. */
	uint64_t at = atomic_load_explicit(&f->retry_ns, memory_order_relaxed);
	uint64_t now_ns;

	if (at == 0 || file_nc(f) >= 0)
		return;
	now_ns = clock_now_ns();
	/* Relaxed: as above. */
	if (now_ns < at ||
	    !atomic_compare_exchange_strong_explicit(&f->retry_ns, &at, now_ns + RETRY_NS,
						     memory_order_relaxed, memory_order_relaxed))
		return;
	lock_take(&f->lock);
	(void)listener_attach_used(f, fd); /* not yet: at another accept */
	lock_release(&f->lock);
}

bool listener_again(struct file *f, int fd)
{
	int nc = file_nc(f);
	bool watched;

	lock_take(&f->lock);
	watched = f->watch != NULL;
	lock_release(&f->lock);
	if (!watched)
		return true;
	if (nc >= 0 && listener_dead(nc))
		listener_lost(f, nc);
	listener_retry(f, fd);
	/* Relaxed: 0 is for good. */
	return file_nc(f) >= 0 || atomic_load_explicit(&f->retry_ns, memory_order_relaxed) == 0;
}

static void nonblock_learn(struct file *f, int fd)
{
	bool never = (real()->fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;

	/* Relaxed: KIND orders it. */
	atomic_store_explicit(&f->nonblock, never && real()->fcntl(fd, F_GETSIG) != BLOCKS,
			      memory_order_relaxed);
}

static void listener_become(struct file *f)
{
	listener_fresh(f);
	/* Relaxed: a hint for polls. */
	atomic_fetch_add_explicit(&file_listeners, 1, memory_order_relaxed);
	/* KIND, writing end. */
	atomic_store_explicit(&f->kind, FILE_LISTENER, memory_order_release);
}

void listener_adopt(struct file *f, int fd)
{
	nonblock_learn(f, fd);
	f->backlog = SOMAXCONN; /* what it was made with is not known */
	listener_become(f);
}

static enum left_why left_why(int ret)
{
	if (ret == -EPERM && uring_left())
		return LEFT_URING;
	return ret == -ECONNREFUSED || ret == -ETIMEDOUT ? LEFT_NO_NCD : way_why(ret);
}

EXPORT int listen(int fd, int backlog)
{
	struct file *f = file_of(fd);
	int ret;

	if (f && file_kind(f) == FILE_VIRTUAL)
		return (int)file_result(f, nc_listen(file_nc(f), backlog));
	ret = real()->listen(fd, backlog);
	if (ret == 0 && !f && file_own_process())
		f = adopt_listening(fd);
	if (ret < 0 || !f || file_kind(f) != FILE_KERNEL || !file_own_process())
		return ret;
	lock_take(&f->lock);
	nonblock_learn(f, fd);
	f->backlog = backlog;
	ret = uring_left() ? -EPERM : uring_in_use() ? 0 : listener_attach(f, fd);
	if (ret == 0)
		listener_become(f);
	lock_release(&f->lock);
	if (ret == 0)
		return 0;
	if (way_required() && ret != -EPERM && ret != -EADDRNOTAVAIL) {
		errno = -ret;
		return -1;
	}
	file_forget(f, fd);
	kernel_listens(fd, left_why(ret));
	return 0;
}
