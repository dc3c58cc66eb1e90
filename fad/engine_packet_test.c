/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of a packet's way through the engine: punt, hold, answer, translation,
 * dispatch, drop, super-packets, and packets that came back.
 */
#include "fad/engine_fixture.h"

#define VIP    "203.0.113.10"
#define CLIENT "198.51.100.7"

START_TEST(test_FA_1_fixed_then_wildcard_then_routing)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(1000), other = bed_key(IPPROTO_TCP, CLIENT, 1000, "192.0.2.99", 80);

	bed_message(b, 1, &service);
	bed_packet(b, &other, SYN, 0); /* neither: routed, untouched */
	bed_went_to(bed_last_forwarded(b), "192.0.2.99", 80);
	ck_counter(b, UNMATCHED, 1);
	bed_packet(b, &k, SYN, 0); /* a wildcard: asked about */
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_int_eq(b->sent[0].m.h.type, WIRE_MATCH_WILDCARD);
	ck_assert_uint_eq(b->forwarded_count, 1);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	bed_packet(b, &k, ACK, 100); /* a fixed one: not asked again */
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->forwarded_count, 3);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 8080);
	ck_assert(!bed_last_forwarded(b)->dispatched);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_1_ARCH_3_first_packet_seen_is_a_mid_flow_one)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(1000);

	bed_message(b, 1, &service);
	bed_packet(b, &k, ACK | PSH, 500);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].m.packet.len, 540);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 8080);
	ck_assert_uint_eq(bed_last_forwarded(b)->p.len, 540);
	ck_assert_uint_eq(bed_last_forwarded(b)->p.ifindex, 7); /* where it first came in: the cookie says it */
	bed_free(b);
}
END_TEST

START_TEST(test_KEY_1_reverse_flow_is_another_key)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), fixed;
	struct flow_key k = bed_client(1000), reverse = flow_key_reverse(&k);

	bed_message(b, 1, &service);
	fixed = bed_fixed(&k, 60);
	bed_dispatch(&fixed, NULL);
	bed_message(b, 1, &fixed);
	bed_packet(b, &reverse, ACK, 0);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_packet(b, &k, ACK, 0);
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_counter(b, DROP_AFFINITY, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_KEY_2_other_protocols_by_addresses_alone)
{
	struct bed *b = bed_new();
	struct wire_msg w = bed_wildcard(VIP, 0);
	struct flow_key k = bed_key(IPPROTO_ICMP, CLIENT, 0, VIP, 0);

	w.wildcard.proto = IPPROTO_ICMP;
	bed_interest(&w, PUNT_ALL, PUNT_ALL, 0, 0);
	bed_message(b, 1, &w);
	bed_packet(b, &k, 0, 56);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_mem_eq(&b->sent[0].m.identifier.key, &k, sizeof(k));
	ck_assert_uint_eq(b->sent[0].m.identifier.reasons, WIRE_INTEREST_ALL);
	bed_free(b);
}
END_TEST

