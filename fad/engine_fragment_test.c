/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what an agent does with fragments (ACT-10): all of a datagram share
 * the fate of its first, whatever order they come in, and floods are bounded.
 */
#include "fad/engine_fixture.h"

#define VIP    "203.0.113.10"
#define VIP6   "2001:db8:113::10"
#define SERVER "10.0.20.11"
#define PIECE  400 /* bytes of a datagram in each fragment but the last */

/* ---- cutting and joining ---- */

/* A datagram to be cut: key, identification, bytes after the transport header. */
struct cut {
	struct flow_key key;
	uint32_t id;
	size_t data;
	bool extended; /* IPv6: destination options behind the fragment header */
};

static struct cut udp4(uint16_t sport)
{
	return (struct cut){bed_key(IPPROTO_UDP, "198.51.100.7", sport, VIP, 53), sport, 1000, false};
}

static struct cut udp6(uint16_t sport)
{
	return (struct cut){bed_key(IPPROTO_UDP, "2001:db8:7::1", sport, VIP6, 53), 0x10000u + sport, 1000, false};
}

static void set_sum4(uint8_t *ip)
{
	uint16_t sum;

	memset(ip + 10, 0, 2);
	sum = checksum_finish(checksum_add(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
}

/* The part that is cut: what is behind the headers of each fragment.  Returns its length. */
static size_t part(const struct cut *c, uint8_t whole[4096])
{
	static const uint8_t padding[8] = {IPPROTO_UDP, 0, 1, 4};
	size_t ip = c->key.family == 4 ? 20 : 40, len = bed_write(whole, &c->key, ACK, c->data);

	if (c->extended) {
		memmove(whole + ip + 8, whole + ip, len - ip);
		memcpy(whole + ip, padding, 8);
		len += 8;
	}
	return len - ip;
}

static size_t pieces(const struct cut *c)
{
	uint8_t whole[4096];

	return (part(c, whole) + PIECE - 1) / PIECE;
}

/* Write fragment i; returns its length. */
static size_t write_piece(uint8_t *at, const struct cut *c, size_t i)
{
	uint8_t whole[4096];
	size_t ip = c->key.family == 4 ? 20 : 40, header = c->key.family == 4 ? 20 : 48, all = part(c, whole);
	size_t from = i * PIECE, n = all - from < PIECE ? all - from : PIECE;
	bool more = from + n < all;

	memcpy(at, whole, ip);
	memcpy(at + header, whole + ip + from, n);
	if (c->key.family == 4) {
		bed_put16(at + 2, (unsigned)(20 + n));
		bed_put16(at + 4, c->id);
		bed_put16(at + 6, (unsigned)(from / 8 | (more ? 0x2000 : 0)));
		set_sum4(at);
		return 20 + n;
	}
	bed_put16(at + 4, (unsigned)(8 + n));
	at[6] = IPPROTO_FRAGMENT;
	at[40] = c->extended ? IPPROTO_DSTOPTS : c->key.proto;
	at[41] = 0;
	bed_put16(at + 42, (unsigned)(from | more));
	bed_put16(at + 44, c->id >> 16);
	bed_put16(at + 46, c->id & 0xffff);
	return 48 + n;
}

/* Fragment i of the datagram comes in. */
static void give(struct bed *b, const struct cut *c, size_t i)
{
	struct packet p = {.ifindex = 7};
	size_t len = write_piece(b->packet, c, i);

	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
}

/* Put the fragments forwarded from number `from` on together: one datagram, to this address and port, sums right. */
static void check_joined(const struct bed *b, size_t from, const struct cut *c, const char *addr, uint16_t port)
{
	size_t header = c->key.family == 4 ? 20 : 48, ip = c->key.family == 4 ? 20 : 40, all = 0;
	uint8_t whole[4096];
	struct packet p = {.ifindex = 0};
	struct addr want = bed_addr(addr);

	ck_assert_uint_eq(b->forwarded_count - from, pieces(c));
	for (size_t i = from; i < b->forwarded_count; i++) {
		const struct packet *f = &b->forwarded[i].p;

		ck_assert_int_eq(packet_verify(f), PACKET_OK);
		ck_assert_mem_eq(f->key.dst, want.b, 16);
		ck_assert_uint_eq(f->fragment_id, c->id);
		memcpy(whole + ip + f->fragment_offset, f->data + header, f->len - header);
		all += f->len - header;
	}
	memcpy(whole, b->forwarded[from].p.data, ip);
	if (c->key.family == 4) {
		bed_put16(whole + 2, (unsigned)(20 + all));
		bed_put16(whole + 6, 0);
		set_sum4(whole);
	} else {
		bed_put16(whole + 4, (unsigned)all);
		whole[6] = c->extended ? IPPROTO_DSTOPTS : c->key.proto;
	}
	ck_assert_int_eq(packet_parse(&p, whole, ip + all), PACKET_OK);
	ck_assert_uint_eq(p.key.dport, port);
	ck_assert(bed_sums_hold(&p));
}

/* ---- messages ---- */

static struct wire_msg wildcard(const char *dst, uint8_t proto, uint16_t dport)
{
	struct wire_msg m = bed_wildcard(dst, dport);

	m.wildcard.proto = proto;
	return m;
}

/* A manager that wants to decide on this flow's service. */
static void serve(struct bed *b, const struct cut *c)
{
	struct wire_msg m = wildcard(c->key.family == 4 ? VIP : VIP6, c->key.proto, c->key.dport);

	bed_interest(&m, PUNT_ALL, PUNT_ALL, 0, 0);
	bed_message(b, 1, &m);
}

static const char *server_of(const struct cut *c)
{
	return c->key.family == 4 ? SERVER : "2001:db8:20::11";
}

/* And has decided. */
static void decide(struct bed *b, const struct cut *c)
{
	struct wire_msg m = bed_fixed(&c->key, 60);

	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, server_of(c), 8053);
	bed_message(b, 1, &m);
}

/* Answer the question sent last, with its packet. */
static void answer(struct bed *b, const struct cut *c)
{
	const struct bed_sent *s = bed_last_sent(b);
	struct wire_msg m = bed_fixed(&s->m.identifier.key, 60);

	bed_nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, server_of(c), 8053);
	bed_return(&m, s);
	bed_message(b, 1, &m);
}

