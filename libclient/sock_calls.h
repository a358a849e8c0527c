/* SPDX-License-Identifier: MIT */
/*
 * sock_calls.h - what the files of the library do with a socket for each other; sock.h has what it
 * is.
 *
 * Threading: any thread, under the locks that are named.
 */
#ifndef NC_SOCK_CALLS_H
#define NC_SOCK_CALLS_H

#include "sock.h"

/* ---- socket_table.c, process.c ---- */

/* The socket with @number, or NULL. It may be closed any time until one of its locks is held. */
struct nc_sock *sock_find(int number);
/* The same, with its `lock` taken. */
struct nc_sock *sock_find_locked(int number);
/* A new socket of @att, phase NEW, on which it takes a reference. -EMFILE, -ENOMEM. */
int sock_create(struct attachment *att, int domain, struct nc_sock **ret_sock);
/* All locks held by the caller; gives the number, and the reference, back. */
void sock_destroy(struct nc_sock *s);

/* ---- state.c ---- */

/* CONNECTING becomes CONNECTED or FAILED if the daemon has answered. With `lock` held.
 * Returns 0 (connected), -EINPROGRESS, or why it failed. */
int sock_settle(struct nc_sock *s);
/* The same, taking the lock. */
int sock_settle_unlocked(struct nc_sock *s);
/* Of a socket with its slot OPEN: its first rings. Phase: CONNECTED afterwards. `lock` is held. */
int sock_establish(struct nc_sock *s);
/* True once the daemon has answered, for a socket that is CONNECTING. */
bool connect_look(struct nc_sock *s);
/* Why the stream has ended by force: negative errno; 0 if it has not. */
int sock_broken(struct nc_sock *s);
/* True of a stream that has ended, by force or in both directions: it is TCP_CLOSE to tcp(7). */
bool sock_over(struct nc_sock *s);
/* The same, reported only once: 0 afterwards. */
int sock_take_error(struct nc_sock *s);
/* POLL* that are true now; settles what connects. Whether it is writable is looked at only if that
 * is
 * @wanted. */
short sock_poll(struct nc_sock *s, uint32_t wanted);
/* Of a CONNECTING socket: waits until the daemon has taken its SQ_OPEN. */
void slot_await_taken(struct nc_sock *s);
/* Lets the slot go; the socket must not touch it afterwards. With all locks held. */
void sock_drop_slot(struct nc_sock *s, uint32_t close_arg);

/* ---- wait.c ---- */

/* When a call that starts now with @timeout_ns (0: none) must end. */
static inline uint64_t wait_until(uint64_t timeout_ns)
{
	return timeout_ns == 0 ? NC_FOREVER : clock_now_ns() + timeout_ns;
}

/*
 * Sleeps until the slot's EV_* @events, with @held released meanwhile; @look answers whether there
 * is a reason to sleep no more. Returns 0 (look again), -EINTR, -EAGAIN (@until_ns), -EBADF
 * (closed).
 */
int sock_sleep(struct nc_sock *s, struct lock *held, uint32_t events,
	       bool (*look)(struct nc_sock *), uint64_t until_ns);
/* The same, and a cancellation point (pthreads(7)): the caller has nothing to give back but @held,
 * which is free then. */
int sock_sleep_point(struct nc_sock *s, struct lock *held, uint32_t events,
		     bool (*look)(struct nc_sock *), uint64_t until_ns);
/* The same for a listening socket. */
int sock_sleep_listener(struct nc_sock *s, struct lock *held, bool (*look)(struct nc_sock *),
			uint64_t until_ns);
/* All sleepers of a stream look again: something that only we know has changed. */
void sock_rouse(struct nc_sock *s);
/* Closer: wakes this socket's sleepers until there are none. `closing` is set. */
void sock_wake_sleepers(struct nc_sock *s);

/* ---- fetch.c: shared sockets ---- */

/* True if another process has the stream, or had it last. Under any lock of @s. */
bool sock_elsewhere(struct nc_sock *s);
/* The daemon says that some of EV_* @events is true where the stream is, and nobody waits there. */
bool sock_called(struct nc_sock *s, uint32_t events);
/* Brings the stream here. @held is released meanwhile. 0, -EBADF (closed), -ECONNRESET (it is
 * over), or why not now. */
int sock_fetch(struct nc_sock *s, struct lock *held);
/* The same where it is elsewhere; if it is to @wait, and has fetched it once (*fetched), only when
 * it is called: it sleeps as sock_sleep for EV_* @events. */
int sock_have(struct nc_sock *s, struct lock *held, uint32_t events, bool wait, uint32_t *fetched,
	      uint64_t until_ns);
/* The same with all locks held, also of a lent one that has not moved; the caller does what
 * cq_refresh does. */
