/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the look at a punted packet: what may stand between its headers
 * (KEY-4, ACT-10).
 */
#include "smd/peek.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* An IPv6 packet of these extension headers, each 16 bytes long but for fragment headers, and what they lead to. */
static size_t packet6(uint8_t out[128], const uint8_t *next, size_t count, uint16_t fragment)
{
	size_t at = 40;

	memset(out, 0, 128);
	out[0] = 0x60;
	out[6] = next[0];
	for (size_t i = 0; i + 1 < count; i++) {
		out[at] = next[i + 1];
		if (next[i] == IPPROTO_FRAGMENT) {
			out[at + 2] = (uint8_t)(fragment >> 8);
			out[at + 3] = (uint8_t)fragment;
			at += 8;
			continue;
		}
		out[at + 1] = next[i] == IPPROTO_AH ? 2 : 1; /* it counts otherwise (RFC 4302) */
		at += 16;
	}
	out[at + 13] = PEEK_FIN_FLAG | 0x10;
	return at + 20;
}

static enum peek_sort sort6(const uint8_t *next, size_t count, uint16_t fragment, uint8_t proto, uint8_t *flags)
{
	uint8_t packet[128];
	size_t len = packet6(packet, next, count, fragment);

	*flags = peek_flags(packet, len, proto);
	return peek_packet(packet, len, proto);
}

START_TEST(test_what_is_behind_extension_headers_is_seen_KEY_4_ACT_10)
{
	static const uint8_t before[] = {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS, IPPROTO_AH};
	uint8_t flags;

	for (size_t i = 0; i < sizeof(before); i++) {
		const uint8_t error[] = {before[i], IPPROTO_ICMPV6}, tcp[] = {before[i], IPPROTO_TCP};
		const uint8_t both[] = {before[i], IPPROTO_AH, IPPROTO_ICMPV6};
		const uint8_t cut[] = {before[i], IPPROTO_FRAGMENT, IPPROTO_TCP};

		ck_assert_int_eq(sort6(error, 2, 0, IPPROTO_TCP, &flags), PEEK_ERROR);
		ck_assert_int_eq(sort6(both, 3, 0, IPPROTO_UDP, &flags), PEEK_ERROR);
		ck_assert_int_eq(sort6(tcp, 2, 0, IPPROTO_TCP, &flags), PEEK_MIDFLOW);
		ck_assert_uint_eq(flags, PEEK_FIN_FLAG | 0x10);
		ck_assert_int_eq(sort6(cut, 3, 0xa1, IPPROTO_TCP, &flags), PEEK_FRAGMENT);
		ck_assert_uint_eq(flags, 0);
		ck_assert_int_eq(sort6(cut, 3, 0x01, IPPROTO_TCP, &flags), PEEK_MIDFLOW); /* the first */
		ck_assert_uint_eq(flags, PEEK_FIN_FLAG | 0x10);
	}
}
END_TEST

START_TEST(test_packet_that_is_cut_anywhere_is_read_within_its_length_KEY_4)
{
	static const uint8_t next[] = {IPPROTO_AH, IPPROTO_DSTOPTS, IPPROTO_FRAGMENT, IPPROTO_AH, IPPROTO_TCP};
	uint8_t whole[128];
	size_t len = packet6(whole, next, 5, 1);

	for (size_t n = 0; n <= len; n++) {
		uint8_t *packet = malloc(n ? n : 1);

		memcpy(packet, whole, n);
		ck_assert(peek_flags(packet, n, IPPROTO_TCP) == 0 || n > len - 7);
		ck_assert_int_eq(peek_packet(packet, n, IPPROTO_TCP), PEEK_MIDFLOW);
		free(packet);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("peek");
	TCase *tc = tcase_create("peek");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_what_is_behind_extension_headers_is_seen_KEY_4_ACT_10);
	tcase_add_test(tc, test_packet_that_is_cut_anywhere_is_read_within_its_length_KEY_4);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
