/* SPDX-License-Identifier: MIT */
/*
 * fuzz_region.c - two hostile applications: they write anything anywhere in their regions, between
 * turns of a real worker. Whatever they do costs at most their own attachments; a good application
 * beside them moves its bytes after each input. All are in one group of listeners, so streams go
 * from queue to queue; a stream of bulk between two of them, or of one and the good one, is joined,
 * and has come as far as the input says before the first act.
 *
 * The input is that, and a list of acts, each one byte and its arguments; what belongs to the
 * worker and the good application stays from input to input, the hostile ones attach anew for each.
 */
#include "region_app.h"

#include <sanitizer/lsan_interface.h>

#define GOOD_PORT  80
#define BAD_PORT   81 /* all listen there, with one title */
#define BULK_PORT  82 /* of the good one; BULK_PORT + i: of BAD_i */
#define GOOD_BYTES 3000u
#define GOOD_RING  8192u /* filled too little to grow */
#define BULK_SLOT  2 /* where one is opened */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint64_t take(struct fuzz *f, size_t bytes)
{
	uint64_t v = 0;

	for (; bytes > 0 && f->at < f->end; bytes--)
		v = v << 8 | *f->at++;
	return v;
}

static struct app *take_hostile(struct fuzz *f)
{
	return &f->app[take(f, 1) & 1 ? BAD_2 : BAD_1];
}

/* ---- the good application ---- */

static void good_start(struct fuzz *f)
{
	struct app *a = &f->app[GOOD];
	int slot;

	attach(f, a);
	listen_on(f, a, 0, GOOD_PORT, 0, GOOD_RING);
	listen_on(f, a, 1, BAD_PORT, TITLE, GOOD_RING);
	listen_on(f, a, 2, BULK_PORT, 0, 0);
	open_slot(f, a, 1, GOOD_PORT, GOOD_RING);
	until(f, (slot = accept_from(a, 0)) >= 0);
	f->good_slot[0] = 1;
	f->good_slot[1] = (uint32_t)slot;
}

/* Streams that the hostile ones have opened to it are closed, and its own to them. */
static void good_clear(struct fuzz *f)
{
	struct app *a = &f->app[GOOD];
	int slot;

	for (uint32_t i = 0; i < LISTENERS; i++)
		while ((slot = accept_from(a, i)) >= 0)
			submit(a, sq_word(SQ_CLOSE, (uint32_t)slot, CLOSE_ABORT));
	if (f->bulk_slot < 0)
		return;
	slot = f->bulk_slot;
	f->bulk_slot = -1;
	submit(a, sq_word(SQ_CLOSE, (uint32_t)slot, CLOSE_ABORT));
	/* The next input opens it anew; one of the upper half is somebody else's at once. */
	if (slot == BULK_SLOT)
		until(f, atomic_load(&a->slot[slot].state) == SLOT_FREE);
}

static void good_transfer(struct fuzz *f)
{
	struct app *a = &f->app[GOOD];
	struct slot_shm *tx = &a->slot[f->good_slot[0]], *rx = &a->slot[f->good_slot[1]];
	const uint8_t *in = a->seg[rx->rx_segment].base + rx->rx_off;
	uint8_t *out = a->seg[tx->tx_segment].base + tx->tx_off;
	uint64_t end = f->good_offset + GOOD_BYTES;

	good_clear(f);
	for (uint64_t i = f->good_offset; i < end; i++)
		out[i & (tx->tx_bytes - 1)] = (uint8_t)(i * 7);
	atomic_store(&tx->tx_tail, end);
	submit(a, sq_word(SQ_KICK, f->good_slot[0], 0));
	until(f, atomic_load(&rx->rx_tail) >= end);
	for (uint64_t i = f->good_offset; i < end; i++)
		if (in[(i - atomic_load(&rx->rx_base)) & (rx->rx_bytes - 1)] != (uint8_t)(i * 7))
			abort();
	atomic_store(&rx->rx_head, end);
	submit(a, sq_word(SQ_KICK, f->good_slot[1], 0));
	until(f, atomic_load(&tx->tx_head) >= end);
	f->good_offset = end;
}

