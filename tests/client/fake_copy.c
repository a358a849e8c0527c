/* SPDX-License-Identifier: MIT */
/*
 * fake_copy.c - the fake daemon's copy workers: by hand, or in a thread of their own.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../ncd_test.h"
#include "fake_state.h"

static struct copy_piece_shm *piece_at(struct fake *f, uint32_t piece)
{
	return &copy_area_pieces(f->base + f->layout.copy_off)[piece];
}

/* With the lock held. */
static bool take(struct fake *f, uint32_t *ret_piece)
{
	uint64_t word;

	for (uint32_t i = 0; f->base && i < f->cfg.copy_workers; i++)
		while (ring_pop(&f->copy[i], &word) == 0) {
			uint32_t posted = COPY_POSTED;

			assert_true(word < NCD_COPY_PIECES);
			if (!atomic_compare_exchange_strong(&piece_at(f, (uint32_t)word)->state,
							    &posted, COPY_TAKEN))
				continue;
			*ret_piece = (uint32_t)word;
			return true;
		}
	return false;
}

bool fake_copy_take(struct fake *f, uint32_t *ret_piece)
{
	bool taken;

	pthread_mutex_lock(&f->lock);
	taken = take(f, ret_piece);
	pthread_mutex_unlock(&f->lock);
	return taken;
}

uint32_t fake_copy_queued(struct fake *f)
{
	uint32_t nr = 0;

	pthread_mutex_lock(&f->lock);
	for (uint32_t i = 0; i < f->cfg.copy_workers; i++)
		nr += atomic_load(&f->copy[i].shm->tail) - f->copy[i].own;
	pthread_mutex_unlock(&f->lock);
	return nr;
}

/* As far as the library's memory goes: this is the same process, and must not fault. */
static uint32_t copy(struct fake *f, const struct copy_piece_shm *p)
{
	uint32_t bytes = p->bytes, done = 0;
	uint8_t *user = (uint8_t *)(uintptr_t)p->address;

	assert_int_equal(p->segment, 1);
	assert_true(p->off + bytes <= FAKE_SEGMENT_BYTES);
	if (f->cfg.copy_plain) {
		if (p->way == COPY_IN)
			memcpy(f->segment + p->off, user, bytes);
		else
			memcpy(user, f->segment + p->off, bytes);
		return bytes;
	}
	while (done < bytes) {
		struct iovec ring = { f->segment + p->off + done, bytes - done };
		struct iovec own = { user + done, bytes - done };
		ssize_t n = p->way == COPY_IN
				    ? process_vm_readv(getpid(), &ring, 1, &own, 1, 0)
				    : process_vm_writev(getpid(), &ring, 1, &own, 1, 0);

		if (n <= 0)
			break;
		done += (uint32_t)n;
	}
	return done;
}

static void finish(struct fake *f, uint32_t piece, int error)
{
	struct copy_piece_shm *p = piece_at(f, piece);
	uint32_t copied = error == 0 ? copy(f, p) : 0;

	atomic_store(&p->copied, copied);
	atomic_store(&p->error, error == 0 && copied < p->bytes ? -EFAULT : error);
	if (atomic_exchange(&p->state, COPY_DONE) == COPY_WAITED)
		(void)syscall(SYS_futex, &p->state, FUTEX_WAKE, INT_MAX);
}

void fake_copy_finish(struct fake *f, uint32_t piece, int error)
{
	pthread_mutex_lock(&f->lock);
	finish(f, piece, error);
	pthread_mutex_unlock(&f->lock);
}

bool fake_copy_idle(struct fake *f)
{
	bool idle = true;

	pthread_mutex_lock(&f->lock);
	for (uint32_t i = 0; i < NCD_COPY_PIECES; i++) {
		uint32_t state = atomic_load(&piece_at(f, i)->state);

		idle &= state == COPY_FREE || state == COPY_DONE;
	}
	pthread_mutex_unlock(&f->lock);
	return idle;
}

static void *copier_run(void *arg)
{
	struct fake *f = arg;

	while (!atomic_load(&f->copy_stop)) {
		uint32_t piece;
		bool taken;

		pthread_mutex_lock(&f->lock);
		taken = take(f, &piece);
		if (taken)
			finish(f, piece, 0);
		pthread_mutex_unlock(&f->lock);
		if (taken)
			atomic_fetch_add(&f->copied, 1);
		else
			sched_yield();
	}
	return NULL;
}

void fake_copy_start(struct fake *f)
{
	f->copying = true;
	assert_int_equal(pthread_create(&f->copier, NULL, copier_run, f), 0);
}

uint32_t fake_copied(struct fake *f)
{
	return atomic_load(&f->copied);
}
