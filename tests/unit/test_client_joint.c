/* SPDX-License-Identifier: MIT */
/*
 * test_client_joint.c - Goal: memory for a joined ring goes to the two that it is for, the reader
 * cannot write it, it counts to both, and is taken back whoever is gone; a worker gets it when both
 * have said that they have it. Method: control_rig.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "control_app.h"
#include "joint.h"

#define BYTES (4u << 20)

struct pair {
	struct rig *r;
	struct worker *w;
	int fd[JOINT_SIDES]; /* the writer's, the reader's */
	struct port *port[JOINT_SIDES];
	uint64_t bytes; /* of a joined ring */
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
	p->bytes = BYTES;
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

static void wish(struct pair *p)
{
	struct worker_event ev = { .type = EVT_JOINT_WANTED, .port = p->port[JOINT_WRITER],
				   .reader = p->port[JOINT_READER], .stream = 77,
				   .bytes = p->bytes };

	fake_event(p->w, &ev);
	rig_pump(p->r);
}

/* What the worker has been answered; NULL: there is none. */
static struct joint *answered(struct pair *p)
{
	assert_int_equal(p->w->last.type, CMD_JOINT);
	assert_true(p->w->last.joint.stream == 77);
	assert_true(p->w->last.joint.joint == NULL || p->w->last.joint.joint->cmd == NULL);
	return p->w->last.joint.joint;
}

static void say(struct pair *p, int side, uint32_t number, int result)
{
	const struct ctl_reply joined = { .head = { .type = CTL_JOINED },
					  .result = result,
					  .value = number };

	assert_true(rig_send(p->fd[side], &joined, sizeof(joined), NULL, 0) > 0);
	rig_pump(p->r);
}

/* It is told, and not answered by all. */
static bool under_way(struct pair *p)
{
	return p->r->control.joints && p->r->control.joints->cmd;
}

/* A wish that comes so far. */
static struct joint *told(struct pair *p)
{
	wish(p);
	assert_true(under_way(p));
	return p->r->control.joints;
}

/* The answer to a wish, where who is told has no objection. */
static struct joint *ask(struct pair *p)
{
	struct joint *j;

	wish(p);
	j = under_way(p) ? p->r->control.joints : NULL;
	for (int i = 0; j && i < JOINT_SIDES; i++)
		if (j->waits[i])
			say(p, i, j->number[i], 0);
	return answered(p);
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
	/* Of 100 MiB each: half of it, so that there is room for the rings of other streams. */
	while (nr < 32 && (j[nr] = ask(&p)))
		nr++;
	for (int i = 0; i < JOINT_SIDES; i++) {
		struct worker_event ev = { .type = EVT_SEGMENT_WANTED, .port = p.port[i],
					   .bytes = 48u << 20 };

		fake_event(p.w, &ev);
		rig_pump(p.r);
		assert_int_equal(p.w->last.type, CMD_SEGMENT);
	}
	assert_int_equal(nr, 12);
	give_back(&p, j[7]);
	while (receive(p.fd[0], &msg, &fds) > 0)
		;
	j[7] = ask(&p);
	assert_non_null(j[7]);
	while (nr > 0)
		give_back(&p, j[--nr]);
	pair_close(&p);
}

/* Reads all that @fd was told; how many of them were UNJOIN. */
static uint32_t unjoined(int fd)
{
	union ctl_message msg;
	uint32_t fds, nr = 0;

	while (receive(fd, &msg, &fds) > 0)
		nr += msg.head.type == CTL_UNJOIN;
	return nr;
}

/* Places in the table of a client. */
static void there_are_so_many_and_no_more(void **state)
{
	struct joint *j[NCD_JOINTS_MAX + 1];
	struct pair p;
	uint32_t nr = 0;

	pair_attach(state, &p);
	p.bytes = 64u << 10;
	while (nr <= NCD_JOINTS_MAX && (j[nr] = ask(&p)))
		nr++;
	assert_int_equal(nr, NCD_JOINTS_MAX);
	give_back(&p, j[77]);
	(void)unjoined(p.fd[JOINT_WRITER]);
	(void)unjoined(p.fd[JOINT_READER]);
	j[77] = ask(&p);
	assert_non_null(j[77]);
	assert_int_equal(joint_index(j[77]->number[JOINT_WRITER]), 77);
	while (nr > 0) {
		give_back(&p, j[--nr]);
		(void)unjoined(p.fd[JOINT_WRITER]);
		(void)unjoined(p.fd[JOINT_READER]);
	}
	pair_close(&p);
}

