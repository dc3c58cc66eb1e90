/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Links and own addresses, by rtnetlink.  One socket both dumps and listens,
 * so that what it says is in the order in which it happened.  An address is
 * own when it is assigned, or when the table `local` has it: anycast addresses
 * of IPv6 subnets, and those that somebody routed to this host.
 *
 * Remembers what was reported: an address may be on two interfaces, and after
 * an overflow of the kernel's queue only what differs is news.
 */
#include "fad/netlink_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uthash.h>

#include "lib/exitcode.h"
#include "lib/log.h"

#define RECEIVE_ROOM    (64 << 10)
#define RECEIVE_BUFFER  (1 << 20)
#define ANSWER_TIMEOUT  2 /* seconds; the kernel answers at once */
#define DUMP_TRIES      5 /* a dump is void when something changed meanwhile */
#define READS_PER_EVENT 64

struct link {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	bool up, ethernet;
	uint32_t seen; /* in this dump */
	UT_hash_handle hh;
};

/* Why an address is ours: an assignment, which also makes broadcast addresses ours, or a route. */
struct address {
	struct address_key {
		uint32_t ifindex;
		struct addr assigned;
		uint8_t plen;
		struct addr addr;
		bool route;
	} key;
	uint32_t seen;
	UT_hash_handle hh;
};
_Static_assert(sizeof(struct address_key) == 40, "no padding");

/* And how many reasons there are. */
struct own {
	struct addr addr;
	uint32_t reasons;
	UT_hash_handle hh;
};

struct netlink {
	const struct netlink_handler *handler;
	void *ctx;
	struct mnl_socket *socket;
	sd_event_source *source;
	uint32_t seq;
	uint32_t dump; /* number of the last one begun */
	struct link *links;
	struct address *addresses;
	struct own *own;
	char buffer[RECEIVE_ROOM];
};

/* ---- links ---- */

static void tell_link(struct netlink *n, const struct link *l, bool present)
{
	n->handler->link(n->ctx, l->name, l->ifindex, present, present && l->up, l->ethernet);
}

static void forget_address(struct netlink *n, struct address *a);

/* Routes go with their link, and not always with a word of the kernel's. */
static void forget_link(struct netlink *n, struct link *l)
{
	struct address *a, *next;

	HASH_ITER (hh, n->addresses, a, next)
		if (a->key.route && a->key.ifindex == l->ifindex)
			forget_address(n, a);
	HASH_DEL(n->links, l);
	tell_link(n, l, false);
	free(l);
}

static bool parse_link(const struct nlmsghdr *h, struct link *l)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*ifi) || ifi->ifi_family != AF_UNSPEC)
		return false;
	*l = (struct link){.ifindex = (uint32_t)ifi->ifi_index,
			   .up = (ifi->ifi_flags & IFF_UP) != 0,
			   .ethernet = ifi->ifi_type == ARPHRD_ETHER};
	mnl_attr_for_each(a, h, sizeof(*ifi))
	{
		if (mnl_attr_get_type(a) == IFLA_IFNAME && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
			strncpy(l->name, mnl_attr_get_str(a), sizeof(l->name) - 1);
	}
	return l->name[0] != '\0';
}

static void on_link(struct netlink *n, const struct nlmsghdr *h)
{
	struct link now, *l;

	if (!parse_link(h, &now))
		return;
	HASH_FIND(hh, n->links, &now.ifindex, sizeof(now.ifindex), l);
	if (h->nlmsg_type == RTM_DELLINK) {
		if (l)
			forget_link(n, l);
		return;
	}
	if (l && strcmp(l->name, now.name) != 0) {
		forget_link(n, l); /* renamed */
		l = NULL;
	}
	if (l) {
		l->seen = n->dump;
		if (l->up == now.up && l->ethernet == now.ethernet)
			return;
		l->up = now.up;
		l->ethernet = now.ethernet;
	} else {
		l = malloc(sizeof(*l));
		if (!l) {
			log_error("netlink: out of memory: interface %s is not known", now.name);
			return;
		}
		*l = now;
		l->seen = n->dump;
		HASH_ADD(hh, n->links, ifindex, sizeof(l->ifindex), l);
	}
	tell_link(n, l, true);
}

/* ---- addresses ---- */

static bool hold_own(struct netlink *n, const struct addr *addr)
{
	struct own *o;

	HASH_FIND(hh, n->own, addr, sizeof(*addr), o);
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o)
			return false;
		o->addr = *addr;
		HASH_ADD(hh, n->own, addr, sizeof(o->addr), o);
		n->handler->address(n->ctx, addr, true);
	}
	o->reasons++;
	return true;
}

static void drop_own(struct netlink *n, const struct addr *addr)
{
	struct own *o;

	HASH_FIND(hh, n->own, addr, sizeof(*addr), o);
	if (!o || --o->reasons > 0)
		return;
	HASH_DEL(n->own, o);
	n->handler->address(n->ctx, &o->addr, false);
	free(o);
}

static void forget_address(struct netlink *n, struct address *a)
{
	HASH_DEL(n->addresses, a);
	drop_own(n, &a->key.addr);
	free(a);
}