static const uint8_t ORDERS[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

/* ---- tests ---- */

START_TEST(test_ACT_10_KEY_3_any_order_reaches_the_server)
{
	for (size_t n = 0; n < sizeof(ORDERS) / sizeof(ORDERS[0]); n++) {
		struct bed *b = bed_new();
		struct cut cuts[] = {udp4(1000), udp6(1000), udp6(1001), udp4(1001)};

		cuts[2].extended = true;
		cuts[3].key.proto = IPPROTO_TCP;
		for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
			const struct cut *c = &cuts[i];

			bed_clear(b);
			ck_assert_uint_eq(pieces(c), 3);
			serve(b, c);
			decide(b, c);
			for (int j = 0; j < 3; j++)
				give(b, c, ORDERS[n][j]);
			ck_assert_uint_eq(b->sent_count, 0);
			check_joined(b, 0, c, server_of(c), 8053);
			ck_assert(b->forwarded[0].p.first_fragment);
		}
		ck_assert_uint_eq(bed_counter(b, ENGINE_FRAGMENTS_WAITED) + bed_counter(b, ENGINE_FRAGMENTS), 8);
		bed_free(b);
	}
}
END_TEST

/* The first is asked about, the others queue behind it whether they come before it or after. */
START_TEST(test_ACT_10_FA_9_fragments_wait_for_the_answer)
{
	for (size_t n = 0; n < sizeof(ORDERS) / sizeof(ORDERS[0]); n++) {
		struct bed *b = bed_new();
		struct cut cuts[] = {udp4(1000), udp6(1000)};

		for (size_t i = 0; i < 2; i++) {
			const struct cut *c = &cuts[i];

			bed_clear(b);
			serve(b, c);
			for (int j = 0; j < 3; j++)
				give(b, c, ORDERS[n][j]);
			ck_assert_uint_eq(b->sent_count, 1);
			ck_assert_uint_eq(b->forwarded_count, 0);
			ck_assert_mem_eq(&b->sent[0].m.identifier.key, &c->key, sizeof(c->key));
			answer(b, c);
			ck_assert_uint_eq(b->sent_count, 1);
			check_joined(b, 0, c, server_of(c), 8053);
			ck_assert(b->forwarded[0].p.first_fragment);
		}
		bed_free(b);
	}
}
END_TEST

