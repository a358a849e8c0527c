/* SPDX-License-Identifier: MIT */
/*
 * copy_worker.c - the copy worker's thread: which application is served next, and when it sleeps.
 */
#include "copy_worker.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ncd/doorbell.h"

#include "clock.h"
#include "idle.h"
#include "pin.h"

#define DOORBELLS_A_TURN 64
#define TURNS_UNHEARD    32u      /* busy turns between two looks at the doorbells */
#define STOP_WAIT_S      2        /* for a thread that is told to end */
#define STOP_MARK        UINT64_MAX /* epoll data of its own eventfd */
#define ACTIVE_WORDS     (NCD_CLIENTS_MAX / 64)

struct copy_worker {
	/* set at create, then const */
	struct copy_worker_config cfg;
	pthread_t thread;
	int epoll_fd;
	int stop_fd; /* eventfd: wakes it to end */
	/* copy worker only */
	uint64_t active[ACTIVE_WORDS]; /* bits: clients that are looked at without their doorbell */
	uint32_t active_nr;
	struct idle idle;
	uint64_t now_ns;
	uint64_t pieces, bytes_in, bytes_out, faults, refused, errors, sleeps, busy_ns;
	/* copy worker writes, control reads */
	alignas(NCD_CACHE_LINE) _Atomic(struct copy_client *) holds; /* HOLD */
	/* control writes */
	_Atomic bool stop;
};

static void tell(int fd)
{
	(void)eventfd_write(fd, 1); /* fails only when the counter is full: it is told already */
}

static void futex_wake(_Atomic uint32_t *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX); /* nobody there: nothing to do */
}

/* ---- who is served ---- */

/* The client at @index is not used any more. */
static void let_go(struct copy_worker *w, uint32_t index, const struct copy_client *c)
{
	/* HOLD, copy worker's end. */
	atomic_store_explicit(&w->holds, NULL, memory_order_seq_cst);
	/* HOLD, copy worker's end. */
	if (atomic_load_explicit(&w->cfg.table->client[index], memory_order_seq_cst) != c)
		tell(w->cfg.event_fd);
}

/* The client at @index, to be let go of; NULL: there is none (any more). */
static struct copy_client *hold(struct copy_worker *w, uint32_t index)
{
	_Atomic(struct copy_client *) *entry = &w->cfg.table->client[index];
	/* Relaxed: looked at again behind HOLD. */
	struct copy_client *c = atomic_load_explicit(entry, memory_order_relaxed);

	if (c == NULL)
		return NULL;
	/* HOLD, copy worker's end. */
	atomic_store_explicit(&w->holds, c, memory_order_seq_cst);
	/* HOLD, copy worker's end. */
	if (atomic_load_explicit(entry, memory_order_seq_cst) == c)
		return c;
	let_go(w, index, c);
	return NULL;
}

static void activate(struct copy_worker *w, uint32_t index)
{
	uint64_t bit = 1ull << index % 64;

	w->active_nr += !(w->active[index / 64] & bit);
	w->active[index / 64] |= bit;
}

static void deactivate(struct copy_worker *w, uint32_t index)
{
	uint64_t bit = 1ull << index % 64;

	w->active_nr -= !!(w->active[index / 64] & bit);
	w->active[index / 64] &= ~bit;
}

static void store(counter64 *at, uint64_t value)
{
	/* Relaxed: readers expect each counter for itself. */
	atomic_store_explicit(at, value, memory_order_relaxed);
}

static void stats_write(const struct copy_worker *w)
{
	struct stats_copy *s = w->cfg.stats;

	if (s == NULL)
		return;
	store(&s->pieces, w->pieces);
	store(&s->bytes_in, w->bytes_in);
	store(&s->bytes_out, w->bytes_out);
	store(&s->copy_faults, w->faults);
	store(&s->copy_refused, w->refused);
	store(&s->copy_errors, w->errors);
	store(&s->sleeps, w->sleeps);
	store(&s->busy_ns, w->busy_ns);
}

static void client_bad(struct copy_worker *w, struct copy_client *c, const char *why)
{
	w->errors++;
	stats_write(w);
	/* Relaxed: static text, and the eventfd orders it. */
	atomic_store_explicit(&c->bad, why, memory_order_relaxed);
	tell(w->cfg.event_fd);
}

/* ---- one piece ---- */

static void count(struct copy_worker *w, const struct copy_job *job, uint32_t copied, int error)
{
	uint64_t now = clock_monotonic_ns();

	w->busy_ns += now - w->now_ns;
	w->now_ns = now;
	w->pieces += error == 0;
	w->faults += error == -EFAULT;
	w->refused += error < 0 && error != -EFAULT;
	if (job->way == COPY_IN)
		w->bytes_in += copied;
	else
		w->bytes_out += copied;
	stats_write(w);
}

