/* SPDX-License-Identifier: MIT */
/*
 * isolate.c - runs one client process for each flow, lets all begin at one moment, and puts their
 * reports together. Each is a client as in mode rpc or stream, against a server process of its own.
 */
#include "isolate.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "client.h"
#include "clock.h"
#include "cpu.h"

#define READY_MS    60000            /* for a process to connect */
#define BEYOND_MS   60000            /* to end, beyond its seconds */
#define BEGIN_NS    (20 * NS_PER_MS) /* from the word that all are ready: time to hear it */
#define CLIENTS_MAX PERF_THREADS_MAX
#define LATENCY     0 /* place of the latency process among the clients */

/* What a process says to us. */
enum word_kind {
	WORD_READY = 1, /* and waits for the time to begin, a uint64_t */
	WORD_PROGRESS,
	WORD_PORTS,
	WORD_REPORT,
};

struct word {
	enum word_kind kind;
	double bits_per_s;
	double answers_per_s;
	uint16_t port[PERF_THREADS_MAX];
	struct report report;
};

/* What a process is to do. */
struct role {
	struct options o;
	const struct via *via;
};

struct isolate {
	const struct options *o;
	const struct via *via;
	const char *phase;
	struct report *report; /* of this phase */
	uint16_t port[PERF_THREADS_MAX];
	struct child client[CLIENTS_MAX];
	double bits_per_s[CLIENTS_MAX]; /* of the last second */
	bool reported[CLIENTS_MAX];
	uint32_t client_nr;
	uint32_t reported_nr;
	uint32_t second;
};

/* ---- in the processes ---- */

static void word_say(int fd, const struct word *word)
{
	/* Who no longer listens is about to kill us. */
	if (write(fd, word, sizeof(*word)) != (ssize_t)sizeof(*word))
		_exit(1);
}

static int role_ready(void *ctx, uint64_t *ret_begin_ns)
{
	const struct word word = { .kind = WORD_READY };
	const int *fd = ctx;

	word_say(*fd, &word);
	return read(*fd, ret_begin_ns, sizeof(*ret_begin_ns)) == sizeof(*ret_begin_ns) ? 0 : -EPIPE;
}

static void role_progress(void *ctx, double bits_per_s, double answers_per_s)
{
	const struct word word = { .kind = WORD_PROGRESS,
				   .bits_per_s = bits_per_s,
				   .answers_per_s = answers_per_s };
	const int *fd = ctx;

	word_say(*fd, &word);
}

static void role_main(const void *arg, int fd)
{
	const struct client_hooks hooks = { .ctx = &fd,
					    .ready = role_ready,
					    .progress = role_progress };
	const struct role *role = arg;
	struct word word = { .kind = WORD_REPORT };

	client_measure(&role->o, role->via, &hooks, &word.report);
	word_say(fd, &word);
	_exit(0);
}

/* Has the server start its processes, and holds on to them until it is stopped. */
static void keeper_main(const void *arg, int fd)
{
	const struct role *role = arg;
	struct word word = { .kind = WORD_PORTS };
	uint8_t byte;

	client_reserve(&role->o, role->via, word.port, &word.report);
	word_say(fd, &word);
	/* Nothing comes: until SIGTERM, or the end of who would send it. */
	while (read(fd, &byte, sizeof(byte)) > 0)
		continue;
	_exit(0);
}

/* ---- among them ---- */

static int isolate_fail(struct isolate *is, int err, const char *what)
{
	struct report *rep = is->report;

	if (!rep->failed)
		snprintf(rep->error, sizeof(rep->error), "%s via %s: %s: %s", is->phase,
			 is->via->name, what, err == -EPIPE ? "it died" : strerror(-err));
	rep->failed = true;
	return err;
}

/* What went wrong there goes into our report. */
static int isolate_adopt_failure(struct isolate *is, const struct report *theirs)
{
	if (!is->report->failed)
		memcpy(is->report->error, theirs->error, sizeof(theirs->error));
	is->report->failed = true;
	return -EIO;
}

