/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of choosing a server for a flow.
 */
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "smd/balancer.h"

static const char *const NAMES[] = {"web1", "web2", "web3", "web4"};

static bool fits_all(void *ctx, uint16_t server)
{
	(void)ctx;
	(void)server;
	return true;
}

/* ctx: bit set of refused servers. */
static bool fits_unless(void *ctx, uint16_t server)
{
	return !(*(const unsigned *)ctx & 1u << server);
}

static struct flow_key client(unsigned n)
{
	struct flow_key k = {.family = 4, .proto = IPPROTO_TCP, .sport = (uint16_t)(1024 + n % 50000), .dport = 80};

	memcpy(k.src, (uint8_t[]){198, 51, (uint8_t)(n >> 16), (uint8_t)(n >> 8)}, 4);
	memcpy(k.dst, (uint8_t[]){203, 0, 113, 10}, 4);
	return k;
}

static struct balancer *make(enum balancer_method method, unsigned count, const uint32_t *weights)
{
	struct balancer *b = balancer_new(method);

	ck_assert_ptr_nonnull(b);
	for (unsigned i = 0; i < count; i++) {
		ck_assert_uint_eq(balancer_add(b, NAMES[i], weights ? weights[i] : 1), i);
		balancer_set_usable(b, (uint16_t)i, true);
	}
	return b;
}

START_TEST(test_SVC_1_round_robin_is_smooth_by_weight)
{
	struct balancer *b = make(BALANCER_ROUND_ROBIN, 3, (uint32_t[]){3, 1, 1});
	unsigned seen[3] = {0}, longest = 0, run = 0;
	uint16_t last = BALANCER_NONE;

	for (unsigned n = 0; n < 500; n++) {
		struct flow_key k = client(0);
		uint16_t s = balancer_choose(b, &k, fits_all, NULL);

		ck_assert_uint_lt(s, 3);
		seen[s]++;
		run = s == last ? run + 1 : 1;
		longest = run > longest ? run : longest;
		last = s;
	}
	ck_assert_uint_eq(seen[0], 300);
	ck_assert_uint_eq(seen[1], 100);
	ck_assert_uint_eq(seen[2], 100);
	ck_assert_uint_le(longest, 2);
	balancer_free(b);
}
END_TEST

START_TEST(test_SVC_1_maglev_spreads_flows_by_weight)
{
	struct balancer *b = make(BALANCER_MAGLEV, 4, (uint32_t[]){1, 1, 2, 4});
	unsigned seen[4] = {0};

	for (unsigned n = 0; n < 40000; n++) {
		struct flow_key k = client(n * 7);

		seen[balancer_choose(b, &k, fits_all, NULL)]++;
	}
	ck_assert_uint_gt(seen[0], 4600);
	ck_assert_uint_lt(seen[0], 5400);
	ck_assert_uint_gt(seen[1], 4600);
	ck_assert_uint_lt(seen[1], 5400);
	ck_assert_uint_gt(seen[2], 9500);
	ck_assert_uint_lt(seen[2], 10500);
	ck_assert_uint_gt(seen[3], 19300);
	ck_assert_uint_lt(seen[3], 20700);
	balancer_free(b);
}
END_TEST

START_TEST(test_SM_2_maglev_decides_alike_in_another_manager)
{
	struct balancer *a = make(BALANCER_MAGLEV, 4, NULL);
	struct balancer *b = balancer_new(BALANCER_MAGLEV);
	uint16_t map[4];

	/* The other one has its servers in another order, and lost one for a while. */
	for (unsigned i = 0; i < 4; i++) {
		map[i] = balancer_add(b, NAMES[3 - i], 1);
		balancer_set_usable(b, map[i], true);
	}
	balancer_set_usable(b, 2, false);
	for (unsigned n = 0; n < 100; n++) {
		struct flow_key k = client(n);

		ck_assert_uint_ne(balancer_choose(b, &k, fits_all, NULL), 2);
	}
	balancer_set_usable(b, 2, true);
	for (unsigned n = 0; n < 1000; n++) {
		struct flow_key k = client(n * 13);
		uint16_t s = balancer_choose(a, &k, fits_all, NULL);

		ck_assert_uint_eq(balancer_choose(b, &k, fits_all, NULL), 3 - s);
		ck_assert_uint_eq(balancer_leads_to(a, &k), s);
	}
	balancer_free(a);
	balancer_free(b);
}
END_TEST

static void collisions(enum balancer_method method)
{
	struct balancer *b = make(method, 4, NULL);
	struct flow_key k = client(1);
	unsigned refused = 0;

	for (unsigned n = 0; n < 4; n++) {
		uint16_t s = balancer_choose(b, &k, fits_unless, &refused);

		ck_assert_uint_lt(s, 4);
		ck_assert(!(refused & 1u << s));
		if (method != BALANCER_ROUND_ROBIN) /* the order of preference is the key's own */
			ck_assert_uint_eq(balancer_choose(b, &k, fits_unless, &refused), s);
		refused |= 1u << s;
	}
	ck_assert_uint_eq(balancer_choose(b, &k, fits_unless, &refused), BALANCER_UNFIT);
	for (uint16_t i = 0; i < 4; i++)
		balancer_set_usable(b, i, false);
	ck_assert_uint_eq(balancer_choose(b, &k, fits_all, NULL), BALANCER_NONE);
	ck_assert_uint_eq(balancer_usable(b), 0);
	balancer_free(b);
}

START_TEST(test_SM_12_next_server_on_collision_maglev)
{
	collisions(BALANCER_MAGLEV);
}
END_TEST

