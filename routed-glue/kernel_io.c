/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TUN device and rtnetlink.  Two sockets: one for requests, answered
 * before each function returns, and one that listens to what others change.
 *
 * Must not know of agents, nor of what is wanted.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/exitcode.h"
#include "lib/log.h"
#include "routed-glue/kernel_io.h"
#include "routed-glue/kernel_parse.h"

#define TUN_PATH       "/dev/net/tun"
#define TUN_MTU        65535           /* so that the kernel answers no "too big" for what it will drop */
#define BUSY_TRIES     20              /* the kernel may still be removing a predecessor's device */
#define BUSY_PAUSE_NS  (50 * 1000000L) /* between them */
#define REQUEST_BUFFER (2 << 20)       /* acknowledgements of one batch */
#define MONITOR_BUFFER (4 << 20)
#define ANSWER_TIMEOUT 2 /* seconds; the kernel answers at once */
#define RECEIVE_SIZE   (64 << 10)
#define ROUTE_ROOM     128 /* bytes one route message needs at most */
#define DUMP_TRIES     5   /* a dump is void when the table changed meanwhile */

struct kernel {
	struct kernel_conf conf;
	int tun;
	uint32_t ifindex;
	uint64_t dropped_before; /* by devices of ours that were removed */
	uint64_t dropped;        /* by this one, as last read */
	struct mnl_socket *request;
	struct mnl_socket *monitor;
	uint32_t seq;
	char buffer[RECEIVE_SIZE];
};

/* ---- requests ---- */

static struct nlmsghdr *message(struct kernel *k, void *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = ++k->seq;
	return h;
}

/* 0, or a negative errno that becomes the transaction's result. */
typedef int (*parse_fn)(const struct nlmsghdr *h, void *data);

struct transaction {
	uint32_t seq;
	parse_fn parse; /* NULL: no answer but the acknowledgement is expected */
	void *data;
	int result;
};

/* One answer.  True: it was the last. */
static bool take_answer(struct transaction *t, const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
	int r = 0;

	if (h->nlmsg_seq != t->seq)
		return false; /* to an earlier request that was given up */
	if (h->nlmsg_type == NLMSG_ERROR)
		r = e->error;
	else if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		r = -EINTR; /* the table changed meanwhile; read on to the end all the same */
	else if (h->nlmsg_type != NLMSG_DONE && t->parse)
		r = t->parse(h, t->data);
	if (t->result == 0)
		t->result = r;
	return h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE;
}

/* Send, and hand every answer to `parse` until they are complete. */
static int transact(struct kernel *k, const struct nlmsghdr *request, parse_fn parse, void *data)
{
	struct transaction t = {.seq = request->nlmsg_seq, .parse = parse, .data = data};

	if (mnl_socket_sendto(k->request, request, request->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(k->request, k->buffer, sizeof(k->buffer));
		const struct nlmsghdr *h = (const struct nlmsghdr *)k->buffer;
		int bytes = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (; kernel_parse_ok(h, bytes); h = mnl_nlmsg_next(h, &bytes))
			if (take_answer(&t, h))
				return t.result;
	}
}

/* ---- the device ---- */

static int tun_attach(struct kernel *k, int fd)
{
	struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};
	struct ifreq ifr;

	for (int i = 0;; i++) {
		memset(&ifr, 0, sizeof(ifr));
		snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", k->conf.interface);
		ifr.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL);
		if (ioctl(fd, TUNSETIFF, &ifr) == 0)
			return 0;
		if (errno != EBUSY || i == BUSY_TRIES)
			return -errno;
		nanosleep(&pause, NULL);
	}
}

static int tun_create(struct kernel *k)
{
	int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK), r;

	if (fd < 0)
		return -errno;
	r = tun_attach(k, fd);
	k->ifindex = r == 0 ? if_nametoindex(k->conf.interface) : 0;
	if (r == 0 && k->ifindex == 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	k->tun = fd;
	return 0;
}

static struct nlmsghdr *link_message(struct kernel *k, void *buf)
{
	struct nlmsghdr *h = message(k, buf, RTM_NEWLINK, NLM_F_ACK);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	ifi->ifi_index = (int)k->ifindex;
	return h;
}

/* Without an IPv6 link-local address, and so without anything that answers. */
static int link_no_ipv6_address(struct kernel *k)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *h = link_message(k, buf);
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	struct nlattr *inet6 = mnl_attr_nest_start(h, AF_INET6);

	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, inet6);
	mnl_attr_nest_end(h, spec);
	return transact(k, h, NULL, NULL);
}