START_TEST(test_KEY_3_ACT_1_IPv6_flow_is_translated)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_wildcard("2001:db8:113::10", 80), answer;
	struct flow_key k = bed_key(IPPROTO_TCP, "2001:db8:7::1", 1000, "2001:db8:113::10", 80);

	bed_interest(&service, PUNT_ALL, PUNT_ALL, 0, 0);
	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	answer = bed_fixed(&k, 60);
	bed_nat(&answer, WIRE_NAT_DST | WIRE_NAT_DPORT, "2001:db8:20::11", 8080);
	bed_nat(&answer, WIRE_NAT_SRC | WIRE_NAT_SPORT, "2001:db8:99::1", 5000);
	bed_return(&answer, &b->sent[0]);
	bed_message(b, 1, &answer);
	bed_packet(b, &k, ACK, 777);
	ck_assert_uint_eq(b->forwarded_count, 2);
	for (size_t i = 0; i < 2; i++) {
		bed_went_to(&b->forwarded[i], "2001:db8:20::11", 8080);
		ck_assert_uint_eq(b->forwarded[i].p.key.sport, 5000);
	}
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_1_unset_fields_stay_and_the_punt_is_unedited)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(1000);

	bed_nat(&service, WIRE_NAT_SRC, "192.0.2.1", 0); /* the wildcard's own translation */
	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	ck_assert_mem_eq(b->sent[0].m.packet.data + 12, k.src, 4); /* not applied to what the manager sees */
	answer = bed_fixed(&k, 0);
	bed_nat(&answer, WIRE_NAT_DPORT, NULL, 8080);
	bed_return(&answer, &b->sent[0]);
	bed_message(b, 1, &answer);
	bed_went_to(bed_last_forwarded(b), VIP, 8080);
	/* The fixed one stands in the wildcard's place (FIX-7): the source is as it was. */
	ck_assert_mem_eq(bed_last_forwarded(b)->p.key.src, k.src, 16);
	ck_assert_uint_eq(bed_last_forwarded(b)->p.key.sport, 1000);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_1_partial_checksum_stays_partial)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), fixed;
	struct flow_key k = bed_client(1000);
	struct packet p = {.ifindex = 7};
	struct bed_forwarded *f;
	size_t len = bed_write(b->packet, &k, ACK, 300);
	uint16_t partial = checksum_fold(checksum_pseudo(k.src, k.dst, 4, IPPROTO_TCP, 320));

	bed_message(b, 1, &service);
	fixed = bed_fixed(&k, 60);
	bed_nat(&fixed, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.11", 8080);
	bed_message(b, 1, &fixed);
	memcpy(b->packet + 36, &partial, 2);
	p.offload = (struct packet_offload){.partial = true, .csum_start = 20, .csum_offset = 16};
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
	f = &b->forwarded[0];
	ck_assert(f->p.offload.partial);
	partial = checksum_fold(checksum_pseudo(f->p.key.src, f->p.key.dst, 4, IPPROTO_TCP, 320));
	ck_assert_mem_eq(f->bytes + 36, &partial, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_2_dispatch_leaves_the_destination_alone)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), fixed;
	struct flow_key k = bed_client(1000);

	bed_message(b, 1, &service);
	fixed = bed_fixed(&k, 60);
	bed_dispatch(&fixed, "10.0.20.12");
	bed_message(b, 1, &fixed);
	bed_packet(b, &k, ACK, 10);
	ck_assert(b->forwarded[0].dispatched);
	ck_assert_mem_eq(b->forwarded[0].next_hop.b, ((uint8_t[]){10, 0, 20, 12}), 4);
	bed_went_to(&b->forwarded[0], VIP, 80);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_2_PREC_8_dispatch_keeps_what_earlier_ranks_made_of_the_destination)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), first, last;
	struct flow_key k = bed_client(1000);

	bed_message(b, 1, &service);
	last = bed_fixed(&k, 60);
	bed_dispatch(&last, "10.0.20.12");
	bed_nat(&last, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.13", 8080);
	bed_message(b, 1, &last);
	bed_packet(b, &k, ACK, 10);
	bed_went_to(&b->forwarded[0], VIP, 8080);
	first = bed_fixed(&k, 60);
	bed_precedence(&first, 1);
	bed_nat(&first, WIRE_NAT_DST, "10.0.20.11", 0);
	bed_message(b, 1, &first);
	bed_packet(b, &k, ACK, 10);
	bed_went_to(&b->forwarded[1], "10.0.20.11", 8080);
	ck_assert(b->forwarded[1].dispatched);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_3_zero_forward_drops_after_counting)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), fixed;
	struct flow_key k = bed_client(1000);
	struct fixed *x;

	bed_message(b, 1, &service);
	fixed = bed_fixed(&k, 60);
	bed_dispatch(&fixed, NULL);
	bed_message(b, 1, &fixed);
	bed_packet(b, &k, ACK, 60);
	bed_packet(b, &k, ACK, 60);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, DROP_AFFINITY, 2);
	x = fixtab_next(engine_fixed(b->e), NULL)->fixed;
	ck_assert_uint_eq(x->a.packets, 2);
	ck_assert_uint_eq(x->a.bytes, 200);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_4_information_flag_counts_by_forward_address)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), fixed;
	struct flow_key k[3] = {bed_client(1), bed_client(2), bed_client(3)};
	const struct forward_stat *s;
	struct addr server = bed_addr("10.0.20.11");

	bed_message(b, 1, &service);
	for (int i = 0; i < 3; i++) {
		fixed = bed_fixed(&k[i], 60);
		bed_nat(&fixed, WIRE_NAT_DST, "10.0.20.11", 0);
		fixed.fixed.flags = i < 2 ? WIRE_FLAG_INFORMATION : 0;
		bed_message(b, 1, &fixed);
		bed_packet(b, &k[i], ACK, 60);
	}
	s = engine_forwards(b->e);
	ck_assert_ptr_nonnull(s);
	ck_assert(addr_equal(&s->addr, &server));
	ck_assert_uint_eq(s->packets, 2); /* not the one without the flag */
	ck_assert_uint_eq(s->bytes, 200);
	ck_assert_ptr_null(s->hh.next);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_3_no_copy_of_a_punted_packet_is_kept)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service();
	struct flow_key k = bed_client(1000);

	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(hold_bytes(engine_hold(b->e)), 0);
	bed_wait(b, 2000); /* nothing to punt again; the next packet starts afresh */
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 0);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_later_packets_wait_and_follow_in_order)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(1000), other = bed_client(1001);

	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k, SYN, 0); /* the client repeats itself */
	for (size_t i = 1; i <= 5; i++)
		bed_packet(b, &k, ACK, i * 10);
	bed_packet(b, &other, SYN, 0); /* another flow does not wait for this one */
	ck_assert_uint_eq(b->sent_count, 2);
	ck_counter(b, HELD, 6);
	ck_assert_uint_eq(b->forwarded_count, 0);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->forwarded_count, 7);
	ck_assert_uint_eq(b->sent_count, 2);
	for (size_t i = 0; i < 7; i++) {
		bed_went_to(&b->forwarded[i], "10.0.20.11", 8080);
		ck_assert_uint_eq(b->forwarded[i].p.len, 40 + (i < 2 ? 0 : (i - 1) * 10));
	}
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 1);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_hold_is_bounded_and_drops_by_name)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg service = bed_service();
	struct flow_key k = bed_client(1000);
	struct bed *b;

	conf.hold.packets = 4;
	b = bed_new_with(&conf);
	bed_message(b, 1, &service);
	for (int i = 0; i < 10; i++)
		bed_packet(b, &k, ACK, 10);
	ck_counter(b, HELD, 4);
	ck_counter(b, DROP_HOLD_FULL, 5);
	ck_assert_uint_eq(b->sent_count, 1);
	bed_free(b);
}
END_TEST

