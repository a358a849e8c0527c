/* SPDX-License-Identifier: MIT */
/*
 * rx.c - the rx ring's bytes to the caller: nc_recv, nc_recvmsg.
 */
#include <string.h>

#include "copy.h"
#include "give_way.h"
#include "iov.h"
#include "ncclient.h"
#include "sock_calls.h"

uint32_t rx_place(struct nc_sock *s)
{
	return (uint32_t)(rx_head(sock_slot(s)) - s->rx.origin) & (s->rx.bytes - 1);
}

/* What there is of a stream that is here; 0: rx_wait_bytes tells why. */
static inline uint64_t rx_at_hand(struct nc_sock *s, size_t want)
{
	if (sock_phase(s) != PHASE_CONNECTED || flag_get(&s->shared))
		return 0;
	return rx_available(s, want);
}

/* Of a shared socket: every byte counts, and at once; what is left is for who waits elsewhere. */
static bool rx_release_shared(struct nc_sock *s, uint64_t head)
{
	struct slot_shm *slot = sock_slot(s);

	/* RXSPACE, MOVE, application ends. */
	atomic_store_explicit(&slot->rx_head, head, memory_order_seq_cst);
	if (!rx_counted(s, head))
		return false;
	/* Relaxed: what comes later is told by the worker. */
	if (atomic_load_explicit(&slot->rx_tail, memory_order_relaxed) != head)
		sock_kick(s);
	return true;
}

bool rx_release(struct nc_sock *s, uint64_t bytes)
{
	struct slot_shm *slot = sock_slot(s);
	uint64_t head = rx_head(slot) + bytes;

	if (flag_get(&s->shared) && !rx_release_shared(s, head))
		return false;
	rx_ring_leave(s, head);
	/* RXSPACE, application end. */
	atomic_store_explicit(&slot->rx_head, head, memory_order_release);
	/* Credit is worth a word only by the quarter: a peer that waits for less does not exist. */
	if (head - s->rx.told >= s->rx.bytes / 4) {
		s->rx.told = head;
		sock_kick(s);
	}
	return true;
}

static void rx_copy(struct nc_sock *s, struct iov_cursor *to, size_t bytes)
{
	uint32_t at = rx_place(s);
	size_t first = s->rx.bytes - at;

	if (first >= bytes) {
		iov_scatter(to, s->rx.base + at, bytes);
		return;
	}
	iov_scatter(to, s->rx.base + at, first);
	iov_scatter(to, s->rx.base, bytes - first);
}

/* MSG_PEEK: with MSG_WAITALL, waits for all that can be there at once. */
static ssize_t rx_peek(struct nc_sock *s, struct iov_cursor *to, size_t len, int flags, bool wait)
{
	uint64_t until_ns = 0;
	ssize_t bytes = 0;

	if (flags & MSG_WAITALL && wait)
		bytes = rx_wait_bytes(s, len, true, &until_ns);
	if (bytes <= 0) {
		/* Interrupted or too late: what there is. */
		ssize_t some = rx_wait_bytes(s, 1, wait && bytes == 0, &until_ns);

		bytes = some > 0 || bytes == 0 ? some : bytes;
	}
	if (bytes <= 0)
		return bytes;
	/* Another look: want 1 is met by what was seen long ago. */
	bytes = (ssize_t)rx_available_at_once(s, len);
	if ((size_t)bytes > len)
		bytes = (ssize_t)len;
	if (!(flags & MSG_TRUNC))
		rx_copy(s, to, (size_t)bytes);
	return bytes;
}

/* Of a large call: up to @bytes, which are there; see copy_large. */
static int rx_get_large(struct nc_sock *s, struct iov_cursor *to, size_t bytes, size_t *ret_done)
{
	struct copy_run run = { .s = s,
				.way = COPY_OUT,
				.ring = s->rx.base,
				.ring_bytes = s->rx.bytes,
				.at = rx_place(s),
				.segment = s->rx.segment,
				.alone = s->rx.bytes / 4,
				.publish = rx_release };

	return copy_large(&run, to, bytes, ret_done);
}

