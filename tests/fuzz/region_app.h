/* SPDX-License-Identifier: MIT */
/*
 * region_app.h - a real worker whose turns are taken here one by one, its control, and applications
 * of it, for fuzz_region.c. worker.c is included for that. What an honest application does with its
 * rings is here too, in numbers: of the bytes only the first of each piece is written and read.
 *
 * Ownership: attach() to detach(). Threading: one thread, which is the worker too.
 */
#ifndef NCD_REGION_APP_H
#define NCD_REGION_APP_H

#include "../../daemon/worker.c"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "joint.h"
#include "region.h"

#define SLOTS     64u
#define SEGMENTS  8
#define JOINTS    16u
#define LISTENERS 3u
#define TITLE     7
#define TURNS_MAX 200000 /* in which what must happen has happened */

enum { GOOD, BAD_1, BAD_2, APPS };

struct app {
	struct port *port;
	struct region_shm layout;
	struct region_map seg[SEGMENTS];
	uint32_t segments;
	struct ring sq, accept[LISTENERS];
	struct port_shm *shm;
	struct slot_shm *slot;
	int doorbell_fd; /* the port's */
	uint32_t done, posted;
	int result;
	bool bad, removed, gone;
	struct {
		uint32_t segment, bytes; /* of the tx ring that it writes; 0: look */
	} tx[SLOTS];
};

/* A wish for a joined ring that is not answered yet. */
struct wish {
	struct worker_event ev;
	uint32_t turns; /* until it is */
};

struct fuzz {
	const uint8_t *at, *end;
	struct worker *w;
	int event_fd;
	struct address addr;
	struct app app[APPS];
	uint32_t shared[APPS * SLOTS]; /* streams of the hostile ones: stream + 1 by cookie - 1 */
	struct joint *joint[JOINTS];
	uint32_t joints, serial;
	struct wish wish[JOINTS];
	uint32_t wishes, wish_turns; /* turns that they take; UINT32_MAX: refused */
	uint32_t good_slot[2]; /* connected to each other */
	uint64_t good_offset;
	int bulk_slot; /* of the good one, to a hostile one; -1: none */
};

static inline void post(struct fuzz *f, struct app *a, const struct worker_cmd *cmd)
{
	struct worker_cmd *copy = malloc(sizeof(*copy));

	*copy = *cmd;
	copy->port = a->port;
	copy->user = a;
	a->posted++;
	worker_post(f->w, copy);
}

static inline struct app *app_of(struct fuzz *f, const struct port *p)
{
	for (int i = 0; i < APPS; i++)
		if (f->app[i].port == p)
			return &f->app[i];
	abort();
}

/* ---- control ---- */

/* Control's part of its end: nothing of it is waited for. */
static inline void detach_begin(struct fuzz *f, struct app *a)
{
	const struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE };

	a->removed = true;
	post(f, a, &cmd);
}

static inline struct joint *joint_new(struct fuzz *f, uint64_t bytes)
{
	struct joint *j = calloc(1, sizeof(*j));
	uint32_t i = 0;

	while (f->joint[i])
		i++;
	if (!j || region_map_create("joint", bytes, &j->map) < 0)
		abort();
	j->number[JOINT_WRITER] = j->number[JOINT_READER] = joint_number(i, f->serial++);
	f->joint[i] = j;
	f->joints++;
	return j;
}

static inline void joint_over(struct fuzz *f, struct joint *j)
{
	f->joint[joint_index(j->number[JOINT_WRITER])] = NULL;
	f->joints--;
	region_unmap(&j->map);
	free(j);
}

/* Who is gone has none, and is not answered. */
static inline void wish_answer(struct fuzz *f, const struct worker_event *ev)
{
	struct worker_cmd cmd = { .type = CMD_JOINT };
	struct app *a = app_of(f, ev->port);

	if (a->removed)
		return;
	cmd.joint.stream = ev->stream;
	cmd.joint.reader = ev->reader;
	if (f->wish_turns != UINT32_MAX && f->joints < JOINTS && !app_of(f, ev->reader)->removed)
		cmd.joint.joint = joint_new(f, ev->bytes);
	post(f, a, &cmd);
}

static inline void wishes_look(struct fuzz *f)
{
	for (uint32_t i = 0; i < f->wishes;) {
		struct worker_event ev = f->wish[i].ev;

		if (f->wish[i].turns > 0) {
			f->wish[i++].turns--;
			continue;
		}
		f->wish[i] = f->wish[--f->wishes];
		wish_answer(f, &ev);
	}
}

