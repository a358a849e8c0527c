/* SPDX-License-Identifier: MIT */
/*
 * worker_rig.h - two hosts in one process for test_worker*.c: a real worker each, joined by
 * loopback TCP links; the test plays control (pump) and the application (app_*), writing the region
 * directly.
 *
 * Ownership: rig_start/rig_stop own everything. Threading: the test's thread, and the two workers.
 */
#ifndef NCD_WORKER_RIG_H
#define NCD_WORKER_RIG_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ncd/doorbell.h"
#include "ncd/ring.h"
#include "ncd/shm_abi.h"

#include "clock.h"
#include "../ncd_test.h"
#include "joint.h"
#include "port.h"
#include "region.h"
#include "worker.h"
#include "worker_cmd.h"

#define RIG_SEGMENTS 32
#define RIG_SLOTS    256u
#ifndef RIG_STREAMS
#define RIG_STREAMS 1024u
#endif
#define RIG_RING     16384u /* what rings begin with */
#ifndef RIG_MOST
#define RIG_MOST (1u << 20) /* and may become */
#endif
#ifndef RIG_REGION
#define RIG_REGION (64u << 20) /* of an application */
#endif
#ifndef RIG_STALL_NS
#define RIG_STALL_NS 0 /* who accepts nothing gets more all the same */
#endif
#ifndef RIG_PORT_HIGH
#define RIG_PORT_HIGH 60999 /* from 32768 on: of streams that are opened */
#endif
#ifndef RIG_IDLE_NS
#define RIG_IDLE_NS 0 /* rings keep their pages */
#endif

struct rig;

struct rig_host {
	struct worker *worker;
	const struct rig *rig;
	int event_fd, doorbell_fd;
	struct address addr;
	struct stats_worker stats;
	struct stats_socket stats_socket[1024];
	/* its one application */
	struct port *port;
	struct region_shm layout;
	struct region_map seg[RIG_SEGMENTS];
	uint32_t segments;
	bool deny;
	bool slow; /* a question for memory is not answered */
	struct ring sq, cq, accept;
	struct port_shm *port_shm;
	struct slot_shm *slot;
	struct rig_ring {
		uint8_t *base;
		uint32_t bytes;
		bool joined;
	} tx[RIG_SLOTS], rx[RIG_SLOTS]; /* the application's rings, by slot */
	struct qp_shm *qp;
	/* what control has heard */
	uint32_t posted, done, dead, bad, gone, drained;
	int result;
	struct worker_cmd back; /* the last command that came back */
	int room;               /* result of the last MOVE_ROOM */
	/* Of each EVT_MOVE_*, from ASKED on, the last one, and how many. */
	struct worker_event move[EVT_MOVE_PORT - EVT_MOVE_ASKED + 1];
	uint32_t moves[EVT_MOVE_PORT - EVT_MOVE_ASKED + 1];
	const char *reason;
};

#define RIG_MORE 2
#define RIG_JOINTS 8

struct rig {
	struct rig_host host[2];
	struct rig_host more[RIG_MORE]; /* other applications of host 1 */
	struct link link[2][4];
	uint32_t links;
	struct joint joint[RIG_JOINTS];
	uint32_t joints, joints_over;
	bool no_joints;
	bool extra; /* host 0 may take the next link away again */
	uint16_t index; /* of each host's worker, which is that of the links' lane */
	bool moves;     /* what the links' peers know */
};

static inline void rig_post(struct rig_host *h, struct worker_cmd *cmd)
{
	struct worker_cmd *copy = malloc(sizeof(*copy));

	assert_non_null(copy);
	*copy = *cmd;
	h->posted++;
	worker_post(h->worker, copy);
}

/* For application @h of @host. */
static inline void rig_segment(struct rig_host *host, struct rig_host *h, uint64_t bytes)
{
	struct worker_cmd cmd = { .type = CMD_SEGMENT_DENIED, .port = h->port };

	if (h->slow)
		return;
	if (!h->deny && h->segments < RIG_SEGMENTS) {
		struct region_map *m = &h->seg[h->segments];

		assert_int_equal(region_map_create("rig", bytes < 4 << 20 ? 4 << 20 : bytes, m), 0);
		cmd.type = CMD_SEGMENT;
		cmd.segment.number = h->segments++;
		cmd.segment.base = m->base;
		cmd.segment.bytes = m->bytes;
		cmd.segment.fd = m->fd;
	}
	rig_post(host, &cmd);
}

