/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets of flows whose punt is outstanding: kept in order, bounded in flows,
 * packets a flow and bytes in all (FA-9, ACT-7).
 *
 * Pure storage; must not know what decides, or when to give up.
 */
#ifndef TURNOUT_FAD_HOLD_H
#define TURNOUT_FAD_HOLD_H

#include <uthash.h>

#include "fad/packet.h"

struct hold_limits {
	uint32_t flows;
	uint32_t packets; /* a flow */
	uint64_t bytes;   /* of packets in all, what it takes to keep each included */
};

struct held_packet {
	struct held_packet *next;
	uint64_t mark;   /* the caller's, as given to hold_push() */
	uint64_t told;   /* the caller's, 0 at first */
	uint64_t asked;  /* its flow's asked_rank when it was released */
	struct packet p; /* p.data points to bytes */
	uint8_t bytes[];
};

/* A copy of a packet, bytes included, to be freed with free(); NULL: out of memory. */
struct held_packet *held_packet_new(const struct packet *p, uint64_t mark);

struct held_flow {
	struct flow_key key;
	uint64_t since_ms; /* of the latest punt */
	uint32_t tries;    /* punts so far */
	/* The caller's: who was asked, at which rank, and under which wildcard (its lineage; 0: none). */
	uint64_t asked_manager, asked_rank, asked_under;
	uint32_t asked_number; /* of that wildcard; another may have it when it has gone */
	bool punted;           /* the caller's: what asks is a packet itself, to come back before the others go on */
	uint32_t count;
	struct held_packet *first, *last;
	struct held_flow *next, *prev; /* oldest punt first */
	UT_hash_handle hh;
};

struct hold;

struct hold *hold_new(const struct hold_limits *limits, const uint64_t hash_key[2]);
void hold_free(struct hold *h);

struct held_flow *hold_find(const struct hold *h, const struct flow_key *k);
/* A punt goes out: the flow's later packets will be held.  NULL: too many flows. */
struct held_flow *hold_begin(struct hold *h, const struct flow_key *k, uint64_t now_ms);
/* Append a copy of the packet.  False: the flow's share or all room is used. */
bool hold_push(struct hold *h, struct held_flow *f, const struct packet *p, uint64_t mark);
/* Take all out as a list linked by next, each to be freed with free(), and forget the flow. */
struct held_packet *hold_release(struct hold *h, struct held_flow *f);
/* The flow waiting longest, or NULL. */
struct held_flow *hold_oldest(const struct hold *h); /* then ->next */

size_t hold_flows(const struct hold *h);
uint64_t hold_bytes(const struct hold *h);
/* The most there ever were. */
size_t hold_most_flows(const struct hold *h);
uint64_t hold_most_bytes(const struct hold *h);

#endif
