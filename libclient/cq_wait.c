/* SPDX-License-Identifier: MIT */
/*
 * cq_wait.c - waiting at a completion queue.
 *
 * Who waits sleeps on the queue's number, a futex, or in the kernel's epoll for its descriptor. Of
 * the latter there may be several: the doorbell wakes one, who rings on when he has taken what he
 * wants.
 *
 * Locks: cq.lock.
 */
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cq.h"

#define TOKENS_MAX 64 /* bytes in the descriptor; the kernel has room for more than 200 */

/* Announces sleep, to be ended by @how. False, and not announced, if there is something to do. */
static bool cq_arm_sleep(struct nc_cq *cq, uint32_t how)
{
	doorbell_arm_as(&cq->shm->need_wakeup, how);
	for (uint32_t w = 0; w < cq->att->layout.workers; w++)
		if (!ring_empty(&cq->ring[w]))
			goto err_awake;
	/* DOORBELL, waiter end. */
	if (atomic_load_explicit(&cq->ready_nr, memory_order_seq_cst) > 0 ||
	    attachment_dead(cq->att))
		goto err_awake;
	return true;

err_awake:
	doorbell_disarm(&cq->shm->need_wakeup);
	return false;
}

/* Sleeps until something may have come: 0, -EINTR, -ETIMEDOUT. */
static int cq_sleep(struct nc_cq *cq, uint64_t until_ns)
{
	/* DOORBELL, waiter end: before arming, so that the wake moves it. */
	uint32_t value = atomic_load_explicit(&cq->shm->seq, memory_order_seq_cst);
	int ret;

	if (!cq_arm_sleep(cq, DOORBELL_FUTEX))
		return 0;
	ret = futex_wait_shared(&cq->shm->seq, value, until_ns);
	doorbell_disarm(&cq->shm->need_wakeup);
	return ret;
}

static void fd_empty(struct nc_cq *cq)
{
	char bytes[2 * TOKENS_MAX];

	while (recv(cq->fd, bytes, sizeof(bytes), MSG_DONTWAIT) == sizeof(bytes))
		;
}

/*
 * The descriptor is watched by edges, so what is in it does not matter, if only there is room for
 * more: each sleep may leave a byte.
 */
bool cq_sleep_enter(struct nc_cq *cq)
{
	bool ret;

	lock_take(&cq->lock);
	if (cq->tokens >= TOKENS_MAX) {
		fd_empty(cq);
		cq->tokens = 0;
	}
	ret = cq_arm_sleep(cq, DOORBELL_FD);
	if (ret) {
		cq->tokens++;
		cq->sleepers++;
	}
	lock_release(&cq->lock);
	return ret;
}

void cq_sleep_leave(struct nc_cq *cq)
{
	lock_take(&cq->lock);
	/* Relaxed: it changes under cq->lock. */
	atomic_store_explicit(&cq->sleepers, cq->sleepers - 1, memory_order_relaxed);
	if (cq->sleepers == 0)
		doorbell_disarm(&cq->shm->need_wakeup);
	lock_release(&cq->lock);
}

void cq_pass_on(struct nc_cq *cq)
{
	/* Relaxed: who goes to sleep just now looks for himself. */
	if (atomic_load_explicit(&cq->sleepers, memory_order_relaxed) == 0)
		return;
	lock_take(&cq->lock);
	/* Of a dead one too: each who wakes leaves it, until nobody is left. */
	if (cq->sleepers > 0 && !cq_arm_sleep(cq, DOORBELL_FD))
		cq_wake(cq, DOORBELL_FD);
	lock_release(&cq->lock);
}

static bool weak_enter(struct nc_cq *cq, uint32_t how)
{
	lock_take(&cq->lock);
	cq->asleep = cq_arm_sleep(cq, how);
	lock_release(&cq->lock);
	return cq->asleep;
}

static void weak_leave(void *arg)
{
	struct nc_cq *cq = arg;

	lock_take(&cq->lock);
	cq->asleep = false;
	doorbell_disarm(&cq->shm->need_wakeup);
	lock_release(&cq->lock);
}

int cq_sleep_weak(struct nc_cq *cq, uint64_t until_ns)
{
	/* DOORBELL, waiter end: before arming, so that the wake moves it. */
	uint32_t value = atomic_load_explicit(&cq->shm->seq, memory_order_seq_cst);
	int type, ret;

	if (!weak_enter(cq, DOORBELL_FUTEX))
		return 0;
	pthread_cleanup_push(weak_leave, cq) /* opens a block */
	(void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type); /* cannot fail */
	ret = futex_wait_shared(&cq->shm->seq, value, until_ns);
	(void)pthread_setcanceltype(type, NULL); /* as above */
	pthread_cleanup_pop(1);
	return ret;
}

bool cq_sleep_weak_enter(struct nc_cq *cq)
{
	return weak_enter(cq, DOORBELL_FD);
}

void cq_sleep_weak_leave(struct nc_cq *cq, bool rung)
{
	weak_leave(cq);
	if (rung)
		fd_empty(cq);
}

int nc_cq_wait(struct nc_cq *cq, struct nc_event *events, int max, int timeout_ms)
{
	uint64_t until_ns = 0;
	int ret = 0;

	if (max <= 0)
		return -EINVAL;
	for (;;) {
		int n;

		n = cq_poll(cq, events, max);
		if (n > 0)
			return n;
		if (attachment_dead(cq->att))
			return -ECONNRESET;
		if (ret < 0)
			return ret == -ETIMEDOUT ? 0 : ret;
		if (timeout_ms == 0) {
			if (cq->fd < 0)
				return 0;
			/* Emptied before it is armed: a later byte stays in it. */
			fd_empty(cq);
			if (cq_arm_sleep(cq, DOORBELL_FD))
				return 0;
			continue;
		}
		if (until_ns == 0)
			until_ns = timeout_ms < 0 ? NC_FOREVER
						  : wait_until((uint64_t)timeout_ms * 1000000u);
		ret = cq_sleep(cq, until_ns);
	}
}

int nc_cq_fd(struct nc_cq *cq)
{
	struct ctl_number msg = { .head.type = CTL_CQFD, .number = cq->qp };
	int pair[2], ret;

	lock_take(&cq->lock);
	ret = cq->fd;
	if (ret < 0 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		ret = -errno;
	} else if (ret < 0) {
		ret = control_ask(cq->att, &msg, sizeof(msg), pair[1], NULL);
		if (ret == 0) {
			/* Readable: to be looked at once before it is trusted. */
			(void)send(pair[1], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
			cq->tokens = 1;
			cq->fd_peer = pair[1];
			ret = pair[0];
			cq->fd = ret;
		} else {
			close(pair[0]);
			close(pair[1]);
		}
	}
	lock_release(&cq->lock);
	return ret;
}
