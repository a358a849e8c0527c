/* SPDX-License-Identifier: MIT */
/*
 * test_log.c - goal: a line is one line, with its priority for the journal, and not too many of a
 * kind. Method: a pipe in place of stderr; virtual time for the limit.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../ncd_test.h"
#include "log.h"

struct sink {
	struct log log;
	int pipe[2];
	char text[4096];
};

static int sink_create(void **state)
{
	struct sink *s = calloc(1, sizeof(*s));

	if (s == NULL || pipe2(s->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	s->log = (struct log){ .fd = s->pipe[1], .level = LOG_LEVEL_INFO };
	*state = s;
	return 0;
}

static int sink_destroy(void **state)
{
	struct sink *s = *state;

	close(s->pipe[0]);
	close(s->pipe[1]);
	free(s);
	return 0;
}

static const char *sink_read(struct sink *s)
{
	ssize_t n = read(s->pipe[0], s->text, sizeof(s->text) - 1);

	s->text[n > 0 ? n : 0] = '\0';
	return s->text;
}

static void a_line_names_the_program(void **state)
{
	struct sink *s = *state;

	log_line(&s->log, LOG_LEVEL_INFO, "port %d", 7);
	assert_string_equal(sink_read(s), "ncd: port 7\n");
}

static void the_journal_gets_priorities(void **state)
{
	struct sink *s = *state;

	s->log.journal = true;
	log_line(&s->log, LOG_LEVEL_WARNING, "x");
	assert_string_equal(sink_read(s), "<4>x\n");
}

static void the_journal_is_known_by_device_and_inode(void **state)
{
	struct sink *s = *state;
	char stream[64];
	struct stat st;

	assert_int_equal(fstat(s->pipe[1], &st), 0);
	(void)snprintf(stream, sizeof(stream), "%" PRIu64 ":%" PRIu64, (uint64_t)st.st_dev,
		       (uint64_t)st.st_ino);
	assert_true(log_is_journal(s->pipe[1], stream));
	(void)snprintf(stream, sizeof(stream), "%" PRIu64 ":%" PRIu64, (uint64_t)st.st_dev,
		       (uint64_t)st.st_ino + 1);
	assert_false(log_is_journal(s->pipe[1], stream));
	assert_false(log_is_journal(s->pipe[1], NULL));
	assert_false(log_is_journal(s->pipe[1], "garbage"));
}

static void what_is_below_the_level_is_not_written(void **state)
{
	struct sink *s = *state;

	log_line(&s->log, LOG_LEVEL_DEBUG, "x");
	assert_string_equal(sink_read(s), "");
}

static void control_characters_cannot_forge_a_line(void **state)
{
	struct sink *s = *state;

	log_line(&s->log, LOG_LEVEL_INFO, "name %s end", "a\nncd: b\033[2J");
	assert_string_equal(sink_read(s), "ncd: name a?ncd: b?[2J end\n");
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
	struct sink *s = *state;
	char longer[3000];
	size_t bytes;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	log_line(&s->log, LOG_LEVEL_INFO, "%s", longer);
	bytes = strlen(sink_read(s));
	assert_true(bytes > 900 && bytes <= 1024);
	assert_int_equal(s->text[bytes - 1], '\n');
}

static void a_burst_passes_then_one_in_a_while(void **state)
{
	struct log_limit limit = { 0 };
	uint64_t now_ns = 1000;
	uint32_t i, suppressed = 99;

	(void)state;
	for (i = 0; i < LOG_BURST; i++)
		assert_true(log_limit_pass(&limit, now_ns, &suppressed));
	assert_int_equal(suppressed, 0);
	for (i = 0; i < 7; i++)
		assert_false(log_limit_pass(&limit, now_ns, &suppressed));
	now_ns += LOG_REFILL_NS;
	assert_true(log_limit_pass(&limit, now_ns, &suppressed));
	assert_int_equal(suppressed, 7);
	assert_false(log_limit_pass(&limit, now_ns, &suppressed));
	/* A long silence gives the whole burst back, and no more. */
	now_ns += 1000 * LOG_REFILL_NS;
	for (i = 0; i < LOG_BURST; i++)
		assert_true(log_limit_pass(&limit, now_ns, &suppressed));
	assert_false(log_limit_pass(&limit, now_ns, &suppressed));
}

static void what_was_left_out_is_counted_in_the_next_line(void **state)
{
	struct log_limit limit = { 0 };
	struct sink *s = *state;
	uint32_t i;

	for (i = 0; i < LOG_BURST + 3; i++)
		log_limited(&s->log, &limit, LOG_LEVEL_INFO, "x");
	(void)sink_read(s);
	limit.refilled_ns -= LOG_REFILL_NS;
	log_limited(&s->log, &limit, LOG_LEVEL_INFO, "x");
	assert_string_equal(sink_read(s), "ncd: x (and 3 more like it)\n");
}

int main(void)
{
#define SINK_TEST(name) cmocka_unit_test_setup_teardown(name, sink_create, sink_destroy)
	const struct CMUnitTest tests[] = {
		SINK_TEST(a_line_names_the_program),
		SINK_TEST(the_journal_gets_priorities),
		SINK_TEST(the_journal_is_known_by_device_and_inode),
		SINK_TEST(what_is_below_the_level_is_not_written),
		SINK_TEST(control_characters_cannot_forge_a_line),
		SINK_TEST(a_long_line_is_cut_and_still_ends),
		SINK_TEST(a_burst_passes_then_one_in_a_while),
		SINK_TEST(what_was_left_out_is_counted_in_the_next_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
