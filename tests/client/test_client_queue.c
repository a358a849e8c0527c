/* SPDX-License-Identifier: MIT */
/*
 * test_client_queue.c - what ncd-run builds on: completion queues of level and of one shot, whose
 * sleepers are in the kernel; and pollable descriptors that are true only while they are watched.
 * No event may be lost, whoever of several threads takes it, and nobody may pay who does not wait.
 */
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../../libclient/attach.h"
#include "../../libclient/cq.h"
#include "../../libclient/pollfd.h"
#include "client_test.h"

#define ALL (POLLIN | POLLOUT | POLLRDHUP)

static short ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = ALL };

	assert_true(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static void level_is_reported_as_long_as_it_is_true(void **state)
{
	struct fake *f = *state;
	struct nc_event e[4];
	struct fake_slot p, q;
	int s = connected(f, &p), t = connected(f, &q);
	struct nc_cq *cq;
	char buf[4];

	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(cq_add(cq, s, POLLIN, CQ_LEVEL, 1), 0);
	assert_int_equal(cq_add(cq, t, POLLIN, CQ_LEVEL, 2), 0);
	assert_int_equal(cq_poll(cq, e, 4), 0);
	fake_put(f, p, "ab", 2);
	fake_put(f, q, "cd", 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(cq_poll(cq, e, 4), 2);
	/* With little room they take turns. */
	assert_int_equal(cq_poll(cq, &e[0], 1), 1);
	assert_int_equal(cq_poll(cq, &e[1], 1), 1);
	assert_true(e[0].data != e[1].data);
	assert_int_equal(nc_recv(s, buf, 4, 0), 2);
	assert_int_equal(cq_poll(cq, e, 4), 1);
	assert_int_equal(e[0].data, 2);
	assert_int_equal(nc_recv(t, buf, 4, 0), 2);
	assert_int_equal(cq_poll(cq, e, 4), 0);
	fake_eof(f, q);
	assert_int_equal(cq_poll(cq, e, 4), 1);
	assert_int_equal(cq_poll(cq, e, 4), 1);
	closed(f, t);
	assert_int_equal(cq_poll(cq, e, 4), 0);
	closed(f, s);
	nc_cq_destroy(cq);
}

static void one_shot_is_silent_until_it_is_modified(void **state)
{
	const uint32_t flags[] = { CQ_ONESHOT, CQ_ONESHOT | CQ_LEVEL };
	struct fake *f = *state;
	struct nc_event e[4];
	struct fake_slot p;
	int s = connected(f, &p);
	struct nc_cq *cq;

	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(cq_add(cq, s, POLLIN, flags[0], 1), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(cq_modify(cq, s, POLLIN, flags[i], 1), 0);
		fake_put(f, p, "a", 1);
		assert_int_equal(cq_poll(cq, e, 4), 1);
		fake_put(f, p, "b", 1);
		assert_int_equal(cq_poll(cq, e, 4), 0);
		assert_int_equal(cq_modify(cq, s, POLLIN, flags[i], 7), 0);
		assert_int_equal(cq_poll(cq, e, 4), 1);
		assert_int_equal(e[0].data, 7);
		assert_int_equal(cq_poll(cq, e, 4), 0);
	}
	/* Not even of an end. */
	fake_reset(f, p, -ECONNRESET);
	assert_int_equal(cq_poll(cq, e, 4), 0);
	assert_int_equal(cq_modify(cq, s, 0, CQ_LEVEL, 8), 0);
	assert_int_equal(cq_poll(cq, e, 4), 1);
	assert_int_equal(e[0].events, POLLERR | POLLHUP);
	closed(f, s);
	nc_cq_destroy(cq);
}

/* nc_cq(3), as epoll(7): who has read less than he asked for is told of whatever comes. */
static void a_short_read_has_taken_all(void **state)
{
	struct fake *f = *state;
	struct nc_event e[4];
	struct fake_slot p;
	int s = connected(f, &p);
	struct nc_cq *cq;
	char buf[8];

	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(nc_cq_add(cq, s, POLLIN | POLLRDHUP, 1), 0);
	fake_put(f, p, "ab", 2);
	assert_int_equal(nc_cq_wait(cq, e, 4, 0), 1);
	assert_int_equal(e[0].events, POLLIN);
	/* Behind the report, before the read: taken along, and told once more. */
	fake_put(f, p, "cd", 2);
	assert_int_equal(nc_recv(s, buf, 8, 0), 4);
	fake_put(f, p, "e", 1);
	assert_int_equal(nc_cq_wait(cq, e, 4, 0), 1);
	assert_int_equal(e[0].events, POLLIN);
	assert_int_equal(nc_recv(s, buf, 8, 0), 1);
	assert_int_equal(nc_cq_wait(cq, e, 4, 0), 0);
	/* The end together with bytes. */
	fake_put(f, p, "f", 1);
	fake_eof(f, p);
	assert_int_equal(nc_cq_wait(cq, e, 4, 0), 1);
	assert_int_equal(e[0].events, POLLIN | POLLRDHUP);
	assert_int_equal(nc_recv(s, buf, 8, 0), 1);
	assert_int_equal(nc_recv(s, buf, 8, 0), 0);
	closed(f, s);
	nc_cq_destroy(cq);
}

/* ---- threads that sleep in an epoll, as preload/epoll_wait.c does it ---- */

struct sleeper {
	struct call call;
	int ep;
	_Atomic int *hold; /* stays with what it has got until it is set */
};

static long run_sleeper(struct call *c)
{
	struct sleeper *me = (struct sleeper *)(void *)c;
	struct epoll_event kernel;
	struct nc_event e;

	for (;;) {
		int n = cq_poll(c->cq, &e, 1);

		cq_pass_on(c->cq);
		if (n > 0 || cq_dead(c->cq))
			break;
		if (!cq_sleep_enter(c->cq))
			continue;
		assert_true(epoll_wait(me->ep, &kernel, 1, -1) >= 0);
		cq_sleep_leave(c->cq);
	}
	while (!atomic_load(me->hold))
		(void)sched_yield(); /* only a hint */
	return (long)e.data;
}

static int epoll_of(struct nc_cq *cq)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(0);

	assert_true(ep >= 0);
	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, nc_cq_fd(cq), &e), 0);
	(void)epoll_wait(ep, &e, 1, 0); /* it begins readable */
	return ep;
}

