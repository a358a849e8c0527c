/* SPDX-License-Identifier: MIT */
/*
 * engine.h - everything a worker decides: streams, credit, scheduling, channels, its view of peers.
 *
 * Pure: bytes, events and the time go in; frames, readiness and callbacks come out. No syscall, no
 * clock, no thread, no allocation: the caller gives all memory at engine_create. Driven by
 * daemon/worker.c against sockets and by tests/sim against simulated pipes.
 *
 * Ownership: the engine owns streams and channels; ring memory belongs to the caller and must stay
 *   mapped while engine_ring_lent() says so. Pointers to streams live until engine_stream_free.
 * Threading: one thread (the worker).
 * Time: now_ns is monotonic; a call never sees it go back by more than the caller lets it: an
 *   earlier time is treated as no progress of time.
 *
 *   application                                                          channel
 *   engine_connect/listen ----+                                    +---> engine_tx_iov, engine_sent
 *   engine_tx_published  -----+--> stream --> sched --> frames ----+
 *   engine_rx_consumed   -----+      |                             +---- engine_rx_iov, _received
 *                                    v
 *   engine_next_event() <-- readiness of streams
 */
#ifndef NCD_CORE_ENGINE_H
#define NCD_CORE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ncd/limits.h"

#include "address.h"

enum stream_class { CLASS_AUTO = 0, CLASS_LATENCY = 1, CLASS_THROUGHPUT = 2 };
enum sched_policy { POLICY_LEAST_LOADED, POLICY_ROUND_ROBIN, POLICY_SOURCE_PORT };

struct engine;
struct stream;
struct channel;

/*
 * One direction's memory. bytes is a power of two in NCD_RING_MIN..NCD_RING_MAX. If it is a file's,
 * @file is the descriptor + 1 and @file_off the place of base in it; else 0.
 */
struct ring_mem {
	uint8_t *base;
	uint32_t bytes;
	int file;
	uint64_t file_off;
};

/*
 * Payload that goes out of a ring's file: the kernel sends the pages themselves, as sendfile(2)
 * does, and copies nothing. So what is on its way changes with the ring. That does no harm, because
 * a ring is written again only where the peer has acknowledged, and then a copy is no longer
 * looked at: see channel_rx.c for the peer's part, engine_stream_tx_exposed for ours.
 */
struct tx_file {
	const uint8_t *base; /* the same bytes in memory */
	uint32_t bytes;
	int file; /* as in struct ring_mem */
	uint64_t file_off;
};

struct engine_config {
	uint32_t streams; /* at once; a power of two */
	uint32_t channels;
	uint32_t listeners;
	uint32_t clients; /* that streams may belong to; 0: all are one's */
	uint32_t frame_bytes; /* most payload of one frame */
	uint32_t file_min;    /* payloads from this on may go by the file of their ring; 0: none */
	/* Throughput channels to a peer: configured, and at most; equal: the number is fixed. */
	uint32_t throughput, throughput_max;
	uint64_t look_ns; /* how often those are looked at; 0: ELASTIC_LOOK_NS */
	enum sched_policy policy;
	uint64_t seed; /* first stream generations and ports; differs with each incarnation */
	uint64_t ack_delay_ns;
	uint64_t ping_idle_ns;   /* a channel silent for this long is pinged */
	uint64_t ping_dead_ns;   /* and this long without an answer: engine_tick gives it up */
	uint64_t unreachable_ns; /* streams of a peer without any channel end with ETIMEDOUT */
	uint64_t orphan_ns;      /* what a closed application left unsent is given up after this */
	uint32_t worker, workers; /* this one, of how many; 0: 1 (carry.h) */
	bool carry;               /* gives bytes to other workers to send */
	uint64_t slow_ns;         /* if a lane takes so long for what may be under way; 0: always */
	bool rebase;             /* an rx ring found empty is written from one place again */
	uint16_t port_low;       /* ephemeral ports of this engine, inclusive */
	uint16_t port_high;
};

