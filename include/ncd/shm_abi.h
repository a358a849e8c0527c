/* SPDX-License-Identifier: MIT */
/*
 * shm_abi.h - the region: all memory that one attached application shares with the daemon.
 *
 * Ownership: the daemon creates every memfd, seals its size, lays it out, and keeps private copies
 *   of all sizes and offsets. The library maps it and never outlives its own attachment.
 * Threading: each word below has one writing side, unless it says "both" (read-modify-write only).
 *   In the daemon the writer is the worker that owns the port; for a listener any worker.
 * Trust: the daemon fetches each application-written word once, checks the copy, uses the copy. A
 *   word that breaks its rule ends that application's attachment, with a counted reason.
 *
 *   segment 0 (at attach)                          segment 1.. (when a worker needs ring space)
 *   +--------------------------------------+       +-----------------------------+
 *   | region_shm                           |       | tx and rx rings: power-of-2 |
 *   | qp_shm[NCD_QP_NR]                    |       | blocks handed out by the    |
 *   | listener_shm[listeners]              |       | worker that owns the        |
 *   | left_table_shm, left_shm[left]       |       | segment; named in slot_shm  |
 *   | pieces and queues of copy workers,   |       +-----------------------------+
 *   | if there are any: copy_abi.h         |
 *   +--------------------------------------+
 *   | port of worker 0: port_shm           |
 *   |   NCD_QP_NR submission queues        |
 *   |   NCD_QP_NR completion queues        |   A port is where the application meets one worker.
 *   |   accept queue of each listener      |   Untouched pages cost nothing: tables are as large
 *   |   slot_shm[slots]                    |   as the limits, memory follows use.
 *   +--------------------------------------+
 *   | port of worker 1: ...                |
 *   +--------------------------------------+
 *
 * A slot is one virtual socket's meeting place. The lower half of a port's slots is the library's
 * to give out (connect), the upper half the daemon's (accept):
 *
 *            app: OPEN                 daemon: accepted stream
 *   FREE ----------------> OPENING        FREE ----> OPEN
 *    ^                        | ACCEPT     |(upper half)
 *    |  daemon: done          v            |
 *    +---- CLOSING <------- OPEN <---------+
 *              app: SQ_CLOSE            (a refused OPENING goes to FAILED: error set; SQ_CLOSE)
 *
 * The library frees nothing in the shared memory: it posts SQ_CLOSE, and may use a lower slot again
 * once the daemon has written SLOT_FREE. Ring offsets are the stream's absolute 64-bit offsets; a
 * byte's place is (offset - base) & (size - 1). The base moves only while the ring is empty: the
 * library may change tx_base when tx_head has reached tx_tail, the daemon rx_base when rx_head has
 * reached rx_tail; so small messages stay in the ring's first page.
 *
 * Rings begin small and are exchanged for larger ones, up to tx_most and rx_most. The daemon sets
 * the new ring's place and counts tx_given or rx_given up; the library counts tx_taken or rx_taken
 * up when it is done with the old ring, and only then the daemon gives another. The base stays.
 *
 *            daemon                              library
 *   tx   new place, ++tx_given  ------->  when it lacks room: copies what is not acknowledged,
 *        old ring is free       <-------  ++tx_taken; writes to the new one
 *   rx   copies what is unread, receives
 *        to the new one; ++rx_given --->  reads on in the new one
 *        old ring is free       <-------  ++rx_taken when it no longer looks into the old one
 *
 * A ring of a stream that is idle keeps its size, its place and the credit given for it, but not
 * its pages (ring_pages.h). Who writes a ring gives them back, since nobody else knows that no byte
 * is just being put there: of an rx ring the daemon; of a tx ring the library, when it is told that
 * the stream is idle (tx_idle, then ctl IDLE). That is a hint: who does not follow it keeps memory.
 *
 * A stream of bulk whose two ends are on this host, at applications that both know of it and have
 * mapped it (ctl JOINT, JOINED), is joined: the next larger ring is one for both, in a memfd of its
 * own, which the writer may write and the reader only read. A byte's place in it is offset &
 * (size - 1), whatever the bases say. The daemon gives it to the reader, copies to it what the
 * writer still has in its old ring, and gives it to the writer; from then on it moves numbers only.
 * Room is what is behind tx_read then, up to which the reader has consumed, and not tx_head.
 *
 * Listeners of several applications on one address may be a group (ctl_proto.h): a stream is put
 * into the accept queue of one of them, and as long as it is there may be moved to another's.
 *
 * rx_want asks for an rx ring of so many bytes: the library cannot read on before it sees them all
 * (MSG_PEEK). If there is none, the daemon lowers rx_most.
 *
 * A shared stream (ctl SHARE) may be taken away by another process which has its descriptor: it
 * goes on in a slot and rings of that process's region, and the old slot says MOVED. What the
 * library had published by then counts, up to moved_tail and moved_head; what it publishes later
 * does not, and it looks behind each store whether it counted. The old rings stay the slot's until
 * SQ_CLOSE.
 *
 *   library, old       daemon                                 library, new
 *                      <---------------------------------------- TAKE
 *                      MOVING; takes tx_tail, rx_head;
 *                      copies what is unread or not acknowledged
 *   tx_tail, state?    moved_tail, moved_head; MOVED; wakes
 *                      OPEN in the new slot ------ REPLY ------>
 *
 * In the same way a stream goes to another worker: it is lent (ctl LEND), its slot says MOVED, and
 * TAKE_BACK gives it one at that worker.
 *
 * Ordering:
 *   MOVE     app: stores tx_tail or rx_head (seq_cst), then loads state (seq_cst); daemon: stores
 *            MOVING (seq_cst), then loads the words (seq_cst). So the daemon sees the word, or the
 *            app sees MOVING, waits for MOVED (acquire), and compares with moved_tail, moved_head.
 *   STATE    daemon stores slot.state (release) -> app loads it (acquire): ring_*, addresses set.
 *   TXBYTES  app stores tx_tail (release) -> daemon loads it (acquire): bytes below are there.
 *   TXSPACE  daemon stores tx_head (release) -> app loads it (acquire): bytes below are free again.
 *            The same for tx_read, in a joined ring.
 *   RXBYTES  daemon stores rx_tail (release) -> app loads it (acquire): bytes below are there.
 *   RXSPACE  app stores rx_head (release) -> daemon loads it (acquire): bytes below are free.
 *   GIVEN    daemon stores tx_given, rx_given (release) -> app loads it (acquire): place is set,
 *            what was unread is in the new rx ring. Before any rx_tail that needs that ring.
 *   TAKEN    app stores tx_taken, rx_taken (release) -> daemon loads it (acquire): what was not
 *            acknowledged is in the new tx ring; the old rx ring is no longer read.
 *   KICK     app: stores its words, swaps kick to 1 (acq_rel); 0 before: pushes SQ_KICK.
 *            daemon: swaps kick to 0 (acq_rel), then loads the words. Nothing is missed.
 *   LEFT     app changes rows, then ++changes (release) -> control loads changes (acquire): the
 *            rows are there. It looks again a second later if changes has moved meanwhile.
 *   NOTIFY   app: ORs its wish into notify (seq_cst), then looks (seq_cst) and sleeps; daemon:
 *            stores what there is to see, then clears the bits it serves in notify (one seq_cst
 *            RMW) and wakes for those that were set. Of the two RMWs on one word one is second:
 *            the app's, then it sees what was stored; or the daemon's, then it finds the wish.
 *   IDLE     worker stores tx_idle, counts (release) -> control loads the count (acquire), sends
 *            ctl IDLE; the app loads tx_idle behind that message.
 *   CLAIM    who takes a word of an accept queue swaps RING_CLAIMED for it (acq_rel): the app that
 *            accepts, or the daemon that gives the stream to another of its group. One gets it.
 *   SHARE    app: counts itself in waiting (seq_cst), then loads elsewhere (seq_cst), and posts
 *            SQ_SHARE to the workers in it; daemon: sets its bit in elsewhere (seq_cst), then loads
 *            waiting (seq_cst). So a stream in the queue of who is busy comes to one who waits.
 */
