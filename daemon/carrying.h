/* SPDX-License-Identifier: MIT */
/*
 * carrying.h - a worker's half of carriers.h: steps of its turn. All do nothing where it has nobody
 * to carry with.
 *
 * Threading: the worker's.
 */
#ifndef NCD_CARRYING_H
#define NCD_CARRYING_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

int carrying_start(struct worker *w);
/* Takes what other workers say. */
uint32_t carrying_take(struct worker *w);
/* Gives what is too much for our own lane to workers that have time. */
uint32_t carrying_give(struct worker *w);
/* Brings what our engine has to say to the others, and to ourselves. */
uint32_t carrying_post(struct worker *w);
/* A channel to @peer came up or went. */
void carrying_show(struct worker *w, uint32_t peer);
/* Nothing to do: others may give. */
void carrying_idle(struct worker *w);
/* About to sleep; true if there is nothing to take. */
void carrying_arm(struct worker *w);
bool carrying_quiet(const struct worker *w);
void carrying_disarm(struct worker *w);

#endif /* NCD_CARRYING_H */
