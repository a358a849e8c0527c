/* SPDX-License-Identifier: MIT */
/*
 * ring.c - the rings of a socket: where they are, how they give way to larger ones, and how a tx
 * ring that is idle gives back its pages.
 *
 * They begin small; the daemon gives a larger one when that would help (ncd/shm_abi.h draws it). A
 * tx ring is taken when room is lacking, by copying what is not acknowledged yet; an rx ring is
 * followed where the daemon has copied what was unread.
 */
#include <string.h>
#include <sys/mman.h>

#include "ncd/huge_page.h"
#include "ncd/ring_pages.h"

#include "ncclient.h"
#include "sock_calls.h"

/*
 * The daemon orders who had a ring's memory and who has it next (TAKEN and SQ_CLOSE, then STATE and
 * GIVEN). ThreadSanitizer sees only this process, and is told.
 */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define RING_LEFT(s) __tsan_release((s)->att)
#define RING_HAD(s)  __tsan_acquire((s)->att)
#else
#define RING_LEFT(s) ((void)(s))
#define RING_HAD(s)  ((void)(s))
#endif

/* A ring's place in its segment, checked. */
static int ring_place(struct nc_sock *s, uint32_t segment_nr, uint64_t off, uint32_t bytes,
		      uint8_t **ret_base)
{
	struct segment *seg;
	int ret = attachment_segment(s->att, segment_nr, &seg);

	if (ret < 0)
		return ret;
	if (bytes < NCD_RING_MIN || bytes > NCD_RING_MAX || (bytes & (bytes - 1)) != 0 ||
	    off % NCD_PAGE != 0 || off > seg->bytes || bytes > seg->bytes - off)
		return -EPROTO;
	RING_HAD(s);
	*ret_base = seg->base + off;
	/* A shared socket's stream may be moved away meanwhile, and the place be another ring's. */
	if (seg->huge && bytes >= HUGE_PAGE && !flag_get(&s->shared))
		huge_page_gather(*ret_base, bytes);
	return 0;
}

static void tx_ring_set(struct nc_sock *s, uint8_t *base, uint32_t bytes, uint32_t segment,
			uint32_t taken)
{
	s->tx.base = base;
	s->tx.segment = segment;
	/* Relaxed: RING orders it. */
	atomic_store_explicit(&s->tx.joined, segment & JOINT_FLAG, memory_order_relaxed);
	/* Relaxed: this side alone writes it. All of the ring may have pages, of its last user. */
	s->tx.cold = atomic_load_explicit(&sock_slot(s)->tx_tail, memory_order_relaxed) - bytes;
	/* Relaxed: RING orders it. */
	atomic_store_explicit(&s->tx.bytes, bytes, memory_order_relaxed);
	/* RING, taking end. */
	atomic_store_explicit(&s->tx.taken, taken, memory_order_release);
}

int rings_establish(struct nc_sock *s)
{
	struct slot_shm *slot = sock_slot(s);
	uint8_t *tx, *rx;
	int ret;

	ret = ring_place(s, slot->tx_segment, slot->tx_off, slot->tx_bytes, &tx);
	if (ret == 0)
		ret = ring_place(s, slot->rx_segment, slot->rx_off, slot->rx_bytes, &rx);
	if (ret < 0)
		return ret;
	tx_ring_set(s, tx, slot->tx_bytes, slot->tx_segment, 0);
	s->rx.base = rx;
	s->rx.bytes = slot->rx_bytes;
	s->rx.segment = slot->rx_segment;
	s->rx.joined = false;
	s->rx.given = s->rx.taken = 0;
	return 0;
}

bool tx_ring_given(struct nc_sock *s)
{
	/* Relaxed, both: the look of tx_ring_take is ordered; taken is ours under tx.lock. */
	return atomic_load_explicit(&sock_slot(s)->tx_given, memory_order_relaxed) !=
	       atomic_load_explicit(&s->tx.taken, memory_order_relaxed);
}