static void set_address(struct netlink *n, struct address_key key, const struct addr *addr, bool present)
{
	struct address *a;

	key.addr = *addr;
	HASH_FIND(hh, n->addresses, &key, sizeof(key), a);
	if (!present) {
		if (a)
			forget_address(n, a);
		return;
	}
	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a || !hold_own(n, addr)) {
			log_error("netlink: out of memory: an own address is not known");
			free(a);
			return;
		}
		a->key = key;
		HASH_ADD(hh, n->addresses, key, sizeof(a->key), a);
	}
	a->seen = n->dump;
}

/* Of a subnet of at least four addresses the last is broadcast, whether or not it was said so. */
static bool subnet_broadcast(const struct addr *a, uint8_t plen, struct addr *broadcast)
{
	uint8_t mask[16];

	if (a->family != 4 || plen >= 31)
		return false;
	*broadcast = *a;
	addr_mask(4, plen, mask);
	for (int i = 0; i < 4; i++)
		broadcast->b[i] |= (uint8_t)~mask[i];
	return true;
}

static void on_address(struct netlink *n, const struct nlmsghdr *h)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
	struct addr address = {0}, local = {0}, broadcast = {0}, last;
	bool present = h->nlmsg_type == RTM_NEWADDR;
	const struct nlattr *a;
	uint8_t family;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*ifa))
		return;
	family = ifa->ifa_family == AF_INET ? 4 : ifa->ifa_family == AF_INET6 ? 6 : 0;
	mnl_attr_for_each(a, h, sizeof(*ifa))
	{
		if (family == 0 || mnl_attr_get_payload_len(a) != addr_len(family))
			continue;
		if (mnl_attr_get_type(a) == IFA_ADDRESS)
			address = addr_make(family, mnl_attr_get_payload(a));
		else if (mnl_attr_get_type(a) == IFA_LOCAL)
			local = addr_make(family, mnl_attr_get_payload(a));
		else if (mnl_attr_get_type(a) == IFA_BROADCAST)
			broadcast = addr_make(family, mnl_attr_get_payload(a));
	}
	/* With a point-to-point link IFA_ADDRESS is the other side's. */
	if (local.family == 0)
		local = address;
	if (local.family == 0)
		return;
	struct address_key key = {.ifindex = ifa->ifa_index, .assigned = local, .plen = ifa->ifa_prefixlen};
	set_address(n, key, &local, present);
	if (broadcast.family)
		set_address(n, key, &broadcast, present);
	if (subnet_broadcast(&address, ifa->ifa_prefixlen, &last) && !addr_equal(&last, &broadcast))
		set_address(n, key, &last, present);
}

/* Of the table `local`.  Prefixes of it are not followed: see docs/operations.md. */
static void on_route(struct netlink *n, const struct nlmsghdr *h)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(h);
	struct address_key key = {.route = true};
	struct addr to = {0};
	const struct nlattr *a;
	uint8_t family;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*rtm) || rtm->rtm_table != RT_TABLE_LOCAL ||
	    (rtm->rtm_type != RTN_LOCAL && rtm->rtm_type != RTN_ANYCAST))
		return;
	family = rtm->rtm_family == AF_INET ? 4 : rtm->rtm_family == AF_INET6 ? 6 : 0;
	if (family == 0 || rtm->rtm_dst_len != 8 * addr_len(family))
		return;
	mnl_attr_for_each(a, h, sizeof(*rtm))
	{
		if (mnl_attr_get_type(a) == RTA_DST && mnl_attr_get_payload_len(a) == addr_len(family))
			to = addr_make(family, mnl_attr_get_payload(a));
		else if (mnl_attr_get_type(a) == RTA_OIF && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			key.ifindex = mnl_attr_get_u32(a);
	}
	key.assigned = to;
	if (to.family)
		set_address(n, key, &to, h->nlmsg_type == RTM_NEWROUTE);
}

/* ---- the socket ---- */

static int on_message(const struct nlmsghdr *h, void *ctx)
{
	struct netlink *n = ctx;

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		on_link(n, h);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		on_address(n, h);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		on_route(n, h);
		break;
	}
	return MNL_CB_OK;
}

/* Handle a buffer.  1: our dump goes on; 0: it is complete; else a negative errno. */
static int handle(struct netlink *n, size_t bytes)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)n->buffer;
	int left = (int)bytes, result = 1;

	for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		bool ours = h->nlmsg_seq == n->seq && h->nlmsg_pid == mnl_socket_get_portid(n->socket);
		const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

		if (ours && (h->nlmsg_flags & NLM_F_DUMP_INTR))
			result = -EINTR;
		if (h->nlmsg_type == NLMSG_ERROR && mnl_nlmsg_get_payload_len(h) >= sizeof(*e)) {
			if (ours)
				return e->error ? e->error : 0;
		} else if (h->nlmsg_type == NLMSG_DONE) {
			if (ours)
				return result == 1 ? 0 : result;
		} else {
			on_message(h, n);
		}
	}
	return result;
}

