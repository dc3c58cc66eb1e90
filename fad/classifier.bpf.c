// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The kernel side of the agent: which packets come up to it (classify), and
 * where those go that come down with another next hop (forwarder).
 *
 * Must not know what an affinity does; it knows keys, masks and prefixes.
 * Reads packets by bpf_skb_load_bytes(): frames of an AF_PACKET sender have
 * little more than the Ethernet header in linear memory.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

typedef __u8 uint8_t;
typedef __u16 uint16_t;
typedef __u32 uint32_t;
typedef __s32 int32_t;
typedef __u64 uint64_t;
typedef __s64 int64_t;

#include "fad/classifier.h"

#define AF_INET  2
#define AF_INET6 10

#define IPV4_MORE_FRAGMENTS  0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV6_MORE_FRAGMENTS  0x0001
#define IPV6_FRAGMENT_OFFSET 0xfff8
#define MAX_EXTENSIONS       8

/* Leave the packet to the kernel.  Not TC_ACT_OK: filters that others attached behind ours see it too. */
#define PASS TC_ACT_UNSPEC

/* Filled in by classifier_io.c; sizes of the hash maps are set there too. */
struct classifier_settings settings;
struct classifier_filter filter;
uint64_t hints[CLASSIFIER_HINTS / 64];
struct classifier_shed sheds[CLASSIFIER_SHEDS];
/* Clocks of sources under those, found by a hash. */
uint64_t shed_shares[CLASSIFIER_SHED_SHARES];

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct classifier_key);
	__type(value, uint32_t);
} fixed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct classifier_key);
	__type(value, uint32_t);
} wildcards SEC(".maps");

/* Of those of shapes with CLASSIFIER_SHAPE_DROP_GONE: until when, in CLOCK_MONOTONIC. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct classifier_key);
	__type(value, uint64_t);
} gone SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct classifier_address);
	__type(value, uint32_t);
} own SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct classifier_address);
	__type(value, uint32_t);
} peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct classifier_prefix4);
	__type(value, uint32_t);
} advertised4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct classifier_prefix6);
	__type(value, uint32_t);
} advertised6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLASSIFIER_MAX_FORWARDS);
	__type(key, uint32_t);
	__type(value, struct classifier_address);
} forwards SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CLASSIFIER_COUNTERS);
	__type(key, uint32_t);
	__type(value, uint64_t);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, uint32_t);
	__type(value, struct classifier_interface);
} interfaces SEC(".maps");

/* What is known of one packet. */
struct view {
	struct classifier_key key;
	uint8_t icmp_type; /* of ICMP and ICMPv6 */
	uint32_t l4;       /* where the transport header is in the frame; 0: nowhere */
	bool fragment;     /* part of a fragmented datagram */
	bool tail;         /* and not the first one: no ports */
};

static __always_inline void count(uint32_t which)
{
	uint64_t *value = bpf_map_lookup_elem(&counters, &which);

	if (value)
		(*value)++;
}

static __always_inline int pass(struct classifier_interface *interface, uint32_t which)
{
	count(which);
	if (interface)
		interface->passed++;
	return PASS;
}

/* For how long the agent has given no sign of life; 0: it lives. */
static __always_inline uint64_t silence(void)
{
	/* The heartbeat may be a moment ahead: it was written by another CPU. */
	__s64 age = (__s64)(bpf_ktime_get_ns() - settings.heartbeat_ns);

	return age > (__s64)CLASSIFIER_STALE_NS ? (uint64_t)age : 0;
}

static __always_inline bool is_extension(uint8_t next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH;
}

/* Both of fixed size, so that it is a copy where the packet lies in linear memory, as most do. */
static __always_inline bool load(struct __sk_buff *skb, uint32_t at, void *to, uint32_t size)
{
	const uint8_t *data = (const uint8_t *)(long)skb->data;

	if (data + at + size > (const uint8_t *)(long)skb->data_end)
		return bpf_skb_load_bytes(skb, at, to, size) == 0;
	__builtin_memcpy(to, data + at, size);
	return true;
}

/* ---- what nothing could match ---- */

static __always_inline bool is_set(uint32_t family, uint32_t side, const uint8_t *address)
{
	uint32_t bit = classifier_filter_bit(family ? 6 : 4, address) % CLASSIFIER_FILTER_BITS;

	return filter.bits[family][side][bit / 64] >> bit % 64 & 1;
}

/* No key, wildcard or prefix stored could be about it.  Not said of ICMP, whose errors are about another flow, nor of
 * what does not lie in linear memory. */
