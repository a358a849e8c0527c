/* SPDX-License-Identifier: MIT */
/*
 * peer.h - how the channels to one peer come up: who dials which, when again, and which of two
 * connections for the same place stays. Pure; driven by daemon/peer*.c and tests/sim.
 *
 * Ownership: struct peer and its slots are the caller's memory.
 * Threading: control.
 *
 * The channels of a pair of hosts have fixed places: (lane, class, index). Both hosts dial every
 * place that is empty. Of two connections for one place the one dialled by the host with the lower
 * identity stays (as BGP resolves collisions, RFC 4271 6.8):
 *
 *           dial                    connected             hello accepted
 *   EMPTY --------> DIALLING ---------------> HELLO_SENT ----------------> UP
 *     ^   backoff      |  failed                 | refused, failed          | down
 *     +----------------+-------------------------+--------------------------+
 *   A hello from the peer for the place, when it is
 *     EMPTY, DIALLING   accepted; our own attempt is dropped
 *     HELLO_SENT        refused (COLLISION) if our identity is the lower, else accepted
 *     UP                accepted if the hello's attempt is newer than the last we know for this
 *                       place: the old connection is dead on the other side; else refused (STALE)
 * While no place is UP only the first is dialled: a host that is down is asked once per backoff.
 * A host takes more places than it dials itself, so the two may configure different numbers; up to
 * cfg.max in a lane, of which it keeps its own configured ones free.
 *
 * Elastic places, beyond the configured ones, are dialled once, when a worker asks for another
 * throughput channel (peer_grow), and not again when they fail or end.
 */
#ifndef NCD_CORE_PEER_H
#define NCD_CORE_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "ncd/limits.h"
#include "ncd/wire.h"

#include "engine.h"

struct hello {
	uint64_t host_id, incarnation, attempt, features;
	uint16_t version_min, version_max, lane, index, workers, reason;
	uint8_t class, reply;
};

/* Writes frame header and payload: WIRE_HEADER_BYTES + WIRE_HELLO_BYTES. */
#define HELLO_FRAME_BYTES (WIRE_HEADER_BYTES + WIRE_HELLO_BYTES)
void hello_encode(const struct hello *h, uint8_t out[HELLO_FRAME_BYTES]);
/* -EPROTO: not a hello of any version. A hello of another version is decoded (its ranges tell). */
int hello_decode(const uint8_t in[HELLO_FRAME_BYTES], struct hello *ret_hello);

enum place_state {
	PLACE_EMPTY,
	PLACE_DIALLING,
	PLACE_HELLO_SENT,
	PLACE_UP
};

struct place {
	enum place_state state;
	uint16_t lane, index;
	uint8_t class;
	bool dialled;      /* UP: by us */
	bool elastic;      /* dialled for the load; until it fails or ends */
	bool asked;        /* the caller's: a worker waits to hear whether it came up */
	uint64_t attempt;  /* UP, DIALLING, HELLO_SENT: of our dial */
	uint64_t heard;    /* no dial of the peer up to this one can still be meant for it */
	uint64_t retry_ns; /* EMPTY: not before */
	uint64_t lost_ns;  /* when it was last UP and failed, 0 never */
	uint32_t backoff_ms;
	void *user; /* the caller's connection */
};

struct peer_config {
	uint64_t host_id, incarnation; /* ours */
	uint16_t workers;              /* ours */
	bool carry;                    /* we know CARRIED, and say so */
	bool move;                     /* likewise RESUME */
	uint16_t latency, throughput;  /* channels a lane */
	uint16_t max;                  /* of both classes together, elastic ones too; 0: no bound */
	uint32_t backoff_min_ms, backoff_max_ms;
	uint64_t seed; /* jitter */
};

struct peer {
	struct peer_config cfg;
	uint64_t host_id, incarnation; /* the peer's, 0 until known */
	uint64_t features;             /* the peer's, WIRE_FEATURE_* */
	uint64_t attempts;             /* our dials */
	uint64_t random;
	uint16_t workers; /* the peer's; lanes = max of both, 1 until known */
	uint16_t lanes;
	/* By lane, then class, then index; the first `places` belong to lanes that exist. */
	struct place place[NCD_WORKERS_MAX * 2 * NCD_LANE_CHANNELS_MAX];
	uint32_t places;
};

void peer_init(struct peer *p, const struct peer_config *cfg);
/* The next place to dial now, or NULL; it is DIALLING afterwards. *ret_next_ns: when to ask again.
 */
struct place *peer_next_dial(struct peer *p, uint64_t now_ns, uint64_t *ret_next_ns);
/* Our dial's TCP connection is made: the hello to send. */
void peer_connected(struct peer *p, struct place *pl, struct hello *ret_hello);
/*
 * Dial, hello or channel failed: EMPTY, with backoff. A channel that had been up retries at once,
 * unless the one before it was lost less than backoff_max_ms ago.
 */
void peer_failed(struct peer *p, struct place *pl, uint64_t now_ns);

/* The peer has refused the dial of @pl because it has no room: as peer_failed, and for long. */
void peer_full(struct peer *p, struct place *pl, uint64_t now_ns);
/* The channel has ended as it should: EMPTY. */
void peer_drained(struct place *pl);
/*
 * @worker, one of ours, wants another throughput channel: the place, which peer_next_dial() will
 * return, or NULL if there may be none: cfg.max is reached, or the peer does not know how to let it
 * go.
 */
struct place *peer_grow(struct peer *p, uint32_t worker, uint64_t now_ns);

enum peer_verdict {
	PEER_UP,      /* the place is UP with this connection */
	PEER_RESTART, /* the same, and the peer is another incarnation: all earlier channels and
		       * streams are void (the caller drops them; their places are EMPTY already) */
	PEER_REFUSE,  /* send *ret_reply (dialled to us) or give up (our dial), close */
};
/* The answer to our hello on @pl. PEER_REFUSE: ret_reason; call peer_failed. */
enum peer_verdict peer_answered(struct peer *p, struct place *pl, const struct hello *h);
/*
 * A hello that came in. PEER_UP and PEER_RESTART: *ret_place is its place, *ret_old what was there
 * (close it; NULL if nothing), *ret_reply is to be sent first.
 */
enum peer_verdict peer_hello(struct peer *p, const struct hello *h, struct place **ret_place,
			     void **ret_old, struct hello *ret_reply);
/* Number of places UP. */
uint32_t peer_up(const struct peer *p);

#endif /* NCD_CORE_PEER_H */
