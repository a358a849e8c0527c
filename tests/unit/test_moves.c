/* SPDX-License-Identifier: MIT */
/*
 * test_moves.c - Goal: a stream goes from worker to worker command by command; whatever fails or
 * ends on the way, every place, stream and client is told what it must be, once, and nothing is
 * left. Method: control_rig.h, with fake workers that answer or wait as the test says.
 */
#include "../ncd_test.h"

#include "clock.h"
#include "control_rig.h"
#include "ncd/descriptor_name.h"
#include "parcel.h"
#include "shared.h"

#define FROM     1u
#define TO       0u
#define SLOT     3u
#define STREAM   (SLOT + 100) /* as the fake calls it */
#define PLACE    40u
#define PLACE_ID 4000u
#define OLD_ID   77u
#define NUMBER   32770u

#define OF(type) ((type) - CMD_MOVE_PICK)

/* What the workers say. */
static struct {
	int result[CMD_MOVE_PORT - CMD_MOVE_PICK + 1];
	uint32_t picks;
	struct port *port;
} script;

struct app {
	int fd;
	struct client *client;
	int pair[2];
	uint64_t cookie;
};

static void carry_out(struct worker_cmd *cmd)
{
	cmd->result = script.result[OF(cmd->type)];
	switch ((int)cmd->type) {
	case CMD_MOVE_PICK:
		assert_true(script.picks <= cmd->pick.nr);
		cmd->pick.nr = script.picks;
		for (uint32_t i = 0; i < script.picks; i++)
			cmd->pick.pick[i] =
				(struct move_pick){ .port = script.port, .slot = SLOT + i };
		break;
	case CMD_MOVE_FIND:
		cmd->move.port = script.port;
		cmd->move.slot = SLOT;
		break;
	case CMD_MOVE_BEGIN:
		cmd->move.at = (struct move_at){ .peer = 5, .lane = FROM, .id = OLD_ID };
		cmd->move.remote_id = 78;
		cmd->move.tx_bytes = 4096;
		cmd->move.rx_bytes = 8192;
		break;
	case CMD_MOVE_ROOM:
		assert_int_equal(cmd->move.tx_bytes, 4096);
		assert_int_equal(cmd->move.rx_bytes, 8192);
		cmd->move.stream = PLACE;
		cmd->move.id = PLACE_ID;
		break;
	case CMD_MOVE_OUT:
		cmd->move.left = (struct moved *)&script;
		cmd->move.parcel->stream.port_home = TO + 1;
		cmd->move.parcel->stream.local_port = NUMBER;
		cmd->move.parcel->stream.id = OLD_ID;
		break;
	case CMD_MOVE_IN:
		assert_int_equal(cmd->move.parcel->stream.local_port, NUMBER);
		break;
	case CMD_MOVE_OVER:
		assert_ptr_equal(cmd->move.left, &script);
		break;
	default:
		break;
	}
}

static int set_up(void **state)
{
	struct rig *r = rig_create(64);

	memset(&script, 0, sizeof(script));
	for (uint32_t i = 0; i < RIG_WORKERS; i++)
		r->workers.worker[i]->move = carry_out;
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	rig_destroy(*state);
	return 0;
}

/* ---- applications ---- */

static ssize_t receive(int fd, union ctl_message *msg)
{
	int got;
	ssize_t n = rig_receive(fd, msg, &got);

	if (got >= 0)
		close(got);
	return n;
}

/* The type of the next message; -1: none is there. */
static int hears(struct rig *r, const struct app *a, union ctl_message *msg)
{
	rig_pump(r);
	return receive(a->fd, msg) > 0 ? (int)msg->head.type : -1;
}

static struct app app_attach(struct rig *r)
{
	struct ctl_hello hello = rig_hello();
	struct app a = { .fd = rig_connect(r) };
	union ctl_message msg;

	assert_true(rig_send(a.fd, &hello, sizeof(hello), NULL, 0) > 0);
	assert_int_equal(hears(r, &a, &msg), CTL_WELCOME);
	a.client = r->control.clients; /* the newest */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a.pair), 0);
	a.cookie = descriptor_cookie(a.pair[0]);
	script.port = a.client->port[FROM];
	return a;
}

