/* SPDX-License-Identifier: MIT */
/*
 * test_client_listener.c - listeners that share what arrives with those of other processes.
 *
 * Goal: the library shows its title, says when a thread waits, asks for what others have, and does
 * not take what the daemon has taken back. Method: the fake plays the daemon, the test the program.
 */
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client_test.h"
#include "listener.h"
#include "pollfd.h"

#define PORT 8080

static int set_up(void **state)
{
	*state = fake_start(&(struct fake_config){ .workers = 2 });
	return 0;
}

static int tear_down(void **state)
{
	fake_stop(*state);
	return 0;
}

/* A virtual socket that listens with @title; the first has listener 0 of the fake. */
static int share(int title)
{
	struct sockaddr_in in = address("0.0.0.0", PORT);
	int s = nc_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(s >= NC_SOCKET_BASE);
	assert_int_equal(listener_open(s, (struct sockaddr *)&in, sizeof(in), 16, title), 0);
	return s;
}

static void a_negative_backlog_is_the_largest(void **state)
{
	static const struct {
		int want;
		uint32_t asked;
	} t[] = {
		{ -1, NCD_BACKLOG_MAX },
		{ INT_MIN, NCD_BACKLOG_MAX },
		{ INT_MAX, NCD_BACKLOG_MAX },
		{ 0, 1 },
		{ 7, 7 },
	};
	struct fake *f = *state;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int s = nc_socket(AF_INET, SOCK_STREAM, 0);
		bool shown;

		assert_int_equal(nc_listen(s, t[i].want), 0);
		assert_int_equal(fake_listen(f, &shown).backlog, t[i].asked);
		assert_int_equal(nc_close(s), 0);
	}
}

static void the_title_stands_in_for_a_bound_port(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in in = address("0.0.0.0", PORT);
	int title = open("/dev/null", O_RDONLY | O_CLOEXEC), s = share(title);
	struct ctl_addr msg;
	bool shown;

	msg = fake_listen(f, &shown);
	assert_true(shown);
	assert_int_equal(msg.flags, CTL_ADDR_TITLE);
	assert_int_equal(msg.port, PORT);
	/* Twice changes nothing, elsewhere is an error; a listener it stays. */
	assert_int_equal(nc_listen(s, 5), 0);
	assert_int_equal(nc_bind(s, (struct sockaddr *)&in, sizeof(in)), -EINVAL);
	assert_int_equal(fake_asked(f, CTL_LISTEN), 1);
	assert_int_equal(nc_close(s), 0);
	assert_int_equal(fake_asked(f, CTL_BIND), 0);
	assert_int_equal(fake_asked(f, CTL_UNLISTEN), 1);
	assert_int_equal(fake_asked(f, CTL_UNBIND), 0);
	close(title);
}

