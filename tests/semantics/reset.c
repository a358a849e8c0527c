/* SPDX-License-Identifier: MIT */
/*
 * reset.c - close(2), SO_LINGER, and resets: who hears what.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

static int linger(int s, int on, int seconds)
{
	struct linger l = { .l_onoff = on, .l_linger = seconds };

	return setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static void close_is_the_end_there(void)
{
	struct pair p = pair_open();
	char c;

	CALL(close(p.fd));
	CALL(far_recv(&p, &c, 1));
	CALL(far_recv(&p, &c, 1));
}

static void close_twice(void)
{
	struct pair p = pair_open();

	CALL(close(p.fd));
	CALL(close(p.fd));
}

static void close_frees_the_number(void)
{
	struct pair p = pair_open();
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd < p.fd)
		;
	CALL(close(p.fd));
	fd = open("/dev/null", O_RDWR);
	fact("same: %d", fd == p.fd);
	CALL(write(fd, "abc", 3));
	CALL(read(fd, &(char){ 0 }, 1));
	CALL(send(fd, "a", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void close_with_unread_bytes_is_a_reset(void)
{
	struct pair p = pair_open();
	char c;

	(void)far_send(&p, "unread");
	wait_bytes(p.fd, 6);
	CALL(close(p.fd));
	CALL(far_recv(&p, &c, 1));
	CALL(far_recv(&p, &c, 1));
}

static void close_there_with_unread_bytes_is_a_reset(void)
{
	struct pair p = pair_open();
	char c;

	CALL(send(p.fd, "unread", 6, 0));
	CALL(far_recv(&p, &c, 1)); /* they are there now; five stay */
	(void)far_close(&p);
	wait_broken(p.fd);
	CALL(recv(p.fd, &c, 1, 0));
	CALL(recv(p.fd, &c, 1, 0));
}

static void close_with_linger_0_is_a_reset(void)
{
	struct pair p = pair_open();
	char c;

	CALL(linger(p.fd, 1, 0));
	CALL(close(p.fd));
	CALL(far_recv(&p, &c, 1));
	CALL(far_recv(&p, &c, 1));
}

static void close_with_linger_off(void)
{
	struct pair p = pair_open();
	char c;

	CALL(linger(p.fd, 0, 5));
	CALL(close(p.fd));
	CALL(far_recv(&p, &c, 1));
}