static void app_close(const struct app *a)
{
	close(a->fd);
	close(a->pair[0]);
	close(a->pair[1]);
}

static void app_lend(struct rig *r, const struct app *a, int result)
{
	struct ctl_lend msg = { .head.type = CTL_LEND, .worker = FROM, .slot = SLOT,
				.flags = SHARE_END, .result = result };

	assert_true(rig_send(a->fd, &msg, sizeof(msg), a->pair, result < 0 ? 0 : 2) > 0);
	rig_pump(r);
}

static void app_take(struct rig *r, const struct app *by, enum ctl_type type, const struct app *a)
{
	struct ctl_head msg = { .type = type, .tag = 8 };

	assert_true(rig_send(by->fd, &msg, sizeof(msg), a->pair, 1) > 0);
	rig_pump(r);
}

static void app_share(struct rig *r, const struct app *a)
{
	struct ctl_share msg = { .head = { CTL_SHARE, 0 }, .nr = 1 };

	msg.entry[0] =
		(struct ctl_share_entry){ .slot = SLOT, .worker = FROM, .flags = SHARE_END };
	assert_true(rig_send(a->fd, &msg, sizeof(msg), a->pair, 2) > 0);
	rig_pump(r);
}

/* ---- what control hears, and says ---- */

/* A second passes, in which worker FROM had no time and TO all of it. */
static void pass(struct rig *r)
{
	r->control.placement_ns -= 1000000000u;
	r->workers.worker[TO]->idle_ns += 1000000000u;
	control_second(&r->control);
	rig_pump(r);
}

static void say(struct rig *r, uint32_t worker, enum worker_event_type type, int error)
{
	struct worker_event ev = { .type = type, .place = PLACE, .stream = PLACE_ID,
				   .at = { .peer = 5, .lane = FROM, .id = OLD_ID },
				   .error = error };

	fake_event(r->workers.worker[worker], &ev);
	rig_pump(r);
}

static uint32_t posted(struct rig *r, uint32_t worker, enum worker_cmd_type type)
{
	return r->workers.worker[worker]->posted[type];
}

static void release(struct rig *r)
{
	for (uint32_t i = 0; i < RIG_WORKERS; i++) {
		r->workers.worker[i]->hold_type = 0;
		fake_answer(r->workers.worker[i]);
	}
	rig_pump(r);
}

static struct shared *find(struct rig *r, const struct app *a)
{
	return shared_find(r->control.shared, a->cookie);
}

/* Until its application is asked to lend it. */
static void ask(struct rig *r, bool asked)
{
	script.picks = 1;
	if (asked)
		say(r, TO, EVT_MOVE_ASKED, 0);
	else
		pass(r);
}

/* As far as commands that are held, or fail, let it go. */
static void go(struct rig *r, const struct app *a, bool asked, enum worker_cmd_type hold)
{
	union ctl_message msg;

	for (uint32_t i = 0; i < RIG_WORKERS; i++)
		r->workers.worker[i]->hold_type = hold;
	ask(r, asked);
	if (hears(r, a, &msg) != CTL_MOVE)
		return;
	assert_int_equal(msg.pollfd.worker, FROM);
	assert_int_equal(msg.pollfd.slot, SLOT);
	app_lend(r, a, 0);
	if (!asked)
		say(r, TO, EVT_MOVE_ANSWERED, 0);
}

/* How many commands of these have been posted: REFUSE, KEEP, OVER, FORGET, PORT. */
static void expect_told(struct rig *r, const uint32_t told[5])
{
	assert_int_equal(posted(r, TO, CMD_MOVE_REFUSE), told[0]);
	assert_int_equal(posted(r, FROM, CMD_MOVE_KEEP), told[1]);
	assert_int_equal(posted(r, FROM, CMD_MOVE_OVER), told[2]);
	assert_int_equal(posted(r, FROM, CMD_MOVE_FORGET), told[3]);
	assert_int_equal(posted(r, TO, CMD_MOVE_PORT), told[4]);
	assert_int_equal(r->control.moves.nr, 0);
	assert_int_equal(r->control.moves.own, 0);
	assert_null(r->control.moves.first);
}

/* ---- tests ---- */

