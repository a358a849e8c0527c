/* SPDX-License-Identifier: MIT */
/*
 * daemon.c - starts and stops the daemon, and sends each event of a worker where it belongs.
 */
#include "daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "clock.h"
#include "core/zerocopy.h"
#include "endpoint.h"
#include "notify.h"
#include "privilege.h"

/* Of each worker. Memory follows use: what is not used is not touched. */
#define STREAMS_MIN      131072u
#define CHANNELS         1024u
#define LISTENERS        16384u
#define STATS_LISTENERS  4096u
#define STATS_LEFT       16384u
#define STATS_CHANNELS   8192u
#define ACK_DELAY_NS     10000000ull
#define ORPHAN_NS        60000000000ull
#define HOLD_NS          1000000000ull
#define STALL_NS         5000000000ull
#define SLOW_NS          1000000ull /* a lane that is full for so long has others help */
#define PINGS_UNANSWERED 3u /* and a channel is given up */
#define NS_PER_S         1000000000ull

static uint32_t power_of_two(uint32_t n)
{
	uint32_t power = 2;

	while (power < n && power < NCD_SOCKETS_MAX)
		power *= 2;
	return power;
}

static void daemon_event(void *ctx, uint32_t worker, const struct worker_event *ev)
{
	struct daemon *d = ctx;

	switch (ev->type) {
	case EVT_DONE:
		if (ev->cmd->port || moves_own(ev->cmd))
			control_event(&d->control, worker, ev);
		else if (ev->cmd->type == CMD_LEAVE)
			d->leave_pending--;
		else
			peers_event(&d->peers, worker, ev);
		break;
	case EVT_CHANNEL_DEAD:
	case EVT_PEER_LEFT:
	case EVT_PEER_GROWS:
		peers_event(&d->peers, worker, ev);
		break;
	case EVT_CLIENT_BAD:
	case EVT_CLIENT_GONE:
	case EVT_SEGMENT_WANTED:
	case EVT_JOINT_WANTED:
	case EVT_JOINT_OVER:
	case EVT_MOVE_ASKED:
	case EVT_MOVE_ANSWERED:
	case EVT_MOVE_SETTLED:
	case EVT_MOVE_PORT:
		control_event(&d->control, worker, ev);
		break;
	}
}

static int fail(int error, const char *what, char out[CONFIG_ERROR_BYTES])
{
	(void)snprintf(out, CONFIG_ERROR_BYTES, "%s: %s", what, strerror(-error));
	return error;
}

/* As many descriptors as the system lets us have: each waited-for virtual socket may take one. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* without it fewer fit */
}

static void classify_ports(struct daemon *d)
{
	const struct config_ports *latency = &d->config->latency_ports;
	const struct config_ports *throughput = &d->config->throughput_ports;
	uint32_t i, port;

	for (i = 0; i < throughput->nr; i++)
		for (port = throughput->range[i].first; port <= throughput->range[i].last; port++)
			d->port_class[port] = CLASS_THROUGHPUT;
	/* A port in both is of the latency class. */
	for (i = 0; i < latency->nr; i++)
		for (port = latency->range[i].first; port <= latency->range[i].last; port++)
			d->port_class[port] = CLASS_LATENCY;
}

/* Of a port that is named twice the last counts. */
static void weigh_ports(struct daemon *d)
{
	const struct config_weights *weights = &d->config->weights;
	uint32_t i, port;

	memset(d->port_weight, 1, sizeof(d->port_weight));
	for (i = 0; i < weights->nr; i++)
		for (port = weights->range[i].first; port <= weights->range[i].last; port++)
			d->port_weight[port] = (uint8_t)weights->range[i].weight;
}

static uint32_t engine_streams(const struct config *c)
{
	/* Both ends of a stream to the host itself are streams here; and port_open.c gives one
	 * application no more than it leaves to others. */
	uint32_t streams = power_of_two(4 * c->sockets);

	return streams < STREAMS_MIN ? STREAMS_MIN : streams;
}

