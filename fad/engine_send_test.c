/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what leaves the engine with other sequence numbers, and in tunnels.
 *
 * The bytes themselves are the packet vectors' business (plan_test.c): here it
 * is when, to what, and in how many pieces.
 */
#include "fad/engine_fixture.h"
#include "fad/engine_trace.h"
#include "fad/engine_wrap.h"

#define CLIENT6 "2001:db8:7::7"
#define VIP6    "2001:db8:113::10"

static const uint32_t mega = 1 << 20;

/* ---- packets with numbers ---- */

struct numbers {
	uint32_t seq, ack;
};

static void put32(uint8_t *at, uint32_t v)
{
	bed_put16(at, v >> 16);
	bed_put16(at + 2, v & 0xffff);
}

/* A TCP packet of any size; gso 0: no super-packet, its checksum complete, else partial if so wanted. */
static void numbered(struct bed *b, const struct flow_key *k, uint8_t flags, struct numbers n, size_t data,
		     uint16_t gso, bool partial)
{
	size_t len = bed_write(b->packet, k, flags, data), alen = addr_len(k->family), l4 = k->family == 4 ? 20 : 40;
	uint64_t sum = checksum_pseudo(k->src, k->dst, alen, IPPROTO_TCP, (uint32_t)(20 + data));
	struct packet p = {.ifindex = 7};
	uint8_t *tcp = b->packet + l4;
	uint16_t value;

	put32(tcp + 4, n.seq);
	put32(tcp + 8, n.ack);
	memset(tcp + 16, 0, 2);
	value = partial ? checksum_fold(sum) : checksum_finish(checksum_add(sum, tcp, 20 + data));
	memcpy(tcp + 16, &value, 2);
	if (partial)
		p.offload = (struct packet_offload){.partial = true, .csum_start = (uint16_t)l4, .csum_offset = 16};
	if (gso) {
		p.offload.gso_size = gso;
		p.offload.gso_type = k->family == 4 ? PACKET_GSO_TCP4 : PACKET_GSO_TCP6;
	}
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
}

static struct numbers numbers_of(const struct packet *p)
{
	ck_assert_uint_ne(p->l4, 0);
	return (struct numbers){plan_read32(p->data + p->l4 + 4), plan_read32(p->data + p->l4 + 8)};
}

static void went_with(const struct bed_forwarded *f, uint32_t seq, uint32_t ack)
{
	struct numbers n = numbers_of(&f->p);

	ck_assert_uint_eq(n.seq, seq);
	ck_assert_uint_eq(n.ack, ack);
	ck_assert(f->p.offload.partial || bed_sums_hold(&f->p));
}

static void adjust(struct wire_msg *m, uint32_t seq_delta, uint32_t seq_initial, uint32_t ack_delta,
		   uint32_t ack_initial)
{
	m->seq_adjust = (struct wire_seq_adjust){seq_delta, seq_initial, ack_delta, ack_initial};
	wire_set(m, WIRE_SEG_SEQ_ADJUST, true);
}

static struct flow_key client6(void)
{
	return bed_key(IPPROTO_TCP, CLIENT6, 4000, VIP6, 80);
}

/* An engine that accepts fixed affinities as they come. */
static struct bed *bed_open(void)
{
	struct engine_conf conf = bed_conf();

	conf.accept_uncovered = true;
	return bed_new_with(&conf);
}

/* ---- sequence adjust ---- */

