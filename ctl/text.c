/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text helpers of turnoutctl, see text.h.
 *
 * Pure; must not know of daemons or messages.
 */
#include "ctl/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NEAR     2  /* edits that still count as a slip of the finger */
#define WORD_MAX 31 /* longer words are not compared */

/* Decode one character.  Returns its length, or 0 if it is not UTF-8. */
static size_t decode(const uint8_t *s, uint32_t *c)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80             ? 1
		     : (s[0] & 0xe0) == 0xc0 ? 2
		     : (s[0] & 0xf0) == 0xe0 ? 3
		     : (s[0] & 0xf8) == 0xf0 ? 4
					     : 0;

	if (len == 0)
		return 0;
	*c = len == 1 ? s[0] : s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80) /* the terminating NUL stops here too */
			return 0;
		*c = *c << 6 | (s[i] & 0x3f);
	}
	if (*c < smallest[len] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff))
		return 0;
	return len;
}

static bool harmless(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	/* Direction marks, embeddings and isolates; line and paragraph separators. */
	return !(c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
		 (c >= 0x2066 && c <= 0x2069));
}

char *text_safe(const char *text)
{
	const uint8_t *in = (const uint8_t *)text;
	char *copy = malloc(strlen(text) + 1); /* a replacement is never longer */
	char *out = copy;

	if (!copy)
		return NULL;
	while (*in) {
		uint32_t c = 0;
		size_t len = decode(in, &c);

		if (len > 0 && harmless(c)) {
			memcpy(out, in, len);
			out += len;
		} else {
			*out++ = '?';
		}
		in += len > 0 ? len : 1;
	}
	*out = '\0';
	return copy;
}

static size_t least(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein distance of words of at most WORD_MAX characters. */
static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1], la = strlen(a), lb = strlen(b);

	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t above = row[j];

			row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[lb];
}

const char *text_nearest(const char *word, const char *const *words, size_t count)
{
	const char *best = NULL;
	size_t best_distance = NEAR + 1, len = strlen(word);

	if (len == 0 || len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t d;

		if (strlen(words[i]) > WORD_MAX)
			continue;
		d = distance(word, words[i]);
		/* An abbreviation of three letters is as good as one slip. */
		if (d > 1 && len >= 3 && strncmp(word, words[i], len) == 0)
			d = 1;
		if (d < best_distance && d < strlen(words[i])) {
			best = words[i];
			best_distance = d;
		}
	}
	return best;
}
