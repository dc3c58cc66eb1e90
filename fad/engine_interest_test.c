/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of interest criteria: which packets are reported to whom, and what
 * becomes of the packet: notice, punt, copy, hold.
 */
#include "fad/engine_fixture.h"

#define I_FIN  WIRE_INTEREST_FIN
#define I_SYN  WIRE_INTEREST_SYN
#define I_RST  WIRE_INTEREST_RST
#define I_DATA WIRE_INTEREST_DATA
#define I_ALL  WIRE_INTEREST_ALL

/* A bed whose service decides, and flow 1 decided: translated, with these criteria. */
static struct bed *decided(uint16_t interest, uint16_t data, uint16_t copy, uint16_t hold)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), m;
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &service);
	m = bed_fixed(&k, 60);
	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.11", 8080);
	bed_interest(&m, interest, data, copy, hold);
	bed_message(b, 1, &m);
	return b;
}

/* A bed whose service has these criteria and nothing else. */
static struct bed *watching(uint16_t interest, uint16_t data, uint16_t copy, uint16_t hold)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_wildcard("203.0.113.10", 80);

	bed_interest(&m, interest, data, copy, hold);
	bed_message(b, 1, &m);
	return b;
}

START_TEST(test_ACT_5_ACT_6_notice_of_chosen_flags_and_the_packet_goes_on)
{
	struct bed *b = decided(I_FIN | I_RST, 0, 0, 0);
	struct flow_key k = bed_client(1);

	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k, ACK, 100);
	bed_packet(b, &k, ACK | PSH, 100);
	ck_assert_uint_eq(b->sent_count, 0);
	bed_packet(b, &k, FIN | ACK, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_int_eq(b->sent[0].m.h.type, WIRE_MATCH_FIXED);
	ck_assert_uint_eq(b->sent[0].m.identifier.reasons, I_FIN);
	ck_assert(!wire_has(&b->sent[0].m, WIRE_SEG_IP_PACKET));
	bed_packet(b, &k, RST, 0);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[1].m.identifier.reasons, I_RST);
	ck_assert_uint_eq(b->forwarded_count, 5);
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 8080);
	ck_counter(b, MATCHES, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_5_all_packets_and_the_reasons_name_only_what_was_asked)
{
	struct bed *b = decided(I_ALL | I_SYN, 0, 0, 0);
	struct flow_key k = bed_client(1);

	bed_packet(b, &k, SYN | ACK, 0);
	bed_packet(b, &k, ACK, 10);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[0].m.identifier.reasons, I_ALL | I_SYN);
	ck_assert_uint_eq(b->sent[1].m.identifier.reasons, I_ALL);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_5_UDP_knows_data_alone)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_wildcard("203.0.113.10", 53);
	struct flow_key k = bed_key(IPPROTO_UDP, "198.51.100.7", 99, "203.0.113.10", 53);

	m.wildcard.proto = IPPROTO_UDP;
	bed_interest(&m, I_DATA | I_FIN | I_SYN, 0, 0, 0);
	bed_message(b, 1, &m);
	bed_packet(b, &k, 0xff, 0);
	ck_assert_uint_eq(b->sent_count, 0);
	bed_packet(b, &k, 0xff, 5);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].m.identifier.reasons, I_DATA);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_6_first_data_once_a_flow_and_affinity)
{
	struct bed *b = decided(WIRE_INTEREST_FIRST_DATA, 0, 0, 0);
	struct flow_key k = bed_client(1);
	struct wire_msg again = bed_fixed(&k, 60), late = bed_fixed(&k, 60);

	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 0);
	bed_packet(b, &k, ACK, 10);
	bed_packet(b, &k, ACK, 10);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].m.identifier.reasons, WIRE_INTEREST_FIRST_DATA);
	bed_interest(&again, WIRE_INTEREST_FIRST_DATA, 0, 0, 0);
	bed_message(b, 1, &again); /* refreshed: the same affinity */
	bed_packet(b, &k, ACK, 10);
	ck_assert_uint_eq(b->sent_count, 1);
	bed_interest(&late, WIRE_INTEREST_FIRST_DATA, 0, 0, 0);
	bed_precedence(&late, 9);
	bed_message(b, 1, &late); /* another affinity of the flow sees its own first */
	bed_packet(b, &k, ACK, 10);
	bed_packet(b, &k, ACK, 10);
	ck_assert_uint_eq(b->sent_count, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_6_first_data_of_a_flow_that_only_wildcards_match)
{
	struct bed *b = watching(WIRE_INTEREST_FIRST_DATA, 0, 0, 0);
	struct flow_key k = bed_client(1), other = bed_client(2);
	struct wire_msg again = bed_wildcard("203.0.113.10", 80);

	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 0);
	bed_packet(b, &k, ACK, 10);
	bed_packet(b, &k, ACK, 10);
	ck_assert_uint_eq(b->sent_count, 1);
	bed_packet(b, &other, ACK, 10);
	ck_assert_uint_eq(b->sent_count, 2);
	bed_interest(&again, WIRE_INTEREST_FIRST_DATA | WIRE_INTEREST_FIN, 0, 0, 0);
	bed_message(b, 1, &again); /* changed: it replaces the one that has seen the flow */
	bed_packet(b, &k, ACK, 10);
	ck_assert_uint_eq(b->sent_count, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_6_data_that_came_with_the_answer_is_not_first_again)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &service);
	bed_packet(b, &k, ACK, 10);
	answer = bed_answer(bed_last_sent(b), 60);
	bed_interest(&answer, WIRE_INTEREST_FIRST_DATA, 0, 0, 0);
	bed_message(b, 1, &answer);
	bed_packet(b, &k, ACK, 10);
	ck_assert_uint_eq(b->sent_count, 1); /* the question */
	ck_assert_uint_eq(b->forwarded_count, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_6_ACT_7_who_takes_the_packet_gets_no_copy_besides)
{
	struct bed *b = watching(I_ALL, WIRE_INTEREST_SYN, WIRE_INTEREST_ALL, 0);
	struct flow_key k = bed_client(1);

	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, PUNTS, 1);
	ck_counter(b, COPIES, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_MSG_8_identifier_has_all_flags_of_its_affinity)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();
	struct flow_key k = bed_client(1);

	m.wildcard.flags = WIRE_FLAG_INFORMATION | WIRE_FLAG_DROP_GONE;
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(bed_last_sent(b)->m.identifier.flags, WIRE_FLAG_INFORMATION | WIRE_FLAG_DROP_GONE);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_6_MSG_8_interest_and_data_punts)
{
	struct bed *b = watching(I_SYN, I_SYN, 0, 0);
	struct flow_key k = bed_client(1);

	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_assert_int_eq(b->sent[0].m.h.type, WIRE_MATCH_WILDCARD);
	ck_assert_uint_eq(b->sent[0].m.identifier.reasons, I_SYN);
	ck_assert_mem_eq(&b->sent[0].m.identifier.key, &k, sizeof(k));
	ck_assert_uint_eq(b->sent[0].m.packet.len, 40);
	ck_assert_uint_eq(b->sent[0].to.identity, 1);
	ck_assert(wire_has(&b->sent[0].m, WIRE_SEG_FA_DATA));
	bed_free(b);
}
END_TEST

