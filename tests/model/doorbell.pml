/* SPDX-License-Identifier: MIT */
/*
 * doorbell.pml - the ways in which a sleeper of ncd is woken: DOORBELL (ncd/doorbell.h), KICK and
 * NOTIFY (ncd/shm_abi.h); and SHARE (there too), by which a stream comes to one who sleeps.
 *
 * Goal: no wake-up is lost, whatever the interleaving. Each waiter ends only when it has seen
 *   everything its producers made; a lost wake-up leaves it asleep for ever, which spin reports as
 *   an invalid end state.
 * Method: exhaustive search. Every operation that decides anything is seq_cst, or an exchange of
 *   one word, so the interleavings of whole steps that spin explores are those that C11 allows.
 *   A weaker order lets a later load pass an earlier store; that is how the mutants express it.
 *
 * Built once for each of -DDOORBELL -DKICK -DNOTIFY -DSHARE, and for each with every -DMUTANT=N, which
 * breaks one rule and must be found: run.sh. Without MUTANT nothing below is broken.
 */
#ifndef MUTANT
#define MUTANT 0
#endif

#ifdef DOORBELL
/*
 * Two producers, each with a queue of its own, one waiter (a worker with two applications). The
 * eventfd is a flag that stays up until it is read. The waiter may say that it looks by itself
 * before long (DOORBELL_SOON): then a producer may keep its wake, and here never makes up for it.
 */
#define SOON 2
#define ITEMS 3
byte tail[2];
byte taken[2];
byte word;
bool event;

#define all_seen (taken[0] == ITEMS && taken[1] == ITEMS)

proctype producer(byte me)
{
	byte i, armed, old;

	do
	:: i < ITEMS ->
		i++;
#if MUTANT == 1
		/* The publish is not seq_cst: the look at the word passes it. */
		armed = word;
		tail[me]++;
#else
		tail[me]++;   /* ring_publish */
		armed = word; /* doorbell_due */
#endif
		if
		:: armed == SOON /* doorbell_has_time */
		:: armed ->
			d_step { old = word; word = 0 }
			if
			:: old -> event = 1
			:: else
			fi
		:: else
		fi
	:: else -> break
	od
}

/* One queue after the other, as the loop does: a producer may come between. */
inline look()
{
	none = (tail[0] == taken[0]);
#if MUTANT != 2
	none = none && (tail[1] == taken[1])
#endif
}

proctype waiter()
{
	bool none, dozed;

	do
	:: all_seen -> break
	:: else ->
		do /* a turn: takes what is there */
		:: tail[0] != taken[0] -> taken[0]++; dozed = false
		:: tail[1] != taken[1] -> taken[1]++; dozed = false
		:: tail[0] == taken[0] && tail[1] == taken[1] -> break
		od;
		if
		:: all_seen -> break
		:: else
		fi;
#if MUTANT == 3
		look(); /* looks before it arms */
		word = 1;
#elif MUTANT == 4
		word = 1;
		none = true; /* does not look again */
#else
		if /* it dozes once, then not before something has come */
		:: !dozed -> dozed = true; word = SOON
		:: dozed = false; word = 1 /* doorbell_arm */
		fi;
		look(); /* ring_empty */
#endif
#if MUTANT == 5
		word = 0; /* disarms before it sleeps, not after */
#endif
		if
		:: none && dozed && MUTANT != 6 ->
			if
			:: event -> event = 0
			:: true /* its time is up */
			fi
		:: none && (!dozed || MUTANT == 6) ->
			event; /* asleep */
			event = 0
		:: else
		fi;
		word = 0 /* doorbell_disarm */
	od
}

init
{
	atomic { run producer(0); run producer(1); run waiter() }
}
#endif

#ifdef KICK
/*
 * A sending and a receiving thread of one application move tx_tail and rx_head of one slot; the
 * worker learns of it by SQ_KICK, of which at most one is under way.
 */
#define MOVES 3
byte moved[2];
byte seen[2];
bool kick;
chan sq = [2] of { bit }; /* one more than may be there: a second kick would show */

proctype mover(byte me)
{
	byte i;
	bool old;

	do
	:: i < MOVES ->
		i++;
#if MUTANT == 1
		d_step { old = kick; kick = 1 } /* swaps before it stores */
		moved[me]++;
#else
		moved[me]++;
		d_step { old = kick; kick = 1 }
#endif
		if
		:: !old ->
			assert(len(sq) < 2);
			sq!1
		:: else
		fi
	:: else -> break
	od
}

proctype worker()
{
	do
	:: seen[0] == MOVES && seen[1] == MOVES -> break
	:: else ->
		sq?1;
#if MUTANT == 2
		seen[0] = moved[0]; /* loads, then swaps */
		seen[1] = moved[1];
		kick = 0
#elif MUTANT == 3
		seen[0] = moved[0]; /* loads one word too early */
		kick = 0;
		seen[1] = moved[1]
#else
		kick = 0;
		seen[0] = moved[0];
		seen[1] = moved[1]
#endif
	od
}

init
{
	atomic { run mover(0); run mover(1); run worker() }
}
#endif

#ifdef NOTIFY
/*
 * Two application threads wait on one slot's futex, for two kinds of news (bytes, room) or, with
 * the same wish, for the same news (two threads in accept). One worker makes news.
 */
#define NEWS 2
byte made[2]; /* news of each kind */
byte used[2];
byte seq;
byte notify; /* one bit a kind */
bool waits[2];

/* FUTEX_WAIT: sleeps if seq is still @expected; the comparison and the sleep are one step. */
inline futex_wait(me, expected)
{
	if
	:: atomic { seq == expected -> waits[me] = true }
		!waits[me]
	:: seq != expected
	fi
}

