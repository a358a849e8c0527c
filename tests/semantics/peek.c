/* SPDX-License-Identifier: MIT */
/*
 * peek.c - MSG_PEEK, MSG_WAITALL, MSG_TRUNC.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "sem.h"

static void peek_leaves_the_bytes(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "hello");
	wait_bytes(p.fd, 5);
	fact_bytes("peek", recv(p.fd, buf, sizeof(buf), MSG_PEEK), buf);
	fact_bytes("peek", recv(p.fd, buf, 2, MSG_PEEK), buf);
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
	CALL(recv(p.fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT));
}

static void peek_blocks_until_there_is_something(void)
{
	struct pair p = pair_open();
	char buf[16];

	far_start_send(&p, "x");
	fact_bytes("peek", recv(p.fd, buf, sizeof(buf), MSG_PEEK), buf);
	(void)far_finish(&p);
	fact_ready(p.fd);
}

static void peek_does_not_change_fionread(void)
{
	struct pair p = pair_open();
	char buf[16];
	int n = -1;

	(void)far_send(&p, "hello");
	wait_bytes(p.fd, 5);
	CALL(recv(p.fd, buf, 3, MSG_PEEK));
	CALL(ioctl(p.fd, FIONREAD, &n));
	fact("there %d", n);
}

static void peek_the_end(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "z");
	(void)far_close(&p);
	(void)wait_for(p.fd, POLLRDHUP);
	fact_bytes("peek", recv(p.fd, buf, sizeof(buf), MSG_PEEK), buf);
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
	CALL(recv(p.fd, buf, sizeof(buf), MSG_PEEK));
	CALL(recv(p.fd, buf, sizeof(buf), 0));
}

static void peek_after_a_reset(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_reset(&p);
	wait_broken(p.fd);
	CALL(recv(p.fd, buf, sizeof(buf), MSG_PEEK));
	CALL(recv(p.fd, buf, sizeof(buf), MSG_PEEK));
}

static void peek_and_waitall(void)
{
	struct pair p = pair_open();
	char buf[16];

	far_start_send(&p, "abc");
	far_start_send(&p, "def");
	fact_bytes("peek", recv(p.fd, buf, 6, MSG_PEEK | MSG_WAITALL), buf);
	fact_bytes("recv", recv(p.fd, buf, 6, MSG_WAITALL), buf);
	(void)far_finish(&p);
	(void)far_finish(&p);
}

static void peek_many_times_through_a_stream(void)
{
	struct pair p = pair_open();
	uint8_t a[700], b[700];
	int same = 0;

	far_start_pump(&p, 70000);
	for (int i = 0; i < 100; i++) {
		(void)recv(p.fd, a, sizeof(a), MSG_PEEK | MSG_WAITALL); /* compared below */
		if (recv(p.fd, b, sizeof(b), MSG_WAITALL) == sizeof(b))
			same += memcmp(a, b, sizeof(a)) == 0 &&
				pattern_is(a, (uint64_t)i * 700, 700);
	}
	fact("same %d", same);
	(void)far_finish(&p);
}

static void waitall_waits_for_all(void)
{
	struct pair p = pair_open();
	struct timeval limit = { .tv_usec = 60000 };
	char buf[16];
	int64_t begin;

	/* What waits for all waits although there is something: however slow the far end is. */
	(void)far_send(&p, "abc");
	wait_bytes(p.fd, 3);
	CALL(setsockopt(p.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	begin = now_ms();
	fact_bytes("recv", recv(p.fd, buf, 9, MSG_WAITALL), buf);
	fact("waited %d", now_ms() - begin >= 50);
	limit.tv_usec = 0;
	CALL(setsockopt(p.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	far_start_send(&p, "abc");
	far_start_send(&p, "def");
	far_start_send(&p, "ghi");
	fact_bytes("recv", recv(p.fd, buf, 9, MSG_WAITALL), buf);
	for (int i = 0; i < 3; i++)
		(void)far_finish(&p);
}

static void waitall_leaves_what_is_more(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "abcdef");
	wait_bytes(p.fd, 6);
	fact_bytes("recv", recv(p.fd, buf, 4, MSG_WAITALL), buf);
	fact_bytes("recv", recv(p.fd, buf, 4, 0), buf);
}

static void waitall_ends_early_at_the_end(void)
{
	struct pair p = pair_open();
	char buf[16];

	far_start_send(&p, "abc");
	far_start_close(&p);
	fact_bytes("recv", recv(p.fd, buf, 9, MSG_WAITALL), buf);
	CALL(recv(p.fd, buf, 9, MSG_WAITALL));
	(void)far_finish(&p);
	(void)far_finish(&p);
}

static void waitall_does_not_wait_if_told_not_to(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "abc");
	wait_bytes(p.fd, 3);
	fact_bytes("recv", recv(p.fd, buf, 9, MSG_WAITALL | MSG_DONTWAIT), buf);
	(void)far_send(&p, "def");
	wait_bytes(p.fd, 3);
	set_nonblocking(p.fd, true);
	fact_bytes("recv", recv(p.fd, buf, 9, MSG_WAITALL), buf);
	CALL(recv(p.fd, buf, 9, MSG_WAITALL));
}

static void waitall_more_than_any_buffer(void)
{
	static uint8_t big[4 << 20];
	struct pair p = pair_open_small();

	far_start_pump(&p, sizeof(big));
	CALL(recv(p.fd, big, sizeof(big), MSG_WAITALL));
	fact("right %d", pattern_is(big, 0, sizeof(big)));
	(void)far_finish(&p);
}

static void trunc_throws_away(void)
{
	struct pair p = pair_open();
	char buf[16] = "untouched";

	(void)far_send(&p, "abcdef");
	wait_bytes(p.fd, 6);
	CALL(recv(p.fd, buf, 4, MSG_TRUNC));
	fact("buffer '%s'", buf);
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
}

static void trunc_without_a_buffer(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "abcdef");
	wait_bytes(p.fd, 6);
	CALL(recv(p.fd, NULL, 5, MSG_TRUNC));
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
}

static void trunc_and_waitall(void)
{
	struct pair p = pair_open();
	char buf[16];

	far_start_send(&p, "abc");
	far_start_send(&p, "def");
	CALL(recv(p.fd, buf, 6, MSG_TRUNC | MSG_WAITALL));
	CALL(recv(p.fd, buf, 6, MSG_DONTWAIT));
	(void)far_finish(&p);
	(void)far_finish(&p);
}

static void trunc_and_peek(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "abcdef");
	wait_bytes(p.fd, 6);
	CALL(recv(p.fd, buf, 4, MSG_TRUNC | MSG_PEEK));
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
}

const struct sem_case cases_peek[] = {
	FAR_CASE(peek_leaves_the_bytes),
	FAR_CASE(peek_blocks_until_there_is_something),
	FAR_CASE(peek_does_not_change_fionread),
	FAR_CASE(peek_the_end),
	FAR_CASE(peek_after_a_reset),
	FAR_CASE(peek_and_waitall),
	FAR_CASE(peek_many_times_through_a_stream),
	FAR_CASE(waitall_waits_for_all),
	FAR_CASE(waitall_leaves_what_is_more),
	FAR_CASE(waitall_ends_early_at_the_end),
	FAR_CASE(waitall_does_not_wait_if_told_not_to),
	FAR_CASE(waitall_more_than_any_buffer),
	FAR_CASE(trunc_throws_away),
	FAR_CASE(trunc_without_a_buffer),
	FAR_CASE(trunc_and_waitall),
	FAR_CASE(trunc_and_peek),
	CASES_END,
};
