/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: what the kernel's netlink and /proc tell of interfaces,
 * connected networks, routing rules and proxied neighbours.
 *
 * Must not judge.
 */
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"

#define BUFFER 32768

/* ---- asking ---- */

static void dump(uint16_t type, const void *header, size_t len, mnl_cb_t take, void *ctx)
{
	struct mnl_socket *s = mnl_socket_open(NETLINK_ROUTE);
	uint8_t buffer[BUFFER] = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	ssize_t n = -1;

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = 1;
	memcpy(mnl_nlmsg_put_extra_header(h, len), header, len);
	if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0 && mnl_socket_sendto(s, h, h->nlmsg_len) >= 0)
		do {
			n = mnl_socket_recvfrom(s, buffer, sizeof(buffer));
		} while (n > 0 && mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(s), take, ctx) == MNL_CB_OK);
	if (s)
		mnl_socket_close(s);
}

/* One more of a list of items of this size, zeroed; NULL: out of memory. */
static void *more(void **list, size_t *count, size_t size)
{
	void *grown = realloc(*list, (*count + 1) * size);

	if (!grown)
		return NULL;
	*list = grown;
	return memset((char *)grown + (*count)++ * size, 0, size);
}

static void string(const struct nlattr *a, char out[16])
{
	if (mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
		snprintf(out, 16, "%s", mnl_attr_get_str(a));
}

static bool address(const struct nlattr *a, uint8_t family, struct addr *out)
{
	uint8_t ours = family == AF_INET ? 4 : 6;

	if (mnl_attr_get_payload_len(a) != addr_len(ours))
		return false;
	*out = addr_make(ours, mnl_attr_get_payload(a));
	return true;
}

static struct fact_interface *by_index(struct fact_host *h, uint32_t ifindex)
{
	char name[IF_NAMESIZE];

	for (size_t i = 0; if_indextoname(ifindex, name) && i < h->interface_count; i++)
		if (strcmp(h->interfaces[i].name, name) == 0)
			return &h->interfaces[i];
	return NULL;
}

/* ---- links ---- */

/* Of a bridge's own data. */
static void bridge(const struct nlattr *data, struct fact_interface *i)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, data)
	{
		if (mnl_attr_validate(a, MNL_TYPE_U8) < 0)
			continue;
		if (mnl_attr_get_type(a) == IFLA_BR_MCAST_SNOOPING)
			i->snooping = mnl_attr_get_u8(a);
		if (mnl_attr_get_type(a) == IFLA_BR_MCAST_QUERIER)
			i->querier = mnl_attr_get_u8(a);
	}
}

static int on_link(const struct nlmsghdr *h, void *ctx)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	struct fact_interface *i = by_index(ctx, (uint32_t)ifi->ifi_index), *parent = NULL;
	bool elsewhere = false, vlan = false;
	const struct nlattr *a, *b;
	char kind[16];

	if (!i)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*ifi))
	{
		if (mnl_attr_get_type(a) == IFLA_MASTER && mnl_attr_validate(a, MNL_TYPE_U32) == 0) {
			const struct fact_interface *master = by_index(ctx, mnl_attr_get_u32(a));

			snprintf(i->master, sizeof(i->master), "%s", master ? master->name : "?");
		}
		if (mnl_attr_get_type(a) == IFLA_LINK && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			parent = by_index(ctx, mnl_attr_get_u32(a));
		elsewhere |= mnl_attr_get_type(a) == IFLA_LINK_NETNSID;
		if (mnl_attr_get_type(a) != IFLA_LINKINFO)
			continue;
		mnl_attr_for_each_nested(b, a)
		{
			if (mnl_attr_get_type(b) == IFLA_INFO_SLAVE_KIND)
				string(b, i->master_kind);
			if (mnl_attr_get_type(b) == IFLA_INFO_KIND) {
				string(b, kind);
				vlan = strcmp(kind, "vlan") == 0;
				i->bridge = strcmp(kind, "bridge") == 0;
			}
			if (mnl_attr_get_type(b) == IFLA_INFO_DATA && i->bridge)
				bridge(b, i);
		}
	}
	if (vlan && parent && !elsewhere && !*parent->vlan)
		snprintf(parent->vlan, sizeof(parent->vlan), "%s", i->name);
	return MNL_CB_OK;
}

