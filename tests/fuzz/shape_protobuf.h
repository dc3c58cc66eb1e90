/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For fuzzers only: changing a protobuf message so that it stays one.
 *
 * Knows the encoding, not the schema: a field is a key and a value, and a value
 * of bytes may be a message itself.
 */
#ifndef TURNOUT_TESTS_FUZZ_SHAPE_PROTOBUF_H
#define TURNOUT_TESTS_FUZZ_SHAPE_PROTOBUF_H

#include <protobuf-c/protobuf-c.h>

#include "tests/fuzz/mutate.h"

#define PROTOBUF_BYTES 2 /* wire type */

/* Bytes of the varint, 0: it does not end. */
static inline size_t protobuf_varint(const uint8_t *data, size_t size, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < size && i < 10; i++) {
		*value |= (uint64_t)(data[i] & 0x7f) << (7 * i);
		if (!(data[i] & 0x80))
			return i + 1;
	}
	return 0;
}

static inline size_t protobuf_put(uint8_t *out, uint64_t value)
{
	size_t n = 0;

	for (; value > 0x7f; value >>= 7)
		out[n++] = (uint8_t)(value | 0x80);
	out[n++] = (uint8_t)value;
	return n;
}

/* Where the value begins, and how long it is.  False: this is no field. */
static inline bool protobuf_field(const uint8_t *data, size_t size, uint64_t *key, size_t *at, uint64_t *len)
{
	uint64_t value;
	size_t n = protobuf_varint(data, size, key), m;

	if (n == 0)
		return false;
	*at = n;
	switch (*key & 7) {
	case 0:
		*len = protobuf_varint(data + n, size - n, &value);
		return *len > 0;
	case 1:
		*len = 8;
		break;
	case 5:
		*len = 4;
		break;
	case PROTOBUF_BYTES:
		m = protobuf_varint(data + n, size - n, len);
		*at += m;
		if (m == 0)
			return false;
		break;
	default:
		return false;
	}
	return *len <= size - *at;
}

static inline size_t protobuf_cut(const uint8_t *data, size_t size)
{
	uint64_t key, len;
	size_t at;

	return protobuf_field(data, size, &key, &at, &len) ? at + (size_t)len : 0;
}

/* A number: small, large, or anything. */
static inline uint64_t protobuf_number(uint32_t *seed)
{
	uint64_t any = (uint64_t)fuzz_below(seed, UINT32_MAX) << 32 | fuzz_below(seed, UINT32_MAX);

	switch (fuzz_below(seed, 4)) {
	case 0:
		return fuzz_below(seed, 8);
	case 1:
		return 1ull << fuzz_below(seed, 64);
	case 2:
		return UINT64_MAX - fuzz_below(seed, 2);
	default:
		return any >> fuzz_below(seed, 64);
	}
}

/* In place; as fuzz_change. */
static inline size_t protobuf_change(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	uint8_t *value;
	uint64_t key, len;
	size_t at, n, room;

	if (!protobuf_field(p, size, &key, &at, &len) || max < size + 24)
		return size;
	if (fuzz_below(seed, 16) == 0)
		key = (uint64_t)(1 + fuzz_below(seed, 40)) << 3 | (key & 7);
	if ((key & 7) == 0)
		return protobuf_put(p + protobuf_put(p, key), protobuf_number(seed)) + protobuf_put(p, key);
	if ((key & 7) != PROTOBUF_BYTES)
		return size;
	room = max - 24;
	value = malloc(room);
	FUZZ_CHECK(value != NULL);
	n = (size_t)len < room ? (size_t)len : room;
	memcpy(value, p + at, n);
	/* A message in it, or text. */
	if (n > 0 && fuzz_below(seed, 2) && protobuf_cut(value, n))
		n = fuzz_mutate(value, n, room, 0, protobuf_cut, protobuf_change, seed);
	else
		n = LLVMFuzzerMutate(value, n, room);
	at = protobuf_put(p, key);
	at += protobuf_put(p + at, n);
	memcpy(p + at, value, n);
	free(value);
	return at + n;
}

/* In place; as fuzz_change.  From nothing, and once in a while else, a field more. */
static inline size_t protobuf_shape(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	bool bytes = fuzz_below(seed, 2);

	if (max < size + 32)
		return size > 0 ? LLVMFuzzerMutate(p, size, max) : 0;
	if (size > 0 && fuzz_below(seed, 8))
		return fuzz_below(seed, 16) ? fuzz_mutate(p, size, max, 0, protobuf_cut, protobuf_change, seed)
					    : LLVMFuzzerMutate(p, size, max);
	size += protobuf_put(p + size, (uint64_t)(1 + fuzz_below(seed, 40)) << 3 | (bytes ? PROTOBUF_BYTES : 0));
	return size + protobuf_put(p + size, bytes ? 0 : protobuf_number(seed));
}

/* What a program made can be packed, into as many bytes as it says. */
static inline void protobuf_packs(const ProtobufCMessage *made)
{
	size_t len = protobuf_c_message_get_packed_size(made);
	uint8_t *packed = malloc(len + 1);

	FUZZ_CHECK(packed && protobuf_c_message_pack(made, packed) == len);
	free(packed);
}

#endif