int sock_fetch_locked(struct nc_sock *s);
/* True if it was lent, and has moved: nobody else uses it, so who looks at it fetches it. */
bool sock_lent_away(struct nc_sock *s);
/* Fetches one for that. @held is released meanwhile; what cannot be is left for a call to tell. */
void sock_bring(struct nc_sock *s, struct lock *held);
/* It is lent no more, nor has it moved. As sock_fetch. */
int sock_take_back(struct nc_sock *s, struct lock *held);
/* Behind a store of tx_tail or rx_head: true if the stream was here still. */
bool tx_counted(struct nc_sock *s, uint64_t tail);
bool rx_counted(struct nc_sock *s, uint64_t head);

/* ---- lend.c ---- */

/* Watcher: MOVE, KEEP; slot and worker are checked. */
void lend_asked(struct attachment *att, const struct ctl_pollfd *ask);
void lend_kept(struct attachment *att, const struct ctl_pollfd *msg);
/* It is an ordinary socket again. All locks held. */
void lend_end(struct nc_sock *s);
/* Its stream is to outlive us, wherever it is, if only until all is sent. Never waits. */
void lend_share(struct nc_sock *s);

/* ---- share.c ---- */

/* Takes all locks, but not from who keeps one for long: yields so often at most, for each. */
bool sock_try_all(struct nc_sock *s, uint32_t tries);

void share_before_fork(void);
/* Child of a fork: @s is of use here, and is made so. */
bool share_keeps(struct nc_sock *s);
void share_leave_parent(struct nc_sock *s);

/* ---- submit.c ---- */

/* Puts a word on the worker's submission queue and wakes the worker if it sleeps. Waits for room;
 * gives up only if the daemon is gone. */
void port_submit(struct app_port *p, uint64_t word);
/*
 * This thread has @events to deal with. While it does, a worker that says DOORBELL_SOON is not
 * woken for each submission: on a crowded core it would take the core for each.
 */
void batch_begin(uint32_t events);
/* It is about to wait: makes up for the wakes that it has held back. (Who does not come to that is
 * only later: the worker looks by itself.) */
void batch_pay(struct attachment *att);
/* A lower slot that is FREE: its number, or -ENOBUFS. */
int port_slot_take(struct app_port *p, uint32_t *ret_slot);
/* It was closed: to be given out again once the daemon has written SLOT_FREE. */
void port_slot_give(struct app_port *p, uint32_t slot);

/* ---- tx.c, rx_wait.c, rx.c ---- */

/* A third of the ring is free, or a call would tell something else than -EAGAIN. */
bool tx_look(struct nc_sock *s);
bool rx_look(struct nc_sock *s);
/* Under tx.lock: room for @want bytes, or for an eighth of the ring; waits for it if @wait. */
ssize_t tx_wait_room(struct nc_sock *s, size_t want, bool wait, uint64_t *until_ns);
/* Under tx.lock, behind a send: the descriptor is not writable if another would send nothing. */
void tx_show_full(struct nc_sock *s);
/* What a call returns that has done nothing: a stream's error only once, -EPIPE afterwards. */
ssize_t tx_result(struct nc_sock *s, ssize_t ret);
/* False: they do not count, the stream went to another process meanwhile. */
bool tx_publish(struct nc_sock *s, uint64_t bytes);
/* Under rx.lock: bytes that can be read, 0 at the end, or an error; waits if @wait. */
ssize_t rx_wait_bytes(struct nc_sock *s, size_t want, bool wait, uint64_t *until_ns);
/* As tx_result: the error only once, the end of the stream afterwards. */
ssize_t rx_result(struct nc_sock *s, ssize_t ret);
/* Where in the ring the next byte is put or taken. */
uint32_t tx_place(struct nc_sock *s);
uint32_t rx_place(struct nc_sock *s);
/* Before bytes are put into a ring that is empty: lets them begin where the cache is warm. */
void tx_rebase(struct nc_sock *s);
/* The next byte to be put; this side alone writes it. */
static inline uint64_t tx_tail(const struct slot_shm *slot)
{
	/* Relaxed: under tx.lock. */
	return atomic_load_explicit(&slot->tx_tail, memory_order_relaxed);
}
/* The next byte to be taken; this side alone writes it. */
static inline uint64_t rx_head(const struct slot_shm *slot)
{
	/* Relaxed: under rx.lock. */
	return atomic_load_explicit(&slot->rx_head, memory_order_relaxed);
}
/* Bytes in the ring; looks for more only if it knows of less than @want. */
uint64_t rx_available(struct nc_sock *s, size_t want);
/* The same for who may not read on before it has seen @want bytes: a full ring is to grow. */
uint64_t rx_available_at_once(struct nc_sock *s, size_t want);
/* As tx_publish. */
bool rx_release(struct nc_sock *s, uint64_t bytes);

/* ---- ring.c: rings that are exchanged for larger ones ---- */