/* As many questions are open as flows can wait: others are dropped by name, not asked about packet by packet. */
START_TEST(test_FA_9_no_more_questions_than_holds)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg service = bed_service(), answer;
	struct flow_key k[3] = {bed_client(1000), bed_client(1001), bed_client(1002)};
	struct bed *b;

	conf.hold.flows = 2;
	b = bed_new_with(&conf);
	bed_message(b, 1, &service);
	for (int i = 0; i < 30; i++)
		bed_packet(b, &k[i % 3], ACK, 10);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_counter(b, PUNTS, 2);
	ck_counter(b, HELD, 18);
	ck_counter(b, DROP_HOLD_FULL, 10);
	ck_assert_uint_eq(b->forwarded_count, 0);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	bed_packet(b, &k[2], ACK, 10); /* now there is room */
	ck_counter(b, PUNTS, 3);
	bed_free(b);
}
END_TEST

/* Nobody was asked, so nobody waits. */
START_TEST(test_FA_9_question_that_cannot_be_sent_holds_nothing)
{
	struct wire_msg service = bed_service();
	struct flow_key k = bed_client(1000);
	struct bed *b = bed_new();

	bed_message(b, 1, &service);
	b->refuse_send = true;
	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_UNSENDABLE, 2);
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 0);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_unanswered_punts_are_repeated_thrice_then_dropped_by_name)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service();
	struct flow_key k = bed_client(1000);

	bed_message(b, 1, &service);
	for (size_t i = 0; i < 6; i++)
		bed_packet(b, &k, ACK, i);
	bed_wait(b, 200);
	ck_assert_uint_eq(b->sent_count, 1);
	bed_wait(b, 50);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[1].m.packet.len, 41); /* the oldest that waits */
	bed_wait(b, 250);
	ck_assert_uint_eq(b->sent_count, 3);
	bed_wait(b, 5000);
	ck_assert_uint_eq(b->sent_count, 3);
	ck_counter(b, DROP_HOLD_TIMEOUT, 3);
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 0);
	ck_assert_uint_eq(hold_bytes(engine_hold(b->e)), 0);
	ck_assert_uint_eq(b->forwarded_count, 0); /* never routed untranslated */
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_held_packets_never_leave_untranslated_when_the_wildcard_goes)
{
	struct wire_msg m = bed_service();
	struct flow_key k = bed_client(1000);
	struct bed *b = bed_new();

	bed_message(b, 1, &m);
	for (size_t i = 0; i < 3; i++)
		bed_packet(b, &k, ACK, i); /* the first is punted */
	m.wildcard.ttl = 0;
	bed_message(b, 1, &m);
	bed_wait(b, 2000);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, DROP_HOLD_ORPHANED, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_held_packets_never_leave_untranslated_where_only_a_permit_is_left)
{
	struct wire_msg m = bed_service(), permit = bed_wildcard("203.0.113.10", 80);
	struct flow_key k = bed_client(1000);
	struct bed *b = bed_new();

	bed_precedence(&m, 100);
	bed_precedence(&permit, 50);
	bed_message(b, 1, &m);
	bed_message(b, 2, &permit);
	for (size_t i = 0; i < 3; i++)
		bed_packet(b, &k, ACK, i); /* the first is punted */
	m.wildcard.ttl = 0;
	bed_message(b, 1, &m);
	bed_wait(b, 2000);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, DROP_HOLD_ORPHANED, 2);
	bed_packet(b, &k, ACK, 7); /* nobody was asked about this one */
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_free(b);
}
END_TEST

