// SPDX-License-Identifier: BSD-2-Clause
/*
 * Tests of packet.c: keys, fragments, extension headers, and truncation at
 * every byte in a buffer of exactly that size, so that AddressSanitizer sees
 * any read beyond it.
 */
#include "fad/packet.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "fad/checksum.h"
#include "proto/wire.h"

/* A packet under construction. */
struct draft {
	uint8_t b[4096];
	size_t len;
};

static void put(struct draft *d, const void *bytes, size_t n)
{
	ck_assert(d->len + n <= sizeof(d->b));
	memcpy(d->b + d->len, bytes, n);
	d->len += n;
}

static void put16(struct draft *d, uint16_t v)
{
	uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};
	put(d, b, 2);
}

static void zeros(struct draft *d, size_t n)
{
	memset(d->b + d->len, 0, n);
	d->len += n;
}

/* IPv4 header with `words` extra option words; the length is set by finish(). */
static void ipv4(struct draft *d, uint8_t proto, unsigned words, uint16_t fragment)
{
	*d = (struct draft){0};
	uint8_t h[20] = {(uint8_t)(0x45 + words),
			 0,
			 0,
			 0,
			 0x12,
			 0x34,
			 (uint8_t)(fragment >> 8),
			 (uint8_t)fragment,
			 64,
			 proto,
			 0,
			 0,
			 192,
			 0,
			 2,
			 1,
			 198,
			 51,
			 100,
			 7};
	put(d, h, sizeof(h));
	memset(d->b + d->len, 1, words * 4); /* no-operation options */
	d->len += words * 4;
}

static void ipv6(struct draft *d, uint8_t next)
{
	*d = (struct draft){0};
	uint8_t h[8] = {0x60, 0, 0, 0, 0, 0, next, 64};
	put(d, h, sizeof(h));
	uint8_t src[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}, dst[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 2};
	put(d, src, 16);
	put(d, dst, 16);
}

static void tcp(struct draft *d, uint16_t sport, uint16_t dport, unsigned words, uint8_t flags)
{
	put16(d, sport);
	put16(d, dport);
	zeros(d, 8);
	uint8_t offset = (uint8_t)((5 + words) << 4);
	put(d, &offset, 1);
	put(d, &flags, 1);
	zeros(d, 6 + words * 4);
}

static void udp(struct draft *d, uint16_t sport, uint16_t dport, size_t payload)
{
	put16(d, sport);
	put16(d, dport);
	put16(d, (uint16_t)(8 + payload));
	zeros(d, 2 + payload);
}

static void finish(struct draft *d)
{
	if (d->b[0] >> 4 == 4) {
		d->b[2] = (uint8_t)(d->len >> 8);
		d->b[3] = (uint8_t)d->len;
		d->b[10] = d->b[11] = 0;
		uint16_t sum = checksum_finish(checksum_add(0, d->b, (size_t)(d->b[0] & 15) * 4));
		memcpy(d->b + 10, &sum, 2);
	} else {
		d->b[4] = (uint8_t)((d->len - 40) >> 8);
		d->b[5] = (uint8_t)(d->len - 40);
	}
}

/* Parse a heap copy of exactly n bytes; the copy lives until the next call. */
static enum packet_fault parse(struct packet *p, const struct draft *d, size_t n)
{
	static uint8_t *copy;
	free(copy);
	copy = malloc(n ? n : 1);
	memcpy(copy, d->b, n);
	return packet_parse(p, n ? copy : copy + 1, n);
}

/* Every shorter capture of a good packet is refused as short, without a read beyond it. */
static void truncate_everywhere(const struct draft *d)
{
	struct packet p = {0};
	for (size_t n = 0; n < d->len; n++)
		ck_assert_int_eq(parse(&p, d, n), PACKET_SHORT);
	ck_assert_int_eq(parse(&p, d, d->len), PACKET_OK);
}

