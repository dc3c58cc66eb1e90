/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of several managers at one flow: the order of precedences, the
 * cascade, backups, and where a returned packet resumes.
 */
#include "fad/engine_fixture.h"

#define VIP "203.0.113.10"

/* Manager n's wildcard over the service, at this precedence (lower first), punting or not. */
static struct wire_msg at(uint32_t precedence, bool punting)
{
	struct wire_msg m = punting ? bed_service() : bed_wildcard(VIP, 80);

	bed_precedence(&m, precedence);
	return m;
}

/* An answer of that precedence with the packet of punt s. */
static struct wire_msg answer_at(uint32_t precedence, const struct bed_sent *s, uint32_t ttl)
{
	struct wire_msg m = bed_fixed(&s->m.identifier.key, ttl);

	bed_precedence(&m, precedence);
	bed_return(&m, s);
	return m;
}

START_TEST(test_PREC_1_best_first_in_either_search_order)
{
	struct bed *b = bed_new();
	struct wire_msg low = at(10, true), high = at(0, true);
	struct flow_key k = bed_client(1);

	high.precedence = (struct wire_precedence){.lower_first = false, .value = 0xffffffff - 9}; /* rank 9 */
	bed_message(b, 1, &low);
	bed_message(b, 2, &high);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].to.identity, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_9_absent_precedence_is_the_worst)
{
	struct bed *b = bed_new();
	struct wire_msg none = bed_service(), worst = at(0xffffffff, true);
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &none);
	bed_message(b, 2, &worst);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent[0].to.identity, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_2_PREC_5_managers_cascade_without_knowing_of_each_other)
{
	struct bed *b = bed_new();
	struct wire_msg filter = at(1, true), balancer = at(2, true), m;
	struct flow_key k = bed_client(1);

	bed_message(b, 2, &balancer);
	bed_message(b, 1, &filter);
	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k, ACK, 5); /* held behind it, through both */
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].to.identity, 1);
	m = answer_at(1, &b->sent[0], 60); /* permitted: neither forwards nor dispatches (PREC-3) */
	bed_message(b, 1, &m);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[1].to.identity, 2);
	ck_assert_uint_eq(b->forwarded_count, 0);
	m = answer_at(2, &b->sent[1], 60);
	bed_dispatch(&m, "10.0.20.12"); /* only the last one dispatches */
	bed_message(b, 2, &m);
	ck_assert_uint_eq(b->forwarded_count, 2);
	ck_assert(b->forwarded[0].dispatched && b->forwarded[1].dispatched);
	ck_assert_uint_eq(b->forwarded[1].p.len, 45);
	bed_packet(b, &k, ACK, 0);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->forwarded_count, 3);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_3_PREC_8_edits_compose_and_a_later_one_wins_its_field)
{
	struct bed *b = bed_new();
	struct wire_msg first = at(1, false), second = at(2, false), third = at(3, false);
	struct flow_key k = bed_client(1);

	bed_nat(&first, WIRE_NAT_SRC | WIRE_NAT_SPORT, "192.0.2.1", 7000);
	bed_nat(&first, WIRE_NAT_DPORT, NULL, 8000);
	bed_nat(&second, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.11", 8080);
	bed_nat(&third, WIRE_NAT_SPORT, NULL, 7001);
	bed_message(b, 3, &third);
	bed_message(b, 1, &first);
	bed_message(b, 2, &second);
	/* All match the key as it arrived, though the first changes source and port. */
	bed_packet(b, &k, SYN, 3);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 8080);
	ck_assert_mem_eq(bed_last_forwarded(b)->p.key.src, ((uint8_t[]){192, 0, 2, 1}), 4);
	ck_assert_uint_eq(bed_last_forwarded(b)->p.key.sport, 7001);
	for (const struct wildcard *w = wildtab_first(engine_wildcards(b->e)); w; w = w->next)
		ck_assert_uint_eq(w->a.packets, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_6_dispatch_or_drop_ends_the_cascade)
{
	struct bed *b = bed_new();
	struct wire_msg stop = at(1, false), after = at(2, true);
	struct flow_key k = bed_client(1);

	bed_message(b, 2, &after);
	bed_dispatch(&stop, "10.0.20.12");
	bed_message(b, 1, &stop);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 0);
	ck_assert(b->forwarded[0].dispatched);
	bed_dispatch(&stop, NULL);
	bed_message(b, 1, &stop);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 0);
	ck_assert_uint_eq(b->forwarded_count, 1);
	stop.wildcard.flags = 0; /* dispatch clear: go on */
	stop.wildcard.forward = (struct addr){0};
	bed_message(b, 1, &stop);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_4_backup_is_ignored_until_the_primary_is_gone)
{
	struct bed *b = bed_new();
	struct wire_msg primary = bed_service(), backup = bed_service();
	struct flow_key k = bed_client(1);

	bed_backup(&primary, 1);
	bed_backup(&backup, 2);
	bed_message(b, 1, &backup); /* the lower identity, and first: neither counts */
	bed_message(b, 2, &primary);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(bed_last_sent(b)->to.identity, 2);
	bed_wait(b, 40000);
	bed_message(b, 1, &backup);
	bed_wait(b, 22000); /* the primary expires */
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(bed_last_sent(b)->to.identity, 1);
	bed_message(b, 2, &primary); /* and returns */
	k = bed_client(2);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(bed_last_sent(b)->to.identity, 2);
	primary.wildcard.ttl = 0;
	bed_message(b, 2, &primary); /* deleted this time */
	k = bed_client(3);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(bed_last_sent(b)->to.identity, 1);
	bed_free(b);
}
END_TEST

