/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The message codec from its C side: what is put into a struct comes out of
 * one, what would not decode is not encoded, diagnoses, limits, names.  Bytes
 * against their documentation are proto/vectors_test.c.
 */
#include "proto/wire.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t packet4[20] = {0x45, 0, 0, 20, [9] = IPPROTO_TCP};
static const uint8_t packet6[40] = {0x60, [6] = IPPROTO_TCP};

static struct addr address(const char *text)
{
	struct addr a;
	ck_assert(addr_parse(text, &a));
	return a;
}

static void start(struct wire_msg *m, enum wire_type type)
{
	wire_start(m, type);
	m->h.source = 0x0102030405060708;
	m->h.incarnation = 0x1112131415161718;
	m->h.destination = 0x2122232425262728;
	m->h.sequence = 0x3132333435363738;
}

static struct flow_key key_of(uint8_t family, uint8_t proto)
{
	struct addr src = address(family == 4 ? "192.0.2.7" : "2001:db8::7");
	struct addr dst = address(family == 4 ? "203.0.113.10" : "2001:db8:ffff::10");
	struct flow_key k = {.family = family, .proto = proto, .sport = 40000, .dport = 80};
	memcpy(k.src, src.b, 16);
	memcpy(k.dst, dst.b, 16);
	return k;
}

static void start_fixed(struct wire_msg *m, uint8_t family, uint8_t proto)
{
	start(m, WIRE_FIXED_UPDATE);
	m->fixed.key = key_of(family, proto);
	m->fixed.ttl = 60;
	wire_set(m, WIRE_SEG_FIXED, true);
}

static void start_wildcard(struct wire_msg *m, uint8_t family)
{
	struct flow_key k = key_of(family, IPPROTO_TCP);
	start(m, WIRE_WILDCARD_UPDATE);
	m->wildcard = (struct wire_wildcard){.family = family, .proto = IPPROTO_TCP, .ttl = 30, .dport = 80};
	memcpy(m->wildcard.dst, k.dst, 16);
	addr_mask(family, family == 4 ? 32 : 128, m->wildcard.dst_mask);
	wire_set(m, WIRE_SEG_WILDCARD, true);
}

/* Everything that a message of this kind of affinity can carry. */
static void fill_actions(struct wire_msg *m, uint8_t family)
{
	m->nat_count = 2;
	m->nat[0] = (struct wire_nat){.set = WIRE_NAT_SRC | WIRE_NAT_SPORT, .sport = 1};
	m->nat[0].src = address(family == 4 ? "10.0.0.1" : "fd00::1");
	m->nat[1] = (struct wire_nat){.set = WIRE_NAT_DST | WIRE_NAT_DPORT, .dport = 65535};
	m->nat[1].dst = address(family == 4 ? "10.0.0.2" : "fd00::2");
	m->interest_count = WIRE_MAX_ACTIONS;
	for (int i = 0; i < WIRE_MAX_ACTIONS; i++)
		m->interest[i] = (struct wire_interest){1, 2, 4, 0x8000, address(i % 2 ? "fd00::9" : "10.0.0.9"), 99};
	m->seq_adjust = (struct wire_seq_adjust){1, 2, 0xfffffffe, 0xffffffff};
	m->tunnel = (struct wire_tunnel){WIRE_TUNNEL_UDP, 9, 5555, address("fd00::3"), address("fd00::4")};
	*(wire_has(m, WIRE_SEG_FIXED) ? &m->fixed.flags : &m->wildcard.flags) |= WIRE_FLAG_DISPATCH;
	wire_set(m, WIRE_SEG_NAT, true);
	wire_set(m, WIRE_SEG_INTEREST, false);
	wire_set(m, WIRE_SEG_SEQ_ADJUST, true);
	wire_set(m, WIRE_SEG_TUNNEL, false);
}

