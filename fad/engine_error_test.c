/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine and ICMP errors: those about a flow go that flow's way (KEY-4),
 * and what does not fit its way out is answered by one (FA-7).
 */
#include "fad/engine_fixture.h"
#include "fad/packet_error.h"

#define VIP    "203.0.113.10"
#define SERVER "10.0.20.11"
#define CLIENT "198.51.100.7"
#define ROUTER "192.0.2.77"

/* The packet that a flow's other end sent, and that an error tells it of. */
static struct flow_key other_way(const struct flow_key *k)
{
	return flow_key_reverse(k);
}

static void take(struct bed *b, size_t len)
{
	struct packet p = {.ifindex = 7};

	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
}

/* A router says "too big" about a packet that came the other way of flow k. */
static void error_about(struct bed *b, const struct flow_key *k)
{
	struct flow_key about = other_way(k);
	bool v4 = k->family == 4;

	take(b, bed_write_error(b->packet, v4 ? ROUTER : "2001:db8:77::1", &about, v4 ? 3 : 2, v4 ? 4 : 0, 600));
}

/* It went to `to`, and what it embeds came from to:port. */
static void went_to(const struct bed_forwarded *f, const char *to, uint16_t port)
{
	struct addr want = bed_addr(to);

	ck_assert(f->p.embedded != 0);
	ck_assert_mem_eq(f->p.key.dst, want.b, 16);
	ck_assert_mem_eq(f->p.flow.dst, want.b, 16);
	ck_assert_uint_eq(f->p.flow.dport, port);
	ck_assert(bed_icmp_sum_holds(&f->p));
}

/* The agent knows how the flow is translated: so is the error. */
START_TEST(test_error_is_translated_with_its_flow_KEY_4)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), m;
	struct flow_key k = bed_client(40000);

	bed_message(b, 1, &service);
	m = bed_fixed(&k, 60);
	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, SERVER, 8080);
	bed_message(b, 1, &m);
	error_about(b, &k);
	ck_assert_uint_eq(b->forwarded_count, 1);
	went_to(bed_last_forwarded(b), SERVER, 8080);
	/* Who says it stays. */
	ck_assert_mem_eq(bed_last_forwarded(b)->p.key.src, bed_addr(ROUTER).b, 16);
	ck_assert_uint_eq(b->sent_count, 0);
	ck_counter(b, FIXED_HITS, 1);
	bed_free(b);
}
END_TEST

/* What a server says itself comes from the address that the client knows. */
START_TEST(test_error_of_the_flows_own_source_KEY_4)
{
	struct bed *b = bed_new();
	struct engine_conf conf = bed_conf();
	struct flow_key k = bed_key(IPPROTO_UDP, SERVER, 5353, CLIENT, 40000), about = other_way(&k);
	struct wire_msg m = bed_fixed(&k, 60);

	bed_free(b);
	conf.accept_uncovered = true;
	b = bed_new_with(&conf);
	bed_nat(&m, WIRE_NAT_SRC | WIRE_NAT_SPORT, VIP, 53);
	bed_message(b, 1, &m);
	take(b, bed_write_error(b->packet, SERVER, &about, 3, 3, 28));
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_assert_mem_eq(bed_last_forwarded(b)->p.key.src, bed_addr(VIP).b, 16);
	ck_assert_mem_eq(bed_last_forwarded(b)->p.flow.src, bed_addr(VIP).b, 16);
	ck_assert_uint_eq(bed_last_forwarded(b)->p.flow.sport, 53);
	ck_assert(bed_icmp_sum_holds(&bed_last_forwarded(b)->p));
	bed_free(b);
}
END_TEST

static void punted_and_answered(const struct flow_key *k, const struct wire_msg *service, const char *server)
{
	struct bed *b = bed_new();
	const struct bed_sent *s;
	struct wire_msg m;

	bed_message(b, 1, service);
	error_about(b, k);
	s = bed_last_sent(b);
	ck_assert_uint_eq(s->m.h.type, WIRE_MATCH_WILDCARD);
	ck_assert_mem_eq(&s->m.identifier.key, k, sizeof(*k)); /* the flow's key */
	ck_assert_uint_eq(s->m.identifier.reasons, WIRE_INTEREST_ALL);
	ck_assert_uint_eq(s->m.packet.data[k->family == 4 ? 9 : 6], k->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	/* Packets of the flow wait behind it. */
	bed_packet(b, k, ACK, 10);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, HELD, 1);
	m = bed_fixed(k, 60);
	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, server, 8080);
	bed_return(&m, s);
	bed_message(b, 1, &m);
	ck_assert_uint_eq(b->forwarded_count, 2);
	went_to(&b->forwarded[0], server, 8080);
	bed_went_to(&b->forwarded[1], server, 8080);
	ck_counter(b, DROP_MISMATCH, 0);
	bed_free(b);
}

