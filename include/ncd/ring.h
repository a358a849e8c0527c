/* SPDX-License-Identifier: MIT */
/*
 * ring.h - single-producer single-consumer queue of 64-bit words, in memory shared by one
 * application and one daemon worker, or by two threads of the daemon.
 *
 * Ownership: whoever lays the memory out owns it; each side keeps a private struct ring.
 * Threading: one producer and one consumer at a time. The library serialises its threads with a
 *   lock of its own (never in shared memory).
 * Trust: the other side may write anything at any time. The capacity is a private copy, each
 *   foreign index is range-checked, each word is fetched once; its meaning is for the caller.
 *
 * Ordering:
 *   PUBLISH  producer stores tail (release) -> consumer loads tail (acquire): words below are set.
 *   RECYCLE  consumer stores head (release) -> producer loads head (acquire): words below may be
 *            overwritten.
 *   DOORBELL see doorbell.h: a producer that may have to wake its consumer calls ring_publish()
 *            after its last push, then doorbell_due().
 *
 *   struct ring_shm   | tail  .. 64 | head .. 128 | word[capacity] ...
 */
#ifndef NCD_RING_H
#define NCD_RING_H

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ncd/limits.h"

struct ring_shm {
	alignas(NCD_CACHE_LINE) _Atomic uint32_t tail; /* producer only */
	alignas(NCD_CACHE_LINE) _Atomic uint32_t head; /* consumer only */
	alignas(NCD_CACHE_LINE) _Atomic uint64_t word[];
};
_Static_assert(offsetof(struct ring_shm, tail) == 0, "shm ABI");
_Static_assert(offsetof(struct ring_shm, head) == 64, "shm ABI");
_Static_assert(offsetof(struct ring_shm, word) == 128, "shm ABI");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2, "lock-free shm words");

/* One side's private view. Indices run freely, are compared by subtraction, masked on use. */
struct ring {
	struct ring_shm *shm;
	uint32_t capacity; /* a power of two */
	uint32_t own;      /* this side's next index */
	uint32_t foreign;  /* last validated index of the other side */
};

/* Bytes that a ring of @capacity words takes in memory. */
static inline size_t ring_bytes(uint32_t capacity)
{
	return sizeof(struct ring_shm) + (size_t)capacity * sizeof(uint64_t);
}

/* Attaches to zeroed memory at @mem. @capacity is the caller's own knowledge, a power of two. */
static inline void ring_init(struct ring *r, void *mem, uint32_t capacity)
{
	*r = (struct ring){ .shm = mem, .capacity = capacity };
}

/* Producer: queues @word. Returns 0, -EAGAIN if full, -EPROTO if the consumer's index is absurd. */
static inline int ring_push(struct ring *r, uint64_t word)
{
	if (r->own - r->foreign == r->capacity) {
		/* RECYCLE, producer end. */
		uint32_t head = atomic_load_explicit(&r->shm->head, memory_order_acquire);

		if (r->own - head > r->capacity)
			return -EPROTO;
		r->foreign = head;
		if (r->own - head == r->capacity)
			return -EAGAIN;
	}
	/* Relaxed: PUBLISH orders it. */
	atomic_store_explicit(&r->shm->word[r->own & (r->capacity - 1)], word,
			      memory_order_relaxed);
	r->own++;
	/* PUBLISH, producer end. */
	atomic_store_explicit(&r->shm->tail, r->own, memory_order_release);
	return 0;
}

/*
 * Where the producer may take a word back: who takes one leaves this in its place. No word that is
 * pushed has this value.
 */
#define RING_CLAIMED UINT64_MAX

/* Either side: takes the word at @index. RING_CLAIMED: the other side was faster. */
static inline uint64_t ring_claim(const struct ring *r, uint32_t index)
{
	/* CLAIM, both ends (ncd/shm_abi.h). */
	return atomic_exchange_explicit(&r->shm->word[index & (r->capacity - 1)], RING_CLAIMED,
					memory_order_acq_rel);
}

/* Producer: the barrier between a batch of pushes and the look at the consumer's doorbell. */
static inline void ring_publish(struct ring *r)
{
	/* DOORBELL, producer end. */
	atomic_store_explicit(&r->shm->tail, r->own, memory_order_seq_cst);
}

/* Consumer: takes one word. Returns 0, -EAGAIN if empty, -EPROTO if the index is absurd. */
static inline int ring_pop(struct ring *r, uint64_t *ret_word)
{
	if (r->own == r->foreign) {
		/* PUBLISH, consumer end. */
		uint32_t tail = atomic_load_explicit(&r->shm->tail, memory_order_acquire);

		if (tail - r->own > r->capacity)
			return -EPROTO;
		r->foreign = tail;
		if (r->own == tail)
			return -EAGAIN;
	}
	/* Relaxed: the acquire of tail ordered it. Fetched once. */
	*ret_word = atomic_load_explicit(&r->shm->word[r->own & (r->capacity - 1)],
					 memory_order_relaxed);
	r->own++;
	/* RECYCLE, consumer end. */
	atomic_store_explicit(&r->shm->head, r->own, memory_order_release);
	return 0;
}

/* The same of a ring whose words the producer may take back; those that it has are passed over. */
static inline int ring_pop_claim(struct ring *r, uint64_t *ret_word)
{
	do {
		if (r->own == r->foreign) {
			/* PUBLISH, consumer end. */
			uint32_t tail = atomic_load_explicit(&r->shm->tail, memory_order_acquire);

			if (tail - r->own > r->capacity)
				return -EPROTO;
			r->foreign = tail;
			if (r->own == tail)
				return -EAGAIN;
		}
		*ret_word = ring_claim(r, r->own);
		r->own++;
		/* RECYCLE, consumer end: behind the claim, for then the place is written again. */
		atomic_store_explicit(&r->shm->head, r->own, memory_order_release);
	} while (*ret_word == RING_CLAIMED);
	return 0;
}

/* Consumer: true if there is nothing to take. Used behind doorbell_arm(), hence seq_cst. */
static inline bool ring_empty(const struct ring *r)
{
	/* DOORBELL, consumer end. */
	return atomic_load_explicit(&r->shm->tail, memory_order_seq_cst) == r->own;
}

/* The same of a ring whose words the producer may take back; those that it has are passed over. */
static inline bool ring_empty_claim(struct ring *r)
{
	/* PUBLISH, DOORBELL, consumer end. */
	uint32_t tail = atomic_load_explicit(&r->shm->tail, memory_order_seq_cst);

	if (tail - r->own > r->capacity)
		return false; /* ring_pop_claim() tells */
	r->foreign = tail;
	/* Relaxed: PUBLISH ordered it. */
	while (r->own != tail &&
	       atomic_load_explicit(&r->shm->word[r->own & (r->capacity - 1)],
				    memory_order_relaxed) == RING_CLAIMED) {
		r->own++;
		/* RECYCLE, consumer end. */
		atomic_store_explicit(&r->shm->head, r->own, memory_order_release);
	}
	return r->own == tail;
}

#endif /* NCD_RING_H */
