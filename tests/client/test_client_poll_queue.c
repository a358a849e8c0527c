/* SPDX-License-Identifier: MIT */
/*
 * test_client_poll_queue.c - nc_poll that sleeps without pollable descriptors: at the slot of one
 * socket, at the queue of a thread for several. Whatever happens to the queue, each poll must tell
 * what is true, and wake for what it was asked for.
 */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_test.h"

struct poll_call {
	pthread_t thread;
	struct pollfd *fds;
	int nr, ret;
};

static void *poll_run(void *arg)
{
	struct poll_call *c = arg;

	c->ret = nc_poll(c->fds, (nfds_t)c->nr, 30000);
	return NULL;
}

static void poll_sleeps_until_one_of_many_is_ready(void **state)
{
	struct fake *f = fresh(&(struct fake_config){ .slots = 256 });
	struct fake_slot p[40];
	struct pollfd fds[40];
	struct poll_call c = { .fds = fds, .nr = 40 };
	char buf[RING] = { 0 };

	(void)state;
	for (int i = 0; i < 40; i++)
		fds[i] = (struct pollfd){ .fd = connected(f, &p[i]), .events = POLLIN };
	for (int round = 0; round < 40; round += 13) {
		assert_int_equal(pthread_create(&c.thread, NULL, poll_run, &c), 0);
		fake_await_qp(f, 1);
		fake_put(f, p[round], "x", 1);
		pthread_join(c.thread, NULL);
		assert_int_equal(c.ret, 1);
		assert_int_equal(fds[round].revents, POLLIN);
		assert_int_equal(nc_recv(fds[round].fd, buf, 4, 0), 1);
	}
	assert_int_equal(nc_send(fds[0].fd, buf, RING, 0), RING);
	fds[0].events = POLLOUT;
	c.nr = 1;
	assert_int_equal(pthread_create(&c.thread, NULL, poll_run, &c), 0);
	fake_await_wish(f, p[0], NOTIFY_FUTEX(EV_OUT));
	fake_take(f, p[0], buf, RING);
	pthread_join(c.thread, NULL);
	assert_int_equal(c.ret, 1);
	assert_int_equal(fds[0].revents, POLLOUT);
	for (int i = 0; i < 40; i++)
		closed(f, fds[i].fd);
	fake_stop(f);
}

/* Nothing else is waited for: no descriptor is made, and the daemon is asked for nothing. */
static void poll_of_one_sleeps_at_its_slot(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	struct pollfd fd = { .fd = connected(f, &p), .events = POLLIN };
	struct poll_call c = { .fds = &fd, .nr = 1 };
	char buf[4];

	for (int round = 0; round < 10; round++) {
		assert_int_equal(nc_poll(&fd, 1, 1), 0);
		assert_int_equal(pthread_create(&c.thread, NULL, poll_run, &c), 0);
		fake_await_wish(f, p, NOTIFY_FUTEX(EV_IN | EV_ERR | EV_HUP));
		fake_put(f, p, "x", 1);
		pthread_join(c.thread, NULL);
		assert_int_equal(c.ret, 1);
		assert_int_equal(fd.revents, POLLIN);
		assert_int_equal(nc_recv(fd.fd, buf, 4, 0), 1);
	}
	assert_int_equal(pthread_create(&c.thread, NULL, poll_run, &c), 0);
	fake_await_wish(f, p, NOTIFY_FUTEX(EV_IN));
	closed(f, fd.fd);
	pthread_join(c.thread, NULL);
	assert_int_equal(c.ret, 1);
	assert_int_equal(fd.revents, POLLNVAL);
	assert_int_equal(fake_asked(f, CTL_POLLFD), 0);
}

/* ---- the queue of a thread ---- */

struct pair {
	struct fake_slot slot[2];
	struct pollfd fds[2];
	struct poll_call call;
};

static void pair_connect(struct fake *f, struct pair *p)
{
	for (int i = 0; i < 2; i++)
		p->fds[i] = (struct pollfd){ .fd = connected(f, &p->slot[i]), .events = POLLIN };
	p->call = (struct poll_call){ .fds = p->fds, .nr = 2 };
}

static void pair_close(struct fake *f, struct pair *p)
{
	for (int i = 0; i < 2; i++)
		closed(f, p->fds[i].fd);
}

static void pair_poll(struct pair *p)
{
	assert_int_equal(pthread_create(&p->call.thread, NULL, poll_run, &p->call), 0);
}

