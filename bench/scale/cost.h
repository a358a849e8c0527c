/* SPDX-License-Identifier: MIT */
/*
 * cost.h - what one operation costs on a machine: measured by the programs beside this file, kept
 * in a text file, read by the model.
 *
 *   # comment
 *   send_call 1830.0            nanoseconds
 *   frame_tx 64 41.2            the same with 64 sockets on the core ...
 *   frame_tx 32768 118.0        ... and with 32768: between them it follows the logarithm
 *
 * Ownership: the caller's memory.
 */
#ifndef SCALE_COST_H
#define SCALE_COST_H

#include <stdint.h>
#include <stdio.h>

#define COST_POINTS_MAX 8

enum cost {
	/* The kernel. */
	COST_SEND_CALL, /* sendmsg of a channel, without its bytes */
	COST_SEND_BYTE,
	COST_RECV_CALL,
	COST_RECV_BYTE,
	COST_RECV_EMPTY,  /* and there was nothing */
	COST_YIELD,       /* sched_yield, nobody else wants the core */
	COST_SWITCH,      /* from one thread to another of the core */
	COST_SLEEP,       /* of who goes to sleep, beside that */
	COST_WAKE_APP,    /* of who wakes a sleeper of the same core, by futex */
	COST_WAKE_WORKER, /* by eventfd */
	COST_SEND_WAKES,  /* what a send costs more if the receiver sleeps, on another core */
	COST_WAKE_DELAY,  /* from then on until that one runs */
	COST_COPY_BYTE,   /* memcpy of 4 KiB, out of or into so much for each socket */
	/* A worker. */
	COST_TURN,     /* a turn in which there is nothing to do */
	COST_SUBMIT,   /* a word of a submission queue */
	COST_FRAME_TX, /* a frame with 64 bytes, built */
	COST_FRAME_RX, /* the same, taken apart and copied to its ring */
	COST_DELIVER,  /* shown to the application, with a word for its completion queue */
	/* The library, as an application calls it. */
	COST_APP_EVENT, /* one event of nc_cq_wait */
	COST_APP_TURN,  /* nc_recv of 64 bytes, nc_recv again and there is nothing, nc_send of 64 */
	COST_NR
};

struct cost_point {
	uint32_t sockets;
	double ns;
};

/* By number of sockets, ascending; one point: the number does not matter. */
struct costs {
	struct cost_point at[COST_NR][COST_POINTS_MAX];
	uint32_t nr[COST_NR];
};

const char *cost_name(enum cost c);
/* Adds a point; -EINVAL: a number that is no cost, points not ascending; -ENOSPC: too many. */
int cost_add(struct costs *c, enum cost cost, uint32_t sockets, double ns);
/* Reads lines as above. 0, or -EINVAL with the number of the bad line in *ret_line; a cost that is
 * missing is one, too, with line 0 and its name in *ret_missing. */
int costs_read(FILE *f, struct costs *ret_costs, unsigned *ret_line, const char **ret_missing);
/* Beyond the first and the last point it is as there. */
double cost_ns(const struct costs *c, enum cost cost, uint32_t sockets);
/* One line of a file. */
void cost_print(FILE *f, enum cost cost, uint32_t sockets, double ns);

#endif /* SCALE_COST_H */
