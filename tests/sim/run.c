/* SPDX-License-Identifier: MIT */
/*
 * run.c - one seed from its beginning to its end.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define QUIET_MAX_NS  (300 * SECOND) /* all must be over so long after the last fault */
#define IDLE_NS       (2 * SECOND)   /* and then nothing may spin */
#define TURN_EVENTS   100000000ull

static void add_extra(struct sim *s, uint32_t a, uint32_t b)
{
	for (uint16_t i = 0; i < s->plan.extra; i++) {
		assert(s->places < PLACES_MAX);
		s->place[s->places++] = (struct place){
			.node = { a, b }, .class = CLASS_THROUGHPUT, .conn = CONNS_MAX,
			.index = (uint16_t)(s->plan.throughput + i), .extra = true,
		};
	}
}

static void add_places(struct sim *s, uint32_t a, uint32_t b, enum stream_class class, uint16_t nr)
{
	for (uint16_t i = 0; i < nr; i++) {
		assert(s->places < PLACES_MAX);
		s->place[s->places] = (struct place){ .node = { a, b }, .class = class, .index = i,
						      .conn = CONNS_MAX, .dialling = true };
		sim_at(s, rng_below(&s->rng, 20 * MS), EV_DIAL, s->places++, 0, 0);
	}
}

static void set_up(struct sim *s)
{
	const struct plan *p = &s->plan;

	for (uint32_t h = 0; h < p->hosts; h++) {
		s->host[h] = (struct host){ .up = true, .incarnation = 1 };
		for (uint32_t l = 0; l < p->lanes; l++)
			s->node[s->nodes++] = (struct node){ .sim = s, .host = h, .lane = l };
	}
	for (uint32_t n = 0; n < s->nodes; n++)
		node_start(s, n);
	for (uint32_t a = 0; a < s->nodes; a++)
		for (uint32_t b = a + 1; b < s->nodes; b++)
			if (s->node[a].lane == s->node[b].lane) {
				add_places(s, a, b, CLASS_LATENCY, p->latency);
				add_places(s, a, b, CLASS_THROUGHPUT, p->throughput);
				add_extra(s, a, b);
			}
	for (uint32_t i = 0; i < p->flows; i++)
		sim_at(s, p->bulk ? 30 * MS : rng_below(&s->rng, p->busy_ns), EV_FLOW, 0, 0, 0);
	if (p->fault_ns > 0)
		sim_at(s, rng_below(&s->rng, 2 * p->fault_ns), EV_FAULT, 0, 0, 0);
	sim_at(s, p->busy_ns, EV_QUIET, 0, 0, 0);
}

static void conn_event(struct sim *s, const struct event *ev)
{
	const struct conn *c = &s->conn[ev->a];

	if (!c->used || c->generation != ev->generation)
		return;
	switch (ev->kind) {
	case EV_END_UP:
		end_up(s, ev->a, ev->b);
		break;
	case EV_END_DOWN:
		end_down(s, ev->a, ev->b);
		break;
	case EV_TX:
		end_tx(s, ev->a, ev->b);
		break;
	case EV_TX_DONE:
		end_tx_done(s, ev->a, ev->b);
		break;
	case EV_RX:
		end_rx(s, ev->a, ev->b);
		break;
	default:
		end_rx_done(s, ev->a, ev->b);
		break;
	}
}

static void node_event(struct sim *s, const struct event *ev)
{
	const struct node *n = &s->node[ev->a];

	if (!n->engine || s->host[n->host].incarnation != ev->generation)
		return;
	if (ev->kind == EV_TURN)
		node_turn(s, ev->a);
	else
		node_tick(s, ev->a);
}

static void move_event(struct sim *s, const struct event *ev)
{
	uint32_t node;

	if (ev->kind == EV_PICK) {
		moves_pick(s);
		return;
	}
	node = ev->kind == EV_MOVE  ? s->flow[ev->a / 2].side[ev->a % 2].node :
	       ev->kind == EV_VISIT ? s->visit[ev->a].node :
	       ev->kind == EV_PORT  ? ev->a :
				      s->tomb[ev->a].node;
	if (!s->node[node].engine || s->host[s->node[node].host].incarnation != ev->generation)
		return;
	if (ev->kind == EV_MOVE)
		moves_step(s, ev->a, ev->b);
	else if (ev->kind == EV_VISIT)
		moves_visit(s, ev->a, ev->b);
	else if (ev->kind == EV_PORT)
		engine_port_release(s->node[node].engine, (uint16_t)ev->b);
	else
		moves_forget(s, ev->a);
}

