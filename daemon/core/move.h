/* SPDX-License-Identifier: MIT */
/*
 * move.h - an open stream goes from one engine (worker) of a host to another, and so does its other
 * end: a lane leads to one worker of each host. Bytes, order and credit are as if it had not.
 *
 *   A, old (lane 0)  A, new (lane 1)                   B, new (lane 1)    B, old (lane 0)
 *   ESTABLISHED      engine_resume: RESUMING
 *   goes on as ever    |--- RESUME lane 0, b0, new a1 -->| INCOMING; ops->resume: may it go?
 *                      |                                 |                  leaves; what stays
 *                      |                                 |<---- parcel ---- is a TOMBSTONE: all
 *                      |                                 | ARRIVED: says    for b0 is dropped
 *                      |<--- ACCEPT a1, b1, ack, window -| only ACCEPT
 *   leaves: parcel --->| ESTABLISHED                     |
 *                      |---- CREDIT or DATA, its ack --->| ESTABLISHED: goes on
 *                      |<--- CREDIT ---------------------| from that ack --> forgotten
 *
 * Until ACCEPT nothing has changed for A: REFUSE ends only the placeholder. After it A's end must
 * go, or the stream ends: B's is gone. What B refuses may be tried again later.
 *
 * Ownership: a parcel names the old rings, which stay mapped until both parcel_copy() is done and
 *   engine_ring_lent() of the old engine says no.
 * Threading: each engine is its worker's; whoever drives them brings the parcel across.
 */
#ifndef NCD_CORE_MOVE_H
#define NCD_CORE_MOVE_H

#include "engine.h"

struct stream_parcel {
	uint32_t peer;
	uint16_t lane; /* of before, and so are the ids */
	uint64_t id, remote_id;
	struct address local_addr, remote_addr;
	uint16_t local_port, remote_port;
	uint16_t port_home; /* worker + 1 in whose range local_port is counted; 0: it is not */
	uint8_t class_set, class, weight;
	bool shutdown, closed, reset_after;
	bool exposed; /* as engine_stream_tx_exposed() of the old ring */
	uint64_t tx_acked, tx_tail, tx_sent, tx_base;
	uint64_t rx_head, rx_next, rx_limit, rx_base;
	struct ring_mem tx, rx; /* the old ones, to be copied from */
};

/*
 * May @s go now? 0; -EBUSY: not now (its two ends do not know each other yet, it is ending, or has
 * just come); -EOPNOTSUPP: never (both ends are here, or its peer does not know how).
 * That it does not go already is for the caller to see.
 */
int engine_stream_goes(const struct engine *e, const struct stream *s);

/* Whom a RESUME names: our stream @id to @peer in @lane, NULL if there is none (any more). */
struct stream *engine_stream_known(const struct engine *e, uint32_t peer, uint16_t lane,
				   uint64_t id);

/*
 * A, new: a placeholder for the stream that the peer knows as @remote_id in @old_lane (both are in
 * engine_stream_info of the old one). No rings.
 * -EHOSTUNREACH: no channel to the peer here, or it does not know how; -ENOBUFS. Its events:
 *   CONNECTED: ACCEPT has come; now engine_stream_arrive(), or engine_stream_abort() if there is
 *     nothing to arrive any more.
 *   ERROR, with -ECONNREFUSED: nothing has changed. The stream stays, see engine_stream_stays().
 *   ERROR, otherwise, also after CONNECTED: the other end is gone, or may be; the stream must end.
 *   DONE: to be freed.
 * engine_stream_abort() before CONNECTED: only if the stream has ended meanwhile. B's end, if it
 * has gone, is reset.
 */
int engine_resume(struct engine *e, uint32_t peer, uint16_t old_lane, uint64_t remote_id,
		  void *user, uint64_t now_ns, struct stream **ret);
/* A, old: the move of @s was refused. Asks B for its end: a refusal may be that of a late copy. */
void engine_stream_stays(struct engine *e, struct stream *s);

/*
 * @s goes. Afterwards it is freed, or, if @tombstone (B), what is left of it is the tombstone of
 * its id, without user and events. Bytes that are being received are dropped: they come again.
 * -ENOENT (A): it has ended. -EBUSY, -EOPNOTSUPP (B): as engine_stream_goes. It is as it was then.
 */
int engine_stream_leave(struct engine *e, struct stream *s, bool tombstone,
			struct stream_parcel *ret, uint64_t now_ns);
/* Of the tombstone of @id nothing is left; nothing happens if there is none. */
void engine_stream_forget(struct engine *e, uint64_t id);

/* The new rings, at least as large as the old ones, hold what those do. No engine needed. */
void parcel_copy(const struct stream_parcel *p, const struct ring_mem *tx,
		 const struct ring_mem *rx);
/*
 * @s goes on as what @p says, with the new rings.
 * A: @s is RESUMING and its ACCEPT has come: ESTABLISHED now.
 * B: @s is INCOMING, by ops->resume: ARRIVED now. STREAM_EV_CONNECTED follows when A's end has
 *   arrived, too: then the tombstone is to be forgotten; and it is, if @s ends before.
 * -ENOENT: @s has ended meanwhile (its events say so). -EPROTO: the peer has lied; @s is reset.
 * Then @user and rings are not taken.
 */
int engine_stream_arrive(struct engine *e, struct stream *s, const struct stream_parcel *p,
			 const struct ring_mem *tx, const struct ring_mem *rx, void *user,
			 uint64_t now_ns);

/* The peer of @c knows RESUME. */
void engine_channel_moves(struct channel *c);
/* A port that is counted here: the stream that has it was freed elsewhere (ops->port_left). */
void engine_port_release(struct engine *e, uint16_t port);

#endif /* NCD_CORE_MOVE_H */