static void refused_it_can_be_bound_to_something_else(void **state)
{
	struct fake *f = *state;
	struct sockaddr_in in = address("0.0.0.0", PORT);
	int s = nc_socket(AF_INET, SOCK_STREAM, 0);

	fake_answer(f, CTL_LISTEN, -EINVAL);
	assert_int_equal(listener_open(s, (struct sockaddr *)&in, sizeof(in), 16, 0), -EINVAL);
	fake_answer(f, CTL_LISTEN, 0);
	assert_int_equal(nc_bind(s, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listener_open(s, (struct sockaddr *)&in, sizeof(in), 16, 0), -EINVAL);
	assert_int_equal(nc_listen(s, 16), 0);
	assert_int_equal(listener_open(-1, (struct sockaddr *)&in, sizeof(in), 16, 0), -EBADF);
	assert_int_equal(nc_close(s), 0);
}

static void who_waits_is_counted_and_asks_for_what_others_have(void **state)
{
	struct fake *f = *state;
	int s = share(0);
	struct listener_shm *l = fake_listener(f, 0);
	struct fake_slot asked;

	listener_wait_begin(s);
	listener_wait_begin(s); /* a second thread */
	assert_int_equal(atomic_load(&l->waiting), 2);
	assert_true(fake_idle(f));
	listener_wait_end(s);
	listener_wait_end(s);
	listener_wait_end(s); /* of a socket that had the number before */
	assert_int_equal(atomic_load(&l->waiting), 0);
	atomic_store(&l->elsewhere, 2); /* the second worker's bit */
	listener_wait_begin(s);
	asked = fake_expect(f, SQ_SHARE);
	assert_int_equal(asked.worker, 1);
	assert_int_equal(asked.slot, 0);
	listener_wait_end(s);
	listener_ask(s);
	assert_int_equal(fake_expect(f, SQ_SHARE).worker, 1);
	/* Who has something does not ask. */
	(void)fake_incoming(f, 0, 0);
	listener_wait_begin(s);
	assert_true(fake_idle(f));
	listener_wait_end(s);
	assert_int_equal(nc_close(s), 0);
	/* A number that listens no more. */
	listener_wait_begin(s);
	listener_wait_end(s);
	listener_busy(s);
	listener_ask(-1);
}

static void who_is_busy_offers_what_is_queued(void **state)
{
	struct fake *f = *state;
	int s = share(0);
	struct listener_shm *l = fake_listener(f, 0);

	(void)fake_incoming(f, 1, 0);
	listener_busy(s); /* there are no others */
	assert_true(fake_idle(f));
	atomic_store(&l->shared, 1);
	listener_busy(s);
	assert_int_equal(fake_expect(f, SQ_SHARE).worker, 1);
	assert_true(fake_idle(f));
	assert_int_equal(nc_close(s), 0);
}

static void what_was_taken_back_is_not_accepted(void **state)
{
	struct fake *f = *state;
	int s = share(0), fd = nc_pollfd(s), got;
	struct pollfd p = { .fd = s, .events = POLLIN };
	struct fake_slot third;

	(void)fake_incoming(f, 0, 0);
	assert_true(fake_take_back(f, 0, 0));
	assert_int_equal(nc_accept4(s, NULL, NULL, 0), -EAGAIN);
	assert_int_equal(nc_poll(&p, 1, 0), 0);
	assert_int_equal(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0), 0);
	(void)fake_incoming(f, 0, 0);
	assert_true(fake_take_back(f, 0, 0));
	third = fake_incoming(f, 0, 0);
	assert_int_equal(nc_poll(&p, 1, 0), 1);
	assert_int_equal(atomic_load(&fake_listener(f, 0)->accepted), 0);
	got = nc_accept4(s, NULL, NULL, SOCK_NONBLOCK);
	assert_true(got >= 0);
	assert_int_equal(atomic_load(&fake_listener(f, 0)->accepted), 1);
	assert_false(fake_take_back(f, 0, 0));
	fake_put(f, third, "x", 1);
	assert_int_equal(nc_recv(got, &(char){ 0 }, 1, 0), 1);
	assert_int_equal(nc_accept4(s, NULL, NULL, 0), -EAGAIN);
	assert_int_equal(nc_close(got), 0);
	assert_int_equal(nc_close(s), 0);
	atomic_store(&fake_listener(f, 1)->accepted, 1); /* whoever had the number before */
	s = share(0);
	assert_int_equal(atomic_load(&fake_listener(f, 1)->accepted), 0);
	assert_int_equal(nc_close(s), 0);
	(void)fake_drain(f);
}

static void *accepts(void *s)
{
	return (void *)(intptr_t)nc_accept4(*(int *)s, NULL, NULL, 0);
}

static long accept_as_if_blocking(struct call *c)
{
	return listener_accept(c->s, NULL, NULL, 0, true, NULL, NULL);
}