static void happen(struct sim *s, const struct event *ev)
{
	switch ((enum event_kind)ev->kind) {
	case EV_TURN:
	case EV_TICK:
		node_event(s, ev);
		break;
	case EV_DIAL:
		place_dial(s, ev->a);
		break;
	case EV_END_UP:
	case EV_END_DOWN:
	case EV_TX:
	case EV_TX_DONE:
	case EV_RX:
	case EV_RX_DONE:
		conn_event(s, ev);
		break;
	case EV_FLOW:
		if (!s->quiet)
			flow_begin(s);
		break;
	case EV_SIDE:
		side_act(s, ev->a, ev->b);
		break;
	case EV_ADMIT:
		flow_admit(s, ev->a);
		break;
	case EV_FAULT:
		fault_next(s);
		break;
	case EV_HOST:
		host_restart(s, ev->a);
		break;
	case EV_HEAL:
		network_heal(s, ev->a, ev->b);
		break;
	case EV_QUIET:
		sim_go_quiet(s);
		break;
	case EV_CARRY:
		if (s->node[ev->a].engine &&
		    s->host[s->node[ev->a].host].incarnation == ev->generation)
			lanes_take(s, ev->a, ev->b);
		break;
	case EV_PICK:
	case EV_MOVE:
	case EV_VISIT:
	case EV_FORGET:
	case EV_PORT:
		move_event(s, ev);
		break;
	case EV_KINDS:
		break;
	}
}

/* All flows are over, and no engine keeps a stream. */
static bool all_over(const struct sim *s)
{
	if (!s->quiet || s->running > 0 || s->zombies > 0)
		return false;
	for (uint32_t n = 0; n < s->nodes; n++)
		if (!s->node[n].engine || engine_counters(s->node[n].engine)->streams > 0)
			return false;
	return true;
}

static void play(struct sim *s)
{
	uint64_t give_up_ns = s->plan.busy_ns + QUIET_MAX_NS, end_ns = UINT64_MAX;
	struct event ev;

	while (timeline_next(&s->timeline, &ev) && ev.at_ns < end_ns) {
		s->now_ns = ev.at_ns;
		s->totals.events++;
		sim_trace(s, ev.kind, ev.a);
		happen(s, &ev);
		if (s->totals.events % 64 == 0)
			zombies_reap(s);
		if (end_ns == UINT64_MAX && (s->totals.events % 16 == 0) && all_over(s)) {
			sim_log(s, "all is over");
			end_ns = s->now_ns + IDLE_NS;
		}
		if (s->now_ns > give_up_ns)
			break;
		if (s->totals.events > TURN_EVENTS)
			sim_fail(s, "too many events");
	}
	zombies_reap(s);
	sim_check_end(s);
}

static void add_totals(struct totals *to, const struct sim *s)
{
	to->seeds++;
	to->virtual_ns += s->now_ns;
	to->flows += s->totals.flows;
	to->bytes += s->totals.bytes;
	to->cuts += s->totals.cuts;
	to->restarts += s->totals.restarts;
	to->outages += s->totals.outages;
	to->errors += s->totals.errors;
	to->frames += s->totals.frames;
	to->events += s->totals.events;
	to->refused += s->totals.refused;
	to->completed += s->totals.completed;
	to->exchanged += s->totals.exchanged;
	to->grown += s->totals.grown;
	to->drained += s->totals.drained;
	to->carried += s->totals.carried;
	to->returned += s->totals.returned;
	to->lost += s->totals.lost;
	to->moved += s->totals.moved;
	to->moves_refused += s->totals.moves_refused;
}

uint64_t sim_run(uint64_t seed, bool verbose, struct totals *totals)
{
	struct sim *s = calloc(1, sizeof(*s));
	uint64_t trace;

	assert(s);
	s->seed = seed;
	s->verbose = verbose;
	rng_seed(&s->rng, seed);
	plan_make(&s->plan, &s->rng);
	plan_move(&s->plan, seed);
	rings_plan(s);
	rng_seed(&s->carry_rng, mix64(s->seed ^ 0x6c616e6573u));
	if (verbose)
		plan_print(&s->plan);
	moves_plan(s);
	set_up(s);
	play(s);
	for (uint32_t n = 0; n < s->nodes; n++)
		node_stop(s, n);
	conn_free_all(s);
	timeline_fini(&s->timeline);
	add_totals(totals, s);
	trace = s->trace;
	free(s);
	return trace;
}
