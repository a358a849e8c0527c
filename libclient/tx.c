/* SPDX-License-Identifier: MIT */
/*
 * tx.c - the caller's bytes into the tx ring: nc_send, nc_sendmsg.
 */
#include <string.h>

#include "copy.h"
#include "give_way.h"
#include "iov.h"
#include "ncclient.h"
#include "sock_calls.h"

/* A large send is published in such pieces, so that the worker sends while the rest is copied. */
#define TX_PIECE_BYTES (128u << 10)

/*
 * As the kernel's sk_stream_is_writeable, and as the daemon wakes: a third of the ring. Less is
 * worth no wake, and who takes whatever has just become free comes to send a byte at a time.
 */
static bool tx_is_roomy(struct nc_sock *s, uint64_t room)
{
	return 3 * room >= tx_ring_bytes(s);
}

bool tx_look(struct nc_sock *s)
{
	struct slot_shm *slot = sock_slot(s);
	uint32_t taken;

	if (sock_phase(s) != PHASE_CONNECTED)
		return sock_phase(s) != PHASE_CONNECTING || connect_look(s);
	/* RING, looking end: another thread may be taking the ring that is given. */
	taken = atomic_load_explicit(&s->tx.taken, memory_order_acquire);
	/* TXSPACE and NOTIFY, application end. */
	return tx_is_roomy(s, tx_ring_bytes(s) - (tx_tail(slot) -
						  TX_FREE(s, memory_order_seq_cst))) ||
	       /* NOTIFY, application end. */
	       atomic_load_explicit(&slot->tx_given, memory_order_seq_cst) != taken ||
	       sock_elsewhere(s) || sock_broken(s) < 0 || flag_get(&s->tx.shut);
}

/* 0 if bytes may go into the ring, -EAGAIN while it connects, or why they never may. */
static int tx_check(struct nc_sock *s)
{
	int error;

	if (sock_phase(s) != PHASE_CONNECTED) {
		if (sock_settle_unlocked(s) == -EINPROGRESS)
			return -EAGAIN;
		if (sock_phase(s) != PHASE_CONNECTED && sock_phase(s) != PHASE_FAILED)
			return attachment_dead(s->att) ? -ECONNRESET : -EPIPE;
	}
	error = sock_broken(s);
	return error == 0 && flag_get(&s->tx.shut) ? -EPIPE : error;
}

ssize_t tx_result(struct nc_sock *s, ssize_t ret)
{
	int error;

	if (ret >= 0 || ret == -EAGAIN || ret == -EINTR || ret == -EBADF || sock_broken(s) == 0)
		return ret;
	error = sock_take_error(s);
	return error < 0 ? error : -EPIPE;
}

/* Room, from the last tx_head seen if that is enough. */
static uint64_t tx_room(struct nc_sock *s, size_t want)
{
	struct slot_shm *slot = sock_slot(s);
	uint64_t tail = tx_tail(slot);
	uint64_t room = tx_ring_bytes(s) - (tail - s->tx.head_seen);

	if (room < want) {
		/* TXSPACE, application end. */
		s->tx.head_seen = TX_FREE(s, memory_order_acquire);
		room = tx_ring_bytes(s) - (tail - s->tx.head_seen);
	}
	return room;
}

/*
 * The same in a larger ring, if one is given and needed: what takes half of a ring does not go
 * beside the next, and has an acknowledgement of its own. The place that nc_reserve has told stays
 * while it is of any use. -errno: the ring is not to be had.
 */
static ssize_t tx_find_room(struct nc_sock *s, size_t want)
{
	uint64_t room = tx_room(s, want);
	int ret;

	if (room >= want && 2 * (uint64_t)want < tx_ring_bytes(s))
		return (ssize_t)room;
	if (!tx_ring_given(s) || (s->tx.reserved > 0 && room > 0))
		return (ssize_t)room;
	ret = tx_ring_take(s);
	return ret < 0 ? ret : (ssize_t)tx_room(s, want);
}

/* Room for a part of what is to be sent: for the same reason not for any. */
static bool tx_part_fits(struct nc_sock *s, uint64_t room)
{
	return room >= tx_ring_bytes(s) / 8 || (room > 0 && s->tx.reserved > 0);
}

