/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what agents keep for the manager, and of the look at a packet's
 * flags: both read bytes that came from outside.
 */
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "smd/memo.h"
#include "smd/peek.h"

static struct memo nat(const char *vip, const char *server)
{
	struct memo m = {.kind = MEMO_NAT, .precedence = 0xfedcba98, .vip_port = 80, .server_port = 0xabcd};

	ck_assert(addr_parse(vip, &m.vip) && addr_parse(server, &m.server));
	return m;
}

static struct memo masquerade(const char *vip, const char *server, const char *client)
{
	struct memo m = nat(vip, server);

	m.kind = MEMO_MASQUERADE;
	m.client_port = 1025;
	m.port = 0xfffe;
	ck_assert(addr_parse(client, &m.client));
	return m;
}

START_TEST(test_memo_comes_back_as_it_was_MSG_10)
{
	struct memo all[] = {
		nat("203.0.113.10", "10.0.20.11"),
		nat("2001:db8:113::10", "fd00:20::11"),
		{.kind = MEMO_WILDCARD, .precedence = 100},
		{.kind = MEMO_PASS, .precedence = 0},
		{.kind = MEMO_DROP, .precedence = 0xffffffff},
		masquerade("203.0.113.10", "10.0.20.11", "10.0.20.12"),
		masquerade("2001:db8:113::10", "fd00:20::11", "fd00:20::12"),
		nat("203.0.113.10", "10.0.20.11"),
	};

	all[7].kind = MEMO_DISPATCH;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint8_t bytes[MEMO_MAX];
		struct memo m;
		size_t n = memo_write(&all[i], bytes);

		ck_assert_uint_le(n, MEMO_MAX);
		ck_assert(memo_read(bytes, n, &m));
		ck_assert_uint_eq(m.kind, all[i].kind);
		ck_assert_uint_eq(m.precedence, all[i].precedence);
		ck_assert(addr_equal(&m.vip, &all[i].vip) && addr_equal(&m.server, &all[i].server));
		ck_assert_uint_eq(m.vip_port, all[i].vip_port);
		ck_assert_uint_eq(m.server_port, all[i].server_port);
		ck_assert(addr_equal(&m.client, &all[i].client));
		ck_assert_uint_eq(m.client_port, all[i].client_port);
		ck_assert_uint_eq(m.port, all[i].port);
	}
}
END_TEST

/* Each byte changed, each length: read as something, or refused, but never beyond its end. */
START_TEST(test_memo_of_anything_MSG_4)
{
	struct memo all[] = {nat("203.0.113.10", "10.0.20.11"),
			     nat("2001:db8::1", "fd00::1"),
			     {.kind = MEMO_PASS},
			     masquerade("203.0.113.10", "10.0.20.11", "10.0.20.12"),
			     masquerade("2001:db8::1", "fd00::1", "fd00::2")};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint8_t bytes[MEMO_MAX];
		size_t n = memo_write(&all[i], bytes);
		struct memo m;

		for (size_t len = 0; len < n; len++) {
			uint8_t *exact = malloc(len ? len : 1);

			memcpy(exact, bytes, len);
			ck_assert(!memo_read(exact, len, &m));
			ck_assert_uint_eq(m.kind, MEMO_NONE);
			free(exact);
		}
		for (unsigned v = 0; v < 256; v++)
			for (size_t at = 0; at < 4; at++) {
				uint8_t *changed = malloc(n ? n : 1);

				memcpy(changed, bytes, n);
				changed[at] = (uint8_t)v;
				if (memo_read(changed, n, &m))
					ck_assert(m.kind > MEMO_NONE && m.kind < MEMO_KINDS);
				else
					ck_assert_uint_eq(m.kind, MEMO_NONE);
				free(changed);
			}
	}
}
END_TEST

static void tcp_at(uint8_t *packet, size_t at, uint8_t flags)
{
	packet[at + 12] = 0x50;
	packet[at + 13] = flags;
}

