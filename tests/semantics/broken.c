/* SPDX-License-Identifier: MIT */
/*
 * broken.c - wrong descriptors, wrong arguments, no descriptors left, and what is not TCP.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "sem.h"

/* Every call that takes a socket, with one that is none. */
static void all_calls(int fd)
{
	struct sockaddr_in a = near_addr(9);
	socklen_t len = sizeof(a);
	struct msghdr m = { .msg_iovlen = 0 };
	int n = 0;

	CALL(bind(fd, (struct sockaddr *)&a, sizeof(a)));
	CALL(connect(fd, (struct sockaddr *)&a, sizeof(a)));
	CALL(listen(fd, 1));
	CALL(accept(fd, NULL, NULL));
	CALL(accept4(fd, NULL, NULL, SOCK_NONBLOCK));
	CALL(send(fd, "a", 1, 0));
	CALL(recv(fd, &n, 1, 0));
	CALL(sendmsg(fd, &m, 0));
	CALL(recvmsg(fd, &m, 0));
	CALL(shutdown(fd, SHUT_RDWR));
	CALL(getsockname(fd, (struct sockaddr *)&a, &len));
	CALL(getpeername(fd, (struct sockaddr *)&a, &len));
	CALL(option(fd, SOL_SOCKET, SO_ERROR));
	CALL(set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1));
}

static void calls_without_a_descriptor(void)
{
	all_calls(-1);
	CALL(read(-1, &(char){ 0 }, 1));
	CALL(write(-1, "a", 1));
	CALL(close(-1));
	CALL(dup(-1));
	CALL(fcntl(-1, F_GETFL));
	CALL(ioctl(-1, FIONREAD, &(int){ 0 }));
}

static void calls_on_a_closed_socket(void)
{
	struct pair p = pair_open();

	(void)close(p.fd);
	all_calls(p.fd);
	CALL(read(p.fd, &(char){ 0 }, 1));
	CALL(write(p.fd, "a", 1));
	CALL(fcntl(p.fd, F_GETFL));
	CALL(ioctl(p.fd, FIONREAD, &(int){ 0 }));
}

static void calls_on_a_pipe(void)
{
	int pipes[2];

	(void)!pipe(pipes);
	all_calls(pipes[0]);
}

static void calls_on_huge_numbers(void)
{
	all_calls(0x3fffffff);
	CALL(close(0x3fffffff));
	CALL(recv(0x40000000, &(char){ 0 }, 1, 0));
	CALL(close(0x40000001));
}

static void socket_arguments(void)
{
	CALL(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
	CALL(socket(AF_INET, 99, 0));
	CALL(socket(9999, SOCK_STREAM, 0));
	CALL(socket(AF_INET, SOCK_STREAM, 9999));
	CALL(socket(AF_INET, SOCK_STREAM, -1));
	CALL(socket(AF_INET, SOCK_SEQPACKET, 0));
	CALL(socket(AF_INET, SOCK_STREAM | 0x10, 0));
	CALL(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) >= 0);
	CALL(socketpair(AF_INET, SOCK_STREAM, 0, (int[2]){ 0 }));
}

static void descriptors_run_out(void)
{
	struct rlimit limit = { 24, 24 };
	uint16_t port;
	int l = listener_open(&port), c = client_open(port), n = 0;

	CALL(setrlimit(RLIMIT_NOFILE, &limit));
	while (open("/dev/null", O_RDONLY) >= 0)
		n++;
	fact("some %d", n > 0);
	CALL(socket(AF_INET, SOCK_STREAM, 0));
	CALL(accept(l, NULL, NULL));
	CALL(dup(c));
	CALL(send(c, "a", 1, 0));
	CALL(close(23));
	CALL(accept(l, NULL, NULL) == 23);
	CALL(recv(23, &(char){ 0 }, 1, 0));
}

