// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The kernel side of the table of plans: find a flow's plan, carry it out.
 * Included by classifier.bpf.c only.
 *
 * Reading a slot beside its writer: the key is compared and the plan copied between two looks at seq.  What must lie
 * between them in order are the two counters: an atomic addition whose result is used is a full barrier on every
 * machine, and both have to be added to anyway.  Who finds that seq changed takes off again what he added.
 */
#ifndef TURNOUT_FAD_FASTPATH_BPF_H
#define TURNOUT_FAD_FASTPATH_BPF_H

#include <linux/tcp.h>
#include <linux/udp.h>

#include "fad/planslot.h"

#define PLAN_SRC   0x01 /* as in plan.h, which tests compare this with */
#define PLAN_SPORT 0x02
#define PLAN_DST   0x04
#define PLAN_DPORT 0x08

#ifndef BPF_F_IPV6
#define BPF_F_IPV6 (1ULL << 7)
#endif

/* Slots of each family, a power of two; 0: no table, and all that follows is dead code to the verifier. */
const volatile uint32_t plan_slots = 0;

/* Written by fad. */
struct planslot_settings plans;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, uint64_t);
} tags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct planslot4);
} plans4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct planslot6);
} plans6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct planway);
} ways SEC(".maps");

/* What is known of a packet that may have a plan. */
struct traveller {
	uint32_t l4;     /* of the transport header, in the frame */
	uint32_t len;    /* from the IP header on */
	uint32_t header; /* of that, IP and transport headers */
	uint16_t shows;  /* interest bits */
	bool may_be_cut;
	uint8_t ttl;
};

/* There is no plan, or none that the packet may take: up, if anything matches.  Else what tc is to do with it. */
#define PLAN_NONE (-2)
#define PLAN_HOP  (-3) /* on to the next hop; not from there, where the stack is full already */

/* Not to be looked up at all. */
static __always_inline bool up(uint32_t why)
{
	count(why);
	return false;
}

