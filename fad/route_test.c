/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asking the kernel's FIB, in a network namespace of each test's own.  Needs
 * root.
 */
#include "fad/route_io.h"

#include <check.h>
#include <linux/rtnetlink.h>

#include "fad/netns_fixture.h"

static struct route ask(const char *to)
{
	struct addr a = netns_addr(to);
	struct route r;

	memset(&r, 0xaa, sizeof(r));
	ck_assert_int_eq(route_ask(&a, &r), 0);
	return r;
}

static void check_prefix(const struct route *r, const char *addr, uint8_t plen)
{
	struct addr want = netns_addr(addr);

	ck_assert_mem_eq(&r->prefix, &want, sizeof(want));
	ck_assert_uint_eq(r->plen, plen);
}

static void check_hop(const struct route_hop *h, const char *gateway, const char *interface)
{
	struct addr want = {0};

	if (gateway)
		want = netns_addr(gateway);
	ck_assert_mem_eq(&h->gateway, &want, sizeof(want));
	ck_assert_str_eq(h->interface, interface);
}

static void enter(void)
{
	netns_enter();
	netns_run("ip link set lo up");
	netns_run("ip link add w0 type veth peer name p0");
	netns_run("ip link add w1 type veth peer name p1");
	netns_run("ip address add 10.9.0.1/24 dev w0");
	netns_run("ip address add 10.8.0.1/24 dev w1");
	netns_run("ip address add fd09::1/64 dev w0 nodad");
	netns_run("ip link set p0 up");
	netns_run("ip link set p1 up");
	netns_run("ip link set w0 up");
	netns_run("ip link set w1 up");
	netns_run("ip address add fd08::1/64 dev w1 nodad");
}

START_TEST(test_ARCH_7_connected_and_by_a_gateway)
{
	struct route r;

	enter();
	netns_run("ip route add 198.51.100.0/24 via 10.9.0.2");
	netns_run("ip route add 198.51.100.128/25 via 10.8.0.2 table 100");
	netns_run("ip rule add to 198.51.100.128/25 lookup 100");
	netns_run("ip -6 route add 2001:db8:1::/48 via fd09::2");
	r = ask("10.9.0.77");
	ck_assert_int_eq(r.kind, ROUTE_UNICAST);
	ck_assert_uint_eq(r.table, RT_TABLE_MAIN);
	check_prefix(&r, "10.9.0.0", 24);
	ck_assert_uint_eq(r.hop_count, 1);
	check_hop(&r.hops[0], NULL, "w0");
	r = ask("198.51.100.7");
	check_prefix(&r, "198.51.100.0", 24);
	ck_assert_uint_eq(r.hop_count, 1);
	check_hop(&r.hops[0], "10.9.0.2", "w0");
	r = ask("198.51.100.200"); /* another table by a rule */
	ck_assert_uint_eq(r.table, 100);
	check_prefix(&r, "198.51.100.128", 25);
	check_hop(&r.hops[0], "10.8.0.2", "w1");
	r = ask("2001:db8:1:2::3");
	ck_assert_int_eq(r.kind, ROUTE_UNICAST);
	check_prefix(&r, "2001:db8:1::", 48);
	check_hop(&r.hops[0], "fd09::2", "w0");
}
END_TEST

START_TEST(test_ARCH_7_several_next_hops)
{
	char command[512] = "ip route add 203.0.113.0/24";
	struct route r;

	enter();
	netns_run("ip route add 198.51.100.0/24 nexthop via 10.9.0.2 nexthop via 10.8.0.2");
	netns_run("ip -6 route add 2001:db8:1::/48 nexthop via fd09::2 nexthop via fd08::2");
	r = ask("198.51.100.7");
	ck_assert_int_eq(r.kind, ROUTE_UNICAST);
	ck_assert_uint_eq(r.hop_count, 2);
	check_hop(&r.hops[0], "10.9.0.2", "w0");
	check_hop(&r.hops[1], "10.8.0.2", "w1");
	r = ask("2001:db8:1::7");
	ck_assert_uint_eq(r.hop_count, 2);
	check_hop(&r.hops[0], "fd09::2", "w0");
	check_hop(&r.hops[1], "fd08::2", "w1");
	/* More than there is room for are counted. */
	for (int i = 2; i < 2 + ROUTE_MAX_HOPS + 3; i++) {
		size_t len = strlen(command);

		snprintf(command + len, sizeof(command) - len, " nexthop via 10.9.0.%d", i);
	}
	netns_run(command);
	r = ask("203.0.113.7");
	ck_assert_uint_eq(r.hop_count, ROUTE_MAX_HOPS + 3);
	check_hop(&r.hops[ROUTE_MAX_HOPS - 1], "10.9.0.9", "w0");
}
END_TEST