/* ---- a stream of bulk ---- */

struct end {
	struct app *a;
	uint32_t slot;
};

static void end_step(struct fuzz *f, const struct end *e, bool writes)
{
	if (e->a->bad || atomic_load(&e->a->slot[e->slot].state) != SLOT_OPEN)
		return;
	rx_step(f, e->a, e->slot);
	if (writes)
		tx_step(f, e->a, e->slot);
}

/* Connected, and so many steps on the way to a joined ring and in it, by the rules. */
static void bulk_start(struct fuzz *f)
{
	static const uint8_t pair[][2] = { { BAD_1, BAD_2 }, { GOOD, BAD_2 }, { BAD_1, GOOD },
					   { BAD_1, BAD_1 } };
	uint32_t how = (uint32_t)take(f, 1), steps = (uint32_t)take(f, 1) % 64;
	const uint8_t *who = pair[how % 4];
	struct end e[2] = { { &f->app[who[0]], BULK_SLOT }, { &f->app[who[1]], 0 } };
	int slot;

	f->wish_turns = (uint32_t)take(f, 1);
	if (f->wish_turns == 255)
		f->wish_turns = UINT32_MAX;
	if (how & 128)
		return;
	open_slot(f, e[0].a, BULK_SLOT, BULK_PORT + who[1], 0);
	until(f, (slot = accept_from(e[1].a, 2)) >= 0);
	until(f, atomic_load(&e[0].a->slot[BULK_SLOT].state) == SLOT_OPEN);
	e[1].slot = (uint32_t)slot;
	for (int i = 0; i < 2; i++) {
		e[i].a->tx[e[i].slot].bytes = 0;
		if (who[i] == GOOD)
			f->bulk_slot = (int)e[i].slot;
	}
	for (uint32_t i = 0; i < steps; i++) {
		end_step(f, &e[0], true);
		end_step(f, &e[1], how & 64);
		turn(f);
	}
}

/* The good one's end goes on by the rules. */
static void bulk_turn(struct fuzz *f)
{
	const struct end e = { &f->app[GOOD], (uint32_t)f->bulk_slot };

	if (f->bulk_slot >= 0)
		end_step(f, &e, true);
	turn(f);
}

/* ---- the hostile ones ---- */

static void act_scribble(struct fuzz *f)
{
	struct app *a = take_hostile(f);
	const struct region_shm *l = &a->layout;
	const uint64_t port = l->port_off;
	const uint64_t area[] = { port + l->sq_off, port + l->cq_off, port + l->accept_off,
				  port + l->slot_off + take(f, 1) % SLOTS * sizeof(struct slot_shm),
				  l->qp_off, l->listener_off, port, 0 };
	uint64_t at = area[take(f, 1) % 8] + (take(f, 1) & ~7ull), value = take(f, 8);

	if (at <= a->seg[0].bytes - sizeof(value))
		memcpy(a->seg[0].base + at, &value, sizeof(value));
}

static void act_word(struct fuzz *f)
{
	enum sq_op op = (enum sq_op)(take(f, 1) % (SQ_OP_END + 1));
	uint32_t slot = (uint32_t)take(f, 1) % (SLOTS + 2), arg = (uint32_t)take(f, 1) % 4;

	submit(take_hostile(f), sq_word(op, slot, arg));
}

static void act_raw_word(struct fuzz *f)
{
	struct app *a = take_hostile(f);

	submit(a, take(f, 8));
}

static void act_open(struct fuzz *f)
{
	uint32_t slot = (uint32_t)take(f, 1) % (SLOTS / 2);

	/* Its rings grow: 0 is as much as they may. */
	open_slot(f, take_hostile(f), slot, take(f, 1) & 1 ? GOOD_PORT : BAD_PORT, 0);
}

