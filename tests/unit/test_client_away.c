/* SPDX-License-Identifier: MIT */
/*
 * test_client_away.c - Goal: AWAY reaches the workers for each client that has shown the socket as
 * its title, and for no other; who says it is not attached, and gone. Method: control_rig.h.
 */
#include <netinet/in.h>

#include "control_app.h"

static int set_up(void **state)
{
	*state = rig_create(16);
	return 0;
}

static int tear_down(void **state)
{
	rig_destroy(*state);
	return 0;
}

static int kernel_listener(struct sockaddr_in *ret_in)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t bytes = sizeof(in);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &bytes), 0);
	*ret_in = in;
	return fd;
}

static void listen_with(struct rig *r, int fd, int title, const struct sockaddr_in *in)
{
	struct ctl_addr msg = {
		.head = { .type = CTL_LISTEN, .tag = 3 },
		.addr = { [10] = 0xff, [11] = 0xff },
		.port = ntohs(in->sin_port),
		.flags = CTL_ADDR_TITLE,
		.backlog = 8,
	};
	union ctl_message reply;
	uint32_t fds;

	memcpy(msg.addr + 12, &in->sin_addr, sizeof(in->sin_addr));
	assert_true(rig_send(fd, &msg, sizeof(msg), &title, 1) > 0);
	rig_pump(r);
	assert_int_equal(receive(fd, &reply, &fds), sizeof(reply.reply));
	assert_int_equal(reply.reply.result, 0);
}

/* How often a worker has been told, since @title was said to be away. */
static uint32_t away(struct rig *r, int title)
{
	const struct ctl_head msg = { .type = CTL_AWAY };
	uint32_t before = r->workers.worker[1]->posted[CMD_LISTENER_AWAY];
	int fd = rig_connect(r);

	assert_true(rig_send(fd, &msg, sizeof(msg), &title, title < 0 ? 0 : 1) > 0);
	rig_pump(r);
	assert_true(has_ended(fd));
	close(fd);
	assert_int_equal(r->workers.worker[0]->posted[CMD_LISTENER_AWAY],
			 r->workers.worker[1]->posted[CMD_LISTENER_AWAY]);
	return r->workers.worker[1]->posted[CMD_LISTENER_AWAY] - before;
}

static void all_that_have_shown_the_socket_are_away(void **state)
{
	struct rig *r = *state;
	struct sockaddr_in in, other_in;
	int title = kernel_listener(&in), other = kernel_listener(&other_in);
	int one = attach(r), two = attach(r), pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(away(r, title), 0); /* nobody listens yet */
	listen_with(r, one, other, &other_in);
	listen_with(r, one, title, &in);
	listen_with(r, two, title, &in);
	assert_int_equal(away(r, title), 2);
	assert_int_equal(away(r, other), 1);
	assert_int_equal(away(r, pair[0]), 0);
	assert_int_equal(away(r, -1), 0); /* it was lost on the way */
	close(two);
	rig_pump(r);
	assert_int_equal(away(r, title), 1);
	assert_int_equal(r->workers.worker[0]->last.listen.listener, 1);
	assert_int_equal(counter(&r->stats.head->ctl_garbage), 0);
	assert_int_equal(r->control.attached, 1);
	assert_int_equal(r->control.greeting, 0);
	close(one);
	close(title);
	close(other);
	for (int i = 0; i < 2; i++)
		close(pair[i]);
}

/* It is the first message, or a violation; and of one descriptor. */
static void who_is_attached_may_not_say_it(void **state)
{
	struct rig *r = *state;
	const struct ctl_head msg = { .type = CTL_AWAY };
	int fd = attach(r), two[2] = { fd, fd };

	assert_true(rig_send(fd, &msg, sizeof(msg), two, 1) > 0);
	rig_pump(r);
	assert_true(has_ended(fd));
	assert_int_equal(counter(&r->stats.head->ctl_garbage), 1);
	close(fd);
	fd = two[0] = two[1] = rig_connect(r);
	assert_true(rig_send(fd, &msg, sizeof(msg), two, 2) > 0);
	rig_pump(r);
	assert_true(has_ended(fd));
	assert_int_equal(counter(&r->stats.head->ctl_garbage), 2);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_that_have_shown_the_socket_are_away, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(who_is_attached_may_not_say_it, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
