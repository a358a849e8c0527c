/* SPDX-License-Identifier: MIT */
/*
 * region.c - memfds shared with applications, and the layout of the first one.
 */
#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ncd/copy_abi.h"
#include "ncd/huge_page.h"
#include "ncd/ring.h"

static uint64_t page_up(uint64_t bytes)
{
	return (bytes + NCD_PAGE - 1) & ~(uint64_t)(NCD_PAGE - 1);
}

uint64_t region_layout(struct region_shm *ret_layout, uint32_t workers, uint32_t slots,
		       uint32_t copy_workers)
{
	struct region_shm l = {
		.magic = SHM_MAGIC,
		.version = SHM_VERSION,
		.workers = workers,
		.listeners = NCD_LISTENERS_MAX,
		.slots = slots,
		.copy_workers = copy_workers,
	};

	l.qp_off = page_up(sizeof(l));
	l.listener_off = page_up(l.qp_off + NCD_QP_NR * sizeof(struct qp_shm));
	l.left_off = page_up(l.listener_off + l.listeners * sizeof(struct listener_shm));
	l.copy_off = page_up(l.left_off + LEFT_TABLE_BYTES);
	l.port_off = page_up(l.copy_off + copy_area_bytes(copy_workers));

	/* Queues begin on pages of their own, so that those never used take no memory. */
	l.sq_off = page_up(sizeof(struct port_shm));
	l.sq_bytes = page_up(ring_bytes(NCD_SQ_ENTRIES));
	l.cq_off = l.sq_off + NCD_QP_NR * l.sq_bytes;
	l.cq_bytes = page_up(ring_bytes(NCD_CQ_ENTRIES));
	l.accept_off = l.cq_off + NCD_QP_NR * l.cq_bytes;
	l.accept_bytes = page_up(ring_bytes(NCD_BACKLOG_MAX));
	l.slot_off = l.accept_off + l.listeners * l.accept_bytes;
	l.port_bytes = page_up(l.slot_off + (uint64_t)slots * sizeof(struct slot_shm));
	l.bytes = l.port_off + workers * l.port_bytes;
	*ret_layout = l;
	return l.bytes;
}

int region_map_create(const char *name, uint64_t bytes, struct region_map *ret_map)
{
	struct region_map m = { .bytes = page_up(bytes) };
	void *base;
	int ret;

	m.fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (m.fd < 0)
		return -errno;
	if (ftruncate(m.fd, (off_t)m.bytes) < 0 ||
	    fcntl(m.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto err_close;
	base = huge_page_map(m.fd, m.bytes);
	if (base == MAP_FAILED)
		goto err_close;
	/* A forked child (a log filter, a debugger) must not keep a client's memory alive. */
	(void)madvise(base, m.bytes, MADV_DONTFORK);
	m.base = base;
	*ret_map = m;
	return 0;

err_close:
	ret = -errno;
	close(m.fd);
	return ret;
}

int region_create(uint32_t workers, uint32_t slots, uint32_t copy_workers,
		  struct region_shm *ret_layout, struct region_map *ret_map)
{
	uint64_t bytes = region_layout(ret_layout, workers, slots, copy_workers);
	int ret = region_map_create("ncd-region", bytes, ret_map);

	if (ret == 0)
		memcpy(ret_map->base, ret_layout, sizeof(*ret_layout));
	return ret;
}

void region_close_fd(struct region_map *map)
{
	if (map->fd >= 0)
		close(map->fd);
	map->fd = -1;
}

void region_unmap(struct region_map *map)
{
	if (!map->base)
		return;
	(void)munmap(map->base, map->bytes);
	region_close_fd(map);
	map->base = NULL;
}
