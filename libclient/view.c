/* SPDX-License-Identifier: MIT */
/*
 * view.c - zero copy: the caller works in the rings themselves.
 *
 * At the first use of a direction its ring is mapped a second time, twice in a row, so that a view
 * that crosses the end of the ring is contiguous all the same. Another ring is mapped anew.
 *
 * What is shown stays where it is: a socket that is lent (lend.c) is taken back before.
 */
#include <sys/mman.h>

#include "ncclient.h"
#include "sock_calls.h"

/* Maps the ring of @bytes at @base twice in a row. */
static int view_map(uint8_t *base, uint32_t bytes, uint8_t **ret_view)
{
	uint8_t *view;

	view = mmap(NULL, 2 * (size_t)bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	if (view == MAP_FAILED)
		return -ENOMEM;
	for (int i = 0; i < 2; i++) {
		/* Of 0 bytes: a shared mapping gets a second place, and needs no descriptor. */
		void *p = mremap(base, 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
				 view + (size_t)i * bytes);

		if (p == MAP_FAILED) {
			(void)munmap(view, 2 * (size_t)bytes);
			return -ENOMEM;
		}
	}
	(void)madvise(view, 2 * (size_t)bytes, MADV_DONTFORK); /* as the segments */
	*ret_view = view;
	return 0;
}

static int tx_view(struct nc_sock *s)
{
	return s->tx.view ? 0 : view_map(s->tx.base, tx_ring_bytes(s), &s->tx.view);
}

static int rx_view(struct nc_sock *s)
{
	return s->rx.view ? 0 : view_map(s->rx.base, s->rx.bytes, &s->rx.view);
}

/* Room as tx_wait_room says, in a socket that is not lent. */
static ssize_t view_room(struct nc_sock *s, size_t len, bool wait)
{
	uint64_t until_ns = 0;

	for (;;) {
		ssize_t ret = tx_wait_room(s, len, wait, &until_ns);
		int err;

		if (ret <= 0 || !flag_get(&s->lent))
			return ret;
		err = sock_take_back(s, &s->tx.lock);
		if (err < 0)
			return err;
	}
}

/* The same of bytes. */
static ssize_t view_bytes(struct nc_sock *s, bool wait)
{
	uint64_t until_ns = 0;

	for (;;) {
		ssize_t ret = rx_wait_bytes(s, 1, wait, &until_ns);
		int err;

		if (ret <= 0 || !flag_get(&s->lent))
			return ret;
		err = sock_take_back(s, &s->rx.lock);
		if (err < 0)
			return err;
	}
}

ssize_t nc_reserve(int number, size_t len, void **ret_buf, int flags)
{
	struct nc_sock *s = sock_find(number);
	ssize_t ret;
	int err;

	if (!s)
		return -EBADF;
	if (len == 0)
		return -EINVAL;
	lock_take(&s->tx.lock);
	ret = sock_open(s)
		      ? view_room(s, len, !(flags & MSG_DONTWAIT) && !flag_get(&s->nonblock))
		      : -EBADF;
	ret = tx_result(s, ret);
	err = ret > 0 ? tx_view(s) : 0;
	if (err < 0)
		ret = err;
	if (ret > 0) {
		if ((size_t)ret > len)
			ret = (ssize_t)len;
		tx_rebase(s);
		s->tx.reserved = (uint64_t)ret;
		*ret_buf = s->tx.view + tx_place(s);
	}
	lock_release(&s->tx.lock);
	return ret;
}

int nc_commit(int number, size_t len)
{
	struct nc_sock *s = sock_find(number);
	int ret = 0;

	if (!s)
		return -EBADF;
	lock_take(&s->tx.lock);
	if (!sock_open(s))
		ret = -EBADF;
	else if (len > s->tx.reserved)
		ret = -EINVAL;
	else if (flag_get(&s->tx.shut))
		ret = -EPIPE;
	if (ret == 0) {
		s->tx.reserved = 0;
		/* The place where they lie is of no use any more: to be reserved anew. */
		if (len > 0 && !tx_publish(s, len))
			ret = -EAGAIN;
		else if (len > 0)
			tx_show_full(s);
	}
	lock_release(&s->tx.lock);
	return ret;
}

ssize_t nc_peek(int number, size_t len, const void **ret_buf, int flags)
{
	struct nc_sock *s = sock_find(number);
	ssize_t ret;
	int err;

	if (!s)
		return -EBADF;
	if (len == 0)
		return -EINVAL;
	lock_take(&s->rx.lock);
	ret = sock_open(s) ? view_bytes(s, !(flags & MSG_DONTWAIT) && !flag_get(&s->nonblock))
			   : -EBADF;
	ret = rx_result(s, ret);
	/* Before the view: it may be of another ring behind this look. */
	if (ret > 0)
		ret = (ssize_t)rx_available_at_once(s, len);
	err = ret > 0 ? rx_view(s) : 0;
	if (err < 0)
		ret = err;
	if (ret > 0) {
		if ((size_t)ret > len)
			ret = (ssize_t)len;
		s->rx.peeked = true;
		*ret_buf = s->rx.view + rx_place(s);
	}
	lock_release(&s->rx.lock);
	return ret;
}

int nc_consume(int number, size_t len)
{
	struct nc_sock *s = sock_find(number);
	int ret = 0;

	if (!s)
		return -EBADF;
	lock_take(&s->rx.lock);
	if (!sock_open(s))
		ret = -EBADF;
	else if (flag_get(&s->lent))
		ret = sock_take_back(s, &s->rx.lock);
	if (ret == 0 && sock_phase(s) != PHASE_CONNECTED)
		ret = -ENOTCONN;
	else if (ret == 0 && len > rx_available(s, len))
		ret = -EINVAL;
	if (ret == 0 && len > 0) {
		if (!rx_release(s, len))
			ret = -EAGAIN; /* another process has them: to be peeked at anew */
		else if (sock_watched(s) && !rx_look(s))
			pollfd_sync_in(s);
		if (s->rx.tail_seen == rx_head(sock_slot(s)))
			s->rx.peeked = false;
	}
	lock_release(&s->rx.lock);
	return ret;
}
