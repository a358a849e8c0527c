/* SPDX-License-Identifier: MIT */
/*
 * engine_state.h - the engine's own structs, for the files that make it up and nobody else.
 *
 * Ownership: all of it lies in the memory given to engine_create. Threading: the worker.
 *
 * The way of a byte through these files:
 *   stream_app.c -> sched.c -> channel_tx.c -> (wire) -> channel_rx.c -> stream_rx.c -> events
 */
#ifndef NCD_CORE_ENGINE_STATE_H
#define NCD_CORE_ENGINE_STATE_H

#include "carry.h"
#include "elastic.h"
#include "engine.h"
#include "id_table.h"
#include "listener.h"
#include "opened_table.h"
#include "stream.h"

#define TX_IOV_MAX    128  /* of one gathered send */
#define SLOW_TICK_NS  50000000ull /* pace of what engine_tick does for peers and channels */
#define TX_FRAMES_MAX 1024 /* of one gathered send */
#define REPLIES_MAX   8192 /* answers without a stream; beyond: the channel is given up */
#define PEER_CHANNELS 32   /* of both classes: bits of stream.used */
#define TX_COPY_MAX   2048 /* payloads up to this are copied beside their header */
#define RX_DIRECT_MIN 4096 /* what is left of a payload from this on is received into the ring */

/* An answer that belongs to no stream, or to one that is gone. */
struct reply {
	uint8_t type;
	uint8_t flags;
	uint8_t code; /* WIRE_E_* of RESET and REFUSE */
	uint64_t stream;
	uint64_t offset; /* CREDIT: the ack */
};

struct stream_queue {
	struct stream *head; /* circular, doubly linked */
	uint32_t nr;
};

/* The streams of one client in the queue of a channel. */
struct share {
	struct stream_queue streams;
	int32_t deficit;           /* what is left of its turn; > 0 while it is in the queue */
	struct share *prev, *next; /* circular, of those with streams */
};

struct channel_queue {
	struct share *of;   /* by client */
	struct share *head; /* whose turn it is */
	uint32_t clients, streams;
	uint16_t left;    /* the client that last ran dry */
	uint64_t left_ns; /* when */
};

/* ---- carrying: carry.h; what each of these has to say next lies at its head ---- */

/* Bytes of a stream of ours that another worker is to send. */
struct carry_give {
	struct carry_msg msg;
	struct stream *stream; /* NULL: it has ended */
	bool used;
};

/* The same, where it is sent. */
struct carry_order {
	struct carry_msg msg;
	struct carry_order *next; /* of those that wait for the channel */
};

enum carry_ask_state {
	ASK_FREE,
	ASK_OUT,     /* ASK is said */
	ASK_PLACED,  /* the payload is coming, to the place */
	ASK_OVER     /* PLACED or FAILED is to be said */
};

/* The payload that a channel receives for a stream of another worker: one for each channel. */
struct carry_ask {
	struct carry_msg msg;
	enum carry_ask_state state;
	struct channel *channel; /* NULL: it has died meanwhile */
};

/* The same, where the stream is: one for each channel of each worker. */
struct carry_place {
	struct carry_msg msg;
	struct stream *stream; /* NULL: it has ended */
	struct carry_place *next, *prev; /* of those whose place is lent */
};

struct carry {
	struct carry_give give[NCD_CARRY_ORDERS];
	struct carry_order *order; /* NCD_CARRY_ORDERS of each worker */
	struct carry_ask *ask;     /* by channel */
	struct carry_place *place; /* cfg.channels of each worker */
	struct carry_place *places; /* lent */
	struct stream *surplus;    /* has more to send than its lane takes; NULL: none is known */
	uint8_t given[NCD_WORKERS_MAX]; /* orders without an answer */
	uint64_t bulk_ns;  /* a stream of ours has sent bulk then */
	uint64_t again_ns; /* nothing is given before: an order has come back */
	/* What is to be said, oldest first: each of the above has at most one message. */
	uint32_t *out;
	uint32_t out_mask, out_head, out_tail;
};

/* How the channels of another worker to a peer were of late: as channel.pace. */
struct carrier_pace {
	uint64_t pace, heard_ns;
};

/* To be placed by another worker, and where. */
struct carry_target {
	struct ring_mem ring;
	uint64_t base, from; /* bytes below `from` go nowhere */
};

