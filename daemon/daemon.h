/* SPDX-License-Identifier: MIT */
/*
 * daemon.h - the whole daemon: what it consists of, and in which order it starts and stops.
 *
 * Ownership: main() owns struct daemon; it owns all else.
 * Threading: control is the thread that calls daemon_run.
 */
#ifndef NCD_DAEMON_H
#define NCD_DAEMON_H

#include "config.h"
#include "control.h"
#include "control_socket.h"
#include "copy_workers.h"
#include "log.h"
#include "peers.h"
#include "stats.h"
#include "workers.h"

struct event;
struct event_base;

#define DAEMON_SIGNALS 4

struct daemon {
	struct log log;
	struct config *config;
	bool config_named; /* by -c: must exist at a reload, too */

	struct event_base *base;
	struct event *signal[DAEMON_SIGNALS];
	struct event *second, *watchdog, *drain;
	struct control_socket socket;
	struct stats stats;
	bool stats_lost; /* the log has said that readers do not see all of it */
	struct workers workers;
	struct copy_workers copy_workers;
	struct peers peers;
	struct control control;
	uint8_t port_class[65536]; /* enum stream_class by port, from [class] */
	uint8_t port_weight[65536]; /* from [scheduler] weights */
	uint64_t incarnation;

	uint64_t turns[NCD_WORKERS_MAX]; /* at the last look of the watchdog */
	bool hung[NCD_WORKERS_MAX];      /* said so in the log */
	bool moved[NCD_WORKERS_MAX];     /* to other cores, and said so */
	bool copy_moved[NCD_COPY_WORKERS_MAX];
	char status[128];                /* last told to systemd */

	bool draining;
	uint64_t drain_until_ns;
	uint32_t leave_pending; /* workers that have not taken CMD_LEAVE */
	uint32_t quiet_looks;   /* one after the other at which no stream was left */
};

/*
 * Starts everything from @config, which becomes the daemon's. 0, or -errno with one line in @error;
 * daemon_fini in both cases.
 */
int daemon_start(struct daemon *d, struct config *config, bool config_named,
		 char error[CONFIG_ERROR_BYTES]);
/* Until a signal ends it. */
void daemon_run(struct daemon *d);
/* In reverse order of the start; of a half-started one, too. */
void daemon_fini(struct daemon *d);

/* daemon_signal.c: what signals and timers do. */
extern const int daemon_handled[DAEMON_SIGNALS]; /* which they are */
int daemon_signals(struct daemon *d);
/* Tells systemd how things are, if that has changed. */
void daemon_status(struct daemon *d);

#endif /* NCD_DAEMON_H */