/* The same with the IP length cut too, so that the transport and extension readers are what refuses. */
static void shorten_everywhere(const struct draft *whole, size_t headers)
{
	struct packet p = {0};
	size_t ip = whole->b[0] >> 4 == 4 ? (size_t)(whole->b[0] & 15) * 4 : 40;
	for (size_t n = ip; n < whole->len; n++) {
		struct draft d = *whole;
		d.len = n;
		finish(&d);
		enum packet_fault f = parse(&p, &d, n);
		if (n < headers)
			ck_assert(f == PACKET_SHORT || f == PACKET_HEADER);
		else
			ck_assert_int_eq(f, PACKET_OK);
	}
}

START_TEST(test_KEY_1_tcp_over_ipv4)
{
	struct draft d;
	struct packet p = {.ifindex = 9, .offload = {.gso_size = 1448}};
	ipv4(&d, IPPROTO_TCP, 0, 0x4000);
	tcp(&d, 40000, 80, 3, 0x12);
	zeros(&d, 5);
	finish(&d);
	zeros(&d, 9); /* link padding */
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert_uint_eq(p.len, d.len - 9);
	ck_assert_uint_eq(p.key.family, 4);
	ck_assert_uint_eq(p.key.proto, IPPROTO_TCP);
	ck_assert_uint_eq(p.key.sport, 40000);
	ck_assert_uint_eq(p.key.dport, 80);
	ck_assert_mem_eq(p.key.src, "\xc0\x00\x02\x01\0\0\0\0\0\0\0\0\0\0\0", 16);
	ck_assert_mem_eq(p.key.dst, "\xc6\x33\x64\x07\0\0\0\0\0\0\0\0\0\0\0", 16);
	ck_assert_uint_eq(p.l4, 20);
	ck_assert_uint_eq(p.payload, 52);
	ck_assert_uint_eq(p.tcp_flags, 0x12);
	ck_assert(!p.fragment);
	ck_assert_uint_eq(p.ifindex, 9);
	ck_assert_uint_eq(p.offload.gso_size, 1448);
	ck_assert_uint_eq(p.key.zero, 0);
}
END_TEST

START_TEST(test_KEY_1_udp_with_ipv4_options)
{
	struct draft d;
	struct packet p;
	ipv4(&d, IPPROTO_UDP, 10, 0);
	udp(&d, 53, 5353, 3);
	finish(&d);
	truncate_everywhere(&d);
	shorten_everywhere(&d, 68);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert_uint_eq(p.l4, 60);
	ck_assert_uint_eq(p.payload, 68);
	ck_assert_uint_eq(p.key.dport, 5353);
}
END_TEST

START_TEST(test_KEY_2_icmp_has_no_ports)
{
	struct draft d;
	struct packet p;
	ipv4(&d, IPPROTO_ICMP, 0, 0);
	put(&d, "\x08\x00\x11\x22\x33\x44\x55\x66", 8);
	finish(&d);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert_uint_eq(p.key.sport, 0);
	ck_assert_uint_eq(p.key.dport, 0);
	ck_assert_uint_eq(p.l4, 20);
	ck_assert_uint_eq(packet_interest(&p, true), WIRE_INTEREST_ALL);
	ipv6(&d, IPPROTO_ICMPV6);
	put(&d, "\x80\x00\x11\x22\x33\x44\x55\x66", 8);
	finish(&d);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert_uint_eq(p.key.proto, IPPROTO_ICMPV6);
	ck_assert_uint_eq(p.key.sport | p.key.dport, 0);
}
END_TEST

START_TEST(test_KEY_3_ipv6_tcp_truncated)
{
	struct draft d;
	struct packet p;
	ipv6(&d, IPPROTO_TCP);
	tcp(&d, 1, 65535, 10, 0x01);
	zeros(&d, 20);
	finish(&d);
	truncate_everywhere(&d);
	shorten_everywhere(&d, 100);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert_uint_eq(p.key.dport, 65535);
	ck_assert_uint_eq(p.payload, 100);
	ck_assert_uint_eq(p.key.dst[15], 2);
}
END_TEST

