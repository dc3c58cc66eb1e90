/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of wildcards whose manager does not answer: when they are silent, what
 * becomes of their packets then (on-silence), and how that ends.
 */
#include "fad/engine_fixture.h"
#include "fad/engine_trace.h"

#define VIP   "203.0.113.10"
#define ROUTE WIRE_FLAG_ROUTE_SILENT

static struct wire_msg service(uint8_t flags)
{
	struct wire_msg m = bed_service();

	m.wildcard.flags = flags;
	return m;
}

/* One flow asks and is not answered; its later packet asks twice more.  Then the wildcard is silent. */
static void ask_in_vain(struct bed *b, uint16_t client)
{
	struct flow_key k = bed_client(client);

	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k, SYN, 0);
	bed_wait(b, 800);
}

static struct bed *bed_silent(uint8_t flags)
{
	struct bed *b = bed_new();
	struct wire_msg m = service(flags);

	bed_message(b, 1, &m);
	ask_in_vain(b, 1);
	ck_counter(b, WILDCARDS_SILENT, 1);
	bed_clear(b);
	return b;
}

START_TEST(test_FA_5_silent_wildcard_drops_at_once)
{
	struct bed *b = bed_silent(0);
	struct flow_key k = bed_client(2);
	uint64_t punts = bed_counter(b, ENGINE_PUNTS);

	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_SILENT, 2);
	ck_counter(b, PUNTS, punts);
	ck_counter(b, SILENT_ROUTED, 0);
	ck_assert_uint_eq(b->sent_count, 0);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 0); /* no room is taken that others need */
	ck_assert_uint_ge(wildtab_first(engine_wildcards(b->e))->drops, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_silent_wildcard_routes_at_once)
{
	struct bed *b = bed_silent(ROUTE);
	struct flow_key k = bed_client(2);

	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k, ACK, 10);
	ck_counter(b, SILENT_ROUTED, 2);
	ck_counter(b, DROP_SILENT, 0);
	ck_assert_uint_eq(b->sent_count, 0);
	ck_assert_uint_eq(b->forwarded_count, 2);
	bed_went_to(bed_last_forwarded(b), VIP, 80);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_a_short_delay_is_no_silence)
{
	struct bed *b = bed_new();
	struct wire_msg m = service(ROUTE), answer;

	bed_message(b, 1, &m);
	for (uint16_t i = 1; i <= 5; i++) {
		struct flow_key k = bed_client(i);

		bed_packet(b, &k, SYN, 0);
	}
	bed_wait(b, 700);
	ck_counter(b, TIMEOUTS, 5);
	ck_counter(b, WILDCARDS_SILENT, 0);
	answer = bed_answer(&b->sent[4], 60); /* late, but an answer */
	bed_message(b, 1, &answer);
	for (int i = 0; i < 2; i++) {
		struct flow_key k = bed_client(10);

		bed_packet(b, &k, SYN, 0);
		bed_wait(b, 1000);
	}
	ck_counter(b, TIMEOUTS, 7); /* two in a row */
	ck_counter(b, WILDCARDS_SILENT, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_questions_far_apart_count_too)
{
	struct bed *b = bed_new();
	struct wire_msg m = service(0);

	bed_message(b, 1, &m);
	for (uint16_t i = 1; i <= 3; i++) {
		struct flow_key k = bed_client(i);

		ck_counter(b, WILDCARDS_SILENT, 0);
		bed_packet(b, &k, SYN, 0);
		bed_wait(b, 5000);
	}
	ck_counter(b, WILDCARDS_SILENT, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_probe_of_one_that_routes_is_a_copy)
{
	struct bed *b = bed_silent(ROUTE);
	struct flow_key k = bed_client(2), other = bed_client(3);
	struct wire_msg answer;

	bed_wait(b, 1000);
	bed_clear(b);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1); /* asked, and gone on */
	ck_assert(wire_has(&b->sent[0].m, WIRE_SEG_IP_PACKET));
	ck_assert_int_eq(b->sent[0].m.h.type, WIRE_MATCH_WILDCARD);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &other, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1); /* one a second */
	ck_assert_uint_eq(b->forwarded_count, 3);
	ck_counter(b, PROBES, 1);

	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->forwarded_count, 3); /* not twice */
	ck_counter(b, DROP_PROBED, 1);
	bed_packet(b, &k, ACK, 10);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 8080); /* from now on as its manager says */
	bed_packet(b, &other, ACK, 10);
	ck_assert_uint_eq(b->sent_count, 2); /* what was routed meanwhile is asked about */
	ck_assert_uint_eq(b->forwarded_count, 4);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_probe_answered_by_the_packet_only)
{
	struct bed *b = bed_silent(ROUTE);
	struct flow_key k = bed_client(2);
	struct wire_msg answer;

	bed_wait(b, 1000);
	bed_clear(b);
	bed_packet(b, &k, SYN, 0);
	wire_start(&answer, WIRE_PACKET);
	bed_return(&answer, &b->sent[0]);
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_counter(b, DROP_PROBED, 1);
	bed_packet(b, &k, ACK, 10);
	ck_assert_uint_eq(b->sent_count, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_probe_that_cannot_be_sent_costs_nothing)
{
	struct bed *b = bed_silent(ROUTE);
	struct flow_key k = bed_client(2);

	bed_wait(b, 1000);
	bed_clear(b);
	b->refuse_send = true;
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_counter(b, PROBES, 0);
	ck_counter(b, DROP_UNSENDABLE, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_probe_of_one_that_drops_is_the_packet)
{
	struct bed *b = bed_silent(0);
	struct flow_key k = bed_client(2), other = bed_client(3);
	struct wire_msg answer;

	bed_wait(b, 1000);
	bed_clear(b);
	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &other, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_counter(b, PROBES, 1);
	ck_counter(b, DROP_SILENT, 1);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_packet(b, &other, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_counter(b, DROP_SILENT, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_a_late_answer_ends_it)
{
	struct bed *b = bed_new();
	struct wire_msg m = service(0), answer;
	struct flow_key k = bed_client(2);

	bed_message(b, 1, &m);
	ask_in_vain(b, 1);
	ck_counter(b, WILDCARDS_SILENT, 1);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_SILENT, 0);
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 1);
	bed_free(b);
}
END_TEST

/* A deletion is no answer, nor what another manager says, nor a refresh of the wildcard. */
START_TEST(test_FA_5_only_its_managers_answers_end_it)
{
	struct bed *b = bed_silent(0);
	struct wire_msg m = service(0), other = bed_wildcard(VIP, 80), gone;
	struct flow_key k = bed_client(1);

	gone = bed_fixed(&k, 0);
	bed_message(b, 1, &gone);
	bed_message(b, 1, &m);
	bed_precedence(&other, 7);
	bed_message(b, 2, &other);
	m = bed_fixed(&k, 60);
	bed_precedence(&m, 7);
	bed_message(b, 2, &m);
	k = bed_client(2);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_SILENT, 1);
	m = bed_fixed(&k, 60); /* of its manager, unasked */
	bed_message(b, 1, &m);
	k = bed_client(3);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_SILENT, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_others_are_not_silent)
{
	struct bed *b = bed_silent(0);
	struct wire_msg same = bed_wildcard("203.0.113.11", 80), other = bed_wildcard("203.0.113.12", 80);
	struct flow_key k = bed_key(IPPROTO_TCP, "198.51.100.7", 9, "203.0.113.11", 80);

	bed_interest(&same, PUNT_ALL, PUNT_ALL, 0, 0);
	bed_interest(&other, PUNT_ALL, PUNT_ALL, 0, 0);
	bed_message(b, 1, &same);
	bed_message(b, 2, &other);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	k = bed_key(IPPROTO_TCP, "198.51.100.7", 9, "203.0.113.12", 80);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_counter(b, DROP_SILENT, 0);
	bed_free(b);
}
END_TEST

/* Who answers nothing is not waited for as long a second time; but one answer is an answer. */
START_TEST(test_FA_5_another_wildcard_of_a_silent_manager)
{
	struct bed *b = bed_silent(0);
	struct wire_msg same = bed_wildcard("203.0.113.11", 80), other = bed_wildcard("203.0.113.12", 80), answer;
	struct flow_key k = bed_key(IPPROTO_TCP, "198.51.100.7", 9, "203.0.113.11", 80);
	struct flow_key k2 = bed_key(IPPROTO_TCP, "198.51.100.7", 9, "203.0.113.12", 80);

	bed_interest(&same, PUNT_ALL, PUNT_ALL, 0, 0);
	bed_interest(&other, PUNT_ALL, PUNT_ALL, 0, 0);
	bed_message(b, 1, &same);
	bed_message(b, 2, &other);
	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k2, SYN, 0);
	bed_wait(b, 300);
	ck_counter(b, WILDCARDS_SILENT, 2); /* not the other manager's */
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	k.sport = k2.sport = 10;
	bed_packet(b, &k, SYN, 0);
	bed_wait(b, 300);
	ck_counter(b, WILDCARDS_SILENT, 2);
	bed_packet(b, &k2, SYN, 0);
	bed_wait(b, 300);
	ck_counter(b, WILDCARDS_SILENT, 2);
	bed_free(b);
}
END_TEST

