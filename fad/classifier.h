/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What classifier.bpf.c and fad share: map layouts and constants.  Included by
 * both, so only fixed-size types; sizes are asserted.
 */
#ifndef TURNOUT_FAD_CLASSIFIER_H
#define TURNOUT_FAD_CLASSIFIER_H

#ifndef __BPF__
#include <stdint.h>
#endif

#define CLASSIFIER_MAX_SHAPES   64 /* of wildcards; as many more for fragments */
#define CLASSIFIER_ALL_SHAPES   128
#define CLASSIFIER_MAX_FORWARDS 65536
#define CLASSIFIER_FIXED_SHAPE  0xffff
#define CLASSIFIER_STALE_NS     1000000000ull /* a heartbeat older than this: no agent */
#define CLASSIFIER_SHOWN        50            /* dropped packets shown between two ticks of the agent */

/* Source MAC of a frame on the punt port: 02, kind, then a big-endian u32.
 * Towards fad: kind PUNT, or GUARDED for what FA-8 protects, and the ingress ifindex; also DROPPED and an enum
 * classifier_counter, for what was dropped and is to be looked at only.
 * From fad: kind ROUTE, or FORWARD and a forward index. */
#define CLASSIFIER_MAC_PUNT    0x50
#define CLASSIFIER_MAC_GUARDED 0x51
#define CLASSIFIER_MAC_ROUTE   0x52
#define CLASSIFIER_MAC_DROPPED 0x80
#define CLASSIFIER_MAC_FORWARD 0x46

/* The two ends' own addresses, and the destination of what is punted: nobody's, so that the kernel's
 * stack at the agent's end takes nothing of what the ring there has seen already. */
#define CLASSIFIER_MAC_KERNEL_END 0x02, 0x74, 0x6e, 0, 0, 0
#define CLASSIFIER_MAC_AGENT_END  0x02, 0x74, 0x6e, 0, 0, 1
#define CLASSIFIER_MAC_NOBODY     0x02, 0x74, 0x6e, 0xff, 0xff, 0xff

/* A mask shape: which bits of a key matter.  Ports: 0 or 0xffff.  proto: 0 or 0xff. */
#define CLASSIFIER_SHAPE_PROTECTED 1 /* also what FA-8 protects, if the operator permits */
/*
 * Another shape without its ports, looked up for fragments only (ACT-10): later ones have no ports, and the ports of
 * the first are what the agent knows the later ones by.  Numbers from CLASSIFIER_MAX_SHAPES up.
 */
#define CLASSIFIER_SHAPE_FRAGMENTS 2
#define CLASSIFIER_SHAPE_DROP_GONE 4 /* without the agent what is under it is dropped (FA-6) */
struct classifier_shape {
	uint8_t family; /* 4, 6; 0: free */
	uint8_t proto_mask;
	uint16_t sport_mask, dport_mask;
	uint16_t flags; /* CLASSIFIER_SHAPE_* */
	uint8_t src_mask[16], dst_mask[16];
};

/* Fixed keys beside those of flows: without ports, for later fragments (fad/tailtab.h). */
#define CLASSIFIER_TAILS 4096

/* A masked key under a shape; also (shape 0xffff) a fixed key. */
struct classifier_key {
	uint8_t family, proto;
	uint16_t sport, dport; /* host order */
	uint16_t shape;
	uint8_t src[16], dst[16];
} __attribute__((aligned(8)));

/*
 * Values of the map of wildcards: COVERS always; in the SHED bits the number of a struct classifier_shed and one, if
 * too many packets ask under this key.
 */
#define CLASSIFIER_COVERS     0x01
#define CLASSIFIER_SHED_SHIFT 8
#define CLASSIFIER_SHED       0xff00

/*
 * A limit to what comes up under one masked key, set while the agent drops questions there (FA-5): what it would drop
 * anyway costs others less here.  Its clocks work as those of fad/share.h.
 */
#define CLASSIFIER_SHEDS       64
#define CLASSIFIER_SHED_SHARES 8192 /* a power of two */
#define CLASSIFIER_SHARE_BURST 7    /* packets of one source ahead of its share */
struct classifier_shed {
	uint64_t until_ns; /* CLOCK_MONOTONIC; then it is none */
	uint64_t each_ns;  /* between two packets */
	uint64_t paid_ns;  /* when the packets so far are paid for */
	uint64_t shed;     /* packets that did not come up */
	uint64_t share_ns; /* between two of one source that asks little */
	uint64_t burst_ns; /* of packets ahead of the rate */
	uint64_t spare_ns; /* more of them, for sources that ask little */
	uint16_t asks;     /* which packets, as bits of WIRE_INTEREST_* */
	uint8_t by_target; /* the far end is where they go to */
	uint8_t route;     /* the rest is routed, not dropped */
	uint32_t serial;   /* no other has had it, so that sources begin anew */
};