START_TEST(test_KEY_3_ipv6_extension_headers)
{
	struct draft d;
	struct packet p;
	ipv6(&d, IPPROTO_HOPOPTS);
	put(&d, "\x3c\x00\x01\x04\0\0\0\0", 8);                  /* hop-by-hop, then destination options */
	put(&d, "\x2b\x01\x01\x0c\0\0\0\0\0\0\0\0\0\0\0\0", 16); /* then routing */
	put(&d, "\x33\x00\x04\x00\0\0\0\0", 8);                  /* then AH */
	put(&d, "\x2c\x04\0\0\0\0\0\1\0\0\0\2abcdefghijkl", 24); /* then fragment, atomic */
	put(&d, "\x11\x00\x00\x00\0\0\0\7", 8);                  /* then UDP */
	udp(&d, 7, 9, 4);
	finish(&d);
	truncate_everywhere(&d);
	shorten_everywhere(&d, 40 + 8 + 16 + 8 + 24 + 8 + 8);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert_uint_eq(p.key.proto, IPPROTO_UDP);
	ck_assert_uint_eq(p.key.sport, 7);
	ck_assert_uint_eq(p.l4, 104);
	ck_assert(!p.fragment);
}
END_TEST

/* What it passes next is not whom its checksum is about: translating the one would ruin the other. */
START_TEST(test_KEY_3_ipv6_routing_header_with_segments_left_is_refused)
{
	for (unsigned left = 0; left < 2; left++) {
		struct draft d;
		struct packet p;
		ipv6(&d, IPPROTO_ROUTING);
		put(&d, left ? "\x11\x00\x04\x01\0\0\0\0" : "\x11\x00\x04\x00\0\0\0\0", 8);
		udp(&d, 7, 9, 4);
		finish(&d);
		ck_assert_int_eq(parse(&p, &d, d.len), left ? PACKET_ROUTING : PACKET_OK);
	}
}
END_TEST

START_TEST(test_KEY_3_ipv6_extension_limit)
{
	for (unsigned count = 7; count <= 9; count++) {
		struct draft d;
		struct packet p;
		ipv6(&d, IPPROTO_DSTOPTS);
		for (unsigned i = 1; i < count; i++)
			put(&d, "\x3c\x00\x01\x04\0\0\0\0", 8);
		put(&d, "\x11\x00\x01\x04\0\0\0\0", 8);
		udp(&d, 7, 9, 0);
		finish(&d);
		ck_assert_int_eq(parse(&p, &d, d.len), count <= 8 ? PACKET_OK : PACKET_EXTENSIONS);
	}
}
END_TEST

START_TEST(test_fragments)
{
	struct draft d;
	struct packet p;
	ipv4(&d, IPPROTO_UDP, 0, 0x2000);
	udp(&d, 7, 9, 16);
	finish(&d);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert(p.fragment && p.first_fragment);
	ck_assert_uint_eq(p.key.dport, 9);
	ck_assert_uint_eq(packet_interest(&p, false), WIRE_INTEREST_ALL | WIRE_INTEREST_FRAGMENT | WIRE_INTEREST_DATA);

	ipv4(&d, IPPROTO_TCP, 0, 0x2001);
	zeros(&d, 3); /* too short for a header, and none is looked for */
	finish(&d);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert(p.fragment && !p.first_fragment);
	ck_assert_uint_eq(p.key.sport | p.key.dport, 0);
	ck_assert_uint_eq(p.l4, 0);
	ck_assert_uint_eq(p.payload, 20);
	ck_assert_uint_eq(packet_interest(&p, true), WIRE_INTEREST_ALL | WIRE_INTEREST_FRAGMENT);

	ipv6(&d, IPPROTO_FRAGMENT);
	put(&d, "\x11\x00\x00\x01\0\0\0\7", 8);
	udp(&d, 7, 9, 16);
	finish(&d);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert(p.fragment && p.first_fragment);
	ck_assert_uint_eq(p.key.sport, 7);

	ipv6(&d, IPPROTO_FRAGMENT);
	put(&d, "\x3c\x00\x05\x08\0\0\0\7", 8); /* the rest looks like options, but is payload */
	put(&d, "\xff\xff", 2);
	finish(&d);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert(p.fragment && !p.first_fragment);
	ck_assert_uint_eq(p.l4, 0);
	ck_assert_uint_eq(p.payload, 48);
}
END_TEST

