/* SPDX-License-Identifier: MIT */
/*
 * fuzz_region.c - a hostile application: it writes anything anywhere in its region, between turns
 * of a real worker. Whatever it does costs at most its own attachment; a good application beside it
 * moves its bytes after each input. Both are in one group of listeners, so streams go from queue to
 * queue. worker.c is included so that turns are taken here one by one.
 *
 * The input is a list of acts, each one byte and its arguments; what belongs to the worker and the
 * good application stays from input to input, the hostile one attaches anew for each.
 */
#include "../../daemon/worker.c"

#include <sanitizer/lsan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "region.h"

#define SLOTS      64u
#define SEGMENTS   8
#define GOOD_PORT  80
#define BAD_PORT   81 /* both listen there, with one title */
#define TITLE      7
#define GOOD_BYTES 3000u
#define GOOD_RING  8192u /* filled too little to grow */
#define TURNS_MAX  200000 /* in which what must happen has happened */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct app {
	struct port *port;
	struct region_shm layout;
	struct region_map seg[SEGMENTS];
	uint32_t segments;
	struct ring sq, accept, shared; /* shared: of listener 1 */
	struct port_shm *shm;
	struct slot_shm *slot;
	int doorbell_fd; /* the port's */
	uint32_t done, posted;
	int result;
	bool bad, gone;
};

struct fuzz {
	const uint8_t *at, *end;
	struct worker *w;
	int event_fd;
	struct address addr;
	struct app good, hostile;
	uint32_t shared[SLOTS]; /* streams of the hostile one: stream + 1 by cookie - 1 */
	uint32_t good_slot[2]; /* connected to each other */
	uint64_t good_offset;
};

static uint64_t take(struct fuzz *f, size_t bytes)
{
	uint64_t v = 0;

	for (; bytes > 0 && f->at < f->end; bytes--)
		v = v << 8 | *f->at++;
	return v;
}

static struct app *app_of(struct fuzz *f, const struct port *p)
{
	return p == f->hostile.port ? &f->hostile : &f->good;
}

static void post(struct fuzz *f, struct app *a, const struct worker_cmd *cmd)
{
	struct worker_cmd *copy = malloc(sizeof(*copy));

	*copy = *cmd;
	copy->port = a->port;
	copy->user = a;
	a->posted++;
	worker_post(f->w, copy);
}

/* Plays control. */
static void control(struct fuzz *f)
{
	struct worker_event ev;

	while (worker_event(f->w, &ev)) {
		struct worker_cmd cmd = { .type = CMD_SEGMENT_DENIED };
		struct app *a = ev.cmd ? ev.cmd->user : app_of(f, ev.port);

		if (ev.type == EVT_DONE) {
			a->done++;
			a->result = ev.cmd->result;
			if (ev.cmd->type == CMD_SHARE && a->result == 0)
				f->shared[ev.cmd->share.cookie - 1] = ev.cmd->share.stream + 1;
			free(ev.cmd);
		} else if (ev.type == EVT_CLIENT_BAD) {
			a->bad = true;
		} else if (ev.type == EVT_CLIENT_GONE) {
			a->gone = true;
		} else if (ev.type == EVT_SEGMENT_WANTED) {
			struct region_map *m = &a->seg[a->segments];

			if (a->segments < SEGMENTS && region_map_create("fuzz", 4u << 20, m) == 0) {
				cmd.type = CMD_SEGMENT;
				cmd.segment.number = a->segments++;
				cmd.segment.base = m->base;
				cmd.segment.bytes = m->bytes;
			}
			post(f, a, &cmd);
		}
	}
}

static void turn(struct fuzz *f)
{
	(void)worker_turn(f->w);
	control(f);
}

static void command(struct fuzz *f, struct app *a, const struct worker_cmd *cmd)
{
	post(f, a, cmd);
	for (int i = 0; a->done < a->posted; i++) {
		if (i > TURNS_MAX)
			abort();
		turn(f);
	}
}

static void attach(struct fuzz *f, struct app *a)
{
	struct port_config cfg = { .pid = 1, .region_max = 32u << 20 };
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
	ring_init(&a->accept, base + a->layout.accept_off, NCD_BACKLOG_MAX);
	ring_init(&a->shared, base + a->layout.accept_off + a->layout.accept_bytes,
		  NCD_BACKLOG_MAX);
	command(f, a, &cmd);
}

/* Nobody has the descriptor any more; the command names no port, as control's. */
static void share_end(struct fuzz *f, struct app *a, uint32_t cookie)
{
	struct worker_cmd cmd = { .type = CMD_SHARE_END };

	if (!f->shared[cookie - 1])
		return;
	cmd.share.cookie = cookie;
	cmd.share.stream = f->shared[cookie - 1] - 1;
	f->shared[cookie - 1] = 0;
	command(f, a, &cmd);
}