/* Each word is fetched once. */
static struct copy_job job_fetch(const struct copy_piece_shm *p)
{
	/* Relaxed, all: PIECE ordered them. */
	return (struct copy_job){
		.way = atomic_load_explicit(&p->way, memory_order_relaxed),
		.segment = atomic_load_explicit(&p->segment, memory_order_relaxed),
		.bytes = atomic_load_explicit(&p->bytes, memory_order_relaxed),
		.off = atomic_load_explicit(&p->off, memory_order_relaxed),
		.address = atomic_load_explicit(&p->address, memory_order_relaxed),
	};
}

/* A piece that the client has posted, if nobody else has it. */
static void piece_copy(struct copy_worker *w, struct copy_client *c, uint64_t number)
{
	uint32_t state = COPY_POSTED, copied = 0;
	struct copy_piece_shm *p;
	struct copy_job job;
	uint8_t *ring;
	int error;

	if (number >= NCD_COPY_PIECES) {
		client_bad(w, c, "a copy queue names a piece that does not exist");
		return;
	}
	p = &c->piece[number];
	/* PIECE, copy worker's end. Relaxed on failure: it was taken back, or by another. */
	if (!atomic_compare_exchange_strong_explicit(&p->state, &state, COPY_TAKEN,
						     memory_order_acquire, memory_order_relaxed))
		return;
	job = job_fetch(p);
	if (copy_job_check(c, &job, &ring) < 0) {
		client_bad(w, c, "a piece to copy lies outside its ring memory");
		return;
	}
	error = copy_job_run(c, &job, ring, &copied);
	count(w, &job, copied, error);
	/* Relaxed, both: COPIED orders them. */
	atomic_store_explicit(&p->copied, copied, memory_order_relaxed);
	atomic_store_explicit(&p->error, error, memory_order_relaxed);
	/* COPIED, PIECE_WAIT, copy worker's end. */
	if (atomic_exchange_explicit(&p->state, COPY_DONE, memory_order_seq_cst) == COPY_WAITED)
		futex_wake(&p->state);
}

/* True if a word was taken. */
static bool client_serve(struct copy_worker *w, struct copy_client *c)
{
	uint64_t number;
	int ret;

	/* Relaxed: set by a copy worker; control is on its way. */
	if (atomic_load_explicit(&c->bad, memory_order_relaxed))
		return false;
	ret = ring_pop(&c->queue[w->cfg.index].ring, &number);
	if (ret == -EPROTO)
		client_bad(w, c, "a copy queue's tail is impossible");
	if (ret < 0)
		return false;
	piece_copy(w, c, number);
	return true;
}

/* A piece of each active client. */
static bool serve(struct copy_worker *w)
{
	bool did = false;

	for (uint32_t i = 0; i < ACTIVE_WORDS; i++) {
		uint64_t bits = w->active[i];

		for (; bits; bits &= bits - 1) {
			uint32_t index = i * 64 + (uint32_t)__builtin_ctzll(bits);
			struct copy_client *c = hold(w, index);

			if (c == NULL) {
				deactivate(w, index);
				continue;
			}
			did |= client_serve(w, c);
			let_go(w, index, c);
		}
	}
	return did;
}

/* ---- sleeping ---- */

/* Hears the doorbells; sleeps if @wait and there is none. */
static void hear(struct copy_worker *w, bool wait)
{
	struct epoll_event ev[DOORBELLS_A_TURN];
	int n = epoll_wait(w->epoll_fd, ev, DOORBELLS_A_TURN, wait ? -1 : 0);

	for (int i = 0; i < n; i++)
		if (ev[i].data.u64 != STOP_MARK)
			activate(w, (uint32_t)ev[i].data.u64);
}

/* From now on the doorbell of each active client rings, unless it has work already. */
static void rest(struct copy_worker *w)
{
	for (uint32_t i = 0; i < ACTIVE_WORDS; i++) {
		uint64_t bits = w->active[i];

		for (; bits; bits &= bits - 1) {
			uint32_t index = i * 64 + (uint32_t)__builtin_ctzll(bits);
			struct copy_client *c = hold(w, index);
			struct copy_queue *q;

			if (c == NULL) {
				deactivate(w, index);
				continue;
			}
			q = &c->queue[w->cfg.index];
			doorbell_arm(&q->shm->need_wakeup);
			/* Relaxed: as in client_serve. */
			if (ring_empty(&q->ring) ||
			    atomic_load_explicit(&c->bad, memory_order_relaxed))
				deactivate(w, index);
			else
				doorbell_disarm(&q->shm->need_wakeup);
			let_go(w, index, c);
		}
	}
}

