/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what the engine counts of its tables and of each wildcard: the most
 * there was, look-ups, refusals, unanswered questions.  Drops are counted where
 * they are tested.
 */
#include "fad/engine_fixture.h"

#define VIP "203.0.113.10"

/* The one wildcard there is. */
static const struct wildcard *only(const struct bed *b)
{
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 1);
	return wildtab_first(engine_wildcards(b->e));
}

static const struct manager *manager_of(const struct bed *b, uint64_t identity)
{
	const struct manager *m = engine_managers(b->e);

	while (m && m->peer.identity != identity)
		m = m->hh.next;
	ck_assert_ptr_nonnull(m);
	return m;
}

static void fix(struct bed *b, uint16_t client, uint32_t ttl)
{
	struct flow_key k = bed_client(client);
	struct wire_msg m = bed_fixed(&k, ttl);

	bed_nat(&m, WIRE_NAT_DST, "10.0.20.11", 0);
	bed_message(b, 1, &m);
}

START_TEST(test_FIX_1_most_fixed_affinities_there_were)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service();

	bed_message(b, 1, &service);
	for (uint16_t i = 0; i < 5; i++)
		fix(b, i, 2);
	fix(b, 4, 2); /* refreshed: not another one */
	ck_assert_uint_eq(engine_marks(b->e)->fixed, 5);
	bed_wait(b, 5000);
	fix(b, 9, 2);
	ck_assert_uint_eq(fixtab_count(engine_fixed(b->e)), 1);
	ck_assert_uint_eq(engine_marks(b->e)->fixed, 5);
	bed_free(b);
}
END_TEST

START_TEST(test_WILD_4_most_wildcards_there_were_and_a_replacement_is_none_more)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg m;
	struct bed *b;

	conf.max_wildcards = 2;
	b = bed_new_with(&conf);
	for (uint16_t port = 1; port <= 3; port++) {
		m = bed_wildcard(VIP, port);
		bed_message(b, 1, &m);
	}
	m = bed_wildcard(VIP, 1);
	bed_nat(&m, WIRE_NAT_DST, "10.0.20.11", 0);
	bed_message(b, 1, &m);
	ck_assert_uint_eq(engine_marks(b->e)->wildcards, 2);
	m.wildcard.ttl = 0;
	bed_message(b, 1, &m);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 1);
	ck_assert_uint_eq(engine_marks(b->e)->wildcards, 2);
	ck_counter(b, WILDCARD_NO_ROOM, 1);
	ck_counter(b, FIXED_NO_ROOM, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_most_that_waited)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), answer;
	struct flow_key one = bed_client(1), two = bed_client(2);
	uint64_t most;

	bed_message(b, 1, &service);
	bed_packet(b, &one, SYN, 0);
	bed_packet(b, &one, ACK, 10);
	bed_packet(b, &two, SYN, 0);
	bed_packet(b, &two, ACK, 10);
	most = hold_bytes(engine_hold(b->e));
	ck_assert_uint_gt(most, 100);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	answer = bed_answer(&b->sent[1], 60);
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 0);
	ck_assert_uint_eq(hold_most_flows(engine_hold(b->e)), 2);
	ck_assert_uint_eq(hold_most_bytes(engine_hold(b->e)), most);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_1_hits_and_misses_of_both_tables)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_wildcard(VIP, 80);
	struct flow_key k = bed_client(1), other = bed_key(IPPROTO_TCP, "198.51.100.7", 1, VIP, 81);

	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, FIXED_MISSES, 1);
	ck_counter(b, WILDCARD_HITS, 1);
	bed_packet(b, &other, SYN, 0);
	ck_counter(b, FIXED_MISSES, 2);
	ck_counter(b, WILDCARD_MISSES, 1);
	fix(b, 1, 60);
	for (int i = 0; i < 3; i++)
		bed_packet(b, &k, ACK, 10);
	ck_counter(b, FIXED_HITS, 3);
	ck_counter(b, FIXED_MISSES, 2);
	ck_counter(b, WILDCARD_HITS, 2); /* once to make the plan */
	ck_counter(b, WILDCARD_MISSES, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_WILD_1_denies_of_updates_that_concern_a_wildcard)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg service = bed_service(), m = bed_service();
	struct flow_key k = bed_client(1), elsewhere = bed_key(IPPROTO_TCP, "198.51.100.7", 1, VIP, 81);
	struct bed *b;

	conf.max_fixed = 0;
	b = bed_new_with(&conf);
	bed_message(b, 1, &service);
	m.list = (struct wire_list){1, {140}};
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	bed_message(b, 1, &m); /* its replacement */
	ck_assert_uint_eq(only(b)->denies, 1);
	m = bed_fixed(&k, 60);
	bed_message(b, 1, &m); /* no room for a flow under it */
	ck_assert_uint_eq(only(b)->denies, 2);
	m = bed_fixed(&elsewhere, 60);
	bed_message(b, 1, &m); /* no wildcard's */
	m = bed_fixed(&k, 60);
	bed_message(b, 2, &m); /* another manager's */
	ck_assert_uint_eq(only(b)->denies, 2);
	ck_assert_uint_eq(manager_of(b, 1)->denied, 3);
	ck_assert_uint_eq(manager_of(b, 2)->denied, 1);
	ck_counter(b, DENIES, 4);
	ck_counter(b, FIXED_NO_ROOM, 1);
	ck_counter(b, WILDCARD_NO_ROOM, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_WILD_1_drops_flows_and_age_survive_a_replacement)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_wildcard(VIP, 80);
	struct flow_key k = bed_client(1);
	uint64_t made = b->now_ms;

	bed_dispatch(&m, NULL);
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(only(b)->drops, 2);
	ck_assert_uint_eq(only(b)->a.packets, 2);
	bed_wait(b, 3000);
	m = bed_service();
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(only(b)->drops, 2);
	ck_assert_uint_eq(only(b)->flows, 1);
	ck_assert_uint_eq(only(b)->made_ms, made);
	bed_free(b);
}
END_TEST

