/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what fixed updates change in the engine: storing, expiry, cover,
 * enclosed packets, refresh requests.
 */
#include "fad/engine_fixture.h"

#define CLIENT "198.51.100.7"

static const struct fixed *stored(const struct bed *b)
{
	const struct flow *f = fixtab_next(engine_fixed(b->e), NULL);

	return f ? f->fixed : NULL;
}

/* A bed with the service of manager 1. */
static struct bed *serving(void)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service();

	bed_message(b, 1, &service);
	return b;
}

START_TEST(test_FIX_1_holds_what_was_said)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg m = bed_fixed(&k, 30);

	bed_dispatch(&m, "10.0.20.12");
	m.fixed.flags |= WIRE_FLAG_INFORMATION;
	bed_nat(&m, WIRE_NAT_SPORT, NULL, 4000);
	bed_interest(&m, WIRE_INTEREST_FIN, 0, 0, 0);
	bed_message(b, 1, &m);
	ck_assert_mem_eq(&stored(b)->flow->key, &k, sizeof(k));
	ck_assert_uint_eq(stored(b)->a.flags, WIRE_FLAG_DISPATCH | WIRE_FLAG_INFORMATION);
	ck_assert(addr_equal(&stored(b)->a.forward, &m.fixed.forward));
	ck_assert_uint_eq(stored(b)->a.ttl_s, 30);
	ck_assert_uint_eq(stored(b)->a.edit.sport, 4000);
	ck_assert_uint_eq(stored(b)->a.interest_count, 1);
	ck_assert_int_eq(b->flows, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_5_expires_within_two_seconds)
{
	for (uint32_t ttl = 1; ttl < 8; ttl++) {
		struct bed *b = serving();
		struct flow_key k = bed_client(1);
		struct wire_msg m = bed_fixed(&k, ttl);

		bed_wait(b, ttl * 137);
		bed_message(b, 1, &m);
		bed_wait(b, ttl * 1000 - 50);
		ck_assert_ptr_nonnull(stored(b));
		bed_wait(b, 2050);
		ck_assert_ptr_null(stored(b));
		ck_counter(b, FIXED_EXPIRED, 1);
		ck_assert_int_eq(b->flows, 0);
		bed_free(b);
	}
}
END_TEST

