/* SPDX-License-Identifier: MIT */
/*
 * hostile.c - an application that keeps no rule of the shared memory. It attaches by itself, opens
 * streams and listens as a good one would, then writes random words over all it shares with the
 * daemon and rings its doorbells. Thrown out, it comes back, for so many rounds.
 *
 *   hostile SEED ROUNDS ADDRESS PORT     streams go to that IPv4 address and port
 *
 * Prints how often it attached. Exits with 0 if the daemon let it attach until the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ncd/copy_abi.h"
#include "ncd/ctl_proto.h"
#include "ncd/ring.h"
#include "ncd/shm_abi.h"

#define STREAMS      12u
#define WORDS_A_TURN 64u
#define OWN_BYTES    (1u << 20)
#define OWN_ALONE    (1ull << 30)
#define FDS_MAX      (1 + NCD_WORKERS_MAX + NCD_COPY_WORKERS_MAX)

struct memory {
	uint64_t *word;
	uint64_t bytes;
};

struct hostile {
	uint64_t random;
	uint8_t addr[16];
	uint16_t port;
	int ctl;
	int bell[NCD_WORKERS_MAX + NCD_COPY_WORKERS_MAX];
	uint32_t workers, bells;
	struct region_shm layout; /* as it was before we wrote over it */
	struct memory memory[NCD_SEGMENTS_MAX];
	uint32_t memory_nr;
	uint8_t *own; /* what copy workers may write to, with nothing near it */
	unsigned long attached, thrown_out;
};

/* splitmix64 */
static uint64_t next(struct hostile *h)
{
	uint64_t z = h->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void leave(struct hostile *h)
{
	for (uint32_t i = 0; i < h->memory_nr; i++)
		(void)munmap(h->memory[i].word, h->memory[i].bytes);
	for (uint32_t i = 0; i < h->bells; i++)
		(void)close(h->bell[i]);
	if (h->ctl >= 0)
		(void)close(h->ctl);
	h->memory_nr = h->workers = h->bells = 0;
	h->ctl = -1;
}

static int map(struct hostile *h, int fd, uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	(void)close(fd);
	if (p == MAP_FAILED || h->memory_nr == NCD_SEGMENTS_MAX)
		return -ENOMEM;
	h->memory[h->memory_nr++] = (struct memory){ p, bytes };
	return 0;
}

/* Receives one message. Returns its type, 0 if none is there, or a negative errno: thrown out. */
static int receive(struct hostile *h, union ctl_message *m, int flags)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct iovec iov = { m, sizeof(*m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fd[FDS_MAX], nr = 0;
	struct cmsghdr *c;
	ssize_t n = recvmsg(h->ctl, &msg, flags);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < (ssize_t)sizeof(m->head))
		return n < 0 ? -errno : -ECONNRESET;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		nr = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fd, CMSG_DATA(c), (size_t)nr * sizeof(int));
	}
	if (m->head.type == CTL_WELCOME && nr > (int)m->welcome.workers) {
		h->workers = m->welcome.workers;
		h->bells = (uint32_t)nr - 1;
		memcpy(h->bell, fd + 1, h->bells * sizeof(int));
		if (map(h, fd[0], m->welcome.segment_bytes) < 0)
			return -ENOMEM;
		memcpy(&h->layout, h->memory[0].word, sizeof(h->layout));
	} else if (m->head.type == CTL_SEGMENT && nr == 1) {
		if (map(h, fd[0], m->segment.bytes) < 0)
			return -ENOMEM;
	} else if (m->head.type == CTL_REFUSED) {
		fprintf(stderr, "refused: %.112s\n", m->refused.why);
		return -EACCES;
	}
	return (int)m->head.type;
}

static int attach(struct hostile *h)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct ctl_hello hello = { .head.type = CTL_HELLO, .magic = CTL_MAGIC,
				   .version_min = SHM_VERSION, .version_max = SHM_VERSION,
				   .library_version = "none", .program = "hostile" };
	const char *path = getenv("NCD_SOCKET");
	union ctl_message m;
	int r;

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path ? path : "");
	h->ctl = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (h->ctl < 0 || connect(h->ctl, (struct sockaddr *)&un, sizeof(un)) < 0 ||
	    send(h->ctl, &hello, sizeof(hello), MSG_NOSIGNAL) < 0)
		return -errno;
	r = receive(h, &m, 0);
	if (r != CTL_WELCOME)
		return r < 0 ? r : -EPROTO;
	h->attached++;
	return 0;
}