/* The daemon has served the wish, and gets to the token only when the stream has been accepted. */
static void a_late_token_tells_nothing_that_is_gone(void **state)
{
	struct fake *f = *state;
	struct call c = { .run = accept_as_if_blocking, .s = share(0) };
	struct pollfd p = { .fd = nc_pollfd(c.s), .events = POLLIN };
	struct listener_shm *l = fake_listener(f, 0);

	assert_true(atomic_fetch_and(&l->notify, ~NOTIFY_FD(EV_IN)) & NOTIFY_FD(EV_IN));
	(void)fake_incoming(f, 1, 0);
	call_start(&c);
	fake_await_listener_wish(f, 0, NOTIFY_FD(EV_IN)); /* accepted: it asks for the next */
	fake_token(f, 0);
	assert_true(call_end(&c) >= 0);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(nc_close((int)c.ret), 0);
	/* Who does not block is not made to wait: he finds nothing, the next time. */
	assert_true(atomic_fetch_and(&l->notify, ~NOTIFY_FD(EV_IN)) & NOTIFY_FD(EV_IN));
	(void)fake_incoming(f, 1, 0);
	c.ret = listener_accept(c.s, NULL, NULL, 0, false, NULL, NULL);
	assert_true(c.ret >= 0);
	fake_token(f, 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(listener_accept(c.s, NULL, NULL, 0, false, NULL, NULL), -EAGAIN);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(nc_close((int)c.ret), 0);
	assert_int_equal(nc_close(c.s), 0);
	(void)fake_drain(f);
}

/* Remembers the number, and fails as long as it is told to. */
struct wish {
	int error, number;
};

static int prepare(int number, void *arg)
{
	struct wish *w = arg;

	w->number = number;
	return w->error;
}

static void what_cannot_be_prepared_for_stays_in_the_queue(void **state)
{
	struct fake *f = *state;
	struct wish wish = { .error = -EMFILE, .number = -1 };
	int s = share(0), got;
	struct pollfd p = { .fd = s, .events = POLLIN };

	assert_int_equal(listener_accept(s, NULL, NULL, 0, false, prepare, &wish), -EAGAIN);
	assert_int_equal(wish.number, -1); /* nobody waits: not asked */
	(void)fake_incoming(f, 0, 0);
	assert_int_equal(listener_accept(s, NULL, NULL, 0, false, prepare, &wish), -EMFILE);
	assert_int_equal(nc_close(wish.number), -EBADF);
	assert_int_equal(nc_poll(&p, 1, 0), 1);
	wish.error = 0;
	got = listener_accept(s, NULL, NULL, 0, false, prepare, &wish);
	assert_true(got >= 0 && got == wish.number);
	assert_int_equal(listener_accept(s, NULL, NULL, 0, false, prepare, &wish), -EAGAIN);
	assert_int_equal(nc_close(got), 0);
	assert_int_equal(nc_close(s), 0);
	(void)fake_drain(f);
}

static void shutdown_ends_listening_and_who_waits_for_it(void **state)
{
	struct fake *f = *state;
	int s = listening(PORT);
	struct listener_shm *l = fake_listener(f, 0);
	pthread_t thread[2];
	void *got;

	assert_int_equal(nc_shutdown(s, SHUT_WR), 0); /* means nothing there */
	assert_int_equal(nc_shutdown(s, 3), -EINVAL);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, accepts, &s), 0);
	/* One of them is about to sleep, or sleeps. */
	FAKE_AWAIT(atomic_load(&l->notify) & NOTIFY_FUTEX(EV_IN));
	assert_int_equal(nc_shutdown(s, SHUT_RD), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(thread[i], &got), 0);
		assert_int_equal((intptr_t)got, -EINVAL);
	}
	assert_int_equal(fake_asked(f, CTL_UNLISTEN), 1);
	assert_int_equal(nc_accept4(s, NULL, NULL, 0), -EINVAL);
	assert_int_equal(nc_shutdown(s, SHUT_RD), -ENOTCONN);
	assert_int_equal(nc_close(s), 0);
	assert_int_equal(fake_asked(f, CTL_UNLISTEN), 1);
}

