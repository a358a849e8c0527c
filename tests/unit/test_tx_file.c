/* SPDX-License-Identifier: MIT */
/*
 * test_tx_file.c - Goal: which payloads leave by the file of their ring, and how long what is in it
 * may be on its way. Method: engine_rig.h; the transport is asked what it was given.
 */
#include "../ncd_test.h"

#include "engine_rig.h"

/* What a channel gives to its transport: how much by address, and the pieces by file. */
static size_t gathered(struct rig *r, const struct tx_file **ret_file, int *ret_file_nr)
{
	const struct iovec *iov;
	size_t bytes = 0;
	int nr = engine_tx_iov(r->host[0].engine, r->wire[0].channel[0], r->now_ns, &iov);

	for (int i = 0; i < nr; i++)
		bytes += iov[i].iov_len;
	*ret_file_nr = engine_tx_files(r->wire[0].channel[0], ret_file);
	return bytes;
}

static void large_payloads_go_by_file(void **state)
{
	struct rig *r = *state;
	struct engine *e = r->host[0].engine;
	const struct tx_file *file;
	struct stream *s;
	int nr;

	r->tx.file = 7;
	r->tx.file_off = 1 << 20;
	s = rig_established(r);
	assert_int_equal(rig_write(r, 0, s, RIG_FILE_MIN - 1, 'a'), 0);
	assert_int_equal(gathered(r, &file, &nr), WIRE_HEADER_BYTES + RIG_FILE_MIN - 1);
	assert_int_equal(nr, 0);
	assert_false(engine_stream_tx_exposed(s));
	rig_pump(r);
	assert_int_equal(rig_write(r, 0, s, 1, 'a'), 0); /* half a ring in all: credit follows */
	rig_pump(r);
	(void)rig_read(r, 1, r->host[1].incoming);
	rig_pump(r);
	/* Across the end of the ring: two pieces, behind the header. */
	assert_int_equal(rig_write(r, 0, s, RIG_RING, 'b'), 0);
	assert_int_equal(gathered(r, &file, &nr), WIRE_HEADER_BYTES);
	assert_int_equal(nr, 2);
	assert_int_equal(file[0].file, 7);
	assert_int_equal(file[0].file_off, (1 << 20) + RIG_FILE_MIN);
	assert_ptr_equal(file[0].base, r->tx.base + RIG_FILE_MIN);
	assert_int_equal(file[0].bytes, RIG_RING - RIG_FILE_MIN);
	assert_int_equal(file[1].file_off, 1 << 20);
	assert_int_equal(file[1].bytes, RIG_FILE_MIN);
	assert_true(engine_stream_tx_exposed(s));
	assert_true(engine_ring_lent(e, r->tx.base, RIG_RING));
	/* Taken in parts, it is what is left that is given. */
	engine_sent(e, r->wire[0].channel[0], WIRE_HEADER_BYTES + file[0].bytes + 10, r->now_ns);
	assert_int_equal(gathered(r, &file, &nr), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(file[0].file_off, (1 << 20) + 10);
	assert_int_equal(file[0].bytes, RIG_FILE_MIN - 10);
	assert_true(engine_channel_wants_tx(r->wire[0].channel[0]));
	engine_sent(e, r->wire[0].channel[0], file[0].bytes, r->now_ns);
	assert_int_equal(gathered(r, &file, &nr), 0);
	assert_int_equal(nr, 0);
	assert_false(engine_ring_lent(e, r->tx.base, RIG_RING));
	assert_true(engine_stream_tx_exposed(s));
}

static void only_the_sizes_that_are_said_go_by_file(void **state)
{
	struct rig *r = *state;
	const struct tx_file *file;
	struct channel *c;
	struct stream *s;
	int nr;

	r->tx.file = 7;
	s = rig_established(r);
	c = r->wire[0].channel[0];
	engine_channel_files(c, ~(RIG_FILE_MIN | RIG_FILE_MIN * 2)); /* powers of two, as sizes */
	assert_int_equal(rig_write(r, 0, s, RIG_FILE_MIN + 1, 'a'), 0);
	assert_int_equal(gathered(r, &file, &nr), WIRE_HEADER_BYTES + RIG_FILE_MIN + 1);
	assert_int_equal(nr, 0);
	assert_int_equal(engine_tx_largest(c), RIG_FILE_MIN + 1);
	assert_false(engine_stream_tx_exposed(s));
	rig_pump(r);
	(void)rig_read(r, 1, r->host[1].incoming);
	rig_pump(r);
	engine_channel_files(c, ~(RIG_FILE_MIN * 2));
	assert_int_equal(rig_write(r, 0, s, RIG_FILE_MIN + 1, 'b'), 0);
	assert_int_equal(gathered(r, &file, &nr), WIRE_HEADER_BYTES);
	assert_int_not_equal(nr, 0);
	assert_int_equal(engine_tx_largest(c), RIG_FILE_MIN + 1);
	assert_true(engine_stream_tx_exposed(s));
	/* Only a control frame: nothing of the last gathering is left. */
	rig_pump(r);
	(void)rig_read(r, 1, r->host[1].incoming);
	rig_pump(r);
	engine_stream_shutdown(r->host[0].engine, s, r->now_ns);
	(void)gathered(r, &file, &nr);
	assert_int_equal(engine_tx_largest(c), 0);
}

static void what_went_by_file_is_exposed_until_it_is_acknowledged(void **state)
{
	struct rig *r = *state;
	struct stream *s;

	r->tx.file = 7;
	s = rig_established(r);
	assert_int_equal(rig_write(r, 0, s, RIG_RING, 'b'), 0);
	rig_send(r, 0, 0);
	assert_true(engine_stream_tx_exposed(s));
	engine_stream_abort(r->host[0].engine, s, WIRE_E_RESET, r->now_ns);
	assert_true(engine_stream_tx_exposed(s));
	engine_stream_free(r->host[0].engine, s);

	s = rig_connect(r);
	rig_pump(r);
	assert_int_equal(rig_write(r, 0, s, RIG_RING, 'c'), 0);
	rig_pump(r);
	assert_true(stream_tx_acked(s) == RIG_RING);
	assert_false(engine_stream_tx_exposed(s));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(large_payloads_go_by_file),
		CASE(only_the_sizes_that_are_said_go_by_file),
		CASE(what_went_by_file_is_exposed_until_it_is_acknowledged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
