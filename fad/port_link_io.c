/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The punt port's veth pair.  IPv4 settings go by rtnetlink, which works where
 * /proc/sys is read-only; IPv6 ones have no such way.
 *
 * Must not know of packets.
 */
#include "fad/port_link_io.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fad/classifier.h"
#include "lib/exitcode.h"
#include "lib/log.h"

#define PORT_MTU       65535 /* a veth's largest: what the MTU is of is decided where packets leave the router */
#define REQUEST_ROOM   1024
#define ANSWER_ROOM    32768
#define FEATURES_MOST  512 /* Linux has some 60 */
#define ANSWER_TIMEOUT 2   /* seconds; the kernel answers at once */

static const uint8_t kernel_mac[6] = {CLASSIFIER_MAC_KERNEL_END};
static const uint8_t agent_mac[6] = {CLASSIFIER_MAC_AGENT_END};

/* ---- requests ---- */

static struct nlmsghdr *message(void *buf, uint16_t type, uint16_t flags, uint32_t ifindex)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	h->nlmsg_seq = 1;
	ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	ifi->ifi_index = (int)ifindex;
	return h;
}

/* One request on a socket of its own: there are few of them.  0 or a negative errno. */
static int request(const struct nlmsghdr *h, mnl_cb_t parse, void *data)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT};
	char *buf = malloc(ANSWER_ROOM);
	ssize_t n = -1;
	int more = MNL_CB_OK, error;

	if (!s || !buf)
		goto out;
	if (setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 || mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		goto out;
	while (more > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(s, buf, ANSWER_ROOM);
		if (n < 0)
			goto out;
		more = mnl_cb_run(buf, (size_t)n, h->nlmsg_seq, mnl_socket_get_portid(s), parse, data);
	}
	n = more;
out:
	error = n < 0 ? -errno : 0;
	free(buf);
	if (s)
		mnl_socket_close(s);
	return error;
}

/* ---- what is there ---- */

struct found {
	uint32_t ifindex, peer;
	bool veth, elsewhere;
};

static int parse_link(const struct nlmsghdr *h, void *data)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	struct found *f = data;
	const struct nlattr *a, *b;

	f->ifindex = (uint32_t)ifi->ifi_index;
	mnl_attr_for_each(a, h, sizeof(*ifi))
	{
		if (mnl_attr_get_type(a) == IFLA_LINK && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			f->peer = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == IFLA_LINK_NETNSID)
			f->elsewhere = true;
		if (mnl_attr_get_type(a) != IFLA_LINKINFO)
			continue;
		mnl_attr_for_each_nested(b, a)
		{
			if (mnl_attr_get_type(b) == IFLA_INFO_KIND && mnl_attr_validate(b, MNL_TYPE_STRING) == 0)
				f->veth = strcmp(mnl_attr_get_str(b), "veth") == 0;
		}
	}
	return MNL_CB_OK;
}

static int find(const char *name, struct found *f)
{
	char buf[REQUEST_ROOM];
	struct nlmsghdr *h = message(buf, RTM_GETLINK, 0, 0);

	*f = (struct found){0};
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	return request(h, parse_link, f);
}

/* ---- making it ---- */

static void put_end(struct nlmsghdr *h, const char *name, const uint8_t mac[6])
{
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	mnl_attr_put(h, IFLA_ADDRESS, 6, mac);
	mnl_attr_put_u32(h, IFLA_MTU, PORT_MTU);
}

static int create(const struct port_link *l)
{
	char buf[REQUEST_ROOM];
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	struct nlattr *info, *data, *peer;

	put_end(h, l->kernel_name, kernel_mac);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	put_end(h, l->agent_name, agent_mac);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	return request(h, NULL, NULL);
}

/* The pair's ends, made if neither is there.  -EEXIST: the names are taken by something else. */
static int create_or_take(struct port_link *l)
{
	struct found k, a = {0};
	int r = find(l->kernel_name, &k);

	if (r == -ENODEV) {
		r = create(l);
		if (r == 0)
			r = find(l->kernel_name, &k);
	}
	if (r == 0)
		r = find(l->agent_name, &a);
	if (r < 0)
		return r == -ENODEV ? -EEXIST : r;
	if (!k.veth || !a.veth || k.elsewhere || a.elsewhere || k.peer != a.ifindex || a.peer != k.ifindex)
		return -EEXIST;
	l->kernel_ifindex = k.ifindex;
	l->agent_ifindex = a.ifindex;
	return 0;
}

/* Addresses and MTU, which on a pair taken over may not be ours. */
static int set_end(uint32_t ifindex, const char *name, const uint8_t mac[6])
{
	char buf[REQUEST_ROOM];
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, 0, ifindex);

	put_end(h, name, mac);
	return request(h, NULL, NULL);
}

/* Neither link-local addresses nor anything else that answers. */
static int set_no_ipv6_address(uint32_t ifindex)
{
	char buf[REQUEST_ROOM];
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, 0, ifindex);
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	struct nlattr *inet6 = mnl_attr_nest_start(h, AF_INET6);

	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, inet6);
	mnl_attr_nest_end(h, spec);
	return request(h, NULL, NULL);
}