START_TEST(test_MSG_8_match_carries_who_made_the_affinity)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();
	struct flow_key k = bed_client(1);

	m.identity = (struct wire_identity){.name = "lb-one", .addr = bed_addr("10.9.0.1")};
	wire_set(&m, WIRE_SEG_IDENTITY, false);
	m.wildcard.flags = WIRE_FLAG_INFORMATION;
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	ck_assert_str_eq(b->sent[0].m.identity.name, "lb-one");
	ck_assert_uint_eq(b->sent[0].m.identifier.flags, WIRE_FLAG_INFORMATION);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_6_without_criteria_nothing_is_asked)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_wildcard("203.0.113.10", 80);
	struct flow_key k = bed_client(1);

	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 0);
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_counter(b, UNMATCHED, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_6_data_without_interest_sends_the_packet_without_a_notice)
{
	struct bed *b = watching(0, I_ALL, 0, 0);
	struct flow_key k = bed_client(1);

	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_int_eq(b->sent[0].m.h.type, WIRE_PACKET);
	ck_assert_uint_eq(b->sent[0].m.packet.len, 40);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, MATCHES, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_4_ACT_6_several_criteria_a_manager_and_a_sensor)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();
	struct flow_key k = bed_client(1);
	struct addr sensor = bed_addr("10.9.0.200");

	bed_interest(&m, I_ALL, I_ALL, I_ALL, 0);
	m.interest[1].addr = sensor;
	m.interest[1].port = 9999;
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[0].to.port, WIRE_PORT);
	ck_assert(addr_equal(&b->sent[1].to.addr, &sensor));
	ck_assert_uint_eq(b->sent[1].to.port, 9999);
	ck_counter(b, COPIES, 1);
	ck_counter(b, PUNTS, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_7_copy_goes_and_the_original_too)
{
	struct bed *b = decided(I_SYN, 0, I_SYN, 0);
	struct flow_key k = bed_client(1);

	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].m.packet.len, 40);
	ck_assert_mem_eq(b->sent[0].m.packet.data + 16, k.dst, 4); /* the copy is as it came */
	bed_went_to(bed_last_forwarded(b), "10.0.20.11", 8080);
	ck_counter(b, COPIES, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_7_held_until_a_fixed_affinity_says_how)
{
	struct bed *b = watching(I_ALL, 0, I_ALL, I_ALL);
	struct flow_key k = bed_client(1);
	struct wire_msg answer = bed_fixed(&k, 60);

	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k, ACK, 10);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, HELD, 2);
	bed_nat(&answer, WIRE_NAT_DST, "10.0.20.11", 0);
	bed_message(b, 1, &answer); /* the packet is here: none enclosed */
	ck_assert_uint_eq(b->forwarded_count, 2);
	ck_assert_uint_eq(b->forwarded[0].p.len, 40);
	bed_went_to(&b->forwarded[0], "10.0.20.11", 80);
	bed_went_to(&b->forwarded[1], "10.0.20.11", 80);
	ck_assert_uint_eq(b->sent_count, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_7_what_waited_too_long_goes_to_the_manager_itself)
{
	struct bed *b = watching(I_ALL, 0, I_ALL, I_ALL);
	struct flow_key k = bed_client(1);
	struct wire_msg back;

	bed_packet(b, &k, SYN, 0);
	bed_wait(b, 250);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_int_eq(b->sent[1].m.h.type, WIRE_PACKET); /* the original: not reported twice */
	ck_assert_uint_eq(b->sent[1].m.packet.len, 40);
	ck_assert_uint_eq(hold_bytes(engine_hold(b->e)), 0);
	bed_wait(b, 3000);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->forwarded_count, 0);
	wire_start(&back, WIRE_PACKET);
	bed_return(&back, &b->sent[1]);
	bed_message(b, 1, &back);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_7_no_room_to_hold_sends_it_to_the_manager)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg m = bed_wildcard("203.0.113.10", 80);
	struct flow_key k = bed_client(1);
	struct bed *b;

	conf.hold.bytes = 0;
	b = bed_new_with(&conf);
	bed_interest(&m, I_ALL, 0, I_ALL, I_ALL);
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_int_eq(b->sent[0].m.h.type, WIRE_MATCH_WILDCARD);
	ck_assert_int_eq(b->sent[1].m.h.type, WIRE_PACKET);
	ck_counter(b, COPIES, 1);
	ck_counter(b, PUNTS, 1);
	ck_counter(b, HELD, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_7_PREC_2_another_managers_update_does_not_free_what_is_held)
{
	struct bed *b = bed_new();
	struct wire_msg first = bed_wildcard("203.0.113.10", 80), second = bed_wildcard("203.0.113.10", 80), m;
	struct flow_key k = bed_client(1);

	bed_precedence(&first, 1);
	bed_interest(&first, I_SYN, 0, 0, 0);
	bed_message(b, 1, &first);
	bed_precedence(&second, 2);
	bed_interest(&second, I_ALL, 0, I_ALL, I_ALL);
	bed_message(b, 2, &second);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->sent_count, 2); /* a notice to the first, a copy to the second */
	m = bed_fixed(&k, 60);
	bed_precedence(&m, 1);
	bed_message(b, 1, &m);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_assert_uint_eq(b->sent_count, 2);
	m = bed_fixed(&k, 60);
	bed_precedence(&m, 2);
	bed_nat(&m, WIRE_NAT_DST, "10.0.20.11", 0);
	bed_message(b, 2, &m);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_went_to(&b->forwarded[0], "10.0.20.11", 80);
	ck_assert_uint_eq(b->sent_count, 2); /* nobody was told twice */
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_7_copies_of_a_super_packet_are_packets)
{
	struct bed *b = decided(I_ALL, 0, I_ALL, 0);
	struct flow_key k = bed_client(1);
	struct packet p = {.ifindex = 7,
			   .offload = {.partial = true,
				       .csum_start = 20,
				       .csum_offset = 16,
				       .gso_size = 100,
				       .gso_type = PACKET_GSO_TCP4}};
	size_t len = bed_write(b->packet, &k, ACK, 250);
	uint16_t partial = checksum_fold(checksum_pseudo(k.src, k.dst, 4, IPPROTO_TCP, 270));

	memcpy(b->packet + 36, &partial, 2);
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
	ck_assert_uint_eq(b->sent_count, 3);
	ck_assert_int_eq(b->sent[0].m.h.type, WIRE_MATCH_FIXED);
	for (size_t i = 0; i < 3; i++) {
		struct packet part = {0};

		ck_assert_int_eq(b->sent[i].m.h.type, i ? WIRE_PACKET : WIRE_MATCH_FIXED);
		ck_assert_int_eq(
			packet_parse(&part, (uint8_t *)(uintptr_t)b->sent[i].m.packet.data, b->sent[i].m.packet.len),
			PACKET_OK);
		ck_assert_uint_eq(part.len, i < 2 ? 140 : 90);
		ck_assert(bed_sums_hold(&part));
	}
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_free(b);
}
END_TEST