/* Whose port it is. */
static inline struct rig_host *rig_app(struct rig *r, struct rig_host *h, const struct port *port)
{
	for (int i = 0; i < RIG_MORE; i++)
		if (port && r->more[i].port == port)
			return &r->more[i];
	return h;
}

/* One for a stream of @host; either end knows it by its place in the rig. */
static inline void rig_joint(struct rig *r, struct rig_host *host, const struct worker_event *ev)
{
	struct worker_cmd cmd = { .type = CMD_JOINT, .port = ev->port };
	struct joint *j = &r->joint[r->joints];

	cmd.joint.reader = ev->reader;
	cmd.joint.stream = ev->stream;
	if (!r->no_joints && r->joints < RIG_JOINTS) {
		assert_int_equal(region_map_create("joint", ev->bytes, &j->map), 0);
		j->number[JOINT_WRITER] = j->number[JOINT_READER] = joint_number(r->joints++, 7);
		cmd.joint.joint = j;
	}
	rig_post(host, &cmd);
}

/* Plays control: takes all events. */
static inline void rig_pump(struct rig *r)
{
	for (int i = 0; i < 2; i++) {
		struct rig_host *h = &r->host[i];
		struct worker_event ev;

		while (worker_event(h->worker, &ev)) {
			switch (ev.type) {
			case EVT_DONE:
				h->done++;
				h->result = ev.cmd->result;
				if (ev.cmd->type != CMD_SEGMENT &&
				    ev.cmd->type != CMD_SEGMENT_DENIED)
					h->back = *ev.cmd; /* the test's */
				if (ev.cmd->type == CMD_MOVE_ROOM)
					h->room = ev.cmd->result;
				free(ev.cmd);
				break;
			case EVT_CHANNEL_DEAD:
				h->dead++;
				h->drained += ev.drained;
				close(ev.link->fd);
				ev.link->fd = -1;
				break;
			case EVT_CLIENT_BAD:
				rig_app(r, h, ev.port)->bad++;
				rig_app(r, h, ev.port)->reason = ev.reason;
				break;
			case EVT_CLIENT_GONE:
				rig_app(r, h, ev.port)->gone++;
				break;
			case EVT_SEGMENT_WANTED:
				rig_segment(h, rig_app(r, h, ev.port), ev.bytes);
				break;
			case EVT_JOINT_WANTED:
				rig_joint(r, h, &ev);
				break;
			case EVT_JOINT_OVER:
				r->joints_over++;
				/* Control frees it. */
				assert_true(!ev.joint->writer && !ev.joint->reader);
				region_unmap(&ev.joint->map);
				break;
			case EVT_MOVE_ASKED:
			case EVT_MOVE_ANSWERED:
			case EVT_MOVE_SETTLED:
			case EVT_MOVE_PORT:
				h->move[ev.type - EVT_MOVE_ASKED] = ev;
				h->moves[ev.type - EVT_MOVE_ASKED]++;
				break;
			case EVT_PEER_LEFT:
			case EVT_PEER_GROWS:
			default:
				break;
			}
		}
	}
}

/* Lets time pass until @cond holds; fails after 60 s. */
#define rig_until(r, cond)                                                                         \
	do {                                                                                       \
		uint64_t give_up = clock_monotonic_ns() + 60000000000ull;                          \
		rig_pump(r);                                                                       \
		while (!(cond)) {                                                                  \
			if (clock_monotonic_ns() > give_up)                                        \
				fail_msg("never: %s", #cond);                                      \
			rig_rest(r);                                                               \
			rig_pump(r);                                                               \
		}                                                                                  \
	} while (0)

/* Gives the core away until control is wanted, or for a moment. */
static inline void rig_rest(struct rig *r)
{
	struct pollfd p[2] = { { .fd = r->host[0].event_fd, .events = POLLIN },
			       { .fd = r->host[1].event_fd, .events = POLLIN } };
	struct timespec t = { .tv_nsec = 50000 };
	eventfd_t n;

	if (ppoll(p, 2, &t, NULL) > 0)
		for (int i = 0; i < 2; i++)
			if (p[i].revents)
				(void)eventfd_read(p[i].fd, &n);
}

static inline void rig_command(struct rig *r, int host, struct worker_cmd *cmd)
{
	struct rig_host *h = &r->host[host];
	uint32_t before;

	rig_pump(r);
	before = h->done;
	rig_post(h, cmd);
	rig_until(r, h->done > before);
}

static inline void rig_tcp_pair(int fd[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	socklen_t len = sizeof(a);

	assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&a, len), 0);
	fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fd[1] >= 0);
	close(listener);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
		assert_int_equal(fcntl(fd[i], F_SETFL, O_NONBLOCK), 0);
	}
}

