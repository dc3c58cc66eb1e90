/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragmented datagrams (ACT-10): the ports that a first fragment showed, for
 * the later ones, which have none; and later ones that came too early, until
 * the first one comes.
 *
 * A datagram is known by family, addresses and identification, in IPv4 by the
 * protocol too; in IPv6 only the first fragment says it for certain (RFC 8200).
 * Anybody can send first fragments and orphans at will, so both are bounded,
 * the oldest datagram gives way, and nothing is looked for one after the other.
 *
 * Pure; must not know what is done with a packet, nor overlaps and sizes of
 * datagrams: those are their receiver's business.
 */
#ifndef TURNOUT_FAD_FRAGTAB_H
#define TURNOUT_FAD_FRAGTAB_H

#include "fad/hold.h"

struct fragtab_limits {
	uint32_t datagrams; /* whose ports are known */
	uint32_t packets;   /* waiting */
	uint32_t each;      /* of these of one datagram */
	uint64_t bytes;     /* of those waiting, what it takes to keep each included */
	uint32_t known_ms;  /* ports are remembered for so long */
	uint32_t wait_ms;   /* a datagram's fragments wait for so long, from the first to wait on */
};

/* For listings. */
struct fragtab_stats {
	uint32_t datagrams, datagrams_high; /* whose ports are known: now, and the most there were */
	uint32_t waiting, waiting_high;     /* packets */
	uint64_t bytes, bytes_high;         /* what those cost */
	uint64_t forgotten;                 /* datagrams that gave way to younger ones */
};

struct fragtab;

struct fragtab *fragtab_new(const struct fragtab_limits *limits, const uint64_t hash_key[2]);
void fragtab_free(struct fragtab *t);

/*
 * A first fragment: remember its protocol and ports; the latest one's count, as identifications come round again.
 * Returns those that waited for it, in the order they came, their keys filled in; the caller frees each.
 */
struct held_packet *fragtab_first(struct fragtab *t, const struct packet *p, uint64_t now_ms);
/* A later one: fill protocol and ports into its key.  False: its first fragment is not known. */
bool fragtab_fill(const struct fragtab *t, struct packet *p, uint64_t now_ms);
/*
 * Keep a copy of a later one until its first comes.  False: there is no room for it.  *out: those that had to make
 * room for it; the caller frees each.
 */
bool fragtab_wait(struct fragtab *t, const struct packet *p, uint64_t now_ms, struct held_packet **out);
/* Forget what is too old.  Returns what waited for too long; the caller frees each. */
struct held_packet *fragtab_expire(struct fragtab *t, uint64_t now_ms);

const struct fragtab_stats *fragtab_stats(const struct fragtab *t);

#endif
