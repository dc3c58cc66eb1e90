/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the segments of one message say of each other: families, protocols,
 * ranges against the wildcard, and what a message type wants of its segments
 * beyond their presence.  Asked when every segment is known, by the decoder and
 * the encoder alike.
 *
 * Must not know bytes or offsets.
 */
#include "proto/wire_table.h"

#include <netinet/in.h>

/* Family and protocol of the affinity the actions belong to. */
static uint8_t affinity_family(const struct wire_msg *m)
{
	return wire_has(m, WIRE_SEG_FIXED) ? m->fixed.key.family : m->wildcard.family;
}

static uint8_t affinity_proto(const struct wire_msg *m)
{
	return wire_has(m, WIRE_SEG_FIXED) ? m->fixed.key.proto : m->wildcard.proto;
}

static bool proto_has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

static bool family_differs(const struct addr *a, uint8_t family)
{
	return a->family != 0 && a->family != family;
}

static bool is_host_mask(const uint8_t *mask, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (mask[i] != 0xff)
			return false;
	return true;
}

/* Ones, then zeros. */
static bool is_prefix_mask(const uint8_t *mask, size_t n)
{
	bool ended = false;
	for (size_t bit = 0; bit < 8 * n; bit++) {
		bool one = mask[bit / 8] & 0x80 >> bit % 8;
		if (one && ended)
			return false;
		ended |= !one;
	}
	return true;
}

/* A range of what the wildcard fixes to one value already, or one that is upside down. */
static bool range_contradicts(const struct wire_wildcard *c, const struct wire_range *g)
{
	size_t n = addr_len(c->family);
	switch (g->field) {
	case WIRE_RANGE_SRC:
		return is_host_mask(c->src_mask, n) || memcmp(g->low, g->high, n) > 0;
	case WIRE_RANGE_DST:
		return is_host_mask(c->dst_mask, n) || memcmp(g->low, g->high, n) > 0;
	case WIRE_RANGE_SPORT:
		return c->sport || !proto_has_ports(c->proto) || g->low_port > g->high_port;
	default:
		return c->dport || !proto_has_ports(c->proto) || g->low_port > g->high_port;
	}
}

enum wire_fault wire_agree_ranges(const struct wire_msg *m, unsigned i)
{
	(void)i;
	for (unsigned j = 0; j < m->range_count; j++)
		if (range_contradicts(&m->wildcard, &m->ranges[j]))
			return WIRE_FAULT_CONTRADICTION;
	return WIRE_OK;
}

enum wire_fault wire_agree_nat(const struct wire_msg *m, unsigned i)
{
	const struct wire_nat *n = &m->nat[i];
	uint8_t family = affinity_family(m);
	if (family_differs(&n->src, family) || family_differs(&n->dst, family))
		return WIRE_FAULT_CONTRADICTION;
	bool ports = n->set & (WIRE_NAT_SPORT | WIRE_NAT_DPORT);
	return ports && !proto_has_ports(affinity_proto(m)) ? WIRE_FAULT_CONTRADICTION : WIRE_OK;
}

enum wire_fault wire_agree_advertise(const struct wire_msg *m, unsigned i)
{
	const struct wire_advertise *a = &m->advertise[i];
	const struct wire_wildcard *c = &m->wildcard;
	if (!wire_has(m, WIRE_SEG_WILDCARD))
		return WIRE_FAULT_CONTRADICTION;
	if (a->addr.family)
		return a->addr.family == c->family ? WIRE_OK : WIRE_FAULT_CONTRADICTION;
	/* The wildcard's destination: a route needs a prefix. */
	return is_prefix_mask(c->dst_mask, addr_len(c->family)) ? WIRE_OK : WIRE_FAULT_CONTRADICTION;
}

enum wire_fault wire_agree_seq_adjust(const struct wire_msg *m, unsigned i)
{
	(void)i;
	return affinity_proto(m) == IPPROTO_TCP ? WIRE_OK : WIRE_FAULT_CONTRADICTION;
}

/* It says how a dispatched packet is carried. */
enum wire_fault wire_agree_tunnel(const struct wire_msg *m, unsigned i)
{
	(void)i;
	uint8_t flags = wire_has(m, WIRE_SEG_FIXED) ? m->fixed.flags : m->wildcard.flags;
	return flags & WIRE_FLAG_DISPATCH ? WIRE_OK : WIRE_FAULT_CONTRADICTION;
}

/* It says how a packet is dropped. */
enum wire_fault wire_agree_reject(const struct wire_msg *m, unsigned i)
{
	(void)i;
	bool fixed = wire_has(m, WIRE_SEG_FIXED);
	const struct addr *forward = fixed ? &m->fixed.forward : &m->wildcard.forward;
	uint8_t flags = fixed ? m->fixed.flags : m->wildcard.flags;
	return flags & WIRE_FLAG_DISPATCH && addr_is_zero(forward) ? WIRE_OK : WIRE_FAULT_CONTRADICTION;
}

/* Only who answers tells its group sequence. */
enum wire_fault wire_agree_nonce(const struct wire_msg *m, unsigned i)
{
	(void)i;
	bool challenge = m->h.type == WIRE_CHALLENGE;
	return challenge && m->nonce.group_sequence ? WIRE_FAULT_CONTRADICTION : WIRE_OK;
}

/* A deny that names no segment has to say why by another error. */
enum wire_fault wire_agree_list(const struct wire_msg *m, unsigned i)
{
	(void)i;
	if (m->h.type != WIRE_DENY || m->list.count > 0)
		return WIRE_OK;
	bool explained = wire_has(m, WIRE_SEG_ERROR) && m->error.code != WIRE_ERROR_UNSUPPORTED;
	return explained ? WIRE_OK : WIRE_FAULT_CONTRADICTION;
}

enum wire_fault wire_agree_fixed(const struct wire_msg *m, unsigned i)
{
	(void)i;
	return wire_has(m, WIRE_SEG_WILDCARD) ? WIRE_FAULT_CONTRADICTION : WIRE_OK;
}

/* Held: one affinity, or the end and nothing about an affinity.  Ask: never the end. */
enum wire_fault wire_agree_listing(const struct wire_msg *m, unsigned i)
{
	(void)i;
	if (m->h.type == WIRE_ASK)
		return m->listing.end ? WIRE_FAULT_CONTRADICTION : WIRE_OK;
	if (!m->listing.end)
		return wire_has(m, WIRE_SEG_FIXED) || wire_has(m, WIRE_SEG_WILDCARD) ? WIRE_OK : WIRE_FAULT_MISSING;
	uint32_t allowed = wire_bit(WIRE_SEG_SECURITY) | wire_bit(WIRE_SEG_LISTING) | wire_bit(WIRE_SEG_IDENTITY);
	return m->present & ~allowed ? WIRE_FAULT_CONTRADICTION : WIRE_OK;
}

/* The packet is of the flow the message is about. */
enum wire_fault wire_agree_packet(const struct wire_msg *m, unsigned i)
{
	(void)i;
	uint8_t version = m->packet.data[0] >> 4;
	if (wire_has(m, WIRE_SEG_FIXED) && m->fixed.key.family != version)
		return WIRE_FAULT_CONTRADICTION;
	if (wire_has(m, WIRE_SEG_IDENTIFIER) && m->identifier.key.family != version)
		return WIRE_FAULT_CONTRADICTION;
	return WIRE_OK;
}