#ifndef NCD_SHM_ABI_H
#define NCD_SHM_ABI_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "ncd/limits.h"

#define SHM_MAGIC   0x6e63643153484d31ull
#define SHM_VERSION 4u

/* Segment 0, offset 0. Written by the daemon before the descriptor is passed, then constant. */
struct region_shm {
	uint64_t magic;
	uint32_t version;
	uint32_t workers;      /* ports */
	uint64_t bytes;        /* of segment 0 */
	uint64_t qp_off;       /* qp_shm[NCD_QP_NR] */
	uint64_t listener_off; /* listener_shm[listeners] */
	uint32_t listeners;    /* NCD_LISTENERS_MAX */
	uint32_t slots;        /* per port; a power of two */
	uint64_t port_off;     /* port of worker 0 */
	uint64_t port_bytes;   /* distance to the next worker's */
	/* Within a port: */
	uint64_t sq_off;     /* + qp * sq_bytes: ring.h with NCD_SQ_ENTRIES words */
	uint64_t sq_bytes;
	uint64_t cq_off;     /* + qp * cq_bytes: ring.h with NCD_CQ_ENTRIES words */
	uint64_t cq_bytes;
	uint64_t accept_off; /* + listener * accept_bytes: ring.h with NCD_BACKLOG_MAX words */
	uint64_t accept_bytes;
	uint64_t slot_off;   /* slot_shm[slots] */
	/* Of segment 0 again: left_table_shm, then NCD_LEFT_MAX rows. Whole pages, of their own. */
	uint64_t left_off;
	uint64_t copy_off;     /* copy_abi.h */
	uint32_t copy_workers; /* 0: this application's calls copy by themselves */
	uint32_t pad;
};
_Static_assert(sizeof(struct region_shm) == 144, "shm ABI");
_Static_assert(offsetof(struct region_shm, copy_off) == 128, "shm ABI");