static void fill_common(struct wire_msg *m)
{
	static const uint8_t data[WIRE_MAX_OPAQUE] = {1, 2, 3, [WIRE_MAX_OPAQUE - 1] = 255};
	m->security = (struct wire_security){.scheme = WIRE_SCHEME_HMAC_SHA256, .key_id = 0xdeadbeef};
	m->precedence = (struct wire_precedence){true, 0xfffffff0};
	m->backup = 0xfffffff1;
	m->identity.addr = address("10.9.0.2");
	memset(m->identity.name, 'n', WIRE_MAX_NAME);
	m->sm_data = (struct wire_blob){data, sizeof data};
	static const enum wire_segment segments[] = {WIRE_SEG_SECURITY, WIRE_SEG_PRECEDENCE, WIRE_SEG_BACKUP,
						     WIRE_SEG_IDENTITY, WIRE_SEG_SM_DATA};
	for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++)
		wire_set(m, segments[i], i % 2);
}

static size_t encode(const struct wire_msg *m, uint8_t *buf, size_t cap)
{
	ssize_t n = wire_encode(m, buf, cap);
	ck_assert_int_gt(n, 0);
	return (size_t)n;
}

static struct wire_msg decode(const uint8_t *buf, size_t len)
{
	struct wire_msg m;
	struct wire_diagnosis why;
	enum wire_fault fault = wire_decode(buf, len, &m, &why);
	ck_assert_msg(fault == WIRE_OK, "%s at %u, segment %u", wire_fault_name(fault), why.offset, why.segment);
	return m;
}

/* All there is to say of a message.  Caller frees. */
static char *text_of(const struct wire_msg *m)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(out);
	wire_print(m, out, "");
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

/* The same but for where data lies and where the MAC is.  (Not byte by byte: padding may differ.) */
static void same(const struct wire_msg *a, const struct wire_msg *b)
{
	const struct wire_blob *of_a[] = {&a->sm_data, &a->fa_data, &a->packet};
	const struct wire_blob *of_b[] = {&b->sm_data, &b->fa_data, &b->packet};
	char *text = text_of(a), *other = text_of(b);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(of_a[i]->len, of_b[i]->len);
		if (of_a[i]->len)
			ck_assert_mem_eq(of_a[i]->data, of_b[i]->data, of_a[i]->len);
	}
	ck_assert_uint_eq(a->present, b->present);
	ck_assert_uint_eq(a->required, b->required);
	ck_assert_str_eq(text, other);
	free(text);
	free(other);
}

static void there_and_back(const struct wire_msg *m)
{
	static const size_t cap = 8192;
	uint8_t *buf = malloc(cap);
	ck_assert_ptr_nonnull(buf);
	size_t n = encode(m, buf, cap);
	struct wire_msg got = decode(buf, n);
	same(m, &got);
	for (size_t less = 0; less < n; less++)
		ck_assert_int_eq(wire_encode(m, buf, less), -1);
	free(buf);
}

START_TEST(test_MSG_5_wildcard_update_round_trip)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct wire_msg m;
		start_wildcard(&m, family);
		m.h.destination = 0;
		m.wildcard.flags = WIRE_FLAGS_WILDCARD;
		m.wildcard.forward = address(family == 4 ? "10.0.0.1" : "fd00::1");
		memset(m.wildcard.src, 0x55, addr_len(family));
		memset(m.wildcard.src_mask, 0xaa, addr_len(family));
		fill_common(&m);
		fill_actions(&m, family);
		m.advertise_count = 2;
		m.advertise[0] = (struct wire_advertise){address(family == 4 ? "10.1.0.0" : "fd00::"), 16};
		m.list = (struct wire_list){3, {WIRE_SEG_NAT, 200, 255}};
		wire_set(&m, WIRE_SEG_ADVERTISE, true);
		wire_set(&m, WIRE_SEG_ACTION_LIST, true);
		there_and_back(&m);
	}
}
END_TEST

START_TEST(test_WILD_6_ranges_round_trip)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct wire_msg m;
		start_wildcard(&m, family);
		m.wildcard.dport = 0;
		m.wildcard.dst_mask[1] = 0;
		wire_set(&m, WIRE_SEG_RANGES, true);
		m.range_count = WIRE_MAX_RANGES;
		for (unsigned i = 0; i < WIRE_MAX_RANGES; i++) {
			struct wire_range *g = &m.ranges[i];
			g->field = (uint8_t)(WIRE_RANGE_SRC + i % 4);
			if (g->field >= WIRE_RANGE_SPORT) {
				g->low_port = (uint16_t)(100 * i);
				g->high_port = (uint16_t)(100 * i + i);
			} else {
				memset(g->low, (int)i, addr_len(family));
				memset(g->high, (int)i + 1, addr_len(family));
			}
		}
		there_and_back(&m);
	}
}
END_TEST

