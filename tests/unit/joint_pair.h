/* SPDX-License-Identifier: MIT */
/*
 * joint_pair.h - a stream between two applications of host 1 of worker_rig.h, and its way to a
 * joined ring, for test_port_joint*.c.
 *
 * Ownership: pair_open() makes a rig, which rig_free() frees.
 */
#ifndef NCD_JOINT_PAIR_H
#define NCD_JOINT_PAIR_H

#define RIG_MOST   (16u << 20)
#define RIG_REGION (1u << 30)
#include "worker_rig.h"

#define SLOT 3
#define BULK (48ull << 20)

struct pair {
	struct rig *r;
	struct rig_host *a, *b; /* writes, reads */
	uint32_t slot;          /* of b */
	struct slot_shm *s, *t;
};

static inline void pair_open(void **state, struct pair *p)
{
	int slot = -EAGAIN;

	p->r = rig_of(state);
	p->a = rig_more(p->r, 0);
	p->b = &p->r->host[1];
	app_open(p->a, SLOT, p->b->addr, 80, 0);
	rig_until(p->r, app_state(p->a, SLOT) == SLOT_OPEN);
	rig_until(p->r, (slot = app_accept(p->b)) >= 0);
	p->slot = (uint32_t)slot;
	p->s = &p->a->slot[SLOT];
	p->t = &p->b->slot[slot];
}

static inline void move(const struct pair *p, uint64_t to)
{
	rig_until(p->r, ({
			  (void)app_write(p->a, SLOT, SLOT, to);
			  app_read(p->b, p->slot, SLOT) == to;
		  }));
}

static inline bool joined(const struct pair *p)
{
	return p->a->tx[SLOT].joined && p->b->rx[p->slot].joined &&
	       p->a->tx[SLOT].base == p->b->rx[p->slot].base;
}

/* As large as the two rings had become: time decides. */
static inline uint32_t joint_size(const struct pair *p)
{
	return p->a->tx[SLOT].bytes;
}

/* Until both are in the joined ring; returns how far it is. */
static inline uint64_t join(const struct pair *p)
{
	uint64_t at = atomic_load(&p->t->rx_head);
	uint64_t give_up = clock_monotonic_ns() + 30000000000ull;

	while (!joined(p) && clock_monotonic_ns() < give_up)
		move(p, at += 1500000);
	assert_true(joined(p));
	return at;
}

/* The writer's stream may be another process' soon. */
static inline void share(const struct pair *p)
{
	struct worker_cmd cmd = { .type = CMD_SHARE, .port = p->a->port };
	int end[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, end), 0);
	close(end[0]);
	cmd.share.slot = SLOT;
	cmd.share.cookie = 77;
	cmd.share.fd = cmd.share.end = end[1];
	rig_command(p->r, 1, &cmd);
	assert_int_equal(p->r->host[1].result, 0);
}

/* It is given the ring and does not come; nor does the writer then. Returns how far it wrote. */
static inline uint64_t join_half(const struct pair *p)
{
	uint64_t at = 0;

	rig_until(p->r, ({
			  at = app_write(p->a, SLOT, SLOT, at + 1500000);
			  rig_pump(p->r);
			  if (p->r->joints == 0)
				  (void)app_read(p->b, p->slot, SLOT);
			  p->r->joints > 0;
		  }));
	/* The words first: they order the segment. */
	rig_until(p->r, atomic_load(&p->t->rx_given) != atomic_load(&p->t->rx_taken) &&
				p->t->rx_segment & JOINT_FLAG);
	return at;
}

#endif /* NCD_JOINT_PAIR_H */
