/* SPDX-License-Identifier: MIT */
/*
 * table.h - rows of text in columns as wide as what is in them.
 *
 * Ownership: the table owns its cells until table_print, which frees them.
 * Threading: one thread.
 * Trust: a cell may hold any bytes; what is not printable ASCII is shown as '?'.
 */
#ifndef NCD_STAT_TABLE_H
#define NCD_STAT_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 12
#define TABLE_CELL_BYTES  64

struct table {
	const char *const *head; /* a column's title; one that starts with '-' is left-aligned */
	uint32_t columns;
	uint32_t rows, room;
	char (*cell)[TABLE_CELL_BYTES];
	int err;
};

/* @head: up to TABLE_COLUMNS_MAX titles, then NULL. */
void table_start(struct table *t, const char *const *head);
/* A row of empty cells; table_set fills the newest. Out of memory is remembered for table_print. */
void table_row(struct table *t);
void table_set(struct table *t, uint32_t column, const char *text);
__attribute__((format(printf, 3, 4))) void table_format(struct table *t, uint32_t column,
							const char *format, ...);
/* Prints and frees. -ENOMEM if a row had no room. */
int table_print(struct table *t, FILE *out);

#endif /* NCD_STAT_TABLE_H */
