/* SPDX-License-Identifier: MIT */
/*
 * tables.c - workers, copy workers, channels, sockets and clients, a line each.
 */
#include <arpa/inet.h>

#include "quantity.h"
#include "table.h"
#include "view.h"

static void set_count(struct table *t, uint32_t column, uint64_t n)
{
	char buf[QUANTITY_BYTES];

	table_set(t, column, quantity_count(n, buf));
}

static void set_bytes(struct table *t, uint32_t column, uint64_t n)
{
	char buf[QUANTITY_BYTES];

	table_set(t, column, quantity_bytes(n, buf));
}

static void set_ns(struct table *t, uint32_t column, uint64_t ns)
{
	char buf[QUANTITY_BYTES];

	table_set(t, column, ns ? quantity_ns(ns, buf) : "-");
}

static uint64_t age(const struct view *v, const counter64 *since)
{
	return v->now->now_ns > counter(since) ? v->now->now_ns - counter(since) : 0;
}

static int copy_workers(const struct view *v)
{
	static const char *const title[] = { "COPY",   "CPU",     "PIECES", "IN",   "OUT",
					     "FAULTS", "REFUSED", "SLEEPS", "BUSY", NULL };
	static const char *const title_rate[] = { "COPY",     "CPU",      "PIECES/s", "IN/s",
						  "OUT/s",    "FAULTS/s", "REFUSE/s", "SLEEP/s",
						  "BUSY%",    NULL };
	struct table t;

	table_start(&t, v->before ? title_rate : title);
	for (uint32_t i = 0; i < v->now->head.copy_nr; i++) {
		const struct stats_copy *c = &v->now->copy[i];
		const struct stats_copy *b = v->before ? &v->before->copy[i] : NULL;
		uint64_t busy = view_rate(v, b ? &b->busy_ns : NULL, &c->busy_ns);

		table_row(&t);
		table_format(&t, 0, "%u", i);
		table_format(&t, 1, "%u", c->cpu);
		set_count(&t, 2, view_rate(v, b ? &b->pieces : NULL, &c->pieces));
		set_bytes(&t, 3, view_rate(v, b ? &b->bytes_in : NULL, &c->bytes_in));
		set_bytes(&t, 4, view_rate(v, b ? &b->bytes_out : NULL, &c->bytes_out));
		set_count(&t, 5, view_rate(v, b ? &b->copy_faults : NULL, &c->copy_faults));
		set_count(&t, 6, view_rate(v, b ? &b->copy_refused : NULL, &c->copy_refused));
		set_count(&t, 7, view_rate(v, b ? &b->sleeps : NULL, &c->sleeps));
		if (v->before)
			table_format(&t, 8, "%.0f", (double)busy / 1e7);
		else
			set_ns(&t, 8, busy);
	}
	return table_print(&t, v->out);
}

