/* SPDX-License-Identifier: MIT */
/*
 * fault.c - what breaks: channels, networks, hosts; and how all of it is made whole in the end.
 */
#include <inttypes.h>
#include <string.h>

#include "sim.h"

static struct conn *any_conn(struct sim *s)
{
	uint32_t at = (uint32_t)rng_below(&s->rng, s->conn_high);

	for (uint32_t i = 0; i < s->conn_high; i++, at = (at + 1) % s->conn_high)
		if (s->conn[at].used && !s->conn[at].cut)
			return &s->conn[at];
	return NULL;
}

static void cut_one(struct sim *s, uint64_t notice_ns)
{
	struct conn *c = any_conn(s);

	if (!c)
		return;
	sim_log(s, "FAULT conn %u is cut%s", (uint32_t)(c - s->conn),
		notice_ns ? "" : ", silently");
	conn_cut(s, (uint32_t)(c - s->conn), notice_ns);
}

static void cut_late(struct sim *s)
{
	struct conn *c = any_conn(s);
	uint64_t late_ns = rng_log(&s->rng, 100000, 300 * MS);

	if (!c)
		return;
	sim_log(s, "FAULT conn %u is cut, and still delivers for %" PRIu64 " ns",
		(uint32_t)(c - s->conn), late_ns);
	conn_cut_late(s, (uint32_t)(c - s->conn), late_ns);
}

static bool between(const struct sim *s, const struct conn *c, uint32_t a, uint32_t b)
{
	uint32_t x = s->node[c->end[0].node].host, y = s->node[c->end[1].node].host;

	return (x == a && y == b) || (x == b && y == a);
}

/* All channels of two hosts; with @for_ns no new ones for so long. */
static void cut_all(struct sim *s, uint64_t for_ns)
{
	uint32_t a = (uint32_t)rng_below(&s->rng, s->plan.hosts);
	uint32_t b = (a + 1) % s->plan.hosts;

	if (a == b)
		return;
	sim_log(s, "FAULT all between hosts %u and %u for %" PRIu64 " ns", a, b, for_ns);
	for (uint32_t i = 0; i < s->conn_high; i++)
		if (s->conn[i].used && between(s, &s->conn[i], a, b))
			conn_cut(s, i, 20 * MS);
	if (for_ns > 0 && !s->severed[a][b]) {
		s->severed[a][b] = s->severed[b][a] = true;
		s->totals.outages++;
		sim_at(s, for_ns, EV_HEAL, a, b, 0);
	}
}

static void host_stop(struct sim *s, uint32_t host)
{
	sim_log(s, "FAULT host %u dies", host);
	s->totals.restarts++;
	s->host[host].up = false;
	flow_host_died(s, host);
	moves_host_died(s, host);
	for (uint32_t i = 0; i < s->conn_high; i++) {
		struct conn *c = &s->conn[i];

		for (uint32_t e = 0; e < 2; e++)
			if (c->used && s->node[c->end[e].node].host == host) {
				conn_cut(s, i, 50 * MS);
				end_down(s, i, e);
			}
	}
	for (uint32_t n = 0; n < s->nodes; n++)
		if (s->node[n].host == host)
			node_stop(s, n);
}

static void host_die(struct sim *s)
{
	uint32_t host = (uint32_t)rng_below(&s->rng, s->plan.hosts);

	if (!s->host[host].up)
		return;
	host_stop(s, host);
	sim_at(s, rng_log(&s->rng, MS, 2 * SECOND), EV_HOST, host, 0, 0);
}