/* Asked back, synchronously; the only calls that leave the engine. */
struct engine_ops {
	/*
	 * A peer opens @s to @listener_user; give it rings with engine_stream_rings(). 0: accepted;
	 * -EAGAIN: rings come later, by engine_stream_admit() or engine_stream_refuse();
	 * other negative errno: refused.
	 */
	int (*incoming)(void *ctx, struct stream *s, void *listener_user);
	/* move.h. A peer resumes, as @s, its stream that is @id here, in @old_lane. To be answered
	 * with engine_stream_arrive() or engine_stream_refuse(), later or at once. */
	void (*resume)(void *ctx, struct stream *s, uint16_t old_lane, uint64_t id);
	/* A stream is freed here whose @port worker @home counts: engine_port_release there. */
	void (*port_left)(void *ctx, uint32_t home, uint16_t port);
};

/* Readiness of a stream; or-ed together until taken by engine_next_event. */
#define STREAM_EV_CONNECTED 0x01u
#define STREAM_EV_RX        0x02u /* stream_rx_contiguous moved, or the end was reached */
#define STREAM_EV_TX        0x04u /* stream_tx_acked moved */
#define STREAM_EV_ERROR     0x08u /* stream_error is set; both directions have ended */
#define STREAM_EV_TX_DONE   0x10u /* everything and the FIN is acknowledged */
#define STREAM_EV_DONE      0x20u /* nothing is left to do for it: engine_stream_free it once the
				   * application has let go; its rings are no longer needed */

/* ---- life ---- */

/* Bytes of memory that engine_create needs for @cfg. */
size_t engine_bytes(const struct engine_config *cfg);
/* Lays the engine out in zeroed, 64-byte aligned @mem of engine_bytes(). Never fails. */
struct engine *engine_create(void *mem, const struct engine_config *cfg,
			     const struct engine_ops *ops, void *ctx);

/* ---- peers: index 0 is this host, made by engine_create ---- */

/* Declares peer @index with its addresses; again: replaces the addresses. */
void engine_peer_set(struct engine *e, uint32_t index, const struct address *addr,
		     uint32_t addr_nr);
/* The peer is no longer configured: its streams end with ECONNRESET. */
void engine_peer_remove(struct engine *e, uint32_t index, uint64_t now_ns);
/* The peer's ncd is another one than before (incarnation), or left: streams end with ECONNRESET. */
void engine_peer_reset(struct engine *e, uint32_t index, uint64_t now_ns);
/* The last dial failed with @error (negative errno; 0: is being dialled): what connects hear. */
void engine_peer_unreachable(struct engine *e, uint32_t index, int error, uint64_t now_ns);
/* Index of the peer that has @addr, or -ENETUNREACH. */
int engine_peer_find(const struct engine *e, const struct address *addr);
/* True if @addr is a peer's to which there is no channel: nobody there was asked anything. */
bool engine_peer_down(const struct engine *e, const struct address *addr);

/* ---- channels ---- */

/*
 * A channel to @peer is up. @rx_buf of @rx_bytes (>= 16 KiB) is its staging memory, @tx_buf of
 * @tx_bytes (>= 16 KiB) its header and small-payload memory; both the caller's, until after
 * engine_channel_down. Returns it, or NULL if the table is full. A stream stays in the lane that
 * carried its OPEN, since that leads to the worker which has its other end.
 */
struct channel *engine_channel_up(struct engine *e, uint32_t peer, enum stream_class class,
				  uint16_t lane, uint16_t index, const struct ring_mem *rx_buf,
				  const struct ring_mem *tx_buf, void *user, uint64_t now_ns);
/* It is dead. What it had not delivered is sent again on others. @c is invalid afterwards. */
void engine_channel_down(struct engine *e, struct channel *c, uint64_t now_ns);
void *engine_channel_user(const struct channel *c);

/*
 * What to send now: gathers frames, if none are under way, until about frame_bytes or TX_IOV_MAX
 * iovecs; behind them come the pieces of engine_tx_files. Returns the iovec count, *ret_iov valid
 * until engine_sent. While bytes are under way the same rest is returned again.
 */
int engine_tx_iov(struct engine *e, struct channel *c, uint64_t now_ns,
		  const struct iovec **ret_iov);
