/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: what the kernel can do, tried out by a child process in a
 * network namespace of its own that ends with it; and which tc filters come
 * before ours.
 *
 * Changes nothing outside that namespace.  Must not judge.
 */
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/doctor.h"

#define OUR_PRIORITY 0x746e /* of fad's filters: fad/classifier_io.c */
#define BUFFER       32768
#define PROBE_LINK   "tn-probe0"
#define PROBE_PEER   "tn-probe1"

/* ---- features ---- */

static enum fact_state state_of(int error)
{
	return error == 0 ? FACT_YES : error == EPERM || error == EACCES ? FACT_DENIED : FACT_NO;
}

/* r0 = 0; exit */
static int try_bpf(void)
{
	const struct bpf_insn program[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr attr;
	long fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insn_cnt = 2;
	attr.insns = (uintptr_t)program;
	attr.license = (uintptr_t) "GPL";
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		return errno;
	close((int)fd);
	return 0;
}

/* Send a request and wait for its acknowledgement; an errno. */
static int transact(struct mnl_socket *s, struct nlmsghdr *h)
{
	uint8_t buffer[BUFFER];
	ssize_t n;

	h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = 1;
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return errno;
	n = mnl_socket_recvfrom(s, buffer, sizeof(buffer));
	if (n < 0)
		return errno;
	return mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(s), NULL, NULL) < 0 ? errno : 0;
}

static int try_veth(struct mnl_socket *s)
{
	uint8_t buffer[1024] = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct nlattr *info, *data, *peer;

	h->nlmsg_type = RTM_NEWLINK;
	h->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, PROBE_LINK);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, PROBE_PEER);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	return transact(s, h);
}

/* At the loopback, which is there in any case. */
static int try_clsact(struct mnl_socket *s)
{
	uint8_t buffer[256] = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct tcmsg *t;

	h->nlmsg_type = RTM_NEWQDISC;
	h->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	t = mnl_nlmsg_put_extra_header(h, sizeof(*t));
	t->tcm_ifindex = (int)if_nametoindex("lo");
	t->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	t->tcm_parent = TC_H_CLSACT;
	mnl_attr_put_strz(h, TCA_KIND, "clsact");
	return transact(s, h);
}

static int try_tun(void)
{
	struct ifreq r;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), error = 0;

	if (fd < 0)
		return errno;
	memset(&r, 0, sizeof(r));
	r.ifr_flags = IFF_TUN | IFF_NO_PI;
	if (ioctl(fd, TUNSETIFF, &r) < 0)
		error = errno;
	close(fd);
	return error;
}

static struct mnl_socket *open_netlink(void)
{
	struct mnl_socket *s = mnl_socket_open(NETLINK_ROUTE);

	if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(s);
		s = NULL;
	}
	return s;
}

/* In the child: two bits of the exit status for each feature. */
static int probe(void)
{
	enum fact_state states[FEATURES];
	struct mnl_socket *s;
	int all = 0;

	states[FEATURE_BPF] = state_of(try_bpf());
	states[FEATURE_VETH] = states[FEATURE_CLSACT] = states[FEATURE_TUN] = FACT_DENIED;
	s = unshare(CLONE_NEWNET) == 0 ? open_netlink() : NULL;
	if (s) {
		states[FEATURE_VETH] = state_of(try_veth(s));
		states[FEATURE_CLSACT] = state_of(try_clsact(s));
		states[FEATURE_TUN] = state_of(try_tun());
		mnl_socket_close(s);
	}
	for (int i = 0; i < FEATURES; i++)
		all |= (int)states[i] << (2 * i);
	return all;
}

static void features(struct fact_host *h)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(probe());
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	for (int i = 0; i < FEATURES; i++)
		h->features[i] = pid > 0 && WIFEXITED(status) ? (enum fact_state)(WEXITSTATUS(status) >> (2 * i) & 3)
							      : FACT_DENIED;
}

/* ---- filters ---- */

struct filters {
	struct fact_interface *interface;
	uint32_t last; /* priority */
};

static int on_filter(const struct nlmsghdr *h, void *ctx)
{
	const struct tcmsg *t = mnl_nlmsg_get_payload(h);
	struct filters *f = ctx;
	uint32_t priority = TC_H_MAJ(t->tcm_info) >> 16;
	struct nlattr *a;

	if (h->nlmsg_type == RTM_NEWTFILTER && priority == OUR_PRIORITY)
		f->interface->filters_ours = 1;
	/* Several messages have one filter's priority. */
	if (h->nlmsg_type != RTM_NEWTFILTER || priority >= OUR_PRIORITY || priority == f->last)
		return MNL_CB_OK;
	f->last = priority;
	f->interface->filters_before++;
	mnl_attr_for_each(a, h, sizeof(*t)) if (mnl_attr_get_type(a) == TCA_KIND &&
						mnl_attr_validate(a, MNL_TYPE_STRING) == 0 &&
						!*f->interface->filter_kind)
		snprintf(f->interface->filter_kind, sizeof(f->interface->filter_kind), "%s", mnl_attr_get_str(a));
	return MNL_CB_OK;
}

static void filters(struct mnl_socket *s, struct fact_interface *i)
{
	uint8_t buffer[BUFFER] = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
	struct filters f = {.interface = i};
	struct tcmsg *t;
	ssize_t n;

	h->nlmsg_type = RTM_GETTFILTER;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = 1;
	t = mnl_nlmsg_put_extra_header(h, sizeof(*t));
	t->tcm_ifindex = (int)if_nametoindex(i->name);
	t->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
	if (t->tcm_ifindex == 0 || mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return;
	i->filters_before = i->filters_ours = 0;
	do {
		n = mnl_socket_recvfrom(s, buffer, sizeof(buffer));
	} while (n > 0 && mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(s), on_filter, &f) == MNL_CB_OK);
}

static void filters_of(struct mnl_socket *s, struct facts *f, const char *name)
{
	const struct fact_interface *found = fact_interface(f, name);

	if (found)
		filters(s, &f->host.interfaces[found - f->host.interfaces]);
}

void facts_collect_kernel(struct facts *f)
{
	struct mnl_socket *s = open_netlink();
	char port[20];

	features(&f->host);
	for (size_t i = 0; s && i < f->daemon_count; i++) {
		FACT_EACH(Turnout__InterfaceRow, row, &f->daemons[i], FACT_INTERFACES, interfaces)
		filters_of(s, f, row->name);
		snprintf(port, sizeof(port), "%s0", fact_setting(&f->daemons[i], "punt-port"));
		filters_of(s, f, port);
	}
	if (s)
		mnl_socket_close(s);
}
