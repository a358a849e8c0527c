/* SPDX-License-Identifier: MIT */
/*
 * test_client_joined.c - Goal: a joined ring is written and read where its bytes belong, room is
 * behind what its reader has read, it is left and unmapped; one that cannot be mapped is refused,
 * and everything goes on. Method: the fake tells of memory of the test's, which plays the worker.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client_test.h"

#define JOINT (4 * RING)

/* A ring, as the daemon has it. */
struct joint {
	uint8_t *base;
	uint64_t bytes;
	int fd, read_fd;
};

static struct joint joint_make(uint64_t bytes)
{
	struct joint j = { .bytes = bytes, .fd = memfd_create("joint", MFD_CLOEXEC) };
	char path[32];
	void *m;

	assert_int_equal(ftruncate(j.fd, (off_t)bytes), 0);
	m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, j.fd, 0);
	assert_true(m != MAP_FAILED);
	j.base = m;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", j.fd);
	j.read_fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(j.read_fd >= 0);
	return j;
}

static void joint_end(const struct joint *j)
{
	munmap(j->base, j->bytes);
	close(j->fd);
	close(j->read_fd);
}

/* Mappings of joined rings that are not the test's own. */
static int mapped(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[256];
	int nr = -1;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		nr += strstr(line, "memfd:joint") != NULL;
	fclose(maps);
	return nr;
}

static void give(struct slot_shm *shm, bool tx, uint32_t number, uint32_t bytes)
{
	if (tx) {
		shm->tx_segment = number;
		shm->tx_off = 0;
		shm->tx_bytes = bytes;
		if (number & JOINT_FLAG)
			atomic_store(&shm->tx_read, atomic_load(&shm->tx_head));
		atomic_fetch_add(&shm->tx_given, 1);
		return;
	}
	shm->rx_segment = number;
	shm->rx_off = 0;
	shm->rx_bytes = bytes;
	atomic_fetch_add(&shm->rx_given, 1);
}

static ssize_t put(int s, uint64_t *at, size_t bytes)
{
	static uint8_t buf[2 * JOINT];
	ssize_t n;

	pattern_fill(buf, bytes, *at);
	n = nc_send(s, buf, bytes, MSG_DONTWAIT);
	*at += n > 0 ? (uint64_t)n : 0;
	return n;
}

static void joint_check(const struct joint *j, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		if (j->base[i & (j->bytes - 1)] != pattern(i))
			fail_msg("byte %zu is wrong", (size_t)i);
}

static void the_writer_has_the_room_that_was_read(void **state)
{
	const uint32_t number = joint_number(3, 9);
	struct joint j = joint_make(JOINT);
	struct fake *f = *state;
	struct slot_shm *shm;
	struct fake_slot p;
	int s = connected(f, &p);
	uint8_t buf[4000];
	uint64_t in = 0;

	shm = fake_shm(f, p);
	assert_int_equal(put(s, &in, 10000), 10000);
	assert_int_equal(fake_take(f, p, buf, 4000), 4000);
	fake_joint(f, number, JOINT, 0, j.fd);
	assert_int_equal(fake_joined(f, 1).result, 0);
	assert_int_equal(fake_joined(f, 1).value, number);
	give(shm, true, number, JOINT);
	/* All of it but what is not read: what is acknowledged does not count. */
	assert_int_equal(put(s, &in, 2 * JOINT), JOINT - 6000);
	assert_int_equal(atomic_load(&shm->tx_taken), 1);
	joint_check(&j, 4000, in);
	atomic_store(&shm->tx_head, in);
	assert_int_equal(put(s, &in, 1), -EAGAIN);
	atomic_store(&shm->tx_read, 4000 + JOINT / 2);
	assert_int_equal(put(s, &in, JOINT), JOINT / 2);
	joint_check(&j, in - JOINT, in);
	/* And back to a ring of its own: with what is not acknowledged, which is not what is
	 * unread. */
	atomic_store(&shm->tx_head, in - 1000);
	give(shm, true, 1, 2 * JOINT);
	shm->tx_off = 8 << 20;
	assert_int_equal(put(s, &in, 1000), 1000);
	assert_int_equal(atomic_load(&shm->tx_taken), 2);
	assert_int_equal(atomic_load(&shm->tx_base), 0);
	fake_unjoin(f, number);
	FAKE_AWAIT(mapped() == 0);
	assert_int_equal(put(s, &in, 1000), 1000);
	joint_end(&j);
	closed(f, s);
}

static uint32_t pages(const struct joint *j)
{
	struct stat st;

	assert_int_equal(fstat(j->fd, &st), 0);
	return (uint32_t)(st.st_blocks * 512 / NCD_PAGE);
}