/* What follows the iovecs: up to 2 pieces of files, valid as they are. Returns how many. */
int engine_tx_files(const struct channel *c, const struct tx_file **ret_file);
/* The largest payload of all that was gathered, in bytes; 0: there was none. */
uint32_t engine_tx_largest(const struct channel *c);
/* True if a stream has more to be gathered behind that; false if that is not clear. */
bool engine_tx_more(const struct channel *c);
/* Of the payloads that may go by file, those of 2^n to 2^(n+1) - 1 bytes do if bit n of @sizes is
 * set, from the next that is gathered. All, until this is said. */
void engine_channel_files(struct channel *c, uint32_t sizes);
/* The transport has taken @bytes of it. */
void engine_sent(struct engine *e, struct channel *c, size_t bytes, uint64_t now_ns);
/* True if engine_tx_iov would return something. Cheap. */
bool engine_channel_wants_tx(const struct channel *c);

/*
 * The transport has not taken all it was given on @c, and waits: streams go on on other channels.
 * To be said at each turn. Returns how many streams moved: other channels want to send now.
 */
uint32_t engine_channel_stuck(struct engine *e, struct channel *c, uint64_t now_ns);
/* @c is beyond the configured ones, was dialled here for the load, and may go when there is less:
 * its peer knows how a channel ends without a loss. */
void engine_channel_extra(struct engine *e, struct channel *c, uint64_t now_ns);
/* True while @c takes no more streams, since it is about to go. */
bool engine_channel_draining(const struct channel *c);
/* True once nothing will come on @c any more: close it. */
bool engine_channel_over(const struct channel *c);
/* True if all that was sent on @c has arrived: that it is down now is no loss. */
bool engine_channel_clean(const struct channel *c);
/* True for the one call after which another throughput channel to @peer is wanted. Nothing more is
 * wanted before the answer: whether it is @up. */
bool engine_peer_grows(struct engine *e, uint32_t peer);
void engine_peer_grown(struct engine *e, uint32_t peer, bool up, uint64_t now_ns);

/* From now on at most @bytes of a payload are received at once straight into a ring: how long that
 * may keep the caller from other things. */
void engine_rx_limit(struct engine *e, uint32_t bytes);
/* Where to receive to, up to 4 iovecs, never 0 bytes; valid until engine_received. */
int engine_rx_iov(struct engine *e, struct channel *c, const struct iovec **ret_iov);
/* False while a payload waits for its place: nothing is to be received. engine_carry_take says when
 * that is over. */
bool engine_channel_wants_rx(const struct channel *c);
/* @bytes have been received there. 0, or -EPROTO: close the channel (engine_channel_error: why). */
int engine_received(struct engine *e, struct channel *c, size_t bytes, uint64_t now_ns);
const char *engine_channel_error(const struct channel *c);

/* Copies the channel's outgoing bytes into itself: the host's own peer. Returns frames moved. */
uint32_t engine_channel_loop(struct engine *e, struct channel *c, uint32_t frames_max,
			     uint64_t now_ns);

/* True while a channel may still read or write memory in [base, base + bytes). */
bool engine_ring_lent(const struct engine *e, const uint8_t *base, size_t bytes);

/* ---- streams, for applications ---- */

struct engine_connect {
	struct address local; /* any: chosen to suit the peer */
	uint16_t local_port;  /* 0: chosen */
	struct address remote;
	uint16_t remote_port;
	struct ring_mem tx, rx;
	enum stream_class class;
	bool defer; /* OPEN waits for the first byte or FIN */
	void *user;
};

/* -ENETUNREACH, -EHOSTUNREACH, -ECONNREFUSED (as engine_peer_unreachable), -ENOBUFS,
 * -EADDRNOTAVAIL. */
int engine_connect(struct engine *e, const struct engine_connect *args, uint64_t now_ns,
		   struct stream **ret_stream);

/* The backlog is the caller's to count, in incoming(). @addr any: all of the host's. -EADDRINUSE,
 * -ENOBUFS. */
