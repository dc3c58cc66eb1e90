// SPDX-License-Identifier: BSD-2-Clause
/*
 * One IP packet, parsed.  Every read goes through take(), which checks the
 * bounds, so that no offset taken from the packet is used unchecked.
 *
 * Pure; must not know of tables, rings or decisions.
 */
#include "fad/packet.h"

#include <netinet/in.h>
#include <string.h>

#include "fad/checksum.h"
#include "proto/wire.h"

#define IPV4_HEADER    20
#define IPV6_HEADER    40
#define TCP_HEADER     20
#define TCP_HEADER_MAX 60
#define UDP_HEADER     8

#define ICMP_CHECKSUM_END 4

#define IPV4_MORE_FRAGMENTS  0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV6_MORE_FRAGMENTS  0x0001
#define IPV6_FRAGMENT_OFFSET 0xfff8

#define MAX_EXTENSIONS 8

/* n bytes at offset, or NULL when they are not all inside the packet. */
static const uint8_t *take(const struct packet *p, size_t offset, size_t n)
{
	return offset <= p->len && n <= p->len - offset ? p->data + offset : NULL;
}

static uint16_t read16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* The transport header at offset: ports, flags, where the payload starts. */
static enum packet_fault parse_transport(struct packet *p, size_t offset)
{
	const uint8_t *h;
	size_t header = 0;

	if (offset + TCP_HEADER_MAX > UINT16_MAX)
		return PACKET_HEADER; /* offsets below are 16 bits wide */
	p->payload = (uint16_t)offset;
	if (p->fragment && !p->first_fragment)
		return PACKET_OK;
	p->l4 = (uint16_t)offset;
	switch (p->key.proto) {
	case IPPROTO_TCP:
		h = take(p, offset, TCP_HEADER);
		if (!h)
			return PACKET_SHORT;
		header = (size_t)(h[12] >> 4) * 4;
		if (header < TCP_HEADER)
			return PACKET_HEADER;
		if (!take(p, offset, header))
			return PACKET_SHORT;
		p->tcp_flags = h[13];
		break;
	case IPPROTO_UDP:
		h = take(p, offset, UDP_HEADER);
		if (!h)
			return PACKET_SHORT;
		header = UDP_HEADER;
		break;
	case IPPROTO_ICMPV6:
		/* Its checksum covers the addresses, so translation writes into it. */
		return take(p, offset, ICMP_CHECKSUM_END) ? PACKET_OK : PACKET_SHORT;
	default:
		return PACKET_OK;
	}
	p->key.sport = read16(h);
	p->key.dport = read16(h + 2);
	p->payload = (uint16_t)(offset + header);
	return PACKET_OK;
}

/* One that is both first and last (an atomic fragment, RFC 6946) is a whole packet. */
static void set_fragment(struct packet *p, uint16_t offset, bool more, uint32_t id)
{
	p->fragment = more || offset;
	p->first_fragment = more && !offset;
	p->more_fragments = more;
	p->fragment_offset = offset;
	p->fragment_id = p->fragment ? id : 0;
}

static enum packet_fault parse_ipv4(struct packet *p, size_t available)
{
	const uint8_t *h = take(p, 0, IPV4_HEADER);
	if (!h)
		return PACKET_SHORT;
	size_t header = (size_t)(h[0] & 0x0f) * 4;
	size_t total = read16(h + 2);
	if (header < IPV4_HEADER || total < header)
		return PACKET_HEADER;
	if (total > available)
		return PACKET_SHORT;
	p->len = (uint32_t)total;

	uint16_t fragment = read16(h + 6);
	set_fragment(p, (uint16_t)((fragment & IPV4_FRAGMENT_OFFSET) * 8), fragment & IPV4_MORE_FRAGMENTS,
		     read16(h + 4));
	p->key.family = 4;
	p->key.proto = h[9];
	memcpy(p->key.src, h + 12, 4);
	memcpy(p->key.dst, h + 16, 4);
	return parse_transport(p, header);
}

/* AH is one, too: what follows it is in the clear. */
bool packet_is_extension(uint8_t next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH;
}

static enum packet_fault parse_ipv6(struct packet *p, size_t available)
{
	const uint8_t *h = take(p, 0, IPV6_HEADER);
	if (!h)
		return PACKET_SHORT;
	size_t total = IPV6_HEADER + (size_t)read16(h + 4);
	uint8_t next = h[6];
	/* A payload length of zero with a hop-by-hop header would be a jumbogram (RFC 2675). */
	if (total == IPV6_HEADER && next == IPPROTO_HOPOPTS)
		return PACKET_HEADER;
	if (total > available)
		return PACKET_SHORT;
	p->len = (uint32_t)total;
	p->key.family = 6;
	memcpy(p->key.src, h + 8, 16);
	memcpy(p->key.dst, h + 24, 16);

