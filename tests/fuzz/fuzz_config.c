/* SPDX-License-Identifier: MIT */
/*
 * fuzz_config.c - any bytes as ncd.conf: refused with one line, or understood and printed as such.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What @c says, as text of the caller's: without where each value is from if @bare. */
static char *says(const struct config *c, bool bare)
{
	char *text = NULL, *in, *to;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	if (out == NULL)
		abort();
	config_print(c, out);
	fclose(out);
	for (in = to = text; bare && *in; in = strchrnul(in, '\n')) {
		bytes = strcspn(in + 1, ";\n") + 1; /* with the '\n' before it */
		to = memmove(to, in, bytes);
		to += bytes;
		in += bytes;
	}
	if (bare)
		*to = '\0';
	return text;
}

static struct config *read_back(const char *text)
{
	char error[CONFIG_ERROR_BYTES] = "";
	struct config *c = NULL;
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");

	if (in == NULL)
		abort();
	/* Lists may print longer than a line may be; that is the one way to fail here. */
	if (config_read(in, "again", &c, error) < 0 && strstr(error, "longer than") == NULL &&
	    strstr(error, "too many") == NULL) {
		(void)fprintf(stderr, "%s\n%s", error, text);
		abort();
	}
	fclose(in);
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char error[CONFIG_ERROR_BYTES] = "";
	struct config *c = NULL, *again;
	char *text, *first, *second;
	FILE *in;

	if (bytes == 0)
		return 0;
	in = fmemopen((void *)(uintptr_t)data, bytes, "r");
	if (in == NULL)
		abort();
	if (config_read(in, "fuzz", &c, error) < 0) {
		fclose(in);
		/* One line, and it says something. */
		if (error[0] == '\0' || strchr(error, '\n'))
			abort();
		return 0;
	}
	fclose(in);
	text = says(c, false);
	again = read_back(text);
	if (again) {
		first = says(c, true);
		second = says(again, true);
		if (strcmp(first, second) != 0) {
			(void)fprintf(stderr, "said first:\n%s\nthen:\n%s\n", first, second);
			abort();
		}
		free(first);
		free(second);
	}
	config_free(c);
	config_free(again);
	free(text);
	return 0;
}