/* Three packets in one, of which the first asks; all are copied twice. */
static struct bed *super_punted(struct flow_key *k)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_wildcard("203.0.113.10", 80), before = m;
	struct packet p = {.ifindex = 7, .offload = {.gso_size = 100, .gso_type = PACKET_GSO_TCP4}};

	/* A better precedence looks on; so does somebody beside who decides. */
	bed_precedence(&before, 10);
	bed_interest(&before, 0, 0, I_ALL, 0);
	bed_message(b, 2, &before);
	bed_precedence(&m, 20);
	bed_interest(&m, 0, 0, I_DATA, 0);
	m.interest[0].addr = bed_addr("10.9.0.200");
	m.interest[0].port = 9000;
	bed_interest(&m, I_ALL, I_ALL, 0, 0);
	bed_message(b, 1, &m);
	*k = bed_client(1);
	ck_assert_int_eq(packet_parse(&p, b->packet, bed_write(b->packet, k, ACK, 250)), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
	ck_assert_uint_eq(b->sent_count, 7);
	ck_counter(b, COPIES, 6);
	ck_counter(b, PUNTS, 1);
	ck_counter(b, HELD, 2);
	return b;
}

START_TEST(test_MSG_11_rest_of_a_super_packet_is_not_copied_again)
{
	struct flow_key k;
	struct bed *b = super_punted(&k);
	struct wire_msg answer = bed_answer(bed_last_sent(b), 60);

	bed_precedence(&answer, 20);
	bed_interest(&answer, I_DATA, 0, 0, 0); /* this one has seen none of it */
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->forwarded_count, 3);
	for (size_t i = 0; i < 3; i++)
		bed_went_to(&b->forwarded[i], "10.0.20.11", 8080);
	ck_counter(b, COPIES, 6);
	ck_counter(b, PUNTS, 1);
	ck_counter(b, MATCHES, 3); /* notices of the two that waited */
	bed_free(b);
}
END_TEST

