/* SPDX-License-Identifier: MIT */
/*
 * epoll_edge.c - epoll(7) with EPOLLET and EPOLLONESHOT: what is reported, and how often.
 *
 * Edges may merge, and a spurious one is allowed: a case asks for an edge only after it has taken
 * all those before, and for none only where nothing has happened.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sem.h"

static int control(int ep, int op, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	return epoll_ctl(ep, op, fd, &e);
}

static void waited(int ep, int timeout_ms)
{
	struct epoll_event e[4];
	char name[EVENTS_LEN];
	int n = epoll_wait(ep, e, 4, timeout_ms);

	if (n == 1)
		fact("edge: %s", events_name(e[0].events, name));
	else
		fact_call("epoll_wait", n);
}

static void edge_once(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	(void)far_send(&p, "ab");
	wait_bytes(p.fd, 2);
	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLET));
	waited(ep, -1);
	waited(ep, 0);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	waited(ep, 0);
}

static void edge_again_when_more_comes(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLET));
	waited(ep, 0);
	for (int i = 0; i < 5; i++) {
		(void)far_send(&p, "a");
		waited(ep, -1);
		waited(ep, 0);
	}
	wait_bytes(p.fd, 5);
}

static void edge_after_reading_all(void)
{
	struct pair p = pair_open();
	char buf[8];
	int ep = epoll_create1(0);

	set_nonblocking(p.fd, true);
	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLET));
	for (int i = 0; i < 5; i++) {
		(void)far_send(&p, "abc");
		waited(ep, -1);
		wait_bytes(p.fd, 3);
		CALL(recv(p.fd, buf, sizeof(buf), 0));
		CALL(recv(p.fd, buf, sizeof(buf), 0));
	}
}

static void edge_in_and_out(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLOUT | EPOLLET));
	waited(ep, -1);
	waited(ep, 0);
	(void)far_send(&p, "a");
	waited(ep, -1);
	waited(ep, 0);
}

static void edge_of_the_end(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLRDHUP | EPOLLET));
	(void)far_close(&p);
	waited(ep, -1);
	waited(ep, 0);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	waited(ep, 0);
}

static void edge_of_bytes_then_of_the_end(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLRDHUP | EPOLLET));
	(void)far_send(&p, "a");
	waited(ep, -1);
	(void)far_shutdown(&p, SHUT_WR);
	waited(ep, -1);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
}

static void edge_of_a_reset(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLET));
	(void)far_reset(&p);
	waited(ep, -1);
	waited(ep, 0);
}

static void edge_of_room(void)
{
	static char buf[FAR_BYTES];
	struct pair p = pair_open_small();
	int ep = epoll_create1(0);
	size_t n;

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT | EPOLLET));
	waited(ep, -1);
	n = fill(p.fd);
	while (epoll_wait(ep, &(struct epoll_event){ 0 }, 1, 0) > 0)
		;
	for (size_t got = 0; got < n;) {
		long r = far_recv(&p, buf, sizeof(buf));

		if (r <= 0)
			break;
		got += (size_t)r;
	}
	waited(ep, -1);
	CALL(send(p.fd, "a", 1, MSG_DONTWAIT));
}

static void edge_modify_reports_again(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	(void)far_send(&p, "a");
	wait_bytes(p.fd, 1);
	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLET));
	waited(ep, -1);
	waited(ep, 0);
	CALL(control(ep, EPOLL_CTL_MOD, p.fd, EPOLLIN | EPOLLET));
	waited(ep, -1);
	waited(ep, 0);
}

static void edge_of_a_listener(void)
{
	uint16_t port;
	int l = listener_open(&port), ep = epoll_create1(0);

	set_nonblocking(l, true);
	CALL(control(ep, EPOLL_CTL_ADD, l, EPOLLIN | EPOLLET));
	waited(ep, 0);
	(void)client_open(port);
	waited(ep, -1);
	waited(ep, 0);
	CALL(accept(l, NULL, NULL) >= 0);
	CALL(accept(l, NULL, NULL));
	(void)client_open(port);
	waited(ep, -1);
}

static void edge_of_a_listener_not_emptied(void)
{
	uint16_t port;
	int l = listener_open(&port), ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, l, EPOLLIN | EPOLLET));
	waited(ep, 0); /* only who waits is told */
	(void)client_open(port);
	waited(ep, -1);
	waited(ep, 0);
	(void)client_open(port);
	waited(ep, -1);
}