static void idle(struct copy_worker *w)
{
	uint64_t now;

	if (w->active_nr > 0 && idle_spins(&w->idle, w->now_ns)) {
		sched_yield();
		now = clock_monotonic_ns();
		idle_yielded(&w->idle, now - w->now_ns, now);
		return;
	}
	rest(w);
	if (w->active_nr > 0)
		return;
	w->sleeps++;
	stats_write(w);
	hear(w, true);
}

static void *copy_worker_main(void *arg)
{
	struct copy_worker *w = arg;
	uint32_t turns = 0;

	/* Relaxed: its eventfd wakes a sleeper. */
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		w->now_ns = clock_monotonic_ns();
		if (serve(w)) {
			idle_ends(&w->idle, (uint64_t)w->cfg.spin_us * 1000, w->now_ns);
			if (turns++ % TURNS_UNHEARD == 0)
				hear(w, false);
		} else {
			idle(w);
			hear(w, false);
		}
	}
	return NULL;
}

/* ---- control's side ---- */

static int watch(struct copy_worker *w, int fd, uint64_t data)
{
	/* By edges: a counter that nobody reads tells of each ring all the same. */
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.u64 = data };

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static void copy_worker_free(struct copy_worker *w)
{
	if (w->epoll_fd >= 0)
		(void)close(w->epoll_fd); /* nothing to flush */
	if (w->stop_fd >= 0)
		(void)close(w->stop_fd); /* a counter */
	free(w);
}

/* On its core from the first instruction on. */
static int thread_start(struct copy_worker *w)
{
	char name[16];
	pthread_attr_t attr;
	cpu_set_t set;
	int r = -pthread_attr_init(&attr);

	if (r < 0)
		return r;
	CPU_ZERO(&set);
	if (w->cfg.cpu >= 0) {
		CPU_SET((size_t)w->cfg.cpu, &set);
		r = -pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	if (r == 0)
		r = -pthread_create(&w->thread, &attr, copy_worker_main, w);
	(void)pthread_attr_destroy(&attr); /* cannot fail */
	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "ncd-copy%u", w->cfg.index);
	(void)pthread_setname_np(w->thread, name); /* cosmetic */
	return 0;
}

int copy_worker_start(const struct copy_worker_config *cfg, struct copy_worker **ret_worker)
{
	struct copy_worker *w = aligned_alloc(alignof(struct copy_worker), sizeof(*w));
	int r;

	if (w == NULL)
		return -ENOMEM;
	memset(w, 0, sizeof(*w));
	w->cfg = *cfg;
	w->stop_fd = -1;
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd >= 0)
		w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = w->stop_fd < 0 ? -errno : watch(w, w->stop_fd, STOP_MARK);
	if (r == 0)
		r = thread_start(w);
	if (r < 0) {
		copy_worker_free(w);
		return r;
	}
	if (cfg->stats)
		cfg->stats->cpu = (uint32_t)cfg->cpu;
	*ret_worker = w;
	return 0;
}

bool copy_worker_stop(struct copy_worker *w)
{
	struct timespec until;

	if (w == NULL)
		return true;
	/* Relaxed: the eventfd orders it for a sleeper. */
	atomic_store_explicit(&w->stop, true, memory_order_relaxed);
	tell(w->stop_fd);
	(void)clock_gettime(CLOCK_REALTIME, &until); /* cannot fail for this clock */
	until.tv_sec += STOP_WAIT_S;
	if (pthread_timedjoin_np(w->thread, NULL, &until) != 0)
		return false;
	copy_worker_free(w);
	return true;
}

int copy_worker_hear(struct copy_worker *w, const struct copy_client *c)
{
	return watch(w, c->queue[w->cfg.index].doorbell_fd, c->index);
}

void copy_worker_ignore(struct copy_worker *w, const struct copy_client *c)
{
	/* The application has the descriptor too: closing ours would not do. */
	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, c->queue[w->cfg.index].doorbell_fd, NULL);
}

bool copy_worker_holds(struct copy_worker *w, const struct copy_client *c)
{
	/* HOLD, control's end. */
	return atomic_load_explicit(&w->holds, memory_order_seq_cst) == c;
}

bool copy_worker_placed(const struct copy_worker *w)
{
	return pin_holds(w->thread, w->cfg.cpu);
}
