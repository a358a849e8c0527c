/* SPDX-License-Identifier: MIT */
/*
 * opened_table.h - which OPENs of a peer have been seen. An OPEN goes again when its channel dies,
 * and a copy may come late on another, when its stream has been forgotten here: to open it again
 * would show the application a connection that nobody made.
 *
 * A stream id's low half names a place that is used again and again, its high half grows with each
 * use (wire.h). So the newest id of each place tells all older ones. Each worker of a peer has such
 * places, and a lane of its own to this one. Those of different peers and lanes may push each other
 * out: then a late copy is, at worst, accepted and reset by its opener.
 *
 * Ownership: the engine's memory.
 */
#ifndef NCD_CORE_OPENED_TABLE_H
#define NCD_CORE_OPENED_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct opened {
	uint64_t id;
	uint16_t peer, lane;
	uint32_t epoch; /* of the peer: a restarted one begins anew; 0: empty */
};

struct opened_table {
	struct opened *at;
	uint32_t mask;
};

/* True if @id of the worker of @peer that @lane leads to is new, and from now on it is not. */
bool opened_first(struct opened_table *t, uint32_t peer, uint16_t lane, uint32_t epoch,
		  uint64_t id);

#endif /* NCD_CORE_OPENED_TABLE_H */
