/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which keys the kernel is told of for later fragments, and for how long.
 */
#include "fad/tailtab.h"

#include "fad/engine_fixture.h"

static struct flow_key flow(uint8_t n, uint16_t port)
{
	struct flow_key k = bed_key(IPPROTO_UDP, "198.51.100.7", port, "203.0.113.10", 53);

	k.src[3] = n;
	return k;
}

/* Keys told of and not taken back; -1: refuse. */
static bool on_flow(void *ctx, const struct flow_key *key, bool add)
{
	int *keys = ctx;

	ck_assert_uint_eq(key->sport | key->dport, 0);
	if (*keys < 0)
		return false;
	*keys += add ? 1 : -1;
	return true;
}

static const struct fixtab_watch watch = {.flow = on_flow};

START_TEST(test_key_lives_as_long_as_fragments_come_ACT_10)
{
	const uint64_t hash_key[2] = {1, 2};
	int keys = 0;
	struct tailtab *t = tailtab_new(3, hash_key, &watch, &keys);

	tailtab_note(t, &(struct flow_key){0}, 0);
	tailtab_note(t, &(struct flow_key){0}, 5);
	ck_assert_int_eq(keys, 1);
	ck_assert(tailtab_holds(t, &(struct flow_key){0}));
	ck_assert(!tailtab_holds(t, &(struct flow_key){.family = 4}));
	for (uint16_t port = 1; port < 9; port++)
		tailtab_note(t, &(struct flow_key){.family = 4, .sport = port}, 10); /* one key, whatever its port */
	ck_assert_int_eq(keys, 2);
	tailtab_note(t, &(struct flow_key){0}, 100);
	tailtab_expire(t, 10 + TAILTAB_KEPT_MS - 1);
	ck_assert_int_eq(keys, 2);
	tailtab_expire(t, 10 + TAILTAB_KEPT_MS);
	ck_assert_int_eq(keys, 1);
	tailtab_expire(t, 100 + TAILTAB_KEPT_MS);
	ck_assert_int_eq(keys, 0);
	ck_assert_uint_eq(tailtab_count(t), 0);
	tailtab_free(t);
}
END_TEST

START_TEST(test_oldest_gives_way_and_all_is_taken_back_ACT_10)
{
	const uint64_t hash_key[2] = {1, 2};
	int keys = 0;
	struct tailtab *t = tailtab_new(3, hash_key, &watch, &keys);

	for (uint8_t n = 0; n < 200; n++) {
		struct flow_key k = flow(n, n);

		tailtab_note(t, &k, n);
	}
	ck_assert_int_eq(keys, 3);
	ck_assert_uint_eq(tailtab_count(t), 3);
	tailtab_free(t);
	ck_assert_int_eq(keys, 0);
	keys = -1; /* the kernel has no room */
	t = tailtab_new(3, hash_key, &watch, &keys);
	tailtab_note(t, &(struct flow_key){.family = 4}, 1);
	ck_assert_uint_eq(tailtab_count(t), 0);
	tailtab_free(t);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_key_lives_as_long_as_fragments_come_ACT_10);
	tcase_add_test(t, test_oldest_gives_way_and_all_is_taken_back_ACT_10);
}

int main(void)
{
	return bed_main("tailtab", add);
}
