/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The endpoint's sockets: one bound to the unicast address, which sends
 * everything, and one for each multicast group (ARCH-5).
 *
 * Must not know what is sent or received.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/endpoint_priv.h"
#include "lib/exitcode.h"

#define BUFFER_BYTES     (8 << 20)
#define REJOIN_EVERY_US  5000000u
#define REJOIN_ACCURACY  500000u
#define LINK_LOCAL_SCOPE 2

/* ---- addresses ---- */

static bool needs_scope(const struct addr *a)
{
	if (a->family != 6)
		return false;
	return (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80) ||
	       (a->b[0] == 0xff && (a->b[1] & 0x0f) <= LINK_LOCAL_SCOPE);
}

socklen_t endpoint_sockaddr(const struct endpoint *ep, const struct addr *a, uint16_t port, struct sockaddr_storage *ss)
{
	socklen_t len = (socklen_t)addr_to_sockaddr(a, port, ss);

	if (needs_scope(a))
		((struct sockaddr_in6 *)ss)->sin6_scope_id = ep->ifindex;
	return len;
}

/* getifaddrs() aligns and sizes its addresses for their own families only. */
static bool take_address(const struct sockaddr *sa, struct addr *a)
{
	struct sockaddr_storage ss = {0};
	uint16_t port;

	if (sa == NULL || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return false;
	memcpy(&ss, sa, sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	return addr_from_sockaddr(&ss, a, &port);
}

/* Loopback answers for whole prefixes, other interfaces for their addresses. */
static bool interface_has(const struct ifaddrs *i, const struct addr *a)
{
	struct addr own, mask;

	if (!take_address(i->ifa_addr, &own))
		return false;
	if (addr_equal(&own, a))
		return true;
	if (!(i->ifa_flags & IFF_LOOPBACK) || own.family != a->family || !take_address(i->ifa_netmask, &mask))
		return false;
	for (size_t k = 0; k < addr_len(a->family); k++)
		if ((own.b[k] ^ a->b[k]) & mask.b[k])
			return false;
	return true;
}

/* The interface for multicast: the configured one, or the one that has the address.  0: there is none. */
static uint32_t find_interface(const struct endpoint *ep)
{
	struct ifaddrs *list;
	uint32_t found = 0;

	if (ep->interface[0] != '\0')
		return if_nametoindex(ep->interface);
	if (getifaddrs(&list) < 0)
		return 0;
	for (const struct ifaddrs *i = list; i != NULL && found == 0; i = i->ifa_next)
		if (interface_has(i, &ep->self.addr))
			found = if_nametoindex(i->ifa_name);
	freeifaddrs(list);
	return found;
}

/* ---- one socket ---- */

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

/* As much as is allowed: more than the system's maximum with CAP_NET_ADMIN, else up to it. */
static void raise_buffers(int fd)
{
	if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES) < 0)
		set(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
	if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES) < 0)
		set(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
}

/* Fragment what is larger than the path's MTU instead of refusing it (MSG-11). */
static int allow_fragments(int fd, uint8_t family)
{
	if (family == 4)
		return set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	return set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
}

/* Several daemons of one host hear each other: loop is on. */
static int send_multicast(const struct endpoint *ep)
{
	int fd = ep->unicast.fd;
	struct ip_mreqn out = {.imr_ifindex = (int)ep->ifindex};

	if (ep->self.addr.family == 4) {
		if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof(out)) < 0 ||
		    set(fd, IPPROTO_IP, IP_MULTICAST_TTL, ep->multicast_ttl) < 0)
			return -1;
		return set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 1);
	}
	if (set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)ep->ifindex) < 0 ||
	    set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ep->multicast_ttl) < 0)
		return -1;
	return set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1);
}

