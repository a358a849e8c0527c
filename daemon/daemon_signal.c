/* SPDX-License-Identifier: MIT */
/*
 * daemon_signal.c - signals (drain, reload, dump) and the clockwork: heartbeat, watchdog.
 */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "daemon.h"
#include "notify.h"
#include "stats_guard.h"

#define DRAIN_LOOK_MS     100
#define DRAIN_QUIET       2 /* looks without a stream: by then the last frames are out */
#define DRAIN_EXTEND_USEC 5000000ull

/* ---- drain ---- */

static uint64_t streams_left(struct daemon *d)
{
	uint64_t streams = 0;
	uint32_t i;

	/* Relaxed: counters; looked at again and again. */
	for (i = 0; i < d->workers.nr; i++)
		streams += atomic_load_explicit(&stats_worker_entry(&d->stats, i)->streams,
						memory_order_relaxed);
	return streams;
}

static void drain_look(int fd, short what, void *ctx)
{
	struct daemon *d = ctx;
	uint64_t streams = streams_left(d);

	(void)fd;
	(void)what;
	notify_stopping(DRAIN_EXTEND_USEC);
	d->quiet_looks = streams == 0 && d->leave_pending == 0 ? d->quiet_looks + 1 : 0;
	if (d->quiet_looks >= DRAIN_QUIET) {
		log_line(&d->log, LOG_LEVEL_INFO, "stopped");
		(void)event_base_loopbreak(d->base); /* cannot fail inside the loop */
	} else if (clock_monotonic_ns() >= d->drain_until_ns) {
		log_line(&d->log, LOG_LEVEL_NOTICE,
			 "stopped with %" PRIu64 " streams open: drain_seconds are over", streams);
		(void)event_base_loopbreak(d->base); /* as above */
	}
}

static void daemon_drain(struct daemon *d, int signal)
{
	const struct timeval look = { .tv_usec = DRAIN_LOOK_MS * 1000 };
	const struct worker_cmd leave = { .type = CMD_LEAVE };

	if (d->draining) {
		log_line(&d->log, LOG_LEVEL_NOTICE, "%s again: stopped at once", strsignal(signal));
		(void)event_base_loopbreak(d->base); /* cannot fail inside the loop */
		return;
	}
	d->draining = true;
	d->drain_until_ns = clock_monotonic_ns() + d->config->drain_seconds * 1000000000ull;
	log_line(&d->log, LOG_LEVEL_INFO, "%s: finishing %" PRIu64 " streams, within %" PRIu32 " s",
		 strsignal(signal), streams_left(d), d->config->drain_seconds);
	stats_state(&d->stats, "draining");
	notify_stopping(DRAIN_EXTEND_USEC);
	notify_status("draining");
	peers_leave(&d->peers);
	control_leave(&d->control);
	if (workers_post_all(&d->workers, &leave) == 0)
		d->leave_pending = d->workers.nr;
	if (event_add(d->drain, &look) < 0)
		(void)event_base_loopbreak(d->base); /* cannot fail inside the loop */
}

/* ---- reload ---- */

static void reload_differs(void *ctx, const char *section, const char *key)
{
	struct daemon *d = ctx;

	log_line(&d->log, LOG_LEVEL_WARNING, "%s: [%s] %s has changed, and needs a restart",
		 d->config->file, section, key);
}

static void daemon_reload(struct daemon *d)
{
	char error[CONFIG_ERROR_BYTES] = "";
	struct config *fresh = NULL, *old = d->config;
	int r;

	if (d->draining)
		return;
	notify_reloading();
	r = config_load(old->file, d->config_named, &fresh, error);
	if (r == 0)
		r = config_resolve(fresh, error);
	if (r < 0) {
		config_free(fresh);
		stats_count(&d->stats.head->reload_failures);
		log_line(&d->log, LOG_LEVEL_ERROR, "%s (nothing is changed)", error);
		notify_ready();
		return;
	}
	config_adopt(fresh, old, reload_differs, d);
	d->config = fresh;
	d->control.config = fresh;
	d->peers.config = fresh;
	d->log.level = (enum log_level)fresh->log_level;
	peers_reload(&d->peers);
	config_free(old);
	stats_count(&d->stats.head->reloads);
	log_line(&d->log, LOG_LEVEL_INFO, "%s is taken over: %" PRIu32 " peer%s", fresh->file,
		 fresh->peer_nr - 1, fresh->peer_nr == 2 ? "" : "s");
	notify_ready();
	daemon_status(d);
}

/* ---- dump ---- */

static void daemon_dump(struct daemon *d)
{
	uint32_t i;

	log_line(&d->log, LOG_LEVEL_INFO,
		 "dump: ncd %s, %" PRIu32 " clients, %" PRIu32 " greeting, %" PRIu64 " streams%s",
		 NCD_RELEASE, d->control.attached, d->control.greeting, streams_left(d),
		 d->draining ? ", draining" : "");
	for (i = 0; i < d->workers.nr; i++) {
		const struct stats_worker *s = stats_worker_entry(&d->stats, i);
		const char *why = "";
		bool sleeping = false;
		uint64_t turns = worker_turns(d->workers.worker[i], &sleeping);

		/* Relaxed: counters. */
		log_line(&d->log, LOG_LEVEL_INFO,
			 "dump: worker %" PRIu32 " (%s): %" PRIu64 " turns%s, %" PRIu64 " streams",
			 i, worker_backend(d->workers.worker[i], &why), turns,
			 sleeping ? ", asleep" : "",
			 atomic_load_explicit(&s->streams, memory_order_relaxed));
	}
	peers_dump(&d->peers);
}