/* What follows a request's header; of routes only those of one table. */
static void put_what(struct nlmsghdr *h, uint16_t type, uint8_t family)
{
	struct rtmsg *rtm;

	if (type == RTM_GETLINK) {
		mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	} else if (type == RTM_GETADDR) {
		mnl_nlmsg_put_extra_header(h, sizeof(struct ifaddrmsg));
	} else {
		rtm = mnl_nlmsg_put_extra_header(h, sizeof(*rtm));
		rtm->rtm_family = family;
		rtm->rtm_table = RT_TABLE_LOCAL;
	}
}

static int dump_once(struct netlink *n, uint16_t type, uint8_t family)
{
	char request[MNL_NLMSG_HDRLEN + 64] = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(request);
	int r, interrupted = 0;

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = ++n->seq;
	put_what(h, type, family);
	if (mnl_socket_sendto(n->socket, h, h->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t got = recv(mnl_socket_get_fd(n->socket), n->buffer, sizeof(n->buffer), 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno != ENOBUFS)
			return -errno;
		r = got < 0 ? -EINTR : handle(n, (size_t)got);
		if (r == -EINTR)
			interrupted = r; /* it is read to its end all the same */
		else if (r <= 0)
			return r < 0 ? r : interrupted;
	}
}

/* -EINTR: something changed meanwhile, or events were lost: once more. */
static int dump_type(struct netlink *n, uint16_t type, uint8_t family)
{
	int r = -EINTR;

	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++)
		r = dump_once(n, type, family);
	if (type == RTM_GETROUTE && r == -ENOENT)
		return 0;           /* the table is made with its first route */
	return r == -EINTR ? 0 : r; /* what came last is as good as any, and changes are reported */
}

/* Everything there is; what was there and is not any more is reported gone. */
static int dump(struct netlink *n)
{
	struct address *a, *next_address;
	struct link *l, *next_link;
	int r;

	n->dump++;
	r = dump_type(n, RTM_GETLINK, AF_UNSPEC);
	if (r == 0)
		r = dump_type(n, RTM_GETADDR, AF_UNSPEC);
	if (r == 0)
		r = dump_type(n, RTM_GETROUTE, AF_INET);
	if (r == 0)
		r = dump_type(n, RTM_GETROUTE, AF_INET6);
	if (r < 0)
		return r;
	HASH_ITER (hh, n->links, l, next_link)
		if (l->seen != n->dump)
			forget_link(n, l);
	HASH_ITER (hh, n->addresses, a, next_address)
		if (a->seen != n->dump)
			forget_address(n, a);
	return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct netlink *n = ctx;

	(void)source;
	(void)events;
	for (int i = 0; i < READS_PER_EVENT; i++) {
		ssize_t got = recv(fd, n->buffer, sizeof(n->buffer), MSG_DONTWAIT);

		if (got > 0) {
			handle(n, (size_t)got);
		} else if (got < 0 && errno == ENOBUFS) {
			int r = dump(n);

			if (r < 0)
				log_warning("netlink: links and addresses may be out of date: %s", strerror(-r));
		} else if (got == 0 || errno != EINTR) {
			break;
		}
	}
	return 0;
}

/* A router has a million routes, of which those of the table `local` concern us: the others do not even wake us. */
static int filter_routes(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 2),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_table)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RT_TABLE_LOCAL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static int open_socket(struct netlink *n)
{
	const unsigned groups =
		RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT};
	int size = RECEIVE_BUFFER, fd, on = 1;

	n->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!n->socket)
		return -errno;
	fd = mnl_socket_get_fd(n->socket);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	/* So that the kernel filters a dump of routes by their table. */
	if (mnl_socket_setsockopt(n->socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return -errno;
	if (filter_routes(fd) < 0 || mnl_socket_bind(n->socket, groups, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return 0;
}

int netlink_open(struct netlink **out, sd_event *loop, const struct netlink_handler *handler, void *ctx)
{
	struct netlink *n = calloc(1, sizeof(*n));
	int r = n ? 0 : -ENOMEM;

	*out = NULL;
	if (n) {
		n->handler = handler;
		n->ctx = ctx;
		r = open_socket(n);
	}
	if (r == 0)
		r = dump(n);
	if (r == 0)
		r = sd_event_add_io(loop, &n->source, mnl_socket_get_fd(n->socket), EPOLLIN, on_readable, n);
	if (r < 0) {
		log_error("netlink: cannot read links and addresses: %s", strerror(-r));
		netlink_close(n);
		return EXITCODE_FAILURE;
	}
	*out = n;
	return EXITCODE_OK;
}

void netlink_close(struct netlink *n)
{
	struct address *a, *next_address;
	struct link *l, *next_link;
	struct own *o, *next_own;

	if (!n)
		return;
	sd_event_source_disable_unref(n->source);
	if (n->socket)
		mnl_socket_close(n->socket);
	HASH_ITER (hh, n->links, l, next_link) {
		HASH_DEL(n->links, l);
		free(l);
	}
	HASH_ITER (hh, n->addresses, a, next_address) {
		HASH_DEL(n->addresses, a);
		free(a);
	}
	HASH_ITER (hh, n->own, o, next_own) {
		HASH_DEL(n->own, o);
		free(o);
	}
	free(n);
}
