/* SPDX-License-Identifier: MIT */
/*
 * port_state.h - a port's private state, for port*.c and the worker; port_calls.h has what is done
 * with it. Nothing in here is shared with the application; what is (ncd/shm_abi.h) is reached
 * through the pointers and never believed.
 *
 *   slot (one per virtual socket of the application)      flow (one per stream of the engine)
 *     FREE -> PARKED (open waits for memory) -> LIVE  <--->  slot may go first: the flow lives on
 *                                          \-> FAILED       as an orphan until the engine is done
 *
 * Ownership: control allocates a port; the worker has it from CMD_CLIENT_ADD to EVT_CLIENT_GONE.
 * Threading: the worker.
 */
#ifndef NCD_PORT_STATE_H
#define NCD_PORT_STATE_H

#include "ncd/ring.h"
#include "ncd/shm_abi.h"

#include "arena.h"
#include "io.h"
#include "joint.h"
#include "port.h"
#include "worker_state.h"

#define SLOT_NONE UINT32_MAX

enum slot_use {
	SLOT_USE_FREE = 0,
	SLOT_USE_PARKED,
	SLOT_USE_LIVE,
	SLOT_USE_FAILED,
	SLOT_USE_MOVED, /* its stream is in another slot; `next` names its struct moved */
};

struct slot {
	struct flow *flow; /* LIVE */
	uint32_t next;     /* free list (upper half), parked list (lower half), moved */
	uint32_t pending_next;
	int pollfd;        /* descriptor + 1; 0: none */
	uint8_t use;
	uint8_t pending;   /* EV_* that found the completion queue full */
};

#define FLOW_ENDED    0x01u /* error: both directions */
#define FLOW_DONE     0x02u /* the engine has finished */
#define FLOW_RELEASED 0x04u /* the application has let go */
#define FLOW_SHUTDOWN 0x08u /* the application has finished sending */
#define FLOW_TOUCHED  0x10u /* in worker.touched */
#define FLOW_PARKED   0x20u /* incoming, waits for memory */
#define FLOW_ACCEPT   0x40u /* was put in an accept queue, at accept_at */
#define FLOW_RECLAIM  0x80u /* in worker.reclaim */
#define FLOW_OPEN     0x100u /* connected, or accepted */
#define FLOW_EXCHANGE 0x200u /* a ring was given and is not taken, or the old one not left */
#define FLOW_RETIRE   0x400u /* in worker.retire: old rings perhaps still lent */
#define FLOW_GROW     0x800u /* in port.growing */
#define FLOW_PASS     0x1000u /* in worker.passing or held: from an accept queue, without a slot */
#define FLOW_MOVING   0x2000u /* on its way to another port */
#define FLOW_HUNG     0x4000u /* shared, and nobody has its descriptor any more */
#define FLOW_WARM     0x8000u /* in worker.warm */
#define FLOW_JOIN_ASKED 0x10000u /* a writer: control is asked for a joined ring */
#define FLOW_JOIN_NOT   0x20000u /* there is none for it */
#define FLOW_LENT       0x40000u /* shared, but by its own process alone: ends with that */
#define FLOW_PLACE      0x80000u /* for one that comes from another worker; port: perhaps */
#define FLOW_SETTLES    0x100000u /* it has come, and its tombstone is not forgotten yet */

/* In its first three lines what each message needs. */
struct flow {
	alignas(NCD_CACHE_LINE) struct stream *stream; /* NULL: unused */
	struct port *port;
	struct slot_shm *shm; /* NULL: no slot (any more) */
	uint32_t slot;
	uint32_t flags;    /* FLOW_* */
	uint64_t tx_tail;  /* last ones that the engine took */
	uint64_t rx_head;
	uint64_t tx_head;  /* last one shown to the application */
	uint64_t tx_read;  /* the same, with tx_joint */
	uint64_t tx_base, rx_base;
	uint32_t tx_bytes, rx_bytes; /* of the rings in use */
	uint32_t tx_most, rx_most;   /* what they may grow to */
	uint32_t shm_flags; /* SLOT_F_* shown to the application */
	uint32_t tx_taken, rx_given; /* exchanges done */
	uint32_t rx_refused; /* size of the rx ring that rx_want found to be the last */
	struct moved *moved; /* slots that it has left, by flow_next */
	/* Is its writer, with tx or tx_next; its reader, with rx or rx_prev. NULL: no more. */
	struct joint *tx_joint, *rx_joint;
	struct arena_block tx, rx;
	/* cold */
	struct arena_block tx_next;      /* given, not taken: the application's to fill */
	struct arena_block rx_prev;      /* not left: the application may still read it */
	struct arena_block tx_old, rx_old; /* nobody's, but a channel may still name them */
	/* Rings of more than NCD_IDLE_BYTES: up to where they have given back their pages, how many
	 * places of rx have this time, and what tx_tail and the bytes received were together when
	 * it was last looked at. */
	uint64_t tx_cold, rx_cold, warm_moved, warm_ns;
	uint32_t rx_cooled;
	uint64_t look_moved;  /* flow_moved() when it was last looked at, */
	uint64_t bulk_moved;  /* when it last counted as one that moves bulk, */
	uint32_t bulk_period; /* and in which of the worker's periods */
	struct flow *warm_next, *warm_prev;
	struct flow *retire_next;
	struct flow *grow_next;
	struct flow *next, *prev; /* of its port */
	struct flow *reclaim_next;
	struct flow *touched_next;
	struct flow *parked_next;
	struct flow *pass_next;
	uint64_t group;        /* FLOW_PASS: that it came to */
	uint64_t title;        /* FLOW_PASS, held: of who is waited for */
	uint64_t until_ns;     /* and how long */
	uint32_t listener;
	uint32_t accept_at;
	uint64_t arrived;    /* number of its first accept queue entry, in the order of arrival */
	uint64_t cookie;     /* shared: of its descriptor; 0: it is not */
	/* Going to another worker: for what it leaves. Its rings stay as they are. */
	struct moved *going;
	uint64_t came_ns;    /* from another worker, then; 0: it did not */
	uint32_t kept_slot;  /* for who fetches it from there, + 1; 0: none */
	struct move_at from; /* FLOW_SETTLES: where it was */
};
_Static_assert(offsetof(struct flow, rx.base) <= 3 * NCD_CACHE_LINE, "in its first three lines");

