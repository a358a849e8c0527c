/* SPDX-License-Identifier: MIT */
/*
 * view.c - what the text and the JSON views share: rates, names, which rows.
 */
#include "view.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "ncd/shm_abi.h"

double view_seconds(const struct view *v)
{
	double s;

	if (!v->before)
		return 0;
	s = (double)(v->now->now_ns - v->before->now_ns) / 1e9;
	return s > 0 ? s : 1e-9;
}

static uint64_t rate(const struct view *v, uint64_t before, uint64_t now)
{
	if (!v->before)
		return now;
	return now > before ? (uint64_t)((double)(now - before) / view_seconds(v) + 0.5) : 0;
}

uint64_t view_rate(const struct view *v, const counter64 *before, const counter64 *now)
{
	return rate(v, before ? counter(before) : 0, counter(now));
}

static uint64_t sum(const struct sample *s, size_t offset)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->head.worker_nr; i++) {
		const void *at = (const uint8_t *)&s->worker[i] + offset;

		n += counter(at);
	}
	return n;
}

uint64_t view_workers_sum(const struct view *v, size_t offset)
{
	return rate(v, v->before ? sum(v->before, offset) : 0, sum(v->now, offset));
}

static uint64_t copy_sum(const struct sample *s, size_t offset)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->head.copy_nr; i++) {
		const void *at = (const uint8_t *)&s->copy[i] + offset;

		n += counter(at);
	}
	return n;
}

uint64_t view_copy_sum(const struct view *v, size_t offset)
{
	return rate(v, v->before ? copy_sum(v->before, offset) : 0, copy_sum(v->now, offset));
}

static int by_place(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b; /* every row starts with its place */

	return (*x > *y) - (*x < *y);
}

const struct stats_channel *view_channel_before(const struct view *v, const struct channel_row *row)
{
	const struct channel_row *old = NULL;

	if (v->before && v->before->channels)
		old = bsearch(row, v->before->channel, v->before->channels, sizeof(*row), by_place);
	return old && old->entry.seq == row->entry.seq ? &old->entry : NULL;
}

const struct stats_socket *view_socket_before(const struct view *v, const struct socket_row *row)
{
	const struct socket_row *old = NULL;

	if (v->before && v->before->sockets)
		old = bsearch(row, v->before->socket, v->before->sockets, sizeof(*row), by_place);
	return old && old->entry.seq == row->entry.seq ? &old->entry : NULL;
}

bool view_wants_socket(const struct view *v, const struct stats_socket *s)
{
	return v->all || (s->state == STATS_S_LISTEN) == v->listening;
}

const char *view_socket_state(const struct stats_socket *s)
{
	switch ((enum stats_socket_state)s->state) {
	case STATS_S_LISTEN:
		return "LISTEN";
	case STATS_S_OPENING:
		return "OPENING";
	case STATS_S_ESTABLISHED:
		return "ESTAB";
	case STATS_S_FIN_WAIT:
		return "FIN-WAIT";
	case STATS_S_CLOSE_WAIT:
		return "CLOSE-WAIT";
	case STATS_S_CLOSING:
		return "CLOSING";
	case STATS_S_KERNEL:
		return "KERNEL";
	}
	return "?";
}

const char *view_class(uint8_t class_)
{
	return class_ == 1 ? "latency" : class_ == 2 ? "throughput" : "-";
}

const char *view_path(const struct stats_socket *s, const char *channel)
{
	return s->path == 1 ? channel : s->path == 2 ? "host" : s->path == 3 ? "kernel" : "-";
}

const char *view_why(const struct stats_socket *s)
{
	static const char *const text[LEFT_WHY_END] = {
		[LEFT_OTHER] = "ncd failed",
		[LEFT_NO_PEER] = "no peer has the address",
		[LEFT_PEER_DOWN] = "the peer does not answer",
		[LEFT_NO_LISTENER] = "nobody listens there through ncd",
		[LEFT_PORT] = "the port is excluded",
		[LEFT_NO_NCD] = "ncd did not run",
		[LEFT_REFUSED] = "ncd refused the program",
		[LEFT_NO_ROOM] = "a limit of ncd was reached",
		[LEFT_FAMILY] = "its kind of address",
		[LEFT_BY_CLIENT] = "the client came by kernel TCP",
		[LEFT_IN_USE] = "the port was in use at ncd",
		[LEFT_URING] = "the program uses sockets by io_uring",
	};

	if (s->path != 3)
		return "";
	if (s->state == STATS_S_LISTEN && s->why == LEFT_NO_PEER)
		return "not an address of this host in ncd.conf";
	return s->why < LEFT_WHY_END ? text[s->why] : "?";
}

const char *view_why_word(const struct stats_socket *s)
{
	static const char *const word[LEFT_WHY_END] = {
		[LEFT_OTHER] = "other",     [LEFT_NO_PEER] = "no_peer",
		[LEFT_PEER_DOWN] = "peer_down", [LEFT_NO_LISTENER] = "no_listener",
		[LEFT_PORT] = "port",       [LEFT_NO_NCD] = "no_ncd",
		[LEFT_REFUSED] = "refused", [LEFT_NO_ROOM] = "no_room",
		[LEFT_FAMILY] = "family",   [LEFT_BY_CLIENT] = "by_client",
		[LEFT_IN_USE] = "in_use",   [LEFT_URING] = "io_uring",
	};

	return s->why < LEFT_WHY_END ? word[s->why] : "other";
}

struct socket_count view_count(const struct view *v)
{
	struct socket_count n = { 0 };

	for (uint32_t i = 0; i < v->now->sockets; i++) {
		const struct stats_socket *s = &v->now->socket[i].entry;

		if (s->path == 3)
			n.left++;
		else if (s->state == STATS_S_LISTEN)
			n.listening++;
		else
			n.connected++;
	}
	return n;
}

const char *view_address(const uint8_t addr[16], uint16_t port, char buf[VIEW_ADDRESS_BYTES])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, any[16];
	bool v4 = memcmp(addr, mapped, sizeof(mapped)) == 0;
	char host[INET6_ADDRSTRLEN] = "*";

	if (memcmp(addr, any, 16) != 0 && !(v4 && memcmp(addr + 12, any, 4) == 0))
		(void)inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? addr + 12 : addr, host, sizeof(host));
	if (port == 0)
		(void)snprintf(buf, VIEW_ADDRESS_BYTES, "%s:*", host);
	else if (strchr(host, ':'))
		(void)snprintf(buf, VIEW_ADDRESS_BYTES, "[%s]:%u", host, port);
	else
		(void)snprintf(buf, VIEW_ADDRESS_BYTES, "%s:%u", host, port);
	return buf;
}

const char *view_health(enum health h)
{
	switch (h) {
	case HEALTH_RUNNING:
		return "running";
	case HEALTH_STOPPED:
		return "stopped";
	case HEALTH_HANGING:
		return "hanging";
	case HEALTH_DEAD:
		return "dead";
	}
	return "?";
}

int view_text(const struct view *v)
{
	if (v->kind == VIEW_SUMMARY) {
		view_summary(v);
		return 0;
	}
	return v->kind == VIEW_ERRORS ? view_errors(v) : view_table(v);
}