/* One per queue pair: where its thread sleeps. The queues themselves are in each port. */
struct qp_shm {
	alignas(NCD_CACHE_LINE) _Atomic uint32_t need_wakeup; /* both; DOORBELL of all its CQs */
	alignas(NCD_CACHE_LINE) _Atomic uint32_t seq;         /* workers: ++ per wake; a futex */
};
_Static_assert(sizeof(struct qp_shm) == 128, "shm ABI");

/* A listening virtual socket; its number is given by the control socket. */
struct listener_shm {
	alignas(NCD_CACHE_LINE) _Atomic uint32_t seq; /* workers: ++ per wake; a futex */
	uint32_t pad;
	alignas(NCD_CACHE_LINE) _Atomic uint32_t notify; /* both; see below */
	_Atomic uint32_t qp;                             /* app: queue pair of its completions */
	_Atomic uint32_t waiting;   /* app: threads that sleep until a stream comes; SHARE */
	_Atomic uint32_t shared;    /* workers: 1 in a group of several */
	_Atomic uint64_t elsewhere; /* workers, a bit each: streams wait at others; SHARE */
	_Atomic uint32_t accepted;  /* app: 1 once it has; CTL_VERSION_AWAY */
};
_Static_assert(sizeof(struct listener_shm) == 128, "shm ABI");
_Static_assert(offsetof(struct listener_shm, elsewhere) == 80, "shm ABI");
_Static_assert(offsetof(struct listener_shm, accepted) == 88, "shm ABI");
_Static_assert(NCD_WORKERS_MAX <= 64, "a bit each");

