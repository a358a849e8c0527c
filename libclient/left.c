/* SPDX-License-Identifier: MIT */
/*
 * left.c - the table of sockets that were left to kernel TCP.
 */
#include "left.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "attach.h"
#include "sock_calls.h"

#define LEFT_BUSY UINT32_MAX /* of refs: somebody changes the row */

struct row {
	_Atomic uint32_t refs; /* 0: free; OWN */
	_Atomic uint32_t serial;
	struct left_shm own; /* what the table is to say */
};

struct table {
	struct left_table_shm head;
	struct left_shm at[NCD_LEFT_MAX];
};

/* Global: why: descriptors are the process's, and so is what is said of them. */
static struct row row[NCD_LEFT_MAX];
/* Global: why: as above; the region's once there is one. */
static alignas(NCD_PAGE) struct table table;
/* Global: why: as above; where a free row may be. */
static _Atomic uint32_t hint;
/* Global: why: as above; no row from here on was ever used. */
static _Atomic uint32_t used;

static void raise_to(_Atomic uint32_t *top, uint32_t end)
{
	/* Relaxed, both: LEFT and OWN order it. */
	uint32_t now = atomic_load_explicit(top, memory_order_relaxed);

	while (now < end && !atomic_compare_exchange_weak_explicit(
				    top, &now, end, memory_order_relaxed, memory_order_relaxed))
		;
}

static uint32_t rows_used(void)
{
	/* Relaxed: a bound for loops; a row beyond it is just being taken, and says so itself. */
	return atomic_load_explicit(&used, memory_order_relaxed);
}

/* The table says of row @nr what its own copy says. */
static void row_say(uint32_t nr)
{
	const struct left_shm *own = &row[nr].own;
	struct left_shm *to = &table.at[nr];
	/* Relaxed: ours; a change beside is said again by who changes it. */
	uint32_t kind = atomic_load_explicit(&own->kind, memory_order_relaxed);

	/* Relaxed, all: LEFT orders them. */
	atomic_store_explicit(&to->kind, LEFT_FREE, memory_order_relaxed);
	to->why = own->why;
	memcpy(to->local_addr, own->local_addr, sizeof(to->local_addr));
	memcpy(to->peer_addr, own->peer_addr, sizeof(to->peer_addr));
	to->local_port = own->local_port;
	to->peer_port = own->peer_port;
	atomic_store_explicit(&to->kind, kind, memory_order_relaxed);
	raise_to(&table.head.top, nr + 1);
	/* LEFT, writing end. */
	atomic_fetch_add_explicit(&table.head.changes, 1, memory_order_release);
}

static void row_changed(uint32_t nr)
{
	/* AGAIN, changing end. */
	atomic_fetch_add_explicit(&row[nr].serial, 1, memory_order_seq_cst);
	row_say(nr);
}

/* A row that is ours alone; -1: all are in use. */
static int row_find(void)
{
	/* Relaxed: a place to begin. */
	uint32_t from = atomic_load_explicit(&hint, memory_order_relaxed);

	for (uint32_t i = 0; i < NCD_LEFT_MAX; i++) {
		uint32_t nr = (from + i) % NCD_LEFT_MAX, none = 0;

		/* Relaxed: a look first, which leaves the line with whom it is. */
		if (atomic_load_explicit(&row[nr].refs, memory_order_relaxed) != 0)
			continue;
		/* OWN, taking end. Relaxed on failure: nothing was taken. */
		if (!atomic_compare_exchange_strong_explicit(&row[nr].refs, &none, LEFT_BUSY,
							     memory_order_acquire,
							     memory_order_relaxed))
			continue;
		/* Relaxed: as above. */
		atomic_store_explicit(&hint, nr + 1, memory_order_relaxed);
		raise_to(&used, nr + 1);
		return (int)nr;
	}
	return -1;
}

