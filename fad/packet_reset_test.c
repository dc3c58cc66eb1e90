/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP resets and "unreachable" by themselves: what they look like, and what
 * must never be answered.
 */
#include "fad/packet_error.h"

#include "fad/engine_fixture.h"

#define ROOM 2048

static struct flow_key tcp_of(uint8_t family)
{
	return family == 4 ? bed_key(IPPROTO_TCP, "198.51.100.7", 40000, "203.0.113.10", 80)
			   : bed_key(IPPROTO_TCP, "2001:db8:7::1", 40000, "2001:db8:113::10", 80);
}

static void put32(uint8_t *at, uint32_t v)
{
	bed_put16(at, v >> 16);
	bed_put16(at + 2, v & 0xffff);
}

/* The segment as it was sent, with its numbers. */
static struct packet segment(uint8_t *bytes, const struct flow_key *k, uint8_t flags, uint32_t seq, uint32_t ack,
			     size_t data)
{
	size_t len = bed_write(bytes, k, flags, data), alen = addr_len(k->family);
	struct packet p = {0};
	uint8_t *tcp = bytes + (k->family == 4 ? 20 : 40);
	uint16_t sum;

	put32(tcp + 4, seq);
	put32(tcp + 8, ack);
	bed_put16(tcp + 16, 0);
	sum = checksum_finish(checksum_add(checksum_pseudo(k->src, k->dst, alen, IPPROTO_TCP, (uint32_t)(20 + data)),
					   tcp, 20 + data));
	memcpy(tcp + 16, &sum, 2);
	ck_assert_int_eq(packet_parse(&p, bytes, len), PACKET_OK);
	return p;
}

/* Is it the reset to that packet, with these numbers? */
static void answers(const struct packet *p, uint8_t flags, uint32_t seq, uint32_t ack)
{
	struct flow_key back = flow_key_reverse(&p->key);
	uint8_t out[PACKET_RESET_MAX];
	size_t len = packet_reset(p, out);
	struct packet r = {0};

	ck_assert_uint_eq(len, p->key.family == 4 ? 40 : 60);
	ck_assert_int_eq(packet_parse(&r, out, len), PACKET_OK);
	ck_assert_mem_eq(&r.key, &back, sizeof(back));
	ck_assert(bed_sums_hold(&r));
	ck_assert_uint_eq(r.tcp_flags, flags);
	ck_assert_uint_eq(plan_read32(out + r.l4 + 4), seq);
	ck_assert_uint_eq(plan_read32(out + r.l4 + 8), ack);
	ck_assert_uint_eq(out[r.l4 + 12], 0x50);
	ck_assert_mem_eq(out + r.l4 + 14, "\0\0", 2); /* window */
	ck_assert_uint_eq(out[p->key.family == 4 ? 8 : 7], 64);
}

/* RFC 9293, 3.10.7.1: believable to whoever sent the segment, whatever it was. */
START_TEST(test_numbers_of_a_reset_FIX_3)
{
	uint8_t bytes[ROOM];

	for (int v6 = 0; v6 < 2; v6++) {
		struct flow_key k = tcp_of(v6 ? 6 : 4);
		struct packet p = segment(bytes, &k, SYN, 1000, 77, 0);

		answers(&p, RST | ACK, 0, 1001);
		p = segment(bytes, &k, SYN, 0xffffffff, 0, 9); /* with data, and about to wrap */
		answers(&p, RST | ACK, 0, 9);
		p = segment(bytes, &k, SYN | ACK, 1000, 5000, 0);
		answers(&p, RST, 5000, 0);
		p = segment(bytes, &k, PSH | ACK, 1000, 0x80000001, 100);
		answers(&p, RST, 0x80000001, 0);
		p = segment(bytes, &k, FIN, 1000, 0, 3);
		answers(&p, RST | ACK, 0, 1004);
		p = segment(bytes, &k, 0, 1000, 5, 3);
		answers(&p, RST | ACK, 0, 1003);
	}
}
END_TEST

/* Whose checksum is the card's business, and what stands for several segments. */
START_TEST(test_reset_to_what_is_offloaded_FIX_3_MSG_11)
{
	uint8_t bytes[8192], out[PACKET_RESET_MAX];
	struct flow_key k = tcp_of(4);
	struct packet p = segment(bytes, &k, SYN, 1000, 0, 0);

	bytes[36] ^= 1;
	ck_assert_uint_eq(packet_reset(&p, out), 0);
	p.offload = (struct packet_offload){.partial = true, .csum_start = 20, .csum_offset = 16};
	answers(&p, RST | ACK, 0, 1001);
	p = segment(bytes, &k, 0, 1000, 0, 5000);
	p.offload = (struct packet_offload){.gso_size = 1000, .gso_type = PACKET_GSO_TCP4};
	answers(&p, RST | ACK, 0, 6000);
}
END_TEST

