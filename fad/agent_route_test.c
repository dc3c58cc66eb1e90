/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is remembered of the kernel's ways, at more addresses than there are
 * places.  Needs root; has a namespace of its own.
 */
#include <stdlib.h>

#include "fad/agent.h"
#include "fad/netns_fixture.h"
#include "lib/check_main.h"
#include "lib/daemon.h"

#define ASKED (64 * AGENT_ROUTES) /* far more than it takes until no place is empty */

static struct addr nth(uint32_t n)
{
	uint8_t b[4] = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

	return addr_make(4, b);
}

static void ask(struct agent *a, const struct addr *to, bool found)
{
	struct engine_route r;

	ck_assert_int_eq(agent_route(a, to, &r), found);
	if (found)
		ck_assert_uint_eq(r.mtu, 1400);
}

/* Where the answer for this address is, or NULL. */
static struct agent_route *remembered(struct agent *a, const struct addr *to)
{
	for (size_t i = 0; i < AGENT_ROUTES; i++)
		if (a->routes[i].asked_ms && addr_equal(&a->routes[i].to, to))
			return &a->routes[i];
	return NULL;
}

static bool is_full(const struct agent *a)
{
	for (size_t i = 0; i < AGENT_ROUTES; i++)
		if (!a->routes[i].asked_ms)
			return false;
	return true;
}

START_TEST(test_FA_7_ARCH_10_more_ways_than_are_remembered)
{
	struct agent *a = calloc(1, sizeof(*a));
	struct addr early, late;
	uint32_t n = 0;

	netns_enter();
	netns_run("ip link add w0 mtu 1400 type veth peer name p0");
	netns_run("ip link set p0 up");
	netns_run("ip link set w0 up");
	netns_run("ip address add 192.0.2.1/24 dev w0");
	netns_run("ip route add 10.0.0.0/8 via 192.0.2.2");
	a->hash_key[0] = 1;
	a->hash_key[1] = 2;
	for (uint32_t i = 0; i < ASKED && (i % AGENT_ROUTES || !is_full(a)); i++) {
		late = nth(i);
		ask(a, &late, true);
	}
	ck_assert(is_full(a));
	/* The latest of a place stays, the earlier one is asked about again, each gets its own answer. */
	do
		early = nth(n++);
	while (remembered(a, &early));
	ck_assert_ptr_nonnull(remembered(a, &late));
	netns_run("ip route del 10.0.0.0/8");
	remembered(a, &late)->asked_ms = daemon_now_ms(); /* this moment, however slow the machine is */
	ask(a, &late, true);
	ask(a, &early, false);
	ck_assert_ptr_nonnull(remembered(a, &early));
	/* Not for longer than it may be true. */
	ck_assert_uint_ge(daemon_now_ms(), 1000);
	remembered(a, &late)->asked_ms = daemon_now_ms() - 1000;
	ask(a, &late, false);
	free(a);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent_route");
	TCase *tc = tcase_create("agent_route");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_FA_7_ARCH_10_more_ways_than_are_remembered);
	suite_add_tcase(suite, tc);
	return check_main(suite);
}
