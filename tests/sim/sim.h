/* SPDX-License-Identifier: MIT */
/*
 * sim.h - the simulator: hosts whose engines talk through simulated connections, in virtual time,
 * with every choice taken from one seed.
 *
 *   struct flow                                                        struct flow
 *   side 0: application --+                                      +---- side 1: application
 *                         v                                      |
 *        node (host, lane): engine == end | conn, 2 pipes | end == engine: node (host, lane)
 *                                                 |
 *                                                spy: every frame, against the credit given
 *
 * Ownership: struct sim owns everything; flows own their rings until the engine has let go of them.
 * Threading: one thread.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/carry.h"
#include "core/engine.h"
#include "core/frame.h"
#include "core/move.h"

#include "pipe.h"
#include "random.h"
#include "timeline.h"

#define HOSTS_MAX  3
#define LANES_MAX  2
#define NODES_MAX  (HOSTS_MAX * LANES_MAX)
#define CLIENTS    4   /* of a node, by turns */
#define CLASS_MAX  3   /* channels of one class between two nodes */
#define EXTRA_MAX  2   /* of the throughput class, that come and go with the load */
#define PLACES_MAX (NODES_MAX * (HOSTS_MAX - 1) * (CLASS_MAX + EXTRA_MAX))
#define CONNS_MAX  256
#define FLOWS_MAX  512
#define ZOMBIES_MAX (8 * FLOWS_MAX)
#define FAULT_KINDS 9
#define TICKS_MAX  64
#define VISITS_MAX FLOWS_MAX
#define TOMBS_MAX  (4 * FLOWS_MAX)
#define BOX_MAX   16 /* messages from one node to another that are under way */
#define SIM_TX_MAX 132 /* pieces that an engine gives at once */
#define GUARD      32 /* bytes before and behind each piece of memory, that nobody may write */

#define MS     UINT64_C(1000000)
#define CLOCK_LAG_NS 1000 /* a worker may have read its clock so long ago */
#define SECOND (1000 * MS)

enum event_kind {
	EV_TURN,     /* a: node */
	EV_TICK,     /* a: node */
	EV_DIAL,     /* a: place */
	EV_END_UP,   /* a: conn, b: end */
	EV_END_DOWN, /* a: conn, b: end */
	EV_TX,       /* a: conn, b: end: the transport looks at what was given to it */
	EV_TX_DONE,
	EV_RX, /* a: conn, b: end: bytes have arrived */
	EV_RX_DONE,
	EV_FLOW,   /* the next flow begins */
	EV_SIDE,   /* a: flow, b: side: the application acts */
	EV_ADMIT,  /* a: flow: the listener makes up its mind */
	EV_FAULT,  /* something breaks */
	EV_HOST,   /* a: host: starts again */
	EV_HEAL,   /* a, b: hosts: their network is whole again */
	EV_QUIET,  /* faults stop, no new flows */
	EV_CARRY,  /* a: node, b: node: a message has come from a to b */
	EV_PICK,   /* a stream is to move */
	EV_MOVE,   /* a: flow and side, b: serial: the next step */
	EV_VISIT,  /* a: visit, b: serial */
	EV_FORGET, /* a: tombstone */
	EV_PORT,   /* a: node, b: port: is free again */
	EV_KINDS
};

/* Memory with guards. */
struct guarded {
	struct ring_mem mem;
	uint8_t *block;
	bool kept; /* when it is given back, what is under way out of it stays as it is */
};

/* Why a flow may end with an error; or-ed. */
#define WHY_ABORT       0x01u
#define WHY_KILL        0x02u
#define WHY_CLOSED      0x04u /* closed with unread bytes, or before the other had finished */
#define WHY_RESTART     0x08u
#define WHY_UNREACHABLE 0x10u
#define WHY_REFUSED     0x20u
#define WHY_LEAVING     0x40u
#define WHY_ORPHAN      0x80u /* closed, and could not send what it had in time */