/* The same of any other call. By quarters, so that credit goes out while the rest is copied. */
static int rx_get(struct nc_sock *s, struct iov_cursor *to, size_t bytes, int flags,
		  size_t *ret_done)
{
	uint64_t ahead = s->rx.tail_seen - rx_head(sock_slot(s));
	struct iov_cursor before = *to;

	if (bytes > s->rx.bytes / 4)
		bytes = s->rx.bytes / 4;
	bytes = give_way_piece(s->port, bytes);
	if (!(flags & MSG_TRUNC))
		rx_copy(s, to, bytes);
	*ret_done = bytes;
	if (!rx_release(s, bytes)) {
		*to = before; /* another process has them */
		*ret_done = 0;
	}
	give_way(s->port, &s->rx.copied, bytes, ahead);
	return 0;
}

static ssize_t rx_take(struct nc_sock *s, struct iov_cursor *to, size_t len, int flags, bool wait)
{
	bool large = false;
	uint64_t until_ns = 0;
	size_t done = 0;
	ssize_t ret = 0;

	while (done < len) {
		size_t piece = len - done;
		uint64_t there = rx_at_hand(s, piece);

		if (there == 0) {
			ret = rx_wait_bytes(s, 1, wait && (done == 0 || flags & MSG_WAITALL),
					    &until_ns);
			if (ret <= 0)
				break;
			there = rx_available(s, piece);
		}
		if (there < piece)
			piece = there;
		/* By what it moves: large buffers are also used for small messages. */
		if (flag_get(&s->shared) || s->rx.joined)
			large = false;
		else if (!large && !(flags & MSG_TRUNC))
			large = copy_wanted(s->att, flags & MSG_WAITALL ? len - done : piece);
		ret = large ? rx_get_large(s, to, piece, &piece)
			    : rx_get(s, to, piece, flags, &piece);
		done += piece;
		if (ret < 0)
			break;
		if (piece == 0)
			continue;
		if (!(flags & MSG_WAITALL) && s->rx.tail_seen == rx_head(sock_slot(s)))
			break;
	}
	if (sock_watched(s) && done > 0 && !rx_look(s))
		pollfd_sync_in(s);
	return done > 0 ? (ssize_t)done : ret;
}

static ssize_t rx_receive(int number, struct iov_cursor *to, size_t len, int flags)
{
	struct nc_sock *s = sock_find(number);
	uint64_t until_ns = 0;
	ssize_t ret;
	bool wait;

	if (!s)
		return -EBADF;
	if (flags & MSG_OOB)
		return -EINVAL;
	if (flags & MSG_ERRQUEUE)
		return -EAGAIN; /* it is always empty */
	lock_take(&s->rx.lock);
	if (!sock_open(s)) {
		lock_release(&s->rx.lock);
		return -EBADF;
	}
	wait = !(flags & MSG_DONTWAIT) && !flag_get(&s->nonblock);
	if (len == 0) {
		/* As the kernel: waits for a byte, and leaves it. */
		ret = rx_wait_bytes(s, 1, wait, &until_ns);
		ret = ret > 0 ? 0 : ret;
	} else if (flags & MSG_PEEK) {
		ret = rx_peek(s, to, len, flags, wait);
	} else {
		ret = rx_take(s, to, len, flags, wait);
	}
	if (ret < 0)
		ret = rx_result(s, ret);
	if (ret == 0 && len > 0 && sock_watched(s))
		pollfd_show_end(s);
	lock_release(&s->rx.lock);
	return ret;
}

ssize_t nc_recv(int s, void *buf, size_t len, int flags)
{
	struct iovec iov = { buf, len };
	struct iov_cursor to = { .iov = &iov, .iov_nr = 1 };

	if (len > SSIZE_MAX)
		len = SSIZE_MAX;
	return rx_receive(s, &to, len, flags);
}

ssize_t nc_recvmsg(int s, struct msghdr *msg, int flags)
{
	struct iov_cursor to;
	ssize_t ret;
	size_t len;

	if (!sock_find(s))
		return -EBADF;
	ret = iov_cursor_init(&to, msg->msg_iov, msg->msg_iovlen, &len);
	if (ret < 0)
		return ret;
	ret = rx_receive(s, &to, len, flags);
	if (ret < 0)
		return ret;
	msg->msg_namelen = 0;
	msg->msg_controllen = 0;
	msg->msg_flags = 0;
	return ret;
}
