/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the glue's reasoning from agents' words to route operations, and of
 * the listings made from it.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routed-glue/admin.h"
#include "routed-glue/glue.h"

#define LIST(...)                                                                                                      \
	((struct glue_prefixes){(char *const[]){__VA_ARGS__}, sizeof((char *const[]){__VA_ARGS__}) / sizeof(char *)})
#define NONE ((struct glue_prefixes){NULL, 0})

static char A[] = "203.0.113.1/32", B[] = "203.0.113.2/32", C[] = "2001:db8::3/128", BAD[] = "0.0.0.0/0";

static struct glue *new_glue(void)
{
	static const struct glue_conf conf = {
		.agents = 2,
		.lease_ms = 1000,
		.limits = {.prefixes = 10, .hold_ms = 1000, .flap_limit = 3, .flap_refill_ms = 5000},
	};
	struct glue *g = glue_new(&conf);

	ck_assert_ptr_nonnull(g);
	return g;
}

/* Step, plan and have everything acknowledged so; how many additions less deletions that were. */
static int settle(struct glue *g, uint64_t now_ms, int error)
{
	struct route_op *ops;
	uint64_t expired;
	int sum = 0;
	ssize_t n;

	glue_step(g, now_ms, &expired);
	if (!glue_dirty(g))
		return 0;
	n = glue_plan(g, &ops);
	ck_assert_int_ge(n, 0);
	for (ssize_t i = 0; i < n; i++) {
		sum += ops[i].kind == ROUTE_ADD ? 1 : -1;
		glue_result(g, &ops[i], error);
	}
	free(ops);
	return sum;
}

/* The agent's whole set at this moment, as version 1 and event 1. */
static void snapshot(struct glue *g, unsigned agent, struct glue_prefixes set, uint64_t now_ms)
{
	struct glue_ask ask = glue_heartbeat(g, agent, 1, 1, now_ms);

	ck_assert(ask.ask && ask.cursor == 0);
	glue_asked(g, agent, 100 + agent, 0, now_ms);
	ck_assert(!glue_page(g, agent, 100 + agent, 1, 0, set, now_ms).ask);
}

/* Heartbeats every 250 ms, as the next events from seq on.  Returns the next event's. */
static uint64_t beats(struct glue *g, unsigned agent, uint64_t seq, uint64_t version, uint64_t from_ms, uint64_t to_ms)
{
	for (; from_ms <= to_ms; from_ms += 250)
		ck_assert(!glue_heartbeat(g, agent, seq++, version, from_ms).ask);
	return seq;
}

static const char *state(struct glue *g, const char *text)
{
	const struct wanted_prefix *e;
	struct prefix p;

	ck_assert_ptr_null(prefix_parse(text, &p));
	e = wanted_find(glue_wanted(g), &p);
	return e ? glue_route_state(g, e) : NULL;
}

START_TEST(test_ACT_3_snapshot_then_changes)
{
	struct glue *g = new_glue();
	uint64_t seq;

	snapshot(g, 0, LIST(A, C), 1000);
	ck_assert_int_eq(settle(g, 1000, 0), 2);
	ck_assert_str_eq(state(g, C), "installed");
	seq = beats(g, 0, 2, 1, 1250, 3000);
	ck_assert(!glue_change(g, 0, seq, 2, LIST(B), LIST(A), 3000).ask);
	ck_assert_int_eq(settle(g, 3000, 0), 0); /* one each way */
	ck_assert_ptr_null(state(g, A));
	ck_assert_str_eq(state(g, B), "installed");
	glue_free(g);
}
END_TEST

START_TEST(test_FA_11_ACT_3_two_agents_count_one_route)
{
	struct glue *g = new_glue();
	uint64_t seq0, seq1;

	snapshot(g, 0, LIST(A), 1000);
	snapshot(g, 1, LIST(A), 1000);
	ck_assert_int_eq(settle(g, 1000, 0), 1);
	seq0 = beats(g, 0, 2, 1, 1250, 1900);
	ck_assert(!glue_change(g, 0, seq0, 2, NONE, LIST(A), 1900).ask);
	seq1 = beats(g, 1, 2, 1, 1250, 2500);
	ck_assert_int_eq(settle(g, 2500, 0), 0);
	ck_assert_str_eq(state(g, A), "installed");
	ck_assert(!glue_change(g, 1, seq1, 2, NONE, LIST(A), 2600).ask);
	ck_assert_int_eq(settle(g, 2600, 0), -1);
	glue_free(g);
}
END_TEST