/* Those released later keep the order they came in. */
START_TEST(test_ACT_10_order_is_kept)
{
	struct bed *b = bed_new();
	struct cut c = udp4(1000);

	c.data = 3000;
	ck_assert_uint_eq(pieces(&c), 8);
	serve(b, &c);
	for (size_t i = 1; i < 5; i++)
		give(b, &c, i);
	give(b, &c, 0);
	for (size_t i = 5; i < 8; i++)
		give(b, &c, i);
	answer(b, &c);
	check_joined(b, 0, &c, SERVER, 8053);
	for (size_t i = 0; i < 8; i++)
		ck_assert_uint_eq(b->forwarded[i].p.fragment_offset, i * PIECE);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_10_orphans_time_out)
{
	struct bed *b = bed_new();
	struct cut c = udp4(1000);

	serve(b, &c);
	decide(b, &c);
	give(b, &c, 1);
	give(b, &c, 2);
	ck_assert_uint_eq(engine_fragments(b->e)->waiting, 2);
	bed_wait(b, 950);
	ck_counter(b, DROP_FRAGMENT_ORPHANED, 0);
	bed_wait(b, 100);
	ck_counter(b, DROP_FRAGMENT_ORPHANED, 2);
	ck_assert_uint_eq(engine_fragments(b->e)->waiting, 0);
	give(b, &c, 0); /* too late for those, but not for what comes now */
	give(b, &c, 2);
	ck_assert_uint_eq(b->forwarded_count, 2);
	ck_assert_uint_eq(b->sent_count, 0);
	/* And after 30 s nobody remembers it. */
	bed_wait(b, 30000);
	ck_assert_uint_eq(engine_fragments(b->e)->datagrams, 0);
	bed_free(b);
}
END_TEST

/* A datagram of another port: its first comes up as well, and all of it goes on untouched. */
START_TEST(test_ACT_10_FA_7_other_datagrams_are_left_alone)
{
	for (size_t n = 0; n < sizeof(ORDERS) / sizeof(ORDERS[0]); n++) {
		struct bed *b = bed_new();
		struct cut c = udp4(1000), other = udp4(1001);
		uint8_t before[1500];

		other.key.dport = 54;
		serve(b, &c);
		for (int j = 0; j < 3; j++)
			give(b, &other, ORDERS[n][j]);
		ck_assert_uint_eq(b->sent_count, 0);
		ck_counter(b, UNMATCHED, 3);
		check_joined(b, 0, &other, VIP, 54);
		for (size_t i = 0; i < 3; i++) {
			const struct packet *f = &b->forwarded[i].p;

			ck_assert_uint_eq(write_piece(before, &other, f->fragment_offset / PIECE), f->len);
			ck_assert_mem_eq(before, f->data, f->len);
		}
		bed_free(b);
	}
}
END_TEST

START_TEST(test_ACT_3_ACT_10_fragments_that_nothing_matches_are_dropped_at_an_advertised_address)
{
	struct bed *b = bed_new();
	struct cut c = udp4(1000), other = udp4(1001);
	struct wire_msg m = wildcard(VIP, IPPROTO_UDP, 53);

	other.key.dport = 54;
	m.advertise_count = 1;
	wire_set(&m, WIRE_SEG_ADVERTISE, false);
	bed_message(b, 1, &m);
	decide(b, &c);
	for (size_t i = 0; i < 3; i++)
		give(b, &other, i);
	ck_counter(b, DROP_ADVERTISED, 3);
	for (size_t i = 0; i < 3; i++)
		give(b, &c, 2 - i);
	check_joined(b, 0, &c, SERVER, 8053);
	bed_free(b);
}
END_TEST

static bool refuse(void *ctx, uint32_t ifindex)
{
	(void)ctx;
	return ifindex == 7;
}

