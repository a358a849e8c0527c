/* SPDX-License-Identifier: MIT */
/*
 * send.c - send(2), sendto(2), write(2): lengths, flags, errors, SIGPIPE.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

/* What came to the far end, in one line. */
static void far_got(struct pair *p)
{
	char buf[FAR_BYTES];
	size_t have = 0;
	long n;

	(void)shutdown(p->fd, SHUT_WR); /* so that it ends */
	while (have < sizeof(buf) && (n = far_recv(p, buf + have, sizeof(buf) - have)) > 0)
		have += (size_t)n;
	fact("far got %zu '%.*s'", have, (int)have, buf);
}

static void send_arrives(void)
{
	struct pair p = pair_open();

	CALL(send(p.fd, "hello", 5, 0));
	far_got(&p);
}

static void send_write_arrives(void)
{
	struct pair p = pair_open();

	CALL(write(p.fd, "hello", 5));
	CALL(write(p.fd, " world", 6));
	far_got(&p);
}

static void send_nothing(void)
{
	struct pair p = pair_open();

	CALL(send(p.fd, "", 0, 0));
	CALL(send(p.fd, NULL, 0, 0));
	CALL(write(p.fd, NULL, 0));
	CALL(send(p.fd, "x", 1, 0));
	far_got(&p);
}

static void send_bad_pointer(void)
{
	struct pair p = pair_open();

	CALL(send(p.fd, bad_pointer(), 4, 0));
	CALL(write(p.fd, bad_pointer(), 4));
	CALL(send(p.fd, "x", 1, 0));
	far_got(&p);
}

static void send_with_an_address(void)
{
	struct pair p = pair_open();
	struct sockaddr_in a = near_addr(9);

	CALL(sendto(p.fd, "abc", 3, 0, (struct sockaddr *)&a, sizeof(a)));
	CALL(sendto(p.fd, "def", 3, 0, NULL, 0));
	far_got(&p);
}

static void send_with_an_address_unconnected(void)
{
	struct sockaddr_in a = near_addr(9);
	int s = tcp_socket();

	CALL(sendto(s, "abc", 3, 0, (struct sockaddr *)&a, sizeof(a)));
	CALL(sigpipes());
}

static void send_harmless_flags(void)
{
	struct pair p = pair_open();

	CALL(send(p.fd, "a", 1, MSG_NOSIGNAL));
	CALL(send(p.fd, "b", 1, MSG_DONTWAIT));
	CALL(send(p.fd, "c", 1, MSG_EOR));
	CALL(send(p.fd, "d", 1, MSG_DONTROUTE));
	CALL(send(p.fd, "e", 1, MSG_CONFIRM));
	CALL(send(p.fd, "f", 1, MSG_ZEROCOPY));
	CALL(send(p.fd, "g", 1, 0x00800000));
	far_got(&p);
}

static void send_more(void)
{
	struct pair p = pair_open();

	CALL(send(p.fd, "one ", 4, MSG_MORE));
	CALL(send(p.fd, "two ", 4, MSG_MORE));
	CALL(send(p.fd, "three", 5, 0));
	far_got(&p);
}

static void send_more_is_flushed_by_shutdown(void)
{
	struct pair p = pair_open();

	CALL(send(p.fd, "held", 4, MSG_MORE));
	far_got(&p);
}

static void send_out_of_band(void)
{
	struct pair p = pair_open();

	CALL(send(p.fd, "ab", 2, 0));
	CALL(send(p.fd, "!", 1, MSG_OOB));
	CALL(send(p.fd, "cd", 2, 0));
	far_got(&p);
}

static void send_after_shutdown(void)
{
	struct pair p = pair_open();

	CALL(shutdown(p.fd, SHUT_WR));
	CALL(send(p.fd, "a", 1, 0));
	CALL(sigpipes());
	CALL(write(p.fd, "a", 1));
	CALL(sigpipes());
	CALL(send(p.fd, "a", 1, MSG_NOSIGNAL));
	CALL(sigpipes());
	CALL(send(p.fd, "", 0, MSG_NOSIGNAL));
}