/* What tells a datagram and the places of its fragments; none of it is there in what is no fragment. */
static void check_place(const struct draft *d, uint32_t id, uint16_t offset, bool more)
{
	struct packet p = {.fragment_id = 99, .fragment_offset = 99, .more_fragments = !more};

	ck_assert_int_eq(parse(&p, d, d->len), PACKET_OK);
	ck_assert_uint_eq(p.fragment_id, id);
	ck_assert_uint_eq(p.fragment_offset, offset);
	ck_assert(p.more_fragments == more);
	ck_assert(p.fragment == (offset || more));
	ck_assert(p.first_fragment == (more && !offset));
}

START_TEST(test_ACT_10_place_of_a_fragment)
{
	static const struct {
		uint16_t field4, field6, offset;
		bool more;
	} rows[] = {{0x2000, 0x0001, 0, true},
		    {0x2001, 0x0009, 8, true},
		    {0x1fff, 0xfff8, 0xfff8, false},
		    {0xe123, 0x091f, 0x918, true}, /* other bits mean something else */
		    {0x4000, 0x0006, 0, false}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool whole = !rows[i].offset && !rows[i].more;
		struct draft d;

		ipv4(&d, IPPROTO_UDP, 0, rows[i].field4);
		udp(&d, 7, 9, 16);
		finish(&d);
		check_place(&d, whole ? 0 : 0x1234, rows[i].offset, rows[i].more);
		ipv6(&d, IPPROTO_FRAGMENT);
		put(&d, "\x11", 2);
		put16(&d, rows[i].field6);
		put(&d, "\x89\xab\xcd\xef", 4);
		udp(&d, 7, 9, 16);
		finish(&d);
		check_place(&d, whole ? 0 : 0x89abcdef, rows[i].offset, rows[i].more);
	}
}
END_TEST

/* A later fragment may be any flow's of its addresses and protocol, and nothing else may. */
START_TEST(test_ACT_10_FIX_8_whose_packet_it_may_be)
{
	struct draft d;
	struct packet p;
	struct flow_key k, other;

	for (int later = 0; later < 2; later++) {
		ipv4(&d, IPPROTO_UDP, 0, later ? 1 : 0x2000);
		udp(&d, 7, 9, 16);
		finish(&d);
		ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
		k = p.key;
		ck_assert(packet_belongs(&p, &k));
		k.sport = 1234;
		ck_assert(packet_belongs(&p, &k) == (later == 1));
		other = k;
		other.proto = IPPROTO_TCP;
		ck_assert(!packet_belongs(&p, &other));
		other = k;
		other.src[3]++;
		ck_assert(!packet_belongs(&p, &other));
		other = k;
		other.dst[3]++;
		ck_assert(!packet_belongs(&p, &other));
		other = k;
		other.family = 6;
		ck_assert(!packet_belongs(&p, &other));
	}
	/* Behind extension headers it may be of any protocol. */
	ipv6(&d, IPPROTO_FRAGMENT);
	put(&d, "\x3c\x00\x05\x08\0\0\0\7", 8);
	zeros(&d, 8);
	finish(&d);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	k = p.key;
	k.proto = IPPROTO_UDP;
	k.dport = 53;
	ck_assert(packet_belongs(&p, &k));
	k.dst[15]++;
	ck_assert(!packet_belongs(&p, &k));
}
END_TEST

START_TEST(test_faults)
{
	struct draft d;
	struct packet p;
	ipv4(&d, IPPROTO_UDP, 0, 0);
	udp(&d, 7, 9, 0);
	finish(&d);
	d.b[0] = 0x44;
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_HEADER);
	d.b[0] = 0x55;
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_VERSION);
	d.b[0] = 0x45;
	d.b[3] = 19;
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_HEADER);
	d.b[3] = 29;
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_SHORT);
	ipv4(&d, IPPROTO_TCP, 0, 0);
	tcp(&d, 7, 9, 0, 0);
	d.b[32] = 0x40;
	finish(&d);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_HEADER);
	/* A jumbogram. */
	ipv6(&d, IPPROTO_HOPOPTS);
	put(&d, "\x11\x00\xc2\x04\0\1\0\0", 8);
	udp(&d, 7, 9, 0);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_HEADER);
}
END_TEST