START_TEST(test_ARCH_1_FA_8_fragments_keep_to_the_interface_policy)
{
	struct engine_conf conf = bed_conf();
	struct engine_out out = bed_out;
	struct bed *b = calloc(1, sizeof(*b));
	struct cut c = udp4(1000), other = udp4(1001);

	other.key.dport = 54;
	out.refuses = refuse;
	b->now_ms = 1000;
	b->e = engine_new(&conf, &out, b);
	serve(b, &c);
	decide(b, &c);
	for (size_t i = 0; i < 3; i++) {
		give(b, &other, i);
		give(b, &c, i);
	}
	ck_counter(b, DROP_UNMATCHED, 3);
	check_joined(b, 0, &c, SERVER, 8053);
	/* But what is protected is the kernel's. */
	bed_clear(b);
	other.id++;
	for (size_t i = 0; i < 3; i++) {
		struct packet p = {.ifindex = 7, .guarded = true};
		size_t len = write_piece(b->packet, &other, 2 - i);

		ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
		engine_packet(b->e, &p, b->now_ms);
	}
	ck_counter(b, DROP_UNMATCHED, 3);
	check_joined(b, 0, &other, VIP, 54);
	bed_free(b);
}
END_TEST

/* What nobody decides by ports needs no first fragment. */
START_TEST(test_ACT_10_nothing_waits_where_ports_do_not_matter)
{
	struct bed *b = bed_new();
	struct cut c = udp4(1000);
	struct wire_msg m = wildcard(VIP, 0, 0), sensor = wildcard(VIP, 0, 0);

	bed_nat(&m, WIRE_NAT_DST, SERVER, 0);
	bed_message(b, 1, &m);
	bed_interest(&sensor, WIRE_INTEREST_FRAGMENT, 0, 0, 0);
	bed_precedence(&sensor, 1);
	bed_message(b, 2, &sensor);
	give(b, &c, 2);
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_uint_eq(b->sent[0].m.identifier.reasons, WIRE_INTEREST_FRAGMENT);
	ck_assert_uint_eq(b->sent[0].m.identifier.key.dport, 0); /* not known */
	give(b, &c, 0);
	give(b, &c, 1);
	ck_assert_uint_eq(b->sent[2].m.identifier.key.dport, 53);
	check_joined(b, 0, &c, SERVER, 53);
	ck_counter(b, FRAGMENTS_WAITED, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_10_WILD_6_what_makes_a_fragment_wait)
{
	const struct cut c = udp4(1000);
	struct wire_msg rows[] = {
		wildcard(VIP, IPPROTO_UDP, 53), /* a port, */
		wildcard(VIP, IPPROTO_UDP, 0),  /* a range of ports, */
		wildcard(VIP, IPPROTO_UDP, 0),  /* a manager that takes it, */
		wildcard(VIP, IPPROTO_UDP, 0),  /* or has it held; */
		wildcard(VIP, IPPROTO_UDP, 0),  /* not one that looks on, */
		wildcard(VIP, IPPROTO_UDP, 0),  /* nor a range of addresses, */
		wildcard(VIP, IPPROTO_TCP, 53), /* nor another protocol, */
		wildcard("203.0.113.11", 0, 0), /* nor another address */
	};

	rows[0].wildcard.sport = 1;
	rows[1].ranges[rows[1].range_count++] =
		(struct wire_range){.field = WIRE_RANGE_SPORT, .low_port = 1, .high_port = 2};
	wire_set(&rows[1], WIRE_SEG_RANGES, true);
	bed_interest(&rows[2], 0, PUNT_ALL, 0, 0);
	bed_interest(&rows[3], 0, 0, PUNT_ALL, PUNT_ALL);
	bed_interest(&rows[4], PUNT_ALL, PUNT_ALL, PUNT_ALL, 0);
	rows[5].ranges[rows[5].range_count++] =
		(struct wire_range){.field = WIRE_RANGE_SRC, .low = {1}, .high = {255, 255, 255, 255}};
	wire_set(&rows[5], WIRE_SEG_RANGES, true);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bed *b = bed_new();

		bed_message(b, 1, &rows[i]);
		ck_assert_uint_eq(wildtab_count(engine_wildcards(b->e)), 1);
		give(b, &c, 1);
		ck_assert_msg(engine_fragments(b->e)->waiting == (i < 4), "row %zu", i);
		bed_free(b);
	}
}
END_TEST