/* /proc/net/dev, not /sys: that may show another network namespace.  Sent and dropped both count as gone into it. */
static void sent(struct fact_host *h)
{
	FILE *in = fopen("/proc/net/dev", "re");
	unsigned long long packets, dropped;
	char line[512], name[16];

	while (in && fgets(line, sizeof(line), in)) {
		if (sscanf(line, " %15[^: ]: %*u %*u %*u %*u %*u %*u %*u %*u %*u %llu %*u %llu", name, &packets,
			   &dropped) != 3)
			continue;
		for (size_t i = 0; i < h->interface_count; i++)
			if (strcmp(h->interfaces[i].name, name) == 0)
				h->interfaces[i].sent = (int64_t)(packets + dropped);
	}
	if (in)
		fclose(in);
}

/* ---- addresses, rules, neighbours ---- */

static int on_address(const struct nlmsghdr *h, void *ctx)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
	const struct fact_interface *i = by_index(ctx, ifa->ifa_index);
	struct fact_host *host = ctx;
	struct fact_subnet *s;
	const struct nlattr *a;
	struct addr found;

	mnl_attr_for_each(a, h, sizeof(*ifa))
	{
		if (mnl_attr_get_type(a) != IFA_ADDRESS || !i || !address(a, ifa->ifa_family, &found))
			continue;
		s = more((void **)&host->subnets, &host->subnet_count, sizeof(*s));
		if (!s)
			return MNL_CB_ERROR;
		memcpy(s->interface, i->name, sizeof(s->interface));
		s->address = found;
		s->plen = ifa->ifa_prefixlen;
	}
	return MNL_CB_OK;
}

static int on_rule(const struct nlmsghdr *h, void *ctx)
{
	const struct fib_rule_hdr *r = mnl_nlmsg_get_payload(h);
	struct fact_rule found = {.v6 = r->family == AF_INET6}, *kept;
	struct fact_host *host = ctx;
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(*r))
	{
		if (mnl_attr_get_type(a) == FRA_IIFNAME)
			string(a, found.iif);
		if (mnl_attr_get_type(a) == FRA_PRIORITY && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			found.priority = mnl_attr_get_u32(a);
	}
	if (!*found.iif || (r->family != AF_INET && r->family != AF_INET6))
		return MNL_CB_OK;
	kept = more((void **)&host->rules, &host->rule_count, sizeof(*kept));
	if (!kept)
		return MNL_CB_ERROR;
	*kept = found;
	return MNL_CB_OK;
}

static int on_proxy(const struct nlmsghdr *h, void *ctx)
{
	const struct ndmsg *n = mnl_nlmsg_get_payload(h);
	const struct fact_interface *i = by_index(ctx, (uint32_t)n->ndm_ifindex);
	struct fact_host *host = ctx;
	const struct nlattr *a;
	struct fact_proxy *p;
	struct addr found;

	mnl_attr_for_each(a, h, sizeof(*n))
	{
		if (mnl_attr_get_type(a) != NDA_DST || !i || !(n->ndm_flags & NTF_PROXY) ||
		    !address(a, n->ndm_family, &found))
			continue;
		p = more((void **)&host->proxies, &host->proxy_count, sizeof(*p));
		if (!p)
			return MNL_CB_ERROR;
		memcpy(p->interface, i->name, sizeof(p->interface));
		p->address = found;
	}
	return MNL_CB_OK;
}

void facts_collect_around(struct facts *f)
{
	const struct ifinfomsg links = {.ifi_family = AF_UNSPEC};
	const struct ifaddrmsg addresses = {.ifa_family = AF_UNSPEC};
	const uint8_t families[] = {AF_INET, AF_INET6};

	dump(RTM_GETLINK, &links, sizeof(links), on_link, &f->host);
	dump(RTM_GETADDR, &addresses, sizeof(addresses), on_address, &f->host);
	for (size_t i = 0; i < sizeof(families); i++) {
		const struct fib_rule_hdr rules = {.family = families[i]};
		const struct ndmsg proxies = {.ndm_family = families[i], .ndm_flags = NTF_PROXY};

		dump(RTM_GETRULE, &rules, sizeof(rules), on_rule, &f->host);
		dump(RTM_GETNEIGH, &proxies, sizeof(proxies), on_proxy, &f->host);
	}
	sent(&f->host);
}
