/* SPDX-License-Identifier: MIT */
/*
 * test_config.c - goal: each key is read, bounded, printed and reloaded; each mistake is one line
 * with file, line, value and remedy. Method: text in a temporary file, the message compared.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../ncd_test.h"
#include "config.h"
#include "config_key.h"
#include "endpoint.h"

static struct config *config_of(const char *text, char error[CONFIG_ERROR_BYTES])
{
	FILE *stream = tmpfile();
	struct config *c = NULL;

	assert_non_null(stream);
	fwrite(text, 1, strlen(text), stream);
	rewind(stream);
	error[0] = '\0';
	if (config_read(stream, "t.conf", &c, error) < 0)
		c = NULL;
	fclose(stream);
	return c;
}

static struct config *good(const char *text)
{
	char error[CONFIG_ERROR_BYTES];
	struct config *c = config_of(text, error);

	if (c == NULL)
		print_message("%s\n", error);
	assert_non_null(c);
	return c;
}

/* @text is wrong, and the message has @part. */
static void bad(const char *text, const char *part)
{
	char error[CONFIG_ERROR_BYTES];
	struct config *c = config_of(text, error);

	if (c != NULL || strstr(error, part) == NULL)
		print_message("for: %s\n got: %s\nwant: %s\n", text, error, part);
	assert_null(c);
	assert_non_null(strstr(error, part));
	assert_null(strchr(error, '\n'));
}

static void nothing_gives_defaults(void **state)
{
	struct config *c = good("");

	(void)state;
	assert_string_equal(c->socket, "/run/ncd/ncd.sock");
	assert_int_equal(c->port, NCD_PORT);
	assert_int_equal(c->latency, 1);
	assert_int_equal(c->throughput, 2);
	assert_int_equal(c->send_bytes, 4 << 20);
	assert_int_equal(c->initial_bytes, 16 << 10);
	assert_int_equal(c->frame_bytes, 512 << 10);
	assert_true(c->region_max == 4ull << 30);
	assert_int_equal(c->idle_seconds, 10);
	assert_int_equal(c->cores.choice, CORES_AUTO);
	assert_int_equal(c->peer_nr, 1);
	config_free(c);
}

static void all_kinds_of_values_are_understood(void **state)
{
	struct config *c =
		good("\xef\xbb\xbf# comment\n[host]\naddress = 192.0.2.1, 2001:db8::1\n"
		     "[workers]\n  cores = 4-6,9 ; inline\nio = epoll\nspin_us=0\nslice_us = 300\n"
		     "move_busy = 0\n"
		     "[buffers]\nsend = 256k\ninitial = 4K\nidle_seconds = 0\n"
		     "[access]\nuser = a, b\nuser = c\n"
		     "[class]\nlatency_ports = 6379 8000-8100\n"
		     "[scheduler]\nweights = 6379:4, 8000-8100:16\n"
		     "[peer db-1]\naddress = 192.0.2.2\n[peer db.2]\naddress=::2\nport = 99\n"
		     "[channels]\nport = 5000\n");

	(void)state;
	assert_int_equal(c->addresses.nr, 2);
	assert_true(address_is_v4(&c->addresses.address[0]));
	assert_int_equal(c->cores.nr, 4);
	assert_int_equal(c->cores.cpu[3], 9);
	assert_int_equal(c->spin_us, 0);
	assert_int_equal(c->slice_us, 300);
	assert_int_equal(c->move_busy, 0);
	assert_int_equal(c->send_bytes, 256 << 10);
	assert_int_equal(c->initial_bytes, 4 << 10);
	assert_int_equal(c->idle_seconds, 0);
	assert_int_equal(c->access_users.nr, 3);
	assert_string_equal(c->access_users.name[2], "c");
	assert_int_equal(c->latency_ports.nr, 2);
	assert_int_equal(c->latency_ports.range[1].last, 8100);
	assert_int_equal(c->weights.nr, 2);
	assert_int_equal(c->weights.range[0].weight, 4);
	assert_int_equal(c->weights.range[1].last, 8100);
	assert_int_equal(c->weights.range[1].weight, 16);
	assert_int_equal(c->peer_nr, 3);
	assert_string_equal(c->peer[1].name, "db-1");
	assert_int_equal(c->peer[1].port, 5000);
	assert_int_equal(c->peer[2].port, 99);
	config_free(c);
}

