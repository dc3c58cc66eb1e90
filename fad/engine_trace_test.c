/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of traces: they say what the engine then does, and change nothing.
 */
#include "fad/engine_fixture.h"
#include "fad/engine_trace.h"

static const char *const server = "10.0.20.11";

/* Trace, and see that nothing was changed, sent or counted. */
static void trace(struct bed *b, const struct flow_key *k, uint8_t flags, struct engine_trace *t)
{
	uint64_t before[ENGINE_COUNTER_COUNT];
	size_t sent = b->sent_count, forwarded = b->forwarded_count, held = hold_flows(engine_hold(b->e));

	memcpy(before, engine_counters(b->e), sizeof(before));
	engine_trace(b->e, k, false, flags, false, t);
	ck_assert_mem_eq(before, engine_counters(b->e), sizeof(before));
	ck_assert_uint_eq(sent, b->sent_count);
	ck_assert_uint_eq(forwarded, b->forwarded_count);
	ck_assert_uint_eq(held, hold_flows(engine_hold(b->e)));
}

START_TEST(test_FA_1_unmatched_is_untouched)
{
	struct bed *b = bed_new();
	struct flow_key k = bed_client(4000);
	struct engine_trace t;

	trace(b, &k, SYN, &t);
	ck_assert_uint_eq(t.count, 0);
	ck_assert_int_eq(t.outcome, TRACE_UNMATCHED);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_3_advertised_and_unmatched_is_dropped)
{
	struct bed *b = bed_new();
	struct flow_key other = bed_key(IPPROTO_TCP, "198.51.100.7", 4000, "203.0.113.10", 81);
	struct wire_msg m = bed_service();
	struct engine_trace t;

	m.advertise[m.advertise_count++] = (struct wire_advertise){.addr = bed_addr("203.0.113.10"), .plen = 32};
	wire_set(&m, WIRE_SEG_ADVERTISE, true);
	bed_message(b, 1, &m);
	trace(b, &other, SYN, &t);
	ck_assert_int_eq(t.outcome, TRACE_ADVERTISED);
	bed_packet(b, &other, SYN, 0);
	ck_counter(b, DROP_ADVERTISED, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_punt_then_hold_then_forward)
{
	struct bed *b = bed_new();
	struct flow_key k = bed_client(4000);
	struct wire_msg m = bed_service(), answer;
	struct engine_trace t;
	struct addr to = bed_addr(server);

	bed_message(b, 1, &m);
	trace(b, &k, SYN, &t);
	ck_assert_int_eq(t.outcome, TRACE_PUNTED);
	ck_assert_uint_eq(t.count, 1);
	ck_assert_int_eq(t.matches[0].part, TRACE_ASKS);
	ck_assert_ptr_eq(t.decider, t.matches[0].a);

	bed_packet(b, &k, SYN, 0);
	ck_counter(b, PUNTS, 1);
	trace(b, &k, SYN, &t);
	ck_assert_int_eq(t.outcome, TRACE_HELD);
	ck_assert_ptr_nonnull(t.held);
	ck_assert_int_eq(t.matches[0].part, TRACE_ASKS);

	answer = bed_answer(bed_last_sent(b), 60);
	bed_message(b, 1, &answer);
	trace(b, &k, ACK, &t);
	ck_assert_int_eq(t.outcome, TRACE_FORWARDED);
	ck_assert_mem_eq(t.after.dst, to.b, 16);
	ck_assert_uint_eq(t.after.dport, 8080);
	ck_assert_uint_eq(t.after.sport, 4000);
	bed_packet(b, &k, ACK, 0);
	bed_went_to(bed_last_forwarded(b), server, 8080);
	bed_free(b);
}
END_TEST

/* FIX-7: the fixed affinity acts, the wildcard of its precedence is in its shadow. */
START_TEST(test_FIX_7_fixed_shadows_wildcard)
{
	struct bed *b = bed_new();
	struct flow_key k = bed_client(4000);
	struct wire_msg m = bed_service(), f = bed_fixed(&k, 60);
	struct engine_trace t;

	bed_nat(&f, WIRE_NAT_DST, server, 0);
	bed_message(b, 1, &m);
	bed_message(b, 1, &f);
	trace(b, &k, SYN, &t);
	ck_assert_uint_eq(t.count, 2);
	ck_assert_ptr_null(t.matches[0].wildcard);
	ck_assert_int_eq(t.matches[0].part, TRACE_ACTS);
	ck_assert_ptr_nonnull(t.matches[1].wildcard);
	ck_assert_int_eq(t.matches[1].part, TRACE_SHADOWED);
	bed_free(b);
}
END_TEST

/* PREC-3, PREC-8: two precedences compose, lower first, and each manager is named. */
START_TEST(test_PREC_3_precedences_in_order)
{
	struct bed *b = bed_new();
	struct flow_key k = bed_client(4000);
	struct wire_msg first = bed_wildcard("203.0.113.10", 80), second = first;
	struct addr to = bed_addr(server);
	struct engine_trace t;

	bed_precedence(&first, 10);
	bed_nat(&first, WIRE_NAT_DPORT, NULL, 8080);
	bed_precedence(&second, 20);
	bed_nat(&second, WIRE_NAT_DST, server, 0);
	bed_message(b, 2, &second);
	bed_message(b, 1, &first);
	trace(b, &k, SYN, &t);
	ck_assert_uint_eq(t.count, 2);
	ck_assert_uint_eq(t.matches[0].a->rank, 10);
	ck_assert_uint_eq(t.matches[0].a->manager->peer.identity, 1);
	ck_assert_uint_eq(t.matches[1].a->rank, 20);
	ck_assert_int_eq(t.matches[0].part, TRACE_ACTS);
	ck_assert_int_eq(t.matches[1].part, TRACE_ACTS);
	ck_assert_int_eq(t.outcome, TRACE_FORWARDED);
	ck_assert_mem_eq(t.after.dst, to.b, 16);
	ck_assert_uint_eq(t.after.dport, 8080);
	bed_free(b);
}
END_TEST

/* PREC-6: what sends a packet away ends the cascade; FIX-3: to nowhere is a drop. */
START_TEST(test_PREC_6_dispatch_ends_the_cascade_FIX_3)
{
	struct bed *b = bed_new();
	struct flow_key k = bed_client(4000);
	struct wire_msg first = bed_wildcard("203.0.113.10", 80), second = bed_service();
	struct engine_trace t;

	bed_precedence(&first, 10);
	bed_dispatch(&first, NULL);
	bed_precedence(&second, 20);
	bed_message(b, 1, &first);
	bed_message(b, 2, &second);
	trace(b, &k, SYN, &t);
	ck_assert_int_eq(t.outcome, TRACE_DROPPED);
	ck_assert_ptr_eq(t.decider, t.matches[0].a);
	ck_assert_int_eq(t.matches[1].part, TRACE_BEYOND);

	bed_dispatch(&first, "10.0.20.99");
	bed_message(b, 1, &first);
	trace(b, &k, SYN, &t);
	ck_assert_int_eq(t.outcome, TRACE_FORWARDED);
	ck_assert_uint_eq(t.next_hop.family, 4);
	bed_free(b);
}
END_TEST

/* ACT-6, ACT-7: interest by flags; a copy with the hold bit makes the packet wait. */
START_TEST(test_ACT_6_interest_by_flags_ACT_7)
{
	struct bed *b = bed_new();
	struct flow_key k = bed_client(4000);
	struct wire_msg m = bed_wildcard("203.0.113.10", 80);
	struct engine_trace t;

	bed_interest(&m, WIRE_INTEREST_SYN, 0, WIRE_INTEREST_SYN, WIRE_INTEREST_SYN);
	bed_message(b, 1, &m);
	trace(b, &k, SYN, &t);
	ck_assert_int_eq(t.outcome, TRACE_COPIED);
	trace(b, &k, ACK, &t);
	ck_assert_int_eq(t.outcome, TRACE_FORWARDED);
	bed_free(b);
}
END_TEST

/* A flow's plan as listed is the one that acts, also before a packet came. */
START_TEST(test_PREC_8_flow_plan)
{
	struct bed *b = bed_new();
	struct flow_key k = bed_client(4000);
	struct wire_msg m = bed_service(), f = bed_fixed(&k, 60);
	struct flow_plan plan;

	bed_nat(&f, WIRE_NAT_DST, server, 0);
	bed_message(b, 1, &m);
	bed_message(b, 1, &f);
	engine_flow_plan(b->e, fixtab_next(engine_fixed(b->e), NULL), &plan);
	ck_assert_uint_eq(plan.count, 1);
	ck_assert_uint_eq(plan.edit.set, PLAN_DST);
	ck_assert_uint_eq(fixtab_next(engine_fixed(b->e), NULL)->made_ms, b->now_ms);
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_FA_1_unmatched_is_untouched);
	tcase_add_test(t, test_ACT_3_advertised_and_unmatched_is_dropped);
	tcase_add_test(t, test_FA_9_punt_then_hold_then_forward);
	tcase_add_test(t, test_FIX_7_fixed_shadows_wildcard);
	tcase_add_test(t, test_PREC_3_precedences_in_order);
	tcase_add_test(t, test_PREC_6_dispatch_ends_the_cascade_FIX_3);
	tcase_add_test(t, test_ACT_6_interest_by_flags_ACT_7);
	tcase_add_test(t, test_PREC_8_flow_plan);
}

int main(void)
{
	return bed_main("engine_trace", add);
}