START_TEST(test_error_of_an_unknown_flow_is_asked_about_KEY_4_ARCH_3)
{
	struct flow_key k = bed_client(40000),
			k6 = bed_key(IPPROTO_TCP, "2001:db8:7::1", 40000, "2001:db8:113::10", 80);
	struct wire_msg service = bed_service(), service6 = bed_wildcard("2001:db8:113::10", 80);

	bed_interest(&service6, PUNT_ALL, PUNT_ALL, 0, 0);
	punted_and_answered(&k, &service, SERVER);
	punted_and_answered(&k6, &service6, "2001:db8:20::11");
}
END_TEST

/* Given back as it is: the cookie is bound to the flow's key. */
START_TEST(test_error_given_back_goes_on_KEY_4_PREC_7)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg service = bed_service(), m;
	struct flow_key k = bed_client(40000), other = bed_client(40001);
	struct bed_sent first;
	struct bed *b;

	conf.authenticated = false;
	b = bed_new_with(&conf);
	bed_message(b, 1, &service);
	error_about(b, &k);
	ck_assert_uint_eq(b->sent_count, 1);
	wire_start(&m, WIRE_PACKET);
	bed_return(&m, bed_last_sent(b));
	bed_message(b, 1, &m);
	ck_counter(b, DROP_COOKIE, 0);
	ck_assert_uint_eq(b->forwarded_count, 1);
	went_to(bed_last_forwarded(b), VIP, 80);
	/* Another flow's cookie proves nothing. */
	first = b->sent[0];
	error_about(b, &other);
	wire_start(&m, WIRE_PACKET);
	bed_return(&m, bed_last_sent(b));
	m.fa_data = first.m.fa_data;
	bed_message(b, 1, &m);
	ck_counter(b, DROP_COOKIE, 1);
	bed_free(b);
}
END_TEST

/* In an update it must be about the update's flow. */
START_TEST(test_error_in_another_flows_update_is_dropped_KEY_4)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), m;
	struct flow_key k = bed_client(40000), other = bed_client(40001);

	bed_message(b, 1, &service);
	error_about(b, &k);
	m = bed_fixed(&other, 60);
	bed_return(&m, bed_last_sent(b));
	bed_message(b, 1, &m);
	ck_counter(b, DROP_MISMATCH, 1);
	ck_assert_uint_eq(b->forwarded_count, 0);
	bed_free(b);
}
END_TEST

/* Without anything about its flow it is a packet like any other. */
START_TEST(test_error_about_nothing_known_has_its_own_key_KEY_2)
{
	struct bed *b = bed_new();
	struct flow_key k = bed_client(40000), own = bed_key(IPPROTO_ICMP, ROUTER, 0, VIP, 0);
	struct wire_msg all = bed_wildcard(VIP, 0), service = bed_service();

	all.wildcard.proto = IPPROTO_ICMP;
	bed_interest(&all, PUNT_ALL, PUNT_ALL, 0, 0);
	bed_message(b, 1, &all);
	error_about(b, &k);
	ck_assert_mem_eq(&bed_last_sent(b)->m.identifier.key, &own, sizeof(own));
	/* As soon as somebody wants to see the flow, it goes with that. */
	bed_message(b, 1, &service);
	k = bed_client(40001);
	error_about(b, &k);
	ck_assert_mem_eq(&bed_last_sent(b)->m.identifier.key, &k, sizeof(k));
	bed_free(b);
}
END_TEST

/* It has no bits of TCP, whatever the flow is, and drops and next hops are the flow's. */
START_TEST(test_error_shares_its_flows_fate_KEY_4_ACT_5)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), m;
	struct flow_key k = bed_client(40000);

	bed_message(b, 1, &service);
	m = bed_fixed(&k, 60);
	bed_interest(&m, 0x01ff, 0, 0, 0); /* everything but "all packets" */
	bed_dispatch(&m, "10.0.20.12");
	bed_message(b, 1, &m);
	error_about(b, &k);
	ck_assert_uint_eq(b->sent_count, 0);
	ck_assert(bed_last_forwarded(b)->dispatched);
	went_to(bed_last_forwarded(b), VIP, 80);
	m = bed_fixed(&k, 60);
	bed_dispatch(&m, NULL);
	bed_message(b, 1, &m);
	error_about(b, &k);
	ck_counter(b, DROP_AFFINITY, 1);
	bed_free(b);
}
END_TEST