/* An orderly end: no new streams, then, when most have finished, the process is gone. */
static void host_leave(struct sim *s)
{
	uint32_t host = (uint32_t)rng_below(&s->rng, s->plan.hosts);

	if (!s->host[host].up || s->host[host].leaving)
		return;
	sim_log(s, "FAULT host %u leaves", host);
	s->host[host].leaving = true;
	for (uint32_t i = 0; i < s->flows; i++)
		for (int k = 0; k < 2; k++)
			if (s->node[s->flow[i].side[k].node].host == host)
				s->flow[i].why |= WHY_LEAVING;
	for (uint32_t n = 0; n < s->nodes; n++)
		if (s->node[n].host == host && s->node[n].engine) {
			engine_leave(s->node[n].engine, s->now_ns);
			node_touch(s, n);
		}
	sim_at(s, rng_log(&s->rng, MS, SECOND), EV_HOST, host, 0, 0);
}

void host_restart(struct sim *s, uint32_t host)
{
	if (s->host[host].up && !s->host[host].leaving)
		return;
	if (s->host[host].up)
		host_stop(s, host);
	s->host[host].up = true;
	s->host[host].leaving = false;
	s->host[host].incarnation++;
	sim_log(s, "host %u starts", host);
	for (uint32_t n = 0; n < s->nodes; n++)
		if (s->node[n].host == host)
			node_start(s, n);
}

void network_heal(struct sim *s, uint32_t a, uint32_t b)
{
	s->severed[a][b] = s->severed[b][a] = false;
}

/* Nothing arrives on one connection for a while; nothing is lost. */
static void stall(struct sim *s)
{
	struct conn *c = any_conn(s);
	uint64_t ns = rng_log(&s->rng, MS, 2 * s->plan.engine.ping_dead_ns);

	if (!c)
		return;
	sim_log(s, "FAULT conn %u stands still for %" PRIu64 " ns", (uint32_t)(c - s->conn), ns);
	c->pipe[rng_below(&s->rng, 2)].free_ns = s->now_ns + ns;
}

static void relisten(struct sim *s)
{
	uint32_t node = (uint32_t)rng_below(&s->rng, s->nodes);
	struct engine *e = s->node[node].engine;
	int r;

	if (!e)
		return;
	engine_unlisten(e, &(struct address){ 0 }, 102);
	r = engine_listen(e, &(struct address){ 0 }, 102, (void *)(uintptr_t)102);
	if (r < 0)
		sim_fail(s, "node %u: listen again: %d", node, r);
}

void fault_next(struct sim *s)
{
	const uint32_t *weight = s->plan.fault_weight;
	uint64_t sum = 0, dice;
	uint32_t kind = 0;

	if (s->quiet || s->plan.fault_ns == 0)
		return;
	for (int i = 0; i < FAULT_KINDS; i++)
		sum += weight[i];
	for (dice = rng_below(&s->rng, sum); dice >= weight[kind]; kind++)
		dice -= weight[kind];
	switch (kind) {
	case 0:
		cut_one(s, rng_log(&s->rng, 1, 100 * MS));
		break;
	case 1:
		cut_one(s, 0);
		break;
	case 2:
		cut_all(s, 0);
		break;
	case 3:
		cut_all(s, rng_log(&s->rng, MS, 2 * s->plan.engine.unreachable_ns));
		break;
	case 4:
		host_die(s);
		break;
	case 5:
		host_leave(s);
		break;
	case 6:
		stall(s);
		break;
	case 7:
		cut_late(s);
		break;
	default:
		relisten(s);
		break;
	}
	sim_at(s, rng_below(&s->rng, 2 * s->plan.fault_ns), EV_FAULT, 0, 0, 0);
}

void sim_go_quiet(struct sim *s)
{
	sim_log(s, "quiet");
	s->quiet = true;
	memset(s->severed, 0, sizeof(s->severed));
	for (uint32_t h = 0; h < s->plan.hosts; h++)
		if (!s->host[h].up || s->host[h].leaving)
			sim_at(s, rng_below(&s->rng, 100 * MS), EV_HOST, h, 0, 0);
	for (uint32_t f = 0; f < s->flows; f++)
		for (uint32_t i = 0; i < 2; i++)
			if (s->flow[f].side[i].stopped_until_ns > s->now_ns)
				side_act_soon(s, f, i, 0);
}
