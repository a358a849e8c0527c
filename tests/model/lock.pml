/* SPDX-License-Identifier: MIT */
/*
 * lock.pml - a lock that one thread owns (libclient/lock.h): the owner takes it by two plain stores,
 * others by the word, a membarrier, and a look at what the owner says. The owner may open it again
 * for itself, whenever it holds the word.
 *
 * Goal: never have two of them the lock; nobody sleeps for ever (an invalid end state).
 * Method: exhaustive search, as doorbell.pml; but the owner's stores go through a buffer that is
 *   drained whenever it likes, since it has no fence. All of the others are exchanges of the word, or
 *   behind the membarrier, which drains the buffer.
 *
 * Each -DMUTANT=N breaks one rule and must be found: run.sh.
 */
#ifndef MUTANT
#define MUTANT 0
#endif

#define OWNED 0
#define SHUT  1

bool word;         /* held */
byte bias = OWNED;
bool own;          /* in memory */
bool stored, next; /* the owner's store to own, on its way */
bool asleep;       /* who waits for the owner, on own */
byte inside;
byte ended;

inline drain()
{
	if
	:: stored -> own = next; stored = false
	:: else
	fi
}

inline store_own(value)
{
	atomic { drain(); stored = true; next = value }
}

inline wake() { atomic { drain(); asleep = false } }

inline word_take() { atomic { !word -> word = true } }

inline work()
{
	inside++;
	assert(inside == 1);
	inside--
}

inline own_leave()
{
#if MUTANT == 1
	seen = bias; /* looks, then stores */
	store_own(false);
#else
	store_own(false);
	seen = bias;
#endif
#if MUTANT != 2
	if
	:: seen != OWNED -> wake()
	:: else
	fi
#endif
}

proctype owner()
{
	byte round, seen;
	bool mine;

	do
	:: round < 3 ->
		round++;
		mine = false;
		seen = bias;
		if
		:: seen == OWNED ->
			store_own(true);
#if MUTANT != 3
			seen = bias;
#endif
			if
			:: seen == OWNED -> mine = true
			:: else -> own_leave()
			fi
		:: else
		fi;
		if
		:: !mine ->
			atomic { drain() } /* an exchange */
			word_take();
			if
			:: bias == OWNED -> /* opened since: by own */
				store_own(true);
				atomic { drain(); word = false }
				mine = true
			:: else
			fi
		:: else
		fi;
		work();
		if
		:: mine -> own_leave()
		:: else ->
			if
			:: bias = OWNED /* opens it again */
			:: true
			fi;
			atomic { drain(); word = false }
		fi
	:: else -> break
	od;
	atomic { drain(); ended++ }
}

/* The buffer is drained by itself. */
proctype drainer()
{
	do
	:: atomic { stored -> drain() }
	:: ended == 3 -> break
	od
}

proctype other()
{
	byte round;

	do
	:: round < 2 ->
		round++;
		word_take();
		if
		:: bias == OWNED ->
			bias = SHUT;
#if MUTANT != 4
			atomic { drain() } /* membarrier */
#endif
		:: else
		fi;
#if MUTANT != 5
		/* FUTEX_WAIT: the comparison and the sleep are one step. */
		do
		:: atomic { own -> asleep = true }
			!asleep
		:: !own -> break
		od;
#endif
		work();
		word = false
	:: else -> break
	od;
	ended++
}

init {
	atomic {
		run owner();
		run drainer();
		run other();
		run other()
	}
}
