/* SPDX-License-Identifier: MIT */
/*
 * moves.h - open streams go from one worker to another, here and at the host of the other end
 * (core/move.h). A move is a row of commands, each posted when the one before is back:
 *
 *   this host lets it go                         a peer has let its end go
 *     PICK by the worker that has too much         EVT_MOVE_ASKED
 *                                                  FIND: whose is it
 *     lend: its application knows                  lend
 *     BEGIN: it keeps its rings                    BEGIN
 *     ROOM: a place at the other worker, RESUME    ROOM, for the place that is there
 *     EVT_MOVE_ANSWERED: ACCEPT
 *     OUT, IN, OVER                                OUT (a tombstone stays), IN (ACCEPT), OVER
 *                                                  EVT_MOVE_SETTLED: FORGET
 *   or KEEP, and all is as before                or REFUSE and KEEP
 *
 * Ownership: each move is control's, and holds its client; a shared stream (shared.h) that moves is
 *   held by its move, and the commands that name it wait in it.
 * Threading: control. Nothing here waits.
 */
#ifndef NCD_MOVES_H
#define NCD_MOVES_H

#include <stdbool.h>
#include <stdint.h>

#include "moves_policy.h"

#define MOVES_MAX 64u /* at once; half of them our own */

struct client;
struct control;
struct move;
struct shared;
struct worker_cmd;
struct worker_event;

struct moves {
	struct move *first;
	uint32_t nr;
	uint32_t own; /* of them, those that no peer has asked for */
	bool picking; /* a PICK is under way */
	struct moves_policy policy;
};

/*
 * Posts @cmd of @c, which is about the stream of @s, to the worker that has it: now, or as soon as
 * it is there, if it is on its way. Fills in share.cookie and share.stream. It comes back as
 * after client_post.
 */
void moves_post(struct shared *s, struct client *c, struct worker_cmd *cmd);

/*
 * @c has answered client_lend_ask for @slot of its port at @worker: @result 0, and the stream with
 * index @stream is in the shared table under @cookie; or why not. For what nobody waits for:
 * nothing. @c may be leaving.
 */
void moves_lent(struct control *ctl, struct client *c, uint32_t worker, uint32_t slot, int result,
		uint64_t cookie, uint32_t stream);
/* @c has ended, and answers nothing any more. */
void moves_client_ends(struct control *ctl, struct client *c);

/* Once a second, behind placement_look: does a worker have too much to do? */
void moves_look(struct control *ctl, uint64_t now_ns);
/* True if @cmd is one of these; then it is back, which moves_back() is to hear. */
bool moves_own(const struct worker_cmd *cmd);
void moves_back(struct control *ctl, uint32_t worker, const struct worker_cmd *cmd);
/* EVT_MOVE_*. */
void moves_event(struct control *ctl, uint32_t worker, const struct worker_event *ev);
/* No worker exists any more. */
void moves_fini(struct control *ctl);

#endif /* NCD_MOVES_H */