/* What stands is not asked about. */
START_TEST(test_FA_5_decided_flows_go_on)
{
	struct bed *b = bed_new();
	struct wire_msg m = service(ROUTE), answer;
	struct flow_key k = bed_client(7);

	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	answer = bed_answer(bed_last_sent(b), 60);
	bed_message(b, 1, &answer);
	ask_in_vain(b, 1);
	ck_counter(b, WILDCARDS_SILENT, 1);
	bed_packet(b, &k, ACK, 10);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 8080);
	ck_counter(b, SILENT_ROUTED, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_4_backup_takes_over_from_a_silent_primary)
{
	struct bed *b = bed_silent(ROUTE);
	struct wire_msg m = bed_wildcard(VIP, 80), answer;
	struct flow_key k = bed_client(2);

	bed_backup(&m, 1);
	bed_nat(&m, WIRE_NAT_DST, "10.0.20.12", 0);
	bed_message(b, 2, &m);
	bed_packet(b, &k, SYN, 0);
	bed_went_to(bed_last_forwarded(b), "10.0.20.12", 80);
	ck_counter(b, SILENT_ROUTED, 1);
	ck_counter(b, UNMATCHED, 0);
	bed_wait(b, 1000);
	bed_clear(b);
	bed_packet(b, &k, SYN, 0);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer); /* the primary is back */
	k = bed_client(3);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent[1].to.identity, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_4_backup_that_asks_is_asked)
{
	struct bed *b = bed_silent(ROUTE);
	struct wire_msg m = service(ROUTE);
	struct flow_key k = bed_client(2);

	bed_backup(&m, 1);
	bed_message(b, 2, &m);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].to.identity, 2);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, SILENT_ROUTED, 1);
	bed_free(b);
}
END_TEST

