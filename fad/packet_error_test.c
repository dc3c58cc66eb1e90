/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP errors by themselves: what is recognised as one about a flow, and what
 * "too big" looks like.  How they are edited is in the packet vectors (plan_test.c).
 */
#include "fad/packet_error.h"

#include "fad/engine_fixture.h"

#define ROUTER  "192.0.2.77"
#define ROUTER6 "2001:db8:77::1"
#define ROOM    2048

static const char *router_of(const struct flow_key *k)
{
	return k->family == 4 ? ROUTER : ROUTER6;
}

/* One packet came from the VIP's side, and an error is about it. */
static struct flow_key tcp_of(uint8_t family)
{
	return family == 4 ? bed_key(IPPROTO_TCP, "203.0.113.10", 80, "198.51.100.7", 40000)
			   : bed_key(IPPROTO_TCP, "2001:db8:113::10", 80, "2001:db8:7::1", 40000);
}

/* Parse len bytes in a place of exactly that size, so that a read beyond is seen. */
static struct packet parse(const uint8_t *bytes, size_t len, uint8_t **exact)
{
	struct packet p = {0};

	*exact = malloc(len);
	memcpy(*exact, bytes, len);
	ck_assert_int_eq(packet_parse(&p, *exact, len), PACKET_OK);
	return p;
}

/* Is this an error that travels with the flow?  It must have exactly the reverse key then. */
static bool travels(const uint8_t *bytes, size_t len, const struct flow_key *about)
{
	struct flow_key reverse = flow_key_reverse(about);
	uint8_t *exact;
	struct packet p = parse(bytes, len, &exact);

	if (p.embedded)
		ck_assert_mem_eq(&p.flow, &reverse, sizeof(reverse));
	else
		ck_assert_uint_eq(p.embedded_l4, 0);
	ck_assert(!p.follows);
	free(exact);
	return p.embedded != 0;
}

START_TEST(test_which_types_are_errors_KEY_4)
{
	static const uint8_t errors[2][5] = {{3, 11, 12}, {1, 2, 3, 4}};
	uint8_t bytes[ROOM];

	for (int v6 = 0; v6 < 2; v6++) {
		struct flow_key k = tcp_of(v6 ? 6 : 4);

		for (unsigned type = 0; type < 256; type++) {
			size_t len = bed_write_error(bytes, router_of(&k), &k, (uint8_t)type, 0, 100);
			bool error = type && memchr(errors[v6], (int)type, sizeof(errors[v6]));

			ck_assert_msg(travels(bytes, len, &k) == error, "type %u", type);
		}
	}
}
END_TEST

/* Cut off anywhere: the ports are needed, and nothing beyond. */
START_TEST(test_cut_off_anywhere_KEY_4)
{
	uint8_t bytes[ROOM];

	for (int v6 = 0; v6 < 2; v6++) {
		struct flow_key k = tcp_of(v6 ? 6 : 4), udp = k, other = k;
		size_t header = v6 ? 40 : 20;

		udp.proto = IPPROTO_UDP;
		other.proto = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
		other.sport = other.dport = 0;
		for (size_t cut = 0; cut < 120; cut++) {
			size_t len = bed_write_error(bytes, router_of(&k), &k, v6 ? 2 : 3, v6 ? 0 : 4, cut);

			ck_assert(travels(bytes, len, &k) == (cut >= header + 4));
			len = bed_write_error(bytes, router_of(&k), &udp, 3, 0, cut);
			ck_assert(travels(bytes, len, &udp) == (cut >= header + 4));
			len = bed_write_error(bytes, router_of(&k), &other, 3, 0, cut);
			ck_assert(travels(bytes, len, &other) == (cut >= header));
		}
	}
}
END_TEST

/* To somebody else than the source of what it is about. */
START_TEST(test_error_for_somebody_else_KEY_4)
{
	uint8_t bytes[ROOM];

	for (int v6 = 0; v6 < 2; v6++) {
		struct flow_key k = tcp_of(v6 ? 6 : 4);
		size_t len = bed_write_error(bytes, router_of(&k), &k, 3, 1, 100);

		ck_assert(travels(bytes, len, &k));
		bytes[v6 ? 39 : 19] ^= 1;
		ck_assert(!travels(bytes, len, &k));
	}
}
END_TEST

/* About a later fragment, or being a fragment itself. */
START_TEST(test_errors_and_fragments_KEY_4)
{
	struct flow_key k = tcp_of(4);
	uint8_t bytes[ROOM];
	size_t len = bed_write_error(bytes, ROUTER, &k, 3, 1, 100);

	bytes[28 + 6] = 0x20; /* the first one */
	ck_assert(travels(bytes, len, &k));
	bytes[28 + 7] = 1;
	ck_assert(!travels(bytes, len, &k));
	len = bed_write_error(bytes, ROUTER, &k, 3, 1, 100);
	bytes[6] = 0x20;
	ck_assert(!travels(bytes, len, &k));
}
END_TEST

/* Put len bytes of extension headers between the embedded IPv6 header and its transport header. */
static size_t insert(uint8_t *bytes, size_t total, uint8_t next, const uint8_t *headers, size_t len)
{
	uint8_t *embedded = bytes + 48;

	memmove(embedded + 40 + len, embedded + 40, total - 48 - 40);
	memcpy(embedded + 40, headers, len);
	embedded[40] = embedded[6];
	embedded[6] = next;
	bed_put16(bytes + 4, (unsigned)(total + len - 40));
	return total + len;
}