static int link_configure(struct kernel *k)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *h = link_message(k, buf);

	mnl_attr_put_strz(h, IFLA_IFNAME, k->conf.interface);
	mnl_attr_put_u32(h, IFLA_MTU, TUN_MTU);
	mnl_attr_put_u32(h, IFLA_TXQLEN, 0);
	return transact(k, h, NULL, NULL);
}

static int link_up(struct kernel *k)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *h = link_message(k, buf);
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);

	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	return transact(k, h, NULL, NULL);
}

/* Link scope, so that it is never chosen as a source address. */
static int address_add(struct kernel *k)
{
	char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *h = message(k, buf, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));
	int r;

	ifa->ifa_family = AF_INET;
	ifa->ifa_prefixlen = 32;
	ifa->ifa_scope = RT_SCOPE_LINK;
	ifa->ifa_index = k->ifindex;
	mnl_attr_put(h, IFA_LOCAL, 4, k->conf.address.b);
	mnl_attr_put(h, IFA_ADDRESS, 4, k->conf.address.b);
	r = transact(k, h, NULL, NULL);
	return r == -EEXIST ? 0 : r;
}

/* A host that disables IPv6 on new devices would refuse IPv6 routes out of
 * ours.  Where /proc/sys is read-only the routes will say what is wrong. */
static void enable_ipv6(const struct kernel *k)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", k->conf.interface);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "0", 1) < 0)
		log_debug("%s: %s", path, strerror(errno));
	close(fd);
}

static int device_configure(struct kernel *k)
{
	int r = link_no_ipv6_address(k);

	if (r == -EAFNOSUPPORT || r == -EOPNOTSUPP || r == -EINVAL)
		log_debug("%s: no IPv6 on this host: %s", k->conf.interface, strerror(-r));
	else if (r < 0)
		return r;
	else
		enable_ipv6(k);
	r = link_configure(k);
	if (r == 0)
		r = address_add(k);
	return r == 0 ? link_up(k) : r;
}

static int on_link(const struct nlmsghdr *h, void *data)
{
	kernel_parse_link(h, data);
	return 0;
}

static int on_address(const struct nlmsghdr *h, void *data)
{
	kernel_parse_address(h, data);
	return 0;
}

static int read_link(struct kernel *k, struct kernel_device *s)
{
	char buf[MNL_NLMSG_HDRLEN + 64];
	struct nlmsghdr *h = message(k, buf, RTM_GETLINK, NLM_F_ACK);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	*s = (struct kernel_device){.name = k->conf.interface, .address = k->conf.address.b, .ifindex = k->ifindex};
	ifi->ifi_index = (int)k->ifindex;
	return transact(k, h, on_link, s);
}

static int read_addresses(struct kernel *k, struct kernel_device *s)
{
	char buf[MNL_NLMSG_HDRLEN + 64];
	struct nlmsghdr *h = message(k, buf, RTM_GETADDR, NLM_F_DUMP);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));

	ifa->ifa_family = AF_INET;
	ifa->ifa_index = k->ifindex;
	return transact(k, h, on_address, s);
}

/* Somebody deleted it, or moved it to another namespace. */
static int device_recreate(struct kernel *k)
{
	int r;

	k->dropped_before += k->dropped;
	k->dropped = 0;
	if (k->tun >= 0)
		close(k->tun);
	k->tun = -1;
	k->ifindex = 0;
	r = tun_create(k);
	return r == 0 ? device_configure(k) : r;
}

int kernel_repair(struct kernel *k, bool *repaired)
{
	struct kernel_device s;
	int r = k->tun < 0 ? -ENODEV : read_link(k, &s);

	*repaired = r == -ENODEV;
	if (r == -ENODEV)
		return device_recreate(k);
	if (r == 0)
		r = read_addresses(k, &s);
	if (r < 0)
		return r;
	k->dropped = s.dropped;
	*repaired = !s.up || !s.named || !s.addressed;
	return *repaired ? device_configure(k) : 0;
}

uint64_t kernel_dropped(struct kernel *k)
{
	struct kernel_device s;

	if (k->tun >= 0 && read_link(k, &s) == 0)
		k->dropped = s.dropped;
	return k->dropped_before + k->dropped;
}

/* ---- routes ---- */

static void route_message(struct kernel *k, struct nlmsghdr *h, const struct route_op *op)
{
	const struct addr *a = &op->route.prefix.addr;
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(h, sizeof(*rtm));

	rtm->rtm_family = a->family == 4 ? AF_INET : AF_INET6;
	rtm->rtm_dst_len = op->route.prefix.plen;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_protocol = k->conf.protocol;
	rtm->rtm_scope = a->family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	rtm->rtm_type = RTN_UNICAST;
	mnl_attr_put(h, RTA_DST, addr_len(a->family), a->b);
	mnl_attr_put_u32(h, RTA_OIF, k->ifindex);
	if (op->route.metric)
		mnl_attr_put_u32(h, RTA_PRIORITY, op->route.metric);
}

