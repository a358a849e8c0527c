/* SPDX-License-Identifier: MIT */
/*
 * fake_worker.c - the fake daemon as a worker: it pulls submissions and pushes readiness.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../ncd_test.h"
#include "fake_state.h"

/* ---- waking ---- */

static void futex_wake(_Atomic uint32_t *seq)
{
	atomic_fetch_add(seq, 1);
	syscall(SYS_futex, seq, FUTEX_WAKE, INT_MAX);
}

/* As daemon/port_wake.c. */
static void pollfd_signal(int *fd, uint32_t events)
{
	char buf[4096];
	int have = 0;

	if (*fd < 0)
		return;
	if (events & EV_ERR) {
		(void)shutdown(*fd, SHUT_RDWR);
		close(*fd);
		*fd = -1;
		return;
	}
	if (events & EV_HUP)
		(void)shutdown(*fd, SHUT_WR);
	else if (events & EV_IN)
		(void)send(*fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* full: readable */
	if (events & EV_OUT && ioctl(*fd, FIONREAD, &have) == 0 && have > 1)
		(void)recv(*fd, buf, (size_t)have - 1, MSG_DONTWAIT); /* all but one byte */
}

static uint32_t take(_Atomic uint32_t *notify, uint32_t bits)
{
	return atomic_fetch_and(notify, ~bits) & bits;
}

static void cq_push(struct fake *f, uint32_t worker, uint32_t qp, uint64_t word)
{
	struct ring *r = &f->cq[worker][qp];

	assert_int_equal(ring_push(r, word), 0);
	ring_publish(r);
	if (!doorbell_due(&fake_qp(f, qp)->need_wakeup))
		return;
	futex_wake(&fake_qp(f, qp)->seq);
	if (f->cqfd[qp] > 0)
		(void)send(f->cqfd[qp], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void slot_notify(struct fake *f, struct fake_slot s, uint32_t events)
{
	struct slot_shm *shm = fake_shm(f, s);
	uint32_t got = take(&shm->notify, NOTIFY_CQ(events)) >> 8;

	if (got)
		cq_push(f, s.worker, atomic_load(&shm->qp),
			cq_word(s.slot, got | (events & (EV_ERR | EV_HUP))));
	if (take(&shm->notify, NOTIFY_FUTEX(events)))
		futex_wake(&shm->seq);
	got = take(&shm->notify, NOTIFY_FD(events)) >> 16;
	pollfd_signal(&fake_flow(f, s)->pollfd, got | (events & (EV_ERR | EV_HUP)));
}

static void listener_notify(struct fake *f, uint32_t worker, uint32_t listener)
{
	struct listener_shm *shm = fake_listener(f, listener);

	if (take(&shm->notify, NOTIFY_CQ(EV_IN)))
		cq_push(f, worker, atomic_load(&shm->qp), cq_word(listener | CQ_LISTENER, EV_IN));
	if (take(&shm->notify, NOTIFY_FUTEX(EV_IN)))
		futex_wake(&shm->seq);
	if (take(&shm->notify, NOTIFY_FD(EV_IN)))
		pollfd_signal(&f->listener_pollfd[listener], EV_IN);
}

/* ---- with the lock held ---- */

bool slot_pop(struct fake *f, uint64_t *ret_word, uint32_t *ret_worker)
{
	for (uint32_t w = 0; f->attached && w < f->cfg.workers; w++) {
		for (uint32_t q = 0; q < NCD_QP_NR; q++) {
			if (ring_pop(&f->sq[w][q], ret_word) == 0) {
				*ret_worker = w;
				return true;
			}
		}
	}
	return false;
}

static uint8_t *ring_memory(struct fake *f, uint32_t bytes)
{
	uint64_t at = f->segment_used;

	if (at + bytes > FAKE_SEGMENT_BYTES)
		at = 0;
	f->segment_used = at + bytes;
	return f->segment + at;
}

void slot_rings(struct fake *f, struct fake_slot s)
{
	struct slot_shm *shm = fake_shm(f, s);
	struct fake_flow *fl = fake_flow(f, s);
	int pollfd = fl->pollfd;

	fake_send_segment(f);
	*fl = (struct fake_flow){ .pollfd = pollfd };
	fl->tx_bytes = fl->rx_bytes = f->cfg.ring_bytes;
	fl->tx = ring_memory(f, fl->tx_bytes);
	fl->rx = ring_memory(f, fl->rx_bytes);
	shm->tx_segment = shm->rx_segment = 1;
	shm->tx_off = (uint64_t)(fl->tx - f->segment);
	shm->rx_off = (uint64_t)(fl->rx - f->segment);
	shm->tx_bytes = shm->rx_bytes = fl->tx_bytes;
	atomic_store(&shm->tx_given, 0);
	atomic_store(&shm->rx_given, 0);
	atomic_store(&shm->tx_most, FAKE_RING_MOST);
	atomic_store(&shm->rx_most, FAKE_RING_MOST);
	shm->local_port = 50000;
	shm->peer_port = shm->open_peer_port;
	memset(shm->local_addr, 0, sizeof(shm->local_addr));
	shm->local_addr[10] = shm->local_addr[11] = 0xff;
	shm->local_addr[12] = 127;
	shm->local_addr[15] = 1;
	atomic_store(&shm->tx_head, 0);
	atomic_store(&shm->rx_tail, 0);
	atomic_store(&shm->rx_base, 0);
	atomic_store(&shm->flags, 0);
	atomic_store(&shm->error, 0);
	atomic_store(&shm->srtt_ns, 12345000);
}

/* The place of the byte at @offset, and how many follow it up to the end of the ring. */
static uint8_t *ring_at(uint8_t *ring, uint32_t bytes, uint64_t base, uint64_t offset,
			size_t *ret_most)
{
	uint32_t at = (uint32_t)(offset - base) & (bytes - 1);

	*ret_most = bytes - at;
	return ring + at;
}

/* The library writes to the ring that was given: the old one is of no use any more. */
static void tx_taken(struct fake *f, struct fake_slot s)
{
	struct fake_flow *fl = fake_flow(f, s);

	if (!fl->next_tx || atomic_load(&fake_shm(f, s)->tx_taken) != fl->tx_taken + 1)
		return;
	fl->tx_taken++;
	memset(fl->tx, '!', fl->tx_bytes);
	fl->tx = fl->next_tx;
	fl->tx_bytes = fl->next_tx_bytes;
	fl->next_tx = NULL;
}

bool slot_may_give_tx(struct fake *f, struct fake_slot s)
{
	tx_taken(f, s);
	return !fake_flow(f, s)->next_tx;
}

bool slot_may_give_rx(struct fake *f, struct fake_slot s)
{
	struct fake_flow *fl = fake_flow(f, s);

	if (atomic_load(&fake_shm(f, s)->rx_taken) != atomic_load(&fake_shm(f, s)->rx_given))
		return false;
	if (fl->old_rx)
		memset(fl->old_rx, '!', fl->old_rx_bytes);
	fl->old_rx = NULL;
	return true;
}

void slot_give_tx(struct fake *f, struct fake_slot s, uint32_t bytes)
{
	struct slot_shm *shm = fake_shm(f, s);
	struct fake_flow *fl = fake_flow(f, s);

	assert_true(slot_may_give_tx(f, s));
	fl->next_tx = ring_memory(f, bytes);
	fl->next_tx_bytes = bytes;
	shm->tx_off = (uint64_t)(fl->next_tx - f->segment);
	shm->tx_bytes = bytes;
	atomic_fetch_add(&shm->tx_given, 1);
	slot_notify(f, s, EV_OUT);
}

void slot_give_rx(struct fake *f, struct fake_slot s, uint32_t bytes)
{
	struct slot_shm *shm = fake_shm(f, s);
	struct fake_flow *fl = fake_flow(f, s);
	uint64_t base = atomic_load(&shm->rx_base), i = atomic_load(&shm->rx_head);

	assert_true(slot_may_give_rx(f, s));
	fl->old_rx = fl->rx;
	fl->old_rx_bytes = fl->rx_bytes;
	fl->rx = ring_memory(f, bytes);
	fl->rx_bytes = bytes;
	for (size_t n, m; i < fl->rx_tail; i += n) {
		uint8_t *from = ring_at(fl->old_rx, fl->old_rx_bytes, base, i, &n);
		uint8_t *to = ring_at(fl->rx, bytes, base, i, &m);

		n = n < m ? n : m;
		n = n < fl->rx_tail - i ? n : (size_t)(fl->rx_tail - i);
		memcpy(to, from, n);
	}
	shm->rx_off = (uint64_t)(fl->rx - f->segment);
	shm->rx_bytes = bytes;
	atomic_fetch_add(&shm->rx_given, 1);
	slot_notify(f, s, EV_IN);
}

void slot_state(struct fake *f, struct fake_slot s, enum slot_state state, uint32_t events)
{
	atomic_store(&fake_shm(f, s)->state, state);
	if (events)
		slot_notify(f, s, events);
	else if (atomic_load(&fake_shm(f, s)->notify) & NOTIFY_FUTEX(EV_ALL))
		futex_wake(&fake_shm(f, s)->seq);
}

void slot_failed(struct fake *f, struct fake_slot s, int error)
{
	atomic_store(&fake_shm(f, s)->error, error);
	slot_state(f, s, SLOT_FAILED, EV_ERR | EV_OUT | EV_IN);
}

struct fake_slot slot_incoming(struct fake *f, uint32_t worker, uint32_t listener)
{
	uint32_t half = f->cfg.slots / 2;
	struct fake_slot s = { worker, half + f->upper++ % half };
	struct slot_shm *shm;

	/* The next one that is free. */
	while (atomic_load(&fake_shm(f, s)->state) != SLOT_FREE)
		s.slot = half + f->upper++ % half;
	shm = fake_shm(f, s);
	atomic_store(&shm->tx_tail, 0);
	atomic_store(&shm->tx_base, 0);
	atomic_store(&shm->rx_head, 0);
	atomic_store(&shm->kick, 0);
	atomic_store(&shm->notify, 0);
	atomic_store(&shm->qp, 0);
	atomic_store(&shm->tx_taken, 0);
	atomic_store(&shm->rx_taken, 0);
	atomic_store(&shm->rx_want, 0);
	slot_rings(f, s);
	memcpy(shm->peer_addr, shm->local_addr, sizeof(shm->peer_addr));
	shm->peer_addr[15] = 2;
	shm->peer_port = 60000;
	shm->listener = listener;
	atomic_store(&shm->state, SLOT_OPEN);
	return s;
}

void slot_announce(struct fake *f, struct fake_slot s, uint32_t listener)
{
	struct ring *r = &f->accept[s.worker][listener];

	assert_int_equal(ring_push(r, s.slot), 0);
	ring_publish(r);
	listener_notify(f, s.worker, listener);
}

/* One piece, up to the end of the ring, to it. */
static size_t put_piece(struct fake_flow *fl, struct slot_shm *shm, const uint8_t *data,
			size_t bytes)
{
	size_t room = fl->rx_bytes - (fl->rx_tail - atomic_load(&shm->rx_head)), most;
	uint8_t *at = ring_at(fl->rx, fl->rx_bytes, atomic_load(&shm->rx_base), fl->rx_tail, &most);

	if (bytes > room)
		bytes = room;
	if (bytes > most)
		bytes = most;
	memcpy(at, data, bytes);
	fl->rx_tail += bytes;
	return bytes;
}

size_t slot_put(struct fake *f, struct fake_slot s, const uint8_t *data, size_t bytes)
{
	struct slot_shm *shm = fake_shm(f, s);
	struct fake_flow *fl = fake_flow(f, s);
	size_t done = 0, n;

	/* A ring found empty is written from its beginning again, now and then. */
	if (fl->rx_tail == atomic_load(&shm->rx_head) && fl->rx_tail % 3 == 1)
		atomic_store(&shm->rx_base, fl->rx_tail);
	while ((n = put_piece(fl, shm, data + done, bytes - done)) > 0)
		done += n;
	atomic_store(&shm->rx_tail, fl->rx_tail);
	if (done > 0)
		slot_notify(f, s, EV_IN);
	return done;
}

size_t slot_take(struct fake *f, struct fake_slot s, uint8_t *buf, size_t bytes)
{
	struct slot_shm *shm = fake_shm(f, s);
	struct fake_flow *fl = fake_flow(f, s);
	uint64_t tail = atomic_load(&shm->tx_tail);
	size_t done = 0;

	tx_taken(f, s);
	assert_true(tail - fl->tx_head <= fl->tx_bytes);
	if (bytes > tail - fl->tx_head)
		bytes = tail - fl->tx_head;
	while (done < bytes) {
		size_t n;
		uint8_t *at = ring_at(fl->tx, fl->tx_bytes, atomic_load(&shm->tx_base), fl->tx_head,
				      &n);

		n = n < bytes - done ? n : bytes - done;
		memcpy(buf + done, at, n);
		fl->tx_head += n;
		done += n;
	}
	atomic_store(&shm->tx_head, fl->tx_head);
	if (done > 0)
		slot_notify(f, s, EV_OUT);
	return done;
}

void slot_flags(struct fake *f, struct fake_slot s, uint32_t flags, uint32_t events)
{
	atomic_fetch_or(&fake_shm(f, s)->flags, flags);
	slot_notify(f, s, events);
}

void slot_free(struct fake *f, struct fake_slot s)
{
	struct fake_flow *fl = fake_flow(f, s);

	if (fl->pollfd >= 0)
		close(fl->pollfd);
	fl->pollfd = -1;
	fl->live = false;
	atomic_store(&fake_shm(f, s)->state, SLOT_FREE);
}

/* ---- for tests ---- */

static bool pop(struct fake *f, uint64_t *ret_word, uint32_t *ret_worker)
{
	bool got;

	pthread_mutex_lock(&f->lock);
	got = slot_pop(f, ret_word, ret_worker);
	if (got && (*ret_word >> 32 & 0xff) == SQ_KICK)
		atomic_exchange(
			&fake_shm(f, (struct fake_slot){ *ret_worker, (uint32_t)*ret_word })->kick,
			0);
	pthread_mutex_unlock(&f->lock);
	return got;
}

struct fake_slot fake_expect_arg(struct fake *f, enum sq_op op, uint32_t *ret_arg)
{
	struct fake_slot s = { 0 };
	uint64_t word = 0;

	FAKE_AWAIT(pop(f, &word, &s.worker));
	assert_int_equal(word >> 32 & 0xff, op);
	s.slot = (uint32_t)word;
	if (ret_arg)
		*ret_arg = (uint32_t)(word >> 40);
	return s;
}

struct fake_slot fake_expect(struct fake *f, enum sq_op op)
{
	return fake_expect_arg(f, op, NULL);
}

bool fake_idle(struct fake *f)
{
	bool idle = true;

	pthread_mutex_lock(&f->lock);
	for (uint32_t w = 0; w < f->cfg.workers; w++)
		for (uint32_t q = 0; q < NCD_QP_NR; q++)
			idle = idle && ring_empty(&f->sq[w][q]);
	pthread_mutex_unlock(&f->lock);
	return idle;
}

uint32_t fake_drain(struct fake *f)
{
	uint32_t nr = 0, worker;
	uint64_t word;

	while (pop(f, &word, &worker))
		nr++;
	return nr;
}

void fake_opening(struct fake *f, struct fake_slot s)
{
	pthread_mutex_lock(&f->lock);
	slot_rings(f, s);
	slot_state(f, s, SLOT_OPENING, 0);
	pthread_mutex_unlock(&f->lock);
}

void fake_open(struct fake *f, struct fake_slot s)
{
	pthread_mutex_lock(&f->lock);
	if (atomic_load(&fake_shm(f, s)->state) == SLOT_FREE)
		slot_rings(f, s);
	slot_state(f, s, SLOT_OPEN, EV_OUT);
	pthread_mutex_unlock(&f->lock);
}

void fake_fail(struct fake *f, struct fake_slot s, int error)
{
	pthread_mutex_lock(&f->lock);
	slot_failed(f, s, error);
	pthread_mutex_unlock(&f->lock);
}

struct fake_slot fake_incoming(struct fake *f, uint32_t worker, uint32_t listener)
{
	struct fake_slot s;

	pthread_mutex_lock(&f->lock);
	s = slot_incoming(f, worker, listener);
	slot_announce(f, s, listener);
	pthread_mutex_unlock(&f->lock);
	return s;
}

bool fake_take_back(struct fake *f, uint32_t worker, uint32_t listener)
{
	struct ring *r = &f->accept[worker][listener];
	uint64_t word;

	pthread_mutex_lock(&f->lock);
	word = ring_claim(r, r->own - 1);
	pthread_mutex_unlock(&f->lock);
	return word != RING_CLAIMED;
}

void fake_token(struct fake *f, uint32_t listener)
{
	pthread_mutex_lock(&f->lock);
	pollfd_signal(&f->listener_pollfd[listener], EV_IN);
	pthread_mutex_unlock(&f->lock);
}

size_t fake_put(struct fake *f, struct fake_slot s, const void *data, size_t bytes)
{
	pthread_mutex_lock(&f->lock);
	bytes = slot_put(f, s, data, bytes);
	pthread_mutex_unlock(&f->lock);
	return bytes;
}

size_t fake_take(struct fake *f, struct fake_slot s, void *buf, size_t bytes)
{
	pthread_mutex_lock(&f->lock);
	bytes = slot_take(f, s, buf, bytes);
	pthread_mutex_unlock(&f->lock);
	return bytes;
}

void fake_give_tx(struct fake *f, struct fake_slot s, uint32_t bytes)
{
	pthread_mutex_lock(&f->lock);
	slot_give_tx(f, s, bytes);
	pthread_mutex_unlock(&f->lock);
}

void fake_give_rx(struct fake *f, struct fake_slot s, uint32_t bytes)
{
	pthread_mutex_lock(&f->lock);
	slot_give_rx(f, s, bytes);
	pthread_mutex_unlock(&f->lock);
}

uint32_t fake_tx_pages(struct fake *f, struct fake_slot s)
{
	static unsigned char in[FAKE_RING_MOST / NCD_PAGE];
	struct fake_flow *fl = fake_flow(f, s);
	uint32_t nr = 0;

	pthread_mutex_lock(&f->lock);
	tx_taken(f, s);
	assert_true(fl->tx_bytes <= FAKE_RING_MOST);
	assert_int_equal(mincore(fl->tx, fl->tx_bytes, in), 0);
	for (uint32_t i = 0; i < fl->tx_bytes / NCD_PAGE; i++)
		nr += in[i] & 1;
	pthread_mutex_unlock(&f->lock);
	return nr;
}

void fake_refuse_rx(struct fake *f, struct fake_slot s)
{
	pthread_mutex_lock(&f->lock);
	atomic_store(&fake_shm(f, s)->rx_most, fake_flow(f, s)->rx_bytes);
	slot_notify(f, s, EV_IN);
	pthread_mutex_unlock(&f->lock);
}

void fake_eof(struct fake *f, struct fake_slot s)
{
	pthread_mutex_lock(&f->lock);
	slot_flags(f, s, SLOT_F_EOF, EV_IN | EV_HUP);
	pthread_mutex_unlock(&f->lock);
}

void fake_reset(struct fake *f, struct fake_slot s, int error)
{
	pthread_mutex_lock(&f->lock);
	atomic_store(&fake_shm(f, s)->error, error);
	slot_flags(f, s, SLOT_F_RESET, EV_ERR | EV_IN | EV_OUT | EV_HUP);
	pthread_mutex_unlock(&f->lock);
}

void fake_tx_done(struct fake *f, struct fake_slot s)
{
	pthread_mutex_lock(&f->lock);
	slot_flags(f, s, SLOT_F_TX_DONE, EV_OUT);
	pthread_mutex_unlock(&f->lock);
}

void fake_free(struct fake *f, struct fake_slot s)
{
	pthread_mutex_lock(&f->lock);
	slot_free(f, s);
	pthread_mutex_unlock(&f->lock);
}

static bool has_wish(struct fake *f, _Atomic uint32_t *notify, uint32_t wish)
{
	bool has;

	pthread_mutex_lock(&f->lock);
	has = (atomic_load(notify) & wish) == wish;
	pthread_mutex_unlock(&f->lock);
	return has;
}

void fake_await_wish(struct fake *f, struct fake_slot s, uint32_t wish)
{
	FAKE_AWAIT(has_wish(f, &fake_shm(f, s)->notify, wish));
}

void fake_await_listener_wish(struct fake *f, uint32_t listener, uint32_t wish)
{
	FAKE_AWAIT(has_wish(f, &fake_listener(f, listener)->notify, wish));
}

void fake_give_way(struct fake *f, uint32_t worker, uint32_t each)
{
	atomic_store(&fake_port(f, worker)->give_way, each);
}

void fake_sleep(struct fake *f, uint32_t worker)
{
	eventfd_t count;

	(void)eventfd_read(f->doorbell[worker], &count); /* empty: as it should be */
	doorbell_arm(&fake_port(f, worker)->need_wakeup);
}

void fake_doze(struct fake *f, uint32_t worker)
{
	fake_sleep(f, worker);
	doorbell_arm_as(&fake_port(f, worker)->need_wakeup, DOORBELL_SOON);
}

bool fake_rung(struct fake *f, uint32_t worker)
{
	eventfd_t count;

	return eventfd_read(f->doorbell[worker], &count) == 0;
}

void fake_await_doorbell(struct fake *f, uint32_t worker)
{
	struct pollfd p = { .fd = f->doorbell[worker], .events = POLLIN };

	assert_int_equal(poll(&p, 1, 30000), 1);
	doorbell_disarm(&fake_port(f, worker)->need_wakeup);
}

void fake_await_qp(struct fake *f, uint32_t qp)
{
	FAKE_AWAIT(atomic_load(&fake_qp(f, qp)->need_wakeup) != 0);
}

void fake_move(struct fake *f, struct fake_slot s, uint64_t tail, uint64_t head)
{
	struct slot_shm *shm;

	pthread_mutex_lock(&f->lock);
	shm = fake_shm(f, s);
	atomic_store(&shm->state, SLOT_MOVING);
	atomic_store(&shm->moved_tail, tail);
	atomic_store(&shm->moved_head, head);
	slot_state(f, s, SLOT_MOVED, EV_IN | EV_OUT);
	pthread_mutex_unlock(&f->lock);
}

/* What is in @from's rx ring from @i on, to @to's, which has room for it. */
static void rx_carry(struct fake *f, struct fake_slot from, struct fake_slot to, uint64_t i)
{
	struct fake_flow *a = fake_flow(f, from), *b = fake_flow(f, to);
	uint64_t base = atomic_load(&fake_shm(f, from)->rx_base);
	uint64_t end = a->rx_tail;

	b->rx_tail = i;
	atomic_store(&fake_shm(f, to)->rx_head, i);
	atomic_store(&fake_shm(f, to)->rx_tail, i);
	for (size_t n; i < end; i += n) {
		uint8_t *at = ring_at(a->rx, a->rx_bytes, base, i, &n);

		n = n < end - i ? n : (size_t)(end - i);
		assert_int_equal(slot_put(f, to, at, n), n);
	}
}

/* The same of the tx ring, up to @end. */
static void tx_carry(struct fake *f, struct fake_slot from, struct fake_slot to, uint64_t end)
{
	struct fake_flow *a = fake_flow(f, from), *b = fake_flow(f, to);
	uint64_t base = atomic_load(&fake_shm(f, from)->tx_base);
	uint64_t i = a->tx_head;

	tx_taken(f, from);
	b->tx_head = i;
	atomic_store(&fake_shm(f, to)->tx_head, i);
	atomic_store(&fake_shm(f, to)->tx_tail, end);
	for (size_t n, m; i < end; i += n) {
		uint8_t *at = ring_at(a->tx, a->tx_bytes, base, i, &n);
		uint8_t *into = ring_at(b->tx, b->tx_bytes, 0, i, &m);

		n = n < m ? n : m;
		n = n < end - i ? n : (size_t)(end - i);
		memcpy(into, at, n);
	}
}

struct fake_slot fake_leave(struct fake *f, struct fake_slot s)
{
	struct fake_slot to;
	struct slot_shm *shm;
	uint64_t tail, head;

	pthread_mutex_lock(&f->lock);
	shm = fake_shm(f, s);
	to = slot_incoming(f, (s.worker + 1) % f->cfg.workers, UINT32_MAX);
	atomic_store(&shm->state, SLOT_MOVING);
	tail = atomic_load(&shm->tx_tail);
	head = atomic_load(&shm->rx_head);
	tx_carry(f, s, to, tail);
	rx_carry(f, s, to, head);
	atomic_store(&shm->moved_tail, tail);
	atomic_store(&shm->moved_head, head);
	if (fake_flow(f, s)->pollfd >= 0)
		fake_flow(f, to)->pollfd = fcntl(fake_flow(f, s)->pollfd, F_DUPFD_CLOEXEC, 0);
	f->take_to = to;
	f->take_end = -1;
	slot_state(f, s, SLOT_MOVED, EV_IN | EV_OUT);
	pthread_mutex_unlock(&f->lock);
	return to;
}

void fake_take_is(struct fake *f, struct fake_slot s)
{
	pthread_mutex_lock(&f->lock);
	f->take_to = s;
	f->take_end = -1;
	pthread_mutex_unlock(&f->lock);
}

void fake_call(struct fake *f, struct fake_slot s, uint32_t flags)
{
	pthread_mutex_lock(&f->lock);
	slot_flags(f, s, flags, EV_IN | EV_OUT);
	pthread_mutex_unlock(&f->lock);
}

struct fake_slot fake_take_next(struct fake *f, uint64_t tail, uint64_t head, int end)
{
	struct fake_slot s;
	struct slot_shm *shm;

	pthread_mutex_lock(&f->lock);
	s = slot_incoming(f, 0, UINT32_MAX);
	shm = fake_shm(f, s);
	atomic_store(&shm->tx_tail, tail);
	atomic_store(&shm->tx_head, tail);
	atomic_store(&shm->rx_head, head);
	atomic_store(&shm->rx_tail, head);
	fake_flow(f, s)->tx_head = tail;
	fake_flow(f, s)->rx_tail = head;
	f->take_to = s;
	f->take_end = end;
	pthread_mutex_unlock(&f->lock);
	return s;
}