START_TEST(test_MSG_6_fixed_update_round_trip)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct wire_msg m;
		start_fixed(&m, family, IPPROTO_TCP);
		m.fixed.flags = WIRE_FLAG_DISPATCH | WIRE_FLAG_INFORMATION;
		m.fixed.forward = address(family == 4 ? "0.0.0.0" : "::");
		m.fixed.ttl = UINT32_MAX;
		fill_common(&m);
		fill_actions(&m, family);
		m.fa_data = (struct wire_blob){(const uint8_t *)"", 0};
		m.packet = family == 4 ? (struct wire_blob){packet4, sizeof packet4}
				       : (struct wire_blob){packet6, sizeof packet6};
		wire_set(&m, WIRE_SEG_FA_DATA, false);
		wire_set(&m, WIRE_SEG_IP_PACKET, true);
		there_and_back(&m);
	}
}
END_TEST

START_TEST(test_MSG_7_deny_round_trip)
{
	struct wire_msg m;
	start_wildcard(&m, 4);
	m.h.type = WIRE_DENY;
	for (int i = 0; i < WIRE_MAX_LIST; i++)
		m.list.types[m.list.count++] = (uint8_t)(i + 1);
	m.error.code = WIRE_ERROR_UNSUPPORTED;
	memset(m.error.text, '~', WIRE_MAX_TEXT);
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	wire_set(&m, WIRE_SEG_ERROR, false);
	there_and_back(&m);

	start_fixed(&m, 6, IPPROTO_UDP);
	m.h.type = WIRE_DENY;
	m.error.code = WIRE_ERROR_NOT_COVERED;
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	wire_set(&m, WIRE_SEG_ERROR, true);
	there_and_back(&m);
	/* An empty list explained by "unsupported" explains nothing. */
	m.error.code = WIRE_ERROR_UNSUPPORTED;
	uint8_t buf[1000];
	ck_assert_int_eq(wire_encode(&m, buf, sizeof buf), -1);
}
END_TEST

START_TEST(test_MSG_8_match_round_trip)
{
	static const uint8_t types[] = {WIRE_MATCH_WILDCARD, WIRE_MATCH_FIXED, WIRE_REFRESH};
	for (size_t t = 0; t < sizeof types; t++) {
		struct wire_msg m;
		start(&m, (enum wire_type)types[t]);
		m.identifier.key = key_of(6, IPPROTO_UDP);
		m.identifier.flags = 0x1f;
		m.identifier.reasons = 0x81ff;
		wire_set(&m, WIRE_SEG_IDENTIFIER, true);
		there_and_back(&m);
		if (types[t] == WIRE_REFRESH)
			continue;
		m.packet = (struct wire_blob){packet6, sizeof packet6};
		wire_set(&m, WIRE_SEG_IP_PACKET, false);
		there_and_back(&m);
	}
}
END_TEST

START_TEST(test_MSG_9_packet_only_of_the_largest_size)
{
	struct wire_msg m;
	uint8_t *packet = calloc(1, WIRE_MAX), *buf = malloc(WIRE_MAX + 1);
	ck_assert(packet != NULL && buf != NULL);
	packet[0] = 0x45;
	start(&m, WIRE_PACKET);
	m.security.scheme = WIRE_SCHEME_HMAC_SHA256_8;
	wire_set(&m, WIRE_SEG_SECURITY, false);
	wire_set(&m, WIRE_SEG_IP_PACKET, true);
	m.packet = (struct wire_blob){packet, WIRE_MAX - WIRE_HEADER_LEN - (4 + 16) - 4};
	ck_assert_uint_eq(encode(&m, buf, WIRE_MAX + 1), WIRE_MAX);
	struct wire_msg got = decode(buf, WIRE_MAX);
	same(&m, &got);
	ck_assert_uint_eq(got.security.mac_len, 8);
	ck_assert_uint_eq(got.security.mac_offset, WIRE_HEADER_LEN + 4 + 8);
	m.packet.len++;
	ck_assert_int_eq(wire_encode(&m, buf, WIRE_MAX + 1), -1);
	free(packet);
	free(buf);
}
END_TEST

