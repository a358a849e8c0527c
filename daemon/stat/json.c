/* SPDX-License-Identifier: MIT */
/*
 * json.c - the views as one JSON object a line. Schema: ncd-stat(1). Names are those of the counter
 * page; a name is never given another meaning, new ones may come.
 */
#include <inttypes.h>
#include <string.h>

#include "fields.h"
#include "view.h"

#define JSON_SCHEMA 1u

struct json {
	FILE *out;
	bool comma; /* something stands before, at this level */
};

static void put_string(struct json *j, const char *s)
{
	fputc('"', j->out);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(j->out, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			fprintf(j->out, "\\u%04x", c);
		else
			fputc(c, j->out);
	}
	fputc('"', j->out);
}

static void put_key(struct json *j, const char *key)
{
	if (j->comma)
		fputc(',', j->out);
	if (key) {
		put_string(j, key);
		fputc(':', j->out);
	}
	j->comma = true;
}

static void put_open(struct json *j, const char *key, char bracket)
{
	put_key(j, key);
	fputc(bracket, j->out);
	j->comma = false;
}

static void put_close(struct json *j, char bracket)
{
	fputc(bracket, j->out);
	j->comma = true;
}

static void put_u64(struct json *j, const char *key, uint64_t v)
{
	put_key(j, key);
	fprintf(j->out, "%" PRIu64, v);
}

static void put_text(struct json *j, const char *key, const char *s)
{
	put_key(j, key);
	put_string(j, s);
}

static const counter64 *field_at(const struct field *f, const void *entry)
{
	return entry ? (const void *)((const uint8_t *)entry + f->offset) : NULL;
}

/* All counters of @now, and in an interval view what they grew by, under "per_second". */
static void put_fields(struct json *j, const struct view *v, const struct field *list,
		       const void *before, const void *now)
{
	bool rates = false;

	for (const struct field *f = list; f->name; f++) {
		put_u64(j, f->name, field_value(f, now));
		rates |= !f->gauge;
	}
	if (!v->before || !rates)
		return;
	put_open(j, "per_second", '{');
	for (const struct field *f = list; f->name; f++)
		if (!f->gauge)
			put_u64(j, f->name, view_rate(v, field_at(f, before), field_at(f, now)));
	put_close(j, '}');
}

static void put_daemon(struct json *j, const struct view *v)
{
	const struct stats_head *h = &v->now->head;
	uint64_t beat = counter(&h->heartbeat_ns);

	put_open(j, "daemon", '{');
	put_text(j, "health", view_health(v->now->health));
	put_text(j, "state", h->state);
	put_text(j, "release", h->release);
	put_text(j, "host_addr", h->host_addr);
	put_u64(j, "pid", h->pid);
	put_u64(j, "incarnation", h->incarnation);
	put_u64(j, "start_realtime_ns", h->start_realtime_ns);
	put_u64(j, "heartbeat_age_ns", v->now->now_ns > beat ? v->now->now_ns - beat : 0);
	put_fields(j, v, head_fields(), v->before ? &v->before->head : NULL, h);
	put_close(j, '}');
}

static void put_workers(struct json *j, const struct view *v)
{
	put_open(j, "workers", '[');
	for (uint32_t i = 0; i < v->now->head.worker_nr; i++) {
		const struct stats_worker *w = &v->now->worker[i];

		put_open(j, NULL, '{');
		put_u64(j, "worker", i);
		put_key(j, "cpu");
		fprintf(j->out, "%d", (int)w->cpu); /* -1: not pinned */
		put_text(j, "backend", w->backend);
		put_fields(j, v, worker_fields(), v->before ? &v->before->worker[i] : NULL, w);
		put_close(j, '}');
	}
	put_close(j, ']');
	put_open(j, "copy_workers", '[');
	for (uint32_t i = 0; i < v->now->head.copy_nr; i++) {
		const struct stats_copy *c = &v->now->copy[i];

		put_open(j, NULL, '{');
		put_u64(j, "copy_worker", i);
		put_u64(j, "cpu", c->cpu);
		put_fields(j, v, copy_fields(), v->before ? &v->before->copy[i] : NULL, c);
		put_close(j, '}');
	}
	put_close(j, ']');
}

static void put_channels(struct json *j, const struct view *v)
{
	put_open(j, "channels", '[');
	for (uint32_t i = 0; i < v->now->channels; i++) {
		const struct stats_channel *c = &v->now->channel[i].entry;
		uint64_t up = counter(&c->up_since_ns);

		put_open(j, NULL, '{');
		put_text(j, "peer", c->peer);
		put_text(j, "peer_addr", c->peer_addr);
		put_text(j, "class", view_class(c->class_));
		put_u64(j, "lane", c->lane);
		put_u64(j, "index", c->index);
		put_u64(j, "worker", c->worker);
		put_text(j, "state", c->state);
		put_key(j, "dialled");
		fputs(c->dialled ? "true" : "false", j->out);
		put_u64(j, "up_ns", v->now->now_ns > up ? v->now->now_ns - up : 0);
		put_fields(j, v, channel_fields(), view_channel_before(v, &v->now->channel[i]), c);
		put_close(j, '}');
	}
	put_close(j, ']');
}

