/* SPDX-License-Identifier: MIT */
/*
 * interrupt.h - who measures has seen enough: SIGINT or SIGTERM ends the measurement, and what was
 * measured by then is shown. One more, a second later or more, ends the program, as ever. Not
 * sooner: timeout(1) sends two at once.
 */
#ifndef PERF_INTERRUPT_H
#define PERF_INTERRUPT_H

#include <stdbool.h>

void interrupt_catch(void);
/* Since interrupt_catch(). Any thread. */
bool interrupted(void);

#endif /* PERF_INTERRUPT_H */