static int own_create(struct hostile *h)
{
	uint8_t *p = mmap(NULL, 2 * OWN_ALONE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED || mprotect(p + OWN_ALONE, OWN_BYTES, PROT_READ | PROT_WRITE) < 0)
		return -errno;
	h->own = p + OWN_ALONE;
	return 0;
}

static void *at(struct hostile *h, uint64_t off)
{
	return (char *)h->memory[0].word + off;
}

static uint64_t port_off(const struct hostile *h, uint32_t worker)
{
	return h->layout.port_off + worker * h->layout.port_bytes;
}

static struct slot_shm *slot_at(struct hostile *h, uint32_t worker, uint32_t slot)
{
	return (struct slot_shm *)at(h, port_off(h, worker) + h->layout.slot_off) + slot;
}

static void ring_bells(struct hostile *h)
{
	uint64_t one = 1;

	for (uint32_t i = 0; i < h->bells; i++)
		if (write(h->bell[i], &one, sizeof(one)) < 0)
			return; /* full: it rings already */
}

/* As the library does it, so that there is something to destroy. */
static void open_streams(struct hostile *h)
{
	struct ctl_addr listen = { .head = { CTL_LISTEN, 7 }, .backlog = 16 };
	struct ring sq[NCD_WORKERS_MAX];
	union ctl_message m;
	uint32_t open = 0;

	for (uint32_t w = 0; w < h->workers; w++)
		ring_init(&sq[w], at(h, port_off(h, w) + h->layout.sq_off), NCD_SQ_ENTRIES);
	for (uint32_t i = 0; i < STREAMS; i++) {
		uint32_t w = i % h->workers, slot = i / h->workers;
		struct slot_shm *s = slot_at(h, w, slot);

		memcpy(s->peer_addr, h->addr, sizeof(s->peer_addr));
		s->open_peer_port = h->port;
		(void)ring_push(&sq[w], sq_word(SQ_OPEN, slot, 0));
		ring_publish(&sq[w]);
	}
	(void)send(h->ctl, &listen, sizeof(listen), MSG_NOSIGNAL); /* a refusal is as good */
	ring_bells(h);
	for (int patience = 0; patience < 200 && open < STREAMS / 2; patience++) {
		(void)poll(&(struct pollfd){ h->ctl, POLLIN, 0 }, 1, 1);
		while (receive(h, &m, MSG_DONTWAIT) > 0)
			;
		open = 0;
		for (uint32_t i = 0; i < STREAMS; i++)
			/* STATE, library end. */
			open += atomic_load_explicit(
					&slot_at(h, i % h->workers, i / h->workers)->state,
					memory_order_acquire) == SLOT_OPEN;
	}
}

/* Where it hurts: what the daemon reads is a small part of the whole. */
static uint64_t *place(struct hostile *h)
{
	uint32_t w = (uint32_t)next(h) % h->workers, slot = (uint32_t)next(h) % STREAMS;
	struct memory *m = &h->memory[next(h) % h->memory_nr];
	uint64_t off, port = port_off(h, w);

	if (next(h) & 1) /* a slot of the daemon's half */
		slot += h->layout.slots / 2;
	switch (next(h) % 9) {
	case 0:
	case 1:
	case 2: /* a slot that is in use */
		off = port + h->layout.slot_off + slot * sizeof(struct slot_shm) + next(h) % 256;
		break;
	case 3: /* head, tail and first words of the submission queue in use */
		off = port + h->layout.sq_off + next(h) % 1024;
		break;
	case 4:
		off = port + next(h) % 4096 +
		      (next(h) & 1 ? h->layout.cq_off : h->layout.accept_off);
		break;
	case 5: /* pieces and queues of copy workers */
		if (h->layout.copy_workers > 0) {
			off = h->layout.copy_off +
			      next(h) % copy_area_bytes(h->layout.copy_workers);
			break;
		}
		/* fall through */
	case 6: /* header, queue pairs, listeners */
		off = next(h) % h->layout.port_off;
		break;
	default: /* anywhere, in any segment */
		return &m->word[next(h) % (m->bytes / 8)];
	}
	return &h->memory[0].word[off % h->memory[0].bytes / 8];
}

