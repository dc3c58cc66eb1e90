/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of plans that fad and the kernel share: the slots to the byte, the
 * hash that finds them, and the order in which they are read and written.
 * docs/fastpath.md says why.
 *
 * Included by classifier.bpf.c and fad: fixed-size types only.  Must not know
 * of affinities.
 */
#ifndef TURNOUT_FAD_PLANSLOT_H
#define TURNOUT_FAD_PLANSLOT_H

#ifndef __BPF__
#include <stdint.h>
#endif

#define PLANSLOT_BUCKET 4 /* slots beside each other */
#define PLANSLOT_PROBES 8 /* two buckets of a key: at half load 0.005 % of the plans find no place */

/* Coarse monotonic time: 16.8 ms a unit, comes round after 2.2 years. */
#define PLANSLOT_TIME_SHIFT 24

/* In `set`, beside PLAN_SRC to PLAN_DPORT (plan.h). */
#define PLANSLOT_ASKS 0x10 /* what `up` names is to be decided by a manager: never without an agent */
#define PLANSLOT_GONE 0x20 /* not at all without an agent: what is covered without one is dropped (FA-6) */

/* `up` beyond the interest bits 0 to 6, which a packet may show to the kernel. */
#define PLANSLOT_DATA 0x40

/* `way`: out of the router.  Else the number of what `ways` has: see struct planway. */
#define PLANSLOT_ROUTED  0
#define PLANSLOT_DROPPED 0xffffffffu

/*
 * seq 0: never used; odd: being written, or free; even: good.
 * Written by fad: seq, generation, expires, way and what follows the head.  Written by the kernel: packets, bytes,
 * which run on when the slot gets another flow.
 */
struct planslot_head {
	uint32_t seq;
	uint32_t generation; /* of all plans; another one than the settings': to be composed anew */
	uint32_t expires;    /* coarse time */
	uint32_t way;        /* PLANSLOT_ROUTED and so on */
	uint64_t packets;
	uint64_t bytes; /* from the IP header on */
};

/* Ports and deltas in network order, as they lie in the packet. */
struct planslot_tail {
	uint16_t sport, dport;
	uint16_t new_sport, new_dport;
	uint16_t addresses, ports; /* struct plan_delta */
	uint16_t up;               /* interest bits that bring a packet up */
	uint8_t proto;
	uint8_t set; /* PLAN_*, PLANSLOT_ASKS, PLANSLOT_GONE */
};

struct planslot4 {
	struct planslot_head head;
	uint8_t src[4], dst[4];
	uint8_t new_src[4], new_dst[4]; /* unchanged ones, too */
	struct planslot_tail tail;
} __attribute__((aligned(64)));

struct planslot6 {
	struct planslot_head head;
	uint8_t src[16], dst[16];
	uint8_t new_src[16], new_dst[16];
	struct planslot_tail tail;
	uint8_t zero[16];
} __attribute__((aligned(64)));

/*
 * A way that many plans may share; number 0 is none.  Written before a slot names it, and anew only when no slot names
 * it any more: who finds the slot's seq unchanged after he has copied both has read what belongs together.
 */
struct planway {
	uint8_t family; /* of the next hop: 4, 6 */
	uint8_t zero[7];
	uint8_t hop[16];
	uint64_t unused;
} __attribute__((aligned(32)));

_Static_assert(sizeof(struct planway) == 32, "half a line");
_Static_assert(sizeof(struct planslot_head) == 32, "head");
_Static_assert(sizeof(struct planslot_tail) == 16, "tail");
_Static_assert(sizeof(struct planslot4) == 64, "one line");
_Static_assert(sizeof(struct planslot6) == 128, "two lines");

/* Shared settings of the table, written by fad. */
struct planslot_settings {
	uint64_t key[2];     /* of the hash; random */
	uint32_t generation; /* of plans that are good */
	uint32_t least_mtu;  /* of any way out; 0: not known */
	uint32_t placed;     /* plans in the table; 0: not worth a look */
	uint32_t zero;
};

static inline uint64_t planslot_rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

#define PLANSLOT_ROUND(a, b, c, d)                                                                                     \
	do {                                                                                                           \
		a += b;                                                                                                \
		b = planslot_rotl(b, 13) ^ a;                                                                          \
		a = planslot_rotl(a, 32);                                                                              \
		c += d;                                                                                                \
		d = planslot_rotl(d, 16) ^ c;                                                                          \
		a += d;                                                                                                \
		d = planslot_rotl(d, 21) ^ a;                                                                          \
		c += b;                                                                                                \
		b = planslot_rotl(b, 17) ^ c;                                                                          \
		c = planslot_rotl(c, 32);                                                                              \
	} while (0)

/* SipHash-1-3 over n whole words, in this machine's order: the table does not leave it. */
static inline __attribute__((always_inline)) uint64_t planslot_sip(const uint64_t key[2], const uint64_t *words,
								   unsigned n)
{
	uint64_t a = key[0] ^ 0x736f6d6570736575, b = key[1] ^ 0x646f72616e646f6d, c = key[0] ^ 0x6c7967656e657261,
		 d = key[1] ^ 0x7465646279746573;

	for (unsigned i = 0; i < n; i++) {
		d ^= words[i];
		PLANSLOT_ROUND(a, b, c, d);
		a ^= words[i];
	}
	c ^= 0xff;
	for (int i = 0; i < 3; i++)
		PLANSLOT_ROUND(a, b, c, d);
	return a ^ b ^ c ^ d;
}

static inline __attribute__((always_inline)) uint64_t planslot_hash4(const uint64_t key[2], const struct planslot4 *s)
{
	uint64_t w[2];

	__builtin_memcpy(&w[0], s->src, 8); /* both addresses */
	w[1] = (uint64_t)s->tail.proto << 32 | (uint64_t)s->tail.sport << 16 | s->tail.dport;
	return planslot_sip(key, w, 2);
}

static inline __attribute__((always_inline)) uint64_t planslot_hash6(const uint64_t key[2], const struct planslot6 *s)
{
	uint64_t w[5];

	__builtin_memcpy(w, s->src, 32);
	w[4] = (uint64_t)s->tail.proto << 32 | (uint64_t)s->tail.sport << 16 | s->tail.dport;
	return planslot_sip(key, w, 5);
}

/* The number of the slot that is looked at i-th (less than PLANSLOT_PROBES). */
static inline __attribute__((always_inline)) uint32_t planslot_probe(uint64_t hash, uint32_t slots, uint32_t i)
{
	uint32_t half = i < PLANSLOT_BUCKET ? (uint32_t)hash : (uint32_t)(hash >> 32);

	return ((half & ~(PLANSLOT_BUCKET - 1u)) + i % PLANSLOT_BUCKET) & (slots - 1);
}

/*
 * A slot in use has a tag, 16 bits of its key's hash, 0 if it is not; those of a bucket are one word of the table of
 * tags, IPv6's behind IPv4's, the first slot's lowest.  Who finds no tag alike need not look at slots.  A tag may be
 * there before its slot or after it: then a packet goes up, or finds that the slot is not for it.
 */
static inline uint16_t planslot_tag(uint64_t hash)
{
	uint16_t tag = (uint16_t)(hash >> 24 ^ hash >> 48);

	return tag ? tag : 1;
}

/* place: the slot's number, of IPv6 plus how many IPv4 has. */
static inline uint32_t planslot_tag_bucket(uint32_t place)
{
	return place / PLANSLOT_BUCKET;
}

static inline uint32_t planslot_time(uint64_t ns)
{
	return (uint32_t)(ns >> PLANSLOT_TIME_SHIFT);
}

#endif
