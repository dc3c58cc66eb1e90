/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The classifier in the kernel, by BPF_PROG_TEST_RUN: what it lets pass, what
 * it sends up, what it drops.  Needs root; each test has its own namespace.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <check.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fad/classifier_io.h"
#include "fad/netns_fixture.h"
#include "lib/exitcode.h"
#include "lib/log.h"

#define LO        1
#define PUNT_PORT 1 /* nothing is really redirected in a test run */
#define FRAME     2048
#define FILTER    0x746e /* handle and priority */

struct fixture {
	struct classifier *c;
	int classify; /* the program as attached to lo */
	bool guarded; /* what comes up now is protected */
};

static int program_at(uint32_t ifindex)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER, .priority = FILTER);
	int fd;

	ck_assert_int_eq(bpf_tc_query(&hook, &opts), 0);
	fd = bpf_prog_get_fd_by_id(opts.prog_id);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static struct fixture begin(bool drop_unmatched)
{
	static const struct classifier_limits limits = {.fixed = 100, .wildcards = 100};
	struct fixture f = {0};

	netns_enter();
	ck_assert_int_eq(classifier_open(&f.c, PUNT_PORT, &limits), EXITCODE_OK);
	classifier_heartbeat(f.c);
	ck_assert_int_eq(classifier_attach(f.c, "lo", LO, drop_unmatched), EXITCODE_OK);
	f.classify = program_at(LO);
	return f;
}

static void end(struct fixture *f)
{
	close(f->classify);
	classifier_close(f->c, true);
}

static uint32_t run_frame(int program, uint8_t frame[FRAME], size_t len)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)len, .data_out = frame,
		    .data_size_out = FRAME, .repeat = 1);

	ck_assert_int_eq(bpf_prog_test_run_opts(program, &opts), 0);
	return opts.retval;
}

/* Which of the counters went up by one packet, other than the one of all packets seen. */
static int run(struct fixture *f, const struct netns_packet *d)
{
	static const uint8_t nobody[6] = {CLASSIFIER_MAC_NOBODY};
	const uint8_t punted[6] = {0x02, f->guarded ? CLASSIFIER_MAC_GUARDED : CLASSIFIER_MAC_PUNT, 0, 0, 0, LO};
	uint64_t before[CLASSIFIER_COUNTERS], after[CLASSIFIER_COUNTERS];
	uint8_t frame[FRAME] = {0};
	size_t len = netns_build(d, frame + ETH_HLEN);
	uint32_t verdict;
	int which = -1;

	frame[12] = frame[ETH_HLEN] >> 4 == 6 ? 0x86 : 0x08;
	frame[13] = frame[ETH_HLEN] >> 4 == 6 ? 0xdd : 0x00;
	classifier_counters(f->c, before);
	verdict = run_frame(f->classify, frame, ETH_HLEN + len);
	classifier_counters(f->c, after);
	ck_assert_uint_eq(after[CLASSIFIER_SEEN], before[CLASSIFIER_SEEN] + 1);
	for (int i = CLASSIFIER_SEEN + 1; i < CLASSIFIER_COUNTERS; i++) {
		if (after[i] == before[i])
			continue;
		ck_assert_uint_eq(after[i], before[i] + 1);
		ck_assert_int_eq(which, -1);
		which = i;
	}
	if (which == CLASSIFIER_PUNTED_FIXED || which == CLASSIFIER_PUNTED_WILDCARD) {
		ck_assert_uint_eq(verdict, TC_ACT_REDIRECT);
		ck_assert_mem_eq(frame, nobody, 6);
		ck_assert_mem_eq(frame + 6, punted, 6);
	} else {
		bool dropped = which == CLASSIFIER_DROPPED_ADVERTISED || which == CLASSIFIER_DROPPED_UNMATCHED ||
			       which == CLASSIFIER_DROPPED_SHED || which == CLASSIFIER_DROPPED_GONE;

		ck_assert_int_eq((int)verdict, dropped ? TC_ACT_SHOT : TC_ACT_UNSPEC);
	}
	return which;
}

#define EXPECT(f, which, ...)                                                                                          \
	do {                                                                                                           \
		const struct netns_packet packet_ = {__VA_ARGS__, .ttl = 64};                                          \
		ck_assert_int_eq(run(&(f), &packet_), (which));                                                        \
	} while (0)

static void add_shape(struct fixture *f, uint16_t number, struct classifier_shape shape, const struct classifier_key *k)
{
	struct classifier_key key = *k;

	key.family = shape.family;
	key.shape = number;
	ck_assert(classifier_shape(f->c, number, &shape));
	ck_assert(classifier_wildcard_add(f->c, &key));
}

static void cover_everything(struct fixture *f, uint16_t flags)
{
	const struct classifier_key any = {0};

	add_shape(f, 0, (struct classifier_shape){.family = 4, .flags = flags}, &any);
	add_shape(f, 1, (struct classifier_shape){.family = 6, .flags = flags}, &any);
}

/* The agent's own idea of what is never matched is the kernel's; it has one of what carries plans only. */
static bool agrees(const struct fixture *f, const struct netns_packet *d, bool guarded)
{
	struct flow_key k = {.sport = d->sport, .dport = d->dport, .proto = d->proto};
	struct addr src = netns_addr(d->src), dst = netns_addr(d->dst);

	k.family = src.family;
	memcpy(k.src, src.b, sizeof(k.src));
	memcpy(k.dst, dst.b, sizeof(k.dst));
	return (k.proto != IPPROTO_TCP && k.proto != IPPROTO_UDP) || classifier_guards(f->c, &k) == guarded;
}

START_TEST(test_FA_8_protected_is_never_punted)
{
	static const struct netns_packet packets[] = {
		{"192.0.2.1", "10.0.0.1", IPPROTO_TCP, 40000, 179, .ttl = 64}, /* BGP to an own address */
		{"192.0.2.1", "10.0.0.255", IPPROTO_UDP, 40000, 9, .ttl = 64}, /* subnet broadcast */
		{"192.0.2.1", "255.255.255.255", IPPROTO_UDP, 68, 67, .ttl = 64},
		{"192.0.2.1", "224.0.0.5", 89, .ttl = 1}, /* OSPF */
		{"192.0.2.1", "239.255.75.10", IPPROTO_UDP, 7510, 7511, .ttl = 8},
		{"192.0.2.1", "169.254.1.2", IPPROTO_TCP, 1, 2, .ttl = 64},
		{"192.0.2.1", "203.0.113.10", IPPROTO_IGMP, .ttl = 1},
		{"192.0.2.1", "198.51.100.7", IPPROTO_UDP, 40000, 7510, .ttl = 64}, /* to a manager */
		{"198.51.100.7", "192.0.2.1", IPPROTO_UDP, 7510, 40000, .ttl = 64}, /* and from it */
		{"2001:db8::1", "fd00::1", IPPROTO_TCP, 40000, 22, .ttl = 64},
		{"2001:db8::1", "ff02::1:ff00:1", IPPROTO_ICMPV6, .icmp_type = 135},
		{"2001:db8::1", "ff15::7510", IPPROTO_UDP, 1, 7511, .ttl = 64},
		{"fe80::2", "fe80::1", IPPROTO_TCP, 1, 179, .ttl = 64},
		{"2001:db8::1", "2001:db8::2", IPPROTO_ICMPV6, .icmp_type = 130},
		{"2001:db8::1", "2001:db8::2", IPPROTO_ICMPV6, .icmp_type = 132},
		{"2001:db8::1", "2001:db8::2", IPPROTO_ICMPV6, .icmp_type = 133},
		{"2001:db8::1", "2001:db8::2", IPPROTO_ICMPV6, .icmp_type = 136},
		{"2001:db8::1", "2001:db8::2", IPPROTO_ICMPV6, .icmp_type = 137},
		{"2001:db8::1", "2001:db8::2", IPPROTO_ICMPV6, .icmp_type = 143, .extensions = 1},
		{"2001:db8::1", "2001:db8::7", IPPROTO_UDP, 40000, 7510, .ttl = 64},
	};
	struct fixture f = begin(true); /* nor dropped as unmatched */
	struct addr own[] = {netns_addr("10.0.0.1"), netns_addr("10.0.0.255"), netns_addr("fd00::1")};
	struct addr peers[] = {netns_addr("198.51.100.7"), netns_addr("2001:db8::7")};

	for (size_t i = 0; i < 3; i++)
		ck_assert(classifier_own_add(f.c, &own[i]));
	for (size_t i = 0; i < 2; i++)
		ck_assert(classifier_peer_add(f.c, &peers[i], 7510));
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
			ck_assert_msg(run(&f, &packets[i]) == CLASSIFIER_PROTECTED && agrees(&f, &packets[i], true),
				      "packet %zu, round %d", i, round);
		cover_everything(&f, 0);
	}
	end(&f);
}
END_TEST

/* Martians are left to the kernel, which drops them. */
START_TEST(test_FA_7_martians_are_not_taken)
{
	static const struct netns_packet packets[] = {
		{"127.0.0.1", "203.0.113.10", IPPROTO_TCP, 1, 80, .ttl = 64},
		{"0.0.0.0", "203.0.113.10", IPPROTO_TCP, 1, 80, .ttl = 64},
		{"224.0.0.1", "203.0.113.10", IPPROTO_TCP, 1, 80, .ttl = 64},
		{"192.0.2.1", "127.0.0.1", IPPROTO_TCP, 1, 80, .ttl = 64},
		{"192.0.2.1", "0.0.0.0", IPPROTO_TCP, 1, 80, .ttl = 64},
		{"::1", "2001:db8:113::10", IPPROTO_TCP, 1, 80, .ttl = 64},
		{"::", "2001:db8:113::10", IPPROTO_TCP, 1, 80, .ttl = 64},
		{"ff02::1", "2001:db8:113::10", IPPROTO_TCP, 1, 80, .ttl = 64},
		{"fe80::1", "2001:db8:113::10", IPPROTO_TCP, 1, 80, .ttl = 64},
		{"2001:db8::1", "::1", IPPROTO_TCP, 1, 80, .ttl = 64},
	};
	struct fixture f = begin(false);

	cover_everything(&f, 0);
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
		ck_assert_msg(run(&f, &packets[i]) == CLASSIFIER_PROTECTED && agrees(&f, &packets[i], true),
			      "packet %zu", i);
	end(&f);
}
END_TEST