/* Who is refused by name gets nothing through by what he embeds; what is refused to all is about flows. */
START_TEST(test_error_of_a_refused_source_is_dropped_KEY_4_SVC_5)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), deny = bed_wildcard(VIP, 0), m;
	struct flow_key k = bed_client(40000);

	bed_message(b, 1, &service);
	m = bed_fixed(&k, 60);
	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, SERVER, 8080);
	bed_message(b, 1, &m);
	deny.wildcard.proto = 0;
	bed_dispatch(&deny, NULL);
	bed_message(b, 2, &deny);
	error_about(b, &k);
	ck_counter(b, DROP_AFFINITY, 0);
	went_to(bed_last_forwarded(b), SERVER, 8080);
	memcpy(deny.wildcard.src, bed_addr(ROUTER).b, 16);
	addr_mask(4, 32, deny.wildcard.src_mask);
	bed_message(b, 2, &deny);
	error_about(b, &k);
	ck_counter(b, DROP_AFFINITY, 1);
	ck_assert_uint_eq(b->forwarded_count, 1);
	bed_free(b);
}
END_TEST

/* Anybody can make one: a flow of which nothing else is seen may end. */
START_TEST(test_error_is_no_life_of_its_flow_KEY_4_FIX_9)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), m;
	struct flow_key k = bed_client(40000);

	bed_message(b, 1, &service);
	m = bed_fixed(&k, 60);
	bed_message(b, 1, &m);
	b->now_ms += 40000;
	error_about(b, &k);
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_counter(b, REFRESHES, 0);
	bed_packet(b, &k, ACK, 0);
	ck_counter(b, REFRESHES, 1);
	bed_free(b);
}
END_TEST

/* The sender must find the sequence number that he used. */
START_TEST(test_error_about_an_adjusted_flow_KEY_4_ACT_2)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), m;
	struct flow_key k = bed_client(40000);
	const uint8_t *tcp;

	bed_message(b, 1, &service);
	m = bed_fixed(&k, 60);
	m.seq_adjust = (struct wire_seq_adjust){.seq_delta = 1, .ack_delta = 1000};
	wire_set(&m, WIRE_SEG_SEQ_ADJUST, true);
	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, SERVER, 8080);
	bed_message(b, 1, &m);
	error_about(b, &k);
	went_to(bed_last_forwarded(b), SERVER, 8080);
	tcp = bed_last_forwarded(b)->p.data + bed_last_forwarded(b)->p.embedded_l4;
	ck_assert_uint_eq(plan_read32(tcp + 4), 1000); /* it was 0 */
	ck_assert_uint_eq(plan_read32(tcp + 8), 1);
	bed_free(b);
}
END_TEST

/* ---- too big ---- */

static struct bed *translating(const struct flow_key *k, const char *server)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg m = bed_fixed(k, 60);
	struct bed *b;

	conf.accept_uncovered = true;
	b = bed_new_with(&conf);
	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, server, 8080);
	bed_message(b, 1, &m);
	b->routes[0].mtu = b->routes[1].mtu = 1300;
	return b;
}

/* A packet of the flow; whole: routers must not cut it. */
static void data(struct bed *b, const struct flow_key *k, bool whole, size_t bytes)
{
	struct packet p = {.ifindex = 7};
	size_t len = bed_write(b->packet, k, ACK, bytes);
	uint16_t sum;

	if (k->family == 4 && whole) {
		b->packet[6] = 0x40;
		memset(b->packet + 10, 0, 2);
		sum = checksum_finish(checksum_add(0, b->packet, 20));
		memcpy(b->packet + 10, &sum, 2);
	}
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
}

