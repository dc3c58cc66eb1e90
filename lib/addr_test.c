/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of lib/addr.c; must not know of anything else. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/addr.h"

START_TEST(parse_and_print)
{
	static const struct {
		const char *in, *out;
		uint8_t family;
	} cases[] = {
		{"192.0.2.1", "192.0.2.1", 4},       {"255.255.255.255", "255.255.255.255", 4},
		{"2001:DB8:0::1", "2001:db8::1", 6}, {"::", "::", 6},
		{"ff15::7510", "ff15::7510", 6},
	};
	char buf[ADDR_STRLEN];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct addr a = {0};

		ck_assert(addr_parse(cases[i].in, &a));
		ck_assert_uint_eq(a.family, cases[i].family);
		ck_assert_str_eq(addr_print(&a, buf), cases[i].out);
	}
}
END_TEST

START_TEST(parse_refuses_and_leaves_alone)
{
	static const char *const bad[] = {"",         "1.2.3", "1.2.3.4.5", "1.2.3.256", " 1.2.3.4",
					  "1.2.3.4 ", "::g",   "1:2",       "x"};
	struct addr before = addr_make(4, (const uint8_t[]){9, 8, 7, 6}), a = before;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_msg(!addr_parse(bad[i], &a), "'%s' was taken", bad[i]);
		ck_assert(addr_equal(&a, &before));
	}
}
END_TEST

START_TEST(prefix)
{
	static const char *const bad[] = {"10.0.0.0/33",
					  "10.0.0.0/",
					  "10.0.0.0/-1",
					  "10.0.0.0/+8",
					  "10.0.0.0/ 8",
					  "::/129",
					  "/8",
					  "10.0.0.0/8x",
					  "10.0.0.0/99999999999999999999",
					  "10/8",
					  "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/64"};
	struct addr a = {0};
	uint8_t plen = 77;

	ck_assert(addr_parse_prefix("10.0.0.0/8", &a, &plen));
	ck_assert_uint_eq(plen, 8);
	ck_assert(addr_parse_prefix("0.0.0.0/0", &a, &plen));
	ck_assert_uint_eq(plen, 0);
	ck_assert(addr_parse_prefix("10.1.2.3", &a, &plen));
	ck_assert_uint_eq(plen, 32);
	ck_assert(addr_parse_prefix("2001:db8::/48", &a, &plen));
	ck_assert_uint_eq(plen, 48);
	ck_assert(addr_parse_prefix("::1", &a, &plen));
	ck_assert_uint_eq(plen, 128);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(!addr_parse_prefix(bad[i], &a, &plen), "'%s' was taken", bad[i]);
	ck_assert_uint_eq(plen, 128);
}
END_TEST

START_TEST(mask)
{
	uint8_t m[16], want[16] = {0};

	addr_mask(4, 0, m);
	ck_assert_mem_eq(m, want, 16);
	addr_mask(4, 20, m);
	memcpy(want, (uint8_t[]){0xff, 0xff, 0xf0}, 3);
	ck_assert_mem_eq(m, want, 16);
	addr_mask(4, 32, m);
	memcpy(want, (uint8_t[]){0xff, 0xff, 0xff, 0xff}, 4);
	ck_assert_mem_eq(m, want, 16);
	addr_mask(6, 128, m);
	memset(want, 0xff, 16);
	ck_assert_mem_eq(m, want, 16);
	addr_mask(6, 33, m);
	memset(want, 0, 16);
	memset(want, 0xff, 4);
	want[4] = 0x80;
	ck_assert_mem_eq(m, want, 16);
}
END_TEST

START_TEST(zero_and_equal)
{
	struct addr none = {0}, zero4 = {.family = 4}, one = {.family = 4, .b = {0, 0, 0, 1}};

	ck_assert(addr_is_zero(&none));
	ck_assert(addr_is_zero(&zero4));
	ck_assert(!addr_is_zero(&one));
	ck_assert(!addr_equal(&none, &zero4));
	ck_assert(!addr_equal(&zero4, &one));
	ck_assert(addr_equal(&one, &one));
}
END_TEST

