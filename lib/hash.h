/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SipHash-2-4: a keyed hash, for tables whose keys come from the network, so
 * that nobody outside can choose keys that collide.
 *
 * Pure; must not know what is hashed.  With key bytes 00..0f (key[0] =
 * 0x0706050403020100 on any host) it gives the published reference values.
 */
#ifndef TURNOUT_LIB_HASH_H
#define TURNOUT_LIB_HASH_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void hash_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = hash_rotl(v[1], 13) ^ v[0];
	v[0] = hash_rotl(v[0], 32);
	v[2] += v[3];
	v[3] = hash_rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = hash_rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = hash_rotl(v[1], 17) ^ v[2];
	v[2] = hash_rotl(v[2], 32);
}

static inline uint64_t hash_bytes(const uint64_t key[2], const void *data, size_t len)
{
	uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
			 key[1] ^ 0x7465646279746573};
	const uint8_t *p = (const uint8_t *)data;
	uint64_t last = (uint64_t)len << 56;
	uint64_t m;

	for (size_t n = len; n >= 8; n -= 8, p += 8) {
		memcpy(&m, p, 8);
		m = le64toh(m);
		v[3] ^= m;
		hash_round(v);
		hash_round(v);
		v[0] ^= m;
	}
	for (size_t i = 0; i < len % 8; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	hash_round(v);
	hash_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		hash_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
