/* SPDX-License-Identifier: MIT */
/*
 * handler.h - handlers that wait until their thread holds no lock: handler.c.
 *
 * Threading: of the calling thread.
 */
#ifndef PRELOAD_HANDLER_H
#define PRELOAD_HANDLER_H

/* In a forked child, when what was put off (lock.h) is forgotten: so is a handler that the parent's
 * signal waits for, and what is blocked for it. */
void handler_fork_child(void);

#endif /* PRELOAD_HANDLER_H */
