/* SPDX-License-Identifier: MIT */
/*
 * test_control.c - goal: applications attach, ask and go; whatever breaks ctl_proto.h costs that
 * connection only; nothing of a client is freed while a worker may use it. Method: fake
 * applications on socketpairs, fake workers that answer when told.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "control_app.h"

#define SLOTS 16u

static int rig_set_up(void **state)
{
	*state = rig_create(SLOTS);
	return 0;
}

static int rig_tear_down(void **state)
{
	rig_destroy(*state);
	return 0;
}

/* Sends and returns what is answered. */
static struct ctl_reply ask(struct rig *r, int fd, const void *msg, size_t bytes, int with_fd)
{
	union ctl_message reply = { .reply = { .result = 12345 } };
	uint32_t fds;

	assert_true(rig_send(fd, msg, bytes, &with_fd, with_fd >= 0) > 0);
	rig_pump(r);
	assert_int_equal(receive(fd, &reply, &fds), sizeof(reply.reply));
	assert_int_equal(reply.head.type, CTL_REPLY);
	assert_int_equal(reply.head.tag, ((const struct ctl_head *)msg)->tag);
	return reply.reply;
}

static struct ctl_addr addr_message(enum ctl_type type, uint16_t port, uint16_t flags)
{
	return (struct ctl_addr){
		.head = { .type = type, .tag = 77 },
		.addr = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
		.port = port,
		.flags = flags,
		.backlog = 100000,
	};
}

