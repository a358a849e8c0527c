/* SPDX-License-Identifier: MIT */
/*
 * test_client_lend.c - Goal: only who was asked lends, what is lent is for nobody else and ends
 * with its lender, and each way back leaves nothing behind. Messages that lie cost the liar his
 * attachment. Method: control_rig.h: fake workers, real sockets and descriptors.
 */
#include "../ncd_test.h"

#include "control_rig.h"
#include "fake_moves.h"
#include "ncd/descriptor_name.h"
#include "shared.h"

#define SLOT 3u /* of worker 1; the fake calls its stream 103 */

struct app {
	int fd;
	struct client *client;
	int pair[2];
	uint64_t cookie;
};

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

static struct app app_of_version(struct rig *r, uint32_t version)
{
	struct ctl_hello hello = rig_hello();
	struct app a = { .fd = rig_connect(r) };
	union ctl_message msg;
	int got;

	hello.version_min = hello.version_max = version;
	assert_true(rig_send(a.fd, &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(r);
	assert_int_equal(rig_receive(a.fd, &msg, &got), sizeof(msg.welcome));
	close(got);
	a.client = r->control.clients; /* the newest */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a.pair), 0);
	a.cookie = descriptor_cookie(a.pair[0]);
	return a;
}

static struct app app_attach(struct rig *r)
{
	return app_of_version(r, CTL_VERSION);
}

static void app_close(const struct app *a)
{
	close(a->fd);
	close(a->pair[0]);
	close(a->pair[1]);
}

static void expect(struct rig *r, const struct app *a, enum ctl_type type)
{
	union ctl_message msg;
	int got;

	rig_pump(r);
	assert_int_equal(rig_receive(a->fd, &msg, &got), sizeof(msg.pollfd));
	assert_int_equal(msg.head.type, type);
	assert_int_equal(msg.pollfd.worker, 1);
	assert_int_equal(msg.pollfd.slot, SLOT);
}

static void expect_silence(struct rig *r, const struct app *a)
{
	union ctl_message msg;
	int got;

	rig_pump(r);
	assert_int_equal(rig_receive(a->fd, &msg, &got), -1);
}

static bool has_ended(struct rig *r, const struct app *a)
{
	union ctl_message msg;
	int got;

	rig_pump(r);
	return rig_receive(a->fd, &msg, &got) == 0;
}

static void asked(struct rig *r, const struct app *a)
{
	assert_true(client_lend_ask(a->client, 1, SLOT));
	expect(r, a, CTL_MOVE);
}

static const struct ctl_lend lend_msg = {
	.head.type = CTL_LEND, .worker = 1, .slot = SLOT, .flags = SHARE_END
};

static void say(struct rig *r, const struct app *a, const struct ctl_lend *msg, uint32_t fd_nr)
{
	assert_true(rig_send(a->fd, msg, sizeof(*msg), a->pair, fd_nr) > 0);
	rig_pump(r);
}

static struct app app_lent(struct rig *r)
{
	struct app a = app_attach(r);

	asked(r, &a);
	say(r, &a, &lend_msg, 2);
	return a;
}

static struct shared *find(struct rig *r, const struct app *a)
{
	return shared_find(r->control.shared, a->cookie);
}

static uint32_t posted(struct rig *r, enum worker_cmd_type type)
{
	return r->workers.worker[1]->posted[type];
}

/* The result of TAKE or TAKE_BACK of @a's descriptor by @by. */
static int take(struct rig *r, const struct app *by, enum ctl_type type, const struct app *a)
{
	struct ctl_head msg = { .type = type, .tag = 8 };
	union ctl_message reply;
	int got;

	assert_true(rig_send(by->fd, &msg, sizeof(msg), a->pair, 1) > 0);
	rig_pump(r);
	assert_int_equal(rig_receive(by->fd, &reply, &got), sizeof(reply.reply));
	assert_int_equal(reply.head.type, CTL_REPLY);
	if (got >= 0)
		close(got);
	if (reply.reply.result == 0)
		assert_int_equal(reply.reply.value, ctl_taken(1, 5));
	return reply.reply.result;
}

