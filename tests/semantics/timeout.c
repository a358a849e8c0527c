/* SPDX-License-Identifier: MIT */
/*
 * timeout.c - SO_RCVTIMEO and SO_SNDTIMEO.
 */
#include <errno.h>
#include <poll.h>
#include <sys/time.h>
#include <unistd.h>

#include "sem.h"

static void limit(int s, int name, int ms)
{
	struct timeval t = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	CALL(setsockopt(s, SOL_SOCKET, name, &t, sizeof(t)));
}

static void since(int64_t start, int ms)
{
	fact("long enough %d", now_ms() - start >= ms - 1);
}

static void timeout_of_recv(void)
{
	struct pair p = pair_open();
	int64_t start;

	limit(p.fd, SO_RCVTIMEO, 60);
	start = now_ms();
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	since(start, 60);
	CALL(read(p.fd, &(char){ 0 }, 1));
	CALL(recv(p.fd, &(char){ 0 }, 1, MSG_PEEK));
}

static void timeout_not_needed(void)
{
	struct pair p = pair_open();

	limit(p.fd, SO_RCVTIMEO, 5000);
	far_start_send(&p, "x");
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	(void)far_finish(&p);
	(void)far_close(&p);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
}

static void timeout_of_waitall_gives_a_part(void)
{
	struct pair p = pair_open();
	char buf[8];

	limit(p.fd, SO_RCVTIMEO, 60);
	(void)far_send(&p, "abc");
	wait_bytes(p.fd, 3);
	fact_bytes("recv", recv(p.fd, buf, 8, MSG_WAITALL), buf);
	CALL(recv(p.fd, buf, 8, MSG_WAITALL));
}

static void timeout_of_send(void)
{
	struct pair p = pair_open_small();
	int64_t start;

	(void)fill(p.fd);
	limit(p.fd, SO_SNDTIMEO, 60);
	start = now_ms();
	CALL(send(p.fd, "a", 1, 0));
	since(start, 60);
	CALL(write(p.fd, "a", 1));
}

static void timeout_of_send_gives_a_part(void)
{
	static char big[8 << 20];
	struct pair p = pair_open_small();
	ssize_t n;

	limit(p.fd, SO_SNDTIMEO, 60);
	n = send(p.fd, big, sizeof(big), 0);
	fact("a part %d", n > 0 && n < (ssize_t)sizeof(big));
}

static void timeout_of_accept(void)
{
	uint16_t port;
	int l = listener_open(&port);
	int64_t start;

	limit(l, SO_RCVTIMEO, 60);
	start = now_ms();
	CALL(accept(l, NULL, NULL));
	since(start, 60);
	(void)client_open(port);
	CALL(accept(l, NULL, NULL) >= 0);
}

static void timeout_of_connect_not_needed(void)
{
	uint16_t port;
	int s = tcp_socket();
	struct sockaddr_in to;

	(void)listener_open(&port);
	to = near_addr(port);
	limit(s, SO_SNDTIMEO, 3000);
	CALL(connect(s, (struct sockaddr *)&to, sizeof(to)));
	CALL(send(s, "a", 1, 0));
}

static void timeout_zero_is_for_ever(void)
{
	struct pair p = pair_open();

	limit(p.fd, SO_RCVTIMEO, 40);
	limit(p.fd, SO_RCVTIMEO, 0);
	far_start_send(&p, "x");
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	(void)far_finish(&p);
}

static void timeout_does_not_matter_to_poll(void)
{
	struct pair p = pair_open();
	int64_t start;

	limit(p.fd, SO_RCVTIMEO, 1);
	start = now_ms();
	fact_poll(p.fd, POLLIN, 60);
	since(start, 60);
}

static void timeout_does_not_matter_to_dontwait(void)
{
	struct pair p = pair_open();
	int64_t start = now_ms();

	limit(p.fd, SO_RCVTIMEO, 5000);
	CALL(recv(p.fd, &(char){ 0 }, 1, MSG_DONTWAIT));
	set_nonblocking(p.fd, true);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	fact("at once %d", now_ms() - start < 4000);
}

static void timeout_is_inherited_by_accept(void)
{
	struct timeval t = { .tv_sec = 9 };
	socklen_t len = sizeof(t);
	uint16_t port;
	int l = tcp_socket(), s;

	limit(l, SO_RCVTIMEO, 3000);
	(void)listener_open_on(l, &port);
	(void)client_open(port);
	s = accept(l, NULL, NULL);
	CALL(getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, &len));
	fact("seconds %ld", (long)t.tv_sec);
}

const struct sem_case cases_timeout[] = {
	FAR_CASE(timeout_of_recv),
	FAR_CASE(timeout_not_needed),
	FAR_CASE(timeout_of_waitall_gives_a_part),
	FAR_CASE(timeout_of_send),
	FAR_CASE(timeout_of_send_gives_a_part),
	CASE(timeout_of_accept),
	CASE(timeout_of_connect_not_needed),
	FAR_CASE(timeout_zero_is_for_ever),
	FAR_CASE(timeout_does_not_matter_to_poll),
	FAR_CASE(timeout_does_not_matter_to_dontwait),
	CASE(timeout_is_inherited_by_accept),
	CASES_END,
};