enum side_plan { PLAN_NORMAL, PLAN_ABORT, PLAN_KILL, PLAN_CLOSE_EARLY, PLAN_PLANS };

/* moves.c: a side goes to the other lane of its host. */
enum move_step {
	MOVE_NONE,
	MOVE_ROOM,
	MOVE_WAIT,
	MOVE_LEAVE,
	MOVE_COME,
	MOVE_STAYS,
	MOVE_END,  /* its stream must, too */
	MOVE_OVER, /* only the placeholder is left */
};

/* RESUME has come for a stream of @node's host; until it has arrived, or is refused. */
struct visit {
	bool used, refuse;
	uint32_t node, peer, serial;
	struct stream *stream; /* NULL: it has ended */
	uint16_t lane;
	uint64_t id;
};

struct move {
	enum move_step step;
	uint32_t to;          /* node */
	struct stream *place; /* of the side that begins */
	struct visit *visit;  /* of the side that is asked */
	struct stream_parcel parcel;
	uint32_t serial; /* events of other steps are void */
};

struct tomb {
	uint32_t node;
	uint64_t id; /* 0: none */
};

/* One application's end of a flow. */
struct side {
	struct stream *stream; /* NULL before, and when it has been freed */
	struct guarded tx, rx;
	uint32_t node;
	uint64_t key;
	uint64_t length; /* to be written in all */
	uint64_t written, poisoned, read, seen; /* seen: greatest contiguous offset */
	uint64_t acked;
	uint64_t tx_base; /* offset at the tx ring's first byte */
	uint64_t credit; /* greatest ack + window that frames from the other side gave it */
	enum side_plan plan;
	uint64_t plan_at; /* written + read */
	uint64_t stop_at, stop_ns; /* reading pauses once, there, for so long */
	uint64_t stopped_until_ns;
	uint64_t think_ns; /* longest pause between two acts */
	uint32_t piece;    /* most bytes of one act */
	bool connected, pending; /* pending: not admitted yet */
	bool shut, eof, closed, gone; /* gone: its host died, or it is over */
	bool act_queued;
	bool eager, linger; /* writes before it is connected; waits with close for TX_DONE */
	bool rebases;
	bool tx_done;
	struct move move;
	uint32_t tomb; /* of where it was + 1; 0: none */
	uint64_t closed_ns;
	int error;
};

struct flow {
	struct side side[2]; /* 0 opened it */
	uint32_t why;        /* WHY_* */
	uint16_t port;       /* the opener's */
	uint16_t to_port;
	bool accepted;
	uint64_t begun_ns;
};

/* Where a node's engine meets the transport of one connection. */
struct conn_end {
	uint32_t node, peer; /* peer: the node's index of the other host */
	struct channel *channel;
	bool up, down; /* has been, is no more */
	struct guarded rx_buf, tx_buf;
	struct iovec tx_iov[SIM_TX_MAX]; /* what the engine gave, files behind the rest */
	int tx_nr, tx_files;
	size_t tx_taken;  /* by the transport, engine not told yet */
	bool tx_executed; /* tx_taken is set */
	const struct iovec *rx_iov;
	int rx_nr;
	size_t rx_got;
	bool rx_pending; /* rx_got is set, engine not told yet */
	uint64_t heard_ns;
	uint64_t rx_again_ns; /* when it looks again, for bytes that were delayed */
};

/* What the spy knows of the bytes that enter a pipe. */
struct spy {
	uint8_t header[WIRE_HEADER_BYTES];
	uint8_t payload[WIRE_OPEN_BYTES];
	size_t header_bytes, payload_bytes;
	struct frame frame;
};

struct conn {
	bool used, cut;
	uint32_t generation;
	uint32_t place;
	uint32_t incarnation[2];
	struct conn_end end[2];
	struct pipe pipe[2]; /* [i] carries from end[i] */
	struct spy spy[2];
	bool tx_blocked[2]; /* that end waits for room */
};