static __always_inline bool is_nothing(struct __sk_buff *skb)
{
	const uint8_t *ip = (const uint8_t *)(long)skb->data + ETH_HLEN, *end = (const uint8_t *)(long)skb->data_end;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		const struct iphdr *h = (const struct iphdr *)ip;

		return !filter.any[0] && ip + sizeof(*h) <= end && h->protocol != IPPROTO_ICMP &&
		       !is_set(0, CLASSIFIER_FILTER_DST, (const uint8_t *)&h->daddr) &&
		       !is_set(0, CLASSIFIER_FILTER_SRC, (const uint8_t *)&h->saddr);
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		const struct ipv6hdr *h = (const struct ipv6hdr *)ip;

		/* Behind extension headers there may be ICMP. */
		return !filter.any[1] && ip + sizeof(*h) <= end &&
		       (h->nexthdr == IPPROTO_TCP || h->nexthdr == IPPROTO_UDP) &&
		       !is_set(1, CLASSIFIER_FILTER_DST, h->daddr.s6_addr) &&
		       !is_set(1, CLASSIFIER_FILTER_SRC, h->saddr.s6_addr);
	}
	return true;
}

/* ---- parsing ---- */

/* A header cut short leaves the ports 0: the agent, if it gets to see the packet, will call it malformed. */
static __always_inline void parse_transport(struct __sk_buff *skb, uint32_t offset, struct view *v)
{
	uint16_t ports[2];

	v->l4 = offset;
	if (v->key.proto == (v->key.family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		bpf_skb_load_bytes(skb, offset, &v->icmp_type, 1);
	if (v->key.proto != IPPROTO_TCP && v->key.proto != IPPROTO_UDP)
		return;
	if (bpf_skb_load_bytes(skb, offset, ports, sizeof(ports)) < 0)
		return;
	v->key.sport = bpf_ntohs(ports[0]);
	v->key.dport = bpf_ntohs(ports[1]);
}

/* at: where the IP header is in the frame. */
static __always_inline bool parse_ipv4(struct __sk_buff *skb, uint32_t at, struct view *v)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) < 0 || ip.version != 4 || ip.ihl < 5)
		return false;
	v->key.family = 4;
	v->key.proto = ip.protocol;
	__builtin_memcpy(v->key.src, &ip.saddr, 4);
	__builtin_memcpy(v->key.dst, &ip.daddr, 4);
	v->tail = (bpf_ntohs(ip.frag_off) & IPV4_FRAGMENT_OFFSET) != 0;
	v->fragment = (bpf_ntohs(ip.frag_off) & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET)) != 0;
	if (!v->tail)
		parse_transport(skb, at + ip.ihl * 4, v);
	return true;
}

/* Skip extension headers; false: there is no transport header to be found.  If that is because they are cut short, or
 * more than anybody needs, v->key.proto is the extension's number. */
static __always_inline bool skip_extensions(struct __sk_buff *skb, uint32_t *offset, struct view *v)
{
	for (int i = 0; i < MAX_EXTENSIONS && is_extension(v->key.proto) && !v->tail; i++) {
		uint8_t e[4];
		uint32_t length;

		if (bpf_skb_load_bytes(skb, *offset, e, sizeof(e)) < 0)
			return false;
		length = (e[1] + 1u) * 8;
		if (v->key.proto == IPPROTO_AH)
			length = (e[1] + 2u) * 4;
		if (v->key.proto == IPPROTO_FRAGMENT) {
			uint16_t fragment = e[2] << 8 | e[3];

			length = 8;
			v->tail = (fragment & IPV6_FRAGMENT_OFFSET) != 0;
			v->fragment = (fragment & (IPV6_MORE_FRAGMENTS | IPV6_FRAGMENT_OFFSET)) != 0;
		}
		v->key.proto = e[0];
		*offset += length;
	}
	return !v->tail && !is_extension(v->key.proto);
}

static __always_inline bool parse_ipv6(struct __sk_buff *skb, uint32_t at, struct view *v)
{
	uint32_t offset = at + sizeof(struct ipv6hdr);
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) < 0 || ip.version != 6)
		return false;
	v->key.family = 6;
	v->key.proto = ip.nexthdr;
	__builtin_memcpy(v->key.src, &ip.saddr, 16);
	__builtin_memcpy(v->key.dst, &ip.daddr, 16);
	if (skip_extensions(skb, &offset, v))
		parse_transport(skb, offset, v);
	/* What it carries cannot be told, so it is taken for a later fragment: it comes up wherever a wildcard may be
	 * meant, and the agent drops it as malformed.  No filter is got around by a long chain of headers. */
	if (is_extension(v->key.proto))
		v->tail = v->fragment = true;
	return true;
}

