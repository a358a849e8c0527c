/* SPDX-License-Identifier: MIT */
/*
 * parcel.h - what goes from one worker to another with a stream (moves.h).
 *
 * Ownership: control's; of the old worker while CMD_MOVE_OUT is under way, of the new one while
 *   CMD_MOVE_IN is. The old rings stay the old worker's, who keeps them until CMD_MOVE_OVER.
 */
#ifndef NCD_PARCEL_H
#define NCD_PARCEL_H

#include <stdint.h>

#include "core/move.h"

struct parcel {
	struct stream_parcel stream;
	uint64_t cookie;
	uint32_t flags;     /* FLOW_* that go along */
	uint32_t shm_flags; /* SLOT_F_* */
	uint32_t tx_most, rx_most;
	uint64_t tx_tail, tx_head; /* as in struct flow */
};

#endif /* NCD_PARCEL_H */
