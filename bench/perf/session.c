/* SPDX-License-Identifier: MIT */
/* session.c - the server's side of the control flow. */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "cpu.h"
#include "descriptors.h"
#include "loop.h"
#include "options.h"
#include "spawn.h"

#define JOIN_NS     (30 * NS_PER_S) /* for a batch of flows to come */
#define REPLY_NS    (5 * NS_PER_S)
#define LOOK_NS     (200 * NS_PER_MS) /* between looks at stop while waiting for requests */
#define FINISH_NS   (8 * NS_PER_S)    /* for all flows to end after END */
#define CONTROL_BUF (64u << 10)

static bool session_stopping(struct session *s)
{
	/* Relaxed: a hint to hurry. */
	return atomic_load_explicit(&s->stop, memory_order_relaxed);
}

static void reply_fill(struct session *s, struct reply *reply, int status, const char *text)
{
	struct crew_sum sum = { .time_ns = clock_now_ns() };

	if (s->crew)
		crew_sum(s->crew, &sum);
	*reply = (struct reply){ .magic = HELLO_MAGIC,
				 .status = status,
				 .time_ns = sum.time_ns,
				 .received_bytes = sum.rx_bytes,
				 .errors = sum.errors,
				 .cpu_ns = sum.cpu_ns };
	reply->daemon_cpu_ns = s->via->uses_daemon ? cpu_of_daemon_ns() : CPU_UNKNOWN;
	snprintf(reply->text, sizeof(reply->text), "%s", text);
}

static int session_send(struct session *s, const struct reply *reply)
{
	return conn_send_all(&s->control, reply, sizeof(*reply), clock_now_ns() + REPLY_NS);
}

/* The next request on the control flow. Returns 0, or -errno: the client is gone, or stop. */
static int session_receive(struct session *s, struct hello *ret_hello)
{
	int r;

	/* A request is one small message: it is there whole, or not at all. */
	do
		r = conn_recv_all(&s->control, ret_hello, sizeof(*ret_hello),
				  clock_now_ns() + LOOK_NS);
	while (r == -ETIMEDOUT && !session_stopping(s));
	if (r == 0 && (ret_hello->magic != HELLO_MAGIC || ret_hello->version != HELLO_VERSION))
		return -EPROTO;
	return r;
}