/* False: nothing that an affinity could match. */
static __always_inline bool parse(struct __sk_buff *skb, struct view *v)
{
	if (skb->vlan_present)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return parse_ipv4(skb, ETH_HLEN, v);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(skb, ETH_HLEN, v);
	return false;
}

/* ---- what is never matched (FA-8) ---- */

/* What the kernel alone knows how to deliver, or to drop (FA-7). */
static __always_inline bool is_local_scope(const struct view *v)
{
	if (classifier_local_scope(v->key.family, v->key.src, v->key.dst))
		return true;
	if (v->key.family == 4)
		return v->key.proto == IPPROTO_IGMP;
	if (v->key.proto != IPPROTO_ICMPV6)
		return false;
	/* Multicast listeners, neighbour discovery, listeners again. */
	return (v->icmp_type >= 130 && v->icmp_type <= 137) || v->icmp_type == 143;
}

static __always_inline bool is_listed(void *map, uint8_t family, const uint8_t *addr, uint16_t port)
{
	struct classifier_address a = {.family = family, .port = port};

	__builtin_memcpy(a.addr, addr, 16);
	return bpf_map_lookup_elem(map, &a) != NULL;
}

/* The router's own addresses, and service messages.  Of a message in fragments all but the first have
 * no ports: port 0 stands for any port of an endpoint. */
static __noinline bool is_protected(const struct classifier_key *key)
{
	if (is_listed(&own, key->family, key->dst, 0))
		return true;
	return key->proto == IPPROTO_UDP && (is_listed(&peers, key->family, key->dst, key->dport) ||
					     is_listed(&peers, key->family, key->src, key->sport));
}

/* Somebody else sends from an address of this router: the kernel drops that as martian, but only where it comes in, not
 * where the agent gives it back. */
static __noinline bool is_forged(const struct classifier_key *key)
{
	return is_listed(&own, key->family, key->src, 0);
}

/* ---- lookups ---- */

static __always_inline bool may_be_stored(const struct classifier_key *masked)
{
	uint32_t hint = classifier_hint(masked) % CLASSIFIER_HINTS;

	return hints[hint / 64] >> hint % 64 & 1;
}

static __always_inline void mask_address(uint8_t *to, const uint8_t *from, const uint8_t *mask)
{
	((uint64_t *)to)[0] = ((const uint64_t *)from)[0] & ((const uint64_t *)mask)[0];
	((uint64_t *)to)[1] = ((const uint64_t *)from)[1] & ((const uint64_t *)mask)[1];
}

/* What the shape of this number leaves of a key. */
static __always_inline void mask_key(struct classifier_key *masked, const struct classifier_key *key, uint32_t number)
{
	const struct classifier_shape *s = &settings.shapes[number];

	masked->family = key->family;
	masked->proto = key->proto & s->proto_mask;
	masked->sport = key->sport & s->sport_mask;
	masked->dport = key->dport & s->dport_mask;
	masked->shape = number;
	mask_address(masked->src, key->src, s->src_mask);
	mask_address(masked->dst, key->dst, s->dst_mask);
}

/*
 * The value of an entry that the key is under, by a shape of the list that has these flags, and that has any of the
 * wanted bits; 0: there is none.  list: less than CLASSIFIER_LISTS.
 * Not static: a global function is verified once by itself, not again at each call, which took the kernel seconds.
 */
__noinline int find_under(const struct classifier_key *key, uint32_t list, uint32_t flags, uint32_t wanted)
{
	uint32_t used;

	if (!key || list >= CLASSIFIER_LISTS) /* for the verifier */
		return 0;
	used = settings.shape_count[list];
	for (uint32_t i = 0; i < CLASSIFIER_MAX_SHAPES; i++) {
		struct classifier_key masked;
		uint32_t number = settings.shape_order[list][i] % CLASSIFIER_ALL_SHAPES;
		const uint32_t *value;

		if (i >= used)
			break;
		if ((settings.shapes[number].flags & flags) != flags)
			continue;
		mask_key(&masked, key, number);
		if (!may_be_stored(&masked))
			continue;
		value = bpf_map_lookup_elem(&wildcards, &masked);
		if (value && (*value & wanted))
			return (int)*value;
	}
	return 0;
}

/* Is there an entry that drops without an agent, and would still be there, had the agent not died?  (FA-6)  Not static,
 * as above; nor the same function: together they would take too much of the stack. */
