/* SPDX-License-Identifier: MIT */
/*
 * port_calls.h - what the files of a port do for each other, and for the worker's turn;
 * port_state.h has what they work on.
 *
 * Threading: the worker.
 */
#ifndef NCD_PORT_CALLS_H
#define NCD_PORT_CALLS_H

#include "port_state.h"

/* port.c */
/* 0, or -errno: its doorbell cannot be watched; it stays control's. */
int port_attach(struct worker *w, struct port *p);
/* Polled from now on; its doorbell need not ring. */
void port_activate(struct worker *w, struct port *p);
/* Its region lied: it is served no more. @reason is static text. */
void port_bad(struct worker *w, struct port *p, const char *reason);
void ports_arm(struct worker *w, uint32_t how);
bool ports_quiet(struct worker *w);
void ports_disarm(struct worker *w);
/* Ports idle for a while are armed and no longer polled. */
void ports_rest(struct worker *w);
/* Ring memory has come back: if it stays unused, ports_trim gives it to the kernel. */
void port_trim_later(struct worker *w, const struct port *p);
void ports_trim(struct worker *w);
void flow_touch(struct worker *w, struct flow *f);

/* port_submit.c */
uint32_t ports_submit(struct worker *w);
/* Takes all that a dead application had posted. */
void port_drain(struct worker *w, struct port *p);
/* Takes tx_tail and rx_head over from the slot. 0, or -EPROTO: they lie, and why. */
int flow_pull(struct worker *w, struct flow *f, const char **ret_why);

/* port_open.c */
void port_open(struct worker *w, struct port *p, uint32_t slot);
int port_incoming(void *ctx, struct stream *s, void *listener_user);
/* What an application asks for in @slot, or a peer with @f. 0, -EAGAIN: no memory yet, if not
 * @least: as little as may be; another -errno: failed. */
int port_open_slot(struct worker *w, struct port *p, uint32_t slot, bool least);
int flow_admit(struct worker *w, struct flow *f, bool least);
void port_open_failed(struct worker *w, struct port *p, uint32_t slot, int error);
/* Puts @f in the list of @p, whose share it counts to from now on; or takes it out. */
void flow_link(struct worker *w, struct port *p, struct flow *f);
void flow_unlink(struct flow *f);
/* @f is no stream's any more. */
void flow_forget(struct port *p, struct flow *f);
/* An incoming stream with its rings is shown in @slot, and put in the queue of @l. */
void flow_present(struct worker *w, struct flow *f, struct listener *l, uint32_t slot);
/* A slot of the upper half, or SLOT_NONE. */
uint32_t port_upper_take(struct port *p);
/* Shows @f in @slot of its port, which the daemon gives to the application. @listener: where it
 * came to, or UINT32_MAX. */
void flow_show(struct worker *w, struct flow *f, uint32_t slot, uint32_t listener);

/* port_park.c */
void port_park_slot(struct port *p, uint32_t slot);
void port_park_flow(struct port *p, struct flow *f);
/* Memory has come, or been refused: tries again those that wait. */
void port_unpark(struct worker *w, struct port *p, bool denied);
/* It waits no more. */
void port_unpark_slot(struct port *p, uint32_t slot);
void port_unpark_flow(struct port *p, struct flow *f);

/* port_ring.c */
struct ring_wish {
	uint32_t tx_most, rx_most; /* what they may grow to */
};
/* What an application gets that wants so many bytes (0: as configured). */
struct ring_wish ring_wish(const struct worker *w, uint32_t tx_wanted, uint32_t rx_wanted);
/*
 * The first rings of a stream: both or none. @least: as small as they may be, because no more
 * memory will come. -EAGAIN: control has been asked for a segment. -ENOBUFS only with @least.
 */
int rings_take(struct worker *w, struct port *p, const struct ring_wish *wish, bool least,
	       struct arena_block *tx, struct arena_block *rx);
/*
 * The largest ring that may be taken now. Rings cost memory only where they were written, so they
 * are generous until half of the region is given out; from then on enough is left for thousands.
 */
uint32_t ring_limit(const struct port *p);
/* A block as the engine knows it. */
struct ring_mem ring_of(const struct arena_block *b);
/* With FLOW_EXCHANGE, behind a look at tx_tail: follows the application to the ring it has taken.
 * 0, or -EPROTO: it lies, and why. */