static void detach(struct fuzz *f, struct app *a)
{
	const struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE };

	command(f, a, &cmd);
	for (uint32_t i = 0; i < SLOTS; i++)
		share_end(f, a, i + 1);
	for (int i = 0; !a->gone; i++) {
		/* What it had opened is given up after engine.orphan_ns at the latest. */
		if (i > TURNS_MAX)
			abort();
		turn(f);
	}
	port_destroy(a->port);
	a->port = NULL;
	for (uint32_t i = 0; i < a->segments; i++)
		region_unmap(&a->seg[i]);
}

static void listen_on(struct fuzz *f, struct app *a, uint32_t listener, uint16_t port,
		      uint32_t ring_bytes)
{
	struct worker_cmd cmd = { .type = CMD_LISTEN };

	cmd.listen.listener = listener;
	cmd.listen.title = port == BAD_PORT ? TITLE : 0;
	cmd.listen.port = port;
	cmd.listen.backlog = 16;
	cmd.listen.tx_bytes = cmd.listen.rx_bytes = ring_bytes;
	command(f, a, &cmd);
	if (a->result < 0)
		abort();
}

static void submit(struct app *a, uint64_t word)
{
	(void)ring_push(&a->sq, word);
	ring_publish(&a->sq);
	/* The worker no longer looks at a port that has been quiet for a while. */
	if (doorbell_due(&a->shm->need_wakeup))
		(void)eventfd_write(a->doorbell_fd, 1);
}

static void open_slot(struct fuzz *f, struct app *a, uint32_t slot, uint16_t port,
		      uint32_t ring_bytes)
{
	struct slot_shm *s = &a->slot[slot];

	memset((uint8_t *)s + 64, 0, 64);
	memset(s->local_addr, 0, 16);
	memcpy(s->peer_addr, f->addr.byte, 16);
	s->open_local_port = 0;
	s->open_peer_port = port;
	s->open_tx_bytes = s->open_rx_bytes = ring_bytes;
	submit(a, sq_word(SQ_OPEN, slot, 0));
}

/* ---- the good application ---- */

static void good_start(struct fuzz *f)
{
	uint64_t word;

	attach(f, &f->good);
	listen_on(f, &f->good, 0, GOOD_PORT, GOOD_RING);
	listen_on(f, &f->good, 1, BAD_PORT, GOOD_RING);
	open_slot(f, &f->good, 1, GOOD_PORT, GOOD_RING);
	for (int i = 0; ring_pop_claim(&f->good.accept, &word) < 0; i++) {
		if (i > TURNS_MAX)
			abort();
		turn(f);
	}
	f->good_slot[0] = 1;
	f->good_slot[1] = (uint32_t)word;
}

/* Streams that the hostile one has opened to it are closed. */
static void good_clear(struct fuzz *f)
{
	uint64_t word;

	while (ring_pop_claim(&f->good.accept, &word) == 0 ||
	       ring_pop_claim(&f->good.shared, &word) == 0)
		submit(&f->good, sq_word(SQ_CLOSE, (uint32_t)word, CLOSE_ABORT));
}

static void good_transfer(struct fuzz *f)
{
	struct app *a = &f->good;
	struct slot_shm *tx = &a->slot[f->good_slot[0]], *rx = &a->slot[f->good_slot[1]];
	const uint8_t *in = a->seg[rx->rx_segment].base + rx->rx_off;
	uint8_t *out = a->seg[tx->tx_segment].base + tx->tx_off;
	uint64_t end = f->good_offset + GOOD_BYTES;

	good_clear(f);
	for (uint64_t i = f->good_offset; i < end; i++)
		out[i & (tx->tx_bytes - 1)] = (uint8_t)(i * 7);
	atomic_store(&tx->tx_tail, end);
	submit(a, sq_word(SQ_KICK, f->good_slot[0], 0));
	for (int i = 0; atomic_load(&rx->rx_tail) < end; i++) {
		if (i > TURNS_MAX || a->bad)
			abort();
		turn(f);
	}
	for (uint64_t i = f->good_offset; i < end; i++)
		if (in[(i - atomic_load(&rx->rx_base)) & (rx->rx_bytes - 1)] != (uint8_t)(i * 7))
			abort();
	atomic_store(&rx->rx_head, end);
	submit(a, sq_word(SQ_KICK, f->good_slot[1], 0));
	for (int i = 0; atomic_load(&tx->tx_head) < end; i++) {
		if (i > TURNS_MAX || a->bad)
			abort();
		turn(f);
	}
	f->good_offset = end;
}

/* ---- the hostile one ---- */

static void act_scribble(struct fuzz *f)
{
	struct app *a = &f->hostile;
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

	submit(&f->hostile, sq_word(op, slot, arg));
}

static void act_raw_word(struct fuzz *f)
{
	submit(&f->hostile, take(f, 8));
}

static void act_open(struct fuzz *f)
{
	uint32_t slot = (uint32_t)take(f, 1) % (SLOTS / 2);

	/* Its rings grow: 0 is as much as they may. */
	open_slot(f, &f->hostile, slot, take(f, 1) & 1 ? GOOD_PORT : BAD_PORT, 0);
}

