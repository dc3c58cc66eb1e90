/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole truth table of interest, data, copy and hold (ACT-6, ACT-7), for every bit (ACT-5), of every kind of
 * packet, in wildcard and in fixed affinities.
 *
 * What must come out is written down here row by row, from the requirements, and never computed as the engine does.
 */
#include "fad/engine_fixture.h"

#define BIT(n) (1u << (n))
#define URG    0x20

/* ACT-5, by number. */
static const uint8_t numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 15};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))
#define EVERY   0x81ffu

/* Packets, and the bits that they set, if they are the first of their flow that one sees. */
static const struct kind {
	const char *name;
	uint8_t proto, flags;
	uint16_t data;
	bool fragment; /* the first one of a datagram */
	uint16_t bits;
} kinds[] = {
	{"SYN", IPPROTO_TCP, SYN, 0, false, BIT(1) | BIT(15)},
	{"ACK with data", IPPROTO_TCP, ACK, 10, false, BIT(4) | BIT(6) | BIT(7) | BIT(15)},
	{"PSH ACK FIN with data", IPPROTO_TCP, PSH | ACK | FIN, 1, false,
	 BIT(0) | BIT(3) | BIT(4) | BIT(6) | BIT(7) | BIT(15)},
	{"RST", IPPROTO_TCP, RST, 0, false, BIT(2) | BIT(15)},
	{"URG ACK", IPPROTO_TCP, URG | ACK, 0, false, BIT(5) | BIT(4) | BIT(15)},
	{"no flags", IPPROTO_TCP, 0, 0, false, BIT(15)},
	{"all flags", IPPROTO_TCP, 0xff, 3, false, 0x00ff | BIT(15)},
	{"first fragment of TCP", IPPROTO_TCP, ACK, 12, true, BIT(4) | BIT(6) | BIT(7) | BIT(8) | BIT(15)},
	{"UDP", IPPROTO_UDP, 0, 4, false, BIT(6) | BIT(7) | BIT(15)},
	{"empty UDP", IPPROTO_UDP, 0, 0, false, BIT(15)},
	{"first fragment of UDP", IPPROTO_UDP, 0, 8, true, BIT(6) | BIT(7) | BIT(8) | BIT(15)},
	{"ICMP", IPPROTO_ICMP, 0, 20, false, BIT(15)},
	{"first fragment of ICMP", IPPROTO_ICMP, 0, 16, true, BIT(15)},
	{"ESP", IPPROTO_ESP, 0, 20, false, BIT(15)},
	{"SCTP", IPPROTO_SCTP, 0, 20, false, BIT(15)},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

enum told { NOTHING, NOTICE, MATCH_AND_PACKET, PACKET_ALONE };
enum fate { GOES_ON, TAKEN, HELD };

/* ACT-6 and ACT-7, for a packet that sets the bit. */
static const struct {
	unsigned interest, data, copy, hold;
	enum told told;
	enum fate fate;
} table[16] = {
	{0, 0, 0, 0, NOTHING, GOES_ON},        {1, 0, 0, 0, NOTICE, GOES_ON},
	{0, 1, 0, 0, PACKET_ALONE, TAKEN},     {1, 1, 0, 0, MATCH_AND_PACKET, TAKEN},
	{0, 0, 1, 0, PACKET_ALONE, GOES_ON},   {1, 0, 1, 0, MATCH_AND_PACKET, GOES_ON},
	{0, 1, 1, 0, PACKET_ALONE, GOES_ON},   {1, 1, 1, 0, MATCH_AND_PACKET, GOES_ON},
	{0, 0, 0, 1, NOTHING, GOES_ON}, /* hold only decides about the original of a copy */
	{1, 0, 0, 1, NOTICE, GOES_ON},         {0, 1, 0, 1, PACKET_ALONE, TAKEN},
	{1, 1, 0, 1, MATCH_AND_PACKET, TAKEN}, {0, 0, 1, 1, PACKET_ALONE, HELD},
	{1, 0, 1, 1, MATCH_AND_PACKET, HELD},  {0, 1, 1, 1, PACKET_ALONE, HELD},
	{1, 1, 1, 1, MATCH_AND_PACKET, HELD},
};

static struct flow_key key_of(const struct kind *kind)
{
	bool ports = kind->proto == IPPROTO_TCP || kind->proto == IPPROTO_UDP;

	return bed_key(kind->proto, "198.51.100.7", ports ? 1000 : 0, "203.0.113.10", ports ? 80 : 0);
}

/* Everything to the service's address: without criteria so far. */
static struct wire_msg wildcard_for(const struct kind *kind)
{
	struct wire_msg m = bed_wildcard("203.0.113.10", 0);

	m.wildcard.proto = kind->proto;
	return m;
}

/* A manager's criteria, in a wildcard, or in the flow's fixed affinity. */
static struct bed *asking(const struct kind *kind, bool fixed, const struct wire_interest *c)
{
	struct bed *b = bed_new();
	struct wire_msg m = wildcard_for(kind);
	struct flow_key k = key_of(kind);

	if (fixed) {
		bed_message(b, 1, &m);
		m = bed_fixed(&k, 60);
	}
	bed_interest(&m, c->interest, c->data, c->copy, c->hold);
	bed_message(b, 1, &m);
	ck_assert_uint_eq(b->sent_count, 0);
	return b;
}

static size_t give(struct bed *b, const struct kind *kind)
{
	struct packet p = {.ifindex = 7};
	struct flow_key k = key_of(kind);
	size_t len = bed_write(b->packet, &k, kind->flags, kind->data);

	if (kind->fragment) {
		uint16_t sum;

		b->packet[6] = 0x20; /* more follow */
		memset(b->packet + 10, 0, 2);
		sum = checksum_finish(checksum_add(0, b->packet, 20));
		memcpy(b->packet + 10, &sum, 2);
	}
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
	return len;
}

static void check_told(const struct bed *b, enum told told, uint16_t reasons, size_t len, bool fixed, const char *what)
{
	const struct wire_msg *m = &b->sent[0].m;

	ck_assert_msg(b->sent_count == (told != NOTHING), "%s: %zu messages", what, b->sent_count);
	if (told == NOTHING)
		return;
	if (told == PACKET_ALONE) {
		ck_assert_msg(m->h.type == WIRE_PACKET, "%s: %s", what, wire_type_name(m->h.type));
	} else {
		ck_assert_msg(m->h.type == (fixed ? WIRE_MATCH_FIXED : WIRE_MATCH_WILDCARD), "%s: %s", what,
			      wire_type_name(m->h.type));
		ck_assert_msg(m->identifier.reasons == reasons, "%s: reasons %04x", what, m->identifier.reasons);
	}
	ck_assert_msg(wire_has(m, WIRE_SEG_IP_PACKET) == (told != NOTICE), "%s: packet", what);
	if (told != NOTICE)
		ck_assert_msg(m->packet.len == len, "%s: %u bytes", what, m->packet.len);
}

static void check_fate(const struct bed *b, enum fate fate, const char *what)
{
	ck_assert_msg(b->forwarded_count == (fate == GOES_ON), "%s: %zu forwarded", what, b->forwarded_count);
	ck_assert_msg((bed_counter(b, ENGINE_PUNTS) == 1) == (fate == TAKEN), "%s: punts", what);
	ck_assert_msg((bed_counter(b, ENGINE_HELD) == 1) == (fate == HELD), "%s: held", what);
	/* FA-9: what comes later waits, too. */
	ck_assert_msg(hold_flows(engine_hold(b->e)) == (fate != GOES_ON), "%s: hold", what);
}

/* What is held goes on when a fixed affinity says how, and to the manager when none comes; half of the cases each. */
static void check_end(struct bed *b, const struct kind *kind, size_t len, bool answered, const char *what)
{
	struct flow_key k = key_of(kind);
	struct wire_msg m = bed_fixed(&k, 60);
	size_t before = b->sent_count;

	if (answered) {
		bed_nat(&m, WIRE_NAT_DST, "10.0.20.11", 0);
		bed_message(b, 1, &m);
		ck_assert_msg(b->forwarded_count == 1 && b->sent_count == before, "%s: answered", what);
		ck_assert_uint_eq(b->forwarded[0].p.len, len);
		ck_assert_uint_eq(b->forwarded[0].p.key.dst[0], 10);
		return;
	}
	bed_wait(b, 300);
	ck_assert_msg(b->forwarded_count == 0 && b->sent_count == before + 1, "%s: %zu forwarded, %zu sent", what,
		      b->forwarded_count, b->sent_count - before);
	ck_assert_msg(b->sent[before].m.h.type == WIRE_PACKET && b->sent[before].m.packet.len == len, "%s: late", what);
}

static void check_row(const struct kind *kind, unsigned number, size_t row, bool fixed)
{
	uint16_t bit = (uint16_t)BIT(number);
	bool set = (kind->bits & bit) != 0;
	const struct wire_interest c = {.interest = table[row].interest ? bit : 0,
					.data = table[row].data ? bit : 0,
					.copy = table[row].copy ? bit : 0,
					.hold = table[row].hold ? bit : 0};
	struct bed *b = asking(kind, fixed, &c);
	char what[120];
	size_t len = give(b, kind);

	snprintf(what, sizeof(what), "%s, bit %u, interest %u data %u copy %u hold %u, %s", kind->name, number,
		 table[row].interest, table[row].data, table[row].copy, table[row].hold, fixed ? "fixed" : "wildcard");
	check_told(b, set ? table[row].told : NOTHING, bit, len, fixed, what);
	check_fate(b, set ? table[row].fate : GOES_ON, what);
	if (set && table[row].fate == HELD)
		check_end(b, kind, len, (number + row) % 2, what);
	bed_free(b);
}

START_TEST(test_ACT_5_ACT_6_ACT_7_every_bit_of_every_kind_of_packet)
{
	for (size_t n = 0; n < NUMBERS; n++)
		for (size_t row = 0; row < 16; row++)
			for (int fixed = 0; fixed < 2; fixed++)
				check_row(&kinds[_i], numbers[n], row, fixed);
}
END_TEST

START_TEST(test_ACT_5_reasons_of_every_combination_of_TCP_flags)
{
	const struct wire_interest all = {.interest = EVERY};

	for (unsigned flags = 0; flags < 64; flags++)
		for (uint16_t data = 0; data < 2; data++) {
			const struct kind kind = {
				.name = "flags", .proto = IPPROTO_TCP, .flags = (uint8_t)flags, .data = data};
			struct bed *b = asking(&kind, data, &all);

			give(b, &kind);
			ck_assert_uint_eq(b->sent_count, 1);
			ck_assert_uint_eq(b->sent[0].m.identifier.reasons, flags | (data ? 0xc0 : 0) | 0x8000);
			bed_free(b);
		}
}
END_TEST

/*
 * All ways to spread the four masks over three bits, two that the packet sets and one that it does not.  Each bit is
 * one row of the table; together: a notice if one asks for it, the packet is taken if one takes it, else a copy goes if
 * one copies, and it is held if one holds.
 */
START_TEST(test_ACT_6_ACT_7_several_bits_together)
{
	static const uint16_t bits[3] = {BIT(1), BIT(15), BIT(0)};
	const struct kind *syn = &kinds[0];

	for (unsigned way = 0; way < 4096; way++) {
		struct wire_interest c = {0};
		bool notice = false, packet = false, taken = false, held = false;
		uint16_t reasons = 0;
		struct bed *b;
		char what[40];

		for (unsigned i = 0; i < 3; i++) {
			size_t row = way >> (4 * i) & 15;

			c.interest |= table[row].interest ? bits[i] : 0;
			c.data |= table[row].data ? bits[i] : 0;
			c.copy |= table[row].copy ? bits[i] : 0;
			c.hold |= table[row].hold ? bits[i] : 0;
			if (i == 2)
				continue;
			notice |= table[row].told == NOTICE || table[row].told == MATCH_AND_PACKET;
			reasons |= table[row].interest ? bits[i] : 0;
			packet |= table[row].told == PACKET_ALONE || table[row].told == MATCH_AND_PACKET;
			taken |= table[row].fate == TAKEN;
			held |= table[row].fate == HELD;
		}
		snprintf(what, sizeof(what), "rows %03x", way);
		b = asking(syn, false, &c);
		check_told(b,
			   packet   ? (notice ? MATCH_AND_PACKET : PACKET_ALONE)
			   : notice ? NOTICE
				    : NOTHING,
			   reasons, give(b, syn), false, what);
		check_fate(b, taken ? TAKEN : held ? HELD : GOES_ON, what);
		bed_free(b);
	}
}
END_TEST

static void add(TCase *t)
{
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_ACT_5_ACT_6_ACT_7_every_bit_of_every_kind_of_packet, 0, (int)KINDS);
	tcase_add_test(t, test_ACT_5_reasons_of_every_combination_of_TCP_flags);
	tcase_add_test(t, test_ACT_6_ACT_7_several_bits_together);
}

int main(void)
{
	return bed_main("engine_truth", add);
}
