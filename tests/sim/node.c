/* SPDX-License-Identifier: MIT */
/*
 * node.c - one lane of one host: what a worker does with its engine, in virtual time.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define IDLE_TICKS_MAX 300 /* in a row, without anything happening: a busy loop */
#define STAGING_BYTES  (16u << 10)

uint32_t sim_at(struct sim *s, uint64_t after_ns, enum event_kind kind, uint32_t a, uint32_t b,
		uint32_t generation)
{
	struct event ev = { .at_ns = s->now_ns + after_ns, .kind = kind, .a = a, .b = b,
			    .generation = generation };

	timeline_add(&s->timeline, &ev);
	return generation;
}

uint64_t node_now(struct sim *s)
{
	if (s->now_ns < CLOCK_LAG_NS)
		return s->now_ns;
	return rng_chance(&s->rng, 30) ? s->now_ns - rng_below(&s->rng, CLOCK_LAG_NS) : s->now_ns;
}

uint32_t peer_index(uint32_t host, uint32_t other)
{
	return other == host ? 0 : other < host ? other + 1 : other;
}

uint32_t peer_host(uint32_t host, uint32_t peer)
{
	return peer == 0 ? host : peer <= host ? peer - 1 : peer;
}

struct address host_address(uint32_t host, bool v6)
{
	struct address a = {
		.byte = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(host + 1) }
	};
	struct address b = { .byte = { [0] = 0xfd, [15] = (uint8_t)(host + 1) } };

	return v6 ? b : a;
}

static void start_loop_channels(struct sim *s, struct node *n, uint32_t node)
{
	for (uint16_t i = 0; i < 2; i++) {
		struct conn_end *end = &n->loop[i];

		*end = (struct conn_end){ .node = node, .up = true };
		guarded_init(&end->rx_buf, STAGING_BYTES);
		guarded_init(&end->tx_buf, STAGING_BYTES);
		end->channel =
			engine_channel_up(n->engine, 0, i == 0 ? CLASS_LATENCY : CLASS_THROUGHPUT,
					  0, 0, &end->rx_buf.mem, &end->tx_buf.mem, end, s->now_ns);
		if (!end->channel)
			sim_fail(s, "node %u: no place for a loop channel", node);
	}
}

void node_start(struct sim *s, uint32_t node)
{
	static const struct engine_ops ops = { .incoming = flow_incoming,
					       .resume = moves_resume,
					       .port_left = moves_port_left };
	struct node *n = &s->node[node];
	struct engine_config cfg = s->plan.engine;
	size_t bytes;

	cfg.worker = n->lane;
	cfg.workers = s->plan.lanes;
	/* Each lane has ports of its own, as in the daemon. */
	if (s->plan.move_ns > 0) {
		cfg.port_low += (uint16_t)(20000 * n->lane);
		cfg.port_high = (uint16_t)(cfg.port_low + 19999);
	}
	cfg.seed = mix64(s->seed ^ (uint64_t)node << 32 ^ s->host[n->host].incarnation);
	bytes = (engine_bytes(&cfg) + 63) & ~(size_t)63;
	n->mem = aligned_alloc(64, bytes);
	assert(n->mem);
	memset(n->mem, 0, bytes);
	n->engine = engine_create(n->mem, &cfg, &ops, n);
	n->turn_queued = false;
	n->ticks = 0;
	n->idle_ticks = 0;
	for (uint32_t host = 0; host < s->plan.hosts; host++) {
		struct address addr[2] = { host_address(host, false), host_address(host, true) };
		uint32_t peer = peer_index(n->host, host);

		engine_peer_set(n->engine, peer, addr, 2);
		n->peer[peer] = (struct peer_view){ .none_since_ns = s->now_ns };
	}
	start_loop_channels(s, n, node);
	for (uint16_t port = 100; port < 103; port++) {
		int r = engine_listen(n->engine, &(struct address){ 0 }, port,
				      (void *)(uintptr_t)port);

		if (r < 0)
			sim_fail(s, "node %u: listen on port %u: %d", node, port, r);
	}
	node_touch(s, node);
}

void node_stop(struct sim *s, uint32_t node)
{
	struct node *n = &s->node[node];

	if (!n->engine)
		return;
	for (int i = 0; i < 2; i++) {
		guarded_fini(s, &n->loop[i].rx_buf, "loop channel's staging memory");
		guarded_fini(s, &n->loop[i].tx_buf, "loop channel's header memory");
	}
	lanes_clear(s, node);
	free(n->mem);
	n->mem = NULL;
	n->engine = NULL;
}

void node_touch(struct sim *s, uint32_t node)
{
	struct node *n = &s->node[node];

	n->idle_ticks = 0;
	if (!n->engine)
		return;
	if (engine_counters(n->engine)->streams >= s->plan.engine.streams)
		n->full_ns = s->now_ns;
	if (n->turn_queued)
		return;
	n->turn_queued = true;
	sim_at(s, rng_below(&s->rng, s->plan.turn_ns), EV_TURN, node, 0,
	       s->host[n->host].incarnation);
}