proctype thread(byte me; byte kind; byte want)
{
	byte s, got;
	bool there;

	do
	:: got == want -> break
	:: got < want ->
		d_step {
			there = made[kind] > used[kind];
			if
			:: there -> used[kind]++; got++
			:: else
			fi
		}
		if
		:: there
		:: else ->
#if MUTANT == 1
			notify = notify | (1 << kind);
			there = made[kind] > used[kind];
			s = seq; /* too late: what came between is in it */
#elif MUTANT == 2
			s = seq;
			there = made[kind] > used[kind]; /* looks before it wishes */
			notify = notify | (1 << kind);
#else
			s = seq;
			notify = notify | (1 << kind);
			there = made[kind] > used[kind];
#endif
			if
			:: there
			:: else -> futex_wait(me, s)
			fi
		fi
	od
}

/* ++seq, then FUTEX_WAKE of all: two steps. */
inline wake()
{
	seq++;
#if MUTANT == 4
	if /* of one */
	:: waits[0] -> waits[0] = false
	:: waits[1] -> waits[1] = false
	:: !waits[0] && !waits[1]
	fi
#else
	d_step { waits[0] = false; waits[1] = false }
#endif
}

proctype worker()
{
	byte i, wish, bit_;

	do
	:: i < 2 * NEWS ->
		bit_ = 1 << (i % 2);
#if MUTANT == 5
		/* Looks before the news is out. */
		d_step { wish = notify & bit_; notify = notify & ~bit_ }
		made[i % 2]++;
#else
		made[i % 2]++;
#if MUTANT == 3
		wish = notify & bit_; /* clears only after the wake: a wish made in between is wiped out */
#else
		d_step { wish = notify & bit_; notify = notify & ~bit_ } /* one fetch_and */
#endif
#endif
		if
		:: wish -> wake()
		:: else
		fi;
#if MUTANT == 3
		notify = notify & ~bit_;
#endif
		i++
	:: else -> break
	od
}

init
{
	atomic {
#ifdef SAME
		run thread(0, 0, 1); /* both for the same kind, one each */
		run thread(1, 0, 1);
#else
		run thread(0, 0, NEWS);
		run thread(1, 1, NEWS);
#endif
		run worker()
	}
}
#endif

#ifdef SHARE
/*
 * Two processes accept streams of one group. A has a client of the kernel's, or one of the streams,
 * at some moment, and is busy with it for ever. B takes what comes. One worker puts streams into
 * their queues. That who sleeps is woken for his own queue is NOTIFY's part.
 */
#define STREAMS 3
#define A       0
#define B       1
byte queue[2];
byte taken;
bool waiting[2], elsewhere[2];
chan sq = [4] of { bit };

#define free_for_b (waiting[B] && queue[B] == 0)
/* Of A's: what it is not just being woken for. */
#define behind_a (queue[A] > 1 || (queue[A] == 1 && !waiting[A]))

/* The word is claimed: A has it, or B. */
inline pass()
{
	d_step {
		if
		:: queue[A] > 0 -> queue[A]--; queue[B]++
		:: else
		fi
	}
}

/* group_even */
inline even()
{
	do
	:: !behind_a -> elsewhere[A] = 0; elsewhere[B] = 0; break
	:: behind_a && free_for_b -> pass()
	:: behind_a && !free_for_b -> break
	od
}

/* group_pushed, for the queue of @to */
inline pushed(to)
{
#if MUTANT == 3
	idle = free_for_b; /* looks for one who waits before it leaves word */
#endif
	if
	:: queue[to] == 1 && waiting[to]
	:: else ->
		elsewhere[A] = 1;
		elsewhere[B] = 1;
#if MUTANT == 3
		if
		:: idle && behind_a -> pass()
		:: else
		fi
#else
		even()
#endif
	fi
}

proctype worker()
{
	byte came;
	bit to, from;
	bool idle;

	do
	:: came < STREAMS ->
		came++;
		if
		:: waiting[A] && queue[A] == 0 -> to = A
		:: free_for_b -> to = B
		:: !(waiting[A] && queue[A] == 0) && !free_for_b -> to = A /* both busy: the worse */
		fi;
		queue[to]++;
#if MUTANT != 4
		pushed(to) /* later in the turn */
#endif
	:: sq?from ->
		if
		:: queue[from] > 0 -> pushed(from)
		:: queue[from] == 0 && from == B && elsewhere[B] ->
			if
			:: behind_a -> pass()
			:: else
			fi;
			even()
		:: else
		fi
	:: came == STREAMS && taken == STREAMS -> break
	od
}

proctype busy()
{
	bool left;

	waiting[A] = 1;
	if
	:: true /* a client of the kernel's */
	:: atomic { queue[A] > 0 -> queue[A]--; taken++ }
	fi;
#if MUTANT == 1
	left = queue[A] > 0; /* looks at its queue while it still seems to wait */
	waiting[A] = 0;
#else
	waiting[A] = 0;
	left = queue[A] > 0; /* listener_busy */
#endif
	if
	:: left -> sq!A
	:: else
	fi
}

proctype idler()
{
	bool word;

	do
	:: taken == STREAMS -> break
	:: else ->
		if
		:: queue[B] > 0
		:: queue[B] == 0 ->
#if MUTANT == 2
			word = elsewhere[B]; /* looks before it says that it waits */
			waiting[B] = 1;
#else
			waiting[B] = 1;
			word = elsewhere[B];
#endif
			if
			:: word -> sq!B
			:: else
			fi;
			(queue[B] > 0 || taken == STREAMS); /* asleep */
			waiting[B] = 0
		fi;
		if
		:: atomic { queue[B] > 0 -> queue[B]--; taken++ }
		:: queue[B] == 0
		fi
	od
}

init
{
	atomic { run worker(); run busy(); run idler() }
}
#endif
