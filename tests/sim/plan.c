/* SPDX-License-Identifier: MIT */
/*
 * plan.c - what a seed decides once: hosts, channels, limits, the network and what breaks in it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

#define MOVE_SEEDS 100000 /* those before are older than moves, and stay what they were */

static void plan_engine(struct plan *p, struct rng *r)
{
	struct engine_config *e = &p->engine;

	e->streams = 1u << rng_range(r, 5, 9);
	e->channels = (HOSTS_MAX - 1) * 2 * CLASS_MAX + 2;
	e->listeners = 8;
	e->clients = CLIENTS;
	e->frame_bytes = (uint32_t)rng_log(r, 512, 512u << 10);
	e->policy = (enum sched_policy)rng_below(r, 3);
	e->ack_delay_ns = rng_chance(r, 300) ? 0 : rng_log(r, 1000, 5 * MS);
	e->unreachable_ns = rng_log(r, 200 * MS, 4 * SECOND);
	/* In every other run nothing may end only because it was given up. */
	e->orphan_ns = rng_chance(r, 500) ? 100000 * SECOND : rng_log(r, SECOND, 20 * SECOND);
	e->rebase = rng_chance(r, 500);
	e->port_low = 20000;
	e->port_high = 59999;
}

static void plan_network(struct plan *p, struct rng *r)
{
	bool storm = rng_chance(r, 80); /* everything in tiny pieces */
	uint64_t drain_ns;

	p->tiny_permille = storm ? 900 : rng_chance(r, 500) ? (uint32_t)rng_log(r, 1, 30) : 0;
	p->part_permille = storm ? 50 : (uint32_t)rng_below(r, 600);
	p->pipe_bytes = rng_log(r, 4u << 10, 256u << 10);
	p->bytes_per_s = rng_log(r, 2u << 20, 1u << 30);
	p->delay_ns = rng_log(r, 1000, 20 * MS);
	p->jitter_ns = rng_chance(r, 300) ? 0 : rng_log(r, 1, 2 * p->delay_ns);
	p->io_ns = rng_chance(r, 400) ? 0 : rng_log(r, 100, 200000);
	p->posted = rng_chance(r, 500);
	p->turn_ns = rng_log(r, 1, 50000);
	if (storm)
		p->length_max = rng_log(r, 16, 2000);
	/* A ping waits behind what is in the pipe, and must not die of it. */
	drain_ns = p->pipe_bytes * SECOND / p->bytes_per_s + p->delay_ns + p->jitter_ns;
	p->engine.ping_idle_ns = rng_log(r, 5 * MS, SECOND);
	p->engine.ping_dead_ns = 20 * drain_ns + rng_log(r, 20 * MS, 3 * SECOND);
}

/* Few streams, much data, slow channels that die late: payloads cross each other in the rings. */
static void plan_bulk(struct plan *p, struct rng *r)
{
	p->flows = (uint32_t)rng_range(r, 1, 4);
	p->length_max = rng_log(r, 500000, 2000000);
	p->ring_max = 1u << rng_range(r, 15, 18);
	p->bulk = true;
	p->think_max_ns = 2000;
	p->bad_plan_permille = 0;
	p->stop_permille = 700;
	p->latency = 1;
	p->throughput = (uint16_t)rng_range(r, 2, CLASS_MAX);
	p->engine.frame_bytes = (uint32_t)rng_log(r, 16u << 10, 256u << 10);
	p->tiny_permille = 0;
	p->bytes_per_s = rng_log(r, 4u << 20, 64u << 20);
	p->pipe_bytes = rng_log(r, 64u << 10, 512u << 10);
	p->busy_ns = rng_log(r, 100 * MS, SECOND);
	p->engine.ping_dead_ns = 3 * SECOND;
	p->fault_ns = rng_log(r, 2 * MS, 50 * MS);
	memset(p->fault_weight, 0, sizeof(p->fault_weight));
	p->fault_weight[0] = 1;
	p->fault_weight[6] = 2;
	p->fault_weight[7] = 8;
}

static void plan_faults(struct plan *p, struct rng *r)
{
	if (rng_chance(r, 150))
		return;
	p->fault_ns = rng_log(r, 5 * MS, SECOND);
	for (int i = 0; i < FAULT_KINDS; i++)
		p->fault_weight[i] = rng_chance(r, 500) ? (uint32_t)rng_log(r, 1, 16) : 0;
	p->fault_weight[0]++;
	/* Hosts that die too often let nothing else happen. */
	p->fault_weight[4] /= 4;
	p->fault_weight[5] /= 4;
}