START_TEST(test_peek_reads_flags_of_both_families_SM_2)
{
	static const struct {
		uint8_t flags;
		enum peek_sort sort;
	} cases[] = {{0x02, PEEK_SYN},     {0xc2, PEEK_SYN}, {0x12, PEEK_SYN_ACK}, {0x10, PEEK_MIDFLOW},
		     {0x11, PEEK_MIDFLOW}, {0x04, PEEK_RST}, {0x14, PEEK_RST},     {0x00, PEEK_MIDFLOW}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t v4[40] = {0x45}, options[44] = {0x46}, v6[60] = {0x60}, extended[92] = {0x60};

		v4[9] = options[9] = v6[6] = IPPROTO_TCP;
		tcp_at(v4, 20, cases[i].flags);
		tcp_at(options, 24, cases[i].flags);
		tcp_at(v6, 40, cases[i].flags);
		extended[6] = IPPROTO_HOPOPTS;
		extended[40] = IPPROTO_DSTOPTS;
		extended[48] = IPPROTO_FRAGMENT, extended[49] = 1;
		extended[64] = IPPROTO_TCP; /* the first fragment */
		tcp_at(extended, 72, cases[i].flags);
		ck_assert_int_eq(peek_packet(v4, sizeof(v4), IPPROTO_TCP), cases[i].sort);
		ck_assert_int_eq(peek_packet(options, sizeof(options), IPPROTO_TCP), cases[i].sort);
		ck_assert_int_eq(peek_packet(v6, sizeof(v6), IPPROTO_TCP), cases[i].sort);
		ck_assert_int_eq(peek_packet(extended, sizeof(extended), IPPROTO_TCP), cases[i].sort);
		ck_assert_int_eq(peek_packet(v4, sizeof(v4), IPPROTO_UDP), PEEK_DATAGRAM);
	}
}
END_TEST

START_TEST(test_peek_takes_anything_MSG_4)
{
	uint8_t v4[40] = {0x45}, v6[60] = {0x60};

	v4[9] = v6[6] = IPPROTO_TCP;
	tcp_at(v4, 20, 0x02);
	tcp_at(v6, 40, 0x02);
	for (size_t len = 0; len <= 60; len++) {
		uint8_t *exact = malloc(len ? len : 1);

		memcpy(exact, v6, len);
		ck_assert_int_eq(peek_packet(exact, len, IPPROTO_TCP), len < 54 ? PEEK_MIDFLOW : PEEK_SYN);
		memcpy(exact, v4, len < 40 ? len : 40);
		if (len <= 40)
			ck_assert_int_eq(peek_packet(exact, len, IPPROTO_TCP), len < 34 ? PEEK_MIDFLOW : PEEK_SYN);
		for (unsigned next = 0; len >= 40 && next < 256; next++) {
			memset(exact, (int)next, len);
			exact[0] = 0x60;
			peek_packet(exact, len, IPPROTO_TCP);
		}
		free(exact);
	}
	ck_assert_int_eq(peek_packet(NULL, 0, IPPROTO_TCP), PEEK_MIDFLOW);
	v4[7] = 1; /* not the first fragment: there is no header in it */
	ck_assert_int_eq(peek_packet(v4, sizeof(v4), IPPROTO_TCP), PEEK_FRAGMENT);
	ck_assert_int_eq(peek_packet(v4, sizeof(v4), IPPROTO_UDP), PEEK_FRAGMENT);
	v4[7] = 0;
	v4[0] = 0x41; /* a header shorter than a header */
	ck_assert_int_eq(peek_packet(v4, sizeof(v4), IPPROTO_TCP), PEEK_MIDFLOW);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("memo");
	TCase *tc = tcase_create("memo");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_memo_comes_back_as_it_was_MSG_10);
	tcase_add_test(tc, test_memo_of_anything_MSG_4);
	tcase_add_test(tc, test_peek_reads_flags_of_both_families_SM_2);
	tcase_add_test(tc, test_peek_takes_anything_MSG_4);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