/* Other protocols have no ports: their fragments are alike. */
START_TEST(test_ACT_10_KEY_2_other_protocols)
{
	struct bed *b = bed_new();
	struct cut c = udp4(1000);
	struct wire_msg m = wildcard(VIP, 0, 0);

	c.key = bed_key(IPPROTO_ICMP, "198.51.100.7", 0, VIP, 0);
	bed_interest(&m, PUNT_ALL, PUNT_ALL, 0, 0);
	bed_message(b, 1, &m);
	give(b, &c, 1);
	ck_assert_uint_eq(b->sent_count, 1);
	ck_assert_mem_eq(&b->sent[0].m.identifier.key, &c.key, sizeof(c.key));
	give(b, &c, 0);
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 1);
	ck_assert_uint_eq(engine_fragments(b->e)->datagrams, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_10_FIX_2_dispatched_to_one_next_hop)
{
	struct bed *b = bed_new();
	struct cut c = udp4(1000);
	struct wire_msg m = bed_fixed(&c.key, 60);
	struct addr hop = bed_addr("10.0.20.12");

	serve(b, &c);
	bed_dispatch(&m, "10.0.20.12");
	bed_message(b, 1, &m);
	for (size_t i = 0; i < 3; i++)
		give(b, &c, 2 - i);
	check_joined(b, 0, &c, VIP, 53);
	for (size_t i = 0; i < 3; i++)
		ck_assert(b->forwarded[i].dispatched && addr_equal(&b->forwarded[i].next_hop, &hop));
	bed_free(b);
}
END_TEST

/* Its wildcard went before its fixed affinity: the kernel is told of later ones, too, that no wildcard's key covers. */
START_TEST(test_ACT_10_FIX_6_later_fragments_of_a_flow_without_a_wildcard)
{
	struct engine_conf conf = bed_conf();
	struct bed *b;

	conf.accept_uncovered = true;
	b = bed_new_with(&conf);
	for (int v6 = 0; v6 < 2; v6++) {
		struct cut c = v6 ? udp6(1000) : udp4(1000), other = v6 ? udp6(1001) : udp4(1001);

		bed_clear(b);
		decide(b, &c);
		ck_assert_int_eq(b->flows, 1 + v6);
		give(b, &other, 0); /* nothing is decided about that one */
		ck_assert_int_eq(b->flows, 1 + v6);
		bed_clear(b);
		for (size_t i = 0; i < 3; i++)
			give(b, &c, i);
		check_joined(b, 0, &c, server_of(&c), 8053);
		ck_assert_int_eq(b->flows, 2 + v6);
		give(b, &c, 0);
		ck_assert_int_eq(b->flows, 2 + v6);
		bed_wait(b, 29900);
		ck_assert_int_eq(b->flows, 2 + v6);
		bed_wait(b, 200);
		ck_assert_int_eq(b->flows, 1 + v6);
	}
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_10_FIX_3_dropped_with_the_first)
{
	struct bed *b = bed_new();
	struct cut c = udp4(1000);
	struct wire_msg m = bed_fixed(&c.key, 60);

	serve(b, &c);
	bed_dispatch(&m, NULL);
	bed_message(b, 1, &m);
	for (size_t i = 0; i < 3; i++)
		give(b, &c, i);
	ck_counter(b, DROP_AFFINITY, 3);
	bed_free(b);
}
END_TEST

/* Bits 8 and 15 only, and the flow's key. */
START_TEST(test_ACT_5_ACT_10_later_fragments_are_reported_for_their_flow)
{
	struct bed *b = bed_new();
	struct cut c = udp4(1000);
	struct wire_msg m = bed_fixed(&c.key, 60);

	serve(b, &c);
	bed_interest(&m, PUNT_ALL | WIRE_INTEREST_FRAGMENT | WIRE_INTEREST_DATA, 0, 0, 0);
	bed_message(b, 1, &m);
	for (size_t i = 0; i < 2; i++)
		give(b, &c, i);
	ck_assert_uint_eq(b->sent_count, 2);
	ck_assert_uint_eq(b->sent[0].m.identifier.reasons,
			  WIRE_INTEREST_ALL | WIRE_INTEREST_FRAGMENT | WIRE_INTEREST_DATA);
	ck_assert_uint_eq(b->sent[1].m.identifier.reasons, WIRE_INTEREST_ALL | WIRE_INTEREST_FRAGMENT);
	ck_assert_mem_eq(&b->sent[1].m.identifier.key, &c.key, sizeof(c.key));
	bed_free(b);
}
END_TEST

