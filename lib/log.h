/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines on standard error, with sd-daemon priority prefixes when the
 * journal reads it (JOURNAL_STREAM is set), plain otherwise.
 *
 * A line says what happened and, where there is one, what to do next.
 * Must not know of any daemon's types.
 */
#ifndef TURNOUT_LIB_LOG_H
#define TURNOUT_LIB_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* At start, before any thread.  name: short program name, borrowed for the life of the process. */
void log_open(const char *name, bool debug);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * A token bucket for lines that the network can provoke.  Owned by the caller,
 * zero-initialised.  log_allowed() says whether to write now; *missed is set
 * to the number of lines suppressed since the last one allowed.
 */
struct log_limit {
	uint64_t window_ms; /* start of the current one-second window */
	uint32_t written;   /* lines in it */
	uint32_t missed;
};
bool log_allowed(struct log_limit *limit, uint64_t now_ms, uint32_t per_second, uint32_t *missed);

#endif
