/* SPDX-License-Identifier: MIT */
/*
 * notify.h - what systemd is told (sd_notify(3)); without systemd all of it does nothing.
 *
 * Ownership: none. Threading: control.
 */
#ifndef NCD_NOTIFY_H
#define NCD_NOTIFY_H

#include <stdint.h>

/* STATUS=, one line. */
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* READY=1, after the start and at the end of a reload. */
void notify_ready(void);
/* RELOADING=1, with the time that systemd wants beside it. */
void notify_reloading(void);
/* STOPPING=1, and that it may take another @usec. */
void notify_stopping(uint64_t usec);
void notify_watchdog(void);
/* Half of the time within which systemd wants WATCHDOG=1, in microseconds; 0: it does not. */
uint64_t notify_watchdog_usec(void);

#endif /* NCD_NOTIFY_H */
