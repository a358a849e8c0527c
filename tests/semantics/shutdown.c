/* SPDX-License-Identifier: MIT */
/*
 * shutdown.c - shutdown(2): halves, both, twice, from another thread, and what poll says.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "sem.h"

static void shutdown_writing_is_the_end_there(void)
{
	struct pair p = pair_open();
	char buf[8];

	CALL(send(p.fd, "last", 4, 0));
	CALL(shutdown(p.fd, SHUT_WR));
	CALL(far_recv(&p, buf, 4));
	CALL(far_recv(&p, buf, 4));
	(void)far_send(&p, "reply");
	fact_bytes("recv", recv(p.fd, buf, 5, MSG_WAITALL), buf);
}

static void shutdown_writing_twice(void)
{
	struct pair p = pair_open();

	CALL(shutdown(p.fd, SHUT_WR));
	CALL(shutdown(p.fd, SHUT_WR));
	CALL(shutdown(p.fd, SHUT_RDWR));
}

static void shutdown_reading_twice(void)
{
	struct pair p = pair_open();

	CALL(shutdown(p.fd, SHUT_RD));
	CALL(shutdown(p.fd, SHUT_RD));
	CALL(send(p.fd, "a", 1, 0));
}

static void shutdown_both(void)
{
	struct pair p = pair_open();
	char c;

	CALL(shutdown(p.fd, SHUT_RDWR));
	CALL(recv(p.fd, &c, 1, 0));
	CALL(send(p.fd, "a", 1, 0));
	CALL(sigpipes());
	CALL(far_recv(&p, &c, 1));
}

static void shutdown_unconnected(void)
{
	int s = tcp_socket();

	CALL(shutdown(s, SHUT_WR));
	CALL(shutdown(s, SHUT_RD));
	CALL(shutdown(s, SHUT_RDWR));
}

static void shutdown_how_is_wrong(void)
{
	struct pair p = pair_open();

	CALL(shutdown(p.fd, 3));
	CALL(shutdown(p.fd, -1));
	CALL(send(p.fd, "a", 1, 0));
}

static void shutdown_after_both_have_finished(void)
{
	struct pair p = pair_open();
	char c;

	CALL(shutdown(p.fd, SHUT_WR));
	(void)far_recv(&p, &c, 1);
	(void)far_close(&p);
	CALL(recv(p.fd, &c, 1, 0));
	wait_broken(p.fd);
	CALL(shutdown(p.fd, SHUT_WR));
	CALL(shutdown(p.fd, SHUT_RD));
}

static void shutdown_after_a_reset(void)
{
	struct pair p = pair_open();

	(void)far_reset(&p);
	wait_broken(p.fd);
	CALL(shutdown(p.fd, SHUT_WR));
	CALL(shutdown(p.fd, SHUT_RDWR));
}

static void shutdown_after_the_far_end_closed(void)
{
	struct pair p = pair_open();

	(void)far_close(&p);
	(void)wait_for(p.fd, POLLRDHUP);
	CALL(shutdown(p.fd, SHUT_WR));
	wait_broken(p.fd);
	fact_ready(p.fd);
}

static void shutdown_lets_what_was_sent_arrive(void)
{
	struct pair p = pair_open();

	far_start_drain(&p, 1 << 20);
	fact("sent %zu", pattern_send(p.fd, 0, 1 << 20, 50000));
	CALL(shutdown(p.fd, SHUT_WR));
	fact("drained %ld", far_finish(&p));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void shutdown_events_of_a_finished_writer(void)
{
	struct pair p = pair_open();

	CALL(shutdown(p.fd, SHUT_WR));
	fact_ready(p.fd);
	(void)far_recv(&p, &(char){ 0 }, 1);
	fact_ready(p.fd);
	(void)far_shutdown(&p, SHUT_WR);
	wait_broken(p.fd);
	fact_ready(p.fd);
}

static void shutdown_events_of_a_finished_reader(void)
{
	struct pair p = pair_open();

	CALL(shutdown(p.fd, SHUT_RD));
	fact_ready(p.fd);
	CALL(shutdown(p.fd, SHUT_WR));
	fact_ready(p.fd);
}

static void shutdown_events_when_the_far_end_finishes(void)
{
	struct pair p = pair_open();

	(void)far_shutdown(&p, SHUT_WR);
	(void)wait_for(p.fd, POLLIN);
	fact_ready(p.fd);
	CALL(recv(p.fd, &(char){ 0 }, 1, 0));
	fact_ready(p.fd);
	CALL(shutdown(p.fd, SHUT_WR));
	wait_broken(p.fd);
	fact_ready(p.fd);
}

static void *recv_and_tell(void *arg)
{
	char c;

	CALL(recv(*(int *)arg, &c, 1, 0));
	return NULL;
}

static void shutdown_wakes_a_reader(void)
{
	struct pair p = pair_open();
	pthread_t thread;

	(void)pthread_create(&thread, NULL, recv_and_tell, &p.fd);
	(void)shutdown(p.fd, SHUT_RD); /* before or after it sleeps: the same */
	(void)pthread_join(thread, NULL);
}