static void each_sleeper_takes_one(void **state)
{
	struct fake *f = *state;
	struct fake_slot p, q;
	int s = connected(f, &p), t = connected(f, &q);
	_Atomic int hold = 0;
	struct sleeper a = { .hold = &hold }, b;
	struct nc_event e[2];
	struct nc_cq *cq;

	assert_int_equal(nc_cq_create(&cq), 0);
	a.ep = epoll_of(cq);
	a.call = (struct call){ .run = run_sleeper, .cq = cq };
	b = a;
	for (int i = 0; i < 50; i++) {
		hold = 0;
		assert_int_equal(cq_add(cq, s, POLLIN, 0, 1), 0);
		assert_int_equal(cq_add(cq, t, POLLIN, 0, 2), 0);
		(void)cq_poll(cq, e, 2); /* what is left of the round before */
		call_start(&a.call);
		call_start(&b.call);
		FAKE_AWAIT(atomic_load(&cq->sleepers) == 2);
		/* One of them holds what he has taken: the other one must get the rest. */
		fake_put(f, p, "a", 1);
		fake_put(f, q, "b", 1);
		FAKE_AWAIT(atomic_load(&cq->sleepers) == 0);
		hold = 1;
		assert_int_equal(call_end(&a.call) + call_end(&b.call), 3);
		assert_int_equal(nc_cq_remove(cq, s), 0);
		assert_int_equal(nc_cq_remove(cq, t), 0);
		assert_int_equal(nc_recv(s, e, 4, 0), 1);
		assert_int_equal(nc_recv(t, e, 4, 0), 1);
	}
	close(a.ep);
	nc_cq_destroy(cq);
	closed(f, s);
	closed(f, t);
}

static void all_sleepers_hear_that_the_daemon_has_gone(void **state)
{
	struct fake *f = *state;
	_Atomic int hold = 1;
	struct sleeper a = { .hold = &hold }, b, c;
	struct nc_cq *cq;

	assert_int_equal(nc_cq_create(&cq), 0);
	a.ep = epoll_of(cq);
	a.call = (struct call){ .run = run_sleeper, .cq = cq };
	b = c = a;
	call_start(&a.call);
	call_start(&b.call);
	call_start(&c.call);
	FAKE_AWAIT(atomic_load(&cq->sleepers) == 3);
	fake_hang_up(f);
	(void)call_end(&a.call);
	(void)call_end(&b.call);
	(void)call_end(&c.call);
	assert_true(cq_dead(cq));
	close(a.ep);
	nc_cq_destroy(cq);
}

