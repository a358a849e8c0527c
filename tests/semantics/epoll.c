/* SPDX-License-Identifier: MIT */
/*
 * epoll.c - epoll(7), level triggered, and the rules of epoll_ctl.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "sem.h"

static int control(int ep, int op, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.u64 = (uint64_t)fd << 32 | 0x1234 };

	return epoll_ctl(ep, op, fd, &e);
}

/* What epoll_wait gives, at most 8; the order is by descriptor, so that it is the same always. */
static void waited(int ep, int timeout_ms)
{
	struct epoll_event e[8];
	char name[EVENTS_LEN];
	int n = epoll_wait(ep, e, 8, timeout_ms);

	if (n <= 0) {
		fact_call("epoll_wait", n);
		return;
	}
	for (int i = 0; i < n; i++)
		fact("epoll_wait %d/%d: %s data %x", i + 1, n, events_name(e[i].events, name),
		     (unsigned)e[i].data.u32);
}

static void epoll_level(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN));
	waited(ep, 0);
	(void)far_send(&p, "ab");
	waited(ep, -1);
	waited(ep, 0);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	waited(ep, 0);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	waited(ep, 0);
}

static void epoll_level_out(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT | EPOLLIN));
	waited(ep, 0);
	waited(ep, 0);
	CALL(control(ep, EPOLL_CTL_MOD, p.fd, EPOLLIN));
	waited(ep, 0);
	CALL(control(ep, EPOLL_CTL_MOD, p.fd, EPOLLOUT));
	waited(ep, 0);
}

static void epoll_level_the_end(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLRDHUP));
	(void)far_close(&p);
	waited(ep, -1);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	waited(ep, 0);
	CALL(control(ep, EPOLL_CTL_MOD, p.fd, EPOLLIN));
	waited(ep, 0);
	CALL(control(ep, EPOLL_CTL_MOD, p.fd, 0));
	waited(ep, 0);
}

static void epoll_reset(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, 0));
	waited(ep, 0);
	(void)far_reset(&p);
	waited(ep, -1);
	CALL(control(ep, EPOLL_CTL_MOD, p.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP));
	waited(ep, 0);
}

static void epoll_add_and_delete(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_MOD, p.fd, EPOLLIN));
	CALL(control(ep, EPOLL_CTL_DEL, p.fd, 0));
	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT));
	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, p.fd, NULL));
	waited(ep, 0);
	CALL(control(ep, EPOLL_CTL_DEL, p.fd, 0));
	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT));
	waited(ep, 0);
}

static void epoll_wrong_descriptors(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0), closed = dup(p.fd);

	(void)close(closed);
	CALL(control(ep, EPOLL_CTL_ADD, closed, EPOLLIN));
	CALL(control(ep, EPOLL_CTL_ADD, -1, EPOLLIN));
	CALL(control(p.fd, EPOLL_CTL_ADD, p.fd, EPOLLIN));
	CALL(control(ep, EPOLL_CTL_ADD, ep, EPOLLIN));
	CALL(control(ep, 77, p.fd, EPOLLIN));
	CALL(control(-1, EPOLL_CTL_ADD, p.fd, EPOLLIN));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, p.fd, NULL));
}

static void epoll_wait_wrong(void)
{
	struct pair p = pair_open();
	volatile int negative = -1; /* the compiler knows better than to let it through */
	struct epoll_event e;
	int ep = epoll_create1(0);

	CALL(epoll_wait(ep, &e, 0, 0));
	CALL(epoll_wait(ep, &e, negative, 0));
	CALL(epoll_wait(p.fd, &e, 1, 0));
	CALL(epoll_wait(-1, &e, 1, 0));
	(void)control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT);
	CALL(epoll_wait(ep, bad_pointer(), 1, 0));
}

static void epoll_close_removes(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT));
	CALL(close(p.fd));
	waited(ep, 0);
	CALL(control(ep, EPOLL_CTL_DEL, p.fd, 0));
}

