/* SPDX-License-Identifier: MIT */
/*
 * wire.h - what two ncds say to each other on a channel: frames.
 *
 * Ownership: none; layouts only. Bytes become a struct frame, and back, only in core/frame.c.
 * Threading: none.
 * Trust: a peer may send anything. A frame that breaks a rule below costs that channel only.
 *
 * Every frame is a 40-byte header, little-endian, then `length` bytes of payload:
 *
 *   0        1        2                 4                                 8
 *   +--------+--------+-----------------+---------------------------------+
 *   | version| type   | flags           | length                          |  0
 *   +--------+--------+-----------------+---------------------------------+
 *   | stream (the receiver's id; its generation in the high half)         |  8
 *   +---------------------------------------------------------------------+
 *   | offset (of the payload's first byte in the stream; see each type)   | 16
 *   +---------------------------------------------------------------------+
 *   | ack (the sender has every byte below this of the other direction)   | 24
 *   +---------------------------------+-----------------------------------+
 *   | window (bytes beyond ack)       | CRC32C of bytes 0..35             | 32
 *   +---------------------------------+-----------------------------------+ 40
 *
 * A stream id's low half may be used again, its high half has grown then (RFC 1982 arithmetic).
 * Credit is the absolute offset ack + window: how far the sender of this frame lets its
 * peer's stream go. Both are monotonic, so frames from different channels may land in any order.
 * A FIN occupies one offset after the last byte, as in TCP (RFC 9293 3.4): it is acknowledged
 * by ack == final offset + 1.
 */
#ifndef NCD_WIRE_H
#define NCD_WIRE_H

#include <stdint.h>

#define WIRE_VERSION 1u
#define WIRE_HEADER_BYTES 40u

/* In the order of a channel's and then a stream's life. */
enum frame_type {
	FRAME_HELLO = 1, /* first frame each way; payload: below. stream = offset = ack = 0 */
	FRAME_OPEN,      /* stream 0; payload: open_info, then 0..NCD_OPEN_DATA_MAX bytes of data */
	FRAME_ACCEPT,    /* payload: 8 bytes, the acceptor's stream id */
	FRAME_REFUSE,    /* payload: 4 bytes, a WIRE_E* code; the stream is forgotten here */
	FRAME_DATA,      /* payload at offset; FRAME_F_FIN: the stream ends behind it */
	FRAME_CREDIT,    /* no payload: only ack and window */
	FRAME_FIN,       /* no payload; offset is the final offset */
	FRAME_RESET,     /* payload: 4 bytes, a WIRE_E* code; offset: the sender's own stream id, to
			  * which RESET_ACK answers. With FRAME_F_UNKNOWN: stream 0, offset the
			  * id that arrived and names nothing here (any more); not answered */
	FRAME_RESET_ACK, /* no payload; stream: as in the RESET's offset; it is forgotten now */
	FRAME_PING,      /* stream 0; offset: sender's clock, opaque */
	FRAME_PONG,      /* stream 0; offset: copied from the ping */
	FRAME_GOAWAY,    /* stream 0: this host opens and accepts no more, and will leave */
	FRAME_DRAIN,     /* stream 0; offset: a WIRE_DRAIN_* step. Only between hosts that both
			  * have WIRE_FEATURE_DRAIN */
	FRAME_CARRIED,   /* payload as DATA's, of a stream of another lane, which `window` names;
			  * ack 0. Acknowledged at once. Only between hosts that both have
			  * WIRE_FEATURE_CARRY */
	FRAME_RESUME,    /* the stream that the receiver calls `stream` in the lane that `window`
			  * names goes on in this one; payload: 8 bytes, its new id at the sender.
			  * ACCEPT or REFUSE answers to that. Only between hosts that both have
			  * WIRE_FEATURE_MOVE */
	FRAME_TYPE_END
};

