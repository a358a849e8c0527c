/* SPDX-License-Identifier: MIT */
/*
 * sock.h - a virtual socket as the library sees it.
 *
 *                 listen                                accept
 *        +--------------------> LISTENING                 |
 *        |                                                v
 *   NEW -+--> CONNECTING ----------------------------> CONNECTED ----> (close) FREE
 *    ^    connect  |  slot FAILED                 slot OPEN
 *    +-- FAILED <--+
 *  connect again
 *
 * Ownership: the memory is the socket table's and never freed, so that a stale number finds a lock
 *   and not a hole. Each open socket holds a reference to its attachment.
 * Threading: tx fields under tx.lock, rx fields under rx.lock, the rest under lock, unless atomic.
 *   A thread that sleeps for a socket holds none of its locks but is counted in `sleepers`;
 *   nc_close sets `closing`, wakes until nobody sleeps, and takes all locks before it lets the slot
 *   go.
 *
 * Ordering:
 *   PHASE    under lock: fields set, then phase stored (release) -> loaded (acquire): they are
 *            seen.
 *   CLOSING  closer: closing = 1 (seq_cst), looks at sleepers (seq_cst), wakes. Sleeper: ++sleepers
 *            (seq_cst), looks at closing (seq_cst), sleeps.
 *   DEAD     see attach.h: `seq` names the word that the threads of this socket sleep on.
 *   RING     tx.bytes is stored, then tx.taken (release) -> tx.taken is loaded (acquire): bytes is
 *            at least as new. Both are written under tx.lock, and looked at without.
 *   MOVE     of a shared socket: each store of tx_tail or rx_head is followed by a look whether it
 *            counted (tx_counted, rx_counted).
 *   Slot words: STATE, TXBYTES, TXSPACE, RXBYTES, RXSPACE, GIVEN, TAKEN, IDLE, KICK, NOTIFY of
 *   ncd/shm_abi.h.
 */
#ifndef NC_SOCK_H
#define NC_SOCK_H

#include <netinet/in.h>
#include <poll.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "ncd/shm_abi.h"

#include "attach.h"
#include "lock.h"

enum phase {
	PHASE_FREE = 0,
	PHASE_NEW,
	PHASE_LISTENING,
	PHASE_CONNECTING,
	PHASE_CONNECTED,
	PHASE_FAILED,
	PHASE_AWAY /* shared, and never used by this process: it has only the descriptor */
};

/* An address and port, as the daemon speaks of them. */
struct endpoint {
	uint8_t addr[16]; /* IPv6, or v4-mapped; all zero: any */
	uint16_t port;
};

/* A listening socket's accept queues, one for each worker. */
struct acceptor { /* rx.lock of its socket */
	uint32_t number;
	uint32_t turn;    /* worker to look at first */
	uint32_t waiting; /* as in shm, where only we write it */
	struct listener_shm *shm;
	struct ring ring[];
};

/* Of each ring: bytes, base and segment name the one in use; ring.c changes them. */
struct sock_tx {
	struct lock lock;
	_Atomic bool shut;
	bool raised;            /* the descriptor is writable by a larger buffer; pollfd_sync.c */
	_Atomic bool joined;    /* RING */
	_Atomic uint32_t bytes; /* RING */
	_Atomic uint32_t taken; /* RING; tx_taken */
	uint8_t *base;
	uint64_t head_seen; /* last tx_head, or of a joined ring tx_read */
	uint64_t origin;    /* tx_base: the offset at the ring's first byte */
	uint64_t reserved;  /* nc_reserve's length */
	uint64_t copied;    /* bytes since the core was offered; give_way.h */
	uint64_t cold;      /* what was written below this offset has no pages any more */
	uint8_t *view;      /* mapped twice in a row; NULL until wanted */
	uint32_t segment;
};

struct sock_rx {
	struct lock lock;
	_Atomic bool shut;
	bool armed;     /* the daemon was asked for a token of the descriptor; see pollfd_sync.c */
	bool peeked;    /* the program has been shown bytes that it may not have consumed */
	bool joined;
	uint32_t bytes;
	uint32_t given; /* rx_given of the ring in use */
	uint32_t taken; /* rx_taken, as said last */
	int due;        /* tokens of served wishes, not taken yet */
	uint8_t *base;
	uint64_t tail_seen; /* last rx_tail */
	uint64_t origin;    /* rx_base behind it */
	uint64_t copied;    /* as in tx */
	uint64_t told;      /* rx_head at the last kick for it */
	bool blocks;        /* the caller's call does, though the socket does not */
	bool end_shown;     /* the descriptor says that the stream has ended */
	uint32_t segment;
	uint8_t *view;
	/* Of the ring before: nc_peek's bytes may be looked at there until they are consumed. */
	uint8_t *old_view;
	uint64_t old_end; /* offset behind the last of them */
	uint32_t old_bytes;
};

struct nc_sock {
	/* Set when the number is given out. */
	alignas(NCD_CACHE_LINE) int number;
	int domain;
	struct attachment *att;
	struct nc_sock *next_free; /* table lock */

