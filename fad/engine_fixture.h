/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the engine's tests only: an engine, a recorder of all it asks of the
 * world, and short ways to make packets and messages.
 *
 * Every message, both ways, goes through the wire codec, so that what the
 * tests give is what a manager could send, and what the engine sends is what
 * a manager could read.  Must not decide what is right: that is the tests'.
 */
#ifndef TURNOUT_FAD_ENGINE_FIXTURE_H
#define TURNOUT_FAD_ENGINE_FIXTURE_H

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "fad/checksum.h"
#include "fad/engine.h"
#include "lib/check_main.h"
#include "proto/wire.h"

#define BED_MAX 256

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10

#define PUNT_ALL WIRE_INTEREST_ALL

/* A message the engine sent, as its receiver decodes it. */
struct bed_sent {
	struct endpoint_peer to;
	struct wire_msg m;
	uint8_t *bytes; /* what m points into */
};

/* A packet the engine let go. */
struct bed_forwarded {
	struct packet p; /* parsed again */
	uint8_t *bytes;
	bool dispatched;
	struct addr next_hop;
};

struct bed {
	struct engine *e;
	uint64_t now_ms;
	struct bed_sent sent[BED_MAX];
	struct bed_forwarded forwarded[BED_MAX];
	size_t sent_count, forwarded_count;
	int shapes, keys, flows;       /* what the kernel's classifier holds now */
	struct classifier_shape shape; /* the latest that is not for fragments */
	int prefixes, prefix_calls;    /* advertised now; changes ever */
	int managers;
	bool refuse_send, refuse_forward, refuse_flow;
	struct engine_route routes[2]; /* what the kernel says about any IPv4 and any IPv6 address; MTU 0: no route */
	uint32_t least_mtu;            /* of all routes */
	size_t routes_asked;
	bool guarded; /* every key is what FA-8 protects */
	uint64_t sequence;
	uint8_t packet[65600];
};

static inline struct addr bed_addr(const char *text)
{
	struct addr a;

	ck_assert(addr_parse(text, &a));
	return a;
}

/* ---- the world ---- */

static inline bool bed_on_forward(void *ctx, const struct packet *p, const struct addr *next_hop)
{
	struct bed *b = ctx;
	struct bed_forwarded *f = &b->forwarded[b->forwarded_count];

	if (b->refuse_forward)
		return false;
	ck_assert_uint_lt(b->forwarded_count++, BED_MAX);
	f->bytes = malloc(p->len);
	memcpy(f->bytes, p->data, p->len);
	f->p = *p;
	ck_assert_int_eq(packet_parse(&f->p, f->bytes, p->len), PACKET_OK);
	f->dispatched = next_hop != NULL;
	f->next_hop = next_hop ? *next_hop : (struct addr){0};
	return true;
}

static inline bool bed_on_route(void *ctx, const struct addr *to, struct engine_route *out)
{
	struct bed *b = ctx;

	ck_assert(to->family == 4 || to->family == 6);
	*out = b->routes[to->family == 6];
	b->routes_asked++;
	return out->mtu != 0;
}

static inline uint32_t bed_on_least_mtu(void *ctx)
{
	return ((struct bed *)ctx)->least_mtu;
}

static inline bool bed_on_guards(void *ctx, const struct flow_key *key)
{
	(void)key;
	return ((struct bed *)ctx)->guarded;
}

static inline bool bed_on_send(void *ctx, const struct endpoint_peer *to, struct wire_msg *m)
{
	struct bed *b = ctx;
	struct bed_sent *s = &b->sent[b->sent_count];
	struct wire_diagnosis why;
	uint8_t buffer[WIRE_MAX];
	ssize_t len;

	if (b->refuse_send)
		return false;
	ck_assert_uint_lt(b->sent_count++, BED_MAX);
	m->h.source = 0xfad;
	m->h.incarnation = 1;
	m->h.destination = to->identity;
	m->h.sequence = b->sent_count;
	s->to = *to;
	len = wire_encode(m, buffer, sizeof(buffer));
	ck_assert_int_gt(len, 0);
	s->bytes = malloc((size_t)len);
	memcpy(s->bytes, buffer, (size_t)len);
	ck_assert_int_eq(wire_decode(s->bytes, (size_t)len, &s->m, &why), WIRE_OK);
	return true;
}

