/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The punt port against the kernel: frames are put in where the classifier
 * redirects to, and caught where the kernel routes them to.  Needs root; each
 * test has its own namespace.
 *
 *   injector -> tnt0 | tnt1 -> ring, port_send() -> tnt1 | tnt0 -> routing -> w0 | w1 -> catcher
 */
#include "fad/port_io.h"

/* The system's header has a macro of the same name. */
enum { FAULT_VERSION = PACKET_VERSION };

#include <check.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "fad/classifier_io.h"
#include "fad/netns_fixture.h"
#include "lib/exitcode.h"
#include "lib/log.h"

#define ROOM      70000
#define INGRESS   4711 /* the interface that the injected frames say they came in by */
#define MAX_SEEN  2000
#define NEIGHBOUR "02:00:00:00:09:02"
#define FORWARD   "02:00:00:00:09:03"

struct fixture {
	sd_event *loop;
	struct port *port;
	struct classifier *classifier;
	int injector, catcher;

	/* what came up */
	unsigned received, batches;
	unsigned faults[PACKET_FAULT_COUNT];
	struct packet last; /* its data is gone */
	unsigned dropped;
	uint32_t why, dropped_ifindex, dropped_len;
	uint16_t sports[MAX_SEEN];

	/* what to do with it */
	bool guarded; /* put in as protected (FA-8) */
	bool send;
	uint32_t forward;

	uint8_t caught[ROOM]; /* vnet header and frame */
	size_t caught_len;
};

static void on_packet(void *ctx, struct packet *p)
{
	struct fixture *f = ctx;

	f->last = *p;
	if (f->received < MAX_SEEN)
		f->sports[f->received] = p->key.sport;
	f->received++;
	ck_assert_uint_eq(p->ifindex, INGRESS);
	if (f->send)
		ck_assert(port_send(f->port, p, f->forward));
	memset(p->data, 0xdd, p->len); /* copied or sent by now */
}

static void on_bad(void *ctx, enum packet_fault fault, const uint8_t *data, uint32_t len)
{
	struct fixture *f = ctx;

	(void)data;
	(void)len;
	f->faults[fault]++;
}

static void on_batch_end(void *ctx)
{
	struct fixture *f = ctx;

	f->batches++;
}

static void on_dropped(void *ctx, uint32_t why, const uint8_t *data, uint32_t len, uint32_t ifindex)
{
	struct fixture *f = ctx;

	ck_assert_uint_eq(data[0], 0x45);
	f->dropped++;
	f->why = why;
	f->dropped_len = len;
	f->dropped_ifindex = ifindex;
}

static const struct port_handler handler = {on_packet, on_bad, on_batch_end, on_dropped};

