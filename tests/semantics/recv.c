/* SPDX-License-Identifier: MIT */
/*
 * recv.c - recv(2), recvfrom(2), read(2): lengths, the end, errors.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sem.h"

static void recv_what_was_sent(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "hello");
	wait_bytes(p.fd, 5);
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
	(void)far_send(&p, "world");
	wait_bytes(p.fd, 5);
	fact_bytes("read", read(p.fd, buf, sizeof(buf)), buf);
}

static void recv_blocks_until_there_is_something(void)
{
	struct pair p = pair_open();
	char buf[16];

	far_start_send(&p, "x");
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
	(void)far_finish(&p);
}

static void recv_in_parts(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "abcdefgh");
	wait_bytes(p.fd, 8);
	fact_bytes("recv", recv(p.fd, buf, 3, 0), buf);
	fact_bytes("read", read(p.fd, buf, 1), buf);
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
}

static void recv_joins_what_was_sent_apart(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "ab");
	(void)far_send(&p, "cd");
	(void)far_send(&p, "ef");
	wait_bytes(p.fd, 6);
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
}

static void recv_the_end(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "bye");
	(void)far_close(&p);
	fact_bytes("recv", recv(p.fd, buf, 3, MSG_WAITALL), buf);
	CALL(recv(p.fd, buf, sizeof(buf), 0));
	CALL(recv(p.fd, buf, sizeof(buf), 0));
	CALL(read(p.fd, buf, sizeof(buf)));
	CALL(recv(p.fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(recv(p.fd, buf, sizeof(buf), MSG_PEEK));
}

static void recv_the_end_of_a_half(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_shutdown(&p, SHUT_WR);
	CALL(recv(p.fd, buf, sizeof(buf), 0));
	CALL(send(p.fd, "a", 1, 0));
	CALL(recv(p.fd, buf, sizeof(buf), 0));
}

static void recv_no_room(void)
{
	struct pair p = pair_open();
	char buf[16];

	CALL(recv(p.fd, buf, 0, MSG_DONTWAIT));
	(void)far_send(&p, "ab");
	wait_bytes(p.fd, 2);
	CALL(recv(p.fd, buf, 0, 0));
	CALL(recv(p.fd, NULL, 0, 0));
	CALL(read(p.fd, buf, 0));
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
	(void)far_close(&p);
	(void)wait_for(p.fd, POLLIN);
	CALL(recv(p.fd, buf, 0, 0));
}

static void recv_dontwait_nothing(void)
{
	struct pair p = pair_open();
	char buf[16];

	CALL(recv(p.fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(recv(p.fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK));
	CALL(recv(p.fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_WAITALL));
}

static void recv_bad_pointer(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "ab");
	wait_bytes(p.fd, 2);
	CALL(recv(p.fd, bad_pointer(), 2, 0));
	CALL(read(p.fd, bad_pointer(), 2));
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
}

static void recv_after_our_shutdown(void)
{
	struct pair p = pair_open();
	char buf[16];

	CALL(shutdown(p.fd, SHUT_RD));
	CALL(recv(p.fd, buf, sizeof(buf), 0));
	CALL(recv(p.fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(send(p.fd, "a", 1, 0));
}

static void recv_after_our_shutdown_what_was_there(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "there");
	wait_bytes(p.fd, 5);
	CALL(shutdown(p.fd, SHUT_RD));
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
	CALL(recv(p.fd, buf, sizeof(buf), 0));
}

static void recv_from_gives_no_address(void)
{
	struct pair p = pair_open();
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	char buf[16];

	memset(&a, 0x55, sizeof(a));
	(void)far_send(&p, "ab");
	fact_bytes("recvfrom", recvfrom(p.fd, buf, 1, 0, (struct sockaddr *)&a, &len), buf);
	fact("length %d untouched %d", (int)len, a.sin_addr.s_addr == 0x55555555);
	fact_bytes("recvfrom", recvfrom(p.fd, buf, 1, 0, NULL, NULL), buf);
}

static void recv_out_of_band_when_none(void)
{
	struct pair p = pair_open();
	char c;

	CALL(recv(p.fd, &c, 1, MSG_OOB));
	CALL(recv(p.fd, &c, 1, MSG_ERRQUEUE));
	CALL(recv(p.fd, &c, 1, MSG_ERRQUEUE | MSG_DONTWAIT));
}

static void recv_after_a_reset(void)
{
	struct pair p = pair_open();
	char c;

	(void)far_reset(&p);
	wait_broken(p.fd);
	CALL(recv(p.fd, &c, 1, 0));
	CALL(recv(p.fd, &c, 1, 0));
	CALL(recv(p.fd, &c, 1, MSG_DONTWAIT));
}

static void recv_what_came_before_a_reset(void)
{
	struct pair p = pair_open();
	char buf[16];

	(void)far_send(&p, "data");
	wait_bytes(p.fd, 4);
	(void)far_reset(&p);
	wait_broken(p.fd);
	fact_bytes("recv", recv(p.fd, buf, sizeof(buf), 0), buf);
	CALL(recv(p.fd, buf, sizeof(buf), 0));
	CALL(recv(p.fd, buf, sizeof(buf), 0));
}

static void recv_all_that_was_sent_before_close(void)
{
	struct pair p = pair_open();

	far_start_pump(&p, 1 << 20);
	far_start_close(&p);
	fact("received %zu", pattern_recv(p.fd, 0, 1 << 20, 10000));
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	fact("sent %ld", far_finish(&p));
	fact("closed %ld", far_finish(&p));
}

static void recv_lowat_is_met(void)
{
	struct pair p = pair_open();
	char buf[16];

	CALL(set_option(p.fd, SOL_SOCKET, SO_RCVLOWAT, 4));
	far_start_send(&p,
		       "abcd"); /* at once: the kernel forgets to wake for the rest of two halves */
	fact_bytes("recv", recv(p.fd, buf, 4, 0), buf);
	(void)far_finish(&p);
}