__noinline int find_gone(const struct classifier_key *key, uint32_t list)
{
	uint64_t now_ns = bpf_ktime_get_ns();

	if (!key || list >= CLASSIFIER_LISTS) /* for the verifier */
		return 0;
	for (uint32_t i = 0; i < CLASSIFIER_MAX_SHAPES; i++) {
		struct classifier_key masked;
		uint32_t number = settings.shape_order[list][i] % CLASSIFIER_ALL_SHAPES;
		const uint64_t *until_ns;

		if (i >= settings.shape_count[list])
			break;
		if (!(settings.shapes[number].flags & CLASSIFIER_SHAPE_DROP_GONE))
			continue;
		mask_key(&masked, key, number);
		until_ns = bpf_map_lookup_elem(&gone, &masked);
		if (until_ns && *until_ns > now_ns)
			return 1;
	}
	return 0;
}

static __always_inline bool is_listed_under(const struct classifier_key *key, uint32_t list, uint32_t flags)
{
	if (flags & CLASSIFIER_SHAPE_DROP_GONE)
		return find_gone(key, list) != 0;
	return find_under(key, list, flags, CLASSIFIER_COVERS) != 0;
}

/* Could the fragment be of a datagram that a wildcard covers?  Its ports, if it has any, are not looked at: the agent
 * must know those of the first for the sake of the others, whether it is covered itself or not. */
static __always_inline bool is_part_covered(struct view *v, uint16_t flags)
{
	uint32_t list = classifier_list(v->key.family, CLASSIFIER_SHAPE_FRAGMENTS);
	const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMPV6};
	uint8_t proto = v->key.proto;
	bool covered = false;

	if (!v->tail || v->key.family == 4 || !is_extension(proto))
		return is_listed_under(&v->key, list, flags);
	/* IPv6 with more extension headers: the protocol is in the first fragment only.  Wildcards for any port of one
	 * stand in the other list. */
	for (int i = 0; i < 3 && !covered; i++) {
		v->key.proto = protocols[i];
		covered =
			is_listed_under(&v->key, list, flags) || is_listed_under(&v->key, classifier_list(6, 0), flags);
	}
	v->key.proto = proto;
	return covered;
}

/* Does a wildcard cover the packet, or the datagram that it may be part of?  Only shapes with these flags are asked. */
static __always_inline bool is_covered(struct view *v, uint16_t flags)
{
	return is_listed_under(&v->key, classifier_list(v->key.family, 0), flags) ||
	       (v->fragment && is_part_covered(v, flags));
}

static __always_inline bool is_advertised(const struct classifier_key *key)
{
	if (key->family == 4) {
		struct classifier_prefix4 p = {.plen = 32};

		__builtin_memcpy(p.addr, key->dst, 4);
		return bpf_map_lookup_elem(&advertised4, &p) != NULL;
	}
	struct classifier_prefix6 p = {.plen = 128};

	__builtin_memcpy(p.addr, key->dst, 16);
	return bpf_map_lookup_elem(&advertised6, &p) != NULL;
}

/* What would become of the packet if nothing protected it. */
static __always_inline uint32_t judge(struct view *v, const struct classifier_interface *interface)
{
	if (bpf_map_lookup_elem(&fixed, &v->key))
		return CLASSIFIER_PUNTED_FIXED;
	if (is_covered(v, 0))
		return CLASSIFIER_PUNTED_WILDCARD;
	if (is_advertised(&v->key))
		return CLASSIFIER_DROPPED_ADVERTISED;
	if (interface && interface->drop_unmatched)
		return CLASSIFIER_DROPPED_UNMATCHED;
	return CLASSIFIER_PASSED;
}

/* ---- ICMP errors (KEY-4) ---- */

#define ICMP_HEADER 8

/* About a packet; not a redirect, which is for a neighbour. */
static __always_inline bool is_error(const struct view *v)
{
	if (!v->l4 || v->fragment)
		return false;
	if (v->key.family == 6)
		return v->key.proto == IPPROTO_ICMPV6 && v->icmp_type >= 1 && v->icmp_type <= 4;
	return v->key.proto == IPPROTO_ICMP && (v->icmp_type == 3 || v->icmp_type == 11 || v->icmp_type == 12);
}

/* From the key of what is embedded to that of the flow which the error travels with. */
static __always_inline void reverse(struct classifier_key *key)
{
	uint64_t *src = (uint64_t *)key->src, *dst = (uint64_t *)key->dst;
	uint16_t port = key->sport;

	key->sport = key->dport;
	key->dport = port;
	for (int i = 0; i < 2; i++) {
		uint64_t word = src[i];

		src[i] = dst[i];
		dst[i] = word;
	}
}