static void mistakes_are_named_with_line_value_and_remedy(void **state)
{
	(void)state;
	bad("[channels]\nprot = 1\n",
	    "t.conf:2: prot is not a key of [channels]; do you mean port?");
	bad("[chanels]\n", "t.conf:1: [chanels] is not a section; do you mean [channels]?");
	bad("[pear x]\naddress = 1.2.3.4\n",
	    "t.conf:1: [pear x] is not a section; do you mean [peer");
	bad("[zzzzzzzz]\n", "t.conf:1: [zzzzzzzz] is not a section; see ncd.conf(5)");
	bad("[channels]\nzzzzzzzz = 1\n", "zzzzzzzz is not a key of [channels]; see ncd.conf(5)");
	bad("port = 1\n", "t.conf:1: port stands before any [section]");
	bad("[channels]\n\nport = 70000\n",
	    "t.conf:3: port = 70000: is out of range; give a number "
	    "from 1 to 65535");
	bad("[channels]\nport = x\n", "port = x: is not a number");
	bad("[channels]\nport = -1\n", "port = -1: is not a number");
	bad("[channels]\nport = 99999999999999999999999\n", "is not a number");
	bad("[channels]\nport = 1\nport = 2\n", "t.conf:3: port is given twice, first in line 2");
	bad("[daemon]\nsocket =; .sock\n",
	    "t.conf:2: socket = ; .sock: begins with ';'; put a blank before it for a comment");
	bad("[access]\nuser = a,;b\n", "user = a,;b: ';b' begins with ';'");
	bad("[channels]\nport\n", "t.conf:2: is neither [section] nor key = value");
	bad("[channels\nport = 1\n", "t.conf:1: is neither [section] nor key = value");
	bad("[channels]\nlatency = 9\n", "t.conf:2: [channels] max = 8: is less than latency + "
					 "throughput = 11");
	bad("[channels]\nbackoff_min_ms = 9\nbackoff_max_ms = 8\n", "t.conf:3: [channels] backoff");
	bad("[buffers]\nsend = 3M\n", "send = 3M: is not a power of two");
	bad("[buffers]\nsend = 128M\n", "out of range; give a size from 4K to 64M");
	bad("[buffers]\nsend = 1T\n", "is not a size");
	bad("[buffers]\nregion_max = 18446744073709551615G\n", "is not a size");
	bad("[buffers]\nregion_max = 99999999999G\n", "out of range");
	bad("[workers]\nio = uring\n",
	    "io = uring: is none of the choices; take one of auto io_uring");
	bad("[workers]\ncores = two\n", "'two' is no core; give 'auto' or a list of cores");
	bad("[workers]\ncores = 5-2\n", "'5-2' is no core");
	bad("[workers]\ncores = ,\n", "names no cores");
	bad("[workers]\ncores = 0,0\n", "t.conf:2: cores = 0,0: core 0 is given twice; remove one");
	bad("[workers]\ncores = 1-3,2\n", "core 2 is given twice");
	bad("[workers]\ncopy_cores =\n", "copy_cores = : names no cores; give 'none'");
	bad("[workers]\ncopy_cores = auto\n", "copy_cores = auto: 'auto' is no core; give 'none'");
	bad("[workers]\ncopy_cores = 0-16\n", "copy_cores = 0-16: has too many cores; at most 16");
	bad("[host]\naddress = localhost\n", "'localhost' is not an address");
	bad("[host]\naddress = 0.0.0.0\n", "'0.0.0.0' stands for any address");
	bad("[host]\naddress = ::1, ::1\n", "'::1' is given twice");
	bad("[peer a]\naddress = 224.0.0.1\n",
	    "t.conf:2: address = 224.0.0.1: '224.0.0.1' is a multicast or broadcast");
	bad("[peer a]\naddress = ff02::1\n", "'ff02::1' is a multicast");
	bad("[peer a]\naddress = 255.255.255.255\n", "'255.255.255.255' is a multicast");
	bad("[peer a]\naddress = fe80::1\n",
	    "t.conf:2: address = fe80::1: 'fe80::1' is a link-local address");
	bad("[class]\nlatency_ports = 0\n", "'0' is no port");
	bad("[class]\nlatency_ports = 9-99999\n", "'9-99999' is no port");
	bad("[scheduler]\nweights = 80\n", "'80' is no weight of a port");
	bad("[scheduler]\nweights = 80:0\n", "'80:0' is no weight of a port");
	bad("[scheduler]\nweights = 80-90:17\n", "with a weight from 1 to 16");
	bad("[scheduler]\nweights = 80:2, 80:3\n",
	    "t.conf:2: weights = 80:2, 80:3: '80:3' gives a port a second weight");
	bad("[scheduler]\nweights = 70-80:2, 80-90:2\n", "'80-90:2' gives a port a second weight");
	bad("[scheduler]\nweights = 80:2, 1-65535:1\n", "'1-65535:1' gives a port a second weight");
	bad("[daemon]\nsocket =\n", "t.conf:2: socket is empty");
	bad("[access]\nuser = 0123456789012345678901234567890123\n", "is too long");
}

