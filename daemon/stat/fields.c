/* SPDX-License-Identifier: MIT */
/*
 * fields.c - which counters there are, and what those that count a failure mean.
 */
#include "fields.h"

#define COUNTER(type, member)      .name = #member, .offset = offsetof(struct type, member)
#define GAUGE(type, member)        COUNTER(type, member), .gauge = true
#define REASON(type, member, text) COUNTER(type, member), .reason = (text)

uint64_t field_value(const struct field *f, const void *entry)
{
	const void *at = (const uint8_t *)entry + f->offset;
	const counter64 *c = at;

	/* Relaxed: a private copy. */
	return atomic_load_explicit(c, memory_order_relaxed);
}

const struct field *head_fields(void)
{
	static const struct field list[] = {
		{ COUNTER(stats_head, attach_accepted) },
		{ REASON(stats_head, attach_refused,
			 "applications refused: access, limits or version") },
		{ REASON(stats_head, ctl_garbage, "control messages that broke the protocol") },
		{ COUNTER(stats_head, dials) },
		{ REASON(stats_head, dial_failures, "dials to peers that failed") },
		{ REASON(stats_head, hello_refused,
			 "channels of peers refused (the log says why)") },
		{ REASON(stats_head, hello_garbage,
			 "connections to the channel port that spoke no ncd") },
		{ REASON(stats_head, hello_strangers,
			 "connections from no peer's address, closed for their number") },
		{ COUNTER(stats_head, channels_grown) },
		{ COUNTER(stats_head, channels_shrunk) },
		{ COUNTER(stats_head, channels_refused) },
		{ COUNTER(stats_head, reloads) },
		{ REASON(stats_head, reload_failures,
			 "reloads refused: the new config has an error") },
		{ .name = NULL },
	};

	return list;
}

const struct field *worker_fields(void)
{
	static const struct field list[] = {
		{ COUNTER(stats_worker, turns) },
		{ COUNTER(stats_worker, busy_turns) },
		{ COUNTER(stats_worker, sleeps) },
		{ COUNTER(stats_worker, wakes_sent) },
		{ COUNTER(stats_worker, wakes_got) },
		{ COUNTER(stats_worker, spin_ns) },
		{ GAUGE(stats_worker, streams) },
		{ COUNTER(stats_worker, streams_opened) },
		{ COUNTER(stats_worker, streams_accepted) },
		{ REASON(stats_worker, streams_refused,
			 "streams refused: nobody listens, or no room") },
		{ REASON(stats_worker, streams_reset, "streams reset, by either side") },
		{ COUNTER(stats_worker, bytes_sent) },
		{ COUNTER(stats_worker, bytes_received) },
		{ COUNTER(stats_worker, frames_sent) },
		{ COUNTER(stats_worker, frames_received) },
		{ REASON(stats_worker, retransmits,
			 "streams that sent again because a channel died") },
		{ REASON(stats_worker, duplicates, "bytes received twice, and ignored") },
		{ REASON(stats_worker, frame_errors, "channels closed because a frame was wrong") },
		{ REASON(stats_worker, region_errors, "applications detached: their region lied") },
		{ REASON(stats_worker, no_memory, "streams refused: region_max is reached") },
		{ COUNTER(stats_worker, io_calls) },
		{ COUNTER(stats_worker, streams_came) },
		{ COUNTER(stats_worker, streams_went) },
		{ COUNTER(stats_worker, moves_refused) },
		{ GAUGE(stats_worker, busy_permille) },
		{ .name = NULL },
	};

	return list;
}

const struct field *copy_fields(void)
{
	static const struct field list[] = {
		{ COUNTER(stats_copy, pieces) },
		{ COUNTER(stats_copy, bytes_in) },
		{ COUNTER(stats_copy, bytes_out) },
		{ REASON(stats_copy, copy_faults,
			 "large calls with an address that is not the application's (EFAULT)") },
		{ REASON(stats_copy, copy_refused,
			 "pieces of applications that copy workers may not reach (any more)") },
		{ REASON(stats_copy, copy_errors, "applications detached: their pieces lied") },
		{ COUNTER(stats_copy, sleeps) },
		{ COUNTER(stats_copy, busy_ns) },
		{ .name = NULL },
	};

	return list;
}

const struct field *channel_fields(void)
{
	static const struct field list[] = {
		{ GAUGE(stats_channel, queued_streams) },
		{ COUNTER(stats_channel, bytes_sent) },
		{ COUNTER(stats_channel, bytes_received) },
		{ COUNTER(stats_channel, frames_sent) },
		{ COUNTER(stats_channel, frames_received) },
		{ COUNTER(stats_channel, carried_sent) },
		{ COUNTER(stats_channel, carried_received) },
		{ GAUGE(stats_channel, zerocopy_from) },
		{ GAUGE(stats_channel, rtt_ns) },
		{ .name = NULL },
	};

	return list;
}

const struct field *client_fields(void)
{
	static const struct field list[] = {
		{ GAUGE(stats_client, sockets) },
		{ GAUGE(stats_client, region_bytes) },
		{ .name = "kernel", .offset = offsetof(struct stats_client, left), .gauge = true },
		{ .name = NULL },
	};

	return list;
}

const struct field *socket_fields(void)
{
	static const struct field list[] = {
		{ GAUGE(stats_socket, recv_q) },
		{ GAUGE(stats_socket, send_q) },
		{ COUNTER(stats_socket, bytes_sent) },
		{ COUNTER(stats_socket, bytes_received) },
		{ .name = NULL },
	};

	return list;
}
