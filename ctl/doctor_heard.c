/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: is an IP packet a control message, from whom and for
 * whom?  Of the message only the header is looked at, unauthenticated.
 *
 * Pure; every byte may be wrong.
 */
#include <netinet/in.h>
#include <string.h>

#include "ctl/doctor.h"
#include "proto/wire_cursor.h"

#define IPV4_FIXED      20
#define UDP_HEADER      8
#define FRAGMENT_OFFSET 0x1fff

/* The header of an IPv4 packet that carries UDP and is no later fragment. */
static bool read_ipv4(struct wire_reader *r, struct fact_heard *h)
{
	size_t header = (size_t)(wire_read_u8(r) & 15) * 4;
	uint16_t fragment;
	uint8_t protocol;

	wire_take(r, 5);
	fragment = wire_read_u16(r);
	wire_take(r, 1);
	protocol = wire_read_u8(r);
	wire_take(r, 2);
	h->from.family = h->to.family = 4;
	wire_read_bytes(r, h->from.b, 4);
	wire_read_bytes(r, h->to.b, 4);
	if (header < IPV4_FIXED)
		return false;
	wire_take(r, header - IPV4_FIXED);
	return protocol == IPPROTO_UDP && (fragment & FRAGMENT_OFFSET) == 0;
}

/* The same of IPv6; with extension headers, it is none of ours. */
static bool read_ipv6(struct wire_reader *r, struct fact_heard *h)
{
	uint8_t next;

	wire_take(r, 6);
	next = wire_read_u8(r);
	wire_take(r, 1);
	h->from.family = h->to.family = 6;
	wire_read_bytes(r, h->from.b, 16);
	wire_read_bytes(r, h->to.b, 16);
	return next == IPPROTO_UDP;
}

bool doctor_read_message(const uint8_t *packet, size_t len, uint16_t port, uint16_t group_port, struct fact_heard *h)
{
	struct wire_reader r = {.message = packet, .next = packet, .end = packet + len};
	bool v4 = len > 0 && packet[0] >> 4 == 4, v6 = len > 0 && packet[0] >> 4 == 6;
	struct wire_security security;
	struct wire_header header;
	size_t size;

	if (!(v4 && read_ipv4(&r, h)) && !(v6 && read_ipv6(&r, h)))
		return false;
	h->from_port = wire_read_u16(&r);
	h->to_port = wire_read_u16(&r);
	size = wire_read_u16(&r);
	wire_take(&r, 2);
	if (r.fault != WIRE_OK || size <= UDP_HEADER || size - UDP_HEADER > wire_left(&r))
		return false;
	h->version = *r.next;
	if (wire_peek(r.next, size - UDP_HEADER, &header, &security) == WIRE_OK) {
		h->identity = header.source;
		h->type = header.type;
		return true;
	}
	return h->version != WIRE_VERSION && (h->to_port == port || h->to_port == group_port);
}