START_TEST(test_FIX_5_update_extends_the_life)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg m = bed_fixed(&k, 5);

	bed_message(b, 1, &m);
	for (int i = 0; i < 5; i++) {
		bed_wait(b, 4000);
		ck_assert_ptr_nonnull(stored(b));
		bed_message(b, 1, &m);
	}
	ck_counter(b, FIXED_ADDED, 1);
	ck_counter(b, FIXED_UPDATED, 5);
	bed_wait(b, 7000);
	ck_assert_ptr_null(stored(b));
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_5_ttl_zero_is_not_kept_and_removes)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg m = bed_fixed(&k, 0);

	bed_message(b, 1, &m);
	ck_assert_ptr_null(stored(b));
	m.fixed.ttl = 60;
	bed_message(b, 1, &m);
	ck_assert_ptr_nonnull(stored(b));
	m.fixed.ttl = 0;
	bed_message(b, 1, &m);
	ck_assert_ptr_null(stored(b));
	ck_counter(b, FIXED_DELETED, 1);
	ck_counter(b, DENIES, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_5_change_takes_effect_on_the_next_packet)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg m = bed_fixed(&k, 60);

	bed_nat(&m, WIRE_NAT_DST, "10.0.20.11", 0);
	bed_message(b, 1, &m);
	bed_packet(b, &k, ACK, 1);
	m.nat_count = 0;
	bed_nat(&m, WIRE_NAT_DST, "10.0.20.13", 0);
	bed_message(b, 1, &m);
	bed_packet(b, &k, ACK, 2);
	bed_went_to(&b->forwarded[0], "10.0.20.11", 80);
	bed_went_to(&b->forwarded[1], "10.0.20.13", 80);
	ck_assert_uint_eq(stored(b)->a.packets, 2); /* what was counted stays */
	m = bed_fixed(&k, 0);
	bed_message(b, 1, &m);
	bed_packet(b, &k, ACK, 3);
	ck_assert_uint_eq(b->forwarded_count, 2);
	ck_counter(b, PUNTS, 1); /* back to the wildcard */
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_6_uncovered_is_denied)
{
	struct bed *b = serving();
	struct flow_key k = bed_key(IPPROTO_TCP, CLIENT, 1, "192.0.2.99", 80), covered = bed_client(1);
	struct wire_msg m = bed_fixed(&k, 60);
	const struct wire_msg *d;

	m.fa_data = (struct wire_blob){(const uint8_t *)"fa", 2};
	wire_set(&m, WIRE_SEG_FA_DATA, false);
	bed_message(b, 1, &m);
	d = &bed_last_sent(b)->m;
	ck_assert_int_eq(d->h.type, WIRE_DENY);
	ck_assert_uint_eq(d->error.code, WIRE_ERROR_NOT_COVERED);
	ck_assert_mem_eq(&d->fixed.key, &k, sizeof(k));
	ck_assert_mem_eq(d->fa_data.data, "fa", 2);
	ck_assert_uint_eq(bed_last_sent(b)->to.identity, 1);
	ck_assert_ptr_null(stored(b));
	m = bed_fixed(&covered, 60);
	bed_message(b, 2, &m); /* covered by a wildcard, but another manager's */
	ck_assert_uint_eq(bed_last_sent(b)->m.error.code, WIRE_ERROR_NOT_COVERED);
	ck_assert_ptr_null(stored(b));
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_6_uncovered_is_taken_where_configured)
{
	struct engine_conf conf = bed_conf();
	struct flow_key k = bed_client(1);
	struct wire_msg m = bed_fixed(&k, 60);
	struct bed *b;

	conf.accept_uncovered = true;
	b = bed_new_with(&conf);
	bed_message(b, 1, &m);
	ck_assert_ptr_nonnull(stored(b));
	ck_assert_uint_eq(b->sent_count, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_6_outlives_its_wildcard)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg m = bed_fixed(&k, 60), gone = bed_service();

	bed_nat(&m, WIRE_NAT_DST, "10.0.20.11", 0);
	bed_message(b, 1, &m);
	bed_packet(b, &k, ACK, 1); /* a plan is made, with the wildcard around */
	gone.wildcard.ttl = 0;
	bed_message(b, 1, &gone);
	ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 0);
	bed_packet(b, &k, ACK, 2);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 80);
	m = bed_fixed(&k, 0);
	bed_message(b, 1, &m); /* and can be deleted without one */
	ck_assert_ptr_null(stored(b));
	ck_counter(b, DENIES, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_7_overrides_the_wildcard_of_its_precedence)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1), other = bed_client(2);
	struct wire_msg m = bed_fixed(&k, 60), drop = bed_wildcard("203.0.113.10", 80);

	bed_dispatch(&drop, NULL);
	bed_message(b, 1, &drop); /* in place of the one that asks */
	bed_dispatch(&m, "10.0.20.11");
	bed_message(b, 1, &m);
	bed_packet(b, &k, ACK, 0);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_packet(b, &other, ACK, 0);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_8_enclosed_packet_goes_with_ttl_zero)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg answer;

	bed_packet(b, &k, SYN, 0);
	answer = bed_answer(&b->sent[0], 0);
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_went_to(&b->forwarded[0], "10.0.20.11", 8080);
	ck_assert_ptr_null(stored(b));
	bed_packet(b, &k, ACK, 0); /* decided for one packet only */
	ck_assert_uint_eq(b->sent_count, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_8_answer_for_one_packet_leaves_the_plan_of_its_flow_alone)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg other = bed_wildcard("203.0.113.10", 80), m;

	bed_precedence(&other, 1);
	bed_message(b, 2, &other);
	m = bed_fixed(&k, 60); /* the flow has a plan, by another manager */
	bed_precedence(&m, 1);
	bed_message(b, 2, &m);
	for (size_t i = 1; i <= 2; i++) {
		bed_packet(b, &k, ACK, 0);
		ck_assert_uint_eq(b->sent_count, i);
		m = bed_answer(&b->sent[i - 1], 0);
		bed_message(b, 1, &m);
		ck_assert_uint_eq(b->forwarded_count, i);
		bed_went_to(bed_last_forwarded(b), "10.0.20.11", 8080);
	}
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_8_packet_in_a_denied_update_is_dropped_by_name)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg answer;

	bed_packet(b, &k, SYN, 0);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 2, &answer);
	ck_counter(b, DROP_DENIED, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_assert_int_eq(bed_last_sent(b)->m.h.type, WIRE_DENY);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_8_packet_of_another_flow_is_dropped_by_name)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1), other = bed_client(2);
	struct wire_msg answer;

	bed_packet(b, &k, SYN, 0);
	answer = bed_answer(&b->sent[0], 60);
	answer.fixed.key = other;
	bed_message(b, 1, &answer);
	ck_counter(b, DROP_MISMATCH, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_8_enclosed_garbage_is_dropped_by_name)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	uint8_t garbage[60];
	struct wire_msg answer;

	bed_packet(b, &k, SYN, 0);
	answer = bed_answer(&b->sent[0], 60);
	for (unsigned header = 0x40; header < 0x50; header++) {
		memset(garbage, 0xff, sizeof(garbage));
		garbage[0] = (uint8_t)header;
		answer.packet = (struct wire_blob){garbage, sizeof(garbage)};
		bed_message(b, 1, &answer);
	}
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, DROP_MALFORMED, 16);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_9_one_refresh_from_half_the_life_on)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg m = bed_fixed(&k, 20);
	const struct wire_msg *r;

	m.sm_data = (struct wire_blob){(const uint8_t *)"mine", 4};
	wire_set(&m, WIRE_SEG_SM_DATA, false);
	bed_message(b, 1, &m);
	bed_wait(b, 9950);
	bed_packet(b, &k, ACK, 1);
	ck_assert_uint_eq(b->sent_count, 0);
	bed_wait(b, 50);
	ck_assert_uint_eq(b->sent_count, 0); /* an idle flow asks for nothing */
	for (size_t i = 0; i < 5; i++)
		bed_packet(b, &k, ACK, 1);
	ck_assert_uint_eq(b->sent_count, 1);
	r = &b->sent[0].m;
	ck_assert_int_eq(r->h.type, WIRE_REFRESH);
	ck_assert_mem_eq(&r->identifier.key, &k, sizeof(k));
	ck_assert_mem_eq(r->sm_data.data, "mine", 4);
	ck_assert(!wire_has(r, WIRE_SEG_IP_PACKET));
	ck_assert_uint_eq(b->forwarded_count, 6); /* nothing stalled */
	bed_message(b, 1, &m);
	bed_packet(b, &k, ACK, 1);
	ck_assert_uint_eq(b->sent_count, 1);
	bed_wait(b, 10000); /* and again for its next life */
	bed_packet(b, &k, ACK, 1);
	ck_assert_uint_eq(b->sent_count, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_9_refresh_that_could_not_be_sent_is_tried_again)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg m = bed_fixed(&k, 20);

	bed_message(b, 1, &m);
	bed_wait(b, 11000);
	b->refuse_send = true;
	bed_packet(b, &k, ACK, 1);
	b->refuse_send = false;
	bed_packet(b, &k, ACK, 1);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_counter(b, REFRESHES, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_full_table_denies_and_says_so)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg service = bed_service(), m;
	struct flow_key k;
	struct bed *b;

	conf.max_fixed = 3;
	b = bed_new_with(&conf);
	bed_message(b, 1, &service);
	for (uint16_t i = 1; i <= 4; i++) {
		k = bed_client(i);
		m = bed_fixed(&k, 60);
		bed_message(b, 1, &m);
	}
	ck_counter(b, FIXED_NO_ROOM, 1);
	ck_assert_uint_eq(bed_last_sent(b)->m.error.code, WIRE_ERROR_NO_ROOM);
	ck_assert_uint_eq(fixtab_count(engine_fixed(b->e)), 3);
	ck_assert_uint_eq(engine_managers(b->e)->fixed, 3);
	k = bed_client(1);
	m = bed_fixed(&k, 0);
	bed_message(b, 1, &m);
	b->refuse_flow = true; /* the kernel's map may be full, too */
	m = bed_fixed(&k, 60);
	bed_message(b, 1, &m);
	ck_counter(b, FIXED_NO_ROOM, 2);
	ck_assert_uint_eq(engine_managers(b->e)->fixed, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_MSG_10_data_of_both_sides_comes_back_untouched)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(1);
	uint8_t data[WIRE_MAX_OPAQUE];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	service.sm_data = (struct wire_blob){data, sizeof(data)};
	wire_set(&service, WIRE_SEG_SM_DATA, false);
	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent[0].m.sm_data.len, sizeof(data));
	ck_assert_mem_eq(b->sent[0].m.sm_data.data, data, sizeof(data));
	answer = bed_answer(&b->sent[0], 60);
	bed_interest(&answer, WIRE_INTEREST_FIN, 0, 0, 0);
	answer.sm_data = (struct wire_blob){data, 3};
	wire_set(&answer, WIRE_SEG_SM_DATA, false);
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->forwarded[0].p.ifindex, 7); /* by the agent's own data */
	bed_packet(b, &k, FIN | ACK, 0);
	ck_assert_uint_eq(bed_last_sent(b)->m.sm_data.len, 3);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_8_packet_in_an_uncovered_update_of_ttl_zero_is_denied)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg answer;

	bed_packet(b, &k, SYN, 0);
	answer = bed_answer(&b->sent[0], 0);
	bed_message(b, 2, &answer); /* no wildcard of this manager: not even for one packet */
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_int_eq(b->sent[1].m.h.type, WIRE_DENY);
	ck_assert_uint_eq(b->sent[1].m.error.code, WIRE_ERROR_NOT_COVERED);
	ck_assert_uint_eq(b->sent[1].to.identity, 2);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, DROP_DENIED, 1);
	bed_free(b);
}
END_TEST

