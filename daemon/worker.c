/* SPDX-License-Identifier: MIT */
/*
 * worker.c - a worker's life, and its loop: worker_turn() is the schedule.
 */
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ncd/doorbell.h"

#include "channel_io.h"
#include "clock.h"
#include "pin.h"
#include "port_calls.h"
#include "power_of_two.h"
#include "worker_state.h"

static const struct engine_ops worker_engine_ops = { .incoming = port_incoming,
						    .resume = port_resume,
						    .port_left = port_number_left };

static uint32_t worker_tick(struct worker *w)
{
	struct channel *dead;
	uint32_t did = 0;

	if (w->now_ns - w->ports_ns >= STATS_EVERY_NS / 4) {
		ports_rest(w);
		worker_peers_news(w);
	}
	if (w->now_ns - w->sweep_ns >= STATS_EVERY_NS)
		worker_sweep(w);
	if (w->now_ns >= w->trim_ns)
		ports_trim(w);
	if (w->now_ns >= w->warm_ns)
		did += flows_cool(w);
	slice_follow(&w->slice, w->latency_ns, w->throughput_ns, w->now_ns);
	if (!engine_tick_due(w->engine, w->now_ns))
		return did;
	do {
		engine_tick(w->engine, w->now_ns, &dead);
		if (dead)
			channel_io_dead(w, dead);
		did++;
	} while (dead && did < NCD_PEERS_MAX);
	return did;
}

/* One turn. Latency comes before throughput in every step that knows classes. */
static uint32_t worker_turn(struct worker *w)
{
	uint32_t did = 0;

	w->now_ns = clock_monotonic_ns();
	did += worker_commands(w);
	did += carrying_take(w);
	did += ports_submit(w);
	did += channel_io_send(w, 0);
	did += channel_io_send(w, 1);
	did += carrying_give(w);
	io_poll(w->io);
	did += channel_io_receive(w, 0);
	did += channel_io_receive(w, 1);
	did += channel_io_loop(w);
	did += carrying_post(w);
	did += ports_deliver(w);
	did += ports_reclaim(w);
	did += ports_wake(w);
	did += worker_tick(w);
	door_flush(&w->door);
	return did;
}

static void worker_run(struct worker *w)
{
	uint64_t turns = 0;

	/* Relaxed, stop and turns: each is looked at for itself; the eventfd wakes a sleeper. */
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		if (worker_turn(w)) {
			w->busy_turns++;
			worker_busy(w);
		} else {
			worker_idle(w);
		}
		atomic_store_explicit(&w->turns, ++turns, memory_order_relaxed);
	}
}

/* What must be made in the thread itself: io_uring remembers who created the ring. */
static int worker_set_up(struct worker *w)
{
	int ret;

	if (w->cfg.cpu >= 0) {
		ret = pin_thread(w->cfg.cpu);
		if (ret < 0)
			return ret;
	}
	ret = io_create(w->cfg.io, w->cfg.engine.channels, &w->io, &w->why_not_uring);
	if (ret < 0)
		return ret;
	w->cmd_watch = (struct io_watch){ .fd = w->door.cmd_fd };
	ret = io_watch_add(w->io, &w->cmd_watch);
	if (ret < 0)
		return ret;
	w->now_ns = w->sweep_ns = w->ports_ns = w->bulk_ns = clock_monotonic_ns();
	w->bulk_period = 1;
	w->slice.short_ns = (uint64_t)w->cfg.slice_us * 1000;
	w->trim_ns = w->warm_ns = UINT64_MAX;
	w->passing_end = &w->passing;
	w->held_end = &w->held;
	w->offers_end = &w->offers;
	if (w->cfg.stats) {
		w->cfg.stats->cpu = (uint32_t)w->cfg.cpu;
		(void)snprintf(w->cfg.stats->backend, sizeof(w->cfg.stats->backend), "%s",
			       io_name(w->io));
	}
	ret = carrying_start(w);
	return ret < 0 ? ret : channel_io_loops(w);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	char name[16];
	int ret;

	w->self = pthread_self();
	(void)snprintf(name, sizeof(name), "ncd-worker%u", w->cfg.index);
	(void)pthread_setname_np(pthread_self(), name); /* cosmetic */
	ret = worker_set_up(w);
	pthread_mutex_lock(&w->mutex);
	w->io_error = ret;
	w->up = true;
	pthread_cond_signal(&w->started);
	pthread_mutex_unlock(&w->mutex);
	if (ret == 0)
		worker_run(w);
	io_destroy(w->io);
	return NULL;
}

static void worker_free(struct worker *w)
{
	channel_io_destroy(w);
	pin_free(w->moved, w->moved_bytes);
	pin_free(w->later, w->later_bytes);
	pin_free(w->flow, w->flow_bytes);
	pin_free(w->engine_mem, w->engine_mem_bytes);
	door_destroy(&w->door);
	pthread_mutex_destroy(&w->mutex);
	pthread_cond_destroy(&w->started);
	pin_free(w, sizeof(*w));
}