/* What is acknowledged is not read yet. */
static void an_idle_one_keeps_the_pages_that_are_unread(void **state)
{
	struct joint j = joint_make(JOINT);
	struct fake *f = *state;
	struct slot_shm *shm;
	struct fake_slot p;
	int s = connected(f, &p);
	uint64_t in = 0;

	shm = fake_shm(f, p);
	assert_int_equal(put(s, &in, RING), RING);
	fake_joint(f, joint_number(0, 0), JOINT, 0, j.fd);
	assert_int_equal(fake_joined(f, 1).result, 0);
	give(shm, true, joint_number(0, 0), JOINT);
	assert_int_equal(put(s, &in, JOINT), JOINT - RING);
	assert_int_equal(pages(&j), JOINT / NCD_PAGE);
	atomic_store(&shm->tx_read, in - 2 * NCD_PAGE);
	atomic_store(&shm->tx_head, in);
	fake_found_idle(f, p, in);
	FAKE_AWAIT(pages(&j) == 2);
	joint_check(&j, in - 2 * NCD_PAGE, in);
	joint_end(&j);
	closed(f, s);
}

static void the_reader_leaves_its_old_ring_and_the_joined_one(void **state)
{
	const uint32_t number = joint_number(NCD_JOINTS_MAX - 1, 0x7fffff);
	struct joint j = joint_make(JOINT);
	struct fake *f = *state;
	struct slot_shm *shm;
	struct fake_slot p;
	int s = connected(f, &p);
	static uint8_t buf[JOINT];
	const void *seen;

	shm = fake_shm(f, p);
	pattern_fill(buf, 5000, 0);
	assert_int_equal(fake_put(f, p, buf, 5000), 5000);
	assert_int_equal(nc_recv(s, buf, 2000, 0), 2000);
	fake_joint(f, number, JOINT, SEGMENT_READ, j.read_fd);
	assert_int_equal(fake_joined(f, 1).result, 0);
	for (uint64_t i = 2000; i < 2000 + JOINT; i++)
		j.base[i & (JOINT - 1)] = pattern(i);
	give(shm, false, number, JOINT);
	atomic_store(&shm->rx_tail, 2000 + JOINT);
	assert_int_equal(nc_recv(s, buf, JOINT, MSG_WAITALL), JOINT);
	pattern_check(buf, JOINT, 2000);
	assert_int_equal(atomic_load(&shm->rx_taken), 1);
	/* What is seen of the next is written where it is. */
	for (uint64_t i = 2000 + JOINT; i < 3000 + JOINT; i++)
		j.base[i & (JOINT - 1)] = pattern(i);
	atomic_store(&shm->rx_tail, 3000 + JOINT);
	assert_int_equal(nc_peek(s, 1000, &seen, 0), 1000);
	pattern_check(seen, 1000, 2000 + JOINT);
	assert_int_equal(nc_consume(s, 1000), 0);
	/* The same number does not live twice, and one that has ended says nothing. */
	give(shm, false, 1, 2 * JOINT);
	shm->rx_off = 8 << 20;
	atomic_store(&shm->rx_tail, 3001 + JOINT);
	assert_int_equal(nc_recv(s, buf, 1, 0), 1);
	assert_int_equal(atomic_load(&shm->rx_taken), 2);
	fake_unjoin(f, number);
	FAKE_AWAIT(mapped() == 0);
	fake_joint(f, joint_number(NCD_JOINTS_MAX - 1, 0), JOINT, SEGMENT_READ, j.read_fd);
	assert_int_equal(fake_joined(f, 2).result, 0);
	joint_end(&j);
	closed(f, s);
}

/* Whatever the reason is: this one nobody may read. */
static void one_that_cannot_be_mapped_is_refused(void **state)
{
	const uint32_t number = joint_number(5, 1);
	struct joint j = joint_make(JOINT);
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p), fd;
	uint64_t in = 0;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", j.fd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (uint32_t i = 1; i <= 3; i++) {
		fake_joint(f, number, JOINT, 0, fd);
		assert_int_equal(fake_joined(f, i).result, -EACCES);
		assert_int_equal(fake_joined(f, i).value, number);
		fake_unjoin(f, number);
	}
	/* The place is good for another. */
	fake_joint(f, joint_number(5, 2), JOINT, 0, j.fd);
	assert_int_equal(fake_joined(f, 4).result, 0);
	assert_true(fake_attached(f));
	assert_int_equal(put(s, &in, 1000), 1000);
	close(fd);
	joint_end(&j);
	closed(f, s);
}

