/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The internet checksum (RFC 1071): sums over memory and over the pseudo-header.
 *
 * Pure arithmetic.  A running sum is a uint64_t in host byte order of network
 * order 16-bit words; it may be added to freely and is folded once, at the end.
 * Must not know of packets' layout beyond the pseudo-header.
 */
#ifndef TURNOUT_FAD_CHECKSUM_H
#define TURNOUT_FAD_CHECKSUM_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Add len bytes that start at an even offset of what is summed.  Words are taken as they lie in memory: the
 * ones' complement sum does not care about byte order as long as the result is stored the same way. */
static inline uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *at = data;
	for (; len >= 4; at += 4, len -= 4) {
		uint32_t word;
		memcpy(&word, at, 4);
		sum += word;
	}
	if (len >= 2) {
		uint16_t word;
		memcpy(&word, at, 2);
		sum += word;
		at += 2;
		len -= 2;
	}
	if (len) {
		uint16_t word = 0;
		memcpy(&word, at, 1); /* the odd byte is the high one, padded with zero */
		sum += word;
	}
	return sum;
}

/* To 16 bits, uncomplemented, in memory (network) order. */
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The field's value for a sum, in network order. */
static inline uint16_t checksum_finish(uint64_t sum)
{
	return (uint16_t)~checksum_fold(sum);
}

/* UDP: a computed zero is sent as all ones, since zero means none. */
static inline uint16_t checksum_finish_udp(uint64_t sum)
{
	uint16_t value = checksum_finish(sum);
	return value ? value : 0xffff;
}

/* The pseudo-header of TCP, UDP and ICMPv6; addresses of addr_bytes (4 or 16), len of transport header and payload. */
static inline uint64_t checksum_pseudo(const uint8_t *src, const uint8_t *dst, size_t addr_bytes, uint8_t proto,
				       uint32_t len)
{
	uint64_t sum = checksum_add(0, src, addr_bytes);
	sum = checksum_add(sum, dst, addr_bytes);
	sum += htons(proto);
	sum += htonl(len);
	return sum;
}

/*
 * What replacing len bytes (an even number, at an even offset) adds to a sum
 * over them: the new words and the complements of the old ones (RFC 1624).
 */
static inline uint64_t checksum_replace(uint64_t sum, const void *before, const void *after, size_t len)
{
	const uint8_t *at = before;
	for (size_t i = 0; i + 2 <= len; i += 2) {
		uint16_t word;
		memcpy(&word, at + i, 2);
		sum += (uint16_t)~word;
	}
	return checksum_add(sum, after, len);
}

/* A complete checksum field after delta was added to what it covers. */
static inline uint16_t checksum_update(uint16_t field, uint64_t delta)
{
	return checksum_finish((uint64_t)(uint16_t)~field + delta);
}

/* A partial one: it holds the pseudo-header's sum, uncomplemented. */
static inline uint16_t checksum_update_partial(uint16_t field, uint64_t delta)
{
	return checksum_fold((uint64_t)field + delta);
}

#endif