/* The bytes [from, to) of the tx ring to their places in one of @bytes at @base, whose first byte
 * is @origin's. */
static void tx_ring_copy(struct nc_sock *s, uint8_t *base, uint32_t bytes, uint64_t origin,
			 uint64_t from, uint64_t to)
{
	uint32_t old_bytes = tx_ring_bytes(s);

	while (from < to) {
		uint32_t at = (uint32_t)(from - s->tx.origin) & (old_bytes - 1);
		uint32_t into = (uint32_t)(from - origin) & (bytes - 1);
		uint64_t n = to - from;

		if (n > old_bytes - at)
			n = old_bytes - at;
		if (n > bytes - into)
			n = bytes - into;
		memcpy(base + into, s->tx.base + at, n);
		from += n;
	}
}

int tx_ring_take(struct nc_sock *s)
{
	struct slot_shm *slot = sock_slot(s);
	/* GIVEN, application end. */
	uint32_t given = atomic_load_explicit(&slot->tx_given, memory_order_acquire);
	/* Relaxed: this side alone writes it, under tx.lock. */
	uint64_t tail = atomic_load_explicit(&slot->tx_tail, memory_order_relaxed);
	uint64_t head, origin = slot->tx_segment & JOINT_FLAG ? 0 : s->tx.origin;
	uint8_t *base;
	int ret = ring_place(s, slot->tx_segment, slot->tx_off, slot->tx_bytes, &base);

	if (ret < 0)
		return ret;
	/* TXSPACE, application end. What is below is in the joined ring already, if it is one. */
	head = atomic_load_explicit(&slot->tx_head, memory_order_acquire);
	if (tail - head > slot->tx_bytes || tail - head > tx_ring_bytes(s))
		return -EPROTO;
	tx_ring_copy(s, base, slot->tx_bytes, origin, head, tail);
	if (s->tx.view)
		(void)munmap(s->tx.view, 2 * (size_t)tx_ring_bytes(s));
	s->tx.view = NULL;
	s->tx.origin = origin;
	/* Relaxed: TAKEN orders it. In a joined ring nobody looks at it, nor before it is taken. */
	if (flag_get(&s->tx.joined))
		atomic_store_explicit(&slot->tx_base, origin, memory_order_relaxed);
	tx_ring_set(s, base, slot->tx_bytes, slot->tx_segment, given);
	/* TXSPACE, application end. */
	s->tx.head_seen = TX_FREE(s, memory_order_acquire);
	RING_LEFT(s);
	/* TAKEN, application end. */
	atomic_store_explicit(&slot->tx_taken, given, memory_order_release);
	return 0;
}

int rx_ring_follow(struct nc_sock *s, uint64_t seen)
{
	struct slot_shm *slot = sock_slot(s);
	/* GIVEN, application end. */
	uint32_t given = atomic_load_explicit(&slot->rx_given, memory_order_acquire);
	uint8_t *base;
	bool left;
	int ret;

	if (given == s->rx.given)
		return 0;
	ret = ring_place(s, slot->rx_segment, slot->rx_off, slot->rx_bytes, &base);
	if (ret < 0)
		return ret;
	/* There is no older view: the daemon has waited until we left that ring. */
	s->rx.old_view = s->rx.view;
	s->rx.old_bytes = s->rx.bytes;
	s->rx.old_end = seen;
	s->rx.view = NULL;
	s->rx.base = base;
	s->rx.bytes = slot->rx_bytes;
	s->rx.segment = slot->rx_segment;
	left = s->rx.joined;
	s->rx.joined = slot->rx_segment & JOINT_FLAG;
	s->rx.given = given;
	/* Relaxed: what was asked for has come; a new question is a new kick. */
	atomic_store_explicit(&slot->rx_want, 0, memory_order_relaxed);
	/* A joined ring has no more room for the writer before we are out of it. */
	if (left && !s->rx.old_view) {
		rx_ring_leave(s, s->rx.old_end);
		sock_kick(s);
	}
	return 0;
}

