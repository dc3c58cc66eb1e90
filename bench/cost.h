/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The hash map of the plain NAT program, for both its sides.  As they lie in
 * the packet.  Must not know who includes it: it has no includes of its own.
 */
#ifndef TURNOUT_BENCH_COST_H
#define TURNOUT_BENCH_COST_H

struct nat_key {
	uint32_t src, dst;
	uint16_t sport, dport;
	uint32_t proto;
};

struct nat_value {
	uint32_t dst;
	uint16_t dport, zero;
};

#endif