/* From one of the router's own addresses: the kernel would not take it from outside. */
START_TEST(test_FA_7_forged_own_sources_are_not_taken)
{
	static const struct netns_packet packets[] = {
		{"192.0.2.1", "203.0.113.10", IPPROTO_TCP, 1, 80, .ttl = 64},
		{"2001:db8::1", "2001:db8:113::10", IPPROTO_UDP, 1, 80, .ttl = 64},
	};
	struct fixture f = begin(true);

	cover_everything(&f, CLASSIFIER_SHAPE_PROTECTED);
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		struct addr own = netns_addr(packets[i].src);

		ck_assert_int_eq(run(&f, &packets[i]), CLASSIFIER_PUNTED_WILDCARD);
		ck_assert(agrees(&f, &packets[i], false));
		ck_assert(classifier_own_add(f.c, &own));
		ck_assert_int_eq(run(&f, &packets[i]), CLASSIFIER_PROTECTED);
		ck_assert(agrees(&f, &packets[i], true));
	}
	end(&f);
}
END_TEST

/* What is close to a protected class but not in it must come up. */
START_TEST(test_FA_8_no_more_than_that)
{
	static const struct netns_packet packets[] = {
		{"192.0.2.1", "10.0.0.2", IPPROTO_TCP, 40000, 179, .ttl = 64},
		{"10.0.0.3", "192.0.2.1", IPPROTO_TCP, 40000, 179, .ttl = 64},
		{"192.0.2.1", "223.255.255.255", IPPROTO_UDP, 1, 2, .ttl = 64},
		{"192.0.2.1", "169.253.1.1", IPPROTO_UDP, 1, 2, .ttl = 64},
		{"192.0.2.1", "198.51.100.7", IPPROTO_UDP, 7510, 7511, .ttl = 64},
		{"192.0.2.1", "198.51.100.7", IPPROTO_TCP, 40000, 7510, .ttl = 64},
		{"192.0.2.1", "198.51.100.8", IPPROTO_UDP, 7510, 7510, .ttl = 64},
		{"2001:db8::1", "fec0::1", IPPROTO_TCP, 1, 2, .ttl = 64},
		{"2001:db8::1", "64:ff9b::c000:201", IPPROTO_TCP, 1, 2, .ttl = 64}, /* NAT64 */
		{"::2", "2001:db8::1", IPPROTO_TCP, 1, 2, .ttl = 64},
		{"2001:db8::1", "2001:db8::2", IPPROTO_ICMPV6, .icmp_type = 128},
		{"2001:db8::1", "2001:db8::2", IPPROTO_ICMPV6, .icmp_type = 2},
	};
	struct fixture f = begin(false);
	struct addr own = netns_addr("10.0.0.1"), peer = netns_addr("198.51.100.7");

	cover_everything(&f, 0);
	ck_assert(classifier_own_add(f.c, &own));
	ck_assert(classifier_peer_add(f.c, &peer, 7510));
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
		ck_assert_msg(run(&f, &packets[i]) == CLASSIFIER_PUNTED_WILDCARD && agrees(&f, &packets[i], false),
			      "packet %zu", i);
	ck_assert(classifier_own_del(f.c, &own));
	ck_assert(classifier_peer_del(f.c, &peer, 7510));
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "10.0.0.1", IPPROTO_TCP, 1, 2);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "198.51.100.7", IPPROTO_UDP, 1, 7510);
	end(&f);
}
END_TEST

/* A message larger than the MTU: later fragments have no ports. */
START_TEST(test_FA_8_fragmented_service_messages)
{
	struct fixture f = begin(false);
	struct addr peer = netns_addr("198.51.100.7"), peer6 = netns_addr("2001:db8::7");

	cover_everything(&f, 0);
	ck_assert(classifier_peer_add(f.c, &peer, 7510));
	ck_assert(classifier_peer_add(f.c, &peer, 7520));
	ck_assert(classifier_peer_add(f.c, &peer6, 7510));
	EXPECT(f, CLASSIFIER_PROTECTED, "192.0.2.1", "198.51.100.7", IPPROTO_UDP, .fragmented = true, .fragment = 100,
	       .payload = 64);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "198.51.100.8", IPPROTO_UDP, .fragmented = true,
	       .fragment = 100, .payload = 64);
	EXPECT(f, CLASSIFIER_PROTECTED, "2001:db8::1", "2001:db8::7", IPPROTO_UDP, .fragmented = true,
	       .fragment = 0x5a8, .payload = 64);
	ck_assert(classifier_peer_del(f.c, &peer, 7510));
	EXPECT(f, CLASSIFIER_PROTECTED, "192.0.2.1", "198.51.100.7", IPPROTO_UDP, .fragmented = true, .fragment = 100,
	       .payload = 64);
	ck_assert(classifier_peer_del(f.c, &peer, 7520));
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "198.51.100.7", IPPROTO_UDP, .fragmented = true,
	       .fragment = 100, .payload = 64);
	end(&f);
}
END_TEST

/* A configured peer and a manager that speaks from there, or two managers: protected until the last has gone. */
START_TEST(test_FA_8_endpoint_of_two)
{
	struct fixture f = begin(false);
	struct addr peer = netns_addr("198.51.100.7");

	cover_everything(&f, 0);
	ck_assert(classifier_peer_add(f.c, &peer, 7510));
	ck_assert(classifier_peer_add(f.c, &peer, 7510));
	ck_assert(classifier_peer_del(f.c, &peer, 7510));
	EXPECT(f, CLASSIFIER_PROTECTED, "192.0.2.1", "198.51.100.7", IPPROTO_UDP, 1, 7510);
	EXPECT(f, CLASSIFIER_PROTECTED, "192.0.2.1", "198.51.100.7", IPPROTO_UDP, .fragmented = true, .fragment = 100,
	       .payload = 64);
	ck_assert(classifier_peer_del(f.c, &peer, 7510));
	ck_assert(!classifier_is_peer(f.c, &peer, 7510) && !classifier_is_peer(f.c, &peer, 0));
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "198.51.100.7", IPPROTO_UDP, 1, 7510);
	ck_assert(classifier_peer_del(f.c, &peer, 7510)); /* of none that is known */
	end(&f);
}
END_TEST

/* The operator's permission and the flag, both. */
START_TEST(test_FA_8_opting_in)
{
	struct fixture f = begin(false);
	struct addr own = netns_addr("10.0.0.1");

	ck_assert(classifier_own_add(f.c, &own));
	cover_everything(&f, 0);
	classifier_permit_protected(f.c, true);
	EXPECT(f, CLASSIFIER_PROTECTED, "192.0.2.1", "10.0.0.1", IPPROTO_TCP, 1, 22);
	cover_everything(&f, CLASSIFIER_SHAPE_PROTECTED);
	f.guarded = true; /* and the agent is told so */
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "10.0.0.1", IPPROTO_TCP, 1, 22);
	f.guarded = false;
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "10.0.0.2", IPPROTO_TCP, 1, 22);
	EXPECT(f, CLASSIFIER_PROTECTED, "192.0.2.1", "224.0.0.5", 89); /* cannot be delivered from the port */
	classifier_permit_protected(f.c, false);
	EXPECT(f, CLASSIFIER_PROTECTED, "192.0.2.1", "10.0.0.1", IPPROTO_TCP, 1, 22);
	end(&f);
}
END_TEST

/* Frames that are somebody else's, seen in promiscuous mode, and what is not IP. */
START_TEST(test_ARCH_1_foreign_frames_pass)
{
	const struct netns_packet d = {"192.0.2.1", "203.0.113.10", IPPROTO_TCP, 1, 80, .ttl = 64};
	struct fixture f = begin(true);
	uint8_t frame[FRAME] = {0x02, 1, 2, 3, 4, 5};
	size_t len = netns_build(&d, frame + ETH_HLEN);

	cover_everything(&f, 0);
	frame[12] = 0x08;
	ck_assert_int_eq((int)run_frame(f.classify, frame, ETH_HLEN + len), TC_ACT_UNSPEC);
	memset(frame, 0, sizeof(frame));
	frame[12] = 0x08;
	frame[13] = 0x06; /* ARP */
	ck_assert_int_eq((int)run_frame(f.classify, frame, 60), TC_ACT_UNSPEC);
	end(&f);
}
END_TEST

static struct flow_key key_of(const char *src, const char *dst, uint8_t proto, uint16_t sport, uint16_t dport)
{
	struct addr s = netns_addr(src), d = netns_addr(dst);
	struct flow_key k = {.family = s.family, .proto = proto, .sport = sport, .dport = dport};

	memcpy(k.src, s.b, 16);
	memcpy(k.dst, d.b, 16);
	return k;
}