static __always_inline bool same_address(const uint8_t *a, const uint8_t *b)
{
	const uint64_t *x = (const uint64_t *)a, *y = (const uint64_t *)b;

	return x[0] == y[0] && x[1] == y[1];
}

/* CLASSIFIER_PUNTED_*: an affinity concerns the flow it is about; CLASSIFIER_PASSED: none that can be told. */
static __noinline uint32_t judge_error(struct __sk_buff *skb, const struct view *error)
{
	struct view v __attribute__((aligned(8))) = {};
	uint32_t at = error->l4 + ICMP_HEADER;

	if (!(error->key.family == 4 ? parse_ipv4(skb, at, &v) : parse_ipv6(skb, at, &v)) || v.tail)
		return CLASSIFIER_PASSED;
	reverse(&v.key);
	/* It must have come to the one whose packet it is about. */
	if (!same_address(v.key.dst, error->key.dst) || is_local_scope(&v) || is_protected(&v.key))
		return CLASSIFIER_PASSED;
	v.key.shape = CLASSIFIER_FIXED_SHAPE;
	v.fragment = false;
	if (bpf_map_lookup_elem(&fixed, &v.key))
		return CLASSIFIER_PUNTED_FIXED;
	return is_covered(&v, 0) ? CLASSIFIER_PUNTED_WILDCARD : CLASSIFIER_PASSED;
}

/* What the agent is to know goes where the MACs were. */
static __always_inline bool mark(struct __sk_buff *skb, uint8_t kind)
{
	uint32_t ifindex = bpf_htonl(skb->ifindex);
	uint8_t macs[12] = {CLASSIFIER_MAC_NOBODY, 0x02, kind};

	__builtin_memcpy(macs + 8, &ifindex, 4);
	return bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0) == 0;
}

static __always_inline int punt(struct __sk_buff *skb, struct classifier_interface *interface, uint32_t which,
				uint8_t kind)
{
	if (!mark(skb, kind)) {
		count(CLASSIFIER_DROPPED_FRAME);
		return TC_ACT_SHOT;
	}
	count(which);
	if (interface)
		interface->punted++;
	return (int)bpf_redirect(settings.port_ifindex, 0);
}

static __always_inline int drop(uint32_t which)
{
	count(which);
	return TC_ACT_SHOT;
}

/* The same, but while somebody looks on (turnoutctl capture) the agent gets to see the packet.  How many the agent
 * says, all CPUs together give or take a few: they share its ring with what is punted. */
static __always_inline int drop_seen(struct __sk_buff *skb, uint32_t which)
{
	count(which);
	if (!settings.looked_on)
		return TC_ACT_SHOT;
	if (settings.shown_left <= 0 || !mark(skb, CLASSIFIER_MAC_DROPPED | which))
		return drop(CLASSIFIER_UNSHOWN);
	__sync_fetch_and_add(&settings.shown_left, -1);
	return (int)bpf_redirect(settings.port_ifindex, 0);
}

/* ---- too many questions (FA-5) ---- */

#define LEAST_FRAME 60 /* shorter ones may have been padded to this */

/* Bits of WIRE_INTEREST_* that the packet has; first data is what any may be. */
static __always_inline uint16_t kinds(struct __sk_buff *skb, const struct view *v)
{
	const uint16_t all = 0x8000, data = 0x0040 | 0x0080, tcp_flags = 0x003f;
	uint32_t end = v->l4 + sizeof(struct udphdr);
	uint16_t bits = all;
	uint8_t tcp[2];

	if (v->key.proto == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, v->l4 + 12, tcp, sizeof(tcp)) < 0)
			return bits;
		bits |= tcp[1] & tcp_flags;
		end = v->l4 + (tcp[0] >> 4) * 4;
	} else if (v->key.proto != IPPROTO_UDP) {
		return bits;
	}
	return skb->len > LEAST_FRAME && skb->len > end ? bits | data : bits;
}

static __always_inline uint64_t *share_of(const struct view *v, const struct classifier_shed *s)
{
	const uint64_t *far = (const uint64_t *)(s->by_target ? v->key.dst : v->key.src);
	uint64_t hash = bpf_be64_to_cpu(*far) >> (v->key.family == 4 ? 40 : 8); /* a /24, a /56 */

	hash = (hash ^ s->serial * 0x9e3779b97f4a7c15ull ^ settings.shed_key[0]) * (settings.shed_key[1] | 1);
	hash ^= hash >> 32;
	hash *= 0x9e3779b97f4a7c15ull;
	return &shed_shares[(hash >> 40) % CLASSIFIER_SHED_SHARES];
}

