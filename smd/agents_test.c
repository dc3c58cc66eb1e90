/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the agents a manager knows.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smd/agents.h"

static struct endpoint_peer peer(uint64_t identity)
{
	struct endpoint_peer p = {.identity = identity, .port = 7510};

	addr_parse("10.77.0.1", &p.addr);
	return p;
}

static struct agent *hear(struct agents *as, uint64_t identity, uint64_t now_ms, bool *made)
{
	struct endpoint_peer p = peer(identity);

	return agents_heard(as, &p, now_ms, made);
}

START_TEST(test_agent_keeps_its_number_wherever_it_speaks_from_ARCH_4)
{
	struct agents *as = agents_new(4);
	struct endpoint_peer moved = peer(11);
	struct agent *a, *b;
	bool made;

	a = hear(as, 10, 1000, &made);
	ck_assert(made);
	b = hear(as, 11, 1000, &made);
	ck_assert(made);
	ck_assert_uint_ne(a->number, b->number);
	moved.port = 7777;
	ck_assert_ptr_eq(agents_heard(as, &moved, 2000, &made), b);
	ck_assert(!made);
	ck_assert_uint_eq(b->peer.port, 7777);
	ck_assert_uint_eq(b->heard_ms, 2000);
	ck_assert_ptr_eq(agents_number(as, b->number), b);
	ck_assert_ptr_eq(agents_find(as, 10), a);
	ck_assert_ptr_null(agents_find(as, 12));
	ck_assert_ptr_null(agents_number(as, 2));
	ck_assert_ptr_null(agents_number(as, 60000));
	agents_free(as);
}
END_TEST

START_TEST(test_full_only_the_silent_make_room)
{
	struct agents *as = agents_new(3);
	bool made;

	for (uint64_t id = 1; id <= 3; id++)
		ck_assert_ptr_nonnull(hear(as, id, id * 1000, &made));
	ck_assert_ptr_null(hear(as, 4, 10000, &made));
	hear(as, 1, 30000, &made);
	ck_assert_ptr_nonnull(hear(as, 4, 2000 + AGENT_SILENT_MS + 1, &made)); /* in the place of 2 */
	ck_assert_ptr_null(agents_find(as, 2));
	ck_assert_ptr_nonnull(agents_find(as, 1));
	ck_assert_ptr_nonnull(agents_find(as, 3));
	ck_assert_uint_eq(agents_count(as), 3);
	agents_free(as);
}
END_TEST

START_TEST(test_silent_ones_are_forgotten_in_the_end)
{
	struct agents *as = agents_new(10);
	uint32_t n = 0;
	bool made;

	hear(as, 1, 1000, &made);
	hear(as, 2, 500000, &made);
	ck_assert(!agent_silent(agents_find(as, 1), 1000 + AGENT_SILENT_MS));
	ck_assert(agent_silent(agents_find(as, 1), 1001 + AGENT_SILENT_MS));
	agents_expire(as, 1000 + AGENT_FORGET_MS);
	ck_assert_uint_eq(agents_count(as), 2);
	agents_expire(as, 1001 + AGENT_FORGET_MS);
	ck_assert_ptr_eq(agents_next(as, &n), agents_find(as, 2));
	ck_assert_ptr_null(agents_next(as, &n));
	agents_free(as);
	agents_free(NULL);
}
END_TEST

START_TEST(test_hello_says_what_it_can_do_ACT_9)
{
	const uint32_t needed = wire_bit(WIRE_SEG_NAT) | wire_bit(WIRE_SEG_ADVERTISE);
	struct agents *as = agents_new(1);
	char buf[WIRE_MAX_NAME + 1];
	struct wire_msg m;
	struct agent *a;
	bool made;

	a = hear(as, 0xabc, 1000, &made);
	ck_assert_str_eq(agent_name(a, buf), "0xabc");
	wire_start(&m, WIRE_HELLO);
	strcpy(m.identity.name, "r1");
	m.list = (struct wire_list){3, {WIRE_SEG_NAT, WIRE_SEG_ADVERTISE, WIRE_SEG_TUNNEL}};
	ck_assert(!agent_hello(a, &m, needed));
	ck_assert_uint_eq(agent_cannot(a), 0);
	ck_assert_str_eq(agent_name(a, buf), "r1");
	m.list.count = 1;
	ck_assert(agent_hello(a, &m, needed));
	ck_assert(!agent_hello(a, &m, needed));
	ck_assert_uint_eq(agent_cannot(a), wire_bit(WIRE_SEG_ADVERTISE));
	agents_free(as);
}
END_TEST

START_TEST(test_no_room_waits_longer_each_time_ACT_9)
{
	struct agent a = {0};
	uint64_t now = 100000, before;

	ck_assert(agent_has_room(&a, now));
	agent_no_room(&a, now);
	agent_no_room(&a, now + 5); /* about something sent before */
	ck_assert(!agent_has_room(&a, now + 999));
	ck_assert(agent_has_room(&a, now + 1000));
	for (int i = 0; i < 10; i++) {
		now = a.no_room_until_ms;
		agent_no_room(&a, now);
	}
	before = a.no_room_until_ms - now;
	ck_assert_uint_eq(before, 32000);
	agent_no_room(&a, a.no_room_until_ms + 40000); /* after a good while: from the start again */
	ck_assert_uint_eq(a.no_room_ms, 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("agents");
	TCase *tc = tcase_create("agents");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_agent_keeps_its_number_wherever_it_speaks_from_ARCH_4);
	tcase_add_test(tc, test_full_only_the_silent_make_room);
	tcase_add_test(tc, test_silent_ones_are_forgotten_in_the_end);
	tcase_add_test(tc, test_hello_says_what_it_can_do_ACT_9);
	tcase_add_test(tc, test_no_room_waits_longer_each_time_ACT_9);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
