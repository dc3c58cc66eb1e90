/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the consistent-hash tables: shares, disturbance, determinism.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smd/maglev.h"

struct names {
	char text[MAGLEV_MAX][16];
	struct maglev_member m[MAGLEV_MAX];
};

static void members(struct names *n, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		snprintf(n->text[i], sizeof(n->text[i]), "web%u", i);
		n->m[i] = (struct maglev_member){.name = n->text[i], .index = (uint16_t)i, .weight = 1};
	}
}

static void shares(const uint16_t *table, unsigned *out, unsigned count)
{
	memset(out, 0, count * sizeof(*out));
	for (unsigned s = 0; s < MAGLEV_SLOTS; s++) {
		ck_assert_uint_lt(table[s], count);
		out[table[s]]++;
	}
}

static uint16_t a[MAGLEV_SLOTS], b[MAGLEV_SLOTS];
static struct names names;

START_TEST(test_SVC_1_maglev_equal_weights_share_equally)
{
	const unsigned counts[] = {1, 2, 3, 10, 100, 500};
	unsigned share[500];

	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		double fair = (double)MAGLEV_SLOTS / counts[c];

		members(&names, counts[c]);
		ck_assert(maglev_build(a, names.m, counts[c]));
		shares(a, share, counts[c]);
		for (unsigned i = 0; i < counts[c]; i++) {
			ck_assert(share[i] >= fair * 0.98 - 1);
			ck_assert(share[i] <= fair * 1.02 + 1);
		}
	}
}
END_TEST

START_TEST(test_SVC_1_maglev_weights_are_honoured)
{
	unsigned share[4];
	const uint32_t weights[4] = {1, 2, 3, 10};

	members(&names, 4);
	for (unsigned i = 0; i < 4; i++)
		names.m[i].weight = weights[i];
	ck_assert(maglev_build(a, names.m, 4));
	shares(a, share, 4);
	for (unsigned i = 0; i < 4; i++) {
		double fair = (double)MAGLEV_SLOTS * weights[i] / 16;

		ck_assert(share[i] > fair * 0.97);
		ck_assert(share[i] < fair * 1.03);
	}
}
END_TEST

START_TEST(test_SVC_1_maglev_removing_one_disturbs_little)
{
	struct maglev_member rest[9];
	unsigned moved = 0, orphaned = 0;

	members(&names, 10);
	ck_assert(maglev_build(a, names.m, 10));
	for (unsigned i = 0, n = 0; i < 10; i++)
		if (i != 4)
			rest[n++] = names.m[i];
	ck_assert(maglev_build(b, rest, 9));
	for (unsigned s = 0; s < MAGLEV_SLOTS; s++) {
		if (a[s] == 4) {
			ck_assert_uint_ne(b[s], 4);
			orphaned++;
		} else if (a[s] != b[s]) {
			moved++;
		}
	}
	ck_assert_uint_gt(orphaned, 0);
	/* The paper sees a few percent beyond what must move. */
	ck_assert_uint_lt(moved, MAGLEV_SLOTS * 6 / 100);
}
END_TEST

START_TEST(test_SM_2_maglev_does_not_depend_on_order)
{
	struct maglev_member shuffled[7];

	members(&names, 7);
	for (unsigned i = 0; i < 7; i++)
		shuffled[i] = names.m[(i * 3 + 5) % 7];
	ck_assert(maglev_build(a, names.m, 7));
	ck_assert(maglev_build(b, shuffled, 7));
	ck_assert_mem_eq(a, b, sizeof(a));
}
END_TEST

START_TEST(test_SM_2_maglev_is_the_same_everywhere)
{
	/* Golden: managers of different builds must agree.  A change here is a
	 * change of what a configuration means. */
	const unsigned slots[] = {0, 1, 1000, 32768, 65536};
	const unsigned golden[] = {0, 4, 2, 3, 0};

	members(&names, 5);
	ck_assert(maglev_build(a, names.m, 5));
	for (size_t i = 0; i < 5; i++)
		ck_assert_uint_eq(a[slots[i]], golden[i]);
}
END_TEST

START_TEST(test_maglev_edges)
{
	members(&names, 1);
	ck_assert(maglev_build(a, names.m, 0));
	for (unsigned s = 0; s < MAGLEV_SLOTS; s++)
		ck_assert_uint_eq(a[s], MAGLEV_NONE);
	ck_assert(maglev_build(a, names.m, 1));
	ck_assert_uint_eq(maglev_lookup(a, UINT64_MAX), 0);
	names.m[0].weight = 0;
	ck_assert(!maglev_build(a, names.m, 1));
	ck_assert(!maglev_build(a, names.m, MAGLEV_MAX + 1));
	ck_assert_uint_eq(maglev_lookup(a, 7), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("maglev");
	TCase *tc = tcase_create("maglev");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_SVC_1_maglev_equal_weights_share_equally);
	tcase_add_test(tc, test_SVC_1_maglev_weights_are_honoured);
	tcase_add_test(tc, test_SVC_1_maglev_removing_one_disturbs_little);
	tcase_add_test(tc, test_SM_2_maglev_does_not_depend_on_order);
	tcase_add_test(tc, test_SM_2_maglev_is_the_same_everywhere);
	tcase_add_test(tc, test_maglev_edges);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