/* With a tag, or as at exit without. */
static void share(struct rig *r, const struct app *a, uint32_t tag)
{
	struct ctl_share msg = { .head = { CTL_SHARE, tag }, .nr = 1 };
	union ctl_message reply;
	int got;

	msg.entry[0] =
		(struct ctl_share_entry){ .slot = SLOT, .worker = 1, .flags = SHARE_END };
	assert_true(rig_send(a->fd, &msg, sizeof(msg), a->pair, 2) > 0);
	rig_pump(r);
	if (tag == 0)
		return;
	assert_int_equal(rig_receive(a->fd, &reply, &got), sizeof(reply.reply));
	assert_int_equal(reply.reply.result, 0);
}

static void who_is_asked_lends(void **state)
{
	struct rig *r = *state;
	struct app a = app_lent(r);
	struct shared *s = find(r, &a);

	assert_non_null(s);
	assert_true(s->lent);
	assert_ptr_equal(s->lender, a.client);
	assert_int_equal(s->worker, 1);
	assert_int_equal(s->stream, SLOT + 100);
	assert_true(r->workers.worker[1]->last.share.lent);
	expect_silence(r, &a);
	app_close(&a);
}

static void an_old_library_is_not_asked(void **state)
{
	struct rig *r = *state;
	struct app a = app_of_version(r, CTL_VERSION_MOVE - 1);

	assert_false(client_lend_ask(a.client, 1, SLOT));
	expect_silence(r, &a);
	assert_int_equal(take(r, &a, CTL_TAKE_BACK, &a), -ENOENT);
	app_close(&a);
}

static void who_does_not_answer_is_not_asked_for_ever(void **state)
{
	struct rig *r = *state;
	struct app a = app_attach(r);

	assert_true(client_lend_ask(a.client, 1, SLOT));
	assert_false(client_lend_ask(a.client, 1, SLOT));
	for (uint32_t i = 1; i < CLIENT_LENDS_MAX; i++)
		assert_true(client_lend_ask(a.client, 0, i));
	assert_false(client_lend_ask(a.client, 0, 0));
	app_close(&a);
}

static void who_cannot_says_so(void **state)
{
	struct ctl_lend msg = lend_msg;
	struct rig *r = *state;
	struct app a = app_attach(r);

	asked(r, &a);
	msg.result = -EBUSY;
	say(r, &a, &msg, 0);
	expect_silence(r, &a);
	assert_int_equal(posted(r, CMD_SHARE), 0);
	/* As if we had run out of descriptors on the way; the worker has no such slot. */
	asked(r, &a);
	say(r, &a, &lend_msg, 1);
	expect(r, &a, CTL_KEEP);
	asked(r, &a);
	r->workers.worker[1]->share_result = -EBADF;
	say(r, &a, &lend_msg, 2);
	expect(r, &a, CTL_KEEP);
	assert_null(find(r, &a));
	app_close(&a);
}

static void lies_end_the_attachment(void **state)
{
	struct rig *r = *state;
	const struct {
		bool asked;
		int32_t result;
		uint32_t worker, slot, fd_nr;
		bool pipe;
		size_t bytes;
	} lie[] = {
		{ false, 0, 1, SLOT, 2, false, 24 },     { true, 0, 0, SLOT, 2, false, 24 },
		{ true, 0, 1, SLOT + 1, 2, false, 24 },  { true, 0, 257, SLOT, 2, false, 24 },
		{ true, 0, 1, 0x1000003, 2, false, 24 }, { true, 1, 1, SLOT, 2, false, 24 },
		{ true, -EBUSY, 1, SLOT, 1, false, 24 }, { true, 0, 1, SLOT, 3, false, 24 },
		{ true, 0, 1, SLOT, 2, true, 24 },       { true, 0, 1, SLOT, 2, false, 16 },
	};

	for (size_t i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
		struct app a = app_attach(r);
		struct ctl_lend msg = lend_msg;
		int pipes[2], fds[3] = { a.pair[0], a.pair[1], a.pair[1] };

		assert_int_equal(pipe(pipes), 0);
		if (lie[i].pipe)
			fds[1] = pipes[0];
		if (lie[i].asked)
			asked(r, &a);
		msg.result = lie[i].result;
		msg.worker = lie[i].worker;
		msg.slot = lie[i].slot;
		assert_true(rig_send(a.fd, &msg, lie[i].bytes, fds, lie[i].fd_nr) > 0);
		assert_true(has_ended(r, &a));
		assert_null(find(r, &a));
		app_close(&a);
		close(pipes[0]);
		close(pipes[1]);
		rig_pump(r);
	}
	assert_int_equal(posted(r, CMD_SHARE), 0);
}

