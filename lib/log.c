/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines on standard error.  What log_open() was told belongs to the
 * process, because a line can come from any depth; so it is kept where the C
 * library keeps such things already: the program's short name, and the mask of
 * levels that setlogmask() holds (this file sends nothing to syslog).
 *
 * Must not know of any daemon's types.
 */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

_Static_assert((int)LOG_LEVEL_ERROR == LOG_ERR && (int)LOG_LEVEL_WARNING == LOG_WARNING &&
		       (int)LOG_LEVEL_INFO == LOG_INFO && (int)LOG_LEVEL_DEBUG == LOG_DEBUG,
	       "the levels are syslog's, as the mask and the journal want them");

void log_open(const char *name, bool debug)
{
	program_invocation_short_name = (char *)(uintptr_t)name;
	setlogmask(LOG_UPTO(debug ? LOG_DEBUG : LOG_INFO));
}

/* Asking does not change the mask.  Before log_open() it lets everything through. */
static bool wanted(enum log_level level)
{
	return (setlogmask(0) & LOG_MASK(level)) != 0;
}

/* A line is one line: what the network sent must not be able to fake another. */
static void make_printable(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

void log_write(enum log_level level, const char *format, ...)
{
	const char *word = level == LOG_LEVEL_ERROR ? "error: " : level == LOG_LEVEL_WARNING ? "warning: " : "";
	int error = errno; /* a caller may log first and then return it */
	char text[1024], line[1200];
	ssize_t unused;
	va_list ap;
	int len;

	if (!wanted(level))
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	make_printable(text);
	/* Each time: it costs less than the write, and needs no memory of its own. */
	if (getenv("JOURNAL_STREAM") != NULL)
		len = snprintf(line, sizeof(line), "<%d>%s\n", (int)level, text);
	else
		len = snprintf(line, sizeof(line), "%s: %s%s\n", program_invocation_short_name, word, text);
	/* One write, so that lines of several processes on one terminal do not mix. */
	unused = write(STDERR_FILENO, line, (size_t)len);
	(void)unused;
	errno = error;
}

bool log_allowed(struct log_limit *limit, uint64_t now_ms, uint32_t per_second, uint32_t *missed)
{
	*missed = 0;
	if (now_ms - limit->window_ms >= 1000) {
		limit->window_ms = now_ms;
		limit->written = 0;
	}
	if (limit->written >= per_second) {
		limit->missed++;
		return false;
	}
	limit->written++;
	*missed = limit->missed;
	limit->missed = 0;
	return true;
}