START_TEST(test_ACT_3_silent_agent_loses_only_its_own)
{
	struct glue *g = new_glue();
	uint64_t expired;

	snapshot(g, 0, LIST(A, B), 1000);
	snapshot(g, 1, LIST(B, C), 1000);
	ck_assert_int_eq(settle(g, 1000, 0), 3);
	beats(g, 1, 2, 1, 1250, 1900);
	ck_assert_uint_eq(glue_step(g, 1999, &expired), 2000);
	ck_assert_uint_eq(expired, 0);
	ck_assert_uint_eq(glue_step(g, 2000, &expired), 2750);
	ck_assert_uint_eq(expired, 1);
	ck_assert_int_eq(settle(g, 2000, 0), -1);
	ck_assert_ptr_null(state(g, A));
	ck_assert_str_eq(state(g, B), "installed");
	ck_assert_uint_eq(glue_counters(g)[GLUE_LEASES_EXPIRED], 1);
	glue_free(g);
}
END_TEST

/* Its first snapshot in a new incarnation, whose versions are higher. */
static void comes_back(struct glue *g, uint64_t version, struct glue_prefixes set, uint64_t now_ms)
{
	struct glue_ask ask = glue_heartbeat(g, 0, 1, version, now_ms);

	ck_assert(ask.ask && ask.cursor == 0);
	glue_asked(g, 0, version, 0, now_ms);
	ck_assert(!glue_page(g, 0, version, version, 0, set, now_ms).ask);
}

START_TEST(test_FA_6_planned_stop_without_hold_withdraws_at_once)
{
	struct glue *g = new_glue();
	struct glue_ask ask;

	snapshot(g, 0, LIST(A, B), 1000);
	snapshot(g, 1, LIST(B), 1000);
	settle(g, 1000, 0);
	beats(g, 0, 2, 1, 1250, 2000);
	beats(g, 1, 2, 1, 1250, 2000);
	ck_assert(!glue_stopping(g, 0, 6, 0, 2100).ask);
	ck_assert_int_eq(settle(g, 2100, 0), -1);
	ck_assert_str_eq(state(g, B), "installed");
	/* It says the same by its heartbeat, should the word have been lost. */
	ask = glue_heartbeat(g, 0, 7, 2, 2250);
	ck_assert(ask.ask);
	glue_asked(g, 0, 9, 0, 2250);
	ck_assert(!glue_page(g, 0, 9, 2, 0, NONE, 2250).ask);
	ck_assert_int_eq(settle(g, 2250, 0), 0);
	ck_assert_uint_eq(glue_counters(g)[GLUE_STOPS], 1);
	glue_free(g);
}
END_TEST

START_TEST(test_FA_6_planned_stop_with_hold_changes_no_route)
{
	struct glue *g = new_glue();
	struct glue_ended ended;
	uint64_t expired, seq;

	snapshot(g, 0, LIST(A, C), 1000);
	settle(g, 1000, 0);
	seq = beats(g, 0, 2, 1, 1250, 2000);
	ck_assert(!glue_stopping(g, 0, seq, 10000, 2100).ask);
	ck_assert_int_eq(settle(g, 2100, 0), 0);
	/* The lease passes, without a word about it. */
	glue_step(g, 3050, &expired);
	ck_assert_uint_eq(expired, 0);
	ck_assert_int_eq(settle(g, 3500, 0), 0);
	ck_assert_str_eq(state(g, A), "kept");
	/* Back with nothing yet, then with the first, then with all. */
	comes_back(g, 1000, NONE, 4000);
	ck_assert_int_eq(settle(g, 4000, 0), 0);
	ck_assert(!glue_change(g, 0, 2, 1001, LIST(A), NONE, 4100).ask);
	ck_assert_int_eq(settle(g, 4100, 0), 0);
	ended = glue_ended(g);
	ck_assert(ended.back == 0 && ended.late == 0);
	ck_assert(!glue_change(g, 0, 3, 1002, LIST(C), NONE, 4200).ask);
	ck_assert_int_eq(settle(g, 4200, 0), 0);
	ended = glue_ended(g);
	ck_assert(ended.back == 1 && ended.late == 0);
	ck_assert_str_eq(state(g, C), "installed");
	/* From now on its lease counts again. */
	ck_assert_int_eq(settle(g, 5200, 0), -2);
	glue_free(g);
}
END_TEST

