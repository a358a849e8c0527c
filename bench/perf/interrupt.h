/* SPDX-License-Identifier: MIT */
/*
 * interrupt.h - who measures has seen enough: SIGINT or SIGTERM ends the measurement, and what was
 * measured by then is shown. The second one ends the program, as ever.
 */
#ifndef PERF_INTERRUPT_H
#define PERF_INTERRUPT_H

#include <stdbool.h>

void interrupt_catch(void);
/* Since interrupt_catch(). Any thread. */
bool interrupted(void);

#endif /* PERF_INTERRUPT_H */