static inline void wish_take(struct fuzz *f, const struct worker_event *ev)
{
	if (f->wish_turns == UINT32_MAX || f->wishes == JOINTS)
		wish_answer(f, ev);
	else
		f->wish[f->wishes++] = (struct wish){ *ev, f->wish_turns };
}

static inline void segment_give(struct fuzz *f, struct app *a, uint64_t bytes)
{
	struct worker_cmd cmd = { .type = CMD_SEGMENT_DENIED };
	struct region_map *m = &a->seg[a->segments];

	if (a->removed)
		return;
	if (bytes < 4u << 20)
		bytes = 4u << 20;
	if (a->segments < SEGMENTS && region_map_create("fuzz", bytes, m) == 0) {
		cmd.type = CMD_SEGMENT;
		cmd.segment.number = a->segments++;
		cmd.segment.base = m->base;
		cmd.segment.bytes = m->bytes;
	}
	post(f, a, &cmd);
}

static inline void control(struct fuzz *f)
{
	struct worker_event ev;

	while (worker_event(f->w, &ev)) {
		struct app *a;

		if (ev.type == EVT_JOINT_OVER) {
			joint_over(f, ev.joint);
			continue;
		}
		a = ev.cmd ? ev.cmd->user : app_of(f, ev.port);
		if (ev.type == EVT_DONE) {
			a->done++;
			a->result = ev.cmd->result;
			if (ev.cmd->type == CMD_SHARE && a->result == 0)
				f->shared[ev.cmd->share.cookie - 1] = ev.cmd->share.stream + 1;
			free(ev.cmd);
		} else if (ev.type == EVT_CLIENT_BAD) {
			a->bad = true;
			if (!a->removed)
				detach_begin(f, a);
		} else if (ev.type == EVT_CLIENT_GONE) {
			a->gone = true;
		} else if (ev.type == EVT_SEGMENT_WANTED) {
			segment_give(f, a, ev.bytes);
		} else if (ev.type == EVT_JOINT_WANTED) {
			wish_take(f, &ev);
		}
	}
	wishes_look(f);
}

static inline void turn(struct fuzz *f)
{
	(void)worker_turn(f->w);
	control(f);
	/* Whatever the others do. */
	if (f->app[GOOD].bad)
		abort();
}

#define until(f, cond)                                   \
	do {                                             \
		for (int turns_ = 0; !(cond); turns_++) { \
			if (turns_ > TURNS_MAX)          \
				abort();                 \
			turn(f);                         \
		}                                        \
	} while (0)

static inline void command(struct fuzz *f, struct app *a, const struct worker_cmd *cmd)
{
	post(f, a, cmd);
	until(f, a->done == a->posted);
}

/* ---- an application ---- */

static inline void attach(struct fuzz *f, struct app *a)
{
	struct port_config cfg = { .pid = 1, .region_max = 32u << 20, .joins = true };
	struct worker_cmd cmd = { .type = CMD_CLIENT_ADD };
	uint8_t *base;

	*a = (struct app){ 0 };
	if (region_create(1, SLOTS, 0, &a->layout, &a->seg[0]) < 0)
		abort();
	a->segments = 1;
	cfg.segment0 = a->seg[0].base;
	cfg.segment0_bytes = a->seg[0].bytes;
	cfg.layout = &a->layout;
	cfg.doorbell_fd = a->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->port = port_create(&cfg);
	if (!a->port)
		abort();
	base = a->seg[0].base + a->layout.port_off;
	a->shm = (void *)base;
	a->slot = (void *)(base + a->layout.slot_off);
	ring_init(&a->sq, base + a->layout.sq_off, NCD_SQ_ENTRIES);
	for (uint32_t i = 0; i < LISTENERS; i++)
		ring_init(&a->accept[i], base + a->layout.accept_off + i * a->layout.accept_bytes,
			  NCD_BACKLOG_MAX);
	command(f, a, &cmd);
}

/* It is gone, and in no wish. */
static inline void detach_end(struct app *a)
{
	port_destroy(a->port);
	a->port = NULL;
	for (uint32_t i = 0; i < a->segments; i++)
		region_unmap(&a->seg[i]);
}

