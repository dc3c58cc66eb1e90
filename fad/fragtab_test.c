/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the table of fragmented datagrams: against a naive one over random
 * cases, its limits one by one, and what it costs when it is full.
 */
#include "fad/fragtab.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const uint64_t SEED[2] = {1, 2};
static const struct fragtab_limits ROOMY = {
	.datagrams = 100, .packets = 100, .each = 64, .bytes = 1 << 20, .known_ms = 30000, .wait_ms = 1000};

/* Bytes that a packet points to; what is in them is nobody's business here. */
static const uint8_t BYTES[2000] = {0x45};

static struct packet fragment(uint8_t family, uint32_t src, uint32_t id, bool first, uint32_t len)
{
	struct packet p = {.data = (uint8_t *)(uintptr_t)BYTES,
			   .len = len,
			   .fragment = true,
			   .first_fragment = first,
			   .fragment_id = id};

	p.key = (struct flow_key){.family = family, .proto = IPPROTO_UDP};
	memcpy(p.key.src, &src, sizeof(src));
	if (first) {
		p.key.sport = 1000;
		p.key.dport = 53;
	}
	return p;
}

static size_t free_all(struct held_packet *list)
{
	size_t n = 0;

	for (struct held_packet *next; list; list = next, n++) {
		next = list->next;
		free(list);
	}
	return n;
}

START_TEST(test_ACT_10_later_fragments_get_the_ports_of_the_first)
{
	struct fragtab *t = fragtab_new(&ROOMY, SEED);

	for (uint8_t family = 4; family <= 6; family += 2) {
		struct packet first = fragment(family, 1, 7, true, 100), later = fragment(family, 1, 7, false, 100);
		struct packet others[] = {fragment(family, 1, 8, false, 100), fragment(family, 2, 7, false, 100),
					  fragment(family == 4 ? 6 : 4, 1, 7, false, 100)};

		ck_assert(!fragtab_fill(t, &later, 0));
		ck_assert_ptr_null(fragtab_first(t, &first, 0));
		ck_assert(fragtab_fill(t, &later, 29999));
		ck_assert_mem_eq(&later.key, &first.key, sizeof(first.key));
		for (size_t i = 0; i < 3 && family == 4; i++)
			ck_assert(!fragtab_fill(t, &others[i], 0));
	}
	fragtab_free(t);
}
END_TEST

/* In IPv4 the protocol tells datagrams apart; in IPv6 the first fragment tells the protocol. */
START_TEST(test_ACT_10_protocols)
{
	struct fragtab *t = fragtab_new(&ROOMY, SEED);
	struct packet first4 = fragment(4, 1, 7, true, 100), later4 = fragment(4, 1, 7, false, 100);
	struct packet first6 = fragment(6, 1, 7, true, 100), later6 = fragment(6, 1, 7, false, 100);

	later4.key.proto = IPPROTO_TCP;
	later6.key.proto = IPPROTO_DSTOPTS;
	fragtab_first(t, &first4, 0);
	fragtab_first(t, &first6, 0);
	ck_assert(!fragtab_fill(t, &later4, 0));
	ck_assert(fragtab_fill(t, &later6, 0));
	ck_assert_uint_eq(later6.key.proto, IPPROTO_UDP);
	fragtab_free(t);
}
END_TEST

START_TEST(test_ACT_10_those_that_waited_follow_in_order)
{
	struct fragtab *t = fragtab_new(&ROOMY, SEED);
	struct packet first = fragment(4, 1, 7, true, 100);
	struct held_packet *out, *list;

	for (uint32_t len = 20; len < 30; len++) {
		struct packet p = fragment(4, 1, 7, false, len), other = fragment(4, 1, 8, false, len);

		ck_assert(fragtab_wait(t, &p, 5, &out));
		ck_assert_ptr_null(out);
		ck_assert(fragtab_wait(t, &other, 5, &out));
	}
	ck_assert_uint_eq(fragtab_stats(t)->waiting, 20);
	list = fragtab_first(t, &first, 6);
	for (uint32_t len = 20; len < 30; len++) {
		struct held_packet *h = list;

		ck_assert_ptr_nonnull(h);
		ck_assert_uint_eq(h->p.len, len);
		ck_assert_ptr_eq(h->p.data, h->bytes); /* copies */
		ck_assert_uint_eq(h->p.data[0], 0x45);
		ck_assert_uint_eq(h->p.key.dport, 53);
		list = h->next;
		free(h);
	}
	ck_assert_ptr_null(list);
	ck_assert_uint_eq(fragtab_stats(t)->waiting, 10);
	ck_assert_uint_eq(fragtab_stats(t)->waiting_high, 20);
	fragtab_free(t); /* and the others with it */
}
END_TEST

