/* SPDX-License-Identifier: MIT */
/*
 * moves.h - open streams go from one worker to another, here and at the host of the other end.
 *
 * Ownership: struct moves and each move in it are control's; a shared stream (shared.h) that moves
 *   is held by its move, and the commands that name it wait in it.
 * Threading: control. Nothing here waits.
 */
#ifndef NCD_MOVES_H
#define NCD_MOVES_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct control;
struct shared;
struct worker_cmd;

/*
 * Posts @cmd of @c, which is about the stream of @s, to the worker that has it: now, or as soon as
 * it is there, if it is on its way. Fills in share.cookie and share.stream. It comes back as
 * after client_post.
 */
void moves_post(struct control *ctl, struct shared *s, struct client *c, struct worker_cmd *cmd);

/*
 * @c has answered client_lend_ask for @slot of its port at @worker: @result 0, and the stream with
 * index @stream is in the shared table under @cookie; or why not. For what nobody waits for:
 * nothing. @c may be leaving.
 */
void moves_lent(struct control *ctl, struct client *c, uint32_t worker, uint32_t slot, int result,
		uint64_t cookie, uint32_t stream);

#endif /* NCD_MOVES_H */
