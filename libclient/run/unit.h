/* SPDX-License-Identifier: MIT */
/*
 * unit.h - services of systemd: a drop-in file makes one start as ncd-run would start it.
 *
 * Ownership: nothing is kept. Threading: one thread.
 */
#ifndef RUN_UNIT_H
#define RUN_UNIT_H

#include <stddef.h>

/* Writes the drop-in of @unit, with @library and the NCD_* that ncd-run's options have set in the
 * environment (@variable, NULL at the end). Says what it did, and what is left to do. 0, or the
 * exit status, with the reason on standard error. */
int unit_enable(const char *unit, const char *library, const char *const variable[]);
/* Removes it. As above. */
int unit_disable(const char *unit);

#endif /* RUN_UNIT_H */
