/* SPDX-License-Identifier: MIT */
/*
 * go_rig.h - two hosts of two workers each, of worker_rig.h, for test_port_go.c: the test plays
 * control and takes each step of a move, of daemon/moves.h, by itself.
 *
 *   lane[0]: host 0's worker 0 ~~ host 1's worker 0       host 0 connects, host 1 accepts
 *   lane[1]: host 0's worker 1 ~~ host 1's worker 1
 *
 * Ownership: go_new/go_free own everything.
 */
#ifndef NCD_GO_RIG_H
#define NCD_GO_RIG_H

#define RIG_PORT_HIGH (32768 + 2)
#include "worker_rig.h"

#include "carriers.h"
#include "parcel.h"
#include "port_calls.h"

#define ASKED    0
#define ANSWERED (EVT_MOVE_ANSWERED - EVT_MOVE_ASKED)
#define SETTLED  (EVT_MOVE_SETTLED - EVT_MOVE_ASKED)
#define PORT     (EVT_MOVE_PORT - EVT_MOVE_ASKED)

struct go {
	struct carriers *carriers[2]; /* by host */
	struct rig lane[2];
};

/* One end of a stream, and its move: as struct move of daemon/moves.c. */
struct end {
	struct go *g;
	int host, lane; /* it is at, or going from */
	bool asked;
	uint32_t slot, seed; /* of what it writes */
	uint64_t cookie;
	int descriptor;
	uint32_t stream, place;
	uint64_t place_id, remote_id;
	struct move_at at;
	uint32_t tx_bytes, rx_bytes;
	struct parcel parcel;
	struct moved *left;
};

#define go_until(g, cond)                            \
	rig_until(&(g)->lane[0], ({                  \
			  rig_pump(&(g)->lane[1]);   \
			  cond;                      \
		  }))

static inline struct rig_host *app_in(struct go *g, int lane, int host)
{
	return &g->lane[lane].host[host];
}

static inline struct rig_host *app_of(const struct end *x)
{
	return app_in(x->g, x->lane, x->host);
}

static inline struct slot_shm *slot_of(const struct end *x)
{
	return &app_of(x)->slot[x->slot];
}

static inline struct go *go_new(void **state)
{
	struct go *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	for (int i = 0; i < 2; i++) {
		g->carriers[i] = carriers_create(2);
		assert_non_null(g->carriers[i]);
	}
	for (uint16_t i = 0; i < 2; i++)
		rig_start_as(&g->lane[i], *state ? IO_EPOLL : IO_URING, 50, 1000000, i,
			     g->carriers);
	assert_int_equal(app_listen(&g->lane[0], 1, 80, 64), 0);
	return g;
}

static inline void go_remove(struct go *g, int lane, int host)
{
	struct rig_host *h = app_in(g, lane, host);
	struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE, .port = h->port };

	rig_command(&g->lane[lane], host, &cmd);
}

/* All applications end, and of no stream anything is left in their memory. */
static inline void go_free(struct go *g)
{
	for (int i = 0; i < 4; i++)
		go_remove(g, i / 2, i % 2);
	for (int i = 0; i < 4; i++) {
		go_until(g, app_in(g, i / 2, i % 2)->gone == 1);
		assert_int_equal(arena_used(app_in(g, i / 2, i % 2)->port->arena), 0);
		assert_int_equal(app_in(g, i / 2, i % 2)->bad, 0);
	}
	for (int i = 0; i < 2; i++)
		rig_stop(&g->lane[i]);
	for (int i = 0; i < 2; i++)
		carriers_destroy(g->carriers[i]);
	free(g);
}

/* ---- steps ---- */

/* The result of a command to worker @lane of the host of @x. */
static inline int go_command(struct end *x, int lane, struct worker_cmd *cmd)
{
	struct rig_host *h = app_in(x->g, lane, x->host);

	h->back.type = CMD_LEAVE;
	rig_post(h, cmd);
	go_until(x->g, h->back.type == cmd->type);
	*cmd = h->back;
	return cmd->result;
}

static inline struct worker_cmd go_cmd(const struct end *x, enum worker_cmd_type type)
{
	struct worker_cmd cmd = { .type = type };
	bool place = type == CMD_MOVE_ROOM || type == CMD_MOVE_REFUSE || type == CMD_MOVE_IN;

	if (type == CMD_MOVE_ROOM)
		cmd.port = app_in(x->g, !x->lane, x->host)->port;
	cmd.move.asked = x->asked;
	cmd.move.cookie = x->cookie;
	cmd.move.stream = place ? x->place : x->stream;
	cmd.move.id = type == CMD_MOVE_FORGET ? x->parcel.stream.id : x->place_id;
	cmd.move.at = x->at;
	cmd.move.remote_id = x->remote_id;
	cmd.move.tx_bytes = x->tx_bytes;
	cmd.move.rx_bytes = x->rx_bytes;
	cmd.move.parcel = (struct parcel *)(uintptr_t)&x->parcel;
	cmd.move.left = x->left;
	return cmd;
}

static inline int step(struct end *x, enum worker_cmd_type type)
{
	struct worker_cmd cmd = go_cmd(x, type);
	bool place = type == CMD_MOVE_ROOM || type == CMD_MOVE_REFUSE || type == CMD_MOVE_IN;
	int ret = go_command(x, place ? !x->lane : x->lane, &cmd);

	if (ret == 0 && type == CMD_MOVE_BEGIN) {
		x->at = cmd.move.at;
		x->remote_id = cmd.move.remote_id;
		x->tx_bytes = cmd.move.tx_bytes;
		x->rx_bytes = cmd.move.rx_bytes;
	} else if (ret == 0 && type == CMD_MOVE_ROOM) {
		x->place = cmd.move.stream;
		x->place_id = cmd.move.id;
	} else if (ret == 0 && type == CMD_MOVE_OUT) {
		x->left = cmd.move.left;
	}
	return ret;
}