int engine_listen(struct engine *e, const struct address *addr, uint16_t port, void *user);
void engine_unlisten(struct engine *e, const struct address *addr, uint16_t port);
/* The @user of who listens on exactly this; of who would hear the OPEN of incoming @s, if it came
 * now. NULL: nobody. */
void *engine_listening(const struct engine *e, const struct address *addr, uint16_t port);
void *engine_stream_listening(const struct engine *e, const struct stream *s);

/*
 * Whose @s is, a number below cfg.clients; 0 before it is said. The clients that have something to
 * send on a channel take turns there, and so do the streams of each: see sched.c.
 */
void engine_stream_client(struct engine *e, struct stream *s, uint32_t client);
/* A byte of @s counts as one @weight-th, 1 to NCD_WEIGHT_MAX, where shares are measured. */
void engine_stream_weight(struct stream *s, uint32_t weight);
void engine_stream_rings(struct stream *s, const struct ring_mem *tx, const struct ring_mem *rx,
			 void *user);
void engine_stream_admit(struct engine *e, struct stream *s, uint64_t now_ns);
void engine_stream_refuse(struct engine *e, struct stream *s, uint64_t now_ns);

/* The application has put bytes below @tail into the ring. -EPROTO if @tail is impossible. */
int engine_tx_published(struct engine *e, struct stream *s, uint64_t tail, uint64_t now_ns);
/*
 * The application writes its ring from a new place on: the first byte of the ring stands for offset
 * @base now (modulo the size). Allowed while all it published is acknowledged, else -EPROTO.
 * So a stream of small messages lives in a few cache lines of its ring, whatever the ring's size.
 */
int engine_tx_rebase(struct engine *e, struct stream *s, uint64_t base);
/*
 * Another ring takes the place of the stream's, with the same base. The old memory is the caller's
 * again once engine_ring_lent() says no.
 *
 * tx: the application has copied to @ring what is published and not acknowledged, and writes there
 *   from now on. -EPROTO: that is more than @ring holds.
 * rx: @ring is at least as large as the old one; what is not read yet is copied to it here.
 *   -EBUSY: the transport is receiving into the old one; try again later.
 */
int engine_tx_exchange(struct engine *e, struct stream *s, const struct ring_mem *ring);
int engine_rx_exchange(struct engine *e, struct stream *s, const struct ring_mem *ring,
		       uint64_t now_ns);
/*
 * The other end of @s, if it is on this host too and both know each other; else NULL. Of one on
 * this host, by stream_id(): NULL if it is gone.
 */
struct stream *engine_stream_twin(const struct engine *e, const struct stream *s);
struct stream *engine_stream_local(const struct engine *e, uint64_t id);
uint64_t stream_id(const struct stream *s);
/*
 * As the exchanges above, of a stream and its twin for one ring, in which a byte's place is its
 * offset, modulo the size: nothing is copied then. First the reader's rx; until the writer has come
 * there (engine_tx_join) and that is said (engine_rx_open), no credit is given for @reserve bytes
 * of it: what the writer has in a ring of that size finds room in this one. @ring is as large as
 * @reserve and the old one together.
 */
int engine_rx_join(struct engine *e, struct stream *s, const struct ring_mem *ring,
		   uint32_t reserve, uint64_t now_ns);
int engine_tx_join(struct engine *e, struct stream *s, const struct ring_mem *ring);
void engine_rx_open(struct engine *e, struct stream *s, uint64_t now_ns);
/* tx, of an application that has another's stream now: the copy is made here. */
int engine_tx_move(struct engine *e, struct stream *s, const struct ring_mem *ring);
/* True while engine_rx_exchange would say -EBUSY. */
bool engine_rx_busy(const struct engine *e, const struct stream *s);
/* True if a larger rx ring would help: the peer fills half of it at once, and the application reads
 * on (as TCP's receive buffer grows). False until it has read half of a ring since an exchange. */
