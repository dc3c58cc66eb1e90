/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the engine: tables without a limit in the configuration, filled.
 * docs/limits.md names them.
 */
#include "fad/engine_fixture.h"
#include "fad/engine_priv.h"

/* Any update makes its manager known, though it deletes what is not there. */
static void speak(struct bed *b, unsigned identity)
{
	struct wire_msg m = bed_wildcard("203.0.113.99", 80);

	m.wildcard.ttl = 0;
	bed_message(b, identity, &m);
}

START_TEST(test_ARCH_10_managers_beyond_the_limit_are_not_heard)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &m);
	for (unsigned i = 2; i <= ENGINE_MAX_MANAGERS; i++)
		speak(b, i);
	ck_counter(b, MANAGERS_NO_ROOM, 0);
	ck_assert_int_eq(b->managers, ENGINE_MAX_MANAGERS);
	speak(b, ENGINE_MAX_MANAGERS + 1);
	speak(b, ENGINE_MAX_MANAGERS + 2);
	ck_counter(b, MANAGERS_NO_ROOM, 2);
	ck_assert_int_eq(b->managers, ENGINE_MAX_MANAGERS);
	/* Who was there before is still asked. */
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].to.identity, 1);
	/* Who is silent and holds nothing makes room. */
	bed_wait(b, 300000);
	speak(b, ENGINE_MAX_MANAGERS + 1);
	ck_counter(b, MANAGERS_NO_ROOM, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_4_forward_addresses_beyond_the_limit_are_counted_together)
{
	struct bed *b = bed_new();
	struct addr a = {.family = 4, .b = {10}};
	size_t n = 0;

	for (uint32_t i = 0; i < ENGINE_MAX_FORWARD_STATS + 2; i++) {
		memcpy(&a.b[1], (const uint8_t[]){(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}, 3);
		engine_count_forward(b->e, &a, 3, 100);
	}
	ck_counter(b, FORWARD_NO_ROOM, 6);
	memset(&a.b[1], 0, 3); /* one that is there goes on */
	engine_count_forward(b->e, &a, 1, 100);
	ck_counter(b, FORWARD_NO_ROOM, 6);
	for (const struct forward_stat *s = engine_forwards(b->e); s; s = s->hh.next)
		n++;
	ck_assert_uint_eq(n, ENGINE_MAX_FORWARD_STATS);
	bed_free(b);
}
END_TEST

/* Who wants only the first data of each flow, under a wildcard, of more flows than are remembered. */
START_TEST(test_ACT_6_flows_with_first_data_beyond_the_limit_are_reported_again)
{
	struct engine_conf conf = bed_conf();
	struct bed *b;
	struct wire_msg m = bed_wildcard("203.0.113.10", 80);
	struct flow_key k = bed_client(1), first = k;

	conf.punt_rate = 0;
	b = bed_new_with(&conf);
	bed_interest(&m, WIRE_INTEREST_FIRST_DATA, 0, 0, 0);
	m.wildcard.ttl = 3600;
	bed_message(b, 1, &m);
	bed_packet(b, &first, ACK, 1);
	bed_packet(b, &first, ACK, 1);
	ck_counter(b, MATCHES, 1);
	for (uint32_t i = 1; i <= ENGINE_FIRST_DATA_FLOWS; i++) {
		k.sport = (uint16_t)(1 + i % 60000);
		k.src[2] = (uint8_t)(i / 60000 + 1);
		bed_packet(b, &k, ACK, 1);
		bed_clear(b);
	}
	ck_counter(b, FIRST_FORGOTTEN, 1);
	bed_packet(b, &first, ACK, 1); /* the oldest */
	ck_counter(b, MATCHES, ENGINE_FIRST_DATA_FLOWS + 2);
	ck_counter(b, FIRST_FORGOTTEN, 2);
	bed_free(b);
}
END_TEST

/* As many as the default allows, each with as many prefixes as a message has room for, and no two alike. */
START_TEST(test_ACT_3_ARCH_10_full_table_with_four_prefixes_each)
{
	const uint32_t wildcards = 16384;
	struct engine_conf conf = bed_conf();
	struct wire_msg m = bed_wildcard("203.0.113.10", 1);
	struct bed *b;

	conf.max_wildcards = wildcards;
	b = bed_new_with(&conf);
	m.advertise_count = WIRE_MAX_ACTIONS;
	wire_set(&m, WIRE_SEG_ADVERTISE, true);
	for (uint32_t i = 0; i <= wildcards; i++) {
		m.wildcard.dport = (uint16_t)(1 + i);
		for (uint32_t k = 0; k < WIRE_MAX_ACTIONS; k++)
			m.advertise[k] = (struct wire_advertise){
				.addr = {.family = 4, .b = {10, (uint8_t)k, (uint8_t)(i >> 8), (uint8_t)i}},
				.plen = 32};
		if (i == wildcards)
			ck_counter(b, WILDCARD_NO_ROOM, 0);
		bed_message(b, 1, &m);
	}
	ck_counter(b, WILDCARD_NO_ROOM, 1);
	ck_assert_uint_eq(bed_last_sent(b)->m.error.code, WIRE_ERROR_NO_ROOM);
	ck_assert_int_eq(b->prefixes, (int)(WIRE_MAX_ACTIONS * wildcards));
	bed_wait(b, 120000);
	ck_assert_int_eq(b->prefixes, 0);
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_ARCH_10_managers_beyond_the_limit_are_not_heard);
	tcase_add_test(t, test_FIX_4_forward_addresses_beyond_the_limit_are_counted_together);
	tcase_add_test(t, test_ACT_3_ARCH_10_full_table_with_four_prefixes_each);
	tcase_add_test(t, test_ACT_6_flows_with_first_data_beyond_the_limit_are_reported_again);
}

int main(void)
{
	return bed_main("engine_bounds", add);
}