/*
 * How a channel ends without a loss: whoever dialled it sends 1, the other answers with 2, that is
 * answered with 3, and whoever gets 3 closes. Who sends 1 or 2 uses the channel for no more frames
 * of streams, but answers what comes; who gets 2 or 3 knows that all it sent has arrived.
 */
enum wire_drain { WIRE_DRAIN_ASK = 1, WIRE_DRAIN_READY = 2, WIRE_DRAIN_CLOSE = 3 };

enum frame_flag {
	FRAME_F_FIN = 1u << 0,     /* OPEN, DATA: the stream ends behind the payload */
	FRAME_F_UNKNOWN = 1u << 1, /* RESET: no such stream here (any more) */
	FRAME_F_ACK = 1u << 2,     /* DATA: the sender's ring fills, acknowledge at once */
	FRAME_F_ALL = (1u << 3) - 1
};

/*
 * OPEN payload: 56 bytes, then data.
 *
 *   0  u64 the opener's stream id (frames back carry it)
 *   8  u8[16] source address (IPv6, or v4-mapped)     24 u8[16] destination address
 *  40  u16 source port      42  u16 destination port  44 u8 class (0 automatic)  45 u8[3] zero
 *  48  u64 zero
 */
#define WIRE_OPEN_BYTES 56u

/*
 * HELLO payload: 64 bytes.
 *
 *   0  u8[16] magic "ncd channel hell"
 *  16  u64 host identity   24 u64 incarnation (grows with each start of that host's ncd)
 *  32  u64 attempt (count of this host's dials to the peer)
 *  40  u16 version lowest spoken   42 u16 version highest spoken
 *  44  u8 class   45 u8 reply: 0 dialler, 1 accepted, 2 refused   46 u16 reason (WIRE_R*)
 *  48  u16 lane   50 u16 index in lane and class   52 u16 workers of the sender
 *  54  u16 zero   56 u64 features (WIRE_FEATURE_*; others are ignored)
 */
#define WIRE_HELLO_BYTES 64u
#define WIRE_HELLO_MAGIC "ncd channel hell"

#define WIRE_FEATURE_DRAIN 1u /* knows FRAME_DRAIN, and channels that come and go with the load */

#define WIRE_FEATURE_CARRY 2u /* knows FRAME_CARRIED */

#define WIRE_FEATURE_MOVE 4u /* knows FRAME_RESUME */

enum wire_reply { WIRE_DIAL = 0, WIRE_ACCEPTED = 1, WIRE_REFUSED = 2 };

/* Why a hello is refused. */
enum wire_reason {
	WIRE_R_NONE = 0,
	WIRE_R_VERSION,   /* no common version; both ranges are in the two hellos */
	WIRE_R_NOT_PEER,  /* the address is in no [peer] of the refusing host */
	WIRE_R_COLLISION, /* both dialled at once; the refusing host's own dial goes on */
	WIRE_R_STALE,     /* a dial older than one already answered */
	WIRE_R_SLOT,      /* lane, index or class out of range */
	WIRE_R_SELF,      /* host identity is the refusing host's own */
	WIRE_R_LEAVING,   /* the refusing host shuts down */
	WIRE_R_FULL,      /* the refusing host's [channels] max is reached in that lane */
	WIRE_R_END
};

/* Why a stream is refused or reset; mapped to errno at the edge (errno values differ by system). */
enum wire_error {
	WIRE_E_RESET = 0, /* ECONNRESET: the application closed with unread data, or was killed */
	WIRE_E_REFUSED,   /* ECONNREFUSED: nobody listens */
	WIRE_E_NOBUFS,    /* ECONNREFUSED: backlog or memory of the listener is full */
	WIRE_E_TIMEDOUT,  /* ETIMEDOUT: gave the stream up */
	WIRE_E_PROTOCOL,  /* ECONNRESET: broke a rule of this page */
	WIRE_E_LEAVING,   /* ECONNREFUSED or ECONNRESET: the host shuts down */
	WIRE_E_END
};

#endif /* NCD_WIRE_H */
