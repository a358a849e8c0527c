/* SPDX-License-Identifier: MIT */
/*
 * measure_worker.c - what the steps of a worker's turn cost, by number of sockets: prints costs.
 *
 *   measure_worker CORE
 *
 * Two workers of the daemon, joined by a TCP connection of loopback, without threads: this program
 * takes their turns, and in what is measured each step of a turn by itself. It writes the regions
 * as an application would. Round trips of 64 bytes go over all sockets in order, in batches.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "ncd/shm_abi.h"

#include "cost.h"
#include "port.h"
#include "region.h"
#include "sample.h"
#include "tcp_pair.h"

/* For its turn and what makes one: then the linker leaves the other in its archive. */
#include "../../daemon/worker.c"

#define SEGMENTS 64u
#define RING     (16u << 10) /* [buffers] initial */
#define REGION   (4ull << 30)
#define PORT     80
#define BATCH    128u
#define BATCHES  600u /* measured; each of the sockets at least once more before */
#define MESSAGE  64u

struct place {
	uint8_t *tx, *rx;
};

struct host {
	struct worker *w;
	int event_fd;
	struct stats_worker stats;
	struct link link;
	struct address addr;
	struct port *port;
	struct region_shm layout;
	struct region_map seg[SEGMENTS];
	uint32_t segments;
	struct ring sq, cq, accept;
	struct slot_shm *slot;
	uint32_t *slot_of;   /* by number of the socket */
	struct place *place; /* by slot */
	struct sample submit, tx, rx, deliver;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "measure_worker: %s\n", what);
	exit(1);
}

/* ---- control ---- */

static void segment(struct host *h, struct port *port, uint64_t bytes)
{
	struct worker_cmd *cmd = calloc(1, sizeof(*cmd));
	struct region_map *m = &h->seg[h->segments];

	if (!cmd || h->segments == SEGMENTS ||
	    region_map_create("scale", bytes < 64 << 20 ? 64 << 20 : bytes, m) < 0)
		die("no memory for rings");
	cmd->type = CMD_SEGMENT;
	cmd->port = port;
	cmd->segment.number = h->segments++;
	cmd->segment.base = m->base;
	cmd->segment.bytes = m->bytes;
	cmd->segment.fd = m->fd;
	worker_post(h->w, cmd);
}

static void turn(struct host *h)
{
	struct worker_event ev;

	(void)worker_turn(h->w); /* how much it did */
	while (worker_event(h->w, &ev)) {
		if (ev.type == EVT_DONE) {
			if (ev.cmd->result < 0)
				die("a command of a worker fails");
			free(ev.cmd);
		} else if (ev.type == EVT_SEGMENT_WANTED) {
			segment(h, ev.port, ev.bytes);
		} else {
			die("something ended");
		}
	}
}

static void command(struct host *h, const struct worker_cmd *cmd)
{
	struct worker_cmd *copy = malloc(sizeof(*copy));

	if (!copy)
		die("no memory");
	*copy = *cmd;
	worker_post(h->w, copy);
	turn(h);
}

static struct worker *make_worker(struct host *h, uint32_t streams)
{
	struct worker *w = pin_alloc(sizeof(*w), -1);

	if (!w)
		die("no memory");
	w->cfg = (struct worker_config){
		.cpu = -1,
		.io = IO_EPOLL,
		.engine = { .streams = streams,
			    .channels = 4 + IO_RANKS,
			    .listeners = 4,
			    .frame_bytes = 512u << 10,
			    .throughput = 1,
			    .throughput_max = 1,
			    .seed = 7,
			    .ack_delay_ns = 10000000,
			    .ping_idle_ns = 5000000000,
			    .ping_dead_ns = 15000000000,
			    .unreachable_ns = 30000000000,
			    .orphan_ns = 60000000000,
			    .rebase = true,
			    .port_low = 32768,
			    .port_high = 60999 },
		.ring_send_bytes = RING,
		.ring_receive_bytes = RING,
		.ring_initial_bytes = RING,
		.stats = &h->stats,
	};
	w->self = pthread_self();
	w->cfg.stats_socket = calloc(streams, sizeof(*w->cfg.stats_socket));
	h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!w->cfg.stats_socket || worker_alloc(w, h->event_fd) < 0 || worker_set_up(w) < 0)
		die("no worker");
	return w;
}