int flow_exchange(struct worker *w, struct flow *f, const char **ret_why);
/* All rings of a flow that is over; none is lent. */
void flow_rings_give(struct flow *f);
/* Nobody has its slot any more: what was given to the application goes back. */
void flow_exchange_end(struct worker *w, struct flow *f);
/* Out of worker.retire; tx_old and rx_old are the caller's. */
void flow_retire_end(struct worker *w, struct flow *f);
/* Asks control for a segment of at least @bytes, unless one was asked for. */
void memory_ask(struct worker *w, struct port *p, uint64_t bytes);
/* Old rings go back to the arena once no channel names them. */
uint32_t ports_retire(struct worker *w);
bool ring_lent(const struct worker *w, const struct arena_block *b);

/* An rx ring that the engine has already; f->tx_next: told to the application. */
void flow_rx_give(struct worker *w, struct flow *f, const struct arena_block *block);
void flow_tx_give(struct worker *w, struct flow *f);

/* port_grow.c */
/* Gives larger rings where the stream needs them and there is memory. */
void flow_grow(struct worker *w, struct flow *f);
/* It does not wait to grow any more. */
void flow_grow_end(struct flow *f);
/* Memory has come, or was refused: for those that wait to grow. */
void port_grow(struct worker *w, struct port *p, bool denied);

/* port_joint.c: one ring for both ends */
/* True if the ring of @f is joined, or about to be, and does not grow. */
bool joint_instead_of_tx(struct worker *w, struct flow *f);
bool joint_instead_of_rx(struct worker *w, struct flow *g);
/* A lot was just moved by @f. */
void joint_of_bulk(struct worker *w, struct flow *f);
/* The writer of @g has not come to its joint yet: until then @g stays there, for so long the credit
 * leaves room for what the writer brings along. */
bool joint_half(const struct flow *g);
int port_joint(struct worker *w, const struct worker_cmd *cmd);
/* Up to where a writer that has @acked may write again; shows it. */
uint64_t joint_tx_free(const struct flow *f, uint64_t acked);
void joint_show_read(struct flow *f, uint64_t acked);
/* rx_head of @g, which has a joint, has moved. */
void joint_reader_moved(struct worker *w, struct flow *g);
/* How far has the reader of @f read without a word? */
void joint_reader_look(struct worker *w, struct flow *f);
/* @g has left its old rx ring; if for a joint, the writer may come. */
void joint_followed(struct worker *w, struct flow *g);
/* @f has taken tx_next, and f->tx is a joint's. */
void joint_taken(struct worker *w, struct flow *f);
/* Nothing of it is in the joint any more, or nobody looks. */
void joint_writer_leaves(struct worker *w, struct flow *f);
void joint_reader_leaves(struct worker *w, struct flow *g);
/* Before @f goes to another process: its reader gets a ring of its own. 0; -EAGAIN; -ENOBUFS. */
int joint_part(struct worker *w, struct flow *f);
/* Those that nobody uses go back to control. */
uint32_t joints_over(struct worker *w);

/* port_bulk.c: streams that move bulk at the same time */
/* Bytes so far, both ways. */
uint64_t flow_moved(const struct flow *f);
/* Of each stream touched since the last time: does @f move bulk? Then bulk_counted(). */
void flow_bulk_count(struct worker *w, struct flow *f);
void bulk_counted(struct worker *w);
/* A ring of @p of @before bytes has become one of @after. */
void flow_bulk_new(struct worker *w, struct port *p, uint32_t before, uint32_t after);
/* The largest ring, in bytes, not rounded: that each of @nr such streams of one of @ports is to
 * have; that @f is. */
uint64_t bulk_ring_share(uint64_t rtt_ns, uint32_t ports, uint32_t nr);
uint64_t bulk_ring_most(const struct worker *w, const struct flow *f);

/* port_idle.c: rings that hardly move give back their pages */
/* @f was touched: it is looked at later, if there is anything to give back. */
void flow_warm(struct worker *w, struct flow *f);
void flow_warm_end(struct worker *w, struct flow *f);
/* Another ring, with whatever pages. */
void flow_tx_new(struct flow *f);
void flow_rx_new(struct flow *f);
/* worker.warm_ns has come. How many streams were looked at: they may have something to send or to
 * tell. */