/* The poll ends, with @nr readable; its byte is read. */
static void pair_readable(struct pair *p, int nr)
{
	char buf[4];

	pthread_join(p->call.thread, NULL);
	assert_int_equal(p->call.ret, 1);
	assert_int_equal(p->fds[nr].revents, POLLIN);
	assert_int_equal(p->fds[!nr].revents, 0);
	assert_int_equal(nc_recv(p->fds[nr].fd, buf, 4, 0), 1);
}

static void poll_tells_what_is_true_each_time(void **state)
{
	struct fake *f = *state;
	struct pair p;
	char buf[RING] = { 0 };

	pair_connect(f, &p);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(nc_poll(p.fds, 2, 1), 0);
		fake_put(f, p.slot[i % 2], "ab", 2);
		/* Level: as long as it is so. */
		for (int k = 0; k < 3; k++) {
			assert_int_equal(nc_poll(p.fds, 2, -1), 1);
			assert_int_equal(p.fds[i % 2].revents, POLLIN);
		}
		assert_int_equal(nc_recv(p.fds[i % 2].fd, buf, 4, 0), 2);
		/* Another wish than the last time. */
		p.fds[0].events = i % 3 ? POLLIN : POLLIN | POLLOUT;
		assert_int_equal(nc_poll(p.fds, 2, 1), i % 3 ? 0 : 1);
		p.fds[0].events = POLLIN;
	}
	assert_int_equal(nc_send(p.fds[0].fd, buf, RING, 0), RING);
	p.fds[0].events = POLLOUT;
	assert_int_equal(nc_poll(p.fds, 2, 1), 0);
	pair_poll(&p);
	fake_await_qp(f, 2);
	fake_take(f, p.slot[0], buf, RING);
	pthread_join(p.call.thread, NULL);
	assert_int_equal(p.fds[0].revents, POLLOUT);
	p.fds[0].events = POLLIN | POLLRDHUP;
	pair_poll(&p);
	fake_await_qp(f, 2);
	fake_eof(f, p.slot[0]);
	pthread_join(p.call.thread, NULL);
	assert_int_equal(p.fds[0].revents, POLLIN | POLLRDHUP);
	assert_int_equal(fake_asked(f, CTL_POLLFD), 0);
	pair_close(f, &p);
}

/* As signal(7) says of poll, whatever SA_RESTART says. */
static void handler(int sig)
{
	(void)sig;
}

static void poll_is_interrupted(void **state)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct fake *f = *state;
	struct pair p;

	pair_connect(f, &p);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	pair_poll(&p);
	fake_await_qp(f, 1);
	/* It may be armed and not asleep yet: until it hears. */
	do {
		assert_int_equal(pthread_kill(p.call.thread, SIGUSR1), 0);
		(void)sched_yield();
	} while (pthread_tryjoin_np(p.call.thread, NULL) == EBUSY);
	assert_int_equal(p.call.ret, -EINTR);
	pair_close(f, &p);
}

static void cancelled_thread_leaves_nothing(void **state)
{
	struct fake *f = *state;
	struct nc_cq *cq[15];
	struct pair p;

	pair_connect(f, &p);
	for (int i = 0; i < 20; i++) {
		pair_poll(&p);
		fake_await_qp(f, 1);
		assert_int_equal(pthread_cancel(p.call.thread), 0);
		pthread_join(p.call.thread, NULL);
	}
	for (int i = 0; i < 15; i++)
		assert_int_equal(nc_cq_create(&cq[i]), 0);
	/* No queue left: by pollable descriptors. */
	pair_poll(&p);
	fake_await_wish(f, p.slot[0], NOTIFY_FD(EV_IN));
	fake_put(f, p.slot[0], "x", 1);
	pair_readable(&p, 0);
	for (int i = 0; i < 15; i++)
		nc_cq_destroy(cq[i]);
	pair_close(f, &p);
}

static void several_threads_poll_the_same(void **state)
{
	struct fake *f = *state;
	struct pair p;
	struct poll_call other;

	pair_connect(f, &p);
	other = p.call;
	other.fds = (struct pollfd[]){ p.fds[0], p.fds[1] };
	for (int i = 0; i < 10; i++) {
		pair_poll(&p);
		fake_await_qp(f, 1);
		assert_int_equal(pthread_create(&other.thread, NULL, poll_run, &other), 0);
		/* The first keeps them; both wake. */
		fake_await_wish(f, p.slot[1], NOTIFY_FD(EV_IN));
		fake_put(f, p.slot[1], "x", 1);
		pthread_join(other.thread, NULL);
		assert_int_equal(other.ret, 1);
		assert_int_equal(other.fds[1].revents, POLLIN);
		pair_readable(&p, 1);
	}
	/* In turns, each takes them from the other. */
	assert_int_equal(nc_poll(p.fds, 2, 1), 0);
	for (int i = 0; i < 10; i++) {
		pair_poll(&p);
		fake_await_qp(f, 2);
		fake_put(f, p.slot[0], "x", 1);
		pair_readable(&p, 0);
		assert_int_equal(nc_poll(p.fds, 2, 1), 0);
	}
	pair_close(f, &p);
}

