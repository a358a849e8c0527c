/* SPDX-License-Identifier: MIT */
/*
 * exit.c - a process that ends without nc_close: exit() and return from main close what is open, so
 * that the last bytes arrive and the peer sees the end of the stream, as with kernel sockets.
 *
 * Not for _exit() and signals: nothing runs then, and the peers see a reset.
 */
#include <sched.h>
#include <sys/eventfd.h>

#include "process.h"
#include "sock_calls.h"

#define EXIT_LIMIT_NS 500000000u /* for a worker whose queue is full: it hangs, and we must not */

/* port_submit with a limit; other threads may still run, and one may have died in a lock. */
static void exit_submit(struct app_port *p, uint64_t word)
{
	uint64_t end_ns = clock_now_ns() + EXIT_LIMIT_NS;

	while (!attachment_dead(p->att) && clock_now_ns() < end_ns) {
		int ret = -EAGAIN;

		if (lock_try(&p->sq_lock)) {
			ret = ring_push(&p->sq, word);
			ring_publish(&p->sq);
			if (doorbell_due(p->need_wakeup))
				(void)eventfd_write(p->doorbell_fd, 1); /* full: awake */
			lock_release(&p->sq_lock);
		}
		if (ret == 0)
			return;
		(void)sched_yield(); /* cannot fail */
	}
}

static void exit_socket(struct nc_sock *s, void *arg)
{
	struct slot_shm *slot = sock_slot(s);
	uint32_t close_arg = sock_is_common(s)               ? CLOSE_LET_GO
			     : s->linger && s->linger_s == 0 ? CLOSE_ABORT
							     : CLOSE_GRACEFUL;

	(void)arg;
	/* CLOSING, closer's end: one that is being closed already is left to its closer. */
	if (!slot || atomic_exchange_explicit(&s->closing, true, memory_order_seq_cst))
		return;
	/* If it has moved, its slot's closing is not heard where it is. */
	if (flag_get(&s->lent) && close_arg == CLOSE_GRACEFUL)
		lend_share(s);
	exit_submit(s->port, sq_word(SQ_CLOSE, s->slot_nr, close_arg));
}

void exit_close_sockets(void)
{
	process_each_socket(exit_socket, NULL, NULL);
}
