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
 * Must not know of tables, sockets or affinities.  ACT-1, ACT-2, PREC-8.
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

#define PLAN_TCP    6
#define PLAN_UDP    17
#define PLAN_ICMPV6 58

/* Nothing else has ports to edit, whatever an edit sets. */
static inline bool plan_has_ports(uint8_t proto)
{
	return proto == PLAN_TCP || proto == PLAN_UDP;
}

static inline struct plan_delta plan_edit_delta(const struct plan_edit *e, const struct flow_key *k)
{
	uint8_t set = plan_has_ports(k->proto) ? e->set : e->set & (uint8_t) ~(PLAN_SPORT | PLAN_DPORT);
	size_t alen = addr_len(k->family);
	uint64_t addresses = 0, ports = 0;
	uint16_t old, new_;

	if (e->set & PLAN_SRC)
		addresses = plan_replace(addresses, k->src, e->src, alen);
	if (e->set & PLAN_DST)
		addresses = plan_replace(addresses, k->dst, e->dst, alen);
	if (set & PLAN_SPORT) {
		old = plan_be16(k->sport);
		new_ = plan_be16(e->sport);
		ports = plan_replace(ports, &old, &new_, 2);
	}
	if (set & PLAN_DPORT) {
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

	if (plan_has_ports(t->proto)) {
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

/*
 * Sequence adjust (ACT-2): to numbers from an initial one on, in serial
 * arithmetic (RFC 1982), a delta is added.  Several add up; each compares with
 * the number as it arrived.
 */
#define PLAN_MAX_ADJUSTS 4

struct plan_adjust {
	uint32_t seq_delta, seq_initial;
	uint32_t ack_delta, ack_initial; /* also of SACK edges */
};

static inline uint32_t plan_read32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void plan_write32(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 24);
	at[1] = (uint8_t)(v >> 16);
	at[2] = (uint8_t)(v >> 8);
	at[3] = (uint8_t)v;
}

/* a is not after b. */
static inline bool plan_serial_reached(uint32_t a, uint32_t b)
{
	return b - a < 0x80000000u;
}

/* What becomes of a sequence number, or of one that acknowledges. */
static inline uint32_t plan_adjusted(const struct plan_adjust *a, uint32_t n, uint32_t number, bool ack)
{
	uint32_t sum = number;

	for (uint32_t i = 0; i < PLAN_MAX_ADJUSTS && i < n; i++)
		if (plan_serial_reached(ack ? a[i].ack_initial : a[i].seq_initial, number))
			sum += ack ? a[i].ack_delta : a[i].seq_delta;
	return sum;
}

/* Does an initial number lie within the bytes from seq on, so that they are not all moved alike? */
static inline bool plan_adjust_cuts(const struct plan_adjust *a, uint32_t n, uint32_t seq, uint32_t bytes)
{
	for (uint32_t i = 0; i < PLAN_MAX_ADJUSTS && i < n; i++)
		if (a[i].seq_initial != seq && a[i].seq_initial - seq < bytes)
			return true;
	return false;
}

/*
 * Serial arithmetic forgets an initial number after 2 GB, so it follows the
 * numbers seen, 1 GB behind them: nothing older is in flight, since no window is
 * larger.  By small steps, and only when many numbers in a row were that far, so that forged ones between the real ones
 * cannot carry it past these, however near it these are.
 */
#define PLAN_FOLLOW_BEHIND 0x40000000u
#define PLAN_FOLLOW_STEP   0x00100000u
#define PLAN_FOLLOW_AFTER  64

/* far: numbers in a row that were farther ahead, up to now. */
static inline void plan_follow(uint32_t *initial, uint8_t *far, uint32_t seen)
{
	uint32_t ahead = seen - *initial;

	if (ahead >= 0x80000000u || ahead <= PLAN_FOLLOW_BEHIND) {
		*far = 0;
		return;
	}
	if (*far < PLAN_FOLLOW_AFTER) {
		(*far)++;
		return;
	}
	ahead -= PLAN_FOLLOW_BEHIND;
	*initial += ahead < PLAN_FOLLOW_STEP ? ahead : PLAN_FOLLOW_STEP;
}

/* Replace the number at p, `offset` bytes into what its checksum covers; returns what that adds to the sum. */
static inline uint64_t plan_replace32(uint8_t *p, uint32_t offset, uint32_t value)
{
	uint8_t new_[4];
	uint16_t delta;

	plan_write32(new_, value);
	if (memcmp(p, new_, 4) == 0)
		return 0;
	delta = checksum_fold(plan_replace(0, p, new_, 4));
	memcpy(p, new_, 4);
	/* At an odd offset each byte has the other place in its word (RFC 1071). */
	return offset & 1 ? (uint16_t)(delta << 8 | delta >> 8) : delta;
}

#define PLAN_TCP_ACK     0x10
#define PLAN_OPTION_END  0
#define PLAN_OPTION_NOP  1
#define PLAN_OPTION_SACK 5
#define PLAN_TCP_HEADER  20
#define PLAN_MAX_OPTIONS 40
#define PLAN_SACK_BLOCKS 4

/* All edges of the SACK option of `len` bytes at offset `at` of the header. */
static inline uint64_t plan_adjust_sack(const struct plan_adjust *a, uint32_t n, uint8_t *tcp, uint32_t at,
					uint32_t len, bool ack)
{
	uint64_t delta = 0;

	if (len % 8 != 2 || len > 2 + 8 * PLAN_SACK_BLOCKS)
		return 0; /* none that anybody could read */
	for (uint32_t edge = 2; edge + 4 <= 2 + 8 * PLAN_SACK_BLOCKS; edge += 4) {
		uint8_t *p = tcp + at + edge;

		if (edge + 4 > len)
			break;
		delta += plan_replace32(p, at + edge, plan_adjusted(a, n, plan_read32(p), ack));
	}
	return delta;
}

/* Options up to the first that is malformed; end: of the header, or of what there is of it. */
static inline uint64_t plan_adjust_options(const struct plan_adjust *a, uint32_t n, uint8_t *tcp, uint32_t end,
					   bool ack)
{
	uint32_t at = PLAN_TCP_HEADER, len;
	uint64_t delta = 0;

	for (uint32_t i = 0; i < PLAN_MAX_OPTIONS && at + 1 < end; i++) {
		len = tcp[at] == PLAN_OPTION_NOP ? 1 : tcp[at + 1];
		if (tcp[at] == PLAN_OPTION_END || len == 0 || at + len > end ||
		    (len == 1 && tcp[at] != PLAN_OPTION_NOP))
			break;
		if (tcp[at] == PLAN_OPTION_SACK)
			delta += plan_adjust_sack(a, n, tcp, at, len, ack);
		at += len;
	}
	return delta;
}

/*
 * Adjust the first `len` bytes of a TCP header, perhaps all there is of it.
 * Returns what that adds to a sum over them; the checksum is the caller's.
 * embedded: it is what an ICMP error says was received, of the other direction, so
 * that its sequence number is one that this direction acknowledges, and the other way round.
 */
static inline uint64_t plan_adjust_header(const struct plan_adjust *a, uint32_t n, uint8_t *tcp, uint32_t len,
					  bool embedded)
{
	uint32_t header = len > 12 ? (uint32_t)(tcp[12] >> 4) * 4 : 0;
	uint64_t delta = 0;

	if (len >= 8)
		delta = plan_replace32(tcp + 4, 4, plan_adjusted(a, n, plan_read32(tcp + 4), embedded));
	if (len < 14 || !(tcp[13] & PLAN_TCP_ACK))
		return delta; /* what would acknowledge says nothing */
	delta += plan_replace32(tcp + 8, 8, plan_adjusted(a, n, plan_read32(tcp + 8), !embedded));
	return delta + plan_adjust_options(a, n, tcp, header < len ? header : len, !embedded);
}

/* Apply n adjusts in place.  The caller has parsed the packet as for plan_apply(), TCP options included. */
static inline void plan_adjust_apply(const struct plan_adjust *a, uint32_t n, const struct plan_target *t)
{
	uint64_t delta;

	if (!n || !t->l4 || t->proto != PLAN_TCP || t->len < (uint32_t)t->l4 + PLAN_TCP_HEADER)
		return;
	delta = plan_adjust_header(a, n, t->data + t->l4, t->len - t->l4, false);
	/* A partial sum does not cover the header. */
	if (!t->partial && delta)
		plan_fix_sum(t->data + t->l4 + plan_sum_offset(PLAN_TCP), delta, false);
}

#endif
