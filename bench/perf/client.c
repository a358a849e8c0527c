/* SPDX-License-Identifier: MIT */
/*
 * client.c - connects, lets the crew run, and takes the figures: what the server received, by the
 * server's clock, between two snapshots; latencies between the same two moments.
 */
#include "client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "clock.h"
#include "connect.h"
#include "cpu.h"
#include "descriptors.h"
#include "interrupt.h"
#include "loop.h"

#define WARM_NS     (200 * NS_PER_MS)
#define ASK_NS      (10 * NS_PER_S) /* for an answer on the control flow */
#define BEGIN_NS    (40 * NS_PER_S) /* for the first: thousands of flows may have to arrive */
#define FINISH_NS   (15 * NS_PER_S) /* for threads to end: longer than they wait themselves */
#define LOOK_NS     (100 * NS_PER_MS) /* between looks whether somebody ends it */
#define CONTROL_BUF (64u << 10)

struct client_run {
	const struct options *o;
	const struct via *via;
	const struct client_hooks *hooks;
	struct report *report;
	uint64_t session;
	struct endpoint to;
	struct endpoint from;
	struct hub hub; /* of the control flow */
	struct conn control;
	struct crew *crew;
	struct connect_plan plan;
};

/* Both sides at one moment. */
struct snapshot {
	struct reply server;
	struct crew_sum client;
	uint64_t daemon_cpu_ns;
};