START_TEST(test_SM_12_next_server_on_collision_round_robin)
{
	collisions(BALANCER_ROUND_ROBIN);
}
END_TEST

START_TEST(test_SVC_1_SM_7_least_connections_by_weight)
{
	struct balancer *b = make(BALANCER_LEAST_CONNECTIONS, 3, (uint32_t[]){3, 1, 2});
	unsigned load[3] = {0};

	for (unsigned n = 0; n < 600; n++) {
		struct flow_key k = client(n);
		uint16_t s = balancer_choose(b, &k, fits_all, NULL);

		ck_assert_uint_eq(balancer_choose(b, &k, fits_all, NULL), s);
		load[s]++;
		balancer_load(b, s, 1);
	}
	ck_assert_uint_eq(load[0], 300);
	ck_assert_uint_eq(load[1], 100);
	ck_assert_uint_eq(load[2], 200);
	for (unsigned n = 0; n < 30; n++) /* thirty at the second one end: the next thirty go there */
		balancer_load(b, 1, -1);
	for (unsigned n = 0; n < 30; n++) {
		struct flow_key k = client(1000 + n);

		ck_assert_uint_eq(balancer_choose(b, &k, fits_all, NULL), 1);
		balancer_load(b, 1, 1);
	}
	balancer_free(b);
}
END_TEST

START_TEST(test_SVC_1_least_connections_ties_are_decided_alike_and_spread)
{
	struct balancer *a = make(BALANCER_LEAST_CONNECTIONS, 4, NULL), *b = balancer_new(BALANCER_LEAST_CONNECTIONS);
	unsigned seen[4] = {0};

	for (unsigned i = 0; i < 4; i++) { /* another order */
		ck_assert_uint_eq(balancer_add(b, NAMES[3 - i], 1), i);
		balancer_set_usable(b, (uint16_t)i, true);
	}
	for (unsigned n = 0; n < 1000; n++) {
		struct flow_key k = client(n);
		uint16_t s = balancer_choose(a, &k, fits_all, NULL);

		ck_assert_uint_eq(balancer_choose(b, &k, fits_all, NULL), 3 - s);
		seen[s]++;
	}
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_gt(seen[i], 180);
	ck_assert_uint_eq(balancer_leads_to(a, &(struct flow_key){0}), BALANCER_NONE);
	balancer_free(a);
	balancer_free(b);
}
END_TEST

START_TEST(test_SM_12_next_server_on_collision_least_connections)
{
	collisions(BALANCER_LEAST_CONNECTIONS);
}
END_TEST

START_TEST(test_SVC_1_turns_go_on_in_another_balancer)
{
	struct balancer *whole = make(BALANCER_ROUND_ROBIN, 3, (uint32_t[]){3, 2, 1}), *next;
	struct balancer *first = make(BALANCER_ROUND_ROBIN, 3, (uint32_t[]){3, 2, 1});
	struct flow_key k = client(0);

	for (unsigned n = 0; n < 4; n++)
		ck_assert_uint_eq(balancer_choose(whole, &k, fits_all, NULL),
				  balancer_choose(first, &k, fits_all, NULL));
	next = make(BALANCER_ROUND_ROBIN, 3, (uint32_t[]){3, 2, 1});
	balancer_continue(next, first, (uint16_t[]){0, 1, 2});
	for (unsigned n = 0; n < 20; n++)
		ck_assert_uint_eq(balancer_choose(whole, &k, fits_all, NULL),
				  balancer_choose(next, &k, fits_all, NULL));
	balancer_free(whole);
	balancer_free(first);
	balancer_free(next);
}
END_TEST

START_TEST(test_balancer_edges)
{
	struct balancer *b = balancer_new(BALANCER_ROUND_ROBIN);
	struct flow_key k = client(1);

	ck_assert_uint_eq(balancer_choose(b, &k, fits_all, NULL), BALANCER_NONE);
	ck_assert_uint_eq(balancer_leads_to(b, &k), BALANCER_NONE);
	ck_assert_uint_eq(balancer_add(b, "zero", 0), BALANCER_NONE);
	ck_assert_uint_eq(balancer_add(b, "one", 1), 0);
	ck_assert_uint_eq(balancer_choose(b, &k, fits_all, NULL), BALANCER_NONE);
	balancer_set_usable(b, 0, true);
	balancer_set_usable(b, 0, true);
	ck_assert_uint_eq(balancer_usable(b), 1);
	ck_assert_uint_eq(balancer_choose(b, &k, fits_all, NULL), 0);
	balancer_free(b);
	balancer_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("balancer");
	TCase *tc = tcase_create("balancer");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_SVC_1_round_robin_is_smooth_by_weight);
	tcase_add_test(tc, test_SVC_1_maglev_spreads_flows_by_weight);
	tcase_add_test(tc, test_SM_2_maglev_decides_alike_in_another_manager);
	tcase_add_test(tc, test_SM_12_next_server_on_collision_maglev);
	tcase_add_test(tc, test_SM_12_next_server_on_collision_round_robin);
	tcase_add_test(tc, test_SVC_1_SM_7_least_connections_by_weight);
	tcase_add_test(tc, test_SVC_1_least_connections_ties_are_decided_alike_and_spread);
	tcase_add_test(tc, test_SM_12_next_server_on_collision_least_connections);
	tcase_add_test(tc, test_SVC_1_turns_go_on_in_another_balancer);
	tcase_add_test(tc, test_balancer_edges);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
