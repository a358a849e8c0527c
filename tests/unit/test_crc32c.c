/* SPDX-License-Identifier: MIT */
/*
 * test_crc32c.c - Goal: the sum is CRC-32C, by whichever way it is computed. Method: the values of
 * RFC 3720 B.4, and both ways against each other.
 */
#include "../ncd_test.h"

#include <string.h>

#include "core/crc32c.h"

static void values_of_the_rfc_come_out(void **state)
{
	uint8_t zeros[32] = { 0 }, ones[32], up[32], down[32];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (int i = 0; i < 32; i++) {
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	assert_int_equal(crc32c_portable(zeros, 32), 0x8a9136aa);
	assert_int_equal(crc32c_portable(ones, 32), 0x62a8ab43);
	assert_int_equal(crc32c_portable(up, 32), 0x46dd794e);
	assert_int_equal(crc32c_portable(down, 32), 0x113fdb5c);
	assert_int_equal(crc32c_portable("123456789", 9), 0xe3069283);
}

static void the_sum_of_a_header_is_that_of_its_bytes(void **state)
{
	uint8_t data[128];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 167 + 13);
	for (size_t at = 0; at + CRC32C_HEADER <= sizeof(data); at++)
		assert_int_equal(crc32c_header(data + at),
				 crc32c_portable(data + at, CRC32C_HEADER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_the_rfc_come_out),
		cmocka_unit_test(the_sum_of_a_header_is_that_of_its_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
