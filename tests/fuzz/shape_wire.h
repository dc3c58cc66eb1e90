/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For fuzzers only: changing a service message so that it stays one: segments
 * come, go, move or change inside, while lengths and header stay right.
 *
 * Knows of the format only how it nests, so that it need not be told of segments to come.
 */
#ifndef TURNOUT_TESTS_FUZZ_SHAPE_WIRE_H
#define TURNOUT_TESTS_FUZZ_SHAPE_WIRE_H

#include "proto/wire.h"
#include "tests/fuzz/mutate.h"

static inline size_t wire_shape_cut(const uint8_t *data, size_t size)
{
	return size < WIRE_SEGMENT_HEADER_LEN ? 0 : WIRE_SEGMENT_HEADER_LEN + fuzz_get16(data + 2);
}

static inline size_t wire_shape_segment(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	static const uint8_t types[] = {WIRE_SEG_WILDCARD,   WIRE_SEG_FIXED,
					WIRE_SEG_IDENTIFIER, WIRE_SEG_PRECEDENCE,
					WIRE_SEG_BACKUP,     WIRE_SEG_SECURITY,
					WIRE_SEG_SM_DATA,    WIRE_SEG_FA_DATA,
					WIRE_SEG_IDENTITY,   WIRE_SEG_NAT,
					WIRE_SEG_ADVERTISE,  WIRE_SEG_SEQ_ADJUST,
					WIRE_SEG_INTEREST,   WIRE_SEG_ACTION_LIST,
					WIRE_SEG_IP_PACKET,  WIRE_SEG_RANGES,
					WIRE_SEG_TUNNEL,     WIRE_SEG_NONCE,
					WIRE_SEG_ERROR,      WIRE_SEG_LISTING,
					WIRE_SEG_REJECT,     200};
	size_t n;

	if (size < WIRE_SEGMENT_HEADER_LEN)
		return size;
	if (fuzz_below(seed, 16) == 0)
		p[0] = types[fuzz_below(seed, sizeof(types))];
	if (fuzz_below(seed, 16) == 0)
		p[1] ^= 0x80;
	if (max > WIRE_MAX / 2)
		max = WIRE_MAX / 2;
	if (max <= WIRE_SEGMENT_HEADER_LEN || size > max)
		return size;
	n = size - WIRE_SEGMENT_HEADER_LEN;
	/* Most fields are of fixed size: often keep it. */
	n = LLVMFuzzerMutate(p + WIRE_SEGMENT_HEADER_LEN, n,
			     n && fuzz_below(seed, 4) ? n : max - WIRE_SEGMENT_HEADER_LEN);
	fuzz_put16(p + 2, n);
	return WIRE_SEGMENT_HEADER_LEN + n;
}

/* The header says what a header must; of identities and sequences there are few, so that they meet. */
static inline void wire_shape_header(uint8_t *p, size_t size, uint32_t *seed)
{
	static const uint8_t types[] = {WIRE_WILDCARD_UPDATE,    WIRE_FIXED_UPDATE, WIRE_DENY,  WIRE_MATCH_WILDCARD,
					WIRE_MATCH_FIXED,        WIRE_PACKET,       WIRE_HELLO, WIRE_CHALLENGE,
					WIRE_CHALLENGE_RESPONSE, WIRE_REFRESH,      WIRE_ASK,   WIRE_HELD};

	if (size < WIRE_HEADER_LEN)
		return;
	if (fuzz_below(seed, 16) == 0)
		p[1] = types[fuzz_below(seed, sizeof(types))];
	if (fuzz_below(seed, 8) == 0)
		p[15 + 8 * fuzz_below(seed, 4)] = (uint8_t)fuzz_below(seed, 4);
	p[0] = WIRE_VERSION;
	fuzz_put16(p + 2, size <= WIRE_MAX ? size : WIRE_MAX);
	memset(p + 4, 0, 4);
}

/* In place; as fuzz_change.  Once in a while the result is not repaired. */
static inline size_t wire_shape(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	if (max == 0)
		return 0;
	if (size <= WIRE_HEADER_LEN || fuzz_below(seed, 32) == 0)
		return LLVMFuzzerMutate(p, size, max);
	size = fuzz_mutate(p, size, max, WIRE_HEADER_LEN, wire_shape_cut, wire_shape_segment, seed);
	wire_shape_header(p, size, seed);
	return size;
}

#endif