START_TEST(test_KEY_1_fixed_key)
{
	struct fixture f = begin(false);
	struct flow_key k = key_of("192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	struct classifier_interface counters;

	ck_assert(classifier_fixed_add(f.c, &k));
	ck_assert(classifier_fixed_add(f.c, &k));
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80, .options = 10);
	EXPECT(f, CLASSIFIER_PASSED, "203.0.113.10", "192.0.2.1", IPPROTO_TCP, 80, 40000); /* one direction only */
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40001, 80);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, 40000, 80);
	classifier_interface_counters(f.c, LO, &counters);
	ck_assert_uint_eq(counters.punted, 2);
	ck_assert_uint_eq(counters.passed, 3);
	ck_assert(classifier_fixed_del(f.c, &k));
	ck_assert(classifier_fixed_del(f.c, &k));
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	end(&f);
}
END_TEST

START_TEST(test_KEY_2_other_protocols_have_ports_zero)
{
	struct fixture f = begin(false);
	struct flow_key k = key_of("192.0.2.1", "203.0.113.10", IPPROTO_ICMP, 0, 0);

	ck_assert(classifier_fixed_add(f.c, &k));
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, "192.0.2.1", "203.0.113.10", IPPROTO_ICMP, .icmp_type = 8);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.10", 132);
	end(&f);
}
END_TEST

START_TEST(test_KEY_3_ipv6_fixed_key)
{
	struct fixture f = begin(false);
	struct flow_key k = key_of("2001:db8::1", "2001:db8:113::10", IPPROTO_UDP, 40000, 53);

	ck_assert(classifier_fixed_add(f.c, &k));
	for (uint8_t i = 0; i <= 8; i++)
		EXPECT(f, CLASSIFIER_PUNTED_FIXED, "2001:db8::1", "2001:db8:113::10", IPPROTO_UDP, 40000, 53,
		       .extensions = i);
	/* One more than is looked behind: its ports are not known. */
	EXPECT(f, CLASSIFIER_PASSED, "2001:db8::1", "2001:db8:113::10", IPPROTO_UDP, 40000, 53, .extensions = 9);
	/* An atomic fragment is a whole packet. */
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, "2001:db8::1", "2001:db8:113::10", IPPROTO_UDP, 40000, 53,
	       .fragmented = true, .fragment = 0);
	end(&f);
}
END_TEST

START_TEST(test_ACT_10_fragments_match_on_addresses)
{
	struct fixture f = begin(false);
	struct flow_key whole = key_of("192.0.2.1", "203.0.113.10", IPPROTO_UDP, 40000, 53);
	struct flow_key tail = key_of("192.0.2.1", "203.0.113.10", IPPROTO_UDP, 0, 0);

	ck_assert(classifier_fixed_add(f.c, &whole));
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, 40000, 53, .fragmented = true,
	       .fragment = 0x2000, .payload = 64);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, .fragmented = true, .fragment = 0x20b9,
	       .payload = 64);
	ck_assert(classifier_fixed_add(f.c, &tail));
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, .fragmented = true,
	       .fragment = 0x20b9, .payload = 64);
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, .fragmented = true,
	       .fragment = 0xb9, .payload = 64);
	end(&f);
}
END_TEST

/* An error about a flow comes up with it: by a fixed key or a wildcard of the flow, to a VIP or anybody. */
static void errors_come_up(const char *vip, const char *client, const char *router, uint8_t icmp, uint8_t type)
{
	const struct netns_packet tcp = {vip, client, IPPROTO_TCP, 80, 40000, .payload = 500};
	const struct netns_packet options = {vip, client, IPPROTO_TCP, 80, 40000, .options = 10, .extensions = 3};
	const struct netns_packet other = {vip, client, IPPROTO_TCP, 80, 40001, .ttl = 9};
	const struct netns_packet udp = {vip, client, IPPROTO_UDP, 53, 40000, .ttl = 9};
	const struct netns_packet tail = {vip, client, IPPROTO_TCP, .fragmented = true, .fragment = 0xb9, .payload = 8};
	const uint8_t header = strchr(vip, ':') ? 40 : 20;
	struct flow_key k = key_of(client, vip, IPPROTO_TCP, 40000, 80);
	struct classifier_shape shape = {.family = k.family, .proto_mask = 0xff, .dport_mask = 0xffff};
	struct classifier_key key = {.proto = IPPROTO_UDP, .dport = 53};
	struct fixture f = begin(false);
	struct addr to = netns_addr(vip);

	memset(shape.dst_mask, 0xff, addr_len(k.family));
	memcpy(key.dst, to.b, 16);
	ck_assert(classifier_fixed_add(f.c, &k));
	add_shape(&f, 3, shape, &key);
	ck_assert(classifier_advertised_add(f.c, &to, (uint8_t)(8 * addr_len(k.family))));
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, router, vip, icmp, .icmp_type = type, .about = &tcp);
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, router, vip, icmp, .icmp_type = type, .about = &options);
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, router, vip, icmp, .icmp_type = type, .about = &tcp, .options = 5,
	       .extensions = 2);
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, router, vip, icmp, .icmp_type = type, .about = &tcp,
	       .about_len = header + 4);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, router, vip, icmp, .icmp_type = type, .about = &udp);
	/* Nothing is known of those; the address is advertised. */
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, router, vip, icmp, .icmp_type = type, .about = &other);
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, router, vip, icmp, .icmp_type = type, .about = &tail);
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, router, vip, icmp, .icmp_type = type, .about = &tcp,
	       .about_len = header + 3);
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, router, vip, icmp, .icmp_type = type, .about = &tcp, .about_len = 7);
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, router, vip, icmp, .icmp_type = type, .about = &tcp,
	       .fragmented = true, .fragment = strchr(vip, ':') ? 1 : 0x2000);
	/* What is no error, and one that is to somebody else than its packet's source. */
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, router, vip, icmp, .icmp_type = strchr(vip, ':') ? 128 : 5,
	       .about = &tcp);
	EXPECT(f, CLASSIFIER_PASSED, router, client, icmp, .icmp_type = type, .about = &tcp);
	/* To the router itself: the kernel's. */
	ck_assert(classifier_own_add(f.c, &to));
	EXPECT(f, CLASSIFIER_PROTECTED, router, vip, icmp, .icmp_type = type, .about = &tcp);
	EXPECT(f, CLASSIFIER_PROTECTED, router, vip, icmp, .icmp_type = type, .about = &udp);
	end(&f);
}

START_TEST(test_KEY_4_errors_come_up_with_their_flow)
{
	static const uint8_t types4[] = {3, 11, 12}, types6[] = {1, 2, 3, 4};

	for (size_t i = 0; i < sizeof(types4); i++)
		errors_come_up("203.0.113.10", "198.51.100.7", "192.0.2.77", IPPROTO_ICMP, types4[i]);
	for (size_t i = 0; i < sizeof(types6); i++)
		errors_come_up("2001:db8:113::10", "2001:db8:7::1", "2001:db8:77::1", IPPROTO_ICMPV6, types6[i]);
}
END_TEST

/* About service messages, multicast and neighbour discovery: not even a wildcard of everything. */
START_TEST(test_KEY_4_FA_8_errors_about_what_is_never_matched)
{
	const struct netns_packet message = {"192.0.2.1", "198.51.100.7", IPPROTO_UDP, 40000, 7510, .ttl = 9};
	const struct netns_packet group = {"192.0.2.1", "239.255.75.10", IPPROTO_UDP, 7510, 7511, .ttl = 9};
	const struct netns_packet group6 = {"2001:db8::1", "ff15::7510", IPPROTO_UDP, 7510, 7511, .ttl = 9};
	const struct netns_packet plain = {"192.0.2.1", "198.51.100.8", IPPROTO_UDP, 40000, 7510, .ttl = 9};
	struct classifier_shape udp = {.family = 4, .proto_mask = 0xff}, udp6 = {.family = 6, .proto_mask = 0xff};
	const struct classifier_key any = {.proto = IPPROTO_UDP};
	struct fixture f = begin(false);
	struct addr peer = netns_addr("198.51.100.7");

	add_shape(&f, 0, udp, &any);
	add_shape(&f, 1, udp6, &any);
	ck_assert(classifier_peer_add(f.c, &peer, 7510));
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.77", "192.0.2.1", IPPROTO_ICMP, .icmp_type = 3, .about = &plain);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.77", "192.0.2.1", IPPROTO_ICMP, .icmp_type = 3, .about = &message);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.77", "192.0.2.1", IPPROTO_ICMP, .icmp_type = 3, .about = &group);
	EXPECT(f, CLASSIFIER_PASSED, "2001:db8:77::1", "2001:db8::1", IPPROTO_ICMPV6, .icmp_type = 1, .about = &group6);
	end(&f);
}
END_TEST

