/* SPDX-License-Identifier: MIT */
/*
 * dup.c - dup(2) and its family: one socket, several numbers.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "sem.h"

static void dup_reads_the_same(void)
{
	struct pair p = pair_open();
	char buf[8];
	int d = dup(p.fd);

	(void)far_send(&p, "abcd");
	wait_bytes(d, 4);
	fact_bytes("recv", recv(d, buf, 2, 0), buf);
	fact_bytes("recv", recv(p.fd, buf, 2, 0), buf);
	CALL(send(d, "x", 1, 0));
	CALL(send(p.fd, "y", 1, 0));
}

static void dup_the_end_comes_with_the_last(void)
{
	struct pair p = pair_open();
	char buf[8];
	int d = dup(p.fd);

	CALL(close(p.fd));
	CALL(send(d, "ab", 2, 0));
	CALL(far_recv(&p, buf, 2));
	CALL(close(d));
	CALL(far_recv(&p, buf, 2));
}

static void dup_closed_original_is_wrong(void)
{
	struct pair p = pair_open();
	int d = dup(p.fd);

	CALL(close(p.fd));
	CALL(send(p.fd, "a", 1, 0));
	CALL(send(d, "a", 1, 0));
}

static void dup2_over_a_socket_closes_it(void)
{
	struct pair p = pair_open();
	int fd = open("/dev/null", O_RDWR);

	CALL(dup2(fd, p.fd) == p.fd);
	CALL(far_recv(&p, &(char){ 0 }, 1));
	CALL(send(p.fd, "a", 1, 0));
	CALL(write(p.fd, "a", 1));
}

static void dup2_of_a_socket_over_a_file(void)
{
	struct pair p = pair_open();
	int fd = open("/dev/null", O_RDWR);

	CALL(write(fd, "a", 1));
	CALL(dup2(p.fd, fd) == fd);
	CALL(close(p.fd));
	CALL(write(fd, "b", 1));
	CALL(far_recv(&p, &(char){ 0 }, 1));
	CALL(close(fd));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void dup2_of_a_socket_over_a_socket(void)
{
	struct ends a = ends_open(), b = ends_open();

	CALL(dup2(a.c, b.c) == b.c);
	CALL(recv(b.s, &(char){ 0 }, 1, 0));
	CALL(send(b.c, "x", 1, 0));
	CALL(recv(a.s, &(char){ 0 }, 1, 0));
}

static void dup2_same(void)
{
	struct pair p = pair_open();

	CALL(dup2(p.fd, p.fd) == p.fd);
	CALL(send(p.fd, "a", 1, 0));
	CALL(dup3(p.fd, p.fd, 0));
}

static void dup_wrong(void)
{
	struct pair p = pair_open();
	int closed = dup(p.fd);

	(void)close(closed);
	CALL(dup(closed));
	CALL(dup(-1));
	CALL(dup2(closed, p.fd));
	CALL(dup2(p.fd, -1));
	CALL(dup3(p.fd, 100, 0x1234));
	CALL(fcntl(p.fd, F_DUPFD, -1));
	CALL(send(p.fd, "a", 1, 0));
}

static void dup_close_on_exec(void)
{
	struct pair p = pair_open();

	CALL(fcntl(dup(p.fd), F_GETFD));
	CALL(fcntl(dup3(p.fd, 100, O_CLOEXEC), F_GETFD));
	CALL(fcntl(dup3(p.fd, 101, 0), F_GETFD));
	CALL(fcntl(fcntl(p.fd, F_DUPFD_CLOEXEC, 0), F_GETFD));
	CALL(fcntl(p.fd, F_SETFD, FD_CLOEXEC));
	CALL(fcntl(dup(p.fd), F_GETFD));
}

static void dup_at_least(void)
{
	struct pair p = pair_open();

	CALL(fcntl(p.fd, F_DUPFD, 200));
	CALL(fcntl(p.fd, F_DUPFD, 200));
	CALL(send(200, "a", 1, 0));
	CALL(send(201, "b", 1, 0));
	CALL(close(p.fd));
	CALL(send(200, "c", 1, 0));
}

static void dup_shares_nonblock(void)
{
	struct pair p = pair_open();
	int d = dup(p.fd);

	set_nonblocking(p.fd, true);
	CALL(!!(fcntl(d, F_GETFL) & O_NONBLOCK));
	CALL(recv(d, &(char){ 0 }, 1, 0));
	set_nonblocking(d, false);
	CALL(!!(fcntl(p.fd, F_GETFL) & O_NONBLOCK));
}

static void dup_shares_options_and_shutdown(void)
{
	struct pair p = pair_open();
	int d = dup(p.fd);

	CALL(set_option(d, SOL_SOCKET, SO_KEEPALIVE, 1));
	CALL(option(p.fd, SOL_SOCKET, SO_KEEPALIVE));
	CALL(shutdown(d, SHUT_WR));
	CALL(send(p.fd, "a", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void dup_before_connect(void)
{
	uint16_t port;
	int l = listener_open(&port), s = tcp_socket(), d = dup(s), a;
	struct sockaddr_in to = near_addr(port);

	CALL(connect(s, (struct sockaddr *)&to, sizeof(to)));
	a = accept(l, NULL, NULL);
	CALL(send(d, "x", 1, 0));
	CALL(recv(a, &(char){ 0 }, 1, 0));
	CALL(remote_port(d) == port);
	CALL(close(s));
	CALL(send(d, "y", 1, 0));
	CALL(recv(a, &(char){ 0 }, 1, 0));
}

static void dup_before_listen(void)
{
	uint16_t port;
	int l = tcp_socket(), d = dup(l);

	(void)listener_open_on(l, &port);
	(void)client_open(port);
	CALL(option(d, SOL_SOCKET, SO_ACCEPTCONN));
	CALL(accept(d, NULL, NULL) >= 0);
}

static void dup_over_standard_input(void)
{
	struct pair p = pair_open();
	char buf[8];

	CALL(dup2(p.fd, STDIN_FILENO));
	CALL(close(p.fd));
	(void)far_send(&p, "in");
	fact_bytes("read", read(STDIN_FILENO, buf, 2), buf);
	CALL(close(STDIN_FILENO));
	CALL(far_recv(&p, buf, 1));
}

static void dup_poll_both(void)
{
	struct pair p = pair_open();
	int d = dup(p.fd);
	struct pollfd f[2] = { { .fd = p.fd, .events = POLLIN }, { .fd = d, .events = POLLIN } };

	CALL(poll(f, 2, 0));
	(void)far_send(&p, "x");
	wait_bytes(d, 1);
	CALL(poll(f, 2, -1));
	CALL(recv(d, &(char){ 0 }, 1, 0));
	CALL(poll(f, 2, 0));
}

static void dup_many(void)
{
	struct pair p = pair_open();
	int last = p.fd, good = 0;

	for (int i = 0; i < 200; i++) {
		int d = dup(last);

		good += d >= 0 && close(last) == 0;
		last = d;
	}
	fact("good %d", good);
	CALL(send(last, "a", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

const struct sem_case cases_dup[] = {
	FAR_CASE(dup_reads_the_same),
	FAR_CASE(dup_the_end_comes_with_the_last),
	FAR_CASE(dup_closed_original_is_wrong),
	FAR_CASE(dup2_over_a_socket_closes_it),
	FAR_CASE(dup2_of_a_socket_over_a_file),
	CASE(dup2_of_a_socket_over_a_socket),
	FAR_CASE(dup2_same),
	FAR_CASE(dup_wrong),
	FAR_CASE(dup_close_on_exec),
	FAR_CASE(dup_at_least),
	FAR_CASE(dup_shares_nonblock),
	FAR_CASE(dup_shares_options_and_shutdown),
	CASE(dup_before_connect),
	CASE(dup_before_listen),
	FAR_CASE(dup_over_standard_input),
	FAR_CASE(dup_poll_both),
	FAR_CASE(dup_many),
	CASES_END,
};