static void recv_lowat_and_poll(void)
{
	struct pair p = pair_open();

	CALL(set_option(p.fd, SOL_SOCKET, SO_RCVLOWAT, 4));
	(void)far_send(&p, "ab");
	wait_bytes(p.fd, 2);
	fact_ready(p.fd);
	(void)far_send(&p, "cd");
	(void)wait_for(p.fd, POLLIN);
	fact_ready(p.fd);
}

static void recv_lowat_and_the_end(void)
{
	struct pair p = pair_open();
	char buf[16];

	CALL(set_option(p.fd, SOL_SOCKET, SO_RCVLOWAT, 8));
	(void)far_send(&p, "ab");
	(void)far_close(&p);
	fact_bytes("recv", recv(p.fd, buf, 8, 0), buf);
	CALL(recv(p.fd, buf, 8, 0));
}

static void recv_crosses_send(void)
{
	struct pair p = pair_open();
	char buf[8];

	(void)far_send(&p, "to you");
	CALL(send(p.fd, "to me", 5, 0));
	CALL(far_recv(&p, buf, 5));
	fact_bytes("recv", recv(p.fd, buf, 6, MSG_WAITALL), buf);
}

static void recv_a_thousand_small_ones(void)
{
	struct pair p = pair_open();
	int n = 0, have;

	far_start_echo(&p);
	for (n = 0; n < 1000; n++) {
		char out[3] = { (char)n, (char)(n >> 8), 'x' }, in[3];

		if (send(p.fd, out, 3, 0) != 3 || recv(p.fd, in, 3, MSG_WAITALL) != 3 ||
		    memcmp(out, in, 3) != 0)
			break;
	}
	fact("round trips %d", n);
	(void)ioctl(p.fd, FIONREAD, &have);
	fact("left %d", have);
}

const struct sem_case cases_recv[] = {
	FAR_CASE(recv_what_was_sent),
	FAR_CASE(recv_blocks_until_there_is_something),
	FAR_CASE(recv_in_parts),
	FAR_CASE(recv_joins_what_was_sent_apart),
	FAR_CASE(recv_the_end),
	FAR_CASE(recv_the_end_of_a_half),
	FAR_CASE(recv_no_room),
	FAR_CASE(recv_dontwait_nothing),
	FAR_CASE(recv_bad_pointer),
	FAR_CASE(recv_after_our_shutdown),
	FAR_CASE(recv_after_our_shutdown_what_was_there),
	FAR_CASE(recv_from_gives_no_address),
	FAR_CASE(recv_out_of_band_when_none),
	FAR_CASE(recv_after_a_reset),
	FAR_CASE(recv_what_came_before_a_reset),
	FAR_CASE(recv_all_that_was_sent_before_close),
	FAR_CASE(recv_lowat_is_met),
	FAR_CASE(recv_lowat_and_poll),
	FAR_CASE(recv_lowat_and_the_end),
	FAR_CASE(recv_crosses_send),
	FAR_CASE(recv_a_thousand_small_ones),
	CASES_END,
};