/* From now on, if it is behind; the other CPUs may do the same, or be a packet ahead, and that is all. */
static __always_inline int64_t ahead_of(uint64_t *paid_ns, uint64_t now_ns)
{
	if (*paid_ns < now_ns)
		*paid_ns = now_ns;
	return (int64_t)(*paid_ns - now_ns);
}

/* As may_ask() of the engine, with the rate that the agent gave. */
static __always_inline bool may_come_up(const struct view *v, struct classifier_shed *s, uint64_t now_ns)
{
	uint64_t *share_paid = share_of(v, s);
	int64_t ahead = ahead_of(&s->paid_ns, now_ns);
	bool little;

	if (ahead > (int64_t)(s->burst_ns + s->spare_ns))
		return false;
	little = ahead_of(share_paid, now_ns) <= (int64_t)(CLASSIFIER_SHARE_BURST * s->share_ns);
	if (little)
		__sync_fetch_and_add(share_paid, s->share_ns);
	else if (ahead > (int64_t)s->burst_ns)
		return false;
	__sync_fetch_and_add(&s->paid_ns, s->each_ns);
	return true;
}

/* CLASSIFIER_PASSED: it may come up.  Fragments may: the agent must know the first one for the sake of the others. */
static __noinline uint32_t judge_shed(struct __sk_buff *skb, const struct view *v)
{
	uint64_t now_ns = bpf_ktime_get_ns();
	struct classifier_shed *s;
	uint32_t number;

	if (settings.shed_until_ns < now_ns || !v->l4 || v->fragment)
		return CLASSIFIER_PASSED;
	number = find_under(&v->key, classifier_list(v->key.family, 0), 0, CLASSIFIER_SHED);
	number = (number & CLASSIFIER_SHED) >> CLASSIFIER_SHED_SHIFT;
	if (number == 0 || number > CLASSIFIER_SHEDS)
		return CLASSIFIER_PASSED;
	s = &sheds[number - 1];
	if (s->until_ns < now_ns || !(kinds(skb, v) & s->asks) || may_come_up(v, s, now_ns))
		return CLASSIFIER_PASSED;
	__sync_fetch_and_add(&s->shed, 1);
	return s->route ? CLASSIFIER_SHED_ROUTED : CLASSIFIER_DROPPED_SHED;
}

/* ---- to a next hop ---- */

/* What the FIB is asked about, out of the packet's header.  False: no IP header. */
static __always_inline bool describe(struct __sk_buff *skb, const struct classifier_address *hop,
				     struct bpf_fib_lookup *fib, uint8_t *ttl)
{
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
			return false;
		*ttl = ip.ttl;
		fib->tos = ip.tos;
		fib->l4_protocol = ip.protocol;
		if (hop->family == 4)
			fib->ipv4_src = ip.saddr;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
			return false;
		*ttl = ip.hop_limit;
		fib->l4_protocol = ip.nexthdr;
		if (hop->family == 6)
			__builtin_memcpy(fib->ipv6_src, &ip.saddr, 16);
	} else {
		return false;
	}
	fib->family = hop->family == 4 ? AF_INET : AF_INET6;
	fib->ifindex = skb->ifindex;
	/* Of a super-packet the segments count, which are measured later. */
	fib->tot_len = skb->gso_size ? 0 : skb->len - ETH_HLEN;
	__builtin_memcpy(fib->ipv6_dst, hop->addr, 16);
	return true;
}

static __always_inline void decrement_ttl(struct __sk_buff *skb, uint8_t ttl)
{
	uint8_t less = ttl - 1;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		uint32_t at = ETH_HLEN + __builtin_offsetof(struct iphdr, ttl);

		/* The first byte of a 16-bit word in network order. */
		bpf_l3_csum_replace(skb, ETH_HLEN + __builtin_offsetof(struct iphdr, check),
				    bpf_htons((uint16_t)(ttl << 8)), bpf_htons((uint16_t)(less << 8)), 2);
		bpf_skb_store_bytes(skb, at, &less, 1, 0);
	} else {
		bpf_skb_store_bytes(skb, ETH_HLEN + __builtin_offsetof(struct ipv6hdr, hop_limit), &less, 1, 0);
	}
}

static __always_inline bool is_too_big(struct __sk_buff *skb, uint32_t ifindex)
{
	uint32_t mtu = 0;

	return skb->gso_size && bpf_check_mtu(skb, ifindex, &mtu, 0, BPF_MTU_CHK_SEGS) > 0;
}

/* Ask the kernel's FIB about the next hop.  CLASSIFIER_FORWARDED, or what the packet is dropped for;
 * CLASSIFIER_PASSED: the kernel, routing it by its destination, finds that its time is up and says so to the sender. */