START_TEST(test_MSG_13_hello_challenge_and_listing_round_trip)
{
	struct wire_msg m;
	start(&m, WIRE_HELLO);
	m.h.destination = 0;
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	wire_set(&m, WIRE_SEG_IDENTITY, true);
	there_and_back(&m);

	for (int type = WIRE_CHALLENGE; type <= WIRE_CHALLENGE_RESPONSE; type++) {
		start(&m, (enum wire_type)type);
		memset(m.nonce.nonce, 0xf0, WIRE_NONCE_LEN);
		m.nonce.group_sequence = type == WIRE_CHALLENGE ? 0 : UINT64_MAX;
		wire_set(&m, WIRE_SEG_NONCE, true);
		there_and_back(&m);
	}
	start(&m, WIRE_ASK);
	m.listing = (struct wire_listing){false, UINT32_MAX, 1};
	wire_set(&m, WIRE_SEG_LISTING, true);
	there_and_back(&m);
	m.h.type = WIRE_HELD;
	m.listing.end = true;
	there_and_back(&m);
	start_fixed(&m, 4, IPPROTO_ICMP);
	m.h.type = WIRE_HELD;
	m.fixed.key.sport = m.fixed.key.dport = 0;
	wire_set(&m, WIRE_SEG_LISTING, true);
	there_and_back(&m);
}
END_TEST

/* Wildcards that differ only in ranges or precedence are told apart in denies and listings. */
START_TEST(test_MSG_7_WILD_6_PREC_1_deny_and_held_carry_ranges_and_precedences)
{
	static const uint8_t types[] = {WIRE_DENY, WIRE_HELD};

	for (size_t i = 0; i < 2; i++) {
		struct wire_msg m;

		start_wildcard(&m, 6);
		m.wildcard.dport = 0;
		m.h.type = types[i];
		m.ranges[0].field = WIRE_RANGE_DPORT;
		m.ranges[0].low_port = 80;
		m.ranges[0].high_port = 90;
		m.range_count = 1;
		wire_set(&m, WIRE_SEG_RANGES, true);
		m.precedence.lower_first = true;
		m.precedence.value = 7;
		wire_set(&m, WIRE_SEG_PRECEDENCE, true);
		m.backup = 2;
		wire_set(&m, WIRE_SEG_BACKUP, true);
		if (types[i] == WIRE_DENY) {
			m.list.count = 1;
			m.list.types[0] = WIRE_SEG_NAT;
		}
		wire_set(&m, types[i] == WIRE_DENY ? WIRE_SEG_ACTION_LIST : WIRE_SEG_LISTING, true);
		there_and_back(&m);
	}
}
END_TEST

/* ---- what would not decode is not encoded ---- */

static void refused(const struct wire_msg *m)
{
	uint8_t buf[8192];
	ck_assert_int_eq(wire_encode(m, buf, sizeof buf), -1);
}

START_TEST(test_MSG_4_headers_that_are_not_encoded)
{
	struct wire_msg good, m;
	start_fixed(&good, 4, IPPROTO_TCP);
	m = good, m.h.source = 0, refused(&m);
	m = good, m.h.incarnation = 0, refused(&m);
	m = good, m.h.sequence = 0, refused(&m);
	m = good, m.h.destination = 0, refused(&m);
	m = good, m.h.type = 77, refused(&m);
	m = good, m.present = 0, m.required = 0, refused(&m);
	m = good, m.required |= wire_bit(WIRE_SEG_NAT), refused(&m);
	m = good, wire_set(&m, WIRE_SEG_ADVERTISE, false), m.advertise_count = 1, refused(&m);
	there_and_back(&good);
}
END_TEST