/*
 * Whether payloads go by file; chosen by itself, so that older seeds keep what they chose. Then
 * readers are slower, so that more is unread when a late copy of it comes.
 */
static void plan_files(struct plan *p, struct rng r)
{
	if (rng_chance(&r, 500))
		return;
	p->engine.file_min = (uint32_t)rng_log(&r, 256, 32u << 10);
	if (p->bulk)
		p->think_max_ns = rng_log(&r, 2000, 5 * MS);
}

/* Whether channels come and go with the load; by itself, as above. */
static void plan_extra(struct plan *p, struct rng r)
{
	(void)rng_next(&r);
	if (rng_chance(&r, 400))
		return;
	p->extra = (uint16_t)rng_range(&r, 1, EXTRA_MAX);
	p->deny_permille = rng_chance(&r, 500) ? 0 : (uint32_t)rng_range(&r, 1, 500);
	p->engine.throughput = p->throughput;
	p->engine.throughput_max = p->throughput + p->extra;
	p->engine.channels += (HOSTS_MAX - 1) * EXTRA_MAX;
	p->engine.look_ns = rng_log(&r, 100000, 20 * MS);
	if (p->bulk || rng_chance(&r, 500))
		return;
	/* Enough, for long enough, that all channels are blocked. */
	p->bulk = true;
	p->flows = (uint32_t)rng_range(&r, 1, 6);
	p->length_max = rng_log(&r, 300000, 2000000);
	p->ring_max = 1u << rng_range(&r, 17, 19);
	p->think_max_ns = rng_log(&r, 2000, MS);
	p->engine.frame_bytes = (uint32_t)rng_log(&r, 2u << 10, 32u << 10);
	p->engine.look_ns = rng_log(&r, 100000, 2 * MS);
	p->bytes_per_s = rng_log(&r, 1u << 20, 16u << 20);
	p->pipe_bytes = rng_log(&r, 4u << 10, 32u << 10);
	p->engine.ping_dead_ns += 3 * SECOND;
	p->busy_ns = rng_log(&r, 100 * MS, SECOND);
	if (p->fault_ns > 0)
		p->fault_ns = rng_log(&r, 10 * MS, 200 * MS);
	if (p->tiny_permille > 30)
		p->tiny_permille = 30;
}

/* Whether lanes carry for each other; by itself, as above. */
static void plan_carry(struct plan *p, struct rng r)
{
	(void)rng_next(&r);
	(void)rng_next(&r);
	if (rng_chance(&r, 700))
		return;
	p->lanes = LANES_MAX;
	p->engine.carry = true;
	p->give_max = (uint32_t)rng_range(&r, 1, 4);
	p->carry_ns = rng_log(&r, 100, MS);
	p->engine.slow_ns = rng_chance(&r, 500) ? 0 : rng_log(&r, 1000, 2 * MS);
	p->engine.frame_bytes = (uint32_t)rng_log(&r, 512, 16u << 10);
	if (p->tiny_permille < 100 && p->length_max < 30000)
		p->length_max = 30000;
	if (p->ring_max < 1u << 15)
		p->ring_max = 1u << 15;
	if (p->bulk || p->tiny_permille > 30 || rng_chance(&r, 400))
		return;
	p->bulk = true;
	p->flows = (uint32_t)rng_range(&r, 1, 6);
	p->length_max = rng_log(&r, 300000, 2000000);
	p->ring_max = 1u << rng_range(&r, 16, 18);
	p->think_max_ns = rng_log(&r, 2000, MS);
	p->busy_ns = rng_log(&r, 100 * MS, SECOND);
	p->engine.ping_dead_ns += 3 * SECOND;
	if (p->fault_ns > 0)
		p->fault_ns = rng_log(&r, 2 * MS, 200 * MS);
}

