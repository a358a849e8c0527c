/* SPDX-License-Identifier: MIT */
/*
 * workers.h - all workers together, as control sees them: start, stop, commands out, events in.
 *
 * Ownership: a posted command is allocated here and freed when it came back, behind the handler.
 *   Those that a stopped worker still had come back with -ECANCELED.
 * Threading: control.
 */
#ifndef NCD_WORKERS_H
#define NCD_WORKERS_H

#include <stdint.h>

#include "worker.h"
#include "worker_cmd.h"

struct command;
struct event;
struct event_base;

struct workers {
	struct worker *worker[NCD_WORKERS_MAX];
	uint32_t nr;
	int event_fd;
	struct carriers *carriers; /* NULL: the workers do not know of each other */
	struct event *event;
	struct command *out; /* posted, not back */
	/* Called for each event; EVT_DONE too. */
	void (*handler)(void *ctx, uint32_t worker, const struct worker_event *ev);
	void *ctx;
};

/* Makes the descriptor by which workers wake control. 0 or -errno. */
int workers_init(struct workers *ws, struct event_base *base,
		 void (*handler)(void *ctx, uint32_t worker, const struct worker_event *ev),
		 void *ctx);
/* There will be @nr, which may send and receive for each other. Before the first. 0 or -ENOMEM. */
int workers_carry(struct workers *ws, uint32_t nr);
/* Starts one more, the next in order. 0, or the error of worker_start. */
int workers_add(struct workers *ws, const struct worker_config *cfg);
/* Stops all: nr is 0 from then on. Commands under way are not back yet, other events are lost. */
void workers_stop(struct workers *ws);
/* After workers_stop: hands the commands that were under way to the handler, with -ECANCELED. */
void workers_cancel(struct workers *ws);
void workers_fini(struct workers *ws);

/* A zeroed command, or NULL. Goes out by workers_post(), or ends with command_destroy(). */
struct worker_cmd *command_create(enum worker_cmd_type type);
/* Of a command that was not posted; NULL is allowed. */
void command_destroy(struct worker_cmd *cmd);
void workers_post(struct workers *ws, uint32_t worker, struct worker_cmd *cmd);
/* A copy of @cmd to every worker. 0, or -ENOMEM: to none. */
int workers_post_all(struct workers *ws, const struct worker_cmd *cmd);

#endif /* NCD_WORKERS_H */