START_TEST(test_extension_headers_in_what_is_embedded_KEY_4_KEY_3)
{
	static const struct {
		uint8_t next;
		uint8_t bytes[16];
		size_t len;
		bool known;
	} cases[] = {
		{IPPROTO_HOPOPTS, {0, 0, 1, 4}, 8, true},
		{IPPROTO_DSTOPTS, {0, 1, 1, 12}, 16, true},
		{IPPROTO_AH, {0, 2}, 16, true},
		{IPPROTO_ROUTING, {0, 0, 4, 0}, 8, true},
		{IPPROTO_ROUTING, {0, 0, 4, 1}, 8, false},             /* it was on its way elsewhere */
		{IPPROTO_FRAGMENT, {0, 0, 0, 1, 0, 0, 0, 7}, 8, true}, /* the first one */
		{IPPROTO_FRAGMENT, {0, 0, 0, 9, 0, 0, 0, 7}, 8, false},
		{IPPROTO_HOPOPTS, {0, 200}, 8, false}, /* longer than what there is */
	};
	struct flow_key k = tcp_of(6);
	uint8_t bytes[ROOM];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = bed_write_error(bytes, ROUTER6, &k, 1, 0, 100);

		len = insert(bytes, len, cases[i].next, cases[i].bytes, cases[i].len);
		ck_assert_msg(travels(bytes, len, &k) == cases[i].known, "case %zu", i);
	}
	for (int n = 1; n <= 9; n++) {
		size_t len = bed_write_error(bytes, ROUTER6, &k, 1, 0, 100);

		for (int i = 0; i < n; i++)
			len = insert(bytes, len, IPPROTO_DSTOPTS, cases[0].bytes, 8);
		ck_assert(travels(bytes, len, &k) == (n <= 8));
	}
}
END_TEST

/* Half a checksum is left alone, and nothing beyond the end is touched. */
START_TEST(test_edit_of_what_is_cut_off_KEY_4_ACT_1)
{
	const struct plan_adjust adjust = {.ack_delta = 5};
	uint8_t bytes[ROOM];

	for (int v6 = 0; v6 < 2; v6++) {
		struct flow_key k = tcp_of(v6 ? 6 : 4);
		struct plan_edit e = {.set = 0x0f, .family = k.family, .sport = 1, .dport = 2};

		memset(e.src, 9, addr_len(k.family));
		memset(e.dst, 8, addr_len(k.family));
		for (size_t cut = v6 ? 44 : 24; cut < 80; cut++) {
			size_t len = bed_write_error(bytes, router_of(&k), &k, 3, 0, cut);
			uint8_t *exact;
			struct packet p = parse(bytes, len, &exact), after;

			packet_error_edit(&p, &e, &adjust, 1);
			ck_assert(bed_icmp_sum_holds(&p) || v6); /* its key is of before */
			ck_assert_int_eq(packet_parse(&after, exact, len), PACKET_OK);
			ck_assert(bed_icmp_sum_holds(&after));
			ck_assert_uint_eq(after.flow.sport, 1);
			ck_assert_uint_eq(after.flow.dport, 2);
			ck_assert_mem_eq(after.flow.src, e.src, 16);
			ck_assert_mem_eq(after.flow.dst, e.dst, 16);
			if (cut == (v6 ? 57 : 37))
				ck_assert_uint_eq(exact[len - 1], bytes[len - 1]);
			free(exact);
		}
	}
}
END_TEST

/* As the kernel's own would be: about as much of the packet as may be shown. */
START_TEST(test_too_big_is_well_formed_FA_7)
{
	static const size_t sizes[] = {40, 600, 1400, 9000};
	uint8_t about[10000], out[PACKET_ERROR_MAX];

	for (int v6 = 0; v6 < 2; v6++) {
		struct flow_key k = tcp_of(v6 ? 6 : 4), reverse = flow_key_reverse(&k);
		struct addr from = bed_addr(router_of(&k));
		size_t most = v6 ? 1280 : 576, outer = v6 ? 48 : 28;

		for (size_t i = 0; i < 4; i++) {
			size_t len = bed_write(about, &k, ACK, sizes[i]),
			       shown = len < most - outer ? len : most - outer;
			struct packet p = {0};

			ck_assert_uint_eq(packet_error_too_big(about, len, 1400, &from, out), outer + shown);
			ck_assert_int_eq(packet_parse(&p, out, outer + shown), PACKET_OK);
			ck_assert(bed_icmp_sum_holds(&p));
			ck_assert_mem_eq(&p.flow, &reverse, sizeof(reverse));
			ck_assert_mem_eq(p.key.src, from.b, 16);
			ck_assert_mem_eq(out + outer, about, shown);
			ck_assert_mem_eq(out + outer - 8, v6 ? "\2\0" : "\3\4", 2);
			ck_assert_mem_eq(out + outer - 4, "\0\0\5\x78", 4);
		}
		/* Less than any link may have nobody says; nor more than the field holds. */
		packet_error_too_big(about, 100, 10, &from, out);
		ck_assert_mem_eq(out + outer - 4, v6 ? "\0\0\5\0" : "\0\0\0\x44", 4);
		packet_error_too_big(about, 100, 70000, &from, out);
		ck_assert_mem_eq(out + outer - 4, "\0\0\xff\xff", 4);
	}
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_which_types_are_errors_KEY_4);
	tcase_add_test(t, test_cut_off_anywhere_KEY_4);
	tcase_add_test(t, test_error_for_somebody_else_KEY_4);
	tcase_add_test(t, test_errors_and_fragments_KEY_4);
	tcase_add_test(t, test_extension_headers_in_what_is_embedded_KEY_4_KEY_3);
	tcase_add_test(t, test_edit_of_what_is_cut_off_KEY_4_ACT_1);
	tcase_add_test(t, test_too_big_is_well_formed_FA_7);
}

int main(void)
{
	return bed_main("packet_error", add);
}