void rx_ring_leave(struct nc_sock *s, uint64_t head)
{
	if (s->rx.taken == s->rx.given || head < s->rx.old_end)
		return;
	if (s->rx.old_view)
		(void)munmap(s->rx.old_view, 2 * (size_t)s->rx.old_bytes);
	s->rx.old_view = NULL;
	s->rx.taken = s->rx.given;
	RING_LEFT(s);
	/* TAKEN, application end. */
	atomic_store_explicit(&sock_slot(s)->rx_taken, s->rx.taken, memory_order_release);
}

bool rx_ring_ask(struct nc_sock *s, size_t want)
{
	struct slot_shm *slot = sock_slot(s);
	uint32_t bytes = want < NCD_RING_MAX ? (uint32_t)want : NCD_RING_MAX;

	/* The next ring is given only when the last is left: what was peeked at there is consumed
	 * first, and who waits for more than this ring holds would never get to that. */
	if (s->rx.old_view)
		return false;
	rx_ring_leave(s, s->rx.old_end);
	/* NOTIFY, application end: who waits is told when it changes. */
	if (s->rx.bytes >= atomic_load_explicit(&slot->rx_most, memory_order_seq_cst))
		return false;
	/* Relaxed, both: only this side writes it, under rx.lock; KICK orders it. */
	if (atomic_load_explicit(&slot->rx_want, memory_order_relaxed) != bytes) {
		atomic_store_explicit(&slot->rx_want, bytes, memory_order_relaxed);
		sock_kick(s);
	}
	return true;
}

/* With tx.lock held, so that nobody is writing, or will write to a place told before. */
static void tx_ring_idle(struct nc_sock *s)
{
	struct slot_shm *slot = sock_slot(s);
	uint32_t bytes = tx_ring_bytes(s);
	/* Relaxed: this side alone writes it, under tx.lock. */
	uint64_t tail = atomic_load_explicit(&slot->tx_tail, memory_order_relaxed);
	/* TXSPACE, application end. */
	uint64_t head = TX_FREE(s, memory_order_acquire);
	/* Relaxed: IDLE orders it. */
	uint64_t idle = atomic_load_explicit(&slot->tx_idle, memory_order_relaxed);

	if (bytes <= NCD_IDLE_BYTES || s->tx.reserved > 0 || tail - idle >= NCD_IDLE_BYTES ||
	    head - s->tx.cold < NCD_IDLE_BYTES)
		return;
	ring_pages_free(s->tx.base, bytes, (uint32_t)(head - s->tx.origin) & (bytes - 1),
			tail - head, 0, bytes);
	s->tx.cold = head;
}

void rings_idle(struct attachment *att)
{
	struct nc_sock *s;

	for (int number = NC_SOCKET_BASE; (s = sock_find(number)); number++) {
		/* Who holds it is using the stream, and may wait for this thread. */
		if (sock_phase(s) != PHASE_CONNECTED || tx_ring_bytes(s) <= NCD_IDLE_BYTES ||
		    !lock_try(&s->tx.lock))
			continue;
		if (sock_open(s) && sock_phase(s) == PHASE_CONNECTED && s->att == att)
			tx_ring_idle(s);
		lock_release(&s->tx.lock);
	}
}

void rings_drop(struct nc_sock *s)
{
	if (s->tx.view)
		(void)munmap(s->tx.view, 2 * (size_t)tx_ring_bytes(s));
	if (s->rx.view)
		(void)munmap(s->rx.view, 2 * (size_t)s->rx.bytes);
	if (s->rx.old_view)
		(void)munmap(s->rx.old_view, 2 * (size_t)s->rx.old_bytes);
	s->tx.view = s->rx.view = s->rx.old_view = s->tx.base = s->rx.base = NULL;
	if (s->att)
		RING_LEFT(s);
}
