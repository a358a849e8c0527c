/* SPDX-License-Identifier: MIT */
/*
 * fake_pump.c - the fake daemon by itself: a small real one, for tests with many threads. It sleeps
 * on its doorbells, so a kick that the library forgets is a test that hangs.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "../ncd_test.h"
#include "fake_state.h"

#define CHUNK   4096u
#define GROW_TO (128u << 10)

/* Larger rings for who fills his by half, as a worker gives them. */
static void grow(struct fake *f, struct fake_slot s)
{
	struct fake_flow *fl = fake_flow(f, s);
	struct slot_shm *shm = fake_shm(f, s);

	if (fl->tx_bytes < GROW_TO && atomic_load(&shm->tx_tail) - fl->tx_head > fl->tx_bytes / 2 &&
	    slot_may_give_tx(f, s))
		slot_give_tx(f, s, 2 * fl->tx_bytes);
	if (fl->rx_bytes < GROW_TO && fl->rx_tail - atomic_load(&shm->rx_head) > fl->rx_bytes / 2 &&
	    slot_may_give_rx(f, s))
		slot_give_rx(f, s, 2 * fl->rx_bytes);
}

/* From one stream's tx ring to its peer's rx ring, or its own: as far as credit goes. */
static void move_bytes(struct fake *f, struct fake_slot from)
{
	struct fake_flow *fl = fake_flow(f, from);
	struct fake_slot to = fl->echo ? from : fl->peer;
	struct fake_flow *fto = fake_flow(f, to);
	uint8_t buf[CHUNK];
	size_t n;

	if (!fl->live || (!fl->echo && (!fl->has_peer || !fto->live)))
		return;
	grow(f, from);
	do {
		size_t room = fto->rx_bytes -
			      (size_t)(fto->rx_tail - atomic_load(&fake_shm(f, to)->rx_head));

		n = slot_take(f, from, buf, room < sizeof(buf) ? room : sizeof(buf));
		assert_int_equal(slot_put(f, to, buf, n), n);
	} while (n > 0);
	grow(f, to);
	if (fl->shut && !fl->eof_told && fl->tx_head == atomic_load(&fake_shm(f, from)->tx_tail)) {
		fl->eof_told = true;
		slot_flags(f, to, SLOT_F_EOF, EV_IN | EV_HUP);
		slot_flags(f, from, SLOT_F_TX_DONE, EV_OUT);
	}
}

static void pump_open(struct fake *f, struct fake_slot s)
{
	uint16_t port = fake_shm(f, s)->open_peer_port;

	slot_rings(f, s);
	fake_flow(f, s)->live = true;
	if (port == FAKE_ECHO_PORT) {
		fake_flow(f, s)->echo = true;
		slot_state(f, s, SLOT_OPEN, EV_OUT);
		return;
	}
	for (uint32_t l = 0; l < FAKE_LISTENERS; l++) {
		struct fake_slot in;

		if (f->listener_port[l] == 0 || f->listener_port[l] != port)
			continue;
		in = slot_incoming(f, f->upper % f->cfg.workers, l);
		fake_flow(f, in)->live = true;
		fake_flow(f, in)->has_peer = fake_flow(f, s)->has_peer = true;
		fake_flow(f, in)->peer = s;
		fake_flow(f, s)->peer = in;
		slot_announce(f, in, l);
		slot_state(f, s, SLOT_OPEN, EV_OUT);
		return;
	}
	slot_failed(f, s, -ECONNREFUSED);
}

/* Bytes that the peer has no room for stay in the ring; the slot is freed when they have moved. */
static void pump_close(struct fake *f, struct fake_slot s)
{
	struct fake_flow *fl = fake_flow(f, s);

	fl->shut = true;
	fl->closed = true;
}

static void pump_finish(struct fake *f, struct fake_slot s)
{
	struct fake_flow *fl = fake_flow(f, s);
	struct fake_flow *peer = fl->has_peer ? fake_flow(f, fl->peer) : NULL;

	move_bytes(f, s);
	if (!fl->closed || (fl->live && peer && peer->live && !fl->eof_told))
		return;
	if (peer)
		peer->has_peer = false;
	fl->has_peer = fl->closed = false;
	slot_free(f, s);
}

static void pump_word(struct fake *f, uint64_t word, uint32_t worker)
{
	struct fake_slot s = { worker, (uint32_t)word };
	struct fake_flow *fl = fake_flow(f, s);

	switch ((enum sq_op)(word >> 32 & 0xff)) {
	case SQ_KICK:
		atomic_exchange(&fake_shm(f, s)->kick, 0);
		break;
	case SQ_OPEN:
		pump_open(f, s);
		break;
	case SQ_SHUTDOWN:
		fl->shut = true;
		break;
	case SQ_CLOSE:
		pump_close(f, s);
		break;
	case SQ_CLASS:
	case SQ_SHARE:
	case SQ_OP_END:
		break;
	}
	pump_finish(f, s);
	if (fl->has_peer)
		pump_finish(f, fl->peer);
}

static bool pump_work(struct fake *f)
{
	bool worked = false;
	uint32_t worker;
	uint64_t word;

	pthread_mutex_lock(&f->lock);
	while (slot_pop(f, &word, &worker)) {
		pump_word(f, word, worker);
		worked = true;
	}
	pthread_mutex_unlock(&f->lock);
	return worked;
}

static void arm(struct fake *f, bool on)
{
	pthread_mutex_lock(&f->lock);
	for (uint32_t w = 0; f->attached && w < f->cfg.workers; w++) {
		if (on)
			doorbell_arm(&fake_port(f, w)->need_wakeup);
		else
			doorbell_disarm(&fake_port(f, w)->need_wakeup);
	}
	pthread_mutex_unlock(&f->lock);
}

static void *pump_run(void *arg)
{
	struct fake *f = arg;
	struct pollfd p[FAKE_WORKERS + 1];
	eventfd_t count;

	while (!atomic_load(&f->pump_stop)) {
		if (pump_work(f))
			continue;
		arm(f, true);
		if (!pump_work(f)) {
			for (uint32_t i = 0; i < f->cfg.workers; i++)
				p[i] = (struct pollfd){ .fd = f->doorbell[i], .events = POLLIN };
			p[f->cfg.workers] = (struct pollfd){ .fd = f->wake_fd, .events = POLLIN };
			poll(p, f->cfg.workers + 1, -1);
			for (uint32_t i = 0; i < f->cfg.workers; i++)
				(void)eventfd_read(f->doorbell[i], &count); /* those that rang */
			(void)eventfd_read(f->wake_fd, &count);             /* likewise */
		}
		arm(f, false);
	}
	return NULL;
}

void fake_pump_start(struct fake *f)
{
	f->pumping = true;
	assert_int_equal(pthread_create(&f->pump, NULL, pump_run, f), 0);
}
