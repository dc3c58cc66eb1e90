// SPDX-License-Identifier: BSD-2-Clause
/*
 * Super-packets cut into the packets they stand for, and partial checksums
 * completed.  What is written is what the kernel's own segmentation would put
 * on a wire.
 *
 * Pure; must not know of tables or sockets.
 */
#include "fad/segment.h"

#include <netinet/in.h>
#include <string.h>

#include "fad/checksum.h"

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

static void write16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void write32(uint8_t *at, uint32_t v)
{
	write16(at, (uint16_t)(v >> 16));
	write16(at + 2, (uint16_t)v);
}

static uint16_t read16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t read32(const uint8_t *at)
{
	return (uint32_t)read16(at) << 16 | read16(at + 2);
}

/* Is p a super-packet that we know how to cut? */
static bool is_super(const struct packet *p)
{
	const struct packet_offload *o = &p->offload;
	if (o->gso_size == 0 || p->l4 == 0 || p->fragment || p->follows)
		return false;
	switch (o->gso_type) {
	case PACKET_GSO_TCP4:
	case PACKET_GSO_TCP6:
		return p->key.proto == IPPROTO_TCP;
	case PACKET_GSO_UDP_L4:
		return p->key.proto == IPPROTO_UDP;
	default:
		return false;
	}
}

size_t segment_count(const struct packet *p)
{
	if (!is_super(p))
		return 1;
	size_t bytes = p->len - p->payload;
	return bytes ? (bytes + p->offload.gso_size - 1) / p->offload.gso_size : 1;
}

/* The IP header of segment i, len bytes in all. */
static void finish_ip(const struct packet *p, size_t i, uint8_t *buf, size_t len)
{
	if (p->key.family == 6) {
		write16(buf + 4, (uint16_t)(len - 40));
		return;
	}
	write16(buf + 2, (uint16_t)len);
	write16(buf + 4, (uint16_t)(read16(buf + 4) + i));
	memset(buf + 10, 0, 2);
	uint16_t sum = checksum_finish(checksum_add(0, buf, (size_t)(buf[0] & 0x0f) * 4));
	memcpy(buf + 10, &sum, 2);
}

/*
 * The sum of the pseudo-header of a segment with `bytes` of transport header
 * and payload.  A partial checksum field holds the sender's, over its own
 * length: taken from there it is right even where a routing header means that
 * the final destination is not the one in the IP header.
 */
static uint64_t pseudo_sum(const struct packet *p, const uint8_t *field, size_t bytes)
{
	if (!p->offload.partial)
		return checksum_pseudo(p->key.src, p->key.dst, addr_len(p->key.family), p->key.proto, (uint32_t)bytes);
	uint16_t sum;
	memcpy(&sum, field, 2);
	uint16_t without = (uint16_t)~htons((uint16_t)(p->len - p->l4));
	return (uint64_t)sum + without + htons((uint16_t)bytes);
}

static void finish_tcp(const struct packet *p, size_t i, bool last, uint8_t *buf, size_t len)
{
	uint8_t *tcp = buf + p->l4;
	uint64_t sum = pseudo_sum(p, tcp + 16, len - p->l4);

	write32(tcp + 4, (uint32_t)(read32(tcp + 4) + i * p->offload.gso_size));
	if (!last)
		tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (i > 0)
		tcp[13] &= (uint8_t)~TCP_CWR;
	memset(tcp + 16, 0, 2);
	uint16_t value = checksum_finish(checksum_add(sum, tcp, len - p->l4));
	memcpy(tcp + 16, &value, 2);
}

static void finish_udp(const struct packet *p, uint8_t *buf, size_t len)
{
	uint8_t *udp = buf + p->l4;
	uint64_t sum = pseudo_sum(p, udp + 6, len - p->l4);
	bool none = !p->offload.partial && udp[6] == 0 && udp[7] == 0;

	write16(udp + 4, (uint16_t)(len - p->l4));
	if (none)
		return; /* the sender chose to have no checksum */
	memset(udp + 6, 0, 2);
	uint16_t value = checksum_finish_udp(checksum_add(sum, udp, len - p->l4));
	memcpy(udp + 6, &value, 2);
}

/* A packet that is no super-packet: only its partial checksum, if any, is completed. */
static size_t write_whole(const struct packet *p, uint8_t *buf, size_t cap)
{
	if (p->len > cap)
		return 0;
	memcpy(buf, p->data, p->len);
	if (!p->offload.partial)
		return p->len;
	size_t start = p->offload.csum_start;
	size_t field = start + p->offload.csum_offset;
	if (field + 2 > p->len)
		return 0;
	/* The field itself holds the pseudo-header's sum, so it is summed along. */
	uint64_t sum = checksum_add(0, buf + start, p->len - start);
	bool udp = p->key.proto == IPPROTO_UDP && !p->follows;
	uint16_t value = udp ? checksum_finish_udp(sum) : checksum_finish(sum);
	memcpy(buf + field, &value, 2);
	return p->len;
}

size_t segment_write(const struct packet *p, size_t i, uint8_t *buf, size_t cap)
{
	size_t count = segment_count(p);
	if (i >= count)
		return 0;
	if (!is_super(p))
		return write_whole(p, buf, cap);

	size_t from = p->payload + i * p->offload.gso_size;
	size_t bytes = p->len - from;
	if (bytes > p->offload.gso_size)
		bytes = p->offload.gso_size;
	size_t len = p->payload + bytes;
	if (len > cap)
		return 0;
	memcpy(buf, p->data, p->payload);
	memcpy(buf + p->payload, p->data + from, bytes);
	finish_ip(p, i, buf, len);
	if (p->key.proto == IPPROTO_TCP)
		finish_tcp(p, i, i + 1 == count, buf, len);
	else
		finish_udp(p, buf, len);
	return len;
}