static void attach(struct host *h, uint32_t slots)
{
	struct worker_cmd cmd = { .type = CMD_CLIENT_ADD };
	struct port_config cfg = { .pid = 1, .region_max = REGION, .layout = &h->layout };
	uint8_t *base;

	if (region_create(1, slots, 0, &h->layout, &h->seg[0]) < 0)
		die("no region");
	h->segments = 1;
	cfg.segment0 = h->seg[0].base;
	cfg.segment0_bytes = h->seg[0].bytes;
	cfg.doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->port = port_create(&cfg);
	if (!h->port)
		die("no port");
	base = h->seg[0].base + h->layout.port_off;
	h->slot = (void *)(base + h->layout.slot_off);
	ring_init(&h->sq, base + h->layout.sq_off, NCD_SQ_ENTRIES);
	ring_init(&h->cq, base + h->layout.cq_off, NCD_CQ_ENTRIES);
	ring_init(&h->accept, base + h->layout.accept_off, NCD_BACKLOG_MAX);
	h->slot_of = calloc(slots, sizeof(*h->slot_of));
	h->place = calloc(slots, sizeof(*h->place));
	if (!h->slot_of || !h->place)
		die("no memory");
	cmd.port = h->port;
	command(h, &cmd);
}

static void set_up(struct host h[2], uint32_t slots)
{
	int fd[2];

	if (!tcp_pair(fd))
		die("no TCP connection");
	for (uint32_t i = 0; i < 2; i++) {
		h[i].w = make_worker(&h[i], slots);
		h[i].addr = (struct address){
			.byte = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(i + 1) }
		};
	}
	for (uint32_t i = 0; i < 2; i++) {
		struct worker_cmd cmd = { .type = CMD_PEER_SET };

		for (uint32_t peer = 0; peer < 2; peer++) {
			cmd.peer.index = peer;
			cmd.peer.addr_nr = 1;
			cmd.peer.addr[0] = h[peer ? !i : i].addr;
			command(&h[i], &cmd);
		}
		attach(&h[i], slots);
		h[i].link = (struct link){ .fd = fd[i], .peer = 1, .class = CLASS_LATENCY };
		cmd = (struct worker_cmd){ .type = CMD_CHANNEL_ADD, .link = &h[i].link };
		command(&h[i], &cmd);
	}
}

static void tear_down(struct host *h)
{
	struct worker *w = h->w;

	io_destroy(w->io);
	free(w->cfg.stats_socket);
	worker_free(w);
	port_destroy(h->port);
	close(h->event_fd);
	close(h->link.fd);
	for (uint32_t i = 0; i < h->segments; i++)
		region_unmap(&h->seg[i]);
	free(h->slot_of);
	free(h->place);
}

/* ---- the applications ---- */

/* Nobody rings here, and a port that is quiet for a while would no longer be looked at. */
static void post(struct host *h, uint64_t word)
{
	port_activate(h->w, h->port);
	while (ring_push(&h->sq, word) == -EAGAIN)
		turn(h);
	ring_publish(&h->sq);
}

static void open_socket(struct host *h, uint32_t slot, const struct address *to)
{
	struct slot_shm *s = &h->slot[slot];

	memcpy(s->peer_addr, to->byte, sizeof(s->peer_addr));
	s->open_peer_port = PORT;
	post(h, sq_word(SQ_OPEN, slot, 0));
}

/* Where its rings are; and its application waits. */
static void find_rings(struct host *h, uint32_t slot)
{
	struct slot_shm *s = &h->slot[slot];

	/* Relaxed: one thread. */
	atomic_store_explicit(&s->notify, NOTIFY_CQ(EV_IN), memory_order_relaxed);
	h->place[slot].tx = h->seg[s->tx_segment].base + s->tx_off;
	h->place[slot].rx = h->seg[s->rx_segment].base + s->rx_off;
}