/*
 * Sockets of the program that were left to kernel TCP, for ncd-stat: what they are, and why. All
 * is the application's word; the daemon shows it beside the pid that it knows, and believes none.
 */
enum left_kind {
	LEFT_FREE = 0,
	LEFT_LISTEN,
	LEFT_CONNECTION,
	LEFT_KIND_END
};

enum left_why {
	LEFT_OTHER = 0,
	LEFT_NO_PEER,     /* the address is no peer's; of a listener: not this host's */
	LEFT_PEER_DOWN,   /* the peer's ncd does not answer */
	LEFT_NO_LISTENER, /* nobody listens there through ncd */
	LEFT_PORT,        /* NCD_PORTS or NCD_EXCLUDE */
	LEFT_NO_NCD,      /* ncd does not run here, or did not then */
	LEFT_REFUSED,     /* [access] or [daemon] clients of ncd.conf */
	LEFT_NO_ROOM,     /* a limit is reached, or there is no memory */
	LEFT_FAMILY,      /* IPV6_V6ONLY, or an address of the other family */
	LEFT_BY_CLIENT,   /* accepted: the client came by kernel TCP */
	LEFT_IN_USE,      /* another socket of ncd's has the port */
	LEFT_URING,       /* the program uses sockets by io_uring */
	LEFT_WHY_END
};

struct left_table_shm {
	alignas(NCD_CACHE_LINE) _Atomic uint32_t changes; /* LEFT */
	_Atomic uint32_t top;                             /* rows from here on were never used */
};

struct left_shm { /* app only */
	alignas(NCD_CACHE_LINE) _Atomic uint32_t kind; /* enum left_kind; the rest set before it */
	uint32_t why;                                  /* enum left_why */
	uint8_t local_addr[16];                        /* IPv6, or v4-mapped; all zero: any */
	uint8_t peer_addr[16];
	uint16_t local_port; /* host byte order */
	uint16_t peer_port;
	uint8_t pad[20];
};
_Static_assert(sizeof(struct left_table_shm) == 64, "shm ABI");
_Static_assert(sizeof(struct left_shm) == 64, "shm ABI");

#define LEFT_TABLE_BYTES \
	(sizeof(struct left_table_shm) + NCD_LEFT_MAX * sizeof(struct left_shm))
_Static_assert(LEFT_TABLE_BYTES % NCD_PAGE == 0, "shm ABI: the library maps it once more");

/* Head of a port. */
struct port_shm {
	alignas(NCD_CACHE_LINE) _Atomic uint32_t need_wakeup; /* both; DOORBELL of the worker */
	/* daemon; somebody waits for round trips just now: who copies bulk offers the core each so
	 * many bytes; 0: nobody does */
	_Atomic uint32_t give_way;
};

/* What notify asks for: which readiness, and how its waiter is to be told. */
#define EV_IN  0x01u /* bytes, end of stream, or (listener) a stream to accept */
#define EV_OUT 0x02u /* room, or connected */
#define EV_ERR 0x04u /* error or reset: always reported */
#define EV_HUP 0x08u /* end of stream */
#define EV_ALL 0x0fu
#define NOTIFY_FUTEX(ev) ((uint32_t)(ev))        /* ++seq, FUTEX_WAKE on it */
#define NOTIFY_CQ(ev)    ((uint32_t)(ev) << 8)   /* one word on the completion queue, once */
#define NOTIFY_FD(ev)    ((uint32_t)(ev) << 16)  /* the pollable descriptor (ctl POLLFD) */

enum slot_state {
	SLOT_FREE = 0,
	SLOT_OPENING, /* daemon has taken the OPEN; rings are set, tx may be filled */
	SLOT_OPEN,
	SLOT_FAILED, /* error is set; nothing but SQ_CLOSE is useful */
	SLOT_CLOSING,
	SLOT_MOVING, /* MOVED in a moment */
	SLOT_MOVED,  /* it is elsewhere: SQ_CLOSE, and CTL_TAKE or TAKE_BACK to have it back */
};

