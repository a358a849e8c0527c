/* SPDX-License-Identifier: MIT */
/*
 * flow.c - how flows begin: who connects to whom, and what listeners make of it.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "sim.h"

#define PORT_ACCEPTS 100 /* always */
#define PORT_LATER   101 /* makes up its mind later, has a short backlog */
#define PORT_REFUSES 102
#define PORT_NOBODY  103
#define BACKLOG      4

static void *side_user(uint32_t flow, uint32_t side)
{
	return (void *)(uintptr_t)(flow * 2 + side + 1);
}

static uint32_t ring_bytes_any(struct sim *s)
{
	uint64_t bytes = rng_log(&s->rng, NCD_RING_MIN, s->plan.ring_max);

	return 1u << (63 - __builtin_clzll(bytes));
}

static void side_make(struct sim *s, struct side *sd, uint32_t node)
{
	const struct plan *p = &s->plan;

	*sd = (struct side){ .node = node, .key = rng_next(&s->rng), .gone = true };
	sd->length = rng_chance(&s->rng, 100) ? 0 : rng_log(&s->rng, 1, p->length_max);
	if (p->bulk)
		sd->length = rng_range(&s->rng, p->length_max / 2, p->length_max);
	sd->think_ns = rng_chance(&s->rng, 300) ? 0 : rng_log(&s->rng, 1000, p->think_max_ns);
	sd->piece = (uint32_t)rng_log(&s->rng, p->bulk ? 16u << 10 : 64, 64u << 10);
	sd->eager = rng_chance(&s->rng, 500);
	sd->linger = rng_chance(&s->rng, 200);
	sd->rebases = rng_chance(&s->rng, 300);
	sd->plan = PLAN_NORMAL;
	if (rng_chance(&s->rng, p->bad_plan_permille)) {
		sd->plan = (enum side_plan)rng_range(&s->rng, PLAN_ABORT, PLAN_PLANS - 1);
		sd->plan_at = rng_below(&s->rng, sd->length + 1);
	}
	sd->stop_at = UINT64_MAX;
	if (rng_chance(&s->rng, p->stop_permille)) {
		sd->stop_at = rng_below(&s->rng, p->length_max / 2);
		sd->stop_ns = rng_log(&s->rng, MS, SECOND);
	}
}

static void side_rings(struct sim *s, struct side *sd)
{
	guarded_init(&sd->tx, ring_bytes_any(s));
	sd->tx.mem.file = s->plan.engine.file_min > 0;
	guarded_init(&sd->rx, ring_bytes_any(s));
	sd->gone = false;
	s->running++;
}

static uint32_t pick_node(struct sim *s)
{
	uint32_t node = (uint32_t)rng_below(&s->rng, s->nodes);

	for (uint32_t i = 0; i < s->nodes; i++, node = (node + 1) % s->nodes)
		if (s->node[node].engine)
			return node;
	return NODES_MAX;
}

/* What engine_connect may answer, and why. */
static void check_connect_error(struct sim *s, struct node *n, uint32_t peer, int error,
				const struct engine_connect *args)
{
	bool ok = false;

	if (error == -ENOBUFS)
		ok = engine_counters(n->engine)->streams + 1 >= s->plan.engine.streams;
	else if (error == -EADDRNOTAVAIL)
		ok = args->local_port != 0;
	else if (error == -EHOSTUNREACH || error == -ECONNREFUSED)
		ok = n->peer[peer].told_unreachable ||
		     ((n->peer[peer].left || s->host[peer_host(n->host, peer)].leaving) &&
		      error == -ECONNREFUSED);
	if (!ok && !s->host[n->host].leaving)
		sim_fail(s, "connect to host %u fails with %d without a reason",
			 peer_host(n->host, peer), error);
}

/* An address that no peer has: never anything but ENETUNREACH. */
static void connect_nowhere(struct sim *s, struct node *n, struct engine_connect *args)
{
	struct stream *st;
	int r;

	args->remote = host_address(99, rng_chance(&s->rng, 500));
	r = engine_connect(n->engine, args, s->now_ns, &st);
	if (r != -ENETUNREACH && !s->host[n->host].leaving)
		sim_fail(s, "connect to an unknown host: %d", r);
}

