/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For fuzzers only: changing a packet so that its lengths and checksums stay right.
 */
#ifndef TURNOUT_TESTS_FUZZ_SHAPE_PACKET_H
#define TURNOUT_TESTS_FUZZ_SHAPE_PACKET_H

#include <netinet/in.h>

#include "fad/checksum.h"
#include "fad/packet.h"
#include "tests/fuzz/mutate.h"

static inline void packet_shape_ip(uint8_t *p, size_t size)
{
	size_t header = (size_t)(p[0] & 15) * 4;
	uint16_t sum;

	if (p[0] >> 4 == 6 && size >= 40)
		fuzz_put16(p + 4, size - 40);
	if (p[0] >> 4 != 4 || size < 20)
		return;
	if (header < 20 || header > size) {
		p[0] = 0x45;
		header = 20;
	}
	fuzz_put16(p + 2, size);
	memset(p + 10, 0, 2);
	sum = checksum_finish(checksum_add(0, p, header));
	memcpy(p + 10, &sum, 2);
}

static inline void packet_shape_transport(uint8_t *p, size_t size)
{
	struct packet q = {.data = NULL};
	bool tcp, udp;
	size_t at;
	uint64_t sum = 0;
	uint16_t value;

	if (packet_parse(&q, p, size) != PACKET_OK || !q.l4 || q.fragment || q.embedded)
		return;
	tcp = q.key.proto == IPPROTO_TCP;
	udp = q.key.proto == IPPROTO_UDP;
	at = q.l4 + (tcp ? 16u : udp ? 6u : 2u);
	if (at + 2 > q.len)
		return;
	if (tcp || udp || q.key.proto == IPPROTO_ICMPV6)
		sum = checksum_pseudo(q.key.src, q.key.dst, addr_len(q.key.family), q.key.proto, q.len - q.l4);
	memset(p + at, 0, 2);
	value = checksum_finish(checksum_add(sum, p + q.l4, q.len - q.l4));
	memcpy(p + at, &value, 2);
}

/* In place; as fuzz_change.  Once in a while the result is not repaired. */
static inline size_t packet_shape(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	if (max == 0)
		return 0;
	if (max > 0xffff)
		max = 0xffff;
	if (size > max)
		return size;
	size = LLVMFuzzerMutate(p, size, size && fuzz_below(seed, 2) ? size : max);
	if (size == 0 || fuzz_below(seed, 16) == 0)
		return size;
	packet_shape_ip(p, size);
	packet_shape_transport(p, size);
	return size;
}

#endif