/* With drop nobody stands in. */
START_TEST(test_PREC_4_backup_stays_behind_one_that_drops)
{
	struct bed *b = bed_silent(0);
	struct wire_msg m = bed_wildcard(VIP, 80);
	struct flow_key k = bed_client(2);

	bed_backup(&m, 1);
	bed_nat(&m, WIRE_NAT_DST, "10.0.20.12", 0);
	bed_message(b, 2, &m);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_SILENT, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_5_a_silent_filter_leaves_the_others)
{
	struct bed *b = bed_new();
	struct wire_msg filter = service(ROUTE), m = bed_wildcard(VIP, 80);
	struct flow_key k = bed_client(2);

	bed_precedence(&filter, 10);
	bed_dispatch(&filter, NULL); /* what it does not let pass it drops */
	filter.wildcard.flags |= ROUTE;
	bed_message(b, 1, &filter);
	bed_precedence(&m, 20);
	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.12", 81);
	bed_message(b, 2, &m);
	ask_in_vain(b, 1);
	bed_clear(b);
	bed_packet(b, &k, SYN, 0);
	bed_went_to(bed_last_forwarded(b), "10.0.20.12", 81);
	ck_counter(b, SILENT_ROUTED, 1);
	bed_free(b);
}
END_TEST

/* As if it were not there: what nobody else serves is not routed back to where it came from. */
START_TEST(test_ACT_3_advertised_is_dropped_in_silence_too)
{
	struct bed *b = bed_new();
	struct wire_msg m = service(ROUTE);
	struct flow_key k = bed_client(2);

	m.advertise_count = 1;
	wire_set(&m, WIRE_SEG_ADVERTISE, true);
	bed_message(b, 1, &m);
	ask_in_vain(b, 1);
	bed_clear(b);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, SILENT_ROUTED, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_assert_uint_ge(bed_counter(b, ENGINE_DROP_ADVERTISED), 1);
	bed_free(b);
}
END_TEST