/* Identifications come round: what counts is the latest datagram. */
START_TEST(test_ACT_10_the_latest_first_fragment_counts)
{
	struct fragtab *t = fragtab_new(&ROOMY, SEED);
	struct packet one = fragment(4, 1, 7, true, 100), two = one, later = fragment(4, 1, 7, false, 100);

	two.key.sport = 2000;
	fragtab_first(t, &one, 0);
	fragtab_first(t, &two, 10);
	ck_assert(fragtab_fill(t, &later, 30005)); /* since its own time, not the other's */
	ck_assert_uint_eq(later.key.sport, 2000);
	ck_assert_uint_eq(fragtab_stats(t)->datagrams, 1);
	ck_assert_ptr_null(fragtab_expire(t, 30009));
	ck_assert_uint_eq(fragtab_stats(t)->datagrams, 1);
	later = fragment(4, 1, 7, false, 100);
	ck_assert(!fragtab_fill(t, &later, 30010)); /* also before anybody swept */
	ck_assert_ptr_null(fragtab_expire(t, 30010));
	ck_assert_uint_eq(fragtab_stats(t)->datagrams, 0);
	fragtab_free(t);
}
END_TEST

START_TEST(test_ACT_10_waiting_ends)
{
	struct fragtab *t = fragtab_new(&ROOMY, SEED);
	struct packet one = fragment(4, 1, 7, false, 100), two = fragment(4, 1, 8, false, 100);
	struct packet first = fragment(4, 1, 7, true, 100);
	struct held_packet *out;

	ck_assert(fragtab_wait(t, &one, 1000, &out));
	ck_assert(fragtab_wait(t, &two, 1100, &out));
	ck_assert(fragtab_wait(t, &one, 1900, &out)); /* does not prolong it */
	ck_assert_ptr_null(fragtab_expire(t, 1999));
	ck_assert_uint_eq(free_all(fragtab_expire(t, 2000)), 2);
	ck_assert_ptr_null(fragtab_first(t, &first, 2001)); /* too late */
	ck_assert_uint_eq(free_all(fragtab_expire(t, 2100)), 1);
	ck_assert_uint_eq(fragtab_stats(t)->waiting, 0);
	ck_assert_uint_eq(fragtab_stats(t)->bytes, 0);
	/* Known for too long, and not swept yet: it waits like any other. */
	ck_assert(fragtab_wait(t, &one, 2001 + 30000, &out));
	ck_assert_uint_eq(fragtab_stats(t)->datagrams, 0);
	ck_assert_uint_eq(fragtab_stats(t)->waiting, 1);
	fragtab_free(t);
}
END_TEST

START_TEST(test_ACT_10_the_oldest_gives_way)
{
	struct fragtab_limits limits = ROOMY;
	struct packet p, later;
	struct held_packet *out;
	struct fragtab *t;

	limits.datagrams = 3;
	limits.packets = 4;
	limits.each = 2;
	t = fragtab_new(&limits, SEED);
	for (uint32_t id = 1; id <= 5; id++) {
		p = fragment(4, 1, id, true, 100);
		fragtab_first(t, &p, id);
	}
	for (uint32_t id = 1; id <= 5; id++) {
		later = fragment(4, 1, id, false, 100);
		ck_assert(fragtab_fill(t, &later, 6) == (id > 2));
	}
	ck_assert_uint_eq(fragtab_stats(t)->datagrams_high, 3);
	ck_assert_uint_eq(fragtab_stats(t)->forgotten, 2);
	/* Two a datagram; the fifth packet ends the wait of the oldest datagram, the whole of it. */
	for (uint32_t id = 11; id <= 12; id++) {
		p = fragment(4, 1, id, false, 100);
		ck_assert(fragtab_wait(t, &p, id, &out));
		ck_assert(fragtab_wait(t, &p, id, &out));
		ck_assert(!fragtab_wait(t, &p, id, &out));
		ck_assert_ptr_null(out);
	}
	p = fragment(4, 1, 13, false, 100);
	ck_assert(fragtab_wait(t, &p, 13, &out));
	ck_assert_uint_eq(free_all(out), 2);
	ck_assert_uint_eq(fragtab_stats(t)->waiting, 3);
	p = fragment(4, 1, 11, true, 100);
	ck_assert_ptr_null(fragtab_first(t, &p, 14));
	fragtab_free(t);
}
END_TEST

