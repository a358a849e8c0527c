/* SPDX-License-Identifier: MIT */
/*
 * watch.c - epoll_ctl: registrations, where they are and where they will have to be repeated.
 *
 * A virtual socket goes into the completion queue of the set, or if it cannot, by its descriptor
 * into the kernel's epoll. A socket's descriptor gets another open file behind it when it connects
 * through ncd, and the kernel forgets registrations with the old one: they are made again. A
 * listener has a second descriptor, which is registered wherever the first is, with the same data.
 */

#include "epoll.h"
#include "ncclient.h"
#include "pending.h"
#include "real.h"
#include "../memory.h"
#include "../share.h"

/* What EPOLLEXCLUSIVE may stand beside. */
#define EXCLUSIVE_EVENTS \
	((uint32_t)(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | \
		    EPOLLEXCLUSIVE))

static bool watch_is(const struct file_watch *w, struct set *set, int epfd)
{
	return set ? w->set == set && w->serial == set_serial(set) : w->epfd == epfd;
}

/* With `lock` held. */
static struct file_watch **watch_find(struct file *f, struct set *set, int epfd, int fd)
{
	struct file_watch **w = &f->watch;

	while (*w && (!watch_is(*w, set, epfd) || (*w)->fd != fd))
		w = &(*w)->next;
	return w;
}

/* Of an epoll that has been closed nothing is left. With `lock` held. */
static void watch_sweep(struct file *f)
{
	struct file_watch **at = &f->watch, *w;

	while ((w = *at)) {
		if (!w->set || w->serial == set_serial(w->set)) {
			at = &w->next;
			continue;
		}
		if (w->watched)
			pollfd_unwatch(file_nc(f));
		*at = w->next;
		memory_give(w);
	}
}

/* A registration that is in no place yet; NULL: no memory. With `lock` held. */
static struct file_watch *watch_new(struct file *f, struct set *set, int epfd, int fd)
{
	struct file_watch *w = memory_take(1, sizeof(*w));

	if (!w)
		return NULL;
	w->set = set;
	w->serial = set ? set_serial(set) : 0;
	w->epfd = epfd;
	w->fd = fd;
	w->next = f->watch;
	f->watch = w;
	return w;
}

void watch_free(struct file *f)
{
	struct file_watch *next;

	for (struct file_watch *w = f->watch; w; w = next) {
		next = w->next;
		memory_give(w);
	}
	f->watch = NULL;
}

void watch_remove(struct file *f)
{
	struct file_watch **at = &f->watch, *w;

	while ((w = *at)) {
		if (real()->epoll_ctl(w->epfd, EPOLL_CTL_DEL, w->fd, NULL) == 0) {
			at = &w->next;
			continue;
		}
		/* Its epoll descriptor has been closed; the number may name anything now. */
		*at = w->next;
		memory_give(w);
	}
}

void watch_inherit(struct file *f)
{
	for (struct file_watch *w = f->watch; w; w = w->next) {
		w->queued = w->watched = false;
		w->inherited = true;
	}
}

/* The kernel waits for a virtual socket by its descriptor. -errno. */
static int kernel_add(struct file *f, struct file_watch *w)
{
	int ret = pollfd_watch(file_nc(f));

	if (ret < 0)
		return ret;
	ret = real()->epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->fd, &w->event) < 0 ? -errno : 0;
	w->watched = ret == 0;
	if (ret < 0)
		pollfd_unwatch(file_nc(f));
	return ret;
}

static int kernel_remove(struct file *f, struct file_watch *w)
{
	if (w->watched)
		pollfd_unwatch(file_nc(f));
	w->watched = false;
	return real()->epoll_ctl(w->epfd, EPOLL_CTL_DEL, w->fd, NULL) < 0 ? -errno : 0;
}

/* Where it belongs, that of a virtual socket. With `lock` held. -errno. */
static int watch_place(struct file *f, struct file_watch *w)
{
	w->queued = false;
	if (w->set && set_enter(w->set)) {
		w->queued = w->serial == set_serial(w->set) &&
			    set_add(w->set, w->epfd, file_nc(f), &w->event) == 0;
		set_leave(w->set);
	}
	return w->queued ? 0 : kernel_add(f, w);
}

/* A registration of the parent's becomes this process's, with the stream. With `lock` held. */
static int watch_claim(struct file *f, struct file_watch *w)
{
	int ret;

	w->inherited = false;
	share_fetch(file_nc(f));
	ret = watch_place(f, w);
	if (ret != -EEXIST)
		return ret;
	/* The kernel has it from the parent, by the same open file. */
	ret = pollfd_watch(file_nc(f));
	w->watched = ret >= 0;
	return ret < 0 ? ret : 0;
}