/* The first packet may yet come back translated: those behind it are not routed. */
START_TEST(test_FA_9_what_was_held_is_not_routed)
{
	struct bed *b = bed_new();
	struct wire_msg m = service(ROUTE);
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	for (int i = 0; i < 5; i++)
		bed_packet(b, &k, ACK, 10);
	bed_wait(b, 1000);
	ck_counter(b, WILDCARDS_SILENT, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 0);
	ck_assert_uint_eq(bed_counter(b, ENGINE_DROP_HOLD_ORPHANED) + bed_counter(b, ENGINE_DROP_HOLD_TIMEOUT), 3);
	ck_counter(b, SILENT_ROUTED, 0);
	bed_packet(b, &k, ACK, 10);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_ARCH_7_manager_with_silent_wildcards)
{
	struct bed *b = bed_silent(ROUTE);
	struct wire_msg m = service(0), answer;
	const struct manager *manager = engine_managers(b->e);
	struct flow_key k;

	ck_assert_uint_eq(manager->silent_wildcards, 1);
	bed_message(b, 1, &m); /* replaced */
	ck_assert_uint_eq(manager->silent_wildcards, 1);
	k = bed_client(9);
	answer = bed_fixed(&k, 60);
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(manager->silent_wildcards, 0);
	ask_in_vain(b, 1);
	ck_assert_uint_eq(manager->silent_wildcards, 1);
	m.wildcard.ttl = 0;
	bed_message(b, 1, &m);
	ck_assert_uint_eq(manager->silent_wildcards, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_WILD_4_another_word_counts_at_once)
{
	struct bed *b = bed_silent(0);
	struct wire_msg m = service(ROUTE);
	struct flow_key k = bed_client(2);

	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_SILENT, 1);
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_SILENT, 1);
	ck_assert_uint_eq(b->forwarded_count, 1);
	m = service(0);
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_SILENT, 2);
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_counter(b, WILDCARDS_SILENT, 1);
	bed_free(b);
}
END_TEST

