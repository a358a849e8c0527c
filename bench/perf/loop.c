/* SPDX-License-Identifier: MIT */
/* loop.c - one thread of a measurement, and how it serves its flows. */
#include "loop.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "clock.h"
#include "connect.h"

#define WAIT_MS        100             /* between looks at abort */
#define BLOCKING_BYTES (32u << 10) /* outstanding bytes that socket buffers hold in any case */
#define BUF_MIN        (64u << 10)
#define BUF_MAX        PERF_SIZE_MAX

int loop_fail(struct loop *l, int err, const char *what)
{
	struct crew *c = l->crew;

	pthread_mutex_lock(&c->lock);
	if (c->error == 0) {
		c->error = err;
		c->error_what = what;
	}
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	return err;
}

static int flow_finish(struct loop *l, struct flow *f)
{
	f->done = true;
	l->done_nr++;
	if (!l->crew->is_client) {
		f->conn.via->close(&f->conn);
		return 0;
	}
	return f->conn.via->finish(&f->conn);
}

/* One turn of one flow. Returns 0, or -errno after telling the crew. */
static int loop_turn_flow(struct loop *l, struct flow *f)
{
	int r;

	if (f->done)
		return 0;
	r = l->turn(l, f);
	if (r == FLOW_MORE && !f->hot && !l->blocking) {
		f->hot = true;
		TAILQ_INSERT_TAIL(&l->hot, f, hot_link);
	} else if (r == FLOW_DONE) {
		r = flow_finish(l, f);
	}
	if (r < 0)
		return loop_fail(l, r, "a flow broke");
	return 0;
}

static int loop_check_end(struct loop *l)
{
	if (loop_aborted(l))
		return loop_fail(l, -ECANCELED, "stopped");
	if (loop_overdue(l))
		return loop_fail(l, -ETIMEDOUT, "bytes under way did not arrive after the end");
	return 0;
}

static int loop_run_blocking(struct loop *l)
{
	struct flow *f = &l->flow[0];
	int r = 0;

	while (r == 0 && !f->done) {
		l->now_ns = clock_now_ns();
		r = loop_turn_flow(l, f);
		if (r == 0)
			r = loop_check_end(l);
	}
	return r;
}

/* Flows that stopped by their own bound. Those they add are for the next round. */
static int loop_turn_hot(struct loop *l)
{
	struct flow *last = TAILQ_LAST(&l->hot, flow_list), *f;
	int r = 0;

	while (r == 0 && (f = TAILQ_FIRST(&l->hot))) {
		TAILQ_REMOVE(&l->hot, f, hot_link);
		f->hot = false;
		r = loop_turn_flow(l, f);
		if (f == last)
			break;
	}
	return r;
}

static int loop_run_hub(struct loop *l)
{
	struct conn *ready[VIA_READY_MAX];
	int n, r = 0;

	l->now_ns = clock_now_ns();
	for (uint32_t i = 0; i < l->flow_nr && r == 0; i++)
		r = loop_turn_flow(l, &l->flow[i]);
	while (r == 0 && l->done_nr < l->flow_nr) {
		n = l->hub.via->wait(&l->hub, ready, VIA_READY_MAX,
				     TAILQ_EMPTY(&l->hot) ? WAIT_MS : 0);
		if (n < 0)
			return loop_fail(l, n, "waiting for flows");
		l->now_ns = clock_now_ns();
		for (int i = 0; i < n && r == 0; i++)
			r = loop_turn_flow(l, ready[i]->owner);
		if (r == 0)
			r = loop_turn_hot(l);
		if (r == 0)
			r = loop_check_end(l);
	}
	return r;
}

static size_t loop_buf_len(const struct shape *s)
{
	uint64_t len = (uint64_t)s->size * s->depth;

	if (len < BUF_MIN)
		len = BUF_MIN;
	return len < BUF_MAX ? (size_t)len : BUF_MAX;
}