/* A channel of @class between the two, as number @r->links. */
static inline void rig_link(struct rig *r, enum stream_class class, uint16_t index)
{
	int fd[2];

	rig_tcp_pair(fd);
	for (int i = 0; i < 2; i++) {
		struct link *l = &r->link[i][r->links];
		struct worker_cmd cmd = { .type = CMD_CHANNEL_ADD, .link = l };

		*l = (struct link){ .fd = fd[i], .peer = 1, .class = class, .index = index };
		l->lane = r->index;
		l->moves = r->moves;
		l->extra = r->extra && i == 0;
		rig_command(r, i, &cmd);
		assert_int_equal(r->host[i].result, 0);
	}
	r->links++;
}

static inline struct address rig_address(uint8_t last)
{
	struct address a = { .byte = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = last } };

	return a;
}

/* Application @h is attached to the worker of @host. */
static inline void rig_client_at(struct rig *r, int host, struct rig_host *h)
{
	struct worker_cmd cmd = { .type = CMD_CLIENT_ADD };
	struct port_config cfg = { .worker = 0, .pid = 1, .region_max = RIG_REGION,
				   .joins = true };
	uint8_t *base;

	assert_int_equal(region_create(1, RIG_SLOTS, 0, &h->layout, &h->seg[0]), 0);
	h->rig = r;
	h->segments = 1;
	h->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cfg.segment0 = h->seg[0].base;
	cfg.segment0_bytes = h->seg[0].bytes;
	cfg.layout = &h->layout;
	cfg.doorbell_fd = dup(h->doorbell_fd);
	h->port = port_create(&cfg);
	assert_non_null(h->port);
	base = h->seg[0].base + h->layout.port_off;
	h->port_shm = (void *)base;
	h->slot = (void *)(base + h->layout.slot_off);
	h->qp = (void *)(h->seg[0].base + h->layout.qp_off);
	ring_init(&h->sq, base + h->layout.sq_off, NCD_SQ_ENTRIES);
	ring_init(&h->cq, base + h->layout.cq_off, NCD_CQ_ENTRIES);
	ring_init(&h->accept, base + h->layout.accept_off, NCD_BACKLOG_MAX);
	cmd.port = h->port;
	rig_command(r, host, &cmd);
	assert_int_equal(r->host[host].result, 0);
}

static inline void rig_client(struct rig *r, int host)
{
	rig_client_at(r, host, &r->host[host]);
}

/* One more on host 1; rig_stop takes it away. */
static inline struct rig_host *rig_more(struct rig *r, int i)
{
	r->more[i].worker = r->host[1].worker;
	r->more[i].addr = r->host[1].addr;
	rig_client_at(r, 1, &r->more[i]);
	return &r->more[i];
}

/* Each host's worker @index; @carriers, by host: how its workers reach each other; NULL: alone. */
static inline void rig_start_as(struct rig *r, enum io_choice io, uint32_t spin_us,
				uint64_t hold_ns, uint16_t index, struct carriers *carriers[2])
{
	memset(r, 0, sizeof(*r));
	r->index = index;
	r->moves = carriers != NULL;
	for (int i = 0; i < 2; i++) {
		struct rig_host *h = &r->host[i];
		struct worker_config cfg = {
			.cpu = -1,
			.io = io,
			.spin_us = spin_us,
			.slice_us = 100,
			.stall_ns = RIG_STALL_NS,
			.hold_ns = hold_ns,
			.engine = { .streams = RIG_STREAMS,
				    .channels = 16,
				    .listeners = 64,
				    .frame_bytes = 256u << 10,
				    .throughput = 1,
				    .throughput_max = 3,
				    .look_ns = 10000000,
				    .seed = 7 + (uint64_t)i,
				    .ack_delay_ns = 200000,
				    .ping_idle_ns = 1000000000,
				    .ping_dead_ns = 10000000000,
				    .unreachable_ns = 5000000000,
				    .orphan_ns =
					    1000000000, /* a killed client is gone only after it */
				    .port_low = 32768,
				    .port_high = RIG_PORT_HIGH },
			.index = index,
			.carriers = carriers ? carriers[i] : NULL,
			.ring_send_bytes = RIG_MOST,
			.ring_receive_bytes = RIG_MOST,
			.ring_initial_bytes = RIG_RING,
			.idle_ns = RIG_IDLE_NS,
			.stats = &h->stats,
			.stats_socket = h->stats_socket,
		};

		h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_int_equal(worker_start(&cfg, h->event_fd, &h->worker), 0);
		h->addr = rig_address((uint8_t)(i + 1));
	}
	for (int i = 0; i < 2; i++) {
		struct worker_cmd cmd = { .type = CMD_PEER_SET };

		for (uint32_t peer = 0; peer < 2; peer++) {
			cmd.peer.index = peer;
			cmd.peer.addr_nr = 1;
			cmd.peer.addr[0] = r->host[peer == 0 ? i : 1 - i].addr;
			rig_command(r, i, &cmd);
		}
		rig_client(r, i);
	}
	rig_link(r, CLASS_LATENCY, 0);
	rig_link(r, CLASS_THROUGHPUT, 0);
}