/* Deleted and announced again, or expired, it is a new one; and what it left behind does not keep others silent. */
START_TEST(test_WILD_3_a_new_one_is_asked)
{
	struct bed *b = bed_silent(0);
	struct wire_msg m = service(0), answer;
	struct flow_key k = bed_client(2);
	uint64_t lost;

	m.wildcard.ttl = 0;
	bed_message(b, 1, &m);
	m = service(0);
	m.wildcard.ttl = 2;
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	bed_wait(b, 5000); /* unanswered, and expired */
	ck_counter(b, WILDCARDS_SILENT, 2);
	m.wildcard.ttl = 60;
	bed_message(b, 1, &m);
	ask_in_vain(b, 1);
	ck_counter(b, WILDCARDS_SILENT, 3);
	bed_wait(b, 1000);
	bed_clear(b);
	bed_packet(b, &k, SYN, 0);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	k = bed_client(3);
	lost = bed_counter(b, ENGINE_DROP_SILENT);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_SILENT, lost);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_6_first_data_is_first_after_the_silence)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_wildcard(VIP, 80), answer;
	struct flow_key k = bed_client(2);

	m.wildcard.flags = ROUTE;
	bed_interest(&m, WIRE_INTEREST_FIRST_DATA, WIRE_INTEREST_FIRST_DATA, 0, 0);
	bed_message(b, 1, &m);
	for (uint16_t i = 10; i < 13; i++) {
		struct flow_key one = bed_client(i);

		bed_packet(b, &one, ACK, 10);
		bed_wait(b, 300);
	}
	ck_counter(b, WILDCARDS_SILENT, 1);
	bed_packet(b, &k, ACK, 10);
	ck_counter(b, SILENT_ROUTED, 1);
	bed_wait(b, 1000);
	bed_clear(b);
	bed_packet(b, &k, ACK, 10); /* the probe */
	ck_assert_uint_eq(b->sent_count, 1);
	answer = bed_answer(&b->sent[0], 0);
	bed_message(b, 1, &answer);
	bed_packet(b, &k, ACK, 10); /* what it was told in the silence was told in a copy */
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[1].m.identifier.reasons, WIRE_INTEREST_FIRST_DATA);
	bed_free(b);
}
END_TEST

/* Nobody is asked in vain to wait, whichever bit says so. */
START_TEST(test_ACT_7_hold_bit_of_a_silent_manager)
{
	for (int routes = 0; routes < 2; routes++) {
		struct bed *b = bed_new();
		struct wire_msg m = bed_wildcard(VIP, 80);
		struct flow_key k = bed_client(2);

		m.wildcard.flags = routes ? ROUTE : 0;
		bed_interest(&m, PUNT_ALL, 0, PUNT_ALL, PUNT_ALL);
		bed_message(b, 1, &m);
		ask_in_vain(b, 1);
		ck_counter(b, WILDCARDS_SILENT, 1);
		bed_clear(b);
		bed_packet(b, &k, SYN, 0);
		ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 0);
		ck_assert_uint_eq(b->forwarded_count, (size_t)routes);
		ck_assert_uint_eq(b->sent_count, (size_t)!routes); /* the copy */
		ck_assert_int_eq(bed_counter(b, ENGINE_DROP_SILENT) > 0, !routes);
		bed_free(b);
	}
}
END_TEST

/* What a manager only wants to see it is not asked about. */
START_TEST(test_ACT_6_notices_are_no_questions)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_wildcard(VIP, 80);
	struct flow_key k = bed_client(1);

	bed_interest(&m, PUNT_ALL, 0, 0, 0);
	bed_message(b, 1, &m);
	for (int i = 0; i < 10; i++) {
		bed_packet(b, &k, SYN, 0);
		bed_wait(b, 500);
	}
	ck_counter(b, WILDCARDS_SILENT, 0);
	ck_assert_uint_eq(b->sent_count, 10);
	ck_assert_uint_eq(b->forwarded_count, 10);
	bed_free(b);
}
END_TEST

START_TEST(test_ARCH_7_trace_says_that_a_manager_is_silent)
{
	struct flow_key k = bed_client(2);
	struct engine_trace t;

	for (int routes = 0; routes < 2; routes++) {
		struct bed *b = bed_silent(routes ? ROUTE : 0);

		engine_trace(b->e, &k, false, SYN, false, &t);
		ck_assert_uint_eq(t.count, 1);
		ck_assert_int_eq(t.matches[0].part, routes ? TRACE_ABSENT : TRACE_ASKS);
		ck_assert_int_eq(t.outcome, routes ? TRACE_UNMATCHED : TRACE_SILENT);
		bed_free(b);
	}
}
END_TEST