/* Manager n's fixed affinity for flow k, to that server. */
static void fix(struct bed *b, unsigned n, const struct flow_key *k, uint32_t backup, const char *server, uint32_t ttl)
{
	struct wire_msg m = bed_fixed(k, ttl);

	bed_nat(&m, WIRE_NAT_DST, server, 0);
	bed_backup(&m, backup);
	bed_message(b, n, &m);
}

START_TEST(test_PREC_4_backups_fixed_affinity_takes_over_by_itself)
{
	struct bed *b = bed_new();
	struct wire_msg primary = bed_service(), backup = bed_service();
	struct flow_key k = bed_client(1);

	bed_backup(&primary, 1);
	bed_backup(&backup, 2);
	bed_message(b, 2, &primary);
	bed_message(b, 1, &backup);
	fix(b, 1, &k, 2, "10.0.20.12", 60);
	fix(b, 2, &k, 1, "10.0.20.11", 10);
	bed_packet(b, &k, ACK, 0);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 80);
	bed_wait(b, 12000);
	bed_packet(b, &k, ACK, 0);
	bed_went_to(bed_last_forwarded(b), "10.0.20.12", 80);
	ck_counter(b, PUNTS, 0);
	fix(b, 2, &k, 1, "10.0.20.11", 60);
	bed_packet(b, &k, ACK, 0);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 80);
	fix(b, 2, &k, 1, "10.0.20.11", 0);
	bed_packet(b, &k, ACK, 0);
	bed_went_to(bed_last_forwarded(b), "10.0.20.12", 80);
	bed_free(b);
}
END_TEST