struct channel_tx {
	uint8_t *buf; /* headers and small payloads of the frames under way */
	uint32_t buf_bytes, buf_used;
	struct iovec iov[TX_IOV_MAX];
	int iov_first, iov_nr; /* what the transport has not taken: [iov_first, iov_nr) */
	struct tx_file file[2]; /* behind all iov: the two pieces of a ring's end and beginning */
	int file_first, file_nr;
	uint32_t payload;      /* bytes of payload gathered so far */
	uint32_t largest;      /* payload of them */
	struct channel_queue queue;
	uint32_t reply_head, reply_tail;
	bool ping_due, goaway_due;
	uint8_t drain_due; /* WIRE_DRAIN_* to be said, 0: nothing */
	struct carry_order *orders, *orders_tail; /* that wait */
	struct carry_order *carrying; /* whose frame is under way */
	bool carried_last; /* it is the turn of our own streams, if there are any */
	struct reply reply[REPLIES_MAX];
};

struct channel_rx {
	uint8_t *buf; /* staging: bytes [start, end) are not parsed yet */
	uint32_t buf_bytes, start, end;
	struct iovec iov[4];
	int iov_nr;
	uint32_t direct;       /* bytes of iov that lie in a ring */
	bool lent;             /* between engine_rx_iov and engine_received */
	bool in_payload;
	bool bulk;             /* the last payload was large: read headers alone */
	struct frame frame;    /* whose payload is coming */
	uint32_t done;         /* bytes of it that have come */
	struct stream *stream; /* where they go, NULL: nowhere (any more), or to `carried` */
	bool waiting;          /* for the place of a CARRIED payload */
	struct carry_target carried; /* of CARRIED, once it is known */
	uint8_t open[WIRE_OPEN_BYTES + NCD_OPEN_DATA_MAX]; /* payload of forms: OPEN, ACCEPT, ... */
};

struct channel {
	bool up;
	uint8_t class;
	uint16_t lane, index;
	uint32_t peer;
	uint32_t bit; /* place in the peer */
	void *user;
	const char *error;
	uint64_t heard_ns; /* last byte received */
	uint64_t pinged_ns; /* 0: no ping unanswered */
	bool stuck;    /* the transport has what it was given, and has not taken all of it */
	uint64_t stuck_ns;  /* since then, if it is; see peer_load.c */
	uint64_t waited_ns; /* in that state, while it took ... */
	uint64_t waited_bytes;
	uint64_t pace;      /* ns that 1 KiB is waited for so, on an average */
	bool extra;    /* beyond the configured ones, and ours to take away */
	bool draining; /* no frames of streams any more, only answers */
	bool clean;    /* draining: what we sent on it has all arrived */
	bool over;     /* draining: to be closed */
	bool carries;  /* its peer knows CARRIED */
	bool moves;    /* and RESUME */
	uint32_t file_sizes; /* engine_channel_files */
	uint64_t carried_for; /* workers (bits) for which it has sent */
	uint8_t drain_held;  /* as tx.drain_due, but has to wait: see channel_drain_ready */
	uint8_t drain_said;  /* WIRE_DRAIN_*, the last of each side; 0: none */
	uint8_t drain_heard;
	uint64_t drain_ns;    /* when it began */
	uint64_t extra_bytes; /* received until somebody last asked whether it may go */
	struct channel_tx tx;
	struct channel_rx rx;
	struct channel_counters counters;
};

struct engine_peer {
	bool known;
	bool left;     /* said GOAWAY; taken by engine_peer_left */
	bool leaving;
	int error;     /* of the last dial */
	uint32_t addr_nr;
	struct address addr[NCD_ADDRS_MAX];
	struct channel *channel[PEER_CHANNELS];
	uint32_t up;      /* bits */
	uint32_t usable;  /* of those, the ones that are not draining */
	uint32_t of_class[CLASS_THROUGHPUT + 1]; /* of those in up */
	struct elastic elastic; /* of the throughput channels */
	bool grow;        /* another one is wanted; taken by engine_peer_grows */
	uint32_t turn[3]; /* round robin, by class */
	uint64_t lost_said, lost_again; /* workers (bits): LOST is to be said, and once more */
	struct carrier_pace carrier[NCD_WORKERS_MAX];
	uint32_t lane_turn; /* the same, of the lanes that streams are opened in */
	uint32_t streams;
	uint32_t epoch;   /* counts its incarnations */
	uint64_t down_ns; /* since when no channel is up; meaningful if streams > 0 && up == 0 */
	struct stream_queue waiting; /* streams with something to say and no channel */
};