/* All parts of a datagram that a wildcard may cover come up, whichever ports its first one shows. */
START_TEST(test_ACT_10_FA_10_fragments_under_port_wildcards)
{
	struct fixture f = begin(false);
	struct classifier_shape to_port = {
		.family = 4, .proto_mask = 0xff, .dport_mask = 0xffff, .dst_mask = {255, 255, 255, 255}};
	struct classifier_shape parts = to_port, parts6 = {.family = 6,
							   .proto_mask = 0xff,
							   .flags = CLASSIFIER_SHAPE_FRAGMENTS,
							   .dst_mask = {0xff, 0xff, 0xff, 0xff}};
	const struct classifier_key key = {.proto = IPPROTO_UDP, .dport = 53, .dst = {203, 0, 113, 10}};
	const struct classifier_key key_parts = {.proto = IPPROTO_UDP, .dst = {203, 0, 113, 10}};
	const struct classifier_key key6 = {.proto = IPPROTO_TCP, .dst = {0x20, 0x01, 0x0d, 0xb8}};
	struct addr vip = netns_addr("203.0.113.10");

	parts.dport_mask = 0;
	parts.flags = CLASSIFIER_SHAPE_FRAGMENTS;
	add_shape(&f, 0, to_port, &key);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, .fragmented = true, .fragment = 0xb9,
	       .payload = 64);
	add_shape(&f, CLASSIFIER_MAX_SHAPES, parts, &key_parts);
	add_shape(&f, CLASSIFIER_ALL_SHAPES - 1, parts6, &key6);
	ck_assert(classifier_advertised_add(f.c, &vip, 32));
	/* Later ones, in the middle or last; first ones, of this port or another. */
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, .fragmented = true,
	       .fragment = 0x20b9, .payload = 64);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, .fragmented = true,
	       .fragment = 0xb9, .payload = 64);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, 1, 53, .fragmented = true,
	       .fragment = 0x2000, .payload = 64);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, 1, 54, .fragmented = true,
	       .fragment = 0x2000, .payload = 64);
	/* Not what is whole, of another protocol, or elsewhere. */
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, 1, 54);
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, 1, 54, .fragmented = true,
	       .fragment = 0x4000);
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, .fragmented = true,
	       .fragment = 0xb9, .payload = 64);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.11", IPPROTO_UDP, .fragmented = true, .fragment = 0xb9,
	       .payload = 64);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "fd00::1", "2001:db8::1", IPPROTO_TCP, .fragmented = true,
	       .fragment = 0x5a8, .payload = 64);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "fd00::1", "2001:db8::1", IPPROTO_TCP, 1, 2, .fragmented = true,
	       .fragment = 1, .payload = 64);
	EXPECT(f, CLASSIFIER_PASSED, "fd00::1", "2001:db8::1", IPPROTO_TCP, 1, 2, .fragmented = true, .fragment = 0);
	EXPECT(f, CLASSIFIER_PASSED, "fd00::1", "2001:db8::1", IPPROTO_UDP, .fragmented = true, .fragment = 0x5a8,
	       .payload = 64);
	/* Behind more extension headers it may be either. */
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "fd00::1", "2001:db8::1", IPPROTO_DSTOPTS, .fragmented = true,
	       .fragment = 0x5a8, .payload = 64);
	/* Each kind of shape has its own numbers. */
	ck_assert(!classifier_shape(f.c, 1, &parts));
	ck_assert(!classifier_shape(f.c, CLASSIFIER_MAX_SHAPES + 1, &to_port));
	ck_assert(classifier_shape(f.c, CLASSIFIER_MAX_SHAPES, NULL));
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, .fragmented = true,
	       .fragment = 0xb9, .payload = 64);
	end(&f);
}
END_TEST

/* What hides its ports behind more extension headers than anybody looks behind comes up wherever a filter may be meant;
 * the agent drops it as malformed. */
START_TEST(test_SVC_5_KEY_3_long_chains_of_extensions_get_round_no_filter)
{
	const struct classifier_shape shapes[] = {
		/* As the engine makes them: for a port, with the one for its fragments, and for any port. */
		{.family = 6, .proto_mask = 0xff, .dport_mask = 0xffff, .dst_mask = {0xff, 0xff, 0xff, 0xff}},
		{.family = 6,
		 .proto_mask = 0xff,
		 .flags = CLASSIFIER_SHAPE_FRAGMENTS,
		 .dst_mask = {0xff, 0xff, 0xff, 0xff}},
		{.family = 6, .proto_mask = 0xff, .src_mask = {0xff, 0xff, 0xff, 0xff}},
	};
	const struct classifier_key http = {.proto = IPPROTO_TCP, .dport = 80, .dst = {0x20, 0x01, 0x0d, 0xb8}};
	const struct classifier_key parts = {.proto = IPPROTO_TCP, .dst = {0x20, 0x01, 0x0d, 0xb8}};
	const struct classifier_key any_port = {.proto = IPPROTO_TCP, .src = {0x20, 0x01, 0x0d, 0xb8}};
	struct fixture f = begin(false);

	add_shape(&f, 0, shapes[0], &http);
	EXPECT(f, CLASSIFIER_PASSED, "fd00::1", "2001:db8::1", IPPROTO_TCP, 1, 80, .extensions = 9);
	add_shape(&f, CLASSIFIER_MAX_SHAPES, shapes[1], &parts);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "fd00::1", "2001:db8::1", IPPROTO_TCP, 1, 80, .extensions = 8);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "fd00::1", "2001:db8::1", IPPROTO_TCP, 1, 80, .extensions = 9);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "fd00::1", "2001:db8::1", IPPROTO_TCP, 1, 80, .extensions = 12);
	/* Where nothing is meant they pass. */
	EXPECT(f, CLASSIFIER_PASSED, "fd00::1", "2001:db9::1", IPPROTO_TCP, 1, 80, .extensions = 9);
	EXPECT(f, CLASSIFIER_PASSED, "2001:db8::1", "2001:db9::1", IPPROTO_TCP, 1, 80, .extensions = 9);
	add_shape(&f, 1, shapes[2], &any_port);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "2001:db8::1", "2001:db9::1", IPPROTO_TCP, 1, 80, .extensions = 9);
	end(&f);
}
END_TEST

START_TEST(test_WILD_2_masks)
{
	struct fixture f = begin(false);
	/* Any odd client to 203.0.113.0/24 port 80 by TCP. */
	struct classifier_shape odd = {.family = 4,
				       .proto_mask = 0xff,
				       .dport_mask = 0xffff,
				       .src_mask = {0, 0, 0, 1},
				       .dst_mask = {255, 255, 255, 0}};
	struct classifier_key key = {.proto = IPPROTO_TCP, .dport = 80, .src = {0, 0, 0, 1}, .dst = {203, 0, 113}};
	/* Any packet from port 53 in IPv6 out of a /32. */
	struct classifier_shape six = {
		.family = 6, .proto_mask = 0xff, .sport_mask = 0xffff, .src_mask = {255, 255, 255, 255}};
	struct classifier_key key6 = {.proto = IPPROTO_UDP, .sport = 53, .src = {0x20, 0x01, 0x0d, 0xb8}};

	add_shape(&f, 5, odd, &key);
	add_shape(&f, 63, six, &key6);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "10.1.2.255", "203.0.113.200", IPPROTO_TCP, 1, 80);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.2", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.114.10", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 81);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.10", IPPROTO_UDP, 40000, 80);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "2001:db8:ffff::1", "fd00::2", IPPROTO_UDP, 53, 1234);
	EXPECT(f, CLASSIFIER_PASSED, "2001:db9::1", "fd00::2", IPPROTO_UDP, 53, 1234);
	EXPECT(f, CLASSIFIER_PASSED, "2001:db8::1", "fd00::2", IPPROTO_UDP, 1234, 53);
	key.family = 4;
	key.shape = 5;
	ck_assert(classifier_wildcard_del(f.c, &key));
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	end(&f);
}
END_TEST

/* ---- the filter before all: what it hides must match nothing ---- */

static const char *const places[2][5] = {
	{"192.0.2.1", "192.0.3.1", "198.51.100.1", "203.0.113.10", "203.0.113.11"},
	{"2001:db8:1::1", "2001:db8:2::1", "2001:db8:2::2", "2001:db8:113::10", "fd00::1"},
};
static const uint8_t lengths[2][4] = {{0, 16, 24, 32}, {0, 32, 48, 128}};

/* One thing that may be stored: a shape of its own and the key under it, or a prefix. */
struct stored {
	bool there, prefix;
	struct classifier_shape shape;
	struct classifier_key key;
	struct addr addr;
	uint8_t plen;
};

static void make_up(struct stored *s, uint16_t number, unsigned *seed)
{
	int six = rand_r(seed) % 2;
	struct addr dst = netns_addr(places[six][rand_r(seed) % 5]), src = netns_addr(places[six][rand_r(seed) % 5]);
	uint8_t dst_len = lengths[six][rand_r(seed) % 4], src_len = lengths[six][rand_r(seed) % 4];

	memset(s, 0, sizeof(*s));
	s->prefix = number % 8 == 7;
	s->addr = dst;
	s->plen = dst_len ? dst_len : lengths[six][1];
	s->shape.family = s->key.family = dst.family;
	s->key.shape = number;
	addr_mask(dst.family, dst_len, s->shape.dst_mask);
	addr_mask(dst.family, src_len, s->shape.src_mask);
	for (int i = 0; i < 16; i++) {
		s->key.dst[i] = dst.b[i] & s->shape.dst_mask[i];
		s->key.src[i] = src.b[i] & s->shape.src_mask[i];
	}
}

static void toggle(struct fixture *f, struct stored *s)
{
	s->there = !s->there;
	if (s->prefix) {
		ck_assert((s->there ? classifier_advertised_add : classifier_advertised_del)(f->c, &s->addr, s->plen));
	} else if (s->there) {
		ck_assert(classifier_shape(f->c, s->key.shape, &s->shape));
		ck_assert(classifier_wildcard_add(f->c, &s->key));
		ck_assert(classifier_wildcard_add(f->c, &s->key)); /* counts once */
	} else {
		ck_assert(classifier_wildcard_del(f->c, &s->key));
		ck_assert(classifier_wildcard_del(f->c, &s->key));
		ck_assert(classifier_shape(f->c, s->key.shape, NULL));
	}
}

static bool agrees_with(const uint8_t *a, const uint8_t *wanted, const uint8_t *mask)
{
	for (int i = 0; i < 16; i++)
		if ((a[i] ^ wanted[i]) & mask[i])
			return false;
	return true;
}

static enum classifier_counter expected(const struct stored *all, int n, const struct addr *src, const struct addr *dst)
{
	enum classifier_counter verdict = CLASSIFIER_PASSED;