/* Waits until @wanted flows have joined. */
static int session_await(struct session *s, uint32_t wanted)
{
	struct timespec until = clock_timespec(clock_now_ns() + JOIN_NS);
	int r = 0;

	pthread_mutex_lock(&s->lock);
	while (s->joined_nr < wanted && r == 0 && !session_stopping(s))
		r = pthread_cond_timedwait(&s->joined, &s->lock, &until);
	r = s->joined_nr >= wanted ? 0 : -ETIMEDOUT;
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* Until all flows have joined; the client hears before it sends each batch. The first of them, too,
 * may be heard before what the control flow said, and would find no session. */
static int session_gather(struct session *s)
{
	uint32_t flows = shape_joining(&s->shape), nr;
	struct reply joined;
	int r = 0;

	for (nr = 0; nr < flows && r == 0; nr += PERF_JOIN_BATCH) {
		r = session_await(s, nr);
		reply_fill(s, &joined, 0, "");
		if (r == 0)
			r = session_send(s, &joined);
	}
	return r ? r : session_await(s, flows);
}

/* From here on no flow joins: the crew is this thread's alone. */
static void session_close(struct session *s)
{
	pthread_mutex_lock(&s->lock);
	s->closed = true;
	pthread_mutex_unlock(&s->lock);
}

/* Mode connect: a listener for each thread, beside the server's own. */
static int session_listen(struct session *s, struct conn *listener, struct reply *reply)
{
	struct endpoint ep = s->listen;
	int r = 0;

	endpoint_set_port(&ep, 0);
	for (uint32_t i = 0; i < s->shape.threads && r == 0; i++) {
		listener[i] = (struct conn){ .via = s->via, .fd = -1 };
		r = s->via->listen(&listener[i], &ep, &reply->port[i]);
		s->crew->loop[i].run_arg = &listener[i];
		reply->port_nr += r == 0;
	}
	return r;
}

/* Brings the crew up and tells the client. Returns 0 or -errno. */
static int session_begin(struct session *s, struct conn *listener)
{
	const char *text = "its limit of open files is too low, raise ulimit -n there";
	struct reply reply, ports = { .port_nr = 0 };
	uint64_t needed;
	int r, sent;

	r = s->via->uses_daemon ? 0 : descriptors_reserve(s->shape.flows, &needed);
	if (r == 0) {
		text = "not every flow arrived";
		r = session_gather(s);
	}
	session_close(s);
	if (r == 0 && s->shape.mode == MODE_CONNECT) {
		text = "cannot listen";
		r = session_listen(s, listener, &ports);
	}
	if (r == 0) {
		r = crew_start(s->crew);
		text = r ? crew_error_what(s->crew) : "";
	}
	if (r == 0)
		crew_go(s->crew, 0, UINT64_MAX);
	reply_fill(s, &reply, r, text);
	reply.port_nr = ports.port_nr;
	memcpy(reply.port, ports.port, sizeof(reply.port));
	sent = session_send(s, &reply);
	return r ? r : sent;
}

/* Answers until END, or until the client is gone. */
static void session_serve(struct session *s)
{
	const char *text;
	struct hello hello;
	struct reply reply;
	int r;

	while (session_receive(s, &hello) == 0) {
		bool end = hello.kind == HELLO_END, flows = s->shape.mode != MODE_CONNECT;

		r = crew_wait(s->crew, end && flows ? clock_now_ns() + FINISH_NS : 0);
		text = r < 0 ? crew_error_what(s->crew) : "";
		if (end && flows && r == 0) {
			text = "the end of a flow did not arrive";
			r = -ETIMEDOUT;
		}
		if (end)
			crew_abort(s->crew);
		reply_fill(s, &reply, r < 0 ? r : 0, text);
		if (session_send(s, &reply) < 0 || end)
			return;
	}
}

/* Mode isolate: has processes serve the flows, until the client is gone. */
static void session_serve_isolate(struct session *s)
{
	struct spawn spawn = { .nr = 0 };
	struct reply reply;
	struct hello hello;
	uint16_t port[PERF_THREADS_MAX] = { 0 };
	int r = spawn_servers(&spawn, s->o, s->via, s->shape.flows, port);

	reply_fill(s, &reply, r, r ? "a server process did not start" : "");
	reply.port_nr = r ? 0 : s->shape.flows + 1;
	memcpy(reply.port, port, sizeof(reply.port));
	if (session_send(s, &reply) == 0 && r == 0)
		(void)session_receive(s, &hello); /* nothing comes: until the end */
	spawn_stop(&spawn);
}

static void *session_main(void *arg)
{
	struct conn listener[PERF_THREADS_MAX];
	struct session *s = arg;
	int r;

	for (uint32_t i = 0; i < PERF_THREADS_MAX; i++)
		listener[i] = (struct conn){ .fd = -1 };
	r = hub_init(&s->hub, s->via->control, 0, CONTROL_BUF);
	if (r == 0) {
		s->control.hub = &s->hub;
		s->control.blocking = true;
		r = s->control.via->bound(&s->control);
	}
	if (r == 0 && s->shape.mode == MODE_ISOLATE) {
		session_serve_isolate(s);
	} else if (r == 0) {
		r = session_begin(s, listener);
		if (r == 0)
			session_serve(s);
	}
	session_close(s); /* if it did not come to it */
	crew_destroy(s->crew);
	/* A thread that ran has taken its own. */
	for (uint32_t i = 0; i < PERF_THREADS_MAX; i++)
		if (listener[i].fd >= 0)
			listener[i].via->close(&listener[i]);
	s->control.via->close(&s->control);
	hub_fini(&s->hub);
	/* ENDED, session's end. */
	atomic_store_explicit(&s->ended, true, memory_order_release);
	return NULL;
}

int session_create(const struct via *via, const struct hello *hello, const struct conn *control,
		   const struct endpoint *listen, const struct options *o,
		   struct session **ret_session)
{
	pthread_condattr_t attr;
	struct session *s;
	int r;

	if (!shape_valid(&hello->shape))
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct session){ .via = via,
			       .shape = hello->shape,
			       .id = hello->session,
			       .listen = *listen,
			       .o = o,
			       .control = *control };
	r = 0;
	if (s->shape.mode != MODE_ISOLATE)
		r = crew_create(via, &s->shape, false, o->cpu, s->id, &s->crew);
	if (r < 0)
		goto err_free;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->joined, &attr);
	pthread_condattr_destroy(&attr);
	r = -pthread_create(&s->thread, NULL, session_main, s);
	if (r < 0)
		goto err_crew;
	*ret_session = s;
	return 0;

err_crew:
	crew_destroy(s->crew);
	pthread_cond_destroy(&s->joined);
	pthread_mutex_destroy(&s->lock);
err_free:
	free(s);
	return r;
}

int session_join(struct session *s, uint32_t index, const struct conn *conn)
{
	struct conn *into;
	int r = -EINVAL;

	if (index >= shape_joining(&s->shape))
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	if (!s->closed) {
		into = &s->crew->flow[index].conn;
		if (into->fd < 0) {
			*into = (struct conn){ .via = conn->via, .fd = conn->fd };
			s->joined_nr++;
			r = 0;
		}
	}
	if (s->joined_nr % PERF_JOIN_BATCH == 0 || s->joined_nr == s->shape.flows)
		pthread_cond_broadcast(&s->joined);
	pthread_mutex_unlock(&s->lock);
	return r;
}

bool session_ended(struct session *s)
{
	/* ENDED, server's end. */
	return atomic_load_explicit(&s->ended, memory_order_acquire);
}

void session_destroy(struct session *s)
{
	pthread_mutex_lock(&s->lock);
	/* Relaxed: the lock orders it for the one who sleeps. */
	atomic_store_explicit(&s->stop, true, memory_order_relaxed);
	pthread_cond_broadcast(&s->joined);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->joined);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