struct engine {
	struct engine_config cfg;
	const struct engine_ops *ops;
	void *ctx;
	struct stream *stream;
	uint32_t stream_high; /* streams ever used: [0, stream_high) */
	struct stream *free_head, *free_tail; /* FIFO by stream.next: ids come back late */
	struct id_table ids;
	struct opened_table opened;
	struct channel *channel;
	uint32_t channel_high; /* channels ever up: [0, channel_high) */
	struct share *share;   /* cfg.clients of each channel */
	struct listener_table listeners;
	struct port_pool ports;
	struct interval_set *sets;
	uint32_t *set_free;
	uint32_t set_free_nr;
	struct engine_peer peer[NCD_PEERS_MAX];
	uint32_t peer_high;
	struct stream *event_head, *event_tail;
	struct stream *ack_head, *ack_tail;       /* by ack_due_ns: the delay is constant */
	struct stream *orphan_head, *orphan_tail; /* by orphan_due_ns: likewise */
	struct carry carry;
	bool leaving;
	uint32_t rx_most;     /* engine_rx_limit */
	uint64_t now_ns;      /* the latest time heard */
	uint64_t slow_due_ns; /* peers and channels are looked at no sooner */
	uint64_t elastic_due_ns; /* whether channels are too few or too many: likewise */
	struct engine_counters counters;
};

static inline size_t client_count(const struct engine_config *cfg)
{
	return cfg->clients > 0 ? cfg->clients : 1;
}

static inline uint32_t worker_count(const struct engine_config *cfg)
{
	return cfg->workers > 0 ? cfg->workers : 1;
}

/* The transport has taken all that was gathered for it. */
static inline bool channel_tx_taken(const struct channel *c)
{
	return c->tx.iov_first == c->tx.iov_nr && c->tx.file_first == c->tx.file_nr;
}

/* sched.c: who sends next, on what. */

/* @s has something to say (or may have): queues it on the channel the policy picks. */
void sched_activate(struct engine *e, struct stream *s);
/* @s leaves whatever queue it is in. */
void sched_remove(struct engine *e, struct stream *s);
/* Whose turn it is on @c; NULL: nobody has anything to say. */
static inline struct stream *sched_next(const struct channel *c)
{
	return c->tx.queue.head != NULL ? c->tx.queue.head->streams.head : NULL;
}
/* A frame with @bytes of payload of @s has been built for @c: it counts for the turns. */
void sched_sent(const struct engine *e, struct channel *c, struct stream *s, uint32_t bytes);
/* True if @s may send on @c what it has: data goes on its class's channels where there are any. */
bool sched_data_fits(const struct engine *e, const struct channel *c, const struct stream *s);
/* @c is stuck: streams that wait for it go on where there is nothing to do. Returns how many. */
uint32_t sched_spread(struct engine *e, struct channel *c);
/* Moves all streams of the queue of a channel that takes none any more to what there is now. */
void sched_requeue(struct engine *e, struct channel *c);
/* A channel to @p has come up: the same for those that wait for one. */
void sched_unwait(struct engine *e, struct engine_peer *p);

/* channel_drain.c: a channel ends without a loss. */

/* No more frames of streams on @c: asks the peer for the same. */
void channel_drain(struct engine *e, struct channel *c);
/* The peer says @step. 0 or -EPROTO. */
int channel_drain_step(struct engine *e, struct channel *c, uint64_t step);
/* May c->tx.drain_due be said? If not, channel_drain_tick() makes it due again. */
bool channel_drain_ready(const struct engine *e, struct channel *c);
/* Time has passed. False: @c is to be given up. */
bool channel_drain_tick(const struct engine *e, struct channel *c);
/* @c, which is clean, is down: its streams go on as they are. */
void channel_drain_forget(struct engine *e, const struct channel *c);

/* engine_peer.c: the streams to a peer end; @unsaid: also those of which it has never heard. */
void peer_end_streams(struct engine *e, uint32_t index, int error, bool unsaid);