static inline bool bed_on_shape(void *ctx, uint16_t number, const struct classifier_shape *shape)
{
	struct bed *b = ctx;

	ck_assert_uint_lt(number, CLASSIFIER_ALL_SHAPES);
	b->shapes += shape ? 1 : -1;
	if (shape && number < CLASSIFIER_MAX_SHAPES)
		b->shape = *shape;
	return true;
}

static inline bool bed_on_key(void *ctx, const struct classifier_key *key, bool add)
{
	struct bed *b = ctx;

	ck_assert(key->family == 4 || key->family == 6);
	b->keys += add ? 1 : -1;
	return true;
}

static inline bool bed_on_flow(void *ctx, const struct flow_key *key, bool add)
{
	struct bed *b = ctx;

	ck_assert(key->family == 4 || key->family == 6);
	if (add && b->refuse_flow)
		return false;
	b->flows += add ? 1 : -1;
	return true;
}

static inline void bed_on_advertise(void *ctx, const struct addr *prefix, uint8_t plen, bool add)
{
	struct bed *b = ctx;

	ck_assert_uint_le(plen, addr_len(prefix->family) * 8);
	b->prefixes += add ? 1 : -1;
	b->prefix_calls++;
}

static inline void bed_on_manager(void *ctx, const struct endpoint_peer *peer, bool add)
{
	struct bed *b = ctx;

	ck_assert_uint_ne(peer->port, 0);
	b->managers += add ? 1 : -1;
}

static const struct engine_out bed_out = {
	.forward = bed_on_forward,
	.route = bed_on_route,
	.least_mtu = bed_on_least_mtu,
	.guards = bed_on_guards,
	.send = bed_on_send,
	.shape = bed_on_shape,
	.key = bed_on_key,
	.flow = bed_on_flow,
	.advertise = bed_on_advertise,
	.manager = bed_on_manager,
};

static inline struct engine_conf bed_conf(void)
{
	return (struct engine_conf){
		.max_fixed = 100,
		.max_wildcards = 100,
		.hold = {.flows = 8, .packets = 16, .bytes = 1 << 20},
		.authenticated = true,
		.hash_key = {1, 2},
		.cookie_key = {3, 4},
	};
}

/* *out is borrowed. */
static inline struct bed *bed_new_out(const struct engine_conf *conf, const struct engine_out *out)
{
	struct bed *b = calloc(1, sizeof(*b));

	b->now_ms = 1000000;
	b->routes[0] = (struct engine_route){1500, bed_addr("192.0.2.1")};
	b->routes[1] = (struct engine_route){1500, bed_addr("2001:db8:9::1")};
	b->e = engine_new(conf, out, b);
	ck_assert_ptr_nonnull(b->e);
	engine_tick(b->e, b->now_ms);
	return b;
}

static inline struct bed *bed_new_with(const struct engine_conf *conf)
{
	return bed_new_out(conf, &bed_out);
}

static inline struct bed *bed_new(void)
{
	struct engine_conf conf = bed_conf();

	return bed_new_with(&conf);
}

/* Forget what was recorded. */
static inline void bed_clear(struct bed *b)
{
	while (b->sent_count)
		free(b->sent[--b->sent_count].bytes);
	while (b->forwarded_count)
		free(b->forwarded[--b->forwarded_count].bytes);
}

/* At its end the engine has taken everything back from the kernel. */
static inline void bed_free(struct bed *b)
{
	engine_free(b->e);
	ck_assert_int_eq(b->shapes, 0);
	ck_assert_int_eq(b->keys, 0);
	ck_assert_int_eq(b->flows, 0);
	ck_assert_int_eq(b->prefixes, 0);
	bed_clear(b);
	free(b);
}

/* Let time pass in ticks of 50 ms, as the daemon does. */
static inline void bed_wait(struct bed *b, uint64_t ms)
{
	for (uint64_t end = b->now_ms + ms; b->now_ms < end;) {
		b->now_ms += 50;
		engine_tick(b->e, b->now_ms);
	}
}