/* Where the connections of one (pair of nodes, class, index) go. */
struct place {
	uint32_t node[2];
	enum stream_class class;
	uint16_t index;
	uint32_t conn;                     /* newest; CONNS_MAX: none */
	bool dialling;
	bool extra;      /* dialled only when an engine asks for it */
	uint32_t by;     /* extra: which of the two nodes asked last, 0 or 1 */
	bool asked;      /* extra: it has not heard yet */
};

struct peer_view {
	uint32_t channels;
	uint64_t none_since_ns; /* while channels is 0 */
	uint32_t incarnation;   /* last known; 0: never */
	bool told_unreachable, left;
};

struct sim;

/* One lane of one host: an engine. */
struct node {
	struct sim *sim;
	uint32_t host, lane;
	void *mem;
	struct engine *engine;
	struct peer_view peer[HOSTS_MAX];
	struct conn_end loop[2]; /* the host's own peer: a latency and a throughput channel */
	bool turn_queued;
	uint64_t tick_ns[TICKS_MAX]; /* when ticks are queued, each earlier than the one before */
	uint32_t ticks;
	uint32_t idle_ticks;
	uint64_t idle_since_ns; /* meaningful if idle_ticks > 0 */
	uint64_t full_ns; /* last time that its stream table was full */
};

/* What one node says to another of its host (core/carry.h). */
struct box {
	struct carry_msg msg[BOX_MAX];
	uint32_t first, nr;
};

struct host {
	bool up, leaving;
	uint32_t incarnation;
};

/* What a seed decides once. */
struct plan {
	uint32_t hosts, lanes;
	uint16_t latency, throughput; /* channels per pair and lane */
	struct engine_config engine;
	uint16_t extra;                /* more of the latter, when the load wants them */
	uint32_t deny_permille;        /* how often there is no room for one */
	uint32_t give_max;    /* unanswered orders to another lane; 0: none is given */
	uint64_t carry_ns;    /* a message between lanes takes so long at most */
	uint64_t move_ns;     /* mean time between moves of streams; 0: none */
	uint64_t move_step_ns; /* a step of one takes so long at most */
	uint32_t move_refuse_permille;
	uint32_t flows;
	uint32_t at_once;
	uint64_t busy_ns; /* flows begin and faults happen until then */
	uint64_t length_max, think_max_ns;
	uint32_t ring_max;
	uint32_t tiny_permille, part_permille; /* how often the transport takes 1, or few, bytes */
	size_t pipe_bytes;
	uint64_t bytes_per_s, delay_ns, jitter_ns;
	uint64_t io_ns;    /* between the transport's act and the engine's hearing of it; 0: none */
	bool bulk;         /* all flows begin at once, lengths and rings near the most */
	bool posted;       /* receive memory is lent before the bytes arrive, as io_uring does */
	uint64_t turn_ns;  /* a worker's turn comes at most so much later */
	uint64_t fault_ns; /* mean time between faults; 0: none */
	uint32_t fault_weight[FAULT_KINDS];
	uint32_t self_permille, bad_plan_permille, stop_permille;
};

struct totals {
	uint64_t seeds, virtual_ns, flows, bytes, cuts, restarts, outages, errors, frames, events;
	uint64_t refused, completed, exchanged, grown, drained, carried, returned, lost;
	uint64_t moved, moves_refused;
};

struct id_map_entry {
	uint64_t id;
	uint32_t node, flow, side;
};
#define ID_MAP_SIZE 16384

