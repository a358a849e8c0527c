/* SPDX-License-Identifier: MIT */
/*
 * nonblock.c - O_NONBLOCK however it is set, and what it does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sem.h"

static void told(int fd)
{
	fact("nonblock %d", !!(fcntl(fd, F_GETFL) & O_NONBLOCK));
}

static void nonblock_by_fcntl(void)
{
	struct pair p = pair_open();
	char c;

	told(p.fd);
	CALL(fcntl(p.fd, F_SETFL, O_NONBLOCK));
	told(p.fd);
	CALL(recv(p.fd, &c, 1, 0));
	CALL(read(p.fd, &c, 1));
	CALL(fcntl(p.fd, F_SETFL, 0));
	told(p.fd);
}

static void nonblock_by_ioctl(void)
{
	struct pair p = pair_open();
	int on = 1, off = 0;

	CALL(ioctl(p.fd, FIONBIO, &on));
	told(p.fd);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	CALL(ioctl(p.fd, FIONBIO, &off));
	told(p.fd);
}

static void nonblock_at_birth(void)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	told(s);
	CALL(fcntl(s, F_GETFD));
	CALL(recv(s, &(char){ 0 }, 1, 0));
}

static void nonblock_survives_connect(void)
{
	uint16_t port;
	int l = listener_open(&port), s = tcp_socket();
	struct sockaddr_in to = near_addr(port);

	set_nonblocking(s, true);
	(void)connect(s, (struct sockaddr *)&to, sizeof(to)); /* at once or in progress */
	(void)wait_for(s, POLLOUT);
	told(s);
	CALL(recv(s, &(char){ 0 }, 1, 0));
	CALL(accept(l, NULL, NULL) >= 0);
}

static void nonblock_survives_listen(void)
{
	uint16_t port;
	int l = tcp_socket();

	set_nonblocking(l, true);
	(void)listener_open_on(l, &port);
	told(l);
	CALL(accept(l, NULL, NULL));
}

static void nonblock_off_before_connect_is_off_after(void)
{
	uint16_t port;
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in to;

	(void)listener_open(&port);
	to = near_addr(port);
	set_nonblocking(s, false);
	CALL(connect(s, (struct sockaddr *)&to, sizeof(to)));
	told(s);
}

static void nonblock_every_call_says_again(void)
{
	struct pair p = pair_open();
	char c;
	struct iovec v = { &c, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	set_nonblocking(p.fd, true);
	CALL(readv(p.fd, &v, 1));
	CALL(recvmsg(p.fd, &m, 0));
	CALL(recvfrom(p.fd, &c, 1, 0, NULL, NULL));
	CALL(recv(p.fd, &c, 1, MSG_PEEK));
}

static void nonblock_full_then_room(void)
{
	struct pair p = pair_open_small();
	size_t n;

	set_nonblocking(p.fd, true);
	n = fill(p.fd);
	CALL(send(p.fd, "a", 1, 0));
	CALL(write(p.fd, "a", 1));
	fact_ready(p.fd);
	for (size_t got = 0; got < n;) {
		static char buf[FAR_BYTES];
		long r = far_recv(&p, buf, n - got);

		if (r <= 0)
			break;
		got += (size_t)r;
	}
	(void)wait_for(p.fd, POLLOUT);
	fact_ready(p.fd);
	CALL(send(p.fd, "a", 1, 0));
}

static void nonblock_sends_a_part(void)
{
	static char big[8 << 20];
	struct pair p = pair_open_small();
	ssize_t n;

	set_nonblocking(p.fd, true);
	n = send(p.fd, big, sizeof(big), 0);
	fact("a part: %d", n > 0 && n < (ssize_t)sizeof(big));
}

static void nonblock_dontwait_is_for_one_call(void)
{
	struct pair p = pair_open();
	char c;

	CALL(recv(p.fd, &c, 1, MSG_DONTWAIT));
	told(p.fd);
	far_start_send(&p, "x");
	fact_bytes("recv", recv(p.fd, &c, 1, 0), &c);
	(void)far_finish(&p);
}

static void nonblock_two_ends_apart(void)
{
	struct ends e = ends_open();

	set_nonblocking(e.c, true);
	told(e.c);
	told(e.s);
}

static void nonblock_large_transfer(void)
{
	struct pair p = pair_open();
	uint8_t buf[30000];
	size_t done = 0;
	bool right = true;

	set_nonblocking(p.fd, true);
	far_start_pump(&p, 1 << 20);
	while (done < 1 << 20 && right) {
		ssize_t n = recv(p.fd, buf, sizeof(buf), 0);

		if (n < 0 && errno == EAGAIN && wait_for(p.fd, POLLIN) != 0)
			continue;
		if (n <= 0)
			break;
		right = pattern_is(buf, done, (size_t)n);
		done += (size_t)n;
	}
	fact("received %zu right %d", done, right);
	(void)far_finish(&p);
	CALL(recv(p.fd, buf, sizeof(buf), 0));
}

const struct sem_case cases_nonblock[] = {
	FAR_CASE(nonblock_by_fcntl),
	FAR_CASE(nonblock_by_ioctl),
	CASE(nonblock_at_birth),
	CASE(nonblock_survives_connect),
	CASE(nonblock_survives_listen),
	CASE(nonblock_off_before_connect_is_off_after),
	FAR_CASE(nonblock_every_call_says_again),
	FAR_CASE(nonblock_full_then_room),
	FAR_CASE(nonblock_sends_a_part),
	FAR_CASE(nonblock_dontwait_is_for_one_call),
	CASE(nonblock_two_ends_apart),
	FAR_CASE(nonblock_large_transfer),
	CASES_END,
};