uint32_t flows_cool(struct worker *w);

/* port_listen.c */
int port_listen(struct worker *w, struct port *p, const struct worker_cmd *cmd);
int port_unlisten(struct worker *w, struct port *p, uint32_t number);
/* Puts a stream in the accept queue; listener_has_room() was true. */
void listener_push(struct worker *w, struct listener *l, struct flow *f);
bool listener_has_room(struct worker *w, struct listener *l);
/* Its application has the kernel listen too, and takes nothing from the queue any more. */
bool listener_stalls(struct worker *w, struct listener *l);
/* True if the application has not taken @f from its accept queue. */
bool listener_holds(const struct listener *l, const struct flow *f);
/* Streams waiting to be accepted; -EPROTO if the application's index is impossible. */
int listener_waiting(struct listener *l);

/* port_away.c: a program without ncd may accept in place of this application */
/* CMD_LISTENER_AWAY. -EINVAL: there is none. */
int port_listener_away(struct worker *w, struct port *p, uint32_t number);
/* It is away, and gets nothing, until it accepts or waits. */
bool listener_away(struct worker *w, struct listener *l);
/* Its application has looked. */
void listener_back(struct worker *w, struct listener *l);

/* port_group.c */
/* A thread of its application sleeps until a stream comes. */
bool listener_waits(struct listener *l);
/* It will ask when it looks at its queue. */
void listener_elsewhere(struct worker *w, struct listener *l);
/* Alone, or with those that it may share with. -EADDRINUSE, -ENOBUFS. */
int group_join(struct worker *w, struct listener *l);
/* Returns one that is left, or NULL. */
struct listener *group_leave(struct worker *w, struct listener *l);
/* Who is to get the next stream, of the group of @member; it may have no room. */
struct listener *group_pick(struct worker *w, struct listener *member);
/* Streams were put in the queue of @l, this turn. */
void group_pushed(struct worker *w, struct listener *l);
/* What was given to members that waited, and is not taken, goes to others. */
uint32_t offers_late(struct worker *w);
uint64_t offers_deadline(const struct worker *w);
/* SQ_SHARE. */
void group_share(struct worker *w, struct listener *l);

/* port_move.c */
/*
 * @f goes to @p, with rings there; *ret_slot is for it to be shown in (flow_show). 0; -EAGAIN: not
 * yet, for want of memory or because a channel writes into its ring; -ENOBUFS.
 */
int flow_move(struct worker *w, struct flow *f, struct port *p, uint32_t *ret_slot);
/* What a stream leaves behind in its port; NULL: the table is full. */
struct moved *moved_take(struct worker *w);
void moved_give(struct worker *w, struct moved *m);
/* The last words of the process that has @f. If it has a slot, that says MOVING from now on: until
 * it has moved, or stays after all. */
void flow_last_words(struct worker *w, struct flow *f);
void flow_stays_after_all(struct flow *f);
/* Into @m go the slot and the rings that the stream leaves; NULL: there is no slot, and nothing is
 * lent. @exposed: as engine_stream_tx_exposed() of the stream, which may have gone already. */
void flow_leave(struct worker *w, struct flow *f, struct moved *m, bool exposed);
/* Behind flow_leave: @f goes to another worker. Its slot says MOVED. */
void moved_alone(struct worker *w, struct flow *f, struct moved *m);
/* Events that nobody waits for where the stream is: tells those who do where it was. */
void flow_call(struct worker *w, struct flow *f, uint32_t events);
/* SQ_CLOSE of a slot that a stream has left; of all slots. */
void port_moved_leave(struct worker *w, struct port *p, uint32_t slot);
void port_moved_leave_all(struct worker *w, struct port *p);
/* The stream ends: who waits at its old slots hears that. */
void flow_moved_end(struct worker *w, struct flow *f);
/* Rings of slots that were left go back to the arena once no channel names them. */
uint32_t ports_left(struct worker *w);

