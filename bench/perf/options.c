/* SPDX-License-Identifier: MIT */
/* options.c - parses and checks the command line. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ncclient.h"
#include "ratio.h"

enum option_id {
	OPT_VIA = 256,
	OPT_TO,
	OPT_LISTEN,
	OPT_PORT,
	OPT_FLOWS,
	OPT_THREADS,
	OPT_SIZE,
	OPT_DEPTH,
	OPT_BULK_SIZE,
	OPT_SECONDS,
	OPT_JSON,
	OPT_BRIEF,
	OPT_VERIFY,
	OPT_NO_VERIFY,
	OPT_CPU,
	OPT_NICE,
	OPT_PRIORITY,
	OPT_CONGESTION,
	OPT_PAIRS,
	OPT_CLIENT_CPU,
	OPT_SERVER_CPU,
	OPT_CLIENT_SOCKET,
	OPT_SERVER_SOCKET,
	OPT_CLIENT_ADDR,
	OPT_CLIENT_NETNS,
	OPT_SERVER_NETNS,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "via", required_argument, NULL, OPT_VIA },
	{ "to", required_argument, NULL, OPT_TO },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "port", required_argument, NULL, OPT_PORT },
	{ "flows", required_argument, NULL, OPT_FLOWS },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "bulk-size", required_argument, NULL, OPT_BULK_SIZE },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "brief", no_argument, NULL, OPT_BRIEF },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "no-verify", no_argument, NULL, OPT_NO_VERIFY },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "nice", required_argument, NULL, OPT_NICE },
	{ "priority", required_argument, NULL, OPT_PRIORITY },
	{ "congestion", required_argument, NULL, OPT_CONGESTION },
	{ "pairs", required_argument, NULL, OPT_PAIRS },
	{ "client-cpu", required_argument, NULL, OPT_CLIENT_CPU },
	{ "server-cpu", required_argument, NULL, OPT_SERVER_CPU },
	{ "client-socket", required_argument, NULL, OPT_CLIENT_SOCKET },
	{ "server-socket", required_argument, NULL, OPT_SERVER_SOCKET },
	{ "client-addr", required_argument, NULL, OPT_CLIENT_ADDR },
	{ "client-netns", required_argument, NULL, OPT_CLIENT_NETNS },
	{ "server-netns", required_argument, NULL, OPT_SERVER_NETNS },
	{ "server-addr", required_argument, NULL, OPT_TO },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char help_text[] =
	"ncd-perf server       [--via V] [--listen ADDR] [--port P] [--cpu N]\n"
	"ncd-perf MODE         --to ADDR [--via V] [--port P] [--flows N] [--threads T]\n"
	"                      [--size BYTES] [--depth D] [--seconds S] [--verify | --no-verify]\n"
	"                      [--nice N] [--priority P] [--congestion NAME] [--cpu N]\n"
	"                      [--client-addr ADDR] [--json]\n"
	"ncd-perf compare MODE --via A,B [--pairs N] [--server-addr ADDR] [--client-addr ADDR]\n"
	"                      [--client-socket PATH] [--server-socket PATH]\n"
	"                      [--client-netns NAME] [--server-netns NAME]\n"
	"                      [--client-cpu N] [--server-cpu N] [--brief] and those of MODE\n"
	"\n"
	"MODE:  stream   one way, as fast as it goes (default size 131072)\n"
	"       rpc      round trips, D outstanding in each flow (default size 64)\n"
	"       connect  connect, 64-byte round trip, close; N clients at once\n"
	"       isolate  round trips (default size 4096) beside N processes (8) that write\n"
	"                --bulk-size BYTES (10000000): first alone, then together\n"
	"compare runs server and client itself, A B A B ..., and prints B against A.\n"
	"\n"
	"V:\n";

static int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int usage_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("ncd-perf: ", stderr);
	vfprintf(stderr, format, args);
	fputs("; see ncd-perf --help\n", stderr);
	va_end(args);
	return -EINVAL;
}

const char *mode_name(uint32_t mode)
{
	switch (mode) {
	case MODE_STREAM:
		return "stream";
	case MODE_RPC:
		return "rpc";
	case MODE_CONNECT:
		return "connect";
	case MODE_ISOLATE:
		return "isolate";
	default:
		return "?";
	}
}

static void help_print(void)
{
	const struct via *via;

	fputs(help_text, stdout);
	for (size_t i = 0; (via = via_at(i)); i++)
		printf("       %-9s %s\n", via->name, via->what);
}

/* A whole number from @min to @max, with an optional k or M (binary). */
static int parse_number(const char *name, const char *text, uint64_t min, uint64_t max,
			uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (end != text && (*end == 'k' || *end == 'M') && value < 1u << 30)
		value <<= *end++ == 'k' ? 10 : 20;
	if (errno || end == text || *end || *text == '-' || value < min || value > max)
		return usage_error("--%s %s: wants a number from %llu to %llu", name, text,
				   (unsigned long long)min, (unsigned long long)max);
	*ret_value = value;
	return 0;
}