void tx_show_full(struct nc_sock *s)
{
	if (sock_watched(s) && !tx_part_fits(s, tx_room(s, tx_ring_bytes(s) / 8)) && !tx_look(s))
		pollfd_sync_out(s);
}

/* The caller will not wait: whoever watches for it is told when there is room. */
static bool tx_still_full(struct nc_sock *s)
{
	/* Relaxed: a queue joined just now looks for itself. */
	if (atomic_load_explicit(&s->cq_events, memory_order_relaxed) & POLLOUT)
		sock_notify(s, NOTIFY_CQ(EV_OUT));
	if (sock_watched(s))
		pollfd_sync_out(s);
	return !tx_look(s);
}

/* The stream is here, or has been brought. */
static int tx_have(struct nc_sock *s, bool wait, uint32_t *fetched, uint64_t *until_ns)
{
	if (!flag_get(&s->shared) || !sock_elsewhere(s))
		return 0;
	if (wait && *until_ns == 0)
		*until_ns = wait_until(s->send_timeout_ns);
	return sock_have(s, &s->tx.lock, EV_OUT | EV_ERR, wait, fetched, *until_ns);
}

ssize_t tx_wait_room(struct nc_sock *s, size_t want, bool wait, uint64_t *until_ns)
{
	uint32_t fetched = 0;

	for (;;) {
		int ret = tx_have(s, wait, &fetched, until_ns);

		if (ret < 0)
			return ret;
		ret = tx_check(s);
		if (ret == 0) {
			ssize_t room = tx_find_room(s, want);

			if (room < 0 || (size_t)room >= want || tx_part_fits(s, (uint64_t)room))
				return room;
		} else if (ret != -EAGAIN) {
			return ret;
		}
		if (!wait) {
			if (tx_still_full(s))
				return -EAGAIN;
			continue;
		}
		if (*until_ns == 0)
			*until_ns = wait_until(s->send_timeout_ns);
		ret = sock_sleep_point(s, &s->tx.lock, EV_OUT | EV_ERR, tx_look, *until_ns);
		if (ret < 0)
			return ret;
	}
}

bool tx_publish(struct nc_sock *s, uint64_t bytes)
{
	struct slot_shm *slot = sock_slot(s);
	uint64_t tail = tx_tail(slot) + bytes;

	if (flag_get(&s->shared)) {
		/* TXBYTES, MOVE, application ends. */
		atomic_store_explicit(&slot->tx_tail, tail, memory_order_seq_cst);
		sock_kick(s);
		return tx_counted(s, tail);
	}
	/* TXBYTES, application end. */
	atomic_store_explicit(&slot->tx_tail, tail, memory_order_release);
	sock_kick(s);
	return true;
}

uint32_t tx_place(struct nc_sock *s)
{
	return (uint32_t)(tx_tail(sock_slot(s)) - s->tx.origin) & (tx_ring_bytes(s) - 1);
}

/*
 * An empty ring is written from the same place again, so that small messages stay in a few cache
 * lines of one page. The place differs from ring to ring in its line and in its page: those of all
 * rings would be one set of the cache, and of the TLB.
 */
static uint64_t ring_colour(const struct nc_sock *s)
{
	return (uint64_t)s->slot_nr * (NCD_PAGE + NCD_CACHE_LINE) & (tx_ring_bytes(s) - 1);
}

void tx_rebase(struct nc_sock *s)
{
	struct slot_shm *slot = sock_slot(s);
	uint64_t tail = tx_tail(slot);
	uint64_t origin = tail - ring_colour(s);

	if (origin == s->tx.origin || flag_get(&s->tx.joined))
		return;
	if (s->tx.head_seen != tail)
		/* TXSPACE, application end: allowed only when all is acknowledged. */
		s->tx.head_seen = atomic_load_explicit(&slot->tx_head, memory_order_acquire);
	if (s->tx.head_seen != tail)
		return;
	s->tx.origin = origin;
	/* Relaxed: TXBYTES orders it. */
	atomic_store_explicit(&slot->tx_base, origin, memory_order_relaxed);
}

