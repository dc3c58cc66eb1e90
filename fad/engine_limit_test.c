/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the limit on questions to managers: each wildcard has a rate of its
 * own, so a flood to one service costs the others nothing (FA-5).
 */
#include "fad/engine_fixture.h"

#define RATE 100 /* a second; a tenth of it at once */

static struct bed *begin(bool routed)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg m = bed_service(), other = bed_service();
	struct bed *b;

	conf.punt_rate = RATE;
	conf.hold.flows = 10000;
	conf.punt_excess_routed = routed;
	b = bed_new_with(&conf);
	bed_message(b, 1, &m);
	other.wildcard.dport = 81;
	bed_message(b, 1, &other);
	return b;
}

/* New flows to this port of the service, each from a port of its own. */
static void flood(struct bed *b, uint16_t dport, uint16_t first, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct flow_key k = bed_client((uint16_t)(first + i));

		k.dport = dport;
		bed_packet(b, &k, SYN, 0);
	}
}

START_TEST(test_FA_5_a_flood_to_one_service_leaves_the_others_their_share)
{
	struct bed *b = begin(false);
	const struct wildcard *w;
	uint64_t asked;

	flood(b, 80, 1000, 1000);
	asked = engine_counters(b->e)[ENGINE_PUNTS];
	ck_assert_uint_ge(asked, RATE / 10);
	ck_assert_uint_le(asked, RATE / 10 + 2);
	ck_counter(b, DROP_PUNT_LIMIT, 1000 - asked);
	for (w = wildtab_first(engine_wildcards(b->e)); w; w = w->next)
		ck_assert_uint_eq(w->drops, w->match.dport == 80 ? 1000 - asked : 0);
	/* The other service has not noticed. */
	flood(b, 81, 30000, 5);
	ck_counter(b, PUNTS, asked + 5);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_the_rate_is_what_was_configured)
{
	struct bed *b = begin(false);
	uint64_t before, asked;

	flood(b, 80, 1000, 1000);
	before = engine_counters(b->e)[ENGINE_PUNTS];
	for (int i = 0; i < 20; i++) { /* 200 ms, less than a question's patience */
		b->now_ms += 10;
		flood(b, 80, (uint16_t)(2000 + 100 * i), 100);
	}
	asked = engine_counters(b->e)[ENGINE_PUNTS] - before;
	ck_assert_uint_ge(asked, RATE / 5 - 1);
	ck_assert_uint_le(asked, RATE / 5 + 1);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_a_refresh_or_a_change_of_the_wildcard_gives_no_new_share)
{
	struct bed *b = begin(false);
	struct wire_msg m = bed_service();
	uint64_t asked;

	flood(b, 80, 1000, 1000);
	asked = engine_counters(b->e)[ENGINE_PUNTS];
	bed_message(b, 1, &m);
	m.wildcard.flags ^= WIRE_FLAG_INFORMATION;
	bed_message(b, 1, &m);
	flood(b, 80, 3000, 100);
	ck_counter(b, PUNTS, asked);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_what_exceeds_is_routed_where_the_operator_says_so)
{
	struct bed *b = begin(true);
	uint64_t asked;

	flood(b, 80, 1000, 100);
	asked = engine_counters(b->e)[ENGINE_PUNTS];
	ck_counter(b, EXCESS_ROUTED, 100 - asked);
	ck_counter(b, DROP_PUNT_LIMIT, 0);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_without_a_rate_there_is_no_limit)
{
	struct bed *b = bed_new();
	struct wire_msg m = bed_service();

	bed_message(b, 1, &m);
	flood(b, 80, 1000, 6);
	ck_counter(b, PUNTS, 6);
	bed_free(b);
}
END_TEST

/* n new flows from other hosts, each in a network of its own. */
static void from_many(struct bed *b, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		struct flow_key k = bed_client(999);

		k.src[1] = (uint8_t)(i >> 8);
		k.src[2] = (uint8_t)i;
		bed_packet(b, &k, SYN, 0);
	}
}