/* The parser's view of these bytes in a place of exactly that size. */
static size_t reset_of(const uint8_t *bytes, size_t len, struct packet *p)
{
	uint8_t *exact = malloc(len), out[PACKET_RESET_MAX];
	size_t n;

	memcpy(exact, bytes, len);
	memset(p, 0, sizeof(*p));
	ck_assert_int_eq(packet_parse(p, exact, len), PACKET_OK);
	n = packet_reset(p, out);
	ck_assert(packet_resettable(p) || !n);
	free(exact);
	p->data = NULL;
	return n;
}

START_TEST(test_what_no_reset_answers_FIX_3)
{
	uint8_t bytes[ROOM];

	for (int v6 = 0; v6 < 2; v6++) {
		struct flow_key k = tcp_of(v6 ? 6 : 4), udp = k;
		struct packet p = segment(bytes, &k, RST, 1, 2, 0);

		ck_assert_uint_eq(reset_of(bytes, p.len, &p), 0);
		p = segment(bytes, &k, RST | ACK, 1, 2, 0);
		ck_assert_uint_eq(reset_of(bytes, p.len, &p), 0);
		p = segment(bytes, &k, SYN | RST, 1, 2, 0);
		ck_assert_uint_eq(reset_of(bytes, p.len, &p), 0);
		p = segment(bytes, &k, ACK, 1, 2, 10);
		bytes[p.len - 1] ^= 4;
		ck_assert_uint_eq(reset_of(bytes, p.len, &p), 0);
		bytes[p.len - 1] ^= 4;
		udp.proto = IPPROTO_UDP;
		ck_assert_uint_gt(reset_of(bytes, v6 ? 70 : 50, &p), 0);
		ck_assert_uint_eq(reset_of(bytes, bed_write(bytes, &udp, 0, 9), &p), 0);
	}
}
END_TEST

/* Offsets and flags as IPv4 has them. */
START_TEST(test_fragments_are_not_reset_FIX_3_ACT_10)
{
	static const uint16_t where[] = {0x2000, 0x2003, 0x0003};
	uint8_t bytes[ROOM];

	for (size_t i = 0; i < 3; i++) {
		struct flow_key k = tcp_of(4);
		struct packet p = segment(bytes, &k, SYN, 1, 0, 24);

		bed_put16(bytes + 6, where[i]);
		ck_assert_uint_eq(reset_of(bytes, p.len, &p), 0);
	}
}
END_TEST

/* RFC 1122, 3.2.2; RFC 4443, 2.4 (e). */
START_TEST(test_nobody_is_told_that_is_no_host_FIX_3)
{
	static const char *const bad4[] = {"0.0.0.0",   "0.1.2.3",   "127.0.0.1",       "224.0.0.1",
					   "239.1.2.3", "240.0.0.1", "255.255.255.255", "169.254.1.1"};
	static const char *const bad6[] = {"::", "::1", "ff02::1", "ff0e::7", "fe80::1", "febf::1"};
	static const char *const good6[] = {"fd00::1", "fec0::1", "2001:db8::1", "::ffff:0:1", "64:ff9b::1"};
	uint8_t bytes[ROOM];

	for (size_t i = 0; i < 2 * (8 + 6 + 5); i++) {
		size_t n = i / 2;
		const char *text = n < 8 ? bad4[n] : n < 14 ? bad6[n - 8] : good6[n - 14];
		struct flow_key k = tcp_of(n < 8 ? 4 : 6);
		struct addr a = bed_addr(text);
		struct packet p;

		memcpy(i % 2 ? k.src : k.dst, a.b, 16);
		p = segment(bytes, &k, SYN, 1, 0, 0);
		ck_assert_msg(packet_answerable(&p) == (n >= 14), "%s", text);
		ck_assert_uint_eq(packet_resettable(&p), n >= 14);
		k.proto = IPPROTO_UDP;
		ck_assert_int_eq(packet_parse(&p, bytes, bed_write(bytes, &k, 0, 3)), PACKET_OK);
		ck_assert_uint_eq(packet_answerable(&p), n >= 14);
	}
}
END_TEST