START_TEST(test_ACT_2_not_to_the_manager_but_on_return)
{
	struct bed *b = bed_new();
	struct wire_msg service = bed_service(), answer;
	struct flow_key k = bed_client(4000);
	struct packet seen = {0};

	bed_message(b, 1, &service);
	numbered(b, &k, ACK, (struct numbers){1000, 5000}, 10, 0, false);
	ck_assert_int_eq(packet_parse(&seen, (uint8_t *)(uintptr_t)b->sent[0].m.packet.data, b->sent[0].m.packet.len),
			 PACKET_OK);
	ck_assert_uint_eq(numbers_of(&seen).seq, 1000);
	ck_assert_uint_eq(numbers_of(&seen).ack, 5000);
	numbered(b, &k, ACK, (struct numbers){1010, 5000}, 10, 0, false); /* waits */
	answer = bed_answer(&b->sent[0], 60);
	adjust(&answer, 300, 1000, (uint32_t)-20, 4000);
	bed_message(b, 1, &answer);
	ck_assert_uint_eq(b->forwarded_count, 2);
	went_with(&b->forwarded[0], 1300, 4980);
	went_with(&b->forwarded[1], 1310, 4980);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_2_a_wildcard_adjusts_and_so_does_a_flow_without_ttl)
{
	struct bed *b = bed_open();
	struct wire_msg wild = bed_wildcard("203.0.113.10", 80), once;
	struct flow_key k = bed_client(4000);

	adjust(&wild, 0x70000000, 0xf0000000, 0, 0);
	bed_message(b, 1, &wild);
	numbered(b, &k, SYN, (struct numbers){0xf0000001, 77}, 0, 0, false);
	went_with(bed_last_forwarded(b), 0x60000001, 77); /* without the ACK flag there is nothing to adjust */
	numbered(b, &k, ACK, (struct numbers){0xefffffff, 77}, 5, 0, false);
	went_with(bed_last_forwarded(b), 0xefffffff, 77);

	wild = bed_service();
	bed_message(b, 1, &wild);
	numbered(b, &k, ACK, (struct numbers){0xf0000000, 77}, 5, 0, false);
	once = bed_answer(bed_last_sent(b), 0);
	adjust(&once, 9, 0xf0000000, 9, 70);
	bed_message(b, 1, &once);
	went_with(bed_last_forwarded(b), 0xf0000009, 86);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_2_PREC_8_several_add_up_and_compare_with_what_arrived)
{
	struct bed *b = bed_open();
	struct flow_key k = bed_client(4000);

	for (uint32_t i = 0; i < 5; i++) {
		struct wire_msg m = bed_fixed(&k, 60);

		bed_precedence(&m, 10 + i);
		adjust(&m, 1u << i * 4, 1000 + i, 1u << i * 4, 2000 - i);
		bed_message(b, i + 1, &m);
		numbered(b, &k, ACK, (struct numbers){1002, 1998}, 5, 0, false);
		/* The first adds 1 to 1002, which is not then compared with the fourth's 1003. */
		went_with(bed_last_forwarded(b), 1002 + (0x111 & ((1u << (i + 1) * 4) - 1)),
			  1998 + (i < 2    ? 0
				  : i == 2 ? 0x100
					   : 0x1100));
		ck_counter(b, RANKS_IGNORED, i == 4); /* and the fifth is one too many */
	}
	bed_free(b);
}
END_TEST

/* A super-packet of 5 segments; the initial number lies in the middle of one of them. */
static void cut_by(struct bed *b, const struct flow_key *k, bool partial, uint32_t initial, size_t pieces,
		   const uint32_t seqs[])
{
	struct wire_msg m = bed_fixed(k, 60);

	bed_nat(&m, WIRE_NAT_DPORT, NULL, 8080);
	adjust(&m, 7, initial, 1, 50);
	bed_message(b, 1, &m);
	bed_clear(b);
	numbered(b, k, ACK | PSH | FIN, (struct numbers){0xffffff00, 60}, 450, 100, partial);
	ck_assert_uint_eq(b->forwarded_count, pieces);
	for (size_t i = 0; i < pieces; i++) {
		const struct bed_forwarded *f = &b->forwarded[i];

		went_with(f, seqs[i], 61);
		ck_assert_uint_eq(f->p.key.dport, 8080);
		ck_assert_uint_eq(f->p.offload.partial, partial && pieces == 1);
		ck_assert_uint_eq(f->p.len - f->p.payload, pieces == 1 ? 450 : i < 4 ? 100 : 50);
		ck_assert_uint_eq(f->p.tcp_flags, i + 1 == pieces ? ACK | PSH | FIN : ACK);
	}
}

START_TEST(test_ACT_2_ARCH_1_only_what_an_initial_number_cuts_is_cut)
{
	static const uint32_t cut[] = {0xffffff00, 0xffffff64, 0xffffffc8 + 7, 0x2c + 7, 0x90 + 7};
	struct flow_key keys[] = {bed_client(4000), client6()};

	for (int i = 0; i < 4; i++) {
		struct bed *b = bed_open();
		const struct flow_key *k = &keys[i / 2];
		bool partial = i % 2;

		cut_by(b, k, partial, 0xffffffc8, 5, cut); /* between two segments */
		cut_by(b, k, partial, 0xffffff65, 5, cut); /* inside the second: of the third on */
		cut_by(b, k, partial, 0xffffff00, 1, (const uint32_t[]){0xffffff07});
		cut_by(b, k, partial, 0xfffffe00, 1, (const uint32_t[]){0xffffff07});
		cut_by(b, k, partial, 0x000000c2, 1, (const uint32_t[]){0xffffff00}); /* right behind the last byte */
		ck_counter(b, FORWARDED, 13);
		bed_free(b);
	}
}
END_TEST