/* What is dispatched does not pass the kernel's own look at it. */
START_TEST(test_FA_7_enclosed_packet_with_a_wrong_header_checksum_is_dropped_by_name)
{
	struct bed *b = serving();
	struct flow_key k = bed_client(1);
	struct wire_msg answer;
	uint8_t bad[128];

	bed_packet(b, &k, SYN, 0);
	answer = bed_answer(&b->sent[0], 60);
	memcpy(bad, answer.packet.data, answer.packet.len);
	bad[8]--; /* hop limit */
	answer.packet.data = bad;
	bed_message(b, 1, &answer);
	ck_counter(b, DROP_MALFORMED, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_assert_ptr_nonnull(stored(b)); /* the affinity itself is fine */
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_FIX_1_holds_what_was_said);
	tcase_add_test(t, test_FIX_5_expires_within_two_seconds);
	tcase_add_test(t, test_FIX_5_update_extends_the_life);
	tcase_add_test(t, test_FIX_5_ttl_zero_is_not_kept_and_removes);
	tcase_add_test(t, test_FIX_5_change_takes_effect_on_the_next_packet);
	tcase_add_test(t, test_FIX_6_uncovered_is_denied);
	tcase_add_test(t, test_FIX_6_uncovered_is_taken_where_configured);
	tcase_add_test(t, test_FIX_6_outlives_its_wildcard);
	tcase_add_test(t, test_FIX_7_overrides_the_wildcard_of_its_precedence);
	tcase_add_test(t, test_FIX_8_enclosed_packet_goes_with_ttl_zero);
	tcase_add_test(t, test_FIX_8_answer_for_one_packet_leaves_the_plan_of_its_flow_alone);
	tcase_add_test(t, test_FIX_8_packet_in_a_denied_update_is_dropped_by_name);
	tcase_add_test(t, test_FIX_8_packet_of_another_flow_is_dropped_by_name);
	tcase_add_test(t, test_FIX_8_enclosed_garbage_is_dropped_by_name);
	tcase_add_test(t, test_FIX_9_one_refresh_from_half_the_life_on);
	tcase_add_test(t, test_FIX_9_refresh_that_could_not_be_sent_is_tried_again);
	tcase_add_test(t, test_full_table_denies_and_says_so);
	tcase_add_test(t, test_MSG_10_data_of_both_sides_comes_back_untouched);
	tcase_add_test(t, test_FIX_8_packet_in_an_uncovered_update_of_ttl_zero_is_denied);
	tcase_add_test(t, test_FA_7_enclosed_packet_with_a_wrong_header_checksum_is_dropped_by_name);
}

int main(void)
{
	return bed_main("engine_fixed", add);
}