	_Atomic uint32_t phase; /* enum phase */
	_Atomic bool closing;
	_Atomic bool nonblock;
	_Atomic bool error_taken; /* the stream's error has been reported */
	_Atomic bool shared;      /* other processes may have the descriptor: share.h */
	_Atomic uint32_t sleepers;
	_Atomic uint32_t cq_events; /* POLL* wanted of its queue; 0 if in none */
	_Atomic uint32_t watchers;  /* the kernel waits for pollfd: only then it is kept true */
	_Atomic int pollfd;         /* our end of the pair, or -1 */
	int pollfd_peer;            /* the daemon's end, or -1; under lock, as the next two */
	bool pollfd_joined;         /* the daemon has it */
	bool pollfd_given;          /* by nc_pollfd: watched as long as it is open */
	_Atomic bool pollfd_plain;  /* the pair is as pair_take gave it, and ours alone */
	_Atomic bool beside;        /* it listens with a title: beside the kernel's */
	uint32_t pollfd_forks;      /* pair_forks then */
	_Atomic bool lent;          /* shared, but with nobody: lend.c */
	uint8_t cq_flags;           /* CQ_*; cq->lock, as the next */
	bool ready_queued;
	_Atomic uint64_t recv_timeout_ns, send_timeout_ns; /* 0: none */

	/* The meeting place: set before phase CONNECTING or CONNECTED. */
	struct app_port *port;
	uint32_t slot_nr;
	bool deferred; /* its first slot may fail after it was CONNECTED */
	_Atomic(struct slot_shm *) slot;
	_Atomic(_Atomic uint32_t *) seq; /* DEAD */

	struct sock_tx tx;
	struct sock_rx rx;

	/* Slow path. */
	alignas(NCD_CACHE_LINE) struct lock lock;
	bool bound;     /* nc_bind was called */
	bool port_held; /* local.port is reserved at the daemon, to be given back */
	bool connect_told; /* connect() has returned how it ended */
	bool reuseaddr, reuseport, keepalive, nodelay, quickack, cork, fastopen, linger;
	uint8_t class; /* NC_CLASS_* */
	int32_t priority;
	int32_t maxseg;
	uint32_t linger_s;
	uint32_t tx_want, rx_want; /* ring sizes asked for; 0: default */
	struct endpoint local, remote;
	struct acceptor *acceptor;

	/* cq->lock; cq itself changes only with attachment.cq_lock held too. */
	struct nc_cq *cq;
	struct nc_sock *cq_next, **cq_prev, *ready_next;
	uint64_t cq_data;
};
/* A multiple of a large power of two would put those of many sockets into the same few sets of the
 * cache. */
_Static_assert(sizeof(struct nc_sock) == 7 * NCD_CACHE_LINE, "a socket is seven lines");

static inline uint32_t sock_phase(struct nc_sock *s)
{
	/* PHASE, reading end. */
	return atomic_load_explicit(&s->phase, memory_order_acquire);
}

static inline void sock_set_phase(struct nc_sock *s, enum phase phase)
{
	/* PHASE, writing end. */
	atomic_store_explicit(&s->phase, phase, memory_order_release);
}

static inline struct slot_shm *sock_slot(struct nc_sock *s)
{
	/* Relaxed: the acquire of phase ordered it. */
	return atomic_load_explicit(&s->slot, memory_order_relaxed);
}

/* True if @s is open; one of its locks is held, so it stays so. */
static inline bool sock_open(struct nc_sock *s)
{
	/* Relaxed: closing only matters early here; nc_close waits for our lock in any case. */
	return sock_phase(s) != PHASE_FREE &&
	       !atomic_load_explicit(&s->closing, memory_order_relaxed);
}

/* True if the pollable descriptor must be kept true; under any lock of @s. */
static inline bool sock_watched(struct nc_sock *s)
{
	/* Relaxed: it changes with all locks held. */
	return atomic_load_explicit(&s->watchers, memory_order_relaxed) > 0;
}

/* Says what to be told about; the caller looks (seq_cst) behind it. */
static inline void sock_notify(struct nc_sock *s, uint32_t wish)
{
	/* NOTIFY, application end. */
	atomic_fetch_or_explicit(&sock_slot(s)->notify, wish, memory_order_seq_cst);
}

static inline bool flag_get(_Atomic bool *flag);

/* What TXSPACE stores: bytes below are free. @order: as the load of it is to be. */
#define TX_FREE(s, order) \
	atomic_load_explicit(flag_get(&(s)->tx.joined) ? &sock_slot(s)->tx_read \
						       : &sock_slot(s)->tx_head, order)

static inline bool flag_get(_Atomic bool *flag)
{
	/* Relaxed: a lone fact; nothing else is ordered by it. */
	return atomic_load_explicit(flag, memory_order_relaxed);
}

/* True if other processes may have the descriptor. */
static inline bool sock_is_common(struct nc_sock *s)
{
	return flag_get(&s->shared) && !flag_get(&s->lent);
}

#endif /* NC_SOCK_H */
