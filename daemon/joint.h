/* SPDX-License-Identifier: MIT */
/*
 * joint.h - a joined ring: one memfd that is the tx ring of one application and the rx ring of
 * another, of one stream whose two ends are on this host (ncd/shm_abi.h).
 *
 *   worker: JOINT_WANTED --> control: memory, told to both; both have it, or one has not
 *                              --> worker: CMD_JOINT, blocks of it
 *   worker: the last block is given back, JOINT_OVER --> control: both are told, unmapped
 *
 * Ownership: control allocates it and has it in a list; the worker has it from CMD_JOINT to
 *   EVT_JOINT_OVER. A block of it is in the hands of a port as one of its arena is.
 * Threading: fields say whose they are.
 */
#ifndef NCD_JOINT_H
#define NCD_JOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "region.h"

struct client;
struct flow;
struct worker_cmd;

enum joint_side { JOINT_WRITER, JOINT_READER, JOINT_SIDES };

struct joint {
	/* set by control before CMD_JOINT, then const */
	struct region_map map;
	uint32_t number[JOINT_SIDES]; /* as either knows it */
	/* worker only */
	uint32_t blocks;      /* of it, in use */
	struct joint **over;  /* where it goes when there is none any more */
	struct joint *over_next;
	struct flow *writer, *reader; /* NULL: uses it no more */
	/* control only */
	struct client *client[JOINT_SIDES]; /* NULL: gone */
	bool waits[JOINT_SIDES]; /* for JOINED */
	struct worker_cmd *cmd;  /* CMD_JOINT, for `worker` when both have answered; then NULL */
	uint32_t worker, seconds;
	struct joint *next, **link;
};

/* A block is given back. */
static inline void joint_give(struct joint *j)
{
	if (--j->blocks > 0)
		return;
	j->over_next = *j->over;
	*j->over = j;
}

#endif /* NCD_JOINT_H */