static inline void rig_start_holding(struct rig *r, enum io_choice io, uint32_t spin_us,
				     uint64_t hold_ns)
{
	rig_start_as(r, io, spin_us, hold_ns, 0, NULL);
}

static inline void rig_start(struct rig *r, enum io_choice io, uint32_t spin_us)
{
	rig_start_holding(r, io, spin_us, 1000000);
}

static inline void rig_remove_client(struct rig *r, int host)
{
	struct worker_cmd cmd = { .type = CMD_CLIENT_REMOVE, .port = r->host[host].port };

	rig_command(r, host, &cmd);
	rig_until(r, r->host[host].gone == 1);
}

static inline void rig_stop(struct rig *r)
{
	rig_until(r, r->host[0].done == r->host[0].posted &&
			     r->host[1].done == r->host[1].posted + r->more[0].posted);
	for (int i = 0; i < 2; i++) {
		struct rig_host *h = &r->host[i];

		worker_stop(h->worker);
		port_destroy(h->port);
		for (uint32_t k = 0; k < h->segments; k++)
			region_unmap(&h->seg[k]);
		close(h->event_fd);
		close(h->doorbell_fd);
	}
	for (int i = 0; i < RIG_MORE && r->more[i].port; i++) {
		port_destroy(r->more[i].port);
		for (uint32_t k = 0; k < r->more[i].segments; k++)
			region_unmap(&r->more[i].seg[k]);
		close(r->more[i].doorbell_fd);
	}
	for (uint32_t i = 0; i < r->joints; i++)
		region_unmap(&r->joint[i].map);
	for (int i = 0; i < 2; i++)
		for (uint32_t k = 0; k < r->links; k++)
			if (r->link[i][k].fd >= 0)
				close(r->link[i][k].fd);
}

/* Both, with memory for it. */
static inline struct rig *rig_new(enum io_choice io, uint32_t spin_us)
{
	struct rig *r = malloc(sizeof(*r));

	rig_start(r, io, spin_us);
	return r;
}

static inline void rig_free(struct rig *r)
{
	rig_stop(r);
	free(r);
}

/* ---- the application ---- */

static inline void app_submit(struct rig_host *h, uint64_t word)
{
	while (ring_push(&h->sq, word) == -EAGAIN)
		;
	ring_publish(&h->sq);
	if (doorbell_due(&h->port_shm->need_wakeup))
		(void)eventfd_write(h->doorbell_fd, 1);
}

static inline void app_kick(struct rig_host *h, uint32_t slot)
{
	/* KICK, app end. */
	if (atomic_exchange_explicit(&h->slot[slot].kick, 1, memory_order_acq_rel) == 0)
		app_submit(h, sq_word(SQ_KICK, slot, 0));
}

static inline uint32_t app_state(const struct rig_host *h, uint32_t slot)
{
	/* STATE, app end. */
	return atomic_load_explicit(&h->slot[slot].state, memory_order_acquire);
}

static inline uint32_t app_flags(const struct rig_host *h, uint32_t slot)
{
	return atomic_load(&h->slot[slot].flags);
}

