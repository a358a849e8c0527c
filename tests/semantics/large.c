/* SPDX-License-Identifier: MIT */
/*
 * large.c - long transfers in odd pieces, every byte checked.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "sem.h"

static void large_sent(size_t len, size_t chunk)
{
	struct pair p = pair_open();

	far_start_drain(&p, len);
	fact("sent %zu", pattern_send(p.fd, 0, len, chunk));
	CALL(shutdown(p.fd, SHUT_WR));
	fact("drained %ld", far_finish(&p));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void large_received(size_t len, size_t chunk)
{
	struct pair p = pair_open();

	far_start_pump(&p, len);
	far_start_close(&p);
	fact("received %zu", pattern_recv(p.fd, 0, len, chunk));
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	fact("sent %ld", far_finish(&p));
}

static void large_sent_in_big_pieces(void)
{
	large_sent(16 << 20, 65536);
}

static void large_sent_in_odd_pieces(void)
{
	large_sent(5000011, 4097);
}

static void large_sent_in_small_pieces(void)
{
	large_sent(600000, 61);
}

static void large_received_in_big_pieces(void)
{
	large_received(16 << 20, 65536);
}

static void large_received_in_odd_pieces(void)
{
	large_received(5000011, 3331);
}

static void large_received_in_small_pieces(void)
{
	large_received(600000, 61);
}

static void large_through_small_buffers(void)
{
	struct pair p = pair_open_small();

	far_start_drain(&p, 2 << 20);
	fact("sent %zu", pattern_send(p.fd, 0, 2 << 20, 65536));
	fact("drained %ld", far_finish(&p));
	far_start_pump(&p, 2 << 20);
	fact("received %zu", pattern_recv(p.fd, 0, 2 << 20, 1000));
	(void)far_finish(&p);
}

/* One thread, both ends, nothing blocks: what comes back is what went out. */
static void large_both_ways_by_poll(void)
{
	enum {
		ALL = 2 << 20
	};
	struct pair p = pair_open();
	uint8_t out[8000], in[8000];
	size_t sent = 0, got = 0;
	bool right = true;
	ssize_t n;

	far_start_echo(&p);
	set_nonblocking(p.fd, true);
	while (got < ALL && right) {
		int r = wait_for(p.fd, POLLIN | (sent < ALL ? POLLOUT : 0));

		if (r == 0)
			break;
		if (r & POLLOUT && sent < ALL) {
			size_t want = ALL - sent < sizeof(out) ? ALL - sent : sizeof(out);

			pattern_fill(out, sent, want);
			n = send(p.fd, out, want, 0);
			sent += n > 0 ? (size_t)n : 0;
		}
		if (r & POLLIN) {
			n = recv(p.fd, in, sizeof(in), 0);
			right = n > 0 && pattern_is(in, got, (size_t)n);
			got += n > 0 ? (size_t)n : 0;
		}
	}
	fact("sent %zu got %zu right %d", sent, got, right);
	CALL(shutdown(p.fd, SHUT_WR));
	(void)wait_for(p.fd, POLLIN);
	CALL(recv(p.fd, in, 1, 0));
	fact("echoed %ld", far_finish(&p));
}

static void large_over_many_sockets(void)
{
	enum {
		MANY = 40,
		EACH = 40000
	};
	struct ends e[MANY];
	size_t right = 0;

	for (int i = 0; i < MANY; i++) {
		e[i] = ends_open();
		right += pattern_send(e[i].c, (uint64_t)i, EACH, 7001);
	}
	fact("sent %zu", right);
	right = 0;
	for (int i = MANY - 1; i >= 0; i--)
		right += pattern_recv(e[i].s, (uint64_t)i, EACH, 5003);
	fact("received %zu", right);
}

static void large_many_short_connections(void)
{
	uint16_t port;
	int l = listener_open(&port);
	size_t right = 0;

	for (int i = 0; i < 150; i++) {
		int c = client_open(port), s;

		right += pattern_send(c, 0, 3000, 3000);
		(void)close(c);
		s = accept(l, NULL, NULL);
		right += pattern_recv(s, 0, 3000, 3000);
		right += recv(s, &(char){ 0 }, 1, 0) == 0;
		(void)close(s);
	}
	fact("right %zu of %d", right, 150 * 6001);
}

const struct sem_case cases_large[] = {
	FAR_CASE(large_sent_in_big_pieces),
	FAR_CASE(large_sent_in_odd_pieces),
	FAR_CASE(large_sent_in_small_pieces),
	FAR_CASE(large_received_in_big_pieces),
	FAR_CASE(large_received_in_odd_pieces),
	FAR_CASE(large_received_in_small_pieces),
	FAR_CASE(large_through_small_buffers),
	FAR_CASE(large_both_ways_by_poll),
	CASE(large_over_many_sockets),
	CASE(large_many_short_connections),
	CASES_END,
};