/* Monotonic facts about a stream; daemon only. */
#define SLOT_F_EOF     0x01u /* rx_tail is final */
#define SLOT_F_RESET   0x02u /* error is set: both directions have ended */
#define SLOT_F_TX_DONE 0x04u /* the peer has acknowledged our FIN and all before it */
#define SLOT_F_PEER_DOWN 0x08u /* error is our own ncd's: no channel to the peer is up */
#define SLOT_F_SHUT    0x10u /* SQ_SHUTDOWN has been served, here or for another process */
/* MOVED: what was there when the stream left, or has come since where nobody waits for it: who
 * waits for that here may have the stream back. */
#define SLOT_F_CALLED_IN  0x20u
#define SLOT_F_CALLED_OUT 0x40u

struct slot_shm {
	/* Daemon only; set before STATE, then constant until FREE, but for the rings. Offset 0. */
	alignas(NCD_CACHE_LINE) _Atomic uint32_t state;
	_Atomic int32_t error;    /* negative errno; written before SLOT_FAILED or SLOT_F_RESET */
	uint32_t tx_segment;      /* places of the rings given last: GIVEN */
	uint32_t rx_segment;
	uint64_t tx_off;
	uint64_t rx_off;
	uint32_t tx_bytes;
	uint32_t rx_bytes;
	uint16_t local_port;      /* host byte order */
	uint16_t peer_port;
	uint32_t listener;        /* accepted on; ~0 if connected */
	_Atomic uint32_t tx_most; /* bytes that the rings may grow to */
	_Atomic uint32_t rx_most;
	_Atomic uint64_t moved_tail; /* MOVED: of tx_tail, what has counted */

	/* App only, hot. Offset 64. */
	alignas(NCD_CACHE_LINE) _Atomic uint64_t tx_tail;
	_Atomic uint64_t rx_head;
	_Atomic uint32_t kick;   /* both */
	_Atomic uint32_t notify; /* both */
	_Atomic uint32_t qp;     /* queue pair for NOTIFY_CQ; checked at each use */
	_Atomic uint32_t tx_taken; /* tx ring that is written: the first is 0 */
	_Atomic uint64_t tx_base; /* offset at the tx ring's first byte; written before tx_tail */
	_Atomic uint32_t rx_taken; /* rx ring that is read */
	_Atomic uint32_t rx_want;  /* bytes that are to be seen at once; 0: any */

	/* Daemon only, hot. Offset 128. */
	alignas(NCD_CACHE_LINE) _Atomic uint64_t tx_head;
	_Atomic uint64_t rx_tail;
	_Atomic uint32_t flags; /* SLOT_F_* */
	_Atomic uint32_t seq;   /* both: ++ per futex wake */
	_Atomic uint64_t srtt_ns;
	_Atomic uint64_t rx_base; /* offset at the rx ring's first byte; written before rx_tail */
	_Atomic uint32_t tx_given; /* rings given since the first: tx_taken or one more */
	_Atomic uint32_t rx_given;
	_Atomic uint64_t tx_idle; /* what tx_tail was when the stream was found idle; IDLE */

