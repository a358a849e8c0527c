/* SPDX-License-Identifier: MIT */
/*
 * test_frame.c - Goal: what is encoded is decoded, and nothing else is. Method: every field, every
 * type with every length class, every single wrong bit.
 */
#include "../ncd_test.h"

#include <errno.h>
#include <string.h>

#include "ncd/limits.h"

#include "core/crc32c.h"
#include "core/frame.h"

static int decode_of(uint8_t type, uint16_t flags, uint32_t length)
{
	struct frame f = { .type = type, .flags = flags, .length = length }, out;
	uint8_t bytes[WIRE_HEADER_BYTES];

	frame_encode(&f, bytes);
	return frame_decode(bytes, &out);
}

static void a_header_comes_back_as_it_went(void **state)
{
	const struct frame f = { .type = FRAME_DATA, .flags = FRAME_F_FIN, .length = 0x123456,
				 .stream = 0x0102030405060708ull, .offset = 0x1112131415161718ull,
				 .ack = 0x2122232425262728ull, .window = 0x31323334 };
	struct frame out = { 0 };
	uint8_t bytes[WIRE_HEADER_BYTES];

	(void)state;
	frame_encode(&f, bytes);
	assert_int_equal(frame_decode(bytes, &out), 0);
	assert_int_equal(out.type, f.type);
	assert_int_equal(out.flags, f.flags);
	assert_int_equal(out.length, f.length);
	assert_true(out.stream == f.stream && out.offset == f.offset && out.ack == f.ack);
	assert_int_equal(out.window, f.window);
}

static void fields_lie_little_endian_where_the_drawing_says(void **state)
{
	const struct frame f = { .type = FRAME_CREDIT, .stream = 0x0102030405060708ull,
				 .offset = 0x1112131415161718ull, .ack = 0x2122232425262728ull,
				 .window = 0x31323334 };
	static const uint8_t want[36] = { 1, FRAME_CREDIT, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1,
					  0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
					  0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
					  0x34, 0x33, 0x32, 0x31 };
	uint8_t bytes[WIRE_HEADER_BYTES];

	(void)state;
	frame_encode(&f, bytes);
	assert_memory_equal(bytes, want, sizeof(want));
	assert_int_equal(wire_get32(bytes + 36), crc32c_header(bytes));
}

