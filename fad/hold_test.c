/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the hold: order, bounds in packets, flows and bytes, and that
 * every byte is given back.
 */
#include "fad/hold.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t SEED[2] = {1, 2};

static struct flow_key key(uint16_t n)
{
	return (struct flow_key){.family = 4, .proto = 6, .sport = n};
}

static struct packet packet(uint8_t *bytes, uint32_t len)
{
	return (struct packet){.data = bytes, .len = len, .ifindex = 3, .l4 = 20};
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

START_TEST(test_FA_9_packets_come_out_as_they_went_in)
{
	struct hold *h = hold_new(&(struct hold_limits){.flows = 4, .packets = 10, .bytes = 100000}, SEED);
	struct flow_key k = key(1), other = key(2);
	struct held_flow *f = hold_begin(h, &k, 1000);
	struct held_packet *list, *p;
	uint8_t bytes[100];

	ck_assert_ptr_eq(hold_find(h, &k), f);
	ck_assert_ptr_null(hold_find(h, &other));
	ck_assert_uint_eq(f->tries, 1);
	for (uint8_t i = 0; i < 10; i++) {
		struct packet in = packet(bytes, 50u + i);

		memset(bytes, i, sizeof(bytes));
		ck_assert(hold_push(h, f, &in, i));
	}
	list = p = hold_release(h, f);
	for (uint8_t i = 0; i < 10; i++, p = p->next) {
		ck_assert_uint_eq(p->p.len, 50u + i);
		ck_assert_uint_eq(p->p.ifindex, 3);
		ck_assert_uint_eq(p->p.data[0], i);
		ck_assert_uint_eq(p->p.data[49 + i], i);
		ck_assert_uint_eq(p->mark, i);
	}
	ck_assert_ptr_null(p);
	ck_assert_uint_eq(free_all(list), 10);
	ck_assert_ptr_null(hold_find(h, &k));
	ck_assert_uint_eq(hold_bytes(h), 0);
	hold_free(h);
}
END_TEST

START_TEST(test_FA_9_bounds_of_packets_flows_and_bytes)
{
	struct hold *h = hold_new(&(struct hold_limits){.flows = 2, .packets = 3, .bytes = 3000}, SEED);
	struct flow_key k[3] = {key(1), key(2), key(3)};
	struct held_flow *f = hold_begin(h, &k[0], 0), *g = hold_begin(h, &k[1], 0);
	uint8_t bytes[2000] = {0};
	struct packet small = packet(bytes, 10), big = packet(bytes, 2000);

	ck_assert_ptr_null(hold_begin(h, &k[2], 0));
	ck_assert_uint_eq(hold_flows(h), 2);
	for (int i = 0; i < 3; i++)
		ck_assert(hold_push(h, f, &small, 0));
	ck_assert(!hold_push(h, f, &small, 0)); /* the flow's share */
	ck_assert(hold_push(h, g, &big, 0));
	ck_assert(!hold_push(h, g, &big, 0)); /* all room */
	ck_assert_uint_le(hold_bytes(h), 3000);
	free_all(hold_release(h, f));
	free_all(hold_release(h, g));
	ck_assert_uint_eq(hold_bytes(h), 0);
	ck_assert_ptr_nonnull(hold_begin(h, &k[2], 0));
	hold_free(h);
}
END_TEST

START_TEST(test_FA_9_the_longest_waiting_flow_comes_first)
{
	struct hold *h = hold_new(&(struct hold_limits){.flows = 10, .packets = 3, .bytes = 3000}, SEED);
	uint8_t bytes[10] = {0};
	struct packet p = packet(bytes, 10);

	ck_assert_ptr_null(hold_oldest(h));
	for (uint16_t i = 0; i < 5; i++) {
		struct flow_key k = key(i);

		hold_push(h, hold_begin(h, &k, i), &p, 0);
	}
	for (uint16_t i = 0; i < 4; i++) {
		ck_assert_uint_eq(hold_oldest(h)->key.sport, i);
		free_all(hold_release(h, hold_oldest(h)));
	}
	hold_free(h); /* with one still in it */
	hold_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hold");
	TCase *t = tcase_create("hold");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_FA_9_packets_come_out_as_they_went_in);
	tcase_add_test(t, test_FA_9_bounds_of_packets_flows_and_bytes);
	tcase_add_test(t, test_FA_9_the_longest_waiting_flow_comes_first);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