static void went_in_this_order(const struct bed *b, size_t count, const uint32_t data[])
{
	ck_assert_uint_eq(b->forwarded_count, count);
	for (size_t i = 0; i < count; i++) {
		bed_went_to(&b->forwarded[i], "10.0.20.11", 8080);
		ck_assert_uint_eq(b->forwarded[i].p.len, 40 + data[i]);
	}
}

START_TEST(test_FA_9_late_answer_does_not_let_held_packets_overtake)
{
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(1000);
	struct bed *b = bed_new();

	bed_message(b, 1, &service);
	for (size_t i = 10; i <= 40; i += 10)
		bed_packet(b, &k, ACK, i);
	bed_wait(b, 300); /* the second is punted, too */
	ck_assert_uint_eq(b->sent_count, 2);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	bed_packet(b, &k, ACK, 50);
	went_in_this_order(b, 1, (const uint32_t[]){10});
	answer = bed_answer(&b->sent[1], 60);
	bed_message(b, 1, &answer);
	went_in_this_order(b, 5, (const uint32_t[]){10, 20, 30, 40, 50});
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_late_answers_and_then_none_lose_nothing_that_waits)
{
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(1000);
	struct bed *b = bed_new();

	bed_message(b, 1, &service);
	for (size_t i = 10; i <= 50; i += 10)
		bed_packet(b, &k, ACK, i);
	bed_wait(b, 550); /* the third is punted, the last time */
	ck_assert_uint_eq(b->sent_count, 3);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	bed_wait(b, 250);
	went_in_this_order(b, 3, (const uint32_t[]){10, 40, 50});
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_another_managers_word_does_not_release_what_waits)
{
	struct wire_msg service = bed_service(), other = bed_service(), fixed, answer;
	struct flow_key k = bed_client(1000);
	struct bed *b = bed_new();

	bed_precedence(&service, 100);
	bed_precedence(&other, 200);
	bed_message(b, 1, &service);
	bed_message(b, 2, &other);
	bed_packet(b, &k, ACK, 10);
	bed_packet(b, &k, ACK, 20);
	fixed = bed_fixed(&k, 60);
	bed_precedence(&fixed, 200);
	bed_message(b, 2, &fixed);
	ck_assert_uint_eq(b->sent_count, 1);
	answer = bed_answer(&b->sent[0], 60);
	bed_precedence(&answer, 100);
	bed_message(b, 1, &answer);
	went_in_this_order(b, 2, (const uint32_t[]){10, 20});
	bed_free(b);
}
END_TEST