	for (int i = 0; i < n; i++) {
		uint8_t mask[16];

		if (!all[i].there || all[i].shape.family != dst->family)
			continue;
		addr_mask(dst->family, all[i].plen, mask);
		if (all[i].prefix && agrees_with(dst->b, all[i].addr.b, mask) && verdict == CLASSIFIER_PASSED)
			verdict = CLASSIFIER_DROPPED_ADVERTISED;
		if (!all[i].prefix && agrees_with(dst->b, all[i].key.dst, all[i].shape.dst_mask) &&
		    agrees_with(src->b, all[i].key.src, all[i].shape.src_mask))
			verdict = CLASSIFIER_PUNTED_WILDCARD;
	}
	return verdict;
}

START_TEST(test_WILD_7_filter_hides_nothing)
{
	struct fixture f = begin(false);
	struct stored all[40];
	unsigned seed = 4711;
	int hits = 0;

	for (uint16_t i = 0; i < 40; i++)
		make_up(&all[i], i, &seed);
	for (int step = 0; step < 3000; step++) {
		int six = rand_r(&seed) % 2;
		struct netns_packet d = {
			places[six][rand_r(&seed) % 5], places[six][rand_r(&seed) % 5], IPPROTO_UDP, 1, 2, .ttl = 64};
		struct addr src = netns_addr(d.src), dst = netns_addr(d.dst);
		enum classifier_counter verdict = expected(all, 40, &src, &dst);

		ck_assert_msg(run(&f, &d) == (int)verdict, "step %d: %s to %s", step, d.src, d.dst);
		hits += verdict != CLASSIFIER_PASSED;
		/* Few at a time, so that the filter has gaps. */
		if (step % 3 == 0)
			toggle(&f, &all[step / 3 % 40]);
		if (step % 3 == 1 && all[(step / 3 + 37) % 40].there)
			toggle(&f, &all[(step / 3 + 37) % 40]);
	}
	ck_assert_int_gt(hits, 100);
	ck_assert_int_lt(hits, 2900);
	end(&f);
}
END_TEST

/* All shapes in use, some taken out of the middle: the others still count, those do not. */
START_TEST(test_WILD_7_every_shape_is_asked)
{
	struct fixture f = begin(false);
	char src[32];

	for (uint16_t i = 0; i < CLASSIFIER_MAX_SHAPES; i++) {
		/* Sixty-four different masks, each for one client. */
		struct classifier_shape s = {
			.family = 4, .src_mask = {255, 255, 255, 255}, .dst_mask = {0, 0, 0, (uint8_t)i}};
		struct classifier_key k = {.src = {192, 0, 2, (uint8_t)i}};

		add_shape(&f, i, s, &k);
	}
	ck_assert(!classifier_shape(f.c, CLASSIFIER_MAX_SHAPES, &(struct classifier_shape){.family = 4}));
	for (uint16_t i = 0; i < CLASSIFIER_MAX_SHAPES; i += 3)
		ck_assert(classifier_shape(f.c, i, NULL));
	for (unsigned i = 0; i < CLASSIFIER_MAX_SHAPES; i++) {
		snprintf(src, sizeof(src), "192.0.2.%u", i);
		EXPECT(f, i % 3 == 0 ? CLASSIFIER_PASSED : CLASSIFIER_PUNTED_WILDCARD, src, "203.0.113.0", IPPROTO_TCP,
		       40000, 80);
	}
	end(&f);
}
END_TEST

START_TEST(test_ACT_3_advertised_and_unmatched_is_dropped)
{
	struct fixture f = begin(false);
	struct addr vip = netns_addr("203.0.113.10"), net = netns_addr("198.51.100.0"),
		    six = netns_addr("2001:db8:113::");
	struct flow_key k = key_of("192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);

	ck_assert(classifier_advertised_add(f.c, &vip, 32));
	ck_assert(classifier_advertised_add(f.c, &net, 24));
	ck_assert(classifier_advertised_add(f.c, &six, 48));
	ck_assert(classifier_fixed_add(f.c, &k));
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 81);
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, "192.0.2.1", "203.0.113.10", IPPROTO_ICMP, .icmp_type = 8);
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, "192.0.2.1", "198.51.100.99", IPPROTO_UDP, 1, 2);
	EXPECT(f, CLASSIFIER_DROPPED_ADVERTISED, "fd00::1", "2001:db8:113:5::1", IPPROTO_UDP, 1, 2);
	EXPECT(f, CLASSIFIER_PASSED, "203.0.113.10", "192.0.2.1", IPPROTO_TCP, 80, 40000); /* from it is fine */
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.11", IPPROTO_TCP, 1, 2);
	EXPECT(f, CLASSIFIER_PASSED, "fd00::1", "2001:db8:114::1", IPPROTO_UDP, 1, 2);
	ck_assert(classifier_advertised_del(f.c, &vip, 32));
	ck_assert(classifier_advertised_del(f.c, &vip, 32));
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 81);
	end(&f);
}
END_TEST

static uint64_t counter_of(struct fixture *f, enum classifier_counter which)
{
	uint64_t counters[CLASSIFIER_COUNTERS];

	classifier_counters(f->c, counters);
	return counters[which];
}

/* While somebody looks on, a dropped packet goes to the port, with why and where from; so many, then it is as before.
 */
START_TEST(test_ARCH_7_drops_are_shown_to_who_looks_on)
{
	static const uint8_t marked[12] = {
		CLASSIFIER_MAC_NOBODY, 0x02, CLASSIFIER_MAC_DROPPED | CLASSIFIER_DROPPED_UNMATCHED, 0, 0, 0, LO};
	const struct netns_packet d = {"192.0.2.1", "203.0.113.11", IPPROTO_TCP, 40000, 80, .ttl = 64};
	struct fixture f = begin(true);
	uint8_t frame[FRAME] = {[12] = 0x08};
	size_t len = ETH_HLEN + netns_build(&d, frame + ETH_HLEN);

	EXPECT(f, CLASSIFIER_DROPPED_UNMATCHED, "192.0.2.1", "203.0.113.11", IPPROTO_TCP, 40000, 80);
	classifier_show_drops(f.c, true);
	for (unsigned i = 0; i < CLASSIFIER_SHOWN; i++) {
		ck_assert_uint_eq(run_frame(f.classify, frame, len), TC_ACT_REDIRECT);
		ck_assert_mem_eq(frame, marked, sizeof(marked));
		memset(frame, 0, sizeof(marked)); /* to lo's address again */
	}
	ck_assert_uint_eq(run_frame(f.classify, frame, len), TC_ACT_SHOT);
	ck_assert_uint_eq(counter_of(&f, CLASSIFIER_UNSHOWN), 1);
	classifier_show_drops(f.c, true); /* the next tick */
	ck_assert_uint_eq(run_frame(f.classify, frame, len), TC_ACT_REDIRECT);
	memset(frame, 0, sizeof(marked));
	classifier_show_drops(f.c, false);
	ck_assert_uint_eq(run_frame(f.classify, frame, len), TC_ACT_SHOT);
	ck_assert_uint_eq(counter_of(&f, CLASSIFIER_UNSHOWN), 1);
	ck_assert_uint_eq(counter_of(&f, CLASSIFIER_DROPPED_UNMATCHED), CLASSIFIER_SHOWN + 4);
	ck_assert_uint_eq(counter_of(&f, CLASSIFIER_PUNTED_FIXED) + counter_of(&f, CLASSIFIER_PUNTED_WILDCARD), 0);
	end(&f);
}
END_TEST

START_TEST(test_ARCH_1_unmatched_policy)
{
	struct fixture f = begin(true);
	struct flow_key k = key_of("192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);

	ck_assert(classifier_fixed_add(f.c, &k));
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_DROPPED_UNMATCHED, "192.0.2.1", "203.0.113.11", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_DROPPED_UNMATCHED, "fd00::1", "2001:db8::1", IPPROTO_UDP, 1, 2);
	/* The policy changes without losing a count. */
	ck_assert_int_eq(classifier_attach(f.c, "lo", LO, false), EXITCODE_OK);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.11", IPPROTO_TCP, 40000, 80);
	struct classifier_interface counters;
	classifier_interface_counters(f.c, LO, &counters);
	ck_assert_uint_eq(counters.punted, 1);
	ck_assert_uint_eq(counters.passed, 1);
	end(&f);
}
END_TEST

