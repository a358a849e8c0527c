/* SPDX-License-Identifier: MIT */
/*
 * fake_state.h - the fake daemon's own state, for fake_*.c.
 *
 * Threading: all of it under `lock`, but for what is set by fake_start.
 */
#ifndef FAKE_STATE_H
#define FAKE_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "ncd/copy_abi.h"
#include "ncd/doorbell.h"
#include "ncd/ring.h"

#include "fake_daemon.h"

#define FAKE_WORKERS       4
#define FAKE_COPY_WORKERS  4
#define FAKE_FDS           (1 + FAKE_WORKERS + FAKE_COPY_WORKERS) /* with WELCOME */
#define FAKE_LISTENERS     8
#define FAKE_SEGMENT_BYTES (256u << 20)

/* The fake's side of a slot. */
struct fake_flow {
	uint8_t *tx, *rx; /* rings */
	uint32_t tx_bytes, rx_bytes;
	uint8_t *next_tx; /* given, and not taken yet */
	uint32_t next_tx_bytes, tx_taken;
	uint8_t *old_rx; /* until the library has left it */
	uint32_t old_rx_bytes;
	uint64_t tx_head, rx_tail;
	int pollfd;
	/* Of the pump. */
	bool live, shut, eof_told, closed, echo;
	bool has_peer;
	struct fake_slot peer;
};

struct fake {
	struct fake_config cfg;
	pthread_mutex_t lock;
	pthread_t control, pump;
	bool pumping;
	_Atomic bool pump_stop;
	char dir[32];
	int listen_fd, client_fd, region_fd, segment_fd, wake_fd;
	int doorbell[FAKE_WORKERS];
	bool attached, stopping;
	uint32_t ended; /* connections */
	struct fake_slot take_to; /* where the next stream that is taken goes on */
	int take_end;             /* the end of its pair that is handed out, or -1 */
	uint32_t asked[CTL_TYPE_END];
	int result[CTL_TYPE_END];
	struct ctl_addr listen;  /* the newest LISTEN, */
	bool listen_shown;       /* and whether a descriptor came with it */
	struct ctl_reply joined; /* the newest JOINED */
	struct ctl_lend lend;    /* the newest LEND */

	struct region_shm layout;
	uint8_t *base, *own_base, *segment, *own_segment;
	bool segment_sent;
	uint64_t segment_used;
	struct ring sq[FAKE_WORKERS][NCD_QP_NR], cq[FAKE_WORKERS][NCD_QP_NR];
	struct ring accept[FAKE_WORKERS][FAKE_LISTENERS];
	struct fake_flow *flow;
	uint32_t upper; /* accepted so far */
	uint32_t listener_nr;
	uint16_t listener_port[FAKE_LISTENERS];
	int listener_pollfd[FAKE_LISTENERS];
	int cqfd[NCD_QP_NR];
	/* As copy workers; the area is used through the fake's own mapping. */
	struct ring copy[FAKE_COPY_WORKERS];
	int copy_doorbell[FAKE_COPY_WORKERS];
	pthread_t copier;
	bool copying;
	_Atomic bool copy_stop;
	_Atomic uint32_t copied; /* pieces */
};

struct port_shm *fake_port(struct fake *f, uint32_t worker);
struct qp_shm *fake_qp(struct fake *f, uint32_t qp);
struct fake_flow *fake_flow(struct fake *f, struct fake_slot s);

/* With the lock held: the functions of fake_daemon.h without fake_ in front do the same. */
void fake_send_segment(struct fake *f);
bool slot_pop(struct fake *f, uint64_t *ret_word, uint32_t *ret_worker);
void slot_rings(struct fake *f, struct fake_slot s);
void slot_give_tx(struct fake *f, struct fake_slot s, uint32_t bytes);
void slot_give_rx(struct fake *f, struct fake_slot s, uint32_t bytes);
/* True if the library has taken what was given last. */
bool slot_may_give_tx(struct fake *f, struct fake_slot s);
bool slot_may_give_rx(struct fake *f, struct fake_slot s);
void slot_state(struct fake *f, struct fake_slot s, enum slot_state state, uint32_t events);
void slot_failed(struct fake *f, struct fake_slot s, int error);
struct fake_slot slot_incoming(struct fake *f, uint32_t worker, uint32_t listener);
void slot_announce(struct fake *f, struct fake_slot s, uint32_t listener);
size_t slot_put(struct fake *f, struct fake_slot s, const uint8_t *data, size_t bytes);
size_t slot_take(struct fake *f, struct fake_slot s, uint8_t *buf, size_t bytes);
void slot_flags(struct fake *f, struct fake_slot s, uint32_t flags, uint32_t events);
void slot_free(struct fake *f, struct fake_slot s);

#endif /* FAKE_STATE_H */
