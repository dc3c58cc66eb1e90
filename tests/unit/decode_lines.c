/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For test_protocol.py: reads messages in hex, one a line, and prints what
 * proto/wire.c thinks of each: the fault's name.
 *
 * Must not know anything of the format itself.
 */
#include <stdlib.h>

#include "proto/wire.h"

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes of the hex in line; as many as there are. */
static size_t bytes_of(const char *line, uint8_t *out, size_t cap)
{
	size_t n = 0;

	while (n < cap && digit(line[2 * n]) >= 0 && digit(line[2 * n + 1]) >= 0) {
		out[n] = (uint8_t)(digit(line[2 * n]) << 4 | digit(line[2 * n + 1]));
		n++;
	}
	return n;
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		struct wire_diagnosis why;
		struct wire_msg m;
		/* Exactly as long as the message, so that a sanitizer sees a read beyond it. */
		uint8_t *message = malloc(size);
		size_t len = message ? bytes_of(line, message, size) : 0;
		uint8_t *exact = realloc(message, len ? len : 1);

		if (!exact)
			abort();
		puts(wire_fault_name(wire_decode(exact, len, &m, &why)));
		free(exact);
	}
	free(line);
	return 0;
}