static void shutdown_both_wakes_a_reader(void)
{
	struct pair p = pair_open();
	pthread_t thread;

	(void)pthread_create(&thread, NULL, recv_and_tell, &p.fd);
	(void)shutdown(p.fd, SHUT_RDWR); /* before or after it sleeps: the same */
	(void)pthread_join(thread, NULL);
}

static void *send_and_tell(void *arg)
{
	char c = 'w';
	ssize_t n = send(*(int *)arg, &c, 1, 0);

	(void)fact_call("send", n);
	return NULL;
}

static void shutdown_wakes_a_writer(void)
{
	struct pair p = pair_open_small();
	pthread_t thread;

	(void)fill(p.fd);
	(void)pthread_create(&thread, NULL, send_and_tell, &p.fd);
	(void)shutdown(p.fd, SHUT_WR); /* before or after it sleeps: the same */
	(void)pthread_join(thread, NULL);
	CALL(sigpipes());
}

static void *poll_and_tell(void *arg)
{
	fact_poll(*(int *)arg, POLLIN, -1);
	return NULL;
}

static void shutdown_wakes_poll(void)
{
	struct pair p = pair_open();
	pthread_t thread;

	(void)pthread_create(&thread, NULL, poll_and_tell, &p.fd);
	(void)shutdown(p.fd, SHUT_RD); /* before or after it sleeps: the same */
	(void)pthread_join(thread, NULL);
}

static void shutdown_does_not_close(void)
{
	struct pair p = pair_open();

	CALL(shutdown(p.fd, SHUT_RDWR));
	CALL(dup(p.fd) >= 0);
	CALL(option(p.fd, SOL_SOCKET, SO_ERROR));
	CALL(option(p.fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
	CALL(close(p.fd));
}

static void shutdown_reading_does_not_stop_the_far_end(void)
{
	struct pair p = pair_open();
	char buf[8];

	CALL(shutdown(p.fd, SHUT_RD));
	CALL(far_send(&p, "abc"));
	wait_bytes(p.fd, 3);
	fact_bytes("recv", recv(p.fd, buf, 3, 0), buf);
	CALL(recv(p.fd, buf, 3, 0));
}

const struct sem_case cases_shutdown[] = {
	FAR_CASE(shutdown_writing_is_the_end_there),
	FAR_CASE(shutdown_writing_twice),
	FAR_CASE(shutdown_reading_twice),
	FAR_CASE(shutdown_both),
	CASE(shutdown_unconnected),
	FAR_CASE(shutdown_how_is_wrong),
	FAR_CASE(shutdown_after_both_have_finished),
	FAR_CASE(shutdown_after_a_reset),
	FAR_CASE(shutdown_after_the_far_end_closed),
	FAR_CASE(shutdown_lets_what_was_sent_arrive),
	FAR_CASE(shutdown_events_of_a_finished_writer),
	FAR_CASE(shutdown_events_of_a_finished_reader),
	FAR_CASE(shutdown_events_when_the_far_end_finishes),
	FAR_CASE(shutdown_wakes_a_reader),
	FAR_CASE(shutdown_both_wakes_a_reader),
	FAR_CASE(shutdown_wakes_a_writer),
	FAR_CASE(shutdown_wakes_poll),
	FAR_CASE(shutdown_does_not_close),
	FAR_CASE(shutdown_reading_does_not_stop_the_far_end),
	CASES_END,
};