void watch_take_over(struct set *set, int epfd)
{
	for (int fd = 0; fd <= file_top(); fd++) {
		struct file *f = file_virtual(fd);

		if (!f || !f->watch || file_nc(f) < 0)
			continue;
		lock_take(&f->lock);
		for (struct file_watch *w = f->watch; w; w = w->next) {
			if (!w->inherited || !watch_is(w, set, epfd))
				continue;
			w->epfd = epfd;
			(void)watch_claim(f, w); /* closed, or reset: its calls say so */
		}
		lock_release(&f->lock);
	}
}

void watch_leave(struct file *f)
{
	watch_sweep(f);
	for (struct file_watch *w = f->watch; w; w = w->next) {
		if (w->inherited)
			continue;
		if (!w->queued) {
			(void)kernel_remove(f, w); /* closed meanwhile */
			continue;
		}
		w->queued = false;
		if (w->set && set_enter(w->set)) {
			(void)set_remove(w->set, file_nc(f)); /* as above */
			set_leave(w->set);
		}
	}
}

void watch_add(struct file *f)
{
	for (struct file_watch *w = f->watch; w; w = w->next)
		if (file_kind(f) == FILE_VIRTUAL)
			(void)watch_place(f, w); /* it was registered, a moment ago */
		else
			(void)real()->epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->fd,
						&w->event); /* as above */
}

void watch_leave_queue(struct set *set, int epfd)
{
	for (int fd = 0; fd <= file_top(); fd++) {
		struct file *f = file_virtual(fd);

		if (f && file_pending(f)) {
			pending_await(f); /* the kernel is going to tell */
			f = file_virtual(fd);
		}
		if (!f)
			continue;
		lock_take(&f->lock);
		for (struct file_watch *w = f->watch; w; w = w->next) {
			if (!w->queued || !watch_is(w, set, epfd))
				continue;
			w->queued = false;
			w->epfd = epfd;
			(void)set_remove(set, file_nc(f)); /* it is there, or was closed */
			(void)kernel_add(f, w);            /* closed meanwhile */
		}
		lock_release(&f->lock);
	}
}

/* A listener's second descriptor: never writable for the program, as the first is never. */
static void pollfd_register(int epfd, int op, int pollfd, const struct epoll_event *event)
{
	struct epoll_event e = *event;

	e.events &= ~(uint32_t)EPOLLOUT;
	/* Its own fault cannot be told apart: the kernel's part has worked. */
	(void)real()->epoll_ctl(epfd, op, pollfd, &e);
}

void watch_add_pollfd(struct file *f, int pollfd)
{
	struct file_watch **at = &f->watch, *w;

	while ((w = *at)) {
		/* The number may name another epoll by now, or none. */
		if (w->event.events & EPOLLEXCLUSIVE ||
		    real()->epoll_ctl(w->epfd, EPOLL_CTL_MOD, w->fd, &w->event) == 0) {
			pollfd_register(w->epfd, EPOLL_CTL_ADD, pollfd, &w->event);
			at = &w->next;
			continue;
		}
		*at = w->next;
		memory_give(w);
	}
}

/* With `lock` held: true if @f is registered there. */
static bool watched_at(const struct file *f, struct set *set, int epfd)
{
	for (const struct file_watch *w = f->watch; w; w = w->next)
		if (watch_is(w, set, epfd))
			return true;
	return false;
}

uint32_t watch_listeners(struct set *set, int epfd, int *nc, uint32_t max)
{
	uint32_t nr = 0;

	for (int fd = 0; fd <= file_top(); fd++) {
		struct file *f = file_of(fd);
		bool here;

		if (!f || file_kind(f) != FILE_LISTENER)
			continue;
		lock_take(&f->lock);
		here = watched_at(f, set, epfd);
		lock_release(&f->lock);
		if (!here)
			continue;
		listener_use(f, fd);
		if (nr < max && file_nc(f) >= 0 && (nr == 0 || nc[nr - 1] != file_nc(f)))
			nc[nr++] = file_nc(f);
	}
	return nr;
}

/* What has worked for the descriptor. With `lock` held. */
static void watch_remember(struct file *f, int epfd, int op, int fd, const struct epoll_event *e)
{
	struct set *set = set_of(epfd);
	struct file_watch **at = watch_find(f, set, epfd, fd), *w = *at;

	if (op == EPOLL_CTL_DEL) {
		if (w) {
			*at = w->next;
			memory_give(w);
		}
		return;
	}
	if (!w)
		w = watch_new(f, set, epfd, fd);
	if (w)
		w->event = *e;
}

/* ---- of a virtual socket ---- */

/* As the kernel judges @event. 0 or -errno. */
static int event_check(int op, const struct file_watch *w, const struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && w)
		return -EEXIST;
	if (op != EPOLL_CTL_ADD && !w)
		return -ENOENT;
	if (op == EPOLL_CTL_DEL || !((event->events | (w ? w->event.events : 0)) & EPOLLEXCLUSIVE))
		return 0;
	return op == EPOLL_CTL_MOD || event->events & ~EXCLUSIVE_EVENTS ? -EINVAL : 0;
}

