/* SPDX-License-Identifier: MIT */
/*
 * test_copy_worker.c - Goal: copy workers copy what is posted, once; nobody's lies, death or hung
 * memory costs another anything; nothing is used any more once it is let go of.
 * Method: real copy workers, applications in processes of their own; the test posts for them.
 */
#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "copy_rig.h"

#include "clock.h"
#include "copy_workers.h"
#include "ncd/doorbell.h"

#define AWAIT(condition)                                       \
	for (uint64_t since = clock_monotonic_ns(); !(condition);) \
	await_step(since, #condition)

struct pool {
	struct event_base *base;
	struct copy_workers ws;
	struct stats_copy stats[2];
	uint32_t told;
};

static void await_step(uint64_t since_ns, const char *what)
{
	if (clock_monotonic_ns() - since_ns > 30000000000u)
		fail_msg("waited too long for: %s", what);
	sched_yield();
}

static void pool_told(void *ctx)
{
	((struct pool *)ctx)->told++;
}

static uint32_t pool_hears(struct pool *p)
{
	(void)event_base_loop(p->base, EVLOOP_NONBLOCK);
	return p->told;
}

static struct pool *pool_create(uint32_t nr)
{
	struct pool *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->base = event_base_new();
	assert_int_equal(copy_workers_init(&p->ws, p->base, pool_told, p), 0);
	for (uint32_t i = 0; i < nr; i++)
		assert_int_equal(copy_workers_start(&p->ws, -1, 200, &p->stats[i]), 0);
	return p;
}

static void pool_destroy(struct pool *p)
{
	copy_workers_stop(&p->ws);
	assert_false(p->ws.stuck);
	copy_workers_fini(&p->ws);
	event_base_free(p->base);
	free(p);
}

/* ---- as the library ---- */

static struct copy_piece_shm *post_as(struct rig *r, struct ring *q, uint32_t piece,
				      const struct copy_job *job)
{
	struct copy_piece_shm *p = &r->client->piece[piece];
	struct copy_queue *queue = &r->client->queue[0];

	atomic_store(&p->way, job->way);
	atomic_store(&p->segment, job->segment);
	atomic_store(&p->bytes, job->bytes);
	atomic_store(&p->off, job->off);
	atomic_store(&p->address, job->address);
	atomic_store(&p->state, COPY_POSTED);
	assert_int_equal(ring_push(q, piece), 0);
	ring_publish(q);
	if (doorbell_due(&queue->shm->need_wakeup))
		assert_int_equal(eventfd_write(queue->doorbell_fd, 1), 0);
	return p;
}

static struct ring queue_of(struct rig *r, uint32_t worker)
{
	struct ring q;

	ring_init(&q, r->client->queue[worker].shm->ring, NCD_COPY_PIECES);
	return q;
}

static bool is(struct copy_piece_shm *p, uint32_t state)
{
	return atomic_load(&p->state) == state;
}

static struct copy_job piece_of(struct rig *r, uint32_t way, size_t at, uint32_t bytes)
{
	return (struct copy_job){ .way = way, .segment = 1, .bytes = bytes, .off = at,
				  .address = rig_address(r, at) };
}

/* Counters are written when a piece is done or before: they may come a little later here. */
static uint64_t counted(const counter64 *c)
{
	return atomic_load(c);
}

/* ---- cases ---- */

static void what_is_posted_is_copied(void **state)
{
	struct rig *r = rig_create(1);
	struct pool *p = pool_create(1);
	struct ring q = queue_of(r, 0);

	(void)state;
	assert_int_equal(copy_workers_add(&p->ws, r->client), 0);
	for (uint32_t round = 0; round < 20; round++)
		for (size_t at = 0; at + 65536 <= RIG_HOLE; at += 65536) {
			const struct copy_job job = piece_of(r, COPY_IN, at, 65536);
			uint32_t nr = (uint32_t)(at / 65536 % NCD_COPY_PIECES);
			struct copy_piece_shm *piece = post_as(r, &q, nr, &job);

			AWAIT(is(piece, COPY_DONE));
			assert_int_equal(piece->error, 0);
			assert_int_equal(piece->copied, 65536);
			assert_int_equal(r->segment.base[at + 17], rig_byte(at + 17));
		}
	assert_int_equal(counted(&p->stats[0].pieces), 20 * (RIG_HOLE / 65536));
	assert_int_equal(counted(&p->stats[0].bytes_in), 20 * (RIG_HOLE / 65536) * 65536);
	copy_workers_remove(&p->ws, r->client);
	AWAIT(!copy_workers_hold(&p->ws, r->client));
	pool_destroy(p);
	rig_destroy(r);
}

static void who_sleeps_on_a_piece_is_woken(void **state)
{
	struct rig *r = rig_create(1);
	struct pool *p = pool_create(1);
	struct ring q = queue_of(r, 0);

	(void)state;
	assert_int_equal(copy_workers_add(&p->ws, r->client), 0);
	for (uint32_t i = 0; i < 500; i++) {
		const struct copy_job job = piece_of(r, COPY_IN, 0, i % 2 ? 1 : 500000);
		struct copy_piece_shm *piece = post_as(r, &q, i % NCD_COPY_PIECES, &job);

		while (!is(piece, COPY_DONE)) {
			uint32_t taken = COPY_TAKEN;

			if (atomic_compare_exchange_strong(&piece->state, &taken, COPY_WAITED) ||
			    taken == COPY_WAITED)
				(void)syscall(SYS_futex, &piece->state, FUTEX_WAIT, COPY_WAITED,
					      NULL);
		}
	}
	copy_workers_remove(&p->ws, r->client);
	AWAIT(!copy_workers_hold(&p->ws, r->client));
	pool_destroy(p);
	rig_destroy(r);
}

static void a_piece_is_copied_by_one_or_taken_back(void **state)
{
	struct rig *r = rig_create(2);
	struct pool *p = pool_create(2);
	struct ring q = queue_of(r, 0), other = queue_of(r, 1);
	uint64_t back = 0, done;

	(void)state;
	assert_int_equal(copy_workers_add(&p->ws, r->client), 0);
	for (uint32_t i = 0; i < 2000; i++) {
		const struct copy_job job = piece_of(r, COPY_IN, 0, 4096);
		struct copy_piece_shm *piece;
		uint32_t posted = COPY_POSTED;

		/* Named to both: one of them, or neither. */
		if (ring_push(&other, i % NCD_COPY_PIECES) == 0) {
			ring_publish(&other);
			if (doorbell_due(&r->client->queue[1].shm->need_wakeup))
				eventfd_write(r->client->queue[1].doorbell_fd, 1);
		}
		piece = post_as(r, &q, i % NCD_COPY_PIECES, &job);
		if (i % 3 == 0 &&
		    atomic_compare_exchange_strong(&piece->state, &posted, COPY_FREE)) {
			back++;
			/* Until its word is taken: the queue is not to be filled. */
			AWAIT(atomic_load(&q.shm->head) == q.own);
			assert_true(is(piece, COPY_FREE));
		} else {
			AWAIT(is(piece, COPY_DONE));
			atomic_store(&piece->state, COPY_FREE);
		}
	}
	done = counted(&p->stats[0].pieces) + counted(&p->stats[1].pieces);
	assert_int_equal(done + back, 2000);
	copy_workers_remove(&p->ws, r->client);
	AWAIT(!copy_workers_hold(&p->ws, r->client));
	pool_destroy(p);
	rig_destroy(r);
}

/* A liar is told of, once, and served no more; who lies not goes on. */
static void lies(struct copy_job job, uint64_t word, bool absurd_tail)
{
	struct rig *bad = rig_create(1), *good = rig_create(1);
	struct pool *p = pool_create(1);
	struct ring q = queue_of(bad, 0), good_q = queue_of(good, 0);
	struct copy_job true_job = piece_of(good, COPY_IN, 0, 4096);
	struct copy_piece_shm *piece;

	assert_int_equal(copy_workers_add(&p->ws, bad->client), 0);
	assert_int_equal(copy_workers_add(&p->ws, good->client), 0);
	if (absurd_tail)
		atomic_store(&q.shm->tail, 0x12345678);
	else if (word != UINT64_MAX)
		assert_int_equal(ring_push(&q, word), 0);
	if (absurd_tail || word != UINT64_MAX)
		eventfd_write(bad->client->queue[0].doorbell_fd, 1);
	else
		post_as(bad, &q, 0, &job);
	AWAIT(pool_hears(p) > 0);
	assert_non_null(atomic_load(&bad->client->bad));
	assert_null(atomic_load(&good->client->bad));
	piece = post_as(good, &good_q, 5, &true_job);
	AWAIT(is(piece, COPY_DONE));
	assert_int_equal(piece->error, 0);
	assert_int_equal(counted(&p->stats[0].copy_errors), 1);
	copy_workers_remove(&p->ws, bad->client);
	copy_workers_remove(&p->ws, good->client);
	AWAIT(!copy_workers_hold(&p->ws, bad->client) && !copy_workers_hold(&p->ws, good->client));
	pool_destroy(p);
	rig_destroy(bad);
	rig_destroy(good);
}

static void liars_are_told_of_and_others_served(void **state)
{
	const struct copy_job beyond = { .way = COPY_OUT, .segment = 1, .bytes = 4096,
					 .off = RIG_SEGMENT - 4095, .address = 65536 };
	const struct copy_job segment = { .way = COPY_OUT, .segment = 2, .bytes = 1,
					  .address = 65536 };

	(void)state;
	lies(beyond, UINT64_MAX, false);
	lies(segment, UINT64_MAX, false);
	lies(segment, NCD_COPY_PIECES, false);
	lies(segment, UINT64_MAX - 1, false);
	lies(segment, 0, true);
}

static void a_dead_application_is_refused_and_others_served(void **state)
{
	struct rig *dead = rig_create(1), *good = rig_create(1);
	struct pool *p = pool_create(1);
	struct ring q = queue_of(dead, 0), good_q = queue_of(good, 0);
	struct copy_job job = piece_of(dead, COPY_IN, 0, 4096);
	struct copy_job good_job = piece_of(good, COPY_OUT, 0, 4096);
	struct copy_piece_shm *piece;

	(void)state;
	assert_int_equal(copy_workers_add(&p->ws, dead->client), 0);
	assert_int_equal(copy_workers_add(&p->ws, good->client), 0);
	rig_kill(dead);
	piece = post_as(dead, &q, 0, &job);
	AWAIT(is(piece, COPY_DONE));
	assert_int_equal(piece->error, -ESRCH);
	piece = post_as(good, &good_q, 0, &good_job);
	AWAIT(is(piece, COPY_DONE));
	assert_int_equal(piece->error, 0);
	assert_int_equal(counted(&p->stats[0].copy_refused), 1);
	copy_workers_remove(&p->ws, dead->client);
	copy_workers_remove(&p->ws, good->client);
	AWAIT(!copy_workers_hold(&p->ws, dead->client) &&
	      !copy_workers_hold(&p->ws, good->client));
	pool_destroy(p);
	rig_destroy(dead);
	rig_destroy(good);
}

/* From here on nobody gives the process that calls this the page at @at, unless it dies. */
static int memory_hang(uint8_t *at)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range = { (uintptr_t)at, NCD_PAGE },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (fd < 0)
		return -errno;
	if (madvise(at, NCD_PAGE, MADV_DONTNEED) < 0 || ioctl(fd, UFFDIO_API, &api) < 0 ||
	    ioctl(fd, UFFDIO_REGISTER, &reg) < 0)
		return -errno;
	return 0;
}