static void the_worker_gets_it_when_both_have_it(void **state)
{
	for (int first = 0; first < JOINT_SIDES; first++) {
		struct pair p;
		struct joint *j;

		pair_attach(state, &p);
		j = told(&p);
		assert_int_not_equal(p.w->last.type, CMD_JOINT);
		say(&p, first, j->number[first], 0);
		assert_true(under_way(&p));
		say(&p, !first, j->number[!first], 0);
		assert_ptr_equal(answered(&p), j);
		give_back(&p, j);
		pair_close(&p);
	}
}

static void one_that_cannot_map_it_costs_the_ring_and_nothing_else(void **state)
{
	/* Which side refuses, and whether the other has answered before. */
	for (int how = 0; how < 4; how++) {
		int side = how & 1;
		struct pair p;
		struct joint *j;

		pair_attach(state, &p);
		j = told(&p);
		if (how & 2)
			say(&p, !side, j->number[!side], 0);
		say(&p, side, j->number[side], -ENOMEM);
		assert_null(answered(&p));
		assert_null(p.r->control.joints);
		assert_int_equal(p.r->control.attached, 2);
		for (int i = 0; i < JOINT_SIDES; i++)
			assert_int_equal(unjoined(p.fd[i]), 1);
		/* Nothing counts to them, and the next may go well. */
		for (struct client *c = p.r->control.clients; c; c = c->next)
			assert_true(c->joint_bytes == 0);
		j = ask(&p);
		assert_non_null(j);
		give_back(&p, j);
		pair_close(&p);
	}
}

static void who_does_not_answer_gets_none(void **state)
{
	struct pair p;
	struct joint *j;
	uint32_t number;

	pair_attach(state, &p);
	j = told(&p);
	number = j->number[JOINT_READER];
	say(&p, JOINT_WRITER, j->number[JOINT_WRITER], 0);
	control_second(&p.r->control);
	control_second(&p.r->control);
	assert_true(under_way(&p));
	control_second(&p.r->control);
	assert_null(answered(&p));
	assert_null(p.r->control.joints);
	for (int i = 0; i < JOINT_SIDES; i++)
		assert_int_equal(unjoined(p.fd[i]), 1);
	/* It was only late. */
	say(&p, JOINT_READER, number, 0);
	say(&p, JOINT_READER, number, -ENOMEM);
	assert_int_equal(p.r->control.attached, 2);
	pair_close(&p);
}

static void who_lies_of_what_it_has_hurts_nobody(void **state)
{
	struct pair p;
	struct joint *j;

	pair_attach(state, &p);
	j = told(&p);
	/* What was never told, absurd, and the other's. */
	say(&p, JOINT_READER, 0, 0);
	say(&p, JOINT_READER, UINT32_MAX, -ENOMEM);
	say(&p, JOINT_READER, j->number[JOINT_READER] + 0x100, -ENOMEM);
	say(&p, JOINT_READER, j->number[JOINT_READER] & ~JOINT_FLAG, -ENOMEM);
	assert_true(under_way(&p));
	/* Twice, and another opinion. */
	say(&p, JOINT_READER, j->number[JOINT_READER], 1);
	say(&p, JOINT_READER, j->number[JOINT_READER], 0);
	say(&p, JOINT_READER, j->number[JOINT_READER], -ENOMEM);
	assert_true(under_way(&p));
	say(&p, JOINT_WRITER, j->number[JOINT_WRITER], 0);
	assert_ptr_equal(answered(&p), j);
	say(&p, JOINT_WRITER, j->number[JOINT_WRITER], -ENOMEM);
	assert_ptr_equal(p.r->control.joints, j);
	assert_int_equal(p.r->control.attached, 2);
	give_back(&p, j);
	pair_close(&p);
}

