/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading rtnetlink messages.  Must not know of sockets.
 */
#include "routed-glue/kernel_parse.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

bool kernel_parse_ok(const struct nlmsghdr *h, int left)
{
	/* Attributes are read up to the padded end, and the kernel pads the last message, too. */
	return left >= (int)sizeof(*h) && h->nlmsg_len >= sizeof(*h) && h->nlmsg_len <= (unsigned)left &&
	       MNL_ALIGN(h->nlmsg_len) <= (unsigned)left;
}

static bool has_room(const struct nlmsghdr *h, size_t size)
{
	return mnl_nlmsg_get_payload_len(h) >= size;
}

static uint32_t number(const struct nlattr *a)
{
	return mnl_attr_get_payload_len(a) == 4 ? mnl_attr_get_u32(a) : 0;
}

bool kernel_parse_route(const struct nlmsghdr *h, struct kernel_route *out)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;
	uint8_t family;

	if (!has_room(h, sizeof(*rtm)) || rtm->rtm_table != RT_TABLE_MAIN || (rtm->rtm_flags & RTM_F_CLONED))
		return false;
	family = rtm->rtm_family == AF_INET ? 4 : rtm->rtm_family == AF_INET6 ? 6 : 0;
	if (family == 0 || rtm->rtm_dst_len > addr_len(family) * 8)
		return false;
	*out = (struct kernel_route){
		.route = {.prefix = {.addr = {.family = family}, .plen = rtm->rtm_dst_len}},
		.protocol = rtm->rtm_protocol,
		.unicast = rtm->rtm_type == RTN_UNICAST,
	};
	mnl_attr_for_each(a, h, sizeof(*rtm))
	{
		switch (mnl_attr_get_type(a)) {
		case RTA_DST:
			if (mnl_attr_get_payload_len(a) > addr_len(family))
				return false;
			memcpy(out->route.prefix.addr.b, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
			break;
		case RTA_OIF:
			out->oif = number(a);
			break;
		case RTA_PRIORITY:
			out->route.metric = number(a);
			break;
		}
	}
	return true;
}

void kernel_parse_link(const struct nlmsghdr *h, struct kernel_device *d)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWLINK || !has_room(h, sizeof(*ifi)))
		return;
	d->up = ifi->ifi_flags & IFF_UP;
	mnl_attr_for_each(a, h, sizeof(*ifi))
	{
		size_t len = mnl_attr_get_payload_len(a);
		struct rtnl_link_stats64 stats;

		if (mnl_attr_get_type(a) == IFLA_IFNAME)
			d->named = len == strlen(d->name) + 1 && memcmp(mnl_attr_get_payload(a), d->name, len) == 0;
		if (mnl_attr_get_type(a) == IFLA_STATS64 && len >= sizeof(stats)) {
			memcpy(&stats, mnl_attr_get_payload(a), sizeof(stats));
			d->dropped = stats.tx_dropped;
		}
	}
}

void kernel_parse_address(const struct nlmsghdr *h, struct kernel_device *d)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWADDR || !has_room(h, sizeof(*ifa)) || ifa->ifa_index != d->ifindex ||
	    ifa->ifa_family != AF_INET)
		return;
	mnl_attr_for_each(a, h, sizeof(*ifa))
	{
		if (mnl_attr_get_type(a) == IFA_LOCAL && mnl_attr_get_payload_len(a) == 4)
			d->addressed |= memcmp(mnl_attr_get_payload(a), d->address, 4) == 0;
	}
}

bool kernel_parse_concerns(const struct nlmsghdr *h, uint32_t ifindex)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return has_room(h, sizeof(*ifi)) && (uint32_t)ifi->ifi_index == ifindex;
	case RTM_DELADDR:
		return has_room(h, sizeof(*ifa)) && ifa->ifa_index == ifindex;
	default:
		return false;
	}
}