static void peers_are_checked_against_each_other(void **state)
{
	(void)state;
	bad("[peer a]\n", "t.conf:1: [peer a] has no address; add address");
	bad("[peer a b]\naddress = 1.1.1.1\n", "t.conf:1: [peer a b]: the name is not usable");
	bad("[peer ]\naddress = 1.1.1.1\n", "the name is not usable");
	bad("[peer a]\naddress = 1.1.1.1\n[peer a]\naddress = 1.1.1.2\n",
	    "t.conf:3: [peer a] is given twice, first in line 1");
	bad("[peer a]\naddress = 1.1.1.1\n[peer b]\naddress = 1.1.1.1\n",
	    "t.conf:4: [peer b] address = 1.1.1.1: is also that of [peer a]");
	bad("[host]\naddress = 1.1.1.1\n[peer b]\naddress = 1.1.1.1\n",
	    "t.conf:4: [peer b] address = 1.1.1.1: is also that of this host");
	bad("[peer a]\nadress = 1.1.1.1\n",
	    "adress is not a key of [peer a]; do you mean address?");
}

static void a_long_line_is_an_error_and_not_cut(void **state)
{
	char text[400] = "[access]\nuser = ";

	(void)state;
	memset(text + strlen(text), 'a', 300);
	bad(text, "t.conf:2: the line is longer than 198 characters");
}

static void a_byte_0_is_an_error(void **state)
{
	char error[CONFIG_ERROR_BYTES] = "";
	struct config *c = NULL;
	FILE *stream = tmpfile();

	(void)state;
	assert_non_null(stream);
	fwrite("[host]\n\0x = 1\n", 1, 14, stream);
	rewind(stream);
	assert_true(config_read(stream, "t.conf", &c, error) < 0);
	assert_non_null(strstr(error, "t.conf:2: a byte 0"));
	fclose(stream);
}

static void what_has_no_end_is_refused(void **state)
{
	char error[CONFIG_ERROR_BYTES] = "";
	struct config *c = NULL;
	FILE *stream;

	(void)state;
	assert_int_equal(config_load("/dev/zero", true, &c, error), -EINVAL);
	assert_non_null(strstr(error, "/dev/zero:1: a byte 0"));
	stream = tmpfile();
	assert_non_null(stream);
	for (int i = 0; i < 100000; i++)
		fputs(i == 0 ? "[host]\n" : i == 1 ? "address = 127.0.0.1\n" : "#\n", stream);
	rewind(stream);
	assert_int_equal(config_read(stream, "t.conf", &c, error), 0);
	config_free(c);
	fseek(stream, 0, SEEK_END);
	for (int i = 0; i < 100000; i++)
		fputs("#\n", stream);
	rewind(stream);
	assert_int_equal(config_read(stream, "t.conf", &c, error), -EINVAL);
	assert_non_null(strstr(error, "t.conf:100000: there are more lines behind it"));
	assert_true(ftell(stream) < 300000);
	fclose(stream);
}