static int join(int fd, const struct addr *group, uint32_t ifindex, bool leave)
{
	struct ip_mreqn m4 = {.imr_ifindex = (int)ifindex};
	struct ipv6_mreq m6 = {.ipv6mr_interface = ifindex};

	if (group->family == 4) {
		memcpy(&m4.imr_multiaddr, group->b, 4);
		return setsockopt(fd, IPPROTO_IP, leave ? IP_DROP_MEMBERSHIP : IP_ADD_MEMBERSHIP, &m4, sizeof(m4));
	}
	memcpy(&m6.ipv6mr_multiaddr, group->b, 16);
	return setsockopt(fd, IPPROTO_IPV6, leave ? IPV6_LEAVE_GROUP : IPV6_JOIN_GROUP, &m6, sizeof(m6));
}

static int open_socket(uint8_t family)
{
	int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	raise_buffers(fd);
	if ((family == 6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0) || allow_fragments(fd, family) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int bind_socket(const struct endpoint *ep, int fd, const struct addr *a, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_sockaddr(ep, a, port, &ss);

	return bind(fd, (const struct sockaddr *)&ss, len);
}

/* ---- the unicast socket and the groups ---- */

static int open_unicast(struct endpoint *ep)
{
	const struct addr *a = &ep->self.addr;
	char text[ENDPOINT_STRLEN];

	endpoint_print(a, ep->port, text);
	ep->unicast.fd = open_socket(a->family);
	if (ep->unicast.fd < 0) {
		log_error("cannot open a socket for control.address %s: %s", text, strerror(errno));
		return EXITCODE_FAILURE;
	}
	if (bind_socket(ep, ep->unicast.fd, a, ep->port) == 0)
		return EXITCODE_OK;
	if (errno == EADDRINUSE) {
		log_error("control port %s is in use by another program; see: ss -ulpn", text);
		return EXITCODE_BUSY;
	}
	if (errno == EADDRNOTAVAIL) {
		log_error("control.address %s is on no interface; see: ip -br address", addr_print(a, text));
		return EXITCODE_INTERFACE;
	}
	log_error("cannot bind to control.address %s: %s", text, strerror(errno));
	return errno == EACCES ? EXITCODE_PRIVILEGE : EXITCODE_FAILURE;
}

/* Only what was sent to the group through the interface that was joined: not other sockets' memberships. */
static int only_joined(int fd, uint8_t family)
{
	if (family == 4)
		return set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
	return set(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
}

static int open_group(struct endpoint *ep, struct endpoint_socket *s)
{
	char text[ENDPOINT_STRLEN];

	s->fd = open_socket(s->group.family);
	if (s->fd < 0 || set(s->fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 || only_joined(s->fd, s->group.family) < 0 ||
	    bind_socket(ep, s->fd, &s->group, ep->group_port) < 0) {
		log_error("cannot listen to group %s: %s", endpoint_print(&s->group, ep->group_port, text),
			  strerror(errno));
		return errno == EADDRINUSE ? EXITCODE_BUSY : EXITCODE_FAILURE;
	}
	if (join(s->fd, &s->group, ep->ifindex, false) < 0) {
		log_error("cannot join group %s on the control interface: %s", addr_print(&s->group, text),
			  strerror(errno));
		return errno == ENODEV ? EXITCODE_INTERFACE : EXITCODE_FAILURE;
	}
	return EXITCODE_OK;
}

static void leave_all(struct endpoint *ep)
{
	for (size_t i = 0; i < ep->group_count; i++)
		join(ep->groups[i].fd, &ep->groups[i].group, ep->ifindex, true);
}

static void join_all(struct endpoint *ep)
{
	char text[ADDR_STRLEN];

	for (size_t i = 0; i < ep->group_count; i++)
		if (join(ep->groups[i].fd, &ep->groups[i].group, ep->ifindex, false) < 0)
			log_warning("cannot join group %s again: %s", addr_print(&ep->groups[i].group, text),
				    strerror(errno));
	if (send_multicast(ep) < 0)
		log_warning("cannot send multicast through the control interface: %s", strerror(errno));
}

/* An interface that was taken away and given back (a container's, for one) has another index. */
static int on_rejoin(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct endpoint *ep = userdata;
	uint32_t now = find_interface(ep);
	char text[ADDR_STRLEN];

	(void)usec;
	sd_event_source_set_time_relative(source, REJOIN_EVERY_US);
	if (now == ep->ifindex)
		return 0;
	leave_all(ep);
	ep->ifindex = now;
	addr_print(&ep->self.addr, text);
	if (now == 0) {
		log_warning("the control interface of %s is gone; waiting for it", text);
		return 0;
	}
	join_all(ep);
	log_info("the control interface of %s is back", text);
	return 0;
}

static int start_rejoin(struct endpoint *ep)
{
	int r = sd_event_add_time_relative(ep->loop, &ep->rejoin, CLOCK_MONOTONIC, REJOIN_EVERY_US, REJOIN_ACCURACY,
					   on_rejoin, ep);

	if (r >= 0)
		r = sd_event_source_set_enabled(ep->rejoin, SD_EVENT_ON);
	return r;
}

static int open_multicast(struct endpoint *ep, const struct endpoint_conf *conf)
{
	const struct addr *groups = conf->groups.items;
	int status;

	if (send_multicast(ep) < 0) {
		log_error("cannot send multicast through the control interface: %s", strerror(errno));
		return EXITCODE_FAILURE;
	}
	for (size_t i = 0; i < conf->groups.count && i < ENDPOINT_GROUPS; i++) {
		ep->groups[i] = (struct endpoint_socket){.fd = -1, .ep = ep, .group = groups[i]};
		ep->group_count = i + 1;
		status = open_group(ep, &ep->groups[i]);
		if (status != EXITCODE_OK)
			return status;
	}
	return EXITCODE_OK;
}

static int watch(struct endpoint_socket *s, sd_event_io_handler_t on_io)
{
	return sd_event_add_io(s->ep->loop, &s->source, s->fd, EPOLLIN, on_io, s);
}

static int watch_all(struct endpoint *ep, sd_event_io_handler_t on_io)
{
	int r = watch(&ep->unicast, on_io);

	for (size_t i = 0; i < ep->group_count && r >= 0; i++)
		r = watch(&ep->groups[i], on_io);
	if (r >= 0 && ep->group_count > 0)
		r = start_rejoin(ep);
	if (r >= 0)
		return EXITCODE_OK;
	log_error("cannot watch the control sockets: %s", strerror(-r));
	return EXITCODE_FAILURE;
}

int endpoint_sockets_open(struct endpoint *ep, const struct endpoint_conf *conf, sd_event_io_handler_t on_io)
{
	char text[ADDR_STRLEN];
	int status;

	ep->unicast = (struct endpoint_socket){.fd = -1, .ep = ep};
	ep->ifindex = find_interface(ep);
	if (ep->ifindex == 0 && ep->interface[0] != '\0') {
		log_error("control.interface %s is not there; see: ip -br link", ep->interface);
		return EXITCODE_INTERFACE;
	}
	status = open_unicast(ep);
	if (status == EXITCODE_OK && ep->ifindex == 0 && conf->multicast) {
		log_error("no interface has control.address %s; see: ip -br address, or set control.interface",
			  addr_print(&ep->self.addr, text));
		status = EXITCODE_INTERFACE;
	}
	if (status == EXITCODE_OK && conf->multicast)
		status = open_multicast(ep, conf);
	return status == EXITCODE_OK ? watch_all(ep, on_io) : status;
}

static void close_socket(struct endpoint_socket *s)
{
	sd_event_source_disable_unref(s->source);
	if (s->ep != NULL && s->fd >= 0)
		close(s->fd);
}

void endpoint_sockets_close(struct endpoint *ep)
{
	sd_event_source_disable_unref(ep->rejoin);
	for (size_t i = 0; i < ep->group_count; i++)
		close_socket(&ep->groups[i]);
	close_socket(&ep->unicast);
}

static uint64_t missed(const struct endpoint_socket *s)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(s->fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
		return 0;
	return info[SK_MEMINFO_DROPS];
}

uint64_t endpoint_sockets_missed(const struct endpoint *ep)
{
	uint64_t sum = missed(&ep->unicast);

	for (size_t i = 0; i < ep->group_count; i++)
		sum += missed(&ep->groups[i]);
	return sum;
}