START_TEST(test_WILD_1_a_fixed_affinity_that_drops_is_not_the_wildcards_doing)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), m;
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &service);
	m = bed_fixed(&k, 60);
	bed_dispatch(&m, NULL);
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_AFFINITY, 1);
	ck_assert_uint_eq(only(b)->drops, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_time_outs_of_questions_are_their_wildcards_and_managers)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(1), other = bed_client(2);

	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	for (int i = 0; i < 4; i++)
		bed_packet(b, &k, ACK, 10);
	bed_wait(b, 2000); /* asked three times */
	ck_counter(b, TIMEOUTS, 3);
	ck_counter(b, PUNTS, 3);
	ck_counter(b, DROP_HOLD_TIMEOUT, 2);
	ck_assert_uint_eq(only(b)->timeouts, 3);
	ck_assert_uint_eq(only(b)->drops, 2);
	ck_assert_uint_eq(manager_of(b, 1)->timeouts, 3);
	bed_packet(b, &other, SYN, 0);
	bed_wait(b, 200);
	answer = bed_answer(bed_last_sent(b), 60);
	bed_message(b, 1, &answer); /* in time */
	bed_wait(b, 2000);
	ck_counter(b, TIMEOUTS, 3);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_time_outs_under_a_wildcard_that_went_are_the_managers)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), lower = bed_wildcard(VIP, 80);
	struct flow_key k = bed_client(1);

	bed_precedence(&service, 1);
	bed_message(b, 1, &service);
	bed_precedence(&lower, 2);
	bed_message(b, 2, &lower);
	bed_packet(b, &k, SYN, 0);
	service.wildcard.ttl = 0;
	bed_message(b, 1, &service);
	bed_wait(b, 500);
	ck_counter(b, TIMEOUTS, 1);
	ck_assert_uint_eq(manager_of(b, 1)->timeouts, 1);
	ck_assert_uint_eq(manager_of(b, 2)->timeouts, 0);
	ck_assert_uint_eq(only(b)->timeouts, 0); /* matches the flow, but was not asked under */
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_7_time_outs_of_what_the_hold_bit_keeps_count_too)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_wildcard(VIP, 80);
	struct flow_key k = bed_client(1);

	bed_interest(&m, PUNT_ALL, 0, PUNT_ALL, PUNT_ALL);
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	bed_wait(b, 300);
	ck_counter(b, TIMEOUTS, 1);
	ck_assert_uint_eq(only(b)->timeouts, 1);
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_FIX_1_most_fixed_affinities_there_were);
	tcase_add_test(t, test_WILD_4_most_wildcards_there_were_and_a_replacement_is_none_more);
	tcase_add_test(t, test_FA_9_most_that_waited);
	tcase_add_test(t, test_FA_1_hits_and_misses_of_both_tables);
	tcase_add_test(t, test_WILD_1_denies_of_updates_that_concern_a_wildcard);
	tcase_add_test(t, test_WILD_1_drops_flows_and_age_survive_a_replacement);
	tcase_add_test(t, test_WILD_1_a_fixed_affinity_that_drops_is_not_the_wildcards_doing);
	tcase_add_test(t, test_FA_9_time_outs_of_questions_are_their_wildcards_and_managers);
	tcase_add_test(t, test_FA_9_time_outs_under_a_wildcard_that_went_are_the_managers);
	tcase_add_test(t, test_ACT_7_time_outs_of_what_the_hold_bit_keeps_count_too);
}

int main(void)
{
	return bed_main("engine_counters", add);
}
