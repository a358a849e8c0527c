/* SPDX-License-Identifier: MIT */
/*
 * summary.c - the daemon at a glance, and the list of what went wrong.
 */
#include <string.h>

#include "fields.h"
#include "quantity.h"
#include "table.h"
#include "view.h"

static void daemon_line(const struct view *v)
{
	const struct stats_head *h = &v->now->head;
	uint64_t beat = counter(&h->heartbeat_ns);
	char age[QUANTITY_BYTES];

	quantity_ns(v->now->now_ns > beat ? v->now->now_ns - beat : 0, age);
	fprintf(v->out, "ncd %s on %s, pid %u: ", h->release, h->host_addr, h->pid);
	switch (v->now->health) {
	case HEALTH_RUNNING:
		fprintf(v->out, "%s\n", h->state);
		break;
	case HEALTH_STOPPED:
		fprintf(v->out, "stopped %s ago; its last numbers:\n", age);
		break;
	case HEALTH_HANGING:
		fprintf(v->out, "HANGING: its control thread last moved %s ago\n", age);
		break;
	case HEALTH_DEAD:
		fprintf(v->out, "DEAD: the process is gone, last seen %s ago; its last numbers:\n",
			age);
		break;
	}
}

static void workers_line(const struct view *v)
{
	uint64_t busy = view_workers_sum(v, offsetof(struct stats_worker, busy_turns));
	uint64_t sleeps = view_workers_sum(v, offsetof(struct stats_worker, sleeps));
	char a[QUANTITY_BYTES], b[QUANTITY_BYTES];

	fprintf(v->out, "  workers   %u (%s), %s busy turns, %s sleeps%s\n", v->now->head.worker_nr,
		v->now->head.worker_nr ? v->now->worker[0].backend : "none",
		quantity_count(busy, a), quantity_count(sleeps, b), v->before ? " a second" : "");
}

static void copy_line(const struct view *v)
{
	uint64_t in = view_copy_sum(v, offsetof(struct stats_copy, bytes_in));
	uint64_t out = view_copy_sum(v, offsetof(struct stats_copy, bytes_out));
	char a[QUANTITY_BYTES], b[QUANTITY_BYTES];

	fprintf(v->out, "  copying   %u worker%s, %sB in, %sB out%s\n", v->now->head.copy_nr,
		v->now->head.copy_nr == 1 ? "" : "s", quantity_bytes(in, a), quantity_bytes(out, b),
		v->before ? " a second" : "");
}

static void channels_line(const struct view *v)
{
	uint32_t latency = 0, throughput = 0, peers = 0;

	for (uint32_t i = 0; i < v->now->channels; i++) {
		const struct stats_channel *c = &v->now->channel[i].entry;
		uint32_t j = 0;

		*(c->class_ == 1 ? &latency : &throughput) += 1;
		while (j < i && strcmp(v->now->channel[j].entry.peer, c->peer) != 0)
			j++;
		peers += j == i;
	}
	fprintf(v->out, "  channels  %u to %u peer%s: %u latency, %u throughput\n",
		v->now->channels, peers, peers == 1 ? "" : "s", latency, throughput);
}

static void sockets_line(const struct view *v)
{
	uint64_t opened = view_workers_sum(v, offsetof(struct stats_worker, streams_opened));
	uint64_t accepted = view_workers_sum(v, offsetof(struct stats_worker, streams_accepted));
	char a[QUANTITY_BYTES], b[QUANTITY_BYTES];
	struct socket_count n = view_count(v);

	fprintf(v->out, "  clients   %u\n", v->now->clients);
	fprintf(v->out, "  sockets   %u listening, %u connected; %s opened, %s accepted%s\n",
		n.listening, n.connected, quantity_count(opened, a), quantity_count(accepted, b),
		v->before ? " a second" : "");
	if (n.left)
		fprintf(v->out, "  kernel    %u sockets of programs left to kernel TCP\n", n.left);
}

static void bytes_line(const struct view *v, const char *what, size_t bytes, size_t frames)
{
	char a[QUANTITY_BYTES], b[QUANTITY_BYTES];

	fprintf(v->out, "  %-9s %sB in %s frames%s\n", what,
		quantity_bytes(view_workers_sum(v, bytes), a),
		quantity_count(view_workers_sum(v, frames), b), v->before ? " a second" : "");
}

/* How many of the counters that mean trouble are not zero. */
static uint32_t reasons(const struct view *v)
{
	const struct view totals = { .now = v->now };
	uint32_t n = 0;

	for (const struct field *f = head_fields(); f->name; f++)
		n += f->reason && field_value(f, &v->now->head) > 0;
	for (const struct field *f = worker_fields(); f->name; f++)
		n += f->reason && view_workers_sum(&totals, f->offset) > 0;
	for (const struct field *f = copy_fields(); f->name; f++)
		n += f->reason && view_copy_sum(&totals, f->offset) > 0;
	return n;
}

void view_summary(const struct view *v)
{
	const struct stats_head *h = &v->now->head;
	uint32_t n = reasons(v);

	daemon_line(v);
	workers_line(v);
	if (h->copy_nr > 0)
		copy_line(v);
	channels_line(v);
	sockets_line(v);
	bytes_line(v, "sent", offsetof(struct stats_worker, bytes_sent),
		   offsetof(struct stats_worker, frames_sent));
	bytes_line(v, "received", offsetof(struct stats_worker, bytes_received),
		   offsetof(struct stats_worker, frames_received));
	if (counter(&h->reloads))
		fprintf(v->out, "  reloads   %lu\n", counter(&h->reloads));
	if (n)
		fprintf(v->out, "  errors    %u kind%s counted: ncd-stat errors\n", n,
			n == 1 ? "" : "s");
	else
		fprintf(v->out, "  errors    none\n");
}

static void error_row(struct table *t, const struct field *f, uint64_t n)
{
	if (n == 0)
		return;
	table_row(t);
	table_format(t, 0, "%lu", n);
	table_set(t, 1, f->name);
	table_set(t, 2, f->reason);
}

int view_errors(const struct view *v)
{
	static const char *const title[] = { "COUNT", "-NAME", "-MEANS", NULL };
	static const char *const title_rate[] = { "PER-S", "-NAME", "-MEANS", NULL };
	struct table t;

	table_start(&t, v->before ? title_rate : title);
	for (const struct field *f = head_fields(); f->name; f++) {
		const void *now = (const uint8_t *)&v->now->head + f->offset;
		const void *before =
			v->before ? (const uint8_t *)&v->before->head + f->offset : NULL;

		if (f->reason)
			error_row(&t, f, view_rate(v, before, now));
	}
	for (const struct field *f = worker_fields(); f->name; f++)
		if (f->reason)
			error_row(&t, f, view_workers_sum(v, f->offset));
	for (const struct field *f = copy_fields(); f->name; f++)
		if (f->reason)
			error_row(&t, f, view_copy_sum(v, f->offset));
	if (t.rows == 0 && t.err == 0)
		fprintf(v->out, "nothing has been refused, dropped or broken\n");
	else
		return table_print(&t, v->out);
	return 0;
}