START_TEST(sockaddr_there_and_back)
{
	static const char *const texts[] = {"192.0.2.7", "2001:db8::7"};
	struct sockaddr_storage ss;
	struct addr a, b = {0};
	uint16_t port = 0;

	for (size_t i = 0; i < 2; i++) {
		ck_assert(addr_parse(texts[i], &a));
		ck_assert_uint_gt(addr_to_sockaddr(&a, 7510, &ss), 0);
		ck_assert(addr_from_sockaddr(&ss, &b, &port));
		ck_assert(addr_equal(&a, &b));
		ck_assert_uint_eq(port, 7510);
	}
	memset(&ss, 0, sizeof(ss));
	ss.ss_family = AF_UNIX;
	ck_assert(!addr_from_sockaddr(&ss, &b, &port));
	a.family = 0;
	ck_assert_uint_eq(addr_to_sockaddr(&a, 1, &ss), 0);
}
END_TEST

START_TEST(sockaddr_mapped_becomes_ipv4)
{
	struct sockaddr_storage ss = {.ss_family = AF_INET6};
	struct sockaddr_in6 *sin6 = (void *)&ss;
	struct addr a = {0};
	uint16_t port;
	char buf[ENDPOINT_STRLEN];

	ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:192.0.2.9", &sin6->sin6_addr), 1);
	sin6->sin6_port = htons(80);
	ck_assert(addr_from_sockaddr(&ss, &a, &port));
	ck_assert_str_eq(endpoint_print(&a, port, buf), "192.0.2.9:80");
}
END_TEST

START_TEST(test_KEY_1_flow_key_text_and_reverse)
{
	struct flow_key k = {.family = 4, .proto = IPPROTO_TCP, .sport = 40000, .dport = 80}, r, rr;
	char buf[FLOW_KEY_STRLEN];

	memcpy(k.src, (uint8_t[]){192, 0, 2, 1}, 4);
	memcpy(k.dst, (uint8_t[]){203, 0, 113, 10}, 4);
	ck_assert_str_eq(flow_key_print(&k, buf), "tcp 192.0.2.1:40000 > 203.0.113.10:80");
	r = flow_key_reverse(&k);
	ck_assert_str_eq(flow_key_print(&r, buf), "tcp 203.0.113.10:80 > 192.0.2.1:40000");
	ck_assert_mem_ne(&k, &r, sizeof(k));
	rr = flow_key_reverse(&r);
	ck_assert_mem_eq(&k, &rr, sizeof(k));
}
END_TEST

START_TEST(flow_key_longest_text_fits)
{
	struct flow_key k = {.family = 6, .proto = IPPROTO_UDP, .sport = 65535, .dport = 65535};
	char buf[FLOW_KEY_STRLEN];

	memset(k.src, 0xff, 16);
	memset(k.dst, 0xff, 16);
	ck_assert_str_eq(flow_key_print(&k, buf), "udp [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 > "
						  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
	k.proto = IPPROTO_ICMPV6;
	ck_assert_str_eq(flow_key_print(&k, buf), "icmpv6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff > "
						  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}
END_TEST

START_TEST(protocols)
{
	char buf[8];
	uint8_t p = 99;

	ck_assert_str_eq(proto_name(6, buf), "tcp");
	ck_assert_str_eq(proto_name(0, buf), "any");
	ck_assert_str_eq(proto_name(132, buf), "132");
	ck_assert(proto_parse("udp", &p));
	ck_assert_uint_eq(p, IPPROTO_UDP);
	ck_assert(proto_parse("132", &p));
	ck_assert_uint_eq(p, 132);
	ck_assert(!proto_parse("256", &p));
	ck_assert(!proto_parse("", &p));
	ck_assert(!proto_parse("TCP/IP", &p));
	ck_assert(!proto_parse("-1", &p));
	ck_assert_uint_eq(p, 132);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("addr");
	TCase *tc = tcase_create("addr");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, parse_and_print);
	tcase_add_test(tc, parse_refuses_and_leaves_alone);
	tcase_add_test(tc, prefix);
	tcase_add_test(tc, mask);
	tcase_add_test(tc, zero_and_equal);
	tcase_add_test(tc, sockaddr_there_and_back);
	tcase_add_test(tc, sockaddr_mapped_becomes_ipv4);
	tcase_add_test(tc, test_KEY_1_flow_key_text_and_reverse);
	tcase_add_test(tc, flow_key_longest_text_fits);
	tcase_add_test(tc, protocols);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