static int set_ipv4(uint32_t ifindex)
{
	static const struct {
		uint16_t id;
		uint32_t value;
	} settings[] = {
		{IPV4_DEVCONF_FORWARDING, 1},          {IPV4_DEVCONF_RP_FILTER, 0},
		{IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0}, {IPV4_DEVCONF_ACCEPT_REDIRECTS, 0},
		{IPV4_DEVCONF_SEND_REDIRECTS, 0},      {IPV4_DEVCONF_ACCEPT_LOCAL, 1}, /* tunnels begin here */
	};
	char buf[REQUEST_ROOM];
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, 0, ifindex);
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	struct nlattr *inet = mnl_attr_nest_start(h, AF_INET);
	struct nlattr *conf = mnl_attr_nest_start(h, IFLA_INET_CONF);

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		mnl_attr_put_u32(h, settings[i].id, settings[i].value);
	mnl_attr_nest_end(h, conf);
	mnl_attr_nest_end(h, inet);
	mnl_attr_nest_end(h, spec);
	return request(h, NULL, NULL);
}

/*
 * To an interface without an address the kernel applies a loose reverse-path filter as if it were a strict one, and
 * systemd sets a loose one on each interface it sees come up.  Of scope host: nothing chooses it as a source.
 */
static int set_ipv4_address(uint32_t ifindex)
{
	static const uint8_t address[4] = {169, 254, 75, 10};
	char buf[REQUEST_ROOM];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *ifa;

	h->nlmsg_type = RTM_NEWADDR;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	h->nlmsg_seq = 1;
	ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));
	ifa->ifa_family = AF_INET;
	ifa->ifa_prefixlen = 32;
	ifa->ifa_scope = RT_SCOPE_HOST;
	ifa->ifa_index = ifindex;
	mnl_attr_put(h, IFA_LOCAL, sizeof(address), address);
	mnl_attr_put(h, IFA_ADDRESS, sizeof(address), address);
	return request(h, NULL, NULL);
}

/* ---- offloads ---- */

/*
 * Of what a vnet header cannot say the kernel's end must have nothing: the
 * kernel then cuts such super-packets, and completes such checksums, before
 * they cross.
 */
static bool is_unspeakable(const char *feature)
{
	static const char *const names[] = {"tx-checksum-sctp",    "tx-sctp-segmentation",
					    "tx-gso-partial",      "tx-gso-list",
					    "tx-esp-segmentation", "tx-tunnel-remcsum-segmentation"};
	static const char *const starts[] = {"tx-gre-", "tx-ipxip", "tx-udp_tnl-"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(feature, names[i]))
			return true;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		if (!strncmp(feature, starts[i], strlen(starts[i])))
			return true;
	return false;
}

static int ethtool(int fd, const char *name, void *command)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_data = command;
	return ioctl(fd, SIOCETHTOOL, &ifr) < 0 ? -errno : 0;
}

/* The names of all features this kernel has; freed by the caller.  NULL: errno says why. */
static struct ethtool_gstrings *feature_names(int fd, const char *name)
{
	union {
		struct ethtool_sset_info info; /* one number follows */
		uint8_t room[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)];
	} q = {.info = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_FEATURES}};
	struct ethtool_gstrings *s;
	int r = ethtool(fd, name, &q);
	uint32_t count = 0;

	memcpy(&count, q.room + sizeof(q.info), sizeof(count));
	if (r == 0 && count > FEATURES_MOST)
		r = -E2BIG;
	s = r == 0 ? calloc(1, sizeof(*s) + (size_t)count * ETH_GSTRING_LEN) : NULL;
	if (!s) {
		errno = r < 0 ? -r : ENOMEM;
		return NULL;
	}
	s->cmd = ETHTOOL_GSTRINGS;
	s->string_set = ETH_SS_FEATURES;
	s->len = count;
	r = ethtool(fd, name, s);
	if (r == 0)
		return s;
	free(s);
	errno = -r;
	return NULL;
}

static int set_features_off(int fd, const char *name)
{
	struct ethtool_gstrings *s = feature_names(fd, name);
	uint32_t blocks = s ? (s->len + 31) / 32 : 0;
	struct ethtool_sfeatures *q = s ? calloc(1, sizeof(*q) + blocks * sizeof(q->features[0])) : NULL;
	char feature[ETH_GSTRING_LEN + 1] = {0};
	int r = -errno;

	if (!q) {
		free(s);
		return r;
	}
	q->cmd = ETHTOOL_SFEATURES;
	q->size = blocks;
	for (uint32_t i = 0; i < s->len; i++) {
		memcpy(feature, s->data + (size_t)i * ETH_GSTRING_LEN, ETH_GSTRING_LEN);
		if (is_unspeakable(feature))
			q->features[i / 32].valid |= 1u << i % 32;
	}
	r = ethtool(fd, name, q);
	free(q);
	free(s);
	return r;
}