/* Others give way to a datagram that grows, its own fragments do not. */
START_TEST(test_ACT_10_bytes_are_bounded)
{
	struct fragtab_limits limits = ROOMY;
	struct packet small = fragment(4, 1, 1, false, 100), large = fragment(4, 1, 2, false, 1000);
	struct held_packet *out;
	struct fragtab *t;

	limits.bytes = 3 * (sizeof(struct held_packet) + 1000);
	t = fragtab_new(&limits, SEED);
	ck_assert(fragtab_wait(t, &small, 0, &out));
	for (int i = 0; i < 3; i++) {
		ck_assert(fragtab_wait(t, &large, 0, &out));
		ck_assert_uint_eq(free_all(out), i == 2);
	}
	ck_assert(!fragtab_wait(t, &large, 0, &out));
	ck_assert_ptr_null(out);
	ck_assert_uint_eq(fragtab_stats(t)->bytes, limits.bytes);
	fragtab_free(t);
}
END_TEST

/* ---- against a naive table ---- */

enum { IDS = 40 };
static const struct fragtab_limits TIGHT = {
	.datagrams = 8, .packets = 12, .each = 4, .bytes = 1 << 20, .known_ms = 300, .wait_ms = 100};

struct naive {
	struct {
		bool known;
		uint16_t sport;
		uint64_t since, order; /* order: of the queue */
		uint32_t waiting;
	} of[IDS];
	uint64_t clock;
};

static uint32_t naive_count(const struct naive *n, bool known)
{
	uint32_t sum = 0;

	for (int i = 0; i < IDS; i++)
		sum += known ? n->of[i].known : n->of[i].waiting;
	return sum;
}

static int naive_oldest(const struct naive *n, bool known, int but)
{
	int best = -1;

	for (int i = 0; i < IDS; i++)
		if (i != but && (known ? n->of[i].known : n->of[i].waiting > 0) &&
		    (best < 0 || n->of[i].order < n->of[best].order))
			best = i;
	return best;
}

static uint32_t naive_take(struct naive *n, int id)
{
	uint32_t waited = n->of[id].waiting;

	memset(&n->of[id], 0, sizeof(n->of[id]));
	return waited;
}

static uint32_t naive_first(struct naive *n, int id, uint16_t sport, uint64_t now)
{
	uint32_t waited = naive_take(n, id);

	if (naive_count(n, true) >= TIGHT.datagrams)
		naive_take(n, naive_oldest(n, true, -1));
	n->of[id].known = true;
	n->of[id].sport = sport;
	n->of[id].since = now;
	n->of[id].order = ++n->clock;
	return waited;
}

/* What of others had to go; -1: no room. */
static int naive_wait(struct naive *n, int id, uint64_t now, bool *ok)
{
	int gone = 0;

	if (n->of[id].known)
		naive_take(n, id);
	*ok = false;
	if (n->of[id].waiting >= TIGHT.each)
		return 0;
	while (naive_count(n, false) >= TIGHT.packets) {
		int oldest = naive_oldest(n, false, id);

		if (oldest < 0)
			return gone;
		gone += (int)naive_take(n, oldest);
	}
	*ok = true;
	if (!n->of[id].waiting) {
		n->of[id].since = now;
		n->of[id].order = ++n->clock;
	}
	n->of[id].waiting++;
	return gone;
}

static uint32_t naive_expire(struct naive *n, uint64_t now)
{
	uint32_t gone = 0;

	for (int i = 0; i < IDS; i++) {
		if (n->of[i].known && now - n->of[i].since >= TIGHT.known_ms)
			naive_take(n, i);
		else if (n->of[i].waiting && now - n->of[i].since >= TIGHT.wait_ms)
			gone += naive_take(n, i);
	}
	return gone;
}