START_TEST(test_MSG_4_segments_that_are_not_encoded)
{
	static const enum wire_segment counted[] = {WIRE_SEG_NAT, WIRE_SEG_INTEREST};
	struct wire_msg good, m;
	start_fixed(&good, 4, IPPROTO_TCP);
	fill_common(&good);
	fill_actions(&good, 4);
	for (int i = 0; i < 2; i++) {
		m = good;
		*(i ? &m.interest_count : &m.nat_count) = 0;
		refused(&m);
		*(i ? &m.interest_count : &m.nat_count) = WIRE_MAX_ACTIONS + 1;
		refused(&m);
		m.present &= ~wire_bit(counted[i]);
		m.required &= m.present;
		ck_assert_int_gt(wire_encode(&m, (uint8_t[8192]){0}, 8192), 0);
	}
	m = good, m.fixed.key.family = 5, refused(&m);
	m = good, m.fixed.forward.family = 1, refused(&m);
	m = good, m.identity.name[WIRE_MAX_NAME] = 'x', refused(&m);
	m = good, m.identity.name[0] = '\n', refused(&m);
	m = good, m.identity.addr.family = 7, refused(&m);
	m = good, m.sm_data.len++, refused(&m);
	m = good, m.security.scheme = 0, refused(&m);
	m = good, m.security.scheme = 99, refused(&m);
	m = good, m.tunnel.kind = 0, refused(&m);
	m = good, m.fixed.flags = 0, refused(&m);
	m = good, wire_set(&m, WIRE_SEG_REJECT, true), m.reject = 0, refused(&m);
	m.reject = WIRE_REJECT_UNREACHABLE + 1, refused(&m);
	m.reject = WIRE_REJECT_PROHIBITED, there_and_back(&m); /* the tunnel's remote address says nothing about it */
	m.fixed.forward = address("10.0.0.1"), refused(&m);
	m = good, m.nat[1].set = 0, refused(&m);
	m = good, m.nat[1].dst.family = 9, refused(&m);
	m = good, m.interest[3].hold = 0x0200, refused(&m);
	m = good, m.interest[3].addr.family = 3, refused(&m);
	m = good, wire_set(&m, WIRE_SEG_IP_PACKET, true), refused(&m);
	there_and_back(&good);
}
END_TEST

START_TEST(test_MSG_4_ranges_and_lists_that_are_not_encoded)
{
	struct wire_msg good, m;
	start_wildcard(&good, 4);
	m = good, wire_set(&m, WIRE_SEG_RANGES, false), refused(&m);
	m.range_count = WIRE_MAX_RANGES + 1, refused(&m);
	m.range_count = 1, refused(&m); /* field 0 */
	m.ranges[0].field = WIRE_RANGE_SPORT;
	there_and_back(&m);
	m.wildcard.proto = 0, m.wildcard.dport = 0, refused(&m);
	m = good, wire_set(&m, WIRE_SEG_ACTION_LIST, false), m.list.count = WIRE_MAX_LIST + 1, refused(&m);
	m = good, wire_set(&m, WIRE_SEG_ACTION_LIST, false), m.list.count = 1, refused(&m);
	m = good, m.wildcard.flags = 0x80, refused(&m);
	m = good, m.wildcard.family = 0, refused(&m);
}
END_TEST

/* ---- diagnoses ---- */

/* A fixed update, then segment headers without contents of the given types. */
static size_t with_unknown(uint8_t *buf, size_t cap, const uint8_t *types, size_t count, bool required)
{
	struct wire_msg m;
	start_fixed(&m, 4, IPPROTO_TCP);
	m.sm_data = (struct wire_blob){(const uint8_t *)"abc", 3};
	wire_set(&m, WIRE_SEG_SM_DATA, false);
	size_t n = encode(&m, buf, cap);
	ck_assert_uint_le(n + 4 * count, cap);
	for (size_t i = 0; i < count; i++) {
		const uint8_t segment[4] = {types[i], required ? 0x80 : 0};
		memcpy(buf + n, segment, 4);
		n += 4;
	}
	buf[2] = (uint8_t)(n >> 8);
	buf[3] = (uint8_t)n;
	return n;
}