static void a_hello_is_welcomed_with_region_and_doorbells(void **state)
{
	struct ctl_hello hello = rig_hello();
	struct rig *r = *state;
	int fd = rig_connect(r), fds[3];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(fds))];
	} ctrl;
	struct ctl_welcome w;
	struct iovec iov = { .iov_base = &w, .iov_len = sizeof(w) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &ctrl,
			    .msg_controllen = sizeof(ctrl) };
	const struct region_shm *region;
	struct stat st;
	int i;

	assert_true(rig_send(fd, &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(r);
	assert_int_equal(recvmsg(fd, &h, MSG_CMSG_CLOEXEC), sizeof(w));
	assert_int_equal(w.workers, RIG_WORKERS);
	assert_int_equal(w.addr_nr, 1);
	memcpy(fds, CMSG_DATA(&ctrl.align), sizeof(fds));
	assert_int_equal(fstat(fds[0], &st), 0);
	assert_int_equal(st.st_size, w.segment_bytes);
	/* Sealed: the application cannot pull the memory from under the daemon. */
	assert_true(ftruncate(fds[0], 0) < 0);
	region = mmap(NULL, w.segment_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	assert_true(region != MAP_FAILED);
	assert_true(region->magic == SHM_MAGIC);
	assert_int_equal(region->slots, SLOTS);
	munmap((void *)(uintptr_t)region, w.segment_bytes);
	for (i = 0; i < 3; i++)
		close(fds[i]);
	assert_int_equal(r->workers.worker[0]->posted[CMD_CLIENT_ADD], 1);
	assert_int_equal(r->workers.worker[1]->posted[CMD_CLIENT_ADD], 1);
	assert_int_equal(r->control.attached, 1);
	close(fd);
}

static void the_least_loaded_worker_is_recommended(void **state)
{
	struct ctl_hello hello = rig_hello();
	struct rig *r = *state;
	union ctl_message msg;
	uint32_t i, fds;
	int fd[3];

	for (i = 0; i < 3; i++) {
		fd[i] = rig_connect(r);
		assert_true(rig_send(fd[i], &hello, sizeof(hello), NULL, 0) > 0);
		rig_pump(r);
		assert_int_equal(receive(fd[i], &msg, &fds), sizeof(msg.welcome));
		assert_int_equal(msg.welcome.default_worker, i % 2);
	}
	for (i = 0; i < 3; i++)
		close(fd[i]);
}

static void garbage_ends_the_connection_and_is_counted(void **state)
{
	static const uint8_t garbage[200] = "GET / HTTP/1.1\r\n";
	static const size_t sizes[] = { 1, 7, 8, 87, 88, 89, 168, 169, 200 };
	struct rig *r = *state;
	size_t i;
	int fd;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fd = rig_connect(r);
		assert_true(rig_send(fd, garbage, sizes[i], NULL, 0) > 0);
		rig_pump(r);
		assert_true(has_ended(fd));
		close(fd);
		assert_int_equal(counter(&r->stats.head->ctl_garbage), i + 1);
	}
	assert_null(r->control.clients);
}

static void a_hello_that_lies_is_garbage(void **state)
{
	struct ctl_hello bad[2] = { rig_hello(), rig_hello() };
	struct rig *r = *state;
	int i, fd, zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	bad[0].magic++;
	bad[1].head.type = CTL_BIND;
	for (i = 0; i < 2; i++) {
		fd = rig_connect(r);
		assert_true(rig_send(fd, &bad[i], sizeof(bad[i]), NULL, 0) > 0);
		rig_pump(r);
		assert_true(has_ended(fd));
		close(fd);
	}
	bad[0] = rig_hello();
	fd = rig_connect(r);
	assert_true(rig_send(fd, &bad[0], sizeof(bad[0]), &zero, 1) > 0);
	rig_pump(r);
	assert_true(has_ended(fd));
	close(fd);
	close(zero);
}

static void another_version_is_refused_with_both(void **state)
{
	struct ctl_hello hello = rig_hello();
	struct rig *r = *state;
	int fd = rig_connect(r);
	union ctl_message msg;
	uint32_t fds;

	hello.version_min = 97;
	hello.version_max = 99;
	/* Not terminated: must not be read beyond. */
	memset(hello.library_version, 'x', sizeof(hello.library_version));
	memset(hello.program, 'y', sizeof(hello.program));
	assert_true(rig_send(fd, &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(r);
	assert_int_equal(receive(fd, &msg, &fds), sizeof(msg.refused));
	assert_int_equal(msg.refused.error, -EPROTONOSUPPORT);
	assert_int_equal(msg.refused.version_max, CTL_VERSION);
	assert_non_null(strstr(msg.refused.why, "speaks versions 97 to 99, this ncd 4"));
	assert_true(has_ended(fd));
	assert_int_equal(counter(&r->stats.head->attach_refused), 1);
	close(fd);
}

static void too_many_clients_are_refused(void **state)
{
	struct ctl_hello hello = rig_hello();
	struct rig *r = *state;
	union ctl_message msg;
	int fd[4];
	uint32_t i, fds;

	for (i = 0; i < 3; i++)
		fd[i] = attach(r);
	fd[3] = rig_connect(r);
	assert_true(rig_send(fd[3], &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(r);
	assert_int_equal(receive(fd[3], &msg, &fds), sizeof(msg.refused));
	assert_int_equal(msg.refused.error, -EMFILE);
	/* One goes: there is room again. */
	close(fd[0]);
	close(fd[3]);
	rig_pump(r);
	fd[0] = attach(r);
	for (i = 0; i < 3; i++)
		close(fd[i]);
}

/* Streams that others have the descriptors of keep the memory of a client that is gone. */
static void clients_that_are_gone_are_bounded_too(void **state)
{
	struct ctl_hello hello = rig_hello();
	struct rig *r = *state;
	union ctl_message msg;
	uint32_t fds;
	int fd;

	for (uint32_t i = 0; i < RIG_WORKERS; i++)
		r->workers.worker[i]->hold = true;
	for (int i = 0; i < 6; i++) {
		fd = attach(r);
		close(fd);
		rig_pump(r);
	}
	assert_int_equal(r->control.lingering, 6);
	fd = rig_connect(r);
	assert_true(rig_send(fd, &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(r);
	assert_int_equal(receive(fd, &msg, &fds), sizeof(msg.refused));
	assert_int_equal(msg.refused.error, -EMFILE);
	close(fd);
	for (uint32_t i = 0; i < RIG_WORKERS; i++) {
		r->workers.worker[i]->hold = false;
		fake_answer(r->workers.worker[i]);
	}
	rig_pump(r);
	assert_int_equal(r->control.lingering, 0);
	close(attach(r));
}

static void connections_that_say_nothing_are_bounded(void **state)
{
	struct rig *r = *state;
	int fd[CLIENT_GREETING_MAX + 1];
	uint32_t i;

	for (i = 0; i < CLIENT_GREETING_MAX + 1; i++)
		fd[i] = rig_connect(r);
	assert_int_equal(r->control.greeting, CLIENT_GREETING_MAX);
	assert_true(has_ended(fd[CLIENT_GREETING_MAX]));
	for (i = 0; i < CLIENT_GREETING_MAX + 1; i++)
		close(fd[i]);
	rig_pump(r);
	rig_pump(r);
	assert_null(r->control.clients);
}

/* Hundreds of programs may start at once: who is not taken yet waits as in any backlog. */
static void who_comes_while_others_have_not_said_hello_waits(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const struct ctl_hello hello = rig_hello();
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int i, fd[CLIENT_GREETING_MAX + 2];
	socklen_t bytes = sizeof(sun);

	assert_int_equal(bind(listener, (struct sockaddr *)&sun, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(listener, CLIENT_GREETING_MAX + 2), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&sun, &bytes), 0);
	assert_int_equal(control_listen(&r->control, listener), 0);
	for (i = 0; i < CLIENT_GREETING_MAX + 2; i++) {
		fd[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&sun, bytes), 0);
	}
	rig_pump(r);
	assert_int_equal(r->control.greeting, CLIENT_GREETING_MAX);
	assert_false(has_ended(fd[CLIENT_GREETING_MAX]));
	/* One has said it, another has gone: two are taken. */
	assert_int_equal(rig_send(fd[0], &hello, sizeof(hello), NULL, 0), sizeof(hello));
	close(fd[1]);
	rig_pump(r);
	assert_int_equal(r->control.attached, 1);
	assert_int_equal(r->control.greeting, CLIENT_GREETING_MAX);
	for (i = 0; i < CLIENT_GREETING_MAX + 2; i++)
		if (i != 1)
			close(fd[i]);
	rig_pump(r);
	assert_int_equal(r->control.greeting, 0);
	assert_int_equal(r->control.stats->head->attach_refused, 0);
}

static void binding_claims_and_unbinding_gives_back(void **state)
{
	struct ctl_addr msg = addr_message(CTL_BIND, 5000, 0);
	struct rig *r = *state;
	int one = attach(r), two = attach(r);
	struct ctl_reply reply;

	reply = ask(r, one, &msg, sizeof(msg), -1);
	assert_int_equal(reply.result, 0);
	assert_int_equal(reply.value, 5000);
	assert_int_equal(ask(r, two, &msg, sizeof(msg), -1).result, -EADDRINUSE);
	msg.head.type = CTL_UNBIND;
	assert_int_equal(ask(r, one, &msg, sizeof(msg), -1).result, 0);
	msg.head.type = CTL_BIND;
	assert_int_equal(ask(r, two, &msg, sizeof(msg), -1).result, 0);
	msg.addr[15] = 9;
	assert_int_equal(ask(r, two, &msg, sizeof(msg), -1).result, -EADDRNOTAVAIL);
	msg.port = 0;
	memset(msg.addr, 0, sizeof(msg.addr));
	reply = ask(r, one, &msg, sizeof(msg), -1);
	assert_int_equal(reply.result, 0);
	assert_true(reply.value >= 32768);
	close(one);
	close(two);
}

static void listening_is_answered_when_all_workers_listen(void **state)
{
	struct ctl_addr msg = addr_message(CTL_LISTEN, 5000, 0);
	struct rig *r = *state;
	int fd = attach(r);
	union ctl_message reply;
	uint32_t fds;

	r->workers.worker[1]->hold = true;
	assert_true(rig_send(fd, &msg, sizeof(msg), NULL, 0) > 0);
	rig_pump(r);
	assert_true(receive(fd, &reply, &fds) < 0);
	assert_int_equal(r->workers.worker[1]->last.listen.backlog, NCD_BACKLOG_MAX);
	fake_answer(r->workers.worker[1]);
	r->workers.worker[1]->hold = false;
	rig_pump(r);
	assert_int_equal(receive(fd, &reply, &fds), sizeof(reply.reply));
	assert_int_equal(reply.reply.result, 0);
	close(fd);
}

static void a_worker_that_cannot_listen_undoes_the_others(void **state)
{
	struct ctl_addr msg = addr_message(CTL_LISTEN, 5000, 0);
	struct rig *r = *state;
	int fd = attach(r);

	r->workers.worker[1]->listen_result = -ENOBUFS;
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), -1).result, -ENOBUFS);
	assert_int_equal(r->workers.worker[0]->posted[CMD_UNLISTEN], 1);
	r->workers.worker[1]->listen_result = 0;
	/* Port and listener are free again. */
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), -1).result, 0);
	close(fd);
}