static int workers(const struct view *v)
{
	static const char *const title[] = { "WORKER", "CPU",      "-BACKEND", "STREAMS",
					     "SENT",   "RECEIVED", "FRM-OUT",  "FRM-IN",
					     "CALLS",  "SLEEPS",   "SPUN",     "BUSY%",
					     NULL };
	static const char *const title_rate[] = { "WORKER",  "CPU",     "-BACKEND", "STREAMS",
						  "SENT/s",  "RECV/s",  "FRO/s",    "FRI/s",
						  "CALLS/s", "SLEEP/s", "SPIN%",    "BUSY%",
						  NULL };
	struct table t;
	int err;

	table_start(&t, v->before ? title_rate : title);
	for (uint32_t i = 0; i < v->now->head.worker_nr; i++) {
		const struct stats_worker *w = &v->now->worker[i];
		const struct stats_worker *b = v->before ? &v->before->worker[i] : NULL;
		uint64_t spun = view_rate(v, b ? &b->spin_ns : NULL, &w->spin_ns);

		table_row(&t);
		table_format(&t, 0, "%u", i);
		if (w->cpu == UINT32_MAX)
			table_set(&t, 1, "-"); /* not pinned */
		else
			table_format(&t, 1, "%u", w->cpu);
		table_set(&t, 2, w->backend);
		set_count(&t, 3, counter(&w->streams));
		set_bytes(&t, 4, view_rate(v, b ? &b->bytes_sent : NULL, &w->bytes_sent));
		set_bytes(&t, 5, view_rate(v, b ? &b->bytes_received : NULL, &w->bytes_received));
		set_count(&t, 6, view_rate(v, b ? &b->frames_sent : NULL, &w->frames_sent));
		set_count(&t, 7, view_rate(v, b ? &b->frames_received : NULL, &w->frames_received));
		set_count(&t, 8, view_rate(v, b ? &b->io_calls : NULL, &w->io_calls));
		set_count(&t, 9, view_rate(v, b ? &b->sleeps : NULL, &w->sleeps));
		if (v->before)
			table_format(&t, 10, "%.0f", (double)spun / 1e7);
		else
			set_ns(&t, 10, spun);
		table_format(&t, 11, "%.0f", (double)counter(&w->busy_permille) / 10);
	}
	err = table_print(&t, v->out);
	return err < 0 || v->now->head.copy_nr == 0 ? err : copy_workers(v);
}

static int channels(const struct view *v)
{
	static const char *const title[] = { "-PEER",  "-CLASS", "LANE", "-STATE",  "WORKER",
					     "QUEUED", "SENT",   "RECV", "CARRIED", "FRM-OUT",
					     "FRM-IN", "RTT",    "UP",   NULL };
	static const char *const title_rate[] = { "-PEER",  "-CLASS", "LANE",   "-STATE", "WORKER",
						  "QUEUED", "SENT/s", "RECV/s", "CAR/s",  "FRO/s",
						  "FRI/s",  "RTT",    "UP",     NULL };
	struct table t;

	table_start(&t, v->before ? title_rate : title);
	for (uint32_t i = 0; i < v->now->channels; i++) {
		const struct stats_channel *c = &v->now->channel[i].entry;
		const struct stats_channel *b = view_channel_before(v, &v->now->channel[i]);

		table_row(&t);
		table_set(&t, 0, c->peer);
		table_set(&t, 1, view_class(c->class_));
		table_format(&t, 2, "%u.%u", c->lane, c->index);
		table_set(&t, 3, c->state);
		table_format(&t, 4, "%u", c->worker);
		set_count(&t, 5, counter(&c->queued_streams));
		set_bytes(&t, 6, view_rate(v, b ? &b->bytes_sent : NULL, &c->bytes_sent));
		set_bytes(&t, 7, view_rate(v, b ? &b->bytes_received : NULL, &c->bytes_received));
		set_bytes(&t, 8, view_rate(v, b ? &b->carried_sent : NULL, &c->carried_sent) +
				 view_rate(v, b ? &b->carried_received : NULL,
					   &c->carried_received));
		set_count(&t, 9, view_rate(v, b ? &b->frames_sent : NULL, &c->frames_sent));
		set_count(&t, 10,
			  view_rate(v, b ? &b->frames_received : NULL, &c->frames_received));
		set_ns(&t, 11, counter(&c->rtt_ns));
		set_ns(&t, 12, age(v, &c->up_since_ns));
	}
	return table_print(&t, v->out);
}

/* How many there are to each peer, and how many there may be. */
static int channel_numbers(const struct view *v)
{
	static const char *const title[] = { "-PEER", "-CLASS",     "NOW", "DRAINING",
					     "LANES", "CONFIGURED", "MAX", NULL };
	struct channels_of of;
	struct table t;

	fputc('\n', v->out);
	table_start(&t, title);
	for (uint32_t at = 0; view_channels_of(v, &at, &of);) {
		table_row(&t);
		table_set(&t, 0, of.peer);
		table_set(&t, 1, view_class(of.class_));
		table_format(&t, 2, "%u", of.up);
		table_format(&t, 3, "%u", of.draining);
		table_format(&t, 4, "%u", of.lanes);
		table_format(&t, 5, "%u", of.configured);
		table_format(&t, 6, "%u", of.max);
	}
	return table_print(&t, v->out);
}