START_TEST(test_FA_8_FA_7_at_its_last_hop_to_the_router_itself_it_is_translated)
{
	struct engine_conf conf = bed_conf();
	struct flow_key k = bed_client(1000);
	struct packet p = {.ifindex = 7};
	struct wire_msg m = bed_wildcard("203.0.113.10", 80);
	struct bed *b;
	size_t len;

	conf.permit_protected = true;
	b = bed_new_with(&conf);
	m.wildcard.flags = WIRE_FLAG_PROTECTED;
	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.11", 8080);
	bed_message(b, 1, &m);
	len = bed_write(b->packet, &k, ACK, 3);
	b->packet[8] = 1;
	b->packet[10] = b->packet[11] = 0;
	memcpy(b->packet + 10, &(uint16_t){checksum_finish(checksum_add(0, b->packet, 20))}, 2);
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	p.guarded = true;
	engine_packet(b->e, &p, b->now_ms);
	went_in_this_order(b, 1, (const uint32_t[]){3});
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_flood_of_punts_stays_bounded)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service();

	bed_message(b, 1, &service);
	for (uint16_t i = 1; i <= 200; i++) {
		struct flow_key k = bed_client(i);

		bed_packet(b, &k, SYN, 0);
	}
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 8);
	ck_counter(b, PUNTS, 8);
	ck_counter(b, DROP_HOLD_FULL, 192);
	bed_wait(b, 300);
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 0);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_9_answer_to_a_lost_punt_still_releases_all)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(1000);

	bed_message(b, 1, &service);
	for (size_t i = 0; i < 4; i++)
		bed_packet(b, &k, ACK, i);
	bed_wait(b, 250);
	answer = bed_answer(&b->sent[1], 60); /* the first was lost on its way */
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->forwarded_count, 3);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(b->forwarded[i].p.len, 41 + i);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_2_returned_packet_without_affinity_goes_on_unchanged)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), back;
	struct flow_key k = bed_client(1000);

	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	wire_start(&back, WIRE_PACKET);
	bed_return(&back, &b->sent[0]);
	bed_message(b, 1, &back);
	ck_assert_uint_eq(b->sent_count, 1); /* not sent there again: no loop */
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_assert_mem_eq(&b->forwarded[0].p.key, &k, sizeof(k));
	bed_free(b);
}
END_TEST

START_TEST(test_FA_2_returned_packet_passes_the_wildcard_that_dropped_it)
{
	struct bed *b = bed_new();
	struct wire_msg filter = bed_service(), back;
	struct flow_key k = bed_client(1000);

	bed_dispatch(&filter, NULL); /* drop, but ask first */
	bed_message(b, 1, &filter);
	bed_packet(b, &k, SYN, 0);
	wire_start(&back, WIRE_PACKET);
	bed_return(&back, &b->sent[0]);
	bed_message(b, 1, &back);
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_assert(!b->forwarded[0].dispatched);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_2_returned_packet_takes_its_fixed_affinity)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), fixed, back;
	struct flow_key k = bed_client(1000);

	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	fixed = bed_fixed(&k, 60);
	bed_nat(&fixed, WIRE_NAT_DST, "10.0.20.11", 0);
	bed_message(b, 1, &fixed);
	wire_start(&back, WIRE_PACKET);
	bed_return(&back, &b->sent[0]);
	bed_message(b, 1, &back);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 80);
	bed_free(b);
}
END_TEST

START_TEST(test_MSG_9_returned_packet_needs_a_cookie_without_authentication)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg service = bed_service(), back;
	struct flow_key k = bed_client(1000);
	uint8_t forged[128];
	struct bed *b;

	conf.authenticated = false;
	b = bed_new_with(&conf);
	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	wire_start(&back, WIRE_PACKET);
	bed_return(&back, &b->sent[0]);
	bed_message(b, 1, &back);
	ck_assert_uint_eq(b->forwarded_count, 1);

	memcpy(forged, back.fa_data.data, back.fa_data.len);
	forged[0] ^= 1;
	back.fa_data.data = forged;
	bed_message(b, 1, &back);
	ck_counter(b, DROP_COOKIE, 1);
	bed_unset(&back, WIRE_SEG_FA_DATA);
	bed_message(b, 1, &back);
	ck_counter(b, DROP_COOKIE, 2);
	bed_return(&back, &b->sent[0]);
	bed_wait(b, 10050); /* fresh no more */
	bed_message(b, 1, &back);
	ck_counter(b, DROP_COOKIE, 3);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_free(b);
}
END_TEST

/* A super-packet of n segments of 100 bytes, its checksum left to the hardware. */
static void super_packet(struct bed *b, const struct flow_key *k, size_t n)
{
	struct packet p = {.ifindex = 7};
	size_t len = bed_write(b->packet, k, ACK | PSH, n * 100);
	uint16_t partial = checksum_fold(checksum_pseudo(k->src, k->dst, 4, IPPROTO_TCP, (uint32_t)(20 + n * 100)));

	memcpy(b->packet + 36, &partial, 2);
	p.offload = (struct packet_offload){
		.partial = true, .csum_start = 20, .csum_offset = 16, .gso_size = 100, .gso_type = PACKET_GSO_TCP4};
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
}