/* Collect the acknowledgements of messages first .. first + count - 1. */
static int collect_acks(struct kernel *k, uint32_t first, size_t count, int *errors)
{
	int fd = mnl_socket_get_fd(k->request);
	size_t left = count;

	while (left > 0) {
		ssize_t n = recv(fd, k->buffer, sizeof(k->buffer), 0);
		const struct nlmsghdr *h = (const struct nlmsghdr *)k->buffer;
		int bytes = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ENOBUFS : -errno;
		for (; kernel_parse_ok(h, bytes); h = mnl_nlmsg_next(h, &bytes)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

			if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - first >= count)
				continue; /* of a batch given up earlier */
			errors[h->nlmsg_seq - first] = -e->error;
			left--;
		}
	}
	return 0;
}

int kernel_apply(struct kernel *k, const struct route_op *ops, size_t count, int *errors)
{
	char *buf = calloc(KERNEL_BATCH, ROUTE_ROOM);
	uint32_t first = k->seq + 1;
	size_t used = 0;
	int r;

	if (!buf)
		return -ENOMEM;
	if (count > KERNEL_BATCH)
		count = KERNEL_BATCH;
	for (size_t i = 0; i < count; i++) {
		bool add = ops[i].kind == ROUTE_ADD;
		struct nlmsghdr *h = message(k, buf + used, add ? RTM_NEWROUTE : RTM_DELROUTE,
					     NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0));

		route_message(k, h, &ops[i]);
		used += NLMSG_ALIGN(h->nlmsg_len);
	}
	r = mnl_socket_sendto(k->request, buf, used) < 0 ? -errno : collect_acks(k, first, count, errors);
	free(buf);
	return r;
}

struct dump {
	const struct kernel *k;
	struct route *routes;
	size_t count, room;
};

static bool is_ours(const struct kernel *k, const struct kernel_route *r)
{
	return r->protocol == k->conf.protocol && r->unicast && r->oif == k->ifindex;
}

static int parse_dump(const struct nlmsghdr *h, void *data)
{
	struct dump *d = data;
	struct kernel_route found;

	if (h->nlmsg_type != RTM_NEWROUTE || !kernel_parse_route(h, &found) || !is_ours(d->k, &found))
		return 0;
	if (d->count == d->room) {
		size_t room = d->room ? 2 * d->room : 256;
		struct route *routes = reallocarray(d->routes, room, sizeof(*routes));

		if (!routes)
			return -ENOMEM;
		d->routes = routes;
		d->room = room;
	}
	d->routes[d->count++] = found.route;
	return 0;
}

/* The kernel filters: a router may have a million routes that are not ours. */
static int dump_family(struct kernel *k, uint8_t family, struct dump *d)
{
	char buf[MNL_NLMSG_HDRLEN + 64];
	struct nlmsghdr *h = message(k, buf, RTM_GETROUTE, NLM_F_DUMP);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(h, sizeof(*rtm));
	int r;

	rtm->rtm_family = family;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_protocol = k->conf.protocol;
	rtm->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(h, RTA_OIF, k->ifindex);
	r = transact(k, h, parse_dump, d);
	return r == -EOPNOTSUPP || r == -EAFNOSUPPORT || r == -ENOENT ? 0
								      : r; /* no such family here, no routes of it */
}

int kernel_dump(struct kernel *k, struct route **routes, size_t *count)
{
	struct dump d = {.k = k};
	int r = -EINTR;

	for (int i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
		d.count = 0;
		r = dump_family(k, AF_INET, &d);
		if (r == 0)
			r = dump_family(k, AF_INET6, &d);
	}
	if (r < 0) {
		free(d.routes);
		d = (struct dump){.k = k};
	}
	*routes = d.routes;
	*count = d.count;
	return r;
}

/* ---- the monitor ---- */

/* On a router with a full table others change routes all day: let the kernel
 * discard what cannot concern us, which are additions of other protocols. */
static int monitor_filter(const struct kernel *k, int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 0, 2),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_protocol)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k->conf.protocol, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

struct monitor_context {
	const struct kernel *k;
	const struct kernel_watch *watch;
	void *ctx;
	bool check;
};