/* An own address, or (with a port) a control endpoint; also a next hop. */
struct classifier_address {
	uint8_t family;
	uint8_t zero;
	uint16_t port; /* host order */
	uint8_t addr[16];
};

/* Keys of the tries of advertised prefixes, laid out as the kernel wants them. */
struct classifier_prefix4 {
	uint32_t plen;
	uint8_t addr[4];
};
struct classifier_prefix6 {
	uint32_t plen;
	uint8_t addr[16];
};

/*
 * What nothing could match costs as little as can be: bits by destination and by source, of addresses cut to a prefix.
 * Everything stored sets the bit of one of its addresses, or counts as being for any; it has been set before that is
 * stored.  A packet that shows none of its bits matches nothing.
 */
#define CLASSIFIER_FILTER_BITS 262144
#define CLASSIFIER_FILTER_DST  0
#define CLASSIFIER_FILTER_SRC  1
struct classifier_filter {
	uint32_t any[2]; /* IPv4, IPv6: stored, but without such an address */
	uint64_t bits[2][2][CLASSIFIER_FILTER_BITS / 64];
};

#define CLASSIFIER_FILTER_PREFIX(family) ((family) == 4 ? 3 : 6) /* bytes */
static inline uint32_t classifier_filter_bit(uint8_t family, const uint8_t *a)
{
	uint32_t x = (uint32_t)a[0] << 16 | (uint32_t)a[1] << 8 | a[2];

	if (family == 6)
		x = (x ^ (uint32_t)a[3] << 24) + ((uint32_t)a[4] << 8 | a[5]) * 0x85ebca6bu;
	return x * 0x9e3779b1u >> 14;
}

/*
 * A bit for each masked key that is stored, found by a hash: where there is none, the map of wildcards need not be
 * asked. Most packets are under few of many shapes.
 */
#define CLASSIFIER_HINTS_LOG 18
#define CLASSIFIER_HINTS     (1 << CLASSIFIER_HINTS_LOG)
static inline uint32_t classifier_hint(const struct classifier_key *masked)
{
	typedef uint64_t __attribute__((may_alias)) word;
	const word *w = (const word *)(const void *)masked;
	uint64_t h = w[0];

	for (int i = 1; i < 5; i++) {
		h = (h ^ w[i]) * 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
	}
	return (uint32_t)(h * 0x9e3779b97f4a7c15u >> (64 - CLASSIFIER_HINTS_LOG));
}

/* Addresses that no router forwards to or from. */
static inline int classifier_martian4(const uint8_t *a)
{
	return a[0] >= 224 || a[0] == 0 || a[0] == 127;
}

static inline int classifier_martian6(const uint8_t *a)
{
	uint32_t words[4];

	__builtin_memcpy(words, a, 16);
	if (!words[0] && !words[1] && !words[2] && !a[12] && !a[13] && !a[14] && a[15] <= 1)
		return 1; /* unspecified, loopback */
	return a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
}

/* What the kernel alone knows how to deliver, or to drop, whatever the protocol (FA-7). */
static inline int classifier_local_scope(uint8_t family, const uint8_t *src, const uint8_t *dst)
{
	if (family == 4)
		return classifier_martian4(dst) || classifier_martian4(src) || (dst[0] == 169 && dst[1] == 254);
	return classifier_martian6(dst) || classifier_martian6(src);
}

/* One for each interface and CPU. */
struct classifier_interface {
	uint64_t punted, passed;
	uint64_t planned;
	uint64_t drop_unmatched; /* policy; the same on all CPUs */
	uint64_t plans;          /* likewise: are plans carried out for what comes in here? */
};

/* The list of settings that a shape stands in. */
#define CLASSIFIER_LISTS 4
static inline uint32_t classifier_list(uint8_t family, uint16_t flags)
{
	return (family == 6) | (flags & CLASSIFIER_SHAPE_FRAGMENTS);
}