static void close_with_linger_waits_for_the_bytes(void)
{
	struct pair p = pair_open();

	CALL(linger(p.fd, 1, 5));
	far_start_drain(&p, 1 << 20);
	fact("sent %zu", pattern_send(p.fd, 0, 1 << 20, 65536));
	CALL(close(p.fd));
	fact("drained %ld", far_finish(&p));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void close_lets_what_was_sent_arrive(void)
{
	struct pair p = pair_open();

	far_start_drain(&p, 1 << 20);
	fact("sent %zu", pattern_send(p.fd, 0, 1 << 20, 65536));
	CALL(close(p.fd));
	fact("drained %ld", far_finish(&p));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void close_after_both_finished(void)
{
	struct pair p = pair_open();

	(void)shutdown(p.fd, SHUT_WR);
	(void)far_close(&p);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	CALL(close(p.fd));
}

static void close_unconnected(void)
{
	CALL(close(tcp_socket()));
}

static void reset_is_told_once_by_recv(void)
{
	struct pair p = pair_open();
	char c;

	(void)far_reset(&p);
	wait_broken(p.fd);
	CALL(recv(p.fd, &c, 1, 0));
	CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
	CALL(recv(p.fd, &c, 1, 0));
	CALL(send(p.fd, "a", 1, MSG_NOSIGNAL));
}

static void reset_is_told_once_by_so_error(void)
{
	struct pair p = pair_open();
	char c;

	(void)far_reset(&p);
	wait_broken(p.fd);
	fact("error %s", strerrorname_np(option(p.fd, SOL_SOCKET, SO_ERROR)));
	CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
	CALL(recv(p.fd, &c, 1, 0));
	CALL(send(p.fd, "a", 1, MSG_NOSIGNAL));
}

static void reset_is_told_once_by_send(void)
{
	struct pair p = pair_open();

	(void)far_reset(&p);
	wait_broken(p.fd);
	CALL(send(p.fd, "a", 1, MSG_NOSIGNAL));
	CALL(send(p.fd, "a", 1, MSG_NOSIGNAL));
	CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
}

static void reset_events(void)
{
	struct pair p = pair_open();

	(void)far_reset(&p);
	wait_broken(p.fd);
	fact_ready(p.fd);
	fact_poll(p.fd, 0, 0);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	fact_ready(p.fd);
	fact_poll(p.fd, 0, 0);
}

static void reset_after_we_finished_sending(void)
{
	struct pair p = pair_open();
	char c;

	CALL(shutdown(p.fd, SHUT_WR));
	(void)far_recv(&p, &c, 1);
	(void)far_reset(&p);
	wait_broken(p.fd);
	CALL(recv(p.fd, &c, 1, 0));
	CALL(recv(p.fd, &c, 1, 0));
}

static void reset_after_they_finished_sending(void)
{
	struct pair p = pair_open();
	char c;

	(void)far_shutdown(&p, SHUT_WR);
	CALL(recv(p.fd, &c, 1, 0));
	(void)far_reset(&p);
	wait_broken(p.fd);
	CALL(recv(p.fd, &c, 1, 0));
	CALL(send(p.fd, "a", 1, 0));
	CALL(sigpipes());
	CALL(send(p.fd, "a", 1, 0));
	CALL(sigpipes());
}

static void reset_when_sending_to_a_closed_end(void)
{
	struct pair p = pair_open();

	(void)far_close(&p);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	fact_ready(p.fd);
	CALL(send(p.fd, "a", 1, 0));
	wait_broken(p.fd);
	fact_ready(p.fd);
	fact("error %s", strerrorname_np(option(p.fd, SOL_SOCKET, SO_ERROR)));
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
}

static void reset_of_a_full_sender(void)
{
	struct pair p = pair_open_small();

	(void)fill(p.fd);
	(void)far_reset(&p);
	wait_broken(p.fd);
	fact_ready(p.fd);
	CALL(send(p.fd, "a", 1, MSG_NOSIGNAL));
	CALL(send(p.fd, "a", 1, MSG_NOSIGNAL));
}

static void reset_both_at_once(void)
{
	struct pair p = pair_open();

	CALL(linger(p.fd, 1, 0));
	(void)far_reset(&p);
	CALL(close(p.fd));
}

const struct sem_case cases_reset[] = {
	FAR_CASE(close_is_the_end_there),
	FAR_CASE(close_twice),
	FAR_CASE(close_frees_the_number),
	FAR_CASE(close_with_unread_bytes_is_a_reset),
	FAR_CASE(close_there_with_unread_bytes_is_a_reset),
	FAR_CASE(close_with_linger_0_is_a_reset),
	FAR_CASE(close_with_linger_off),
	FAR_CASE(close_with_linger_waits_for_the_bytes),
	FAR_CASE(close_lets_what_was_sent_arrive),
	FAR_CASE(close_after_both_finished),
	CASE(close_unconnected),
	FAR_CASE(reset_is_told_once_by_recv),
	FAR_CASE(reset_is_told_once_by_so_error),
	FAR_CASE(reset_is_told_once_by_send),
	FAR_CASE(reset_events),
	FAR_CASE(reset_after_we_finished_sending),
	FAR_CASE(reset_after_they_finished_sending),
	FAR_CASE(reset_when_sending_to_a_closed_end),
	FAR_CASE(reset_of_a_full_sender),
	FAR_CASE(reset_both_at_once),
	CASES_END,
};