static uint16_t pick_port(struct sim *s)
{
	static const uint16_t port[] = { PORT_LATER, PORT_REFUSES, PORT_NOBODY };

	return rng_chance(&s->rng, 700) ? PORT_ACCEPTS : port[rng_below(&s->rng, 3)];
}

static void check_addresses(struct sim *s, const struct engine_connect *args, struct stream *st,
			    uint32_t host, bool v6)
{
	struct stream_info info;
	struct address mine = host_address(host, v6);

	engine_stream_info(st, &info);
	if (!address_equal(&info.remote, &args->remote) || info.remote_port != args->remote_port ||
	    !address_equal(&info.local, &mine) || info.local_port == 0 ||
	    (args->local_port != 0 && info.local_port != args->local_port))
		sim_fail(s, "a connecting stream has other addresses than asked for");
}

void flow_begin(struct sim *s)
{
	uint32_t from = pick_node(s), index = s->flows;
	struct flow *f = &s->flow[index];
	struct engine_connect args = { 0 };
	bool v6 = rng_chance(&s->rng, 300);
	struct stream_info info;
	uint32_t host, peer;
	struct node *n;
	int r;

	if (from == NODES_MAX || s->flows == FLOWS_MAX || s->running > 2 * s->plan.at_once)
		return;
	n = &s->node[from];
	host = (uint32_t)rng_below(&s->rng, s->plan.hosts);
	if (rng_chance(&s->rng, 1000 - s->plan.self_permille) && host == n->host)
		host = (host + 1) % s->plan.hosts;
	peer = peer_index(n->host, host);
	s->flows++;
	s->totals.flows++;
	*f = (struct flow){ .to_port = pick_port(s), .begun_ns = s->now_ns };
	side_make(s, &f->side[0], from);
	side_make(s, &f->side[1], lane_node(s, host, n->lane));
	side_rings(s, &f->side[0]);
	args = (struct engine_connect){
		.remote = host_address(host, v6), .remote_port = f->to_port,
		.tx = f->side[0].tx.mem, .rx = f->side[0].rx.mem,
		.class = (enum stream_class)rng_below(&s->rng, 3),
		.defer = rng_chance(&s->rng, 200), .user = side_user(index, 0),
		.local_port = rng_chance(&s->rng, 100) ? (uint16_t)(1000 + index) : 0,
	};
	if (rng_chance(&s->rng, 20)) {
		connect_nowhere(s, n, &args);
		args.remote = host_address(host, v6);
	}
	/* The lanes of a host that leaves all leave: nothing is accepted there. */
	if (s->host[host].leaving)
		f->why |= WHY_LEAVING;
	/* A host that has died, unnoticed: what is said to it is lost. */
	if (!s->host[host].up || n->peer[peer].incarnation != s->host[host].incarnation)
		f->why |= WHY_RESTART;
	/* Who waits to be connected before it writes would wait for ever. */
	f->side[0].eager |= args.defer;
	r = engine_connect(n->engine, &args, node_now(s), &f->side[0].stream);
	sim_log(s, "flow %u: node %u to %u port %u, %lu and %lu bytes, plans %d %d: %d", index,
		from, f->side[1].node, f->to_port, (unsigned long)f->side[0].length,
		(unsigned long)f->side[1].length, (int)f->side[0].plan, (int)f->side[1].plan, r);
	sim_trace(s, index, (uint64_t)r);
	node_touch(s, from);
	if (r < 0) {
		check_connect_error(s, n, peer, r, &args);
		f->side[0].stream = NULL;
		s->totals.refused++;
		side_release(s, &f->side[0]);
		return;
	}
	check_addresses(s, &args, f->side[0].stream, n->host, v6);
	engine_stream_client(n->engine, f->side[0].stream, index % CLIENTS);
	engine_stream_weight(f->side[0].stream, 1 + index % NCD_WEIGHT_MAX);
	if (f->to_port == PORT_REFUSES || f->to_port == PORT_NOBODY)
		f->why |= WHY_REFUSED;
	engine_stream_info(f->side[0].stream, &info);
	f->port = info.local_port;
	if (f->side[0].eager)
		side_act_soon(s, index, 0, 0);
}