static void a_bound_port_listens_and_is_free_after_unlisten(void **state)
{
	struct ctl_addr bind_msg = addr_message(CTL_BIND, 5000, 0);
	struct ctl_addr listen_msg = addr_message(CTL_LISTEN, 5000, CTL_ADDR_BOUND);
	struct ctl_number unlisten = { .head = { .type = CTL_UNLISTEN, .tag = 5 } };
	struct rig *r = *state;
	int one = attach(r), two = attach(r);
	struct ctl_reply reply;

	assert_int_equal(ask(r, one, &listen_msg, sizeof(listen_msg), -1).result, -EINVAL);
	assert_int_equal(ask(r, one, &bind_msg, sizeof(bind_msg), -1).result, 0);
	reply = ask(r, one, &listen_msg, sizeof(listen_msg), -1);
	assert_int_equal(reply.result, 0);
	assert_int_equal(ask(r, two, &bind_msg, sizeof(bind_msg), -1).result, -EADDRINUSE);
	unlisten.number = reply.value;
	assert_int_equal(ask(r, one, &unlisten, sizeof(unlisten), -1).result, 0);
	assert_int_equal(ask(r, one, &unlisten, sizeof(unlisten), -1).result, -EINVAL);
	unlisten.number = 0xffffffff;
	assert_int_equal(ask(r, one, &unlisten, sizeof(unlisten), -1).result, -EINVAL);
	assert_int_equal(ask(r, two, &bind_msg, sizeof(bind_msg), -1).result, 0);
	close(one);
	close(two);
}

