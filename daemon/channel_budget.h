/* SPDX-License-Identifier: MIT */
/*
 * channel_budget.h - keeps what lies below a throughput channel within its budget.
 *
 * Threading: the channel's worker. Neither blocks.
 */
#ifndef NCD_CHANNEL_BUDGET_H
#define NCD_CHANNEL_BUDGET_H

#include "core/budget.h"

/* Asks the kernel about @fd, and has it take as much as the budget allows and not more. */
void channel_budget_take(struct budget *b, int fd, uint64_t now_ns);

#endif /* NCD_CHANNEL_BUDGET_H */