/* Posts SQ_OPEN of a lower slot. */
static inline void app_open(struct rig_host *h, uint32_t slot, struct address to, uint16_t port,
			    uint32_t ring_bytes_wanted)
{
	struct slot_shm *s = &h->slot[slot];

	atomic_store(&s->tx_tail, 0);
	atomic_store(&s->tx_base, 0);
	atomic_store(&s->rx_head, 0);
	atomic_store(&s->kick, 0);
	atomic_store(&s->notify, 0);
	atomic_store(&s->tx_taken, 0);
	atomic_store(&s->rx_taken, 0);
	atomic_store(&s->rx_want, 0);
	h->tx[slot].base = h->rx[slot].base = NULL;
	memset(s->local_addr, 0, 16);
	memcpy(s->peer_addr, to.byte, 16);
	s->open_local_port = 0;
	s->open_peer_port = port;
	s->open_tx_bytes = s->open_rx_bytes = ring_bytes_wanted;
	s->open_class = 0;
	s->open_flags = 0;
	app_submit(h, sq_word(SQ_OPEN, slot, 0));
}

static inline int app_listen(struct rig *r, int host, uint16_t port, uint32_t backlog)
{
	struct worker_cmd cmd = { .type = CMD_LISTEN, .port = r->host[host].port };

	cmd.listen.port = port;
	cmd.listen.backlog = backlog;
	rig_command(r, host, &cmd);
	return r->host[host].result;
}

/* The slot of the next stream to accept, or -EAGAIN. */
static inline int app_accept(struct rig_host *h)
{
	uint64_t word;
	int ret = ring_pop_claim(&h->accept, &word);

	if (ret == 0)
		h->tx[word].base = h->rx[word].base = NULL;
	return ret < 0 ? ret : (int)word;
}

/* The byte at @offset of a stream with @seed. */
static inline uint8_t app_byte(uint32_t seed, uint64_t offset)
{
	return (uint8_t)((offset * 0x9e3779b97f4a7c15ull + seed * 0xd1b54a32d192ed03ull) >> 32);
}

/* Where a joined ring is; NULL: @segment is none. */
static inline uint8_t *rig_joint_base(const struct rig_host *h, uint32_t segment)
{
	return segment & JOINT_FLAG ? h->rig->joint[joint_index(segment)].map.base : NULL;
}

static inline struct rig_ring app_tx_place(struct rig_host *h, uint32_t slot)
{
	struct slot_shm *s = &h->slot[slot];
	uint8_t *joint = rig_joint_base(h, s->tx_segment);

	if (joint)
		return (struct rig_ring){ joint, s->tx_bytes, true };

	return (struct rig_ring){ h->seg[s->tx_segment].base + s->tx_off, s->tx_bytes, false };
}

static inline struct rig_ring app_rx_place(struct rig_host *h, uint32_t slot)
{
	struct slot_shm *s = &h->slot[slot];
	uint8_t *joint = rig_joint_base(h, s->rx_segment);

	if (joint)
		return (struct rig_ring){ joint, s->rx_bytes, true };
	return (struct rig_ring){ h->seg[s->rx_segment].base + s->rx_off, s->rx_bytes, false };
}

/* Within a host the worker may be copying the same bytes to the same places of a joined ring. */
#ifdef __SANITIZE_THREAD__
__attribute__((no_sanitize("thread"), noinline))
#endif
static void rig_carry(struct rig_ring to, uint64_t to_base, struct rig_ring from,
		      uint64_t from_base, uint64_t head, uint64_t tail)
{
	for (uint64_t i = head; i < tail; i++)
		to.base[(i - to_base) & (to.bytes - 1)] =
			from.base[(i - from_base) & (from.bytes - 1)];
}

/* Takes a tx ring that is given, as the library does: with what is not acknowledged. */
static inline void app_take_tx(struct rig_host *h, uint32_t slot)
{
	struct slot_shm *s = &h->slot[slot];
	/* GIVEN, app end. */
	uint32_t given = atomic_load_explicit(&s->tx_given, memory_order_acquire);
	uint64_t tail = atomic_load(&s->tx_tail), base = atomic_load(&s->tx_base);
	struct rig_ring *old = &h->tx[slot], ring;

	if (!old->base)
		*old = app_tx_place(h, slot);
	if (given == atomic_load(&s->tx_taken))
		return;
	ring = app_tx_place(h, slot);
	rig_carry(ring, ring.joined || old->joined ? 0 : base, *old, old->joined ? 0 : base,
		  atomic_load(&s->tx_head), tail);
	if (old->joined)
		atomic_store(&s->tx_base, 0);
	*old = ring;
	/* TAKEN, app end. */
	atomic_store_explicit(&s->tx_taken, given, memory_order_release);
}