START_TEST(test_FA_6_hold_ends_in_time_or_with_what_is_not_claimed)
{
	struct glue *g = new_glue();
	struct glue_ended ended;
	uint64_t expired, seq;

	snapshot(g, 0, LIST(A, C), 1000);
	settle(g, 1000, 0);
	seq = beats(g, 0, 2, 1, 1250, 2000);
	ck_assert(!glue_stopping(g, 0, seq, 5000, 2100).ask);
	comes_back(g, 1000, LIST(A), 6500);
	ck_assert_int_eq(settle(g, 6500, 0), 0);
	ck_assert_uint_eq(glue_step(g, 7099, &expired), 7100);
	ck_assert_int_eq(settle(g, 7100, 0), -1);
	ended = glue_ended(g);
	ck_assert(ended.back == 0 && ended.late == 1);
	ck_assert_uint_eq(glue_counters(g)[GLUE_HOLDS_EXPIRED], 1);
	ck_assert_str_eq(state(g, A), "installed");
	ck_assert_ptr_null(state(g, C));
	/* However long an agent wants to be waited for. */
	glue_stopping(g, 0, 2, UINT64_MAX, 7200);
	ck_assert_uint_eq(glue_step(g, 7550, &expired), 7200 + GLUE_STOP_HOLD_MAX_MS);
	ck_assert_str_eq(state(g, A), "kept");
	/* Until it says otherwise. */
	glue_stopping(g, 0, 3, 0, 9100);
	ck_assert_int_eq(settle(g, 9100, 0), -1);
	glue_free(g);
}
END_TEST

START_TEST(test_ACT_3_pages_take_effect_together)
{
	struct glue *g = new_glue();
	struct glue_ask ask;

	glue_asked(g, 0, 1, 0, 1000);
	ask = glue_page(g, 0, 1, 5, 77, LIST(A), 1000);
	ck_assert(ask.ask && ask.cursor == 77);
	ck_assert_int_eq(settle(g, 1000, 0), 0);
	glue_asked(g, 0, 2, 77, 1000);
	ck_assert(!glue_page(g, 0, 2, 5, 0, LIST(B), 1000).ask);
	ck_assert_int_eq(settle(g, 1000, 0), 2);
	/* A page of another version: all over again, and nothing of the first sort stays. */
	glue_asked(g, 0, 3, 0, 1100);
	ck_assert(glue_page(g, 0, 3, 6, 1, LIST(A), 1100).ask);
	glue_asked(g, 0, 4, 1, 1100);
	ask = glue_page(g, 0, 4, 7, 0, LIST(B), 1100);
	ck_assert(ask.ask && ask.cursor == 0);
	glue_asked(g, 0, 5, 0, 1100);
	ck_assert(!glue_page(g, 0, 5, 7, 0, LIST(C), 1100).ask);
	ck_assert_int_eq(settle(g, 2100, 0), -2); /* the lease is over too */
	glue_free(g);
}
END_TEST

START_TEST(test_ACT_3_refused_request_keeps_what_is_held)
{
	struct glue *g = new_glue();

	snapshot(g, 0, LIST(A), 1000);
	settle(g, 1000, 0);
	ck_assert(glue_may_refresh(g, 0, 1100));
	glue_asked(g, 0, 7, 0, 1100);
	ck_assert(!glue_may_refresh(g, 0, 1100));
	glue_refused(g, 0, 7, 1110);
	ck_assert_int_eq(settle(g, 1110, 0), 0);
	ck_assert_str_eq(state(g, A), "installed");
	glue_free(g);
}
END_TEST

/* An agent must not be able to take the router's default route. */
START_TEST(test_ACT_3_bad_prefix_costs_itself_only)
{
	struct glue *g = new_glue();
	char garbage[] = "x/y", host_bits[] = "203.0.113.1/24";

	snapshot(g, 0, LIST(BAD, A, garbage, host_bits), 1000);
	ck_assert_int_eq(settle(g, 1000, 0), 1);
	ck_assert_uint_eq(glue_counters(g)[GLUE_BAD_PREFIX], 3);
	ck_assert(!glue_change(g, 0, 2, 2, LIST(BAD, B), LIST(garbage), 1100).ask);
	ck_assert_int_eq(settle(g, 1100, 0), 1);
	ck_assert_uint_eq(glue_counters(g)[GLUE_BAD_PREFIX], 5);
	glue_free(g);
}
END_TEST