START_TEST(test_SM_11_FIX_7_flow_fixed_by_the_backup_survives_the_primarys_return)
{
	struct bed *b = bed_new();
	struct wire_msg primary = bed_service(), backup = bed_service();
	struct flow_key k = bed_client(1);

	bed_backup(&primary, 1);
	bed_backup(&backup, 2);
	bed_message(b, 1, &backup);
	fix(b, 1, &k, 2, "10.0.20.12", 60);
	bed_packet(b, &k, ACK, 0);
	bed_message(b, 2, &primary);
	bed_packet(b, &k, ACK, 0);
	bed_went_to(bed_last_forwarded(b), "10.0.20.12", 80);
	ck_assert_uint_eq(b->sent_count, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_7_cookie_says_where_to_resume)
{
	struct bed *b = bed_new();
	struct wire_msg one = at(1, true), two = at(2, true), three = at(3, true), back;
	struct flow_key k = bed_client(1);

	/* One manager, three precedences: its best match alone would not tell. */
	bed_message(b, 1, &one);
	bed_message(b, 1, &two);
	bed_message(b, 1, &three);
	bed_packet(b, &k, SYN, 0);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(b->sent_count, i + 1);
		ck_assert_uint_eq(b->forwarded_count, 0);
		wire_start(&back, WIRE_PACKET);
		bed_return(&back, &b->sent[i]);
		bed_message(b, 1, &back);
	}
	ck_assert_uint_eq(b->sent_count, 3);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_7_without_a_cookie_after_the_managers_best_match)
{
	struct bed *b = bed_new();
	struct wire_msg one = at(1, true), two = at(2, true), three = at(3, true), back;
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &one);
	bed_message(b, 2, &two);
	bed_message(b, 3, &three);
	bed_packet(b, &k, SYN, 0);
	wire_start(&back, WIRE_PACKET);
	bed_return(&back, &b->sent[0]);
	bed_unset(&back, WIRE_SEG_FA_DATA);
	bed_message(b, 2, &back); /* the second manager sends it */
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[1].to.identity, 3);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_7_answer_without_cookie_or_precedence_skips_nobody)
{
	struct bed *b = bed_new();
	struct wire_msg one = at(1, true), two = at(2, true), m;
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &one);
	bed_message(b, 2, &two);
	bed_packet(b, &k, SYN, 0);
	m = bed_fixed(&k, 0);
	bed_return(&m, &b->sent[0]);
	bed_unset(&m, WIRE_SEG_FA_DATA);
	bed_message(b, 1, &m); /* ranks last, but its sender was asked at 1 */
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[1].to.identity, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_7_stranger_cannot_make_a_packet_skip_the_others)
{
	struct bed *b = bed_new();
	struct wire_msg one = at(1, true), back;
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &one);
	bed_packet(b, &k, SYN, 0);
	wire_start(&back, WIRE_PACKET);
	bed_return(&back, &b->sent[0]);
	bed_unset(&back, WIRE_SEG_FA_DATA);
	bed_message(b, 2, &back); /* a manager without a wildcard here */
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[1].to.identity, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_9_ties_by_mask_bits_then_identity)
{
	struct bed *b = bed_new();
	struct wire_msg wide = bed_service(), narrow = bed_service(), twin = bed_service();
	struct flow_key k = bed_client(1);

	memset(wide.wildcard.dst_mask + 3, 0, 1);
	wide.wildcard.dst[3] = 0;
	bed_message(b, 1, &wide);
	bed_message(b, 3, &narrow);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(bed_last_sent(b)->to.identity, 3);
	bed_message(b, 2, &twin);
	k = bed_client(2);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(bed_last_sent(b)->to.identity, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_10_new_wildcard_acts_on_flows_that_have_plans)
{
	struct bed *b = bed_new();
	struct wire_msg balancer = at(5, true), filter = at(1, false), statistics = at(2, true), m;
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &balancer);
	m = bed_fixed(&k, 60);
	bed_precedence(&m, 5);
	bed_nat(&m, WIRE_NAT_DST, "10.0.20.11", 0);
	bed_message(b, 1, &m);
	bed_packet(b, &k, ACK, 1);
	bed_message(b, 2, &statistics); /* a better one that asks: only its manager is asked */
	bed_packet(b, &k, ACK, 2);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].to.identity, 2);
	m = answer_at(2, &b->sent[0], 60);
	bed_message(b, 2, &m);
	ck_assert_uint_eq(b->sent_count, 1);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 80);
	bed_dispatch(&filter, NULL);
	bed_message(b, 3, &filter);
	bed_packet(b, &k, ACK, 3);
	ck_assert_uint_eq(b->forwarded_count, 2);
	filter.wildcard.ttl = 0;
	bed_message(b, 3, &filter);
	bed_packet(b, &k, ACK, 4);
	ck_assert_uint_eq(b->forwarded_count, 3);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_8_more_precedences_than_a_plan_has_steps_are_counted)
{
	struct bed *b = bed_new();
	struct flow_key k = bed_client(1);

	for (uint32_t i = 0; i < PLAN_MAX_STEPS + 2; i++) {
		struct wire_msg m = at(i, false);

		bed_nat(&m, WIRE_NAT_DPORT, NULL, (uint16_t)(8000 + i));
		bed_message(b, 1, &m);
	}
	bed_packet(b, &k, SYN, 0);
	bed_went_to(bed_last_forwarded(b), VIP, 8000 + PLAN_MAX_STEPS - 1);
	ck_counter(b, RANKS_IGNORED, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_7_answer_without_cookie_skips_nobody_after_its_own_precedence)
{
	struct bed *b = bed_new();
	struct wire_msg two = at(2, true), three = at(3, true), m;
	struct flow_key k = bed_client(1);

	bed_message(b, 2, &two);
	bed_message(b, 1, &three);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent[0].to.identity, 2);
	m = answer_at(1, &b->sent[0], 0); /* of the other manager, better than where it matches */
	bed_unset(&m, WIRE_SEG_FA_DATA);
	bed_message(b, 1, &m);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[1].to.identity, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_4_update_that_changes_the_backup_alone_takes_effect)
{
	struct bed *b = bed_new();
	struct wire_msg first = bed_service(), second = bed_service();
	struct flow_key k = bed_client(1);

	bed_backup(&first, 1);
	bed_backup(&second, 2);
	bed_message(b, 1, &first);
	bed_message(b, 2, &second);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(bed_last_sent(b)->to.identity, 1);
	bed_backup(&first, 3); /* steps back behind the other */
	bed_message(b, 1, &first);
	k = bed_client(2);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(bed_last_sent(b)->to.identity, 2);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 2);
	bed_free(b);
}
END_TEST