static int parse_u32(const char *name, const char *text, uint32_t max, uint32_t *ret_value)
{
	uint64_t value;
	int r = parse_number(name, text, 1, max, &value);

	if (r == 0)
		*ret_value = (uint32_t)value;
	return r;
}

static int parse_cpu(const char *name, const char *text, int *ret_cpu)
{
	uint64_t value;
	int r = parse_number(name, text, 0, 1023, &value);

	if (r == 0)
		*ret_cpu = (int)value;
	return r;
}

static int parse_seconds(const char *text, double *ret_seconds)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !isfinite(value) || value < 0.1 || value > 86400)
		return usage_error("--seconds %s: wants a number from 0.1 to 86400", text);
	*ret_seconds = value;
	return 0;
}

static int parse_nice(const char *text, struct options *o)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < -20 || value > 19)
		return usage_error("--nice %s: wants a number from -20 to 19", text);
	o->shape.nice = (int8_t)value;
	return 0;
}

static int parse_priority(const char *text, struct options *o)
{
	uint64_t value;
	int r = parse_number("priority", text, 0, PERF_PRIORITY_MAX, &value);

	if (r == 0)
		o->shape.priority = (uint8_t)value;
	return r;
}

static int parse_congestion(const char *text, struct options *o)
{
	size_t len = strlen(text);

	if (len == 0 || len >= PERF_CONGESTION_BYTES)
		return usage_error("--congestion %s: wants a name of "
				   "net.ipv4.tcp_available_congestion_control",
				   text);
	memcpy(o->shape.congestion, text, len + 1);
	return 0;
}

static int parse_vias(const char *text, struct options *o)
{
	o->via_nr = 0;
	for (;;) {
		size_t len = strcspn(text, ",");
		const struct via *via = via_find(text, len);

		if (!via)
			return usage_error("--via %.*s: unknown", (int)len, text);
		if (o->via_nr == 2)
			return usage_error("--via: at most two are compared");
		o->via[o->via_nr++] = via;
		if (text[len] == '\0')
			return 0;
		text += len + 1;
	}
}

static int parse_verify(struct options *o, bool verify)
{
	o->shape.verify = verify;
	return 0;
}

/* A server may take any that is free: 0. */
static int parse_port(const char *text, bool server, uint16_t *ret_port)
{
	uint64_t value;
	int r = parse_number("port", text, server ? 0 : 1, UINT16_MAX, &value);

	if (r == 0)
		*ret_port = (uint16_t)value;
	return r;
}

/* Returns 0, 1 (help or version), -EINVAL. */
static int option_apply(struct options *o, int id, const char *arg)
{
	switch (id) {
	case OPT_VIA:
		return parse_vias(arg, o);
	case OPT_TO:
		o->to = arg;
		return 0;
	case OPT_LISTEN:
		o->listen = arg;
		return 0;
	case OPT_CLIENT_ADDR:
		o->client_addr = arg;
		return 0;
	case OPT_CLIENT_SOCKET:
		o->client_socket = arg;
		return 0;
	case OPT_SERVER_SOCKET:
		o->server_socket = arg;
		return 0;
	case OPT_CLIENT_NETNS:
		o->client_netns = arg;
		return 0;
	case OPT_SERVER_NETNS:
		o->server_netns = arg;
		return 0;
	case OPT_PORT:
		return parse_port(arg, o->command == COMMAND_SERVER, &o->port);
	case OPT_FLOWS:
		return parse_u32("flows", arg, PERF_FLOWS_MAX, &o->shape.flows);
	case OPT_THREADS:
		return parse_u32("threads", arg, PERF_THREADS_MAX, &o->shape.threads);
	case OPT_SIZE:
		return parse_u32("size", arg, PERF_SIZE_MAX, &o->shape.size);
	case OPT_DEPTH:
		return parse_u32("depth", arg, PERF_DEPTH_MAX, &o->shape.depth);
	case OPT_BULK_SIZE:
		return parse_u32("bulk-size", arg, PERF_SIZE_MAX, &o->bulk_size);
	case OPT_NICE:
		return parse_nice(arg, o);
	case OPT_PRIORITY:
		return parse_priority(arg, o);
	case OPT_CONGESTION:
		return parse_congestion(arg, o);
	case OPT_PAIRS:
		return parse_u32("pairs", arg, RATIO_PAIRS_MAX, &o->pairs);
	case OPT_SECONDS:
		return parse_seconds(arg, &o->seconds);
	case OPT_CPU:
		return parse_cpu("cpu", arg, &o->cpu);
	case OPT_CLIENT_CPU:
		return parse_cpu("client-cpu", arg, &o->client_cpu);
	case OPT_SERVER_CPU:
		return parse_cpu("server-cpu", arg, &o->server_cpu);
	case OPT_VERIFY:
	case OPT_NO_VERIFY:
		return parse_verify(o, id == OPT_VERIFY);
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_BRIEF:
		o->brief = true;
		return 0;
	case OPT_HELP:
		help_print();
		return 1;
	case OPT_VERSION:
		printf("ncd-perf %s\n", nc_version());
		return 1;
	default:
		return usage_error("%s", "bad option");
	}
}