static void on_monitor(struct monitor_context *m, const struct nlmsghdr *h)
{
	struct kernel_route gone;

	if (kernel_parse_concerns(h, m->k->ifindex))
		m->check = true;
	if (h->nlmsg_type != RTM_DELROUTE || !kernel_parse_route(h, &gone))
		return;
	if (is_ours(m->k, &gone))
		m->check = true;
	else
		m->watch->freed(m->ctx, &gone.route.prefix);
}

int kernel_monitor_fd(const struct kernel *k)
{
	return mnl_socket_get_fd(k->monitor);
}

void kernel_monitor_read(struct kernel *k, const struct kernel_watch *watch, void *ctx)
{
	struct monitor_context m = {.k = k, .watch = watch, .ctx = ctx};

	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(k->monitor), k->buffer, sizeof(k->buffer), MSG_DONTWAIT);
		const struct nlmsghdr *h = (const struct nlmsghdr *)k->buffer;
		int bytes = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			m.check = true; /* something was missed: look at everything */
			continue;
		}
		if (n <= 0)
			break;
		for (; kernel_parse_ok(h, bytes); h = mnl_nlmsg_next(h, &bytes))
			on_monitor(&m, h);
	}
	if (m.check)
		watch->check(ctx);
}

/* ---- opening ---- */

static void set_receive_buffer(int fd, int bytes)
{
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

static int open_request(struct kernel *k)
{
	struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT};
	int on = 1, fd;

	k->request = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!k->request || mnl_socket_bind(k->request, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	fd = mnl_socket_get_fd(k->request);
	set_receive_buffer(fd, REQUEST_BUFFER);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    mnl_socket_setsockopt(k->request, NETLINK_CAP_ACK, &on, sizeof(on)) < 0 ||
	    mnl_socket_setsockopt(k->request, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) < 0)
		return -errno;
	return 0;
}

static int open_monitor(struct kernel *k)
{
	unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	int r;

	k->monitor = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!k->monitor)
		return -errno;
	r = monitor_filter(k, mnl_socket_get_fd(k->monitor));
	if (r < 0)
		return r;
	set_receive_buffer(mnl_socket_get_fd(k->monitor), MONITOR_BUFFER);
	return mnl_socket_bind(k->monitor, groups, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
}

/* One line, and the exit status it deserves. */
static int explain_tun(const struct kernel_conf *conf, int error)
{
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		log_error("%s: %s: the kernel's TUN driver is not available; load it: modprobe tun", TUN_PATH,
			  strerror(error));
		return EXITCODE_KERNEL;
	case EPERM:
	case EACCES:
		log_error("%s: %s: creating %s needs CAP_NET_ADMIN and write access to %s", TUN_PATH, strerror(error),
			  conf->interface, TUN_PATH);
		return EXITCODE_PRIVILEGE;
	case EBUSY:
	case EEXIST:
	case EINVAL:
		log_error("interface %s exists already: another routed-glue runs here, or choose another `interface`",
			  conf->interface);
		return EXITCODE_BUSY;
	default:
		log_error("%s: cannot create %s: %s", TUN_PATH, conf->interface, strerror(error));
		return EXITCODE_FAILURE;
	}
}

static int explain_netlink(const struct kernel_conf *conf, const char *what, int error)
{
	bool old = error == ENOPROTOOPT || error == EPROTONOSUPPORT;

	log_error("rtnetlink: %s %s: %s%s", what, conf->interface, strerror(error),
		  old ? "; Linux 4.20 or later is needed" : "");
	return error == EPERM || error == EACCES ? EXITCODE_PRIVILEGE : old ? EXITCODE_KERNEL : EXITCODE_FAILURE;
}

int kernel_open(struct kernel **out, const struct kernel_conf *conf)
{
	struct kernel *k = calloc(1, sizeof(*k));
	int r, status = EXITCODE_OK;

	*out = NULL;
	if (!k) {
		log_error("out of memory");
		return EXITCODE_FAILURE;
	}
	k->conf = *conf;
	k->tun = -1;
	r = tun_create(k);
	if (r < 0) {
		status = explain_tun(conf, -r);
	} else {
		r = open_request(k);
		if (r == 0)
			r = open_monitor(k);
		if (r < 0)
			status = explain_netlink(conf, "opening a socket for", -r);
		else if ((r = device_configure(k)) < 0)
			status = explain_netlink(conf, "configuring", -r);
	}
	if (status != EXITCODE_OK) {
		kernel_close(k);
		return status;
	}
	*out = k;
	return EXITCODE_OK;
}

void kernel_close(struct kernel *k)
{
	if (!k)
		return;
	if (k->tun >= 0)
		close(k->tun);
	if (k->request)
		mnl_socket_close(k->request);
	if (k->monitor)
		mnl_socket_close(k->monitor);
	free(k);
}
