/* SPDX-License-Identifier: MIT */
/*
 * test_hello.c - goal: a hello survives the wire, other versions can be read, and nothing else is
 * taken for one. Method: encode, bend single bytes, decode.
 */
#include <errno.h>
#include <string.h>

#include "../ncd_test.h"
#include "core/crc32c.h"
#include "core/frame.h"
#include "core/peer.h"

static const struct hello sample = {
	.host_id = 0x1122334455667788ull,
	.incarnation = 99,
	.attempt = 7,
	.features = 0,
	.version_min = 1,
	.version_max = 3,
	.lane = 5,
	.index = 2,
	.workers = 8,
	.reason = WIRE_R_STALE,
	.class = 2,
	.reply = WIRE_REFUSED,
};

static void a_hello_comes_out_as_it_went_in(void **state)
{
	uint8_t bytes[HELLO_FRAME_BYTES];
	struct hello h = { 0 };

	(void)state;
	hello_encode(&sample, bytes);
	assert_int_equal(hello_decode(bytes, &h), 0);
	assert_int_equal(h.host_id, sample.host_id);
	assert_int_equal(h.incarnation, sample.incarnation);
	assert_int_equal(h.attempt, sample.attempt);
	assert_int_equal(h.version_min, 1);
	assert_int_equal(h.version_max, 3);
	assert_int_equal(h.lane, 5);
	assert_int_equal(h.index, 2);
	assert_int_equal(h.workers, 8);
	assert_int_equal(h.reason, WIRE_R_STALE);
	assert_int_equal(h.class, 2);
	assert_int_equal(h.reply, WIRE_REFUSED);
}

static void a_bent_header_is_no_hello(void **state)
{
	uint8_t bytes[HELLO_FRAME_BYTES];
	struct hello h;
	uint32_t i;

	(void)state;
	for (i = 0; i < WIRE_HEADER_BYTES; i++) {
		hello_encode(&sample, bytes);
		bytes[i] ^= 0x41;
		assert_int_equal(hello_decode(bytes, &h), -EPROTO);
	}
}

static void a_bent_magic_is_no_hello(void **state)
{
	uint8_t bytes[HELLO_FRAME_BYTES];
	struct hello h;
	uint32_t i;

	(void)state;
	for (i = 0; i < 16; i++) {
		hello_encode(&sample, bytes);
		bytes[WIRE_HEADER_BYTES + i] ^= 1;
		assert_int_equal(hello_decode(bytes, &h), -EPROTO);
	}
}

static void a_hello_of_another_version_tells_its_range(void **state)
{
	struct hello other = sample, h = { 0 };
	uint8_t bytes[HELLO_FRAME_BYTES];

	(void)state;
	other.version_min = 7;
	other.version_max = 9;
	hello_encode(&other, bytes);
	bytes[0] = 9;
	/* CRC-32C of the bent header, computed by the code under test's own neighbour. */
	{
		struct frame f;

		assert_int_equal(frame_decode(bytes, &f), -EPROTO);
	}
	wire_put32(bytes + 36, crc32c_header(bytes));
	assert_int_equal(hello_decode(bytes, &h), 0);
	assert_int_equal(h.version_min, 7);
	assert_int_equal(h.version_max, 9);
}

static void another_frame_is_no_hello(void **state)
{
	const struct frame ping = { .type = FRAME_PING };
	uint8_t bytes[HELLO_FRAME_BYTES];
	struct hello h;

	(void)state;
	hello_encode(&sample, bytes);
	frame_encode(&ping, bytes);
	assert_int_equal(hello_decode(bytes, &h), -EPROTO);
}

static void identities_of_zero_and_turned_ranges_are_refused(void **state)
{
	struct hello bad[3] = { sample, sample, sample }, h;
	uint8_t bytes[HELLO_FRAME_BYTES];
	uint32_t i;

	(void)state;
	bad[0].host_id = 0;
	bad[1].incarnation = 0;
	bad[2].version_min = 4;
	for (i = 0; i < 3; i++) {
		hello_encode(&bad[i], bytes);
		assert_int_equal(hello_decode(bytes, &h), -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hello_comes_out_as_it_went_in),
		cmocka_unit_test(a_bent_header_is_no_hello),
		cmocka_unit_test(a_bent_magic_is_no_hello),
		cmocka_unit_test(a_hello_of_another_version_tells_its_range),
		cmocka_unit_test(another_frame_is_no_hello),
		cmocka_unit_test(identities_of_zero_and_turned_ranges_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