/* Let a flow run over `bytes`, half a megabyte a packet; each is adjusted. */
static struct numbers run(struct bed *b, const struct flow_key *k, struct numbers n, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += mega / 2) {
		numbered(b, k, ACK, n, 10, 0, false);
		went_with(bed_last_forwarded(b), n.seq + 1000, n.ack - 1000);
		bed_clear(b);
		n.seq += mega / 2;
		n.ack += mega / 2;
	}
	return n;
}

START_TEST(test_ACT_2_a_flow_of_any_length_stays_adjusted_also_by_a_refresh)
{
	struct bed *b = bed_open();
	struct flow_key k = bed_client(4000);
	struct wire_msg m = bed_fixed(&k, 600);
	struct numbers n = {500, 600};

	adjust(&m, 1000, 500, (uint32_t)-1000, 600);
	bed_message(b, 1, &m);
	n = run(b, &k, n, 3ull << 30);
	bed_message(b, 1, &m); /* a refresh: the same initial number, long passed */
	n = run(b, &k, n, 2ull << 30);
	/* What is a gigabyte behind may still be a repetition; what is older than any window is not adjusted. */
	numbered(b, &k, ACK, (struct numbers){n.seq - (1u << 30), n.ack}, 10, 0, false);
	went_with(bed_last_forwarded(b), n.seq - (1u << 30) + 1000, n.ack - 1000);
	numbered(b, &k, ACK, (struct numbers){n.seq - (1u << 30) - mega, n.ack}, 10, 0, false);
	went_with(bed_last_forwarded(b), n.seq - (1u << 30) - mega, n.ack - 1000);
	/* Another adjust is another one. */
	adjust(&m, 2000, n.seq + 100, (uint32_t)-1000, n.ack);
	bed_message(b, 1, &m);
	numbered(b, &k, ACK, n, 10, 0, false);
	went_with(bed_last_forwarded(b), n.seq, n.ack - 1000);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_2_a_forged_number_does_not_end_the_adjust)
{
	struct bed *b = bed_open();
	struct flow_key k = bed_client(4000);
	struct wire_msg m = bed_fixed(&k, 600);
	struct numbers n = {500 + 8 * mega, 600 + 8 * mega};

	adjust(&m, 1000, 500, (uint32_t)-1000, 600);
	bed_message(b, 1, &m);
	for (uint32_t i = 0; i < 8; i++) {
		numbered(b, &k, ACK, (struct numbers){0x7fffff00, 0x7fffff00}, 10, 0, false);
		numbered(b, &k, RST, (struct numbers){0x7fffff00, 0}, 0, 0, false);
	}
	numbered(b, &k, ACK, n, 10, 0, false);
	went_with(bed_last_forwarded(b), n.seq + 1000, n.ack - 1000);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_2_one_forged_number_does_nothing_to_a_young_flow)
{
	struct bed *b = bed_open();
	struct flow_key k = bed_client(4000);
	struct wire_msg m = bed_fixed(&k, 600);
	struct numbers n = {1500, 1600};

	adjust(&m, 7, 1000, 9, 1000);
	bed_message(b, 1, &m);
	for (uint32_t i = 0; i < 100; i++) {
		numbered(b, &k, ACK, (struct numbers){1000 + 0x7f000000, 1000 + 0x7f000000}, 10, 0, false);
		numbered(b, &k, ACK, n, 10, 0, false);
		went_with(bed_last_forwarded(b), n.seq + 7, n.ack + 9);
	}
	bed_free(b);
}
END_TEST

/* ---- tunnels ---- */

static void tunnel(struct wire_msg *m, enum wire_tunnel_kind kind, const char *remote, const char *local)
{
	m->tunnel = (struct wire_tunnel){.kind = (uint8_t)kind, .remote = bed_addr(remote)};
	if (kind == WIRE_TUNNEL_UDP)
		m->tunnel.port = 5555;
	if (local)
		m->tunnel.local = bed_addr(local);
	wire_set(m, WIRE_SEG_TUNNEL, true);
}

