/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text helpers of turnoutctl: making foreign text safe for terminals, and
 * finding what somebody meant to type.
 *
 * Pure; must not know of daemons or messages.
 */
#ifndef TURNOUT_CTL_TEXT_H
#define TURNOUT_CTL_TEXT_H

#include <stddef.h>

/*
 * A copy of `text`, to be freed, that is valid UTF-8 and cannot steer a
 * terminal: control characters (C0, DEL, C1), marks that change the writing
 * direction, line and paragraph separators, and bytes that are not UTF-8 become
 * '?', one for each character or byte.  NULL when out of memory.
 */
char *text_safe(const char *text);

/* Which of `words` is nearest to `word`; NULL when none is near. */
const char *text_nearest(const char *word, const char *const *words, size_t count);

#endif