static void act_write(struct fuzz *f)
{
	struct app *a = take_hostile(f);
	uint32_t slot = (uint32_t)take(f, 1) % SLOTS;

	atomic_fetch_add(&a->slot[slot].tx_tail, take(f, 2));
	submit(a, sq_word(SQ_KICK, slot, 0));
}

static void act_read(struct fuzz *f)
{
	struct app *a = take_hostile(f);
	struct slot_shm *s = &a->slot[take(f, 1) % SLOTS];

	atomic_store(&s->rx_head, atomic_load(&s->rx_tail) + (take(f, 1) == 255));
	submit(a, sq_word(SQ_KICK, (uint32_t)(s - a->slot), 0));
}

static void act_notify(struct fuzz *f)
{
	struct app *a = take_hostile(f);
	struct slot_shm *s = &a->slot[take(f, 1) % SLOTS];

	atomic_store(&s->qp, (uint32_t)take(f, 1) % (NCD_QP_NR + 1));
	atomic_store(&s->notify, (uint32_t)take(f, 3));
}

/* Takes rings, or says so; wants others. */
static void act_ring(struct fuzz *f)
{
	struct app *a = take_hostile(f);
	struct slot_shm *s = &a->slot[take(f, 1) % SLOTS];
	uint32_t how = (uint32_t)take(f, 1);

	if (how & 1)
		atomic_store(&s->tx_taken, atomic_load(&s->tx_given) + (how >> 4 & 3) % 3);
	if (how & 2)
		atomic_store(&s->rx_taken, atomic_load(&s->rx_given) + (how >> 6));
	if (how & 4)
		atomic_store(&s->rx_want, (uint32_t)take(f, 3));
	submit(a, sq_word(SQ_KICK, (uint32_t)(s - a->slot), 0));
}

/* Nobody has the descriptor any more; the command names no port, as control's. */
static void share_end(struct fuzz *f, uint32_t cookie)
{
	struct worker_cmd cmd = { .type = CMD_SHARE_END };

	if (!f->shared[cookie - 1])
		return;
	cmd.share.cookie = cookie;
	cmd.share.stream = f->shared[cookie - 1] - 1;
	f->shared[cookie - 1] = 0;
	command(f, &f->app[GOOD], &cmd);
}

static void act_share(struct fuzz *f)
{
	struct worker_cmd cmd = { .type = CMD_SHARE };
	struct app *a = take_hostile(f);
	int pair[2];

	cmd.share.slot = (uint32_t)take(f, 1) % (SLOTS + 1);
	cmd.share.cookie = (uint64_t)(a - f->app) * SLOTS + cmd.share.slot % SLOTS + 1;
	if (a->removed || f->shared[cmd.share.cookie - 1])
		return; /* a cookie is of one descriptor alone */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	close(pair[0]);
	cmd.share.fd = pair[1];
	cmd.share.end = pair[1]; /* control's copy, which there is none of */
	post(f, a, &cmd);
	turn(f);
}

/* Of either, by either. */
static void act_take(struct fuzz *f)
{
	struct worker_cmd cmd = { .type = CMD_TAKE };
	struct app *a = take_hostile(f);

	if (a->removed)
		return;
	cmd.share.cookie = take(f, 1) % (APPS * SLOTS) + 1;
	cmd.share.stream = f->shared[cmd.share.cookie - 1] ? f->shared[cmd.share.cookie - 1] - 1
							   : (uint32_t)take(f, 2);
	cmd.share.fd = eventfd(0, EFD_CLOEXEC);
	post(f, a, &cmd);
	turn(f);
}

static void act_share_end(struct fuzz *f)
{
	share_end(f, (uint32_t)take(f, 1) % (APPS * SLOTS) + 1);
}

static void act_turns(struct fuzz *f)
{
	for (uint64_t i = take(f, 1) % 8; i < 8; i++)
		bulk_turn(f);
}

