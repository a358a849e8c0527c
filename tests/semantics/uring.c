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
	ring_poll(&ring, l, POLLIN);
	(void)client_open(port);
	ring_wait(&ring);
	CALL(accept(l, NULL, NULL) >= 0);
}

/* Accepted by io_uring itself: there is no call to see. Made @first, or listening first. */
static void accepts_by_ring(bool first)
{
	struct io_uring ring;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe = NULL;
	uint16_t port;
	int l = first ? -1 : listener_open(&port), c;

	if (!ring_open(&ring))
		return;
	if (first)
		l = listener_open(&port);
	for (int i = 0; i < 2; i++) {
		sqe = io_uring_get_sqe(&ring);
		if (!sqe)
			return;
		io_uring_prep_accept(sqe, l, NULL, NULL, 0);
		(void)io_uring_submit(&ring); /* judged by the completion */
		c = client_open(port);
		CALL(send(c, "x", 1, 0));
		if (io_uring_wait_cqe(&ring, &cqe) < 0)
			return;
		fact("accepted %d", cqe->res >= 0);
		CALL(recv(cqe->res, &(char){ 0 }, 1, 0));
		io_uring_cqe_seen(&ring, cqe);
	}
}

static void uring_accepts(void)
{
	accepts_by_ring(false);
}

static void uring_accepts_at_a_later_listener(void)
{
	accepts_by_ring(true);
}

/* A program that has one for its files, and waits for clients as others do. */
static void uring_beside_a_poll(void)
{
	struct io_uring ring;
	uint16_t port;
	int l, c, s;

	if (!ring_open(&ring))
		return;
	l = listener_open(&port);
	fact_poll(l, POLLIN, 0);
	for (int i = 0; i < 2; i++) {
		c = client_open(port);
		fact_poll(l, POLLIN, WAIT_MS);
		s = accept(l, NULL, NULL);
		CALL(send(c, "x", 1, 0));
		CALL(recv(s, &(char){ 0 }, 1, 0));
	}
	set_nonblocking(l, true);
	CALL(accept(l, NULL, NULL));
}

const struct sem_case cases_uring[] = {
	FAR_CASE(uring_poll_for_bytes),
	FAR_CASE(uring_poll_for_the_end),
	CASE(uring_poll_of_a_listener),
	CASE(uring_accepts),
	CASE(uring_accepts_at_a_later_listener),
	CASE(uring_beside_a_poll),
	CASES_END,
};