/* peer_load.c: are the channels to a peer too few, or too many? */
void peer_channel_moved(struct engine *e, struct channel *c, uint64_t bytes);
/* All that was gathered for @c has been taken. */
void peer_channel_taken(struct channel *c);
void peer_load_tick(struct engine *e);

/* stream_peer.c: what frames do to streams. Each returns 0 or -EPROTO. */
int stream_peer_frame(struct engine *e, struct channel *c, const struct frame *f,
		      const uint8_t *form, uint64_t now_ns);
int reply_unknown(struct engine *e, struct channel *c, uint64_t id);
int reply_refuse(struct channel *c, uint64_t id, uint8_t code);
/* A copy of the OPEN or RESUME of @s, which is not freed yet, has come on @c. */
int stream_open_again(struct engine *e, struct channel *c, struct stream *s);
/* Ack and window of a frame for an established stream; it may be DEAD afterwards. */
int stream_peer_ack(struct engine *e, struct stream *s, const struct frame *f);

/* move.c: streams between workers. 0 or -EPROTO. */
int move_resume(struct engine *e, struct channel *c, const struct frame *f,
		const uint8_t *payload);
/* The peer's end, @id there, has arrived: @s, RESUMING, may. */
int move_accepted(struct engine *e, struct stream *s, const struct frame *f, uint64_t id);
/* The peer's end goes on: @s, ARRIVED, does, too. */
void move_settle(struct engine *e, struct stream *s);

/* stream_rx.c: bytes that have come. What returns int: 0 or -EPROTO. */
/* Bytes [offset, offset + bytes) of @s are in its ring, brought by @c (NULL: with OPEN). What
 * another channel may still write is neither told nor acknowledged (channel_hold). */
int stream_rx_bytes(struct engine *e, const struct channel *c, struct stream *s, uint64_t offset,
		    uint32_t bytes, uint64_t now_ns);
/* A receive is over that has held back bytes of @s, which has held_on. */
int stream_rx_unhold(struct engine *e, struct stream *s, uint64_t now_ns);
/* Bytes that another worker has placed: there is room for their interval. */
void stream_rx_placed(struct engine *e, struct stream *s, uint64_t from, uint64_t end);
/* Keeps an interval of @s for bytes that will come. False: there are too many. */
bool stream_keep_hole(struct engine *e, struct stream *s);
/* It is not needed any more. */
void stream_unkeep_hole(struct engine *e, struct stream *s);
/* All of the payload of @f is there, by @c. */
int stream_rx_data_end(struct engine *e, struct channel *c, struct stream *s,
		       const struct frame *f);
/* @s ends at @final. */
void stream_rx_final(struct engine *e, struct stream *s, uint64_t final);
/*
 * If the peer's FIN and all before it are here, says so at once, also when it came before, and on
 * @c, which brought it: the stream may be forgotten now, and nobody here will say it again. If @c
 * dies first, the peer knows that it had used @c, and asks again.
 */
int stream_rx_ack_end(struct engine *e, struct channel *c, struct stream *s);
/* If they are here, and the channel that brought the last of it died: the peer has used that and
 * asks, or has heard by another. Nobody here has to say it. */
void stream_rx_end_asked(struct engine *e, struct stream *s);

/* channel_rx.c, channel_tx.c */
int channel_reply(struct channel *c, const struct reply *r);
void channel_forget_stream(struct engine *e, struct stream *s);
/* Where bytes of @s begin that a receive of another channel than @c may still write; NO_OFFSET: it
 * may write none. */
uint64_t channel_hold(const struct engine *e, const struct channel *c, const struct stream *s);
/* How far credit may go: not past a payload that is still being placed. */
uint64_t channel_credit_cap(const struct engine *e, const struct stream *s, uint64_t limit);

/* Where the payload of c->rx.frame, a CARRIED, belongs is known: goes on. 0 or -EPROTO. */
int channel_resume(struct engine *e, struct channel *c);
/* True if [p, p + len) and [base, base + bytes) have bytes in common. */
bool memory_overlaps(const uint8_t *p, size_t len, const uint8_t *base, size_t bytes);

/* carry.c: what is to be said. `what` of index: one of these. */
enum carry_what { CARRY_OF_GIVE, CARRY_OF_ORDER, CARRY_OF_ASK, CARRY_OF_PLACE, CARRY_OF_PEER };
void carry_say(struct engine *e, enum carry_what what, uint32_t index);