/* A kernel's TCP socket on @addr; its port. */
static int kernel_listener_at(in_addr_t addr, bool listens, uint16_t *port, bool reuseport)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(addr),
				  .sin_port = htons(*port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = reuseport;
	socklen_t bytes = sizeof(in);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listens ? listen(fd, 1) : 0, 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &bytes), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

static int kernel_listener(in_addr_t addr, bool listens, uint16_t *ret_port)
{
	*ret_port = 0;
	return kernel_listener_at(addr, listens, ret_port, false);
}

static void those_that_show_one_listening_socket_share_its_port(void **state)
{
	struct rig *r = *state;
	uint16_t port;
	int title = kernel_listener(INADDR_LOOPBACK, true, &port), copy = dup(title);
	int one = attach(r), two = attach(r), three = attach(r);
	struct ctl_addr msg = addr_message(CTL_LISTEN, port, CTL_ADDR_TITLE);
	struct ctl_addr plain = addr_message(CTL_LISTEN, port, 0);
	uint64_t number;

	assert_int_equal(ask(r, one, &msg, sizeof(msg), title).result, 0);
	number = r->workers.worker[0]->last.listen.title;
	assert_true(number != 0);
	assert_int_equal(ask(r, two, &msg, sizeof(msg), copy).result, 0);
	assert_true(r->workers.worker[1]->last.listen.title == number);
	assert_int_equal(ask(r, three, &plain, sizeof(plain), -1).result, -EADDRINUSE);
	close(one);
	rig_pump(r);
	assert_int_equal(ask(r, three, &plain, sizeof(plain), -1).result, -EADDRINUSE);
	close(two);
	rig_pump(r);
	assert_int_equal(ask(r, three, &plain, sizeof(plain), -1).result, 0);
	assert_true(r->workers.worker[0]->last.listen.title == 0);
	close(three);
	close(title);
	close(copy);
}

