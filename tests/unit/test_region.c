/* SPDX-License-Identifier: MIT */
/*
 * test_region.c - the layout of segment 0 has no overlap, and its size cannot be changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../ncd_test.h"
#include "ncd/copy_abi.h"
#include "ncd/huge_page.h"
#include "ncd/ring.h"
#include "region.h"

static void parts_follow_each_other_without_overlap(void **state)
{
	struct region_shm l;
	uint64_t bytes = region_layout(&l, 3, 1024, 2);

	(void)state;
	assert_int_equal(bytes, l.bytes);
	assert_true(l.magic == SHM_MAGIC && l.version == SHM_VERSION);
	assert_true(l.qp_off >= sizeof(l));
	assert_true(l.listener_off >= l.qp_off + NCD_QP_NR * sizeof(struct qp_shm));
	assert_true(l.copy_off >= l.listener_off + l.listeners * sizeof(struct listener_shm));
	assert_true(l.port_off >= l.copy_off + copy_area_bytes(2));
	assert_true(l.sq_off >= sizeof(struct port_shm));
	assert_true(l.sq_bytes >= ring_bytes(NCD_SQ_ENTRIES));
	assert_true(l.cq_bytes >= ring_bytes(NCD_CQ_ENTRIES));
	assert_true(l.accept_bytes >= ring_bytes(NCD_BACKLOG_MAX));
	assert_true(l.cq_off >= l.sq_off + NCD_QP_NR * l.sq_bytes);
	assert_true(l.accept_off >= l.cq_off + NCD_QP_NR * l.cq_bytes);
	assert_true(l.slot_off >= l.accept_off + l.listeners * l.accept_bytes);
	assert_true(l.port_bytes >= l.slot_off + l.slots * sizeof(struct slot_shm));
	assert_true(l.bytes >= l.port_off + 3 * l.port_bytes);
	assert_int_equal((l.qp_off | l.listener_off | l.port_off | l.sq_off | l.cq_off |
			  l.accept_off | l.slot_off | l.port_bytes) % NCD_CACHE_LINE, 0);
}

static void the_largest_layout_costs_almost_no_memory(void **state)
{
	struct region_shm l;
	struct region_map m;
	struct stat st;

	(void)state;
	assert_int_equal(region_create(NCD_WORKERS_MAX, NCD_SOCKETS_MAX, NCD_COPY_WORKERS_MAX, &l,
				       &m), 0);
	assert_memory_equal(m.base, &l, sizeof(l));
	assert_int_equal(fstat(m.fd, &st), 0);
	assert_int_equal(st.st_size, l.bytes);
	assert_true(st.st_blocks <= 16);
	region_unmap(&m);
	region_unmap(&m); /* again: nothing happens */
}

static void the_size_is_sealed(void **state)
{
	struct region_map m;

	(void)state;
	assert_int_equal(region_map_create("test", 5000, &m), 0);
	assert_int_equal(m.bytes, 8192);
	assert_int_equal((uintptr_t)m.base % HUGE_PAGE, 0);
	assert_int_equal(ftruncate(m.fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(m.fd, 1 << 20), -1);
	assert_int_equal(fcntl(m.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_true(fcntl(m.fd, F_GETFD) & FD_CLOEXEC);
	region_close_fd(&m);
	assert_int_equal(m.fd, -1);
	memset(m.base, 1, m.bytes);
	region_unmap(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_follow_each_other_without_overlap),
		cmocka_unit_test(the_largest_layout_costs_almost_no_memory),
		cmocka_unit_test(the_size_is_sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
