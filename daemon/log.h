/* SPDX-License-Identifier: MIT */
/*
 * log.h - one line a fact on stderr, for people and for the journal.
 *
 * Ownership: struct log is the caller's memory; the descriptor is not closed.
 * Threading: control only. Workers count, and tell control in events.
 * Trust: text that came from outside is printed with its control characters replaced.
 */
#ifndef NCD_LOG_H
#define NCD_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* As in syslog(3), and the <N> that the journal reads in front of a line. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

struct log {
	int fd;
	bool journal; /* lines carry their priority */
	enum log_level level;
};

/* To @fd; a line that would block for long is dropped. Asks the environment whether that is the
 * journal's. */
void log_init(struct log *l, int fd, enum log_level level);
/* True if @journal_stream ("DEVICE:INODE" of systemd.exec(5), or NULL) names @fd. */
bool log_is_journal(int fd, const char *journal_stream);

void log_line(const struct log *l, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Lets LOG_BURST lines through, then one in LOG_REFILL_NS; belongs to one kind of message. */
#define LOG_BURST     10u
#define LOG_REFILL_NS 10000000000ull
struct log_limit {
	uint64_t refilled_ns;
	uint32_t spent;
	uint32_t suppressed;
};

/* May a line be written now? If so *ret_suppressed lines were not since the last. */
bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, uint32_t *ret_suppressed);

/* As log_line, within @limit; says how many lines were left out before. */
void log_limited(const struct log *l, struct log_limit *limit, enum log_level level,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif /* NCD_LOG_H */
