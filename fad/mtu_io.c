/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The least MTU there is, by rtnetlink, see mtu_io.h.
 *
 * In a thread of its own: who lists links waits for the kernel's lock on its
 * configuration, which others may hold for long, and packets must not wait.
 * The thread owns all but the results, which are atomic.
 *
 * Links are few, and the kernel does not tell when IPv6's own MTU of one
 * changes: they are listed anew all the time.  Routes may be a million: they
 * are listed once, a piece at a time, and then a filter in the kernel lets
 * only those through that have an MTU.  After such a route has gone again
 * the least is lower than it need be, which costs questions and nothing else.
 */
#include "fad/mtu_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/exitcode.h"
#include "lib/log.h"

#define LIST_EVERY_US 500000
#define ACCURACY_US   50000
#define STALE_MS      1500
#define ROOM          (32 << 10)

struct mtu {
	pthread_t thread;
	bool running;
	int end; /* an eventfd: the thread is to end */
	/* The thread's results.  Those that others depend on are stored before them. */
	_Atomic bool routes_known;
	_Atomic uint64_t links_ms; /* when the list of links was begun that counts */
	_Atomic uint32_t links, routes;
	/* The thread's own. */
	sd_event *loop;
	struct mnl_socket *socket;
	sd_event_source *source, *timer, *ending;
	uint32_t seq;
	enum { IDLE, LINKS, ROUTES4, ROUTES6 } list; /* what is being listed */
	bool interrupted;                            /* links changed meanwhile */
	bool lost;                                   /* news of routes, since their list was begun */
	uint64_t begun_ms;                           /* when the list of links was begun that is being read */
	uint32_t links_so_far;
	char buffer[ROOM];
};

static uint32_t less(uint32_t a, uint32_t b)
{
	return b && b < a ? b : a;
}

/* ---- what is told ---- */

static uint32_t mtu6_of(const struct nlattr *families)
{
	const struct nlattr *family, *a;
	int32_t value = 0;

	mnl_attr_for_each_nested(family, families)
	{
		if (mnl_attr_get_type(family) != AF_INET6)
			continue;
		mnl_attr_for_each_nested(a, family)
		{
			if (mnl_attr_get_type(a) == IFLA_INET6_CONF &&
			    mnl_attr_get_payload_len(a) >= (DEVCONF_MTU6 + 1) * sizeof(value))
				memcpy(&value, (const char *)mnl_attr_get_payload(a) + DEVCONF_MTU6 * sizeof(value),
				       sizeof(value));
		}
	}
	return value > 0 ? (uint32_t)value : 0;
}

static void on_link(struct mtu *m, const struct nlmsghdr *h)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*ifi) || !(ifi->ifi_flags & IFF_UP))
		return;
	mnl_attr_for_each(a, h, sizeof(*ifi))
	{
		if (mnl_attr_get_type(a) == IFLA_MTU && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			m->links_so_far = less(m->links_so_far, mnl_attr_get_u32(a));
		else if (mnl_attr_get_type(a) == IFLA_AF_SPEC)
			m->links_so_far = less(m->links_so_far, mtu6_of(a));
	}
}

static void on_route(struct mtu *m, const struct nlmsghdr *h)
{
	const struct nlattr *a, *metric;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(struct rtmsg))
		return;
	mnl_attr_for_each(a, h, sizeof(struct rtmsg))
	{
		if (mnl_attr_get_type(a) != RTA_METRICS)
			continue;
		mnl_attr_for_each_nested(metric, a)
		{
			if (mnl_attr_get_type(metric) == RTAX_MTU && mnl_attr_validate(metric, MNL_TYPE_U32) == 0)
				m->routes = less(m->routes, mnl_attr_get_u32(metric));
		}
	}
}

/* ---- lists ---- */

