/* SPDX-License-Identifier: MIT */
/*
 * uring.c - io_uring's poll of a socket: readiness that no call of libc sees.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

static bool ring_open(struct io_uring *ring)
{
	int r = io_uring_queue_init(8, ring, 0);

	if (r < 0)
		fact("no io_uring here"); /* then on both sides of the comparison */
	return r == 0;
}

static void ring_poll(struct io_uring *ring, int fd, unsigned events)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		return; /* the wait that follows does not end, and the case fails */
	io_uring_prep_poll_add(sqe, fd, events);
	(void)io_uring_submit(ring); /* judged by the completion */
}

static void ring_wait(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	char name[EVENTS_LEN];

	if (io_uring_wait_cqe(ring, &cqe) < 0) {
		fact("no completion");
		return;
	}
	if (cqe->res < 0)
		fact("uring poll: %s", strerrorname_np(-cqe->res));
	else
		fact("uring poll: %s", events_name((uint32_t)cqe->res, name));
	io_uring_cqe_seen(ring, cqe);
}

static void uring_poll_for_bytes(void)
{
	struct io_uring ring;
	struct pair p = pair_open();
	struct io_uring_cqe *cqe;

	if (!ring_open(&ring))
		return;
	ring_poll(&ring, p.fd, POLLIN);
	fact("none yet %d", io_uring_peek_cqe(&ring, &cqe) == -EAGAIN);
	(void)far_send(&p, "x");
	ring_wait(&ring);
	ring_poll(&ring, p.fd, POLLIN | POLLOUT);
	ring_wait(&ring);
}

static void uring_poll_for_the_end(void)
{
	struct io_uring ring;
	struct pair p = pair_open();

	if (!ring_open(&ring))
		return;
	(void)far_shutdown(&p, SHUT_WR);
	(void)wait_for(p.fd, POLLRDHUP);
	ring_poll(&ring, p.fd, POLLIN | POLLRDHUP);
	ring_wait(&ring);
}

static void uring_poll_of_a_listener(void)
{
	struct io_uring ring;
	uint16_t port;
	int l = listener_open(&port);

	if (!ring_open(&ring))
		return;
	ring_poll(&ring, l, POLLIN);
	(void)client_open(port);
	ring_wait(&ring);
	CALL(accept(l, NULL, NULL) >= 0);
}

const struct sem_case cases_uring[] = {
	FAR_CASE(uring_poll_for_bytes),
	FAR_CASE(uring_poll_for_the_end),
	CASE(uring_poll_of_a_listener),
	CASES_END,
};
