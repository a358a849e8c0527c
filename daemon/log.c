/* SPDX-License-Identifier: MIT */
/*
 * log.c - log lines: one write each, so that lines of two processes do not mix.
 */
#include "log.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

#define LINE_BYTES 1024 /* no more than PIPE_BUF: a pipe that polls writable takes it whole */
#define WAIT_MS    10   /* ncd goes on though nobody reads its log */

bool log_is_journal(int fd, const char *journal_stream)
{
	uint64_t device, inode;
	struct stat st;

	if (journal_stream == NULL ||
	    sscanf(journal_stream, "%" SCNu64 ":%" SCNu64, &device, &inode) != 2)
		return false;
	return fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_init(struct log *l, int fd, enum log_level level)
{
	*l = (struct log){
		.fd = fd,
		.journal = log_is_journal(fd, getenv("JOURNAL_STREAM")),
		.level = level,
	};
}

__attribute__((format(printf, 4, 0))) static void log_vline(const struct log *l,
							    enum log_level level,
							    uint32_t suppressed, const char *fmt,
							    va_list args)
{
	char line[LINE_BYTES];
	size_t used = 0, begin;
	int r;

	if (level > l->level)
		return;
	if (l->journal)
		used = (size_t)snprintf(line, sizeof(line), "<%d>", (int)level);
	else
		used = (size_t)snprintf(line, sizeof(line), "ncd: ");
	begin = used;
	r = vsnprintf(line + used, sizeof(line) - used - 1, fmt, args);
	if (r < 0)
		return;
	used += (size_t)r < sizeof(line) - used - 1 ? (size_t)r : sizeof(line) - used - 2;
	if (suppressed > 0) {
		r = snprintf(line + used, sizeof(line) - used - 1,
			     " (and %" PRIu32 " more like it)", suppressed);
		if (r > 0 && (size_t)r < sizeof(line) - used - 1)
			used += (size_t)r;
	}
	/* Names come from peers, clients and files: none may forge a line or move the cursor. */
	for (; begin < used; begin++)
		if ((unsigned char)line[begin] < ' ' || line[begin] == 0x7f)
			line[begin] = '?';
	line[used++] = '\n';
	/* There is nobody to tell that the log is not read, or cannot be written. */
	if (poll(&(struct pollfd){ .fd = l->fd, .events = POLLOUT }, 1, WAIT_MS) == 0 ||
	    write(l->fd, line, used) < 0)
		return;
}

void log_line(const struct log *l, enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_vline(l, level, 0, fmt, args);
	va_end(args);
}

bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, uint32_t *ret_suppressed)
{
	uint64_t refills = (now_ns - limit->refilled_ns) / LOG_REFILL_NS;

	if (limit->refilled_ns == 0) {
		limit->refilled_ns = now_ns;
	} else if (refills > 0) {
		limit->refilled_ns += refills * LOG_REFILL_NS;
		limit->spent = refills < limit->spent ? limit->spent - (uint32_t)refills : 0;
	}
	if (limit->spent >= LOG_BURST) {
		limit->suppressed++;
		return false;
	}
	limit->spent++;
	*ret_suppressed = limit->suppressed;
	limit->suppressed = 0;
	return true;
}

void log_limited(const struct log *l, struct log_limit *limit, enum log_level level,
		 const char *fmt, ...)
{
	uint32_t suppressed = 0;
	va_list args;

	if (level > l->level || !log_limit_pass(limit, clock_monotonic_ns(), &suppressed))
		return;
	va_start(args, fmt);
	log_vline(l, level, suppressed, fmt, args);
	va_end(args);
}