/* Look into what was forwarded last: outer header as said, inner packet parsed. */
static struct packet inside(const struct bed_forwarded *f, const struct wire_tunnel *t, const char *source)
{
	struct addr from = bed_addr(source);
	const struct packet *o = &f->p;
	struct packet in = {0};
	size_t at = wrap_overhead(t);

	ck_assert(!f->dispatched); /* routed by the outer destination */
	ck_assert_int_eq(packet_verify(o), PACKET_OK);
	ck_assert_uint_eq(o->offload.gso_size | o->offload.partial, 0);
	ck_assert_mem_eq(o->key.src, from.b, 16);
	ck_assert_mem_eq(o->key.dst, t->remote.b, 16);
	ck_assert_int_eq(packet_parse(&in, o->data + at, o->len - at), PACKET_OK);
	ck_assert_uint_eq(in.len, o->len - at);
	if (t->kind == WIRE_TUNNEL_UDP) {
		ck_assert_uint_eq(o->key.proto, IPPROTO_UDP);
		ck_assert_uint_eq(o->key.dport, 5555);
		ck_assert_uint_ge(o->key.sport, WRAP_FIRST_PORT);
		ck_assert(t->remote.family == 4 || bed_sums_hold(o));
	} else {
		ck_assert_uint_eq(o->key.proto, in.key.family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6);
	}
	ck_assert(bed_sums_hold(&in));
	return in;
}

static uint8_t hops(const struct packet *p)
{
	return p->data[p->key.family == 4 ? 8 : 7];
}

START_TEST(test_SVC_10_both_kinds_over_and_around_both_families)
{
	static const char *const remotes[] = {"10.1.0.11", "2001:db8:21::11"};
	static const char *const sources[] = {"192.0.2.1", "2001:db8:9::1"};

	for (int i = 0; i < 8; i++) {
		struct flow_key k = i & 1 ? client6() : bed_client(4000);
		enum wire_tunnel_kind kind = i & 2 ? WIRE_TUNNEL_UDP : WIRE_TUNNEL_IP;
		struct bed *b = bed_open();
		struct wire_msg m = bed_fixed(&k, 60);
		struct packet in;

		bed_dispatch(&m, i & 1 ? "2001:db8:20::11" : "10.0.20.11");
		tunnel(&m, kind, remotes[i / 4], NULL);
		bed_message(b, 1, &m);
		numbered(b, &k, SYN, (struct numbers){1, 0}, 0, 0, false);
		in = inside(bed_last_forwarded(b), &m.tunnel, sources[i / 4]);
		ck_assert_mem_eq(&in.key, &k, sizeof(k)); /* the packet's own destination */
		ck_assert_uint_eq(hops(&in), 63);
		ck_assert_uint_eq(hops(&bed_last_forwarded(b)->p), WRAP_HOP_LIMIT);
		ck_counter(b, WRAPPED, 1);
		/* Another one of the flow takes the same way, another flow most likely another. */
		numbered(b, &k, ACK, (struct numbers){2, 9}, 100, 0, false);
		ck_assert_uint_eq(b->forwarded[0].p.key.sport, b->forwarded[1].p.key.sport);
		bed_free(b);
	}
}
END_TEST