static void a_second_answer_is_a_lie(void **state)
{
	struct rig *r = *state;
	struct app a = app_attach(r);

	r->workers.worker[1]->hold = true;
	asked(r, &a);
	say(r, &a, &lend_msg, 2);
	say(r, &a, &lend_msg, 2);
	assert_true(has_ended(r, &a));
	r->workers.worker[1]->hold = false;
	fake_answer(r->workers.worker[1]);
	rig_pump(r);
	assert_null(find(r, &a));
	app_close(&a);
}

static void its_lender_alone_has_it_back(void **state)
{
	struct rig *r = *state;
	struct app other = app_attach(r), a = app_lent(r);

	assert_int_equal(take(r, &other, CTL_TAKE, &a), -ENOENT);
	assert_int_equal(take(r, &other, CTL_TAKE_BACK, &a), -EPERM);
	assert_int_equal(posted(r, CMD_TAKE), 0);
	r->workers.worker[1]->share_result = -ENOBUFS;
	assert_int_equal(take(r, &a, CTL_TAKE_BACK, &a), -ENOBUFS);
	assert_non_null(find(r, &a));
	r->workers.worker[1]->share_result = 0;
	assert_int_equal(take(r, &a, CTL_TAKE_BACK, &a), 0);
	assert_true(r->workers.worker[1]->last.share.back);
	assert_int_equal(r->workers.worker[1]->last.share.stream, SLOT + 100);
	assert_null(find(r, &a));
	assert_int_equal(take(r, &a, CTL_TAKE_BACK, &a), -ENOENT);
	/* Lent anew. */
	asked(r, &a);
	say(r, &a, &lend_msg, 2);
	assert_non_null(find(r, &a));
	/* It is over there. */
	r->workers.worker[1]->share_result = -ENOENT;
	assert_int_equal(take(r, &a, CTL_TAKE_BACK, &a), -ENOENT);
	assert_null(find(r, &a));
	app_close(&a);
	app_close(&other);
}

static void it_goes_with_its_lender_and_not_before(void **state)
{
	struct rig *r = *state;
	struct app a = app_lent(r);

	close(a.pair[0]);
	close(a.pair[1]);
	rig_pump(r);
	assert_non_null(find(r, &a));
	close(a.fd);
	rig_pump(r);
	assert_null(find(r, &a));
	assert_int_equal(posted(r, CMD_SHARE_END), 0);
}

static void it_is_shared_for_good(void **state)
{
	struct rig *r = *state;
	struct app other = app_attach(r), a = app_lent(r);

	share(r, &a, 9);
	assert_int_equal(posted(r, CMD_SHARE), 1);
	assert_int_equal(posted(r, CMD_LENT_END), 1);
	assert_false(r->workers.worker[1]->last.share.back);
	assert_int_equal(take(r, &a, CTL_TAKE_BACK, &a), -EPERM);
	assert_int_equal(take(r, &other, CTL_TAKE, &a), 0);
	client_lend_over(&r->control, a.cookie);
	expect_silence(r, &a);
	assert_non_null(find(r, &a));
	app_close(&a);
	rig_pump(r);
	assert_int_equal(posted(r, CMD_SHARE_END), 1);
	app_close(&other);
}

/* At exit: the worker hears of that before it hears that its client has gone. */
static void what_exit_shares_ends_by_its_descriptor(void **state)
{
	struct rig *r = *state;
	struct app a = app_lent(r);

	share(r, &a, 0);
	expect_silence(r, &a);
	close(a.fd);
	rig_pump(r);
	assert_int_equal(posted(r, CMD_LENT_END), 1);
	assert_int_equal(posted(r, CMD_CLIENT_REMOVE), 1);
	assert_non_null(find(r, &a));
	close(a.pair[0]);
	close(a.pair[1]);
	rig_pump(r);
	assert_int_equal(posted(r, CMD_SHARE_END), 1);
}