int left_take(enum left_kind kind, enum left_why why, const struct endpoint *local,
	      const struct endpoint *peer)
{
	int nr = row_find();
	struct left_shm *own;

	if (nr < 0)
		return -1;
	own = &row[nr].own;
	own->why = why;
	memcpy(own->local_addr, local->addr, sizeof(own->local_addr));
	memcpy(own->peer_addr, peer->addr, sizeof(own->peer_addr));
	own->local_port = local->port;
	own->peer_port = peer->port;
	/* Relaxed: AGAIN orders it. */
	atomic_store_explicit(&own->kind, kind, memory_order_relaxed);
	row_changed((uint32_t)nr);
	/* OWN, letting end. */
	atomic_store_explicit(&row[nr].refs, 1, memory_order_release);
	return nr;
}

void left_get(int nr)
{
	/* Relaxed: the caller holds it. */
	atomic_fetch_add_explicit(&row[nr].refs, 1, memory_order_relaxed);
}

void left_put(int nr)
{
	/* Relaxed: the exchange decides. */
	uint32_t refs = atomic_load_explicit(&row[nr].refs, memory_order_relaxed);

	for (;;) {
		uint32_t after = refs == 1 ? LEFT_BUSY : refs - 1;

		/* OWN, both ends: the last one sees what the others did. Relaxed on failure. */
		if (atomic_compare_exchange_weak_explicit(&row[nr].refs, &refs, after,
							  memory_order_acq_rel,
							  memory_order_relaxed))
			break;
	}
	if (refs != 1)
		return;
	/* Relaxed: AGAIN orders it. */
	atomic_store_explicit(&row[nr].own.kind, LEFT_FREE, memory_order_relaxed);
	row_changed((uint32_t)nr);
	/* Relaxed: as in row_find. A low one is found first: the daemon looks at few. */
	if ((uint32_t)nr < atomic_load_explicit(&hint, memory_order_relaxed))
		atomic_store_explicit(&hint, (uint32_t)nr, memory_order_relaxed);
	/* OWN, letting end. */
	atomic_store_explicit(&row[nr].refs, 0, memory_order_release);
}

/* Says all rows, to a table that has just come. */
static void say_all(void)
{
	for (uint32_t nr = 0; nr < rows_used(); nr++) {
		uint32_t serial;

		do {
			/* AGAIN, joining end. */
			serial = atomic_load_explicit(&row[nr].serial, memory_order_seq_cst);
			/* Relaxed: AGAIN orders it. */
			if (atomic_load_explicit(&row[nr].own.kind, memory_order_relaxed))
				row_say(nr);
			/* AGAIN, joining end. */
		} while (atomic_load_explicit(&row[nr].serial, memory_order_seq_cst) != serial);
	}
}

/* A forked child writes to memory of its own; it has the sockets, too, and says so once attached.
 */
static void fork_child(void)
{
	(void)mmap(&table, sizeof(table), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0); /* else it speaks for its parent */
	for (uint32_t nr = 0; nr < rows_used(); nr++)
		/* Relaxed: the only thread. Of one that the fork has caught in a change: lost. */
		if (atomic_load_explicit(&row[nr].refs, memory_order_relaxed) == LEFT_BUSY) {
			atomic_store_explicit(&row[nr].own.kind, LEFT_FREE, memory_order_relaxed);
			atomic_store_explicit(&row[nr].refs, 0, memory_order_relaxed);
		}
}

static void fork_hook(void)
{
	(void)pthread_atfork(NULL, NULL, fork_child); /* out of memory: as without the hook */
}

void left_join(struct attachment *att)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	void *theirs = att->segment[0].base + att->layout.left_off;

	(void)pthread_once(&once, fork_hook); /* cannot fail */
	/* From size 0: a second mapping of the same pages. In place of the old table in one step.
	 */
	if (mremap(theirs, 0, sizeof(table), MREMAP_MAYMOVE | MREMAP_FIXED, &table) == MAP_FAILED)
		return; /* not shown */
	/* Otherwise a child that forks past the hook finds a hole here. */
	(void)madvise(&table, sizeof(table), MADV_DOFORK); /* a mapping of ours: cannot fail */
	say_all();
}