static int client_fail(struct client_run *run, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int client_fail(struct client_run *run, int err, const char *format, ...)
{
	va_list args;

	if (run->report->failed)
		return err;
	va_start(args, format);
	vsnprintf(run->report->error, sizeof(run->report->error), format, args);
	va_end(args);
	run->report->failed = true;
	return err;
}

static const char *connect_remedy(const struct via *via, int err)
{
	if (err == -ECONNREFUSED)
		return "; is 'ncd-perf server' running there, with the same --via and --port?";
	if (err == -ENETUNREACH && via->uses_daemon)
		return "; no [peer] in ncd.conf has this address";
	if (err == -EMFILE)
		return "; raise ulimit -n, or use fewer flows";
	return "";
}

static int client_fail_connect(struct client_run *run, int err)
{
	char buf[128];
	const char *why = via_why(run->via, buf, sizeof(buf), strerror(-err));
	/* What the transport says about itself has its own remedy. */
	const char *remedy = why == buf ? "" : connect_remedy(run->via, err);

	return client_fail(run, err, "cannot connect to %s via %s: %s%s", run->to.text,
			   run->via->name, why, remedy);
}

/* A connection that has said @hello. */
static int client_connect(struct client_run *run, const struct hello *hello, struct conn *ret_conn)
{
	const struct via *control = run->via->control;
	struct conn c = { .via = control, .hub = &run->hub, .fd = -1, .blocking = true };
	int r = control->connect(&c, &run->to, run->o->client_addr ? &run->from : NULL);

	if (r == 0)
		r = conn_send_all(&c, hello, sizeof(*hello), clock_now_ns() + ASK_NS);
	if (r < 0) {
		control->close(&c);
		return client_fail_connect(run, r);
	}
	*ret_conn = c;
	return 0;
}

static struct hello client_hello(const struct client_run *run, enum hello_kind kind)
{
	return (struct hello){ .magic = HELLO_MAGIC,
			       .version = HELLO_VERSION,
			       .kind = kind,
			       .session = run->session,
			       .shape = run->o->shape };
}

static int client_wait(struct client_run *run, uint64_t time_ns)
{
	int r = run->crew ? crew_wait(run->crew, time_ns) : 0;

	if (r < 0)
		return client_fail(run, r, "%s via %s to %s: %s", crew_error_what(run->crew),
				   run->via->name, run->to.text,
				   r == -ECONNRESET || r == -EPIPE
					   ? "the other side closed or reset it"
					   : strerror(-r));
	return r;
}

static int client_hear(struct client_run *run, uint64_t wait_ns, struct reply *ret_reply)
{
	int r = conn_recv_all(&run->control, ret_reply, sizeof(*ret_reply),
			      clock_now_ns() + wait_ns);

	if (r < 0)
		return client_fail(run, r, "the server at %s does not answer: %s", run->to.text,
				   r == -ECONNRESET ? "it hung up" : strerror(-r));
	ret_reply->text[sizeof(ret_reply->text) - 1] = '\0';
	if (ret_reply->magic != HELLO_MAGIC || ret_reply->port_nr > PERF_THREADS_MAX)
		return client_fail(run, -EPROTO, "%s is not an ncd-perf server", run->to.text);
	/* What broke here says more than what the other end saw of it. */
	if (ret_reply->status < 0 && client_wait(run, 0) >= 0)
		return client_fail(run, ret_reply->status, "the server at %s says: %s: %s",
				   run->to.text, ret_reply->text, strerror(-ret_reply->status));
	return ret_reply->status;
}

static int client_ask(struct client_run *run, enum hello_kind kind, struct reply *ret_reply)
{
	struct hello hello = client_hello(run, kind);
	int r = conn_send_all(&run->control, &hello, sizeof(hello), clock_now_ns() + ASK_NS);

	if (r < 0)
		return client_fail(run, r, "the server at %s went away: %s", run->to.text,
				   strerror(-r));
	return client_hear(run, ASK_NS, ret_reply);
}

/* Control flow, then all flows. */
static int client_join(struct client_run *run)
{
	uint32_t flows = shape_joining(&run->o->shape);
	struct hello hello = client_hello(run, HELLO_CONTROL);
	struct reply joined;
	int r = client_connect(run, &hello, &run->control);

	if (r == 0)
		r = run->control.via->bound(&run->control);
	if (r < 0)
		return client_fail(run, r, "control flow: %s", strerror(-r));
	hello = client_hello(run, HELLO_FLOW);
	for (uint32_t i = 0; i < flows; i++) {
		if (i % PERF_JOIN_BATCH == 0)
			r = client_hear(run, BEGIN_NS, &joined);
		hello.flow = i;
		if (r == 0)
			r = client_connect(run, &hello, &run->crew->flow[i].conn);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Waits for the server to be ready, then brings the crew up. */
static int client_start(struct client_run *run)
{
	struct reply ready;
	int r = client_hear(run, BEGIN_NS, &ready);

	if (r < 0)
		return r;
	run->plan.from = run->o->client_addr ? &run->from : NULL;
	run->plan.to_nr = ready.port_nr;
	for (uint32_t i = 0; i < ready.port_nr; i++) {
		run->plan.to[i] = run->to;
		endpoint_set_port(&run->plan.to[i], ready.port[i]);
	}
	if (run->o->shape.mode == MODE_CONNECT && ready.port_nr == 0)
		return client_fail(run, -EPROTO, "%s named no port", run->to.text);
	for (uint32_t i = 0; i < run->crew->loop_nr; i++)
		run->crew->loop[i].run_arg = &run->plan;
	r = crew_start(run->crew);
	if (r < 0)
		return client_fail(run, r, "%s: %s", crew_error_what(run->crew), strerror(-r));
	return 0;
}

static int client_snapshot(struct client_run *run, struct snapshot *ret_snapshot)
{
	int r = client_ask(run, HELLO_SNAPSHOT, &ret_snapshot->server);

	crew_sum(run->crew, &ret_snapshot->client);
	ret_snapshot->daemon_cpu_ns = run->via->uses_daemon ? cpu_of_daemon_ns() : CPU_UNKNOWN;
	return r;
}

/* One second's progress, for who watches. */
static void client_show(struct client_run *run, int second, const struct crew_sum *last,
			const struct crew_sum *now)
{
	double seconds = (double)(now->time_ns - last->time_ns) / 1e9;
	double bits_per_s = (double)(now->tx_bytes - last->tx_bytes) * 8 / seconds;
	double answers_per_s = (double)(now->messages - last->messages) / seconds;

	if (run->hooks)
		run->hooks->progress(run->hooks->ctx, bits_per_s, answers_per_s);
	else if (isatty(STDERR_FILENO))
		fprintf(stderr, "%s %3d s   %8.3f Gbit/s sent   %12.0f answers/s\n", run->via->name,
			second, bits_per_s / 1e9, answers_per_s);
}

/* A second, less if the end comes before: by itself, or by who has seen enough. */
static int client_watch_second(struct client_run *run)
{
	uint64_t now_ns = clock_now_ns(), second_ns = now_ns + NS_PER_S, until_ns;
	int r = 0;

	for (; r == 0 && now_ns < second_ns && now_ns < crew_end_ns(run->crew);
	     now_ns = clock_now_ns()) {
		until_ns = crew_end_ns(run->crew);
		r = client_wait(run, until_ns < now_ns + LOOK_NS ? until_ns : now_ns + LOOK_NS);
		if (interrupted())
			crew_end(run->crew);
	}
	return r;
}

/* Until the end. */
static int client_watch(struct client_run *run)
{
	struct crew_sum last, now;
	int r = 0;

	crew_sum(run->crew, &last);
	for (int second = 1; r == 0 && clock_now_ns() < crew_end_ns(run->crew); second++) {
		r = client_watch_second(run);
		crew_sum(run->crew, &now);
		if (r >= 0)
			client_show(run, second, &last, &now);
		last = now;
	}
	return r;
}

/* Jain's index of what each flow has sent; the threads have ended. */
static double client_jain(const struct client_run *run)
{
	uint32_t flows = shape_joining(&run->o->shape);
	double sum = 0, squares = 0;

	for (uint32_t i = 0; i < flows; i++) {
		double bytes = (double)run->crew->flow[i].tx_off;

		sum += bytes;
		squares += bytes * bytes;
	}
	return flows > 1 && squares > 0 ? sum * sum / (flows * squares) : 0;
}

static void client_evaluate(struct client_run *run, const struct snapshot *a,
			    const struct snapshot *b)
{
	struct report *rep = run->report;
	struct hist *sum = calloc(1, sizeof(*sum));
	double window = (double)(crew_end_ns(run->crew) - run->crew->warm_ns) / 1e9;
	uint64_t bytes = b->server.received_bytes - a->server.received_bytes;

	rep->seconds = (double)(b->server.time_ns - a->server.time_ns) / 1e9;
	rep->bytes_per_s = (double)bytes / rep->seconds;
	rep->msgs_per_s = rep->bytes_per_s / run->o->shape.size;
	rep->jain = client_jain(run);
	rep->cpu_ns[REPORT_CPU_CLIENT] = b->client.cpu_ns - a->client.cpu_ns;
	rep->cpu_ns[REPORT_CPU_SERVER] = b->server.cpu_ns - a->server.cpu_ns;
	rep->cpu_ns[REPORT_CPU_NCD_CLIENT] = cpu_between_ns(a->daemon_cpu_ns, b->daemon_cpu_ns);
	rep->cpu_ns[REPORT_CPU_NCD_SERVER] =
		cpu_between_ns(a->server.daemon_cpu_ns, b->server.daemon_cpu_ns);
	if (!sum) {
		(void)client_fail(run, -ENOMEM, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < run->crew->loop_nr; i++)
		hist_merge(sum, &run->crew->loop[i].hist);
	if (run->o->shape.mode != MODE_STREAM) {
		/* Round trips that were completed, at the one who waited for them. */
		rep->msgs_per_s = (double)sum->count / window;
		report_set_rtt(rep, sum);
		if (sum->count == 0)
			(void)client_fail(run, -ETIMEDOUT,
					  "no round trip in %.1f s; give it more --seconds",
					  window);
	}
	free(sum);
}

/* All that was sent must have arrived. */
static int client_settle(struct client_run *run)
{
	struct reply final;
	struct crew_sum sum;
	int r = client_wait(run, clock_now_ns() + FINISH_NS);

	if (r < 0)
		return r;
	if (r == 0)
		return client_fail(run, -ETIMEDOUT, "threads did not finish");
	r = client_ask(run, HELLO_END, &final);
	if (r < 0)
		return r;
	crew_sum(run->crew, &sum);
	run->report->errors = sum.errors + final.errors;
	if (sum.tx_bytes != final.received_bytes)
		run->report->errors++;
	return 0;
}

static int client_go(struct client_run *run)
{
	uint64_t begin_ns = clock_now_ns(), warm_ns;
	struct snapshot a, b;
	int r = run->hooks ? run->hooks->ready(run->hooks->ctx, &begin_ns) : 0;

	if (r < 0)
		return client_fail(run, r, "was not told to begin");
	if (!run->hooks)
		interrupt_catch();
	warm_ns = begin_ns + WARM_NS;
	crew_go(run->crew, warm_ns, warm_ns + (uint64_t)(run->o->seconds * 1e9));
	r = client_wait(run, warm_ns);
	if (r == 0)
		r = client_snapshot(run, &a);
	if (r == 0)
		r = client_watch(run);
	if (r >= 0)
		r = client_snapshot(run, &b);
	if (r == 0)
		r = client_settle(run);
	if (r == 0)
		client_evaluate(run, &a, &b);
	return r;
}

/* A kernel socket takes a descriptor. */
static int client_reserve_descriptors(struct client_run *run)
{
	uint32_t flows = run->o->shape.flows;
	uint64_t needed;
	int r = run->via->uses_daemon ? 0 : descriptors_reserve(flows, &needed);

	if (r < 0)
		return client_fail(run, r,
				   "%u flows via %s need that many open files: raise ulimit -n to "
				   "%llu, or use fewer flows",
				   flows, run->via->name, (unsigned long long)needed);
	return 0;
}

static int client_prepare(struct client_run *run)
{
	const struct options *o = run->o;
	int r = client_reserve_descriptors(run);

	if (r < 0)
		return r;

	if (getrandom(&run->session, sizeof(run->session), 0) != sizeof(run->session))
		return client_fail(run, -EIO, "getrandom: %s", strerror(errno));
	r = endpoint_parse(run->via, o->to, o->port, &run->to);
	if (r < 0)
		return client_fail(run, r, "--to %s: not an address or name", o->to);
	if (o->client_addr) {
		r = endpoint_parse(run->via, o->client_addr, 0, &run->from);
		if (r < 0)
			return client_fail(run, r, "--client-addr %s: not an address or name",
					   o->client_addr);
	}
	r = hub_init(&run->hub, run->via->control, 0, CONTROL_BUF);
	if (r == 0 && o->shape.mode != MODE_ISOLATE)
		r = crew_create(run->via, &o->shape, true, o->cpu, run->session, &run->crew);
	if (r < 0)
		return client_fail(run, r, "setting up: %s", strerror(-r));
	return 0;
}

void client_reserve(const struct options *o, const struct via *via,
		    uint16_t ret_port[PERF_THREADS_MAX], struct report *ret_report)
{
	struct client_run run = {
		.o = o, .via = via, .report = ret_report, .control = { .fd = -1 }
	};
	struct reply ready;
	int r;

	*ret_report = (struct report){ .shape = o->shape };
	r = client_prepare(&run);
	if (r == 0)
		r = client_join(&run);
	if (r == 0)
		r = client_hear(&run, BEGIN_NS, &ready);
	if (r == 0 && ready.port_nr != o->shape.flows + 1)
		(void)client_fail(&run, -EPROTO, "%s started other processes than it was asked for",
				  run.to.text);
	else if (r == 0)
		memcpy(ret_port, ready.port, sizeof(ready.port));
	/* The control flow stays open: its end is theirs. */
}

void client_measure(const struct options *o, const struct via *via,
		    const struct client_hooks *hooks, struct report *ret_report)
{
	struct client_run run = {
		.o = o, .via = via, .hooks = hooks, .report = ret_report, .control = { .fd = -1 }
	};
	int r;

	*ret_report = (struct report){ .shape = o->shape };
	snprintf(ret_report->via, sizeof(ret_report->via), "%s", via->name);
	r = client_prepare(&run);
	if (r == 0)
		r = client_join(&run);
	if (r == 0)
		r = client_start(&run);
	if (r == 0)
		(void)client_go(&run); /* the report says */
	crew_destroy(run.crew);
	if (run.control.fd >= 0)
		run.control.via->close(&run.control);
	hub_fini(&run.hub);
}