static inline void listen_on(struct fuzz *f, struct app *a, uint32_t listener, uint16_t port,
			     uint64_t title, uint32_t ring_bytes)
{
	struct worker_cmd cmd = { .type = CMD_LISTEN };

	cmd.listen.listener = listener;
	cmd.listen.title = title;
	cmd.listen.port = port;
	cmd.listen.backlog = 16;
	cmd.listen.tx_bytes = cmd.listen.rx_bytes = ring_bytes;
	command(f, a, &cmd);
	if (a->result < 0)
		abort();
}

/* The slot of the next stream to accept, or -1. */
static inline int accept_from(struct app *a, uint32_t listener)
{
	uint64_t word;

	return ring_pop_claim(&a->accept[listener], &word) == 0 ? (int)word : -1;
}

static inline void submit(struct app *a, uint64_t word)
{
	(void)ring_push(&a->sq, word);
	ring_publish(&a->sq);
	/* The worker no longer looks at a port that has been quiet for a while. */
	if (doorbell_due(&a->shm->need_wakeup))
		(void)eventfd_write(a->doorbell_fd, 1);
}

static inline void open_slot(struct fuzz *f, struct app *a, uint32_t slot, uint16_t port,
			     uint32_t ring_bytes)
{
	struct slot_shm *s = &a->slot[slot];

	memset((uint8_t *)s + 64, 0, 64);
	memset(s->local_addr, 0, 16);
	memcpy(s->peer_addr, f->addr.byte, 16);
	s->open_local_port = 0;
	s->open_peer_port = port;
	s->open_tx_bytes = s->open_rx_bytes = ring_bytes;
	a->tx[slot].bytes = 0;
	submit(a, sq_word(SQ_OPEN, slot, 0));
}

/* ---- its rings, by the rules ---- */

/* The byte at @at of a ring; its segment may be a joined ring. Sanitizers do not see these. */
static inline uint8_t *ring_byte(struct fuzz *f, struct app *a, uint32_t segment, uint64_t off,
				 uint32_t bytes, uint64_t at)
{
	const struct joint *j = segment & JOINT_FLAG ? f->joint[joint_index(segment)] : NULL;
	const struct region_map *m = j ? &j->map : &a->seg[segment % SEGMENTS];

	if (!m->base || off > m->bytes || bytes > m->bytes - off)
		abort();
	return m->base + off + (at & (bytes - 1));
}

static inline void tx_step(struct fuzz *f, struct app *a, uint32_t slot)
{
	struct slot_shm *s = &a->slot[slot];
	uint64_t tail = atomic_load(&s->tx_tail), room, base;
	uint32_t given = atomic_load(&s->tx_given);

	if (a->tx[slot].bytes == 0 || given != atomic_load(&s->tx_taken)) {
		if (a->tx[slot].bytes && a->tx[slot].segment & JOINT_FLAG)
			atomic_store(&s->tx_base, 0);
		a->tx[slot].segment = s->tx_segment;
		a->tx[slot].bytes = s->tx_bytes;
		atomic_store(&s->tx_taken, given);
	}
	base = a->tx[slot].segment & JOINT_FLAG ? 0 : atomic_load(&s->tx_base);
	room = a->tx[slot].bytes -
	       (tail - atomic_load(a->tx[slot].segment & JOINT_FLAG ? &s->tx_read : &s->tx_head));
	if (room == 0)
		return;
	if (a == &f->app[GOOD])
		*ring_byte(f, a, s->tx_segment, s->tx_off, s->tx_bytes, tail - base) = 1;
	atomic_store(&s->tx_tail, tail + room);
	submit(a, sq_word(SQ_KICK, slot, 0));
}

static inline void rx_step(struct fuzz *f, struct app *a, uint32_t slot)
{
	struct slot_shm *s = &a->slot[slot];
	uint64_t tail = atomic_load(&s->rx_tail), head = atomic_load(&s->rx_head), base;

	if (tail == head)
		return;
	base = s->rx_segment & JOINT_FLAG ? 0 : atomic_load(&s->rx_base);
	atomic_store(&s->rx_taken, atomic_load(&s->rx_given));
	if (a == &f->app[GOOD])
		(void)*(volatile uint8_t *)ring_byte(f, a, s->rx_segment, s->rx_off, s->rx_bytes,
						     head - base);
	atomic_store(&s->rx_head, tail);
	submit(a, sq_word(SQ_KICK, slot, 0));
}

#endif /* NCD_REGION_APP_H */