START_TEST(test_ACT_10_random_cases_against_a_naive_table)
{
	struct fragtab *t = fragtab_new(&TIGHT, SEED);
	struct naive n = {.clock = 0};
	uint64_t random = 20261125, now = 1000;
	size_t filled = 0, waited = 0;

	for (int round = 0; round < 200000; round++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		uint32_t r = (uint32_t)(random >> 33);
		int id = (int)(r % IDS);
		struct packet p = fragment(4, 1, (uint32_t)id, r / IDS % 4 == 0, 100);
		struct held_packet *out;

		now += r / 1000 % 3;
		if (p.first_fragment) {
			p.key.sport = (uint16_t)(r / 7 % 100);
			ck_assert_uint_eq(free_all(fragtab_first(t, &p, now)), naive_first(&n, id, p.key.sport, now));
		} else if (n.of[id].known && now - n.of[id].since < TIGHT.known_ms) {
			ck_assert(fragtab_fill(t, &p, now));
			ck_assert_uint_eq(p.key.sport, n.of[id].sport);
			filled++;
		} else {
			bool ok;
			int gone = naive_wait(&n, id, now, &ok);

			ck_assert(!fragtab_fill(t, &p, now));
			ck_assert(fragtab_wait(t, &p, now, &out) == ok);
			ck_assert_uint_eq(free_all(out), gone);
			waited += ok;
		}
		if (round % 10 == 0)
			ck_assert_uint_eq(free_all(fragtab_expire(t, now)), naive_expire(&n, now));
		ck_assert_uint_eq(fragtab_stats(t)->datagrams, naive_count(&n, true));
		ck_assert_uint_eq(fragtab_stats(t)->waiting, naive_count(&n, false));
	}
	ck_assert_uint_gt(filled, 1000);
	ck_assert_uint_gt(waited, 1000);
	fragtab_free(t);
}
END_TEST

/* ---- what a flood costs ---- */

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The least of some tries at 20,000 first fragments and orphans beyond what the table holds. */
static double flood(uint32_t limit)
{
	struct fragtab_limits limits = {
		.datagrams = limit, .packets = limit, .each = 64, .bytes = 1 << 30, .known_ms = 30000, .wait_ms = 1000};
	struct fragtab *t = fragtab_new(&limits, SEED);
	uint32_t id = 0;
	double best = 1e9;

	for (int try = 0; try < 6; try++) { /* the first one fills it */
		double start = seconds(), took;

		for (int i = 0; i < 20000; i++, id++) {
			struct packet first = fragment(4, 1, id, true, 40), orphan = fragment(4, 2, id, false, 40);
			struct held_packet *out;

			fragtab_first(t, &first, 0);
			ck_assert(fragtab_wait(t, &orphan, 0, &out));
			free_all(out);
		}
		took = seconds() - start;
		best = try && took < best ? took : best;
	}
	ck_assert_uint_eq(fragtab_stats(t)->datagrams, limit);
	ck_assert_uint_eq(fragtab_stats(t)->waiting, limit);
	fragtab_free(t);
	return best;
}

START_TEST(test_ACT_10_a_flood_costs_the_same_whatever_the_table_holds)
{
	double ratio = 0;

	/* A time: once may be bad luck, five times is not.  A scan would cost a hundred times as much. */
	for (int try = 0; try < 5 && (!try || ratio >= 4); try++)
		ratio = flood(8192) / flood(64);
	ck_assert_msg(ratio < 4, "8192 entries take %.2f times as long as 64", ratio);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fragtab");
	TCase *t = tcase_create("fragtab");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_ACT_10_later_fragments_get_the_ports_of_the_first);
	tcase_add_test(t, test_ACT_10_protocols);
	tcase_add_test(t, test_ACT_10_those_that_waited_follow_in_order);
	tcase_add_test(t, test_ACT_10_the_latest_first_fragment_counts);
	tcase_add_test(t, test_ACT_10_waiting_ends);
	tcase_add_test(t, test_ACT_10_the_oldest_gives_way);
	tcase_add_test(t, test_ACT_10_bytes_are_bounded);
	tcase_add_test(t, test_ACT_10_random_cases_against_a_naive_table);
	tcase_add_test(t, test_ACT_10_a_flood_costs_the_same_whatever_the_table_holds);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