#define KEYS_TOLD 8

struct told {
	uint64_t all_ms;
	size_t count, calls;
	struct {
		struct classifier_key key;
		uint64_t until_ms;
	} of[KEYS_TOLD];
};

/* Its address lies in the packet's place, which nobody uses meanwhile. */
static struct told *told_of(const struct bed *b)
{
	struct told *t;

	memcpy(&t, b->packet, sizeof(t));
	return t;
}

static bool on_gone_until(void *ctx, const struct classifier_key *key, uint64_t until_ms)
{
	struct told *t = told_of(ctx);
	size_t i = 0;

	if (!t)
		return true;
	if (!key) {
		t->all_ms = until_ms;
		return true;
	}
	t->calls++;
	while (i < t->count && memcmp(&t->of[i].key, key, sizeof(*key)) != 0)
		i++;
	ck_assert_uint_lt(i, KEYS_TOLD);
	t->of[i].key = *key;
	t->of[i].until_ms = until_ms;
	t->count += i == t->count;
	return true;
}

/* What was told last of the key with this port; 0: of the one for fragments. */
static uint64_t told_until(const struct told *t, uint16_t port)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->of[i].key.dport == port)
			return t->of[i].until_ms;
	return 0;
}

static struct bed *bed_told(struct engine_out *out, struct told *t)
{
	struct engine_conf conf = bed_conf();
	struct bed *b;

	*out = bed_out;
	out->gone_until = on_gone_until;
	*t = (struct told){.count = 0};
	b = bed_new_out(&conf, out);
	memcpy(b->packet, &t, sizeof(t));
	return b;
}

/* The kernel hears which keys are meant, and until when. */
START_TEST(test_FA_6_without_the_agent_a_wildcard_may_drop)
{
	struct wire_msg m = service(WIRE_FLAG_DROP_GONE), other = bed_wildcard("203.0.113.11", 80);
	struct engine_out out;
	uint64_t expires;
	struct told t;
	struct bed *b = bed_told(&out, &t);

	other.wildcard.ttl = 600;
	bed_message(b, 1, &other);
	bed_wait(b, 300);
	ck_assert_uint_eq(t.all_ms, 0);
	ck_assert_uint_eq(t.calls, 0);
	bed_message(b, 1, &m);
	expires = b->now_ms + 60000;
	ck_assert_uint_eq(b->shape.flags, CLASSIFIER_SHAPE_DROP_GONE);
	ck_assert_int_eq(b->shapes, 4); /* of both, and for fragments */
	bed_wait(b, 300);
	ck_assert_uint_eq(t.all_ms, expires);
	ck_assert_uint_eq(t.count, 2);
	ck_assert_uint_eq(told_until(&t, 80), expires);
	ck_assert_uint_eq(told_until(&t, 0), expires);
	m = service(0); /* the same wildcard, which says otherwise now */
	bed_message(b, 1, &m);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 2);
	ck_assert_int_eq(b->shapes, 2);
	bed_wait(b, 300);
	ck_assert_uint_eq(t.all_ms, 0);
	m = service(WIRE_FLAG_DROP_GONE);
	bed_message(b, 1, &m);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 2);
	bed_free(b);
}
END_TEST