START_TEST(test_SVC_10_given_local_address_and_hop_limit)
{
	struct bed *b = bed_open();
	struct flow_key k = bed_client(4000);
	struct wire_msg m = bed_fixed(&k, 60);

	bed_dispatch(&m, "10.0.20.11");
	tunnel(&m, WIRE_TUNNEL_IP, "10.1.0.11", "192.0.2.77");
	m.tunnel.hop_limit = 5;
	bed_message(b, 1, &m);
	b->routes[0].mtu = 0; /* need not be asked for the source */
	numbered(b, &k, SYN, (struct numbers){1, 0}, 0, 0, false);
	inside(bed_last_forwarded(b), &m.tunnel, "192.0.2.77");
	ck_assert_uint_eq(hops(&bed_last_forwarded(b)->p), 5);

	tunnel(&m, WIRE_TUNNEL_IP, "10.1.0.11", NULL);
	bed_message(b, 1, &m);
	numbered(b, &k, ACK, (struct numbers){1, 0}, 0, 0, false);
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_counter(b, DROP_TUNNEL, 1);
	b->routes[0] = (struct engine_route){.mtu = 1500}; /* a way, but no address of our own */
	numbered(b, &k, ACK, (struct numbers){1, 0}, 0, 0, false);
	ck_counter(b, DROP_TUNNEL, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_SVC_10_MSG_11_super_packets_are_cut_and_completed_first)
{
	struct flow_key keys[] = {bed_client(4000), client6()};

	for (int i = 0; i < 4; i++) {
		struct bed *b = bed_open();
		const struct flow_key *k = &keys[i / 2];
		struct wire_msg m = bed_fixed(k, 60);

		bed_dispatch(&m, i / 2 ? "2001:db8:20::11" : "10.0.20.11");
		m.fixed.flags |= WIRE_FLAG_INFORMATION;
		bed_nat(&m, WIRE_NAT_SPORT, NULL, 99);
		adjust(&m, 1000, 300, 0, 0);
		tunnel(&m, WIRE_TUNNEL_UDP, "10.1.0.11", NULL);
		bed_message(b, 1, &m);
		numbered(b, k, ACK | PSH, (struct numbers){100, 60}, 450, 100, i % 2);
		ck_assert_uint_eq(b->forwarded_count, 5);
		for (uint32_t n = 0; n < 5; n++) {
			struct packet in = inside(&b->forwarded[n], &m.tunnel, "192.0.2.1");

			ck_assert_uint_eq(in.len - in.payload, n < 4 ? 100 : 50);
			ck_assert_uint_eq(numbers_of(&in).seq, 100 + n * 100 + (n < 2 ? 0 : 1000));
			ck_assert_uint_eq(in.key.sport, 99);
			ck_assert_uint_eq(b->forwarded[n].p.key.sport, b->forwarded[0].p.key.sport);
		}
		ck_assert_uint_eq(engine_forwards(b->e)->packets, 5); /* by the server's address (FIX-4) */
		ck_assert_mem_eq(&engine_forwards(b->e)->addr, &m.fixed.forward, sizeof(struct addr));
		bed_free(b);
	}
}
END_TEST

START_TEST(test_SVC_10_FA_7_whose_way_ends_here_is_neither_edited_nor_wrapped)
{
	struct bed *b = bed_open();
	struct flow_key k = bed_client(4000);
	struct wire_msg m = bed_fixed(&k, 60);
	struct packet p = {.ifindex = 7};
	size_t len = bed_write(b->packet, &k, ACK, 0);

	bed_dispatch(&m, "10.0.20.11");
	adjust(&m, 1000, 0, 1000, 0);
	tunnel(&m, WIRE_TUNNEL_IP, "10.1.0.11", NULL);
	bed_message(b, 1, &m);
	b->packet[8] = 1;
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
	ck_assert_mem_eq(&bed_last_forwarded(b)->p.key, &k, sizeof(k));
	ck_assert_uint_eq(numbers_of(&bed_last_forwarded(b)->p).seq, 0);
	ck_counter(b, WRAPPED, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_SVC_10_FIX_3_without_a_forward_address_it_is_dropped)
{
	struct bed *b = bed_open();
	struct flow_key k = bed_client(4000);
	struct wire_msg m = bed_fixed(&k, 60);

	bed_dispatch(&m, NULL);
	tunnel(&m, WIRE_TUNNEL_IP, "10.1.0.11", NULL);
	bed_message(b, 1, &m);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(b->forwarded_count, 0);
	ck_counter(b, DROP_AFFINITY, 1);
	bed_free(b);
}
END_TEST

START_TEST(test_SVC_10_PREC_6_it_goes_with_the_rank_that_ends_the_cascade)
{
	struct bed *b = bed_open();
	struct flow_key k = bed_client(4000);
	struct wire_msg first = bed_fixed(&k, 60), later = bed_fixed(&k, 60);

	bed_precedence(&first, 1);
	bed_dispatch(&first, "10.0.20.11");
	bed_precedence(&later, 2);
	bed_dispatch(&later, "10.0.20.12");
	tunnel(&later, WIRE_TUNNEL_IP, "10.1.0.12", NULL);
	bed_message(b, 1, &first);
	bed_message(b, 2, &later);
	bed_packet(b, &k, SYN, 0);
	ck_assert(bed_last_forwarded(b)->dispatched);
	ck_counter(b, WRAPPED, 0);
	first.fixed.ttl = 0;
	bed_message(b, 1, &first);
	bed_packet(b, &k, SYN, 0);
	inside(bed_last_forwarded(b), &later.tunnel, "192.0.2.1");
	bed_free(b);
}
END_TEST

/* ---- wildcards, words ---- */

START_TEST(test_WILD_4_PREC_10_another_tunnel_or_adjust_is_news_the_same_is_not)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_wildcard("203.0.113.10", 80);
	struct flow_key k = bed_client(4000);

	bed_dispatch(&m, "10.0.20.11");
	tunnel(&m, WIRE_TUNNEL_UDP, "10.1.0.11", NULL);
	bed_message(b, 1, &m);
	bed_message(b, 1, &m);
	ck_counter(b, WILDCARDS_REFRESHED, 1);
	m.tunnel.remote = bed_addr("10.1.0.12");
	bed_message(b, 1, &m);
	ck_counter(b, WILDCARDS_REFRESHED, 1);
	bed_packet(b, &k, SYN, 0);
	inside(bed_last_forwarded(b), &m.tunnel, "192.0.2.1");
	adjust(&m, 1, 2, 3, 4);
	bed_message(b, 1, &m);
	m.seq_adjust.ack_initial = 5;
	bed_message(b, 1, &m);
	ck_counter(b, WILDCARDS_REFRESHED, 1);
	bed_message(b, 1, &m);
	ck_counter(b, WILDCARDS_REFRESHED, 2);
	bed_free(b);
}
END_TEST

START_TEST(test_ARCH_7_words_and_trace)
{
	struct bed *b = bed_open();
	struct flow_key k = bed_client(4000);
	struct wire_msg m = bed_fixed(&k, 60);
	struct engine_trace t;
	char words[256];

	bed_dispatch(&m, "10.0.20.11");
	tunnel(&m, WIRE_TUNNEL_UDP, "2001:db8:21::11", "2001:db8:9::9");
	m.tunnel.hop_limit = 7;
	adjust(&m, 1000, 4294967295u, (uint32_t)-1000, 17);
	bed_message(b, 1, &m);
	engine_trace(b->e, &k, false, SYN, false, &t);
	ck_assert_int_eq(t.outcome, TRACE_FORWARDED);
	ck_assert(t.renumbered);
	ck_assert_ptr_nonnull(t.tunnel);
	ck_assert_mem_eq(&t.tunnel->remote, &m.tunnel.remote, sizeof(struct addr));
	affinity_describe(t.matches[0].a, words, sizeof(words));
	ck_assert_str_eq(words, "dispatch to 10.0.20.11 by IP in UDP to [2001:db8:21::11]:5555 from 2001:db8:9::9 "
				"hop limit 7, sequence +1000 from 4294967295, ack -1000 from 17");
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_ACT_2_not_to_the_manager_but_on_return);
	tcase_add_test(t, test_ACT_2_a_wildcard_adjusts_and_so_does_a_flow_without_ttl);
	tcase_add_test(t, test_ACT_2_PREC_8_several_add_up_and_compare_with_what_arrived);
	tcase_add_test(t, test_ACT_2_ARCH_1_only_what_an_initial_number_cuts_is_cut);
	tcase_add_test(t, test_ACT_2_a_flow_of_any_length_stays_adjusted_also_by_a_refresh);
	tcase_add_test(t, test_ACT_2_a_forged_number_does_not_end_the_adjust);
	tcase_add_test(t, test_SVC_10_both_kinds_over_and_around_both_families);
	tcase_add_test(t, test_SVC_10_given_local_address_and_hop_limit);
	tcase_add_test(t, test_SVC_10_MSG_11_super_packets_are_cut_and_completed_first);
	tcase_add_test(t, test_SVC_10_FA_7_whose_way_ends_here_is_neither_edited_nor_wrapped);
	tcase_add_test(t, test_SVC_10_FIX_3_without_a_forward_address_it_is_dropped);
	tcase_add_test(t, test_SVC_10_PREC_6_it_goes_with_the_rank_that_ends_the_cascade);
	tcase_add_test(t, test_WILD_4_PREC_10_another_tunnel_or_adjust_is_news_the_same_is_not);
	tcase_add_test(t, test_ARCH_7_words_and_trace);
	tcase_add_test(t, test_ACT_2_one_forged_number_does_nothing_to_a_young_flow);
}

int main(void)
{
	return bed_main("engine_send", add);
}