/* The IP header: 20 or 40 bytes, nothing behind it but TCP or UDP, not a fragment. */
static __always_inline bool travel4(struct __sk_buff *skb, struct planslot4 *want, struct traveller *t)
{
	struct iphdr ip;

	if (!load(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return up(CLASSIFIER_PLAN_MALFORMED);
	if (ip.ihl > 5)
		return up(CLASSIFIER_PLAN_OPTIONS);
	if (ip.frag_off & bpf_htons(IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET))
		return up(CLASSIFIER_PLAN_FRAGMENT);
	t->l4 = ETH_HLEN + sizeof(ip);
	t->len = bpf_ntohs(ip.tot_len);
	t->ttl = ip.ttl;
	t->may_be_cut = !(ip.frag_off & bpf_htons(0x4000));
	want->tail.proto = ip.protocol;
	__builtin_memcpy(want->src, &ip.saddr, 4);
	__builtin_memcpy(want->dst, &ip.daddr, 4);
	return true;
}

static __always_inline bool travel6(struct __sk_buff *skb, struct planslot6 *want, struct traveller *t)
{
	struct ipv6hdr ip;

	if (!load(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 6)
		return up(CLASSIFIER_PLAN_MALFORMED);
	if (ip.nexthdr == IPPROTO_FRAGMENT)
		return up(CLASSIFIER_PLAN_FRAGMENT);
	if (is_extension(ip.nexthdr))
		return up(CLASSIFIER_PLAN_OPTIONS);
	t->l4 = ETH_HLEN + sizeof(ip);
	t->len = sizeof(ip) + bpf_ntohs(ip.payload_len);
	t->ttl = ip.hop_limit;
	want->tail.proto = ip.nexthdr;
	__builtin_memcpy(want->src, &ip.saddr, 16);
	__builtin_memcpy(want->dst, &ip.daddr, 16);
	return true;
}

/* Ports, and what the packet shows to whom it may interest.  Whatever is not quite well-formed is the agent's to see.
 */
static __always_inline bool travel_transport(struct __sk_buff *skb, struct planslot_tail *want, struct traveller *t)
{
	uint8_t h[20] __attribute__((aligned(4)));
	uint32_t ip = t->l4 - ETH_HLEN;

	if (want->proto != IPPROTO_TCP && want->proto != IPPROTO_UDP)
		return false;
	if (t->len > skb->len - ETH_HLEN)
		return up(CLASSIFIER_PLAN_MALFORMED);
	if (want->proto == IPPROTO_TCP) {
		if (!load(skb, t->l4, h, 20))
			return up(CLASSIFIER_PLAN_MALFORMED);
		t->header = ip + (h[12] >> 4) * 4u;
		if (t->header < ip + 20)
			return up(CLASSIFIER_PLAN_MALFORMED);
		t->shows = h[13] & 0x3f; /* the same bits */
	} else {
		if (!load(skb, t->l4, h, 8))
			return up(CLASSIFIER_PLAN_MALFORMED);
		t->header = ip + 8;
	}
	if (t->len < t->header)
		return up(CLASSIFIER_PLAN_MALFORMED);
	if (t->len > t->header)
		t->shows |= PLANSLOT_DATA;
	__builtin_memcpy(&want->sport, h, 4);
	return true;
}

/* May the plan be carried out for this packet?  Else the agent does, and knows how. */
static __always_inline bool may_take(struct __sk_buff *skb, const struct planslot_head *head,
				     const struct planslot_tail *tail, const struct traveller *t, bool silent)
{
	uint32_t size = skb->gso_size ? t->header + skb->gso_size : t->len;
	uint32_t now = planslot_time(bpf_ktime_get_ns());

	/* Counted by what becomes of it then. */
	if (silent && (tail->set & PLANSLOT_GONE))
		return false;
	if ((int32_t)(head->expires - now) <= 0) {
		count(CLASSIFIER_PLAN_EXPIRED);
		return false;
	}
	if (head->generation != plans.generation) {
		count(CLASSIFIER_PLAN_STALE);
		return false;
	}
	/* Who looks at drops gets to see them by the agent. */
	if ((tail->up & t->shows || (head->way == PLANSLOT_DROPPED && settings.looked_on)) &&
	    (!silent || (tail->set & PLANSLOT_ASKS))) {
		count(CLASSIFIER_PLAN_INTEREST);
		return false;
	}
	if (head->way == PLANSLOT_DROPPED)
		return true;
	if (t->ttl <= 1) {
		count(CLASSIFIER_PLAN_TTL);
		return false;
	}
	/* To a next hop the kernel cuts nothing.  Without an agent nobody tells its sender better than the kernel. */
	if (size > plans.least_mtu && (!t->may_be_cut || head->way) && !silent) {
		count(CLASSIFIER_PLAN_MTU);
		return false;
	}
	return true;
}

/* Addresses as one run of bytes at `at`; sums by difference, as plan.h says. */
static __always_inline bool carry_out(struct __sk_buff *skb, const struct planslot_tail *tail, const void *addresses,
				      uint32_t at, uint32_t bytes, const struct traveller *t)
{
	bool tcp = tail->proto == IPPROTO_TCP, v6 = bytes > 8;
	uint32_t sum =
		t->l4 + (tcp ? __builtin_offsetof(struct tcphdr, check) : __builtin_offsetof(struct udphdr, check));
	uint64_t flags = tcp ? 0 : BPF_F_MARK_MANGLED_0;
	long r = 0;

	if (tail->set & (PLAN_SRC | PLAN_DST)) {
		r |= bpf_skb_store_bytes(skb, at, addresses, bytes, 0);
		if (!v6)
			r |= bpf_l3_csum_replace(skb, ETH_HLEN + __builtin_offsetof(struct iphdr, check), 0,
						 tail->addresses, 0);
		/* Kernels that do not know the flag do without. */
		if (!v6 || bpf_l4_csum_replace(skb, sum, 0, tail->addresses, flags | BPF_F_PSEUDO_HDR | BPF_F_IPV6) < 0)
			r |= bpf_l4_csum_replace(skb, sum, 0, tail->addresses, flags | BPF_F_PSEUDO_HDR);
	}
	if (tail->set & (PLAN_SPORT | PLAN_DPORT)) {
		r |= bpf_l4_csum_replace(skb, sum, 0, tail->ports, flags);
		r |= bpf_skb_store_bytes(skb, t->l4, &tail->new_sport, 4, 0);
	}
	return r == 0;
}

/* What the tags of a bucket have in common with this one: all zero at the places of those that agree. */
static __always_inline uint64_t untagged(uint32_t family, uint32_t place, uint16_t tag)
{
	uint32_t bucket = planslot_tag_bucket(family == 4 ? place : plan_slots + place);
	const uint64_t *four = bpf_map_lookup_elem(&tags, &bucket);

	return four ? *four ^ tag * 0x0001000100010001ull : ~0ull;
}

/* Add, and let nothing be moved across it. */
static __always_inline void add_fully(uint64_t *to, uint64_t n)
{
	uint64_t before = __sync_fetch_and_add(to, n);

	__asm__ volatile("" ::"r"(before));
}

static __always_inline uint32_t look(const uint32_t *seq)
{
	return *(const volatile uint32_t *)seq;
}

static __always_inline bool differs(const void *a, const void *b, int words)
{
	const uint32_t *x = a, *y = b;
	uint32_t d = 0;

	for (int i = 0; i < words; i++)
		d |= x[i] ^ y[i];
	return d;
}

/* The number was checked when it was written; a reader beside the writer may see any. */
static __always_inline bool read_way(uint32_t number, struct classifier_address *hop)
{
	const struct planway *way = bpf_map_lookup_elem(&ways, &number);

	if (!way)
		return false;
	hop->family = way->family;
	__builtin_memcpy(hop->addr, way->hop, 16);
	return true;
}

#define PLAN_READ(family, words)                                                                                       \
	static __always_inline bool read##family(struct planslot##family *slot, struct planslot##family *want,         \
						 struct classifier_address *hop, uint64_t packets, uint32_t bytes)     \
	{                                                                                                              \
		uint32_t seq = look(&slot->head.seq);                                                                  \
                                                                                                                       \
		if ((seq & 1) || !seq || differs(slot->src, want->src, (words) / 2) ||                                 \
		    slot->tail.sport != want->tail.sport || slot->tail.dport != want->tail.dport ||                    \
		    slot->tail.proto != want->tail.proto)                                                              \
			return false;                                                                                  \
		add_fully(&slot->head.packets, packets);                                                               \
		if (!differs(slot->src, want->src, (words) / 2) && slot->tail.sport == want->tail.sport &&             \
		    slot->tail.dport == want->tail.dport && slot->tail.proto == want->tail.proto) {                    \
			want->head.generation = slot->head.generation;                                                 \
			want->head.expires = slot->head.expires;                                                       \
			want->head.way = slot->head.way;                                                               \
			__builtin_memcpy(want->new_src, slot->new_src, (words)*2);                                     \
			want->tail = slot->tail;                                                                       \
			if (want->head.way && want->head.way != PLANSLOT_DROPPED)                                      \
				read_way(want->head.way, hop);                                                         \
			add_fully(&slot->head.bytes, bytes);                                                           \
			if (look(&slot->head.seq) == seq)                                                              \
				return true;                                                                           \
			__sync_fetch_and_add(&slot->head.bytes, -(uint64_t)bytes);                                     \
		}                                                                                                      \
		__sync_fetch_and_add(&slot->head.packets, -packets);                                                   \
		count(CLASSIFIER_PLAN_BUSY);                                                                           \
		return false;                                                                                          \
	}

PLAN_READ(4, 4)
PLAN_READ(6, 16)

/* What the kernel looks at before it routes a packet must be looked at here when it does not (FA-7). */
static __always_inline bool is_intact(struct __sk_buff *skb)
{
	uint16_t ip[10];
	uint32_t sum = 0;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return true;
	if (!load(skb, ETH_HLEN, ip, sizeof(ip)))
		return false;
	for (int i = 0; i < 10; i++)
		sum += ip[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

#define PLAN_RUN(family, at)                                                                                           \
	static __noinline int run##family(struct __sk_buff *skb, uint32_t silent, struct classifier_address *hop)      \
	{                                                                                                              \
		struct planslot##family want = {}, *slot;                                                              \
		uint64_t packets = skb->gso_segs ? skb->gso_segs : 1;                                                  \
		struct traveller t = {};                                                                               \
		uint64_t hash, differ = 0;                                                                             \
                                                                                                                       \
		if (!travel##family(skb, &want, &t) || !travel_transport(skb, &want.tail, &t))                         \
			return PLAN_NONE;                                                                              \
		hash = planslot_hash##family(plans.key, &want);                                                        \
		for (uint32_t i = 0; i < PLANSLOT_PROBES; i++) {                                                       \
			uint32_t n = planslot_probe(hash, plan_slots, i);                                              \
                                                                                                                       \
			if (i % PLANSLOT_BUCKET == 0)                                                                  \
				differ = untagged(family, n, planslot_tag(hash));                                      \
			if ((uint16_t)(differ >> 16 * (i % PLANSLOT_BUCKET)))                                          \
				continue;                                                                              \
			slot = bpf_map_lookup_elem(&plans##family, &n);                                                \
			if (!slot || !read##family(slot, &want, hop, packets, t.len))                                  \
				continue;                                                                              \
			if (!may_take(skb, &want.head, &want.tail, &t, silent)) {                                      \
				__sync_fetch_and_add(&slot->head.packets, -packets);                                   \
				__sync_fetch_and_add(&slot->head.bytes, -(uint64_t)t.len);                             \
				return PLAN_NONE;                                                                      \
			}                                                                                              \
			count(CLASSIFIER_PLAN);                                                                        \
			if (want.head.way == PLANSLOT_DROPPED)                                                         \
				return TC_ACT_SHOT;                                                                    \
			if (want.head.way && !is_intact(skb))                                                          \
				return drop(CLASSIFIER_DROPPED_SUM);                                                   \
			if (!carry_out(skb, &want.tail, want.new_src, at, sizeof(want.new_src) * 2, &t))               \
				return drop(CLASSIFIER_DROPPED_PLAN);                                                  \
			return want.head.way ? PLAN_HOP : PASS;                                                        \
		}                                                                                                      \
		return PLAN_NONE;                                                                                      \
	}

PLAN_RUN(4, ETH_HLEN + __builtin_offsetof(struct iphdr, saddr))
PLAN_RUN(6, ETH_HLEN + __builtin_offsetof(struct ipv6hdr, saddr))

/* silent: there is no agent to bring anything up to. */
static __noinline int run_plan(struct __sk_buff *skb, uint32_t silent)
{
	struct classifier_address hop = {};
	int action = PLAN_NONE;

	if (!plans.placed || skb->vlan_present || skb->pkt_type != PACKET_HOST)
		return PLAN_NONE;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		action = run4(skb, silent, &hop);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		action = run6(skb, silent, &hop);
	return action == PLAN_HOP ? forward(skb, &hop) : action;
}

#endif