/* What [channels] max leaves to the throughput class of a lane. */
static uint32_t throughput_most(const struct config *c)
{
	uint32_t most = c->channels_max - c->latency;

	return most < NCD_LANE_CHANNELS_MAX ? most : NCD_LANE_CHANNELS_MAX;
}

static struct worker_config worker_settings(struct daemon *d, uint32_t index, uint32_t nr, int cpu)
{
	const struct config *c = d->config;
	uint32_t ports = (PORT_EPHEMERAL_HIGH + 1 - PORT_EPHEMERAL_LOW) / nr;

	return (struct worker_config){
		.index = index,
		.cpu = cpu,
		.io = (enum io_choice)c->io,
		.spin_us = c->spin_us,
		.slice_us = c->slice_us,
		.stall_ns = STALL_NS,
		.hold_ns = HOLD_NS,
		.engine = {
			.streams = d->stats.shape.streams,
			.channels = CHANNELS,
			.listeners = LISTENERS,
			.frame_bytes = (uint32_t)c->frame_bytes,
			.file_min = c->zerocopy ? ZEROCOPY_LEAST : 0,
			.throughput = c->throughput,
			.throughput_max = throughput_most(c),
			.carry = c->carry && nr > 1,
			.slow_ns = SLOW_NS,
			.policy = (enum sched_policy)c->policy,
			.seed = d->incarnation + index,
			.ack_delay_ns = ACK_DELAY_NS,
			.ping_idle_ns = c->ping_seconds * NS_PER_S,
			.ping_dead_ns = PINGS_UNANSWERED * c->ping_seconds * NS_PER_S,
			.unreachable_ns = c->timeout_seconds * NS_PER_S,
			.orphan_ns = ORPHAN_NS,
			.port_low = (uint16_t)(PORT_EPHEMERAL_LOW + index * ports),
			.port_high = (uint16_t)(PORT_EPHEMERAL_LOW + (index + 1) * ports - 1),
		},
		.ring_send_bytes = (uint32_t)c->send_bytes,
		.ring_receive_bytes = (uint32_t)c->receive_bytes,
		.ring_initial_bytes = (uint32_t)c->initial_bytes,
		.idle_ns = c->idle_seconds * NS_PER_S,
		.port_class = d->port_class,
		.port_weight = d->port_weight,
		.stats = stats_worker_entry(&d->stats, index),
		.stats_socket = stats_worker_sockets(&d->stats, index),
	};
}

static int start_stats(struct daemon *d, uint32_t workers, char error[CONFIG_ERROR_BYTES])
{
	const struct stats_shape shape = {
		.workers = workers,
		.streams = engine_streams(d->config),
		.copy_workers = d->config->copy_cores.nr,
		.channels = STATS_CHANNELS,
		.clients = NCD_CLIENTS_MAX,
		.listeners = STATS_LISTENERS,
		.left = STATS_LEFT,
	};
	char path[STATS_PATH_BYTES];
	char text[ADDRESS_TEXT_BYTES];
	int r = stats_init(&d->stats, d->socket.path, &shape);

	if (r < 0) {
		stats_path(d->socket.path, path);
		(void)snprintf(error, CONFIG_ERROR_BYTES,
			       "%s: cannot be made: %s; make its directory "
			       "writable to the user of ncd, with some MB free",
			       path, strerror(-r));
		return r;
	}
	d->stats.head->incarnation = d->incarnation;
	d->stats.head->lane_latency = d->config->latency;
	d->stats.head->lane_throughput = d->config->throughput;
	d->stats.head->lane_max = d->config->channels_max;
	address_format(&d->config->addresses.address[0], text);
	memcpy(d->stats.head->host_addr, text, sizeof(text));
	return 0;
}