START_TEST(test_FA_5_a_source_that_asks_little_gets_through_beside_one_that_floods)
{
	struct bed *b = begin(false);
	struct flow_key quiet = bed_client(1);
	uint64_t asked;

	quiet.src[2] ^= 1;
	flood(b, 80, 1000, 1000);
	asked = engine_counters(b->e)[ENGINE_PUNTS];
	ck_counter(b, PUNTS_SHARE, 0);
	for (unsigned i = 0; i < 3; i++) {
		quiet.sport++;
		bed_packet(b, &quiet, SYN, 0);
	}
	ck_counter(b, PUNTS, asked + 3);
	ck_counter(b, PUNTS_SHARE, 3);
	/* Its neighbour in the same network is the same source, and what they take the flood pays for. */
	b->now_ms += 30;
	flood(b, 80, 3000, 100);
	ck_counter(b, PUNTS, asked + 3);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_sources_without_number_stay_within_the_rate)
{
	struct bed *b = begin(false);
	uint64_t asked;

	from_many(b, 0, 2000); /* nothing tells them from clients: then it is the wildcard's own rate that holds */
	asked = engine_counters(b->e)[ENGINE_PUNTS];
	ck_assert_uint_ge(asked, RATE / 10 + RATE / 20);
	ck_assert_uint_le(asked, RATE / 10 + RATE / 20 + 2);
	ck_counter(b, DROP_PUNT_LIMIT, 2000 - asked);
	flood(b, 81, 30000, 5);
	ck_counter(b, PUNTS, asked + 5);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_no_more_questions_are_open_than_a_moment_of_the_rate)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg m = bed_service();
	struct bed *b;

	conf.punt_rate = 2500; /* a fiftieth of a second of that are 50; a tenth may come at once */
	conf.hold.flows = 10000;
	conf.max_fixed = 1000;
	b = bed_new_with(&conf);
	bed_message(b, 1, &m);
	flood(b, 80, 1000, 120);
	ck_counter(b, PUNTS, 50);
	ck_counter(b, DROP_PUNT_OPEN, 70);
	ck_counter(b, DROP_PUNT_LIMIT, 0);
	/* A source that asks little may, and half as many more. */
	from_many(b, 0, 100);
	ck_counter(b, PUNTS, 75);
	ck_counter(b, PUNTS_SHARE, 25);
	/* Answers make room, as of the next tick. */
	for (uint16_t i = 0; i < 40; i++) {
		struct flow_key k = bed_client((uint16_t)(1000 + i));

		m = bed_fixed(&k, 60);
		bed_message(b, 1, &m);
	}
	b->now_ms += 20;
	engine_tick(b->e, b->now_ms);
	flood(b, 80, 5000, 100);
	ck_counter(b, PUNTS, 75 + 15);
	bed_free(b);
}
END_TEST

/* However many wildcards came and went between two of them: each has its own. */
START_TEST(test_FA_5_open_questions_of_one_wildcard_are_no_others)
{
	struct engine_conf conf = bed_conf();
	struct wire_msg m = bed_service(), other = bed_service(), changed;
	struct bed *b;

	conf.punt_rate = 2500;
	conf.hold.flows = 10000;
	b = bed_new_with(&conf);
	bed_message(b, 1, &m);
	for (uint16_t i = 1; i <= 3000; i++) {
		bool stays = i % 512 == 0;

		other.wildcard.dport = (uint16_t)(1000 + i);
		other.wildcard.ttl = 60;
		bed_message(b, 1, &other);
		other.wildcard.ttl = 0;
		if (!stays)
			bed_message(b, 1, &other);
	}
	changed = m;
	changed.wildcard.flags ^= WIRE_FLAG_INFORMATION; /* the same goes on */
	flood(b, 80, 1000, 25);
	bed_message(b, 1, &changed);
	flood(b, 80, 2000, 100);
	ck_counter(b, PUNTS, 50);
	b->now_ms += 20;
	engine_tick(b->e, b->now_ms);
	flood(b, 80, 3000, 100);
	ck_counter(b, PUNTS, 50);
	for (uint16_t i = 512; i <= 3000; i += 512)
		flood(b, (uint16_t)(1000 + i), 4000, 40);
	ck_counter(b, PUNTS, 50 + 5 * 40);
	bed_free(b);
}
END_TEST