START_TEST(test_MSG_3_required_and_unknown_is_named)
{
	static const uint8_t types[] = {201, 16, 201, 255};
	uint8_t buf[1000];
	struct wire_msg m;
	struct wire_diagnosis why;
	size_t n = with_unknown(buf, sizeof buf, types, sizeof types, true);
	ck_assert_int_eq(wire_decode(buf, n, &m, &why), WIRE_FAULT_REQUIRED);
	ck_assert_uint_eq(why.unknown.count, 3);
	ck_assert_mem_eq(why.unknown.types, ((const uint8_t[]){201, 16, 255}), 3);
	/* What is known is there, so that a deny can say what it is about. */
	ck_assert_uint_eq(m.h.source, 0x0102030405060708);
	ck_assert(wire_has(&m, WIRE_SEG_FIXED) && wire_has(&m, WIRE_SEG_SM_DATA));
	ck_assert_mem_eq(m.sm_data.data, "abc", 3);
	/* Not required: skipped. */
	n = with_unknown(buf, sizeof buf, types, sizeof types, false);
	ck_assert_int_eq(wire_decode(buf, n, &m, &why), WIRE_OK);
	ck_assert_uint_eq(why.unknown.count, 0);
}
END_TEST

START_TEST(test_MSG_3_more_unknown_than_a_deny_can_name)
{
	uint8_t types[60], buf[1000];
	struct wire_msg m;
	struct wire_diagnosis why;
	for (size_t i = 0; i < sizeof types; i++)
		types[i] = (uint8_t)(180 + i);
	size_t n = with_unknown(buf, sizeof buf, types, sizeof types, true);
	ck_assert_int_eq(wire_decode(buf, n, &m, &why), WIRE_FAULT_REQUIRED);
	ck_assert_uint_eq(why.unknown.count, WIRE_MAX_LIST);
	ck_assert_mem_eq(why.unknown.types, types, WIRE_MAX_LIST);
	/* Malformed further on: that comes first, such a message is answered by nobody. */
	buf[n - 3] = 1;
	ck_assert_int_eq(wire_decode(buf, n, &m, &why), WIRE_FAULT_VALUE);
	ck_assert_uint_eq(why.offset, n - 4);
	ck_assert_uint_eq(why.segment, types[sizeof types - 1]);
}
END_TEST

START_TEST(test_SEC_1_peek_finds_the_mac_and_nothing_else)
{
	struct wire_msg m;
	struct wire_header h;
	struct wire_security s;
	uint8_t buf[8192];
	start_fixed(&m, 4, IPPROTO_TCP);
	size_t n = encode(&m, buf, sizeof buf);
	ck_assert_int_eq(wire_peek(buf, n, &h, &s), WIRE_OK);
	ck_assert_uint_eq(s.scheme, 0);
	fill_common(&m);
	n = encode(&m, buf, sizeof buf);
	ck_assert_int_eq(wire_peek(buf, n, &h, &s), WIRE_OK);
	ck_assert_uint_eq(h.type, m.h.type);
	ck_assert_uint_eq(h.source, m.h.source);
	ck_assert_uint_eq(h.incarnation, m.h.incarnation);
	ck_assert_uint_eq(h.destination, m.h.destination);
	ck_assert_uint_eq(h.sequence, m.h.sequence);
	ck_assert_uint_eq(s.scheme, WIRE_SCHEME_HMAC_SHA256);
	ck_assert_uint_eq(s.key_id, 0xdeadbeef);
	ck_assert_uint_eq(s.mac_offset, WIRE_HEADER_LEN + WIRE_SEGMENT_HEADER_LEN + 8);
	ck_assert_uint_eq(s.mac_len, 16);
	/* Garbage behind it is not looked at. */
	memset(buf + s.mac_offset + 16, 0xff, n - s.mac_offset - 16);
	ck_assert_int_eq(wire_peek(buf, n, &h, &s), WIRE_OK);
	ck_assert_int_ne(wire_decode(buf, n, &m, NULL), WIRE_OK);
	/* But a security segment that is not one is. */
	buf[WIRE_HEADER_LEN + 3]--;
	ck_assert_int_eq(wire_peek(buf, n, &h, &s), WIRE_FAULT_TRUNCATED);
	buf[WIRE_HEADER_LEN + 3] += 2;
	ck_assert_int_eq(wire_peek(buf, n, &h, &s), WIRE_FAULT_OVERLONG);
}
END_TEST