/* Nothing is kept: each is asked about, and no more than that. */
START_TEST(test_MSG_11_rest_of_a_super_packet_is_asked_about_one_by_one)
{
	struct flow_key k;
	struct bed *b = super_punted(&k);

	for (unsigned i = 1; i <= 3; i++) {
		struct wire_msg answer = bed_answer(bed_last_sent(b), 0);

		ck_counter(b, PUNTS, i);
		ck_assert_int_eq(bed_last_sent(b)->m.h.type, WIRE_MATCH_WILDCARD);
		bed_precedence(&answer, 20);
		bed_message(b, 1, &answer);
		ck_assert_uint_eq(b->forwarded_count, i);
		bed_went_to(bed_last_forwarded(b), "10.0.20.11", 8080);
	}
	ck_counter(b, PUNTS, 3);
	ck_counter(b, COPIES, 6);
	/* Nobody answers: the same. */
	bed_free(b);
	b = super_punted(&k);
	bed_wait(b, 300);
	ck_counter(b, PUNTS, 2);
	bed_wait(b, 3000);
	ck_counter(b, COPIES, 6);
	bed_free(b);
}
END_TEST

/* Taken as first data by one criterion, held as first data by another: so is the rest, which was a part of it. */
START_TEST(test_MSG_11_ACT_7_rest_of_a_super_packet_is_part_of_the_first_data)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_wildcard("203.0.113.10", 80);
	struct packet p = {.ifindex = 7, .offload = {.gso_size = 100, .gso_type = PACKET_GSO_TCP4}};
	struct flow_key k = bed_client(1);

	bed_interest(&m, 0, WIRE_INTEREST_FIRST_DATA, 0, 0);
	bed_interest(&m, 0, 0, WIRE_INTEREST_FIRST_DATA, WIRE_INTEREST_FIRST_DATA);
	bed_message(b, 1, &m);
	ck_assert_int_eq(packet_parse(&p, b->packet, bed_write(b->packet, &k, ACK, 150)), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
	ck_counter(b, PUNTS, 1);
	ck_counter(b, HELD, 1);
	bed_wait(b, 300);
	ck_counter(b, HELD, 2);
	ck_assert_uint_eq(b->forwarded_count, 0);
	bed_free(b);
}
END_TEST