START_TEST(test_FA_5_FA_9_one_question_a_flow_however_often_it_asks)
{
	struct bed *b = begin(false);
	struct flow_key k = bed_client(7);

	for (unsigned i = 0; i < 50; i++)
		bed_packet(b, &k, SYN, 0);
	ck_counter(b, PUNTS, 1);
	ck_assert_uint_eq(hold_flows(engine_hold(b->e)), 1);
	ck_assert_uint_eq(engine_counters(b->e)[ENGINE_HELD] + engine_counters(b->e)[ENGINE_DROP_HOLD_FULL], 49);
	bed_free(b);
}
END_TEST

/* ---- what the kernel is told ---- */

/* A bed whose kernel can shed. */
struct shedding {
	struct bed bed; /* first: what the engine calls back with */
	struct classifier_shed limit;
	struct classifier_key key;
	unsigned told, asked;
	uint64_t shed; /* to be said when asked next */
};

static uint64_t on_shed(void *ctx, const struct classifier_key *key, const struct classifier_shed *limit)
{
	struct shedding *s = ctx;
	uint64_t n = s->shed;

	s->key = *key;
	if (limit)
		s->limit = *limit;
	s->told += limit != NULL;
	s->asked += limit == NULL;
	s->shed = 0;
	return n;
}

static void shed_begin(struct shedding *s, uint32_t rate, bool routed, uint16_t dport_of_other)
{
	static struct engine_out out;
	struct engine_conf conf = bed_conf();
	struct wire_msg m = bed_service();

	out = bed_out;
	out.shed = on_shed;
	memset(s, 0, sizeof(*s));
	conf.punt_rate = rate;
	conf.max_fixed = 1000;
	conf.hold.flows = 10000;
	conf.punt_excess_routed = routed;
	s->bed.now_ms = 1000;
	s->bed.e = engine_new(&conf, &out, &s->bed);
	bed_message(&s->bed, 1, &m);
	if (!dport_of_other)
		return;
	m.wildcard.dport = dport_of_other;
	m.wildcard.src_mask[0] = 0xff;
	bed_message(&s->bed, 1, &m);
}

START_TEST(test_FA_5_the_kernel_sheds_what_the_engine_would_drop)
{
	struct shedding *s = malloc(sizeof(*s));
	const struct wildcard *w;
	uint64_t drops;

	shed_begin(s, RATE, false, 0);
	flood(&s->bed, 80, 1000, RATE / 10);
	ck_assert_uint_eq(s->told, 0);
	flood(&s->bed, 80, 2000, 100);
	ck_assert_uint_eq(s->told, 1); /* not for each */
	ck_assert_uint_eq(s->key.dport, 80);
	ck_assert_uint_eq(s->limit.until_ns, 1500000000);
	ck_assert_uint_eq(s->limit.each_ns,
			  8000000); /* a quarter more than the rate, or nobody would see that it is exceeded */
	ck_assert_uint_eq(s->limit.share_ns, 640000000);
	ck_assert_uint_eq(s->limit.asks, PUNT_ALL);
	ck_assert(!s->limit.by_target && !s->limit.route);
	w = wildtab_first(engine_wildcards(s->bed.e));
	drops = w->drops;
	s->bed.now_ms += 99;
	flood(&s->bed, 80, 3000, 100);
	ck_assert_uint_eq(s->told, 1);
	s->bed.now_ms += 1;
	s->shed = 5000;
	flood(&s->bed, 80, 4000, 100);
	ck_assert_uint_eq(s->told, 2);
	ck_assert_uint_ge(w->drops, drops + 5000);
	/* Its last ones are counted when it is over, and then nobody asks any more. */
	drops = w->drops;
	s->bed.now_ms += 1000;
	s->shed = 70;
	engine_tick(s->bed.e, s->bed.now_ms);
	ck_assert_uint_eq(w->drops, drops + 70);
	ck_assert_uint_eq(s->told + s->asked, 3);
	s->bed.now_ms += 1000;
	engine_tick(s->bed.e, s->bed.now_ms);
	ck_assert_uint_eq(s->told + s->asked, 3);
	bed_free(&s->bed);
}
END_TEST