START_TEST(test_MSG_11_super_packet_is_punted_in_parts_that_keep_their_order)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(1000);
	struct packet first = {0};

	bed_message(b, 1, &service);
	super_packet(b, &k, 5);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].m.packet.len, 140);
	ck_assert_int_eq(packet_parse(&first, (uint8_t *)(uintptr_t)b->sent[0].m.packet.data, 140), PACKET_OK);
	ck_assert(bed_sums_hold(&first));
	ck_counter(b, HELD, 4);
	answer = bed_answer(&b->sent[0], 60);
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->forwarded_count, 5);
	for (uint32_t i = 0; i < 5; i++) {
		uint32_t sequence;

		bed_went_to(&b->forwarded[i], "10.0.20.11", 8080);
		memcpy(&sequence, b->forwarded[i].bytes + 24, 4);
		ck_assert_uint_eq(ntohl(sequence), i * 100);
	}
	super_packet(b, &k, 5); /* of a decided flow: stays one */
	ck_assert_uint_eq(b->forwarded_count, 6);
	ck_assert_uint_eq(bed_last_forwarded(b)->p.len, 540);
	ck_assert_uint_eq(bed_last_forwarded(b)->p.offload.gso_size, 100);
	ck_assert_uint_eq(fixtab_next(engine_fixed(b->e), NULL)->fixed->a.packets, 10);
	bed_free(b);
}
END_TEST

START_TEST(test_failures_around_a_packet_are_counted_by_name)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service();
	struct flow_key k = bed_client(1000), other = bed_key(IPPROTO_TCP, CLIENT, 1, "192.0.2.99", 80);

	bed_message(b, 1, &service);
	b->refuse_send = true;
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_UNSENDABLE, 1);
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 0);
	b->refuse_forward = true;
	bed_packet(b, &other, SYN, 0);
	ck_counter(b, DROP_FORWARD, 1);
	engine_malformed(b->e, PACKET_SHORT, b->packet, 4);
	ck_counter(b, DROP_MALFORMED, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_FIX_4_one_step_with_the_information_flag_is_enough)
{
	struct bed *b = bed_new();
	struct wire_msg first = bed_wildcard(VIP, 80), second = bed_wildcard(VIP, 80);
	struct flow_key k = bed_client(1);
	struct addr server = bed_addr("10.0.20.11");
	const struct forward_stat *s;

	bed_precedence(&first, 1);
	first.wildcard.flags = WIRE_FLAG_INFORMATION;
	bed_precedence(&second, 2); /* and this one has it not */
	bed_nat(&second, WIRE_NAT_DST, "10.0.20.11", 0);
	bed_message(b, 1, &first);
	bed_message(b, 2, &second);
	bed_packet(b, &k, ACK, 60);
	s = engine_forwards(b->e);
	ck_assert_ptr_nonnull(s);
	ck_assert(addr_equal(&s->addr, &server));
	ck_assert_uint_eq(s->packets, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_2_returned_packet_does_not_pass_another_wildcard_that_drops)
{
	struct bed *b = bed_new();
	struct wire_msg asks = bed_service(), drops = bed_wildcard(VIP, 80), back;
	struct flow_key k = bed_client(1);

	bed_precedence(&asks, 1);
	bed_precedence(&drops, 2);
	bed_dispatch(&drops, NULL);
	bed_message(b, 1, &asks);
	bed_message(b, 2, &drops);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	wire_start(&back, WIRE_PACKET);
	bed_return(&back, &b->sent[0]);
	bed_message(b, 1, &back); /* let pass by its manager, not by the next one */
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, DROP_AFFINITY, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_2_returned_packet_goes_on_though_its_wildcard_went_and_its_address_is_advertised)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), other = bed_wildcard(VIP, 81), back;
	struct flow_key k = bed_client(1);

	other.advertise[0] = (struct wire_advertise){.addr = bed_addr(VIP), .plen = 32};
	other.advertise_count = 1;
	wire_set(&other, WIRE_SEG_ADVERTISE, true);
	bed_message(b, 2, &other);
	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	service.wildcard.ttl = 0;
	bed_message(b, 1, &service);
	wire_start(&back, WIRE_PACKET);
	bed_return(&back, &b->sent[0]);
	bed_message(b, 1, &back);
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_assert_mem_eq(&b->forwarded[0].p.key, &k, sizeof(k));
	ck_counter(b, DROP_ADVERTISED, 0);
	bed_packet(b, &k, SYN, 0); /* one that nobody sent back is dropped */
	ck_counter(b, DROP_ADVERTISED, 1);
	bed_free(b);
}
END_TEST