START_TEST(test_ACT_3_prefixes_beyond_the_limit_are_counted)
{
	struct glue *g = new_glue();
	char text[12][20];
	char *list[12];

	for (int i = 0; i < 12; i++) {
		snprintf(text[i], sizeof(text[i]), "198.51.100.%d/32", i);
		list[i] = text[i];
	}
	snapshot(g, 0, (struct glue_prefixes){list, 12}, 1000);
	ck_assert_int_eq(settle(g, 1000, 0), 10);
	ck_assert_uint_eq(glue_counters(g)[GLUE_NO_ROOM], 2);
	glue_free(g);
}
END_TEST

START_TEST(test_ACT_3_foreign_route_is_a_conflict_until_it_goes)
{
	struct glue *g = new_glue();
	struct prefix p;

	snapshot(g, 0, LIST(A), 1000);
	ck_assert_int_eq(settle(g, 1000, EEXIST), 1);
	ck_assert_str_eq(state(g, A), "conflict");
	ck_assert_int_eq(settle(g, 1100, 0), 0);
	ck_assert_ptr_null(prefix_parse(B, &p));
	glue_retry(g, &p);
	ck_assert(!glue_dirty(g));
	ck_assert_ptr_null(prefix_parse(A, &p));
	glue_retry(g, &p);
	ck_assert_int_eq(settle(g, 1200, 0), 1);
	ck_assert_str_eq(state(g, A), "installed");
	glue_free(g);
}
END_TEST

START_TEST(test_ACT_3_flushed_routes_come_back)
{
	struct glue *g = new_glue();

	snapshot(g, 0, LIST(A, C), 1000);
	settle(g, 1000, 0);
	glue_loaded(g, NULL, 0); /* the device went down */
	ck_assert_str_eq(state(g, A), "wanted");
	ck_assert_int_eq(settle(g, 1100, 0), 2);
	ck_assert_uint_eq(glue_counters(g)[GLUE_MISSING], 2);
	glue_free(g);
}
END_TEST

START_TEST(test_ACT_3_states_of_a_flapping_prefix)
{
	struct glue *g = new_glue();
	uint64_t t = 10000, seq = 2;

	snapshot(g, 0, LIST(B), t);
	for (uint64_t i = 0; i < 8; i++, t += 600) {
		struct glue_prefixes on = i % 2 == 0 ? LIST(A) : NONE, off = i % 2 ? LIST(A) : NONE;

		ck_assert(!glue_change(g, 0, seq++, 2 + i, on, off, t).ask);
		settle(g, t, 0);
		if (i == 1)
			ck_assert_str_eq(state(g, A), "held");
		seq = beats(g, 0, seq, 2 + i, t + 250, t + 500);
		settle(g, t + 500, 0); /* holds end in between */
		if (i == 6)
			ck_assert_str_eq(state(g, A), "damped");
	}
	ck_assert_ptr_null(state(g, A)); /* remembered, not listed */
	glue_free(g);
}
END_TEST

/* ---- listings ---- */

static void ask_admin(struct admin *a, Turnout__Request__WhatCase what, uint64_t cursor, uint32_t limit,
		      Turnout__Reply *reply)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;

	turnout__reply__init(reply);
	request.what_case = what;
	request.cursor = cursor;
	request.limit = limit;
	ck_assert_ptr_null(admin_answer(a, &request, reply));
}