static void hung_memory_holds_up_its_application_alone(void **state)
{
	struct rig *hung = rig_create(1), *good = rig_create(1);
	struct pool *p = pool_create(1);
	struct ring q = queue_of(hung, 0), good_q = queue_of(good, 0);
	struct copy_job job = piece_of(hung, COPY_IN, 0, 65536);
	struct copy_job good_job = piece_of(good, COPY_IN, 0, 4096);
	struct copy_piece_shm *piece, *good_piece;
	int ready[2], mem_fd = -1;
	uint32_t posted = COPY_POSTED;
	char byte = 0;

	(void)state;
	rig_kill(hung);
	assert_int_equal(pipe(ready), 0);
	hung->pid = fork();
	assert_true(hung->pid >= 0);
	if (hung->pid == 0) {
		byte = memory_hang(hung->buf + NCD_PAGE) == 0 ? 'y' : 'n';
		if (write(ready[1], &byte, 1) == 1)
			pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	if (byte != 'y')
		goto out; /* not allowed here */
	copy_client_destroy(hung->client);
	assert_int_equal(copy_memory_open(hung->pid, &mem_fd), 0);
	assert_int_equal(copy_client_create(NULL, hung->pid, mem_fd, hung->segment0.base,
					    &hung->layout, &hung->client),
			 0);
	copy_client_segment(hung->client, hung->segment.base, RIG_SEGMENT);
	q = queue_of(hung, 0);
	atomic_store(&q.shm->tail, 0);
	assert_int_equal(copy_workers_add(&p->ws, hung->client), 0);
	assert_int_equal(copy_workers_add(&p->ws, good->client), 0);
	piece = post_as(hung, &q, 0, &job);
	AWAIT(is(piece, COPY_TAKEN));
	/* The other finds that nobody has begun, and may leave. */
	good_piece = post_as(good, &good_q, 0, &good_job);
	assert_true(atomic_compare_exchange_strong(&good_piece->state, &posted, COPY_FREE));
	copy_workers_remove(&p->ws, good->client);
	assert_false(copy_workers_hold(&p->ws, good->client));
	/* The one that hangs is kept until it is dead; that is told. */
	copy_workers_remove(&p->ws, hung->client);
	assert_true(copy_workers_hold(&p->ws, hung->client));
	assert_int_equal(pool_hears(p), 0);
	rig_kill(hung);
	AWAIT(pool_hears(p) > 0);
	assert_false(copy_workers_hold(&p->ws, hung->client));
	assert_true(is(piece, COPY_DONE));
	assert_true(piece->error < 0);
out:
	pool_destroy(p);
	rig_destroy(hung);
	rig_destroy(good);
}

static void clients_come_and_go_while_others_are_served(void **state)
{
	struct rig *r = rig_create(1), *steady = rig_create(1);
	struct pool *p = pool_create(1);
	struct ring q = queue_of(r, 0), steady_q = queue_of(steady, 0);
	struct copy_job job = piece_of(r, COPY_IN, 0, 4096);
	struct copy_job steady_job = piece_of(steady, COPY_IN, 0, 4096);

	(void)state;
	assert_int_equal(copy_workers_add(&p->ws, steady->client), 0);
	for (uint32_t i = 0; i < 300; i++) {
		struct copy_piece_shm *piece, *steady_piece;

		assert_int_equal(copy_workers_add(&p->ws, r->client), 0);
		piece = post_as(r, &q, 0, &job);
		steady_piece = post_as(steady, &steady_q, 0, &steady_job);
		if (i % 2)
			AWAIT(is(piece, COPY_DONE));
		copy_workers_remove(&p->ws, r->client);
		AWAIT(!copy_workers_hold(&p->ws, r->client));
		/* Nobody touches it now. */
		assert_true(is(piece, COPY_DONE) || is(piece, COPY_POSTED));
		/* What was not taken goes with the client; this one comes back as another. */
		r->client->queue[0].ring.own = r->client->queue[0].ring.foreign = q.own;
		atomic_store(&q.shm->head, q.own);
		atomic_store(&piece->state, COPY_FREE);
		AWAIT(is(steady_piece, COPY_DONE));
	}
	copy_workers_remove(&p->ws, steady->client);
	AWAIT(!copy_workers_hold(&p->ws, steady->client));
	pool_destroy(p);
	rig_destroy(r);
	rig_destroy(steady);
}

static void without_work_it_sleeps(void **state)
{
	struct rig *r = rig_create(1);
	struct pool *p = pool_create(1);
	struct ring q = queue_of(r, 0);
	struct copy_job job = piece_of(r, COPY_IN, 0, 4096);
	struct copy_piece_shm *piece;

	(void)state;
	assert_int_equal(copy_workers_add(&p->ws, r->client), 0);
	for (uint32_t i = 0; i < 20; i++) {
		/* It has armed its doorbell: the next piece rings it. */
		AWAIT(atomic_load(&r->client->queue[0].shm->need_wakeup) != 0);
		piece = post_as(r, &q, 0, &job);
		AWAIT(is(piece, COPY_DONE));
	}
	assert_true(counted(&p->stats[0].sleeps) > 0);
	copy_workers_remove(&p->ws, r->client);
	AWAIT(!copy_workers_hold(&p->ws, r->client));
	pool_destroy(p);
	rig_destroy(r);
}

/* The thread that is called so; 0: none. */
static pid_t thread_of(const char *name)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	pid_t found = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		char path[300], comm[32] = "";
		FILE *f;

		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "r");
		if (f && fgets(comm, sizeof(comm), f) && strncmp(comm, name, strlen(name)) == 0)
			found = (pid_t)strtol(e->d_name, NULL, 10);
		if (f)
			fclose(f);
	}
	closedir(d);
	return found;
}