static void who_ends_while_it_is_waited_for_gets_none(void **state)
{
	/* Which side ends, and whether its memory is in use a while longer. */
	for (int how = 0; how < 4; how++) {
		int side = how & 1;
		struct pair p;
		struct joint *j;

		pair_attach(state, &p);
		j = told(&p);
		p.w->hold = how & 2;
		close(p.fd[side]);
		p.fd[side] = -1;
		rig_pump(p.r);
		assert_int_equal(p.r->control.attached, 1);
		/* It does not help that the other says yes. */
		say(&p, !side, j->number[!side], 0);
		control_second(&p.r->control);
		assert_null(p.r->control.joints);
		assert_int_equal(unjoined(p.fd[!side]), 1);
		if (side == JOINT_READER)
			assert_null(answered(&p));
		p.w->hold = false;
		fake_answer(p.w);
		rig_pump(p.r);
		pair_close(&p);
		assert_null(p.r->control.clients);
	}
}

/* Not even itself: a program may be connected to itself. */
static void one_with_both_ends_is_asked_for_both(void **state)
{
	for (int side = 0; side < JOINT_SIDES; side++) {
		struct pair p;
		struct joint *j;

		pair_attach(state, &p);
		p.port[JOINT_READER] = p.port[JOINT_WRITER];
		j = told(&p);
		say(&p, JOINT_WRITER, j->number[!side], 0);
		assert_true(under_way(&p));
		say(&p, JOINT_WRITER, j->number[side], side ? 0 : -ENOMEM);
		assert_ptr_equal(answered(&p), side ? j : NULL);
		if (side)
			give_back(&p, j);
		assert_int_equal(unjoined(p.fd[JOINT_WRITER]), 2);
		pair_close(&p);
	}
}

static void attach_as(struct pair *p, int side, uint32_t version)
{
	struct ctl_hello hello = rig_hello();
	union ctl_message msg;
	uint32_t fds;

	hello.version_min = CTL_VERSION_MIN;
	hello.version_max = version;
	close(p->fd[side]);
	p->fd[side] = rig_connect(p->r);
	assert_true(rig_send(p->fd[side], &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(p->r);
	assert_int_equal(receive(p->fd[side], &msg, &fds), sizeof(msg.welcome));
	assert_int_equal(msg.welcome.version, version < CTL_VERSION ? version : CTL_VERSION);
	p->port[side] = p->w->last.port;
}

static void an_older_library_is_not_waited_for(void **state)
{
	struct pair p;
	struct joint *j;

	pair_attach(state, &p);
	attach_as(&p, JOINT_READER, CTL_VERSION_JOINT);
	attach_as(&p, JOINT_WRITER, CTL_VERSION_JOINT);
	wish(&p);
	j = answered(&p);
	assert_non_null(j);
	assert_false(under_way(&p));
	give_back(&p, j);
	attach_as(&p, JOINT_WRITER, CTL_VERSION + 1);
	j = told(&p);
	assert_false(j->waits[JOINT_READER]);
	say(&p, JOINT_WRITER, j->number[JOINT_WRITER], 0);
	assert_ptr_equal(answered(&p), j);
	give_back(&p, j);
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
	struct pair p;

	pair_attach(state, &p);
	attach_as(&p, JOINT_READER, 4);
	assert_null(ask(&p));
	pair_close(&p);
}

/* ---- descriptors, memory, numbers ---- */

static uint32_t descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint32_t nr = 0;

	assert_non_null(d);
	while (readdir(d))
		nr++;
	closedir(d);
	return nr;
}

static void a_thousand_leave_no_descriptor(void **state)
{
	struct pair p;
	uint32_t before;

	pair_attach(state, &p);
	before = descriptors();
	for (uint32_t i = 0; i < 1000; i++) {
		struct joint *j;

		if (i % 3 == 2) { /* or not at all */
			j = told(&p);
			say(&p, i & 1, j->number[i & 1], -EMFILE);
		} else {
			j = ask(&p);
			assert_non_null(j);
			give_back(&p, j);
		}
		assert_int_equal(unjoined(p.fd[JOINT_WRITER]), 1);
		assert_int_equal(unjoined(p.fd[JOINT_READER]), 1);
	}
	assert_int_equal(descriptors(), before);
	assert_null(p.r->control.joints);
	pair_close(&p);
}

/* Room for none, for the memory alone, and for all that is wanted, whatever lies between. */
static void a_full_table_of_descriptors_costs_the_ring_only(void **state)
{
	struct rlimit was, few;
	struct pair p;

	pair_attach(state, &p);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	for (uint32_t room = 0; room < 16; room++) {
		uint32_t before = descriptors();
		int next = dup(STDERR_FILENO);
		struct joint *j;

		close(next);
		few = (struct rlimit){ .rlim_cur = (rlim_t)next + room, .rlim_max = was.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		j = ask(&p);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
		assert_true(room >= 2 || j == NULL);
		assert_true(room < 15 || j != NULL);
		if (j)
			give_back(&p, j);
		(void)unjoined(p.fd[JOINT_WRITER]);
		(void)unjoined(p.fd[JOINT_READER]);
		assert_int_equal(p.r->control.attached, 2);
		assert_int_equal(descriptors(), before);
	}
	pair_close(&p);
}

/* A program has no memory for a ring of another size: an address space that is full. */
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
static void a_full_address_space_costs_the_ring_only(void **state)
{
	struct rlimit was, full = { .rlim_cur = 1 << 20 };
	uint32_t before;
	struct pair p;

	pair_attach(state, &p);
	before = descriptors();
	assert_int_equal(getrlimit(RLIMIT_AS, &was), 0);
	full.rlim_max = was.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_AS, &full), 0);
	wish(&p);
	assert_int_equal(setrlimit(RLIMIT_AS, &was), 0);
	assert_null(answered(&p));
	assert_int_equal(descriptors(), before);
	assert_int_equal(p.r->control.attached, 2);
	pair_close(&p);
}
#endif

