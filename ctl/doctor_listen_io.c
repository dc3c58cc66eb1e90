/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: what control messages come in at this machine's
 * interfaces, before any firewall and whatever group or port they are for.
 * Listens only for a daemon that misses its peers, and not longer than needed.
 *
 * Must not judge.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ctl/capture.h"
#include "ctl/doctor.h"
#include "lib/daemon.h"
#include "proto/wire.h"

#define LISTEN_MS 11000 /* an agent says hello every ten seconds, a manager something more often */
#define LINGER_MS 400   /* after the first that matters: for others, and for the daemon to count it */
#define FRAME_MAX 65536

struct listener {
	struct fact_daemon *d;
	uint16_t port, group_port;
	struct addr self;
	bool agent;
	int fd;
	uint64_t end_ms;
	uint8_t frame[FRAME_MAX];
};

/* ---- what was heard ---- */

static bool is_same(const struct fact_heard *a, const struct fact_heard *b)
{
	return a->from_port == b->from_port && a->to_port == b->to_port && addr_equal(&a->from, &b->from) &&
	       addr_equal(&a->to, &b->to) && a->version == b->version && strcmp(a->interface, b->interface) == 0;
}

static void note(struct fact_daemon *d, const struct fact_heard *h)
{
	for (size_t i = 0; i < d->heard_count; i++)
		if (is_same(&d->heard[i], h)) {
			d->heard[i].count++;
			return;
		}
	if (d->heard_count == FACT_HEARD)
		return;
	d->heard[d->heard_count] = *h;
	d->heard[d->heard_count++].count = 1;
}

/* Of the other side: managers say everything but hello, agents nothing else to everybody. */
static bool matters(const struct listener *l, const struct fact_heard *h)
{
	return h->version != WIRE_VERSION || (h->type != WIRE_HELLO) == l->agent;
}

/* ---- the socket ---- */

/* Frames of other VLANs are not the interface's. */
static bool tagged(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		return aux.tp_status & TP_STATUS_VLAN_VALID;
	}
	return false;
}

static void receive(struct listener *l)
{
	uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))] __attribute__((aligned(8)));
	struct iovec part = {l->frame, sizeof(l->frame)};
	struct sockaddr_ll from = {0};
	struct msghdr m = {.msg_name = &from,
			   .msg_namelen = sizeof(from),
			   .msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct fact_heard h = {0};
	uint64_t soon = daemon_now_ms() + LINGER_MS;
	ssize_t n = recvmsg(l->fd, &m, MSG_DONTWAIT);
	char name[IF_NAMESIZE];

	if (n <= 0 || from.sll_pkttype == PACKET_OUTGOING || tagged(&m) ||
	    !doctor_read_message(l->frame, (size_t)n, l->port, l->group_port, &h) || addr_equal(&h.from, &l->self) ||
	    !if_indextoname((unsigned)from.sll_ifindex, name))
		return;
	snprintf(h.interface, sizeof(h.interface), "%s", name);
	note(l->d, &h);
	if (matters(l, &h) && l->end_ms > soon)
		l->end_ms = soon;
}

/* Without a filter a busy router's traffic would all come up here. */
static bool set_filter(const struct listener *l)
{
	pcap_t *pcap = pcap_open_dead(DLT_RAW, FRAME_MAX);
	struct bpf_program program;
	char text[256];
	bool ok = false;

	snprintf(text, sizeof(text),
		 "udp and (dst port %u or dst port %u or (ip and udp[8] = %u) or (ip6 and ip6[48] = %u))", l->port,
		 l->group_port, WIRE_VERSION, WIRE_VERSION);
	if (pcap && pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN) == 0) {
		struct {
			unsigned short len;
			void *filter;
		} f = {(unsigned short)program.bf_len, program.bf_insns};

		ok = setsockopt(l->fd, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof(f)) == 0;
		pcap_freecode(&program);
	}
	if (pcap)
		pcap_close(pcap);
	return ok;
}

static bool open_socket(struct listener *l, const struct fact_interface *control)
{
	struct packet_mreq every = {.mr_type = PACKET_MR_ALLMULTI};
	int on = 1;

	l->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return false;
	setsockopt(l->fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on));
	if (control) {
		every.mr_ifindex = (int)if_nametoindex(control->name);
		setsockopt(l->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &every, sizeof(every));
	}
	if (set_filter(l)) {
		struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};

		if (bind(l->fd, (const struct sockaddr *)&all, sizeof(all)) == 0)
			return true;
	}
	close(l->fd);
	return false;
}

static void listen_for(struct ctl *c, struct listener *l, unsigned ms)
{
	struct fact_daemon *d = l->d;
	uint64_t begin = daemon_now_ms(), now;

	l->end_ms = begin + ms;
	while ((now = daemon_now_ms()) < l->end_ms) {
		struct pollfd p = {.fd = l->fd, .events = POLLIN};

		if (poll(&p, 1, (int)(l->end_ms - now)) > 0)
			receive(l);
	}
	d->listened = FACT_YES;
	d->listened_ms = (unsigned)(now - begin);
	facts_count_again(c, d);
}

static void one(struct ctl *c, struct facts *f, struct fact_daemon *d, unsigned ms)
{
	const struct fact_interface *control = doctor_control_interface(f, d);
	struct listener *l = calloc(1, sizeof(*l));

	d->listened = FACT_DENIED;
	if (!l)
		return;
	l->d = d;
	l->port = (uint16_t)strtoul(fact_setting(d, "control.port"), NULL, 10);
	l->group_port = (uint16_t)strtoul(fact_setting(d, "control.group-port"), NULL, 10);
	l->agent = fact_is(d, "fad");
	addr_parse(fact_setting(d, "control.address"), &l->self);
	/* Before the socket is open: what it hears then is counted as new, if it gets to the daemon. */
	facts_count_again(c, d);
	d->group_before = fact_counter(d, "messages", "group-heard");
	d->direct_before = fact_counter(d, "messages", "direct-heard");
	if (open_socket(l, control)) {
		fprintf(c->err,
			"turnoutctl: %s misses its peers; listening for control messages, for up to %u s (see --for)\n",
			d->label, (ms + 999) / 1000);
		fflush(c->err);
		listen_for(c, l, ms);
		close(l->fd);
	}
	free(l);
}

void facts_listen(struct ctl *c, struct facts *f)
{
	unsigned ms = c->capture.duration ? (unsigned)capture_duration(c->capture.duration) : LISTEN_MS;

	for (size_t i = 0; i < f->daemon_count; i++) {
		struct fact_daemon *d = &f->daemons[i];

		d->listened = FACT_NO;
		if (d->life == LIFE_ALIVE && doctor_misses_peers(d))
			one(c, f, d, ms);
	}
}