static void daemon_signal(int signal, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)what;
	if (signal == SIGHUP)
		daemon_reload(d);
	else if (signal == SIGUSR1)
		daemon_dump(d);
	else
		daemon_drain(d, signal);
}

/* ---- clockwork ---- */

void daemon_status(struct daemon *d)
{
	char status[sizeof(d->status)];
	uint32_t peers, up;

	if (d->draining)
		return;
	peers_count(&d->peers, &peers, &up);
	(void)snprintf(status, sizeof(status),
		       "%" PRIu32 " of %" PRIu32 " peers up, %" PRIu32 " clients, %" PRIu64
		       " streams",
		       up, peers, d->control.attached, streams_left(d));
	if (strcmp(status, d->status) == 0)
		return;
	memcpy(d->status, status, sizeof(status));
	notify_status("%s", status);
}

static void core_look(struct daemon *d, const char *what, uint32_t index, uint32_t cpu,
		      bool *moved, bool placed)
{
	if (!placed && !*moved)
		log_line(&d->log, LOG_LEVEL_WARNING,
			 "%s %" PRIu32 " has lost core %" PRIu32
			 " (it is offline, or taken away) and runs on others",
			 what, index, cpu);
	else if (placed && *moved)
		log_line(&d->log, LOG_LEVEL_NOTICE, "%s %" PRIu32 " has core %" PRIu32 " again",
			 what, index, cpu);
	*moved = !placed;
}

/* The kernel moves the threads of a core that is taken away; that must not go unnoticed. */
static void cores_look(struct daemon *d)
{
	uint32_t i;

	for (i = 0; i < d->workers.nr; i++)
		core_look(d, "worker", i, stats_worker_entry(&d->stats, i)->cpu, &d->moved[i],
			  worker_placed(d->workers.worker[i]));
	for (i = 0; i < d->copy_workers.nr; i++)
		core_look(d, "copy worker", i, stats_copy_entry(&d->stats, i)->cpu,
			  &d->copy_moved[i], copy_worker_placed(d->copy_workers.worker[i]));
}

static void stats_look(struct daemon *d)
{
	if (stats_guard_lost() == 0 || d->stats_lost)
		return;
	d->stats_lost = true;
	log_line(&d->log, LOG_LEVEL_WARNING,
		 "%s: its file system is full, or it was cut: ncd-stat does not see all, until ncd "
		 "is started again",
		 d->stats.path);
}

static void daemon_second(int fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd;
	(void)what;
	/* Relaxed: looked at for itself alone. */
	atomic_store_explicit(&d->stats.head->heartbeat_ns, clock_monotonic_ns(),
			      memory_order_relaxed);
	control_second(&d->control);
	cores_look(d);
	stats_look(d);
	daemon_status(d);
}

/*
 * True if every worker has moved on since the last look. Sleeping is no excuse: each look wakes
 * them for a turn, which must have been made by the next.
 */
static bool workers_move(struct daemon *d)
{
	bool all = true;
	uint32_t i;

	for (i = 0; i < d->workers.nr; i++) {
		bool sleeping = false;
		uint64_t turns = worker_turns(d->workers.worker[i], &sleeping);
		bool moves = turns != d->turns[i];

		d->turns[i] = turns;
		/* Also one that is awake: it may be about to sleep, in this turn. */
		worker_nudge(d->workers.worker[i]);
		if (!moves && !d->hung[i])
			log_line(&d->log, LOG_LEVEL_ERROR,
				 "worker %" PRIu32 " hangs: the watchdog is not fed", i);
		else if (moves && d->hung[i])
			log_line(&d->log, LOG_LEVEL_NOTICE, "worker %" PRIu32 " moves again", i);
		d->hung[i] = !moves;
		all = all && moves;
	}
	return all;
}

static void daemon_watchdog(int fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	if (workers_move(ctx))
		notify_watchdog();
}

const int daemon_handled[DAEMON_SIGNALS] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

int daemon_signals(struct daemon *d)
{
	const struct timeval second = { .tv_sec = 1 };
	uint64_t usec = notify_watchdog_usec();
	struct timeval interval = { .tv_sec = (time_t)(usec / 1000000),
				    .tv_usec = (suseconds_t)(usec % 1000000) };
	uint32_t i;

	for (i = 0; i < DAEMON_SIGNALS; i++) {
		d->signal[i] = evsignal_new(d->base, daemon_handled[i], daemon_signal, d);
		if (d->signal[i] == NULL || event_add(d->signal[i], NULL) < 0)
			return -ENOMEM;
	}
	d->drain = event_new(d->base, -1, EV_PERSIST, drain_look, d);
	d->second = event_new(d->base, -1, EV_PERSIST, daemon_second, d);
	if (d->drain == NULL || d->second == NULL || event_add(d->second, &second) < 0)
		return -ENOMEM;
	daemon_second(-1, 0, d);
	if (usec == 0)
		return 0;
	d->watchdog = event_new(d->base, -1, EV_PERSIST, daemon_watchdog, d);
	if (d->watchdog == NULL || event_add(d->watchdog, &interval) < 0)
		return -ENOMEM;
	return 0;
}