static void send_to_one_that_has_closed(void)
{
	struct pair p = pair_open();

	(void)far_close(&p);
	(void)wait_for(p.fd, POLLRDHUP);
	CALL(send(p.fd, "a", 1, 0)); /* its host answers with a reset */
	wait_broken(p.fd);
	CALL(send(p.fd, "a", 1, 0));
	CALL(sigpipes());
	CALL(send(p.fd, "a", 1, 0));
	CALL(sigpipes());
	CALL(send(p.fd, "a", 1, MSG_NOSIGNAL));
	CALL(sigpipes());
}

static void send_to_one_that_has_reset(void)
{
	struct pair p = pair_open();

	(void)far_reset(&p);
	wait_broken(p.fd);
	CALL(send(p.fd, "a", 1, 0));
	CALL(sigpipes());
	CALL(send(p.fd, "a", 1, 0));
	CALL(sigpipes());
}

static void send_to_one_that_only_writes(void)
{
	struct pair p = pair_open();

	(void)far_shutdown(&p, SHUT_RD);
	CALL(send(p.fd, "abc", 3, 0));
	CALL(send(p.fd, "def", 3, 0));
	CALL(sigpipes());
}

static void send_to_one_that_has_finished_sending(void)
{
	struct pair p = pair_open();

	(void)far_shutdown(&p, SHUT_WR);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	CALL(send(p.fd, "still", 5, 0));
	far_got(&p);
}

static void send_waits_for_room(void)
{
	struct pair p = pair_open_small();

	far_start_drain(&p, 1 << 20);
	fact("sent %zu", pattern_send(p.fd, 0, 1 << 20, 65536));
	fact("drained %ld", far_finish(&p));
}

static void send_one_big_buffer(void)
{
	static uint8_t big[3 << 20];
	struct pair p = pair_open();

	pattern_fill(big, 0, sizeof(big));
	far_start_drain(&p, sizeof(big));
	CALL(send(p.fd, big, sizeof(big), 0));
	fact("drained %ld", far_finish(&p));
}

static void send_byte_by_byte(void)
{
	struct pair p = pair_open();

	fact("sent %zu", pattern_send(p.fd, 0, 3000, 1));
	fact("drained %ld", far_drain(&p, 3000));
}

static void send_dontwait_when_full(void)
{
	struct pair p = pair_open_small();

	fact("some: %d", fill(p.fd) > 0);
	CALL(send(p.fd, "a", 1, MSG_DONTWAIT));
	fact_ready(p.fd);
}

static void send_before_accept(void)
{
	uint16_t port;
	int l = listener_open(&port), c = client_open(port), s;
	char buf[8];

	CALL(send(c, "early", 5, 0));
	s = accept(l, NULL, NULL);
	fact_bytes("recv", recv(s, buf, 5, MSG_WAITALL), buf);
}

static void send_then_exit_arrives(void)
{
	struct ends e = ends_open();
	char buf[8];

	CALL(send(e.c, "last", 4, 0));
	CALL(close(e.c));
	fact_bytes("recv", recv(e.s, buf, 8, MSG_WAITALL), buf);
}

static void send_does_not_seek(void)
{
	struct pair p = pair_open();

	CALL(pwrite(p.fd, "a", 1, 0));
	CALL(pread(p.fd, &(char){ 0 }, 1, 0));
	CALL(lseek(p.fd, 0, SEEK_CUR));
	CALL(lseek(p.fd, 5, SEEK_SET));
}

const struct sem_case cases_send[] = {
	FAR_CASE(send_arrives),
	FAR_CASE(send_write_arrives),
	FAR_CASE(send_nothing),
	FAR_CASE(send_bad_pointer),
	FAR_CASE(send_with_an_address),
	CASE(send_with_an_address_unconnected),
	FAR_CASE(send_harmless_flags),
	FAR_CASE(send_more),
	FAR_CASE(send_more_is_flushed_by_shutdown),
	FAR_CASE(send_out_of_band),
	FAR_CASE(send_after_shutdown),
	FAR_CASE(send_to_one_that_has_closed),
	FAR_CASE(send_to_one_that_has_reset),
	FAR_CASE(send_to_one_that_only_writes),
	FAR_CASE(send_to_one_that_has_finished_sending),
	FAR_CASE(send_waits_for_room),
	FAR_CASE(send_one_big_buffer),
	FAR_CASE(send_byte_by_byte),
	FAR_CASE(send_dontwait_when_full),
	CASE(send_before_accept),
	CASE(send_then_exit_arrives),
	FAR_CASE(send_does_not_seek),
	CASES_END,
};