static int isolate_start_client(struct isolate *is, bool bulk)
{
	struct role role = { .o = *is->o, .via = is->via };
	struct shape *s = &role.o.shape;
	int r;

	s->flows = 1;
	s->mode = MODE_RPC;
	if (bulk) {
		s->mode = MODE_STREAM;
		s->size = is->o->bulk_size;
		s->depth = 1;
		s->verify = false;
		s->nice = 0;
		s->priority = 0;
	} else if (is->via->latency) {
		role.via = is->via->latency;
	}
	role.o.port = is->port[is->client_nr];
	r = child_start(role_main, &role, &is->client[is->client_nr]);
	if (r < 0)
		return isolate_fail(is, r, "cannot start a process");
	is->client_nr++;
	return 0;
}

static int isolate_await_ready(struct isolate *is)
{
	struct word word;

	for (uint32_t i = 0; i < is->client_nr; i++) {
		int r = child_read(&is->client[i], &word, sizeof(word), READY_MS);

		if (r < 0)
			return isolate_fail(is, r, "waiting for a process to connect");
		if (word.kind == WORD_REPORT)
			return isolate_adopt_failure(is, &word.report);
	}
	return 0;
}

static int isolate_begin(struct isolate *is)
{
	uint64_t begin_ns = clock_now_ns() + BEGIN_NS;

	for (uint32_t i = 0; i < is->client_nr; i++) {
		int r = child_write(&is->client[i], &begin_ns, sizeof(begin_ns));

		if (r < 0)
			return isolate_fail(is, r, "telling a process to begin");
	}
	return 0;
}

/* The latency process has the word; of the others the last that was heard. */
static void isolate_show(struct isolate *is, double answers_per_s)
{
	double bits_per_s = 0;

	is->second++;
	for (uint32_t i = LATENCY + 1; i < is->client_nr; i++)
		bits_per_s += is->bits_per_s[i];
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "%s %s %3u s   %8.3f Gbit/s beside   %12.0f answers/s\n",
			is->via->name, is->phase, is->second, bits_per_s / 1e9, answers_per_s);
}

/* Adds one process's report to that of the phase. */
static void isolate_add(struct isolate *is, uint32_t index, const struct report *theirs)
{
	struct report *rep = is->report;
	double bulk = rep->bulk_bytes_per_s;
	uint64_t cpu[REPORT_CPU_NR], errors = rep->errors + theirs->errors;

	memcpy(cpu, rep->cpu_ns, sizeof(cpu));
	cpu[REPORT_CPU_CLIENT] += theirs->cpu_ns[REPORT_CPU_CLIENT];
	cpu[REPORT_CPU_SERVER] += theirs->cpu_ns[REPORT_CPU_SERVER];
	if (index == LATENCY) {
		*rep = *theirs;
		memcpy(rep->via, is->via->name, strlen(is->via->name) + 1);
		rep->latency_cpu_ns[REPORT_CPU_CLIENT] = theirs->cpu_ns[REPORT_CPU_CLIENT];
		rep->latency_cpu_ns[REPORT_CPU_SERVER] = theirs->cpu_ns[REPORT_CPU_SERVER];
		rep->bulk_bytes_per_s = bulk;
		rep->shape = is->o->shape;
		/* Of the daemons as a whole, while the latency flow was measured. */
		cpu[REPORT_CPU_NCD_CLIENT] = theirs->cpu_ns[REPORT_CPU_NCD_CLIENT];
		cpu[REPORT_CPU_NCD_SERVER] = theirs->cpu_ns[REPORT_CPU_NCD_SERVER];
	} else {
		rep->bulk_bytes_per_s += theirs->bytes_per_s;
	}
	memcpy(rep->cpu_ns, cpu, sizeof(cpu));
	rep->errors = errors;
}

