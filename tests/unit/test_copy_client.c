/* SPDX-License-Identifier: MIT */
/*
 * test_copy_client.c - Goal: what an application asks to have copied stays in its own ring memory
 * and in its own process, whatever it says; faults cost a count and nothing else.
 * Method: pieces that lie, against the check; true ones against a process of its own, which dies,
 * becomes another program, or has no memory where it says.
 */
#include "copy_rig.h"

#define MIB (1u << 20)

static int check(struct rig *r, struct copy_job job)
{
	uint8_t *ring = NULL;
	int ret = copy_job_check(r->client, &job, &ring);

	if (ret == 0)
		assert_true(ring == r->segment.base + job.off);
	return ret;
}

static void pieces_outside_the_segments_are_lies(void **state)
{
	struct rig *r = rig_create(1);
	struct copy_job job = { .way = COPY_IN, .segment = 1, .bytes = 4096, .address = 65536 };

	(void)state;
	assert_int_equal(check(r, job), 0);
	job.off = RIG_SEGMENT - 4096;
	assert_int_equal(check(r, job), 0);
	job.off++;
	assert_int_equal(check(r, job), -EPROTO);
	job.off = RIG_SEGMENT;
	assert_int_equal(check(r, job), -EPROTO);
	/* off + bytes wraps. */
	job.off = UINT64_MAX - 4095;
	assert_int_equal(check(r, job), -EPROTO);
	job.off = UINT64_MAX;
	assert_int_equal(check(r, job), -EPROTO);
	/* Segment 0 has no rings; 2 was not given; the last is beyond the table. */
	for (uint32_t segment = 0; segment <= NCD_SEGMENTS_MAX; segment++) {
		job = (struct copy_job){ .way = COPY_OUT, .segment = segment, .bytes = 1,
					 .address = 65536 };
		assert_int_equal(check(r, job), segment == 1 ? 0 : -EPROTO);
	}
	job.segment = UINT32_MAX;
	assert_int_equal(check(r, job), -EPROTO);
	rig_destroy(r);
}

static void lengths_and_ways_have_bounds(void **state)
{
	struct rig *r = rig_create(1);
	struct copy_job job = { .way = COPY_IN, .segment = 1, .bytes = NCD_COPY_PIECE_MAX };

	(void)state;
	assert_int_equal(check(r, job), 0);
	job.bytes++;
	assert_int_equal(check(r, job), -EPROTO);
	job.bytes = 0;
	assert_int_equal(check(r, job), -EPROTO);
	job.bytes = UINT32_MAX;
	assert_int_equal(check(r, job), -EPROTO);
	job.bytes = 1;
	for (uint32_t way = 0; way < 5; way++) {
		job.way = way;
		assert_int_equal(check(r, job), way == COPY_IN || way == COPY_OUT ? 0 : -EPROTO);
	}
	rig_destroy(r);
}

static void addresses_that_wrap_are_lies(void **state)
{
	struct rig *r = rig_create(1);
	struct copy_job job = { .way = COPY_IN, .segment = 1, .bytes = 4096 };

	(void)state;
	job.address = UINT64_MAX;
	assert_int_equal(check(r, job), -EPROTO);
	job.address = UINT64_MAX - 4095;
	assert_int_equal(check(r, job), -EPROTO);
	job.address = (uint64_t)INT64_MAX - 4095;
	assert_int_equal(check(r, job), -EPROTO);
	rig_destroy(r);
}

/* Runs a piece that is good by the check. */
static int run(struct rig *r, uint32_t way, uint64_t address, uint32_t bytes, uint32_t *ret_copied)
{
	const struct copy_job job = { way, 1, bytes, 0, address };
	uint8_t *ring;

	*ret_copied = UINT32_MAX;
	assert_int_equal(copy_job_check(r->client, &job, &ring), 0);
	return copy_job_run(r->client, &job, ring, ret_copied);
}

static void bytes_go_both_ways(void **state)
{
	struct rig *r = rig_create(1);
	uint32_t copied;

	(void)state;
	assert_int_equal(run(r, COPY_IN, rig_address(r, 0), RIG_HOLE, &copied), 0);
	assert_int_equal(copied, RIG_HOLE);
	for (size_t i = 0; i < RIG_HOLE; i++) {
		assert_int_equal(r->segment.base[i], rig_byte(i));
		r->segment.base[i] = (uint8_t)~rig_byte(i);
	}
	assert_int_equal(run(r, COPY_OUT, rig_address(r, 0), RIG_HOLE, &copied), 0);
	assert_int_equal(copied, RIG_HOLE);
	assert_true(rig_inverted(r));
	rig_destroy(r);
}