/* Whose they are, and that they share, is the kernel's to say, not the client's. */
static void sockets_with_reuseport_share_their_port(void **state)
{
	struct rig *r = *state;
	uint16_t port = 0;
	int title[2], one = attach(r), two = attach(r);
	struct ctl_addr msg, plain;
	struct worker_cmd *last = &r->workers.worker[0]->last;

	for (int i = 0; i < 2; i++)
		title[i] = kernel_listener_at(INADDR_LOOPBACK, true, &port, true);
	msg = addr_message(CTL_LISTEN, port, CTL_ADDR_TITLE);
	plain = addr_message(CTL_LISTEN, port, 0);
	assert_int_equal(ask(r, one, &msg, sizeof(msg), title[0]).result, 0);
	assert_true(last->listen.reuseport && last->listen.uid == getuid());
	assert_int_equal(ask(r, one, &msg, sizeof(msg), title[1]).result, 0);
	assert_int_equal(ask(r, two, &msg, sizeof(msg), title[1]).result, 0);
	assert_int_equal(ask(r, two, &plain, sizeof(plain), -1).result, -EADDRINUSE);
	plain.flags = CTL_ADDR_REUSEPORT;
	assert_int_equal(ask(r, two, &plain, sizeof(plain), -1).result, 0);
	assert_true(last->listen.title == 0 && last->listen.reuseport);
	for (int i = 0; i < 2; i++)
		close(title[i]);
	close(one);
	close(two);
}

static void what_is_shown_must_listen_there(void **state)
{
	struct rig *r = *state;
	uint16_t port[3];
	int good = kernel_listener(INADDR_LOOPBACK, true, &port[0]);
	int deaf = kernel_listener(INADDR_LOOPBACK, false, &port[1]);
	int wild = kernel_listener(INADDR_ANY, true, &port[2]);
	int unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC), fd = attach(r);
	struct ctl_addr msg = addr_message(CTL_LISTEN, port[0], CTL_ADDR_TITLE);

	assert_int_equal(ask(r, fd, &msg, sizeof(msg), unix_fd).result, -EINVAL);
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), file).result, -EINVAL);
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), fd).result, -EINVAL);
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), -1).result, -EMFILE);
	msg.flags |= CTL_ADDR_BOUND;
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), good).result, -EINVAL);
	msg.flags = CTL_ADDR_TITLE;
	msg.port = port[1];
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), deaf).result, -EINVAL);
	msg.port++;
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), good).result, -EINVAL);
	msg.port = port[2];
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), wild).result, -EINVAL);
	memset(msg.addr, 0, sizeof(msg.addr));
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), wild).result, 0);
	/* Without the flag no descriptor belongs there. */
	msg.flags = 0;
	assert_true(rig_send(fd, &msg, sizeof(msg), &good, 1) > 0);
	rig_pump(r);
	assert_true(has_ended(fd));
	close(fd);
	close(good);
	close(deaf);
	close(wild);
	close(unix_fd);
	close(file);
}

static void descriptors_are_checked_before_workers_get_them(void **state)
{
	struct ctl_pollfd poll_msg = { .head = { .type = CTL_POLLFD, .tag = 3 }, .slot = 1 };
	struct ctl_number cq_msg = { .head = { .type = CTL_CQFD, .tag = 4 }, .number = 1 };
	struct rig *r = *state;
	int pair[2], event_fd = eventfd(0, EFD_CLOEXEC), fd = attach(r);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(ask(r, fd, &poll_msg, sizeof(poll_msg), pair[0]).result, 0);
	assert_int_equal(r->workers.worker[0]->posted[CMD_POLLFD], 1);
	assert_int_equal(r->workers.worker[1]->posted[CMD_POLLFD], 0);
	assert_int_equal(ask(r, fd, &cq_msg, sizeof(cq_msg), pair[0]).result, 0);
	assert_int_equal(r->workers.worker[1]->posted[CMD_CQFD], 1);
	poll_msg.slot = SLOTS;
	assert_int_equal(ask(r, fd, &poll_msg, sizeof(poll_msg), pair[0]).result, -EINVAL);
	poll_msg.slot = CQ_LISTENER | 3;
	assert_int_equal(ask(r, fd, &poll_msg, sizeof(poll_msg), pair[0]).result, -EINVAL);
	poll_msg.slot = 1;
	poll_msg.worker = 2;
	assert_int_equal(ask(r, fd, &poll_msg, sizeof(poll_msg), pair[0]).result, -EINVAL);
	cq_msg.number = NCD_QP_NR;
	assert_int_equal(ask(r, fd, &cq_msg, sizeof(cq_msg), pair[0]).result, -EINVAL);
	/* A full eventfd, made blocking by the client, would stop the worker that writes to it. */
	cq_msg.number = 1;
	assert_true(rig_send(fd, &cq_msg, sizeof(cq_msg), &event_fd, 1) > 0);
	rig_pump(r);
	assert_true(has_ended(fd));
	close(fd);
	fd = attach(r);
	assert_true(rig_send(fd, &poll_msg, sizeof(poll_msg), &event_fd, 1) > 0);
	rig_pump(r);
	assert_true(has_ended(fd));
	close(fd);
	close(pair[0]);
	close(pair[1]);
	close(event_fd);
}