START_TEST(test_FA_5_the_kernel_lets_through_what_there_is_time_for)
{
	struct shedding *s = malloc(sizeof(*s));

	shed_begin(s, 2500, false, 0);
	flood(&s->bed, 80, 1000, 120); /* 50 of them are asked about */
	ck_assert_uint_eq(s->limit.each_ns, 320000);
	for (uint16_t i = 0; i < 20; i++) {
		struct flow_key k = bed_client((uint16_t)(1000 + i));
		struct wire_msg m = bed_fixed(&k, 60);

		bed_message(&s->bed, 1, &m);
	}
	s->bed.now_ms += 99;
	engine_tick(s->bed.e, s->bed.now_ms);
	flood(&s->bed, 80, 2000, 100); /* 20 */
	s->bed.now_ms += 1;
	flood(&s->bed, 80, 3000, 1);
	ck_assert_uint_eq(s->limit.each_ns, 4000000);
	/* Nobody answers: next to nothing, but that. */
	s->bed.now_ms += 100;
	flood(&s->bed, 80, 4000, 100);
	ck_assert_uint_eq(s->limit.each_ns, 8000000);
	ck_assert_uint_eq(s->told, 3);
	bed_free(&s->bed);
}
END_TEST

START_TEST(test_FA_5_what_the_kernel_routes_is_not_lost)
{
	struct shedding *s = malloc(sizeof(*s));
	const struct wildcard *w;

	shed_begin(s, RATE, true, 0);
	s->shed = 7;
	flood(&s->bed, 80, 1000, 100);
	ck_assert_uint_eq(s->told, 1);
	ck_assert(s->limit.route);
	w = wildtab_first(engine_wildcards(s->bed.e));
	ck_assert_uint_eq(w->drops, 0);
	bed_free(&s->bed);
}
END_TEST

START_TEST(test_FA_5_PREC_9_the_kernel_sheds_nothing_that_another_wildcard_may_decide_on)
{
	struct shedding *s = malloc(sizeof(*s));

	shed_begin(s, RATE, false, 80);
	flood(&s->bed, 80, 1000, 100);
	ck_assert_uint_gt(engine_counters(s->bed.e)[ENGINE_DROP_PUNT_LIMIT], 0);
	ck_assert_uint_eq(s->told, 0);
	bed_free(&s->bed);
	shed_begin(s = malloc(sizeof(*s)), RATE, false, 81);
	flood(&s->bed, 80, 1000, 100);
	ck_assert_uint_eq(s->told, 1);
	bed_free(&s->bed);
}
END_TEST

/* A filter or a statistics service before it: what it asks for or wants to be told of must come up. */
START_TEST(test_FA_5_PREC_5_the_kernel_sheds_nothing_that_a_better_rank_is_to_see)
{
	static const uint16_t interest[][2] = {{SYN, SYN}, {SYN, 0}};

	for (size_t i = 0; i < sizeof(interest) / sizeof(interest[0]); i++) {
		struct shedding *s = malloc(sizeof(*s));
		struct wire_msg m = bed_wildcard("203.0.113.10", 0);

		shed_begin(s, RATE, false, 0);
		bed_precedence(&m, 5);
		bed_interest(&m, interest[i][0], interest[i][1], 0, 0);
		bed_message(&s->bed, 2, &m);
		for (uint16_t k = 0; k < 100; k++) {
			struct flow_key key = bed_client((uint16_t)(1000 + k));
			struct wire_msg pass = bed_fixed(&key, 60);

			bed_precedence(&pass, 5);
			bed_message(&s->bed, 2, &pass); /* so that the flood gets to the other */
			bed_packet(&s->bed, &key, SYN, 0);
		}
		ck_assert_uint_gt(engine_counters(s->bed.e)[ENGINE_DROP_PUNT_LIMIT], 0);
		ck_assert_uint_eq(s->told, 0);
		bed_free(&s->bed);
	}
}
END_TEST