struct sim {
	uint64_t seed, now_ns;
	bool verbose, quiet;
	struct rng rng;
	struct rng ring_rng; /* of its own: the runs of older seeds stay what they were */
	struct rng carry_rng;
	struct rng move_rng;
	struct visit visit[VISITS_MAX];
	struct tomb tomb[TOMBS_MAX];
	struct box box[NODES_MAX][NODES_MAX]; /* [from][to] */
	uint32_t exchange_permille; /* acts of a side at which it gets another ring */
	struct plan plan;
	struct timeline timeline;
	struct host host[HOSTS_MAX];
	bool severed[HOSTS_MAX][HOSTS_MAX];
	struct node node[NODES_MAX];
	uint32_t nodes;
	struct place place[PLACES_MAX];
	uint32_t places;
	struct conn conn[CONNS_MAX];
	uint32_t conn_high; /* ever used: [0, conn_high) */
	struct flow flow[FLOWS_MAX];
	uint32_t flows;   /* begun */
	uint32_t running; /* with a side that is not gone */
	struct guarded zombie[ZOMBIES_MAX]; /* rings that channels may still hold */
	uint32_t zombie_node[ZOMBIES_MAX];
	uint32_t zombies;
	struct id_map_entry id_map[ID_MAP_SIZE];
	uint32_t ids; /* in it */
	uint64_t trace; /* hash of all that happened */
	struct totals totals;
};