/* A scheme not known here still has to be skipped by who expects none (SEC-2). */
START_TEST(test_SEC_2_unknown_scheme_is_carried)
{
	struct wire_msg m;
	start_fixed(&m, 4, IPPROTO_TCP);
	m.security = (struct wire_security){.scheme = 200, .key_id = 1, .mac_len = WIRE_MAX_MAC};
	wire_set(&m, WIRE_SEG_SECURITY, false);
	there_and_back(&m);
	m.security.mac_len = WIRE_MAX_MAC + 1;
	refused(&m);
	m.security.mac_len = 0;
	refused(&m);
	ck_assert_uint_eq(wire_mac_len(WIRE_SCHEME_MD5), 16);
	ck_assert_uint_eq(wire_mac_len(WIRE_SCHEME_HMAC_SHA256), 16);
	ck_assert_uint_eq(wire_mac_len(WIRE_SCHEME_HMAC_SHA256_8), 8);
	ck_assert_uint_eq(wire_mac_len(0) + wire_mac_len(4) + wire_mac_len(255), 0);
}
END_TEST

/* ---- text ---- */

START_TEST(print_indents_every_line)
{
	struct wire_msg m;
	char *text = NULL;
	size_t size = 0;
	start_fixed(&m, 4, IPPROTO_TCP);
	FILE *out = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(out);
	wire_print(&m, out, "> ");
	fclose(out);
	ck_assert_str_eq(text, "> fixed update from 0x102030405060708, incarnation 1230066625199609624, to "
			       "0x2122232425262728, sequence 3544952156018063160\n"
			       ">   fixed (required): tcp 192.0.2.7:40000 > 203.0.113.10:80, ttl 60, flags none\n");
	free(text);
}
END_TEST

START_TEST(test_MSG_4_everything_has_a_name_of_its_own)
{
	for (unsigned f = 0; f < WIRE_FAULT_COUNT; f++) {
		const char *name = wire_fault_name((enum wire_fault)f);
		ck_assert_str_ne(name, "unknown");
		ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
		for (unsigned g = 0; g < f; g++)
			ck_assert_str_ne(name, wire_fault_name((enum wire_fault)g));
	}
	ck_assert_str_eq(wire_fault_name(WIRE_FAULT_COUNT), "unknown");
	ck_assert_str_eq(wire_type_name(WIRE_DENY), "deny");
	ck_assert_str_eq(wire_type_name(7), "unknown");
	ck_assert_str_eq(wire_segment_name(WIRE_SEG_RANGES), "ranges");
	ck_assert_str_eq(wire_segment_name(16), "unknown");
	uint32_t all = 0;
	for (unsigned type = 0; type < 256; type++) {
		uint32_t bit = wire_bit(type);
		ck_assert_uint_eq(all & bit, 0);
		ck_assert(bit != 0 || (type >= 16 && type < 128) || type >= 144);
		all |= bit;
	}
	ck_assert_uint_eq(all, UINT32_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *tc = tcase_create("wire");
	tcase_add_test(tc, test_MSG_5_wildcard_update_round_trip);
	tcase_add_test(tc, test_WILD_6_ranges_round_trip);
	tcase_add_test(tc, test_MSG_6_fixed_update_round_trip);
	tcase_add_test(tc, test_MSG_7_deny_round_trip);
	tcase_add_test(tc, test_MSG_8_match_round_trip);
	tcase_add_test(tc, test_MSG_9_packet_only_of_the_largest_size);
	tcase_add_test(tc, test_MSG_13_hello_challenge_and_listing_round_trip);
	tcase_add_test(tc, test_MSG_7_WILD_6_PREC_1_deny_and_held_carry_ranges_and_precedences);
	tcase_add_test(tc, test_MSG_4_headers_that_are_not_encoded);
	tcase_add_test(tc, test_MSG_4_segments_that_are_not_encoded);
	tcase_add_test(tc, test_MSG_4_ranges_and_lists_that_are_not_encoded);
	tcase_add_test(tc, test_MSG_3_required_and_unknown_is_named);
	tcase_add_test(tc, test_MSG_3_more_unknown_than_a_deny_can_name);
	tcase_add_test(tc, test_SEC_1_peek_finds_the_mac_and_nothing_else);
	tcase_add_test(tc, test_SEC_2_unknown_scheme_is_carried);
	tcase_add_test(tc, print_indents_every_line);
	tcase_add_test(tc, test_MSG_4_everything_has_a_name_of_its_own);
	suite_add_tcase(suite, tc);
	SRunner *sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