static void who_looks_at_one_shut_down_sees_it_hung_up(void **state)
{
	struct fake *f = *state;
	int s = listening(PORT), fd = nc_pollfd(s), got;
	struct nc_cq *cq;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct nc_event e;

	assert_int_equal(nc_ioctl(s, FIONBIO, &(int){ 1 }), 0);
	assert_int_equal(nc_cq_create(&cq), 0);
	assert_int_equal(nc_cq_add(cq, s, POLLIN, 7), 0);
	assert_int_equal(nc_cq_wait(cq, &e, 1, 0), 0);
	assert_int_equal(nc_shutdown(s, SHUT_RDWR), 0);
	assert_int_equal(nc_cq_wait(cq, &e, 1, 1000), 1);
	assert_int_equal(e.data, 7);
	assert_true(e.events & POLLHUP);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(p.revents & POLLHUP);
	/* It is still bound, and may listen again. */
	assert_int_equal(nc_listen(s, 16), 0);
	assert_int_equal(nc_accept4(s, NULL, NULL, 0), -EAGAIN);
	assert_int_equal(poll(&p, 1, 0), 0);
	(void)fake_incoming(f, 1, 1);
	assert_int_equal(poll(&p, 1, 1000), 1);
	assert_int_equal(nc_cq_wait(cq, &e, 1, 1000), 1);
	got = nc_accept4(s, NULL, NULL, 0);
	assert_true(got >= 0);
	assert_int_equal(nc_close(got), 0);
	assert_int_equal(nc_close(s), 0);
	nc_cq_destroy(cq);
	(void)fake_drain(f);
}

static void the_daemon_is_found_again_without_its_name(void **state)
{
	struct fake *f = *state;
	char *name = strdup(getenv("NCD_SOCKET"));
	int s = share(0);

	assert_int_equal(nc_close(s), 0);
	assert_int_equal(unsetenv("NCD_SOCKET"), 0);
	fake_hang_up(f);
	FAKE_AWAIT(nc_socket(AF_INET, SOCK_STREAM, 0) >= 0 && fake_attached(f));
	assert_int_equal(setenv("NCD_SOCKET", name, 1), 0);
	free(name);
}

/*
 * The kernel's listening socket lives on: who was told of a client that is not there would wait for
 * it in accept(2), for ever.
 */
static void the_end_of_the_daemon_is_no_client(void **state)
{
	struct fake *f = *state;
	int s = share(0), fd = nc_pollfd(s);
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

	assert_true(fd >= 0);
	assert_false(listener_dead(s));
	assert_int_equal(poll(&p, 1, 0), 0);
	fake_hang_up(f);
	FAKE_AWAIT(listener_dead(s));
	/* A socket that is told behind it: whoever is, has been. */
	FAKE_AWAIT(nc_socket(AF_INET, SOCK_STREAM, 0) >= 0 && fake_attached(f));
	assert_int_equal(poll(&p, 1, 50), 0);
	assert_int_equal(nc_accept4(s, NULL, NULL, 0), -ECONNRESET);
	assert_int_equal(nc_close(s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(a_negative_backlog_is_the_largest),
		T(the_title_stands_in_for_a_bound_port),
		T(refused_it_can_be_bound_to_something_else),
		T(who_waits_is_counted_and_asks_for_what_others_have),
		T(who_is_busy_offers_what_is_queued),
		T(what_was_taken_back_is_not_accepted),
		T(a_late_token_tells_nothing_that_is_gone),
		T(what_cannot_be_prepared_for_stays_in_the_queue),
		T(shutdown_ends_listening_and_who_waits_for_it),
		T(who_looks_at_one_shut_down_sees_it_hung_up),
		T(the_daemon_is_found_again_without_its_name),
		T(the_end_of_the_daemon_is_no_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