/* carry_out.c: sending for others, and having others send */
/* @s has sent, or may send more: is it more than its own lane takes? */
void carry_offer(struct engine *e, struct stream *s);
/* The most payload of a frame of @s: no more than its lane can take soon, if others could. */
uint32_t carry_frame_bytes(const struct engine *e, const struct stream *s);
void carry_order_take(struct engine *e, const struct carry_msg *m);
void carry_answer_take(struct engine *e, const struct carry_msg *m);
void carry_lost_take(struct engine *e, const struct carry_msg *m);
/* The frame of c->tx.carrying has all been taken by the transport. */
void carry_order_sent(struct engine *e, struct channel *c);
/* @c takes no more frames of streams: its orders go elsewhere. */
void carry_requeue(struct engine *e, struct channel *c);
void carry_tx_down(struct engine *e, struct channel *c);
/* All LOST of a worker and peer that were to be said have been. */
void carry_lost_said(struct engine *e, uint32_t index);

/* carry_in.c: receiving for others, and having others receive */
/* A header CARRIED has come. 0 or -EPROTO. */
int carry_ask(struct engine *e, struct channel *c);
/* All of its payload is here. */
void carry_payload_end(struct engine *e, struct channel *c);
void carry_rx_down(struct engine *e, struct channel *c);
void carry_ask_take(struct engine *e, const struct carry_msg *m);
int carry_place_take(struct engine *e, const struct carry_msg *m, struct channel **ret_channel);
void carry_placed_take(struct engine *e, const struct carry_msg *m);
/* An ask that has said its last. */
void carry_ask_over(struct engine *e, struct carry_ask *a);
/* As channel_hold and channel_credit_cap, of what others place. */
uint64_t carry_hold(const struct engine *e, const struct stream *s);
/* @s ends: what is still under way of it is nobody's. */
void carry_forget_stream(struct engine *e, const struct stream *s);
bool carry_ring_lent(const struct engine *e, const uint8_t *base, size_t bytes);

/* stream_life.c */
struct stream *stream_alloc(struct engine *e, uint32_t peer);
struct stream *stream_by_id(const struct engine *e, uint32_t peer, uint64_t id);
void stream_event(struct engine *e, struct stream *s, uint32_t events);
/* Both directions end here with @error; nothing more is sent. EV_ERROR and EV_DONE. */
void stream_die(struct engine *e, struct stream *s, int error);
/* DEAD without error, once nothing is left to say. EV_DONE. */
void stream_finish_if_done(struct engine *e, struct stream *s);
/* The peer has acknowledged more: an orphan gets new time. */
void stream_progress(struct engine *e, struct stream *s);
void stream_ack_disarm(struct engine *e, struct stream *s);
void stream_ack_arm(struct engine *e, struct stream *s, uint64_t now_ns);
/* Given up after orphan_ns from now, if nothing moves. */
void stream_orphan_arm(struct engine *e, struct stream *s, uint64_t now_ns);
/* What is left of @s is a TOMBSTONE. */
void stream_bury(struct engine *e, struct stream *s);
/* RESET until RESET_ACK; the peer's id is known. */
void stream_reset_say(struct engine *e, struct stream *s);
/* Begins to reset. */
void stream_reset_begin(struct engine *e, struct stream *s, uint32_t wire_error, uint64_t now_ns);
/* stream_open.c */
/* The first rings: credit is given from here. */
void stream_open_window(struct stream *s);
/* The OPEN waits no longer. */
void stream_undefer(struct engine *e, struct stream *s);
/* stream_ring.c: the bytes [from, to) from their places in @old, with @old_base, to those in @ring,
 * with @base. */
void ring_copy(const struct ring_mem *old, uint64_t old_base, const struct ring_mem *ring,
	       uint64_t base, uint64_t from, uint64_t to);
/* stream_app.c */
/* Credit or ack have moved so far that the peer must hear of it. */
void stream_credit_check(struct engine *e, struct stream *s, uint64_t now_ns);
/* stream_peer.c */
int wire_error_to_errno(uint32_t wire_error, bool connected);

#endif /* NCD_CORE_ENGINE_STATE_H */
