/* SPDX-License-Identifier: MIT */
/*
 * fake_daemon.h - what the library meets in its tests instead of ncd: it speaks ctl_proto.h and
 * pushes and pulls the words of shm_abi.h, as the test says (or by itself, see fake_pump_start).
 *
 *   test thread                         library's threads
 *   fake_expect(SQ_OPEN) <------------- nc_connect
 *   fake_open()          -------------> returns
 *
 * Ownership: fake_start to fake_stop; the region lives as long as one side has it.
 * Threading: a thread of the fake answers the control socket. The rest is the test's, or the
 * pump's; all of it takes the fake's lock.
 */
#ifndef FAKE_DAEMON_H
#define FAKE_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ncd/ctl_proto.h"
#include "ncd/shm_abi.h"

#define FAKE_RING_MOST (1u << 20) /* what the fake says that rings may grow to */

struct fake;

/* What the handshake does wrong. */
enum fake_fault {
	FAKE_GOOD = 0,
	FAKE_REFUSES,       /* with -EMFILE */
	FAKE_HANGS_UP,      /* before WELCOME */
	FAKE_OTHER_VERSION, /* WELCOME with a version that was not offered */
	FAKE_OTHER_MAGIC,
	FAKE_SHORT_REGION, /* the memfd is smaller than announced */
	FAKE_BAD_OFFSETS,  /* slots behind the end of the port */
	FAKE_BAD_WORKERS,  /* region and WELCOME disagree */
};

struct fake_config {
	uint32_t workers;    /* 0: 1 */
	uint32_t slots;      /* 0: 64 */
	uint32_t ring_bytes; /* 0: 16 KiB */
	uint32_t copy_workers;
	bool copy_plain; /* by memcpy, which TSan sees: no buffer may have holes */
	uint32_t version;  /* of ctl_proto.h; 0: the newest */
	enum fake_fault fault;
};

/* Starts it at a socket of its own, which $NCD_SOCKET names from then on. */
struct fake *fake_start(const struct fake_config *cfg);
/* Ends the connection, as a daemon that dies; the fake can be attached to again. */
void fake_hang_up(struct fake *f);
void fake_stop(struct fake *f);
/* True if the library is attached to this one. */
bool fake_attached(struct fake *f);
/* The table of sockets left to kernel TCP; its rows follow. */
struct left_table_shm *fake_left(struct fake *f);
/* Uses the library's own mapping from now on, so that TSan sees both sides at one address. */
void fake_adopt(struct fake *f, uint8_t *segment0, uint8_t *segment1);

/* ---- as the control thread: results of the next questions ---- */

void fake_answer(struct fake *f, enum ctl_type type, int result);
uint32_t fake_asked(struct fake *f, enum ctl_type type);
/* The newest LISTEN; *ret_shown: a descriptor came with it. */
struct ctl_addr fake_listen(struct fake *f, bool *ret_shown);

/* A joined ring of @bytes of @fd, which stays the caller's, and its end. */
void fake_joint(struct fake *f, uint32_t number, uint64_t bytes, uint32_t flags, int fd);
void fake_unjoin(struct fake *f, uint32_t number);
/* Waits for the answer of number @nr to that. */
struct ctl_reply fake_joined(struct fake *f, uint32_t nr);

/* ---- as a worker ---- */

struct fake_slot {
	uint32_t worker, slot;
};

/* As the control thread: MOVE or KEEP of @s. */
void fake_tell(struct fake *f, enum ctl_type type, struct fake_slot s);
/* Waits for LEND number @nr. */
struct ctl_lend fake_lent(struct fake *f, uint32_t nr);
/* Waits for the next submission, which must be @op. */
struct fake_slot fake_expect(struct fake *f, enum sq_op op);
/* The same, with its argument. */
struct fake_slot fake_expect_arg(struct fake *f, enum sq_op op, uint32_t *ret_arg);
/* True if no submission waits. */
bool fake_idle(struct fake *f);
/* Takes what waits, whatever it is; returns how many. */
uint32_t fake_drain(struct fake *f);
struct slot_shm *fake_shm(struct fake *f, struct fake_slot s);
/* Gives rings: OPENING; then OPEN. */
void fake_opening(struct fake *f, struct fake_slot s);
void fake_open(struct fake *f, struct fake_slot s);
void fake_fail(struct fake *f, struct fake_slot s, int error);
/* A stream arrives at @listener, by @worker. */
struct fake_slot fake_incoming(struct fake *f, uint32_t worker, uint32_t listener);
/* The stream that arrived last goes to somebody else. False: the library has it. */
bool fake_take_back(struct fake *f, uint32_t worker, uint32_t listener);
/* A token for its descriptor, of a wish that was served a while ago. */
void fake_token(struct fake *f, uint32_t listener);
struct listener_shm *fake_listener(struct fake *f, uint32_t listener);
/* Bytes arrive: as many as there is room for. */
size_t fake_put(struct fake *f, struct fake_slot s, const void *data, size_t bytes);
/* Bytes are sent and acknowledged: up to @bytes of what there is. */
size_t fake_take(struct fake *f, struct fake_slot s, void *buf, size_t bytes);
/* Larger rings: offered for sending; put in place for receiving. The old ones are spoiled as soon
 * as the library may not look at them any more. */
