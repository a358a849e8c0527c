/* SPDX-License-Identifier: MIT */
/*
 * privilege.h - from root to [daemon] user and group, with no more capabilities than are needed.
 *
 * Threading: control, before any other thread exists: capabilities belong to threads.
 */
#ifndef NCD_PRIVILEGE_H
#define NCD_PRIVILEGE_H

#include "config.h"

/*
 * Becomes @c's user and group, if it names any; keeps CAP_SYS_NICE. Gives them the directory of
 * the file @made_for first (NULL: none). 0, or -errno with one line in @error.
 */
int privilege_drop(const struct config *c, const char *made_for, char error[CONFIG_ERROR_BYTES]);

/*
 * CAP_SYS_PTRACE, if this process has it, is in effect for this thread and those that it starts, or
 * is not. With copy workers it is not: the kernel then lets them into the memory of those programs
 * only that are of ncd's own user and group. They must not lend it to applications, which may exec
 * a setuid program, or die and leave their number to another process, at any instruction.
 * 0 or -errno.
 */
int privilege_ptrace(bool on);

#endif /* NCD_PRIVILEGE_H */
