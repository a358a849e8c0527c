/* SPDX-License-Identifier: MIT */
/*
 * stdio.c - streams of stdio(3) over a socket.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sem.h"

static void stdio_lines_come_in(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "r");
	char line[32];

	(void)far_send(&p, "one\ntwo\nthr");
	(void)far_send(&p, "ee\n");
	(void)far_close(&p);
	while (fgets(line, sizeof(line), f))
		fact("line %s", strtok(line, "\n"));
	fact("eof %d error %d", !!feof(f), !!ferror(f));
}

static void stdio_goes_out_when_flushed(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "w");
	char buf[32];

	CALL(fprintf(f, "%s %d", "hello", 42));
	CALL(fflush(f));
	CALL(far_recv(&p, buf, 8));
	fact("'%.8s'", buf);
}

static void stdio_line_buffered(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "w");
	char buf[32];

	CALL(setvbuf(f, NULL, _IOLBF, 0));
	CALL(fputs("line\n", f) >= 0);
	CALL(far_recv(&p, buf, 5));
}

static void stdio_unbuffered(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "w");
	char c;

	CALL(setvbuf(f, NULL, _IONBF, 0));
	CALL(fputc('x', f) == 'x');
	CALL(far_recv(&p, &c, 1));
}

static void stdio_both_ways(void)
{
	struct pair p = pair_open();
	FILE *in = fdopen(p.fd, "r"), *out = fdopen(dup(p.fd), "w");
	char line[32];

	far_start_echo(&p);
	for (int i = 0; i < 5; i++) {
		(void)fprintf(out, "ping %d\n", i); /* what comes back is judged */
		(void)fflush(out);
		if (!fgets(line, sizeof(line), in))
			break;
		fact("back %s", strtok(line, "\n"));
	}
}

static void stdio_update_stream(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "r+");
	char line[32];

	far_start_echo(&p);
	CALL(fputs("question\n", f) >= 0);
	CALL(fflush(f));
	fact("got %d", fgets(line, sizeof(line), f) != NULL && strcmp(line, "question\n") == 0);
}

static void stdio_close_is_the_end_there(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "w");
	char buf[8];

	CALL(fputs("tail", f) >= 0);
	CALL(fclose(f));
	CALL(far_recv(&p, buf, 4));
	CALL(far_recv(&p, buf, 4));
	CALL(close(p.fd));
}

static void stdio_error_after_a_reset(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "r");

	(void)far_reset(&p);
	wait_broken(p.fd);
	fact("the end: %d", fgetc(f) == EOF);
	fact("eof %d error %d", !!feof(f), !!ferror(f));
}

static void stdio_write_to_a_finished_socket(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "w");

	CALL(shutdown(p.fd, SHUT_WR));
	CALL(fputs("lost", f) >= 0);
	CALL(fflush(f));
	CALL(ferror(f) != 0);
	CALL(sigpipes());
}

static void stdio_getline_and_ungetc(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "r");
	char *line = NULL;
	size_t room = 0;
	int c;

	(void)far_send(&p, "first\nsecond\n");
	c = fgetc(f);
	CALL(ungetc(c, f) == 'f');
	CALL(getline(&line, &room, f));
	CALL(getline(&line, &room, f));
	CALL(fileno(f) == p.fd);
}

static void stdio_fread_of_much(void)
{
	static uint8_t big[1 << 20];
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "r");

	far_start_pump(&p, sizeof(big));
	far_start_close(&p);
	CALL(fread(big, 1, sizeof(big), f));
	fact("right %d", pattern_is(big, 0, sizeof(big)));
	fact("no more %d eof %d", fgetc(f) == EOF, !!feof(f));
}

static void stdio_fwrite_of_much(void)
{
	static uint8_t big[1 << 20];
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "w");

	pattern_fill(big, 0, sizeof(big));
	far_start_drain(&p, sizeof(big));
	CALL(fwrite(big, 1, sizeof(big), f));
	CALL(fflush(f));
	fact("drained %ld", far_finish(&p));
}

static void stdio_dprintf(void)
{
	struct pair p = pair_open();
	char buf[16];

	CALL(dprintf(p.fd, "%d-%s", 7, "seven"));
	CALL(far_recv(&p, buf, 7));
	fact("'%.7s'", buf);
}