/* Shared memory, written by fad while the program runs. */
struct classifier_settings {
	uint64_t heartbeat_ns;  /* CLOCK_MONOTONIC */
	uint64_t fallback_ns;   /* a heartbeat older than this: not even the fallback serves */
	uint64_t gone_until_ns; /* CLOCK_MONOTONIC: no wildcard that drops without an agent lives longer */
	uint32_t port_ifindex;
	uint32_t permit_protected;
	/* Does anybody look at what is dropped, and how much more may be shown until the agent's next tick? */
	uint32_t looked_on;
	int32_t shown_left;
	uint64_t shed_until_ns; /* no struct classifier_shed is later */
	uint64_t shed_key[2];   /* of the hash that finds a source's clock; random */
	/* Numbers of the shapes in use, by classifier_list(). */
	uint32_t shape_count[CLASSIFIER_LISTS];
	uint8_t shape_order[CLASSIFIER_LISTS][CLASSIFIER_MAX_SHAPES];
	struct classifier_shape shapes[CLASSIFIER_ALL_SHAPES];
	/* Where what would be punted goes while there is no agent, IPv4 then IPv6; family 0: nowhere. */
	struct classifier_address fallback[2];
};

_Static_assert(sizeof(struct classifier_shape) == 40, "shape");
_Static_assert(sizeof(struct classifier_key) == 40, "key");
_Static_assert(sizeof(struct classifier_address) == 20, "address");
_Static_assert(sizeof(struct classifier_shed) == 64, "shed");
_Static_assert(sizeof(struct classifier_settings) == 80 + 4 * 64 + 40 * 128 + 2 * 20, "settings");

enum classifier_counter {
	CLASSIFIER_SEEN,
	CLASSIFIER_PASSED,    /* routed by the kernel, matched nothing */
	CLASSIFIER_PROTECTED, /* would have been punted or dropped, but is never matched (FA-8) */
	CLASSIFIER_PUNTED_WILDCARD,
	CLASSIFIER_PUNTED_FIXED,
	CLASSIFIER_DROPPED_ADVERTISED, /* to an advertised address, no affinity (ACT-3) */
	CLASSIFIER_DROPPED_UNMATCHED,  /* interface policy (ARCH-1) */
	CLASSIFIER_STALE,              /* agent's heartbeat is old: passed */
	CLASSIFIER_FORWARDED,          /* sent to the next hop the agent named (FIX-2) */
	CLASSIFIER_DROPPED_TOO_BIG,    /* beyond the MTU towards that next hop */
	CLASSIFIER_DROPPED_NO_ROUTE,   /* no route to that next hop */
	CLASSIFIER_DROPPED_FRAME,      /* at the port, a frame that is none of ours */
	CLASSIFIER_FALLBACK,           /* no sign of life of the agent: sent to the next one */
	CLASSIFIER_DROPPED_LOOP,       /* the same, but it came from that one */
	CLASSIFIER_UNSHOWN,            /* dropped, and not shown to who looks on; counted there too */
	CLASSIFIER_PLAN,               /* plan carried out */
	CLASSIFIER_PLAN_EXPIRED,       /* there is one, but: its time is up */
	CLASSIFIER_PLAN_STALE,         /* affinities have changed since */
	CLASSIFIER_PLAN_INTEREST,      /* a manager wants to know of the packet */
	CLASSIFIER_PLAN_TTL,           /* its way ends here */
	CLASSIFIER_PLAN_MTU,           /* it may be too large for its way out */
	CLASSIFIER_PLAN_BUSY,          /* it was just being written */
	CLASSIFIER_PLAN_FRAGMENT,      /* not looked up: part of a datagram */
	CLASSIFIER_PLAN_OPTIONS,       /* not looked up: more than an IP header before its transport */
	CLASSIFIER_PLAN_MALFORMED,     /* not looked up */
	CLASSIFIER_DROPPED_PLAN,       /* the plan could not be written into it */
	CLASSIFIER_DROPPED_SUM,        /* bad checksum of the IPv4 header, and a plan with a next hop */
	CLASSIFIER_DROPPED_SHED,       /* more than may come up under a wildcard (FA-5) */
	CLASSIFIER_SHED_ROUTED,        /* the same, passed */
	CLASSIFIER_DROPPED_GONE,       /* no sign of life of the agent, and a wildcard says drop (FA-6) */
	CLASSIFIER_COUNTERS,
};

#endif