static void any_wrong_bit_is_noticed(void **state)
{
	struct frame f = { .type = FRAME_DATA, .length = 100, .stream = 77 }, out;
	uint8_t bytes[WIRE_HEADER_BYTES];

	(void)state;
	frame_encode(&f, bytes);
	for (size_t bit = 0; bit < WIRE_HEADER_BYTES * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(frame_decode(bytes, &out), -EPROTO);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(frame_decode(bytes, &out), 0);
}

static void each_type_has_its_lengths(void **state)
{
	(void)state;
	assert_int_equal(decode_of(FRAME_HELLO, 0, WIRE_HELLO_BYTES), 0);
	assert_int_equal(decode_of(FRAME_HELLO, 0, WIRE_HELLO_BYTES + 1), -EPROTO);
	assert_int_equal(decode_of(FRAME_OPEN, 0, WIRE_OPEN_BYTES - 1), -EPROTO);
	assert_int_equal(decode_of(FRAME_OPEN, 0, WIRE_OPEN_BYTES), 0);
	assert_int_equal(decode_of(FRAME_OPEN, FRAME_F_FIN, WIRE_OPEN_BYTES + NCD_OPEN_DATA_MAX),
			 0);
	assert_int_equal(decode_of(FRAME_OPEN, 0, WIRE_OPEN_BYTES + NCD_OPEN_DATA_MAX + 1),
			 -EPROTO);
	assert_int_equal(decode_of(FRAME_ACCEPT, 0, 8), 0);
	assert_int_equal(decode_of(FRAME_ACCEPT, 0, 0), -EPROTO);
	assert_int_equal(decode_of(FRAME_RESUME, 0, 8), 0);
	assert_int_equal(decode_of(FRAME_RESUME, 0, 4), -EPROTO);
	assert_int_equal(decode_of(FRAME_RESUME, 0, 9), -EPROTO);
	assert_int_equal(decode_of(FRAME_RESUME, FRAME_F_UNKNOWN, 8), -EPROTO);
	assert_int_equal(decode_of(FRAME_REFUSE, 0, 4), 0);
	assert_int_equal(decode_of(FRAME_REFUSE, 0, 8), -EPROTO);
	assert_int_equal(decode_of(FRAME_DATA, 0, 0), -EPROTO);
	assert_int_equal(decode_of(FRAME_DATA, 0, 1), 0);
	assert_int_equal(decode_of(FRAME_DATA, FRAME_F_FIN, 0), 0);
	assert_int_equal(decode_of(FRAME_DATA, 0, NCD_FRAME_PAYLOAD_MAX), 0);
	assert_int_equal(decode_of(FRAME_DATA, 0, NCD_FRAME_PAYLOAD_MAX + 1), -EPROTO);
	assert_int_equal(decode_of(FRAME_CREDIT, 0, 0), 0);
	assert_int_equal(decode_of(FRAME_CREDIT, 0, 1), -EPROTO);
	assert_int_equal(decode_of(FRAME_FIN, 0, 1), -EPROTO);
	assert_int_equal(decode_of(FRAME_RESET, FRAME_F_UNKNOWN, 4), 0);
	assert_int_equal(decode_of(FRAME_RESET_ACK, 0, 4), -EPROTO);
	assert_int_equal(decode_of(FRAME_PING, 0, 0), 0);
	assert_int_equal(decode_of(FRAME_GOAWAY, 0, 0), 0);
}

static void flags_and_types_that_mean_nothing_are_refused(void **state)
{
	(void)state;
	assert_int_equal(decode_of(0, 0, 0), -EPROTO);
	assert_int_equal(decode_of(FRAME_TYPE_END, 0, 0), -EPROTO);
	assert_int_equal(decode_of(255, 0, 0), -EPROTO);
	assert_int_equal(decode_of(FRAME_PING, FRAME_F_FIN, 0), -EPROTO);
	assert_int_equal(decode_of(FRAME_RESET, FRAME_F_FIN, 4), -EPROTO);
	assert_int_equal(decode_of(FRAME_DATA, 0x8000, 1), -EPROTO);
}

static void another_version_is_refused_even_with_a_good_sum(void **state)
{
	struct frame f = { .type = FRAME_PING }, out;
	uint8_t bytes[WIRE_HEADER_BYTES];

	(void)state;
	frame_encode(&f, bytes);
	bytes[0] = WIRE_VERSION + 1;
	wire_put32(bytes + 36, crc32c_header(bytes));
	assert_int_equal(frame_decode(bytes, &out), -EPROTO);
}

static void an_open_comes_back_as_it_went(void **state)
{
	struct open_info o = {
		.stream = 9, .source_port = 1000, .destination_port = 80, .class = 2
	};
	struct open_info out = { 0 };
	uint8_t bytes[WIRE_OPEN_BYTES];

	(void)state;
	memset(o.source.byte, 1, 16);
	memset(o.destination.byte, 2, 16);
	open_encode(&o, bytes);
	assert_int_equal(open_decode(bytes, &out), 0);
	assert_true(out.stream == 9 && out.source_port == 1000 && out.destination_port == 80);
	assert_int_equal(out.class, 2);
	assert_true(address_equal(&o.source, &out.source));
	assert_true(address_equal(&o.destination, &out.destination));
}

static void an_open_without_stream_or_port_is_refused(void **state)
{
	struct open_info o = { .stream = 9, .destination_port = 80 }, out;
	uint8_t bytes[WIRE_OPEN_BYTES];

	(void)state;
	o.stream = 0;
	open_encode(&o, bytes);
	assert_int_equal(open_decode(bytes, &out), -EPROTO);
	o = (struct open_info){ .stream = 9 };
	open_encode(&o, bytes);
	assert_int_equal(open_decode(bytes, &out), -EPROTO);
	o = (struct open_info){ .stream = 9, .destination_port = 80, .class = 3 };
	open_encode(&o, bytes);
	assert_int_equal(open_decode(bytes, &out), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_comes_back_as_it_went),
		cmocka_unit_test(fields_lie_little_endian_where_the_drawing_says),
		cmocka_unit_test(any_wrong_bit_is_noticed),
		cmocka_unit_test(each_type_has_its_lengths),
		cmocka_unit_test(flags_and_types_that_mean_nothing_are_refused),
		cmocka_unit_test(another_version_is_refused_even_with_a_good_sum),
		cmocka_unit_test(an_open_comes_back_as_it_went),
		cmocka_unit_test(an_open_without_stream_or_port_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