static void close_range_closes_sockets(void)
{
	struct pair p = pair_open();
	int high = fcntl(p.fd, F_DUPFD, 300);

	(void)close(p.fd);
	CALL(close_range(300, 400, 0));
	CALL(send(high, "a", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void close_range_to_close_on_exec(void)
{
	struct pair p = pair_open();
	int high = fcntl(p.fd, F_DUPFD, 300);

	CALL(close_range(300, 400, CLOSE_RANGE_CLOEXEC));
	CALL(fcntl(high, F_GETFD));
	CALL(send(high, "a", 1, 0));
}

/* As one that is going to start a program in a table of its own: here it goes on. */
static void close_range_of_an_own_table(void)
{
	struct pair p = pair_open();
	int high = fcntl(p.fd, F_DUPFD, 300);

	CALL(close_range(300, ~0U, CLOSE_RANGE_UNSHARE));
	CALL(fcntl(high, F_GETFD));
	CALL(send(p.fd, "a", 1, 0));
	CALL(far_recv(&p, &(char){ 0 }, 1));
	CALL(ends_open().c >= 0);
	CALL(close_range(300, ~0U, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC));
	CALL(close_range(300, ~0U, 64));
}

static void close_everything_then_go_on(void)
{
	struct ends e;

	for (int fd = 3; fd < 1024; fd++)
		(void)close(fd); /* as daemons do at start */
	e = ends_open();
	CALL(send(e.c, "a", 1, 0));
	CALL(recv(e.s, &(char){ 0 }, 1, 0));
	for (int fd = 3; fd < 1024; fd++)
		(void)close(fd); /* and once more, with sockets open */
	e = ends_open();
	CALL(send(e.c, "a", 1, 0));
	CALL(recv(e.s, &(char){ 0 }, 1, 0));
}

static void closefrom_then_go_on(void)
{
	struct ends e = ends_open();

	closefrom(3);
	CALL(send(e.c, "a", 1, 0));
	e = ends_open();
	CALL(send(e.c, "a", 1, 0));
	CALL(recv(e.s, &(char){ 0 }, 1, 0));
}

static void numbers_are_used_again_by_other_things(void)
{
	struct ends e = ends_open();
	int good = 0, pipes[2];

	for (int i = 0; i < 50; i++) {
		(void)close(e.c);
		(void)close(e.s);
		(void)!pipe(pipes);
		good += write(pipes[1], "p", 1) == 1 && read(pipes[0], &(char){ 0 }, 1) == 1 &&
			send(pipes[1], "p", 1, 0) == -1 && errno == ENOTSOCK;
		(void)close(pipes[0]);
		(void)close(pipes[1]);
		e = ends_open();
		good += send(e.s, "s", 1, 0) == 1 && recv(e.c, &(char){ 0 }, 1, 0) == 1;
	}
	fact("good %d", good);
}

static void udp_is_untouched(void)
{
	struct sockaddr_in a = near_addr(0);
	socklen_t len = sizeof(a);
	int r = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
	char buf[8];

	CALL(bind(r, (struct sockaddr *)&a, sizeof(a)));
	(void)getsockname(r, (struct sockaddr *)&a, &len);
	CALL(connect(s, (struct sockaddr *)&a, sizeof(a)));
	CALL(send(s, "dgram", 5, 0));
	CALL(send(s, "", 0, 0));
	fact_bytes("recv", recv(r, buf, sizeof(buf), 0), buf);
	CALL(recv(r, buf, sizeof(buf), 0));
	CALL(listen(r, 1));
}

static void unix_sockets_are_untouched(void)
{
	int u[2];
	char buf[8];

	CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, u));
	CALL(send(u[0], "unix", 4, 0));
	fact_bytes("recv", recv(u[1], buf, sizeof(buf), 0), buf);
	fact_ready(u[1]);
	CALL(shutdown(u[0], SHUT_WR));
	CALL(recv(u[1], buf, sizeof(buf), 0));
	CALL(close(u[0]));
	CALL(send(u[1], "a", 1, 0));
	CALL(sigpipes());
}

const struct sem_case cases_broken[] = {
	CASE(calls_without_a_descriptor),
	FAR_CASE(calls_on_a_closed_socket),
	CASE(calls_on_a_pipe),
	CASE(calls_on_huge_numbers),
	CASE(socket_arguments),
	CASE(descriptors_run_out),
	FAR_CASE(close_range_closes_sockets),
	FAR_CASE(close_range_to_close_on_exec),
	FAR_CASE(close_range_of_an_own_table),
	CASE(close_everything_then_go_on),
	CASE(closefrom_then_go_on),
	CASE(numbers_are_used_again_by_other_things),
	CASE(udp_is_untouched),
	CASE(unix_sockets_are_untouched),
	CASES_END,
};