static int parse_mode(const char *name, struct options *o)
{
	for (uint8_t mode = MODE_STREAM; mode <= MODE_ISOLATE; mode++) {
		if (strcmp(name, mode_name(mode)))
			continue;
		o->shape.mode = mode;
		o->shape.size = mode == MODE_STREAM ? 128u << 10 : mode == MODE_ISOLATE ? 4096 : 64;
		o->shape.flows = mode == MODE_ISOLATE ? 8 : 1;
		o->shape.verify = mode != MODE_STREAM;
		return 0;
	}
	return usage_error("%s: not a mode", name);
}

/* The words before the options: server, MODE, compare MODE. Returns how many, or -EINVAL. */
static int parse_words(int argc, char **argv, struct options *o)
{
	const char *word = argc > 1 ? argv[1] : "";
	int r;

	if (!strncmp(word, "--h", 3) || !strncmp(word, "--ver", 5))
		return 0;
	if (!*word || *word == '-')
		return usage_error("wants server, compare, stream, rpc, connect or isolate first");
	if (!strcmp(word, "server")) {
		o->command = COMMAND_SERVER;
		return 1;
	}
	if (!strcmp(word, "compare")) {
		o->command = COMMAND_COMPARE;
		r = parse_mode(argc > 2 ? argv[2] : "nothing", o);
		return r < 0 ? r : 2;
	}
	r = parse_mode(word, o);
	return r < 0 ? r : 1;
}

static int options_check(struct options *o)
{
	if (o->via_nr == 0)
		o->via[o->via_nr++] = &via_tcp;
	if (o->command == COMMAND_COMPARE && o->via_nr != 2)
		return usage_error("compare wants two: --via tcp,ncd");
	if (o->command != COMMAND_COMPARE && o->via_nr != 1)
		return usage_error("--via: only compare takes two");
	if (o->command == COMMAND_SERVER)
		return 0;
	if (o->command == COMMAND_RUN && !o->to && !o->via[0]->is_unix)
		return usage_error("--to ADDR is missing");
	if (o->shape.mode == MODE_CONNECT && (o->shape.size != 64 || o->shape.depth != 1))
		return usage_error("connect has a fixed --size 64 and --depth 1");
	if (o->shape.mode == MODE_CONNECT && (o->shape.priority || o->shape.congestion[0]))
		return usage_error("connect knows no --priority and no --congestion");
	if (o->shape.mode == MODE_ISOLATE &&
	    (o->shape.threads != 1 || o->shape.flows >= PERF_THREADS_MAX))
		return usage_error("isolate has --threads 1 and at most %u --flows",
				   PERF_THREADS_MAX - 1);
	if (!shape_valid(&o->shape))
		return usage_error("--flows %u --threads %u --depth %u: not more threads than "
				   "flows, and at most %u flows * depth",
				   o->shape.flows, o->shape.threads, o->shape.depth,
				   PERF_SLOTS_MAX);
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options o = { .port = PERF_PORT,
			     .seconds = 5,
			     .bulk_size = 10000000,
			     .pairs = 5,
			     .cpu = -1,
			     .client_cpu = -1,
			     .server_cpu = -1,
			     .shape = { .flows = 1, .threads = 1, .size = 64, .depth = 1 } };
	int id, r = parse_words(argc, argv, &o);

	if (r < 0)
		return r;
	optind = r + 1;
	opterr = 0;
	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (id == '?')
			return usage_error("%s: unknown, or its value is missing",
					   argv[optind - 1]);
		r = option_apply(&o, id, optarg);
		if (r)
			return r;
	}
	if (optind < argc)
		return usage_error("%s: too many words", argv[optind]);
	r = options_check(&o);
	if (r == 0)
		*ret_options = o;
	return r;
}