static inline void lend(struct end *x)
{
	struct worker_cmd cmd = { .type = CMD_SHARE, .port = app_of(x)->port };
	static uint64_t cookies = 100;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	close(pair[0]); /* nobody asks here */
	x->cookie = ++cookies;
	cmd.share.slot = x->slot;
	cmd.share.cookie = x->cookie;
	cmd.share.fd = cmd.share.end = pair[1];
	cmd.share.lent = true;
	assert_int_equal(go_command(x, x->lane, &cmd), 0);
	x->stream = cmd.share.stream;
}

/* As soon as no ring is being exchanged. */
static inline void begin(struct end *x)
{
	go_until(x->g, ({
			 app_take_tx(app_of(x), x->slot);
			 app_follow_rx(app_of(x), x->slot);
			 app_kick(app_of(x), x->slot);
			 step(x, CMD_MOVE_BEGIN) == 0;
		 }));
}

/* It is where it was going to; its application fetches it. */
static inline void fetch(struct end *x)
{
	struct worker_cmd cmd = { .type = CMD_TAKE };

	x->lane = !x->lane;
	x->stream = x->place;
	cmd.port = app_of(x)->port;
	cmd.share.cookie = x->cookie;
	cmd.share.stream = x->stream;
	cmd.share.fd = eventfd(0, EFD_CLOEXEC);
	cmd.share.back = true;
	assert_int_equal(go_command(x, x->lane, &cmd), 0);
	x->slot = cmd.share.slot;
	app_of(x)->tx[x->slot].base = app_of(x)->rx[x->slot].base = NULL;
}

/* What it has heard of @what in the other lane, since @before. */
static inline struct worker_event heard(struct end *x, int what, uint32_t before)
{
	struct rig_host *h = app_in(x->g, !x->lane, x->host);

	go_until(x->g, h->moves[what] > before);
	return h->move[what];
}

static inline uint32_t so_far(const struct end *x, int what)
{
	return app_in(x->g, !x->lane, x->host)->moves[what];
}

/* A is lent, keeps its rings, and asks; B has heard of it. */
static inline void ask(struct end *a, struct end *b)
{
	uint32_t before = so_far(b, ASKED);
	struct worker_event ev;

	lend(a);
	a->asked = false;
	begin(a);
	assert_int_equal(step(a, CMD_MOVE_ROOM), 0);
	ev = heard(b, ASKED, before);
	b->asked = true;
	b->place = ev.place;
	b->place_id = ev.stream;
	b->at = ev.at;
}

/* B is at its new place; A has heard so. */
static inline void answer(struct end *a, struct end *b)
{
	uint32_t before = so_far(a, ANSWERED);
	struct worker_event ev;

	lend(b);
	begin(b);
	assert_int_equal(step(b, CMD_MOVE_ROOM), 0);
	assert_int_equal(step(b, CMD_MOVE_OUT), 0);
	assert_int_equal(step(b, CMD_MOVE_IN), 0);
	step(b, CMD_MOVE_OVER);
	ev = heard(a, ANSWERED, before);
	assert_int_equal(ev.error, 0);
	assert_int_equal(ev.place, a->place);
	assert_true(ev.stream == a->place_id);
}

/* All of it, but that the applications fetch it. */
static inline void go(struct end *a, struct end *b)
{
	uint32_t before = so_far(b, SETTLED);
	struct worker_event ev;

	ask(a, b);
	answer(a, b);
	assert_int_equal(step(a, CMD_MOVE_OUT), 0);
	assert_int_equal(step(a, CMD_MOVE_IN), 0);
	step(a, CMD_MOVE_OVER);
	ev = heard(b, SETTLED, before);
	assert_int_equal(ev.at.lane, b->lane);
	assert_true(ev.at.id == b->parcel.stream.id);
	step(b, CMD_MOVE_FORGET);
}

/* ---- applications ---- */

static inline void go_connect(struct go *g, uint32_t slot, struct end *a, struct end *b)
{
	*a = (struct end){ .g = g, .host = 0, .slot = slot, .seed = slot };
	*b = (struct end){ .g = g, .host = 1, .slot = rig_connect(&g->lane[0], slot, 80),
			   .seed = slot + 100 };
}

/* Until all that @from has written up to @to has been read, and is right. */
static inline void transfer(const struct end *from, const struct end *to, uint64_t end)
{
	go_until(from->g, ({
			 (void)app_write(app_of(from), from->slot, from->seed, end);
			 app_read(app_of(to), to->slot, from->seed) == end;
		 }));
}

/* Writes until nothing fits any more, at either end; returns how much that was. */
static inline uint64_t fill(const struct end *from, const struct end *to)
{
	uint64_t end = 0;

	go_until(from->g, ({
			 uint64_t before = end;

			 app_follow_rx(app_of(to), to->slot);
			 app_kick(app_of(to), to->slot);
			 end = app_write(app_of(from), from->slot, from->seed, 1u << 30);
			 end == before && end > 2 * RIG_RING;
		 }));
	return end;
}

static inline uint64_t goes_on(const struct end *a, const struct end *b)
{
	uint64_t to = 300000;

	to += atomic_load(&slot_of(a)->tx_tail);
	transfer(a, b, to);
	to += atomic_load(&slot_of(b)->tx_tail);
	transfer(b, a, to);
	return to;
}

#endif /* NCD_GO_RIG_H */