static void act_write(struct fuzz *f)
{
	uint32_t slot = (uint32_t)take(f, 1) % SLOTS;

	atomic_fetch_add(&f->hostile.slot[slot].tx_tail, take(f, 2));
	submit(&f->hostile, sq_word(SQ_KICK, slot, 0));
}

static void act_read(struct fuzz *f)
{
	struct slot_shm *s = &f->hostile.slot[take(f, 1) % SLOTS];

	atomic_store(&s->rx_head, atomic_load(&s->rx_tail) + (take(f, 1) == 255));
	submit(&f->hostile, sq_word(SQ_KICK, (uint32_t)(s - f->hostile.slot), 0));
}

static void act_notify(struct fuzz *f)
{
	struct slot_shm *s = &f->hostile.slot[take(f, 1) % SLOTS];

	atomic_store(&s->qp, (uint32_t)take(f, 1) % (NCD_QP_NR + 1));
	atomic_store(&s->notify, (uint32_t)take(f, 3));
}

/* Takes rings, or says so; wants others. */
static void act_ring(struct fuzz *f)
{
	struct slot_shm *s = &f->hostile.slot[take(f, 1) % SLOTS];
	uint32_t how = (uint32_t)take(f, 1);

	if (how & 1)
		atomic_store(&s->tx_taken, atomic_load(&s->tx_given) + (how >> 4 & 3) % 3);
	if (how & 2)
		atomic_store(&s->rx_taken, atomic_load(&s->rx_given) + (how >> 6));
	if (how & 4)
		atomic_store(&s->rx_want, (uint32_t)take(f, 3));
	submit(&f->hostile, sq_word(SQ_KICK, (uint32_t)(s - f->hostile.slot), 0));
}

static void act_share(struct fuzz *f)
{
	struct worker_cmd cmd = { .type = CMD_SHARE };
	int pair[2];

	cmd.share.slot = (uint32_t)take(f, 1) % (SLOTS + 1);
	cmd.share.cookie = cmd.share.slot % SLOTS + 1;
	if (f->shared[cmd.share.cookie - 1])
		return; /* a cookie is of one descriptor alone */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	close(pair[0]);
	cmd.share.fd = pair[1];
	cmd.share.end = pair[1]; /* control's copy, which there is none of */
	post(f, &f->hostile, &cmd);
	turn(f);
}

/* Its own: to another slot of its own. */
static void act_take(struct fuzz *f)
{
	struct worker_cmd cmd = { .type = CMD_TAKE };

	cmd.share.cookie = take(f, 1) % SLOTS + 1;
	cmd.share.stream = f->shared[cmd.share.cookie - 1] ? f->shared[cmd.share.cookie - 1] - 1
							   : (uint32_t)take(f, 2);
	cmd.share.fd = eventfd(0, EFD_CLOEXEC);
	post(f, &f->hostile, &cmd);
	turn(f);
}

static void act_share_end(struct fuzz *f)
{
	share_end(f, &f->hostile, (uint32_t)take(f, 1) % SLOTS + 1);
}

static void act_turns(struct fuzz *f)
{
	for (uint64_t i = take(f, 1) % 8; i < 8; i++)
		turn(f);
}

static void set_up(struct fuzz *f)
{
	struct worker_config cfg = {
		.cpu = -1, .io = IO_EPOLL,
		.engine = { .streams = 256, .channels = 4, .listeners = 16, .frame_bytes = 65536,
			    .seed = 7, .ack_delay_ns = 1000, .ping_idle_ns = 1000000000,
			    .ping_dead_ns = 10000000000, .unreachable_ns = 5000000000,
			    .orphan_ns = 1000000, .port_low = 32768, .port_high = 60999 },
		.ring_send_bytes = 65536, .ring_receive_bytes = 65536, .ring_initial_bytes = 4096,
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
	command(f, &f->good, &cmd);
	good_start(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static void (*const act[])(struct fuzz *f) = { act_scribble, act_scribble, act_word,
						       act_raw_word, act_open, act_write,
						       act_write, act_read, act_notify,
						       act_turns, act_turns, act_ring, act_ring,
						       act_share, act_take, act_share_end };
	static struct fuzz f; /* stays from input to input */

	if (!f.w) {
		/* Kept to the end, partly in memory where the leak checker does not look. */
		__lsan_disable();
		set_up(&f);
		__lsan_enable();
	}
	f.at = data;
	f.end = data + bytes;
	attach(&f, &f.hostile);
	listen_on(&f, &f.hostile, 0, BAD_PORT, 0);
	while (f.at < f.end && !f.hostile.bad)
		act[take(&f, 1) % (sizeof(act) / sizeof(act[0]))](&f);
	good_transfer(&f);
	detach(&f, &f.hostile);
	return 0;
}