/* What the run asks for beyond the usual: each end sees to its own. */
static int loop_tune(struct loop *l, struct conn *conn)
{
	const struct shape *s = &l->crew->shape;
	const struct via *via = l->crew->via;
	const int priority = s->priority;
	int r;

	if (priority) {
		r = via->option(conn, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
		if (r == -EPERM)
			return loop_fail(l, r, "--priority 7 needs CAP_NET_ADMIN");
		if (r < 0)
			return loop_fail(l, r, "setting --priority");
	}
	if (s->congestion[0] && !via->uses_daemon && !via->is_unix) {
		r = via->option(conn, IPPROTO_TCP, TCP_CONGESTION, s->congestion,
				(socklen_t)strlen(s->congestion));
		if (r < 0)
			return loop_fail(l, r,
					 "--congestion is not among "
					 "net.ipv4.tcp_available_congestion_control");
	}
	return 0;
}

/* Before anything is allocated: priority and core are the thread's own. */
static int loop_place(struct loop *l)
{
	const struct crew *c = l->crew;
	cpu_set_t set;
	int r;

	/* Linux has a nice value for each thread. */
	if (c->shape.nice && setpriority(PRIO_PROCESS, 0, c->shape.nice))
		return loop_fail(l, -errno, "--nice below 0 needs CAP_SYS_NICE or ulimit -e");
	if (c->cpu < 0)
		return 0;
	CPU_ZERO(&set);
	CPU_SET((size_t)c->cpu, &set);
	r = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	return r ? loop_fail(l, -r, "pinning to a cpu") : 0;
}

static int loop_set_up(struct loop *l)
{
	struct crew *c = l->crew;
	bool connect_mode = c->shape.mode == MODE_CONNECT;
	size_t conn_nr = connect_mode ? c->shape.flows : l->flow_nr;
	int r = loop_place(l);

	if (r < 0)
		return r;
	r = hub_init(&l->hub, c->via, l->blocking ? 0 : conn_nr, loop_buf_len(&c->shape));
	if (r == -EMFILE && c->via->uses_daemon)
		return loop_fail(l, r, "ncd has 15 queues for a process, use fewer threads");
	if (r < 0)
		return loop_fail(l, r, "setting up a thread");
	for (uint32_t i = 0; i < l->flow_nr; i++) {
		struct conn *conn = &l->flow[i].conn;

		conn->via = c->via;
		conn->hub = &l->hub;
		conn->owner = &l->flow[i];
		conn->blocking = l->blocking;
		r = l->blocking ? c->via->bound(conn) : 0;
		if (r == 0)
			r = c->via->attach(conn);
		if (r < 0)
			return loop_fail(l, r, "waiting for a flow");
		r = loop_tune(l, conn);
		if (r < 0)
			return r;
	}
	return 0;
}

void *loop_main(void *arg)
{
	struct loop *l = arg;
	struct crew *c = l->crew;
	int r = loop_set_up(l);

	pthread_mutex_lock(&c->lock);
	c->up_nr++;
	pthread_cond_broadcast(&c->changed);
	while (!c->go)
		pthread_cond_wait(&c->changed, &c->lock);
	pthread_mutex_unlock(&c->lock);
	if (r == 0 && !loop_aborted(l))
		(void)l->run(l); /* it has told the crew */
	for (uint32_t i = 0; i < l->flow_nr; i++)
		if (l->flow[i].conn.fd >= 0)
			l->flow[i].conn.via->close(&l->flow[i].conn);
	hub_fini(&l->hub);
	/* Relaxed: a number for the reports. */
	atomic_store_explicit(&l->cpu_final_ns, clock_read_ns(CLOCK_THREAD_CPUTIME_ID),
			      memory_order_relaxed);
	pthread_mutex_lock(&c->lock);
	c->done_nr++;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Both ends of a flow ask this, so they agree for every transport. */
static bool shape_is_blocking(const struct shape *s, uint32_t flow_nr, bool is_client)
{
	if (s->mode == MODE_CONNECT)
		return is_client && s->flows == s->threads;
	if (flow_nr != 1)
		return false;
	/* With more in flight, both sides could wait in send() for each other. */
	return s->mode == MODE_STREAM || s->depth == 1 ||
	       (uint64_t)s->size * s->depth <= BLOCKING_BYTES;
}

void loop_choose(struct loop *l)
{
	const struct crew *c = l->crew;

	l->blocking = shape_is_blocking(&c->shape, l->flow_nr, c->is_client);
	if (c->shape.mode == MODE_CONNECT) {
		l->run = !c->is_client ? connect_run_server
			 : l->blocking ? connect_run_client_blocking
				       : connect_run_client_hub;
		return;
	}
	l->run = l->blocking ? loop_run_blocking : loop_run_hub;
	if (c->shape.mode == MODE_STREAM)
		l->turn = c->is_client ? flow_turn_stream_tx : flow_turn_stream_rx;
	else
		l->turn = c->is_client ? flow_turn_rpc_client : flow_turn_rpc_server;
}

uint64_t loop_cpu_ns(struct loop *l)
{
	/* Relaxed: a number for the reports. */
	uint64_t ns = atomic_load_explicit(&l->cpu_final_ns, memory_order_relaxed);
	clockid_t id;

	if (ns == 0 && !pthread_getcpuclockid(l->thread, &id))
		ns = clock_read_ns(id);
	/* It may have ended in between. Relaxed: as above. */
	return ns ? ns : atomic_load_explicit(&l->cpu_final_ns, memory_order_relaxed);
}