static uint32_t find_flow(struct sim *s, uint32_t node, struct stream *st)
{
	const struct node *n = &s->node[node];
	struct stream_info info;
	uint32_t from;

	engine_stream_info(st, &info);
	from = lane_node(s, peer_host(n->host, info.peer), n->lane);
	for (uint32_t i = s->flows; i-- > 0;)
		if (s->flow[i].side[0].node == from && s->flow[i].port == info.remote_port &&
		    s->flow[i].to_port == info.local_port && s->flow[i].side[1].node == node)
			return i;
	sim_fail(s, "node %u: a stream comes in from host %u port %u to port %u: nobody opened it",
		 node, peer_host(n->host, info.peer), info.remote_port, info.local_port);
}

static uint32_t pending_on(const struct sim *s, uint32_t node)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < s->flows; i++)
		nr += s->flow[i].side[1].pending && s->flow[i].side[1].node == node;
	return nr;
}

int flow_incoming(void *ctx, struct stream *stream, void *listener_user)
{
	struct node *n = ctx;
	struct sim *s = n->sim;
	uint32_t node = (uint32_t)(n - s->node), i;
	uint16_t port = (uint16_t)(uintptr_t)listener_user;
	struct flow *f;

	/* flow_begin has not heard of the stream's port before the engine returns from connect. */
	i = find_flow(s, node, stream);
	f = &s->flow[i];
	if (port != f->to_port)
		sim_fail(s, "flow %u for port %u comes to the listener of port %u", i, f->to_port,
			 port);
	if (f->accepted)
		sim_fail(s, "flow %u is accepted twice", i);
	if (port == PORT_REFUSES || (port == PORT_LATER && pending_on(s, node) >= BACKLOG)) {
		f->why |= WHY_REFUSED;
		return rng_chance(&s->rng, 500) ? -ECONNREFUSED : -ENOBUFS;
	}
	sim_log(s, "flow %u comes in", i);
	f->accepted = true;
	f->side[1].stream = stream;
	engine_stream_client(n->engine, stream, i % CLIENTS);
	side_rings(s, &f->side[1]);
	if (port == PORT_LATER) {
		f->side[1].pending = true;
		engine_stream_set_user(stream, side_user(i, 1));
		sim_at(s, rng_log(&s->rng, 1, 20 * MS), EV_ADMIT, i, 0, 0);
		return -EAGAIN;
	}
	f->side[1].connected = true;
	engine_stream_rings(stream, &f->side[1].tx.mem, &f->side[1].rx.mem, side_user(i, 1));
	side_act_soon(s, i, 1, 0);
	return 0;
}

void flow_admit(struct sim *s, uint32_t flow)
{
	struct flow *f = &s->flow[flow];
	struct side *sd = &f->side[1];
	struct node *n = &s->node[sd->node];

	if (!sd->pending || sd->gone)
		return;
	sd->pending = false;
	node_touch(s, sd->node);
	if (rng_chance(&s->rng, 200)) {
		f->why |= WHY_REFUSED;
		sim_log(s, "flow %u is refused late", flow);
		engine_stream_refuse(n->engine, sd->stream, node_now(s));
		sd->closed = true;
		return;
	}
	sim_log(s, "flow %u is admitted late", flow);
	engine_stream_rings(sd->stream, &sd->tx.mem, &sd->rx.mem, side_user(flow, 1));
	engine_stream_admit(n->engine, sd->stream, node_now(s));
	sd->connected = true;
	side_act_soon(s, flow, 1, 0);
}

void flow_host_died(struct sim *s, uint32_t host)
{
	for (uint32_t i = 0; i < s->flows; i++)
		for (int k = 0; k < 2; k++) {
			struct side *sd = &s->flow[i].side[k];

			if (s->node[sd->node].host != host)
				continue;
			s->flow[i].why |= WHY_RESTART;
			sd->stream = NULL;
			sd->tx.kept = true; /* its pages outlive a process */
			if (!sd->gone)
				side_release(s, sd);
		}
}