static void tx_copy(struct nc_sock *s, struct iov_cursor *from, size_t bytes)
{
	uint32_t at = tx_place(s);
	size_t first = tx_ring_bytes(s) - at;

	if (first >= bytes) {
		iov_gather(from, s->tx.base + at, bytes);
		return;
	}
	iov_gather(from, s->tx.base + at, first);
	iov_gather(from, s->tx.base, bytes - first);
}

/* Of a large call: up to @bytes, for which there is room; see copy_large. */
static int tx_put_large(struct nc_sock *s, struct iov_cursor *from, size_t bytes, size_t *ret_done)
{
	struct copy_run run = { .s = s,
				.way = COPY_IN,
				.ring = s->tx.base,
				.ring_bytes = tx_ring_bytes(s),
				.at = tx_place(s),
				.segment = s->tx.segment,
				.alone = TX_PIECE_BYTES,
				.publish = tx_publish };

	return copy_large(&run, from, bytes, ret_done);
}

/* The same of any other call. */
static int tx_put(struct nc_sock *s, struct iov_cursor *from, size_t bytes, size_t *ret_done)
{
	struct iov_cursor before = *from;

	tx_copy(s, from, bytes);
	*ret_done = bytes;
	if (!tx_publish(s, bytes)) {
		*from = before; /* once more, wherever the stream is now */
		*ret_done = 0;
	}
	give_way(s->port, &s->tx.copied, bytes, tx_tail(sock_slot(s)) - s->tx.head_seen);
	return 0;
}

static ssize_t tx_send(int number, struct iov_cursor *from, size_t len, int flags)
{
	struct nc_sock *s = sock_find(number);
	uint64_t until_ns = 0;
	size_t done = 0;
	ssize_t ret = 0;
	bool wait, large, alone;
	size_t most;

	if (!s)
		return -EBADF;
	if (flags & (MSG_OOB | MSG_FASTOPEN))
		return -EOPNOTSUPP;
	lock_take(&s->tx.lock);
	if (!sock_open(s)) {
		lock_release(&s->tx.lock);
		return -EBADF;
	}
	wait = !(flags & MSG_DONTWAIT) && !flag_get(&s->nonblock);
	if (len == 0) {
		ret = tx_check(s);
		ret = ret == -EAGAIN ? 0 : ret;
	}
	/* Copy workers know nothing of joined rings. */
	large = copy_wanted(s->att, len);
	most = large ? COPY_RUN_MAX : TX_PIECE_BYTES;
	while (done < len) {
		size_t piece = len - done < most ? len - done : most;

		ret = tx_wait_room(s, piece, wait, &until_ns);
		if (ret < 0)
			break;
		if ((size_t)ret < piece)
			piece = (size_t)ret;
		tx_rebase(s);
		alone = !large || flag_get(&s->shared) || flag_get(&s->tx.joined);
		ret = alone ? tx_put(s, from, piece, &piece)
			    : tx_put_large(s, from, piece, &piece);
		done += piece;
		if (ret < 0)
			break;
	}
	if (done > 0)
		tx_show_full(s);
	ret = done > 0 ? (ssize_t)done : tx_result(s, ret);
	lock_release(&s->tx.lock);
	return ret;
}

ssize_t nc_send(int s, const void *buf, size_t len, int flags)
{
	union {
		const void *in;
		void *out; /* struct iovec has no const; it is only read */
	} u = { .in = buf };
	struct iovec iov = { u.out, len };
	struct iov_cursor from = { .iov = &iov, .iov_nr = 1 };

	if (len > SSIZE_MAX)
		len = SSIZE_MAX;
	return tx_send(s, &from, len, flags);
}

ssize_t nc_sendmsg(int s, const struct msghdr *msg, int flags)
{
	struct iov_cursor from;
	size_t len;
	int ret;

	if (!sock_find(s))
		return -EBADF;
	if (msg->msg_controllen > 0)
		return -EOPNOTSUPP;
	ret = iov_cursor_init(&from, msg->msg_iov, msg->msg_iovlen, &len);
	return ret < 0 ? ret : tx_send(s, &from, len, flags);
}