static __always_inline uint32_t find_way(struct __sk_buff *skb, const struct classifier_address *hop,
					 struct bpf_fib_lookup *fib, uint8_t *ttl)
{
	long found;

	if (!describe(skb, hop, fib, ttl))
		return CLASSIFIER_DROPPED_FRAME;
	if (*ttl <= 1)
		return CLASSIFIER_PASSED;
	found = bpf_fib_lookup(skb, fib, sizeof(*fib), 0);
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return CLASSIFIER_DROPPED_TOO_BIG;
	/* No neighbour yet is fine: sending to one is what resolves it.  IPv6 over an IPv4 neighbour is not. */
	if ((found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH) ||
	    (fib->family == AF_INET && skb->protocol != bpf_htons(ETH_P_IP)))
		return CLASSIFIER_DROPPED_NO_ROUTE;
	return is_too_big(skb, fib->ifindex) ? CLASSIFIER_DROPPED_TOO_BIG : CLASSIFIER_FORWARDED;
}

static __always_inline int send(struct __sk_buff *skb, const struct bpf_fib_lookup *fib, uint8_t ttl)
{
	struct bpf_redir_neigh neighbour = {};

	decrement_ttl(skb, ttl);
	neighbour.nh_family = fib->family;
	__builtin_memcpy(neighbour.ipv6_nh, fib->ipv6_dst, 16);
	return (int)bpf_redirect_neigh(fib->ifindex, &neighbour, sizeof(neighbour), 0);
}

/* As the agent says, or a plan of its. */
static __noinline int forward(struct __sk_buff *skb, const struct classifier_address *hop)
{
	struct bpf_fib_lookup fib = {};
	uint8_t ttl = 0;
	uint32_t way = find_way(skb, hop, &fib, &ttl);

	if (way == CLASSIFIER_PASSED)
		return TC_ACT_OK;
	if (way != CLASSIFIER_FORWARDED)
		return drop_seen(skb, way);
	count(CLASSIFIER_FORWARDED);
	return send(skb, &fib, ttl);
}

#include "fad/fastpath.bpf.h"

/* ---- without an agent ---- */

/* Did the frame come from the neighbour that it would go to?  Then that one has no agent either. */
static __always_inline bool is_from(struct __sk_buff *skb, const struct bpf_fib_lookup *fib)
{
	const uint8_t *neighbour = fib->dmac;
	uint8_t mac[ETH_ALEN];
	uint8_t differs = 0, any = 0;

	if (skb->ifindex != fib->ifindex || bpf_skb_load_bytes(skb, ETH_ALEN, mac, sizeof(mac)) < 0)
		return false;
	for (int i = 0; i < ETH_ALEN; i++) {
		differs |= mac[i] ^ neighbour[i];
		any |= neighbour[i]; /* zero: not resolved yet */
	}
	return any && !differs;
}

/* The agent is dead.  What it would have seen goes to the next one, if the operator named one, and for as long
 * as he allows what the dead one left here to mean anything; then what wildcards want dropped without an agent is
 * dropped, as long as they live (FA-6), and all else is the kernel's to route. */
static __noinline int without_agent(struct __sk_buff *skb, struct classifier_interface *interface, uint64_t silent)
{
	struct view v __attribute__((aligned(8))) = {};
	const struct classifier_address *hop;
	struct bpf_fib_lookup fib = {};
	uint8_t ttl = 0;
	uint32_t way;
	bool serves;

	if (silent > settings.fallback_ns && bpf_ktime_get_ns() > settings.gone_until_ns)
		return pass(interface, CLASSIFIER_STALE);
	if (!parse(skb, &v) || skb->pkt_type != PACKET_HOST || is_local_scope(&v))
		return pass(interface, CLASSIFIER_STALE);
	hop = v.key.family == 4 ? &settings.fallback[0] : &settings.fallback[1];
	serves = hop->family != 0 && silent <= settings.fallback_ns;
	if (!serves && bpf_ktime_get_ns() > settings.gone_until_ns)
		return pass(interface, CLASSIFIER_STALE);
	v.key.shape = CLASSIFIER_FIXED_SHAPE;
	if (!is_covered(&v, serves ? 0 : CLASSIFIER_SHAPE_DROP_GONE) &&
	    (!serves ||
	     (!bpf_map_lookup_elem(&fixed, &v.key) && (!is_error(&v) || judge_error(skb, &v) == CLASSIFIER_PASSED))))
		return pass(interface, CLASSIFIER_STALE);
	/* Whatever is permitted: without an agent the router itself is to be reached. */
	if (is_forged(&v.key) || is_protected(&v.key))
		return pass(interface, CLASSIFIER_PROTECTED);
	if (!serves)
		return drop(CLASSIFIER_DROPPED_GONE);
	way = find_way(skb, hop, &fib, &ttl);
	if (way == CLASSIFIER_PASSED)
		return pass(interface, CLASSIFIER_STALE);
	if (way != CLASSIFIER_FORWARDED)
		return drop(way);
	if (is_from(skb, &fib))
		return drop(CLASSIFIER_DROPPED_LOOP);
	count(CLASSIFIER_FALLBACK);
	return send(skb, &fib, ttl);
}