static void stdio_nonblocking(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "r");

	set_nonblocking(p.fd, true);
	fact("the end: %d", fgetc(f) == EOF);
	fact("errno %s", strerrorname_np(errno));
	clearerr(f);
	(void)far_send(&p, "x");
	wait_bytes(p.fd, 1);
	fact("the end: %d", fgetc(f) == EOF);
}

static void stdio_cannot_seek(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "r+");

	CALL(fseek(f, 0, SEEK_SET));
	CALL(ftell(f));
}

static void stdio_standard_output_is_a_socket(void)
{
	struct pair p = pair_open();
	char buf[16];
	int keep = dup(STDOUT_FILENO);
	ssize_t n;

	(void)fflush(stdout);
	(void)dup2(p.fd, STDOUT_FILENO);
	(void)printf("to stdout\n"); /* what arrives is judged */
	(void)fflush(stdout);
	n = far_recv(&p, buf, 10);
	(void)dup2(keep, STDOUT_FILENO);
	fact_bytes("far got", n - 1, buf);
}

/* As a daemon does with what it was started with. */
static void stdio_is_reopened(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "r+"), *g;
	char buf[8];

	CALL(fputs("hello", f) >= 0);
	g = freopen("/dev/null", "r+", f);
	fact("reopened %d the same %d number %d", g != NULL, g == f, g && fileno(g) == p.fd);
	CALL(far_recv(&p, buf, 8));
	CALL(far_recv(&p, buf, 8));
	fact("the end: %d", fgetc(f) == EOF);
	CALL(feof(f) != 0);
	CALL(fclose(f));
}

static void stdio_reopened_as_a_file(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "r+"), *g;
	char path[64], line[16] = "";

	(void)snprintf(path, sizeof(path), "/tmp/ncd-semantics.%d", (int)getpid());
	g = freopen(path, "w+", f);
	(void)unlink(path);
	CALL(g && fputs("a line\n", g) >= 0);
	CALL(fseek(g, 2, SEEK_SET));
	fact("fgets %d '%.4s'", fgets(line, sizeof(line), g) != NULL, line);
	CALL(fclose(g));
	CALL(far_recv(&p, line, 8));
}

static void stdio_cannot_be_reopened(void)
{
	struct pair p = pair_open();
	FILE *f = fdopen(p.fd, "r+");

	fact("reopened %d", freopen("/nowhere/at/all", "r+", f) != NULL);
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

static void stdio_standard_input_is_reopened(void)
{
	struct pair p = pair_open();
	int c;

	(void)dup2(p.fd, STDIN_FILENO);
	(void)close(p.fd);
	(void)far_send(&p, "a");
	c = getchar();
	fact("got '%c'", c);
	fact("reopened %d", freopen("/dev/null", "r", stdin) != NULL);
	fact("the end: %d", getchar() == EOF);
	CALL(fileno(stdin));
	CALL(far_recv(&p, &(char){ 0 }, 1));
}

const struct sem_case cases_stdio[] = {
	FAR_CASE(stdio_lines_come_in),
	FAR_CASE(stdio_goes_out_when_flushed),
	FAR_CASE(stdio_line_buffered),
	FAR_CASE(stdio_unbuffered),
	FAR_CASE(stdio_both_ways),
	FAR_CASE(stdio_update_stream),
	FAR_CASE(stdio_close_is_the_end_there),
	FAR_CASE(stdio_error_after_a_reset),
	FAR_CASE(stdio_write_to_a_finished_socket),
	FAR_CASE(stdio_getline_and_ungetc),
	FAR_CASE(stdio_fread_of_much),
	FAR_CASE(stdio_fwrite_of_much),
	FAR_CASE(stdio_dprintf),
	FAR_CASE(stdio_nonblocking),
	FAR_CASE(stdio_cannot_seek),
	FAR_CASE(stdio_standard_output_is_a_socket),
	FAR_CASE(stdio_is_reopened),
	FAR_CASE(stdio_reopened_as_a_file),
	FAR_CASE(stdio_cannot_be_reopened),
	FAR_CASE(stdio_standard_input_is_reopened),
	CASES_END,
};
