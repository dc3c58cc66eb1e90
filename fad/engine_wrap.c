/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing the outer headers of a tunnel, see engine_wrap.h.
 *
 * As the kernel's own devices do (RFC 2003, 2473, 4213, 6040): traffic class
 * and ECN of the inner packet, DF of an inner IPv4 packet.  Must not know of plans, tables or routes.
 */
#include "fad/engine_wrap.h"

#include <netinet/in.h>
#include <string.h>

#include "fad/plan.h"

#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define UDP_HEADER  8
#define IPV4_DF     0x40
#define IPV6_LEAST  1280 /* an IPv6 packet of this size always gets through (RFC 8200) */

/* What the outer header takes over from the packet inside. */
struct inside {
	bool v6;
	uint8_t traffic_class;
	bool whole; /* must not be fragmented on its way */
	uint32_t len;
};

static void write16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

uint32_t wrap_overhead(const struct wire_tunnel *t)
{
	return (t->remote.family == 6 ? IPV6_HEADER : IPV4_HEADER) + (t->kind == WIRE_TUNNEL_UDP ? UDP_HEADER : 0);
}

static struct inside look(const uint8_t *p, uint32_t len)
{
	if (p[0] >> 4 == 6)
		/* A small one may be: on a way too narrow for it nothing else would help (RFC 4213). */
		return (struct inside){true, (uint8_t)(p[0] << 4 | p[1] >> 4), len > IPV6_LEAST, len};
	return (struct inside){false, p[1], (p[6] & IPV4_DF) != 0, len};
}

static void take_hop(uint8_t *p)
{
	uint8_t before[2] = {p[8], p[9]}, after[2] = {(uint8_t)(p[8] - 1), p[9]};

	if (p[p[0] >> 4 == 6 ? 7 : 8] == 0)
		return; /* to the router itself, which is free to take such */
	if (p[0] >> 4 == 6) {
		p[7]--;
		return;
	}
	p[8] = after[0];
	plan_fix_sum(p + 10, plan_replace(0, before, after, 2), false);
}

static void write_ipv4(const struct wire_tunnel *t, const struct addr *source, const struct inside *in, uint8_t *h,
		       uint8_t proto, uint16_t id)
{
	uint16_t sum;

	memset(h, 0, IPV4_HEADER);
	h[0] = 0x45;
	h[1] = in->traffic_class;
	write16(h + 2, in->len + wrap_overhead(t));
	write16(h + 4, id);
	h[6] = in->whole ? IPV4_DF : 0;
	h[8] = t->hop_limit ? t->hop_limit : WRAP_HOP_LIMIT;
	h[9] = proto;
	memcpy(h + 12, source->b, 4);
	memcpy(h + 16, t->remote.b, 4);
	sum = checksum_finish(checksum_add(0, h, IPV4_HEADER));
	memcpy(h + 10, &sum, 2);
}

static void write_ipv6(const struct wire_tunnel *t, const struct addr *source, const struct inside *in, uint8_t *h,
		       uint8_t proto, uint64_t flow)
{
	plan_write32(h, 6u << 28 | (uint32_t)in->traffic_class << 20 | (uint32_t)(flow >> 16 & 0xfffff));
	write16(h + 4, in->len + wrap_overhead(t) - IPV6_HEADER);
	h[6] = proto;
	h[7] = t->hop_limit ? t->hop_limit : WRAP_HOP_LIMIT;
	memcpy(h + 8, source->b, 16);
	memcpy(h + 24, t->remote.b, 16);
}

/* Over IPv4 without a checksum: what is inside has its own. */
static void write_udp(const struct wire_tunnel *t, const struct addr *source, uint32_t len, uint8_t *h, uint64_t flow)
{
	uint16_t sum;

	write16(h, WRAP_FIRST_PORT + (uint32_t)(flow % (65536 - WRAP_FIRST_PORT)));
	write16(h + 2, t->port);
	write16(h + 4, len + UDP_HEADER);
	memset(h + 6, 0, 2);
	if (t->remote.family != 6)
		return;
	sum = checksum_finish_udp(checksum_add(
		checksum_pseudo(source->b, t->remote.b, 16, IPPROTO_UDP, len + UDP_HEADER), h, len + UDP_HEADER));
	memcpy(h + 6, &sum, 2);
}

size_t wrap_write(const struct wire_tunnel *t, const struct addr *source, uint8_t *packet, uint32_t len, uint64_t flow,
		  uint16_t id)
{
	uint32_t overhead = wrap_overhead(t);
	bool udp = t->kind == WIRE_TUNNEL_UDP, over6 = t->remote.family == 6;
	struct inside in = look(packet, len);
	uint8_t proto = udp ? IPPROTO_UDP : in.v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;

	if (len + overhead - (over6 ? IPV6_HEADER : 0) > UINT16_MAX)
		return 0;
	take_hop(packet);
	if (udp)
		write_udp(t, source, len, packet - UDP_HEADER, flow);
	if (over6)
		write_ipv6(t, source, &in, packet - overhead, proto, flow);
	else
		write_ipv4(t, source, &in, packet - overhead, proto, id);
	return len + overhead;
}