/* ---- the programs ---- */

/* What has no plan. */
static __always_inline int decide(struct __sk_buff *skb, struct classifier_interface *interface, uint64_t silent)
{
	struct view v __attribute__((aligned(8))) = {};
	uint32_t verdict;

	if (silent > 0)
		return without_agent(skb, interface, silent);
	if (!parse(skb, &v))
		return pass(interface, CLASSIFIER_PASSED);
	/* Somebody else's frame, seen in promiscuous mode, is not ours to take. */
	if (skb->pkt_type != PACKET_HOST || is_local_scope(&v))
		return pass(interface, CLASSIFIER_PROTECTED);
	v.key.shape = CLASSIFIER_FIXED_SHAPE;
	verdict = is_error(&v) ? judge_error(skb, &v) : CLASSIFIER_PASSED;
	if (verdict == CLASSIFIER_PASSED)
		verdict = judge(&v, interface);
	if (verdict == CLASSIFIER_PASSED)
		return pass(interface, verdict);
	/* Asked only now, so that it costs nothing where nothing matches. */
	if (is_forged(&v.key))
		return pass(interface, CLASSIFIER_PROTECTED);
	if (is_protected(&v.key)) {
		/* Only unicast gets here: what is of local scope could not be delivered from another interface. */
		if (!settings.permit_protected || !is_covered(&v, CLASSIFIER_SHAPE_PROTECTED))
			return pass(interface, CLASSIFIER_PROTECTED);
		return punt(skb, interface, CLASSIFIER_PUNTED_WILDCARD, CLASSIFIER_MAC_GUARDED);
	}
	if (verdict == CLASSIFIER_PUNTED_WILDCARD && settings.shed_until_ns) {
		uint32_t shed = judge_shed(skb, &v);

		if (shed != CLASSIFIER_PASSED)
			verdict = shed;
	}
	if (verdict == CLASSIFIER_PUNTED_FIXED || verdict == CLASSIFIER_PUNTED_WILDCARD)
		return punt(skb, interface, verdict, CLASSIFIER_MAC_PUNT);
	return verdict == CLASSIFIER_SHED_ROUTED ? pass(interface, verdict) : drop_seen(skb, verdict);
}

SEC("tc") int classify(struct __sk_buff *skb)
{
	uint32_t ifindex = skb->ifindex;
	struct classifier_interface *interface = bpf_map_lookup_elem(&interfaces, &ifindex);
	uint64_t silent;

	count(CLASSIFIER_SEEN);
	if (!(interface && interface->drop_unmatched) && is_nothing(skb))
		return pass(interface, CLASSIFIER_PASSED);
	silent = silence();
	if (plan_slots && interface && interface->plans) {
		int action = run_plan(skb, silent > 0);

		if (action != PLAN_NONE) {
			interface->planned++;
			return action;
		}
	}
	return decide(skb, interface, silent);
}

SEC("tc") int forwarder(struct __sk_buff *skb)
{
	struct classifier_address *hop;
	uint32_t index;
	uint8_t mac[6];

	if (bpf_skb_load_bytes(skb, ETH_ALEN, mac, sizeof(mac)) < 0 || mac[0] != 0x02)
		return drop(CLASSIFIER_DROPPED_FRAME);
	if (mac[1] == CLASSIFIER_MAC_ROUTE)
		return TC_ACT_OK;
	if (mac[1] != CLASSIFIER_MAC_FORWARD)
		return drop(CLASSIFIER_DROPPED_FRAME);
	index = (uint32_t)mac[2] << 24 | mac[3] << 16 | mac[4] << 8 | mac[5];
	hop = bpf_map_lookup_elem(&forwards, &index);
	if (!hop || (hop->family != 4 && hop->family != 6))
		return drop_seen(skb, CLASSIFIER_DROPPED_NO_ROUTE);
	return forward(skb, hop);
}

const char program_license[] SEC("license") = "Dual BSD/GPL";