void fake_give_tx(struct fake *f, struct fake_slot s, uint32_t bytes);
void fake_give_rx(struct fake *f, struct fake_slot s, uint32_t bytes);
/* The stream was found idle when its tx_tail was @tail; the library is told. */
void fake_found_idle(struct fake *f, struct fake_slot s, uint64_t tail);
/* What is opened from now on is to go to @worker. */
void fake_place(struct fake *f, uint32_t worker);
/* Of the tx ring in use: pages that have memory. */
uint32_t fake_tx_pages(struct fake *f, struct fake_slot s);
/* There is none larger: the answer to rx_want. */
void fake_refuse_rx(struct fake *f, struct fake_slot s);
/* Another process takes the stream: of what the library has published so much counts. */
void fake_move(struct fake *f, struct fake_slot s, uint64_t tail, uint64_t head);
/* The stream leaves with all that is in its rings; where it goes on, which TAKE gives next. */
struct fake_slot fake_leave(struct fake *f, struct fake_slot s);
/* What TAKE gives next is @s. */
void fake_take_is(struct fake *f, struct fake_slot s);
/* Calls who waits at a slot that its stream has left: SLOT_F_CALLED_*. */
void fake_call(struct fake *f, struct fake_slot s, uint32_t flags);
/* What CTL_TAKE gives next: a stream of so many bytes each way. @end: of its pair, or -1. */
struct fake_slot fake_take_next(struct fake *f, uint64_t tail, uint64_t head, int end);
void fake_eof(struct fake *f, struct fake_slot s);
void fake_reset(struct fake *f, struct fake_slot s, int error);
void fake_tx_done(struct fake *f, struct fake_slot s);
/* After SQ_CLOSE. */
void fake_free(struct fake *f, struct fake_slot s);
/* Waits until the library has announced @wish (NOTIFY_*) on the slot, or listener. */
void fake_await_wish(struct fake *f, struct fake_slot s, uint32_t wish);
void fake_await_listener_wish(struct fake *f, uint32_t listener, uint32_t wish);
/* Somebody waits for round trips, or nobody. */
void fake_give_way(struct fake *f, uint32_t worker, uint32_t each);
/* Pretends to sleep: the library must ring; waits for that. */
void fake_sleep(struct fake *f, uint32_t worker);
/* It dozes: DOORBELL_SOON. */
void fake_doze(struct fake *f, uint32_t worker);
/* True if it was rung; asks once. */
bool fake_rung(struct fake *f, uint32_t worker);
void fake_await_doorbell(struct fake *f, uint32_t worker);
/* Waits until the thread that waits on queue pair @qp has armed its doorbell. */
void fake_await_qp(struct fake *f, uint32_t qp);

/* ---- as copy workers ---- */

/* Takes the next piece that is posted to any of them: true, and its number. */
bool fake_copy_take(struct fake *f, uint32_t *ret_piece);
/* Pieces that were posted and that nobody has looked at, be they taken back. */
uint32_t fake_copy_queued(struct fake *f);
/* Copies a piece that was taken, as far as memory goes; or with @error nothing. It is done then. */
void fake_copy_finish(struct fake *f, uint32_t piece, int error);
/* True if the library has no piece under way. */
bool fake_copy_idle(struct fake *f);
/* From now on a thread takes and finishes pieces; how many so far. */
void fake_copy_start(struct fake *f);
uint32_t fake_copied(struct fake *f);

/* ---- by itself ---- */

/* From now on the fake connects streams to its own listeners and moves their bytes; port
 * FAKE_ECHO_PORT sends back what it gets; other ports refuse. */
#define FAKE_ECHO_PORT 7
void fake_pump_start(struct fake *f);

/* A moment passes without anything that was to happen: the condition is looked at again. Fails the
 * test after a long while. */
#define FAKE_AWAIT(condition)                        \
	for (uint64_t fake_since = 0; !(condition);) \
	fake_await_step(&fake_since, #condition)
void fake_await_step(uint64_t *since_ns, const char *what);

#endif /* FAKE_DAEMON_H */