/* A packet of this flow with that TTL comes in. */
static void packet_with_ttl(struct bed *b, const struct flow_key *k, uint8_t ttl)
{
	struct packet p = {.ifindex = 7};
	size_t len = bed_write(b->packet, k, ACK, 10);
	uint16_t sum;

	if (k->family == 4) {
		b->packet[8] = ttl;
		memset(b->packet + 10, 0, 2);
		sum = checksum_finish(checksum_add(0, b->packet, 20));
		memcpy(b->packet + 10, &sum, 2);
	} else {
		b->packet[7] = ttl;
	}
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
}

START_TEST(test_FA_7_packet_whose_hops_end_here_is_left_as_its_sender_knows_it)
{
	static const char *const addresses[][3] = {
		{VIP, CLIENT, "10.0.20.12"},
		{"2001:db8:113::10", "2001:db8:7::1", "2001:db8:20::12"},
	};

	for (size_t i = 0; i < 2; i++) {
		const char *const *a = addresses[i];
		struct bed *b = bed_new();
		struct wire_msg w = bed_wildcard(a[0], 80);
		struct flow_key k = bed_key(IPPROTO_TCP, a[1], 1, a[0], 80);

		bed_nat(&w, WIRE_NAT_DPORT, NULL, 8080);
		bed_dispatch(&w, a[2]);
		bed_message(b, 1, &w);
		for (uint8_t ttl = 0; ttl < 2; ttl++) {
			packet_with_ttl(b, &k, ttl);
			bed_went_to(bed_last_forwarded(b), a[0], 80);
			ck_assert(!bed_last_forwarded(b)->dispatched);
		}
		packet_with_ttl(b, &k, 2); /* has one hop left */
		bed_went_to(bed_last_forwarded(b), a[0], 8080);
		ck_assert(bed_last_forwarded(b)->dispatched);
		bed_free(b);
	}
}
END_TEST

