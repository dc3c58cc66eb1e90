// SPDX-License-Identifier: BSD-2-Clause
/*
 * Tests of segment.c.  Checksums are judged by a plain byte-by-byte
 * computation that shares nothing with checksum.h.
 */
#include "fad/segment.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define CAP 65536

struct sample {
	uint8_t b[CAP];
	struct packet p;
	size_t headers;
};

/* RFC 1071 as it is written there: big-endian words, one at a time. */
static uint32_t plain_sum(uint32_t sum, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sum += i % 2 ? b[i] : (uint32_t)b[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static uint32_t plain_pseudo(const uint8_t *ip, uint8_t proto, size_t bytes)
{
	uint32_t sum = ip[0] >> 4 == 4 ? plain_sum(0, ip + 12, 8) : plain_sum(0, ip + 8, 32);
	uint8_t rest[4] = {0, proto, (uint8_t)(bytes >> 8), (uint8_t)bytes};
	return plain_sum(sum, rest, 4);
}

/* Does the transport checksum of a finished packet hold?  And the IPv4 header's? */
static void check_sums(const uint8_t *ip, size_t len, size_t l4, uint8_t proto)
{
	if (ip[0] >> 4 == 4)
		ck_assert_uint_eq(plain_sum(0, ip, (size_t)(ip[0] & 15) * 4), 0xffff);
	uint32_t sum = plain_sum(plain_pseudo(ip, proto, len - l4), ip + l4, len - l4);
	ck_assert_uint_eq(sum, 0xffff);
}

static void set16(uint8_t *at, size_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* A packet with bytes of payload; partial: the checksum field holds the pseudo-header's sum. */
static struct sample *make(unsigned family, uint8_t proto, size_t bytes, bool partial)
{
	struct sample *s = calloc(1, sizeof(*s));
	size_t ip = family == 4 ? 24 : 48, l4 = proto == IPPROTO_TCP ? 32 : 8, len = ip + l4 + bytes;
	if (family == 4) {
		memcpy(s->b, "\x46\x00\0\0\xff\xfe\x40\x00\x40\x00\0\0\x0a\x01\x02\x03\xc0\xa8\xfe\x01\1\1\1\1", 24);
		set16(s->b + 2, len);
		s->b[9] = proto;
		set16(s->b + 10, ~plain_sum(0, s->b, 24));
	} else {
		memcpy(s->b, "\x60\x01\x02\x03\0\0\x3c\x40", 8);
		set16(s->b + 4, len - 40);
		memcpy(s->b + 8, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\xff\xff\xfe\xfd", 16);
		memcpy(s->b + 24, "\x20\x01\x0d\xb8\0\1\0\0\0\0\0\0\0\0\0\x02", 16);
		memcpy(s->b + 40, "\0\0\1\4\0\0\0\0", 8);
		s->b[40] = proto;
	}
	uint8_t *t = s->b + ip;
	set16(t, 40000);
	set16(t + 2, 443);
	if (proto == IPPROTO_TCP) {
		memcpy(t + 4, "\xff\xff\xff\x00\x01\x02\x03\x04\x80\x99\x10\x00", 12); /* CWR, ACK, PSH, FIN */
		memcpy(t + 20, "\1\1\x08\x0a\1\2\3\4\5\6\7\x08", 12);
	} else {
		set16(t + 4, 8 + bytes);
	}
	for (size_t i = 0; i < bytes; i++)
		t[l4 + i] = (uint8_t)(i * 7 + i / 251);
	size_t field = proto == IPPROTO_TCP ? 16 : 6;
	if (partial)
		set16(t + field, plain_pseudo(s->b, proto, l4 + bytes));
	ck_assert_int_eq(packet_parse(&s->p, s->b, len), PACKET_OK);
	ck_assert_uint_eq(s->p.l4, ip);
	ck_assert_uint_eq(s->p.payload, ip + l4);
	s->headers = ip + l4;
	s->p.offload =
		(struct packet_offload){.partial = partial, .csum_start = (uint16_t)ip, .csum_offset = (uint16_t)field};
	return s;
}

static void cut(unsigned family, uint8_t proto, size_t bytes, uint16_t size, bool partial)
{
	struct sample *s = make(family, proto, bytes, partial);
	s->p.offload.gso_size = size;
	s->p.offload.gso_type = proto == IPPROTO_UDP ? PACKET_GSO_UDP_L4
				: family == 4        ? PACKET_GSO_TCP4
						     : PACKET_GSO_TCP6;
	size_t count = segment_count(&s->p), seen = 0;
	ck_assert_uint_eq(count, (bytes + size - 1) / size);
	for (size_t i = 0; i < count; i++) {
		size_t expected = i + 1 < count ? size : bytes - size * (count - 1);
		uint8_t *buf = malloc(s->headers + expected); /* exactly: a write beyond is seen */
		ck_assert_uint_eq(segment_write(&s->p, i, buf, s->headers + expected - 1), 0);
		size_t len = segment_write(&s->p, i, buf, s->headers + expected);
		ck_assert_uint_eq(len, s->headers + expected);
		struct packet q;
		ck_assert_int_eq(packet_parse(&q, buf, len), PACKET_OK);
		ck_assert_uint_eq(q.len, len);
		ck_assert_mem_eq(&q.key, &s->p.key, sizeof(q.key));
		ck_assert_mem_eq(buf + q.payload, s->b + s->headers + seen, expected);
		check_sums(buf, len, q.l4, proto);
		if (family == 4)
			ck_assert_uint_eq(buf[4] << 8 | buf[5], (0xfffe + i) & 0xffff);
		const uint8_t *t = buf + q.l4;
		if (proto == IPPROTO_TCP) {
			uint32_t seq = (uint32_t)t[4] << 24 | t[5] << 16 | t[6] << 8 | t[7];
			ck_assert_uint_eq(seq, (uint32_t)(0xffffff00u + seen));
			ck_assert_uint_eq(t[13], 0x10 | (i == 0 ? 0x80 : 0) | (i + 1 == count ? 0x09 : 0));
		} else {
			ck_assert_uint_eq(t[4] << 8 | t[5], 8 + expected);
		}
		seen += expected;
		free(buf);
	}
	ck_assert_uint_eq(seen, bytes);
	ck_assert_uint_eq(segment_write(&s->p, count, s->b, CAP), 0);
	free(s);
}

START_TEST(test_MSG_11_tcp_super_packets)
{
	static const size_t sizes[] = {1, 1448, 1449, 2896, 14480, 64000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned family = 4; family <= 6; family += 2)
			for (int partial = 0; partial < 2; partial++) {
				cut(family, IPPROTO_TCP, sizes[i], 1448, partial);
				cut(family, IPPROTO_TCP, sizes[i], 1001, partial);
			}
}
END_TEST

START_TEST(test_MSG_11_udp_super_packets)
{
	for (unsigned family = 4; family <= 6; family += 2) {
		cut(family, IPPROTO_UDP, 64000, 1472, true);
		cut(family, IPPROTO_UDP, 5000, 999, true);
		cut(family, IPPROTO_UDP, 999, 999, true);
	}
}
END_TEST

START_TEST(test_MSG_11_partial_checksum_of_a_small_packet)
{
	uint8_t buf[CAP];
	for (unsigned family = 4; family <= 6; family += 2)
		for (size_t bytes = 0; bytes < 70; bytes++)
			for (int udp = 0; udp < 2; udp++) {
				uint8_t proto = udp ? IPPROTO_UDP : IPPROTO_TCP;
				struct sample *s = make(family, proto, bytes, true);
				ck_assert_uint_eq(segment_count(&s->p), 1);
				ck_assert_uint_eq(segment_write(&s->p, 0, buf, s->p.len), s->p.len);
				check_sums(buf, s->p.len, s->p.l4, proto);
				ck_assert_uint_eq(segment_write(&s->p, 0, buf, s->p.len - 1), 0);
				free(s);
			}
}
END_TEST

/* A UDP checksum that computes to zero is sent as 0xffff. */
START_TEST(test_MSG_11_udp_zero_is_all_ones)
{
	uint8_t buf[CAP];
	unsigned ones = 0;
	for (unsigned word = 0; word < 65536; word++) {
		static struct sample *s;
		if (!s)
			s = make(4, IPPROTO_UDP, 2, true);
		set16(s->b + s->headers, word);
		ck_assert_uint_ne(segment_write(&s->p, 0, buf, CAP), 0);
		ck_assert(buf[30] || buf[31]);
		ones += buf[30] == 0xff && buf[31] == 0xff;
	}
	ck_assert_uint_ge(ones, 1);
}
END_TEST

START_TEST(test_complete_packet_is_left_alone)
{
	struct sample *s = make(6, IPPROTO_TCP, 77, false);
	uint8_t buf[CAP];
	s->b[s->p.l4 + 16] = 0x12; /* a wrong checksum stays wrong: only its sender may repair it */
	ck_assert_uint_eq(segment_write(&s->p, 0, buf, CAP), s->p.len);
	ck_assert_mem_eq(buf, s->b, s->p.len);
	free(s);
}
END_TEST

START_TEST(test_absent_udp_checksum_stays_absent)
{
	struct sample *s = make(4, IPPROTO_UDP, 2000, false);
	uint8_t buf[CAP];
	s->p.offload.gso_size = 1000;
	s->p.offload.gso_type = PACKET_GSO_UDP_L4;
	for (size_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(segment_write(&s->p, i, buf, CAP), s->headers + 1000);
		ck_assert_uint_eq(buf[30] | buf[31], 0);
	}
	free(s);
}
END_TEST

/* Offsets that come from elsewhere are not trusted. */
START_TEST(test_impossible_offload)
{
	struct sample *s = make(4, IPPROTO_TCP, 10, true);
	uint8_t buf[CAP];
	s->p.offload.csum_start = 60000;
	ck_assert_uint_eq(segment_write(&s->p, 0, buf, CAP), 0);
	s->p.offload.csum_start = (uint16_t)(s->p.len - 17);
	ck_assert_uint_eq(segment_write(&s->p, 0, buf, CAP), 0);
	s->p.offload.csum_start = (uint16_t)(s->p.len - 18);
	ck_assert_uint_eq(segment_write(&s->p, 0, buf, CAP), s->p.len);
	s->p.offload.gso_size = 5;
	s->p.offload.gso_type = PACKET_GSO_UDP_L4; /* but it is TCP */
	ck_assert_uint_eq(segment_count(&s->p), 1);
	free(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("segment");
	TCase *t = tcase_create("segment");
	tcase_add_test(t, test_MSG_11_tcp_super_packets);
	tcase_add_test(t, test_MSG_11_udp_super_packets);
	tcase_add_test(t, test_MSG_11_partial_checksum_of_a_small_packet);
	tcase_add_test(t, test_MSG_11_udp_zero_is_all_ones);
	tcase_add_test(t, test_complete_packet_is_left_alone);
	tcase_add_test(t, test_absent_udp_checksum_stays_absent);
	tcase_add_test(t, test_impossible_offload);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
