/* SPDX-License-Identifier: MIT */
/*
 * uring_ring.c - rings of a program that has no liburing, but calls syscall(2).
 *
 * It maps the ring where it likes, so we map it once more, when it is made: the pages are the same.
 * What is between head and tail when io_uring_enter(2) is called has been filled in, and waits for
 * the kernel. (Two threads that enter one ring at a time can be in each other's way only where one
 * fills in an SQE of a socket of ours while the other enters with an old head.)
 *
 * Of a ring whose SQEs the kernel takes by itself (IORING_SETUP_SQPOLL), or that we cannot map or
 * do not know when it is entered, nothing is seen: whoever has one has new sockets with the kernel.
 */
#include "uring.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "file.h"
#include "kernel.h"
#include "../memory.h"

/* Later than the oldest header that this is built with. */
#define SETUP_NO_SQARRAY    (1u << 16)
#define SETUP_HYBRID_IOPOLL (1u << 17)

/* Of setup, what we can follow. */
#define FLAGS_KNOWN                                                                            \
	(IORING_SETUP_IOPOLL | IORING_SETUP_SQ_AFF | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | \
	 IORING_SETUP_ATTACH_WQ | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |           \
	 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SQE128 |          \
	 IORING_SETUP_CQE32 | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |         \
	 SETUP_NO_SQARRAY | SETUP_HYBRID_IOPOLL)

struct ring {
	uint8_t *at; /* the queue's indices */
	size_t bytes;
	uint8_t *sqes;
	size_t sqes_bytes;
	uint32_t head_off, tail_off, array_off; /* in `at`; array 0: there is none */
	uint32_t entries;
	uint32_t shift; /* of an SQE's size */
};

static size_t ring_bytes(const struct io_uring_params *p)
{
	size_t cqe = sizeof(struct io_uring_cqe) << (p->flags & IORING_SETUP_CQE32 ? 1 : 0);
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	size_t cq = p->cq_off.cqes + p->cq_entries * cqe;

	if (p->flags & SETUP_NO_SQARRAY)
		sq = 0;
	/* Of one that is mapped in one piece the kernel wants the whole. */
	return p->features & IORING_FEAT_SINGLE_MMAP && cq > sq ? cq : sq;
}

static void *map(int fd, size_t bytes, off_t what)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, what);

	return at == MAP_FAILED ? NULL : at;
}

void ring_close(struct ring *r)
{
	if (r->at)
		(void)munmap(r->at, r->bytes); /* it is a mapping of ours */
	if (r->sqes)
		(void)munmap(r->sqes, r->sqes_bytes); /* as above */
	memory_give(r);
}

static struct ring *ring_view(int fd, const struct io_uring_params *p)
{
	struct ring *r;

	if (p->flags & ~FLAGS_KNOWN)
		return NULL;
	r = memory_take(1, sizeof(*r));
	if (!r)
		return NULL;
	r->shift = p->flags & IORING_SETUP_SQE128 ? 1 : 0;
	r->entries = p->sq_entries;
	r->head_off = p->sq_off.head;
	r->tail_off = p->sq_off.tail;
	r->array_off = p->flags & SETUP_NO_SQARRAY ? 0 : p->sq_off.array;
	r->bytes = ring_bytes(p);
	r->sqes_bytes = (sizeof(struct io_uring_sqe) << r->shift) * r->entries;
	r->at = map(fd, r->bytes, (off_t)IORING_OFF_SQ_RING);
	r->sqes = map(fd, r->sqes_bytes, (off_t)IORING_OFF_SQES);
	if (r->at && r->sqes)
		return r;
	ring_close(r);
	return NULL;
}

void ring_opened(int fd, const struct io_uring_params *p)
{
	struct ring *r;
	struct file *f;
	int err = errno;

	kernel_closed(fd); /* the number: what it named was closed past us */
	r = ring_view(fd, p);
	f = r ? file_open(fd, FILE_KERNEL, AF_UNSPEC, -1) : NULL;
	if (f) {
		f->ring = r;
		/* KIND, writing end. */
		atomic_store_explicit(&f->kind, FILE_RING, memory_order_release);
	} else if (r) {
		ring_close(r);
	}
	if (!f)
		uring_leave("a queue that is not seen", false);
	errno = err;
}

void ring_forget(int fd)
{
	struct file *f = file_of(fd);

	if (f && file_kind(f) == FILE_RING && file_release(f, fd))
		file_end(f);
}

static uint32_t word_at(const struct ring *r, uint32_t off)
{
	/* Relaxed: what is between them was filled in by who calls, and the kernel takes it in a
	 * later call. */
	return atomic_load_explicit((const _Atomic uint32_t *)(const void *)(r->at + off),
				    memory_order_relaxed);
}

static void look(const struct ring *r, uint32_t to_submit)
{
	uint32_t head = word_at(r, r->head_off), left = word_at(r, r->tail_off) - head;
	struct chain chain = { 0 };

	if (left > r->entries)
		left = r->entries;
	if (left > to_submit)
		left = to_submit;
	for (; left > 0; left--, head++) {
		uint32_t at = head & (r->entries - 1);

		if (r->array_off)
			at = word_at(r, r->array_off + at * (uint32_t)sizeof(uint32_t));
		if (at < r->entries) /* else the kernel drops it */
			(void)sqe_look(
				(void *)(r->sqes + (sizeof(struct io_uring_sqe) << r->shift) * at),
				&chain); /* SQEs of two places: not FLAGS_KNOWN */
	}
}

void ring_look(int fd, unsigned int to_submit, unsigned int flags)
{
	struct file *f = flags & IORING_ENTER_REGISTERED_RING ? NULL : file_of(fd);

	if (to_submit == 0)
		return;
	if (f && file_kind(f) == FILE_RING && file_hold(f)) {
		look(f->ring, to_submit);
		file_let_go(f);
	} else {
		uring_leave("a queue that is not seen", false);
	}
}