START_TEST(test_FA_6_stale_heartbeat_passes_everything)
{
	const struct timespec pause = {.tv_sec = 1, .tv_nsec = 100000000};
	struct fixture f = begin(true);
	struct addr vip = netns_addr("203.0.113.10");

	cover_everything(&f, 0);
	ck_assert(classifier_advertised_add(f.c, &vip, 32));
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	nanosleep(&pause, NULL);
	EXPECT(f, CLASSIFIER_STALE, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	classifier_heartbeat(f.c);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	end(&f);
}
END_TEST

static void make_stale(struct fixture *f)
{
	const struct timespec pause = {.tv_sec = 1, .tv_nsec = 100000000};

	classifier_heartbeat(f->c);
	nanosleep(&pause, NULL);
}

/* A link with a neighbour of known MAC address, and addresses of both families. */
static void add_neighbour(void)
{
	netns_run("ip link add w0 address 02:00:00:00:00:01 type veth peer name w1");
	netns_run("ip addr add 10.9.0.1/24 dev w0");
	netns_run("ip addr add fd09::1/64 dev w0 nodad");
	netns_run("ip link set w0 up");
	netns_run("ip link set w1 up");
	netns_run("ip neigh replace 10.9.0.3 lladdr 02:00:00:00:00:09 dev w0 nud permanent");
	netns_run("ip neigh replace fd09::3 lladdr 02:00:00:00:00:09 dev w0 nud permanent");
}

/* One frame through the program at lo, as if it had come in at this interface; its verdict. */
static int run_from(struct fixture *f, uint32_t ifindex, uint8_t frame[FRAME], const char *src, const char *dst,
		    uint8_t ttl)
{
	const struct netns_packet d = {src, dst, IPPROTO_TCP, 40000, 80, .ttl = ttl};
	struct __sk_buff skb = {.ifindex = ifindex};
	size_t len = netns_build(&d, frame + ETH_HLEN);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)(ETH_HLEN + len),
		    .data_out = frame, .data_size_out = FRAME, .ctx_in = &skb, .ctx_size_in = sizeof(skb), .repeat = 1);

	memcpy(frame, ifindex == LO ? (const uint8_t[6]){0} : (const uint8_t[]){2, 0, 0, 0, 0, 1}, 6); /* its own */
	frame[12] = strchr(dst, ':') ? 0x86 : 0x08;
	frame[13] = strchr(dst, ':') ? 0xdd : 0x00;
	ck_assert_int_eq(bpf_prog_test_run_opts(f->classify, &opts), 0);
	return (int)opts.retval;
}

