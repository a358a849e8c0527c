/* SPDX-License-Identifier: MIT */
/*
 * check.c - what is checked besides the bytes that applications read: guards, places that may be
 * written, leaks; and how a failure is told.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define GUARD_BYTE 0xc5

void sim_fail(const struct sim *s, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "sim: seed %" PRIu64 ", at %" PRIu64 ".%09" PRIu64 " s: ", s->seed,
		s->now_ns / SECOND, s->now_ns % SECOND);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nsim: replay with: sim --seed %" PRIu64 " --verbose\n", s->seed);
	exit(1);
}

void sim_log(const struct sim *s, const char *format, ...)
{
	va_list args;

	if (!s->verbose)
		return;
	printf("%4" PRIu64 ".%09" PRIu64 " ", s->now_ns / SECOND, s->now_ns % SECOND);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

void sim_trace(struct sim *s, uint64_t a, uint64_t b)
{
	s->trace = mix64(s->trace ^ a) + mix64(b + s->now_ns);
}

void guarded_init(struct guarded *g, uint32_t bytes)
{
	uint8_t *block = malloc(bytes + 2 * GUARD);

	assert(block);
	memset(block, GUARD_BYTE, GUARD);
	memset(block + GUARD + bytes, GUARD_BYTE, GUARD);
	*g = (struct guarded){ .mem = { .base = block + GUARD, .bytes = bytes }, .block = block };
}

void guarded_check(const struct sim *s, const struct guarded *g, const char *what)
{
	for (int i = 0; i < GUARD; i++)
		if (g->block[i] != GUARD_BYTE ||
		    g->mem.base[g->mem.bytes + (uint32_t)i] != GUARD_BYTE)
			sim_fail(s, "%s: a byte outside was written", what);
}

void guarded_fini(struct sim *s, struct guarded *g, const char *what)
{
	if (!g->block)
		return;
	guarded_check(s, g, what);
	conn_settle(s, g);
	free(g->block);
	*g = (struct guarded){ 0 };
}

void side_check_unread(struct sim *s, uint32_t flow, uint32_t side, uint64_t from, uint64_t to)
{
	const struct side *sd = &s->flow[flow].side[side];
	const struct side *other = &s->flow[flow].side[!side];
	uint64_t base = stream_rx_base(sd->stream);

	while (from < to) {
		uint32_t at = (uint32_t)(from - base) & (sd->rx.mem.bytes - 1);
		uint64_t n = sd->rx.mem.bytes - at < to - from ? sd->rx.mem.bytes - at : to - from;
		int64_t bad = pattern_check(other->key, from, sd->rx.mem.base + at, n);

		if (bad >= 0)
			sim_fail(s, "flow %u side %u: byte at offset %" PRIu64
				 " is wrong (read %" PRIu64 ", contiguous %" PRIu64 ")", flow, side,
				 from + (uint64_t)bad, sd->read, sd->seen);
		from += n;
	}
}

/*
 * The transport wrote [at, at + bytes) of @sd's ring. Whatever of it the application may be reading
 * must still be what it was.
 */
static void check_ring_write(struct sim *s, uint32_t flow, uint32_t side, const uint8_t *at,
			     size_t bytes)
{
	struct side *sd = &s->flow[flow].side[side];
	uint64_t contiguous, lap, start, end;
	uint64_t place = (uint64_t)(at - sd->rx.mem.base);

	if (sd->closed || !sd->stream)
		return;
	contiguous = stream_rx_contiguous(sd->stream);
	/* The two laps of the ring that the unread bytes may lie in. */
	lap = sd->read - ((sd->read - stream_rx_base(sd->stream)) & (sd->rx.mem.bytes - 1));
	for (int i = 0; i < 2; i++, lap += sd->rx.mem.bytes) {
		start = lap + place > sd->read ? lap + place : sd->read;
		end = lap + place + bytes < contiguous ? lap + place + bytes : contiguous;
		if (start < end)
			side_check_unread(s, flow, side, start, end);
	}
}

static bool inside(const struct ring_mem *mem, const uint8_t *at, size_t bytes)
{
	return mem->base && at >= mem->base && bytes <= mem->bytes &&
	       (size_t)(at - mem->base) <= mem->bytes - bytes;
}

void placement_check(struct sim *s, const struct conn_end *end, const uint8_t *at, size_t bytes,
		     bool written)
{
	const struct node *n = &s->node[end->node];
	const struct ring_mem engine = { .base = n->mem,
					 .bytes = (uint32_t)engine_bytes(&s->plan.engine) };

	if (inside(&end->rx_buf.mem, at, bytes) || inside(&engine, at, bytes))
		return;
	for (uint32_t f = 0; f < s->flows; f++)
		for (uint32_t i = 0; i < 2; i++) {
			struct side *sd = &s->flow[f].side[i];

			/* Another lane's, too: the owner has said where. */
			if (s->node[sd->node].host != n->host || !sd->rx.block ||
			    !inside(&sd->rx.mem, at, bytes))
				continue;
			if (written)
				check_ring_write(s, f, i, at, bytes);
			return;
		}
	for (uint32_t z = 0; z < s->zombies; z++)
		if (s->node[s->zombie_node[z]].host == n->host &&
		    inside(&s->zombie[z].mem, at, bytes))
			return;
	sim_fail(s, "node %u receives to memory that is nobody's: %p, %zu bytes", end->node,
		 (const void *)at, bytes);
}

static void check_over(struct sim *s, uint32_t flow, uint32_t side)
{
	const struct side *sd = &s->flow[flow].side[side];
	struct stream_info info = { 0 };

	if (sd->gone)
		return;
	if (sd->stream)
		engine_stream_info(sd->stream, &info);
	sim_fail(s, "flow %u side %u is not over: why %x, %" PRIu64 " of %" PRIu64 " written, "
		 "%" PRIu64 " acknowledged, %" PRIu64 " read, %" PRIu64 " contiguous, shut %d, "
		 "eof %d, closed %d, connected %d", flow, side, s->flow[flow].why, sd->written,
		 sd->length, info.tx_acked, sd->read, info.rx_contiguous, sd->shut, sd->eof,
		 sd->closed, sd->connected);
}

void sim_check_end(struct sim *s)
{
	for (uint32_t f = 0; f < s->flows; f++)
		for (uint32_t i = 0; i < 2; i++)
			check_over(s, f, i ^ 1);
	for (uint32_t n = 0; n < s->nodes; n++) {
		uint64_t left = engine_counters(s->node[n].engine)->streams;

		if (left != 0)
			sim_fail(s, "node %u: %" PRIu64 " streams are left", n, left);
		for (uint32_t l = 0; l < s->plan.lanes; l++)
			if (engine_carry_given(s->node[n].engine, l) > 0)
				sim_fail(s, "node %u: lane %u has not answered", n, l);
	}
	if (s->zombies > 0)
		sim_fail(s, "%u rings are still lent to channels", s->zombies);
}
