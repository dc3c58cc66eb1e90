// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Both ends of a packet rate: a generator, run by BPF_PROG_TEST_RUN with live
 * frames, that redirects each frame to the client's veth; and a sink at XDP of
 * the server's veth, that counts what arrives as it should, and what does not.
 */
#include "bench/frame.h"

#define TRACED 4096

struct frame_settings settings;
uint32_t tracing; /* note the sources of the first TRACED packets */
uint32_t traced;
uint32_t trace[TRACED];

/* 0: with the server's port, 1: anything else. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, uint32_t);
	__type(value, uint64_t);
} arrived SEC(".maps");

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	struct ethhdr *eth = (struct ethhdr *)(long)ctx->data;
	struct flow f;

	if (FRAME_L4(eth) + sizeof(struct udphdr) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	f = flows_get(settings.kind, frame_number(&settings), settings.dst, (uint16_t)settings.dport);
	frame_udp(&settings, eth, &f);
	return (int)bpf_redirect(settings.ifindex, 0);
}

static __always_inline void note(uint32_t source)
{
	uint32_t n = traced;

	if (!tracing || n >= TRACED)
		return;
	trace[n & (TRACED - 1)] = bpf_ntohl(source);
	traced = n + 1;
}

/* The port tells whether the destination was translated: the VIP's is another one. */
SEC("xdp")
int sink(struct xdp_md *ctx)
{
	struct ethhdr *eth = (struct ethhdr *)(long)ctx->data;
	struct iphdr *ip = FRAME_IP(eth);
	struct udphdr *udp = FRAME_L4(eth);
	uint32_t which = 1;
	uint64_t *count;

	if ((void *)(udp + 1) <= (void *)(long)ctx->data_end && eth->h_proto == bpf_htons(ETH_P_IP) &&
	    (bpf_ntohl(ip->saddr) & ~FLOWS_SRC_MASK) == FLOWS_SRC && (bpf_ntohl(ip->daddr) >> 16) == (10 << 8 | 2) &&
	    udp->dest == bpf_htons(FLOWS_REAL_PORT)) {
		which = 0;
		note(ip->saddr);
	}
	count = bpf_map_lookup_elem(&arrived, &which);
	if (count)
		(*count)++;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
