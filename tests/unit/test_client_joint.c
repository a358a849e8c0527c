/* SPDX-License-Identifier: MIT */
/*
 * test_client_joint.c - Goal: memory for a joined ring goes to the two that it is for, the reader
 * cannot write it, it counts to both, and is taken back whoever is gone. Method: control_rig.h.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "control_app.h"
#include "joint.h"

#define BYTES (4u << 20)

struct pair {
	struct rig *r;
	struct worker *w;
	int fd[JOINT_SIDES]; /* the writer's, the reader's */
	struct port *port[JOINT_SIDES];
};

static int rig_set_up(void **state)
{
	*state = rig_create(16);
	return 0;
}

static int rig_tear_down(void **state)
{
	rig_destroy(*state);
	return 0;
}

static void pair_attach(void **state, struct pair *p)
{
	p->r = *state;
	p->w = p->r->workers.worker[1];
	for (int i = 0; i < JOINT_SIDES; i++) {
		p->fd[i] = attach(p->r);
		p->port[i] = p->w->last.port;
	}
}

static void pair_close(struct pair *p)
{
	for (int i = 0; i < JOINT_SIDES; i++)
		if (p->fd[i] >= 0)
			close(p->fd[i]);
	rig_pump(p->r);
}

/* The answer to a wish; NULL: there is none. */
static struct joint *ask(struct pair *p)
{
	struct worker_event ev = { .type = EVT_JOINT_WANTED, .port = p->port[JOINT_WRITER],
				   .reader = p->port[JOINT_READER], .stream = 77,
				   .bytes = BYTES };

	fake_event(p->w, &ev);
	rig_pump(p->r);
	assert_int_equal(p->w->last.type, CMD_JOINT);
	assert_true(p->w->last.joint.stream == 77);
	return p->w->last.joint.joint;
}

static void give_back(struct pair *p, struct joint *j)
{
	struct worker_event ev = { .type = EVT_JOINT_OVER, .joint = j };

	fake_event(p->w, &ev);
	rig_pump(p->r);
}

/* One message JOINT; its descriptor is the caller's. */
static int joint_fd(int fd, struct ctl_segment *ret_msg)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} ctrl;
	struct iovec iov = { ret_msg, sizeof(*ret_msg) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctrl,
			    .msg_controllen = sizeof(ctrl) };
	struct cmsghdr *c;
	int got = -1;

	assert_int_equal(recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC), sizeof(*ret_msg));
	assert_int_equal(ret_msg->head.type, CTL_JOINT);
	c = CMSG_FIRSTHDR(&h);
	if (c)
		memcpy(&got, CMSG_DATA(c), sizeof(got));
	assert_true(got >= 0);
	return got;
}

static void the_reader_cannot_write(void **state)
{
	struct ctl_segment tx, rx;
	union ctl_message msg;
	struct pair p;
	struct joint *j;
	char path[32];
	uint32_t fds;
	int fd[2];
	void *m;

	pair_attach(state, &p);
	j = ask(&p);
	assert_non_null(j);
	fd[0] = joint_fd(p.fd[JOINT_WRITER], &tx);
	fd[1] = joint_fd(p.fd[JOINT_READER], &rx);
	assert_int_equal(tx.segment, j->number[JOINT_WRITER]);
	assert_int_equal(rx.segment, j->number[JOINT_READER]);
	assert_false(tx.flags & SEGMENT_READ);
	assert_true(rx.flags & SEGMENT_READ);
	assert_true(mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd[1], 0) == MAP_FAILED);
	m = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd[1], 0);
	assert_true(m != MAP_FAILED);
	assert_true(mprotect(m, BYTES, PROT_READ | PROT_WRITE) < 0);
	assert_true(madvise(m, BYTES, MADV_REMOVE) < 0);
	assert_true(ftruncate(fd[0], 0) < 0);
	j->map.base[17] = 99;
	assert_int_equal(((uint8_t *)m)[17], 99);
	munmap(m, BYTES);
	/* Nor open it anew: root may. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd[1]);
	if (geteuid() == 0 && seteuid(65534) == 0) {
		assert_true(open(path, O_RDWR) < 0);
		assert_int_equal(seteuid(0), 0);
	}
	close(fd[0]);
	close(fd[1]);
	give_back(&p, j);
	for (int i = 0; i < JOINT_SIDES; i++) {
		assert_int_equal(receive(p.fd[i], &msg, &fds), sizeof(msg.number));
		assert_int_equal(msg.head.type, CTL_UNJOIN);
		assert_int_equal(msg.number.number, i == JOINT_WRITER ? tx.segment : rx.segment);
	}
	/* The next has another number. */
	j = ask(&p);
	assert_int_not_equal(j->number[JOINT_WRITER], tx.segment);
	give_back(&p, j);
	pair_close(&p);
}

static void it_counts_to_both(void **state)
{
	struct joint *j[32];
	union ctl_message msg;
	struct pair p;
	uint32_t fds, nr = 0;

	pair_attach(state, &p);
	/* Of 100 MiB each. */
	while (nr < 32 && (j[nr] = ask(&p)))
		nr++;
	assert_int_equal(nr, 25);
	give_back(&p, j[7]);
	while (receive(p.fd[0], &msg, &fds) > 0)
		;
	j[7] = ask(&p);
	assert_non_null(j[7]);
	while (nr > 0)
		give_back(&p, j[--nr]);
	pair_close(&p);
}

static void who_is_gone_is_not_told(void **state)
{
	union ctl_message msg;
	struct pair p;
	struct joint *j;
	uint32_t fds;

	pair_attach(state, &p);
	j = ask(&p);
	assert_non_null(j);
	close(p.fd[JOINT_WRITER]);
	p.fd[JOINT_WRITER] = -1;
	rig_pump(p.r);
	assert_int_equal(p.r->control.attached, 1);
	/* Its reader may read on. */
	j->map.base[0] = 1;
	give_back(&p, j);
	assert_int_equal(receive(p.fd[JOINT_READER], &msg, &fds), sizeof(msg.segment));
	assert_int_equal(receive(p.fd[JOINT_READER], &msg, &fds), sizeof(msg.number));
	assert_int_equal(msg.head.type, CTL_UNJOIN);
	assert_null(p.r->control.joints);
	/* One that nobody gives back goes with control: rig_tear_down. */
	pair_close(&p);
}

static void an_older_library_gets_none(void **state)
{
	struct ctl_hello hello = rig_hello();
	union ctl_message msg;
	struct pair p;
	uint32_t fds;

	pair_attach(state, &p);
	hello.version_min = hello.version_max = 4;
	close(p.fd[JOINT_READER]);
	p.fd[JOINT_READER] = rig_connect(p.r);
	assert_true(rig_send(p.fd[JOINT_READER], &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(p.r);
	assert_int_equal(receive(p.fd[JOINT_READER], &msg, &fds), sizeof(msg.welcome));
	assert_int_equal(msg.welcome.version, 4);
	p.port[JOINT_READER] = p.w->last.port;
	assert_null(ask(&p));
	pair_close(&p);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(the_reader_cannot_write),
		RIG_TEST(it_counts_to_both),
		RIG_TEST(who_is_gone_is_not_told),
		RIG_TEST(an_older_library_gets_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