static inline uint64_t bed_counter(const struct bed *b, enum engine_counter c)
{
	return engine_counters(b->e)[c];
}
#define ck_counter(b, name, value) ck_assert_uint_eq(bed_counter(b, ENGINE_##name), value)

/* ---- packets ---- */

static inline struct flow_key bed_key(uint8_t proto, const char *src, uint16_t sport, const char *dst, uint16_t dport)
{
	struct addr s = bed_addr(src), d = bed_addr(dst);
	struct flow_key k = {.family = s.family, .proto = proto, .sport = sport, .dport = dport};

	memcpy(k.src, s.b, 16);
	memcpy(k.dst, d.b, 16);
	return k;
}

/* The flow most tests are about: client n to the service. */
static inline struct flow_key bed_client(uint16_t n)
{
	return bed_key(IPPROTO_TCP, "198.51.100.7", n, "203.0.113.10", 80);
}

static inline void bed_put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* Write a whole packet; returns its length. */
static inline size_t bed_write(uint8_t *at, const struct flow_key *k, uint8_t flags, size_t data)
{
	size_t ip = k->family == 4 ? 20 : 40, alen = addr_len(k->family);
	size_t l4 = k->proto == IPPROTO_TCP ? 20 : 8, len = ip + l4 + data;
	size_t field = k->proto == IPPROTO_TCP ? 16 : k->proto == IPPROTO_UDP ? 6 : 2;
	uint64_t sum =
		k->proto == IPPROTO_ICMP ? 0 : checksum_pseudo(k->src, k->dst, alen, k->proto, (uint32_t)(l4 + data));
	uint8_t *t = at + ip;
	uint16_t value;

	memset(at, 0, ip + l4);
	memset(t + l4, 'x', data);
	at[0] = k->family == 4 ? 0x45 : 0x60;
	bed_put16(at + (k->family == 4 ? 2 : 4), (unsigned)(k->family == 4 ? len : len - ip));
	at[k->family == 4 ? 8 : 7] = 64;
	at[k->family == 4 ? 9 : 6] = k->proto;
	memcpy(at + (k->family == 4 ? 12 : 8), k->src, alen);
	memcpy(at + (k->family == 4 ? 16 : 24), k->dst, alen);
	if (k->family == 4) {
		value = checksum_finish(checksum_add(0, at, 20));
		memcpy(at + 10, &value, 2);
	}
	if (k->proto == IPPROTO_TCP || k->proto == IPPROTO_UDP) {
		bed_put16(t, k->sport);
		bed_put16(t + 2, k->dport);
	}
	if (k->proto == IPPROTO_TCP) {
		t[12] = 0x50;
		t[13] = flags;
	} else if (k->proto == IPPROTO_UDP) {
		bed_put16(t + 4, (unsigned)(l4 + data));
	}
	value = checksum_finish(checksum_add(sum, t, l4 + data));
	memcpy(t + field, &value, 2);
	return len;
}

/* Does the transport checksum of a whole packet hold?  And the header's? */
static inline bool bed_sums_hold(const struct packet *p)
{
	size_t alen = addr_len(p->key.family);
	uint64_t sum = checksum_pseudo(p->key.src, p->key.dst, alen, p->key.proto, p->len - p->l4);

	return packet_verify(p) == PACKET_OK &&
	       checksum_fold(checksum_add(sum, p->data + p->l4, p->len - p->l4)) == 0xffff;
}