static uint64_t value(struct hostile *h, uint64_t old)
{
	switch (next(h) % 6) {
	case 0:
		return next(h);
	case 1:
		return old + next(h) % 5 - 2;
	case 2: /* a submission that may be allowed */
		return sq_word((enum sq_op)(next(h) % (SQ_OP_END + 1)),
			       (uint32_t)next(h) % STREAMS, (uint32_t)next(h) % 4);
	case 3:
		return old + (1ull << next(h) % 40);
	case 4: /* two small halves */
		return (next(h) % 64) << 32 | next(h) % 64;
	default:
		return old ^ 1ull << next(h) % 64;
	}
}

/* Pieces that look good: of memory that is ours, of none, of all there is. */
static void post_copies(struct hostile *h)
{
	uint8_t *area = at(h, h->layout.copy_off);

	for (uint32_t i = 0; i < 8 && h->layout.copy_workers > 0; i++) {
		uint32_t nr = (uint32_t)next(h) % NCD_COPY_PIECES;
		struct copy_piece_shm *p = &copy_area_pieces(area)[nr];
		struct ring_shm *q = (struct ring_shm *)(void *)copy_area_queue(area, 0)->ring;
		uint32_t tail;

		p->way = COPY_IN + (uint32_t)next(h) % 2;
		p->segment = next(h) % 16 ? 1 : (uint32_t)next(h) % 4;
		p->bytes = 1 + (uint32_t)next(h) % (next(h) % 16 ? 1u << 18 : 1u << 21);
		p->off = next(h) % (next(h) % 16 ? 1ull << 25 : 1ull << 31);
		p->address = next(h) % 2 ? (uintptr_t)h->own + next(h) % OWN_BYTES : next(h);
		/* PIECE, PUBLISH, application ends. */
		atomic_store_explicit(&p->state, COPY_POSTED, memory_order_release);
		tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
		q->word[tail % NCD_COPY_PIECES] = next(h) % 16 ? nr : next(h) % 100;
		atomic_store_explicit(&q->tail, tail + 1, memory_order_release);
	}
}

/* Now and then a request on the control socket that is nearly right. */
static void ask_nonsense(struct hostile *h)
{
	union ctl_message m = { .head = { (uint32_t)next(h) % (CTL_TYPE_END + 1),
					  (uint32_t)next(h) } };
	size_t len = next(h) & 1 ? sizeof(m.addr) : next(h) % sizeof(m);

	for (size_t i = sizeof(m.head); i < sizeof(m.addr); i++)
		((unsigned char *)&m)[i] = (unsigned char)(next(h) & next(h));
	(void)send(h->ctl, &m, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* One life. Returns how many rounds it took. */
static unsigned long scribble(struct hostile *h, unsigned long rounds)
{
	union ctl_message m;
	unsigned long round;
	int r = 0;

	open_streams(h);
	for (round = 0; round < rounds && r >= 0; round++) {
		uint64_t words = next(h) % WORDS_A_TURN + 1;

		for (uint64_t i = 0; i < words; i++) {
			_Atomic uint64_t *p = (_Atomic uint64_t *)place(h);
			uint64_t old = atomic_load_explicit(p, memory_order_relaxed);

			atomic_store_explicit(p, value(h, old), memory_order_relaxed);
		}
		if (next(h) % 4 == 0)
			post_copies(h);
		ring_bells(h);
		if (next(h) % 64 == 0)
			ask_nonsense(h);
		do
			r = receive(h, &m, MSG_DONTWAIT);
		while (r > 0);
	}
	h->thrown_out += r < 0;
	return round;
}

int main(int argc, char **argv)
{
	static struct hostile h; /* Global: large. */
	unsigned long rounds;
	int r = 0;

	if (own_create(&h) < 0 || argc != 5 || inet_pton(AF_INET, argv[3], h.addr + 12) != 1)
		return 2;
	memset(h.addr + 10, 0xff, 2);
	h.random = strtoull(argv[1], NULL, 10);
	rounds = strtoul(argv[2], NULL, 10);
	h.port = (uint16_t)strtoul(argv[4], NULL, 10);
	printf("seed %s\n", argv[1]);
	while (rounds > 0 && r == 0) {
		r = attach(&h);
		if (r == 0)
			rounds -= scribble(&h, rounds);
		leave(&h);
	}
	printf("attached %lu times, thrown out %lu times%s%s\n", h.attached, h.thrown_out,
	       r ? ": " : "", r ? strerror(-r) : "");
	return r < 0;
}