	size_t offset = IPV6_HEADER;
	for (unsigned count = 0; packet_is_extension(next); count++) {
		if (count == MAX_EXTENSIONS)
			return PACKET_EXTENSIONS;
		const uint8_t *e = take(p, offset, 8);
		if (!e)
			return PACKET_SHORT;
		size_t header = ((size_t)e[1] + 1) * 8;
		if (next == IPPROTO_ROUTING && e[3] != 0)
			return PACKET_ROUTING;
		if (next == IPPROTO_AH)
			header = ((size_t)e[1] + 2) * 4;
		if (next == IPPROTO_FRAGMENT) {
			uint16_t fragment = read16(e + 2);
			header = 8;
			set_fragment(p, fragment & IPV6_FRAGMENT_OFFSET, fragment & IPV6_MORE_FRAGMENTS,
				     (uint32_t)read16(e + 4) << 16 | read16(e + 6));
		}
		if (!take(p, offset, header))
			return PACKET_SHORT;
		next = e[0];
		offset += header;
		if (p->fragment && !p->first_fragment)
			break; /* what follows is payload, whatever `next` says */
	}
	p->key.proto = next;
	return parse_transport(p, offset);
}

enum packet_fault packet_parse(struct packet *p, uint8_t *data, size_t len)
{
	enum packet_fault fault;

	/* All but offload and ifindex, which the caller may have set, or may not yet. */
	p->data = data;
	p->len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
	memset(&p->key, 0, sizeof(p->key));
	p->l4 = p->payload = 0;
	p->fragment = p->first_fragment = p->more_fragments = false;
	p->fragment_offset = 0;
	p->fragment_id = 0;
	p->tcp_flags = 0;
	if (len == 0)
		return PACKET_SHORT;
	switch (data[0] >> 4) {
	case 4:
		fault = parse_ipv4(p, len);
		break;
	case 6:
		fault = parse_ipv6(p, len);
		break;
	default:
		return PACKET_VERSION;
	}
	if (fault == PACKET_OK)
		packet_find_embedded(p);
	return fault;
}

enum packet_fault packet_verify(const struct packet *p)
{
	if (p->key.family != 4)
		return PACKET_OK;
	size_t header = (size_t)(p->data[0] & 0x0f) * 4;
	return checksum_fold(checksum_add(0, p->data, header)) == 0xffff ? PACKET_OK : PACKET_CHECKSUM;
}

bool packet_belongs(const struct packet *p, const struct flow_key *flow)
{
	if (!memcmp(&p->key, flow, sizeof(*flow)))
		return true;
	return p->fragment && !p->first_fragment && p->key.family == flow->family &&
	       (p->key.proto == flow->proto || (flow->family == 6 && packet_is_extension(p->key.proto))) &&
	       !memcmp(p->key.src, flow->src, sizeof(flow->src)) && !memcmp(p->key.dst, flow->dst, sizeof(flow->dst));
}

uint16_t packet_interest(const struct packet *p, bool first_data)
{
	uint16_t bits = WIRE_INTEREST_ALL;

	if (p->follows || (p->key.proto != IPPROTO_TCP && p->key.proto != IPPROTO_UDP))
		return bits;
	if (p->fragment)
		bits |= WIRE_INTEREST_FRAGMENT;
	/* Of a later fragment only the addresses are known. */
	if (p->fragment && !p->first_fragment)
		return bits;
	if (p->key.proto == IPPROTO_TCP)
		bits |= p->tcp_flags & (WIRE_INTEREST_FIN | WIRE_INTEREST_SYN | WIRE_INTEREST_RST | WIRE_INTEREST_PSH |
					WIRE_INTEREST_ACK | WIRE_INTEREST_URG);
	if (p->len > p->payload) {
		bits |= WIRE_INTEREST_DATA;
		if (first_data)
			bits |= WIRE_INTEREST_FIRST_DATA;
	}
	return bits;
}

const char *packet_fault_name(enum packet_fault f)
{
	static const char *const names[PACKET_FAULT_COUNT] = {
		[PACKET_OK] = "ok",
		[PACKET_SHORT] = "short",
		[PACKET_VERSION] = "version",
		[PACKET_HEADER] = "header",
		[PACKET_CHECKSUM] = "checksum",
		[PACKET_EXTENSIONS] = "extensions",
		[PACKET_ROUTING] = "routing-header",
	};
	return (unsigned)f < PACKET_FAULT_COUNT ? names[f] : "unknown";
}