/* What would have been punted goes to the next agent, a hop nearer to its end. */
START_TEST(test_ARCH_3_a_dead_agents_packets_go_to_the_fallback)
{
	struct fixture f = begin(true);
	struct flow_key k = key_of("192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	struct addr hop4 = netns_addr("10.9.0.3"), hop6 = netns_addr("fd09::3"), own = netns_addr("10.9.0.1");
	const struct classifier_key six = {.family = 6};
	uint8_t frame[FRAME] = {0};

	add_neighbour();
	ck_assert(classifier_fixed_add(f.c, &k));
	add_shape(&f, 1, (struct classifier_shape){.family = 6}, &six);
	ck_assert(classifier_own_add(f.c, &own));
	classifier_fallback(f.c, &hop4, 60000);
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80); /* it lives */
	make_stale(&f);
	ck_assert_int_eq(run_from(&f, LO, frame, "192.0.2.1", "203.0.113.10", 64), TC_ACT_REDIRECT);
	ck_assert_uint_eq(frame[ETH_HLEN + 8], 63);
	ck_assert_uint_eq(checksum_fold(checksum_add(0, frame + ETH_HLEN, 20)), 0xffff);
	ck_assert_uint_eq(counter_of(&f, CLASSIFIER_FALLBACK), 1);
	/* Neither what matches nothing, nor what has no next hop of its family, nor what is at its end here. */
	EXPECT(f, CLASSIFIER_STALE, "192.0.2.2", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_STALE, "2001:db8::1", "2001:db8:113::10", IPPROTO_TCP, 40000, 80);
	ck_assert_int_eq(run_from(&f, LO, frame, "192.0.2.1", "203.0.113.10", 1), TC_ACT_UNSPEC);
	cover_everything(&f, 0);
	EXPECT(f, CLASSIFIER_PROTECTED, "192.0.2.2", "10.9.0.1", IPPROTO_TCP, 40000, 22);
	EXPECT(f, CLASSIFIER_STALE, "192.0.2.2", "224.0.0.5", 89);
	ck_assert_uint_eq(counter_of(&f, CLASSIFIER_FALLBACK), 1);
	classifier_fallback(f.c, &hop6, 60000);
	ck_assert_int_eq(run_from(&f, LO, frame, "2001:db8::1", "2001:db8:113::10", 64), TC_ACT_REDIRECT);
	ck_assert_uint_eq(frame[ETH_HLEN + 7], 63);
	ck_assert_uint_eq(counter_of(&f, CLASSIFIER_FALLBACK), 2);
	classifier_heartbeat(f.c);
	EXPECT(f, CLASSIFIER_PUNTED_FIXED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	end(&f);
}
END_TEST

/* The fallback's own frames are not sent back to it; another's on the same link are. */
START_TEST(test_ARCH_3_no_loop_with_the_fallback)
{
	static const uint8_t its_mac[6] = {2, 0, 0, 0, 0, 9};
	struct fixture f = begin(false);
	struct addr hops[] = {netns_addr("10.9.0.3"), netns_addr("fd09::3")}, nowhere = netns_addr("10.66.0.1");
	uint8_t frame[FRAME] = {0};
	uint32_t w0;

	add_neighbour();
	w0 = if_nametoindex("w0");
	cover_everything(&f, 0);
	for (size_t i = 0; i < 2; i++)
		classifier_fallback(f.c, &hops[i], 60000);
	make_stale(&f);
	for (size_t i = 0; i < 2; i++) {
		const char *src = i ? "2001:db8::1" : "192.0.2.1", *dst = i ? "2001:db8:113::10" : "203.0.113.10";

		memset(frame, 0, sizeof(frame));
		memcpy(frame + 6, its_mac, 6);
		ck_assert_int_eq(run_from(&f, w0, frame, src, dst, 64), TC_ACT_SHOT);
		ck_assert_uint_eq(counter_of(&f, CLASSIFIER_DROPPED_LOOP), i + 1);
		ck_assert_int_eq(run_from(&f, LO, frame, src, dst, 64), TC_ACT_REDIRECT); /* from elsewhere */
		frame[6 + 5] = 8;
		ck_assert_int_eq(run_from(&f, w0, frame, src, dst, 64), TC_ACT_REDIRECT); /* from somebody else */
		ck_assert_uint_eq(counter_of(&f, CLASSIFIER_FALLBACK), 2 * (i + 1));
	}
	classifier_fallback(f.c, &nowhere, 60000);
	ck_assert_int_eq(run_from(&f, LO, frame, "192.0.2.1", "203.0.113.10", 64), TC_ACT_SHOT);
	ck_assert_uint_eq(counter_of(&f, CLASSIFIER_DROPPED_NO_ROUTE), 1);
	end(&f);
}
END_TEST

/* Affinities do not live for ever because their agent died. */
START_TEST(test_ARCH_10_the_fallback_ends)
{
	const struct timespec pause = {.tv_sec = 1};
	struct fixture f = begin(false);
	struct addr hop = netns_addr("10.9.0.3");
	uint8_t frame[FRAME] = {0};

	add_neighbour();
	cover_everything(&f, 0);
	classifier_fallback(f.c, &hop, 2000);
	make_stale(&f);
	ck_assert_int_eq(run_from(&f, LO, frame, "192.0.2.1", "203.0.113.10", 64), TC_ACT_REDIRECT);
	nanosleep(&pause, NULL);
	EXPECT(f, CLASSIFIER_STALE, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	end(&f);
}
END_TEST

/* The key under this shape, of those of the tests below. */
static void drop_gone_until(struct fixture *f, uint16_t shape, uint8_t family, uint64_t until_ms)
{
	struct classifier_key key = {.family = family, .shape = shape};

	if (shape == 1 || family == 6) {
		key.proto = IPPROTO_TCP;
		key.dport = 80;
	} else {
		memcpy(key.src, (const uint8_t[]){192, 0, 2}, 3);
	}
	ck_assert(classifier_wildcard_gone(f->c, &key, until_ms));
}

/* Without the agent a wildcard may say drop; no other is touched, nor the router itself, nor for longer than it lives.
 */
START_TEST(test_FA_6_a_dead_agents_wildcards_drop_what_they_shall)
{
	const struct classifier_key web = {.proto = IPPROTO_TCP, .dport = 80}, any = {0};
	struct fixture f = begin(false);
	struct addr own = netns_addr("10.9.0.1"), hop = netns_addr("10.9.0.3");
	uint8_t frame[FRAME] = {0};
	struct timespec now;
	uint64_t now_ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ms = (uint64_t)now.tv_sec * 1000;
	add_neighbour();
	add_shape(&f, 0, (struct classifier_shape){.family = 4}, &any);
	for (uint16_t i = 1; i <= 2; i++)
		add_shape(&f, i,
			  (struct classifier_shape){.family = i == 1 ? 4 : 6,
						    .proto_mask = 0xff,
						    .dport_mask = 0xffff,
						    .flags = CLASSIFIER_SHAPE_DROP_GONE},
			  &web);
	drop_gone_until(&f, 1, 4, now_ms + 60000);
	drop_gone_until(&f, 2, 6, now_ms + 60000);
	ck_assert(classifier_own_add(f.c, &own));
	classifier_gone_until(f.c, now_ms + 60000);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	make_stale(&f);
	EXPECT(f, CLASSIFIER_DROPPED_GONE, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_DROPPED_GONE, "2001:db8::1", "2001:db8:113::10", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_STALE, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 81);
	EXPECT(f, CLASSIFIER_STALE, "2001:db8::1", "2001:db8:113::10", IPPROTO_UDP, 40000, 80);
	EXPECT(f, CLASSIFIER_PROTECTED, "192.0.2.1", "10.9.0.1", IPPROTO_TCP, 40000, 80);
	/* Another agent knows better. */
	classifier_fallback(f.c, &hop, 60000);
	ck_assert_int_eq(run_from(&f, LO, frame, "192.0.2.1", "203.0.113.10", 64), TC_ACT_REDIRECT);
	EXPECT(f, CLASSIFIER_DROPPED_GONE, "2001:db8::1", "2001:db8:113::10", IPPROTO_TCP, 40000, 80);
	classifier_fallback(f.c, &hop, 0);
	EXPECT(f, CLASSIFIER_DROPPED_GONE, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	classifier_gone_until(f.c, now_ms - 1);
	EXPECT(f, CLASSIFIER_STALE, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	classifier_heartbeat(f.c);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	end(&f);
}
END_TEST

/* A short one goes with its own time, though another lives; where both cover a packet, it is dropped by the other. */
START_TEST(test_FA_6_each_wildcard_drops_as_long_as_it_lives)
{
	const struct classifier_key web = {.proto = IPPROTO_TCP, .dport = 80}, any = {.src = {192, 0, 2}};
	const struct classifier_shape port = {.family = 4,
					      .proto_mask = 0xff,
					      .dport_mask = 0xffff,
					      .flags = CLASSIFIER_SHAPE_DROP_GONE},
				      net = {.family = 4,
					     .src_mask = {255, 255, 255},
					     .flags = CLASSIFIER_SHAPE_DROP_GONE};
	struct fixture f = begin(false);
	struct timespec now;
	uint64_t now_ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ms = (uint64_t)now.tv_sec * 1000;
	add_shape(&f, 1, port, &web);
	add_shape(&f, 2, net, &any);
	classifier_gone_until(f.c, now_ms + 60000);
	make_stale(&f);
	EXPECT(f, CLASSIFIER_STALE, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80); /* nothing was told */
	drop_gone_until(&f, 1, 4, now_ms + 60000);
	drop_gone_until(&f, 2, 4, now_ms);
	EXPECT(f, CLASSIFIER_DROPPED_GONE, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_STALE, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 81);
	drop_gone_until(&f, 1, 4, now_ms);
	drop_gone_until(&f, 2, 4, now_ms + 60000);
	EXPECT(f, CLASSIFIER_STALE, "192.0.3.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	EXPECT(f, CLASSIFIER_DROPPED_GONE, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	/* One that comes again begins anew. */
	struct classifier_key key = any;
	key.family = 4;
	key.shape = 2;
	ck_assert(classifier_wildcard_del(f.c, &key));
	ck_assert(classifier_wildcard_add(f.c, &key));
	EXPECT(f, CLASSIFIER_STALE, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 81);
	end(&f);
}
END_TEST

/* A successor replaces the filter in place; another's filter stays. */
START_TEST(test_FA_6_takes_over_a_filter)
{
	static const struct classifier_limits limits = {.fixed = 100, .wildcards = 100};
	struct fixture f = begin(false);
	struct classifier *old = f.c;

	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = LO, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, others, .handle = 1, .priority = 1, .prog_fd = f.classify);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, other, .handle = 1, .priority = 1);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, ours, .handle = FILTER, .priority = FILTER);

	ck_assert_int_eq(bpf_tc_attach(&hook, &others), 0);
	close(f.classify);
	classifier_close(old, false); /* as if killed */
	f.classify = program_at(LO);  /* still there */
	close(f.classify);
	ck_assert_int_eq(classifier_open(&f.c, PUNT_PORT, &limits), EXITCODE_OK);
	ck_assert_int_eq(classifier_attach(f.c, "lo", LO, false), EXITCODE_OK);
	f.classify = program_at(LO);
	classifier_heartbeat(f.c);
	cover_everything(&f, 0);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	end(&f);
	ck_assert_int_eq(bpf_tc_query(&hook, &ours), -ENOENT);
	ck_assert_int_eq(bpf_tc_query(&hook, &other), 0);
}
END_TEST

START_TEST(test_FIX_2_forward_indexes)
{
	struct fixture f = begin(false);
	struct addr a = netns_addr("10.0.0.2"), b = netns_addr("fd00::2");
	uint32_t one = classifier_forward_get(f.c, &a), two = classifier_forward_get(f.c, &b);

	ck_assert_uint_ne(one, 0);
	ck_assert_uint_ne(two, 0);
	ck_assert_uint_ne(one, two);
	ck_assert_uint_eq(classifier_forward_get(f.c, &a), one);
	classifier_forward_put(f.c, one);
	ck_assert_uint_eq(classifier_forward_get(f.c, &a), one); /* one reference was left */
	classifier_forward_put(f.c, one);
	classifier_forward_put(f.c, one);
	ck_assert_uint_ne(classifier_forward_get(f.c, &a), one); /* packets with the old number may be under way */
	classifier_forward_put(f.c, 0);
	classifier_forward_put(f.c, 65000);
	for (uint32_t i = 2; i < CLASSIFIER_MAX_FORWARDS - 1; i++) {
		struct addr other = addr_make(4, (const uint8_t[]){11, 0, (uint8_t)(i >> 8), (uint8_t)i});

		ck_assert_uint_ne(classifier_forward_get(f.c, &other), 0);
	}
	struct addr last = netns_addr("12.0.0.1");
	ck_assert_uint_eq(classifier_forward_get(f.c, &last), 0);
	end(&f);
}
END_TEST

/* Only what the agent sends gets through the port. */
START_TEST(test_FA_7_forwarder_drops_what_is_not_ours)
{
	static const uint8_t macs[][6] = {
		{0x02, CLASSIFIER_MAC_PUNT, 0, 0, 0, 1}, {0x04, CLASSIFIER_MAC_ROUTE}, {0x02, 0x74, 0x6e, 0, 0, 1}};
	const struct netns_packet d = {"192.0.2.1", "203.0.113.10", IPPROTO_TCP, 1, 80, .ttl = 64};
	uint64_t counters[CLASSIFIER_COUNTERS];
	struct fixture f = begin(false);
	uint8_t frame[FRAME] = {0};
	size_t len = ETH_HLEN + netns_build(&d, frame + ETH_HLEN);
	int program;

	netns_run("ip link add w0 type veth peer name w1");
	ck_assert_int_eq(classifier_attach_port(f.c, LO), EXITCODE_OK); /* replaces the classifier there */
	program = program_at(LO);
	frame[12] = 0x08;
	for (size_t i = 0; i < sizeof(macs) / sizeof(macs[0]); i++) {
		memcpy(frame + 6, macs[i], 6);
		ck_assert_int_eq((int)run_frame(program, frame, len), TC_ACT_SHOT);
	}
	memcpy(frame + 6, (const uint8_t[]){0x02, CLASSIFIER_MAC_ROUTE, 0, 0, 0, 0}, 6);
	ck_assert_int_eq((int)run_frame(program, frame, len), TC_ACT_OK);
	memcpy(frame + 6, (const uint8_t[]){0x02, CLASSIFIER_MAC_FORWARD, 0, 0, 0, 7}, 6); /* no such next hop */
	ck_assert_int_eq((int)run_frame(program, frame, len), TC_ACT_SHOT);
	classifier_counters(f.c, counters);
	ck_assert_uint_eq(counters[CLASSIFIER_DROPPED_FRAME], 3);
	ck_assert_uint_eq(counters[CLASSIFIER_DROPPED_NO_ROUTE], 1);
	close(program);
	end(&f);
}
END_TEST

/* ---- too many questions ---- */

#define SECOND 1000000000ull

/* Something that is over soon must not be: a test may take long. */
static struct classifier_shed slow_shed(uint16_t asks)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (struct classifier_shed){.until_ns = ((uint64_t)now.tv_sec + 1000) * SECOND,
					.each_ns = 100 * SECOND,
					.burst_ns = 2000 * SECOND,
					.spare_ns = 1000 * SECOND,
					.share_ns = 6400 * SECOND,
					.asks = asks};
}

#define TCP_ACK  0x0010 /* of WIRE_INTEREST_* */
#define TCP_SYN  0x0002
#define ANY_DATA 0x0040
#define ALL      0x8000

/* The wildcard for port 80 of all of a family. */
static struct classifier_key cover_web(struct fixture *f, uint8_t family)
{
	struct classifier_key key = {.family = family, .proto = IPPROTO_TCP, .dport = 80, .shape = family};

	add_shape(f, family, (struct classifier_shape){.family = family, .proto_mask = 0xff, .dport_mask = 0xffff},
		  &key);
	return key;
}

/* How many of n packets like this come up. */
static unsigned come_up(struct fixture *f, const struct netns_packet *packet, unsigned n)
{
	unsigned up = 0;

	for (unsigned i = 0; i < n; i++)
		up += run(f, packet) == CLASSIFIER_PUNTED_WILDCARD;
	return up;
}

START_TEST(test_FA_5_what_asks_too_much_is_shed)
{
	const struct netns_packet packets[2][2] = {
		{{"192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80, .ttl = 64},
		 {"192.0.3.1", "203.0.113.10", IPPROTO_TCP, 1, 80, .ttl = 64}},
		{{"2001:db8::1", "fd00::2", IPPROTO_TCP, 40000, 80, .ttl = 64},
		 {"2001:db8:0:100::1", "fd00::2", IPPROTO_TCP, 1, 80, .ttl = 64}},
	};
	struct classifier_shed limit = slow_shed(ALL);
	struct fixture f = begin(false);

	for (int i = 0; i < 2; i++) {
		struct classifier_key key = cover_web(&f, i ? 6 : 4);
		struct netns_packet neighbour = packets[i][0];

		neighbour.src = i ? "2001:db8:0:ff::7" : "192.0.2.77";
		ck_assert_uint_eq(come_up(&f, &packets[i][0], 40), 40);
		ck_assert_uint_eq(classifier_shed(f.c, &key, &limit), 0);
		/* One source takes all there is, also as several hosts, and leaves some to another. */
		ck_assert_uint_eq(come_up(&f, &packets[i][0], 10), 10);
		ck_assert_uint_eq(come_up(&f, &neighbour, 30), 11);
		ck_assert_uint_eq(classifier_shed(f.c, &key, NULL), 19);
		ck_assert_uint_eq(classifier_shed(f.c, &key, &limit), 0);
		ck_assert_uint_eq(come_up(&f, &packets[i][1], 20), 8);
		ck_assert_uint_eq(classifier_shed(f.c, &key, NULL), 12);
	}
	/* It ends with its time. */
	limit.until_ns = 1;
	for (int i = 0; i < 2; i++) {
		struct classifier_key key = {
			.family = i ? 6 : 4, .proto = IPPROTO_TCP, .dport = 80, .shape = i ? 6 : 4};

		classifier_shed(f.c, &key, &limit);
		ck_assert_uint_eq(come_up(&f, &packets[i][0], 40), 40);
	}
	end(&f);
}
END_TEST

START_TEST(test_FA_5_no_more_than_that_is_shed)
{
	const struct netns_packet ack = {"192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80, .ttl = 64},
				  full = {"192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80, .payload = 100},
				  part = {"192.0.2.1", "203.0.113.10",     IPPROTO_TCP,        40000,
					  80,          .fragmented = true, .fragment = 0x2000, .payload = 96};
	struct flow_key k = key_of("192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80);
	struct classifier_shed limit = slow_shed(TCP_ACK);
	struct fixture f = begin(false);
	struct classifier_key key = cover_web(&f, 4);

	classifier_shed(f.c, &key, &limit);
	ck_assert_uint_eq(come_up(&f, &ack, 40), 21);
	ck_assert_uint_eq(come_up(&f, &part, 40), 40);
	EXPECT(f, CLASSIFIER_PASSED, "192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 81);
	/* Nor what is no question: without such a flag, without data. */
	limit.asks = TCP_SYN;
	classifier_shed(f.c, &key, &limit);
	ck_assert_uint_eq(come_up(&f, &full, 5), 5);
	limit.asks = ANY_DATA;
	classifier_shed(f.c, &key, &limit);
	ck_assert_uint_eq(come_up(&f, &ack, 5), 5);
	ck_assert_uint_eq(come_up(&f, &full, 5), 0);
	/* Of a flow that was decided on, nothing. */
	ck_assert(classifier_fixed_add(f.c, &k));
	ck_assert_int_eq(run(&f, &full), CLASSIFIER_PUNTED_FIXED);
	ck_assert(classifier_fixed_del(f.c, &k));
	limit.route = 1;
	classifier_shed(f.c, &key, &limit);
	ck_assert_int_eq(run(&f, &full), CLASSIFIER_SHED_ROUTED);
	/* By where it goes, if those who send are the service. */
	limit.by_target = 1;
	classifier_shed(f.c, &key, &limit);
	EXPECT(f, CLASSIFIER_PUNTED_WILDCARD, "192.0.2.1", "203.0.114.10", IPPROTO_TCP, 40000, 80, .payload = 100);
	/* A key that comes again begins anew. */
	ck_assert(classifier_wildcard_del(f.c, &key));
	ck_assert(classifier_wildcard_add(f.c, &key));
	ck_assert_uint_eq(come_up(&f, &full, 40), 40);
	end(&f);
}
END_TEST

/* What a source did under one wildcard is no matter under another that is given the same place. */
START_TEST(test_FA_5_a_source_begins_anew_under_another_key)
{
	const struct netns_packet web = {"192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80, .ttl = 64},
				  other = {"192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 81, .ttl = 64};
	struct classifier_shed limit = slow_shed(ALL);
	struct fixture f = begin(false);
	struct classifier_key key = cover_web(&f, 4);

	limit.burst_ns = 0; /* only who asks little */
	for (int i = 0; i < 3; i++) {
		const struct netns_packet *p = i == 1 ? &other : &web;

		key.dport = p->dport;
		ck_assert(classifier_wildcard_add(f.c, &key));
		classifier_shed(f.c, &key, &limit);
		ck_assert_uint_eq(come_up(&f, p, 20), 8);
		ck_assert(classifier_wildcard_del(f.c, &key));
	}
	end(&f);
}
END_TEST

START_TEST(test_FA_5_no_more_keys_are_shed_than_there_is_room_for)
{
	static const char *vip = "203.0.113.10";
	struct classifier_shed limit = slow_shed(ALL), over = limit;
	struct fixture f = begin(false);
	struct classifier_key key = cover_web(&f, 4);

	over.until_ns = 1;
	for (uint16_t port = 80; port <= 80 + CLASSIFIER_SHEDS; port++) {
		const struct netns_packet p = {"192.0.2.1", vip, IPPROTO_TCP, 40000, port, .ttl = 64};

		key.dport = port;
		ck_assert(classifier_wildcard_add(f.c, &key));
		classifier_shed(f.c, &key, &limit);
		if (port == 80 + CLASSIFIER_SHEDS)
			ck_assert_uint_eq(come_up(&f, &p, 100), 100);
	}
	/* When one is over there is room again. */
	key.dport = 90;
	classifier_shed(f.c, &key, &over);
	key.dport = 80 + CLASSIFIER_SHEDS;
	classifier_shed(f.c, &key, &limit);
	const struct netns_packet last = {"192.0.2.1", vip, IPPROTO_TCP, 40000, key.dport, .ttl = 64},
				  over_now = {"192.0.2.1", vip, IPPROTO_TCP, 40000, 90, .ttl = 64};
	ck_assert_uint_eq(come_up(&f, &last, 100), 21);
	ck_assert_uint_eq(come_up(&f, &over_now, 100), 100);
	end(&f);
}
END_TEST

START_TEST(full_tables_say_so)
{
	struct fixture f = begin(false);
	bool all = true;

	for (uint32_t i = 0; i < 200 + CLASSIFIER_TAILS; i++) {
		struct flow_key k = {.family = 4, .proto = 6, .sport = (uint16_t)i};

		all = classifier_fixed_add(f.c, &k) && all;
	}
	ck_assert(!all);
	ck_assert(!classifier_advertised_add(f.c, &(struct addr){.family = 4}, 33));
	ck_assert(!classifier_peer_add(f.c, &(struct addr){.family = 4}, 0));
	ck_assert_int_eq(classifier_attach(f.c, "nowhere", 4711, false), EXITCODE_INTERFACE);
	end(&f);
}
END_TEST

static int open_unprivileged(void)
{
	static const struct classifier_limits limits = {.fixed = 1, .wildcards = 1};
	struct classifier *c;

	return classifier_open(&c, PUNT_PORT, &limits);
}

START_TEST(without_rights_says_so)
{
	netns_enter();
	ck_assert_int_eq(netns_unprivileged(open_unprivileged), EXITCODE_PRIVILEGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("classifier");
	TCase *tc = tcase_create("classifier");
	SRunner *sr;
	int failed;

	log_open("classifier_test", false);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_FA_8_protected_is_never_punted);
	tcase_add_test(tc, test_FA_7_martians_are_not_taken);
	tcase_add_test(tc, test_FA_7_forged_own_sources_are_not_taken);
	tcase_add_test(tc, test_FA_8_no_more_than_that);
	tcase_add_test(tc, test_FA_8_fragmented_service_messages);
	tcase_add_test(tc, test_FA_8_endpoint_of_two);
	tcase_add_test(tc, test_FA_8_opting_in);
	tcase_add_test(tc, test_ARCH_1_foreign_frames_pass);
	tcase_add_test(tc, test_KEY_1_fixed_key);
	tcase_add_test(tc, test_KEY_2_other_protocols_have_ports_zero);
	tcase_add_test(tc, test_KEY_3_ipv6_fixed_key);
	tcase_add_test(tc, test_ACT_10_fragments_match_on_addresses);
	tcase_add_test(tc, test_ACT_10_FA_10_fragments_under_port_wildcards);
	tcase_add_test(tc, test_KEY_4_errors_come_up_with_their_flow);
	tcase_add_test(tc, test_KEY_4_FA_8_errors_about_what_is_never_matched);
	tcase_add_test(tc, test_SVC_5_KEY_3_long_chains_of_extensions_get_round_no_filter);
	tcase_add_test(tc, test_WILD_2_masks);
	tcase_add_test(tc, test_WILD_7_filter_hides_nothing);
	tcase_add_test(tc, test_WILD_7_every_shape_is_asked);
	tcase_add_test(tc, test_ACT_3_advertised_and_unmatched_is_dropped);
	tcase_add_test(tc, test_ARCH_1_unmatched_policy);
	tcase_add_test(tc, test_ARCH_7_drops_are_shown_to_who_looks_on);
	tcase_add_test(tc, test_FA_6_stale_heartbeat_passes_everything);
	tcase_add_test(tc, test_ARCH_3_a_dead_agents_packets_go_to_the_fallback);
	tcase_add_test(tc, test_ARCH_3_no_loop_with_the_fallback);
	tcase_add_test(tc, test_ARCH_10_the_fallback_ends);
	tcase_add_test(tc, test_FA_6_a_dead_agents_wildcards_drop_what_they_shall);
	tcase_add_test(tc, test_FA_6_each_wildcard_drops_as_long_as_it_lives);
	tcase_add_test(tc, test_FA_6_takes_over_a_filter);
	tcase_add_test(tc, test_FIX_2_forward_indexes);
	tcase_add_test(tc, test_FA_7_forwarder_drops_what_is_not_ours);
	tcase_add_test(tc, test_FA_5_what_asks_too_much_is_shed);
	tcase_add_test(tc, test_FA_5_no_more_than_that_is_shed);
	tcase_add_test(tc, test_FA_5_a_source_begins_anew_under_another_key);
	tcase_add_test(tc, test_FA_5_no_more_keys_are_shed_than_there_is_room_for);
	tcase_add_test(tc, full_tables_say_so);
	tcase_add_test(tc, without_rights_says_so);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