/* ---- very many live flows ---- */

#define MANY 100000u
#define SOME 20000u /* where each costs several messages, through the codec and back */

static struct flow_key one_of_many(unsigned i)
{
	struct flow_key k = bed_client((uint16_t)(1 + i % 50000));

	k.src[3] = (uint8_t)(1 + i / 50000);
	return k;
}

/* Manager 2 has balanced all of them; its own wildcard would ask it again. */
static struct bed *many_flows(unsigned n)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg service = at(100, true);
	struct bed *b;

	conf.max_fixed = 2 * MANY;
	conf.hold.flows = MANY;
	conf.hold.bytes = 64u << 20;
	b = bed_new_with(&conf);
	bed_message(b, 2, &service);
	for (unsigned i = 0; i < n; i++) {
		struct flow_key k = one_of_many(i);
		struct wire_msg m = bed_fixed(&k, 3600);

		bed_precedence(&m, 100);
		bed_nat(&m, WIRE_NAT_DST, "10.0.20.11", 0);
		bed_message(b, 2, &m);
		bed_packet(b, &k, ACK, 0);
		bed_clear(b);
	}
	ck_counter(b, FORWARDED, n);
	ck_counter(b, PUNTS, 0);
	return b;
}

START_TEST(test_PREC_10_PREC_5_filter_drops_a_hundred_thousand_live_flows_at_once)
{
	struct bed *b = many_flows(MANY);
	struct wire_msg filter = at(10, false);

	bed_dispatch(&filter, NULL);
	bed_message(b, 1, &filter);
	for (unsigned i = 0; i < MANY; i++) {
		struct flow_key k = one_of_many(i);

		bed_packet(b, &k, ACK, 0);
	}
	ck_assert_uint_eq(b->sent_count, 0);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, DROP_AFFINITY, MANY);
	filter.wildcard.ttl = 0;
	bed_message(b, 1, &filter);
	for (unsigned i = 0; i < MANY; i++) {
		struct flow_key k = one_of_many(i);

		bed_packet(b, &k, ACK, 0);
		bed_went_to(bed_last_forwarded(b), "10.0.20.11", 80);
		ck_assert_uint_eq(b->sent_count, 0);
		bed_clear(b);
	}
	ck_counter(b, FORWARDED, 2 * MANY);
	bed_free(b);
}
END_TEST