static void check_way(const char *to, uint32_t mtu, const char *source)
{
	struct addr a = netns_addr(to), want = netns_addr(source);
	struct route_way w;

	ck_assert_msg(route_ask_way(&a, &w), "no way to %s", to);
	ck_assert_uint_eq(w.mtu, mtu);
	ck_assert_mem_eq(&w.source, &want, sizeof(want));
}

START_TEST(test_SVC_10_ACT_10_mtu_and_source_of_a_way)
{
	struct addr a;
	struct route_way w;

	enter();
	netns_run("ip link set w0 mtu 1400");
	netns_run("ip route add 198.51.100.0/24 via 10.8.0.2 src 10.9.0.1");
	netns_run("ip route add 203.0.113.0/24 via 10.8.0.2 mtu 1300");
	netns_run("ip route add 192.0.2.0/24 nexthop via 10.8.0.2 nexthop via 10.9.0.2");
	netns_run("ip -6 route add 2001:db8:1::/48 via fd08::2 mtu 1290");
	netns_write("/proc/sys/net/ipv6/conf/w1/mtu", "1350");
	check_way("10.9.0.77", 1400, "10.9.0.1");
	check_way("10.8.0.77", 1500, "10.8.0.1");
	check_way("198.51.100.7", 1500, "10.9.0.1");
	check_way("203.0.113.7", 1300, "10.8.0.1");
	check_way("fd09::77", 1400, "fd09::1");
	check_way("fd08::77", 1350, "fd08::1");
	check_way("2001:db8:1::7", 1290, "fd08::1");
	a = netns_addr("192.0.2.7"); /* by either link: the smaller one */
	ck_assert(route_ask_way(&a, &w));
	ck_assert_uint_eq(w.mtu, 1400);
	a = netns_addr("172.16.0.1");
	ck_assert(!route_ask_way(&a, &w));
	a = netns_addr("10.9.0.1"); /* our own */
	ck_assert(!route_ask_way(&a, &w));
}
END_TEST

START_TEST(test_ARCH_7_what_is_no_way_out)
{
	enter();
	ck_assert_int_eq(ask("192.0.2.1").kind, ROUTE_NONE);
	ck_assert_int_eq(ask("2001:db8::1").kind, ROUTE_NONE);
	ck_assert_uint_eq(ask("192.0.2.1").hop_count, 0);
	netns_run("ip route add unreachable 192.0.2.0/26");
	netns_run("ip route add prohibit 192.0.2.64/26");
	netns_run("ip route add blackhole 192.0.2.128/26");
	netns_run("ip -6 route add prohibit 2001:db8:2::/48");
	netns_run("ip -6 route add blackhole 2001:db8:3::/48");
	ck_assert_int_ne(ask("192.0.2.1").kind, ROUTE_UNICAST);
	ck_assert_int_eq(ask("192.0.2.65").kind, ROUTE_REFUSED);
	ck_assert_int_eq(ask("192.0.2.129").kind, ROUTE_REFUSED);
	ck_assert_int_eq(ask("2001:db8:2::1").kind, ROUTE_REFUSED);
	ck_assert_int_eq(ask("2001:db8:3::1").kind, ROUTE_REFUSED);
	ck_assert_int_eq(ask("10.9.0.1").kind, ROUTE_LOCAL);
	ck_assert_int_eq(ask("fd09::1").kind, ROUTE_LOCAL);
	ck_assert_int_eq(ask("10.9.0.255").kind, ROUTE_OTHER_SCOPE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("route");
	TCase *tc = tcase_create("route");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_ARCH_7_connected_and_by_a_gateway);
	tcase_add_test(tc, test_ARCH_7_several_next_hops);
	tcase_add_test(tc, test_SVC_10_ACT_10_mtu_and_source_of_a_way);
	tcase_add_test(tc, test_ARCH_7_what_is_no_way_out);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
