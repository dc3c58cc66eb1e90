/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a test writes to its standard error, for tests of log lines.
 *
 * Must not know who writes it.
 */
#ifndef TURNOUT_LIB_CAPTURE_FIXTURE_H
#define TURNOUT_LIB_CAPTURE_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <unistd.h>

/* What was written since capture_start(), with standard error as it was. */
struct capture {
	FILE *file;
	int saved;
	char text[8192];
};

static inline void capture_start(struct capture *c)
{
	c->file = tmpfile();
	ck_assert_ptr_nonnull(c->file);
	c->saved = dup(STDERR_FILENO);
	ck_assert_int_ge(dup2(fileno(c->file), STDERR_FILENO), 0);
}

static inline const char *capture_end(struct capture *c)
{
	ssize_t n;

	ck_assert_int_ge(dup2(c->saved, STDERR_FILENO), 0);
	close(c->saved);
	n = pread(fileno(c->file), c->text, sizeof(c->text) - 1, 0);
	ck_assert_int_ge(n, 0);
	c->text[n] = '\0';
	fclose(c->file);
	return c->text;
}

#endif