START_TEST(test_PREC_10_PREC_5_filter_that_asks_asks_once_a_flow_and_nobody_else)
{
	struct bed *b = many_flows(SOME);
	struct wire_msg filter = at(10, true);

	bed_message(b, 1, &filter);
	for (unsigned i = 0; i < SOME; i++) {
		struct flow_key k = one_of_many(i);
		struct wire_msg m;

		bed_packet(b, &k, ACK, 0);
		ck_assert_uint_eq(b->sent_count, 1);
		ck_assert_uint_eq(b->sent[0].to.identity, 1);
		bed_packet(b, &k, ACK, 1); /* waits for that answer */
		ck_assert_uint_eq(b->sent_count, 1);
		if (i % 2) { /* the others are asked about and not answered yet */
			m = answer_at(10, &b->sent[0], 3600);
			bed_message(b, 1, &m);
			ck_assert_uint_eq(b->sent_count, 1);
			ck_assert_uint_eq(b->forwarded_count, 2);
			bed_went_to(bed_last_forwarded(b), "10.0.20.11", 80);
		}
		bed_clear(b);
	}
	ck_counter(b, PUNTS, SOME);
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_set_timeout(t, 180); /* the last two; with sanitizers they take seconds */
	tcase_add_test(t, test_PREC_1_best_first_in_either_search_order);
	tcase_add_test(t, test_PREC_9_absent_precedence_is_the_worst);
	tcase_add_test(t, test_PREC_2_PREC_5_managers_cascade_without_knowing_of_each_other);
	tcase_add_test(t, test_PREC_3_PREC_8_edits_compose_and_a_later_one_wins_its_field);
	tcase_add_test(t, test_PREC_6_dispatch_or_drop_ends_the_cascade);
	tcase_add_test(t, test_PREC_4_backup_is_ignored_until_the_primary_is_gone);
	tcase_add_test(t, test_PREC_4_backups_fixed_affinity_takes_over_by_itself);
	tcase_add_test(t, test_SM_11_FIX_7_flow_fixed_by_the_backup_survives_the_primarys_return);
	tcase_add_test(t, test_PREC_7_cookie_says_where_to_resume);
	tcase_add_test(t, test_PREC_7_without_a_cookie_after_the_managers_best_match);
	tcase_add_test(t, test_PREC_7_answer_without_cookie_or_precedence_skips_nobody);
	tcase_add_test(t, test_PREC_7_stranger_cannot_make_a_packet_skip_the_others);
	tcase_add_test(t, test_PREC_9_ties_by_mask_bits_then_identity);
	tcase_add_test(t, test_PREC_10_new_wildcard_acts_on_flows_that_have_plans);
	tcase_add_test(t, test_PREC_8_more_precedences_than_a_plan_has_steps_are_counted);
	tcase_add_test(t, test_PREC_7_answer_without_cookie_skips_nobody_after_its_own_precedence);
	tcase_add_test(t, test_PREC_4_update_that_changes_the_backup_alone_takes_effect);
	tcase_add_test(t, test_PREC_10_PREC_5_filter_drops_a_hundred_thousand_live_flows_at_once);
	tcase_add_test(t, test_PREC_10_PREC_5_filter_that_asks_asks_once_a_flow_and_nobody_else);
}

int main(void)
{
	return bed_main("engine_precedence", add);
}