void plan_make(struct plan *p, struct rng *r)
{
	*p = (struct plan){ 0 };
	p->hosts = (uint32_t)rng_range(r, 2, HOSTS_MAX);
	p->lanes = rng_chance(r, 200) ? 2 : 1;
	p->latency = (uint16_t)rng_range(r, 1, rng_chance(r, 500) ? 1 : CLASS_MAX);
	p->throughput = (uint16_t)rng_range(r, 1, CLASS_MAX);
	p->flows = (uint32_t)rng_log(r, 4, rng_chance(r, 100) ? 400 : 100);
	p->at_once = rng_chance(r, 300) ? 200 : (uint32_t)rng_log(r, 1, 100);
	p->busy_ns = rng_log(r, 50 * MS, 4 * SECOND);
	p->length_max = rng_log(r, 1000, 300000);
	if (p->flows > 100 && p->length_max > 30000)
		p->length_max = 30000;
	p->think_max_ns = rng_log(r, 2000, 50 * MS);
	p->ring_max = 1u << rng_range(r, 12, 17);
	p->self_permille = rng_chance(r, 300) ? 300 : 20;
	p->bad_plan_permille = rng_chance(r, 300) ? 0 : (uint32_t)rng_log(r, 5, 400);
	p->stop_permille = rng_chance(r, 500) ? 0 : 100;
	plan_engine(p, r);
	plan_network(p, r);
	plan_faults(p, r);
	if (rng_chance(r, 60))
		plan_bulk(p, r);
	plan_files(p, *r);
	plan_extra(p, *r);
	plan_carry(p, *r);
}

void plan_move(struct plan *p, uint64_t seed)
{
	struct rng r;

	rng_seed(&r, mix64(seed ^ 0x706c616e));
	if (seed < MOVE_SEEDS || rng_chance(&r, 600))
		return;
	p->lanes = LANES_MAX;
	p->move_ns = rng_log(&r, 50000, 20 * MS);
	p->move_step_ns = rng_chance(&r, 200) ? 1 : rng_log(&r, 1000, 5 * MS);
	p->move_refuse_permille = rng_chance(&r, 500) ? 0 : (uint32_t)rng_range(&r, 1, 500);
	if (!p->engine.carry && rng_chance(&r, 700))
		p->ring_max = 1u << rng_range(&r, 12, 14);
	if (p->bulk || p->tiny_permille > 30 || rng_chance(&r, 400))
		return;
	/* Streams that are over before they have moved tell little. */
	p->bulk = true;
	p->flows = (uint32_t)rng_range(&r, 2, 12);
	p->length_max = rng_log(&r, 200000, 1000000);
	p->think_max_ns = rng_log(&r, 2000, 5 * MS);
	p->busy_ns = rng_log(&r, 200 * MS, 2 * SECOND);
	p->engine.ping_dead_ns += 3 * SECOND;
	if (p->fault_ns > 0)
		p->fault_ns = rng_log(&r, 5 * MS, 300 * MS);
}

void plan_print(const struct plan *p)
{
	printf("hosts %u, lanes %u, channels %u + %u, flows %u (%u at once), to %" PRIu64 " bytes, "
	       "rings to %u, busy for %" PRIu64 " ms\n", p->hosts, p->lanes, p->latency,
	       p->throughput, p->flows, p->at_once, p->length_max, p->ring_max, p->busy_ns / MS);
	if (p->extra)
		printf("to %u throughput channels, looks each %" PRIu64 " us, %u of 1000 denied\n",
		       p->engine.throughput_max, p->engine.look_ns / 1000, p->deny_permille);
	if (p->give_max)
		printf("lanes carry for each other, %u at a time, messages take %" PRIu64 " us\n",
		       p->give_max, p->carry_ns / 1000);
	if (p->move_ns)
		printf("streams move each %" PRIu64 " us, a step takes %" PRIu64 " us, %u of 1000 "
		       "refused\n", p->move_ns / 1000, p->move_step_ns / 1000,
		       p->move_refuse_permille);
	if (p->engine.file_min)
		printf("payloads from %u bytes on go by file\n", p->engine.file_min);
	printf("frame_bytes %u, policy %d, ack delay %" PRIu64 " us, ping %" PRIu64 " / %" PRIu64
	       " ms, unreachable %" PRIu64 " ms, orphan %" PRIu64 " ms\n",
	       p->engine.frame_bytes, (int)p->engine.policy, p->engine.ack_delay_ns / 1000,
	       p->engine.ping_idle_ns / MS, p->engine.ping_dead_ns / MS,
	       p->engine.unreachable_ns / MS, p->engine.orphan_ns / MS);
	printf("pipe %zu bytes, %" PRIu64 " KiB/s, delay %" PRIu64 " + %" PRIu64 " us, io %" PRIu64
	       " us%s, tiny %u part %u, fault each %" PRIu64 " ms\n", p->pipe_bytes,
	       p->bytes_per_s >> 10, p->delay_ns / 1000, p->jitter_ns / 1000, p->io_ns / 1000,
	       p->posted ? " posted" : "", p->tiny_permille, p->part_permille, p->fault_ns / MS);
}
