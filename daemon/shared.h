/* SPDX-License-Identifier: MIT */
/*
 * shared.h - streams whose descriptor more than one process may have: found by the cookie of the
 * descriptor that a process passes, watched for the hour when nobody has it any more.
 *
 * Ownership: the table owns its entries and a copy of the daemon's end of each pair.
 * Threading: control.
 * Trust: who passes a descriptor has it, and what the kernel says of it is true; its name
 *   (ncd/descriptor_name.h) is only told to others.
 */
#ifndef NCD_SHARED_H
#define NCD_SHARED_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct event_base;
struct worker_cmd;
struct workers;
struct shared_table;

struct shared {
	struct shared *next; /* same bucket */
	uint64_t cookie;
	uint32_t worker, stream;
	int end; /* the daemon's end of the pair */
	/* Its process alone may have it, and the stream ends with that; NULL: it has ended, or has
	 * it back, while this was moving. */
	bool lent;
	struct client *lender;
	uint32_t from; /* ctl_taken() of the slot that it had then */
	/* moves.c: it goes to another worker, and commands that name it wait until it is there, by
	 * worker_cmd.next. Hung: nobody has the descriptor any more, as came out meanwhile. */
	bool moving, hung;
	struct worker_cmd *held;
};

/* NULL: out of memory or descriptors. */
struct shared_table *shared_create(struct event_base *base, struct workers *workers);
/* NULL is allowed. */
void shared_destroy(struct shared_table *t);

/*
 * The stream is shared from now on; @end is the table's, also on failure.
 * 0, -EEXIST (it is there already), -ENOMEM, -EMFILE.
 */
int shared_add(struct shared_table *t, uint64_t cookie, uint32_t worker, uint32_t stream, int end);
/* The same of one that @lender lends: who has its descriptor does not matter. */
int shared_lend(struct shared_table *t, struct client *lender, uint64_t cookie, uint32_t worker,
		uint32_t stream, int end, struct shared **ret_shared);
/* One that was lent is shared for good. 0; -ENOMEM: it stays lent. */
int shared_keep(struct shared_table *t, struct shared *s);
/* @lender ends, and what it has lent. */
void shared_lender_ends(struct shared_table *t, const struct client *lender);
/* The one that has @cookie, or NULL. */
struct shared *shared_find(struct shared_table *t, uint64_t cookie);
/* @s is at its place again: who hung up meanwhile is heard. @s may be gone afterwards. */
void shared_moved(struct shared_table *t, struct shared *s);
/* Its stream is one process's alone again; not while it moves. Nothing if there is none. */
void shared_drop(struct shared_table *t, uint64_t cookie);
/* Gives @end, whose application's end has @cookie, its name. 0 or -errno. */
int shared_name(int end, int family, uint64_t cookie);

#endif /* NCD_SHARED_H */
