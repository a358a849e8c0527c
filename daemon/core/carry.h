/* SPDX-License-Identifier: MIT */
/*
 * carry.h - channels of one worker carry bytes for streams of another: what the engines of a host
 * say to each other. The owner of a stream decides everything about it; a carrier has channels to
 * the same peer, and moves bytes between them and the ring that the owner names.
 *
 *   sending    owner                                      carrier
 *     engine_carry_give --- ORDER: send these bytes -------> queued on a channel, frame CARRIED
 *                      <--- SENT: their memory is yours ---- the transport has taken them
 *                      <--- BACK: send them yourself ------- or they could not be sent
 *                      <--- LOST: what was SENT may not arrive: a channel to that peer has died
 *
 *   receiving  carrier                                    owner
 *     a CARRIED header  --- ASK: where do these belong? ---> within the credit that it gave?
 *                      <--- PLACE: there (lent) ------------ or DROP: nobody wants them,
 *                                                            or BAD: a rule is broken
 *     the payload       --- PLACED, or FAILED: never will -> acknowledges them
 *
 * Acknowledgements, credit and FIN go in the stream's own lane, and a FIN only when all that was
 * carried is acknowledged: so bytes that are carried never end a stream.
 *
 * Ownership: memory named in ORDER and PLACE stays mapped until SENT or BACK, PLACED or FAILED:
 *   engine_ring_lent() of the owner's engine says so meanwhile.
 * Threading: each engine is its worker's; whoever drives them brings the messages across, those of
 *   a pair in order. Messages that have no room wait in the engine, which has a place for each.
 */
#ifndef NCD_CORE_CARRY_H
#define NCD_CORE_CARRY_H

#include "engine.h"

enum carry_type {
	CARRY_ORDER = 1, /* slot: the owner's; all but from_offset */
	CARRY_SENT,      /* slot: as in ORDER; pace: of the channel */
	CARRY_BACK,
	CARRY_LOST,      /* peer */
	CARRY_ASK,       /* slot: the carrier's; stream, lane, offset, bytes */
	CARRY_PLACE,     /* slot: as in ASK; ring, base; bytes below from_offset are there */
	CARRY_DROP,
	CARRY_BAD,
	CARRY_PLACED,
	CARRY_FAILED,
};

struct carry_msg {
	uint8_t type;
	uint16_t from, to; /* workers */
	uint16_t lane;     /* of the stream */
	uint32_t slot;
	uint32_t peer, epoch; /* epoch: the peer's number may have become another's meanwhile */
	uint32_t bytes;
	uint64_t pace;     /* ns that a channel has us wait for 1 KiB */
	uint64_t stream;   /* its id at the host that receives */
	uint64_t offset, from_offset;
	uint64_t base;     /* offset at the ring's first byte */
	struct ring_mem ring;
};

/* The message that is to be brought to worker ret_msg->to next. False: there is none. */
bool engine_carry_peek(const struct engine *e, struct carry_msg *ret_msg);
/* It is on its way. */
void engine_carry_pop(struct engine *e);
/*
 * @msg has come. *ret_channel: has its place, and wants to receive again; NULL: none does. 0, or
 * -EPROTO: close *ret_channel.
 */
int engine_carry_take(struct engine *e, const struct carry_msg *msg, uint64_t now_ns,
		      struct channel **ret_channel);

/* A peer to which a stream has more to send than its own lane takes now; 0: none. */
uint32_t engine_carry_surplus(const struct engine *e);
/* Has worker @to send a part of it. 0; -EAGAIN: there is nothing (more) to give; -EBUSY: @to would
 * hold it up; -ENOBUFS. */
int engine_carry_give(struct engine *e, uint32_t to);
/* Orders that worker @to has not answered. */
uint32_t engine_carry_given(const struct engine *e, uint32_t to);

/* The peer of @c knows CARRIED. */
void engine_channel_carries(struct channel *c);
/* Channels on which others' bytes may be sent to @peer now. */
uint32_t engine_carry_channels(const struct engine *e, uint32_t peer);
/* When a stream of our own last sent on a throughput channel. */
uint64_t engine_bulk_ns(const struct engine *e);

#endif /* NCD_CORE_CARRY_H */
