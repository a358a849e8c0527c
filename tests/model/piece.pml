/* SPDX-License-Identifier: MIT */
/*
 * piece.pml - a piece of a large call (ncd/copy_abi.h): posted by the caller, named to two copy
 * workers, taken by one of them or taken back; the caller may sleep on it, and the daemon may be
 * killed at any step.
 *
 * Goal: the piece is copied once, by one; the caller never goes on while somebody writes to its
 *   memory; it never sleeps for ever (an invalid end state), the daemon's death included.
 * Method: exhaustive search, as doorbell.pml. All steps that decide are exchanges of the state's
 *   word or seq_cst.
 *
 * Each -DMUTANT=N breaks one rule and must be found: run.sh.
 */
#ifndef MUTANT
#define MUTANT 0
#endif

#define FREE   0
#define POSTED 1
#define TAKEN  2
#define WAITED 3
#define DONE   4
#define LOST   5

byte state = POSTED;
bool asleep;       /* the caller, on the state's word */
byte writing;      /* copy workers in the caller's memory */
byte copies;       /* by copy workers, whole */
bool gone[2];      /* copy workers that have ended, or were killed */
bool killed, dead; /* the daemon; and the library knows */
bool ended;        /* the caller */

inline wake() { asleep = false }

/* FUTEX_WAIT: the comparison and the sleep are one step. */
inline sleep_while_waited()
{
	if
	:: atomic { state == WAITED -> asleep = true }
		!asleep
	:: state != WAITED
	fi
}

proctype copy_worker(byte me)
{
	byte old;
	bool mine, inside;

	{
#if MUTANT == 1
		mine = (state == POSTED); /* looks, then takes */
		if
		:: mine -> state = TAKEN
		:: else
		fi;
#else
		d_step {
			mine = (state == POSTED);
			if
			:: mine -> state = TAKEN
			:: else
			fi
		}
#endif
		if
		:: mine ->
			d_step { inside = true; writing++ }
			d_step { inside = false; writing--; copies++ }
#if MUTANT == 2
			old = state; /* looks who sleeps, then stores */
			state = DONE;
#else
			d_step { old = state; state = DONE }
#endif
			if
			:: old == WAITED -> wake()
			:: else
			fi
		:: else
		fi
	} unless { killed }
	d_step {
		if
		:: inside -> writing--
		:: else
		fi;
		gone[me] = true
	}
}

proctype killer()
{
	if
	:: !ended -> killed = true
	:: true
	fi
}

/* The library's watcher: the connection ends when all threads of the daemon are gone. */
proctype watcher()
{
end:	killed;
#if MUTANT != 3
	gone[0] && gone[1];
#endif
#if MUTANT == 4
	d_step {
		if
		:: state == WAITED -> state = LOST; wake()
		:: else
		fi
	}
	dead = true
#else
	dead = true;
	d_step {
		if
		:: state == WAITED -> state = LOST
		:: else
		fi
	}
#if MUTANT == 6
	if
	:: state == LOST -> wake() /* a copy worker may have died between DONE and its wake */
	:: else
	fi
#else
	wake()
#endif
#endif
}

proctype caller()
{
	bool back, over, waits;

	d_step {
		back = (state == POSTED);
		if
		:: back -> state = FREE
		:: else
		fi
	}
	do
	:: back -> break
	:: state == DONE || state == LOST -> break
	:: !back && state != DONE && state != LOST ->
		over = dead;
		if
		:: over -> break
		:: else
		fi;
#if MUTANT == 5
		over = dead; /* looks before it says that it sleeps */
#endif
		d_step {
			waits = (state == TAKEN || state == WAITED);
			if
			:: state == TAKEN -> state = WAITED
			:: else
			fi
		}
#if MUTANT != 5
		over = dead;
#endif
		if
		:: waits && !over -> sleep_while_waited()
		:: else
		fi
	od;
	ended = true;
	assert(writing == 0);
	assert(copies <= 1);
	assert(!back || copies == 0);
	assert(back || copies == 1 || dead)
}

init
{
	atomic { run copy_worker(0); run copy_worker(1); run caller(); run killer(); run watcher() }
}
