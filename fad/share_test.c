/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of share.c: what counts as one source, and how much one may ask.
 */
#include "fad/share.h"

#include "fad/engine_fixture.h"

#define EACH   1000
#define SECRET ((const uint64_t[2]){1, 2})

static uint32_t place(struct flow_key k, bool from_dst, uint64_t who)
{
	return share_place(SECRET, &k, from_dst, who);
}

START_TEST(test_FA_5_a_source_is_a_prefix_under_a_wildcard)
{
	struct flow_key k = {.family = 4, .sport = 1, .src = {10, 1, 2, 3}, .dst = {192, 0, 2, 1}}, other = k;
	struct flow_key six = {.family = 6, .src = {0x20, 1, 0xd, 0xb8, 0, 1, 2, 3}}, near = six;
	uint32_t here = place(k, false, 7);

	other.src[3] = 200;
	other.sport = 99;
	ck_assert_uint_eq(place(other, false, 7), here);
	ck_assert_uint_ne(place(k, false, 8), here);
	ck_assert_uint_ne(place(k, true, 7), here);
	other.src[2]++;
	ck_assert_uint_ne(place(other, false, 7), here);
	near.src[SHARE_IPV6] ^= 0xff;
	near.src[15] = 1;
	ck_assert_uint_eq(place(near, false, 7), place(six, false, 7));
	near.src[SHARE_IPV6 - 1] ^= 1;
	ck_assert_uint_ne(place(near, false, 7), place(six, false, 7));
}
END_TEST

START_TEST(test_FA_5_so_many_at_once_then_one_by_one)
{
	struct share_table *t = calloc(1, sizeof(*t));
	uint64_t now = 5000000;
	unsigned n = 0;

	ck_assert_ptr_nonnull(t);
	while (n < 100 && share_take(t, 3, EACH, now))
		n++;
	ck_assert_uint_eq(n, SHARE_BURST);
	ck_assert(!share_take(t, 3, EACH, now + EACH - 1));
	ck_assert(share_take(t, 3, EACH, now + EACH));
	ck_assert(!share_take(t, 3, EACH, now + EACH));
	ck_assert(share_take(t, 4, EACH, now)); /* somebody else's */
	free(t);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_FA_5_a_source_is_a_prefix_under_a_wildcard);
	tcase_add_test(t, test_FA_5_so_many_at_once_then_one_by_one);
}

int main(void)
{
	return bed_main("share", add);
}
