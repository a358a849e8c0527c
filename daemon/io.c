/* SPDX-License-Identifier: MIT */
/*
 * io.c - choice of the back end, and the lists of links and watches with news.
 */
#include "io.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>

#include "io_backend.h"

int io_create(enum io_choice choice, uint32_t links_max, struct io **ret_io, const char **ret_why)
{
	int ret;

	*ret_why = "";
	if (choice != IO_EPOLL) {
		ret = io_uring_create(links_max, ret_io);
		if (ret == 0 || choice == IO_URING)
			return ret;
		/* Containers forbid it (EPERM), old or hardened kernels lack it (ENOSYS, EPERM),
		 * and RLIMIT_MEMLOCK can be too small (ENOMEM). All are reasons to use epoll. */
		*ret_why = strerrordesc_np(-ret);
		if (!*ret_why)
			*ret_why = "refused";
	} else {
		*ret_why = "configured";
	}
	return io_epoll_create(ret_io);
}

void io_destroy(struct io *io)
{
	if (io)
		io->ops->destroy(io);
}

const char *io_name(const struct io *io)
{
	return io->ops->name;
}

uint64_t io_calls(const struct io *io)
{
	return io->calls;
}

void io_again(struct io *io, struct io_link *l)
{
	if (l->queued)
		return;
	l->queued = true;
	l->next = NULL;
	if (io->tail[l->rank])
		io->tail[l->rank]->next = l;
	else
		io->head[l->rank] = l;
	io->tail[l->rank] = l;
}

struct io_link *io_next(struct io *io, uint32_t rank)
{
	struct io_link *l = io->head[rank];

	if (!l)
		return NULL;
	io->head[rank] = l->next;
	if (!l->next)
		io->tail[rank] = NULL;
	l->queued = false;
	return l;
}

/* Out of the middle: rare, when a link goes. */
static void unqueue(struct io *io, struct io_link *l)
{
	struct io_link *prev = NULL;

	if (!l->queued)
		return;
	for (struct io_link *i = io->head[l->rank]; i != l; i = i->next)
		prev = i;
	if (prev)
		prev->next = l->next;
	else
		io->head[l->rank] = l->next;
	if (io->tail[l->rank] == l)
		io->tail[l->rank] = prev;
	l->queued = false;
}

struct io_watch *io_next_watch(struct io *io)
{
	struct io_watch *w = io->watch_head;

	if (w) {
		io->watch_head = w->next;
		w->queued = false;
	}
	return w;
}

void io_watch_rung(struct io *io, struct io_watch *w)
{
	if (w->queued || w->removed)
		return;
	w->queued = true;
	w->next = io->watch_head;
	io->watch_head = w;
}

void io_recv_done(struct io *io, struct io_link *l, int result)
{
	l->rx = IO_DONE;
	l->rx_result = result == 0 ? -EPIPE : result;
	io_again(io, l);
}

void io_send_done(struct io *io, struct io_link *l, int result)
{
	l->tx = IO_DONE;
	l->tx_result = result;
	io_again(io, l);
}

int io_take_recv(struct io_link *l)
{
	if (l->rx != IO_DONE)
		return 0;
	l->rx = IO_IDLE;
	return l->rx_result;
}

int io_take_send(struct io_link *l)
{
	if (l->tx != IO_DONE)
		return 0;
	l->tx = IO_IDLE;
	return l->tx_result;
}

int io_link_add(struct io *io, struct io_link *l)
{
	return io->ops->link_add(io, l);
}

void io_link_drop(struct io *io, struct io_link *l)
{
	if (l->dropped)
		return;
	l->dropped = true;
	io->ops->link_drop(io, l);
	io_again(io, l);
}

void io_link_remove(struct io *io, struct io_link *l)
{
	io->ops->link_remove(io, l);
	unqueue(io, l);
}

int io_recv(struct io *io, struct io_link *l, const struct iovec *iov, int iov_nr)
{
	union {
		const struct iovec *in;
		struct iovec *out;
	} u = { .in = iov }; /* msghdr has no const; the kernel only reads the vector */

	l->rx_msg = (struct msghdr){ .msg_iov = u.out, .msg_iovlen = (size_t)iov_nr };
	return io->ops->recv(io, l);
}

static ssize_t send_message(struct io *io, const struct io_link *l)
{
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (l->tx_file_nr > 0 ? MSG_MORE : 0);
	ssize_t n;

	io->calls++;
	do
		n = sendmsg(l->fd, &l->tx_msg, flags);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t send_file(struct io *io, const struct io_link *l, const struct tx_file *f)
{
	off_t at = (off_t)f->file_off;
	ssize_t n;

	io->calls++;
	do
		n = sendfile(l->fd, f->file - 1, &at, f->bytes);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int io_send_now(struct io *io, struct io_link *l)
{
	size_t want = 0;
	ssize_t n = 0, sum = 0;

	for (size_t i = 0; i < l->tx_msg.msg_iovlen; i++)
		want += l->tx_msg.msg_iov[i].iov_len;
	if (want > 0)
		n = sum = send_message(io, l);
	for (int i = 0; i < l->tx_file_nr && n == (ssize_t)want; i++) {
		want = l->tx_file[i].bytes;
		n = send_file(io, l, &l->tx_file[i]);
		if (n > 0)
			sum += n;
	}
	return sum > 0 ? (int)sum : (int)n;
}

int io_send(struct io *io, struct io_link *l, const struct iovec *iov, int iov_nr,
	    const struct tx_file *file, int file_nr)
{
	union {
		const struct iovec *in;
		struct iovec *out;
	} u = { .in = iov };

	l->tx_msg = (struct msghdr){ .msg_iov = u.out, .msg_iovlen = (size_t)iov_nr };
	l->tx_file = file;
	l->tx_file_nr = file_nr;
	return io->ops->send(io, l);
}

int io_watch_add(struct io *io, struct io_watch *w)
{
	w->removed = false;
	return io->ops->watch_add(io, w);
}

void io_watch_remove(struct io *io, struct io_watch *w)
{
	struct io_watch **at = &io->watch_head;

	w->removed = true;
	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
	w->queued = false;
	io->ops->watch_remove(io, w);
}

void io_poll(struct io *io)
{
	io->ops->poll(io);
}

void io_wait(struct io *io, uint64_t timeout_ns)
{
	io->ops->wait(io, timeout_ns);
}

bool io_ready(struct io *io)
{
	if (io->watch_head)
		return true;
	for (uint32_t rank = 0; rank < IO_RANKS; rank++)
		if (io->head[rank])
			return true;
	return io->ops->pending(io);
}
