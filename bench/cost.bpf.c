// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Program cost: a driver that writes the headers of a numbered flow into the one
 * packet of BPF_PROG_TEST_RUN and goes on to the program that is measured; the
 * empty program, whose cost is the harness's; and a plain NAT program with a BPF hash map.
 */
#include "bench/frame.h"
#include "bench/cost.h"

struct frame_settings settings;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, uint32_t);
} target SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__type(key, struct nat_key);
	__type(value, struct nat_value);
} nat SEC(".maps");

SEC("tc")
int drive(struct __sk_buff *skb)
{
	struct ethhdr *eth = (struct ethhdr *)(long)skb->data;
	struct flow f;

	if (FRAME_L4(eth) + sizeof(struct udphdr) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	f = flows_get(settings.kind, frame_number(&settings), settings.dst, (uint16_t)settings.dport);
	frame_udp(&settings, eth, &f);
	bpf_tail_call(skb, &target, 0);
	return TC_ACT_SHOT;
}

SEC("tc")
int nothing(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_UNSPEC;
}

static __always_inline struct nat_value *nat_find(const struct iphdr *ip, const struct udphdr *udp)
{
	struct nat_key key = {
		.src = ip->saddr, .dst = ip->daddr, .sport = udp->source, .dport = udp->dest, .proto = ip->protocol};

	return bpf_map_lookup_elem(&nat, &key);
}

#define AT_IP_SUM  (ETH_HLEN + __builtin_offsetof(struct iphdr, check))
#define AT_DST     (ETH_HLEN + __builtin_offsetof(struct iphdr, daddr))
#define AT_UDP     (ETH_HLEN + sizeof(struct iphdr))
#define AT_UDP_SUM (AT_UDP + __builtin_offsetof(struct udphdr, check))
#define AT_DPORT   (AT_UDP + __builtin_offsetof(struct udphdr, dest))

SEC("tc")
int hash_nat(struct __sk_buff *skb)
{
	struct ethhdr *eth = (struct ethhdr *)(long)skb->data;
	struct iphdr *ip = FRAME_IP(eth);
	struct udphdr *udp = FRAME_L4(eth);
	struct nat_value *v, to;
	uint32_t dst;
	uint16_t dport;

	if ((void *)(udp + 1) > (void *)(long)skb->data_end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
		return TC_ACT_UNSPEC;
	v = nat_find(ip, udp);
	if (!v)
		return TC_ACT_SHOT;
	to = *v;
	dst = ip->daddr;
	dport = udp->dest;
	bpf_l4_csum_replace(skb, AT_UDP_SUM, dst, to.dst, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | sizeof(dst));
	bpf_l4_csum_replace(skb, AT_UDP_SUM, dport, to.dport, BPF_F_MARK_MANGLED_0 | sizeof(dport));
	bpf_l3_csum_replace(skb, AT_IP_SUM, dst, to.dst, sizeof(dst));
	bpf_skb_store_bytes(skb, AT_DST, &to.dst, sizeof(to.dst), 0);
	bpf_skb_store_bytes(skb, AT_DPORT, &to.dport, sizeof(to.dport), 0);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
