/* SPDX-License-Identifier: MIT */
/*
 * test_client_share.c - Goal: what a client shares is found by who passes the descriptor, and by
 * nobody else; its end is heard when the last copy is closed. Messages that lie cost the liar his
 * attachment. Method: control_rig.h: fake workers, real sockets and descriptors.
 */
#include "../ncd_test.h"

#include "control_rig.h"
#include "ncd/descriptor_name.h"
#include "shared.h"

static int set_up(void **state)
{
	*state = rig_create(64);
	return 0;
}

static int tear_down(void **state)
{
	rig_destroy(*state);
	return 0;
}

static int app_attach(struct rig *r)
{
	struct ctl_hello hello = rig_hello();
	union ctl_message msg;
	int fd = rig_connect(r), got;

	assert_true(rig_send(fd, &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(r);
	assert_int_equal(rig_receive(fd, &msg, &got), sizeof(msg.welcome));
	close(got);
	return fd;
}

static bool app_has_ended(struct rig *r, int fd)
{
	union ctl_message msg;
	int got;

	rig_pump(r);
	return rig_receive(fd, &msg, &got) == 0;
}

/* The result; the rest of the answer through the pointers. */
static int ask(struct rig *r, int fd, const void *msg, size_t bytes, const int *fds, uint32_t nr,
	       uint32_t *ret_value, int *ret_fd)
{
	union ctl_message reply;

	assert_true(rig_send(fd, msg, bytes, fds, nr) > 0);
	rig_pump(r);
	assert_int_equal(rig_receive(fd, &reply, ret_fd), sizeof(reply.reply));
	assert_int_equal(reply.head.type, CTL_REPLY);
	*ret_value = reply.reply.value;
	return reply.reply.result;
}

static struct ctl_share share_of(uint32_t nr, uint8_t flags)
{
	struct ctl_share msg = { .head = { .type = CTL_SHARE, .tag = 7 }, .nr = nr };

	for (uint32_t i = 0; i < nr && i < CTL_SHARE_MAX; i++)
		msg.entry[i] = (struct ctl_share_entry){ .slot = i, .worker = 1, .flags = flags };
	return msg;
}

static int share(struct rig *r, int fd, const int pair[2])
{
	struct ctl_share msg = share_of(1, SHARE_END);
	uint32_t value;
	int got;

	return ask(r, fd, &msg, sizeof(msg), pair, 2, &value, &got);
}

static int take(struct rig *r, int fd, int end, uint32_t *ret_value, int *ret_fd)
{
	struct ctl_head msg = { .type = CTL_TAKE, .tag = 8 };

	return ask(r, fd, &msg, sizeof(msg), &end, 1, ret_value, ret_fd);
}

static void make_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
}

static void who_has_the_descriptor_may_take(void **state)
{
	struct rig *r = *state;
	int one = app_attach(r), two = app_attach(r), pair[2], other[2], got;
	uint32_t value;

	make_pair(pair);
	make_pair(other);
	assert_int_equal(take(r, two, pair[0], &value, &got), -ENOENT);
	assert_int_equal(share(r, one, pair), 0);
	/* The same twice is no harm. */
	assert_int_equal(share(r, one, pair), 0);
	assert_int_equal(take(r, two, other[0], &value, &got), -ENOENT);
	assert_int_equal(take(r, two, pair[1], &value, &got), -ENOENT);
	assert_int_equal(got, -1);
	assert_int_equal(take(r, two, pair[0], &value, &got), 0);
	assert_int_equal(ctl_taken_worker(value), 1);
	assert_int_equal(ctl_taken_slot(value), 5);
	assert_int_equal(r->workers.worker[1]->last.share.stream, 100);
	/* It is the other end: what is written there is read here. */
	assert_int_equal(send(got, "x", 1, 0), 1);
	assert_int_equal(recv(pair[0], &(char){ 0 }, 1, 0), 1);
	close(got);
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(other[i]);
	}
	close(one);
	close(two);
}

static void the_end_has_a_name(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un sun;
	socklen_t bytes = sizeof(sun);
	int one = app_attach(r), pair[2];

	make_pair(pair);
	assert_int_equal(share(r, one, pair), 0);
	assert_int_equal(getpeername(pair[0], (struct sockaddr *)&sun, &bytes), 0);
	assert_int_equal(descriptor_name_is(&sun, bytes, DESCRIPTOR_STREAM,
					    descriptor_cookie(pair[0])),
			 AF_INET);
	close(pair[0]);
	close(pair[1]);
	close(one);
}

static void a_name_alone_takes_nothing(void **state)
{
	struct rig *r = *state;
	int one = app_attach(r), two = app_attach(r), pair[2], forged[2], got;
	struct sockaddr_un sun;
	uint32_t value;

	make_pair(pair);
	make_pair(forged);
	assert_int_equal(share(r, one, pair), 0);
	/* As in another network namespace, where the name is free. */
	assert_int_equal(bind(forged[1], (struct sockaddr *)&sun,
			      descriptor_name(&sun, DESCRIPTOR_STREAM, AF_INET,
					      descriptor_cookie(pair[0]), 1)),
			 0);
	assert_int_equal(take(r, two, forged[0], &value, &got), -ENOENT);
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(forged[i]);
	}
	close(one);
	close(two);
}

