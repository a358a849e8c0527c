/* SPDX-License-Identifier: MIT */
/*
 * page.c - finds, maps and checks the counter page.
 */
#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int page_path(const char *socket, char *ret_path, size_t bytes)
{
	size_t len = strlen(socket);
	int n;

	if (len >= 5 && strcmp(socket + len - 5, ".sock") == 0)
		len -= 5;
	n = snprintf(ret_path, bytes, "%.*s.stats", (int)len, socket);
	return n < 0 || (size_t)n >= bytes ? -ENAMETOOLONG : 0;
}

void page_copy(const struct page *pg, uint64_t off, void *to, size_t bytes)
{
	const void *from = pg->base + off;
	const _Atomic uint64_t *word = from;
	uint8_t *out = to;

	for (size_t i = 0; i < bytes / 8; i++) {
		/* ENTRY, reader end. */
		uint64_t w = atomic_load_explicit(&word[i], memory_order_acquire);

		memcpy(out + i * 8, &w, 8);
	}
}

static bool inside(const struct stats_head *h, uint64_t off, uint64_t nr, size_t size)
{
	/* nr is 32 bits wide and size small: the product cannot wrap. */
	return off % 8 == 0 && off >= sizeof(*h) && off <= h->bytes && nr * size <= h->bytes - off;
}

static int check_head(struct stats_head *h, uint64_t file_bytes, const char *path, char *ret_why)
{
	if (h->magic != STATS_MAGIC) {
		snprintf(ret_why, PAGE_WHY_BYTES, "%s: not a counter page of ncd", path);
		return -EPROTO;
	}
	if (h->version != STATS_VERSION) {
		snprintf(ret_why, PAGE_WHY_BYTES,
			 "%s: counter page of version %u, this ncd-stat reads version %u: "
			 "use the ncd-stat installed with that ncd",
			 path, h->version, STATS_VERSION);
		return -EPROTO;
	}
	if (h->bytes > file_bytes ||
	    !inside(h, h->worker_off, h->worker_nr, sizeof(struct stats_worker)) ||
	    !inside(h, h->copy_off, h->copy_nr, sizeof(struct stats_copy)) ||
	    !inside(h, h->channel_off, h->channel_nr, sizeof(struct stats_channel)) ||
	    !inside(h, h->client_off, h->client_nr, sizeof(struct stats_client)) ||
	    !inside(h, h->socket_off, h->socket_nr, sizeof(struct stats_socket))) {
		snprintf(ret_why, PAGE_WHY_BYTES, "%s: damaged: a table lies outside the file",
			 path);
		return -EPROTO;
	}
	h->release[sizeof(h->release) - 1] = '\0';
	h->host_addr[sizeof(h->host_addr) - 1] = '\0';
	h->state[sizeof(h->state) - 1] = '\0';
	return 0;
}

static int fail(const char *path, const char *remedy, char *ret_why)
{
	int err = errno;

	snprintf(ret_why, PAGE_WHY_BYTES, "%s: %s%s", path, strerror(err), remedy);
	return -err;
}

int page_open(const char *path, struct page *ret_page, char ret_why[PAGE_WHY_BYTES])
{
	struct page pg = { .fd = -1 };
	struct stat st;
	void *map;
	int err;

	pg.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (pg.fd < 0)
		return fail(path,
			    errno == ENOENT
				    ? " (has ncd been started? -s or $NCD_SOCKET names another)"
				    : "",
			    ret_why);
	if (fstat(pg.fd, &st) < 0) {
		err = fail(path, "", ret_why);
		goto err_close;
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < sizeof(pg.head)) {
		snprintf(ret_why, PAGE_WHY_BYTES, "%s: not a counter page of ncd", path);
		err = -EPROTO;
		goto err_close;
	}
	pg.bytes = (size_t)st.st_size;
	map = mmap(NULL, pg.bytes, PROT_READ, MAP_SHARED, pg.fd, 0);
	if (map == MAP_FAILED) {
		err = fail(path, "", ret_why);
		goto err_close;
	}
	pg.base = map;
	page_copy(&pg, 0, &pg.head, sizeof(pg.head));
	err = check_head(&pg.head, pg.bytes, path, ret_why);
	if (err < 0)
		goto err_unmap;
	*ret_page = pg;
	return 0;

err_unmap:
	(void)munmap(map, pg.bytes); /* a whole mapping of ours: cannot fail */
err_close:
	(void)close(pg.fd); /* opened read-only: nothing can be lost */
	return err;
}

void page_close(struct page *pg)
{
	union {
		const uint8_t *in;
		void *out;
	} base = { .in = pg->base };

	(void)munmap(base.out, pg->bytes); /* a whole mapping of ours: cannot fail */
	(void)close(pg->fd);               /* opened read-only: nothing can be lost */
	*pg = (struct page){ .fd = -1 };
}

bool page_locked(const struct page *pg)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	return fcntl(pg->fd, F_OFD_GETLK, &l) == 0 && l.l_type == F_WRLCK;
}

uint64_t page_data(const struct page *pg, uint64_t off, uint64_t end, uint64_t *ret_end)
{
	off_t data, hole;

	*ret_end = end;
	data = lseek(pg->fd, (off_t)off, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? end : off; /* ENXIO: only hole; else: no such feature */
	if ((uint64_t)data >= end)
		return end;
	hole = lseek(pg->fd, data, SEEK_HOLE);
	if (hole > data && (uint64_t)hole < end)
		*ret_end = (uint64_t)hole;
	return (uint64_t)data;
}
