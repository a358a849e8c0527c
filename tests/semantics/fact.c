/* SPDX-License-Identifier: MIT */
/*
 * fact.c - how a case says what it saw.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sem.h"

void fact(const char *format, ...)
{
	char line[512];
	va_list args;
	int n, saved = errno;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	/* One write, without stdio: cases fork, and close what they like. */
	(void)!write(STDOUT_FILENO, line, (size_t)n);
	errno = saved;
}

long fact_call(const char *text, long result)
{
	if (result == -1)
		fact("%s: -1 %s", text, strerrorname_np(errno));
	else
		fact("%s: %ld", text, result);
	return result;
}

void fact_bytes(const char *text, ssize_t n, const void *bytes)
{
	if (n <= 0)
		(void)fact_call(text, n);
	else
		fact("%s: %zd '%.*s'", text, n, (int)n, (const char *)bytes);
}

const char *events_name(uint32_t events, char *buf)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = {
		{ POLLIN, "IN" },         { POLLPRI, "PRI" },       { POLLOUT, "OUT" },
		{ POLLERR, "ERR" },       { POLLHUP, "HUP" },       { POLLNVAL, "NVAL" },
		{ POLLRDNORM, "RDNORM" }, { POLLRDBAND, "RDBAND" }, { POLLWRNORM, "WRNORM" },
		{ POLLWRBAND, "WRBAND" }, { POLLRDHUP, "RDHUP" },
	};
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (events & names[i].bit)
			at += (size_t)snprintf(buf + at, EVENTS_LEN - at, "%s%s", at ? "|" : "",
					       names[i].name);
	return at ? buf : "nothing";
}

void fact_poll(int fd, int events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = (short)events };
	char asked[EVENTS_LEN], got[EVENTS_LEN];
	int r = poll(&p, 1, timeout_ms);

	if (r < 0)
		fact("poll %s: -1 %s", events_name((uint32_t)events, asked),
		     strerrorname_np(errno));
	else
		fact("poll %s: %s", events_name((uint32_t)events, asked),
		     events_name((uint16_t)p.revents, got));
}

void fact_ready(int fd)
{
	fact_poll(fd, POLLIN | POLLPRI | POLLOUT | POLLRDHUP, 0);
}

/* Global: a signal handler has no other place to count. */
static volatile sig_atomic_t sigpipe_count;

static void count_sigpipe(int number)
{
	(void)number;
	sigpipe_count++;
}

/* Before main, so that no case has to think of it. */
__attribute__((constructor)) static void catch_sigpipe(void)
{
	struct sigaction action = { .sa_handler = count_sigpipe };

	(void)sigaction(SIGPIPE, &action, NULL); /* cannot fail with these arguments */
}

int sigpipes(void)
{
	int n = sigpipe_count;

	sigpipe_count = 0;
	return n;
}

int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
