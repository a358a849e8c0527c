/* SPDX-License-Identifier: MIT */
/*
 * test_control_copy.c - clients with copy workers, real ones: what ends them, and when.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "control_app.h"

#define SLOTS 16u

struct copy_rig {
	struct rig *r;
	struct copy_workers ws;
	int fd; /* an application, which is this process */
	struct copy_client *client;
};

static void copy_told(void *ctx)
{
	struct copy_rig *cr = ctx;

	control_copy_event(&cr->r->control);
}

/* NULL: not allowed here. */
static struct copy_rig *copy_rig_create(void)
{
	struct copy_rig *cr = calloc(1, sizeof(*cr));
	struct ctl_hello hello = rig_hello();
	union ctl_message msg;
	uint32_t fds;

	assert_non_null(cr);
	cr->r = rig_create(SLOTS);
	assert_int_equal(copy_workers_init(&cr->ws, cr->r->base, copy_told, cr), 0);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(copy_workers_start(&cr->ws, -1, 0, NULL), 0);
	cr->r->control.copy_workers = &cr->ws;
	cr->fd = rig_connect(cr->r);
	assert_true(rig_send(cr->fd, &hello, sizeof(hello), NULL, 0) > 0);
	rig_pump(cr->r);
	assert_int_equal(receive(cr->fd, &msg, &fds), sizeof(msg.welcome));
	cr->client = cr->r->control.clients->copy;
	assert_int_equal(fds, 1 + RIG_WORKERS + (cr->client ? 2 : 0));
	assert_int_equal(cr->r->control.clients->layout.copy_workers, cr->client ? 2 : 0);
	return cr;
}

static void copy_rig_destroy(struct copy_rig *cr)
{
	close(cr->fd);
	rig_pump(cr->r);
	copy_workers_stop(&cr->ws);
	assert_false(cr->ws.stuck);
	rig_destroy(cr->r);
	copy_workers_fini(&cr->ws);
	free(cr);
}

static void copy_post(struct copy_rig *cr, uint32_t segment, uint8_t *at, uint32_t bytes)
{
	struct copy_queue_shm *q = cr->client->queue[0].shm;
	struct copy_piece_shm *p = cr->client->piece;
	struct ring ring;

	p->way = COPY_IN;
	p->segment = segment;
	p->bytes = bytes;
	p->off = 0;
	p->address = (uintptr_t)at;
	atomic_store(&p->state, COPY_POSTED);
	ring_init(&ring, q->ring, NCD_COPY_PIECES);
	assert_int_equal(ring_push(&ring, 0), 0);
	assert_int_equal(eventfd_write(cr->client->queue[0].doorbell_fd, 1), 0);
}

static void copies_that_lie_end_that_client_only(void **state)
{
	struct copy_rig *cr = copy_rig_create();
	uint8_t byte = 0;
	int good;

	(void)state;
	if (cr->client) {
		good = rig_connect(cr->r);
		copy_post(cr, 1, &byte, 1); /* there is no segment yet */
		while (!has_ended(cr->fd))
			rig_pump(cr->r);
		assert_false(has_ended(good));
		close(good);
	}
	copy_rig_destroy(cr);
}

/* One page that is not there until it is given. -1: not allowed here. */
static int page_without(uint8_t *at)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range = { (uintptr_t)at, NCD_PAGE },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &reg) < 0)
		return -1;
	return fd;
}

/* The library takes the end of the connection for the end of all that is done to its memory. */
static void the_connection_stays_while_its_memory_is_copied(void **state)
{
	struct copy_rig *cr = copy_rig_create();
	struct ctl_head garbage = { .type = 4711 };
	struct uffdio_zeropage zero = { .range = { .len = NCD_PAGE } };
	uint8_t *page;
	int fault_fd;

	(void)state;
	page = mmap(NULL, NCD_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(page != MAP_FAILED);
	fault_fd = page_without(page);
	if (cr->client && fault_fd >= 0) {
		/* Any memory of ours does for a ring. */
		copy_client_segment(cr->client, cr->client->queue[1].shm->ring, 64);
		copy_post(cr, 1, page, 64);
		while (atomic_load(&cr->client->piece->state) != COPY_TAKEN)
			sched_yield();
		assert_true(rig_send(cr->fd, &garbage, sizeof(garbage), NULL, 0) > 0);
		rig_pump(cr->r);
		assert_int_equal(cr->r->control.attached, 0);
		assert_int_equal(cr->r->control.clients->state, CLIENT_LEAVING);
		assert_false(has_ended(cr->fd));
		zero.range.start = (uintptr_t)page;
		assert_int_equal(ioctl(fault_fd, UFFDIO_ZEROPAGE, &zero), 0);
		while (!has_ended(cr->fd))
			rig_pump(cr->r);
	}
	if (fault_fd >= 0)
		close(fault_fd);
	(void)munmap(page, NCD_PAGE);
	copy_rig_destroy(cr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_that_lie_end_that_client_only),
		cmocka_unit_test(the_connection_stays_while_its_memory_is_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