/* ---- check.c ---- */
/* Prints seed, virtual time, what failed and how to replay it; exits with 1. */
_Noreturn void sim_fail(const struct sim *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void sim_log(const struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds to the hash of the run. */
void sim_trace(struct sim *s, uint64_t a, uint64_t b);
void guarded_init(struct guarded *g, uint32_t bytes);
void guarded_fini(struct sim *s, struct guarded *g, const char *what);
void guarded_check(const struct sim *s, const struct guarded *g, const char *what);
void side_check_unread(struct sim *s, uint32_t flow, uint32_t side, uint64_t from, uint64_t to);
/* Bytes have been written to [at, at + bytes) on @node: is it memory that may be written? */
void placement_check(struct sim *s, const struct conn_end *end, const uint8_t *at, size_t bytes,
		     bool written);
/* At the end: nothing has leaked. */
void sim_check_end(struct sim *s);

/* ---- spy.c ---- */
void spy_sent(struct sim *s, struct conn *c, uint32_t end, const struct iovec *iov, int iov_nr,
	      size_t bytes);

/* ---- node.c ---- */
uint32_t sim_at(struct sim *s, uint64_t after_ns, enum event_kind kind, uint32_t a, uint32_t b,
		uint32_t generation);
void node_start(struct sim *s, uint32_t node);
void node_stop(struct sim *s, uint32_t node);
/* The engine has been called: its worker's turn comes soon. */
void node_touch(struct sim *s, uint32_t node);
void node_turn(struct sim *s, uint32_t node);
/* Times that a node may look and do nothing, since it last did something. */
uint64_t node_idle_max(const struct sim *s, const struct node *n);
void node_tick(struct sim *s, uint32_t node);
/* Now, or a moment ago, as a worker that read its clock earlier. */
uint64_t node_now(struct sim *s);
uint32_t peer_index(uint32_t host, uint32_t other);
uint32_t peer_host(uint32_t host, uint32_t peer);
struct address host_address(uint32_t host, bool v6);

/* ---- lanes.c ---- */
/* The lane of @host that is @lane. */
uint32_t lane_node(const struct sim *s, uint32_t host, uint32_t lane);
/* Gives to others what @node has too much of; brings its messages on their way. */
void lanes_give(struct sim *s, uint32_t node);
void lanes_post(struct sim *s, uint32_t node);
void lanes_take(struct sim *s, uint32_t from, uint32_t to);
/* @node has died: so has what was under way to it, and from it. */
void lanes_clear(struct sim *s, uint32_t node);

/* ---- moves.c ---- */
void moves_plan(struct sim *s);
void moves_pick(struct sim *s);
void moves_step(struct sim *s, uint32_t who, uint32_t serial);
/* An engine asks whether a stream may go (engine_ops). */
void moves_resume(void *node, struct stream *stream, uint16_t old_lane, uint64_t id);
void moves_visit(struct sim *s, uint32_t index, uint32_t serial);
void moves_port_left(void *node, uint32_t home, uint16_t port);
/* True if the event of @st was for who moves. */
bool moves_event(struct sim *s, struct stream *st, uint64_t user, uint32_t events);
/* What has arrived goes on, or has ended: nothing more comes for where it was. */
void moves_settled(struct sim *s, struct side *sd);
void moves_forget(struct sim *s, uint32_t index);
void moves_stream_freed(struct sim *s, uint32_t flow, uint32_t side);
void moves_host_died(struct sim *s, uint32_t host);

/* ---- conn.c ---- */
/* @channel has its place: it receives again. */
void end_resume(struct sim *s, struct channel *channel);
void place_dial(struct sim *s, uint32_t place);
/* @node's engine wants another throughput channel to its @peer. */
void place_grow(struct sim *s, uint32_t node, uint32_t peer);
void end_up(struct sim *s, uint32_t conn, uint32_t end);
void end_down(struct sim *s, uint32_t conn, uint32_t end);
void end_tx_start(struct sim *s, uint32_t conn, uint32_t end);
/* The transport still has what it was given: the engine hears of it at each turn. */
void end_tx_stuck(struct sim *s, uint32_t conn, uint32_t end);
void end_tx(struct sim *s, uint32_t conn, uint32_t end);
void end_tx_done(struct sim *s, uint32_t conn, uint32_t end);
void end_rx(struct sim *s, uint32_t conn, uint32_t end);
void end_rx_done(struct sim *s, uint32_t conn, uint32_t end);
/* @notice_ns: each end hears of it that much later at most; 0: neither ever does. */
void conn_cut(struct sim *s, uint32_t conn, uint64_t notice_ns);
/* One end hears at once, the other receives for a while yet what was under way. */
void conn_cut_late(struct sim *s, uint32_t conn, uint64_t late_ns);
void conn_free_all(struct sim *s);
/* The memory of @g is given back: connections refer to it no more. */
void conn_settle(struct sim *s, const struct guarded *g);

/* ---- flow.c, side.c ---- */
void flow_begin(struct sim *s);
int flow_incoming(void *node, struct stream *stream, void *listener_user);
void flow_admit(struct sim *s, uint32_t flow);
void flow_host_died(struct sim *s, uint32_t host);
void side_event(struct sim *s, uint32_t flow, uint32_t side, uint32_t events);
void side_act(struct sim *s, uint32_t flow, uint32_t side);
void side_act_soon(struct sim *s, uint32_t flow, uint32_t side, uint64_t after_ns);
void side_release(struct sim *s, struct side *sd);
/* Its stream has ended between two lanes; must end, since the other has. */
void side_lost(struct sim *s, uint32_t flow, uint32_t side);
void side_end(struct sim *s, uint32_t flow, uint32_t side);

/* ---- rings.c ---- */
/* The ring memory lives on while a channel may still touch it. */
void ring_release(struct sim *s, uint32_t node, struct guarded *g);
void zombies_reap(struct sim *s);
void rings_plan(struct sim *s);
/* Now and then one of @side's rings is exchanged for another. */
void rings_exchange(struct sim *s, uint32_t flow, uint32_t side);

/* ---- fault.c ---- */
void fault_next(struct sim *s);
void host_restart(struct sim *s, uint32_t host);
void network_heal(struct sim *s, uint32_t a, uint32_t b);
void sim_go_quiet(struct sim *s);

/* ---- plan.c ---- */
void plan_make(struct plan *p, struct rng *r);
/* Whether streams move between lanes. */
void plan_move(struct plan *p, uint64_t seed);
void plan_print(const struct plan *p);

/* ---- run.c ---- */
/* Runs one seed to its end; adds to @totals. Returns the hash of the run. */
uint64_t sim_run(uint64_t seed, bool verbose, struct totals *totals);

#endif /* SIM_SIM_H */
