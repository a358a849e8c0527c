/* SPDX-License-Identifier: MIT */
/* compare.c - forks one server and one client for each run, and collects the reports. */
#include "compare.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "client.h"
#include "compare_print.h"
#include "isolate.h"
#include "server.h"

#define START_MS   10000 /* for the server to listen */
#define BEYOND_MS  90000 /* for a client to end, beyond its seconds */
#define DEFAULT_TO "127.0.0.1"

/* One side of one run. */
struct side {
	const struct options *o;
	const struct via *via;
	uint16_t port;
	bool server;
};

/* Into the network namespace that ip-netns(8) calls @name. */
static int enter_netns(const char *name)
{
	char path[PATH_MAX];
	int fd, r;

	(void)snprintf(path, sizeof(path), "/run/netns/%s", name); /* cut: not found */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = setns(fd, CLONE_NEWNET) ? -errno : 0;
	(void)close(fd); /* only a name */
	return r;
}

static void side_main(const void *arg, int fd)
{
	const struct side *side = arg;
	const struct options *o = side->o;
	const char *path = side->server ? o->server_socket : o->client_socket;
	const char *netns = side->server ? o->server_netns : o->client_netns;
	struct options own = *o;
	struct isolation result = { .alone = { .seconds = 0 } };
	int r;

	if (path)
		setenv("NCD_SOCKET", path, 1);
	r = netns ? enter_netns(netns) : 0;
	if (r < 0) {
		fprintf(stderr, "ncd-perf: --%s-netns %s: %s\n", side->server ? "server" : "client",
			netns, strerror(-r));
		_exit(1);
	}
	own.port = side->port;
	own.cpu = side->server ? o->server_cpu : o->client_cpu;
	if (side->server) {
		if (!own.listen)
			own.listen = own.to;
		r = server_run(&own, side->via, 0, fd);
		_exit(r < 0);
	}
	if (own.shape.mode == MODE_ISOLATE)
		isolate_measure(&own, side->via, &result);
	else
		client_measure(&own, side->via, NULL, &result.together);
	r = write(fd, &result, sizeof(result)) == sizeof(result) ? 0 : 1;
	_exit(r);
}

static int run_fail(const struct via *via, const char *what)
{
	fprintf(stderr, "ncd-perf: compare: %s via %s failed\n", what, via->name);
	return -EIO;
}

/* One run of one via. */
static int compare_measure(const struct options *o, const struct via *via,
			   struct isolation *ret_result)
{
	struct child server = { .pid = 0 }, client = { .pid = 0 };
	struct side side = { .o = o, .via = via, .server = true };
	int r;

	r = child_start(side_main, &side, &server);
	if (r == 0)
		r = child_read(&server, &side.port, sizeof(side.port), START_MS);
	if (r < 0) {
		child_stop(&server);
		return run_fail(via, "the server");
	}
	side.server = false;
	r = child_start(side_main, &side, &client);
	if (r == 0)
		r = child_read(&client, ret_result, sizeof(*ret_result),
			       2 * (int)(o->seconds * 1000) + BEYOND_MS);
	child_stop(&client);
	child_stop(&server);
	if (r < 0)
		return run_fail(via, "the client");
	if (ret_result->together.failed) {
		fprintf(stderr, "ncd-perf: compare: %s\n", ret_result->together.error);
		return -EIO;
	}
	return 0;
}

static int compare_pairs(const struct options *o, struct isolation *results)
{
	bool show = isatty(STDERR_FILENO);
	int r = 0;

	for (uint32_t i = 0; i < 2 * o->pairs && r == 0; i++) {
		const struct via *via = o->via[i % 2];

		if (show)
			fprintf(stderr, "pair %u of %u: %s\n", i / 2 + 1, o->pairs, via->name);
		r = compare_measure(o, via, &results[i]);
	}
	return r;
}

int compare_run(const struct options *o)
{
	struct isolation *results = calloc(2 * (size_t)o->pairs, sizeof(*results));
	struct options own = *o;
	uint64_t errors = 0;
	int r;

	if (!results)
		return -ENOMEM;
	if (!own.to)
		own.to = DEFAULT_TO;
	r = compare_pairs(&own, results);
	if (r == 0) {
		if (o->json)
			compare_print_json(stdout, o, results);
		else
			compare_print(stdout, o, results);
		for (uint32_t i = 0; i < 2 * o->pairs; i++)
			errors += results[i].together.errors + results[i].alone.errors;
		r = errors > 0;
	}
	free(results);
	return r;
}
