/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine and what is rejected: dropped, and its sender told by a TCP reset
 * or an ICMP error (FIX-3, SVC-5).
 */
#include "fad/engine_fixture.h"
#include "fad/engine_trace.h"

#define CLIENT  "198.51.100.7"
#define VIP     "203.0.113.10"
#define CLIENT6 "2001:db8:7::1"
#define VIP6    "2001:db8:113::10"

static void reject(struct wire_msg *m, enum wire_reject_kind kind)
{
	bed_dispatch(m, NULL);
	m->reject = (uint8_t)kind;
	wire_set(m, WIRE_SEG_REJECT, true);
}

/* Anything to dst is rejected. */
static struct wire_msg rule(const char *dst, enum wire_reject_kind kind)
{
	struct wire_msg m = bed_wildcard(dst, 0);

	m.wildcard.proto = 0;
	bed_precedence(&m, 50);
	reject(&m, kind);
	return m;
}

/* The last packet sent on is a reset to k's sender, from the address and port that he wrote to. */
static void was_reset(const struct bed *b, const struct flow_key *k)
{
	const struct packet *p = &bed_last_forwarded(b)->p;
	struct flow_key back = flow_key_reverse(k);

	ck_assert_mem_eq(&p->key, &back, sizeof(back));
	ck_assert(p->tcp_flags & RST);
	ck_assert(bed_sums_hold(p));
	ck_assert(!bed_last_forwarded(b)->dispatched);
}

static void was_told(const struct bed *b, const struct flow_key *k, uint8_t type, uint8_t code)
{
	const struct packet *p = &bed_last_forwarded(b)->p;
	struct flow_key back = flow_key_reverse(k);

	ck_assert_mem_eq(&p->flow, &back, sizeof(back));
	ck_assert_mem_eq(p->key.dst, k->src, 16);
	ck_assert_mem_eq(p->key.src, bed_addr(k->family == 4 ? "192.0.2.1" : "2001:db8:9::1").b, 16);
	ck_assert_uint_eq(p->data[p->l4], type);
	ck_assert_uint_eq(p->data[p->l4 + 1], code);
	ck_assert(bed_icmp_sum_holds(p));
}

START_TEST(test_rule_rejects_SVC_5_FIX_3)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct flow_key tcp = v6 ? bed_key(IPPROTO_TCP, CLIENT6, 40000, VIP6, 80) : bed_client(40000),
				udp = tcp;
		struct wire_msg m = rule(v6 ? VIP6 : VIP, WIRE_REJECT_PROHIBITED);
		struct bed *b = bed_new();

		udp.proto = IPPROTO_UDP;
		bed_message(b, 1, &m);
		bed_packet(b, &tcp, SYN, 0);
		ck_assert_uint_eq(b->forwarded_count, 1);
		was_reset(b, &tcp);
		bed_packet(b, &udp, 0, 20);
		was_told(b, &udp, v6 ? 1 : 3, v6 ? 1 : 13);
		m.reject = WIRE_REJECT_UNREACHABLE; /* takes effect on the next packet */
		bed_message(b, 1, &m);
		bed_packet(b, &udp, 0, 20);
		was_told(b, &udp, v6 ? 1 : 3, v6 ? 4 : 3);
		ck_assert_uint_eq(b->forwarded_count, 3);
		ck_counter(b, DROP_REJECTED, 3);
		ck_counter(b, DROP_AFFINITY, 0);
		ck_counter(b, RESETS, 1);
		ck_counter(b, ERRORS, 2);
		ck_counter(b, FORWARDED, 0);
		ck_assert_uint_eq(wildtab_first(engine_wildcards(b->e))->drops, 3);
		/* Only dropped again. */
		bed_unset(&m, WIRE_SEG_REJECT);
		bed_message(b, 1, &m);
		bed_packet(b, &tcp, SYN, 0);
		ck_assert_uint_eq(b->forwarded_count, 3);
		ck_counter(b, DROP_AFFINITY, 1);
		bed_free(b);
	}
}
END_TEST

/* A service without servers says no to whoever asks, and to what waited for the answer. */
START_TEST(test_answer_rejects_FIX_3_FIX_8_FA_9)
{
	struct wire_msg service = bed_service(), m;
	struct flow_key k = bed_client(40000);
	struct bed *b = bed_new();

	bed_message(b, 1, &service);
	bed_packet(b, &k, SYN, 0);
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, HELD, 1);
	m = bed_fixed(&k, 1);
	reject(&m, WIRE_REJECT_UNREACHABLE);
	bed_return(&m, bed_last_sent(b));
	bed_message(b, 1, &m);
	ck_assert_uint_eq(b->forwarded_count, 2);
	was_reset(b, &k);
	bed_packet(b, &k, SYN, 0); /* by what is kept */
	ck_counter(b, RESETS, 3);
	ck_counter(b, DROP_REJECTED, 3);
	ck_counter(b, HELD, 1);
	/* With TTL 0 nothing is kept. */
	bed_wait(b, 2000);
	bed_packet(b, &k, SYN, 0);
	m.fixed.ttl = 0;
	bed_return(&m, bed_last_sent(b));
	bed_message(b, 1, &m);
	ck_counter(b, RESETS, 4);
	ck_assert_uint_eq(fixtab_count(engine_fixed(b->e)), 0);
	bed_free(b);
}
END_TEST