static void a_lost_core_is_noticed(void **state)
{
	struct pool *p = pool_create(0);
	cpu_set_t all, one;
	int cpu = 0;
	pid_t tid;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET((size_t)cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	assert_int_equal(copy_workers_start(&p->ws, cpu, 0, NULL), 0);
	assert_true(copy_worker_placed(p->ws.worker[0]));
	if (CPU_COUNT(&all) > 1) {
		tid = thread_of("ncd-copy0");
		assert_true(tid > 0);
		/* As the kernel does where a core goes offline. */
		assert_int_equal(sched_setaffinity(tid, sizeof(all), &all), 0);
		assert_false(copy_worker_placed(p->ws.worker[0]));
		assert_int_equal(sched_setaffinity(tid, sizeof(one), &one), 0);
		assert_true(copy_worker_placed(p->ws.worker[0]));
	}
	pool_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_posted_is_copied),
		cmocka_unit_test(who_sleeps_on_a_piece_is_woken),
		cmocka_unit_test(a_piece_is_copied_by_one_or_taken_back),
		cmocka_unit_test(liars_are_told_of_and_others_served),
		cmocka_unit_test(a_dead_application_is_refused_and_others_served),
		cmocka_unit_test(hung_memory_holds_up_its_application_alone),
		cmocka_unit_test(clients_come_and_go_while_others_are_served),
		cmocka_unit_test(without_work_it_sleeps),
		cmocka_unit_test(a_lost_core_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