static bool icmp_answerable(uint8_t family, uint8_t type)
{
	struct flow_key k = tcp_of(family);
	uint8_t bytes[ROOM];
	struct packet p = {0};
	size_t len;

	k.proto = family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	len = bed_write(bytes, &k, 0, 40);
	bytes[family == 4 ? 20 : 40] = type;
	ck_assert_int_eq(packet_parse(&p, bytes, len), PACKET_OK);
	return packet_answerable(&p);
}

/* Never about an error: two of them would talk for ever. */
START_TEST(test_which_icmp_is_answered_FIX_3)
{
	for (unsigned type = 0; type < 256; type++) {
		ck_assert_uint_eq(icmp_answerable(4, (uint8_t)type),
				  type == 0 || type == 8 || (type > 12 && type < 19));
		ck_assert_uint_eq(icmp_answerable(6, (uint8_t)type), type > 127 && type != 137);
	}
}
END_TEST

/* Not about what is embedded, nor what follows a flow; a first fragment is a datagram's, a later one is nobody's. */
START_TEST(test_errors_and_later_fragments_are_not_answered_FIX_3_KEY_4)
{
	struct flow_key k = tcp_of(4), udp = k;
	uint8_t bytes[ROOM];
	struct packet p = {0};

	ck_assert_int_eq(packet_parse(&p, bytes, bed_write_error(bytes, "192.0.2.1", &k, 3, 1, 40)), PACKET_OK);
	ck_assert(p.embedded && !packet_answerable(&p));
	packet_follow(&p);
	ck_assert(!packet_answerable(&p) && !packet_resettable(&p));
	udp.proto = IPPROTO_UDP;
	for (unsigned where = 0x2000; where < 0x2010; where += 8) {
		size_t len = bed_write(bytes, &udp, 0, 24);

		bed_put16(bytes + 6, where);
		ck_assert_int_eq(packet_parse(&p, bytes, len), PACKET_OK);
		ck_assert_uint_eq(packet_answerable(&p), where == 0x2000);
	}
}
END_TEST

START_TEST(test_unreachable_is_well_formed_FIX_3)
{
	static const char *const heads[2][2] = {{"\3\3\0\0\0\0", "\3\15\0\0\0\0"}, {"\1\4\0\0\0\0", "\1\1\0\0\0\0"}};
	uint8_t about[3000], out[PACKET_ERROR_MAX];

	for (int v6 = 0; v6 < 2; v6++) {
		struct flow_key k = tcp_of(v6 ? 6 : 4), back = flow_key_reverse(&k);
		struct addr from = bed_addr(v6 ? "2001:db8:77::1" : "192.0.2.77");
		size_t outer = v6 ? 48 : 28, most = v6 ? 1280 : 576;

		for (int i = 0; i < 4; i++) {
			size_t len = bed_write(about, &k, ACK, i < 2 ? 10 : 2000);
			size_t n = packet_error_unreachable(about, len, i % 2, &from, out);
			struct packet p = {0};

			ck_assert_uint_eq(n, len + outer < most ? len + outer : most);
			ck_assert_int_eq(packet_parse(&p, out, n), PACKET_OK);
			ck_assert(bed_icmp_sum_holds(&p));
			ck_assert_mem_eq(&p.flow, &back, sizeof(back));
			ck_assert_mem_eq(p.key.src, from.b, 16);
			ck_assert_mem_eq(out + outer, about, n - outer);
			ck_assert_mem_eq(out + p.l4, heads[v6][i % 2], 2);
			ck_assert_mem_eq(out + p.l4 + 4, "\0\0\0\0", 4);
		}
	}
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_numbers_of_a_reset_FIX_3);
	tcase_add_test(t, test_reset_to_what_is_offloaded_FIX_3_MSG_11);
	tcase_add_test(t, test_what_no_reset_answers_FIX_3);
	tcase_add_test(t, test_fragments_are_not_reset_FIX_3_ACT_10);
	tcase_add_test(t, test_nobody_is_told_that_is_no_host_FIX_3);
	tcase_add_test(t, test_which_icmp_is_answered_FIX_3);
	tcase_add_test(t, test_errors_and_later_fragments_are_not_answered_FIX_3_KEY_4);
	tcase_add_test(t, test_unreachable_is_well_formed_FIX_3);
}

int main(void)
{
	return bed_main("packet_reset", add);
}
