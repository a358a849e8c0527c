/* SPDX-License-Identifier: MIT */
/*
 * test_stream.c - Goal: the arithmetic of acknowledgement, credit, ends and class. Method: one
 * struct stream, no engine.
 */
#include "../ncd_test.h"

#include <errno.h>
#include <string.h>

#include "core/stream.h"

static struct stream sending(uint64_t acked, uint64_t next, uint64_t tail)
{
	struct stream s;

	memset(&s, 0, sizeof(s));
	s.tx_acked = acked;
	s.tx_next = s.tx_sent = next;
	s.tx_tail = tail;
	s.tx_limit = UINT64_MAX;
	s.rx_final = NO_OFFSET;
	s.tx.bytes = 4096;
	return s;
}

static void an_ack_moves_forward_only(void **state)
{
	struct stream s = sending(10, 50, 100);

	(void)state;
	assert_int_equal(stream_acked(&s, 30, 0), 1);
	assert_true(s.tx_acked == 30);
	assert_int_equal(stream_acked(&s, 20, 0), 0);
	assert_true(s.tx_acked == 30);
	assert_int_equal(stream_acked(&s, 51, 0), -EPROTO);
	assert_true(s.tx_acked == 30);
}

static void an_ack_behind_a_rewind_counts_what_was_once_sent(void **state)
{
	struct stream s = sending(10, 50, 100);

	(void)state;
	assert_true(stream_rewind(&s));
	assert_true(s.tx_next == 10);
	assert_int_equal(stream_acked(&s, 50, 0), 1);
	assert_true(s.tx_acked == 50 && s.tx_next == 50);
}

static void credit_moves_forward_only_and_may_not_wrap(void **state)
{
	struct stream s = sending(0, 0, 100);

	(void)state;
	s.tx_limit = 40;
	assert_true(stream_sendable(&s) == 40);
	assert_int_equal(stream_acked(&s, 0, 60), 1);
	assert_true(stream_sendable(&s) == 60);
	assert_int_equal(stream_acked(&s, 0, 50), 0);
	assert_true(stream_sendable(&s) == 60);
	assert_int_equal(stream_acked(&s, UINT64_MAX, 1), -EPROTO);
}

static void a_fin_is_acknowledged_by_one_beyond_the_last_byte(void **state)
{
	struct stream s = sending(0, 100, 100);

	(void)state;
	s.shutdown = true;
	assert_int_equal(stream_acked(&s, 101, 0), -EPROTO);
	s.fin_said = s.fin_sent = true;
	assert_int_equal(stream_acked(&s, 100, 0), 1);
	assert_false(s.fin_acked);
	assert_int_equal(stream_acked(&s, 101, 0), 1);
	assert_true(s.fin_acked && s.tx_acked == 100);
	assert_int_equal(stream_acked(&s, 102, 0), -EPROTO);
}

static void a_rewind_takes_back_what_is_not_acknowledged(void **state)
{
	struct stream s = sending(100, 100, 100);

	(void)state;
	s.shutdown = s.fin_sent = s.fin_said = true;
	assert_false(stream_rewind(&s));
	assert_true(stream_fin_due(&s));
	s.fin_acked = true;
	(void)stream_rewind(&s);
	assert_false(stream_fin_due(&s));
}

static void data_must_lie_within_credit_and_end(void **state)
{
	struct stream s = sending(0, 0, 0);

	(void)state;
	s.rx_limit = 1000;
	assert_int_equal(stream_check_data(&s, 0, 1000, false), 0);
	assert_int_equal(stream_check_data(&s, 1, 1000, false), -EPROTO);
	assert_int_equal(stream_check_data(&s, UINT64_MAX, 2, false), -EPROTO);
	assert_int_equal(stream_check_data(&s, 500, 10, true), 0);
	s.rx_final = 510;
	assert_int_equal(stream_check_data(&s, 500, 10, true), 0);
	assert_int_equal(stream_check_data(&s, 500, 10, false), 0);
	assert_int_equal(stream_check_data(&s, 500, 9, true), -EPROTO);
	assert_int_equal(stream_check_data(&s, 505, 6, false), -EPROTO);
}

static void the_end_counts_one_in_the_ack(void **state)
{
	struct stream s = sending(0, 0, 0);

	(void)state;
	s.rx_next = 10;
	assert_true(stream_ack_out(&s) == 10);
	s.rx_final = 10;
	assert_true(stream_rx_complete(&s) && stream_ack_out(&s) == 11);
}

static void a_backlog_makes_bulk_and_only_many_small_turns_unmake_it(void **state)
{
	struct stream s = sending(0, 0, 1u << 20);
	int turns = 0;

	(void)state;
	s.class = CLASS_LATENCY;
	s.tx_acked = s.tx_tail - (32u << 10) + 1;
	stream_classify(&s);
	assert_int_equal(s.class, CLASS_LATENCY);
	s.tx_acked--;
	stream_classify(&s);
	assert_int_equal(s.class, CLASS_THROUGHPUT);
	s.tx_acked = s.tx_tail - 100;
	for (; s.class == CLASS_THROUGHPUT && turns < 1000; turns++)
		stream_classify(&s);
	assert_in_range(turns, 4, 100);
	s.class_set = CLASS_THROUGHPUT;
	stream_classify(&s);
	assert_int_equal(s.class, CLASS_THROUGHPUT);
}

static void changes_of_channel_are_counted_among_what_is_under_way(void **state)
{
	struct stream s = sending(0, 100, 100000);
	int i;

	(void)state;
	for (i = 0; i < 10; i++)
		stream_switched(&s);
	assert_int_equal(stream_switches(&s), 10);
	/* Nothing of what they happened in has been left behind for sure. */
	assert_int_equal(stream_acked(&s, 50, 0), 1);
	assert_int_equal(stream_switches(&s), 10);
	s.tx_next = s.tx_sent = 200;
	stream_switched(&s);
	assert_int_equal(stream_acked(&s, 100, 0), 1);
	/* The ten were at offsets below 100. */
	assert_int_equal(stream_switches(&s), 1);
	s.tx_next = s.tx_sent = 300;
	assert_int_equal(stream_acked(&s, 250, 0), 1);
	/* And that one below 200. */
	assert_int_equal(stream_switches(&s), 0);
}

static void changes_of_channel_are_forgotten_when_nothing_is_under_way(void **state)
{
	struct stream s = sending(0, 100, 100000);

	(void)state;
	stream_switched(&s);
	assert_int_equal(stream_acked(&s, 100, 0), 1);
	assert_int_equal(stream_switches(&s), 0);
	s.tx_next = 200;
	stream_switched(&s);
	(void)stream_rewind(&s);
	assert_int_equal(stream_switches(&s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_of_channel_are_counted_among_what_is_under_way),
		cmocka_unit_test(changes_of_channel_are_forgotten_when_nothing_is_under_way),
		cmocka_unit_test(an_ack_moves_forward_only),
		cmocka_unit_test(an_ack_behind_a_rewind_counts_what_was_once_sent),
		cmocka_unit_test(credit_moves_forward_only_and_may_not_wrap),
		cmocka_unit_test(a_fin_is_acknowledged_by_one_beyond_the_last_byte),
		cmocka_unit_test(a_rewind_takes_back_what_is_not_acknowledged),
		cmocka_unit_test(data_must_lie_within_credit_and_end),
		cmocka_unit_test(the_end_counts_one_in_the_ack),
		cmocka_unit_test(a_backlog_makes_bulk_and_only_many_small_turns_unmake_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