/* Write an ICMP error (type, code) of `from` about a packet of this flow, of which `cut` bytes are embedded. */
static inline size_t bed_write_error(uint8_t *at, const char *from, const struct flow_key *about, uint8_t type,
				     uint8_t code, size_t cut)
{
	bool v4 = about->family == 4;
	struct addr src = bed_addr(from), dst = addr_make(about->family, about->src);
	size_t ip = v4 ? 20 : 40, alen = addr_len(about->family), len;
	uint8_t embedded[2048];
	uint64_t sum = 0;
	uint16_t value;

	len = bed_write(embedded, about, ACK, 1000);
	len = len < cut ? len : cut;
	memset(at, 0, ip + 8);
	at[0] = v4 ? 0x45 : 0x60;
	bed_put16(at + (v4 ? 2 : 4), (unsigned)(v4 ? ip + 8 + len : 8 + len));
	at[v4 ? 8 : 7] = 64;
	at[v4 ? 9 : 6] = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	memcpy(at + (v4 ? 12 : 8), src.b, alen);
	memcpy(at + (v4 ? 16 : 24), dst.b, alen);
	if (v4) {
		value = checksum_finish(checksum_add(0, at, 20));
		memcpy(at + 10, &value, 2);
	} else {
		sum = checksum_pseudo(src.b, dst.b, 16, IPPROTO_ICMPV6, (uint32_t)(8 + len));
	}
	at[ip] = type;
	at[ip + 1] = code;
	memcpy(at + ip + 8, embedded, len);
	value = checksum_finish(checksum_add(sum, at + ip, 8 + len));
	memcpy(at + ip + 2, &value, 2);
	return ip + 8 + len;
}

/* Do the checksums of an ICMP or ICMPv6 packet hold? */
static inline bool bed_icmp_sum_holds(const struct packet *p)
{
	uint64_t sum = 0;

	if (p->key.family == 6)
		sum = checksum_pseudo(p->key.src, p->key.dst, 16, IPPROTO_ICMPV6, p->len - p->l4);
	return packet_verify(p) == PACKET_OK &&
	       checksum_fold(checksum_add(sum, p->data + p->l4, p->len - p->l4)) == 0xffff;
}

/* A packet of this flow comes in by interface 7; guarded: one that FA-8 protects. */
static inline void bed_packet_of(struct bed *b, const struct flow_key *k, uint8_t flags, size_t data, bool guarded)
{
	struct packet p = {.ifindex = 7, .guarded = guarded};
	size_t len = bed_write(b->packet, k, flags, data);

	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	p.guarded = guarded;
	engine_packet(b->e, &p, b->now_ms);
}

static inline void bed_packet(struct bed *b, const struct flow_key *k, uint8_t flags, size_t data)
{
	bed_packet_of(b, k, flags, data, false);
}

/* ---- messages ---- */

static inline struct endpoint_peer bed_manager(unsigned n)
{
	return (struct endpoint_peer){.identity = n, .addr = {4, {10, 9, 0, (uint8_t)n}}, .port = WIRE_PORT};
}

/* Manager n says this. */
static inline void bed_message(struct bed *b, unsigned n, const struct wire_msg *said)
{
	struct endpoint_peer from = bed_manager(n);
	struct wire_msg m = *said, heard;
	struct wire_diagnosis why;
	uint8_t *bytes = malloc(WIRE_MAX);
	ssize_t len;

	m.h.source = n;
	m.h.incarnation = 1;
	m.h.destination = 0xfad;
	m.h.sequence = ++b->sequence;
	len = wire_encode(&m, bytes, WIRE_MAX);
	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(wire_decode(bytes, (size_t)len, &heard, &why), WIRE_OK);
	engine_message(b->e, &from, &heard, b->now_ms);
	free(bytes);
}

static inline void bed_interest(struct wire_msg *m, uint16_t interest, uint16_t data, uint16_t copy, uint16_t hold)
{
	m->interest[m->interest_count++] =
		(struct wire_interest){.interest = interest, .data = data, .copy = copy, .hold = hold};
	wire_set(m, WIRE_SEG_INTEREST, true);
}

/* Take a segment out again. */
static inline void bed_unset(struct wire_msg *m, enum wire_segment s)
{
	m->present &= ~wire_bit(s);
	m->required &= ~wire_bit(s);
}

/* TCP from anybody to dst:port, for a minute, without actions. */
static inline struct wire_msg bed_wildcard(const char *dst, uint16_t port)
{
	struct addr a = bed_addr(dst);
	struct wire_msg m;

	wire_start(&m, WIRE_WILDCARD_UPDATE);
	m.wildcard = (struct wire_wildcard){.family = a.family, .proto = IPPROTO_TCP, .ttl = 60, .dport = port};
	memcpy(m.wildcard.dst, a.b, 16);
	addr_mask(a.family, (uint8_t)(addr_len(a.family) * 8), m.wildcard.dst_mask);
	wire_set(&m, WIRE_SEG_WILDCARD, true);
	return m;
}

