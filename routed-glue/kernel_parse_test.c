/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of reading rtnetlink: messages as the kernel writes them, and such as it never would.
 */
#include "routed-glue/kernel_parse.h"

#include <check.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ROOM 512

static struct nlmsghdr *route(void *buf, uint8_t family, uint8_t plen, const void *dst, uint16_t len)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(h, sizeof(*rtm));

	h->nlmsg_type = RTM_NEWROUTE;
	*rtm = (struct rtmsg){.rtm_family = family,
			      .rtm_dst_len = plen,
			      .rtm_table = RT_TABLE_MAIN,
			      .rtm_protocol = 186,
			      .rtm_type = RTN_UNICAST};
	mnl_attr_put(h, RTA_DST, len, dst);
	mnl_attr_put_u32(h, RTA_OIF, 7);
	mnl_attr_put_u32(h, RTA_PRIORITY, 20);
	return h;
}

static struct rtmsg *rtm_of(struct nlmsghdr *h)
{
	return mnl_nlmsg_get_payload(h);
}

START_TEST(test_ACT_3_routes_of_both_families)
{
	static const uint8_t dst[16] = {203, 0, 113, 10};
	_Alignas(8) char buf[ROOM];
	struct kernel_route r;

	ck_assert(kernel_parse_route(route(buf, AF_INET, 32, dst, 4), &r));
	ck_assert_uint_eq(r.route.prefix.addr.family, 4);
	ck_assert_mem_eq(r.route.prefix.addr.b, dst, 16);
	ck_assert_uint_eq(r.route.prefix.plen, 32);
	ck_assert_uint_eq(r.route.metric, 20);
	ck_assert_uint_eq(r.oif, 7);
	ck_assert_uint_eq(r.protocol, 186);
	ck_assert(r.unicast);
	ck_assert(kernel_parse_route(route(buf, AF_INET6, 128, dst, 16), &r));
	ck_assert_uint_eq(r.route.prefix.addr.family, 6);
}
END_TEST

START_TEST(test_ACT_3_routes_that_are_none_of_ours)
{
	static const uint8_t dst[20] = {203, 0, 113, 10};
	_Alignas(8) char buf[ROOM];
	struct nlmsghdr *h = route(buf, AF_INET, 32, dst, 4);
	struct kernel_route r;

	rtm_of(h)->rtm_table = RT_TABLE_LOCAL;
	ck_assert(!kernel_parse_route(h, &r));
	h = route(buf, AF_INET, 32, dst, 4);
	rtm_of(h)->rtm_flags = RTM_F_CLONED;
	ck_assert(!kernel_parse_route(h, &r));
	ck_assert(!kernel_parse_route(route(buf, AF_INET, 33, dst, 4), &r));
	ck_assert(!kernel_parse_route(route(buf, AF_INET, 32, dst, 5), &r));
	ck_assert(!kernel_parse_route(route(buf, AF_INET6, 128, dst, 17), &r));
	ck_assert(!kernel_parse_route(route(buf, 28 /* MPLS */, 32, dst, 4), &r));
	h = route(buf, AF_INET, 32, dst, 4);
	h->nlmsg_len = NLMSG_HDRLEN + sizeof(struct rtmsg) - 1;
	ck_assert(!kernel_parse_route(h, &r));
	/* Odd sizes of numbers say nothing. */
	h = route(buf, AF_INET, 32, dst, 4);
	mnl_attr_put_u16(h, RTA_OIF, 7);
	ck_assert(kernel_parse_route(h, &r));
	ck_assert_uint_eq(r.oif, 0);
}
END_TEST

START_TEST(test_ACT_3_device_as_it_is)
{
	static const uint8_t address[4] = {192, 0, 0, 8};
	struct kernel_device d = {.name = "vip0", .address = address, .ifindex = 7};
	struct rtnl_link_stats64 stats = {.tx_dropped = 99};
	_Alignas(8) char buf[ROOM];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	struct ifaddrmsg *ifa;

	h->nlmsg_type = RTM_NEWLINK;
	*ifi = (struct ifinfomsg){.ifi_index = 7, .ifi_flags = IFF_UP};
	mnl_attr_put_strz(h, IFLA_IFNAME, "vip0");
	mnl_attr_put(h, IFLA_STATS64, sizeof(stats), &stats);
	kernel_parse_link(h, &d);
	ck_assert(d.up && d.named && !d.addressed);
	ck_assert_uint_eq(d.dropped, 99);
	mnl_attr_put(h, IFLA_IFNAME, 4, "vip0"); /* no end */
	kernel_parse_link(h, &d);
	ck_assert(!d.named);

	h = mnl_nlmsg_put_header(buf);
	ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));
	h->nlmsg_type = RTM_NEWADDR;
	*ifa = (struct ifaddrmsg){.ifa_family = AF_INET, .ifa_index = 8};
	mnl_attr_put(h, IFA_LOCAL, 4, address);
	kernel_parse_address(h, &d);
	ck_assert(!d.addressed); /* of another device */
	ifa->ifa_index = 7;
	kernel_parse_address(h, &d);
	ck_assert(d.addressed);
}
END_TEST

START_TEST(test_ACT_3_what_concerns_the_device)
{
	_Alignas(8) char buf[ROOM] = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	ifi->ifi_index = 7;
	h->nlmsg_type = RTM_DELLINK;
	ck_assert(kernel_parse_concerns(h, 7));
	ck_assert(!kernel_parse_concerns(h, 8));
	h->nlmsg_type = RTM_DELADDR; /* the index is at the same place */
	ck_assert(kernel_parse_concerns(h, 7));
	h->nlmsg_type = RTM_NEWROUTE;
	ck_assert(!kernel_parse_concerns(h, 7));
	h->nlmsg_type = RTM_DELLINK;
	h->nlmsg_len = NLMSG_HDRLEN + 4;
	ck_assert(!kernel_parse_concerns(h, 7));
}
END_TEST

/* libmnl takes a length beyond 2 GiB for a negative one, which fits everywhere. */
START_TEST(messages_that_do_not_fit)
{
	struct nlmsghdr h = {.nlmsg_len = sizeof(h)};

	ck_assert(kernel_parse_ok(&h, sizeof(h)));
	ck_assert(!kernel_parse_ok(&h, sizeof(h) - 1));
	ck_assert(!kernel_parse_ok(&h, -4)); /* after a message whose padding was cut off */
	h.nlmsg_len = sizeof(h) + 2;         /* its attributes would be read up to the padded end */
	ck_assert(!kernel_parse_ok(&h, sizeof(h) + 2));
	ck_assert(kernel_parse_ok(&h, sizeof(h) + 4));
	h.nlmsg_len = sizeof(h);
	h.nlmsg_len = sizeof(h) - 1;
	ck_assert(!kernel_parse_ok(&h, 100));
	h.nlmsg_len = 101;
	ck_assert(!kernel_parse_ok(&h, 100));
	h.nlmsg_len = 0xebf14558;
	ck_assert(!kernel_parse_ok(&h, 100));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kernel_parse");
	TCase *tc = tcase_create("kernel_parse");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_ACT_3_routes_of_both_families);
	tcase_add_test(tc, test_ACT_3_routes_that_are_none_of_ours);
	tcase_add_test(tc, test_ACT_3_device_as_it_is);
	tcase_add_test(tc, test_ACT_3_what_concerns_the_device);
	tcase_add_test(tc, messages_that_do_not_fit);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