/* Channels that are blocked, or are to go, are looked at again and again, at that pace. */
uint64_t node_idle_max(const struct sim *s, const struct node *n)
{
	uint64_t looks = 0;

	if (s->plan.extra > 0 && n->idle_ticks > 0)
		looks = (s->now_ns - n->idle_since_ns) / s->plan.engine.look_ns + 1;
	return IDLE_TICKS_MAX + (s->plan.hosts - 1) * looks;
}

static void loop_channels(struct sim *s, struct node *n, uint32_t node)
{
	for (int i = 0; i < 2; i++) {
		struct channel *c = n->loop[i].channel;

		if (!engine_channel_wants_tx(c))
			continue;
		if (engine_channel_loop(n->engine, c, (uint32_t)rng_range(&s->rng, 1, 8),
					node_now(s)) == 0)
			n->idle_ticks++;
		else
			n->idle_ticks = 0;
		if (n->idle_ticks > node_idle_max(s, n))
			sim_fail(s, "node %u: a loop channel wants to send and does not", node);
		if (!n->turn_queued) {
			n->turn_queued = true;
			sim_at(s, rng_below(&s->rng, s->plan.turn_ns), EV_TURN, node, 0,
			       s->host[n->host].incarnation);
		}
	}
}

static void queue_tick(struct sim *s, struct node *n, uint32_t node)
{
	uint64_t at = engine_deadline(n->engine);

	if (at == UINT64_MAX)
		return;
	if (at < s->now_ns)
		at = s->now_ns;
	if (n->ticks > 0 && n->tick_ns[n->ticks - 1] <= at)
		return;
	assert(n->ticks < TICKS_MAX);
	n->tick_ns[n->ticks++] = at;
	sim_at(s, at - s->now_ns, EV_TICK, node, 0, s->host[n->host].incarnation);
}

void node_turn(struct sim *s, uint32_t node)
{
	struct node *n = &s->node[node];
	struct stream *st;
	uint32_t events;

	n->turn_queued = false;
	while ((st = engine_next_event(n->engine, &events)) != NULL) {
		uint64_t user = (uint64_t)(uintptr_t)engine_stream_user(st);

		if (user == 0)
			sim_fail(s, "node %u: event %x of a stream that nobody has", node, events);
		n->idle_ticks = 0;
		sim_trace(s, user, events);
		if (!moves_event(s, st, user, events))
			side_event(s, (uint32_t)(user - 1) / 2, (uint32_t)(user - 1) % 2, events);
	}
	for (uint32_t c = 0; c < s->conn_high && s->plan.extra > 0; c++)
		for (uint32_t e = 0; e < 2; e++)
			if (s->conn[c].used && s->conn[c].end[e].node == node)
				end_tx_stuck(s, c, e);
	for (uint32_t c = 0; c < s->conn_high; c++)
		for (uint32_t e = 0; e < 2; e++)
			if (s->conn[c].used && s->conn[c].end[e].node == node)
				end_tx_start(s, c, e);
	loop_channels(s, n, node);
	lanes_give(s, node);
	lanes_post(s, node);
	for (uint32_t p = 1; p < s->plan.hosts; p++)
		if (engine_peer_left(n->engine, p)) {
			sim_log(s, "node %u: host %u leaves", node, peer_host(n->host, p));
			n->peer[p].left = true;
		}
	for (uint32_t p = 1; p < s->plan.hosts; p++)
		if (engine_peer_grows(n->engine, p))
			place_grow(s, node, p);
	queue_tick(s, n, node);
}

/* A channel whose peer has been silent: that must be true. */
static void give_up(struct sim *s, uint32_t node, struct channel *dead)
{
	struct conn_end *end = engine_channel_user(dead);

	if (end == &s->node[node].loop[0] || end == &s->node[node].loop[1])
		sim_fail(s, "node %u gives its own loop channel up", node);
	if (s->now_ns - end->heard_ns + CLOCK_LAG_NS < s->plan.engine.ping_dead_ns &&
	    !engine_channel_draining(dead))
		sim_fail(s, "node %u gives a channel up that spoke %lu ns ago", node,
			 (unsigned long)(s->now_ns - end->heard_ns));
	for (uint32_t c = 0; c < s->conn_high; c++)
		for (uint32_t e = 0; e < 2; e++)
			if (&s->conn[c].end[e] == end) {
				sim_log(s, "conn %u end %u: given up", c, e);
				end_down(s, c, e);
				return;
			}
	sim_fail(s, "node %u gives up a channel that is not there", node);
}

void node_tick(struct sim *s, uint32_t node)
{
	struct node *n = &s->node[node];
	struct channel *dead;
	int rounds = 0;

	n->ticks--;
	if (engine_deadline(n->engine) > s->now_ns) {
		queue_tick(s, n, node);
		return;
	}
	if (n->idle_ticks++ == 0)
		n->idle_since_ns = s->now_ns;
	if (n->idle_ticks > node_idle_max(s, n))
		sim_fail(s, "node %u: %d ticks and nothing happened", node, IDLE_TICKS_MAX);
	do {
		engine_tick(n->engine, s->now_ns, &dead);
		if (dead)
			give_up(s, node, dead);
		if (++rounds > IDLE_TICKS_MAX)
			sim_fail(s, "node %u: engine_tick never ends", node);
	} while (dead);
	if (!n->turn_queued) {
		n->turn_queued = true;
		sim_at(s, 0, EV_TURN, node, 0, s->host[n->host].incarnation);
	}
}