static void it_goes(void **state)
{
	struct rig *r = *state;
	const uint32_t told[5] = { 0, 0, 1, 0, 0 };
	struct app a = app_attach(r);
	union ctl_message msg;

	go(r, &a, false, 0);
	expect_told(r, told);
	assert_int_equal(posted(r, FROM, CMD_MOVE_PICK), 1);
	assert_int_equal(posted(r, FROM, CMD_MOVE_FIND), 0);
	assert_int_equal(posted(r, FROM, CMD_MOVE_OUT), 1);
	assert_int_equal(posted(r, TO, CMD_MOVE_IN), 1);
	assert_int_equal(find(r, &a)->worker, TO);
	assert_int_equal(find(r, &a)->stream, PLACE);
	assert_false(find(r, &a)->moving);
	assert_int_equal(hears(r, &a, &msg), -1);
	app_take(r, &a, CTL_TAKE_BACK, &a);
	assert_int_equal(posted(r, TO, CMD_TAKE), 1);
	assert_int_equal(hears(r, &a, &msg), CTL_REPLY);
	assert_int_equal(msg.reply.value, ctl_taken(TO, 5));
	assert_null(find(r, &a));
	app_close(&a);
}

static void it_goes_for_a_peer(void **state)
{
	struct rig *r = *state;
	const uint32_t told[5] = { 0, 0, 1, 1, 0 };
	struct app a = app_attach(r);

	go(r, &a, true, 0);
	assert_int_equal(posted(r, FROM, CMD_MOVE_FIND), 1);
	assert_int_equal(posted(r, TO, CMD_MOVE_IN), 1);
	assert_int_equal(find(r, &a)->worker, TO);
	say(r, TO, EVT_MOVE_SETTLED, 0);
	expect_told(r, told);
	assert_true(r->workers.worker[FROM]->last.move.id == OLD_ID);
	app_close(&a);
}

