/* SPDX-License-Identifier: MIT */
/*
 * fields.h - the counters by name, for everything that treats them alike: JSON, rates, reasons.
 *
 * Ownership: constant tables.
 * Threading: none.
 */
#ifndef NCD_STAT_FIELDS_H
#define NCD_STAT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ncd/stats_abi.h"

struct field {
	const char *name;
	size_t offset;
	bool gauge;         /* a state of now: has no rate */
	const char *reason; /* set for what counts something refused, dropped or broken */
};

/* Each list ends with a NULL name. */
const struct field *head_fields(void);
const struct field *worker_fields(void);
const struct field *copy_fields(void);
const struct field *channel_fields(void);
const struct field *client_fields(void);
const struct field *socket_fields(void);

/* The counter @f of the private copy @entry. */
uint64_t field_value(const struct field *f, const void *entry);

#endif /* NCD_STAT_FIELDS_H */
