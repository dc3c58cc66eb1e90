/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asking the kernel's FIB by RTM_GETROUTE, see route_io.h.
 *
 * With RTM_F_FIB_MATCH the kernel tells the route that matched, with all its
 * next hops, and not only the one it would take for its own packet.
 */
#include "fad/route_io.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM           8192
#define ANSWER_SECONDS 1

static int native(uint8_t family)
{
	return family == 6 ? AF_INET6 : AF_INET;
}

static struct addr address_of(int family, const void *bytes, size_t len)
{
	uint8_t ours = family == AF_INET6 ? 6 : 4;

	return len == addr_len(ours) ? addr_make(ours, bytes) : (struct addr){0};
}

static struct addr address_attr(int family, const struct nlattr *a)
{
	return address_of(family, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
}

static void hop_gateway(struct route_hop *hop, int family, const struct nlattr *a)
{
	const struct rtvia *via = mnl_attr_get_payload(a);
	size_t len = mnl_attr_get_payload_len(a);

	if (mnl_attr_get_type(a) == RTA_GATEWAY)
		hop->gateway = address_attr(family, a);
	else if (mnl_attr_get_type(a) == RTA_VIA && len > sizeof(*via))
		hop->gateway = address_of(via->rtvia_family, via->rtvia_addr, len - sizeof(*via));
}

static struct route_hop *hop_new(struct route *r, uint32_t ifindex)
{
	size_t i = r->hop_count++;

	if (i >= ROUTE_MAX_HOPS)
		return NULL;
	if (!if_indextoname(ifindex, r->hops[i].interface))
		snprintf(r->hops[i].interface, sizeof(r->hops[i].interface), "%u", ifindex);
	return &r->hops[i];
}

static void take_multipath(struct route *r, int family, const struct nlattr *all)
{
	const struct rtnexthop *next = mnl_attr_get_payload(all);
	size_t left = mnl_attr_get_payload_len(all);

	while (left >= sizeof(*next) && next->rtnh_len >= sizeof(*next) && next->rtnh_len <= left) {
		struct route_hop *hop = hop_new(r, (uint32_t)next->rtnh_ifindex);
		const struct nlattr *attr; /* libmnl's macro wants that name */

		mnl_attr_for_each_payload((const struct nlattr *)(const void *)(next + 1),
					  next->rtnh_len - sizeof(*next))
		{
			if (hop)
				hop_gateway(hop, family, attr);
		}
		if (NLMSG_ALIGN(next->rtnh_len) >= left)
			break;
		left -= NLMSG_ALIGN(next->rtnh_len);
		next = RTNH_NEXT(next);
	}
}

static enum route_kind kind_of(unsigned type)
{
	switch (type) {
	case RTN_UNICAST:
		return ROUTE_UNICAST;
	case RTN_LOCAL:
	case RTN_ANYCAST:
		return ROUTE_LOCAL;
	case RTN_BROADCAST:
	case RTN_MULTICAST:
		return ROUTE_OTHER_SCOPE;
	default:
		return ROUTE_REFUSED;
	}
}

static uint32_t metric_mtu(const struct nlattr *metrics)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, metrics)
	{
		if (mnl_attr_get_type(a) == RTAX_MTU && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			return mnl_attr_get_u32(a);
	}
	return 0;
}

static int on_route(const struct nlmsghdr *h, void *ctx)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct route_hop single = {0};
	struct route *r = ctx;
	uint32_t oif = 0;
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return MNL_CB_OK;
	r->kind = kind_of(m->rtm_type);
	r->plen = m->rtm_dst_len;
	r->table = m->rtm_table;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == RTA_DST)
			r->prefix = address_attr(m->rtm_family, a);
		else if (mnl_attr_get_type(a) == RTA_TABLE && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			r->table = mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == RTA_OIF && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			oif = mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == RTA_METRICS)
			r->mtu = metric_mtu(a);
		else if (mnl_attr_get_type(a) == RTA_MULTIPATH)
			take_multipath(r, m->rtm_family, a);
		else
			hop_gateway(&single, m->rtm_family, a);
	}
	if (oif && r->hop_count == 0) {
		struct route_hop *hop = hop_new(r, oif);

		hop->gateway = single.gateway;
	}
	return MNL_CB_OK;
}