/* What the kernel was told holds no longer than it is true. */
START_TEST(test_FA_5_PREC_10_the_kernel_sheds_nothing_for_a_wildcard_that_went)
{
	struct shedding *s = malloc(sizeof(*s));
	struct wire_msg m = bed_service(), better = bed_service();

	shed_begin(s, RATE, false, 0);
	flood(&s->bed, 80, 1000, 100);
	ck_assert_uint_eq(s->limit.until_ns, 1500000000);
	s->shed = 30;
	m.wildcard.ttl = 0;
	bed_message(&s->bed, 1, &m); /* another's may stand under the same key */
	ck_assert_uint_eq(s->limit.until_ns, 0);
	ck_assert_uint_eq(s->shed, 0);
	bed_free(&s->bed);

	shed_begin(s = malloc(sizeof(*s)), RATE, false, 0);
	flood(&s->bed, 80, 1000, 100);
	ck_assert_uint_eq(s->told, 1);
	better.wildcard.src_mask[0] = 0xff;
	better.wildcard.dport = 81;
	bed_message(&s->bed, 2, &better);
	ck_assert_uint_eq(s->told, 1); /* nothing in common */
	better.wildcard.dport = 80;
	bed_message(&s->bed, 2, &better);
	ck_assert_uint_eq(s->told, 2);
	ck_assert_uint_eq(s->limit.until_ns, 0);
	bed_free(&s->bed);
}
END_TEST

/* In the silence of one that drops; one that routes loses nothing in the kernel. */
START_TEST(test_FA_5_the_kernel_sheds_what_is_asked_in_vain)
{
	static const uint8_t flags[] = {0, WIRE_FLAG_ROUTE_SILENT};

	for (size_t i = 0; i < sizeof(flags); i++) {
		struct shedding *s = malloc(sizeof(*s));
		struct wire_msg m = bed_service(), answer;

		shed_begin(s, RATE, false, 0);
		m.wildcard.flags = flags[i];
		bed_message(&s->bed, 1, &m);
		flood(&s->bed, 80, 1000, 50);
		ck_assert_uint_eq(s->told, 1);
		for (int k = 0; k < 8; k++) {
			s->bed.now_ms += 99;
			flood(&s->bed, 80, 1500, 50); /* the kernel is told until the last moment */
			s->bed.now_ms++;
			engine_tick(s->bed.e, s->bed.now_ms);
		}
		ck_counter(&s->bed, WILDCARDS_SILENT, 1);
		ck_assert_uint_gt(s->told, 2);
		ck_assert_uint_eq(s->limit.until_ns, 0);
		s->told = 0;
		s->bed.now_ms += 100;
		flood(&s->bed, 80, 2000, 50);
		ck_assert_uint_eq(s->told, flags[i] ? 0 : 1);
		answer = bed_answer(&s->bed.sent[0], 60);
		bed_message(&s->bed, 1, &answer);
		ck_assert_uint_eq(s->limit.until_ns, 0);
		bed_free(&s->bed);
	}
}
END_TEST