/* He knows nothing of what an earlier precedence would have made of it. */
START_TEST(test_told_from_the_address_that_was_asked_PREC_8)
{
	struct wire_msg nat = bed_wildcard(VIP, 80), m = bed_wildcard(VIP, 80);
	struct flow_key k = bed_client(40000);
	struct bed *b = bed_new();

	bed_nat(&nat, WIRE_NAT_DST | WIRE_NAT_DPORT, "10.0.20.11", 8080);
	bed_precedence(&nat, 10);
	bed_message(b, 1, &nat);
	bed_precedence(&m, 20);
	reject(&m, WIRE_REJECT_PROHIBITED);
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	was_reset(b, &k);
	bed_free(b);
}
END_TEST

START_TEST(test_what_is_not_told_FIX_3_KEY_4)
{
	struct wire_msg m = rule(VIP, WIRE_REJECT_PROHIBITED);
	struct flow_key k = bed_client(40000), back = flow_key_reverse(&k), udp = k;
	struct packet p = {.ifindex = 7};
	struct bed *b = bed_new();

	udp.proto = IPPROTO_UDP;
	bed_message(b, 1, &m);
	bed_packet(b, &k, RST, 0);
	bed_packet(b, &k, RST | ACK, 0);
	/* An error about what came from there goes the flow's way: to be rejected, without another error. */
	ck_assert_int_eq(packet_parse(&p, b->packet, bed_write_error(b->packet, "192.0.2.77", &back, 3, 3, 100)),
			 PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
	ck_counter(b, DROP_REJECTED_UNTOLD, 3);
	/* No way back, or it cannot be sent. */
	b->routes[0].mtu = 0;
	bed_packet(b, &udp, 0, 9);
	ck_counter(b, DROP_REJECTED_UNTOLD, 4);
	ck_assert_uint_eq(b->forwarded_count, 0);
	b->refuse_forward = true;
	bed_packet(b, &k, SYN, 0);
	ck_counter(b, DROP_REJECTED_UNTOLD, 5);
	ck_counter(b, RESETS, 0);
	ck_counter(b, ERRORS, 0);
	ck_counter(b, DROP_REJECTED, 0);
	bed_free(b);
}
END_TEST

/* n packets, of so many senders in turn. */
static void flood(struct bed *b, uint8_t proto, uint8_t flags, unsigned n, unsigned senders)
{
	for (unsigned i = 0; i < n; i++) {
		struct flow_key k = bed_client((uint16_t)(1024 + i));

		k.proto = proto;
		k.src[2] = (uint8_t)(i % senders);
		bed_packet(b, &k, flags, 1);
		bed_clear(b);
	}
}

START_TEST(test_answers_are_limited_FIX_3_FA_5)
{
	struct wire_msg m = rule(VIP, WIRE_REJECT_PROHIBITED);
	struct bed *b = bed_new();

	bed_message(b, 1, &m);
	/* Resets do not use up the limit. */
	flood(b, IPPROTO_TCP, RST, 200, 1);
	flood(b, IPPROTO_TCP, SYN, 101, 1);
	ck_counter(b, RESETS, 100);
	ck_counter(b, DROP_REJECTED_UNTOLD, 201);
	flood(b, IPPROTO_UDP, 0, 11, 1); /* each sort has its own */
	ck_counter(b, ERRORS, 10);
	flood(b, IPPROTO_TCP, SYN, 2000, 200);
	ck_counter(b, RESETS, 1000);
	bed_wait(b, 1000);
	flood(b, IPPROTO_TCP, SYN, 1, 1);
	ck_counter(b, RESETS, 1001);
	bed_free(b);
}
END_TEST

START_TEST(test_reject_is_listed_and_traced_ARCH_7)
{
	struct wire_msg m = rule(VIP, WIRE_REJECT_PROHIBITED);
	struct flow_key k = bed_client(40000);
	struct bed *b = bed_new();
	struct engine_trace t;
	struct wire_list can;
	char text[80];

	bed_message(b, 1, &m);
	engine_trace(b->e, &k, false, SYN, false, &t);
	ck_assert_int_eq(t.outcome, TRACE_DROPPED);
	affinity_describe(t.decider, text, sizeof(text));
	ck_assert_str_eq(text, "reject as prohibited");
	m.reject = WIRE_REJECT_UNREACHABLE;
	bed_message(b, 1, &m);
	engine_trace(b->e, &k, false, SYN, false, &t);
	affinity_describe(t.decider, text, sizeof(text));
	ck_assert_str_eq(text, "reject as unreachable");
	engine_supported(&can);
	ck_assert_ptr_nonnull(memchr(can.types, WIRE_SEG_REJECT, can.count));
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_rule_rejects_SVC_5_FIX_3);
	tcase_add_test(t, test_answer_rejects_FIX_3_FIX_8_FA_9);
	tcase_add_test(t, test_told_from_the_address_that_was_asked_PREC_8);
	tcase_add_test(t, test_what_is_not_told_FIX_3_KEY_4);
	tcase_add_test(t, test_answers_are_limited_FIX_3_FA_5);
	tcase_add_test(t, test_reject_is_listed_and_traced_ARCH_7);
}

int main(void)
{
	return bed_main("engine_reject", add);
}