static int ask(struct mnl_socket *socket, const struct addr *to, unsigned flags, mnl_cb_t parse, void *answer)
{
	const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	char buffer[ROOM] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct rtmsg *m;
	ssize_t len;

	h->nlmsg_type = RTM_GETROUTE;
	h->nlmsg_flags = NLM_F_REQUEST;
	h->nlmsg_seq = 1;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->rtm_family = (unsigned char)native(to->family);
	m->rtm_dst_len = (unsigned char)(addr_len(to->family) * 8);
	m->rtm_flags = flags;
	mnl_attr_put(h, RTA_DST, addr_len(to->family), to->b);
	if (setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    mnl_socket_sendto(socket, h, h->nlmsg_len) < 0)
		return -errno;
	len = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
	if (len < 0)
		return -errno;
	return mnl_cb_run(buffer, (size_t)len, 1, mnl_socket_get_portid(socket), parse, answer) < 0 ? -errno : 0;
}

int route_ask(const struct addr *to, struct route *r)
{
	struct mnl_socket *socket = mnl_socket_open(NETLINK_ROUTE);
	int error;

	memset(r, 0, sizeof(*r));
	r->prefix.family = to->family;
	if (!socket)
		return -errno;
	error = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0
			? -errno
			: ask(socket, to, RTM_F_FIB_MATCH | RTM_F_LOOKUP_TABLE, on_route, r);
	mnl_socket_close(socket);
	if (error == -ENETUNREACH || error == -EHOSTUNREACH || error == -ESRCH) {
		r->kind = ROUTE_NONE;
		return 0;
	}
	if (error == -EACCES || error == -EINVAL) { /* prohibit, blackhole */
		r->kind = ROUTE_REFUSED;
		return 0;
	}
	return error;
}

/* ---- what goes with the way ---- */

/* Without RTM_F_FIB_MATCH the kernel tells the source it would take. */
static int on_source(const struct nlmsghdr *h, void *ctx)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == RTA_PREFSRC)
			*(struct addr *)ctx = address_attr(m->rtm_family, a);
	}
	return MNL_CB_OK;
}

static struct addr source_towards(const struct addr *to)
{
	struct mnl_socket *socket = mnl_socket_open(NETLINK_ROUTE);
	struct addr source = {0};

	if (!socket)
		return source;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 || ask(socket, to, 0, on_source, &source) < 0)
		source = (struct addr){0};
	mnl_socket_close(socket);
	return source;
}

/* IPv6 has an MTU of its own on each link, never above the link's. */
static uint32_t link_mtu6(const char *interface)
{
	char path[64 + IF_NAMESIZE];
	unsigned long mtu = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/mtu", interface);
	in = fopen(path, "re");
	if (in) {
		char text[16];

		if (fgets(text, sizeof(text), in))
			mtu = strtoul(text, NULL, 10);
		fclose(in);
	}
	return mtu <= UINT32_MAX ? (uint32_t)mtu : 0;
}

/* 0: not known. */
static uint32_t link_mtu(const char *interface, uint8_t family)
{
	uint32_t mtu6 = family == 6 ? link_mtu6(interface) : 0;
	int fd = mtu6 ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};
	uint32_t mtu = mtu6;

	if (fd < 0)
		return mtu;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
	if (ioctl(fd, SIOCGIFMTU, &ifr) == 0 && ifr.ifr_mtu > 0)
		mtu = (uint32_t)ifr.ifr_mtu;
	close(fd);
	return mtu;
}

bool route_ask_way(const struct addr *to, struct route_way *w)
{
	struct route r;

	*w = (struct route_way){0};
	if (route_ask(to, &r) < 0 || r.kind != ROUTE_UNICAST)
		return false;
	w->source = source_towards(to);
	w->mtu = r.mtu;
	for (size_t i = 0; !r.mtu && i < r.hop_count && i < ROUTE_MAX_HOPS; i++) {
		uint32_t mtu = link_mtu(r.hops[i].interface, to->family);

		if (mtu && (!w->mtu || mtu < w->mtu))
			w->mtu = mtu;
	}
	return true;
}