static int packet_socket(const char *name, uint16_t protocol)
{
	struct sockaddr_ll a = {
		.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, room = 8 << 20;

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0);

	ck_assert_int_eq(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static struct fixture *begin(void)
{
	static const struct classifier_limits limits = {.fixed = 10, .wildcards = 10};
	struct fixture *f = calloc(1, sizeof(*f));

	netns_enter();
	netns_run("ip link add w0 type veth peer name w1");
	netns_run("ip address add 10.9.0.1/24 dev w0");
	netns_run("ip address add fd09::1/64 dev w0 nodad");
	netns_run("ip link set w0 up");
	netns_run("ip link set w1 up");
	netns_run("ip neighbour add 10.9.0.2 lladdr " NEIGHBOUR " dev w0");
	netns_run("ip neighbour add 10.9.0.3 lladdr " FORWARD " dev w0");
	netns_run("ip neighbour add fd09::2 lladdr " NEIGHBOUR " dev w0");
	netns_run("ip neighbour add fd09::3 lladdr " FORWARD " dev w0");
	ck_assert_int_ge(sd_event_new(&f->loop), 0);
	ck_assert_int_eq(port_open(&f->port, f->loop, "tnt", &handler, f), EXITCODE_OK);
	ck_assert_int_eq(classifier_open(&f->classifier, port_kernel_ifindex(f->port), &limits), EXITCODE_OK);
	ck_assert_int_eq(classifier_attach_port(f->classifier, port_kernel_ifindex(f->port)), EXITCODE_OK);
	f->injector = packet_socket("tnt0", 0);
	f->catcher = packet_socket("w1", ETH_P_ALL);
	f->send = true;
	return f;
}

static void end(struct fixture *f)
{
	close(f->injector);
	close(f->catcher);
	classifier_close(f->classifier, true);
	port_close(f->port, true);
	ck_assert_uint_eq(if_nametoindex("tnt0"), 0);
	sd_event_unref(f->loop);
	free(f);
}

/* Put an IP packet in as the classifier does. */
static void inject(struct fixture *f, const struct virtio_net_hdr *vnet, const uint8_t *ip, size_t len)
{
	struct virtio_net_hdr v = vnet ? *vnet : (struct virtio_net_hdr){0};
	uint8_t kind = f->guarded ? CLASSIFIER_MAC_GUARDED : CLASSIFIER_MAC_PUNT;
	uint8_t ethernet[ETH_HLEN] = {CLASSIFIER_MAC_NOBODY, 0x02, kind, 0, 0, INGRESS >> 8, INGRESS & 0xff};
	struct iovec iov[] = {{&v, sizeof(v)}, {ethernet, sizeof(ethernet)}, {(void *)(uintptr_t)ip, len}};

	ethernet[12] = ip[0] >> 4 == 6 ? 0x86 : 0x08;
	ethernet[13] = ip[0] >> 4 == 6 ? 0xdd : 0x00;
	ck_assert_msg(writev(f->injector, iov, 3) == (ssize_t)(sizeof(v) + sizeof(ethernet) + len), "%s",
		      strerror(errno));
}

static void inject_packet(struct fixture *f, const struct netns_packet *d)
{
	uint8_t ip[2048];

	inject(f, NULL, ip, netns_build(d, ip));
}

/* Let the port work until this many packets, good and bad, came up. */
static void work(struct fixture *f, unsigned until)
{
	unsigned bad = 0;

	for (int i = 0; i < 200 && f->received + bad < until; i++) {
		ck_assert_int_ge(sd_event_run(f->loop, 100000), 0);
		bad = 0;
		for (int j = 0; j < PACKET_FAULT_COUNT; j++)
			bad += f->faults[j];
	}
	ck_assert_uint_eq(f->received + bad, until);
}

/* The next IP packet at the far end, frames of the kernel's own (ff02::) left out.  Returns its offset in f->caught, 0:
 * none. */
static size_t next_caught(struct fixture *f)
{
	struct pollfd p = {.fd = f->catcher, .events = POLLIN};
	const size_t ip = sizeof(struct virtio_net_hdr) + ETH_HLEN;

	while (poll(&p, 1, 500) == 1) {
		ssize_t n = recv(f->catcher, f->caught, sizeof(f->caught), 0);

		ck_assert_int_gt(n, (ssize_t)ip);
		if (f->caught[sizeof(struct virtio_net_hdr)] == 0x33)
			continue;
		f->caught_len = (size_t)n - ip;
		return ip;
	}
	return 0;
}

static void check_caught_to(const struct fixture *f, const char *mac)
{
	const uint8_t *d = f->caught + sizeof(struct virtio_net_hdr);
	char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", d[0], d[1], d[2], d[3], d[4], d[5]);
	ck_assert_str_eq(text, mac);
}

START_TEST(test_FA_7_routed_by_the_kernel)
{
	const struct netns_packet four = {"192.0.2.1", "10.9.0.2", IPPROTO_UDP, 1000, 53, .payload = 100};
	const struct netns_packet six = {"2001:db8::1", "fd09::2", IPPROTO_TCP, 1000, 80, .payload = 100};
	struct fixture *f = begin();
	struct port_counters c;
	size_t ip;

	inject_packet(f, &four);
	work(f, 1);
	ck_assert_uint_eq(f->last.key.dport, 53);
	ck_assert_uint_eq(f->last.len, 128);
	ip = next_caught(f);
	ck_assert_uint_ne(ip, 0);
	ck_assert_uint_eq(f->caught_len, 128);
	ck_assert_uint_eq(f->caught[ip + 8], 63);
	ck_assert_uint_eq(checksum_fold(checksum_add(0, f->caught + ip, 20)), 0xffff);
	check_caught_to(f, NEIGHBOUR);

	inject_packet(f, &six);
	work(f, 2);
	ip = next_caught(f);
	ck_assert_uint_ne(ip, 0);
	ck_assert_uint_eq(f->caught_len, 160);
	ck_assert_uint_eq(f->caught[ip + 7], 63);
	check_caught_to(f, NEIGHBOUR);

	port_read_counters(f->port, &c);
	ck_assert_uint_eq(c.received, 2);
	ck_assert_uint_eq(c.received_bytes, 128 + 160);
	ck_assert_uint_eq(c.sent, 2);
	ck_assert_uint_eq(c.sent_bytes, 128 + 160);
	ck_assert_uint_eq(c.send_drops + c.ring_drops, 0);
	ck_assert_uint_eq(f->batches, 2);
	end(f);
}
END_TEST

/* A decided packet whose time is up is answered by the kernel, both ways it may go. */
START_TEST(test_FA_8_protected_packets_are_told_apart)
{
	const struct netns_packet d = {"192.0.2.1", "10.9.0.1", IPPROTO_TCP, 1000, 22, .payload = 20};
	struct fixture *f = begin();

	for (unsigned i = 0; i < 4; i++) {
		f->guarded = i % 2;
		inject_packet(f, &d);
		work(f, i + 1);
		ck_assert(f->last.guarded == f->guarded);
	}
	end(f);
}
END_TEST

START_TEST(test_FA_7_time_exceeded)
{
	const struct netns_packet d = {"10.9.0.2", "10.8.0.2", IPPROTO_UDP, 1000, 53, .ttl = 1, .payload = 20};
	struct fixture *f = begin();
	struct addr hop = netns_addr("10.9.0.3");

	netns_run("ip route add 10.8.0.0/24 via 10.9.0.3");
	for (unsigned i = 1; i <= 2; i++) {
		inject_packet(f, &d);
		work(f, i);
		size_t ip = next_caught(f);
		ck_assert_uint_ne(ip, 0);
		ck_assert_uint_eq(f->caught[ip + 9], IPPROTO_ICMP);
		ck_assert_uint_eq(f->caught[ip + 20], 11);
		check_caught_to(f, NEIGHBOUR);
		f->forward = classifier_forward_get(f->classifier, &hop);
	}
	end(f);
}
END_TEST

/* To the next hop named, the destination unchanged; where there is no route, a counted drop. */
START_TEST(test_FIX_2_forward_to_another_next_hop)
{
	const struct netns_packet four = {"192.0.2.1", "203.0.113.10", IPPROTO_TCP, 1000, 80, .payload = 100};
	const struct netns_packet six = {"2001:db8::1", "2001:db8:113::10", IPPROTO_TCP, 1000, 80, .payload = 100};
	struct addr hop4 = netns_addr("10.9.0.3"), hop6 = netns_addr("fd09::3"), nowhere = netns_addr("10.77.0.1");
	struct fixture *f = begin();
	uint64_t counters[CLASSIFIER_COUNTERS];
	size_t ip;

	f->forward = classifier_forward_get(f->classifier, &hop4);
	inject_packet(f, &four);
	work(f, 1);
	ip = next_caught(f);
	ck_assert_uint_ne(ip, 0);
	check_caught_to(f, FORWARD);
	ck_assert_mem_eq(f->caught + ip + 16, ((const uint8_t[]){203, 0, 113, 10}), 4);
	ck_assert_uint_eq(f->caught[ip + 8], 63);
	ck_assert_uint_eq(checksum_fold(checksum_add(0, f->caught + ip, 20)), 0xffff);

	f->forward = classifier_forward_get(f->classifier, &hop6);
	inject_packet(f, &six);
	work(f, 2);
	ip = next_caught(f);
	ck_assert_uint_ne(ip, 0);
	check_caught_to(f, FORWARD);
	ck_assert_uint_eq(f->caught[ip + 7], 63);

	/* An IPv4 packet to an IPv6 neighbour is possible. */
	inject_packet(f, &four);
	work(f, 3);
	ck_assert_uint_ne(next_caught(f), 0);
	check_caught_to(f, FORWARD);

	f->forward = classifier_forward_get(f->classifier, &nowhere);
	inject_packet(f, &four);
	work(f, 4);
	ck_assert_uint_eq(next_caught(f), 0);
	classifier_counters(f->classifier, counters);
	ck_assert_uint_eq(counters[CLASSIFIER_FORWARDED], 3);
	ck_assert_uint_eq(counters[CLASSIFIER_DROPPED_NO_ROUTE], 1);
	end(f);
}
END_TEST

START_TEST(test_FIX_2_too_big_for_the_next_hop)
{
	const struct netns_packet d = {"192.0.2.1", "203.0.113.10", IPPROTO_UDP, 1000, 80, .payload = 1272};
	struct addr hop = netns_addr("10.9.0.3");
	struct fixture *f = begin();
	uint64_t counters[CLASSIFIER_COUNTERS];

	netns_run("ip link set w0 mtu 1300");
	f->forward = classifier_forward_get(f->classifier, &hop);
	inject_packet(f, &d); /* 1300 bytes: just fits */
	work(f, 1);
	ck_assert_uint_ne(next_caught(f), 0);
	netns_run("ip link set w0 mtu 1299");
	inject_packet(f, &d);
	work(f, 2);
	ck_assert_uint_eq(next_caught(f), 0);
	classifier_counters(f->classifier, counters);
	ck_assert_uint_eq(counters[CLASSIFIER_FORWARDED], 1);
	ck_assert_uint_eq(counters[CLASSIFIER_DROPPED_TOO_BIG], 1);
	end(f);
}
END_TEST

/* What is dropped behind the port comes back to be looked at, while somebody does: counted once, no packet for the
 * engine, and never sent on. */
START_TEST(test_ARCH_7_drops_on_the_way_to_a_next_hop_are_shown)
{
	const struct netns_packet d = {"192.0.2.1", "203.0.113.10", IPPROTO_TCP, 1000, 80, .payload = 100};
	struct addr nowhere = netns_addr("10.77.0.1");
	struct fixture *f = begin();
	uint64_t counters[CLASSIFIER_COUNTERS];
	struct port_counters c;

	f->forward = classifier_forward_get(f->classifier, &nowhere);
	classifier_show_drops(f->classifier, true);
	inject_packet(f, &d);
	work(f, 1);
	for (int i = 0; i < 20 && f->dropped == 0; i++)
		ck_assert_int_ge(sd_event_run(f->loop, 100000), 0);
	ck_assert_uint_eq(f->dropped, 1);
	ck_assert_uint_eq(f->why, CLASSIFIER_DROPPED_NO_ROUTE);
	ck_assert_uint_eq(f->dropped_len, 140);
	ck_assert_uint_eq(f->dropped_ifindex, port_kernel_ifindex(f->port));
	ck_assert_uint_eq(f->received, 1);
	ck_assert_uint_eq(next_caught(f), 0);
	classifier_counters(f->classifier, counters);
	ck_assert_uint_eq(counters[CLASSIFIER_DROPPED_NO_ROUTE], 1);
	port_read_counters(f->port, &c);
	ck_assert_uint_eq(c.received, 1);
	end(f);
}
END_TEST

/* What the kernel itself makes of a big TCP write between two veth devices. */
static void build_super(bool six, uint8_t *ip, size_t payload, struct virtio_net_hdr *v)
{
	const struct netns_packet four = {"192.0.2.1", "10.9.0.2", IPPROTO_TCP, 1000, 80, .ttl = 64};
	const struct netns_packet other = {"2001:db8::1", "fd09::2", IPPROTO_TCP, 1000, 80, .ttl = 64};
	size_t header = six ? 40 : 20, len = netns_build(six ? &other : &four, ip) + payload;
	uint16_t sum;

	for (size_t i = 0; i < payload; i++)
		ip[header + 20 + i] = (uint8_t)(i * 7 + i / 251);
	if (six) {
		ip[4] = (uint8_t)((len - 40) >> 8);
		ip[5] = (uint8_t)(len - 40);
	} else {
		ip[2] = (uint8_t)(len >> 8);
		ip[3] = (uint8_t)len;
		memset(ip + 10, 0, 2);
		sum = checksum_finish(checksum_add(0, ip, 20));
		memcpy(ip + 10, &sum, 2);
	}
	sum = checksum_fold(checksum_pseudo(ip + (six ? 8 : 12), ip + (six ? 24 : 16), six ? 16 : 4, IPPROTO_TCP,
					    (uint32_t)(20 + payload)));
	memcpy(ip + header + 16, &sum, 2);
	*v = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				     .gso_type = six ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
				     .hdr_len = (uint16_t)(ETH_HLEN + header + 20),
				     .gso_size = 1400,
				     .csum_start = (uint16_t)(ETH_HLEN + header),
				     .csum_offset = 16};
}

/* A 60 KB super-packet with a partial checksum, there and back in one piece. */
START_TEST(test_FA_10_super_packets)
{
	const size_t payload = 60000;
	struct fixture *f = begin();
	uint8_t *ip = malloc(ROOM);
	struct addr hop4 = netns_addr("10.9.0.3"), hop6 = netns_addr("fd09::3");

	for (unsigned i = 0; i < 4; i++) {
		bool six = i & 1, forward = i & 2;
		struct virtio_net_hdr v;
		size_t header = six ? 40 : 20, at;

		f->forward = forward ? classifier_forward_get(f->classifier, six ? &hop6 : &hop4) : 0;
		build_super(six, ip, payload, &v);
		inject(f, &v, ip, header + 20 + payload);
		work(f, i + 1);
		ck_assert_uint_eq(f->last.len, header + 20 + payload);
		ck_assert_uint_eq(f->last.offload.gso_size, 1400);
		ck_assert_uint_eq(f->last.offload.gso_type, six ? PACKET_GSO_TCP6 : PACKET_GSO_TCP4);
		ck_assert(f->last.offload.partial);
		ck_assert_uint_eq(f->last.offload.csum_start, header);
		ck_assert_uint_eq(f->last.offload.csum_offset, 16);
		at = next_caught(f);
		ck_assert_uint_ne(at, 0);
		check_caught_to(f, forward ? FORWARD : NEIGHBOUR);
		ck_assert_uint_eq(f->caught_len, header + 20 + payload);
		memcpy(&v, f->caught, sizeof(v));
		ck_assert_uint_eq(v.gso_size, 1400);
		ck_assert_uint_eq(v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		ck_assert_mem_eq(f->caught + at + header, ip + header, 20 + payload);
	}
	free(ip);
	end(f);
}
END_TEST

/* A partial checksum on a packet that is not super. */
START_TEST(test_FA_10_partial_checksum)
{
	struct fixture *f = begin();
	struct virtio_net_hdr v;
	uint8_t ip[2048];

	build_super(false, ip, 1000, &v);
	v.gso_type = VIRTIO_NET_HDR_GSO_NONE;
	v.gso_size = 0;
	inject(f, &v, ip, 1040);
	work(f, 1);
	ck_assert(f->last.offload.partial);
	ck_assert_uint_eq(f->last.offload.gso_size, 0);
	ck_assert_uint_ne(next_caught(f), 0);
	memcpy(&v, f->caught, sizeof(v));
	ck_assert_uint_eq(v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	ck_assert_uint_eq(v.csum_start, ETH_HLEN + 20);
	end(f);
}
END_TEST

/* Small ones are sent together, large ones at once: neither overtakes. */
START_TEST(test_FA_9_order_is_kept)
{
	const unsigned count = 300;
	struct fixture *f = begin();

	for (unsigned i = 0; i < count; i++) {
		struct netns_packet d = {"192.0.2.1",       "10.9.0.2", IPPROTO_UDP,
					 (uint16_t)(i + 1), 53,         .payload = i % 7 == 0 ? 1400 : 10};

		inject_packet(f, &d);
	}
	work(f, count);
	for (unsigned i = 0; i < count; i++) {
		size_t ip = next_caught(f);

		ck_assert_uint_eq(f->sports[i], i + 1);
		ck_assert_uint_ne(ip, 0);
		ck_assert_uint_eq((unsigned)(f->caught[ip + 20] << 8 | f->caught[ip + 21]), i + 1);
	}
	end(f);
}
END_TEST

/* More than the ring holds, with nobody reading: counted, and it goes on afterwards. */
START_TEST(test_FA_10_full_ring_is_counted)
{
	const struct netns_packet d = {"192.0.2.1", "10.9.0.2", IPPROTO_UDP, 1, 53, .payload = 10};
	struct fixture *f = begin();
	struct port_counters c;
	unsigned sent = 1200;

	f->send = false;
	for (unsigned i = 0; i < sent; i++)
		inject_packet(f, &d);
	port_read_counters(f->port, &c);
	ck_assert_uint_gt(c.ring_drops, 0);
	ck_assert_uint_lt(c.ring_drops, sent);
	work(f, sent - (unsigned)c.ring_drops);
	inject_packet(f, &d);
	work(f, sent - (unsigned)c.ring_drops + 1);
	end(f);
}
END_TEST

START_TEST(test_FA_7_malformed_is_reported)
{
	const struct netns_packet d = {"192.0.2.1", "10.9.0.2", IPPROTO_UDP, 1, 53, .payload = 10};
	struct fixture *f = begin();
	uint8_t ip[2048], foreign[60] = {0};
	size_t len = netns_build(&d, ip);

	ip[0] = 0x35;
	inject(f, NULL, ip, len);
	ip[0] = 0x44;
	inject(f, NULL, ip, len);
	ip[0] = 0x45;
	inject(f, NULL, ip, 15);
	ip[11] ^= 1;
	inject(f, NULL, ip, len); /* its header checksum is wrong */
	ip[11] ^= 1;
	work(f, 4);
	ck_assert_uint_eq(f->faults[PACKET_CHECKSUM], 1);
	ck_assert_uint_eq(f->faults[FAULT_VERSION], 1);
	ck_assert_uint_eq(f->faults[PACKET_HEADER], 1);
	ck_assert_uint_eq(f->faults[PACKET_SHORT], 1);
	/* Not by the classifier: not ours. */
	foreign[sizeof(struct virtio_net_hdr) + 12] = 0x08;
	ck_assert_int_eq(write(f->injector, foreign, sizeof(foreign)), sizeof(foreign));
	inject(f, NULL, ip, len);
	work(f, 5);
	ck_assert_uint_eq(f->received, 1);
	end(f);
}
END_TEST

START_TEST(test_FA_6_takes_the_pair_over)
{
	static const struct netns_packet d = {"192.0.2.1", "10.9.0.2", IPPROTO_UDP, 1, 53, .payload = 10};
	struct fixture *f = begin();
	uint32_t kernel = port_kernel_ifindex(f->port), agent = port_agent_ifindex(f->port);

	port_close(f->port, false); /* as if killed */
	netns_run("ip link set tnt0 down");
	netns_run("ip link set tnt1 address 02:00:00:00:00:77 mtu 1500");
	ck_assert_int_eq(port_open(&f->port, f->loop, "tnt", &handler, f), EXITCODE_OK);
	ck_assert_uint_eq(port_kernel_ifindex(f->port), kernel);
	ck_assert_uint_eq(port_agent_ifindex(f->port), agent);
	inject_packet(f, &d);
	work(f, 1);
	ck_assert_uint_ne(next_caught(f), 0);
	end(f);
}
END_TEST

START_TEST(test_FA_10_settings)
{
	struct fixture *f = begin();

	ck_assert_int_eq(netns_read_digit("/proc/sys/net/ipv4/conf/tnt0/forwarding"), 1);
	ck_assert_int_eq(netns_read_digit("/proc/sys/net/ipv4/conf/tnt0/rp_filter"), 0);
	ck_assert_int_eq(netns_read_digit("/proc/sys/net/ipv6/conf/tnt0/forwarding"), 1);
	ck_assert_int_eq(netns_read_digit("/proc/sys/net/ipv6/conf/tnt0/accept_ra"), 0);
	ck_assert_int_eq(netns_read_digit("/proc/sys/net/ipv6/conf/tnt1/disable_ipv6"), 1);
	end(f);
}
END_TEST

/* Without an address it would drop all.  A second start finds one there already. */
START_TEST(test_FA_10_loose_reverse_path_filter)
{
	static const struct netns_packet d = {"192.0.2.1", "10.9.0.2", IPPROTO_UDP, 1, 53, .payload = 10};
	struct fixture *f = begin();

	port_close(f->port, false);
	ck_assert_int_eq(port_open(&f->port, f->loop, "tnt", &handler, f), EXITCODE_OK);
	netns_run("sysctl -qw net.ipv4.conf.tnt0.rp_filter=2");
	netns_run("ip route replace 192.0.2.0/24 via 10.9.0.2");
	inject_packet(f, &d);
	work(f, 1);
	ck_assert_uint_ne(next_caught(f), 0);
	end(f);
}
END_TEST

/* Nothing crosses that a vnet header cannot describe; super-packets do. */
START_TEST(test_FA_10_offloads)
{
	static const char *const expected[] = {"tcp-segmentation-offload: on", "tx-udp-segmentation: on",
					       "tx-checksum-ip-generic: on",   "tx-checksum-sctp: off",
					       "tx-udp_tnl-segmentation: off", "tx-gre-segmentation: off",
					       "tx-ipxip4-segmentation: off",  "tx-gso-list: off"};
	struct fixture *f = begin();
	char text[8192];

	netns_output("ethtool -k tnt0", text, sizeof(text));
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		ck_assert_msg(strstr(text, expected[i]), "%s", expected[i]);
	end(f);
}
END_TEST

/* Taken down by somebody: up again.  Removed: the agent ends, so that its heartbeat does. */
START_TEST(test_FA_10_port_taken_away)
{
	const struct netns_packet d = {"192.0.2.1", "10.9.0.2", IPPROTO_UDP, 1, 53, .payload = 10};
	struct fixture *f = begin();
	int code = 0;

	netns_run("ip link set tnt1 down");
	for (int i = 0; i < 3; i++)
		ck_assert_int_ge(sd_event_run(f->loop, 100000), 0);
	inject_packet(f, &d);
	work(f, 1);
	ck_assert_uint_ne(next_caught(f), 0);
	netns_run("ip link del tnt0");
	ck_assert_int_eq(sd_event_loop(f->loop), EXITCODE_INTERFACE);
	ck_assert_int_ge(sd_event_get_exit_code(f->loop, &code), 0);
	ck_assert_int_eq(code, EXITCODE_INTERFACE);
	end(f);
}
END_TEST

static int open_port(void)
{
	sd_event *loop = NULL;
	struct port *port = NULL;
	int status = sd_event_new(&loop) < 0 ? 255 : port_open(&port, loop, "tnt", &handler, NULL);

	port_close(port, false);
	sd_event_unref(loop);
	return status;
}

START_TEST(cannot_open_says_why)
{
	sd_event *loop = NULL;
	struct port *port;

	netns_enter();
	ck_assert_int_eq(netns_unprivileged(open_port), EXITCODE_PRIVILEGE);
	netns_run("ip link add tnt0 type veth peer name other");
	ck_assert_int_eq(open_port(), EXITCODE_INTERFACE);
	netns_run("ip link del tnt0");
	netns_run("ip link add tnt1 type veth peer name other");
	ck_assert_int_eq(open_port(), EXITCODE_INTERFACE);
	netns_run("ip link del tnt1");
	ck_assert_int_ge(sd_event_new(&loop), 0);
	ck_assert_int_eq(port_open(&port, loop, "abcdefghijklmno", &handler, NULL), EXITCODE_CONFIG);
	ck_assert_ptr_null(port);
	sd_event_unref(loop);
	ck_assert_int_eq(open_port(), EXITCODE_OK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("port");
	TCase *tc = tcase_create("port");
	SRunner *sr;
	int failed;

	log_open("port_test", false);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_FA_7_routed_by_the_kernel);
	tcase_add_test(tc, test_FA_8_protected_packets_are_told_apart);
	tcase_add_test(tc, test_FA_7_time_exceeded);
	tcase_add_test(tc, test_FIX_2_forward_to_another_next_hop);
	tcase_add_test(tc, test_FIX_2_too_big_for_the_next_hop);
	tcase_add_test(tc, test_ARCH_7_drops_on_the_way_to_a_next_hop_are_shown);
	tcase_add_test(tc, test_FA_10_super_packets);
	tcase_add_test(tc, test_FA_10_partial_checksum);
	tcase_add_test(tc, test_FA_9_order_is_kept);
	tcase_add_test(tc, test_FA_10_full_ring_is_counted);
	tcase_add_test(tc, test_FA_7_malformed_is_reported);
	tcase_add_test(tc, test_FA_6_takes_the_pair_over);
	tcase_add_test(tc, test_FA_10_settings);
	tcase_add_test(tc, test_FA_10_loose_reverse_path_filter);
	tcase_add_test(tc, test_FA_10_offloads);
	tcase_add_test(tc, test_FA_10_port_taken_away);
	tcase_add_test(tc, cannot_open_says_why);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