static void edge_of_connect(void)
{
	uint16_t port;
	int ep = epoll_create1(0), s = tcp_socket();
	struct sockaddr_in to;

	(void)listener_open(&port);
	to = near_addr(port);
	set_nonblocking(s, true);
	(void)connect(s, (struct sockaddr *)&to, sizeof(to)); /* at once or in progress */
	CALL(control(ep, EPOLL_CTL_ADD, s, EPOLLOUT | EPOLLET));
	waited(ep, -1);
	waited(ep, 0);
}

static void edge_added_before_connect(void)
{
	uint16_t port;
	int ep = epoll_create1(0), s = tcp_socket();
	struct sockaddr_in to;

	(void)listener_open(&port);
	to = near_addr(port);
	set_nonblocking(s, true);
	CALL(control(ep, EPOLL_CTL_ADD, s, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET));
	waited(ep, 0);
	(void)connect(s, (struct sockaddr *)&to, sizeof(to)); /* at once or in progress */
	(void)wait_for(s, POLLOUT);
	waited(ep, -1);
	waited(ep, 0);
}

static void oneshot_once(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLONESHOT));
	(void)far_send(&p, "a");
	waited(ep, -1);
	(void)far_send(&p, "b");
	wait_bytes(p.fd, 2);
	waited(ep, 0);
	CALL(control(ep, EPOLL_CTL_MOD, p.fd, EPOLLIN | EPOLLONESHOT));
	waited(ep, -1);
	waited(ep, 0);
}

static void oneshot_add_again_is_refused(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT | EPOLLONESHOT));
	waited(ep, -1);
	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT | EPOLLONESHOT));
	CALL(control(ep, EPOLL_CTL_DEL, p.fd, 0));
	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT | EPOLLONESHOT));
	waited(ep, -1);
}

static void oneshot_silences_a_hang_up_too(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT | EPOLLONESHOT));
	waited(ep, -1);
	(void)far_reset(&p);
	wait_broken(p.fd);
	waited(ep, 0);
	CALL(control(ep, EPOLL_CTL_MOD, p.fd, EPOLLOUT | EPOLLONESHOT));
	waited(ep, -1);
}

static void oneshot_and_edge(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLET | EPOLLONESHOT));
	for (int i = 0; i < 3; i++) {
		(void)far_send(&p, "a");
		waited(ep, -1);
		waited(ep, 0);
		CALL(recv(p.fd, &(char){ 0 }, 1, 0));
		CALL(control(ep, EPOLL_CTL_MOD, p.fd, EPOLLIN | EPOLLET | EPOLLONESHOT));
		waited(ep, 0);
	}
}

static void edge_nested(void)
{
	struct pair p = pair_open();
	int inner = epoll_create1(0), outer = epoll_create1(0);

	CALL(control(inner, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLET));
	CALL(control(outer, EPOLL_CTL_ADD, inner, EPOLLIN));
	(void)far_send(&p, "a");
	waited(outer, -1);
	waited(inner, 0);
	waited(inner, 0);
	waited(outer, 0);
}

static void edge_large_transfer(void)
{
	struct pair p = pair_open();
	uint8_t buf[20000];
	struct epoll_event e;
	int ep = epoll_create1(0);
	size_t done = 0;
	bool right = true;
	ssize_t n = 0;

	set_nonblocking(p.fd, true);
	(void)control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLET);
	far_start_pump(&p, 2 << 20);
	while (done < 2 << 20 && right && epoll_wait(ep, &e, 1, WAIT_MS) == 1)
		while (right && (n = recv(p.fd, buf, sizeof(buf), 0)) > 0) {
			right = pattern_is(buf, done, (size_t)n);
			done += (size_t)n;
		}
	fact("received %zu right %d", done, right);
	(void)far_finish(&p);
}

const struct sem_case cases_epoll_edge[] = {
	FAR_CASE(edge_once),
	FAR_CASE(edge_again_when_more_comes),
	FAR_CASE(edge_after_reading_all),
	FAR_CASE(edge_in_and_out),
	FAR_CASE(edge_of_the_end),
	FAR_CASE(edge_of_bytes_then_of_the_end),
	FAR_CASE(edge_of_a_reset),
	FAR_CASE(edge_of_room),
	FAR_CASE(edge_modify_reports_again),
	CASE(edge_of_a_listener),
	CASE(edge_of_a_listener_not_emptied),
	CASE(edge_of_connect),
	CASE(edge_added_before_connect),
	FAR_CASE(oneshot_once),
	FAR_CASE(oneshot_add_again_is_refused),
	FAR_CASE(oneshot_silences_a_hang_up_too),
	FAR_CASE(oneshot_and_edge),
	FAR_CASE(edge_nested),
	FAR_CASE(edge_large_transfer),
	CASES_END,
};
