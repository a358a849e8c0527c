/* SPDX-License-Identifier: MIT */
/*
 * fuzz_copy.c - a hostile application's pieces and queues against a copy worker. copy_worker.c is
 * included so that its turns are taken here, one by one.
 *
 * The input is a list of acts, each one byte and its arguments: the fields of a piece, a word of
 * the queue, any word of the area. Whatever it does, only the application's segments and the
 * process it attached with (a child, which waits) are written to, and every turn ends.
 */
#include "../../daemon/copy_worker.c"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "region.h"

#define SEGMENT  (2 * NCD_PAGE)
#define SEGMENTS 2
#define GUARD    NCD_PAGE /* before, between and behind them */
#define CANARY   0xa5
#define TURNS    8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct fuzz {
	const uint8_t *at, *end;
	pid_t child;
	uint8_t *memory; /* of the segments and their guards */
	struct region_shm layout;
	struct region_map segment0;
	struct copy_table table;
	struct copy_worker worker;
};

static uint64_t take(struct fuzz *f, size_t bytes)
{
	uint64_t v = 0;

	for (; bytes > 0 && f->at < f->end; bytes--)
		v = v << 8 | *f->at++;
	return v;
}

static uint8_t *segment_at(struct fuzz *f, uint32_t i)
{
	return f->memory + GUARD + i * (SEGMENT + GUARD);
}

static struct fuzz *fuzz_create(void)
{
	struct fuzz *f = aligned_alloc(alignof(struct fuzz), sizeof(*f));
	size_t bytes = GUARD + SEGMENTS * (SEGMENT + GUARD);

	if (f == NULL)
		abort();
	memset(f, 0, sizeof(*f));
	f->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f->memory == MAP_FAILED || region_create(1, 2, 1, &f->layout, &f->segment0) < 0)
		abort();
	memset(f->memory, CANARY, bytes);
	f->child = fork();
	if (f->child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with the fuzzer */
		/* What it maps may be written to, by its own piece: not the guards, then. */
		(void)munmap(f->memory, bytes);
		for (;;)
			pause();
	}
	f->worker.cfg = (struct copy_worker_config){ .table = &f->table, .event_fd = -1 };
	return f;
}

/* Attached anew for each input. */
static struct copy_client *client_fresh(struct fuzz *f)
{
	uint8_t *area = f->segment0.base + f->layout.copy_off;
	struct copy_client *c = NULL;
	int mem_fd = -1;

	memset(area, 0, copy_area_bytes(1));
	if (copy_memory_open(f->child, &mem_fd) < 0 ||
	    copy_client_create(NULL, f->child, mem_fd, f->segment0.base, &f->layout, &c) < 0)
		abort();
	for (uint32_t i = 0; i < SEGMENTS; i++)
		copy_client_segment(c, segment_at(f, i), SEGMENT);
	return c;
}

static void act(struct fuzz *f, struct copy_client *c)
{
	struct ring_shm *q = c->queue[0].ring.shm;
	struct copy_piece_shm *p = &c->piece[take(f, 1) % NCD_COPY_PIECES];
	uint64_t *word = (uint64_t *)(void *)c->piece;

	switch (take(f, 1) % 4) {
	case 0: /* a piece, nearly right */
		p->way = 1 + (uint32_t)take(f, 1) % 2;
		p->segment = 1 + (uint32_t)take(f, 1) % SEGMENTS;
		p->bytes = (uint32_t)take(f, 2);
		p->off = take(f, 2);
		p->address = take(f, 8);
		p->state = COPY_POSTED;
		break;
	case 1: /* one of any kind */
		p->way = (uint32_t)take(f, 4);
		p->segment = (uint32_t)take(f, 4);
		p->bytes = (uint32_t)take(f, 4);
		p->off = take(f, 8);
		p->address = take(f, 8);
		p->state = (uint32_t)take(f, 1);
		break;
	case 2:
		q->word[q->tail % NCD_COPY_PIECES] = take(f, 1) ? take(f, 1) : take(f, 8);
		q->tail += (uint32_t)take(f, 1) ? 1 : (uint32_t)take(f, 4);
		break;
	default:
		word[take(f, 2) % (copy_area_bytes(1) / sizeof(*word))] = take(f, 8);
		break;
	}
}

static void check(struct fuzz *f)
{
	for (uint32_t i = 0; i <= SEGMENTS; i++)
		for (size_t k = 0; k < GUARD; k++)
			if (f->memory[i * (SEGMENT + GUARD) + k] != CANARY)
				abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct fuzz *f; /* Global: the child and the memory stay from input to input. */
	struct copy_client *c;

	if (f == NULL)
		f = fuzz_create();
	f->at = data;
	f->end = data + bytes;
	c = client_fresh(f);
	atomic_store(&f->table.client[0], c);
	while (f->at < f->end) {
		act(f, c);
		activate(&f->worker, 0);
		for (uint32_t i = 0; i < TURNS && serve(&f->worker); i++)
			;
		rest(&f->worker);
	}
	atomic_store(&f->table.client[0], NULL);
	deactivate(&f->worker, 0);
	check(f);
	copy_client_destroy(c);
	return 0;
}
