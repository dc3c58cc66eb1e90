/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flows of the benchmarks, by number: the same arithmetic makes the packets
 * that are sent, the affinities that the loader writes, and the keys of the map
 * that Turnout is compared with.
 *
 * Included by eBPF programs and by user space: fixed-size types only.
 */
#ifndef TURNOUT_BENCH_FLOWS_H
#define TURNOUT_BENCH_FLOWS_H

#ifndef __BPF__
#include <stdint.h>
#endif

#define FLOWS_PORT      7000        /* of the VIP */
#define FLOWS_REAL_PORT 7001        /* of the server */
#define FLOWS_SRC       0x64400000u /* 100.64.0.0/10 */
#define FLOWS_SRC_MASK  0x003fffffu
#define FLOWS_WILD_DST  0x0b000000u /* 11.0.0.0/8 */

/* What a numbered packet is of. */
enum flows_kind {
	FLOWS_NAT = 0,  /* any number of sources, one destination */
	FLOWS_WILD = 1, /* of wildcard number n: a destination each, one source */
};

#define FRAME_UDP 60 /* bytes of an Ethernet frame */
#define FRAME_TCP 74

/* What is sent; user space writes it, the program that makes packets counts on in it. */
struct frame_settings {
	uint8_t to[6], from[6];
	uint32_t kind; /* enum flows_kind */
	uint32_t dst;  /* host order, as the port */
	uint32_t dport;
	uint32_t count;    /* of flows */
	uint32_t sequence; /* one after the other, not random */
	uint32_t next;     /* flow, in sequence */
	uint32_t ifindex;  /* where it goes out */
	uint64_t random;   /* state, not 0 */
};

/* Host byte order. */
struct flow {
	uint32_t src, dst;
	uint16_t sport, dport;
};

/* Flow n.  dst, dport: of the kind NAT. */
static inline __attribute__((always_inline)) struct flow flows_get(uint32_t kind, uint32_t n, uint32_t dst,
								   uint16_t dport)
{
	struct flow f;

	if (kind == FLOWS_WILD) {
		f.src = FLOWS_SRC;
		f.dst = FLOWS_WILD_DST + (n << 8);
		f.sport = FLOWS_PORT;
		f.dport = FLOWS_PORT;
		return f;
	}
	/* Another port for the next four million. */
	f.src = FLOWS_SRC | (n & FLOWS_SRC_MASK);
	f.dst = dst;
	f.sport = (uint16_t)(1024 + (n & 0x3fff) + ((n >> 22) << 14));
	f.dport = dport;
	return f;
}

/* xorshift64*, scaled to less than count. */
static inline __attribute__((always_inline)) uint32_t flows_random(uint64_t *state, uint32_t count)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return (uint32_t)(((x * 0x2545f4914f6cdd1dULL >> 32) * count) >> 32);
}

#endif