static void set_offloads(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = fd < 0 ? -errno : set_features_off(fd, name);

	/* Without it only traffic of tunnels and SCTP out of this very host is at risk. */
	if (r < 0)
		log_warning("%s: offloads are as they were: %s", name, strerror(-r));
	if (fd >= 0)
		close(fd);
}

/* ---- /proc/sys ---- */

/* The value of a setting of one digit, or -1. */
static int sysctl_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char value = 0;

	if (fd < 0)
		return -1;
	if (read(fd, &value, 1) != 1)
		value = 0;
	close(fd);
	return value >= '0' && value <= '9' ? value - '0' : -1;
}

/* Where the host has no IPv6 there is no such file, and nothing to set. */
static void sysctl_ipv6(const char *interface, const char *setting, int value)
{
	char path[128], text[2] = {(char)('0' + value), '\0'};
	int now, fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", interface, setting);
	now = sysctl_read(path);
	if (now < 0 || now == value)
		return;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, 1) != 1)
		log_warning("%s is %d and cannot be set to %d (%s): set it before fad starts", path, now, value,
			    strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void check_router(void)
{
	if (sysctl_read("/proc/sys/net/ipv4/conf/all/rp_filter") == 1)
		log_warning(
			"net.ipv4.conf.all.rp_filter is 1: the kernel will drop packets that come back from the agent; "
			"set it to 0 or 2");
	if (sysctl_read("/proc/sys/net/ipv4/ip_forward") == 0)
		log_warning("net.ipv4.ip_forward is 0: this is no IPv4 router yet");
	if (sysctl_read("/proc/sys/net/ipv6/conf/all/forwarding") == 0)
		log_warning("net.ipv6.conf.all.forwarding is 0: this is no IPv6 router yet");
}

/* ---- */

static int set_up(uint32_t ifindex)
{
	char buf[REQUEST_ROOM];
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, 0, ifindex);
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);

	ifi->ifi_flags = IFF_UP | IFF_NOARP;
	ifi->ifi_change = IFF_UP | IFF_NOARP;
	return request(h, NULL, NULL);
}

int port_link_up(const struct port_link *l)
{
	int r = set_up(l->kernel_ifindex);

	return r == 0 ? set_up(l->agent_ifindex) : r;
}

static int configure(const struct port_link *l)
{
	int r = set_end(l->kernel_ifindex, l->kernel_name, kernel_mac);

	if (r == 0)
		r = set_end(l->agent_ifindex, l->agent_name, agent_mac);
	if (r == 0)
		r = set_ipv4(l->kernel_ifindex);
	if (r == 0)
		r = set_ipv4_address(l->kernel_ifindex);
	if (r < 0)
		return r;
	if (set_no_ipv6_address(l->kernel_ifindex) < 0 || set_no_ipv6_address(l->agent_ifindex) < 0)
		log_debug("%s: no IPv6 on this host", l->kernel_name);
	set_offloads(l->kernel_name);
	sysctl_ipv6(l->kernel_name, "disable_ipv6", 0);
	sysctl_ipv6(l->kernel_name, "accept_ra", 0);
	sysctl_ipv6(l->kernel_name, "autoconf", 0);
	sysctl_ipv6(l->kernel_name, "forwarding", 1);
	sysctl_ipv6(l->agent_name, "disable_ipv6", 1);
	return port_link_up(l);
}

static int explain(const struct port_link *l, int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		log_error("punt port %s: %s: CAP_NET_ADMIN is needed", l->kernel_name, strerror(error));
		return EXITCODE_PRIVILEGE;
	case EOPNOTSUPP:
		log_error("punt port %s: the kernel has no veth devices (CONFIG_VETH)", l->kernel_name);
		return EXITCODE_KERNEL;
	case EEXIST:
		log_error("punt port: %s or %s is something else than our veth pair; remove it or set another "
			  "`punt-port`",
			  l->kernel_name, l->agent_name);
		return EXITCODE_INTERFACE;
	default:
		log_error("punt port %s: %s", l->kernel_name, strerror(error));
		return EXITCODE_FAILURE;
	}
}

int port_link_open(struct port_link *l, const char *prefix)
{
	int r;

	memset(l, 0, sizeof(*l));
	if (strlen(prefix) + 1 >= IFNAMSIZ) {
		log_error("punt port: the prefix %s is longer than %d characters", prefix, IFNAMSIZ - 2);
		return EXITCODE_CONFIG;
	}
	snprintf(l->kernel_name, sizeof(l->kernel_name), "%.*s0", IFNAMSIZ - 2, prefix);
	snprintf(l->agent_name, sizeof(l->agent_name), "%.*s1", IFNAMSIZ - 2, prefix);
	r = create_or_take(l);
	if (r == 0)
		r = configure(l);
	if (r < 0)
		return explain(l, -r);
	check_router();
	return EXITCODE_OK;
}

int port_link_remove(const struct port_link *l)
{
	char buf[REQUEST_ROOM];

	return request(message(buf, RTM_DELLINK, 0, l->kernel_ifindex), NULL, NULL);
}