/*
 * A slot whose stream was taken by another process, and the rings it had there: the library may
 * still be reading or writing them, until it posts SQ_CLOSE.
 */
struct moved {
	struct port *port;
	struct flow *flow; /* NULL: it is over */
	uint32_t slot;     /* SLOT_NONE: it has been left */
	bool held;         /* another worker copies out of the rings */
	bool exposed;      /* bytes of the tx rings' pages may be on their way */
	struct arena_block block[6]; /* in use, given, old; the first three: tx */
	struct moved *flow_next;
	struct moved *next, *prev; /* of its port; next: free, left */
};

struct listener {
	struct port *port;
	bool used;
	bool dirty;     /* streams were pushed since its last wake */
	int pollfd;     /* descriptor + 1; 0: none */
	uint32_t number;
	uint32_t parked; /* streams that wait for memory */
	uint32_t backlog;
	uint32_t tx_bytes, rx_bytes;
	enum stream_class class;
	struct address addr;
	uint16_t port_nr;
	bool pending;   /* its completion found no room */
	bool active;    /* its application has waited for streams */
	bool elsewhere; /* our bit is in listener_shm.elsewhere */
	bool reuseport; /* what it shares with others of `uid` that say so too */
	uint32_t uid;
	struct ring accept;
	uint32_t taken_end;   /* in the queue: below it nothing waits, if that is beyond head */
	uint64_t title;       /* what it shares with others that have the same; 0: nothing */
	uint64_t group;       /* number of its group */
	uint64_t served;      /* worker.served when it last got a stream */
	struct listener *group_next, *group_prev; /* itself, if it is alone */
	/* In worker.offers: it was given a stream because it waited. When, and where the head of
	 * the queue was then. */
	bool offered;
	uint32_t offer_head;
	uint64_t offer_ns;
	struct listener *offer_next;
	/* Since when, as was seen, nothing has been taken from a queue that holds something (0: not
	 * known), and the head of the queue then. */
	uint64_t stall_ns;
	uint32_t stall_head;
	bool away;          /* a program without ncd accepts, as far as is known: group_away */
	bool late;          /* it did not take it, nor has looked at its queue since */
	uint32_t late_head;
	struct listener *dirty_next;
};

struct port {
	/* set at create, then const */
	struct port_config cfg;
	struct region_shm layout; /* private copy */
	struct port_shm *shm;
	struct qp_shm *qp_shm;
	struct listener_shm *listener_shm;
	struct slot_shm *slot_shm;
	/* worker only */
	uint32_t number; /* among the clients of the engine */
	struct ring sq[NCD_QP_NR], cq[NCD_QP_NR];
	uint32_t sq_used;  /* bits: ever had a word; looked at each turn, the others seldom */
	uint32_t sq_first; /* where the next turn begins */
	uint32_t turn;
	uint32_t cq_dirty; /* bits: words were pushed since the last wake */
	int cqfd[NCD_QP_NR]; /* descriptor + 1; 0: none */
	struct slot *slot;
	uint32_t upper_free, upper_high; /* free list, first slot never used */
	uint32_t lower_high;
	struct listener *listener;
	struct listener *dirty_listeners;
	uint32_t pending_head, pending_tail; /* slots whose completion found no room */
	uint32_t pending_listeners;          /* how many */
	uint32_t pending_nr;                 /* slots and listeners */
	struct arena *arena;
	uint32_t bulk;      /* streams that moved it in the worker's last period */
	uint32_t bulk_new;  /* rings that became large in this one */
	uint32_t bulk_seen; /* streams that moved it so far in this one */
	bool segment_wanted; /* asked for, not answered */
	bool bad, removed, active, dirty;
	const char *reason;  /* why bad */
	uint32_t parked_head, parked_tail;   /* slots: opens that wait for memory */
	struct flow *parked_flows, *parked_flows_tail; /* incoming that wait for memory */
	struct flow *growing;  /* want larger rings, and memory was asked for */
	uint64_t grow_ns;      /* memory was refused: not asked for again before */
	struct flow *flows;
	uint32_t flow_nr;
	struct moved *moved;  /* slots that streams have left */
	uint32_t left_nr;     /* of them: closed, but rings perhaps still lent */
	uint64_t active_ns;   /* last time that words came */
	uint32_t give_way;    /* what shm says */
	_Atomic uint32_t idle_told; /* IDLE: ++ when there is another tx_idle */
	struct io_watch doorbell;
	struct port *next, *active_next, *dirty_next;
};

#endif /* NCD_PORT_STATE_H */