	/* Offset 192. App writes it before SQ_OPEN; the daemon overwrites it with the truth before
	 * STATE (local address chosen; addresses of an accepted stream). */
	alignas(NCD_CACHE_LINE) uint8_t local_addr[16]; /* IPv6, or v4-mapped; all zero: any */
	uint8_t peer_addr[16];
	uint16_t open_local_port; /* 0: any */
	uint16_t open_peer_port;
	uint32_t open_tx_bytes; /* wanted tx_most, rx_most; 0: default */
	uint32_t open_rx_bytes;
	uint8_t open_class;     /* 0 automatic, 1 latency, 2 throughput */
	uint8_t open_flags;     /* OPEN_F_* */
	uint8_t pad1[2];
	_Atomic uint64_t moved_head; /* daemon; MOVED: of rx_head, what has counted */
	_Atomic uint64_t tx_read;    /* daemon; of a joined tx ring: TXSPACE */
};
_Static_assert(sizeof(struct slot_shm) == 256, "shm ABI");
_Static_assert(offsetof(struct slot_shm, tx_most) == 48, "shm ABI");
_Static_assert(offsetof(struct slot_shm, tx_tail) == 64, "shm ABI");
_Static_assert(offsetof(struct slot_shm, tx_taken) == 92, "shm ABI");
_Static_assert(offsetof(struct slot_shm, tx_base) == 96, "shm ABI");
_Static_assert(offsetof(struct slot_shm, rx_taken) == 104, "shm ABI");
_Static_assert(offsetof(struct slot_shm, rx_want) == 108, "shm ABI");
_Static_assert(offsetof(struct slot_shm, tx_head) == 128, "shm ABI");
_Static_assert(offsetof(struct slot_shm, rx_base) == 160, "shm ABI");
_Static_assert(offsetof(struct slot_shm, tx_given) == 168, "shm ABI");
_Static_assert(offsetof(struct slot_shm, rx_given) == 172, "shm ABI");
_Static_assert(offsetof(struct slot_shm, tx_idle) == 176, "shm ABI");
_Static_assert(offsetof(struct slot_shm, local_addr) == 192, "shm ABI");
_Static_assert(offsetof(struct slot_shm, moved_tail) == 56, "shm ABI");
_Static_assert(offsetof(struct slot_shm, open_class) == 236, "shm ABI");
_Static_assert(offsetof(struct slot_shm, moved_head) == 240, "shm ABI");

#define OPEN_F_DEFER 0x01u /* OPEN leaves with the first data or FIN (TCP_FASTOPEN_CONNECT) */

/* A joined ring where the place of a ring names a segment. Numbers of the same index do not live at
 * the same time, and the next differs. */
#define JOINT_FLAG 0x80000000u

static inline uint32_t joint_number(uint32_t index, uint32_t serial)
{
	return JOINT_FLAG | (serial & 0x7fffffu) << 8 | index;
}

static inline uint32_t joint_index(uint32_t number)
{
	return number & 0xffu;
}
_Static_assert(NCD_JOINTS_MAX <= 256, "joint_number");

/* Submission word: slot in the low 32 bits, operation in 32..39, argument in 40..63. */
enum sq_op {
	SQ_KICK = 1,  /* tx_tail or rx_head moved */
	SQ_OPEN,      /* connect the slot (FREE, lower half) */
	SQ_SHUTDOWN,  /* no byte beyond tx_tail will come: FIN */
	SQ_CLOSE,     /* the application will not touch the slot again. arg: CLOSE_* */
	SQ_CLASS,     /* arg: 0 automatic, 1 latency, 2 throughput */
	SQ_SHARE,     /* slot: a listener. What its group has in queues goes to who waits */
	SQ_OP_END
};
#define CLOSE_GRACEFUL 0u /* send what is there, then FIN; RESET if bytes are unread (RFC 2525) */
#define CLOSE_ABORT    1u /* SO_LINGER 0: RESET now */
#define CLOSE_LET_GO   2u /* shared: it lives on while another process has the descriptor */

static inline uint64_t sq_word(enum sq_op op, uint32_t slot, uint32_t arg)
{
	return (uint64_t)arg << 40 | (uint64_t)op << 32 | slot;
}

/* Completion word: slot (or listener | CQ_LISTENER) low, EV_* in 32..63. */
#define CQ_LISTENER 0x80000000u

static inline uint64_t cq_word(uint32_t slot, uint32_t events)
{
	return (uint64_t)events << 32 | slot;
}

#endif /* NCD_SHM_ABI_H */