static uint32_t ring_size_clamp(uint32_t bytes)
{
	if (bytes < NCD_RING_MIN)
		return NCD_RING_MIN;
	if (bytes > NCD_RING_MAX)
		return NCD_RING_MAX;
	return floor_power_of_two(bytes);
}

/* All events that can arise without a command, twice: see worker_door.c. */
static uint32_t event_queue_entries(const struct worker_config *cfg)
{
	uint32_t most = cfg->engine.channels + 3 * NCD_CLIENTS_MAX + 2 * NCD_PEERS_MAX + TAKES_MAX;

	return 4 * floor_power_of_two(most);
}

static int worker_alloc(struct worker *w, int event_fd)
{
	int ret = door_create(&w->door, event_queue_entries(&w->cfg), event_fd);

	if (ret < 0)
		return ret;
	w->engine_mem_bytes = engine_bytes(&w->cfg.engine);
	w->engine_mem = pin_alloc(w->engine_mem_bytes, w->node);
	w->flow_bytes = w->cfg.engine.streams * sizeof(*w->flow);
	w->flow = pin_alloc(w->flow_bytes, w->node);
	w->moved_bytes = w->cfg.engine.streams * sizeof(*w->moved);
	w->moved = pin_alloc(w->moved_bytes, w->node);
	w->takes_end = &w->takes;
	w->later_max = LATER_EACH * w->cfg.engine.streams;
	w->later_bytes = w->later_max * sizeof(*w->later);
	w->later = pin_alloc(w->later_bytes, w->node); /* takes memory where it is used */
	if (!w->engine_mem || !w->flow || !w->moved || !w->later)
		return -ENOMEM;
	w->engine = engine_create(w->engine_mem, &w->cfg.engine, &worker_engine_ops, w);
	return channel_io_create(w);
}

int worker_start(const struct worker_config *cfg, int event_fd, struct worker **ret_worker)
{
	int node = pin_node(cfg->cpu);
	struct worker *w = pin_alloc(sizeof(*w), node);
	int ret;

	if (!w)
		return -ENOMEM;
	w->cfg = *cfg;
	w->node = node;
	/* Two more, for the host's own channels. */
	w->cfg.engine.channels += IO_RANKS;
	w->cfg.engine.clients = NCD_CLIENTS_MAX;
	w->cfg.engine.worker = cfg->index;
	w->cfg.engine.workers = cfg->carriers ? cfg->carriers->nr : 1;
	w->cfg.engine.rebase = true; /* the library follows rx_base */
	w->cfg.ring_send_bytes = ring_size_clamp(cfg->ring_send_bytes);
	w->cfg.ring_receive_bytes = ring_size_clamp(cfg->ring_receive_bytes);
	w->cfg.ring_initial_bytes = ring_size_clamp(cfg->ring_initial_bytes);
	pthread_mutex_init(&w->mutex, NULL);
	pthread_cond_init(&w->started, NULL);
	ret = worker_alloc(w, event_fd);
	if (ret < 0)
		goto err_free;
	ret = -pthread_create(&w->thread, NULL, worker_main, w);
	if (ret < 0)
		goto err_free;
	pthread_mutex_lock(&w->mutex);
	while (!w->up)
		pthread_cond_wait(&w->started, &w->mutex);
	ret = w->io_error;
	pthread_mutex_unlock(&w->mutex);
	if (ret < 0) {
		pthread_join(w->thread, NULL);
		goto err_free;
	}
	*ret_worker = w;
	return 0;

err_free:
	worker_free(w);
	return ret;
}

void worker_nudge(struct worker *w)
{
	uint64_t one = 1;
	ssize_t n = write(w->door.cmd_fd, &one, sizeof(one));

	(void)n; /* fails only at 2^64 unread wakes */
}

void worker_stop(struct worker *w)
{
	if (!w)
		return;
	/* Relaxed: the eventfd's write orders it for a sleeper. */
	atomic_store_explicit(&w->stop, true, memory_order_relaxed);
	worker_nudge(w);
	pthread_join(w->thread, NULL);
	worker_free(w);
}

const char *worker_backend(const struct worker *w, const char **ret_why)
{
	*ret_why = w->why_not_uring;
	return io_name(w->io);
}

uint64_t worker_turns(const struct worker *w, bool *ret_sleeping)
{
	/* Relaxed, both: compared with what they were seconds ago. */
	*ret_sleeping = atomic_load_explicit(&w->asleep_ns, memory_order_relaxed) != 0;
	return atomic_load_explicit(&w->turns, memory_order_relaxed);
}

uint64_t worker_idle_ns(const struct worker *w, uint64_t now_ns)
{
	/* Relaxed, both: as above. */
	uint64_t idle = atomic_load_explicit(&w->idle_ns, memory_order_relaxed);
	uint64_t since = atomic_load_explicit(&w->asleep_ns, memory_order_relaxed);

	return since != 0 && since < now_ns ? idle + now_ns - since : idle;
}

bool worker_placed(const struct worker *w)
{
	return pin_holds(w->thread, w->cfg.cpu);
}