static void too_many_peers_are_refused(void **state)
{
	char *text = malloc(300 * 64), error[CONFIG_ERROR_BYTES];
	size_t used = 0;
	int i;

	(void)state;
	assert_non_null(text);
	for (i = 0; i < 256; i++)
		used += (size_t)snprintf(text + used, 64, "[peer p%d]\naddress = 10.0.%d.%d\n", i,
					 i / 250, i % 250 + 1);
	assert_null(config_of(text, error));
	assert_non_null(strstr(error, "t.conf:511: [peer p255]: too many peers; at most 255"));
	free(text);
}

static void what_is_printed_reads_back_the_same(void **state)
{
	struct config *c = good("[host]\naddress = 127.0.0.1\n[workers]\ncores = 3\n[access]\n"
				"group = x, y\n[class]\nthroughput_ports = 5,7-9\n[buffers]\n"
				"receive = 64K\n[peer a]\naddress = ::7\n");
	FILE *stream = tmpfile();
	char error[CONFIG_ERROR_BYTES], text[CONFIG_VALUE_BYTES], again_text[CONFIG_VALUE_BYTES];
	struct config *again = NULL;
	uint32_t i, nr;
	const struct config_key *keys = config_keys(&nr);

	(void)state;
	assert_non_null(stream);
	config_print(c, stream);
	rewind(stream);
	assert_int_equal(config_read(stream, "again", &again, error), 0);
	for (i = 0; i < nr; i++)
		assert_string_equal(
			config_value_write(&keys[i], (char *)c + keys[i].offset, text),
			config_value_write(&keys[i], (char *)again + keys[i].offset, again_text));
	assert_int_equal(again->peer_nr, 2);
	assert_memory_equal(&again->peer[1].addresses, &c->peer[1].addresses,
			    sizeof(c->peer[1].addresses));
	fclose(stream);
	config_free(c);
	config_free(again);
}

/* conf/ncd.conf shows every key, commented out, with the default of the table. */
static void the_sample_file_has_every_key_with_its_default(void **state)
{
	FILE *sample = fopen("conf/ncd.conf", "r");
	char line[256], want[128], section[64] = "";
	uint32_t i, nr, seen = 0;
	const struct config_key *keys = config_keys(&nr);

	(void)state;
	if (sample == NULL)
		skip();
	while (fgets(line, sizeof(line), sample)) {
		if (line[0] == '[')
			(void)sscanf(line, "[%63[^]]", section);
		for (i = 0; i < nr; i++) {
			(void)snprintf(want, sizeof(want), "#%s =", keys[i].name);
			if (strcmp(section, keys[i].section) != 0 ||
			    strncmp(line, want, strlen(want)) != 0)
				continue;
			seen++;
			line[strcspn(line, "\n")] = '\0';
			if (keys[i].kind == KIND_ADDRESSES)
				continue;
			assert_string_equal(line + strlen(want) + (line[strlen(want)] == ' '),
					    keys[i].value);
		}
	}
	fclose(sample);
	assert_int_equal(seen, nr);
}

static void count_differences(void *ctx, const char *section, const char *key)
{
	(void)section;
	(void)key;
	(*(int *)ctx)++;
}