static void connect_all(struct host h[2], uint32_t nr)
{
	struct worker_cmd cmd = { .type = CMD_LISTEN, .port = h[1].port };
	uint32_t opened = 0, accepted = 0;
	uint64_t word;

	cmd.listen.port = PORT;
	cmd.listen.backlog = NCD_BACKLOG_MAX;
	command(&h[1], &cmd);
	while (accepted < nr) {
		for (uint32_t i = 0; i < BATCH && opened < nr; i++, opened++)
			open_socket(&h[0], opened, &h[1].addr);
		turn(&h[0]);
		turn(&h[1]);
		while (ring_pop_claim(&h[1].accept, &word) == 0)
			h[1].slot_of[accepted++] = (uint32_t)word;
	}
	for (uint32_t i = 0; i < nr; i++) {
		/* STATE, app end. */
		while (atomic_load_explicit(&h[0].slot[i].state, memory_order_acquire) !=
		       SLOT_OPEN) {
			turn(&h[0]);
			turn(&h[1]);
		}
		h[0].slot_of[i] = i;
		find_rings(&h[0], i);
		find_rings(&h[1], h[1].slot_of[i]);
	}
}

static void put(struct host *h, uint32_t socket)
{
	uint32_t nr = h->slot_of[socket];
	struct slot_shm *s = &h->slot[nr];
	/* Relaxed, all: one thread. */
	uint64_t tail = atomic_load_explicit(&s->tx_tail, memory_order_relaxed);

	memset(h->place[nr].tx + (tail & (RING - 1)), (int)socket, MESSAGE);
	atomic_store_explicit(&s->tx_tail, tail + MESSAGE, memory_order_relaxed);
	atomic_store_explicit(&s->notify, NOTIFY_CQ(EV_IN), memory_order_relaxed);
	atomic_store_explicit(&s->kick, 1, memory_order_relaxed);
	post(h, sq_word(SQ_KICK, nr, 0));
}

static void get(struct host *h, uint32_t slot)
{
	struct slot_shm *s = &h->slot[slot];
	/* Relaxed, both: one thread. */
	uint64_t tail = atomic_load_explicit(&s->rx_tail, memory_order_relaxed);

	atomic_store_explicit(&s->rx_head, tail, memory_order_relaxed);
}

/* ---- one way of a batch, step by step ---- */

static uint64_t send_frames(struct host *h)
{
	struct channel *c = h->link.channel;
	uint64_t spent_ns = 0;

	while (engine_channel_wants_tx(c)) {
		uint64_t begin = sample_now_ns();
		const struct iovec *iov;
		struct msghdr msg;
		ssize_t n;

		msg = (struct msghdr){ .msg_iovlen = (size_t)engine_tx_iov(h->w->engine, c,
									   h->w->now_ns, &iov) };
		spent_ns += sample_now_ns() - begin;
		msg.msg_iov = (struct iovec *)(uintptr_t)iov;
		n = msg.msg_iovlen ? sendmsg(h->link.fd, &msg, MSG_NOSIGNAL) : 0;
		if (n < 0)
			die("sendmsg");
		begin = sample_now_ns();
		engine_sent(h->w->engine, c, (size_t)n, h->w->now_ns);
		spent_ns += sample_now_ns() - begin;
	}
	return spent_ns;
}

static uint64_t receive_frames(struct host *h)
{
	struct channel *c = h->link.channel;
	uint64_t spent_ns = 0;

	for (;;) {
		uint64_t begin = sample_now_ns();
		const struct iovec *iov;
		struct msghdr msg;
		ssize_t n;

		msg = (struct msghdr){ .msg_iovlen = (size_t)engine_rx_iov(h->w->engine, c, &iov) };
		spent_ns += sample_now_ns() - begin;
		msg.msg_iov = (struct iovec *)(uintptr_t)iov;
		n = recvmsg(h->link.fd, &msg, MSG_DONTWAIT);
		if (n <= 0)
			return spent_ns;
		begin = sample_now_ns();
		if (engine_received(h->w->engine, c, (size_t)n, h->w->now_ns) < 0)
			die(engine_channel_error(c));
		spent_ns += sample_now_ns() - begin;
	}
}