/* 23 bits of a counter. */
static void numbers_begin_again(void **state)
{
	uint32_t last = 0;
	struct pair p;

	pair_attach(state, &p);
	for (struct client *c = p.r->control.clients; c; c = c->next)
		c->joint_serial = UINT32_MAX - 2;
	for (uint32_t i = 0; i < 6; i++) {
		struct joint *kept = ask(&p), *j = ask(&p);

		assert_true(kept && j);
		for (int k = 0; k < JOINT_SIDES; k++) {
			assert_true(j->number[k] & JOINT_FLAG && kept->number[k] & JOINT_FLAG);
			assert_int_equal(joint_index(kept->number[k]), 0);
			assert_int_equal(joint_index(j->number[k]), 1);
		}
		assert_int_not_equal(j->number[JOINT_WRITER], last);
		last = j->number[JOINT_WRITER];
		give_back(&p, j);
		give_back(&p, kept);
		assert_int_equal(unjoined(p.fd[JOINT_WRITER]), 2);
		assert_int_equal(unjoined(p.fd[JOINT_READER]), 2);
	}
	assert_int_equal(joint_number(127, 0x7fffff), 0xffffff7f);
	assert_int_equal(joint_number(127, 0x800000), 0x8000007f);
	pair_close(&p);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		RIG_TEST(the_reader_cannot_write),
		RIG_TEST(it_counts_to_both),
		RIG_TEST(who_is_gone_is_not_told),
		RIG_TEST(there_are_so_many_and_no_more),
		RIG_TEST(the_worker_gets_it_when_both_have_it),
		RIG_TEST(one_that_cannot_map_it_costs_the_ring_and_nothing_else),
		RIG_TEST(who_does_not_answer_gets_none),
		RIG_TEST(who_lies_of_what_it_has_hurts_nobody),
		RIG_TEST(who_ends_while_it_is_waited_for_gets_none),
		RIG_TEST(one_with_both_ends_is_asked_for_both),
		RIG_TEST(an_older_library_is_not_waited_for),
		RIG_TEST(an_older_library_gets_none),
		RIG_TEST(a_thousand_leave_no_descriptor),
		RIG_TEST(a_full_table_of_descriptors_costs_the_ring_only),
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
		RIG_TEST(a_full_address_space_costs_the_ring_only),
#endif
		RIG_TEST(numbers_begin_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