static void the_last_copy_that_is_closed_is_the_end(void **state)
{
	struct rig *r = *state;
	int one = app_attach(r), pair[2], copy, got;
	uint32_t value;

	make_pair(pair);
	copy = dup(pair[0]);
	assert_int_equal(share(r, one, pair), 0);
	close(pair[1]);
	close(pair[0]);
	/* Neither bytes nor half an end nor the client's death. */
	assert_int_equal(send(copy, "x", 1, 0), 1);
	assert_int_equal(shutdown(copy, SHUT_WR), 0);
	close(one);
	rig_pump(r);
	assert_int_equal(r->workers.worker[1]->posted[CMD_SHARE_END], 0);
	one = app_attach(r);
	assert_int_equal(take(r, one, copy, &value, &got), 0);
	close(got);
	close(copy);
	rig_pump(r);
	assert_int_equal(r->workers.worker[1]->posted[CMD_SHARE_END], 1);
	assert_int_equal(r->workers.worker[1]->last.share.stream, 100);
	close(one);
}

static void what_a_worker_refuses_is_not_there(void **state)
{
	struct rig *r = *state;
	int one = app_attach(r), pair[2], got;
	uint32_t value;

	make_pair(pair);
	r->workers.worker[1]->share_result = -EBADF;
	assert_int_equal(share(r, one, pair), -EBADF);
	assert_int_equal(take(r, one, pair[0], &value, &got), -ENOENT);
	r->workers.worker[1]->share_result = 0;
	assert_int_equal(share(r, one, pair), 0);
	r->workers.worker[1]->share_result = -ENOBUFS;
	assert_int_equal(take(r, one, pair[0], &value, &got), -ENOBUFS);
	assert_int_equal(got, -1);
	close(pair[0]);
	close(pair[1]);
	close(one);
}

static void many_are_shared_at_once(void **state)
{
	struct ctl_share msg = share_of(CTL_SHARE_MAX, SHARE_END);
	struct rig *r = *state;
	int one = app_attach(r), fds[2 * CTL_SHARE_MAX], got;
	uint32_t value;

	for (uint32_t i = 0; i < CTL_SHARE_MAX; i++)
		make_pair(&fds[2 * i]);
	assert_int_equal(ask(r, one, &msg, sizeof(msg), fds, 2 * CTL_SHARE_MAX, &value, &got), 0);
	for (uint32_t i = 0; i < CTL_SHARE_MAX; i++) {
		assert_int_equal(take(r, one, fds[2 * i], &value, &got), 0);
		assert_int_equal(r->workers.worker[1]->last.share.stream, 100 + i);
		close(got);
		close(fds[2 * i]);
		close(fds[2 * i + 1]);
	}
	rig_pump(r);
	assert_int_equal(r->workers.worker[1]->posted[CMD_SHARE_END], CTL_SHARE_MAX);
	close(one);
}

/* Of these the first is sent well, but for what the test says. */
static void lies_end_the_attachment(void **state)
{
	struct ctl_share none = share_of(0, 0), many = share_of(CTL_SHARE_MAX + 1, 0);
	struct ctl_share one = share_of(1, 0);
	struct ctl_head head = { .type = CTL_TAKE, .tag = 8 };
	struct rig *r = *state;
	int pair[2], pipes[2], fd;

	make_pair(pair);
	assert_int_equal(pipe(pipes), 0);
	const struct {
		const void *msg;
		size_t bytes;
		int fds[2];
		uint32_t nr;
	} lie[] = {
		{ &none, sizeof(none), { 0 }, 0 },
		{ &many, sizeof(many), { 0 }, 0 },
		{ &one, sizeof(one) - 8, { pair[0] }, 1 },
		{ &one, sizeof(one), { pipes[0] }, 1 },
		{ &one, sizeof(one), { pair[0], pair[1] }, 2 },
		{ &head, sizeof(head), { pipes[0] }, 1 },
		{ &head, sizeof(head), { pair[0], pair[1] }, 2 },
	};

	for (size_t i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
		fd = app_attach(r);
		assert_true(rig_send(fd, lie[i].msg, lie[i].bytes, lie[i].fds, lie[i].nr) > 0);
		assert_true(app_has_ended(r, fd));
		close(fd);
	}
	for (int i = 0; i < 2; i++) {
		close(pair[i]);
		close(pipes[i]);
	}
}

static void what_cannot_be_is_answered(void **state)
{
	struct ctl_share msg = share_of(1, SHARE_END);
	struct ctl_head head = { .type = CTL_TAKE, .tag = 8 };
	struct rig *r = *state;
	int fd = app_attach(r), pair[2], got;
	uint32_t value;

	make_pair(pair);
	/* As if the daemon had run out of descriptors on the way. */
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), pair, 1, &value, &got), -EMFILE);
	assert_int_equal(ask(r, fd, &head, sizeof(head), NULL, 0, &value, &got), -EMFILE);
	msg.entry[0].worker = RIG_WORKERS;
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), pair, 2, &value, &got), -EINVAL);
	msg.entry[0].worker = 0;
	msg.entry[0].slot = 64;
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), pair, 2, &value, &got), -EINVAL);
	close(pair[0]);
	close(pair[1]);
	close(fd);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(who_has_the_descriptor_may_take),
		EACH(the_end_has_a_name),
		EACH(a_name_alone_takes_nothing),
		EACH(the_last_copy_that_is_closed_is_the_end),
		EACH(what_a_worker_refuses_is_not_there),
		EACH(many_are_shared_at_once),
		EACH(lies_end_the_attachment),
		EACH(what_cannot_be_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