START_TEST(test_ARCH_7_routes_are_listed_in_order_and_pages)
{
	struct glue *g = new_glue();
	struct glue_config conf;
	struct admin a = {.glue = g, .conf = &conf};
	Turnout__Reply reply;
	char errors[256];

	ck_assert(glue_config_load_text("t", "agents: [fad, other]", &conf, errors, sizeof(errors)));
	snapshot(g, 0, LIST(C, B, A), 1000);
	snapshot(g, 1, LIST(B), 1000);
	settle(g, 1000, 0);
	ask_admin(&a, TURNOUT__REQUEST__WHAT_SHOW_ROUTES, 0, 2, &reply);
	ck_assert_uint_eq(reply.n_routes, 2);
	ck_assert_uint_eq(reply.next, 2);
	ck_assert_str_eq(reply.routes[0]->prefix, A);
	ck_assert_str_eq(reply.routes[0]->agents, "fad");
	ck_assert_str_eq(reply.routes[1]->agents, "fad,other");
	ck_assert_uint_eq(reply.routes[1]->references, 2);
	ck_assert_str_eq(reply.routes[1]->state, "installed");
	admin_release(&a);
	ask_admin(&a, TURNOUT__REQUEST__WHAT_SHOW_ROUTES, 2, 2, &reply);
	ck_assert_uint_eq(reply.n_routes, 1);
	ck_assert_uint_eq(reply.next, 0);
	ck_assert_str_eq(reply.routes[0]->prefix, C);
	admin_release(&a);
	ask_admin(&a, TURNOUT__REQUEST__WHAT_SHOW_ROUTES, 99, 2, &reply);
	ck_assert_uint_eq(reply.n_routes, 0);
	admin_release(&a);
	glue_config_free(&conf);
	glue_free(g);
}
END_TEST

START_TEST(test_ARCH_7_counters_and_version)
{
	struct glue *g = new_glue();
	struct glue_config conf = {0};
	Turnout__CounterRow more[1];
	struct admin a = {.glue = g, .conf = &conf, .started_ms = 1000, .now_ms = 8500, .dropped = 42, .more = more};
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	uint64_t installed = 0, unmatched = 0;
	Turnout__Reply reply;

	turnout__counter_row__init(&more[0]);
	a.more_count = 1;
	snapshot(g, 0, LIST(C, B, A), 1000);
	settle(g, 1000, 0);
	ask_admin(&a, TURNOUT__REQUEST__WHAT_SHOW_COUNTERS, 0, 0, &reply);
	for (size_t i = 0; i < reply.n_counters; i++) {
		ck_assert_ptr_nonnull(reply.counters[i]->name);
		if (strcmp(reply.counters[i]->name, "installed") == 0)
			installed = reply.counters[i]->value;
		if (strcmp(reply.counters[i]->name, "unmatched") == 0)
			unmatched = reply.counters[i]->value;
	}
	ck_assert_uint_eq(installed, 3);
	ck_assert_uint_eq(unmatched, 42);
	admin_release(&a);
	ask_admin(&a, TURNOUT__REQUEST__WHAT_VERSION, 0, 0, &reply);
	ck_assert_str_eq(reply.version->program, "routed-glue");
	ck_assert_uint_eq(reply.version->uptime_s, 7);
	admin_release(&a);
	request.what_case = TURNOUT__REQUEST__WHAT_SHOW_SERVERS;
	ck_assert_ptr_nonnull(admin_answer(&a, &request, &reply));
	admin_release(&a);
	glue_free(g);
	glue_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("glue");
	TCase *tc = tcase_create("glue");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_ACT_3_snapshot_then_changes);
	tcase_add_test(tc, test_FA_11_ACT_3_two_agents_count_one_route);
	tcase_add_test(tc, test_ACT_3_silent_agent_loses_only_its_own);
	tcase_add_test(tc, test_FA_6_planned_stop_without_hold_withdraws_at_once);
	tcase_add_test(tc, test_FA_6_planned_stop_with_hold_changes_no_route);
	tcase_add_test(tc, test_FA_6_hold_ends_in_time_or_with_what_is_not_claimed);
	tcase_add_test(tc, test_ACT_3_pages_take_effect_together);
	tcase_add_test(tc, test_ACT_3_refused_request_keeps_what_is_held);
	tcase_add_test(tc, test_ACT_3_bad_prefix_costs_itself_only);
	tcase_add_test(tc, test_ACT_3_prefixes_beyond_the_limit_are_counted);
	tcase_add_test(tc, test_ACT_3_foreign_route_is_a_conflict_until_it_goes);
	tcase_add_test(tc, test_ACT_3_flushed_routes_come_back);
	tcase_add_test(tc, test_ACT_3_states_of_a_flapping_prefix);
	tcase_add_test(tc, test_ARCH_7_routes_are_listed_in_order_and_pages);
	tcase_add_test(tc, test_ARCH_7_counters_and_version);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
