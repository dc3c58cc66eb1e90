/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The edits of a decided flow and how they are applied to a packet.
 *
 * An edit is computed once a flow: new field values, and what they add to the
 * ones' complement sums that cover them.  The sums depend only on the flow's key, so
 * every packet of the flow takes the same deltas.  One meaning for every
 * datapath: static inline, fixed-size types, no calls but memcpy; only the
 * *application* of a checksum differs between back ends.
 *
 * Must not know of tables, sockets or affinities.  ACT-1, PREC-8.
 */
#ifndef TURNOUT_FAD_PLAN_H
#define TURNOUT_FAD_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "fad/checksum.h"
#include "lib/addr.h"

#define PLAN_SRC   0x01 /* the same bits as WIRE_NAT_* */
#define PLAN_SPORT 0x02
#define PLAN_DST   0x04
#define PLAN_DPORT 0x08

/* New values, family as the key's.  Ports in host order. */
struct plan_edit {
	uint8_t set; /* PLAN_* */
	uint8_t family;
	uint16_t sport, dport;
	uint8_t src[16], dst[16];
};

/* What an edit adds to sums over the addresses and over the ports. */
struct plan_delta {
	uint16_t addresses;
	uint16_t ports;
};

static inline uint16_t plan_be16(uint16_t host)
{
	uint8_t b[2] = {(uint8_t)(host >> 8), (uint8_t)host};
	uint16_t wire;

	memcpy(&wire, b, 2);
	return wire;
}

/* What replacing old bytes by new ones (len even) adds to a sum (RFC 1624). */
static inline uint64_t plan_replace(uint64_t delta, const void *old, const void *new_, size_t len)
{
	const uint8_t *o = (const uint8_t *)old, *n = (const uint8_t *)new_;
	uint16_t a, b;

	for (; len >= 2; o += 2, n += 2, len -= 2) {
		memcpy(&a, o, 2);
		memcpy(&b, n, 2);
		delta += (uint16_t)~a;
		delta += b;
	}
	return delta;
}

static inline struct plan_delta plan_edit_delta(const struct plan_edit *e, const struct flow_key *k)
{
	size_t alen = addr_len(k->family);
	uint64_t addresses = 0, ports = 0;
	uint16_t old, new_;

	if (e->set & PLAN_SRC)
		addresses = plan_replace(addresses, k->src, e->src, alen);
	if (e->set & PLAN_DST)
		addresses = plan_replace(addresses, k->dst, e->dst, alen);
	if (e->set & PLAN_SPORT) {
		old = plan_be16(k->sport);
		new_ = plan_be16(e->sport);
		ports = plan_replace(ports, &old, &new_, 2);
	}
	if (e->set & PLAN_DPORT) {
		old = plan_be16(k->dport);
		new_ = plan_be16(e->dport);
		ports = plan_replace(ports, &old, &new_, 2);
	}
	return (struct plan_delta){checksum_fold(addresses), checksum_fold(ports)};
}

/* Add delta to the 16-bit checksum field at p, complete or partial. */
static inline void plan_fix_sum(uint8_t *p, uint64_t delta, bool partial)
{
	uint16_t field;

	memcpy(&field, p, 2);
	field = partial ? checksum_fold(field + delta) : (uint16_t)~checksum_fold((uint16_t)~field + delta);
	memcpy(p, &field, 2);
}

/* What the application needs to know of a packet.  l4 0: no transport header here. */
struct plan_target {
	uint8_t *data; /* IP header */
	uint32_t len;
	uint16_t l4;
	uint8_t proto;
	bool partial; /* the transport checksum is a partial sum */
};

#define PLAN_TCP    6
#define PLAN_UDP    17
#define PLAN_ICMPV6 58

/* Offset of the transport checksum within its header, 0 if there is none to mend. */
static inline uint32_t plan_sum_offset(uint8_t proto)
{
	return proto == PLAN_TCP ? 16 : proto == PLAN_UDP ? 6 : proto == PLAN_ICMPV6 ? 2 : 0;
}

static inline void plan_fix_transport(const struct plan_edit *e, const struct plan_delta *d,
				      const struct plan_target *t)
{
	uint32_t offset = plan_sum_offset(t->proto);
	uint8_t *sum = t->data + t->l4 + offset;
	/* A partial sum covers the pseudo-header only; whoever completes it adds the ports. */
	uint64_t delta = t->partial ? d->addresses : (uint64_t)d->addresses + d->ports;

	if (t->proto == PLAN_TCP || t->proto == PLAN_UDP) {
		if (e->set & PLAN_SPORT)
			memcpy(t->data + t->l4, &(uint16_t){plan_be16(e->sport)}, 2);
		if (e->set & PLAN_DPORT)
			memcpy(t->data + t->l4 + 2, &(uint16_t){plan_be16(e->dport)}, 2);
	}
	if (!offset)
		return;
	if (t->proto == PLAN_UDP && !t->partial) {
		if (sum[0] == 0 && sum[1] == 0)
			return; /* sent without a checksum: stays without */
		plan_fix_sum(sum, delta, false);
		if (sum[0] == 0 && sum[1] == 0)
			sum[0] = sum[1] = 0xff; /* zero would mean "none" */
		return;
	}
	plan_fix_sum(sum, delta, t->partial);
}

/*
 * Apply an edit in place.  The caller has parsed the packet: the IP header,
 * and with l4 the transport header up to its checksum, are within len.
 */
static inline void plan_apply(const struct plan_edit *e, const struct plan_delta *d, const struct plan_target *t)
{
	bool v4 = (t->data[0] >> 4) == 4;
	size_t alen = v4 ? 4 : 16;
	uint8_t *src = t->data + (v4 ? 12 : 8), *dst = src + alen;

	if (!e->set)
		return;
	if (e->set & PLAN_SRC)
		memcpy(src, e->src, alen);
	if (e->set & PLAN_DST)
		memcpy(dst, e->dst, alen);
	if (v4 && d->addresses)
		plan_fix_sum(t->data + 10, d->addresses, false);
	if (t->l4)
		plan_fix_transport(e, d, t);
}

#endif