/* What ncd-stat says of a worker and does not change; before anybody can have read it. */
static void describe_worker(struct daemon *d, uint32_t index, int cpu)
{
	struct stats_worker *s = stats_worker_entry(&d->stats, index);
	const char *why;

	s->cpu = (uint32_t)cpu; /* -1: not pinned */
	(void)snprintf(s->backend, sizeof(s->backend), "%s",
		       worker_backend(d->workers.worker[index], &why));
}

static int start_workers(struct daemon *d, char error[CONFIG_ERROR_BYTES])
{
	int cpu[NCD_WORKERS_MAX];
	uint32_t i, nr = config_workers(d->config, cpu);
	const char *backend, *why = "";
	int r = start_stats(d, nr, error);

	if (r < 0)
		return r;
	r = workers_init(&d->workers, d->base, daemon_event, d);
	if (r < 0)
		return fail(r, "cannot prepare the workers", error);
	r = d->config->carry ? workers_carry(&d->workers, nr) : 0;
	if (r < 0)
		return fail(r, "cannot prepare the workers", error);
	for (i = 0; i < nr; i++) {
		struct worker_config cfg = worker_settings(d, i, nr, cpu[i]);

		r = workers_add(&d->workers, &cfg);
		if (r < 0) {
			(void)snprintf(error, CONFIG_ERROR_BYTES,
				       "worker %" PRIu32 " cannot start: "
				       "%s; see [workers] io (auto falls back to epoll) and cores",
				       i, strerror(-r));
			return r;
		}
		describe_worker(d, i, cpu[i]);
	}
	backend = worker_backend(d->workers.worker[0], &why);
	if (why && *why)
		log_line(&d->log, LOG_LEVEL_NOTICE, "I/O by %s, not io_uring: %s", backend, why);
	return 0;
}

static void copy_event(void *ctx)
{
	struct daemon *d = ctx;

	control_copy_event(&d->control);
}

static int start_copy_workers(struct daemon *d, char error[CONFIG_ERROR_BYTES])
{
	const struct config_cores *cores = &d->config->copy_cores;
	uint32_t i;
	int r;

	if (cores->nr == 0)
		return 0;
	r = copy_workers_init(&d->copy_workers, d->base, copy_event, d);
	if (r < 0)
		return fail(r, "cannot prepare the copy workers", error);
	for (i = 0; i < cores->nr; i++) {
		r = copy_workers_start(&d->copy_workers, (int)cores->cpu[i], d->config->spin_us,
				       stats_copy_entry(&d->stats, i));
		if (r < 0) {
			(void)snprintf(error, CONFIG_ERROR_BYTES,
				       "copy worker %" PRIu32
				       " cannot start: %s; see [workers] copy_cores",
				       i, strerror(-r));
			return r;
		}
	}
	d->control.copy_workers = &d->copy_workers;
	return 0;
}

static int start_outside(struct daemon *d, char error[CONFIG_ERROR_BYTES])
{
	int r = control_socket_open(&d->socket, d->config->socket, error);

	if (r < 0)
		return r;
	d->peers.base = d->base;
	d->peers.log = &d->log;
	d->peers.stats = &d->stats;
	d->peers.workers = &d->workers;
	d->peers.config = d->config;
	d->peers.incarnation = d->incarnation;
	r = peers_listen(&d->peers, error);
	if (r < 0)
		return r;
	r = privilege_drop(d->config, d->socket.directory_made ? d->socket.path : NULL, error);
	if (r < 0 || d->config->copy_cores.nr == 0)
		return r;
	/* Before there is any other thread: each has its own. */
	r = privilege_ptrace(false);
	return r < 0 ? fail(r, "cannot give up CAP_SYS_PTRACE", error) : 0;
}