static void what_fails_is_told(void **state)
{
	const struct {
		enum worker_cmd_type type;
		bool asked;
		uint32_t told[5];
	} f[] = {
		{ CMD_MOVE_FIND, true, { 1, 0, 0, 0, 0 } },
		{ CMD_MOVE_BEGIN, false, { 0, 0, 0, 0, 0 } },
		{ CMD_MOVE_BEGIN, true, { 1, 0, 0, 0, 0 } },
		{ CMD_MOVE_ROOM, false, { 0, 1, 0, 0, 0 } },
		{ CMD_MOVE_ROOM, true, { 1, 1, 0, 0, 0 } },
		{ CMD_MOVE_OUT, false, { 1, 1, 0, 0, 0 } },
		{ CMD_MOVE_OUT, true, { 1, 1, 0, 0, 0 } },
		{ CMD_MOVE_IN, false, { 0, 0, 1, 0, 1 } },
		{ CMD_MOVE_IN, true, { 0, 0, 1, 1, 1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(f) / sizeof(f[0]); i++) {
		union ctl_message msg;
		struct rig *r;
		struct app a;
		void *s;

		set_up(&s);
		r = s;
		a = app_attach(r);
		script.result[OF(f[i].type)] = -EBUSY;
		go(r, &a, f[i].asked, 0);
		expect_told(r, f[i].told);
		assert_null(find(r, &a));
		if (f[i].type != CMD_MOVE_FIND)
			assert_int_equal(hears(r, &a, &msg), CTL_KEEP);
		assert_int_equal(hears(r, &a, &msg), -1);
		app_close(&a);
		rig_destroy(r);
	}
}

static void what_is_not_lent_stays(void **state)
{
	struct rig *r = *state;
	struct app a = app_attach(r);
	union ctl_message msg;

	ask(r, false);
	assert_int_equal(hears(r, &a, &msg), CTL_MOVE);
	app_lend(r, &a, -EBUSY);
	expect_told(r, (uint32_t[5]){ 0 });
	/* It is not asked for again at once; a peer may. */
	pass(r);
	assert_int_equal(posted(r, FROM, CMD_MOVE_PICK), 1);
	ask(r, true);
	assert_int_equal(hears(r, &a, &msg), CTL_MOVE);
	app_lend(r, &a, -EBUSY);
	expect_told(r, (uint32_t[5]){ 1 });
	/* The worker does not find it. */
	ask(r, true);
	assert_int_equal(hears(r, &a, &msg), CTL_MOVE);
	r->workers.worker[FROM]->share_result = -EBADF;
	app_lend(r, &a, 0);
	expect_told(r, (uint32_t[5]){ 2 });
	app_close(&a);
}

static void a_peer_that_refuses_or_dies_is_heard(void **state)
{
	struct rig *r = *state;
	struct app a = app_attach(r);
	union ctl_message msg;

	ask(r, false);
	assert_int_equal(hears(r, &a, &msg), CTL_MOVE);
	app_lend(r, &a, 0);
	say(r, TO, EVT_MOVE_ANSWERED, -ECONNREFUSED);
	expect_told(r, (uint32_t[5]){ 0, 1, 0, 0, 0 });
	assert_int_equal(hears(r, &a, &msg), CTL_KEEP);
	/* The peer's end has gone, or may have: ours goes to nowhere. */
	r->control.moves.policy.worker[FROM].until_ns = 0;
	ask(r, false);
	assert_int_equal(hears(r, &a, &msg), CTL_MOVE);
	app_lend(r, &a, 0);
	say(r, TO, EVT_MOVE_ANSWERED, -ECONNRESET);
	expect_told(r, (uint32_t[5]){ 0, 1, 1, 0, 1 });
	assert_int_equal(posted(r, TO, CMD_MOVE_IN), 0);
	/* Of what is not under way. */
	say(r, TO, EVT_MOVE_ANSWERED, 0);
	say(r, FROM, EVT_MOVE_ANSWERED, -ECONNRESET);
	expect_told(r, (uint32_t[5]){ 0, 1, 1, 0, 1 });
	app_close(&a);
}

static void a_place_that_goes_is_not_refused(void **state)
{
	const struct {
		enum worker_cmd_type type;
		uint32_t told[5];
	} f[] = {
		{ CMD_MOVE_FIND, { 0, 0, 0, 0, 0 } }, { CMD_SHARE, { 0, 0, 0, 0, 0 } },
		{ CMD_MOVE_BEGIN, { 0, 1, 0, 0, 0 } }, { CMD_MOVE_ROOM, { 0, 1, 0, 0, 0 } },
		{ CMD_MOVE_OUT, { 0, 0, 1, 1, 1 } },   { CMD_MOVE_IN, { 0, 0, 1, 1, 1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(f) / sizeof(f[0]); i++) {
		struct rig *r;
		struct app a;
		void *s;

		set_up(&s);
		r = s;
		a = app_attach(r);
		script.result[OF(CMD_MOVE_IN)] = -ENOENT;
		go(r, &a, true, f[i].type);
		assert_int_equal(r->control.moves.nr, 1);
		say(r, TO, EVT_MOVE_ANSWERED, -ECONNRESET);
		assert_int_equal(r->control.moves.nr, 1);
		release(r);
		expect_told(r, f[i].told);
		assert_null(find(r, &a));
		app_close(&a);
		rig_destroy(r);
	}
}

/* While the last command is one of @hold, which for LEND is never answered. */
static void ends_while(bool asked, enum worker_cmd_type hold, bool fini)
{
	union ctl_message msg;
	struct rig *r;
	struct app a;
	void *s;

	set_up(&s);
	r = s;
	a = app_attach(r);
	if (hold == CMD_LENT_END) {
		ask(r, asked);
		assert_int_equal(hears(r, &a, &msg), CTL_MOVE);
	} else {
		go(r, &a, asked, hold);
	}
	assert_true(r->control.moves.nr == 1 || hold == CMD_MOVE_PICK);
	if (fini && find(r, &a))
		app_take(r, &a, CTL_TAKE_BACK, &a);
	if (!fini) {
		app_close(&a);
		rig_pump(r);
		release(r);
		if (!asked)
			say(r, TO, EVT_MOVE_ANSWERED, -ECONNREFUSED);
		assert_int_equal(r->control.moves.nr, 0);
		assert_null(find(r, &a));
		assert_null(r->control.clients);
	}
	rig_destroy(r);
	if (fini)
		app_close(&a);
}

static const enum worker_cmd_type steps[] = {
	CMD_MOVE_FIND, CMD_LENT_END, CMD_SHARE,    CMD_MOVE_BEGIN,
	CMD_MOVE_ROOM, CMD_MOVE_OUT, CMD_MOVE_IN,
};

static void a_client_may_end_at_any_step(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ends_while(true, steps[i], false);
		ends_while(false, i == 0 ? CMD_MOVE_PICK : steps[i], false);
	}
}

static void control_may_end_at_any_step(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ends_while(true, steps[i], true);
		ends_while(false, i == 0 ? CMD_MOVE_PICK : steps[i], true);
	}
}

static void who_fetches_it_on_the_way_waits(void **state)
{
	struct rig *r = *state;
	struct app a = app_attach(r);
	union ctl_message msg;

	go(r, &a, true, CMD_MOVE_OUT);
	app_take(r, &a, CTL_TAKE_BACK, &a);
	assert_int_equal(posted(r, TO, CMD_TAKE) + posted(r, FROM, CMD_TAKE), 0);
	assert_int_equal(hears(r, &a, &msg), -1);
	release(r);
	assert_int_equal(posted(r, TO, CMD_TAKE), 1);
	assert_int_equal(posted(r, FROM, CMD_TAKE), 0);
	assert_int_equal(hears(r, &a, &msg), CTL_REPLY);
	assert_int_equal(msg.reply.result, 0);
	assert_int_equal(msg.reply.value, ctl_taken(TO, 5));
	assert_null(find(r, &a));
	/* If it stays, he finds it there. */
	script.result[OF(CMD_MOVE_OUT)] = -EBUSY;
	go(r, &a, true, CMD_MOVE_OUT);
	app_take(r, &a, CTL_TAKE_BACK, &a);
	release(r);
	assert_int_equal(posted(r, FROM, CMD_TAKE), 1);
	while (hears(r, &a, &msg) == CTL_KEEP)
		;
	assert_int_equal(msg.reply.value, ctl_taken(FROM, 5));
	assert_null(find(r, &a));
	app_close(&a);
}

static void what_is_shared_on_the_way_is_taken_and_ends_there(void **state)
{
	struct rig *r = *state;
	struct app other = app_attach(r), a = app_attach(r);
	union ctl_message msg;
	struct worker *to = r->workers.worker[TO];

	go(r, &a, true, CMD_MOVE_OUT);
	app_share(r, &a);
	assert_false(find(r, &a)->lent);
	app_take(r, &other, CTL_TAKE, &a);
	close(a.pair[0]);
	close(a.pair[1]);
	rig_pump(r);
	assert_int_equal(posted(r, TO, CMD_TAKE) + posted(r, FROM, CMD_TAKE), 0);
	release(r);
	assert_int_equal(posted(r, TO, CMD_TAKE), 1);
	assert_int_equal(hears(r, &other, &msg), CTL_REPLY);
	assert_int_equal(msg.reply.value, ctl_taken(TO, 5));
	assert_int_equal(posted(r, FROM, CMD_SHARE_END), 0);
	assert_int_equal(posted(r, TO, CMD_SHARE_END), 1);
	assert_int_equal(to->last.type, CMD_SHARE_END);
	assert_int_equal(to->last.share.stream, PLACE);
	assert_null(find(r, &a));
	close(a.fd);
	app_close(&other);
}

static void there_are_not_too_many(void **state)
{
	struct rig *r = *state;
	struct app a = app_attach(r);

	/* Half are our own. */
	script.picks = MOVE_PICK_MAX;
	pass(r);
	assert_int_equal(r->control.moves.own, MOVES_MAX / 2);
	pass(r);
	assert_int_equal(posted(r, FROM, CMD_MOVE_PICK), 1);
	r->workers.worker[FROM]->hold_type = CMD_MOVE_FIND;
	for (uint32_t i = 0; i < MOVES_MAX / 2; i++)
		say(r, TO, EVT_MOVE_ASKED, 0);
	assert_int_equal(r->control.moves.nr, MOVES_MAX);
	assert_int_equal(posted(r, TO, CMD_MOVE_REFUSE), 0);
	say(r, TO, EVT_MOVE_ASKED, 0);
	assert_int_equal(posted(r, TO, CMD_MOVE_REFUSE), 1);
	assert_true(r->workers.worker[TO]->last.move.asked);
	assert_int_equal(r->workers.worker[TO]->last.move.stream, PLACE);
	app_close(&a);
	rig_pump(r);
	release(r);
	expect_told(r, (uint32_t[5]){ 1 + MOVES_MAX / 2, 0, 0, 0, 0 });
	assert_null(r->control.clients);
}

static void where_nothing_may_go_it_is_asked_again(void **state)
{
	struct rig *r = *state;
	struct app a = app_attach(r);

	for (uint32_t i = 1; i < 4; i++) {
		pass(r);
		assert_int_equal(posted(r, FROM, CMD_MOVE_PICK), i);
		expect_told(r, (uint32_t[5]){ 0 });
	}
	/* But not twice at a time. */
	r->workers.worker[FROM]->hold_type = CMD_MOVE_PICK;
	pass(r);
	pass(r);
	assert_int_equal(posted(r, FROM, CMD_MOVE_PICK), 4);
	app_close(&a);
}

static void a_port_number_goes_home(void **state)
{
	struct worker_event ev = { .type = EVT_MOVE_PORT, .worker = FROM, .number = NUMBER };
	struct rig *r = *state;

	fake_event(r->workers.worker[TO], &ev);
	rig_pump(r);
	assert_int_equal(posted(r, FROM, CMD_MOVE_PORT), 1);
	assert_int_equal(r->workers.worker[FROM]->last.move.number, NUMBER);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static uint64_t later(uint64_t seconds)
{
	return clock_monotonic_ns() + seconds * 1000000000u;
}

static void an_application_that_is_stopped_is_not_waited_for(void **state)
{
	struct rig *r = *state;
	const uint32_t told[5] = { 1, 0, 0, 0, 0 };
	struct app a = app_attach(r);
	union ctl_message msg;

	ask(r, true);
	assert_int_equal(hears(r, &a, &msg), CTL_MOVE);
	moves_look(&r->control, clock_monotonic_ns());
	assert_int_equal(r->control.moves.nr, 1);
	moves_look(&r->control, later(2));
	rig_pump(r);
	expect_told(r, told);
	/* It goes on, and lends what nobody wants any more. */
	app_lend(r, &a, 0);
	assert_int_equal(hears(r, &a, &msg), CTL_KEEP);
	assert_null(find(r, &a));
	app_close(&a);
}

static void a_peer_that_never_answers_is_given_up(void **state)
{
	struct rig *r = *state;
	const uint32_t told[5] = { 1, 0, 1, 0, 1 };
	struct app a = app_attach(r);
	union ctl_message msg;

	ask(r, false);
	assert_int_equal(hears(r, &a, &msg), CTL_MOVE);
	app_lend(r, &a, 0);
	app_take(r, &a, CTL_TAKE_BACK, &a);
	assert_int_equal(hears(r, &a, &msg), -1);
	script.picks = 0; /* no other goes */
	moves_look(&r->control, later(r->control.config->timeout_seconds / 2));
	rig_pump(r);
	assert_int_equal(r->control.moves.nr, 1);
	moves_look(&r->control, later(r->control.config->timeout_seconds + 1));
	rig_pump(r);
	expect_told(r, told);
	assert_int_equal(posted(r, TO, CMD_MOVE_IN), 0);
	/* Who has waited is answered. */
	assert_int_equal(posted(r, FROM, CMD_TAKE), 1);
	app_close(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(it_goes),
		EACH(it_goes_for_a_peer),
		cmocka_unit_test(what_fails_is_told),
		EACH(what_is_not_lent_stays),
		EACH(a_peer_that_refuses_or_dies_is_heard),
		cmocka_unit_test(a_place_that_goes_is_not_refused),
		cmocka_unit_test(a_client_may_end_at_any_step),
		cmocka_unit_test(control_may_end_at_any_step),
		EACH(an_application_that_is_stopped_is_not_waited_for),
		EACH(a_peer_that_never_answers_is_given_up),
		EACH(who_fetches_it_on_the_way_waits),
		EACH(what_is_shared_on_the_way_is_taken_and_ends_there),
		EACH(there_are_not_too_many),
		EACH(where_nothing_may_go_it_is_asked_again),
		EACH(a_port_number_goes_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