/* One end of theirs, by the rules. */
static void act_step(struct fuzz *f)
{
	struct app *a = take_hostile(f);
	const struct end e = { a, (uint32_t)take(f, 1) % SLOTS };

	end_step(f, &e, take(f, 1) & 1);
	bulk_turn(f);
}

/* One is killed; what the other does goes on. */
static void act_kill(struct fuzz *f)
{
	struct app *a = take_hostile(f);

	if (!a->removed)
		detach_begin(f, a);
}

static void set_up(struct fuzz *f)
{
	struct worker_config cfg = {
		.cpu = -1, .io = IO_EPOLL,
		.engine = { .streams = 256, .channels = 4, .listeners = 16, .frame_bytes = 65536,
			    .seed = 7, .ack_delay_ns = 1000, .ping_idle_ns = 1000000000,
			    .ping_dead_ns = 10000000000, .unreachable_ns = 5000000000,
			    .orphan_ns = 1000000, .port_low = 32768, .port_high = 60999 },
		.ring_send_bytes = 4u << 20, .ring_receive_bytes = 4u << 20,
		.ring_initial_bytes = 4096,
		.idle_ns = 20000,
	};
	struct worker_cmd cmd = { .type = CMD_PEER_SET };

	f->addr = (struct address){ .byte = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };
	f->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cfg.stats = calloc(1, sizeof(*cfg.stats));
	cfg.stats_socket = calloc(cfg.engine.streams, sizeof(*cfg.stats_socket));
	f->w = pin_alloc(sizeof(*f->w), -1);
	f->w->cfg = cfg;
	f->w->cfg.engine.channels += IO_RANKS;
	f->w->cfg.engine.clients = NCD_CLIENTS_MAX;
	f->w->cfg.engine.rebase = true;
	f->w->self = pthread_self();
	if (worker_alloc(f->w, f->event_fd) < 0 || worker_set_up(f->w) < 0)
		abort();
	cmd.peer.addr_nr = 1;
	cmd.peer.addr[0] = f->addr;
	command(f, &f->app[GOOD], &cmd);
	f->bulk_slot = -1;
	good_start(f);
}

static void hostile_start(struct fuzz *f, int i)
{
	struct app *a = &f->app[i];

	attach(f, a);
	listen_on(f, a, 0, BAD_PORT, TITLE, 0);
	listen_on(f, a, 2, (uint16_t)(BULK_PORT + i), 0, 0);
}

static void hostile_end(struct fuzz *f)
{
	for (int i = BAD_1; i <= BAD_2; i++)
		if (!f->app[i].removed)
			detach_begin(f, &f->app[i]);
	for (uint32_t i = 0; i < APPS * SLOTS; i++)
		share_end(f, i + 1);
	/* What they had opened is given up after engine.orphan_ns at the latest. */
	for (int i = BAD_1; i <= BAD_2; i++)
		until(f, f->app[i].gone && f->app[i].done == f->app[i].posted);
	until(f, f->wishes == 0 && f->joints == 0);
	for (int i = BAD_1; i <= BAD_2; i++)
		detach_end(&f->app[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static void (*const act[])(struct fuzz *f) = { act_scribble, act_scribble, act_word,
						       act_raw_word, act_open, act_write,
						       act_write, act_read, act_notify,
						       act_turns, act_turns, act_ring, act_ring,
						       act_share, act_take, act_share_end,
						       act_step, act_step, act_kill };
	static struct fuzz f; /* stays from input to input */

	if (!f.w) {
		/* Kept to the end, partly in memory where the leak checker does not look. */
		__lsan_disable();
		set_up(&f);
		__lsan_enable();
	}
	f.at = data;
	f.end = data + bytes;
	hostile_start(&f, BAD_1);
	hostile_start(&f, BAD_2);
	bulk_start(&f);
	while (f.at < f.end && !(f.app[BAD_1].removed && f.app[BAD_2].removed))
		act[take(&f, 1) % (sizeof(act) / sizeof(act[0]))](&f);
	good_transfer(&f);
	hostile_end(&f);
	return 0;
}