/* The same for the service most tests are about, and its manager wants to decide. */
static inline struct wire_msg bed_service(void)
{
	struct wire_msg m = bed_wildcard("203.0.113.10", 80);

	bed_interest(&m, PUNT_ALL, PUNT_ALL, 0, 0);
	return m;
}

static inline struct wire_msg bed_fixed(const struct flow_key *k, uint32_t ttl)
{
	struct wire_msg m;

	wire_start(&m, WIRE_FIXED_UPDATE);
	m.fixed = (struct wire_fixed){.key = *k, .ttl = ttl};
	wire_set(&m, WIRE_SEG_FIXED, true);
	return m;
}

static inline void bed_nat(struct wire_msg *m, uint8_t set, const char *addr, uint16_t port)
{
	struct wire_nat *n = &m->nat[m->nat_count++];

	n->set = set;
	if (set & WIRE_NAT_SRC)
		n->src = bed_addr(addr);
	if (set & WIRE_NAT_DST)
		n->dst = bed_addr(addr);
	if (set & WIRE_NAT_SPORT)
		n->sport = port;
	if (set & WIRE_NAT_DPORT)
		n->dport = port;
	wire_set(m, WIRE_SEG_NAT, true);
}

static inline void bed_dispatch(struct wire_msg *m, const char *to)
{
	struct addr a = {0};

	if (to)
		a = bed_addr(to);
	if (wire_has(m, WIRE_SEG_FIXED)) {
		m->fixed.flags |= WIRE_FLAG_DISPATCH;
		m->fixed.forward = a;
	} else {
		m->wildcard.flags |= WIRE_FLAG_DISPATCH;
		m->wildcard.forward = a;
	}
}

/* Lower first. */
static inline void bed_precedence(struct wire_msg *m, uint32_t value)
{
	m->precedence = (struct wire_precedence){.lower_first = true, .value = value};
	wire_set(m, WIRE_SEG_PRECEDENCE, true);
}

static inline void bed_backup(struct wire_msg *m, uint32_t value)
{
	m->backup = value;
	wire_set(m, WIRE_SEG_BACKUP, true);
}

/* Put what the agent sent back into an answer: the packet, and the agent's data. */
static inline void bed_return(struct wire_msg *m, const struct bed_sent *s)
{
	ck_assert(wire_has(&s->m, WIRE_SEG_IP_PACKET));
	m->packet = s->m.packet;
	wire_set(m, WIRE_SEG_IP_PACKET, true);
	m->fa_data = s->m.fa_data;
	wire_set(m, WIRE_SEG_FA_DATA, false);
}

/* The usual answer: to the server, for ttl seconds, with the packet of that punt. */
static inline struct wire_msg bed_answer(const struct bed_sent *s, uint32_t ttl)
{
	struct wire_msg m = bed_fixed(&s->m.identifier.key, ttl);

	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.11", 8080);
	bed_return(&m, s);
	return m;
}

/* The last message sent and the last packet forwarded. */
static inline const struct bed_sent *bed_last_sent(const struct bed *b)
{
	ck_assert_uint_gt(b->sent_count, 0);
	return &b->sent[b->sent_count - 1];
}

static inline const struct bed_forwarded *bed_last_forwarded(const struct bed *b)
{
	ck_assert_uint_gt(b->forwarded_count, 0);
	return &b->forwarded[b->forwarded_count - 1];
}

/* It went to addr:port, with right checksums. */
static inline void bed_went_to(const struct bed_forwarded *f, const char *addr, uint16_t port)
{
	struct addr want = bed_addr(addr);
	char got[FLOW_KEY_STRLEN];

	ck_assert_msg(!memcmp(f->p.key.dst, want.b, 16) && f->p.key.dport == port, "went %s",
		      flow_key_print(&f->p.key, got));
	ck_assert(bed_sums_hold(&f->p));
}

/* Each program's main. */
static inline int bed_main(const char *name, void (*add)(TCase *))
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create(name);

	add(t);
	suite_add_tcase(s, t);
	return check_main(s);
}

#endif