/* A short one ends with its own time, whatever else lives; said anew only when something changes. */
START_TEST(test_FA_6_each_wildcard_drops_as_long_as_it_lives)
{
	struct wire_msg brief = bed_wildcard(VIP, 80), lasting = bed_wildcard(VIP, 81);
	uint64_t brief_ms, lasting_ms;
	struct engine_out out;
	struct told t;
	struct bed *b = bed_told(&out, &t);

	brief.wildcard.flags = lasting.wildcard.flags = WIRE_FLAG_DROP_GONE;
	brief.wildcard.ttl = 30;
	lasting.wildcard.ttl = 3600;
	bed_message(b, 1, &lasting);
	bed_message(b, 1, &brief);
	brief_ms = b->now_ms + 30000;
	lasting_ms = b->now_ms + 3600000;
	bed_wait(b, 300);
	ck_assert_uint_eq(t.all_ms, lasting_ms);
	ck_assert_uint_eq(told_until(&t, 80), brief_ms);
	ck_assert_uint_eq(told_until(&t, 81), lasting_ms);
	ck_assert_uint_eq(told_until(&t, 0), lasting_ms); /* the fragments of both */
	ck_assert_uint_eq(t.calls, 3);
	bed_wait(b, 2000);
	ck_assert_uint_eq(t.calls, 3);
	bed_message(b, 1, &brief);
	bed_wait(b, 300);
	ck_assert_uint_gt(told_until(&t, 80), brief_ms);
	ck_assert_uint_eq(t.calls, 4);
	/* Of another manager, under the same key; the longer one counts, then the other. */
	brief.wildcard.ttl = 600;
	bed_message(b, 2, &brief);
	brief_ms = b->now_ms + 600000;
	bed_wait(b, 300);
	ck_assert_uint_eq(told_until(&t, 80), brief_ms);
	lasting.wildcard.ttl = 0;
	bed_message(b, 1, &lasting);
	bed_wait(b, 300);
	ck_assert_uint_eq(told_until(&t, 0), brief_ms);
	ck_assert_uint_eq(t.all_ms, brief_ms);
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_FA_5_silent_wildcard_drops_at_once);
	tcase_add_test(t, test_FA_5_silent_wildcard_routes_at_once);
	tcase_add_test(t, test_FA_5_a_short_delay_is_no_silence);
	tcase_add_test(t, test_FA_5_questions_far_apart_count_too);
	tcase_add_test(t, test_FA_5_probe_of_one_that_routes_is_a_copy);
	tcase_add_test(t, test_FA_5_probe_answered_by_the_packet_only);
	tcase_add_test(t, test_FA_5_probe_that_cannot_be_sent_costs_nothing);
	tcase_add_test(t, test_FA_5_probe_of_one_that_drops_is_the_packet);
	tcase_add_test(t, test_FA_5_a_late_answer_ends_it);
	tcase_add_test(t, test_FA_5_only_its_managers_answers_end_it);
	tcase_add_test(t, test_FA_5_others_are_not_silent);
	tcase_add_test(t, test_FA_5_another_wildcard_of_a_silent_manager);
	tcase_add_test(t, test_FA_5_decided_flows_go_on);
	tcase_add_test(t, test_PREC_4_backup_takes_over_from_a_silent_primary);
	tcase_add_test(t, test_PREC_4_backup_that_asks_is_asked);
	tcase_add_test(t, test_PREC_4_backup_stays_behind_one_that_drops);
	tcase_add_test(t, test_PREC_5_a_silent_filter_leaves_the_others);
	tcase_add_test(t, test_ACT_3_advertised_is_dropped_in_silence_too);
	tcase_add_test(t, test_FA_9_what_was_held_is_not_routed);
	tcase_add_test(t, test_ARCH_7_manager_with_silent_wildcards);
	tcase_add_test(t, test_WILD_4_another_word_counts_at_once);
	tcase_add_test(t, test_WILD_3_a_new_one_is_asked);
	tcase_add_test(t, test_ACT_6_first_data_is_first_after_the_silence);
	tcase_add_test(t, test_ACT_7_hold_bit_of_a_silent_manager);
	tcase_add_test(t, test_ACT_6_notices_are_no_questions);
	tcase_add_test(t, test_FA_6_without_the_agent_a_wildcard_may_drop);
	tcase_add_test(t, test_FA_6_each_wildcard_drops_as_long_as_it_lives);
	tcase_add_test(t, test_ARCH_7_trace_says_that_a_manager_is_silent);
}

int main(void)
{
	return bed_main("engine_silence", add);
}