static void told_too_big(const struct bed *b, const struct flow_key *k, uint32_t mtu, const char *from)
{
	const struct packet *p = &bed_last_forwarded(b)->p;
	struct flow_key reverse = flow_key_reverse(k);

	/* About the packet as its sender knows it, and to him. */
	ck_assert_mem_eq(&p->flow, &reverse, sizeof(reverse));
	ck_assert_mem_eq(p->key.dst, k->src, 16);
	ck_assert_mem_eq(p->key.src, bed_addr(from).b, 16);
	ck_assert_uint_eq(p->data[p->l4], k->family == 4 ? 3 : 2);
	ck_assert_uint_eq(p->data[p->l4 + 1], k->family == 4 ? 4 : 0);
	ck_assert_uint_eq((uint32_t)(p->data[p->l4 + 6] << 8 | p->data[p->l4 + 7]), mtu);
	ck_assert_uint_eq(p->len, k->family == 4 ? 576 : 1280);
	ck_assert(bed_icmp_sum_holds(p));
}

START_TEST(test_too_big_is_told_FA_7)
{
	struct flow_key k = bed_client(40000),
			k6 = bed_key(IPPROTO_UDP, "2001:db8:7::1", 40000, "2001:db8:113::10", 53);
	struct bed *b = translating(&k, SERVER);

	data(b, &k, true, 1260); /* just fits */
	bed_went_to(bed_last_forwarded(b), SERVER, 8080);
	data(b, &k, true, 1261);
	told_too_big(b, &k, 1300, "192.0.2.1");
	ck_counter(b, ERRORS, 1);
	ck_counter(b, DROP_TOO_BIG, 1);
	/* One that routers may cut the kernel cuts. */
	data(b, &k, false, 1261);
	bed_went_to(bed_last_forwarded(b), SERVER, 8080);
	ck_counter(b, DROP_TOO_BIG, 1);
	bed_free(b);

	b = translating(&k6, "2001:db8:20::11");
	data(b, &k6, false, 1252);
	bed_went_to(bed_last_forwarded(b), "2001:db8:20::11", 8080);
	data(b, &k6, false, 1253);
	told_too_big(b, &k6, 1300, "2001:db8:9::1");
	/* IPv6 knows no less than 1280. */
	b->routes[1].mtu = 1000;
	data(b, &k6, false, 1232);
	bed_went_to(bed_last_forwarded(b), "2001:db8:20::11", 8080);
	data(b, &k6, false, 1233);
	told_too_big(b, &k6, 1280, "2001:db8:9::1");
	bed_free(b);
}
END_TEST

/* To a next hop the kernel cuts nothing: the agent does, of what may be cut. */
START_TEST(test_packet_to_a_next_hop_is_cut_FA_7_FIX_2)
{
	struct flow_key k = bed_client(40000);
	struct engine_conf conf = bed_conf();
	struct wire_msg m = bed_fixed(&k, 60);
	struct packet p = {.ifindex = 7};
	struct bed *b;
	size_t len;

	conf.accept_uncovered = true;
	b = bed_new_with(&conf);
	bed_dispatch(&m, "10.1.0.11");
	bed_nat(&m, WIRE_NAT_SPORT, NULL, 9);
	bed_message(b, 1, &m);
	b->routes[0].mtu = 1300;
	data(b, &k, false, 1260); /* just fits */
	ck_assert_uint_eq(b->forwarded_count, 1);
	data(b, &k, false, 2600);
	ck_assert_uint_eq(b->forwarded_count, 4);
	for (size_t i = 1; i < 4; i++) {
		const struct packet *f = &b->forwarded[i].p;

		ck_assert(b->forwarded[i].dispatched);
		ck_assert_mem_eq(b->forwarded[i].next_hop.b, bed_addr("10.1.0.11").b, 16);
		ck_assert_int_eq(packet_verify(f), PACKET_OK);
		ck_assert_uint_eq(f->fragment_offset, (i - 1) * 1280);
		ck_assert_uint_eq(f->len, i < 3 ? 1300 : 20 + 2620 - 2 * 1280);
		ck_assert_uint_eq(f->more_fragments, i < 3);
	}
	ck_assert_uint_eq(b->forwarded[1].p.key.sport, 9); /* edited before */
	ck_counter(b, FRAGMENTS_MADE, 3);
	ck_counter(b, FORWARDED, 4);
	/* Not one with DF; of a super-packet each segment by itself. */
	data(b, &k, true, 1261);
	told_too_big(b, &k, 1300, "192.0.2.1");
	bed_clear(b);
	len = bed_write(b->packet, &k, ACK, 2900);
	p.offload = (struct packet_offload){.gso_size = 1450, .gso_type = PACKET_GSO_TCP4};
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
	ck_assert_uint_eq(b->forwarded_count, 4);
	ck_assert_uint_eq(b->forwarded[2].p.fragment_offset, 0);
	ck_counter(b, FRAGMENTS_MADE, 7);
	bed_free(b);
}
END_TEST