static void a_reload_takes_only_what_may_change(void **state)
{
	struct config *old = good("[channels]\nport = 4000\n[peer a]\naddress = ::7\n");
	struct config *fresh = good("[channels]\nport = 4001\nlatency = 2\n[daemon]\nclients = 3\n"
				    "[peer a]\naddress = ::7\n");
	int differences = 0;

	(void)state;
	config_adopt(fresh, old, count_differences, &differences);
	assert_int_equal(differences, 2);
	assert_int_equal(fresh->port, 4000);
	assert_int_equal(fresh->latency, 1);
	assert_int_equal(fresh->clients, 3);
	assert_int_equal(fresh->peer[1].port, 4000);
	config_free(old);
	config_free(fresh);
}

static void the_machine_is_asked_for_what_it_has(void **state)
{
	char error[CONFIG_ERROR_BYTES] = "";
	struct config *c = good("[host]\naddress = 127.0.0.1\n");

	(void)state;
	assert_int_equal(config_resolve(c, error), 0);
	config_free(c);
	/* TEST-NET-3 (RFC 5737) is nobody's. */
	c = good("[host]\naddress = 203.0.113.77\n");
	assert_true(config_resolve(c, error) < 0);
	assert_non_null(strstr(error,
			       "t.conf:2: [host] address = 203.0.113.77: is not an address of "
			       "this machine"));
	config_free(c);
	c = good("[host]\naddress=127.0.0.1\n[workers]\ncores = 4000\n");
	assert_true(config_resolve(c, error) < 0);
	assert_non_null(strstr(error, "is not a core"));
	config_free(c);
	c = good("[host]\naddress=127.0.0.1\n[channels]\ncongestion = nonesuch\n");
	assert_true(config_resolve(c, error) < 0);
	assert_non_null(strstr(error, "congestion = nonesuch"));
	config_free(c);
	c = good("[host]\naddress=127.0.0.1\n[channels]\ncongestion = reno\n"
		 "latency_congestion = cubic\nthroughput_congestion = nonesuch\n");
	assert_string_equal(c->congestion, "reno");
	assert_string_equal(c->latency_congestion, "cubic");
	assert_true(config_resolve(c, error) < 0);
	assert_non_null(strstr(error, "throughput_congestion = nonesuch"));
	config_free(c);
	c = good("[host]\naddress=127.0.0.1\n[access]\nuser = no-such-user\n");
	assert_true(config_resolve(c, error) < 0);
	assert_non_null(strstr(error, "no such user"));
	config_free(c);
}

static void a_missing_file_is_an_error_only_if_named(void **state)
{
	char error[CONFIG_ERROR_BYTES] = "";
	struct config *c = NULL;

	(void)state;
	assert_true(config_load("/nonexistent/ncd.conf", true, &c, error) < 0);
	assert_non_null(strstr(error, "/nonexistent/ncd.conf: cannot be opened"));
	assert_int_equal(config_load("/nonexistent/ncd.conf", false, &c, error), 0);
	assert_true(c->file_absent);
	config_free(c);
}

static void a_directory_is_not_a_config(void **state)
{
	char error[CONFIG_ERROR_BYTES] = "";
	struct config *c = NULL;

	(void)state;
	assert_true(config_load("/tmp", true, &c, error) < 0);
	assert_string_equal(error, "/tmp: is a directory; give the file in it with -c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_gives_defaults),
		cmocka_unit_test(all_kinds_of_values_are_understood),
		cmocka_unit_test(mistakes_are_named_with_line_value_and_remedy),
		cmocka_unit_test(peers_are_checked_against_each_other),
		cmocka_unit_test(a_long_line_is_an_error_and_not_cut),
		cmocka_unit_test(a_byte_0_is_an_error),
		cmocka_unit_test(what_has_no_end_is_refused),
		cmocka_unit_test(too_many_peers_are_refused),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
		cmocka_unit_test(the_sample_file_has_every_key_with_its_default),
		cmocka_unit_test(a_reload_takes_only_what_may_change),
		cmocka_unit_test(the_machine_is_asked_for_what_it_has),
		cmocka_unit_test(a_missing_file_is_an_error_only_if_named),
		cmocka_unit_test(a_directory_is_not_a_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