static void epoll_close_of_a_duplicate_does_not_remove(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0), d = dup(p.fd);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT));
	CALL(close(p.fd));
	waited(ep, 0);
	CALL(close(d));
	waited(ep, 0);
}

static void epoll_original_and_duplicate(void)
{
	struct pair p = pair_open();
	int ep = epoll_create1(0), d = dup(p.fd);

	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN));
	CALL(control(ep, EPOLL_CTL_ADD, d, EPOLLIN));
	(void)far_send(&p, "x");
	wait_bytes(p.fd, 1);
	waited(ep, -1);
}

static void epoll_before_connect(void)
{
	uint16_t port;
	int ep = epoll_create1(0), s = tcp_socket();
	struct sockaddr_in to;

	(void)listener_open(&port);
	to = near_addr(port);
	CALL(control(ep, EPOLL_CTL_ADD, s, EPOLLIN | EPOLLOUT));
	waited(ep, 0);
	CALL(connect(s, (struct sockaddr *)&to, sizeof(to)));
	waited(ep, 0);
	CALL(control(ep, EPOLL_CTL_MOD, s, EPOLLIN));
	waited(ep, 0);
	CALL(control(ep, EPOLL_CTL_DEL, s, 0));
}

static void epoll_before_connect_that_does_not_block(void)
{
	uint16_t port;
	int ep = epoll_create1(0), s = tcp_socket();
	struct sockaddr_in to;

	(void)listener_open(&port);
	to = near_addr(port);
	set_nonblocking(s, true);
	CALL(control(ep, EPOLL_CTL_ADD, s, EPOLLOUT));
	(void)connect(s, (struct sockaddr *)&to, sizeof(to)); /* at once or in progress */
	(void)wait_for(s, POLLOUT);
	waited(ep, -1);
	CALL(option(s, SOL_SOCKET, SO_ERROR));
}

static void epoll_refused(void)
{
	int holder, ep = epoll_create1(0), s = tcp_socket();
	struct sockaddr_in to = near_addr(dead_port(&holder));

	set_nonblocking(s, true);
	CALL(control(ep, EPOLL_CTL_ADD, s, EPOLLOUT | EPOLLIN));
	(void)connect(s, (struct sockaddr *)&to, sizeof(to)); /* at once or in progress */
	waited(ep, -1);
}

static void epoll_of_a_listener(void)
{
	uint16_t port;
	int l = listener_open(&port), ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, l, EPOLLIN));
	waited(ep, 0);
	(void)client_open(port);
	(void)client_open(port);
	waited(ep, -1);
	CALL(accept(l, NULL, NULL) >= 0);
	(void)wait_for(l, POLLIN);
	waited(ep, 0);
	CALL(accept(l, NULL, NULL) >= 0);
	waited(ep, 0);
}

static void epoll_of_many_listeners(void)
{
	enum {
		MANY = 20
	};
	uint16_t port[MANY];
	struct epoll_event e;
	int l[MANY], ep = epoll_create1(0);

	for (int i = 0; i < MANY; i++) {
		l[i] = listener_open(&port[i]);
		e = (struct epoll_event){ .events = EPOLLIN, .data.fd = l[i] };
		(void)epoll_ctl(ep, EPOLL_CTL_ADD, l[i], &e); /* they differ in nothing */
	}
	for (int i = MANY - 1; i >= 0; i--) {
		(void)client_open(port[i]);
		if (epoll_wait(ep, &e, 1, 5000) != 1)
			fact("nothing of listener %d", i);
		else
			fact("listener %d: its own %d accepts %d", i, e.data.fd == l[i],
			     accept(e.data.fd, NULL, NULL) >= 0);
	}
}

static void epoll_before_listen(void)
{
	uint16_t port;
	int l = tcp_socket(), ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, l, EPOLLIN));
	(void)listener_open_on(l, &port);
	waited(ep, 0);
	(void)client_open(port);
	waited(ep, -1);
	CALL(control(ep, EPOLL_CTL_DEL, l, 0));
}