START_TEST(test_MSG_11_ACT_1_sum_left_open_inside_does_not_concern_the_outer_one)
{
	struct bed *b = bed_new();
	struct wire_msg w = bed_wildcard(VIP, 4789);
	struct flow_key k = bed_key(IPPROTO_UDP, CLIENT, 5000, VIP, 4789);
	struct packet p = {.ifindex = 7};
	size_t len = bed_write(b->packet, &k, 0, 150);

	w.wildcard.proto = IPPROTO_UDP;
	bed_nat(&w, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.11", 4790);
	bed_message(b, 1, &w);
	/* VXLAN: the outer sum is whole, that of the TCP inside is left to the hardware. */
	p.offload = (struct packet_offload){.partial = true, .csum_start = 28 + 8 + 14 + 20, .csum_offset = 16};
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 4790);
	ck_assert(bed_last_forwarded(b)->p.offload.partial); /* still to be done */
	ck_assert_uint_eq(bed_last_forwarded(b)->p.offload.csum_start, 70);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_6_original_goes_to_one_taker_alone)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_wildcard(VIP, 80);
	struct flow_key k = bed_client(1);

	bed_interest(&m, WIRE_INTEREST_SYN, WIRE_INTEREST_SYN, 0, 0);
	bed_interest(&m, WIRE_INTEREST_FIN, WIRE_INTEREST_FIN, 0, 0); /* another one, who takes others */
	m.interest[1].addr = bed_addr("10.9.0.200");
	m.interest[1].port = 9999;
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN | FIN, 0); /* both would */
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[0].to.port, WIRE_PORT);
	ck_assert_uint_eq(b->sent[1].to.port, 9999);
	for (size_t i = 0; i < 2; i++)
		ck_assert_uint_eq(b->sent[i].m.packet.len, 40);
	ck_counter(b, PUNTS, 1);
	ck_counter(b, COPIES, 1);
	ck_assert_uint_eq(wildtab_first(engine_wildcards(b->e))->flows, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_7_parts_of_an_overdue_super_packet_are_not_reported_again)
{
	struct bed *b = bed_new();
	struct wire_msg w = bed_wildcard(VIP, 80);
	struct flow_key k = bed_client(1);

	bed_interest(&w, WIRE_INTEREST_ALL, 0, WIRE_INTEREST_ALL, WIRE_INTEREST_ALL);
	bed_message(b, 1, &w);
	super_packet(b, &k, 3);
	ck_counter(b, COPIES, 3); /* all of it was seen */
	ck_counter(b, MATCHES, 1);
	bed_wait(b, 250);
	ck_assert_uint_eq(b->sent_count, 4); /* the first part itself; the others wait on */
	bed_wait(b, 2000);
	ck_counter(b, COPIES, 3);
	ck_counter(b, MATCHES, 1);
	for (size_t i = 1; i < b->sent_count; i++)
		ck_assert_int_eq(b->sent[i].m.h.type, WIRE_PACKET);
	ck_assert_uint_eq(b->forwarded_count, 0);
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_FA_1_fixed_then_wildcard_then_routing);
	tcase_add_test(t, test_FA_1_ARCH_3_first_packet_seen_is_a_mid_flow_one);
	tcase_add_test(t, test_KEY_1_reverse_flow_is_another_key);
	tcase_add_test(t, test_KEY_2_other_protocols_by_addresses_alone);
	tcase_add_test(t, test_KEY_3_ACT_1_IPv6_flow_is_translated);
	tcase_add_test(t, test_ACT_1_unset_fields_stay_and_the_punt_is_unedited);
	tcase_add_test(t, test_ACT_1_partial_checksum_stays_partial);
	tcase_add_test(t, test_FIX_2_dispatch_leaves_the_destination_alone);
	tcase_add_test(t, test_FIX_2_PREC_8_dispatch_keeps_what_earlier_ranks_made_of_the_destination);
	tcase_add_test(t, test_FIX_3_zero_forward_drops_after_counting);
	tcase_add_test(t, test_FIX_4_information_flag_counts_by_forward_address);
	tcase_add_test(t, test_FA_3_no_copy_of_a_punted_packet_is_kept);
	tcase_add_test(t, test_FA_9_later_packets_wait_and_follow_in_order);
	tcase_add_test(t, test_FA_9_hold_is_bounded_and_drops_by_name);
	tcase_add_test(t, test_FA_9_no_more_questions_than_holds);
	tcase_add_test(t, test_FA_9_question_that_cannot_be_sent_holds_nothing);
	tcase_add_test(t, test_FA_9_unanswered_punts_are_repeated_thrice_then_dropped_by_name);
	tcase_add_test(t, test_FA_9_held_packets_never_leave_untranslated_when_the_wildcard_goes);
	tcase_add_test(t, test_FA_9_flood_of_punts_stays_bounded);
	tcase_add_test(t, test_FA_9_answer_to_a_lost_punt_still_releases_all);
	tcase_add_test(t, test_FA_2_returned_packet_without_affinity_goes_on_unchanged);
	tcase_add_test(t, test_FA_2_returned_packet_passes_the_wildcard_that_dropped_it);
	tcase_add_test(t, test_FA_2_returned_packet_takes_its_fixed_affinity);
	tcase_add_test(t, test_MSG_9_returned_packet_needs_a_cookie_without_authentication);
	tcase_add_test(t, test_MSG_11_super_packet_is_punted_in_parts_that_keep_their_order);
	tcase_add_test(t, test_failures_around_a_packet_are_counted_by_name);
	tcase_add_test(t, test_FIX_4_one_step_with_the_information_flag_is_enough);
	tcase_add_test(t, test_FA_2_returned_packet_does_not_pass_another_wildcard_that_drops);
	tcase_add_test(t, test_FA_2_returned_packet_goes_on_though_its_wildcard_went_and_its_address_is_advertised);
	tcase_add_test(t, test_FA_7_packet_whose_hops_end_here_is_left_as_its_sender_knows_it);
	tcase_add_test(t, test_MSG_11_ACT_1_sum_left_open_inside_does_not_concern_the_outer_one);
	tcase_add_test(t, test_ACT_6_original_goes_to_one_taker_alone);
	tcase_add_test(t, test_ACT_7_parts_of_an_overdue_super_packet_are_not_reported_again);
	tcase_add_test(t, test_FA_9_held_packets_never_leave_untranslated_where_only_a_permit_is_left);
	tcase_add_test(t, test_FA_9_late_answer_does_not_let_held_packets_overtake);
	tcase_add_test(t, test_FA_9_late_answers_and_then_none_lose_nothing_that_waits);
	tcase_add_test(t, test_FA_9_another_managers_word_does_not_release_what_waits);
	tcase_add_test(t, test_FA_8_FA_7_at_its_last_hop_to_the_router_itself_it_is_translated);
}

int main(void)
{
	return bed_main("engine_packet", add);
}
