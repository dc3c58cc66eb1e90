/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fields of each segment: reading, writing, and whether they make sense by
 * themselves.  The layouts are in wire.h and docs/protocol.md.
 *
 * Must not know which message a segment is in, nor what is done with it.
 */
#include "proto/wire_table.h"

#include <netinet/in.h>

#define INTEREST_BITS (0x01ff | WIRE_INTEREST_ALL)
#define PACKET_MIN4   20 /* an IP header must be there */
#define PACKET_MIN6   40

/* ---- what several segments share ---- */

static bool family_known(uint8_t family)
{
	return family == 4 || family == 6;
}

static bool addr_known(const struct addr *a)
{
	return a->family == 0 || family_known(a->family);
}

/* NUL-terminated printable ASCII. */
static bool text_ok(const char *text, size_t size)
{
	size_t n = strnlen(text, size);
	if (n == size)
		return false;
	for (size_t i = 0; i < n; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	return true;
}

/* Length u8, then that many bytes; size includes the terminating NUL. */
static void read_text(struct wire_reader *r, char *to, size_t size)
{
	if (r->next < r->end && *r->next >= size)
		wire_fail(r, WIRE_FAULT_VALUE);
	size_t n = wire_read_u8(r);
	const uint8_t *p = wire_take(r, n);
	if (!p)
		return;
	memcpy(to, p, n);
	/* A NUL inside would hide what follows it. */
	if (memchr(to, 0, n))
		wire_fail(r, WIRE_FAULT_VALUE);
}

static void write_text(struct wire_writer *w, const char *text)
{
	size_t n = strlen(text);
	wire_write_u8(w, (uint8_t)n);
	wire_write_bytes(w, text, n);
}

static void read_blob(struct wire_reader *r, struct wire_blob *b, size_t max)
{
	size_t n = wire_left(r) < max ? wire_left(r) : max;
	b->data = wire_take(r, n);
	b->len = b->data ? (uint16_t)n : 0;
}

static enum wire_fault check_ports(uint8_t proto, uint16_t sport, uint16_t dport)
{
	bool has_ports = proto == IPPROTO_TCP || proto == IPPROTO_UDP;
	return !has_ports && (sport || dport) ? WIRE_FAULT_CONTRADICTION : WIRE_OK;
}

/* What may follow the key in fixed and identifier is in the middle of it. */
static void read_key_start(struct wire_reader *r, struct flow_key *k, uint8_t *flags)
{
	k->family = wire_read_family(r);
	k->proto = wire_read_u8(r);
	*flags = wire_read_u8(r);
	wire_read_zero(r, 1, WIRE_FAULT_VALUE);
}

static void read_key_rest(struct wire_reader *r, struct flow_key *k)
{
	k->sport = wire_read_u16(r);
	k->dport = wire_read_u16(r);
	wire_read_bytes(r, k->src, addr_len(k->family));
	wire_read_bytes(r, k->dst, addr_len(k->family));
}

static void write_key_start(struct wire_writer *w, const struct flow_key *k, uint8_t flags)
{
	wire_write_u8(w, k->family);
	wire_write_u8(w, k->proto);
	wire_write_u8(w, flags);
	wire_write_zero(w, 1);
}

static void write_key_rest(struct wire_writer *w, const struct flow_key *k)
{
	wire_write_u16(w, k->sport);
	wire_write_u16(w, k->dport);
	wire_write_bytes(w, k->src, addr_len(k->family));
	wire_write_bytes(w, k->dst, addr_len(k->family));
}

static enum wire_fault check_key(const struct flow_key *k)
{
	return family_known(k->family) ? check_ports(k->proto, k->sport, k->dport) : WIRE_FAULT_VALUE;
}

static enum wire_fault check_forward(const struct addr *forward, uint8_t family)
{
	if (!addr_known(forward))
		return WIRE_FAULT_VALUE;
	return forward->family && forward->family != family ? WIRE_FAULT_CONTRADICTION : WIRE_OK;
}

static enum wire_fault worse(enum wire_fault a, enum wire_fault b)
{
	return a != WIRE_OK ? a : b;
}

/* ---- security ---- */

size_t wire_mac_len(unsigned scheme)
{
	switch (scheme) {
	case WIRE_SCHEME_MD5:
	case WIRE_SCHEME_HMAC_SHA256:
		return 16;
	case WIRE_SCHEME_HMAC_SHA256_8:
		return 8;
	default:
		return 0;
	}
}

void wire_read_security(struct wire_reader *r, struct wire_security *s)
{
	s->scheme = wire_read_u8(r);
	wire_read_zero(r, 3, WIRE_FAULT_VALUE);
	s->key_id = wire_read_u32(r);
	s->mac_offset = wire_offset(r);
	/* Who expects no security ignores it, also of a scheme yet to come (SEC-2). */
	size_t n = wire_mac_len(s->scheme);
	if (n == 0)
		n = wire_left(r) < WIRE_MAX_MAC ? wire_left(r) : WIRE_MAX_MAC;
	wire_take(r, n ? n : 1);
	s->mac_len = (uint8_t)n;
	if (s->scheme == 0)
		wire_fail(r, WIRE_FAULT_VALUE);
}

void wire_decode_security(struct wire_reader *r, struct wire_msg *m)
{
	wire_read_security(r, &m->security);
}

enum wire_fault wire_check_security(const struct wire_msg *m, unsigned i)
{
	(void)i;
	const struct wire_security *s = &m->security;
	if (s->scheme == 0)
		return WIRE_FAULT_VALUE;
	return wire_mac_len(s->scheme) || (s->mac_len > 0 && s->mac_len <= WIRE_MAX_MAC) ? WIRE_OK : WIRE_FAULT_VALUE;
}

void wire_encode_security(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	size_t n = wire_mac_len(m->security.scheme);
	wire_write_u8(w, m->security.scheme);
	wire_write_zero(w, 3);
	wire_write_u32(w, m->security.key_id);
	wire_write_zero(w, n ? n : m->security.mac_len);
}

/* ---- listing, nonce ---- */

void wire_decode_listing(struct wire_reader *r, struct wire_msg *m)
{
	if (r->next < r->end && *r->next & ~1)
		wire_fail(r, WIRE_FAULT_VALUE);
	m->listing.end = wire_read_u8(r) == 1;
	wire_read_zero(r, 3, WIRE_FAULT_VALUE);
	m->listing.cursor = wire_read_u32(r);
	m->listing.token = wire_read_u32(r);
}

enum wire_fault wire_check_listing(const struct wire_msg *m, unsigned i)
{
	(void)m, (void)i;
	return WIRE_OK;
}

void wire_encode_listing(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_u8(w, m->listing.end);
	wire_write_zero(w, 3);
	wire_write_u32(w, m->listing.cursor);
	wire_write_u32(w, m->listing.token);
}

void wire_decode_nonce(struct wire_reader *r, struct wire_msg *m)
{
	wire_read_bytes(r, m->nonce.nonce, WIRE_NONCE_LEN);
	m->nonce.group_sequence = wire_read_u64(r);
}

enum wire_fault wire_check_nonce(const struct wire_msg *m, unsigned i)
{
	(void)m, (void)i;
	return WIRE_OK;
}

void wire_encode_nonce(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_bytes(w, m->nonce.nonce, WIRE_NONCE_LEN);
	wire_write_u64(w, m->nonce.group_sequence);
}

/* ---- affinities ---- */

void wire_decode_wildcard(struct wire_reader *r, struct wire_msg *m)
{
	struct wire_wildcard *c = &m->wildcard;
	c->family = wire_read_family(r);
	c->proto = wire_read_u8(r);
	c->flags = wire_read_u8(r);
	wire_read_zero(r, 1, WIRE_FAULT_VALUE);
	c->ttl = wire_read_u32(r);
	c->sport = wire_read_u16(r);
	c->dport = wire_read_u16(r);
	size_t n = addr_len(c->family);
	wire_read_bytes(r, c->src, n);
	wire_read_bytes(r, c->src_mask, n);
	wire_read_bytes(r, c->dst, n);
	wire_read_bytes(r, c->dst_mask, n);
	wire_read_addr(r, &c->forward);
}

enum wire_fault wire_check_wildcard(const struct wire_msg *m, unsigned i)
{
	(void)i;
	const struct wire_wildcard *c = &m->wildcard;
	if (!family_known(c->family))
		return WIRE_FAULT_VALUE;
	if (c->flags & ~WIRE_FLAGS_WILDCARD)
		return WIRE_FAULT_VALUE;
	return worse(check_ports(c->proto, c->sport, c->dport), check_forward(&c->forward, c->family));
}

void wire_encode_wildcard(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	const struct wire_wildcard *c = &m->wildcard;
	wire_write_u8(w, c->family);
	wire_write_u8(w, c->proto);
	wire_write_u8(w, c->flags);
	wire_write_zero(w, 1);
	wire_write_u32(w, c->ttl);
	wire_write_u16(w, c->sport);
	wire_write_u16(w, c->dport);
	size_t n = addr_len(c->family);
	wire_write_bytes(w, c->src, n);
	wire_write_bytes(w, c->src_mask, n);
	wire_write_bytes(w, c->dst, n);
	wire_write_bytes(w, c->dst_mask, n);
	wire_write_addr(w, &c->forward);
}

void wire_decode_ranges(struct wire_reader *r, struct wire_msg *m)
{
	/* Address bounds are as long as the wildcard's family says, so that has to be known. */
	if (!wire_has(m, WIRE_SEG_WILDCARD))
		wire_fail(r, WIRE_FAULT_ORDER);
	while (wire_left(r) > 0 && m->range_count < WIRE_MAX_RANGES) {
		struct wire_range *g = &m->ranges[m->range_count++];
		if (*r->next < WIRE_RANGE_SRC || *r->next > WIRE_RANGE_DPORT)
			wire_fail(r, WIRE_FAULT_VALUE);
		g->field = wire_read_u8(r);
		wire_read_zero(r, 1, WIRE_FAULT_VALUE);
		if (g->field == WIRE_RANGE_SPORT || g->field == WIRE_RANGE_DPORT) {
			g->low_port = wire_read_u16(r);
			g->high_port = wire_read_u16(r);
		} else {
			wire_read_bytes(r, g->low, addr_len(m->wildcard.family));
			wire_read_bytes(r, g->high, addr_len(m->wildcard.family));
		}
	}
}

enum wire_fault wire_check_ranges(const struct wire_msg *m, unsigned i)
{
	(void)i;
	if (m->range_count == 0 || m->range_count > WIRE_MAX_RANGES)
		return WIRE_FAULT_VALUE;
	for (unsigned j = 0; j < m->range_count; j++)
		if (m->ranges[j].field < WIRE_RANGE_SRC || m->ranges[j].field > WIRE_RANGE_DPORT)
			return WIRE_FAULT_VALUE;
	return WIRE_OK;
}

void wire_encode_ranges(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	for (unsigned j = 0; j < m->range_count; j++) {
		const struct wire_range *g = &m->ranges[j];
		wire_write_u8(w, g->field);
		wire_write_zero(w, 1);
		if (g->field == WIRE_RANGE_SPORT || g->field == WIRE_RANGE_DPORT) {
			wire_write_u16(w, g->low_port);
			wire_write_u16(w, g->high_port);
		} else {
			wire_write_bytes(w, g->low, addr_len(m->wildcard.family));
			wire_write_bytes(w, g->high, addr_len(m->wildcard.family));
		}
	}
}

void wire_decode_fixed(struct wire_reader *r, struct wire_msg *m)
{
	struct wire_fixed *f = &m->fixed;
	read_key_start(r, &f->key, &f->flags);
	f->ttl = wire_read_u32(r);
	read_key_rest(r, &f->key);
	wire_read_addr(r, &f->forward);
}

enum wire_fault wire_check_fixed(const struct wire_msg *m, unsigned i)
{
	(void)i;
	const struct wire_fixed *f = &m->fixed;
	if (f->flags & ~(WIRE_FLAG_DISPATCH | WIRE_FLAG_INFORMATION))
		return WIRE_FAULT_VALUE;
	return worse(check_key(&f->key), check_forward(&f->forward, f->key.family));
}

void wire_encode_fixed(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	const struct wire_fixed *f = &m->fixed;
	write_key_start(w, &f->key, f->flags);
	wire_write_u32(w, f->ttl);
	write_key_rest(w, &f->key);
	wire_write_addr(w, &f->forward);
}

void wire_decode_identifier(struct wire_reader *r, struct wire_msg *m)
{
	struct wire_identifier *d = &m->identifier;
	read_key_start(r, &d->key, &d->flags);
	d->reasons = wire_read_u16(r);
	wire_read_zero(r, 2, WIRE_FAULT_VALUE);
	read_key_rest(r, &d->key);
}

enum wire_fault wire_check_identifier(const struct wire_msg *m, unsigned i)
{
	(void)i;
	const struct wire_identifier *d = &m->identifier;
	if (d->flags & ~WIRE_FLAGS_WILDCARD)
		return WIRE_FAULT_VALUE;
	return d->reasons & ~INTEREST_BITS ? WIRE_FAULT_VALUE : check_key(&d->key);
}

void wire_encode_identifier(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	const struct wire_identifier *d = &m->identifier;
	write_key_start(w, &d->key, d->flags);
	wire_write_u16(w, d->reasons);
	wire_write_zero(w, 2);
	write_key_rest(w, &d->key);
}

/* ---- action list, error ---- */

void wire_decode_list(struct wire_reader *r, struct wire_msg *m)
{
	size_t n = wire_left(r) < WIRE_MAX_LIST ? wire_left(r) : WIRE_MAX_LIST;
	wire_read_bytes(r, m->list.types, n);
	m->list.count = (uint8_t)n;
}

enum wire_fault wire_check_list(const struct wire_msg *m, unsigned i)
{
	(void)i;
	if (m->list.count > WIRE_MAX_LIST)
		return WIRE_FAULT_VALUE;
	return memchr(m->list.types, 0, m->list.count) ? WIRE_FAULT_VALUE : WIRE_OK;
}

void wire_encode_list(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_bytes(w, m->list.types, m->list.count);
}

void wire_decode_error(struct wire_reader *r, struct wire_msg *m)
{
	m->error.code = wire_read_u16(r);
	read_text(r, m->error.text, sizeof m->error.text);
}

enum wire_fault wire_check_error(const struct wire_msg *m, unsigned i)
{
	(void)i;
	return m->error.code == 0 || !text_ok(m->error.text, sizeof m->error.text) ? WIRE_FAULT_VALUE : WIRE_OK;
}

void wire_encode_error(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_u16(w, m->error.code);
	write_text(w, m->error.text);
}

/* ---- precedences ---- */

void wire_decode_precedence(struct wire_reader *r, struct wire_msg *m)
{
	if (r->next < r->end && *r->next & ~1)
		wire_fail(r, WIRE_FAULT_VALUE);
	m->precedence.lower_first = wire_read_u8(r) == 1;
	wire_read_zero(r, 3, WIRE_FAULT_VALUE);
	m->precedence.value = wire_read_u32(r);
}

enum wire_fault wire_check_precedence(const struct wire_msg *m, unsigned i)
{
	(void)m, (void)i;
	return WIRE_OK;
}

void wire_encode_precedence(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_u8(w, m->precedence.lower_first);
	wire_write_zero(w, 3);
	wire_write_u32(w, m->precedence.value);
}

void wire_decode_backup(struct wire_reader *r, struct wire_msg *m)
{
	m->backup = wire_read_u32(r);
}

enum wire_fault wire_check_backup(const struct wire_msg *m, unsigned i)
{
	(void)m, (void)i;
	return WIRE_OK;
}

void wire_encode_backup(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_u32(w, m->backup);
}

/* ---- actions ---- */

void wire_decode_nat(struct wire_reader *r, struct wire_msg *m)
{
	struct wire_nat *n = &m->nat[m->nat_count++];
	n->set = wire_read_u8(r);
	wire_read_zero(r, 1, WIRE_FAULT_VALUE);
	n->sport = wire_read_u16(r);
	n->dport = wire_read_u16(r);
	wire_read_zero(r, 2, WIRE_FAULT_VALUE);
	wire_read_addr(r, &n->src);
	wire_read_addr(r, &n->dst);
}

/* Is the field there exactly when its bit is set?  And is it one to translate to? */
static enum wire_fault check_nat_addr(const struct addr *a, bool set)
{
	if (!addr_known(a))
		return WIRE_FAULT_VALUE;
	if (set != (a->family != 0))
		return WIRE_FAULT_CONTRADICTION;
	return set && addr_is_zero(a) ? WIRE_FAULT_VALUE : WIRE_OK;
}

static enum wire_fault check_nat_port(uint16_t port, bool set)
{
	if (!set)
		return port ? WIRE_FAULT_CONTRADICTION : WIRE_OK;
	return port ? WIRE_OK : WIRE_FAULT_VALUE;
}

enum wire_fault wire_check_nat(const struct wire_msg *m, unsigned i)
{
	const struct wire_nat *n = &m->nat[i];
	if (n->set == 0 || n->set & ~(WIRE_NAT_SRC | WIRE_NAT_SPORT | WIRE_NAT_DST | WIRE_NAT_DPORT))
		return WIRE_FAULT_VALUE;
	enum wire_fault ports = worse(check_nat_port(n->sport, n->set & WIRE_NAT_SPORT),
				      check_nat_port(n->dport, n->set & WIRE_NAT_DPORT));
	enum wire_fault addrs =
		worse(check_nat_addr(&n->src, n->set & WIRE_NAT_SRC), check_nat_addr(&n->dst, n->set & WIRE_NAT_DST));
	return worse(ports, addrs);
}

void wire_encode_nat(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	const struct wire_nat *n = &m->nat[i];
	wire_write_u8(w, n->set);
	wire_write_zero(w, 1);
	wire_write_u16(w, n->sport);
	wire_write_u16(w, n->dport);
	wire_write_zero(w, 2);
	wire_write_addr(w, &n->src);
	wire_write_addr(w, &n->dst);
}

void wire_decode_advertise(struct wire_reader *r, struct wire_msg *m)
{
	struct wire_advertise *a = &m->advertise[m->advertise_count++];
	a->plen = wire_read_u8(r);
	wire_read_zero(r, 1, WIRE_FAULT_VALUE);
	wire_read_addr(r, &a->addr);
}

enum wire_fault wire_check_advertise(const struct wire_msg *m, unsigned i)
{
	const struct wire_advertise *a = &m->advertise[i];
	if (!addr_known(&a->addr) || a->plen > 8 * addr_len(a->addr.family))
		return WIRE_FAULT_VALUE;
	/* An address with bits beyond its prefix names no network. */
	for (unsigned bit = a->plen; bit < 8 * addr_len(a->addr.family); bit++)
		if (a->addr.b[bit / 8] & 0x80 >> bit % 8)
			return WIRE_FAULT_VALUE;
	return WIRE_OK;
}

void wire_encode_advertise(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	wire_write_u8(w, m->advertise[i].plen);
	wire_write_zero(w, 1);
	wire_write_addr(w, &m->advertise[i].addr);
}

void wire_decode_seq_adjust(struct wire_reader *r, struct wire_msg *m)
{
	m->seq_adjust.seq_delta = wire_read_u32(r);
	m->seq_adjust.seq_initial = wire_read_u32(r);
	m->seq_adjust.ack_delta = wire_read_u32(r);
	m->seq_adjust.ack_initial = wire_read_u32(r);
}

enum wire_fault wire_check_seq_adjust(const struct wire_msg *m, unsigned i)
{
	(void)m, (void)i;
	return WIRE_OK;
}

void wire_encode_seq_adjust(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_u32(w, m->seq_adjust.seq_delta);
	wire_write_u32(w, m->seq_adjust.seq_initial);
	wire_write_u32(w, m->seq_adjust.ack_delta);
	wire_write_u32(w, m->seq_adjust.ack_initial);
}

void wire_decode_interest(struct wire_reader *r, struct wire_msg *m)
{
	struct wire_interest *t = &m->interest[m->interest_count++];
	t->interest = wire_read_u16(r);
	t->data = wire_read_u16(r);
	t->copy = wire_read_u16(r);
	t->hold = wire_read_u16(r);
	t->port = wire_read_u16(r);
	wire_read_zero(r, 2, WIRE_FAULT_VALUE);
	wire_read_addr(r, &t->addr);
}

enum wire_fault wire_check_interest(const struct wire_msg *m, unsigned i)
{
	const struct wire_interest *t = &m->interest[i];
	if ((t->interest | t->data | t->copy | t->hold) & ~INTEREST_BITS || !addr_known(&t->addr))
		return WIRE_FAULT_VALUE;
	if ((t->addr.family != 0) != (t->port != 0))
		return WIRE_FAULT_CONTRADICTION;
	return t->addr.family && addr_is_zero(&t->addr) ? WIRE_FAULT_VALUE : WIRE_OK;
}

void wire_encode_interest(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	const struct wire_interest *t = &m->interest[i];
	wire_write_u16(w, t->interest);
	wire_write_u16(w, t->data);
	wire_write_u16(w, t->copy);
	wire_write_u16(w, t->hold);
	wire_write_u16(w, t->port);
	wire_write_zero(w, 2);
	wire_write_addr(w, &t->addr);
}

void wire_decode_tunnel(struct wire_reader *r, struct wire_msg *m)
{
	m->tunnel.kind = wire_read_u8(r);
	m->tunnel.hop_limit = wire_read_u8(r);
	m->tunnel.port = wire_read_u16(r);
	wire_read_addr(r, &m->tunnel.remote);
	wire_read_addr(r, &m->tunnel.local);
}

enum wire_fault wire_check_tunnel(const struct wire_msg *m, unsigned i)
{
	(void)i;
	const struct wire_tunnel *t = &m->tunnel;
	if (t->kind != WIRE_TUNNEL_IP && t->kind != WIRE_TUNNEL_UDP)
		return WIRE_FAULT_VALUE;
	if (!family_known(t->remote.family) || addr_is_zero(&t->remote) || !addr_known(&t->local))
		return WIRE_FAULT_VALUE;
	if ((t->kind == WIRE_TUNNEL_UDP) != (t->port != 0))
		return WIRE_FAULT_CONTRADICTION;
	return t->local.family && t->local.family != t->remote.family ? WIRE_FAULT_CONTRADICTION : WIRE_OK;
}

void wire_encode_tunnel(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_u8(w, m->tunnel.kind);
	wire_write_u8(w, m->tunnel.hop_limit);
	wire_write_u16(w, m->tunnel.port);
	wire_write_addr(w, &m->tunnel.remote);
	wire_write_addr(w, &m->tunnel.local);
}

void wire_decode_reject(struct wire_reader *r, struct wire_msg *m)
{
	m->reject = wire_read_u8(r);
	wire_read_zero(r, 3, WIRE_FAULT_VALUE);
}

enum wire_fault wire_check_reject(const struct wire_msg *m, unsigned i)
{
	(void)i;
	bool known = m->reject == WIRE_REJECT_PROHIBITED || m->reject == WIRE_REJECT_UNREACHABLE;
	return known ? WIRE_OK : WIRE_FAULT_VALUE;
}

void wire_encode_reject(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_u8(w, m->reject);
	wire_write_zero(w, 3);
}

/* ---- identity, opaque data, packet ---- */

void wire_decode_identity(struct wire_reader *r, struct wire_msg *m)
{
	wire_read_addr(r, &m->identity.addr);
	read_text(r, m->identity.name, sizeof m->identity.name);
}

enum wire_fault wire_check_identity(const struct wire_msg *m, unsigned i)
{
	(void)i;
	const struct wire_identity *d = &m->identity;
	return addr_known(&d->addr) && text_ok(d->name, sizeof d->name) ? WIRE_OK : WIRE_FAULT_VALUE;
}

void wire_encode_identity(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_addr(w, &m->identity.addr);
	write_text(w, m->identity.name);
}

void wire_decode_sm_data(struct wire_reader *r, struct wire_msg *m)
{
	read_blob(r, &m->sm_data, WIRE_MAX_OPAQUE);
}

enum wire_fault wire_check_sm_data(const struct wire_msg *m, unsigned i)
{
	(void)i;
	return m->sm_data.len > WIRE_MAX_OPAQUE ? WIRE_FAULT_VALUE : WIRE_OK;
}

void wire_encode_sm_data(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_bytes(w, m->sm_data.data, m->sm_data.len);
}

void wire_decode_fa_data(struct wire_reader *r, struct wire_msg *m)
{
	read_blob(r, &m->fa_data, WIRE_MAX_OPAQUE);
}

enum wire_fault wire_check_fa_data(const struct wire_msg *m, unsigned i)
{
	(void)i;
	return m->fa_data.len > WIRE_MAX_OPAQUE ? WIRE_FAULT_VALUE : WIRE_OK;
}

void wire_encode_fa_data(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_bytes(w, m->fa_data.data, m->fa_data.len);
}

void wire_decode_packet(struct wire_reader *r, struct wire_msg *m)
{
	read_blob(r, &m->packet, wire_left(r));
}

enum wire_fault wire_check_packet(const struct wire_msg *m, unsigned i)
{
	(void)i;
	const struct wire_blob *p = &m->packet;
	if (p->len == 0)
		return WIRE_FAULT_TRUNCATED;
	unsigned version = p->data[0] >> 4;
	if (version != 4 && version != 6)
		return WIRE_FAULT_VALUE;
	return p->len < (version == 4 ? PACKET_MIN4 : PACKET_MIN6) ? WIRE_FAULT_TRUNCATED : WIRE_OK;
}

void wire_encode_packet(struct wire_writer *w, const struct wire_msg *m, unsigned i)
{
	(void)i;
	wire_write_bytes(w, m->packet.data, m->packet.len);
}