static void list(struct mtu *m, int what)
{
	char request[MNL_NLMSG_HDRLEN + 64] = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(request);
	struct rtmsg *rtm;

	h->nlmsg_type = what == LINKS ? RTM_GETLINK : RTM_GETROUTE;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = ++m->seq;
	if (what == LINKS) {
		mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
		mnl_attr_put_u32(h, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
		m->interrupted = false;
		m->links_so_far = UINT32_MAX;
		m->begun_ms = daemon_now_ms();
	} else {
		rtm = mnl_nlmsg_put_extra_header(h, sizeof(*rtm));
		rtm->rtm_family = what == ROUTES4 ? AF_INET : AF_INET6;
		if (what == ROUTES4)
			m->lost = false;
	}
	/* If it cannot be asked for now, the timer asks for links anew. */
	m->list = mnl_socket_sendto(m->socket, h, h->nlmsg_len) < 0 ? IDLE : what;
}

/* The list has come to its end. */
static void listed(struct mtu *m, int error)
{
	int what = m->list;

	m->list = IDLE;
	if (error && what == LINKS)
		return;
	if (what == LINKS && !m->interrupted) {
		m->links = m->links_so_far;
		m->links_ms = m->begun_ms;
	}
	if (what == LINKS && !m->routes_known)
		list(m, ROUTES4);
	else if (what == ROUTES4 && !error)
		list(m, ROUTES6);
	else if (what == ROUTES6) /* an error: this kernel is without IPv6 */
		m->routes_known = !m->lost;
}

static void handle(struct mtu *m, size_t bytes)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)m->buffer;
	int left = (int)bytes;

	for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		bool ours =
			m->list != IDLE && h->nlmsg_seq == m->seq && h->nlmsg_pid == mnl_socket_get_portid(m->socket);
		const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

		if (ours && (h->nlmsg_flags & NLM_F_DUMP_INTR))
			m->interrupted = true;
		if (h->nlmsg_type == RTM_NEWLINK)
			on_link(m, h);
		else if (h->nlmsg_type == RTM_NEWROUTE)
			on_route(m, h);
		else if (ours && h->nlmsg_type == NLMSG_DONE)
			listed(m, 0);
		else if (ours && h->nlmsg_type == NLMSG_ERROR && mnl_nlmsg_get_payload_len(h) >= sizeof(*e))
			listed(m, e->error);
	}
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct mtu *m = ctx;
	ssize_t got;

	(void)source;
	(void)events;
	got = recv(fd, m->buffer, sizeof(m->buffer), MSG_DONTWAIT);
	if (got > 0) {
		handle(m, (size_t)got);
	} else if (got < 0 && errno == ENOBUFS) {
		m->lost = true; /* routes are listed again */
		m->routes_known = false;
	}
	return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct mtu *m = ctx;
	uint64_t now_us = usec;

	if (m->list == IDLE)
		list(m, LINKS);
	sd_event_now(sd_event_source_get_event(source), CLOCK_MONOTONIC, &now_us);
	return sd_event_source_set_time(source, now_us + LIST_EVERY_US);
}

/* ---- open and close ---- */

/* Lists whole; of news the routes that came with an MTU. */
static int filter_news(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_flags)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, htons(NLM_F_MULTI), 10, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 9, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 0, 7),
		BPF_STMT(BPF_LDX | BPF_IMM, RTA_METRICS),
		BPF_STMT(BPF_LD | BPF_IMM, NLMSG_HDRLEN + sizeof(struct rtmsg)),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_NLATTR)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, 0),
		BPF_STMT(BPF_LDX | BPF_IMM, RTAX_MTU),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_NLATTR_NEST)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static int open_socket(struct mtu *m)
{
	int r, on = 1;

	m->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!m->socket)
		return -errno;
	r = filter_news(mnl_socket_get_fd(m->socket));
	if (r < 0)
		return r;
	if (mnl_socket_setsockopt(m->socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) < 0 ||
	    mnl_socket_bind(m->socket, RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return 0;
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	(void)fd;
	(void)events;
	(void)ctx;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static void *work(void *ctx)
{
	struct mtu *m = ctx;

	sd_event_loop(m->loop);
	return NULL;
}

/* Signals are the main thread's. */
static int start(struct mtu *m)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&m->thread, NULL, work, m);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	m->running = r == 0;
	return -r;
}

static int watch(struct mtu *m)
{
	int r = sd_event_new(&m->loop);

	if (r >= 0)
		r = sd_event_add_io(m->loop, &m->ending, m->end, EPOLLIN, on_end, NULL);
	if (r >= 0)
		r = sd_event_add_io(m->loop, &m->source, mnl_socket_get_fd(m->socket), EPOLLIN, on_readable, m);
	if (r >= 0)
		r = sd_event_add_time_relative(m->loop, &m->timer, CLOCK_MONOTONIC, 0, ACCURACY_US, on_time, m);
	if (r >= 0)
		r = sd_event_source_set_enabled(m->timer, SD_EVENT_ON);
	return r < 0 ? r : 0;
}

int mtu_open(struct mtu **out)
{
	struct mtu *m = calloc(1, sizeof(*m));
	int r = m ? 0 : -ENOMEM;

	*out = NULL;
	if (m) {
		m->routes = UINT32_MAX;
		m->end = eventfd(0, EFD_CLOEXEC);
		r = m->end < 0 ? -errno : open_socket(m);
	}
	if (r == 0)
		r = watch(m);
	if (r == 0)
		r = start(m);
	if (r < 0) {
		log_error("netlink: cannot read MTUs: %s", strerror(-r));
		mtu_close(m);
		return EXITCODE_FAILURE;
	}
	*out = m;
	return EXITCODE_OK;
}

uint32_t mtu_least(const struct mtu *m, uint64_t now_ms)
{
	uint64_t links_ms = m->links_ms;

	if (!m->routes_known || !links_ms || (now_ms > links_ms && now_ms - links_ms > STALE_MS))
		return 0;
	return less(m->links, m->routes);
}

void mtu_close(struct mtu *m)
{
	if (!m)
		return;
	if (m->running) {
		eventfd_write(m->end, 1);
		pthread_join(m->thread, NULL);
	}
	sd_event_source_disable_unref(m->ending);
	sd_event_source_disable_unref(m->timer);
	sd_event_source_disable_unref(m->source);
	sd_event_unref(m->loop);
	if (m->socket)
		mnl_socket_close(m->socket);
	if (m->end >= 0)
		close(m->end);
	free(m);
}
