/* SPDX-License-Identifier: MIT */
/*
 * elastic.h - how many throughput channels a lane has: when another one helps, and when one less
 * would do. Pure arithmetic on what a worker sees of one peer; the engine acts on the answers.
 *
 *             blocked for most of two looks                 it is up
 *   STEADY ------------------------------------> ASKED --------------------> TRIAL
 *     ^  ^                                         | refused, failed           | judged
 *     |  +-----------------------------------------+ not again for a while     |
 *     +------------------------------------------------------------------------+
 *        it moved more: it stays; it did not: it goes again, and no other comes for a while
 *
 * Blocked means: streams wait with bytes, and no channel takes any. A processor that is too slow
 * for what it has does not look like that, but a network does, and one that is full looks as one
 * that lets each connection have a share only. So it is tried, and kept only if it helps.
 *
 * Fewer would do if for ELASTIC_QUIET looks no more went than most of what one less gave when those
 * were blocked. Without any traffic there are no looks once the least number is reached.
 *
 * Ownership: the caller's memory. Threading: none of its own.
 */
#ifndef NCD_CORE_ELASTIC_H
#define NCD_CORE_ELASTIC_H

#include <stdbool.h>
#include <stdint.h>

#define ELASTIC_LOOK_NS     100000000ull /* time of one look, if nothing else is said */
/* The others, in looks. */
#define ELASTIC_LOOKS       2   /* in a row, before another channel is asked for; and to judge it */
#define ELASTIC_SETTLE      2   /* a new channel is not judged before */
#define ELASTIC_SETTLE_RTTS 8   /* and so many of its round trips */
#define ELASTIC_QUIET       20  /* between two that go */
#define ELASTIC_HOLD        50  /* after one that did not help; doubles to the most */
#define ELASTIC_HOLD_MOST   600
#define ELASTIC_CHANNELS    32  /* of a peer at one worker, at most */

struct elastic {
	uint64_t each_ns;       /* time of one look */
	uint64_t look_ns;       /* this look began then; 0: none is running */
	uint64_t since_ns;      /* blocked since; 0: not now */
	uint64_t blocked_ns;    /* of this look, before that */
	uint64_t bytes;         /* taken by channels in this look */
	uint64_t run_bytes, run_ns; /* the same, of the looks that are weighed together */
	uint32_t run;           /* how many those are */
	uint64_t judge_ns;      /* TRIAL: not before; 0: no trial */
	uint32_t before;        /* TRIAL: so many channels there were */
	uint64_t quiet_ns;      /* since then one less would have done */
	uint64_t hold_until_ns, hold_ns;
	bool asked;
	/* Bytes a second that so many gave while they were blocked; 0: unknown. */
	uint64_t rate[ELASTIC_CHANNELS + 1];
};

enum elastic_step { ELASTIC_STAY, ELASTIC_GROW, ELASTIC_SHRINK };

/* How things are when a look is over. */
struct elastic_view {
	uint32_t nr;     /* channels that take streams */
	uint32_t extra;  /* of those, such as may go */
	bool may_grow;   /* the bounds allow one more */
};

/* STEADY, and nothing to look at. */
void elastic_init(struct elastic *el, uint64_t look_ns);
/* Streams have bytes and no channel takes any, from now on until elastic_moved(). */
void elastic_blocked(struct elastic *el, uint64_t now_ns);
/* A channel has taken @bytes. */
void elastic_moved(struct elastic *el, uint64_t bytes, uint64_t now_ns);
/* Channels have come that will have to go: looks begin. */
void elastic_begin(struct elastic *el, uint64_t now_ns);
/* When elastic_look() is next needed; UINT64_MAX: not at all. */
uint64_t elastic_due_ns(const struct elastic *el);
/* What to do now. After ELASTIC_GROW nothing more is asked for before elastic_answer(). */
enum elastic_step elastic_look(struct elastic *el, const struct elastic_view *v, uint64_t now_ns);
/* The channel that was asked for is @up, or will not come. @nr: channels without it. */
void elastic_answer(struct elastic *el, bool up, uint32_t nr, uint64_t rtt_ns, uint64_t now_ns);

#endif /* NCD_CORE_ELASTIC_H */