/* Takes one word of client @index. Returns 0 or -errno. */
static int isolate_hear(struct isolate *is, uint32_t index)
{
	struct word word;
	int r = child_read(&is->client[index], &word, sizeof(word), BEYOND_MS);

	if (r < 0)
		return isolate_fail(is, r, "a process that was measured");
	if (word.kind == WORD_PROGRESS) {
		is->bits_per_s[index] = word.bits_per_s;
		if (index == LATENCY)
			isolate_show(is, word.answers_per_s);
		return 0;
	}
	if (word.report.failed)
		return isolate_adopt_failure(is, &word.report);
	is->reported[index] = true;
	is->reported_nr++;
	isolate_add(is, index, &word.report);
	return 0;
}

/* Until all have reported. */
static int isolate_collect(struct isolate *is)
{
	uint64_t deadline_ns =
		clock_now_ns() + (uint64_t)(is->o->seconds * 1e9) + BEYOND_MS * NS_PER_MS;
	struct pollfd p[CLIENTS_MAX];
	int r = 0;

	while (r == 0 && is->reported_nr < is->client_nr) {
		for (uint32_t i = 0; i < is->client_nr; i++)
			p[i] = (struct pollfd){ .fd = is->reported[i] ? -1 : is->client[i].fd,
						.events = POLLIN };
		if (clock_now_ns() > deadline_ns)
			return isolate_fail(is, -ETIMEDOUT, "waiting for the reports");
		if (poll(p, is->client_nr, BEYOND_MS) < 0)
			continue;
		for (uint32_t i = 0; i < is->client_nr && r == 0; i++)
			if (p[i].revents)
				r = isolate_hear(is, i);
	}
	return r;
}

/* One row. */
static int isolate_phase(struct isolate *is, const char *phase, uint32_t bulk_nr,
			 struct report *ret_report)
{
	int r;

	is->phase = phase;
	is->report = ret_report;
	is->client_nr = is->reported_nr = is->second = 0;
	memset(is->reported, 0, sizeof(is->reported));
	memset(is->bits_per_s, 0, sizeof(is->bits_per_s));
	r = isolate_start_client(is, false);
	for (uint32_t i = 0; i < bulk_nr && r == 0; i++)
		r = isolate_start_client(is, true);
	if (r == 0)
		r = isolate_await_ready(is);
	if (r == 0)
		r = isolate_begin(is);
	if (r == 0)
		r = isolate_collect(is);
	while (is->client_nr > 0)
		child_stop(&is->client[--is->client_nr]);
	return r;
}

static int isolate_reserve(struct isolate *is, struct child *keeper)
{
	struct role role = { .o = *is->o, .via = is->via };
	struct word word;
	int r = child_start(keeper_main, &role, keeper);

	if (r < 0)
		return isolate_fail(is, r, "cannot start a process");
	r = child_read(keeper, &word, sizeof(word), READY_MS);
	if (r < 0)
		return isolate_fail(is, r, "waiting for the server's processes");
	if (word.report.failed)
		return isolate_adopt_failure(is, &word.report);
	memcpy(is->port, word.port, sizeof(is->port));
	return 0;
}

void isolate_measure(const struct options *o, const struct via *via,
		     struct isolation *ret_isolation)
{
	struct isolate is = {
		.o = o, .via = via, .phase = "alone", .report = &ret_isolation->together
	};
	struct child keeper = { .pid = 0 };
	int r;

	*ret_isolation = (struct isolation){ .alone = { .seconds = 0 } };
	r = isolate_reserve(&is, &keeper);
	if (r == 0)
		r = isolate_phase(&is, "alone", 0, &ret_isolation->alone);
	if (r == 0)
		(void)isolate_phase(&is, "together", o->shape.flows, &ret_isolation->together);
	else if (ret_isolation->alone.failed)
		ret_isolation->together = ret_isolation->alone;
	child_stop(&keeper);
}
