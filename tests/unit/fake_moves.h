/* SPDX-License-Identifier: MIT */
/*
 * fake_moves.h - in place of moves.c: nothing moves, and what waits for a stream that does waits
 * for the test. The linker takes these for the ones in the library.
 */
#ifndef FAKE_MOVES_H
#define FAKE_MOVES_H

#include "client.h"
#include "moves.h"
#include "shared.h"

void moves_lent(struct control *ctl, struct client *c, uint32_t worker, uint32_t slot, int result,
		uint64_t cookie, uint32_t stream)
{
	(void)ctl, (void)c, (void)worker, (void)slot, (void)result, (void)cookie, (void)stream;
}

void moves_client_ends(struct control *ctl, struct client *c)
{
	(void)ctl, (void)c;
}

void moves_look(struct control *ctl, uint64_t now_ns)
{
	(void)ctl, (void)now_ns;
}

bool moves_own(const struct worker_cmd *cmd)
{
	(void)cmd;
	return false;
}

void moves_back(struct control *ctl, uint32_t worker, const struct worker_cmd *cmd)
{
	(void)ctl, (void)worker, (void)cmd;
}

void moves_event(struct control *ctl, uint32_t worker, const struct worker_event *ev)
{
	(void)ctl, (void)worker, (void)ev;
}

void moves_fini(struct control *ctl)
{
	(void)ctl;
}

#endif /* FAKE_MOVES_H */