static void epoll_exclusive_listener(void)
{
	uint16_t port;
	int l = listener_open(&port), ep = epoll_create1(0);

	CALL(control(ep, EPOLL_CTL_ADD, l, EPOLLIN | EPOLLEXCLUSIVE));
	(void)client_open(port);
	waited(ep, -1);
	CALL(accept(l, NULL, NULL) >= 0);
	waited(ep, 0);
}

static void epoll_nested(void)
{
	struct pair p = pair_open();
	int inner = epoll_create1(0), outer = epoll_create1(0);

	CALL(control(inner, EPOLL_CTL_ADD, p.fd, EPOLLIN));
	CALL(control(outer, EPOLL_CTL_ADD, inner, EPOLLIN));
	waited(outer, 0);
	fact_poll(inner, POLLIN, 0);
	(void)far_send(&p, "x");
	waited(outer, -1);
	fact_poll(inner, POLLIN, 0);
	waited(inner, 0);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	waited(inner, 0);
	waited(outer, 0);
}

static void epoll_two_sets(void)
{
	struct pair p = pair_open();
	int a = epoll_create1(0), b = epoll_create1(0);

	CALL(control(a, EPOLL_CTL_ADD, p.fd, EPOLLIN));
	CALL(control(b, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLOUT));
	(void)far_send(&p, "x");
	wait_bytes(p.fd, 1);
	waited(a, -1);
	waited(b, -1);
}

/* As in Erlang's runtime: one of one shot for all, and one for those that are busy. */
static void epoll_second_set_behind_one_shot(void)
{
	struct pair p = pair_open();
	int a = epoll_create1(0), b = epoll_create1(0);

	CALL(control(a, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLONESHOT));
	(void)far_send(&p, "x");
	waited(a, -1);
	CALL(control(b, EPOLL_CTL_ADD, p.fd, EPOLLIN));
	waited(b, -1);
	waited(a, 0);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	waited(b, 0);
	(void)far_send(&p, "y");
	waited(b, -1);
	waited(a, 0);
	/* Armed again, beside the other. */
	CALL(control(a, EPOLL_CTL_MOD, p.fd, EPOLLIN | EPOLLONESHOT));
	waited(a, -1);
	waited(a, 0);
	waited(b, -1);
	/* Busy no more, and busy again. */
	CALL(control(b, EPOLL_CTL_MOD, p.fd, 0));
	waited(b, 0);
	CALL(control(a, EPOLL_CTL_MOD, p.fd, EPOLLIN | EPOLLONESHOT));
	waited(a, -1);
	CALL(control(b, EPOLL_CTL_MOD, p.fd, EPOLLIN));
	waited(b, -1);
	/* Each may go first, and come again. */
	CALL(control(a, EPOLL_CTL_DEL, p.fd, 0));
	CALL(control(a, EPOLL_CTL_DEL, p.fd, 0));
	CALL(control(a, EPOLL_CTL_ADD, p.fd, EPOLLIN | EPOLLONESHOT));
	waited(a, -1);
	CALL(control(b, EPOLL_CTL_DEL, p.fd, 0));
	waited(a, 0);
	CALL(control(a, EPOLL_CTL_MOD, p.fd, EPOLLIN));
	waited(a, -1);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	waited(a, 0);
	close(b);
	(void)far_send(&p, "z");
	waited(a, -1);
}

static void epoll_several_sockets(void)
{
	struct ends a = ends_open(), b = ends_open();
	struct epoll_event e[8];
	int ep = epoll_create1(0), n, in = 0;

	(void)control(ep, EPOLL_CTL_ADD, a.c, EPOLLIN);
	(void)control(ep, EPOLL_CTL_ADD, a.s, EPOLLIN);
	(void)control(ep, EPOLL_CTL_ADD, b.c, EPOLLIN);
	(void)control(ep, EPOLL_CTL_ADD, b.s, EPOLLIN);
	CALL(send(a.c, "x", 1, 0));
	CALL(send(b.s, "x", 1, 0));
	wait_bytes(a.s, 1);
	wait_bytes(b.c, 1);
	n = epoll_wait(ep, e, 8, -1);
	for (int i = 0; i < n; i++) {
		int fd = (int)(e[i].data.u64 >> 32);

		in += fd == a.s || fd == b.c;
	}
	fact("events %d of the right ones %d", n, in);
	CALL(epoll_wait(ep, e, 1, 0));
}