/* The one in reserve is of no use below the limit: as if another thread had taken it. */
static void one_that_there_is_no_descriptor_for_is_refused(void **state)
{
	struct joint j = joint_make(JOINT);
	struct rlimit was, none;
	struct fake *f = *state;
	struct fake_slot p;
	int s = connected(f, &p);
	uint64_t in = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	fake_joint(f, joint_number(0, 1), JOINT, 0, j.fd);
	assert_int_equal(fake_joined(f, 1).result, -EMFILE);
	fake_unjoin(f, joint_number(0, 1));
	fake_joint(f, joint_number(0, 2), JOINT, SEGMENT_READ, j.fd);
	assert_int_equal(fake_joined(f, 2).result, -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	fake_joint(f, joint_number(0, 3), JOINT, 0, j.fd);
	assert_int_equal(fake_joined(f, 3).result, 0);
	assert_true(fake_attached(f));
	assert_int_equal(put(s, &in, 1000), 1000);
	joint_end(&j);
	closed(f, s);
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
static void one_that_there_is_no_address_space_for_is_refused(void **state)
{
	struct joint j = joint_make(64 << 20);
	struct fake *f = *state;
	struct rlimit was, full;
	struct fake_slot p;
	int s = connected(f, &p);
	uint64_t in = 0;

	assert_int_equal(getrlimit(RLIMIT_AS, &was), 0);
	full = (struct rlimit){ .rlim_cur = 1 << 20, .rlim_max = was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_AS, &full), 0);
	fake_joint(f, joint_number(0, 1), j.bytes, 0, j.fd);
	assert_int_equal(fake_joined(f, 1).result, -ENOMEM);
	assert_int_equal(setrlimit(RLIMIT_AS, &was), 0);
	fake_unjoin(f, joint_number(0, 1));
	fake_joint(f, joint_number(0, 2), j.bytes, 0, j.fd);
	assert_int_equal(fake_joined(f, 2).result, 0);
	assert_int_equal(put(s, &in, 1000), 1000);
	joint_end(&j);
	closed(f, s);
}
#endif

/* It does not wait for an answer, and would take one for garbage. */
static void an_older_daemon_is_not_answered(void **state)
{
	struct fake *f = fresh(&(struct fake_config){ .version = CTL_VERSION_JOINT });
	struct joint j = joint_make(JOINT);
	char path[32];
	int fd;

	(void)state;
	fake_joint(f, joint_number(0, 1), JOINT, 0, j.fd);
	FAKE_AWAIT(mapped() == 1);
	fake_unjoin(f, joint_number(0, 1));
	FAKE_AWAIT(mapped() == 0);
	assert_int_equal(fake_asked(f, CTL_JOINED), 0);
	assert_true(fake_attached(f));
	/* It uses what it has told of. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", j.fd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	fake_joint(f, joint_number(0, 2), JOINT, 0, fd);
	FAKE_AWAIT(!fake_attached(f));
	close(fd);
	joint_end(&j);
	fake_stop(f);
}

static void what_breaks_the_rules_ends_the_attachment(void **state)
{
	(void)state;
	for (int how = 0; how < 5; how++) {
		struct fake *f = fresh(&(struct fake_config){ 0 });
		struct joint j = joint_make(JOINT);

		fake_joint(f, joint_number(7, 1), JOINT, 0, j.fd);
		assert_int_equal(fake_joined(f, 1).result, 0);
		switch (how) {
		case 0: /* no joined ring */
			fake_joint(f, 8, JOINT, 0, j.fd);
			break;
		case 1: /* beyond the table */
			fake_joint(f, joint_number(NCD_JOINTS_MAX, 1), JOINT, 0, j.fd);
			break;
		case 2: /* the place is taken */
			fake_joint(f, joint_number(7, 2), JOINT, 0, j.fd);
			break;
		case 3: /* less than it says */
			fake_joint(f, joint_number(8, 2), 2 * JOINT, 0, j.fd);
			break;
		default: /* another's */
			fake_unjoin(f, joint_number(7, 2));
			break;
		}
		FAKE_AWAIT(!fake_attached(f));
		assert_int_equal(fake_asked(f, CTL_JOINED), 1);
		joint_end(&j);
		fake_stop(f);
	}
}

int main(void)
{
#define WITH_FAKE(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		WITH_FAKE(the_writer_has_the_room_that_was_read),
		WITH_FAKE(an_idle_one_keeps_the_pages_that_are_unread),
		WITH_FAKE(the_reader_leaves_its_old_ring_and_the_joined_one),
		WITH_FAKE(one_that_cannot_be_mapped_is_refused),
		WITH_FAKE(one_that_there_is_no_descriptor_for_is_refused),
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
		WITH_FAKE(one_that_there_is_no_address_space_for_is_refused),
#endif
		cmocka_unit_test(an_older_daemon_is_not_answered),
		cmocka_unit_test(what_breaks_the_rules_ends_the_attachment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