/* A queue of the program's is not kept from what a poll has. */
static void queue_takes_what_is_polled(void **state)
{
	struct fake *f = *state;
	struct nc_event e[4];
	struct nc_cq *cq;
	struct pair p;

	pair_connect(f, &p);
	pair_poll(&p);
	fake_await_qp(f, 1);
	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(nc_cq_add(cq, p.fds[1].fd, POLLIN, 7), 0);
	/* The poll goes on by the descriptor. */
	fake_await_wish(f, p.slot[1], NOTIFY_FD(EV_IN));
	fake_put(f, p.slot[1], "x", 1);
	assert_int_equal(nc_cq_wait(cq, e, 4, -1), 1);
	assert_int_equal(e[0].data, 7);
	pair_readable(&p, 1);
	/* It stays the queue's. */
	assert_int_equal(nc_poll(p.fds, 2, 1), 0);
	fake_put(f, p.slot[1], "x", 1);
	assert_int_equal(nc_poll(p.fds, 2, -1), 1);
	assert_int_equal(nc_cq_wait(cq, e, 4, -1), 1);
	assert_int_equal(nc_cq_remove(cq, p.fds[1].fd), 0);
	nc_cq_destroy(cq);
	pair_close(f, &p);
}

static void closed_or_dead_while_it_is_polled(void **state)
{
	struct fake *f = *state;
	struct pair p;

	pair_connect(f, &p);
	pair_poll(&p);
	fake_await_qp(f, 1);
	closed(f, p.fds[0].fd);
	fake_put(f, p.slot[1], "x", 1);
	pthread_join(p.call.thread, NULL);
	assert_int_equal(p.fds[0].revents, POLLNVAL);
	assert_int_equal(p.fds[1].revents, POLLIN);
	p.fds[0].fd = connected(f, &p.slot[0]);
	assert_int_equal(nc_recv(p.fds[1].fd, &(char){ 0 }, 1, 0), 1);
	assert_int_equal(nc_poll(p.fds, 2, 1), 0);
	pair_poll(&p);
	fake_await_qp(f, 2);
	fake_hang_up(f);
	pthread_join(p.call.thread, NULL);
	assert_true(p.call.ret > 0);
	assert_true((p.fds[0].revents | p.fds[1].revents) & POLLERR);
	for (int i = 0; i < 2; i++)
		assert_int_equal(nc_close(p.fds[i].fd), 0);
	/* Of the next daemon, by a queue of its own. */
	f = fresh(&(struct fake_config){ 0 });
	pair_connect(f, &p);
	assert_int_equal(nc_poll(p.fds, 2, 1), 0);
	assert_int_equal(fake_asked(f, CTL_POLLFD), 0);
	pair_close(f, &p);
	fake_stop(f);
}

static void forked_child_has_a_queue_of_its_own(void **state)
{
	struct fake *f = *state;
	struct pair p;
	int status;
	pid_t pid;

	pair_connect(f, &p);
	assert_int_equal(nc_poll(p.fds, 2, 1), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(nc_poll(p.fds, 2, 1) == 2 && p.fds[0].revents == POLLNVAL ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	fake_put(f, p.slot[1], "x", 1);
	assert_int_equal(nc_poll(p.fds, 2, -1), 1);
	pair_close(f, &p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(poll_sleeps_until_one_of_many_is_ready),
		cmocka_unit_test_setup_teardown(poll_of_one_sleeps_at_its_slot, start, stop),
		cmocka_unit_test_setup_teardown(poll_tells_what_is_true_each_time, start, stop),
		cmocka_unit_test_setup_teardown(poll_is_interrupted, start, stop),
		cmocka_unit_test_setup_teardown(cancelled_thread_leaves_nothing, start, stop),
		cmocka_unit_test_setup_teardown(several_threads_poll_the_same, start, stop),
		cmocka_unit_test_setup_teardown(queue_takes_what_is_polled, start, stop),
		cmocka_unit_test_setup_teardown(closed_or_dead_while_it_is_polled, start, stop),
		cmocka_unit_test_setup_teardown(forked_child_has_a_queue_of_its_own, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
