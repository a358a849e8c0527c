/* SPDX-License-Identifier: MIT */
/*
 * moves_state.h - one move, for moves.c, which takes its steps, moves_life.c and moves_held.c.
 *
 * Ownership: control's. All commands of a move are made when it begins: later on it must not fail
 *   for want of memory. Threading: control.
 */
#ifndef NCD_MOVES_STATE_H
#define NCD_MOVES_STATE_H

#include "moves.h"
#include "parcel.h"
#include "worker_cmd.h"

#define MADE_FIRST CMD_MOVE_FIND
#define MADE_NR    (CMD_MOVE_OVER - MADE_FIRST + 1)

enum move_step { STEP_FIND, STEP_LEND, STEP_BEGIN, STEP_ROOM, STEP_ANSWER, STEP_OUT, STEP_IN };

struct move {
	struct move *next;
	enum move_step step;
	bool asked;      /* by a peer */
	bool going;      /* BEGIN was well */
	bool placed;     /* there is a place: `place` names it */
	bool place_gone; /* there is not any more */
	struct client *client; /* NULL: not known yet */
	uint32_t from, to;     /* workers */
	uint32_t slot;         /* at `from` */
	uint64_t asked_ns;     /* when the application, or the peer, was asked */
	uint64_t cookie;       /* 0: it is not lent yet */
	uint32_t stream, place; /* indices there */
	uint64_t place_id, remote_id;
	struct move_at at;
	uint32_t tx_bytes, rx_bytes;
	struct parcel parcel;
	struct worker_cmd *made[MADE_NR];
};


/* moves_life.c */
/* NULL: there are too many, or no memory. */
struct move *move_create(struct control *ctl, bool asked);
/* Its stream is @c's, in @slot: @c stays until the end of the move. */
void move_client(struct move *m, struct client *c, uint32_t slot);
/* Posts the command that was made for it. */
void move_post(struct control *ctl, struct move *m, enum worker_cmd_type type);
/* OUT is back: OVER is about @left. */
void move_left(struct move *m, struct moved *left);
/* It is over; whether the stream @went is known. */
void move_end(struct control *ctl, struct move *m, bool went);
/* Nothing has changed yet, and nothing will. */
void move_fail(struct control *ctl, struct move *m);
void move_free(struct moves *ms, struct move *m);

/* moves_held.c: commands that wait for a stream which moves */
/* It is where @s says. @s may be gone afterwards. */
void moves_release(struct control *ctl, struct shared *s);
/* Those that have waited find no worker any more. */
void moves_held_destroy(struct shared *s);

#endif /* NCD_MOVES_STATE_H */
