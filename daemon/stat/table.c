/* SPDX-License-Identifier: MIT */
/*
 * table.c - rows of text in columns.
 */
#include "table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void table_start(struct table *t, const char *const *head)
{
	*t = (struct table){ .head = head };
	while (t->columns < TABLE_COLUMNS_MAX && head[t->columns])
		t->columns++;
}

void table_row(struct table *t)
{
	if (t->err)
		return;
	if (t->rows == t->room) {
		uint32_t room = t->room ? t->room * 2 : 32;
		void *cell = reallocarray(t->cell, (size_t)room * t->columns, TABLE_CELL_BYTES);

		if (!cell) {
			t->err = -ENOMEM;
			return;
		}
		t->cell = cell;
		t->room = room;
	}
	memset(t->cell[(size_t)t->rows * t->columns], 0, (size_t)t->columns * TABLE_CELL_BYTES);
	t->rows++;
}

void table_format(struct table *t, uint32_t column, const char *format, ...)
{
	char *cell;
	va_list args;

	if (t->err || t->rows == 0)
		return;
	cell = t->cell[(size_t)(t->rows - 1) * t->columns + column];
	va_start(args, format);
	(void)vsnprintf(cell, TABLE_CELL_BYTES, format, args); /* too long: cut */
	va_end(args);
	for (; *cell; cell++)
		if (*cell < ' ' || *cell > '~')
			*cell = '?';
}

void table_set(struct table *t, uint32_t column, const char *text)
{
	table_format(t, column, "%s", text);
}

static void print_cell(FILE *out, const char *text, int width, bool left, bool last)
{
	if (left && last)
		fprintf(out, "%s", text);
	else
		fprintf(out, left ? "%-*s" : "%*s", width, text);
	fputs(last ? "\n" : " ", out);
}

int table_print(struct table *t, FILE *out)
{
	int width[TABLE_COLUMNS_MAX], err = t->err;

	for (uint32_t c = 0; c < t->columns; c++) {
		width[c] = (int)strlen(t->head[c]) - (t->head[c][0] == '-');
		for (uint32_t r = 0; r < t->rows; r++) {
			int len = (int)strlen(t->cell[(size_t)r * t->columns + c]);

			width[c] = len > width[c] ? len : width[c];
		}
	}
	for (uint32_t c = 0; c < t->columns; c++) {
		bool left = t->head[c][0] == '-';

		print_cell(out, t->head[c] + left, width[c], left, c + 1 == t->columns);
	}
	for (uint32_t r = 0; r < t->rows; r++)
		for (uint32_t c = 0; c < t->columns; c++)
			print_cell(out, t->cell[(size_t)r * t->columns + c], width[c],
				   t->head[c][0] == '-', c + 1 == t->columns);
	free(t->cell);
	*t = (struct table){ .head = NULL };
	return err;
}