/* The first rings, out of the slot. -EPROTO, -ECONNRESET. */
int rings_establish(struct nc_sock *s);
/* Under tx.lock: a larger tx ring is there to be taken. */
bool tx_ring_given(struct nc_sock *s);
/* Takes it. Its segment may have to be waited for. -EPROTO, -ECONNRESET. */
int tx_ring_take(struct nc_sock *s);
/* Under rx.lock, behind a look at rx_tail: reads on in the ring that the daemon receives to. Bytes
 * below @seen were visible in the old one. */
int rx_ring_follow(struct nc_sock *s, uint64_t seen);
/* Under rx.lock: the ring is full, and @want bytes are to be seen at once. Asks for a larger one;
 * false if there will be none. */
bool rx_ring_ask(struct nc_sock *s, size_t want);
/* Under rx.lock: the bytes below @head are consumed. Lets the ring before go, if it was that. */
void rx_ring_leave(struct nc_sock *s, uint64_t head);
/* Watcher: the daemon has found streams idle. Gives back the pages of their tx rings. */
void rings_idle(struct attachment *att);
/* All locks held: unmaps the views, forgets the rings. */
void rings_drop(struct nc_sock *s);

static inline uint32_t tx_ring_bytes(const struct nc_sock *s)
{
	/* Relaxed: with tx.lock held, or behind RING. */
	return atomic_load_explicit(&s->tx.bytes, memory_order_relaxed);
}

/* ---- listen.c ---- */

bool acceptor_look(struct nc_sock *s);
/* Stops listening; the daemon resets what nobody accepted. With all locks held. */
void acceptor_close(struct nc_sock *s);
/* shutdown(SHUT_RD): not listening any more, but bound. 0, or -ENOTCONN: it does not listen. */
int acceptor_shutdown(struct nc_sock *s);

/* ---- pollfd_sync.c, pollfd.c: the pollable descriptor; see pollfd.h too ---- */

/* Nothing is left to read: not readable any more. Under rx.lock (of a listening socket too). */
void pollfd_sync_in(struct nc_sock *s);
/* No room: not writable until the daemon says so. Under tx.lock. */
void pollfd_sync_out(struct nc_sock *s);
/* The slot says that the stream has ended: waits until the descriptor, which is watched, does.
 * Under rx.lock. */
void pollfd_show_end(struct nc_sock *s);
/* The directions that are shut down. With tx.lock held. */
void pollfd_show_shut(struct nc_sock *s);
/* Its pair is not for another socket later. With any lock held. */
void pollfd_used(struct nc_sock *s);
/* An end that the daemon has told, or will, to nobody. All locks held. */
void pollfd_show(struct nc_sock *s);
/* What has become true while nobody watched, and was told to nobody. All locks held. */
void pollfd_catch_up(struct nc_sock *s);
/* The error has been reported: waits until the descriptor, which is watched, is hung up, and takes
 * its POLLERR away. Under any lock of the socket. */
void pollfd_take_error(struct nc_sock *s);
/* The socket has got its slot or listener: if it is watched, tells the daemon. All locks held. */
int pollfd_join(struct nc_sock *s);
/* Before a connect or listen: the descriptor that nc_pollfd gave, if a failed connect has hung it
 * up, begins anew under its number. 0, -EMFILE, -ENOMEM. With all locks held. */
int pollfd_renew(struct nc_sock *s);
/* The pair, if there is none. -EMFILE, -ENOMEM. With all locks held. */
int pollfd_create(struct nc_sock *s);
void sock_release_all(struct nc_sock *s);
/* Its stream has come from another process. All locks held. */
void pollfd_fetched(struct nc_sock *s);
/* A copy of a descriptor that is one of ours. -errno. */
int pollfd_copy(int fd);
/* Its end, with the table lock held. */
void pollfd_close(struct nc_sock *s);

/* ---- socket.c ---- */

/* local.port, or if it is 0 a free one, is @s's until it is closed. With `lock` held. */
int sock_hold_port(struct nc_sock *s);

/* ---- sockaddr.c ---- */

/* -EINVAL (too short), -EAFNOSUPPORT (not @domain). */
int endpoint_from_sockaddr(int domain, const struct sockaddr *addr, socklen_t len,
			   struct endpoint *ret_endpoint);
/* False for a negative *len, where there is an address to give at all: -EINVAL then. */
bool name_room_valid(const struct sockaddr *addr, const socklen_t *len);
/* As the socket calls give addresses: cut to *len, *len set to the whole. */
void endpoint_to_sockaddr(const struct endpoint *e, int domain, struct sockaddr *addr,
			  socklen_t *len);
bool endpoint_is_any(const struct endpoint *e);

/* ---- small, hot ---- */

/* Tells the worker that tx_tail or rx_head has moved. */
static inline void sock_kick(struct nc_sock *s)
{
	/* KICK, application end. */
	if (atomic_exchange_explicit(&sock_slot(s)->kick, 1, memory_order_acq_rel) == 0)
		port_submit(s->port, sq_word(SQ_KICK, s->slot_nr, 0));
}

#endif /* NC_SOCK_CALLS_H */