bool engine_rx_pressed(const struct stream *s);
/* True if no byte is in the rx ring behind the contiguous ones, or is being put there. */
bool engine_rx_settled(const struct stream *s);
/* The application has taken the bytes below @head. -EPROTO if @head is impossible. */
int engine_rx_consumed(struct engine *e, struct stream *s, uint64_t head, uint64_t now_ns);
/* No bytes will follow what was published: FIN. */
void engine_stream_shutdown(struct engine *e, struct stream *s, uint64_t now_ns);
/*
 * The application lets go. What was published is still sent, then FIN; with @reset_after instead a
 * RESET (killed before it had finished). Unread bytes, or bytes that still come: RESET.
 * STREAM_EV_DONE follows.
 */
void engine_stream_close(struct engine *e, struct stream *s, bool reset_after, uint64_t now_ns);
/* RESET now, with a WIRE_E_* code; STREAM_EV_DONE follows. */
void engine_stream_abort(struct engine *e, struct stream *s, uint32_t wire_error, uint64_t now_ns);
void engine_stream_class(struct engine *e, struct stream *s, enum stream_class class);
/* After STREAM_EV_DONE only. @s is invalid afterwards. */
void engine_stream_free(struct engine *e, struct stream *s);

/* Next stream with news, or NULL. *ret_events is STREAM_EV_*. */
struct stream *engine_next_event(struct engine *e, uint32_t *ret_events);

struct stream_info {
	struct address local, remote;
	uint16_t local_port, remote_port;
	uint32_t peer;
	uint16_t lane;       /* of one that is connected: where it is, */
	uint64_t remote_id;  /* and what the peer calls it there; move.h */
	enum stream_class class; /* as it is now: latency or throughput */
	uint64_t tx_published, tx_acked, rx_contiguous, rx_consumed;
	int error; /* negative errno, or 0 */
	bool connected, rx_ended, tx_ended;
};
void engine_stream_info(const struct stream *s, struct stream_info *ret_info);
void *engine_stream_user(const struct stream *s);
void engine_stream_set_user(struct stream *s, void *user);
/* Hot single facts of the above. */
uint64_t stream_tx_acked(const struct stream *s);
uint64_t stream_rx_contiguous(const struct stream *s);
uint64_t stream_rx_base(const struct stream *s); /* offset at the rx ring's first byte */
bool stream_rx_ended(const struct stream *s); /* the peer's FIN is reached: contiguous is final */
/* True if bytes of the tx ring's file went out that the peer has not acknowledged: its pages may be
 * on their way still. Who writes something else there must give those pages up first. */
bool engine_stream_tx_exposed(const struct stream *s);
int stream_error(const struct stream *s);
uint32_t stream_index(const struct stream *s); /* 0..streams-1 */

/* ---- time ---- */

/* Does what is due; a channel to give up is returned through @ret_dead (or NULL), call again. */
void engine_tick(struct engine *e, uint64_t now_ns, struct channel **ret_dead);
/* True if engine_tick may find something; cheap enough to ask at every turn. */
bool engine_tick_due(const struct engine *e, uint64_t now_ns);
/* When engine_tick is next needed, UINT64_MAX if never. Costs a look at every channel. */
uint64_t engine_deadline(const struct engine *e);

/* No new streams in or out; peers hear GOAWAY. */
void engine_leave(struct engine *e, uint64_t now_ns);
/* True for the one call after @peer has said GOAWAY. */
bool engine_peer_left(struct engine *e, uint32_t peer);

/* ---- numbers ---- */

struct engine_counters {
	uint64_t streams, opened, accepted, refused, reset;
	uint64_t bytes_sent, bytes_received, frames_sent, frames_received;
	uint64_t retransmits, duplicate_bytes, frame_errors, unknown_streams;
};
const struct engine_counters *engine_counters(const struct engine *e);
/* How many more streams there may be. */
uint32_t engine_streams_free(const struct engine *e);

struct channel_counters {
	uint64_t bytes_sent, bytes_received, frames_sent, frames_received, rtt_ns;
	uint64_t carried_sent, carried_received; /* payload, for streams of other workers */
	uint64_t frames_urgent; /* of both: what somebody waits for, see frame_urgent() */
	uint32_t queued_streams;
};
const struct channel_counters *engine_channel_counters(const struct channel *c);

#endif /* NCD_CORE_ENGINE_H */