/* ---- pollable descriptors ---- */

static void nobody_pays_for_a_descriptor_nobody_watches(void **state)
{
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p), fd = pollfd_unwatched(s);
	char buf[4];

	assert_true(fd >= 0);
	assert_int_equal(pollfd_unwatched(s), fd);
	for (int i = 0; i < 3; i++) {
		fake_put(f, p, "ab", 2);
		assert_int_equal(nc_recv(s, buf, 4, 0), 2);
		assert_int_equal(nc_recv(s, buf, 4, MSG_DONTWAIT), -EAGAIN);
	}
	assert_int_equal(fake_asked(f, CTL_POLLFD), 0);
	assert_int_equal(atomic_load(&fake_shm(f, p)->notify) & NOTIFY_FD(EV_ALL), 0);
	closed(f, s);
}

static void watching_makes_up_for_what_was_missed(void **state)
{
	struct fake *f = *state;
	char *buf = calloc(1, RING);
	struct fake_slot p;
	int s = connected(f, &p), fd = pollfd_watch(s);

	for (int i = 0; i < 5; i++) {
		assert_int_equal(ready(fd), POLLOUT);
		pollfd_unwatch(s);
		fake_put(f, p, "ab", 2);
		assert_int_equal(nc_send(s, buf, RING, 0), RING);
		assert_int_equal(pollfd_watch(s), fd);
		assert_int_equal(ready(fd), POLLIN);
		pollfd_unwatch(s);
		assert_int_equal(nc_recv(s, buf, 4, 0), 2);
		assert_int_equal(fake_take(f, p, buf, RING), RING);
		fake_drain(f);
		assert_int_equal(pollfd_watch(s), fd);
	}
	assert_int_equal(fake_asked(f, CTL_POLLFD), 1);
	pollfd_unwatch(s);
	fake_eof(f, p);
	assert_int_equal(pollfd_watch(s), fd);
	assert_int_equal(ready(fd), POLLIN | POLLOUT | POLLRDHUP);
	free(buf);
	closed(f, s);
}

static void an_error_is_there_for_who_has_the_descriptor_for_good(void **state)
{
	struct fake *f = *state;
	struct fake_slot p, q;
	int s = connected(f, &p), t = connected(f, &q), error;
	int fd = pollfd_watch(s), ft = pollfd_unwatched(t);
	socklen_t len = sizeof(error);

	fake_reset(f, p, -ECONNRESET);
	assert_true(ready(fd) & POLLHUP);
	assert_int_equal(nc_pollfd(s), fd);
	assert_true(ready(fd) & POLLERR && ready(fd) & POLLHUP);
	assert_int_equal(nc_getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	assert_int_equal(error, ECONNRESET);
	assert_false(ready(fd) & POLLERR);
	/* Taken while nobody watched: at once, and not there for who comes later. */
	fake_reset(f, q, -ECONNRESET);
	assert_int_equal(nc_getsockopt(t, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	assert_int_equal(error, ECONNRESET);
	assert_int_equal(nc_pollfd(t), ft);
	assert_true(ready(ft) & POLLHUP);
	assert_false(ready(ft) & POLLERR);
	closed(f, s);
	closed(f, t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(level_is_reported_as_long_as_it_is_true, start,
						stop),
		cmocka_unit_test_setup_teardown(one_shot_is_silent_until_it_is_modified, start,
						stop),
		cmocka_unit_test_setup_teardown(a_short_read_has_taken_all, start, stop),
		cmocka_unit_test_setup_teardown(each_sleeper_takes_one, start, stop),
		cmocka_unit_test_setup_teardown(all_sleepers_hear_that_the_daemon_has_gone, start,
						stop),
		cmocka_unit_test_setup_teardown(nobody_pays_for_a_descriptor_nobody_watches, start,
						stop),
		cmocka_unit_test_setup_teardown(watching_makes_up_for_what_was_missed, start,
						stop),
		cmocka_unit_test_setup_teardown(
			an_error_is_there_for_who_has_the_descriptor_for_good, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
