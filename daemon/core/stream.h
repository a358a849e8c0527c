/* SPDX-License-Identifier: MIT */
/*
 * stream.h - one connected virtual socket as the engine sees it: two byte sequences with 64-bit
 * offsets, each backed by a ring in the application's region.
 *
 *   sending    |--- acked ---|--- under way ---|--- published ---|
 *              0          tx_acked          tx_next           tx_tail      (tx_limit: credit)
 *   receiving  |-- consumed -|---- readable ---|.. holes ..
 *              0          rx_head           rx_next           rx_limit: credit given
 *
 *   invariants  tx_acked <= tx_next <= tx_tail <= tx_acked + tx.bytes;  tx_next <= tx_sent
 *               rx_head <= rx_next <= rx_limit <= rx_head + rx.bytes - rx_reserve
 *
 *   connect --> OPENING --ACCEPT--> ESTABLISHED --both FINs, or RESET--> DEAD --> freed
 *   OPEN in --> INCOMING --rings--> ESTABLISHED      abort --> RESETTING --RESET_ACK--> DEAD
 *
 *   between workers (move.h), as OPENING and INCOMING until it is known whether it goes:
 *   resume ---> RESUMING --ACCEPT, parcel--> ESTABLISHED        left: freed, or TOMBSTONE --> freed
 *   RESUME in > INCOMING --parcel--> ARRIVED --A's first frame--> ESTABLISHED
 *
 * Ownership: the engine's pool. Threading: the worker.
 */
#ifndef NCD_CORE_STREAM_H
#define NCD_CORE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "frame.h"
#include "interval.h"

enum stream_state {
	STREAM_FREE,
	STREAM_OPENING,
	STREAM_INCOMING,
	STREAM_RESUMING,
	STREAM_ARRIVED, /* says ACCEPT and nothing else */
	STREAM_ESTABLISHED,
	STREAM_RESETTING,
	STREAM_REFUSING,
	STREAM_DEAD,
	STREAM_TOMBSTONE, /* of an id: frames for it are dropped */
};

/* What is to be said besides data; cleared when the frame is built. */
#define WANT_OPEN   0x01u /* or RESUME */
#define WANT_ACCEPT 0x02u
#define WANT_REFUSE 0x04u
#define WANT_RESET  0x08u
#define WANT_CREDIT 0x10u

#define NO_OFFSET    UINT64_MAX
#define HELD_CARRIED 0xff

struct stream {
	/* Sending. */
	uint64_t tx_acked, tx_next, tx_tail, tx_limit;
	uint64_t tx_sent;  /* greatest tx_next ever: what an ack may name */
	uint64_t tx_asked; /* up to here FRAME_F_ACK has asked for an ack */
	uint64_t tx_exposed; /* bytes below it went out of the ring's file, or may have */
	uint64_t tx_base;  /* offset at the ring's first byte; see engine_tx_rebase */
	uint64_t switch_mark; /* see stream_switched */
	uint64_t carry_end; /* once all below it is acknowledged there are no carriers */
	uint64_t carriers;  /* workers (bits) that send, or have sent, bytes which are not */
	struct ring_mem tx;

	/* Receiving. */
	uint64_t rx_head, rx_next, rx_limit;
	uint64_t rx_told;  /* ack last sent */
	uint64_t rx_final; /* offset of the peer's FIN, NO_OFFSET before it */
	uint64_t rx_base;
	uint64_t rx_since; /* rx_head when the ring came: what has been read out of it */
	struct ring_mem rx;
	uint32_t rx_reserve; /* of it, what no credit is given for: engine_rx_join */
	bool rx_fixed;       /* rx_base stays */
	struct interval_set *holes; /* NULL: none */

	uint64_t id, remote_id; /* remote 0: not known yet */
	uint64_t old_id; /* RESUMING: what the peer calls it now, and where */
	uint16_t old_lane;
	uint32_t peer;
	uint32_t used; /* channels (bit: place in the peer) that carried frames of it */
	uint32_t deficit; /* bytes that are left of its turn */
	uint16_t client;  /* whose it is */
	uint16_t lane; /* + 1: whose workers have the two ends; 0: OPEN has not been sent */
	uint8_t state;     /* enum stream_state */
	uint8_t want;      /* WANT_* */
	uint8_t class;     /* now */
	uint8_t class_set; /* CLASS_AUTO: by behaviour */
	uint8_t weight;    /* 1 to NCD_WEIGHT_MAX */
	uint8_t small_turns; /* publishes in a row that left little in flight */
	uint8_t switches;    /* changes of channel with bytes under way, from switch_mark on */
	uint8_t switches_old; /* and before it */
	uint8_t placing;     /* channels that are receiving a payload of it */
	uint8_t wire_error;  /* for REFUSE and RESET */
	uint8_t held_on; /* channel (bit + 1, or HELD_CARRIED) that brought bytes which another may
			  * still write */
	bool shutdown;       /* tx_tail is final */
	bool fin_sent, fin_acked;
	bool fin_said; /* fin_sent, once: not taken back when a channel dies */
	bool rx_filled;   /* half of the rx ring was full at once */
	bool rx_end_told; /* an ack that covers the peer's FIN has been built */
	bool closed;      /* the application has let go */
	bool reset_after; /* RESET once everything is acknowledged */
	bool defer;       /* OPEN waits for the first byte */
	bool said;        /* OPEN has been sent, to this incarnation of the peer */
	bool opener;      /* opened or resumed from here: hears ACCEPT */
	bool confirmed;   /* the peer's end is established: it knows our id */
	bool dialled;     /* opened from this host: local_port is counted */
	uint16_t port_home; /* by worker - 1; 0: by this one */
	bool slow;        /* its lane is, for what it has under way: see carry_out.c */
	bool waiting;     /* in the peer's waiting queue: no channel is up */
	bool local;       /* the other end is on this host */

