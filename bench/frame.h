/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes the headers of a numbered flow into a frame: for the generators,
 * in the kernel and in user space, and for the driver of BPF_PROG_TEST_RUN.
 */
#ifndef TURNOUT_BENCH_FRAME_H
#define TURNOUT_BENCH_FRAME_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#ifdef __BPF__
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

typedef __u8 uint8_t;
typedef __u16 uint16_t;
typedef __u32 uint32_t;
typedef __u64 uint64_t;
#else
#include <stdint.h>
#endif
#include <bpf/bpf_endian.h>

#include "bench/flows.h"

/* Where headers without options are in a frame. */
#define FRAME_IP(eth) ((struct iphdr *)((struct ethhdr *)(eth) + 1))
#define FRAME_L4(eth) ((void *)(FRAME_IP(eth) + 1))

static inline __attribute__((always_inline)) uint16_t frame_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static inline __attribute__((always_inline)) uint32_t frame_number(struct frame_settings *s)
{
	uint32_t n;

	if (!s->sequence)
		return flows_random(&s->random, s->count);
	n = s->next++;
	if (s->next == s->count)
		s->next = 0;
	return n;
}

static inline __attribute__((always_inline)) uint64_t frame_halves(uint32_t x)
{
	return (x >> 16) + (x & 0xffff);
}

/* Ethernet and IP, with its sum. */
static inline __attribute__((always_inline)) void frame_ip(struct frame_settings *s, struct ethhdr *eth,
							   const struct flow *f, uint8_t proto, uint16_t len)
{
	struct iphdr *ip = FRAME_IP(eth);
	uint64_t sum = 0x4500 + len + 0x4000 + (64 << 8 | proto) + frame_halves(f->src) + frame_halves(f->dst);

	__builtin_memcpy(eth->h_dest, s->to, ETH_ALEN);
	__builtin_memcpy(eth->h_source, s->from, ETH_ALEN);
	eth->h_proto = bpf_htons(ETH_P_IP);
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = bpf_htons(len);
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = 64;
	ip->protocol = proto;
	ip->check = bpf_htons(frame_fold(sum));
	ip->saddr = bpf_htonl(f->src);
	ip->daddr = bpf_htonl(f->dst);
}

/* A UDP datagram whose payload is zero. */
static inline __attribute__((always_inline)) void frame_udp(struct frame_settings *s, struct ethhdr *eth,
							    const struct flow *f)
{
	struct udphdr *udp = FRAME_L4(eth);
	uint16_t len = FRAME_UDP - ETH_HLEN - sizeof(struct iphdr);
	uint64_t sum = frame_halves(f->src) + frame_halves(f->dst) + IPPROTO_UDP + len + f->sport + f->dport + len;

	frame_ip(s, eth, f, IPPROTO_UDP, FRAME_UDP - ETH_HLEN);
	udp->source = bpf_htons(f->sport);
	udp->dest = bpf_htons(f->dport);
	udp->len = bpf_htons(len);
	udp->check = bpf_htons(frame_fold(sum));
}

/* A SYN, 60 bytes from the IP header on, with options that end at once. */
static inline __attribute__((always_inline)) void frame_syn(struct frame_settings *s, struct ethhdr *eth,
							    const struct flow *f)
{
	const uint16_t len = FRAME_TCP - ETH_HLEN - sizeof(struct iphdr);
	struct tcphdr *tcp = FRAME_L4(eth);
	uint64_t sum = frame_halves(f->src) + frame_halves(f->dst) + IPPROTO_TCP + len + f->sport + f->dport;

	frame_ip(s, eth, f, IPPROTO_TCP, FRAME_TCP - ETH_HLEN);
	__builtin_memset(tcp, 0, len);
	tcp->source = bpf_htons(f->sport);
	tcp->dest = bpf_htons(f->dport);
	tcp->doff = len / 4;
	tcp->syn = 1;
	tcp->window = 0xffff;
	/* What the two halves are that length, flag and window make. */
	sum += (len / 4) << 12 | 0x02;
	sum += 0xffff;
	tcp->check = bpf_htons(frame_fold(sum));
}

#endif