/* A manager takes a later one: it comes back as it went, without ports, in an update for its flow. */
START_TEST(test_ACT_10_FIX_8_a_later_fragment_is_punted_and_returned)
{
	struct cut cuts[] = {udp4(1000), udp6(1000), udp6(1000)};

	cuts[2].extended = true;
	for (size_t i = 0; i < 3; i++) {
		const struct cut *c = &cuts[i];
		struct bed *b = bed_new();

		struct wire_msg m = bed_fixed(&c->key, 2);

		serve(b, c);
		bed_message(b, 1, &m);
		give(b, c, 0);
		ck_assert_uint_eq(b->sent_count, 0);
		bed_wait(b, 4500); /* the affinity is gone, the datagram is remembered still */
		bed_clear(b);
		give(b, c, 1);
		give(b, c, 2);
		ck_assert_uint_eq(b->sent_count, 1);
		ck_assert_mem_eq(&b->sent[0].m.identifier.key, &c->key, sizeof(c->key));
		ck_assert_uint_eq(b->sent[0].m.identifier.reasons, PUNT_ALL);
		answer(b, c);
		ck_counter(b, DROP_MISMATCH, 0);
		ck_assert_uint_eq(b->forwarded_count, 2);
		ck_assert_mem_eq(b->forwarded[0].p.key.dst, bed_addr(server_of(c)).b, 16);
		ck_assert_uint_gt(b->forwarded[1].p.fragment_offset, b->forwarded[0].p.fragment_offset);
		bed_free(b);
	}
}
END_TEST

START_TEST(test_ACT_10_FIX_8_not_in_an_update_for_another_flow)
{
	const char *others[] = {"198.51.100.8", "198.51.100.7"};

	for (int i = 0; i < 2; i++) {
		struct bed *b = bed_new();
		struct cut c = udp4(1000), other = udp4(1000);
		uint8_t bytes[1500];
		struct wire_msg m;

		/* Other addresses; or another protocol. */
		other.key = bed_key(i ? IPPROTO_TCP : IPPROTO_UDP, others[i], 1000, VIP, 53);
		serve(b, &c);
		serve(b, &other);
		m = bed_fixed(&other.key, 60);
		m.packet = (struct wire_blob){bytes, (uint16_t)write_piece(bytes, &c, 1)};
		wire_set(&m, WIRE_SEG_IP_PACKET, true);
		bed_message(b, 1, &m);
		ck_counter(b, DROP_MISMATCH, 1);
		ck_assert_uint_eq(b->forwarded_count, 0);
		bed_free(b);
	}
}
END_TEST

/* In an IP packet only message there is no key: the datagram is remembered. */
START_TEST(test_ACT_10_MSG_9_a_later_fragment_comes_back_alone)
{
	struct engine_conf conf = bed_conf();
	struct bed *b;
	struct cut c = udp4(1000);
	struct wire_msg m = wildcard(VIP, IPPROTO_UDP, 53);

	conf.authenticated = false; /* so the cookie must be right */
	b = bed_new_with(&conf);
	bed_interest(&m, PUNT_ALL, WIRE_INTEREST_FRAGMENT, 0, 0);
	bed_message(b, 1, &m);
	give(b, &c, 2);
	give(b, &c, 0);
	ck_assert_uint_eq(b->sent_count, 1);
	for (int i = 0; i < 2; i++) {
		struct wire_msg back;

		wire_start(&back, WIRE_PACKET);
		bed_return(&back, bed_last_sent(b));
		bed_message(b, 1, &back);
		ck_assert_uint_eq(b->sent_count, 2); /* the first one's return brought up the one behind it */
		ck_assert_uint_eq(b->forwarded_count, i + 1);
	}
	ck_counter(b, DROP_COOKIE, 0);
	bed_free(b);
}
END_TEST