	struct channel *channel; /* in whose queue it is, NULL: none */
	struct channel *last;    /* on which data went last; NULL: none, or it died */
	struct stream *prev, *next; /* that queue */

	uint32_t events; /* STREAM_EV_*, pending */
	struct stream *event_next;
	bool event_queued;

	bool ack_armed; /* in the delayed-ack list */
	uint64_t ack_due_ns;
	struct stream *ack_prev, *ack_next;
	uint64_t orphan_due_ns; /* closed: given up then; 0: not running */
	void *user;

	/* cold */
	struct stream *orphan_prev, *orphan_next;
	int error;
	struct address local_addr, remote_addr;
	uint16_t local_port, remote_port;
};

/* ---- pure arithmetic on one stream; no engine needed ---- */

/* Where the byte at @offset lies in a ring whose first byte holds @base, modulo its size. */
static inline uint32_t ring_place(const struct ring_mem *ring, uint64_t base, uint64_t offset)
{
	return (uint32_t)(offset - base) & (ring->bytes - 1);
}

/* How far beyond rx_head credit goes. */
static inline uint32_t stream_rx_window(const struct stream *s)
{
	return s->rx.bytes - s->rx_reserve;
}

/* Bytes that may be sent now. */
static inline uint64_t stream_sendable(const struct stream *s)
{
	uint64_t end = s->tx_tail < s->tx_limit ? s->tx_tail : s->tx_limit;

	return end > s->tx_next ? end - s->tx_next : 0;
}

static inline bool stream_fin_due(const struct stream *s)
{
	return s->shutdown && !s->fin_sent && s->tx_next == s->tx_tail && s->carriers == 0;
}

/* False only if it has nothing to say, on whichever channel. */
static inline bool stream_has_more(const struct stream *s)
{
	return s->state != STREAM_ESTABLISHED || s->want != 0 || stream_sendable(s) > 0 ||
	       stream_fin_due(s);
}

/* The peer's FIN and all before it are here. */
static inline bool stream_rx_complete(const struct stream *s)
{
	return s->rx_next == s->rx_final;
}

/* The ack to send: one beyond the last byte once the FIN is reached. */
static inline uint64_t stream_ack_out(const struct stream *s)
{
	return s->rx_next + (stream_rx_complete(s) ? 1 : 0);
}

/*
 * The peer has every byte below @ack (and the FIN, one beyond the last) and lets us go @window
 * further. Returns 1 if something moved, 0 if not, -EPROTO if it acknowledges what was never sent.
 */
int stream_acked(struct stream *s, uint64_t ack, uint32_t window);

/*
 * Credit that overtook the ACCEPT. Its acknowledgement is not needed: the ACCEPT has the same,
 * since nothing could be sent behind the OPEN; but the window may have grown.
 */
static inline void stream_credit_early(struct stream *s, uint64_t ack, uint32_t window)
{
	if (ack + window >= ack && ack + window > s->tx_limit)
		s->tx_limit = ack + window;
}

/* May [offset, offset + length), with a FIN behind it if @fin, come? 0 or -EPROTO. */
int stream_check_data(const struct stream *s, uint64_t offset, uint32_t length, bool fin);

/*
 * Bytes from tx_next on go on another channel than those before them. What stream_switches() counts
 * is at least how often that has happened among the bytes under way: each time that all from before
 * the mark are acknowledged, it moves to tx_next.
 */
void stream_switched(struct stream *s);
static inline uint32_t stream_switches(const struct stream *s)
{
	return (uint32_t)s->switches + s->switches_old;
}

/* Starts again from what is acknowledged: a channel died. Returns true if bytes go twice. */
bool stream_rewind(struct stream *s);

/* Automatic class from what is in flight, with hysteresis. */
void stream_classify(struct stream *s);

#endif /* NCD_CORE_STREAM_H */
