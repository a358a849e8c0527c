/* SPDX-License-Identifier: MIT */
/*
 * id_table.h - streams by the id that their peer gave them: recognises an OPEN that came twice, and
 * the stream that a peer no longer knows. Each worker of a peer has ids of its own, and a lane of
 * its own to this one: so the lane tells two of the same number.
 *
 * Ownership: the engine's memory. A table of at least twice as many places as streams, open
 * addressing, deletion by shifting back: never full, never rehashed.
 */
#ifndef NCD_CORE_ID_TABLE_H
#define NCD_CORE_ID_TABLE_H

#include <stdint.h>

struct stream;

struct id_table {
	struct stream **place;
	uint32_t mask;
};

struct stream *id_table_find(const struct id_table *t, uint32_t peer, uint16_t lane,
			     uint64_t remote_id);
void id_table_insert(struct id_table *t, struct stream *s);
void id_table_remove(struct id_table *t, const struct stream *s);

#endif /* NCD_CORE_ID_TABLE_H */
