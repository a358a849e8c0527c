/* SPDX-License-Identifier: MIT */
/*
 * fuzz_config.c - any bytes as ncd.conf: refused with one line, or understood and printed back.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char error[CONFIG_ERROR_BYTES] = "";
	struct config *c = NULL, *again = NULL;
	char *text = NULL;
	size_t text_bytes = 0;
	FILE *in, *out;

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
	out = open_memstream(&text, &text_bytes);
	if (out == NULL)
		abort();
	config_print(c, out);
	fclose(out);
	in = fmemopen(text, text_bytes, "r");
	if (in == NULL)
		abort();
	/* Lists may print longer than a line may be; that is the one way to fail here. */
	if (config_read(in, "again", &again, error) < 0 && strstr(error, "longer than") == NULL &&
	    strstr(error, "too many") == NULL) {
		(void)fprintf(stderr, "%s\n%s", error, text);
		abort();
	}
	fclose(in);
	config_free(c);
	config_free(again);
	free(text);
	return 0;
}