/* Of what kernel TCP carries only ss(8) knows them. */
static void set_queues(struct table *t, const struct stats_socket *s)
{
	if (s->path == 3) {
		table_set(t, 1, "-");
		table_set(t, 2, "-");
		return;
	}
	table_format(t, 1, "%lu", counter(&s->recv_q));
	table_format(t, 2, "%lu", counter(&s->send_q));
}

static int sockets(const struct view *v)
{
	static const char *const title[] = { "-State",     "Recv-Q", "Send-Q", "-Local:Port",
					     "-Peer:Port", "-Class", "-Path",  "W",
					     "PID",        "-Why",   NULL };
	static const char *const title_rate[] = { "-State",     "Recv-Q", "Send-Q", "-Local:Port",
						  "-Peer:Port", "-Class", "-Path",  "W",
						  "PID",        "Sent/s", "Recv/s", "-Why",
						  NULL };
	char addr[VIEW_ADDRESS_BYTES];
	struct table t;

	table_start(&t, v->before ? title_rate : title);
	for (uint32_t i = 0; i < v->now->sockets; i++) {
		const struct stats_socket *s = &v->now->socket[i].entry;
		const struct stats_socket *b = view_socket_before(v, &v->now->socket[i]);

		if (!view_wants_socket(v, s))
			continue;
		table_row(&t);
		table_set(&t, 0, view_socket_state(s));
		set_queues(&t, s);
		table_set(&t, 3, view_address(s->local_addr, s->local_port, addr));
		table_set(&t, 4, view_address(s->peer_addr, s->peer_port, addr));
		table_set(&t, 5, s->class_ == 1 ? "lat" : s->class_ == 2 ? "thr" : "-");
		table_set(&t, 6, view_path(s, "chan"));
		if (s->path == 3)
			table_set(&t, 7, "-");
		else if (s->state == STATS_S_LISTEN)
			table_set(&t, 7, "*"); /* every worker accepts */
		else
			table_format(&t, 7, "%u", s->worker);
		table_format(&t, 8, "%u", s->client_pid);
		if (v->before) {
			set_bytes(&t, 9, view_rate(v, b ? &b->bytes_sent : NULL, &s->bytes_sent));
			set_bytes(&t, 10,
				  view_rate(v, b ? &b->bytes_received : NULL, &s->bytes_received));
		}
		table_set(&t, v->before ? 11 : 9, view_why(s));
	}
	return table_print(&t, v->out);
}

static int clients(const struct view *v)
{
	static const char *const title[] = { "PID",      "UID",      "SOCKETS", "REGION",
					     "ATTACHED", "KERNEL",   "-PROGRAM", NULL };
	struct table t;

	table_start(&t, title);
	for (uint32_t i = 0; i < v->now->clients; i++) {
		const struct stats_client *c = &v->now->client[i].entry;

		table_row(&t);
		table_format(&t, 0, "%u", c->pid);
		table_format(&t, 1, "%u", c->uid);
		set_count(&t, 2, counter(&c->sockets));
		set_bytes(&t, 3, counter(&c->region_bytes));
		set_ns(&t, 4, age(v, &c->attached_ns));
		set_count(&t, 5, counter(&c->left));
		table_set(&t, 6, c->program);
	}
	return table_print(&t, v->out);
}

int view_table(const struct view *v)
{
	int r;

	switch (v->kind) {
	case VIEW_WORKERS:
		return workers(v);
	case VIEW_CHANNELS:
		r = channels(v);
		return r < 0 ? r : channel_numbers(v);
	case VIEW_SOCKETS:
		return sockets(v);
	case VIEW_CLIENTS:
		return clients(v);
	case VIEW_SUMMARY:
	case VIEW_ERRORS:
		break;
	}
	return 0;
}
