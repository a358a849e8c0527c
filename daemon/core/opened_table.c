/* SPDX-License-Identifier: MIT */
/*
 * opened_table.c - one place for each place of the opener's table.
 */
#include "opened_table.h"

bool opened_first(struct opened_table *t, uint32_t peer, uint16_t lane, uint32_t epoch, uint64_t id)
{
	uint32_t at = (uint32_t)id + peer * 0x9e3779b1u + lane * 0x85ebca6bu;
	struct opened *o = &t->at[at & t->mask];

	if (o->peer == peer && o->lane == lane && o->epoch == epoch &&
	    (uint32_t)o->id == (uint32_t)id &&
	    (int32_t)((uint32_t)(id >> 32) - (uint32_t)(o->id >> 32)) <= 0)
		return false;
	*o = (struct opened){ .id = id, .peer = (uint16_t)peer, .lane = lane, .epoch = epoch };
	return true;
}