/* Requests, or answers, of @nr sockets from @first on; what comes is taken. */
static void one_way(struct host *from, struct host *to, uint32_t first, uint32_t nr, double clock)
{
	uint64_t begin, spent_ns, word;
	uint32_t got = 0;

	for (uint32_t i = 0; i < nr; i++)
		put(from, first + i);
	from->w->now_ns = to->w->now_ns = clock_monotonic_ns();
	begin = sample_now_ns();
	for (uint32_t did = 0; did < nr;)
		did += ports_submit(from->w);
	sample_add(&from->submit, ((double)(sample_now_ns() - begin) - clock) / nr);
	spent_ns = send_frames(from);
	sample_add(&from->tx, ((double)spent_ns - 2 * clock) / nr);
	spent_ns = receive_frames(to);
	sample_add(&to->rx, ((double)spent_ns - 3 * clock) / nr);
	begin = sample_now_ns();
	(void)ports_deliver(to->w); /* what came is counted below */
	(void)ports_wake(to->w);
	sample_add(&to->deliver, ((double)(sample_now_ns() - begin) - clock) / nr);
	while (ring_pop(&to->cq, &word) == 0) {
		get(to, (uint32_t)word);
		got++;
	}
	if (got != nr)
		die("a message is missing");
}

static double middle(struct sample *a, struct sample *b)
{
	return (sample_median(a) + sample_median(b)) / 2;
}

static void measure(uint32_t nr, double clock, struct costs *into)
{
	uint32_t batch = nr < BATCH ? nr : BATCH, first = 0;
	uint32_t warm = nr / batch + 1, slots = 2;
	struct host *h = calloc(2, sizeof(*h));

	/* Each half of the slots is for one way of opening. */
	while (slots < 2 * nr)
		slots *= 2;
	if (!h)
		die("no memory");
	set_up(h, slots);
	connect_all(h, nr);
	for (uint32_t i = 0; i < warm + BATCHES; i++) {
		if (i == warm)
			for (uint32_t k = 0; k < 2; k++)
				h[k].submit.nr = h[k].tx.nr = h[k].rx.nr = h[k].deliver.nr = 0;
		one_way(&h[0], &h[1], first, batch, clock);
		one_way(&h[1], &h[0], first, batch, clock);
		first = first + 2 * batch > nr ? 0 : first + batch;
	}
	(void)cost_add(into, COST_SUBMIT, nr, middle(&h[0].submit, &h[1].submit)); /* one of few */
	(void)cost_add(into, COST_FRAME_TX, nr, middle(&h[0].tx, &h[1].tx));
	(void)cost_add(into, COST_FRAME_RX, nr, middle(&h[0].rx, &h[1].rx));
	(void)cost_add(into, COST_DELIVER, nr, middle(&h[0].deliver, &h[1].deliver));
	if (into->nr[COST_TURN] == 0) {
		struct sample *s = calloc(1, sizeof(*s));

		for (uint32_t i = 0; s && i < 2 * BATCHES; i++) {
			uint64_t begin = sample_now_ns();

			for (uint32_t k = 0; k < 8; k++)
				(void)worker_turn(h[0].w); /* nothing to do */
			sample_add(s, (double)(sample_now_ns() - begin) / 8);
		}
		(void)cost_add(into, COST_TURN, 0, s ? sample_median(s) : 0);
		free(s);
	}
	for (uint32_t k = 0; k < 2; k++)
		tear_down(&h[k]);
	free(h);
}

int main(int argc, char **argv)
{
	static const uint32_t sockets[] = { 64, 512, 4096, 32768 };
	struct costs c = { .nr = { 0 } };

	if (argc != 2) {
		fputs("usage: measure_worker CORE\n", stderr);
		return 2;
	}
	if (sample_pin((int)strtol(argv[1], NULL, 10)) < 0)
		die("cannot be on that core");
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++)
		measure(sockets[i], sample_clock_ns(), &c);
	for (uint32_t i = 0; i < COST_NR; i++)
		for (uint32_t k = 0; k < c.nr[i]; k++)
			cost_print(stdout, (enum cost)i, c.at[i][k].sockets, c.at[i][k].ns);
	return 0;
}