static void a_hole_ends_the_copy_at_its_first_byte(void **state)
{
	struct rig *r = rig_create(1);
	uint32_t copied;

	(void)state;
	for (uint32_t way = COPY_IN; way <= COPY_OUT; way++) {
		assert_int_equal(run(r, way, rig_address(r, RIG_HOLE - 5000), 9000, &copied),
				 -EFAULT);
		assert_int_equal(copied, 5000);
		assert_int_equal(run(r, way, rig_address(r, RIG_HOLE), 1, &copied), -EFAULT);
		assert_int_equal(copied, 0);
		assert_int_equal(run(r, way, 0, 4096, &copied), -EFAULT);
		assert_int_equal(copied, 0);
		/* The kernel's half. */
		assert_int_equal(run(r, way, UINT64_C(1) << 62, 4096, &copied), -EFAULT);
		assert_int_equal(copied, 0);
	}
	rig_destroy(r);
}

/* A page that is read-only stays so: a copy worker is no debugger. */
static void memory_that_is_read_only_is_a_fault(void **state)
{
	struct rig *r = rig_create(1);
	static const char constant[64] = "constant";
	uint32_t copied;

	(void)state;
	/* The child is a fork of this program: it has the constant at the same address. */
	assert_int_equal(run(r, COPY_OUT, (uint64_t)(uintptr_t)constant, 8, &copied), -EFAULT);
	assert_int_equal(copied, 0);
	assert_int_equal(run(r, COPY_IN, (uint64_t)(uintptr_t)constant, 8, &copied), 0);
	assert_memory_equal(r->segment.base, "constant", 8);
	rig_destroy(r);
}

static void a_process_that_is_dead_is_not_there(void **state)
{
	struct rig *r = rig_create(1);
	uint32_t copied;

	(void)state;
	rig_kill(r);
	assert_int_equal(run(r, COPY_IN, rig_address(r, 0), 4096, &copied), -ESRCH);
	assert_int_equal(copied, 0);
	rig_destroy(r);
}

/* The number is still that of a process, of the same user; the program is another. */
static void a_process_that_has_become_another_is_not_there(void **state)
{
	int in[2], mem_fd;
	struct rig *r = rig_create(1);
	uint32_t copied;
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(in), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(in[0], 0);
		(void)close(in[1]);
		if (read(0, &byte, 1) == 1)
			execl("/bin/cat", "cat", (char *)NULL);
		_exit(1);
	}
	assert_int_equal(copy_memory_open(pid, &mem_fd), 0);
	copy_client_destroy(r->client);
	assert_int_equal(copy_client_create(NULL, pid, mem_fd, r->segment0.base, &r->layout,
					    &r->client),
			 0);
	copy_client_segment(r->client, r->segment.base, RIG_SEGMENT);
	assert_int_equal(run(r, COPY_IN, rig_address(r, 0), 4096, &copied), 0);
	assert_int_equal(write(in[1], "x", 1), 1);
	/* Until it is cat: then, and from then on, nothing of it is reached. */
	while (run(r, COPY_IN, rig_address(r, 0), 4096, &copied) == 0)
		;
	assert_int_equal(run(r, COPY_IN, rig_address(r, 0), 4096, &copied), -ESRCH);
	assert_int_equal(copied, 0);
	close(in[1]);
	close(in[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig_destroy(r);
}

static void another_users_process_is_refused(void **state)
{
	int mem_fd = -1, ready[2];
	char byte;
	pid_t pid;

	(void)state;
	if (getuid() != 0)
		skip();
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	/* Root's power would let us: it must not be in effect. */
	assert_true(copy_memory_open(pid, &mem_fd) < 0);
	assert_int_equal(mem_fd, -1);
	close(ready[0]);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(copy_memory_open(pid, &mem_fd), -ESRCH);
	assert_int_equal(copy_memory_open(0, &mem_fd), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_outside_the_segments_are_lies),
		cmocka_unit_test(lengths_and_ways_have_bounds),
		cmocka_unit_test(addresses_that_wrap_are_lies),
		cmocka_unit_test(bytes_go_both_ways),
		cmocka_unit_test(a_hole_ends_the_copy_at_its_first_byte),
		cmocka_unit_test(memory_that_is_read_only_is_a_fault),
		cmocka_unit_test(a_process_that_is_dead_is_not_there),
		cmocka_unit_test(a_process_that_has_become_another_is_not_there),
		cmocka_unit_test(another_users_process_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