static int start_inside(struct daemon *d, char error[CONFIG_ERROR_BYTES])
{
	int r = start_workers(d, error);

	if (r == 0)
		r = start_copy_workers(d, error);
	if (r < 0)
		return r;
	r = peers_init(&d->peers);
	if (r < 0)
		return fail(r, "peers", error);
	d->control.base = d->base;
	d->control.log = &d->log;
	d->control.stats = &d->stats;
	d->control.workers = &d->workers;
	d->control.config = d->config;
	d->control.port_class = d->port_class;
	d->control.slots = power_of_two(2 * d->config->sockets);
	r = control_init(&d->control);
	if (r == 0) {
		r = control_listen(&d->control, d->socket.fd);
		d->socket.fd = -1;
	}
	if (r < 0)
		return fail(r, "control socket", error);
	r = daemon_signals(d);
	return r < 0 ? fail(r, "signals", error) : 0;
}

/* What is asked by a signal meanwhile is done when it has started: ncd-stat sees it before. */
static int start_all(struct daemon *d, char error[CONFIG_ERROR_BYTES])
{
	sigset_t asked, before;
	int r;

	sigemptyset(&asked);
	for (uint32_t i = 0; i < DAEMON_SIGNALS; i++)
		sigaddset(&asked, daemon_handled[i]);
	(void)pthread_sigmask(SIG_BLOCK, &asked, &before); /* cannot fail */
	r = start_outside(d, error);
	if (r == 0)
		r = start_inside(d, error);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* as above */
	return r;
}

int daemon_start(struct daemon *d, struct config *config, bool config_named,
		 char error[CONFIG_ERROR_BYTES])
{
	char where[ENDPOINT_TEXT_BYTES];
	int r;

	d->config = config;
	d->config_named = config_named;
	d->socket.fd = -1;
	d->socket.lock_fd = -1;
	d->workers.event_fd = -1;
	d->control.listen_fd = -1;
	d->incarnation = clock_realtime_ns();
	log_init(&d->log, 2, (enum log_level)config->log_level);
	if (config->file_absent)
		log_line(&d->log, LOG_LEVEL_NOTICE, "%s does not exist: defaults, and no peers",
			 config->file);
	raise_descriptors();
	classify_ports(d);
	weigh_ports(d);
	d->base = event_base_new();
	if (d->base == NULL)
		return fail(-ENOMEM, "event loop", error);
	r = start_all(d, error);
	if (r < 0)
		return r;
	log_line(&d->log, LOG_LEVEL_INFO,
		 "ncd %s at %s, socket %s, %" PRIu32 " worker%s, %" PRIu32
		 " copy worker%s, %" PRIu32 " peer%s",
		 NCD_RELEASE,
		 endpoint_format(&config->addresses.address[0], (uint16_t)config->port, where),
		 d->socket.path, d->workers.nr, d->workers.nr == 1 ? "" : "s", d->copy_workers.nr,
		 d->copy_workers.nr == 1 ? "" : "s", config->peer_nr - 1,
		 config->peer_nr == 2 ? "" : "s");
	peers_dial(&d->peers);
	daemon_status(d);
	notify_ready();
	return 0;
}

void daemon_run(struct daemon *d)
{
	if (event_base_dispatch(d->base) < 0)
		log_line(&d->log, LOG_LEVEL_ERROR, "the event loop failed: %s", strerror(errno));
}

void daemon_fini(struct daemon *d)
{
	struct event *const events[] = { d->second, d->watchdog, d->drain };
	uint32_t i;

	copy_workers_stop(&d->copy_workers);
	workers_stop(&d->workers);
	control_abandon(&d->control);
	workers_cancel(&d->workers);
	control_fini(&d->control);
	peers_fini(&d->peers);
	workers_fini(&d->workers);
	copy_workers_fini(&d->copy_workers);
	if (d->stats.head)
		stats_state(&d->stats, "stopped");
	stats_fini(&d->stats);
	control_socket_close(&d->socket);
	for (i = 0; i < DAEMON_SIGNALS; i++)
		if (d->signal[i])
			event_free(d->signal[i]);
	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	if (d->base)
		event_base_free(d->base);
	config_free(d->config);
	memset(d, 0, sizeof(*d));
}