/* Another wildcard of that precedence has seen nothing of it, whoever asked. */
START_TEST(test_MSG_11_rest_of_a_super_packet_is_new_to_another_wildcard)
{
	struct flow_key k;
	struct bed *b = super_punted(&k);
	struct wire_msg gone = bed_wildcard("203.0.113.10", 80), other = gone, answer = bed_answer(bed_last_sent(b), 0);

	bed_precedence(&answer, 20);
	bed_precedence(&gone, 20);
	bed_precedence(&other, 20);
	gone.wildcard.ttl = 0;
	bed_message(b, 1, &gone);
	other.wildcard.proto = 0;
	other.wildcard.dport = 0;
	bed_interest(&other, 0, 0, I_ALL, 0);
	bed_message(b, 1, &other);
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->forwarded_count, 3);
	ck_counter(b, COPIES, 8);
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_ACT_5_ACT_6_notice_of_chosen_flags_and_the_packet_goes_on);
	tcase_add_test(t, test_ACT_5_all_packets_and_the_reasons_name_only_what_was_asked);
	tcase_add_test(t, test_ACT_5_UDP_knows_data_alone);
	tcase_add_test(t, test_ACT_6_first_data_once_a_flow_and_affinity);
	tcase_add_test(t, test_ACT_6_first_data_of_a_flow_that_only_wildcards_match);
	tcase_add_test(t, test_ACT_6_data_that_came_with_the_answer_is_not_first_again);
	tcase_add_test(t, test_ACT_6_ACT_7_who_takes_the_packet_gets_no_copy_besides);
	tcase_add_test(t, test_MSG_8_identifier_has_all_flags_of_its_affinity);
	tcase_add_test(t, test_ACT_6_MSG_8_interest_and_data_punts);
	tcase_add_test(t, test_MSG_8_match_carries_who_made_the_affinity);
	tcase_add_test(t, test_ACT_6_without_criteria_nothing_is_asked);
	tcase_add_test(t, test_ACT_6_data_without_interest_sends_the_packet_without_a_notice);
	tcase_add_test(t, test_ACT_4_ACT_6_several_criteria_a_manager_and_a_sensor);
	tcase_add_test(t, test_ACT_7_copy_goes_and_the_original_too);
	tcase_add_test(t, test_ACT_7_held_until_a_fixed_affinity_says_how);
	tcase_add_test(t, test_ACT_7_what_waited_too_long_goes_to_the_manager_itself);
	tcase_add_test(t, test_ACT_7_no_room_to_hold_sends_it_to_the_manager);
	tcase_add_test(t, test_ACT_7_PREC_2_another_managers_update_does_not_free_what_is_held);
	tcase_add_test(t, test_ACT_7_copies_of_a_super_packet_are_packets);
	tcase_add_test(t, test_MSG_11_rest_of_a_super_packet_is_not_copied_again);
	tcase_add_test(t, test_MSG_11_rest_of_a_super_packet_is_asked_about_one_by_one);
	tcase_add_test(t, test_MSG_11_ACT_7_rest_of_a_super_packet_is_part_of_the_first_data);
	tcase_add_test(t, test_MSG_11_rest_of_a_super_packet_is_new_to_another_wildcard);
}

int main(void)
{
	return bed_main("engine_interest", add);
}