/* port_leave.c, port_come.c: streams that go from one worker to another; see worker_cmd.h */
int port_pick(struct worker *w, struct worker_cmd *cmd);
int port_find(struct worker *w, struct worker_cmd *cmd);
int flow_begin_to_go(struct worker *w, struct worker_cmd *cmd);
int flow_keep(struct worker *w, struct worker_cmd *cmd);
/* It does not go any more. */
void flow_going_end(struct worker *w, struct flow *f);
int flow_out(struct worker *w, struct worker_cmd *cmd);
void flow_over(const struct worker_cmd *cmd);
/* Of struct engine_ops. */
void port_resume(void *ctx, struct stream *s, uint16_t lane, uint64_t id);
void port_number_left(void *ctx, uint32_t home, uint16_t number);
/* -EAGAIN: more memory was asked for. */
int place_room(struct worker *w, struct worker_cmd *cmd);
int place_refuse(struct worker *w, struct worker_cmd *cmd);
void place_event(struct worker *w, struct flow *f, uint32_t events);
int flow_in(struct worker *w, struct worker_cmd *cmd);
/* The slot that was kept for it is not needed, or is needed now. */
void flow_kept_end(struct flow *f);
uint32_t flow_kept_take(struct flow *f);
/* The peer's end goes on: the tombstone of @f is not needed any more. */
void flow_settled(struct worker *w, struct flow *f);

/* port_pass.c: accept queues of one group */
/* Number of the stream that has been longest in the queue of @l; UINT64_MAX: there is none. */
uint64_t listener_oldest(struct listener *l);
/* The oldest stream in the queue of @from goes to @to, perhaps later. False: there is none. */
bool listener_pass(struct worker *w, struct listener *from, struct listener *to);
/* @l has left its group, of which @member is one: its queue goes to them. */
void listener_hand_over(struct worker *w, struct listener *l, struct listener *member);
/* @l has gone or is away, as all of its group: its queue waits for who shows its title. */
void listener_hold(struct worker *w, struct listener *l);
/* @l, new in its group or back, is who was waited for. */
void listener_take_held(struct worker *w, const struct listener *l);
/* When the first that is held is given up; UINT64_MAX: none is. */
uint64_t held_deadline(const struct worker *w);
uint32_t ports_pass(struct worker *w);

/* port_close.c */
void upper_give(struct port *p, uint32_t slot);
void port_close_slot(struct worker *w, struct port *p, uint32_t slot, uint32_t how);
void port_slot_free(struct port *p, uint32_t slot);
/* Takes @f out of its slot, if it has one. */
void flow_detach(struct flow *f);
/* The application lets go of @f; with @reset_after instead of FIN a RESET. */
void flow_release(struct worker *w, struct flow *f, bool abort, bool reset_after);
void flow_done(struct worker *w, struct flow *f);
void port_remove(struct worker *w, struct port *p);
uint32_t ports_reclaim(struct worker *w);

/* port_share.c: streams that other processes have the descriptor of */
int port_share(struct worker *w, struct port *p, struct worker_cmd *cmd);
/* TAKE, or MOVE_ROOM. -EINPROGRESS: it is answered later, by ports_take. */
int port_take(struct worker *w, struct worker_cmd *cmd);
/* Tries those again that had to wait. */
uint32_t ports_take(struct worker *w);
/* Those of a port that goes. */
void port_take_cancel(struct worker *w, struct port *p);
void flow_share_end(struct worker *w, const struct worker_cmd *cmd);
/* LENT_END: what is lent is shared for good, or not at all. */
void flow_lent_end(struct worker *w, const struct worker_cmd *cmd);

/* port_deliver.c */
/* So much room that who waits for it is told. */
bool flow_enough_room(const struct flow *f);
uint32_t ports_deliver(struct worker *w);

/* port_wake.c */
/* Tells whoever waits for @events (EV_*) of a slot. The words they concern are stored already. */
void slot_notify(struct worker *w, struct port *p, uint32_t slot, struct slot_shm *shm,
		 uint32_t events);
/* The same for those that watch a state and not readiness. */
void slot_wake(struct slot_shm *shm);
void listener_mark(struct worker *w, struct listener *l);
uint32_t ports_wake(struct worker *w);
/* What is true of @f now: EV_*. */
uint32_t flow_events(const struct flow *f);
int port_pollfd(struct port *p, uint32_t slot, int fd);
int port_cqfd(struct port *p, uint32_t qp, int fd);
void pollfd_close(int *pollfd);

#endif /* NCD_PORT_CALLS_H */