/* What the worker is told meanwhile comes behind it there. */
static void a_share_or_an_end_overtakes_the_answer(void **state)
{
	struct rig *r = *state;
	struct worker *w = r->workers.worker[1];
	struct app a = app_attach(r);

	w->hold = true;
	asked(r, &a);
	say(r, &a, &lend_msg, 2);
	assert_null(find(r, &a));
	share(r, &a, 0);
	assert_int_equal(posted(r, CMD_SHARE), 2);
	w->hold = false;
	fake_answer(w);
	rig_pump(r);
	assert_non_null(find(r, &a));
	assert_false(find(r, &a)->lent);
	app_close(&a);
	rig_pump(r);
	a = app_attach(r);
	w->hold = true;
	asked(r, &a);
	say(r, &a, &lend_msg, 2);
	app_close(&a);
	rig_pump(r);
	w->hold = false;
	fake_answer(w);
	rig_pump(r);
	assert_null(find(r, &a));
	assert_null(r->control.clients);
}

static void a_take_back_overtakes_the_answer(void **state)
{
	struct rig *r = *state;
	struct worker *w = r->workers.worker[1];
	struct app a = app_attach(r);

	w->hold = true;
	asked(r, &a);
	say(r, &a, &lend_msg, 2);
	assert_int_equal(take(r, &a, CTL_TAKE_BACK, &a), -ENOENT);
	w->hold = false;
	fake_answer(w);
	rig_pump(r);
	assert_null(find(r, &a));
	assert_int_equal(posted(r, CMD_LENT_END), 1);
	assert_true(w->last.share.back);
	expect(r, &a, CTL_KEEP);
	/* It may be asked for again. */
	asked(r, &a);
	say(r, &a, &lend_msg, 2);
	assert_non_null(find(r, &a));
	app_close(&a);
}

static void what_does_not_go_is_kept(void **state)
{
	struct rig *r = *state;
	struct app a = app_lent(r);

	client_lend_over(&r->control, a.cookie + 1);
	find(r, &a)->moving = true;
	client_lend_over(&r->control, a.cookie);
	expect_silence(r, &a);
	find(r, &a)->moving = false;
	/* It is at another worker already. */
	find(r, &a)->worker = 0;
	client_lend_over(&r->control, a.cookie);
	expect_silence(r, &a);
	find(r, &a)->worker = 1;
	client_lend_over(&r->control, a.cookie);
	expect(r, &a, CTL_KEEP);
	assert_int_equal(posted(r, CMD_LENT_END), 1);
	assert_true(r->workers.worker[1]->last.share.back);
	assert_null(find(r, &a));
	app_close(&a);
}

static void one_whose_lender_ends_on_the_way_is_dropped_there(void **state)
{
	struct rig *r = *state;
	struct app a = app_lent(r);

	find(r, &a)->moving = true;
	app_close(&a);
	rig_pump(r);
	assert_non_null(find(r, &a));
	assert_true(find(r, &a)->lent);
	assert_null(find(r, &a)->lender);
	shared_moved(r->control.shared, find(r, &a));
	assert_null(find(r, &a));
	assert_int_equal(posted(r, CMD_SHARE_END), 0);
}

static void another_s_descriptor_lends_nothing(void **state)
{
	struct rig *r = *state;
	struct app a = app_lent(r), liar = app_attach(r);

	asked(r, &liar);
	assert_true(rig_send(liar.fd, &lend_msg, sizeof(lend_msg), a.pair, 2) > 0);
	expect(r, &liar, CTL_KEEP);
	assert_int_equal(posted(r, CMD_LENT_END), 1);
	assert_ptr_equal(find(r, &a)->lender, a.client);
	app_close(&liar);
	app_close(&a);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(who_is_asked_lends),
		EACH(an_old_library_is_not_asked),
		EACH(who_does_not_answer_is_not_asked_for_ever),
		EACH(who_cannot_says_so),
		EACH(lies_end_the_attachment),
		EACH(a_second_answer_is_a_lie),
		EACH(its_lender_alone_has_it_back),
		EACH(it_goes_with_its_lender_and_not_before),
		EACH(it_is_shared_for_good),
		EACH(what_exit_shares_ends_by_its_descriptor),
		EACH(a_share_or_an_end_overtakes_the_answer),
		EACH(a_take_back_overtakes_the_answer),
		EACH(what_does_not_go_is_kept),
		EACH(one_whose_lender_ends_on_the_way_is_dropped_there),
		EACH(another_s_descriptor_lends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
