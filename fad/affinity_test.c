/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of filling an affinity from a message, of ranks, and of its
 * description in words.
 */
#include "fad/affinity.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct wire_msg update(void)
{
	struct wire_msg m;

	wire_start(&m, WIRE_FIXED_UPDATE);
	m.fixed.key.family = 4;
	return m;
}

static struct addr addr(const char *text)
{
	struct addr a = {0};

	if (text)
		ck_assert(addr_parse(text, &a));
	return a;
}

static void nat(struct wire_msg *m, uint8_t set, const char *src, uint16_t sport, const char *dst, uint16_t dport)
{
	m->nat[m->nat_count++] =
		(struct wire_nat){.set = set, .src = addr(src), .sport = sport, .dst = addr(dst), .dport = dport};
	wire_set(m, WIRE_SEG_NAT, true);
}

/* What the affinity of this message is called. */
static void ck_described(const struct wire_msg *m, uint8_t flags, const char *forward, const char *want)
{
	struct addr to = addr(forward);
	struct affinity a;
	char text[256];

	ck_assert(affinity_init(&a, m, NULL, flags, &to, 60, 4, 1000));
	affinity_describe(&a, text, sizeof(text));
	ck_assert_str_eq(text, want);
	for (size_t size = 0; size < sizeof(text); size++) { /* never beyond what there is */
		char *exact = malloc(size + 1);

		exact[size] = '#';
		affinity_describe(&a, exact, size);
		ck_assert_int_eq(exact[size], '#');
		ck_assert(!size || strnlen(exact, size) < size);
		free(exact);
	}
	affinity_clear(&a);
}

START_TEST(test_PREC_9_ranks_of_both_search_orders_and_none)
{
	struct wire_msg m = update();

	ck_assert_uint_eq(affinity_rank_of(&m), AFFINITY_RANK_NONE);
	wire_set(&m, WIRE_SEG_PRECEDENCE, true);
	m.precedence = (struct wire_precedence){.lower_first = true, .value = 5};
	ck_assert_uint_eq(affinity_rank_of(&m), 5);
	m.precedence = (struct wire_precedence){.lower_first = false, .value = 5};
	ck_assert_uint_eq(affinity_rank_of(&m), 0xffffffff - 5);
	ck_assert(affinity_rank_of(&m) < AFFINITY_RANK_NONE);
	ck_assert(affinity_rank_after(0, AFFINITY_RANK_BEFORE_ALL));
	ck_assert(affinity_rank_after(6, 5));
	ck_assert(!affinity_rank_after(5, 5));
	ck_assert(affinity_rank_after(AFFINITY_RANK_NONE, 0xffffffff));
}
END_TEST

START_TEST(test_ACT_1_translations_fold_and_a_later_one_wins)
{
	struct wire_msg m = update();
	struct addr none = {0};
	struct affinity a;

	nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, NULL, 0, "10.0.0.1", 80);
	nat(&m, WIRE_NAT_DPORT | WIRE_NAT_SPORT, NULL, 99, NULL, 81);
	ck_assert(affinity_init(&a, &m, NULL, 0, &none, 60, 4, 1000));
	ck_assert_uint_eq(a.edit.set, PLAN_DST | PLAN_DPORT | PLAN_SPORT);
	ck_assert_uint_eq(a.edit.dport, 81);
	ck_assert_uint_eq(a.edit.sport, 99);
	ck_assert_uint_eq(a.edit.dst[0], 10);
	ck_assert_uint_eq(a.edit.family, 4);
	ck_assert_uint_eq(a.expires_ms, 61000);
	affinity_clear(&a);
}
END_TEST

START_TEST(test_MSG_10_data_and_criteria_are_copied)
{
	struct wire_msg m = update();
	struct addr none = {0};
	uint8_t data[3] = {1, 2, 3};
	struct affinity a;

	m.sm_data = (struct wire_blob){data, 3};
	wire_set(&m, WIRE_SEG_SM_DATA, false);
	m.interest[m.interest_count++].interest = WIRE_INTEREST_FIN;
	ck_assert(affinity_init(&a, &m, NULL, 0, &none, 60, 4, 1000));
	memset(data, 0, sizeof(data));
	m.interest[0].interest = 0;
	ck_assert_mem_eq(a.sm_data, ((uint8_t[]){1, 2, 3}), 3);
	ck_assert_uint_eq(a.interest[0].interest, WIRE_INTEREST_FIN);
	affinity_clear(&a);
	affinity_clear(&a); /* twice is harmless */
}
END_TEST

START_TEST(test_FA_4_descriptions)
{
	struct wire_msg m = update();

	ck_described(&m, 0, NULL, "none");
	ck_described(&m, WIRE_FLAG_DISPATCH, NULL, "drop");
	ck_described(&m, WIRE_FLAG_DISPATCH, "10.0.20.12", "dispatch to 10.0.20.12");
	nat(&m, WIRE_NAT_DST | WIRE_NAT_DPORT, NULL, 0, "10.0.20.11", 80);
	m.interest[m.interest_count++] = (struct wire_interest){.interest = WIRE_INTEREST_FIN | WIRE_INTEREST_RST};
	ck_described(&m, 0, NULL, "dnat 10.0.20.11:80, notify FIN RST");
	m.interest[m.interest_count++] =
		(struct wire_interest){.interest = WIRE_INTEREST_ALL, .data = WIRE_INTEREST_ALL};
	m.interest[m.interest_count++] =
		(struct wire_interest){.copy = WIRE_INTEREST_SYN | WIRE_INTEREST_DATA, .hold = WIRE_INTEREST_SYN};
	ck_described(&m, 0, NULL, "dnat 10.0.20.11:80, notify FIN RST, punt all, copy data, copy and hold SYN");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("affinity");
	TCase *t = tcase_create("affinity");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_PREC_9_ranks_of_both_search_orders_and_none);
	tcase_add_test(t, test_ACT_1_translations_fold_and_a_later_one_wins);
	tcase_add_test(t, test_MSG_10_data_and_criteria_are_copied);
	tcase_add_test(t, test_FA_4_descriptions);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