/* Orphans by the thousand: bounded, counted by name, and nobody who is known suffers. */
START_TEST(test_ACT_10_ARCH_10_a_flood_is_bounded)
{
	struct bed *b = bed_new();
	struct cut c = udp4(1000), flood = udp4(2000);
	const struct fragtab_stats *s = engine_fragments(b->e);

	serve(b, &c);
	decide(b, &c);
	give(b, &c, 0);
	for (uint32_t i = 0; i < 5000; i++) {
		flood.id = 10000 + i % 40000;
		give(b, &flood, 1 + i % 2);
	}
	ck_assert_uint_eq(s->waiting, 1024);
	ck_assert_uint_le(s->bytes, 4 << 20);
	ck_counter(b, DROP_FRAGMENT_NO_ROOM, 5000 - 1024);
	give(b, &c, 1);
	give(b, &c, 2);
	check_joined(b, 0, &c, SERVER, 8053);
	/* Also one that comes last first, meanwhile: it is the oldest that gives way. */
	bed_clear(b);
	c.id++;
	give(b, &c, 2);
	give(b, &c, 1);
	give(b, &flood, 1);
	give(b, &c, 0);
	check_joined(b, 0, &c, SERVER, 8053);
	bed_wait(b, 1100);
	ck_assert_uint_eq(s->waiting, 0);
	ck_assert_uint_eq(bed_counter(b, ENGINE_DROP_FRAGMENT_NO_ROOM) + bed_counter(b, ENGINE_DROP_FRAGMENT_ORPHANED),
			  5001);
	/* One datagram alone cannot take all the room. */
	for (int i = 0; i < 100; i++)
		give(b, &flood, 1);
	ck_assert_uint_eq(s->waiting, 64);
	bed_free(b);
}
END_TEST

START_TEST(test_ACT_10_ARCH_10_first_fragments_are_bounded)
{
	struct bed *b = bed_new();
	struct cut c = udp4(1000);
	struct wire_msg m = bed_fixed(&c.key, 60);

	serve(b, &c);
	bed_dispatch(&m, NULL);
	bed_message(b, 1, &m);
	for (uint32_t i = 0; i < 10000; i++) {
		c.id = i;
		give(b, &c, 0);
	}
	ck_assert_uint_eq(engine_fragments(b->e)->datagrams, 4096);
	ck_assert_uint_eq(engine_fragments(b->e)->forgotten, 10000 - 4096);
	ck_counter(b, DROP_AFFINITY, 10000);
	bed_free(b);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_ACT_10_KEY_3_any_order_reaches_the_server);
	tcase_add_test(t, test_ACT_10_FA_9_fragments_wait_for_the_answer);
	tcase_add_test(t, test_ACT_10_order_is_kept);
	tcase_add_test(t, test_ACT_10_orphans_time_out);
	tcase_add_test(t, test_ACT_10_FA_7_other_datagrams_are_left_alone);
	tcase_add_test(t, test_ACT_3_ACT_10_fragments_that_nothing_matches_are_dropped_at_an_advertised_address);
	tcase_add_test(t, test_ARCH_1_FA_8_fragments_keep_to_the_interface_policy);
	tcase_add_test(t, test_ACT_10_nothing_waits_where_ports_do_not_matter);
	tcase_add_test(t, test_ACT_10_WILD_6_what_makes_a_fragment_wait);
	tcase_add_test(t, test_ACT_10_KEY_2_other_protocols);
	tcase_add_test(t, test_ACT_10_FIX_2_dispatched_to_one_next_hop);
	tcase_add_test(t, test_ACT_10_FIX_6_later_fragments_of_a_flow_without_a_wildcard);
	tcase_add_test(t, test_ACT_10_FIX_3_dropped_with_the_first);
	tcase_add_test(t, test_ACT_5_ACT_10_later_fragments_are_reported_for_their_flow);
	tcase_add_test(t, test_ACT_10_FIX_8_a_later_fragment_is_punted_and_returned);
	tcase_add_test(t, test_ACT_10_FIX_8_not_in_an_update_for_another_flow);
	tcase_add_test(t, test_ACT_10_MSG_9_a_later_fragment_comes_back_alone);
	tcase_add_test(t, test_ACT_10_ARCH_10_a_flood_is_bounded);
	tcase_add_test(t, test_ACT_10_ARCH_10_first_fragments_are_bounded);
}

int main(void)
{
	return bed_main("engine_fragment", add);
}