static int watch_modify(struct file *f, struct file_watch *w, const struct epoll_event *event)
{
	w->event = *event;
	if (w->inherited)
		return watch_claim(f, w);
	if (w->queued)
		return set_modify(w->set, file_nc(f), event);
	return real()->epoll_ctl(w->epfd, EPOLL_CTL_MOD, w->fd, &w->event) < 0 ? -errno : 0;
}

/* With `lock` held. 0 or -errno. */
static int virtual_ctl(struct file *f, struct set *set, int epfd, int op, int fd,
		       const struct epoll_event *event)
{
	struct file_watch **at, *w;
	int ret;

	watch_sweep(f);
	at = watch_find(f, set, epfd, fd);
	w = *at;
	ret = event_check(op, w, event);
	if (ret < 0)
		return ret;
	if (w)
		w->epfd = epfd; /* a copy of the one that was named first, which may be closed */
	if (op == EPOLL_CTL_MOD)
		return watch_modify(f, w, event);
	if (op == EPOLL_CTL_ADD) {
		w = watch_new(f, set, epfd, fd); /* the first of the list */
		if (!w)
			return -ENOMEM;
		w->event = *event;
		ret = watch_place(f, w);
		if (ret == 0)
			return 0;
		at = &f->watch;
	} else if (w->inherited) {
		ret = 0; /* for us it was in no place */
	} else if (w->queued) {
		ret = set_remove(w->set, file_nc(f));
	} else {
		ret = kernel_remove(f, w);
	}
	*at = w->next;
	memory_give(w);
	return ret;
}

/* Of an epoll that we know; the kernel judges what is no virtual socket, and what is no epoll. */
static int epoll_ctl_virtual(struct file *f, struct set *set, int epfd, int op, int fd,
			     struct epoll_event *event)
{
	int ret;

	if (op != EPOLL_CTL_DEL && !event)
		ret = -EFAULT;
	else if (op != EPOLL_CTL_ADD && op != EPOLL_CTL_MOD && op != EPOLL_CTL_DEL)
		ret = -EINVAL;
	else if (!set_enter(set))
		ret = -EBADF;
	else {
		lock_take(&f->lock);
		ret = file_of(fd) == f ? virtual_ctl(f, set, epfd, op, fd, event) : -ESTALE;
		lock_release(&f->lock);
		set_leave(set);
	}
	if (ret == 0)
		return 0;
	if (ret == -ESTALE) /* the kernel's, since just now */
		return real()->epoll_ctl(epfd, op, fd, event);
	errno = -ret;
	return -1;
}

EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	struct epoll_event none = { 0 };
	struct set *inner = set_of(fd);
	struct file *f = file_of(fd);
	struct listeners used;
	int pollfd, ret;

	if (f && file_pending(f)) {
		if (op == EPOLL_CTL_ADD && (f->watch || !pending_fits(f, set_of(epfd), epfd)))
			pending_await(f);
		(void)file_virtual(fd); /* settles */
		f = file_of(fd);
	}
	/* Whether this is a child of vfork is not asked, which costs a syscall: such a child may
	 * prepare its exec and no more, and would change the same epoll. */
	if (f && file_kind(f) == FILE_VIRTUAL && file_nc(f) >= 0) {
		if (op == EPOLL_CTL_ADD)
			share_fetch(file_nc(f));
		if (set_of(epfd))
			return epoll_ctl_virtual(f, set_of(epfd), epfd, op, fd, event);
		/* One that we have not seen being made; when it is closed is not seen either. */
		(void)nc_pollfd(file_nc(f)); /* a closed one: the kernel says so */
	}
	if (inner && op == EPOLL_CTL_ADD && set_enter(inner)) {
		set_leave_queue(inner, fd);
		set_listeners(inner, fd, &used);
		set_leave(inner);
	}
	ret = real()->epoll_ctl(epfd, op, fd, event);
	if (ret < 0 || !f || (file_kind(f) != FILE_KERNEL && file_kind(f) != FILE_LISTENER))
		return ret;
	if (!file_own_process())
		return ret;
	lock_take(&f->lock);
	watch_remember(f, epfd, op, fd, event ? event : &none);
	/* Relaxed: under lock. */
	pollfd = atomic_load_explicit(&f->pollfd, memory_order_relaxed);
	if (pollfd >= 0)
		pollfd_register(epfd, op, pollfd, event ? event : &none);
	lock_release(&f->lock);
	if (file_kind(f) != FILE_LISTENER)
		return ret;
	/* Relaxed: a number to compare. */
	atomic_fetch_add_explicit(&file_listening, 1, memory_order_relaxed);
	if (!set_of(epfd))
		listener_use(f, fd); /* when it is waited for is not seen */
	return ret;
}