static void unexpected_descriptors_end_the_attachment(void **state)
{
	struct ctl_addr msg = addr_message(CTL_BIND, 5000, 0);
	struct rig *r = *state;
	int i, nr, fds[8], fd;

	for (i = 0; i < 8; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	for (nr = 1; nr <= 8; nr++) {
		fd = attach(r);
		assert_true(rig_send(fd, &msg, sizeof(msg), fds, (uint32_t)nr) > 0);
		rig_pump(r);
		assert_true(has_ended(fd));
		close(fd);
	}
	for (i = 0; i < 8; i++)
		close(fds[i]);
}

static void messages_of_wrong_length_end_the_attachment(void **state)
{
	union ctl_message msg;
	struct rig *r = *state;
	uint32_t type;
	int fd;

	for (type = 0; type <= CTL_TYPE_END; type++) {
		memset(&msg, 0, sizeof(msg));
		msg.head.type = type;
		fd = attach(r);
		assert_true(rig_send(fd, &msg, 20, NULL, 0) > 0);
		rig_pump(r);
		assert_true(has_ended(fd));
		close(fd);
	}
	rig_pump(r);
	assert_int_equal(r->control.attached, 0);
}

static void segments_double_until_the_limit(void **state)
{
	struct rig *r = *state;
	struct worker *w = r->workers.worker[1];
	int fd = attach(r);
	struct worker_event wanted = { .type = EVT_SEGMENT_WANTED,
				       .port = w->last.port,
				       .bytes = 1 << 20 };
	union ctl_message msg;
	uint32_t fds;

	fake_event(w, &wanted);
	rig_pump(r);
	assert_int_equal(receive(fd, &msg, &fds), sizeof(msg.segment));
	assert_int_equal(fds, 1);
	assert_int_equal(msg.segment.segment, 1);
	assert_int_equal(msg.segment.bytes, 64 << 20);
	assert_int_equal(w->last.type, CMD_SEGMENT);
	assert_int_equal(w->last.segment.number, 1);
	/* What is left of the 100 MiB. */
	fake_event(w, &wanted);
	rig_pump(r);
	assert_int_equal(receive(fd, &msg, &fds), sizeof(msg.segment));
	assert_int_equal(msg.segment.bytes, 36 << 20);
	fake_event(w, &wanted);
	rig_pump(r);
	assert_true(receive(fd, &msg, &fds) < 0);
	assert_int_equal(w->last.type, CMD_SEGMENT_DENIED);
	close(fd);
}

static void a_client_that_does_not_read_is_ended(void **state)
{
	struct ctl_addr msg = addr_message(CTL_UNBIND, 5000, 0);
	struct rig *r = *state;
	int i, fd = attach(r);

	for (i = 0; i < 10000 && r->control.attached; i++) {
		(void)rig_send(fd, &msg, sizeof(msg), NULL, 0);
		rig_pump(r);
	}
	assert_int_equal(r->control.attached, 0);
	assert_int_equal(counter(&r->stats.head->ctl_stalled), 1);
	close(fd);
}

static void memory_outlives_the_connection_until_workers_let_go(void **state)
{
	struct ctl_addr msg = addr_message(CTL_LISTEN, 5000, 0);
	struct rig *r = *state;
	struct worker *w = r->workers.worker[1];
	int fd = attach(r);

	w->hold = true;
	assert_true(rig_send(fd, &msg, sizeof(msg), NULL, 0) > 0);
	rig_pump(r);
	close(fd);
	rig_pump(r);
	assert_int_equal(r->control.attached, 0);
	assert_non_null(r->control.clients);
	/* Its port is free at once all the same. */
	w->hold = false;
	fd = attach(r);
	assert_int_equal(ask(r, fd, &msg, sizeof(msg), -1).result, 0);
	fake_answer(w);
	rig_pump(r);
	assert_non_null(r->control.clients);
	assert_null(r->control.clients->next);
	close(fd);
	rig_pump(r);
	assert_null(r->control.clients);
}

static void a_region_that_lies_ends_that_client_only(void **state)
{
	struct rig *r = *state;
	struct worker *w = r->workers.worker[0];
	int bad = attach(r), good;
	struct worker_event lied = { .type = EVT_CLIENT_BAD,
				     .port = w->last.port,
				     .reason = "test" };

	good = attach(r);
	fake_event(w, &lied);
	rig_pump(r);
	assert_true(has_ended(bad));
	assert_false(has_ended(good));
	close(bad);
	close(good);
}

static void leaving_is_told_and_nobody_new_is_taken(void **state)
{
	struct ctl_hello hello = rig_hello();
	struct rig *r = *state;
	int old = attach(r), fresh = rig_connect(r);
	union ctl_message msg;
	uint32_t fds;

	control_leave(&r->control);
	assert_int_equal(receive(old, &msg, &fds), sizeof(msg.head));
	assert_int_equal(msg.head.type, CTL_LEAVING);
	assert_true(rig_send(fresh, &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(r);
	assert_int_equal(receive(fresh, &msg, &fds), sizeof(msg.refused));
	assert_int_equal(msg.refused.error, -ESHUTDOWN);
	close(old);
	close(fresh);
}

static void everything_is_freed_with_requests_under_way(void **state)
{
	struct ctl_addr msg = addr_message(CTL_LISTEN, 5000, 0);
	struct rig *r = *state;
	int fd = attach(r);

	r->workers.worker[0]->hold = true;
	r->workers.worker[1]->hold = true;
	assert_true(rig_send(fd, &msg, sizeof(msg), NULL, 0) > 0);
	rig_pump(r);
	close(fd);
	/* The tear-down does the rest; the address sanitizer judges. */
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_hello_is_welcomed_with_region_and_doorbells),
		RIG_TEST(the_least_loaded_worker_is_recommended),
		RIG_TEST(garbage_ends_the_connection_and_is_counted),
		RIG_TEST(a_hello_that_lies_is_garbage),
		RIG_TEST(another_version_is_refused_with_both),
		RIG_TEST(too_many_clients_are_refused),
		RIG_TEST(clients_that_are_gone_are_bounded_too),
		RIG_TEST(connections_that_say_nothing_are_bounded),
		RIG_TEST(who_comes_while_others_have_not_said_hello_waits),
		RIG_TEST(binding_claims_and_unbinding_gives_back),
		RIG_TEST(listening_is_answered_when_all_workers_listen),
		RIG_TEST(a_worker_that_cannot_listen_undoes_the_others),
		RIG_TEST(a_bound_port_listens_and_is_free_after_unlisten),
		RIG_TEST(those_that_show_one_listening_socket_share_its_port),
		RIG_TEST(sockets_with_reuseport_share_their_port),
		RIG_TEST(what_is_shown_must_listen_there),
		RIG_TEST(descriptors_are_checked_before_workers_get_them),
		RIG_TEST(unexpected_descriptors_end_the_attachment),
		RIG_TEST(messages_of_wrong_length_end_the_attachment),
		RIG_TEST(segments_double_until_the_limit),
		RIG_TEST(a_client_that_does_not_read_is_ended),
		RIG_TEST(memory_outlives_the_connection_until_workers_let_go),
		RIG_TEST(a_region_that_lies_ends_that_client_only),
		RIG_TEST(leaving_is_told_and_nobody_new_is_taken),
		RIG_TEST(everything_is_freed_with_requests_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