/* Goes on in the rx ring that the worker receives to. */
static inline void app_follow_rx(struct rig_host *h, uint32_t slot)
{
	struct slot_shm *s = &h->slot[slot];
	/* GIVEN, app end. */
	uint32_t given = atomic_load_explicit(&s->rx_given, memory_order_acquire);

	if (h->rx[slot].base && given == atomic_load(&s->rx_taken))
		return;
	h->rx[slot] = app_rx_place(h, slot);
	/* TAKEN, app end: all that follows is read from the new one. */
	atomic_store_explicit(&s->rx_taken, given, memory_order_release);
}

/* Writes what fits of [tail, limit). Returns the new tail. */
static inline uint64_t app_write(struct rig_host *h, uint32_t slot, uint32_t seed, uint64_t limit)
{
	struct slot_shm *s = &h->slot[slot];
	uint64_t tail = atomic_load(&s->tx_tail), base;
	struct rig_ring *ring = &h->tx[slot];
	uint64_t room, end;

	app_take_tx(h, slot);
	base = ring->joined ? 0 : atomic_load(&s->tx_base);
	room = ring->bytes - (tail - atomic_load(ring->joined ? &s->tx_read : &s->tx_head));
	end = limit < tail + room ? limit : tail + room;
	if (end == tail)
		return tail;
	for (uint64_t i = tail; i < end; i++)
		ring->base[(i - base) & (ring->bytes - 1)] = app_byte(seed, i);
	/* TXBYTES, app end. */
	atomic_store_explicit(&s->tx_tail, end, memory_order_release);
	app_kick(h, slot);
	return end;
}

/* Reads and checks what is there. Returns the new head. */
static inline uint64_t app_read(struct rig_host *h, uint32_t slot, uint32_t seed)
{
	struct slot_shm *s = &h->slot[slot];
	const struct rig_ring *ring = &h->rx[slot];
	uint64_t head = atomic_load(&s->rx_head);
	/* RXBYTES, app end. */
	uint64_t tail = atomic_load_explicit(&s->rx_tail, memory_order_acquire);
	uint64_t base;

	if (tail == head)
		return head;
	app_follow_rx(h, slot);
	base = ring->joined ? 0 : atomic_load(&s->rx_base);
	for (uint64_t i = head; i < tail; i++)
		if (ring->base[(i - base) & (ring->bytes - 1)] != app_byte(seed, i))
			fail_msg("byte %llu is wrong", (unsigned long long)i);
	/* RXSPACE, app end. */
	atomic_store_explicit(&s->rx_head, tail, memory_order_release);
	app_kick(h, slot);
	return tail;
}

static inline void app_shutdown(struct rig_host *h, uint32_t slot)
{
	app_submit(h, sq_word(SQ_SHUTDOWN, slot, 0));
}

static inline void app_close(struct rig_host *h, uint32_t slot, uint32_t how)
{
	app_submit(h, sq_word(SQ_CLOSE, slot, how));
}

/* Connects host 0's @slot to host 1's port; returns the accepted slot. */
static inline uint32_t rig_connect(struct rig *r, uint32_t slot, uint16_t port)
{
	int accepted = -EAGAIN;

	app_open(&r->host[0], slot, r->host[1].addr, port, 0);
	rig_until(r, app_state(&r->host[0], slot) == SLOT_OPEN);
	rig_until(r, (accepted = app_accept(&r->host[1])) >= 0);
	return (uint32_t)accepted;
}

/* Moves the bytes of host 0's slot @a, which seeds them, to host 1's @b, up to offset @to. */
static inline void rig_transfer(struct rig *r, uint32_t a, uint32_t b, uint64_t to)
{
	rig_until(r, ({
			  (void)app_write(&r->host[0], a, a, to);
			  app_read(&r->host[1], b, a) == to;
		  }));
}

/* A rig of its own for a test, whose @state says whether it is for epoll; host 1 listens at 80. */
static inline struct rig *rig_of(void **state)
{
	struct rig *r = rig_new(*state ? IO_EPOLL : IO_URING, 50);

	assert_int_equal(app_listen(r, 1, 80, 64), 0);
	return r;
}

/* A test, with io_uring and with epoll. */
#define RIG_BOTH(test) cmocka_unit_test(test), { #test "_epoll", test, NULL, NULL, &(int){ 1 } }

#endif /* NCD_WORKER_RIG_H */