/* A backup that floods of questions reach while its primary is silent, and that only as long. */
START_TEST(test_FA_5_PREC_4_the_kernel_sheds_for_a_backup_of_a_silent_primary)
{
	struct shedding *s = malloc(sizeof(*s));
	struct wire_msg m = bed_service(), backup = bed_service(), answer;

	shed_begin(s, RATE, false, 0);
	m.wildcard.flags = WIRE_FLAG_ROUTE_SILENT;
	bed_message(&s->bed, 1, &m);
	bed_backup(&backup, 1);
	bed_message(&s->bed, 2, &backup);
	for (int i = 0; i < 3; i++)
		flood(&s->bed, 80, 1000, 1); /* one flow asks, and asks again */
	answer = bed_answer(&s->bed.sent[0], 60);
	ck_assert_uint_eq(s->bed.sent[0].to.identity, 1);
	bed_wait(&s->bed, 800);
	ck_counter(&s->bed, WILDCARDS_SILENT, 1);
	s->told = 0;
	flood(&s->bed, 80, 2000, 50);
	ck_assert_uint_eq(s->told, 1);
	ck_assert_uint_gt(s->limit.until_ns, s->bed.now_ms * 1000000);
	bed_message(&s->bed, 1, &answer); /* the primary is back: what comes now is for it */
	ck_assert_uint_eq(s->limit.until_ns, 0);
	bed_free(&s->bed);
}
END_TEST

/* No more at a time than there is room for: whether one may be shed takes a look at all wildcards. */
START_TEST(test_FA_5_ARCH_10_floods_under_many_wildcards_are_shed_some_at_a_time)
{
	struct shedding *s = malloc(sizeof(*s));
	struct wire_msg m = bed_service();

	shed_begin(s, RATE, false, 0);
	for (uint16_t i = 0; i < 90; i++) {
		m.wildcard.dport = (uint16_t)(1000 + i);
		bed_message(&s->bed, 1, &m);
	}
	for (uint16_t i = 0; i < 90; i++) {
		flood(&s->bed, (uint16_t)(1000 + i), 2000, 20);
		bed_clear(&s->bed);
	}
	ck_assert_uint_eq(s->told, CLASSIFIER_SHEDS);
	s->bed.now_ms += 100;
	for (uint16_t i = 0; i < 90; i++) {
		flood(&s->bed, (uint16_t)(1000 + i), 3000, 30);
		bed_clear(&s->bed);
	}
	ck_assert_uint_eq(s->told, CLASSIFIER_SHEDS + 90);
	bed_free(&s->bed);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_FA_5_the_kernel_sheds_what_the_engine_would_drop);
	tcase_add_test(t, test_FA_5_what_the_kernel_routes_is_not_lost);
	tcase_add_test(t, test_FA_5_PREC_5_the_kernel_sheds_nothing_that_a_better_rank_is_to_see);
	tcase_add_test(t, test_FA_5_PREC_10_the_kernel_sheds_nothing_for_a_wildcard_that_went);
	tcase_add_test(t, test_FA_5_the_kernel_sheds_what_is_asked_in_vain);
	tcase_add_test(t, test_FA_5_PREC_4_the_kernel_sheds_for_a_backup_of_a_silent_primary);
	tcase_add_test(t, test_FA_5_ARCH_10_floods_under_many_wildcards_are_shed_some_at_a_time);
	tcase_add_test(t, test_FA_5_PREC_9_the_kernel_sheds_nothing_that_another_wildcard_may_decide_on);
	tcase_add_test(t, test_FA_5_a_source_that_asks_little_gets_through_beside_one_that_floods);
	tcase_add_test(t, test_FA_5_no_more_questions_are_open_than_a_moment_of_the_rate);
	tcase_add_test(t, test_FA_5_the_kernel_lets_through_what_there_is_time_for);
	tcase_add_test(t, test_FA_5_sources_without_number_stay_within_the_rate);
	tcase_add_test(t, test_FA_5_open_questions_of_one_wildcard_are_no_others);
	tcase_add_test(t, test_FA_5_FA_9_one_question_a_flow_however_often_it_asks);
	tcase_add_test(t, test_FA_5_a_flood_to_one_service_leaves_the_others_their_share);
	tcase_add_test(t, test_FA_5_the_rate_is_what_was_configured);
	tcase_add_test(t, test_FA_5_a_refresh_or_a_change_of_the_wildcard_gives_no_new_share);
	tcase_add_test(t, test_FA_5_what_exceeds_is_routed_where_the_operator_says_so);
	tcase_add_test(t, test_FA_5_without_a_rate_there_is_no_limit);
}

int main(void)
{
	return bed_main("engine_limit", add);
}
