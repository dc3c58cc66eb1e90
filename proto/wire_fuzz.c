/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the message codec: any bytes are refused, or are a message that
 * prints, encodes, and decodes to the same text and the same bytes again.
 */
#include "proto/wire.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/shape_wire.h"

#define CHECK FUZZ_CHECK

/* Caller frees. */
static char *printed(const struct wire_msg *m)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	CHECK(out != NULL);
	wire_print(m, out, "");
	CHECK(fclose(out) == 0);
	return text;
}

/* What was accepted can be said again. */
static void again(const struct wire_msg *m)
{
	uint8_t *one = malloc(WIRE_MAX), *two = malloc(WIRE_MAX);
	struct wire_msg second;
	struct wire_diagnosis why;

	CHECK(one && two);
	ssize_t n = wire_encode(m, one, WIRE_MAX);
	CHECK(n > 0 && wire_decode(one, (size_t)n, &second, &why) == WIRE_OK);
	CHECK(wire_encode(&second, two, WIRE_MAX) == n && memcmp(one, two, (size_t)n) == 0);
	char *text = printed(m), *same = printed(&second);
	CHECK(strcmp(text, same) == 0);
	free(text);
	free(same);
	free(one);
	free(two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_header h;
	struct wire_security s;
	struct wire_msg m;
	struct wire_diagnosis why;
	enum wire_fault peeked = wire_peek(data, size, &h, &s), fault = wire_decode(data, size, &m, &why);

	CHECK(fault < WIRE_FAULT_COUNT && why.fault == fault && why.offset <= size);
	CHECK((fault == WIRE_FAULT_REQUIRED) == (why.unknown.count > 0) || fault != WIRE_OK);
	if (s.mac_len > 0)
		CHECK((size_t)s.mac_offset + s.mac_len <= size);
	if (fault != WIRE_OK)
		return 0;
	CHECK(peeked == WIRE_OK && h.type == m.h.type && h.source == m.h.source && h.sequence == m.h.sequence);
	again(&m);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint32_t chance = fuzz_seed(seed);

	return wire_shape(data, size, max, &chance);
}