/* How many there are to each peer, and how many there may be. */
static void put_channel_numbers(struct json *j, const struct view *v)
{
	struct channels_of of;

	put_open(j, "peers", '[');
	for (uint32_t at = 0; view_channels_of(v, &at, &of);) {
		put_open(j, NULL, '{');
		put_text(j, "peer", of.peer);
		put_text(j, "class", view_class(of.class_));
		put_u64(j, "lanes", of.lanes);
		put_u64(j, "now", of.up);
		put_u64(j, "draining", of.draining);
		put_u64(j, "configured", of.configured);
		put_u64(j, "max", of.max);
		put_close(j, '}');
	}
	put_close(j, ']');
}

static void put_channels_all(struct json *j, const struct view *v)
{
	put_channels(j, v);
	put_channel_numbers(j, v);
}

static void put_address(struct json *j, const char *addr_key, const char *port_key,
			const uint8_t addr[16], uint16_t port)
{
	char buf[VIEW_ADDRESS_BYTES];

	view_address(addr, 0, buf);
	buf[strlen(buf) - 2] = '\0'; /* without ":*" */
	put_text(j, addr_key, buf);
	put_u64(j, port_key, port);
}

static void put_sockets(struct json *j, const struct view *v)
{
	put_open(j, "sockets", '[');
	for (uint32_t i = 0; i < v->now->sockets; i++) {
		const struct stats_socket *s = &v->now->socket[i].entry;

		if (!view_wants_socket(v, s))
			continue;
		put_open(j, NULL, '{');
		put_text(j, "state", view_socket_state(s));
		put_address(j, "local_addr", "local_port", s->local_addr, s->local_port);
		put_address(j, "peer_addr", "peer_port", s->peer_addr, s->peer_port);
		put_text(j, "class", view_class(s->class_));
		put_text(j, "path", view_path(s, "channel"));
		if (s->path == 3) {
			put_text(j, "why", view_why_word(s));
			put_u64(j, "pid", s->client_pid);
			put_close(j, '}');
			continue;
		}
		put_u64(j, "worker", s->worker);
		put_u64(j, "pid", s->client_pid);
		put_fields(j, v, socket_fields(), view_socket_before(v, &v->now->socket[i]), s);
		put_close(j, '}');
	}
	put_close(j, ']');
}

static void put_clients(struct json *j, const struct view *v)
{
	put_open(j, "clients", '[');
	for (uint32_t i = 0; i < v->now->clients; i++) {
		const struct stats_client *c = &v->now->client[i].entry;
		uint64_t since = counter(&c->attached_ns);

		put_open(j, NULL, '{');
		put_u64(j, "pid", c->pid);
		put_u64(j, "uid", c->uid);
		put_text(j, "program", c->program);
		put_u64(j, "attached_ns", v->now->now_ns > since ? v->now->now_ns - since : 0);
		put_fields(j, v, client_fields(), NULL, c);
		put_close(j, '}');
	}
	put_close(j, ']');
}

static void put_errors(struct json *j, const struct view *v)
{
	const struct view totals = { .now = v->now };

	put_open(j, "errors", '{');
	for (const struct field *f = head_fields(); f->name; f++)
		if (f->reason && field_value(f, &v->now->head))
			put_u64(j, f->name, field_value(f, &v->now->head));
	for (const struct field *f = worker_fields(); f->name; f++)
		if (f->reason && view_workers_sum(&totals, f->offset))
			put_u64(j, f->name, view_workers_sum(&totals, f->offset));
	for (const struct field *f = copy_fields(); f->name; f++)
		if (f->reason && view_copy_sum(&totals, f->offset))
			put_u64(j, f->name, view_copy_sum(&totals, f->offset));
	put_close(j, '}');
}

static void put_summary(struct json *j, const struct view *v)
{
	struct socket_count n = view_count(v);

	put_open(j, "summary", '{');
	put_u64(j, "workers", v->now->head.worker_nr);
	put_u64(j, "channels", v->now->channels);
	put_u64(j, "clients", v->now->clients);
	put_u64(j, "listening", n.listening);
	put_u64(j, "connected", n.connected);
	put_u64(j, "kernel", n.left);
	for (const struct field *f = worker_fields(); f->name; f++) {
		const struct view totals = { .now = v->now };

		put_u64(j, f->name, view_workers_sum(&totals, f->offset));
	}
	if (v->before) {
		put_open(j, "per_second", '{');
		for (const struct field *f = worker_fields(); f->name; f++)
			if (!f->gauge)
				put_u64(j, f->name, view_workers_sum(v, f->offset));
		put_close(j, '}');
	}
	put_close(j, '}');
}

int view_json(const struct view *v)
{
	static void (*const part[])(struct json *, const struct view *) = {
		[VIEW_SUMMARY] = put_summary,       [VIEW_WORKERS] = put_workers,
		[VIEW_CHANNELS] = put_channels_all, [VIEW_SOCKETS] = put_sockets,
		[VIEW_CLIENTS] = put_clients,       [VIEW_ERRORS] = put_errors,
	};
	struct json j = { .out = v->out };

	put_open(&j, NULL, '{');
	put_u64(&j, "schema", JSON_SCHEMA);
	put_u64(&j, "monotonic_ns", v->now->now_ns);
	if (v->before)
		put_u64(&j, "interval_ns", v->now->now_ns - v->before->now_ns);
	put_daemon(&j, v);
	part[v->kind](&j, v);
	put_close(&j, '}');
	fputc('\n', v->out);
	return 0;
}
