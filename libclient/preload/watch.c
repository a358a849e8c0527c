/* SPDX-License-Identifier: MIT */
/*
 * watch.c - epoll_ctl: registrations are remembered where they will have to be repeated.
 *
 * A socket's descriptor gets another open file behind it when it connects through ncd, and the
 * kernel forgets registrations with the old one: they are made again. A listener has a second
 * descriptor, which is registered wherever the first is, with the same data.
 */
#include <stdlib.h>

#include "file.h"
#include "real.h"

/* With `lock` held. */
static struct file_watch **watch_find(struct file *f, int epfd, int fd)
{
	struct file_watch **w = &f->watch;

	while (*w && ((*w)->epfd != epfd || (*w)->fd != fd))
		w = &(*w)->next;
	return w;
}

void watch_free(struct file *f)
{
	struct file_watch *next;

	for (struct file_watch *w = f->watch; w; w = next) {
		next = w->next;
		free(w);
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
		free(w);
	}
}

void watch_add(struct file *f)
{
	for (struct file_watch *w = f->watch; w; w = w->next)
		(void)real()->epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->fd,
					&w->event); /* it did, a moment ago */
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
		free(w);
	}
}

/* What has worked for the descriptor. With `lock` held. */
static void watch_remember(struct file *f, int epfd, int op, int fd, const struct epoll_event *e)
{
	struct file_watch **at = watch_find(f, epfd, fd), *w = *at;

	if (op == EPOLL_CTL_DEL) {
		if (w) {
			*at = w->next;
			free(w);
		}
		return;
	}
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return;
		w->epfd = epfd;
		w->fd = fd;
		w->next = f->watch;
		f->watch = w;
	}
	w->event = *e;
}

EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int ret = real()->epoll_ctl(epfd, op, fd, event);
	struct file *f = file_of(fd);
	struct epoll_event none = { 0 };
	int pollfd;

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
	return ret;
}