static void *wait_in_thread(void *arg)
{
	waited(*(int *)arg, -1);
	return NULL;
}

static void epoll_wakes_a_thread(void)
{
	struct pair p = pair_open();
	pthread_t thread;
	int ep = epoll_create1(0);

	(void)control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN);
	(void)pthread_create(&thread, NULL, wait_in_thread, &ep);
	(void)far_send(&p, "x");
	(void)pthread_join(thread, NULL);
}

static void epoll_added_while_a_thread_waits(void)
{
	struct pair p = pair_open();
	pthread_t thread;
	int ep = epoll_create1(0);

	(void)far_send(&p, "x");
	wait_bytes(p.fd, 1);
	(void)pthread_create(&thread, NULL, wait_in_thread, &ep);
	(void)control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN);
	(void)pthread_join(thread, NULL);
}

static void epoll_gives_up(void)
{
	struct pair p = pair_open();
	struct timespec t = { .tv_nsec = 30000000 };
	struct epoll_event e;
	int ep = epoll_create1(0);
	int64_t start = now_ms();

	(void)control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN);
	waited(ep, 50);
	fact("waited %d", now_ms() - start >= 50);
	CALL(epoll_pwait(ep, &e, 1, 1, NULL));
	CALL(epoll_pwait2(ep, &e, 1, &t, NULL));
}

static void epoll_with_a_pipe(void)
{
	struct pair p = pair_open();
	int pipes[2], ep = epoll_create1(0);

	(void)!pipe(pipes);
	CALL(control(ep, EPOLL_CTL_ADD, pipes[0], EPOLLIN));
	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLIN));
	CALL(write(pipes[1], "x", 1));
	waited(ep, -1);
	(void)far_send(&p, "x");
	wait_bytes(p.fd, 1);
	waited(ep, -1);
}

static void epoll_when_full(void)
{
	struct pair p = pair_open_small();
	int ep = epoll_create1(0);

	(void)fill(p.fd);
	CALL(control(ep, EPOLL_CTL_ADD, p.fd, EPOLLOUT));
	waited(ep, 20);
}

const struct sem_case cases_epoll[] = {
	FAR_CASE(epoll_level),
	FAR_CASE(epoll_level_out),
	FAR_CASE(epoll_level_the_end),
	FAR_CASE(epoll_reset),
	FAR_CASE(epoll_add_and_delete),
	FAR_CASE(epoll_wrong_descriptors),
	FAR_CASE(epoll_wait_wrong),
	FAR_CASE(epoll_close_removes),
	FAR_CASE(epoll_close_of_a_duplicate_does_not_remove),
	FAR_CASE(epoll_original_and_duplicate),
	CASE(epoll_before_connect),
	CASE(epoll_before_connect_that_does_not_block),
	CASE(epoll_refused),
	CASE(epoll_of_a_listener),
	CASE(epoll_of_many_listeners),
	CASE(epoll_before_listen),
	CASE(epoll_exclusive_listener),
	FAR_CASE(epoll_nested),
	FAR_CASE(epoll_two_sets),
	FAR_CASE(epoll_second_set_behind_one_shot),
	CASE(epoll_several_sockets),
	FAR_CASE(epoll_wakes_a_thread),
	FAR_CASE(epoll_added_while_a_thread_waits),
	FAR_CASE(epoll_gives_up),
	FAR_CASE(epoll_with_a_pipe),
	FAR_CASE(epoll_when_full),
	CASES_END,
};