/* A super-packet is as large as its segments. */
START_TEST(test_super_packet_fits_by_its_segments_FA_7)
{
	struct flow_key k = bed_client(40000);
	struct bed *b = translating(&k, SERVER);
	struct packet p = {.ifindex = 7};

	for (unsigned size = 1260; size <= 1261; size++) {
		size_t len = bed_write(b->packet, &k, ACK, 5000);

		b->packet[6] = 0x40;
		memset(b->packet + 10, 0, 2);
		bed_put16(b->packet + 10, 0);
		p = (struct packet){.ifindex = 7, .offload = {.gso_size = (uint16_t)size, .gso_type = PACKET_GSO_TCP4}};
		ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
		engine_packet(b->e, &p, b->now_ms);
	}
	ck_assert_uint_eq(b->forwarded[0].p.len, 5040);
	told_too_big(b, &k, 1300, "192.0.2.1");
	ck_assert_uint_eq(b->forwarded_count, 2);
	bed_free(b);
}
END_TEST

/* What is not changed is the kernel's, and what it cannot say about an error nobody may. */
START_TEST(test_too_big_is_not_always_the_agents_FA_7)
{
	struct flow_key k = bed_client(40000), about = flow_key_reverse(&k);
	struct bed *b = translating(&k, SERVER);
	struct flow_key plain = bed_client(40001);
	struct wire_msg m = bed_fixed(&plain, 60);
	size_t len;

	bed_message(b, 1, &m);
	data(b, &plain, true, 1400);
	bed_went_to(bed_last_forwarded(b), VIP, 80);
	/* An error that is too big itself. */
	b->routes[0].mtu = 600;
	take(b, bed_write_error(b->packet, ROUTER, &about, 3, 1, 1000));
	ck_assert_uint_eq(b->forwarded_count, 2); /* without DF */
	len = bed_write_error(b->packet, ROUTER, &about, 3, 1, 1000);
	b->packet[6] = 0x40;
	take(b, len);
	ck_counter(b, ERRORS, 0);
	ck_counter(b, DROP_TOO_BIG_UNTOLD, 1);
	ck_assert_uint_eq(b->forwarded_count, 2);
	/* Nor is there a route, or an address to say it from. */
	b->routes[0] = (struct engine_route){1300, {0}};
	data(b, &k, true, 1400);
	ck_counter(b, DROP_TOO_BIG_UNTOLD, 2);
	b->routes[0] = (struct engine_route){0};
	data(b, &k, true, 1400);
	bed_went_to(bed_last_forwarded(b), SERVER, 8080);
	bed_free(b);
}
END_TEST

/* 10 a second to one sender, 1000 to all. */
START_TEST(test_errors_made_are_limited_FA_7)
{
	struct flow_key k = bed_client(40000);
	struct bed *b = translating(&k, SERVER);

	for (int second = 1; second <= 2; second++) {
		b->routes_asked = 0;
		for (int i = 0; i < 50; i++)
			data(b, &k, true, 1400);
		/* For each packet's way, and for the source of each error. */
		ck_assert_uint_eq(b->routes_asked, 50 + 10);
		ck_assert_uint_eq(bed_counter(b, ENGINE_ERRORS), (uint64_t)(10 * second));
		ck_assert_uint_eq(bed_counter(b, ENGINE_DROP_TOO_BIG_UNTOLD), (uint64_t)(40 * second));
		bed_wait(b, 1000);
	}
	bed_free(b);
}
END_TEST

START_TEST(test_errors_made_are_limited_in_all_FA_7)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg m = bed_wildcard(VIP, 80);
	struct bed *b = bed_new_with(&conf);

	bed_nat(&m, WIRE_NAT_DST, SERVER, 0);
	bed_message(b, 1, &m);
	b->routes[0].mtu = 1300;
	for (int i = 0; i < 1200; i++) {
		struct flow_key k = bed_client(40000);

		k.src[2] = (uint8_t)(i >> 8);
		k.src[3] = (uint8_t)i;
		data(b, &k, true, 1400);
		bed_clear(b);
	}
	ck_counter(b, ERRORS, 1000);
	ck_counter(b, DROP_TOO_BIG_UNTOLD, 200);
	bed_free(b);
}
END_TEST