START_TEST(test_FA_7_header_checksum)
{
	struct draft d;
	struct packet p;
	ipv4(&d, IPPROTO_UDP, 2, 0);
	udp(&d, 7, 9, 0);
	finish(&d);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert_int_eq(packet_verify(&p), PACKET_OK);
	for (size_t i = 4; i < 28; i++) {
		struct draft bad = d;
		bad.b[i] ^= 0x10;
		if (parse(&p, &bad, bad.len) == PACKET_OK)
			ck_assert_int_eq(packet_verify(&p), PACKET_CHECKSUM);
	}
}
END_TEST

START_TEST(test_ACT_5_interest_bits)
{
	struct draft d;
	struct packet p;
	for (unsigned flag = 0; flag < 8; flag++) {
		ipv4(&d, IPPROTO_TCP, 0, 0);
		tcp(&d, 7, 9, 0, (uint8_t)(1 << flag));
		finish(&d);
		ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
		ck_assert_uint_eq(packet_interest(&p, true), WIRE_INTEREST_ALL | (flag < 6 ? 1u << flag : 0));
	}
	zeros(&d, 1);
	finish(&d);
	ck_assert_int_eq(parse(&p, &d, d.len), PACKET_OK);
	ck_assert_uint_eq(packet_interest(&p, true), WIRE_INTEREST_ALL | WIRE_INTEREST_DATA | WIRE_INTEREST_FIRST_DATA);
	ck_assert_uint_eq(packet_interest(&p, false), WIRE_INTEREST_ALL | WIRE_INTEREST_DATA);
}
END_TEST

/* Any bytes at all: no crash, and what is accepted lies inside the buffer. */
START_TEST(test_random_bytes)
{
	uint64_t state = 88172645463325252ull;
	for (unsigned round = 0; round < 20000; round++) {
		struct draft d = {0};
		struct packet p;
		for (size_t i = 0; i < 120; i++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			d.b[i] = (uint8_t)(state >> 24);
		}
		d.len = 1 + state % 120;
		d.b[0] = state & 1 ? 0x45 : 0x60;
		d.b[state & 1 ? 2 : 4] = 0;
		if (!(state & 1))
			d.b[6] = (uint8_t[]){0, 43, 44, 51, 60, 6, 17, 58}[state >> 8 & 7];
		if (parse(&p, &d, d.len) != PACKET_OK)
			continue;
		ck_assert(p.len <= d.len);
		ck_assert(p.payload <= p.len && p.l4 <= p.payload);
		packet_interest(&p, true);
		packet_verify(&p);
	}
}
END_TEST

START_TEST(test_fault_names)
{
	for (int f = 0; f < PACKET_FAULT_COUNT; f++)
		ck_assert_ptr_nonnull(packet_fault_name(f));
	ck_assert_str_eq(packet_fault_name(PACKET_FAULT_COUNT), "unknown");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("packet");
	TCase *t = tcase_create("packet");
	tcase_add_test(t, test_KEY_1_tcp_over_ipv4);
	tcase_add_test(t, test_KEY_1_udp_with_ipv4_options);
	tcase_add_test(t, test_KEY_2_icmp_has_no_ports);
	tcase_add_test(t, test_KEY_3_ipv6_tcp_truncated);
	tcase_add_test(t, test_KEY_3_ipv6_extension_headers);
	tcase_add_test(t, test_KEY_3_ipv6_extension_limit);
	tcase_add_test(t, test_KEY_3_ipv6_routing_header_with_segments_left_is_refused);
	tcase_add_test(t, test_fragments);
	tcase_add_test(t, test_ACT_10_place_of_a_fragment);
	tcase_add_test(t, test_ACT_10_FIX_8_whose_packet_it_may_be);
	tcase_add_test(t, test_faults);
	tcase_add_test(t, test_FA_7_header_checksum);
	tcase_add_test(t, test_ACT_5_interest_bits);
	tcase_add_test(t, test_random_bytes);
	tcase_add_test(t, test_fault_names);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
