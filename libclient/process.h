/* SPDX-License-Identifier: MIT */
/*
 * process.h - what the calls of the library share, since socket numbers are the process's: its
 * attachment and its table of sockets. The only state outside the structs of the other files.
 *
 * Ownership: static; the attachment in use is referenced.
 * Threading: any thread.
 */
#ifndef NC_PROCESS_H
#define NC_PROCESS_H

#include "attach.h"

#define PROCESS_PATH_BYTES 108 /* as sun_path */

/* The attachment in use, made if there is none or its daemon is gone; the caller gets a reference.
 * Errors as attachment_create. Blocks, for seconds if ncd does not answer. */
int process_attach(struct attachment **ret_attachment);
/* As process_attach, for who could do without after process_hurry. */
int process_attach_new(struct attachment **ret_attachment);
/* Before the program runs, which may empty its environment: where ncd is. */
void process_begin(void);
/* Kernel TCP is there instead: new sockets wait for an ncd that does not answer for a second or
 * two, and then for some time not at all. Call it before any other thread runs. */
void process_hurry(void);
/* Where a daemon is that knows AWAY: the one that this process, or its parent, attached to last. In
 * a child of vfork too. False: nowhere, or another thread attaches just now. */
bool process_away_path(char path[PROCESS_PATH_BYTES]);
/* @what is called when a daemon has gone, by the thread that has seen it and has nothing else to
 * do. Call it before any other thread runs. */
void process_when_lost(void (*what)(void));
/* Watcher: as the last thing. */
void process_lost(void);
/* Watcher: @att is dead; moves and wakes what the threads of its sockets sleep on. */
void process_wake_sockets(struct attachment *att);
/* Calls @visit for every open socket, then @rest (or NULL), with the table lock held. */
void process_each_socket(void (*visit)(struct nc_sock *s, void *arg), void (*rest)(void *arg),
			 void *arg);
/* Holds the table still: while a pollable descriptor is closed. */
void process_table_lock(void);
void process_table_unlock(void);

/* Child of a fork, its only thread: forgets everything but the shared sockets; the two close the
 * inherited descriptors. */
void process_forget(void (*close_socket)(struct nc_sock *s),
		    void (*close_attachment)(struct attachment *att));

/* exit.c: hands what is open over to the daemon. */
void exit_close_sockets(void);

/* ---- fork.c ---- */

/* Installs the fork handlers, once. */
void process_hooks(void);
/* They are, for who makes a process without fork(3): before it, and in the child. */
void process_before_fork(void);
void process_fork_child(void);

#endif /* NC_PROCESS_H */