/* A tunnel's headers need their room, too. */
START_TEST(test_too_big_for_a_tunnel_FA_7_SVC_10)
{
	struct engine_conf conf = bed_conf();
	struct flow_key k = bed_client(40000);
	struct wire_msg m = bed_fixed(&k, 60);
	struct bed *b;

	conf.accept_uncovered = true;
	b = bed_new_with(&conf);
	bed_dispatch(&m, SERVER);
	m.tunnel = (struct wire_tunnel){.kind = WIRE_TUNNEL_UDP, .port = 5555, .remote = bed_addr("10.1.0.11")};
	wire_set(&m, WIRE_SEG_TUNNEL, true);
	bed_message(b, 1, &m);
	data(b, &k, true, 1500 - 28 - 40);
	ck_assert_uint_eq(bed_last_forwarded(b)->p.len, 1500);
	data(b, &k, true, 1500 - 28 - 40 + 1);
	told_too_big(b, &k, 1500 - 28, "192.0.2.1");
	bed_free(b);
}
END_TEST

/* The kernel is asked only where a packet may be too large for some way. */
START_TEST(test_routes_are_asked_only_if_need_be_FA_7)
{
	struct engine_conf conf = bed_conf();
	struct flow_key k = bed_client(40000);
	struct wire_msg m = bed_fixed(&k, 60);
	struct bed *b = translating(&k, SERVER);

	b->least_mtu = 1300;
	data(b, &k, true, 1260);
	ck_assert_uint_eq(b->routes_asked, 0);
	data(b, &k, true, 1261);
	ck_assert_uint_eq(b->routes_asked, 2);
	ck_counter(b, DROP_TOO_BIG, 1);
	b->least_mtu = 0; /* not known */
	data(b, &k, true, 1260);
	ck_assert_uint_eq(b->routes_asked, 3);
	bed_free(b);

	/* A tunnel adds to the size. */
	conf.accept_uncovered = true;
	b = bed_new_with(&conf);
	b->least_mtu = 1500;
	bed_dispatch(&m, SERVER);
	m.tunnel = (struct wire_tunnel){
		.kind = WIRE_TUNNEL_UDP, .port = 5555, .remote = bed_addr("10.1.0.11"), .local = bed_addr("10.1.0.1")};
	wire_set(&m, WIRE_SEG_TUNNEL, true);
	bed_message(b, 1, &m);
	data(b, &k, true, 1500 - 28 - 40);
	ck_assert_uint_eq(b->routes_asked, 0);
	data(b, &k, true, 1500 - 28 - 40 + 1);
	ck_assert_uint_eq(b->routes_asked, 2);
	ck_counter(b, DROP_TOO_BIG, 1);
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_error_is_translated_with_its_flow_KEY_4);
	tcase_add_test(t, test_error_of_the_flows_own_source_KEY_4);
	tcase_add_test(t, test_error_of_an_unknown_flow_is_asked_about_KEY_4_ARCH_3);
	tcase_add_test(t, test_error_given_back_goes_on_KEY_4_PREC_7);
	tcase_add_test(t, test_error_in_another_flows_update_is_dropped_KEY_4);
	tcase_add_test(t, test_error_about_nothing_known_has_its_own_key_KEY_2);
	tcase_add_test(t, test_error_shares_its_flows_fate_KEY_4_ACT_5);
	tcase_add_test(t, test_error_about_an_adjusted_flow_KEY_4_ACT_2);
	tcase_add_test(t, test_too_big_is_told_FA_7);
	tcase_add_test(t, test_packet_to_a_next_hop_is_cut_FA_7_FIX_2);
	tcase_add_test(t, test_super_packet_fits_by_its_segments_FA_7);
	tcase_add_test(t, test_too_big_is_not_always_the_agents_FA_7);
	tcase_add_test(t, test_errors_made_are_limited_FA_7);
	tcase_add_test(t, test_errors_made_are_limited_in_all_FA_7);
	tcase_add_test(t, test_too_big_for_a_tunnel_FA_7_SVC_10);
	tcase_add_test(t, test_routes_are_asked_only_if_need_be_FA_7);
	tcase_add_test(t, test_error_of_a_refused_source_is_dropped_KEY_4_SVC_5);
	tcase_add_test(t, test_error_is_no_life_of_its_flow_KEY_4_FIX_9);
}

int main(void)
{
	return bed_main("engine_error", add);
}
