/* SPDX-License-Identifier: MIT */
/* compare.c - forks one server and one client for each run, and collects the reports. */
#include "compare.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "compare_print.h"
#include "server.h"

#define START_MS   10000 /* for the server to listen */
#define BEYOND_MS  90000 /* for a client to end, beyond its seconds */
#define STOP_MS    5000
#define DEFAULT_TO "127.0.0.1"

/* A child that writes into our pipe. */
struct child {
	pid_t pid;
	int fd;
};

static void child_main(const struct options *o, const struct via *via, uint16_t port, bool server,
		       int fd) __attribute__((noreturn));

static void child_main(const struct options *o, const struct via *via, uint16_t port, bool server,
		       int fd)
{
	const char *path = server ? o->server_socket : o->client_socket;
	struct options own = *o;
	struct report report;
	int r;

	/* Nothing outlives the comparison, however it ends. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (path)
		setenv("NCD_SOCKET", path, 1);
	own.port = port;
	own.cpu = server ? o->server_cpu : o->client_cpu;
	if (server) {
		if (!own.listen)
			own.listen = own.to;
		r = server_run(&own, via, 0, fd);
		_exit(r < 0);
	}
	client_measure(&own, via, &report);
	r = write(fd, &report, sizeof(report)) == sizeof(report) ? 0 : 1;
	_exit(r);
}

static int child_start(const struct options *o, const struct via *via, uint16_t port, bool server,
		       struct child *ret_child)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		child_main(o, via, port, server, fds[1]);
	}
	(void)close(fds[1]); /* so that the pipe ends with the child */
	if (pid < 0) {
		(void)close(fds[0]);
		return -EAGAIN;
	}
	*ret_child = (struct child){ .pid = pid, .fd = fds[0] };
	return 0;
}

/* @len bytes from the child within @timeout_ms. Returns 0, -EPIPE (it ended), -ETIMEDOUT. */
static int child_read(struct child *child, void *buf, size_t len, int timeout_ms)
{
	uint64_t deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	struct pollfd p = { .fd = child->fd, .events = POLLIN };
	unsigned char *bytes = buf;

	while (len > 0) {
		uint64_t now_ns = clock_now_ns();
		ssize_t n;

		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)((deadline_ns - now_ns) / NS_PER_MS + 1)) <= 0)
			continue;
		n = read(child->fd, bytes, len);
		if (n <= 0)
			return -EPIPE;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Asks it to end; kills it if it does not. Its pipe closes when it has ended. */
static void child_stop(struct child *child)
{
	unsigned char rest[64];

	if (child->pid <= 0)
		return;
	(void)kill(child->pid, SIGTERM); /* ours until waitpid() */
	if (child_read(child, rest, sizeof(rest), STOP_MS) != -EPIPE)
		(void)kill(child->pid, SIGKILL);
	(void)waitpid(child->pid, NULL, 0);
	(void)close(child->fd);
	child->pid = 0;
}

static int run_fail(const struct via *via, const char *what)
{
	fprintf(stderr, "ncd-perf: compare: %s via %s failed\n", what, via->name);
	return -EIO;
}

/* One run of one via. */
static int compare_measure(const struct options *o, const struct via *via,
			   struct report *ret_report)
{
	struct child server = { .pid = 0 }, client = { .pid = 0 };
	uint16_t port = 0;
	int r;

	r = child_start(o, via, 0, true, &server);
	if (r == 0)
		r = child_read(&server, &port, sizeof(port), START_MS);
	if (r < 0) {
		child_stop(&server);
		return run_fail(via, "the server");
	}
	r = child_start(o, via, port, false, &client);
	if (r == 0)
		r = child_read(&client, ret_report, sizeof(*ret_report),
			       (int)(o->seconds * 1000) + BEYOND_MS);
	child_stop(&client);
	child_stop(&server);
	if (r < 0)
		return run_fail(via, "the client");
	if (ret_report->failed) {
		fprintf(stderr, "ncd-perf: compare: %s\n", ret_report->error);
		return -EIO;
	}
	return 0;
}

static int compare_pairs(const struct options *o, struct report *reports)
{
	bool show = isatty(STDERR_FILENO);
	int r = 0;

	for (uint32_t i = 0; i < 2 * o->pairs && r == 0; i++) {
		const struct via *via = o->via[i % 2];

		if (show)
			fprintf(stderr, "pair %u of %u: %s\n", i / 2 + 1, o->pairs, via->name);
		r = compare_measure(o, via, &reports[i]);
	}
	return r;
}

int compare_run(const struct options *o)
{
	struct report *reports = calloc(2 * (size_t)o->pairs, sizeof(*reports));
	struct options own = *o;
	uint64_t errors = 0;
	int r;

	if (!reports)
		return -ENOMEM;
	if (!own.to)
		own.to = DEFAULT_TO;
	r = compare_pairs(&own, reports);
	if (r == 0) {
		if (o->json)
			compare_print_json(stdout, o, reports);
		else
			compare_print(stdout, o, reports);
		for (uint32_t i = 0; i < 2 * o->pairs; i++)
			errors += reports[i].errors;
		r = errors > 0;
	}
	free(reports);
	return r;
}
